//! One incident on one screen of 80 columns and 40 lines: what is wrong, why, what would repair it, and what to do now.
//!
//! Where it does not fit, it is shown in less detail, and says so; the line that tells what to do is never lost.

use firewatch_core::api::status::{Execution, ExecutionState, RootCauseStatus, Verdict};
use firewatch_core::api::{Incident, IncidentStatus, Phase, RemediationApproval, conditions};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::next;
use super::page::{LABEL, Page, height};
use super::plan::{self, Detail};
use super::style::{Palette, Tone};
use super::text::{clean, cut, since, span, wrap};
use super::words::{outcome_tone, severity_tone};

/// Lines of the screen.
pub const LINES: usize = 40;

/// What the screen is made from.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The incident.
    pub incident: &'a Incident,
    /// Its approval, where there is one.
    pub approval: Option<&'a RemediationApproval>,
    /// Now.
    pub now: Timestamp,
    /// Columns of the terminal.
    pub columns: usize,
    /// Colours.
    pub palette: Palette,
}

/// The screen. With `full`, everything, however long.
pub fn screen(view: View<'_>, full: bool) -> String {
    if full {
        return render(view, Detail::Full).join("\n") + "\n";
    }
    for detail in [Detail::Screen, Detail::Short, Detail::Tight] {
        let lines = render(view, detail);
        if detail == Detail::Tight || height(&lines, view.columns) <= LINES {
            return lines.join("\n") + "\n";
        }
    }
    String::new()
}

fn render(view: View<'_>, detail: Detail) -> Vec<String> {
    let status = view.incident.status.clone().unwrap_or_default();
    let mut out = Screen {
        page: Page::new(view.columns, view.palette),
        view,
    };
    head(&mut out, &status, detail);
    warnings(&mut out, &status);
    if let Some(cause) = &status.root_cause {
        root_cause(&mut out, &status, cause, detail);
    } else if !status.findings.is_empty() {
        for finding in status
            .findings
            .iter()
            .take(if detail == Detail::Full { usize::MAX } else { 4 })
        {
            out.field(
                "FOUND",
                &format!("{} {} ({})", finding.id, finding.summary, finding.confidence),
            );
        }
    }
    if detail == Detail::Full {
        agents(&mut out, &status);
    }
    if let Some(plan) = &status.plan {
        if plan.actions.is_empty() {
            out.field("PLAN", plan.manual_reason.as_deref().unwrap_or(&plan.summary));
        } else {
            let risk = view
                .palette
                .paint(plan::risk_tone(plan.risk), &format!("risk {}", plan.risk));
            out.raw(
                "PLAN",
                &format!(
                    "revision {}, {risk}, about {}",
                    plan.revision,
                    span(plan.estimated_resolution_seconds)
                ),
            );
            // What was carried out stands in the report; what was not may be needed now.
            let done = status.phase == Phase::Completed
                && status
                    .execution
                    .as_ref()
                    .is_some_and(|e| e.state == ExecutionState::Succeeded);
            for action in &plan.actions {
                out.page.lines.extend(if done && detail != Detail::Full {
                    plan::done(action, view.columns, view.palette)
                } else {
                    plan::action(action, detail, view.columns, view.palette)
                });
            }
        }
        // Where it is over, the next steps say the same below.
        let fixes = match detail {
            _ if status.phase == Phase::Completed && !status.next_steps.is_empty() => 0,
            Detail::Full | Detail::Screen => usize::MAX,
            Detail::Short => 1,
            Detail::Tight => 0,
        };
        for fix in plan.long_term_fixes.iter().take(fixes) {
            let first = fix.lines().next().unwrap_or_default();
            out.lines(limit(detail), "LATER", if detail == Detail::Full { fix } else { first });
        }
    }
    if let Some(review) = &status.review {
        let verdict = match review.verdict {
            Verdict::Approve => "the Commander found nothing against it",
            Verdict::Reject => "the Commander rejected it",
        };
        let reasons = if detail == Detail::Full {
            review.reasons.join("; ")
        } else {
            review.reasons.first().cloned().unwrap_or_default()
        };
        out.lines(limit(detail), "REVIEW", &format!("{verdict}: {reasons}"));
        for condition in &review.conditions {
            out.lines(limit(detail), "", &format!("provided that {condition}"));
        }
    }
    for (label, execution) in [("DONE", &status.execution), ("UNDONE", &status.rollback)] {
        if let Some(execution) = execution {
            executed(&mut out, label, execution);
        }
    }
    if let Some(verification) = &status.verification {
        for (number, check) in verification.checks.iter().enumerate() {
            let mark = if check.passed {
                view.palette.paint(Tone::Good, "ok")
            } else {
                view.palette.paint(Tone::Bad, "NOT")
            };
            let text = format!("{mark} {}: {}", clean(&check.name), clean(&check.observed));
            out.raw(
                if number == 0 { "CHECKED" } else { "" },
                &cut(&text, view.columns.saturating_sub(LABEL) + mark.len().saturating_sub(3)),
            );
        }
    }
    next::now(&mut out, &status);
    out.page.lines
}

