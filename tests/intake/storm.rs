//! A short storm: bursts, repeats, an intake that is restarted and an API server that refuses. Nothing is lost, nothing is doubled.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Running, World, alert, notification};

const GROUPS: usize = 10;
const ALERTS: usize = 60;
/// Alertmanager sends the whole group each time: here with so many more alerts.
const STEP: usize = 12;

fn group(namespace: &str, group: usize, upto: usize) -> Value {
    let alerts = (0..upto)
        .map(|n| {
            let labels = json!({ "alertname": format!("A{group}"), "namespace": namespace, "deployment": format!("d{group}"), "n": n.to_string() });
            alert("firing", "2026-05-01T12:00:00Z", &labels)
        })
        .collect();
    notification(&format!("{{}}:{{alertname=\"A{group}\"}}"), alerts)
}

#[tokio::test(flavor = "multi_thread")]
async fn incidents_are_groups_and_occurrences_add_up_whatever_fails_in_between() {
    let world = World::new("storm").await;
    let first = world.intake(|_| {}).await;
    let address = first.address;
    let namespace = world.open.clone();
    let senders: Vec<_> = (0..GROUPS)
        .map(|g| {
            let namespace = namespace.clone();
            tokio::spawn(async move {
                for upto in (STEP..=ALERTS).step_by(STEP) {
                    let body = group(&namespace, g, upto);
                    // Two Alertmanagers of one cluster send the same.
                    tokio::join!(
                        Running::post_until_taken(address, &body),
                        Running::post_until_taken(address, &body)
                    );
                }
            })
        })
        .collect();
    // The storm has begun when the first incident is there.
    while world.all(&world.open).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.down.store(true, Ordering::Relaxed);
    first.stops().await;
    let second = world.intake(|config| config.listen = Some(address)).await;
    let refused = second.post(&group(&namespace, 0, 1)).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.head.contains("application/problem+json"), "{refused:?}");
    world.down.store(false, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    let incidents = world.all(&world.open).await;
    assert_eq!(incidents.len(), GROUPS);
    let keys: BTreeSet<_> = incidents.iter().map(|i| i.metadata.labels.clone()).collect();
    assert_eq!(keys.len(), GROUPS);
    for incident in &incidents {
        let occurrences = incident.status.as_ref().map_or(0, |s| s.occurrences);
        assert_eq!(
            occurrences,
            i64::try_from(ALERTS).unwrap(),
            "{:?}",
            incident.metadata.name
        );
    }
    second.stops().await;
    world.over().await;
}
