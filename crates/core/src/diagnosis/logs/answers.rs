//! How long a program took to answer a path, as its own access log tells, where a unit stands with the number. Must never judge. Called
//! by the `probes` analyzer.

use std::sync::LazyLock;

use regex::Regex;

use crate::diagnosis::case_file::LogRecord;

/// A longer line is no line of an access log.
const LONGEST: usize = 4096;

static PATH: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"(?:^|[\s"'=:])(/[^\s"'?,}]*)"#).ok());
static STATUS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"(?:^|[\s":=])([1-5]\d\d)(?:[\s",}]|$)"#).ok());
static TOOK: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?ix) (?: [\s"':=(] (\d{1,7}(?:\.\d{1,9})?) \s? (ms|s|sec|seconds|milliseconds) (?:[\s"',;)}]|$) )
        | (?: (?:duration|latency|elapsed|took|time|response_time) _?ms "? \s*[:=]\s* "? (\d{1,7}(?:\.\d{1,9})?) )"#,
    )
    .ok()
});

/// Thousandths of a second that each good answer (status below 400) to this path took, in the log's order.
pub fn times_of(log: &LogRecord, path: &str) -> Vec<u64> {
    let (Some(paths), Some(status), Some(took)) = (PATH.as_ref(), STATUS.as_ref(), TOOK.as_ref()) else {
        return Vec::new();
    };
    log.lines
        .iter()
        .map(|line| line.text.as_str())
        .filter(|text| text.len() <= LONGEST && text.contains(path))
        .filter(|text| {
            paths
                .captures_iter(text)
                .filter_map(|captures| captures.get(1))
                .any(|found| found.as_str() == path)
        })
        .filter(|text| {
            status
                .captures(text)
                .and_then(|captures| captures.get(1)?.as_str().parse::<u16>().ok())
                .is_some_and(|status| status < 400)
        })
        .filter_map(|text| {
            let captures = took.captures(text)?;
            let in_millis = captures.get(3);
            let number: f64 = in_millis.or_else(|| captures.get(1))?.as_str().parse().ok()?;
            let unit = captures.get(2).map_or("ms", |unit| unit.as_str());
            let millis = if unit.to_ascii_lowercase().starts_with('m') {
                number
            } else {
                number * 1000.0
            };
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Some(millis.round() as u64)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ObjectName;
    use crate::diagnosis::case_file::LogLine;
    use k8s_openapi::jiff::Timestamp;

    fn times(text: &str) -> Vec<u64> {
        let log = LogRecord {
            pod: ObjectName {
                kind: "Pod".to_owned(),
                namespace: Some("n".to_owned()),
                name: "p".to_owned(),
            },
            container: "c".to_owned(),
            previous: false,
            tail: 100,
            earlier: false,
            lines: vec![LogLine {
                at: None,
                text: text.to_owned(),
            }],
            read_at: Timestamp::UNIX_EPOCH,
            evidence: "E1".to_owned(),
        };
        times_of(&log, "/healthz")
    }

    #[test]
    fn an_answer_s_time_is_read_where_its_unit_is_told() {
        for (text, expected) in [
            ("INFO web GET /healthz 200 1400 ms", 1400),
            (r#"10.0.0.1 - "GET /healthz HTTP/1.1" 200 17 1.402s"#, 1402),
            (
                r#"{"level":"info","path":"/healthz","status":204,"duration_ms":1399.6}"#,
                1400,
            ),
            ("method=GET path=/healthz status=200 latency=2s", 2000),
            (r#"[GIN] 2026/03/01 | 200 | 1.5 s | 10.0.0.1 | GET "/healthz""#, 1500),
        ] {
            assert_eq!(times(text), [expected], "{text}");
        }
        for text in [
            "INFO web GET /healthz/deep 200 1400 ms",
            "INFO web GET /healthz 503 1400 ms",
            "INFO web GET /healthz 200 1400",
            "INFO web GET /orders 200 1400 ms",
        ] {
            assert_eq!(times(text), [0_u64; 0], "{text}");
        }
    }
}