/// The lines so far.
pub(super) struct Screen<'a> {
    pub(super) page: Page,
    pub(super) view: View<'a>,
}

/// Lines that one text may take.
fn limit(detail: Detail) -> usize {
    match detail {
        Detail::Full | Detail::Screen => usize::MAX,
        Detail::Short => 2,
        Detail::Tight => 1,
    }
}

impl Screen<'_> {
    /// A labelled text, wrapped with a hanging indent.
    pub(super) fn field(&mut self, label: &str, text: &str) {
        self.lines(usize::MAX, label, text);
    }

    /// The same, with at most so many lines.
    fn lines(&mut self, most: usize, label: &str, text: &str) {
        self.page.text(most, label, text);
    }

    /// A labelled line, as it is.
    pub(super) fn raw(&mut self, label: &str, text: &str) {
        self.page.raw(label, text);
    }
}

fn head(out: &mut Screen<'_>, status: &IncidentStatus, detail: Detail) {
    let View {
        incident, now, palette, ..
    } = out.view;
    let severity = status.triage.as_ref().map(|t| t.severity).or(incident.spec.severity);
    let mut facts = Vec::new();
    if let Some(severity) = severity {
        facts.push(palette.paint(severity_tone(severity), severity.as_ref()));
    }
    facts.push(match status.outcome {
        Some(outcome) => palette.paint(outcome_tone(outcome), outcome.as_ref()),
        None => status.phase.to_string(),
    });
    if let Some(created) = incident.creation_timestamp() {
        facts.push(format!("{} ago", since(now, created.0)));
    }
    let name = format!("{}/{}", incident.namespace().unwrap_or_default(), incident.name_any());
    out.raw("INCIDENT", &format!("{name}   {}", facts.join(", ")));
    let target = incident.spec.target.as_ref().map_or_else(
        || "the whole namespace".to_owned(),
        |t| format!("{}/{}", t.kind, t.name),
    );
    out.field("", &format!("{} ({target})", incident.spec.title));
    if let Some(triage) = &status.triage {
        let text = format!("{}, {}: {}", triage.impact, triage.category, triage.rationale);
        out.lines(limit(detail), "IMPACT", &text);
    }
}

/// What keeps Firewatch itself from its work belongs to the top.
fn warnings(out: &mut Screen<'_>, status: &IncidentStatus) {
    for condition in &status.conditions {
        let bad = match condition.type_.as_str() {
            conditions::STALLED => condition.status == "True",
            conditions::APPROVAL_GUARD | conditions::AUDIT_PERSISTED => condition.status == "False",
            _ => false,
        };
        if bad {
            let text = format!("{} ({}): {}", condition.type_, condition.reason, condition.message);
            let palette = out.view.palette;
            for (number, line) in wrap(&text, out.view.columns - LABEL).into_iter().enumerate() {
                let line = palette.paint(Tone::Warn, &line);
                out.raw(if number == 0 { "WARNING" } else { "" }, &line);
            }
        }
    }
}

fn root_cause(out: &mut Screen<'_>, status: &IncidentStatus, cause: &RootCauseStatus, detail: Detail) {
    out.lines(
        if detail == Detail::Tight { 3 } else { usize::MAX },
        "CAUSE",
        &cause.summary,
    );
    out.field(
        "",
        &format!(
            "{} at {}, confidence {}",
            cause.category, cause.object, cause.confidence
        ),
    );
    let steps = match detail {
        Detail::Full => usize::MAX,
        Detail::Screen => 5,
        Detail::Short => 3,
        Detail::Tight => 2,
    };
    // The chain ends with the cause itself, which stands above already.
    let chain = cause
        .chain
        .iter()
        .filter(|step| detail == Detail::Full || !step.starts_with(&cause.summary));
    for (number, step) in chain.take(steps).enumerate() {
        out.lines(limit(detail), if number == 0 { "BECAUSE" } else { "" }, step);
    }
    let cited = status
        .evidence
        .iter()
        .filter(|evidence| detail == Detail::Full || cause.evidence.contains(&evidence.id));
    for (number, evidence) in cited
        .take(match detail {
            Detail::Full => usize::MAX,
            Detail::Screen | Detail::Short => 4,
            Detail::Tight => 2,
        })
        .enumerate()
    {
        let state = if evidence.state == "Complete" {
            String::new()
        } else {
            format!(" ({})", evidence.state)
        };
        let text = clean(&format!("{} {}{state}", evidence.id, evidence.command));
        out.raw(
            if number == 0 { "EVIDENCE" } else { "" },
            &cut(&text, out.view.columns - LABEL),
        );
    }
    if detail == Detail::Full {
        for alternative in &cause.alternatives {
            out.field("OR", alternative);
        }
        for finding in &status.findings {
            let text = format!(
                "{} {} ({}, {}; {})",
                finding.id,
                finding.summary,
                finding.object,
                finding.confidence,
                finding.evidence.join(" ")
            );
            out.field("FOUND", &text);
        }
    }
}

