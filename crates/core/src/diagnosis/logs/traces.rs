//! The uncaught error at the end of a log, with the innermost frame of the application's own code, in the forms that Python, Java and
//! Kotlin, .NET, Node.js, Go, Ruby and Rust print. Called by the `crash` analyzer.

use std::sync::LazyLock;

use regex::Regex;

use crate::diagnosis::case_file::LogRecord;
use crate::text::clip;

/// An uncaught error, with the place in the program's own code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// `Python`, `Java`, …
    pub language: &'static str,
    /// The error as printed: `KeyError: 'X'`.
    pub error: String,
    /// The innermost frame of the application itself.
    pub frame: Option<String>,
    /// How far from the end of the log it ends, in lines.
    pub lines_after: usize,
}

/// The last uncaught error of a log.
pub fn last_trace(log: &LogRecord) -> Option<Trace> {
    static PY_FRAME: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"^\s+File "([^"]+)", line (\d+)(?:, in (\S+))?"#).ok());
    static PY_ERROR: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning|Timeout|Expired|Refused))(?::.*)?$")
            .ok()
    });
    static AT_FRAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^\s+at (?:(?P<java>[\w.$]+)\((?P<jf>\w+\.(?:java|kt|scala):\d+)\)|(?P<net>.+) in (?P<nf>\S+:line \d+)|(?:(?P<node>.+) \()?(?P<nodef>(?:file://)?/?[^\s()]+\.[cm]?[jt]s:\d+:\d+)\)?)").ok()
    });
    static HEAD: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r#"^(?:Caused by: |Exception in thread "[^"]+" |Unhandled exception\. |Uncaught )?((?:[\w$]+\.)*[\w$]*(?:Error|Exception)(?:: .*)?)$"#).ok()
    });
    static RUST: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"panicked at (?:'(?P<old>[^']*)', )?(?P<at>[^\s:]+\.rs:\d+:\d+)").ok());
    static GO_FRAME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\s+(/\S+\.go:\d+)").ok());
    static RUBY: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^(\S+\.rb:\d+):in [`'](.+)': (.+ \(\w+(?:::\w+)*\))").ok());

    let total = log.lines.len();
    let mut last: Option<Trace> = None;
    let mut python: Option<String> = None;
    let mut pending: Option<(String, Option<String>, &'static str)> = None;
    let mut go: Option<String> = None;
    for (index, line) in log.lines.iter().enumerate() {
        let text = line.text.as_str();
        if text.len() > 4096 {
            continue;
        }
        let after = total.saturating_sub(index + 1);
        let found = |language, error: &str, frame| {
            Some(Trace {
                language,
                error: clip(error.trim(), 200),
                frame,
                lines_after: after,
            })
        };
        if let Some(frame) = PY_FRAME.as_ref().and_then(|regex| regex.captures(text)) {
            let file = frame.get(1).map_or("", |m| m.as_str());
            let own = !file.contains("site-packages") && !file.contains("/lib/python") && !file.starts_with("<frozen");
            let place = format!("{file}:{}", frame.get(2).map_or("", |m| m.as_str()));
            if own || python.is_none() {
                python = Some(place);
            }
            continue;
        }
        if python.is_some() && PY_ERROR.as_ref().is_some_and(|regex| regex.is_match(text)) {
            last = found("Python", text, python.take());
            continue;
        }
        if let Some(captures) = RUST.as_ref().and_then(|regex| regex.captures(text)) {
            let message = captures
                .name("old")
                .map(|m| m.as_str().to_owned())
                .or_else(|| log.lines.get(index + 1).map(|next| next.text.clone()))
                .unwrap_or_default();
            last = found(
                "Rust",
                &format!("panic: {message}"),
                captures.name("at").map(|m| m.as_str().to_owned()),
            );
            continue;
        }
        if let Some(captures) = RUBY.as_ref().and_then(|regex| regex.captures(text)) {
            last = found(
                "Ruby",
                captures.get(3).map_or("", |m| m.as_str()),
                captures.get(1).map(|m| m.as_str().to_owned()),
            );
            continue;
        }
        if text.starts_with("panic: ") || text.starts_with("fatal error: ") {
            go = Some(text.to_owned());
            last = found("Go", text, None);
            continue;
        }
        if let (Some(error), Some(captures)) = (go.as_ref(), GO_FRAME.as_ref().and_then(|regex| regex.captures(text))) {
            let file = captures.get(1).map_or("", |m| m.as_str());
            if !file.contains("/usr/local/go/src/") {
                last = found("Go", error, Some(file.to_owned()));
                go = None;
            }
            continue;
        }
        if let Some(captures) = AT_FRAME.as_ref().and_then(|regex| regex.captures(text)) {
            if let Some((error, frame, _)) = pending.as_mut() {
                let name = |key: &str| captures.name(key).map(|m| m.as_str());
                let (language, place, own) = if let Some(method) = name("java") {
                    let library = [
                        "java.",
                        "javax.",
                        "jdk.",
                        "sun.",
                        "org.springframework.",
                        "org.apache.",
                        "io.netty.",
                        "kotlin.",
                    ];
                    (
                        "Java",
                        name("jf"),
                        !library.iter().any(|prefix| method.starts_with(prefix)),
                    )
                } else if name("net").is_some() {
                    (".NET", name("nf"), true)
                } else {
                    let file = name("nodef").unwrap_or_default();
                    (
                        "Node.js",
                        name("nodef"),
                        !file.contains("node_modules") && !file.starts_with("node:"),
                    )
                };
                if own && frame.is_none() {
                    *frame = place.map(ToOwned::to_owned);
                }
                last = found(language, error, frame.clone());
            }
            continue;
        }
        if let Some(captures) = HEAD.as_ref().and_then(|regex| regex.captures(text)) {
            pending = Some((captures.get(1).map_or("", |m| m.as_str()).to_owned(), None, ""));
        }
    }
    last
}
