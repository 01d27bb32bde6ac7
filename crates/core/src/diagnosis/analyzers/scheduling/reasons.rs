//! What each part of the scheduler's message means for the pod, put beside the nodes, volumes and other pods. Called by `scheduling` alone.

use k8s_openapi::api::core::v1::{Node, NodeSelectorTerm, PersistentVolume};

use super::super::{Claim, View, nodes};
use crate::diagnosis::facts::{PodFacts, Workload};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::quantity;
use crate::diagnosis::remedy::{ContainerRef, Remedy};

/// The parts of the scheduler's message: how many nodes, and why. What follows "preemption:" is about evicting others, and repeats.
pub(super) fn clauses(message: &str) -> Vec<(u32, String)> {
    let head = message.split("preemption:").next().unwrap_or(message);
    let head = head.split_once("available:").map_or(head, |(_, rest)| rest);
    let head = head.split(". ").next().unwrap_or(head);
    let mut parts: Vec<(u32, String)> = Vec::new();
    for piece in head.split(", ").map(|piece| piece.trim().trim_end_matches('.')) {
        let (number, rest) = piece.split_once(' ').unwrap_or((piece, ""));
        match (number.parse::<u32>(), parts.last_mut()) {
            (Ok(count), _) => parts.push((count, rest.to_owned())),
            // A comma inside a reason.
            (Err(_), Some((_, last))) => {
                last.push_str(", ");
                last.push_str(piece);
            }
            (Err(_), None) => parts.push((0, piece.to_owned())),
        }
    }
    parts.retain(|(_, text)| !text.is_empty());
    parts
}

pub(super) fn is_control_plane(clause: &str) -> bool {
    clause.contains("node-role.kubernetes.io/control-plane") || clause.contains("node-role.kubernetes.io/master")
}

pub(super) fn selector(view: &View<'_>, workload: &Workload<'_>, pod: &PodFacts<'_>, fault: &Claim) -> Finding {
    let labels = pod
        .pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_selector.as_ref())
        .filter(|labels| !labels.is_empty());
    let wanted = match (labels, node_affinity(pod)) {
        (Some(labels), _) => {
            let pairs: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("nodeSelector {}", pairs.join(","))
        }
        (None, Some(terms)) => format!("required node affinity {terms}"),
        // Its spec as read holds none: changed since the scheduler spoke, or added by the scheduler's own configuration.
        (None, None) => "its node selector or affinity".to_owned(),
    };
    let nodes: Vec<(&Node, &str)> = view.facts.case.all::<Node>().map(|(_, node, id)| (node, id)).collect();
    let hint = labels
        .into_iter()
        .flatten()
        .find_map(|(key, value)| near_label(&nodes, key, value))
        .map_or(String::new(), |hint| format!("; {hint}"));
    fault
        .clone()
        .says(format!(
            "pods of {} cannot be scheduled: {wanted} matches no node (node selector/affinity){hint}",
            workload.name
        ))
        .cites(nodes.first().map(|(_, id)| *id))
        .manual(format!("correct or remove {wanted}, or label a node accordingly{hint}"))
        .done()
}

/// The pod's required node affinity, in words: terms are alternatives, and what stands in one holds together.
fn node_affinity(pod: &PodFacts<'_>) -> Option<String> {
    let affinity = pod.pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
    let terms: Vec<String> = required.node_selector_terms.iter().map(term).collect();
    (!terms.is_empty()).then(|| terms.join(" or "))
}

fn term(term: &NodeSelectorTerm) -> String {
    let all = term.match_expressions.iter().chain(&term.match_fields).flatten();
    let parts: Vec<String> = all
        .map(|wanted| {
            let values = wanted.values.as_deref().unwrap_or_default();
            match (wanted.operator.as_str(), values) {
                ("In", [value]) => format!("{}={value}", wanted.key),
                (operator, []) => format!("{} {operator}", wanted.key),
                (operator, values) => format!("{} {operator} {}", wanted.key, values.join("|")),
            }
        })
        .collect();
    parts.join(" and ")
}

/// What the nodes have instead of that label.
fn near_label(nodes: &[(&Node, &str)], key: &str, value: &str) -> Option<String> {
    let all = || nodes.iter().flat_map(|(node, _)| node.metadata.labels.iter().flatten());
    let values: std::collections::BTreeSet<&str> = all().filter(|(k, _)| *k == key).map(|(_, v)| v.as_str()).collect();
    if values.contains(value) || nodes.is_empty() {
        return None;
    }
    if !values.is_empty() {
        let shown: Vec<&str> = values.into_iter().take(4).collect();
        return Some(format!("the nodes have {key}={}", shown.join(", ")));
    }
    let keys: std::collections::BTreeSet<&str> = all().map(|(k, _)| k.as_str()).collect();
    let near = crate::diagnosis::similar::closest(key, keys);
    Some(match near.first() {
        Some(other) => format!("no node has the label {key}; they have {other}"),
        None => format!("no node has the label {key}"),
    })
}

