//! `lifeboat`: the operator's command.

mod alarms;
mod args;
mod backup;
mod backups;
mod cloud;
mod credentials;
mod doctor;
mod exit;
mod fetch;
mod follow;
mod guard;
mod host;
mod init;
mod input;
mod join;
mod ledger;
mod output;
mod plan;
#[cfg(test)]
mod printed;
mod quotas;
mod recover;
mod regions;
mod restore;
mod retention;
mod secret;
mod teach;
mod verify;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, FromArgMatches};

use args::{Args, Command, PlanCommand, RetentionCommand};
use output::Failure;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    // Also of words that cannot be understood as a whole.
    let as_json = words.iter().any(|word| word == "--json");
    let fetches = fetch::is_asked(&words);
    let parsed = Args::command().try_get_matches_from(words).and_then(|matches| {
        args::doubts(&matches)
            .iter()
            .for_each(|doubt| output::complain(&format!("warning: {doubt}")));
        Args::from_arg_matches(&matches)
    });
    let done = match parsed {
        Ok(args) => run(args).await,
        Err(error) => explain(&error, as_json)
            .map_err(|failure| if fetches { fetch::untold(failure) } else { failure }),
    };
    // What failed says more than that it could not be told.
    let code = match done.and(output::all_written()) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(failure) => {
            output::tell_failure(&failure, as_json);
            failure.code
        }
    };
    ExitCode::from(code)
}

async fn run(args: Args) -> Result<(), Failure> {
    if let Some(profile) = args.profile {
        credentials::use_profile(profile);
    }
    match args.command {
        Command::Plan(PlanCommand::Check { file }) => plan::check(&file, args.json),
        Command::Plan(PlanCommand::Apply { file, dry_run, yes }) => {
            plan::apply(&file, plan::How { dry_run, yes, as_json: args.json }).await
        }
        Command::Plan(PlanCommand::Show { app, region }) => {
            plan::show(&app, region.as_ref(), args.json).await
        }
        Command::Doctor { file } => doctor::run(&file, args.json).await,
        Command::Init { file } => init::run(&file, args.json).await,
        Command::Secret { file, name } => secret::put(&file, &name, args.json).await,
        Command::Recover(request) => recover::run(request, args.json).await,
        Command::Ledger(command) => ledger::run(command, args.json).await,
        Command::Backup(request) => backup::start(request, args.json).await,
        Command::Restore(request) => restore::run(request, args.json).await,
        Command::Verify(request) => verify::run(request, args.json).await,
        Command::Guard(options) => guard::run(options).await,
        Command::Backups(request) => backups::list(request, args.json).await,
        Command::Retention(RetentionCommand::Plan(from)) => retention::explain(from, args.json),
        Command::Retention(RetentionCommand::Schema(of)) => {
            retention::schema(&of);
            Ok(())
        }
        Command::Host(command) => host::run(command).await,
        Command::Completions { shell } => {
            teach::completions(shell);
            Ok(())
        }
        Command::Man { out } => teach::man(&out),
    }
}

/// Help and version, when they were asked for; else what is wrong with the words.
fn explain(error: &clap::Error, as_json: bool) -> Result<(), Failure> {
    if !error.use_stderr() {
        output::note(error.print());
        return Ok(());
    }
    if as_json {
        let text = error.render().to_string();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        return Err(Failure { lines: lines.map(str::to_owned).collect(), code: exit::INPUT });
    }
    // In colours, where there are any. Nothing more can be said when this cannot.
    let _unsaid = error.print();
    Err(Failure { lines: Vec::new(), code: exit::INPUT })
}
