//! One look at an incident and at what belongs to it. Reads only; called by `reconcile` before each decision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use firewatch_core::api::approval::RemediationApproval;
use firewatch_core::api::incident::AlertSource;
use firewatch_core::api::status::{JobRef, JobState};
use firewatch_core::api::{Decision, Incident, Phase};
use firewatch_core::approval::policy::Effective;
use firewatch_core::approval::{auto, history};
use firewatch_core::incident::observation::{ApprovalFacts, JobFacts, Observation, PolicyFacts, PolicyVerdict};
use firewatch_core::intake::gate::{self, Block, Gate, Limits};
use firewatch_core::intake::report::NOTE_ANNOTATION;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{Api, ResourceExt};

use super::context::Context;
use super::reconcile::Error;
use super::record;
use crate::approval::policies;
use crate::sandbox::outcomes;

/// What was seen, owned.
pub struct Observed {
    now: Timestamp,
    /// What holds in the incident's namespace.
    pub policy: Effective,
    guard_intact: bool,
    storing_since: Option<Timestamp>,
    jobs: BTreeMap<String, JobFacts>,
    approval: ApprovalFacts,
    by_policy: PolicyVerdict,
    approval_stored: bool,
    has_capacity: bool,
    gate: Gate,
    untargeted: Option<String>,
}

impl Observed {
    /// In the form in which `decide` reads it.
    pub fn as_observation<'a>(&self, incident: &'a Incident) -> Observation<'a> {
        static EMPTY: std::sync::LazyLock<firewatch_core::api::IncidentStatus> =
            std::sync::LazyLock::new(Default::default);
        Observation {
            now: self.now,
            spec: &incident.spec,
            status: incident.status.as_ref().unwrap_or(&EMPTY),
            deleting_since: incident.metadata.deletion_timestamp.as_ref().map(|t| t.0),
            storing_since: self.storing_since,
            policy: PolicyFacts {
                name: self.policy.name.clone(),
                mode: self.policy.mode,
                suspended: self.policy.suspended,
                tied: self.policy.tied.clone(),
                require_audit: self.policy.require_audit,
            },
            guard_intact: self.guard_intact,
            jobs: self.jobs.clone(),
            approval: self.approval.clone(),
            by_policy: self.by_policy.clone(),
            approval_stored: self.approval_stored,
            has_capacity: self.has_capacity,
            gate: self.gate.clone(),
            untargeted: self.untargeted.clone(),
        }
    }

    /// What keeps the incident from beginning.
    pub fn held(&self) -> Option<&Block> {
        match &self.gate {
            Gate::Held(block) => Some(block),
            Gate::Open | Gate::Settled { .. } => None,
        }
    }

    /// Why no policy approves the plan that waits, where the incident asks for that.
    pub fn not_by_policy(&self) -> Option<&str> {
        match &self.by_policy {
            PolicyVerdict::Refuses(why) => Some(why),
            PolicyVerdict::NotAsked | PolicyVerdict::Approves(_) => None,
        }
    }

    /// Whether an executor's pod took the plan.
    pub fn is_claimed(&self) -> bool {
        matches!(&self.approval, ApprovalFacts::Found { claim: Some(_), .. })
    }
}

/// Whether the loop has taken it up.
pub fn has_begun(incident: &Incident) -> bool {
    incident
        .status
        .as_ref()
        .is_some_and(|s| !matches!(s.phase, Phase::Pending | Phase::Blocked))
}

/// Forgets of those that have begun what the cache shows by now, and what is gone.
pub fn forget_shown(ctx: &Context, begun: &mut BTreeSet<String>) {
    if !begun.is_empty() {
        let waiting: BTreeSet<String> = waiting(&ctx.incidents.state());
        begun.retain(|uid| waiting.contains(uid));
    }
}

fn waiting(incidents: &[Arc<Incident>]) -> BTreeSet<String> {
    incidents
        .iter()
        .filter(|i| !has_begun(i))
        .filter_map(|i| i.uid())
        .collect()
}

