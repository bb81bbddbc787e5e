//! Randomness: keys and ids from the system's generator, dice for faults from a seed.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// Gives `count` bytes fit for keys.
pub(crate) fn bytes(count: usize) -> Result<Vec<u8>, openssl::error::ErrorStack> {
    let mut bytes = vec![0; count];
    openssl::rand::rand_bytes(&mut bytes)?;
    Ok(bytes)
}

/// Gives `count` random bytes as lower-case hex; for ids, not for keys.
pub(crate) fn hex(count: usize) -> String {
    let bytes = bytes(count).unwrap_or_else(|_| vec![0; count]);
    bytes.iter().fold(String::with_capacity(count * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Rolls the dice of faults; the same seed rolls the same sequence.
#[derive(Debug)]
pub(crate) struct Dice(AtomicU64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Says yes with the given chance, 0 to 1. One step of splitmix64 (Steele, Lea, Flood: "Fast splittable
    /// pseudorandom number generators", 2014).
    pub(crate) fn says_yes(&self, chance: f64) -> bool {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let roll = f64::from(u32::try_from(mixed >> 32).unwrap_or(u32::MAX)) / 4_294_967_296.0;
        roll < chance
    }
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn the_same_seed_rolls_the_same_sequence_at_the_asked_rate() {
        let (one, other) = (Dice::new(7), Dice::new(7));
        let rolls: Vec<bool> = (0..1000).map(|_| one.says_yes(0.3)).collect();
        let again: Vec<bool> = (0..1000).map(|_| other.says_yes(0.3)).collect();
        assert_eq!(rolls, again);
        let hits = rolls.iter().filter(|hit| **hit).count();
        assert!((250..350).contains(&hits), "{hits}");
        assert!((0..100).all(|_| one.says_yes(1.0)));
    }
}
