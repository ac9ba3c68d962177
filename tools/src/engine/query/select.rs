//! Which rows of which table.

use clap::Args;
use tidestone::{Query, Table, TagMatch, Tidestone, TimeRange};

use crate::engine::folder::DbArgs;
use crate::outcome::{Failure, Run};
use crate::time;

/// Rows of a table.
#[derive(Debug, Args)]
pub(crate) struct SelectArgs {
    #[command(flatten)]
    pub(crate) db: DbArgs,
    /// The table
    #[arg(long)]
    pub(crate) table: String,
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// Only these fields, in this order
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub(crate) fields: Vec<String>,
}

/// Series and times.
#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// Only series that pass: tag=value, tag!=value, or tag=~pattern (a regular expression of the
    /// whole value); several must all pass
    #[arg(long = "where", value_name = "TEST", value_parser = tag_test)]
    pub(crate) tests: Vec<TagMatch>,
    /// Only rows from this time on: RFC 3339, YYYY-MM-DD[ HH:MM:SS[.fff]] (UTC), ns since 1970, or
    /// now-1h
    #[arg(long, value_name = "TIME", value_parser = time::time, allow_hyphen_values = true)]
    pub(crate) from: Option<i64>,
    /// Only rows up to this time, itself included
    #[arg(long, value_name = "TIME", value_parser = time::time, allow_hyphen_values = true)]
    pub(crate) to: Option<i64>,
}

impl WhichArgs {
    /// The span of time.
    pub(crate) fn range(&self) -> Run<TimeRange> {
        let range = TimeRange {
            start: self.from.unwrap_or(i64::MIN),
            end: self.to.unwrap_or(i64::MAX),
        };
        if range.start > range.end {
            return Err(Failure::new(format_args!(
                "--from {} is later than --to {}; exchange them",
                time::rfc3339(range.start),
                time::rfc3339(range.end)
            )));
        }
        Ok(range)
    }

    /// Fails if a tag that is tested is none of the table's.
    pub(crate) fn check_tags(&self, table: &Table) -> Run<()> {
        let tags = self.tests.iter().map(|test| test.tag.as_str());
        check_tags("--where", tags, table)
    }
}

/// Fails if one of the names is that of a field and no tag, or if the table has rows and no tags at
/// all. Other tags that are not there are the engine's to refuse: it names near ones.
pub(crate) fn check_tags<'a>(
    option: &str,
    names: impl Iterator<Item = &'a str>,
    table: &Table,
) -> Run<()> {
    let mut names = names.peekable();
    if names.peek().is_none() {
        return Ok(());
    }
    let tags = table.tag_names()?;
    for name in names {
        if tags.iter().any(|tag| tag == name) {
            continue;
        }
        let table_name = table.name();
        if table.schema().field_by_name(name).is_some() {
            return Err(Failure::new(format_args!(
                "{option} is of tags; {name:?} is a field of table {table_name:?}, whose tags are \
                 {tags:?}: name one of them"
            )));
        }
        if tags.is_empty() && table.series_count()? > 0 {
            return Err(Failure::new(format_args!(
                "{option} is of tags; no series of table {table_name:?} has any, nor a tag {name:?}: leave it \
                 out"
            )));
        }
    }
    Ok(())
}

impl SelectArgs {
    /// The table, of an open database.
    pub(crate) fn table(&self, db: &Tidestone) -> Run<Table> {
        Ok(db.table(&self.table)?)
    }

    /// The query, without order and limit.
    pub(crate) fn query(&self, table: &Table) -> Run<Query> {
        self.which.check_tags(table)?;
        let mut query = table.query().range(self.which.range()?);
        for test in &self.which.tests {
            query = query.filter(test.clone());
        }
        if !self.fields.is_empty() {
            query = query.fields(&self.fields);
        }
        Ok(query)
    }

    /// The names of the tags that the chosen series have, sorted.
    pub(crate) fn tag_names(&self, table: &Table) -> Run<Vec<String>> {
        let keys = table.series_keys(&self.which.tests)?;
        let mut names: Vec<String> = Vec::new();
        for (name, _) in keys.iter().flat_map(|key| key.tags()) {
            if let Err(at) = names.binary_search_by(|n| n.as_str().cmp(name)) {
                names.insert(at, name.to_owned());
            }
        }
        Ok(names)
    }
}

pub(crate) fn tag_test(text: &str) -> Result<TagMatch, String> {
    let wrong = || "write tag=value, tag!=value or tag=~pattern".to_owned();
    let no_pattern = || {
        "a pattern stands behind =~ alone and is not empty: write tag=~pattern; a value that starts with ~ is \
         matched by tag=~~ and what follows, as a pattern"
            .to_owned()
    };
    let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
    let test = match (name.strip_suffix('!'), rest.strip_prefix('~')) {
        (Some(_), Some(_)) | (None, Some("")) => return Err(no_pattern()),
        (Some(name), None) => TagMatch::not_equal(name, rest),
        (None, Some(pattern)) => TagMatch::regex(name, pattern).map_err(|e| e.to_string())?,
        (None, None) => TagMatch::equal(name, rest),
    };
    if test.tag.is_empty() {
        return Err(wrong());
    }
    Ok(test)
}

#[cfg(test)]
mod tests {
    use tidestone::TagTest;

    use super::*;

    #[test]
    fn tests_of_tags_are_read() {
        let check = |text: &str, tag: &str, pass: &str, fail: &str| {
            let test = tag_test(text).unwrap();
            assert_eq!(test.tag, tag);
            assert!(test.test.passes(pass) && !test.test.passes(fail), "{text}");
        };
        check("host=a", "host", "a", "b");
        check("host!=a", "host", "b", "a");
        check("host=~a|b.*", "host", "bcd", "ab");
        check("q=a=b", "q", "a=b", "a");
        check("q=", "q", "", "a");
        assert!(matches!(tag_test("x=!y").unwrap().test, TagTest::Equal(_)));
        check("host=~~a", "host", "~a", "a");
        for wrong in ["", "host", "=a", "!=a", "host=~(", "host=~", "host!=~a"] {
            assert!(tag_test(wrong).is_err(), "{wrong}");
        }
    }
}
