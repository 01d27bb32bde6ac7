//! Autoscalers that cannot work: no requests to compute from, no target, no metrics, at their maximum.
//!
//! Evidence: the autoscaler's conditions, the requests of what it scales. Looks alike: an autoscaler in its first minute, before metrics
//! are there, and one that rests at its minimum because there is no load.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::remedy::{ContainerRef, Remedy};
use crate::diagnosis::similar::typo;
use crate::sandbox::command::Resource;
use crate::text::clip;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "HpaTargetMissing",
        "An autoscaler names a workload that it cannot scale.",
        "Condition AbleToScale.",
        "An autoscaler in its first minute.",
    ),
    known(
        "HpaWithoutRequests",
        "An autoscaler computes utilization and its containers have no request.",
        "Condition ScalingActive, requests of the containers.",
        "A metrics API that is missing.",
    ),
    known(
        "HpaWithoutMetrics",
        "An autoscaler gets no metrics.",
        "Condition ScalingActive and events.",
        "Containers without requests.",
    ),
    known(
        "HpaAtMaximum",
        "An autoscaler stands at its maximum and wants more.",
        "Condition ScalingLimited with TooManyReplicas.",
        "An autoscaler that rests at its minimum.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    view.facts
        .case
        .all::<HorizontalPodAutoscaler>()
        .filter_map(|(name, hpa, evidence)| judge(view, name, hpa, evidence))
        .collect()
}

fn judge(view: &View<'_>, name: &ObjectName, hpa: &HorizontalPodAutoscaler, evidence: &str) -> Option<Finding> {
    let spec = hpa.spec.as_ref()?;
    let conditions = hpa.status.as_ref()?.conditions.as_deref().unwrap_or_default();
    let condition = |type_: &str| conditions.iter().find(|condition| condition.type_ == type_);
    let target = ObjectName::namespaced(
        spec.scale_target_ref.kind.clone(),
        view.facts.case.namespace(),
        spec.scale_target_ref.name.clone(),
    );
    if let Some(bad) = condition("AbleToScale").filter(|c| c.status == "False") {
        return Some(
            claim("HpaTargetMissing", name, Depth::Fault, Basis::Stated, 1)
                .says(format!(
                    "{name} cannot scale {target}: {}",
                    clip(bad.message.as_deref().unwrap_or_default(), 240)
                ))
                .cites([evidence])
                .remedy(meant_target(view, name, &target))
                .done(),
        );
    }
    let failing =
        condition("ScalingActive").filter(|c| c.status == "False" && c.reason.as_deref() != Some("ScalingDisabled"));
    if let Some(failing) = failing {
        let resources: Vec<&str> = spec
            .metrics
            .iter()
            .flatten()
            .filter_map(|metric| metric.resource.as_ref())
            .filter(|resource| resource.target.average_utilization.is_some())
            .map(|resource| resource.name.as_str())
            .collect();
        let workload = view.facts.workload(&target);
        let without = workload.and_then(|workload| {
            resources.iter().find_map(|resource| {
                workload
                    .containers()
                    .iter()
                    .find(|container| {
                        let resources = container.resources.as_ref();
                        let has = |map: Option<&std::collections::BTreeMap<String, _>>| {
                            map.is_some_and(|map| map.contains_key(*resource))
                        };
                        // A limit alone becomes the request too.
                        !has(resources.and_then(|r| r.requests.as_ref()))
                            && !has(resources.and_then(|r| r.limits.as_ref()))
                    })
                    .map(|container| (workload, *resource, container.name.clone()))
            })
        });
        let event = view.facts.events(name).iter().copied().find(|event| event.warning);
        if let Some((workload, resource, container)) = without {
            return Some(
                claim("HpaWithoutRequests", &workload.name, Depth::Fault, Basis::Stated, 1 + u8::from(event.is_some()))
                    .says(format!(
                        "the autoscaler (HPA) {} cannot scale {}: it needs {resource} utilization, and container {container} has no {resource} request, so the metric cannot be computed",
                        name.name, workload.name
                    ))
                    .cites([evidence, workload.evidence].into_iter().chain(event.map(|event| event.evidence.as_str())))
                    .affects([name.clone()])
                    .remedy(Remedy::Resources {
                        container: ContainerRef {
                            workload: workload.name.clone(),
                            container,
                        },
                        field: format!("requests.{resource}"),
                        from: None,
                        to: measured(view, workload, resource),
                    })
                    .done(),
            );
        }
        return Some(
            claim(
                "HpaWithoutMetrics",
                name,
                Depth::Fault,
                Basis::Stated,
                u8::from(event.is_some()),
            )
            .says(format!(
                "the autoscaler (HPA) {} gets no metrics for {target}: {}",
                name.name,
                clip(failing.message.as_deref().unwrap_or_default(), 240)
            ))
            .cites([evidence].into_iter().chain(event.map(|event| event.evidence.as_str())))
            .manual("install or repair the metrics API (metrics-server or an adapter) that serves this metric")
            .done(),
        );
    }
    let limited =
        condition("ScalingLimited").filter(|c| c.status == "True" && c.reason.as_deref() == Some("TooManyReplicas"))?;
    let current = hpa
        .status
        .as_ref()
        .and_then(|status| status.current_replicas)
        .unwrap_or(0);
    (current >= spec.max_replicas).then(|| {
        claim("HpaAtMaximum", name, Depth::Fault, Basis::Stated, 0)
            .says(format!(
                "the autoscaler (HPA) {} stands at its maximum of {} replicas and wants more: {}",
                name.name,
                spec.max_replicas,
                clip(limited.message.as_deref().unwrap_or_default(), 200)
            ))
            .cites([evidence])
            .remedy(Remedy::HpaMaximum {
                hpa: name.clone(),
                from: spec.max_replicas,
                to: spec
                    .max_replicas
                    .saturating_mul(2)
                    .min(50)
                    .max(spec.max_replicas.saturating_add(1)),
            })
            .done()
    })
}

