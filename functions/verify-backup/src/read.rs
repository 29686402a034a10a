//! Depth `read`, in the time and the memory of a function.

use std::num::NonZero;

use jiff::Timestamp;
use lifeboat_catalogue::{Backups, Content, proof};
use lifeboat_core::{
    Fault,
    backup::{Evidence, Manifest, verification::Verify},
};

/// When a check has to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until {
    pub(crate) at: Timestamp,
    pub(crate) clock: fn() -> Timestamp,
}

/// Reads the point, unless it is too large for it: then the answer is why.
pub(crate) async fn artifacts<B: Content>(
    manifest: &Manifest,
    verify: &Verify,
    backups: &Backups<B>,
    until: Until,
    evidence: &mut Evidence,
) -> Result<Result<(), String>, Fault> {
    let (size, most) = (manifest.size_bytes(), verify.read_up_to_bytes());
    if size > most {
        return Ok(Err(format!(
            "it has {size} bytes, and this function reads up to {most} \
             (backup.verify.read_up_to_gib = {}); its restore proves it, or lifeboat verify \
             --record does",
            verify.read_up_to_gib
        )));
    }
    let now = (until.clock)();
    let left = std::time::Duration::try_from(until.at.duration_since(now)).unwrap_or_default();
    // The smallest functions have a part of one core.
    let threads = NonZero::<usize>::MIN;
    let reading = proof::read(backups, manifest, threads, now, evidence);
    match tokio::time::timeout(left, reading).await {
        Ok(read) => read.map(Ok),
        // The same call would end the same way.
        Err(_) => Ok(Err(format!(
            "its {size} bytes cannot be read in the time of this function; its restore proves it, \
             or lifeboat verify --record does; with more memory a function has more of a \
             processor, and a smaller backup.verify.read_up_to_gib spares the attempt"
        ))),
    }
}
