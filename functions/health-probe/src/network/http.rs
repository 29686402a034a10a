//! `GET` of the app's health URL: 200 is `up`, and nothing else is.

use super::{Seen, innermost};

/// Read of an answer's body at most; a health report is a few hundred bytes.
const BODY_LIMIT: usize = 64 * 1024;

pub(super) async fn check(client: &reqwest::Client, url: &str) -> Result<Seen, String> {
    let mut answer = client.get(url).send().await.map_err(innermost)?;
    let status = answer.status();
    if status.as_u16() != 200 {
        return Err(format!("answered {status}"));
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(innermost)? {
        body.extend_from_slice(&chunk);
        if body.len() > BODY_LIMIT {
            return Ok(Seen::new("answered 200 with a long body"));
        }
    }
    Ok(Seen { detail: "answered 200".to_owned(), body: String::from_utf8(body).ok() })
}
