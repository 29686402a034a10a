//! Where an artifact's bytes come from.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
};

/// The artifact's bytes could not be obtained: nothing is known about it.
#[derive(Debug, thiserror::Error)]
#[error("the artifact cannot be read at offset {offset}")]
pub struct SourceError {
    /// Bytes that had been read before.
    pub offset: u64,
    /// Why.
    #[source]
    pub cause: io::Error,
}

/// An artifact that can be opened at any offset, more than once and from several threads.
pub trait Source: Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> u64;

    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its bytes from this offset to its end.
    ///
    /// # Errors
    /// It cannot be opened.
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>>;

    /// Whether opening it twice costs no more than once. A file's second reader finds its bytes in
    /// memory; an object's second reader transfers them again.
    fn is_cheap_to_reopen(&self) -> bool;
}

/// A file on this machine.
#[derive(Debug)]
pub struct FileSource {
    path: PathBuf,
    len: u64,
}

impl FileSource {
    /// The file at this path.
    ///
    /// # Errors
    /// There is none, or it is not a regular file.
    pub fn new(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let metadata = std::fs::metadata(&path)?;
        if !metadata.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        Ok(Self { len: metadata.len(), path })
    }
}

impl Source for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    }

    fn is_cheap_to_reopen(&self) -> bool {
        true
    }
}
