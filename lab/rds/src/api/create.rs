//! `CreateDBInstance`.

use std::sync::Arc;

use super::{Answer, Call, HARMLESS};
use crate::config::POSTGRES_PORT;
use crate::model::{Instance, Key, Replication, Secrets, Status, identifier};
use crate::postgres::{PgError, cluster, sql};
use crate::query::{ApiError, Params};
use crate::service::{Service, random_hex};

const KNOWN: [&str; 21] = [
    "AllocatedStorage",
    "AvailabilityZone",
    "BackupRetentionPeriod",
    "DBInstanceClass",
    "DBInstanceIdentifier",
    "DBName",
    "DBParameterGroupName",
    "DeletionProtection",
    "EnableIAMDatabaseAuthentication",
    "Engine",
    "EngineVersion",
    "KmsKeyId",
    "MasterUserPassword",
    "MasterUsername",
    "MultiAZ",
    "Port",
    "PreferredBackupWindow",
    "PreferredMaintenanceWindow",
    "PubliclyAccessible",
    "StorageEncrypted",
    "Tags",
];

/// `CreateDBInstance`: `creating`, then `available`.
pub(super) fn create(call: &Call) -> Answer {
    let params = &call.params;
    params.only(&KNOWN, &HARMLESS)?;
    let id = identifier("DBInstanceIdentifier", params.need("DBInstanceIdentifier")?, 63)?;
    let key = Key::new(&call.region, id);
    let engine = params.need("Engine")?;
    if engine != "postgres" {
        return Err(ApiError::value(format!(
            "Invalid DB engine: this lab has postgres, not {engine}."
        )));
    }
    if params.flag("EnableIAMDatabaseAuthentication")? == Some(true) {
        return Err(ApiError::combination(
            "IAM database authentication is not supported by this lab.",
        ));
    }
    let engine_version = engine_version(&call.service, params)?;
    port(params)?;
    let (master, password) = (master(params)?, password(params)?);
    let database = params.get("DBName").map(database_name).transpose()?;
    let class = class(params.need("DBInstanceClass")?)?;
    let storage = params.number("AllocatedStorage", 5, 65_536)?;
    let storage = storage.ok_or_else(|| {
        ApiError::combination("Must specify AllocatedStorage for engine postgres.")
    })?;
    let retention = params.number("BackupRetentionPeriod", 0, 35)?.unwrap_or(1);
    let group = group(call, params)?;

    call.service.store.change(|state| {
        if state.instances.contains_key(&key) {
            return Err(already_exists());
        }
        let address = call.service.free_address(state, &call.region)?;
        let instance = Instance {
            key: key.clone(),
            status: Status::Creating,
            resource_id: resource_id()?,
            address,
            class,
            storage,
            engine_version,
            master: master.clone(),
            database: database.clone(),
            created: None,
            retention,
            backup_window: params.get("PreferredBackupWindow").unwrap_or("03:00-03:30").to_owned(),
            maintenance_window: params
                .get("PreferredMaintenanceWindow")
                .unwrap_or("sun:04:00-sun:04:30")
                .to_owned(),
            zone: params
                .get("AvailabilityZone")
                .map_or_else(|| format!("{}a", call.region), str::to_owned),
            multi_az: params.flag("MultiAZ")?.unwrap_or(false),
            public: params.flag("PubliclyAccessible")?.unwrap_or(false),
            encrypted: params.flag("StorageEncrypted")?.unwrap_or(false),
            kms_key: params.get("KmsKeyId").map(str::to_owned),
            deletion_protection: params.flag("DeletionProtection")?.unwrap_or(false),
            group,
            group_pending: false,
            pending_class: None,
            pending_storage: None,
            tags: params.tags(),
            source: None,
            secrets: Secrets { admin: random_hex(24)?, replication: random_hex(24)? },
            replication: Replication::default(),
        };
        state.instances.insert(key.clone(), instance);
        Ok(())
    })?;
    let (service, work_key) = (Arc::clone(&call.service), key.clone());
    call.service.begin(&key, "creation", Some(Status::Failed), async move {
        build(&service, &work_key, &password).await
    });
    call.instance_answer("CreateDBInstanceResult", &key)
}

