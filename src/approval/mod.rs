//! The operator's half of approvals: whether the guards stand, and which policy holds. It decides nothing for anybody.

pub mod guard;
pub mod policies;
