//! Source code and settings that evidence holds (a ConfigMap that a pod mounts), read beside what goes wrong: lines that can bring it.
//! What only grows, what is taken and never given back, calls that are tried again without a pause, timeouts that are too short.
//!
//! Evidence: the ConfigMap and a finding of the kind that such a line brings. Looks alike: the same line in a program that is well; it is
//! never claimed alone, and it is shown beside the cause, never as the cause. Must never run anything: text is data.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::ConfigMap;
use regex::Regex;

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::text::clip;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[known(
    "SuspectCode",
    "A line of mounted source code can bring the fault that was found; shown beside the cause.",
    "The ConfigMap that holds the code, and a fault of the kind that such a line brings.",
    "The same line in a program that is well.",
)];

/// Longer texts are not read.
const MAX: usize = 131_072;

/// What kind of line is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Grows,
    NotGivenBack,
    NoPause,
    ShortTimeout,
    Unlocked,
}

fn wanted(category: &str) -> &'static [Fault] {
    match category {
        "OutOfMemory" | "OutOfMemoryInProcess" => &[Fault::Grows],
        "ConnectionPoolExhausted" | "TooManyOpenFiles" | "ProcessLimitReached" => &[Fault::NotGivenBack, Fault::Grows],
        "DependencyFails" | "ExternalDependencyFails" | "CpuThrottled" | "SlowRequests" => {
            &[Fault::NoPause, Fault::ShortTimeout]
        }
        "Deadlock" | "LockContention" | "Stalled" => &[Fault::Unlocked],
        _ => &[],
    }
}

/// Nothing is claimed without a fault that the code can bring: see `suspects`.
pub(super) fn analyze(_: &View<'_>) -> Vec<Finding> {
    Vec::new()
}

/// Lines that can bring what was found.
pub(super) fn suspects(view: &View<'_>, findings: &[Finding]) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    let mut read: BTreeMap<&ObjectName, Vec<(ObjectName, String, &str, &str)>> = BTreeMap::new();
    for finding in findings {
        let wanted = wanted(&finding.category);
        let Some(workload) = view.facts.workload(&finding.object).filter(|_| !wanted.is_empty()) else {
            continue;
        };
        if found.iter().any(|known| known.object == workload.name) {
            continue;
        }
        let sources = read.entry(&workload.name).or_insert_with(|| sources(view, workload));
        let hit = sources.iter().find_map(|(map, key, text, evidence)| {
            wanted
                .iter()
                .find_map(|fault| look(*fault, text).map(|(line, why)| (map, key, line, why, *evidence)))
        });
        let Some((map, key, line, why, evidence)) = hit else {
            continue;
        };
        found.push(
            claim("SuspectCode", &workload.name, Depth::Mechanism, Basis::Inferred, 0)
                .says(format!(
                    "the code that {} runs can bring this: {key} line {} in {map}: `{}`: {why}",
                    workload.name,
                    line.0,
                    clip(line.1.trim(), 120)
                ))
                .cites([evidence, workload.evidence])
                .since(finding.since)
                .manual(format!("look at line {} of {key} in {map}: {why}", line.0))
                .done(),
        );
    }
    found
}

/// Texts of programs that a workload mounts: ConfigMap, key, text, evidence.
fn sources<'v>(view: &'v View<'_>, workload: &Workload<'_>) -> Vec<(ObjectName, String, &'v str, &'v str)> {
    let Some(spec) = workload.pod_spec() else {
        return Vec::new();
    };
    spec.volumes
        .iter()
        .flatten()
        .filter_map(|volume| volume.config_map.as_ref())
        .filter_map(|source| {
            let name = ObjectName::namespaced("ConfigMap", workload.namespace(), source.name.clone());
            let evidence = view.facts.case.entry(&name)?.evidence.as_str();
            let map = view.facts.case.get::<ConfigMap>(&name.name)?;
            Some(
                map.data
                    .iter()
                    .flatten()
                    .map(move |(key, text)| (name.clone(), key.clone(), text.as_str(), evidence)),
            )
        })
        .flatten()
        .filter(|(_, key, text, _)| is_code(key) && text.len() <= MAX)
        .collect()
}

fn is_code(key: &str) -> bool {
    key.rsplit_once('.').is_some_and(|(_, end)| {
        matches!(
            end,
            "py" | "js" | "mjs" | "cjs" | "ts" | "go" | "rb" | "java" | "rs" | "php" | "sh" | "cs" | "kt"
        )
    })
}

