//! Texts: errors, and the documents that name tests.

mod errors;
mod hazards;
mod settings;
