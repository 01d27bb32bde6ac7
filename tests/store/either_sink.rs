//! What holds for every sink, checked against one of each.

use firewatch::store::{AuditSink, StoreError, audit};
use firewatch_core::api::Decision;
use firewatch_core::incident::chain;
use firewatch_core::report::{AuditRow, StoryView, document, from_story};

use crate::sample::Sample;

fn reason<T>(result: Result<T, StoreError>) -> String {
    match result {
        Ok(_) => "stored".to_owned(),
        Err(error) => error.reason().to_owned(),
    }
}

pub async fn what_is_stored_again_is_stored_once(sink: &dyn AuditSink) {
    let sample = Sample::new();
    assert_eq!(sink.stored_sequence(sample.uid()).await.unwrap(), 0);
    assert!(sink.load_story(sample.uid()).await.unwrap().is_empty());
    assert_eq!(sample.store(sink).await.unwrap(), 4);
    let first = sink.load_story(sample.uid()).await.unwrap();
    assert_eq!(sample.store(sink).await.unwrap(), 4);
    assert_eq!(sink.load_story(sample.uid()).await.unwrap(), first);
    assert_eq!(sink.stored_sequence(sample.uid()).await.unwrap(), 4);
    assert_eq!(sink.incidents().await.unwrap(), [sample.uid()]);
}

pub async fn the_whole_story_reads_back_as_the_report(sink: &dyn AuditSink) {
    let sample = Sample::new();
    sample.store(sink).await.unwrap();
    let story = sink.load_story(sample.uid()).await.unwrap();
    assert_eq!(story.transitions, sample.entries());
    assert_eq!(story.messages.len(), 4);
    assert_eq!(
        story.commands.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(),
        ["E1", "E2", "E10", "V1.1", "remediate-1", "remediate-2"]
    );
    let view = StoryView::with_approval(&sample.incident, Some(sample.approval_row()));
    let from_cluster = serde_json::to_string_pretty(&document(&sample.incident, &view)).unwrap();
    let from_store = serde_json::to_string_pretty(&from_story(&story).unwrap()).unwrap();
    assert_eq!(from_store, from_cluster);
}

pub async fn another_row_in_a_stored_one_s_place_is_a_conflict(sink: &dyn AuditSink) {
    let sample = Sample::new();
    sample.store(sink).await.unwrap();
    let before = sink.load_story(sample.uid()).await.unwrap();

    let mut fork = sample.entries().to_vec();
    fork[1].message = "something else happened".into();
    fork[1] = chain::link(sample.uid(), &fork[0].hash, fork[1].clone());
    assert_eq!(
        reason(sink.store_transitions(&sample.meta(), &fork[1..2], &[]).await),
        "Conflict"
    );
    let mut next = fork[3].clone();
    next.sequence = 5;
    let next = chain::link(sample.uid(), "sha256:77", next);
    assert_eq!(
        reason(sink.store_transitions(&sample.meta(), &[next], &[]).await),
        "Conflict"
    );
    let payload = ("sha256:aa".to_owned(), serde_json::json!("another"));
    assert_eq!(
        reason(sink.store_transitions(&sample.meta(), &[], &[payload]).await),
        "Conflict"
    );
    let mut evidence = sample.evidence.clone();
    evidence[0].sha256 = "sha256:00".into();
    assert_eq!(reason(sink.store_evidence(sample.uid(), &evidence).await), "Conflict");
    let mut messages = sample.messages.clone();
    messages[0].text = "do not look".into();
    assert_eq!(reason(sink.store_messages(sample.uid(), &messages).await), "Conflict");
    let mut commands = sample.commands();
    commands[0].exit_code = Some(1);
    assert_eq!(reason(sink.store_commands(sample.uid(), &commands).await), "Conflict");

    assert_eq!(sink.load_story(sample.uid()).await.unwrap(), before);
}

