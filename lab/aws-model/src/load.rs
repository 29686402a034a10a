//! The models of all services, each read when it is first needed.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::model::Model;

/// The models cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// The folder has no model of a service that everyone uses.
    #[error("no AWS service models in {}: `make setup` installs botocore, which has them", .0.display())]
    NoModels(PathBuf),
}

type Loaded = Arc<OnceLock<Result<Arc<Model>, String>>>;

/// The models of AWS's services. They are read lazily, and kept.
#[derive(Debug)]
pub struct Models {
    folder: PathBuf,
    services: Mutex<HashMap<String, Loaded>>,
}

impl Models {
    /// The models in botocore's `data` folder.
    ///
    /// # Errors
    /// [`ModelsError::NoModels`] when there are none; nothing but that is read yet.
    pub fn open(folder: &Path) -> Result<Self, ModelsError> {
        if newest(&folder.join("sts")).is_none() {
            return Err(ModelsError::NoModels(folder.to_owned()));
        }
        Ok(Self { folder: folder.to_owned(), services: Mutex::default() })
    }

    /// The models of the botocore that is installed in a virtual environment of Python.
    ///
    /// # Errors
    /// [`ModelsError::NoModels`] when it has none.
    pub fn of_venv(venv: &Path) -> Result<Self, ModelsError> {
        let lib = venv.join("lib");
        let versions = fs::read_dir(&lib).into_iter().flatten().flatten();
        let folder = versions
            .map(|version| version.path().join("site-packages/botocore/data"))
            .find(|folder| folder.is_dir());
        Self::open(&folder.unwrap_or(lib))
    }

    /// Whether a service's model was read, or found to be absent.
    #[must_use]
    pub fn is_read(&self, service: &str) -> bool {
        let services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        services.get(service).is_some_and(|slot| slot.get().is_some())
    }

    /// Reads a service's model, which takes some 100 ms; not for an async task.
    pub fn read_now(&self, service: &str) {
        // What is wrong with it is said of the first request.
        drop(self.model(service));
    }

    /// The model of a service, by its signing name.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn model(&self, service: &str) -> Result<Arc<Model>, String> {
        let slot = {
            let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
            match services.get(service) {
                Some(slot) => Arc::clone(slot),
                None => Arc::clone(services.entry(service.to_owned()).or_default()),
            }
        };
        // Outside of the lock: a large model takes a moment, and other services go on meanwhile.
        slot.get_or_init(|| self.read(service)).clone()
    }

    fn read(&self, service: &str) -> Result<Arc<Model>, String> {
        let folder = folder_of(service);
        let path = newest(&self.folder.join(folder))
            .ok_or_else(|| format!("botocore has no model of the service {service}"))?;
        let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let bytes = fs::read(&path).map_err(|error| fail(&error))?;
        let json = if path.extension().is_some_and(|extension| extension == "gz") {
            let mut json = Vec::with_capacity(bytes.len() * 8);
            flate2::read::GzDecoder::new(bytes.as_slice())
                .read_to_end(&mut json)
                .map_err(|error| fail(&error))?;
            json
        } else {
            bytes
        };
        Model::parse(&json).map(Arc::new).map_err(|error| fail(&error))
    }
}

/// The folder of a service in botocore, where it is not the signing name.
fn folder_of(service: &str) -> &str {
    match service {
        "states" => "stepfunctions",
        "monitoring" => "cloudwatch",
        "servicequotas" => "service-quotas",
        "email" => "ses",
        "elasticloadbalancing" => "elbv2",
        "tagging" => "resourcegroupstaggingapi",
        other => other,
    }
}

/// The newest version's file: versions are dates, which sort as text.
fn newest(service: &Path) -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> =
        fs::read_dir(service).ok()?.flatten().map(|entry| entry.path()).collect();
    versions.sort();
    let files = versions
        .iter()
        .rev()
        .flat_map(|version| ["service-2.json.gz", "service-2.json"].map(|name| version.join(name)));
    files.into_iter().find(|file| file.is_file())
}
