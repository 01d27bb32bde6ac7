//! What two specialists' models and the rules come to together. Agreement never makes anything surer than code had computed it;
//! contradiction makes it less sure, and what stays apart is shown side by side to a person. Called by the Commander.

use super::check::{Claim, Opinion};
use crate::agents::run::AgentReport;
use crate::api::Role;
use crate::diagnosis::{Confidence, Depth, Diagnosis, Finding, RootCause, Verdict};
use crate::text::clip;

/// A claim of one model with one piece of evidence.
const ALONE: Confidence = Confidence::hundredths(30);
/// The most that models reach together: below what a plan with actions needs.
const TOGETHER: Confidence = Confidence::hundredths(45);
/// What a refutation takes from the rules' confidence, for each specialist.
const REFUTED: u8 = 10;
/// What specialists that stay apart take.
const APART: u8 = 10;

/// How the specialists' hypotheses stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Fewer than two hypotheses.
    Open,
    /// Both name the same object.
    Same,
    /// They name different ones.
    Apart,
}

/// How the specialists' hypotheses stand to each other.
pub fn agreement(reports: &[AgentReport]) -> Agreement {
    let mut objects = reports
        .iter()
        .filter_map(|report| report.opinion.as_ref()?.hypothesis.as_ref())
        .map(|claim| &claim.object);
    match (objects.next(), objects.next()) {
        (Some(one), Some(other)) if one == other => Agreement::Same,
        (Some(_), Some(_)) => Agreement::Apart,
        _ => Agreement::Open,
    }
}

/// The evidence that the others rest on, for a second look without their conclusions.
pub fn evidence_of_others(reports: &[AgentReport], role: Role) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for report in reports.iter().filter(|report| report.role != role) {
        for claim in report.opinion.iter().flat_map(|opinion| &opinion.hypothesis) {
            for id in &claim.evidence {
                if !ids.contains(id) {
                    ids.push(id.clone());
                }
            }
        }
    }
    ids
}

fn finding(role: Role, category: &str, claim: &Claim, confidence: Confidence) -> Finding {
    Finding {
        id: String::new(),
        agent: role,
        category: category.to_owned(),
        summary: format!("a model says of {}: {}", claim.object, claim.text),
        object: claim.object.clone(),
        confidence,
        evidence: claim.evidence.clone(),
        depth: Depth::Symptom,
        since: None,
        points_to: Vec::new(),
        affects: Vec::new(),
        remedy: None,
        long_term: Vec::new(),
    }
}

/// Adds what the models say to what the rules found. Only downwards in confidence, never an action, never another cause than the rules'.
pub fn apply(diagnosis: &mut Diagnosis, reports: &[AgentReport]) {
    let opinions: Vec<(Role, &Opinion)> = reports
        .iter()
        .filter_map(|report| Some((report.role, report.opinion.as_deref()?)))
        .collect();
    if opinions.is_empty() {
        return;
    }
    let mut notes: Vec<String> = Vec::new();
    let agreement = agreement(reports);
    lower(diagnosis, &opinions, &mut notes);
    for (role, opinion) in &opinions {
        for claim in &opinion.findings {
            let known = diagnosis
                .findings
                .iter()
                .any(|f| f.object == claim.object && f.summary.ends_with(&claim.text));
            if diagnosis.findings.len() < 32 && !known {
                let mut one = finding(*role, "ModelFinding", claim, ALONE);
                one.id = format!("F{}", diagnosis.findings.len() + 1);
                diagnosis.findings.push(one);
            }
        }
        if let Some(fault) = &opinion.fault {
            notes.push(format!("{role} went on by rules alone: {fault}"));
        }
        let doubts = opinion.suspicious.iter().cloned();
        let doubts = doubts.chain(opinion.refused.iter().map(|words| format!("{role}: {words}")));
        for doubt in doubts {
            diagnosis.concerns.push(clip(&doubt, 400));
            notes.push(doubt);
        }
    }
    let hypotheses: Vec<(Role, &Claim)> = opinions
        .iter()
        .filter_map(|(role, opinion)| Some((*role, opinion.hypothesis.as_ref()?)))
        .collect();
    match &mut diagnosis.root_cause {
        Some(root) => {
            for (role, claim) in &hypotheses {
                if claim.object != root.finding.object {
                    let text = format!(
                        "hypothesis of {role}'s model, not followed: {}: {} ({})",
                        claim.object,
                        claim.text,
                        claim.evidence.join(", ")
                    );
                    diagnosis.concerns.push(clip(&text, 600));
                    root.alternatives.push(clip(&text, 600));
                }
            }
        }
        None if diagnosis.verdict == Verdict::Unexplained => name_hypotheses(diagnosis, &hypotheses, agreement),
        None => {}
    }
    for note in notes {
        let note = clip(&note, 400);
        if !diagnosis.checked.contains(&note) {
            diagnosis.checked.push(note);
        }
    }
}