async fn build(service: &Service, key: &Key, password: &str) -> Result<(), PgError> {
    let instance = service.instance(key)?;
    fresh_directory(service, key).await?;
    cluster::create(
        &service.install,
        &service.launcher,
        &service.pgdata(key),
        &instance.secrets.admin,
    )
    .await?;
    let session = service.boot(key).await?;
    let database = instance.database.as_deref();
    sql::set_up(&session, &instance.master, password, &instance.secrets.replication, database)
        .await?;
    service.settle(key, Status::Available, "creation", "DB instance created");
    Ok(())
}

/// An empty directory for the instance; what an earlier attempt left in it goes.
pub(super) async fn fresh_directory(service: &Service, key: &Key) -> Result<(), PgError> {
    cluster::fresh(&service.directory(key)).await
}

pub(super) fn already_exists() -> ApiError {
    ApiError::new("DBInstanceAlreadyExists", 400, "DB instance already exists")
}

/// `db-` and 26 digits and letters in upper case, as RDS forms it.
pub(super) fn resource_id() -> Result<String, ApiError> {
    Ok(format!("db-{}", random_hex(13)?.to_uppercase()))
}

/// A class such as `db.t4g.micro`; it is recorded only.
pub(super) fn class(text: &str) -> Result<String, ApiError> {
    if text.starts_with("db.") && text.matches('.').count() == 2 {
        return Ok(text.to_owned());
    }
    Err(ApiError::value(format!("Invalid DB Instance class: {text}")))
}

/// The port must be the one that the lab's addresses are known by.
pub(super) fn port(params: &Params) -> Result<(), ApiError> {
    match params.get("Port") {
        Some(text) if text != POSTGRES_PORT.to_string() => Err(ApiError::value(format!(
            "This lab serves every instance on port {POSTGRES_PORT}, not {text}."
        ))),
        Some(_) | None => Ok(()),
    }
}

/// The parameter group to use: the named one, or the family's default.
pub(super) fn group(call: &Call, params: &Params) -> Result<String, ApiError> {
    let default = super::groups::default_name(&call.service);
    let name = params.get("DBParameterGroupName").map_or(default.clone(), str::to_ascii_lowercase);
    let key = Key::new(&call.region, &name);
    if name == default || call.service.store.read(|state| state.groups.contains_key(&key)) {
        return Ok(name);
    }
    Err(super::groups::not_found(&name))
}

fn engine_version(service: &Service, params: &Params) -> Result<String, ApiError> {
    let install = &service.install;
    match params.get("EngineVersion") {
        Some(asked) if asked != install.version && asked != install.major.to_string() => {
            Err(ApiError::combination(format!(
                "Cannot find version {asked} for postgres: this lab has {}.",
                install.version
            )))
        }
        Some(_) | None => Ok(install.version.clone()),
    }
}

fn master(params: &Params) -> Result<String, ApiError> {
    let name = params.need("MasterUsername")?;
    let fits = name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let reserved =
        matches!(name, "admin") || ["rds", "pg_"].iter().any(|prefix| name.starts_with(prefix));
    if reserved {
        return Err(ApiError::value(format!(
            "MasterUsername {name} cannot be used as it is a reserved word used by the engine"
        )));
    }
    if fits {
        return Ok(name.to_owned());
    }
    Err(ApiError::value(
        "MasterUsername must begin with a letter and hold only letters, digits and underscores, at most 63.",
    ))
}

/// A master password as RDS takes it: 8 to 128 printable ASCII characters without `/`, `"`, `@` and space.
pub(super) fn password(params: &Params) -> Result<String, ApiError> {
    let Some(password) = params.get("MasterUserPassword") else {
        return Err(ApiError::value(
            "The parameter MasterUserPassword must be provided and must not be blank.",
        ));
    };
    let fits = (8..=128).contains(&password.len())
        && password.chars().all(|c| c.is_ascii_graphic() && !"/\"@".contains(c));
    if fits {
        return Ok(password.to_owned());
    }
    Err(ApiError::value(
        "The parameter MasterUserPassword is not a valid password: it must have 8 to 128 printable ASCII characters other than '/', '@', '\"' and ' '.",
    ))
}

fn database_name(name: &str) -> Result<String, ApiError> {
    let fits = name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if fits {
        return Ok(name.to_owned());
    }
    Err(ApiError::value(
        "DBName must begin with a letter or an underscore and hold only letters, digits and underscores, at most 63.",
    ))
}
