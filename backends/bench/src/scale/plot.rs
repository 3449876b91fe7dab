//! Curves as a picture: one plot a panel, both axes logarithmic.

use std::fmt::Write;

use super::curve::{Chart, Curve, Panel, Quantity, sizes};
use crate::drawing::{self, FAINT, GRID, INK, line, text};
use crate::measure::Unit;
use crate::report::short;

const WIDTH: f64 = 1040.0;
const MARGIN: f64 = 24.0;
const HEADER: f64 = 70.0;
const COLUMNS: usize = 2;
const PLOT_HEIGHT: f64 = 240.0;
/// Room of a panel above, below and left of its plot.
const ABOVE: f64 = 34.0;
const BELOW: f64 = 46.0;
const BESIDE: f64 = 74.0;
const LEGEND_HEIGHT: f64 = 20.0;
/// The mark of a curve in the legend, with the room behind it.
const MARK: f64 = 24.0;
/// What a letter of the legend takes at most.
const LETTER: f64 = 7.2;

/// Told apart without their hue too: the marks differ.
const COLOURS: [&str; 8] = ["#2b6cb0", "#c05621", "#2f855a", "#805ad5", "#b7791f", "#0f8b8d", "#b83280", "#4a5568"];

/// The plots of a subject as SVG.
pub(crate) fn svg(chart: &Chart) -> String {
    let panel_width = (WIDTH - 2.0 * MARGIN) / COLUMNS as f64;
    let rows: Vec<&[Panel]> = chart.panels.chunks(COLUMNS).collect();
    let row_height = |row: &[Panel]| {
        let legend = row.iter().map(|panel| legend(panel, panel_width - BESIDE).len()).max().unwrap_or(0);
        ABOVE + PLOT_HEIGHT + BELOW + LEGEND_HEIGHT * legend as f64 + MARGIN
    };
    let height = HEADER + rows.iter().map(|row| row_height(row)).sum::<f64>();
    let mut svg = drawing::begin(WIDTH, height);
    text(&mut svg, MARGIN, 34.0, "start", INK, "font-size=\"18\" font-weight=\"600\"", chart.title);
    text(
        &mut svg,
        MARGIN,
        54.0,
        "start",
        FAINT,
        "",
        "Both axes are logarithmic: a flat line costs the same at every size.",
    );
    let mut top = HEADER;
    for row in rows {
        for (column, panel) in row.iter().enumerate() {
            let frame = Frame::of(
                panel,
                MARGIN + panel_width * column as f64 + BESIDE,
                top + ABOVE,
                panel_width - BESIDE - MARGIN,
            );
            frame.draw(&mut svg, chart.grows, panel);
        }
        top += row_height(row);
    }
    drawing::end(svg)
}

/// Where a plot lies, and what its axes hold.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    x: Scale,
    y: Scale,
}

impl Frame {
    fn of(panel: &Panel, left: f64, top: f64, width: f64) -> Self {
        let points = || panel.curves.iter().flat_map(|curve| &curve.points);
        let x = Scale::of(points().map(|(size, _)| *size as f64), 1.0);
        // A curve that is flat shall look it: no axis shows less than a factor of four.
        let y = Scale::of(points().map(|(_, figure)| *figure), 4.0);
        Self { left, top, width, x, y }
    }

    fn at(&self, size: usize, figure: f64) -> (f64, f64) {
        let x = self.left + self.x.share(size as f64) * self.width;
        (x, self.top + (1.0 - self.y.share(figure)) * PLOT_HEIGHT)
    }

