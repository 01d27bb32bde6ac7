//! Calls that fail: refused, timed out, not resolved, refused for their credentials, or answered with an error of the called.
//!
//! Evidence: the caller's log, its settings, and the Services of the namespace. Looks alike: a caller that retries and succeeds, and a
//! victim: the finding points to what was called, so that the cause is looked for there.

mod credentials;
mod hosts;
mod ports;

use super::{KnownCause, View, claim, known, merge};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::graph::{self, Destination};
use crate::diagnosis::logs::{Group, Signature};
use crate::diagnosis::remedy::Remedy;
use crate::sandbox::command::Resource;
use crate::text::clip;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "DependencyFails",
        "Calls to a Service fail; the Service and its pods say why.",
        "The caller's log, its settings.",
        "Calls that are retried and succeed.",
    ),
    known(
        "CredentialsRefused",
        "What is called refuses the caller's credentials.",
        "The caller's log; another pod that reads the same Secret and started later.",
        "A program that is down.",
    ),
    known(
        "DependencyUnreachable",
        "Something is called that the namespace has no Service for.",
        "The caller's log beside a complete list of Services.",
        "A name with a letter wrong: WrongHostname.",
    ),
    known(
        "ExternalDependencyFails",
        "Calls to something outside the namespace fail.",
        "The caller's log.",
        "A NetworkPolicy that lets nothing out.",
    ),
    known(
        "WrongPort",
        "A Service is called on a port that it does not have.",
        "The caller's log and settings, the Service's ports.",
        "A Service whose targetPort is wrong.",
    ),
    known(
        "WrongHostname",
        "A host name is called that no Service has.",
        "The caller's log and settings beside a complete list of Services.",
        "A cluster DNS that is down: then no name resolves.",
    ),
    known(
        "ExternalNameWrong",
        "A Service is an alias (ExternalName) for a host that does not resolve.",
        "The caller's log, the Service.",
        "A Service that does not exist.",
    ),
    known(
        "WrongDnsPolicy",
        "The pods do not ask the cluster's DNS (dnsPolicy), so names of Services do not resolve.",
        "The caller's log, the pod's dnsPolicy and hostNetwork, the Service that exists.",
        "A NetworkPolicy that lets no lookups out; a cluster DNS that is down.",
    ),
    known(
        "NetworkPolicyBlocks",
        "A NetworkPolicy forbids the call to pods that are ready.",
        "The caller's log, the policies, labels of both sides.",
        "A called program that is down; a network that ignores policies.",
    ),
    known(
        "RateLimited",
        "What is called answers that it is asked too often (429).",
        "The caller's log; the revision of the caller that asks more than the one before.",
        "Calls that are retried and succeed; a quota of Kubernetes.",
    ),
    known(
        "DnsFails",
        "The names of Services that exist do not resolve: the cluster's DNS does not answer.",
        "The caller's log; the Service, which is there.",
        "A name that no Service has; a NetworkPolicy that lets nothing out.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for workload in &view.facts.workloads {
        for (at, group, evidence) in view.logs.of(&workload.name) {
            if !graph::is_call(group.signature)
                || !super::signatures::counts(view, workload, at, group)
                || super::values::is_outdated(view, workload, at, group, evidence)
            {
                continue;
            }
            let container = view.facts.case.logs().get(at).map_or("", |log| log.container.as_str());
            let Some(destination) = graph::called(view.facts.case, workload, group) else {
                if group.signature == Signature::Dns
                    && let Some(host) = hosts::sole_unknown_host(view, workload, container)
                {
                    let finding = hosts::wrong_host(view, workload, container, group, evidence, &host, None);
                    merge(&mut found, finding);
                }
                continue;
            };
            let finding = judge(view, workload, container, group, evidence, &destination);
            // One claim for each caller and called: of several signatures the one that was seen most often.
            merge(&mut found, finding);
        }
    }
    found
}

fn verb(signature: Signature) -> &'static str {
    match signature {
        Signature::Refused => "connection refused",
        Signature::TimedOut => "timed out",
        Signature::Dns => "its name does not resolve (DNS)",
        Signature::AuthFailed => "its credentials are refused",
        Signature::RateLimited => "rate limit exceeded",
        Signature::Reset => "the connection is lost",
        _ => "it answers with an error",
    }
}

