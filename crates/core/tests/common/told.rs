//! What people are told of a case, whole, beside what they were told when somebody last read it: `crates/core/tests/told/`. A word that
//! changes shows in the diff of a change. After an intended change: `INSTA_UPDATE=always cargo test -p firewatch-core`, then read it.

use std::cell::Cell;
use std::fmt::Write as _;
use std::path::Path;

use firewatch_core::agents::remediation_planner;
use firewatch_core::api::status::PlanStatus;
use firewatch_core::diagnosis::{CaseFile, Diagnosis, Finding, questions, show, view};
use firewatch_core::remediation::plan::PlanningContext;
use firewatch_core::remediation::remedies::{Nodes, Reach};

/// Compares what a case comes to, its plan and its open questions. The name of the running test names the file; each case of a test has
/// a number.
#[track_caller]
pub fn told(suite: &str, namespace: &str, case: &CaseFile, diagnosis: &Diagnosis) {
    thread_local! { static CASES: Cell<u32> = const { Cell::new(0) } }
    let thread = std::thread::current();
    let test = thread.name().filter(|name| *name != "main");
    // With --test-threads=1 a test has no thread of its own, and so no name.
    let Some(test) = test else { return };
    let number = CASES.with(|count| {
        count.set(count.get() + 1);
        count.get()
    });
    told_as(suite, &format!("{test}-{number}"), namespace, case, diagnosis);
}

/// The same, under a name.
#[track_caller]
pub fn told_as(suite: &str, name: &str, namespace: &str, case: &CaseFile, diagnosis: &Diagnosis) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/told").join(suite));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let text = text(namespace, case, diagnosis);
    settings.bind(|| insta::assert_snapshot!(name.replace("::", "-"), text));
}

fn text(namespace: &str, case: &CaseFile, diagnosis: &Diagnosis) -> String {
    let mut out = format!("{:?}\n", diagnosis.verdict);
    if let Some(root) = &diagnosis.root_cause {
        let _ = writeln!(out, "\nCause");
        finding(&mut out, &root.finding);
        list(&mut out, "Chain", &root.chain);
        list(&mut out, "Alternatives", &root.alternatives);
        if !root.also.is_empty() {
            let _ = writeln!(out, "\nAlso");
            for one in &root.also {
                finding(&mut out, one);
            }
        }
    }
    // The cause is among the findings; it is told once.
    let cause = diagnosis.root_cause.as_ref().map(|root| &root.finding);
    let others: Vec<&Finding> = diagnosis.findings.iter().filter(|one| Some(*one) != cause).collect();
    if !others.is_empty() {
        let _ = writeln!(out, "\nFindings");
        for one in others {
            finding(&mut out, one);
        }
    }
    list(&mut out, "Checked", &diagnosis.checked);
    list(&mut out, "Next", &diagnosis.next_steps);
    let view = view(case);
    let open: Vec<String> = questions::open(&view.facts, &view.graph, &view.logs)
        .iter()
        .map(show)
        .collect();
    list(&mut out, "Still to ask", &open);
    let context = PlanningContext {
        reach: Reach {
            namespace: namespace.to_owned(),
            nodes: Nodes::Off,
        },
        revision: 1,
        ..PlanningContext::default()
    };
    plan(&mut out, &remediation_planner::plan(diagnosis, case, &context));
    out
}

fn list(out: &mut String, title: &str, lines: &[String]) {
    if !lines.is_empty() {
        let _ = writeln!(out, "\n{title}");
        for line in lines {
            let _ = writeln!(out, "  {line}");
        }
    }
}

fn finding(out: &mut String, one: &Finding) {
    let _ = writeln!(
        out,
        "  {:?} {} at {}, {} [{}]{}",
        one.depth,
        one.category,
        one.object,
        one.confidence,
        one.evidence.join(" "),
        one.since.map_or(String::new(), |since| format!(" since {since}")),
    );
    let _ = writeln!(out, "    {}", one.summary);
    for (word, objects) in [("points to", &one.points_to), ("affects", &one.affects)] {
        if !objects.is_empty() {
            let names: Vec<String> = objects.iter().map(ToString::to_string).collect();
            let _ = writeln!(out, "    {word} {}", names.join(", "));
        }
    }
    if let Some(remedy) = &one.remedy {
        let _ = writeln!(out, "    remedy {}", serde_json::to_string(remedy).unwrap());
    }
    for fix in &one.long_term {
        let _ = writeln!(out, "    later: {fix}");
    }
}

fn plan(out: &mut String, plan: &PlanStatus) {
    let _ = writeln!(
        out,
        "\nPlan\n  {} risk, {} s: {}",
        plan.risk, plan.estimated_resolution_seconds, plan.summary
    );
    if let Some(reason) = &plan.manual_reason {
        let _ = writeln!(out, "  by hand: {reason}");
    }
    for action in &plan.actions {
        let _ = writeln!(
            out,
            "  {} {} {} {} [{}]\n    {}\n    run  {}\n    back {}\n    with {}",
            action.id,
            action.risk,
            action.action_type,
            action.target.name,
            action.evidence.join(" "),
            action.impact,
            action.command.join(" "),
            action.rollback.join(" "),
            serde_json::to_string(&action.parameters).unwrap(),
        );
        if let Some(diff) = &action.diff {
            let _ = writeln!(out, "    diff {}", diff.replace('\n', "\n      "));
        }
    }
    for fix in &plan.long_term_fixes {
        let _ = writeln!(out, "  later: {fix}");
    }
}
