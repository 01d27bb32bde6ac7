//! How sure a claim is, computed from evidence alone: what states it, how many independent kinds of evidence agree, what could not
//! be read, and which other explanations compete.
//!
//! - It starts at 0.75 where Kubernetes itself states the fault (a status, an event), at 0.65 where a program's log states it, and at
//!   0.60 where Firewatch infers it (a selector that fits nothing, the difference of two revisions).
//! - Each further independent kind of evidence that agrees adds 0.10, at most 0.30; the sum is at most 0.97.
//! - Questions that a complete investigation would have answered and that stayed open (not asked, forbidden, failed) take 0.20 for the
//!   first and 0.05 for each other, at most 0.40. With all answered, each competing explanation takes 0.08, at most 0.16. So taking a
//!   piece of evidence away never raises a confidence: an unanswered question costs more than the competitor that it hid.
//!
//! Must never take a number from a model or from text. Called by analyzers (`stated`, …) and by `cause` (`weigh`).

use super::finding::Confidence;

/// What a claim rests on first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A status or an event of Kubernetes says so.
    Stated,
    /// The log of a program says so.
    Logged,
    /// Objects put side by side show it.
    Inferred,
}

/// Before gaps and competitors. `agreeing`: further independent kinds of evidence.
pub fn base(basis: Basis, agreeing: u8) -> Confidence {
    let start = match basis {
        Basis::Stated => 75,
        Basis::Logged => 65,
        Basis::Inferred => 60,
    };
    Confidence::hundredths((start + agreeing.min(3) * 10).min(97))
}

/// After gaps and competitors.
pub fn weigh(base: Confidence, open_questions: usize, competitors: usize) -> Confidence {
    let less = if open_questions == 0 {
        8 * u8::try_from(competitors.min(2)).unwrap_or(2)
    } else {
        20 + 5 * u8::try_from((open_questions - 1).min(4)).unwrap_or(4)
    };
    base.less(less)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kind_of_evidence_is_never_near_certain() {
        for basis in [Basis::Stated, Basis::Logged, Basis::Inferred] {
            assert!(base(basis, 0) < Confidence::hundredths(80));
        }
    }

    #[test]
    fn more_agreement_never_lowers_and_97_is_the_most() {
        for basis in [Basis::Stated, Basis::Logged, Basis::Inferred] {
            for agreeing in 0..10 {
                assert!(base(basis, agreeing) <= base(basis, agreeing + 1));
                assert!(base(basis, agreeing) <= Confidence::hundredths(97));
            }
        }
    }

    #[test]
    fn an_open_question_costs_more_than_any_competitors() {
        let start = base(Basis::Stated, 2);
        assert_eq!(weigh(start, 0, 0), start);
        for competitors in 0..5 {
            assert!(weigh(start, 1, 0) < weigh(start, 0, competitors));
            for open in 0..8 {
                assert!(weigh(start, open + 1, competitors) <= weigh(start, open, competitors));
            }
        }
    }
}
