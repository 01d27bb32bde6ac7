//! A short storm; the long one is `full_storm`.

use std::time::Duration;

use crate::siege::{self, Siege};

#[tokio::test(flavor = "multi_thread")]
async fn incidents_are_groups_and_occurrences_add_up_whatever_fails_in_between() {
    let siege = Siege {
        groups: 8,
        alerts: 50,
        step: 10,
        kills: 1,
        refuses: Duration::from_secs(2),
    };
    siege::withstands("storm", siege).await;
}
