//! Listings that cost what they show.

use jiff::Timestamp;
use lifeboat_core::{
    Fault,
    backup::{Kind, Listed, stamp},
};

use crate::{Backups, Marker, Object, Objects, Version, Versions};

/// A span of time: the points from a moment on, and before another. Without ends it is all time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first moment, in whole seconds.
    pub from: Option<Timestamp>,
    /// The moment after the last, in whole seconds.
    pub until: Option<Timestamp>,
}

impl<B: Objects> Backups<B> {
    /// Every object with this prefix whose key comes after `after` and before `until`.
    ///
    /// # Errors
    /// What the store reports; then nothing is given, because a part would be taken for all.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        until: Option<&str>,
    ) -> Result<Vec<Object>, Fault> {
        let mut objects: Vec<Object> = Vec::new();
        loop {
            let last = objects.last().map(|object| object.key.as_str()).or(after);
            let page = self.bucket().list(prefix, last).await?;
            let Some(end) = page.objects.last().map(|object| object.key.clone()) else {
                return if page.more { Err(endless(prefix)) } else { Ok(objects) };
            };
            let within = |key: &str| until.is_none_or(|until| key < until);
            let ended = !page.more || !within(&end);
            objects.extend(page.objects.into_iter().filter(|object| within(&object.key)));
            if ended {
                return Ok(objects);
            }
        }
    }

    pub(crate) async fn listed(
        &self,
        prefix: &str,
        kind: Option<Kind>,
        span: &Span,
    ) -> Result<Vec<Listed>, Fault> {
        let span = kind.map_or_else(Span::default, |_| *span);
        // A stamp sorts before every name that begins with it, so the first moment is included and
        // the last one is not.
        let key = |at: Option<Timestamp>| at.map(|at| format!("{prefix}{}", stamp(at)));
        let (after, until) = (key(span.from), key(span.until));
        let objects = self.list(prefix, after.as_deref(), until.as_deref()).await?;
        Ok(objects.into_iter().map(Listed::from).collect())
    }
}

impl<B: Versions> Backups<B> {
    /// Every version of the keys with this prefix from `from` on and before `until`.
    ///
    /// # Errors
    /// What the store reports; then nothing is given.
    pub async fn versions(
        &self,
        prefix: &str,
        from: Option<&str>,
        until: Option<&str>,
    ) -> Result<Vec<Version>, Fault> {
        // A marker names a key whose versions are left out, so it is one that nobody uses, just
        // before the first that is wanted.
        let mut after = from.and_then(just_before).map(|key| Marker { key, version: None });
        let mut versions: Vec<Version> = Vec::new();
        let within = |key: &str| until.is_none_or(|until| key < until);
        loop {
            let page = self.bucket().versions(prefix, after.as_ref()).await?;
            let beyond = page.versions.last().is_some_and(|version| !within(&version.key));
            versions.extend(page.versions.into_iter().filter(|version| within(&version.key)));
            match page.next {
                None => return Ok(versions),
                Some(_) if beyond => return Ok(versions),
                Some(next) if after.as_ref() == Some(&next) => return Err(endless(prefix)),
                Some(next) => after = Some(next),
            }
        }
    }
}

/// A key that sorts before `key` and behind every other key that the catalogue uses: `key` without
/// its last letter, then the letter before, then one behind all that names use.
fn just_before(key: &str) -> Option<String> {
    let last = key.chars().last()?;
    let rest = key.strip_suffix(last)?;
    let before = char::from_u32(u32::from(last).checked_sub(1)?)?;
    Some(format!("{rest}{before}~"))
}

fn endless(prefix: &str) -> Fault {
    Fault::transient(format!(
        "list {prefix} failed: the store says that there is more, and no more"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_leaves_out_nothing_that_is_wanted() {
        let key = "manifests/queue/config/20261124T120000Z-full.json";
        let marker = just_before(key).unwrap();
        assert!(marker.as_str() < key, "{marker}");
        assert!(marker.as_str() > "manifests/queue/config/20261124T115959Z-full.json", "{marker}");
        assert_eq!(just_before(""), None);
    }
}
