//! Results as a picture: one bar a comparison, away from parity, with its target.

use crate::drawing::{self, FAINT, GRID, INK, label, line, rectangle, text};
use crate::measure::{Row, Verdict};
use crate::report::{Section, ratio};

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 24.0;
/// Where the bars may begin and end; names stand to their left, figures to their right.
const LEFT: f64 = 350.0;
const RIGHT: f64 = 880.0;
const HEADER: f64 = 96.0;
const TITLE_HEIGHT: f64 = 34.0;
const ROW_HEIGHT: f64 = 22.0;
const BAR_HEIGHT: f64 = 13.0;

const PARITY: &str = "#9aa5b1";
const MET: &str = "#2f855a";
const MISSED: &str = "#c05621";
const NO_TARGET: &str = "#8896a8";

/// The ratios of a section as SVG.
pub(crate) fn svg(section: &Section) -> String {
    let axis = Axis::of(section);
    let rows: usize = section.finishes.iter().map(|finish| finish.rows.len()).sum();
    let height = HEADER + TITLE_HEIGHT * section.finishes.len() as f64 + ROW_HEIGHT * rows as f64 + 2.0 * MARGIN;
    let mut svg = drawing::begin(WIDTH, height);
    header(&mut svg, section.name);
    axis.draw(&mut svg, HEADER, height - MARGIN);
    let mut y = HEADER;
    for finish in &section.finishes {
        y += TITLE_HEIGHT;
        text(&mut svg, MARGIN, y - 9.0, "start", INK, "font-weight=\"600\"", &finish.title);
        let first = finish.rows.first().map(|row| row.fixture.name.as_str());
        for row in &finish.rows {
            bar(&mut svg, &axis, y, row, first);
            y += ROW_HEIGHT;
        }
    }
    drawing::end(svg)
}

fn header(svg: &mut String, name: &str) {
    text(
        svg,
        MARGIN,
        34.0,
        "start",
        INK,
        "font-size=\"18\" font-weight=\"600\"",
        &format!("kv-{name} against its peers"),
    );
    let explanation = "How many times as good, log scale; 1 is parity, right of it is better. Thin line: least to \
                       greatest of all rounds.";
    text(svg, MARGIN, 54.0, "start", FAINT, "", explanation);
    let mut x = MARGIN;
    for (colour, label, width) in
        [(MET, "target met", 100.0), (MISSED, "target missed", 120.0), (NO_TARGET, "no target", 96.0)]
    {
        rectangle(svg, x, 64.0, 11.0, 11.0, colour);
        text(svg, x + 17.0, 74.0, "start", FAINT, "", label);
        x += width;
    }
    line(svg, (x + 5.0, 62.0), (x + 5.0, 77.0), INK, 2.0);
    text(svg, x + 14.0, 74.0, "start", FAINT, "", "target");
}

fn bar(svg: &mut String, axis: &Axis, top: f64, row: &Row, usual_fixture: Option<&str>) {
    let middle = top + ROW_HEIGHT / 2.0;
    let label = if Some(row.fixture.name.as_str()) == usual_fixture {
        format!("vs {}", row.baseline.name)
    } else {
        format!("{} vs {}", row.fixture.name, row.baseline.name)
    };
    text(svg, LEFT - 12.0, middle + 4.5, "end", FAINT, "", &label);
    let (parity, end) = (axis.x(1.0), axis.x(row.ratio.median));
    let colour = match row.verdict() {
        Verdict::Met => MET,
        Verdict::Missed => MISSED,
        Verdict::Ahead | Verdict::Tie | Verdict::Behind => NO_TARGET,
    };
    rectangle(svg, parity.min(end), middle - BAR_HEIGHT / 2.0, (end - parity).abs().max(1.0), BAR_HEIGHT, colour);
    line(svg, (axis.x(row.ratio.min), middle), (axis.x(row.ratio.max), middle), INK, 1.0);
    if let Some(target) = row.target {
        let x = axis.x(target);
        line(svg, (x, top + 1.5), (x, top + ROW_HEIGHT - 1.5), INK, 2.0);
    }
    text(svg, WIDTH - MARGIN, middle + 4.5, "end", INK, "", &ratio(row.ratio.median));
}

/// The logarithmic axis of ratios.
struct Axis {
    least: f64,
    greatest: f64,
}

impl Axis {
    fn of(section: &Section) -> Self {
        let rows = || section.finishes.iter().flat_map(|finish| &finish.rows);
        let seen = || rows().flat_map(|row| [Some(row.ratio.min), Some(row.ratio.max), row.target]).flatten();
        Self { least: seen().fold(0.5, f64::min) / 1.05, greatest: seen().fold(2.0, f64::max) * 1.05 }
    }

    fn x(&self, ratio: f64) -> f64 {
        LEFT + (ratio / self.least).ln() / (self.greatest / self.least).ln() * (RIGHT - LEFT)
    }

    fn draw(&self, svg: &mut String, top: f64, bottom: f64) {
        let decades = (-4..=4).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)));
        for tick in decades.filter(|tick| (self.least..=self.greatest).contains(tick)) {
            let x = self.x(tick);
            let is_parity = (tick - 1.0).abs() < 1e-9;
            let (colour, width) = if is_parity { (PARITY, 1.5) } else { (GRID, 1.0) };
            line(svg, (x, top), (x, bottom - 8.0), colour, width);
            text(svg, x, bottom + 8.0, "middle", FAINT, "font-size=\"12\"", &label(tick));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Finish, Side, Spread, Unit};

    #[test]
    fn bars_leave_parity_towards_their_side_and_names_are_escaped() {
        let side = |name: &str| Side { name: name.to_owned(), figure: 1.0 };
        let row = |median: f64, target| Row {
            fixture: side("ours"),
            baseline: side("a<b"),
            ratio: Spread { median, min: median / 2.0, max: median * 2.0 },
            target,
        };
        let rows = vec![row(4.0, Some(3.0)), row(0.25, None)];
        let finish = Finish { title: "get".to_owned(), unit: Unit::Nanoseconds, rows };
        let section = Section { name: "memory", finishes: vec![finish], notes: vec![] };
        let axis = Axis::of(&section);
        let image = svg(&section);
        assert!(image.contains("vs a&lt;b"), "{image}");
        let better = format!("<rect x=\"{:.1}\"", axis.x(1.0));
        assert!(image.lines().any(|line| line.starts_with(&better) && line.contains(MET)), "{image}");
        let worse = format!("<rect x=\"{:.1}\"", axis.x(0.25));
        assert!(image.lines().any(|line| line.starts_with(&worse) && line.contains(NO_TARGET)), "{image}");
        assert!(axis.x(0.25) < axis.x(1.0) && axis.x(8.0) < RIGHT);
    }
}
