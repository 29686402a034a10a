//! Link states, on new connections and on open ones.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lifeboat_lab_gateway::links::{
    self, LinkConfig, LinkState, LinkStatus, LinksConfig, LinksHandle,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::{HttpRequest, SILENCE, any_port, assert_reset, bounded, closed_port, until};

const NAME: &str = "us-west-2->a";

/// A server that sends back what it gets.
struct Echo {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind(any_port()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                open.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                    let _ = to.shutdown().await;
                });
            }
        });
        Self { address, _tasks: tasks }
    }
}

async fn link_to(target: SocketAddr) -> (LinksHandle, SocketAddr) {
    let config = LinksConfig {
        admin: Some(any_port()),
        links: vec![LinkConfig { name: NAME.into(), listen: any_port(), target }],
    };
    let handle = links::start(config).await.unwrap();
    let address = handle.links().get(NAME).unwrap().listen;
    (handle, address)
}

async fn exchange(stream: &mut TcpStream, text: &str) -> io::Result<String> {
    stream.write_all(text.as_bytes()).await?;
    let mut back = vec![0; text.len()];
    bounded(stream.read_exact(&mut back)).await?;
    Ok(String::from_utf8(back).unwrap())
}

async fn is_silent(stream: &mut TcpStream) -> bool {
    tokio::time::timeout(SILENCE, stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn up_forwards_and_ends_in_order() {
    let echo = Echo::start().await;
    let (handle, address) = link_to(echo.address).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(exchange(&mut stream, "hello").await.unwrap(), "hello");
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let (mut from, mut to) = stream.split();
    let mut received = Vec::new();
    let send = async {
        to.write_all(&sent).await?;
        to.shutdown().await
    };
    bounded(async { tokio::try_join!(send, from.read_to_end(&mut received)) }).await.unwrap();
    assert!(received == sent, "the bytes differ");
    until("the connection is gone", || handle.links().get(NAME).unwrap().open == 0).await;
}

#[tokio::test]
async fn cut_resets_open_and_new_connections() {
    let echo = Echo::start().await;
    let (handle, address) = link_to(echo.address).await;
    let mut open = TcpStream::connect(address).await.unwrap();
    exchange(&mut open, "x").await.unwrap();
    handle.links().set(NAME, LinkState::Cut).unwrap();
    assert_reset(&bounded(open.read_u8()).await);
    let new = async { TcpStream::connect(address).await?.read_u8().await };
    assert_reset(&bounded(new).await);
    handle.links().set(NAME, LinkState::Up).unwrap();
    let mut again = TcpStream::connect(address).await.unwrap();
    assert_eq!(exchange(&mut again, "back").await.unwrap(), "back");
}

#[tokio::test]
async fn hang_freezes_and_resumes_open_and_new_connections() {
    let echo = Echo::start().await;
    let (handle, address) = link_to(echo.address).await;
    let mut open = TcpStream::connect(address).await.unwrap();
    exchange(&mut open, "x").await.unwrap();
    handle.links().set(NAME, LinkState::Hang).unwrap();
    let mut new = TcpStream::connect(address).await.unwrap();
    for stream in [&mut open, &mut new] {
        stream.write_all(b"late").await.unwrap();
        assert!(is_silent(stream).await);
    }
    handle.links().set(NAME, LinkState::Up).unwrap();
    for stream in [&mut open, &mut new] {
        let mut back = [0; 4];
        bounded(stream.read_exact(&mut back)).await.unwrap();
        assert_eq!(&back, b"late");
    }
}

#[tokio::test]
async fn delay_holds_each_direction() {
    let echo = Echo::start().await;
    let (handle, address) = link_to(echo.address).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    handle.links().set(NAME, LinkState::Delay { ms: 60 }).unwrap();
    let started = Instant::now();
    assert_eq!(exchange(&mut stream, "there and back").await.unwrap(), "there and back");
    assert!(started.elapsed() >= Duration::from_millis(120), "{:?}", started.elapsed());
    handle.links().set(NAME, LinkState::Up).unwrap();
    assert_eq!(exchange(&mut stream, "fast").await.unwrap(), "fast");
}

#[tokio::test]
async fn a_stalled_direction_holds_bytes_in_order_and_the_other_passes() {
    let server = TcpListener::bind(any_port()).await.unwrap();
    let (handle, address) = link_to(server.local_addr().unwrap()).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let (mut target, _) = bounded(server.accept()).await.unwrap();
    handle.links().set(NAME, LinkState::StallAnswers).unwrap();
    target.write_all(b"wal-1").await.unwrap();
    client.write_all(b"status").await.unwrap();
    let mut status = [0; 6];
    bounded(target.read_exact(&mut status)).await.unwrap();
    assert!(is_silent(&mut client).await);
    target.write_all(b"wal-2").await.unwrap();
    handle.links().set(NAME, LinkState::Up).unwrap();
    let mut wal = [0; 10];
    bounded(client.read_exact(&mut wal)).await.unwrap();
    assert_eq!(&wal, b"wal-1wal-2");

    handle.links().set(NAME, LinkState::StallRequests).unwrap();
    client.write_all(b"x").await.unwrap();
    target.write_all(b"y").await.unwrap();
    assert_eq!(bounded(client.read_u8()).await.unwrap(), b'y');
    assert!(is_silent(&mut target).await);
}

#[tokio::test]
async fn no_byte_is_lost_or_moved_by_changes_of_state() {
    let echo = Echo::start().await;
    let (handle, address) = link_to(echo.address).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let sent: Vec<u8> =
        (0..20_000_000_u32).map(|n| (n ^ (n >> 8) ^ (n >> 16)).to_le_bytes()[0]).collect();
    let (mut from, mut to) = stream.split();
    let mut received = Vec::new();
    let send = async {
        to.write_all(&sent).await?;
        to.shutdown().await
    };
    let transfer = async { tokio::try_join!(send, from.read_to_end(&mut received)) };
    let states = [
        LinkState::Hang,
        LinkState::Up,
        LinkState::StallAnswers,
        LinkState::Delay { ms: 3 },
        LinkState::StallRequests,
        LinkState::Up,
        LinkState::Delay { ms: 1 },
    ];
    let change = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(2));
        for state in states.iter().cycle() {
            ticks.tick().await;
            handle.links().set(NAME, *state).unwrap();
        }
    };
    bounded(async {
        tokio::select! {
            done = transfer => assert_eq!(done.unwrap().1, 20_000_000),
            () = change => {}
        }
    })
    .await;
    assert!(received == sent, "the bytes differ");
}

