//! The story of an incident, read back from Postgres alone: it is whole, and it is the report.

use firewatch::store;
use firewatch_core::api::Decision;
use firewatch_core::api::status::ExecutionState;
use firewatch_core::incident::chain;
use firewatch_core::report::{self, ApprovalRow, Story, StoryView};
use firewatch_core::sandbox::evidence::Stage;
use kube::ResourceExt;

use crate::world::{Place, eventually};

/// Every transition, message, command and decision is read back from Postgres alone and gives the same report.
pub async fn told(place: &Place, name: &str) -> Story {
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
    let approval = match &incident.status.as_ref().unwrap().approval_ref {
        Some(reference) => Some(ApprovalRow::of(
            &place.cluster.approvals().get(&reference.name).await.unwrap(),
        )),
        None => None,
    };
    let story = eventually(30, || async {
        let story = sink.load_story(&uid).await.unwrap();
        let whole = story.transitions.len() == usize::try_from(sequence).unwrap()
            && story.audit.as_ref().is_some_and(|row| row.sequence == sequence)
            && story.approvals.last() == approval.as_ref();
        whole.then_some(story)
    })
    .await
    .expect("the story is stored, with its approval as it ended");
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
    let execution = incident.status.as_ref().unwrap().execution.as_ref();
    let carried_out = execution.is_some_and(|e| e.state == ExecutionState::Succeeded);
    assert_eq!(
        looked(Stage::Verification),
        carried_out,
        "what was read to verify is recorded"
    );
    if execution.is_some() {
        let approval = story.approvals.last().unwrap();
        assert_eq!(approval.decision, Decision::Approved);
        assert!(approval.approver.is_some());
    }
    let told = report::from_story(&story).unwrap();
    let shown = report::document(&incident, &StoryView::with_approval(&incident, approval));
    assert_eq!(
        serde_json::to_value(&told).unwrap(),
        serde_json::to_value(&shown).unwrap()
    );
    story
}
