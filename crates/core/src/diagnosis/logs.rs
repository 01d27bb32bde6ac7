//! What a program's log says about its own trouble: lines that match a known signature, grouped, with what they speak of.
//!
//! Signatures are phrases that programs and run times print when something is wrong, never single words: `error_rate=0` and
//! `ErrorHandler` match nothing. Lines that a program itself marks as information are not read. Must never treat a line as anything
//! but data. Called by the log analyzers and by `questions`.

pub mod answers;
mod condense;
mod endpoints;
mod line;
mod signatures;
pub mod silence;
pub mod templates;
mod traces;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use k8s_openapi::jiff::Timestamp;
use regex::Regex;

pub use condense::condense;
pub use endpoints::{Endpoint, endpoints};
pub use line::{Level, Line};
use signatures::SIGNATURES;
pub use signatures::Signature;
pub use traces::{Trace, last_trace};

use super::case_file::LogRecord;

/// Lines of one signature about one subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What kind.
    pub signature: Signature,
    /// What they speak of: a variable, a file, `host:port`; empty where nothing is named.
    pub subject: String,
    /// How many lines.
    pub count: usize,
    /// How many of them mark themselves as errors.
    pub errors: usize,
    /// Of a hundred lines since the first, how many are of this group.
    pub share: usize,
    /// One of them, shortened.
    pub sample: String,
    /// Time of the first, where the log has times.
    pub first: Option<Timestamp>,
    /// Time of the last.
    pub last: Option<Timestamp>,
    /// Whether it goes on until the end of what was read.
    pub ongoing: bool,
    /// Whether every line says that the program tries again.
    pub retried: bool,
    /// The last line of the log is one of them, or near.
    pub at_end: bool,
}

/// A cheap test before the table: most lines of most logs hold none of these.
static WORTH: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)fail|error|refus|denied|timed? ?out|timeout|unreachable|resol|missing|undefined|unset|unbound|not |required|unable|cannot|could ?n|no such|expired|certificate|pool|exhaust|too many|forbidden|deadlock|exception|panic|fatal|invalid|malformed|busy|slow|overload|full|\b50[0234]\b|\b429\b|exceed|crash|unavailable|reset|broken pipe|hang up|lost|disconnect|corrupt|lock|blocked|starv|expire|skew|thread|memory|migrat|deserializ|unmarshal|decode|poison|circuit|EOF|UNAVAIL|doesn't exist|does not exist|no longer|leak|stale|ENO|ECONN|EAI|EMFILE|EROFS|EACC|EADDR|EHOST|unauthorized|unterminated|must be|null|bad_alloc|read-only|no space|empty|WRONGPASS|NOAUTH|critical|severe|alert|emerg|protocol|TLS|413|too large|level\W{1,3}[56]0",
    )
    .ok()
});

static RETRY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)\bretry(?:ing)?\b|will (?:try|retry)|next try|try(?:ing)? again|attempt \d+ ?(?:/|of) ?\d+|backing off|reconnecting").ok()
});
static GAVE_UP: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)giv(?:ing|es|e) up|gave up|retries (?:exhausted|exceeded)|max(?:imum)?(?: number of)? retries|after \d+ (?:attempts|retries|tries)|attempts? #?[1-9]\d+\b|no more retries|retry limit").ok()
});

/// One line, read.
pub fn line(text: &str) -> Line<'_> {
    line::read(text)
}

/// How a line marks itself.
pub fn level(text: &str) -> Level {
    line::read(text).level
}

/// Whether a line says that the program tries again, and not that it gave up.
pub fn is_retry(text: &str) -> bool {
    let matches = |regex: &LazyLock<Option<Regex>>| regex.as_ref().is_some_and(|regex| regex.is_match(text));
    matches(&RETRY) && !matches(&GAVE_UP)
}

/// What the words of a line are about, whomever it names.
pub fn signature(text: &str) -> Option<Signature> {
    SIGNATURES
        .iter()
        .find(|(_, regex)| regex.is_match(text))
        .map(|(signature, _)| *signature)
}

