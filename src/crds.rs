//! The custom resource definitions, generated from the core's types. `firewatch crds --dir crds` writes what is checked in; a test
//! fails when both differ. It only writes files.

use std::path::Path;

use firewatch_core::api::definitions;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

/// Why no CRD was written.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// A definition could not be rendered.
    #[error("rendering: {0}")]
    Json(#[from] serde_json::Error),
    /// A definition could not be rendered.
    #[error("rendering: {0}")]
    Yaml(String),
    /// A file could not be written.
    #[error("writing: {0}")]
    Io(#[from] std::io::Error),
}

/// File name and text of each definition.
pub fn rendered() -> Result<Vec<(String, String)>, CrdError> {
    definitions::all().iter().map(render).collect()
}

fn render(crd: &CustomResourceDefinition) -> Result<(String, String), CrdError> {
    let name = crd.metadata.name.clone().unwrap_or_default();
    let value = serde_json::to_value(crd)?;
    let yaml = serde_saphyr::to_string(&value).map_err(|e| CrdError::Yaml(e.to_string()))?;
    Ok((
        format!("{name}.yaml"),
        format!("# Generated from the Rust types by `firewatch crds`. Do not edit.\n{yaml}"),
    ))
}

/// Writes them into a folder, or to stdout as one stream.
pub fn write(dir: Option<&Path>) -> Result<(), CrdError> {
    for (name, text) in rendered()? {
        match dir {
            Some(dir) => std::fs::write(dir.join(name), text)?,
            None => println!("---\n{text}"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_checked_in_definitions_are_those_of_the_types() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (name, text) in rendered().unwrap() {
            for dir in ["crds", "charts/firewatch/files/crds"] {
                let found = std::fs::read_to_string(root.join(dir).join(&name)).unwrap_or_default();
                assert_eq!(found, text, "{dir}/{name} is out of date: run `make crds`");
            }
        }
    }

    fn walk(path: &str, value: &Value, found: &mut Vec<String>) {
        let Some(fields) = value.as_object() else { return };
        let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
        let has = |key: &str| fields.contains_key(key);
        if kind == "string" && !(has("maxLength") || has("enum") || has("format")) {
            found.push(format!("{path}: a string without a bound"));
        }
        if kind == "array" && !has("maxItems") {
            found.push(format!("{path}: a list without a bound"));
        }
        if has("x-kubernetes-preserve-unknown-fields") {
            found.push(format!("{path}: untyped"));
        }
        if kind == "object" && !has("properties") && !has("additionalProperties") && !path.ends_with("metadata") {
            found.push(format!("{path}: untyped"));
        }
        for (name, child) in fields
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            if !child.as_object().is_some_and(|c| c.contains_key("description")) {
                found.push(format!("{path}.{name}: no description"));
            }
            walk(&format!("{path}.{name}"), child, found);
        }
        for key in ["items", "additionalProperties"] {
            if let Some(child) = fields.get(key) {
                walk(&format!("{path}[]"), child, found);
            }
        }
    }

    #[test]
    fn every_field_is_typed_bounded_and_documented() {
        let mut found = Vec::new();
        for crd in definitions::all() {
            let (name, text) = render(&crd).unwrap();
            let value: Value = serde_saphyr::from_str(&text).unwrap();
            walk(
                &name,
                &value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"],
                &mut found,
            );
            walk(
                &name,
                &value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"],
                &mut found,
            );
        }
        assert_eq!(found, Vec::<String>::new());
    }
}
