//! Whether the guards around approvals stand as they were compiled in: admission policies, their bindings, and the rules of the CRDs.
//! Where they do not, an approval proves nothing. Pure: it compares what was read with what is expected.
//! Called by the operator's self-check and by the executor before it claims.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use regex::Regex;
use serde::Serialize;
use serde_json::Value;

use crate::api::definitions;

/// The expected admission policies and bindings, with placeholders for what an installation chooses.
const EXPECTED: &str = include_str!("../../../../charts/firewatch/files/guards.yaml");

/// What an installation chooses; in `guards.yaml`, `FIREWATCH_` and these in capitals.
const PLACEHOLDERS: [(&str, &str); 4] = [
    ("FIREWATCH_OPERATOR_NAMESPACE", "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"),
    ("FIREWATCH_OPERATOR_ACCOUNT", "[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?"),
    ("FIREWATCH_SANDBOX_NAMESPACE", "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"),
    ("FIREWATCH_SANDBOX_IMAGE", "[a-z0-9][a-zA-Z0-9._:/@-]{0,510}"),
];

/// Names of the admission policies, and of their bindings.
pub const POLICIES: [&str; 5] = [
    "firewatch-approvals",
    "firewatch-incidents",
    "firewatch-nodes",
    "firewatch-sandbox-pods",
    "firewatch-sandbox-requests",
];
/// Names of the CRDs.
pub const CRDS: [&str; 3] = [
    "remediationapprovals.firewatch.dev",
    "incidents.firewatch.dev",
    "responsepolicies.firewatch.dev",
];

/// Whether the guards stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardState {
    /// Everything is there and as expected.
    pub intact: bool,
    /// What is not, in sentences.
    pub differences: Vec<String>,
    /// When any of them was last made or changed. An approval must be younger than that.
    pub newest_change: Option<Timestamp>,
    /// Where the operator lives, as the guards have it.
    pub operator_namespace: Option<String>,
}

/// What this side knows of the installation; what it does not know is read from the guards, the same everywhere in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installation {
    /// Namespace of the operator.
    pub operator_namespace: Option<String>,
    /// ServiceAccount of the operator.
    pub operator_account: Option<String>,
    /// Namespace of the sandbox.
    pub sandbox_namespace: Option<String>,
    /// The sandbox's image.
    pub sandbox_image: Option<String>,
}

/// What was read from the API server.
#[derive(Clone, Debug, Default)]
pub struct Installed {
    /// Those of `POLICIES` that exist.
    pub policies: Vec<ValidatingAdmissionPolicy>,
    /// Those of `POLICIES` that exist as bindings.
    pub bindings: Vec<ValidatingAdmissionPolicyBinding>,
    /// Those of `CRDS` that exist.
    pub crds: Vec<CustomResourceDefinition>,
}

/// Compares what is installed with what was compiled in.
pub fn compare(installed: &Installed, installation: &Installation) -> GuardState {
    let mut names: BTreeMap<&'static str, String> = BTreeMap::new();
    for ((placeholder, _), value) in PLACEHOLDERS.iter().zip([
        &installation.operator_namespace,
        &installation.operator_account,
        &installation.sandbox_namespace,
        &installation.sandbox_image,
    ]) {
        if let Some(value) = value {
            names.insert(placeholder, value.clone());
        }
    }
    let mut differences = Vec::new();
    let mut newest: Option<Timestamp> = None;
    let documents: Vec<Value> = serde_saphyr::from_multiple(EXPECTED).unwrap_or_default();
    if documents.len() != POLICIES.len() * 2 {
        differences.push("the compiled-in guards cannot be read".to_owned());
    }
    for document in &documents {
        let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default();
        let name = document
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let found = if kind == "ValidatingAdmissionPolicy" {
            installed
                .policies
                .iter()
                .find(|policy| policy.metadata.name.as_deref() == Some(name))
                .map(|policy| (&policy.metadata, json(&policy.spec)))
        } else {
            installed
                .bindings
                .iter()
                .find(|binding| binding.metadata.name.as_deref() == Some(name))
                .map(|binding| (&binding.metadata, json(&binding.spec)))
        };
        let Some((metadata, mut spec)) = found else {
            differences.push(format!("{kind} {name} is not installed"));
            continue;
        };
        seen(&mut newest, metadata);
        if metadata.deletion_timestamp.is_some() {
            differences.push(format!("{kind} {name} is being deleted"));
        }
        let mut expected = document.get("spec").cloned().unwrap_or_default();
        normalise(&mut expected);
        normalise(&mut spec);
        if let Err(place) = agree(&expected, &spec, &mut names, "spec") {
            differences.push(format!("{kind} {name} was changed at {place}"));
        }
    }
    for expected in definitions::all() {
        let name = expected.metadata.name.clone().unwrap_or_default();
        let Some(crd) = installed
            .crds
            .iter()
            .find(|crd| crd.metadata.name == expected.metadata.name)
        else {
            differences.push(format!("CustomResourceDefinition {name} is not installed"));
            continue;
        };
        seen(&mut newest, &crd.metadata);
        if let Err(place) = same_crd(&expected, crd) {
            differences.push(format!("CustomResourceDefinition {name} was changed at {place}"));
        }
    }
    GuardState {
        intact: differences.is_empty(),
        differences,
        newest_change: newest,
        operator_namespace: names.remove("FIREWATCH_OPERATOR_NAMESPACE"),
    }
}

