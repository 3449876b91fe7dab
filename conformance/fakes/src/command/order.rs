//! Faults as they are written on a command line.

use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use kv_fakes::{Applied, Fault, Refused};

/// The help for `--fault`.
pub(super) const FORMS: &str = "\
What goes wrong with the next COUNT requests that it fits, 1 if left out; the others are served as usual:

  throttled[=SECONDS]    429, not carried out; with Retry-After if SECONDS are given
  throttled-as-success   the same under status 200 (Cloudflare)
  error[=STATUS]         a status of 500 to 599, 502 if left out, with a body that is not JSON; not carried out
  error-after[=STATUS]   the same, carried out
  slow[=MS]              carried out, and answered MS milliseconds later, 1000 if left out
  silent, silent-after   never answered; not carried out, or carried out
  cut, cut-after         the connection is cut without an answer; not carried out, or carried out
  truncated              carried out, and the connection is cut half-way through the answer
  garbage                carried out, and answered with something that is not JSON
  empty-page             a page of a listing without keys and with a cursor
  stuck-page             the same, with the cursor of its request
  first-page             a page of a listing with the first keys again and with a new cursor
  implausible            a bulk request is carried out in part, and answered with a figure that cannot be
  stale                  a read answers from the state before the last change
  partly[=N]             every n-th key of a bulk request fails, every second one if left out (Cloudflare)
  broken-off[=N]         a bulk write is carried out for its first N items, 25 if left out, and fails (Puter)
  refused[=REASON]       turned away and not carried out (Puter), because of: unauthorized, session-ended, no-credit (if
                         left out), forbidden, unconfirmed, suspended, program-blocked, too-many-at-once or overloaded

For example: --fault cut-after:3";

/// A fault, and how many requests meet it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) fault: Fault,
    pub(super) count: u32,
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (form, count) = match text.rsplit_once(':') {
            Some((form, count)) => (form, count.parse().map_err(|_| format!("{count:?} is not a count"))?),
            None => (text, 1),
        };
        let (name, value) = match form.split_once('=') {
            Some(("refused", reason)) => {
                let reason = Refused::from_str(reason, false)?;
                return Ok(Self { fault: Fault::Refused { reason }, count });
            }
            Some((name, value)) => {
                (name, Some(value.parse::<u32>().map_err(|_| format!("{value:?} is not a whole number"))?))
            }
            None => (form, None),
        };
        let number = |default: u32| usize::try_from(value.unwrap_or(default)).map_err(|error| error.to_string());
        let (fault, takes_value) = match name {
            "throttled" => {
                (Fault::Throttled { retry_after: value.map(|seconds| Duration::from_secs(seconds.into())) }, true)
            }
            "throttled-as-success" => (Fault::ThrottledUnderSuccess, false),
            "error" => (server_error(value, Applied::No)?, true),
            "error-after" => (server_error(value, Applied::Yes)?, true),
            "slow" => (Fault::Slow { delay: Duration::from_millis(value.unwrap_or(1000).into()) }, true),
            "silent" => (Fault::Silent { applied: Applied::No }, false),
            "silent-after" => (Fault::Silent { applied: Applied::Yes }, false),
            "cut" => (Fault::Cut { applied: Applied::No }, false),
            "cut-after" => (Fault::Cut { applied: Applied::Yes }, false),
            "truncated" => (Fault::Truncated, false),
            "garbage" => (Fault::Garbage, false),
            "empty-page" => (Fault::EmptyPage, false),
            "stuck-page" => (Fault::StuckPage, false),
            "first-page" => (Fault::FirstPageAgain, false),
            "implausible" => (Fault::Implausible, false),
            "stale" => (Fault::Stale, false),
            "partly" => (Fault::PartlyUnsuccessful { every: number(2)? }, true),
            "broken-off" => (Fault::BrokenOff { items: number(25)? }, true),
            "refused" => (Fault::Refused { reason: Refused::NoCredit }, false),
            unknown => return Err(format!("there is no fault {unknown:?}; --help lists them")),
        };
        if value.is_some() && !takes_value {
            return Err(format!("the fault {name:?} takes no value"));
        }
        Ok(Self { fault, count })
    }
}

fn server_error(status: Option<u32>, applied: Applied) -> Result<Fault, String> {
    match u16::try_from(status.unwrap_or(502)) {
        Ok(status) if (500..=599).contains(&status) => Ok(Fault::ServerError { status, applied }),
        _ => Err("the status must be 500 to 599".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_values_and_counts() {
        let check = |text: &str, fault, count| assert_eq!(text.parse(), Ok(Order { fault, count }), "{text}");
        check("cut-after:3", Fault::Cut { applied: Applied::Yes }, 3);
        check("cut", Fault::Cut { applied: Applied::No }, 1);
        check("throttled", Fault::Throttled { retry_after: None }, 1);
        check("throttled=2:9", Fault::Throttled { retry_after: Some(Duration::from_secs(2)) }, 9);
        check("error=503", Fault::ServerError { status: 503, applied: Applied::No }, 1);
        check("error-after", Fault::ServerError { status: 502, applied: Applied::Yes }, 1);
        check("slow=20:2", Fault::Slow { delay: Duration::from_millis(20) }, 2);
        check("partly", Fault::PartlyUnsuccessful { every: 2 }, 1);
        check("broken-off=50:2", Fault::BrokenOff { items: 50 }, 2);
        check("refused", Fault::Refused { reason: Refused::NoCredit }, 1);
        check("refused=session-ended:4", Fault::Refused { reason: Refused::SessionEnded }, 4);
    }

    #[test]
    fn refuses_the_rest() {
        for text in
            ["", "cut:", "cut:x", "cut:-1", "cut=1", "refused=1", "error=404", "error=99999", "slow=x", "Cut", "cuts"]
        {
            assert!(text.parse::<Order>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_help_lists_every_name() {
        // A name begins in the third column; what goes on from the line before is further right.
        let names = || FORMS.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        for line in names() {
            let names = line[2..24].trim().split(", ");
            for name in names.map(|name| name.split('[').next().unwrap()) {
                assert!(name.parse::<Order>().is_ok(), "{name}");
            }
        }
        assert_eq!(names().count(), 17);
        for reason in Refused::value_variants() {
            let name = reason.to_possible_value().unwrap();
            assert!(FORMS.contains(name.get_name()), "{reason:?}");
        }
    }
}
