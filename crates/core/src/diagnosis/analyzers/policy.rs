//! Pods that are never made, because a quota, a limit range, PodSecurity or a webhook refuses them.
//!
//! Evidence: `FailedCreate` events and conditions of the controller, the quota. Looks alike: pods that are made and fit no node.

use std::sync::LazyLock;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{LimitRange, Pod, ResourceQuota, ServiceAccount};
use k8s_openapi::jiff::Timestamp;
use regex::Regex;

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::quantity;
use crate::diagnosis::remedy::Remedy;
use crate::diagnosis::similar::closest;
use crate::sandbox::command::Resource;
use crate::text::clip;

static QUOTA: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"exceeded quota: (\S+), requested: (\S+?), used: (\S+?), limited: (\S+)").ok());
static MUST_SPECIFY: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"failed quota: (\S+): must specify (.+)").ok());

/// The Service that serves a webhook, and its namespace, in the API server's message.
static WEBHOOK: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"failed calling webhook .{0,300}?https://([a-z0-9-]+)\.([a-z0-9-]+)\.svc").ok());

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "QuotaExceeded",
        "A ResourceQuota is used up, so pods are not made.",
        "FailedCreate events, the quota's hard and used.",
        "A node without room: then the pod is made and pending.",
    ),
    known(
        "CronJobTakesQuota",
        "Runs of a CronJob hold the quota that another workload's pods need.",
        "FailedCreate events, requests of the CronJob's running pods beside the quota.",
        "A quota that is too small for the workload without the CronJob, too.",
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
        "An admission webhook refuses the pods.",
        "FailedCreate events: admission webhook denied the request.",
        "A webhook that does not answer (WebhookFails).",
    ),
    known(
        "WebhookFails",
        "An admission webhook does not answer, so nothing can be made.",
        "FailedCreate events: failed calling webhook, with the reason (refused, no endpoints, certificate, deadline).",
        "A webhook that answers and refuses.",
    ),
    known(
        "RefusedByAdmissionPolicy",
        "A ValidatingAdmissionPolicy refuses the pods.",
        "FailedCreate events that name policy and binding.",
        "A webhook's refusal.",
    ),
    known(
        "NamespaceTerminating",
        "The namespace is being deleted, so nothing can be made in it.",
        "FailedCreate events: because it is being terminated.",
        "A pod that is being deleted.",
    ),
    known(
        "RequestsAboveLimits",
        "A request is above its limit, often one that a LimitRange has filled in.",
        "FailedCreate events: must be less than or equal to; the LimitRange.",
        "A LimitRange's maximum that is exceeded.",
    ),
    known(
        "PriorityClassMissing",
        "The pods name a PriorityClass that does not exist.",
        "FailedCreate events: no PriorityClass with name.",
        "Preemption by pods of a higher priority.",
    ),
    known(
        "RuntimeClassMissing",
        "The pods name a RuntimeClass that does not exist.",
        "FailedCreate events: RuntimeClass not found.",
        "A RuntimeClass whose handler the node does not have: then the sandbox fails.",
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
    // The pods of the old revision may be enough while all of the new one are refused: then the controller's condition says so.
    if have >= desired && workload.is_service() && condition(view, workload).is_none() {
        return None;
    }
    let event = view
        .facts
        .events_around(workload)
        .filter(|event| event.reason == "FailedCreate" && event.warning)
        .max_by_key(|event| (event.last, event.count));
    // Events last an hour; the controller's condition stays.
    let refusal = match event {
        Some(event) => Refusal {
            message: &event.message,
            evidence: &event.evidence,
            first: event.first,
        },
        None => condition(view, workload)?,
    };
    let message = refusal.message;
    let cited = [refusal.evidence, workload.evidence];
    if let Some(captures) = QUOTA.as_ref().and_then(|regex| regex.captures(message)) {
        let part = |n: usize| captures.get(n).map_or("", |m| m.as_str().trim_end_matches(','));
        let exceeded = Exceeded::read(part(1), part(2), part(3), part(4));
        return Some(
            taken(view, workload, &exceeded, &refusal).unwrap_or_else(|| quota(view, workload, &exceeded, &refusal)),
        );
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
                .since(refusal.first)
                .manual(format!(
                    "state {} in {}'s containers, or give the namespace a LimitRange with defaults",
                    part(2),
                    workload.name
                ))
                .done(),
        );
    }
    let (category, advice) = refused(message);
    if category == "WebhookFails"
        && let Some(finding) = webhook_of_own(view, workload, &refusal)
    {
        return Some(finding);
    }
    let hint = hint(view, workload, category);
    Some(
        claim(category, &workload.name, Depth::Fault, Basis::Stated, 1)
            .says(format!(
                "pods of {} are refused by the API server: {}{}",
                workload.name,
                clip(message, 300),
                hint.as_ref().map_or("", |(hint, _)| hint.as_str())
            ))
            .cites(cited.into_iter().chain(hint.as_ref().map(|(_, id)| *id)))
            .since(refusal.first)
            .manual(advice)
            .done(),
    )
}

