//! `kubectl incident doctor`: is the installation healthy, and if not, what to do.

use k8s_openapi::jiff::Timestamp;

use super::{columns, print, serialised};
use crate::cli::DoctorArgs;
use crate::cluster::Cluster;
use crate::doctor::{Level, gather, judge};
use crate::error::Result;
use crate::exit;
use crate::render::doctor::screen;
use crate::render::style::Palette;

/// Looks and judges.
pub async fn run(cluster: &Cluster, args: &DoctorArgs) -> Result<u8> {
    let facts = gather::gather(&cluster.client, args.operator_namespace.as_deref(), Timestamp::now()).await?;
    let judgements = judge::judge(&facts);
    print(&if args.output.is_some() {
        serialised(&judgements, false)?
    } else {
        screen(&judgements, columns(), Palette::for_stdout())
    })?;
    Ok(match judgements.iter().map(|one| one.level).max() {
        Some(Level::Fault) => exit::UNHEALTHY,
        Some(Level::NotRead) => exit::NOT_ALL_READ,
        _ => exit::OK,
    })
}
