//! Names the commit that the program is built from: LIFEBOAT_COMMIT, when who builds sets it, or that
//! of the checkout. The same sources give the same program; a time or a place is not in it.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "cargo talks to a build script by the environment and by what it prints"
)]

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=LIFEBOAT_COMMIT");
    let given = std::env::var("LIFEBOAT_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = given.or_else(checked_out).unwrap_or_else(|| "not from a checkout".to_owned());
    println!("cargo::rustc-env=LIFEBOAT_COMMIT={commit}");
}

/// The commit of the checkout; none without git, or when these sources lie in somebody else's checkout.
fn checked_out() -> Option<String> {
    git(&["ls-files", "--error-unmatch", "Cargo.toml"])?;
    // Changes with every commit, and with every change of the branch.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    println!("cargo::rerun-if-changed={log}");
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
