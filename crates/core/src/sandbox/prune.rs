//! Shortens what a command printed to what diagnosis needs, and takes secrets out of it. JSON lists lose managedFields' contents and
//! last-applied, and, over the cap, their healthy objects, which are then summarised by count; logs keep their end. What is left out
//! is always said, and nothing leaves unredacted: a secret that is cut in two is not known any more, so text is redacted before it
//! is cut, and documents are cut between objects.
//!
//! It also leaves out what lies beyond the incident's tenancy: volumes claimed from other namespaces. Called by the runner and by the
//! plugin.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::policy::{TAIL_LINES_WHOLE, Tenancy};
use super::redact::redact;
use crate::diagnosis::logs::condense;

/// Text of which more than this is not even looked at; many times the cap.
const TEXT_MAX: usize = 1024 * 1024;
/// The same, of a log that was asked for in depth.
const DEEP_TEXT_MAX: usize = 4 * 1024 * 1024;

/// What is told of an output.
#[derive(Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Redacted, and no longer than the cap.
    pub text: String,
    /// Whether something that may matter was cut.
    pub cut: bool,
}

/// Shortens to at most `cap` bytes. `errors` is what the command said beside its output, told where it printed a document.
pub fn prune(raw: &str, errors: &str, is_log: bool, cap: usize, tenancy: &Tenancy) -> Pruned {
    if !is_log && let Ok(value) = serde_json::from_str::<Value>(raw) {
        return of_json(value, errors, cap, tenancy);
    }
    let deep = is_log && raw.len() > cap && raw.lines().nth(TAIL_LINES_WHOLE).is_some();
    let (near, far) = cut_text(raw, is_log, if deep { DEEP_TEXT_MAX } else { TEXT_MAX });
    let told = if errors.is_empty() {
        near.to_owned()
    } else {
        format!("{}\n{errors}", near.trim_end())
    };
    let mut redacted = redact(told.trim_start_matches('\n')).text;
    if deep {
        // Of a log that was asked for in depth, what may tell is kept, wherever it stands.
        redacted = condense(&redacted, cap);
    }
    let (text, cut) = cut_text(&redacted, is_log, cap);
    Pruned {
        text: text.to_owned(),
        cut: deep || far || cut,
    }
}

/// The beginning, or the end, in whole lines.
fn cut_text(text: &str, keep_end: bool, cap: usize) -> (&str, bool) {
    if text.len() <= cap {
        return (text, false);
    }
    let kept = if keep_end {
        let start = text.len().saturating_sub(cap);
        let start = (start..=text.len())
            .find(|i| text.is_char_boundary(*i))
            .unwrap_or(text.len());
        let tail = text.get(start..).unwrap_or_default();
        tail.split_once('\n').map_or(tail, |(_, rest)| rest)
    } else {
        let end = (0..=cap).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        let head = text.get(..end).unwrap_or_default();
        head.rsplit_once('\n').map_or(head, |(lines, _)| lines)
    };
    (kept, true)
}

fn of_json(mut value: Value, errors: &str, cap: usize, tenancy: &Tenancy) -> Pruned {
    let items = value.get_mut("items").and_then(Value::as_array_mut).map(|items| {
        items.retain(|item| !is_foreign(item, tenancy));
        items.iter_mut().for_each(strip);
        std::mem::take(items)
    });
    let Some(items) = items else {
        if is_foreign(&value, tenancy) {
            return Pruned {
                text: "bound to a claim of another namespace".to_owned(),
                cut: true,
            };
        }
        strip(&mut value);
        let redacted = redact(&value.to_string()).text;
        let (text, cut) = cut_text(&redacted, false, cap);
        return Pruned {
            text: text.to_owned(),
            cut,
        };
    };
    // Marks may be longer than the secrets that they replace: what grew beyond the cap is summarised once more.
    let mut room = cap;
    loop {
        let (list, cut) = fit(&items, errors, room);
        let text = redact(&list.to_string()).text;
        if text.len() <= cap || room == 0 {
            let short = text.len() <= cap;
            return Pruned {
                text: if short { text } else { String::new() },
                cut: cut || !short,
            };
        }
        room = room.saturating_sub(text.len().saturating_sub(cap)).saturating_sub(1024);
    }
}

