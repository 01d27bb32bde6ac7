//! Where scenarios come from: built into the plugin, or a directory that the user names.

use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use serde_json::Value;

use super::Scenario;
use super::steps::NAMESPACE;
use crate::error::{Error, Result};

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../scenarios");

/// A set of scenarios.
#[derive(Clone, Debug)]
pub struct Library {
    directory: Option<PathBuf>,
}

impl Library {
    /// Those that were built into the plugin.
    pub fn built_in() -> Self {
        Self { directory: None }
    }

    /// Those of a directory: `DIR/<name>/scenario.yaml`.
    pub fn in_directory(directory: &Path) -> Self {
        Self {
            directory: Some(directory.to_owned()),
        }
    }

    /// All names, sorted.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = match &self.directory {
            None => BUILT_IN
                .dirs()
                .filter(|dir| dir.get_file(dir.path().join("scenario.yaml")).is_some())
                .filter_map(|dir| dir.path().file_name().map(|name| name.to_string_lossy().into_owned()))
                .collect(),
            Some(directory) => std::fs::read_dir(directory)
                .map_err(|e| Error::Input(format!("--scenarios {}: {e}", directory.display())))?
                .filter_map(std::result::Result::ok)
                .filter(|entry| entry.path().join("scenario.yaml").is_file())
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect(),
        };
        names.sort();
        Ok(names)
    }

    /// One scenario by its name.
    pub fn scenario(&self, name: &str) -> Result<Scenario> {
        let names = self.names()?;
        if !names.iter().any(|known| known == name) {
            return Err(Error::NotFound {
                what: format!("scenario {name}"),
                remedy: format!("There are: {}.", names.join(", ")),
            });
        }
        let scenario: Scenario = serde_saphyr::from_str(&self.text(name, "scenario.yaml")?)
            .map_err(|e| Error::Input(format!("scenarios/{name}/scenario.yaml: {e}")))?;
        if scenario.name != name {
            return Err(Error::Input(format!(
                "scenarios/{name}/scenario.yaml: name is {}, but the directory is {name}",
                scenario.name
            )));
        }
        Ok(scenario)
    }

    /// The objects of one of a scenario's manifests.
    pub fn objects(&self, name: &str, file: &str) -> Result<Vec<Value>> {
        let objects: Vec<Value> = serde_saphyr::from_multiple(&self.text(name, file)?)
            .map_err(|e| Error::Input(format!("scenarios/{name}/{file}: {e}")))?;
        Ok(objects.into_iter().filter(|object| !object.is_null()).collect())
    }

    /// The same for one run: `{namespace}` is the name of its namespace.
    pub fn objects_in(&self, name: &str, file: &str, namespace: &str) -> Result<Vec<Value>> {
        let mut objects = self.objects(name, file)?;
        for object in &mut objects {
            fill_in(object, namespace);
        }
        Ok(objects)
    }

    fn text(&self, name: &str, file: &str) -> Result<String> {
        let wrong = |why: &str| Error::Input(format!("scenarios/{name}/{file}: {why}"));
        // A file of the scenario's own directory, and nothing else.
        if Path::new(file).components().count() != 1 || file.starts_with('.') {
            return Err(wrong("a manifest is a file beside scenario.yaml; write its name only"));
        }
        match &self.directory {
            None => BUILT_IN
                .get_file(Path::new(name).join(file))
                .and_then(include_dir::File::contents_utf8)
                .map(str::to_owned)
                .ok_or_else(|| wrong("not found")),
            Some(directory) => {
                std::fs::read_to_string(directory.join(name).join(file)).map_err(|e| wrong(&e.to_string()))
            }
        }
    }
}

