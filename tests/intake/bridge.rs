//! From a webhook to an Incident: where it is made, what repeats, resolves and refires do to it.

use serde_json::{Value, json};

use crate::world::{World, alert, notification};

const NOON: &str = "2026-05-01T12:00:00Z";
const LATER: &str = "2026-05-01T13:00:00Z";

fn labels(namespace: &str) -> Value {
    json!({ "alertname": "Down", "severity": "critical", "namespace": namespace, "deployment": "checkout" })
}

#[tokio::test]
async fn an_alert_becomes_an_incident_in_the_namespace_that_opted_in() {
    let world = World::new("opted").await;
    let intake = world.intake(|_| {}).await;
    let body = notification(&world.key("g"), vec![alert("firing", NOON, &labels(&world.open))]);
    let answer = intake.post(&body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let incident = world.only(&world.open).await;
    let name = incident.metadata.name.clone().unwrap();
    assert_eq!(answer.body["incidents"], json!([format!("{}/{name}", world.open)]));
    let target = incident.spec.target.clone().unwrap();
    assert_eq!((target.kind.as_str(), target.name.as_str()), ("Deployment", "checkout"));
    assert_eq!(incident.spec.title, "checkout is bad");
    let status = incident.status.unwrap();
    assert_eq!((status.occurrences, status.alerts.unwrap().firing), (1, 1));
    assert!(world.all(&world.own).await.is_empty());

    assert_eq!(intake.post(&body).await.status, 200);
    let again = world.only(&world.open).await.status.unwrap();
    assert_eq!(again.occurrences, 1, "a repeat is no occurrence");
    let text = intake.metrics.render();
    assert!(
        text.contains("firewatch_intake_requests_total{source=\"alertmanager\",result=\"Accepted\"} 2"),
        "{text}"
    );
    intake.stops().await;
    world.over().await;
}

#[tokio::test]
async fn a_namespace_that_did_not_opt_in_gets_none_and_neither_does_one_that_does_not_exist() {
    let world = World::new("silent").await;
    let intake = world.intake(|_| {}).await;
    intake
        .post(&notification(
            &world.key("a"),
            vec![alert("firing", NOON, &labels(&world.silent))],
        ))
        .await;
    let incident = world.only(&world.own).await;
    let target = incident.spec.target.clone().unwrap();
    assert_eq!(target.namespace.as_deref(), Some(world.silent.as_str()));
    let note = &incident.metadata.annotations.as_ref().unwrap()["firewatch.dev/intake-note"];
    assert!(
        note.contains(&format!(
            "kubectl label namespace {} firewatch.dev/intake=enabled",
            world.silent
        )),
        "{note}"
    );
    assert!(world.all(&world.silent).await.is_empty());

    intake
        .post(&notification(
            &world.key("b"),
            vec![alert("firing", NOON, &labels("no-such-namespace"))],
        ))
        .await;
    intake
        .post(&notification(
            &world.key("c"),
            vec![alert("firing", NOON, &json!({ "alertname": "Nameless" }))],
        ))
        .await;
    let lost: Vec<_> = world
        .all(&world.own)
        .await
        .into_iter()
        .filter(|i| i.spec.target.is_none())
        .collect();
    assert_eq!(lost.len(), 2, "two groups without a target are never one incident");
    intake.stops().await;
    world.over().await;
}

#[tokio::test]
async fn a_group_that_spans_namespaces_makes_one_incident_in_each() {
    let world = World::new("spans").await;
    let intake = world.intake(|_| {}).await;
    let both = vec![
        alert("firing", NOON, &labels(&world.open)),
        alert("firing", NOON, &labels(&world.silent)),
    ];
    intake.post(&notification(&world.key("g"), both)).await;
    let there = world.only(&world.open).await;
    assert!(
        !serde_json::to_string(&there).unwrap().contains(&world.silent),
        "one tenant reads nothing of another"
    );
    world.only(&world.own).await;
    intake.stops().await;
    world.over().await;
}

#[tokio::test]
async fn resolve_is_noted_and_a_refire_after_the_end_is_a_new_incident() {
    let world = World::new("refire").await;
    let intake = world.intake(|_| {}).await;
    let send = async |status: &str, starts: &str| {
        let answer = intake
            .post(&notification(
                &world.key("g"),
                vec![alert(status, starts, &labels(&world.open))],
            ))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    send("firing", NOON).await;
    send("resolved", NOON).await;
    let first = world.only(&world.open).await;
    assert!(first.status.clone().unwrap().alerts.unwrap().resolved_at.is_some());
    world.ends(&first, "Escalated", "2026-05-01T12:30:00Z").await;
    send("firing", LATER).await;
    let all = world.all(&world.open).await;
    assert_eq!(all.len(), 2);
    let second = all.iter().find(|i| i.metadata.name != first.metadata.name).unwrap();
    assert_eq!(
        Some(&second.metadata.annotations.as_ref().unwrap()["firewatch.dev/previous-incident"]),
        first.metadata.name.as_ref()
    );
    // The loop would have ended the first at once where one runs: nothing of the second is counted there.
    assert_eq!(second.status.as_ref().unwrap().occurrences, 1);
    intake.stops().await;
    world.over().await;
}
