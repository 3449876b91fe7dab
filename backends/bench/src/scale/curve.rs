//! Curves: figures over a size, and what the design says of their shape.

use std::fmt::Write;

use crate::measure::Unit;
use crate::report::{figure, ratio, thousands};

/// The curves of one subject: a table and a picture.
#[derive(Debug)]
pub(crate) struct Chart {
    /// The name of the files of its results.
    pub(crate) name: &'static str,
    /// What a reader sees first.
    pub(crate) title: &'static str,
    /// What grows.
    pub(crate) grows: &'static str,
    /// One table and one plot each.
    pub(crate) panels: Vec<Panel>,
    /// What a reader must know.
    pub(crate) notes: Vec<String>,
}

/// Curves that share their axes.
#[derive(Debug)]
pub(crate) struct Panel {
    /// What the figures are.
    pub(crate) title: String,
    /// What they count.
    pub(crate) quantity: Quantity,
    /// The curves.
    pub(crate) curves: Vec<Curve>,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantity {
    /// Less is better.
    Cost(Unit),
    /// Calls a second: more is better.
    Rate,
}

impl Quantity {
    /// A figure with its unit.
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            Self::Cost(Unit::Bytes) if value >= 10_000.0 => format!("{} kB", ratio(value / 1e3)),
            Self::Cost(unit) => figure(value, unit),
            Self::Rate if value >= 1e6 => format!("{} M/s", ratio(value / 1e6)),
            Self::Rate if value >= 1e3 => format!("{} k/s", ratio(value / 1e3)),
            Self::Rate => format!("{value:.0} /s"),
        }
    }
}

/// Figures over a size, in the order of the sizes.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    /// Of what or of whom.
    pub(crate) name: String,
    /// Size and figure.
    pub(crate) points: Vec<(usize, f64)>,
    /// What the design says of it.
    pub(crate) goals: Vec<Goal>,
}

impl Curve {
    /// Without points and goals.
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), points: Vec::new(), goals: Vec::new() }
    }

    /// Adds a point.
    pub(crate) fn push(&mut self, size: usize, figure: f64) {
        self.points.push((size, figure));
    }

    /// Adds a goal.
    pub(crate) fn with_goal(mut self, goal: Goal) -> Self {
        self.goals.push(goal);
        self
    }
}

/// What the design says of a curve.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    /// What is bounded.
    pub(crate) bend: Bend,
    /// By how much.
    pub(crate) times_max: f64,
    /// Why it is this much.
    pub(crate) because: &'static str,
}

/// How far a curve leaves the shape that the design says.
#[derive(Clone, Debug)]
pub(crate) enum Bend {
    /// Any later figure over the least before it, from a size on: a flat curve and one that falls to a floor keep this
    /// near 1.
    Rise {
        /// The first size that counts.
        from: usize,
    },
    /// The greatest figure before any later one over it.
    Fall,
    /// A figure over another one of the same size, such as the slowest calls over the mean, from a size on.
    Over {
        /// The first size that counts.
        from: usize,
        /// What the other figures are.
        name: &'static str,
        /// One for each point.
        figures: Vec<f64>,
    },
}

impl Goal {
    /// How far the curve bends at its worst point, and at which size that is.
    pub(crate) fn worst(&self, curve: &Curve) -> (f64, usize) {
        let (mut least, mut greatest) = (f64::INFINITY, 0.0_f64);
        let mut worst = (f64::NAN, 0);
        for (index, (size, figure)) in curve.points.iter().enumerate() {
            let bend = match &self.bend {
                Bend::Rise { from } | Bend::Over { from, .. } if size < from => continue,
                Bend::Rise { .. } => {
                    least = least.min(*figure);
                    figure / least
                }
                Bend::Fall => {
                    greatest = greatest.max(*figure);
                    greatest / figure
                }
                Bend::Over { figures, .. } => figures.get(index).map_or(f64::NAN, |other| figure / other),
            };
            if worst.0.is_nan() || bend > worst.0 {
                worst = (bend, *size);
            }
        }
        worst
    }

    /// Whether the curve has the shape that the design says. One without points has not.
    pub(crate) fn is_met(&self, curve: &Curve) -> bool {
        self.worst(curve).0 <= self.times_max
    }

    fn says(&self) -> String {
        let times = ratio(self.times_max);
        let beginning = |from: usize| if from == 0 { String::new() } else { format!(" from {} on", thousands(from)) };
        match &self.bend {
            Bend::Rise { from } => format!("rises at most x{times}{}", beginning(*from)),
            Bend::Fall => format!("falls at most x{times}"),
            Bend::Over { from, name, .. } => format!("is at most x{times} of {name}{}", beginning(*from)),
        }
    }
}

impl Chart {
    /// Tables that are readable both as plain text and as Markdown, with a verdict for each goal.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("# {}\n", self.name);
        let (mut met, mut missed) = (0, 0);
        for panel in &self.panels {
            let _ = write!(text, "\n## {}\n\n{}\n", panel.title, grid(self.grows, panel));
            for curve in &panel.curves {
                for goal in &curve.goals {
                    let (bend, size) = goal.worst(curve);
                    let verdict = if goal.is_met(curve) { "met" } else { "MISSED" };
                    *if goal.is_met(curve) { &mut met } else { &mut missed } += 1;
                    let _ = writeln!(
                        text,
                        "- {} {}: {}. Measured x{} at {}: {verdict}.",
                        curve.name,
                        goal.says(),
                        goal.because,
                        ratio(bend),
                        thousands(size),
                    );
                }
            }
        }
        text.push_str("\n## Notes\n\n");
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        let _ = writeln!(text, "\nGoals met: {met}. Goals missed: {missed}.");
        text
    }
}

