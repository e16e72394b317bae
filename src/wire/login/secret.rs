//! Memory for secrets.

use core::fmt;
use std::sync::Arc;

use memmap2::{Advice, MmapMut};
use zeroize::{Zeroize, Zeroizing};

/// Bytes in separate pages, which are excluded from core dumps (`MADV_DONTDUMP`)
/// and wiped before they are freed. A forked child inherits them, because it
/// logs in itself.
pub(super) struct SecretBytes {
    memory: SecretMemory,
    length: usize,
}

enum SecretMemory {
    Pages(MmapMut),
    /// Used if no pages can be mapped; wiped as well.
    Heap(Zeroizing<Vec<u8>>),
}

impl SecretBytes {
    /// A copy of these bytes. The caller must wipe the original.
    pub(super) fn copy(bytes: &[u8]) -> SecretBytes {
        let length = bytes.len();
        if bytes.is_empty() {
            return SecretBytes { memory: SecretMemory::Heap(Zeroizing::default()), length };
        }
        let memory = match MmapMut::map_anon(length) {
            Ok(mut pages) => {
                // Before the pages hold anything. On an old kernel without this
                // option the secret is still kept.
                let _ = pages.advise(Advice::DontDump);
                pages[..length].copy_from_slice(bytes);
                SecretMemory::Pages(pages)
            }
            Err(error) => {
                tracing::debug!(%error, "no pages for a secret");
                SecretMemory::Heap(Zeroizing::new(bytes.to_vec()))
            }
        };
        SecretBytes { memory, length }
    }

    pub(super) fn expose(&self) -> &[u8] {
        match &self.memory {
            SecretMemory::Pages(pages) => &pages[..self.length],
            SecretMemory::Heap(bytes) => bytes,
        }
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        if let SecretMemory::Pages(pages) = &mut self.memory {
            pages.zeroize();
        }
    }
}

/// A password. All clones share one copy in memory that is excluded from core
/// dumps and is wiped when the last clone is dropped. It is neither shown nor
/// written anywhere.
///
/// A `String` that it is created from is wiped; a `&str` can't be.
#[derive(Clone)]
pub struct SecretString(Arc<SecretBytes>);

impl SecretString {
    /// The text. Code that copies it must wipe the copy.
    #[must_use]
    #[allow(clippy::missing_panics_doc, reason = "it was made of a text")]
    pub fn expose_secret(&self) -> &str {
        core::str::from_utf8(self.0.expose()).expect("it was made of a text")
    }
}

impl From<&str> for SecretString {
    fn from(text: &str) -> SecretString {
        SecretString(Arc::new(SecretBytes::copy(text.as_bytes())))
    }
}

impl From<String> for SecretString {
    fn from(text: String) -> SecretString {
        Zeroizing::new(text).as_str().into()
    }
}

impl Default for SecretString {
    fn default() -> SecretString {
        "".into()
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretString(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_kept_once_and_shown_nowhere() {
        let secret = SecretString::from("open sesame".to_owned());
        let clone = secret.clone();
        assert_eq!(clone.expose_secret(), "open sesame");
        assert_eq!(secret.expose_secret().as_ptr(), clone.expose_secret().as_ptr());
        assert!(!format!("{secret:?}").contains("sesame"));
        assert_eq!(SecretString::default().expose_secret(), "");
        for length in [0, 1, 4095, 4096, 4097, 100_000] {
            let bytes = vec![7; length];
            assert_eq!(SecretBytes::copy(&bytes).expose(), bytes);
        }
    }
}
