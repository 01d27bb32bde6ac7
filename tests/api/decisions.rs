//! Decisions about plans: with the caller's own token, judged by the real API server; and no token leaves a trace.

use firewatch_core::api::{Decision, RemediationApproval};
use firewatch_core::approval::digest;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use crate::world::{FILE_TOKEN, FILE_USER, World, logged};

const APPROVER: &[(&str, &[&str])] = &[
    ("incidents", &["get", "create"]),
    ("remediationapprovals", &["get", "patch"]),
];
const VIEWER: &[(&str, &[&str])] = &[("incidents", &["get"]), ("remediationapprovals", &["get"])];

/// An incident with a plan that waits, made as the operator makes them; its path and the plan's digest.
async fn waiting(world: &World, name: &str) -> (String, String, String) {
    let incident = json!({ "apiVersion": "firewatch.dev/v1alpha1", "kind": "Incident", "metadata": { "name": name }, "spec": { "title": "t" } });
    let incident = world
        .incidents()
        .create(&PostParams::default(), &serde_json::from_value(incident).unwrap())
        .await
        .unwrap();
    let expires = Timestamp::now().checked_add(SignedDuration::from_mins(10)).unwrap();
    let expires = Timestamp::from_second(expires.as_second()).unwrap().to_string();
    let action = json!({
        "id": "A1", "type": "RestartRollout", "command": ["kubectl"], "risk": "medium", "impact": "restarts", "rollback": [],
        "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout", "namespace": world.namespace, "uid": "u" },
        "parameters": {}, "evidence": [],
    });
    let mut approval: RemediationApproval = serde_json::from_value(json!({
        "apiVersion": "firewatch.dev/v1alpha1", "kind": "RemediationApproval", "metadata": { "name": "unsealed", "namespace": world.namespace },
        "spec": {
            "incidentRef": { "name": name, "uid": incident.uid().unwrap() }, "planDigest": format!("sha256:{}", "0".repeat(64)),
            "revision": 1, "summary": "restart", "risk": "medium", "actions": [action], "expiresAt": expires, "requiredApprovals": 1,
        },
    }))
    .unwrap();
    let digest = digest::of_approval(&approval).unwrap().as_str().to_owned();
    approval.spec.plan_digest.clone_from(&digest);
    approval.metadata.name = Some(digest::approval_name(name, &digest));
    let approval = approvals(world, &world.operator)
        .create(&PostParams::default(), &approval)
        .await
        .unwrap();
    let status = json!({
        "phase": "AwaitingApproval", "approvalState": "Pending",
        "approvalRef": { "name": approval.name_any(), "uid": approval.uid().unwrap() },
        "plan": { "revision": 1, "digest": digest, "risk": "medium", "summary": "restart", "actions": [], "estimatedResolutionSeconds": 1 },
    });
    world.stands(name, status).await;
    (
        format!("/incidents/{}/{name}", world.namespace),
        digest,
        approval.name_any(),
    )
}

fn approvals(world: &World, client: &kube::Client) -> Api<RemediationApproval> {
    Api::namespaced(client.clone(), &world.namespace)
}

fn yes(digest: &str) -> Value {
    json!({ "decision": "Approved", "planDigest": digest, "reason": "looked at it" })
}

#[tokio::test]
async fn a_decision_is_written_with_the_caller_s_own_token_and_the_token_leaves_no_trace() {
    let world = World::new("decide").await;
    let token = world.caller("approver", APPROVER).await;
    let (path, digest, name) = waiting(&world, "i").await;
    let api = world.api(|_| {}).await;
    let shown = api.get(&path, &token).await;
    assert_eq!(shown.body["plan"]["digest"], digest.as_str(), "{shown:?}");

    let other = format!("sha256:{}", "1".repeat(64));
    let changed = api.post(&format!("{path}/approval"), &token, &yes(&other)).await;
    changed.is_problem(409, "PlanChanged");
    assert_eq!(changed.body["field"], "planDigest");

    let answer = api.post(&format!("{path}/approval"), &token, &yes(&digest)).await;
    let stored = approvals(&world, &world.admin).get(&name).await.unwrap();
    if world.installed {
        // The guards let people decide, and no service account: the token is the caller's, and so is the refusal.
        answer.is_problem(403, "Forbidden");
        assert!(answer.text.contains("approver must be the one who asks"), "{answer:?}");
        assert_eq!(stored.spec.decision, Decision::Pending);
    } else {
        assert_eq!(answer.status, 200, "{answer:?}");
        let me = world.user("approver");
        assert_eq!(
            (&answer.body["by"], &answer.body["waitsForSecond"]),
            (&json!(me), &json!(false))
        );
        assert_eq!(
            (stored.spec.decision, stored.spec.approver),
            (Decision::Approved, Some(me))
        );
        assert_eq!(stored.spec.reason.as_deref(), Some("looked at it"));
        let again = api.post(&format!("{path}/approval"), &token, &yes(&digest)).await;
        again.is_problem(409, "AlreadyDecided");
    }
    api.stops().await;
    let log = String::from_utf8_lossy(&logged().lock().unwrap()).into_owned();
    assert!(
        log.contains("TRACE") && log.contains("the HTTP API listens"),
        "everything is captured"
    );
    // The signature alone is as secret as the whole.
    let signature = token.rsplit('.').next().unwrap();
    assert!(signature.len() > 40 && !log.contains(signature), "a token was logged");
    assert!(!log.contains(FILE_TOKEN), "a token of the file was logged");
    world.over().await;
}

