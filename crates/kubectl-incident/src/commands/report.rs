//! `kubectl incident report`: the one document per investigation, the same from here, the operator and the database.

use firewatch_core::api::Incident;
use firewatch_core::report::timeline::timeline;
use firewatch_core::report::{ApprovalRow, ResponseDocument, StoryView, document, markdown};
use k8s_openapi::jiff::Timestamp;

use super::{approval_of, print, serialised};
use crate::cli::{ReportArgs, ReportOutput};
use crate::cluster::Cluster;
use crate::error::Result;
use crate::exit;
use crate::html;

/// Prints the report.
pub async fn run(cluster: &Cluster, args: &ReportArgs) -> Result<u8> {
    let incident = cluster.incident(&args.name).await?;
    let document = of(cluster, &incident).await;
    match args.output {
        ReportOutput::Json => print(&serialised(&document, false)?)?,
        ReportOutput::Markdown => print(&markdown(&document))?,
        ReportOutput::Html => {
            let now = Timestamp::now();
            let approval = approval_of(cluster, &incident).await.unwrap_or_default();
            let timeline = timeline(&incident, approval.as_ref(), now);
            print(&html::report(&document, timeline.as_ref(), now)?)?;
        }
    }
    Ok(exit::OK)
}

/// The document of an incident as it stands. Who may not read approvals gets it without the decision's details.
pub(crate) async fn of(cluster: &Cluster, incident: &Incident) -> ResponseDocument {
    let approval = approval_of(cluster, incident).await.unwrap_or_default();
    let view = StoryView::with_approval(incident, approval.as_ref().map(ApprovalRow::of));
    document(incident, &view)
}
