//! Many alerts about little: a group that flaps, and one failing dependency that sets off twenty alerts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    missing_docs
)]

mod intake_support;

use firewatch_core::agents::Investigation;
use firewatch_core::api::{Incident, ObjectName, Outcome};
use firewatch_core::diagnosis::recording::{Header, Recording};
use firewatch_core::incident::conditions::{self, Facts};
use firewatch_core::intake::flap;
use firewatch_core::intake::gate::{self, Gate, Hold, Limits};
use firewatch_core::intake::report::{self, Report};
use firewatch_core::intake::target::LabelPolicy;
use intake_support::{World, alert, at, body, changed, checkout, only, parse};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

fn gate_of(me: &Incident, others: &[Incident], now: Timestamp) -> Gate {
    let limits = Limits {
        cooldown: gate::DEFAULT_COOLDOWN,
        suspended: false,
    };
    gate::gate(me, others.iter(), limits, now)
}

/// What the condition says, and why.
fn flapping(incident: &Incident, now: Timestamp) -> Option<(String, String)> {
    let mut status = incident.status.clone().unwrap();
    conditions::set(&mut status, &Facts::default(), now);
    let condition = status.conditions.into_iter().find(|c| c.type_ == "Flapping")?;
    Some((condition.status, condition.reason))
}

fn others(world: &World, me: &Incident) -> Vec<Incident> {
    let others = world.0.values().filter(|other| other.metadata.name != me.metadata.name);
    others.cloned().collect()
}

/// Fires and resolves once every ten minutes; each incident that may begin finds nothing wrong.
fn flaps(world: &mut World, times: i64) {
    // All of it lies in the past: an alert of the future is taken to have begun now.
    for minute in (0..times).map(|n| (n - times) * 10) {
        world.take(&only(vec![checkout("firing", minute)]), at(minute));
        let me = world.last().clone();
        let held = matches!(gate_of(&me, &others(world, &me), at(minute)), Gate::Held(_));
        world.take(&only(vec![checkout("resolved", minute)]), at(minute + 2));
        if !held {
            world.ends(Outcome::NoActionRequired, at(minute + 3));
        }
    }
}

#[test]
fn a_group_that_flaps_is_one_incident_with_occurrences_that_says_so() {
    let mut world = World::default();
    flaps(&mut world, 12);
    let refires = i64::try_from(flap::REFIRES).unwrap();
    assert_eq!(
        world.0.len(),
        flap::REFIRES + 1,
        "one for each firing until it is known, and one for all that come after"
    );
    assert_eq!(world.occurrences(), 12, "none is lost");
    let last = world.last().clone();
    assert_eq!(last.status.as_ref().unwrap().occurrences, 12 - refires);
    assert_eq!(flapping(&last, at(-8)), Some(("True".into(), "Flapping".into())));
    let Gate::Held(block) = gate_of(&last, &others(&world, &last), at(-8)) else {
        panic!("it is held")
    };
    assert_eq!((block.hold, block.until), (Hold::Flapping, Some(at(-30 + 60))));
    assert!(block.by.as_ref().unwrap().ends_with("-3"), "{block:?}");
    assert!(block.said().contains("a person must look"), "{}", block.said());
    // It is let go by itself.
    assert_eq!(gate_of(&last, &others(&world, &last), at(30)), Gate::Open);
    assert_eq!(flapping(&last, at(30)), Some(("False".into(), "Steady".into())));
}

#[test]
fn what_flaps_while_it_is_looked_into_says_so_and_is_not_held() {
    let mut world = World::default();
    for minute in [0, 10, 20, 30] {
        world.take(&only(vec![checkout("firing", minute)]), at(minute));
        assert_eq!(
            flapping(world.last(), at(minute)).is_some_and(|(status, _)| status == "True"),
            minute == 30
        );
        world.take(&only(vec![checkout("resolved", minute)]), at(minute + 2));
    }
    assert_eq!((world.0.len(), world.occurrences()), (1, 4));
    let only = world.last().clone();
    assert_eq!(
        gate_of(&only, &[], at(32)),
        Gate::Open,
        "nothing of its group was looked into yet"
    );
}

#[test]
fn what_fires_again_now_and_then_or_without_having_resolved_does_not_flap() {
    let mut slow = World::default();
    for minute in [0, 40, 80, 120, 160] {
        slow.take(&only(vec![checkout("firing", minute)]), at(minute));
        assert_ne!(
            flapping(slow.last(), at(minute)).map(|(status, _)| status).as_deref(),
            Some("True")
        );
        slow.take(&only(vec![checkout("resolved", minute)]), at(minute + 2));
    }
    let mut unresolved = World::default();
    for minute in [0, 10, 20, 30, 40] {
        unresolved.take(&only(vec![checkout("firing", minute)]), at(minute));
        assert_eq!(flapping(unresolved.last(), at(minute)), None);
    }
}

