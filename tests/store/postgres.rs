//! Postgres' own part: rights of the operator's role, what tampering leaves behind, two writers, and people's questions.

use firewatch::store::{AuditSink, audit};
use firewatch_core::api::{Decision, Outcome, Severity};
use firewatch_core::report::AuditRow;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row};

use crate::database::with_database;
use crate::sample::Sample;

#[tokio::test]
async fn the_operator_s_role_adds_to_the_record_and_changes_nothing_of_it() {
    with_database(async |database| {
        Sample::new().store(&database.sink()).await.unwrap();
        let mut operator = database.operator().await;
        let mut statements = vec![
            "CREATE TABLE mine (x int)".to_owned(),
            "DROP TABLE transitions".to_owned(),
            "ALTER TABLE transitions DROP COLUMN hash".to_owned(),
            "DELETE FROM approvals".to_owned(),
            "DELETE FROM audit_logs".to_owned(),
            "UPDATE _sqlx_migrations SET success = false".to_owned(),
            "GRANT ALL ON transitions TO PUBLIC".to_owned(),
            "SET ROLE firewatch_migrate".to_owned(),
        ];
        for (table, column) in [
            ("transitions", "hash"),
            ("payloads", "digest"),
            ("agent_messages", "text"),
            ("evidence", "output"),
            ("commands", "state"),
            ("model_calls", "state"),
        ] {
            statements.push(format!("UPDATE {table} SET {column} = 'x'"));
            statements.push(format!("DELETE FROM {table}"));
            statements.push(format!("TRUNCATE {table}"));
        }
        for statement in statements {
            let result = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut operator).await;
            let code = result.err().and_then(|e| e.as_database_error().and_then(|d| d.code().map(std::borrow::Cow::into_owned)));
            // A grant without the right to give it is a warning, and grants nothing.
            let refused = code.as_deref() == Some("42501") || statement.starts_with("GRANT");
            assert!(refused, "{statement}: {code:?}");
        }
        let given: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM information_schema.role_table_grants WHERE table_name = 'transitions' AND grantee = 'PUBLIC')",
        )
        .fetch_one(&mut operator)
        .await
        .unwrap();
        assert!(!given);
    })
    .await;
}

#[tokio::test]
async fn tampering_by_someone_with_all_rights_is_found_where_it_is() {
    let cases = [
        (
            "UPDATE transitions SET message = 'nothing happened' WHERE sequence = 2",
            "Altered at transition 2",
        ),
        (
            "UPDATE transitions SET at = at + interval '1 hour' WHERE sequence = 3",
            "Altered at transition 3",
        ),
        (
            "UPDATE transitions SET actor = 'user:mallory' WHERE sequence = 1",
            "Altered at transition 1",
        ),
        ("DELETE FROM transitions WHERE sequence = 1", "Gap at transition 1"),
        ("DELETE FROM transitions WHERE sequence = 2", "Gap at transition 2"),
        ("DELETE FROM transitions WHERE sequence = 4", "CutShort at transition 4"),
        ("DELETE FROM transitions", "CutShort at transition 1"),
        (
            "UPDATE transitions SET sequence = 9 WHERE sequence = 4",
            "Gap at transition 4",
        ),
        (
            "UPDATE transitions SET to_phase = 'Nonsense' WHERE sequence = 2",
            "to_phase",
        ),
        (
            "UPDATE evidence SET output = 'all is well' WHERE id = 'E1'",
            "evidence E1",
        ),
    ];
    for (statement, expected) in cases {
        with_database(async |database| {
            let sink = database.sink();
            let sample = Sample::new();
            sample.store(&sink).await.unwrap();
            database.as_owner(statement).await;
            let faults = audit::check(&sink).await.unwrap().faults;
            assert_eq!(faults.len(), 1, "{statement}: {faults:?}");
            assert!(
                faults[0].contains(sample.uid()) && faults[0].contains(expected),
                "{statement}: {faults:?}"
            );
            let code = audit::verify(Some(&database.operator_url()), None).await.unwrap();
            assert_eq!(format!("{code:?}"), format!("{:?}", std::process::ExitCode::FAILURE));
        })
        .await;
    }
}

#[tokio::test]
async fn two_writers_at_once_store_each_row_once() {
    with_database(async |database| {
        let sample = Sample::new();
        let sinks = [database.sink(), database.sink(), database.sink()];
        let [first, second, third] = &sinks;
        let results = tokio::join!(sample.store(first), sample.store(second), sample.store(third));
        assert_eq!((results.0.unwrap(), results.1.unwrap(), results.2.unwrap()), (4, 4, 4));
        let story = first.load_story(sample.uid()).await.unwrap();
        assert_eq!(story.transitions, sample.entries());
        assert_eq!(story.messages.len(), sample.messages.len());
    })
    .await;
}

