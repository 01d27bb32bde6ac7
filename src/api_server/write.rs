//! From a report to an Incident in the API server, or to the one that is there already. The incident is made by the operator, for a caller
//! who was found to have the right to make it, and in their name. Of the same report, made again while its incident is not over, only the
//! count grows. Called by `create`.

use std::collections::BTreeMap;
use std::time::Duration;

use firewatch_core::api::{Incident, IncidentSpec, Phase};
use firewatch_core::intake::report::{KEY_LABEL, NOTE_ANNOTATION, PREVIOUS_ANNOTATION, number};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};

use super::models::Opened;
use super::problem::{Kind, Problem};

/// How often it starts again because somebody else wrote first.
const ATTEMPTS: u32 = 8;

/// What is to be there.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Reports of the same have it in common: 40 hex digits.
    pub key: String,
    /// Namespace.
    pub namespace: String,
    /// What it says.
    pub spec: IncidentSpec,
    /// What could not be made of the report, and the remedy.
    pub note: Option<String>,
}

enum Failure {
    /// Somebody else was first: look again.
    Again,
    Told(Problem),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.is_conflict() || status.is_already_exists() => Self::Again,
            kube::Error::Api(status) if status.is_not_found() => Self::Told(Problem::new(
                Kind::NotFound,
                "the namespace does not exist, or is being deleted",
            )),
            kube::Error::Api(status) if status.is_forbidden() || status.is_invalid() => Self::Told(Problem::new(
                Kind::Forbidden,
                format!("the cluster refused it: {}", status.message),
            )),
            _ => Self::Told(Problem::unavailable(&error)),
        }
    }
}

/// Makes it, or finds it.
pub async fn open(client: &Client, wanted: &Wanted) -> Result<(Opened, Incident), Problem> {
    for attempt in 0..ATTEMPTS {
        match try_open(client, wanted).await {
            Ok(opened) => return Ok(opened),
            Err(Failure::Told(problem)) => return Err(problem),
            Err(Failure::Again) => tokio::time::sleep(Duration::from_millis(20 << attempt.min(6))).await,
        }
    }
    Err(Problem::new(
        Kind::Overloaded,
        "others write the same incident at the same time; try again",
    ))
}

async fn try_open(client: &Client, wanted: &Wanted) -> Result<(Opened, Incident), Failure> {
    let api: Api<Incident> = Api::namespaced(client.clone(), &wanted.namespace);
    let known = api
        .list(&ListParams::default().labels(&format!("{KEY_LABEL}={}", wanted.key)))
        .await?;
    let latest = known
        .items
        .into_iter()
        .filter_map(|incident| Some((number(&incident.name_any())?, incident)))
        .max_by_key(|(number, _)| *number);
    if let Some((_, incident)) = &latest
        && !is_over(incident)
    {
        count(&api, incident).await?;
        return Ok((opened(incident, false, wanted), incident.clone()));
    }
    let next = latest.as_ref().map_or(1, |(number, _)| number.saturating_add(1));
    let previous = latest.map(|(_, incident)| incident.name_any());
    let made = api
        .create(&PostParams::default(), &incident(wanted, next, previous))
        .await?;
    tracing::info!(incident = %format!("{}/{}", wanted.namespace, made.name_any()), by = wanted.spec.requested_by.as_deref(), "the HTTP API made an incident");
    Ok((opened(&made, true, wanted), made))
}

fn is_over(incident: &Incident) -> bool {
    let completed = incident
        .status
        .as_ref()
        .is_some_and(|status| status.phase == Phase::Completed);
    completed || incident.metadata.deletion_timestamp.is_some()
}

/// Once more, under the resourceVersion that was read. Before the loop has taken it up there is nothing to count in.
async fn count(api: &Api<Incident>, incident: &Incident) -> Result<(), Failure> {
    let Some(status) = incident.status.as_ref().filter(|status| status.occurrences > 0) else {
        return Ok(());
    };
    let patch = serde_json::json!({
        "metadata": { "resourceVersion": incident.resource_version() },
        "status": { "occurrences": status.occurrences.saturating_add(1) },
    });
    api.patch_status(&incident.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    Ok(())
}

fn opened(incident: &Incident, created: bool, wanted: &Wanted) -> Opened {
    Opened {
        namespace: wanted.namespace.clone(),
        name: incident.name_any(),
        uid: incident.uid().unwrap_or_default(),
        created,
        note: wanted.note.clone(),
        auto_approve: None,
    }
}

fn incident(wanted: &Wanted, number: u64, previous: Option<String>) -> Incident {
    let annotations: BTreeMap<String, String> =
        [(PREVIOUS_ANNOTATION, previous), (NOTE_ANNOTATION, wanted.note.clone())]
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect();
    let short = wanted.key.get(..16).unwrap_or(&wanted.key);
    let made = Incident::new(&format!("api-{short}-{number}"), wanted.spec.clone());
    Incident {
        metadata: ObjectMeta {
            namespace: Some(wanted.namespace.clone()),
            labels: Some(BTreeMap::from([(KEY_LABEL.to_owned(), wanted.key.clone())])),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..made.metadata
        },
        ..made
    }
}
