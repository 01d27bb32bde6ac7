//! Storms against an intake whose API server is a real one, and the count of what is there afterwards; then incidents against the loop.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use firewatch_core::api::{Incident, Phase};
use firewatch_core::intake::report::{OPT_IN_LABEL, OPT_IN_VALUE};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::Server;
use crate::sender::{self, GROUPS, Load};

/// Carried by every namespace that this makes; `make clean-incidents` finds it.
const MANAGER: &str = "firewatch-load";
/// The same group's firings that are remembered: more are not counted.
const REMEMBERED: u64 = firewatch_core::intake::merge::MAX_SEEN as u64;

pub fn run() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let lost = tokio::runtime::Runtime::new().unwrap().block_on(all());
    if lost > 0 {
        eprintln!("error: {lost} lost");
        std::process::exit(1);
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

async fn all() -> u64 {
    let client = Client::try_default()
        .await
        .expect("KUBECONFIG leads to a cluster: make cluster-up, make install");
    let lasts = Duration::from_secs(number("LOAD_SECONDS", 10));
    println!("| storm | accepted | opened | merged | rejected | told to send again | lost | p50 | p99 | peak memory |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut lost = 0;
    for (what, alerts, fresh_every) in [
        ("repeats", 20, 50),
        ("every body news", 5, 1),
        ("large groups", 200, 10),
    ] {
        lost += storm(&client, what, alerts, fresh_every, lasts).await;
    }
    let incidents = number("LOAD_INCIDENTS", 20);
    if incidents > 0 {
        lost += through_the_loop(&client, incidents).await;
    }
    lost
}

async fn namespace(client: &Client, labels: &[(&str, &str)]) -> String {
    let id: String = uuid::Uuid::new_v4().simple().to_string().chars().take(6).collect();
    let name = format!("load-{id}");
    let mut made = Namespace::default();
    made.metadata.name = Some(name.clone());
    let own = [("app.kubernetes.io/managed-by", MANAGER)];
    let labels: BTreeMap<String, String> = own
        .iter()
        .chain(labels)
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    made.metadata.labels = Some(labels);
    Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &made)
        .await
        .unwrap();
    name
}

async fn remove(client: &Client, namespace: &str) {
    let incidents: Api<Incident> = Api::namespaced(client.clone(), namespace);
    let _ = incidents
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await;
    let _ = Api::<Namespace>::all(client.clone())
        .delete(namespace, &DeleteParams::default())
        .await;
}

async fn storm(client: &Client, what: &str, alerts: usize, fresh_every: usize, lasts: Duration) -> u64 {
    let namespace = namespace(client, &[(OPT_IN_LABEL, OPT_IN_VALUE)]).await;
    let server = Server::start(&["cluster", &namespace]);
    let load = Load {
        namespace: namespace.clone(),
        alerts,
        connections: 16,
        lasts,
        fresh_every,
        bad_every: 20,
    };
    let measured = sender::send(server.address, &load).await;
    let incidents: Api<Incident> = Api::namespaced(client.clone(), &namespace);
    let there = incidents.list(&ListParams::default()).await.unwrap().items;
    // By group: one incident, and its occurrences are the firings that were sent.
    let mut counted: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for incident in &there {
        let name = incident
            .spec
            .alert
            .as_ref()
            .and_then(|alert| alert.name.clone())
            .unwrap_or_default();
        let occurrences = incident.status.as_ref().map_or(0, |status| status.occurrences);
        let of_group = counted.entry(name).or_default();
        *of_group = (
            of_group.0 + 1,
            of_group.1 + u64::try_from(occurrences).unwrap_or_default(),
        );
    }
    let mut lost = measured.unexpected;
    for (group, sent) in measured.firings.iter().enumerate().filter(|(_, sent)| **sent > 0) {
        let (incidents, occurrences) = counted.get(&format!("Load{group}")).copied().unwrap_or_default();
        lost += incidents.abs_diff(1);
        // Of what goes beyond what is remembered only that is sure.
        lost += (*sent).min(REMEMBERED).saturating_sub(occurrences) + occurrences.saturating_sub(*sent);
    }
    println!(
        "| {what}, {alerts} alerts a body, {GROUPS} groups | {} | {} | {} | {} | {} | {lost} | {:.0} ms | {:.0} ms | {} MiB |",
        measured.taken,
        there.len(),
        measured.taken - there.len() as u64,
        measured.rejected,
        measured.told_again,
        measured.percentile(50).as_secs_f64() * 1000.0,
        measured.percentile(99).as_secs_f64() * 1000.0,
        server.memory(),
    );
    server.stop();
    remove(client, &namespace).await;
    lost
}

/// So many incidents at once about healthy workloads, each of which the loop must bring to its end.
async fn through_the_loop(client: &Client, number: u64) -> u64 {
    let operator: Api<Deployment> = Api::namespaced(client.clone(), "firewatch-system");
    if operator
        .list(&ListParams::default())
        .await
        .map_or(0, |list| list.items.len())
        == 0
    {
        println!("\nno Firewatch is installed here (make install): the loop was not loaded");
        return 0;
    }
    let namespace = namespace(client, &[]).await;
    let api: Api<Incident> = Api::namespaced(client.clone(), &namespace);
    let began = Instant::now();
    for n in 0..number {
        let incident: Incident = serde_json::from_value(json!({
            "apiVersion": "firewatch.dev/v1alpha1", "kind": "Incident", "metadata": { "name": format!("load-{n}") },
            "spec": { "title": format!("load {n}"), "severity": "low" },
        }))
        .unwrap();
        api.create(&PostParams::default(), &incident).await.unwrap();
    }
    let deadline = began + Duration::from_secs(60 + 20 * number);
    let over = |incident: &Incident| {
        incident
            .status
            .as_ref()
            .is_some_and(|status| status.phase == Phase::Completed)
    };
    let all = loop {
        let all = api.list(&ListParams::default()).await.unwrap().items;
        if all.iter().all(over) || Instant::now() > deadline {
            break all;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let mut took: Vec<u64> = all
        .iter()
        .filter(|incident| over(incident))
        .filter_map(|incident| {
            let made = incident.creation_timestamp()?.0;
            let ended = incident.status.as_ref()?.completed_at.as_ref()?.0;
            u64::try_from(ended.duration_since(made).as_secs()).ok()
        })
        .collect();
    took.sort_unstable();
    let at = |of_hundred: usize| {
        took.get(took.len().saturating_sub(1) * of_hundred / 100)
            .copied()
            .unwrap_or_default()
    };
    let lost = number - took.len() as u64;
    println!("\n| incidents at once | ended | not ended | p50 | p99 | all in |");
    println!("|---|---|---|---|---|---|");
    println!(
        "| {number} | {} | {lost} | {} s | {} s | {} s |",
        took.len(),
        at(50),
        at(99),
        began.elapsed().as_secs()
    );
    remove(client, &namespace).await;
    lost
}