/// A list of what fits, the important first, with counts of what does not.
fn fit(items: &[Value], errors: &str, cap: usize) -> (Value, bool) {
    let mut ranked: Vec<(u8, usize, &Value)> = items
        .iter()
        .enumerate()
        .map(|(i, item)| (rank(item), i, item))
        .collect();
    ranked.sort_by_key(|(rank, index, _)| (*rank, *index));
    let mut kept = Vec::new();
    let mut left_out: BTreeMap<String, u64> = BTreeMap::new();
    // The rest of the document: its head, the counts, the errors.
    let mut room = cap.saturating_sub(2048).saturating_sub(errors.len().saturating_mul(2));
    let whole: usize = items.iter().map(|item| item.to_string().len().saturating_add(1)).sum();
    let everything = whole.saturating_add(256).saturating_add(errors.len().saturating_mul(2)) <= cap;
    let mut cut = false;
    for (rank, index, item) in ranked {
        let size = item.to_string().len().saturating_add(1);
        if everything || size <= room {
            room = room.saturating_sub(size);
            kept.push((index, item));
        } else {
            let kind = item.get("kind").and_then(Value::as_str).unwrap_or("object").to_owned();
            let count = left_out.entry(kind).or_default();
            *count = count.saturating_add(1);
            cut |= rank < HEALTHY;
        }
    }
    kept.sort_by_key(|(index, _)| *index);
    let items: Vec<&Value> = kept.into_iter().map(|(_, item)| item).collect();
    let mut told = Map::new();
    if !left_out.is_empty() {
        told.insert("summarised".to_owned(), json!(left_out));
    }
    if !errors.is_empty() {
        told.insert("errors".to_owned(), errors.lines().collect());
    }
    let mut list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
    if let (false, Some(list)) = (told.is_empty(), list.as_object_mut()) {
        list.insert("firewatch".to_owned(), Value::Object(told));
    }
    (list, cut)
}

/// A cluster-scoped object that speaks of a namespace beyond the tenancy.
fn is_foreign(item: &Value, tenancy: &Tenancy) -> bool {
    let kind = item.get("kind").and_then(Value::as_str).unwrap_or_default();
    let namespace = match kind {
        "PersistentVolume" => item.pointer("/spec/claimRef/namespace"),
        "Namespace" => item.pointer("/metadata/name"),
        _ => item.pointer("/metadata/namespace"),
    };
    namespace
        .and_then(Value::as_str)
        .is_some_and(|namespace| !tenancy.admits(namespace))
}

/// Objects of this rank and above may be left out without harm.
const HEALTHY: u8 = 3;

/// What is kept first: what is unwell, then what explains it, then the rest.
fn rank(item: &Value) -> u8 {
    match item.get("kind").and_then(Value::as_str).unwrap_or_default() {
        "Pod" => u8::from(is_well(item)).saturating_mul(HEALTHY),
        "Event" if item.get("type").and_then(Value::as_str) == Some("Warning") => 0,
        "Event" => HEALTHY.saturating_add(1),
        "ReplicaSet" | "Job" | "ControllerRevision" if is_idle(item) => HEALTHY.saturating_add(1),
        _ => 1,
    }
}

