//! What can be asked of the registers.

use clap::Subcommand;
use lifeboat_core::{AppName, Region};

use super::region;

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Show what each register says, what they say together, and what to do about it.
    ///
    /// A region that does not answer is said, and ends with exit code 4: it may hold a newer epoch.
    ///
    /// Example: lifeboat ledger show --app queue --region us-west-2
    Show(OfApp),
    /// Release a region's register from a recovery whose execution has ended without doing so.
    ///
    /// A recovery that is started in the same region does this by itself; it is needed for one in the
    /// other. Shows the recovery and asks. One that runs is refused (exit code 3). Released, it is marked
    /// as failed and acts no more, not even when it is redriven; another recovery of the same site goes
    /// on from where it ended.
    ///
    /// Example: lifeboat ledger release --app queue --region us-west-2
    Release(ChangeRegisters),
    /// Give up a claim that never had a majority, and put its registers back to the claim that has one.
    ///
    /// Such a claim is left when the registers of the other regions were cut off in the middle of it. It
    /// moves nobody, but the site that serves lacks the vote of that register: the loss of one more
    /// region would end its writes. Shows what is put back and asks; refused (exit code 3) while a
    /// recovery may still complete it.
    ///
    /// Example: lifeboat ledger abandon --app queue --region us-west-2
    Abandon(ChangeRegisters),
}

#[derive(Debug, clap::Args)]
pub(crate) struct OfApp {
    /// The app.
    #[arg(long)]
    pub(crate) app: AppName,
    /// The region to ask: its plan names the others. Of a change, the region whose register it is.
    #[arg(long, value_parser = region)]
    pub(crate) region: Region,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ChangeRegisters {
    #[command(flatten)]
    pub(crate) of: OfApp,
    /// Do not ask; for scripts.
    #[arg(long)]
    pub(crate) yes: bool,
}
