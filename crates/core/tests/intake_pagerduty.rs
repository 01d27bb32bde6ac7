//! PagerDuty's webhooks and what becomes of them: signatures, bad bodies, an incident's life, and events that are delivered again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod intake_support;

use std::collections::BTreeMap;

use firewatch_core::api::incident::AlertSource;
use firewatch_core::api::{Incident, IncidentStatus, Outcome, Phase, Severity};
use firewatch_core::intake::merge::{self, Todo};
use firewatch_core::intake::pagerduty::{self, Event, Kind};
use firewatch_core::intake::report::{self, Ground, Report};
use firewatch_core::intake::target::LabelPolicy;
use firewatch_core::intake::{Rejection, Why};
use hmac::{Hmac, KeyInit, Mac};
use intake_support::any_json;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

fn noon() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

fn signature(secret: &[u8], body: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret).unwrap();
    mac.update(body);
    format!("v1={}", hex::encode(mac.finalize().into_bytes()))
}

#[test]
fn a_signature_holds_for_one_body_and_one_secret_and_survives_a_rotation() {
    let (old, new) = (b"old".to_vec(), b"new".to_vec());
    let body = b"{}";
    let both = format!("{}, {}", signature(&old, body), signature(&new, body));
    let signed = |header: &str, body: &[u8], secrets: &[Vec<u8>]| pagerduty::is_signed(header, body, secrets);
    assert!(signed(&both, body, std::slice::from_ref(&new)));
    assert!(signed(&signature(&old, body), body, &[new.clone(), old.clone()]));
    assert!(!signed(&signature(&old, body), body, std::slice::from_ref(&new)));
    assert!(!signed(&both, b"{ }", &[new.clone(), old]));
    for bad in ["", "v1=", "v1=zz", "v2=00", "v1=00"] {
        assert!(!signed(bad, body, std::slice::from_ref(&new)), "{bad}");
    }
    assert!(
        !signed(&signature(b"", body), body, &[Vec::new()]),
        "an empty secret is none"
    );
    assert!(!signed(&both, body, &[]));
    let many = format!("{}{}", "v1=00,".repeat(100), signature(&new, body));
    assert!(
        !signed(&many, body, &[new]),
        "more signatures than a rotation can cause"
    );
}

fn event(id: &str, kind: &str) -> Value {
    json!({ "event": {
        "id": id, "event_type": kind, "resource_type": "incident", "occurred_at": "2026-05-01T11:58:00Z",
        "agent": { "id": "P" }, "client": null,
        "data": { "id": "Q1", "type": "incident", "title": "checkout is down", "incident_key": "k", "urgency": "high",
                  "html_url": "https://x.pagerduty.com/incidents/Q1", "service": { "id": "S1", "summary": "shop" },
                  "custom_details": { "namespace": "shop", "deployment": "checkout", "count": 7 } },
    } })
}

fn changed(mut body: Value, pointer: &str, to: Option<Value>) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let map = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match to {
        Some(value) => map.insert(key.to_owned(), value),
        None => map.remove(key),
    };
    body
}

fn parse(body: &Value) -> Result<Event, Rejection> {
    pagerduty::parse(body.to_string().as_bytes())
}

#[test]
fn an_event_that_is_wrong_is_refused_and_names_the_field() {
    let triggered = || event("E1", "incident.triggered");
    let parsed = parse(&triggered()).unwrap();
    assert_eq!(
        (parsed.kind, parsed.service.as_deref()),
        (Some(Kind::Triggered), Some("S1"))
    );
    #[rustfmt::skip]
    let table: &[(&str, Option<Value>, &str, Why)] = &[
        ("/event", None, "event", Why::Missing),
        ("/event", Some(Value::Null), "event", Why::Missing),
        ("/event", Some(json!([])), "event", Why::WrongType),
        ("/event/id", None, "event.id", Why::Missing),
        ("/event/id", Some(json!("")), "event.id", Why::Empty),
        ("/event/id", Some(json!("x".repeat(300))), "event.id", Why::TooLong),
        ("/event/event_type", Some(json!(1)), "event.event_type", Why::WrongType),
        ("/event/event_type", None, "event.event_type", Why::Missing),
        ("/event/occurred_at", Some(json!("noon")), "event.occurred_at", Why::NotATime),
        ("/event/data", Some(Value::Null), "event.data", Why::Missing),
        ("/event/data/id", None, "event.data.id", Why::Missing),
        ("/event/data/id", Some(json!("../Q2")), "event.data.id", Why::UnknownValue),
        ("/event/data/title", Some(json!("x".repeat(9000))), "event.data.title", Why::TooLong),
        ("/event/data/service", Some(json!("S1")), "event.data.service", Why::WrongType),
        ("/event/data/custom_details", Some(json!("x")), "event.data.custom_details", Why::WrongType),
        ("/event/data/custom_fields", Some(json!({})), "event.data.custom_fields", Why::WrongType),
        ("/event/data/body", Some(json!(1)), "event.data.body", Why::WrongType),
    ];
    for (pointer, to, field, why) in table {
        let refused = parse(&changed(triggered(), pointer, to.clone())).unwrap_err();
        assert_eq!(
            (refused.field.as_str(), refused.why),
            (*field, *why),
            "{pointer} = {to:?}"
        );
    }
    for (body, why) in [
        ("", Why::NotJson),
        ("[]", Why::WrongType),
        ("\"x\"", Why::WrongType),
        (&format!("{{\"event\":{}", "[".repeat(100_000)), Why::NotJson),
        (&format!("\"{}\"", "x".repeat(pagerduty::MAX_BYTES)), Why::TooLarge),
    ] {
        assert_eq!(pagerduty::parse(body.as_bytes()).unwrap_err().why, why);
    }
    for optional in ["occurred_at", "client", "agent", "resource_type"] {
        assert!(
            parse(&changed(triggered(), &format!("/event/{optional}"), None)).is_ok(),
            "{optional}"
        );
    }
}

