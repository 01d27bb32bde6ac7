//! What makes an approval an approval of exactly one plan: its digest, the guards around it, the policy over it, and the verification
//! that the executor's pod makes itself. Pure. Must never decide for a person. Called by the loop, the executor and the plugin.

pub mod auto;
pub mod digest;
pub mod guard;
pub mod history;
pub mod policy;
pub mod rehearsal;
pub mod verify;
pub mod window;

pub use digest::PlanDigest;
pub use guard::GuardState;
pub use verify::{Refusal, VerifiedPlan, VerifyInput, verify};
