//! Tests of tags, and the series that pass them.

use regex::{Regex, RegexBuilder};
use roaring::RoaringTreemap;
use tidestone_format::{SeriesId, SeriesKey, TableId};

use super::{Index, View, layout};
use crate::error::{Error, Result};

/// Memory a compiled [`TagPattern`] may take, and again the memory it may use while matching.
pub(super) const PATTERN_BYTES_MAX: usize = 1 << 20;

/// So few candidates are read and tested one by one, rather than every value of a tag.
const FEW: u64 = 1024;

/// A test of one tag of a series.
///
/// A series that does not have the tag counts as having the empty string as its value. So
/// `dc = ""` and `dc != "north"` also select series without the tag `dc`, and `dc != ""` selects
/// those that have it with a value.
///
/// A tag that no series of the table has is an error. One that only series had which are forgotten, because
/// retention or deletes took all their rows, is no error at first: it becomes one when the index is made anew,
/// and for whoever opens the database for reading after they were forgotten.
///
/// ```
/// # use tidestone::*;
/// # let db = Tidestone::builder("/db").disk(std::sync::Arc::new(io::SimDisk::new())).create()?;
/// # let cpu = db.create_table("cpu", TableOptions::new().field("usage", FieldType::F64))?;
/// let mut writer = db.writer();
/// for (host, dc) in [("web-1", "north"), ("web-2", "south"), ("db-1", "south")] {
///     let series = cpu.series(&[("host", host), ("dc", dc)])?;
///     writer.append(&series, 1, &[Value::F64(0.5)])?;
/// }
/// writer.commit_and_wait()?;
/// let hosts = |tests: &[TagMatch]| -> Result<Vec<String>> {
///     let keys = cpu.series_keys(tests)?;
///     Ok(keys.iter().filter_map(|key| key.get("host")).map(str::to_owned).collect())
/// };
/// assert_eq!(hosts(&[TagMatch::equal("dc", "south")])?, ["web-2", "db-1"]);
/// assert_eq!(hosts(&[TagMatch::not_equal("host", "web-1")])?, ["web-2", "db-1"]);
/// assert_eq!(hosts(&[TagMatch::one_of("host", ["web-1", "db-1"])])?, ["web-1", "db-1"]);
/// // A pattern matches the whole value; several tests must all pass.
/// let web = TagMatch::regex("host", "web-.*")?;
/// assert_eq!(hosts(&[web.clone(), TagMatch::equal("dc", "south")])?, ["web-2"]);
/// // Queries and deletes take the same tests.
/// assert_eq!(cpu.query().filter(web).last()?.len(), 2);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TagMatch {
    /// Name of the tag.
    pub tag: String,
    /// What its value must be.
    pub test: TagTest,
}

/// What the value of a tag must be. Values are compared byte by byte.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TagTest {
    /// This value.
    Equal(String),
    /// Any other value.
    NotEqual(String),
    /// One of these values. None of them: no series passes.
    In(Vec<String>),
    /// A value that matches the pattern as a whole.
    Regex(TagPattern),
}

/// A regular expression that a whole value matches or not: `a|b` matches `a` and `b`, and not
/// `ab`.
#[derive(Debug, Clone)]
pub struct TagPattern(Regex);

impl TagPattern {
    /// Compiles a pattern in the syntax of the `regex` crate.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): the pattern is wrong, or would take more
    /// memory than 1 MiB.
    pub fn new(pattern: &str) -> Result<Self> {
        let compile = |pattern: &str| {
            RegexBuilder::new(pattern)
                .size_limit(PATTERN_BYTES_MAX)
                .dfa_size_limit(PATTERN_BYTES_MAX)
                .build()
                .map_err(|e| {
                    Error::invalid(format!(
                        "regular expression: {e}; write it in the syntax of the crate `regex`, and small"
                    ))
                })
        };
        // By itself first, so that a stray parenthesis cannot close the group around it; and with a line's
        // end behind it, so that a comment of the verbose syntax does not take in the rest. Elsewhere the
        // line's end would have to match: there it is left out.
        compile(pattern)?;
        let whole = compile(&format!(r"\A(?:{pattern})\z"));
        Ok(Self(
            whole.or_else(|_| compile(&format!("\\A(?:{pattern}\n)\\z")))?,
        ))
    }

    /// Whether the whole of `value` matches.
    pub fn matches(&self, value: &str) -> bool {
        self.0.is_match(value)
    }
}

impl TagTest {
    /// Whether `value` passes.
    pub fn passes(&self, value: &str) -> bool {
        match self {
            Self::Equal(wanted) => value == wanted,
            Self::NotEqual(other) => value != other,
            Self::In(wanted) => wanted.iter().any(|w| w == value),
            Self::Regex(pattern) => pattern.matches(value),
        }
    }

    /// The order in which tests are made: those first that leave few series and cost little.
    fn rank(&self) -> u8 {
        match self {
            Self::Equal(_) => 0,
            Self::In(_) => 1,
            Self::NotEqual(_) => 2,
            Self::Regex(_) => 3,
        }
    }
}

