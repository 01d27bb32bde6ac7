//! A dry run: which plans of past incidents a policy would have approved, in the order in which they came, and for each other one the
//! first reason. The same judgement as the operator's and the executor's; what the policy would have approved counts towards its own
//! limits afterwards. Pure. Called by the plugin.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::auto::{self, Objection, Proposal};
use super::history::{History, Own, Repair, cause, fix};
use super::policy::{self, Effective};
use crate::api::{ApprovalMode, Incident, Outcome, PolicyRef, RemediationApproval, ResponsePolicy};

/// One plan of the past, and what the policy would have said.
#[derive(Clone, Debug, PartialEq)]
pub struct Rehearsed {
    /// Namespace of the incident.
    pub namespace: String,
    /// Its name.
    pub incident: String,
    /// When the plan was put before people.
    pub at: Timestamp,
    /// The plan in one line.
    pub summary: String,
    /// The policy that would have held there.
    pub holds: String,
    /// How the incident really ended; none: it has not.
    pub outcome: Option<String>,
    /// The policy that would have approved, or why not.
    pub verdict: Result<PolicyRef, Objection>,
}

/// What is known of the past.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// Incidents; those without a plan are left out.
    pub incidents: &'a [Incident],
    /// Their approvals.
    pub approvals: &'a [RemediationApproval],
    /// Labels of their namespaces.
    pub namespaces: &'a BTreeMap<String, BTreeMap<String, String>>,
    /// Older plans are left out, but count as what was repaired before.
    pub since: Timestamp,
}

/// Goes through the past as if these had been the policies, and each incident had asked for a policy's approval. That a kill switch is on
/// now says nothing about then.
pub fn rehearse(policies: &[ResponsePolicy], past: Past<'_>) -> Vec<Rehearsed> {
    let policies: Vec<ResponsePolicy> = policies
        .iter()
        .cloned()
        .map(|mut policy| {
            policy.spec.suspended = false;
            policy
        })
        .collect();
    let mut plans: Vec<(Timestamp, &Incident, Option<&RemediationApproval>)> = past
        .incidents
        .iter()
        .filter(|incident| has_plan(incident))
        .filter_map(|incident| {
            let approval = approval_of(incident, past.approvals);
            let made = approval.and_then(|one| one.metadata.creation_timestamp.as_ref());
            let made = made.or(incident.metadata.creation_timestamp.as_ref())?;
            Some((made.0, incident, approval))
        })
        .collect();
    plans.sort_by_key(|(at, incident, _)| (*at, incident.namespace(), incident.name_any()));
    let mut histories: BTreeMap<String, History> = BTreeMap::new();
    for namespace in past.namespaces.keys() {
        let here = |of: Option<String>| of.as_deref() == Some(namespace.as_str());
        let approvals: Vec<_> = past.approvals.iter().filter(|a| here(a.namespace())).cloned().collect();
        let incidents: Vec<_> = past.incidents.iter().filter(|i| here(i.namespace())).cloned().collect();
        histories.insert(namespace.clone(), History::of(&approvals, &incidents));
    }
    let mut told = Vec::new();
    for (at, incident, approval) in plans {
        let namespace = incident.namespace().unwrap_or_default();
        let nothing = BTreeMap::new();
        let labels = past.namespaces.get(&namespace).unwrap_or(&nothing);
        let effective = policy::effective(&policies, labels);
        let verdict = judge(&effective, histories.get(&namespace), incident, approval, at);
        if verdict.is_ok()
            && let Some(history) = histories.get_mut(&namespace)
        {
            note(history, incident, approval, at);
        }
        if at < past.since {
            continue;
        }
        let status = incident.status.as_ref();
        told.push(Rehearsed {
            namespace,
            incident: incident.name_any(),
            at,
            holds: effective.name.clone(),
            summary: status
                .and_then(|s| s.plan.as_ref())
                .map_or_else(String::new, |plan| plan.summary.clone()),
            outcome: status.and_then(|s| s.outcome).map(|outcome| outcome.to_string()),
            verdict,
        });
    }
    told
}

fn has_plan(incident: &Incident) -> bool {
    let plan = incident.status.as_ref().and_then(|status| status.plan.as_ref());
    plan.is_some_and(|plan| !plan.actions.is_empty())
}

fn approval_of<'a>(incident: &Incident, approvals: &'a [RemediationApproval]) -> Option<&'a RemediationApproval> {
    let reference = incident.status.as_ref()?.approval_ref.as_ref()?;
    approvals
        .iter()
        .find(|one| one.uid().as_deref() == Some(reference.uid.as_str()))
}

fn judge(
    effective: &Effective,
    history: Option<&History>,
    incident: &Incident,
    approval: Option<&RemediationApproval>,
    at: Timestamp,
) -> Result<PolicyRef, Objection> {
    let mut asked = incident.clone();
    asked.spec.approval_mode = ApprovalMode::Policy;
    let plan = asked.status.as_ref().and_then(|status| status.plan.clone());
    let plan = plan.ok_or(Objection::Empty)?;
    // Only what was over by then is the past of that moment.
    let history = history.map(|all| History {
        repairs: all
            .repairs
            .iter()
            .filter(|one| one.at.is_some_and(|its| its < at))
            .cloned()
            .collect(),
    });
    let uid = approval.and_then(ResourceExt::uid);
    let proposal = Proposal {
        incident: &asked,
        actions: &plan.actions,
        risk: plan.risk,
        required_approvals: effective.required_approvals(plan.risk),
        made: Some(at),
        own: Own {
            approval: uid.as_deref(),
            claimed: None,
        },
    };
    auto::judge(effective, &proposal, history.as_ref(), at)
}

/// What the policy would have approved then counts from then on, as approved by it.
fn note(history: &mut History, incident: &Incident, approval: Option<&RemediationApproval>, at: Timestamp) {
    let uid = approval
        .and_then(ResourceExt::uid)
        .or_else(|| incident.uid())
        .unwrap_or_default();
    if history.repairs.iter().any(|one| one.approval == uid && one.by_policy) {
        return;
    }
    let plan = incident.status.as_ref().and_then(|status| status.plan.as_ref());
    let actions = plan.map(|plan| plan.actions.as_slice()).unwrap_or_default();
    history.repairs.push(Repair {
        approval: uid,
        at: Some(at),
        by_policy: true,
        fix: fix(actions),
        cause: cause(incident),
        helped: incident.status.as_ref().and_then(|status| status.outcome) == Some(Outcome::Remediated),
    });
}
