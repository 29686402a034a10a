//! The adapter against a server that answers by script: what it sends, and how it reads S3's
//! answers.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use aws_config::BehaviorVersion;
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use lifeboat_core::ErrorName;

use super::*;

/// A server that gives these answers (status, headers, body) in order, and tells what it was asked:
/// the request line and headers in lower case, then the body.
fn serve(script: Vec<(u16, &'static str, &'static str)>) -> (S3Bucket, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (asked, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for (status, headers, body) in script {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let request = read_request(&mut stream);
            let length = if request.starts_with("head ") { 0 } else { body.len() };
            let _ = asked.send(request);
            let length = if headers.contains("content-length") {
                String::new()
            } else {
                format!("content-length: {length}\r\n")
            };
            let _ = write!(
                stream,
                "HTTP/1.1 {status} X\r\n{length}connection: close\r\n{headers}\r\n{body}"
            );
        }
    });
    let credentials = Credentials::new("id", "secret", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .build();
    let bucket = "lifeboat-backups-123456789012-us-west-2";
    (S3Bucket::new(&config, bucket.into(), &"us-west-2".parse().unwrap()), requests)
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
    head + &String::from_utf8_lossy(&body)
}

#[tokio::test]
async fn a_page_is_read_with_its_times_sizes_and_whether_there_is_more() {
    let (bucket, requests) = serve(vec![(
        200,
        "",
        "<ListBucketResult><IsTruncated>true</IsTruncated><Contents>\
         <Key>manifests/queue/config/20261124T120000Z-full.json</Key>\
         <LastModified>2026-11-24T12:00:01.000Z</LastModified><Size>812</Size>\
         </Contents></ListBucketResult>",
    )]);
    let page = bucket.list("manifests/queue/", Some("manifests/queue/c")).await.unwrap();
    assert!(page.more);
    assert_eq!(
        page.objects,
        [Object {
            key: "manifests/queue/config/20261124T120000Z-full.json".into(),
            modified: "2026-11-24T12:00:01Z".parse().unwrap(),
            size_bytes: 812
        }]
    );
    let request = requests.recv().unwrap();
    assert!(request.contains("start-after=manifests%2fqueue%2fc"), "{request}");
    assert!(request.contains("prefix=manifests%2fqueue%2f"), "{request}");
    assert!(request.contains("\nx-amz-expected-bucket-owner: 123456789012\r"), "{request}");
}

#[tokio::test]
async fn a_missing_object_is_none_and_every_other_failure_a_fault() {
    let missing = "<Error><Code>NoSuchKey</Code></Error>";
    let (bucket, _requests) = serve(vec![(404, "", missing), (404, "", "")]);
    assert_eq!(bucket.get("a").await, Ok(None));
    assert_eq!(bucket.head("a").await, Ok(None));
    let denied = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
    let (bucket, _requests) = serve(vec![(403, "", denied), (403, "", "")]);
    assert_eq!(bucket.get("a").await.unwrap_err().name, ErrorName::NeedsHuman);
    assert_eq!(bucket.head("a").await.unwrap_err().name, ErrorName::NeedsHuman);
}

#[tokio::test]
async fn a_checksum_counts_only_when_it_is_over_the_whole_object() {
    // SHA-256 of nothing.
    let whole = "content-length: 0\r\netag: \"1\"\r\nx-amz-checksum-type: FULL_OBJECT\r\n\
                 x-amz-checksum-sha256: 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\r\n";
    let parts = "content-length: 5\r\netag: \"1-2\"\r\nx-amz-checksum-type: COMPOSITE\r\n\
                 x-amz-checksum-sha256: 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=-2\r\n";
    let (bucket, requests) = serve(vec![(200, whole, ""), (200, parts, "")]);
    let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(bucket.head("a").await.unwrap().unwrap().sha256.as_deref(), Some(sum));
    assert!(requests.recv().unwrap().contains("x-amz-checksum-mode: enabled"));
    let head = bucket.head("a").await.unwrap().unwrap();
    assert_eq!((head.size_bytes, head.sha256), (5, None));
}