    fn draw(&self, svg: &mut String, grows: &str, panel: &Panel) {
        let (right, bottom) = (self.left + self.width, self.top + PLOT_HEIGHT);
        text(svg, self.left - BESIDE, self.top - 16.0, "start", INK, "font-weight=\"600\"", &panel.title);
        for tick in self.y.ticks() {
            let (_, y) = self.at(1, tick);
            line(svg, (self.left, y), (right, y), GRID, 1.0);
            text(svg, self.left - 8.0, y + 4.0, "end", FAINT, "font-size=\"12\"", &tick_text(panel.quantity, tick));
        }
        for size in sizes(panel) {
            let (x, _) = self.at(size, self.y.least);
            line(svg, (x, self.top), (x, bottom), GRID, 1.0);
            text(svg, x, bottom + 16.0, "middle", FAINT, "font-size=\"12\"", &short(size));
        }
        let middle = f64::midpoint(self.left, right);
        text(svg, middle, bottom + 34.0, "middle", FAINT, "font-size=\"12\"", grows);
        for (index, curve) in panel.curves.iter().enumerate() {
            self.curve(svg, curve, index);
        }
        for (row, entries) in legend(panel, self.width + MARGIN).into_iter().enumerate() {
            for (index, offset) in entries {
                let (x, y) = (self.left + offset, bottom + BELOW + LEGEND_HEIGHT * (row as f64 + 0.6));
                line(svg, (x, y - 4.0), (x + 16.0, y - 4.0), colour(index), 2.0);
                mark(svg, (x + 8.0, y - 4.0), index);
                text(svg, x + MARK, y, "start", INK, "font-size=\"12\"", &panel.curves[index].name);
            }
        }
    }

    fn curve(&self, svg: &mut String, curve: &Curve, index: usize) {
        let points: Vec<(f64, f64)> = curve.points.iter().map(|(size, figure)| self.at(*size, *figure)).collect();
        for pair in points.windows(2) {
            line(svg, pair[0], pair[1], colour(index), 2.0);
        }
        for point in points {
            mark(svg, point, index);
        }
    }
}

fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

/// A circle, a square, a diamond or a triangle.
fn mark(svg: &mut String, (x, y): (f64, f64), index: usize) {
    let colour = colour(index);
    let _ = match index % 4 {
        0 => writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"),
        1 => writeln!(svg, "<path d=\"M{:.1} {:.1}h6.4v6.4h-6.4z\" fill=\"{colour}\"/>", x - 3.2, y - 3.2),
        2 => writeln!(svg, "<path d=\"M{x:.1} {:.1}l4.5 4.5l-4.5 4.5l-4.5 -4.5z\" fill=\"{colour}\"/>", y - 4.5),
        _ => writeln!(svg, "<path d=\"M{x:.1} {:.1}l4.4 7.6h-8.8z\" fill=\"{colour}\"/>", y - 5.0),
    };
}

/// The rows of the legend: curves by their index, and where each begins.
fn legend(panel: &Panel, width: f64) -> Vec<Vec<(usize, f64)>> {
    let mut rows = vec![Vec::new()];
    let mut offset = 0.0;
    for (index, curve) in panel.curves.iter().enumerate() {
        let takes = MARK + LETTER * curve.name.chars().count() as f64 + 14.0;
        if offset > 0.0 && offset + takes > width {
            rows.push(Vec::new());
            offset = 0.0;
        }
        if let Some(row) = rows.last_mut() {
            row.push((index, offset));
        }
        offset += takes;
    }
    rows
}

/// A logarithmic axis.
#[derive(Clone, Copy, Debug)]
struct Scale {
    least: f64,
    greatest: f64,
}

impl Scale {
    /// Holds all figures, and at least a range of this factor.
    fn of(figures: impl Iterator<Item = f64> + Clone, factor: f64) -> Self {
        let figures = figures.filter(|figure| figure.is_finite() && *figure > 0.0);
        let least = figures.clone().fold(f64::INFINITY, f64::min);
        let greatest = figures.fold(0.0, f64::max);
        if least > greatest {
            return Self { least: 1.0, greatest: factor.max(10.0) };
        }
        // One size alone is a range too.
        let missing = (factor.max(1.01) * least / greatest).max(1.0).sqrt();
        let room = if factor > 1.0 { 1.15 } else { 1.0 };
        Self { least: least / missing / room, greatest: greatest * missing * room }
    }

    fn share(&self, figure: f64) -> f64 {
        (figure / self.least).ln() / (self.greatest / self.least).ln()
    }

    /// Round numbers on the axis: powers of ten where there are enough of them, else 1, 2 and 5 times these.
    fn ticks(&self) -> Vec<f64> {
        const ENOUGH: usize = 3;
        let on_axis = |digits: &[f64]| -> Vec<f64> {
            let ticks = (-3..=12).flat_map(|power| digits.iter().map(move |digit| digit * 10_f64.powi(power)));
            ticks.filter(|tick| (self.least..=self.greatest).contains(tick)).collect()
        };
        let decades = on_axis(&[1.0]);
        if decades.len() >= ENOUGH { decades } else { on_axis(&[1.0, 2.0, 5.0]) }
    }
}

