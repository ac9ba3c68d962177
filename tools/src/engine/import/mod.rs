//! `import`: CSV and line protocol into tables.
//!
//! | module | what |
//! |---|---|
//! | `source`, `gzip` | the bytes of a file, unpacked, counted |
//! | `csv_file`, `columns` | CSV |
//! | `lines`, `open_string`, `line_protocol` | line protocol |
//! | `cell`, `time_format` | text to values and times |
//! | `sink` | rows to batches of a table |
//! | `problems` | lines that were refused |
//! | `signals` | being asked to end |

mod cell;
mod columns;
mod csv_file;
mod gzip;
mod line_protocol;
mod lines;
mod open_string;
mod problems;
mod signals;
mod sink;
mod source;
mod time_format;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use tidestone::{DuplicatePolicy, ErrorKind, FieldType, Table, TableOptions, Tidestone};

use super::files::DbFiles;
use crate::args::missing;
use crate::outcome::{Failure, Outcome, Run};
use crate::stderr::tell;
use crate::text::one_line;
use crate::time::length;
use problems::Problems;
pub(crate) use signals::Signals;
use sink::{Refused, Sink};
use source::Source;
use time_format::TimeFormat;

const USAGE: &str = "tidestone import [OPTIONS] --db <DB> <FILES>...";

/// The partition of a table that is made, where none is asked for: a day.
const PARTITION_NS: i64 = 86_400_000_000_000;

const AFTER_HELP: &str = "\
In CSV nothing between two delimiters is null, and \"\" is the empty string (null in columns of
numbers and bools); a quoted cell may hold delimiters, ends of lines and doubled quotes. A file of
`export --typed` needs neither --time, --tags nor --types. In line protocol a string may hold ends
of lines.

A line that is wrong is named on stderr as file:line: what, and left out; the exit code is then 1.
Where the import stops before the end, what was read before is committed and counted all the same;
so it is where Ctrl-C, SIGTERM or SIGHUP end it (exit code 128 and the signal's number). A second one
ends it at once.";

/// What to import, and how to read it.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP, override_usage = USAGE)]
pub(crate) struct ImportArgs {
    /// The folder of the database; it is made if there is none
    // Not required by clap: the first of the files may be it.
    #[arg(long)]
    pub(crate) db: Option<PathBuf>,
    /// The table; it is made if there is none. Line protocol without it: each measurement goes to
    /// the table of its name
    #[arg(long)]
    pub(crate) table: Option<String>,
    /// CSV: the column with the times
    #[arg(long, value_name = "COLUMN")]
    pub(crate) time: Option<String>,
    /// How times are written: s, ms, us, ns (numbers since 1970), rfc3339 (also YYYY-MM-DD
    /// HH:MM:SS, in UTC), or a pattern of strftime. Without it CSV goes by the first time, and
    /// line protocol is ns
    #[arg(long, value_name = "FORMAT")]
    pub(crate) time_format: Option<TimeFormat>,
    /// CSV: the columns that are tags; all others are fields
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) tags: Vec<String>,
    /// A tag that every row gets; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) tag: Vec<(String, String)>,
    /// CSV: types of fields, such as price=f64,size=i64 (f64, i64, u64, bool, string). Without it
    /// the table's or, for new fields, the narrowest that fits the first 1,000 rows: bool
    /// (true, false), i64, u64 if one is beyond i64, f64 if one has decimals, else string. Types
    /// never change: a value that does not fit later on is refused with its line, and so are
    /// negative integers where others are beyond i64
    #[arg(long, value_name = "NAME=TYPE", value_delimiter = ',', value_parser = field_type)]
    types: Vec<(String, FieldType)>,
    /// CSV: the character between columns
    #[arg(long, default_value = ",", value_parser = one_byte)]
    delimiter: u8,
    /// What the files are; without it their names tell (.csv, .lp, each also with .gz)
    #[arg(long)]
    format: Option<Format>,
    /// Of a table that is made: the time that shares segments, such as 1h [default: 1d]
    // No default of clap's: it could not be told from what was asked for.
    #[arg(long, value_parser = crate::time::duration)]
    partition: Option<i64>,
    /// Of a table that is made: what becomes of rows of one series at one time [default: replace]
    #[arg(long)]
    duplicates: Option<Duplicates>,
    /// Stop at the first line that is wrong; what stands before it is imported
    #[arg(long)]
    strict: bool,
    /// Files to import; `-` is stdin
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Comma-separated values, the first line names the columns
    Csv,
    /// InfluxDB's line protocol
    Line,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Duplicates {
    /// The last one written wins, field by field
    Replace,
    /// All stay
    All,
    /// The first one stays
    First,
}

impl Duplicates {
    fn policy(self) -> DuplicatePolicy {
        match self {
            Self::Replace => DuplicatePolicy::Replace,
            Self::All => DuplicatePolicy::All,
            Self::First => DuplicatePolicy::First,
        }
    }

    fn of(policy: DuplicatePolicy) -> Self {
        match policy {
            DuplicatePolicy::Replace => Self::Replace,
            DuplicatePolicy::All => Self::All,
            DuplicatePolicy::First => Self::First,
        }
    }
}

/// As it is given on the command line.
impl fmt::Display for Duplicates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Replace => "replace",
            Self::All => "all",
            Self::First => "first",
        })
    }
}