/// Why the API server refuses pods, by its own words.
struct Refusal<'v> {
    message: &'v str,
    evidence: &'v str,
    first: Option<Timestamp>,
}

/// `ReplicaFailure` of the Deployment, in the words of the API server.
fn condition<'v>(view: &'v View<'_>, workload: &Workload<'v>) -> Option<Refusal<'v>> {
    let deployment = view.facts.case.get::<Deployment>(&workload.name.name)?;
    (workload.name.kind == "Deployment").then_some(())?;
    let failure = deployment
        .status
        .as_ref()?
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")?;
    Some(Refusal {
        message: failure.message.as_deref()?,
        evidence: workload.evidence,
        first: failure.last_transition_time.as_ref().map(|time| time.0),
    })
}

fn refused(message: &str) -> (&'static str, &'static str) {
    let lower = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&["violates podsecurity"]) {
        (
            "PodSecurityViolated",
            "adapt the pod's securityContext to the namespace's level",
        )
    } else if has(&["failed calling webhook", "failed to call webhook"]) {
        (
            "WebhookFails",
            "restore what the webhook calls (its Service, its pods, its certificate); until then its failurePolicy refuses everything",
        )
    } else if has(&["admission webhook"]) {
        (
            "RefusedByWebhook",
            "see the webhook's message, and adapt the pods to its rule",
        )
    } else if has(&["validatingadmissionpolicy"]) {
        (
            "RefusedByAdmissionPolicy",
            "see the policy's message, and adapt the pods to its rule",
        )
    } else if has(&["because it is being terminated"]) {
        (
            "NamespaceTerminating",
            "the namespace is being deleted: nothing can be made in it any more",
        )
    } else if has(&["per container is", "per pod is", "request ratio"]) {
        (
            "LimitRangeViolated",
            "adapt requests and limits to the namespace's LimitRange",
        )
    } else if has(&["must be less than or equal to"]) {
        (
            "RequestsAboveLimits",
            "state limits that are at least the requests; a limit that nobody stated comes from the namespace's LimitRange",
        )
    } else if has(&["no priorityclass with name"]) {
        (
            "PriorityClassMissing",
            "create the PriorityClass, or name one that exists",
        )
    } else if has(&["runtimeclass"]) && has(&["not found"]) {
        (
            "RuntimeClassMissing",
            "create the RuntimeClass, or name one that exists",
        )
    } else if has(&["serviceaccount", "service account"]) && has(&["not found"]) {
        (
            "ServiceAccountMissing",
            "create the ServiceAccount, or name one that exists",
        )
    } else {
        ("PodsRefused", "see the API server's message")
    }
}

/// A webhook that is served by this namespace and has no endpoint: its Service and its pods say why.
fn webhook_of_own(view: &View<'_>, workload: &Workload<'_>, refusal: &Refusal<'_>) -> Option<Finding> {
    let called = WEBHOOK.as_ref()?.captures(refusal.message)?;
    let (name, space) = (called.get(1)?.as_str(), called.get(2)?.as_str());
    let service = view.facts.service(space, name).filter(|service| service.ready == 0)?;
    Some(
        claim("WebhookFails", &workload.name, Depth::Mechanism, Basis::Stated, 2)
            .says(format!(
                "pods of {} are refused by the API server, because an admission webhook does not answer: it is served by {}, which has no ready endpoint ({})",
                workload.name,
                service.name,
                clip(refusal.message, 300)
            ))
            .cites([refusal.evidence, workload.evidence, service.evidence])
            .points_to([service.name.clone()])
            .since(refusal.first)
            .manual(format!("restore what is behind {}; until then the webhook's failurePolicy refuses everything", service.name))
            .done(),
    )
}

