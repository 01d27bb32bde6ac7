//! Where scenarios come from: built into the plugin, or a directory that the user names.

use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use serde_json::Value;

use super::Scenario;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn every_built_in_scenario_can_be_read_with_all_its_manifests() {
        let library = Library::built_in();
        let names = library.names().unwrap();
        assert_eq!(
            names,
            [
                "cascading_failure",
                "cpu_spike",
                "crashloop",
                "healthy_noise",
                "memory_leak"
            ]
        );
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
                for object in library.objects(&name, &step.apply).unwrap() {
                    assert!(
                        object["metadata"]["name"].is_string(),
                        "{name}/{}: {object}",
                        step.apply
                    );
                    assert!(
                        object["metadata"]["namespace"].is_null(),
                        "{name}/{}: the namespace is given by who applies it",
                        step.apply
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
