//! Queries, a chart, a segment.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use tidestone::{Agg, Aggregate, Query, TagMatch, Tidestone};

use super::super::files::DbFiles;
use super::super::query::{Chart, lines_of};
use super::live;
use crate::inspect;
use crate::outcome::{Failure, Run};
use crate::text::TextTable;

/// Characters across a chart.
const WIDTH: u16 = 100;
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A handful of queries, each with what it took.
pub(super) fn queries(db: &Tidestone, out: &mut dyn Write) -> Run<()> {
    writeln!(out, "\n# Queries")?;
    let (nab, host) = (db.table("nab")?, db.table("hostmetrics")?);
    let taxi = TagMatch::equal("file", "nyc_taxi");
    let tweets = TagMatch::equal("group", "realTweets");
    let live = db.table(live::TABLE)?;
    let cpu = TagMatch::equal("source", "cpu");
    let all: [(&str, Query); 3] = [
        ("every row of nab", nab.query()),
        ("one series of nab", nab.query().filter(taxi)),
        (
            "live, one source",
            live.query().filter(cpu).fields(&["cpu_user", "cpu_idle"]),
        ),
    ];
    let mut table = TextTable::new(["query", "rows", "ms"]);
    for (what, query) in all {
        let started = Instant::now();
        let mut rows = 0;
        for batch in query.scan()? {
            rows += batch?.len();
        }
        table.row([what.to_owned(), rows.to_string(), ms_since(started)]);
    }
    let (mean, max) = (
        Aggregate::new(Agg::Mean, "value"),
        Aggregate::new(Agg::Max, "value"),
    );
    let names = ["cpu_user", "ctxt", "net_rx_bytes", "load1"];
    let by_minute = names.map(|name| Aggregate::new(Agg::Max, name));
    let daily = nab.query().filter(tweets).group_by(&["file"]).every(DAY);
    let aggregates: [(&str, Query); 3] = [
        (
            "rows and mean of nab by group",
            nab.query()
                .group_by(&["group"])
                .aggregate([Aggregate::rows(), mean.clone()]),
        ),
        (
            "daily mean and max of 7 series",
            daily.aggregate([mean, max]),
        ),
        (
            "4 of 71 fields by minute",
            host.query().every(MINUTE).aggregate(by_minute),
        ),
    ];
    for (what, query) in aggregates {
        let started = Instant::now();
        let rows = query.buckets()?.len();
        table.row([what.to_owned(), rows.to_string(), ms_since(started)]);
    }
    let started = Instant::now();
    let rows = nab.query().last()?.len();
    table.row([
        "last row of each series of nab".to_owned(),
        rows.to_string(),
        ms_since(started),
    ]);
    table.print("", out)?;
    Ok(())
}

fn ms_since(started: Instant) -> String {
    format!("{:.2}", started.elapsed().as_secs_f64() * 1e3)
}

/// A chart of half a year of taxi passengers.
pub(super) fn chart(db: &Tidestone, out: &mut dyn Write) -> Run<()> {
    let query = db
        .table("nab")?
        .query()
        .filter(TagMatch::equal("file", "nyc_taxi"));
    let chart = Chart {
        title: "passengers of taxis in New York, every half hour".to_owned(),
        width: WIDTH,
        height: 20,
        colors: std::io::stdout().is_terminal(),
    };
    let lines = lines_of(&query, usize::from(WIDTH))?;
    let text = chart.draw(&lines);
    writeln!(
        out,
        "{}",
        text.unwrap_or_else(|| "there is nothing to draw".to_owned())
    )?;
    Ok(())
}

/// What the inspector says of a segment of the live table.
pub(super) fn segment(files: &DbFiles, out: &mut dyn Write) -> Run<()> {
    writeln!(out, "# A segment, looked into")?;
    let state = files.state()?.state;
    let tables = state.tables();
    let is_live = |id| tables.get(id).is_some_and(|t| t.name == live::TABLE);
    let mut segments = state.segments().values();
    let entry = segments
        .find(|s| is_live(&s.table))
        .ok_or_else(|| Failure::new(format_args!("table {:?} has no segment", live::TABLE)))?;
    inspect::show(files.segment(entry), out)?;
    Ok(())
}
