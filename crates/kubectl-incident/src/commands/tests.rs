//! The commands against an API server made of answers: what they send, and what they make of a refusal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::sync::{Arc, Mutex};

use firewatch_core::api::{Incident, RemediationApproval};
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::{cancel, decide, list, report, watch};
use crate::cli::{ApproveArgs, CancelArgs, ListArgs, RejectArgs, WatchArgs};
use crate::cluster::Cluster;
use crate::exit;
use crate::render::fixture;

/// What was asked: method, path with query, body.
type Asked = (String, String, Value);

/// An API server that knows one incident and its approval, and remembers what it was asked.
struct Server {
    asked: Mutex<Vec<Asked>>,
    incident: Incident,
    approval: RemediationApproval,
    /// Answer to every PATCH instead of success.
    refusal: Option<Value>,
    /// What each watch answers, in order: status and body.
    watches: Mutex<Vec<(u16, String)>>,
}

impl Server {
    fn new() -> Self {
        Self {
            asked: Mutex::default(),
            incident: fixture::incident(),
            approval: fixture::approval(),
            refusal: None,
            watches: Mutex::default(),
        }
    }

    fn cluster(mut self) -> (Cluster, Arc<Self>) {
        if let Some(plan) = self.incident.status.as_mut().and_then(|status| status.plan.as_mut()) {
            plan.digest.clone_from(&self.approval.spec.plan_digest);
        }
        let server = Arc::new(self);
        let answering = server.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = answering.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap_or_default();
                let asked = (
                    parts.method.to_string(),
                    parts.uri.to_string(),
                    serde_json::from_slice(&body).unwrap_or_default(),
                );
                let (code, text) = server.answer(&asked);
                server.asked.lock().unwrap().push(asked);
                Response::builder().status(code).body(Body::from(text.into_bytes()))
            }
        });
        (Cluster::with_client(Client::new(service, "shop"), "shop"), server)
    }

    fn answer(&self, (method, path, _): &Asked) -> (u16, String) {
        let found = |value: &Value| (200, value.to_string());
        let list = |items: Value| json!({"apiVersion": "firewatch.dev/v1alpha1", "kind": "IncidentList", "metadata": {"resourceVersion": "7"}, "items": items});
        match (method.as_str(), path.split('?').next().unwrap_or_default()) {
            ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews") => found(&json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {},
                "status": {"userInfo": {"username": "alice@example.com"}}
            })),
            ("PATCH", _) if self.refusal.is_some() => {
                let refusal = self.refusal.clone().unwrap_or_default();
                (
                    u16::try_from(refusal["code"].as_u64().unwrap_or(500)).unwrap_or(500),
                    refusal.to_string(),
                )
            }
            (_, p) if p.contains("/remediationapprovals/") => found(&serde_json::to_value(&self.approval).unwrap()),
            (_, p) if p.contains("/incidents/") => found(&serde_json::to_value(&self.incident).unwrap()),
            ("GET", _) if path.contains("watch=true") => {
                let mut watches = self.watches.lock().unwrap();
                if watches.is_empty() {
                    (500, String::new())
                } else {
                    watches.remove(0)
                }
            }
            ("GET", _) => found(&list(json!([self.incident]))),
            _ => (404, String::new()),
        }
    }

    fn patches(&self) -> Vec<Asked> {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|(method, ..)| method == "PATCH")
            .cloned()
            .collect()
    }
}

/// An approval that is still in time: the commands look at the clock.
fn in_time() -> RemediationApproval {
    fixture::approval_until(k8s_openapi::jiff::Timestamp::now() + k8s_openapi::jiff::SignedDuration::from_mins(10))
}

fn approve_args() -> ApproveArgs {
    ApproveArgs {
        confirm: false,
        name: "checkout-restarts".to_owned(),
        reason: Some("looks right".to_owned()),
        yes: true,
    }
}

#[tokio::test]
async fn an_approval_is_written_in_the_name_that_the_api_server_sees() {
    let (cluster, server) = Server {
        approval: in_time(),
        ..Server::new()
    }
    .cluster();
    assert_eq!(decide::approve(&cluster, &approve_args()).await.unwrap(), exit::OK);
    let patches = server.patches();
    let [(_, path, body)] = patches.as_slice() else {
        unreachable!("one patch, got {patches:?}")
    };
    assert!(
        path.starts_with("/apis/firewatch.dev/v1alpha1/namespaces/shop/remediationapprovals/checkout-restarts-0123"),
        "{path}"
    );
    assert_eq!(
        *body,
        json!({"metadata": {"uid": "77bb"}, "spec": {"decision": "Approved", "approver": "alice@example.com", "reason": "looks right"}})
    );
}

