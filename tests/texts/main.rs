//! Texts: error messages, the documents that name tests, what folders know of each
//! other, and documents that are compared with the code.

mod errors;
mod formula;
mod hazards;
mod kinds;
mod layers;
mod layout;
mod links;
mod markdown;
mod operations;
mod settings;
mod versions;
