//! Nodes that are not ready or short of memory, disk or process ids, and that run or would run the namespace's pods.
//!
//! Evidence: node conditions. Looks alike: a node that nobody of this namespace uses; it is left alone.

use k8s_openapi::api::core::v1::Node;

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::finding::{Depth, Finding};
use crate::text::clip;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "NodeNotReady",
        "A node that runs the pods is not ready.",
        "Condition Ready of the node.",
        "A node that nobody of this namespace uses.",
    ),
    known(
        "NodeUnderPressure",
        "A node that runs the pods is short of memory, disk or process ids, or has no network.",
        "Conditions of the node.",
        "A pod at its own limit.",
    ),
];

/// Nodes that take no new pods because a person or a program said so, each with its evidence.
pub(super) fn cordoned<'v>(view: &'v View<'_>) -> Vec<(&'v ObjectName, &'v str)> {
    view.facts
        .case
        .all::<Node>()
        .filter(|(_, node, _)| node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)))
        .map(|(name, _, id)| (name, id))
        .collect()
}

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, node, evidence) in view.facts.case.all::<Node>() {
        let on_it: Vec<_> = view
            .facts
            .workloads
            .iter()
            .filter(|workload| {
                workload.pods.iter().any(|pod| {
                    !pod.is_ready()
                        && !pod.is_over()
                        && pod.pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(name.name.as_str())
                })
            })
            .collect();
        if on_it.is_empty() {
            continue;
        }
        for condition in node
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_ref())
            .into_iter()
            .flatten()
        {
            let bad = match condition.type_.as_str() {
                "Ready" => condition.status != "True",
                "MemoryPressure" | "DiskPressure" | "PIDPressure" | "NetworkUnavailable" => condition.status == "True",
                _ => false,
            };
            if !bad {
                continue;
            }
            let category = if condition.type_ == "Ready" {
                "NodeNotReady"
            } else {
                "NodeUnderPressure"
            };
            for workload in &on_it {
                found.push(
                    claim(category, name, Depth::Fault, Basis::Stated, 1)
                        .says(format!(
                            "{name}, which runs pods of {}, reports {}={}: {}",
                            workload.name,
                            condition.type_,
                            condition.status,
                            clip(condition.message.as_deref().unwrap_or_default(), 200)
                        ))
                        .cites([evidence, workload.evidence])
                        .affects([workload.name.clone()])
                        .since(condition.last_transition_time.as_ref().map(|time| time.0))
                        .manual(format!(
                            "repair or replace {name}; its pods can be moved by draining it"
                        ))
                        .done(),
                );
            }
        }
    }
    found
}
