//! Reads the hosted zones, record sets and health checks from the control plane.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use thiserror::Error;

use crate::{
    http::{self, Limits},
    model::{HealthCheck, Zone},
    wire::{self, Page},
};

/// A reading of the control plane may take this long in each part before it counts as dark. Short,
/// because the next reading follows at once and the last good copy keeps answering.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(1),
    status: Duration::from_secs(2),
    body: Duration::from_secs(2),
    body_bytes: 16 * 1024 * 1024,
};

/// Everything that decides what this server answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) zones: Vec<Zone>,
    pub(crate) checks: Vec<HealthCheck>,
}

/// Why the control plane could not be read.
#[derive(Debug, Error)]
pub(crate) enum MirrorError {
    #[error("control plane at {address}: {source}")]
    Exchange { address: SocketAddr, source: http::ExchangeError },
    #[error("control plane answered {status} to {path}")]
    Status { status: u16, path: String },
    #[error("control plane answered {path} with XML that does not fit: {source}")]
    Xml { path: String, source: quick_xml::DeError },
    #[error("build request: {0}")]
    Request(#[from] hyper::http::Error),
}

/// All zones with their records, and all health checks, as the control plane at `address` has them.
pub(crate) async fn read(address: SocketAddr) -> Result<Snapshot, MirrorError> {
    let mut zones = Vec::new();
    for listed in pages(address, "/2013-04-01/hostedzone", wire::zones).await? {
        let path = format!("/2013-04-01/hostedzone/{}/rrset", wire::percent(&listed.id));
        let sets = pages(address, &path, wire::record_sets).await?;
        zones.push(Zone { id: listed.id, name: listed.name, sets });
    }
    let checks = pages(address, "/2013-04-01/healthcheck", wire::health_checks).await?;
    Ok(Snapshot { zones, checks })
}

/// The state of the CloudWatch alarm `name` of `region`, asked at `address`.
pub(crate) async fn alarm_state(
    address: SocketAddr,
    region: &str,
    name: &str,
) -> Result<Option<String>, MirrorError> {
    let form = format!(
        "Action=DescribeAlarms&Version=2010-08-01&AlarmTypes.member.1=MetricAlarm\
         &AlarmTypes.member.2=CompositeAlarm&AlarmNames.member.1={}",
        wire::percent(name)
    );
    let request = Request::post("/")
        .header("host", format!("monitoring.{region}.amazonaws.com"))
        .header("authorization", authorization(region, "monitoring"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(form)))?;
    let xml = body(address, "DescribeAlarms", request).await?;
    wire::alarm_state(&xml)
        .map_err(|source| MirrorError::Xml { path: "DescribeAlarms".to_owned(), source })
}

async fn pages<T>(
    address: SocketAddr,
    path: &str,
    parse: impl Fn(&str) -> Result<Page<T>, quick_xml::DeError>,
) -> Result<Vec<T>, MirrorError> {
    let mut items = Vec::new();
    let mut query = String::new();
    loop {
        let request = Request::get(format!("{path}{query}"))
            .header("host", "route53.amazonaws.com")
            .header("authorization", authorization("us-east-1", "route53"))
            .body(Full::new(Bytes::new()))?;
        let xml = body(address, path, request).await?;
        let page =
            parse(&xml).map_err(|source| MirrorError::Xml { path: path.to_owned(), source })?;
        items.extend(page.items);
        match page.next {
            Some(next) => query = format!("?{next}"),
            None => return Ok(items),
        }
    }
}

async fn body(
    address: SocketAddr,
    path: &str,
    request: Request<Full<Bytes>>,
) -> Result<String, MirrorError> {
    let answer = http::exchange(address, request, LIMITS)
        .await
        .map_err(|source| MirrorError::Exchange { address, source })?;
    if !answer.status.is_success() {
        return Err(MirrorError::Status { status: answer.status.as_u16(), path: path.to_owned() });
    }
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}

/// The emulator routes by the credential scope, and does not verify the signature of this key.
fn authorization(region: &str, service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/{region}/{service}/aws4_request, \
         SignedHeaders=host, Signature=unsigned"
    )
}
