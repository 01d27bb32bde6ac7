//! Makes sandbox Jobs and their requests. Names are deterministic and what exists is used only when it is this step's own: a step
//! that is repeated finds what it had made. Called by `incident::perform`.

use std::collections::BTreeMap;

use firewatch_core::api::status::ApprovalRef;
use firewatch_core::api::{Incident, Role};
use firewatch_core::incident::{Reason, names};
use firewatch_core::sandbox::command::{Command, Lane};
use firewatch_core::sandbox::job::{self, JobPlan, RequestLane, Work};
use firewatch_core::sandbox::policy::Tenancy;
use firewatch_core::sandbox::request::{KEY, SandboxRequest};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, ResourceExt};

pub use firewatch_core::sandbox::job::INCIDENT_ANNOTATION;

use crate::incident::context::Context;
use crate::incident::payload::{self, UID_LABEL};
use crate::incident::reconcile::Error;

/// Namespaces that let incidents of another one read them carry this annotation, with that one's name.
pub const EVIDENCE_TO: &str = "firewatch.dev/evidence-to";

/// Why no Job was made.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The API server refused: quota, rights or admission. It is told to the user; trying again at once is no use.
    #[error("{reason}: {message}")]
    Refused {
        /// Closed reason.
        reason: Reason,
        /// The API server's words.
        message: String,
    },
    /// Anything else; the reconcile is tried again.
    #[error(transparent)]
    Other(#[from] Error),
}

impl From<kube::Error> for JobError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.is_forbidden() && status.message.contains("exceeded quota") => {
                Self::Refused {
                    reason: Reason::SandboxQuotaExceeded,
                    message: status.message,
                }
            }
            kube::Error::Api(status) if status.is_forbidden() || status.is_invalid() => Self::Refused {
                reason: Reason::SandboxForbidden,
                message: status.message,
            },
            other => Self::Other(other.into()),
        }
    }
}

impl From<serde_json::Error> for JobError {
    fn from(error: serde_json::Error) -> Self {
        Self::Other(error.into())
    }
}

/// Where this incident may look: its own namespace, those that opted in, or everywhere for incidents of the operator's namespace.
pub async fn tenancy(ctx: &Context, incident: &Incident) -> Result<Tenancy, Error> {
    let own = incident.namespace().unwrap_or_default();
    if own == ctx.config.namespace {
        return Ok(Tenancy::Cluster);
    }
    let all = Api::<Namespace>::all(ctx.client.clone())
        .list(&kube::api::ListParams::default())
        .await?;
    let opted_in = all.into_iter().filter(|n| {
        n.annotations()
            .get(EVIDENCE_TO)
            .is_some_and(|to| to.split(',').any(|t| t.trim() == own))
    });
    let opted_in: Vec<String> = opted_in.map(|n| n.name_any()).collect();
    let mut namespaces = vec![own];
    namespaces.extend(opted_in);
    Ok(Tenancy::Namespaces(namespaces))
}

fn nonce() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Makes the Job of one round of evidence, or finds it.
pub async fn ensure_evidence_job(
    ctx: &Context,
    incident: &Incident,
    role: Role,
    name: &str,
    commands: &[Command],
) -> Result<(), JobError> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    // One Job, one lane: an agent's commands of the analyze lane come in a round of their own.
    let lane = if commands.iter().all(|c| c.lane() == Lane::Analyze) {
        RequestLane::Analyze
    } else {
        RequestLane::Observe
    };
    let wire_lane = if lane == RequestLane::Analyze {
        Lane::Analyze
    } else {
        Lane::Observe
    };
    let (request, refused) = SandboxRequest::new(nonce(), role, wire_lane, tenancy(ctx, incident).await?, commands);
    for (command, refusal) in &refused {
        tracing::warn!(incident_uid = %uid, %role, ?command, reason = refusal.as_ref(), %refusal, "a command was refused by policy");
    }
    if request.commands.is_empty() {
        let message = refused.first().map_or_else(
            || "nothing was asked for".to_owned(),
            |(_, refusal)| refusal.to_string(),
        );
        return Err(JobError::Refused {
            reason: Reason::SandboxForbidden,
            message,
        });
    }
    let evidence = if lane == RequestLane::Analyze {
        mount_evidence(ctx, incident, commands).await?
    } else {
        Vec::new()
    };
    let config_map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(payload::labels(&uid)),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(KEY.to_owned(), serde_json::to_string(&request)?)])),
        immutable: Some(true),
        ..ConfigMap::default()
    };
    let api: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), &ctx.config.sandbox_namespace);
    match api.create(&PostParams::default(), &config_map).await {
        Ok(_) => {}
        // What was asked before a crash is what is asked.
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let found = api.get(name).await?;
            if found.labels().get(UID_LABEL) != Some(&uid) {
                return Err(Error::Foreign(format!("ConfigMap {name}")).into());
            }
        }
        Err(error) => return Err(error.into()),
    }
    create(
        ctx,
        incident,
        name,
        Work::Request {
            role,
            lane,
            request: name.to_owned(),
            evidence,
        },
    )
    .await
}

