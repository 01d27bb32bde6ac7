//! Ends that are not graceful by design: a preStop hook that waits as long as the whole grace period, so that the program is killed before
//! it is told to end.
//!
//! Evidence: the hook and terminationGracePeriodSeconds in the pod's spec, and a container that was killed (exit code 137 without
//! OOMKilled). Looks alike: a kill for memory, a hook that fails (`waits`), a hook that is short, and the same spec in a container that
//! was never ended. Why it is ended at all is another cause's to say.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::{KnownCause, View, claim, known};
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{Workload, ended};
use crate::diagnosis::finding::{Depth, Finding};

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[known(
    "PreStopOutlastsGrace",
    "A preStop hook waits as long as the grace period, so the program is killed before it is told to end, and loses what it has in hand.",
    "The hook's wait beside terminationGracePeriodSeconds, exit code 137 without OOMKilled.",
    "A kill for memory; a hook that fails; a program that ignores the signal.",
)];

/// Where the spec does not say.
const DEFAULT_GRACE: i64 = 30;

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    view.facts
        .workloads
        .iter()
        .filter_map(|workload| outlasted(view, workload))
        .collect()
}

fn outlasted(view: &View<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let spec = workload.pod_spec()?;
    let grace = spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE);
    let (container, waits) = hooks(spec).find(|(_, waits)| *waits >= grace)?;
    let now = view.facts.case.now();
    let (pod, finished) = workload.pods.iter().find_map(|pod| {
        let (status, _) = pod.statuses().find(|(status, _)| status.name == container.name)?;
        let end = ended(status)?;
        let killed = end.exit_code == 137 && end.reason != "OOMKilled";
        (killed && super::pods::is_recent(pod, end.finished, now)).then_some((pod, end.finished))
    })?;
    Some(
        claim("PreStopOutlastsGrace", &workload.name, Depth::Mechanism, Basis::Stated, 1)
            .says(format!(
                "container {} of {} is killed (exit code 137) before it is told to end: its preStop hook waits {waits} s, and terminationGracePeriodSeconds is {grace}",
                container.name, workload.name
            ))
            .cites([pod.evidence, workload.evidence])
            .since(finished)
            .manual(format!(
                "set terminationGracePeriodSeconds above {waits} s and the time that the program needs to end, or shorten the hook"
            ))
            .done(),
    )
}

fn hooks(spec: &PodSpec) -> impl Iterator<Item = (&Container, i64)> {
    spec.containers.iter().filter_map(|container| {
        let hook = container.lifecycle.as_ref()?.pre_stop.as_ref()?;
        let waits = match (&hook.sleep, &hook.exec) {
            (Some(sleep), _) => sleep.seconds,
            (_, Some(exec)) => slept(exec.command.as_deref().unwrap_or_default())?,
            _ => return None,
        };
        Some((container, waits))
    })
}

/// How long a command sleeps, by its own words: what else it does takes longer still.
fn slept(command: &[String]) -> Option<i64> {
    let text = command.join(" ");
    let mut words = text.split(|c: char| c.is_whitespace() || matches!(c, ';' | '&' | '|'));
    words.find(|word| *word == "sleep" || word.ends_with("/sleep"))?;
    let (number, unit) = words.next().map(|word| {
        let end = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
        word.split_at(end)
    })?;
    let seconds: i64 = number.parse().ok()?;
    match unit {
        "" | "s" => Some(seconds),
        "m" => seconds.checked_mul(60),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_command_sleeps_is_read_where_it_says_so() {
        let of = |command: &[&str]| slept(&command.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["sleep", "45"]), Some(45));
        assert_eq!(of(&["/bin/sh", "-c", "nginx -s quit; sleep 2m"]), Some(120));
        assert_eq!(of(&["/bin/sleep", "5s"]), Some(5));
        for other in [
            &["nginx", "-s", "quit"][..],
            &["sleep"],
            &["sleep", "infinity"],
            &["sleep", "$N"],
            &[],
        ] {
            assert_eq!(of(other), None, "{other:?}");
        }
    }
}
