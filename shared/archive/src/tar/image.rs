//! Container images in a tar: what `docker save` writes, and the OCI image layout.
//!
//! The order of the members is not known, and the archive is read once. So every member that may be
//! a blob is summed as it passes, as it is stored and without its compression, and small JSON
//! documents are kept; what the image claims is held against that at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use serde::Deserialize;

use super::{
    paths,
    walk::{Entry, Kind, Walker},
};
use crate::{
    digest::{Algorithm, Summed, hex, unhex},
    input::Stop,
    layers::peel_up_to,
    report::{Details, Findings, Format},
    stored::{Failure, Guarded},
};

/// Bytes of one JSON document that is kept. Registries take manifests of at most 4 MiB; indexes and
/// configurations of real images have a few hundred kilobytes at most.
const DOCUMENT_LIMIT: u64 = 1024 * 1024;
/// Bytes of all the documents that are kept.
const DOCUMENTS_LIMIT: u64 = 6 * 1024 * 1024;
/// Members whose digests are kept.
const MEMBERS_LIMIT: usize = 32_768;
/// Bytes of a layer without its compression: what no real layer has, so that a bomb ends.
const LAYER_LIMIT: u64 = 1 << 40;
/// Indexes within indexes.
const DEPTH: u8 = 4;
/// Images of one archive. Each may name the same large configuration.
const IMAGES_LIMIT: usize = 1000;

/// What was seen of a member.
#[derive(Debug)]
struct Seen {
    offset: u64,
    size: u64,
    stored: [u8; 32],
    /// Without its compression, or why that failed.
    plain: Result<[u8; 32], String>,
}

/// What was seen of all members that may belong to an image.
#[derive(Debug, Default)]
pub(crate) struct Blobs {
    members: BTreeMap<Vec<u8>, Seen>,
    links: BTreeMap<Vec<u8>, Vec<u8>>,
    documents: BTreeMap<Vec<u8>, Vec<u8>>,
    documents_bytes: u64,
    is_full: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    size: Option<u64>,
    #[serde(default, rename = "mediaType")]
    media_type: String,
}

/// An OCI index, or an OCI manifest.
#[derive(Deserialize)]
struct Document {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Config {
    rootfs: Option<RootFs>,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

fn normal(path: &[u8]) -> Vec<u8> {
    paths::components(path).collect::<Vec<_>>().join(&b'/')
}

/// The digest that a blob's path names.
fn named_digest(path: &[u8]) -> Option<Vec<u8>> {
    let name = path.strip_prefix(b"blobs/sha256/")?;
    unhex(name).filter(|digest| digest.len() == 32)
}

fn digest_of(text: &str) -> Option<Vec<u8>> {
    unhex(text.strip_prefix("sha256:")?.as_bytes()).filter(|digest| digest.len() == 32)
}

/// Whether a file may be a blob of an image, by its name.
fn may_be_blob(path: &[u8]) -> bool {
    let depth = path.iter().filter(|byte| **byte == b'/').count();
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let ends = [&b".tar"[..], b".tar.gz", b".tgz", b".tar.zst", b".json"];
    path.starts_with(b"blobs/sha256/")
        || (depth <= 1
            && (ends.iter().any(|end| name.ends_with(end))
                || path == b"oci-layout"
                || name.starts_with(b"sha256:")))
}

impl Blobs {
    /// Takes note of a member, and sums its data when it may belong to an image.
    pub(crate) fn take(&mut self, entry: &Entry, walker: &mut Walker<'_, '_>) -> Result<(), Stop> {
        let path = normal(&entry.path);
        if !may_be_blob(&path) {
            return Ok(());
        }
        if self.members.len() + self.links.len() >= MEMBERS_LIMIT {
            self.is_full = true;
            return Ok(());
        }
        match entry.kind {
            Kind::File => self.sum(path, entry, walker),
            Kind::Symlink => {
                if let Some(target) = paths::follow(&path, &entry.link) {
                    self.links.insert(path, target);
                }
                Ok(())
            }
            Kind::HardLink => {
                self.links.insert(path, normal(&entry.link));
                Ok(())
            }
            Kind::Sparse | Kind::Directory | Kind::Character | Kind::BlockDevice | Kind::Fifo => {
                Ok(())
            }
        }
    }

