//! The post-mortem: the full response in words, for people who were not there. Names and sentences that came from the cluster are
//! data: they stand in code spans or fences that they cannot leave. Pure. Called by `kubectl incident report` and the operator.

use std::fmt::Write;

use k8s_openapi::jiff::Timestamp;

use super::document::{ExecutedCommand, FindingSection, PlanSection, ResponseDocument, VerificationSection};
use super::summary;
use crate::api::Decision;
use crate::sandbox::evidence::Stage;

/// The document as Markdown.
pub fn markdown(document: &ResponseDocument) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = write_all(&mut out, document);
    out
}

fn write_all(out: &mut String, d: &ResponseDocument) -> std::fmt::Result {
    writeln!(out, "# {}\n", line(&d.alert.title))?;
    writeln!(out, "{}\n", summary(d))?;
    facts(out, d)?;
    what_happened(out, d)?;
    evidence_for(out, d)?;
    if let Some(plan) = &d.workflow.remediation_plan {
        repair(out, plan)?;
    }
    decision(out, d)?;
    done(out, d)?;
    afterwards(out, d)?;
    record(out, d)
}

/// One paragraph: what was wrong, what was done, how it stands.
fn summary(d: &ResponseDocument) -> String {
    format!("{} {}", line(&summary::cause(d)), summary::ending(d))
}

fn facts(out: &mut String, d: &ResponseDocument) -> std::fmt::Result {
    let what = d
        .alert
        .target
        .as_ref()
        .map_or_else(|| "the whole namespace".to_owned(), |t| code(&t.to_string()));
    writeln!(out, "| | |\n|---|---|")?;
    writeln!(
        out,
        "| About | {} in namespace {} |",
        cell(&what),
        cell(&code(&d.alert.namespace))
    )?;
    if let Some(name) = &d.alert.name {
        writeln!(out, "| Alert | {} |", cell(&code(name)))?;
    }
    if let Some(decision) = &d.workflow.commander_decision {
        let impact = summary::impact(decision.impact);
        writeln!(out, "| Severity | {} ({impact}) |", decision.severity)?;
    }
    if let Some(at) = d.alert.created_at {
        writeln!(
            out,
            "| Reported | {}{} |",
            when(at),
            d.alert
                .requested_by
                .as_ref()
                .map(|by| cell(&format!(" by {}", code(by))))
                .unwrap_or_default()
        )?;
    }
    if let Some(ms) = d.metrics.duration_ms {
        writeln!(out, "| Took | {} |", duration(ms))?;
    }
    if d.metrics.model_calls > 0 {
        writeln!(
            out,
            "| Cost | {} USD, {} tokens |",
            d.metrics.cost_usd, d.metrics.total_tokens
        )?;
    }
    writeln!(out, "| Resolved | {} |", if d.outcome.resolved { "yes" } else { "no" })?;
    writeln!(out)
}

fn what_happened(out: &mut String, d: &ResponseDocument) -> std::fmt::Result {
    if let Some(text) = &d.alert.description {
        writeln!(out, "What was reported, in the reporter's words:\n\n{}", fenced(text))?;
    }
    let Some(cause) = &d.workflow.root_cause else {
        return Ok(());
    };
    writeln!(out, "## What happened\n")?;
    writeln!(
        out,
        "{} ({}; confidence {}).\n",
        line(cause.summary.trim_end_matches('.')),
        code(&cause.object.to_string()),
        line(&cause.confidence)
    )?;
    if !cause.chain.is_empty() {
        writeln!(out, "From what was seen to the cause:\n")?;
        for (number, step) in (1u8..).zip(&cause.chain) {
            writeln!(out, "{number}. {}", line(step))?;
        }
        writeln!(out)?;
    }
    if !cause.alternatives.is_empty() {
        writeln!(out, "Other explanations that were weighed:\n")?;
        bullets(out, &cause.alternatives)?;
    }
    Ok(())
}

fn evidence_for(out: &mut String, d: &ResponseDocument) -> std::fmt::Result {
    let found: Vec<&FindingSection> = d
        .workflow
        .sre_findings
        .iter()
        .chain(&d.workflow.code_analysis)
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    writeln!(out, "## What was found\n")?;
    for finding in found {
        let rests = if finding.evidence.is_empty() {
            String::new()
        } else {
            format!(" [{}]", line(&finding.evidence.join(", ")))
        };
        writeln!(
            out,
            "- {}: {}{rests}",
            code(&finding.object.to_string()),
            line(&finding.summary)
        )?;
    }
    writeln!(out)
}

