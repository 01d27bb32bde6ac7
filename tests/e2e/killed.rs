//! The executor's pod, killed between its claim and its first action: nobody can know what became of the plan, so it is never run again,
//! and a person is called.
//!
//! A webhook of the test's own takes the API server's question about the rehearsal of the first action and never answers it. While it is
//! held, the claim is taken and nothing is done: that is the moment.

use std::process::Command;

use firewatch_core::api::status::{ExecutionState, JobPurpose};
use firewatch_core::api::{Claim, Outcome};
use serde_json::json;

use crate::ground::executes;
use crate::record;
use crate::world::{Place, eventually, kubectl, must, shared};

/// Every change of a ConfigMap of one namespace waits in the API server, for up to 30 seconds.
struct Hold {
    namespace: String,
    webhook: String,
}

impl Hold {
    async fn set(place: &Place) -> Self {
        let namespace = place.namespace.clone();
        let program = "import socket\ns = socket.create_server(('', 8443))\nkept = []\nwhile True:\n    kept.append(s.accept())\n    print('held', flush=True)\n";
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "hold", "namespace": namespace}, "spec": {
            "terminationGracePeriodSeconds": 1, "containers": [{
                "name": "hold", "image": "localhost/firewatch-workload:dev", "imagePullPolicy": "IfNotPresent",
                "command": ["python3", "-u", "-c", program],
                "readinessProbe": {"exec": {"command": ["python3", "-c",
                    "import sys; sys.exit(not any(':20FB' in line for name in ('tcp', 'tcp6') for line in open('/proc/net/' + name)))"]}, "periodSeconds": 1},
                "resources": {"requests": {"cpu": "10m", "memory": "24Mi"}, "limits": {"memory": "64Mi"}}}]}});
        let (ok, said) = kubectl(&["apply", "-f", "-"], Some(&pod.to_string()));
        assert!(ok, "{said}");
        must(&[
            "-n",
            &namespace,
            "wait",
            "--for=condition=Ready",
            "pod/hold",
            "--timeout=90s",
        ]);
        let address = must(&["-n", &namespace, "get", "pod", "hold", "-o", "jsonpath={.status.podIP}"]);
        let host = if address.contains(':') {
            format!("[{address}]")
        } else {
            address
        };
        let hold = Self {
            webhook: format!("firewatch-test-{namespace}"),
            namespace,
        };
        let webhook = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": hold.webhook}, "webhooks": [{
                "name": "hold.firewatch.test", "clientConfig": {"url": format!("https://{host}:8443/")},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["configmaps"]}],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": hold.namespace}},
                "failurePolicy": "Fail", "sideEffects": "None", "timeoutSeconds": 30, "admissionReviewVersions": ["v1"]}]});
        let (ok, said) = kubectl(&["apply", "-f", "-"], Some(&webhook.to_string()));
        assert!(ok, "{said}");
        // The API server has taken it up once it holds a question of ours.
        let holds = eventually(30, || async {
            let _ = kubectl(
                &[
                    "-n",
                    &hold.namespace,
                    "patch",
                    "configmap",
                    "checkout-settings",
                    "--dry-run=server",
                    "--request-timeout=1s",
                    "--type=merge",
                    "-p",
                    r#"{"data":{"LOG_LEVEL":"debug"}}"#,
                ],
                None,
            );
            (hold.held() > 0).then_some(())
        });
        holds.await.expect("the API server asks the webhook");
        hold
    }

    /// How many questions it holds.
    fn held(&self) -> usize {
        must(&["-n", &self.namespace, "logs", "hold"]).lines().count()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = kubectl(
            &[
                "delete",
                "validatingwebhookconfiguration",
                &self.webhook,
                "--ignore-not-found",
            ],
            None,
        );
    }
}