fn agents(out: &mut Screen<'_>, status: &IncidentStatus) {
    for agent in &status.agents {
        let message = agent.message.as_deref().unwrap_or("");
        let text = format!(
            "{} ({}, {}): {message}",
            agent.role,
            agent.engine.as_ref(),
            agent.state.as_ref()
        );
        out.field("AGENT", &text);
    }
}

fn executed(out: &mut Screen<'_>, label: &str, execution: &Execution) {
    let palette = out.view.palette;
    let tone = match execution.state {
        ExecutionState::Succeeded => Tone::Good,
        ExecutionState::Running => Tone::Strong,
        ExecutionState::Failed | ExecutionState::Refused | ExecutionState::Unknown => Tone::Bad,
    };
    let steps: Vec<String> = execution
        .steps
        .iter()
        .map(|step| {
            let code = step
                .exit_code
                .map_or_else(|| "killed".to_owned(), |code| format!("exit {code}"));
            // A step of no action is the dry run of all.
            let what = if step.action.is_empty() {
                "dry run".to_owned()
            } else {
                clean(&step.action)
            };
            format!("{what} {code} in {} ms", step.duration_ms)
        })
        .collect();
    out.raw(label, &palette.paint(tone, execution.state.as_ref()));
    out.field("", &steps.join(", "));
    if let Some(message) = &execution.message {
        out.field("", message);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::render::fixture;

    fn view(incident: &Incident) -> View<'_> {
        View {
            incident,
            approval: None,
            now: fixture::now(),
            columns: 80,
            palette: Palette::plain(),
        }
    }

    #[test]
    fn a_waiting_plan_is_one_screen_with_cause_commands_and_what_to_do() {
        let incident = fixture::incident();
        let approval = fixture::approval();
        let view = View {
            approval: Some(&approval),
            ..view(&incident)
        };
        let text = screen(view, false);
        assert_eq!(text, include_str!("golden/awaiting.txt"));
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert!(height(&lines, 80) <= LINES, "{} lines", height(&lines, 80));
    }

    #[test]
    fn what_is_too_long_for_the_screen_is_shortened_but_for_what_to_do() {
        let mut incident = fixture::incident();
        let status = incident.status.as_mut().unwrap();
        let cause = status.root_cause.as_mut().unwrap();
        cause.chain =
            vec!["a step that needs more than one line of the screen, because it explains much ".repeat(3); 8];
        let approval = fixture::approval();
        let text = screen(
            View {
                approval: Some(&approval),
                ..view(&incident)
            },
            false,
        );
        assert!(
            height(&text.lines().map(str::to_owned).collect::<Vec<_>>(), 80) <= LINES,
            "{text}"
        );
        assert!(
            text.contains("undo: the exact inverse; --full shows its command"),
            "{text}"
        );
        assert!(
            text.contains("kubectl incident approve checkout-restarts -n shop"),
            "{text}"
        );
        assert!(
            text.contains(approval.status.as_ref().unwrap().approve_command.as_deref().unwrap()),
            "{text}"
        );
    }

    #[test]
    fn a_finished_incident_says_how_it_ended_and_what_was_checked() {
        let text = screen(view(&fixture::remediated()), false);
        assert_eq!(text, include_str!("golden/remediated.txt"));
    }

    #[test]
    fn an_incident_that_nobody_looked_at_yet_is_no_empty_screen() {
        let mut incident = fixture::incident();
        incident.status = None;
        let text = screen(view(&incident), false);
        assert!(
            text.contains("Accepted, not yet looked at; nothing to do for you yet."),
            "{text}"
        );
        assert!(
            text.contains("kubectl incident watch checkout-restarts -n shop"),
            "{text}"
        );
    }

    #[test]
    fn a_missing_guard_is_told_at_the_top() {
        let mut incident = fixture::incident();
        incident.status.as_mut().unwrap().conditions.push(fixture::condition(
            conditions::APPROVAL_GUARD,
            "False",
            "PolicyMissing",
        ));
        let text = screen(view(&incident), false);
        assert!(text.contains("WARNING   ApprovalGuard (PolicyMissing)"), "{text}");
    }

    #[test]
    fn cluster_text_cannot_forge_a_line() {
        let mut incident = fixture::incident();
        incident.spec.title = "x\u{1b}[1A\nNOW       approved".to_owned();
        let text = screen(view(&incident), true);
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(
            !text.lines().any(|line| line.starts_with("NOW       approved")),
            "{text}"
        );
    }
}
