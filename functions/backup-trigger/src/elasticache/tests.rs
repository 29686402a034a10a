//! The adapter against an ElastiCache that gives one answer to everything.

use aws_sdk_elasticache::config::{BehaviorVersion, Credentials, SharedCredentialsProvider};
use lifeboat_core::ErrorName::{self, NeedsHuman, NotReady, Transient};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

async fn service(status: u16, body: String) -> ElastiCache {
    let listener = TcpListener::bind("127.0.94.3:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // All of it: what is left unread when a connection ends breaks the answer off.
            let mut request = String::new();
            while !is_whole(&request) {
                let mut part = [0; 4096];
                let len = stream.read(&mut part).await.unwrap();
                request.push_str(std::str::from_utf8(&part[..len]).unwrap());
            }
            let head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: ");
            let answer = format!("{head}{}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let key = Credentials::new("key", "secret", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(aws_config::Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(key))
        .endpoint_url(endpoint)
        .build();
    ElastiCache::new(&config, "exports".to_owned(), &"us-east-1".parse().unwrap())
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    body.len() == length.parse::<usize>().unwrap()
}

/// One that refuses, in the query protocol.
async fn refusing(code: &str, message: &str) -> ElastiCache {
    let error = format!("<Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>");
    let body =
        format!("<ErrorResponse><Error>{error}</Error><RequestId>1</RequestId></ErrorResponse>");
    service(400, body).await
}

fn name(answer: Result<(), Fault>) -> Result<(), ErrorName> {
    answer.map_err(|fault| fault.name)
}

#[tokio::test]
async fn each_refusal_says_what_happens_next() {
    // Codes as the API's model gives them: some with, some without the suffix of the error's name.
    let taken = [
        ("SnapshotAlreadyExistsFault", Ok(())),
        ("InvalidReplicationGroupState", Err(NotReady)),
        ("ReplicationGroupNotFoundFault", Err(NeedsHuman)),
        ("SnapshotFeatureNotSupportedFault", Err(NeedsHuman)),
        ("SnapshotQuotaExceededFault", Err(NeedsHuman)),
        ("Throttling", Err(Transient)),
    ];
    for (code, wanted) in taken {
        let answer = refusing(code, "so it is").await.take("group", "name", &[]).await;
        assert_eq!(name(answer), wanted, "{code}");
    }
    let taken = "The S3 bucket exports already contains an object with key name-0001.rdb.";
    let closed = "ElastiCache has not been granted WRITE permissions on the S3 Bucket.";
    let exported = [
        ("InvalidSnapshotState", "copying", Ok(())),
        ("InvalidParameterValue", taken, Ok(())),
        ("InvalidParameterValue", closed, Err(NeedsHuman)),
        ("SnapshotNotFoundFault", "gone", Err(NeedsHuman)),
    ];
    for (code, message, wanted) in exported {
        let answer = refusing(code, message).await.export("name").await;
        assert_eq!(name(answer), wanted, "{code}: {message}");
    }
    let deleted = [
        ("SnapshotNotFoundFault", Ok(())),
        ("InvalidSnapshotState", Err(NotReady)),
        ("AccessDenied", Err(NeedsHuman)),
    ];
    for (code, wanted) in deleted {
        assert_eq!(name(refusing(code, "").await.forget("name").await), wanted, "{code}");
    }
}

#[tokio::test]
async fn what_elasticache_lists_is_read() {
    let snapshot = |name: &str, status: &str, groups: &str| {
        let name = format!("<SnapshotName>{name}</SnapshotName>");
        format!("<Snapshot>{name}<SnapshotStatus>{status}</SnapshotStatus>{groups}</Snapshot>")
    };
    let three = "<NumNodeGroups>3</NumNodeGroups>";
    let all = [
        snapshot("one", "available", ""),
        snapshot("three", "available", three),
        snapshot("under-way", "copying", ""),
        snapshot("going", "deleting", ""),
    ];
    let result = format!("<Snapshots>{}</Snapshots>", all.concat());
    let body = format!(
        "<DescribeSnapshotsResponse><DescribeSnapshotsResult>{result}</DescribeSnapshotsResult>\
         </DescribeSnapshotsResponse>"
    );
    let found = service(200, body).await.of_group("group").await.unwrap();
    let found: Vec<_> =
        found.into_iter().map(|found| (found.name, found.status, found.node_groups)).collect();
    let wanted = [
        ("one", SnapshotStatus::Available, 1),
        ("three", SnapshotStatus::Available, 3),
        ("under-way", SnapshotStatus::Creating("copying".into()), 1),
        ("going", SnapshotStatus::Failed("deleting".into()), 1),
    ];
    assert_eq!(found, wanted.map(|(name, status, groups)| (name.to_owned(), status, groups)));
}
