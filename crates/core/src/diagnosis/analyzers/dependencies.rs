//! Calls that fail: refused, timed out, not resolved, refused for their credentials, or answered with an error of the called.
//!
//! Evidence: the caller's log, its settings, and the Services of the namespace. Looks alike: a caller that retries and succeeds, and a
//! victim: the finding points to what was called, so that the cause is looked for there.

use super::{View, claim, merge};
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::environment;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding, cut};
use crate::diagnosis::graph::{self, Destination};
use crate::diagnosis::logs::{Group, Signature};
use crate::diagnosis::remedy::{ContainerRef, Remedy};
use crate::diagnosis::similar::closest;
use crate::sandbox::command::Resource;

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for workload in &view.facts.workloads {
        for (at, group, evidence) in view.logs.of(&workload.name) {
            if !graph::is_call(group.signature) || !super::signatures::counts(view, workload, at, group) {
                continue;
            }
            let Some(destination) = graph::called(view.facts.case, workload, group) else {
                continue;
            };
            let container = view.facts.case.logs().get(at).map_or("", |log| log.container.as_str());
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
    let quoted = cut(&group.sample, 200);
    let often = u8::from(group.count > 2);
    match destination {
        Destination::Service(service) => {
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
            claim(category, &workload.name, depth, Basis::Logged, often)
                .says(format!(
                    "{} calls {}: {what} (\"{quoted}\")",
                    workload.name, group.subject
                ))
                .cites([evidence, workload.evidence])
                .points_to([service.clone()])
                .since(group.first)
                .manual(format!("look at {service}"))
                .done()
        }
        Destination::UnknownService(name) if group.signature == Signature::Dns => {
            wrong_host(view, workload, container, group, evidence, name)
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

fn wrong_host(
    view: &View<'_>,
    workload: &Workload<'_>,
    container: &str,
    group: &Group,
    evidence: &str,
    name: &str,
) -> Finding {
    let case = view.facts.case;
    let list = case.complete_list(Resource::Services);
    let services = view.facts.services.iter().map(|service| service.name.name.as_str());
    let near = closest(name, services);
    let hint = if near.is_empty() {
        String::new()
    } else {
        format!("; Service {} exists", near.join(" and "))
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
    let remedy = variable.map(|(key, variable)| {
        let at = ContainerRef {
            workload: workload.name.clone(),
            container: container.to_owned(),
        };
        match &variable.from {
            Some((map, map_key)) => Remedy::WrongConfigMapValue {
                config_map: map.clone(),
                key: map_key.clone(),
                from: variable.value.clone().unwrap_or_default(),
                to: None,
                consumer: at,
            },
            None => Remedy::Env {
                container: at,
                name: key.clone(),
                from: variable.value.clone(),
                to: None,
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
        "the hostname {name}{place} that {} calls does not resolve in DNS: the namespace has no such Service{hint}",
        workload.name
    ))
    .cites([evidence, workload.evidence].into_iter().chain(list))
    .since(group.first)
    .remedy(remedy.or(Some(Remedy::Manual {
        instruction: format!("correct the hostname {name} where {} gets it from", workload.name),
    })))
    .done()
}
