//! Section 1: the file header. Section 6: the records of processes.

use crate::input::{Input, Result, Uuid, must};

#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    pub magic: String,
    pub version: u16,
    pub oldest_reader: u16,
    pub writer: u32,
    pub optional_features: u32,
    pub database: Uuid,
    pub file: Uuid,
    pub number: u64,
    pub of_kind: OfKind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum OfKind {
    Identity {
        created: i64,
    },
    Log {
        len: u64,
        first_lsn: u64,
        /// File number, offset and last LSN.
        cut: Option<[u64; 3]>,
    },
    Nothing,
}

pub fn header(bytes: &[u8]) -> Result<Header> {
    let header = Input::new(bytes).bytes(192)?;
    let mut r = Input::new(header);
    let magic = r.text(8)?;
    let version = r.u16()?;
    let oldest_reader = r.u16()?;
    must(oldest_reader <= 1, "a file for readers of version 1")?;
    let crc = Input::new(&header[188..]).u32()?;
    must(
        crc == crc32fast::hash(&header[..188]),
        "the checksum of a header",
    )?;
    let writer = r.u32()?;
    must(r.u32()? == 0, "no required features")?;
    must(1 <= oldest_reader && oldest_reader <= version, "versions")?;
    let optional_features = r.u32()?;
    let (database, file, number) = (r.uuid()?, r.uuid()?, r.u64()?);
    must(number != 0 && number != u64::MAX, "a number of a file")?;
    r.zeros(72)?; // no cipher
    let of_kind = match magic.as_str() {
        "TidestID" => {
            must(file == [0; 16] && number == 1, "layout 1, no file uuid")?;
            OfKind::Identity { created: r.i64()? }
        }
        "TidestLG" => log_header(&mut r, number)?,
        "TidestMF" => OfKind::Nothing,
        "TidestSG" => {
            must(u32::try_from(number).is_ok(), "a table id")?;
            OfKind::Nothing
        }
        other => return Err(format!("a magic, not {other}")),
    };
    r.zeros(r.len() - 4)?;
    Ok(Header {
        magic,
        version,
        oldest_reader,
        writer,
        optional_features,
        database,
        file,
        number,
        of_kind,
    })
}

fn log_header(r: &mut Input<'_>, number: u64) -> Result<OfKind> {
    let (len, first_lsn) = (r.u64()?, r.u64()?);
    must(
        len.is_multiple_of(4096) && len >= 8192,
        "two or more pages of a file",
    )?;
    must(first_lsn != 0 && first_lsn != u64::MAX, "a first LSN")?;
    let cut = [r.u64()?, r.u64()?, r.u64()?];
    let cut = (cut != [0; 3]).then_some(cut);
    if let Some([file, offset, last_lsn]) = cut {
        let sound = file > 0 && file < number && offset >= 4096 && last_lsn < first_lsn;
        must(sound, "a cut before the file")?;
    }
    Ok(OfKind::Log {
        len,
        first_lsn,
        cut,
    })
}

#[derive(Debug, PartialEq)]
pub struct Published {
    pub database: Uuid,
    pub incarnation: Uuid,
    pub boot: Uuid,
    pub durable_lsn: u64,
    pub version: u64,
}

pub fn published(bytes: &[u8]) -> Result<Published> {
    let mut r = record(bytes, 96, b"TidestPB")?;
    let published = Published {
        database: r.uuid()?,
        incarnation: r.uuid()?,
        boot: r.uuid()?,
        durable_lsn: r.u64()?,
        version: r.u64()?,
    };
    r.zeros(20)?;
    Ok(published)
}

#[derive(Debug, PartialEq)]
pub struct Lease {
    pub database: Uuid,
    pub version: u64,
}

pub fn lease(bytes: &[u8]) -> Result<Lease> {
    let mut r = record(bytes, 64, b"TidestLS")?;
    let lease = Lease {
        database: r.uuid()?,
        version: r.u64()?,
    };
    r.zeros(28)?;
    Ok(lease)
}

/// What stands behind the magic of a record of `len` bytes, the last four of which are its checksum.
fn record<'a>(bytes: &'a [u8], len: usize, magic: &[u8; 8]) -> Result<Input<'a>> {
    let mut r = Input::new(bytes);
    let covered = r.bytes(len - 4)?;
    let crc = crc32fast::hash(covered);
    must(r.u32()? == crc, "the checksum of a record")?;
    let mut r = Input::new(covered);
    must(r.bytes(8)? == magic, "the magic of a record")?;
    Ok(r)
}
