//! Neighbours that take what a node has: a Job, or another workload, that uses most of a node's processors or memory while the target
//! on the same node is slow and far from its own limits.
//!
//! Evidence: usage from the metrics API beside the node's allocatable, where the pods run, what the target's log and probes say. Looks
//! alike: a target at its own CPU limit (`cpu`), a slow dependency (`dependencies`), and a busy neighbour that nobody suffers from.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Node;

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{PodFacts, Workload};
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::Signature;
use crate::diagnosis::quantity;
use crate::diagnosis::remedy::Remedy;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[known(
    "NoisyNeighbour",
    "Another workload takes most of the node's processors while the target on it is slow.",
    "Usage of both beside the node's allocatable; slow requests or probes that time out, since the neighbour began.",
    "A target at its own limit; a slow dependency; a busy neighbour that nobody suffers from.",
)];

/// Of a hundred parts of the node's processors.
const MOST: u64 = 50;
/// The node is short when this much of it is used.
const SHORT: u64 = 85;

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let nodes: BTreeMap<&ObjectName, &str> = view
        .facts
        .workloads
        .iter()
        .flat_map(|workload| &workload.pods)
        .filter_map(|pod| Some((pod.name, node_of(pod)?)))
        .collect();
    let mut used: BTreeMap<(&str, &ObjectName), (u64, &str)> = BTreeMap::new();
    let mut whole: BTreeMap<&str, u64> = BTreeMap::new();
    for usage in view.facts.case.usage() {
        let pod = ObjectName::namespaced("Pod", usage.namespace.clone(), usage.pod.clone());
        let Some(workload) = view.facts.workload(&pod) else {
            continue;
        };
        let Some(node) = nodes.get(&pod).copied() else { continue };
        let entry = used
            .entry((node, &workload.name))
            .or_insert((0, usage.evidence.as_str()));
        entry.0 += usage.cpu_millis;
        *whole.entry(node).or_default() += usage.cpu_millis;
    }
    let mut found = Vec::new();
    for (name, node, evidence) in view.facts.case.all::<Node>() {
        let Some(allocatable) = node
            .status
            .as_ref()
            .and_then(|status| status.allocatable.as_ref()?.get("cpu"))
            .and_then(|quantity| quantity::cpu_millis(&quantity.0))
            .filter(|millis| *millis > 0)
        else {
            continue;
        };
        if whole.get(name.name.as_str()).copied().unwrap_or(0) * 100 < allocatable * SHORT {
            continue;
        }
        let loud = used
            .iter()
            .filter(|((on, _), _)| *on == name.name)
            .max_by_key(|(_, (millis, _))| *millis);
        let Some(((_, neighbour), (millis, usage))) =
            loud.filter(|(_, (millis, _))| millis * 100 >= allocatable * MOST)
        else {
            continue;
        };
        let suffering: Vec<(&Workload<'_>, String, &str, Option<k8s_openapi::jiff::Timestamp>)> = view
            .facts
            .workloads
            .iter()
            .filter(|workload| workload.name != **neighbour)
            .filter(|workload| workload.pods.iter().any(|pod| node_of(pod) == Some(name.name.as_str())))
            .filter_map(|workload| suffers(view, workload))
            .collect();
        let Some((_, how, _, since)) = suffering.first() else {
            continue;
        };
        let job = view.facts.case.all::<Job>().find(|(job, ..)| {
            view.facts
                .workload(job)
                .is_some_and(|workload| workload.name == **neighbour)
        });
        let began = job
            .and_then(|(_, job, _)| job.status.as_ref()?.start_time.as_ref())
            .map(|time| time.0);
        let after = began.zip(*since).is_some_and(|(began, since)| since >= began);
        let remedy = if neighbour.kind == "CronJob" {
            Remedy::SuspendCronJob {
                cron_job: (*neighbour).clone(),
            }
        } else {
            Remedy::Manual {
                instruction: format!("give {neighbour} a CPU limit, or let it run on another node or at another time"),
            }
        };
        found.push(
            claim("NoisyNeighbour", neighbour, Depth::Fault, Basis::Inferred, 1 + u8::from(after) + u8::from(job.is_some()))
                .says(format!(
                    "{neighbour} uses {millis}m of the {allocatable}m processors of {name}{}; {} on the same node is squeezed: {how}",
                    began.map_or(String::new(), |at| format!(" since {at}")),
                    suffering.iter().map(|(workload, ..)| workload.name.to_string()).collect::<Vec<_>>().join(", ")
                ))
                .cites([*usage, evidence].into_iter().chain(suffering.iter().map(|(_, _, id, _)| *id)))
                .affects(suffering.iter().map(|(workload, ..)| workload.name.clone()))
                .since(began)
                .remedy(remedy)
                .long_term(format!("give {neighbour} requests and a CPU limit, so that it cannot take what others need"))
                .done(),
        );
    }
    found
}

fn node_of<'p>(pod: &'p PodFacts<'_>) -> Option<&'p str> {
    pod.pod.spec.as_ref()?.node_name.as_deref()
}

/// Whether a workload is slow or fails its probes in time; how it says so, by which evidence, since when.
fn suffers<'v>(
    view: &'v View<'_>,
    workload: &'v Workload<'_>,
) -> Option<(&'v Workload<'v>, String, &'v str, Option<k8s_openapi::jiff::Timestamp>)> {
    if let Some((_, group, evidence)) = view.logs.of(&workload.name).find(|(_, group, _)| {
        group.ongoing
            && group.count >= 3
            && matches!(
                group.signature,
                Signature::Overload | Signature::TimedOut | Signature::Stalled
            )
    }) {
        return Some((
            workload,
            format!("{} slow or late requests (\"{}\")", group.count, group.sample),
            evidence,
            group.first,
        ));
    }
    let event = view.facts.events_around(workload).find(|event| {
        event.reason == "Unhealthy" && (event.message.contains("timeout") || event.message.contains("deadline"))
    })?;
    Some((
        workload,
        format!("its probes time out ({} times)", event.count),
        event.evidence.as_str(),
        event.first,
    ))
}
