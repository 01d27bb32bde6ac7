//! Whether a ResponsePolicy approves a plan by itself, and if not, the first reason. One pure function for the operator (which records
//! the decision), the executor's pod (which makes it again from the live policy before its claim and before each action) and the
//! plugin's dry run.
//!
//! It must never allow what it could not read: on any doubt a person decides. More restrictions never allow more.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use thiserror::Error;

use super::history::{self, History, Own};
use super::policy::{BUILT_IN, Effective};
use super::window::{self, WindowError};
use crate::api::policy::{AutoApprove, Limits};
use crate::api::status::{AgentState, Verdict};
use crate::api::{ActionType, ApprovalMode, Incident, IncidentStatus, PlannedAction, PolicyMode, PolicyRef, Risk};
use crate::intake::gate::{DEFAULT_COOLDOWN, came_by_itself};
use crate::remediation::change::Change;
use crate::remediation::{Action, ActionError};

/// Clocks that differ by more make every time doubtful.
pub const SKEW: SignedDuration = SignedDuration::from_secs(60);
/// The time over which `maxPerHour` counts.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// A plan, and what is known around it.
#[derive(Clone, Copy, Debug)]
pub struct Proposal<'a> {
    /// Its incident.
    pub incident: &'a Incident,
    /// What would be done.
    pub actions: &'a [PlannedAction],
    /// The highest risk of that.
    pub risk: Risk,
    /// How many people must approve it, as sealed.
    pub required_approvals: i32,
    /// When its approval was made, by the API server's clock.
    pub made: Option<Timestamp>,
    /// Its approval, which is not part of its own past.
    pub own: Own<'a>,
}

