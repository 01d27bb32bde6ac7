//! Evidence that was recorded from live runs of the scenarios, read again: the same cause each time, and never more certain with less.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{names, read, recording};
use firewatch_core::diagnosis::recording::Recording;
use firewatch_core::diagnosis::{Confidence, Depth, Diagnosis, Remedy, Verdict};
use firewatch_core::sandbox::evidence::Evidence;

fn replay(name: &str) -> Diagnosis {
    let recording = recording(name);
    read(&recording, &recording.evidence)
}

#[test]
fn what_is_told_of_every_recording_is_what_was_read_and_found_good() {
    for name in names() {
        let recording = recording(&name);
        let case = common::case(&recording, &recording.evidence);
        let diagnosis = read(&recording, &recording.evidence);
        common::told::told_as("recordings", &name, &recording.header.namespace, &case, &diagnosis);
    }
}

#[test]
fn a_missing_key_is_named_with_the_neighbour_that_has_it() {
    let root = replay("crashloop").root_cause.unwrap();
    assert_eq!(root.finding.category, "MissingConfigMapKey");
    assert_eq!(root.finding.object.to_string(), "ConfigMap/checkout-settings");
    assert!(
        root.finding.confidence >= Confidence::hundredths(90),
        "{}",
        root.finding.confidence
    );
    let Some(Remedy::MissingConfigMapKey {
        key,
        value: Some(value),
        consumer,
        ..
    }) = root.finding.remedy
    else {
        panic!("{:?}", root.finding.remedy)
    };
    assert_eq!(key, "PAYMENT_GATEWAY_URL");
    assert_eq!(value.value, "http://payment-gateway:8080/v1");
    assert_eq!(value.source, "ConfigMap/refunds-settings");
    assert_eq!(consumer.workload.to_string(), "Deployment/checkout");
}

#[test]
fn a_leak_that_came_with_a_release_leads_back_before_it() {
    let diagnosis = replay("memory_leak");
    let root = diagnosis.root_cause.unwrap();
    assert_eq!(root.finding.category, "OutOfMemory");
    assert_eq!(root.finding.object.to_string(), "Deployment/catalog");
    let ways: Vec<&Remedy> = root.finding.remedy.iter().flat_map(Remedy::ways).collect();
    let Some(Remedy::BadRevision {
        from_revision: 2,
        to_revision: 1,
        diff,
        ..
    }) = ways.first()
    else {
        panic!("{:?}", root.finding.remedy)
    };
    assert!(diff.contains("RELEASE"), "{diff}");
    let change = diagnosis
        .findings
        .iter()
        .find(|finding| finding.category == "ChangedByRollout")
        .unwrap();
    assert!(change.summary.contains("PAGES = {}"), "{}", change.summary);
}

#[test]
fn load_beyond_the_cpu_limit_asks_for_replicas() {
    let root = replay("cpu_spike").root_cause.unwrap();
    assert_eq!(root.finding.category, "CpuThrottled");
    assert!(
        matches!(root.finding.remedy, Some(Remedy::ScaleOut { from: 1, to: 3, .. })),
        "{:?}",
        root.finding.remedy
    );
}

#[test]
fn a_victim_leads_to_the_service_that_lost_its_pods() {
    let root = replay("cascading_failure").root_cause.unwrap();
    assert_eq!(root.finding.object.to_string(), "Service/orders-db");
    let Some(Remedy::ServiceSelector {
        key,
        from,
        to: Some(to),
        ..
    }) = &root.finding.remedy
    else {
        panic!("{:?}", root.finding.remedy)
    };
    assert_eq!((key.as_str(), from.as_str(), to.as_str()), ("version", "16", "15"));
    let steps: Vec<&str> = root.chain.iter().map(String::as_str).collect();
    for (step, words) in steps.iter().zip([
        "Deployment/storefront",
        "Deployment/storefront calls orders:8080",
        "Service/orders has no ready endpoint",
        "Deployment/orders calls orders-db:5432",
        "Service/orders-db has no endpoints",
    ]) {
        assert!(
            step.contains(words) && step.contains("(E"),
            "{step}\nshould say: {words}"
        );
    }
    assert_eq!(steps.len(), 5);
}

