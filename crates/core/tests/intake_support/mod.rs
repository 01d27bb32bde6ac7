//! What the tests of the intake share: notifications as Alertmanager sends them, and what an API server would hold of them.
#![allow(
    dead_code,
    clippy::needless_pass_by_value,
    reason = "each test program uses its part, and hands over what it has just made"
)]

use std::collections::BTreeMap;

use firewatch_core::api::{Incident, Outcome, Phase};
use firewatch_core::intake::alertmanager::{self, Notification};
use firewatch_core::intake::merge::{self, Todo};
use firewatch_core::intake::report::{self, Ground, Report};
use firewatch_core::intake::target::LabelPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

pub const NOON: &str = "2026-05-01T12:00:00Z";

pub fn at(minutes: i64) -> Timestamp {
    let noon: Timestamp = NOON.parse().unwrap();
    noon.saturating_add(SignedDuration::from_mins(minutes)).unwrap()
}

pub fn alert(name: &str, status: &str, starts: i64, labels: Value) -> Value {
    let mut all = json!({ "alertname": name, "severity": "critical" });
    all.as_object_mut().unwrap().extend(labels.as_object().unwrap().clone());
    json!({
        "status": status,
        "labels": all,
        "annotations": { "summary": format!("{name} is bad") },
        "startsAt": at(starts).to_string(),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": report::hash(&[&all.to_string()], 16),
    })
}

pub fn body(alerts: Vec<Value>) -> Value {
    json!({
        "version": "4", "groupKey": "{}:{alertname=\"A\"}", "truncatedAlerts": 0, "status": "firing", "receiver": "firewatch",
        "groupLabels": { "alertname": "A" }, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am", "alerts": alerts,
    })
}

pub fn checkout(status: &str, starts: i64) -> Value {
    alert(
        "A",
        status,
        starts,
        json!({ "namespace": "shop", "deployment": "checkout" }),
    )
}

pub fn parse(value: &Value) -> Notification {
    alertmanager::parse(value.to_string().as_bytes(), at(0)).unwrap()
}

pub fn only(alerts: Vec<Value>) -> Report {
    let mut reports = report::reports(&parse(&body(alerts)), &LabelPolicy::default());
    assert_eq!(reports.len(), 1);
    reports.remove(0)
}

/// Sets the value at a JSON pointer; `None` takes it out.
pub fn changed(mut value: Value, pointer: &str, to: Option<Value>) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = value.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match to {
        Some(to) => parent.insert(key.to_owned(), to),
        None => parent.remove(key),
    };
    value
}

/// What an API server holds of one group.
#[derive(Default)]
pub struct World(pub BTreeMap<String, Incident>);

impl World {
    pub fn take(&mut self, report: &Report, now: Timestamp) -> Todo {
        let existing: Vec<Incident> = self.0.values().cloned().collect();
        let todo = merge::decide(&existing, report, now);
        match &todo {
            Todo::Open {
                number,
                previous,
                refired,
            } => {
                let place = report::place(&report.named, Ground::OptedIn, "fw");
                let mut made = report::incident(report, &place, *number, previous.as_deref());
                let (alerts, occurrences) = merge::first(refired.clone(), report, now);
                let status = made.status.get_or_insert_default();
                (status.alerts, status.occurrences) = (Some(alerts), occurrences);
                assert!(self.0.insert(made.metadata.name.clone().unwrap(), made).is_none());
            }
            Todo::Merge {
                name,
                alerts,
                occurrences,
            } => {
                let status = self.0.get_mut(name).unwrap().status.get_or_insert_default();
                (status.alerts, status.occurrences) = (Some(alerts.clone()), *occurrences);
            }
            Todo::Nothing => {}
        }
        todo
    }

    pub fn last(&mut self) -> &mut Incident {
        self.0.values_mut().next_back().unwrap()
    }

    pub fn ends(&mut self, outcome: Outcome, now: Timestamp) {
        let status = self.last().status.as_mut().unwrap();
        status.phase = Phase::Completed;
        status.outcome = Some(outcome);
        status.completed_at = Some(Time(now));
    }

    pub fn occurrences(&self) -> i64 {
        self.0.values().map(|i| i.status.as_ref().unwrap().occurrences).sum()
    }
}

/// Any small document.
pub fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-zA-Z_]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