/// Whether a log holds at least that many lines that mark themselves as errors.
pub fn has_errors(log: &LogRecord, least: usize) -> bool {
    log.lines
        .iter()
        .filter(|line| {
            WORTH.as_ref().is_some_and(|regex| regex.is_match(&line.text)) && level(&line.text) == Level::Error
        })
        .nth(least.saturating_sub(1))
        .is_some()
}

/// The lines of a log that tell of trouble, grouped by signature and subject, most frequent first.
pub fn read(log: &LogRecord) -> Vec<Group> {
    read_knowing(log, &BTreeSet::new())
}

/// The same, where these names are known as Services: a line that names one in plain words (`orders returned 503`) is about it.
pub fn read_knowing(log: &LogRecord, names: &BTreeSet<&str>) -> Vec<Group> {
    let mut groups: BTreeMap<(Signature, String), (Group, usize, usize)> = BTreeMap::new();
    let total = log.lines.len();
    for (index, line) in log.lines.iter().enumerate() {
        let text = line.text.as_str();
        if !WORTH.as_ref().is_some_and(|regex| regex.is_match(text)) {
            continue;
        }
        let read = line::read(text);
        if read.level == Level::Info {
            continue;
        }
        let Some((signature, subject)) = classify(log, index, &read.text, names) else {
            continue;
        };
        let retried = is_retry(&read.text);
        let (group, first_index, last_index) = groups.entry((signature, subject.clone())).or_insert_with(|| {
            (
                Group {
                    signature,
                    subject,
                    count: 0,
                    errors: 0,
                    share: 0,
                    sample: crate::text::clip(read.text.trim(), 240),
                    first: line.at,
                    last: line.at,
                    ongoing: false,
                    retried: true,
                    at_end: false,
                },
                index,
                index,
            )
        });
        group.count += 1;
        group.errors += usize::from(read.level == Level::Error);
        group.last = line.at.or(group.last);
        group.retried &= retried;
        *last_index = index;
        *first_index = index.min(*first_index);
    }
    let mut found: Vec<Group> = groups
        .into_values()
        .map(|(mut group, first_index, last_index)| {
            let after = total.saturating_sub(last_index + 1);
            let recent = match (group.first, group.last) {
                (Some(first), Some(last)) => goes_on(&group, first, last, log.read_at),
                _ => after <= (total / 4).max(10),
            };
            group.share = group.count * 100 / total.saturating_sub(first_index).max(1);
            group.at_end = after <= 5 && !log.earlier;
            group.ongoing = recent && (!log.earlier || group.last.is_some());
            group
        })
        .collect();
    found.sort_by(|a, b| b.count.cmp(&a.count).then(a.signature.cmp(&b.signature)));
    found
}

/// Whether lines that came at this pace would still come: silence for three times their distance ends them.
fn goes_on(group: &Group, first: Timestamp, last: Timestamp, now: Timestamp) -> bool {
    let pace = match i64::try_from(group.count) {
        Ok(count) if count > 1 => last.duration_since(first).as_secs() / (count - 1),
        _ => 20,
    };
    now.duration_since(last).as_secs() <= (pace.saturating_mul(3)).clamp(6, 600)
}

fn classify(log: &LogRecord, index: usize, text: &str, names: &BTreeSet<&str>) -> Option<(Signature, String)> {
    for (signature, regex) in SIGNATURES.iter() {
        let Some(captures) = regex.captures(text) else { continue };
        let first = captures
            .iter()
            .skip(1)
            .flatten()
            .map(|m| m.as_str())
            .next()
            .unwrap_or_default();
        let subject = match signature {
            Signature::MissingSetting | Signature::InvalidSetting => {
                if !looks_like_setting(first, text) {
                    continue;
                }
                first.to_owned()
            }
            Signature::Forbidden => {
                let get = |n: usize| captures.get(n).map_or("", |m| m.as_str());
                format!("{} cannot {} {}", get(1), get(2), get(3))
            }
            Signature::Refused
            | Signature::TimedOut
            | Signature::Dns
            | Signature::AuthFailed
            | Signature::RateLimited
            | Signature::CertificateExpired
            | Signature::Protocol
            | Signature::CertificateInvalid => near(log, index, text, names)
                .map(|endpoint| endpoint.to_string())
                .unwrap_or_default(),
            // Whose connection it was is told in the same line, or not at all: clients of the program's own hang up too.
            Signature::Reset => best(text)
                .or_else(|| named(text, names))
                .map(|endpoint| endpoint.to_string())
                .unwrap_or_default(),
            // An answer with an error is written with whom it came from; without, it may be the program's own answer.
            Signature::UpstreamError => match best(text).or_else(|| named(text, names)) {
                Some(endpoint) => endpoint.to_string(),
                None => continue,
            },
            Signature::FileMissing | Signature::CommandNotFound | Signature::SchemaMissing => first.to_owned(),
            _ => String::new(),
        };
        return Some((*signature, subject));
    }
    None
}

