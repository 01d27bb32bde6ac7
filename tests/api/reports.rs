//! Incidents are reported and read: by who may, where they may, and once for the same.

use serde_json::json;

use crate::world::{FILE_TOKEN, FILE_USER, World};

const REPORTER: &[(&str, &[&str])] = &[("incidents", &["get", "list", "watch", "create"])];

#[tokio::test]
async fn a_report_becomes_an_incident_in_the_caller_s_name_and_the_same_report_finds_it() {
    let world = World::new("report").await;
    let token = world.caller("alice", REPORTER).await;
    let api = world.api(|_| {}).await;
    let body = json!({
        "namespace": world.namespace, "title": "checkout is bad", "severity": "high",
        "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout" },
    });
    let first = api.post("/incident", &token, &body).await;
    assert_eq!((first.status, &first.body["created"]), (201, &json!(true)), "{first:?}");
    let name = first.body["name"].as_str().unwrap().to_owned();
    let path = format!("/incidents/{}/{name}", world.namespace);
    assert!(first.head.contains(&format!("location: {path}")), "{first:?}");

    let made = world.incidents().get(&name).await.unwrap();
    assert_eq!(made.spec.requested_by, Some(world.user("alice")));
    assert_eq!(made.spec.target.as_ref().unwrap().name, "checkout");

    let again = api.post("/incident", &token, &body).await;
    assert_eq!(
        (again.status, &again.body["created"]),
        (200, &json!(false)),
        "{again:?}"
    );
    assert_eq!(again.body["name"], name.as_str());

    // The loop has taken it up, and counts; then it is over, and the same trouble is a new incident.
    world
        .stands(&name, json!({ "phase": "Triaging", "occurrences": 1 }))
        .await;
    api.post("/incident", &token, &body).await;
    assert_eq!(api.get(&path, &token).await.body["occurrences"], 2);
    world
        .stands(&name, json!({ "phase": "Completed", "outcome": "Remediated" }))
        .await;
    let next = api.post("/incident", &token, &body).await;
    assert_eq!(next.status, 201, "{next:?}");
    assert_ne!(next.body["name"], name.as_str());

    let shown = api.get(&path, &token).await;
    assert_eq!(
        (&shown.body["phase"], &shown.body["severity"]),
        (&json!("Completed"), &json!("high"))
    );
    let document = api.get(&format!("{path}/document"), &token).await;
    assert_eq!(document.status, 200);
    assert_eq!(document.body["outcome"]["result"], "Remediated");
    assert_eq!(document.body["investigation_id"], made.metadata.uid.unwrap());
    api.stops().await;
    world.over().await;
}

