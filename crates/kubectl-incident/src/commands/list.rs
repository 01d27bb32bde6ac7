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
    if args.active {
        list.items.retain(|incident| {
            incident
                .status
                .as_ref()
                .is_none_or(|status| status.phase != Phase::Completed)
        });
    }
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
            print(&table(&list.items, layout, Timestamp::now()))?;
        }
    }
    Ok(exit::OK)
}
