//! The table of `list`.

use firewatch_core::api::{Incident, Phase};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::style::{Palette, Tone};
use super::text::{clean, cut, since, width};

/// How the table looks.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// A column for the namespace.
    pub namespaces: bool,
    /// More columns, nothing cut.
    pub wide: bool,
    /// Columns of the terminal.
    pub columns: usize,
    /// Colours.
    pub palette: Palette,
}

/// The incidents as a table, newest last, as given.
pub fn table(incidents: &[Incident], layout: Layout, now: Timestamp) -> String {
    let mut header = vec!["NAME", "SEVERITY", "STATE", "AGE", "CAUSE"];
    if layout.namespaces {
        header.insert(0, "NAMESPACE");
    }
    if layout.wide {
        header.extend(["PHASE", "APPROVAL", "TARGET", "TITLE"]);
    }
    let rows: Vec<Vec<(String, Option<Tone>)>> = incidents.iter().map(|incident| row(incident, layout, now)).collect();

    let widths: Vec<usize> = header
        .iter()
        .enumerate()
        .map(|(column, title)| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|(text, _)| width(text))
                .max()
                .unwrap_or(0)
                .max(width(title))
        })
        .collect();
    let mut out = String::new();
    let mut line = |cells: Vec<(String, Option<Tone>)>| {
        let mut text = String::new();
        let mut used = 0;
        let last = cells.len().saturating_sub(1);
        for (column, (cell, tone)) in cells.into_iter().enumerate() {
            // The last column takes what is left of the line.
            let cell = if column == last && !layout.wide {
                cut(&cell, layout.columns.saturating_sub(used).max(12))
            } else {
                cell
            };
            let pad = widths.get(column).copied().unwrap_or(0).saturating_sub(width(&cell)) + 3;
            used += width(&cell) + pad;
            text.push_str(&tone.map_or_else(|| cell.clone(), |tone| layout.palette.paint(tone, &cell)));
            text.push_str(&" ".repeat(pad));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(header.iter().map(|title| ((*title).to_owned(), None)).collect());
    for row in rows {
        line(row);
    }
    out
}

fn row(incident: &Incident, layout: Layout, now: Timestamp) -> Vec<(String, Option<Tone>)> {
    let status = incident.status.clone().unwrap_or_default();
    let dash = || "-".to_owned();
    let severity = status
        .triage
        .as_ref()
        .map(|triage| triage.severity)
        .or(incident.spec.severity);
    // One column says where it stands: how it ended, or what it does now.
    let (state, tone) = match status.outcome {
        Some(outcome) => (outcome.to_string(), Some(super::words::outcome_tone(outcome))),
        None => (
            status.phase.to_string(),
            matches!(status.phase, Phase::AwaitingApproval | Phase::Blocked).then_some(Tone::Warn),
        ),
    };
    let cause = status
        .root_cause
        .as_ref()
        .map(|cause| format!("{}: {}", cause.object, cause.category));
    let mut cells = vec![
        (incident.name_any(), None),
        (
            severity.map_or_else(dash, |s| s.to_string()),
            severity.map(super::words::severity_tone),
        ),
        (state, tone),
        (
            incident.creation_timestamp().map_or_else(dash, |at| since(now, at.0)),
            None,
        ),
        (cause.map_or_else(dash, |text| clean(&text)), None),
    ];
    if layout.namespaces {
        cells.insert(0, (incident.namespace().unwrap_or_else(dash), None));
    }
    if layout.wide {
        let target = incident
            .spec
            .target
            .as_ref()
            .map_or_else(|| "(namespace)".to_owned(), |t| format!("{}/{}", t.kind, t.name));
        cells.push((status.phase.to_string(), None));
        cells.push((status.approval_state.map_or_else(dash, |state| state.to_string()), None));
        cells.push((clean(&target), None));
        cells.push((clean(&incident.spec.title), None));
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture;

    #[test]
    fn the_table_fits_a_terminal_and_cuts_only_the_cause() {
        let layout = Layout {
            namespaces: true,
            wide: false,
            columns: 110,
            palette: Palette::plain(),
        };
        let mut fresh = fixture::incident();
        fresh.status = None;
        fresh.metadata.name = Some("new".to_owned());
        let text = table(&[fixture::incident(), fresh], layout, fixture::now());
        assert_eq!(
            text,
            "\
NAMESPACE   NAME                SEVERITY   STATE              AGE    CAUSE
shop        checkout-restarts   critical   AwaitingApproval   110s   Deployment/checkout: MissingEnvironmentV…
shop        new                 -          Pending            110s   -
"
        );
    }
}