type Pattern = LazyLock<Option<Regex>>;
/// A name that the whole module sees, bound to an empty collection.
static COLLECTION: Pattern = LazyLock::new(|| {
    Regex::new(r"^(?:(?:export )?(?:const|let|var|static|private static final \S+|public static \S+)\s+)?\$?([A-Za-z_]\w*)\s*(?::\s*[^=]+)?=\s*(?:\[\]|\{\}|list\(\)|dict\(\)|set\(\)|defaultdict\(.*\)|new (?:Map|Set|Array|ArrayList|HashMap|ConcurrentHashMap)\b.*|make\(map\[.*|map\[[^\]]*\]\S*\{\}|\[\]\S+\{\}|Hash\.new|Array\.new)\s*;?\s*(?:[#/].*)?$").ok()
});
static TAKEN: Pattern = LazyLock::new(|| {
    Regex::new(r"(?i)\b(?:getconn|get_connection|getConnection|pool\.(?:acquire|get|connect|checkout)|\.connect\(|open\(|socket\.socket\(|urlopen\(|sqlite3\.connect|createConnection|db\.Query\(|http\.Get\(|Thread\()").ok()
});
static GIVEN: Pattern = LazyLock::new(|| {
    Regex::new(r"(?i)\bwith\b.{0,80}\bas\b|putconn|\.release\(|\.close\(|\.Close\(|\.end\(|\.join\(|finally|defer |using ?\(|try ?\(|contextmanager").ok()
});
static LOOP: Pattern = LazyLock::new(|| {
    Regex::new(
        r"^\s*(?:while\s*(?:\(?\s*(?:True|true|1|:)|[^:{]*retr)|for\s*(?:\(;;\)|\{|\(?.*(?:attempt|retr|tries)))",
    )
    .ok()
});
static PAUSE: Pattern = LazyLock::new(|| {
    Regex::new(r"(?i)sleep|backoff|back_off|setTimeout|delay|\.wait\(|time\.After|Ticker|jitter").ok()
});
static CALLS: Pattern = LazyLock::new(|| {
    Regex::new(
        r"(?i)requests\.|urlopen|http\.|fetch\(|axios|\.query\(|\.execute\(|connect\(|\.call\(|\.send\(|curl |wget ",
    )
    .ok()
});
static RESCUE: Pattern = LazyLock::new(|| Regex::new(r"(?i)\bexcept\b|\bcatch\b|\brescue\b|err != nil|\|\|").ok());
static TIMEOUT: Pattern = LazyLock::new(|| {
    Regex::new(r#"(?i)\b\w*timeout\w*["']?\s*[:=(]\s*(\d+(?:\.\d+)?)\s*(\*\s*time\.(?:Millisecond|Second))?"#).ok()
});
static LOCK: Pattern = LazyLock::new(|| {
    Regex::new(
        r"(?i)\b(?:\w+\.)?(\w*(?:lock|mutex)\w*)\.(?:acquire|lock)\(|with (\w*lock\w*)\b|synchronized ?\((\w+)\)",
    )
    .ok()
});

fn has(pattern: &Pattern, text: &str) -> bool {
    pattern.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// The first line that shows the fault, with its number, and why.
fn look(fault: Fault, text: &str) -> Option<((usize, &str), &'static str)> {
    let lines: Vec<&str> = text.lines().collect();
    let numbered = |index: usize| lines.get(index).map(|line| (index + 1, *line));
    match fault {
        Fault::Grows => lines.iter().find_map(|line| {
            let name = COLLECTION.as_ref()?.captures(line)?.get(1)?.as_str();
            let grows = [
                ".append(",
                ".push(",
                ".add(",
                ".set(",
                ".put(",
                ".extend(",
                ".update(",
                "[",
                " = append(",
                " << ",
                " += ",
            ];
            let shrinks = [
                ".pop",
                ".clear(",
                ".remove(",
                ".delete(",
                ".shift(",
                ".splice(",
                ".discard(",
                ".popleft(",
                ".evict",
                ".truncate(",
                ".length = 0",
            ];
            if shrinks.iter().any(|word| text.contains(&format!("{name}{word}")))
                || text.contains(&format!("del {name}"))
                || text.contains(&format!("delete({name}"))
                || text.contains(&format!("len({name}) >"))
                || text.contains(&format!("{name}.length >"))
                || text.contains(&format!("{name}.size >"))
            {
                return None;
            }
            let at = lines.iter().position(|other| {
                other.starts_with([' ', '\t'])
                    && grows.iter().any(|word| {
                        let written = other.contains(&format!("{name}{word}"));
                        written && (*word != "[" || other.contains("] =") || other.contains("]="))
                    })
            })?;
            Some((
                numbered(at)?,
                "a collection that lives as long as the program and only grows: a leak",
            ))
        }),
        Fault::NotGivenBack => {
            let at = lines.iter().position(|line| has(&TAKEN, line) && !has(&GIVEN, line))?;
            let around = lines.get(at..lines.len().min(at + 25))?.join("\n");
            (!has(&GIVEN, &around))
                .then(|| {
                    Some((
                        numbered(at)?,
                        "a connection, file or thread that is taken and not given back",
                    ))
                })
                .flatten()
        }
        Fault::NoPause => {
            let at = lines.iter().enumerate().position(|(index, line)| {
                let body = lines
                    .get(index..lines.len().min(index + 15))
                    .unwrap_or_default()
                    .join("\n");
                has(&LOOP, line) && has(&CALLS, &body) && has(&RESCUE, &body) && !has(&PAUSE, &body)
            })?;
            Some((
                numbered(at)?,
                "a failed call is tried again at once, without a pause or an end: a retry storm",
            ))
        }
        Fault::ShortTimeout => lines.iter().enumerate().find_map(|(index, line)| {
            let captures = TIMEOUT.as_ref()?.captures(line)?;
            let number: f64 = captures.get(1)?.as_str().parse().ok()?;
            let millis = captures.get(2).is_some_and(|unit| unit.as_str().contains("Milli"));
            let short = if millis {
                number < 100.0
            } else {
                number > 0.0 && number < 0.2
            };
            short
                .then(|| {
                    Some((
                        numbered(index)?,
                        "a timeout that is shorter than the call may well take",
                    ))
                })
                .flatten()
        }),
        Fault::Unlocked => {
            // Two locks that are taken in both orders.
            let taken: Vec<(usize, String)> = lines
                .iter()
                .enumerate()
                .filter_map(|(index, line)| {
                    let captures = LOCK.as_ref()?.captures(line)?;
                    let name = captures.iter().skip(1).flatten().next()?.as_str().to_owned();
                    Some((index, name))
                })
                .collect();
            let pairs: Vec<(usize, &str, &str)> = taken
                .windows(2)
                .filter_map(|pair| match pair {
                    [(at, first), (then, second)] if first != second && then - at <= 6 => {
                        Some((*then, first.as_str(), second.as_str()))
                    }
                    _ => None,
                })
                .collect();
            pairs
                .iter()
                .find(|(_, a, b)| pairs.iter().any(|(_, c, d)| a == d && b == c))
                .and_then(|(at, ..)| {
                    Some((
                        numbered(*at)?,
                        "two locks are taken here in the opposite order of another place: a deadlock",
                    ))
                })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn line(fault: Fault, text: &str) -> Option<usize> {
        look(fault, text).map(|((line, _), _)| line)
    }

    #[test]
    fn every_pattern_compiles() {
        assert!(
            [
                &COLLECTION,
                &TAKEN,
                &GIVEN,
                &LOOP,
                &PAUSE,
                &CALLS,
                &RESCUE,
                &TIMEOUT,
                &LOCK
            ]
            .iter()
            .all(|regex| regex.is_some())
        );
    }

    #[test]
    fn what_only_grows_is_found_and_what_is_trimmed_is_not() {
        assert_eq!(
            line(Fault::Grows, "SEEN = {}\ndef f(x):\n    SEEN[x.id] = x\n"),
            Some(3)
        );
        assert_eq!(
            line(
                Fault::Grows,
                "const sessions = [];\nfunction f(s) {\n  sessions.push(s);\n}\n"
            ),
            Some(3)
        );
        assert_eq!(
            line(
                Fault::Grows,
                "SEEN = {}\ndef f(x):\n    SEEN[x.id] = x\n    if len(SEEN) > 9:\n        SEEN.clear()\n"
            ),
            None
        );
        assert_eq!(
            line(
                Fault::Grows,
                "def f(x):\n    seen = []\n    seen.append(x)\n    return seen\n"
            ),
            None
        );
    }

    #[test]
    fn what_is_taken_and_kept_is_found() {
        assert_eq!(
            line(
                Fault::NotGivenBack,
                "def f():\n    c = pool.getconn()\n    return c.execute('x')\n"
            ),
            Some(2)
        );
        assert_eq!(
            line(
                Fault::NotGivenBack,
                "def f():\n    c = pool.getconn()\n    try:\n        return c.execute('x')\n    finally:\n        pool.putconn(c)\n"
            ),
            None
        );
        assert_eq!(line(Fault::NotGivenBack, "with open('f') as f:\n    pass\n"), None);
    }

    #[test]
    fn a_retry_without_a_pause_is_found() {
        let storm = "def call():\n    while True:\n        try:\n            return requests.get(URL)\n        except Exception:\n            continue\n";
        assert_eq!(line(Fault::NoPause, storm), Some(2));
        assert_eq!(line(Fault::NoPause, &storm.replace("continue", "time.sleep(2)")), None);
    }

    #[test]
    fn a_timeout_that_is_too_short_is_found() {
        assert_eq!(
            line(Fault::ShortTimeout, "r = requests.get(URL, timeout=0.05)\n"),
            Some(1)
        );
        assert_eq!(
            line(
                Fault::ShortTimeout,
                "client := http.Client{Timeout: 50 * time.Millisecond}\n"
            ),
            Some(1)
        );
        assert_eq!(line(Fault::ShortTimeout, "r = requests.get(URL, timeout=5)\n"), None);
    }

    #[test]
    fn locks_in_both_orders_are_found() {
        let text = "def a():\n    with lock_a:\n        with lock_b:\n            pass\ndef b():\n    x = 1\n    y = 2\n    z = 3\n    w = 4\n    with lock_b:\n        with lock_a:\n            pass\n";
        assert_eq!(line(Fault::Unlocked, text), Some(3));
        assert_eq!(
            line(Fault::Unlocked, "with lock_a:\n    with lock_b:\n        pass\n"),
            None
        );
    }
}
