//! `images`: container images, by the plan's own command.

use std::{collections::BTreeSet, io, process::Stdio};

use lifeboat_core::Fault;
use tokio::process::Command;

use super::{Content, Run};
use crate::{program, store::ObjectStore, upload::Compression};

/// What the names of these artifacts end in.
pub(crate) const SUFFIX: &str = ".tar.zst";

/// Saves each image of the plan.
pub(super) async fn take<S: ObjectStore>(run: &mut Run<'_, S>) -> Result<Content, Fault> {
    let plan = &run.host.plan;
    let images = plan.backup.as_ref().and_then(|backup| backup.images.as_ref());
    let Some(images) = images.filter(|images| !images.names.is_empty()).cloned() else {
        return Err(Fault::invalid(format!("the plan of {} names no [backup.images]", plan.app)));
    };
    let mut taken = BTreeSet::new();
    for image in &images.names {
        let mut saving = program::start(argv(&images.save, image)?)?;
        let mut output = saving.output()?;
        let carry = move |into: &mut dyn io::Write| {
            io::copy(&mut output, into)
                .map_err(|error| Fault::transient(format!("carry the image: {error}")))
        };
        let confirm = async { saving.end().await?.check() };
        let bytes =
            run.artifact(&artifact(image, &mut taken), Compression::Zstd, carry, confirm).await?;
        if bytes == 0 {
            return Err(Fault::needs_human(format!("nothing was written for image {image}")));
        }
    }
    Ok(Content {
        source: images.names.join(", "),
        entries: Some(images.names.len() as u64),
        ..Content::default()
    })
}

/// The program for one image. No shell reads it, and an image's name stays within its argument.
pub(crate) fn argv(words: &[String], image: &str) -> Result<Command, Fault> {
    let mut words = words.iter().map(|word| word.replace("{image}", image));
    let program = words.next().filter(|program| !program.is_empty());
    let program = program.ok_or_else(|| {
        Fault::invalid("the plan's [backup.images] has an empty command".to_owned())
    })?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(command)
}

/// A name for an image's artifact that no other image of the run has.
fn artifact(image: &str, taken: &mut BTreeSet<String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = image.chars().map(plain).collect();
    let mut unique = name.clone();
    let mut number = 1;
    while !taken.insert(unique.clone()) {
        number += 1;
        unique = format!("{name}_{number}");
    }
    unique + SUFFIX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_has_a_name_of_its_own_without_slashes() {
        let mut taken = BTreeSet::new();
        let mut name = |image| artifact(image, &mut taken);
        assert_eq!(name("queue-api:1.4"), "queue-api_1.4.tar.zst");
        assert_eq!(name("registry:5000/../x@sha256:ab"), "registry_5000_.._x_sha256_ab.tar.zst");
        assert_eq!(name("queue-api/1.4"), "queue-api_1.4_2.tar.zst");
    }

    #[test]
    fn a_name_stays_within_its_argument() {
        let words = ["save", "--from={image}", "{image}"].map(str::to_owned);
        let command = argv(&words, "a b; rm -rf /").unwrap();
        let args: Vec<_> = command.as_std().get_args().map(|a| a.to_str().unwrap()).collect();
        assert_eq!(args, ["--from=a b; rm -rf /", "a b; rm -rf /"]);
        assert!(argv(&[], "x").is_err());
    }
}