pub(super) fn anti_affinity(view: &View<'_>, workload: &Workload<'_>, pods: &str, fault: &Claim) -> Finding {
    let nodes = view.facts.case.all::<Node>().count();
    let wanted = usize::try_from(workload.desired.unwrap_or(1)).unwrap_or(0);
    let rollout = nodes > 0 && wanted <= nodes && workload.ready() > 0;
    let (why, advice) = if rollout {
        (
            "the pods of the revision before still hold the nodes that their required pod anti-affinity leaves"
                .to_owned(),
            "let the rollout remove a pod before it adds one (maxSurge 0, maxUnavailable 1), or make the anti-affinity preferred",
        )
    } else {
        (
            format!(
                "required pod anti-affinity allows one replica for each topology domain, and there are fewer domains (nodes) than the {wanted} replicas"
            ),
            "make the anti-affinity preferred, lower the replicas, or add nodes",
        )
    };
    fault
        .clone()
        .says(format!("{pods} cannot be scheduled: {why}"))
        .manual(advice)
        .done()
}

/// What required pod affinity looks for, in words.
pub(super) fn affinity(workload: &Workload<'_>) -> String {
    let term = workload
        .pod_spec()
        .and_then(|spec| spec.affinity.as_ref()?.pod_affinity.as_ref())
        .and_then(|affinity| {
            affinity
                .required_during_scheduling_ignored_during_execution
                .as_ref()?
                .first()
        });
    let labels = term.and_then(|term| term.label_selector.as_ref()?.match_labels.as_ref());
    labels.map_or(String::new(), |labels| {
        let pairs: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        format!(" (it looks for pods labelled {})", pairs.join(","))
    })
}

/// A volume that only another node or zone can use.
pub(super) fn other_zone(
    view: &View<'_>,
    workload: &Workload<'_>,
    pod: &PodFacts<'_>,
    pods: &str,
    fault: &Claim,
) -> Finding {
    let claims: Vec<&str> = pod
        .pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten())
        .filter_map(|volume| volume.persistent_volume_claim.as_ref())
        .map(|source| source.claim_name.as_str())
        .collect();
    let volume = view.facts.case.all::<PersistentVolume>().find(|(_, pv, _)| {
        let spec = pv.spec.as_ref();
        spec.is_some_and(|spec| spec.node_affinity.is_some())
            && spec.and_then(|spec| spec.claim_ref.as_ref()).is_some_and(|claim| {
                claim.namespace.as_deref() == Some(workload.namespace())
                    && claim.name.as_deref().is_some_and(|name| claims.contains(&name))
            })
    });
    let place = volume.as_ref().and_then(|(_, pv, _)| {
        let terms = &pv
            .spec
            .as_ref()?
            .node_affinity
            .as_ref()?
            .required
            .as_ref()?
            .node_selector_terms;
        let expression = terms.first()?.match_expressions.as_ref()?.first()?;
        Some(format!(
            " to {}={}",
            expression.key,
            expression.values.as_deref().unwrap_or_default().join(",")
        ))
    });
    fault
        .clone()
        .says(format!(
            "{pods} cannot be scheduled: the volume of their claim {} is bound{} (volume node affinity), and no node there takes the pod",
            claims.join(", "),
            place.unwrap_or_else(|| " to another node or zone".to_owned())
        ))
        .cites(volume.map(|(_, _, id)| id))
        .manual("let the pods run where the volume is (node selector, a node in that zone), or move the data to a new claim")
        .done()
}

