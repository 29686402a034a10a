//! What the caller of [`crate::RdsServer::start`] decides.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The port of every DB instance: PostgreSQL's registered one, as on RDS.
pub const POSTGRES_PORT: u16 = 5432;

/// The addresses that the instances of one region get, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPool {
    /// The address of the first instance; the following ones count up its last octet.
    pub first: Ipv4Addr,
    /// How many instances the region can hold.
    pub size: u8,
}

impl AddressPool {
    /// The addresses in the order in which they are handed out.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let [a, b, c, d] = self.first.octets();
        (d..=d.saturating_add(self.size.saturating_sub(1)))
            .map(move |last| Ipv4Addr::new(a, b, c, last))
    }
}

/// The first three octets of a network link's addresses; the last octet is the target's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkPrefix(pub [u8; 3]);

impl LinkPrefix {
    /// The address under which `target` is reached through this link.
    pub(crate) fn towards(self, target: Ipv4Addr) -> Ipv4Addr {
        let [a, b, c] = self.0;
        let [.., last] = target.octets();
        Ipv4Addr::new(a, b, c, last)
    }
}

/// How the server is set up.
#[derive(Debug, Clone)]
pub struct RdsConfig {
    /// Where the API listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where clusters, logs and the server's own state live. Created if absent.
    pub data_dir: PathBuf,
    /// The directory of PostgreSQL's programs; `None` takes the newest below `/usr/lib/postgresql`.
    pub postgres_bin: Option<PathBuf>,
    /// The twelve digits in every ARN.
    pub account_id: String,
    /// The regions that exist, and the addresses of their instances.
    pub regions: BTreeMap<String, AddressPool>,
    /// For (replica's region, source's region): the link that the replication stream takes. A pair
    /// that is absent connects directly.
    pub replication_links: BTreeMap<(String, String), LinkPrefix>,
    /// How often a server archives its log even when a segment is not full, in whole seconds: what was
    /// committed since is lost with its host.
    pub archive_every: Duration,
    /// How often the automated backup of an instance gets a new base.
    pub base_every: Duration,
    /// Manual snapshots that a region holds, copies and those under way included: 100 unless AWS raises
    /// it, and `SnapshotQuotaExceeded` beyond (RDS user guide, "Quotas and constraints", "Manual DB
    /// instance snapshots").
    pub manual_snapshots: usize,
    /// The server refuses to start with less room than this in `data_dir`'s file system, in bytes.
    pub min_free_bytes: u64,
}

impl RdsConfig {
    /// The lab's fixed addresses: us-east-1 from 127.0.1.20, us-west-2 from 127.0.2.20, streams
    /// between the regions over 127.0.21.x and 127.0.12.x, the API on 127.0.0.1:4631.
    pub fn lab(data_dir: impl Into<PathBuf>) -> Self {
        let pool = |third| AddressPool { first: Ipv4Addr::new(127, 0, third, 20), size: 10 };
        let (east, west) = ("us-east-1".to_owned(), "us-west-2".to_owned());
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4631)),
            data_dir: data_dir.into(),
            postgres_bin: None,
            account_id: "000000000000".to_owned(),
            regions: BTreeMap::from([(east.clone(), pool(1)), (west.clone(), pool(2))]),
            replication_links: BTreeMap::from([
                ((west.clone(), east.clone()), LinkPrefix([127, 0, 21])),
                ((east, west), LinkPrefix([127, 0, 12])),
            ]),
            // As on RDS: `LatestRestorableTime` is typically within the last 5 minutes (user guide,
            // "Restoring a DB instance to a specified time"), and there is one backup a day.
            archive_every: Duration::from_secs(300),
            base_every: Duration::from_secs(24 * 3600),
            manual_snapshots: 100,
            // Two clusters with their write-ahead logs take about 0.3 GB.
            min_free_bytes: 1 << 30,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_counts_up_and_a_link_keeps_the_last_octet() {
        let pool = AddressPool { first: Ipv4Addr::new(127, 0, 1, 20), size: 2 };
        let addresses: Vec<_> = pool.addresses().collect();
        assert_eq!(addresses, [Ipv4Addr::new(127, 0, 1, 20), Ipv4Addr::new(127, 0, 1, 21)]);
        assert_eq!(LinkPrefix([127, 0, 21]).towards(addresses[1]), Ipv4Addr::new(127, 0, 21, 21));
    }
}
