//! Secrets in plain text: formats that are known, and values behind a name that `names` judges. Called by `redact` alone.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{Redacted, names};

struct Format {
    kind: &'static str,
    pattern: Regex,
    /// Which group holds the secret; 0 is the whole match.
    group: usize,
    /// Whether the secret must also look random, as what is no secret may have this form.
    random: bool,
}

/// A format whose pattern is wrong would be dropped silently; a test counts them.
fn format(kind: &'static str, group: usize, pattern: &str) -> Option<Format> {
    Regex::new(pattern).ok().map(|pattern| Format {
        kind,
        pattern,
        group,
        random: false,
    })
}

static FORMATS: LazyLock<Vec<Format>> = LazyLock::new(|| {
    [
        format("private-key", 0, r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)"),
        // The end of one whose beginning was cut away.
        format(
            "private-key",
            0,
            r"(?:(?:\S{20,35}Z )?[A-Za-z0-9+/=]{16,80}\r?\n)*(?:\S{20,35}Z )?-----END [A-Z ]*PRIVATE KEY-----",
        ),
        format("jwt", 0, r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
        format("aws-access-key", 0, r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
        format("github-token", 0, r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})"),
        format("gitlab-token", 0, r"\bglpat-[A-Za-z0-9_-]{20,}"),
        format("slack-token", 0, r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
        format("slack-token", 0, r"\bxapp-[0-9]-[A-Za-z0-9-]{10,}"),
        format("slack-webhook", 1, r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_-]{20,})"),
        format("stripe-key", 0, r"\b(?:(?:sk|rk)_(?:live|test)_|whsec_)[A-Za-z0-9]{16,}"),
        format("google-api-key", 0, r"\bAIza[A-Za-z0-9_-]{35}"),
        format("google-token", 0, r"\bya29\.[A-Za-z0-9_-]{20,}"),
        format("npm-token", 0, r"\bnpm_[A-Za-z0-9]{36}"),
        format("sendgrid-key", 0, r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
        // Prefixes that their issuers publish so that scanners know them.
        format(
            "token",
            0,
            r"\b(?:dop_v1_[a-f0-9]{64}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|pypi-[A-Za-z0-9_-]{50,}|dckr_pat_[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{30,}|dapi[a-f0-9]{32}|gl(?:sa|c)_[A-Za-z0-9+/=_]{32,}|lin_api_[A-Za-z0-9]{32,}|ATATT3[A-Za-z0-9_=-]{50,}|sq0(?:atp|csp)-[A-Za-z0-9_-]{22,}|key-[a-f0-9]{32}|SK[a-f0-9]{32}|EAAC[A-Za-z0-9]{40,}|tskey-[A-Za-z0-9-]{20,})",
        ),
        format("bot-token", 0, r"\b\d{8,10}:[A-Za-z0-9_-]{35}\b"),
        format("vault-token", 0, r"\bhv[sbr]\.[A-Za-z0-9_-]{20,}"),
        format("model-key", 0, r"\bsk-[A-Za-z0-9_-]{20,}").map(|f| Format { random: true, ..f }),
        format("url-credentials", 1, r#"\b[a-zA-Z][a-zA-Z0-9+.-]{1,24}://[^\s/:@"'<>]*:([^\s/@"'<>]+)@"#),
        // A password with a slash or an at sign in it, where only a database's address can be meant.
        format(
            "url-credentials",
            1,
            r#"\b(?:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?)://[^\s/:@"'<>]*:([^\s"'<>]+)@[\w.-]+"#,
        ),
        // Programs that take a password as an argument, each in its own way.
        format("argument", 1, r"\b(?:mysql|mysqldump|mysqladmin|mariadb|mariadb-dump)\b[^\n|;]*?\s-p([^\s'\x22]+)"),
        format("argument", 1, r"\b(?:sshpass|docker login[^\n|;]*?|podman login[^\n|;]*?)\s-p[ \t=]*([^\s'\x22-][^\s'\x22]*)"),
        format("argument", 1, r"\bredis-cli\b[^\n|;]*?\s-a[ \t]+([^\s'\x22-][^\s'\x22]*)"),
        format("argument", 1, r"\bcurl\b[^\n|;]*?\s(?:-u|--user)[ \t=]+['\x22]?[^\s:'\x22]+:([^\s'\x22]+)"),
        // .netrc, .pgpass
        format("netrc", 1, r"(?i)\blogin\s+\S+\s+password\s+(\S+)"),
        format("pgpass", 1, r"(?m)^[\w.*-]+:(?:\d{4,5}|\*):[\w*-]+:[\w*-]+:(\S+)$"),
        // `wrong password "…"` in a sentence.
        format("quoted", 1, r#"(?i)\b(?:password|passphrase|passwd)\s+(?:is\s+)?["'`]([^"'`\s]{4,})["'`]"#),
        // `password for role shop is …`: with a digit in it, since `password is required` is no secret.
        format("sentence", 1, r"(?i)\b(?:password|passphrase)\b(?: for [^\n:=]{1,40}?)? is ([^\s,;]{3,}\d[^\s,;]*|\d[^\s,;]{5,})"),
        format("url-credentials", 1, r"\bjdbc:oracle:[a-z]+:[^\s/@]+/([^\s@]+)@"),
        format("authorization", 1, r"(?i)\bauthorization\b\W{1,8}(?:bearer|basic|token|digest)\s+([A-Za-z0-9+/=._~-]{6,})"),
        format("bearer", 1, r"(?i)\bbearer\s+([A-Za-z0-9+/=._~-]{16,})").map(|f| Format { random: true, ..f }),
        format("basic", 1, r"(?i)\bbasic\s+([A-Za-z0-9+/]{12,}={0,2})").map(|f| Format { random: true, ..f }),
    ]
    .into_iter()
    .flatten()
    .collect()
});

/// How many formats there must be.
#[cfg(test)]
pub(super) const FORMATS_EXPECTED: usize = 32;

/// How many formats, and forms of assignment, are well-formed.
#[cfg(test)]
pub(super) fn well_formed() -> (usize, usize) {
    (FORMATS.len(), ASSIGNMENTS.len())
}

/// A name (first group) and its value (one of the others).
static ASSIGNMENTS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // "name":"DB_PASSWORD","value":"…", also where the quotes are escaped.
        r#"\\?"name\\?"\s*:\s*\\?"([A-Za-z0-9_.-]+)\\?"\s*,\s*\\?"value\\?"\s*:\s*(?:"((?:[^"\\]|\\.)+)"|\\"([^"\\]+))"#,
        // - name: DB_PASSWORD
        //   value: …
        r#"(?m)\bname:[ \t]*["']?([A-Za-z0-9_.-]+)["']?[ \t]*\n(?:\S{20,35}Z )?[ \t]*value:[ \t]*(?:"([^"\n]+)"|'([^'\n]+)'|([^\s"'\n][^\n]*))"#,
        // --db-password …
        r#"--([a-zA-Z-]*(?:password|token|secret|key))(?:[ \t]+|["']?[ \t]*,[ \t]*)(?:"([^"\n]+)"|'([^'\n]+)'|([^\s"',\]-][^\s"',\]]{2,}))"#,
        // <add key="ApiKey" value="…"/>
        r#"(?i)\b(?:key|name)=["']([a-z0-9_.:-]+)["']\s+value=["']([^"'\n]+)["']"#,
        // <password>…</password>
        r"(?i)<([a-z0-9_.-]*(?:password|passwd|passphrase|secret|token|api-?key))>([^<\s]+)</",
        // password=…, "api_key": "…", token => …
        r#"(?i)([a-z0-9_.-]*(?:password|passwd|pwd|pass|passphrase|secret|secret_key_base|token|key|credentials?|string|webhook_?url|auth|session(?:_?id)?|cookie|sig|signature)[0-9]*)\\?["']?\]?(?:[ \t]*=>?|[ \t]*:)[ \t]*(?:!!?\w+[ \t]+)?(?:\\"([^"\\]+)|"((?:[^"\\]|\\.)+)|'([^'\n]+)|([^\s"',;&\\)\]}]{3,}))"#,
    ]
    .into_iter()
    .filter_map(|pattern| Regex::new(pattern).ok())
    .collect()
});

/// Takes secrets out of plain text.
pub(super) fn apply(text: &str) -> Redacted {
    let mut count = 0_usize;
    let mut text: Cow<'_, str> = Cow::Borrowed(text);
    for known in FORMATS.iter() {
        replace(&mut text, &mut count, &known.pattern, |found, _| {
            let secret = found.get(known.group)?;
            let done = secret.as_str().starts_with("[redacted:");
            (!done && (!known.random || names::is_random(secret.as_str()))).then(|| (secret.range(), known.kind))
        });
    }
    for assignment in ASSIGNMENTS.iter() {
        replace(&mut text, &mut count, assignment, assigned);
    }
    Redacted {
        text: text.into_owned(),
        count,
    }
}

type Place = (std::ops::Range<usize>, &'static str);

/// Replaces what `judge` names. Where it names nothing the search goes on inside the match: a value may itself hold an assignment.
fn replace(
    text: &mut Cow<'_, str>,
    count: &mut usize,
    pattern: &Regex,
    judge: impl Fn(&Captures<'_>, &str) -> Option<Place>,
) {
    let mut result = String::new();
    let mut copied = 0_usize;
    let mut at = 0_usize;
    while let Some(found) = pattern.captures_at(text, at) {
        let Some(whole) = found.get(0) else { break };
        if let Some((secret, kind)) = judge(&found, text) {
            result.push_str(text.get(copied..secret.start).unwrap_or_default());
            result.push_str("[redacted:");
            result.push_str(kind);
            result.push(']');
            copied = secret.end;
            at = secret.end.max(whole.start().saturating_add(1));
            *count = count.saturating_add(1);
        } else {
            let value = (2..found.len())
                .find_map(|group| found.get(group))
                .map_or(whole.end(), |m| m.start());
            at = value.max(whole.start().saturating_add(1));
        }
        while !text.is_char_boundary(at) {
            at = at.saturating_add(1);
        }
        if at > text.len() {
            break;
        }
    }
    if copied > 0 {
        result.push_str(text.get(copied..).unwrap_or_default());
        *text = Cow::Owned(result);
    }
}

fn assigned(found: &Captures<'_>, text: &str) -> Option<Place> {
    let name = found.get(1)?;
    let value = (2..found.len()).find_map(|group| found.get(group))?;
    let before = text.get(..name.start()).unwrap_or_default();
    // `checksum/secret: …` is an annotation; `unexpected token: …` is a parser's.
    let parsed = name.as_str().eq_ignore_ascii_case("token")
        && ["unexpected ", "invalid ", "illegal ", "unknown "].iter().any(|word| {
            before
                .get(before.len().saturating_sub(word.len())..)
                .is_some_and(|end| end.eq_ignore_ascii_case(word))
        });
    if before.ends_with('/') || parsed || is_prose(found, value.as_str(), text.get(value.end()..).unwrap_or_default()) {
        return None;
    }
    names::judge(name.as_str(), value.as_str()).map(|kind| (value.range(), kind))
}

/// `password: must match the pattern`: a sentence, not a value. A value ends its line or its field.
fn is_prose(found: &Captures<'_>, value: &str, after: &str) -> bool {
    let sentence = found.get(0).is_some_and(|m| m.as_str().contains(": "));
    let more = after.split('\n').next().unwrap_or_default().trim_end();
    sentence
        && value.chars().all(|c| c.is_ascii_alphabetic() || c == '-' || c == '.')
        && more.starts_with(' ')
        && !more.trim_start().starts_with(['#', ',', ';', '}', '|'])
        && !more.contains('=')
}
