//! Probes that ask the wrong port or path, or that can never succeed; and restarts by a liveness probe.
//!
//! Evidence: events of the kubelet, the probe's spec, the container's declared ports, the port that its log says it listens on.
//! Looks alike: a probe that is right and a program that is ill; that stays a symptom, for another analyzer to explain.

mod patience;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::{Container, Probe as ProbeSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use regex::Regex;

use super::{KnownCause, View, claim, known};
use crate::diagnosis::case_file::EventRecord;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{PodFacts, Workload, ended};
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs;
use crate::diagnosis::remedy::{ContainerRef, KnownValue, Probe, Remedy};
use crate::diagnosis::similar::typo;
use crate::text::clip;

static LISTENS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(?:listen(?:ing|s)?|serving|running|started|bound|available|ready)\b[^\n]{0,60}?(?::|\bport:? ?)(\d{2,5})\b").ok()
});

/// So many errors in a program's log show that it is ill, whatever its probe is.
const TELLING_ERRORS: usize = 3;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "WrongProbePort",
        "A probe asks a port that nothing listens on.",
        "Unhealthy events, the probe, declared ports, the port that the log names.",
        "A right probe and a program that is down.",
    ),
    known(
        "WrongProbePath",
        "A probe asks a path that the program does not have.",
        "Unhealthy events with status 404 or 405.",
        "A program that answers 500 or 503: it is ill itself.",
    ),
    known(
        "WrongProbeProtocol",
        "A probe speaks another protocol than the program: HTTP for HTTPS, gRPC health where there is none.",
        "Unhealthy events in the words of the client, the program's log.",
        "A wrong port or path; a certificate that is wrong (probes do not check it).",
    ),
    known(
        "ProbeUnauthorized",
        "A probe asks a path that wants credentials.",
        "Unhealthy events with status 401 or 403.",
        "A program that is ill (500, 503).",
    ),
    known(
        "ProbeNeverSucceeds",
        "A probe's command fails whatever the program does.",
        "Unhealthy events of an exec probe.",
        "A command that reports truly that the program is ill.",
    ),
    known(
        "ProbeTooStrict",
        "A probe gives up before the program answers.",
        "Unhealthy events with a timeout, the probe's timeoutSeconds.",
        "A program held up by its CPU limit or by what it waits for.",
    ),
    known(
        "ProbeKillsSlowStart",
        "A liveness or startup probe ends the program before it has started.",
        "The probe's patience beside the length of the last run, a log without a listening port.",
        "A program that ends itself.",
    ),
    known(
        "ProbeFails",
        "A probe fails; the program is ill, for a reason that another cause gives.",
        "Unhealthy events.",
        "A probe that failed only while the pod started.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in &view.facts.workloads {
        for kind in [Probe::StartupProbe, Probe::LivenessProbe, Probe::ReadinessProbe] {
            found.extend(judge(view, workload, kind));
        }
    }
    found
}

fn word(kind: Probe) -> &'static str {
    match kind {
        Probe::ReadinessProbe => "readiness",
        Probe::LivenessProbe => "liveness",
        Probe::StartupProbe => "startup",
    }
}

fn spec_of(container: &Container, kind: Probe) -> Option<&ProbeSpec> {
    match kind {
        Probe::ReadinessProbe => container.readiness_probe.as_ref(),
        Probe::LivenessProbe => container.liveness_probe.as_ref(),
        Probe::StartupProbe => container.startup_probe.as_ref(),
    }
}

