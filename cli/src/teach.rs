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
    let text = as_typed(&String::from_utf8_lossy(&text));
    std::fs::write(folder.join(page.get_filename()), text)?;
    let mut pages = 1;
    // `help` repeats the tree.
    for part in command.get_subcommands().filter(|part| part.get_name() != "help") {
        pages += write_pages(part, folder)?;
    }
    Ok(pages)
}

/// A page whose examples stand as they are typed, and whose words are neither stretched nor cut: options
/// and names are copied from it.
fn as_typed(page: &str) -> String {
    let mut typed = String::new();
    let mut is_example = false;
    for line in page.lines() {
        let begins = line.starts_with("Example: ") || line.starts_with("Examples:");
        if begins && !is_example {
            is_example = true;
            typed.push_str(".nf\n");
        } else if is_example && (line.starts_with(".PP") || line.starts_with(".SH")) {
            is_example = false;
            typed.push_str(".fi\n");
        }
        typed.push_str(line);
        typed.push('\n');
        if line.starts_with(".TH") {
            typed.push_str(".ad l\n.nh\n");
        }
    }
    typed
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::as_typed;
    use crate::args::Args;

    #[test]
    fn examples_stand_as_they_are_typed() {
        let page = ".TH a 1\nsays\nExamples:\n  one \\-\\-two\n  three\n.PP\nmore\n.SH OPTIONS\n";
        let typed = ".TH a 1\n.ad l\n.nh\nsays\n.nf\nExamples:\n  one \\-\\-two\n  three\n.fi\n.PP\n\
                     more\n.SH OPTIONS\n";
        assert_eq!(as_typed(page), typed);
        // An example may be the last that a section says.
        assert_eq!(as_typed("Example: a\n.SH B\n"), ".nf\nExample: a\n.fi\n.SH B\n");
    }

    fn each(command: &Command, look: &impl Fn(&Command)) {
        look(command);
        command.get_subcommands().for_each(|part| each(part, look));
    }

    #[test]
    fn lists_of_commands_say_each_in_one_line() {
        each(&Args::command(), &|command| {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let is_line = !about.contains('\n') && !about.ends_with('.');
            assert!(is_line, "{}: {about}", command.get_name());
        });
    }
}