fn is_well(pod: &Value) -> bool {
    let status = pod.get("status");
    let phase = status
        .and_then(|s| s.get("phase"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let containers = status
        .and_then(|s| s.get("containerStatuses"))
        .and_then(Value::as_array);
    let steady = containers.is_none_or(|list| {
        list.iter().all(|c| {
            c.get("restartCount").and_then(Value::as_u64) == Some(0)
                && (phase == "Succeeded" || c.get("ready").and_then(Value::as_bool) == Some(true))
        })
    });
    matches!(phase, "Running" | "Succeeded") && steady
}

fn is_idle(item: &Value) -> bool {
    item.pointer("/spec/replicas").and_then(Value::as_u64) == Some(0) || item.pointer("/status/succeeded").is_some()
}

/// Takes out what is long and says nothing; of managedFields it keeps who, how and when.
fn strip(object: &mut Value) {
    // Every image of a node, of all tenants.
    if object.get("kind").and_then(Value::as_str) == Some("Node")
        && let Some(status) = object.get_mut("status").and_then(Value::as_object_mut)
    {
        status.remove("images");
    }
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    if let Some(fields) = metadata.get_mut("managedFields").and_then(Value::as_array_mut) {
        for entry in fields.iter_mut() {
            let mut short = Map::new();
            for key in ["manager", "operation", "time", "subresource"] {
                if let Some(value) = entry.get(key) {
                    short.insert(key.to_owned(), value.clone());
                }
            }
            *entry = Value::Object(short);
        }
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn pod(name: &str, ready: bool) -> Value {
        json!({
            "kind": "Pod", "metadata": { "name": name },
            "status": { "phase": "Running", "containerStatuses": [{ "restartCount": 0, "ready": ready }] },
        })
    }

    fn own() -> Tenancy {
        Tenancy::Namespaces(vec!["shop".to_owned()])
    }

    fn list(items: &[Value], errors: &str, cap: usize) -> (Value, Pruned) {
        let pruned = prune(
            &json!({ "kind": "List", "items": items }).to_string(),
            errors,
            false,
            cap,
            &own(),
        );
        (serde_json::from_str(&pruned.text).unwrap(), pruned)
    }

    #[test]
    fn over_the_cap_healthy_pods_are_counted_and_the_sick_one_is_kept() {
        let mut items: Vec<Value> = (0..500).map(|n| pod(&format!("well-{n}"), true)).collect();
        items.push(pod("sick", false));
        let (list, pruned) = list(&items, "", 8 * 1024);
        assert!(!pruned.cut, "nothing that matters was cut");
        assert!(pruned.text.len() <= 8 * 1024);
        assert!(
            list["items"]
                .as_array()
                .unwrap()
                .iter()
                .any(|i| i["metadata"]["name"] == "sick")
        );
        assert!(list["firewatch"]["summarised"]["Pod"].as_u64().unwrap() > 400);
    }

    #[test]
    fn sick_pods_that_do_not_fit_are_a_cut() {
        let items: Vec<Value> = (0..500).map(|n| pod(&format!("sick-{n}"), false)).collect();
        assert!(list(&items, "", 8 * 1024).1.cut);
    }

    #[test]
    fn marks_longer_than_their_secrets_do_not_burst_the_cap() {
        let config = |n: u32| {
            let data: Map<String, Value> = (0..40).map(|m| (format!("password{m}"), json!("abc"))).collect();
            json!({ "kind": "ConfigMap", "metadata": { "name": format!("c{n}") }, "data": data })
        };
        let items: Vec<Value> = (0..20).map(config).collect();
        let (_, pruned) = list(&items, "", 16 * 1024);
        assert!(pruned.text.len() <= 16 * 1024);
        assert!(pruned.cut, "ConfigMaps may matter");
        assert!(!pruned.text.contains("\"abc\""));
    }

    #[test]
    fn a_kind_that_was_refused_is_told_beside_the_others() {
        let (list, _) = list(
            &[pod("a", true)],
            "Error from server (Forbidden): roles is forbidden",
            8192,
        );
        assert_eq!(list["items"][0]["metadata"]["name"], "a");
        assert_eq!(
            list["firewatch"]["errors"][0],
            "Error from server (Forbidden): roles is forbidden"
        );
    }

    #[test]
    fn volumes_of_other_namespaces_and_images_of_nodes_are_left_out() {
        let volume = |name: &str, namespace: &str| json!({ "kind": "PersistentVolume", "metadata": { "name": name }, "spec": { "claimRef": { "namespace": namespace } } });
        let node = json!({ "kind": "Node", "metadata": { "name": "n" }, "status": { "images": [{ "names": ["payroll:1"] }], "capacity": {} } });
        let free = json!({ "kind": "PersistentVolume", "metadata": { "name": "free" }, "spec": {} });
        let (list, pruned) = list(
            &[volume("ours", "shop"), volume("theirs", "payroll"), free, node],
            "",
            8192,
        );
        let names: Vec<&str> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["ours", "free", "n"]);
        assert!(!pruned.text.contains("payroll"));
    }

    #[test]
    fn who_changed_an_object_and_when_stays() {
        let raw = json!({ "kind": "Pod", "metadata": {
            "managedFields": [{ "manager": "kubectl", "operation": "Update", "time": "t", "fieldsV1": { "f:spec": {} } }],
            "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{}" },
        } });
        let text = prune(&raw.to_string(), "", false, 8192, &own()).text;
        assert!(text.contains("kubectl\"") && !text.contains("fieldsV1") && !text.contains("last-applied"));
    }

    #[test]
    fn a_log_keeps_its_end_in_whole_lines() {
        let raw = "first line\nsecond line\nthird line\n";
        let kept = Pruned {
            text: "third line\n".to_owned(),
            cut: true,
        };
        assert_eq!(prune(raw, "", true, 16, &own()), kept);
    }

    #[test]
    fn a_key_that_the_cap_would_cut_in_two_is_taken_out_whole() {
        let key = format!(
            "-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n",
            "MIIEowIBAAKCAQEA\n".repeat(100)
        );
        let log = format!("{key}the last line\n");
        let text = prune(&log, "", true, 500, &own()).text;
        assert!(text.contains("the last line") && !text.contains("MIIE"));
    }

    #[test]
    fn of_a_log_that_was_asked_for_in_depth_what_may_tell_is_kept() {
        let quiet = "2026-03-01T12:00:00.000000000Z INFO saved\n".repeat(3000);
        let key = format!(
            "-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n",
            "MIIEerror1\n".repeat(99)
        );
        let log = format!("{quiet}2026-03-01T12:00:00.000000000Z ERROR db:5432 connection refused\n{key}{quiet}");
        let pruned = prune(&log, "", true, 20_000, &own());
        assert!(pruned.cut && pruned.text.len() <= 20_000);
        assert!(pruned.text.contains("ERROR db:5432 connection refused") && !pruned.text.contains("MIIE"));
    }
}