#[test]
fn what_firewatch_does_nothing_about_is_taken_whatever_its_data_are() {
    let ping = json!({ "event": { "id": "E", "event_type": "pagey.ping", "data": { "message": "Hello" } } });
    let parsed = parse(&ping).unwrap();
    assert_eq!(parsed.kind, None);
    assert!(pagerduty::report(&parsed, &BTreeMap::new(), &LabelPolicy::default(), noon()).is_none());
}

fn services() -> BTreeMap<String, String> {
    BTreeMap::from([("S1".to_owned(), "pay".to_owned())])
}

fn reported(body: &Value) -> Report {
    pagerduty::report(&parse(body).unwrap(), &services(), &LabelPolicy::default(), noon()).unwrap()
}

#[test]
fn details_name_the_target_and_else_the_service_its_namespace() {
    let detailed = reported(&event("E1", "incident.triggered"));
    assert_eq!(detailed.named.namespace.as_deref(), Some("shop"));
    assert_eq!(
        detailed.named.target,
        Some(("Deployment".to_owned(), "checkout".to_owned()))
    );
    assert_eq!(detailed.severity, Some(Severity::High));
    assert_eq!(detailed.alert.source, AlertSource::Pagerduty);
    let bare = changed(event("E1", "incident.triggered"), "/event/data/custom_details", None);
    let by_service = reported(&bare);
    assert_eq!(
        (by_service.named.namespace.as_deref(), by_service.named.target),
        (Some("pay"), None)
    );
    assert_eq!(by_service.key, detailed.key, "it is the same incident");
    for (field, value) in [
        (
            "body",
            json!({ "details": { "namespace": "shop", "pod": "db-0", "severity": "critical" } }),
        ),
        (
            "custom_fields",
            json!([{ "name": "namespace", "value": "shop" }, { "name": "pod", "value": "db-0" }, { "name": "severity", "value": "critical" }, 7]),
        ),
    ] {
        let report = reported(&changed(bare.clone(), &format!("/event/data/{field}"), Some(value)));
        assert_eq!(
            report.named.target,
            Some(("Pod".to_owned(), "db-0".to_owned())),
            "{field}"
        );
        assert_eq!(report.severity, Some(Severity::Critical));
    }
    let unknown = pagerduty::report(
        &parse(&bare).unwrap(),
        &BTreeMap::new(),
        &LabelPolicy::default(),
        noon(),
    )
    .unwrap();
    let place = report::place(&unknown.named, Ground::Absent, "fw");
    assert_eq!(
        (place.namespace.as_str(), place.target),
        ("fw", None),
        "the catch-all, never a stranger's"
    );
}

/// Incidents of one key, as the store keeps them.
#[derive(Default)]
struct World(Vec<Incident>);

impl World {
    fn take(&mut self, body: &Value) {
        let report = reported(body);
        let (alerts, occurrences, incident) = match merge::decide(&self.0, &report, noon()) {
            Todo::Nothing => return,
            Todo::Open { number, previous, .. } => {
                let place = report::place(&report.named, Ground::OptedIn, "fw");
                self.0
                    .push(report::incident(&report, &place, number, previous.as_deref()));
                let (alerts, occurrences) = merge::merged(&IncidentStatus::default(), &report, noon());
                (alerts, occurrences, self.0.last_mut().unwrap())
            }
            Todo::Merge {
                name,
                alerts,
                occurrences,
            } => {
                let found = self.0.iter_mut().find(|i| i.metadata.name.as_ref() == Some(&name));
                (alerts, occurrences, found.unwrap())
            }
        };
        let status = incident.status.get_or_insert_default();
        (status.alerts, status.occurrences) = (Some(alerts), occurrences);
    }