/// What stands beside it in the namespace: a name that is nearly right, the range that is violated.
fn hint<'v>(view: &'v View<'_>, workload: &Workload<'_>, category: &str) -> Option<(String, &'v str)> {
    let case = view.facts.case;
    match category {
        "ServiceAccountMissing" => {
            let wanted = workload.pod_spec()?.service_account_name.as_deref()?;
            let list = case.complete_list(Resource::ServiceAccounts)?;
            let near = closest(
                wanted,
                case.all::<ServiceAccount>().map(|(other, _, _)| other.name.as_str()),
            );
            let shown = near
                .first()
                .map_or(String::new(), |other| format!("; ServiceAccount {other} exists"));
            Some((shown, list))
        }
        "LimitRangeViolated" | "RequestsAboveLimits" => {
            let mut ranges = case.all::<LimitRange>();
            let (name, _, id) = ranges.next()?;
            ranges
                .next()
                .is_none()
                .then(|| (format!(" ({name} of the namespace)"), id))
        }
        _ => None,
    }
}

/// A quota that refuses a pod, as the API server's message has it.
struct Exceeded<'m> {
    quota: &'m str,
    resource: String,
    each: String,
    used: String,
    limit: String,
}

impl<'m> Exceeded<'m> {
    fn read(quota: &'m str, requested: &str, used: &str, limited: &str) -> Self {
        let pairs = |text: &str| -> Vec<(String, String)> {
            text.split(',')
                .filter_map(|pair| pair.split_once('='))
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect()
        };
        let (resource, each) = pairs(requested).into_iter().next().unwrap_or_default();
        let find = |text: &str| {
            pairs(text)
                .into_iter()
                .find(|(key, _)| *key == resource)
                .map(|(_, value)| value)
                .unwrap_or_default()
        };
        Self {
            quota,
            each,
            used: find(used),
            limit: find(limited),
            resource,
        }
    }

    /// A quantity of its resource in one unit: bytes, thousandths of a processor, or pieces.
    fn amount(&self, text: &str) -> Option<u64> {
        if self.resource.contains("memory") || self.resource.contains("storage") {
            quantity::bytes(text)
        } else if self.resource.contains("cpu") {
            quantity::cpu_millis(text)
        } else {
            text.parse().ok()
        }
    }

    /// What a pod counts for; none for what is not counted by pod.
    fn held_by(&self, pod: &Pod) -> Option<u64> {
        let (limits, name) = match self.resource.as_str() {
            "pods" | "count/pods" => return Some(1),
            "cpu" | "requests.cpu" => (false, "cpu"),
            "memory" | "requests.memory" => (false, "memory"),
            "limits.cpu" => (true, "cpu"),
            "limits.memory" => (true, "memory"),
            _ => return None,
        };
        let amounts = pod.spec.as_ref()?.containers.iter().filter_map(|container| {
            let resources = container.resources.as_ref()?;
            let stated = if limits { &resources.limits } else { &resources.requests };
            self.amount(&stated.as_ref()?.get(name)?.0)
        });
        Some(amounts.fold(0, u64::saturating_add))
    }
}

/// Pods that the workload still lacks, at least one.
fn lacking(workload: &Workload<'_>) -> u64 {
    u64::try_from(workload.desired.unwrap_or(1))
        .unwrap_or(1)
        .saturating_sub(workload.pods.iter().filter(|pod| !pod.is_over()).count() as u64)
        .max(1)
}

/// What is refused would fit, were it not for the runs of a CronJob that hold the quota now.
fn taken(view: &View<'_>, workload: &Workload<'_>, exceeded: &Exceeded<'_>, refusal: &Refusal<'_>) -> Option<Finding> {
    if !workload.is_service() {
        return None;
    }
    let limit = exceeded.amount(&exceeded.limit)?;
    let used = exceeded.amount(&exceeded.used)?;
    let wanted = exceeded.amount(&exceeded.each)?.saturating_mul(lacking(workload));
    let (cron, held) = view
        .facts
        .workloads
        .iter()
        .filter(|other| other.name.kind == "CronJob" && other.namespace() == workload.namespace())
        .filter_map(|other| {
            let pods = other.pods.iter().filter(|pod| !pod.is_over());
            let held: Option<u64> = pods.map(|pod| exceeded.held_by(pod.pod)).sum();
            Some((other, held.filter(|held| *held > 0)?))
        })
        .max_by_key(|(_, held)| *held)?;
    if used.saturating_sub(held).saturating_add(wanted) > limit {
        return None;
    }
    let spec = view.facts.case.get::<CronJob>(&cron.name.name)?.spec.as_ref()?;
    let runs = cron.pods.iter().filter(|pod| !pod.is_over()).count();
    let object = ObjectName::namespaced("ResourceQuota", workload.namespace(), exceeded.quota);
    let entry = view.facts.case.entry(&object);
    let shown = if exceeded.resource.contains("memory") {
        quantity::show_bytes(held)
    } else if exceeded.resource.contains("cpu") {
        format!("{held}m")
    } else {
        held.to_string()
    };
    Some(
        claim(
            "CronJobTakesQuota",
            &cron.name,
            Depth::Fault,
            Basis::Stated,
            1 + u8::from(entry.is_some()),
        )
        .says(format!(
            "{} takes the quota that {} needs: its running pods ({runs}) hold {shown} of the {} of {} that ResourceQuota {} allows (schedule {}, concurrencyPolicy {}), so pods of {} are refused, which request {} each and would fit without them",
            cron.name,
            workload.name,
            exceeded.limit,
            exceeded.resource,
            exceeded.quota,
            spec.schedule,
            spec.concurrency_policy.as_deref().unwrap_or("Allow"),
            workload.name,
            exceeded.each
        ))
        .cites(
            [refusal.evidence, workload.evidence, cron.evidence]
                .into_iter()
                .chain(cron.pods.iter().take(1).map(|pod| pod.evidence))
                .chain(entry.map(|entry| entry.evidence.as_str())),
        )
        .affects([workload.name.clone()])
        .since(refusal.first)
        .remedy(Remedy::SuspendCronJob {
            cron_job: cron.name.clone(),
        })
        .long_term(format!(
            "set concurrencyPolicy of {} to Forbid and an activeDeadlineSeconds, and agree on a quota that holds a run of it beside {}",
            cron.name, workload.name
        ))
        .done(),
    )
}

