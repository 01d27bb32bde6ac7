//! What a program lacks around it, by its own last words: line endings of its script, a locale, a time zone, the right time, shared
//! memory, processes, a port that it may take, the token of its ServiceAccount.
//!
//! Evidence: the end of the log of a container that fails. Looks alike: the general phrases of `signatures` (permission denied, no space
//! left, no such file), which leave to this analyzer what it names more exactly.

use std::sync::LazyLock;

use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use regex::{Regex, RegexSet};

use super::{KnownCause, View, claim, known, merge};
use crate::api::ObjectName;
use crate::diagnosis::case_file::LogRecord;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::{Group, Signature};
use crate::text::clip;

/// Lines from the end of a log that are its last words.
const LAST: usize = 40;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "LineEndings",
        "A script has Windows line endings (CRLF), so its interpreter or its commands are not found.",
        "A carriage return in the shell's message; the ConfigMap that holds the script.",
        "A command that is not in the image.",
    ),
    known(
        "ScriptInterpreterMissing",
        "A script is there and its interpreter (its first line) is not in the image.",
        "exec of a script: no such file or directory, bad interpreter.",
        "A script that is not there; Windows line endings, which look the same where the message hides them.",
    ),
    known(
        "UnquotedExpansion",
        "A shell expansion without quotes became several words or none.",
        "The shell's message: too many arguments, unary operator expected, ambiguous redirect.",
        "A setting that is missing: the shell names it (unbound variable).",
    ),
    known(
        "ClockSkew",
        "The clocks of two machines disagree, so that a token or certificate is not valid yet.",
        "The log: not yet valid, used before issued, time too skewed.",
        "A certificate that has expired.",
    ),
    known(
        "LocaleMissing",
        "The image does not have the locale that LANG or LC_ALL names, or none that can hold the text.",
        "The log: unsupported locale setting, 'ascii' codec.",
        "A file in another encoding.",
    ),
    known(
        "TimeZoneMissing",
        "The image has no time zone data, or TZ names a zone that does not exist.",
        "The log: unknown time zone, no time zone found.",
        "A clock that is wrong.",
    ),
    known(
        "SharedMemoryTooSmall",
        "/dev/shm, 64 MiB unless an emptyDir of medium Memory is mounted there, is too small.",
        "The log: shared memory segment, Bus error of a worker, /dev/shm.",
        "A full disk: the words are the same (no space left on device).",
    ),
    known(
        "ProcessLimitReached",
        "No further process or thread can be started: a limit of the pod or the node.",
        "The log: unable to create native thread, fork: resource temporarily unavailable.",
        "Memory that is used up.",
    ),
    known(
        "FileWatchLimitReached",
        "The node's limit of file watches (inotify) is reached.",
        "The log: file watchers, inotify.",
        "A full disk or too many open files: the words are the same.",
    ),
    known(
        "PrivilegedPort",
        "The program wants a port below 1024 and does not run as root.",
        "The log: bind to the port: permission denied.",
        "A file that may not be read.",
    ),
    known(
        "ServiceAccountTokenNotMounted",
        "The program speaks to the Kubernetes API, and the pod has no token.",
        "The log names the token's path; automountServiceAccountToken.",
        "A token that is there and may not do something (RBAC).",
    ),
];

