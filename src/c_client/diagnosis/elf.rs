//! The version of the C client inside a program or library: the text that its symbol
//! `aerospike_client_version` points to (C client 7.1.0 and later).
//!
//! The file may be any: everything is read with a limit, nothing is believed.

use std::fs::File;
use std::os::unix::fs::FileExt;

const SYMBOL: &[u8] = b"aerospike_client_version";
/// The most that is read of a file.
const BUDGET: usize = 64 << 20;
const MAX_SECTIONS: usize = 4096;
const MAX_VERSION: usize = 24;

/// The kinds of sections that are read.
const SYMTAB: u32 = 2;
const RELA: u32 = 4;
const DYNSYM: u32 = 11;
/// Relocations that store the address of something of the same file.
const RELATIVE: [u32; 2] = [8, 1027];

/// The content of a file.
pub trait Content {
    /// Fills the buffer from that offset on; `None` if the file ends before.
    fn read(&self, at: u64, into: &mut [u8]) -> Option<()>;
}

impl Content for File {
    fn read(&self, at: u64, into: &mut [u8]) -> Option<()> {
        self.read_exact_at(into, at).ok()
    }
}

impl Content for [u8] {
    fn read(&self, at: u64, into: &mut [u8]) -> Option<()> {
        let rest = self.get(usize::try_from(at).ok()?..)?;
        into.copy_from_slice(rest.get(..into.len())?);
        Some(())
    }
}

struct Elf<'a, C: ?Sized> {
    content: &'a C,
    budget: usize,
    segments: Vec<Segment>,
}

/// A part of the file that is mapped.
struct Segment {
    offset: u64,
    address: u64,
    bytes: u64,
}

struct Section {
    kind: u32,
    offset: u64,
    bytes: u64,
    link: u32,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |two| u16::from_le_bytes(*two))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |all| u64::from_le_bytes(*all))
}

impl<C: Content + ?Sized> Elf<'_, C> {
    fn read(&mut self, at: u64, bytes: u64) -> Option<Vec<u8>> {
        let bytes = usize::try_from(bytes).ok()?;
        self.budget = self.budget.checked_sub(bytes)?;
        let mut buffer = vec![0; bytes];
        self.content.read(at, &mut buffer)?;
        Some(buffer)
    }

    /// Up to that many bytes at an address of the running program.
    fn at_address(&mut self, address: u64, most: usize) -> Option<Vec<u8>> {
        let inside = |segment: &&Segment| {
            address.checked_sub(segment.address).is_some_and(|distance| distance < segment.bytes)
        };
        let segment = self.segments.iter().find(inside)?;
        let distance = address - segment.address;
        let offset = segment.offset.checked_add(distance)?;
        let bytes = (segment.bytes - distance).min(most as u64);
        self.read(offset, bytes)
    }

    /// A version at that address, closed by a NUL.
    fn version_at(&mut self, address: u64) -> Option<String> {
        let bytes = self.at_address(address, MAX_VERSION)?;
        let text = &bytes[..bytes.iter().position(|&byte| byte == 0)?];
        let fits = text.first().is_some_and(u8::is_ascii_digit)
            && text.contains(&b'.')
            && text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        fits.then(|| String::from_utf8_lossy(text).into_owned())
    }

    /// The address of the symbol, according to one table of symbols.
    fn symbol(&mut self, table: &Section, names: &Section) -> Option<u64> {
        let names = self.read(names.offset, names.bytes)?;
        let symbols = self.read(table.offset, table.bytes)?;
        symbols.as_chunks::<24>().0.iter().find_map(|symbol| {
            let name = names.get(u32_at(symbol, 0) as usize..)?;
            let is_it = name.strip_prefix(SYMBOL).is_some_and(|rest| rest.first() == Some(&0));
            let is_defined = u16_at(symbol, 6) != 0;
            (is_it && is_defined).then(|| u64_at(symbol, 8))
        })
    }

    /// What the pointer at that address will hold, as the relocations say.
    fn relocated(&mut self, sections: &[Section], pointer: u64) -> Option<u64> {
        sections.iter().filter(|section| section.kind == RELA).find_map(|section| {
            let relocations = self.read(section.offset, section.bytes)?;
            relocations.as_chunks::<24>().0.iter().find_map(|relocation| {
                let is_it =
                    u64_at(relocation, 0) == pointer && RELATIVE.contains(&u32_at(relocation, 8));
                is_it.then(|| u64_at(relocation, 16))
            })
        })
    }

    fn sections(&mut self, head: &[u8]) -> Option<Vec<Section>> {
        let (count, size) = (u16_at(head, 60), u16_at(head, 58));
        if size != 64 || usize::from(count) > MAX_SECTIONS {
            return None;
        }
        let table = self.read(u64_at(head, 40), u64::from(count) * 64)?;
        let section = |bytes: &[u8; 64]| Section {
            kind: u32_at(bytes, 4),
            offset: u64_at(bytes, 24),
            bytes: u64_at(bytes, 32),
            link: u32_at(bytes, 40),
        };
        Some(table.as_chunks::<64>().0.iter().map(section).collect())
    }

    fn map_segments(&mut self, head: &[u8]) -> Option<()> {
        const LOAD: u32 = 1;
        if u16_at(head, 54) != 56 {
            return None;
        }
        let table = self.read(u64_at(head, 32), u64::from(u16_at(head, 56)) * 56)?;
        let segments = table.as_chunks::<56>().0.iter().filter(|bytes| u32_at(*bytes, 0) == LOAD);
        self.segments = segments
            .map(|bytes| Segment {
                offset: u64_at(bytes, 8),
                address: u64_at(bytes, 16),
                bytes: u64_at(bytes, 32),
            })
            .collect();
        Some(())
    }
}

