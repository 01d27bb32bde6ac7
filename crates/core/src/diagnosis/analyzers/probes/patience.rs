//! Probes that do not wait long enough: for a start that takes its time, or for an answer. Must never call a program well because it
//! answers late. Called by `probes`.

use k8s_openapi::api::core::v1::Container;

use super::{listening, spec_of, word};
use crate::diagnosis::analyzers::{View, claim};
use crate::diagnosis::case_file::EventRecord;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{PodFacts, Workload, ended};
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::answers;
use crate::diagnosis::remedy::{ContainerRef, KnownValue, Probe, Remedy};

/// A program that takes longer to say that it is well is not well.
const LONGEST_ANSWER_MILLIS: u64 = 10_000;

/// The program was still starting when the probe's patience ended.
pub(super) fn slow_start(
    view: &View<'_>,
    workload: &Workload<'_>,
    pod: &PodFacts<'_>,
    container: &Container,
    kind: Probe,
    event: &EventRecord,
) -> Option<Finding> {
    let probe = spec_of(container, kind)?;
    let patience = probe.initial_delay_seconds.unwrap_or(0).saturating_add(
        probe
            .period_seconds
            .unwrap_or(10)
            .saturating_mul(probe.failure_threshold.unwrap_or(3)),
    );
    let (_, end) = pod
        .statuses()
        .filter(|(status, _)| status.name == container.name)
        .find_map(|(status, _)| ended(status).map(|end| (status, end)))?;
    let ran = end.finished?.duration_since(end.started?).as_secs();
    let grace = pod
        .pod
        .spec
        .as_ref()
        .and_then(|spec| spec.termination_grace_period_seconds)
        .unwrap_or(30);
    let (ports, _) = listening(view, pod, &container.name);
    let logs: Vec<&str> = view
        .facts
        .logs(pod.name, &container.name)
        .map(|log| log.evidence.as_str())
        .collect();
    if logs.is_empty() || !ports.is_empty() || ran > i64::from(patience).saturating_add(grace).saturating_add(10) {
        return None;
    }
    Some(
        claim("ProbeKillsSlowStart", &workload.name, Depth::Fault, Basis::Stated, 1)
            .says(format!(
                "the {} probe of container {} of {} has the kubelet restart it before it has started: it gives {patience} s, and the log shows that the program is not listening yet",
                word(kind),
                container.name,
                workload.name
            ))
            .cites([event.evidence.as_str(), pod.evidence, workload.evidence].into_iter().chain(logs))
            .since(event.first)
            .manual(format!(
                "give container {} a startupProbe that allows for its start, or raise initialDelaySeconds or failureThreshold of the {} probe",
                container.name,
                word(kind)
            ))
            .done(),
    )
}

/// Good answers to a probe that came after the kubelet had stopped waiting.
struct SteadyAnswers {
    /// Thousandths of a second.
    least: u64,
    most: u64,
    count: usize,
    evidence: String,
}

impl SteadyAnswers {
    /// Seconds that leave room for the longest answer that was seen.
    fn timeout(&self) -> u64 {
        self.most.saturating_mul(2).div_ceil(1000)
    }
}

/// What the program's log says of its answers to the probe's path, where each is good, later than the time-out, and like the others: a
/// program whose answers grow slower is ill, and patience is no cure for it.
fn steady_answers(
    view: &View<'_>,
    pod: &PodFacts<'_>,
    container: &Container,
    kind: Probe,
    timeout: i32,
) -> Option<SteadyAnswers> {
    let path = spec_of(container, kind)?
        .http_get
        .as_ref()?
        .path
        .as_deref()
        .filter(|path| path.len() > 1)?;
    let (log, times) = view
        .facts
        .logs(pod.name, &container.name)
        .map(|log| (log, answers::times_of(log, path)))
        .find(|(_, times)| times.len() > 1)?;
    let (least, most) = (*times.iter().min()?, *times.iter().max()?);
    let late = least > u64::try_from(timeout).ok()?.saturating_mul(1000);
    (late && most <= least.saturating_mul(2) && most <= LONGEST_ANSWER_MILLIS).then(|| SteadyAnswers {
        least,
        most,
        count: times.len(),
        evidence: log.evidence.clone(),
    })
}

/// No answer within the time-out. Where the log shows that good ones come a little later, the time-out is what is wrong.
pub(super) fn too_strict(
    view: &View<'_>,
    workload: &Workload<'_>,
    pod: &PodFacts<'_>,
    container: &Container,
    kind: Probe,
    event: &EventRecord,
    effect: &str,
) -> Finding {
    let timeout = spec_of(container, kind)
        .and_then(|probe| probe.timeout_seconds)
        .unwrap_or(1);
    let steady = steady_answers(view, pod, container, kind, timeout);
    let (told, log_evidence) = steady.as_ref().map_or((String::new(), None), |steady| {
        (
            format!(
                "; the program answers it, in {} to {} ms, {} times in its log",
                steady.least, steady.most, steady.count
            ),
            Some(steady.evidence.as_str()),
        )
    });
    let manual = Remedy::Manual {
        instruction:
            "find out why the answer is late; give a slow start a startupProbe, and the probe a longer timeout"
                .to_owned(),
    };
    let remedy = steady.as_ref().map(|steady| Remedy::ProbeField {
        container: ContainerRef {
            workload: workload.name.clone(),
            container: container.name.clone(),
        },
        probe: kind,
        field: "timeoutSeconds".to_owned(),
        from: timeout.to_string(),
        to: Some(KnownValue {
            value: steady.timeout().to_string(),
            source: format!("twice the longest answer in the log of {}", pod.name),
            evidence: vec![steady.evidence.clone()],
        }),
    });
    claim(
        "ProbeTooStrict",
        &workload.name,
        Depth::Mechanism,
        Basis::Stated,
        if steady.is_some() { 2 } else { 0 },
    )
    .says(format!(
        "the {} probe of container {} of {} gets no answer within {timeout} s{told}; so it {effect}",
        word(kind),
        container.name,
        workload.name
    ))
    .cites(
        [event.evidence.as_str(), pod.evidence, workload.evidence]
            .into_iter()
            .chain(log_evidence),
    )
    .since(event.first)
    .remedy(match remedy {
        Some(fix) => fix.or(Some(manual)),
        None => manual,
    })
    .long_term("find out why the answer takes so long, before the time-out has to grow again")
    .done()
}
