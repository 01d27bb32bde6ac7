//! What the agents tell each other at each step, in words for the record. Every message of every agent is recorded; nothing
//! reads them back to decide anything. Called by the operator's `perform`.

use super::model::Opinion;
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

/// An agent says what its model adds, and what of that was not believed.
pub fn opinion(role: Role, opinion: &Opinion) -> Vec<AgentMessage> {
    let first = opinion.fault.as_ref().map_or_else(
        || {
            let cause = opinion.hypothesis.as_ref().map_or_else(
                || "sees no cause of its own".to_owned(),
                |claim| {
                    format!(
                        "suspects {}: {} ({})",
                        claim.object,
                        claim.text,
                        claim.evidence.join(", ")
                    )
                },
            );
            format!(
                "the model {cause}; bears out {}, speaks against {}, adds {}; {} of its claims were not believed",
                opinion.confirms.len(),
                opinion.refutes.len(),
                opinion.findings.len(),
                opinion.refused.len()
            )
        },
        |fault| format!("by rules alone: {fault}"),
    );
    let finding = |text: String| message(role, Role::Commander, MessageKind::Finding, text);
    let mut said = vec![message(role, Role::Commander, MessageKind::Report, first)];
    said.extend(opinion.findings.iter().map(|claim| {
        finding(format!(
            "the model adds of {}: {} ({})",
            claim.object,
            claim.text,
            claim.evidence.join(", ")
        ))
    }));
    said.extend(
        opinion
            .unknowns
            .iter()
            .map(|text| finding(format!("unknown, by the model: {text}"))),
    );
    said.extend(opinion.suspicious.iter().chain(&opinion.refused).cloned().map(finding));
    said
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
