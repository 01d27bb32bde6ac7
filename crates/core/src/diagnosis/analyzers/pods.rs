//! Symptoms of pods: not ready, restarting, held by a readiness gate, not going away. What they suffer from is for the other analyzers to say.
//!
//! Evidence: pod and workload status. Looks alike: a rollout that is only starting (young pods without any error are left alone), and
//! restarts of long ago that have ended.

use k8s_openapi::api::core::v1::ContainerStatus;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{KnownCause, View, claim, known};
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{PodFacts, Workload, ended, waiting};
use crate::diagnosis::finding::{Depth, Finding};

/// Pods younger than this, without any error, are starting.
const STARTING_SECS: i64 = 30;
/// A restart longer ago than this, of a pod that is ready since, is over.
const RECENT_MINS: i64 = 30;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "NotReady",
        "A workload has fewer ready pods than it should; what for is said by another cause.",
        "Status of the workload and conditions of its pods.",
        "A rollout that has only begun: young pods without any error are left alone.",
    ),
    known(
        "Restarting",
        "A container ends and is started again.",
        "Restart count and the last end in the container's status.",
        "Restarts of long ago in a pod that is ready since.",
    ),
    known(
        "ReadinessGateNotMet",
        "The pod's containers are ready, and a readiness gate of the pod is not: what should set its condition does not.",
        "spec.readinessGates, condition Ready with reason ReadinessGatesNotReady.",
        "A readiness probe that fails.",
    ),
    known(
        "StuckTerminating",
        "A pod is being deleted for longer than its grace period.",
        "deletionTimestamp and finalizers of the pod.",
        "A pod that uses its grace period.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let now = view.facts.case.now();
    let mut found = Vec::new();
    for workload in &view.facts.workloads {
        found.extend(not_ready(workload, now));
        found.extend(restarting(workload, now));
        found.extend(gates(workload));
        found.extend(stuck(workload, now));
    }
    found
}

fn not_ready(workload: &Workload<'_>, now: Timestamp) -> Option<Finding> {
    let desired = usize::try_from(workload.desired?).unwrap_or(0);
    let ready = workload.ready();
    if !workload.is_service() || ready >= desired {
        return None;
    }
    let unready: Vec<&PodFacts<'_>> = workload
        .pods
        .iter()
        .filter(|pod| !pod.is_ready() && !pod.is_over())
        .collect();
    let starting = !unready.is_empty() && unready.iter().all(|pod| is_starting(pod, now));
    if starting {
        return None;
    }
    let since = unready
        .iter()
        .filter_map(|pod| pod.condition("Ready").and_then(|(_, at)| at))
        .min();
    Some(
        claim("NotReady", &workload.name, Depth::Symptom, Basis::Stated, 2)
            .says(format!("{}: {ready} of {desired} pods ready", workload.name))
            .cites(std::iter::once(workload.evidence).chain(unready.iter().map(|pod| pod.evidence)))
            .since(since)
            .done(),
    )
}

/// Whether a pod is so young, and so calm, that it may simply not have come up yet.
pub(super) fn is_starting(pod: &PodFacts<'_>, now: Timestamp) -> bool {
    let young = pod
        .created()
        .is_some_and(|created| now.duration_since(created) < SignedDuration::from_secs(STARTING_SECS));
    let calm = pod.statuses().all(|(status, _)| {
        status.restart_count == 0
            && ended(status).is_none_or(|end| end.exit_code == 0)
            && waiting(status).is_none_or(|(reason, _)| matches!(reason, "" | "ContainerCreating" | "PodInitializing"))
    });
    young && calm && pod.condition("PodScheduled").is_none_or(|(status, _)| status == "True")
}

/// Whether a container's last end still counts.
pub(super) fn is_recent(pod: &PodFacts<'_>, finished: Option<Timestamp>, now: Timestamp) -> bool {
    !pod.is_ready() || finished.is_none_or(|at| now.duration_since(at) < SignedDuration::from_mins(RECENT_MINS))
}

