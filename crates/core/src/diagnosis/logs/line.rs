//! One line as a person would read it: how it marks itself, and its message, whether it is plain text, JSON, logfmt or coloured.
//!
//! A structured line is reduced to its message and its error fields, so that names and counters of other fields (`error_rate=0`,
//! `"errors":0`) are never taken for words of trouble. Must never lose a message. Called by `logs` and by `templates`.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

/// Longer lines are read to here.
const MAX: usize = 16_384;

/// How a line marks itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Information or less.
    Info,
    /// No mark.
    Unmarked,
    /// A warning.
    Warning,
    /// An error or worse.
    Error,
}

/// A line, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'l> {
    /// How it marks itself.
    pub level: Level,
    /// Its message, with what its error fields say.
    pub text: Cow<'l, str>,
    /// The program or component that a structured line names as its own.
    pub service: Option<String>,
    /// A stack trace that a structured line carries in one of its fields.
    pub stack: Option<String>,
}

static MARK: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?:^|[\s\[(<|:])(TRACE|DEBUG|INFO|NOTICE|LOG|WARN|WARNING|ERROR|ERR|FATAL|CRITICAL|CRIT|SEVERE|PANIC|ALERT|EMERG|Trace|Debug|Info|Warn|Warning|Error|Fatal|Critical|trce|dbug|info|warn|fail|crit)(?:[\s\])>|:]|$)|^([EWIF])\d{4} \d|^(?:level|severity|lvl)=(\w+)").ok()
});
static LOGFMT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?:^|\s)([A-Za-z_@][\w.@-]*)=(?:"((?:[^"\\]|\\.)*)"|(\S*))"#).ok());
static COLOUR: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("\u{1b}\\[[0-9;]*[A-Za-z]").ok());

const LEVEL_KEYS: [&str; 8] = [
    "level",
    "severity",
    "lvl",
    "log.level",
    "levelname",
    "loglevel",
    "@l",
    "LogLevel",
];
const MESSAGE_KEYS: [&str; 8] = ["msg", "message", "@m", "event", "log", "text", "Message", "body"];
const ERROR_KEYS: [&str; 14] = [
    "err",
    "error",
    "exception",
    "cause",
    "reason",
    "detail",
    "details",
    "error.message",
    "exc_info",
    "exception.message",
    "@x",
    "errorMessage",
    "Exception",
    "failure",
];
const STACK_KEYS: [&str; 9] = [
    "stack",
    "stacktrace",
    "stack_trace",
    "stackTrace",
    "error.stack",
    "error.stack_trace",
    "exc_info",
    "exception.stacktrace",
    "@x",
];
const SERVICE_KEYS: [&str; 6] = ["service", "service.name", "app", "component", "logger", "serviceName"];
/// Fields besides the message that say whom a failed call was for.
const CONTEXT_KEYS: [&str; 12] = [
    "url", "uri", "host", "addr", "address", "target", "upstream", "peer", "endpoint", "server", "status", "code",
];

fn by_word(word: &str) -> Level {
    match word.to_ascii_uppercase().as_str() {
        "TRACE" | "DEBUG" | "INFO" | "INFORMATION" | "NOTICE" | "LOG" | "I" | "TRCE" | "DBUG" | "VERBOSE" | "VRB"
        | "DBG" | "INF" => Level::Info,
        "WARN" | "WARNING" | "W" | "WRN" => Level::Warning,
        "ERROR" | "ERR" | "FATAL" | "CRITICAL" | "CRIT" | "SEVERE" | "PANIC" | "DPANIC" | "ALERT" | "EMERG"
        | "EMERGENCY" | "E" | "F" | "FAIL" | "FTL" => Level::Error,
        _ => Level::Unmarked,
    }
}

/// Reads one line.
pub fn read(text: &str) -> Line<'_> {
    let text = text.get(..text.floor_char_boundary(MAX)).unwrap_or(text);
    let text = match COLOUR.as_ref() {
        Some(regex) if text.contains('\u{1b}') => regex.replace_all(text, ""),
        _ => Cow::Borrowed(text),
    };
    let trimmed = text.trim_start();
    if trimmed.starts_with('{')
        && let Ok(Value::Object(map)) = serde_json::from_str::<Value>(trimmed)
        && let Some(line) = from_json(&map)
    {
        return line;
    }
    if let Some(line) = from_logfmt(trimmed) {
        return line;
    }
    Line {
        level: mark(&text),
        text,
        service: None,
        stack: None,
    }
}

/// How a plain line marks itself, in its beginning.
fn mark(text: &str) -> Level {
    let head = text.get(..text.floor_char_boundary(160)).unwrap_or(text);
    let Some(captures) = MARK.as_ref().and_then(|regex| regex.captures(head)) else {
        return Level::Unmarked;
    };
    let word = captures.iter().skip(1).flatten().next();
    // `Error: cannot …` marks itself; `the Error class` further on does not.
    match word {
        Some(word) if word.as_str().starts_with(|c: char| c.is_ascii_uppercase()) && !all_capitals(word.as_str()) => {
            let first = head.get(..word.start()).unwrap_or_default();
            if first.chars().any(|c| c.is_ascii_alphabetic() && c != 'T' && c != 'Z') {
                Level::Unmarked
            } else {
                by_word(word.as_str())
            }
        }
        // `fail: Company.Service[0]` of .NET stands at the very beginning.
        Some(word) if word.as_str().len() == 4 && !all_capitals(word.as_str()) && word.start() > 1 => Level::Unmarked,
        Some(word) => by_word(word.as_str()),
        None => Level::Unmarked,
    }
}

fn all_capitals(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_uppercase())
}

