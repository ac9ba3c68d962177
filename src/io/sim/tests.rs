//! The simulated disk itself.

use super::*;

fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/d")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

#[test]
fn a_file_is_lost_with_a_folder_whose_name_was_not_synced() {
    let disk = disk();
    let (folder, path) = (Path::new("/d/e"), Path::new("/d/e/a"));
    disk.create_dir_all(folder).unwrap();
    disk.create(path).unwrap().sync().unwrap();
    disk.sync_dir(folder).unwrap();
    let after = disk.after_power_loss(|_| true);
    assert!(after.paths().is_empty() && after.list(folder).is_err());
    disk.sync_dir(Path::new("/d")).unwrap();
    let after = disk.after_power_loss(|_| true);
    assert_eq!(after.paths(), [path]);
    assert_eq!(after.after_power_loss(|_| true).paths(), [path]);
}

#[test]
fn a_disk_without_order_keeps_some_names_and_some_sectors() {
    let disk = disk();
    let [a, b] = ["/d/a", "/d/b"].map(Path::new);
    let file = disk.create(a).unwrap();
    file.write_all_at(&[1; PAGE], 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    disk.rename(a, b).unwrap();
    assert_eq!(disk.after_power_loss(|_| true).paths(), [a]);
    assert_eq!(disk.after_torn_power_loss(|| true).paths(), [b]);
    assert_eq!(
        disk.after_kill().after_torn_power_loss(|| true).paths(),
        [b]
    );
    file.write_all_at(&[2; PAGE], 0).unwrap();
    let mut asked = 0;
    let torn = disk.after_torn_power_loss(|| {
        asked += 1;
        asked % 2 == 1
    });
    let bytes = super::super::read_all(&*torn.open(b).unwrap()).unwrap();
    let sectors: Vec<u8> = bytes.chunks(SECTOR).map(|s| s[0]).collect();
    assert_eq!(sectors, [2, 1, 2, 1, 2, 1, 2, 1]);
}

#[test]
fn a_write_that_fails_has_written_some_of_it() {
    let disk = disk();
    let file = disk.create(Path::new("/d/a")).unwrap();
    disk.inject(Fault::OnceAtCall(0));
    assert!(file.write_all_at(b"wxyz", 0).is_err());
    assert_eq!(read_text(&disk, Path::new("/d/a")), "wx");
}

#[test]
fn power_loss_keeps_what_was_synced() {
    let disk = disk();
    let path = Path::new("/d/a");
    let file = disk.create(path).unwrap();
    file.write_all_at(b"one", 0).unwrap();
    file.sync().unwrap();
    assert!(
        disk.after_power_loss(|_| true).open(path).is_err(),
        "the name was not synced"
    );
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_all_at(b"two", 0).unwrap();
    let read = |disk: &SimDisk| read_text(disk, path);
    assert_eq!(read(&disk), "two");
    assert_eq!(read(&disk.after_power_loss(|_| false)), "one");
    assert_eq!(read(&disk.after_power_loss(|_| true)), "two");
}

fn read_text(disk: &SimDisk, path: &Path) -> String {
    let bytes = super::super::read_all(&*disk.open(path).unwrap()).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_kill_keeps_what_was_written_and_a_power_loss_behind_it_does_not() {
    let disk = disk();
    let path = Path::new("/d/a");
    let file = disk.create(path).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_all_at(b"one", 0).unwrap();
    file.sync().unwrap();
    file.write_all_at(b"two", 0).unwrap();
    let next = disk.after_kill();
    assert_eq!(read_text(&next, path), "two");
    assert_eq!(read_text(&next.after_power_loss(|_| false), path), "one");
    file.write_all_at(b"six", 0).unwrap();
    assert_eq!(read_text(&next, path), "two", "the images are apart");
}

#[test]
fn pages_of_a_failed_sync_are_written_by_no_later_one_unless_written_again() {
    let disk = disk();
    let path = Path::new("/d/a");
    let file = disk.create(path).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_all_at(b"one", 0).unwrap();
    file.sync().unwrap();
    file.write_all_at(b"two", 0).unwrap();
    disk.inject(Fault::OnceAtSync(0));
    file.sync().unwrap_err();
    file.sync().unwrap();
    let next = disk.after_kill();
    assert_eq!(read_text(&next, path), "two");
    assert_eq!(read_text(&next.after_power_loss(|_| false), path), "one");
    assert_eq!(read_text(&next.after_power_loss(|_| true), path), "two");
    let file = next.open_write(path).unwrap();
    file.write_all_at(b"two", 0).unwrap();
    file.sync().unwrap();
    assert_eq!(read_text(&next.after_power_loss(|_| false), path), "two");
}

#[test]
fn faults_hit_the_call_they_name() {
    let disk = disk();
    let file = disk.create(Path::new("/d/a")).unwrap();
    disk.inject(Fault::OnceAtSync(1));
    file.sync().unwrap();
    assert!(file.sync().is_err());
    file.sync().unwrap();
    disk.inject(Fault::FromCall(1));
    file.write_all_at(b"x", 0).unwrap();
    assert!(file.write_all_at(b"x", 0).is_err());
    assert!(file.sync().is_err());
    disk.heal();
    disk.inject(Fault::Capacity(4));
    file.write_all_at(b"wxyz", 0).unwrap();
    let full = file.write_all_at(b"v", 4).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    file.write_all_at(b"v", 3).unwrap();
}

#[test]
fn a_watch_is_asked_before_each_call() {
    let disk = disk();
    let path = Path::new("/d/a");
    let (seen, other) = (Arc::new(Mutex::new(Vec::new())), disk.clone());
    let noted = seen.clone();
    disk.watch(move |call, path| {
        noted.lock().push((call, path.to_owned()));
        // It may use the disk itself.
        assert_eq!(other.paths().is_empty(), call == Call::Create);
        match call {
            Call::Rename => Err(io::ErrorKind::PermissionDenied.into()),
            _ => Ok(()),
        }
    });
    let file = disk.create(path).unwrap();
    file.allocate(2).unwrap();
    let refused = disk.rename(path, Path::new("/d/b")).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    let left = disk.after_kill();
    assert_eq!(left.open(path).unwrap().len().unwrap(), 2);
    let calls: Vec<Call> = seen.lock().iter().map(|(call, _)| *call).collect();
    assert_eq!(calls, [Call::Create, Call::Allocate, Call::Rename]);
    assert_eq!(seen.lock()[1].1, path);
}

#[test]
fn a_lock_is_held_by_one() {
    let disk = disk();
    let held = disk.lock(Path::new("/d/LOCK")).unwrap();
    assert!(disk.lock(Path::new("/d/LOCK")).is_err());
    drop(held);
    disk.lock(Path::new("/d/LOCK")).unwrap();
}
