//! Bytes that must be zero.

const ZEROS: [u8; 4096] = [0; 4096];

/// Where the first byte is that is not zero. Most are asked about much that is, so pieces are
/// compared at once.
pub(crate) fn first_other(bytes: &[u8]) -> Option<usize> {
    let mut pieces = bytes.chunks(ZEROS.len()).zip((0..).step_by(ZEROS.len()));
    let (piece, start) =
        pieces.find(|(piece, _)| ZEROS.get(..piece.len()).is_none_or(|zeros| zeros != *piece))?;
    piece.iter().position(|byte| *byte != 0).map(|at| start + at)
}

/// Whether all are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    first_other(bytes).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_byte_that_is_not_zero() {
        let mut bytes = vec![0; 10_000];
        assert_eq!((first_other(&bytes), first_other(&[])), (None, None));
        for at in [9_999, 4_097, 4_096, 4_095, 0] {
            bytes[at] = 1;
            assert_eq!(first_other(&bytes), Some(at));
        }
    }
}
