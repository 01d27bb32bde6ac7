//! Records of steps, kept in immutable ConfigMaps of the sandbox namespace until Postgres has them: evidence, reports, messages,
//! and the state of an agent's machine.
//!
//! The name is deterministic and the first writer wins: a step that is repeated after a crash finds and uses what it had written.
//! Written by `perform`, read by `perform` and `relay`, deleted by `perform` when an incident is over and stored.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

use firewatch_core::agents::model::budget::Amount;
use firewatch_core::agents::model::{ModelAnswer, ModelRequest, Outcome};
use firewatch_core::agents::{AgentMessage, AgentReport, AgentRun};
use firewatch_core::api::ObjectName;
use firewatch_core::incident::names;
use firewatch_core::incident::transition::Payload;
use firewatch_core::sandbox::command::Command;
use firewatch_core::sandbox::evidence::Evidence;
pub use firewatch_core::sandbox::job::UID_LABEL;
use firewatch_core::sandbox::output::OutputLine;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::{Api, ResourceExt};
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::reconcile::Error;
use crate::store::{ModelCallRow, Reservation};

/// What one step learned or said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// What the agents said to each other.
    pub messages: Vec<AgentMessage>,
    /// What was collected.
    pub evidence: Vec<Evidence>,
    /// What an agent reported.
    pub report: Option<AgentReport>,
    /// The agent's machine after the step.
    pub run: Option<AgentRun>,
    /// What the agent asked for.
    pub commands: Vec<Command>,
    /// The record that keeps what was collected for this step, where that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collected: Option<Payload>,
    /// What an executor's pod printed.
    pub lines: Vec<OutputLine>,
    /// A model call, begun or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<ModelCall>,
    /// What else the step decided, as it stands in the status.
    pub data: serde_json::Value,
}

/// One paid call: written before it is made, and again with its answer before anything advances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelCall {
    /// What was reserved, under which id.
    pub reservation: Reservation,
    /// What is sent. Redacted, as everything that is kept.
    pub request: ModelRequest,
    /// Of everything that is sent.
    pub request_digest: String,
    /// When it began.
    pub started_at: Timestamp,
    /// What came back; absent in what is written ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<ModelAnswer>,
    /// What it cost.
    #[serde(default)]
    pub spent: Amount,
    /// Milliseconds.
    #[serde(default)]
    pub duration_ms: i64,
    /// The provider billed more than was asked for.
    #[serde(default)]
    pub overbilled: bool,
}

impl ModelCall {
    /// As it is stored, once it has ended.
    pub fn row(&self) -> Option<ModelCallRow> {
        let answer = self.answer.as_ref()?;
        let text = match &answer.outcome {
            Outcome::Text(text) | Outcome::Truncated(text) | Outcome::Refused(text) => Some(text),
            Outcome::Failed(_) => None,
        };
        Some(ModelCallRow {
            id: self.reservation.call_id.clone(),
            role: self.request.role.to_string(),
            model: answer.model.clone(),
            state: match &answer.outcome {
                Outcome::Failed(failure) => failure.to_string(),
                _ => "succeeded".to_owned(),
            },
            request_digest: self.request_digest.clone(),
            response_digest: text.map(|text| names::sha256(text.as_bytes())),
            prompt_tokens: answer.usage.prompt,
            completion_tokens: answer.usage.completion,
            cost: self.spent.cost,
            started_at: self.started_at.to_string(),
            duration_ms: Some(self.duration_ms),
        })
    }
}

/// A ConfigMap holds at most 1 MiB; a part stays well below.
const PART_BYTES: usize = 700 * 1024;
const KEY: &str = "record.json.gz";

fn api(ctx: &Context) -> Api<ConfigMap> {
    Api::namespaced(ctx.client.clone(), &ctx.config.sandbox_namespace)
}

fn part_name(name: &str, part: usize) -> String {
    if part == 0 {
        name.to_owned()
    } else {
        format!("{name}-{part}")
    }
}

/// Stores a record under its step's name, or finds the one that is already there; returns what is stored.
pub async fn keep(
    ctx: &Context,
    incident_uid: &str,
    step: &[&str],
    record: Record,
) -> Result<(Arc<Record>, Payload), Error> {
    if let Some(kept) = find_kept(ctx, incident_uid, step).await? {
        return Ok(kept);
    }
    let name = names::child(incident_uid, step);
    let json = serde_json::to_vec(&record)?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&json)?;
    let bytes = gzip.finish()?;
    let parts: Vec<&[u8]> = bytes.chunks(PART_BYTES).collect();
    // The first part is written last: where it is, the whole record is.
    for (index, part) in parts.iter().enumerate().rev() {
        let config_map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(part_name(&name, index)),
                labels: Some(labels(incident_uid)),
                annotations: Some(BTreeMap::from([(
                    "firewatch.dev/parts".to_owned(),
                    parts.len().to_string(),
                )])),
                ..ObjectMeta::default()
            },
            binary_data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(part.to_vec()))])),
            immutable: Some(true),
            ..ConfigMap::default()
        };
        match api(ctx).create(&PostParams::default(), &config_map).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Another writer may have been first: what is stored holds.
    let stored = find(ctx, &name).await?.unwrap_or_else(|| Arc::new(record));
    let payload = Payload {
        digest: digest(&stored)?,
        config_map: name,
    };
    Ok((stored, payload))
}

