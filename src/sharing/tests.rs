//! Leases and the published page by themselves.

use std::path::Path;
use std::sync::Arc;

use tidestone_format::{FileUuid, Lsn};

use super::{Lease, Leases, Publisher, look};
use crate::io::{Disk, Fault, SimDisk};
use crate::random::SeededRandom;

const FOLDER: &str = "/readers";
const DATABASE: FileUuid = FileUuid([1; 16]);
const OTHER: FileUuid = FileUuid([2; 16]);

fn disk() -> (SimDisk, Arc<dyn Disk>) {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new(FOLDER)).unwrap();
    (disk.clone(), Arc::new(disk))
}

fn take(disk: &Arc<dyn Disk>) -> Lease {
    Lease::take(disk, &SeededRandom::new(7), Path::new(FOLDER), DATABASE).unwrap()
}

fn leases(disk: &Arc<dyn Disk>) -> Leases {
    Leases::new(disk.clone(), FOLDER.into())
}

#[test]
fn a_lease_pins_everything_until_it_says_what() {
    let (sim, disk) = disk();
    let first = take(&disk);
    assert_eq!(leases(&disk).pinned().unwrap(), [0]);
    first.pin(7).unwrap();
    let second = Lease::take(&disk, &SeededRandom::new(8), Path::new(FOLDER), DATABASE).unwrap();
    second.pin(5).unwrap();
    assert_eq!(leases(&disk).pinned().unwrap(), [5, 7]);
    drop(second);
    assert_eq!(leases(&disk).pinned().unwrap(), [7]);
    drop(first);
    assert_eq!(leases(&disk).pinned().unwrap(), [] as [u64; 0]);
    assert!(sim.paths().is_empty());
}

#[test]
fn the_lease_of_a_reader_that_was_killed_is_removed() {
    let (sim, disk) = disk();
    let lease = take(&disk);
    lease.pin(3).unwrap();
    let after = sim.after_kill();
    let next: Arc<dyn Disk> = Arc::new(after.clone());
    assert_eq!(after.paths().len(), 1);
    assert_eq!(leases(&next).pinned().unwrap(), [] as [u64; 0]);
    assert!(after.paths().is_empty());
    assert_eq!(leases(&disk).pinned().unwrap(), [3], "here it lives");
}

#[test]
fn a_lease_that_cannot_be_read_pins_everything() {
    let (sim, disk) = disk();
    let lease = take(&disk);
    lease.pin(9).unwrap();
    let path = sim.paths().remove(0);
    sim.damage(&path, |bytes| bytes[25] ^= 1).unwrap();
    assert_eq!(leases(&disk).pinned().unwrap(), [0]);
}

#[test]
fn a_lease_that_was_not_finished_counts_for_nothing_and_is_removed_by_the_writer() {
    let (sim, disk) = disk();
    // Lock, write, rename: each of the calls that change the disk fails once.
    for call in 0..3 {
        sim.inject(Fault::OnceAtCall(call));
        let error = Lease::take(&disk, &SeededRandom::new(1), Path::new(FOLDER), DATABASE);
        error.unwrap_err();
        assert_eq!(leases(&disk).pinned().unwrap(), [] as [u64; 0], "{call}");
        assert!(sim.paths().is_empty(), "{call}");
    }
    let left = Path::new(FOLDER).join("left.new");
    disk.create(&left).unwrap();
    let being_made = Path::new(FOLDER).join("made.new");
    let held = disk.lock(&being_made).unwrap();
    leases(&disk).remove_unfinished().unwrap();
    assert_eq!(sim.paths(), [being_made.as_path()]);
    drop(held);
}

fn publish(disk: &dyn Disk, durable: u64) -> Publisher {
    let names = (DATABASE, OTHER);
    Publisher::start(disk, Path::new(FOLDER), names, Lsn(durable), 3).unwrap()
}

#[test]
fn what_is_published_only_grows() {
    let (_, disk) = disk();
    let see = || {
        let seen = look(&*disk, Path::new(FOLDER), DATABASE).unwrap();
        seen.map(|p| (p.durable.0, p.version))
    };
    assert_eq!(see(), None);
    let publisher = publish(&*disk, 4);
    assert_eq!(see(), Some((4, 3)));
    publisher.durable(Lsn(9));
    publisher.version(5);
    publisher.durable(Lsn(8));
    publisher.version(4);
    assert_eq!(see(), Some((9, 5)));
}

#[test]
fn a_page_of_another_database_or_start_of_the_machine_is_not_believed() {
    let (sim, disk) = disk();
    disk.sync_dir(Path::new("/")).unwrap();
    let publisher = publish(&*disk, 4);
    disk.sync_dir(Path::new(FOLDER)).unwrap();
    publisher.durable(Lsn(5));
    let see = |disk: &dyn Disk, database| look(disk, Path::new(FOLDER), database).unwrap();
    assert_eq!(see(&*disk, OTHER), None);
    assert!(see(&*disk, DATABASE).is_some());
    let after = sim.after_power_loss(|_| true);
    assert_eq!(after.paths().len(), 1, "it is there");
    assert_eq!(see(&after, DATABASE), None);
}

/// The next writer holds `LOCK` before it knows how far it will have come.
#[test]
fn a_page_is_believed_as_long_as_its_writer_holds_it() {
    let (sim, disk) = disk();
    let see = |disk: &dyn Disk| look(disk, Path::new(FOLDER), DATABASE).unwrap();
    let publisher = publish(&*disk, 4);
    let killed = sim.after_kill();
    assert_eq!(see(&killed), None);
    let next = publish(&killed, 7);
    assert_eq!(see(&killed).map(|p| p.durable), Some(Lsn(7)));
    drop(next);
    publisher.let_go();
    assert_eq!(see(&*disk), None, "it is closed");
    assert_eq!((see(&killed), killed.paths().len()), (None, 1));
}

#[test]
fn a_page_that_cannot_be_written_is_told_and_written_next_time() {
    let (sim, disk) = disk();
    let publisher = publish(&*disk, 1);
    sim.inject(Fault::OnceAtCall(0));
    publisher.durable(Lsn(2));
    assert!(publisher.failure().is_some());
    publisher.durable(Lsn(3));
    assert!(publisher.failure().is_none());
    let seen = look(&*disk, Path::new(FOLDER), DATABASE).unwrap();
    assert_eq!(seen.unwrap().durable, Lsn(3));
}
