//! The three custom resource definitions as they are installed: generated from the types, with bounds on what is not ours.
//! Called by `firewatch crds`, which writes them, and by the guards' comparison, which expects exactly them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use super::{Incident, RemediationApproval, ResponsePolicy};

/// All three, in the order in which they are installed.
pub fn all() -> [CustomResourceDefinition; 3] {
    [Incident::crd(), RemediationApproval::crd(), ResponsePolicy::crd()].map(|mut crd| {
        for version in &mut crd.spec.versions {
            if let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) {
                bound(schema);
            }
        }
        crd
    })
}

/// Types that are not ours (conditions, label selectors) come without bounds; CRD rules over them would be too costly.
fn bound(schema: &mut JSONSchemaProps) {
    match schema.type_.as_deref() {
        Some("string") if schema.max_length.is_none() && schema.enum_.is_none() && schema.format.is_none() => {
            schema.max_length = Some(32768);
        }
        Some("array") if schema.max_items.is_none() => schema.max_items = Some(64),
        Some("object") if schema.additional_properties.is_some() && schema.max_properties.is_none() => {
            schema.max_properties = Some(64);
        }
        _ => {}
    }
    for child in schema.properties.iter_mut().flat_map(|p| p.values_mut()) {
        bound(child);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(child)) => bound(child),
        Some(JSONSchemaPropsOrArray::Schemas(children)) => children.iter_mut().for_each(bound),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(child)) = &mut schema.additional_properties {
        bound(child);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Paths below which the types are Kubernetes' own, without bounds; `bound` gives them theirs.
    const NOT_OURS: [&str; 2] = [".conditions", ".spec.namespaceSelector"];

    fn unbounded(path: &str, schema: &JSONSchemaProps, found: &mut Vec<String>) {
        if NOT_OURS.iter().any(|end| path.ends_with(end)) {
            return;
        }
        match schema.type_.as_deref() {
            Some("string") if schema.max_length.is_none() && schema.enum_.is_none() && schema.format.is_none() => {
                found.push(format!("{path}: a string"));
            }
            Some("array") if schema.max_items.is_none() => found.push(format!("{path}: a list")),
            Some("object") if schema.additional_properties.is_some() && schema.max_properties.is_none() => {
                found.push(format!("{path}: a map"));
            }
            _ => {}
        }
        for (name, child) in schema.properties.iter().flatten() {
            unbounded(&format!("{path}.{name}"), child, found);
        }
        if let Some(JSONSchemaPropsOrArray::Schema(child)) = &schema.items {
            unbounded(&format!("{path}[]"), child, found);
        }
        if let Some(JSONSchemaPropsOrBool::Schema(child)) = &schema.additional_properties {
            unbounded(&format!("{path}[]"), child, found);
        }
    }

    /// The bounds of our own fields stand in the types: what `bound` would add is far too wide for them.
    #[test]
    fn our_own_types_bound_every_string_list_and_map_themselves() {
        let mut found = Vec::new();
        for crd in [Incident::crd(), RemediationApproval::crd(), ResponsePolicy::crd()] {
            let schema = crd.spec.versions.first().unwrap().schema.as_ref().unwrap();
            let kind = crd.spec.names.kind;
            unbounded(&kind, schema.open_api_v3_schema.as_ref().unwrap(), &mut found);
        }
        assert_eq!(found, Vec::<String>::new());
    }
}
