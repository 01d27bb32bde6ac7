//! Judges a value by the name that it stands behind, and by its look: whether it is a secret. Called by `redact` and its rules.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

/// How names of secrets end, letters and digits alone.
const SECRETS: [&str; 25] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "secretkey",
    "accesskey",
    "accountkey",
    "authkey",
    "encryptionkey",
    "signingkey",
    "sessionkey",
    "masterkey",
    "credential",
    "credentials",
    "connectionstring",
    "webhookurl",
    "secretkeybase",
    "licensekey",
    "storagekey",
    "apptoken",
    "clientkey",
];

/// Names that hold a secret now and then: there the value must look like one.
const LIKELY: [&str; 8] = [
    "key",
    "auth",
    "authorization",
    "session",
    "sessionid",
    "cookie",
    "signature",
    "sig",
];

/// Names of digests of secrets, and of where a secret is found.
const NEVER: [&str; 7] = [
    "checksum",
    "digest",
    "hash",
    "fingerprint",
    "publickey",
    "imagepullsecret",
    "pullsecret",
];

/// What stands behind a secret's name and yet is none: words, references, placeholders, paths, small numbers.
static HARMLESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?ix)^(?:
          null|none|nil|true|false|undefined|missing|unset|not|is|was|are|has|must|should|cannot|required|empty|expired|invalid|incorrect|wrong
          |mismatch|mismatched|rejected|denied|failed|failure|changed|revoked|unknown|unauthorized|forbidden|unexpected|expected|found|error
          |optional|default|string|n/a|ok|yes|no|on|off|enabled|disabled
          |\[redacted.*|redacted|\*+|x{3,}|<.*|\$.*|%.*|\{.*|os\.environ.*|process\.env.*|env\..*|System\.getenv.*
          |\d{1,4}
          |/(?:var|etc|run|app|opt|usr|home|tmp|secrets?|mnt|srv|data|root|config|vault|workspace)\b.*
          |https?://[^@?]*
        )$",
    )
    .ok()
});

/// The name of a Kubernetes object: words, no digits.
static OBJECT_NAME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[a-z]+(?:-[a-z]+)*$").ok());

fn matches(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern.as_ref().is_some_and(|p| p.is_match(text))
}

/// Whether the patterns of this file are well-formed.
#[cfg(test)]
pub(super) fn patterns_compile() -> bool {
    HARMLESS.is_some() && OBJECT_NAME.is_some()
}

/// Why this value, behind this name, is a secret.
pub(super) fn judge(name: &str, value: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let plain: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.trim_end_matches(|c: char| c.is_ascii_digit());
    if NEVER.iter().any(|word| plain.contains(word)) {
        return None;
    }
    let value = value.trim().trim_end_matches(['.', '!']);
    if value.is_empty() || matches(&HARMLESS, value) {
        return None;
    }
    let by_name = SECRETS.iter().any(|word| plain.ends_with(word))
        || plain == "pass"
        || ["_pass", ".pass"].iter().any(|end| lower.ends_with(end));
    if by_name {
        // `secret: database-login` names the Secret, as Kubernetes and its tools write it.
        let names_an_object = plain == "secret" && matches(&OBJECT_NAME, value);
        return (!names_an_object).then_some("value");
    }
    let value = value.strip_prefix("base64:").unwrap_or(value);
    let likely = LIKELY.iter().any(|word| plain.ends_with(word));
    // A key is written in hexadecimal more often than not; a digest has another name.
    let hex_key = plain.len() > 3 && plain.ends_with("key") && is_hex_key(value);
    (likely && (is_random(value) || hex_key)).then_some("high-entropy")
}

/// 128 bits or more, in hexadecimal.
fn is_hex_key(value: &str) -> bool {
    matches!(value.len(), 32 | 40 | 48 | 64 | 128)
        && value.chars().all(|c| c.is_ascii_hexdigit())
        && entropy(value) >= 3.0
}

/// Whether a value looks drawn at random: long, mixed, unlike a word, a digest, a commit or a uid.
pub(super) fn is_random(value: &str) -> bool {
    let token = |c: char| c.is_ascii_alphanumeric() || "+/=_-.~%".contains(c);
    let has = |test: fn(char) -> bool| value.chars().any(test);
    if value.len() < 20 || value.len() > 4096 || !value.chars().all(token) {
        return false;
    }
    let hex = value.chars().all(|c| c.is_ascii_hexdigit());
    let uid = value.len() == 36 && value.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    if uid || (hex && value.len() != 32) || !has(|c| c.is_ascii_digit()) {
        return false;
    }
    let mixed = has(|c| c.is_ascii_uppercase()) && has(|c| c.is_ascii_lowercase());
    let worded = value.contains(['-', '/', '.', '_']);
    (mixed || !worded) && entropy(value) >= 3.3
}

/// Shannon's, in bits for each character.
fn entropy(value: &str) -> f64 {
    let mut counts: BTreeMap<char, u32> = BTreeMap::new();
    let mut total = 0_u32;
    for c in value.chars() {
        let count = counts.entry(c).or_default();
        *count = count.saturating_add(1);
        total = total.saturating_add(1);
    }
    counts
        .values()
        .map(|count| f64::from(*count) / f64::from(total))
        .map(|share| -share * share.log2())
        .sum()
}
