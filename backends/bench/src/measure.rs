//! Races: contenders that take turns in one process, and the ratios of each round.
//!
//! Times of separate runs cannot be compared on a machine that does anything else; ratios of neighbouring slices of
//! work can. So every entrant does a slice, then the next one, round after round, and what is reported is the median of
//! the rounds' ratios.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use futures_util::future::BoxFuture;

/// Any failure ends the run: a figure from a contender that failed would be worthless.
pub(crate) type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// What an entrant's figure counts. Less is better for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nanoseconds a call, a row or a page.
    Nanoseconds,
    /// Bytes an entry.
    Bytes,
}

/// How many rounds a race has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    /// Rounds that are not counted: caches fill, statements are prepared, files reach their size.
    pub(crate) warm_up: usize,
    /// Rounds that are.
    pub(crate) counted: usize,
}

/// Names one entrant of a race.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntrantId(usize);

/// One slice of work of an entrant; answers its figure in the unit of the race.
type Slice<'a> = Box<dyn FnMut() -> BoxFuture<'a, Result<f64>> + 'a>;

struct Entrant<'a> {
    name: String,
    slice: Slice<'a>,
}

struct Pair {
    fixture: EntrantId,
    baseline: EntrantId,
    target: Option<f64>,
}

/// Entrants that take turns, and which of them are compared.
pub(crate) struct Race<'a> {
    title: String,
    unit: Unit,
    entrants: Vec<Entrant<'a>>,
    pairs: Vec<Pair>,
}

impl<'a> Race<'a> {
    /// A race without entrants.
    pub(crate) fn new(title: impl Into<String>, unit: Unit) -> Self {
        Self { title: title.into(), unit, entrants: Vec::new(), pairs: Vec::new() }
    }

    /// Adds an entrant, by the slice of work that it does in each round.
    pub(crate) fn enter<F>(&mut self, name: &str, mut slice: impl FnMut() -> F + 'a) -> EntrantId
    where
        F: Future<Output = Result<f64>> + Send + 'a,
    {
        self.entrants.push(Entrant { name: name.to_owned(), slice: Box::new(move || Box::pin(slice())) });
        EntrantId(self.entrants.len() - 1)
    }

    /// Reports how many times as good as `baseline` the `subject` is. A target is a goal for that number.
    pub(crate) fn compare(&mut self, fixture: EntrantId, baseline: EntrantId, target: impl Into<Option<f64>>) {
        self.pairs.push(Pair { fixture, baseline, target: target.into() });
    }

    /// Runs the rounds, each beginning with another entrant, so that none always follows the same one.
    async fn run(mut self, rounds: Rounds) -> Result<Finish> {
        eprint(&format!("{} ", self.title));
        let mut figures = vec![Vec::with_capacity(rounds.counted); self.entrants.len()];
        for round in 0..rounds.warm_up + rounds.counted {
            for turn in 0..self.entrants.len() {
                let index = (round + turn) % self.entrants.len();
                let entrant = &mut self.entrants[index];
                let figure =
                    (entrant.slice)().await.map_err(|error| format!("{}, {}: {error}", self.title, entrant.name))?;
                if round >= rounds.warm_up {
                    figures[index].push(figure);
                }
            }
            eprint(".");
        }
        eprint("\n");
        let rows = self.pairs.iter().map(|pair| self.row(pair, &figures)).collect();
        Ok(Finish { title: self.title, unit: self.unit, rows })
    }

    fn row(&self, pair: &Pair, figures: &[Vec<f64>]) -> Row {
        let side = |id: EntrantId| Side {
            name: self.entrants[id.0].name.clone(),
            figure: Spread::of(figures[id.0].clone()).median,
        };
        let ratios = figures[pair.fixture.0].iter().zip(&figures[pair.baseline.0]);
        Row {
            fixture: side(pair.fixture),
            baseline: side(pair.baseline),
            ratio: Spread::of(ratios.map(|(fixture, baseline)| baseline / fixture).collect()),
            target: pair.target,
        }
    }
}

/// The races of one section, run one after the other.
#[derive(Debug, Default)]
pub(crate) struct Program {
    /// Only races with this in their title are run.
    pub(crate) only: Option<String>,
    /// What came out so far.
    pub(crate) finishes: Vec<Finish>,
}

impl Program {
    /// Whether a race with this title is run.
    pub(crate) fn wants(&self, title: &str) -> bool {
        self.only.as_ref().is_none_or(|only| title.contains(only))
    }

