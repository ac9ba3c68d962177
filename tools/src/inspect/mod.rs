//! Looking into one file, from outside in.
//!
//! The file is read and nothing else is: no other file of the database, and nothing is written.
//! Whatever can be decoded of a damaged file is shown. Every report is a plain structure, from
//! which both the text and the JSON are made.
//!
//! | module | what |
//! |---|---|
//! | `check` | VALID or BAD, and the damage found |
//! | `kind` | which kind of file it is, whatever of it is damaged |
//! | `gap` | what lies where no whole frame or edit does |
//! | `header` | the header of any file, and the identity file, which is nothing else |
//! | `log` | frames, where the log ends and why |
//! | `manifest` | edits and their entries |
//! | `segment` | trailer, root, pages, blocks, vectors |

pub(crate) mod check;
mod entries;
mod gap;
mod header;
mod kind;
mod log;
mod manifest;
mod segment;

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tidestone_format::header::FileKind;

use crate::outcome::{Failure, Outcome, Run};
use check::{Damage, Verdict};
use header::HeaderReport;

#[cfg(feature = "engine")]
/// Shows a whole file, as `tidestone inspect FILE` does.
pub(crate) fn show(file: PathBuf, out: &mut dyn Write) -> Run {
    let args = InspectArgs {
        file,
        region: None,
        vector: None,
        column: None,
        vectors: false,
        json: false,
    };
    run(&args, out)
}

/// What to show of which file.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The file
    file: PathBuf,
    /// Show what lies at this offset: a header, page, block, vector, frame or edit, in full
    #[arg(long, value_name = "OFFSET", conflicts_with_all = ["vector", "vectors"], value_parser = parse_offset)]
    region: Option<u64>,
    /// Of a segment: show the values of vector N (rows N * 1024 on), of every column
    #[arg(long, value_name = "N", conflicts_with = "vectors")]
    vector: Option<u64>,
    /// With --vector: of this column only; `time` is the time column
    #[arg(long, value_name = "NAME", requires = "vector")]
    column: Option<String>,
    /// Of a segment: list every vector, with its codec and statistics
    #[arg(long)]
    vectors: bool,
    /// Print JSON; times are nanoseconds since 1970 UTC
    #[arg(long)]
    json: bool,
}

/// Everything there is to say of a file.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    length: u64,
    kind: &'static str,
    header: HeaderReport,
    #[serde(flatten)]
    body: Body,
    sound: bool,
    damage: Vec<Damage>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Body {
    Identity {},
    Log(log::LogReport),
    Manifest(manifest::ManifestReport),
    Segment(Box<segment::SegmentReport>),
}

/// Carries out `tidestone inspect`.
pub(crate) fn run(args: &InspectArgs, out: &mut dyn Write) -> Run {
    let bytes = fs::read(&args.file).map_err(|e| Failure::file("read", &args.file, &e))?;
    let Some(kind) = kind::of(&bytes, &args.file) else {
        return Err(Failure::new(format_args!(
            "{} is no file of Tidestone: neither its first bytes nor its last, nor what stands \
             where frames, edits and blocks stand, nor its name say so",
            args.file.display()
        )));
    };
    if let Some(offset) = args.region {
        return region(args, kind, &bytes, offset, out);
    }
    if let Some(vector) = args.vector {
        if kind != FileKind::Segment {
            let message = format_args!(
                "--vector is of segments; {} is a {kind}",
                args.file.display()
            );
            return Err(Failure::new(message));
        }
        let dump = segment::dump_vector(&bytes, vector, args.column.as_deref())?;
        let outcome = Verdict::of(&dump.damage).outcome();
        return finish(args, &dump, outcome, out, |out| dump.print(out));
    }
    let header = HeaderReport::of(&bytes, kind);
    let mut damage = header.damage();
    let body = match kind {
        FileKind::Identity => {
            damage.extend(header::bytes_behind_identity(&bytes));
            Body::Identity {}
        }
        FileKind::Log => Body::Log(log::LogReport::of(&bytes, &header, &mut damage)),
        FileKind::Manifest => Body::Manifest(manifest::ManifestReport::of(&bytes, &mut damage)),
        FileKind::Segment => {
            let report = segment::SegmentReport::of(&bytes, args.vectors, &mut damage);
            Body::Segment(Box::new(report))
        }
    };
    let report = Report {
        file: args.file.display().to_string(),
        length: bytes.len() as u64,
        kind: kind::name(kind),
        header,
        body,
        sound: damage.is_empty(),
        damage,
    };
    let outcome = Verdict::of(&report.damage).outcome();
    finish(args, &report, outcome, out, |out| report.print(out))
}

fn region(
    args: &InspectArgs,
    kind: FileKind,
    bytes: &[u8],
    offset: u64,
    out: &mut dyn Write,
) -> Run {
    let len = bytes.len() as u64;
    // Frames and edits may fill the file: their end is its end, and is a place.
    let ends_here = offset == len && matches!(kind, FileKind::Log | FileKind::Manifest);
    if offset >= len && !ends_here {
        return Err(Failure::new(format_args!(
            "{} has {len} bytes; there is no offset {offset}",
            args.file.display()
        )));
    }
    if offset < tidestone_format::header::HEADER_LEN as u64 {
        let header = HeaderReport::of(bytes, kind);
        let outcome = header.verdict().outcome();
        return finish(args, &header, outcome, out, |out| header.print(out));
    }
    match kind {
        FileKind::Identity => Err(Failure::new(
            "an identity file is its header and nothing else",
        )),
        FileKind::Log => {
            let place = log::place_at(bytes, offset);
            let outcome = place.verdict().outcome();
            finish(args, &place, outcome, out, |out| place.print(out))
        }
        FileKind::Manifest => {
            let place = manifest::place_at(bytes, offset);
            let outcome = place.verdict().outcome();
            finish(args, &place, outcome, out, |out| place.print(out))
        }
        FileKind::Segment => {
            let region = segment::region_at(bytes, offset);
            let outcome = region.verdict().outcome();
            finish(args, &region, outcome, out, |out| region.print(out))
        }
    }
}

/// Prints a report, as JSON or as `text` does.
fn finish(
    args: &InspectArgs,
    report: &impl Serialize,
    outcome: Outcome,
    out: &mut dyn Write,
    text: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Run {
    if args.json {
        serde_json::to_writer_pretty(&mut *out, report)?;
        writeln!(out)?;
    } else {
        text(out)?;
    }
    Ok(outcome)
}

impl Report {
    fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "{}: {}, {} bytes", self.file, self.kind, self.length)?;
        writeln!(out)?;
        self.header.print(out)?;
        match &self.body {
            Body::Identity {} => {}
            Body::Log(log) => log.print(out)?,
            Body::Manifest(manifest) => manifest.print(out)?,
            Body::Segment(segment) => segment.print(out)?,
        }
        writeln!(out)?;
        check::print_damage(&self.damage, out)
    }
}

/// Decimal, or hexadecimal after `0x`.
fn parse_offset(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|e| format!("{e}: an offset is a number of bytes, like 4096 or 0x1000"))
}