/// Carries out `tidestone import`. What was imported is said also where it failed.
pub(crate) fn run(args: &ImportArgs, out: &mut dyn Write) -> Run {
    check(args)?;
    let db = OnceCell::new();
    if DbFiles::new(args.places().0).is_database() {
        super::report_open(open(&db, args)?);
    }
    let signals = Signals::catch()?;
    let started = Instant::now();
    let imported = import(&db, args, &signals);
    let (synced, closed) = match db.get() {
        Some(db) => (db.sync().map(drop), db.close()),
        None => (Ok(()), Ok(())),
    };
    let printed = imported.summary.print(started.elapsed(), out);
    let printed = printed.and_then(|()| out.flush());
    let signalled = match imported.result {
        // It is no reason to say less of what failed besides.
        Err(failure @ Failure::Signalled(_)) => Some(failure),
        result => result.map(|()| None)?,
    };
    synced.and(closed).map_err(|error| {
        Failure::from(error).about("what was imported may be lost in a power failure")
    })?;
    if let Some(failure) = signalled {
        return Err(failure);
    }
    printed?;
    Ok(Outcome::sound(imported.summary.refused == 0))
}

/// What an import did, and how it ended.
#[derive(Debug)]
pub(crate) struct Imported {
    pub(crate) summary: Summary,
    /// Why it stopped before the end, if it did.
    pub(crate) result: Run<()>,
}

/// What was imported.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    tables: Vec<TableSummary>,
    refused: u64,
    /// The line, or the file, where it stopped, if that was not the end.
    stopped: Option<String>,
}

/// New fields of a table that are told with their types.
const FIELDS_SHOWN: usize = 20;

/// What was imported into a table.
#[derive(Debug)]
struct TableSummary {
    table: String,
    rows: u64,
    values: u64,
    series: usize,
    /// Fields that the table did not have before.
    new_fields: Vec<(String, FieldType)>,
    /// Rows that were read and could not be committed.
    left_out: u64,
    /// File and line of the first one of those.
    first_left_out: Option<(Arc<str>, u64)>,
}

impl Summary {
    /// Rows of all tables.
    pub(crate) fn rows(&self) -> u64 {
        self.tables.iter().map(|t| t.rows).sum()
    }

    /// Values of all tables.
    pub(crate) fn values(&self) -> u64 {
        self.tables.iter().map(|t| t.values).sum()
    }