fn judge(view: &View<'_>, workload: &Workload<'_>, kind: Probe) -> Option<Finding> {
    // "failed", and "errored" where the kubelet could not even ask.
    let prefix = format!("{} probe ", word(kind));
    let (pod, event) = workload
        .pods
        .iter()
        .filter(|pod| !pod.is_going() && !pod.is_over())
        .flat_map(|pod| view.facts.events(pod.name).iter().map(move |event| (pod, *event)))
        .filter(|(_, event)| event.reason == "Unhealthy" && event.message.to_ascii_lowercase().starts_with(&prefix))
        .filter(|(pod, event)| still_counts(pod, kind) || cannot_be_asked(view, pod, event))
        .filter(|(pod, event)| !comes_up_beside_enough(view, workload, pod, event))
        .max_by_key(|(_, event)| event.count)?;
    let container = workload
        .containers()
        .iter()
        .find(|container| spec_of(container, kind).is_some())?;
    let probe = spec_of(container, kind)?;
    let restarts = pod
        .statuses()
        .filter(|(status, _)| status.name == container.name)
        .map(|(status, _)| status.restart_count)
        .max()
        .unwrap_or(0);
    let effect = if kind == Probe::ReadinessProbe {
        "is never ready".to_owned()
    } else if restarts == 0 && cannot_be_asked(view, pod, event) {
        "would not be restarted by the kubelet if it hung".to_owned()
    } else {
        format!("is restarted by the kubelet ({restarts} times)")
    };
    let message = event.message.to_ascii_lowercase();
    let base = |category: &str, depth, agreeing| claim(category, &workload.name, depth, Basis::Stated, agreeing);
    let cited = [event.evidence.as_str(), pod.evidence, workload.evidence];
    let at = ContainerRef {
        workload: workload.name.clone(),
        container: container.name.clone(),
    };

    if let Some((category, what, advice)) = wrong_manner(view, pod, container, &message) {
        return Some(
            base(category, Depth::Fault, 1)
                .says(format!(
                    "the {} probe of container {} of {} {what}; so it {effect} ({})",
                    word(kind),
                    container.name,
                    workload.name,
                    clip(event.message.trim(), 160)
                ))
                .cites(cited)
                .since(event.first)
                .manual(advice)
                .done(),
        );
    }
    if let Some((handler, port)) = port_of(probe)
        && (resolve(port, container).is_none()
            || message.contains("connection refused")
            || message.contains("connect: ")
            || message.contains("timeout")
            || message.contains("deadline"))
    {
        let number = resolve(port, container);
        let declared: BTreeSet<i32> = container
            .ports
            .iter()
            .flatten()
            .map(|port| port.container_port)
            .collect();
        let (listening, log_evidence) = listening(view, pod, &container.name);
        let working = [Probe::ReadinessProbe, Probe::LivenessProbe]
            .into_iter()
            .filter(|other| *other != kind)
            .filter_map(|other| {
                spec_of(container, other)
                    .and_then(port_of)
                    .and_then(|(_, port)| resolve(port, container))
            })
            .find(|other| Some(*other) != number);
        let off = match number {
            None => true,
            Some(number) => {
                let undeclared = !declared.is_empty() && !declared.contains(&number);
                let unheard = !listening.is_empty() && !listening.contains(&number);
                undeclared || unheard
            }
        };
        if off {
            // The right port: where the program says that it listens, else the only one that is declared, else the other probe's.
            let to = match (listening.len(), declared.len()) {
                (1, _) => listening.first().copied(),
                (_, 1) => declared.first().copied(),
                _ => working.filter(|port| listening.contains(port) || declared.contains(port)),
            };
            let agreeing = 1 + u8::from(!listening.is_empty()) + u8::from(declared.len() == 1);
            let right = to.map_or(String::new(), |port| format!("; the container listens on port {port}"));
            return Some(
                base("WrongProbePort", Depth::Fault, agreeing)
                    .says(format!(
                        "the {} probe of container {} of {} asks port {}, where nothing listens{right}; so it {effect}",
                        word(kind),
                        container.name,
                        workload.name,
                        show(port)
                    ))
                    .cites(cited.into_iter().chain(log_evidence))
                    .since(event.first)
                    .remedy(Remedy::ProbePort {
                        container: at,
                        probe: kind,
                        handler: handler.to_owned(),
                        from: show(port),
                        to: to.map(|port| port.to_string()),
                    })
                    .done(),
            );
        }
    }
    if message.contains("statuscode: 404") || message.contains("statuscode: 405") {
        let path = probe
            .http_get
            .as_ref()
            .and_then(|http| http.path.as_deref())
            .unwrap_or("/");
        return Some(
            base("WrongProbePath", Depth::Fault, 1)
                .says(format!(
                    "the {} probe of container {} of {} asks the path {path}, which the program does not have (404); so it {effect}",
                    word(kind),
                    container.name,
                    workload.name
                ))
                .cites(cited)
                .since(event.first)
                .remedy(right_path(container, kind, path, pod.evidence, at))
                .done(),
        );
    }
    if let Some(exec) = &probe.exec {
        let command = exec.command.as_deref().unwrap_or_default().join(" ");
        let missing = message.contains("executable file not found")
            || message.contains("no such file")
            || message.contains("not found");
        // A program that is itself in trouble fails a check that is right.
        let tells = view
            .facts
            .logs(pod.name, &container.name)
            .any(|log| logs::has_errors(log, TELLING_ERRORS));
        if tells && !missing {
            return Some(
                base("ProbeFails", Depth::Symptom, 0)
                    .says(format!(
                        "the {} probe of container {} of {} (`{}`) fails, while the program's log tells of errors",
                        word(kind),
                        container.name,
                        workload.name,
                        clip(&command, 120)
                    ))
                    .cites(cited)
                    .since(event.first)
                    .done(),
            );
        }
        let reason = if missing {
            "its command is not in the image"
        } else {
            "it always fails"
        };
        return Some(
            base(
                "ProbeNeverSucceeds",
                Depth::Fault,
                u8::from(event.count > 2) + u8::from(missing),
            )
            .says(format!(
                "the {} probe of container {} of {} runs `{}`: {reason}, so the container {effect}",
                word(kind),
                container.name,
                workload.name,
                clip(&command, 120)
            ))
            .cites(cited)
            .since(event.first)
            .manual(format!(
                "replace the {} probe by one that checks the program itself",
                word(kind)
            ))
            .done(),
        );
    }
    if kind != Probe::ReadinessProbe
        && restarts > 0
        && message.contains("refused")
        && let Some(finding) = patience::slow_start(view, workload, pod, container, kind, event)
    {
        return Some(finding);
    }
    let late = message.contains("timeout") || message.contains("deadline");
    if late && (kind == Probe::ReadinessProbe || restarts > 0) {
        return Some(patience::too_strict(
            view, workload, pod, container, kind, event, &effect,
        ));
    }
    Some(
        base("ProbeFails", Depth::Symptom, 0)
            .says(format!(
                "{} of container {} of {}",
                clip(event.message.trim(), 200),
                container.name,
                workload.name
            ))
            .cites(cited)
            .since(event.first)
            .done(),
    )
}

