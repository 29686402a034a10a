//! Against a small DNS server and small apps on the loopback interface.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record, rdata},
};
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, UdpSocket},
};

use super::*;

/// What the DNS server says from now on.
#[derive(Debug, Default)]
struct Zone {
    address: Mutex<Option<[u8; 4]>>,
    ttl: AtomicU32,
    asked: AtomicUsize,
}

impl Zone {
    fn answer(&self, address: Option<[u8; 4]>) {
        *self.address.lock().unwrap() = address;
    }

    /// Serves the zone, and returns where.
    async fn serve(self: &Arc<Self>) -> SocketAddr {
        let zone = Arc::clone(self);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let question = Message::from_vec(&buffer[..length]).unwrap();
                zone.asked.fetch_add(1, Ordering::SeqCst);
                let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
                answer.add_query(question.queries[0].clone());
                match *zone.address.lock().unwrap() {
                    Some(address) => {
                        answer.add_answer(Record::from_rdata(
                            question.queries[0].name.clone(),
                            zone.ttl.load(Ordering::SeqCst),
                            RData::A(rdata::A(address.into())),
                        ));
                    }
                    None => answer.metadata.response_code = ResponseCode::ServFail,
                }
                socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
            }
        });
        at
    }
}

/// What an app does with a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Serves,
    Refuses,
    AnswersAnother,
}

type Tickets = Arc<Mutex<(Mood, Vec<String>)>>;

async fn issue(State(tickets): State<Tickets>, Json(body): Json<Value>) -> impl IntoResponse {
    let id = body["id"].as_str().unwrap().to_owned();
    let mut tickets = tickets.lock().unwrap();
    match tickets.0 {
        Mood::Serves => {
            tickets.1.push(id.clone());
            (StatusCode::CREATED, Json(json!({ "id": id, "position": tickets.1.len() })))
        }
        Mood::Refuses => (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "error": "standby", "detail": "this site is the standby" })),
        ),
        Mood::AnswersAnother => (StatusCode::CREATED, Json(json!({ "id": "someone-else" }))),
    }
}

async fn exists(State(tickets): State<Tickets>, Json(body): Json<Value>) -> Json<Value> {
    let tickets = tickets.lock().unwrap();
    let ids = body["ids"].as_array().unwrap().iter();
    let missing: Vec<&str> = ids
        .map(|id| id.as_str().unwrap())
        .filter(|id| !tickets.1.iter().any(|have| have == id))
        .collect();
    Json(json!({ "missing": missing }))
}

async fn app(address: [u8; 4], port: u16) -> (Tickets, SocketAddr) {
    let tickets: Tickets = Arc::new(Mutex::new((Mood::Serves, Vec::new())));
    let listener = TcpListener::bind(SocketAddr::from((address, port))).await.unwrap();
    let at = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/tickets", post(issue))
        .route("/tickets/exists", post(exists))
        .with_state(Arc::clone(&tickets));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (tickets, at)
}

fn config(resolver: SocketAddr, port: u16) -> ClientConfig {
    ClientConfig {
        name: "queue.example.test".into(),
        keeps_to: None,
        resolver,
        port,
        writes_per_second: 50,
        request_timeout: Duration::from_millis(400),
    }
}

const LIMIT: Duration = Duration::from_secs(20);

fn last_acknowledged(writes: &[Write], count: usize) -> bool {
    writes.len() >= count && writes.iter().rev().take(count).all(|write| write.acknowledged)
}

#[tokio::test]
async fn writes_are_acknowledged_kept_in_order_and_found_again() {
    let zone = Arc::new(Zone::default());
    zone.answer(Some([127, 0, 0, 1]));
    zone.ttl.store(60, Ordering::SeqCst);
    let (tickets, at) = app([127, 0, 0, 1], 0).await;
    let client = Client::start(config(zone.serve().await, at.port())).unwrap();
    assert!(client.wait_for(LIMIT, |writes| writes.len() >= 25).await);
    let traffic = client.stop().await;

    assert!(traffic.writes.iter().all(|write| write.acknowledged && write.failure.is_none()));
    assert!(traffic.writes.iter().zip(0..).all(|(write, number)| write.number == number));
    assert!(traffic.writes.iter().all(|write| write.ended_at >= write.sent_at));
    assert_eq!(traffic.writes[0].address, Some([127, 0, 0, 1].into()));
    assert_eq!(traffic.outage(), None);
    let mut written = tickets.lock().unwrap().1.clone();
    written.sort();
    assert_eq!(traffic.acknowledged_ids(), written);
    // A name that is good for a minute is asked for once, but for lookups that overlap.
    assert!(zone.asked.load(Ordering::SeqCst) < 10);
    assert_eq!(traffic.answers.len(), 1);

    let mut ids = traffic.acknowledged_ids();
    ids.push("never-written".into());
    let missing = missing_at(at, &ids).await.unwrap();
    assert_eq!(missing, ["never-written".to_owned()].into());
    let loss = traffic.loss(&missing, traffic.writes[20].sent_at);
    assert_eq!(loss.window_ms, 0);
}

#[tokio::test]
async fn more_ids_than_fit_in_one_question_are_all_asked_for() {
    let (_, at) = app([127, 0, 0, 1], 0).await;
    let ids: Vec<String> = (0..11_000).map(|n| format!("id-{n}")).collect();
    assert_eq!(missing_at(at, &ids).await.unwrap().len(), 11_000);
}

