//! What the tests share: namespaces of their own, kubectl, and waiting with a deadline that says what was seen.

use std::future::Future;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use firewatch_core::api::{Incident, IncidentStatus, Phase};
use kube::api::{Api, DeleteParams};
use kube::{Client, ResourceExt};
use kubectl_incident::cluster::Cluster;
use kubectl_incident::scenario::files::Library;
use kubectl_incident::scenario::{Scenario, apply, steps};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Tests that take the operator or Postgres down have the world to themselves.
static WORLD: RwLock<()> = RwLock::const_new(());

pub async fn shared() -> RwLockReadGuard<'static, ()> {
    WORLD.read().await
}

pub async fn alone() -> RwLockWriteGuard<'static, ()> {
    WORLD.write().await
}

/// Runs kubectl; returns whether it succeeded, and what it said.
pub fn kubectl(args: &[&str], input: Option<&str>) -> (bool, String) {
    let mut child = Command::new("kubectl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl is on the PATH: `eval \"$(tests/cluster/env.sh)\"`");
    if let Some(text) = input {
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    } else {
        drop(child.stdin.take());
    }
    let output = child.wait_with_output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.success(), said)
}

/// Runs kubectl, which must succeed.
pub fn must(args: &[&str]) -> String {
    let (ok, said) = kubectl(args, None);
    assert!(ok, "kubectl {}: {said}", args.join(" "));
    said
}

/// The executor's right to repair in this namespace, as the chart binds it.
pub fn opts_in(namespace: &str) {
    must(&[
        "-n",
        namespace,
        "create",
        "rolebinding",
        "firewatch-remediation",
        "--clusterrole=firewatch-remediation",
        "--serviceaccount=firewatch-sandbox:remediation-executor",
    ]);
}

/// What a ConfigMap holds.
pub fn data(namespace: &str, config_map: &str) -> String {
    must(&[
        "-n",
        namespace,
        "get",
        "configmap",
        config_map,
        "-o",
        "jsonpath={.data}",
    ])
}

/// A namespace of a test's own, in which approved plans may be executed. Deleted at the end.
pub struct Place {
    pub cluster: Cluster,
    pub namespace: String,
    pub library: Library,
}

impl Place {
    pub async fn new(name: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::try_default()
            .await
            .expect("KUBECONFIG leads to a cluster: `eval \"$(tests/cluster/env.sh)\"`");
        let id: String = uuid::Uuid::new_v4().simple().to_string().chars().take(6).collect();
        let namespace = format!("{name}-{id}");
        let cluster = Cluster::with_client(client, &namespace);
        apply::namespace(&cluster, &namespace).await.unwrap();
        opts_in(&namespace);
        Self {
            cluster,
            namespace,
            library: Library::built_in(),
        }
    }

    /// Applies a scenario's workload and waits until it is really broken.
    pub async fn breaks(&self, name: &str) -> Scenario {
        let scenario = self.library.scenario(name).unwrap();
        steps::breaks(&self.cluster, &self.library, &scenario, |_| {})
            .await
            .unwrap();
        scenario
    }

    /// Applies a scenario's incident as a user does; returns its name.
    pub fn reports(&self, name: &str) -> String {
        let object = self.library.objects(name, "incident.yaml").unwrap().remove(0);
        let (ok, said) = kubectl(&["-n", &self.namespace, "apply", "-f", "-"], Some(&object.to_string()));
        assert!(ok, "{said}");
        object["metadata"]["name"].as_str().unwrap().to_owned()
    }

    /// Breaks the checkout, reports it, and waits for its plan; returns the incident's and the approval's name.
    pub async fn asks(&self) -> (String, String) {
        self.breaks("crashloop").await;
        let incident = self.reports("crashloop");
        let approval = self.until_asked(&incident).await;
        (incident, approval)
    }

    /// The settings that the plan for the broken checkout would change.
    pub fn settings(&self) -> String {
        data(&self.namespace, "checkout-settings")
    }

    pub fn incidents(&self) -> Api<Incident> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// Waits until the incident's status is as wanted, and says what it was when it never came.
    pub async fn until(
        &self,
        name: &str,
        seconds: u64,
        what: &str,
        wanted: impl Fn(&IncidentStatus) -> bool,
    ) -> Incident {
        let api = self.incidents();
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            let seen = api.get(name).await;
            match &seen {
                Ok(incident) if incident.status.as_ref().is_some_and(&wanted) => return incident.clone(),
                _ if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(300)).await,
                _ => {
                    let status = seen.map(|i| i.status);
                    panic!(
                        "{}/{name}: waited {seconds} s for {what}; last seen: {status:#?}",
                        self.namespace
                    );
                }
            }
        }
    }

    pub async fn until_over(&self, name: &str) -> IncidentStatus {
        self.until(name, 420, "its end", |s| {
            s.phase == Phase::Completed && s.outcome.is_some()
        })
        .await
        .status
        .unwrap()
    }

    /// Waits for the approval and returns its name.
    pub async fn until_asked(&self, name: &str) -> String {
        let incident = self
            .until(name, 120, "an approval, or the end", |s| {
                s.phase == Phase::Completed || (s.phase == Phase::AwaitingApproval && s.approval_ref.is_some())
            })
            .await;
        let status = incident.status.unwrap();
        assert_eq!(
            status.phase,
            Phase::AwaitingApproval,
            "{}",
            serde_json::to_string_pretty(&status).unwrap()
        );
        status.approval_ref.unwrap().name
    }

    /// Decides, with plain kubectl, as whoever KUBECONFIG makes us.
    pub fn decides(&self, approval: &str, decision: &str) -> (bool, String) {
        let me = must(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]);
        let patch =
            serde_json::json!({ "spec": { "decision": decision, "approver": me, "reason": "a test" } }).to_string();
        kubectl(
            &[
                "-n",
                &self.namespace,
                "patch",
                "rap",
                approval,
                "--type=merge",
                "-p",
                &patch,
            ],
            None,
        )
    }

    pub async fn ends(self) {
        let incidents = self.incidents();
        for incident in incidents.list(&kube::api::ListParams::default()).await.unwrap() {
            let _ = incidents.delete(&incident.name_any(), &DeleteParams::default()).await;
        }
        let _ = kubectl(&["delete", "namespace", &self.namespace, "--wait=false"], None);
    }
}

/// Asks again and again until there is an answer or the time is over.
pub async fn eventually<T, F: Future<Output = Option<T>>>(seconds: u64, mut ask: impl FnMut() -> F) -> Option<T> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
