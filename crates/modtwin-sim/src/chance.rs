//! What goes wrong on which occasion.
//!
//! Each occasion (the third answer that could get lost, say) has its own randomness, made from the
//! seed and the occasion's number. Whether it strikes is either a matter of the kind's rate, or, in
//! a history that is being cut down, of a list: what remains can be named and printed.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use fastrand::Rng;

/// What can go wrong on an occasion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// What is sent to the hub gets lost.
    LoseRequest,
    /// What the hub says gets lost.
    LoseNews,
    /// It comes twice.
    Duplicate,
    /// It overtakes what was sent before, or is overtaken.
    Reorder,
    /// It comes late: after the time limit, maybe.
    Late,
    /// Its bytes can't be read.
    Garble,
    /// The hub refuses a request: throttled, failing, quota, identity.
    Refuse,
    /// A connection attempt is refused.
    RefuseConnect,
    /// A connection attempt or a subscription is never answered.
    Mute,
    /// A write to disk fails.
    FailWrite,
}

/// Every kind, with the highest rate that a history may have, in percent.
const KINDS: [(Fault, &str, u8); 10] = [
    (Fault::LoseRequest, "lose-request", 25),
    (Fault::LoseNews, "lose-news", 25),
    (Fault::Duplicate, "duplicate", 25),
    (Fault::Reorder, "reorder", 50),
    (Fault::Late, "late", 15),
    (Fault::Garble, "garble", 10),
    (Fault::Refuse, "refuse", 40),
    (Fault::RefuseConnect, "refuse-connect", 50),
    (Fault::Mute, "mute", 25),
    (Fault::FailWrite, "fail-write", 40),
];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = KINDS.iter().find(|(kind, ..)| kind == self).map_or("", |(_, name, _)| name);
        f.write_str(name)
    }
}

/// One occasion on which something went wrong: the kind, and how many such occasions came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Strike {
    /// What went wrong.
    pub fault: Fault,
    /// The number of the occasion among all of its kind.
    pub occasion: u32,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.fault, self.occasion)
    }
}

impl FromStr for Strike {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (name, occasion) = text.split_once(':')?;
            let (fault, ..) = KINDS.iter().find(|(_, known, _)| *known == name)?;
            Some(Self { fault: *fault, occasion: occasion.parse().ok()? })
        };
        read().ok_or_else(|| format!("expected KIND:NUMBER such as `lose-news:3`, found `{text}`"))
    }
}

/// Decides on every occasion of one history.
#[derive(Debug)]
pub struct Chance {
    seed: u64,
    /// In percent of the occasions, by kind.
    rates: [u8; KINDS.len()],
    occasions: [u32; KINDS.len()],
    /// Only these strike, where it is known beforehand.
    only: Option<BTreeSet<Strike>>,
    /// What struck.
    struck: Vec<Strike>,
    calm: bool,
}

impl Chance {
    /// The chances of the history `seed`: about half of the kinds happen in it, each as often as
    /// the seed says. With `only` nothing else strikes.
    #[must_use]
    pub fn new(seed: u64, only: Option<BTreeSet<Strike>>) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x00c4_a7ce);
        let rates = KINDS.map(|(_, _, most)| if rng.bool() { rng.u8(1..=most) } else { 0 });
        let occasions = [0; KINDS.len()];
        Self { seed, rates, occasions, only, struck: Vec::new(), calm: false }
    }

    /// From now on nothing goes wrong.
    pub fn calm(&mut self) {
        self.calm = true;
    }

    /// What struck so far.
    #[must_use]
    pub fn struck(&self) -> &[Strike] {
        &self.struck
    }

    /// Says whether `fault` strikes on this occasion, and with what randomness.
    pub fn strikes(&mut self, fault: Fault) -> Option<Rng> {
        if self.calm {
            return None;
        }
        let slot = self.occasions.get_mut(fault as usize)?;
        let occasion = *slot;
        *slot += 1;
        let strike = Strike { fault, occasion };
        let rate = self.rates.get(fault as usize).copied().unwrap_or(0);
        if self.only.is_none() && rate == 0 {
            return None;
        }
        let own = (u64::from(occasion) << 8) + fault as u64 + 1;
        let mut rng = Rng::with_seed(self.seed ^ own.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let dice = rng.u8(0..100);
        let hit = self.only.as_ref().map_or(dice < rate, |only| only.contains(&strike));
        if hit {
            self.struck.push(strike);
            return Some(rng);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strikes_are_read_as_they_are_written() {
        for (fault, ..) in KINDS {
            let strike = Strike { fault, occasion: 12 };
            assert_eq!(strike.to_string().parse(), Ok(strike));
        }
        for bad in ["", "lose-news", "lose-news:", "lose-news:x", "nothing:1"] {
            assert!(bad.parse::<Strike>().unwrap_err().contains("KIND:NUMBER"), "{bad}");
        }
    }

    #[test]
    fn what_struck_strikes_again_when_only_that_may() {
        let faults = || KINDS.iter().map(|(fault, ..)| *fault).cycle().take(2_000);
        let mut free = Chance::new(7, None);
        let by_rate: Vec<_> = faults().map(|fault| free.strikes(fault)).collect();
        let mut listed = Chance::new(7, Some(free.struck().iter().copied().collect()));
        let by_list: Vec<_> = faults().map(|fault| listed.strikes(fault)).collect();
        assert!(!free.struck().is_empty());
        assert!(by_rate == by_list, "the same occasions, with the same randomness");
    }
}
