//! Services that select nothing, send to a port that nothing listens on, or get no address; workloads scaled to nothing behind a Service.
//!
//! Evidence: selectors beside the pods' labels, endpoint readiness, ports. Looks alike: a Service without selector (its endpoints are
//! made by hand), a headless one, and a Service whose pods are merely not ready yet: that points on to the pods.

mod strangers;

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::SignedDuration;
use regex::Regex;

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{ServiceFacts, Workload, selector_of};
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::remedy::Remedy;
use crate::sandbox::command::Resource;
use crate::text::clip;

/// A load balancer's address takes a while; this long it does not.
const ADDRESS_SECS: i64 = 120;

static SCALED_DOWN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"Scaled down replica set \S+ (?:from (\d+) )?to 0").ok());

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "ServiceSelectsNothing",
        "A Service's selector matches no pod.",
        "The selector beside labels of all pods and templates.",
        "A Service without selector; pods that are merely not ready.",
    ),
    known(
        "ServiceWithoutEndpoints",
        "None of a Service's pods is ready; they say why.",
        "The selector and readiness of the pods.",
        "A selector that matches nothing.",
    ),
    known(
        "ServiceWrongPort",
        "A Service sends to a port that its pods do not have.",
        "targetPort beside declared ports, the port that the log names, a caller that is refused.",
        "A program that does not listen yet.",
    ),
    known(
        "ServiceSelectsStrangers",
        "A Service's selector fits pods of another program too, so that a part of the calls goes where nothing listens.",
        "The selector beside both programs' labels and ports, a caller that is refused.",
        "Two versions of one program behind one Service.",
    ),
    known(
        "ScaledToZero",
        "What a Service needs is scaled to nothing.",
        "replicas 0, the ScalingReplicaSet event, the Service that selects it.",
        "A workload that nobody calls and that rests by design.",
    ),
    known(
        "ServiceWrongProtocol",
        "A Service forwards one protocol (UDP) to a port that its pods declare for another (TCP).",
        "The Service's port beside the declared ports.",
        "A port that the pods do not have at all.",
    ),
    known(
        "LoadBalancerPending",
        "A Service of type LoadBalancer gets no address.",
        "No address in its status for longer than two minutes; events of the cloud's controller.",
        "A Service that was made a moment ago.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for service in &view.facts.services {
        found.extend(without_address(view, service));
        if selector_of(service.service).is_none() {
            continue;
        }
        if service.workloads.is_empty() {
            found.extend(selects_nothing(view, service));
        } else if service.ready == 0 {
            found.push(no_endpoint(view, service));
        } else {
            let behind: Vec<&Workload<'_>> = service
                .workloads
                .iter()
                .filter_map(|index| view.facts.workloads.get(*index))
                .collect();
            found.extend(
                wrong_port(view, service, &behind)
                    .or_else(|| wrong_protocol(service, &behind))
                    .or_else(|| strangers::selects_strangers(view, service, &behind)),
            );
        }
    }
    for workload in &view.facts.workloads {
        found.extend(scaled_to_nothing(view, workload));
    }
    found
}

/// The workload that a selector nearly fits: all labels but one, and that one is on its pods with another value.
fn near_miss<'f, 'a>(
    view: &'f View<'a>,
    service: &ServiceFacts<'_>,
) -> Vec<(&'f Workload<'a>, String, String, String)> {
    let Some(selector) = selector_of(service.service) else {
        return Vec::new();
    };
    view.facts
        .workloads
        .iter()
        .filter(|workload| Some(workload.namespace()) == service.name.namespace.as_deref() && workload.is_service())
        .filter_map(|workload| {
            let off: Vec<(&String, &String)> = selector
                .iter()
                .filter(|(key, value)| workload.label(key) != Some(value.as_str()))
                .collect();
            let [(key, wanted)] = off.as_slice() else { return None };
            let has = workload.label(key)?;
            // With a single label nothing else ties the two together, but the name.
            let tied = selector.len() > 1
                || workload.name.name == service.name.name
                || workload.name.name.starts_with(&service.name.name)
                || service.name.name.starts_with(&workload.name.name);
            tied.then(|| (workload, (*key).clone(), (*wanted).clone(), has.to_owned()))
        })
        .collect()
}

