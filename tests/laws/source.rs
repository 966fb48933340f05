//! Where random cases come from: a sequence of choices, drawn from a seed and
//! recorded, so that a failing case can be made smaller by making the
//! sequence smaller.

use proptest::{
    prelude::Rng,
    test_runner::{RngAlgorithm, TestRng},
};

/// How many smaller sequences are tried for one failure.
const ATTEMPTS: usize = 1_500;

/// Choices, fresh from a generator or repeated from a record. The smallest
/// choice is 0 and always means the plainest thing.
pub struct Source {
    record: Vec<u32>,
    next: usize,
    generator: Option<TestRng>,
}

impl Source {
    /// Fresh choices.
    pub fn from_seed(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self {
            record: Vec::new(),
            next: 0,
            generator: Some(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)),
        }
    }

    /// Choices from a record, and 0 once it is used up.
    pub fn from_record(record: Vec<u32>) -> Self {
        Self {
            record,
            next: 0,
            generator: None,
        }
    }

    /// The choices so far.
    pub fn into_record(mut self) -> Vec<u32> {
        self.record.truncate(self.next);
        self.record
    }

    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        let count = u32::try_from(count.max(1)).unwrap();
        if self.next == self.record.len() {
            let choice = self.generator.as_mut().map_or(0, Rng::next_u32);
            self.record.push(choice % count);
        }
        let choice = self.record[self.next] % count;
        self.next += 1;
        choice as usize
    }

    /// True in `percent` of all cases, and false for the smallest choice.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) >= 100 - percent
    }

    /// One of `items`, the first for the smallest choice.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// The smallest record that still fails: pieces are left out, then set to 0,
/// then single choices are lowered, as long as something helps.
pub fn shrink(record: Vec<u32>, fails: &mut dyn FnMut(&[u32]) -> bool) -> Vec<u32> {
    let mut best = record;
    let mut left = ATTEMPTS;
    let mut attempt = |best: &mut Vec<u32>, candidate: Vec<u32>| {
        if left == 0 || candidate == *best {
            return false;
        }
        left -= 1;
        let helps = fails(&candidate);
        if helps {
            *best = candidate;
        }
        helps
    };
    loop {
        let before = best.clone();
        let mut size = best.len().div_ceil(2);
        while size > 0 {
            let mut start = 0;
            while start < best.len() {
                let end = (start + size).min(best.len());
                let mut shorter = best.clone();
                shorter.drain(start..end);
                let mut plainer = best.clone();
                plainer[start..end].fill(0);
                if !attempt(&mut best, shorter) {
                    attempt(&mut best, plainer);
                    start = end;
                }
            }
            size /= 2;
        }
        for index in 0..best.len() {
            while best[index] > 0 {
                let mut lower = best.clone();
                lower[index] /= 2;
                if !attempt(&mut best, lower) {
                    break;
                }
            }
        }
        if best == before {
            return best;
        }
    }
}
