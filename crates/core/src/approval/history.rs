//! What was repaired before, as the API server's own objects tell: approvals, whose decision and claim admission guards, and their
//! incidents. It outlives restarts, and the executor can read it itself. What is deleted is forgotten, which makes a policy allow less.
//! Pure. Called by `auto`'s callers: the operator, the executor's pod and the plugin's dry run.

use std::collections::BTreeSet;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::verify::POLICY_PREFIX;
use crate::api::{ActionType, Decision, Incident, ObjectName, Outcome, PlannedAction, RemediationApproval};

/// Which actions on which objects.
pub type Fix = BTreeSet<(ActionType, ObjectName)>;

/// Which actions on which objects these are.
pub fn fix(actions: &[PlannedAction]) -> Fix {
    actions.iter().map(|one| (one.action_type, object(one))).collect()
}

fn object(action: &PlannedAction) -> ObjectName {
    ObjectName {
        kind: action.target.kind.clone(),
        namespace: action.target.namespace.clone(),
        name: action.target.name.clone(),
    }
}

/// A cause, as far as it comes again: its category, and where it is.
pub type Cause = (String, ObjectName);

/// The cause of an incident.
pub fn cause(incident: &Incident) -> Option<Cause> {
    let cause = incident.status.as_ref()?.root_cause.as_ref()?;
    Some((cause.category.clone(), cause.object.clone()))
}

/// A plan that an executor's pod took.
#[derive(Clone, Debug, PartialEq)]
pub struct Repair {
    /// uid of its approval.
    pub approval: String,
    /// When it was taken; none: not known, which counts as just now.
    pub at: Option<Timestamp>,
    /// Whether a policy approved it.
    pub by_policy: bool,
    /// What it did.
    pub fix: Fix,
    /// Against what.
    pub cause: Option<Cause>,
    /// Whether fresh evidence showed the cause gone, and it was not taken back.
    pub helped: bool,
}

/// All repairs of one namespace that are still known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// In no order.
    pub repairs: Vec<Repair>,
}

/// The plan that is asked about, which is not part of its own past.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own<'a> {
    /// uid of its approval.
    pub approval: Option<&'a str>,
    /// When it was claimed, once it is.
    pub claimed: Option<Timestamp>,
}

impl History {
    /// From what the API server holds.
    pub fn of(approvals: &[RemediationApproval], incidents: &[Incident]) -> Self {
        let repairs = approvals
            .iter()
            .filter_map(|approval| repair(approval, incidents))
            .collect();
        Self { repairs }
    }

    /// Everything but the plan itself and what was claimed after it: of two that claim at once one comes first.
    fn before<'a>(&'a self, own: Own<'a>) -> impl Iterator<Item = &'a Repair> {
        self.repairs.iter().filter(move |one| {
            let other = own.approval != Some(one.approval.as_str());
            let later = match (own.claimed, one.at) {
                (Some(mine), Some(its)) => (its, Some(one.approval.as_str())) > (mine, own.approval),
                _ => false,
            };
            other && !later
        })
    }

    /// How many plans a policy approved that were taken since.
    pub fn taken_by_policy_since(&self, own: Own<'_>, since: Timestamp) -> usize {
        self.before(own)
            .filter(|one| one.by_policy && one.at.is_none_or(|at| at > since))
            .count()
    }

    /// When one of these objects was last repaired, where that is less than so long ago.
    pub fn fresh(&self, own: Own<'_>, fix: &Fix, rest: SignedDuration, now: Timestamp) -> Option<Timestamp> {
        let mine: BTreeSet<&ObjectName> = fix.iter().map(|(_, object)| object).collect();
        self.before(own)
            .filter(|one| one.fix.iter().any(|(_, object)| mine.contains(object)))
            .map(|one| one.at.unwrap_or(now))
            .filter(|at| at.saturating_add(rest).is_ok_and(|end| end > now))
            .max()
    }

    /// Whether this fix, when it was last made for this cause, helped; and whether it ever did after a person had approved it.
    pub fn is_proven(&self, own: Own<'_>, fix: &Fix, cause: &Cause) -> bool {
        let same = || {
            self.before(own)
                .filter(|one| one.fix == *fix && one.cause.as_ref() == Some(cause))
        };
        let last = same().max_by_key(|one| (one.at.is_none(), one.at));
        last.is_some_and(|one| one.helped) && same().any(|one| one.helped && !one.by_policy)
    }
}

fn repair(approval: &RemediationApproval, incidents: &[Incident]) -> Option<Repair> {
    let status = approval.status.as_ref()?;
    let claim = status.claim.as_ref()?;
    let spec = &approval.spec;
    let incident = incidents
        .iter()
        .find(|one| one.uid().as_deref() == Some(spec.incident_ref.uid.as_str()));
    let ended = incident.and_then(|one| one.status.as_ref());
    let of_this_plan = ended.is_some_and(|status| {
        let plan = status.plan.as_ref();
        status.outcome == Some(Outcome::Remediated) && plan.is_some_and(|plan| plan.digest == spec.plan_digest)
    });
    Some(Repair {
        approval: approval.uid().unwrap_or_default(),
        at: claim.at.as_ref().map(|at| at.0),
        by_policy: is_by_policy(approval),
        fix: fix(&spec.actions),
        cause: incident.and_then(cause),
        helped: of_this_plan && status.rollback_claim.is_none() && spec.decision == Decision::Approved,
    })
}

/// Whether a policy decided, and no person.
pub fn is_by_policy(approval: &RemediationApproval) -> bool {
    let approver = approval.spec.approver.as_deref().unwrap_or_default();
    approval.spec.policy.is_some() || approver.starts_with(POLICY_PREFIX)
}
