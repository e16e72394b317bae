//! Words of a byte image, native as in the segment.
//!
//! Offsets come from a shape, never from the image. One out of range reads as 0 and
//! stores nothing.

/// The u32 at that offset.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.copied().map_or(0, u32::from_ne_bytes)
}

/// The u16 at that offset.
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.copied().map_or(0, u16::from_ne_bytes)
}

/// The text that ends at a NUL before the end of the field; `None` without NUL.
pub fn text_at(bytes: &[u8], at: usize, field: usize) -> Option<&[u8]> {
    let field = bytes.get(at..at + field)?;
    let end = field.iter().position(|&byte| byte == 0)?;
    Some(&field[..end])
}

/// Puts these bytes there.
pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(field) = bytes.get_mut(at..at + value.len()) {
        field.copy_from_slice(value);
    }
}
