//! `kubectl incident explain`: why this cause and not another, from what the incident keeps.

use firewatch_core::report::explain::explain;

use super::{columns, print, serialised};
use crate::cli::ExplainArgs;
use crate::cluster::Cluster;
use crate::error::Result;
use crate::exit;
use crate::render::explain::screen;
use crate::render::style::Palette;

/// Explains.
pub async fn run(cluster: &Cluster, args: &ExplainArgs) -> Result<u8> {
    let incident = cluster.incident(&args.name).await?;
    let told = explain(&super::report::of(cluster, &incident).await);
    print(&if args.output.is_some() {
        serialised(&told, false)?
    } else {
        screen(&told, columns(), Palette::for_stdout())
    })?;
    Ok(exit::OK)
}
