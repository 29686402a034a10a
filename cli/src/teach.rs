//! What a shell and `man` are told about the command, made from its own arguments.

use std::{io, path::Path};

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::{
    args::Args,
    output::{self, Failure, say},
};

/// `lifeboat completions`: what the shell completes, as a script for it.
pub(crate) fn completions(shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "lifeboat", &mut script);
    output::raw(&script);
}

/// `lifeboat man`: a page for the command and for each of its parts, in a folder.
///
/// # Errors
/// A page cannot be written.
pub(crate) fn man(folder: &Path) -> Result<(), Failure> {
    let fail = |error: io::Error| Failure::input(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(fail)?;
    let mut command = Args::command();
    // Gives each part its whole name, lifeboat-plan-check, and the options that all of them have.
    command.build();
    let pages = write_pages(&command, folder).map_err(fail)?;
    say(&format!("{}: {pages} pages", folder.display()));
    Ok(())
}

fn write_pages(command: &Command, folder: &Path) -> io::Result<u32> {
    let page = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    page.render(&mut text)?;
    std::fs::write(folder.join(page.get_filename()), text)?;
    let mut pages = 1;
    // `help` repeats the tree.
    for part in command.get_subcommands().filter(|part| part.get_name() != "help") {
        pages += write_pages(part, folder)?;
    }
    Ok(pages)
}
