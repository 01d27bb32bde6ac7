//! Webhooks and what becomes of them: the parser against bad input, grouping, refire, resolve, and where an incident is made.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    missing_docs
)]

mod intake_support;

use firewatch_core::api::{Outcome, Severity};
use firewatch_core::intake::Why;
use firewatch_core::intake::alertmanager;
use firewatch_core::intake::merge::{self, MAX_SEEN, Todo};
use firewatch_core::intake::report::{self, Ground};
use firewatch_core::intake::target::LabelPolicy;
use intake_support::{World, alert, any_json, at, body, changed, checkout, only, parse};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn a_body_that_is_wrong_is_refused_and_names_the_field() {
    #[rustfmt::skip]
    let table: &[(&str, Option<Value>, &str, Why)] = &[
        ("/version", None, "version", Why::Missing),
        ("/version", Some(Value::Null), "version", Why::Missing),
        ("/version", Some(json!(4)), "version", Why::WrongType),
        ("/version", Some(json!("5")), "version", Why::UnknownVersion),
        ("/groupKey", None, "groupKey", Why::Missing),
        ("/groupKey", Some(json!("")), "groupKey", Why::Empty),
        ("/groupKey", Some(json!(["x"])), "groupKey", Why::WrongType),
        ("/groupKey", Some(json!("x".repeat(9000))), "groupKey", Why::TooLong),
        ("/status", Some(json!("burning")), "status", Why::UnknownValue),
        ("/truncatedAlerts", Some(json!(-1)), "truncatedAlerts", Why::WrongType),
        ("/groupLabels", Some(json!("x")), "groupLabels", Why::WrongType),
        ("/alerts", None, "alerts", Why::Missing),
        ("/alerts", Some(json!({})), "alerts", Why::WrongType),
        ("/alerts", Some(json!([])), "alerts", Why::Empty),
        ("/alerts", Some(json!([1])), "alerts[0]", Why::WrongType),
        ("/alerts/0/status", None, "alerts[0].status", Why::Missing),
        ("/alerts/0/status", Some(json!("maybe")), "alerts[0].status", Why::UnknownValue),
        ("/alerts/0/labels", Some(json!([])), "alerts[0].labels", Why::WrongType),
        ("/alerts/0/labels/pod", Some(json!(7)), "alerts[0].labels.pod", Why::WrongType),
        ("/alerts/0/labels/pod", Some(Value::Null), "alerts[0].labels.pod", Why::WrongType),
        ("/alerts/0/annotations", Some(json!(true)), "alerts[0].annotations", Why::WrongType),
        ("/alerts/0/startsAt", Some(json!("yesterday")), "alerts[0].startsAt", Why::NotATime),
        ("/alerts/0/startsAt", Some(json!(0)), "alerts[0].startsAt", Why::WrongType),
        ("/alerts/0/endsAt", Some(json!("2026-13-01T00:00:00Z")), "alerts[0].endsAt", Why::NotATime),
        ("/alerts/0/fingerprint", Some(json!({})), "alerts[0].fingerprint", Why::WrongType),
    ];
    for (pointer, to, field, why) in table {
        let sent = changed(body(vec![checkout("firing", 0)]), pointer, to.clone());
        let refused = alertmanager::parse(sent.to_string().as_bytes(), at(0)).unwrap_err();
        assert_eq!(
            (refused.field.as_str(), refused.why),
            (*field, *why),
            "{pointer} = {to:?}"
        );
    }
}

#[test]
fn what_is_no_object_too_deep_or_too_large_is_refused() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let why = |body: &[u8]| alertmanager::parse(body, at(0)).unwrap_err().why;
    assert_eq!(why(b""), Why::NotJson);
    assert_eq!(why(b"\xff\xfe"), Why::NotJson);
    assert_eq!(why(deep.as_bytes()), Why::NotJson);
    assert_eq!(why(b"[]"), Why::WrongType);
    assert_eq!(why(&vec![b' '; 10 * 1024 * 1024]), Why::TooLarge);
}

