//! The verification that an executor's pod makes itself, at the moment it acts: everything that makes an approval an approval of
//! exactly this plan, now. Pure; every refusal has one closed reason. Must never trust what can be computed or read again.
//! Called by the sandbox runner's remediate lane; `VerifiedPlan` can be made nowhere else.

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use thiserror::Error;

use super::auto::{self, Proposal};
use super::digest;
use super::guard::GuardState;
use super::history::{self, History, Own};
use super::policy::{self, Effective};
use crate::api::{ActionType, Decision, Incident, Phase, PolicyMode, RemediationApproval, ResponsePolicy, Risk};
use crate::remediation::{Action, ActionError, assess};

/// A plan can be taken back for so long after its claim.
pub const ROLLBACK_WINDOW: SignedDuration = SignedDuration::from_mins(30);
/// What a policy's decision is signed with.
pub const POLICY_PREFIX: &str = "responsepolicy:";

/// What the pod was told to do with an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Carry it out.
    Remediate,
    /// Take it back.
    Rollback,
}

/// All that was read from the API server, and the time.
#[derive(Clone, Copy, Debug)]
pub struct VerifyInput<'a> {
    /// What the pod was told to do.
    pub purpose: Purpose,
    /// The uid that the pod was told.
    pub uid: &'a str,
    /// The approval of the namespace and name that the pod was told.
    pub approval: &'a RemediationApproval,
    /// The incident that it names, in its own namespace.
    pub incident: Option<&'a Incident>,
    /// Every ResponsePolicy.
    pub policies: &'a [ResponsePolicy],
    /// Labels of the approval's namespace.
    pub namespace_labels: &'a BTreeMap<String, String>,
    /// Whether the guards stand.
    pub guards: &'a GuardState,
    /// The time.
    pub now: Timestamp,
    /// What was repaired in the namespace before, where that is known. Only looked at where a policy decided.
    pub history: Option<&'a History>,
}

/// A plan that may be claimed and carried out, or taken back.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedPlan {
    actions: Vec<(String, Action)>,
    approver: String,
}

impl VerifiedPlan {
    /// Its actions with their ids, in the order of the plan.
    pub fn actions(&self) -> &[(String, Action)] {
        &self.actions
    }

    /// Who approved it.
    pub fn approver(&self) -> &str {
        &self.approver
    }
}