/// Why a person must decide. Closed; `reason` is the word, `Display` the sentence.
#[derive(Clone, Debug, PartialEq, Eq, Error, strum::AsRefStr)]
#[allow(missing_docs, reason = "the sentence of each is its documentation")]
pub enum Objection {
    #[error("no ResponsePolicy selects this namespace")]
    NoPolicy,
    #[error("ResponsePolicies {0} claim this namespace with the same priority: give one of them a higher one")]
    PoliciesTied(String),
    #[error("a ResponsePolicy of this namespace is suspended")]
    Suspended,
    #[error("it goes no further than {0}")]
    Mode(PolicyMode),
    #[error("it approves nothing by itself (autoApprove is not set)")]
    AutoApproveOff,
    #[error("it was not read from an API server: it has no uid or generation")]
    Unidentified,
    #[error("the incident asks for a person's approval (approvalMode: Manual)")]
    AskedForPerson,
    #[error("a person asked for another plan (revisionFeedback)")]
    PersonIntervened,
    #[error("the incident was cancelled")]
    Cancelled,
    #[error("two people must approve")]
    TwoPeople,
    #[error("the plan has no actions")]
    Empty,
    #[error("the risk is {risk}, and it may take {most} at most")]
    Risk { risk: Risk, most: Risk },
    #[error("{0} is not among its allowedActions")]
    ActionNotAllowed(ActionType),
    #[error("{0} is not among its autoApprove.actionTypes")]
    ActionType(ActionType),
    #[error("the plan has {actions} actions, and it may take {most} at most")]
    TooManyActions { actions: usize, most: i32 },
    #[error("action {id} goes to {replicas} replicas, and it may take {most} at most")]
    TooManyReplicas { id: String, replicas: i32, most: i32 },
    #[error("action {id} cannot be read: {error}")]
    Action { id: String, error: ActionError },
    #[error("no root cause is shown")]
    NoCause,
    #[error("the confidence in the cause is {found}, and it needs {least}")]
    Confidence { found: String, least: String },
    #[error("the plan was not reviewed")]
    NotReviewed,
    #[error("a concern stands: {0}")]
    Concern(String),
    #[error("the {0} could not finish its investigation")]
    AgentFailed(String),
    #[error("the plan leaves something to people: {0}")]
    LeftToPeople(String),
    #[error("the plan or its cause cites evidence {0}, which is not there")]
    EvidenceMissing(String),
    #[error("the plan or its cause cites evidence {id}, which is {state}")]
    EvidenceIncomplete { id: String, state: String },
    #[error("clocks differ: the approval was made at {made}, and it is {now}")]
    ClockSkew { made: String, now: String },
    #[error("{0}")]
    Window(#[from] WindowError),
    #[error("it is outside its autoApprove.windows")]
    OutsideWindows,
    #[error("what was repaired before could not be read")]
    HistoryUnknown,
    #[error("policies have approved {taken} plans here within the hour, and it may take {most}")]
    TooMany { taken: usize, most: i32 },
    #[error("the target was repaired at {0} and rests (cooldown)")]
    Cooldown(String),
    #[error("this fix was not seen to help before, for this cause and approved by a person (onlyVerifiedBefore)")]
    NotVerifiedBefore,
}

impl Objection {
    /// The closed reason.
    pub fn reason(&self) -> &str {
        self.as_ref()
    }
}

fn object_if(wrong: bool, objection: impl FnOnce() -> Objection) -> Result<(), Objection> {
    if wrong { Err(objection()) } else { Ok(()) }
}

/// Whether the policy that holds approves the plan now: then which policy that is, exactly; else the first reason why not.
/// `history`: none where it could not be read.
pub fn judge(
    effective: &Effective,
    proposal: &Proposal<'_>,
    history: Option<&History>,
    now: Timestamp,
) -> Result<PolicyRef, Objection> {
    let (auto, policy) = holds(effective)?;
    let status = asked(auto, proposal.incident)?;
    size(effective, auto, proposal)?;
    sureness(auto, status, proposal)?;
    times(auto, proposal, now)?;
    past(
        effective,
        auto,
        proposal,
        history.ok_or(Objection::HistoryUnknown)?,
        now,
    )?;
    Ok(policy.clone())
}

/// Whether it is clear which policy holds, and whether that one approves at all.
fn holds(effective: &Effective) -> Result<(&AutoApprove, &PolicyRef), Objection> {
    object_if(effective.suspended, || Objection::Suspended)?;
    object_if(!effective.tied.is_empty(), || {
        Objection::PoliciesTied(effective.tied.join(", "))
    })?;
    object_if(effective.name == BUILT_IN && effective.identity.is_none(), || {
        Objection::NoPolicy
    })?;
    object_if(effective.mode != PolicyMode::Remediate, || {
        Objection::Mode(effective.mode)
    })?;
    let auto = effective.auto_approve.as_ref().ok_or(Objection::AutoApproveOff)?;
    let policy = effective.identity.as_ref().ok_or(Objection::Unidentified)?;
    Ok((auto, policy))
}

/// Whether the incident is one that a policy may be asked about: it says so, or an alert made it and the policy takes those.
pub fn wants(auto: Option<&AutoApprove>, incident: &Incident) -> bool {
    incident.spec.approval_mode == ApprovalMode::Policy
        || (auto.is_some_and(|auto| auto.alerts) && came_by_itself(incident))
}

fn asked<'a>(auto: &AutoApprove, incident: &'a Incident) -> Result<&'a IncidentStatus, Objection> {
    let spec = &incident.spec;
    object_if(!wants(Some(auto), incident), || Objection::AskedForPerson)?;
    object_if(spec.cancelled, || Objection::Cancelled)?;
    object_if(spec.revision_feedback.is_some(), || Objection::PersonIntervened)?;
    incident.status.as_ref().ok_or(Objection::NoCause)
}

/// What the plan would do, against what the policy may take.
fn size(effective: &Effective, auto: &AutoApprove, proposal: &Proposal<'_>) -> Result<(), Objection> {
    let needed = effective.required_approvals(proposal.risk);
    object_if(proposal.required_approvals != 1 || needed != 1, || Objection::TwoPeople)?;
    object_if(proposal.actions.is_empty(), || Objection::Empty)?;
    object_if(proposal.risk > auto.max_risk, || Objection::Risk {
        risk: proposal.risk,
        most: auto.max_risk,
    })?;
    let limits = auto.limits.clone().unwrap_or_default();
    for planned in proposal.actions {
        let kind = planned.action_type;
        let allowed = &effective.allowed_actions;
        object_if(!allowed.is_empty() && !allowed.contains(&kind), || {
            Objection::ActionNotAllowed(kind)
        })?;
        object_if(!auto.action_types.contains(&kind), || Objection::ActionType(kind))?;
        replicas(&limits, planned)?;
    }
    let actions = proposal.actions.len();
    match limits.max_actions {
        Some(most) => object_if(i32::try_from(actions).is_ok_and(|n| n > most), || {
            Objection::TooManyActions { actions, most }
        }),
        None => Ok(()),
    }
}

fn replicas(limits: &Limits, planned: &PlannedAction) -> Result<(), Objection> {
    let action = Action::try_from(planned).map_err(|error| Objection::Action {
        id: planned.id.clone(),
        error,
    })?;
    match (limits.max_replicas, action.change()) {
        (Some(most), Change::Scale { to, .. } | Change::PatchHpa { to, .. }) if *to > most => {
            Err(Objection::TooManyReplicas {
                id: planned.id.clone(),
                replicas: *to,
                most,
            })
        }
        _ => Ok(()),
    }
}

