//! NetworkPolicies that keep a caller from what it calls: on either side, from another namespace, from outside, from name lookups.
//!
//! Evidence: the caller's log, the policies of the namespace, labels and ports of both sides. Looks alike: a called program that is down
//! (then it has no ready pod, and nothing is claimed here), and a cluster whose network ignores policies (then no call fails). What
//! cannot be evaluated (labels of other namespaces, address ranges) counts as allowed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{View, claim};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{ServiceFacts, Workload, matches};
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::graph::Destination;
use crate::diagnosis::logs::{self, Group, Signature};
use crate::diagnosis::remedy::Remedy;

/// Where namespaces carry their own name as a label.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

type Labels = BTreeMap<String, String>;

/// One end of a call, as a policy sees it.
enum Peer<'p> {
    /// Pods of the namespace.
    Pods(&'p Labels),
    /// Pods of another namespace.
    Namespace(&'p str),
    /// Cluster DNS.
    Dns,
    /// Outside the cluster.
    Outside,
}

/// A policy that forbids the call that the group tells of, if one does.
pub(super) fn blocked(
    view: &View<'_>,
    caller: &Workload<'_>,
    group: &Group,
    evidence: &str,
    destination: &Destination,
) -> Option<Finding> {
    let from = labels(caller);
    let lookup = group.signature == Signature::Dns
        || (group.signature == Signature::TimedOut && group.sample.contains("lookup "));
    if lookup {
        // A name that DNS knows not to exist was looked up all right; a Service that exists resolves.
        let exists = matches!(destination, Destination::Service(_));
        if !exists && says_unknown(&group.sample) {
            return None;
        }
        let (name, id) = refusing(view, &from, &Peer::Dns, false, &[53])?;
        return Some(
            found(name, caller, group, &[evidence, id, caller.evidence])
                .says(format!(
                    "{name} lets no name lookups out: it does not allow DNS (port 53) to the pods of {}, so no name resolves ({})",
                    caller.name, group.subject
                ))
                .manual(format!("allow egress to port 53 (UDP and TCP) of the cluster's DNS in {name}"))
                .done(),
        );
    }
    if !matches!(group.signature, Signature::TimedOut | Signature::Refused) {
        return None;
    }
    match destination {
        Destination::Service(service) => to_service(view, caller, &from, group, evidence, service),
        Destination::OtherNamespace(service) => {
            let space = service.namespace.as_deref().unwrap_or_default();
            let (name, id) = refusing(view, &from, &Peer::Namespace(space), false, &[])?;
            Some(
                found(name, caller, group, &[evidence, id, caller.evidence])
                    .says(format!(
                        "{name} does not let the pods of {} out to namespace {space}: calls to {} fail",
                        caller.name, group.subject
                    ))
                    .manual(format!("if {} should reach {space}, allow it in {name}", caller.name))
                    .done(),
            )
        }
        Destination::Outside(host) => {
            let (name, id) = refusing(view, &from, &Peer::Outside, false, &[])?;
            Some(
                found(name, caller, group, &[evidence, id, caller.evidence])
                    .says(format!(
                        "{name} does not let the pods of {} out of the cluster: calls to {host} fail",
                        caller.name
                    ))
                    .manual(format!("if {} should reach {host}, allow it in {name}", caller.name))
                    .done(),
            )
        }
        Destination::UnknownService(_) | Destination::Unread(_) => None,
    }
}

fn to_service(
    view: &View<'_>,
    caller: &Workload<'_>,
    from: &Labels,
    group: &Group,
    evidence: &str,
    service: &ObjectName,
) -> Option<Finding> {
    let facts = view
        .facts
        .service(service.namespace.as_deref().unwrap_or_default(), &service.name)
        .filter(|facts| facts.ready > 0)?;
    let server = facts
        .workloads
        .iter()
        .find_map(|index| view.facts.workloads.get(*index))?;
    let to = labels(server);
    let ports = target_ports(facts, server, group);
    // A port that the pods do not have refuses by itself, whatever a policy says of it.
    if group.signature == Signature::Refused && lacks(view, server, &ports) {
        return None;
    }
    let inward = refusing(view, &to, &Peer::Pods(from), true, &ports);
    let (name, id) = inward.or_else(|| refusing(view, from, &Peer::Pods(&to), false, &ports))?;
    let side = if inward.is_some() {
        "does not let it in"
    } else {
        "does not let it out"
    };
    Some(
        found(
            name,
            caller,
            group,
            &[evidence, id, facts.evidence, caller.evidence, server.evidence],
        )
        .says(format!(
            "{name} blocks the calls of {} to {service}, whose pods are ready: it {side} ({})",
            caller.name, group.subject
        ))
        .remedy(Remedy::Manifest {
            instruction: format!("if {} should reach {service}, allow it in {name}", caller.name),
            manifest: opening(caller, server, inward.is_some(), from, &to),
        })
        .done(),
    )
}

/// Whether the server's containers declare ports, and none of these, and its log names none of them.
fn lacks(view: &View<'_>, server: &Workload<'_>, ports: &[i32]) -> bool {
    let declared: Vec<i32> = server
        .containers()
        .iter()
        .flat_map(|container| container.ports.iter().flatten())
        .map(|port| port.container_port)
        .collect();
    let heard = |port: &i32| {
        server.pods.iter().take(2).any(|pod| {
            server
                .containers()
                .iter()
                .any(|container| super::probes::listening(view, pod, &container.name).0.contains(port))
        })
    };
    !declared.is_empty() && !ports.is_empty() && !ports.iter().any(|port| declared.contains(port) || heard(port))
}

fn found(name: &ObjectName, caller: &Workload<'_>, group: &Group, cited: &[&str]) -> super::Claim {
    claim("NetworkPolicyBlocks", name, Depth::Fault, Basis::Inferred, 2)
        .cites(cited.iter().copied())
        .affects([caller.name.clone()])
        .since(group.first)
}

/// Answers of a DNS server that was reached.
fn says_unknown(text: &str) -> bool {
    [
        "no such host",
        "NXDOMAIN",
        "ENOTFOUND",
        "Name or service not known",
        "can't find",
    ]
    .iter()
    .any(|words| text.contains(words))
}

/// The first policy that selects `own` in that direction, where none that does allows the peer.
fn refusing<'v>(
    view: &'v View<'_>,
    own: &Labels,
    peer: &Peer<'_>,
    ingress: bool,
    ports: &[i32],
) -> Option<(&'v ObjectName, &'v str)> {
    let selecting: Vec<(&ObjectName, &NetworkPolicy, &str)> = view
        .facts
        .case
        .all::<NetworkPolicy>()
        .filter(|(name, policy, _)| {
            name.namespace.as_deref() == Some(view.facts.case.namespace())
                && concerns(policy, ingress)
                && selects(policy, own)
        })
        .collect();
    let allowed = selecting
        .iter()
        .any(|(_, policy, _)| allows(view, policy, peer, ingress, ports));
    (!allowed)
        .then(|| selecting.first().map(|(name, _, id)| (*name, *id)))
        .flatten()
}