#[tokio::test]
async fn a_range_is_whole_or_a_fault() {
    let (bucket, requests) = serve(vec![
        (206, "content-range: bytes 4-7/9\r\n", "abc"),
        (206, "content-range: bytes 4-7/9\r\n", "abcd"),
    ]);
    assert_eq!(bucket.range("a", "\"1\"", 4, 4).await.unwrap().as_ref(), b"abcd");
    let request = requests.recv().unwrap();
    assert!(request.contains("range: bytes=4-7"), "{request}");
    assert!(request.contains("if-match: \"1\""), "{request}");
    let gone = "<Error><Code>PreconditionFailed</Code></Error>";
    let (bucket, _requests) = serve(vec![(412, "", gone)]);
    let fault = bucket.range("a", "\"1\"", 4, 4).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Transient);
    assert!(fault.message.contains("changed while it was read"), "{fault}");
    assert_eq!(bucket.range("a", "\"1\"", 4, 0).await.unwrap().len(), 0);
}

#[tokio::test]
async fn versions_and_marks_are_listed_and_deleted_by_their_ids() {
    let listing = "<ListVersionsResult><IsTruncated>true</IsTruncated>\
         <NextKeyMarker>b</NextKeyMarker><NextVersionIdMarker>3</NextVersionIdMarker>\
         <Version><Key>a</Key><VersionId>1</VersionId><Size>7</Size></Version>\
         <DeleteMarker><Key>a</Key><VersionId>2</VersionId></DeleteMarker></ListVersionsResult>";
    let deleted = "<DeleteResult>\
         <Error><Key>a</Key><VersionId>1</VersionId><Code>AccessDenied</Code>\
         <Message>protected by object lock</Message></Error>\
         <Error><Key>b</Key><VersionId>1</VersionId><Code>InternalError</Code></Error>\
         <Error><Key>c</Key><VersionId>1</VersionId><Code>NoSuchVersion</Code></Error>\
         </DeleteResult>";
    let (bucket, requests) = serve(vec![(200, "", listing), (200, "", deleted)]);
    let after = Marker { key: "0".into(), version: Some("9".into()) };
    let page = bucket.versions("a", Some(&after)).await.unwrap();
    assert_eq!(page.next, Some(Marker { key: "b".into(), version: Some("3".into()) }));
    let seen: Vec<_> =
        page.versions.iter().map(|v| (v.id.as_str(), v.size_bytes, v.is_delete_marker)).collect();
    assert_eq!(seen, [("1", 7, false), ("2", 0, true)]);
    let request = requests.recv().unwrap();
    assert!(request.contains("key-marker=0") && request.contains("version-id-marker=9"));

    let left = bucket.delete(&page.versions).await.unwrap();
    let left: Vec<_> = left.iter().map(|one| (one.key.as_str(), one.obstacle)).collect();
    assert_eq!(left, [("a", Obstacle::Locked), ("b", Obstacle::Other)]);
    let request = requests.recv().unwrap();
    assert!(request.contains("<VersionId>1</VersionId>"), "{request}");
    // Object lock asks for a checksum of the request.
    assert!(request.contains("x-amz-checksum-"), "{request}");
}

#[tokio::test]
async fn lifting_the_hold_of_what_is_gone_is_done_already() {
    let gone = "<Error><Code>NoSuchKey</Code></Error>";
    let (bucket, requests) = serve(vec![(200, "", ""), (404, "", gone), (404, "", gone)]);
    bucket.hold("a", true).await.unwrap();
    assert!(requests.recv().unwrap().contains("<Status>ON</Status>"));
    bucket.hold("a", false).await.unwrap();
    assert_eq!(bucket.hold("a", true).await.unwrap_err().name, ErrorName::InvalidInput);
}

#[tokio::test]
async fn a_shared_object_is_written_while_it_is_the_one_that_was_read() {
    let refused = "<Error><Code>PreconditionFailed</Code></Error>";
    let (bucket, requests) = serve(vec![
        (200, "etag: \"1\"\r\n", "{}"),
        (200, "etag: \"2\"\r\n", ""),
        (412, "", refused),
    ]);
    assert_eq!(bucket.look("a").await, Ok(Some((b"{}".to_vec(), "\"1\"".into()))));
    drop(requests.recv().unwrap());
    assert_eq!(bucket.replace("a", Some("\"1\""), vec![]).await, Ok(Some("\"2\"".into())));
    assert!(requests.recv().unwrap().contains("\nif-match: \"1\"\r"));
    assert_eq!(bucket.replace("a", None, vec![]).await, Ok(None));
    assert!(requests.recv().unwrap().contains("\nif-none-match: *\r"));
}
