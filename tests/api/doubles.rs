//! What needs no rights of the cluster: a double says who calls. Bad input, routes that are none, too much, and an API server that is down.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use firewatch::api_server::ApiConfig;
use firewatch::api_server::access::{Authority, Wish};
use firewatch::api_server::caller::{Bearer, User};
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::world::{World, bearer};

/// Knows everybody by their token, lets all but `nobody-…` do everything, and is not there for `down-…`.
#[derive(Clone, Default)]
struct Double {
    reviews: Arc<AtomicUsize>,
    questions: Arc<AtomicUsize>,
}

fn lost() -> kube::Error {
    kube::Error::Service(Box::new(std::io::Error::other("no connection")))
}

impl Authority for Double {
    fn review<'a>(&'a self, token: &'a Bearer) -> BoxFuture<'a, Result<Option<User>, kube::Error>> {
        self.reviews.fetch_add(1, Ordering::Relaxed);
        let name = token.expose().to_owned();
        Box::pin(async move {
            if name.starts_with("down-") {
                return Err(lost());
            }
            Ok((!name.starts_with("unknown-")).then(|| User {
                name,
                extra: BTreeMap::new(),
                ..User::default()
            }))
        })
    }

    fn may<'a>(&'a self, user: &'a User, _: &'a Wish) -> BoxFuture<'a, Result<bool, kube::Error>> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move { Ok(!user.name.starts_with("nobody-")) })
    }
}

const TOKEN: &str = "alice-with-a-token";

#[tokio::test]
async fn bad_bodies_are_refused_by_the_name_of_their_field() {
    let world = World::new("bad").await;
    let api = world
        .api_with(ApiConfig::default(), Box::new(Double::default()))
        .await
        .unwrap();
    let ns = world.namespace.clone();
    let good = || json!({ "namespace": ns, "title": "x" });
    let with = |field: &str, value: Value| {
        let mut body = good();
        body[field] = value;
        body
    };
    let run = |scenario: Value| json!({ "namespace": ns, "scenario": scenario });
    let decision = "/incidents/shop/i/approval";
    let digest = format!("sha256:{}", "a".repeat(64));
    for (path, body, field) in [
        ("/incident", json!({ "title": "x" }), "body"),
        ("/incident", json!({ "namespace": ns }), "body"),
        ("/incident", json!([]), "body"),
        ("/incident", with("title", json!(null)), "title"),
        ("/incident", with("title", json!(7)), "title"),
        ("/incident", with("title", json!("")), "title"),
        ("/incident", with("title", json!("a\u{0}b")), "title"),
        ("/incident", with("title", json!("x".repeat(257))), "title"),
        ("/incident", with("description", json!("x".repeat(8193))), "description"),
        ("/incident", with("severity", json!("urgent")), "severity"),
        ("/incident", with("namespace", json!("../kube-system")), "namespace"),
        ("/incident", with("target", json!({ "kind": "Pod" })), "target"),
        ("/incident", with("target", json!([null, "Pod", "a", null])), "target"),
        (
            "/incident",
            with("target", json!({ "kind": "Pod", "name": ".." })),
            "target.name",
        ),
        (
            "/incident",
            with("target", json!({ "kind": "Pod", "name": "a", "uid": "b" })),
            "target.uid",
        ),
        (
            "/incident",
            with("alert", json!({ "labels": { "pod": 7 } })),
            "alert.labels.pod",
        ),
        (
            "/incident",
            with("alert", json!({ "startsAt": "soon" })),
            "alert.startsAt",
        ),
        ("/incident", with("approvalMode", json!("Always")), "approvalMode"),
        ("/incident", with("status", json!({})), "status"),
        ("/incident/run", run(json!("..")), "scenario"),
        ("/incident/run", run(json!("a/../b")), "scenario"),
        ("/incident/run", run(json!(["crashloop"])), "scenario"),
        (
            decision,
            json!({ "decision": "Perhaps", "planDigest": digest }),
            "decision",
        ),
        (
            decision,
            json!({ "decision": "Approved", "planDigest": "sha256:0" }),
            "planDigest",
        ),
        (
            decision,
            json!({ "decision": "Approved", "planDigest": digest, "reason": "\u{1b}[2J" }),
            "reason",
        ),
        (
            decision,
            json!({ "decision": "Approved", "planDigest": digest, "approver": "bob" }),
            "approver",
        ),
    ] {
        let answer = api.post(path, TOKEN, &body).await;
        answer.is_problem(422, "Invalid");
        assert_eq!(answer.body["field"], field, "{body}: {answer:?}");
    }
    let json_type = "Content-Type: application/json";
    let auth = bearer(TOKEN);
    for body in ["", "{", "nonsense", "{\"namespace\":\"a\"} more", "\u{feff}{}"] {
        api.send("POST", "/incident", &[&auth, json_type], body.as_bytes())
            .await
            .is_problem(400, "NotJson");
    }
    let deep = format!("{{\"alert\":{}", "{\"labels\":".repeat(100_000));
    let deep = api
        .send("POST", "/incident", &[&auth, json_type], deep.as_bytes())
        .await;
    assert!(matches!(deep.status, 400 | 422), "{deep:?}");
    let huge = vec![b' '; 10 * 1024 * 1024];
    api.send("POST", "/incident", &[&auth, json_type], &huge)
        .await
        .is_problem(413, "TooLarge");
    for wrong in ["Content-Type: text/plain", "X-None: 1", "Content-Type: application/xml"] {
        api.send("POST", "/incident", &[&auth, wrong], b"{}")
            .await
            .is_problem(415, "UnsupportedMediaType");
    }
    let made = world.incidents().list(&kube::api::ListParams::default()).await.unwrap();
    assert!(made.items.is_empty(), "nothing is half-stored");
    api.stops().await;
    world.over().await;
}

