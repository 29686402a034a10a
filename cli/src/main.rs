//! `lifeboat`: the operator's command.

mod alarms;
mod args;
mod backup;
mod backups;
mod cloud;
mod doctor;
mod exit;
mod follow;
mod guard;
mod host;
mod init;
mod join;
mod output;
mod plan;
mod quotas;
mod recover;
mod regions;
mod restore;
mod retention;
mod secret;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command, PlanCommand, RetentionCommand};
use output::Failure;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.command {
        Command::Plan(PlanCommand::Check { file }) => plan::check(&file, args.json),
        Command::Plan(PlanCommand::Apply { file, dry_run, yes }) => {
            plan::apply(&file, plan::How { dry_run, yes, as_json: args.json }).await
        }
        Command::Plan(PlanCommand::Show { app, region }) => {
            plan::show(&app, region.as_deref(), args.json).await
        }
        Command::Doctor { file } => doctor::run(&file, args.json).await,
        Command::Init { file } => init::run(&file, args.json).await,
        Command::Secret { file, name } => secret::put(&file, &name, args.json).await,
        Command::Recover(request) => recover::start(request, args.json).await,
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
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { lines, code }) => {
            for line in lines {
                output::complain(&line);
            }
            ExitCode::from(code)
        }
    }
}
