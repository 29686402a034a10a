//! The commands of the documents, run from their text.
//!
//! Every block of `sh` in README.md and docs/ is run, each document from its beginning to its end in one
//! scratch folder that looks like the checkout, against one lab. A block that says `no-lab` needs a real
//! account, root, or an hour: its `lifeboat`, `make` and `aws` commands are looked at without being run.
//! `exits-N` is a block that ends with that code. `struck` is one for after the disaster of the lab, and
//! `returned` one for after the region's return.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail where it stands"
)]

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write as _},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
};

use lifeboat_tests::{files, root};

/// What the lab goes through, each by one more Enter.
const MOMENTS: [&str; 3] = ["well", "struck", "returned"];
/// What the lab says when a moment has come.
const SAYS: [&str; 3] = ["The lab is up", "region us-east-1 is dark", "region us-east-1 is back"];

/// One fenced block.
struct Block {
    document: PathBuf,
    line: usize,
    /// What stands behind ```` ```sh ````.
    marks: Vec<String>,
    text: String,
}

impl Block {
    fn place(&self) -> String {
        format!("{}:{}", self.document.strip_prefix(root()).unwrap().display(), self.line)
    }

    fn needs_lab(&self) -> bool {
        !self.marks.iter().any(|mark| mark == "no-lab")
    }

    /// Of the lab's moments the one that it is for: its place in [`MOMENTS`].
    fn moment(&self) -> usize {
        let is_for = |moment: &&&str| self.marks.iter().any(|mark| mark == **moment);
        let marked = MOMENTS.iter().find(is_for);
        marked.map_or(0, |marked| MOMENTS.iter().position(|moment| moment == marked).unwrap())
    }

    fn code(&self) -> i32 {
        let code = self.marks.iter().find_map(|mark| mark.strip_prefix("exits-"));
        code.map_or(0, |code| code.parse().unwrap())
    }
}

fn documents() -> Vec<PathBuf> {
    let mut all = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    all.extend(files("docs", ".md").unwrap());
    all.retain(|path| path.exists());
    all
}

fn blocks(document: &Path) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in fs::read_to_string(document).unwrap().lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(info)) => {
                let marks = info.split_whitespace().map(str::to_owned).collect();
                let document = document.to_owned();
                open = Some(Block { document, line: index + 1, marks, text: String::new() });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(block), None) => writeln!(block.text, "{line}").unwrap(),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{}: a block is not closed", document.display());
    found.retain(|block| block.marks.first().is_some_and(|language| language == "sh"));
    for block in &found {
        for mark in block.marks.iter().skip(1) {
            let moment = MOMENTS.contains(&mark.as_str());
            let known = moment || mark == "no-lab" || mark.starts_with("exits-");
            assert!(known, "{}: what does {mark} mean?", block.place());
        }
    }
    found
}

/// A folder that looks like the checkout and can be written into.
fn scratch() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        symlink(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

fn bash(script: &str, folder: &Path, path: &str) -> (i32, String) {
    let output = Command::new("bash")
        .args(["-c", script])
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .env("HOME", folder)
        .env("CARGO_HOME", std::env::var_os("CARGO_HOME").unwrap_or_default())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

fn programs() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    here.parent().and_then(Path::parent).unwrap().to_owned()
}

/// The lab, as `make lab` starts it, and until the test ends.
struct Lab {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Lab {
    fn start() -> Self {
        let mut child = Command::new(programs().join("lifeboat-lab"))
            .arg("up")
            .current_dir(root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (send, receive) = mpsc::channel();
        // Whatever it says must not fill the pipe.
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| drop(send.send(line)));
        });
        let lab = Self { child, lines: receive };
        lab.has_said(SAYS[0]);
        lab
    }

    fn has_said(&self, what: &str) {
        let mut said = String::new();
        let has = self.lines.iter().any(|line| {
            writeln!(said, "{line}").unwrap();
            line.contains(what)
        });
        assert!(has, "the lab ended before it said {what:?}: {said}");
    }

    fn enter(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        let interrupted = Command::new("kill").args(["-INT", &id]).status();
        assert!(interrupted.is_ok_and(|status| status.success()));
        let ended = self.child.wait().unwrap();
        if !std::thread::panicking() {
            assert!(ended.success(), "the lab ended with {ended}");
        }
    }
}

