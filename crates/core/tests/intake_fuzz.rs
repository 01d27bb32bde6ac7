//! The webhook parsers against anything: bytes, bytes of a valid body that were changed, and valid bodies of another shape. They never
//! panic, a refusal names a field that the body has or lacks, and what is taken fits an Incident.
//! `PROPTEST_CASES=100000 cargo test --release -p firewatch-core --test intake_fuzz` runs for longer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    missing_docs
)]

mod intake_support;

use firewatch_core::intake::alertmanager::{self, Notification};
use firewatch_core::intake::report::{self, Ground};
use firewatch_core::intake::target::LabelPolicy;
use firewatch_core::intake::{Rejection, Why};
use intake_support::{alert, at, body, checkout};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

/// A webhook with everything that Alertmanager sends.
fn webhook() -> Value {
    let other = alert(
        "B",
        "resolved",
        -3,
        json!({ "exported_namespace": "bank", "exported_pod": "db-0", "pod": "kube-state-metrics-0" }),
    );
    body(vec![checkout("firing", 0), other])
}

/// Its list of groups.
fn groups() -> Value {
    let mut active = checkout("firing", -20);
    active["status"] = json!({ "state": "active", "silencedBy": [], "inhibitedBy": [] });
    let mut silenced = active.clone();
    silenced["status"]["state"] = "suppressed".into();
    json!([
        { "labels": { "alertname": "A" }, "receiver": { "name": "firewatch" }, "alerts": [active, silenced] },
        { "labels": {}, "receiver": { "name": "other" }, "alerts": [] },
    ])
}

/// What may stand anywhere: every type, every extreme, text that is something else somewhere.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        select(vec![
            Value::Null,
            json!(true),
            json!(0),
            json!(-1),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(1e308),
            json!(""),
            json!("4"),
            json!("5"),
            json!("firing"),
            json!("resolved"),
            json!("0001-01-01T00:00:00Z"),
            json!("9999-12-31T23:59:59.999999999Z"),
            json!("-9999-01-01T00:00:00Z"),
            json!("2026-05-01T12:00:60Z"),
            json!("../../etc"),
            json!("a\u{0}b"),
            json!("\u{202e}"),
            json!("<script>"),
            json!("$(reboot)"),
            json!("x".repeat(9000)),
            json!("\u{1F525}".repeat(3000)),
            json!([]),
            json!({}),
        ]),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "\\PC{0,24}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((any::<String>(), inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// What is done to one place of a document.
#[derive(Clone, Debug)]
enum Change {
    Put(Value),
    Remove,
    Wrap,
    /// Into a place of its own beside it, under another name.
    Double(String),
    /// So many levels deep.
    Deepen(usize),
}

fn change() -> impl Strategy<Value = (Index, Change)> {
    let change = prop_oneof![
        4 => anything().prop_map(Change::Put),
        2 => Just(Change::Remove),
        1 => Just(Change::Wrap),
        1 => any::<String>().prop_map(Change::Double),
        1 => (1_usize..200).prop_map(Change::Deepen),
    ];
    (any::<Index>(), change)
}

/// Every place of a document, as a JSON pointer.
fn places(value: &Value, here: &str, all: &mut Vec<String>) {
    all.push(here.to_owned());
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                places(
                    value,
                    &format!("{here}/{}", key.replace('~', "~0").replace('/', "~1")),
                    all,
                );
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                places(value, &format!("{here}/{index}"), all);
            }
        }
        _ => {}
    }
}

fn apply(document: &mut Value, (place, change): &(Index, Change)) {
    let mut all = Vec::new();
    places(document, "", &mut all);
    let pointer = place.get(&all).clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap_or(("", ""));
    let key = key.replace("~1", "/").replace("~0", "~");
    match change {
        Change::Put(value) => *document.pointer_mut(&pointer).unwrap() = value.clone(),
        Change::Wrap => {
            let inner = document.pointer_mut(&pointer).unwrap();
            *inner = json!([inner.clone()]);
        }
        Change::Deepen(levels) => {
            let inner = document.pointer_mut(&pointer).unwrap();
            for _ in 0..*levels {
                *inner = json!({ "a": inner.take() });
            }
        }
        Change::Remove => match document.pointer_mut(parent) {
            Some(Value::Object(map)) => drop(map.remove(&key)),
            Some(Value::Array(list)) => drop(
                key.parse::<usize>()
                    .ok()
                    .filter(|at| *at < list.len())
                    .map(|at| list.remove(at)),
            ),
            _ => {}
        },
        Change::Double(name) => {
            let twin = document.pointer(&pointer).cloned().unwrap();
            match document.pointer_mut(parent) {
                Some(Value::Object(map)) => drop(map.insert(name.clone(), twin)),
                Some(Value::Array(list)) => list.push(twin),
                _ => {}
            }
        }
    }
}

