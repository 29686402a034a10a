//! The adapter against a server that answers by script: what it sends, and how it reads S3's
//! answers.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use aws_config::BehaviorVersion;
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use lifeboat_core::ErrorName;

use super::*;

/// One answer of the script.
enum Answer {
    /// A status, headers and a body.
    Http(u16, &'static str, String),
    /// The connection ends without an answer.
    Lost,
    /// Nothing, until the client gives up.
    Hang,
}

/// A server that gives these answers in order, and tells what it was asked: the request line and
/// the headers, in lower case.
fn serve(script: Vec<Answer>) -> (S3Store, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (asked, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for answer in VecDeque::from(script) {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let _ = asked.send(read_request(&mut stream));
            match answer {
                Answer::Http(status, headers, body) => {
                    let length = body.len();
                    let _ = write!(
                        stream,
                        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\
                         connection: close\r\n{headers}\r\n{body}"
                    );
                }
                Answer::Lost => drop(stream),
                // The client hangs up when its time is over.
                Answer::Hang => drop(stream.read(&mut [0])),
            }
        }
    });
    let credentials = Credentials::new("id", "secret", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .build();
    let config = aws::with_limits(&config, Duration::from_secs(2), Duration::from_secs(5), 3);
    (S3Store::new(&config, "us-west-2".parse().unwrap()), requests)
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) <= 2 {
            break;
        }
        let line = line.to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    head
}

fn bucket(region: &str) -> Bucket {
    Bucket {
        region: region.parse().unwrap(),
        name: format!("lifeboat-ledger-123456789012-{region}"),
    }
}

fn refusal(status: u16, code: &str) -> Answer {
    let body = format!("<Error><Code>{code}</Code><Message>because</Message></Error>");
    Answer::Http(status, "", body)
}

fn written(etag: &'static str) -> Answer {
    Answer::Http(200, etag, String::new())
}

async fn put(store: &S3Store, condition: Condition) -> Result<Put, Fault> {
    store.put(&bucket("us-west-2"), "control/queue.json", b"{}".to_vec(), &condition).await
}

#[tokio::test]
async fn a_write_carries_its_condition() {
    let (store, requests) = serve(vec![written("etag: \"1\"\r\n"), written("etag: \"2\"\r\n")]);
    let etag = ETag("\"1\"".into());
    assert_eq!(put(&store, Condition::Absent).await, Ok(Put::Written(etag.clone())));
    let request = requests.recv().unwrap();
    assert!(
        request.starts_with("put /lifeboat-ledger-123456789012-us-west-2/control/queue.json"),
        "{request}"
    );
    assert!(request.contains("\nif-none-match: *\r"), "{request}");
    let second = put(&store, Condition::Unchanged(etag)).await;
    assert_eq!(second, Ok(Put::Written(ETag("\"2\"".into()))));
    let request = requests.recv().unwrap();
    assert!(request.contains("\nif-match: \"1\"\r"), "{request}");
}

#[tokio::test]
async fn every_request_says_whose_bucket_it_means() {
    let list = || Answer::Http(200, "", "<ListBucketResult/>".into());
    let (store, requests) = serve(vec![written(""), refusal(404, "NoSuchKey"), list()]);
    put(&store, Condition::Absent).await.unwrap();
    store.get(&bucket("us-east-1"), "control/queue.json").await.unwrap();
    store.list(&bucket("us-west-2"), "log/").await.unwrap();
    for _ in 0..3 {
        let request = requests.recv().unwrap();
        assert!(request.contains("\nx-amz-expected-bucket-owner: 123456789012\r"), "{request}");
        // Unsigned, it could be taken off on the way.
        assert!(request.contains("x-amz-expected-bucket-owner;"), "{request}");
    }
}

#[tokio::test]
async fn a_bucket_without_an_account_in_its_name_is_never_asked() {
    let (store, requests) = serve(vec![written("")]);
    let squatted = Bucket { region: "us-west-2".parse().unwrap(), name: "ledger".into() };
    let fault = store.get(&squatted, "control/queue.json").await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman);
    assert!(fault.message.contains("bucket ledger has no account in its name"), "{fault}");
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn a_condition_that_does_not_hold_is_an_answer_and_not_a_failure() {
    for (status, code) in [(412, "PreconditionFailed"), (404, "NoSuchKey")] {
        let (store, _requests) = serve(vec![refusal(status, code)]);
        let answer = put(&store, Condition::Unchanged(ETag("\"1\"".into()))).await;
        assert_eq!(answer, Ok(Put::Refused), "{code}");
    }
    let (store, _requests) = serve(vec![refusal(409, "ConditionalRequestConflict")]);
    assert_eq!(put(&store, Condition::Absent).await.unwrap_err().name, ErrorName::Transient);
    let (store, _requests) = serve(vec![refusal(403, "AccessDenied")]);
    let fault = put(&store, Condition::Absent).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman);
    assert_eq!(
        fault.message,
        "write s3://lifeboat-ledger-123456789012-us-west-2/control/queue.json failed: AccessDenied: because"
    );
}