/// What to look for, in the order of `CAUSES`.
const PHRASES: [(&str, &str); 11] = [
    (
        "LineEndings",
        r"\$'\\r'|\\r'?: (?:command not found|No such file)|\r['’]?: |[a-z0-9]\\r(?:'|’|: No such file)|\^M: bad interpreter|\r: bad interpreter",
    ),
    (
        "ScriptInterpreterMissing",
        r"(?i)exec /\S+: no such file or directory|bad interpreter: no such file|exec user process caused:? \S*no such file",
    ),
    (
        "UnquotedExpansion",
        r"\[: too many arguments|\[: .{0,60}(?:unary|binary) operator expected|integer expression expected|ambiguous redirect|\[: .{0,60}unexpected operator",
    ),
    (
        "ClockSkew",
        r"(?i)certificate is not yet valid|current time \S+ is before|(?:token|jwt) (?:is )?(?:used before issued|not (?:yet )?(?:valid|active))|RequestTimeTooSkewed|clock skew|issued in the future|system clock",
    ),
    (
        "LocaleMissing",
        r"(?i)unsupported locale setting|cannot change locale|'ascii' codec can't (?:en|de)code|locale::facet::_S_create_c_locale|cannot set LC_|could not set (?:the )?locale",
    ),
    (
        "TimeZoneMissing",
        r"(?i)unknown time ?zone|no time zone found with key|ZoneInfoNotFoundError|TimeZoneNotFoundException|missing Location in call to|cannot find (?:the )?time ?zone",
    ),
    (
        "SharedMemoryTooSmall",
        r"(?i)could not resize shared memory segment|DataLoader worker .{0,60}Bus error|insufficient shared memory|/dev/shm\b.{0,80}(?:no space|too small|full)|no space left on device.{0,60}/dev/shm|shm_open.{0,60}(?:no space|ENOSPC)",
    ),
    (
        "ProcessLimitReached",
        r"(?i)unable to create (?:new )?native thread|can't start new thread|pthread_create(?: failed|.{0,30}resource temporarily)|fork:? .{0,30}resource temporarily unavailable|cannot fork|failed to create new os thread",
    ),
    (
        "FileWatchLimitReached",
        r"(?i)limit for number of file watchers|inotify.{0,60}(?:too many open files|no space left|limit)|too many open files.{0,40}inotify|ENOSPC.{0,60}watch",
    ),
    (
        "PrivilegedPort",
        r"(?i)bind\(?\)?.{0,60}:(?:[1-9]\d{0,2}|10[01]\d|102[0-3])\b.{0,60}(?:permission denied|EACCES)|EACCES.{0,40}:(?:[1-9]\d{0,2}|10[01]\d|102[0-3])\b|listen tcp .{0,30}:(?:[1-9]\d{0,2}|10[01]\d|102[0-3]): bind: permission denied|could not bind.{0,60}permission denied",
    ),
    (
        "ServiceAccountTokenNotMounted",
        r"(?i)/var/run/secrets/kubernetes\.io/serviceaccount\S*.{0,20}no such file|unable to load in-cluster config|open /var/run/secrets/kubernetes\.io",
    ),
];

static SET: LazyLock<Option<RegexSet>> =
    LazyLock::new(|| RegexSet::new(PHRASES.iter().map(|(_, phrase)| *phrase)).ok());
static SCRIPT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(/[\w./-]+)").ok());

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (log, workload) in super::signatures::failing_logs(view) {
        let last = log
            .lines
            .iter()
            .rev()
            .filter(|line| !line.text.trim().is_empty())
            .take(LAST);
        if let Some((category, line)) = last.into_iter().find_map(|line| Some((category_of(&line.text)?, line))) {
            merge(&mut found, judge(view, workload, log, category, &line.text));
        } else if let Some(line) = refused_bind(log) {
            merge(&mut found, judge(view, workload, log, "PrivilegedPort", line));
        }
    }
    found
}

/// A stack trace that ends with a refusal and went through a call of `bind`: the message itself names no port.
fn refused_bind(log: &LogRecord) -> Option<&str> {
    let (at, line) = log.lines.iter().enumerate().rev().take(LAST).find(|(_, line)| {
        line.text.starts_with("PermissionError: [Errno 13]")
            || line.text.contains("java.net.SocketException: Permission denied")
    })?;
    log.lines
        .get(at.saturating_sub(8)..(at + 8).min(log.lines.len()))?
        .iter()
        .any(|near| near.text.contains(".bind(") || near.text.contains(".bind0("))
        .then_some(line.text.as_str())
}

/// Whether this analyzer names more exactly what that line says.
pub(super) fn names(line: &str) -> bool {
    category_of(line).is_some()
}

/// Whether this analyzer names more exactly what the log of that position ends with.
pub(super) fn explains(view: &View<'_>, at: usize, group: &Group) -> bool {
    names(&group.sample)
        || (group.signature == Signature::PermissionDenied
            && view
                .facts
                .case
                .logs()
                .get(at)
                .is_some_and(|log| refused_bind(log).is_some()))
}

