//! Blocks and vectors.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use serde::{Serialize, Serializer};
use tidestone_format::codec::integer::{self, Form};
use tidestone_format::codec::vector::{Detail, NullForm};
use tidestone_format::column::Column;

use super::super::check::{Damage, Verdict, merge};
use super::contents::{Contents, PlacedBlock};
use super::stats::StatsReport;
use crate::text::{TextTable, ratio};

/// The vectors of one column of one row group.
#[derive(Debug, Serialize)]
pub(in crate::inspect) struct BlockReport {
    pub(super) offset: u64,
    pub(super) length: u32,
    /// What the page says it is; absent where no page says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    crc: Option<u32>,
    verdict: Verdict,
    pub(super) group: u32,
    pub(super) field: u32,
    pub(super) column: String,
    pub(super) r#type: &'static str,
    rows: usize,
    pub(super) values: u64,
    /// How many vectors have each encoding.
    pub(super) encodings: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stats: Option<StatsReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) damage: Vec<Damage>,
    /// Only where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) vectors: Vec<VectorReport>,
}

/// Up to 1,024 rows of one column.
#[derive(Debug, Serialize)]
pub(super) struct VectorReport {
    vector: u64,
    pub(super) offset: u64,
    pub(super) length: usize,
    verdict: Verdict,
    rows: usize,
    values: usize,
    encoding: &'static str,
    nulls_as: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<DetailReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<StatsReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<Damage>,
}

/// The parameters of a codec.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum DetailReport {
    Integers(Integers),
    Alp {
        e: u8,
        f: u8,
        exceptions: usize,
        integers: Integers,
    },
}

#[derive(Debug, Serialize)]
struct Integers {
    #[serde(serialize_with = "serialize_form")]
    form: Form,
    width: u8,
    scale: u64,
    base: i64,
    reference: i64,
    patches: usize,
    /// Runs or entries, of the forms that have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<usize>,
}

impl BlockReport {
    /// The report of a block; with a line for each of its vectors if that is asked for.
    pub(super) fn of(block: &PlacedBlock<'_>, contents: &Contents<'_>, vectors: bool) -> Self {
        let opened = block.block.as_ref();
        let count = opened.map_or(0, |b| b.vector_count());
        let all: Vec<VectorReport> = (0..count)
            .filter_map(|v| VectorReport::of(block, contents, v))
            .collect();
        let mut encodings = BTreeMap::new();
        for vector in &all {
            *encodings.entry(vector.encoding).or_insert(0) += 1;
        }
        let mut damage = block.damage.clone();
        merge(&mut damage, all.iter().filter_map(|v| v.damage.clone()));
        let values = all.iter().map(|v| v.values as u64).sum();
        let total = block.stats.as_ref().and_then(|s| s.total());
        Self {
            offset: block.region.offset,
            length: block.region.stored_len,
            crc: block.checked.then_some(block.region.crc),
            verdict: match Verdict::of(&damage) {
                Verdict::Valid if !block.checked => Verdict::Unchecked,
                verdict => verdict,
            },
            group: block.group,
            field: block.field.0,
            column: block.name.clone(),
            r#type: block.field_type.name(),
            rows: opened.map_or(0, |b| b.rows()),
            values,
            encodings,
            stats: total.as_ref().map(StatsReport::from),
            damage,
            vectors: if vectors { all } else { Vec::new() },
        }
    }

    pub(super) fn table() -> TextTable {
        let head = [
            "offset",
            "bytes",
            "CRC-32",
            "field",
            "column",
            "type",
            "codecs",
            "bits/value",
        ];
        TextTable::new(head.into_iter().chain(StatsReport::NAMES))
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = String> {
        let word = self.verdict.word();
        let own = [
            self.offset.to_string(),
            self.length.to_string(),
            match self.crc {
                Some(crc) => format!("{crc:#010x} {word}"),
                None => word.to_owned(),
            },
            self.field.to_string(),
            crate::text::one_line(&self.column),
            self.r#type.to_owned(),
            encodings_text(&self.encodings),
            ratio(f64::from(self.length) * 8.0, self.values),
        ];
        own.into_iter().chain(stats_cells(self.stats.as_ref()))
    }

    /// The block by itself.
    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let (offset, group) = (self.offset, self.group);
        writeln!(
            out,
            "block at {offset}: row group {group}, {} rows",
            self.rows
        )?;
        let mut table = Self::table();
        table.row(self.cells());
        table.print("  ", out)?;
        for damage in &self.damage {
            writeln!(out, "  BAD  {damage}")?;
        }
        print_vectors(&self.vectors, "", out)
    }
}

/// A table of vectors.
pub(super) fn print_vectors(
    vectors: &[VectorReport],
    indent: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    if vectors.is_empty() {
        return Ok(());
    }
    let head = [
        "vector",
        "offset",
        "bytes",
        "rows",
        "bits/value",
        "codec",
        "parameters",
        "state",
    ];
    let mut table = TextTable::new(head.into_iter().chain(StatsReport::NAMES));
    for vector in vectors {
        table.row(vector.cells());
    }
    writeln!(out, "{indent}vectors")?;
    table.print(&format!("{indent}  "), out)
}