    fn sum(
        &mut self,
        path: Vec<u8>,
        entry: &Entry,
        walker: &mut Walker<'_, '_>,
    ) -> Result<(), Stop> {
        let mut stored = Summed::new(&mut *walker, Algorithm::Sha256);
        let mut first = Vec::new();
        let may_be_document =
            entry.size <= DOCUMENT_LIMIT && self.documents_bytes + entry.size <= DOCUMENTS_LIMIT;
        // Errors of the archive itself are kept by the walker, and asked for below.
        let plain = if may_be_document
            && stored.by_ref().take(entry.size).read_to_end(&mut first).is_ok()
        {
            peel_sum(&first[..])
        } else {
            let plain = peel_sum(&mut stored);
            // What a decompressor left, or gave up.
            let _ = stored.drain(u64::MAX);
            plain
        };
        let digest: [u8; 32] = stored.sum.finish().try_into().unwrap_or_default();
        walker.check()?;
        if matches!(first.trim_ascii_start().first(), Some(b'{' | b'[')) {
            self.documents_bytes += first.len() as u64;
            self.documents.insert(path.clone(), first);
        }
        let plain = plain.map(|plain| plain.unwrap_or(digest));
        let seen = Seen { offset: entry.offset, size: entry.size, stored: digest, plain };
        self.members.insert(path, seen);
        Ok(())
    }

    /// The member at this path, through links within the archive.
    fn member(&self, path: &[u8]) -> Option<(&[u8], &Seen)> {
        let mut path = normal(path);
        // Older versions of docker link a layer to the same layer of another image.
        for _ in 0..8 {
            if let Some((path, seen)) = self.members.get_key_value(&path) {
                return Some((path, seen));
            }
            path = self.links.get(&path)?.clone();
        }
        None
    }

    fn document<'d, T: Deserialize<'d>>(&'d self, path: &[u8]) -> Option<Result<T, String>> {
        let (path, _) = self.member(path)?;
        Some(match self.documents.get(path) {
            Some(bytes) => serde_json::from_slice(bytes).map_err(|error| error.to_string()),
            None => Err("it is no JSON document, or too large for one".to_owned()),
        })
    }

    /// Holds the images against what was seen; none when the archive holds no image.
    pub(crate) fn judge(
        &self,
        walker: &Walker<'_, '_>,
        findings: &mut Findings,
        details: &mut Details,
    ) -> Option<Format> {
        let is_oci = self.members.contains_key(&b"oci-layout"[..])
            && self.members.contains_key(&b"index.json"[..]);
        // Any archive may hold a `manifest.json`; an image's is a list with `Config` and `Layers`.
        let saved = match self.document::<Vec<Saved>>(b"manifest.json") {
            Some(Ok(saved)) if !saved.is_empty() => saved,
            _ => Vec::new(),
        };
        if !is_oci && saved.is_empty() {
            return None;
        }
        let mut judge = Judge {
            blobs: self,
            walker,
            findings,
            layers: BTreeSet::new(),
            visited: BTreeSet::new(),
        };
        if is_oci {
            judge.addressed();
            judge.index(b"index.json", DEPTH);
        }
        if saved.is_empty() && self.members.contains_key(&b"manifest.json"[..]) {
            judge.add(b"manifest.json", "the list of images cannot be read");
        }
        for image in saved.iter().take(IMAGES_LIMIT) {
            judge.saved(image);
        }
        if self.is_full || saved.len() > IMAGES_LIMIT {
            judge.add(b"", "the archive has too many members to check them all");
        }
        details.entries = Some(judge.layers.len() as u64);
        Some(Format::Image)
    }
}

/// The digest of what is behind one compression; none when there is none.
fn peel_sum(reader: impl Read + Send) -> Result<Option<[u8; 32]>, String> {
    // A failure is the archive's, not the member's.
    let failure = Failure::default();
    let peeled = peel_up_to(1, Guarded::new(reader, &failure), &failure);
    if peeled.compression.is_empty() {
        return match failure.take() {
            None => Ok(None),
            Some(error) => Err(error.cause.to_string()),
        };
    }
    let mut plain = Summed::new(peeled.input, Algorithm::Sha256);
    let drained = plain.drain(LAYER_LIMIT);
    match (failure.take(), peeled.notes.take().kept.into_iter().next()) {
        (Some(error), _) => Err(error.cause.to_string()),
        (None, Some(finding)) => Err(finding.message),
        (None, None) => {
            drained.map_err(|error| error.to_string())?;
            Ok(plain.sum.finish().try_into().ok())
        }
    }
}

struct Judge<'j, 'i, 'a> {
    blobs: &'j Blobs,
    walker: &'j Walker<'i, 'a>,
    findings: &'j mut Findings,
    layers: BTreeSet<Vec<u8>>,
    visited: BTreeSet<Vec<u8>>,
}

impl Judge<'_, '_, '_> {
    fn add(&mut self, path: &[u8], message: impl Into<String>) {
        let seen = self.blobs.member(path);
        let mut place = self.walker.input().place_at(0, Some(&paths::show(path)));
        place.offset = seen.map(|(_, seen)| seen.offset);
        self.findings.add(place, message);
    }

