//! An investigation on one screen, made to be pasted into an incident channel: cause, why, what to do, and what is not known.
//!
//! Where it does not fit, it is shown in less detail; commands are never cut. Called by `investigate`.

use firewatch_core::diagnosis::Verdict;
use firewatch_core::diagnosis::standing::{Level, Standing};
use firewatch_core::report::InvestigationDocument;

use super::page::{LABEL, Page, height};
use super::plan::{self, Detail};
use super::style::{Palette, Tone};
use super::text::{clean, clock, cut};

/// Lines of the screen.
const LINES: usize = 40;

/// The screen.
pub fn screen(document: &InvestigationDocument, columns: usize, palette: Palette) -> String {
    for detail in [Detail::Screen, Detail::Short, Detail::Tight] {
        let page = render(document, detail, columns, palette);
        if detail == Detail::Tight || height(&page.lines, columns) <= LINES {
            return page.lines.join("\n") + "\n";
        }
    }
    String::new()
}

/// So many lines for one text, so many entries of one list.
fn limits(detail: Detail) -> (usize, usize) {
    match detail {
        Detail::Full | Detail::Screen => (usize::MAX, 6),
        Detail::Short => (2, 4),
        Detail::Tight => (1, 3),
    }
}

fn render(document: &InvestigationDocument, detail: Detail, columns: usize, palette: Palette) -> Page {
    let mut page = Page::new(columns, palette);
    let (lines, entries) = limits(detail);
    let (word, tone) = verdict(document.verdict);
    let about = document.target.as_ref().map_or_else(
        || format!("namespace {}", document.namespace),
        |target| format!("{target} in {}", document.namespace),
    );
    let head = format!(
        "{}  {}  read at {}",
        clean(&about),
        palette.paint(tone, word),
        clock(document.read_at)
    );
    page.raw("ABOUT", &head);
    page.text(
        if detail == Detail::Tight { 4 } else { usize::MAX },
        if document.cause.is_some() { "CAUSE" } else { "ANSWER" },
        &document.statement,
    );
    if let Some(cause) = &document.cause {
        let facts = format!(
            "{} at {}, confidence {}",
            cause.category, cause.object, cause.confidence
        );
        page.text(usize::MAX, "", &facts);
        // The chain ends with the cause, which stands above.
        let steps: Vec<&String> = cause
            .chain
            .iter()
            .filter(|step| !step.starts_with(&cause.summary))
            .collect();
        for (number, step) in steps.iter().take(entries).enumerate() {
            page.text(lines, if number == 0 { "WHY" } else { "" }, &format!("← {step}"));
        }
    }
    for (number, standing) in document.workloads.iter().take(entries).enumerate() {
        page.raw(
            if number == 0 { "TROUBLE" } else { "" },
            &cut(&stands(standing), columns.saturating_sub(LABEL)),
        );
    }
    if document.workloads.len() > entries {
        page.raw("", &format!("and {} more: -o json", document.workloads.len() - entries));
    }
    repair(&mut page, document, detail);
    for (number, also) in document.also.iter().take(entries).enumerate() {
        page.text(
            lines,
            if number == 0 { "ALSO" } else { "" },
            &format!("{} ({})", also.summary, also.confidence),
        );
    }
    let alternatives = document.cause.iter().flat_map(|cause| &cause.alternatives);
    for (number, text) in alternatives.take(2).enumerate() {
        page.text(lines.min(2), if number == 0 { "NOT" } else { "" }, text);
    }
    for (number, step) in next_steps(document).take(entries).enumerate() {
        page.text(lines, if number == 0 { "NEXT" } else { "" }, step);
    }
    for (number, gap) in document.not_read.iter().take(entries).enumerate() {
        let text = format!("{} ({}): {}", gap.question, gap.state, gap.message);
        page.text(lines.min(2), if number == 0 { "NOT READ" } else { "" }, &text);
    }
    if document.not_read.len() > entries {
        page.raw("", &format!("and {} more: -o json", document.not_read.len() - entries));
    }
    evidence(&mut page, document, entries);
    page
}