#[tokio::test]
async fn the_client_tries_again_and_may_meet_its_own_first_attempt() {
    let (store, _requests) = serve(vec![refusal(503, "SlowDown"), written("etag: \"1\"\r\n")]);
    assert_eq!(put(&store, Condition::Absent).await, Ok(Put::Written(ETag("\"1\"".into()))));
    let (store, _requests) = serve(vec![Answer::Lost, refusal(412, "PreconditionFailed")]);
    assert_eq!(put(&store, Condition::Absent).await, Ok(Put::Refused));
}

#[tokio::test]
async fn an_object_that_is_not_there_is_none_and_a_bucket_is_a_fault() {
    let read = async |answer| {
        let (store, _requests) = serve(vec![answer]);
        store.get(&bucket("us-west-2"), "control/queue.json").await
    };
    let object = Object { body: b"{}".to_vec(), etag: ETag("\"7\"".into()) };
    assert_eq!(read(Answer::Http(200, "etag: \"7\"\r\n", "{}".into())).await, Ok(Some(object)));
    assert_eq!(read(refusal(404, "NoSuchKey")).await, Ok(None));
    for (status, code) in [(404, "NoSuchBucket"), (403, "AccessDenied")] {
        assert_eq!(read(refusal(status, code)).await.unwrap_err().name, ErrorName::NeedsHuman);
    }
}

#[tokio::test]
async fn a_list_is_read_to_its_last_page() {
    let page = |key: &str, more: &str| {
        let body = format!(
            "<ListBucketResult>{more}<Contents><Key>{key}</Key></Contents></ListBucketResult>"
        );
        Answer::Http(200, "", body)
    };
    let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>next</NextContinuationToken>";
    let (store, requests) = serve(vec![page("log/b", more), page("log/a", "")]);
    let keys = store.list(&bucket("us-west-2"), "log/").await.unwrap();
    assert_eq!(keys, ["log/a", "log/b"]);
    assert!(requests.recv().unwrap().contains("prefix=log%2f"));
    assert!(requests.recv().unwrap().contains("continuation-token=next"));
}

#[tokio::test]
async fn a_peer_that_hangs_is_given_up_after_one_attempt() {
    let (store, _requests) = serve(vec![Answer::Hang]);
    let begun = Instant::now();
    let fault = store.get(&bucket("us-east-1"), "control/queue.json").await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Transient);
    assert!(begun.elapsed() < LONGEST + Duration::from_millis(400), "{fault}");
}

#[tokio::test]
async fn a_store_is_shared_between_tasks() {
    let (store, _requests) = serve(vec![refusal(404, "NoSuchKey"), refusal(404, "NoSuchKey")]);
    let store = Arc::new(store);
    let task = |store: Arc<S3Store>| {
        tokio::spawn(async move { store.get(&bucket("us-west-2"), "control/queue.json").await })
    };
    let (one, two) = tokio::join!(task(Arc::clone(&store)), task(store));
    assert_eq!((one.unwrap(), two.unwrap()), (Ok(None), Ok(None)));
}

/// A region this far away: TCP's handshake and TLS's take three round trips before it hears anything,
/// the request and its answer one more, and S3 its time.
fn far(round_trip: Duration, service: Duration, body: String) -> SdkConfig {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let body = body.clone();
            std::thread::spawn(move || {
                let (_never, silence) = mpsc::channel::<()>();
                let pass = |time: Duration| assert!(silence.recv_timeout(time).is_err());
                pass(3 * round_trip);
                drop(read_request(&mut stream));
                pass(round_trip + service);
                let length = body.len();
                let head = "HTTP/1.1 200 X\r\nconnection: close\r\netag: \"1\"\r\ncontent-length: ";
                let _gave_up = write!(stream, "{head}{length}\r\n\r\n{body}");
            });
        }
    });
    let credentials = Credentials::new("id", "secret", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .build()
}

#[tokio::test]
async fn a_healthy_peer_250_ms_away_is_reachable_and_was_not_within_the_old_limit() {
    let first = lifeboat_core::ledger::ControlRecord::first(
        "queue".parse().unwrap(),
        "a".parse().unwrap(),
        "2026-11-24T12:00:00Z".parse().unwrap(),
    );
    let body = serde_json::to_string(&first).unwrap();
    let config = far(Duration::from_millis(250), Duration::from_millis(100), body);
    let own: Region = "us-west-2".parse().unwrap();
    let peers = vec!["us-east-1".parse().unwrap()];
    let ledger = crate::Ledger::new(&config, "lifeboat-ledger-123456789012".into(), own, peers);
    let silent = async |ledger: &crate::Ledger| ledger.registers(&first.app).await.silent().count();
    assert_eq!(silent(&ledger).await, 0, "a plan that says nothing");
    // 150 ms make 800 ms, what every plan had once.
    let hasty = ledger.over_a_round_trip(RoundTrip::from_ms(150));
    assert_eq!(hasty.peer_deadline(), Duration::from_millis(800));
    assert_eq!(silent(&hasty).await, 2);
}
