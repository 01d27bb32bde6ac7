//! Agents that reason with a model, as machines without I/O: what is sent, what comes back, and what of it is believed.
//!
//! The model adds, code decides: every answer is read as if a stranger had sent it. It can never name an action, a target that was not
//! observed or a confidence, and whatever goes wrong with it ends in what the rules found. Nothing here knows a client or a clock.
//! Called by the Commander and by the operator's edge, which carries requests out and pays for them.

pub mod answer;
pub mod blocks;
pub mod budget;
mod check;
pub mod consensus;
pub mod consultation;
pub mod economics;
pub mod prompt;
pub mod run;
pub mod sources;
pub mod suspicion;
pub mod tokens;

pub use answer::{Failure, ModelAnswer, Outcome};
pub use check::{Claim, Opinion};
pub use consultation::{ConsultStep, Consultation};
pub use economics::Need;
pub use prompt::Tier;
pub use run::{Message, ModelRequest, ModelRun, ModelStep, Speaker};
