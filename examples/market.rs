//! Market data: store ticks, ask for minute bars, look at how the database is doing.
//!
//! `cargo run --example market`; the README shows the same program.

use std::time::Duration;
use tidestone::{Aggregate, FieldType, Options, TableOptions, TagMatch, Tidestone, Value};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let db = Tidestone::create(dir.path().join("market"), Options::default())?;
    let ticks = db.create_table(
        "ticks",
        TableOptions::new()
            .field("price", FieldType::F64)
            .field("size", FieldType::I64)
            .policy(tidestone::DuplicatePolicy::All) // two trades of one instant are two trades
            .partition(Duration::from_secs(3600)),
    )?;

    // A series is resolved once; rows go through its handle.
    let samsung = ticks.series(&[("symbol", "005930"), ("venue", "KRX")])?;
    let mut writer = db.writer();
    let open = 1_700_006_400_000_000_000; // ns since 1970, UTC
    for i in 0..600 {
        let price = 71_500.0 + f64::from(i % 7) * 100.0;
        writer.append(
            &samsung,
            open + i64::from(i) * 500_000_000,
            &[Value::F64(price), Value::I64(10)],
        )?;
    }
    writer.commit()?.wait()?; // survives a power loss from here on

    let bars = ticks
        .query()
        .filter(TagMatch::equal("symbol", "005930"))
        .every(Duration::from_secs(60))
        .aggregate(Aggregate::ohlcv("price", "size"))
        .buckets()?;
    for (row, minute) in bars.buckets().iter().enumerate() {
        println!(
            "{minute} open {} close {}",
            bars.value(row, 0),
            bars.value(row, 3)
        );
    }
    assert_eq!(bars.len(), 5);

    println!("durable up to LSN {}", db.durable_lsn());
    println!("{:#?}", db.status()?);
    db.close()?;
    Ok(())
}
