//! The export of an ElastiCache snapshot: what there is of a Redis whose host nobody can log in to.
//!
//! It has no append-only file, and its configuration is a parameter group, which is not in here.

use std::{collections::BTreeMap, io, sync::Arc};

use lifeboat_core::{Fault, backup::elasticache, plan_file::SiteCache};
use tokio::runtime::Handle;

use super::{RDB, read};
use crate::{
    backup::{Content, Run},
    download::{self, ObjectSource, blocking},
    store::ObjectStore,
    upload::Compression,
};

/// Takes what ElastiCache has exported for this point.
pub(super) async fn take<S: ObjectStore>(
    run: &mut Run<'_, S>,
    cache: &SiteCache,
) -> Result<Content, Fault> {
    let host = run.host;
    let group = &cache.replication_group;
    let exports = host.exports.as_ref().ok_or_else(|| {
        Fault::invalid(format!(
            "ElastiCache runs the cache of site {} ({group}): name the bucket that it exports into, \
             with --exports",
            host.site
        ))
    })?;
    let name = elasticache::snapshot(host.app(), run.id)
        .ok_or_else(|| Fault::invalid(format!("{} is not the name of a cache's point", run.id)))?;
    let key = elasticache::export(&name);
    let size = exports.size(&key).await?.ok_or_else(|| {
        Fault::needs_human(format!(
            "the export {key} is not there: it is made before a host is asked, and expires within \
             two days; start the backup again with `lifeboat backup`"
        ))
    })?;
    let source = ObjectSource::new(Arc::clone(exports), key.clone(), size);
    let held = blocking(move || read(&source)).await??;
    let mut from = download::open(&Handle::current(), exports, key, 0, size);
    let carry = move |into: &mut dyn io::Write| {
        let copied = io::copy(&mut from, into).map_err(super::carried)?;
        if copied == size {
            Ok(())
        } else {
            Err(Fault::transient(format!("the export broke off at byte {copied} of {size}")))
        }
    };
    run.artifact(RDB, Compression::Zstd, carry, async { Ok(()) }).await?;
    let server = held.written_by.map(|written_by| ("server".to_owned(), written_by));
    Ok(Content {
        source: format!("ElastiCache snapshot {name} of {group}"),
        // It was begun after its slot, and before any host was asked.
        as_of: run.id.time(),
        versions: BTreeMap::from_iter(server),
        keys: held.keys,
        ..Content::default()
    })
}
