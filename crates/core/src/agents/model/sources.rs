//! The case file as text: what may be quoted, by evidence id, and what of it is worth sending. Pruned: the objects that matter without
//! what Kubernetes keeps for itself, events once each, lines of logs once each, the telling ones first. Called by `run` and `check`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::blocks::{Block, clean, visible};
use super::tokens;
use crate::api::ObjectName;
use crate::diagnosis::case_file::{LogLine, LogRecord};
use crate::diagnosis::{self, CaseFile, Diagnosis, questions};
use crate::sandbox::redact::redact;
use crate::text::clip;

/// Shorter words prove nothing.
const QUOTE_LEAST: usize = 8;
/// Characters of one object.
const OBJECT: usize = 1400;
/// Lines of one log.
const LINES: usize = 24;
/// Events of one case.
const EVENTS: usize = 24;
/// Questions without an answer of one case.
const GAPS: usize = 4;

/// What may be quoted, in the form in which it is sent. Made for each piece of evidence when it is first cited: most never are.
pub struct Sources<'a> {
    case: &'a CaseFile,
    texts: BTreeMap<String, Vec<String>>,
}

impl<'a> Sources<'a> {
    /// Everything of the case.
    pub fn of(case: &'a CaseFile) -> Self {
        Self {
            case,
            texts: BTreeMap::new(),
        }
    }

    /// Whether that evidence holds these words, white space aside.
    pub fn holds(&mut self, id: &str, quote: &str) -> bool {
        let quote = squash(quote);
        if quote.chars().count() < QUOTE_LEAST {
            return false;
        }
        let case = self.case;
        let texts = self.texts.entry(id.to_owned()).or_insert_with(|| texts_of(case, id));
        texts.iter().any(|text| text.contains(&quote))
    }
}

fn texts_of(case: &CaseFile, id: &str) -> Vec<String> {
    let logs = case.logs().iter().filter(|log| log.evidence == id);
    let mut texts: Vec<String> = logs
        .flat_map(|log| &log.lines)
        .map(|line| squash(&clean(&line.text)))
        .collect();
    let events = case.events().iter().filter(|event| event.evidence == id);
    texts.extend(events.map(|event| squash(&event_text(event))));
    for (name, entry) in case.entries().filter(|(_, entry)| entry.evidence == id) {
        texts.push(squash(&object_text(name, &entry.object.to_value(), usize::MAX)));
    }
    let gaps = case.gaps().iter().filter(|gap| gap.evidence == id);
    texts.extend(gaps.map(|gap| squash(&clean(&gap.message))));
    texts
}

/// White space is no difference.
fn squash(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn event_text(event: &diagnosis::case_file::EventRecord) -> String {
    let kind = if event.warning { "Warning" } else { "Normal" };
    clean(&format!(
        "{kind} {} {} (x{}): {}",
        event.reason, event.object, event.count, event.message
    ))
}

/// One object in one line of JSON, without what says nothing.
fn object_text(name: &ObjectName, value: &Value, most: usize) -> String {
    let mut value = value.clone();
    prune(&mut value);
    if let Some(map) = value.as_object_mut() {
        map.remove("kind");
        map.remove("apiVersion");
    }
    let text = clean_json(&value);
    format!("{name} {}", clip(&text, most))
}

/// JSON escapes what is invisible itself; lines do not matter in it.
fn clean_json(value: &Value) -> String {
    // As a document: there a secret is known by its place, whatever it looks like.
    let redacted = redact(&value.to_string()).text;
    let mut value: Value = serde_json::from_str(&redacted).unwrap_or_default();
    show_strings(&mut value);
    value.to_string()
}

fn show_strings(value: &mut Value) {
    match value {
        // Redacted with the document.
        Value::String(text) => *text = visible(text).replace('\n', " | "),
        Value::Array(items) => items.iter_mut().for_each(show_strings),
        Value::Object(map) => {
            let old = std::mem::take(map);
            for (key, mut item) in old {
                show_strings(&mut item);
                // A key is the cluster's word too, where it is no field of the API.
                let is_field = key.bytes().all(|b| b.is_ascii_alphabetic());
                let key = if is_field {
                    key
                } else {
                    clean(&key).replace('\n', " | ")
                };
                map.insert(key, item);
            }
        }
        _ => {}
    }
}

/// Fields that say nothing about trouble.
const NOISE: [&str; 24] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
    "ownerReferences",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "dnsPolicy",
    "schedulerName",
    "restartPolicy",
    "progressDeadlineSeconds",
    "revisionHistoryLimit",
    "terminationGracePeriodSeconds",
    "observedGeneration",
    "lastUpdateTime",
    "lastTransitionTime",
    "lastProbeTime",
    "containerID",
    "imageID",
    "hostIP",
    "hostIPs",
    "podIPs",
    "tolerations",
];

fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !NOISE.contains(&key.as_str()));
            map.values_mut().for_each(prune);
            map.retain(|_, item| {
                !(item.is_null()
                    || item.as_object().is_some_and(serde_json::Map::is_empty)
                    || item.as_array().is_some_and(Vec::is_empty))
            });
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

