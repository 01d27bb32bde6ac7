//! When what happened: phases, agents side by side, and who was waited for, from the times that an Incident's status keeps.
//!
//! Times are whole seconds, as conditions keep them; what has no time is left out, and nothing is guessed. Pure; the present comes in.
//! Called by the HTML report.

use k8s_openapi::jiff::Timestamp;

use crate::api::approval::RemediationApproval;
use crate::api::conditions as types;
use crate::api::status::{IncidentStatus, Phase};
use crate::api::{Incident, Role};

/// What a bar stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// The operator or its agents at work.
    Work,
    /// A person is waited for.
    Waiting,
    /// Something is changed in the cluster.
    Change,
    /// Fresh evidence is looked at.
    Check,
}

/// One stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Begun.
    pub from: Timestamp,
    /// Ended, or the present.
    pub to: Timestamp,
    /// What it is.
    pub label: &'static str,
    /// Of which sort.
    pub activity: Activity,
}

/// Stretches of one sort below each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Whose.
    pub title: &'static str,
    /// In order.
    pub bars: Vec<Bar>,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// When the incident was made.
    pub start: Timestamp,
    /// When it was over, or the present.
    pub end: Timestamp,
    /// The phases; then each agent; then waiting and changes.
    pub lanes: Vec<Lane>,
}

/// Of this incident; none before it was begun.
pub fn timeline(incident: &Incident, approval: Option<&RemediationApproval>, now: Timestamp) -> Option<Timeline> {
    let status = incident.status.as_ref()?;
    let start = incident
        .metadata
        .creation_timestamp
        .as_ref()
        .or(status.started_at.as_ref())?
        .0;
    let end = status.completed_at.as_ref().map_or(now, |at| at.0).max(start);
    let phases = phases(status, approval, start, end);
    if phases.is_empty() {
        return None;
    }
    let mut lanes = vec![Lane {
        title: "Phases",
        bars: phases.clone(),
    }];
    lanes.extend(agents(status, start, end));
    let waiting: Vec<Bar> = phases
        .iter()
        .filter(|bar| bar.activity == Activity::Waiting)
        .cloned()
        .collect();
    if !waiting.is_empty() {
        lanes.push(Lane {
            title: "Waiting for people",
            bars: waiting,
        });
    }
    let changes = changes(status, start, end);
    if !changes.is_empty() {
        lanes.push(Lane {
            title: "Changes to the cluster",
            bars: changes,
        });
    }
    Some(Timeline { start, end, lanes })
}

fn phases(
    status: &IncidentStatus,
    approval: Option<&RemediationApproval>,
    start: Timestamp,
    end: Timestamp,
) -> Vec<Bar> {
    let reached = |type_: &str| {
        status
            .conditions
            .iter()
            .find(|condition| {
                condition.type_ == type_ && condition.status != "Unknown" && condition.reason != "NotReached"
            })
            .map(|condition| condition.last_transition_time.0)
    };
    let asked = approval
        .and_then(|approval| approval.metadata.creation_timestamp.as_ref())
        .map(|at| at.0)
        .or_else(|| reached(types::PLANNED));
    let execution = status.execution.as_ref();
    let rollback = status.rollback.as_ref();
    let milestones = [
        (reached(types::TRIAGED), "Triage", Activity::Work),
        (reached(types::INVESTIGATED), "Investigation", Activity::Work),
        (reached(types::DIAGNOSED), "Diagnosis", Activity::Work),
        (asked, "Plan and review", Activity::Work),
        (reached(types::APPROVED), "Waiting for a decision", Activity::Waiting),
        (
            execution
                .and_then(|done| done.finished_at.as_ref())
                .map(|at| at.0)
                .or_else(|| reached(types::EXECUTED)),
            "Execution",
            Activity::Change,
        ),
        (
            status
                .verified_at
                .as_ref()
                .filter(|_| rollback.is_none())
                .map(|at| at.0)
                .or_else(|| reached(types::VERIFIED)),
            "Verification",
            Activity::Check,
        ),
        (
            rollback.and_then(|done| done.finished_at.as_ref()).map(|at| at.0),
            "Rollback",
            Activity::Change,
        ),
    ];
    let mut at = start;
    let mut bars = Vec::new();
    for (until, label, activity) in milestones {
        // A condition's time is of its last change: what lies before the phase that ended earlier tells nothing.
        if let Some(until) = until.filter(|until| *until >= at && *until <= end) {
            bars.push(Bar {
                from: at,
                to: until,
                label,
                activity,
            });
            at = until;
        }
    }
    if at < end {
        let (label, activity) = last(status);
        bars.push(Bar {
            from: at,
            to: end,
            label,
            activity,
        });
    }
    bars
}

/// What fills the time since the last milestone.
fn last(status: &IncidentStatus) -> (&'static str, Activity) {
    match status.phase {
        Phase::Pending => ("Accepted", Activity::Work),
        Phase::Triaging => ("Triage", Activity::Work),
        Phase::Investigating => ("Investigation", Activity::Work),
        Phase::Diagnosing => ("Diagnosis", Activity::Work),
        Phase::Planning | Phase::Reviewing => ("Plan and review", Activity::Work),
        Phase::AwaitingApproval => ("Waiting for a decision", Activity::Waiting),
        Phase::Executing => ("Execution", Activity::Change),
        Phase::Verifying => ("Verification", Activity::Check),
        Phase::RollingBack => ("Rollback", Activity::Change),
        Phase::Blocked => ("Waiting for something else to end", Activity::Waiting),
        Phase::Completed if status.rollback.is_some() => ("Verification of the rollback", Activity::Check),
        Phase::Completed if status.execution.is_some() => ("Verification", Activity::Check),
        Phase::Completed if status.approval_ref.is_some() => ("Waiting for a decision", Activity::Waiting),
        Phase::Completed => ("Conclusion", Activity::Work),
    }
}

fn agents(status: &IncidentStatus, start: Timestamp, end: Timestamp) -> Vec<Lane> {
    status
        .agents
        .iter()
        .filter_map(|agent| {
            let from = agent.started_at.as_ref()?.0.clamp(start, end);
            let to = agent.finished_at.as_ref().map_or(end, |at| at.0).clamp(from, end);
            Some(Lane {
                title: title(agent.role),
                bars: vec![Bar {
                    from,
                    to,
                    label: "at work",
                    activity: Activity::Work,
                }],
            })
        })
        .collect()
}

/// What an agent is called.
pub fn title(role: Role) -> &'static str {
    match role {
        Role::Commander => "Commander",
        Role::SreInvestigator => "SRE Investigator",
        Role::CodeAnalyst => "Code Analyst",
        Role::RemediationPlanner => "Remediation Planner",
    }
}

fn changes(status: &IncidentStatus, start: Timestamp, end: Timestamp) -> Vec<Bar> {
    let done = [(&status.execution, "Execution"), (&status.rollback, "Rollback")];
    done.into_iter()
        .filter_map(|(execution, label)| {
            let execution = execution.as_ref()?;
            let from = execution.started_at.as_ref()?.0.clamp(start, end);
            let to = execution.finished_at.as_ref().map_or(end, |at| at.0).clamp(from, end);
            Some(Bar {
                from,
                to,
                label,
                activity: Activity::Change,
            })
        })
        .collect()
}