/// A refuted finding is less sure, and so is a cause that both specialists see elsewhere.
fn lower(diagnosis: &mut Diagnosis, opinions: &[(Role, &Opinion)], notes: &mut Vec<String>) {
    for (role, opinion) in opinions {
        for refuted in &opinion.refutes {
            let is_it = |f: &Finding| f.object == refuted.finding.object && f.category == refuted.finding.category;
            for one in diagnosis.findings.iter_mut().filter(|f| is_it(f)) {
                one.confidence = one.confidence.less(REFUTED);
            }
            if let Some(root) = &mut diagnosis.root_cause
                && is_it(&root.finding)
            {
                root.finding.confidence = root.finding.confidence.less(REFUTED);
            }
            let against = format!(
                "{role}'s model speaks against {} of {}: {} ({})",
                refuted.finding.category,
                refuted.finding.object,
                refuted.why,
                refuted.evidence.join(", ")
            );
            diagnosis.concerns.push(clip(&against, 400));
            notes.push(against);
        }
        let elsewhere = |root: &RootCause| {
            opinion.hypothesis.as_ref().is_some_and(|claim| {
                claim.object != root.finding.object && !root.finding.affects.contains(&claim.object)
            })
        };
        if let Some(root) = &mut diagnosis.root_cause
            && elsewhere(root)
        {
            root.finding.confidence = root.finding.confidence.less(APART);
        }
    }
    // The finding and the cause stay one and the same.
    if let Some(root) = &diagnosis.root_cause {
        let root = root.finding.clone();
        for same in diagnosis.findings.iter_mut().filter(|f| f.id == root.id) {
            same.confidence = root.confidence;
        }
    }
}

/// Where the rules have no cause: what both models name becomes one, too unsure for any action; what one names, or each another, is
/// something for a person to look at.
fn name_hypotheses(diagnosis: &mut Diagnosis, hypotheses: &[(Role, &Claim)], agreement: Agreement) {
    if let (Agreement::Same, Some((role, claim))) = (agreement, hypotheses.first()) {
        let mut evidence = claim.evidence.clone();
        for (_, other) in hypotheses.iter().skip(1) {
            for id in &other.evidence {
                if !evidence.contains(id) {
                    evidence.push(id.clone());
                }
            }
        }
        let merged = Claim {
            evidence,
            ..(*claim).clone()
        };
        let mut one = finding(*role, "ModelHypothesis", &merged, TOGETHER);
        one.id = format!("F{}", diagnosis.findings.len() + 1);
        diagnosis.findings.push(one.clone());
        let chain = hypotheses
            .iter()
            .map(|(role, claim)| format!("{role}'s model: {} ({})", claim.text, claim.evidence.join(", ")))
            .collect();
        diagnosis.root_cause = Some(RootCause {
            finding: one,
            chain,
            alternatives: Vec::new(),
            also: Vec::new(),
        });
        diagnosis.verdict = Verdict::Found;
        return;
    }
    let mut steps: Vec<String> = hypotheses
        .iter()
        .map(|(role, claim)| {
            let text = format!(
                "hypothesis of {role}'s model, not shown: {}: {} ({})",
                claim.object,
                claim.text,
                claim.evidence.join(", ")
            );
            clip(&text, 600)
        })
        .collect();
    steps.append(&mut diagnosis.next_steps);
    diagnosis.next_steps = steps;
}
