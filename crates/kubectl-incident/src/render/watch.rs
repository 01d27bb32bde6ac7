//! The lines of `watch`: one for each step of an incident, with what that step brought.

use firewatch_core::api::{IncidentStatus, Outcome, Phase};
use firewatch_core::sandbox::evidence::Stage;

use super::style::{Palette, Tone};
use super::text::{clean, clock_seconds, cut};
use super::words::{outcome_meaning, outcome_tone, phase_meaning};

/// What is new in `after`, as lines of at most `columns`. `before` is what was seen last; a watch that was interrupted misses
/// nothing that still matters, since everything comes from the present status.
pub fn news(before: Option<&IncidentStatus>, after: &IncidentStatus, columns: usize, palette: Palette) -> Vec<String> {
    let mut lines = Vec::new();
    let entered = before.is_none_or(|before| before.phase != after.phase);
    let detail = |text: String| cut(&clean(&text), columns.saturating_sub(10));
    let new = |known: bool| !before.is_some_and(|_| known);

    if let Some(triage) = &after.triage
        && new(before.is_some_and(|b| b.triage.is_some()))
    {
        let agents: Vec<&str> = triage.agents.iter().map(AsRef::as_ref).collect();
        lines.push(detail(format!(
            "{} severity, {}, {}: {}",
            triage.severity,
            triage.impact,
            triage.category,
            agents.join(" and ")
        )));
    }
    for evidence in after
        .evidence
        .iter()
        // A verification looks at the same again and again; its transitions tell what it saw.
        .filter(|e| Stage::of_id(&e.id) == Stage::Investigation)
        .filter(|e| !before.is_some_and(|b| b.evidence.iter().any(|known| known.id == e.id)))
    {
        lines.push(palette.paint(
            Tone::Faint,
            &detail(format!("{} {}: {}", evidence.id, evidence.agent, evidence.command)),
        ));
    }
    for agent in &after.agents {
        let known = before.is_some_and(|b| {
            b.agents
                .iter()
                .any(|k| k.role == agent.role && k.message == agent.message)
        });
        if let Some(message) = &agent.message
            && !known
        {
            lines.push(detail(format!("{}: {message}", agent.role)));
        }
    }
    if let Some(cause) = &after.root_cause
        && before.and_then(|b| b.root_cause.as_ref()) != Some(cause)
    {
        lines.push(palette.paint(
            Tone::Strong,
            &detail(format!(
                "cause: {} ({}, {})",
                cause.summary, cause.object, cause.confidence
            )),
        ));
    }
    if let Some(plan) = &after.plan
        && before.and_then(|b| b.plan.as_ref()).map(|p| p.revision) != Some(plan.revision)
    {
        lines.push(detail(format!(
            "plan {}: {} (risk {})",
            plan.revision, plan.summary, plan.risk
        )));
    }
    for (execution, known, verb) in [
        (&after.execution, before.and_then(|b| b.execution.as_ref()), "done"),
        (&after.rollback, before.and_then(|b| b.rollback.as_ref()), "undone"),
    ] {
        let Some(execution) = execution else { continue };
        for step in execution.steps.iter().skip(known.map_or(0, |k| k.steps.len())) {
            let code = step
                .exit_code
                .map_or_else(|| "killed".to_owned(), |code| format!("exit {code}"));
            let what = if step.action.is_empty() {
                "dry run"
            } else {
                &step.action
            };
            lines.push(detail(format!("{verb}: {what} {code} in {} ms", step.duration_ms)));
        }
        if let Some(message) = &execution.message
            && known.and_then(|k| k.message.as_ref()) != Some(message)
        {
            lines.push(detail(format!("{verb}: {}: {message}", execution.state)));
        }
    }
    if let Some(verification) = &after.verification
        && before.and_then(|b| b.verification.as_ref()) != Some(verification)
    {
        for check in &verification.checks {
            let (tone, mark) = if check.passed {
                (Tone::Good, "ok ")
            } else {
                (Tone::Bad, "NOT")
            };
            lines.push(palette.paint(tone, &detail(format!("{mark} {}: {}", check.name, check.observed))));
        }
    }
    let mut out: Vec<String> = lines.into_iter().map(|line| format!("          {line}")).collect();
    if entered {
        out.push(phase_line(after, palette));
    }
    out
}

fn phase_line(status: &IncidentStatus, palette: Palette) -> String {
    let at = status
        .phase_started_at
        .as_ref()
        .map_or_else(|| " ".repeat(8), |at| clock_seconds(at.0));
    match (status.phase, status.outcome) {
        (Phase::Completed, Some(outcome)) => {
            let message = status
                .message
                .as_deref()
                .filter(|_| outcome != Outcome::Remediated) // its meaning says the same
                .map(|text| format!(" {}", clean(text)))
                .unwrap_or_default();
            format!(
                "{at}  {}  {}{message}",
                palette.paint(outcome_tone(outcome), outcome.as_ref()),
                outcome_meaning(outcome)
            )
        }
        (phase, _) => {
            let tone = if phase == Phase::AwaitingApproval {
                Tone::Warn
            } else {
                Tone::Strong
            };
            format!(
                "{at}  {} {}",
                palette.paint(tone, &format!("{:<17}", phase.as_ref())),
                phase_meaning(phase)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::render::fixture;

    #[test]
    fn each_step_is_told_once() {
        let waiting = fixture::incident().status.unwrap();
        let over = fixture::remediated().status.unwrap();
        let first = news(None, &waiting, 100, Palette::plain());
        assert!(first.last().unwrap().contains("AwaitingApproval"), "{first:?}");
        assert!(first.iter().any(|line| line.contains("cause: ")), "{first:?}");
        assert_eq!(
            news(Some(&waiting), &waiting, 100, Palette::plain()),
            Vec::<String>::new()
        );
        let rest = news(Some(&waiting), &over, 100, Palette::plain());
        assert!(!rest.iter().any(|line| line.contains("cause: ")), "{rest:?}");
        assert!(
            rest.iter().any(|line| line.contains("done: A1 exit 0 in 112 ms")),
            "{rest:?}"
        );
        assert!(rest.last().unwrap().contains("Remediated"), "{rest:?}");
    }
}
