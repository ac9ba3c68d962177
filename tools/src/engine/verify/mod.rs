//! `verify`: every byte of a database's files, and whether they belong together.
//!
//! Identity, manifest and segments are checked here, by the format alone; what the log files hold
//! is checked as opening the database reads them, because only all of them together tell where the
//! log ends. The index is not looked at: it can be rebuilt at any time.

mod segment;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tidestone::{Options, Tidestone};
use tidestone_format::header::{FileHeader, FileKind, HEADER_LEN};
use tidestone_format::log::{FrameCursor, LogIdentity, Record};
use tidestone_format::manifest::{ManifestIdentity, Replay, replay};
use tidestone_format::{FileUuid, FormatError, Lsn};

use super::files::DbFiles;
use crate::inspect::check::{Damage, Verdict};
use crate::outcome::{Failure, Outcome, Run};

/// A database to be checked.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The folder of the database
    dir: PathBuf,
    /// Print JSON, with a line for every file
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct VerifyReport {
    sound: bool,
    files: Vec<FileReport>,
    /// What opening the database says of all files together.
    open: OpenReport,
    /// What is no damage and yet worth knowing.
    notes: Vec<String>,
}

/// One file.
#[derive(Debug, Serialize)]
struct FileReport {
    file: String,
    kind: &'static str,
    bytes: u64,
    /// Rows of a segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damage: Vec<Damage>,
}

#[derive(Debug, Serialize)]
struct OpenReport {
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    durable_lsn: Option<u64>,
}

/// Carries out `tidestone verify`.
pub(crate) fn run(args: &VerifyArgs, out: &mut dyn Write) -> Run {
    if !args.dir.is_dir() {
        let dir = args.dir.display();
        return Err(Failure::new(format_args!("{dir} is no folder")));
    }
    let report = Verifier::new(&args.dir).verify()?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        report.print(out)?;
    }
    Ok(Outcome::sound(report.sound))
}

struct Verifier {
    files: DbFiles,
    reports: Vec<FileReport>,
    notes: Vec<String>,
}

impl Verifier {
    fn new(dir: &Path) -> Self {
        Self {
            files: DbFiles::new(dir),
            reports: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn verify(mut self) -> Run<VerifyReport> {
        let database = self.identity();
        let list = self.files.manifests();
        let manifests = list.map_err(|e| self.failure("list the manifests of", &e))?;
        if let Some(number) = manifests.len().checked_sub(2) {
            self.notes
                .push(format!("{} older manifests are still there", number + 1));
        }
        let replay = match manifests.last() {
            Some(path) => self.manifest(path, database),
            None => {
                let what = "manifest";
                let error = FormatError::invalid(what, 0, "a manifest file", "none in manifest/");
                self.report(
                    &self.files.root.join("manifest"),
                    what,
                    &[],
                    vec![error.into()],
                );
                None
            }
        };
        let logs = self.files.log_files();
        for path in logs.map_err(|e| self.failure("list the log of", &e))? {
            self.log(&path, database);
        }
        if let Some(replay) = &replay {
            for entry in replay.state.segments().values() {
                self.segment(entry, database);
            }
            self.strays(replay)?;
        }
        let open = open(&self.files.root);
        let sound = open.verdict == Verdict::Valid
            && self.reports.iter().all(|r| r.verdict == Verdict::Valid);
        Ok(VerifyReport {
            sound,
            files: self.reports,
            open,
            notes: self.notes,
        })
    }

    fn failure(&self, action: &str, error: &io::Error) -> Failure {
        Failure::file(action, &self.files.root, error)
    }

    fn report(&mut self, path: &Path, kind: &'static str, bytes: &[u8], damage: Vec<Damage>) {
        let file = path.strip_prefix(&self.files.root).unwrap_or(path);
        self.reports.push(FileReport {
            file: file.display().to_string(),
            kind,
            bytes: bytes.len() as u64,
            rows: None,
            verdict: Verdict::of(&damage),
            damage,
        });
    }

    /// The bytes of a file; that it cannot be read is reported.
    fn read(&mut self, path: &Path, kind: &'static str) -> Option<Vec<u8>> {
        match fs::read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let damage = FormatError::invalid(kind, 0, "a file that can be read", error);
                self.report(path, kind, &[], vec![damage.into()]);
                None
            }
        }
    }

    fn identity(&mut self) -> Option<FileUuid> {
        let path = self.files.identity();
        let bytes = self.read(&path, "identity")?;
        let header = FileHeader::decode_kind(&bytes, FileKind::Identity);
        let mut damage: Vec<Damage> = header
            .as_ref()
            .err()
            .cloned()
            .map(Damage::from)
            .into_iter()
            .collect();
        if bytes.len() > HEADER_LEN {
            let (expected, actual) = (format_args!("{HEADER_LEN} bytes"), bytes.len());
            damage.push(FormatError::invalid("identity file", 0, expected, actual).into());
        }
        self.report(&path, "identity", &bytes, damage);
        header.ok().map(|h| h.database)
    }