/// A row a size, a column a curve.
fn grid(grows: &str, panel: &Panel) -> String {
    let sizes = sizes(panel);
    let mut columns = vec![column(grows, sizes.iter().map(|size| thousands(*size)))];
    for curve in &panel.curves {
        let cells = sizes.iter().map(|size| {
            let point = curve.points.iter().find(|(at, _)| at == size);
            point.map_or_else(|| "-".to_owned(), |(_, figure)| panel.quantity.text(*figure))
        });
        columns.push(column(&curve.name, cells));
    }
    let mut text = String::new();
    for row in 0..=sizes.len() {
        for column in &columns {
            let _ = write!(text, "| {} ", column[row]);
        }
        text.push_str("|\n");
        if row == 0 {
            for column in &columns {
                let _ = write!(text, "|{}:", "-".repeat(column[0].len() + 1));
            }
            text.push_str("|\n");
        }
    }
    text
}

/// A head and cells of one width, figures to the right.
fn column(head: &str, cells: impl Iterator<Item = String>) -> Vec<String> {
    let cells: Vec<String> = std::iter::once(head.to_owned()).chain(cells).collect();
    let width = cells.iter().map(String::len).max().unwrap_or(0);
    cells.into_iter().map(|cell| format!("{cell:>width$}")).collect()
}

/// Every size of any curve, in order.
pub(crate) fn sizes(panel: &Panel) -> Vec<usize> {
    let mut sizes: Vec<usize> =
        panel.curves.iter().flat_map(|curve| curve.points.iter().map(|(size, _)| *size)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// The figure that so many of a thousand do not exceed, by nearest rank; sorts them.
pub(crate) fn percentile(figures: &mut [u64], per_mille: usize) -> f64 {
    figures.sort_unstable();
    let rank = (figures.len() * per_mille).div_ceil(1000);
    figures.get(rank.saturating_sub(1)).map_or(f64::NAN, |figure| *figure as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(figures: &[f64]) -> Curve {
        let sizes = [10, 100, 1000, 10_000];
        Curve { points: sizes.into_iter().zip(figures.iter().copied()).collect(), ..Curve::new("ours") }
    }

    fn goal(bend: Bend, times_max: f64) -> Goal {
        Goal { bend, times_max, because: "it is a test" }
    }

    #[test]
    fn a_rise_is_measured_from_the_least_figure_before() {
        let goal = goal(Bend::Rise { from: 0 }, 1.5);
        assert_eq!(goal.worst(&curve(&[8.0, 2.0, 3.0, 2.5])), (1.5, 1000));
        assert!(goal.is_met(&curve(&[8.0, 2.0, 3.0, 2.5])));
        assert!(!goal.is_met(&curve(&[2.0, 1.0, 1.2, 1.6])));
        assert!(!goal.is_met(&curve(&[])), "nothing was measured");
    }

    #[test]
    fn sizes_before_the_first_one_do_not_count() {
        let goal = goal(Bend::Rise { from: 100 }, 1.5);
        assert_eq!(goal.worst(&curve(&[1.0, 4.0, 4.0, 5.0])), (1.25, 10_000));
    }

    #[test]
    fn a_fall_is_measured_from_the_greatest_figure_before() {
        let goal = goal(Bend::Fall, 1.5);
        assert_eq!(goal.worst(&curve(&[1.0, 4.0, 2.0, 4.0])), (2.0, 1000));
    }

    #[test]
    fn a_figure_is_compared_with_the_other_of_its_size() {
        let figures = vec![1.0, 2.0, 10.0];
        let goal = goal(Bend::Over { from: 100, name: "the mean", figures }, 3.0);
        assert_eq!(goal.worst(&curve(&[9.0, 5.0, 20.0])), (2.5, 100));
    }

    #[test]
    fn a_missed_goal_is_shown_as_missed() {
        let bent = curve(&[1000.0, 4000.0]).with_goal(goal(Bend::Rise { from: 0 }, 1.5));
        let panel = Panel { title: "get".to_owned(), quantity: Quantity::Cost(Unit::Nanoseconds), curves: vec![bent] };
        let chart = Chart {
            name: "scale-test",
            title: "A test",
            grows: "entries",
            panels: vec![panel],
            notes: vec!["A note.".to_owned()],
        };
        let table = chart.table();
        assert!(table.contains("| entries |    ours |\n|--------:|--------:|\n|      10 | 1.00 us |\n"), "{table}");
        assert!(table.contains("- ours rises at most x1.50: it is a test. Measured x4.00 at 100: MISSED."), "{table}");
        assert!(table.ends_with("- A note.\n\nGoals met: 0. Goals missed: 1.\n"), "{table}");
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(percentile(&mut hundred, 990), 99.0);
        assert_eq!(percentile(&mut hundred, 500), 50.0);
        assert_eq!(percentile(&mut hundred, 1000), 100.0);
        assert_eq!(percentile(&mut [7], 990), 7.0);
        assert!(percentile(&mut [], 990).is_nan());
    }

    #[test]
    fn figures_have_units() {
        assert_eq!(Quantity::Rate.text(1_234_567.0), "1.23 M/s");
        assert_eq!(Quantity::Rate.text(4321.0), "4.32 k/s");
        assert_eq!(Quantity::Rate.text(21.4), "21 /s");
        assert_eq!(Quantity::Cost(Unit::Bytes).text(237.0), "237 B");
    }
}
