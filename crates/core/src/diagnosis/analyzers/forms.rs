//! Mounted files that a program cannot read for their form: a ConfigMap's JSON or YAML that is none.
//!
//! Evidence: the ConfigMap, read with the parser of its ending; the mount; the last words of a container that fails, which speak of
//! parsing. Looks alike: an answer of another program that cannot be parsed, and templates, which are filled in before they are read.

use std::sync::LazyLock;

use k8s_openapi::api::core::v1::ConfigMap;
use regex::Regex;
use serde::de::IgnoredAny;

use super::{KnownCause, View, claim, known, merge};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::text::clip;

/// Lines from the end of a log that are its last words.
const LAST: usize = 40;
/// Longer texts are data, not settings.
const LONGEST: usize = 256 * 1024;

static PARSES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)json|ya?ml|pars(?:e|er|ing)|unmarshal|decod(?:e|ing)|deseriali[sz]|unexpected (?:token|character|end)|expecting|invalid character|trailing comma|mapping values|did not find expected|cannot start any token|found character").ok()
});

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[known(
    "ConfigFileMalformed",
    "A file that a ConfigMap gives to a program is no valid JSON or YAML.",
    "The ConfigMap's text, read with the parser of its ending; the last words of a container that fails.",
    "An answer from elsewhere that cannot be parsed; a template that is filled in first.",
)];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (log, workload) in super::signatures::failing_logs(view) {
        let told =
            log.lines.iter().rev().take(LAST).find(|line| {
                line.text.len() <= 4000 && PARSES.as_ref().is_some_and(|regex| regex.is_match(&line.text))
            });
        let Some(line) = told else { continue };
        for (map, key, path, error) in malformed(view, workload, &log.container) {
            let Some(entry) = view.facts.case.entry(&map) else {
                continue;
            };
            let named = line.text.contains(&key);
            merge(
                &mut found,
                claim("ConfigFileMalformed", &map, Depth::Fault, Basis::Inferred, 2 + u8::from(named))
                    .says(format!(
                        "the key {key} of {map}, which container {} of {} reads as {path}, is malformed: {}; the container ends with \"{}\"",
                        log.container,
                        workload.name,
                        clip(&error, 160),
                        clip(line.text.trim(), 160)
                    ))
                    .cites([entry.evidence.as_str(), log.evidence.as_str(), workload.evidence])
                    .affects([workload.name.clone()])
                    .since(line.at)
                    .manual(format!("correct {key} in {map}, then restart {}", workload.name))
                    .done(),
            );
        }
    }
    found
}

/// Files of ConfigMaps that a container mounts and that are not what their ending says: the ConfigMap, its key, the path, the error.
fn malformed(view: &View<'_>, workload: &Workload<'_>, container: &str) -> Vec<(ObjectName, String, String, String)> {
    let Some((spec, container)) = workload.pod_spec().zip(workload.container(container)) else {
        return Vec::new();
    };
    let mounts = container.volume_mounts.iter().flatten();
    mounts
        .filter_map(|mount| {
            let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name)?;
            Some((mount, volume.config_map.as_ref()?))
        })
        .flat_map(|(mount, source)| {
            let object = ObjectName::namespaced("ConfigMap", workload.namespace(), source.name.clone());
            let data = view
                .facts
                .case
                .get::<ConfigMap>(&source.name)
                .and_then(|map| map.data.as_ref());
            data.into_iter()
                .flatten()
                .filter(|(key, _)| mount.sub_path.as_ref().is_none_or(|path| path == *key))
                .filter_map(move |(key, text)| {
                    let root = mount.mount_path.trim_end_matches('/');
                    let path = match &mount.sub_path {
                        Some(_) => root.to_owned(),
                        None => format!("{root}/{key}"),
                    };
                    Some((object.clone(), key.clone(), path, error_of(key, text)?))
                })
        })
        .collect()
}

/// What the parser of that ending says; none where the text is well, a template, or nothing that has a parser here.
fn error_of(key: &str, text: &str) -> Option<String> {
    if text.len() > LONGEST || text.contains("{{") || text.contains("${") {
        return None;
    }
    let (_, ending) = key.rsplit_once('.')?;
    match ending {
        "json" => serde_json::from_str::<IgnoredAny>(text)
            .err()
            .map(|error| error.to_string()),
        // Several documents are a stream, which programs read in their own ways.
        "yaml" | "yml" if !text.contains("\n---") => serde_saphyr::from_str::<IgnoredAny>(text)
            .err()
            .map(|error| error.to_string().lines().next().unwrap_or_default().to_owned()),
        _ => None,
    }
}