/// The probe reaches the program, and speaks to it in the wrong manner.
fn wrong_manner(
    view: &View<'_>,
    pod: &PodFacts<'_>,
    container: &Container,
    message: &str,
) -> Option<(&'static str, &'static str, &'static str)> {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let log_says = |words: &str| {
        view.facts.logs(pod.name, &container.name).any(|log| {
            log.lines
                .iter()
                .rev()
                .take(200)
                .any(|line| line.text.to_ascii_lowercase().contains(words))
        })
    };
    if has(&[
        "gave http response to https client",
        "first record does not look like a tls handshake",
    ]) {
        Some((
            "WrongProbeProtocol",
            "asks by HTTPS, and the program speaks HTTP",
            "set scheme HTTP in the probe",
        ))
    } else if has(&["statuscode: 400"]) && log_says("http request to an https server") {
        Some((
            "WrongProbeProtocol",
            "asks by HTTP, and the program speaks HTTPS",
            "set scheme HTTPS in the probe",
        ))
    } else if has(&[
        "does not implement the grpc health protocol",
        "unknown service grpc.health.v1.health",
    ]) {
        Some((
            "WrongProbeProtocol",
            "asks by gRPC's health protocol, which the program does not have",
            "let the program serve grpc.health.v1.Health, or use a tcpSocket probe",
        ))
    } else if has(&["statuscode: 401", "statuscode: 403"]) {
        Some((
            "ProbeUnauthorized",
            "asks a path that wants credentials",
            "let the probe ask a path that needs none, or give it the header in httpHeaders",
        ))
    } else {
        None
    }
}

