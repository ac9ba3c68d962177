//! What the kernel says of this machine.

use std::fs;

use tidestone::{FieldType, Value};

/// One source of numbers: a series of the live table.
pub(super) struct Source {
    /// Value of the tag `source`.
    pub(super) name: &'static str,
    fields: &'static [(&'static str, FieldType)],
    read: fn() -> Option<Vec<Number>>,
}

/// A number as the kernel gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Counter(i64),
    Gauge(f64),
}

/// CPU, memory, disks, load.
pub(super) const SOURCES: [Source; 4] = [
    Source {
        name: "cpu",
        fields: &[
            ("cpu_user", FieldType::I64),
            ("cpu_system", FieldType::I64),
            ("cpu_idle", FieldType::I64),
            ("cpu_iowait", FieldType::I64),
        ],
        read: cpu,
    },
    Source {
        name: "memory",
        fields: &[
            ("memory_free_kb", FieldType::I64),
            ("memory_available_kb", FieldType::I64),
            ("memory_cached_kb", FieldType::I64),
        ],
        read: memory,
    },
    Source {
        name: "disk",
        fields: &[
            ("disk_sectors_read", FieldType::I64),
            ("disk_sectors_written", FieldType::I64),
        ],
        read: disk,
    },
    Source {
        name: "load",
        fields: &[("load1", FieldType::F64), ("load5", FieldType::F64)],
        read: load,
    },
];

/// The fields of the live table, in the order of [`values`].
pub(super) fn fields() -> impl Iterator<Item = (&'static str, FieldType)> {
    SOURCES.iter().flat_map(|s| s.fields.iter().copied())
}

/// A row: the numbers of source `source` at their places, null at those of the others. `None`
/// where this system does not have them.
pub(super) fn values(source: usize) -> Option<Vec<Value<'static>>> {
    let read = (SOURCES[source].read)()?;
    let before: usize = SOURCES[..source].iter().map(|s| s.fields.len()).sum();
    let own = read.into_iter().map(|number| match number {
        Number::Counter(v) => Value::I64(v),
        Number::Gauge(v) => Value::F64(v),
    });
    Some(
        std::iter::repeat_n(Value::Null, before)
            .chain(own)
            .collect(),
    )
}

fn cpu() -> Option<Vec<Number>> {
    cpu_of(&fs::read_to_string("/proc/stat").ok()?)
}

fn cpu_of(stat: &str) -> Option<Vec<Number>> {
    let line = stat.lines().find_map(|l| l.strip_prefix("cpu "))?;
    let all: Vec<i64> = line
        .split_whitespace()
        .map_while(|n| n.parse().ok())
        .collect();
    let pick = [0, 2, 3, 4].map(|i| all.get(i).copied());
    pick.into_iter().map(|n| n.map(Number::Counter)).collect()
}

fn memory() -> Option<Vec<Number>> {
    memory_of(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn memory_of(info: &str) -> Option<Vec<Number>> {
    let value = |name: &str| {
        let line = info.lines().find_map(|l| l.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    ["MemFree:", "MemAvailable:", "Cached:"]
        .into_iter()
        .map(|name| value(name).map(Number::Counter))
        .collect()
}

fn disk() -> Option<Vec<Number>> {
    disk_of(&fs::read_to_string("/proc/diskstats").ok()?)
}

/// Sums over whole disks and partitions alike: enough to see that something happens.
fn disk_of(stats: &str) -> Option<Vec<Number>> {
    let (mut read, mut written) = (0i64, 0i64);
    for line in stats.lines() {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let number = |i: usize| columns.get(i).and_then(|c| c.parse::<i64>().ok());
        read = read.checked_add(number(5)?)?;
        written = written.checked_add(number(9)?)?;
    }
    Some(vec![Number::Counter(read), Number::Counter(written)])
}

fn load() -> Option<Vec<Number>> {
    load_of(&fs::read_to_string("/proc/loadavg").ok()?)
}

fn load_of(text: &str) -> Option<Vec<Number>> {
    let mut numbers = text.split_whitespace().map(|n| n.parse().ok());
    let two = [numbers.next()??, numbers.next()??];
    Some(two.map(Number::Gauge).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let counters = |all: &[i64]| Some(all.iter().map(|&n| Number::Counter(n)).collect());
        assert_eq!(
            cpu_of("cpu  10 1 20 300 4 0 0 0\ncpu0 1"),
            counters(&[10, 20, 300, 4])
        );
        assert_eq!(cpu_of("cpu  10"), None);
        let info = "MemTotal: 9 kB\nMemFree: 5 kB\nMemAvailable: 7 kB\nCached: 3 kB\n";
        assert_eq!(memory_of(info), counters(&[5, 7, 3]));
        let stats = " 8 0 sda 1 0 100 5 2 0 200 9\n 8 1 sda1 1 0 10 5 2 0 20 9\n";
        assert_eq!(disk_of(stats), counters(&[110, 220]));
        let load = Some(vec![Number::Gauge(0.5), Number::Gauge(1.25)]);
        assert_eq!(load_of("0.50 1.25 2.00 1/100 5"), load);
        assert_eq!(load_of(""), None);
    }
}
