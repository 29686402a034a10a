//! `lifeboat guard`: the write permit of a site, kept up to date on its host.
//!
//! The judgement is `lifeboat_core::permit`; this reads, writes and paces.

use std::path::Path;

use jiff::SignedDuration;
use lifeboat_core::{
    Epoch,
    permit::{Memory, Moment, Permit, Uptime, decide},
    registers::Claim,
    round_trip::RoundTrip,
};
use lifeboat_ledger::Ledger;
use lifeboat_runtime::{aws, clock};
use serde::Deserialize;

use crate::{
    args::{GuardArgs, HostPlace},
    credentials,
    output::{Failure, complain, say},
};

/// Between two ticks.
const TICK: SignedDuration = SignedDuration::from_secs(1);

/// What the guard needs of the site's configuration; the rest is the app's.
#[derive(Debug, Deserialize)]
struct SiteFile {
    epoch: Epoch,
}

/// Runs until SIGTERM or Ctrl-C.
pub(crate) async fn run(options: GuardArgs) -> Result<(), Failure> {
    let config = aws::in_region(
        &credentials::patient_config().await,
        options.registers.host.region.as_str(),
    );
    let round_trip = RoundTrip::from_ms(options.round_trip_ms);
    // For all reads of a tick: short enough for two ticks within a permit, see `RoundTrip::LONGEST_MS`.
    let limit = round_trip.cold_call();
    let config = aws::with_limits(&config, limit, limit, 1);
    let ledger = options.registers.ledger(&config).over_a_round_trip(round_trip);
    let mut stop = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|error| Failure::work(format!("listen for SIGTERM: {error}")))?;
    let mut memory = Memory::default();
    let mut said = String::new();
    let mut complained = String::new();
    loop {
        let began = moment()?;
        let began_at = began.at;
        let (permit, next) = tick(&options, &ledger, memory, &began, &mut complained).await;
        memory = next;
        write(&options.permit_file, &permit)?;
        if permit.reason != said {
            say(&format!("epoch {}: {}", permit.epoch, permit.reason));
            said.clone_from(&permit.reason);
        }
        tokio::select! {
            () = clock::pause_until(began_at + TICK) => {}
            _ = stop.recv() => return withdraw(&options.permit_file, permit),
            _ = tokio::signal::ctrl_c() => return withdraw(&options.permit_file, permit),
        }
    }
}

/// `complained` is what was said of the site's configuration last: a tick comes each second, and what
/// is still so is not said again.
async fn tick(
    options: &GuardArgs,
    ledger: &Ledger,
    memory: Memory,
    began: &Moment,
    complained: &mut String,
) -> (Permit, Memory) {
    let (epoch, reason) = match site_epoch(&options.site_file) {
        Ok(epoch) => (epoch, String::new()),
        Err(reason) => (Epoch(0), reason),
    };
    if reason != *complained {
        if !reason.is_empty() {
            complain(&reason);
        }
        *complained = reason;
    }
    let HostPlace { app, site, .. } = &options.registers.host;
    let registers = ledger.majority(app).await;
    let claim = Claim { epoch, site: site.clone() };
    decide(memory, app, &claim, &registers, began)
}

/// Now, by the host's clock and by its uptime.
fn moment() -> Result<Moment, Failure> {
    let read = |file: &str| {
        std::fs::read_to_string(file).map_err(|error| Failure::work(format!("{file}: {error}")))
    };
    let (uptime, boot_id) = (read("/proc/uptime")?, read("/proc/sys/kernel/random/boot_id")?);
    let uptime = Uptime::of(&uptime, &boot_id).ok_or_else(|| {
        Failure::work(format!("/proc/uptime says {uptime:?}, which is no uptime of Linux"))
    })?;
    Ok(Moment { at: clock::now(), uptime })
}

/// The epoch that the site is configured with.
fn site_epoch(file: &Path) -> Result<Epoch, String> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let name = file.display();
        if error.kind() == std::io::ErrorKind::NotFound {
            format!(
                "{name} is not there, so there is no permit: this site was never activated, or this \
                 host is new. `lifeboat host join` (the unit lifeboat-join@) brings a new host into its \
                 site; `lifeboat init` brings up an app's first site, and a recovery the other one"
            )
        } else {
            format!("{name}: {error}")
        }
    })?;
    let site: SiteFile =
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(site.epoch)
}

/// A clean stop leaves no permit behind.
fn withdraw(file: &Path, permit: Permit) -> Result<(), Failure> {
    let Moment { at: valid_until, uptime } = moment()?;
    let reason = "the guard was stopped".into();
    let valid_until_uptime_ms = uptime.millis;
    write(file, &Permit { valid_until, valid_until_uptime_ms, reason, ..permit })
}

/// Replaces the permit at once or not at all.
fn write(file: &Path, permit: &Permit) -> Result<(), Failure> {
    let fail = |error: std::io::Error| Failure::work(format!("{}: {error}", file.display()));
    let text = serde_json::to_vec(permit).map_err(std::io::Error::from).map_err(fail)?;
    let draft = file.with_extension("draft");
    std::fs::write(&draft, text).map_err(fail)?;
    std::fs::rename(&draft, file).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_is_replaced_whole_and_withdrawn_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("permit.json");
        let permit = Permit {
            app: "queue".parse().unwrap(),
            site: "a".parse().unwrap(),
            epoch: Epoch(1),
            valid_until: clock::now() + SignedDuration::from_secs(60),
            valid_until_uptime_ms: moment().unwrap().uptime.millis + 60_000,
            boot_id: moment().unwrap().uptime.boot_id,
            reason: "active".into(),
        };
        write(&file, &permit).unwrap();
        withdraw(&file, permit).unwrap();
        let read: Permit = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert!(read.valid_until <= clock::now());
        assert!(read.valid_until_uptime_ms <= moment().unwrap().uptime.millis);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_epoch_comes_from_the_sites_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.json");
        std::fs::write(&file, r#"{"app":"queue","epoch":7,"role":"active"}"#).unwrap();
        assert_eq!(site_epoch(&file), Ok(Epoch(7)));
        std::fs::write(&file, "{").unwrap();
        assert!(site_epoch(&file).unwrap_err().contains("site.json"));
        std::fs::remove_file(&file).unwrap();
        assert!(site_epoch(&file).unwrap_err().contains("lifeboat init"));
    }
}