#[test]
fn optional_fields_may_be_missing_or_null_and_unknown_ones_are_ignored() {
    for field in [
        "/truncatedAlerts",
        "/groupLabels",
        "/commonLabels",
        "/status",
        "/receiver",
        "/externalURL",
    ] {
        for to in [None, Some(Value::Null)] {
            parse(&changed(body(vec![checkout("firing", 0)]), field, to));
        }
    }
    for field in [
        "annotations",
        "startsAt",
        "endsAt",
        "fingerprint",
        "generatorURL",
        "labels",
    ] {
        for to in [None, Some(Value::Null)] {
            parse(&changed(
                body(vec![checkout("firing", 0)]),
                &format!("/alerts/0/{field}"),
                to,
            ));
        }
    }
    parse(&changed(
        body(vec![checkout("firing", 0)]),
        "/notification_reason",
        Some(json!([{}])),
    ));
}

#[test]
fn an_alert_from_the_future_began_now() {
    let parsed = parse(&body(vec![checkout("firing", 60 * 24 * 365)]));
    assert_eq!(parsed.alerts[0].starts_at, Some(at(0)));
}

#[test]
fn control_characters_and_hidden_ones_do_not_reach_an_incident() {
    let mut sent = checkout("firing", 0);
    sent["annotations"]["summary"] = json!("a\u{1b}[31mb\u{202e}c\nd\0e");
    sent["labels"]["note"] = json!("x\u{7}y");
    let report = only(vec![sent]);
    assert_eq!(report.title, "a [31mb c d e");
    assert_eq!(report.alert.labels["note"], "x y");
}

#[test]
fn a_group_of_one_namespace_is_one_report_about_what_its_alerts_agree_on() {
    let report = only(vec![checkout("firing", 2), checkout("firing", 1)]);
    assert_eq!(report.named.namespace.as_deref(), Some("shop"));
    assert_eq!(report.named.target, Some(("Deployment".into(), "checkout".into())));
    assert_eq!(report.severity, Some(Severity::Critical));
    assert_eq!(report.firing.len(), 2);

    let other = alert("B", "firing", 0, json!({ "namespace": "shop", "deployment": "cart" }));
    let mixed = only(vec![checkout("firing", 0), other]);
    assert_eq!(mixed.named.target, None, "two objects: the whole namespace");
}

#[test]
fn a_group_that_spans_namespaces_is_parted() {
    let sent = body(vec![
        checkout("firing", 0),
        alert("A", "firing", 0, json!({ "namespace": "bank", "pod": "db-0" })),
        alert("A", "firing", 0, json!({ "instance": "10.0.0.1:9100" })),
    ]);
    let reports = report::reports(&parse(&sent), &LabelPolicy::default());
    let namespaces: Vec<_> = reports.iter().map(|r| r.named.namespace.as_deref()).collect();
    assert_eq!(namespaces, [None, Some("bank"), Some("shop")]);
    assert!(reports[1].alert.labels.values().all(|v| v != "shop"));
    let keys: std::collections::BTreeSet<_> = reports.iter().map(|r| &r.key).collect();
    assert_eq!(keys.len(), 3);
}

#[test]
fn an_incident_is_made_in_a_namespace_only_where_that_opted_in() {
    let named = only(vec![checkout("firing", 0)]).named;
    let there = report::place(&named, Ground::OptedIn, "fw");
    assert_eq!((there.namespace.as_str(), &there.note), ("shop", &None));
    assert_eq!(there.target.unwrap().namespace, None);

    let here = report::place(&named, Ground::Silent, "fw");
    assert_eq!(here.namespace, "fw");
    assert_eq!(here.target.unwrap().namespace.as_deref(), Some("shop"));
    assert!(
        here.note
            .unwrap()
            .contains("kubectl label namespace shop firewatch.dev/intake=enabled")
    );

    let gone = report::place(&named, Ground::Absent, "fw");
    assert_eq!((gone.namespace.as_str(), gone.target), ("fw", None));
    assert!(gone.note.unwrap().contains("does not exist"));
}

#[test]
fn the_same_notification_again_changes_nothing() {
    let mut world = World::default();
    let report = only(vec![checkout("firing", 0)]);
    assert!(matches!(world.take(&report, at(0)), Todo::Open { number: 1, .. }));
    assert_eq!(world.take(&report, at(0)), Todo::Nothing);
    assert!(
        matches!(world.take(&report, at(240)), Todo::Merge { .. }),
        "that it still fires is noted"
    );
    assert_eq!((world.0.len(), world.occurrences()), (1, 1));
}

