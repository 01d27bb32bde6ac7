//! The whole way round, with the real Prometheus and the real Alertmanager: a workload breaks, a rule fires, an Incident appears, a
//! person approves its plan, the workload is well, the alert resolves, and the incident says so.

use firewatch_core::api::incident::AlertSource;
use firewatch_core::api::{Outcome, Severity};
use kube::ResourceExt;
use kube::api::ListParams;

use crate::monitoring::Monitoring;
use crate::record;
use crate::world::{Place, eventually, must, shared};

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_becomes_an_incident_whose_repair_resolves_it() {
    let world = shared().await;
    let place = Place::new("alerted").await;
    must(&["label", "namespace", &place.namespace, "firewatch.dev/intake=enabled"]);
    place.breaks("crashloop").await;
    let monitoring = Monitoring::of(&place).await;
    let incidents = place.incidents();
    let made = eventually(90, || async {
        incidents.list(&ListParams::default()).await.unwrap().items.pop()
    });
    let made = made.await.expect("Alertmanager's webhook makes an incident");
    let target = made.spec.target.as_ref().unwrap();
    assert_eq!((target.kind.as_str(), target.name.as_str()), ("Deployment", "checkout"));
    assert_eq!(made.spec.severity, Some(Severity::Critical));
    let alert = made.spec.alert.as_ref().unwrap();
    assert_eq!(
        (alert.source, alert.name.as_deref()),
        (AlertSource::Alertmanager, Some("DeploymentReplicasUnavailable"))
    );

    let name = made.name_any();
    let approval = place.until_asked(&name).await;
    let (ok, said) = place.decides(&approval, "Approved");
    assert!(ok, "{said}");
    let status = place.until_over(&name).await;
    let shown = serde_json::to_string_pretty(&status).unwrap();
    assert_eq!(status.outcome, Some(Outcome::Remediated), "{shown}");
    assert!(
        status
            .message
            .as_deref()
            .is_some_and(|m| m.contains("the alert has resolved")),
        "the verification used the alert: {shown}"
    );
    assert_eq!(
        (status.occurrences, status.alerts.as_ref().unwrap().firing),
        (1, 0),
        "{shown}"
    );
    must(&[
        "-n",
        &place.namespace,
        "wait",
        "--for=condition=AlertResolved",
        &format!("incident/{name}"),
        "--timeout=5s",
    ]);
    record::told(&place, &name).await;
    assert_eq!(incidents.list(&ListParams::default()).await.unwrap().items.len(), 1);
    drop(monitoring);
    place.ends().await;
    drop(world);
}
