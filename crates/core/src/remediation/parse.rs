//! Between a change and its parameters, and what a target and a parameter may hold. Text that reaches an argv is checked here, so that
//! a name can be neither an option nor a path. Must never accept what `render` cannot express exactly. Called by `action` alone.

use std::str::FromStr;

use super::action::ActionError;
use super::change::{Change, Container, EnvPlace, RefPlace, Section, ServiceField};
use crate::api::{ActionParameters, ActionType, PlannedAction};

/// The change that type and parameters speak of.
pub fn change(planned: &PlannedAction) -> Result<Change, ActionError> {
    let p = &planned.parameters;
    let action = planned.action_type;
    let missing = |field: &'static str| ActionError::Missing { action, field };
    let from = || p.from.clone().ok_or(missing("parameters.from"));
    let to = || p.to.clone().ok_or(missing("parameters.to"));
    let field = || p.field.clone().ok_or(missing("parameters.field"));
    let index = || p.field_index.ok_or(missing("parameters.fieldIndex"));
    let container = || {
        Ok::<_, ActionError>(Container {
            name: p.container.clone().ok_or(missing("parameters.container"))?,
            index: p.container_index.ok_or(missing("parameters.containerIndex"))?,
            init: p.init_container == Some(true),
        })
    };
    let parent_absent = p.parent_absent == Some(true);
    Ok(match action {
        ActionType::RollbackRollout => Change::RollbackRollout {
            from_revision: number(&from()?, "parameters.from")?,
            to_revision: number(&to()?, "parameters.to")?,
        },
        ActionType::RestartRollout => Change::RestartRollout { mark: to()? },
        ActionType::Scale => Change::Scale {
            from: number(&from()?, "parameters.from")?,
            to: number(&to()?, "parameters.to")?,
        },
        ActionType::SetImage => Change::SetImage {
            container: container()?,
            from: from()?,
            to: to()?,
        },
        ActionType::SetResources => {
            let field = field()?;
            let (section, resource) = field.split_once('.').ok_or(missing("parameters.field"))?;
            Change::SetResources {
                container: container()?,
                section: Section::from_str(section).map_err(|_| ActionError::Invalid {
                    field: "parameters.field",
                    why: "begins with limits. or requests.",
                })?,
                resource: resource.to_owned(),
                parent_absent,
                from: p.from.clone(),
                to: Some(to()?),
            }
        }
        ActionType::SetEnv => Change::SetEnv {
            container: container()?,
            name: field()?,
            place: match (p.from.is_some(), parent_absent) {
                (false, true) => EnvPlace::NewList,
                (true, true) => {
                    return Err(ActionError::Invalid {
                        field: "parameters.parentAbsent",
                        why: "a variable that is set stands in a list",
                    });
                }
                (true, false) => EnvPlace::At(index()?),
                (false, false) => EnvPlace::Append {
                    index: index()?,
                    generation: p.generation.ok_or(missing("parameters.generation"))?,
                },
            },
            from: p.from.clone(),
            to: Some(to()?),
        },
        ActionType::SetConfigMapRef => Change::SetConfigMapRef {
            place: ref_place(&field()?, index()?, container)?,
            from: from()?,
            to: to()?,
        },
        ActionType::PatchConfigMapKey => Change::PatchConfigMapKey {
            key: field()?,
            parent_absent,
            from: p.from.clone(),
            to: p.to.clone(),
        },
        ActionType::PatchService => {
            let field = field()?;
            Change::PatchService {
                field: match field.strip_prefix("selector.") {
                    Some(key) => ServiceField::Selector(key.to_owned()),
                    None if field == "targetPort" => ServiceField::TargetPort(index()?),
                    None => {
                        return Err(ActionError::Invalid {
                            field: "parameters.field",
                            why: "is selector.KEY or targetPort",
                        });
                    }
                },
                from: from()?,
                to: to()?,
            }
        }
        ActionType::PatchProbe => Change::PatchProbe {
            container: container()?,
            field: field()?,
            from: from()?,
            to: to()?,
        },
        ActionType::PatchHpa if p.field.as_deref() == Some("scaleTargetRef") => Change::RetargetHpa {
            from: from()?,
            to: to()?,
        },
        ActionType::PatchHpa => Change::PatchHpa {
            field: field()?,
            from: number(&from()?, "parameters.from")?,
            to: number(&to()?, "parameters.to")?,
        },
        ActionType::PatchPdb => Change::PatchPdb {
            field: field()?,
            from: from()?,
            to: to()?,
        },
        ActionType::PatchQuota => Change::PatchQuota {
            resource: field()?,
            from: from()?,
            to: to()?,
        },
        ActionType::SuspendCronJob => Change::SuspendCronJob,
        ActionType::ResumeCronJob => Change::ResumeCronJob,
        ActionType::CordonNode => Change::CordonNode,
        ActionType::UncordonNode => Change::UncordonNode,
    })
}