/// The host that a line is about: in the line itself, else within two lines of it. Names before addresses.
fn near(log: &LogRecord, index: usize, text: &str, names: &BTreeSet<&str>) -> Option<Endpoint> {
    let own = best(text);
    if own
        .as_ref()
        .is_some_and(|endpoint| endpoint.host.chars().any(|c| c.is_ascii_alphabetic()))
    {
        return own;
    }
    named(text, names).or(own).or_else(|| {
        [
            index.checked_add(1),
            index.checked_sub(1),
            index.checked_add(2),
            index.checked_sub(2),
        ]
        .into_iter()
        .flatten()
        .filter_map(|at| log.lines.get(at))
        .find_map(|line| best(&line.text))
    })
}

/// The first word of a line that is the name of a known Service, and not that of a user, a database or a table: those are often called
/// like the program that has them.
fn named(text: &str, names: &BTreeSet<&str>) -> Option<Endpoint> {
    const OTHER_THINGS: [&str; 11] = [
        "user", "username", "role", "account", "login", "database", "db", "schema", "table", "relation", "keyspace",
    ];
    if names.is_empty() {
        return None;
    }
    let mut before = "";
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| !word.is_empty())
        .find(|word| {
            let other_thing = OTHER_THINGS.iter().any(|thing| before.eq_ignore_ascii_case(thing));
            before = *word;
            !other_thing && names.contains(*word)
        })
        .map(|word| Endpoint {
            host: word.to_owned(),
            port: None,
        })
}

fn best(text: &str) -> Option<Endpoint> {
    let all = endpoints(text);
    all.iter()
        .find(|endpoint| endpoint.host.chars().any(|c| c.is_ascii_alphabetic()))
        .or_else(|| all.first())
        .cloned()
}

/// Names of settings hold an underscore, a dot or capitals only, or are quoted; words of prose do not.
fn looks_like_setting(name: &str, text: &str) -> bool {
    let capitals = name.len() >= 3
        && name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let known_prose = [
        "ERROR", "FATAL", "WARN", "WARNING", "CRITICAL", "HTTP", "FAILED", "JSON", "NULL", "TLS", "DNS",
    ];
    if known_prose.contains(&name) || name.ends_with('.') || name.ends_with('-') {
        return false;
    }
    let shaped = capitals
        || name.contains('_')
        || (name.contains('.') && !name.contains("..") && name.matches('.').count() <= 6);
    let quoted = ['"', '\'', '`']
        .iter()
        .any(|quote| text.contains(&format!("{quote}{name}{quote}")));
    shaped || (quoted && name.len() >= 3)
}