#[tokio::test]
async fn nothing_is_known_of_writes_at_a_site_that_does_not_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let error = missing_at(at, &["a".into()]).await.unwrap_err().to_string();
    assert!(error.contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn clients_follow_the_name_when_its_ttl_ends_and_the_outage_is_measured() {
    let zone = Arc::new(Zone::default());
    zone.answer(Some([127, 0, 0, 31]));
    zone.ttl.store(1, Ordering::SeqCst);
    let (first, at) = app([127, 0, 0, 31], 0).await;
    let (second, _) = app([127, 0, 0, 32], at.port()).await;
    let client = Client::start(config(zone.serve().await, at.port())).unwrap();
    assert!(client.wait_for(LIMIT, |writes| last_acknowledged(writes, 10)).await);

    first.lock().unwrap().0 = Mood::Refuses;
    let failing = |writes: &[Write]| writes.iter().filter(|write| !write.acknowledged).count() >= 5;
    assert!(client.wait_for(LIMIT, failing).await);
    zone.answer(Some([127, 0, 0, 32]));
    assert!(client.wait_for(LIMIT, |writes| last_acknowledged(writes, 2 * SUSTAINED)).await);
    let traffic = client.stop().await;

    let outage = traffic.outage().unwrap();
    let first_failure = traffic.writes.iter().find(|write| !write.acknowledged).unwrap();
    assert_eq!(outage.from, first_failure.sent_at);
    assert_eq!(first_failure.failure.as_deref(), Some("HTTP 503: this site is the standby"));
    let served: Vec<&Write> = traffic
        .writes
        .iter()
        .filter(|write| write.acknowledged && write.ended_at >= outage.until)
        .collect();
    assert_eq!(served.len(), traffic.acknowledged_since(outage.until));
    assert!(served.iter().all(|write| write.address == Some([127, 0, 0, 32].into())));
    assert_eq!(second.lock().unwrap().1.len(), served.len());
    let seen: Vec<IpAddr> =
        traffic.answers.iter().flat_map(|seen| seen.addresses.clone()).collect();
    assert_eq!(seen, [IpAddr::from([127, 0, 0, 31]), IpAddr::from([127, 0, 0, 32])]);
    // The old answer was used until its second was over, and not asked for again before.
    assert!(zone.asked.load(Ordering::SeqCst) < traffic.writes.len());
}

#[tokio::test]
async fn a_site_that_hangs_costs_its_own_writes_and_not_the_cadence() {
    let zone = Arc::new(Zone::default());
    zone.answer(Some([127, 0, 0, 1]));
    zone.ttl.store(60, Ordering::SeqCst);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            held.push(stream);
        }
    });
    let client = Client::start(config(zone.serve().await, port)).unwrap();
    assert!(client.wait_for(LIMIT, |writes| writes.len() >= 10).await);
    let traffic = client.stop().await;
    let writes = &traffic.writes;
    assert!(writes.iter().all(|write| write.failure.as_deref() == Some("no answer within 400 ms")));
    // Twenty are sent in the time that one takes to fail; half of that holds on a busy machine.
    let during_first = writes.iter().filter(|write| write.sent_at < writes[0].ended_at).count();
    assert!(during_first >= 10, "{during_first}");
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_is_a_failed_write() {
    let zone = Arc::new(Zone::default());
    let (_, at) = app([127, 0, 0, 1], 0).await;
    let client = Client::start(config(zone.serve().await, at.port())).unwrap();
    assert!(client.wait_for(LIMIT, |writes| writes.len() >= 3).await);
    zone.answer(Some([127, 0, 0, 1]));
    assert!(client.wait_for(LIMIT, |writes| last_acknowledged(writes, 3)).await);
    // The TTL is 0: each write asks, and the first that cannot fails.
    zone.answer(None);
    assert!(
        client.wait_for(LIMIT, |writes| writes.last().is_some_and(|last| !last.acknowledged)).await
    );
    let traffic = client.stop().await;
    let failed = traffic.writes.iter().find(|write| !write.acknowledged).unwrap();
    assert_eq!(failed.address, None);
    assert!(failed.failure.as_ref().unwrap().starts_with("DNS: it answers"), "{failed:?}");
    let answered: Vec<bool> =
        traffic.answers.iter().map(|seen| !seen.addresses.is_empty()).collect();
    assert_eq!(answered, [false, true, false]);
}

#[tokio::test]
async fn an_answer_with_another_id_acknowledges_nothing() {
    let zone = Arc::new(Zone::default());
    zone.answer(Some([127, 0, 0, 1]));
    let (tickets, at) = app([127, 0, 0, 1], 0).await;
    tickets.lock().unwrap().0 = Mood::AnswersAnother;
    let client = Client::start(config(zone.serve().await, at.port())).unwrap();
    assert!(client.wait_for(LIMIT, |writes| !writes.is_empty()).await);
    let traffic = client.stop().await;
    assert!(traffic.acknowledged().is_empty());
    let failure = traffic.writes[0].failure.as_deref();
    assert_eq!(failure, Some("acknowledges another id: someone-else"));
}

#[tokio::test]
async fn a_wait_that_is_never_satisfied_ends() {
    let zone = Arc::new(Zone::default());
    let client = Client::start(config(zone.serve().await, 9)).unwrap();
    assert!(!client.wait_for(Duration::from_millis(50), |_| false).await);
    let no_rate = ClientConfig { writes_per_second: 0, ..config(([127, 0, 0, 1], 9).into(), 9) };
    assert!(matches!(Client::start(no_rate), Err(ClientError::NoRate)));
}
