//! The models. Each names its invariant, and each fails without any one of the
//! steps that it needs.

mod c_client;
mod changes;
mod checker;
mod growth;
mod late;
mod owner_words;
mod publication;
mod router;
mod slots;
mod takeover;
