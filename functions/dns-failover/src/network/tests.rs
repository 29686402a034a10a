//! Against servers on the loopback interface.

use hickory_proto::rr::{Record, rdata};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// A resolver that answers one question with what `answer` makes of it, packet by packet.
async fn resolver(answer: impl Fn(Message) -> Vec<Message> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; LARGEST_ANSWER];
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        let question = Message::from_vec(&buffer[..length]).unwrap();
        assert!(question.metadata.recursion_desired);
        for packet in answer(question) {
            socket.send_to(&packet.to_vec().unwrap(), client).await.unwrap();
        }
    });
    address
}

fn reply(question: &Message, addresses: &[[u8; 4]]) -> Message {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.add_query(question.queries[0].clone());
    for address in addresses {
        let data = RData::A(rdata::A(Ipv4Addr::from(*address)));
        answer.add_answer(Record::from_rdata(question.queries[0].name.clone(), 5, data));
    }
    answer
}

#[tokio::test]
async fn a_resolver_is_asked_for_the_fully_qualified_name() {
    let at = resolver(|question| {
        assert_eq!(question.queries[0].name.to_ascii(), "queue.example.test.");
        assert_eq!(question.queries[0].query_type, RecordType::A);
        vec![reply(&question, &[[127, 0, 2, 10]])]
    })
    .await;
    let answer = query(at, "queue.example.test", RecordKind::A).await.unwrap();
    assert_eq!(answer, [IpAddr::from([127, 0, 2, 10])]);
}

#[tokio::test]
async fn an_answer_to_another_question_is_passed_over() {
    let at = resolver(|question| {
        let mut stray = reply(&question, &[[127, 0, 1, 10]]);
        stray.metadata.id = stray.metadata.id.wrapping_add(1);
        vec![stray, reply(&question, &[[127, 0, 2, 10]])]
    })
    .await;
    let answer = query(at, "queue.example.test", RecordKind::A).await.unwrap();
    assert_eq!(answer, [IpAddr::from([127, 0, 2, 10])]);
}

#[tokio::test]
async fn an_error_of_the_resolver_is_told_in_words() {
    let at = resolver(|question| {
        let mut answer = reply(&question, &[]);
        answer.metadata.response_code = ResponseCode::ServFail;
        vec![answer]
    })
    .await;
    let reason = query(at, "queue.example.test", RecordKind::A).await.unwrap_err();
    assert!(reason.contains("Server Failure"), "{reason}");
}

/// An HTTP server that answers one request with this status line.
async fn server(status: &'static str) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let length = stream.read(&mut request).await.unwrap();
        assert!(request[..length].starts_with(b"GET /health"));
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    url
}

#[tokio::test]
async fn only_http_200_is_health() {
    let client = http().unwrap();
    assert_eq!(get(&client, &server("200 OK").await).await, Ok("HTTP 200".to_owned()));
    for (status, seen) in [
        ("503 Service Unavailable", "HTTP 503"),
        ("204 No Content", "HTTP 204"),
        ("302 Found\r\nLocation: http://127.0.0.1:1/", "HTTP 302"),
    ] {
        assert_eq!(get(&client, &server(status).await).await, Err(seen.to_owned()));
    }
}

#[tokio::test]
async fn a_refused_connection_is_told_without_the_url() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(get(&http().unwrap(), &url).await, Err("no connection".to_owned()));
}
