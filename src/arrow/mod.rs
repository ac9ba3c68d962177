//! Arrow record batches in and out (cargo feature `arrow`).
//!
//! | column | Arrow type, out | taken in |
//! |---|---|---|
//! | `time` ([`TIME`]) | `Timestamp(Nanosecond, "UTC")`, never null | `Timestamp` of any unit and time zone |
//! | a tag | `Dictionary(Int32, Utf8)`, null where the series has no such tag | strings |
//! | an f64 field | `Float64` | `Float64`, `Float32`, `Float16` |
//! | an i64 field | `Int64` | `Int64`, `Int32`, `Int16`, `Int8` |
//! | a u64 field | `UInt64` | `UInt64`, `UInt32`, `UInt16`, `UInt8` |
//! | a bool field | `Boolean` | `Boolean` |
//! | a string field | `Utf8` | strings |
//!
//! Strings are `Utf8`, `LargeUtf8`, `Utf8View`, and dictionaries of them with keys of any type. Out, the columns come
//! in this order: the time, the tags by name, the fields as asked for. Taken in, they may have any order.
//!
//! # Out
//!
//! [`RowStream::record_batches`](crate::RowStream::record_batches) makes a scan an
//! [`arrow_array::RecordBatchReader`]: DataFusion, Parquet writers and the C stream interface (pyarrow, Polars) take
//! one. Its schema is known before the first batch. [`Table::record_batch`](crate::Table::record_batch) is for rows
//! that are there already, as those of [`Query::last`](crate::Query::last), and
//! [`Table::record_batch_with`](crate::Table::record_batch_with) names the tags;
//! [`RowBatch::into_arrow`](crate::RowBatch::into_arrow) leaves the tags out.
//!
//! Times, numbers and strings are not copied: the buffers of a batch become those of the arrays. Booleans and null maps
//! are, since Arrow keeps bits, and columns of tags are made. Each batch has dictionaries of its own, with the values
//! of its own series alone: where one file is to have one dictionary (Arrow IPC files), cast the tags to `Utf8` first.
//!
//! # In
//!
//! [`Writer::append_arrow`](crate::Writer::append_arrow) stages rows of one series,
//! [`Writer::append_arrow_by_tags`](crate::Writer::append_arrow_by_tags) rows whose tags are columns. All of a record
//! batch is staged, or nothing of it. What is wrong with the batch itself is found before anything is written: no
//! series is made for it and no field added. Where something else keeps it from being staged (the log has no room, the
//! disk is full or fails, or somebody else meanwhile adds one of its fields with another type, drops the table, or
//! drops rows as old as its own), series that were made before stay, without rows; the batch may be appended again.
//!
//! - A type counts by itself and not by the field it meets: `Int32` makes an i64, which an f64 field refuses as ever.
//!   What would lose anything (decimals, dates, lists) is refused: cast it first.
//! - A timestamp with a time zone is an instant, whatever the zone. One without is taken for UTC. One that nanoseconds
//!   since 1970 cannot tell, and a null, is refused with its row.
//! - A null is a field that is not given: under the default policy it overwrites nothing. A field that is no column is
//!   null in every row.
//! - A column that is no field is added to a table with an open schema, and refused by one with a fixed schema.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use tidestone::arrow::arrow_array::cast::AsArray;
//! use tidestone::arrow::arrow_array::types::Float64Type;
//! use tidestone::arrow::arrow_array::{
//!     ArrayRef, Float64Array, RecordBatch, RecordBatchReader, StringArray, TimestampMillisecondArray,
//! };
//! use tidestone::{FieldType, TableOptions, Tidestone};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let db = Tidestone::builder("/db").disk(Arc::new(tidestone::io::SimDisk::new())).create()?;
//! let cpu = db.create_table("cpu", TableOptions::new().field("user", FieldType::F64))?;
//! let rows = RecordBatch::try_from_iter([
//!     ("time", Arc::new(TimestampMillisecondArray::from(vec![1_000, 1_000, 2_000])) as ArrayRef),
//!     ("host", Arc::new(StringArray::from(vec!["a", "b", "a"]))),
//!     ("user", Arc::new(Float64Array::from(vec![Some(0.25), None, Some(0.5)]))),
//! ])?;
//! let mut writer = db.writer();
//! writer.append_arrow_by_tags(&cpu, &["host"], &rows)?;
//! writer.commit()?.wait()?;
//!
//! let batches = cpu.query().scan()?.record_batches()?;
//! assert_eq!(batches.schema().field(1).name(), "host");
//! for batch in batches {
//!     let batch = batch?;
//!     let user = batch["user"].as_primitive::<Float64Type>();
//!     assert_eq!(user.iter().collect::<Vec<_>>(), [Some(0.25), Some(0.5), None]);
//! }
//! # db.close()?;
//! # Ok(())
//! # }
//! ```

// | file | what |
// |---|---|
// | `batches` | record batches of an answer |
// | `layout` | the columns of an answer, and their schema |
// | `arrays` | columns become arrays |
// | `tags` | tags become dictionaries |
// | `append` | record batches become rows |
// | `values` | arrays become columns |
// | `string_arrays` | arrays of strings of any kind, read alike |

mod append;
mod arrays;
mod batches;
mod layout;
mod string_arrays;
mod tags;
mod values;

/// The crate of the arrays and record batches here, in the version used.
pub use arrow_array;
/// The crate of the schemas here, in the version used.
pub use arrow_schema;

pub use batches::RecordBatches;

/// The name of the column of times, in and out.
pub const TIME: &str = "time";
