//! What changed, when and by whom, beside the trouble.
use firewatch_core::diagnosis::{Finding, Remedy};
use serde_json::json;

use crate::space::{self, Space, State, ago, served};
use crate::{first_remedy, healthy, repeat, says};

#[test]
fn a_config_change_that_broke_a_program_is_the_cause_with_who_made_it() {
    let pod = json!({"pod": {"volumes": [{"name": "c", "configMap": {"name": "router-rules"}}]}});
    let space = |changed| {
        Space::default()
            .config_map("router-rules", json!({"rules.yaml": "routes: [a, b"}), changed)
            .workload_of("router", State::Serves(40_000), pod.clone())
            .log(
                "router",
                &format!(
                    "{}{}",
                    served(60),
                    repeat(
                        "ERROR reload of rules.yaml did not succeed: flow sequence is not closed",
                        20
                    )
                ),
            )
    };
    let cause = space(Some(("kubectl-edit", 60))).cause("router");
    says(
        &cause,
        &["BadConfigChange"],
        "ConfigMap/router-rules",
        &["kubectl-edit", "rules.yaml"],
    );
    // A change of last week brought nothing today.
    let other = space(Some(("kubectl-edit", 80_000))).cause("router");
    assert_ne!(other.category, "BadConfigChange", "{}", other.summary);
    // A change while all is well is none.
    let calm = Space::default()
        .config_map(
            "router-rules",
            json!({"rules.yaml": "routes: [a]"}),
            Some(("kubectl-edit", 60)),
        )
        .workload_of("router", State::Serves(40_000), pod)
        .log("router", &served(60));
    healthy(&calm, "router");
}

#[test]
fn pods_older_than_the_configuration_that_was_put_right_need_a_restart() {
    let env = json!({"container": {"envFrom": [{"configMapRef": {"name": "mailer"}}]}});
    let space = |changed| {
        Space::default()
            .config_map("mailer", json!({"SMTP": "smtp.mail.test:587"}), changed)
            .workload_of("mailer", State::Serves(9000), env.clone())
            .log(
                "mailer",
                &format!(
                    "{}{}",
                    served(5),
                    repeat(
                        "ERROR send: dial tcp smtp-old.mail.test:25: connect: connection refused",
                        20
                    )
                ),
            )
    };
    let cause = space(Some(("argocd-controller", 600))).cause("mailer");
    says(
        &cause,
        &["StaleConfiguration"],
        "Deployment/mailer",
        &["ConfigMap/mailer", "smtp-old.mail.test"],
    );
    assert!(matches!(cause.remedy, Some(Remedy::Restart { .. })));
    assert_eq!(space(None).cause("mailer").category, "ExternalDependencyFails");
    // What it calls is what its settings say now: they are not stale, whatever was changed in them.
    let current = Space::default()
        .config_map(
            "mailer",
            json!({"SMTP": "smtp-old.mail.test:25"}),
            Some(("argocd-controller", 600)),
        )
        .workload_of("mailer", State::Serves(9000), env)
        .log(
            "mailer",
            &repeat(
                "ERROR send: dial tcp smtp-old.mail.test:25: connect: connection refused",
                20,
            ),
        );
    assert_eq!(current.cause("mailer").category, "ExternalDependencyFails");
}

#[test]
fn who_changed_the_faulty_object_ends_the_chain() {
    let mut space = Space::default()
        .workload("gate", State::Serves(4000))
        .log(
            "gate",
            &format!(
                "{}{}",
                served(10),
                repeat("ERROR dial tcp 10.96.0.5:8080 (stock): connect: connection refused", 9)
            ),
        )
        .service("stock", 8080);
    space = space.with(json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "stock", "namespace": space::NS, "uid": "u-stock", "creationTimestamp": ago(90_000), "managedFields": [
            {"manager": "helm", "operation": "Apply", "time": ago(90_000)},
            {"manager": "kubectl-scale", "operation": "Update", "subresource": "scale", "time": ago(240)}]},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "stock"}},
            "template": {"metadata": {"labels": {"app": "stock"}}, "spec": {"containers": [{"name": "main", "image": "i"}]}}}}));
    let root = space.read("Deployment", "gate").root_cause.unwrap();
    says(&root.finding, &["ScaledToZero"], "Deployment/stock", &["scaled to 0"]);
    let last = root.chain.last().unwrap();
    assert!(last.contains("4 min ago by kubectl-scale"), "{last}");
}