#[tokio::test]
async fn a_target_that_refuses_is_seen_at_once() {
    let (_reserved, closed) = closed_port();
    let (_handle, address) = link_to(closed).await;
    let refused = async { TcpStream::connect(address).await?.read_u8().await };
    assert_reset(&bounded(refused).await);
}

#[tokio::test]
async fn a_target_that_breaks_is_a_reset_for_the_client() {
    let server = TcpListener::bind(any_port()).await.unwrap();
    let (_handle, address) = link_to(server.local_addr().unwrap()).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let (target, _) = bounded(server.accept()).await.unwrap();
    target.set_zero_linger().unwrap();
    drop(target);
    assert_reset(&bounded(client.read_u8()).await);
}

#[tokio::test]
async fn links_are_set_by_prefix_and_over_http() {
    let echo = Echo::start().await;
    let link =
        |name: &str| LinkConfig { name: name.into(), listen: any_port(), target: echo.address };
    let links = vec![link("us-west-2->a:app"), link("us-west-2->a:db"), link("us-east-1->b:app")];
    let handle = links::start(LinksConfig { admin: Some(any_port()), links }).await.unwrap();
    assert_eq!(handle.links().set_prefix("us-west-2", LinkState::Cut).len(), 2);
    let states: Vec<LinkState> = handle.links().list().iter().map(|link| link.state).collect();
    assert_eq!(states, [LinkState::Up, LinkState::Cut, LinkState::Cut]);

    let admin = handle.admin_address().unwrap();
    let send = async |method: &str, path: &str, body: &str| {
        let request = HttpRequest::new(method, path)
            .header("content-type", "application/json")
            .with_body(body.as_bytes());
        bounded(request.send(admin)).await.unwrap()
    };
    let name = "us-west-2-%3Ea:db";
    assert_eq!(
        send("PUT", &format!("/links/{name}"), r#"{"state":"delay","ms":5}"#).await.status,
        204
    );
    let status = send("GET", &format!("/links/{name}"), "").await.json();
    assert_eq!(
        (&status["state"], &status["ms"], &status["name"]),
        (&"delay".into(), &5.into(), &"us-west-2->a:db".into())
    );
    assert_eq!(
        send("PUT", "/links?prefix=us-", r#"{"state":"up"}"#).await.json()["links"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let all: Vec<LinkStatus> =
        serde_json::from_value(send("GET", "/links", "").await.json()).unwrap();
    assert_eq!(all, handle.links().list());
    assert_eq!(send("GET", "/links", "").await.json()[1]["state"], "up");
    assert_eq!(send("PUT", "/links/nowhere", r#"{"state":"up"}"#).await.status, 404);
    assert_eq!(send("PUT", "/links?prefix=eu", r#"{"state":"up"}"#).await.status, 404);
}

#[tokio::test]
async fn a_taken_address_is_named_and_a_stopped_link_frees_it() {
    let echo = Echo::start().await;
    let (handle, address) = link_to(echo.address).await;
    let again = || LinksConfig {
        admin: None,
        links: vec![LinkConfig { name: "again".into(), listen: address, target: echo.address }],
    };
    let error = links::start(again()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("link again cannot listen on {address}: the address is in use"))
    );
    let mut open = TcpStream::connect(address).await.unwrap();
    exchange(&mut open, "x").await.unwrap();
    bounded(handle.stop()).await;
    assert_reset(&bounded(open.read_u8()).await);
    links::start(again()).await.unwrap().stop().await;
}
