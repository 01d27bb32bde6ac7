//! Transitions as they happen, to who may watch, until the incident is over.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::world::{Running, World, bearer};

const WATCHER: &[(&str, &[&str])] = &[("incidents", &["get", "watch"])];

struct Reader {
    stream: TcpStream,
    text: String,
}

impl Reader {
    async fn open(api: &Running, path: &str, token: &str) -> Self {
        let stream = api.open("GET", path, &[&bearer(token)], b"").await;
        Self {
            stream,
            text: String::new(),
        }
    }

    /// Reads until this was said.
    async fn hears(&mut self, what: &str) {
        let read = async {
            let mut part = [0; 4096];
            while !self.text.contains(what) {
                let count = self.stream.read(&mut part).await.unwrap();
                assert!(count > 0, "it ended without {what}: {}", self.text);
                self.text.push_str(&String::from_utf8_lossy(&part[..count]));
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(20), read).await;
        assert!(heard.is_ok(), "{what} was not said: {}", self.text);
    }

    async fn ends(mut self) -> String {
        let read = async {
            let mut rest = Vec::new();
            let _ = self.stream.read_to_end(&mut rest).await;
            self.text.push_str(&String::from_utf8_lossy(&rest));
        };
        assert!(
            tokio::time::timeout(Duration::from_secs(20), read).await.is_ok(),
            "it goes on"
        );
        self.text
    }
}

async fn incident(world: &World) -> (String, String) {
    let made = json!({ "apiVersion": "firewatch.dev/v1alpha1", "kind": "Incident", "metadata": { "name": "i" }, "spec": { "title": "t" } });
    let made = world
        .incidents()
        .create(&PostParams::default(), &serde_json::from_value(made).unwrap())
        .await
        .unwrap();
    (made.name_any(), format!("/incidents/{}/i/transitions", world.namespace))
}

fn entry(sequence: i64, to: &str) -> Value {
    json!({ "sequence": sequence, "at": "2026-01-01T00:00:00Z", "from": "Pending", "to": to, "actor": "operator", "reason": "Accepted",
        "message": "as it was\nevent: forged", "payloadDigest": "d", "previousHash": "", "hash": "h" })
}

#[tokio::test]
async fn transitions_are_told_as_they_happen_until_the_incident_is_over() {
    let world = World::new("follow").await;
    let token = world.caller("watcher", WATCHER).await;
    let (name, path) = incident(&world).await;
    let api = world.api(|_| {}).await;
    let mut reader = Reader::open(&api, &path, &token).await;
    reader.hears("event: state").await;
    assert!(
        reader
            .text
            .to_ascii_lowercase()
            .contains("content-type: text/event-stream"),
        "{}",
        reader.text
    );
    world
        .stands(
            &name,
            json!({ "phase": "Triaging", "sequence": 1, "outbox": [entry(1, "Triaging")] }),
        )
        .await;
    reader.hears("id: 1").await;
    world
        .stands(
            &name,
            json!({ "phase": "Completed", "outcome": "Escalated", "sequence": 2, "outbox": [entry(2, "Completed")] }),
        )
        .await;
    let said = reader.ends().await;
    assert!(
        said.contains("event: transition") && said.contains("id: 2") && said.contains("event: end"),
        "{said}"
    );
    assert!(said.contains(r#""outcome":"Escalated""#), "{said}");
    assert!(!said.contains("\nevent: forged"), "{said}");
    api.stops().await;
    world.over().await;
}

#[tokio::test]
async fn a_stream_ends_when_the_incident_goes_when_its_time_is_up_and_when_the_operator_stops() {
    let world = World::new("ends").await;
    let token = world.caller("watcher", WATCHER).await;
    let (name, path) = incident(&world).await;
    let short = world.api(|config| config.stream_seconds = 1).await;
    let said = Reader::open(&short, &path, &token).await.ends().await;
    assert!(said.contains("event: again"), "{said}");
    short.stops().await;

    let api = world.api(|_| {}).await;
    let mut reader = Reader::open(&api, &path, &token).await;
    reader.hears("event: state").await;
    let mut second = Reader::open(&api, &path, &token).await;
    second.hears("event: state").await;
    api.tell_to_stop();
    assert!(reader.ends().await.contains("event: again"));
    assert!(second.ends().await.contains("event: again"));
    api.stops().await;

    let api = world.api(|_| {}).await;
    let mut reader = Reader::open(&api, &path, &token).await;
    reader.hears("event: state").await;
    world.incidents().delete(&name, &DeleteParams::default()).await.unwrap();
    assert!(reader.ends().await.contains("event: gone"));
    Reader::open(&api, &path, &token).await.hears("404").await;
    api.stops().await;
    world.over().await;
}

#[tokio::test]
async fn one_user_has_only_so_many_streams_and_one_that_is_left_is_given_back() {
    let world = World::new("many").await;
    let token = world.caller("watcher", WATCHER).await;
    let reader_only = world.caller("reader", &[("incidents", &["get"])]).await;
    let (_, path) = incident(&world).await;
    let api = world.api(|_| {}).await;
    let mut readers = Vec::new();
    for _ in 0..8 {
        let mut reader = Reader::open(&api, &path, &token).await;
        reader.hears("event: state").await;
        readers.push(reader);
    }
    api.get(&path, &token).await.is_problem(503, "Overloaded");
    api.get(&path, &reader_only).await.is_problem(403, "Forbidden");
    assert!(api.metrics.render().contains("firewatch_api_streams 8"));
    readers.clear();
    // The server notices at its own pace that a reader has gone.
    let mut free = false;
    for _ in 0..100 {
        if api.metrics.render().contains("firewatch_api_streams 0") {
            free = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(free, "streams that were left are given back");
    api.stops().await;
    world.over().await;
}
