//! The sites' databases: a primary in one region, and a replica in the other that streams from it.

use std::{net::SocketAddr, time::Duration};

use super::{ACTIVE, APP, LabError, STANDBY, SiteConfig};
use crate::{clock, lab::Lab};

/// The role that Lifeboat logs in as: the instances' master user.
const MASTER: &str = "lifeboat";
/// Until an instance is available: initdb and a base backup take a few seconds.
const AVAILABLE_WITHIN: Duration = Duration::from_secs(90);

impl Lab {
    pub(super) async fn create_databases(&self) -> Result<(), LabError> {
        let master = self.passwords.master.as_str();
        let primary = [
            ("DBInstanceIdentifier", ACTIVE.instance),
            ("Engine", "postgres"),
            ("DBInstanceClass", "db.t4g.micro"),
            ("AllocatedStorage", "20"),
            ("MasterUsername", MASTER),
            ("MasterUserPassword", master),
            ("DBName", APP),
            ("BackupRetentionPeriod", "7"),
        ];
        self.aws.query(ACTIVE.region, "rds", "2014-10-31", "CreateDBInstance", &primary).await?;
        self.wait_available(&ACTIVE).await?;
        self.create_app_role().await?;
        // What a dump needs; the master of a real instance grants it to itself.
        self.rds
            .administer(
                ACTIVE.region,
                ACTIVE.instance,
                APP,
                &format!("GRANT pg_read_all_data TO {MASTER}"),
            )
            .await
            .map_err(|error| LabError::from_error("grant reading", &error))?;
        let source = format!("arn:aws:rds:{}:000000000000:db:{}", ACTIVE.region, ACTIVE.instance);
        let replica = [
            ("DBInstanceIdentifier", STANDBY.instance),
            ("SourceDBInstanceIdentifier", source.as_str()),
            ("DBInstanceClass", "db.t4g.micro"),
        ];
        self.aws
            .query(STANDBY.region, "rds", "2014-10-31", "CreateDBInstanceReadReplica", &replica)
            .await?;
        self.wait_available(&STANDBY).await?;
        if self.options.synchronous {
            self.make_synchronous().await?;
        }
        Ok(())
    }

    /// What an administrator of a self-managed pair does: the grants that `shared/postgres` asks
    /// for, the right to take base backups and to receive the log, and a primary that waits for its
    /// standby.
    async fn make_synchronous(&self) -> Result<(), LabError> {
        let statements = format!(
            "GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) TO {MASTER};
             GRANT EXECUTE ON FUNCTION pg_reload_conf() TO {MASTER};
             GRANT ALTER SYSTEM ON PARAMETER wal_retrieve_retry_interval TO {MASTER};
             ALTER ROLE {MASTER} REPLICATION;"
        );
        self.rds
            .administer(ACTIVE.region, ACTIVE.instance, APP, &statements)
            .await
            .map_err(|error| LabError::from_error("grant promotion", &error))?;
        let group = "queue-synchronous";
        let standby = format!("\"{}\"", STANDBY.instance);
        let family = self.parameter_family().await?;
        let create = [
            ("DBParameterGroupName", group),
            ("DBParameterGroupFamily", family.as_str()),
            ("Description", "waits for the standby"),
        ];
        let modify = [
            ("DBParameterGroupName", group),
            ("Parameters.Parameter.1.ParameterName", "synchronous_standby_names"),
            ("Parameters.Parameter.1.ParameterValue", standby.as_str()),
            ("Parameters.Parameter.1.ApplyMethod", "immediate"),
        ];
        let attach = [
            ("DBInstanceIdentifier", ACTIVE.instance),
            ("DBParameterGroupName", group),
            ("ApplyImmediately", "true"),
        ];
        for (action, form) in [("CreateDBParameterGroup", &create), ("ModifyDBInstance", &attach)] {
            self.aws.query(ACTIVE.region, "rds", "2014-10-31", action, form).await?;
        }
        let action = "ModifyDBParameterGroup";
        self.aws.query(ACTIVE.region, "rds", "2014-10-31", action, &modify).await?;
        self.wait_available(&ACTIVE).await?;
        self.wait_until_synchronous().await
    }

