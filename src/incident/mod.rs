//! The loop's acting half: observe, perform one step, record it. What to do is decided in `firewatch_core::incident`.

pub mod case;
pub mod context;
pub mod observe;
pub mod payload;
pub mod perform;
pub mod reconcile;
pub mod record;
pub mod relay;
