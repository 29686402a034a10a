//! The Debian package and the bill of materials, made of the program that was just built.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use support::{program, run, told};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Runs it in the checkout; what it printed.
fn shell(words: &[&str]) -> String {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(root()).env("SOURCE_DATE_EPOCH", "1764547200");
    command.env("COMPRESSION", "none");
    let (code, out, err) = told(&run(&mut command));
    assert_eq!(code, 0, "{words:?}: {out}{err}");
    out
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_package_has_the_program_its_units_and_its_pages_and_is_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    shell(&["bash", "packaging/pages.sh", program(), &at("pages")]);
    let package = |out: &str| {
        let built = ["bash", "packaging/deb.sh", program(), "amd64", &at("pages"), &at(out)];
        fs::read(shell(&built).trim()).unwrap()
    };
    assert!(package("one") == package("two"), "two builds of the same differ");

    let file = names(&folder.path().join("one")).pop_first().unwrap();
    let file = format!("{}/{file}", at("one"));
    let field = |name: &str| shell(&["dpkg-deb", "--field", &file, name]).trim().to_owned();
    assert_eq!([field("Package"), field("Architecture")], ["lifeboat", "amd64"]);
    assert_eq!(field("Version"), env!("CARGO_PKG_VERSION"));
    assert!(!shell(&["dpkg-deb", "--contents", &file]).contains("root/root 0 "));

    shell(&["dpkg-deb", "--extract", &file, &at("tree")]);
    let tree = folder.path().join("tree/usr");
    let (code, out, _) = told(&run(Command::new(tree.join("bin/lifeboat")).arg("--version")));
    assert!(code == 0 && out.starts_with("lifeboat "), "{out}");
    let units = tree.join("lib/systemd/system");
    let ours = ["lifeboat-guard@.service", "lifeboat-join@.service", "lifeboat-wal@.service"];
    assert_eq!(names(&units), ours.map(str::to_owned).into());
    assert!(names(&tree.join("share/man/man1")).contains("lifeboat-recover.1.gz"));
    assert!(tree.join("share/bash-completion/completions/lifeboat").is_file());
    for unit in ours {
        systemd_understands(&units.join(unit));
    }
}

/// That a unit starts the program of the package, and has no line that systemd does not know.
fn systemd_understands(unit: &Path) {
    let text = fs::read_to_string(unit).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    assert_eq!(line.split(' ').next(), Some("/usr/bin/lifeboat"));
    let Ok(verify) =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(unit).output()
    else {
        return;
    };
    let said = String::from_utf8_lossy(&verify.stderr).into_owned();
    // The package is not installed here, so that its program is not where it will be.
    let ours = |line: &&str| line.contains("lifeboat") && !line.contains("is not executable");
    assert_eq!(said.lines().find(ours), None, "{said}");
}

#[test]
fn the_bill_of_materials_names_each_crate_with_its_licence_and_checksum() {
    let bill = || shell(&["python3", "packaging/sbom.py", "x86_64-unknown-linux-musl"]);
    let text = bill();
    assert!(text == bill(), "two of the same differ");
    let bill: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bill["metadata"]["component"]["name"], "lifeboat");
    let components = bill["components"].as_array().unwrap();
    let refs: BTreeSet<&str> =
        components.iter().map(|component| component["bom-ref"].as_str().unwrap()).collect();
    assert_eq!(refs.len(), components.len());
    for name in ["aws-lc-rs", "aws-sdk-sso", "clap", "lifeboat-core", "rust-std", "rustls"] {
        assert!(components.iter().any(|component| component["name"] == name), "{name}");
    }
    // Run by the compiler, by a build script, by a test: none of it is in the program.
    for name in ["serde_derive", "cc", "proptest"] {
        assert!(!components.iter().any(|component| component["name"] == name), "{name}");
    }
    for component in components {
        let name = component["name"].as_str().unwrap();
        let licence = component["licenses"][0]["expression"].as_str().unwrap();
        assert!(!licence.contains('/'), "{name}: {licence}");
        let ours = name.starts_with("lifeboat") || name == "rust-std";
        assert_eq!(component["hashes"].is_array(), !ours, "{name}");
    }
    let of = bill["metadata"]["component"]["bom-ref"].as_str().unwrap();
    for edge in bill["dependencies"].as_array().unwrap() {
        let known = |of_edge: &Value| {
            let name = of_edge.as_str().unwrap();
            name == of || refs.contains(name)
        };
        assert!(known(&edge["ref"]) && edge["dependsOn"].as_array().unwrap().iter().all(known));
    }
}
