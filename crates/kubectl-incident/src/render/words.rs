//! Words and tones for phases, outcomes and severities: the same in the table, on the screen and while watching.

use firewatch_core::api::{Outcome, Phase, Severity};

use super::style::Tone;

/// What Firewatch does in a phase, for people.
pub fn phase_meaning(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Accepted, not yet looked at",
        Phase::Triaging => "The Commander classifies it",
        Phase::Investigating => "Investigator and Analyst collect evidence",
        Phase::Diagnosing => "Findings become one cause",
        Phase::Planning => "The Planner writes a plan",
        Phase::Reviewing => "The Commander reviews the plan",
        Phase::AwaitingApproval => "Waits for a decision",
        Phase::Executing => "The approved plan is carried out",
        Phase::Verifying => "Fresh evidence tells whether it helped",
        Phase::RollingBack => "It did not help; the approved inverse runs",
        Phase::Blocked => "Waits for something else to end",
        Phase::Completed => "Over",
    }
}

/// What an outcome means, for people.
pub fn outcome_meaning(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Remediated => "Repaired, and verified on fresh evidence.",
        Outcome::NoActionRequired => "Nothing is wrong with the target; nothing was changed.",
        Outcome::Rejected => "Rejected; nothing was changed.",
        Outcome::Expired => "Nobody decided in time; nothing was changed. Create the incident again to go on.",
        Outcome::RolledBack => "The repair did not help and was taken back. The trouble is still there: go on by hand.",
        Outcome::RemediationFailed => "The repair failed and could not be taken back. Look at the target at once.",
        Outcome::Escalated => "Firewatch cannot go on by itself; you must.",
        Outcome::Inconclusive => "The symptom could not be explained; nothing was changed.",
        Outcome::Duplicate => "Another incident is about the same.",
        Outcome::Cancelled => "Cancelled.",
    }
}

/// How an outcome looks.
pub fn outcome_tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Remediated | Outcome::NoActionRequired => Tone::Good,
        Outcome::Rejected | Outcome::Expired | Outcome::Duplicate | Outcome::Cancelled => Tone::Faint,
        Outcome::Escalated | Outcome::Inconclusive => Tone::Warn,
        Outcome::RolledBack | Outcome::RemediationFailed => Tone::Bad,
    }
}

/// How a severity looks.
pub fn severity_tone(severity: Severity) -> Tone {
    match severity {
        Severity::Critical => Tone::Bad,
        Severity::High => Tone::Warn,
        Severity::Medium => Tone::Strong,
        Severity::Low => Tone::Faint,
    }
}