/// The processes of this machine that carry this approval out, as `/proc` shows them.
fn runners(approval_uid: &str) -> Vec<String> {
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let is_runner = words
            .first()
            .is_some_and(|program| program.ends_with(b"sandbox-runner"))
            && words.get(1).is_some_and(|lane| *lane == b"remediate")
            && words.get(4).is_some_and(|uid| *uid == approval_uid.as_bytes());
        if is_runner {
            found.push(process.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

/// `kill -9` of the process itself. False where the node is another machine.
fn kills_the_process(approval_uid: &str) -> bool {
    let found = runners(approval_uid);
    let [process] = found.as_slice() else {
        assert!(found.is_empty(), "one pod, one runner: {found:?}");
        return false;
    };
    let kill = |program: &str, args: &[&str]| Command::new(program).args(args).status().is_ok_and(|s| s.success());
    kill("kill", &["-9", process]) || kill("sudo", &["-n", "kill", "-9", process])
}

/// What works everywhere: the pod is gone, without grace and without waiting for its node.
fn deletes_the_pod(claim: &Claim) {
    let pod = claim.pod_name.as_deref().unwrap();
    must(&[
        "-n",
        "firewatch-sandbox",
        "delete",
        "pod",
        pod,
        "--grace-period=0",
        "--force",
    ]);
}

fn claim_of(place: &Place, approval: &str) -> Option<Claim> {
    let said = must(&[
        "-n",
        &place.namespace,
        "get",
        "rap",
        approval,
        "-o",
        "jsonpath={.status.claim}",
    ]);
    serde_json::from_str(&said).ok()
}

async fn dies(name: &str, kill: impl Fn(&str, &Claim)) {
    let world = shared().await;
    let place = Place::new(name).await;
    let (incident, approval) = place.asks().await;
    let before = place.settings();
    let hold = Hold::set(&place).await;
    let ours = hold.held();
    let (ok, said) = place.decides(&approval, "Approved");
    assert!(ok, "{said}");
    let claim = eventually(120, || async {
        let claim = claim_of(&place, &approval)?;
        (hold.held() > ours).then_some(claim)
    });
    let claim = claim
        .await
        .expect("the executor has claimed, and its rehearsal is held");
    let uid = must(&[
        "-n",
        &place.namespace,
        "get",
        "rap",
        &approval,
        "-o",
        "jsonpath={.metadata.uid}",
    ]);
    kill(&uid, &claim);

    let status = place.until_over(&incident).await;
    drop(hold);
    let shown = serde_json::to_string_pretty(&status).unwrap();
    assert_eq!(status.outcome, Some(Outcome::Escalated), "{shown}");
    assert_eq!(
        status.execution.as_ref().unwrap().state,
        ExecutionState::Unknown,
        "{shown}"
    );
    assert!(
        status.rollback.is_none(),
        "what may not have happened is not taken back: {shown}"
    );
    assert!(!status.next_steps.is_empty(), "a person is told what to look at");
    let executions = status
        .jobs
        .iter()
        .filter(|j| j.purpose == JobPurpose::Execution)
        .count();
    assert_eq!(executions, 1, "{shown}");
    // Another Job for the same approval finds it used, now that nothing holds it up.
    let again = executes(&place.namespace, &approval);
    assert_eq!(again.code, 1, "{again:?}");
    assert_eq!(
        claim_of(&place, &approval).as_ref(),
        Some(&claim),
        "the claim is that of the pod that died"
    );
    assert_eq!(place.settings(), before, "nothing was changed");
    let story = record::told(&place, &incident).await;
    assert!(story.audit.as_ref().unwrap().human_intervention);
    place.ends().await;
    drop(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_is_killed_after_its_claim_leaves_unknown_and_is_never_run_again() {
    dies("killed-executor", |uid, claim| {
        if !kills_the_process(uid) {
            deletes_the_pod(claim);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_s_pod_that_is_deleted_after_its_claim_leaves_unknown_and_is_never_run_again() {
    dies("deleted-executor", |_, claim| deletes_the_pod(claim)).await;
}