fn judge(
    view: &View<'_>,
    workload: &Workload<'_>,
    container: &str,
    group: &Group,
    evidence: &str,
    destination: &Destination,
) -> Finding {
    let what = verb(group.signature);
    let quoted = clip(&group.sample, 200);
    let often = u8::from(group.count > 2);
    if let Destination::Service(service) = destination
        && let Some(finding) = ports::wrong_port(view, workload, container, group, evidence, service)
    {
        return finding;
    }
    if let Some(finding) = super::network::blocked(view, workload, group, evidence, destination) {
        return finding;
    }
    if let Destination::Unread(service) = destination {
        return unread(workload, group, evidence, service);
    }
    if let Some(wrong) = super::names::misspelt(view, group) {
        let hint = format!("; {} exists and is called {}", wrong.service, wrong.right);
        return hosts::wrong_host(view, workload, container, group, evidence, &wrong.host, Some(hint));
    }
    if let Some(finding) = super::names::unresolved(view, workload, group, evidence, destination) {
        return finding;
    }
    if group.signature == Signature::RateLimited {
        return rate_limited(workload, group, evidence, destination);
    }
    match destination {
        Destination::Service(service) => {
            if group.signature == Signature::Dns {
                return hosts::unresolved(view, workload, group, evidence, service);
            }
            let depth = if group.signature == Signature::AuthFailed {
                Depth::Fault
            } else {
                Depth::Mechanism
            };
            let category = if group.signature == Signature::AuthFailed {
                "CredentialsRefused"
            } else {
                "DependencyFails"
            };
            let stale = (group.signature == Signature::AuthFailed)
                .then(|| credentials::stale_secret(view, workload, container))
                .flatten();
            let remedy = match &stale {
                Some((why, _)) => Remedy::Restart {
                    workload: workload.name.clone(),
                    reason: why.clone(),
                },
                None => Remedy::Manual {
                    instruction: format!("look at {service}"),
                },
            };
            let why = stale.as_ref().map_or(String::new(), |(why, _)| format!("; {why}"));
            claim(
                category,
                &workload.name,
                depth,
                Basis::Logged,
                often + u8::from(stale.is_some()),
            )
            .says(format!(
                "{} calls {}: {what} (\"{quoted}\"){why}",
                workload.name, group.subject
            ))
            .cites(
                [evidence, workload.evidence]
                    .into_iter()
                    .chain(stale.as_ref().map(|(_, id)| id.as_str())),
            )
            .points_to([service.clone()])
            .since(group.first)
            .remedy(remedy)
            .done()
        }
        Destination::UnknownService(name) if group.signature == Signature::Dns => {
            hosts::wrong_host(view, workload, container, group, evidence, name, None)
        }
        Destination::UnknownService(name) => claim(
            "DependencyUnreachable",
            &workload.name,
            Depth::Fault,
            Basis::Logged,
            often + 1,
        )
        .says(format!(
            "{} cannot connect to {}: {what} (\"{quoted}\"); the namespace has no Service {name}",
            workload.name, group.subject
        ))
        .cites(
            [evidence, workload.evidence]
                .into_iter()
                .chain(view.facts.case.complete_list(Resource::Services)),
        )
        .since(group.first)
        .manual(format!(
            "restore {}, or correct the address that {} uses, then run it again",
            group.subject, workload.name
        ))
        .done(),
        Destination::OtherNamespace(service) => {
            let here = ObjectName::namespaced("Service", workload.namespace(), service.name.clone());
            let alike = view
                .facts
                .case
                .entry(&here)
                .filter(|_| group.signature == Signature::Dns);
            let hint = alike.map_or(String::new(), |_| {
                format!("; this namespace has a Service {} too", service.name)
            });
            let advice = match alike {
                Some(_) => format!(
                    "if the one of this namespace is meant, let {} call {}; else open an incident for {service} in its own namespace",
                    workload.name, service.name
                ),
                None => format!("open an incident for {service} in its own namespace"),
            };
            claim("DependencyFails", &workload.name, Depth::Fault, Basis::Logged, often)
                .says(format!(
                    "{} calls {} in namespace {}, which is not read from here: {what} (\"{quoted}\"){hint}",
                    workload.name,
                    group.subject,
                    service.namespace.as_deref().unwrap_or_default()
                ))
                .cites(
                    [evidence, workload.evidence]
                        .into_iter()
                        .chain(alike.map(|entry| entry.evidence.as_str())),
                )
                .points_to([service.clone()])
                .since(group.first)
                .manual(advice)
                .done()
        }
        Destination::Unread(service) => unread(workload, group, evidence, service),
        Destination::Outside(host) => claim(
            "ExternalDependencyFails",
            &workload.name,
            Depth::Fault,
            Basis::Logged,
            often,
        )
        .says(format!(
            "{} calls {host}, which is outside this namespace: {what} (\"{quoted}\")",
            workload.name
        ))
        .cites([evidence, workload.evidence])
        .since(group.first)
        .manual(format!("check {host} from where the pods run"))
        .done(),
    }
}

/// What is called has a name of the namespace, whose Services could not be read: the call fails, and why is not known.
fn unread(workload: &Workload<'_>, group: &Group, evidence: &str, service: &ObjectName) -> Finding {
    let refused = group.signature == Signature::AuthFailed;
    let (category, depth) = if refused {
        ("CredentialsRefused", Depth::Fault)
    } else {
        ("DependencyFails", Depth::Symptom)
    };
    claim(category, &workload.name, depth, Basis::Logged, u8::from(group.count > 2))
        .says(format!(
            "{} calls {}: {} (\"{}\"); the namespace's Services could not be read, so what is behind {service} is not known",
            workload.name,
            group.subject,
            verb(group.signature),
            clip(&group.sample, 200)
        ))
        .cites([evidence, workload.evidence])
        .points_to([service.clone()])
        .since(group.first)
        .manual(format!("read the Services of the namespace, then look at {service}"))
        .done()
}

/// Who is told to ask less is the one who asks too often; what it calls is well.
fn rate_limited(workload: &Workload<'_>, group: &Group, evidence: &str, destination: &Destination) -> Finding {
    let (depth, to) = match destination {
        Destination::Service(service) => (Depth::Mechanism, Some(service.clone())),
        _ => (Depth::Fault, None),
    };
    claim(
        "RateLimited",
        &workload.name,
        depth,
        Basis::Logged,
        u8::from(group.count > 2),
    )
    .says(format!(
        "{} asks {} more often than it may: it is refused for its rate, {} times (\"{}\")",
        workload.name,
        group.subject,
        group.count,
        clip(&group.sample, 200)
    ))
    .cites([evidence, workload.evidence])
    .points_to(to)
    .since(group.first)
    .manual(format!(
        "let {} ask {} less often (a cache, fewer workers, a pause after 429), or have its limit raised",
        workload.name, group.subject
    ))
    .done()
}