/// Name of the ConfigMap that keeps a step's record.
pub fn name(incident_uid: &str, step: &[&str]) -> String {
    names::child(incident_uid, step)
}

/// Reads the record of a step and where it is kept, if it was stored.
pub async fn find_kept(
    ctx: &Context,
    incident_uid: &str,
    step: &[&str],
) -> Result<Option<(Arc<Record>, Payload)>, Error> {
    let config_map = names::child(incident_uid, step);
    let Some(found) = find(ctx, &config_map).await? else {
        return Ok(None);
    };
    let digest = digest(&found)?;
    Ok(Some((found, Payload { digest, config_map })))
}

/// Reads the record of a step, if it was stored.
pub async fn find_step(ctx: &Context, incident_uid: &str, step: &[&str]) -> Result<Option<Arc<Record>>, Error> {
    find(ctx, &names::child(incident_uid, step)).await
}

/// Reads a record by the name of its ConfigMap.
pub async fn find(ctx: &Context, name: &str) -> Result<Option<Arc<Record>>, Error> {
    if let Some(known) = ctx.records.lock().await.get(name) {
        return Ok(Some(known.clone()));
    }
    let Some(first) = api(ctx).get_opt(name).await? else {
        return Ok(None);
    };
    let parts: usize = first
        .annotations()
        .get("firewatch.dev/parts")
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    let mut bytes = Vec::new();
    for part in 0..parts.min(64) {
        let config_map = if part == 0 {
            first.clone()
        } else {
            api(ctx).get(&part_name(name, part)).await?
        };
        if let Some(data) = config_map.binary_data.as_ref().and_then(|d| d.get(KEY)) {
            bytes.extend_from_slice(&data.0);
        }
    }
    let mut json = Vec::new();
    GzDecoder::new(bytes.as_slice())
        .take(64 * 1024 * 1024)
        .read_to_end(&mut json)?;
    let record: Arc<Record> = Arc::new(serde_json::from_slice(&json)?);
    let mut known = ctx.records.lock().await;
    if known.len() > 512 {
        known.clear();
    }
    known.insert(name.to_owned(), record.clone());
    Ok(Some(record))
}

/// Digest of a record as it is stored.
fn digest(record: &Record) -> Result<String, Error> {
    Ok(names::sha256(&serde_json::to_vec(record)?))
}

/// Labels of everything that belongs to an incident in the sandbox namespace.
pub fn labels(incident_uid: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (UID_LABEL.to_owned(), incident_uid.to_owned()),
        ("app.kubernetes.io/managed-by".to_owned(), "firewatch".to_owned()),
    ])
}

/// Deletes what an incident left in the sandbox namespace: etcd holds only what is alive.
pub async fn clean(ctx: &Context, incident_uid: &str) -> Result<(), Error> {
    let selector = ListParams::default().labels(&format!("{UID_LABEL}={incident_uid}"));
    let jobs: Api<k8s_openapi::api::batch::v1::Job> =
        Api::namespaced(ctx.client.clone(), &ctx.config.sandbox_namespace);
    for job in jobs.list(&selector).await? {
        ignore_missing(jobs.delete(&job.name_any(), &DeleteParams::background()).await)?;
    }
    for config_map in api(ctx).list(&selector).await? {
        let name = config_map.name_any();
        ignore_missing(api(ctx).delete(&name, &DeleteParams::default()).await)?;
        ctx.records.lock().await.remove(&name);
    }
    Ok(())
}

fn ignore_missing<T>(result: kube::Result<T>) -> Result<(), Error> {
    match result {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The object that an incident is about, in the form that diagnosis uses.
pub fn target_of(incident: &firewatch_core::api::Incident) -> Option<ObjectName> {
    let namespace = incident.namespace().unwrap_or_default();
    incident
        .spec
        .target
        .as_ref()
        // A namespace as the target is all of it.
        .filter(|t| t.kind != firewatch_core::intake::report::NAMESPACE_KIND)
        .map(|t| ObjectName::namespaced(&t.kind, t.namespace.clone().unwrap_or(namespace), &t.name))
}
