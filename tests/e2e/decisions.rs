//! What becomes of a plan that is rejected, revised, or withdrawn: nothing is changed that nobody approved.

use firewatch_core::api::{ApprovalState, Outcome, Phase};

use crate::ground::executes;
use crate::world::{Place, must, shared};

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_plan_changes_nothing_and_is_not_asked_again() {
    let world = shared().await;
    let place = Place::new("rejected").await;
    place.breaks("crashloop").await;
    let before = place.settings();
    let incident = place.reports("crashloop");
    let approval = place.until_asked(&incident).await;
    let (ok, said) = place.decides(&approval, "Rejected");
    assert!(ok, "{said}");
    let status = place.until_over(&incident).await;
    assert_eq!(status.outcome, Some(Outcome::Rejected));
    assert_eq!(status.approval_state, Some(ApprovalState::Rejected));
    assert!(status.execution.is_none());
    assert_eq!(place.settings(), before);
    let (turned, _) = place.decides(&approval, "Approved");
    assert!(!turned, "a rejection is final");
    place.ends().await;
    drop(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_of_an_older_plan_does_not_execute_the_newer_one() {
    let world = shared().await;
    let place = Place::new("revised").await;
    place.breaks("crashloop").await;
    let before = place.settings();
    let incident = place.reports("crashloop");
    let older = place.until_asked(&incident).await;
    must(&[
        "-n",
        &place.namespace,
        "patch",
        "incident",
        &incident,
        "--type=merge",
        "-p",
        r#"{"spec":{"revisionFeedback":"say it again"}}"#,
    ]);
    let newer = place
        .until(&incident, 60, "another approval", |s| {
            s.phase == Phase::AwaitingApproval && s.approval_ref.as_ref().is_some_and(|r| r.name != older)
        })
        .await;
    assert_eq!(newer.status.as_ref().unwrap().plan.as_ref().unwrap().revision, 2);
    // The older one can still be patched; it leads nowhere.
    let _ = place.decides(&older, "Approved");
    let executor = executes(&place.namespace, &older);
    assert!(executor.detail.contains("Superseded"), "{executor:?}");
    assert_eq!(place.settings(), before);
    must(&[
        "-n",
        &place.namespace,
        "patch",
        "incident",
        &incident,
        "--type=merge",
        "-p",
        r#"{"spec":{"cancelled":true}}"#,
    ]);
    let status = place.until_over(&incident).await;
    assert_eq!(status.outcome, Some(Outcome::Cancelled));
    assert_eq!(place.settings(), before);
    place.ends().await;
    drop(world);
}
