//! Leaves an endpoint alone that failed too often just now. One for each endpoint; called by `client`.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Failures in a row that open it.
const FAILURES: u32 = 4;
/// How long it stays open before one call may try again.
const PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
}

/// Whether an endpoint may be called.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

impl Breaker {
    /// Whether a call may be made now. After the pause one caller is let through, and the others wait for what comes of it.
    pub fn admits(&self, now: Instant) -> bool {
        let Ok(mut state) = self.0.lock() else { return false };
        match state.open_until {
            Some(until) if until > now => false,
            Some(_) => {
                state.open_until = now.checked_add(PAUSE);
                true
            }
            None => true,
        }
    }

    /// Notes what came of a call.
    pub fn note(&self, answered: bool, now: Instant) {
        let Ok(mut state) = self.0.lock() else { return };
        if answered {
            *state = State::default();
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES {
            state.open_until = now.checked_add(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_try_after_the_pause() {
        let breaker = Breaker::default();
        let start = Instant::now();
        for _ in 0..FAILURES {
            assert!(breaker.admits(start));
            breaker.note(false, start);
        }
        assert!(!breaker.admits(start));
        let later = start + PAUSE;
        assert!(breaker.admits(later), "one may try");
        assert!(!breaker.admits(later), "and no other before that is known");
        breaker.note(true, later);
        assert!(breaker.admits(later));
    }
}
