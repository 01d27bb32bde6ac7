//! The uncaught error at the end of a log, with the innermost frame of the application's own code and the cause that it was raised
//! from, in the forms that Python, Java and Kotlin, .NET, Node.js, Go, Ruby and Rust print. Called by the `crash` analyzer.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::line;
use crate::diagnosis::case_file::LogRecord;
use crate::text::clip;

/// An uncaught error, with the place in the program's own code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// `Python`, `Java`, …
    pub language: &'static str,
    /// The error as printed: `KeyError: 'X'`.
    pub error: String,
    /// The first error of the chain, where this one was raised from another.
    pub cause: Option<String>,
    /// The innermost frame of the application itself.
    pub frame: Option<String>,
    /// How far from the end of the log it ends, in lines.
    pub lines_after: usize,
}

type Pattern = LazyLock<Option<Regex>>;

static PY_FRAME: Pattern = LazyLock::new(|| Regex::new(r#"^\s+File "([^"]+)", line (\d+)(?:, in (\S+))?"#).ok());
static PY_ERROR: Pattern = LazyLock::new(|| Regex::new(r"^[A-Za-z_][\w.]*(?:: .*|:)?$").ok());
static AT_FRAME: Pattern = LazyLock::new(|| {
    Regex::new(r"^\s+at (?:(?:[\w.@-]+/)*(?P<java>[\w.$<>]+)\((?P<jf>\w+\.(?:java|kt|scala|groovy):\d+)\)|(?P<net>.+) in (?P<nf>\S+:line \d+)|(?:(?P<node>.+) \()?(?P<nodef>(?:file://|node:)?/?[^\s()]+\.?[cm]?[jt]?s?:\d+:\d+)\)?$|(?P<netm>[\w.<>`+]+\.[\w.<>`|+]+\(.*\))$)").ok()
});
static HEAD: Pattern = LazyLock::new(|| {
    Regex::new(r#"^(?P<by>Caused by: | ---> |\s*\[cause\]: )?(?:Exception in thread "[^"]+" |Unhandled exception\. |Uncaught |\[)?(?P<error>(?:[\w$]+\.)*[\w$]*(?:Error|Exception|Failure|Timeout)(?: \[\w+\])?(?:: .*)?)$"#).ok()
});
static RUST: Pattern =
    LazyLock::new(|| Regex::new(r"panicked at (?:'(?P<old>[^']*)', )?(?P<at>[^\s:]+\.rs:\d+:\d+)").ok());
static RUST_FRAME: Pattern = LazyLock::new(|| Regex::new(r"^\s+at (\.?/?\S+\.rs:\d+(?::\d+)?)$").ok());
static GO_FRAME: Pattern = LazyLock::new(|| Regex::new(r"^\s+(/\S+\.go:\d+)").ok());
static RUBY: Pattern = LazyLock::new(|| Regex::new(r"^(\S+\.rb:\d+):in [`'](.+)': (.+ \(\w+(?:::\w+)*\))").ok());
static RUBY_FROM: Pattern = LazyLock::new(|| Regex::new(r"^\s+(?:\d+: )?from (\S+\.rb:\d+):in").ok());

const JAVA_LIBRARIES: [&str; 16] = [
    "java.",
    "javax.",
    "jakarta.",
    "jdk.",
    "sun.",
    "com.sun.",
    "org.springframework.",
    "org.apache.",
    "org.hibernate.",
    "io.netty.",
    "kotlin.",
    "kotlinx.",
    "scala.",
    "com.zaxxer.",
    "org.postgresql.",
    "com.mysql.",
];
const NET_LIBRARIES: [&str; 6] = ["System.", "Microsoft.", "Npgsql.", "StackExchange.", "MySql.", "Grpc."];

fn find<'t>(pattern: &Pattern, text: &'t str) -> Option<Captures<'t>> {
    pattern.as_ref().and_then(|regex| regex.captures(text))
}

/// What is being read.
#[derive(Default)]
struct Reading {
    last: Option<Trace>,
    /// Python: a frame of the trace that is being read.
    python: Option<String>,
    /// Python: the error before this trace, which led to it.
    chained: Option<String>,
    /// Java, .NET, Node.js: the first error of a trace; whether a frame followed.
    head: Option<String>,
    cause: Option<String>,
    frame: Option<String>,
    /// The place in the error that the present one led to.
    outer: Option<String>,
    go: Option<String>,
    open: Option<&'static str>,
}

/// The last uncaught error of a log.
pub fn last_trace(log: &LogRecord) -> Option<Trace> {
    let total = log.lines.len();
    let mut reading = Reading::default();
    for (index, line) in log.lines.iter().enumerate() {
        let after = total.saturating_sub(index + 1);
        if line.text.trim_start().starts_with('{')
            && let Some(stack) = line::read(&line.text).stack
        {
            reading = Reading {
                last: reading.last,
                ..Reading::default()
            };
            for part in stack.lines() {
                reading.take(part, after, || None);
            }
            continue;
        }
        let text = uncoloured(&line.text);
        reading.take(&text, after, || log.lines.get(index + 1).map(|next| next.text.clone()));
    }
    reading.last
}

fn uncoloured(text: &str) -> Cow<'_, str> {
    if text.contains('\u{1b}') {
        match line::read(text).text {
            Cow::Owned(text) => Cow::Owned(text),
            Cow::Borrowed(_) => Cow::Borrowed(text),
        }
    } else {
        Cow::Borrowed(text)
    }
}

