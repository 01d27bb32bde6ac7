//! Every scenario's recording, read again without a cluster: cause, object, outcome and actions as its `scenario.yaml` expects, and no
//! wrong claim made with confidence. Prints a table and the Brier score (`cargo test -p kubectl-incident --test recorded -- --nocapture`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use firewatch_core::diagnosis::recording::FILE;
use kubectl_incident::recordings;
use kubectl_incident::scenario::files::Library;
use kubectl_incident::scenario::replayed;

/// A claim as sure as this must be right.
const SURE: u8 = 90;

fn recorded() -> Vec<(String, PathBuf)> {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let library = Library::in_directory(&scenarios);
    library
        .names()
        .unwrap()
        .into_iter()
        .map(|name| (name.clone(), scenarios.join(name).join("recorded")))
        .filter(|(_, path)| path.join(FILE).is_file())
        .collect()
}

#[test]
fn every_recording_comes_to_what_its_scenario_expects() {
    let all = recorded();
    assert!(all.len() >= 5, "recordings are missing");
    let library = Library::built_in();
    let mut wrong = Vec::new();
    let mut squares = 0.0;
    let mut claims = 0_u32;
    println!(
        "{:<26} {:<17} {:<42} {:>10} {:>8}",
        "scenario", "outcome", "cause", "confidence", "ms"
    );
    for (name, path) in &all {
        let scenario = library.scenario(name).unwrap();
        let recording = recordings::read(path).unwrap();
        let started = Instant::now();
        let conclusion = recordings::conclude(recording);
        let took = started.elapsed();
        let status = replayed::status(&conclusion);
        let differences = scenario.expected.differences(&status);
        let root = conclusion.diagnosis.root_cause.as_ref();
        println!(
            "{name:<26} {:<17} {:<42} {:>10} {:>8.1}{}",
            status.outcome.map_or("-".to_owned(), |outcome| outcome.to_string()),
            root.map_or("-".to_owned(), |root| format!(
                "{} {}",
                root.finding.category, root.finding.object
            )),
            root.map_or("-".to_owned(), |root| root.finding.confidence.to_string()),
            took.as_secs_f64() * 1000.0,
            if differences.is_empty() { "" } else { "   WRONG" },
        );
        if let Some(root) = root {
            let cause_is_right = !differences
                .iter()
                .any(|difference| difference.starts_with("root cause"));
            let claimed = f64::from(root.finding.confidence.as_hundredths()) / 100.0;
            squares += (claimed - f64::from(u8::from(cause_is_right))).powi(2);
            claims += 1;
            if !cause_is_right && root.finding.confidence.as_hundredths() >= SURE {
                wrong.push(format!("{name}: wrong at confidence {}", root.finding.confidence));
            }
        }
        // Unoptimised, and on a machine that does other things too.
        assert!(took < Duration::from_secs(5), "{name} took {took:?}");
        wrong.extend(
            differences
                .into_iter()
                .map(|difference| format!("{name}: {difference}")),
        );
    }
    println!(
        "{} recordings, {claims} claims, Brier score {:.4}",
        all.len(),
        squares / f64::from(claims.max(1))
    );
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_recording_is_small_and_holds_no_secret() {
    for (name, path) in recorded() {
        let text = std::fs::read_to_string(path.join(FILE)).unwrap();
        assert!(text.len() <= 160 * 1024, "{name}: {} bytes", text.len());
        for one in recordings::read(&path).unwrap().evidence {
            let again = firewatch_core::sandbox::redact::redact(&one.output);
            assert!(
                again.text == one.output,
                "{name}: {} holds what is taken out of evidence",
                one.id
            );
        }
    }
}
