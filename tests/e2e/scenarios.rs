//! Each scenario, from `kubectl apply` and `kubectl patch` alone, to its expected outcome; and its story, read back from Postgres.

use firewatch_core::api::Phase;
use kubectl_incident::scenario::check;

use crate::record;
use crate::world::{Place, must, shared};

async fn plays_out(name: &str) {
    let world = shared().await;
    let place = Place::new(&name.replace('_', "-")).await;
    let scenario = place.breaks(name).await;
    let incident = place.reports(name);
    let asked = place
        .until(&incident, 150, "an approval, or the end", |s| {
            s.phase == Phase::Completed || (s.phase == Phase::AwaitingApproval && s.approval_ref.is_some())
        })
        .await;
    if let (Phase::AwaitingApproval, Some(approval)) = (
        asked.status.as_ref().unwrap().phase,
        &asked.status.as_ref().unwrap().approval_ref,
    ) {
        let (ok, said) = place.decides(&approval.name, "Approved");
        assert!(ok, "{said}");
    }
    let status = place.until_over(&incident).await;
    let differences = scenario.expected.differences(&status);
    assert!(
        differences.is_empty(),
        "{name}: {}\n{}",
        differences.join("\n"),
        serde_json::to_string_pretty(&status).unwrap()
    );
    must(&[
        "-n",
        &place.namespace,
        "wait",
        "--for=condition=Succeeded",
        &format!("incident/{incident}"),
        "--timeout=5s",
    ]);
    check::wait(&place.cluster, &scenario.health, "the health check")
        .await
        .unwrap();
    record::told(&place, &incident).await;
    place.ends().await;
    drop(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn crashloop() {
    plays_out("crashloop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_leak() {
    plays_out("memory_leak").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cpu_spike() {
    plays_out("cpu_spike").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cascading_failure() {
    plays_out("cascading_failure").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn healthy_noise() {
    plays_out("healthy_noise").await;
}