fn ref_place(
    field: &str,
    index: i32,
    container: impl Fn() -> Result<Container, ActionError>,
) -> Result<RefPlace, ActionError> {
    if field == "envFrom" {
        return Ok(RefPlace::EnvFrom {
            container: container()?,
            index,
        });
    }
    if let Some(name) = field.strip_prefix("env.") {
        return Ok(RefPlace::Env {
            container: container()?,
            index,
            name: name.to_owned(),
        });
    }
    field
        .strip_prefix("volumes.")
        .map(|name| RefPlace::Volume {
            index,
            name: name.to_owned(),
        })
        .ok_or(ActionError::Invalid {
            field: "parameters.field",
            why: "is env.NAME, envFrom or volumes.NAME",
        })
}

fn number<N: FromStr>(text: &str, field: &'static str) -> Result<N, ActionError> {
    text.parse().map_err(|_| ActionError::Invalid {
        field,
        why: "is not a whole number in range",
    })
}

/// The parameters that say this change, and nothing more.
pub fn parameters(change: &Change) -> ActionParameters {
    let mut p = ActionParameters::default();
    let mut of = |container: &Container| {
        p.container = Some(container.name.clone());
        p.container_index = Some(container.index);
        p.init_container = container.init.then_some(true);
    };
    match change {
        Change::SetImage { container, .. }
        | Change::SetResources { container, .. }
        | Change::SetEnv { container, .. }
        | Change::PatchProbe { container, .. }
        | Change::SetConfigMapRef {
            place: RefPlace::Env { container, .. } | RefPlace::EnvFrom { container, .. },
            ..
        } => of(container),
        _ => {}
    }
    let said = |flag: bool| flag.then_some(true);
    match change {
        Change::RollbackRollout {
            from_revision,
            to_revision,
        } => {
            p.from = Some(from_revision.to_string());
            p.to = Some(to_revision.to_string());
        }
        Change::RestartRollout { mark } => p.to = Some(mark.clone()),
        Change::Scale { from, to } => {
            p.from = Some(from.to_string());
            p.to = Some(to.to_string());
        }
        Change::PatchHpa { field, from, to } => {
            p.field = Some(field.clone());
            p.from = Some(from.to_string());
            p.to = Some(to.to_string());
        }
        Change::SetImage { from, to, .. } => {
            p.from = Some(from.clone());
            p.to = Some(to.clone());
        }
        Change::SetResources {
            section,
            resource,
            parent_absent,
            from,
            to,
            ..
        } => {
            p.field = Some(format!("{}.{resource}", section.as_ref()));
            p.parent_absent = said(*parent_absent);
            p.from.clone_from(from);
            p.to.clone_from(to);
        }
        Change::SetEnv {
            name, place, from, to, ..
        } => {
            p.field = Some(name.clone());
            match place {
                EnvPlace::At(index) => p.field_index = Some(*index),
                EnvPlace::Append { index, generation } => {
                    p.field_index = Some(*index);
                    p.generation = Some(*generation);
                }
                EnvPlace::NewList => p.parent_absent = Some(true),
            }
            p.from.clone_from(from);
            p.to.clone_from(to);
        }
        Change::SetConfigMapRef { place, from, to } => {
            let (field, index) = match place {
                RefPlace::Env { name, index, .. } => (format!("env.{name}"), *index),
                RefPlace::EnvFrom { index, .. } => ("envFrom".to_owned(), *index),
                RefPlace::Volume { name, index } => (format!("volumes.{name}"), *index),
            };
            p.field = Some(field);
            p.field_index = Some(index);
            p.from = Some(from.clone());
            p.to = Some(to.clone());
        }
        Change::RetargetHpa { from, to } => {
            p.field = Some("scaleTargetRef".to_owned());
            p.from = Some(from.clone());
            p.to = Some(to.clone());
        }
        Change::PatchConfigMapKey {
            key,
            parent_absent,
            from,
            to,
        } => {
            p.field = Some(key.clone());
            p.parent_absent = said(*parent_absent);
            p.from.clone_from(from);
            p.to.clone_from(to);
        }
        Change::PatchService { field, from, to } => {
            match field {
                ServiceField::Selector(key) => p.field = Some(format!("selector.{key}")),
                ServiceField::TargetPort(index) => {
                    p.field = Some("targetPort".to_owned());
                    p.field_index = Some(*index);
                }
            }
            p.from = Some(from.clone());
            p.to = Some(to.clone());
        }
        Change::PatchProbe { field, from, to, .. }
        | Change::PatchPdb { field, from, to }
        | Change::PatchQuota {
            resource: field,
            from,
            to,
        } => {
            p.field = Some(field.clone());
            p.from = Some(from.clone());
            p.to = Some(to.clone());
        }
        Change::SuspendCronJob | Change::ResumeCronJob | Change::CordonNode | Change::UncordonNode => {}
    }
    p
}
