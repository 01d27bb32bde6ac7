//! Calls to a host that does not resolve: which it is, where it stands, and which Service was meant. Must never name a host that the log
//! or the settings do not show. Called by `dependencies`.

use crate::api::ObjectName;
use crate::diagnosis::analyzers::{View, claim};
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::environment;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::graph::{self, Destination};
use crate::diagnosis::logs::{Endpoint, Group, endpoints};
use crate::diagnosis::remedy::{ContainerRef, KnownValue, Remedy};
use crate::diagnosis::similar::{closest, typo};
use crate::sandbox::command::Resource;
use crate::text::clip;

/// The one host of a container's settings that is no Service and no name of elsewhere: what a lookup without a name in its message was
/// for.
pub(super) fn sole_unknown_host(view: &View<'_>, workload: &Workload<'_>, container: &str) -> Option<String> {
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

pub(super) fn wrong_host(
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
        Remedy::wrong_value(at, key, variable, to)
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

/// The Service is there, and its name does not resolve.
pub(super) fn unresolved(
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
