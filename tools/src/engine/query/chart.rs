//! A chart of lines, drawn with the dots of braille.

use std::fmt::Write as _;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::{HorizontalAlignment, Rect};
use ratatui_core::style::{Color, Style};
use ratatui_core::symbols::Marker;
use ratatui_core::widgets::Widget;
use ratatui_widgets::chart::{Axis, Chart as ChartWidget, Dataset, GraphType};

use crate::text::one_line;
use crate::time::rfc3339;

const COLORS: [Color; 6] = [
    Color::Cyan,
    Color::Yellow,
    Color::Green,
    Color::Magenta,
    Color::Red,
    Color::Blue,
];

/// A line of the chart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    /// What it is called in the legend.
    pub(crate) name: String,
    /// Time (ns) and value, by time; values are finite.
    pub(crate) points: Vec<(i64, f64)>,
}

/// A chart.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    /// What stands above it.
    pub(crate) title: String,
    /// Characters across.
    pub(crate) width: u16,
    /// Lines of text.
    pub(crate) height: u16,
    /// Whether lines have colours.
    pub(crate) colors: bool,
}

impl Chart {
    /// The chart as text; `None` if no line has a point.
    pub(crate) fn draw(&self, lines: &[Line]) -> Option<String> {
        let points = || lines.iter().flat_map(|l| &l.points);
        let times = (points().map(|p| p.0).min()?, points().map(|p| p.0).max()?);
        let fold = |start: f64, f: fn(f64, f64) -> f64| points().map(|p| p.1).fold(start, f);
        let (low, high) = around(
            fold(f64::INFINITY, f64::min),
            fold(f64::NEG_INFINITY, f64::max),
        );
        // Times relative to the first one: a double holds spans to the ns, not times of today.
        // Values as parts of their span: it may be more than a double holds.
        let height = part_of(low, high);
        let relative: Vec<Vec<(f64, f64)>> = lines
            .iter()
            .map(|l| {
                let of = |(t, v): &(i64, f64)| (t.abs_diff(times.0) as f64, height(*v));
                l.points.iter().map(of).collect()
            })
            .collect();
        let span = (times.1.abs_diff(times.0) as f64).max(1.0);
        let datasets = relative.iter().enumerate().map(|(i, points)| {
            Dataset::default()
                .marker(Marker::Braille)
                .graph_type(GraphType::Line)
                .style(Style::new().fg(COLORS[i % COLORS.len()]))
                .data(points)
        });
        let values = labels(low, high);
        let ends = [rfc3339(times.0), rfc3339(times.1)];
        let time_axis = Axis::default()
            .bounds([0.0, span])
            .labels(ends)
            .labels_alignment(HorizontalAlignment::Right);
        let widget = ChartWidget::new(datasets.collect())
            .x_axis(time_axis)
            .y_axis(Axis::default().bounds([0.0, 1.0]).labels(values))
            .legend_position(None);
        let area = Rect::new(0, 0, self.width.max(20), self.height.max(6));
        let mut buffer = Buffer::empty(area);
        widget.render(area, &mut buffer);
        let (title, legend) = (&self.title, self.legend(lines));
        Some(format!("{title}\n{}{legend}", self.text(&buffer)))
    }

    /// What the lines are called, below the chart; nothing for a single one.
    fn legend(&self, lines: &[Line]) -> String {
        let mut text = String::new();
        if lines.len() < 2 {
            return text;
        }
        for (i, line) in lines.iter().enumerate() {
            if self.colors {
                push_color(&mut text, COLORS[i % COLORS.len()]);
                text.push_str("●\u{1b}[0m ");
            }
            text.push_str(&one_line(&line.name));
            text.push('\n');
        }
        text
    }

    fn text(&self, buffer: &Buffer) -> String {
        let mut text = String::new();
        for line in buffer.content().chunks(usize::from(buffer.area.width)) {
            let end = line
                .iter()
                .rposition(|c| c.symbol() != " ")
                .map_or(0, |at| at + 1);
            let mut color = Color::Reset;
            for cell in &line[..end] {
                if self.colors && cell.fg != color {
                    color = cell.fg;
                    push_color(&mut text, color);
                }
                text.push_str(cell.symbol());
            }
            if color != Color::Reset {
                text.push_str("\u{1b}[0m");
            }
            text.push('\n');
        }
        text
    }
}

