//! `kubectl incident list`.

use firewatch_core::api::{Incident, Phase};
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::{columns, print, serialised};
use crate::cli::{ListArgs, ListOutput};
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::exit;
use crate::render::list::{Layout, table};
use crate::render::style::Palette;

/// Lists incidents.
pub async fn run(cluster: &Cluster, args: &ListArgs) -> Result<u8> {
    let api: Api<Incident> = if args.all_namespaces {
        Api::all(cluster.client.clone())
    } else {
        cluster.incidents()
    };
    let mut parameters = ListParams::default();
    if let Some(selector) = &args.selector {
        parameters = parameters.labels(selector);
    }
    let mut list = api
        .list(&parameters)
        .await
        .map_err(|error| Error::from_kube("list incidents", &error))?;
    let now = Timestamp::now();
    list.items.retain(|incident| is_wanted(incident, args, now));
    list.items
        .sort_by_key(|incident| (incident.creation_timestamp().map(|at| at.0), incident.name_any()));
    match args.output {
        Some(ListOutput::Json) => print(&serialised(&list, false)?)?,
        Some(ListOutput::Yaml) => print(&serialised(&list, true)?)?,
        Some(ListOutput::Name) => {
            for incident in &list.items {
                print(&format!("incident.firewatch.dev/{}\n", incident.name_any()))?;
            }
        }
        None | Some(ListOutput::Wide) if list.items.is_empty() => {
            let place = if args.all_namespaces {
                String::new()
            } else {
                format!(" in namespace {}", cluster.namespace)
            };
            eprintln!("No incidents{place}.");
        }
        None | Some(ListOutput::Wide) => {
            let layout = Layout {
                namespaces: args.all_namespaces,
                wide: args.output == Some(ListOutput::Wide),
                columns: columns(),
                palette: Palette::for_stdout(),
            };
            print(&table(&list.items, layout, now))?;
        }
    }
    Ok(exit::OK)
}

/// Whether the filters let an incident through. A selector is the API server's to apply.
fn is_wanted(incident: &Incident, args: &ListArgs, now: Timestamp) -> bool {
    let status = incident.status.as_ref();
    let phase = status.map(|status| status.phase).unwrap_or_default();
    let severity = status
        .and_then(|status| status.triage.as_ref())
        .map(|triage| triage.severity)
        .or(incident.spec.severity);
    let age = incident
        .creation_timestamp()
        .map(|made| now.duration_since(made.0).unsigned_abs());
    (!args.active || phase != Phase::Completed)
        && (args.phase.is_empty() || args.phase.contains(&phase))
        && (args.severity.is_empty() || severity.is_some_and(|severity| args.severity.contains(&severity)))
        && args.since.is_none_or(|since| age.is_some_and(|age| age <= since))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use firewatch_core::api::Severity;

    use super::*;
    use crate::render::fixture;

    fn args() -> ListArgs {
        ListArgs {
            all_namespaces: false,
            active: false,
            severity: Vec::new(),
            phase: Vec::new(),
            since: None,
            selector: None,
            output: None,
        }
    }

    #[test]
    fn filters_are_joined_by_and_and_their_values_by_or() {
        // Made 110 seconds ago, critical, waiting for approval.
        let (incident, now) = (fixture::incident(), fixture::now());
        let wanted = |change: fn(&mut ListArgs)| {
            let mut args = args();
            change(&mut args);
            is_wanted(&incident, &args, now)
        };
        assert!(wanted(|_| {}));
        assert!(wanted(|a| a.severity = vec![Severity::Low, Severity::Critical]));
        assert!(!wanted(|a| a.severity = vec![Severity::Low]));
        assert!(wanted(|a| a.phase = vec![Phase::AwaitingApproval]));
        assert!(!wanted(|a| a.phase = vec![Phase::Executing]));
        assert!(wanted(|a| a.since = Some(Duration::from_secs(110))));
        assert!(!wanted(|a| a.since = Some(Duration::from_secs(109))));
        assert!(!wanted(|a| {
            a.severity = vec![Severity::Critical];
            a.phase = vec![Phase::Completed];
        }));
        assert!(!is_wanted(
            &fixture::remediated(),
            &ListArgs { active: true, ..args() },
            now
        ));
    }

    #[test]
    fn an_incident_that_nobody_assessed_has_the_severity_that_was_asked_for() {
        let mut fresh = fixture::incident();
        fresh.status = None;
        let high = ListArgs {
            severity: vec![Severity::High],
            ..args()
        };
        assert!(!is_wanted(&fresh, &high, fixture::now()));
        fresh.spec.severity = Some(Severity::High);
        assert!(is_wanted(&fresh, &high, fixture::now()));
    }
}
