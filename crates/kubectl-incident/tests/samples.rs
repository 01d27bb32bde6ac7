//! The samples that the README points to are objects of our kinds, with no field that the kinds do not have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use firewatch_core::api::{Incident, ResponsePolicy};
use serde_json::Value;

#[test]
fn every_sample_is_read_back_as_it_was_written() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/samples");
    let mut seen = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let written: Value = serde_saphyr::from_str(&text).unwrap();
        let read = match written.get("kind").and_then(Value::as_str) {
            Some("Incident") => serde_json::to_value(serde_json::from_value::<Incident>(written.clone()).unwrap()),
            Some("ResponsePolicy") => {
                serde_json::to_value(serde_json::from_value::<ResponsePolicy>(written.clone()).unwrap())
            }
            other => panic!("{}: kind {other:?}", path.display()),
        };
        assert_eq!(
            missing(&written, &read.unwrap()),
            Vec::<String>::new(),
            "{}",
            path.display()
        );
        seen += 1;
    }
    assert!(seen >= 3);
}

/// Paths of `written` that `read` lost: fields that the kind does not know.
fn missing(written: &Value, read: &Value) -> Vec<String> {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => written
            .iter()
            .flat_map(|(key, value)| match read.get(key) {
                None => vec![key.clone()],
                Some(other) => missing(value, other)
                    .into_iter()
                    .map(|path| format!("{key}.{path}"))
                    .collect(),
            })
            .collect(),
        (written, read) if written == read => Vec::new(),
        (written, read) => vec![format!("{written} became {read}")],
    }
}
