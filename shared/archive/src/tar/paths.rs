//! Which paths stay inside the archive.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Symbolic links that lead outside and are remembered. Restoring checks every path anyway.
const PLANTED_LIMIT: usize = 65_536;
/// Characters of a path that a finding shows.
const SHOWN: usize = 300;

/// The path for a message: readable, and not longer than a message may be.
pub(crate) fn show(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let plain = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    plain.take(SHOWN).collect()
}

/// The components of a path without `.` and doubled slashes.
pub(crate) fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}

/// Why this path may not be written beneath a target, if it may not.
pub(crate) fn refusal(path: &[u8]) -> Option<&'static str> {
    if path.is_empty() {
        Some("the path is empty")
    } else if path.starts_with(b"/") {
        Some("the path is absolute")
    } else if path.contains(&0) {
        Some("the path holds a zero byte")
    } else if components(path).any(|part| part == b"..") {
        Some("the path leads outside by `..`")
    } else {
        None
    }
}

/// Where a symbolic link at `path` leads within the archive, as its components joined; `None` when
/// it leads outside.
pub(crate) fn follow(path: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    if target.starts_with(b"/") {
        return None;
    }
    let mut parts: Vec<&[u8]> = components(path).collect();
    parts.pop();
    for part in components(target) {
        if part == b".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join(&b'/'))
}

/// Symbolic links that lead outside. Alone they are harmless and common (`/etc/localtime`); a later
/// member beneath one would be written outside.
#[derive(Debug, Default)]
pub(crate) struct Planted {
    links: HashSet<u64>,
}

fn fingerprint<'p>(parts: impl Iterator<Item = &'p [u8]>) -> impl Iterator<Item = u64> {
    let mut hasher = DefaultHasher::new();
    parts.map(move |part| {
        part.hash(&mut hasher);
        hasher.finish()
    })
}

impl Planted {
    pub(crate) fn plant(&mut self, path: &[u8]) {
        if self.links.len() < PLANTED_LIMIT
            && let Some(whole) = fingerprint(components(path)).last()
        {
            self.links.insert(whole);
        }
    }

    /// Whether a directory on the way to this path is such a link.
    pub(crate) fn is_beneath(&self, path: &[u8]) -> bool {
        if self.links.is_empty() {
            return false;
        }
        let ways = components(path).count().saturating_sub(1);
        fingerprint(components(path)).take(ways).any(|way| self.links.contains(&way))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_leads_outside() {
        for (path, is_refused) in [
            ("a/b", false),
            ("./a", false),
            ("a..b/..c", false),
            ("/a", true),
            ("a/../../b", true),
            ("..", true),
            ("", true),
        ] {
            assert_eq!(refusal(path.as_bytes()).is_some(), is_refused, "{path}");
        }
        for (path, target, expected) in [
            ("a/b/c", "../d", Some("a/d")),
            ("x/layer.tar", "../y/layer.tar", Some("y/layer.tar")),
            ("a", "../b", None),
            ("a", "/b", None),
        ] {
            let found = follow(path.as_bytes(), target.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{path} -> {target}");
        }
    }

    #[test]
    fn sees_a_member_beneath_a_planted_link() {
        let mut planted = Planted::default();
        planted.plant(b"./a/out");
        for (path, expected) in
            [("a/out/file", true), ("a/out", false), ("a/outer/file", false), ("out/file", false)]
        {
            assert_eq!(planted.is_beneath(path.as_bytes()), expected, "{path}");
        }
    }
}
