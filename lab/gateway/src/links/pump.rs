//! One direction of a connection: reads, keeps back what the link's state keeps back, writes.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::state::{LinkState, Towards};
use crate::clock::pause;

const CHUNK: usize = 64 << 10;

/// How much a delayed direction may have under way. Beyond this the sender is slowed, as by a full
/// TCP window; 8 MB at 100 ms is 80 MB/s, more than the lab's traffic.
const IN_TRANSIT: usize = 8 << 20;

/// Copies from `from` to `to` until the end of the stream, then passes the end on.
///
/// # Errors
/// Either socket failed; the connection is to be reset.
pub(super) async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    towards: Towards,
    mut state: watch::Receiver<LinkState>,
) -> io::Result<()> {
    let mut chunk = vec![0_u8; CHUNK];
    let mut transit = Transit::default();
    let mut ended = false;
    loop {
        let hold = state.borrow_and_update().hold(towards);
        let Some(delay) = hold else {
            // Held: nothing is read either, so that the sender's window fills as on a dead path.
            if state.changed().await.is_err() {
                return Ok(());
            }
            continue;
        };
        if transit.is_empty() && ended {
            return to.shutdown().await;
        }
        let may_read = !ended && transit.bytes < IN_TRANSIT;
        tokio::select! {
            biased;
            changed = state.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
            () = transit.due(delay) => {
                if let Some(piece) = transit.pop() {
                    to.write_all(&piece).await?;
                }
            }
            read = from.read(&mut chunk), if may_read => {
                let read = read?;
                ended = read == 0;
                let bytes = chunk.get(..read).unwrap_or_default();
                if delay.is_zero() && transit.is_empty() {
                    to.write_all(bytes).await?;
                } else if !ended {
                    transit.push(bytes);
                }
            }
        }
    }
}

/// Bytes that were read and are not due yet, oldest first.
#[derive(Default)]
struct Transit {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
}

impl Transit {
    fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.pieces.push_back((Instant::now(), bytes.to_vec()));
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let (_, piece) = self.pieces.pop_front()?;
        self.bytes -= piece.len();
        Some(piece)
    }

    /// Returns when the oldest piece has been under way for `delay`; never when there is none.
    async fn due(&self, delay: Duration) {
        match self.pieces.front() {
            Some((read_at, _)) => pause(delay.saturating_sub(read_at.elapsed())).await,
            None => pending().await,
        }
    }
}