fn category_of(line: &str) -> Option<&'static str> {
    let text = line.get(..line.floor_char_boundary(2000)).unwrap_or(line);
    let index = SET.as_ref()?.matches(text).iter().next()?;
    PHRASES.get(index).map(|(category, _)| *category)
}

fn judge(view: &View<'_>, workload: &Workload<'_>, log: &LogRecord, category: &'static str, line: &str) -> Finding {
    let container = &log.container;
    let (what, advice) = words(category);
    let mut object = workload.name.clone();
    let mut extra = String::new();
    let mut cited = vec![log.evidence.as_str(), workload.evidence];
    let mut agreeing = 1;
    match category {
        "LineEndings" | "ScriptInterpreterMissing" => {
            if let Some((map, id, key)) = script_with_returns(view, workload, line) {
                extra = format!("; the script is the key {key} of {map}, which has carriage returns");
                object = map;
                cited.push(id);
                agreeing += 1;
            }
        }
        "PrivilegedPort" => {
            let low: Vec<String> = workload
                .containers()
                .iter()
                .filter(|one| one.name == *container)
                .flat_map(|one| one.ports.iter().flatten())
                .filter(|port| port.container_port < 1024)
                .map(|port| port.container_port.to_string())
                .collect();
            if !low.is_empty() {
                extra = format!("; it declares port {}", low.join(", "));
                agreeing += 1;
            }
        }
        "SharedMemoryTooSmall" if !mounts(workload, "/dev/shm") => {
            " and no volume is mounted at /dev/shm, so it has the usual 64 MiB".clone_into(&mut extra);
            agreeing += 1;
        }
        "ServiceAccountTokenNotMounted" => {
            let spec = workload.pod_spec();
            let account = spec
                .and_then(|spec| spec.service_account_name.as_deref())
                .unwrap_or("default");
            let off = spec.and_then(|spec| spec.automount_service_account_token) == Some(false)
                || view
                    .facts
                    .case
                    .get::<ServiceAccount>(account)
                    .is_some_and(|account| account.automount_service_account_token == Some(false));
            if off {
                "; automountServiceAccountToken is false".clone_into(&mut extra);
                agreeing += 1;
            }
        }
        _ => {}
    }
    let affects = (object != workload.name).then(|| workload.name.clone());
    claim(category, &object, Depth::Fault, Basis::Logged, agreeing)
        .says(format!(
            "container {container} of {}: {what}{extra} (\"{}\")",
            workload.name,
            clip(line.trim().replace('\r', "\\r").as_str(), 200)
        ))
        .cites(cited)
        .affects(affects)
        .manual(advice)
        .done()
}

fn words(category: &str) -> (&'static str, &'static str) {
    match category {
        "LineEndings" => (
            "its script has Windows line endings (CRLF), so names end in a carriage return and are not found",
            "save the script with Unix line endings (LF) and start the pods anew",
        ),
        "ScriptInterpreterMissing" => (
            "its script is there, and the interpreter that the script's first line names is not in the image (or ends in a carriage return)",
            "use an interpreter that the image has (sh instead of bash), or save the script with Unix line endings",
        ),
        "UnquotedExpansion" => (
            "a shell expansion without quotes became several words or none",
            "put quotes around the expansion (\"$NAME\") in the container's command or script",
        ),
        "ClockSkew" => (
            "the clocks of two machines disagree: what was just issued is not valid yet",
            "correct the time of the node (NTP) or of the server that issues",
        ),
        "LocaleMissing" => (
            "the locale that it asks for is not in its image, or cannot hold the text",
            "set LANG and LC_ALL to a locale that the image has (C.UTF-8), or install the locale in the image",
        ),
        "TimeZoneMissing" => (
            "its image has no data for the time zone that it asks for",
            "install tzdata in the image, or correct TZ",
        ),
        "SharedMemoryTooSmall" => (
            "its shared memory (/dev/shm) is too small",
            "mount an emptyDir of medium Memory with a sizeLimit at /dev/shm; it counts as memory of the container",
        ),
        "ProcessLimitReached" => (
            "it can start no further process or thread",
            "find what starts so many (a pool without bound, zombies), or raise the node's limit of pids for each pod",
        ),
        "FileWatchLimitReached" => (
            "the node's limit of file watches (inotify) is reached",
            "raise fs.inotify.max_user_watches and max_user_instances on the node, or watch fewer files",
        ),
        "PrivilegedPort" => (
            "it wants a port below 1024 and does not run as root",
            "let it listen above 1024 and let the Service's targetPort follow, or allow NET_BIND_SERVICE",
        ),
        _ => (
            "it speaks to the Kubernetes API, and the pod has no token of its ServiceAccount",
            "set automountServiceAccountToken to true for pods that need the API",
        ),
    }
}