/// In values only: the name of a field is never one's own.
fn fill_in(value: &mut Value, namespace: &str) {
    match value {
        Value::String(text) if text.contains(NAMESPACE) => *text = text.replace(NAMESPACE, namespace),
        Value::Array(items) => items.iter_mut().for_each(|item| fill_in(item, namespace)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill_in(field, namespace)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn every_built_in_scenario_can_be_read_with_all_its_manifests() {
        let library = Library::built_in();
        let names = library.names().unwrap();
        for name in ["cascading_failure", "cpu_spike", "crashloop", "memory_leak"] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
        assert!(names.len() >= 24, "{names:?}");
        for name in names {
            let scenario = library.scenario(&name).unwrap();
            assert!(
                !scenario.symptom.checks.is_empty() && !scenario.health.checks.is_empty(),
                "{name}"
            );
            for check in scenario
                .symptom
                .checks
                .iter()
                .chain(&scenario.health.checks)
                .chain(scenario.steps.iter().flat_map(|s| &s.wait_for))
            {
                check.validate().unwrap();
            }
            for step in &scenario.steps {
                assert_ne!(
                    step.apply.is_some(),
                    !step.run.is_empty(),
                    "{name}: a step applies a file or runs commands"
                );
                let Some(file) = &step.apply else { continue };
                for object in library.objects(&name, file).unwrap() {
                    assert!(object["metadata"]["name"].is_string(), "{name}/{file}: {object}");
                    assert!(
                        object["metadata"]["namespace"].is_null(),
                        "{name}/{file}: the namespace is given by who applies it"
                    );
                }
            }
            let incident = library.objects(&name, "incident.yaml").unwrap();
            let [incident] = incident.as_slice() else {
                unreachable!("{name}: one incident")
            };
            serde_json::from_value::<firewatch_core::api::Incident>(incident.clone()).unwrap();
        }
    }

    #[test]
    fn the_library_covers_what_it_should() {
        let library = Library::built_in();
        let all: Vec<Scenario> = library
            .names()
            .unwrap()
            .iter()
            .map(|name| library.scenario(name).unwrap())
            .collect();
        let healthy: Vec<&Scenario> = all
            .iter()
            .filter(|scenario| scenario.expected.outcomes == [firewatch_core::api::Outcome::NoActionRequired])
            .collect();
        assert!(healthy.len() >= 3, "healthy ones");
        for scenario in healthy {
            assert!(scenario.expected.root_cause.is_none() && scenario.expected.actions.is_empty());
        }
        let elsewhere = all
            .iter()
            .filter(|scenario| {
                let incident = library.objects(&scenario.name, "incident.yaml").unwrap().remove(0);
                let target = &incident["spec"]["target"];
                let target = format!(
                    "{}/{}",
                    target["kind"].as_str().unwrap(),
                    target["name"].as_str().unwrap()
                );
                let cause = scenario.expected.root_cause.as_ref();
                cause.is_some_and(|cause| !cause.objects.contains(&target))
            })
            .count();
        assert!(elsewhere >= 5, "{elsewhere} whose cause is not in the failing object");
    }

    #[test]
    fn a_run_fills_in_its_namespace() {
        let mut object = serde_json::json!({"a": ["x-{namespace}"], "b": {"c": "{namespace}"}, "d": 1});
        fill_in(&mut object, "shop-1");
        assert_eq!(
            object,
            serde_json::json!({"a": ["x-shop-1"], "b": {"c": "shop-1"}, "d": 1})
        );
    }

    #[test]
    fn text_that_looks_like_a_number_stays_text() {
        let objects = Library::built_in()
            .objects("cascading_failure", "10-database-service.yaml")
            .unwrap();
        assert_eq!(objects.first().unwrap()["spec"]["selector"]["version"], "16");
    }

    #[test]
    fn an_unknown_scenario_is_answered_with_those_there_are() {
        let error = Library::built_in().scenario("crashlop").unwrap_err();
        assert!(error.to_string().contains("crashloop"), "{error}");
        assert_eq!(error.reason(), "NotFound");
    }

    #[test]
    fn a_scenario_cannot_reach_beyond_its_directory() {
        assert_eq!(
            Library::built_in()
                .objects("crashloop", "../cpu_spike/manifest.yaml")
                .unwrap_err()
                .reason(),
            "BadInput"
        );
    }
}