/// Makes the executor's Job for an approval, or finds it.
pub async fn ensure_executor_job(
    ctx: &Context,
    incident: &Incident,
    rollback: bool,
    name: &str,
    approval: &ApprovalRef,
) -> Result<(), JobError> {
    let work = Work::Approval {
        rollback,
        namespace: incident.namespace().unwrap_or_default(),
        name: approval.name.clone(),
        uid: approval.uid.clone(),
    };
    create(ctx, incident, name, work).await
}

async fn create(ctx: &Context, incident: &Incident, name: &str, work: Work) -> Result<(), JobError> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let mut wanted = job::build(&JobPlan {
        name: name.to_owned(),
        namespace: ctx.config.sandbox_namespace.clone(),
        image: ctx.config.sandbox_image.clone(),
        incident_uid: uid.clone(),
        incident: format!("{}/{}", incident.namespace().unwrap_or_default(), incident.name_any()),
        work,
    });
    if let Some(profile) = &ctx.config.sandbox_seccomp_profile {
        job::use_profile(&mut wanted, profile);
    }
    let api: Api<Job> = Api::namespaced(ctx.client.clone(), &ctx.config.sandbox_namespace);
    match api.create(&PostParams::default(), &wanted).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let found = api.get(name).await?;
            let args = |job: &Job| {
                job.spec
                    .as_ref()
                    .and_then(|s| s.template.spec.as_ref())
                    .and_then(|p| p.containers.first())
                    .and_then(|c| c.args.clone())
            };
            if found.labels().get(UID_LABEL) == Some(&uid) && args(&found) == args(&wanted) {
                Ok(())
            } else {
                Err(Error::Foreign(format!("Job {name}")).into())
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// The text of the evidence that the analyze lane works on, each in a ConfigMap that can be mounted.
async fn mount_evidence(
    ctx: &Context,
    incident: &Incident,
    commands: &[Command],
) -> Result<Vec<(String, String)>, JobError> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let mut wanted: Vec<&String> = Vec::new();
    for command in commands {
        match command {
            Command::Grep { evidence, .. } => wanted.push(evidence),
            Command::Script { evidence, .. } => wanted.extend(evidence),
            _ => {}
        }
    }
    wanted.sort();
    wanted.dedup();
    let api: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), &ctx.config.sandbox_namespace);
    let mut mounted = Vec::new();
    for reference in incident
        .status
        .iter()
        .flat_map(|s| &s.evidence)
        .filter(|e| wanted.contains(&&e.id))
    {
        let Some(kept_in) = &reference.config_map else { continue };
        let Some(record) = payload::find(ctx, kept_in).await? else {
            continue;
        };
        let Some(item) = record.evidence.iter().find(|e| e.id == reference.id) else {
            continue;
        };
        let name = names::child(&uid, &["mount", &reference.id]);
        let config_map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(payload::labels(&uid)),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([("output".to_owned(), item.output.clone())])),
            immutable: Some(true),
            ..ConfigMap::default()
        };
        match api.create(&PostParams::default(), &config_map).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(error.into()),
        }
        mounted.push((reference.id.clone(), name));
    }
    Ok(mounted)
}
