//! `lifeboat-lab`: the lab, and the drills that run on it.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use lifeboat_lab::{
    drill::{self, Heals, Scenario, WitnessSeen},
    lab::{ACTIVE, Captured, DNS, Lab, LabError, Mode, Options, SITES, STANDBY},
    say,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// One machine as two AWS regions: a local cloud with real PostgreSQL, real Redis and real DNS
/// answers, in which the functions that deploy to AWS recover a dying region.
#[derive(Debug, Parser)]
#[command(name = "lifeboat-lab", version)]
struct Args {
    /// The checkout.
    #[arg(long, default_value = ".", global = true)]
    root: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the lab and leave it up until Ctrl-C.
    Up,
    /// Start the lab and check what drills rely on in its emulator.
    Canary,
    /// Rehearse a disaster: strike, watch the recovery, measure, write target/drill/SCENARIO.json
    /// and .html, and stop the lab. Exits with 1 when a target was missed or an invariant broke.
    Drill {
        /// What happens.
        #[arg(default_value = "region-outage")]
        scenario: Scenario,
        /// How the region dies.
        #[arg(long, value_enum, default_value_t = Mode::Kill)]
        mode: Mode,
        /// Use a synchronous standby: nothing may be lost.
        #[arg(long)]
        sync: bool,
        /// Move traffic by changing records instead of by a health check. Route 53's control plane
        /// then stays lit, because this way needs it.
        #[arg(long)]
        switch_by_record: bool,
        /// Put the sites behind load balancers, which the name leads to by alias records. Resolvers
        /// keep those for 60 s, so the RTO is longer.
        #[arg(long)]
        alias: bool,
        /// Hold the replication stream back for this many milliseconds before the disaster, so that
        /// acknowledged writes are lost and have to be counted.
        #[arg(long, default_value_t = 0, value_name = "MS")]
        stall: u64,
        /// Who sees the witness in the partition.
        #[arg(long, value_enum, default_value_t = WitnessSeen::Both)]
        witness: WitnessSeen,
        /// When the partition ends: after what came of it has settled, or while the recovery waits for
        /// the old site's permits to end.
        #[arg(long, value_enum, default_value_t = Heals::Settled)]
        heals: Heals,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::ERROR)
        .with_target(false)
        .init();
    let args = Args::parse();
    match run(args).await {
        Ok(code) => code,
        Err(error) => {
            say::error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<ExitCode, LabError> {
    let root = args
        .root
        .canonicalize()
        .map_err(|error| LabError::from_error(&args.root.display().to_string(), &error))?;
    let mut term = signal(SignalKind::terminate())
        .map_err(|error| LabError::from_error("listen for SIGTERM", &error))?;
    let interrupted = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = term.recv() => {}
        }
    };
    match args.command {
        Command::Up => up(&root, interrupted).await,
        Command::Canary => tokio::select! {
            outcome = drill::check_canary(&root) => outcome,
            () = interrupted => Ok(ExitCode::from(130)),
        },
        Command::Drill { scenario, mode, sync, switch_by_record, alias, stall, witness, heals } => {
            let options = Options { synchronous: sync, switch_by_record, aliased: alias };
            let stall = Duration::from_millis(stall);
            let request = drill::Request { scenario, mode, options, stall, witness, heals };
            // Dropping the drill ends everything that it started.
            tokio::select! {
                outcome = drill::run(&root, request) => outcome,
                () = interrupted => {
                    say::line("interrupted: everything is being stopped");
                    Ok(ExitCode::from(130))
                }
            }
        }
    }
}

async fn up(
    root: &std::path::Path,
    interrupted: impl Future<Output = ()>,
) -> Result<ExitCode, LabError> {
    tokio::pin!(interrupted);
    let lab = tokio::select! {
        lab = Lab::start(root, Options::default()) => lab?,
        () = &mut interrupted => return Ok(ExitCode::from(130)),
    };
    let site = ACTIVE.app();
    say::line("");
    say::line("The lab is up. Ctrl-C stops all of it.");
    say::line(&format!(
        "Enter, here, kills region {}; Enter again brings it back. Pages appear here.",
        ACTIVE.region
    ));
    say::line("");
    for site in SITES {
        say::line(&format!(
            "  site {}   http://{}/   postgres {}   redis {}   {}",
            site.name,
            site.app(),
            site.postgres(),
            site.redis(),
            site.region
        ));
    }
    say::line("");
    say::line("  Try, in another terminal:");
    say::line(&format!("    curl http://{site}/health"));
    say::line(&format!("    dig @{} -p {} queue.example.test", DNS.ip(), DNS.port()));
    say::line(
        "    export AWS_ENDPOINT_URL=http://127.0.0.1:4600 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test",
    );
    // Version 1 of the AWS CLI reads the second name alone, and the SDKs the first one too.
    say::line("    export AWS_REGION=us-west-2 AWS_DEFAULT_REGION=us-west-2");
    say::line("    export PATH=$PWD/target/tools/venv/bin:$PWD/target/debug:$PATH");
    say::line("    aws rds describe-db-instances");
    say::line("    aws cloudwatch describe-alarms --query 'MetricAlarms[].[AlarmName,StateValue]'");
    say::line("    aws stepfunctions list-state-machines");
    say::line("    lifeboat plan show --app queue");
    say::line("    lifeboat doctor target/lab/queue.toml");
    say::line(
        "    curl -X POST http://127.0.0.1:4609/faults -H 'content-type: application/json' -d '{\"match\":{\"service\":\"s3\"},\"action\":{\"kind\":\"delay\",\"ms\":500}}'",
    );
    say::line("    curl -X DELETE http://127.0.0.1:4609/faults");
    let outcome = tokio::select! {
        outcome = disasters(&lab) => outcome,
        () = pages(&lab) => Ok(()),
        () = &mut interrupted => Ok(()),
    };
    say::line("stopping");
    drill::models::tell(lab.gateway.violations());
    lab.stop().await;
    say::line("stopped; nothing is left");
    outcome.map(|()| ExitCode::SUCCESS)
}

/// A disaster with each Enter, and the region's return with the next one.
///
/// # Errors
/// A part of the region survived, or did not come back.
async fn disasters(lab: &Lab) -> Result<(), LabError> {
    let mut entered = entered();
    loop {
        next(&mut entered).await;
        lab.strike(&ACTIVE, Mode::Kill).await?;
        say::line(&format!("region {} is dark, and nobody helps the recovery", ACTIVE.region));
        say::line(&format!("  see it    lifeboat recover --app queue --region {}", STANDBY.region));
        next(&mut entered).await;
        lab.bring_back(&ACTIVE, Mode::Kill).await?;
        lab.lighten_route53();
        say::line(&format!("region {} is back", ACTIVE.region));
        say::line("  tell it   lifeboat plan apply target/lab/queue.toml");
    }
}

/// Shows what people are told, for as long as the lab is up.
async fn pages(lab: &Lab) {
    let mut seen = 0;
    loop {
        let new = lab.capture.after(seen).await;
        seen += new.len();
        new.iter().filter_map(Captured::page).for_each(|page| say::line(&page));
    }
}

/// The lines of standard input. A thread of its own reads them: the runtime would wait for its end.
fn entered() -> mpsc::UnboundedReceiver<()> {
    let (send, receive) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if line.is_err() || send.send(()).is_err() {
                break;
            }
        }
    });
    receive
}

/// Waits for the next line; without end where nobody types.
async fn next(entered: &mut mpsc::UnboundedReceiver<()>) {
    if entered.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}