#[tokio::test]
async fn what_is_no_route_and_what_is_no_name_is_told_as_such() {
    let world = World::new("paths").await;
    let api = world
        .api_with(ApiConfig::default(), Box::new(Double::default()))
        .await
        .unwrap();
    for path in [
        "/",
        "/nothing",
        "/incidents/a/b/c",
        "/incident/../incidents",
        "/incidents/../../etc/passwd",
    ] {
        api.get(path, TOKEN).await.is_problem(404, "NotFound");
    }
    for path in [
        "/incidents/a/..",
        "/incidents/%2e%2e/b",
        "/incidents/a/b%00",
        "/incidents/a/%ff",
        "/incidents/A/b",
    ] {
        api.get(path, TOKEN).await.is_problem(422, "Invalid");
    }
    for (method, path, allowed) in [
        ("DELETE", "/incident", "post"),
        ("PUT", "/incidents", "get"),
        ("POST", "/incidents", "get"),
    ] {
        let answer = api.send(method, path, &[&bearer(TOKEN)], b"").await;
        answer.is_problem(405, "MethodNotAllowed");
        assert!(answer.head.contains(&format!("allow: {allowed}")), "{answer:?}");
    }
    api.get("/incidents/shop/none", TOKEN).await.is_problem(404, "NotFound");
    let named = api
        .send("GET", "/incidents/a/b", &[&bearer(TOKEN), "X-Request-Id: mine-1"], b"")
        .await;
    assert!(named.head.contains("x-request-id: mine-1"), "{named:?}");
    let forged = api
        .send("GET", "/incidents/a/b", &[&bearer(TOKEN), "X-Request-Id: a b"], b"")
        .await;
    assert!(!forged.head.contains("a b"), "{forged:?}");

    // What callers write into paths does not become labels.
    let shown = api.metrics.render();
    assert!(
        shown.contains(r#"route="/incidents/{namespace}/{name}""#) && shown.contains(r#"route="none""#),
        "{shown}"
    );
    assert!(!shown.contains("passwd"), "{shown}");
    api.stops().await;
    world.over().await;
}

#[tokio::test]
async fn one_user_s_requests_are_limited_and_another_s_are_not() {
    let world = World::new("rate").await;
    let config = ApiConfig {
        rate: 1,
        ..ApiConfig::default()
    };
    let api = world.api_with(config, Box::new(Double::default())).await.unwrap();
    let mut refused = None;
    for _ in 0..30 {
        let answer = api.get("/incidents/shop/none", TOKEN).await;
        if answer.status != 404 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a burst is bounded");
    refused.is_problem(429, "RateLimited");
    assert!(refused.head.contains("retry-after: 1"), "{refused:?}");
    api.get("/incidents/shop/none", "bob-with-a-token")
        .await
        .is_problem(404, "NotFound");
    api.stops().await;
    world.over().await;
}

#[tokio::test]
async fn a_yes_is_remembered_for_a_moment_and_a_no_is_not() {
    let world = World::new("cache").await;
    let double = Double::default();
    let api = world
        .api_with(ApiConfig::default(), Box::new(double.clone()))
        .await
        .unwrap();
    let asked = || {
        (
            double.reviews.load(Ordering::Relaxed),
            double.questions.load(Ordering::Relaxed),
        )
    };
    for _ in 0..3 {
        api.get("/incidents/shop/none", TOKEN).await.is_problem(404, "NotFound");
    }
    assert_eq!(asked(), (1, 1));
    for _ in 0..2 {
        api.get("/incidents/shop/none", "nobody-is-allowed")
            .await
            .is_problem(403, "Forbidden");
        api.get("/incidents/shop/none", "unknown-to-everybody")
            .await
            .is_problem(401, "Unauthenticated");
    }
    assert_eq!(asked(), (4, 3));
    // Whatever writes is asked each time.
    for _ in 0..2 {
        api.post(
            "/incident",
            TOKEN,
            &json!({ "namespace": "no-such-namespace", "title": "x" }),
        )
        .await
        .is_problem(404, "NotFound");
    }
    assert_eq!(asked(), (4, 5));
    api.stops().await;
    world.over().await;
}

#[tokio::test]
async fn while_nobody_can_say_who_calls_nobody_is_admitted_and_nobody_is_told_to_go() {
    let world = World::new("down").await;
    let api = world
        .api_with(ApiConfig::default(), Box::new(Double::default()))
        .await
        .unwrap();
    let answer = api.get("/incidents/shop/none", "down-is-the-cluster").await;
    answer.is_problem(503, "Unavailable");
    assert!(answer.head.contains("retry-after: "), "{answer:?}");
    assert!(
        !answer.text.contains("no connection"),
        "the inside of an error is not shown: {answer:?}"
    );
    api.stops().await;
    world.over().await;
}