/// Looks. `begun`: those that have begun, whatever the cache shows; for an incident that has not.
pub async fn observe(ctx: &Context, incident: &Incident, begun: Option<&BTreeSet<String>>) -> Result<Observed, Error> {
    let status = incident.status.clone().unwrap_or_default();
    let namespace = incident.namespace().unwrap_or_default();
    let labels = match Api::<Namespace>::all(ctx.client.clone()).get_opt(&namespace).await? {
        Some(found) => found.labels().clone(),
        None => BTreeMap::new(),
    };
    let mut jobs = BTreeMap::new();
    for JobRef { name, .. } in status.jobs.iter().filter(|j| j.state == JobState::Running) {
        jobs.insert(name.clone(), outcomes::look(ctx, name).await?);
    }
    let found = approval(ctx, incident).await?;
    let approval_stored = match &found {
        Some(approval) if approval.spec.decision != Decision::Pending => {
            super::relay::approval_stored(ctx, incident, approval).await
        }
        _ => false,
    };
    let policy = policies::effective(ctx, &labels);
    let now = Timestamp::now();
    let by_policy = match &found {
        Some(approval)
            if status.phase == Phase::AwaitingApproval
                && approval.spec.decision == Decision::Pending
                && auto::wants(policy.auto_approve.as_ref(), incident) =>
        {
            policies::verdict(ctx, incident, approval, &labels, now).await
        }
        _ => PolicyVerdict::NotAsked,
    };
    let (gate, has_capacity) = match begun {
        None => (Gate::Open, true),
        Some(begun) => beside_others(ctx, incident, &policy, begun, now),
    };
    Ok(Observed {
        now,
        gate,
        has_capacity,
        untargeted: untargeted(ctx, incident),
        policy,
        storing_since: ctx.storing_since(&incident.uid().unwrap_or_default()).await,
        guard_intact: ctx.guard.state().await.is_some_and(|g| g.intact),
        jobs,
        approval: facts(incident, found),
        by_policy,
        approval_stored,
    })
}

/// Whether the incident may begin, beside all others that are known; and whether there is room for it.
fn beside_others(
    ctx: &Context,
    incident: &Incident,
    policy: &Effective,
    begun: &BTreeSet<String>,
    now: Timestamp,
) -> (Gate, bool) {
    let others: Vec<Arc<Incident>> = ctx
        .incidents
        .state()
        .into_iter()
        .map(|other| as_begun(other, begun))
        .collect();
    let limits = Limits {
        cooldown: policy
            .cooldown_seconds
            .map_or(gate::DEFAULT_COOLDOWN, SignedDuration::from_secs),
        suspended: policy.suspended,
    };
    let active = || others.iter().filter(|i| record::is_active(i));
    let beside = active().filter(|i| i.namespace() == incident.namespace()).count();
    let has_room = gate::has_room(
        (active().count(), ctx.config.max_concurrent),
        (beside, policy.max_concurrent),
    );
    (
        gate::gate(incident, others.iter().map(|other| &**other), limits, now),
        has_room,
    )
}

/// The cache's copy, ahead by what is known to have happened since.
fn as_begun(mut other: Arc<Incident>, begun: &BTreeSet<String>) -> Arc<Incident> {
    if !begun.is_empty() && !has_begun(&other) && other.uid().is_some_and(|uid| begun.contains(&uid)) {
        Arc::make_mut(&mut other).status.get_or_insert_default().phase = Phase::Triaging;
    }
    other
}

/// An alert that names no object makes an incident beside the operator, whose own namespace it is not about.
fn untargeted(ctx: &Context, incident: &Incident) -> Option<String> {
    let is_lost = incident.spec.target.is_none()
        && incident.namespace().as_deref() == Some(ctx.config.namespace.as_str())
        && incident
            .spec
            .alert
            .as_ref()
            .is_some_and(|a| a.source != AlertSource::Manual);
    is_lost.then(|| {
        incident
            .annotations()
            .get(NOTE_ANNOTATION)
            .cloned()
            .unwrap_or_else(|| "the alert names no object".to_owned())
    })
}

async fn approval(ctx: &Context, incident: &Incident) -> Result<Option<RemediationApproval>, Error> {
    let Some(reference) = incident.status.as_ref().and_then(|s| s.approval_ref.clone()) else {
        return Ok(None);
    };
    let api: Api<RemediationApproval> = Api::namespaced(ctx.client.clone(), &incident.namespace().unwrap_or_default());
    // Another object of that name is not the one that was made.
    Ok(api
        .get_opt(&reference.name)
        .await?
        .filter(|a| a.uid().as_deref() == Some(reference.uid.as_str())))
}

fn facts(incident: &Incident, found: Option<RemediationApproval>) -> ApprovalFacts {
    let referred = incident.status.as_ref().is_some_and(|s| s.approval_ref.is_some());
    match found {
        None if referred => ApprovalFacts::Missing,
        None => ApprovalFacts::None,
        Some(approval) => {
            let by_policy = history::is_by_policy(&approval);
            let spec = approval.spec;
            let complete = spec.is_approved();
            ApprovalFacts::Found {
                decision: spec.decision,
                complete,
                by_policy,
                approver: spec.approver,
                reason: spec.reason,
                expires_at: spec.expires_at.0,
                claim: approval.status.and_then(|s| s.claim),
            }
        }
    }
}