#[test]
fn what_the_documents_tell_to_type_works_against_the_lab() {
    let mut lab = Lab::start();
    let ran: usize = (0..MOMENTS.len())
        .map(|moment| {
            if moment > 0 {
                lab.enter();
                lab.has_said(SAYS[moment]);
            }
            run_all(moment)
        })
        .sum();
    assert!(ran >= 3, "only {ran} blocks were run");
}

/// Runs the blocks of every document that are for this moment of the lab.
fn run_all(moment: usize) -> usize {
    let base = std::env::var_os("PATH").unwrap().into_string().unwrap();
    let mut ran = 0;
    for document in documents() {
        let folder = scratch();
        // What an earlier block of a document exports holds in the later ones: it is one terminal.
        let mut before = String::from("set -euo pipefail\n");
        for block in blocks(&document).iter().filter(|block| block.needs_lab()) {
            if block.moment() == moment {
                let (code, said) = bash(&format!("{before}{}", block.text), folder.path(), &base);
                assert_eq!(code, block.code(), "{}\n{}\n{said}", block.place(), block.text);
                ran += 1;
            }
            for line in block.text.lines().filter(|line| line.starts_with("export ")) {
                writeln!(before, "{line}").unwrap();
            }
        }
    }
    ran
}

/// A program that stands in for another, first on the PATH.
fn stand_in(folder: &Path, name: &str, script: &str) {
    let file = folder.join(name);
    // What is piped into it is read: whoever writes to a pipe that nobody reads is ended by the signal.
    let drain = "if [ -p /dev/stdin ]; then cat >/dev/null; fi";
    fs::write(&file, format!("#!/bin/bash\n{drain}\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_needs_more_than_the_lab_is_at_least_understood() {
    let venv = root().join("target/tools/venv/bin");
    let stands = tempfile::tempdir().unwrap();
    let lifeboat = programs().join("lifeboat");
    // With --help everything is parsed but what is missing, and nothing is done.
    stand_in(
        stands.path(),
        "lifeboat",
        &format!("{} \"$@\" --help >/dev/null", lifeboat.display()),
    );
    stand_in(
        stands.path(),
        "make",
        "/usr/bin/make --dry-run --no-print-directory \"$@\" >/dev/null",
    );
    // Those of the first pattern have no skeleton to be asked for.
    let aws = format!(
        "case \"$1 ${{2:-}}\" in 's3 '*|'cloudformation deploy'|'lambda invoke'|'sso '*|'configure '*|*' wait') ;; \
         *) AWS_DEFAULT_REGION=us-east-1 {}/aws \"$@\" --generate-cli-skeleton input >/dev/null ;; esac",
        venv.display()
    );
    stand_in(stands.path(), "aws", &aws);
    for other in
        ["sudo", "systemctl", "dpkg", "apt-get", "psql", "cargo", "dig", "curl", "git", "gh"]
    {
        stand_in(stands.path(), other, ":");
    }
    let path = format!("{}:/usr/bin:/bin", stands.path().display());
    let mut seen = 0;
    for document in documents() {
        let folder = scratch();
        for block in blocks(&document).iter().filter(|block| !block.needs_lab()) {
            let script = format!("set -euo pipefail\n{}", block.text);
            let (code, said) = bash(&script, folder.path(), &path);
            assert_eq!(code, 0, "{}\n{}\n{said}", block.place(), block.text);
            seen += 1;
        }
    }
    assert!(seen >= 3, "only {seen} blocks were looked at");
}

#[test]
fn links_lead_somewhere() {
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let to = if file.is_empty() { document.clone() } else { document.with_file_name(file) };
            assert!(to.exists(), "{}: {target} is not there", document.display());
            if !anchor.is_empty() {
                let text = fs::read_to_string(&to).unwrap();
                let headings = text.lines().filter(|line| line.starts_with('#')).map(slug);
                let there = headings.collect::<Vec<_>>().contains(&anchor.to_owned());
                assert!(there, "{}: no heading for {target}", document.display());
            }
        }
    }
}

/// The anchor that a heading gets: lower case, spaces as hyphens, nothing but letters and digits.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

#[test]
fn the_readme_is_read_in_one_sitting() {
    let lines = fs::read_to_string(root().join("README.md")).unwrap().lines().count();
    assert!(lines <= 150, "README.md has {lines} lines");
}