    /// Number of incidents; of the last: how many fire, whether it resolved, whether it is acknowledged, occurrences.
    fn seen(&self) -> (usize, i64, bool, bool, i64) {
        let status = self.0.last().unwrap().status.as_ref().unwrap();
        let alerts = status.alerts.as_ref().unwrap();
        (
            self.0.len(),
            alerts.firing,
            alerts.resolved_at.is_some(),
            alerts.acknowledged_at.is_some(),
            status.occurrences,
        )
    }
}

#[test]
fn an_incident_lives_from_triggered_to_resolved_and_each_event_counts_once() {
    let mut world = World::default();
    let [triggered, acknowledged, resolved] =
        ["triggered", "acknowledged", "resolved"].map(|kind| event(&format!("E-{kind}"), &format!("incident.{kind}")));
    world.take(&resolved);
    assert!(world.0.is_empty(), "what resolves makes nothing");
    world.take(&triggered);
    assert_eq!(world.seen(), (1, 1, false, false, 1));
    let made = &world.0[0];
    assert!(made.metadata.name.as_ref().unwrap().starts_with("pd-"));
    let seen = &made.status.as_ref().unwrap().alerts.as_ref().unwrap().seen;
    assert!(seen.contains(&pagerduty::mark("Q1")), "{seen:?}");
    world.take(&triggered);
    world.take(&acknowledged);
    assert_eq!(world.seen(), (1, 1, false, true, 1));
    world.take(&resolved);
    assert_eq!(world.seen(), (1, 0, true, true, 1));
    // Delivered again, late: nothing fires anew.
    world.take(&triggered);
    world.take(&acknowledged);
    assert_eq!(world.seen(), (1, 0, true, true, 1));
}

#[test]
fn what_is_reopened_after_the_end_is_a_new_incident_that_names_the_earlier() {
    let mut world = World::default();
    world.take(&event("E1", "incident.triggered"));
    world.take(&event("E2", "incident.resolved"));
    let status = world.0[0].status.as_mut().unwrap();
    (status.phase, status.outcome) = (Phase::Completed, Some(Outcome::Remediated));
    status.completed_at = Some(Time("2026-05-01T11:50:00Z".parse().unwrap()));
    let reopened = event("E3", "incident.reopened");
    world.take(&reopened);
    world.take(&reopened);
    assert_eq!(world.seen(), (2, 1, false, false, 1));
    let annotations = world.0[1].metadata.annotations.as_ref().unwrap();
    assert_eq!(
        annotations.get(report::PREVIOUS_ANNOTATION),
        world.0[0].metadata.name.as_ref()
    );
    world.take(&event("E1", "incident.triggered"));
    assert_eq!(world.seen().0, 2, "an event of the earlier one, delivered again");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = pagerduty::parse(&bytes);
        let _ = pagerduty::is_signed(&String::from_utf8_lossy(&bytes), &bytes, std::slice::from_ref(&bytes));
    }

    #[test]
    fn whatever_stands_in_a_field_the_event_is_refused_or_fits_an_incident(
        pointer in proptest::sample::select(vec![
            "/event", "/event/id", "/event/event_type", "/event/occurred_at", "/event/data", "/event/data/id", "/event/data/title",
            "/event/data/urgency", "/event/data/html_url", "/event/data/service", "/event/data/custom_details", "/event/data/body",
            "/event/data/custom_fields", "/event/data/custom_details/namespace", "/event/data/custom_details/deployment",
        ]),
        value in any_json(),
    ) {
        let sent = changed(event("E1", "incident.triggered"), pointer, Some(value));
        if let Ok(event) = parse(&sent)
            && let Some(report) = pagerduty::report(&event, &services(), &LabelPolicy::default(), noon())
        {
            for ground in [Ground::OptedIn, Ground::Silent, Ground::Absent] {
                let place = report::place(&report.named, ground, "fw");
                let made = report::incident(&report, &place, 1, None);
                prop_assert!(!made.spec.title.trim().is_empty() && made.spec.title.chars().count() <= 256);
                prop_assert!(made.spec.title.chars().all(|c| !c.is_control()));
                prop_assert!(made.metadata.name.unwrap().len() <= 63);
                if ground != Ground::OptedIn || report.named.namespace.is_none() {
                    prop_assert_eq!(place.namespace, "fw");
                }
            }
        }
    }
}
