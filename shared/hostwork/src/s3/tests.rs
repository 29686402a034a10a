//! An upload's completion, against an S3 that takes its time.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;

use super::*;

const KEY: &str = "artifacts/queue/database-dump/20261124T120000Z-full/a/database.dump.zst";

/// What S3 does with a completion.
#[derive(Debug, Clone, Copy)]
enum Act {
    AnswerAfter(Duration),
    LoseEveryAnswer,
}

#[derive(Debug, Clone)]
struct FakeS3 {
    act: Act,
    /// Which run's object is there when somebody looks.
    run: Option<&'static str>,
    completions: Arc<AtomicUsize>,
}

impl HttpConnector for FakeS3 {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let owner = request.headers().get("x-amz-expected-bucket-owner");
        assert_eq!(owner, Some("123456789012"), "{} {}", request.method(), request.uri());
        let of = |status: u16, text: &'static str| {
            HttpResponse::new(status.try_into().unwrap(), SdkBody::from(text))
        };
        if request.method() == "HEAD" {
            let mut answer = of(if self.run.is_some() { 200 } else { 404 }, "");
            if let Some(run) = self.run {
                answer.headers_mut().insert("x-amz-meta-lifeboat-run", run);
            }
            return HttpConnectorFuture::ready(Ok(answer));
        }
        self.completions.fetch_add(1, Ordering::SeqCst);
        let act = self.act;
        HttpConnectorFuture::new(async move {
            match act {
                Act::AnswerAfter(time) => {
                    let answer = std::future::pending::<()>();
                    assert!(tokio::time::timeout(time, answer).await.is_err());
                    // White space keeps the connection open before the answer.
                    Ok(of(200, "  \n  <CompleteMultipartUploadResult/>"))
                }
                Act::LoseEveryAnswer => Err(ConnectorError::io("a reset".into())),
            }
        })
    }
}

async fn complete(act: Act, run: Option<&'static str>) -> (Result<Put, Fault>, usize) {
    let completions = Arc::new(AtomicUsize::new(0));
    let fake = FakeS3 { act, run, completions: Arc::clone(&completions) };
    let connector = SharedHttpConnector::new(fake);
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "a", "b", None, None, "test",
        )))
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .build();
    let parts = [Part { number: 1, etag: "e".to_owned(), sha256: [0; 32] }];
    let bucket = S3::new(&config, "lifeboat-backups-123456789012-us-east-1");
    let put = bucket.complete(KEY, "upload", &parts, "this run").await;
    (put, completions.load(Ordering::SeqCst))
}

#[tokio::test(start_paused = true)]
async fn a_completion_of_minutes_is_waited_for() {
    let (put, asked) = complete(Act::AnswerAfter(Duration::from_secs(9 * 60)), None).await;
    assert_eq!((put, asked), (Ok(Put::Written), 1));
    let (put, _) = complete(Act::AnswerAfter(Duration::from_secs(3600)), None).await;
    assert_eq!(put.unwrap_err().name, ErrorName::Transient);
}

#[tokio::test(start_paused = true)]
async fn a_completion_whose_answer_is_lost_is_looked_for() {
    let (put, asked) = complete(Act::LoseEveryAnswer, Some("this run")).await;
    assert_eq!((put, asked), (Ok(Put::Written), ATTEMPTS as usize));
    for run in [None, Some("another run")] {
        let (put, _) = complete(Act::LoseEveryAnswer, run).await;
        assert_eq!(put.unwrap_err().name, ErrorName::Transient, "{run:?}");
    }
}
