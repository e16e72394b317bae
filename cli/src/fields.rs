//! Escapes the values in a line of the log.

use core::fmt;

use tendmap::internals::text::Printable;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

/// Writes each value, of this library or another, so that the line stays one line
/// and has no effect on a terminal other than its text.
pub fn printable() -> impl for<'a> FormatFields<'a> + 'static {
    debug_fn(|writer: &mut Writer<'_>, field, value: &dyn fmt::Debug| match field.name() {
        "message" => write!(writer, "{}", Printable(format_args!("{value:?}"))),
        name => write!(writer, "{name}={}", Printable(format_args!("{value:?}"))),
    })
    .delimited(" ")
}
