//! A plan that was approved, carried out, and did not help: it is taken back, once, and a person is called.

use firewatch_core::api::Outcome;
use firewatch_core::api::status::{ExecutionState, JobPurpose, Phase};
use firewatch_core::sandbox::command::Lane;
use firewatch_core::sandbox::evidence::Stage;

use crate::record;
use crate::world::{Place, must, shared};

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_does_not_help_is_taken_back_once_and_a_person_is_called() {
    let world = shared().await;
    let place = Place::new("taken-back").await;
    let (incident, approval) = place.asks().await;
    let before = place.settings();
    // What no plan could know: once the missing setting is there, what it leads to is gone, and the service ends all the same.
    // In the foreground: a gateway pod that still ends would answer the one call that the service makes at its start.
    must(&[
        "-n",
        &place.namespace,
        "delete",
        "deployment",
        "payment-gateway",
        "--cascade=foreground",
    ]);
    let (ok, said) = place.decides(&approval, "Approved");
    assert!(ok, "{said}");
    place
        .until(&incident, 120, "the execution", |s| s.phase == Phase::Verifying)
        .await;
    assert_ne!(place.settings(), before, "the plan was carried out");

    let status = place.until_over(&incident).await;
    let shown = serde_json::to_string_pretty(&status).unwrap();
    assert_eq!(status.outcome, Some(Outcome::RolledBack), "{shown}");
    assert_eq!(place.settings(), before, "the setting is as it was");
    assert_eq!(status.execution.as_ref().unwrap().state, ExecutionState::Succeeded);
    assert_eq!(status.rollback.as_ref().unwrap().state, ExecutionState::Succeeded);
    for purpose in [JobPurpose::Execution, JobPurpose::Rollback] {
        let jobs = status.jobs.iter().filter(|j| j.purpose == purpose).count();
        assert_eq!(jobs, 1, "{purpose}: {shown}");
    }
    let verification = status.verification.as_ref().unwrap();
    assert!(!verification.passed);
    assert_eq!(verification.rolled_back, Some(true), "{shown}");
    assert!(!status.next_steps.is_empty(), "a person is told where to go on");
    must(&[
        "-n",
        &place.namespace,
        "wait",
        "--for=condition=Succeeded=False",
        &format!("incident/{incident}"),
        "--timeout=5s",
    ]);

    let story = record::told(&place, &incident).await;
    let taken_back: Vec<_> = story.commands.iter().filter(|c| c.lane == Lane::Rollback).collect();
    assert!(!taken_back.is_empty() && taken_back.iter().all(|c| c.state == "Succeeded"));
    assert!(
        story
            .evidence
            .iter()
            .any(|e| Stage::of_id(&e.id) == Stage::RollbackVerification),
        "what was read to see that it was taken back is recorded"
    );
    let row = story.audit.as_ref().unwrap();
    assert!(row.human_intervention && !row.resolved);
    let approved = story.approvals.last().unwrap();
    let (claim, back) = (
        approved.claim.as_ref().unwrap(),
        approved.rollback_claim.as_ref().unwrap(),
    );
    assert_ne!(claim.pod_uid, back.pod_uid);
    place.ends().await;
    drop(world);
}