#[tokio::test]
async fn a_plan_that_is_not_what_it_seems_is_never_approved() {
    let mut approval = in_time();
    approval.spec.incident_ref.uid = "another".to_owned();
    let (cluster, server) = Server {
        approval,
        ..Server::new()
    }
    .cluster();
    let error = decide::approve(&cluster, &approve_args()).await.unwrap_err();
    assert_eq!(error.exit_code(), exit::PLAN_MISMATCH);
    assert_eq!(server.patches(), []);
}

#[tokio::test]
async fn what_admission_refuses_is_told_in_its_own_words() {
    let refusal = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 422, "reason": "Invalid",
        "message": "ValidatingAdmissionPolicy 'firewatch-approvals' denied request: spec.approver must be your own user name"});
    let (cluster, _) = Server {
        approval: in_time(),
        refusal: Some(refusal),
        ..Server::new()
    }
    .cluster();
    let error = decide::approve(&cluster, &approve_args()).await.unwrap_err();
    assert_eq!(error.exit_code(), exit::REFUSED);
    assert!(
        error.to_string().contains("spec.approver must be your own user name"),
        "{error}"
    );
}

#[tokio::test]
async fn a_rejection_carries_its_reason() {
    let (cluster, server) = Server {
        approval: in_time(),
        ..Server::new()
    }
    .cluster();
    let args = RejectArgs {
        name: "checkout-restarts".to_owned(),
        reason: Some("by hand".to_owned()),
        yes: true,
    };
    assert_eq!(decide::reject(&cluster, &args).await.unwrap(), exit::OK);
    let patches = server.patches();
    let body = patches
        .first()
        .map(|(_, _, body)| body.pointer("/spec").cloned())
        .unwrap();
    assert_eq!(
        body,
        Some(json!({"decision": "Rejected", "approver": "alice@example.com", "reason": "by hand"}))
    );
}

#[tokio::test]
async fn without_a_terminal_and_without_yes_nothing_is_decided() {
    let (cluster, server) = Server {
        approval: in_time(),
        ..Server::new()
    }
    .cluster();
    let error = decide::approve_as(
        &cluster,
        &ApproveArgs {
            yes: false,
            ..approve_args()
        },
        false,
    )
    .await
    .unwrap_err();
    assert!(error.to_string().contains("--yes"), "{error}");
    assert_eq!(server.patches(), []);
}

#[tokio::test]
async fn what_is_confirmed_before_anybody_approved_is_refused_and_nothing_is_written() {
    let (cluster, server) = Server {
        approval: in_time(),
        ..Server::new()
    }
    .cluster();
    let confirming = ApproveArgs {
        confirm: true,
        ..approve_args()
    };
    let error = decide::approve_as(&cluster, &confirming, false).await.unwrap_err();
    assert_eq!(error.reason(), "WrongState");
    assert_eq!(server.patches(), []);
}

