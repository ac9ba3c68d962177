//! Queries, a chart, a segment.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use tidestone::{Query, TagMatch, Tidestone};

use super::super::files::DbFiles;
use super::super::query::{Chart, lines_of};
use super::live;
use crate::inspect;
use crate::outcome::{Failure, Run};
use crate::text::TextTable;

/// Characters across a chart.
const WIDTH: u16 = 100;

/// A handful of queries, each with what it took.
pub(super) fn queries(db: &Tidestone, out: &mut dyn Write) -> Run<()> {
    writeln!(out, "\n# Queries")?;
    let (nab, host) = (db.table("nab")?, db.table("hostmetrics")?);
    let taxi = TagMatch::equal("file", "nyc_taxi");
    let tweets = TagMatch::equal("group", "realTweets");
    let live = db.table(live::TABLE)?;
    let cpu = TagMatch::equal("source", "cpu");
    let all: [(&str, Query); 5] = [
        ("every row of nab", nab.query()),
        ("one series of nab", nab.query().filter(taxi)),
        ("the series of one group", nab.query().filter(tweets)),
        (
            "one field of hostmetrics",
            host.query().fields(&["cpu_user"]),
        ),
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
        let ms = started.elapsed().as_secs_f64() * 1e3;
        table.row([what.to_owned(), rows.to_string(), format!("{ms:.2}")]);
    }
    table.print("", out)?;
    Ok(())
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
