//! The chunks of one stream of data: a length, as many bytes, and so on until a length of zero.

use std::io::{self, BufRead, Read};

use super::primitives::{Fault, Sizes};
use crate::input::{Input, Stop};

/// The bytes of a stream without the lengths between them.
pub(super) struct Chunks<'i, 'a> {
    input: &'i mut Input<'a>,
    sizes: Sizes,
    /// Bytes that are left of the current chunk.
    left: u64,
    ended: bool,
    fault: Option<Fault>,
}

impl<'i, 'a> Chunks<'i, 'a> {
    pub(super) fn new(input: &'i mut Input<'a>, sizes: Sizes) -> Self {
        Self { input, sizes, left: 0, ended: false, fault: None }
    }

    /// Steps into the next chunk, if the current one is at its end.
    fn advance(&mut self) -> Result<(), Fault> {
        if self.left == 0 && !self.ended {
            let at = self.input.offset();
            let len = self.sizes.integer(self.input)?;
            self.left = u64::try_from(len)
                .map_err(|_| Fault::wrong(at, format!("a chunk of {len} bytes")))?;
            self.ended = len == 0;
        }
        Ok(())
    }

    /// Hands on the stream's bytes as they are.
    pub(super) fn pass(&mut self, mut visit: impl FnMut(&[u8])) -> Result<(), Fault> {
        loop {
            self.advance()?;
            if self.ended {
                return Ok(());
            }
            self.input.pieces(self.left, &mut visit)?;
            self.left = 0;
        }
    }

    /// Passes over what a decoder has left, and returns how many bytes it was.
    ///
    /// # Errors
    /// The chunks themselves are at fault, now or when the decoder met them.
    pub(super) fn finish(mut self) -> Result<u64, Fault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let mut left = 0;
        self.pass(|piece| left += piece.len() as u64)?;
        Ok(left)
    }
}

impl Read for Chunks<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Chunks<'_, '_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Err(fault) = self.advance() {
            self.fault = Some(fault);
            return Err(io::Error::other("the chunks are at fault"));
        }
        if self.ended {
            return Ok(&[]);
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        match self.input.fill_buf() {
            Ok([]) => {
                self.fault = Some(Fault::Stop(Stop::Cut));
                Err(io::Error::other("the chunks are cut"))
            }
            Ok(available) => Ok(available.get(..left).unwrap_or(available)),
            Err(error) => {
                self.fault = Some(Fault::Stop(Stop::from(error)));
                Err(io::Error::other("the chunks cannot be read"))
            }
        }
    }

    fn consume(&mut self, amount: usize) {
        self.left = self.left.saturating_sub(amount as u64);
        self.input.consume(amount);
    }
}
