//! Artifacts that lie in a bucket.

use std::sync::Arc;

use lifeboat_archive::{Format, Options};
use lifeboat_catalogue::{Backups, Content, Objects, S3Bucket, source};
use lifeboat_core::{
    Fault, Region,
    backup::{Artifact, keys},
};
use lifeboat_runtime::aws;
use serde_json::{Value, json};

use super::{COULD_NOT_TELL, DAMAGED, Verdict, is_known, record, tell};
use crate::{
    cloud, credentials,
    output::{Failure, complain, say_json},
};

/// One object, and what it must be.
#[derive(Debug)]
struct Wanted {
    key: String,
    /// What its manifest says of it.
    artifact: Option<Artifact>,
}

/// Reads what `BUCKET/KEY` names.
pub(super) async fn run(
    url: &str,
    region: Option<&Region>,
    (options, to_record): (Options, bool),
    as_json: bool,
) -> Result<(), Failure> {
    let (name, key) = read_url(url)?;
    let config = credentials::config()
        .await
        .map_err(|failure| Failure { code: COULD_NOT_TELL, ..failure })?;
    let region = cloud::region(&config, region.map(Region::as_str))?;
    let region = Region::new(region).map_err(|error| Failure::input(error.to_string()))?;
    let point = to_record.then(|| record::point(name, key, &region)).transpose()?;
    // The operator's own words say where; only a name of ours says whose it has to be.
    let owner = aws::ExpectedBucketOwner::if_told(name);
    let bucket = S3Bucket::owned_by(owner, &config, name.to_owned(), &region);
    let backups = Backups::over(Arc::new(bucket), region);
    if let Some(point) = point {
        let url = format!("s3://{name}/{key}");
        return record::run((&url, point), &backups, options.threads, as_json).await;
    }
    let wanted = named(&backups, name, key).await?;
    let (mut answers, mut worst) = (Vec::new(), Vec::new());
    for object in wanted {
        let url = format!("s3://{name}/{}", object.key);
        match read(backups.bucket(), &url, object, &options, as_json).await {
            Ok((verdict, answer)) => {
                answers.push(answer);
                worst.push(verdict);
            }
            Err(failure) => {
                failure.lines.iter().for_each(|line| complain(line));
                answers.push(json!({ "artifact": url, "verdict": "could-not-tell" }));
                worst.push(Verdict::CouldNotTell);
            }
        }
    }
    if as_json {
        match answers.as_slice() {
            [one] => say_json(one),
            many => say_json(&many),
        }
    }
    let code = if worst.contains(&Verdict::Damaged) {
        DAMAGED
    } else if worst.contains(&Verdict::CouldNotTell) {
        COULD_NOT_TELL
    } else {
        return Ok(());
    };
    Err(Failure { lines: Vec::new(), code })
}

/// The bucket and the key of what stands behind `s3://`.
fn read_url(url: &str) -> Result<(&str, &str), Failure> {
    let parts = url.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty());
    parts.filter(|(_, key)| !key.ends_with('/')).ok_or_else(|| {
        Failure::input(format!(
            "s3://{url}: name one object, s3://BUCKET/KEY; of a whole backup its manifest, \
             s3://BUCKET/manifests/APP/KIND/POINT.json (`lifeboat backups` lists them)"
        ))
    })
}

/// The objects that a key of this bucket stands for; a failure names them as they were asked for.
async fn named<B: Objects>(
    backups: &Backups<B>,
    bucket: &str,
    key: &str,
) -> Result<Vec<Wanted>, Failure> {
    let wanted = wanted(backups, key).await;
    wanted.map_err(|fault| unknown(&format!("s3://{bucket}/{key}"), &fault))
}

/// The objects that a key stands for: of a manifest, all that it names.
async fn wanted<B: Objects>(backups: &Backups<B>, key: &str) -> Result<Vec<Wanted>, Fault> {
    if let Some((app, kind, id)) = keys::read_manifest(key) {
        let manifest = backups.manifest(&app, kind, &id).await?;
        let manifest =
            manifest.ok_or_else(|| Fault::invalid(format!("there is no object {key}")))?;
        if manifest.artifacts.is_empty() {
            return Err(Fault::invalid(format!("{kind} {id} of {app} has no objects to read")));
        }
        let wanted = manifest.artifacts.into_iter().map(|artifact| Wanted {
            key: keys::artifact(&app, kind, &id, &artifact.name),
            artifact: Some(artifact),
        });
        return Ok(wanted.collect());
    }
    let mut artifact = None;
    if let Some((app, kind, id, name)) = keys::read_artifact(key) {
        // Without a manifest it is what a run has left half done; it can be read all the same.
        let manifest = backups.manifest(&app, kind, &id).await?;
        let named = manifest.into_iter().flat_map(|manifest| manifest.artifacts);
        artifact = named.into_iter().find(|artifact| artifact.name == name);
    }
    Ok(vec![Wanted { key: key.to_owned(), artifact }])
}

/// Reads one object and says what it is.
async fn read<B: Content>(
    bucket: &Arc<B>,
    url: &str,
    wanted: Wanted,
    options: &Options,
    as_json: bool,
) -> Result<(Verdict, Value), Failure> {
    let Wanted { key, artifact } = wanted;
    let head = bucket.head(&key).await.map_err(|fault| unknown(url, &fault))?;
    let Some(head) = head else {
        let why = "there is no such object";
        return match artifact {
            Some(_) => {
                complain(&format!("{url} is damaged: its manifest names it, and {why}"));
                let finding = json!({ "message": why });
                let answer =
                    json!({ "artifact": url, "verdict": "damaged", "findings": [finding] });
                Ok((Verdict::Damaged, answer))
            }
            None => Err(unknown(url, &Fault::invalid(why))),
        };
    };
    let mut options = options.clone();
    if let Some(artifact) = artifact {
        let is_dump = artifact.name.contains(".dump");
        options.expected = options.expected.or(is_dump.then_some(Format::PgDump));
        options.expected_size = Some(artifact.size_bytes);
        options.expected_sha256 = options.expected_sha256.or(Some(artifact.sha256));
    }
    let source = source::ObjectSource::new(Arc::clone(bucket), key.clone(), head);
    let known = is_known(&options);
    let report = source::read(key, source, options).await.map_err(|fault| unknown(url, &fault))?;
    let told = tell(url, &report, known);
    if !as_json {
        told.describe(&report);
    }
    told.why.iter().for_each(|line| complain(line));
    Ok((told.verdict, told.json(&report)))
}

pub(super) fn unknown(url: &str, fault: &Fault) -> Failure {
    let line = format!("{}: could not tell: {}", url, fault.message);
    Failure { lines: vec![line], code: COULD_NOT_TELL }
}

#[cfg(test)]
mod tests;
