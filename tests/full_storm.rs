//! The long storm: 5,000 alerts of 40 groups in bursts, the intake killed twice, the API server refusing for ten seconds in the
//! middle. Incidents are groups, occurrences add up: nothing lost, nothing doubled.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    missing_docs
)]

#[path = "support/definitions.rs"]
mod definitions;
#[path = "intake/siege.rs"]
mod siege;
#[path = "intake/world.rs"]
#[allow(dead_code, reason = "the other tests of the intake use more of it")]
mod world;

use std::time::Duration;

use siege::Siege;

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_alerts_of_forty_groups_are_forty_incidents() {
    let siege = Siege {
        groups: 40,
        alerts: 125,
        step: 25,
        kills: 2,
        refuses: Duration::from_secs(10),
    };
    siege::withstands("long-storm", siege).await;
}
