//! Credentials as people have them, and what is said when there are none.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

mod support;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use serde_json::{Value, json};
use support::{Aws, Execution, HERE, record, run, told};

/// A home with a profile for every way.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let aws = folder.path().join(".aws");
        fs::create_dir_all(aws.join("sso/cache")).unwrap();
        let process = folder.path().join("process");
        let script = "#!/bin/sh\necho called >>\"$0.calls\"\n\
             echo '{\"Version\":1,\"AccessKeyId\":\"AKIAPROCESS\",\"SecretAccessKey\":\"s\"}'\n";
        fs::write(&process, script).unwrap();
        fs::set_permissions(&process, fs::Permissions::from_mode(0o755)).unwrap();
        let config = format!(
            "[profile sso]\nsso_session = corp\nsso_account_id = 123456789012\n\
             sso_role_name = Operator\nregion = {HERE}\n\
             [sso-session corp]\nsso_start_url = https://corp.example.com/start\n\
             sso_region = us-east-1\n\
             [profile process]\ncredential_process = {}\nregion = {HERE}\n\
             [profile refusing]\ncredential_process = /bin/false\nregion = {HERE}\n\
             [profile empty]\nregion = {HERE}\n",
            process.display()
        );
        fs::write(aws.join("config"), config).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A login that ends at this time. The file's name is the SHA-1 of the session's name, as the AWS
    /// CLI writes it.
    fn log_in(&self, until: &str) {
        let token = json!({
            "accessToken": "token", "expiresAt": until, "region": "us-east-1",
            "startUrl": "https://corp.example.com/start",
        });
        let corp = "ee0bfd2552fbd840c02cc48b6e823320543c450f";
        let file = self.path().join(format!(".aws/sso/cache/{corp}.json"));
        fs::write(file, token.to_string()).unwrap();
    }

    fn command(&self, aws: &Aws, arguments: &[&str]) -> Command {
        let mut command = aws.command(arguments);
        command.env("HOME", self.path()).env("PATH", "/usr/bin:/bin");
        command
    }
}

fn aws() -> Aws {
    let aws = Aws::start();
    let mut world = aws.world();
    world.record = Some(record("a", 1, &Value::Null));
    let output = json!({ "outcome": "recovered", "site": "b", "epoch": 2 }).to_string();
    world.next = Execution { status: "SUCCEEDED", output: Some(output), ..Execution::default() };
    drop(world);
    aws
}

/// Asks several services of two regions.
const RECOVER: [&str; 5] = ["recover", "--app", "queue", "--region", HERE];

fn recover(home: &Home, aws: &Aws, profile: &str) -> (i32, String, String) {
    let arguments = [&RECOVER[..], &["--profile", profile]].concat();
    told(&run(&mut home.command(aws, &arguments)))
}

#[test]
fn a_process_gives_them_once_for_all_services_and_before_the_environment() {
    let (home, aws) = (Home::new(), aws());
    let arguments = [&RECOVER[..], &["--profile", "process"]].concat();
    let mut command = home.command(&aws, &arguments);
    // The profile was named by hand, so that it goes before them.
    command.env("AWS_ACCESS_KEY_ID", "AKIAENV").env("AWS_SECRET_ACCESS_KEY", "s");
    let (code, _, err) = told(&run(&mut command));
    assert_eq!(code, 0, "{err}");
    let keys = aws.world().keys.clone();
    assert!(keys.len() > 5 && keys.iter().all(|key| key == "AKIAPROCESS"), "{keys:?}");
    let calls = fs::read_to_string(home.path().join("process.calls")).unwrap();
    assert_eq!(calls.lines().count(), 1);
}

