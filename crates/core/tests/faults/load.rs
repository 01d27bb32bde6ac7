//! Load, leaks and schedules; and how causes are ranked and told.
use firewatch_core::diagnosis::{Remedy, Verdict};
use serde_json::json;

use crate::space::{self, Space, State, ago, read, served};
use crate::{repeat, says};

#[test]
fn a_pool_that_a_leak_starves_is_found_with_the_line_that_keeps_connections() {
    let code = "import psycopg2.pool\npool = psycopg2.pool.ThreadedConnectionPool(1, 5)\n\ndef find(key):\n    conn = pool.getconn()\n    cur = conn.cursor()\n    cur.execute('select 1')\n    return cur.fetchone()\n";
    let space = Space::default()
        .config_map("rates-src", json!({"main.py": code}), None)
        .workload_of(
            "rates",
            State::Serves(4000),
            json!({"pod": {"volumes": [{"name": "src", "configMap": {"name": "rates-src"}}]}}),
        )
        .log(
            "rates",
            &format!(
                "{}{}",
                served(12),
                repeat("ERROR psycopg2.pool.PoolError: connection pool exhausted", 12)
            ),
        );
    let diagnosis = space.read("Deployment", "rates");
    let root = diagnosis.root_cause.unwrap();
    says(
        &root.finding,
        &["ConnectionPoolExhausted"],
        "Deployment/rates",
        &["pool"],
    );
    assert!(
        root.chain.iter().any(|step| step.contains("main.py line 5")),
        "{:#?}",
        root.chain
    );
}

#[test]
fn a_leak_is_shown_with_the_line_that_only_grows() {
    let code = "CACHE = {}\n\ndef handle(request):\n    CACHE[request.id] = request.body\n    return 'ok'\n";
    let space = Space::default()
        .config_map("feed-src", json!({"feed.py": code}), None)
        .workload_of(
            "feed",
            State::Crashes(137, "OOMKilled"),
            json!({"container": {"resources": {"limits": {"memory": "128Mi"}}}, "pod": {"volumes": [{"name": "s", "configMap": {"name": "feed-src"}}]}}),
        )
        .crash_log("feed", "INFO rss=40MiB\nINFO rss=70MiB\nINFO rss=98MiB\nINFO rss=121MiB");
    let root = space.read("Deployment", "feed").root_cause.unwrap();
    says(&root.finding, &["OutOfMemory"], "Deployment/feed", &["128Mi"]);
    assert!(
        root.chain.iter().any(|step| step.contains("feed.py line 4")),
        "{:#?}",
        root.chain
    );
}

#[test]
fn a_cron_job_that_squeezes_the_node_is_the_cause_of_slow_requests() {
    let squeezed = |rollup: &str| {
        let mut space = Space::default().workload("shop", State::Serves(40_000)).log(
            "shop",
            &format!(
                "{}{}",
                served(20),
                repeat("WARN slow request: GET /cart took 4810 ms", 20)
            ),
        );
        space.cluster.push(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "spec": {},
            "status": {"allocatable": {"cpu": "4", "memory": "8Gi"}, "conditions": [{"type": "Ready", "status": "True"}]}}));
        space = space
            .with(json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "rollup", "namespace": space::NS},
                "spec": {"schedule": "*/30 * * * *", "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "i"}]}}}}}}))
            .with(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "rollup-1", "namespace": space::NS,
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "rollup", "uid": "c", "controller": true}]},
                "spec": {"template": {"spec": {"containers": [{"name": "main", "image": "i"}]}}}, "status": {"active": 1, "startTime": ago(120)}}))
            .with(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "rollup-1-x", "namespace": space::NS, "creationTimestamp": ago(120),
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "rollup-1", "uid": "j", "controller": true}]},
                "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "i"}]},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"name": "main", "image": "i", "imageID": "",
                    "ready": true, "restartCount": 0, "started": true, "state": {"running": {"startedAt": ago(120)}}}]}}));
        space.top = format!("shop-p main 300m 90Mi\nrollup-1-x main {rollup} 400Mi\n");
        space
    };
    let cause = squeezed("3600m").cause("shop");
    says(&cause, &["NoisyNeighbour"], "CronJob/rollup", &["3600m", "n1"]);
    assert!(matches!(cause.remedy, Some(Remedy::SuspendCronJob { .. })));
    let calm = squeezed("200m").read("Deployment", "shop");
    assert!(calm.findings.iter().all(|finding| finding.category != "NoisyNeighbour"));
}