/// The telling lines of a log: those with words of trouble, and the last; each once, with the number of its like.
fn telling(log: &LogRecord, most: usize) -> String {
    let bad = |line: &LogLine| {
        let text = line.text.to_ascii_lowercase();
        [
            "error",
            "fatal",
            "panic",
            "exception",
            "fail",
            "refused",
            "denied",
            "timeout",
            "timed out",
            "cannot",
            "unable",
            "killed",
            "oom",
            "traceback",
            "not found",
            "invalid",
            "missing",
            "warn",
        ]
        .iter()
        .any(|word| text.contains(word))
    };
    let mut order: Vec<(usize, String, usize)> = Vec::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (index, line) in log.lines.iter().enumerate() {
        let text = clean(&line.text);
        let template: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
        if let Some(at) = seen.get(&template) {
            if let Some(known) = order.get_mut(*at) {
                known.2 = known.2.saturating_add(1);
            }
            continue;
        }
        seen.insert(template, order.len());
        order.push((index, text, 1));
    }
    let last = log.lines.len().saturating_sub(most / 3);
    let mut kept: BTreeSet<usize> = order
        .iter()
        .filter(|(index, ..)| log.lines.get(*index).is_some_and(bad))
        .map(|(index, ..)| *index)
        .rev()
        .take(most.saturating_sub(most / 3))
        .collect();
    kept.extend(order.iter().map(|(index, ..)| *index).filter(|index| *index >= last));
    let lines: Vec<String> = order
        .into_iter()
        .filter(|(index, ..)| kept.contains(index))
        .map(|(_, text, count)| if count > 1 { format!("(x{count}) {text}") } else { text })
        .collect();
    lines.join("\n")
}

/// What is worth sending, most telling first, until `most` tokens are reached. `first`: evidence that must be among it.
pub fn select(case: &CaseFile, diagnosis: &Diagnosis, first: &[String], most: u64) -> Vec<Block> {
    let view = diagnosis::view(case);
    let mut objects: Vec<ObjectName> = Vec::new();
    if let Some(root) = &diagnosis.root_cause {
        objects.push(root.finding.object.clone());
    }
    let targets = questions::targets(&view.facts);
    objects.extend(targets.iter().take(2).map(|workload| workload.name.clone()));
    objects.extend(diagnosis.findings.iter().take(6).map(|finding| finding.object.clone()));
    for workload in targets.iter().take(2) {
        objects.extend(
            workload
                .pods
                .iter()
                .find(|pod| !pod.is_ready())
                .map(|pod| pod.name.clone()),
        );
    }
    let mut seen = BTreeSet::new();
    objects.retain(|name| seen.insert(name.clone()));

    let mut blocks: Vec<(bool, u8, Block)> = Vec::new();
    let about: BTreeSet<&ObjectName> = objects.iter().collect();
    for log in case.logs() {
        let text = telling(log, LINES);
        let run = if log.previous { ", run before" } else { "" };
        let of_target = targets
            .iter()
            .any(|workload| workload.pods.iter().any(|pod| *pod.name == log.pod));
        blocks.push((
            first.contains(&log.evidence),
            if of_target { 1 } else { 4 },
            Block {
                id: log.evidence.clone(),
                label: format!("log of {} container {}{run}", log.pod.name, log.container),
                text,
            },
        ));
    }
    let mut events: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut sorted: Vec<_> = case.events().iter().collect();
    sorted.sort_by_key(|event| {
        (
            !event.warning,
            !about.contains(&event.object),
            std::cmp::Reverse(event.last),
        )
    });
    for event in sorted.into_iter().take(EVENTS) {
        events.entry(&event.evidence).or_default().push(event_text(event));
    }
    for (id, lines) in events {
        blocks.push((
            first.iter().any(|one| one == id),
            2,
            Block {
                id: id.to_owned(),
                label: "events".into(),
                text: lines.join("\n"),
            },
        ));
    }
    for (rank, name) in objects.iter().enumerate() {
        let Some(entry) = case.entry(name) else { continue };
        blocks.push((
            first.contains(&entry.evidence),
            if rank < 2 { 0 } else { 3 },
            Block {
                id: entry.evidence.clone(),
                label: "object".into(),
                text: object_text(name, &entry.object.to_value(), OBJECT),
            },
        ));
    }
    // What could not be read is part of the picture.
    for gap in case.gaps().iter().take(GAPS) {
        blocks.push((
            first.contains(&gap.evidence),
            5,
            Block {
                id: gap.evidence.clone(),
                label: "could not be read".into(),
                text: clean(&gap.message),
            },
        ));
    }
    blocks.sort_by_key(|(wanted, rank, _)| (!*wanted, *rank));
    fit(blocks.into_iter().map(|(_, _, block)| block), most)
}

/// As many as fit; the one that does not is cut, its end kept where it is a log.
fn fit(blocks: impl Iterator<Item = Block>, most: u64) -> Vec<Block> {
    let mut left = most;
    let mut kept = Vec::new();
    for mut block in blocks {
        let frame = tokens::estimate(&block.label).saturating_add(16);
        let size = tokens::estimate(&block.text).saturating_add(frame);
        if size > left {
            let room = usize::try_from(left.saturating_sub(frame).saturating_mul(3)).unwrap_or(0);
            if room < 240 {
                continue;
            }
            let count = block.text.chars().count();
            block.text = if block.label.starts_with("log") {
                let tail: String = block.text.chars().skip(count.saturating_sub(room)).collect();
                tail.split_once('\n').map_or(tail.clone(), |(_, rest)| rest.to_owned())
            } else {
                clip(&block.text, room)
            };
        }
        let size = tokens::estimate(&block.text).saturating_add(frame);
        if size <= left {
            left = left.saturating_sub(size);
            kept.push(block);
        }
    }
    kept
}