fn selects_nothing(view: &View<'_>, service: &ServiceFacts<'_>) -> Option<Finding> {
    let pods = view.facts.case.complete_list(Resource::Pods)?;
    let selector = selector_of(service.service)?;
    let shown = selector
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",");
    let near = near_miss(view, service);
    let slices = view.facts.case.complete_list(Resource::EndpointSlices);
    let agreeing = 1 + u8::from(slices.is_some()) + u8::from(near.len() == 1);
    let base = claim(
        "ServiceSelectsNothing",
        service.name,
        Depth::Fault,
        Basis::Inferred,
        agreeing,
    )
    .cites(
        [service.evidence, pods]
            .into_iter()
            .chain(slices)
            .chain(near.iter().map(|(workload, ..)| workload.evidence)),
    );
    Some(match near.as_slice() {
        [(workload, key, from, to)] => base
            .says(format!(
                "{} has no endpoints: its selector {shown} matches no pod; the pods of {} are labelled {key}={to}, the selector wants {key}={from}",
                service.name, workload.name
            ))
            .affects([workload.name.clone()])
            .remedy(Remedy::ServiceSelector {
                service: service.name.clone(),
                key: key.clone(),
                from: from.clone(),
                to: Some(to.clone()),
            })
            .long_term(format!("let one tool own both the labels of {} and the selector of {}", workload.name, service.name))
            .done(),
        [] => base
            .says(format!("{} has no endpoints: its selector {shown} matches no pod and no workload", service.name))
            .manual(format!("correct the selector of {}, or start the workload that it is meant for", service.name))
            .done(),
        several => base
            .says(format!(
                "{} has no endpoints: its selector {shown} matches no pod; it may be meant for {}",
                service.name,
                several.iter().map(|(workload, ..)| workload.name.to_string()).collect::<Vec<_>>().join(" or ")
            ))
            .manual(format!("say which workload {} is meant for, and correct its selector", service.name))
            .done(),
    })
}

fn no_endpoint(view: &View<'_>, service: &ServiceFacts<'_>) -> Finding {
    let behind: Vec<&Workload<'_>> = service
        .workloads
        .iter()
        .filter_map(|index| view.facts.workloads.get(*index))
        .collect();
    let names = behind
        .iter()
        .map(|workload| workload.name.to_string())
        .collect::<Vec<_>>()
        .join(", ");
    claim(
        "ServiceWithoutEndpoints",
        service.name,
        Depth::Mechanism,
        Basis::Inferred,
        2,
    )
    .says(format!(
        "{} has no ready endpoint: none of the pods of {names} is ready",
        service.name
    ))
    .cites(
        [service.evidence]
            .into_iter()
            .chain(behind.iter().map(|workload| workload.evidence)),
    )
    .points_to(behind.iter().map(|workload| workload.name.clone()))
    .done()
}

