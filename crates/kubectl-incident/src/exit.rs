//! The exit codes, which scripts may rely on. `kubectl incident --help` prints the same table; a test keeps them together.

use firewatch_core::api::Outcome;
use firewatch_core::diagnosis::Verdict;

/// Done; for `watch` and `run`: the incident ended well (Remediated, NoActionRequired).
pub const OK: u8 = 0;
/// The cluster could not be reached or answered with an error.
pub const ERROR: u8 = 1;
/// Wrong arguments or files.
pub const USAGE: u8 = 2;
/// No such incident, approval or scenario.
pub const NOT_FOUND: u8 = 3;
/// The API server refused (rights, admission, validation).
pub const REFUSED: u8 = 4;
/// The stored plan differs from the plan rendered again from its typed actions; nothing was approved.
pub const PLAN_MISMATCH: u8 = 5;
/// The incident or approval is not in a state in which this can be done.
pub const WRONG_STATE: u8 = 6;
/// It did not end in the time given.
pub const TIMED_OUT: u8 = 7;
/// Ended without repair, and a person must go on: Escalated, Inconclusive.
pub const NEEDS_PERSON: u8 = 10;
/// Ended, because nobody let it go on: Rejected, Expired, Cancelled, Duplicate.
pub const NOT_CARRIED_OUT: u8 = 11;
/// The repair did not help: RolledBack, RemediationFailed.
pub const NOT_REPAIRED: u8 = 12;
/// `run`: the incident ended, but not as the scenario expects.
pub const UNEXPECTED: u8 = 20;
/// `investigate`: a cause is shown.
pub const FOUND: u8 = 30;
/// `investigate`: something is wrong, or too little could be read, and no cause is shown.
pub const UNEXPLAINED: u8 = 31;
/// `doctor`: something is broken.
pub const UNHEALTHY: u8 = 40;
/// `doctor`: nothing is found broken, and not everything could be read.
pub const NOT_ALL_READ: u8 = 41;
/// Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// The table that `--help` prints.
pub const HELP: &str = "\
Exit codes:
  0    done; watch, run: the incident ended well (Remediated, NoActionRequired);
       investigate: nothing is wrong
  1    the cluster could not be reached, or answered with an error
  2    wrong arguments or files
  3    no such incident, approval or scenario
  4    the API server refused: rights, admission, validation
  5    approve: the stored plan differs from its typed actions; nothing was approved
  6    not possible in the present state of the incident or approval
  7    not over within --timeout
  10   ended, and a person must go on: Escalated, Inconclusive
  11   ended without being carried out: Rejected, Expired, Cancelled, Duplicate
  12   the repair did not help: RolledBack, RemediationFailed
  20   run: ended otherwise than the scenario expects
  30   investigate: a cause is shown
  31   investigate: something is wrong, or too little could be read, and no cause is shown
  40   doctor: something is broken
  41   doctor: nothing is found broken, and not everything could be read
  130  interrupted";

/// The code that tells a script what an investigation came to.
pub fn for_verdict(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Healthy => OK,
        Verdict::Found => FOUND,
        Verdict::Unexplained => UNEXPLAINED,
    }
}

/// The code that tells a script how an incident ended.
pub fn for_outcome(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Remediated | Outcome::NoActionRequired => OK,
        Outcome::Escalated | Outcome::Inconclusive => NEEDS_PERSON,
        Outcome::Rejected | Outcome::Expired | Outcome::Cancelled | Outcome::Duplicate => NOT_CARRIED_OUT,
        Outcome::RolledBack | Outcome::RemediationFailed => NOT_REPAIRED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_code() {
        for code in [
            OK,
            ERROR,
            USAGE,
            NOT_FOUND,
            REFUSED,
            PLAN_MISMATCH,
            WRONG_STATE,
            TIMED_OUT,
            NEEDS_PERSON,
            NOT_CARRIED_OUT,
            NOT_REPAIRED,
            UNEXPECTED,
            FOUND,
            UNEXPLAINED,
            UNHEALTHY,
            NOT_ALL_READ,
            INTERRUPTED,
        ] {
            assert!(
                HELP.lines().any(|line| line.starts_with(&format!("  {code:<5}"))),
                "{code} is not in the help"
            );
        }
    }

    #[test]
    fn only_a_good_end_is_success() {
        use strum::IntoEnumIterator;
        let good: Vec<_> = Outcome::iter().filter(|outcome| for_outcome(*outcome) == OK).collect();
        assert_eq!(good, [Outcome::Remediated, Outcome::NoActionRequired]);
    }
}