/// How sure it is, and whether anything speaks against it. That this is so is the operator's word; admission lets nobody else write it.
fn sureness(auto: &AutoApprove, status: &IncidentStatus, proposal: &Proposal<'_>) -> Result<(), Objection> {
    let cause = status.root_cause.as_ref().ok_or(Objection::NoCause)?;
    if let Some(least) = &auto.min_confidence {
        let enough = match (least.parse::<f64>(), cause.confidence.parse::<f64>()) {
            (Ok(least), Ok(found)) => found >= least,
            _ => false,
        };
        object_if(!enough, || Objection::Confidence {
            found: cause.confidence.clone(),
            least: least.clone(),
        })?;
    }
    let failed = status.agents.iter().find(|agent| agent.state == AgentState::Failed);
    if let Some(agent) = failed {
        return Err(Objection::AgentFailed(agent.role.to_string()));
    }
    let review = status.review.as_ref().ok_or(Objection::NotReviewed)?;
    object_if(review.verdict != Verdict::Approve, || Objection::NotReviewed)?;
    if let Some(concern) = review.concerns.first() {
        return Err(Objection::Concern(concern.clone()));
    }
    let left = status.plan.as_ref().and_then(|plan| plan.manual_reason.clone());
    if let Some(left) = left {
        return Err(Objection::LeftToPeople(left));
    }
    let of_actions = proposal.actions.iter().flat_map(|action| &action.evidence);
    object_if(cause.evidence.is_empty(), || Objection::NoCause)?;
    for id in cause.evidence.iter().chain(of_actions) {
        let kept = status.evidence.iter().find(|one| one.id == *id);
        let kept = kept.ok_or_else(|| Objection::EvidenceMissing(id.clone()))?;
        object_if(kept.state != "Complete", || Objection::EvidenceIncomplete {
            id: id.clone(),
            state: kept.state.clone(),
        })?;
    }
    Ok(())
}

fn times(auto: &AutoApprove, proposal: &Proposal<'_>, now: Timestamp) -> Result<(), Objection> {
    if let Some(made) = proposal.made {
        let ahead = now.saturating_add(SKEW).map_or(true, |latest| made > latest);
        object_if(ahead, || Objection::ClockSkew {
            made: made.to_string(),
            now: now.to_string(),
        })?;
    }
    let open = window::is_open(&auto.windows, now)?;
    object_if(!open, || Objection::OutsideWindows)
}

fn past(
    effective: &Effective,
    auto: &AutoApprove,
    proposal: &Proposal<'_>,
    history: &History,
    now: Timestamp,
) -> Result<(), Objection> {
    if let Some(most) = auto.max_per_hour {
        let since = now.checked_sub(HOUR).map_err(|_| Objection::HistoryUnknown)?;
        let taken = history.taken_by_policy_since(proposal.own, since);
        object_if(i32::try_from(taken).map_or(true, |n| n >= most), || {
            Objection::TooMany { taken, most }
        })?;
    }
    let fix = history::fix(proposal.actions);
    let rest = effective
        .cooldown_seconds
        .map_or(DEFAULT_COOLDOWN, SignedDuration::from_secs);
    if let Some(at) = history.fresh(proposal.own, &fix, rest, now) {
        return Err(Objection::Cooldown(at.to_string()));
    }
    if auto.only_verified_before {
        let cause = history::cause(proposal.incident).ok_or(Objection::NoCause)?;
        object_if(!history.is_proven(proposal.own, &fix, &cause), || {
            Objection::NotVerifiedBefore
        })?;
    }
    Ok(())
}

/// The decision in one sentence, for the approval's `reason` and for the record: which policy, exactly, and what it looked at.
pub fn sentence(policy: &PolicyRef, proposal: &Proposal<'_>) -> String {
    let status = proposal.incident.status.as_ref();
    let confidence = status
        .and_then(|status| status.root_cause.as_ref())
        .map_or_else(String::new, |cause| format!(", confidence {}", cause.confidence));
    let mut types: Vec<&str> = proposal.actions.iter().map(|one| one.action_type.as_ref()).collect();
    types.dedup();
    format!(
        "approved by ResponsePolicy {} (uid {}, generation {}, {}), no person: {} of risk {}{confidence}; incident {}",
        policy.name,
        policy.uid,
        policy.generation,
        policy.digest,
        types.join(", "),
        proposal.risk,
        proposal.incident.name_any()
    )
}