/// The workload that an autoscaler must mean: of the same name and another kind, or the one whose name differs by a slip.
fn meant_target(view: &View<'_>, hpa: &ObjectName, target: &ObjectName) -> Remedy {
    let case = view.facts.case;
    let manual = Remedy::Manual {
        instruction: format!("let {hpa} name a workload that exists"),
    };
    let complete = [Resource::Deployments, Resource::StatefulSets]
        .into_iter()
        .all(|resource| case.complete_list(resource).is_some());
    if !complete || case.entry(target).is_some() {
        return manual;
    }
    let scaled = |name: &&ObjectName| ["Deployment", "StatefulSet"].contains(&name.kind.as_str());
    let all: Vec<&ObjectName> = view
        .facts
        .workloads
        .iter()
        .map(|one| &one.name)
        .filter(scaled)
        .collect();
    let namesake = all.iter().copied().find(|other| other.name == target.name);
    let slip = || {
        let same_kind = all.iter().copied().filter(|other| other.kind == target.kind);
        let meant = typo(&target.name, same_kind.map(|other| other.name.as_str()))?;
        all.iter()
            .copied()
            .find(|other| other.kind == target.kind && other.name == meant)
    };
    let Some(meant) = namesake.or_else(slip) else {
        return manual;
    };
    let taken = case.all::<HorizontalPodAutoscaler>().any(|(_, other, _)| {
        other
            .spec
            .as_ref()
            .is_some_and(|spec| spec.scale_target_ref.kind == meant.kind && spec.scale_target_ref.name == meant.name)
    });
    if taken {
        return manual;
    }
    let path = |name: &ObjectName| format!("{}/{}", name.kind, name.name);
    let fix = Remedy::HpaTarget {
        hpa: hpa.clone(),
        from: path(target),
        to: Some(path(meant)),
    };
    fix.or(Some(manual))
}

/// A request from measured usage, with half as much again.
fn measured(view: &View<'_>, workload: &crate::diagnosis::facts::Workload<'_>, resource: &str) -> Option<String> {
    let usage = view
        .facts
        .case
        .usage()
        .iter()
        .filter(|usage| workload.pods.iter().any(|pod| pod.name.name == usage.pod))
        .max_by_key(|usage| usage.cpu_millis)?;
    match resource {
        "cpu" => Some(format!("{}m", (usage.cpu_millis * 3 / 2).max(10))),
        "memory" => Some(crate::diagnosis::quantity::show_bytes(usage.memory_bytes / 2 * 3)),
        _ => None,
    }
}