/// Why a plan is not carried out. Closed; `reason` is the word, `Display` the sentence.
#[derive(Clone, Debug, PartialEq, Eq, Error, strum::AsRefStr)]
#[allow(missing_docs, reason = "the sentence of each is its documentation")]
pub enum Refusal {
    #[error("the guards around approvals are not as they must be: {0}")]
    GuardsBroken(String),
    #[error(
        "the guards were made or changed at {guards}, and the approval is not younger ({approval}): ask for a new plan"
    )]
    GuardsYounger { guards: String, approval: String },
    #[error("the approval has uid {found}, not {asked}: it was made again")]
    ApprovalUid { asked: String, found: String },
    #[error("the approval is being deleted")]
    ApprovalDeleted,
    #[error("the approval's name is not that of its plan, {0}")]
    ApprovalName(String),
    #[error("the plan's digest is {stored}, but its content has {computed}: it was altered")]
    Digest { stored: String, computed: String },
    #[error("nobody has decided about the plan yet")]
    Undecided,
    #[error("the plan was rejected by {0}")]
    Rejected(String),
    #[error("the approval does not say who decided")]
    NoApprover,
    #[error("{0} is a machine's account: only people approve")]
    RobotApprover(String),
    #[error("the plan needs a second person's approval")]
    Unconfirmed,
    #[error("both approvals are by {0}: two people must approve")]
    SamePerson(String),
    #[error("{0} asked for the incident, and may not approve its repair where two must")]
    OwnRequest(String),
    #[error("the approval names {found} as the one who asked, the incident {expected}")]
    Requester { found: String, expected: String },
    #[error("the approval expired at {0}")]
    Expired(String),
    #[error("the approval lasts longer than a day")]
    TooLong,
    #[error("the incident does not exist")]
    IncidentMissing,
    #[error("the incident has uid {found}, not {expected}: it was made again")]
    IncidentUid { expected: String, found: String },
    #[error("the incident is being deleted")]
    IncidentDeleted,
    #[error("the incident was cancelled")]
    Cancelled,
    #[error("the incident is over")]
    IncidentOver,
    #[error("the incident stands at another plan: revision {now}, not {approved}")]
    Superseded { approved: i64, now: i64 },
    #[error("the plan has no actions")]
    Empty,
    #[error("action {id}: {error}")]
    Action { id: String, error: ActionError },
    #[error("the plan numbers its actions otherwise than A1, A2, …")]
    ActionIds,
    #[error("action {0}: its command is not what its typed values mean")]
    Command(String),
    #[error("action {0}: its inverse is not what its typed values mean")]
    Inverse(String),
    #[error("action {0}: its risk is not what its typed values mean")]
    ActionRisk(String),
    #[error("action {0}: its impact is not what its typed values mean")]
    Impact(String),
    #[error("action {id} changes something in namespace {namespace}, the approval is in another")]
    ForeignNamespace { id: String, namespace: String },
    #[error(
        "action {0} changes something that belongs to no namespace; only an approval in the operator's namespace may"
    )]
    ClusterScoped(String),
    #[error("the plan's risk is {computed}, not {stored}")]
    Risk { stored: Risk, computed: Risk },
    #[error("the plan's summary is not what its typed actions mean")]
    Summary,
    #[error("{needed} approvals are needed, and the plan asks for {stored}")]
    RequiredApprovals { stored: i32, needed: i32 },
    #[error("ResponsePolicy {0} is suspended")]
    Suspended(String),
    #[error("policies {0} claim this namespace with the same priority: give one of them a higher one")]
    PoliciesTied(String),
    #[error("ResponsePolicy {policy} goes no further than {mode}")]
    PolicyMode { policy: String, mode: PolicyMode },
    #[error("ResponsePolicy {policy} does not allow {action}")]
    ActionNotAllowed { policy: String, action: ActionType },
    #[error("ResponsePolicy {policy} does not approve this (any more): {why}")]
    PolicyApproval { policy: String, why: String },
    #[error("ResponsePolicy {policy} is not what it was when it approved: it was generation {then}, and is {now}")]
    PolicyChanged { policy: String, then: String, now: String },
    #[error("ResponsePolicy {policy} gives a plan {seconds} s, and the approval is older")]
    PolicyTtl { policy: String, seconds: i64 },
    #[error("the plan was claimed already by pod {0}: it is carried out once")]
    Claimed(String),
    #[error("the plan was not carried out, so it cannot be taken back")]
    NotClaimed,
    #[error("the plan was taken back already by pod {0}: once only")]
    RolledBack(String),
    #[error("the plan was claimed at {0}; it can be taken back for 30 minutes")]
    RollbackTooLate(String),
    #[error("no action of the plan has an inverse")]
    NoInverse,
}

impl Refusal {
    /// The closed reason.
    pub fn reason(&self) -> &str {
        self.as_ref()
    }
}

/// Whether this plan may be carried out, or taken back, now.
pub fn verify(input: &VerifyInput<'_>) -> Result<VerifiedPlan, Refusal> {
    let approval = input.approval;
    guards(input)?;
    identity(input)?;
    decision(input)?;
    let incident = incident(input)?;
    let actions = actions(approval, input.guards.operator_namespace.as_deref())?;
    let effective = policy(input, incident, &actions)?;
    lifetime(input, &effective)?;
    claims(input, &actions)?;
    Ok(VerifiedPlan {
        approver: approval.spec.approver.clone().unwrap_or_default(),
        actions,
    })
}

/// Whether a plan that this pod has claimed may go on with its next action: everything that people and policies can still change is
/// read and decided anew.
pub fn may_go_on(input: &VerifyInput<'_>) -> Result<(), Refusal> {
    identity(input)?;
    let incident = incident(input)?;
    let actions = actions(input.approval, input.guards.operator_namespace.as_deref())?;
    policy(input, incident, &actions)?;
    Ok(())
}