    /// The family of parameter groups that fits the installed PostgreSQL, such as `postgres15`.
    async fn parameter_family(&self) -> Result<String, LabError> {
        let id = [("DBInstanceIdentifier", ACTIVE.instance)];
        let action = "DescribeDBInstances";
        let answer = self.aws.query(ACTIVE.region, "rds", "2014-10-31", action, &id).await?;
        let major = answer
            .split_once("<EngineVersion>")
            .and_then(|(_, rest)| rest.split(['.', '<']).next())
            .ok_or_else(|| LabError::new("RDS names no engine version"))?;
        Ok(format!("postgres{major}"))
    }

    async fn wait_until_synchronous(&self) -> Result<(), LabError> {
        let client = self.connect(ACTIVE.postgres(), MASTER, &self.passwords.master).await?;
        clock::find(AVAILABLE_WITHIN, || async {
            let query = "SELECT sync_state FROM pg_stat_replication WHERE sync_state = 'sync'";
            (!client.query(query, &[]).await.ok()?.is_empty()).then_some(())
        })
        .await
        .ok_or_else(|| LabError::new("the standby did not become synchronous"))
    }

    async fn wait_available(&self, site: &SiteConfig) -> Result<(), LabError> {
        let id = [("DBInstanceIdentifier", site.instance)];
        clock::find(AVAILABLE_WITHIN, || async {
            let answer = self
                .aws
                .query(site.region, "rds", "2014-10-31", "DescribeDBInstances", &id)
                .await
                .ok()?;
            answer.contains("<DBInstanceStatus>available<").then_some(())
        })
        .await
        .ok_or_else(|| LabError::new(format!("{} did not become available", site.instance)))
    }

    /// The app logs in as a role of its own, which owns its tables and nothing else.
    async fn create_app_role(&self) -> Result<(), LabError> {
        let client = self.connect(ACTIVE.postgres(), MASTER, &self.passwords.master).await?;
        client
            .batch_execute(&format!(
                "CREATE ROLE app LOGIN PASSWORD '{}'; GRANT CREATE, USAGE ON SCHEMA public TO app;",
                self.passwords.app
            ))
            .await
            .map_err(|error| LabError::from_error("create the app's role", &error))
    }

    /// Writes until the segment of WAL that the first site's database is at is full; its name. A
    /// server that writes little needs `archive_timeout` for that.
    ///
    /// # Errors
    /// The database does not do it.
    pub(crate) async fn fill_segment(&self) -> Result<String, LabError> {
        let client = self.database(&ACTIVE).await?;
        let fail = |error: &tokio_postgres::Error| LabError::from_error("fill a segment", error);
        let segment = async || {
            let row = client.query_one("SELECT pg_walfile_name(pg_current_wal_lsn())", &[]).await;
            row.map(|row| row.get::<_, String>(0)).map_err(|error| fail(&error))
        };
        let first = segment().await?;
        let make = "CREATE TABLE filler (text text)";
        client.batch_execute(make).await.map_err(|error| fail(&error))?;
        // Some 4 MB each.
        let fill = "INSERT INTO filler SELECT md5(n::text) FROM generate_series(1, 50000) n";
        while segment().await? == first {
            client.batch_execute(fill).await.map_err(|error| fail(&error))?;
        }
        client.batch_execute("DROP TABLE filler").await.map_err(|error| fail(&error))?;
        Ok(first)
    }

    /// A connection to a site's database as the app's role.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn database(&self, site: &SiteConfig) -> Result<tokio_postgres::Client, LabError> {
        self.database_at(site.postgres()).await
    }

    /// A connection to a database at any address as the app's role.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn database_at(&self, at: SocketAddr) -> Result<tokio_postgres::Client, LabError> {
        self.connect(at, "app", &self.passwords.app).await
    }

    async fn connect(
        &self,
        at: SocketAddr,
        user: &str,
        password: &str,
    ) -> Result<tokio_postgres::Client, LabError> {
        let doing = format!("connect to {at}");
        let mut settings = tokio_postgres::Config::new();
        settings
            .host(at.ip().to_string())
            .port(at.port())
            .user(user)
            .password(password)
            .dbname(APP)
            .connect_timeout(Duration::from_secs(5));
        let (client, connection) = settings
            .connect(tokio_postgres::NoTls)
            .await
            .map_err(|error| LabError::from_error(&doing, &error))?;
        tokio::spawn(async move {
            // It ends with the client, or with the server: the client's next query says so.
            let _ = connection.await;
        });
        Ok(client)
    }
}