fn repair(out: &mut String, plan: &PlanSection) -> std::fmt::Result {
    if let Some(why) = &plan.manual_reason {
        writeln!(
            out,
            "## The repair\n\nFirewatch does not carry this out itself: {}\n",
            line(why)
        )?;
    }
    if plan.immediate_actions.is_empty() {
        return Ok(());
    }
    if plan.manual_reason.is_none() {
        writeln!(out, "## The repair\n")?;
    }
    for action in &plan.immediate_actions {
        writeln!(
            out,
            "**{}** (risk: {}). {}\n",
            line(&action.action),
            action.risk,
            line(&action.impact)
        )?;
        writeln!(out, "{}", fenced(&shell_line(&action.command)))?;
        if action.rollback.is_empty() {
            writeln!(out, "It cannot be taken back.\n")?;
        } else {
            writeln!(out, "To take it back:\n\n{}", fenced(&shell_line(&action.rollback)))?;
        }
    }
    Ok(())
}

fn decision(out: &mut String, d: &ResponseDocument) -> std::fmt::Result {
    let approval = &d.workflow.approval;
    let Some(decision) = approval.decision else {
        return Ok(());
    };
    writeln!(out, "## The decision\n")?;
    let by = approval
        .approver
        .as_ref()
        .map(|by| format!(" by {}", code(by)))
        .unwrap_or_default();
    let second = approval
        .confirmed_by
        .as_ref()
        .map(|by| format!(", confirmed by {}", code(by)))
        .unwrap_or_default();
    match decision {
        Decision::Approved => writeln!(out, "Approved{by}{second}.\n")?,
        Decision::Rejected => writeln!(out, "Rejected{by}.\n")?,
        Decision::Pending => writeln!(out, "Nobody has decided.\n")?,
    }
    if decision != Decision::Pending
        && let Some(why) = &approval.reasoning
    {
        writeln!(out, "{}", fenced(why))?;
    }
    if !approval.conditions.is_empty() {
        writeln!(out, "Conditions of the review:\n")?;
        bullets(out, &approval.conditions)?;
    }
    Ok(())
}

fn done(out: &mut String, d: &ResponseDocument) -> std::fmt::Result {
    let execution = &d.workflow.execution;
    if execution.status == "NotExecuted" {
        return Ok(());
    }
    writeln!(out, "## What was done\n")?;
    let sentence = match execution.status.as_str() {
        "Succeeded" => "Every step was carried out.",
        "Failed" => "A step failed; nothing after it was carried out.",
        "Refused" => "It was refused before anything was changed.",
        "Unknown" => "It began, and nobody knows how far it came: look at each object before anything else is done.",
        _ => "It is being carried out.",
    };
    writeln!(out, "{sentence}\n")?;
    if let Some(message) = &execution.message {
        writeln!(out, "{}", fenced(message))?;
    }
    ran(out, &execution.commands)?;
    if let Some(rollback) = &execution.rollback {
        writeln!(
            out,
            "Then the change was taken back ({}):\n",
            line(&rollback.status.to_lowercase())
        )?;
        if let Some(message) = &rollback.message {
            writeln!(out, "{}", fenced(message))?;
        }
        ran(out, &rollback.commands)?;
    }
    match &execution.verification {
        Some(verification) => checks(out, verification),
        None => Ok(()),
    }
}

fn ran(out: &mut String, commands: &[ExecutedCommand]) -> std::fmt::Result {
    for command in commands {
        let code = command
            .exit_code
            .map_or_else(|| "was killed".to_owned(), |code| format!("exit code {code}"));
        let mut text = shell_line(&command.command);
        if let Some(result) = &command.result {
            text.push('\n');
            text.push_str(result);
        }
        writeln!(out, "{code}, {}:\n\n{}", duration(command.duration_ms), fenced(&text))?;
    }
    Ok(())
}

fn checks(out: &mut String, verification: &VerificationSection) -> std::fmt::Result {
    writeln!(out, "Afterwards, on fresh evidence:\n")?;
    for check in &verification.checks {
        writeln!(
            out,
            "- {}: {} ({})",
            line(&check.name),
            if check.passed { "holds" } else { "does not hold" },
            line(&check.observed)
        )?;
    }
    writeln!(out)
}