impl Reading {
    fn found(
        &mut self,
        language: &'static str,
        error: &str,
        cause: Option<String>,
        frame: Option<String>,
        after: usize,
    ) {
        self.last = Some(Trace {
            language,
            error: clip(error.trim(), 240),
            cause: cause.map(|cause| clip(cause.trim(), 240)),
            frame,
            lines_after: after,
        });
    }

    /// One line; `next` is the one after it.
    fn take(&mut self, text: &str, after: usize, next: impl Fn() -> Option<String>) {
        if self.python(text, after) || self.go(text, after) || self.ruby(text, after) || self.rust(text, after, next) {
            return;
        }
        self.frames(text, after);
    }

    fn python(&mut self, text: &str, after: usize) -> bool {
        if let Some(frame) = find(&PY_FRAME, text) {
            let file = frame.get(1).map_or("", |m| m.as_str());
            let own = !file.contains("site-packages")
                && !file.contains("dist-packages")
                && !file.contains("/lib/python")
                && !file.starts_with("<frozen");
            let place = format!("{file}:{}", frame.get(2).map_or("", |m| m.as_str()));
            if own || self.python.is_none() {
                self.python = Some(place);
            }
            return true;
        }
        if text.starts_with("During handling of the above")
            || text.starts_with("The above exception was the direct cause")
        {
            let before = self.last.as_ref().filter(|trace| trace.language == "Python");
            self.chained = self.chained.take().or_else(|| before.map(|trace| trace.error.clone()));
            return true;
        }
        if text.starts_with("Traceback (most recent call last)") {
            // A trace that nothing joins to the one before stands alone.
            if self.last.as_ref().is_none_or(|trace| trace.lines_after > after + 4) {
                self.chained = None;
            }
            return true;
        }
        if self.python.is_some() && !text.starts_with([' ', '\t']) && find(&PY_ERROR, text).is_some() {
            let (frame, cause) = (self.python.take(), self.chained.take());
            self.found("Python", text, cause, frame, after);
            return true;
        }
        false
    }

    fn go(&mut self, text: &str, after: usize) -> bool {
        if text.starts_with("panic: ") || text.starts_with("fatal error: ") {
            self.go = Some(text.to_owned());
            self.found("Go", text, None, None, after);
            return true;
        }
        let Some(error) = self.go.clone() else { return false };
        if let Some(captures) = find(&GO_FRAME, text) {
            let file = captures.get(1).map_or("", |m| m.as_str());
            if !file.contains("/go/src/") && !file.contains("/pkg/mod/") {
                self.found("Go", &error, None, Some(file.to_owned()), after);
                self.go = None;
            }
            return true;
        }
        false
    }

