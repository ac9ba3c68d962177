//! `import`, asked by a signal to end.
#![cfg(all(unix, feature = "engine"))]
#![expect(
    clippy::disallowed_methods,
    reason = "input files are files of the test"
)]
#![expect(
    clippy::unwrap_used,
    reason = "the lints know test functions, not the functions they call"
)]

mod common;

use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};

use common::{Place, text};
use rustix::process::{Pid, Signal, kill_process};

const CSV: [&str; 10] = [
    "import", "--db", "db", "--format", "csv", "--table", "t", "--time", "t", "-",
];

/// An import that reads from a pipe.
struct Import {
    child: Child,
    pipe: ChildStdin,
}

impl Import {
    fn start(place: &Place, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidestone"));
        command.args(args);
        Self::spawn(place, command.stdout(Stdio::piped()))
    }

    fn spawn(place: &Place, command: &mut Command) -> Self {
        let mut child = command
            .current_dir(place.0.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pipe = child.stdin.take().unwrap();
        Self { child, pipe }
    }

    /// Writes to the pipe and waits until all of it was read.
    fn feed(&mut self, text: &str) {
        self.pipe.write_all(text.as_bytes()).unwrap();
        while rustix::io::ioctl_fionread(&self.pipe).unwrap() > 0 {
            assert_eq!(self.child.try_wait().unwrap(), None, "it ended");
            std::thread::yield_now();
        }
    }

    fn kill(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// What it printed on stdout and stderr once it ended, with `code`, though the pipe is open.
    fn end(self, code: i32) -> (String, String) {
        let output = self.child.wait_with_output().unwrap();
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{out}\n{error}");
        drop(self.pipe);
        (out, error)
    }
}

/// How many rows table `t` has.
fn rows(place: &Place) -> usize {
    let csv = place.ok(&["export", "--db", "db", "--table", "t"]);
    csv.lines().count() - 1
}

/// It died, without a word, and with it the rows that were not committed.
#[test]
fn what_was_read_before_a_signal_is_committed_and_told() {
    for (signal, name, code) in [
        (Signal::INT, "SIGINT", 130),
        (Signal::TERM, "SIGTERM", 143),
        (Signal::HUP, "SIGHUP", 129),
    ] {
        let place = Place::new();
        let mut import = Import::start(&place, &CSV);
        let lines: String = (0..500).map(|i| format!("{i},{i}\n")).collect();
        // The last line may go on: it is not taken.
        import.feed(&format!("t,v\n{lines}500,1"));
        import.kill(signal);
        let (out, error) = import.end(code);
        assert!(out.starts_with("table t: 500 rows, 500 values"), "{out}");
        let last = "; 0 lines refused; stopped at -:501\n";
        assert!(out.ends_with(last), "{out}");
        let said = format!("tidestone: ended by {name}\n");
        assert!(error.ends_with(&said), "{error}");
        assert_eq!(rows(&place), 500);
    }
}

#[test]
fn a_signal_in_a_long_file_ends_it_between_two_lines() {
    let place = Place::new();
    place.file("a.lp", "t v=1i -1\nt v=1i -2\n");
    let args = ["import", "--db", "db", "--format", "line", "a.lp", "-"];
    let mut import = Import::start(&place, &args);
    let lines: String = (0..50_000).map(|i| format!("t v={i}i {i}\n")).collect();
    import.feed(&lines);
    import.kill(Signal::INT);
    let (out, _) = import.end(130);
    let read = rows(&place);
    assert!(read > 1000, "{read}");
    assert!(out.starts_with(&format!("table t: {read} rows")), "{out}");
    let last = format!("stopped at -:{}\n", read - 2);
    assert!(out.ends_with(&last), "{last}: {out}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let place = Place::new();
    // The last line cannot be written: the pipe for it is full.
    let (reader, mut stdout) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&stdout, true).unwrap();
    while stdout.write(&[b'.'; 1024]).is_ok() {}
    while stdout.write(b".").is_ok() {}
    rustix::io::ioctl_fionbio(&stdout, false).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidestone"));
    let mut import = Import::spawn(&place, command.args(CSV).stdout(stdout));
    drop(command);
    import.feed("t,v\n1,1\n");
    import.kill(Signal::INT);
    import.kill(Signal::TERM);
    let code = import.child.wait().unwrap().code().unwrap();
    // Where both come at once the system tells which one is the first.
    assert!([130, 143].contains(&code), "{code}");
    drop(reader);
}

/// As `nohup` starts it.
#[test]
fn a_signal_that_it_was_started_to_ignore_stays_ignored() {
    let place = Place::new();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    command.arg(env!("CARGO_BIN_EXE_tidestone")).args(CSV);
    let mut import = Import::spawn(&place, command.stdout(Stdio::piped()));
    import.feed("t,v\n1,1\n");
    import.kill(Signal::HUP);
    import.feed("2,2\n");
    let Import { child, pipe } = import;
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(rows(&place), 2);
}