fn wrong_port(view: &View<'_>, service: &ServiceFacts<'_>, behind: &[&Workload<'_>]) -> Option<Finding> {
    let ports = service.service.spec.as_ref()?.ports.as_ref()?;
    let declared: Vec<(Option<&str>, i32)> = behind
        .iter()
        .flat_map(|workload| workload.containers())
        .flat_map(|container| container.ports.iter().flatten())
        .map(|port| (port.name.as_deref(), port.container_port))
        .collect();
    let mut heard: Vec<(i32, &str)> = behind
        .iter()
        .flat_map(|workload| workload.pods.iter().take(2).map(move |pod| (workload, pod)))
        .flat_map(|(workload, pod)| workload.containers().iter().map(move |container| (pod, container)))
        .flat_map(|(pod, container)| {
            let (ports, evidence) = super::probes::listening(view, pod, &container.name);
            ports.into_iter().filter_map(move |port| Some((port, evidence?)))
        })
        .collect();
    heard.sort_unstable();
    heard.dedup_by_key(|(port, _)| *port);
    for (index, port) in ports.iter().enumerate() {
        let target = port.target_port.clone().unwrap_or(IntOrString::Int(port.port));
        let (shown, known, named) = match &target {
            IntOrString::Int(number) => (
                number.to_string(),
                declared.iter().any(|(_, known)| known == number),
                false,
            ),
            IntOrString::String(name) => (
                name.clone(),
                declared.iter().any(|(known, _)| *known == Some(name)),
                true,
            ),
        };
        // A number need not be declared; without any declaration only the log can say.
        let listens = |number: &i32| heard.iter().any(|(port, _)| port == number);
        let heard_there = matches!(&target, IntOrString::Int(number) if listens(number));
        if known || heard_there || (declared.is_empty() && heard.is_empty() && !named) {
            continue;
        }
        let refused = caller_is_refused(view, service.name);
        let asked_for = view.facts.case.target() == Some(service.name);
        let nowhere = goes_nowhere(view, service, behind, &target);
        if !named && refused.is_none() && !((asked_for && !heard.is_empty()) || nowhere) {
            continue;
        }
        let mut numbers: Vec<i32> = match heard.as_slice() {
            [] => declared.iter().map(|(_, number)| *number).collect(),
            heard => heard.iter().map(|(number, _)| *number).collect(),
        };
        numbers.sort_unstable();
        numbers.dedup();
        let to = match numbers.as_slice() {
            [one] => Some(one.to_string()),
            _ => None,
        };
        let right = to.as_ref().map_or(String::new(), |to| format!("; they have port {to}"));
        return Some(
            claim(
                "ServiceWrongPort",
                service.name,
                Depth::Fault,
                Basis::Inferred,
                1 + u8::from(refused.is_some()) + u8::from(to.is_some()),
            )
            .says(format!(
                "{} sends to targetPort {shown}, which its pods do not have{right}",
                service.name
            ))
            .cites(
                [service.evidence]
                    .into_iter()
                    .chain(behind.iter().map(|workload| workload.evidence))
                    .chain(heard.iter().map(|(_, id)| *id))
                    .chain(refused),
            )
            .affects(behind.iter().map(|workload| workload.name.clone()))
            .remedy(Remedy::ServicePort {
                service: service.name.clone(),
                index,
                from: shown,
                to,
            })
            .done(),
        );
    }
    None
}

/// Without a caller that says so: a number that the pods' one container does not declare, although it declares others, while no probe
/// asks it, and no other Service leads to these pods. A metrics port beside the real one is no such thing.
fn goes_nowhere(view: &View<'_>, service: &ServiceFacts<'_>, behind: &[&Workload<'_>], target: &IntOrString) -> bool {
    let IntOrString::Int(number) = target else { return false };
    let [workload] = behind else { return false };
    let [container] = workload.containers() else {
        return false;
    };
    let declares = container.ports.as_ref().is_some_and(|ports| !ports.is_empty());
    let probed = [
        &container.readiness_probe,
        &container.liveness_probe,
        &container.startup_probe,
    ]
    .into_iter()
    .flatten()
    .filter_map(|probe| {
        probe
            .http_get
            .as_ref()
            .map(|http| &http.port)
            .or_else(|| probe.tcp_socket.as_ref().map(|tcp| &tcp.port))
    })
    .any(|port| matches!(port, IntOrString::Int(asked) if asked == number));
    let only_port = service
        .service
        .spec
        .as_ref()
        .and_then(|spec| spec.ports.as_ref())
        .is_some_and(|ports| ports.len() == 1);
    let only_service = view
        .facts
        .services
        .iter()
        .filter(|other| {
            other
                .workloads
                .iter()
                .filter_map(|index| view.facts.workloads.get(*index))
                .any(|known| known.name == workload.name)
        })
        .count()
        == 1;
    let asked_for = view.facts.case.target() == Some(service.name);
    declares && !probed && ((only_port && only_service) || asked_for)
}

/// The number is declared, for another protocol.
fn wrong_protocol(service: &ServiceFacts<'_>, behind: &[&Workload<'_>]) -> Option<Finding> {
    let ports = service.service.spec.as_ref()?.ports.as_ref()?;
    let [workload] = behind else { return None };
    let declared: Vec<(i32, &str)> = workload
        .containers()
        .iter()
        .flat_map(|container| container.ports.iter().flatten())
        .map(|port| (port.container_port, port.protocol.as_deref().unwrap_or("TCP")))
        .collect();
    let (port, number, other) = ports.iter().find_map(|port| {
        let number = match &port.target_port {
            None => port.port,
            Some(IntOrString::Int(number)) => *number,
            Some(IntOrString::String(_)) => return None,
        };
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let known: Vec<&str> = declared
            .iter()
            .filter(|(known, _)| *known == number)
            .map(|(_, protocol)| *protocol)
            .collect();
        // The same port for both protocols in two entries is usual for DNS.
        let both = ports
            .iter()
            .any(|twin| twin.port == port.port && twin.protocol != port.protocol);
        (!known.is_empty() && !known.contains(&protocol) && !both).then(|| (port, number, known.join(", ")))
    })?;
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    Some(
        claim("ServiceWrongProtocol", service.name, Depth::Fault, Basis::Inferred, 1)
            .says(format!(
                "{} forwards {protocol} to port {number} of the pods of {}, which declare that port for {other}",
                service.name, workload.name
            ))
            .cites([service.evidence, workload.evidence])
            .affects([workload.name.clone()])
            .manual(format!(
                "set the protocol of port {} of {} to {other}",
                port.port, service.name
            ))
            .done(),
    )
}

fn without_address(view: &View<'_>, service: &ServiceFacts<'_>) -> Option<Finding> {
    let spec = service.service.spec.as_ref()?;
    if spec.type_.as_deref() != Some("LoadBalancer") || view.facts.case.target() != Some(service.name) {
        return None;
    }
    let has = service
        .service
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref())
        .is_some_and(|list| !list.is_empty());
    let made = crate::diagnosis::facts::created(&service.service.metadata)?;
    if has || view.facts.case.now().duration_since(made) < SignedDuration::from_secs(ADDRESS_SECS) {
        return None;
    }
    let event = view
        .facts
        .events(service.name)
        .iter()
        .copied()
        .filter(|event| event.warning)
        .max_by_key(|event| event.last);
    let why = event.map_or_else(
        || "nothing in the cluster has said why: there may be no load balancer controller".to_owned(),
        |event| clip(&event.message, 240),
    );
    Some(
        claim(
            "LoadBalancerPending",
            service.name,
            Depth::Fault,
            Basis::Stated,
            u8::from(event.is_some()),
        )
        .says(format!(
            "{} is of type LoadBalancer and has no address (pending): {why}",
            service.name
        ))
        .cites(
            [service.evidence]
                .into_iter()
                .chain(event.map(|event| event.evidence.as_str())),
        )
        .since(Some(made))
        .manual("install or repair the cluster's load balancer controller, or use NodePort, ClusterIP or an Ingress")
        .done(),
    )
}