/// Notes when an object was made and last changed. Writes of its status do not count: controllers make them.
fn seen(newest: &mut Option<Timestamp>, metadata: &ObjectMeta) {
    let made = metadata.creation_timestamp.as_ref().map(|time| time.0);
    let changed = metadata
        .managed_fields
        .iter()
        .flatten()
        .filter(|field| field.subresource.as_deref() != Some("status"))
        .filter_map(|field| field.time.as_ref().map(|time| time.0))
        .max();
    *newest = (*newest).max(made).max(changed);
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Leaves out what the API server fills in by itself, on both sides, and what is null.
fn normalise(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, held| {
                normalise(held);
                !(held.is_null()
                    || (key == "matchPolicy" && held == "Equivalent")
                    || (key == "failurePolicy" && held == "Fail")
                    || (key == "scope" && held == "*")
                    || ((key == "namespaceSelector" || key == "objectSelector")
                        && held.as_object().is_some_and(serde_json::Map::is_empty)))
            });
        }
        Value::Array(list) => list.iter_mut().for_each(normalise),
        _ => {}
    }
}

/// Whether both are the same but for placeholders, each of which stands for one text everywhere. `Err`: where they differ.
fn agree(
    expected: &Value,
    found: &Value,
    names: &mut BTreeMap<&'static str, String>,
    place: &str,
) -> Result<(), String> {
    match (expected, found) {
        (Value::Object(a), Value::Object(b)) => {
            if let Some(extra) = b.keys().find(|key| !a.contains_key(*key)) {
                return Err(format!("{place}.{extra}"));
            }
            for (key, one) in a {
                let below = format!("{place}.{key}");
                match b.get(key) {
                    Some(other) => agree(one, other, names, &below)?,
                    None => return Err(below),
                }
            }
            Ok(())
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .try_for_each(|(index, (one, other))| agree(one, other, names, &format!("{place}[{index}]"))),
        (Value::String(a), Value::String(b)) if bind(a, b, names) => Ok(()),
        (a, b) if a == b => Ok(()),
        _ => Err(place.to_owned()),
    }
}

/// Whether `found` is `expected` with one fitting text for each placeholder; notes those that were not known.
fn bind(expected: &str, found: &str, names: &mut BTreeMap<&'static str, String>) -> bool {
    if !expected.contains("FIREWATCH_") {
        return expected == found;
    }
    let mut rule = regex::escape(expected);
    let mut unknown = Vec::new();
    for (placeholder, form) in PLACEHOLDERS {
        if !rule.contains(placeholder) {
            continue;
        }
        if let Some(value) = names.get(placeholder) {
            rule = rule.replace(placeholder, &regex::escape(value));
        } else {
            let group = placeholder.to_lowercase();
            // Further occurrences are compared when the name is known.
            rule = rule.replacen(placeholder, &format!("(?P<{group}>{form})"), 1);
            rule = rule.replace(placeholder, form);
            unknown.push((placeholder, group));
        }
    }
    let Some(captures) = Regex::new(&format!("^(?:{rule})$"))
        .ok()
        .and_then(|rule| rule.captures(found))
    else {
        return false;
    };
    if unknown.is_empty() {
        return true;
    }
    for (placeholder, group) in unknown {
        if let Some(value) = captures.name(&group) {
            names.insert(placeholder, value.as_str().to_owned());
        }
    }
    bind(expected, found, names)
}

/// Whether a CRD has the schema, rules and status subresource that its Rust type says. Descriptions do not matter.
fn same_crd(expected: &CustomResourceDefinition, found: &CustomResourceDefinition) -> Result<(), String> {
    let view = |crd: &CustomResourceDefinition| {
        let versions: Vec<Value> = crd
            .spec
            .versions
            .iter()
            .map(|version| {
                let mut schema = json(&version.schema);
                strip(&mut schema, true);
                serde_json::json!({
                    "name": version.name,
                    "served": version.served,
                    "storage": version.storage,
                    "schema": schema,
                    "status": version.subresources.as_ref().is_some_and(|sub| sub.status.is_some()),
                    "scale": version.subresources.as_ref().is_some_and(|sub| sub.scale.is_some()),
                })
            })
            .collect();
        let webhook = crd
            .spec
            .conversion
            .as_ref()
            .is_some_and(|conversion| conversion.strategy != "None");
        serde_json::json!({
            "group": crd.spec.group,
            "scope": crd.spec.scope,
            "kind": crd.spec.names.kind,
            "plural": crd.spec.names.plural,
            "versions": versions,
            "conversion": webhook,
            "preserveUnknownFields": crd.spec.preserve_unknown_fields.unwrap_or(false),
        })
    };
    agree(&view(expected), &view(found), &mut BTreeMap::new(), "spec")
}

/// Leaves out descriptions, and what is null. `schema`: this object is a schema, not a map of properties.
fn strip(value: &mut Value, schema: bool) {
    match value {
        Value::Object(map) => map.retain(|key, held| {
            strip(held, !(schema && key == "properties"));
            !(held.is_null() || (schema && key == "description"))
        }),
        Value::Array(list) => list.iter_mut().for_each(|one| strip(one, schema)),
        _ => {}
    }
}
