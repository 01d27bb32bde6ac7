//! The operator's command line: `run`, `crds`, `migrate`, `audit`, `openapi`, `selfcheck`. It only parses and dispatches.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use firewatch::config::Config;

/// Kubernetes operator that investigates incidents and repairs them only after a person approved the exact plan.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator.
    Run(Box<Config>),
    /// Write the CRDs.
    Crds {
        /// Into this folder, one file each; to stdout otherwise.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
    /// Bring the database's schema up to date, under the role that owns it.
    Migrate {
        /// Postgres of the owning role.
        #[arg(long, env = "MIGRATE_DATABASE_URL", hide_env_values = true)]
        database_url: String,
    },
    /// Look at the record.
    Audit {
        #[command(subcommand)]
        command: Audit,
    },
    /// Show from inside the cluster that the installation is whole; exit code 1 where it is not. Changes nothing.
    Selfcheck {
        #[command(flatten)]
        config: Box<Config>,
        /// Host and port of the operator's Service, to ask whether it is ready.
        #[arg(long)]
        operator: Option<String>,
    },
}

#[derive(Subcommand)]
enum Audit {
    /// Check every incident's hash chain; exit code 1 where one is broken.
    Verify {
        /// Postgres.
        #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
        database_url: Option<String>,
        /// The file of `--audit=file`, whatever DATABASE_URL says.
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Print what is stored as JSON, one line for each incident: the full response and the rows that it rests on.
    Export {
        /// Only this one.
        #[arg(value_name = "INCIDENT_UID")]
        incident: Option<String>,
        /// Postgres.
        #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
        database_url: Option<String>,
        /// The file of `--audit=file`, whatever DATABASE_URL says.
        #[arg(long)]
        file: Option<PathBuf>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    // One TLS provider for everything, chosen before anything speaks TLS.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("a TLS provider was installed twice");
        return ExitCode::FAILURE;
    }
    let result: Result<ExitCode, Box<dyn std::error::Error>> = match Cli::parse().command {
        Command::Run(config) => firewatch::run::run(*config)
            .await
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into),
        Command::Crds { dir } => firewatch::crds::write(dir.as_deref())
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into),
        Command::Openapi => {
            print!("{}", firewatch::api_server::openapi::text());
            Ok(ExitCode::SUCCESS)
        }
        Command::Migrate { database_url } => firewatch::store::migrate(&database_url)
            .await
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into),
        Command::Selfcheck { config, operator } => firewatch::selfcheck::run(&config, operator.as_deref())
            .await
            .map(|passed| ExitCode::from(u8::from(!passed)))
            .map_err(Into::into),
        Command::Audit {
            command: Audit::Verify { database_url, file },
        } => firewatch::store::audit::verify(database_url.as_deref(), file.as_deref())
            .await
            .map_err(Into::into),
        Command::Audit {
            command:
                Audit::Export {
                    incident,
                    database_url,
                    file,
                },
        } => firewatch::store::audit::export(database_url.as_deref(), file.as_deref(), incident.as_deref())
            .await
            .map_err(Into::into),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("firewatch: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn flags_have_names_of_their_own() {
        super::Cli::command().debug_assert();
    }
}
