//! Sections 5.2, 5.5, 5.6 and 5.7: texts, streams, vectors and dictionaries.

use crate::input::{Input, Result, Seen, bits, must, padding, text};

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    /// The bits of the double.
    F64(u64),
    I64(i64),
    U64(u64),
    Bool(bool),
    Text(String),
}

/// Two ids as one.
pub fn pair(first: u8, second: u8) -> u64 {
    u64::from(first) * 100 + u64::from(second)
}

/// The value of a type of 8 bytes that has these bits.
pub fn word(field_type: u8, bits: u64) -> Result<Value> {
    Ok(match field_type {
        1 => Value::F64(bits),
        2 => Value::I64(bits.cast_signed()),
        3 => Value::U64(bits),
        4 if bits <= 1 => Value::Bool(bits == 1),
        _ => return Err(format!("a value of type {field_type}, not {bits}")),
    })
}

fn words(field_type: u8, bits: impl IntoIterator<Item = u64>) -> Result<Vec<Value>> {
    bits.into_iter()
        .map(|bits| word(field_type, bits))
        .collect()
}

/// `n` packed numbers of `width` bits.
fn packed(input: &mut Input<'_>, n: usize, width: usize) -> Result<Vec<u64>> {
    let bytes = input.bytes((n * width).div_ceil(8))?;
    let bit = |at: usize| bytes[at / 8] >> (at % 8) & 1;
    must(
        (n * width..bytes.len() * 8).all(|at| bit(at) == 0),
        "zeros behind packed numbers",
    )?;
    let number = |bit_at: &dyn Fn(usize) -> usize| {
        let bits = (0..width).map(|i| u64::from(bit(bit_at(i))) << i);
        bits.fold(0, |number, bit| number | bit)
    };
    if n < 1024 {
        return Ok((0..n).map(|i| number(&|b| i * width + b)).collect());
    }
    // Bit `at` of a lane stands in word `16 * (at / 64) + lane`.
    let of_lane = |lane: usize, at: usize| (16 * (at / 64) + lane) * 64 + at % 64;
    let order = [0, 4, 2, 6, 1, 5, 3, 7];
    let mut numbers = vec![0; n];
    for row in 0..64 {
        for lane in 0..16 {
            let index = order[row / 8] * 16 + (row % 8) * 128 + lane;
            numbers[index] = number(&|b| of_lane(lane, row * width + b));
        }
    }
    Ok(numbers)
}

/// `count` positions of `n` values, ascending, each once.
fn positions(input: &mut Input<'_>, count: usize, n: usize) -> Result<Vec<usize>> {
    let read = (0..count).map(|_| input.u16().map(usize::from));
    let positions = read.collect::<Result<Vec<usize>>>()?;
    must(positions.is_sorted_by(|a, b| a < b), "ascending positions")?;
    must(positions.iter().all(|&p| p < n), "positions of values")?;
    Ok(positions)
}

/// An integer stream of `n` values.
pub fn integers(input: &mut Input<'_>, n: usize, seen: &mut Seen) -> Result<Vec<i64>> {
    must((1..=1024).contains(&n), "1 to 1,024 values of a stream")?;
    let form = input.u8()?;
    seen.insert(("integer form", form.into()));
    match form {
        1 => return (0..n).map(|_| input.i64()).collect(),
        2 => return Ok(vec![input.svarint()?; n]),
        3 | 4 => {}
        5 | 6 => return in_parts(form, input, n, seen),
        _ => return Err(format!("an integer form, not {form}")),
    }
    let flagged = input.u8()?;
    let (width, is_scaled) = (usize::from(flagged & 0x7f), flagged >> 7 == 1);
    must(width <= 64, "a width of at most 64")?;
    let base = input.svarint()?;
    let reference = if form == 4 { input.svarint()? } else { 0 };
    let scale = if is_scaled { input.varint()? } else { 1 };
    must(!is_scaled || scale >= 2, "a scale of at least 2")?;
    let patches = input.count()?;
    must(patches <= n, "no more patches than values")?;
    let patch_len = if patches > 0 { input.u8()?.into() } else { 1 };
    must((1..=8).contains(&patch_len), "1 to 8 bytes of a patch")?;
    seen.insert(("scaled", is_scaled.into()));
    seen.insert(("interleaved", (n == 1024 && width > 0).into()));
    seen.insert(("width is 0", (width == 0).into()));
    seen.insert(("patched", (patches > 0).into()));

    let mut numbers = packed(input, n, width)?;
    for position in positions(input, patches, n)? {
        seen.insert(("bytes of a patch", patch_len as u64));
        let mut patch = [0; 8];
        patch[..patch_len].copy_from_slice(input.bytes(patch_len)?);
        must(form == 3 || position > 0, "no patch of a first value")?;
        numbers[position] = u64::from_le_bytes(patch);
    }
    let scaled = |q: u64| q.wrapping_mul(scale).cast_signed();
    if form == 3 {
        let values = numbers.into_iter().map(|q| base.wrapping_add(scaled(q)));
        return Ok(values.collect());
    }
    must(numbers[0] == 0, "0 as the first number of a delta")?;
    let mut value = base;
    let mut values = vec![value];
    for &q in &numbers[1..] {
        value = value.wrapping_add(reference).wrapping_add(scaled(q));
        values.push(value);
    }
    Ok(values)
}