/// Bytes of a valid body after some were changed, cut out, or put in.
fn damaged(document: &Value, damage: &[(Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = document.to_string().into_bytes();
    for (place, kind, byte) in damage {
        if bytes.is_empty() {
            break;
        }
        let at = place.index(bytes.len());
        match kind % 4 {
            0 => bytes[at] = *byte,
            1 => bytes.insert(at, *byte),
            2 => drop(bytes.drain(at..(at + usize::from(*byte)).min(bytes.len()))),
            _ => {
                let again = bytes[at..(at + usize::from(*byte)).min(bytes.len())].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
    bytes
}

/// The field stands in the document, or it is one that is asked for and missing, or the whole body.
fn names_its_field(refused: &Rejection, sent: &[u8]) -> bool {
    if refused.field == "body" {
        return matches!(refused.why, Why::NotJson | Why::WrongType | Why::TooLarge);
    }
    let known = [
        "version",
        "groupKey",
        "status",
        "truncatedAlerts",
        "alerts",
        "groupLabels",
        "labels",
        "[",
    ];
    let Ok(document) = serde_json::from_slice::<Value>(sent) else {
        return false;
    };
    // Down from the top, as far as the path is one of steps; a label's own name may hold anything.
    let mut here = Some(&document);
    for step in refused.field.split(['.', '[']) {
        here = here.and_then(|value| match step.strip_suffix(']') {
            Some(index) => value.get(index.parse::<usize>().ok()?),
            None if step.is_empty() => Some(value),
            None => value.get(step),
        });
    }
    let known = known.iter().any(|name| refused.field.starts_with(name));
    known && (here.is_some() || matches!(refused.why, Why::Missing | Why::WrongType))
}

fn fits(notification: &Notification) -> Result<(), TestCaseError> {
    prop_assert!(!notification.group_key.is_empty());
    for report in report::reports(notification, &LabelPolicy::default()) {
        for ground in [Ground::OptedIn, Ground::Silent, Ground::Absent] {
            let place = report::place(&report.named, ground, "fw");
            prop_assert!(
                ground == Ground::OptedIn || place.namespace == "fw",
                "a label alone chose {:?}",
                place
            );
            let made = report::incident(&report, &place, 1, None);
            prop_assert!(made.metadata.name.as_ref().is_some_and(|name| name.len() <= 63));
            let title = &made.spec.title;
            prop_assert!(
                !title.is_empty() && title.chars().count() <= 256 && !title.contains(char::is_control),
                "{:?}",
                title
            );
            prop_assert!(serde_json::to_vec(&made).unwrap().len() < 512 * 1024);
        }
    }
    Ok(())
}

fn check_webhook(sent: &[u8]) -> Result<(), TestCaseError> {
    match alertmanager::parse(sent, at(0)) {
        Ok(notification) => fits(&notification),
        Err(refused) => {
            prop_assert!(
                names_its_field(&refused, sent),
                "{:?} for {}",
                refused,
                String::from_utf8_lossy(sent)
            );
            Ok(())
        }
    }
}

fn check_groups(sent: &[u8]) -> Result<(), TestCaseError> {
    match alertmanager::parse_groups(sent, "firewatch", at(0)) {
        Ok(all) => all.iter().filter(|one| !one.group_key.is_empty()).try_for_each(fits),
        Err(refused) => {
            prop_assert!(!refused.field.is_empty(), "{:?}", refused);
            prop_assert!(
                refused.field == "body" || refused.field.starts_with('['),
                "{:?}",
                refused
            );
            Ok(())
        }
    }
}

#[test]
fn the_documents_that_are_changed_are_good_ones() {
    assert!(alertmanager::parse(webhook().to_string().as_bytes(), at(0)).is_ok());
    let listed = alertmanager::parse_groups(groups().to_string().as_bytes(), "firewatch", at(0)).unwrap();
    assert_eq!((listed.len(), listed[0].alerts.len()), (1, 1));
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        check_webhook(&bytes)?;
        check_groups(&bytes)?;
    }

    #[test]
    fn any_document(document in anything()) {
        let sent = document.to_string();
        check_webhook(sent.as_bytes())?;
        check_groups(sent.as_bytes())?;
    }

    #[test]
    fn a_good_body_whose_bytes_were_damaged(damage in proptest::collection::vec((any::<Index>(), any::<u8>(), any::<u8>()), 1..6)) {
        check_webhook(&damaged(&webhook(), &damage))?;
        check_groups(&damaged(&groups(), &damage))?;
    }

    #[test]
    fn a_good_body_of_another_shape(changes in proptest::collection::vec(change(), 1..5)) {
        let (mut sent, mut listed) = (webhook(), groups());
        for change in &changes {
            apply(&mut sent, change);
            apply(&mut listed, change);
        }
        check_webhook(sent.to_string().as_bytes())?;
        check_groups(listed.to_string().as_bytes())?;
    }
}