pub async fn a_transition_is_stored_only_where_it_continues_the_chain(sink: &dyn AuditSink) {
    let sample = Sample::new();
    let (meta, entries) = (sample.meta(), sample.entries());
    assert_eq!(
        reason(sink.store_transitions(&meta, &entries[1..], &[]).await),
        "SequenceGap"
    );
    let mut altered = entries[0].clone();
    altered.message = "altered on the way".into();
    assert_eq!(
        reason(sink.store_transitions(&meta, &[altered], &[]).await),
        "InvalidRow"
    );
    assert_eq!(
        sink.stored_sequence(sample.uid()).await.unwrap(),
        0,
        "nothing of a refused batch is kept"
    );
    assert_eq!(
        sink.store_transitions(&meta, &entries[..2], &sample.payloads)
            .await
            .unwrap(),
        2
    );
    // What was sent before comes again with what is new.
    assert_eq!(
        sink.store_transitions(&meta, &entries[1..], &sample.payloads)
            .await
            .unwrap(),
        4
    );
}

pub async fn an_approval_counts_as_stored_once_it_is_decided_and_never_flips(sink: &dyn AuditSink) {
    let sample = Sample::new();
    let decided = sample.approval_row();
    let uid = decided.uid.clone();
    let mut pending = decided.clone();
    (pending.decision, pending.approver, pending.reason, pending.claim) = (Decision::Pending, None, None, None);

    assert!(!sink.approval_stored(&uid).await.unwrap(), "unknown");
    sink.store_approval(sample.uid(), &pending).await.unwrap();
    assert!(!sink.approval_stored(&uid).await.unwrap(), "pending");
    let mut unclaimed = decided.clone();
    unclaimed.claim = None;
    sink.store_approval(sample.uid(), &unclaimed).await.unwrap();
    assert!(sink.approval_stored(&uid).await.unwrap());
    sink.store_approval(sample.uid(), &decided).await.unwrap();
    // A late copy of an earlier state changes nothing.
    sink.store_approval(sample.uid(), &pending).await.unwrap();

    let mut flipped = decided.clone();
    flipped.decision = Decision::Rejected;
    assert_eq!(reason(sink.store_approval(sample.uid(), &flipped).await), "Conflict");
    let mut reclaimed = decided.clone();
    reclaimed.claim.as_mut().unwrap().nonce = "f".repeat(32);
    assert_eq!(reason(sink.store_approval(sample.uid(), &reclaimed).await), "Conflict");
    let elsewhere = Sample::new();
    assert_eq!(reason(sink.store_approval(elsewhere.uid(), &decided).await), "Conflict");
    assert_eq!(sink.load_story(sample.uid()).await.unwrap().approvals, [decided]);
}

pub async fn an_approval_that_needs_two_is_not_stored_as_decided_by_one(sink: &dyn AuditSink) {
    let sample = Sample::new();
    let mut row = sample.approval_row();
    (row.required_approvals, row.claim) = (2, None);
    sink.store_approval(sample.uid(), &row).await.unwrap();
    assert!(!sink.approval_stored(&row.uid).await.unwrap());
}

pub async fn an_older_row_does_not_replace_a_newer_one(sink: &dyn AuditSink) {
    let sample = Sample::new();
    let newer = AuditRow::of(&sample.incident);
    let mut older = newer.clone();
    (older.sequence, older.resolved) = (2, false);
    sink.upsert_audit_log(&newer).await.unwrap();
    sink.upsert_audit_log(&older).await.unwrap();
    assert_eq!(sink.load_story(sample.uid()).await.unwrap().audit, Some(newer));
}

pub async fn a_sound_record_is_found_sound(sink: &dyn AuditSink) {
    sink.ping().await.unwrap();
    Sample::new().store(sink).await.unwrap();
    Sample::new().store(sink).await.unwrap();
    let verified = audit::check(sink).await.unwrap();
    assert_eq!((verified.incidents, verified.transitions, verified.evidence), (2, 8, 8));
    assert_eq!(verified.faults, Vec::<String>::new());
}
