//! Two regions as the command sees them: enough of AWS to answer it, and a region that may be dark.

#![allow(clippy::indexing_slicing, reason = "a test may fail where it stands")]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use lifeboat_tests::root;
use serde_json::{Value, json};

/// An empty list of alarms, in the encoding that CloudWatch's SDK speaks (RFC 8949): a map of one key.
const NO_ALARMS: &[u8] = b"\xa1\x6cMetricAlarms\x80";

/// One datapoint of which nothing is known, likewise.
const ONE_AGE: &[u8] = b"\xa1\x6aDatapoints\x81\xa0";

/// What the regions hold, and what was asked of them.
#[derive(Default)]
pub(crate) struct State {
    /// Parameters, by region and name.
    pub(crate) parameters: BTreeMap<(String, String), String>,
    /// Objects, by bucket and key, as their path.
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    /// The machines that were started: region and input.
    pub(crate) started: Vec<(String, String)>,
    /// The alarms that were set, by region.
    pub(crate) alarms: Vec<String>,
    /// Manual snapshots that are in RDS, of nobody's plan, in each region.
    pub(crate) snapshots: u32,
    /// The regions that do not answer.
    pub(crate) dark: Vec<String>,
}

/// A cloud of two regions; it ends with the test.
pub(crate) struct Cloud {
    address: SocketAddr,
    pub(crate) state: Arc<Mutex<State>>,
}

impl Cloud {
    /// With these regions dark.
    pub(crate) fn new(dark: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let dark = dark.iter().map(|region| (*region).to_owned()).collect();
        let state = Arc::new(Mutex::new(State { dark, ..State::default() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || answer(&stream, &state));
            }
        });
        Self { address, state }
    }

    /// Runs the command against it.
    pub(crate) fn lifeboat(&self, arguments: &[&str]) -> (i32, String, String) {
        super::lifeboat_at(&format!("http://{}", self.address), arguments)
    }

    /// Runs the command with this on standard input.
    pub(crate) fn lifeboat_given(&self, input: &str, arguments: &[&str]) -> (i32, String, String) {
        super::lifeboat_given(&format!("http://{}", self.address), input, arguments)
    }
}

/// The example plan.
pub(crate) fn example() -> String {
    std::fs::read_to_string(root().join("events/plan/queue.toml")).unwrap()
}

fn answer(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    if reader.read_line(&mut first).unwrap_or_default() == 0 {
        return;
    }
    let mut headers = BTreeMap::new();
    for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
    }
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let length = header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    // `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
    let scope = header("authorization");
    let region = scope.split('/').nth(2).unwrap_or_default().to_owned();
    let mut state = state.lock().unwrap();
    if state.dark.contains(&region) {
        // As a connection that breaks: what a region does that is going down.
        return;
    }
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let target = header("x-amz-target");
    let (status, kind, body) = if path.starts_with("/service/") {
        cloudwatch(&mut state, &region, path, &body)
    } else if body.starts_with(b"Action=") {
        rds(&state, &body)
    } else if target.is_empty() {
        s3(&mut state, method, path, body)
    } else {
        json_call(&mut state, &region, &target, &body)
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nsmithy-protocol: rpc-v2-cbor\r\netag: \
         \"1\"\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _gone = (&*stream).write_all(&[head.as_bytes(), &body].concat());
}

type Answer = (&'static str, &'static str, Vec<u8>);

fn cloudwatch(state: &mut State, region: &str, path: &str, body: &[u8]) -> Answer {
    if path.ends_with("PutMetricAlarm") {
        let mark = b"lifeboat-";
        let start = body.windows(mark.len()).position(|part| part == mark).unwrap();
        // A text begins with its length: in the low bits, or in a byte of its own from 24 on.
        let length = usize::from(body[start - 1]);
        let length = if length >= 0x60 && body[start - 2] != 0x78 { length - 0x60 } else { length };
        let name = String::from_utf8_lossy(&body[start..start + length]);
        state.alarms.push(format!("{region} {name}"));
    }
    let answer: &[u8] = match path.rsplit('/').next() {
        Some("DescribeAlarms") => NO_ALARMS,
        Some("GetMetricStatistics") => ONE_AGE,
        _ => b"\xa0",
    };
    ("200 OK", "application/cbor", answer.to_vec())
}