/// Whether a container that ended by itself has come through: its pod is ready, and this run is well past the length of the last.
pub(super) fn recovered(pod: &PodFacts<'_>, status: &ContainerStatus, now: Timestamp) -> bool {
    let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let run = status.state.as_ref().and_then(|state| state.running.as_ref());
    let (Some(last), Some(run)) = (last, run) else {
        return false;
    };
    let lasted = last
        .started_at
        .as_ref()
        .zip(last.finished_at.as_ref())
        .map_or(0, |(start, end)| end.0.duration_since(start.0).as_secs());
    let runs = run
        .started_at
        .as_ref()
        .map_or(0, |at| now.duration_since(at.0).as_secs());
    // What was killed (for memory, by a probe) says nothing of the program.
    let killed = last.reason.as_deref() == Some("OOMKilled") || matches!(last.exit_code, 137 | 143);
    pod.is_ready() && status.restart_count <= 2 && !killed && runs >= 10 && runs > lasted.saturating_mul(2)
}

fn restarting(workload: &Workload<'_>, now: Timestamp) -> Option<Finding> {
    let worst = workload
        .pods
        .iter()
        .flat_map(|pod| pod.statuses().map(move |(status, _)| (pod, status)))
        .filter(|(pod, status)| status.restart_count > 0 && !recovered(pod, status, now))
        .filter_map(|(pod, status)| ended(status).map(|end| (pod, status, end)))
        .filter(|(pod, _, end)| is_recent(pod, end.finished, now) && (end.exit_code != 0 || !pod.is_ready()))
        .max_by_key(|(_, status, _)| status.restart_count)?;
    let (pod, status, end) = worst;
    let reason = if end.reason.is_empty() {
        String::new()
    } else {
        format!(", {}", end.reason)
    };
    Some(
        claim("Restarting", &workload.name, Depth::Symptom, Basis::Stated, 2)
            .says(format!(
                "container {} of {} restarted {} times, last exit code {}{reason}",
                status.name, pod.name, status.restart_count, end.exit_code
            ))
            .cites([pod.evidence])
            .since(end.started)
            .done(),
    )
}

/// Containers are ready, and something outside the pod has not agreed.
fn gates(workload: &Workload<'_>) -> Option<Finding> {
    let (pod, gate) = workload.pods.iter().filter(|pod| !pod.is_going()).find_map(|pod| {
        let gates = pod.pod.spec.as_ref()?.readiness_gates.as_ref()?;
        let inside = pod
            .condition("ContainersReady")
            .is_some_and(|(status, _)| status == "True");
        let unmet = gates.iter().find(|gate| {
            pod.condition(&gate.condition_type)
                .is_none_or(|(status, _)| status != "True")
        })?;
        (inside && !pod.is_ready()).then_some((pod, unmet.condition_type.as_str()))
    })?;
    let state = pod
        .condition(gate)
        .map_or("is set by nobody".to_owned(), |(status, _)| format!("is {status}"));
    Some(
        claim("ReadinessGateNotMet", &workload.name, Depth::Fault, Basis::Stated, 1)
            .says(format!(
                "pods of {} are not ready although their containers are: the condition of their readiness gate {gate} {state}",
                workload.name
            ))
            .cites([pod.evidence, workload.evidence])
            .since(pod.condition("ContainersReady").and_then(|(_, at)| at))
            .manual(format!("see why the controller that sets the condition {gate} does not (a load balancer's controller, its health check), or remove the readiness gate"))
            .done(),
    )
}

fn stuck(workload: &Workload<'_>, now: Timestamp) -> Option<Finding> {
    let pod = workload.pods.iter().find(|pod| {
        let grace = pod.pod.metadata.deletion_grace_period_seconds.unwrap_or(30);
        pod.pod
            .metadata
            .deletion_timestamp
            .as_ref()
            .is_some_and(|at| now.duration_since(at.0) > SignedDuration::from_secs(grace.clamp(0, 3600) + 60))
    })?;
    let finalizers = pod.pod.metadata.finalizers.as_deref().unwrap_or_default();
    let why = if finalizers.is_empty() {
        "its containers do not end, or its node does not answer".to_owned()
    } else {
        format!("it waits for the finalizers {}", finalizers.join(", "))
    };
    Some(
        claim("StuckTerminating", &workload.name, Depth::Fault, Basis::Stated, 0)
            .says(format!(
                "{} is being deleted for longer than its grace period: {why}",
                pod.name
            ))
            .cites([pod.evidence])
            .manual(format!(
                "find out why {} does not go away before forcing it: {why}",
                pod.name
            ))
            .done(),
    )
}
