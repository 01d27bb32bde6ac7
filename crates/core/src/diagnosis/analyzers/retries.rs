//! A client that tries again too soon and too often, and so overloads what it calls.
//!
//! Evidence: the log of the overloaded program, which names its clients and their attempts; else the client's own log, which tells of its
//! retries. Looks alike: load of many clients, and a client that calls often without trying again.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::jiff::Timestamp;
use regex::Regex;

use super::{KnownCause, View, claim, known};
use crate::diagnosis::case_file::LogRecord;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::{self, Level, Signature};
use crate::text::clip;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[known(
    "RetryStorm",
    "A client tries its calls again so soon and so often that it overloads what it calls.",
    "The log of the overloaded program, which names the client and its attempts.",
    "Load of many clients; a client that calls often and does not retry.",
)];

/// Fewer refused calls are no storm.
const LEAST: usize = 20;
/// An attempt of this number or above is a repetition, not the second try that everybody makes.
const THIRD: u64 = 3;

static CLIENT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?i)["']?\b(?:client|client[_-]?(?:name|id)|user[_-]?agent|ua|caller|source|consumer|peer[_-]?service|downstream)["']?\s*[:=]\s*["']?([A-Za-z][A-Za-z0-9.-]*)"#).ok()
});
static ATTEMPT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?i)["']?\b(?:x-)?(?:attempt|retry|retries|retry[_-]?count|try)["']?\s*[:=#]?\s*["']?(\d{1,4})\b"#)
        .ok()
});

/// What an overloaded program's log says of its clients.
#[derive(Default)]
struct Told<'l> {
    lines: usize,
    again: usize,
    most: u64,
    since: Option<Timestamp>,
    sample: &'l str,
}

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    view.facts
        .workloads
        .iter()
        .filter_map(|workload| storm(view, workload))
        .collect()
}

fn storm(view: &View<'_>, called: &Workload<'_>) -> Option<Finding> {
    let (at, _, evidence) = view.logs.of(&called.name).find(|(_, group, _)| {
        matches!(group.signature, Signature::Overload) && group.count >= LEAST && group.ongoing
    })?;
    let log = view.facts.case.logs().get(at).filter(|log| !log.previous)?;
    let (clients, total) = clients(log);
    let (name, told) = clients.iter().max_by_key(|(_, told)| told.lines)?;
    if told.lines < LEAST || told.lines * 10 < total * 7 || told.again * 10 < told.lines * 3 {
        return None;
    }
    let client = view
        .facts
        .workloads
        .iter()
        .filter(|workload| workload.name != called.name)
        .find(|workload| is_named(workload, name))?;
    Some(
        claim("RetryStorm", &client.name, Depth::Fault, Basis::Logged, 2)
            .says(format!(
                "{} retries its calls to {} so soon and so often that it overloads it: {} of the {total} refused calls that name their client are its, up to attempt {} of one call (\"{}\")",
                client.name,
                called.name,
                told.lines,
                told.most,
                clip(told.sample.trim(), 200)
            ))
            .cites([evidence, client.evidence, called.evidence])
            .affects([called.name.clone()])
            .since(told.since)
            .manual(format!(
                "let {} wait longer between attempts (exponential back-off with jitter) and give up sooner",
                client.name
            ))
            .long_term(format!("limit what one client of {} may have in flight", called.name))
            .done(),
    )
}

/// The clients that lines of trouble name, and how many such lines there are.
fn clients(log: &LogRecord) -> (BTreeMap<String, Told<'_>>, usize) {
    let mut found: BTreeMap<String, Told<'_>> = BTreeMap::new();
    let mut total = 0;
    let (Some(client), Some(attempt)) = (CLIENT.as_ref(), ATTEMPT.as_ref()) else {
        return (found, total);
    };
    for line in log.lines.iter().filter(|line| line.text.len() <= 4096) {
        if logs::level(&line.text) == Level::Info {
            continue;
        }
        let Some(name) = client.captures(&line.text).and_then(|captures| captures.get(1)) else {
            continue;
        };
        total += 1;
        let told = found.entry(name.as_str().to_owned()).or_default();
        told.lines += 1;
        let number = attempt
            .captures(&line.text)
            .and_then(|captures| captures.get(1)?.as_str().parse::<u64>().ok())
            .unwrap_or(0);
        if number >= THIRD {
            told.again += 1;
            told.since = told.since.or(line.at);
            if number >= told.most {
                told.most = number;
                told.sample = &line.text;
            }
        }
    }
    (found, total)
}

/// By the workload's name, or the name of one of its pods.
fn is_named(workload: &Workload<'_>, name: &str) -> bool {
    workload.name.name == name || workload.pods.iter().any(|pod| pod.name.name == name)
}
