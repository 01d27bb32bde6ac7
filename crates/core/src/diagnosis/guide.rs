//! `docs/diagnosis.md`, made from the analyzers' own documentation, so that it lists every cause there is and none that there is not.
//! Pure. Called by the example `diagnosis_guide`, which writes the file, and by the test that compares it.

use std::fmt::Write as _;

use super::analyzers::{ALL, Analyzer};
use crate::api::Role;

const HEAD: &str = "\
<!-- Generated from crates/core/src/diagnosis by `make docs`. Do not edit. -->
# Every cause that Firewatch knows

Firewatch names a cause only where evidence shows it, and says `Unexplained` where none does. No model takes part in what stands here.

## How a cause is found

1. Evidence is read in rounds, each asking for what the last one made interesting: the namespace, its events, the nodes; then the logs of
   what is in trouble, the present and the previous run; then the logs of what those name as failing.
   Where a Prometheus is configured (`docs/prometheus.md`) the last hour of the target's pods is read from it, too.
2. Each analyzer below looks at all of it and makes claims about single objects. A claim cites its evidence and is a symptom (not ready), a
   mechanism (a call refused) or a fault (a selector that fits nothing).
3. The object graph (owns, selects, mounts, calls, scales) carries the claims. The cause is the fault that the chain of claims leads to
   and that nothing else explains; the order of time and of changes decides between equals. Causes that do not explain each other are
   reported side by side.

## How sure it is

Confidence is computed, never taken from text:

- It starts at 0.75 where Kubernetes itself states the fault (a status, an event), at 0.65 where a program's log does, at 0.60 where it
  follows from objects put side by side.
- Each further independent kind of evidence that agrees adds 0.10, at most 0.30; the sum is at most 0.97.
- Questions that stayed open (not asked, forbidden, failed) take 0.20 for the first and 0.05 for each other, at most 0.40. With all
  answered, each competing explanation takes 0.08, at most 0.16.
- Each step of the chain that only a dependency shows, and no claim, takes 0.10.

So less evidence never makes a claim more certain, and a claim without what it cites is not made: tests show both over every recording.

Secrets are never read. Text of the cluster (logs, events, annotations) is data; nothing of it is obeyed.
";

/// The whole document.
pub fn markdown() -> String {
    let mut out = HEAD.to_owned();
    // Writing to a string cannot fail.
    let _ = write_domains(&mut out);
    out
}

fn write_domains(out: &mut String) -> std::fmt::Result {
    let count: usize = ALL.iter().map(|analyzer| analyzer.causes.len()).sum();
    writeln!(out, "\n## The {count} causes and symptoms, by domain")?;
    for (role, title) in [
        (
            Role::SreInvestigator,
            "What the SRE Investigator reads from the cluster",
        ),
        (
            Role::CodeAnalyst,
            "What the Code Analyst reads from logs, traces and changes",
        ),
    ] {
        writeln!(out, "\n### {title}")?;
        for analyzer in ALL.iter().filter(|analyzer| analyzer.role == role) {
            write_analyzer(out, analyzer)?;
        }
    }
    Ok(())
}

fn write_analyzer(out: &mut String, analyzer: &Analyzer) -> std::fmt::Result {
    writeln!(
        out,
        "\n#### {}\n\nExplains {}.\n",
        cell(analyzer.name),
        cell(analyzer.explains)
    )?;
    writeln!(
        out,
        "| claim | what it explains | what shows it | what looks alike and is not |\n|---|---|---|---|"
    )?;
    for cause in analyzer.causes {
        writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            cause.category,
            cell(cause.explains),
            cell(cause.evidence),
            cell(cause.look_alikes)
        )?;
    }
    Ok(())
}

/// Inside a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}
