//! Which ResponsePolicy holds in a namespace, whether it approves a plan by itself, and what the operator says about each policy. All of
//! it is decided in the core; this reads, and writes the policies' conditions.
//!
//! It must never let a policy approve from what the cache holds: that is read anew. What cannot be read approves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use firewatch_core::api::policy::ResponsePolicyStatus;
use firewatch_core::api::{Incident, RemediationApproval, ResponsePolicy};
use firewatch_core::approval::auto::{self, Proposal};
use firewatch_core::approval::history::{History, Own};
use firewatch_core::approval::policy::{self, Effective};
use firewatch_core::incident::observation::PolicyVerdict;
use firewatch_core::text::clip;
use futures::channel::mpsc::UnboundedSender;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;

use crate::incident::context::Context;

/// How often it is looked for policies that tie, since labels of namespaces change too.
const LOOK: Duration = Duration::from_mins(1);

/// The policy that holds in a namespace with these labels.
pub fn effective(ctx: &Context, namespace_labels: &BTreeMap<String, String>) -> Effective {
    let policies: Vec<ResponsePolicy> = ctx.policies.state().iter().map(|p| (**p).clone()).collect();
    policy::effective(&policies, namespace_labels)
}

/// Whether the policy that holds approves this plan by itself, now. What cannot be read is no reason to stop for: people decide.
pub async fn verdict(
    ctx: &Context,
    incident: &Incident,
    approval: &RemediationApproval,
    namespace_labels: &BTreeMap<String, String>,
    now: Timestamp,
) -> PolicyVerdict {
    judged(ctx, incident, approval, namespace_labels, now)
        .await
        .unwrap_or_else(|error| PolicyVerdict::Refuses(format!("policies or the past could not be read: {error}")))
}

async fn judged(
    ctx: &Context,
    incident: &Incident,
    approval: &RemediationApproval,
    namespace_labels: &BTreeMap<String, String>,
    now: Timestamp,
) -> kube::Result<PolicyVerdict> {
    let policies: Api<ResponsePolicy> = Api::all(ctx.client.clone());
    let policies = policies.list(&ListParams::default()).await?.items;
    let effective = policy::effective(&policies, namespace_labels);
    let history = match effective.auto_approve {
        Some(_) => Some(history(ctx, &incident.namespace().unwrap_or_default()).await?),
        // It approves nothing: nobody asks for the past.
        None => None,
    };
    let uid = approval.uid();
    let proposal = Proposal {
        incident,
        actions: &approval.spec.actions,
        risk: approval.spec.risk,
        required_approvals: approval.spec.required_approvals,
        made: approval.metadata.creation_timestamp.as_ref().map(|at| at.0),
        own: Own {
            approval: uid.as_deref(),
            claimed: None,
        },
    };
    Ok(match auto::judge(&effective, &proposal, history.as_ref(), now) {
        Ok(policy) => PolicyVerdict::Approves(policy),
        Err(objection) => PolicyVerdict::Refuses(format!(
            "ResponsePolicy {}: {}: {objection}",
            effective.name,
            objection.reason()
        )),
    })
}

async fn history(ctx: &Context, namespace: &str) -> kube::Result<History> {
    let approvals: Api<RemediationApproval> = Api::namespaced(ctx.client.clone(), namespace);
    let incidents: Api<Incident> = Api::namespaced(ctx.client.clone(), namespace);
    let approvals = approvals.list(&ListParams::default()).await?;
    let incidents = incidents.list(&ListParams::default()).await?;
    Ok(History::of(&approvals.items, &incidents.items))
}