#[tokio::test]
async fn an_incident_that_is_over_cannot_be_cancelled() {
    let args = CancelArgs {
        name: "checkout-restarts".to_owned(),
        yes: true,
    };
    let (cluster, server) = Server {
        incident: fixture::remediated(),
        ..Server::new()
    }
    .cluster();
    assert_eq!(cancel::run(&cluster, &args).await.unwrap_err().reason(), "WrongState");
    assert_eq!(server.patches(), []);

    let (cluster, server) = Server::new().cluster();
    assert_eq!(cancel::run(&cluster, &args).await.unwrap(), exit::OK);
    let patches = server.patches();
    assert_eq!(
        patches.first().map(|(_, _, body)| body.clone()),
        Some(json!({"spec": {"cancelled": true}}))
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_watch_is_taken_up_again_until_the_end() {
    let event = |kind: &str, incident: &Incident| format!("{}\n", json!({"type": kind, "object": incident}));
    let with_version = |mut incident: Incident, version: &str| {
        incident.metadata.resource_version = Some(version.to_owned());
        incident
    };
    let server = Server {
        incident: with_version(fixture::incident(), "7"),
        watches: Mutex::new(vec![
            (200, event("MODIFIED", &with_version(fixture::incident(), "8"))),
            (500, String::new()),
            (200, String::new()),
            (200, event("MODIFIED", &with_version(fixture::remediated(), "9"))),
        ]),
        ..Server::new()
    };
    let (cluster, server) = server.cluster();
    let args = WatchArgs {
        name: Some("checkout-restarts".to_owned()),
        all_namespaces: false,
        selector: None,
        timeout: Some(std::time::Duration::from_mins(5)),
        output: None,
    };
    assert_eq!(watch::run(&cluster, &args).await.unwrap(), exit::OK);
    assert!(server.watches.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_an_end_gives_up_after_its_time() {
    let (cluster, _) = Server::new().cluster();
    let args = WatchArgs {
        name: Some("checkout-restarts".to_owned()),
        all_namespaces: false,
        selector: None,
        timeout: Some(std::time::Duration::from_secs(30)),
        output: None,
    };
    assert_eq!(
        watch::run(&cluster, &args).await.unwrap_err().exit_code(),
        exit::TIMED_OUT
    );
}

#[tokio::test]
async fn listing_all_namespaces_asks_for_all() {
    let (cluster, server) = Server::new().cluster();
    let args = ListArgs {
        all_namespaces: true,
        active: true,
        severity: Vec::new(),
        phase: Vec::new(),
        since: None,
        selector: Some("team=payments".to_owned()),
        output: None,
    };
    assert_eq!(list::run(&cluster, &args).await.unwrap(), exit::OK);
    let asked = server.asked.lock().unwrap();
    assert!(
        asked
            .first()
            .unwrap()
            .1
            .starts_with("/apis/firewatch.dev/v1alpha1/incidents?"),
        "{asked:?}"
    );
    assert!(
        asked.first().unwrap().1.contains("labelSelector=team%3Dpayments"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_report_holds_the_decision_that_the_incident_waits_for() {
    let (cluster, _) = Server::new().cluster();
    let document = report::of(&cluster, &fixture::incident()).await;
    let text = serde_json::to_value(&document).unwrap().to_string();
    assert!(text.contains("PAYMENT_GATEWAY_URL"), "{text}");
    assert!(firewatch_core::report::markdown(&document).contains("PAYMENT_GATEWAY_URL"));
    assert_eq!(document.investigation_id, "11aa");
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = std::env::temp_dir().join(format!("kubectl-incident-man-{}", std::process::id()));
    super::man(&directory).unwrap();
    let command = <crate::cli::Cli as clap::CommandFactory>::command();
    let mut pages = 0;
    for name in command.get_subcommands().map(clap::Command::get_name) {
        let page = std::fs::read_to_string(directory.join(format!("kubectl-incident-{name}.1"))).expect(name);
        assert!(
            page.contains(".SH OPTIONS") && page.contains("context"),
            "{name}: {page}"
        );
        pages += 1;
    }
    let first = std::fs::read_to_string(directory.join("kubectl-incident.1")).unwrap();
    assert!(first.contains("investigate") && first.contains("Exit codes"), "{first}");
    assert!(pages > 10, "{pages}");
    std::fs::remove_dir_all(&directory).unwrap();
}

/// The manifest names what a release is made of; krew's bot fills in the digests.
#[test]
fn the_krew_manifest_is_of_this_plugin() {
    let text = include_str!("../../../../.krew.yaml");
    let filled: Vec<String> = text
        .lines()
        .map(|line| match line.split_once("{{addURIAndSha") {
            Some((indent, _)) => format!("{indent}uri: https://example.invalid/x.tar.gz\n{indent}sha256: \"0\"\n"),
            None => format!("{}\n", line.replace("{{ .TagName }}", "v0.1.0")),
        })
        .collect();
    let manifest: Value = serde_saphyr::from_str(&filled.concat()).unwrap();
    assert_eq!(manifest["metadata"]["name"], "incident");
    assert_eq!(manifest["spec"]["homepage"], env!("CARGO_PKG_REPOSITORY"));
    for platform in manifest["spec"]["platforms"].as_array().unwrap() {
        assert_eq!(platform["bin"], "kubectl-incident", "{platform}");
        assert!(platform["selector"]["matchLabels"]["os"].is_string(), "{platform}");
    }
    let short = manifest["spec"]["shortDescription"].as_str().unwrap();
    assert!(short.len() <= 50, "krew takes fifty characters: {short}");
}