/// What is used now and what is allowed, where one more pod fits.
fn room_again(view: &View<'_>, exceeded: &Exceeded<'_>) -> Option<(String, String)> {
    let quota = view.facts.case.get::<ResourceQuota>(exceeded.quota)?;
    let status = quota.status.as_ref()?;
    let used = &status.used.as_ref()?.get(&exceeded.resource)?.0;
    let hard = &status.hard.as_ref()?.get(&exceeded.resource)?.0;
    let needs = exceeded.amount(used)?.checked_add(exceeded.amount(&exceeded.each)?)?;
    (needs <= exceeded.amount(hard)?).then(|| (used.clone(), hard.clone()))
}

fn quota(view: &View<'_>, workload: &Workload<'_>, exceeded: &Exceeded<'_>, refusal: &Refusal<'_>) -> Finding {
    let name = exceeded.quota;
    let first = (&exceeded.resource, &exceeded.each);
    let (used, limit) = (exceeded.used.clone(), exceeded.limit.clone());
    let object = ObjectName::namespaced("ResourceQuota", workload.namespace(), name);
    let entry = view.facts.case.entry(&object);
    let hard = view
        .facts
        .case
        .get::<ResourceQuota>(name)
        .and_then(|quota| quota.spec.as_ref()?.hard.as_ref()?.get(first.0).map(|q| q.0.clone()));
    let to = exceeded
        .amount(&used)
        .zip(exceeded.amount(first.1))
        .map(|(used, one)| used.saturating_add(one.saturating_mul(lacking(workload))))
        .map(|sum| {
            if first.0.contains("memory") || first.0.contains("storage") {
                quantity::show_bytes(sum)
            } else if first.0.contains("cpu") {
                format!("{sum}m")
            } else {
                sum.to_string()
            }
        });
    if let Some((used, hard)) = room_again(view, exceeded) {
        return claim("QuotaExceeded", &object, Depth::Symptom, Basis::Stated, 1)
            .says(format!(
                "pods of {} were refused for ResourceQuota {name}, which has room again ({used} of {hard} of {} used): their controller tries again after pauses that grow to a quarter of an hour",
                workload.name, first.0
            ))
            .cites([refusal.evidence, workload.evidence].into_iter().chain(entry.map(|entry| entry.evidence.as_str())))
            .affects([workload.name.clone()])
            .since(refusal.first)
            .done();
    }
    claim("QuotaExceeded", &object, Depth::Fault, Basis::Stated, 1 + u8::from(entry.is_some()))
        .says(format!(
            "ResourceQuota {name} is used up: pods of {} are refused, because {} is limited to {limit}, {used} are used and each pod requests {}",
            workload.name, first.0, first.1
        ))
        .cites([refusal.evidence, workload.evidence].into_iter().chain(entry.map(|entry| entry.evidence.as_str())))
        .affects([workload.name.clone()])
        .since(refusal.first)
        .remedy(Remedy::Quota {
            quota: object.clone(),
            resource: first.0.clone(),
            from: hard.unwrap_or(limit),
            to,
        })
        .long_term(format!("agree on quota and replicas: {} wants {} pods", workload.name, workload.desired.unwrap_or(1)))
        .done()
}
