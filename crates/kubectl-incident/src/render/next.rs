//! The last part of the screen: what a person should do now. It is never cut.

use firewatch_core::api::{ApprovalState, IncidentStatus, Outcome, Phase};
use kube::ResourceExt;

use super::show::{Screen, View};
use super::style::Tone;
use super::text::{clean, clock, since, span};
use super::words::{outcome_meaning, phase_meaning};

/// The last part: what a person should do now, with whole commands.
pub(super) fn now(out: &mut Screen<'_>, status: &IncidentStatus) {
    let View {
        incident,
        approval,
        now,
        palette,
        ..
    } = out.view;
    let name = incident.name_any();
    let place = incident.namespace().map(|ns| format!(" -n {ns}")).unwrap_or_default();
    out.page.lines.push(String::new());
    match status.phase {
        Phase::AwaitingApproval => {
            let expires = approval
                .map(|a| a.spec.expires_at.0)
                .or_else(|| status.plan.as_ref().and_then(|p| p.expires_at.as_ref()).map(|t| t.0));
            let time = expires.map_or_else(String::new, |at| {
                format!(
                    " before {} ({} left)",
                    clock(at),
                    span(at.as_second() - now.as_second())
                )
            });
            let second = approval.is_some_and(|a| a.spec.required_approvals == 2);
            let people = match (second, approval.and_then(|a| a.spec.approver.as_deref())) {
                (true, Some(first)) => format!(" {first} approved; a second person must too."),
                (true, None) => " Two people must approve.".to_owned(),
                (false, _) => String::new(),
            };
            let waiting = match status.approval_state {
                Some(ApprovalState::Approved) => "Approved; execution begins.".to_owned(),
                _ => format!("Nothing is changed until you decide{time}.{people}"),
            };
            out.raw("NOW", &palette.paint(Tone::Warn, &clean(&waiting)));
            out.raw("", &format!("kubectl incident approve {name}{place} --reason '…'"));
            out.raw("", &format!("kubectl incident reject {name}{place} --reason '…'"));
            if let Some(line) = approval
                .and_then(|a| a.status.as_ref())
                .and_then(|s| s.approve_command.as_deref())
            {
                out.page
                    .lines
                    .push(palette.paint(Tone::Faint, "or, with plain kubectl:"));
                out.page.lines.push(clean(line));
            }
        }
        Phase::Blocked => {
            let text = status.blocked.as_ref().map_or_else(
                || "Waits for something else to end.".to_owned(),
                |blocked| {
                    let by = blocked.by.as_deref().map(|by| format!(" for {by}")).unwrap_or_default();
                    let until = blocked
                        .until
                        .as_ref()
                        .map(|at| format!(", until {} at most", clock(at.0)))
                        .unwrap_or_default();
                    format!("Waits{by} ({}){until}.", blocked.reason)
                },
            );
            out.field("NOW", &text);
        }
        Phase::Completed => {
            out.field("NOW", status.outcome.map_or("It is over.", outcome_meaning));
            // Of a repair, the meaning says it all.
            if let Some(message) = status
                .message
                .as_ref()
                .filter(|_| status.outcome != Some(Outcome::Remediated))
            {
                out.field("", message);
            }
            for step in &status.next_steps {
                out.field("", &format!("- {step}"));
            }
            out.raw("", &format!("kubectl incident report {name}{place}"));
        }
        _ => {
            let since = status
                .phase_started_at
                .as_ref()
                .map(|at| format!(" for {}", since(now, at.0)))
                .unwrap_or_default();
            out.field(
                "NOW",
                &format!(
                    "{}{since}; nothing to do for you yet. To follow it:",
                    phase_meaning(status.phase)
                ),
            );
            out.raw("", &format!("kubectl incident watch {name}{place}"));
        }
    }
}
