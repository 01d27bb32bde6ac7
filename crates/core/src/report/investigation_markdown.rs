//! An investigation as Markdown, for an incident channel or a ticket. Text of the cluster is escaped: it must never become markup.
//! Called by the plugin.

use std::fmt::Write as _;

use super::investigation::InvestigationDocument;
use super::markdown::{cell, code, fenced, line, shell_line};
use crate::diagnosis::Verdict;

/// The document, for people.
pub fn markdown(document: &InvestigationDocument) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_markdown(&mut out, document);
    out
}

fn write_markdown(out: &mut String, document: &InvestigationDocument) -> std::fmt::Result {
    let about = document.target.as_ref().map_or_else(
        || format!("namespace {}", document.namespace),
        |target| format!("{target} in {}", document.namespace),
    );
    let verdict = match document.verdict {
        Verdict::Found => "cause found",
        Verdict::Healthy => "healthy",
        Verdict::Unexplained => "not explained",
    };
    writeln!(out, "## {}: {verdict}\n", line(&about))?;
    writeln!(out, "**{}**\n", line(&document.statement))?;
    if let Some(cause) = &document.cause {
        writeln!(
            out,
            "{} at {}, confidence {} ({})\n",
            cause.category,
            code(&cause.object.to_string()),
            cause.confidence,
            cause.evidence.join(", ")
        )?;
        if !cause.chain.is_empty() {
            writeln!(out, "### Why\n")?;
            for (number, step) in cause.chain.iter().enumerate() {
                writeln!(out, "{}. {}", number.saturating_add(1), line(step))?;
            }
            writeln!(out)?;
        }
    }
    if !document.workloads.is_empty() {
        writeln!(
            out,
            "### In trouble\n\n| workload | ready | restarts | says |\n|---|---|---|---|"
        )?;
        for standing in document.workloads.iter().take(10) {
            writeln!(
                out,
                "| {} | {}/{} | {} | {} |",
                cell(&line(&standing.workload.to_string())),
                standing.ready,
                standing.desired,
                standing.restarts,
                cell(&line(&standing.says))
            )?;
        }
        writeln!(out)?;
    }
    if document.plan.actions.is_empty() {
        if let (Some(reason), true) = (&document.plan.manual_reason, document.cause.is_some()) {
            writeln!(out, "### What to do\n\n{}\n", line(reason))?;
        }
    } else {
        writeln!(out, "### What to do (risk {})\n", document.plan.risk)?;
        for action in &document.plan.actions {
            writeln!(out, "{}. {}\n", action.id.trim_start_matches('A'), line(&action.impact))?;
            writeln!(out, "{}", fenced(&shell_line(&action.command)))?;
            if action.rollback.is_empty() {
                writeln!(out, "No way back.\n")?;
            } else {
                writeln!(out, "Undo:\n\n{}", fenced(&shell_line(&action.rollback)))?;
            }
        }
    }
    list(
        out,
        "Also wrong, and independent",
        document.also.iter().map(|also| also.summary.as_str()),
    )?;
    list(
        out,
        "Other explanations",
        document
            .cause
            .iter()
            .flat_map(|cause| cause.alternatives.iter().map(String::as_str)),
    )?;
    list(out, "Next", document.next_steps.iter().map(String::as_str))?;
    let gaps: Vec<String> = document
        .not_read
        .iter()
        .map(|gap| format!("{} ({}): {}", gap.question, gap.state, gap.message))
        .collect();
    list(out, "Could not be read", gaps.iter().map(String::as_str))?;
    if document.verdict != Verdict::Found {
        list(out, "Looked at", document.checked.iter().map(String::as_str))?;
    }
    writeln!(
        out,
        "<details><summary>Evidence</summary>
"
    )?;
    for one in &document.evidence {
        writeln!(out, "- {} {}", one.id, code(&one.command))?;
    }
    writeln!(
        out,
        "
</details>"
    )
}

fn list<'a>(out: &mut String, title: &str, lines: impl Iterator<Item = &'a str>) -> std::fmt::Result {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    writeln!(out, "### {title}\n")?;
    for text in lines {
        writeln!(out, "- {}", line(text))?;
    }
    writeln!(out)
}