    /// Every blob whose name is its digest.
    fn addressed(&mut self) {
        for (path, seen) in &self.blobs.members {
            if path.starts_with(b"blobs/sha256/")
                && named_digest(path).as_deref() != Some(&seen.stored[..])
            {
                self.add(path, format!("the blob's SHA-256 is {}", hex(&seen.stored)));
            }
        }
    }

    /// An index, and all that it refers to.
    fn index(&mut self, path: &[u8], depth: u8) {
        if !self.visited.insert(path.to_vec()) {
            return;
        }
        let document = match self.blobs.document::<Document>(path) {
            Some(Ok(document)) => document,
            Some(Err(error)) => return self.add(path, format!("it cannot be read: {error}")),
            None => return self.add(path, "it is missing"),
        };
        if let Some(manifests) = &document.manifests {
            if depth == 0 {
                return self.add(path, "its indexes are nested too deeply");
            }
            // An image that was saved for one platform keeps the index of all of them.
            let is_kept = |manifest: &&Descriptor| self.blobs.member(&blob(manifest)).is_some();
            let is_partial = depth < DEPTH && manifests.iter().any(|one| is_kept(&one));
            let wanted: Vec<_> =
                manifests.iter().filter(|one| !is_partial || is_kept(one)).collect();
            for manifest in wanted {
                if self.refers(path, manifest) {
                    self.index(&blob(manifest), depth - 1);
                }
            }
        } else if let Some(config) = &document.config {
            let mut is_whole = self.refers(path, config);
            for layer in &document.layers {
                is_whole &= self.refers(path, layer);
            }
            let is_image = document.layers.iter().all(|layer| layer.media_type.contains("tar"));
            if is_whole && is_image {
                let layers: Vec<_> = document.layers.iter().map(blob).collect();
                self.diff_ids(&blob(config), &layers);
            }
        } else {
            self.add(path, "it is neither an index nor a manifest");
        }
    }

    /// Whether what a document refers to is there.
    fn refers(&mut self, path: &[u8], to: &Descriptor) -> bool {
        if digest_of(&to.digest).is_none() {
            self.add(path, "it refers to something by no SHA-256");
            return false;
        }
        let Some((_, seen)) = self.blobs.member(&blob(to)) else {
            self.add(path, format!("{} is missing", to.digest));
            return false;
        };
        if to.size.is_some_and(|size| size != seen.size) {
            self.add(path, format!("{} has another size", to.digest));
        }
        true
    }

    fn saved(&mut self, image: &Saved) {
        let config = image.config.as_bytes();
        let Some((_, seen)) = self.blobs.member(config) else {
            return self.add(config, "the image's configuration is missing");
        };
        let name = config.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let name = name.strip_suffix(b".json").unwrap_or(name);
        let name = name.strip_prefix(b"sha256:").unwrap_or(name);
        if unhex(name).is_some_and(|digest| digest.len() == 32 && digest != seen.stored) {
            let stored = hex(&seen.stored);
            self.add(config, format!("the configuration's SHA-256 is {stored}"));
        }
        let layers: Vec<_> = image.layers.iter().map(|layer| layer.clone().into_bytes()).collect();
        self.diff_ids(config, &layers);
    }

    /// Holds the layers, without their compression, against the digests in the configuration.
    fn diff_ids(&mut self, config: &[u8], layers: &[Vec<u8>]) {
        let ids = match self.blobs.document::<Config>(config) {
            Some(Ok(Config { rootfs: Some(rootfs) })) => rootfs.diff_ids,
            Some(Ok(Config { rootfs: None })) => {
                return self.add(config, "the configuration names no layers");
            }
            Some(Err(error)) => return self.add(config, format!("it cannot be read: {error}")),
            None => return self.add(config, "the image's configuration is missing"),
        };
        if ids.len() != layers.len() {
            let (named, held) = (ids.len(), layers.len());
            self.add(config, format!("the configuration names {named} layers, not {held}"));
        }
        for (layer, id) in layers.iter().zip(&ids) {
            let Some((path, seen)) = self.blobs.member(layer) else {
                self.add(layer, "the layer is missing");
                continue;
            };
            // Images that share a layer would report it once each.
            if !self.layers.insert(path.to_vec()) {
                continue;
            }
            match &seen.plain {
                Err(why) => self.add(layer, format!("the layer cannot be decompressed: {why}")),
                Ok(plain) if digest_of(id).as_deref() == Some(&plain[..]) => {}
                Ok(_) => self.add(layer, format!("the layer's content is not {}", show_id(id))),
            }
        }
    }
}

fn show_id(id: &str) -> String {
    paths::show(id.as_bytes())
}

fn blob(descriptor: &Descriptor) -> Vec<u8> {
    format!("blobs/{}", descriptor.digest.replacen(':', "/", 1)).into_bytes()
}