/// Runs or a dictionary, behind the form.
fn in_parts(form: u8, input: &mut Input<'_>, n: usize, seen: &mut Seen) -> Result<Vec<i64>> {
    let count = input.count()?;
    must((1..=n).contains(&count), "1 to n parts")?;
    let highest = |input: &Input<'_>| input.clone().u8();
    must(highest(input)? <= 4, "a plain form")?;
    let parts = integers(input, count, seen)?;
    must(
        highest(input)? <= if form == 5 { 4 } else { 5 },
        "a simpler form",
    )?;
    let of = integers(input, if form == 5 { count } else { n }, seen)?;
    let index = |number: i64| usize::try_from(number).map_err(|e| e.to_string());
    let mut values = Vec::new();
    if form == 5 {
        for (value, length) in parts.into_iter().zip(of) {
            let length = index(length)?;
            must(length < n, "runs of as many values as there are")?;
            values.extend(std::iter::repeat_n(value, length + 1));
        }
        must(values.len() == n, "runs of as many values as there are")?;
        return Ok(values);
    }
    for code in of {
        let entry = parts.get(index(code)?).copied();
        values.push(entry.ok_or("a code of an entry")?);
    }
    Ok(values)
}

/// A part that is an integer stream.
pub fn integer_part(input: &mut Input<'_>, n: usize, seen: &mut Seen) -> Result<Vec<i64>> {
    let mut part = input.part()?;
    let values = integers(&mut part, n, seen)?;
    part.end()?;
    Ok(values)
}

/// `10^exponent`, the nearest double.
fn power(exponent: i32) -> Result<f64> {
    let text = format!("1e{exponent}");
    text.parse::<f64>().map_err(|e| e.to_string())
}

/// ALP: `n` doubles, by their bits.
fn alp(input: &mut Input<'_>, n: usize, seen: &mut Seen) -> Result<Vec<u64>> {
    let (e, f) = (input.u8()?, input.u8()?);
    must(f <= e && e <= 18, "exponents of ALP")?;
    let (raise, lower) = (power(f.into())?, power(-i32::from(e))?);
    let numbers = integer_part(input, n, seen)?;
    let value = |&d: &i64| (d as f64 * raise * lower).to_bits();
    let mut values: Vec<u64> = numbers.iter().map(value).collect();
    let exceptions = input.count()?;
    must(exceptions <= n, "no more exceptions than values")?;
    seen.insert(("exceptions of ALP", (exceptions > 0).into()));
    for position in positions(input, exceptions, n)? {
        values[position] = input.u64()?;
    }
    Ok(values)
}

/// A float stream of `n` values, by their bits.
pub fn floats(input: &mut Input<'_>, n: usize, seen: &mut Seen) -> Result<Vec<u64>> {
    must((1..=1024).contains(&n), "1 to 1,024 values of a stream")?;
    let form = input.u8()?;
    seen.insert(("float form", form.into()));
    match form {
        1 => (0..n).map(|_| input.u64()).collect(),
        2 => Ok(vec![input.u64()?; n]),
        3 => alp(input, n, seen),
        _ => Err(format!("a float form, not {form}")),
    }
}

/// A part that is a float stream.
pub fn float_part(input: &mut Input<'_>, n: usize, seen: &mut Seen) -> Result<Vec<u64>> {
    let mut part = input.part()?;
    let values = floats(&mut part, n, seen)?;
    part.end()?;
    Ok(values)
}

/// A packed text of at most `limit` bytes.
pub fn packed_text(input: &mut Input<'_>, limit: usize, seen: &mut Seen) -> Result<Vec<u8>> {
    let form = input.u8()?;
    seen.insert(("text form", form.into()));
    let plain_len = input.count()?;
    must(plain_len <= limit, "a text within its limit")?;
    match form {
        1 => {
            let frame = input.part()?.all();
            must(plain_len <= frame.len() * 32_768, "a text of its frame")?;
            let plain = zstd::bulk::decompress(frame, plain_len);
            let plain = plain.map_err(|e| e.to_string())?;
            must(plain.len() == plain_len, "the plain length")?;
            Ok(plain)
        }
        2 => input.bytes(plain_len).map(<[u8]>::to_vec),
        _ => Err(format!("a text form, not {form}")),
    }
}

