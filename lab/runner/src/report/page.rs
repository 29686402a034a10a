//! The report as one page that needs nothing else.
use super::DrillEvidence;
pub(super) fn page(evidence: &DrillEvidence) -> String {
    format!("<!doctype html><title>{}</title>\n", evidence.report.scenario)
}
