//! A user of one namespace gets nothing of another; and what is wrong with an incident is said where its user looks.

use firewatch_core::api::Outcome;

use crate::world::{Place, kubectl, shared};

fn incident(place: &Place, name: &str, spec: &serde_json::Value) -> (bool, String) {
    let object = serde_json::json!({ "apiVersion": "firewatch.dev/v1alpha1", "kind": "Incident", "metadata": { "name": name }, "spec": spec });
    kubectl(&["-n", &place.namespace, "apply", "-f", "-"], Some(&object.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_about_another_namespace_is_refused_with_the_reason() {
    let world = shared().await;
    let place = Place::new("tenant").await;
    let spec = serde_json::json!({ "title": "t", "target": { "kind": "Deployment", "name": "x", "namespace": "kube-system" } });
    let (ok, said) = incident(&place, "across", &spec);
    assert!(!ok);
    assert!(said.contains("may name targets in its own namespace only"), "{said}");
    place.ends().await;
    drop(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_incident_is_answered_with_field_and_remedy() {
    let world = shared().await;
    let place = Place::new("malformed").await;
    let (ok, said) = incident(&place, "no-title", &serde_json::json!({}));
    assert!(!ok && said.contains("spec.title"), "{said}");
    let (ok, said) = incident(
        &place,
        "severity",
        &serde_json::json!({ "title": "t", "severity": "urgent" }),
    );
    assert!(
        !ok && said.contains("spec.severity") && said.contains("critical"),
        "{said}"
    );
    place.ends().await;
    drop(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_does_not_exist_ends_without_a_guess() {
    let world = shared().await;
    let place = Place::new("no-target").await;
    let spec = serde_json::json!({ "title": "t", "target": { "kind": "Deployment", "name": "nowhere" } });
    let (ok, said) = incident(&place, "gone", &spec);
    assert!(ok, "{said}");
    let status = place.until_over("gone").await;
    assert_eq!(
        status.outcome,
        Some(Outcome::Inconclusive),
        "{}",
        serde_json::to_string_pretty(&status).unwrap()
    );
    assert!(status.root_cause.is_none() && status.plan.is_none());
    assert!(!status.next_steps.is_empty(), "what to look at next is said");
    place.ends().await;
    drop(world);
}

/// A program that fails because something in another namespace does not answer, and says so.
fn needs_another_namespace(other: &str) -> serde_json::Value {
    let program = format!(
        "import sys,time\nprint('starting billing', flush=True)\ntime.sleep(1)\nprint('ERROR could not connect to ledger.{other}.svc.cluster.local:5432: Connection refused', flush=True)\nsys.exit(1)\n"
    );
    serde_json::json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "billing" }, "spec": {
        "replicas": 1, "selector": { "matchLabels": { "app": "billing" } },
        "template": { "metadata": { "labels": { "app": "billing" } }, "spec": { "terminationGracePeriodSeconds": 1, "containers": [{
            "name": "billing", "image": "localhost/firewatch-workload:dev", "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-u", "-c", program],
            "env": [{ "name": "LEDGER", "value": format!("postgres://ledger.{other}.svc.cluster.local:5432/ledger") }],
            "resources": { "requests": { "cpu": "10m", "memory": "24Mi" }, "limits": { "memory": "64Mi" } } }] } } } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_and_an_alert_that_point_across_bring_nothing_of_the_other_namespace() {
    const CANARY: &str = "canary-of-another-tenant";
    let world = shared().await;
    let other = Place::new("other").await;
    let place = Place::new("asks-across").await;
    let put = |place: &Place, object: serde_json::Value| {
        let (ok, said) = kubectl(&["-n", &place.namespace, "apply", "-f", "-"], Some(&object.to_string()));
        assert!(ok, "{said}");
    };
    put(
        &other,
        serde_json::json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "ledger" }, "data": { "note": CANARY } }),
    );
    put(
        &other,
        serde_json::json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "ledger", "labels": { "note": CANARY } }, "spec": { "selector": { "app": "nobody" }, "ports": [{ "port": 5432 }] } }),
    );
    put(&place, needs_another_namespace(&other.namespace));
    let restarted = crate::world::eventually(90, || async {
        let (_, count) = kubectl(
            &[
                "-n",
                &place.namespace,
                "get",
                "pods",
                "-o",
                "jsonpath={.items[0].status.containerStatuses[0].restartCount}",
            ],
            None,
        );
        count.trim().parse::<u32>().is_ok_and(|n| n >= 2).then_some(())
    });
    restarted.await.expect("billing restarts");
    let spec = serde_json::json!({ "title": "billing restarts", "alert": { "source": "alertmanager", "name": "KubePodCrashLooping",
        "labels": { "namespace": other.namespace, "deployment": "ledger", "service": "ledger" } } });
    let (ok, said) = incident(&place, "across", &spec);
    assert!(ok, "{said}");
    let settled = place
        .until("across", 150, "an approval, or the end", |s| {
            s.outcome.is_some() || s.approval_ref.is_some()
        })
        .await;
    let status = settled.status.unwrap();
    let shown = serde_json::to_string_pretty(&status).unwrap();
    assert!(!shown.contains(CANARY), "{shown}");
    assert!(!status.evidence.is_empty());
    for evidence in &status.evidence {
        assert!(
            !evidence.command.contains(&other.namespace),
            "the other namespace was read: {}",
            evidence.command
        );
    }
    for finding in &status.findings {
        assert_ne!(
            finding.object.namespace.as_deref(),
            Some(other.namespace.as_str()),
            "{}",
            finding.summary
        );
    }
    let targets = status.plan.iter().flat_map(|p| &p.actions).map(|a| &a.target);
    for target in targets {
        assert_eq!(target.namespace.as_deref(), Some(place.namespace.as_str()));
    }
    place.ends().await;
    other.ends().await;
    drop(world);
}
