//! The protocol: how one writer publishes, many read, and another takes over.
//!
//! Pure functions over `&AtomicU64` and `&[AtomicU64]`: no `unsafe`, no files, no clocks.
//! Everything that makes the segment *safe* is here and rests on nothing but terms and tags;
//! *when* to take over (locks, heartbeats, time) is decided elsewhere and can be wrong without
//! harm.
//!
//! # The words
//! - The **head** is one word `term:16 | retired:1 | sequence:47` ([`Head`]). Its low 48 bits are
//!   the [`Stamp`] that readers compare.
//! - Every other mutable word is `tag:16 | payload:48` ([`Word`]), where the tag is the term of
//!   its writer.
//! - There are two frames. Publication `s` lies in frame `s & 1`.
//!
//! # Why it holds
//! Four fences and exchanges carry the proof; each names its partner in the code.
//!
//! 1. *A reader that validates has read one whole publication.* It loads the head at stamp `s`,
//!    fences (Acquire, **R1**), loads words of frame `s & 1`, fences (Acquire, **R2**), and loads
//!    the head again. R1 pairs with the Release of the head exchange that published `s` (**P2**):
//!    all words of `s` are visible. Any word that is *newer* than `s` in that frame was stored
//!    after some writer's Release fence (**P1**) that came after the head had passed `s`; P1
//!    pairs with R2, so the second load sees a head past `s` and the reader tries again.
//! 2. *A late writer changes nothing that was published.* A word is only ever exchanged from
//!    exactly the value that was loaded, and never when its tag is newer than the writer's term.
//!    Before a new owner publishes a frame, every word that the publication reaches carries its
//!    tag; from then on an older writer can't change it, and its head exchange fails, for the
//!    head carries the newer term.
//! 3. *A term has one writer.* It is entered by a single compare-exchange of the head from an
//!    older term, and terms are never reused.
//! 4. *Nobody waits.* A reader is disturbed only by a publication that completed between its two
//!    loads of the head. A writer that stops between any two of its instructions leaves the live
//!    frame as it is.

mod cached;
mod draft;
mod frame;
mod head;
mod ownership;
mod read;
mod word;

pub use cached::{Admit, Cached, Check, StampCell};
pub use frame::{PublishError, Publisher};
pub use head::{Head, Stamp};
pub use ownership::{
    NewerTag, TakeoverLost, add_owner, load_owner, raise_event, retire, store_owner, take_over,
};
pub use read::{
    CachedStamp, RETRIES, ReadRaced, begin_read, read, tries, validate, validate_cached,
};
pub use word::{CONTENTION, PAYLOAD_BITS, PAYLOAD_MASK, Term, Word};
