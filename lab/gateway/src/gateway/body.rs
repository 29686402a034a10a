//! Bodies on their way through: a request body of which a part was already read, and an answer body
//! that obeys refusals and hangs which begin while it streams.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::watch;

use super::call::Call;
use super::connection::Ending;
use super::faults::{Faults, Standing};
use super::inspect::AnswerInspector;

/// A request body: the frames read so far, then the rest of the stream.
#[derive(Debug, Default)]
pub(super) struct HeldBody {
    held: VecDeque<Frame<Bytes>>,
    held_bytes: usize,
    rest: Option<Incoming>,
}

impl HeldBody {
    pub(super) fn new(rest: Incoming) -> Self {
        let rest = (!rest.is_end_stream()).then_some(rest);
        Self { rest, ..Self::default() }
    }

    /// A body of these bytes.
    pub(super) fn full(bytes: Bytes) -> Self {
        Self { held_bytes: bytes.len(), held: VecDeque::from([Frame::data(bytes)]), rest: None }
    }

    /// Reads ahead until the body ends or `limit` bytes are held.
    ///
    /// # Errors
    /// The client's connection broke; nothing can be answered any more.
    pub(super) async fn read_ahead(&mut self, limit: usize) -> Result<(), hyper::Error> {
        while self.held_bytes < limit
            && let Some(rest) = &mut self.rest
        {
            match http_body_util::BodyExt::frame(rest).await {
                Some(frame) => {
                    let frame = frame?;
                    self.held_bytes += frame.data_ref().map_or(0, Bytes::len);
                    self.held.push_back(frame);
                }
                None => self.rest = None,
            }
        }
        Ok(())
    }

    /// Reads and forgets the rest, so that the connection can carry an answer and further calls.
    pub(super) async fn discard(mut self) -> Result<(), hyper::Error> {
        while let Some(rest) = &mut self.rest {
            match http_body_util::BodyExt::frame(rest).await {
                Some(frame) => drop(frame?),
                None => self.rest = None,
            }
        }
        Ok(())
    }

    /// Whether all of the body is held.
    pub(super) fn is_whole(&self) -> bool {
        self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    /// The whole body when all of it is held, else an empty slice.
    pub(super) fn bytes(&self) -> Bytes {
        if !self.is_whole() {
            return Bytes::new();
        }
        let mut data = self.held.iter().filter_map(Frame::data_ref);
        match (data.next(), data.next()) {
            (None, _) => Bytes::new(),
            (Some(only), None) => only.clone(),
            (Some(_), Some(_)) => {
                let all: Vec<u8> = self
                    .held
                    .iter()
                    .filter_map(Frame::data_ref)
                    .flat_map(|part| part.iter().copied())
                    .collect();
                Bytes::from(all)
            }
        }
    }
}

impl Body for HeldBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(frame) = self.held.pop_front() {
            self.held_bytes -= frame.data_ref().map_or(0, Bytes::len);
            return Poll::Ready(Some(Ok(frame)));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let held = u64::try_from(self.held_bytes).unwrap_or(u64::MAX);
        let rest = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(held.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper() {
            hint.set_upper(held.saturating_add(upper));
        }
        hint
    }
}

/// Why an answer's body broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    /// A fault rule resets the connection.
    #[error("the connection is reset by fault rule {0}")]
    Reset(String),
    /// The upstream broke off.
    #[error("read the upstream's answer")]
    Upstream(#[from] hyper::Error),
}

type NextChange = Pin<Box<dyn Future<Output = watch::Receiver<u64>> + Send>>;

/// An upstream's answer body, under the standing rules for its call.
pub(super) struct GuardedBody {
    inner: Incoming,
    faults: Faults,
    call: Arc<Call>,
    ending: Ending,
    next_change: NextChange,
    standing: Option<Standing>,
    inspector: Option<AnswerInspector>,
}

impl GuardedBody {
    /// `changes` must have been subscribed to before the rules were last looked at.
    pub(super) fn new(
        inner: Incoming,
        faults: Faults,
        call: Arc<Call>,
        ending: Ending,
        changes: watch::Receiver<u64>,
        inspector: Option<AnswerInspector>,
    ) -> Self {
        let next_change = next_change(changes);
        let mut body = Self { inner, faults, call, ending, next_change, standing: None, inspector };
        body.inspect(None);
        body
    }

    /// Shows what streams by to the inspector, and tells it of the end: whoever sends the answer may
    /// not ask again once its length is reached.
    fn inspect(&mut self, frame: Option<&Frame<Bytes>>) {
        if let Some(inspector) = &mut self.inspector
            && let Some(bytes) = frame.and_then(Frame::data_ref)
        {
            inspector.take(bytes);
        }
        if self.inner.is_end_stream()
            && let Some(inspector) = self.inspector.take()
        {
            inspector.finish();
        }
    }
}

impl std::fmt::Debug for GuardedBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedBody").field("call", &self.call).finish_non_exhaustive()
    }
}

fn next_change(mut changes: watch::Receiver<u64>) -> NextChange {
    Box::pin(async move {
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        changes
    })
}

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        while let Poll::Ready(changes) = self.next_change.as_mut().poll(cx) {
            self.next_change = next_change(changes);
            self.standing = self.faults.standing(&self.call);
        }
        match &self.standing {
            Some(Standing::Refuse(id)) => {
                let error = AnswerError::Reset(id.clone());
                self.ending.reset();
                Poll::Ready(Some(Err(error)))
            }
            Some(Standing::Hang(_)) => Poll::Pending,
            None => {
                let polled = Pin::new(&mut self.inner).poll_frame(cx);
                match &polled {
                    Poll::Ready(Some(Ok(frame))) => self.inspect(Some(frame)),
                    Poll::Ready(None) => self.inspect(None),
                    Poll::Ready(Some(Err(_))) | Poll::Pending => {}
                }
                polled.map(|frame| frame.map(|frame| frame.map_err(AnswerError::from)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