fn afterwards(out: &mut String, d: &ResponseDocument) -> std::fmt::Result {
    let fixes = d
        .workflow
        .remediation_plan
        .as_ref()
        .map(|p| p.long_term_fixes.clone())
        .unwrap_or_default();
    let steps: Vec<String> = d
        .outcome
        .next_steps
        .iter()
        .filter(|s| !fixes.contains(s))
        .cloned()
        .collect();
    if !steps.is_empty() {
        writeln!(out, "## What to do next\n")?;
        bullets(out, &steps)?;
    }
    if !fixes.is_empty() {
        writeln!(out, "## So that it does not happen again\n")?;
        bullets(out, &fixes)?;
    }
    Ok(())
}

fn record(out: &mut String, d: &ResponseDocument) -> std::fmt::Result {
    writeln!(out, "## Evidence and record\n")?;
    for evidence in &d.audit.evidence {
        let state = if evidence.state == "Complete" {
            String::new()
        } else {
            format!(" ({})", line(&evidence.state))
        };
        let stage = match evidence.stage {
            Stage::Investigation => "",
            Stage::Verification => " (verification)",
            Stage::RollbackVerification => " (verification of the rollback)",
        };
        writeln!(
            out,
            "- {}{stage}: {}{state}",
            line(&evidence.id),
            code(&evidence.command)
        )?;
    }
    if !d.audit.evidence.is_empty() {
        writeln!(out)?;
    }
    writeln!(
        out,
        "Investigation {}, {} recorded transitions.",
        code(&d.investigation_id),
        d.audit.transitions
    )
}

fn bullets(out: &mut String, items: &[String]) -> std::fmt::Result {
    for item in items {
        if item.contains('\n') {
            // A manifest, or a text of several lines.
            writeln!(out, "- see below:\n\n{}", fenced(item))?;
        } else {
            writeln!(out, "- {}", line(item))?;
        }
    }
    writeln!(out)
}

/// A sentence that holds on one line and in which nothing is Markdown or HTML. Only what would be is escaped: `SOME_KEY` and `[E1]`
/// stay as people read them.
pub(super) fn line(text: &str) -> String {
    let links = ["](", "][", "]:"].iter().any(|mark| text.contains(mark));
    let mut out = String::with_capacity(text.len());
    let mut before: Option<char> = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let in_word = before.is_some_and(char::is_alphanumeric) && rest.peek().is_some_and(|n| n.is_alphanumeric());
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c if c.is_control() => out.push(' '),
            c => {
                let special = match c {
                    '\\' | '`' | '*' | '~' | '|' => true,
                    '_' => !in_word,
                    '[' | ']' => links,
                    '#' | '+' | '-' | '=' => before.is_none(),
                    _ => false,
                };
                if special {
                    out.push('\\');
                }
                out.push(c);
            }
        }
        before = Some(c);
    }
    out
}

/// A code span that its content cannot close.
pub(super) fn code(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let ticks = "`".repeat(longest_run(&text, '`') + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    if text.is_empty() {
        "``".to_owned()
    } else {
        format!("{ticks}{pad}{text}{pad}{ticks}")
    }
}

/// A table cell's content: a bar would end the cell, even in a code span.
pub(super) fn cell(text: &str) -> String {
    text.replace("\\|", "|").replace('|', "\\|")
}

/// A block that its content cannot leave, whatever stands in it.
pub(super) fn fenced(text: &str) -> String {
    let fence = "`".repeat(longest_run(text, '`').max(2) + 1);
    let text: String = text
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    format!("{fence}\n{}\n{fence}\n", text.trim_end())
}

fn longest_run(text: &str, of: char) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// An argv as one could type it: for reading; nothing runs it.
pub(crate) fn shell_line(argv: &[String]) -> String {
    let quoted: Vec<String> = argv
        .iter()
        .map(|word| {
            let plain = !word.is_empty()
                && word
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c));
            if plain {
                word.clone()
            } else {
                format!("'{}'", word.replace('\'', "'\\''"))
            }
        })
        .collect();
    quoted.join(" ")
}

fn when(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn duration(ms: i64) -> String {
    match ms {
        ..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}
