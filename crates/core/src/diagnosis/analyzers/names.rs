//! Names that do not resolve although what they mean is there: an alias to nowhere, a pod that does not ask the cluster's DNS, a name
//! with a wrong namespace or suffix.
//!
//! Evidence: the caller's log, the Service, the pod's DNS settings. Looks alike: a Service that does not exist (`dependencies`), a
//! NetworkPolicy that lets no lookups out (`network`), and a headless Service without ready pods, whose pods say why.

use k8s_openapi::api::core::v1::Service;

use super::{View, claim};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::environment;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::graph::Destination;
use crate::diagnosis::logs::{self, Group, Signature};
use crate::diagnosis::remedy::{ContainerRef, KnownValue, Remedy};
use crate::diagnosis::similar::distance;
use crate::text::clip;

/// What the caller should call instead: the name as it stands in the log, and the right one.
#[derive(Debug)]
pub(super) struct Misspelt {
    /// As it is called.
    pub host: String,
    /// As it should be.
    pub right: String,
    /// The Service that is meant.
    pub service: ObjectName,
}

/// Why the name of something that exists does not resolve.
pub(super) fn unresolved(
    view: &View<'_>,
    caller: &Workload<'_>,
    group: &Group,
    evidence: &str,
    destination: &Destination,
) -> Option<Finding> {
    let Destination::Service(service) = destination else {
        return None;
    };
    if group.signature != Signature::Dns {
        return None;
    }
    let entry = view.facts.case.entry(service)?;
    let spec = view.facts.case.get::<Service>(&service.name)?.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        let target = spec.external_name.as_deref().unwrap_or_default();
        return Some(
            claim("ExternalNameWrong", service, Depth::Fault, Basis::Inferred, 2)
                .says(format!(
                    "{service} is an alias (ExternalName) for {target}, which does not resolve, so the calls of {} fail",
                    caller.name
                ))
                .cites([evidence, entry.evidence.as_str(), caller.evidence])
                .affects([caller.name.clone()])
                .since(group.first)
                .manual(format!("correct externalName of {service}: {target} does not resolve"))
                .done(),
        );
    }
    if let Some(finding) = padded(view, caller, service, group, evidence) {
        return Some(finding);
    }
    let pod = caller.pod_spec()?;
    let policy = pod.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let (setting, advice) = match policy {
        "Default" => (
            "dnsPolicy is Default: they ask the node's DNS",
            "set dnsPolicy to ClusterFirst",
        ),
        "None" => (
            "dnsPolicy is None: they ask only the servers in dnsConfig",
            "set dnsPolicy to ClusterFirst, or name the cluster's DNS and search domains in dnsConfig",
        ),
        "ClusterFirst" if pod.host_network == Some(true) => (
            "they use the host's network with dnsPolicy ClusterFirst, which then means the node's DNS",
            "set dnsPolicy to ClusterFirstWithHostNet",
        ),
        _ => return None,
    };
    Some(
        claim("WrongDnsPolicy", &caller.name, Depth::Fault, Basis::Inferred, 2)
            .says(format!(
                "pods of {} do not ask the cluster's DNS, so {} does not resolve although {service} exists: {setting}",
                caller.name, group.subject
            ))
            .cites([evidence, entry.evidence.as_str(), caller.evidence])
            .since(group.first)
            .manual(advice)
            .done(),
    )
}

/// A setting that holds the Service's name with white space around it, which `kubectl` shows as nothing.
fn padded(
    view: &View<'_>,
    caller: &Workload<'_>,
    service: &ObjectName,
    group: &Group,
    evidence: &str,
) -> Option<Finding> {
    let entry = view.facts.case.entry(service)?;
    caller.containers().iter().find_map(|container| {
        let env = environment::of(view.facts.case, caller.namespace(), container);
        let (key, variable) = env.values.iter().find(|(_, variable)| {
            variable.value.as_deref().is_some_and(|value| {
                let bare = value.trim();
                bare != value && bare.split([':', '.']).next() == Some(service.name.as_str())
            })
        })?;
        let value = variable.value.as_deref()?;
        let to = Some(KnownValue {
            value: value.trim().to_owned(),
            source: service.to_string(),
            evidence: vec![entry.evidence.clone()],
        });
        let at = ContainerRef {
            workload: caller.name.clone(),
            container: container.name.clone(),
        };
        let (object, place) = match &variable.from {
            Some((map, map_key)) => (map.clone(), format!("key {map_key} of {map}")),
            None => (caller.name.clone(), format!("environment variable {key}")),
        };
        let shown = view.facts.case.entry(&object).map(|entry| entry.evidence.as_str());
        let affects = (object != caller.name).then(|| caller.name.clone());
        Some(
            claim("InvalidSetting", &object, Depth::Fault, Basis::Logged, 2)
                .says(format!(
                    "{place} has white space around a host ({value:?}), so {} asks for a name that does not resolve, although {service} exists (\"{}\")",
                    caller.name,
                    clip(group.sample.trim(), 160)
                ))
                .cites([evidence, caller.evidence, entry.evidence.as_str()].into_iter().chain(shown))
                .affects(affects)
                .since(group.first)
                .remedy(Remedy::wrong_value(at, key, variable, to))
                .done(),
        )
    })
}

/// A name of a Service of this namespace with a letter wrong in its namespace, in `svc` or in the cluster's domain.
pub(super) fn misspelt(view: &View<'_>, group: &Group) -> Option<Misspelt> {
    if group.signature != Signature::Dns {
        return None;
    }
    let host = logs::endpoints(&group.subject)
        .into_iter()
        .next()
        .map_or_else(|| group.subject.clone(), |endpoint| endpoint.host);
    let host = host.trim_end_matches('.').to_owned();
    let own = view.facts.case.namespace();
    let parts: Vec<&str> = host.split('.').collect();
    let (name, rest) = parts.split_first()?;
    let service = ObjectName::namespaced("Service", own, *name);
    view.facts.case.entry(&service)?;
    let usual = [own, "svc", "cluster", "local"];
    if rest.is_empty() || rest.len() > usual.len() {
        return None;
    }
    let off: usize = rest.iter().zip(usual).map(|(part, usual)| distance(part, usual)).sum();
    // A cluster may have a domain of its own: only names that are nearly the usual ones are called misspelt.
    let near = rest.iter().zip(usual).all(|(part, usual)| distance(part, usual) <= 2);
    let right = format!(
        "{name}.{}",
        usual.iter().take(rest.len()).copied().collect::<Vec<_>>().join(".")
    );
    (near && (1..=3).contains(&off)).then_some(Misspelt {
        right,
        host: host.clone(),
        service,
    })
}
