//! Takes secrets out of text before it leaves the sandbox: known formats, credentials in URLs and connection strings, values that
//! stand behind a secret's name (in logs, arguments, JSON, YAML and environment lists), and random-looking values where a secret is
//! likely. It marks what it takes (`[redacted:KIND]`) and leaves names alone: which variable or Secret is missing must stay
//! readable, and so must digests, uids and commit ids.
//!
//! Called by the runner on every output. It must never be the only defence: Secret objects are not read at all.

#[cfg(test)]
mod corpus;
mod names;
mod rules;
#[cfg(test)]
mod tests;

use serde_json::Value;

/// Text without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// The text.
    pub text: String,
    /// How many were taken out.
    pub count: usize,
}

/// Takes secrets out. JSON documents are read as such: there a secret is known by its place, whatever its value looks like.
pub fn redact(text: &str) -> Redacted {
    if text.trim_start().starts_with(['{', '['])
        && let Ok(mut document) = serde_json::from_str::<Value>(text)
    {
        let count = of_document(&mut document);
        // What holds none stays byte for byte what it was.
        let text = if count == 0 {
            text.to_owned()
        } else {
            document.to_string()
        };
        return Redacted { text, count };
    }
    rules::apply(text)
}

fn mark(value: &mut String, kind: &str) -> usize {
    *value = format!("[redacted:{kind}]");
    1
}

fn of_document(value: &mut Value) -> usize {
    match value {
        Value::String(text) => of_text(text),
        Value::Array(items) => of_array(items),
        Value::Object(fields) => {
            let is_secret_object = fields.get("kind").and_then(Value::as_str) == Some("Secret");
            // {"name": "DB_PASSWORD", "value": "…"}: the environment of a container, HTTP headers of a probe.
            let named = fields.get("name").and_then(Value::as_str).map(str::to_owned);
            fields
                .iter_mut()
                .map(|(key, field)| match (key.as_str(), field) {
                    ("data" | "stringData", Value::Object(data)) if is_secret_object => data
                        .values_mut()
                        .map(|one| match one {
                            Value::String(text) => mark(text, "secret-data"),
                            _ => 0,
                        })
                        .sum(),
                    ("value", Value::String(text)) => of_named(named.as_deref().unwrap_or_default(), text),
                    (key, Value::String(text)) => of_named(key, text),
                    (_, other) => of_document(other),
                })
                .sum()
        }
        _ => 0,
    }
}

/// Arguments come as lists: what follows `--password` is one.
fn of_array(items: &mut [Value]) -> usize {
    let mut flag: Option<String> = None;
    let mut count = 0_usize;
    for item in items {
        let taken = match (flag.take(), &mut *item) {
            (Some(name), Value::String(text)) if !text.starts_with('-') => of_named(&name, text),
            (_, other) => of_document(other),
        };
        count = count.saturating_add(taken);
        flag = item
            .as_str()
            .filter(|text| text.starts_with("--") && !text.contains('='))
            .map(|text| text.trim_start_matches('-').to_owned());
    }
    count
}

fn of_named(name: &str, text: &mut String) -> usize {
    match names::judge(name, text) {
        Some(kind) => mark(text, kind),
        None => of_text(text),
    }
}

fn of_text(text: &mut String) -> usize {
    let redacted = rules::apply(text);
    *text = redacted.text;
    redacted.count
}