/// The path that another probe of the container asks, where this one's differs from it by a slip.
fn right_path(container: &Container, kind: Probe, path: &str, evidence: &str, at: ContainerRef) -> Remedy {
    let others = [Probe::ReadinessProbe, Probe::LivenessProbe, Probe::StartupProbe]
        .into_iter()
        .filter(|other| *other != kind)
        .filter_map(|other| spec_of(container, other)?.http_get.as_ref()?.path.as_deref());
    let manual = Remedy::Manual {
        instruction: format!("let the {} probe ask a path that the program has", word(kind)),
    };
    let Some(meant) = typo(path, others) else {
        return manual;
    };
    let fix = Remedy::ProbeField {
        container: at,
        probe: kind,
        field: "httpGet.path".to_owned(),
        from: path.to_owned(),
        to: Some(KnownValue {
            value: meant.to_owned(),
            source: "another probe of the container".to_owned(),
            evidence: vec![evidence.to_owned()],
        }),
    };
    fix.or(Some(manual))
}

/// The kubelet cannot even ask, again and again: it takes no answer for a good one.
fn cannot_be_asked(view: &View<'_>, pod: &PodFacts<'_>, event: &EventRecord) -> bool {
    const ERRORED: &str = " probe errored";
    let times: i32 = view
        .facts
        .events(pod.name)
        .iter()
        .filter(|other| other.reason == event.reason && other.message.contains(ERRORED))
        .map(|other| other.count.max(1))
        .fold(0, i32::saturating_add);
    event.message.contains(ERRORED) && times >= 3
}

/// A probe that failed while the pod started, and holds since, is over.
fn still_counts(pod: &PodFacts<'_>, kind: Probe) -> bool {
    match kind {
        Probe::ReadinessProbe => !pod.is_ready(),
        _ => {
            pod.statuses()
                .any(|(status, _)| status.restart_count > 0 && ended(status).is_some())
                || !pod.is_ready()
        }
    }
}

/// A rollout's new pod, asked before it listens, while the workload has all the pods it wants: a deploy in progress. Where pods lack,
/// the same words are a symptom that may lead to what the pod waits for.
fn comes_up_beside_enough(view: &View<'_>, workload: &Workload<'_>, pod: &PodFacts<'_>, event: &EventRecord) -> bool {
    let enough = workload
        .desired
        .and_then(|desired| usize::try_from(desired).ok())
        .is_some_and(|desired| desired > 0 && workload.ready() >= desired);
    enough && event.message.contains("connection refused") && super::pods::is_starting(pod, view.facts.case.now())
}

fn port_of(probe: &ProbeSpec) -> Option<(&'static str, &IntOrString)> {
    let http = probe.http_get.as_ref().map(|http| ("httpGet", &http.port));
    http.or_else(|| probe.tcp_socket.as_ref().map(|tcp| ("tcpSocket", &tcp.port)))
}

fn resolve(port: &IntOrString, container: &Container) -> Option<i32> {
    match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_deref() == Some(name))
            .map(|port| port.container_port)
            .or_else(|| name.parse().ok()),
    }
}

fn show(port: &IntOrString) -> String {
    match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    }
}

/// Ports that the container's log says it listens on.
pub(super) fn listening<'v>(
    view: &'v View<'_>,
    pod: &'v PodFacts<'_>,
    container: &'v str,
) -> (BTreeSet<i32>, Option<&'v str>) {
    let mut ports = BTreeSet::new();
    let mut evidence = None;
    for log in view.facts.logs(pod.name, container) {
        for line in log.lines.iter().take(400) {
            if let Some(port) = LISTENS
                .as_ref()
                .and_then(|regex| regex.captures(&line.text))
                .and_then(|c| c.get(1)?.as_str().parse().ok())
            {
                ports.insert(port);
                evidence = Some(log.evidence.as_str());
            }
        }
    }
    (ports, evidence)
}
