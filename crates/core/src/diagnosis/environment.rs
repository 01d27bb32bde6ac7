//! The environment that a container gets: literal values, values from ConfigMaps (read), and from Secrets (never read).
//! Called by `graph` and the configuration analyzers. Must never resolve a Secret.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container};

use super::case_file::CaseFile;
use crate::api::ObjectName;

/// One variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its value, where it can be known.
    pub value: Option<String>,
    /// The ConfigMap and key that it comes from; none for literals, Secrets and fields.
    pub from: Option<(ObjectName, String)>,
    /// Comes from a Secret.
    pub secret: bool,
}

/// A ConfigMap that a container's environment is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvConfigMap {
    /// Which.
    pub name: ObjectName,
    /// All of its keys become variables, with this in front.
    pub whole: Option<String>,
    /// Keys that are read one by one.
    pub keys: Vec<String>,
    /// It may be absent.
    pub optional: bool,
}

/// A container's environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Variables by name.
    pub values: BTreeMap<String, Variable>,
    /// ConfigMaps that take part.
    pub config_maps: Vec<EnvConfigMap>,
    /// A whole Secret is read in, so that not every variable's name is known.
    pub whole_secret: bool,
}

/// The environment of a container in that namespace.
pub fn of(case: &CaseFile, namespace: &str, container: &Container) -> Environment {
    let mut env = Environment::default();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.clone().unwrap_or_default();
        env.whole_secret |= source.secret_ref.is_some();
        let Some(reference) = &source.config_map_ref else {
            continue;
        };
        let name = ObjectName::namespaced("ConfigMap", namespace, reference.name.clone());
        for (key, value) in data(case, &name).into_iter().flatten() {
            let variable = Variable {
                value: Some(value.clone()),
                from: Some((name.clone(), key.clone())),
                secret: false,
            };
            env.values.insert(format!("{prefix}{key}"), variable);
        }
        env.config_maps.push(EnvConfigMap {
            name,
            whole: Some(prefix),
            keys: Vec::new(),
            optional: reference.optional.unwrap_or(false),
        });
    }
    for variable in container.env.iter().flatten() {
        let source = variable.value_from.as_ref();
        let reference = source.and_then(|source| source.config_map_key_ref.as_ref());
        let from = reference.map(|r| {
            (
                ObjectName::namespaced("ConfigMap", namespace, r.name.clone()),
                r.key.clone(),
            )
        });
        if let (Some((name, key)), Some(reference)) = (&from, reference) {
            env.config_maps.push(EnvConfigMap {
                name: name.clone(),
                whole: None,
                keys: vec![key.clone()],
                optional: reference.optional.unwrap_or(false),
            });
        }
        let looked_up = from
            .as_ref()
            .and_then(|(name, key)| data(case, name).and_then(|data| data.get(key)).cloned());
        let missing = from.is_some() && looked_up.is_none();
        if missing && reference.is_some_and(|r| r.optional == Some(true)) {
            continue;
        }
        let value = match source {
            None => Some(variable.value.clone().unwrap_or_default()),
            Some(_) => looked_up,
        };
        let secret = source.is_some_and(|source| source.secret_key_ref.is_some());
        env.values
            .insert(variable.name.clone(), Variable { value, from, secret });
    }
    env
}

fn data<'c>(case: &'c CaseFile, name: &ObjectName) -> Option<&'c BTreeMap<String, String>> {
    let entry = case.entry(name)?;
    <ConfigMap as super::case_file::Kind>::of(&entry.object)?.data.as_ref()
}

/// Whether a value of that name, or of that form, may be a credential: such a value is never proposed.
pub fn looks_secret(name: &str, value: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let named = [
        "PASSWORD",
        "PASSWD",
        "SECRET",
        "TOKEN",
        "CREDENTIAL",
        "PRIVATE",
        "API_KEY",
        "APIKEY",
        "ACCESS_KEY",
        "PASSPHRASE",
        "_PW",
        "_PWD",
        "SALT",
    ]
    .iter()
    .any(|word| upper.contains(word));
    let with_password = value
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('@'))
        .is_some_and(|(user, _)| user.contains(':') && !user.contains('/'));
    named || with_password || value.contains("[REDACTED") || value.contains("-----BEGIN") || value.contains("***")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_may_be_credentials_are_known_as_such() {
        for (name, value) in [
            ("DB_PASSWORD", "x"),
            ("URL", "postgres://u:p@db/x"),
            ("KEY", "[REDACTED:aws]"),
            ("STRIPE_API_KEY", "x"),
            ("FIRST", "-----BEGIN CERTIFICATE-----"),
            ("SECOND", "sk_***"),
        ] {
            assert!(looks_secret(name, value), "{name}");
        }
        for (name, value) in [
            ("GATEWAY_URL", "http://gateway:8080/v1"),
            ("DB_URL", "postgres://orders@db:5432/orders"),
            ("MONKEY", "bar"),
            ("LINK", "https://shop.example/a:b@c"),
            ("PLAIN", "begin*end"),
        ] {
            assert!(!looks_secret(name, value), "{name}");
        }
    }
}
