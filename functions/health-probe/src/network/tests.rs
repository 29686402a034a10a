//! The checks against servers that say one thing each.

use std::time::Duration;

use lifeboat_core::vote::{CheckKind, Vote};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::Checker;
use crate::ports::{Answer, Probe};

const LIMIT: Duration = Duration::from_millis(300);

/// A server that reads something, answers this to each connection, and hangs when it has no answer.
async fn server(answer: Option<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.93.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut read = [0; 1024];
                let _ = stream.read(&mut read).await;
                match answer {
                    Some(answer) => drop(stream.write_all(&answer).await),
                    None => std::future::pending().await,
                }
            });
        }
    });
    address
}

async fn check(kind: CheckKind, endpoint: String) -> Answer {
    let probe = Probe { kind, endpoint, user: "lifeboat".into(), database: "queue".into() };
    Checker::new().unwrap().check(&probe, LIMIT).await
}

async fn answered(kind: CheckKind, answer: &[u8]) -> (Vote, String) {
    let mut endpoint = server(Some(answer.to_vec())).await;
    if kind == CheckKind::Http {
        endpoint = format!("http://{endpoint}/health");
    }
    let check = check(kind, endpoint).await.check;
    (check.vote, check.detail)
}

#[tokio::test]
async fn silence_and_refusal_are_down_for_every_kind() {
    for kind in [CheckKind::Http, CheckKind::Postgres, CheckKind::Redis] {
        let prefix = if kind == CheckKind::Http { "http://" } else { "" };
        let silent = check(kind, format!("{prefix}{}", server(None).await)).await.check;
        assert_eq!((silent.vote, silent.detail.as_str()), (Vote::Down, "no answer within 300 ms"));
        assert!(silent.elapsed_ms >= 300, "{kind:?}");

        let listener = TcpListener::bind("127.0.93.1:0").await.unwrap();
        let closed = listener.local_addr().unwrap();
        drop(listener);
        let refused = check(kind, format!("{prefix}{closed}")).await.check;
        assert_eq!(refused.vote, Vote::Down);
        assert!(refused.detail.contains("refused"), "{kind:?}: {}", refused.detail);

        let (vote, _) = answered(kind, b"").await;
        assert_eq!(vote, Vote::Down, "{kind:?} closed");
        let (vote, detail) = answered(kind, b"\x00\x01 not this protocol\r\n\r\n").await;
        assert_eq!(vote, Vote::Down, "{kind:?}: {detail}");
    }
}

#[tokio::test]
async fn only_200_is_up() {
    let http =
        |line: &str| format!("HTTP/1.1 {line}\r\nContent-Length: 2\r\nLocation: /\r\n\r\n{{}}");
    let endpoint = server(Some(http("200 OK").into())).await;
    let well = check(CheckKind::Http, format!("http://{endpoint}/health")).await;
    assert_eq!((well.check.vote, well.body.as_deref()), (Vote::Up, Some("{}")));
    for line in ["204 No Content", "302 Found", "500 Internal Server Error", "503 Unavailable"] {
        let (vote, detail) = answered(CheckKind::Http, http(line).as_bytes()).await;
        assert_eq!(vote, Vote::Down, "{line}");
        assert!(detail.contains(&line[..3]), "{detail}");
    }
}

#[tokio::test]
async fn redis_is_up_when_it_answers_ping_or_asks_for_a_password() {
    for answer in ["+PONG\r\n", "-NOAUTH Authentication required.\r\n"] {
        assert_eq!(answered(CheckKind::Redis, answer.as_bytes()).await.0, Vote::Up, "{answer}");
    }
    let loading = b"-LOADING Redis is loading the dataset in memory\r\n";
    let (vote, detail) = answered(CheckKind::Redis, loading).await;
    assert_eq!(vote, Vote::Down);
    assert!(detail.contains("LOADING"), "{detail}");
}

fn error(code: &str, message: &str) -> Vec<u8> {
    let body = format!("SFATAL\0VFATAL\0C{code}\0M{message}\0\0");
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [b"E".as_slice(), &length, body.as_bytes()].concat()
}

#[tokio::test]
async fn postgresql_is_up_when_it_asks_for_a_password_lets_in_or_refuses_the_role() {
    let asks = b"R\0\0\0\x0c\0\0\0\x05salt";
    let lets_in = b"R\0\0\0\x08\0\0\0\0";
    let refuses = error("28000", "no pg_hba.conf entry for host, no encryption");
    for answer in [asks.as_slice(), lets_in, &refuses] {
        assert_eq!(answered(CheckKind::Postgres, answer).await.0, Vote::Up);
    }
}

#[tokio::test]
async fn postgresql_that_is_starting_is_down_and_says_so() {
    let starting = error("57P03", "the database system is starting up");
    let seen = answered(CheckKind::Postgres, &starting).await;
    assert_eq!(seen, (Vote::Down, "the database system is starting up".to_owned()));
}