fn refuse_if(wrong: bool, refusal: impl FnOnce() -> Refusal) -> Result<(), Refusal> {
    if wrong { Err(refusal()) } else { Ok(()) }
}

fn guards(input: &VerifyInput<'_>) -> Result<(), Refusal> {
    let guards = input.guards;
    refuse_if(!guards.intact, || Refusal::GuardsBroken(guards.differences.join("; ")))?;
    let made = input.approval.metadata.creation_timestamp.as_ref().map(|time| time.0);
    // Times are whole seconds: what is not clearly older is not older.
    let older = matches!((guards.newest_change, made), (Some(changed), Some(made)) if changed < made);
    let show = |time: Option<Timestamp>| time.map_or("an unknown time".to_owned(), |time| time.to_string());
    refuse_if(!older, || Refusal::GuardsYounger {
        guards: show(guards.newest_change),
        approval: show(made),
    })
}

fn identity(input: &VerifyInput<'_>) -> Result<(), Refusal> {
    let approval = input.approval;
    let spec = &approval.spec;
    let uid = approval.uid().unwrap_or_default();
    refuse_if(uid != input.uid || uid.is_empty(), || Refusal::ApprovalUid {
        asked: input.uid.to_owned(),
        found: uid.clone(),
    })?;
    refuse_if(approval.metadata.deletion_timestamp.is_some(), || {
        Refusal::ApprovalDeleted
    })?;
    let computed = digest::of_approval(approval)
        .map(|digest| digest.to_string())
        .unwrap_or_default();
    refuse_if(computed != spec.plan_digest || computed.is_empty(), || {
        Refusal::Digest {
            stored: spec.plan_digest.clone(),
            computed: computed.clone(),
        }
    })?;
    let name = digest::approval_name(&spec.incident_ref.name, &spec.plan_digest);
    refuse_if(approval.name_any() != name, || Refusal::ApprovalName(name.clone()))
}

fn decision(input: &VerifyInput<'_>) -> Result<(), Refusal> {
    let spec = &input.approval.spec;
    let approver = spec.approver.clone().unwrap_or_default();
    match spec.decision {
        Decision::Pending => return Err(Refusal::Undecided),
        Decision::Rejected => return Err(Refusal::Rejected(approver)),
        Decision::Approved => {}
    }
    refuse_if(approver.is_empty(), || Refusal::NoApprover)?;
    let confirmation = spec.confirmation.as_ref().map(|second| second.approver.clone());
    for name in std::iter::once(&approver).chain(&confirmation) {
        refuse_if(name.starts_with("system:"), || Refusal::RobotApprover(name.clone()))?;
        refuse_if(spec.requested_by.as_ref() == Some(name), || {
            Refusal::OwnRequest(name.clone())
        })?;
    }
    if spec.required_approvals > 1 {
        let second = confirmation
            .filter(|name| !name.is_empty())
            .ok_or(Refusal::Unconfirmed)?;
        refuse_if(second.starts_with(POLICY_PREFIX), || {
            Refusal::RobotApprover(second.clone())
        })?;
        refuse_if(second == approver, || Refusal::SamePerson(approver.clone()))?;
    }
    let made = input
        .approval
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(input.now, |time| time.0);
    let lasts = spec.expires_at.0.duration_since(made);
    refuse_if(lasts > SignedDuration::from_hours(24), || Refusal::TooLong)?;
    // What was carried out in time is taken back by another clock.
    refuse_if(
        input.purpose == Purpose::Remediate && spec.expires_at.0 <= input.now,
        || Refusal::Expired(spec.expires_at.0.to_string()),
    )
}