    fn ruby(&mut self, text: &str, after: usize) -> bool {
        let place = |captures: &Captures<'_>| captures.get(1).map(|m| m.as_str().to_owned());
        let own = |place: &String| !place.contains("/gems/") && !place.contains("/lib/ruby/");
        if let Some(captures) = find(&RUBY, text) {
            let error = captures.get(3).map_or("", |m| m.as_str());
            self.found("Ruby", error, None, place(&captures).filter(own), after);
            return true;
        }
        if let Some(captures) = find(&RUBY_FROM, text) {
            if let Some(last) = self.last.as_mut().filter(|trace| trace.language == "Ruby") {
                last.lines_after = after;
                last.frame = last.frame.take().or_else(|| place(&captures).filter(own));
            }
            return true;
        }
        false
    }

    fn rust(&mut self, text: &str, after: usize, next: impl Fn() -> Option<String>) -> bool {
        let own = |at: &str| !at.contains("/rustc/") && !at.contains("/.cargo/") && !at.contains("/registry/src/");
        if let Some(captures) = find(&RUST, text) {
            let message = captures
                .name("old")
                .map(|m| m.as_str().to_owned())
                .or_else(next)
                .unwrap_or_default();
            let at = captures
                .name("at")
                .map(|m| m.as_str())
                .filter(|at| own(at))
                .map(ToOwned::to_owned);
            self.found("Rust", &format!("panic: {message}"), None, at, after);
            return true;
        }
        if let Some(captures) = find(&RUST_FRAME, text) {
            if let Some(last) = self
                .last
                .as_mut()
                .filter(|trace| trace.language == "Rust" && trace.frame.is_none())
            {
                last.frame = captures
                    .get(1)
                    .map(|m| m.as_str())
                    .filter(|at| own(at))
                    .map(ToOwned::to_owned);
            }
            return true;
        }
        false
    }

    /// Languages whose frames begin with `at`.
    fn frames(&mut self, text: &str, after: usize) {
        if let Some(captures) = find(&AT_FRAME, text) {
            let Some(error) = self.head.clone() else { return };
            let name = |key: &str| captures.name(key).map(|m| m.as_str());
            let (language, place, own) = if let Some(method) = name("java") {
                (
                    "Java",
                    name("jf"),
                    !JAVA_LIBRARIES.iter().any(|prefix| method.starts_with(prefix)),
                )
            } else if let Some(method) = name("net").or_else(|| name("netm")) {
                let place = name("nf").or(Some(method));
                (
                    ".NET",
                    place,
                    !NET_LIBRARIES.iter().any(|prefix| method.starts_with(prefix)),
                )
            } else {
                let file = name("nodef").unwrap_or_default();
                (
                    "Node.js",
                    name("nodef"),
                    !file.contains("node_modules") && !file.starts_with("node:"),
                )
            };
            if own && self.frame.is_none() {
                self.frame = place.map(ToOwned::to_owned);
            }
            self.open = Some(language);
            let frame = self.frame.clone().or_else(|| self.outer.clone());
            self.found(language, &error, self.cause.clone(), frame, after);
            return;
        }
        if let Some(captures) = find(&HEAD, text) {
            let error = captures.name("error").map_or("", |m| m.as_str()).to_owned();
            if captures.name("by").is_some() && self.head.is_some() {
                // The deepest cause is printed last; its own frames are nearer to the fault.
                self.cause = Some(error);
                if text.starts_with("Caused by") {
                    self.outer = self.frame.take().or_else(|| self.outer.take());
                }
                if let (Some(language), Some(head)) = (self.open, self.head.clone()) {
                    let frame = self.last.as_ref().and_then(|trace| trace.frame.clone());
                    self.found(language, &head, self.cause.clone(), frame, after);
                }
            } else {
                self.head = Some(error);
                (self.cause, self.frame, self.outer, self.open) = (None, None, None, None);
            }
        }
    }
}
