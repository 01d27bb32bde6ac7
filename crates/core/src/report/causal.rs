//! The causal chain as steps with an object each: the sentences that a status keeps, put beside the findings that they came from.
//!
//! Must never name an object that neither a finding nor the sentence itself names. Pure. Called by the HTML report and by `explain`.

use crate::api::ObjectName;

use super::document::{FindingSection, ResponseDocument};

/// Between the cause and the change that made it so; `diagnosis::cause` writes it.
const MADE_SO: &str = " ← ";

/// One step from the symptom to the cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is about, where that is known.
    pub object: Option<ObjectName>,
    /// What was seen.
    pub text: String,
    /// Evidence ids.
    pub evidence: Vec<String>,
    /// Who made it so and when, where the managed fields tell.
    pub change: Option<String>,
}

/// The chain, symptom first; empty where no cause is shown.
pub fn chain(document: &ResponseDocument) -> Vec<Step> {
    let Some(cause) = &document.workflow.root_cause else {
        return Vec::new();
    };
    let findings: Vec<&FindingSection> = findings(document).collect();
    let mut steps: Vec<Step> = cause
        .chain
        .iter()
        .map(|sentence| {
            let (told, change) = sentence
                .split_once(MADE_SO)
                .map_or((sentence.as_str(), None), |(told, change)| {
                    (told, Some(change.to_owned()))
                });
            let (text, evidence) = split_evidence(told);
            let known = findings.iter().find(|finding| finding.summary == text);
            Step {
                object: known
                    .map(|finding| finding.object.clone())
                    .or_else(|| (text == cause.summary).then(|| cause.object.clone()))
                    .or_else(|| named_first(text, &findings)),
                text: text.to_owned(),
                evidence,
                change,
            }
        })
        .collect();
    if steps.is_empty() {
        steps.push(Step {
            object: Some(cause.object.clone()),
            text: cause.summary.clone(),
            evidence: cause.evidence.clone(),
            change: None,
        });
    }
    steps
}

/// What was found beside the chain.
pub fn beside<'d>(document: &'d ResponseDocument, chain: &[Step]) -> Vec<&'d FindingSection> {
    findings(document)
        .filter(|finding| !chain.iter().any(|step| step.text == finding.summary))
        .collect()
}

fn findings(document: &ResponseDocument) -> impl Iterator<Item = &FindingSection> {
    document
        .workflow
        .sre_findings
        .iter()
        .chain(&document.workflow.code_analysis)
}

/// `text (E1, E2)` or `text [E1]` in two.
pub(super) fn split_evidence(sentence: &str) -> (&str, Vec<String>) {
    let cut = |open: char, close: char| {
        let (text, inside) = sentence.strip_suffix(close)?.rsplit_once(open)?;
        let ids: Vec<String> = inside.split(", ").map(str::to_owned).collect();
        let all = !ids.is_empty() && ids.iter().all(|id| is_id(id));
        all.then(|| (text.trim_end(), ids))
    };
    cut('(', ')')
        .or_else(|| cut('[', ']'))
        .unwrap_or((sentence, Vec::new()))
}

fn is_id(text: &str) -> bool {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_uppercase());
    digits.len() < text.len()
        && !digits.is_empty()
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
        && text.len() <= 16
}

/// The object with which a sentence begins: `Deployment/web calls …`.
fn named_first(text: &str, findings: &[&FindingSection]) -> Option<ObjectName> {
    let word = text.split([' ', ':']).next().unwrap_or_default();
    findings
        .iter()
        .map(|finding| &finding.object)
        .find(|object| object.to_string() == word)
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_ids_are_told_from_words_in_brackets() {
        assert_eq!(
            split_evidence("web is down (E1, E12)"),
            ("web is down", vec!["E1".into(), "E12".into()])
        );
        assert_eq!(
            split_evidence("web is down [V1.2]"),
            ("web is down", vec!["V1.2".into()])
        );
        for text in ["it ended (exit code 1)", "it ended (E1, or not)", "()", ""] {
            assert_eq!(split_evidence(text), (text, Vec::new()));
        }
    }
}
