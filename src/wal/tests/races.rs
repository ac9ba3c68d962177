//! The log while something else happens: frames in the midst of a sync, an end, a waker that asks.

use super::*;
use crate::clock::{Deadline, ManualClock};
use crate::io::Call;

/// A damaged group was cut, with the acknowledged one behind it.
#[test]
fn a_group_begun_while_the_one_before_was_synced_proves_it() {
    let disk = new_disk();
    let log = Arc::new(new_log(&disk));
    let first = append(&log, &[1; 5_000]).unwrap();
    let meanwhile = log.clone();
    disk.at_syncs_of_the_log(vec![Box::new(move || {
        append(&meanwhile, &[2; 5_000]).unwrap();
    })]);
    log.sync_to(first).unwrap();
    assert_eq!(log.durable_lsn(), first);
    log.sync_to(log.last_lsn()).unwrap();
    let left = disk.after_power_loss(|_| false);
    assert_eq!(read(&left, 0).unwrap().0.len(), 2);
    let path = log_files(&left)[0].clone();
    left.damage(&path, |bytes| bytes[LOG_PAGE + 100] ^= 1)
        .unwrap();
    let error = read(&left, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(error.offset(), Some(LOG_PAGE as u64), "{error}");
}

/// Says whether it was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn closing_ends_a_wait_for_what_never_comes() {
    let disk = new_disk();
    let log = new_log(&disk);
    let never = Lsn(9);
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(flag.clone());
    assert!(poll(&log, never, &waker).is_none());
    running(&log, || {
        std::thread::scope(|scope| {
            let wait = scope.spawn(|| log.wait_to(never, true, None));
            log.close().unwrap();
            let error = wait.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        });
    });
    assert!(flag.0.load(Ordering::SeqCst));
    let error = poll(&log, never, &waker).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert!(log.wait_to(Lsn(1), true, None).unwrap());
}

/// Asks the log when it is woken, as an executor does that polls at once.
struct Inline(Arc<Log>, AtomicBool);

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let done = poll(&self.0, Lsn(1), Waker::noop());
        self.1.store(matches!(done, Some(Ok(()))), Ordering::SeqCst);
    }
}

#[test]
fn who_is_woken_may_ask_the_log_at_once() {
    let disk = new_disk();
    let log = Arc::new(new_log(&disk));
    let lsn = append(&log, b"one").unwrap();
    let inline = Arc::new(Inline(log.clone(), AtomicBool::new(false)));
    assert!(poll(&log, lsn, &Waker::from(inline.clone())).is_none());
    running(&log, || log.sync_to(lsn).unwrap());
    assert!(inline.1.load(Ordering::SeqCst));
}

/// Frames that came between the note of an orderly end and the end were never synced.
#[test]
fn nothing_is_appended_behind_the_note_of_an_orderly_end() {
    let disk = new_disk();
    let log = Arc::new(new_log(&disk));
    append(&log, b"one").unwrap();
    let refused = Arc::new(Mutex::new(Vec::new()));
    let hook = || -> Box<dyn FnOnce() + Send> {
        let (log, refused) = (log.clone(), refused.clone());
        Box::new(move || refused.lock().push(append(&log, b"late")))
    };
    // At the sync of what is pending, and at that of the note.
    disk.at_syncs_of_the_log(vec![hook(), hook()]);
    log.close().unwrap();
    for refused in &*refused.lock() {
        let error = refused.as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
    assert_eq!((refused.lock().len(), log.last_lsn()), (2, Lsn(2)));
    assert_eq!(log.durable_lsn(), Lsn(2));
}

/// A waker that panics.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("it is meant to");
    }
}

/// The log thread ended of it: no ticket was resolved any more.
#[test]
fn a_waker_that_panics_harms_nobody_else() {
    let disk = new_disk();
    let log = new_log(&disk);
    let lsn = append(&log, b"one").unwrap();
    running(&log, || {
        assert!(poll(&log, lsn, &Waker::from(Arc::new(Panics))).is_none());
        log.request(lsn, true);
        wait_async(&log, lsn).unwrap();
        let next = append(&log, b"two").unwrap();
        log.request(next, true);
        wait_async(&log, next).unwrap();
    });
}

/// They waited for ever for the one that wrote.
#[test]
fn who_waits_for_a_thread_that_panics_while_it_writes_is_told() {
    let disk = new_disk();
    let log = Arc::new(new_log(&disk));
    let lsn = append(&log, b"one").unwrap();
    let flag = Arc::new(Flag::default());
    assert!(poll(&log, lsn, &Waker::from(flag.clone())).is_none());
    running(&log, || {
        std::thread::scope(|scope| {
            let (to_waiting, waiting) = std::sync::mpsc::channel();
            let beside = log.clone();
            let clock = ManualClock::new(0);
            disk.at_next(Call::Sync, "log", move || {
                let now = Deadline::after(&clock, Duration::ZERO);
                to_waiting
                    .send(beside.wait_to(lsn, true, Some(now)))
                    .unwrap();
                panic!("it is meant to");
            });
            scope.spawn(|| log.sync_to(lsn)).join().unwrap_err();
            assert!(!waiting.recv().unwrap().unwrap(), "it was being written");
            let error = log.poisoned().unwrap();
            assert!(error.to_string().contains("panic"), "{error}");
            let told = [
                log.sync_to(lsn),
                log.wait_to(lsn, true, None).map(drop),
                log.close(),
            ];
            for told in told {
                assert_eq!(told.unwrap_err().kind(), ErrorKind::Poisoned);
            }
        });
    });
    assert!(flag.0.load(Ordering::SeqCst));
}

/// The next frame was appended behind the half of one.
#[test]
#[cfg(debug_assertions)]
fn nothing_is_appended_behind_a_frame_in_whose_midst_a_thread_panicked() {
    let disk = new_disk();
    let log = new_log(&disk);
    let lsn = append(&log, b"one").unwrap();
    // There is no LSN behind it: that is noticed once the frame is in its group.
    let next = std::mem::replace(&mut log.state.lock().next_lsn, Lsn(u64::MAX));
    let rows = rows_of(1, 10);
    let appends = AssertUnwindSafe(|| log.append(Frame::Rows(&rows), None).map(drop));
    catch_unwind(appends).unwrap_err();
    log.state.lock().next_lsn = next;
    let refused = [
        append(&log, b"two").map(drop),
        log.sync_to(lsn),
        log.close(),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
    }
    assert!(read(&disk, 0).unwrap().0.is_empty(), "nothing was written");
}
