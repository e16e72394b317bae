//! Texts: error messages, and the documents that name tests.

mod errors;
mod hazards;
mod settings;
