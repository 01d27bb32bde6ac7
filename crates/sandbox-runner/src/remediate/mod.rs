//! The lanes that change something: `remediate` and `rollback`. They are told the namespace, name and uid of an approval and nothing
//! else. Everything is read from the API server, verified here, claimed by one write, rehearsed by a dry run, and only then done.
//!
//! Must never act without a claim of its own, obey anything but the typed actions of the verified plan, or try anything twice.
//! A refusal changes nothing and leaves its closed reason in the termination message. Called by `main`.

mod act;
mod claim;
mod client;
mod read;

use std::process::ExitCode;

use firewatch_core::approval::guard::{GuardState, Installation, compare};
use firewatch_core::approval::verify::{Purpose, Refusal, VerifyInput, may_go_on, verify};
use firewatch_core::sandbox::request::POD_BYTES_MAX;
use k8s_openapi::jiff::Timestamp;
use kube::Client;

use crate::kubeconfig::ApiServer;
use crate::report::{Report, fault};
use read::World;

/// Why nothing was changed. Closed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The plan may not be carried out.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// What is needed to decide could not be read.
    #[error("{what} could not be read: {error}")]
    Unreadable {
        /// What.
        what: String,
        /// Why.
        error: String,
    },
    /// The approval does not exist.
    #[error("RemediationApproval {0} does not exist")]
    ApprovalMissing(String),
    /// This namespace did not opt in.
    #[error("the executor may not change {0}: the namespace has not opted in (chart value remediation.namespaces)")]
    NotOptedIn(String),
    /// The installation gives no right on nodes.
    #[error("the executor may not change {0}: it has no right on nodes (chart value remediation.nodes)")]
    NodesOff(String),
    /// A target is not as the plan saw it.
    #[error("action {id}: {target} stands {standing}, not as the plan saw it; ask for a new plan")]
    TargetMoved {
        /// Which action.
        id: String,
        /// Which object.
        target: String,
        /// How it stands.
        standing: String,
    },
    /// A target does not exist.
    #[error("action {id}: {target} does not exist any more; ask for a new plan")]
    TargetMissing {
        /// Which action.
        id: String,
        /// Which object.
        target: String,
    },
    /// The pod does not run as itself.
    #[error("this is not a pod of the executor: {0}")]
    NotThePod(String),
    /// The claim was not taken.
    #[error("the claim was not taken, so nothing was done: {0}")]
    NotClaimed(String),
    /// The API server cannot be reached as it must be.
    #[error("{0}")]
    NoApiServer(String),
    /// The runner is not as it must be.
    #[error("{0}")]
    SandboxDegraded(String),
    /// The log or the termination message cannot be written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl Fault {
    /// The closed reason.
    pub fn reason(&self) -> &str {
        match self {
            Self::Refused(refusal) => refusal.reason(),
            Self::Unreadable { .. } => "Unreadable",
            Self::ApprovalMissing(_) => "ApprovalMissing",
            Self::NotOptedIn(_) => "NamespaceNotOptedIn",
            Self::NodesOff(_) => "NodesNotOptedIn",
            Self::TargetMoved { .. } => "TargetMoved",
            Self::TargetMissing { .. } => "TargetMissing",
            Self::NotThePod(_) => "NotTheExecutorsPod",
            Self::NotClaimed(_) => "NotClaimed",
            Self::NoApiServer(_) => "NoApiServer",
            Self::SandboxDegraded(_) => "SandboxDegraded",
            Self::Io(_) => "Io",
        }
    }
}

/// Carries one approval out, or takes it back.
pub fn main(purpose: Purpose, namespace: &str, name: &str, uid: &str) -> ExitCode {
    let closed = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match (closed, runtime) {
        (Ok(()), Ok(runtime)) => runtime.block_on(work(purpose, namespace, name, uid)),
        (Err(error), _) => Err(Fault::SandboxDegraded(format!(
            "the runner could not make itself undumpable: {error}"
        ))),
        (_, Err(error)) => Err(Fault::Io(error)),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            if fault(error.reason(), &error.to_string()).is_err() {
                eprintln!("the termination message could not be written");
            }
            ExitCode::FAILURE
        }
    }
}

/// Whether everything was done.
async fn work(purpose: Purpose, namespace: &str, name: &str, uid: &str) -> Result<bool, Fault> {
    let server = ApiServer::from_environment()
        .ok_or_else(|| Fault::NoApiServer("the API server's address is not in the environment".to_owned()))?;
    let client = client::connect(&server, true)?;
    let me = claim::whoami(&client).await?;
    let world = World::read(&client, namespace, name).await?;
    let installed = read::guards(&client).await?;
    let guards = compare(
        &installed,
        &Installation {
            sandbox_namespace: Some(me.namespace.clone()),
            ..Installation::default()
        },
    );
    let order = Order {
        purpose,
        uid,
        guards: &guards,
    };
    let plan = verify(&order.about(&world))?;
    // The ground is looked at before anything is claimed: a plan that cannot be done costs no claim.
    let steps = act::prepare(&client, purpose, &plan).await?;
    let nonce = claim::take(&client::connect(&server, false)?, purpose, &world.approval, &me).await?;
    let mut report = Report::new(nonce, POD_BYTES_MAX);
    let done = act::carry_out(&client, &server, &order, &world, &steps, &mut report).await?;
    report.finish()?;
    Ok(done)
}

/// What the pod was told, and what does not change while it works.
struct Order<'a> {
    purpose: Purpose,
    uid: &'a str,
    guards: &'a GuardState,
}

impl Order<'_> {
    /// All that is looked at, and the time.
    fn about<'a>(&'a self, world: &'a World) -> VerifyInput<'a> {
        VerifyInput {
            purpose: self.purpose,
            uid: self.uid,
            approval: &world.approval,
            incident: world.incident.as_ref(),
            policies: &world.policies,
            namespace_labels: &world.namespace_labels,
            guards: self.guards,
            now: Timestamp::now(),
            history: world.history.as_ref(),
        }
    }

    /// Why to stop before the next action: everything is read and decided anew, but for what the claim has settled.
    async fn stop(&self, client: &Client, world: &World) -> Result<Option<String>, Fault> {
        let namespace = world.approval.metadata.namespace.clone().unwrap_or_default();
        let name = world.approval.metadata.name.clone().unwrap_or_default();
        let fresh = World::read(client, &namespace, &name).await?;
        Ok(may_go_on(&self.about(&fresh))
            .err()
            .map(|refusal| format!("{}: {refusal}", refusal.reason())))
    }
}
