//! A plan as a person reads it.

use std::fmt;
use std::time::Duration;

use kv_api::Escaped;

use super::{Plan, Traffic};
use crate::printing::Shortened;
use crate::summary::Failures;

/// Several lines, without an end of line behind the last. Control characters are escaped.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = if self.sample.is_some() { "about " } else { "" };
        match self.sample {
            Some(sample) => write!(
                f,
                "{} listed, {} of them read for these estimates",
                entries(sample.listed),
                Grouped(sample.read)
            )?,
            None => write!(f, "{} read", entries(self.counts.read))?,
        }
        let values = if self.sample.is_some_and(|sample| sample.value_bytes_listed) { "" } else { about };
        write!(
            f,
            ": {} of keys, {values}{} of values (the largest {}), {about}{} of metadata",
            Bytes(self.key_bytes),
            Bytes(self.value_bytes),
            Bytes(self.value_bytes_max),
            Bytes(self.metadata_bytes)
        )?;
        write!(f, "\n{about}{} would be written", entries(self.counts.written))?;
        let counts = &self.counts;
        for (count, what) in [
            (self.existing.unwrap_or(0), "would meet an entry with their key in the target"),
            (self.expiry_moved, "would expire later in the target than in the source"),
            (counts.expiry_lost, "would never expire, though they may have had an end"),
            (counts.metadata_lost, "would lose their metadata"),
            (counts.repeated, "would be replaced by a later one with the same key"),
            (counts.expired, "would be skipped: already expired"),
            (counts.skipped, "would be skipped: the expiry is zero or less"),
            (counts.missing, "would be missing: named, but not in the source"),
            (counts.failed, "would not be copied"),
        ] {
            if count > 0 {
                write!(f, "\n  {about}{} {what}", Grouped(count))?;
            }
        }
        if self.repeated_at_least {
            write!(f, "\n  more may be replaced: of so many keys not all are kept in mind")?;
        }
        causes(f, &self.failures, about)?;
        for note in &self.notes {
            write!(f, "\nnote: {note}")?;
        }
        for (traffic, side) in [(self.source, "source"), (self.target, "target")] {
            if let Some(traffic) = traffic {
                write!(f, "\n{side}: {traffic}")?;
            }
        }
        Ok(())
    }
}

fn causes(f: &mut fmt::Formatter<'_>, failures: &Failures, about: &str) -> fmt::Result {
    for cause in failures.causes() {
        if let Some(first) = cause.examples.first() {
            let error = &first.error;
            write!(f, "\n    {about}{}: {}: {}", Grouped(cause.count), error.kind(), Escaped(error.message()))?;
            write!(f, " (such as {}", Shortened(&first.key))?;
            match first.line {
                Some(line) => write!(f, ", line {line})")?,
                None => f.write_str(")")?,
            }
        }
    }
    Ok(())
}

/// One line, such as `at least 18 requests; about 5 s at the rate of 1,200 in 300 s that its documents allow`.
impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.requests == 1 { "" } else { "s" };
        write!(f, "at least {} request{plural}", Grouped(self.requests))?;
        if let (Some(rate), Some(time)) = (self.rate, self.time()) {
            let (requests, per) = (Grouped(rate.requests.into()), rate.per);
            write!(f, "; about {} at the rate of {requests} in {per:?} that its documents allow", Span(time))?;
        }
        Ok(())
    }
}

fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{} entries", Grouped(count)) }
}

/// A number with a comma before every three digits.
struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// A number of bytes in the greatest unit of which there is one.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        let mut tenths = u128::from(self.0) * 10;
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut unit = UNITS[0];
        for next in UNITS {
            tenths = tenths.div_ceil(1024);
            unit = next;
            if tenths < 10_240 {
                break;
            }
        }
        write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// A time in seconds, minutes or hours.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0);
        match seconds {
            0..120 => write!(f, "{seconds} s"),
            120..7200 => write!(f, "{} min", seconds.div_ceil(60)),
            _ => write!(f, "{} h", seconds.div_ceil(3600)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        let bytes = [0, 1023, 1024, 1536, 1_048_576, 5_500_000_000, u64::MAX].map(|bytes| Bytes(bytes).to_string());
        assert_eq!(bytes, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "5.2 GiB", "16777216.0 TiB"]);
        let spans =
            [0, 500, 119_001, 120_000, 7_199_000, 7_200_001].map(|ms| Span(Duration::from_millis(ms)).to_string());
        assert_eq!(spans, ["0 s", "1 s", "2 min", "2 min", "120 min", "3 h"]);
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(|number| Grouped(number).to_string()),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
