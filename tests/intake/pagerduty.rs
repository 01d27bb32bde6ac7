//! PagerDuty's webhooks over real connections: signed or not, delivered again, after a restart, and while nothing can be stored.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use hmac::{Hmac, KeyInit, Mac};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::world::{Running, World};

const SECRET: &str = "the-secret-of-a-subscription";

/// Status and document of an answer.
type Said = (u16, Value);

async fn deliver(intake: &Running, secret: Option<&str>, body: &Value) -> Said {
    let body = body.to_string();
    let client = reqwest::Client::new();
    let mut request = client.post(format!("http://{}/webhooks/pagerduty/v3", intake.address));
    if let Some(secret) = secret {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        request = request.header(
            "X-PagerDuty-Signature",
            format!("v1={},v1={signature}", "00".repeat(32)),
        );
    }
    let answer = request.body(body).send().await.unwrap();
    let status = answer.status().as_u16();
    (
        status,
        serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default(),
    )
}

struct Sender {
    world: World,
    folder: tempfile::TempDir,
    incident: String,
}

impl Sender {
    async fn new(name: &str) -> Self {
        let world = World::new(name).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("secrets"),
            format!("another-secret-in-rotation\n{SECRET}\n"),
        )
        .unwrap();
        let incident = format!("Q{}", uuid::Uuid::new_v4().simple());
        Self {
            world,
            folder,
            incident,
        }
    }

    fn secrets(&self) -> PathBuf {
        self.folder.path().join("secrets")
    }

    /// An intake for PagerDuty alone.
    async fn intake(&self) -> Running {
        let secrets = self.secrets();
        self.world
            .intake(|config| {
                config.token_file = None;
                config.pagerduty_secret_file = Some(secrets);
            })
            .await
    }

    fn event(&self, kind: &str, details: &Value) -> Value {
        json!({ "event": {
            "id": format!("{}-{kind}", self.incident), "event_type": format!("incident.{kind}"), "occurred_at": "2026-05-01T12:00:00Z",
            "data": { "id": self.incident, "title": "checkout is down", "urgency": "high", "custom_details": details },
        } })
    }

    fn triggered(&self) -> Value {
        self.event(
            "triggered",
            &json!({ "namespace": self.world.open, "deployment": "checkout" }),
        )
    }
}

#[tokio::test]
async fn what_is_triggered_becomes_an_incident_and_what_is_resolved_finds_it_once_and_after_a_restart() {
    let sender = Sender::new("pd").await;
    let intake = sender.intake().await;
    let (status, said) = deliver(&intake, Some(SECRET), &sender.triggered()).await;
    assert_eq!(status, 200, "{said}");
    let made = sender.world.only(&sender.world.open).await;
    assert_eq!(said["incident"], format!("{}/{}", sender.world.open, made.name_any()));
    assert!(made.name_any().starts_with("pd-"));
    let target = made.spec.target.clone().unwrap();
    assert_eq!((target.kind.as_str(), target.name.as_str()), ("Deployment", "checkout"));
    for kind in ["acknowledged", "resolved"] {
        // They need not repeat the details.
        assert_eq!(
            deliver(&intake, Some(SECRET), &sender.event(kind, &json!({}))).await.0,
            200
        );
    }
    intake.stops().await;
    let intake = sender.intake().await;
    assert_eq!(
        deliver(&intake, Some("another-secret-in-rotation"), &sender.triggered())
            .await
            .0,
        200
    );
    let incident = sender.world.only(&sender.world.open).await;
    let status = incident.status.unwrap();
    let alerts = status.alerts.unwrap();
    assert_eq!((alerts.firing, status.occurrences), (0, 1));
    assert!(alerts.resolved_at.is_some() && alerts.acknowledged_at.is_some());
    intake.stops().await;
    sender.world.over().await;
}

#[tokio::test]
async fn whoever_does_not_sign_gets_nothing_in_and_a_signed_body_that_is_wrong_is_told_its_field() {
    let sender = Sender::new("pdauth").await;
    let intake = sender.intake().await;
    for secret in [None, Some("a-secret-that-is-not-it")] {
        let (status, said) = deliver(&intake, secret, &sender.triggered()).await;
        assert_eq!((status, said["title"].as_str()), (401, Some("Unsigned")));
    }
    let mut wrong = sender.triggered();
    wrong["event"]["data"]["id"] = json!(7);
    let (status, said) = deliver(&intake, Some(SECRET), &wrong).await;
    assert_eq!((status, said["field"].as_str()), (400, Some("event.data.id")), "{said}");
    assert!(sender.world.all(&sender.world.open).await.is_empty());
    // Without tokens or certificates nobody can send as Alertmanager.
    let alertmanager = format!("http://{}/webhooks/alertmanager", intake.address);
    let answer = reqwest::Client::new()
        .post(alertmanager)
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 404);
    let ping = json!({ "event": { "id": "E", "event_type": "pagey.ping", "data": {} } });
    assert_eq!(
        deliver(&intake, Some(SECRET), &ping).await,
        (200, json!({ "incident": null }))
    );
    intake.stops().await;
    sender.world.over().await;
}

#[tokio::test]
async fn what_cannot_be_stored_is_answered_with_503_and_taken_when_it_comes_again() {
    let sender = Sender::new("pddown").await;
    let intake = sender.intake().await;
    sender.world.down.store(true, Ordering::Relaxed);
    let (status, said) = deliver(&intake, Some(SECRET), &sender.triggered()).await;
    assert_eq!((status, said["title"].as_str()), (503, Some("NotStored")));
    sender.world.down.store(false, Ordering::Relaxed);
    assert_eq!(deliver(&intake, Some(SECRET), &sender.triggered()).await.0, 200);
    sender.world.only(&sender.world.open).await;
    intake.stops().await;
    sender.world.over().await;
}