/// A cluster that is the user's own has no person whose token is known: there the service account above stands for one.
#[tokio::test]
async fn a_person_decides_whether_the_guards_are_installed_or_not() {
    let Ok(token) = std::env::var("FIREWATCH_PERSON_TOKEN") else {
        return;
    };
    let world = World::new("person").await;
    let person = json!({ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "person" });
    world.grant("person", APPROVER, person).await;
    let (path, digest, name) = waiting(&world, "i").await;
    let api = world.api(|_| {}).await;
    let no = json!({ "decision": "Rejected", "planDigest": digest, "reason": "not now" });
    let answer = api.post(&format!("{path}/approval"), &token, &no).await;
    assert_eq!(
        (answer.status, &answer.body["by"]),
        (200, &json!("person")),
        "{answer:?}"
    );
    let stored = approvals(&world, &world.admin).get(&name).await.unwrap();
    assert_eq!(
        (stored.spec.decision, stored.spec.approver.as_deref()),
        (Decision::Rejected, Some("person"))
    );
    api.post(&format!("{path}/approval"), &token, &yes(&digest))
        .await
        .is_problem(409, "AlreadyDecided");
    let (path, digest, name) = waiting(&world, "j").await;
    let answer = api.post(&format!("{path}/approval"), &token, &yes(&digest)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let stored = approvals(&world, &world.admin).get(&name).await.unwrap();
    assert_eq!(
        (stored.spec.decision, stored.spec.approver.as_deref()),
        (Decision::Approved, Some("person"))
    );
    api.stops().await;
    world.over().await;
}

#[tokio::test]
async fn who_may_not_decide_is_refused_by_the_api_server_itself() {
    let world = World::new("refused").await;
    let token = world.caller("viewer", VIEWER).await;
    let (path, digest, name) = waiting(&world, "i").await;
    let api = world.api(|_| {}).await;
    let answer = api.post(&format!("{path}/approval"), &token, &yes(&digest)).await;
    answer.is_problem(403, "Forbidden");
    assert!(answer.text.contains("cannot patch resource"), "{answer:?}");
    let stored = approvals(&world, &world.admin).get(&name).await.unwrap();
    assert_eq!(stored.spec.decision, Decision::Pending);
    api.stops().await;
    world.over().await;
}

#[tokio::test]
async fn a_caller_of_the_token_file_decides_nothing_and_is_sent_to_kubectl() {
    let world = World::new("file").await;
    world
        .grant(
            "file",
            APPROVER,
            json!({ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": FILE_USER }),
        )
        .await;
    let (path, digest, name) = waiting(&world, "i").await;
    let api = world.api(|_| {}).await;
    let answer = api.post(&format!("{path}/approval"), FILE_TOKEN, &yes(&digest)).await;
    answer.is_problem(403, "OwnTokenNeeded");
    assert!(answer.text.contains("kubectl incident approve i -n"), "{answer:?}");
    let stored = approvals(&world, &world.admin).get(&name).await.unwrap();
    assert_eq!(stored.spec.decision, Decision::Pending);
    api.stops().await;
    world.over().await;
}

#[tokio::test]
async fn a_token_that_is_not_for_the_api_server_decides_nothing() {
    let world = World::new("foreign").await;
    world.caller("approver", APPROVER).await;
    let token = world.token("approver", Some("firewatch")).await;
    let (path, digest, name) = waiting(&world, "i").await;
    let api = world
        .api(|config| config.audiences = vec!["firewatch".to_owned()])
        .await;
    let answer = api.post(&format!("{path}/approval"), &token, &yes(&digest)).await;
    answer.is_problem(403, "OwnTokenNeeded");
    let stored = approvals(&world, &world.admin).get(&name).await.unwrap();
    assert_eq!(stored.spec.decision, Decision::Pending);
    api.stops().await;
    world.over().await;
}

#[tokio::test]
async fn where_no_plan_waits_nothing_is_decided() {
    let world = World::new("noplan").await;
    let token = world.caller("approver", APPROVER).await;
    let api = world.api(|_| {}).await;
    let made = api
        .post(
            "/incident",
            &token,
            &json!({ "namespace": world.namespace, "title": "x" }),
        )
        .await;
    let path = format!(
        "/incidents/{}/{}/approval",
        world.namespace,
        made.body["name"].as_str().unwrap()
    );
    let digest = format!("sha256:{}", "1".repeat(64));
    api.post(&path, &token, &yes(&digest))
        .await
        .is_problem(409, "NoPlanWaiting");
    api.stops().await;
    world.over().await;
}