fn rds(state: &State, body: &[u8]) -> Answer {
    let asked = String::from_utf8_lossy(body);
    let action = asked.trim_start_matches("Action=").split('&').next().unwrap_or_default();
    let found = match action {
        "DescribeAccountAttributes" => format!(
            "<AccountQuotas><AccountQuota><AccountQuotaName>ManualSnapshots</AccountQuotaName>\
             <Used>{}</Used><Max>100</Max></AccountQuota></AccountQuotas>",
            state.snapshots
        ),
        "DescribeDBSnapshots" => "<DBSnapshots></DBSnapshots>".to_owned(),
        _ => return ("400 Bad Request", "text/xml", Vec::new()),
    };
    let answer =
        format!("<{action}Response><{action}Result>{found}</{action}Result></{action}Response>");
    ("200 OK", "text/xml", answer.into_bytes())
}

fn s3(state: &mut State, method: &str, path: &str, body: Vec<u8>) -> Answer {
    if method == "PUT" {
        state.objects.insert(path.to_owned(), body);
        return ("200 OK", "application/xml", Vec::new());
    }
    match state.objects.get(path) {
        Some(body) => ("200 OK", "application/json", body.clone()),
        None => {
            let body = b"<Error><Code>NoSuchKey</Code></Error>".to_vec();
            ("404 Not Found", "application/xml", body)
        }
    }
}

fn json_call(state: &mut State, region: &str, target: &str, body: &[u8]) -> Answer {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
    let arn =
        |kind: &str, name: &str| format!("arn:aws:states:{region}:000000000000:{kind}:{name}");
    let key = (region.to_owned(), text("Name"));
    let answer = match target.split('.').nth(1).unwrap_or_default() {
        "ListStateMachines" => {
            let machines = ["lifeboat-recover", "lifeboat-init"].map(|name| {
                json!({
                    "name": name, "stateMachineArn": arn("stateMachine", name), "type": "STANDARD",
                    "creationDate": 0,
                })
            });
            json!({ "stateMachines": machines })
        }
        "GetParameter" => match state.parameters.get(&key) {
            Some(value) => json!({ "Parameter": { "Name": key.1, "Value": value } }),
            None => {
                let error = json!({ "__type": "ParameterNotFound" }).to_string();
                return ("400 Bad Request", "application/x-amz-json-1.1", error.into_bytes());
            }
        },
        "GetParametersByPath" => {
            let prefix = format!("{}/", text("Path"));
            let here = state
                .parameters
                .iter()
                .filter(|((of, name), _)| of == region && name.starts_with(&prefix));
            let found: Vec<Value> =
                here.map(|((_, name), value)| json!({ "Name": name, "Value": value })).collect();
            json!({ "Parameters": found })
        }
        "PutParameter" => {
            state.parameters.insert(key, text("Value"));
            json!({ "Version": 1 })
        }
        "StartExecution" => {
            state.started.push((region.to_owned(), text("input")));
            json!({ "executionArn": arn("execution", "lifeboat-init:1"), "startDate": 0 })
        }
        "DescribeExecution" => json!({
            "executionArn": text("executionArn"), "stateMachineArn": arn("stateMachine", "x"),
            "status": "SUCCEEDED", "startDate": 0, "output": "{}",
        }),
        "GetExecutionHistory" => json!({ "events": [] }),
        other => {
            let error = json!({ "__type": "AccessDeniedException", "message": other }).to_string();
            return ("400 Bad Request", "application/x-amz-json-1.1", error.into_bytes());
        }
    };
    ("200 OK", "application/x-amz-json-1.1", answer.to_string().into_bytes())
}
