//! Containers held at their CPU limit under load: slow or refused requests while usage stands at the limit.
//!
//! Evidence: usage from the metrics API beside the limit, and what the log says of slow, late or refused requests. Looks alike: a
//! program that is busy without anybody waiting (no claim without such lines, or failing probes), and one that waits for another.

use std::collections::BTreeMap;

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::case_file::Usage;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::Signature;
use crate::diagnosis::quantity;
use crate::diagnosis::remedy::{ContainerRef, Remedy};
use crate::text::clip;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[known(
    "CpuThrottled",
    "A container is held at its CPU limit while requests wait.",
    "Usage beside the limit, slow or refused requests in the log, probes that time out.",
    "A busy program that nobody waits for; one that waits for another.",
)];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut by_workload: BTreeMap<&ObjectName, Vec<&Usage>> = BTreeMap::new();
    for usage in view.facts.case.usage() {
        let pod = ObjectName::namespaced("Pod", usage.namespace.clone(), usage.pod.clone());
        if let Some(workload) = view.facts.workload(&pod) {
            by_workload.entry(&workload.name).or_default().push(usage);
        }
    }
    by_workload
        .into_iter()
        .filter_map(|(name, usage)| throttled(view, view.facts.workload(name)?, &usage))
        .collect()
}

fn throttled(view: &View<'_>, workload: &Workload<'_>, all: &[&Usage]) -> Option<Finding> {
    let mut at_limit: Vec<(&str, &str, u64, u64, &str)> = Vec::new();
    let mut measured = 0;
    for usage in all {
        let Some(limit_text) = workload
            .container(&usage.container)
            .and_then(|c| super::memory::limit_of(c, "cpu"))
        else {
            continue;
        };
        let Some(limit) = quantity::cpu_millis(limit_text).filter(|limit| *limit > 0) else {
            continue;
        };
        measured += 1;
        if usage.cpu_millis * 100 >= limit * 85 {
            at_limit.push((&usage.pod, limit_text, usage.cpu_millis, limit, &usage.evidence));
        }
    }
    // Most of its pods, not one of many.
    if at_limit.is_empty() || at_limit.len() * 2 < measured {
        return None;
    }
    let container = all
        .iter()
        .find(|usage| at_limit.iter().any(|(pod, ..)| *pod == usage.pod))
        .map(|usage| usage.container.clone())?;
    let (_, limit_text, used, _, usage_evidence) = at_limit.first().copied()?;
    let slow = view
        .logs
        .of(&workload.name)
        .filter(|(_, group, _)| matches!(group.signature, Signature::Overload | Signature::TimedOut) && group.ongoing)
        .max_by_key(|(_, group, _)| group.count);
    let probe = view.facts.events_around(workload).find(|event| {
        event.reason == "Unhealthy" && (event.message.contains("timeout") || event.message.contains("deadline"))
    });
    let symptom = match (&slow, probe) {
        (Some((_, group, _)), _) if group.count >= 2 => format!(
            "its log tells of slow or refused requests ({} times: \"{}\")",
            group.count,
            clip(&group.sample, 160)
        ),
        (_, Some(event)) => format!("its probes time out ({} times)", event.count),
        _ => return None,
    };
    let spec = workload.container(&container);
    let request = spec.and_then(|c| c.resources.as_ref()?.requests.as_ref()?.get("cpu").map(|q| q.0.clone()));
    let replicas = workload.desired.unwrap_or(1).max(1);
    let scalable = matches!(workload.name.kind.as_str(), "Deployment" | "StatefulSet");
    let scaler = view
        .graph
        .edges(&workload.name)
        .iter()
        .find(|edge| edge.verb == "is scaled by");
    let remedy = if let Some(scaler) = scaler {
        let maximum = view
            .facts
            .case
            .get::<k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler>(&scaler.to.name)
            .and_then(|hpa| hpa.spec.as_ref())
            .map_or(replicas, |spec| spec.max_replicas);
        (replicas >= maximum).then(|| Remedy::HpaMaximum {
            hpa: scaler.to.clone(),
            from: maximum,
            to: maximum.saturating_mul(2).max(maximum.saturating_add(2)).min(50),
        })
    } else if scalable {
        Some(Remedy::ScaleOut {
            workload: workload.name.clone(),
            from: replicas,
            to: replicas.saturating_mul(2).max(replicas.saturating_add(2)).min(50),
            container: container.clone(),
            cpu_limit: Some(limit_text.to_owned()),
            cpu_request: request,
        })
    } else {
        let raised = quantity::cpu_millis(limit_text).map(|millis| format!("{}m", millis.saturating_mul(2)));
        Some(Remedy::Resources {
            container: ContainerRef {
                workload: workload.name.clone(),
                container: container.clone(),
            },
            field: "limits.cpu".to_owned(),
            from: Some(limit_text.to_owned()),
            to: raised,
        })
    };
    let slow_evidence = slow.map(|(_, _, evidence)| evidence);
    Some(
        claim("CpuThrottled", &workload.name, Depth::Fault, Basis::Inferred, 1 + u8::from(slow_evidence.is_some()) + u8::from(slow.is_some_and(|(_, group, _)| group.count >= 5)))
            .says(format!(
                "container {container} of {} is held at its CPU limit: it uses {used}m of {limit_text} with {replicas} replicas, and {symptom}",
                workload.name
            ))
            .cites([usage_evidence, workload.evidence].into_iter().chain(slow_evidence).chain(probe.map(|event| event.evidence.as_str())))
            .since(slow.and_then(|(_, group, _)| group.first))
            .remedy(remedy)
            .done(),
    )
}
