//! Pods that no scheduler takes up, that a kubelet refuses, or that had to make room: gates, an unknown scheduler, a named node that
//! does not exist, preemption, a node that shuts down.
//!
//! Evidence: the pod's spec, conditions, reason and events. Looks alike: a pod for which no node fits, which is `scheduling`'s, and one
//! that is so young that the scheduler has not seen it.

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::SignedDuration;

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::case_file::EventRecord;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{PodFacts, Workload};
use crate::diagnosis::finding::{Depth, Finding};
use crate::sandbox::command::Resource;
use crate::text::clip;

/// A pod that is older and that no scheduler has spoken of waits for one in vain.
const UNSEEN_SECS: i64 = 30;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "SchedulingGated",
        "The pod has scheduling gates, and whoever should remove them does not.",
        "Condition PodScheduled with reason SchedulingGated, spec.schedulingGates.",
        "A pod that no node fits.",
    ),
    known(
        "SchedulerMissing",
        "The pod names a scheduler that does not run.",
        "spec.schedulerName, no word of any scheduler about the pod.",
        "A pod that is a few seconds old.",
    ),
    known(
        "NodeMissing",
        "The pod names a node (spec.nodeName) that does not exist.",
        "The pod beside a complete list of nodes.",
        "A node selector that no node fits: that goes through the scheduler.",
    ),
    known(
        "Preempted",
        "Pods had to make room for pods of a higher priority, and find no room themselves.",
        "Preempted events, condition DisruptionTarget.",
        "An eviction by the kubelet; a request that no node could ever fulfil.",
    ),
    known(
        "RefusedByKubelet",
        "The node's kubelet refuses pods that were assigned to it: out of a resource, a label that has changed, a device that is gone.",
        "Failed pods with the kubelet's reason (OutOfcpu, NodeAffinity, UnexpectedAdmissionError).",
        "Evicted pods, which ran before.",
    ),
    known(
        "NodeShutDown",
        "The node that ran the pods was shut down.",
        "Pods with reason Terminated or NodeShutdown.",
        "Exit code 137 of a memory kill or a liveness probe.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let preemptions: Vec<&EventRecord> = view
        .facts
        .case
        .events()
        .iter()
        .filter(|event| event.reason == "Preempted" && event.object.kind == "Pod")
        .collect();
    let mut found = Vec::new();
    for workload in &view.facts.workloads {
        found.extend(gated(workload));
        found.extend(without_scheduler(view, workload));
        found.extend(without_node(view, workload));
        if is_short(workload) {
            found.extend(preempted(workload, &preemptions));
            found.extend(refused(workload));
        }
    }
    found
}

/// Fewer pods are ready than there should be.
fn is_short(workload: &Workload<'_>) -> bool {
    let desired = usize::try_from(workload.desired.unwrap_or(1)).unwrap_or(0);
    workload.ready() < desired && workload.pods.iter().all(|pod| pod.phase() != "Succeeded")
}

fn waits<'p, 'a>(workload: &'p Workload<'a>) -> impl Iterator<Item = &'p PodFacts<'a>> {
    workload
        .pods
        .iter()
        .filter(|pod| pod.phase() == "Pending" && !pod.is_going())
}

fn gated(workload: &Workload<'_>) -> Option<Finding> {
    let (pod, gates) = waits(workload).find_map(|pod| {
        let gates: Vec<&str> = pod
            .pod
            .spec
            .as_ref()?
            .scheduling_gates
            .as_ref()?
            .iter()
            .map(|gate| gate.name.as_str())
            .collect();
        (!gates.is_empty()).then_some((pod, gates.join(", ")))
    })?;
    Some(
        claim("SchedulingGated", &workload.name, Depth::Fault, Basis::Stated, 1)
            .says(format!(
                "pods of {} are not scheduled: they still have the scheduling gates {gates}, which their controller should remove",
                workload.name
            ))
            .cites([pod.evidence, workload.evidence])
            .since(pod.created())
            .manual(format!("see why the controller that owns the gate {gates} does not remove it"))
            .done(),
    )
}

fn without_scheduler(view: &View<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let now = view.facts.case.now();
    let (pod, name) = waits(workload).find_map(|pod| {
        let spec = pod.pod.spec.as_ref()?;
        let name = spec
            .scheduler_name
            .as_deref()
            .filter(|name| *name != "default-scheduler")?;
        let old = pod
            .created()
            .is_some_and(|at| now.duration_since(at) >= SignedDuration::from_secs(UNSEEN_SECS));
        let unseen = pod.condition("PodScheduled").is_none() && view.facts.events(pod.name).is_empty();
        (spec.node_name.is_none() && old && unseen).then_some((pod, name))
    })?;
    let events = view.facts.case.complete_list(Resource::Events)?;
    Some(
        claim("SchedulerMissing", &workload.name, Depth::Fault, Basis::Inferred, 2)
            .says(format!(
                "pods of {} are not scheduled: they ask for the scheduler {name}, and no scheduler of that name takes them up",
                workload.name
            ))
            .cites([pod.evidence, workload.evidence, events])
            .since(pod.created())
            .manual(format!("correct schedulerName, or start the scheduler {name}"))
            .done(),
    )
}