fn repair(page: &mut Page, document: &InvestigationDocument, detail: Detail) {
    let plan = &document.plan;
    let palette = page.palette;
    if document.cause.is_none() {
        return;
    }
    if plan.actions.is_empty() {
        if let Some(reason) = &plan.manual_reason {
            page.text(usize::MAX, "DO", reason);
        }
        return;
    }
    let risk = palette.paint(plan::risk_tone(plan.risk), &format!("risk {}", plan.risk));
    page.raw(
        "DO",
        &format!("{risk}; nothing was changed, this is for you to run or to leave:"),
    );
    for action in &plan.actions {
        page.lines.extend(plan::action(action, detail, page.columns, palette));
    }
}

/// What is not said already: the instruction of a cause without an action stands under DO.
fn next_steps(document: &InvestigationDocument) -> impl Iterator<Item = &String> {
    let said = document.plan.manual_reason.as_deref().unwrap_or_default();
    document
        .next_steps
        .iter()
        .filter(move |step| !(document.cause.is_some() && said.contains(step.as_str())))
        .filter(|step| !document.also.iter().any(|also| step.contains(&also.summary)))
}

/// What the cause cites, or all, where there is none.
fn evidence(page: &mut Page, document: &InvestigationDocument, entries: usize) {
    let columns = page.columns.saturating_sub(LABEL);
    let Some(cause) = &document.cause else {
        for (number, line) in document.checked.iter().take(entries).enumerate() {
            page.raw(if number == 0 { "CHECKED" } else { "" }, &cut(&clean(line), columns));
        }
        return;
    };
    let cited = document.evidence.iter().filter(|one| cause.evidence.contains(&one.id));
    for (number, one) in cited.take(entries).enumerate() {
        let text = clean(&format!("{} {}", one.id, one.command));
        page.raw(if number == 0 { "EVIDENCE" } else { "" }, &cut(&text, columns));
    }
}

fn verdict(verdict: Verdict) -> (&'static str, Tone) {
    match verdict {
        Verdict::Found => ("cause found", Tone::Bad),
        Verdict::Healthy => ("healthy", Tone::Good),
        Verdict::Unexplained => ("not explained", Tone::Warn),
    }
}

fn stands(standing: &Standing) -> String {
    let restarts = if standing.restarts > 0 {
        format!(", {} restarts", standing.restarts)
    } else {
        String::new()
    };
    let says = if standing.says.is_empty() {
        String::new()
    } else {
        format!(", {}", standing.says)
    };
    clean(&format!(
        "{}: {} of {} ready{restarts}{says}",
        standing.workload, standing.ready, standing.desired
    ))
}

/// Several namespaces in a table, the worst first.
pub fn table(
    items: &[InvestigationDocument],
    others: &[(String, Vec<Standing>)],
    columns: usize,
    palette: Palette,
) -> String {
    let mut lines = Vec::new();
    if items.is_empty() && others.is_empty() {
        return "no workload of any namespace is in trouble\n".to_owned();
    }
    for item in items {
        let (word, tone) = verdict(item.verdict);
        let confidence = item
            .cause
            .as_ref()
            .map(|cause| format!(", confidence {}", cause.confidence))
            .unwrap_or_default();
        lines.push(format!(
            "{}  {}{confidence}",
            palette.paint(Tone::Strong, &clean(&item.namespace)),
            palette.paint(tone, word)
        ));
        lines.push(format!("  {}", cut(&clean(&item.statement), columns.saturating_sub(2))));
        for standing in item.workloads.iter().take(3) {
            lines.push(format!("  {}", cut(&stands(standing), columns.saturating_sub(2))));
        }
        if item.workloads.len() > 3 {
            lines.push(format!("  and {} more workloads in trouble", item.workloads.len() - 3));
        }
    }
    if !others.is_empty() {
        lines.push(palette.paint(Tone::Strong, "not looked into:"));
    }
    for (namespace, workloads) in others.iter().take(10) {
        let worst = workloads.first();
        let quiet = worst.is_some_and(|standing| standing.level == Level::Restarted);
        let text = worst.map(stands).unwrap_or_default();
        let line = cut(&format!("  {}: {text}", clean(namespace)), columns);
        lines.push(if quiet { palette.paint(Tone::Faint, &line) } else { line });
    }
    if others.len() > 10 {
        lines.push(format!("  and {} more namespaces: -o json", others.len() - 10));
    }
    lines.join("\n") + "\n"
}
