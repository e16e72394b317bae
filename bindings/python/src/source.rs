//! What a process reads with: a client, or a reader.

use tendmap::Reader;
use tendmap::client::Client as Known;
use tendmap::map::Node;
use tendmap::route::Router;

/// What routers are made by. A router keeps its client open.
#[derive(Clone)]
pub enum Source {
    Client(Known),
    Reader(Reader),
}

impl Source {
    /// A router with a state for each node.
    pub fn router_with<S>(&self, state: impl FnMut(&Node) -> S + Send + 'static) -> Router<S> {
        match self {
            Source::Client(client) => client.router_with(state),
            Source::Reader(reader) => reader.router_with(state),
        }
    }

    /// The reading half.
    pub fn reader(&self) -> Reader {
        match self {
            Source::Client(client) => client.reader(),
            Source::Reader(reader) => reader.clone(),
        }
    }
}
