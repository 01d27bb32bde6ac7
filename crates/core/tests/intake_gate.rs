//! The gate before an investigation: what waits for what, until when, and that nothing waits for ever or for each other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    missing_docs
)]

use firewatch_core::api::{Incident, Outcome, Phase};
use firewatch_core::intake::gate::{self, Gate, Hold, Limits};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

fn at(minutes: i64) -> Timestamp {
    "2026-05-01T12:00:00Z"
        .parse::<Timestamp>()
        .unwrap()
        .saturating_add(SignedDuration::from_mins(minutes))
        .unwrap()
}

/// An incident of the namespace `shop`, made by an alert at that minute.
fn incident(name: &str, target: Value, created: i64, status: Value) -> Incident {
    serde_json::from_value(json!({
        "apiVersion": "firewatch.dev/v1alpha1", "kind": "Incident",
        "metadata": { "name": name, "namespace": "shop", "uid": name, "creationTimestamp": at(created).to_string() },
        "spec": { "title": "t", "target": target, "alert": { "source": "alertmanager" } },
        "status": status,
    }))
    .unwrap()
}

fn checkout() -> Value {
    json!({ "kind": "Deployment", "name": "checkout" })
}

fn pending(name: &str, target: Value, created: i64) -> Incident {
    incident(name, target, created, json!({ "phase": "Pending" }))
}

fn in_phase(name: &str, target: Value, phase: Phase) -> Incident {
    incident(name, target, -60, json!({ "phase": phase }))
}

fn ended(name: &str, outcome: Outcome, minute: i64) -> Incident {
    let status = json!({ "phase": "Completed", "outcome": outcome, "completedAt": at(minute).to_string() });
    incident(name, checkout(), minute - 1, status)
}

fn ask(me: &Incident, others: &[Incident]) -> Gate {
    let limits = Limits {
        cooldown: gate::DEFAULT_COOLDOWN,
        suspended: false,
    };
    gate::gate(me, others.iter(), limits, at(0))
}

