//! The case file of an incident, put together from the evidence that is kept. Called by `perform`.

use firewatch_core::api::{Incident, IncidentStatus};
use firewatch_core::diagnosis::case_file::CaseFile;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::context::Context;
use super::payload;
use super::reconcile::Error;

/// The namespace that an incident is about.
pub fn namespace_of(incident: &Incident) -> String {
    let own = incident.namespace().unwrap_or_default();
    incident
        .spec
        .target
        .as_ref()
        .and_then(|t| t.namespace.clone())
        .unwrap_or(own)
}

/// An empty case file about the incident's target.
pub fn empty(incident: &Incident) -> CaseFile {
    CaseFile::new(&namespace_of(incident), payload::target_of(incident), Timestamp::now())
}

/// Everything that was collected for the diagnosis.
pub async fn load(ctx: &Context, incident: &Incident) -> Result<CaseFile, Error> {
    let status = incident.status.clone().unwrap_or_default();
    let mut case = empty(incident);
    for name in config_maps(&status) {
        // What is over and stored is gone from the cluster; nothing reads it again.
        if let Some(record) = payload::find(ctx, &name).await? {
            for evidence in &record.evidence {
                case.add(evidence);
            }
        }
    }
    Ok(case)
}

fn config_maps(status: &IncidentStatus) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in status.evidence.iter().filter_map(|e| e.config_map.clone()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
