//! A fake upstream that remembers what it was asked, a gateway in front of it, and a plain HTTP client.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use lifeboat_lab_gateway::gateway::{
    self, CallRecord, CallerListener, GatewayConfig, GatewayHandle, Upstreams,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Longer than any wait of these tests should take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long silence has to last to count as silence.
pub(crate) const SILENCE: Duration = Duration::from_millis(150);

pub(crate) fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A port that refuses connections for as long as the socket is kept: bound, but not listening.
pub(crate) fn closed_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(any_port()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// An upstream that answers `name METHOD uri`, and echoes the body of a request below `/echo`.
/// What comes for `/slow` waits for `open_gate`. `/_lab/authorize` answers what `set_authorize` says.
pub(crate) struct FakeUpstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
    finished: Arc<Mutex<usize>>,
    gate: watch::Sender<bool>,
    authorize: Arc<Mutex<String>>,
    _tasks: JoinSet<()>,
}

impl FakeUpstream {
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind(any_port()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(0));
        let gate = watch::Sender::new(false);
        let authorize = Arc::new(Mutex::new(r#"{"allowed":true,"message":""}"#.to_owned()));
        let finished = Arc::new(Mutex::new(0));
        let mut tasks = JoinSet::new();
        let server = Server {
            name,
            seen: seen.clone(),
            gate: gate.clone(),
            authorize: authorize.clone(),
            finished: finished.clone(),
        };
        let counted = connections.clone();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                *counted.lock().unwrap() += 1;
                let server = server.clone();
                open.spawn(async move {
                    let service = service_fn(move |request| server.clone().answer(request));
                    let _ =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, seen, connections, finished, gate, authorize, _tasks: tasks }
    }

    /// What was asked, apart from questions about authorisation.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let all = self.seen.lock().unwrap();
        all.iter().filter(|seen| seen.uri != "/_lab/authorize").cloned().collect()
    }

    pub(crate) fn authorize_questions(&self) -> Vec<serde_json::Value> {
        let all = self.seen.lock().unwrap();
        let asked = all.iter().filter(|seen| seen.uri == "/_lab/authorize");
        asked.map(|seen| serde_json::from_slice(&seen.body).unwrap()).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    /// How many requests were answered, whether or not anybody waited for it.
    pub(crate) fn finished(&self) -> usize {
        *self.finished.lock().unwrap()
    }

    pub(crate) fn open_gate(&self) {
        self.gate.send_replace(true);
    }

    pub(crate) fn set_authorize(&self, answer: &str) {
        answer.clone_into(&mut self.authorize.lock().unwrap());
    }
}

#[derive(Clone)]
struct Server {
    name: &'static str,
    seen: Arc<Mutex<Vec<Seen>>>,
    finished: Arc<Mutex<usize>>,
    gate: watch::Sender<bool>,
    authorize: Arc<Mutex<String>>,
}

impl Server {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (parts, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            return Ok(Response::new(Full::default()));
        };
        let body = body.to_bytes();
        let seen = Seen {
            method: parts.method.to_string(),
            uri: parts.uri.to_string(),
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect(),
            body: body.clone(),
        };
        let text = format!("{} {} {}", self.name, seen.method, seen.uri);
        self.seen.lock().unwrap().push(seen);
        let path = parts.uri.path();
        if path.starts_with("/slow") {
            self.gate.subscribe().wait_for(|open| *open).await.unwrap();
        }
        *self.finished.lock().unwrap() += 1;
        let answer = match path {
            "/_lab/authorize" => Bytes::from(self.authorize.lock().unwrap().clone()),
            path if path.starts_with("/echo") => body,
            _ => Bytes::from(text),
        };
        Ok(Response::builder().header("X-Upstream", self.name).body(Full::new(answer)).unwrap())
    }
}

/// A gateway with the callers `us-east-1`, `us-west-2` and `operator`, and its upstreams.
pub(crate) struct Lab {
    pub(crate) gateway: GatewayHandle,
    pub(crate) emulator: FakeUpstream,
    pub(crate) rds: FakeUpstream,
    pub(crate) ssm: FakeUpstream,
    pub(crate) dns: FakeUpstream,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let emulator = FakeUpstream::start("emulator").await;
        let rds = FakeUpstream::start("rds").await;
        let ssm = FakeUpstream::start("ssm").await;
        let dns = FakeUpstream::start("dns").await;
        let upstreams = Upstreams {
            emulator: emulator.address,
            rds: rds.address,
            ssm: ssm.address,
            dns_status: dns.address,
        };
        let callers = ["us-east-1", "us-west-2", "operator"]
            .map(|caller| CallerListener { caller: caller.to_owned(), listen: any_port() })
            .to_vec();
        let mut config = GatewayConfig::new(callers, any_port(), upstreams);
        change(&mut config);
        let gateway = gateway::start(config).await.unwrap();
        Self { gateway, emulator, rds, ssm, dns }
    }