#[test]
fn every_firing_of_every_alert_counts_once() {
    let mut world = World::default();
    world.take(&only(vec![checkout("firing", 0)]), at(0));
    let second = alert(
        "A",
        "firing",
        1,
        json!({ "namespace": "shop", "deployment": "checkout", "code": "502" }),
    );
    world.take(&only(vec![checkout("firing", 0), second.clone()]), at(1));
    world.take(&only(vec![checkout("resolved", 0), second.clone()]), at(2));
    world.take(&only(vec![checkout("firing", 3), second]), at(3));
    assert_eq!((world.0.len(), world.occurrences()), (1, 3));
}

#[test]
fn an_occurrence_counted_by_the_loop_before_the_alert_was_is_not_doubled() {
    let mut world = World::default();
    let report = only(vec![checkout("firing", 0)]);
    world.take(&report, at(0));
    let status = world.last().status.as_mut().unwrap();
    status.alerts = None;
    status.occurrences = 1;
    world.take(&report, at(0));
    assert_eq!(world.occurrences(), 1);
}

#[test]
fn a_resolved_alert_is_noted_and_makes_no_incident() {
    let mut world = World::default();
    assert_eq!(world.take(&only(vec![checkout("resolved", 0)]), at(0)), Todo::Nothing);
    world.take(&only(vec![checkout("firing", 0)]), at(0));
    world.take(&only(vec![checkout("resolved", 0)]), at(5));
    let alerts = world.last().status.as_ref().unwrap().alerts.clone().unwrap();
    assert_eq!((alerts.firing, alerts.resolved_at), (0, Some(Time(at(5)))));
}

#[test]
fn a_group_that_was_cut_short_is_never_taken_for_resolved() {
    let cut = changed(body(vec![checkout("resolved", 0)]), "/truncatedAlerts", Some(json!(3)));
    let reports = report::reports(&parse(&cut), &LabelPolicy::default());
    let mut world = World::default();
    world.take(&only(vec![checkout("firing", 0)]), at(0));
    world.take(&reports[0], at(5));
    assert_eq!(
        world
            .last()
            .status
            .as_ref()
            .unwrap()
            .alerts
            .as_ref()
            .unwrap()
            .resolved_at,
        None
    );
}

#[test]
fn a_refire_after_the_end_is_a_new_incident_that_names_the_earlier_one() {
    let mut world = World::default();
    world.take(&only(vec![checkout("firing", -60)]), at(-60));
    world.ends(Outcome::Remediated, at(-55));
    world.take(&only(vec![checkout("resolved", -60)]), at(-54));
    let todo = world.take(&only(vec![checkout("firing", -10)]), at(-10));
    let Todo::Open {
        number: 2,
        previous: Some(previous),
        ..
    } = todo
    else {
        panic!("{todo:?}")
    };
    assert_eq!(
        world.last().metadata.annotations.as_ref().unwrap()[report::PREVIOUS_ANNOTATION],
        previous
    );
    assert_eq!((world.0.len(), world.occurrences()), (2, 2));
}

#[test]
fn the_echo_of_an_alert_after_the_end_is_no_new_incident() {
    for outcome in [
        Outcome::Escalated,
        Outcome::Inconclusive,
        Outcome::Rejected,
        Outcome::RemediationFailed,
    ] {
        let mut world = World::default();
        world.take(&only(vec![checkout("firing", 0)]), at(0));
        world.ends(outcome, at(5));
        for minutes in [6, 30, 240, 10_000] {
            world.take(&only(vec![checkout("firing", 0)]), at(minutes));
        }
        assert_eq!(
            (world.0.len(), world.occurrences()),
            (1, 1),
            "{outcome}: a person was called"
        );
    }
}

#[test]
fn what_goes_on_firing_long_after_a_repair_is_a_new_incident() {
    let mut world = World::default();
    world.take(&only(vec![checkout("firing", 0)]), at(0));
    world.ends(Outcome::Remediated, at(5));
    world.take(&only(vec![checkout("firing", 0)]), at(10));
    assert_eq!(world.0.len(), 1, "the rule looks back");
    world.take(&only(vec![checkout("firing", 0)]), at(21));
    assert_eq!(world.0.len(), 2);
}

#[test]
fn what_is_remembered_is_bounded_and_repeats_do_not_count_again() {
    let mut world = World::default();
    let many: Vec<Value> = (0..MAX_SEEN + 100)
        .map(|n| {
            alert(
                "A",
                "firing",
                0,
                json!({ "namespace": "shop", "pod": format!("p-{n}") }),
            )
        })
        .collect();
    let report = only(many);
    world.take(&report, at(0));
    world.take(&report, at(5));
    assert_eq!(world.occurrences(), i64::try_from(MAX_SEEN).unwrap());
    assert!(
        world
            .last()
            .status
            .as_ref()
            .unwrap()
            .alerts
            .as_ref()
            .unwrap()
            .seen
            .len()
            <= MAX_SEEN
    );
}