#[test]
fn cron_jobs_that_do_not_run_as_they_should_say_why() {
    let cron = |policy: &str, active: usize| {
        let mut space = Space::default();
        let list: Vec<_> = (0..active)
            .map(|n| json!({"kind": "Job", "name": format!("report-{n}"), "namespace": space::NS}))
            .collect();
        space = space.with(json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "report", "namespace": space::NS},
            "spec": {"schedule": "*/5 * * * *", "concurrencyPolicy": policy, "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "i"}]}}}}},
            "status": {"active": list}}));
        space
    };
    let categories = |space: &Space| -> Vec<String> {
        space
            .read("CronJob", "report")
            .findings
            .iter()
            .map(|finding| finding.category.clone())
            .collect()
    };
    assert!(categories(&cron("Allow", 4)).contains(&"CronJobPilesUp".to_owned()));
    assert!(categories(&cron("Allow", 1)).is_empty());
    let held = cron("Forbid", 1).event(
        "CronJob",
        "report",
        "JobAlreadyActive",
        "Not starting job because prior execution is running and concurrency policy is Forbid",
    );
    assert!(categories(&held).contains(&"CronJobOverlaps".to_owned()));
    let missed = cron("Forbid", 0).event(
        "CronJob",
        "report",
        "MissSchedule",
        "Missed scheduled time to start a job",
    );
    assert!(categories(&missed).contains(&"CronJobMissesStart".to_owned()));
    let zone = cron("Forbid", 0).event(
        "CronJob",
        "report",
        "UnknownTimeZone",
        "invalid timeZone: Europe/Nowhere",
    );
    assert!(categories(&zone).contains(&"CronJobBadSchedule".to_owned()));
}

#[test]
fn less_evidence_never_makes_a_cause_more_certain() {
    let spaces = [
        Space::default()
            .workload("gate", State::Serves(4000))
            .workload("stock", State::Crashes(1, "Error"))
            .log(
                "gate",
                &format!(
                    "{}{}",
                    served(10),
                    repeat("ERROR http://stock:8080 answered HTTP 503", 9)
                ),
            )
            .crash_log("stock", "FATAL required setting STOCK_REGION is not set"),
        Space::default().workload("rates", State::Serves(4000)).log(
            "rates",
            &format!("{}{}", served(15), repeat("ERROR accept4: too many open files", 10)),
        ),
        Space::default()
            .config_map(
                "router-rules",
                json!({"rules.yaml": "routes: [a, b"}),
                Some(("kubectl-edit", 60)),
            )
            .workload_of(
                "router",
                State::Serves(40_000),
                json!({"pod": {"volumes": [{"name": "c", "configMap": {"name": "router-rules"}}]}}),
            )
            .log(
                "router",
                &format!(
                    "{}{}",
                    served(60),
                    repeat("ERROR reload of rules.yaml did not succeed", 20)
                ),
            ),
    ];
    for (space, target) in spaces.iter().zip(["gate", "rates", "router"]) {
        let all = space.evidence();
        let certainty = |evidence: &[firewatch_core::sandbox::evidence::Evidence]| {
            read(evidence, "Deployment", target)
                .root_cause
                .map_or(0, |root| root.finding.confidence.as_hundredths())
        };
        let whole = certainty(&all);
        assert!(whole > 0, "{target}");
        for without in 0..all.len() {
            let mut some = all.clone();
            some.remove(without);
            assert!(certainty(&some) <= whole, "{target} without {}", all[without].id);
        }
        let cited = read(&all, "Deployment", target).root_cause.unwrap().finding;
        let rest: Vec<_> = all
            .iter()
            .filter(|one| !cited.evidence.contains(&one.id))
            .cloned()
            .collect();
        assert!(
            read(&rest, "Deployment", target)
                .root_cause
                .is_none_or(|root| root.finding.category != cited.category)
        );
    }
}

#[test]
fn a_symptom_without_a_cause_names_three_things_to_look_at_with_their_commands() {
    let diagnosis = Space::default()
        .workload("rates", State::Unready(9000))
        .log("rates", "started\n")
        .read("Deployment", "rates");
    assert_eq!(diagnosis.verdict, Verdict::Unexplained);
    assert_eq!(diagnosis.next_steps.len(), 3);
    assert!(
        diagnosis.next_steps.iter().all(|step| step.contains("kubectl ")),
        "{:?}",
        diagnosis.next_steps
    );
}

#[test]
fn alternatives_say_what_would_tell_them_apart() {
    let both = "ERROR accept4: too many open files\nERROR ext.partner.test:443: i/o timeout";
    let space = Space::default()
        .workload("rates", State::Serves(4000))
        .log("rates", &format!("{}{}", served(15), repeat(both, 10)));
    let root = space.read("Deployment", "rates").root_cause.unwrap();
    assert!(
        root.alternatives.iter().all(|text| text.contains("tells")),
        "{:?}",
        root.alternatives
    );
    assert!(!root.alternatives.is_empty());
}
