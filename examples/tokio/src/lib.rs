//! Changes of the map as a stream, on tokio's `AsyncFd`: a recipe to copy.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tendmap::{Changes, ChangesError};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The sequences of publications, from the one that is live when it is made. Several
/// publications in short succession may be reported as one, the last.
///
/// It ends with [`ChangesError::Closed`] when the client is closed.
#[derive(Debug)]
pub struct ChangeStream {
    changes: AsyncFd<Changes>,
    /// The sequence that was reported last.
    seen: u64,
}

impl ChangeStream {
    /// A stream of the changes of a client or a reader.
    ///
    /// # Errors
    /// That of the reactor.
    ///
    /// # Panics
    /// If it is not called in a runtime with I/O.
    pub fn new(changes: Changes) -> io::Result<ChangeStream> {
        let seen = changes.sequence();
        // The descriptor stays open and the same as long as the handle exists.
        #[allow(deprecated, reason = "safe, and in every version; the newest has an unsafe one")]
        let changes = AsyncFd::with_interest(changes, Interest::READABLE)?;
        Ok(ChangeStream { changes, seen })
    }

    /// The sequence that was reported last, at first that of the beginning.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.seen
    }

    /// Waits for the next change. Cancellation safe: a future that is dropped before it is
    /// ready has taken nothing.
    ///
    /// # Errors
    /// [`ChangesError::Closed`] when the client is closed, then at each further call;
    /// [`ChangesError::Descriptor`] if the runtime has shut down.
    pub async fn changed(&mut self) -> Result<u64, ChangesError> {
        std::future::poll_fn(|context| self.poll_changed(context)).await
    }

    /// As [`changed`](Self::changed), for a future of one's own.
    ///
    /// # Errors
    /// As [`changed`](Self::changed).
    pub fn poll_changed(&mut self, context: &mut Context<'_>) -> Poll<Result<u64, ChangesError>> {
        loop {
            // Fails only if the runtime has shut down: the client may be alive.
            let shut_down = |error| ChangesError::Descriptor(Arc::new(error));
            let mut guard = ready!(self.changes.poll_read_ready(context)).map_err(shut_down)?;
            // In this order: a change after `take` makes the descriptor readable again,
            // which is a new event, and survives the clearing of this one. After an error
            // it stays ready: the next call returns the error again, and never waits.
            let sequence = self.changes.get_ref().take()?;
            guard.clear_ready();
            if sequence != self.seen {
                self.seen = sequence;
                return Poll::Ready(Ok(sequence));
            }
        }
    }
}

impl Stream for ChangeStream {
    type Item = u64;

    /// Ends when [`changed`](Self::changed) fails: the client is closed, or the runtime has
    /// shut down.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<u64>> {
        self.poll_changed(context).map(Result::ok)
    }
}
