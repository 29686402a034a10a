//! A dump's blocks, read by several threads at once: each is a stream of its own.
//!
//! This is the quick way for a dump that is sound. It answers only if every block begins where the
//! table of contents says, is sound, and ends where the next begins, so that no byte is left out;
//! otherwise the reader in order says what is wrong, and so there is one place that does. A dump that
//! was streamed has no offsets in its table of contents: the lengths of its chunks lead from block to
//! block, at the speed of memory.

use std::{
    io::Read,
    num::NonZero,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use super::{
    blocks::{Head, body},
    chunks::Chunks,
    contents::{Contents, Kind},
    decode::Decoder,
    header::Header,
    primitives::{Fault, Sizes},
    tables,
};
use crate::{
    input::Input,
    report::Details,
    source::Source,
    stored::{Failure, Guarded},
};

/// Below this many bytes of data, threads cost more than they give.
const WORTH_IT: u64 = 64 << 10;

/// A dump in a source that can be opened often.
pub(crate) struct Plan {
    header: Header,
    contents: Contents,
    /// None if they are still to be found.
    blocks: Option<Vec<Block>>,
}

/// A block's bytes, and whose they are.
struct Block {
    start: u64,
    end: u64,
    id: i32,
    kind: Kind,
}

impl Plan {
    /// The plan for this source; none if its blocks must be read in order. A failure of the source
    /// is noted.
    pub(crate) fn of(source: &dyn Source, failure: &Failure) -> Option<Self> {
        let mut input = Input::new(Guarded::open(source, 0, failure).ok()?, 0, false);
        let header = Header::read(&mut input).ok()?;
        let contents = Contents::read(&mut input, &header).ok()?;
        if source.len().saturating_sub(contents.end) < WORTH_IT {
            return None;
        }
        let has_offsets = contents.entries.iter().all(|entry| entry.offset.is_some());
        let blocks = if has_offsets { Some(noted(&contents, source.len())?) } else { None };
        Some(Self { header, contents, blocks })
    }

    /// Reads all blocks, and returns what the dump holds; none if anything is wrong, or the source
    /// failed.
    pub(crate) fn run(
        mut self,
        source: &dyn Source,
        threads: NonZero<usize>,
        failure: &Failure,
    ) -> Option<Details> {
        let mut blocks = match self.blocks.take() {
            Some(blocks) => blocks,
            None => self.found(source, failure)?,
        };
        // The longest first, so that no thread is left alone with one at the end.
        blocks.sort_by_key(|block| std::cmp::Reverse(block.end - block.start));
        let next = AtomicUsize::new(0);
        let is_wrong = AtomicBool::new(false);
        let plan = &self;
        let work = || {
            let mut decoder = Decoder::new(&plan.header);
            let mut rows = Vec::new();
            while !is_wrong.load(Ordering::Relaxed)
                && let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed))
            {
                match plan.block(source, block, &mut decoder, failure) {
                    Some(count) => rows.push((block.id, count)),
                    None => is_wrong.store(true, Ordering::Relaxed),
                }
            }
            rows
        };
        let rows: Vec<(i32, Option<u64>)> = thread::scope(|scope| {
            let workers = threads.get().min(blocks.len());
            let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
            let mut rows = work();
            for other in others {
                match other.join() {
                    Ok(more) => rows.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            rows
        });
        if is_wrong.into_inner() {
            return None;
        }
        for (id, rows) in rows {
            self.contents.find(id)?.rows = rows;
        }
        let written_by = Some(self.header.written_by());
        Some(Details { written_by, tables: tables(self.contents), ..Details::default() })
    }

    /// The blocks, from chunk to chunk; none unless there is one for each entry and nothing else.
    fn found(&mut self, source: &dyn Source, failure: &Failure) -> Option<Vec<Block>> {
        let start = self.contents.end;
        let mut input = Input::new(Guarded::open(source, start, failure).ok()?, start, false);
        let sizes = self.header.sizes;
        let mut blocks = Vec::with_capacity(self.contents.entries.len());
        while !input.is_at_end().ok()? {
            let start = input.offset();
            let head = Head::read(&mut input, sizes).ok()?;
            pass_over(&mut input, sizes, head.has_large_objects).ok()?;
            let end = input.offset();
            let entry = self.contents.find(head.id)?;
            if entry.seen || entry.offset.is_some_and(|offset| offset != start) {
                return None;
            }
            entry.seen = true;
            blocks.push(Block { start, end, id: head.id, kind: entry.kind });
        }
        (blocks.len() == self.contents.entries.len()).then_some(blocks)
    }

    /// Reads one block, and returns its rows; none if anything is wrong.
    fn block(
        &self,
        source: &dyn Source,
        block: &Block,
        decoder: &mut Decoder,
        failure: &Failure,
    ) -> Option<Option<u64>> {
        let bytes = Guarded::open(source, block.start, failure).ok()?;
        let mut input = Input::new(bytes.take(block.end - block.start), block.start, false);
        let sizes = self.header.sizes;
        let head = Head::read(&mut input, sizes).ok()?;
        if head != (Head { has_large_objects: !block.kind.is_table(), id: block.id }) {
            return None;
        }
        let (rows, damage) = body(&mut input, decoder, sizes, block.kind).ok()?;
        (damage.is_none() && input.offset() == block.end).then_some(rows)
    }
}

/// The blocks where the table of contents has them; none if they leave a byte out.
fn noted(contents: &Contents, len: u64) -> Option<Vec<Block>> {
    let mut blocks = Vec::with_capacity(contents.entries.len());
    for entry in &contents.entries {
        blocks.push(Block { start: entry.offset?, end: 0, id: entry.id, kind: entry.kind });
    }
    blocks.sort_by_key(|block| block.start);
    let mut end = len;
    for block in blocks.iter_mut().rev() {
        block.end = end;
        end = block.start;
    }
    let is_gapless =
        blocks.first()?.start == contents.end && blocks.iter().all(|block| block.start < block.end);
    is_gapless.then_some(blocks)
}

/// Passes over a block's data, from behind its head to its end, without looking at it.
fn pass_over(input: &mut Input<'_>, sizes: Sizes, has_large_objects: bool) -> Result<(), Fault> {
    if !has_large_objects {
        return Chunks::new(input, sizes).finish().map(|_| ());
    }
    while sizes.integer(input)? != 0 {
        Chunks::new(input, sizes).finish()?;
    }
    Ok(())
}