impl TagMatch {
    /// The tag has this value.
    pub fn equal(tag: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            tag: tag.into(),
            test: TagTest::Equal(value.into()),
        }
    }

    /// The tag has another value.
    pub fn not_equal(tag: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            tag: tag.into(),
            test: TagTest::NotEqual(value.into()),
        }
    }

    /// The tag has one of these values.
    pub fn one_of<V: Into<String>>(
        tag: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        Self {
            tag: tag.into(),
            test: TagTest::In(values.into_iter().map(Into::into).collect()),
        }
    }

    /// The value of the tag matches `pattern` as a whole.
    ///
    /// # Errors
    /// As [`TagPattern::new`].
    pub fn regex(tag: impl Into<String>, pattern: &str) -> Result<Self> {
        Ok(Self {
            tag: tag.into(),
            test: TagTest::Regex(TagPattern::new(pattern)?),
        })
    }

    /// Whether the series with this key passes.
    pub fn matches(&self, key: &SeriesKey) -> bool {
        self.test.passes(key.get(&self.tag).unwrap_or(""))
    }
}

/// What a test leaves of the series of a table.
enum Left {
    Only(RoaringTreemap),
    AllBut(RoaringTreemap),
}

impl Index {
    /// The ids of the series of a table that pass every test; of every series, if there is none.
    ///
    /// # Errors
    /// The index cannot be read, or contradicts itself.
    pub(crate) fn select(&self, table: TableId, tests: &[TagMatch]) -> Result<RoaringTreemap> {
        let view = self.store.view();
        let mut tests: Vec<&TagMatch> = tests.iter().collect();
        tests.sort_by_key(|m| m.test.rank());
        let mut found: Option<RoaringTreemap> = None;
        for (at, test) in tests.iter().enumerate() {
            let found_now = match found {
                Some(ids) if ids.is_empty() => return Ok(ids),
                Some(ids) if ids.len() <= FEW && matches!(test.test, TagTest::Regex(_)) => {
                    return self.narrow(&view, table, ids, &tests[at..]);
                }
                Some(ids) => match self.left_by(&view, table, test)? {
                    Left::Only(passing) => ids & passing,
                    Left::AllBut(failing) => ids - failing,
                },
                None => match self.left_by(&view, table, test)? {
                    Left::Only(passing) => passing,
                    Left::AllBut(failing) => self.every(&view, table)? - failing,
                },
            };
            found = Some(found_now);
        }
        match found {
            Some(ids) => Ok(ids),
            None => self.every(&view, table),
        }
    }

    /// The series of `ids` whose keys pass every test.
    fn narrow(
        &self,
        view: &View<'_>,
        table: TableId,
        ids: RoaringTreemap,
        tests: &[&TagMatch],
    ) -> Result<RoaringTreemap> {
        let ids: Vec<SeriesId> = ids.into_iter().map(SeriesId).collect();
        let mut passing = RoaringTreemap::new();
        for (id, key) in ids.iter().zip(self.keys_in(view, table, &ids)?) {
            let Some(key) = key else {
                return Err(self.corrupt(format!("a posting names series {id}, which has no key")));
            };
            if tests.iter().all(|test| test.matches(&key)) {
                passing.insert(id.0);
            }
        }
        Ok(passing)
    }

    fn left_by(&self, view: &View<'_>, table: TableId, test: &TagMatch) -> Result<Left> {
        let tag = &test.tag;
        match &test.test {
            TagTest::Equal(value) => self.left_by_values(view, table, tag, &[value]),
            TagTest::In(values) => {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                self.left_by_values(view, table, tag, &values)
            }
            TagTest::NotEqual(value) => {
                Ok(match self.left_by_values(view, table, tag, &[value])? {
                    Left::Only(equal) => Left::AllBut(equal),
                    Left::AllBut(other) => Left::Only(other),
                })
            }
            TagTest::Regex(pattern) => self.left_by_pattern(view, table, tag, pattern),
        }
    }

    fn left_by_values(
        &self,
        view: &View<'_>,
        table: TableId,
        tag: &str,
        values: &[&str],
    ) -> Result<Left> {
        let mut passing = RoaringTreemap::new();
        for value in values {
            let key = layout::with_value(table, tag, value);
            passing |= self.posting(view, key.as_ref())?;
        }
        if !values.contains(&"") {
            return Ok(Left::Only(passing));
        }
        let having = self.posting(view, layout::having(table, tag).as_ref())?;
        Ok(Left::AllBut(having - passing))
    }

    fn left_by_pattern(
        &self,
        view: &View<'_>,
        table: TableId,
        tag: &str,
        pattern: &TagPattern,
    ) -> Result<Left> {
        // A series without the tag passes as the empty string does, so it is not among these.
        let without = pattern.matches("");
        let mut others = RoaringTreemap::new();
        self.each_value(view, table, tag, |value, ids| {
            if pattern.matches(value) == without {
                return Ok(());
            }
            layout::add_ids(&mut others, ids)
                .ok_or_else(|| self.corrupt(format!("the posting of {tag}={value} is damaged")))
        })?;
        Ok(if without {
            Left::AllBut(others)
        } else {
            Left::Only(others)
        })
    }
}