#[tokio::test]
async fn many_reports_of_the_same_at_once_make_one_incident() {
    let world = World::new("once").await;
    let token = world.caller("alice", REPORTER).await;
    let api = world.api(|_| {}).await;
    let body = json!({ "namespace": world.namespace, "title": "checkout is bad" });
    let answers = futures::future::join_all((0..8).map(|_| api.post("/incident", &token, &body))).await;
    assert!(
        answers.iter().all(|answer| matches!(answer.status, 200 | 201)),
        "{answers:?}"
    );
    assert_eq!(
        world
            .incidents()
            .list(&kube::api::ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    api.stops().await;
    world.over().await;
}

#[tokio::test]
async fn nobody_gets_more_than_the_cluster_lets_them() {
    let world = World::new("rights").await;
    let token = world.caller("alice", REPORTER).await;
    let stranger = world.caller("mallory", &[]).await;
    let api = world.api(|_| {}).await;
    let body = json!({ "namespace": world.namespace, "title": "x" });
    let path = format!("/incidents?namespace={}", world.namespace);

    api.send("POST", "/incident", &["Content-Type: application/json"], b"{}")
        .await
        .is_problem(401, "Unauthenticated");
    let wrong = api.post("/incident", "not-a-token-at-all", &body).await;
    wrong.is_problem(401, "Unauthenticated");
    assert!(wrong.head.contains("www-authenticate: bearer"), "{wrong:?}");
    api.post("/incident", &stranger, &body)
        .await
        .is_problem(403, "Forbidden");
    api.get(&path, &stranger).await.is_problem(403, "Forbidden");
    // Rights in one namespace are none in another, and none in all of them together.
    api.get("/incidents", &token).await.is_problem(403, "Forbidden");
    api.post(
        "/incident",
        &token,
        &json!({ "namespace": "kube-system", "title": "x" }),
    )
    .await
    .is_problem(403, "Forbidden");
    let elsewhere = json!({ "namespace": world.namespace, "title": "x", "target": { "kind": "Pod", "name": "a", "namespace": "kube-system" } });
    api.post("/incident", &token, &elsewhere)
        .await
        .is_problem(403, "Forbidden");
    assert!(
        world
            .incidents()
            .list(&kube::api::ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );

    // A user of the token file has the rights that were given to that name, and no others.
    api.post("/incident", FILE_TOKEN, &body)
        .await
        .is_problem(403, "Forbidden");
    world
        .grant(
            "file",
            REPORTER,
            json!({ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": FILE_USER }),
        )
        .await;
    let made = api.post("/incident", FILE_TOKEN, &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    api.stops().await;
    world.over().await;
}

#[tokio::test]
async fn a_token_for_another_audience_is_nobody_s() {
    let world = World::new("audience").await;
    let own = world.caller("alice", REPORTER).await;
    let other = world.token("alice", Some("somebody-else")).await;
    let ours = world.token("alice", Some("firewatch")).await;
    let path = format!("/incidents?namespace={}", world.namespace);
    let api = world.api(|_| {}).await;
    assert_eq!(api.get(&path, &own).await.status, 200);
    api.get(&path, &other).await.is_problem(401, "Unauthenticated");
    api.stops().await;
    let api = world
        .api(|config| config.audiences = vec!["firewatch".to_owned()])
        .await;
    assert_eq!(api.get(&path, &ours).await.status, 200);
    api.get(&path, &own).await.is_problem(401, "Unauthenticated");
    api.stops().await;
    world.over().await;
}

#[tokio::test]
async fn a_list_is_filtered_and_read_in_parts() {
    let world = World::new("list").await;
    let token = world.caller("alice", REPORTER).await;
    let api = world.api(|_| {}).await;
    for (n, severity) in [(0, "low"), (1, "high"), (2, "high"), (3, "low"), (4, "high")] {
        let body = json!({ "namespace": world.namespace, "title": format!("trouble {n}"), "severity": severity });
        let made = api.post("/incident", &token, &body).await;
        if n > 0 {
            world
                .stands(made.body["name"].as_str().unwrap(), json!({ "phase": "Triaging" }))
                .await;
        }
    }
    let mut titles = Vec::new();
    let mut path = format!(
        "/incidents?namespace={}&severity=high&phase=Triaging&limit=2",
        world.namespace
    );
    loop {
        let part = api.get(&path, &token).await;
        assert_eq!(part.status, 200, "{part:?}");
        let items = part.body["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        titles.extend(items.iter().map(|item| item["title"].as_str().unwrap().to_owned()));
        let Some(next) = part.body["continue"].as_str() else {
            break;
        };
        let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
        path = format!(
            "/incidents?namespace={}&severity=high&phase=Triaging&limit=2&continue={next}",
            world.namespace
        );
    }
    titles.sort();
    assert_eq!(titles, ["trouble 1", "trouble 2", "trouble 4"]);
    let lost = api
        .get(
            &format!("/incidents?namespace={}&continue=nonsense", world.namespace),
            &token,
        )
        .await;
    lost.is_problem(404, "NotFound");
    api.stops().await;
    world.over().await;
}

#[tokio::test]
async fn a_scenario_s_workload_is_reported_and_auto_approval_is_not_promised() {
    let world = World::new("run").await;
    let token = world.caller("alice", REPORTER).await;
    let api = world.api(|_| {}).await;
    let body = json!({ "namespace": world.namespace, "scenario": "crashloop", "auto_approve": true });
    let made = api.post("/incident/run", &token, &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.body["autoApprove"]["honoured"], false, "{made:?}");
    assert!(
        made.body["autoApprove"]["why"]
            .as_str()
            .unwrap()
            .contains("approves nothing by itself"),
        "{made:?}"
    );
    let incident = world
        .incidents()
        .get(made.body["name"].as_str().unwrap())
        .await
        .unwrap();
    assert_eq!(incident.spec.target.unwrap().name, "checkout");
    assert_eq!(incident.spec.approval_mode, firewatch_core::api::ApprovalMode::Manual);

    for (scenario, status, title) in [("../crashloop", 422, "Invalid"), ("no_such", 404, "NotFound")] {
        let bad = json!({ "namespace": world.namespace, "scenario": scenario });
        api.post("/incident/run", &token, &bad).await.is_problem(status, title);
    }
    api.stops().await;
    world.over().await;
}
