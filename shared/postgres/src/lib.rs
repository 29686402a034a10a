//! What Lifeboat asks of a PostgreSQL server, and nothing more: whether it is a primary, how far its
//! WAL goes, and that it becomes a primary.
//!
//! Every call has a deadline of its own, because a server that hangs (a stopped process, a cut
//! network) answers neither yes nor no.
//!
//! # The role
//! `database.user` of the plan logs in here. On RDS it is the master user, and promotion is RDS's.
//! On a self-managed server of PostgreSQL 15 or newer it is a role with these grants, made on the
//! primary (the replica receives them):
//!
//! ```sql
//! CREATE ROLE lifeboat LOGIN PASSWORD '...';
//! GRANT CONNECT ON DATABASE queue TO lifeboat;
//! GRANT pg_monitor TO lifeboat;
//! GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) TO lifeboat;
//! GRANT EXECUTE ON FUNCTION pg_reload_conf() TO lifeboat;
//! GRANT ALTER SYSTEM ON PARAMETER wal_retrieve_retry_interval TO lifeboat;
//! ```
//!
//! `GRANT EXECUTE` holds in the database that it was given in, so give it in the plan's database.
//! The last two grants only make promotion faster; see [`Session::promote`].
//!
//! # Encryption
//! As with libpq's default `sslmode=prefer`: a server that speaks TLS is spoken to in TLS, one that
//! does not in clear, and certificates are not verified. That keeps a listener out and satisfies
//! `rds.force_ssl`; who stands in the path can still answer for the server, so the path between
//! the functions and the databases has to be private (a VPC, its peering).

mod error;
mod lsn;
mod session;
mod tls;

pub use error::SqlError;
pub use lsn::{Lsn, LsnError};
pub use session::{Session, State, Table, Target, connect};
