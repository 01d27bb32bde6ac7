//! `kubectl incident show`.

use k8s_openapi::jiff::Timestamp;

use super::{approval_of, columns, print, serialised};
use crate::cli::{ObjectOutput, ShowArgs};
use crate::cluster::Cluster;
use crate::error::Result;
use crate::exit;
use crate::render::show::{View, screen};
use crate::render::style::Palette;

/// Shows one incident.
pub async fn run(cluster: &Cluster, args: &ShowArgs) -> Result<u8> {
    let incident = cluster.incident(&args.name).await?;
    if let Some(output) = args.output {
        print(&serialised(&incident, output == ObjectOutput::Yaml)?)?;
        return Ok(exit::OK);
    }
    // Someone who may read incidents but not approvals still gets the screen.
    let approval = approval_of(cluster, &incident).await.unwrap_or_default();
    let view = View {
        incident: &incident,
        approval: approval.as_ref(),
        now: Timestamp::now(),
        columns: columns(),
        palette: Palette::for_stdout(),
    };
    print(&screen(view, args.full))?;
    Ok(exit::OK)
}
