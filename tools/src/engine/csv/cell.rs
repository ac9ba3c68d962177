//! Cells, written so that what reads them gets the value back.

use crate::scalar::Scalar;

/// Appends a value. Finite floats come back bit for bit and are told from integers by their form.
pub(crate) fn write_cell(value: &Scalar, to: &mut String) {
    match value {
        Scalar::Null => {}
        // The shortest form that reads back as the same number, with a point or an exponent.
        Scalar::F64(v) => to.push_str(&format!("{v:?}")),
        Scalar::Text(text) => write_text(text, to),
        other => to.push_str(&other.to_string()),
    }
}

fn write_text(text: &str, to: &mut String) {
    if !text.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        to.push_str(text);
        return;
    }
    to.push('"');
    for (i, part) in text.split('"').enumerate() {
        if i > 0 {
            to.push_str("\"\"");
        }
        to.push_str(part);
    }
    to.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_apart() {
        let check = |value: Scalar, expected: &str| {
            let mut cell = String::new();
            write_cell(&value, &mut cell);
            assert_eq!(cell, expected, "{value:?}");
        };
        check(Scalar::Null, "");
        check(Scalar::Text(String::new()), "\"\"");
        check(
            Scalar::Text("a \"b\",\nc".to_owned()),
            "\"a \"\"b\"\",\nc\"",
        );
        check(Scalar::Text("plain text".to_owned()), "plain text");
        check(Scalar::F64(1.0), "1.0");
        check(Scalar::F64(-0.0), "-0.0");
        check(Scalar::F64(1e300), "1e300");
        check(Scalar::F64(5e-324), "5e-324");
        check(Scalar::F64(0.1), "0.1");
        check(Scalar::F64(f64::NAN), "NaN");
        check(Scalar::F64(f64::NEG_INFINITY), "-inf");
        check(Scalar::Int(1), "1");
        check(Scalar::Bool(true), "true");
    }
}