/// Evidence of a log that says that a call to this Service was refused or timed out.
fn caller_is_refused<'v>(view: &'v View<'_>, service: &ObjectName) -> Option<&'v str> {
    view.facts.workloads.iter().find_map(|workload| {
        view.logs
            .of(&workload.name)
            .filter(|(_, group, _)| crate::diagnosis::graph::is_call(group.signature))
            .find(|(_, group, _)| {
                matches!(
                    crate::diagnosis::graph::called(view.facts.case, workload, group),
                    Some(crate::diagnosis::graph::Destination::Service(called)) if called == *service
                )
            })
            .map(|(_, _, evidence)| evidence)
    })
}

fn scaled_to_nothing(view: &View<'_>, workload: &Workload<'_>) -> Option<Finding> {
    if workload.desired != Some(0) || !matches!(workload.name.kind.as_str(), "Deployment" | "StatefulSet") {
        return None;
    }
    let service = view.facts.services.iter().find(|service| {
        service
            .workloads
            .iter()
            .filter_map(|index| view.facts.workloads.get(*index))
            .any(|known| known.name == workload.name)
    });
    let is_target = view.facts.case.target() == Some(&workload.name);
    if service.is_none() && !is_target {
        return None;
    }
    let scaled = view
        .facts
        .events(&workload.name)
        .iter()
        .copied()
        .filter(|event| event.reason == "ScalingReplicaSet")
        .find_map(|event| {
            let captures = SCALED_DOWN.as_ref()?.captures(&event.message)?;
            let before = captures.get(1).and_then(|m| m.as_str().parse::<i32>().ok());
            Some((event, before))
        });
    let before = scaled.and_then(|(_, before)| before).unwrap_or(1).max(1);
    let from = scaled
        .and_then(|(_, before)| before)
        .map_or(String::new(), |before| format!(", from {before}"));
    // Made with 0 replicas and never changed: nothing shows that it ever ran, or how many of it should.
    let from_the_start = scaled.is_none()
        && view
            .facts
            .case
            .entry(&workload.name)
            .and_then(|entry| entry.object.metadata())
            .is_some_and(|metadata| metadata.generation == Some(1));
    let remedy = if from_the_start {
        Remedy::Manual {
            instruction: format!(
                "say how many replicas {} should have: it was made with 0, and no evidence shows another number",
                workload.name
            ),
        }
    } else {
        Remedy::ScaleUp {
            workload: workload.name.clone(),
            from: 0,
            to: before,
        }
    };
    Some(
        claim(
            "ScaledToZero",
            &workload.name,
            Depth::Fault,
            Basis::Stated,
            u8::from(scaled.is_some()) + u8::from(service.is_some()),
        )
        .says(format!(
            "{} is scaled to 0 replicas{from}, so nothing serves",
            workload.name
        ))
        .cites(
            [workload.evidence]
                .into_iter()
                .chain(scaled.map(|(event, _)| event.evidence.as_str()))
                .chain(service.map(|service| service.evidence)),
        )
        .since(scaled.and_then(|(event, _)| event.last))
        .remedy(remedy)
        .done(),
    )
}
