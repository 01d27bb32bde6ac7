//! One request of one identity, as the API server sees it: impersonation by headers, a pod-bound token's extra included.

use std::time::Duration;

use kube::Client;
use serde_json::{Value, json};

pub const OPERATOR: &str = "system:serviceaccount:firewatch-system:firewatch";
pub const EXECUTOR: &str = "system:serviceaccount:firewatch-sandbox:remediation-executor";
pub const SANDBOX: &str = "firewatch-sandbox";
const GROUP_NAME: &str = "firewatch.dev";
pub const GROUP: &str = "/apis/firewatch.dev/v1alpha1";

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// The administrator of the cluster, not impersonated.
    Admin,
    /// A person of the group `sre`, who may approve.
    Person(&'static str),
    /// A person of no group.
    Stranger(&'static str),
    /// A service account.
    Account(&'static str),
    /// The executor, with the token of a pod of this uid.
    Pod(&'static str),
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: &'static str,
    pub path: String,
    pub body: Value,
}

pub fn post(path: impl Into<String>, body: Value) -> Call {
    Call {
        method: "POST",
        path: path.into(),
        body,
    }
}

pub fn merge(path: impl Into<String>, body: Value) -> Call {
    Call {
        method: "PATCH",
        path: path.into(),
        body,
    }
}

pub fn json_patch(path: impl Into<String>, body: Value) -> Call {
    Call {
        method: "JSONPATCH",
        path: path.into(),
        body,
    }
}

pub fn delete(path: impl Into<String>) -> Call {
    Call {
        method: "DELETE",
        path: path.into(),
        body: Value::Null,
    }
}

pub async fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::try_default()
        .await
        .expect("KUBECONFIG leads to a cluster with the chart: `make install`, `eval \"$(tests/cluster/env.sh)\"`")
}

/// The groups that a service account's token carries.
pub fn groups_of(account: &str) -> Vec<String> {
    let namespace = account.split(':').nth(2).unwrap_or_default();
    vec![
        "system:serviceaccounts".into(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".into(),
    ]
}

/// Sends; `Ok` with the answer, or `Err` with the refusal's message.
pub async fn send(client: &Client, who: Who, call: &Call) -> Result<Value, String> {
    let (method, kind) = match call.method {
        "PATCH" => ("PATCH", "application/merge-patch+json"),
        "JSONPATCH" => ("PATCH", "application/json-patch+json"),
        other => (other, "application/json"),
    };
    let mut request = axum::http::Request::builder()
        .method(method)
        .uri(&call.path)
        .header("Content-Type", kind);
    let (user, groups): (Option<&str>, Vec<String>) = match who {
        Who::Admin => (None, Vec::new()),
        Who::Person(name) => (Some(name), vec!["sre".into(), "system:authenticated".into()]),
        Who::Stranger(name) => (Some(name), vec!["system:authenticated".into()]),
        Who::Account(name) => (Some(name), groups_of(name)),
        Who::Pod(_) => (Some(EXECUTOR), groups_of(EXECUTOR)),
    };
    if let Some(user) = user {
        request = request.header("Impersonate-User", user);
        for group in &groups {
            request = request.header("Impersonate-Group", group);
        }
    }
    if let Who::Pod(uid) = who {
        request = request.header("Impersonate-Extra-authentication.kubernetes.io%2Fpod-uid", uid);
    }
    let body = if call.body.is_null() && method != "PATCH" {
        Vec::new()
    } else {
        serde_json::to_vec(&call.body).unwrap()
    };
    let request = request.body(body).unwrap();
    match client.request::<Value>(request).await {
        Ok(answer) => Ok(answer),
        Err(kube::Error::Api(status)) => Err(status.message),
        Err(other) => panic!("{call:?}: {other}"),
    }
}

/// Cases that were not as expected, gathered so that one run shows all.
#[derive(Default)]
pub struct Table {
    wrong: Vec<String>,
    pub cases: usize,
}

impl Table {
    pub async fn allowed(&mut self, client: &Client, what: &str, who: Who, call: Call) {
        self.cases += 1;
        if let Err(said) = send(client, who, &call).await {
            self.wrong.push(format!("refused, must be allowed: {what}: {said}"));
        }
    }

    /// `why` occurs in the refusal's message: a refusal for another reason proves nothing.
    pub async fn refused(&mut self, client: &Client, what: &str, who: Who, call: Call, why: &str) {
        self.cases += 1;
        match send(client, who, &call).await {
            Ok(_) => self.wrong.push(format!("allowed, must be refused: {what}")),
            Err(said) if said.contains(why) => {}
            Err(said) => self
                .wrong
                .push(format!("refused for another reason: {what}: {said} (expected: {why})")),
        }
    }

    pub fn ends(self) {
        assert!(
            self.wrong.is_empty(),
            "{} of {} cases:\n{}",
            self.wrong.len(),
            self.cases,
            self.wrong.join("\n")
        );
    }
}

/// A namespace of the test's own, in which the group `sre` may approve and the executor may repair.
pub async fn namespace(client: &Client, name: &str) -> String {
    let id: String = uuid::Uuid::new_v4().simple().to_string().chars().take(6).collect();
    let namespace = format!("{name}-{id}");
    send(
        client,
        Who::Admin,
        &post("/api/v1/namespaces", json!({ "metadata": { "name": namespace } })),
    )
    .await
    .unwrap();
    let bindings = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings");
    let bind = |role: &str, subject: Value| json!({ "metadata": { "name": role }, "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role }, "subjects": [subject] });
    let people = json!({ "kind": "Group", "name": "sre", "apiGroup": "rbac.authorization.k8s.io" });
    let executor = json!({ "kind": "ServiceAccount", "name": "remediation-executor", "namespace": SANDBOX });
    send(client, Who::Admin, &post(&bindings, bind("firewatch-approver", people)))
        .await
        .unwrap();
    send(
        client,
        Who::Admin,
        &post(&bindings, bind("firewatch-remediation", executor)),
    )
    .await
    .unwrap();
    until_held(
        client,
        "alice",
        &["sre".to_owned()],
        &namespace,
        GROUP_NAME,
        "incidents",
    )
    .await;
    until_held(
        client,
        EXECUTOR,
        &groups_of(EXECUTOR),
        &namespace,
        "apps",
        "deployments",
    )
    .await;
    namespace
}

/// A binding takes effect a moment after it is made; a case before that would be refused for want of a right.
async fn until_held(client: &Client, user: &str, groups: &[String], namespace: &str, group: &str, resource: &str) {
    let attributes = json!({ "verb": "patch", "group": group, "resource": resource, "namespace": namespace });
    let review = json!({ "spec": { "user": user, "groups": groups, "resourceAttributes": attributes } });
    let asked = post("/apis/authorization.k8s.io/v1/subjectaccessreviews", review);
    let held = async {
        while send(client, Who::Admin, &asked).await.unwrap()["status"]["allowed"] != json!(true) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), held)
        .await
        .unwrap_or_else(|_| panic!("{user} may not patch {resource} in {namespace} after 30 s"));
}

pub async fn remove(client: &Client, namespace: &str) {
    let _ = send(client, Who::Admin, &delete(format!("/api/v1/namespaces/{namespace}"))).await;
}
