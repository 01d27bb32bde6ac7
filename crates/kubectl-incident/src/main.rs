//! `kubectl incident`: parses, connects, runs one command, and ends with its exit code. Nothing else happens here.

use std::process::ExitCode;

use clap::Parser;
use kubectl_incident::cli::{Cli, Command};
use kubectl_incident::cluster::Cluster;
use kubectl_incident::error::{Error, Result};
use kubectl_incident::{commands, exit};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    // Before anything speaks TLS; an error means that it is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match Box::pin(run(&cli)).await {
        Ok(code) => ExitCode::from(code),
        // `kubectl incident list | head` is no error.
        Err(Error::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::from(exit::OK),
        Err(error) => {
            eprintln!("error ({}): {error}", error.reason());
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(cli: &Cli) -> Result<u8> {
    // The list of scenarios needs no cluster.
    if let Command::Run(args) = &cli.command
        && args.scenario.is_empty()
        && !args.all
    {
        return commands::run::list(args);
    }
    // It asks with kubectl, or nobody at all.
    if let Command::Investigate(args) = &cli.command {
        return Box::pin(commands::investigate::run(&cli.cluster, args)).await;
    }
    // It asks nobody.
    if let Command::Completion(args) = &cli.command {
        return commands::completion(args.shell);
    }
    if let Command::Man(args) = &cli.command {
        return commands::man(&args.directory);
    }
    let cluster = Cluster::connect(&cli.cluster).await?;
    match &cli.command {
        Command::List(args) => commands::list::run(&cluster, args).await,
        Command::Show(args) => commands::show::run(&cluster, args).await,
        Command::Watch(args) => commands::watch::run(&cluster, args).await,
        Command::Approve(args) => commands::decide::approve(&cluster, args).await,
        Command::Reject(args) => commands::decide::reject(&cluster, args).await,
        Command::Explain(args) => commands::explain::run(&cluster, args).await,
        Command::Policy(args) => commands::policy::run(&cluster, args).await,
        Command::Doctor(args) => Box::pin(commands::doctor::run(&cluster, args)).await,
        Command::Completion(args) => commands::completion(args.shell),
        Command::Man(args) => commands::man(&args.directory),
        Command::Report(args) => commands::report::run(&cluster, args).await,
        Command::Run(args) => Box::pin(commands::run::run(&cluster, args)).await,
        Command::Cancel(args) => commands::cancel::run(&cluster, args).await,
        Command::Investigate(args) => Box::pin(commands::investigate::run(&cli.cluster, args)).await,
    }
}
