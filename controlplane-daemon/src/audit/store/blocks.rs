//! Many records as the blocks of one piece, to be written at once.

use super::piece::ID;
use crate::storage::journal::{Block, Seed};

/// A block is the unit of the checksum, and so what is read at least.
pub(super) const BLOCK_BYTES: usize = 64 << 10;

pub(super) struct Blocks {
    seed: Seed,
    number: u64,
    block: Block,
    bytes: Vec<u8>,
}

impl Blocks {
    /// Of the piece `first`, beginning with the block `number`.
    pub(super) fn of(first: u64, number: u64) -> Self {
        Self { seed: Seed::of(ID, first), number, block: Block::default(), bytes: Vec::new() }
    }

    pub(super) fn push(&mut self, seq: u64, line: &str) {
        self.block.append(seq, line.as_bytes());
        if self.block.len() >= BLOCK_BYTES {
            self.seal();
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        if !self.block.is_empty() {
            self.seal();
        }
        self.bytes
    }

    fn seal(&mut self) {
        self.bytes.extend_from_slice(self.block.seal(self.seed, self.number));
        self.block.clear();
        self.number += 1;
    }
}