#[tokio::test]
async fn the_row_of_an_investigation_holds_every_agent_s_messages_and_every_command_with_its_result() {
    with_database(async |database| {
        Sample::new().store(&database.sink()).await.unwrap();
        let row = sqlx::query("SELECT *, cost_usd::text AS cost FROM audit_logs")
            .fetch_one(&mut database.operator().await)
            .await
            .unwrap();
        let json = |column: &str| row.get::<Json<serde_json::Value>, _>(column).0;
        for (column, text) in [
            ("commander_messages", "look and report"),
            ("sre_messages", "a key is missing\u{fffd}'; DROP TABLE transitions; --"),
            ("code_analyst_messages", "it exits at start"),
            ("planner_messages", "plan 1"),
        ] {
            assert_eq!(json(column)[0]["text"], text, "{column}");
        }
        let (commands, results) = (json("sandbox_commands"), json("sandbox_results"));
        assert_eq!(commands.as_array().map(Vec::len), Some(6));
        assert_eq!(results[5]["id"], commands[5]["id"]);
        assert_eq!(results[5]["result"], "configmap/checkout-settings patched");
        assert_eq!(results[5]["exit_code"], 0);
        assert!(results[0]["output_sha256"].as_str().unwrap().starts_with("sha256:"));
        assert_eq!(json("proposed_remediation")["actions"][0]["type"], "PatchConfigMapKey");
        assert_eq!(row.get::<String, _>("cost"), "0.001250");
        assert_eq!(row.get::<String, _>("commander_verdict"), "Approve");
        assert_eq!(row.get::<i64, _>("duration_ms"), 130_000);
    })
    .await;
}

#[tokio::test]
async fn people_s_questions_have_answers() {
    with_database(async |database| {
        let sink = database.sink();
        let now = k8s_openapi::jiff::Timestamp::now();
        let rows = [
            ("checkout", Severity::Critical, 1, "0.500000"),
            ("checkout", Severity::Low, 2, "0.250000"),
            ("payments", Severity::Critical, 3, "0.100000"),
            ("payments", Severity::Critical, 30, "0.000001"),
        ];
        for (service, severity, hours_ago, cost) in rows {
            let mut row = AuditRow::of(&Sample::new().incident);
            row.service = service.into();
            row.severity = Some(severity);
            row.cost_usd = cost.into();
            row.outcome = Some(Outcome::Remediated);
            row.created_at = k8s_openapi::jiff::Timestamp::from_second(now.as_second() - hours_ago * 3600).unwrap();
            sink.upsert_audit_log(&row).await.unwrap();
        }
        for decision in [
            Decision::Approved,
            Decision::Approved,
            Decision::Rejected,
            Decision::Pending,
        ] {
            let sample = Sample::new();
            let mut row = sample.approval_row();
            row.decision = decision;
            sink.store_approval(sample.uid(), &row).await.unwrap();
        }
        let mut operator = database.operator().await;
        let critical: Vec<String> = sqlx::query_scalar("SELECT service FROM critical_incidents_last_day")
            .fetch_all(&mut operator)
            .await
            .unwrap();
        assert_eq!(
            critical,
            ["checkout", "payments"],
            "the newest first, and none older than a day"
        );
        let cost: Vec<(String, i64, String)> =
            sqlx::query_as("SELECT service, investigations, cost_usd::text FROM cost_by_service")
                .fetch_all(&mut operator)
                .await
                .unwrap();
        assert_eq!(
            cost,
            [
                ("checkout".into(), 2, "0.750000".into()),
                ("payments".into(), 2, "0.100001".into())
            ]
        );
        let rate: (i64, i64, i64, String) =
            sqlx::query_as("SELECT approved, rejected, undecided, approval_rate::text FROM approval_rate")
                .fetch_one(&mut operator)
                .await
                .unwrap();
        assert_eq!(rate, (2, 1, 1, "0.6667".into()));
    })
    .await;
}

#[tokio::test]
async fn each_of_these_questions_has_an_index() {
    with_database(async |database| {
        let mut owner = database.owner().await;
        sqlx::raw_sql("SET enable_seqscan = off")
            .execute(&mut owner)
            .await
            .unwrap();
        for (question, index) in [
            (
                "SELECT id FROM audit_logs WHERE severity = 'critical' AND created_at > now() - interval '1 day'",
                "audit_logs_severity",
            ),
            (
                "SELECT service, sum(cost_usd) FROM audit_logs GROUP BY service ORDER BY service",
                "audit_logs_cost",
            ),
            (
                "SELECT decision FROM approvals WHERE stored_at > now() - interval '1 day'",
                "approvals_decision",
            ),
            (
                "SELECT max(sequence) FROM transitions WHERE incident_uid = gen_random_uuid()",
                "transitions_incident_uid_sequence_key",
            ),
        ] {
            let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN {question}")))
                .fetch_all(&mut owner)
                .await
                .unwrap();
            assert!(plan.iter().any(|line| line.contains(index)), "{question}: {plan:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_incident_whose_uid_is_no_uuid_is_refused_in_words() {
    with_database(async |database| {
        let error = database.sink().stored_sequence("not-a-uuid").await.unwrap_err();
        assert_eq!(error.reason(), "InvalidRow");
        assert!(error.to_string().contains("not-a-uuid"));
    })
    .await;
}
