//! Errors that a log repeats and that no signature knows: what dominates it, what is new in it, what only some of a workload's pods say.
//!
//! Evidence: the templates of the log, their rates and their first times, and the stack trace beside them. Looks alike: background errors
//! of a healthy service that come all the time at a low rate, errors that have ended, and retries that succeed: none of them is claimed.

use super::{KnownCause, View, claim, known};
use crate::diagnosis::case_file::LogRecord;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::graph::{self, Destination};
use crate::diagnosis::logs::templates::{self, Template};
use crate::diagnosis::logs::{self, Level};
use crate::sandbox::command::Resource;
use crate::text::clip;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "RepeatedErrors",
        "An error that no signature knows dominates a log, or is new in it.",
        "The log's templates, their rates and first times, the stack trace beside them.",
        "Background errors at a low, constant rate; errors that have ended; retries that succeed.",
    ),
    known(
        "FellSilent",
        "A container runs, is not ready, and its log stopped: it hangs (a deadlock, a blocked call).",
        "The times of the log's lines beside the time of the look, the readiness of the pod.",
        "A program that has nothing to say; one that is ready.",
    ),
];

/// Silence shorter than this is a pause.
const PAUSE_SECS: i64 = 120;

/// Fewer lines of one template are no repetition.
const LEAST: usize = 5;
/// A template is new where at least this many lines came before its first.
const QUIET_LINES: usize = 20;
/// Logs of one workload that are compared.
const LOGS: usize = 6;

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    view.facts
        .workloads
        .iter()
        .flat_map(|workload| repeated(view, workload).into_iter().chain(silent(view, workload)))
        .collect()
}

/// A container that runs and is not ready, and whose log stopped long ago for its pace.
fn silent(view: &View<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let stopped: Vec<(&LogRecord, k8s_openapi::jiff::Timestamp, i64)> = view
        .logs
        .positions(&workload.name)
        .iter()
        .filter_map(|at| view.facts.case.logs().get(*at))
        .filter(|log| !log.previous && !log.earlier && log.lines.len() >= QUIET_LINES)
        .filter_map(|log| {
            let pod = workload.pods.iter().find(|pod| *pod.name == log.pod)?;
            let runs = pod.statuses().any(|(status, init)| {
                !init
                    && status.name == log.container
                    && status.state.as_ref().is_some_and(|state| state.running.is_some())
            });
            let (first, last) = (log.lines.first()?.at?, log.lines.last()?.at?);
            let gaps = i64::try_from(log.lines.len().saturating_sub(1)).ok()?.max(1);
            let pace = last.duration_since(first).as_secs() / gaps;
            let quiet = log.read_at.duration_since(last).as_secs();
            let stopped = quiet >= PAUSE_SECS && quiet >= pace.saturating_mul(20) && pace <= 60;
            (runs && !pod.is_ready() && stopped).then_some((log, last, pace))
        })
        .collect();
    let (log, last, pace) = stopped.first().copied()?;
    let words = log.lines.last().map_or("", |line| line.text.trim());
    Some(
        claim("FellSilent", &workload.name, Depth::Mechanism, Basis::Inferred, 1)
            .says(format!(
                "container {} of {} runs and hangs: it wrote a line about every {} s and none since {}, and it is not ready; its last words: \"{}\"",
                log.container,
                workload.name,
                pace.max(1),
                super::changes::ago(log.read_at, last),
                clip(words, 160)
            ))
            .cites(
                [workload.evidence]
                    .into_iter()
                    .chain(stopped.iter().map(|(log, ..)| log.evidence.as_str())),
            )
            .since(Some(last))
            .manual(format!(
                "take a thread dump of {} (kill -3 for Java, py-spy, pprof) before it is restarted: the restart is relief and takes the trace away",
                log.pod
            ))
            .done(),
    )
}

/// A template with what makes it tell.
struct Telling<'l> {
    log: &'l LogRecord,
    template: Template,
    /// Of a hundred lines that came lately.
    share: usize,
    new: bool,
    only_here: bool,
}