/// Round, with its unit.
fn tick_text(quantity: Quantity, tick: f64) -> String {
    let (value, unit) = match quantity {
        Quantity::Cost(Unit::Bytes) if tick >= 1e3 => (tick / 1e3, "kB"),
        Quantity::Cost(Unit::Bytes) => (tick, "B"),
        Quantity::Cost(Unit::Nanoseconds) if tick >= 1e9 => (tick / 1e9, "s"),
        Quantity::Cost(Unit::Nanoseconds) if tick >= 1e6 => (tick / 1e6, "ms"),
        Quantity::Cost(Unit::Nanoseconds) if tick >= 1e3 => (tick / 1e3, "us"),
        Quantity::Cost(Unit::Nanoseconds) => (tick, "ns"),
        Quantity::Rate if tick >= 1e6 => (tick / 1e6, "M/s"),
        Quantity::Rate if tick >= 1e3 => (tick / 1e3, "k/s"),
        Quantity::Rate => (tick, "/s"),
    };
    format!("{} {unit}", drawing::label(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(names: &[&str], figures: &[f64]) -> Panel {
        let sizes = [10, 1000, 100_000];
        let curve = |name: &&str| Curve {
            points: sizes.into_iter().zip(figures.iter().copied()).collect(),
            ..Curve::new(*name)
        };
        let quantity = Quantity::Cost(Unit::Nanoseconds);
        Panel { title: "time".to_owned(), quantity, curves: names.iter().map(curve).collect() }
    }

    #[test]
    fn a_wide_axis_has_powers_of_ten_and_a_narrow_one_more() {
        assert_eq!(Scale { least: 0.5, greatest: 2000.0 }.ticks(), [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(Scale { least: 150.0, greatest: 2500.0 }.ticks(), [200.0, 500.0, 1000.0, 2000.0]);
    }

    #[test]
    fn an_axis_holds_its_figures_and_shows_a_flat_curve_as_flat() {
        let flat = Scale::of([100.0, 104.0].into_iter(), 4.0);
        assert!(flat.greatest / flat.least > 4.0, "{flat:?}");
        assert!((0.4..0.6).contains(&flat.share(102.0)), "{flat:?}");
        let steep = Scale::of([1.0, 1000.0].into_iter(), 4.0);
        assert!(steep.share(1.0) > 0.0 && steep.share(1000.0) < 1.0);
        let nothing = Scale::of([f64::NAN].into_iter(), 4.0);
        assert!(nothing.least < nothing.greatest);
    }

    #[test]
    fn curves_rise_to_the_right_and_upwards_and_a_lone_point_is_drawn() {
        let panel = panel(&["one"], &[10.0, 100.0, 1000.0]);
        let frame = Frame::of(&panel, 100.0, 50.0, 300.0);
        let (first, last) = (frame.at(10, 10.0), frame.at(100_000, 1000.0));
        assert!((first.0 - 100.0).abs() < 0.01 && (last.0 - 400.0).abs() < 0.01, "{first:?} {last:?}");
        assert!(first.1 > last.1 && last.1 > 50.0);
        let lone = Panel { curves: vec![Curve { points: vec![(10, 5.0)], ..Curve::new("one") }], ..panel };
        let chart = Chart { name: "scale-test", title: "A test", grows: "entries", panels: vec![lone], notes: vec![] };
        assert!(!svg(&chart).contains("NaN"));
    }

    #[test]
    fn a_legend_breaks_before_it_is_too_wide() {
        let panel = panel(&["a name of twenty two", "another long name", "short"], &[1.0, 1.0, 1.0]);
        let rows: Vec<Vec<usize>> =
            legend(&panel, 380.0).iter().map(|row| row.iter().map(|(index, _)| *index).collect()).collect();
        assert_eq!(rows, [vec![0, 1], vec![2]]);
    }

    #[test]
    fn ticks_have_units() {
        let time = Quantity::Cost(Unit::Nanoseconds);
        assert_eq!([50.0, 2e3, 1e6, 1e9].map(|tick| tick_text(time, tick)), ["50 ns", "2 us", "1 ms", "1 s"]);
        assert_eq!([200.0, 1e5, 2e6].map(|tick| tick_text(Quantity::Rate, tick)), ["200 /s", "100 k/s", "2 M/s"]);
    }
}
