//! One investigation with everything that is recorded of it, hostile text included.

use firewatch::store::{AuditSink, StoreError};
use firewatch_core::agents::{AgentMessage, MessageKind};
use firewatch_core::api::approval::RemediationApproval;
use firewatch_core::api::status::{EvidenceRef, OutboxEntry, Phase};
use firewatch_core::api::{Incident, Role};
use firewatch_core::incident::{Reason, Transition, names, transition};
use firewatch_core::report::build::shortened;
use firewatch_core::report::{ApprovalRow, AuditRow, CommandRow, IncidentMeta, MessageRow};
use firewatch_core::sandbox::command::Lane;
use firewatch_core::sandbox::evidence::Evidence;
use k8s_openapi::jiff::Timestamp;

/// Everything that is recorded of one investigation.
#[derive(Clone)]
pub struct Sample {
    pub incident: Incident,
    pub approval: RemediationApproval,
    pub evidence: Vec<Evidence>,
    pub messages: Vec<MessageRow>,
    pub payloads: Vec<(String, serde_json::Value)>,
}

impl Sample {
    /// An investigation that ended well, of an incident of its own.
    pub fn new() -> Self {
        let mut incident: Incident = serde_json::from_str(include_str!("../data/report/incident.json")).unwrap();
        let mut approval: RemediationApproval =
            serde_json::from_str(include_str!("../data/report/approval.json")).unwrap();
        let mut evidence: Vec<Evidence> = serde_json::from_str(include_str!("../data/report/evidence.json")).unwrap();
        let uid = uuid::Uuid::new_v4().to_string();
        incident.metadata.uid = Some(uid.clone());
        approval.metadata.uid = Some(uuid::Uuid::new_v4().to_string());
        for item in &mut evidence {
            item.sha256 = names::sha256(item.output.as_bytes());
        }
        let status = incident.status.as_mut().unwrap();
        status.approval_ref.as_mut().unwrap().uid = approval.metadata.uid.clone().unwrap();
        status.evidence = evidence
            .iter()
            .map(|e| EvidenceRef {
                id: e.id.clone(),
                agent: e.agent,
                command: shortened(&e.argv),
                state: e.state.to_string(),
                sha256: e.sha256.clone(),
                config_map: Some("fw-1".into()),
            })
            .collect();
        let ended = (
            status.outcome,
            status.message.clone(),
            status.completed_at.clone(),
            status.phase_started_at.clone(),
        );
        let payload = (
            "sha256:aa".to_owned(),
            serde_json::json!({ "data": { "said": "a NUL: \0" } }),
        );
        for (second, phase) in [
            (0, Phase::Triaging),
            (5, Phase::Investigating),
            (9, Phase::Diagnosing),
            (12, Phase::Completed),
        ] {
            let what = Transition {
                to: phase,
                outcome: None,
                reason: Reason::Accepted,
                actor: "operator".into(),
                message: "the log said \0".into(),
                payload: Some(transition::Payload {
                    digest: payload.0.clone(),
                    config_map: "fw-1".into(),
                }),
            };
            transition::apply(
                status,
                &uid,
                &what,
                Timestamp::from_second(1_772_334_000 + second).unwrap(),
            );
        }
        (
            status.outcome,
            status.message,
            status.completed_at,
            status.phase_started_at,
        ) = ended;
        let said = |role, to, kind, text: &str| AgentMessage {
            role,
            to,
            kind,
            text: text.into(),
        };
        let messages = MessageRow::of_transition(
            1,
            Timestamp::from_second(1_772_334_000).unwrap(),
            &[
                said(
                    Role::Commander,
                    Role::SreInvestigator,
                    MessageKind::Assignment,
                    "look and report",
                ),
                said(
                    Role::SreInvestigator,
                    Role::Commander,
                    MessageKind::Report,
                    "a key is missing\0'; DROP TABLE transitions; --",
                ),
                said(
                    Role::CodeAnalyst,
                    Role::Commander,
                    MessageKind::Report,
                    "it exits at start",
                ),
                said(Role::RemediationPlanner, Role::Commander, MessageKind::Report, "plan 1"),
            ],
        );
        Self {
            incident,
            approval,
            evidence,
            messages,
            payloads: vec![payload],
        }
    }

    pub fn uid(&self) -> &str {
        self.incident.metadata.uid.as_deref().unwrap()
    }

    pub fn meta(&self) -> IncidentMeta {
        IncidentMeta::of(&self.incident)
    }

    pub fn entries(&self) -> &[OutboxEntry] {
        &self.incident.status.as_ref().unwrap().outbox
    }

    pub fn approval_row(&self) -> ApprovalRow {
        ApprovalRow::of(&self.approval)
    }

    pub fn commands(&self) -> Vec<CommandRow> {
        let execution = self.incident.status.as_ref().unwrap().execution.as_ref().unwrap();
        let mut all: Vec<CommandRow> = self.evidence.iter().map(CommandRow::of_evidence).collect();
        all.extend(CommandRow::of_execution(execution, Lane::Remediate));
        all
    }

    /// Stores all of it, in the relay's order; returns the highest stored sequence.
    pub async fn store(&self, sink: &dyn AuditSink) -> Result<i64, StoreError> {
        sink.store_evidence(self.uid(), &self.evidence).await?;
        sink.store_messages(self.uid(), &self.messages).await?;
        sink.store_commands(self.uid(), &self.commands()).await?;
        let highest = sink
            .store_transitions(&self.meta(), self.entries(), &self.payloads)
            .await?;
        sink.store_approval(self.uid(), &self.approval_row()).await?;
        sink.upsert_audit_log(&AuditRow::of(&self.incident)).await?;
        Ok(highest)
    }
}
