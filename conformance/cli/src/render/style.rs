//! Colours, where they are wanted.

use std::fmt::{self, Display};
use std::io::{IsTerminal, stdout};

use super::ending::Ending;

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    has_colours: bool,
}

impl Style {
    /// Without colours.
    pub(crate) const PLAIN: Self = Self { has_colours: false };

    /// Colours where standard output is a terminal that shows them, unless `NO_COLOR` is set.
    pub(crate) fn of_stdout() -> Self {
        let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { has_colours: stdout().is_terminal() && !is_refused }
    }

    /// In the colour of a way to end.
    pub(crate) fn ending<T: Display>(self, ending: Ending, text: T) -> Painted<T> {
        let code = match ending {
            Ending::Passed => "32",
            Ending::Refused => "36",
            Ending::NotApplicable | Ending::LeftOut => "2",
            Ending::NotShown => "33",
            Ending::NotExercised | Ending::Failed => "1;31",
        };
        self.paint(code, text)
    }

    pub(crate) fn strong<T: Display>(self, text: T) -> Painted<T> {
        self.paint("1", text)
    }

    pub(crate) fn faint<T: Display>(self, text: T) -> Painted<T> {
        self.paint("2", text)
    }

    fn paint<T>(self, code: &'static str, text: T) -> Painted<T> {
        Painted { code: self.has_colours.then_some(code), text }
    }
}

/// Text with its colour. Its width in a table is that of the text.
#[derive(Debug)]
pub(crate) struct Painted<T> {
    code: Option<&'static str>,
    text: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            None => self.text.fmt(f),
            Some(code) => {
                write!(f, "\u{1b}[{code}m")?;
                self.text.fmt(f)?;
                f.write_str("\u{1b}[0m")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_does_not_change_the_width_of_a_cell() {
        let coloured = Style { has_colours: true };
        assert_eq!(format!("{:>4}", coloured.ending(Ending::Failed, 7)), "\u{1b}[1;31m   7\u{1b}[0m");
        assert_eq!(format!("{:>4}", Style::PLAIN.ending(Ending::Failed, 7)), "   7");
    }
}
