//! What the agents tell each other at each step, in words for the record. Every message of every agent is recorded; nothing
//! reads them back to decide anything. Called by the operator's `perform`.

use super::{AgentMessage, MessageKind};
use crate::api::Role;
use crate::api::status::{PlanStatus, Review, Triage};
use crate::diagnosis::Diagnosis;
use crate::sandbox::command::Command;

fn message(role: Role, to: Role, kind: MessageKind, text: String) -> AgentMessage {
    AgentMessage { role, to, kind, text }
}

/// The Commander gives work to each agent that triage chose.
pub fn triage(triage: &Triage) -> Vec<AgentMessage> {
    triage
        .agents
        .iter()
        .map(|&role| {
            let text = format!(
                "{} {}: {}. Look and report.",
                triage.severity, triage.category, triage.rationale
            );
            message(Role::Commander, role, MessageKind::Assignment, text)
        })
        .collect()
}

/// An agent says what it asks the cluster.
pub fn request(role: Role, commands: &[Command]) -> Vec<AgentMessage> {
    let lanes: Vec<String> = commands
        .iter()
        .map(|c| serde_json::to_string(c).unwrap_or_default())
        .collect();
    vec![message(
        role,
        Role::Commander,
        MessageKind::Request,
        format!("asks for {}", lanes.join(", ")),
    )]
}

/// The Commander says what both reports come to.
pub fn diagnosis(diagnosis: &Diagnosis) -> Vec<AgentMessage> {
    let text = match &diagnosis.root_cause {
        Some(cause) => format!(
            "root cause: {} (confidence {})",
            cause.finding.summary, cause.finding.confidence
        ),
        None => format!("{:?}: looked at {}", diagnosis.verdict, diagnosis.checked.join(", ")),
    };
    vec![message(
        Role::Commander,
        Role::RemediationPlanner,
        MessageKind::Assignment,
        text,
    )]
}

/// The Planner hands in its plan.
pub fn plan(plan: &PlanStatus) -> Vec<AgentMessage> {
    let text = match &plan.manual_reason {
        Some(why) if plan.actions.is_empty() => format!("no action that Firewatch may carry out: {why}"),
        _ => format!("plan {}: {} (risk {})", plan.revision, plan.summary, plan.risk),
    };
    vec![message(
        Role::RemediationPlanner,
        Role::Commander,
        MessageKind::Report,
        text,
    )]
}

/// The Commander's verdict.
pub fn review(review: &Review) -> Vec<AgentMessage> {
    let mut text = format!("{}: {}", review.verdict.as_ref(), review.reasons.join("; "));
    if !review.conditions.is_empty() {
        text.push_str(" Conditions: ");
        text.push_str(&review.conditions.join("; "));
    }
    vec![message(
        Role::Commander,
        Role::RemediationPlanner,
        MessageKind::Review,
        text,
    )]
}
