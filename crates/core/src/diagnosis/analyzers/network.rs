//! NetworkPolicies that keep a caller from what it calls.
//!
//! Evidence: the caller's log, the policies of the namespace, the labels of both sides. Looks alike: a called program that is down (then
//! it has no ready pod, and nothing is claimed here), and a cluster whose network ignores policies (then no call fails).

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer};

use super::{View, claim};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{Workload, matches};
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::{Group, Signature};

/// A policy that forbids the call from `caller` to the pods of `service`, where these are ready.
pub(super) fn blocked(
    view: &View<'_>,
    caller: &Workload<'_>,
    group: &Group,
    evidence: &str,
    service: &ObjectName,
) -> Option<Finding> {
    if !matches!(
        group.signature,
        Signature::TimedOut | Signature::Refused | Signature::Dns
    ) {
        return None;
    }
    let facts = view
        .facts
        .service(service.namespace.as_deref().unwrap_or_default(), &service.name)
        .filter(|facts| facts.ready > 0)?;
    let server = facts
        .workloads
        .iter()
        .find_map(|index| view.facts.workloads.get(*index))?;
    let policies: Vec<(&ObjectName, &NetworkPolicy, &str)> = view.facts.case.all::<NetworkPolicy>().collect();
    let (from, to) = (labels(caller), labels(server));
    let refusing = |own: &BTreeMap<String, String>, other: &BTreeMap<String, String>, ingress: bool| {
        let selecting: Vec<_> = policies
            .iter()
            .filter(|(_, policy, _)| concerns(policy, ingress) && selects(policy, own))
            .collect();
        let allowed = selecting.iter().any(|(_, policy, _)| allows(policy, other, ingress));
        (!allowed).then(|| selecting.first().copied().copied()).flatten()
    };
    let (name, _, id) = if group.signature == Signature::Dns {
        // Names do not resolve where nothing may leave at all.
        refusing(&from, &to, false)?
    } else {
        refusing(&to, &from, true).or_else(|| refusing(&from, &to, false))?
    };
    Some(
        claim("NetworkPolicyBlocks", name, Depth::Fault, Basis::Inferred, 2)
            .says(format!(
                "{name} does not allow the calls of {} to {service}, whose pods are ready: they fail ({})",
                caller.name, group.subject
            ))
            .cites([evidence, id, facts.evidence, caller.evidence, server.evidence])
            .affects([caller.name.clone()])
            .since(group.first)
            .manual(format!("if {} should reach {service}, allow it in {name}", caller.name))
            .done(),
    )
}

fn labels(workload: &Workload<'_>) -> BTreeMap<String, String> {
    workload
        .labels()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn concerns(policy: &NetworkPolicy, ingress: bool) -> bool {
    let Some(spec) = &policy.spec else { return false };
    match &spec.policy_types {
        Some(types) => types
            .iter()
            .any(|type_| type_ == if ingress { "Ingress" } else { "Egress" }),
        None => ingress || spec.egress.is_some(),
    }
}

fn selects(policy: &NetworkPolicy, labels: &BTreeMap<String, String>) -> bool {
    let selector = policy.spec.as_ref().and_then(|spec| spec.pod_selector.as_ref());
    selector.is_none_or(|selector| matches(selector, Some(labels)))
}

/// Whether any rule lets the other side through. Peers by address or namespace are given the benefit of the doubt.
fn allows(policy: &NetworkPolicy, other: &BTreeMap<String, String>, ingress: bool) -> bool {
    let peer = |peer: &NetworkPolicyPeer| {
        peer.ip_block.is_some()
            || peer.namespace_selector.is_some()
            || peer
                .pod_selector
                .as_ref()
                .is_some_and(|selector| matches(selector, Some(other)))
    };
    let Some(spec) = &policy.spec else { return true };
    let any =
        |peers: Option<&Vec<NetworkPolicyPeer>>| peers.is_none_or(|peers| peers.is_empty() || peers.iter().any(peer));
    if ingress {
        spec.ingress.iter().flatten().any(|rule| any(rule.from.as_ref()))
    } else {
        spec.egress.iter().flatten().any(|rule| any(rule.to.as_ref()))
    }
}
