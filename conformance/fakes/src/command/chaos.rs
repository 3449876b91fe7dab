//! Faults by chance, as they are written on a command line.

use std::str::FromStr;

/// What chance is, for `--chaos`. What comes by it depends on the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chaos {
    pub(super) seed: u64,
    pub(super) per_mille: u32,
}

impl FromStr for Chaos {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "expected SEED:PERMILLE, a whole number and one of 1 to 1000, such as 7:100";
        let (seed, per_mille) = text.split_once(':').ok_or(FORM)?;
        let seed = seed.parse().map_err(|_| FORM)?;
        let per_mille = per_mille.parse().ok().filter(|per_mille| (1..=1000).contains(per_mille)).ok_or(FORM)?;
        Ok(Self { seed, per_mille })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_seed_and_probability_and_refuses_the_rest() {
        assert_eq!("7:100".parse(), Ok(Chaos { seed: 7, per_mille: 100 }));
        assert_eq!("0:1000".parse(), Ok(Chaos { seed: 0, per_mille: 1000 }));
        for text in ["", "7", "7:", ":100", "7:0", "7:1001", "-1:100", "x:100", "7:10%", "7:100:1"] {
            assert!(text.parse::<Chaos>().is_err(), "{text}");
        }
    }
}
