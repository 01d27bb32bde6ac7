//! What dies and comes back: the operator, killed where it hurts, and Postgres, stopped in the middle. Nothing is lost, nothing is
//! done twice.

use firewatch_core::api::{Outcome, Phase};

use crate::record;
use crate::world::{Place, alone, eventually, kubectl, must};

/// SIGKILL, as `kill -9`: no grace, no goodbye.
fn kills_the_operator() {
    must(&[
        "-n",
        "firewatch-system",
        "delete",
        "pod",
        "-l",
        "app.kubernetes.io/name=firewatch",
        "--grace-period=0",
        "--force",
    ]);
}

async fn operator_is_back() {
    let ready = eventually(90, || async {
        let (ok, _) = kubectl(
            &[
                "-n",
                "firewatch-system",
                "rollout",
                "status",
                "deployment/firewatch",
                "--timeout=1s",
            ],
            None,
        );
        ok.then_some(())
    });
    ready.await.expect("the operator is ready again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_killed_at_three_places_ends_the_incident_as_if_undisturbed() {
    let world = alone().await;
    let place = Place::new("killed").await;
    place.breaks("crashloop").await;
    let incident = place.reports("crashloop");
    // After a Job was made.
    place.until(&incident, 60, "a Job", |s| !s.jobs.is_empty()).await;
    kills_the_operator();
    let approval = place.until_asked(&incident).await;
    // After approval.
    let (ok, said) = place.decides(&approval, "Approved");
    assert!(ok, "{said}");
    kills_the_operator();
    // During execution.
    place
        .until(&incident, 120, "the execution", |s| s.phase >= Phase::Executing)
        .await;
    kills_the_operator();
    let status = place.until_over(&incident).await;
    assert_eq!(
        status.outcome,
        Some(Outcome::Remediated),
        "{}",
        serde_json::to_string_pretty(&status).unwrap()
    );
    let executions = status
        .jobs
        .iter()
        .filter(|j| j.purpose == firewatch_core::api::status::JobPurpose::Execution)
        .count();
    assert_eq!(executions, 1);
    record::told(&place, &incident).await;
    operator_is_back().await;
    place.ends().await;
    drop(world);
}

fn postgres(verb: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/postgres");
    let output = std::process::Command::new(script).arg(verb).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_down_nothing_is_executed_and_nothing_is_lost() {
    let world = alone().await;
    let place = Place::new("no-postgres").await;
    place.breaks("crashloop").await;
    let before = place.settings();
    postgres("stop");
    let result = async {
        let incident = place.reports("crashloop");
        // Diagnosis goes on without it.
        let approval = place.until_asked(&incident).await;
        let (ok, said) = place.decides(&approval, "Approved");
        assert!(ok, "{said}");
        let waiting = place
            .until(&incident, 60, "AuditPersisted=False and Stalled", |s| {
                let is =
                    |type_: &str, status: &str| s.conditions.iter().any(|c| c.type_ == type_ && c.status == status);
                is("AuditPersisted", "False") && is("Stalled", "True")
            })
            .await;
        assert_eq!(waiting.status.unwrap().phase, Phase::AwaitingApproval);
        incident
    };
    let incident = result.await;
    let after = place.settings();
    postgres("start");
    assert_eq!(before, after, "something was changed while its approval was not stored");
    let status = place.until_over(&incident).await;
    assert_eq!(
        status.outcome,
        Some(Outcome::Remediated),
        "{}",
        serde_json::to_string_pretty(&status).unwrap()
    );
    let stored = place
        .until(&incident, 60, "its record stored", |s| s.outbox.is_empty())
        .await;
    assert!(
        stored
            .status
            .unwrap()
            .conditions
            .iter()
            .any(|c| c.type_ == "AuditPersisted" && c.status == "True")
    );
    place.ends().await;
    drop(world);
}