fn incident<'a>(input: &VerifyInput<'a>) -> Result<&'a Incident, Refusal> {
    let spec = &input.approval.spec;
    let incident = input.incident.ok_or(Refusal::IncidentMissing)?;
    let uid = incident.uid().unwrap_or_default();
    let ours = uid == spec.incident_ref.uid
        && incident.name_any() == spec.incident_ref.name
        && incident.namespace() == input.approval.namespace();
    refuse_if(!ours, || Refusal::IncidentUid {
        expected: spec.incident_ref.uid.clone(),
        found: uid.clone(),
    })?;
    refuse_if(incident.metadata.deletion_timestamp.is_some(), || {
        Refusal::IncidentDeleted
    })?;
    refuse_if(incident.spec.cancelled, || Refusal::Cancelled)?;
    let status = incident.status.as_ref();
    refuse_if(status.is_some_and(|status| status.phase == Phase::Completed), || {
        Refusal::IncidentOver
    })?;
    let plan = status.and_then(|status| status.plan.as_ref());
    let stands = plan.is_some_and(|plan| plan.revision == spec.revision && plan.digest == spec.plan_digest);
    refuse_if(!stands, || Refusal::Superseded {
        approved: spec.revision,
        now: plan.map_or(0, |plan| plan.revision),
    })?;
    let asked = digest::separated(incident, spec.required_approvals);
    refuse_if(asked != spec.requested_by, || Refusal::Requester {
        found: spec.requested_by.clone().unwrap_or_else(|| "nobody".to_owned()),
        expected: asked.clone().unwrap_or_else(|| "nobody".to_owned()),
    })?;
    Ok(incident)
}

/// Every action again from its typed values; the person must have seen exactly that.
fn actions(approval: &RemediationApproval, operator_namespace: Option<&str>) -> Result<Vec<(String, Action)>, Refusal> {
    let spec = &approval.spec;
    let namespace = approval.namespace().unwrap_or_default();
    let central = operator_namespace == Some(namespace.as_str());
    refuse_if(spec.actions.is_empty(), || Refusal::Empty)?;
    let mut actions = Vec::new();
    for (index, planned) in spec.actions.iter().enumerate() {
        let id = || planned.id.clone();
        refuse_if(planned.id != format!("A{}", index + 1), || Refusal::ActionIds)?;
        let action = Action::try_from(planned).map_err(|error| Refusal::Action { id: id(), error })?;
        let again = action.to_planned(&planned.id, &planned.evidence, planned.diff.as_deref());
        refuse_if(again.command != planned.command, || Refusal::Command(id()))?;
        refuse_if(again.rollback != planned.rollback, || Refusal::Inverse(id()))?;
        refuse_if(again.risk != planned.risk, || Refusal::ActionRisk(id()))?;
        refuse_if(again.impact != planned.impact, || Refusal::Impact(id()))?;
        match &action.target().namespace {
            None => refuse_if(!central, || Refusal::ClusterScoped(id()))?,
            Some(there) => refuse_if(*there != namespace && !central, || Refusal::ForeignNamespace {
                id: id(),
                namespace: there.clone(),
            })?,
        }
        actions.push((id(), action));
    }
    let only: Vec<Action> = actions.iter().map(|(_, action)| action.clone()).collect();
    let computed = assess::risk(&only);
    refuse_if(computed != spec.risk, || Refusal::Risk {
        stored: spec.risk,
        computed,
    })?;
    refuse_if(assess::summary(&only) != spec.summary, || Refusal::Summary)?;
    Ok(actions)
}

fn policy(input: &VerifyInput<'_>, incident: &Incident, actions: &[(String, Action)]) -> Result<Effective, Refusal> {
    let spec = &input.approval.spec;
    let effective = policy::effective(input.policies, input.namespace_labels);
    refuse_if(effective.suspended, || Refusal::Suspended(effective.name.clone()))?;
    refuse_if(!effective.tied.is_empty(), || {
        Refusal::PoliciesTied(effective.tied.join(", "))
    })?;
    refuse_if(effective.mode != PolicyMode::Remediate, || Refusal::PolicyMode {
        policy: effective.name.clone(),
        mode: effective.mode,
    })?;
    for (_, action) in actions {
        let kind = action.action_type();
        let allowed = effective.allowed_actions.is_empty() || effective.allowed_actions.contains(&kind);
        refuse_if(!allowed, || Refusal::ActionNotAllowed {
            policy: effective.name.clone(),
            action: kind,
        })?;
    }
    let needed = effective.required_approvals(spec.risk);
    refuse_if(spec.required_approvals < needed || spec.required_approvals > 2, || {
        Refusal::RequiredApprovals {
            stored: spec.required_approvals,
            needed,
        }
    })?;
    // What a policy approved was judged before its claim; the way back was approved with it, and is not kept from it by the clock.
    if input.purpose == Purpose::Remediate && history::is_by_policy(input.approval) {
        by_policy(input, incident, &effective)?;
    }
    Ok(effective)
}

