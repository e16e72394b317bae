//! What may move to another thread, and what several threads may share.

use std::error::Error;
use std::fmt::Debug;
use std::rc::Rc;

use static_assertions::{assert_impl_all, assert_not_impl_any};
use tendmap::client::{
    Changes, ChangesError, Client, Config, ConfigError, ConnectError, DurationError, Event,
    Observer, Reader, Setting, SettingError, Status, StatusError,
};
use tendmap::map::{
    BuildError, CapacityError, ClusterMap, MapFull, NameError, Node, Snapshot, SnapshotError,
};
use tendmap::route::{
    Attempt, Batch, Digest, DigestError, ErrorWindow, NamespaceHandle, Policy, Record, RouteError,
    Router, SharedRoute, SharedRouter,
};
use tendmap::segment::{HeaderError, ListedSegment, Place, PlaceError, SegmentError};
use tendmap::sim::{Sim, SimError};
use tendmap::tend::tls::{TlsConfig, TlsError};
use tendmap::tend::{AerospikeConfig, AerospikeSource, ClusterSource, TendError, TendEvent};
use tendmap::wire::login::{
    Credentials, CredentialsError, LoginError, Request, SecretString, Session,
};
use tendmap::wire::{Host, HostError};

#[test]
fn clients_and_what_they_return_can_be_shared_by_threads() {
    assert_impl_all!(Client: Send, Sync, Clone, Debug);
    assert_impl_all!(Reader: Send, Sync, Clone, Debug);
    assert_impl_all!(Changes: Send, Sync, Debug);
    assert_impl_all!(Config: Send, Sync, Clone, Debug);
    assert_impl_all!(Setting: Send, Sync, Debug);
    assert_impl_all!(Observer: Send, Sync, Clone, Debug);
    assert_impl_all!(Event: Send, Sync, Clone, Debug);
    assert_impl_all!(TendEvent: Send, Sync, Clone, Debug);
    assert_impl_all!(Status: Send, Sync, Clone, Debug);
    assert_impl_all!(Snapshot: Send, Sync, Clone, Debug);
    assert_impl_all!(ClusterMap: Send, Sync, Clone, Debug);
    assert_impl_all!(Node: Send, Sync, Copy, Debug);
    assert_impl_all!(Place: Send, Sync, Clone, Debug);
    assert_impl_all!(ListedSegment: Send, Sync, Clone, Debug);
    assert_impl_all!(Host: Send, Sync, Clone, Debug);
    assert_impl_all!(TlsConfig: Send, Sync, Clone, Debug);
    assert_impl_all!(AerospikeConfig: Send, Sync, Clone, Debug);
    assert_impl_all!(Credentials: Send, Sync, Clone, Debug);
    assert_impl_all!(SecretString: Send, Sync, Clone, Debug);
    assert_impl_all!(Session: Send, Sync, Debug);
    assert_impl_all!(Request: Send, Sync, Debug);
    assert_impl_all!(Sim: Send, Sync, Debug);
}

/// A router has the state of one thread. It may move to another one, if that state
/// may.
#[test]
fn a_router_belongs_to_one_thread_at_a_time() {
    assert_impl_all!(Router: Send, Debug);
    assert_impl_all!(Router<Vec<u8>>: Send, Debug);
    assert_not_impl_any!(Router: Sync, Clone);
    assert_not_impl_any!(Router<Rc<()>>: Send, Sync);
}

/// A shared router has states that all threads may use.
#[test]
fn a_shared_router_belongs_to_all_threads() {
    assert_impl_all!(SharedRouter: Send, Sync, Clone, Debug);
    assert_impl_all!(SharedRouter<Vec<u8>>: Send, Sync, Clone, Debug);
    assert_impl_all!(SharedRoute<Vec<u8>>: Send, Sync, Debug);
    assert_not_impl_any!(SharedRouter<Rc<()>>: Send, Sync);
    assert_not_impl_any!(SharedRouter<std::cell::Cell<u8>>: Send, Sync);
}

#[test]
fn what_a_router_takes_and_fills_can_move_to_another_thread() {
    assert_impl_all!(Attempt: Send, Sync, Copy, Debug);
    assert_impl_all!(Batch: Send, Sync, Clone, Debug);
    assert_impl_all!(Digest: Send, Sync, Copy, Debug);
    assert_impl_all!(ErrorWindow: Send, Clone, Debug);
    assert_impl_all!(NamespaceHandle: Send, Sync, Copy, Debug);
    assert_impl_all!(Policy: Send, Sync, Copy, Debug);
    assert_impl_all!(Record<'static>: Send, Sync, Copy, Debug);
}

/// A source is tended by the client's own thread.
#[test]
fn a_source_can_move_to_another_thread() {
    assert_impl_all!(AerospikeSource: Send, Debug, ClusterSource);
    assert_impl_all!(Box<dyn ClusterSource>: Send);
}

#[test]
fn every_error_fits_in_a_box_that_any_thread_may_have() {
    assert_impl_all!(BuildError: Error, Send, Sync, Clone);
    assert_impl_all!(CapacityError: Error, Send, Sync, Clone);
    assert_impl_all!(ConfigError: Error, Send, Sync, Clone);
    assert_impl_all!(ChangesError: Error, Send, Sync, Clone);
    assert_impl_all!(ConnectError: Error, Send, Sync, Clone);
    assert_impl_all!(CredentialsError: Error, Send, Sync, Clone);
    assert_impl_all!(DigestError: Error, Send, Sync, Clone);
    assert_impl_all!(DurationError: Error, Send, Sync, Clone);
    assert_impl_all!(HeaderError: Error, Send, Sync, Clone);
    assert_impl_all!(HostError: Error, Send, Sync, Clone);
    assert_impl_all!(PlaceError: Error, Send, Sync, Clone);
    assert_impl_all!(LoginError: Error, Send, Sync, Clone);
    assert_impl_all!(NameError: Error, Send, Sync, Clone);
    assert_impl_all!(MapFull: Error, Send, Sync, Clone);
    assert_impl_all!(RouteError: Error, Send, Sync, Clone);
    assert_impl_all!(SegmentError: Error, Send, Sync, Clone);
    assert_impl_all!(SettingError: Error, Send, Sync, Clone);
    assert_impl_all!(SimError: Error, Send, Sync);
    assert_impl_all!(SnapshotError: Error, Send, Sync, Clone);
    assert_impl_all!(StatusError: Error, Send, Sync);
    assert_impl_all!(TendError: Error, Send, Sync, Clone);
    assert_impl_all!(TlsError: Error, Send, Sync, Clone);
}