fn repeated(view: &View<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let records: Vec<&LogRecord> = view
        .logs
        .positions(&workload.name)
        .iter()
        .filter_map(|at| view.facts.case.logs().get(*at))
        .filter(|log| !log.previous && !log.earlier)
        .take(LOGS)
        .collect();
    // Most logs hold no errors at all.
    if !records.iter().any(|log| logs::has_errors(log, LEAST)) {
        return None;
    }
    let logs: Vec<(&LogRecord, Vec<Template>)> = records.into_iter().map(|log| (log, templates::of(log))).collect();
    let all: Vec<Telling<'_>> = logs
        .iter()
        .flat_map(|(log, list)| list.iter().filter_map(|template| telling(log, list, template, &logs)))
        .collect();
    let told = all
        .iter()
        .max_by_key(|told| (told.new, told.share, told.template.count))?;
    let template = &told.template;
    // Whom a failing call was for is not known without the Services: then it is what is felt, and no cause.
    // Where they are known, the failing call itself is told by who judges calls, and leads on to what was called.
    let call = logs::signature(&template.sample).filter(|signature| graph::is_call(*signature));
    let is_judged = call.is_some_and(|call| {
        view.logs.of(&workload.name).any(|(_, group, _)| {
            group.signature == call
                && matches!(
                    graph::called(view.facts.case, workload, group),
                    Some(Destination::Service(_))
                )
        })
    });
    let depth = if is_judged || (call.is_some() && view.facts.case.complete_list(Resource::Services).is_none()) {
        Depth::Symptom
    } else {
        Depth::Mechanism
    };
    let trace = logs::last_trace(told.log).filter(|trace| {
        let end = told.log.lines.len().saturating_sub(trace.lines_after + 1);
        end >= template.last_line && end <= template.last_line + 60
    });
    let place = trace.map_or(String::new(), |trace| {
        let frame = trace.frame.map_or(String::new(), |frame| format!(" at {frame}"));
        format!("; raised{frame}: {}", clip(&trace.error, 160))
    });
    let mut why = vec![format!("{} of the last hundred lines", told.share)];
    if told.new {
        why.push("not before".to_owned());
    }
    if told.only_here {
        why.push(format!("only in {}", told.log.pod.name));
    }
    if template.same >= LEAST {
        why.push("each time about the same thing".to_owned());
    }
    Some(
        claim(
            "RepeatedErrors",
            &workload.name,
            depth,
            Basis::Logged,
            u8::from(told.new) + u8::from(told.share >= 50),
        )
        .says(format!(
            "container {} of {} repeats one error {} times ({}): \"{}\"{place}",
            told.log.container,
            workload.name,
            template.count,
            why.join(", "),
            clip(&template.sample, 240)
        ))
        .cites(
            [told.log.evidence.as_str(), workload.evidence]
                .into_iter()
                .chain(all.iter().map(|other| other.log.evidence.as_str())),
        )
        .since(template.first)
        .manual(format!(
            "find out why {} says \"{}\"{place}",
            workload.name,
            clip(&template.sample, 120)
        ))
        .done(),
    )
}

fn telling<'l>(
    log: &'l LogRecord,
    list: &[Template],
    template: &Template,
    all: &[(&LogRecord, Vec<Template>)],
) -> Option<Telling<'l>> {
    if template.level != Level::Error
        || template.count < LEAST
        || !goes_on(log, template)
        || logs::is_retry(&template.sample)
    {
        return None;
    }
    // Lines of traces and continuations are no lines of their own here.
    let since: usize = list
        .iter()
        .map(|other| {
            if other.first_line >= template.first_line {
                other.count
            } else if other.last_line <= template.first_line {
                0
            } else {
                // As if its lines came evenly.
                other.count * (other.last_line - template.first_line) / (other.last_line - other.first_line).max(1)
            }
        })
        .sum();
    let share = template.count * 100 / since.max(1);
    let before: usize = list
        .iter()
        .filter(|other| other.first_line < template.first_line)
        .map(|other| {
            if other.last_line < template.first_line {
                other.count
            } else {
                1
            }
        })
        .sum();
    let new = before >= QUIET_LINES.min(4) && template.first_line >= QUIET_LINES && share >= 15;
    let only_here = all.len() > 1
        && !all
            .iter()
            .filter(|(other, _)| other.pod != log.pod)
            .any(|(_, list)| list.iter().any(|other| other.is_form_of(template)));
    (share >= 50 || new).then(|| Telling {
        log,
        template: template.clone(),
        share: share.min(100),
        new,
        only_here,
    })
}

/// Whether it would still come, at the pace at which it came.
fn goes_on(log: &LogRecord, template: &Template) -> bool {
    match (template.first, template.last) {
        (Some(first), Some(last)) => {
            let gaps = i64::try_from(template.count.saturating_sub(1)).unwrap_or(1).max(1);
            let pace = last.duration_since(first).as_secs() / gaps;
            log.read_at.duration_since(last).as_secs() <= pace.saturating_mul(3).clamp(6, 600)
        }
        _ => log.lines.len().saturating_sub(template.last_line) <= (log.lines.len() / 4).max(10),
    }
}
