//! One connection over a link.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::pump::pump;
use super::state::{Link, LinkState, Towards};

/// Forwards a client's connection until both sides have ended it, either breaks, or the link is cut.
pub(super) async fn forward(link: Link, client: TcpStream) {
    link.accepted.fetch_add(1, Ordering::Relaxed);
    link.open.fetch_add(1, Ordering::Relaxed);
    let _open = Open(&link.open);
    let mut client = Side { stream: client, orderly: false };
    tokio::select! {
        biased;
        () = is_cut(link.state.subscribe()) => {}
        ended = exchange(&link, &mut client) => {
            if let Err(error) = ended {
                tracing::debug!(%error, target = %link.target, "a connection over a link broke");
            }
        }
    }
}

async fn exchange(link: &Link, client: &mut Side) -> io::Result<()> {
    let state = link.state.subscribe();
    // A frozen path carries no handshake to the target either.
    let mut passable = state.clone();
    if passable.wait_for(|state| *state != LinkState::Hang).await.is_err() {
        return Ok(());
    }
    let mut target = Side { stream: TcpStream::connect(link.target).await?, orderly: false };
    target.stream.set_nodelay(true)?;
    let (from_client, to_client) = client.stream.split();
    let (from_target, to_target) = target.stream.split();
    tokio::try_join!(
        pump(from_client, to_target, Towards::Target, state.clone()),
        pump(from_target, to_client, Towards::Client, state),
    )?;
    client.orderly = true;
    target.orderly = true;
    Ok(())
}

/// Returns once the link is cut; never when the link has ended otherwise.
async fn is_cut(mut state: watch::Receiver<LinkState>) {
    if state.wait_for(|state| *state == LinkState::Cut).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// One end of a connection. Unless both directions ended in order it ends in a reset, whatever the
/// reason: a cut, a target that refuses or breaks, a lab that stops.
struct Side {
    stream: TcpStream,
    orderly: bool,
}

impl Drop for Side {
    fn drop(&mut self) {
        if !self.orderly
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::debug!(%error, "reset a connection over a link");
        }
    }
}

/// Counts a connection as open for as long as it lives.
struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