/// Numbers that a program prints as its memory, in order, in MiB: `using 80 MiB`, `peak_rss=61MiB`, `heapUsed: 70.1 MB`.
pub fn memory_series(log: &LogRecord) -> Vec<u64> {
    static MEMORY: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?i)\b(?:peak_?rss|rss|heap(?:[_ ]?used)?|mem(?:ory)?(?:[_ ](?:used|usage))?|using|used|allocated|resident)\w*\W{0,3}\s*(\d+(?:\.\d+)?)\s?(Ki?B|Mi?B|Gi?B)\b").ok()
    });
    let Some(regex) = MEMORY.as_ref() else {
        return Vec::new();
    };
    log.lines
        .iter()
        .filter(|line| line.text.len() <= 4096)
        .filter_map(|line| {
            let captures = regex.captures(&line.text)?;
            let unit = match captures.get(2)?.as_str().as_bytes().first()?.to_ascii_uppercase() {
                b'K' => "Ki",
                b'M' => "Mi",
                _ => "Gi",
            };
            super::quantity::bytes(&format!("{}{unit}", captures.get(1)?.as_str())).map(|bytes| bytes >> 20)
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::ObjectName;
    use crate::diagnosis::case_file::LogLine;

    pub(crate) fn log(text: &str) -> LogRecord {
        LogRecord {
            pod: ObjectName::namespaced("Pod", "n", "p"),
            container: "c".into(),
            previous: false,
            tail: 1500,
            earlier: false,
            read_at: "2026-03-01T12:00:00Z".parse().unwrap(),
            lines: text
                .lines()
                .map(|line| LogLine {
                    at: None,
                    text: line.into(),
                })
                .collect(),
            evidence: "E1".into(),
        }
    }

    fn only(text: &str) -> (Signature, String) {
        let groups = read(&log(text));
        assert_eq!(groups.len(), 1, "{text}: {groups:?}");
        let group = groups.into_iter().next().unwrap();
        (group.signature, group.subject)
    }

    #[test]
    fn every_signature_compiles() {
        assert_eq!(SIGNATURES.len(), signatures::table().len());
        assert!(
            [&WORTH, &RETRY, &GAVE_UP, &endpoints::HOST]
                .iter()
                .all(|regex| regex.is_some())
        );
    }

    #[test]
    fn words_of_prose_are_no_settings() {
        for name in ["GATEWAY_URL", "PORT", "S3", "db.pool.size", "retry_after", "P99"] {
            let long = name.len() >= 3;
            assert_eq!(looks_like_setting(name, "it is missing"), long, "{name}");
        }
        for name in [
            "ERROR",
            "HTTP",
            "TLS",
            "timeout",
            "OK",
            "Region",
            "a..b",
            "file.",
            "end-",
            "a.b.c.d.e.f.g.h",
            "Us2",
            "pool-size",
        ] {
            assert!(!looks_like_setting(name, "it is missing"), "{name}");
        }
        for (name, text, is_one) in [
            ("timeout", "key \"timeout\" is missing", true),
            ("region", "no 'region' was given", true),
            ("pool-size", "set `pool-size`", true),
            ("id", "no \"id\"", false),
            ("timeout", "the \"timeout is over", false),
            ("ERROR", "\"ERROR\" was logged", false),
            ("file.", "\"file.\" is missing", false),
            ("end-", "'end-' is missing", false),
        ] {
            assert_eq!(looks_like_setting(name, text), is_one, "{name}: {text}");
        }
    }

    #[test]
    fn missing_settings_are_named_in_many_dialects() {
        for (line, name) in [
            ("KeyError: 'GATEWAY_URL'", "GATEWAY_URL"),
            ("Environment variable REGION_CODE is undefined", "REGION_CODE"),
            ("FATAL missing required environment variable: API_BASE", "API_BASE"),
            ("Error: config key \"timeout\" not set", "timeout"),
            ("/entry.sh: line 3: QUEUE_NAME: unbound variable", "QUEUE_NAME"),
            (
                "java.lang.IllegalArgumentException: Could not resolve placeholder 'db.url' in value \"${db.url}\"",
                "db.url",
            ),
            ("required key APP_PORT missing value", "APP_PORT"),
            ("key not found: \"RAILS_KEY\" (KeyError)", "RAILS_KEY"),
            ("ERROR SMTP_HOST must be set", "SMTP_HOST"),
        ] {
            assert_eq!(only(line), (Signature::MissingSetting, name.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_name_of_an_error_is_not_found_within_another_word() {
        // "FileNotFound" holds the letters of ENOTFOUND.
        for line in [
            "FileNotFoundError: [Errno 2] No such file or directory: '/etc/store/routes.json'",
            "Unhandled exception. System.IO.FileNotFoundException: Could not find file '/etc/store/routes.json'.",
            "Error: ENOENT: no such file or directory, open '/etc/store/routes.json'",
        ] {
            assert_eq!(
                only(line),
                (Signature::FileMissing, "/etc/store/routes.json".to_owned()),
                "{line}"
            );
        }
    }

    #[test]
    fn calls_that_fail_name_whom_they_called() {
        for (line, signature, subject) in [
            (
                "ERROR could not connect to database stock-db:5432: [Errno 111] Connection refused",
                Signature::Refused,
                "stock-db:5432",
            ),
            (
                "dial tcp: lookup cart on 10.0.0.10:53: no such host",
                Signature::Dns,
                "cart",
            ),
            ("Error: getaddrinfo ENOTFOUND pricing", Signature::Dns, "pricing"),
            (
                "Get \"http://rates:8080/v1\": dial tcp 10.0.0.7:8080: connect: connection refused",
                Signature::Refused,
                "rates:8080",
            ),
            (
                "ERROR GET http://stock:8080/items failed: HTTP 503",
                Signature::UpstreamError,
                "stock:8080",
            ),
            (
                "HTTPConnectionPool(host='stock', port=8080): Read timed out. (read timeout=3)",
                Signature::TimedOut,
                "stock:8080",
            ),
        ] {
            assert_eq!(only(line), (signature, subject.to_owned()), "{line}");
        }
        let groups = read(&log(
            "java.net.ConnectException: Connection refused\nTarget host: ledger, port: 3333",
        ));
        assert_eq!(groups.first().unwrap().subject, "ledger:3333");
    }

    #[test]
    fn trouble_that_fell_silent_has_ended_and_what_comes_now_and_then_has_not() {
        let timed = |seconds: [i64; 3]| {
            let mut record = log("");
            record.lines = seconds
                .iter()
                .map(|ago| LogLine {
                    at: Some(record.read_at - k8s_openapi::jiff::SignedDuration::from_secs(*ago)),
                    text: "ERROR db:5432 connection refused".into(),
                })
                .collect();
            read(&record).first().unwrap().ongoing
        };
        assert!(timed([9, 6, 3]));
        assert!(!timed([26, 23, 20]));
        assert!(timed([700, 400, 100]));
    }

    #[test]
    fn words_in_healthy_lines_are_no_trouble() {
        for line in [
            "INFO error_rate=0 failures=0",
            "registered ErrorHandler for /api",
            "{\"level\":\"info\",\"msg\":\"retry policy: connection refused is retried\"}",
            "2026-01-01 10:00:00 DEBUG connect timeout set to 5s",
            "200 GET /errors/not-found.css",
            "LOG:  database system is ready to accept connections",
        ] {
            assert_eq!(read(&log(line)), [], "{line}");
        }
    }

    #[test]
    fn source_files_and_times_are_no_hosts() {
        assert_eq!(endpoints("app.py:31 at 12:30:15 line:20 localhost:80"), []);
        assert_eq!(
            endpoints("postgres://u:p@db.shop.svc:5432/x")
                .first()
                .unwrap()
                .to_string(),
            "db.shop.svc:5432"
        );
    }

    #[test]
    fn a_trace_names_the_innermost_frame_of_the_application() {
        let trace = last_trace(&log(
            "Traceback (most recent call last):\n  File \"/app/app.py\", line 40, in <module>\n    main()\n  File \"/app/app.py\", line 31, in main\n    x\n  File \"<frozen os>\", line 685, in __getitem__\nKeyError: 'X'",
        ))
        .unwrap();
        assert_eq!(
            (trace.language, trace.frame.as_deref(), trace.error.as_str()),
            ("Python", Some("/app/app.py:31"), "KeyError: 'X'")
        );
        let trace = last_trace(&log(
            "Exception in thread \"main\" java.lang.IllegalStateException: boom\n\tat java.base/java.util.X(X.java:1)\n\tat com.shop.Cart.add(Cart.java:17)\n\tat com.shop.Main.main(Main.java:3)",
        ))
        .unwrap();
        assert_eq!((trace.language, trace.frame.as_deref()), ("Java", Some("Cart.java:17")));
        let trace = last_trace(&log("thread 'main' panicked at src/main.rs:5:10:\nindex out of bounds")).unwrap();
        assert_eq!(
            (trace.language, trace.error.as_str()),
            ("Rust", "panic: index out of bounds")
        );
    }

    #[test]
    fn memory_is_read_where_a_program_prints_it() {
        assert_eq!(
            memory_series(&log("using 80 MiB\nstats: peak_rss=90MiB threads=2\nheapUsed: 1.5 GB")),
            [80, 90, 1536]
        );
    }
}
