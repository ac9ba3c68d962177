//! Selecting series by tests of their tags.

use proptest::prelude::*;

use super::*;

#[test]
fn a_series_without_a_tag_has_the_empty_value() {
    let index = index();
    let definitions = [
        definition(TABLE, 1, &[("dc", "x"), ("host", "a")]),
        definition(TABLE, 2, &[("dc", ""), ("host", "b")]),
        definition(TABLE, 3, &[("host", "c")]),
        definition(TABLE, 4, &[]),
        definition(TableId(4), 5, &[("dc", "x")]),
    ];
    index.apply(&definitions, applied(1)).unwrap();
    let check = |test: TagMatch, expected: &[u64]| {
        assert_eq!(
            select(&index, std::slice::from_ref(&test)),
            expected,
            "{test:?}"
        );
        // Together with a test that leaves few series, keys are read instead.
        let both = [TagMatch::not_equal("host", "zz"), test];
        assert_eq!(select(&index, &both), expected, "{both:?}");
    };
    check(TagMatch::equal("dc", ""), &[2, 3, 4]);
    check(TagMatch::equal("dc", "x"), &[1]);
    check(TagMatch::not_equal("dc", "x"), &[2, 3, 4]);
    check(TagMatch::not_equal("dc", ""), &[1]);
    check(TagMatch::not_equal("dc", "y"), &[1, 2, 3, 4]);
    check(TagMatch::one_of("dc", ["", "x"]), &[1, 2, 3, 4]);
    check(TagMatch::one_of("dc", ["x", "y"]), &[1]);
    check(TagMatch::one_of("dc", Vec::<String>::new()), &[]);
    check(TagMatch::regex("dc", "x?").unwrap(), &[1, 2, 3, 4]);
    check(TagMatch::regex("dc", "x|y").unwrap(), &[1]);
    check(TagMatch::regex("dc", "").unwrap(), &[2, 3, 4]);
    check(TagMatch::equal("nowhere", ""), &[1, 2, 3, 4]);
    check(TagMatch::equal("nowhere", "x"), &[]);
    // Names that no tag can have.
    check(TagMatch::equal("", ""), &[1, 2, 3, 4]);
    check(TagMatch::equal("", "x"), &[]);
    check(TagMatch::equal("t".repeat(70_000), ""), &[1, 2, 3, 4]);
    check(TagMatch::regex("", ".+").unwrap(), &[]);

    assert_eq!(index.tag_names(TABLE).unwrap(), ["dc", "host"]);
    assert_eq!(index.tag_values(TABLE, "dc").unwrap(), ["", "x"]);
    assert_eq!(index.tag_values(TABLE, "host").unwrap(), ["a", "b", "c"]);
    assert!(index.tag_values(TABLE, "nowhere").unwrap().is_empty());
    assert!(index.tag_values(TABLE, "").unwrap().is_empty());
    assert!(index.tag_names(TableId(9)).unwrap().is_empty());
}

#[test]
fn a_pattern_matches_whole_values() {
    let check = |pattern: &str, value: &str, expected: bool| {
        let pattern = TagPattern::new(pattern).unwrap();
        assert_eq!(pattern.matches(value), expected, "{pattern:?} {value:?}");
    };
    check("a", "a", true);
    check("a", "ab", false);
    check("a", "ba", false);
    check("a|ab", "ab", true);
    check("a|b", "ab", false);
    check("(?m)^a$", "a\nb", false);
    check("a$", "a\n", false);
    check("a.b", "a\nb", false);
    check("(?s)a.b", "a\nb", true);
    check("host-[0-9]+", "host-17", true);
    check("(?i)HOST", "host", true);
    check("", "", true);
    check("(?x) a # b", "a", true);
    check("(?x) a # b", "ab", false);
    for wrong in [
        "a)|(b",
        "(",
        "a{1000}{1000}{1000}",
        r"\w{100000}",
        "(?x)(a # b",
    ] {
        let error = TagMatch::regex("dc", wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong}: {error}");
    }
}

fn series() -> impl Strategy<Value = Vec<(Option<u8>, Option<u8>, Option<u8>)>> {
    let value = || proptest::option::of(0u8..4);
    proptest::collection::vec((value(), value(), value()), 0..60)
}

fn tag_match() -> impl Strategy<Value = TagMatch> {
    let tag = prop_oneof![Just("a"), Just("b"), Just("c"), Just("d")];
    let value = || (0u8..5).prop_map(text);
    let pattern = prop_oneof![
        Just(""),
        Just(".*"),
        Just(".+"),
        Just("v1|v2"),
        Just("v[13]?"),
        Just("v2?|")
    ];
    let test = prop_oneof![
        value().prop_map(TagTest::Equal),
        value().prop_map(TagTest::NotEqual),
        proptest::collection::vec(value(), 0..4).prop_map(TagTest::In),
        pattern.prop_map(|p| TagTest::Regex(TagPattern::new(p).unwrap())),
    ];
    (tag, test).prop_map(|(tag, test)| TagMatch {
        tag: tag.to_owned(),
        test,
    })
}

fn text(value: u8) -> String {
    match value {
        0 => String::new(),
        other => format!("v{other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn select_agrees_with_matches(
        series in series(),
        queries in proptest::collection::vec(proptest::collection::vec(tag_match(), 0..4), 20),
        many in any::<bool>(),
        flush in any::<bool>(),
    ) {
        let index = index();
        // Many copies, apart in a further tag, so that candidates are not few.
        let copies = if many { 40 } else { 1 };
        let mut definitions = Vec::new();
        for copy in 0..copies {
            for (a, b, c) in &series {
                let tags = [("a", a), ("b", b), ("c", c)];
                let tags = tags.into_iter().filter_map(|(n, v)| Some((n, text((*v)?))));
                let n = definitions.len();
                let tags = tags.chain([("n", format!("{copy}.{n}"))]);
                let key = SeriesKey::new(tags).unwrap();
                let id = SeriesId(n as u64 * 1000 + 1);
                definitions.push(Definition { table: TABLE, id, key });
            }
        }
        for (at, part) in definitions.chunks(50).enumerate() {
            index.apply(part, applied(at as u64)).unwrap();
        }
        if flush {
            index.flush().unwrap();
        }
        for query in queries {
            let passing = definitions.iter().filter(|d| query.iter().all(|m| m.matches(&d.key)));
            let expected: Vec<u64> = passing.map(|d| d.id.0).collect();
            prop_assert_eq!(select(&index, &query), expected, "{:?}", query);
        }
    }
}
