//! Takes secrets out of text before it leaves the sandbox: known formats, credentials in URLs and connection strings, and values
//! that stand behind a secret's name. It marks what it takes (`[redacted:KIND]`) and leaves names alone: which variable is missing
//! must stay readable.
//!
//! Called by the runner on every output. It must never be the only defence: Secret objects are not read at all.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Text without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// The text.
    pub text: String,
    /// How many were taken out.
    pub count: usize,
}

struct Rule {
    kind: &'static str,
    pattern: Regex,
    /// Which group holds the secret; 0 is the whole match.
    group: usize,
}

/// A rule whose pattern is wrong would be dropped silently; a test counts them.
fn rule(kind: &'static str, group: usize, pattern: &str) -> Option<Rule> {
    Regex::new(pattern).ok().map(|pattern| Rule { kind, pattern, group })
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    [
        rule("private-key", 0, r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)"),
        rule("jwt", 0, r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
        rule("aws-access-key", 0, r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
        rule("github-token", 0, r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})"),
        rule("gitlab-token", 0, r"\bglpat-[A-Za-z0-9_-]{20,}"),
        rule("slack-token", 0, r"\bxox[abprse]-[A-Za-z0-9-]{10,}"),
        rule("slack-webhook", 1, r"hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9/_-]{20,})"),
        rule("stripe-key", 0, r"\b(?:sk|rk|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,}"),
        rule("google-api-key", 0, r"\bAIza[A-Za-z0-9_-]{35}"),
        rule("openai-key", 0, r"\bsk-[A-Za-z0-9_-]{20,}"),
        rule("npm-token", 0, r"\bnpm_[A-Za-z0-9]{36}"),
        rule("url-credentials", 1, r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,24}://[^\s/:@]*:([^\s/@]+)@"),
        rule("authorization", 1, r"(?i)\bauthorization\b\W{1,4}(?:bearer|basic|token)\s+([A-Za-z0-9+/=._~-]{6,})"),
        rule("bearer", 1, r"(?i)\bbearer\s+([A-Za-z0-9+/=._~-]{16,})"),
        // JSON and YAML objects of the API: {"name":"DB_PASSWORD","value":"…"}.
        rule("env-value", 1, r#"(?i)"name"\s*:\s*"[^"]*(?:password|passwd|secret|token|api_?key|apikey|private_?key|credential)[^"]*"\s*,\s*"value"\s*:\s*"((?:[^"\\]|\\.)+)""#),
        rule("env-value", 1, r#"(?i)"value"\s*:\s*"((?:[^"\\]|\\.)+)"\s*,\s*"name"\s*:\s*"[^"]*(?:password|passwd|secret|token|api_?key|private_?key|credential)[^"]*""#),
        // "db_password": "…" in JSON.
        rule("value", 1, r#"(?i)"[a-z0-9_.-]*(?:password|passwd|pwd|secret_?key|client_?secret|access_?token|refresh_?token|auth_?token|api_?key|apikey|private_?key)"\s*:\s*"((?:[^"\\]|\\.){3,})""#),
        // password=…, --token …, api_key: … in logs, arguments and connection strings.
        rule("value", 1, r#"(?i)\b[a-z0-9_.-]*(?:password|passwd|pwd|secret_?key|client_?secret|access_?token|auth_?token|api_?key|apikey|private_?key|(?:_|-)token|(?:_|-)secret)\s*[=:]\s*["']?([^\s"',;&\\]{3,})"#),
        rule("value", 1, r"(?i)--(?:password|token|secret|api-key)[ =]([^\s-][^\s]{2,})"),
    ]
    .into_iter()
    .flatten()
    .collect()
});

/// What stands behind a secret's name and yet is none.
static HARMLESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)^(?:null|none|nil|true|false|undefined|missing|unset|not|is|was|required|empty|\[redacted.*|\*+|<[^>]*>|\$\{?[a-z_].*|\{.*|os\.environ.*|\d{1,4})$").ok()
});

/// Takes secrets out.
pub fn redact(text: &str) -> Redacted {
    let mut count = 0_usize;
    let mut text: Cow<'_, str> = Cow::Borrowed(text);
    for rule in RULES.iter() {
        if !rule.pattern.is_match(&text) {
            continue;
        }
        let replaced = rule
            .pattern
            .replace_all(&text, |found: &Captures<'_>| {
                let whole = found.get(0).map_or("", |m| m.as_str());
                let Some(secret) = found.get(rule.group) else {
                    return whole.to_owned();
                };
                if rule.group > 0 && HARMLESS.as_ref().is_some_and(|h| h.is_match(secret.as_str())) {
                    return whole.to_owned();
                }
                count = count.saturating_add(1);
                let start = found.get(0).map_or(0, |m| m.start());
                let (before, after) = (secret.start().saturating_sub(start), secret.end().saturating_sub(start));
                format!(
                    "{}[redacted:{}]{}",
                    whole.get(..before).unwrap_or_default(),
                    rule.kind,
                    whole.get(after..).unwrap_or_default()
                )
            })
            .into_owned();
        text = Cow::Owned(replaced);
    }
    Redacted {
        text: text.into_owned(),
        count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_pattern_that_compiles() {
        assert_eq!(RULES.len(), 19);
        assert!(HARMLESS.is_some());
    }

    #[test]
    fn secrets_are_taken_out_of_logs_objects_and_connection_strings() {
        let secrets = [
            (
                "connecting to postgres://app:hunter2secret@db:5432/shop",
                "hunter2secret",
            ),
            ("password=correcthorse", "correcthorse"),
            (r#"{"name":"DB_PASSWORD","value":"s3cr3t-value"}"#, "s3cr3t-value"),
            (r#"{"client_secret": "abcdef123456"}"#, "abcdef123456"),
            ("Authorization: Bearer abcdefghijklmnop", "abcdefghijklmnop"),
            ("AWS key AKIAIOSFODNN7EXAMPLE was used", "AKIAIOSFODNN7EXAMPLE"),
            (
                "token ghp_abcdefghijklmnopqrstuvwxyz0123456789",
                "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
            ),
            ("Server=db;User=app;Password=Sup3rSecret;", "Sup3rSecret"),
            ("--token abcdef0123456789", "abcdef0123456789"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
                "MIIE",
            ),
            (
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
                "dozjgNryP4J3jVmNHl0w5N",
            ),
        ];
        for (text, secret) in secrets {
            let redacted = redact(text);
            assert!(!redacted.text.contains(secret), "{text} -> {}", redacted.text);
            assert!(redacted.count >= 1);
        }
    }

    #[test]
    fn what_diagnosis_needs_stays() {
        for text in [
            "KeyError: 'PAYMENT_GATEWAY_URL'",
            "required setting DB_PASSWORD is missing",
            "secret \"database-secret\" not found",
            "MountVolume.SetUp failed for volume \"kube-api-access-token\"",
            "image: registry.example/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "uid: 6d97b55f-b6be-4259-b319-19ad03d97746",
            "http://payment-gateway:8080/v1",
            r#"{"name":"DB_PASSWORD","valueFrom":{"secretKeyRef":{"name":"db","key":"password"}}}"#,
            "error: token is expired",
            "tokens: 1800",
            "invalid password for user app",
        ] {
            assert_eq!(redact(text).text, text);
        }
    }
}
