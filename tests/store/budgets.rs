//! Budgets of models in Postgres: what many incidents at once may take, and what a restart leaves of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use firewatch::store::{AuditSink, Reservation, Reserved};
use firewatch_core::agents::model::budget::{Amount, Micros, Scope};

use crate::database::with_database;

fn amount(tokens: u64, micros: u64) -> Amount {
    Amount {
        tokens,
        cost: Micros(micros),
    }
}

fn limits(incident: Amount, namespace: Amount, cluster: Amount) -> BTreeMap<Scope, Amount> {
    BTreeMap::from([
        (Scope::Incident, incident),
        (Scope::NamespaceDay, namespace),
        (Scope::ClusterDay, cluster),
    ])
}

fn call(id: &str, incident: u32, namespace: &str, cost: Amount) -> Reservation {
    Reservation {
        call_id: id.to_owned(),
        incident_uid: format!("00000000-0000-4000-8000-{incident:012}"),
        namespace: namespace.to_owned(),
        day: "2026-03-01".to_owned(),
        amount: cost,
    }
}

#[tokio::test]
async fn fifty_incidents_at_once_never_exceed_any_limit() {
    with_database(async |database| {
        let sink = Arc::new(database.sink());
        // Room for 20 calls in the cluster, 8 in a namespace, 2 in an incident.
        let limits = Arc::new(limits(amount(2_000, 200), amount(8_000, 800), amount(20_000, 2_000)));
        let mut tasks = Vec::new();
        for incident in 0..50_u32 {
            let (sink, limits) = (sink.clone(), limits.clone());
            tasks.push(tokio::spawn(async move {
                let namespace = format!("n{}", incident % 3);
                let mut granted = 0_u32;
                for turn in 0..4 {
                    let of = call(&format!("{incident}-{turn}"), incident, &namespace, amount(1_000, 100));
                    // A pool that has no connection left refuses, and then no call is made.
                    if let Ok(Reserved::Granted) = sink.reserve_call(&of, &limits).await {
                        granted += 1;
                        if turn % 2 == 0 {
                            sink.settle_call(&of, amount(900, 90), &limits).await.unwrap();
                        }
                    }
                }
                (namespace, granted)
            }));
        }
        let mut by_namespace: BTreeMap<String, u32> = BTreeMap::new();
        for task in tasks {
            let (namespace, granted) = task.await.unwrap();
            assert!(granted <= 2, "an incident had {granted}");
            *by_namespace.entry(namespace).or_default() += granted;
        }
        let mut owner = database.owner().await;
        let (tokens, micros): (i64, i64) = sqlx::query_as(
            "SELECT sum(coalesce(spent_tokens, reserved_tokens))::bigint, (sum(coalesce(spent_usd, reserved_usd)) * 1000000)::bigint
             FROM model_spend",
        )
        .fetch_one(&mut owner)
        .await
        .unwrap();
        println!("50 incidents at once: {by_namespace:?} calls, {tokens} tokens, {micros} millionths of a dollar");
        assert!(tokens > 0 && tokens <= 20_000 && micros <= 2_000);
        assert!(by_namespace.values().all(|granted| *granted <= 9), "{by_namespace:?}");
    })
    .await;
}

#[tokio::test]
async fn a_reservation_outlives_a_restart_and_counts_until_it_is_settled() {
    with_database(async |database| {
        let limits = limits(amount(1_500, 150), amount(9_000, 900), amount(9_000, 900));
        let of = call("first", 1, "shop", amount(1_000, 100));
        assert_eq!(
            database.sink().reserve_call(&of, &limits).await.unwrap(),
            Reserved::Granted
        );
        let again = database.sink();
        assert_eq!(
            again.reserve_call(&of, &limits).await.unwrap(),
            Reserved::Granted,
            "the same call reserves once"
        );
        let other = call("second", 1, "shop", amount(1_000, 100));
        assert_eq!(
            again.reserve_call(&other, &limits).await.unwrap(),
            Reserved::Spent(Scope::Incident)
        );
        let settled = again.settle_call(&of, amount(400, 40), &limits).await.unwrap();
        assert!(!settled.overbilled && !settled.nearly_spent);
        assert_eq!(again.reserve_call(&other, &limits).await.unwrap(), Reserved::Granted);
        let settled = again.settle_call(&other, amount(1_100, 120), &limits).await.unwrap();
        assert!(settled.overbilled && settled.nearly_spent, "{settled:?}");
    })
    .await;
}
