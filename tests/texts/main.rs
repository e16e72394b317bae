//! Texts: error messages, the documents that name tests, and what folders know of
//! each other.

mod errors;
mod hazards;
mod layers;
mod settings;
