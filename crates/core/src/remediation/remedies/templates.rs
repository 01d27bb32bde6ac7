//! Pod templates: environment, probes, resources and images of one container.
//! Must never replace a value that comes from elsewhere. Called by `remedies`.

use std::str::FromStr;

use serde_json::Value;

use super::{Built, Planning, REDACTED, fixed};
use crate::diagnosis::remedy::{ContainerRef, Remedy};
use crate::remediation::action::Action;
use crate::remediation::change::{Change, EnvPlace, Section};

impl Planning<'_> {
    pub(super) fn template(&self, remedy: &Remedy) -> Result<Built, String> {
        let plain = |action| Ok(Built::one(action));
        match remedy {
            Remedy::Env {
                container,
                name,
                from,
                to,
            } => {
                let known = self.known(
                    to.as_ref(),
                    &format!("{} needs {name}", container.workload),
                    &format!(
                        "{} -c {} {name}=…",
                        self.by_hand("set env", &container.workload),
                        container.container
                    ),
                )?;
                let action = self.env(container, name, from.as_deref(), &known.value)?;
                Ok(Built::known(action, known))
            }
            Remedy::ProbePort {
                container,
                probe,
                handler,
                from,
                to,
            } => {
                let (place, _) = self.container(container)?;
                plain(self.action(
                    &container.workload,
                    Change::PatchProbe {
                        container: place,
                        field: format!("{probe}.{handler}.port"),
                        from: from.clone(),
                        to: fixed(
                            to.as_ref(),
                            &format!("the port that {} listens on", container.container),
                        )?,
                    },
                )?)
            }
            Remedy::ProbeField {
                container,
                probe,
                field,
                from,
                to,
            } => {
                let known = self.known(
                    to.as_ref(),
                    &format!("{field} of the {probe} of {} does not fit", container.container),
                    &self.by_hand("edit", &container.workload),
                )?;
                let (place, _) = self.container(container)?;
                let change = Change::PatchProbe {
                    container: place,
                    field: format!("{probe}.{field}"),
                    from: from.clone(),
                    to: known.value.clone(),
                };
                Ok(Built::known(self.action(&container.workload, change)?, known))
            }
            Remedy::Resources {
                container,
                field,
                from,
                to,
            } => plain(self.resources(container, field, from.as_ref(), to.as_ref())?),
            Remedy::Image { container, from, to } => {
                let known = self.known(
                    to.as_ref(),
                    &format!("the image {from} of {} cannot be used", container.workload),
                    &format!(
                        "{} {}=…",
                        self.by_hand("set image", &container.workload),
                        container.container
                    ),
                )?;
                let (place, _) = self.container(container)?;
                let action = self.action(
                    &container.workload,
                    Change::SetImage {
                        container: place,
                        from: from.clone(),
                        to: known.value.clone(),
                    },
                )?;
                Ok(Built::known(action, known))
            }
            _ => Err("no remedy is known".to_owned()),
        }
    }

    fn env(&self, of: &ContainerRef, name: &str, from: Option<&str>, to: &str) -> Result<Action, String> {
        let (place, found) = self.container(of)?;
        let list = found
            .get("env")
            .and_then(Value::as_array)
            .filter(|list| !list.is_empty());
        let at = list
            .into_iter()
            .flatten()
            .position(|one| one.get("name").and_then(Value::as_str) == Some(name));
        let held = at.and_then(|index| list.and_then(|list| list.get(index)));
        if held.is_some_and(|one| one.get("valueFrom").is_some()) {
            return Err(format!(
                "{name} of {} comes from elsewhere; change it there",
                of.workload
            ));
        }
        let index = |index: usize| i32::try_from(index).map_err(|_| "too many variables".to_owned());
        let (place_in_list, from) = match (list, at, held) {
            (Some(_), Some(at), Some(held)) => {
                let value = held.get("value").and_then(Value::as_str).unwrap_or("");
                if from.is_some_and(|from| from != value) || value.contains(REDACTED) {
                    return Err(format!(
                        "{name} of {} is not as the diagnosis says; look again",
                        of.workload
                    ));
                }
                (EnvPlace::At(index(at)?), Some(value.to_owned()))
            }
            (Some(list), ..) => {
                let entry = self.entry(&of.workload)?;
                let generation = entry
                    .object
                    .metadata()
                    .and_then(|metadata| metadata.generation)
                    .ok_or_else(|| format!("the generation of {} is not known", of.workload))?;
                (
                    EnvPlace::Append {
                        index: index(list.len())?,
                        generation,
                    },
                    None,
                )
            }
            (None, ..) => (EnvPlace::NewList, None),
        };
        self.action(
            &of.workload,
            Change::SetEnv {
                container: place,
                name: name.to_owned(),
                place: place_in_list,
                from,
                to: Some(to.to_owned()),
            },
        )
    }

    fn resources(
        &self,
        of: &ContainerRef,
        field: &str,
        from: Option<&String>,
        to: Option<&String>,
    ) -> Result<Action, String> {
        let to = fixed(to, &format!("{field} of {}", of.workload))?;
        self.fits(&of.workload, field, from.map(String::as_str), &to)?;
        let (place, found) = self.container(of)?;
        let (section, resource) = field.split_once('.').unwrap_or((field, ""));
        let section =
            Section::from_str(section).map_err(|_| format!("{field} is no part of a container's resources"))?;
        let held = found
            .get("resources")
            .and_then(|resources| resources.get(section.as_ref()));
        self.action(
            &of.workload,
            Change::SetResources {
                container: place,
                section,
                resource: resource.to_owned(),
                parent_absent: held.is_none_or(Value::is_null),
                from: from.cloned(),
                to: Some(to),
            },
        )
    }
}
