//! A base backup in one tar that holds its own manifest (`pg_basebackup --format=tar --pgdata=-`).
//!
//! The manifest comes last, so every file is summed with what manifests use before it is known.

use std::io::Read;

use super::{
    manifest::{self, About, ManifestError},
    needed::Needed,
    table::{File, Table},
};
use crate::{
    digest::{Algorithm, Sum},
    input::Stop,
    report::{Details, Findings, Format},
    tar::{
        paths,
        walk::{Entry, Kind, Walker},
    },
};

/// Bytes of a CRC-32C, before the SHA-256 in a row's checksum.
const CRC: usize = 4;

/// What was seen of the files so far.
#[derive(Debug, Default)]
pub(crate) struct Inline {
    table: Table,
    needed: Needed,
    is_full: bool,
    has_control: bool,
    /// Whether the manifest was there, and what it said when it was sound.
    manifest: Option<Option<About>>,
}

impl Inline {
    pub(crate) fn take(
        &mut self,
        entry: &Entry,
        walker: &mut Walker<'_, '_>,
        findings: &mut Findings,
    ) -> Result<(), Stop> {
        if !matches!(entry.kind, Kind::File) {
            return Ok(());
        }
        let path = paths::components(&entry.path).collect::<Vec<_>>().join(&b'/');
        if path == manifest::NAME.as_bytes() {
            return self.hold(entry, walker, findings);
        }
        self.has_control |= path == b"global/pg_control";
        if super::is_ignored(&path) {
            if let Some(name) = super::segment(&path) {
                let item = paths::show(&path);
                let read = self.needed.segment(name, &item, &mut *walker, &[], findings);
                walker.check()?;
                return super::settle(read, &item, findings);
            }
            return Ok(());
        }
        let (mut crc, mut sha) = (Sum::new(Algorithm::Crc32c), Sum::new(Algorithm::Sha256));
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let Ok(len) = walker.read(&mut buffer) else { break };
            if len == 0 {
                break;
            }
            let piece = buffer.get(..len).unwrap_or_default();
            crc.update(piece);
            sha.update(piece);
        }
        walker.check()?;
        let sum = [crc.finish(), sha.finish()].concat();
        let file = File { path: &path, size: entry.size, algorithm: Algorithm::None, sum: &sum };
        if self.table.push(file).is_none() {
            self.is_full = true;
        }
        Ok(())
    }

    /// Holds the files so far against the manifest.
    fn hold(
        &mut self,
        entry: &Entry,
        walker: &mut Walker<'_, '_>,
        findings: &mut Findings,
    ) -> Result<(), Stop> {
        let place = walker.input().place_at(entry.offset, Some(manifest::NAME));
        let name = |path: &[u8]| {
            let mut place = place.clone();
            place.offset = None;
            place.item = Some(paths::show(path));
            place
        };
        if let Some(path) = self.table.sort() {
            findings.add(name(path), "the archive holds the file twice");
        }
        let table = &mut self.table;
        let is_full = self.is_full;
        let about = manifest::stream(&mut *walker, &mut |file| {
            if super::is_ignored(file.path) {
                return Ok(());
            }
            let Some((seen, _)) = table.see(file.path) else {
                if !is_full {
                    findings.add(name(file.path), "the file is missing");
                }
                return Ok(());
            };
            let (crc, sha) = seen.sum.split_at_checked(CRC).unwrap_or_default();
            let same = match file.algorithm {
                Algorithm::None => true,
                Algorithm::Crc32c => file.sum == crc,
                Algorithm::Sha256 => file.sum == sha,
                Algorithm::Sha224 | Algorithm::Sha384 | Algorithm::Sha512 => {
                    return Err("its kind of checksum needs it to be read before the files".into());
                }
            };
            if file.size != seen.size {
                findings.add(name(file.path), super::size(seen.size, file.size));
            } else if !same {
                findings.add(name(file.path), super::CHECKSUM);
            }
            Ok(())
        });
        walker.check()?;
        match about {
            Ok(about) => self.manifest = Some(Some(about)),
            Err(ManifestError::Damaged(finding)) => {
                self.manifest = Some(None);
                findings.add(place, finding.message);
            }
            Err(ManifestError::Source(_)) => return Err(Stop::Source),
        }
        Ok(())
    }

    pub(crate) fn judge(
        self,
        walker: &Walker<'_, '_>,
        findings: &mut Findings,
        details: &mut Details,
    ) -> Format {
        let place = |path: &[u8]| {
            let mut place = walker.input().place_at(0, Some(&paths::show(path)));
            place.offset = None;
            place
        };
        if self.is_full {
            findings.add(place(b""), "the archive has too many files to check them all");
        }
        if let Some(Some(about)) = &self.manifest {
            details.written_by = Some(format!("backup manifest version {}", about.version));
            for file in self.table.unseen() {
                findings.add(place(file.path), super::EXTRA);
            }
            self.needed.judge(&about.wal_ranges, findings);
        }
        if self.manifest.is_some() || self.has_control { Format::BaseBackup } else { Format::Tar }
    }
}
