//! The scenarios' names, and what each reports: `scenarios/*/incident.yaml`, gathered when this was built. Nothing here breaks a workload;
//! that is `kubectl incident run`, with a person's own rights. Called by `create`.

use firewatch_core::api::Incident;

use super::problem::{Kind, Problem};

static TABLE: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));

/// All names, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}

/// What a scenario reports.
pub fn incident(name: &str) -> Result<Incident, Problem> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_name =
        (1..=63).contains(&name.len()) && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(plain);
    if !is_name {
        return Err(Problem::invalid(
            "scenario",
            "is not the name of a scenario: a-z, 0-9 and _, 63 at most, a letter first",
        ));
    }
    let (_, text) = TABLE.iter().find(|(known, _)| *known == name).ok_or_else(|| {
        let all: Vec<&str> = names().collect();
        Problem::new(
            Kind::NotFound,
            format!("no scenario {name}; there are: {}", all.join(", ")),
        )
    })?;
    // A test reads all of them.
    serde_saphyr::from_str(text).map_err(|error| Problem::new(Kind::NotFound, format!("scenario {name}: {error}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_scenario_can_be_read_and_names_a_target_without_a_namespace() {
        assert!(names().count() >= 24);
        for name in names() {
            let target = incident(name).unwrap().spec.target.unwrap();
            assert!(target.namespace.is_none() && !target.name.is_empty(), "{name}");
        }
        assert_eq!(incident("crashloop").unwrap().spec.target.unwrap().name, "checkout");
    }

    #[test]
    fn what_is_no_name_is_refused_and_what_is_unknown_is_not_found() {
        for bad in [
            "",
            "..",
            "../crashloop",
            "crash/loop",
            "Crashloop",
            "a\0",
            "_a",
            &"a".repeat(64),
        ] {
            assert_eq!(incident(bad).unwrap_err().field.as_deref(), Some("scenario"), "{bad:?}");
        }
        let unknown = incident("no_such").unwrap_err();
        assert_eq!(unknown.kind, Kind::NotFound);
        assert!(unknown.detail.contains("crashloop"));
    }
}
