use super::*;
use crate::FormatErrorKind::{Invalid, Limit, Truncated};
use proptest::prelude::*;

fn table() -> TableSchema {
    let field = |id, name: &str, field_type| Field {
        id: FieldId(id),
        name: name.to_string(),
        field_type,
    };
    TableSchema {
        id: TableId(7),
        name: "cpu".to_string(),
        settings: TableSettings {
            policy: DuplicatePolicy::Replace,
            mode: SchemaMode::Open,
            partition_ns: 3_600_000_000_000,
            future_bound_ns: Some(60_000_000_000),
            retention_age_ns: None,
            retention_bytes: Some(1 << 40),
            drops_when_full: false,
        },
        next_field_id: 10,
        fields: vec![
            field(1, "user", FieldType::F64),
            field(2, "count", FieldType::U64),
            field(9, "state", FieldType::String),
        ],
    }
}

/// Offsets in the bytes of [`table`].
const POLICY: usize = 4 + 2 + 3;
const PARTITION: usize = POLICY + 4;
const NEXT_FIELD: usize = PARTITION + 4 * 8;
const FIELDS: usize = NEXT_FIELD + 8;

fn encoded(table: &TableSchema) -> Vec<u8> {
    let mut out = Vec::new();
    table.encode(&mut out).unwrap();
    out
}

#[test]
fn tables_round_trip() {
    let mut table = table();
    assert_eq!(TableSchema::decode(&encoded(&table)).unwrap(), table);
    table.fields.clear();
    table.next_field_id = 1;
    table.settings = TableSettings {
        policy: DuplicatePolicy::First,
        mode: SchemaMode::Fixed,
        partition_ns: i64::MAX,
        future_bound_ns: None,
        retention_age_ns: Some(0),
        retention_bytes: None,
        drops_when_full: true,
    };
    assert_eq!(TableSchema::decode(&encoded(&table)).unwrap(), table);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = encoded(&table());
    for len in 0..bytes.len() {
        let error = TableSchema::decode(&bytes[..len]).unwrap_err();
        let too_few_for_the_fields = (FIELDS..FIELDS + 27).contains(&len);
        assert!(
            error.kind == Truncated || too_few_for_the_fields,
            "{len}: {error}"
        );
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(
        TableSchema::decode(&longer).unwrap_err().offset,
        bytes.len() as u64
    );
}

#[test]
fn each_field_has_its_bounds() {
    let check = |at: usize, bytes: &[u8], offset: usize| {
        let mut changed = encoded(&table());
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        let error = TableSchema::decode(&changed).unwrap_err();
        assert_eq!(
            (error.kind, error.offset),
            (Invalid, offset as u64),
            "{error}"
        );
    };
    check(0, &0u32.to_le_bytes(), 0);
    check(6, &[0xff], 6);
    check(POLICY, &[0], POLICY);
    check(POLICY, &[4], POLICY);
    check(POLICY + 1, &[0], POLICY + 1);
    check(POLICY + 1, &[3], POLICY + 1);
    check(POLICY + 2, &[2], POLICY + 2);
    check(POLICY + 3, &[1], POLICY + 2);
    check(PARTITION, &0i64.to_le_bytes(), PARTITION);
    check(PARTITION, &(-1i64).to_le_bytes(), PARTITION);
    check(PARTITION + 8, &(-2i64).to_le_bytes(), PARTITION + 8);
    check(PARTITION + 16, &i64::MIN.to_le_bytes(), PARTITION + 16);
    check(NEXT_FIELD, &0u32.to_le_bytes(), NEXT_FIELD);
    check(NEXT_FIELD, &1u32.to_le_bytes(), FIELDS);
    check(NEXT_FIELD + 4, &u32::MAX.to_le_bytes(), NEXT_FIELD + 4);
    check(NEXT_FIELD + 4, &5u32.to_le_bytes(), NEXT_FIELD + 4);
    check(FIELDS, &0u32.to_le_bytes(), FIELDS);
    check(FIELDS, &5u32.to_le_bytes(), FIELDS + 12);
    check(FIELDS + 4, &[6], FIELDS + 4);
    check(FIELDS + 5, &[1], FIELDS + 5);
}

#[test]
fn the_encoder_refuses_what_the_decoder_would() {
    let check = |kind, change: &dyn Fn(&mut TableSchema)| {
        let mut table = table();
        change(&mut table);
        let mut out = vec![1, 2, 3];
        assert_eq!(table.encode(&mut out).unwrap_err().kind, kind);
        assert_eq!(out, [1, 2, 3]);
    };
    check(Invalid, &|t| t.id = TableId(0));
    check(Invalid, &|t| t.name.clear());
    check(Limit, &|t| t.name = "x".repeat(65_536));
    check(Invalid, &|t| t.settings.partition_ns = 0);
    check(Invalid, &|t| t.settings.future_bound_ns = Some(-1));
    check(Invalid, &|t| t.settings.retention_age_ns = Some(-1));
    check(Limit, &|t| t.settings.retention_bytes = Some(u64::MAX));
    check(Invalid, &|t| t.next_field_id = 9);
    check(Invalid, &|t| t.fields[1].name = "user".to_string());
    check(Invalid, &|t| t.fields[0].name.clear());
    check(Invalid, &|t| t.fields[2].id = FieldId(2));
    check(Invalid, &|t| t.fields[0].id = FieldId::TIME);
    check(Invalid, &|t| {
        t.next_field_id = u32::MAX;
        t.fields = (1..=4097)
            .map(|id| Field {
                id: FieldId(id),
                name: id.to_string(),
                field_type: FieldType::Bool,
            })
            .collect();
    });
}

#[test]
fn fields_are_found_by_id_and_name() {
    let table = table();
    assert_eq!(table.field(FieldId(9)).unwrap().name, "state");
    assert_eq!(table.field(FieldId(3)), None);
    assert_eq!(table.field_by_name("count").unwrap().id, FieldId(2));
    assert_eq!(table.field_by_name("time"), None);
}

proptest! {
    #[test]
    fn damaged_bytes_never_panic_and_what_decodes_encodes_to_the_same(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)
    ) {
        let mut bytes = encoded(&table());
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(table) = TableSchema::decode(&bytes) {
            prop_assert_eq!(encoded(&table), bytes);
        }
    }
}
