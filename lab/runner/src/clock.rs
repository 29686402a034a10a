//! The lab's clock, and bounded waiting for a state.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use jiff::Timestamp;

/// Between two looks at a state that cannot be awaited.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The current time.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the lab's one clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A length below `limit`, different each time.
#[must_use]
pub fn random_moment(limit: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    // The standard library seeds each of these at random.
    let random = u128::from(RandomState::new().hash_one(0));
    let millis = random % limit.as_millis().max(1);
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// Lets `length` pass.
#[expect(clippy::disallowed_methods, reason = "the lab's one pause")]
pub async fn pause(length: Duration) {
    tokio::time::sleep(length).await;
}

/// Looks again and again until `look` finds something, at most `limit`; none when it never did.
pub async fn find<T, F, Fut>(limit: Duration, mut look: F) -> Option<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return Some(found);
        }
        if began.elapsed() > limit {
            return None;
        }
        pause(LOOK_EVERY).await;
    }
}