#[track_caller]
fn is_held(gate: &Gate, hold: Hold, by: Option<&str>) {
    match gate {
        Gate::Held(block) => assert_eq!((block.hold, block.by.as_deref()), (hold, by)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn alone_it_begins() {
    assert_eq!(ask(&pending("a", checkout(), 0), &[]), Gate::Open);
    let me = pending("a", checkout(), 0);
    assert_eq!(
        ask(&me, std::slice::from_ref(&me)),
        Gate::Open,
        "it does not wait for itself"
    );
}

#[test]
fn what_is_looked_at_already_is_not_looked_at_twice() {
    let me = pending("me", checkout(), 0);
    for phase in [
        Phase::Triaging,
        Phase::Investigating,
        Phase::AwaitingApproval,
        Phase::Executing,
        Phase::RollingBack,
    ] {
        let other = in_phase("other", checkout(), phase);
        is_held(&ask(&me, &[other]), Hold::DuplicateInProgress, Some("shop/other"));
    }
    assert_eq!(ask(&me, &[ended("other", Outcome::NoActionRequired, -1)]), Gate::Open);
    assert_eq!(
        ask(
            &me,
            &[in_phase(
                "other",
                json!({ "kind": "Deployment", "name": "cart" }),
                Phase::Executing
            )]
        ),
        Gate::Open
    );
}

#[test]
fn a_pod_and_its_likely_owner_are_one_subject() {
    let me = pending("me", json!({ "kind": "Pod", "name": "checkout-7d9c5b8f6-x2x5z" }), 0);
    is_held(
        &ask(&me, &[in_phase("other", checkout(), Phase::Triaging)]),
        Hold::DuplicateInProgress,
        Some("shop/other"),
    );
    let sibling = in_phase(
        "other",
        json!({ "kind": "Pod", "name": "checkout-5c6f7d8b9-abcde" }),
        Phase::Triaging,
    );
    assert_eq!(ask(&me, &[sibling]), Gate::Open, "not a name that Kubernetes makes");
    let sibling = in_phase(
        "other",
        json!({ "kind": "Pod", "name": "checkout-5c6f7d8b9-bcdfg" }),
        Phase::Triaging,
    );
    is_held(&ask(&me, &[sibling]), Hold::DuplicateInProgress, Some("shop/other"));
}

#[test]
fn once_its_cause_is_known_an_incident_is_about_that_too() {
    let cause = json!({ "category": "c", "summary": "s", "object": { "kind": "Deployment", "namespace": "shop", "name": "checkout" },
                        "confidence": "0.9", "evidence": [] });
    let status = json!({ "phase": "AwaitingApproval", "rootCause": cause });
    let other = incident("other", json!({ "kind": "Deployment", "name": "frontend" }), -5, status);
    is_held(
        &ask(&pending("me", checkout(), 0), &[other]),
        Hold::DuplicateInProgress,
        Some("shop/other"),
    );
}

#[test]
fn what_another_incident_is_changing_is_left_alone() {
    let action = json!({ "id": "A1", "type": "Scale", "target": { "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop",
                         "name": "checkout", "uid": "u" }, "parameters": {}, "command": ["kubectl"], "risk": "low", "impact": "" });
    let plan = json!({ "revision": 1, "digest": "", "risk": "low", "summary": "s", "actions": [action], "estimatedResolutionSeconds": 1 });
    let other = |phase: Phase| {
        let status = json!({ "phase": phase, "plan": plan });
        incident("other", json!({ "kind": "Deployment", "name": "frontend" }), -5, status)
    };
    let me = pending("me", checkout(), 0);
    is_held(
        &ask(&me, &[other(Phase::Executing)]),
        Hold::ResourceBusy,
        Some("shop/other"),
    );
    assert_eq!(ask(&me, &[other(Phase::AwaitingApproval)]), Gate::Open);
}

#[test]
fn of_two_that_have_not_begun_the_older_goes_first() {
    let (old, new) = (pending("old", checkout(), -1), pending("new", checkout(), 0));
    assert_eq!(ask(&old, std::slice::from_ref(&new)), Gate::Open);
    is_held(&ask(&new, &[old]), Hold::DuplicateInProgress, Some("shop/old"));
}

#[test]
fn a_target_rests_after_a_repair_and_then_goes_on() {
    let me = pending("me", checkout(), 0);
    let gate = ask(&me, &[ended("before", Outcome::Remediated, -2)]);
    is_held(&gate, Hold::RecentlyRemediated, Some("shop/before"));
    let Gate::Held(block) = gate else { unreachable!() };
    assert_eq!(block.until, Some(at(3)));
    assert_eq!(ask(&me, &[ended("before", Outcome::Remediated, -5)]), Gate::Open);
}

#[test]
fn three_failures_in_a_row_end_what_happens_by_itself() {
    let me = pending("me", checkout(), 0);
    let failed = |n: i64, outcome| ended(&format!("f{n}"), outcome, -n);
    let three = [
        failed(1, Outcome::Inconclusive),
        failed(2, Outcome::RolledBack),
        failed(3, Outcome::RemediationFailed),
    ];
    is_held(&ask(&me, &three), Hold::ConsecutiveFailures, Some("shop/f1"));
    assert_eq!(ask(&me, &three[..2]), Gate::Open);
    let mut broken = three.to_vec();
    broken[1] = failed(2, Outcome::NoActionRequired);
    assert_eq!(ask(&me, &broken), Gate::Open, "a good end between them");
    let mut with_no = three.to_vec();
    with_no.push(failed(0, Outcome::Rejected));
    is_held(&ask(&me, &with_no), Hold::ConsecutiveFailures, Some("shop/f1"));
    let old = [61, 62, 63].map(|n| failed(n, Outcome::Inconclusive));
    assert_eq!(ask(&me, &old), Gate::Open, "it is let go by itself");
}

#[test]
fn a_repair_that_does_not_last_ends_it_too() {
    let me = pending("me", checkout(), 0);
    let fixed = |minutes: [i64; 3]| minutes.map(|m| ended(&format!("r{m}"), Outcome::Remediated, -m));
    is_held(
        &ask(&me, &fixed([10, 60, 200])),
        Hold::IneffectiveChain,
        Some("shop/r10"),
    );
    assert_eq!(ask(&me, &fixed([10, 60, 250])), Gate::Open);
}

#[test]
fn what_a_person_asked_for_waits_for_duplicates_only() {
    let past: Vec<Incident> = (1..4)
        .map(|n| ended(&format!("r{n}"), Outcome::Remediated, -n))
        .collect();
    for source in [Value::Null, json!({ "source": "manual" }), json!({ "source": "api" })] {
        let mut me = pending("me", checkout(), 0);
        me.spec.alert = serde_json::from_value(source).unwrap();
        assert_eq!(ask(&me, &past), Gate::Open);
        is_held(
            &ask(&me, &[in_phase("other", checkout(), Phase::Triaging)]),
            Hold::DuplicateInProgress,
            Some("shop/other"),
        );
    }
}

#[test]
fn a_person_s_question_about_a_whole_namespace_waits_for_nobody_and_an_alert_s_does() {
    let other = in_phase("other", Value::Null, Phase::AwaitingApproval);
    let mut me = pending("me", Value::Null, 0);
    is_held(
        &ask(&me, std::slice::from_ref(&other)),
        Hold::DuplicateInProgress,
        Some("shop/other"),
    );
    me.spec.alert = None;
    assert_eq!(ask(&me, &[other]), Gate::Open);
}

#[test]
fn while_a_policy_is_suspended_nothing_begins_by_itself() {
    let limits = Limits {
        cooldown: gate::DEFAULT_COOLDOWN,
        suspended: true,
    };
    let mut me = pending("me", checkout(), 0);
    is_held(&gate::gate(&me, [].iter(), limits, at(0)), Hold::Suspended, None);
    me.spec.alert = None;
    assert_eq!(gate::gate(&me, [].iter(), limits, at(0)), Gate::Open);
}

#[test]
fn a_duplicate_is_settled_when_the_other_repaired_it_and_its_own_alerts_are_gone() {
    let blocked_for = |reason: &str, alerts: Value| {
        let status =
            json!({ "phase": "Blocked", "blocked": { "reason": reason, "by": "shop/other" }, "alerts": alerts });
        incident("me", checkout(), 0, status)
    };
    let blocked = |alerts: Value| blocked_for("DuplicateInProgress", alerts);
    let gone = json!({ "firing": 0, "resolvedAt": at(0).to_string(), "lastReceivedAt": at(0).to_string() });
    let firing = json!({ "firing": 1, "lastReceivedAt": at(0).to_string() });
    let repaired = [ended("other", Outcome::Remediated, -10)];
    assert_eq!(
        ask(&blocked(gone.clone()), &repaired),
        Gate::Settled {
            by: "shop/other".into()
        }
    );
    assert_eq!(
        ask(&blocked(firing), &repaired),
        Gate::Open,
        "its own alert goes on: it looks itself"
    );
    assert_eq!(
        ask(
            &blocked_for("RecentlyRemediated", gone.clone()),
            &[ended("other", Outcome::Remediated, -1)]
        ),
        Gate::Settled {
            by: "shop/other".into()
        },
        "its alerts went while the target rested"
    );
    assert_eq!(
        ask(&blocked(gone), &[ended("other", Outcome::Rejected, -10)]),
        Gate::Open
    );
}

proptest! {
    #[test]
    fn of_any_incidents_that_have_not_begun_exactly_one_may(ages in proptest::collection::vec(-3_i64..3, 1..8)) {
        let all: Vec<Incident> = ages.iter().enumerate().map(|(n, age)| pending(&format!("i{n}"), checkout(), *age)).collect();
        let open = all.iter().filter(|me| ask(me, &all) == Gate::Open).count();
        prop_assert_eq!(open, 1);
    }
}

#[test]
fn a_policy_bounds_how_many_of_a_namespace_are_investigated_at_once() {
    use firewatch_core::intake::gate::has_room;
    assert!(has_room((5, 20), (1, Some(2))));
    assert!(!has_room((5, 20), (2, Some(2))), "the namespace is full");
    assert!(!has_room((20, 20), (0, Some(2))), "the cluster is full");
    assert!(has_room((5, 20), (5, None)), "no policy bounds it");
}
