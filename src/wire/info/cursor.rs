//! Parses a value byte by byte.

use super::shown;

/// A value that does not follow its grammar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: found {found:?} at byte {at}; wanted {wanted}")]
pub struct GrammarError {
    /// The kind of value.
    pub what: &'static str,
    /// The position of the error, in bytes.
    pub at: usize,
    /// The text at that position.
    pub found: String,
    /// What was expected there.
    pub wanted: &'static str,
}

pub(super) struct Cursor<'a> {
    what: &'static str,
    input: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(what: &'static str, input: &'a [u8]) -> Cursor<'a> {
        Cursor { what, input, at: 0 }
    }

    /// A cursor over the part of the input between these positions.
    pub(super) fn at_entry(
        what: &'static str,
        input: &'a [u8],
        start: usize,
        end: usize,
    ) -> Cursor<'a> {
        Cursor { what, input: &input[..end], at: start }
    }

    /// The error that something else was expected at the current position.
    pub(super) fn wanted(&self, wanted: &'static str) -> GrammarError {
        self.wanted_at(self.at, wanted)
    }

    /// The error that something else was expected at a given position.
    pub(super) fn wanted_at(&self, at: usize, wanted: &'static str) -> GrammarError {
        let found = shown(&self.input[at..]).chars().take(24).collect();
        GrammarError { what: self.what, at, found, wanted }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    /// Skips the byte if it is next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    pub(super) fn expect(&mut self, byte: u8, wanted: &'static str) -> Result<(), GrammarError> {
        if self.eat(byte) { Ok(()) } else { Err(self.wanted(wanted)) }
    }

    pub(super) fn end(&self) -> Result<(), GrammarError> {
        if self.at == self.input.len() { Ok(()) } else { Err(self.wanted("the end")) }
    }

    /// Everything up to one of these bytes or the end.
    pub(super) fn until(&mut self, stops: &[u8]) -> &'a [u8] {
        let rest = &self.input[self.at..];
        let length = rest.iter().position(|byte| stops.contains(byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// A decimal number, with a leading `-` if the type allows it.
    pub(super) fn number<N: core::str::FromStr>(
        &mut self,
        wanted: &'static str,
    ) -> Result<N, GrammarError> {
        let start = self.at;
        self.eat(b'-');
        let digits = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        let text = core::str::from_utf8(&self.input[start..self.at]).unwrap_or_default();
        let number = (self.at > digits).then(|| text.parse().ok()).flatten();
        number.ok_or_else(|| self.wanted_at(start, wanted))
    }

    /// The bytes consumed since `start`.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        &self.input[start..self.at]
    }
}
