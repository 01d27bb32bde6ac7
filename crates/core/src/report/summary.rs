//! An investigation in three sentences: what was reported, the cause, how it stands. The texts are data; who shows them escapes them.
//! Pure. Called by the Markdown and the HTML report.

use super::document::ResponseDocument;
use crate::api::Impact;
use crate::api::status::{Outcome, Phase};

/// What was reported, the cause, how it stands.
pub fn sentences(document: &ResponseDocument) -> [String; 3] {
    [reported(document), cause(document), ending(document).to_owned()]
}

fn reported(d: &ResponseDocument) -> String {
    let about = d.alert.target.as_ref().map_or_else(
        || format!("namespace {}", d.alert.namespace),
        |target| format!("{target} in namespace {}", d.alert.namespace),
    );
    let how = d
        .workflow
        .commander_decision
        .as_ref()
        .map(|decision| format!(" ({}: {})", decision.severity, impact(decision.impact)))
        .unwrap_or_default();
    format!("Reported for {about}: {}{how}.", d.alert.title.trim_end_matches('.'))
}

/// The cause, as far as one is known.
pub fn cause(d: &ResponseDocument) -> String {
    match (&d.workflow.root_cause, d.outcome.result) {
        (Some(cause), _) => format!("The cause: {}.", cause.summary.trim_end_matches('.')),
        (None, Some(Outcome::NoActionRequired)) => "Nothing is wrong with what was reported.".to_owned(),
        (None, None) => "No cause is named yet.".to_owned(),
        (None, Some(_)) => "No single cause was found.".to_owned(),
    }
}

/// How it ended, or what it waits for.
pub fn ending(d: &ResponseDocument) -> &'static str {
    match (d.outcome.result, d.outcome.phase) {
        (None, Phase::AwaitingApproval) => "A plan waits for a person's decision; nothing was changed.",
        (None, _) => "The investigation is still going on.",
        (Some(Outcome::Remediated), _) => {
            "The approved repair was carried out, and fresh evidence shows that it helped."
        }
        (Some(Outcome::NoActionRequired), _) => "Nothing was changed.",
        (Some(Outcome::Rejected), _) => "A person decided against the proposed repair; nothing was changed.",
        (Some(Outcome::Expired), _) => "Nobody decided about the proposed repair in time; nothing was changed.",
        (Some(Outcome::RolledBack), _) => "The approved repair did not help and was taken back.",
        (Some(Outcome::RemediationFailed), _) => "The approved repair failed; a person must look at it.",
        (Some(Outcome::Escalated), _) => "It was handed to a person.",
        (Some(Outcome::Inconclusive), _) => "What was seen could not be explained; a person must go on.",
        (Some(Outcome::Duplicate), _) => "Another investigation is about the same trouble.",
        (Some(Outcome::Cancelled), _) => "It was cancelled.",
    }
}

/// What an impact means.
pub fn impact(impact: Impact) -> &'static str {
    match impact {
        Impact::Outage => "nothing serves",
        Impact::Degraded => "part of it serves, or slowly",
        Impact::None => "everything serves",
        Impact::Unknown => "impact not known",
    }
}