pub(super) fn insufficient(
    view: &View<'_>,
    workload: &Workload<'_>,
    pod: &PodFacts<'_>,
    resource: &str,
    fault: &Claim,
) -> Finding {
    let number = |text: &str| {
        if resource == "memory" || resource.contains("storage") {
            quantity::bytes(text)
        } else {
            quantity::cpu_millis(text)
        }
    };
    let requests: Vec<(&str, &str, u64)> = pod
        .pod
        .spec
        .iter()
        .flat_map(|spec| &spec.containers)
        .filter_map(|container| {
            let asked = container.resources.as_ref()?.requests.as_ref()?.get(resource)?;
            Some((container.name.as_str(), asked.0.as_str(), number(&asked.0)?))
        })
        .collect();
    let total: u64 = requests.iter().map(|(_, _, value)| *value).fold(0, u64::saturating_add);
    let nodes: Vec<(u64, &str, &str)> = view
        .facts
        .case
        .all::<Node>()
        .filter_map(|(_, node, id)| {
            let text = node.status.as_ref()?.allocatable.as_ref()?.get(resource)?.0.as_str();
            Some((number(text)?, text, id))
        })
        .collect();
    let biggest = nodes.iter().max_by_key(|(value, _, _)| *value);
    let asked = requests.iter().map(|(_, text, _)| *text).collect::<Vec<_>>().join("+");
    let never = biggest.is_some_and(|(value, _, _)| *value < total);
    let compare = match biggest {
        Some((_, text, _)) if never => format!(", more than any node has ({text})"),
        Some(_) => ", more than any node has free".to_owned(),
        None => String::new(),
    };
    let asked = if asked.is_empty() {
        "what they need".to_owned()
    } else {
        asked
    };
    let largest = requests.iter().max_by_key(|(_, _, value)| *value);
    let remedy = match largest {
        Some((container, text, _)) => Remedy::Resources {
            container: ContainerRef {
                workload: workload.name.clone(),
                container: (*container).to_owned(),
            },
            field: format!("requests.{resource}"),
            from: Some((*text).to_owned()),
            to: None,
        },
        None => Remedy::Manual {
            instruction: format!("add a node with enough {resource}"),
        },
    };
    fault
        .clone()
        .says(format!(
            "pods of {} cannot be scheduled: they request {asked} {resource}{compare}: insufficient {resource}",
            workload.name
        ))
        .cites(biggest.map(|(_, _, id)| *id))
        .remedy(remedy)
        .long_term(format!(
            "set the {resource} request to what the program uses, or let a cluster autoscaler add nodes"
        ))
        .done()
}

pub(super) fn taints(
    view: &View<'_>,
    taint: &str,
    pods: &str,
    workload: &Workload<'_>,
    pod: &PodFacts<'_>,
    fault: &Claim,
) -> Finding {
    if taint.contains("node.kubernetes.io/unschedulable") {
        return cordoned(view, pods, fault);
    }
    let tolerated = |key: &str| {
        pod.pod
            .spec
            .iter()
            .flat_map(|spec| spec.tolerations.iter().flatten())
            .any(|toleration| toleration.key.as_deref().is_none_or(|known| known == key))
    };
    // Since v1.34 the message does not say which taint.
    let on_node = |node: &Node| {
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
        taints.into_iter().flatten().find_map(|known| {
            let named = if taint.is_empty() {
                known.effect != "PreferNoSchedule" && !tolerated(&known.key) && !is_control_plane(&known.key)
            } else {
                taint.starts_with(known.key.as_str())
            };
            named.then(|| match &known.value {
                Some(value) if !value.is_empty() => format!("{}: {value}", known.key),
                _ => known.key.clone(),
            })
        })
    };
    let node = view
        .facts
        .case
        .all::<Node>()
        .find_map(|(name, node, id)| on_node(node).map(|shown| (name, shown, id)));
    let shown = match &node {
        Some((_, shown, _)) if taint.is_empty() => shown.clone(),
        _ => taint.trim().trim_end_matches(':').to_owned(),
    };
    let pressure = [
        "disk-pressure",
        "memory-pressure",
        "pid-pressure",
        "network-unavailable",
    ]
    .iter()
    .any(|word| shown.contains(word));
    let down = shown.contains("node.kubernetes.io/not-ready") || shown.contains("node.kubernetes.io/unreachable");
    if shown.contains("node.kubernetes.io/unschedulable") {
        return cordoned(view, pods, fault);
    }
    if let Some((name, _, id)) = node.as_ref().filter(|_| pressure || down) {
        // The node itself is ill; the pod is right not to tolerate that.
        let mut finding = fault
            .clone()
            .says(format!(
                "{name} takes no pods, so {pods} cannot be scheduled: Kubernetes has tainted it {shown}"
            ))
            .cites([*id])
            .affects([workload.name.clone()])
            .manual(format!("repair {name}: {shown} goes away with its cause"))
            .done();
        (if down { "NodeNotReady" } else { "NodeUnderPressure" }).clone_into(&mut finding.category);
        finding.object = (*name).clone();
        return finding;
    }
    fault
        .clone()
        .says(format!(
            "{pods} cannot be scheduled: they do not tolerate the node's taint {{{shown}}}"
        ))
        .cites(node.as_ref().map(|(_, _, id)| *id))
        .manual(format!(
            "let {} tolerate the taint {shown} where that is meant, or remove the taint",
            workload.name
        ))
        .done()
}

pub(super) fn cordoned(view: &View<'_>, pods: &str, fault: &Claim) -> Finding {
    let nodes = nodes::cordoned(view);
    let names: Vec<String> = nodes.iter().map(|(name, _)| name.name.clone()).collect();
    let mut done = fault
        .clone()
        .says(format!(
            "{pods} cannot be scheduled: the nodes that would fit are cordoned ({})",
            names.join(", ")
        ))
        .cites(nodes.iter().map(|(_, id)| *id))
        .remedy(
            nodes
                .first()
                .map(|(name, _)| Remedy::UncordonNode { node: (*name).clone() }),
        )
        .done();
    "NodesCordoned".clone_into(&mut done.category);
    done
}
