//! An artifact that is restored: its bytes are used and held against the manifest in one pass.

use std::{
    io::{self, Read},
    sync::Arc,
};

use lifeboat_core::{
    AppName, Fault,
    backup::{Artifact, EvidenceFinding, Kind, PointId, keys},
};
use sha2::{Digest, Sha256};

use crate::{
    download::{self, Broken, ObjectReader},
    store::ObjectStore,
    upload::hex,
};

/// The largest window that is decompressed: eight times what our backups use, and little memory.
const WINDOW_LOG: u32 = 24;

/// What using an artifact came to.
#[derive(Debug)]
pub(crate) struct Used<T> {
    /// What the user made of the bytes; none when they broke off before.
    pub(crate) value: Option<io::Result<T>>,
    /// What is wrong with the bytes.
    pub(crate) findings: Vec<EvidenceFinding>,
}

/// Hands an artifact's decompressed bytes to `with`, and reads on to its end.
///
/// # Errors
/// The bytes could not be obtained, which says nothing of the artifact.
pub(crate) async fn with<S: ObjectStore, T: Send + 'static>(
    store: &Arc<S>,
    (app, kind, id): (&AppName, Kind, &PointId),
    artifact: &Artifact,
    with: impl FnOnce(&mut (dyn Read + Send)) -> io::Result<T> + Send + 'static,
) -> Result<Used<T>, Fault> {
    let key = keys::artifact(app, kind, id, &artifact.name);
    let runtime = tokio::runtime::Handle::current();
    let object = download::open(&runtime, store, key, 0, artifact.size_bytes);
    let artifact = artifact.clone();
    download::blocking(move || consume(object, &artifact, with)).await?
}

fn consume<T>(
    object: ObjectReader,
    artifact: &Artifact,
    with: impl FnOnce(&mut (dyn Read + Send)) -> io::Result<T>,
) -> Result<Used<T>, Fault> {
    let mut findings = Vec::new();
    let mut found = |place: String, message: String| {
        findings.push(EvidenceFinding { file: artifact.name.clone(), place, message });
    };
    let mut stored = Stored { object, hash: Sha256::new(), read: 0, broken: None };
    let (value, decompression) = if artifact.name.ends_with(".zst") {
        let mut decoder = zstd::Decoder::new(&mut stored)
            .and_then(|mut decoder| decoder.window_log_max(WINDOW_LOG).map(|()| decoder))
            .map_err(|error| Fault::needs_human(format!("decompress: {error}")))?;
        let mut noting = Noting { inner: &mut decoder, error: None, at: 0 };
        let value = with(&mut noting);
        // What the user left over is read as well: its checksum comes last.
        if value.is_ok() {
            drop(io::copy(&mut noting, &mut io::sink()));
        }
        let at = noting.at;
        (value, noting.error.map(|error| (at, error)))
    } else {
        (with(&mut stored), None)
    };
    if let Err(error) = io::copy(&mut stored, &mut io::sink())
        && stored.broken.is_none()
    {
        return Err(Fault::needs_human(format!("read {}: {error}", artifact.name)));
    }
    let whole = match stored.broken {
        Some(Broken::Fault(fault)) => return Err(fault),
        Some(Broken::Missing(message)) => {
            found(format!("byte {}", stored.read), message);
            false
        }
        None => true,
    };
    let is_same = hex(&stored.hash.finalize()) == artifact.sha256;
    if whole && !is_same {
        let message = "the stored bytes are not those that the manifest has the checksum of";
        found(String::new(), message.to_owned());
    }
    let broke_off = decompression.is_some() || !whole;
    if let Some((at, error)) = decompression.filter(|_| whole) {
        found(format!("decompressed byte {at}"), format!("zstd cannot decompress it: {error}"));
    }
    let value = if broke_off { None } else { Some(value) };
    Ok(Used { value, findings })
}

/// The stored bytes as they come, hashed.
struct Stored {
    object: ObjectReader,
    hash: Sha256,
    read: u64,
    broken: Option<Broken>,
}

impl Read for Stored {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.broken.is_some() {
            return Err(io::Error::other("the object broke off"));
        }
        match self.object.read(into) {
            Ok(len) => {
                self.hash.update(into.get(..len).unwrap_or_default());
                self.read += len as u64;
                Ok(len)
            }
            Err(error) => {
                let text = error.to_string();
                self.broken = error.downcast::<Broken>().ok();
                Err(io::Error::other(text))
            }
        }
    }
}

/// Keeps the error that a reader gave, whatever its user makes of it.
struct Noting<R> {
    inner: R,
    error: Option<String>,
    at: u64,
}

impl<R: Read> Read for Noting<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(into) {
            Ok(len) => {
                self.at += len as u64;
                Ok(len)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    self.error = Some(error.to_string());
                }
                Err(error)
            }
        }
    }
}
