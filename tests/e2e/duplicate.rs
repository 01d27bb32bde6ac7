//! Two incidents about one workload: the later waits, says for what, and is let go by itself once the earlier is over.

use firewatch_core::api::{Outcome, Phase};

use crate::world::{Place, kubectl, must, shared};

#[tokio::test(flavor = "multi_thread")]
async fn the_later_of_two_incidents_about_one_workload_waits_and_is_let_go_by_itself() {
    let world = shared().await;
    let place = Place::new("duplicate").await;
    let (first, approval) = place.asks().await;
    let mut again = place.library.objects("crashloop", "incident.yaml").unwrap().remove(0);
    again["metadata"]["name"] = "again".into();
    let (ok, said) = kubectl(&["-n", &place.namespace, "apply", "-f", "-"], Some(&again.to_string()));
    assert!(ok, "{said}");
    let earlier = format!("{}/{first}", place.namespace);
    let waiting = place
        .until("again", 30, "to wait", |s| s.phase == Phase::Blocked)
        .await
        .status
        .unwrap();
    let blocked = waiting.blocked.as_ref().unwrap();
    assert_eq!(
        (blocked.reason.as_str(), blocked.by.as_deref()),
        ("DuplicateInProgress", Some(earlier.as_str()))
    );
    let stalled = waiting.conditions.iter().find(|c| c.type_ == "Stalled").unwrap();
    assert!(stalled.message.contains(&earlier), "{stalled:?}");
    must(&[
        "-n",
        &place.namespace,
        "wait",
        "--for=condition=Stalled",
        "incident/again",
        "--timeout=5s",
    ]);

    let (ok, said) = place.decides(&approval, "Approved");
    assert!(ok, "{said}");
    let first = place.until_over(&first).await;
    assert_eq!(first.outcome, Some(Outcome::Remediated));
    let again = place.until_over("again").await;
    let shown = serde_json::to_string_pretty(&again).unwrap();
    assert_eq!(again.outcome, Some(Outcome::NoActionRequired), "{shown}");
    assert!(again.approval_ref.is_none() && again.blocked.is_none(), "{shown}");
    assert!(again.conditions.iter().all(|c| c.type_ != "Stalled"), "{shown}");
    place.ends().await;
    drop(world);
}
