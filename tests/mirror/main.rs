//! Mirrors of the C client's segment, without a client: what they store, whom
//! they wait for, and what they refuse.

mod content;
mod damage;
mod ownership;
mod refusal;
mod rig;
