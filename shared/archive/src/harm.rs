//! Damage for tests: the same on every run.

/// A small generator (xorshift64*), so that no test depends on a library's choice.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}

/// How many of `count` copies with one flipped bit `finds` sees, and the offsets that it missed.
pub(crate) fn flips(
    bytes: &[u8],
    count: usize,
    mut finds: impl FnMut(&[u8]) -> bool,
) -> (usize, Vec<usize>) {
    let mut random = Random(0x11fe_b0a7);
    let mut copy = bytes.to_vec();
    let mut missed = Vec::new();
    for _ in 0..count {
        let (at, bit) = (random.below(bytes.len()), random.below(8));
        copy[at] ^= 1 << bit;
        if !finds(&copy) {
            missed.push(at);
        }
        copy[at] ^= 1 << bit;
    }
    (count - missed.len(), missed)
}

/// The same for truncations.
pub(crate) fn cuts(
    bytes: &[u8],
    count: usize,
    mut finds: impl FnMut(&[u8]) -> bool,
) -> (usize, Vec<usize>) {
    let mut random = Random(0x7a1e);
    let missed: Vec<usize> = (0..count)
        .map(|_| random.below(bytes.len()))
        .filter(|len| !finds(&bytes[..*len]))
        .collect();
    (count - missed.len(), missed)
}

/// Hands `count` copies, each changed in several ways at once, to `reads`, which must not panic.
pub(crate) fn mutations(bytes: &[u8], count: usize, mut reads: impl FnMut(&[u8])) {
    let mut random = Random(0xc0ff_ee11);
    for _ in 0..count {
        let mut copy = bytes.to_vec();
        for _ in 0..=random.below(6) {
            let at = random.below(copy.len());
            match random.below(5) {
                0 => copy[at] = 0xff,
                1 => copy[at] ^= 1 << random.below(8),
                2 => copy.truncate(at.max(1)),
                3 => {
                    let end = (at + 1 + random.below(600)).min(copy.len());
                    copy.drain(at..end);
                    copy.push(0);
                }
                _ => {
                    let piece: Vec<u8> = copy[at..].iter().take(512).copied().collect();
                    let to = random.below(copy.len());
                    copy.splice(to..to, piece);
                }
            }
        }
        reads(&copy);
    }
}