/// Cuts all of a text into pieces of the given lengths.
fn cut(bytes: &[u8], lengths: &[i64]) -> Result<Vec<Value>> {
    let mut input = Input::new(bytes);
    let mut pieces = Vec::new();
    for &length in lengths {
        let length = usize::try_from(length).map_err(|e| e.to_string())?;
        pieces.push(Value::Text(text(input.bytes(length)?)?));
    }
    input.end()?;
    Ok(pieces)
}

/// A dictionary of `count` values.
pub fn dictionary(
    bytes: &[u8],
    field_type: u8,
    count: usize,
    seen: &mut Seen,
) -> Result<Vec<Value>> {
    let mut input = Input::new(bytes);
    let m = input.count()?;
    must(m == count && m <= 65_536, "values of a dictionary")?;
    seen.insert(("dictionary of type", field_type.into()));
    let is_long = pair((m > 1024).into(), field_type);
    seen.insert(("long dictionary of type", is_long));
    let runs = (0..m).step_by(1024).map(|at| (m - at).min(1024));
    let values = match field_type {
        1 => {
            let mut values = Vec::new();
            for run in runs {
                values.extend(float_part(&mut input, run, seen)?);
            }
            words(1, values)?
        }
        5 => {
            let mut lengths = Vec::new();
            for run in runs {
                lengths.extend(integer_part(&mut input, run, seen)?);
            }
            let longest = lengths.iter().max().copied().unwrap_or(0);
            must(longest <= 65_535, "strings of a dictionary")?;
            let text = packed_text(&mut input, 1 << 24, seen)?;
            cut(&text, &lengths)?
        }
        _ => return Err(format!("no dictionary of type {field_type}")),
    };
    input.end()?;
    Ok(values)
}

/// The vector of `rows` rows that `bytes` are, which stand at `offset` of the file.
pub fn vector(
    bytes: &[u8],
    offset: usize,
    rows: usize,
    field_type: u8,
    dictionary: &[Value],
    seen: &mut Seen,
) -> Result<Vec<Value>> {
    let mut input = Input::new(bytes);
    let (encoding, form) = (input.u8()?, input.u8()?);
    seen.insert(("encoding", encoding.into()));
    seen.insert(("null form", form.into()));
    seen.insert(("encoding of type", pair(encoding, field_type)));
    seen.insert(("encoding with null form", pair(encoding, form)));
    let present = match form {
        0 => vec![encoding != 1; rows],
        1 | 2 if encoding != 1 => bits(&mut input, rows)?,
        _ => return Err(format!("a null form, not {form}")),
    };
    let n = match form {
        2 => present.iter().filter(|&&p| p).count(),
        _ => rows,
    };
    must(n > 0, "a value")?;
    let values = match (encoding, field_type) {
        (1, _) => vec![Value::Null; rows],
        (2, 1..=3) => {
            let at = offset + bytes.len() - input.len();
            input.zeros(padding(at, 64))?;
            let raw = (0..n).map(|_| input.u64()).collect::<Result<Vec<_>>>()?;
            words(field_type, raw)?
        }
        (3, 1..=4) => vec![word(field_type, input.u64()?)?; n],
        (4, 2 | 3) => {
            let values = integers(&mut input, n, seen)?;
            words(field_type, values.iter().map(|v| v.cast_unsigned()))?
        }
        (5, 1) => words(1, alp(&mut input, n, seen)?)?,
        (6, 1 | 5) => {
            let codes = integers(&mut input, n, seen)?;
            let value = |code: i64| {
                let value = usize::try_from(code).ok().and_then(|i| dictionary.get(i));
                value.cloned().ok_or_else(|| format!("a code, not {code}"))
            };
            codes.into_iter().map(value).collect::<Result<_>>()?
        }
        (7, 4) => bits(&mut input, n)?.into_iter().map(Value::Bool).collect(),
        (8, 5) => {
            let lengths = integer_part(&mut input, n, seen)?;
            cut(input.all(), &lengths)?
        }
        _ => return Err(format!("no encoding {encoding} of type {field_type}")),
    };
    input.end()?;
    Ok(with_nulls(values, &present, form == 2))
}

/// The rows that `present` values make; a dense payload has none for the others.
fn with_nulls(values: Vec<Value>, present: &[bool], is_dense: bool) -> Vec<Value> {
    let mut values = values.into_iter();
    let row = |&present: &bool| {
        let value = if present || !is_dense {
            values.next()
        } else {
            None
        };
        value.filter(|_| present).unwrap_or(Value::Null)
    };
    present.iter().map(row).collect()
}