fn mounts(workload: &Workload<'_>, path: &str) -> bool {
    workload
        .containers()
        .iter()
        .flat_map(|container| container.volume_mounts.iter().flatten())
        .any(|mount| mount.mount_path.trim_end_matches('/') == path)
}

/// A mounted ConfigMap that holds the script that the line names (or any, where it names none), with carriage returns.
fn script_with_returns<'v>(
    view: &'v View<'_>,
    workload: &Workload<'_>,
    line: &str,
) -> Option<(ObjectName, &'v str, String)> {
    let named: Vec<&str> = SCRIPT
        .as_ref()?
        .find_iter(line)
        .filter_map(|path| path.as_str().rsplit('/').next())
        .collect();
    let volumes = workload.pod_spec()?.volumes.iter().flatten();
    let maps: Vec<&str> = volumes
        .filter_map(|volume| volume.config_map.as_ref())
        .map(|source| source.name.as_str())
        .collect();
    view.facts
        .case
        .all::<ConfigMap>()
        .filter(|(name, _, _)| maps.contains(&name.name.as_str()))
        .find_map(|(name, map, id)| {
            let broken = map.data.iter().flatten().filter(|(_, text)| text.contains("\r\n"));
            let key = broken
                .map(|(key, _)| key)
                .max_by_key(|key| named.contains(&key.as_str()))?;
            Some((name.clone(), id, key.clone()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phrase_compiles_and_stands_in_the_table() {
        assert!(SET.is_some());
        for (category, _) in PHRASES {
            assert!(CAUSES.iter().any(|cause| cause.category == category), "{category}");
        }
    }

    #[test]
    fn phrases_of_shells_and_run_times_are_told_apart() {
        for (line, category) in [
            (
                "/scripts/run.sh: line 2: $'\\r': command not found",
                Some("LineEndings"),
            ),
            ("env: 'bash\\r': No such file or directory", Some("LineEndings")),
            (
                "exec /entrypoint.sh: no such file or directory",
                Some("ScriptInterpreterMissing"),
            ),
            ("sh: 1: [: too many arguments", Some("UnquotedExpansion")),
            (
                "/bin/sh: line 3: [: =: unary operator expected",
                Some("UnquotedExpansion"),
            ),
            (
                "x509: certificate has expired or is not yet valid: current time 2026-01-01T00:00:00Z is before 2026-02-01T00:00:00Z",
                Some("ClockSkew"),
            ),
            (
                "x509: certificate has expired or is not yet valid: current time 2026-03-01T00:00:00Z is after 2026-02-01T00:00:00Z",
                None,
            ),
            ("locale.Error: unsupported locale setting", Some("LocaleMissing")),
            ("panic: unknown time zone Europe/Nowhere", Some("TimeZoneMissing")),
            (
                "ERROR:  could not resize shared memory segment \"/PostgreSQL.1\" to 8388608 bytes: No space left on device",
                Some("SharedMemoryTooSmall"),
            ),
            ("write /data/x: no space left on device", None),
            (
                "java.lang.OutOfMemoryError: unable to create native thread: possibly out of memory",
                Some("ProcessLimitReached"),
            ),
            (
                "Error: ENOSPC: System limit for number of file watchers reached, watch '/app'",
                Some("FileWatchLimitReached"),
            ),
            (
                "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)",
                Some("PrivilegedPort"),
            ),
            ("listen tcp :80: bind: permission denied", Some("PrivilegedPort")),
            ("open /etc/app/x: permission denied", None),
            (
                "open /var/run/secrets/kubernetes.io/serviceaccount/token: no such file or directory",
                Some("ServiceAccountTokenNotMounted"),
            ),
            ("bash: curl: command not found", None),
        ] {
            assert_eq!(category_of(line), category, "{line}");
        }
    }
}
