//! Statistics as they are printed.

use serde::Serialize;
use tidestone_format::codec::stats::{ValueStats, VectorStats};

use crate::scalar::Scalar;
use crate::time::rfc3339;

/// Statistics of a vector, a block or a column. What the type does not have is absent.
#[derive(Debug, Clone, Serialize)]
pub(super) struct StatsReport {
    rows: u64,
    pub(super) nulls: u64,
    #[serde(skip_serializing_if = "is_zero")]
    nans: u64,
    #[serde(flatten)]
    of: Of,
}

#[derive(Debug, Default, Clone, Serialize)]
struct Of {
    #[serde(skip)]
    is_time: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trues: Option<u64>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl From<&VectorStats> for StatsReport {
    fn from(stats: &VectorStats) -> Self {
        let mut of = if stats.values() == 0 {
            Of::default()
        } else {
            Of::from(stats.of)
        };
        if matches!(stats.of, ValueStats::F64 { .. }) && stats.numbers() == 0 {
            (of.min, of.max) = (None, None);
        }
        Self {
            rows: stats.rows,
            nulls: stats.nulls,
            nans: stats.nans,
            of,
        }
    }
}

impl From<ValueStats> for Of {
    fn from(stats: ValueStats) -> Self {
        let int = |v: i128| Some(Scalar::Int(v));
        match stats {
            ValueStats::F64 {
                min,
                max,
                first,
                last,
                sum,
            } => Self {
                min: Some(Scalar::F64(min)),
                max: Some(Scalar::F64(max)),
                first: Some(Scalar::F64(first)),
                last: Some(Scalar::F64(last)),
                sum: Some(Scalar::F64(sum)),
                ..Self::default()
            },
            ValueStats::I64 {
                min,
                max,
                first,
                last,
                sum,
            } => Self {
                min: int(min.into()),
                max: int(max.into()),
                first: int(first.into()),
                last: int(last.into()),
                sum: int(sum),
                ..Self::default()
            },
            ValueStats::U64 {
                min,
                max,
                first,
                last,
                sum,
            } => Self {
                min: int(min.into()),
                max: int(max.into()),
                first: int(first.into()),
                last: int(last.into()),
                sum: Some(Scalar::Sum(sum)),
                ..Self::default()
            },
            ValueStats::Bool { trues, first, last } => Self {
                first: Some(Scalar::Bool(first)),
                last: Some(Scalar::Bool(last)),
                trues: Some(trues),
                ..Self::default()
            },
            ValueStats::String => Self::default(),
            ValueStats::Time {
                min,
                max,
                first,
                last,
            } => Self {
                is_time: true,
                min: int(min.into()),
                max: int(max.into()),
                first: int(first.into()),
                last: int(last.into()),
                ..Self::default()
            },
        }
    }
}

impl StatsReport {
    /// The names of [`StatsReport::cells`].
    pub(super) const NAMES: [&'static str; 6] = ["nulls", "min", "max", "first", "last", "sum"];

    /// Cells of a table.
    pub(super) fn cells(&self) -> [String; 6] {
        let of = &self.of;
        let sum = match (&of.sum, of.trues) {
            (_, Some(trues)) => format!("{trues} true"),
            (sum, _) => self.text(sum.as_ref()),
        };
        let nulls = match (self.nulls, self.nans) {
            (nulls, 0) => nulls.to_string(),
            (nulls, nans) => format!("{nulls} + {nans} NaN"),
        };
        [
            nulls,
            self.text(of.min.as_ref()),
            self.text(of.max.as_ref()),
            self.text(of.first.as_ref()),
            self.text(of.last.as_ref()),
            sum,
        ]
    }

    fn text(&self, value: Option<&Scalar>) -> String {
        match value {
            None => "-".to_owned(),
            Some(Scalar::Int(ns)) if self.of.is_time => {
                i64::try_from(*ns).map_or_else(|_| ns.to_string(), rfc3339)
            }
            Some(value) => value.to_string(),
        }
    }
}
