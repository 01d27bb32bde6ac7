//! Ingresses that lead nowhere: no Service, a port that the Service does not have, a class that nobody serves, a controller that refuses.
//!
//! Evidence: the Ingress beside the Services and classes, events. Looks alike: a Service that is there and has no ready pod, which is
//! `services`'; a name that does not resolve outside the cluster, which nothing in the cluster shows.

use k8s_openapi::api::networking::v1::{Ingress, IngressBackend, IngressClass};

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::similar::closest;
use crate::sandbox::command::Resource;
use crate::text::clip;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "IngressWithoutBackend",
        "An Ingress names a Service that does not exist.",
        "The Ingress beside a complete list of Services.",
        "A Service that is there and has no endpoints.",
    ),
    known(
        "IngressWrongPort",
        "An Ingress names a port that its Service does not have.",
        "The Ingress beside the ports of the Service.",
        "A Service whose targetPort is wrong.",
    ),
    known(
        "IngressClassMissing",
        "An Ingress names a class that does not exist, so no controller serves it.",
        "The Ingress beside a complete list of IngressClasses.",
        "A controller that is slow or down.",
    ),
    known(
        "IngressRefused",
        "The Ingress controller refuses the Ingress: a certificate's Secret that is missing, a rule that it cannot read.",
        "Warning events about the Ingress.",
        "Events of the Service behind it.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, ingress, evidence) in view.facts.case.all::<Ingress>() {
        for backend in backends(ingress) {
            if let Some(finding) = backend_of(view, name, backend, evidence) {
                super::merge(&mut found, finding);
            }
        }
        found.extend(class(view, name, ingress, evidence));
        found.extend(refused(view, name, evidence));
    }
    found
}

fn backends(ingress: &Ingress) -> impl Iterator<Item = &IngressBackend> {
    ingress.spec.iter().flat_map(|spec| {
        spec.rules
            .iter()
            .flatten()
            .filter_map(|rule| rule.http.as_ref())
            .flat_map(|http| &http.paths)
            .map(|path| &path.backend)
            .chain(spec.default_backend.as_ref())
    })
}

fn backend_of(view: &View<'_>, name: &ObjectName, backend: &IngressBackend, evidence: &str) -> Option<Finding> {
    let wanted = backend.service.as_ref()?;
    let namespace = name.namespace.as_deref().unwrap_or_default();
    let service = ObjectName::namespaced("Service", namespace, wanted.name.clone());
    let Some(facts) = view.facts.service(namespace, &wanted.name) else {
        let list = view.facts.case.complete_list(Resource::Services)?;
        let near = closest(
            &wanted.name,
            view.facts.services.iter().map(|known| known.name.name.as_str()),
        );
        let hint = near
            .first()
            .map_or(String::new(), |other| format!("; Service {other} exists"));
        // Whom the Service that was most likely meant leads to gets none of these requests.
        let meant = view
            .facts
            .services
            .iter()
            .filter(|known| near.first().is_some_and(|other| known.name.name == *other))
            .flat_map(|known| &known.workloads)
            .filter_map(|index| view.facts.workloads.get(*index))
            .map(|workload| workload.name.clone());
        return Some(
            claim("IngressWithoutBackend", name, Depth::Fault, Basis::Stated, 1)
                .says(format!("{name} routes to {service}, which does not exist{hint}"))
                .cites([evidence, list])
                .affects(meant)
                .manual(format!(
                    "create {service}, or let {name} route to one that exists{hint}"
                ))
                .done(),
        );
    };
    let port = wanted.port.as_ref()?;
    let ports = facts.service.spec.as_ref()?.ports.as_deref().unwrap_or_default();
    let there = ports.iter().any(|known| {
        port.number.is_some_and(|number| known.port == number)
            || port.name.as_ref().is_some_and(|name| known.name.as_ref() == Some(name))
    });
    if there || ports.is_empty() || (port.number.is_none() && port.name.is_none()) {
        return None;
    }
    let shown = port
        .number
        .map_or_else(|| port.name.clone().unwrap_or_default(), |number| number.to_string());
    let has: Vec<String> = ports
        .iter()
        .map(|known| match &known.name {
            Some(name) => format!("{} ({name})", known.port),
            None => known.port.to_string(),
        })
        .collect();
    let behind = facts
        .workloads
        .iter()
        .filter_map(|index| view.facts.workloads.get(*index))
        .map(|workload| workload.name.clone());
    Some(
        claim("IngressWrongPort", name, Depth::Fault, Basis::Inferred, 2)
            .says(format!(
                "{name} routes to port {shown} of {service}, which that Service does not have: it has {}",
                has.join(", ")
            ))
            .cites([evidence, facts.evidence])
            .affects(std::iter::once(service).chain(behind))
            .manual(format!("let {name} route to port {}", has.join(" or ")))
            .done(),
    )
}

fn class(view: &View<'_>, name: &ObjectName, ingress: &Ingress, evidence: &str) -> Option<Finding> {
    let list = view.facts.case.complete_list(Resource::IngressClasses)?;
    let wanted = ingress.spec.as_ref()?.ingress_class_name.as_deref()?;
    let mut classes = view
        .facts
        .case
        .all::<IngressClass>()
        .map(|(known, _, _)| known.name.as_str());
    if classes.any(|known| known == wanted) {
        return None;
    }
    let near = closest(
        wanted,
        view.facts
            .case
            .all::<IngressClass>()
            .map(|(known, _, _)| known.name.as_str()),
    );
    let hint = near
        .first()
        .map_or(String::new(), |other| format!("; IngressClass {other} exists"));
    Some(
        claim("IngressClassMissing", name, Depth::Fault, Basis::Inferred, 2)
            .says(format!(
                "{name} asks for the IngressClass {wanted}, which does not exist, so no controller serves it{hint}"
            ))
            .cites([evidence, list])
            .manual(format!(
                "name an IngressClass that exists{hint}, or install the controller that serves {wanted}"
            ))
            .done(),
    )
}

fn refused(view: &View<'_>, name: &ObjectName, evidence: &str) -> Option<Finding> {
    let event = view
        .facts
        .events(name)
        .iter()
        .copied()
        .filter(|event| event.warning)
        .max_by_key(|event| event.last)?;
    Some(
        claim("IngressRefused", name, Depth::Fault, Basis::Stated, 0)
            .says(format!(
                "the controller of {name} refuses it or a part of it: {}: {}",
                event.reason,
                clip(&event.message, 300)
            ))
            .cites([event.evidence.as_str(), evidence])
            .since(event.first)
            .manual("correct what the controller names (a certificate's Secret, an annotation, a path)")
            .done(),
    )
}