/// Keeps the store of policies fresh, tells `changed` when one says something else, and says of each whether it can be obeyed.
pub async fn watch(
    ctx: Arc<Context>,
    stream: impl Stream<Item = Result<watcher::Event<ResponsePolicy>, watcher::Error>> + Send,
    changed: UnboundedSender<()>,
    stop: CancellationToken,
) {
    let stream = stream.touched_objects();
    tokio::pin!(stream);
    let mut look = tokio::time::interval(LOOK);
    let mut seen: BTreeMap<String, (Option<String>, Option<i64>)> = BTreeMap::new();
    loop {
        tokio::select! {
            next = stream.next() => match next {
                Some(Ok(policy)) => {
                    let state = (policy.uid(), policy.metadata.generation);
                    let gone = policy.metadata.deletion_timestamp.is_some();
                    // Our own write of a status is no change. One that is gone comes once more, as it was.
                    if seen.insert(policy.name_any(), state.clone()) != Some(state) || gone || is_gone(&ctx, &policy) {
                        let _ = changed.unbounded_send(());
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "watching policies");
                    continue;
                }
                None => return,
            },
            _ = look.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = describe(&ctx).await {
            tracing::warn!(%error, "the policies' status could not be written");
        }
    }
}

fn is_gone(ctx: &Context, policy: &ResponsePolicy) -> bool {
    !ctx.policies.state().iter().any(|one| one.uid() == policy.uid())
}

/// The conditions of every policy, where they differ from what stands there.
async fn describe(ctx: &Context) -> kube::Result<()> {
    let policies: Vec<ResponsePolicy> = ctx.policies.state().iter().map(|p| (**p).clone()).collect();
    if policies.is_empty() {
        return Ok(());
    }
    let namespaces = Api::<Namespace>::all(ctx.client.clone())
        .list_metadata(&ListParams::default())
        .await?;
    let labels: BTreeMap<String, BTreeMap<String, String>> = namespaces
        .items
        .iter()
        .map(|one| (one.name_any(), one.labels().clone()))
        .collect();
    let ties = policy::ties(&policies, &labels);
    for policy in &policies {
        let wanted = conditions(policy, ties.get(&policy.name_any()));
        write(ctx, policy, wanted).await?;
    }
    Ok(())
}

fn conditions(policy: &ResponsePolicy, tie: Option<&(BTreeSet<String>, BTreeSet<String>)>) -> Vec<Condition> {
    let faults = policy::faults(&policy.spec);
    let accepted = if faults.is_empty() {
        (
            "True",
            "AllFieldsHold",
            "every field that is set is acted on".to_owned(),
        )
    } else {
        ("False", "CannotBeObeyed", faults.join("; "))
    };
    let unambiguous = match tie {
        None => (
            "True",
            "NoTie",
            "no other policy of the same priority claims its namespaces".to_owned(),
        ),
        Some((others, places)) => {
            let some: Vec<&str> = places.iter().take(10).map(String::as_str).collect();
            (
                "False",
                "PoliciesTied",
                format!(
                    "{} of the same priority claims {} of its namespaces too ({}): nothing is executed there until one gets another priority",
                    others.iter().cloned().collect::<Vec<_>>().join(", "),
                    places.len(),
                    some.join(", ")
                ),
            )
        }
    };
    let old = policy.status.clone().unwrap_or_default().conditions;
    [("Accepted", accepted), ("Unambiguous", unambiguous)]
        .into_iter()
        .map(|(type_, (status, reason, message))| {
            let since = old.iter().find(|c| c.type_ == type_ && c.status == status);
            Condition {
                type_: type_.into(),
                status: status.into(),
                reason: reason.into(),
                message: clip(&message, 1024),
                observed_generation: policy.metadata.generation,
                last_transition_time: since.map_or_else(|| Time(Timestamp::now()), |c| c.last_transition_time.clone()),
            }
        })
        .collect()
}

async fn write(ctx: &Context, policy: &ResponsePolicy, conditions: Vec<Condition>) -> kube::Result<()> {
    let old = policy.status.clone().unwrap_or_default();
    let same =
        old.conditions.len() == conditions.len()
            && old.conditions.iter().zip(&conditions).all(|(a, b)| {
                (&a.type_, &a.status, &a.reason, &a.message) == (&b.type_, &b.status, &b.reason, &b.message)
            })
            && old.observed_generation == policy.metadata.generation;
    if same {
        return Ok(());
    }
    let status = ResponsePolicyStatus {
        conditions,
        observed_generation: policy.metadata.generation,
    };
    let api: Api<ResponsePolicy> = Api::all(ctx.client.clone());
    let patch = Patch::Merge(serde_json::json!({ "status": status }));
    match api
        .patch_status(&policy.name_any(), &PatchParams::default(), &patch)
        .await
    {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn policy(spec: serde_json::Value) -> ResponsePolicy {
        ResponsePolicy::new("p", serde_json::from_value(spec).unwrap())
    }

    fn said(policy: &ResponsePolicy, tie: Option<&(BTreeSet<String>, BTreeSet<String>)>) -> Vec<(String, String)> {
        let all = conditions(policy, tie);
        all.into_iter().map(|c| (c.status, c.message)).collect()
    }

    #[test]
    fn a_policy_is_told_what_of_it_cannot_be_obeyed_and_with_whom_it_ties() {
        let plain = said(&policy(serde_json::json!({})), None);
        assert!(plain.iter().all(|(status, _)| status == "True"), "{plain:?}");
        let zone = serde_json::json!({"autoApprove": {"maxRisk": "low", "actionTypes": ["Scale"],
            "windows": [{"from": "09:00", "to": "17:00", "timeZone": "Mars/Olympus"}]}});
        let tie = (
            BTreeSet::from(["other".to_owned()]),
            BTreeSet::from(["shop".to_owned()]),
        );
        let both = said(&policy(zone), Some(&tie));
        let [(accepted, why), (unambiguous, whom)] = both.as_slice() else {
            unreachable!("two conditions")
        };
        assert_eq!((accepted.as_str(), unambiguous.as_str()), ("False", "False"));
        assert!(
            why.contains("Mars/Olympus") && whom.contains("other") && whom.contains("shop"),
            "{both:?}"
        );
    }
}