fn push_color(text: &mut String, color: Color) {
    let code = match color {
        Color::Red => 31,
        Color::Green => 32,
        Color::Yellow => 33,
        Color::Blue => 34,
        Color::Magenta => 35,
        Color::Cyan => 36,
        _ => 0,
    };
    // Writing to a string does not fail.
    let _ = write!(text, "\u{1b}[{code}m");
}

/// Bounds that leave room around a line that is flat.
fn around(low: f64, high: f64) -> (f64, f64) {
    if low < high {
        return (low, high);
    }
    // A tenth of what is next to nothing is nothing.
    let by = if low.is_normal() {
        low.abs() * 0.1
    } else {
        1.0
    };
    ((low - by).max(f64::MIN), (high + by).min(f64::MAX))
}

/// Where a value stands between low, which is 0, and high, which is 1.
fn part_of(low: f64, high: f64) -> impl Fn(f64) -> f64 {
    // Of quarters where the span is more than the greatest double; of tiny values they would not be
    // exact.
    let scale = if (high - low).is_finite() { 1.0 } else { 0.25 };
    move |value| (value * scale - low * scale) / (high * scale - low * scale)
}

/// Five values from low to high, with as many digits as tell them apart.
fn labels(low: f64, high: f64) -> Vec<String> {
    let step = high / 4.0 - low / 4.0;
    let digits = (1.0 - step.abs().log10().floor()).clamp(0.0, 12.0);
    let all = [0.0, 0.25, 0.5, 0.75, 1.0].map(|part| low * (1.0 - part) + high * part);
    let texts: Vec<String> = if high.abs().max(low.abs()) >= 1e12 || digits >= 12.0 {
        all.map(|v| format!("{v:.3e}")).to_vec()
    } else {
        let digits = (0..=12u8).find(|d| f64::from(*d) >= digits).unwrap_or(12);
        all.map(|v| format!("{v:.*}", usize::from(digits))).to_vec()
    };
    let widest = texts.iter().map(String::len).max().unwrap_or(0);
    texts.iter().map(|t| format!("{t:>widest$}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, values: &[f64]) -> Line {
        let points = (0i64..)
            .map(|t| t * 1_000_000_000)
            .zip(values.iter().copied());
        Line {
            name: name.to_owned(),
            points: points.collect(),
        }
    }

    fn chart(colors: bool) -> Chart {
        Chart {
            title: "x".to_owned(),
            width: 60,
            height: 12,
            colors,
        }
    }

    #[test]
    fn a_chart_has_title_axes_and_legend() {
        let lines = [
            line("up", &[0.0, 1.0, 2.0, 3.0]),
            line("down", &[3.0, 2.0, 1.0, 0.0]),
        ];
        let text = chart(false).draw(&lines).unwrap();
        assert_eq!(text.lines().count(), 15, "{text}");
        for part in [
            "x\n",
            "up",
            "down",
            "3.00",
            "0.00",
            "1970-01-01T00:00:00Z",
            "00:00:03Z",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('\u{1b}'));
        assert!(
            text.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)),
            "{text}"
        );
        assert!(chart(true).draw(&lines).unwrap().contains("\u{1b}[36m"));
    }

    #[test]
    fn flat_and_empty_lines_are_drawn_or_not() {
        assert_eq!(chart(false).draw(&[line("none", &[])]), None);
        let flat = chart(false).draw(&[line("flat", &[5.0, 5.0])]).unwrap();
        assert!(flat.contains("4.5") && flat.contains("5.5"), "{flat}");
        assert!(chart(false).draw(&[line("point", &[0.0])]).is_some());
    }

    #[test]
    fn values_as_far_apart_as_doubles_go_are_drawn_as_others_are() {
        let draw = |values: &[f64]| chart(false).draw(&[line("far", values)]).unwrap();
        let dots = |text: &str| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.split_once('│'));
            lines.map(|(_, dots)| dots.to_owned()).collect()
        };
        for by in [1e308, f64::MAX] {
            let far = draw(&[by, -by, by / 2.0, 0.0]);
            // Its labels are as wide.
            let near = draw(&[1e100, -1e100, 5e99, 0.0]);
            for label in [by, -by, 0.0] {
                assert!(far.contains(&format!("{label:.3e}│")), "{label}: {far}");
            }
            assert_eq!(dots(&far), dots(&near), "{far}\n{near}");
        }
        for flat in [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324] {
            let text = draw(&[flat, flat]);
            assert!(!text.contains("inf") && !text.contains("NaN"), "{text}");
            let drawn = |line: &String| !line.trim().is_empty();
            assert_eq!(dots(&text).iter().filter(|l| drawn(l)).count(), 1, "{text}");
        }
    }
}
