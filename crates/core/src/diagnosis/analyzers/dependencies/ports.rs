//! Calls to a port that the Service does not have. Must never correct a value that may be a credential. Called by `dependencies`.

use k8s_openapi::api::core::v1::Service;

use super::verb;
use crate::api::ObjectName;
use crate::diagnosis::analyzers::{View, claim};
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::environment;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::{Group, Signature};
use crate::diagnosis::remedy::{ContainerRef, KnownValue, Remedy};

/// The Service is there, and the port that is called is none of its.
pub(super) fn wrong_port(
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
        Remedy::wrong_value(at, key, variable, to)
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