    /// Runs a race, if it is wanted.
    ///
    /// # Errors
    /// The first failure of any entrant.
    pub(crate) async fn run(&mut self, race: Race<'_>, rounds: Rounds) -> Result<()> {
        if self.wants(&race.title) {
            self.finishes.push(race.run(rounds).await?);
        }
        Ok(())
    }
}

/// What came out of a race.
#[derive(Debug)]
pub(crate) struct Finish {
    /// What was measured.
    pub(crate) title: String,
    /// What the figures count.
    pub(crate) unit: Unit,
    /// One row a comparison.
    pub(crate) rows: Vec<Row>,
}

/// One comparison.
#[derive(Debug)]
pub(crate) struct Row {
    /// Whose ratio it is.
    pub(crate) fixture: Side,
    /// To whom it is compared.
    pub(crate) baseline: Side,
    /// The baseline's figure over the subject's, round by round: higher is better for the subject.
    pub(crate) ratio: Spread,
    /// The goal for the median.
    pub(crate) target: Option<f64>,
}

impl Row {
    /// What the ratio says.
    pub(crate) fn verdict(&self) -> Verdict {
        // Repeating a race moves medians by up to a fifth.
        const TIE: f64 = 1.2;
        match (self.target, self.ratio.median) {
            (Some(target), median) if median >= target => Verdict::Met,
            (Some(_), _) => Verdict::Missed,
            (None, median) if median >= TIE => Verdict::Ahead,
            (None, median) if median > 1.0 / TIE => Verdict::Tie,
            (None, _) => Verdict::Behind,
        }
    }
}

/// What a ratio says: against its target, or else whether there is any difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The target was reached.
    Met,
    /// The target was not reached.
    Missed,
    /// No target; better by 20 % or more.
    Ahead,
    /// No target; a difference below 20 % is a tie.
    Tie,
    /// No target; worse by 20 % or more.
    Behind,
}

/// One side of a comparison.
#[derive(Debug)]
pub(crate) struct Side {
    /// The entrant.
    pub(crate) name: String,
    /// The median of its figures.
    pub(crate) figure: f64,
}

/// The middle and the ends of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// The middle one, or the mean of the two in the middle.
    pub(crate) median: f64,
    /// The least.
    pub(crate) min: f64,
    /// The greatest.
    pub(crate) max: f64,
}

impl Spread {
    /// Of no figures it is not a number.
    pub(crate) fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        let median = match figures.as_slice() {
            [] => f64::NAN,
            odd if odd.len() % 2 == 1 => odd[middle],
            even => f64::midpoint(even[middle - 1], even[middle]),
        };
        let end = |figure: Option<&f64>| figure.copied().unwrap_or(f64::NAN);
        Self { median, min: end(figures.first()), max: end(figures.last()) }
    }
}

/// The time of one of `count` pieces of work, in nanoseconds.
///
/// # Errors
/// That of the work.
pub(crate) async fn timed(count: usize, work: impl Future<Output = Result<()>>) -> Result<f64> {
    timed_by_count(async {
        work.await?;
        Ok(count)
    })
    .await
}

/// The time of one piece of work, in nanoseconds, where the work answers how many there were.
///
/// # Errors
/// That of the work.
pub(crate) async fn timed_by_count(work: impl Future<Output = Result<usize>>) -> Result<f64> {
    let watch = Stopwatch::start();
    let count = work.await?;
    Ok(watch.nanoseconds() / count as f64)
}

/// The one place that reads the monotonic clock.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Begins to count.
    #[allow(clippy::disallowed_methods, reason = "measuring real time is what this program is for")]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn nanoseconds(&self) -> f64 {
        self.elapsed().max(Duration::from_nanos(1)).as_secs_f64() * 1e9
    }
}

/// Progress, apart from the tables on the standard output.
#[allow(clippy::print_stderr, reason = "a run takes minutes; this is a program, and shows that it lives")]
pub(crate) fn eprint(text: &str) {
    eprint!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(figures: Vec<f64>) -> impl FnMut() -> std::future::Ready<Result<f64>> {
        let mut figures = figures.into_iter();
        move || std::future::ready(figures.next().ok_or_else(|| "one round too many".into()))
    }

    #[tokio::test]
    async fn ratios_are_taken_round_by_round_and_the_warm_up_does_not_count() {
        let mut race = Race::new("race", Unit::Nanoseconds);
        let fixture = race.enter("fixture", fixed(vec![1000.0, 1.0, 2.0, 4.0]));
        let baseline = race.enter("baseline", fixed(vec![1.0, 3.0, 4.0, 40.0]));
        race.compare(fixture, baseline, 3.5);
        race.compare(baseline, fixture, None);
        let finish = race.run(Rounds { warm_up: 1, counted: 3 }).await.unwrap();
        assert_eq!(finish.rows[0].ratio, Spread { median: 3.0, min: 2.0, max: 10.0 });
        assert_eq!(finish.rows[0].verdict(), Verdict::Missed);
        assert_eq!((finish.rows[0].fixture.figure, finish.rows[0].baseline.figure), (2.0, 4.0));
        assert_eq!(finish.rows[1].verdict(), Verdict::Behind);
    }

    #[tokio::test]
    async fn a_failure_names_race_and_entrant() {
        let mut race = Race::new("race", Unit::Bytes);
        race.enter("entrant", fixed(vec![]));
        let error = race.run(Rounds { warm_up: 0, counted: 1 }).await.unwrap_err();
        assert_eq!(error.to_string(), "race, entrant: one round too many");
    }

    #[tokio::test]
    async fn only_the_races_that_are_wanted_are_run() {
        let mut program = Program { only: Some("get".to_owned()), ..Program::default() };
        for title in ["get, 1 task", "set, 1 task"] {
            program.run(Race::new(title, Unit::Nanoseconds), Rounds { warm_up: 0, counted: 1 }).await.unwrap();
        }
        let titles: Vec<&str> = program.finishes.iter().map(|finish| finish.title.as_str()).collect();
        assert_eq!(titles, ["get, 1 task"]);
    }

    #[test]
    fn the_median_of_an_even_count_is_between() {
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]).median, 2.5);
    }
}