/// A policy beside the one that blocks, which lets exactly these callers through. For people: what may be called is theirs to say.
fn opening(caller: &Workload<'_>, server: &Workload<'_>, entering: bool, from: &Labels, to: &Labels) -> String {
    let selector = |labels: &Labels| serde_json::to_string(labels).unwrap_or_default();
    let (own, other, direction, peer) = if entering {
        (to, from, "Ingress", "from")
    } else {
        (from, to, "Egress", "to")
    };
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {}-to-{}, namespace: {}}}\nspec:\n  podSelector: \
         {{matchLabels: {}}}\n  policyTypes: [{direction}]\n  {}:\n  - {peer}: [{{podSelector: {{matchLabels: {}}}}}]\n",
        caller.name.name,
        server.name.name,
        server.namespace(),
        selector(own),
        direction.to_lowercase(),
        selector(other),
    )
}

fn labels(workload: &Workload<'_>) -> Labels {
    workload
        .labels()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Ports of the pods that a call to the Service ends at; empty where that is not known.
fn target_ports(facts: &ServiceFacts<'_>, server: &Workload<'_>, group: &Group) -> Vec<i32> {
    let called = logs::endpoints(&group.subject)
        .into_iter()
        .next()
        .and_then(|endpoint| endpoint.port)
        .map(i32::from);
    let spec: Option<&Service> = Some(facts.service);
    spec.and_then(|service| service.spec.as_ref())
        .into_iter()
        .flat_map(|spec| spec.ports.iter().flatten())
        .filter(|port| called.is_none_or(|called| port.port == called))
        .filter_map(|port| match &port.target_port {
            None => Some(port.port),
            Some(IntOrString::Int(number)) => Some(*number),
            Some(IntOrString::String(name)) => server
                .containers()
                .iter()
                .flat_map(|container| container.ports.iter().flatten())
                .find(|known| known.name.as_deref() == Some(name))
                .map(|known| known.container_port),
        })
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

fn selects(policy: &NetworkPolicy, labels: &Labels) -> bool {
    let selector = policy.spec.as_ref().and_then(|spec| spec.pod_selector.as_ref());
    selector.is_none_or(|selector| matches(selector, Some(labels)))
}

/// Whether any rule lets the peer through.
fn allows(view: &View<'_>, policy: &NetworkPolicy, peer: &Peer<'_>, ingress: bool, ports: &[i32]) -> bool {
    let Some(spec) = &policy.spec else { return true };
    let through = |peers: Option<&Vec<NetworkPolicyPeer>>, allowed: Option<&Vec<NetworkPolicyPort>>| {
        let who = peers.is_none_or(|peers| peers.is_empty() || peers.iter().any(|rule| fits(view, rule, peer)));
        let port = ports.is_empty()
            || allowed.is_none_or(|list| list.is_empty() || list.iter().any(|rule| opens(rule, ports)));
        who && port
    };
    if ingress {
        spec.ingress
            .iter()
            .flatten()
            .any(|rule| through(rule.from.as_ref(), rule.ports.as_ref()))
    } else {
        spec.egress
            .iter()
            .flatten()
            .any(|rule| through(rule.to.as_ref(), rule.ports.as_ref()))
    }
}

fn fits(view: &View<'_>, rule: &NetworkPolicyPeer, peer: &Peer<'_>) -> bool {
    if rule.ip_block.is_some() {
        return true;
    }
    let own = view.facts.case.namespace();
    let space = |name: &str| {
        rule.namespace_selector.as_ref().map(|selector| {
            let known = view
                .facts
                .case
                .all::<Namespace>()
                .find(|(known, _, _)| known.name == name)
                .and_then(|(_, object, _)| object.metadata.labels.clone());
            let only_name = selector.match_labels.iter().flatten().all(|(key, _)| key == NAME_LABEL)
                && selector.match_expressions.iter().flatten().all(|e| e.key == NAME_LABEL);
            let labels = known.unwrap_or_else(|| BTreeMap::from([(NAME_LABEL.to_owned(), name.to_owned())]));
            // Labels that were not read may be there.
            matches(selector, Some(&labels)) || (!only_name && labels.len() <= 1)
        })
    };
    match peer {
        Peer::Pods(labels) => {
            space(own).unwrap_or(true)
                && rule
                    .pod_selector
                    .as_ref()
                    .is_none_or(|selector| matches(selector, Some(labels)))
        }
        Peer::Namespace(name) => space(name).unwrap_or(*name == own),
        Peer::Dns => rule.namespace_selector.is_some() || own == "kube-system",
        Peer::Outside => false,
    }
}

fn opens(rule: &NetworkPolicyPort, ports: &[i32]) -> bool {
    match (&rule.port, rule.end_port) {
        (None | Some(IntOrString::String(_)), _) => true,
        (Some(IntOrString::Int(first)), Some(last)) => ports.iter().any(|port| (*first..=last).contains(port)),
        (Some(IntOrString::Int(only)), None) => ports.contains(only),
    }
}