#[test]
fn the_list_of_groups_and_a_webhook_know_the_same_firing() {
    let sent = checkout("firing", -20);
    let mut listed = sent.clone();
    listed["startsAt"] = json!(at(-20).to_string().replace('Z', ".000Z"));
    listed["status"] = json!({ "state": "active", "silencedBy": [], "inhibitedBy": [] });
    let group = |state: &str, receiver: &str| {
        let mut alert = listed.clone();
        alert["status"]["state"] = json!(state);
        json!([{ "labels": { "alertname": "A" }, "receiver": { "name": receiver }, "alerts": [alert] }])
    };
    let read = |value: &Value| alertmanager::parse_groups(value.to_string().as_bytes(), "firewatch", at(0));
    let found = read(&group("active", "firewatch")).unwrap();
    let missed = report::reports(&found[0], &LabelPolicy::default()).remove(0);
    let report = only(vec![sent]);
    assert_eq!(
        (&missed.firing, &missed.grouped_by),
        (&report.firing, &report.grouped_by)
    );
    let mut world = World::default();
    world.take(&report, at(0));
    assert!(merge::knows(world.last(), &missed));
    assert!(read(&group("suppressed", "firewatch")).unwrap().is_empty(), "silenced");
    assert!(
        read(&group("active", "other")).unwrap().is_empty(),
        "another receiver's"
    );
    assert_eq!(read(&json!({})).unwrap_err().why, Why::WrongType);
    assert_eq!(read(&json!([7])).unwrap_err().field, "[0]");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = alertmanager::parse(&bytes, at(0));
    }

    #[test]
    fn whatever_stands_in_a_field_the_body_is_refused_or_fits_an_incident(
        pointer in proptest::sample::select(vec![
            "/version", "/groupKey", "/alerts", "/groupLabels", "/status", "/truncatedAlerts", "/alerts/0/labels", "/alerts/0/annotations",
            "/alerts/0/labels/namespace", "/alerts/0/labels/deployment", "/alerts/0/startsAt", "/alerts/0/status", "/alerts/0/fingerprint",
            "/alerts/0/annotations/summary", "/alerts/0/annotations/description", "/alerts/0/labels/alertname", "/alerts/0/labels/severity",
        ]),
        value in any_json(),
    ) {
        let sent = changed(body(vec![checkout("firing", 0)]), pointer, Some(value));
        if let Ok(parsed) = alertmanager::parse(sent.to_string().as_bytes(), at(0)) {
            for report in report::reports(&parsed, &LabelPolicy::default()) {
                for ground in [Ground::OptedIn, Ground::Silent, Ground::Absent] {
                    let place = report::place(&report.named, ground, "fw");
                    let made = report::incident(&report, &place, 1, None);
                    prop_assert!(!made.spec.title.is_empty() && made.spec.title.chars().count() <= 256);
                    prop_assert!(made.spec.title.chars().all(|c| !c.is_control()));
                    let name = made.metadata.name.unwrap();
                    prop_assert!(name.len() <= 63 && name.starts_with("am-"));
                    if ground != Ground::OptedIn || report.named.namespace.is_none() {
                        prop_assert_eq!(place.namespace, "fw");
                    }
                }
            }
        }
    }

    #[test]
    fn however_notifications_are_repeated_and_cut_occurrences_are_the_firings(
        batches in proptest::collection::vec(proptest::collection::vec(0_i64..12, 1..6), 1..12),
    ) {
        let mut world = World::default();
        let mut all = std::collections::BTreeSet::new();
        for batch in &batches {
            all.extend(batch.iter().copied());
            let alerts = batch.iter()
                .map(|n| alert("A", "firing", -n, json!({ "namespace": "shop", "pod": format!("p-{n}") })))
                .collect();
            let report = only(alerts);
            world.take(&report, at(0));
            world.take(&report, at(1));
        }
        prop_assert_eq!(world.0.len(), 1);
        prop_assert_eq!(world.occurrences(), i64::try_from(all.len()).unwrap());
    }
}