/// The version of the C client that is in this program or library; `None` if it has
/// none, does not say so, or is no 64-bit little-endian ELF file.
pub fn client_version<C: Content + ?Sized>(content: &C) -> Option<String> {
    let mut elf = Elf { content, budget: BUDGET, segments: Vec::new() };
    let head = elf.read(0, 64)?;
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    elf.map_segments(&head)?;
    let sections = elf.sections(&head)?;
    // The dynamic symbols are fewer; a program may have them only in the other table.
    for kind in [DYNSYM, SYMTAB] {
        for table in sections.iter().filter(|section| section.kind == kind) {
            let Some(names) = sections.get(table.link as usize) else { continue };
            let Some(symbol) = elf.symbol(table, names) else { continue };
            // Either the text itself, or a pointer to it.
            if let Some(version) = elf.version_at(symbol) {
                return Some(version);
            }
            let stored = elf.at_address(symbol, 8).map(|bytes| u64_at(&bytes, 0));
            let pointer = elf.relocated(&sections, symbol).or(stored)?;
            return elf.version_at(pointer);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: &[u8] = b"\0aerospike_client_version2\0aerospike_client_version\0";

    /// A file with one segment of everything, and sections: none, symbols, names,
    /// relocations.
    fn file(kind: u32, symbol: &[u8], relocation: Option<u64>) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56 + 4 * 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let mut put = |at: usize, value: &[u8]| {
            if bytes.len() < at + value.len() {
                bytes.resize(at + value.len(), 0);
            }
            bytes[at..at + value.len()].copy_from_slice(value);
        };
        put(32, &64u64.to_le_bytes());
        put(40, &120u64.to_le_bytes());
        put(54, &56u16.to_le_bytes());
        put(56, &1u16.to_le_bytes());
        put(58, &64u16.to_le_bytes());
        put(60, &4u16.to_le_bytes());
        // At 0x1000 in memory what is at 0 in the file.
        put(64, &1u32.to_le_bytes());
        put(64 + 16, &0x1000u64.to_le_bytes());
        put(64 + 32, &0x800u64.to_le_bytes());
        for (index, kind, offset, size) in
            [(1, kind, 0x200u64, 48u64), (2, 3, 0x300, NAMES.len() as u64), (3, RELA, 0x400, 24)]
        {
            let at = 120 + 64 * index;
            put(at + 4, &u32::to_le_bytes(kind));
            put(at + 24, &offset.to_le_bytes());
            put(at + 32, &size.to_le_bytes());
            put(at + 40, &2u32.to_le_bytes());
        }
        // Two symbols; the first has a longer name.
        for (at, name, value) in [(0x200, 1u32, 0x1700u64), (0x218, 27, 0x1600)] {
            put(at, &name.to_le_bytes());
            put(at + 6, &1u16.to_le_bytes());
            put(at + 8, &value.to_le_bytes());
        }
        put(0x300, NAMES);
        if let Some(to) = relocation {
            put(0x400, &0x1600u64.to_le_bytes());
            put(0x408, &8u64.to_le_bytes());
            put(0x410, &to.to_le_bytes());
        }
        put(0x500, b"7.6.1\0");
        put(0x600, symbol);
        put(0x7ff, &[0]);
        bytes
    }

    #[test]
    fn the_version_is_text_or_a_pointer_with_or_without_a_relocation() {
        for kind in [DYNSYM, SYMTAB] {
            let text = file(kind, b"10.4.12\0", None);
            assert_eq!(client_version(&text[..]).as_deref(), Some("10.4.12"));
            let relocated = file(kind, &[0; 8], Some(0x1500));
            assert_eq!(client_version(&relocated[..]).as_deref(), Some("7.6.1"));
            let stored = file(kind, &0x1500u64.to_le_bytes(), None);
            assert_eq!(client_version(&stored[..]).as_deref(), Some("7.6.1"));
        }
        for other in [
            file(5, b"7.6.1\0", None),
            file(DYNSYM, b"7\x1b[2J\0", None),
            file(DYNSYM, &[b'7'; 64], None),
            file(DYNSYM, &u64::MAX.to_le_bytes(), None),
            b"#!/bin/sh\n".to_vec(),
            Vec::new(),
        ] {
            assert_eq!(client_version(&other[..]), None);
        }
        // This program has no C client.
        let own = File::open("/proc/self/exe").unwrap();
        assert_eq!(client_version(&own), None);
    }

    #[test]
    fn a_file_that_claims_to_be_huge_is_not_read() {
        let mut claims = file(DYNSYM, b"7.6.1\0", None);
        claims[120 + 64 + 32..][..8].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
        assert_eq!(client_version(&claims[..]), None);
    }

    proptest! {
        #[test]
        fn any_file_has_a_version_or_none(
            changes in proptest::collection::vec((0usize..0x618, any::<u8>()), 0..24),
            cut in 0usize..0x900,
        ) {
            let mut bytes = file(DYNSYM, &[0; 8], Some(0x1500));
            for (at, value) in changes {
                bytes[at] = value;
            }
            bytes.truncate(cut.max(64));
            if let Some(version) = client_version(&bytes[..]) {
                prop_assert!(version.len() < MAX_VERSION);
                prop_assert!(version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
            }
        }
    }
}
