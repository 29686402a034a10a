//! The command as a process, and an AWS on loopback that answers what a test says.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::{Value, json};

/// The region of the site that recoveries of these tests activate.
pub(crate) const HERE: &str = "us-west-2";
/// The region of the other site.
pub(crate) const THERE: &str = "us-east-1";
/// Who calls.
pub(crate) const CALLER: &str = "arn:aws:sts::123456789012:assumed-role/Operator/ada";

/// An execution as AWS keeps it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Execution {
    pub(crate) input: String,
    /// `RUNNING`, and so on.
    pub(crate) status: &'static str,
    pub(crate) output: Option<String>,
    pub(crate) cause: Option<String>,
    /// The states that it entered.
    pub(crate) states: Vec<&'static str>,
}

/// What the AWS of a test holds.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// The stored plan, as JSON; empty when there is none.
    pub(crate) plan: String,
    /// The register in each region that has none of its own.
    pub(crate) record: Option<Value>,
    /// Registers of their own, by region; a write makes one.
    pub(crate) registers: BTreeMap<String, Value>,
    pub(crate) executions: BTreeMap<String, Execution>,
    /// How each execution that starts goes on.
    pub(crate) next: Execution,
    /// Regions that do not answer.
    pub(crate) dark: Vec<&'static str>,
    /// Answers of `DescribeExecution` that are lost before the next one arrives.
    pub(crate) lost: u32,
    /// The access key of each request.
    pub(crate) keys: Vec<String>,
    /// The profile's role credentials that the SSO portal gives, and its status.
    pub(crate) portal: Option<(u16, Value)>,
    /// The tokens with which a container's role was asked for.
    pub(crate) tokens: Vec<String>,
    /// The code with which S3 refuses each object, instead of its being absent.
    pub(crate) refusal: Option<&'static str>,
    /// The requests that were taken.
    pub(crate) asked: u32,
    /// Whether they are never answered.
    pub(crate) hangs: bool,
}

/// An AWS on loopback. It ends with the test.
#[derive(Clone)]
pub(crate) struct Aws {
    pub(crate) endpoint: String,
    world: Arc<Mutex<World>>,
}

struct Request {
    method: String,
    path: String,
    target: String,
    key: String,
    region: String,
    service: String,
    /// The header as it stands.
    authorization: String,
    body: String,
}

