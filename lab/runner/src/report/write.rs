//! The files of a report.

use std::path::{Path, PathBuf};

use super::{DrillEvidence, page};

/// Why a report was not written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The scenario's name cannot be a file's name.
    #[error("a scenario's name has letters, digits and dashes only, not {0:?}")]
    Name(String),
    /// The file system refused.
    #[error("write {path}: {source}; is there room on the disk?", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The report is no JSON.
    #[error("write the report as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The files that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The measured result.
    pub json: PathBuf,
    /// The page.
    pub html: PathBuf,
}

/// Writes `<scenario>.json` and `<scenario>.html` into `dir`, which is made when it is not there.
///
/// # Errors
/// [`ReportError`]: the disk is full or not writable; nothing can be said about either file.
pub fn write(dir: &Path, evidence: &DrillEvidence) -> Result<Written, ReportError> {
    let name = &evidence.report.scenario;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(ReportError::Name(name.clone()));
    }
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| ReportError::Io { path, source }
    };
    std::fs::create_dir_all(dir).map_err(failed(dir))?;
    let json = dir.join(format!("{name}.json"));
    let mut text = serde_json::to_string_pretty(&evidence.report)?;
    text.push('\n');
    std::fs::write(&json, text).map_err(failed(&json))?;
    let html = dir.join(format!("{name}.html"));
    std::fs::write(&html, page::page(evidence)).map_err(failed(&html))?;
    Ok(Written { json, html })
}
