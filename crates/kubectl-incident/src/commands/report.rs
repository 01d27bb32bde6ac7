//! `kubectl incident report`: the whole story of an incident.

use k8s_openapi::jiff::Timestamp;

use super::{approval_of, columns, print, serialised};
use crate::cli::{ReportArgs, ReportOutput};
use crate::cluster::Cluster;
use crate::error::Result;
use crate::exit;
use crate::render::show::{View, screen};
use crate::render::style::Palette;

/// Prints the report.
pub async fn run(cluster: &Cluster, args: &ReportArgs) -> Result<u8> {
    let incident = cluster.incident(&args.name).await?;
    let approval = approval_of(cluster, &incident).await.unwrap_or_default();
    match args.output {
        ReportOutput::Json => print(&serialised(&incident.status, false)?)?,
        ReportOutput::Markdown => {
            let view = View {
                incident: &incident,
                approval: approval.as_ref(),
                now: Timestamp::now(),
                columns: columns(),
                palette: Palette::plain(),
            };
            print(&screen(view, true))?;
        }
    }
    Ok(exit::OK)
}