/// A shorter life that a policy gives plans now holds for those that are older, too.
fn lifetime(input: &VerifyInput<'_>, effective: &Effective) -> Result<(), Refusal> {
    let made = input.approval.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let ttl = SignedDuration::from_secs(effective.approval_ttl_seconds);
    let lives = made
        .and_then(|made| made.checked_add(ttl).ok())
        .is_some_and(|end| input.now <= end);
    refuse_if(input.purpose == Purpose::Remediate && !lives, || Refusal::PolicyTtl {
        policy: effective.name.clone(),
        seconds: effective.approval_ttl_seconds,
    })
}

/// What a policy decided is decided again, from the live policy: it must still be the very one, and still approve.
fn by_policy(input: &VerifyInput<'_>, incident: &Incident, effective: &Effective) -> Result<(), Refusal> {
    let approval = input.approval;
    let spec = &approval.spec;
    let name = spec
        .approver
        .as_deref()
        .and_then(|approver| approver.strip_prefix(POLICY_PREFIX))
        .unwrap_or_default();
    let no = |why: String| Refusal::PolicyApproval {
        policy: name.to_owned(),
        why,
    };
    let recorded = spec.policy.as_ref().filter(|policy| policy.name == name);
    let recorded = recorded.ok_or_else(|| no("the approval does not say which policy approved it".to_owned()))?;
    refuse_if(effective.name != name, || {
        no(format!("{} holds in this namespace", effective.name))
    })?;
    let uid = approval.uid();
    let claim = approval.status.as_ref().and_then(|status| status.claim.as_ref());
    let proposal = Proposal {
        incident,
        actions: &spec.actions,
        risk: spec.risk,
        required_approvals: spec.required_approvals,
        made: approval.metadata.creation_timestamp.as_ref().map(|time| time.0),
        own: Own {
            approval: uid.as_deref(),
            claimed: claim.and_then(|claim| claim.at.as_ref()).map(|at| at.0),
        },
    };
    let live = auto::judge(effective, &proposal, input.history, input.now)
        .map_err(|objection| no(format!("{}: {objection}", objection.reason())))?;
    let show = |policy: &crate::api::PolicyRef| format!("{} ({}, {})", policy.generation, policy.uid, policy.digest);
    refuse_if(live != *recorded, || Refusal::PolicyChanged {
        policy: name.to_owned(),
        then: show(recorded),
        now: show(&live),
    })
}

fn claims(input: &VerifyInput<'_>, actions: &[(String, Action)]) -> Result<(), Refusal> {
    let status = input.approval.status.as_ref();
    let claim = status.and_then(|status| status.claim.as_ref());
    let rollback = status.and_then(|status| status.rollback_claim.as_ref());
    match input.purpose {
        Purpose::Remediate => match claim.or(rollback) {
            Some(claim) => Err(Refusal::Claimed(claim.pod_uid.clone())),
            None => Ok(()),
        },
        Purpose::Rollback => {
            let claim = claim.ok_or(Refusal::NotClaimed)?;
            if let Some(rollback) = rollback {
                return Err(Refusal::RolledBack(rollback.pod_uid.clone()));
            }
            let at = claim.at.as_ref().map(|time| time.0);
            let in_time = at
                .and_then(|at| at.checked_add(ROLLBACK_WINDOW).ok())
                .is_some_and(|end| input.now <= end);
            refuse_if(!in_time, || {
                Refusal::RollbackTooLate(at.map_or("an unknown time".to_owned(), |at| at.to_string()))
            })?;
            let any = actions.iter().any(|(_, action)| action.inverse().is_some());
            refuse_if(!any, || Refusal::NoInverse)
        }
    }
}