#[test]
fn errors_in_the_log_of_a_healthy_service_are_no_incident() {
    let diagnosis = replay("healthy_noise");
    assert_eq!(diagnosis.verdict, Verdict::Healthy, "{:?}", diagnosis.findings);
    assert!(diagnosis.root_cause.is_none() && diagnosis.findings.is_empty());
    assert!(diagnosis.checked.iter().any(|line| line.contains("log of search")));
}

#[test]
fn every_claim_cites_evidence_that_is_there() {
    for name in names() {
        let recording = recording(&name);
        let evidence = &recording.evidence;
        let diagnosis = read(&recording, evidence);
        for finding in diagnosis
            .findings
            .iter()
            .chain(diagnosis.root_cause.iter().map(|root| &root.finding))
        {
            assert!(!finding.evidence.is_empty(), "{name}: {}", finding.summary);
            for id in &finding.evidence {
                assert!(
                    evidence.iter().any(|one| one.id == *id),
                    "{name}: {id} is not in evidence"
                );
            }
        }
    }
}

/// Every recording, once about its target and once about its whole namespace.
fn looks() -> Vec<(String, Recording)> {
    names()
        .into_iter()
        .flat_map(|name| {
            let about_target = recording(&name);
            let mut about_all = about_target.clone();
            about_all.header.target = None;
            [
                (name.clone(), about_target),
                (format!("{name}, whole namespace"), about_all),
            ]
        })
        .collect()
}

#[test]
fn less_evidence_never_makes_a_cause_more_certain_nor_a_sick_target_healthy() {
    for (name, recording) in looks() {
        let all = &recording.evidence;
        let whole = read(&recording, all);
        let says = |diagnosis: &Diagnosis| {
            diagnosis
                .root_cause
                .as_ref()
                .map_or(Confidence::default(), |root| root.finding.confidence)
        };
        for without in 0..all.len() {
            let mut some = all.clone();
            let taken = some.remove(without);
            let less = read(&recording, &some);
            assert!(
                says(&less) <= says(&whole),
                "{name} without {}: {} > {}",
                taken.id,
                says(&less),
                says(&whole)
            );
            if whole.verdict == Verdict::Found {
                assert_ne!(less.verdict, Verdict::Healthy, "{name} without {}", taken.id);
            }
        }
    }
}

#[test]
fn a_cause_without_what_it_cites_is_no_cause() {
    for (name, recording) in looks() {
        let all = &recording.evidence;
        let Some(root) = read(&recording, all).root_cause else {
            continue;
        };
        let rest: Vec<Evidence> = all
            .iter()
            .filter(|one| !root.finding.evidence.contains(&one.id))
            .cloned()
            .collect();
        let other = read(&recording, &rest).root_cause;
        assert!(
            other
                .is_none_or(|other| other.finding.category != root.finding.category
                    || other.finding.object != root.finding.object),
            "{name}"
        );
    }
}

#[test]
fn the_order_of_evidence_changes_nothing_that_is_concluded() {
    for name in names() {
        let recording = recording(&name);
        let all = &recording.evidence;
        let mut reversed = all.clone();
        reversed.reverse();
        let cause = |evidence: &[Evidence]| {
            read(&recording, evidence)
                .root_cause
                .map(|root| (root.finding.category, root.finding.object))
        };
        assert_eq!(cause(all), cause(&reversed), "{name}");
    }
}

#[test]
fn symptoms_are_never_called_the_cause() {
    for name in names() {
        if let Some(root) = replay(&name).root_cause {
            assert!(root.finding.depth > Depth::Symptom, "{name}");
        }
    }
}