    fn print(&self, took: Duration, out: &mut dyn Write) -> std::io::Result<()> {
        for t in &self.tables {
            let (rows, values, series) = (t.rows, t.values, t.series);
            write!(
                out,
                "table {}: {rows} rows, {values} values, {series} series",
                one_line(&t.table)
            )?;
            if let Some((file, line)) = &t.first_left_out {
                let left_out = t.left_out;
                write!(
                    out,
                    "; {left_out} rows more were read and are not in it, from {file}:{line} on"
                )?;
            }
            writeln!(out)?;
            // What a field is stays: one cell may have made it a string.
            if !t.new_fields.is_empty() {
                let shown = t.new_fields.iter().take(FIELDS_SHOWN);
                let shown =
                    shown.map(|(name, field_type)| format!("{} {field_type}", one_line(name)));
                let shown: Vec<String> = shown.collect();
                let more = t.new_fields.len() - shown.len();
                write!(out, "  new fields: {}", shown.join(", "))?;
                match more {
                    0 => writeln!(out)?,
                    _ => writeln!(out, ", and {more} more")?,
                }
            }
        }
        let seconds = took.as_secs_f64();
        let (rows, values) = (self.rows(), self.values());
        write!(
            out,
            "{rows} rows in {seconds:.2} s: {:.0} rows/s, {:.0} values/s; {} lines refused",
            rows as f64 / seconds,
            values as f64 / seconds,
            self.refused
        )?;
        match &self.stopped {
            Some(place) => writeln!(out, "; stopped at {place}"),
            None => writeln!(out),
        }
    }
}

/// The database that is imported into, which is made if there is none.
fn open<'d>(db: &'d OnceCell<Tidestone>, args: &ImportArgs) -> Run<&'d Tidestone> {
    if let Some(db) = db.get() {
        return Ok(db);
    }
    let opened = Tidestone::builder(args.places().0).open_or_create()?;
    Ok(db.get_or_init(|| opened))
}

/// Imports the files into a database. If it is not open it is opened once a file is understood:
/// what cannot be imported makes none. Where it stops before the end, rows that were read are
/// committed all the same, as far as the engine takes them.
pub(crate) fn import(db: &OnceCell<Tidestone>, args: &ImportArgs, signals: &Signals) -> Imported {
    let total = args.places().1.iter().map(|f| source::len(f)).sum();
    let progress = progress_bar(total);
    let mut problems = Problems::new(args.strict, progress.clone(), signals.clone());
    let mut tables = Tables {
        db,
        args,
        sinks: BTreeMap::new(),
    };
    let read = read_files(args, &mut tables, &mut problems, &progress);
    let stopped = match read.is_err() || problems.stop() {
        true => problems.place(),
        false => None,
    };
    // Also where no line names a table.
    let read = read.and_then(|()| open(db, args).map(drop));
    let signalled = matches!(read, Err(Failure::Signalled(_)));
    let committed = tables.commit(read.is_err() && !signalled, &mut problems);
    progress.finish_and_clear();
    problems.finish();
    tables.note_repeated();
    let summary = Summary {
        tables: tables.summaries(),
        refused: problems.refused(),
        stopped,
    };
    let result = match signalled {
        true => committed.and(read),
        false => read.and(committed),
    };
    Imported { summary, result }
}

fn read_files(
    args: &ImportArgs,
    tables: &mut Tables<'_>,
    problems: &mut Problems,
    progress: &ProgressBar,
) -> Run<()> {
    for path in args.places().1 {
        let name: Arc<str> = path.display().to_string().into();
        problems.start_file(&name);
        tables.start_file();
        problems.check_signals()?;
        let Source { input, trailing } = source::open(path, progress, problems.signals())?;
        match format_of(path, args)? {
            Format::Csv => {
                let table = args.table.as_deref();
                let table = table.ok_or_else(|| Failure::new("CSV needs --table"))?;
                csv_file::import(&name, input, table, tables, problems)?;
            }
            Format::Line => lines::import(&name, input, args, tables, problems)?,
        }
        if trailing.get() {
            problems.refuse_rest(
                "what is packed with gzip ends behind this line, and bytes that are not packed follow, which are \
                 left out; what stands before is complete: cut them off",
            );
        }
        if problems.stop() {
            break;
        }
    }
    Ok(())
}

