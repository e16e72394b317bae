//! Searches the memory of a process.
#![allow(dead_code, reason = "each test uses a part")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// The number of copies, and how many of them a core dump would contain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    pub all: usize,
    pub dumped: usize,
}

/// One copy, in no core dump.
pub const ONE: Copies = Copies { all: 1, dumped: 0 };
/// No copy.
pub const NONE: Copies = Copies { all: 0, dumped: 0 };

/// Counts the copies of each of these byte strings in all memory of a process.
pub fn copies(pid: u32, wanted: &[&[u8]]) -> Vec<Copies> {
    let smaps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = vec![Copies::default(); wanted.len()];
    let mut region = Vec::new();
    for line in smaps.lines() {
        let first = line.split(' ').next().unwrap_or_default();
        if let Some((from, to)) = first.split_once('-')
            && let (Ok(from), Ok(to)) = (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16))
        {
            region = vec![0; (to - from) as usize];
            // Some of the kernel's pages can't be read.
            let readable = line.as_bytes()[first.len() + 1] == b'r';
            if !readable || memory.read_exact_at(&mut region, from).is_err() {
                region.clear();
            }
        } else if let Some(flags) = line.strip_prefix("VmFlags:") {
            let dumped = !flags.split(' ').any(|flag| flag == "dd");
            for (found, wanted) in found.iter_mut().zip(wanted) {
                let count = count(&region, wanted);
                found.all += count;
                found.dumped += if dumped { count } else { 0 };
            }
        }
    }
    found
}

fn count(memory: &[u8], wanted: &[u8]) -> usize {
    let (mut count, mut rest) = (0, memory);
    while let Some(at) = rest.iter().position(|&byte| byte == wanted[0]) {
        rest = &rest[at..];
        count += usize::from(rest.starts_with(wanted));
        rest = &rest[1..];
    }
    count
}
