//! The unsent bytes of one viewer: pieces of shared blocks, and a few of its own. It does not know how they were chosen.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use smallvec::SmallVec;
use tokio::io::AsyncWrite;

use crate::{stats::Charge, wire::Piece};

/// The most pieces in one write (the kernel's own limit is 1024).
const MAX_PIECES: usize = 64;

/// The pieces that wait for the socket, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: SmallVec<[Piece; 1]>,
    bytes: usize,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether it has as many pieces as one write can take.
    pub(super) fn is_full(&self) -> bool {
        self.pieces.len() >= MAX_PIECES
    }

    /// The number of unsent bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The unsent bytes, if they are one piece.
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    pub(super) fn only(&self) -> Option<&[u8]> {
        match &self.pieces[..] {
            [only] => Some(only.bytes()),
            _ => None,
        }
    }

    /// The memory entries of the blocks that it keeps.
    pub(super) fn charges(&self) -> impl Iterator<Item = &Charge> {
        self.pieces.iter().filter_map(Piece::charge)
    }

    /// Appends pieces, except empty ones.
    pub(super) fn push<const N: usize>(&mut self, pieces: [Piece; N]) {
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            self.bytes += piece.len();
            self.pieces.push(piece);
        }
    }

    /// Writes as much as the socket takes at once, and returns the number of bytes, which the caller passes to `advance`.
    pub(super) fn write(&self, io: &mut (impl AsyncWrite + Unpin), cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let [only] = &self.pieces[..] {
            return Pin::new(io).poll_write(cx, only.bytes());
        }
        let mut slices = [IoSlice::new(&[]); MAX_PIECES];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece.bytes());
            count += 1;
        }
        Pin::new(io).poll_write_vectored(cx, &slices[..count])
    }

    /// Removes bytes that the socket has taken.
    pub(super) fn advance(&mut self, written: usize) {
        self.bytes -= written;
        let (mut complete, mut rest) = (0, written);
        while self.pieces.get(complete).is_some_and(|piece| piece.len() <= rest) {
            rest -= self.pieces[complete].len();
            complete += 1;
        }
        if complete > 0 {
            self.pieces.drain(..complete);
        }
        if let Some(piece) = self.pieces.first_mut() {
            piece.advance(rest);
        }
    }
}
