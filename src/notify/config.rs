//! What the operator is told about notifications: a file, checked whole before anything runs. Called by `run` and by `selfcheck`.

use std::path::{Path, PathBuf};

use clap::Args;
use firewatch_core::notify::Routing;
use firewatch_core::notify::routing::{self, Channel, Fault};

/// A Secret's value is not larger.
const MAX_SECRET: u64 = 64 * 1024;

/// Flags, each also an environment variable.
#[derive(Args, Clone, Debug, Default)]
pub struct NotifyArgs {
    /// YAML file with channels and routes (docs/notifications.md). Absent: nobody is told.
    #[arg(long = "notifications", env = "FIREWATCH_NOTIFICATIONS")]
    pub notifications: Option<PathBuf>,
}

/// Why nobody can be told. The operator does not start: whoever relies on being told must hear of it.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The file is not there.
    #[error("--notifications: {0}")]
    File(String),
    /// The file says what cannot be meant.
    #[error("notifications: {0}")]
    Fault(#[from] Fault),
    /// No Postgres.
    #[error("--notifications needs Postgres, which keeps what is on its way: set DATABASE_URL, or take the flag away")]
    NoOutbox,
}

impl NotifyArgs {
    /// Reads and checks the file, and that every secret that it names is there. Nothing where nobody is to be told.
    pub fn load(&self) -> Result<Option<Routing>, NotifyError> {
        let Some(path) = self
            .notifications
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty())
        else {
            return Ok(None);
        };
        let text =
            std::fs::read_to_string(path).map_err(|error| NotifyError::File(format!("{}: {error}", path.display())))?;
        let plan = routing::parse(&text)?;
        for (index, channel) in plan.channels.iter().enumerate() {
            files(channel).try_for_each(|(field, path)| {
                secret(path).map(drop).map_err(|problem| Fault {
                    field: format!("channels[{index}].{field}"),
                    problem,
                })
            })?;
        }
        Ok((!plan.channels.is_empty()).then_some(plan))
    }
}

fn files(channel: &Channel) -> impl Iterator<Item = (&'static str, &Path)> {
    [
        ("urlFile", &channel.url_file),
        ("tokenFile", &channel.token_file),
        ("secretFile", &channel.secret_file),
        ("usernameFile", &channel.username_file),
        ("passwordFile", &channel.password_file),
        ("caFile", &channel.ca_file),
    ]
    .into_iter()
    .filter_map(|(field, path)| Some((field, path.as_deref()?)))
}

/// The secret in a file, without blanks at its ends. It is small and read for each message: what was replaced holds at once.
pub fn secret(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let size = std::fs::metadata(path)
        .map_err(|error| format!("{shown}: {error}"))?
        .len();
    if size > MAX_SECRET {
        return Err(format!("{shown} is larger than a secret can be"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("{shown} is empty: put the secret alone into it"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_secret_that_is_missing_or_empty_is_named_by_its_field() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notifications.yaml");
        let secret = folder.path().join("url");
        let args = NotifyArgs {
            notifications: Some(file.clone()),
        };
        assert!(args.load().unwrap_err().to_string().contains("--notifications"));
        let text = format!(
            "channels: [{{name: a, kind: slack-webhook, urlFile: {}}}]",
            secret.display()
        );
        std::fs::write(&file, text).unwrap();
        assert!(args.load().unwrap_err().to_string().contains("channels[0].urlFile: "));
        std::fs::write(&secret, " \n").unwrap();
        assert!(args.load().unwrap_err().to_string().contains("is empty"));
        std::fs::write(&secret, "https://hooks.example/x\n").unwrap();
        assert_eq!(args.load().unwrap().unwrap().channels.len(), 1);
        std::fs::write(&file, "channels: []").unwrap();
        assert_eq!(args.load().unwrap(), None);
        assert_eq!(NotifyArgs::default().load().unwrap(), None);
    }
}
