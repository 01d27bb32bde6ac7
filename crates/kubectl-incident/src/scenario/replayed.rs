//! An investigation as the incident's status that would have come of it, so that it is compared with a scenario's expectation in the
//! same words. Called by `run --record` and by the replay of recordings.

use firewatch_core::agents::Conclusion;
use firewatch_core::api::status::Verdict as ReviewVerdict;
use firewatch_core::api::{IncidentStatus, Outcome};
use firewatch_core::diagnosis::{RootCause, Verdict};

/// The status. A plan that may be put before a person counts as carried out: whether it helps is for the live run to tell.
pub fn status(conclusion: &Conclusion) -> IncidentStatus {
    let Conclusion {
        diagnosis,
        plan,
        review,
        ..
    } = conclusion;
    let outcome = match diagnosis.verdict {
        Verdict::Healthy => Outcome::NoActionRequired,
        Verdict::Unexplained => Outcome::Inconclusive,
        Verdict::Found if plan.actions.is_empty() || review.verdict == ReviewVerdict::Reject => Outcome::Escalated,
        Verdict::Found => Outcome::Remediated,
    };
    IncidentStatus {
        outcome: Some(outcome),
        root_cause: diagnosis.root_cause.as_ref().map(RootCause::to_status),
        plan: (diagnosis.verdict == Verdict::Found).then(|| plan.clone()),
        ..IncidentStatus::default()
    }
}
