//! Variables that Kubernetes itself sets for each Service (`REDIS_PORT=tcp://10.96.0.7:6379`) and that a program takes for its own
//! setting.
//!
//! Evidence: the last words of a container that fails, which quote such a value; the Service with that address; a pod template that does
//! not turn service links off. Looks alike: a call to that address that fails, and a setting of that name in the pod template.

use std::sync::LazyLock;

use k8s_openapi::api::core::v1::Service;
use regex::Regex;

use super::{KnownCause, View, claim, known, merge};
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::environment;
use crate::diagnosis::finding::{Depth, Finding};
use crate::text::clip;

/// Lines from the end of a log that are its last words.
const LAST: usize = 60;

static LINK: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?:tcp|udp)://(\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})").ok());
/// The words of a parser, not those of a client.
static PARSES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)invalid|pars(?:e|ing)|literal|convert|cast|bad_port|number|integer|malformed|failed to bind propert|must be|should be|cannot be").ok()
});
static CALLS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)refused|timed? ?out|unreachable|resolv|reset by|connecting to").ok());

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[known(
    "ServiceLinkCollision",
    "A variable that Kubernetes sets for a Service has the name of a setting of the program, which cannot read its value.",
    "The value that the program quotes, the Service with that address, enableServiceLinks.",
    "A call to that address that fails.",
)];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (log, workload) in super::signatures::failing_logs(view) {
        if workload.pod_spec().and_then(|spec| spec.enable_service_links) == Some(false) {
            continue;
        }
        let Some(container) = workload.container(&log.container) else {
            continue;
        };
        let told = log
            .lines
            .iter()
            .rev()
            .filter(|line| line.text.len() <= 4000)
            .take(LAST)
            .find_map(|line| Some((line, quoted(&line.text)?)));
        let Some((line, (address, port))) = told else { continue };
        let Some((service, evidence)) = owner(view, &address) else {
            continue;
        };
        let variable = format!("{}_PORT", service.to_ascii_uppercase().replace('-', "_"));
        let env = environment::of(view.facts.case, workload.namespace(), container);
        if env.values.contains_key(&variable) {
            continue;
        }
        merge(
            &mut found,
            claim("ServiceLinkCollision", &workload.name, Depth::Fault, Basis::Logged, 2)
                .says(format!(
                    "container {} of {} reads {variable} as its own setting, and Kubernetes sets it for Service/{service} (tcp://{address}:{port}): \"{}\"",
                    log.container,
                    workload.name,
                    clip(line.text.trim(), 160)
                ))
                .cites([log.evidence.as_str(), workload.evidence, evidence])
                .since(line.at)
                .manual(format!(
                    "set enableServiceLinks: false in the pod template of {}, or set {variable} there to what the program expects",
                    workload.name
                ))
                .done(),
        );
    }
    found
}

/// Address and port of a service link that a parser quotes.
fn quoted(text: &str) -> Option<(String, String)> {
    let captures = LINK.as_ref()?.captures(text)?;
    if !PARSES.as_ref()?.is_match(text) || CALLS.as_ref()?.is_match(text) {
        return None;
    }
    let part = |n: usize| captures.get(n).map(|part| part.as_str().to_owned());
    Some((part(1)?, part(2)?))
}

/// The Service that has this address.
fn owner<'v>(view: &'v View<'_>, address: &str) -> Option<(&'v str, &'v str)> {
    view.facts
        .services
        .iter()
        .find(|facts| cluster_ip(facts.service) == Some(address))
        .map(|facts| (facts.name.name.as_str(), facts.evidence))
}

fn cluster_ip(service: &Service) -> Option<&str> {
    service.spec.as_ref()?.cluster_ip.as_deref()
}
