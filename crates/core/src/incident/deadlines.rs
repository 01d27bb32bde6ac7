//! How long each phase may take: it always ends. Called by `decide`.

use crate::api::{ActionType, Phase, PlannedAction};
use k8s_openapi::jiff::SignedDuration;

/// The longest a phase may last, or `None` where another clock rules (an approval's own expiry) or none is needed.
pub const fn of(phase: Phase) -> Option<SignedDuration> {
    match phase {
        Phase::Triaging | Phase::Diagnosing | Phase::Planning | Phase::Reviewing => Some(SignedDuration::from_secs(60)),
        Phase::Investigating => Some(SignedDuration::from_secs(180)),
        Phase::Executing | Phase::RollingBack => Some(SignedDuration::from_secs(660)),
        Phase::Verifying => Some(SignedDuration::from_secs(240)),
        Phase::Pending | Phase::AwaitingApproval | Phase::Blocked | Phase::Completed => None,
    }
}

/// How long it is looked whether what was done helps. Runs of a CronJob that was suspended go on until they end, and a controller that
/// was refused meanwhile tries again after pauses that grow to a quarter of an hour.
pub fn verification<'a>(actions: impl IntoIterator<Item = &'a PlannedAction>) -> SignedDuration {
    let slow = actions
        .into_iter()
        .any(|action| action.action_type == ActionType::SuspendCronJob);
    SignedDuration::from_secs(if slow { 1200 } else { 240 })
}

/// How long a change is left alone before fresh evidence is collected.
pub const SETTLE: SignedDuration = SignedDuration::from_secs(6);
/// The pause between two rounds of verification.
pub const VERIFICATION_PAUSE: SignedDuration = SignedDuration::from_secs(8);
/// How long an agent's evidence may be refused by the sandbox's own limits before the agent goes on without it.
pub const EVIDENCE_ATTEMPTS: usize = 2;
/// How long it is tried to store what a deleted incident left in its outbox before it is let go with a loud event.
pub const DELETION_HOLD: SignedDuration = SignedDuration::from_secs(600);
/// The most entries an outbox may hold before the incident waits.
pub const OUTBOX_LIMIT: usize = 96;
/// How long a repair that fresh evidence shows to have helped waits for its alert to resolve. Well within the phase's deadline.
pub const AWAIT_RESOLVED: SignedDuration = SignedDuration::from_secs(120);
/// How soon a blocked incident looks again at the least.
pub const RECHECK_BLOCK: SignedDuration = SignedDuration::from_secs(3);
/// And at the most.
pub const MAX_RECHECK_BLOCK: SignedDuration = SignedDuration::from_secs(30);