fn from_json(map: &Map<String, Value>) -> Option<Line<'static>> {
    let find = |keys: &[&str]| keys.iter().find_map(|key| map.get(*key));
    let level = find(&LEVEL_KEYS).map_or(Level::Unmarked, |value| match value {
        Value::String(word) => by_word(word),
        // pino and bunyan count in tens.
        Value::Number(number) => match number.as_u64() {
            Some(50..) => Level::Error,
            Some(40..=49) => Level::Warning,
            Some(10..=39) => Level::Info,
            _ => Level::Unmarked,
        },
        _ => Level::Unmarked,
    });
    let message = find(&MESSAGE_KEYS).map(words).unwrap_or_default();
    if message.is_empty() && level == Level::Unmarked {
        return None;
    }
    let mut text = message;
    for key in ERROR_KEYS.iter().chain(&CONTEXT_KEYS) {
        let Some(value) = map.get(*key) else { continue };
        if matches!(value, Value::Null | Value::Bool(_)) {
            continue;
        }
        let said = words(value);
        let said = said.lines().next().unwrap_or_default();
        let counter = !said.is_empty() && said.chars().all(|c| c.is_ascii_digit() || c == '.');
        if said.is_empty() || text.contains(said) || (counter && ERROR_KEYS.contains(key)) {
            continue;
        }
        if counter || CONTEXT_KEYS.contains(key) {
            text.extend([" ", *key, "=", said]);
        } else {
            text.push_str(": ");
            text.push_str(said);
        }
    }
    let stack = STACK_KEYS
        .iter()
        .filter_map(|key| map.get(*key))
        .chain(
            ERROR_KEYS
                .iter()
                .filter_map(|key| map.get(*key)?.as_object())
                .filter_map(|object| object.get("stack")),
        )
        .map(words)
        .find(|stack| stack.lines().count() > 1);
    Some(Line {
        level,
        text: Cow::Owned(text),
        service: find(&SERVICE_KEYS).and_then(Value::as_str).map(ToOwned::to_owned),
        stack,
    })
}

/// A value in words: the message of an error object, the text of a string.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Object(map) => ["message", "msg", "type", "code", "name", "stack"]
            .iter()
            .find_map(|key| map.get(*key)?.as_str())
            .unwrap_or_default()
            .to_owned(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "),
        _ => String::new(),
    }
}

/// `level=error msg="…" err="…"`; a line with one `k=v` somewhere is plain text.
fn from_logfmt(text: &str) -> Option<Line<'static>> {
    if !text.contains("level=") && !text.contains("lvl=") && !text.contains("severity=") {
        return None;
    }
    let mut map = Map::new();
    for captures in LOGFMT.as_ref()?.captures_iter(text) {
        let key = captures.get(1)?.as_str();
        let value = captures
            .get(2)
            .map(|m| m.as_str().replace("\\\"", "\"").replace("\\n", "\n"))
            .or_else(|| captures.get(3).map(|m| m.as_str().to_owned()))
            .unwrap_or_default();
        map.entry(key.to_owned()).or_insert(Value::String(value));
    }
    (LEVEL_KEYS.iter().any(|key| map.contains_key(*key)) && MESSAGE_KEYS.iter().any(|key| map.contains_key(*key)))
        .then(|| from_json(&map))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert!([&MARK, &LOGFMT, &COLOUR].iter().all(|regex| regex.is_some()));
    }

    #[test]
    fn a_line_marks_itself_in_many_dialects() {
        for (text, level) in [
            ("{\"level\":\"error\",\"msg\":\"x\"}", Level::Error),
            ("{\"level\":50,\"msg\":\"x\"}", Level::Error),
            ("{\"severity\":\"INFO\",\"message\":\"error_rate=0\"}", Level::Info),
            ("time=2026-01-01T00:00:00Z level=warn msg=\"slow\"", Level::Warning),
            ("2026-01-01 10:00:00,123 ERROR [main] c.a.App - boom", Level::Error),
            ("2026-01-01T10:00:00Z [Error] boom", Level::Error),
            (
                "[2026-01-01 10:00:00 +0000] [7] [CRITICAL] WORKER TIMEOUT",
                Level::Error,
            ),
            ("E0301 12:00:00.000000 1 main.go:12] boom", Level::Error),
            ("fail: Shop.Orders.Worker[0]", Level::Error),
            ("\u{1b}[31mERROR\u{1b}[0m boom", Level::Error),
            ("Error: cannot find module", Level::Error),
            ("2026-01-01 10:00:00 UTC [31] LOG:  checkpoint starting", Level::Info),
            ("registered the Error handler", Level::Unmarked),
            ("plain", Level::Unmarked),
        ] {
            assert_eq!(read(text).level, level, "{text}");
        }
    }

    #[test]
    fn a_structured_line_is_its_message_and_its_error() {
        let line = read(
            r#"{"level":"error","service":"orders","errors":0,"msg":"query failed","err":{"message":"dial tcp db:5432: connect: connection refused"}}"#,
        );
        assert_eq!(line.text, "query failed: dial tcp db:5432: connect: connection refused");
        assert_eq!(line.service.as_deref(), Some("orders"));
        let line = read(
            r#"ts=1 level=error msg="call failed" err="context deadline exceeded" url=http://rates:80/x failures=0"#,
        );
        assert_eq!(
            line.text,
            "call failed: context deadline exceeded url=http://rates:80/x"
        );
    }

    #[test]
    fn a_stack_in_a_field_is_kept() {
        let line = read(r#"{"level":"error","message":"boom","stack":"Error: boom\n    at f (/app/a.js:1:2)"}"#);
        assert!(line.stack.is_some_and(|stack| stack.contains("/app/a.js:1:2")));
    }
}
