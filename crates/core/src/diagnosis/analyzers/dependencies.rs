//! Calls that fail: refused, timed out, not resolved, refused for their credentials, or answered with an error of the called.
//!
//! Evidence: the caller's log, its settings, and the Services of the namespace. Looks alike: a caller that retries and succeeds, and a
//! victim: the finding points to what was called, so that the cause is looked for there.

use k8s_openapi::api::core::v1::{Container, Service};

use super::{KnownCause, View, claim, known, merge};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::environment;
use crate::diagnosis::facts::{PodFacts, Workload};
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::graph::{self, Destination};
use crate::diagnosis::logs::{Endpoint, Group, Signature, endpoints};
use crate::diagnosis::remedy::{ContainerRef, KnownValue, Remedy};
use crate::diagnosis::similar::{closest, typo};
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
                    && let Some(host) = sole_unknown_host(view, workload, container)
                {
                    let finding = wrong_host(view, workload, container, group, evidence, &host, None);
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

/// The one host of a container's settings that is no Service and no name of elsewhere: what a lookup without a name in its message was
/// for.
fn sole_unknown_host(view: &View<'_>, workload: &Workload<'_>, container: &str) -> Option<String> {
    let env = environment::of(view.facts.case, workload.namespace(), workload.container(container)?);
    let mut unknown: Vec<String> = env
        .values
        .iter()
        .filter_map(|(key, variable)| Some((key.to_ascii_uppercase(), variable.value.as_deref()?.trim())))
        .flat_map(|(key, value)| {
            let host = ["HOST", "ADDR", "SERVER"].iter().any(|word| key.contains(word))
                && value.starts_with(|c: char| c.is_ascii_lowercase())
                && value
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
            let bare = host.then(|| Endpoint {
                host: value.to_owned(),
                port: None,
            });
            endpoints(value).into_iter().chain(bare)
        })
        .filter_map(
            |endpoint| match graph::destination(view.facts.case, workload.namespace(), &endpoint) {
                Destination::UnknownService(name) => Some(name),
                _ => None,
            },
        )
        .collect();
    unknown.sort_unstable();
    unknown.dedup();
    match unknown.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    }
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
        && let Some(finding) = wrong_port(view, workload, container, group, evidence, service)
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
        return wrong_host(view, workload, container, group, evidence, &wrong.host, Some(hint));
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
                return unresolved(view, workload, group, evidence, service);
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
                .then(|| stale_secret(view, workload, container))
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
            wrong_host(view, workload, container, group, evidence, name, None)
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
            claim("DependencyFails", &workload.name, Depth::Fault, Basis::Logged, often)
                .says(format!(
                    "{} calls {} in namespace {}, which is not read from here: {what} (\"{quoted}\")",
                    workload.name,
                    group.subject,
                    service.namespace.as_deref().unwrap_or_default()
                ))
                .cites([evidence, workload.evidence])
                .points_to([service.clone()])
                .since(group.first)
                .manual(format!("open an incident for {service} in its own namespace"))
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

/// The Service is there, and its name does not resolve.
fn unresolved(
    view: &View<'_>,
    workload: &Workload<'_>,
    group: &Group,
    evidence: &str,
    service: &ObjectName,
) -> Finding {
    let entry = view
        .facts
        .case
        .entry(service)
        .map_or("", |entry| entry.evidence.as_str());
    claim(
        "DnsFails",
        &workload.name,
        Depth::Fault,
        Basis::Logged,
        u8::from(group.count > 2),
    )
    .says(format!(
        "the name of {service}, which exists, does not resolve for {}: the cluster's DNS does not answer (\"{}\")",
        workload.name,
        clip(&group.sample, 200)
    ))
    .cites([evidence, workload.evidence, entry])
    .since(group.first)
    .manual("look at the cluster's DNS: kubectl -n kube-system get pods -l k8s-app=kube-dns, and their logs; and at the pod's dnsPolicy")
    .done()
}

/// The Service is there, and the port that is called is none of its.
fn wrong_port(
    view: &View<'_>,
    workload: &Workload<'_>,
    container: &str,
    group: &Group,
    evidence: &str,
    service: &ObjectName,
) -> Option<Finding> {
    if !matches!(group.signature, Signature::Refused | Signature::TimedOut) {
        return None;
    }
    let called = crate::diagnosis::logs::endpoints(&group.subject).into_iter().next()?;
    let port = i32::from(called.port?);
    let entry = view.facts.case.entry(service)?;
    let spec = view.facts.case.get::<Service>(&service.name)?.spec.as_ref()?;
    let ports: Vec<i32> = spec.ports.iter().flatten().map(|port| port.port).collect();
    // A headless Service passes any port on.
    if ports.is_empty() || ports.contains(&port) || spec.cluster_ip.as_deref() == Some("None") {
        return None;
    }
    let env = workload
        .container(container)
        .map(|spec| environment::of(view.facts.case, workload.namespace(), spec))
        .unwrap_or_default();
    let text = format!("{}:{port}", called.host);
    let variable = env
        .values
        .iter()
        .find(|(_, variable)| variable.value.as_deref().is_some_and(|value| value.contains(&text)));
    let at = ContainerRef {
        workload: workload.name.clone(),
        container: container.to_owned(),
    };
    let remedy = variable.map(|(key, variable)| {
        let from = variable.value.clone().unwrap_or_default();
        let to = match ports.as_slice() {
            [one] if !environment::looks_secret(key, &from) => Some(KnownValue {
                value: from.replacen(&text, &format!("{}:{one}", called.host), 1),
                source: service.to_string(),
                evidence: vec![entry.evidence.clone()],
            }),
            _ => None,
        };
        match &variable.from {
            Some((map, map_key)) => Remedy::WrongConfigMapValue {
                config_map: map.clone(),
                key: map_key.clone(),
                from,
                to,
                consumer: at,
            },
            None => Remedy::Env {
                container: at,
                name: key.clone(),
                from: Some(from),
                to,
            },
        }
    });
    let place = variable.map_or(String::new(), |(key, _)| format!(" (environment variable {key})"));
    let shown = ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Some(
        claim(
            "WrongPort",
            &workload.name,
            Depth::Fault,
            Basis::Logged,
            2 + u8::from(variable.is_some()),
        )
        .says(format!(
            "{} calls {service} on port {port}{place}, which that Service does not have: it has port {shown} ({})",
            workload.name,
            verb(group.signature)
        ))
        .cites([evidence, workload.evidence, entry.evidence.as_str()])
        .since(group.first)
        .remedy(remedy.or(Some(Remedy::Manual {
            instruction: format!("let {} call {service} on port {shown}", workload.name),
        })))
        .done(),
    )
}

/// Credentials from a Secret are read when a pod starts. Where another pod that reads the same Secret started later and is well, the
/// Secret has most likely changed in between.
fn stale_secret(view: &View<'_>, workload: &Workload<'_>, container: &str) -> Option<(String, String)> {
    let secrets = secrets_of(workload.container(container)?);
    let own = workload.pods.iter().filter_map(PodFacts::created).max()?;
    view.facts
        .workloads
        .iter()
        .filter(|other| other.name != workload.name)
        .find_map(|other| {
            let shared = other
                .containers()
                .iter()
                .flat_map(secrets_of)
                .find(|name| secrets.contains(name))?;
            let later = other
                .pods
                .iter()
                .any(|pod| pod.is_ready() && pod.created().is_some_and(|created| created > own));
            later.then(|| {
                (
                    format!(
                        "its pods started before those of {}, which read the same Secret {shared} and are well: the Secret has changed since, and a variable from a Secret is read at the start alone",
                        other.name
                    ),
                    other.evidence.to_owned(),
                )
            })
        })
}

fn secrets_of(container: &Container) -> Vec<&str> {
    let whole = container
        .env_from
        .iter()
        .flatten()
        .filter_map(|source| source.secret_ref.as_ref())
        .map(|secret| secret.name.as_str());
    let keys = container
        .env
        .iter()
        .flatten()
        .filter_map(|variable| variable.value_from.as_ref()?.secret_key_ref.as_ref())
        .map(|secret| secret.name.as_str());
    whole.chain(keys).collect()
}

fn wrong_host(
    view: &View<'_>,
    workload: &Workload<'_>,
    container: &str,
    group: &Group,
    evidence: &str,
    name: &str,
    spelling: Option<String>,
) -> Finding {
    let case = view.facts.case;
    let list = case.complete_list(Resource::Services);
    let services = view.facts.services.iter().map(|service| service.name.name.as_str());
    let near = closest(name, services);
    let hint = match spelling {
        Some(spelling) => spelling,
        None if near.is_empty() => String::new(),
        None => format!("; Service {} exists", near.join(" and ")),
    };
    // Where the name stands: a variable of the container.
    let env = workload
        .container(container)
        .map(|spec| environment::of(case, workload.namespace(), spec))
        .unwrap_or_default();
    let variable = env.values.iter().find(|(_, variable)| {
        variable.value.as_deref().is_some_and(|value| {
            crate::diagnosis::logs::endpoints(value).iter().any(|e| e.host == name) || value == name
        })
    });
    let place = variable.map_or(String::new(), |(key, _)| format!(" (environment variable {key})"));
    // A slip of the pen leaves one Service that was meant.
    let meant = typo(
        name,
        view.facts.services.iter().map(|service| service.name.name.as_str()),
    );
    let remedy = variable.map(|(key, variable)| {
        let from = variable.value.clone().unwrap_or_default();
        let to = meant
            .zip(list)
            .filter(|_| !environment::looks_secret(key, &from))
            .map(|(right, list)| KnownValue {
                value: from.replacen(name, right, 1),
                source: format!("Service/{right}"),
                evidence: vec![list.to_owned()],
            });
        let at = ContainerRef {
            workload: workload.name.clone(),
            container: container.to_owned(),
        };
        match &variable.from {
            Some((map, map_key)) => Remedy::WrongConfigMapValue {
                config_map: map.clone(),
                key: map_key.clone(),
                from,
                to,
                consumer: at,
            },
            None => Remedy::Env {
                container: at,
                name: key.clone(),
                from: Some(from),
                to,
            },
        }
    });
    claim(
        "WrongHostname",
        &workload.name,
        Depth::Fault,
        Basis::Logged,
        1 + u8::from(variable.is_some()) + u8::from(group.count > 2),
    )
    .says(format!(
        "the hostname {name}{place} that {} calls does not resolve in DNS: there is no such Service{hint}",
        workload.name
    ))
    .cites([evidence, workload.evidence].into_iter().chain(list))
    .since(group.first)
    .remedy(remedy.or(Some(Remedy::Manual {
        instruction: format!("correct the hostname {name} where {} gets it from", workload.name),
    })))
    .done()
}