impl Aws {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let plan = run(Command::new(program()).args(["--json", "plan", "check", &plan_file()]));
        let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
        let plan = plan["plan"].to_string();
        let world = Arc::new(Mutex::new(World { plan, ..World::default() }));
        let aws = Self { endpoint, world };
        let server = aws.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = server.clone();
                std::thread::spawn(move || server.serve(&stream));
            }
        });
        aws
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// The command at this AWS, with nothing of the environment of whoever tests.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .env_clear()
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    /// The same with credentials in the environment: exit code, output, errors.
    pub(crate) fn lifeboat(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = self.command(arguments);
        told(&run(command.env("AWS_ACCESS_KEY_ID", "AKIAENV").env("AWS_SECRET_ACCESS_KEY", "s")))
    }

    fn serve(&self, stream: &TcpStream) {
        let Some(request) = read(stream) else { return };
        self.world().asked += 1;
        if self.world().hangs {
            // Until whoever asks has gone.
            drop((&*stream).read(&mut [0]));
            return;
        }
        if let Some((status, body)) = self.answer(&request) {
            let head = format!(
                "HTTP/1.1 {status} _\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\netag: \"1\"\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            drop((&*stream).write_all(format!("{head}{body}").as_bytes()));
        }
    }

    /// None is a connection that breaks off.
    fn answer(&self, request: &Request) -> Option<(u16, String)> {
        let mut world = self.world();
        if world.dark.contains(&request.region.as_str()) {
            return None;
        }
        if !request.key.is_empty() {
            world.keys.push(request.key.clone());
        }
        let asked: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
        let machine = format!("arn:aws:states:{}:123456789012:stateMachine:", request.region);
        let action = request.target.rsplit('.').next().unwrap_or_default();
        let named = |arn: String| arn.rsplit(':').next().unwrap_or_default().to_owned();
        let missing = |what: &str| (400, json!({ "__type": what, "message": what }).to_string());
        let answer = match (request.service.as_str(), action) {
            ("ssm", "GetParameter") if world.plan.is_empty() => {
                return Some(missing("ParameterNotFound"));
            }
            ("ssm", "GetParameter") => json!({ "Parameter": {
                "Name": text("Name"), "Type": "String", "Value": world.plan, "Version": 1,
            } }),
            ("states", "ListStateMachines") => {
                let one = |name: &str| {
                    json!({
                        "stateMachineArn": format!("{machine}{name}"), "name": name,
                        "type": "STANDARD", "creationDate": 1.0,
                    })
                };
                json!({ "stateMachines": [one("lifeboat-backup"), one("lifeboat-recover")] })
            }
            ("states", "StartExecution") => {
                let name = text("name");
                let next = world.next.clone();
                // A name is one execution; the same input while it runs is the same request.
                match world.executions.get(&name) {
                    Some(there) if there.status == "RUNNING" && there.input == text("input") => {}
                    Some(_) => return Some(missing("ExecutionAlreadyExists")),
                    None => {
                        let new = Execution { input: text("input"), ..next };
                        world.executions.insert(name.clone(), new);
                    }
                }
                let arn = text("stateMachineArn").replace(":stateMachine:", ":execution:");
                json!({ "executionArn": format!("{arn}:{name}"), "startDate": 100.0 })
            }
            ("states", "DescribeExecution") => {
                if world.lost > 0 {
                    world.lost -= 1;
                    return None;
                }
                match world.executions.get(&named(text("executionArn"))) {
                    None => return Some(missing("ExecutionDoesNotExist")),
                    Some(there) => json!({
                        "executionArn": text("executionArn"), "stateMachineArn": machine,
                        "status": there.status, "startDate": 100.0, "output": there.output,
                        "cause": there.cause,
                    }),
                }
            }
            ("states", "GetExecutionHistory") => {
                let there = world.executions.get(&named(text("executionArn"))).cloned();
                let states = there.unwrap_or_default().states;
                let mut events: Vec<Value> = (1..)
                    .zip(&states)
                    .map(|(id, state)| {
                        json!({
                            "id": id, "timestamp": 100 + id, "type": "TaskStateEntered",
                            "stateEnteredEventDetails": { "name": state },
                        })
                    })
                    .collect();
                events.reverse();
                json!({ "events": events })
            }
            ("sts", _) => {
                let text = format!(
                    "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{CALLER}</Arn>\
                     <UserId>u</UserId><Account>123456789012</Account>\
                     </GetCallerIdentityResult></GetCallerIdentityResponse>"
                );
                return Some((200, text));
            }
            ("s3", _) if request.method == "GET" && request.path.contains("list-type=2") => {
                return Some((200, "<ListBucketResult></ListBucketResult>".to_owned()));
            }
            ("s3", _) if request.method == "PUT" => {
                world.registers.insert(request.region.clone(), asked);
                json!({})
            }
            ("s3", _) => match world.registers.get(&request.region).or(world.record.as_ref()) {
                Some(record) => record.clone(),
                None => {
                    let code = world.refusal.unwrap_or("NoSuchKey");
                    return Some((404, format!("<Error><Code>{code}</Code></Error>")));
                }
            },
            _ if request.path.starts_with("/federation/credentials") => {
                let (status, answer) = world.portal.clone()?;
                return Some((status, answer.to_string()));
            }
            _ if request.path == "/container" => {
                world.tokens.push(request.authorization.clone());
                role()
            }
            // IMDSv2 (EC2 user guide, "Use the Instance Metadata Service").
            _ if request.path == "/latest/api/token" => {
                return Some((200, "imds-token".to_owned()));
            }
            _ if request.path.starts_with("/latest/meta-data/iam/security-credentials") => {
                let is_list = request.path.trim_end_matches('/').ends_with("credentials");
                return Some((
                    200,
                    if is_list { "lifeboat".to_owned() } else { role().to_string() },
                ));
            }
            _ => return Some((404, json!({ "__type": "UnknownOperation" }).to_string())),
        };
        Some((200, answer.to_string()))
    }
}

/// The credentials of a role.
fn role() -> Value {
    json!({
        "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIAROLE", "SecretAccessKey": "s",
        "Token": "t", "AccountId": "123456789012", "LastUpdated": "2026-12-01T00:00:00Z",
        "Expiration": "2099-01-01T00:00:00Z",
    })
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let authorization = header("authorization");
    let scope = authorization.split("Credential=").nth(1).unwrap_or_default();
    let part = |place: usize| scope.split('/').nth(place).unwrap_or_default().to_owned();
    Some(Request {
        method,
        path,
        target: header("x-amz-target"),
        key: part(0),
        region: part(2),
        service: part(3),
        authorization: authorization.clone(),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_lifeboat")
}

/// The plan of these tests.
pub(crate) fn plan_file() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("events/plan/queue.toml").to_str().unwrap().to_owned()
}

pub(crate) fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// Exit code, output, errors.
pub(crate) fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A register of the plan's app.
pub(crate) fn record(active: &str, epoch: u64, recovery: &Value) -> Value {
    json!({
        "app": "queue", "epoch": epoch, "highest_reserved": epoch, "active_site": active,
        "recovery": recovery, "updated_at": "2026-12-01T00:00:00Z",
    })
}
