//! Damage from a fixed seed.

/// Numbers that are the same in every run (SplitMix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64).try_into().unwrap()
    }
}

/// These bytes with one bit changed.
pub(crate) fn flipped(bytes: &[u8], numbers: &mut Numbers) -> (usize, Vec<u8>) {
    let mut bytes = bytes.to_vec();
    let at = numbers.below(bytes.len());
    bytes[at] ^= 1 << numbers.below(8);
    (at, bytes)
}

/// These bytes with a random piece changed, removed, repeated or replaced by an extreme.
pub(crate) fn mutated(bytes: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(bytes.len());
        let end = (at + 1 + numbers.below(16)).min(bytes.len());
        match numbers.below(6) {
            0 => bytes = flipped(&bytes, numbers).1,
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let piece = bytes[at..end].to_vec();
                let to = numbers.below(bytes.len());
                drop(bytes.splice(to..to, piece));
            }
            4 => bytes[at..end].fill([0x00, 0xff, 0x7f, 0x80, 0x81, 0xc3][numbers.below(6)]),
            _ => {
                let extremes: [&[u8]; 4] = [
                    b"\x81\xff\xff\xff\xff\xff\xff\xff\xff",
                    b"\x80\xff\xff\xff\xff",
                    b"\xc3\x7f\x7f",
                    b"$99999999999999\r\n",
                ];
                drop(bytes.splice(at..end, extremes[numbers.below(4)].iter().copied()));
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}