fn without_node(view: &View<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let nodes = view.facts.case.complete_list(Resource::Nodes)?;
    // What a scheduler has chosen stands in the pod, what a person has chosen in the template too.
    let by_hand = workload.template.is_some() || waits(workload).next().is_some();
    let wanted = workload.pod_spec()?.node_name.as_deref().filter(|_| by_hand)?;
    let known: Vec<&str> = view
        .facts
        .case
        .all::<Node>()
        .map(|(name, _, _)| name.name.as_str())
        .collect();
    if known.is_empty() || known.contains(&wanted) || workload.ready() > 0 {
        return None;
    }
    let near = crate::diagnosis::similar::closest(wanted, known);
    let hint = near
        .first()
        .map_or(String::new(), |other| format!("; node {other} exists"));
    Some(
        claim("NodeMissing", &workload.name, Depth::Fault, Basis::Inferred, 2)
            .says(format!(
                "pods of {} name the node {wanted} (nodeName), which does not exist{hint}",
                workload.name
            ))
            .cites(
                [workload.evidence, nodes]
                    .into_iter()
                    .chain(waits(workload).map(|pod| pod.evidence)),
            )
            .manual("remove nodeName, so that the scheduler chooses, or name a node that exists")
            .done(),
    )
}

/// Pods that made room are deleted: only their events, which carry their names, tell of them.
fn preempted(workload: &Workload<'_>, preemptions: &[&EventRecord]) -> Option<Finding> {
    waits(workload).next()?;
    let mut owners: Vec<&str> = workload
        .revisions
        .iter()
        .map(|revision| revision.name.name.as_str())
        .collect();
    owners.push(&workload.name.name);
    let is_ours = |pod: &ObjectName| {
        owners.iter().any(|owner| {
            pod.name
                .strip_prefix(owner)
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|rest| rest.split('-').all(|part| part.len() <= 10))
        })
    };
    let event = preemptions
        .iter()
        .filter(|event| is_ours(&event.object))
        .max_by_key(|event| event.last)?;
    let priority = workload
        .pod_spec()
        .and_then(|spec| spec.priority_class_name.as_deref())
        .unwrap_or("none");
    Some(
        claim("Preempted", &workload.name, Depth::Fault, Basis::Stated, 2)
            .says(format!(
                "pods of {} were preempted: they had to make room for pods of a higher priority, and now no node has room for them (their priority class: {priority}; {})",
                workload.name,
                clip(&event.message, 160)
            ))
            .cites([event.evidence.as_str(), workload.evidence].into_iter().chain(waits(workload).map(|pod| pod.evidence)))
            .since(event.first)
            .manual("add room, or give the pods the priority that they deserve; see which pods have a higher one")
            .done(),
    )
}

fn refused(workload: &Workload<'_>) -> Option<Finding> {
    let (pod, reason) = workload.pods.iter().find_map(|pod| {
        let reason = pod.pod.status.as_ref()?.reason.as_deref()?;
        (pod.phase() == "Failed").then_some((pod, reason))
    })?;
    let message = pod
        .pod
        .status
        .as_ref()
        .and_then(|status| status.message.as_deref())
        .unwrap_or_default();
    let node = pod
        .pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .unwrap_or("its node");
    let (category, what, advice) = match reason {
        "Terminated" | "NodeShutdown" | "Shutdown" if message.contains("shut") => (
            "NodeShutDown",
            format!("{node} was shut down"),
            "see whether the node comes back, and whether another has room for the pods",
        ),
        "NodeAffinity" | "NodePorts" | "UnexpectedAdmissionError" | "Topology" => (
            "RefusedByKubelet",
            format!("the kubelet of {node} refuses them"),
            "see the kubelet's message: labels, devices or ports of the node are not what the scheduler saw",
        ),
        _ if reason.starts_with("OutOf") => (
            "RefusedByKubelet",
            format!("the kubelet of {node} refuses them"),
            "the node has less than the scheduler saw: see what runs on it outside the scheduler's sight (nodeName, static pods)",
        ),
        _ => return None,
    };
    Some(
        claim(category, &workload.name, Depth::Fault, Basis::Stated, 1)
            .says(format!(
                "pods of {} have failed: {what}: {reason}: {}",
                workload.name,
                clip(message, 240)
            ))
            .cites([pod.evidence, workload.evidence])
            .since(pod.created())
            .manual(advice)
            .done(),
    )
}
