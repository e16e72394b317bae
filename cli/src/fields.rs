//! The values of a line of the log, escaped.

use core::fmt;

use tendmap::internals::text::Printable;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

/// Writes each value so that the line stays one line, and a terminal only shows
/// it: whatever wrote it, this library or another.
pub fn printable() -> impl for<'a> FormatFields<'a> + 'static {
    debug_fn(|writer: &mut Writer<'_>, field, value: &dyn fmt::Debug| match field.name() {
        "message" => write!(writer, "{}", Printable(format_args!("{value:?}"))),
        name => write!(writer, "{name}={}", Printable(format_args!("{value:?}"))),
    })
    .delimited(" ")
}