/// Fails before anything is imported where no database is named, a file is not there, nothing tells
/// what it is, or options contradict each other.
fn check(args: &ImportArgs) -> Run<()> {
    args.check_folder().unwrap_or_else(|error| error.exit());
    for (at, (name, _)) in args.tag.iter().enumerate() {
        if args.tag[..at].iter().any(|(other, _)| other == name) {
            return Err(Failure::new(format_args!(
                "--tag names {name:?} twice; give it once"
            )));
        }
    }
    for path in args.places().1 {
        if format_of(path, args)? == Format::Csv && args.table.is_none() {
            return Err(Failure::new(format_args!(
                "{} is CSV: give --table, the table to import into",
                path.display()
            )));
        }
        source::check(path)?;
    }
    Ok(())
}

/// The tables that are imported into.
struct Tables<'a> {
    db: &'a OnceCell<Tidestone>,
    args: &'a ImportArgs,
    sinks: BTreeMap<String, Sink>,
}

impl Tables<'_> {
    fn sink(&mut self, name: &str) -> Result<&mut Sink, Refused> {
        if !self.sinks.contains_key(name) {
            let db = open(self.db, self.args).map_err(Refused::All)?;
            let table = match db.table(name) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    db.create_table(name, self.args.table_options())?
                }
                there => {
                    let table = there?;
                    self.args.check_made_with(&table).map_err(Refused::All)?;
                    table
                }
            };
            self.sinks.insert(name.to_owned(), Sink::new(db, table));
        }
        let gone = || {
            Refused::All(Failure::new(format_args!(
                "table {name:?} is gone: it was dropped meanwhile; import again"
            )))
        };
        self.sinks.get_mut(name).ok_or_else(gone)
    }

    fn start_file(&mut self) {
        self.sinks.values_mut().for_each(Sink::start_file);
    }

    /// Commits what is left in all tables, whatever becomes of one of them; the first failure is
    /// told. After one, nothing is waited for any more.
    fn commit(&mut self, failed: bool, problems: &mut Problems) -> Run<()> {
        let mut result = Ok(());
        for sink in self.sinks.values_mut() {
            if failed || result.is_err() {
                sink.wait_no_more();
            }
            let committed = sink.commit(problems);
            result = result.and(committed);
        }
        result
    }

    /// Says where rows replaced others that were imported just before.
    fn note_repeated(&self) {
        for (name, sink) in &self.sinks {
            let becomes = match sink.table().schema().settings.policy {
                DuplicatePolicy::Replace => "replace it field by field",
                DuplicatePolicy::First => "are dropped",
                DuplicatePolicy::All => continue,
            };
            if sink.repeated > 0 {
                tell(format_args!(
                    "tidestone: table {name:?}: {} rows have the series and the time of the row \
                     before and {becomes}; a table made with --duplicates all keeps them",
                    sink.repeated
                ));
            }
        }
    }

    fn summaries(&self) -> Vec<TableSummary> {
        let summary = |(table, sink): (&String, &Sink)| TableSummary {
            table: table.clone(),
            rows: sink.rows,
            values: sink.values,
            series: sink.series_met(),
            new_fields: sink.new_fields(),
            left_out: sink.uncommitted().rows,
            first_left_out: sink.uncommitted().first.clone(),
        };
        self.sinks.iter().map(summary).collect()
    }
}

impl ImportArgs {
    /// A file of CSV into a table; everything else by default.
    pub(crate) fn of_csv(table: &str, time: &str, file: PathBuf, partition: i64) -> Self {
        Self {
            db: Some(PathBuf::new()),
            table: Some(table.to_owned()),
            time: Some(time.to_owned()),
            time_format: None,
            tags: Vec::new(),
            tag: Vec::new(),
            types: Vec::new(),
            delimiter: b',',
            format: Some(Format::Csv),
            partition: Some(partition),
            duplicates: None,
            strict: false,
            files: vec![file],
        }
    }

