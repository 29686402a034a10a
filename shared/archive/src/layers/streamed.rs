//! The layers around a stream that is read once, in order, and not hashed.

use std::io::Read;

use super::{Peeled, peel};
use crate::{
    input::Input,
    report::{Finding, Findings, Place},
    source::SourceError,
    stored::{Failure, Guarded},
};

/// What came of reading a stream.
pub(crate) struct Streamed<R> {
    /// What the body returned. It is worth nothing where the source failed.
    pub(crate) result: R,
    /// Where the body stopped.
    pub(crate) place: Place,
    /// What is wrong with the layers: the cause of whatever the body met.
    pub(crate) notes: Findings,
    /// The source's failure.
    pub(crate) failure: Option<SourceError>,
}

/// Gives a stream without its outer compressions to `body`, which reads to its end: the layers'
/// checksums are there. Places are in `item`.
pub(crate) fn streamed<R>(
    reader: impl Read + Send,
    item: Option<&str>,
    body: impl FnOnce(&mut Input<'_>) -> R,
) -> Streamed<R> {
    let failure = Failure::default();
    let Peeled { mut input, notes, .. } = peel(Guarded::new(reader, &failure), &failure);
    let result = body(&mut input);
    let place = input.place(item);
    drop(input);
    let mut notes = notes.take();
    for Finding { place, .. } in &mut notes.kept {
        place.item = item.map(str::to_owned);
    }
    Streamed { result, place, notes, failure: failure.take() }
}
