//! The sentences that all channels have in common. Called by the modules that make a channel's form.

use super::notice::{Notice, Occasion};
use crate::api::Outcome;

/// One line that says what happened to which incident.
pub fn headline(notice: &Notice) -> String {
    let severity = notice
        .severity
        .map_or(String::new(), |severity| format!("[{severity}] "));
    format!("{severity}{}: {}", state(notice), notice.title)
}

/// Where the incident stands, in words.
pub fn state(notice: &Notice) -> &'static str {
    match (notice.occasion, notice.outcome) {
        (Occasion::Opened, _) => "Investigating",
        (Occasion::ApprovalNeeded, _) if notice.approve.is_some() => "Approval needed",
        (Occasion::ApprovalNeeded, _) => "A plan was made",
        (Occasion::Executing, _) => "Approved, being carried out",
        (Occasion::RollingBack, _) => "Being taken back",
        (Occasion::Ended, outcome) => match outcome {
            Some(Outcome::Remediated) => "Remediated",
            Some(Outcome::NoActionRequired) => "Healthy, nothing to do",
            Some(Outcome::Rejected) => "Plan rejected",
            Some(Outcome::Expired) => "Approval expired",
            Some(Outcome::RolledBack) => "Rolled back, a person must go on",
            Some(Outcome::RemediationFailed) => "Remediation failed, a person must go on",
            Some(Outcome::Escalated) => "Escalated, a person must go on",
            Some(Outcome::Inconclusive) => "Inconclusive, a person must go on",
            Some(Outcome::Duplicate) => "Duplicate",
            Some(Outcome::Cancelled) => "Cancelled",
            None => "Over",
        },
    }
}

/// Where it is.
pub fn place(notice: &Notice) -> String {
    format!(
        "{} in {} (incident {}/{})",
        notice.target, notice.namespace, notice.namespace, notice.name
    )
}

/// The cause with its confidence.
pub fn cause(notice: &Notice) -> Option<String> {
    let cause = notice.cause.as_ref()?;
    Some(format!(
        "{} ({}, {}, confidence {})",
        cause.summary, cause.category, cause.object, cause.confidence
    ))
}

/// The plan in one line.
pub fn plan(notice: &Notice) -> Option<String> {
    let plan = notice.plan.as_ref().filter(|plan| !plan.steps.is_empty())?;
    let expires = plan
        .expires_at
        .as_ref()
        .filter(|_| notice.approve.is_some())
        .map_or(String::new(), |at| format!(", void after {at}"));
    Some(format!("{} (risk {}{expires})", plan.summary, plan.risk))
}

/// What happened in this transition. A request for approval says it by its plan.
pub fn happened(notice: &Notice) -> Option<String> {
    match notice.occasion {
        Occasion::ApprovalNeeded => None,
        _ => Some(notice.message.clone()).filter(|message| !message.is_empty()),
    }
}

/// Each check in one line.
pub fn checks(notice: &Notice) -> Vec<String> {
    notice
        .checks
        .iter()
        .map(|check| {
            let holds = if check.passed { "holds" } else { "does not hold" };
            format!("{} {holds}: {}", check.name, check.observed)
        })
        .collect()
}

/// The whole notice in plain text: an e-mail's body, a note.
pub fn text(notice: &Notice) -> String {
    let mut lines = vec![headline(notice), place(notice)];
    lines.extend(happened(notice));
    lines.extend(cause(notice).map(|cause| format!("Cause: {cause}")));
    lines.extend(plan(notice).map(|plan| format!("Plan: {plan}")));
    if let (Occasion::ApprovalNeeded, Some(plan)) = (notice.occasion, &notice.plan) {
        for step in &plan.steps {
            lines.push(format!("  {}: {}", step.id, step.command));
            lines.push(match &step.rollback {
                Some(command) => format!("     taken back by: {command}"),
                None => "     cannot be taken back".to_owned(),
            });
        }
    }
    if let Some(line) = &notice.approve {
        lines.push("To approve, as yourself:".to_owned());
        lines.push(line.clone());
    }
    lines.extend(notice.execution.as_ref().map(|done| format!("Done: {done}")));
    lines.extend(checks(notice).into_iter().map(|check| format!("Verified: {check}")));
    lines.extend(notice.next_steps.iter().map(|step| format!("Next: {step}")));
    lines.join("\n")
}
