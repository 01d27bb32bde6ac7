//! Containers held at their CPU limit under load: slow or refused requests while usage stands at the limit.
//!
//! Evidence: usage from the metrics API beside the limit, or the part of its periods in which a Prometheus measured it held (a program
//! of many threads is held long before its mean usage reaches the limit), and what the log says of slow, late or refused requests.
//! Looks alike: a program that is busy without anybody waiting (no claim without such lines, or failing probes), and one that waits for
//! another.

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
use crate::metrics::Metric;
use crate::text::clip;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[known(
    "CpuThrottled",
    "A container is held at its CPU limit while requests wait.",
    "Usage beside the limit or periods in which it was held, slow or refused requests in the log, probes that time out.",
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
    for workload in &view.facts.workloads {
        if view
            .facts
            .case
            .measured(&workload.name, Metric::CpuThrottling)
            .is_some()
        {
            by_workload.entry(&workload.name).or_default();
        }
    }
    by_workload
        .into_iter()
        .filter_map(|(name, usage)| throttled(view, view.facts.workload(name)?, &usage))
        .collect()
}

/// Of its periods, so much is held where it counts.
const HELD: f64 = 0.25;
/// Seconds before the look that count.
const LATELY: f64 = 300.0;

/// A container that most of its pods are held in, lately: its name, the part of its periods, what shows it.
fn held<'v>(view: &'v View<'_>, workload: &Workload<'_>) -> Option<(&'v str, f64, &'v str)> {
    let case = view.facts.case;
    let measured = case.measured(&workload.name, Metric::CpuThrottling)?;
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
    let now = case.now().as_second() as f64;
    let mut by_container: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for series in &measured.series {
        let lately = series.points.iter().rev().take_while(|(at, _)| *at >= now - LATELY);
        let mut parts: Vec<f64> = lately
            .map(|(_, part)| *part)
            .filter(|part| (0.0..=1.0).contains(part))
            .collect();
        parts.sort_by(f64::total_cmp);
        if let Some(middle) = parts.get(parts.len() / 2) {
            by_container.entry(&series.container).or_default().push(*middle);
        }
    }
    by_container
        .into_iter()
        .filter_map(|(container, parts)| {
            let most = parts.iter().copied().fold(0.0, f64::max);
            let many = parts.iter().filter(|part| **part >= HELD).count();
            (many > 0 && many * 2 >= parts.len()).then_some((container, most, measured.evidence.as_str()))
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))
}

/// How many of its requests end with an error lately, where a Prometheus counts them: a part of all, and what shows it.
fn failing<'v>(view: &'v View<'_>, workload: &Workload<'_>) -> Option<(f64, &'v str)> {
    let case = view.facts.case;
    let last = |metric| -> Option<(f64, &'v str)> {
        let measured = case.measured(&workload.name, metric)?;
        let last = measured.series.iter().filter_map(|one| one.points.last());
        Some((last.map(|(_, rate)| *rate).sum(), measured.evidence.as_str()))
    };
    let ((all, _), (errors, evidence)) = (last(Metric::Requests)?, last(Metric::RequestErrors)?);
    (all > 0.0 && errors >= all * 0.05).then_some(((errors / all).min(1.0), evidence))
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
    let by_usage = at_limit.first().copied().filter(|_| at_limit.len() * 2 >= measured);
    let held = held(view, workload);
    let container = match (by_usage, held) {
        (Some((pod, ..)), _) => all.iter().find(|usage| usage.pod == pod)?.container.clone(),
        (None, Some((container, ..))) => container.to_owned(),
        (None, None) => return None,
    };
    let limit_text = workload
        .container(&container)
        .and_then(|c| super::memory::limit_of(c, "cpu"))?;
    let held = held.filter(|(name, ..)| *name == container);
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
    let uses = by_usage.map(|(_, _, used, ..)| format!("it uses {used}m of {limit_text}"));
    let was_held = held.map(|(_, part, _)| {
        format!(
            "it was held in {:.0} % of its periods of the last minutes (limit {limit_text})",
            part * 100.0
        )
    });
    let shown: Vec<String> = uses.into_iter().chain(was_held).collect();
    let failing = failing(view, workload);
    let errors = failing.map_or(String::new(), |(part, _)| {
        format!("; {:.0} % of its requests end with an error", part * 100.0)
    });
    let agreeing = u8::from(by_usage.is_some())
        + u8::from(held.is_some())
        + u8::from(slow_evidence.is_some())
        + u8::from(slow.is_some_and(|(_, group, _)| group.count >= 5));
    let cited = [
        by_usage.map(|(.., evidence)| evidence),
        Some(workload.evidence),
        held.map(|(.., evidence)| evidence),
        failing.map(|(_, evidence)| evidence),
        slow_evidence,
        probe.map(|event| event.evidence.as_str()),
    ];
    Some(
        claim("CpuThrottled", &workload.name, Depth::Fault, Basis::Inferred, agreeing)
            .says(format!(
                "container {container} of {} is held at its CPU limit: {} with {replicas} replicas, and {symptom}{errors}",
                workload.name,
                shown.join(", and ")
            ))
            .cites(cited.into_iter().flatten())
            .since(slow.and_then(|(_, group, _)| group.first))
            .remedy(remedy)
            .done(),
    )
}