fn stats_cells(stats: Option<&StatsReport>) -> [String; 6] {
    stats.map_or_else(
        || [const { String::new() }; 6].map(|_| "-".to_owned()),
        |s| s.cells(),
    )
}

/// Encodings with how often each is used.
pub(super) fn encodings_text(encodings: &BTreeMap<&'static str, u64>) -> String {
    let all: Vec<String> = encodings
        .iter()
        .map(|(name, n)| format!("{name} {n}"))
        .collect();
    if all.is_empty() {
        return "-".to_owned();
    }
    all.join(", ")
}

impl VectorReport {
    /// The report of vector `vector` of a block; `None` if there is no such vector.
    pub(super) fn of(
        block: &PlacedBlock<'_>,
        contents: &Contents<'_>,
        vector: usize,
    ) -> Option<Self> {
        let opened = block.block.as_ref().filter(|b| vector < b.vector_count())?;
        let described = opened.describe(vector);
        let mut values = Column::new(block.field_type);
        let dictionary = contents.dictionary(block.field);
        let decoded = opened.decode(vector, dictionary, &mut values);
        let stats = block.stats.as_ref().and_then(|s| s.vectors().get(vector));
        let damage = decoded.err().map(Damage::from);
        let verdict = match (&damage, block.checked) {
            (Some(_), _) => Verdict::Bad,
            (None, true) => Verdict::Valid,
            (None, false) => Verdict::Unchecked,
        };
        let mut report = Self {
            vector: block.vector_number(vector),
            offset: block.region.offset,
            length: 0,
            verdict,
            rows: opened.vector_rows(vector),
            values: 0,
            encoding: "unreadable",
            nulls_as: "",
            detail: None,
            stats: stats.map(StatsReport::from),
            damage,
        };
        match described {
            Ok(described) => {
                report.offset = described.place.start;
                report.length = described.encoded_len;
                report.values = described.values;
                report.encoding = described.encoding.name();
                report.nulls_as = null_form_name(described.null_form);
                report.detail = DetailReport::of(&described.detail);
            }
            Err(error) => {
                report.verdict = Verdict::Bad;
                report.damage.get_or_insert(error.into());
            }
        }
        Some(report)
    }

    fn cells(&self) -> impl Iterator<Item = String> {
        let parameters = self.detail.as_ref().map(|d| d.to_string());
        let own = [
            self.vector.to_string(),
            self.offset.to_string(),
            self.length.to_string(),
            self.rows.to_string(),
            ratio(self.length as f64 * 8.0, self.values as u64),
            match self.nulls_as {
                "" => self.encoding.to_owned(),
                nulls => format!("{}, nulls {nulls}", self.encoding),
            },
            parameters.unwrap_or_else(|| "-".to_owned()),
            self.verdict.word().to_owned(),
        ];
        own.into_iter().chain(stats_cells(self.stats.as_ref()))
    }

    pub(super) fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }
}

fn null_form_name(form: NullForm) -> &'static str {
    match form {
        NullForm::None => "",
        NullForm::Filled => "filled",
        NullForm::Dense => "left out",
    }
}

impl DetailReport {
    fn of(detail: &Detail) -> Option<Self> {
        Some(match detail {
            Detail::None => return None,
            Detail::Integer(integers) => Self::Integers(integers.into()),
            Detail::Alp(alp) => Self::Alp {
                e: alp.parameters.e,
                f: alp.parameters.f,
                exceptions: alp.exceptions,
                integers: (&alp.integers).into(),
            },
        })
    }
}

fn form_name(form: Form) -> &'static str {
    match form {
        Form::Raw => "raw",
        Form::Constant => "constant",
        Form::FrameOfReference => "frame of reference",
        Form::Delta => "delta",
        Form::RunLength => "run length",
        Form::Dictionary => "dictionary",
    }
}

fn serialize_form<S: Serializer>(form: &Form, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(form_name(*form))
}

impl From<&integer::Description> for Integers {
    fn from(d: &integer::Description) -> Self {
        Self {
            form: d.form,
            width: d.width,
            scale: d.scale,
            base: d.base,
            reference: d.reference,
            patches: d.patches,
            parts: (d.parts > 0).then_some(d.parts),
        }
    }
}

impl fmt::Display for DetailReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integers(integers) => integers.fmt(f),
            Self::Alp {
                e,
                f: zeros,
                exceptions,
                integers,
            } => write!(
                f,
                "10^-{e} * 10^{zeros}, {exceptions} exceptions, {integers}"
            ),
        }
    }
}

impl fmt::Display for Integers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            form,
            width,
            scale,
            base,
            reference,
            patches,
            parts,
        } = self;
        let parts = parts.unwrap_or(0);
        let name = form_name(*form);
        match form {
            Form::RunLength => return write!(f, "{parts} runs"),
            Form::Dictionary => return write!(f, "codes of {parts} values of its own"),
            Form::Raw => return write!(f, "{name} {width} bits"),
            Form::Delta => write!(f, "{name} {width} bits from {base} by {reference}")?,
            Form::Constant | Form::FrameOfReference => write!(f, "{name} {width} bits on {base}")?,
        }
        if *scale != 1 {
            write!(f, " * {scale}")?;
        }
        if *patches != 0 {
            write!(f, ", {patches} patches")?;
        }
        Ok(())
    }
}