#[test]
fn a_login_with_sso_is_used_and_its_end_is_said_with_the_command_that_renews_it() {
    let (home, aws) = (Home::new(), aws());
    aws.world().portal = Some((
        200,
        json!({ "roleCredentials": {
            "accessKeyId": "ASIASSO", "secretAccessKey": "s", "sessionToken": "t",
            "expiration": 4_000_000_000_000_i64,
        } }),
    ));
    let says = |until: Option<&str>| {
        if let Some(until) = until {
            home.log_in(until);
        }
        let (code, out, err) = recover(&home, &aws, "sso");
        assert!(code == 0 || err.ends_with("log in anew: aws sso login --profile sso\n"), "{err}");
        assert!(code == 0 || out.is_empty(), "{out}");
        code
    };
    assert_eq!([says(None), says(Some("2020-01-01T00:00:00Z"))], [1, 1]);
    assert_eq!(aws.world().keys.len(), 0);
    assert_eq!(says(Some("2099-01-01T00:00:00Z")), 0);
    assert!(aws.world().keys.iter().any(|key| key == "ASIASSO"), "{:?}", aws.world().keys);
    // Revoked: the portal takes the token no more.
    aws.world().portal =
        Some((401, json!({ "__type": "UnauthorizedException", "message": "Session token" })));
    assert_eq!(says(None), 1);
}

#[test]
fn the_role_of_a_container_is_used_and_asked_for_with_its_token() {
    let (home, aws) = (Home::new(), aws());
    let token = home.path().join("token");
    fs::write(&token, "pod-identity").unwrap();
    let mut command = home.command(&aws, &RECOVER);
    command
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/container", aws.endpoint))
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token);
    let (code, _, err) = told(&run(&mut command));
    assert_eq!(code, 0, "{err}");
    let world = aws.world();
    assert_eq!(world.tokens, ["pod-identity"]);
    assert!(world.keys.iter().any(|key| key == "ASIAROLE"), "{:?}", world.keys);
}

#[test]
fn the_role_of_an_instance_is_used() {
    let (home, aws) = (Home::new(), aws());
    let mut command = home.command(&aws, &RECOVER);
    command
        .env_remove("AWS_EC2_METADATA_DISABLED")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &aws.endpoint);
    let (code, _, err) = told(&run(&mut command));
    assert_eq!(code, 0, "{err}");
    assert!(aws.world().keys.iter().any(|key| key == "ASIAROLE"), "{:?}", aws.world().keys);
}

#[test]
fn without_any_it_is_said_what_to_do_and_nobody_is_asked() {
    let (home, aws) = (Home::new(), aws());
    let (code, out, err) = told(&run(&mut home.command(&aws, &RECOVER)));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("lifeboat: no credentials found: "), "{err}");
    assert!(err.contains("aws sso login --profile NAME"), "{err}");
    for (profile, says) in [
        ("empty", "aws configure sso --profile empty"),
        ("unknown", "profile `unknown` was not defined"),
        ("refusing", "external process exited with code"),
    ] {
        let (code, _, err) = recover(&home, &aws, profile);
        assert!(code == 1 && err.contains(says) && err.lines().count() == 2, "{profile}: {err}");
        let (code, _, err) = told(&run(home.command(&aws, &RECOVER).env("AWS_PROFILE", profile)));
        assert!(code == 1 && err.contains(profile) && err.lines().count() == 2, "{err}");
    }
    // Without any file of profiles the SDK only says that it did not look.
    let nothing = tempfile::tempdir().unwrap();
    let mut command = home.command(&aws, &[&RECOVER[..], &["--profile", "unknown"]].concat());
    let (code, _, err) = told(&run(command.env("HOME", nothing.path())));
    assert!(
        code == 1 && err.starts_with("lifeboat: no credentials found for profile unknown\n"),
        "{err}"
    );
    assert_eq!(aws.world().keys.len(), 0);
}

#[test]
fn what_could_not_be_told_for_want_of_credentials_has_its_own_exit_code() {
    let (home, aws) = (Home::new(), aws());
    // 1 would say that it is damaged.
    let (code, _, err) = told(&run(&mut home.command(&aws, &["verify", "s3://bucket/key"])));
    assert!(code == 2 && err.contains("no credentials found"), "{code} {err}");
    // 1 would end a server's recovery, as if there were no more WAL.
    let fetch = "host wal fetch --app queue --region us-west-2 --bucket b --system 73 \
                 000000010000000000000005 nowhere";
    let words: Vec<&str> = fetch.split_whitespace().collect();
    let (code, _, err) = told(&run(&mut home.command(&aws, &words)));
    assert!(code == 200 && err.contains("no credentials found"), "{code} {err}");
}