#[test]
fn a_stuck_rollout_beside_pods_that_serve_leads_to_the_new_pods() {
    let space = Space::default()
        .workload("rates", State::Crashes(1, "Error"))
        .crash_log("rates", "FATAL: required setting RATE_TABLE is not set");
    let mut objects = space.objects.clone();
    objects[0]["status"] = json!({"replicas": 2, "updatedReplicas": 1, "availableReplicas": 1, "conditions": [
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "lastTransitionTime": ago(60)}]});
    let space = Space { objects, ..space };
    let diagnosis = space.read("Deployment", "rates");
    assert!(
        diagnosis
            .findings
            .iter()
            .any(|finding| finding.category == "RolloutStuck")
    );
    assert_eq!(
        diagnosis.root_cause.unwrap().finding.category,
        "MissingEnvironmentVariable"
    );
}

#[test]
fn a_feature_flag_that_was_switched_is_the_cause_of_the_calls_that_fail_since() {
    let space = Space::default()
        .config_map("shop-flags", json!({"flags.json": "{\"pricing\": \"http://rates-v2.partner.test\"}", "pricing-backend": "rates-v2.partner.test"}), Some(("kubectl-patch", 130)))
        .workload_of("shop", State::Serves(40_000), json!({"pod": {"volumes": [{"name": "f", "configMap": {"name": "shop-flags"}}]}}))
        .log("shop", &format!("{}{}", served(40), repeat("ERROR pricing failed: Get \"https://rates-v2.partner.test/q\": net/http: TLS handshake timeout", 50)));
    let cause = space.cause("shop");
    says(
        &cause,
        &["BadConfigChange"],
        "ConfigMap/shop-flags",
        &["kubectl-patch", "pricing-backend"],
    );
}

#[test]
fn a_revision_of_long_ago_is_not_blamed_for_the_fault_of_today() {
    let image = |n: i32| json!({"name": "main", "image": format!("registry.test/rates:{n}")});
    let space = |changed: i64| {
        let mut space = Space::default().workload("rates", State::Serves(changed)).log(
            "rates",
            &format!(
                "{}{}",
                served(30),
                repeat("ERROR column \"zone\" of relation \"tariff\" does not exist", 12)
            ),
        );
        for (n, at) in [(1, 900_000), (2, changed)] {
            space = space.with(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {"name": format!("rates-{n}"), "namespace": space::NS, "creationTimestamp": ago(at), "annotations": {"deployment.kubernetes.io/revision": n.to_string()},
                    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "rates", "uid": "u-rates", "controller": true}]},
                "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "rates"}}, "template": {"metadata": {"labels": {"app": "rates"}}, "spec": {"containers": [image(n)]}}},
                "status": {"replicas": 0, "readyReplicas": 0}}));
        }
        space
    };
    let fresh = space(200).cause("rates");
    says(&fresh, &["SchemaMissing"], "Deployment/rates", &["zone", "revision 2"]);
    assert!(leads_back(&fresh), "{:?}", fresh.remedy);
    let old = space(400_000).cause("rates");
    assert!(
        !matches!(old.remedy, Some(Remedy::BadRevision { .. })),
        "{}",
        old.summary
    );
}

/// Whether the first way to put it right is the revision before.
fn leads_back(cause: &Finding) -> bool {
    matches!(first_remedy(cause), Some(Remedy::BadRevision { .. }))
}
