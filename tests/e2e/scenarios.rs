//! Each scenario, from `kubectl apply` and `kubectl patch` alone, to its expected outcome; and its story, read back from Postgres.

use firewatch::store;
use firewatch_core::api::{Decision, Phase};
use firewatch_core::incident::chain;
use firewatch_core::report::{self, ApprovalRow, StoryView};
use firewatch_core::sandbox::evidence::Stage;
use kube::ResourceExt;
use kubectl_incident::scenario::check;

use crate::world::{Place, eventually, must, shared};

async fn plays_out(name: &str) {
    let world = shared().await;
    let place = Place::new(&name.replace('_', "-")).await;
    let scenario = place.breaks(name).await;
    let incident = place.reports(name);
    let asked = place
        .until(&incident, 150, "an approval, or the end", |s| {
            s.phase == Phase::Completed || (s.phase == Phase::AwaitingApproval && s.approval_ref.is_some())
        })
        .await;
    if let (Phase::AwaitingApproval, Some(approval)) = (
        asked.status.as_ref().unwrap().phase,
        &asked.status.as_ref().unwrap().approval_ref,
    ) {
        let (ok, said) = place.decides(&approval.name, "Approved");
        assert!(ok, "{said}");
    }
    let status = place.until_over(&incident).await;
    let differences = scenario.expected.differences(&status);
    assert!(
        differences.is_empty(),
        "{name}: {}\n{}",
        differences.join("\n"),
        serde_json::to_string_pretty(&status).unwrap()
    );
    must(&[
        "-n",
        &place.namespace,
        "wait",
        "--for=condition=Succeeded",
        &format!("incident/{incident}"),
        "--timeout=5s",
    ]);
    check::wait(&place.cluster, &scenario.health, "the health check")
        .await
        .unwrap();
    tells_its_story(&place, &incident).await;
    place.ends().await;
    drop(world);
}

/// Every transition, message, command and decision is read back from Postgres alone and gives the same report.
async fn tells_its_story(place: &Place, name: &str) {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL is set: `eval \"$(tests/cluster/env.sh)\"`");
    let sink = store::open(Some(&url), None, std::path::Path::new(""))
        .await
        .unwrap()
        .unwrap();
    let incident = place
        .until(name, 60, "its record stored", |s| s.outbox.is_empty())
        .await;
    let uid = incident.uid().unwrap();
    let sequence = incident.status.as_ref().unwrap().sequence;
    let story = eventually(30, || async {
        let story = sink.load_story(&uid).await.unwrap();
        let whole = story.transitions.len() == usize::try_from(sequence).unwrap() && story.audit.is_some();
        whole.then_some(story)
    })
    .await
    .expect("the story is stored");
    chain::verify_chain(&uid, &story.transitions).unwrap();
    let sequences: Vec<i64> = story.transitions.iter().map(|t| t.sequence).collect();
    assert_eq!(sequences, (1..=sequence).collect::<Vec<_>>(), "without gap or repeat");
    assert!(!story.messages.is_empty());
    for evidence in &story.evidence {
        let command = story.commands.iter().find(|c| c.id == evidence.id).unwrap();
        assert_eq!(command.output_sha256.as_ref(), Some(&evidence.sha256));
        assert_eq!(command.argv, evidence.argv);
    }
    let looked = |stage: Stage| story.evidence.iter().any(|e| Stage::of_id(&e.id) == stage);
    assert!(looked(Stage::Investigation));
    let executed = incident.status.as_ref().unwrap().execution.is_some();
    assert_eq!(
        looked(Stage::Verification),
        executed,
        "what was read to verify is recorded"
    );
    if executed {
        let approval = story.approvals.last().unwrap();
        assert_eq!(approval.decision, Decision::Approved);
        assert!(approval.approver.is_some());
    }
    let told = report::from_story(&story).unwrap();
    let approval = match &incident.status.as_ref().unwrap().approval_ref {
        Some(reference) => Some(ApprovalRow::of(
            &place.cluster.approvals().get(&reference.name).await.unwrap(),
        )),
        None => None,
    };
    let shown = report::document(&incident, &StoryView::with_approval(&incident, approval));
    assert_eq!(
        serde_json::to_value(&told).unwrap(),
        serde_json::to_value(&shown).unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn crashloop() {
    plays_out("crashloop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_leak() {
    plays_out("memory_leak").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cpu_spike() {
    plays_out("cpu_spike").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cascading_failure() {
    plays_out("cascading_failure").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn healthy_noise() {
    plays_out("healthy_noise").await;
}