    pub(crate) fn address(&self, caller: &str) -> SocketAddr {
        self.gateway.address(caller).unwrap()
    }

    /// Makes one call as `caller`; the answer, or how the connection ended.
    pub(crate) async fn call(&self, caller: &str, request: &HttpRequest) -> io::Result<Answer> {
        bounded(request.send(self.address(caller))).await
    }

    pub(crate) async fn admin(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut request = HttpRequest::new(method, path).header("content-type", "application/json");
        request.body = body.as_bytes().to_vec();
        bounded(request.send(self.gateway.admin_address())).await.unwrap()
    }

    pub(crate) fn records(&self) -> Vec<CallRecord> {
        self.gateway.calls().since(0)
    }
}

/// A gateway with the one caller `operator` and the same upstream for everything.
pub(crate) async fn gateway_to(upstream: SocketAddr) -> GatewayHandle {
    let upstreams =
        Upstreams { emulator: upstream, rds: upstream, ssm: upstream, dns_status: upstream };
    let callers = vec![CallerListener { caller: "operator".into(), listen: any_port() }];
    gateway::start(GatewayConfig::new(callers, any_port(), upstreams)).await.unwrap()
}

/// A request as text, signed for a service and region when `signed` was called.
#[derive(Clone, Debug)]
pub(crate) struct HttpRequest {
    head: String,
    pub(crate) body: Vec<u8>,
}

impl HttpRequest {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: aws.example:4610\r\nConnection: close\r\n");
        Self { head, body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    pub(crate) fn signed(self, key: &str, region: &str, service: &str) -> Self {
        let scope = format!("{key}/20261123/{region}/{service}/aws4_request");
        self.header(
            "Authorization",
            &format!(
                "AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature=0f0f"
            ),
        )
    }

    pub(crate) fn with_body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    pub(crate) async fn send(&self, address: SocketAddr) -> io::Result<Answer> {
        let mut stream = self.start(address).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        Answer::parse(&bytes)
    }

    /// Sends the request and leaves the answer to the caller.
    pub(crate) async fn start(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut bytes = self.head.clone().into_bytes();
        if !self.body.is_empty() {
            bytes.extend(format!("Content-Length: {}\r\n", self.body.len()).bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        stream.write_all(&bytes).await?;
        Ok(stream)
    }
}

/// S3 and SSM requests that most tests use.
pub(crate) fn s3_put(region: &str, path: &str, body: &[u8]) -> HttpRequest {
    HttpRequest::new("PUT", path).signed("test", region, "s3").with_body(body)
}

pub(crate) fn ssm(region: &str, operation: &str, body: &str) -> HttpRequest {
    HttpRequest::new("POST", "/")
        .signed("test", region, "ssm")
        .header("X-Amz-Target", &format!("AmazonSSM.{operation}"))
        .header("Content-Type", "application/x-amz-json-1.1")
        .with_body(body.as_bytes())
}

pub(crate) fn rds(region: &str, key: &str, body: &str) -> HttpRequest {
    HttpRequest::new("POST", "/")
        .signed(key, region, "rds")
        .header("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
        .with_body(body.as_bytes())
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(|| {
            io::Error::new(io::ErrorKind::UnexpectedEof, "no answer before the end")
        })?;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = bytes[end + 4..].to_vec();
        if let Some(length) = head.lines().find_map(|line| {
            line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned)
        }) && length.parse::<usize>().unwrap() != body.len()
        {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer broke off"));
        }
        Ok(Self { status, head, body })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Fails the test when `work` takes longer than it may.
pub(crate) async fn bounded<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

/// Waits until `holds`, looking every few milliseconds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(3));
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            ticks.tick().await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}

#[track_caller]
pub(crate) fn assert_reset<T: std::fmt::Debug>(outcome: &io::Result<T>) {
    match outcome {
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
        Ok(answer) => panic!("answered: {answer:?}"),
    }
}
