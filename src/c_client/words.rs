//! Words of a byte image, native as in the segment. An offset out of range reads as 0.

/// The u32 at that offset.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.copied().map_or(0, u32::from_ne_bytes)
}
