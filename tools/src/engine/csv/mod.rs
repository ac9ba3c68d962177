//! CSV as `import` reads it and `export` and `query` write it: RFC 4180, and as PostgreSQL's `COPY`
//! tells null from text.
//!
//! - The first line names the columns; a record ends with LF or CR LF. Empty lines are passed over.
//! - A cell that starts with a quote ends with one; in between a doubled quote is a quote, and the
//!   delimiter and ends of lines are text. Behind the closing quote comes the delimiter or the end
//!   of the record. A quote inside a bare cell is text.
//! - Nothing between two delimiters is null; `""` is the empty string.
//!
//! | file | what |
//! |---|---|
//! | `records` | reading |
//! | `cell` | writing |
//! | `header` | names of columns that say what the columns are |

mod cell;
mod header;
mod records;

pub(crate) use cell::write_cell;
pub(crate) use header::{ColumnKind, typed_columns, typed_name};
pub(crate) use records::{Cell, Next, Record, Records};
