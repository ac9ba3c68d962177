//! What was checked and how it came out.

use std::io::{self, Write};

use serde::Serialize;
use tidestone_format::{FormatError, FormatErrorKind};

use crate::outcome::Outcome;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Verdict {
    /// The bytes are what they must be.
    Valid,
    /// They are not.
    Bad,
    /// A newer version wrote them: they may be sound.
    Newer,
    /// What says what they must be is itself unreadable.
    Unchecked,
}

impl Verdict {
    /// Valid unless there is damage.
    pub(crate) fn of(damage: &[Damage]) -> Self {
        match damage.iter().all(|d| d.newer) {
            true if damage.is_empty() => Self::Valid,
            true => Self::Newer,
            false => Self::Bad,
        }
    }

    /// How a command ends that came to this.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::Newer => Outcome::Newer,
            _ => Outcome::sound(self == Self::Valid),
        }
    }

    /// The word for people.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Valid => "VALID",
            Self::Bad => "BAD",
            Self::Newer => "NEWER",
            Self::Unchecked => "UNCHECKED",
        }
    }
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Damage {
    /// What it is about.
    pub(crate) what: String,
    /// Where in the file.
    pub(crate) offset: u64,
    /// What should be there.
    pub(crate) expected: String,
    /// What is there.
    pub(crate) actual: String,
    /// A newer version wrote it: it may be sound.
    pub(crate) newer: bool,
}

impl From<FormatError> for Damage {
    fn from(error: FormatError) -> Self {
        Self {
            what: error.what.to_owned(),
            offset: error.offset,
            expected: error.expected,
            actual: error.actual,
            newer: error.kind == FormatErrorKind::Unsupported,
        }
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            what,
            offset,
            expected,
            actual,
            newer: _,
        } = self;
        write!(f, "{what} at {offset}: expected {expected}, found {actual}")
    }
}

/// Adds what is not there yet: a thing may be found damaged in more than one way of looking.
pub(crate) fn merge(into: &mut Vec<Damage>, more: impl IntoIterator<Item = Damage>) {
    for damage in more {
        if !into.contains(&damage) {
            into.push(damage);
        }
    }
}

/// The last lines of a report.
pub(crate) fn print_damage(damage: &[Damage], out: &mut dyn Write) -> io::Result<()> {
    match Verdict::of(damage) {
        Verdict::Valid => return writeln!(out, "VALID: no damage found"),
        Verdict::Newer => writeln!(
            out,
            "NEWER: not all could be checked; inspect it with the version that wrote it or a newer one"
        )?,
        _ => {
            let newer = damage.iter().filter(|d| d.newer).count();
            write!(out, "BAD: {} found damaged", things(damage.len() - newer))?;
            match newer {
                0 => writeln!(out)?,
                n => writeln!(out, ", and {} of a newer version", things(n))?,
            }
        }
    }
    damage.iter().try_for_each(|d| writeln!(out, "  {d}"))
}

fn things(n: usize) -> String {
    match n {
        1 => "1 place".to_owned(),
        n => format!("{n} places"),
    }
}