    fn manifest(&mut self, path: &Path, database: Option<FileUuid>) -> Option<Replay> {
        let bytes = self.read(path, "manifest")?;
        let mut damage = header_damage(&bytes, FileKind::Manifest, database);
        let identity = FileHeader::peek(&bytes).map(|header| ManifestIdentity::of(&header));
        let replay = match identity.and_then(|identity| replay(&bytes, identity)) {
            Ok(replay) => Some(replay),
            Err(error) => {
                damage.push(error.into());
                None
            }
        };
        if let Some(torn) = replay.as_ref().and_then(|r| r.torn.as_ref()) {
            self.notes.push(format!(
                "the last edit of the manifest was never synced: {torn}"
            ));
        }
        self.report(path, "manifest", &bytes, damage);
        replay
    }

    /// Header, and what the frames up to the first one that is not there hold.
    fn log(&mut self, path: &Path, database: Option<FileUuid>) {
        let Some(bytes) = self.read(path, "log") else {
            return;
        };
        if bytes.iter().take(HEADER_LEN).all(|&b| b == 0) {
            // Made ahead of its use.
            self.report(path, "log", &bytes, Vec::new());
            return;
        }
        let mut damage = header_damage(&bytes, FileKind::Log, database);
        if let Ok(header) = FileHeader::decode_kind(&bytes, FileKind::Log) {
            let first = match header.specific {
                tidestone_format::header::Specific::Log(log) => log.first_lsn,
                _ => Lsn(1),
            };
            let file = LogIdentity {
                incarnation: header.file,
                file_number: header.number,
            };
            for frame in FrameCursor::new(&bytes, file, first) {
                if let Err(error) = Record::decode(frame.header.kind, frame.payload) {
                    damage.push(error.at_base(frame.payload_offset()).into());
                }
            }
        }
        self.report(path, "log", &bytes, damage);
    }

    /// Notes segments that the manifest does not name.
    fn strays(&mut self, replay: &Replay) -> Run<()> {
        let mut strays = 0;
        let mut folders = vec![self.files.root.join("segments")];
        while let Some(folder) = folders.pop() {
            let list = match fs::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                list => list.map_err(|e| Failure::file("list", &folder, &e))?,
            };
            for entry in list {
                let path = entry
                    .map_err(|e| Failure::file("list", &folder, &e))?
                    .path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let mut named = replay.state.segments().values();
                strays += u64::from(!named.any(|entry| self.files.segment(entry) == path));
            }
        }
        if strays > 0 {
            self.notes.push(format!(
                "{strays} files below segments/ that the manifest does not name; the next open \
                 removes them"
            ));
        }
        Ok(())
    }
}

/// What is wrong with a header, and that it is of another database.
fn header_damage(bytes: &[u8], kind: FileKind, database: Option<FileUuid>) -> Vec<Damage> {
    let header = match FileHeader::decode_kind(bytes, kind) {
        Ok(header) => header,
        Err(error) => return vec![error.into()],
    };
    let other = database.filter(|&d| d != header.database).map(|database| {
        let expected = format_args!("database {database}, as IDENTITY says");
        FormatError::invalid("file header", 24, expected, header.database)
    });
    other.into_iter().map(Damage::from).collect()
}

fn open(dir: &Path) -> OpenReport {
    match Tidestone::open_read_only(dir, Options::default()) {
        Ok(db) => OpenReport {
            verdict: Verdict::Valid,
            error: None,
            durable_lsn: Some(db.durable_lsn().0),
        },
        Err(error) => OpenReport {
            verdict: Verdict::Bad,
            error: Some(error.to_string()),
            durable_lsn: None,
        },
    }
}

impl VerifyReport {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        for kind in ["identity", "manifest", "log", "segment"] {
            let of_kind: Vec<&FileReport> = self.files.iter().filter(|f| f.kind == kind).collect();
            let bytes: u64 = of_kind.iter().map(|f| f.bytes).sum();
            let rows: u64 = of_kind.iter().filter_map(|f| f.rows).sum();
            let bad = of_kind
                .iter()
                .filter(|f| f.verdict != Verdict::Valid)
                .count();
            let verdict = match bad {
                0 => "VALID".to_owned(),
                bad => format!("BAD: {bad} of them"),
            };
            let rows = match kind {
                "segment" => format!(", {rows} rows"),
                _ => String::new(),
            };
            let files = of_kind.len();
            writeln!(
                out,
                "{kind:<9} {files} files, {bytes} bytes{rows}: {verdict}"
            )?;
            for file in of_kind.iter().filter(|f| f.verdict != Verdict::Valid) {
                for damage in &file.damage {
                    writeln!(out, "  {}: {damage}", file.file)?;
                }
            }
        }
        match &self.open.error {
            None => writeln!(out, "open      the files fit together, log and all: VALID")?,
            Some(error) => writeln!(out, "open      BAD: {error}")?,
        }
        for note in &self.notes {
            writeln!(out, "note      {note}")?;
        }
        let verdict = if self.sound { "VALID" } else { "BAD" };
        writeln!(out, "{verdict}")
    }
}