    /// The folder of the database, and the files to import. Without `--db` the first of the names is the
    /// folder: other commands take it so.
    fn places(&self) -> (&Path, &[PathBuf]) {
        match (&self.db, self.files.split_first()) {
            (None, Some((first, files))) => (first.as_path(), files),
            (db, _) => (
                db.as_deref().unwrap_or(Path::new("")),
                self.files.as_slice(),
            ),
        }
    }

    /// Fails where `--db` was forgotten, so that the first of the files is not taken for the folder, and no
    /// database made in its place.
    fn check_folder(&self) -> Result<(), clap::Error> {
        if self.db.is_some() {
            return Ok(());
        }
        let (first, files) = self.places();
        let is_named_as_file = first == Path::new("-") || format_by_name(first).is_some();
        if !first.is_dir() && (first.exists() || is_named_as_file) {
            return Err(missing("import", "--db <DB>"));
        }
        match files.is_empty() {
            true => Err(missing("import", "<FILES>...")),
            false => Ok(()),
        }
    }

    /// Old data may be ahead of a clock that is wrong: no bound.
    fn table_options(&self) -> TableOptions {
        let policy = self.duplicates.unwrap_or(Duplicates::Replace).policy();
        let partition = u64::try_from(self.partition.unwrap_or(PARTITION_NS)).unwrap_or_default();
        TableOptions::new()
            .open_schema()
            .future_bound(None)
            .policy(policy)
            .partition(Duration::from_nanos(partition))
    }

    /// Fails where options of a table that is made ask for another one than the table that is there.
    fn check_made_with(&self, table: &Table) -> Run<()> {
        let settings = &table.schema().settings;
        let check = |is_so: bool, option: &str, asked: String, made: String| match is_so {
            true => Ok(()),
            false => Err(Failure::new(format_args!(
                "--{option} {asked} is asked for, and table {:?} was made with --{option} {made}, which \
                 stays; leave the option out, or import into another table",
                table.name()
            ))),
        };
        if let Some(asked) = self.duplicates {
            let made = Duplicates::of(settings.policy);
            check(
                asked == made,
                "duplicates",
                asked.to_string(),
                made.to_string(),
            )?;
        }
        if let Some(asked) = self.partition {
            let made = settings.partition_ns;
            check(asked == made, "partition", length(asked), length(made))?;
        }
        Ok(())
    }
}

fn format_of(path: &Path, args: &ImportArgs) -> Run<Format> {
    let format = args.format.or_else(|| format_by_name(path));
    format.ok_or_else(|| {
        Failure::new(format_args!(
            "{}: its name does not tell what it is; give --format csv or --format line",
            path.display()
        ))
    })
}

fn format_by_name(path: &Path) -> Option<Format> {
    let name = path.to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("csv") => Some(Format::Csv),
        Some("lp" | "line" | "influx") => Some(Format::Line),
        _ => None,
    }
}

/// On stderr, and only if that is a terminal.
fn progress_bar(total: u64) -> ProgressBar {
    let bar = if total == 0 {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::new(total)
    };
    let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";
    // The template is a constant; were it wrong, the default one is as good.
    let style =
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style)
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

fn field_type(text: &str) -> Result<(String, FieldType), String> {
    let types = [
        FieldType::F64,
        FieldType::I64,
        FieldType::U64,
        FieldType::Bool,
        FieldType::String,
    ];
    let (name, wanted) = pair(text).map_err(|_| "write NAME=TYPE".to_owned())?;
    let found = types.into_iter().find(|t| t.name() == wanted);
    let wrong = || format!("{wanted:?} is no type: give f64, i64, u64, bool or string");
    Ok((name, found.ok_or_else(wrong)?))
}

fn one_byte(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [b'"' | b'\n' | b'\r'] => {
            Err("quotes and ends of lines divide no columns; give another character".to_owned())
        }
        [byte] => Ok(*byte),
        b"\\t" => Ok(b'\t'),
        _ => Err("give one character of ASCII, or \\t".to_owned()),
    }
}

#[cfg(test)]
mod tests;
