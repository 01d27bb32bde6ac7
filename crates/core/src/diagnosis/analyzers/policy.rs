//! Pods that are never made, because a quota, a limit range, PodSecurity or a webhook refuses them.
//!
//! Evidence: `FailedCreate` events and conditions of the controller, the quota. Looks alike: pods that are made and fit no node.

use std::sync::LazyLock;

use k8s_openapi::api::core::v1::ResourceQuota;
use regex::Regex;

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::quantity;
use crate::diagnosis::remedy::Remedy;
use crate::text::clip;

static QUOTA: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"exceeded quota: (\S+), requested: (\S+?), used: (\S+?), limited: (\S+)").ok());
static MUST_SPECIFY: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"failed quota: (\S+): must specify (.+)").ok());

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "QuotaExceeded",
        "A ResourceQuota is used up, so pods are not made.",
        "FailedCreate events, the quota's hard and used.",
        "A node without room: then the pod is made and pending.",
    ),
    known(
        "QuotaNeedsResources",
        "A ResourceQuota demands requests or limits that the pods do not state.",
        "FailedCreate events: must specify.",
        "A quota that is used up.",
    ),
    known(
        "PodSecurityViolated",
        "The namespace's PodSecurity level refuses the pods.",
        "FailedCreate events: violates PodSecurity.",
        "A warning of the same words, which refuses nothing.",
    ),
    known(
        "RefusedByWebhook",
        "An admission webhook refuses the pods or does not answer.",
        "FailedCreate events.",
        "A refusal of the API server itself.",
    ),
    known(
        "LimitRangeViolated",
        "A LimitRange refuses the pods' requests or limits.",
        "FailedCreate events.",
        "A quota.",
    ),
    known(
        "ServiceAccountMissing",
        "The pods name a ServiceAccount that does not exist.",
        "FailedCreate events: serviceaccount not found.",
        "A ServiceAccount that is there and may not do something (RBAC).",
    ),
    known(
        "PodsRefused",
        "The API server refuses the pods for another reason.",
        "FailedCreate events.",
        "Pods that are made and do not start.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    view.facts
        .workloads
        .iter()
        .filter_map(|workload| judge(view, workload))
        .collect()
}

fn judge(view: &View<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let desired = usize::try_from(workload.desired.unwrap_or(1)).unwrap_or(0);
    let have = workload.pods.iter().filter(|pod| !pod.is_over()).count();
    if have >= desired && workload.is_service() {
        return None;
    }
    let event = view
        .facts
        .events_around(workload)
        .filter(|event| event.reason == "FailedCreate" && event.warning)
        .max_by_key(|event| (event.last, event.count))?;
    let message = event.message.as_str();
    let cited = [event.evidence.as_str(), workload.evidence];
    if let Some(captures) = QUOTA.as_ref().and_then(|regex| regex.captures(message)) {
        let part = |n: usize| captures.get(n).map_or("", |m| m.as_str().trim_end_matches(','));
        return Some(quota(view, workload, part(1), part(2), part(3), part(4), event));
    }
    if let Some(captures) = MUST_SPECIFY.as_ref().and_then(|regex| regex.captures(message)) {
        let part = |n: usize| captures.get(n).map_or("", |m| m.as_str());
        return Some(
            claim("QuotaNeedsResources", &workload.name, Depth::Fault, Basis::Stated, 1)
                .says(format!(
                    "pods of {} are refused: ResourceQuota {} demands that every container states {}",
                    workload.name,
                    part(1),
                    part(2)
                ))
                .cites(cited)
                .since(event.first)
                .manual(format!(
                    "state {} in {}'s containers, or give the namespace a LimitRange with defaults",
                    part(2),
                    workload.name
                ))
                .done(),
        );
    }
    let (category, advice) = if message.contains("violates PodSecurity") {
        (
            "PodSecurityViolated",
            "adapt the pod's securityContext to the namespace's level",
        )
    } else if message.contains("admission webhook") || message.contains("failed calling webhook") {
        (
            "RefusedByWebhook",
            "see the webhook's message; if the webhook itself is down, restore it",
        )
    } else if message.contains("per Container is") || message.contains("per Pod is") {
        (
            "LimitRangeViolated",
            "adapt requests and limits to the namespace's LimitRange",
        )
    } else if message.contains("serviceaccount") && message.contains("not found") {
        (
            "ServiceAccountMissing",
            "create the ServiceAccount, or name one that exists",
        )
    } else {
        ("PodsRefused", "see the API server's message")
    };
    Some(
        claim(category, &workload.name, Depth::Fault, Basis::Stated, 1)
            .says(format!(
                "pods of {} are refused by the API server: {}",
                workload.name,
                clip(message, 300)
            ))
            .cites(cited)
            .since(event.first)
            .manual(advice)
            .done(),
    )
}

fn quota(
    view: &View<'_>,
    workload: &Workload<'_>,
    name: &str,
    requested: &str,
    used: &str,
    limited: &str,
    event: &crate::diagnosis::case_file::EventRecord,
) -> Finding {
    let pairs = |text: &str| -> Vec<(String, String)> {
        text.split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    };
    let first = pairs(requested).into_iter().next().unwrap_or_default();
    let find = |text: &str| {
        pairs(text)
            .into_iter()
            .find(|(key, _)| *key == first.0)
            .map(|(_, value)| value)
            .unwrap_or_default()
    };
    let (used, limit) = (find(used), find(limited));
    let object = ObjectName::namespaced("ResourceQuota", workload.namespace(), name);
    let entry = view.facts.case.entry(&object);
    let hard = view
        .facts
        .case
        .get::<ResourceQuota>(name)
        .and_then(|quota| quota.spec.as_ref()?.hard.as_ref()?.get(&first.0).map(|q| q.0.clone()));
    let missing = u64::try_from(workload.desired.unwrap_or(1))
        .unwrap_or(1)
        .saturating_sub(workload.pods.iter().filter(|pod| !pod.is_over()).count() as u64)
        .max(1);
    let to = if first.0.contains("memory") || first.0.contains("storage") {
        quantity::bytes(&used)
            .zip(quantity::bytes(&first.1))
            .map(|(used, one)| quantity::show_bytes(used.saturating_add(one.saturating_mul(missing))))
    } else if first.0.contains("cpu") {
        quantity::cpu_millis(&used)
            .zip(quantity::cpu_millis(&first.1))
            .map(|(used, one)| format!("{}m", used.saturating_add(one.saturating_mul(missing))))
    } else {
        used.parse::<u64>()
            .ok()
            .zip(first.1.parse::<u64>().ok())
            .map(|(used, one)| used.saturating_add(one.saturating_mul(missing)).to_string())
    };
    claim("QuotaExceeded", &object, Depth::Fault, Basis::Stated, 1 + u8::from(entry.is_some()))
        .says(format!(
            "ResourceQuota {name} is used up: pods of {} are refused, because {} is limited to {limit}, {used} are used and each pod requests {}",
            workload.name, first.0, first.1
        ))
        .cites([event.evidence.as_str(), workload.evidence].into_iter().chain(entry.map(|entry| entry.evidence.as_str())))
        .affects([workload.name.clone()])
        .since(event.first)
        .remedy(Remedy::Quota {
            quota: object.clone(),
            resource: first.0.clone(),
            from: hard.unwrap_or(limit),
            to,
        })
        .long_term(format!("agree on quota and replicas: {} wants {} pods", workload.name, workload.desired.unwrap_or(1)))
        .done()
}
