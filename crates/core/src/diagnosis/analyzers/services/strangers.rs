//! Services whose selector fits pods of another program too: a part of the calls goes where nothing listens. Must never take two
//! versions of one program for strangers. Called by `services`.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::caller_is_refused;
use crate::diagnosis::analyzers::{View, claim, probes};
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{PodFacts, ServiceFacts, Workload, selector_of};
use crate::diagnosis::finding::{Depth, Finding};

/// Whether a workload's pods take calls on a port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Yes,
    No,
    Unknown,
}

/// A Service that selects pods which listen on its port, and others which do not, while a caller is refused.
pub(super) fn selects_strangers(
    view: &View<'_>,
    service: &ServiceFacts<'_>,
    behind: &[&Workload<'_>],
) -> Option<Finding> {
    if behind.len() < 2 {
        return None;
    }
    let refused = caller_is_refused(view, service.name)?;
    let ports = service.service.spec.as_ref()?.ports.as_ref()?;
    ports.iter().find_map(|port| {
        // A named port leaves out pods that have none of that name.
        let target = match port.target_port.clone().unwrap_or(IntOrString::Int(port.port)) {
            IntOrString::Int(number) => number,
            IntOrString::String(_) => return None,
        };
        let ready: Vec<(&Workload<'_>, Takes)> = behind
            .iter()
            .filter(|workload| workload.pods.iter().any(PodFacts::is_ready))
            .map(|workload| (*workload, takes(view, workload, target)))
            .collect();
        let stranger = ready.iter().find(|(_, takes)| *takes == Takes::No)?.0;
        let meant = ready.iter().find(|(_, takes)| *takes == Takes::Yes)?.0;
        let selector = selector_of(service.service)?
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
            .join(",");
        Some(
            claim("ServiceSelectsStrangers", service.name, Depth::Fault, Basis::Inferred, 3)
                .says(format!(
                    "{} ({selector}) selects pods of {} and also of {}, which do not listen on port {target}: a part of the calls is refused",
                    service.name, meant.name, stranger.name
                ))
                .cites([service.evidence, meant.evidence, stranger.evidence, refused])
                .manual(format!(
                    "let the selector of {} name a label that the pods of {} have and those of {} have not, or give {} labels of its own",
                    service.name, meant.name, stranger.name, stranger.name
                ))
                .done(),
        )
    })
}

fn takes(view: &View<'_>, workload: &Workload<'_>, port: i32) -> Takes {
    let declared: Vec<i32> = workload
        .containers()
        .iter()
        .flat_map(|container| container.ports.iter().flatten())
        .map(|port| port.container_port)
        .collect();
    let heard: Vec<i32> = workload
        .pods
        .iter()
        .take(2)
        .flat_map(|pod| workload.containers().iter().map(move |container| (pod, container)))
        .flat_map(|(pod, container)| probes::listening(view, pod, &container.name).0)
        .collect();
    if declared.contains(&port) || heard.contains(&port) {
        Takes::Yes
    } else if !declared.is_empty() || !heard.is_empty() || !workload.is_service() {
        Takes::No
    } else {
        Takes::Unknown
    }
}
