//! The codecs on real columns, where the data folder is there: all comes back, and in how many
//! bits a value. The bounds are a little above what was measured, so that a worse choice fails.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may stop")]

mod data;

use tidestone_format::bytes::Reader;
use tidestone_format::codec::{alp, integer};
use tidestone_format::version::{GROUP_ROWS, VECTOR_ROWS};

#[test]
fn decimals_come_back_in_few_bits() {
    for (file, bound) in [
        ("Air-pressure.csv", 12.5),
        ("Air-sensor.csv", 64.0),
        ("Basel-temp.csv", 28.8),
        ("Bird-migration.csv", 20.0),
        ("Bitcoin-price.csv", 25.0),
        ("City-lat.csv", 21.4),
        ("City-temp.csv", 9.4),
        ("Dew-point-temp.csv", 10.0),
        ("Food-price.csv", 18.7),
        ("PM10-dust.csv", 6.9),
        ("POI-lat.csv", 64.0),
        ("SSD-bench.csv", 15.6),
        ("Stocks-DE.csv", 6.9),
        ("Stocks-USA.csv", 6.4),
    ] {
        let Some(values) = data::floats(file) else {
            return;
        };
        let (mut bytes, mut exceptions) = (0, 0);
        for group in values.chunks(GROUP_ROWS) {
            let candidates = alp::Candidates::sample(group);
            for vector in group.chunks(VECTOR_ROWS) {
                let mut out = Vec::new();
                let Some(description) = alp::encode(vector, &candidates, &mut out) else {
                    bytes += vector.len() * 8;
                    continue;
                };
                exceptions += description.exceptions;
                bytes += out.len();
                let mut decoded = vec![0.0; vector.len()];
                alp::decode(&mut Reader::new(&out, file), &mut decoded).unwrap();
                let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
                assert!(decoded.iter().zip(vector).all(same), "{file}");
            }
        }
        let each = bytes as f64 * 8.0 / values.len() as f64;
        println!("{file}: {each:.2} bits a value, {exceptions} exceptions");
        assert!(each <= bound, "{file}: {each:.2} bits a value");
    }
}

#[test]
fn integers_come_back_in_few_bits() {
    for (file, column, bound) in [
        ("ticks/spy_20131008_trade_tick.csv.gz", 0, 9.6),
        ("ticks/spy_20131008_trade_tick.csv.gz", 1, 2.9),
        ("ticks/spy_20131008_trade_tick.csv.gz", 2, 11.5),
        ("ticks/ibm_20131009_quote_tick.csv.gz", 1, 15.3),
        ("ticks/es_future_mbo_20231225_part_a.csv.gz", 0, 30.1),
        ("ticks/es_future_mbo_20231225_part_a.csv.gz", 4, 19.2),
        ("ticks/es_future_mbo_20231225_part_a.csv.gz", 7, 10.9),
        ("ticks/eurusd_fxcm_20140508_quote_tick.csv.gz", 0, 12.0),
        ("hostmetrics/host_metrics_100ms_a.csv.gz", 0, 25.0),
        ("hostmetrics/host_metrics_100ms_a.csv.gz", 1, 4.4),
        ("hostmetrics/host_metrics_100ms_a.csv.gz", 40, 16.9),
    ] {
        let Some(values) = data::integers(file, column) else {
            return;
        };
        let mut bytes = 0;
        for vector in values.chunks(VECTOR_ROWS) {
            let mut out = Vec::new();
            integer::encode(vector, &mut out);
            bytes += out.len();
            let mut decoded = vec![0; vector.len()];
            integer::decode(&mut Reader::new(&out, file), &mut decoded).unwrap();
            assert_eq!(decoded, vector, "{file}");
        }
        let each = bytes as f64 * 8.0 / values.len() as f64;
        println!("{file} column {column}: {each:.2} bits a value");
        assert!(
            each <= bound,
            "{file} column {column}: {each:.2} bits a value"
        );
    }
}
