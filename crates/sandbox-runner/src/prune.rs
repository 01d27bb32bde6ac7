//! Shortens what a command printed to what diagnosis needs. JSON lists lose managedFields' contents and last-applied, and, over the
//! cap, their healthy objects, which are then summarised by count; logs keep their end. What is left out is always said.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Shortens to at most `cap` bytes; the second value tells whether something that may matter was cut.
pub fn prune(raw: &str, is_log: bool, cap: usize) -> (String, bool) {
    match serde_json::from_str::<Value>(raw) {
        Ok(value) if !is_log => of_json(value, cap),
        _ => of_text(raw, is_log, cap),
    }
}

fn of_text(raw: &str, keep_end: bool, cap: usize) -> (String, bool) {
    if raw.len() <= cap {
        return (raw.to_owned(), false);
    }
    let text = if keep_end {
        let start = (raw.len().saturating_sub(cap)..=raw.len())
            .find(|i| raw.is_char_boundary(*i))
            .unwrap_or(raw.len());
        let tail = raw.get(start..).unwrap_or_default();
        // Whole lines only.
        tail.split_once('\n').map_or(tail, |(_, rest)| rest)
    } else {
        let end = (0..=cap).rev().find(|i| raw.is_char_boundary(*i)).unwrap_or(0);
        raw.get(..end).unwrap_or_default()
    };
    (text.to_owned(), true)
}

fn of_json(mut value: Value, cap: usize) -> (String, bool) {
    match value.get_mut("items").and_then(Value::as_array_mut) {
        Some(items) => items.iter_mut().for_each(strip),
        None => strip(&mut value),
    }
    let whole = value.to_string();
    if whole.len() <= cap {
        return (whole, false);
    }
    let Some(items) = value.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take) else {
        return of_text(&whole, false, cap);
    };
    let mut ranked: Vec<(u8, usize, Value)> = items
        .into_iter()
        .enumerate()
        .map(|(i, item)| (rank(&item), i, item))
        .collect();
    ranked.sort_by_key(|(rank, index, _)| (*rank, *index));
    let mut kept = Vec::new();
    let mut left_out: BTreeMap<String, u64> = BTreeMap::new();
    let mut room = cap.saturating_sub(2048);
    let mut cut = false;
    for (rank, index, item) in ranked {
        let size = item.to_string().len().saturating_add(1);
        if size <= room {
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
    let items: Vec<Value> = kept.into_iter().map(|(_, item)| item).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items, "firewatch": { "summarised": left_out } });
    (list.to_string(), cut)
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
        json!({ "kind": "Pod", "metadata": { "name": name }, "status": { "phase": "Running", "containerStatuses": [{ "restartCount": 0, "ready": ready }] } })
    }

    #[test]
    fn over_the_cap_healthy_pods_are_counted_and_the_sick_one_is_kept() {
        let mut items: Vec<Value> = (0..500).map(|n| pod(&format!("well-{n}"), true)).collect();
        items.push(pod("sick", false));
        let (text, cut) = prune(&json!({ "kind": "List", "items": items }).to_string(), false, 8 * 1024);
        let list: Value = serde_json::from_str(&text).unwrap();
        assert!(!cut, "nothing that matters was cut");
        assert!(text.len() <= 8 * 1024);
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
    fn who_changed_an_object_and_when_stays() {
        let raw = json!({ "kind": "Pod", "metadata": { "managedFields": [{ "manager": "kubectl", "operation": "Update", "time": "t", "fieldsV1": { "f:spec": {} } }], "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{}" } } });
        let (text, _) = prune(&raw.to_string(), false, 8192);
        assert!(text.contains("kubectl\"") && !text.contains("fieldsV1") && !text.contains("last-applied"));
    }

    #[test]
    fn a_log_keeps_its_end_in_whole_lines() {
        let raw = "first line\nsecond line\nthird line\n";
        assert_eq!(prune(raw, true, 16), ("third line\n".to_owned(), true));
    }
}
