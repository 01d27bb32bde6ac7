//! How long to wait before a message that was not taken is tried again. Called by the sender.

use std::time::Duration;

/// How patient the sender is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Before the second try.
    pub first: Duration,
    /// Never longer than this.
    pub most: Duration,
    /// After so many tries it is given up.
    pub tries: i32,
}

impl Default for Patience {
    /// About a day in all.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(2),
            most: Duration::from_mins(30),
            tries: 60,
        }
    }
}

impl Patience {
    /// The pause after the n-th try: it doubles, and half of it is chance, so that what waits does not come back all at once.
    pub fn after(&self, tries: i32, chance: u32) -> Duration {
        let doublings = u32::try_from(tries.saturating_sub(1)).unwrap_or(0).min(20);
        let whole = self.first.saturating_mul(1_u32 << doublings).min(self.most);
        let half = whole / 2;
        half.saturating_add(half.saturating_mul(chance % 1000) / 1000)
    }
}
