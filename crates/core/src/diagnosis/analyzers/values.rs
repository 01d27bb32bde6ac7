//! Settings whose value is wrong in form, was not expanded, or changed after the program had read it.
//!
//! Evidence: the log, the container's environment and where each value comes from, times of change (managedFields). Looks alike: a
//! setting that is missing (`settings`); a value that the log quotes and that several settings have: then none is named. A value that may
//! be a credential is never shown.

use std::sync::LazyLock;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::jiff::Timestamp;
use regex::Regex;

use super::{KnownCause, View, claim, known, merge};
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::environment::{self, Environment, Variable};
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::{Group, Signature, endpoints};
use crate::diagnosis::remedy::{ContainerRef, Remedy};
use crate::text::clip;

/// Lines from the end of a log that are its last words.
const LAST: usize = 40;

/// Messages of parsers that quote what they could not read.
static QUOTED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"invalid literal for int\(\) with base \d+: '([^']+)'|could not convert string to float: '([^']+)'|strconv\.\w+: parsing "([^"]+)"|For input string: "([^"]+)"|invalid value for Integer\(\): "([^"]+)"|time: (?:invalid duration|unknown unit "[^"]*" in duration|missing unit in duration) "?([^"\s]+)"?|invalid port "?:?([^"\s]+)"? after host|parse "([^"]+)": |(?i:invalid url|unsupported protocol scheme|no scheme supplied|invalid uri)[^"'\n]{0,40}["']([^"']+)["']|not a valid (?:boolean|integer|number|duration|url|port)[^"'\n]{0,20}["']([^"']+)["']"#).ok()
});
/// `$(NAME)`, `${NAME}` and `$NAME`, as they stand where nothing has expanded them.
static UNEXPANDED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\$\(([A-Za-z_]\w*)\)|\$\{([A-Za-z_]\w*)\}|\$([A-Z_][A-Z0-9_]{2,})").ok());

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "InvalidSetting",
        "A setting has a value that the program cannot read: a word for a number, a duration without unit, an address without scheme.",
        "The parser's message in the log of a container that fails, and the one setting that has that value or name.",
        "A setting that is missing; a value of user input.",
    ),
    known(
        "UnexpandedVariable",
        "A reference to a variable stands in a value or an argument as it was written: $(NAME) that is not set before it, or ${NAME} that only a shell expands.",
        "The environment of the container, the literal text in the log of a container that fails.",
        "A variable that is missing; a dollar sign in a password.",
    ),
    known(
        "StaleConfiguration",
        "A ConfigMap was changed after the pod had read it; variables and subPath mounts are not updated.",
        "managedFields of the ConfigMap beside the start of the container, trouble that names a value which it no longer has.",
        "A ConfigMap that changed and whose mounted files the kubelet updates; a program that has been started anew since.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in &view.facts.workloads {
        for (at, group, evidence) in view.logs.of(&workload.name) {
            if let Some(finding) = named(view, workload, at, group, evidence) {
                merge(&mut found, finding);
            }
            if let Some(finding) = stale(view, workload, at, group, evidence) {
                merge(&mut found, finding);
            }
        }
    }
    for (log, workload) in super::signatures::failing_logs(view) {
        let Some(container) = workload.container(&log.container) else {
            continue;
        };
        let env = environment::of(view.facts.case, workload.namespace(), container);
        let lines = log.lines.iter().rev().filter(|line| line.text.len() <= 4000).take(LAST);
        for line in lines {
            let finding = unexpanded(workload, &log.container, &env, &line.text, &log.evidence)
                .or_else(|| quoted(view, workload, &log.container, &env, &line.text, &log.evidence));
            if let Some(finding) = finding {
                merge(&mut found, finding);
                break;
            }
        }
    }
    found
}

/// Whether this analyzer names more exactly what that group says.
pub(super) fn explains(view: &View<'_>, workload: &Workload<'_>, at: usize, group: &Group, evidence: &str) -> bool {
    named(view, workload, at, group, evidence).is_some()
}

/// The program names the setting, and the container has it.
fn named(view: &View<'_>, workload: &Workload<'_>, at: usize, group: &Group, evidence: &str) -> Option<Finding> {
    if group.signature != Signature::InvalidSetting
        || !super::signatures::is_failing(workload, view, at)
        || !super::signatures::counts(view, workload, at, group)
    {
        return None;
    }
    let log = view.facts.case.logs().get(at)?;
    let container = workload.container(&log.container)?;
    let env = environment::of(view.facts.case, workload.namespace(), container);
    let upper = group.subject.replace(['.', '-'], "_").to_ascii_uppercase();
    let (name, variable) = env
        .values
        .get_key_value(&group.subject)
        .or_else(|| env.values.get_key_value(&upper))?;
    Some(invalid(
        view,
        workload,
        &log.container,
        name,
        variable,
        &group.sample,
        evidence,
    ))
}

/// The program quotes the value, and exactly one setting has it.
fn quoted(
    view: &View<'_>,
    workload: &Workload<'_>,
    container: &str,
    env: &Environment,
    line: &str,
    evidence: &str,
) -> Option<Finding> {
    let captures = QUOTED.as_ref()?.captures(line)?;
    let value = captures.iter().skip(1).flatten().next()?.as_str();
    let mut having = env.values.iter().filter(|(_, variable)| {
        variable
            .value
            .as_deref()
            .is_some_and(|known| known.trim() == value.trim())
    });
    let (name, variable) = having.next()?;
    having
        .next()
        .is_none()
        .then(|| invalid(view, workload, container, name, variable, line, evidence))
}

fn invalid(
    view: &View<'_>,
    workload: &Workload<'_>,
    container: &str,
    name: &str,
    variable: &Variable,
    line: &str,
    evidence: &str,
) -> Finding {
    let value = variable.value.as_deref().unwrap_or_default();
    let hidden = variable.secret || value.is_empty() || environment::looks_secret(name, value);
    let shown = if hidden {
        String::new()
    } else {
        format!(" {:?}", clip(value, 80))
    };
    let (object, place) = match &variable.from {
        Some((map, key)) => (map.clone(), format!(" (key {key} of {map})")),
        None => (workload.name.clone(), String::new()),
    };
    let entry = view.facts.case.entry(&object).map(|entry| entry.evidence.as_str());
    let better = super::settings::known_value(view, workload, name, Some(&object)).filter(|known| known.value != value);
    let at = ContainerRef {
        workload: workload.name.clone(),
        container: container.to_owned(),
    };
    let source = better.as_ref().map_or(String::new(), |known| {
        format!("; {} has {:?}", known.source, clip(&known.value, 80))
    });
    let remedy = if hidden {
        Remedy::Manual {
            instruction: format!("correct the value of {name}"),
        }
    } else {
        Remedy::wrong_value(at, name, variable, better)
    };
    claim("InvalidSetting", &object, Depth::Fault, Basis::Logged, 2)
        .says(format!(
            "the setting {name}{place} of container {container} of {} has a value{shown} that the program cannot read (\"{}\"){source}",
            workload.name,
            clip(line.trim(), 160)
        ))
        .cites([evidence, workload.evidence].into_iter().chain(entry))
        .affects((object != workload.name).then(|| workload.name.clone()))
        .remedy(remedy)
        .done()
}

/// The log shows a reference that nothing expanded, and the container's own settings or arguments have it.
fn unexpanded(
    workload: &Workload<'_>,
    container: &str,
    env: &Environment,
    line: &str,
    evidence: &str,
) -> Option<Finding> {
    let spec = workload.container(container)?;
    for captures in UNEXPANDED.as_ref()?.captures_iter(line) {
        let literal = captures.get(0)?.as_str();
        let name = captures.iter().skip(1).flatten().next()?.as_str();
        let variable = env
            .values
            .iter()
            .find(|(_, variable)| variable.value.as_deref().is_some_and(|value| value.contains(literal)));
        // A shell would have expanded it: then the program itself wrote it.
        let words: Vec<&String> = spec
            .command
            .iter()
            .flatten()
            .chain(spec.args.iter().flatten())
            .collect();
        let shell = words
            .first()
            .and_then(|word| word.rsplit('/').next())
            .is_some_and(|program| matches!(program, "sh" | "bash" | "ash" | "dash" | "zsh"));
        let argument = !shell && words.iter().any(|word| word.contains(literal));
        let place = match variable {
            Some((key, _)) => format!("the value of {key}"),
            None if argument => "an argument of its command".to_owned(),
            None => continue,
        };
        let is_set = env.values.contains_key(name);
        let why = match (literal.starts_with("$("), is_set) {
            (true, true) => format!("{name} is defined after it; a reference sees only what stands before it"),
            (true, false) => format!("no variable {name} is defined in that container"),
            (false, _) => format!("Kubernetes expands $({name}) and nothing else; {literal} needs a shell"),
        };
        return Some(
            claim("UnexpandedVariable", &workload.name, Depth::Fault, Basis::Logged, 2)
                .says(format!(
                    "container {container} of {} gets {literal} as it stands in {place}, not expanded: {why} (\"{}\")",
                    workload.name,
                    clip(line.trim(), 160)
                ))
                .cites([evidence, workload.evidence])
                .manual(format!(
                    "define {name} before it is used and write $({name}), or start the program through a shell"
                ))
                .done(),
        );
    }
    None
}

/// Whether a call that fails goes to what only the settings of before said: what became of that address explains nothing.
pub(super) fn is_outdated(view: &View<'_>, workload: &Workload<'_>, at: usize, group: &Group, evidence: &str) -> bool {
    stale(view, workload, at, group, evidence).is_some()
}

/// The program still calls what its ConfigMap no longer says.
fn stale(view: &View<'_>, workload: &Workload<'_>, at: usize, group: &Group, evidence: &str) -> Option<Finding> {
    if !crate::diagnosis::graph::is_call(group.signature)
        || group.subject.is_empty()
        || !super::signatures::counts(view, workload, at, group)
    {
        return None;
    }
    let log = view.facts.case.logs().get(at)?;
    let container = workload.container(&log.container)?;
    let started = workload
        .pods
        .iter()
        .find(|pod| *pod.name == log.pod)?
        .statuses()
        .find(|(status, _)| status.name == log.container)
        .and_then(|(status, _)| status.state.as_ref()?.running.as_ref()?.started_at.as_ref())?
        .0;
    let env = environment::of(view.facts.case, workload.namespace(), container);
    let host = group.subject.split(':').next().unwrap_or_default();
    let map = env.config_maps.iter().find_map(|source| {
        let map = view.facts.case.get::<ConfigMap>(&source.name.name)?;
        let changed = changed(map)?;
        (changed > started).then_some((&source.name, changed))
    });
    let (map, changed) = map?;
    // What the settings still say is not stale.
    let says = |value: &str| value.trim() == host || endpoints(value).iter().any(|endpoint| endpoint.host == host);
    let still = env
        .values
        .values()
        .filter_map(|variable| variable.value.as_deref())
        .any(says)
        || container
            .command
            .iter()
            .flatten()
            .chain(container.args.iter().flatten())
            .any(|word| says(word));
    if still || env.whole_secret {
        return None;
    }
    let entry = view.facts.case.entry(map)?;
    Some(
        claim("StaleConfiguration", &workload.name, Depth::Fault, Basis::Inferred, 2)
            .says(format!(
                "the pods of {} run with settings from before the last change of {map}: container {} started at {started}, {map} was changed at {changed}, and it still calls {host}, which {map} no longer says",
                workload.name, log.container
            ))
            .cites([evidence, workload.evidence, entry.evidence.as_str()])
            .since(Some(changed))
            .remedy(Remedy::Restart {
                workload: workload.name.clone(),
                reason: format!("{map} changed after its pods had read it; variables are read at the start alone"),
            })
            .done(),
    )
}

/// When a ConfigMap was last changed, as its managedFields tell.
fn changed(map: &ConfigMap) -> Option<Timestamp> {
    map.metadata
        .managed_fields
        .iter()
        .flatten()
        .filter_map(|field| field.time.as_ref())
        .map(|time| time.0)
        .max()
}
