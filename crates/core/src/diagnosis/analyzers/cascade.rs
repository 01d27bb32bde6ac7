//! Failures that pass from one program to the next: a called program that is ready and still does not answer its callers, and a chain of
//! errors that one log tells of several programs.
//!
//! Evidence: the callers' logs; a log whose lines name the program that wrote them. Looks alike: a called program that is down or has a
//! fault of its own (other analyzers say so, and nothing is claimed here), and a caller that alone is cut off.

use std::collections::{BTreeMap, BTreeSet};

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::case_file::LogRecord;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::{self, Level, Signature};
use crate::text::clip;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "DependencyNotAnswering",
        "A called program is ready, has no fault that is known, and does not answer its callers.",
        "The logs of its callers; its pods, which are ready.",
        "A called program that is down or refuses for a reason of its own.",
    ),
    known(
        "CascadeInLog",
        "One log tells of errors that pass from one program to the next.",
        "Lines that name the program that wrote them, each of which names the one before.",
        "Programs that fail for reasons of their own.",
    ),
];

/// Programs that a chain must hold.
const LINKS: usize = 3;

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    view.facts
        .workloads
        .iter()
        .filter_map(|workload| {
            let mut told = view
                .logs
                .positions(&workload.name)
                .iter()
                .filter_map(|at| view.facts.case.logs().get(*at))
                .filter_map(|log| told(workload, log));
            let mut first = told.next()?;
            for id in told.flat_map(|other| other.evidence) {
                if !first.evidence.contains(&id) {
                    first.evidence.push(id);
                }
            }
            Some(first)
        })
        .collect()
}

/// A chain of errors in one log of several programs.
fn told(workload: &Workload<'_>, log: &LogRecord) -> Option<Finding> {
    let mut chain: Vec<(String, String, Option<k8s_openapi::jiff::Timestamp>)> = Vec::new();
    for line in &log.lines {
        let read = logs::line(&line.text);
        let (Some(service), Level::Error) = (&read.service, read.level) else {
            continue;
        };
        let plain = joined(&read.text);
        match chain.last() {
            None => chain.push((service.clone(), read.text.clone().into_owned(), line.at)),
            Some((before, ..)) if before == service => {}
            Some((before, ..)) if plain.contains(&joined(before)) => {
                chain.push((service.clone(), read.text.clone().into_owned(), line.at));
            }
            Some(_) if chain.len() >= LINKS => break,
            Some(_) => {
                chain.clear();
                chain.push((service.clone(), read.text.clone().into_owned(), line.at));
            }
        }
    }
    if chain.len() < LINKS {
        return None;
    }
    let (first, error, since) = chain.first()?;
    let others = chain
        .iter()
        .skip(1)
        .map(|(name, ..)| name.as_str())
        .collect::<Vec<_>>()
        .join(", then ");
    Some(
        claim("CascadeInLog", &workload.name, Depth::Mechanism, Basis::Logged, 0)
            .says(format!(
                "the log of {} tells of a cascade that begins at {first}: \"{}\"; {others} fail after it",
                workload.name,
                clip(error, 200)
            ))
            .cites([log.evidence.as_str(), workload.evidence])
            .since(*since)
            .manual(format!("look at what {first} lost: \"{}\"", clip(error, 160)))
            .done(),
    )
}

/// `Auth service` and `auth_service` are `auth-service`.
fn joined(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == ' ' || c == '_' {
                '-'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

/// Called programs that are ready, about which nothing else was found, and whose callers wait in vain.
pub(super) fn silent_callees(view: &View<'_>, findings: &[Finding]) -> Vec<Finding> {
    let troubled: BTreeSet<&ObjectName> = findings
        .iter()
        .filter(|finding| finding.depth > Depth::Symptom)
        .flat_map(|finding| std::iter::once(&finding.object).chain(&finding.affects))
        .collect();
    let mut callers: BTreeMap<&ObjectName, Vec<&Finding>> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.category == "DependencyFails") {
        for service in finding.points_to.iter().filter(|to| to.kind == "Service") {
            callers.entry(service).or_default().push(finding);
        }
    }
    callers
        .into_iter()
        .filter_map(|(service, calls)| {
            let facts = view.facts.service(service.namespace.as_deref().unwrap_or_default(), &service.name)?;
            let [one] = facts.workloads.as_slice() else { return None };
            let called = view.facts.workloads.get(*one)?;
            let own = calls.iter().any(|call| call.object == called.name);
            if facts.ready == 0 || own || troubled.contains(&called.name) || troubled.contains(service) {
                return None;
            }
            let slow = view
                .logs
                .of(&called.name)
                .find(|(_, group, _)| matches!(group.signature, Signature::Overload | Signature::TimedOut) && group.count >= 3);
            let said = slow.map_or(String::new(), |(_, group, _)| format!("; its own log says \"{}\"", clip(&group.sample, 160)));
            let names = calls.iter().map(|call| call.object.to_string()).collect::<Vec<_>>();
            Some(
                claim(
                    "DependencyNotAnswering",
                    &called.name,
                    Depth::Mechanism,
                    Basis::Logged,
                    u8::from(calls.len() > 1) + u8::from(slow.is_some()),
                )
                .says(format!(
                    "{} is ready and does not answer its callers as they need ({}){said}: {}",
                    called.name,
                    names.join(", "),
                    clip(&calls.first()?.summary, 300)
                ))
                .cites(
                    [called.evidence, facts.evidence]
                        .into_iter()
                        .chain(calls.iter().flat_map(|call| call.evidence.iter().map(String::as_str)))
                        .chain(slow.map(|(_, _, id)| id)),
                )
                .since(calls.iter().filter_map(|call| call.since).min())
                .manual(format!(
                    "find out what {} does with these calls: its threads, its queue, its database; a restart is relief for a while",
                    called.name
                ))
                .done(),
            )
        })
        .collect()
}