/// The alert of one of twenty services that all need the same database.
fn of_service(number: usize) -> Value {
    let name = format!("service-{number}");
    alert(
        "ServiceDown",
        "firing",
        0,
        json!({ "namespace": "shop", "deployment": name }),
    )
}

#[test]
fn twenty_alerts_of_one_group_are_one_incident_with_twenty_occurrences_about_all_of_them() {
    let mut world = World::default();
    // As they come: each notification of the group holds those before too.
    for upto in 1..=20 {
        world.take(&only((0..upto).map(of_service).collect()), at(0));
    }
    assert_eq!((world.0.len(), world.occurrences()), (1, 20));
    let report = only((0..20).map(of_service).collect());
    assert_eq!(report.named.namespace.as_deref(), Some("shop"));
    assert_eq!(
        report.named.target, None,
        "no single service: the cause is looked for in all of the namespace"
    );
}

/// Twenty groups of one alert each, about that.
fn twenty_groups(labels: impl Fn(usize) -> Value) -> Vec<Report> {
    (0..20)
        .map(|number| {
            let alert = alert(&format!("A{number}"), "firing", 0, labels(number));
            let sent = changed(body(vec![alert]), "/groupKey", Some(json!(format!("group {number}"))));
            report::reports(&parse(&sent), &LabelPolicy::default()).remove(0)
        })
        .collect()
}

/// The incidents of these, as an API server would have made them in one second.
fn made(reports: &[Report]) -> Vec<Incident> {
    let mut all = Vec::new();
    for (number, report) in reports.iter().enumerate() {
        let mut world = World::default();
        world.take(report, at(0));
        let mut incident = world.last().clone();
        incident.metadata.uid = Some(format!("uid-{number:02}"));
        incident.metadata.creation_timestamp = serde_json::from_value(json!(at(0).to_string())).unwrap();
        all.push(incident);
    }
    all
}

#[test]
fn of_twenty_groups_about_one_object_one_is_looked_into_and_the_others_name_it() {
    let mut all = made(&twenty_groups(
        |number| json!({ "namespace": "shop", "deployment": "database", "client": format!("service-{number}") }),
    ));
    let open: Vec<_> = all.iter().filter(|me| gate_of(me, &all, at(0)) == Gate::Open).collect();
    assert_eq!(open.len(), 1);
    let first = format!("shop/{}", open[0].metadata.name.clone().unwrap());
    let first_uid = open[0].metadata.uid.clone();
    for me in all.iter().filter(|me| me.metadata.uid != first_uid) {
        let Gate::Held(block) = gate_of(me, &all, at(0)) else {
            panic!("{me:?}")
        };
        assert_eq!((block.hold, block.by), (Hold::DuplicateInProgress, Some(first.clone())));
    }
    // Repaired, and their alerts are gone: the other nineteen are settled by that one, which they name.
    for me in &mut all {
        let status = me.status.get_or_insert_default();
        if me.metadata.uid == first_uid {
            let over = json!({ "phase": "Completed", "outcome": "Remediated", "completedAt": at(5).to_string() });
            *status = serde_json::from_value(over).unwrap();
        } else {
            status.blocked = serde_json::from_value(json!({ "reason": "DuplicateInProgress", "by": first })).unwrap();
            let alerts = status.alerts.as_mut().unwrap();
            alerts.firing = 0;
            alerts.resolved_at = serde_json::from_value(json!(at(6).to_string())).unwrap();
        }
    }
    for me in all.iter().filter(|me| me.metadata.uid != first_uid) {
        assert_eq!(gate_of(me, &all, at(6)), Gate::Settled { by: first.clone() });
    }
}

/// One failing dependency, recorded live: whoever's alert it is, the same cause is named.
#[test]
fn incidents_about_different_services_name_the_common_cause() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../scenarios/cascading_failure/recorded/evidence.jsonl"
    );
    let recording = Recording::from_text(&std::fs::read_to_string(path).unwrap()).unwrap();
    let Header { namespace, read_at, .. } = recording.header;
    let deployment = |name: &str| Some(ObjectName::namespaced("Deployment", namespace.clone(), name.to_owned()));
    for target in [deployment("storefront"), deployment("orders"), None] {
        let about = format!("{target:?}");
        let conclusion = Investigation::recorded(&namespace, target, read_at, recording.evidence.clone());
        let cause = conclusion
            .diagnosis
            .root_cause
            .unwrap_or_else(|| panic!("{about}: no cause"));
        assert_eq!(cause.finding.object.to_string(), "Service/orders-db", "{about}");
    }
}
