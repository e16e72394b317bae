//! The descriptors for changes: handles that come and go, the thread that makes them
//! readable, publications and closes.
//!
//! The rule is `tendmap_loom::ringing`, the product's code. The head is one word, loaded
//! Relaxed; an eventfd is a count under a lock, as in the kernel. The thread looks a few
//! times at any time: its sleep ends whenever the schedule has it. When all others have
//! ended it looks once more, as the product's does at the latest after its stretch.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use loom::thread::{self, JoinHandle};
use tendmap_loom::check::{Model, invariant, reach};
use tendmap_loom::ringing::{Ring, Ringing};
use tendmap_loom::sync::step::{ADD, CLEAR, CLOSE, END, ENDED, OVER, START, TOLD};
use tendmap_loom::sync::{AtomicU64, Mutex, Ordering};

/// The host never closes it here.
#[derive(Debug)]
enum Never {}

/// An eventfd.
struct Bell(Mutex<u64>);

impl Bell {
    fn is_readable(&self) -> bool {
        *self.0.lock().expect("no panic") > 0
    }
}

impl Ring for Bell {
    type Error = Never;

    fn ring(&self) {
        *self.0.lock().expect("no panic") += 1;
    }

    fn clear(&self) -> Result<(), Never> {
        *self.0.lock().expect("no panic") = 0;
        Ok(())
    }
}

/// A client's head, whether its own thread has ended, and its watcher.
struct Client {
    head: AtomicU64,
    ended: Rc<AtomicU64>,
    ringing: Ringing<Bell, u64, Box<dyn Fn() -> bool>>,
    /// How often a thread looks at any time.
    looks: usize,
    /// The threads that were started.
    threads: RefCell<Vec<JoinHandle<bool>>>,
}

/// The result of a `take`, or of the attempt to get a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Head(u64),
    Closed,
}

impl Client {
    fn new(looks: usize) -> Rc<Client> {
        let ended = Rc::new(AtomicU64::new(0));
        let ends = Rc::clone(&ended);
        let has_ended: Box<dyn Fn() -> bool> = Box::new(move || ends.load(Ordering::Acquire) != 0);
        Rc::new(Client {
            head: AtomicU64::new(1),
            ended,
            ringing: Ringing::new(has_ended),
            looks,
            threads: RefCell::default(),
        })
    }

    fn load(&self) -> u64 {
        self.head.load(Ordering::Relaxed)
    }

    /// Another process publishes, up to this head.
    fn publishes(self: &Rc<Client>, last: u64) -> JoinHandle<()> {
        let client = Rc::clone(self);
        thread::spawn(move || {
            (2..=last).for_each(|head| client.head.store(head, Ordering::Relaxed));
        })
    }

    /// The thread, for a number of looks; returns whether it would go on.
    fn look(&self, looks: usize) -> bool {
        let left = Cell::new(looks);
        let look = || (left.get() > 0).then(|| self.load());
        self.ringing.run(look, |_| left.set(left.get() - 1));
        left.get() == 0
    }

    /// Another handle, whose owner looks at the map; `None` if it is closed.
    fn add(self: &Rc<Client>) -> Option<Handle> {
        let bell = Arc::new(Bell(Mutex::new(0)));
        let start = || {
            let client = Rc::clone(self);
            let thread = thread::spawn(move || client.look(client.looks));
            self.threads.borrow_mut().push(thread);
            Ok::<(), Never>(())
        };
        let Ok(added) = self.ringing.add(&bell, || self.load(), start);
        added.then(|| Handle { client: Rc::clone(self), bell, last: Taken::Head(self.load()) })
    }

    /// Waits until all is quiet: the threads that would go on look once more.
    fn settle(&self) {
        let threads = self.threads.take();
        let running = threads.into_iter().filter_map(|thread| thread.join().ok().filter(|on| *on));
        let running = running.count();
        invariant(running <= 1, "one thread at a time");
        if running == 1 {
            reach("still runs");
            self.look(1);
        } else {
            reach("has ended");
        }
    }
}

struct Handle {
    client: Rc<Client>,
    bell: Arc<Bell>,
    last: Taken,
}

impl Handle {
    fn take(mut self) -> Handle {
        let Ok(taken) = self.client.ringing.take(&self.bell, || self.client.load());
        self.last = taken.map_or(Taken::Closed, Taken::Head);
        self
    }

    fn remove(self) {
        self.client.ringing.remove(&self.bell);
    }

    /// Its owner has seen this, or will be told of it.
    fn knows(&self, what: Taken) -> bool {
        if self.last == what {
            reach("seen");
            return true;
        }
        let readable = self.bell.is_readable();
        if readable {
            reach("readable");
        }
        readable
    }
}

/// A handle that is added, and taken, at any time during two publications: in the end its
/// owner has taken the newest, or the descriptor is readable.
#[test]
fn m17_h161_no_change_is_lost() {
    Model::bounded("changes", 2, 3)
        .reaching(&["seen", "readable", "still runs"])
        .needing(&[CLEAR, TOLD, ADD])
        .check(|| {
            let client = Client::new(2);
            let publisher = client.publishes(3);
            let owner = thread::spawn({
                let client = client.clone();
                move || client.add().expect("not closed").take().take()
            });
            publisher.join().expect("no panic");
            let handle = owner.join().expect("no panic");
            client.settle();
            invariant(handle.knows(Taken::Head(3)), "no change is lost");
        });
}

/// The same of two handles and one publication: the second handle may be added at any
/// time, and one thread tells both.
#[test]
fn m17_another_handle_is_told_as_well() {
    Model::bounded("two handles", 2, 2)
        .reaching(&["seen", "readable", "still runs"])
        .needing(&[CLEAR])
        .check(|| {
            let client = Client::new(1);
            let publisher = client.publishes(2);
            let owners = [(); 2].map(|()| {
                let client = client.clone();
                thread::spawn(move || client.add().expect("not closed").take())
            });
            publisher.join().expect("no panic");
            let handles = owners.map(|owner| owner.join().expect("no panic"));
            client.settle();
            let told = handles.iter().filter(|handle| handle.knows(Taken::Head(2))).count();
            invariant(told == 2, "no change is lost");
        });
}

/// The last handle is removed, and another one is added: if the thread ends, that one has
/// a thread of its own.
#[test]
fn m17_a_thread_that_ends_is_started_again() {
    Model::bounded("last handle", 2, 3)
        .reaching(&["seen", "readable", "still runs", "started again"])
        .needing(&[CLEAR, ADD, END, OVER])
        .check(|| {
            let client = Client::new(2);
            let publisher = client.publishes(2);
            let owner = thread::spawn({
                let client = client.clone();
                move || {
                    client.add().expect("not closed").remove();
                    client.add().expect("not closed").take()
                }
            });
            publisher.join().expect("no panic");
            let handle = owner.join().expect("no panic");
            if client.threads.borrow().len() == 2 {
                reach("started again");
            }
            client.settle();
            invariant(handle.knows(Taken::Head(2)), "no change is lost");
        });
}

/// When `close` returns, each handle is readable or has reported it, without help by the
/// thread.
#[test]
fn m17_a_close_makes_all_handles_readable() {
    Model::bounded("close", 3, 4)
        .reaching(&["seen", "readable", "refused"])
        .needing(&[CLEAR, CLOSE])
        .check(|| close_during(|client| client.add().map(Handle::take)));
}

/// A handle that is made during a close is refused or readable.
#[test]
fn m17_a_handle_made_during_a_close_is_closed() {
    Model::bounded("made during a close", 3, 4)
        .reaching(&["readable", "refused"])
        .needing(&[ADD])
        .check(|| close_during(Client::add));
}

fn close_during(owner: impl FnOnce(&Rc<Client>) -> Option<Handle> + 'static) {
    let client = Client::new(2);
    let closer = thread::spawn({
        let client = client.clone();
        move || client.ringing.close()
    });
    let owner = thread::spawn({
        let client = client.clone();
        move || owner(&client)
    });
    let first = closer.join().expect("no panic");
    let handle = owner.join().expect("no panic");
    invariant(first && !client.ringing.close(), "it is closed once");
    let Some(handle) = handle else {
        reach("refused");
        return;
    };
    invariant(handle.knows(Taken::Closed), "a close is reported");
    invariant(handle.take().last == Taken::Closed, "from then on it is closed");
}

/// The client's own thread ends, which rings nothing: the next look of the watcher does.
#[test]
fn m17_an_end_without_a_close_is_reported() {
    Model::bounded("end", 3, 4)
        .reaching(&["seen", "readable", "has ended", "refused"])
        .needing(&[CLEAR, ENDED])
        .check(|| {
            let client = Client::new(2);
            let ender = thread::spawn({
                let client = client.clone();
                move || client.ended.store(1, Ordering::Release)
            });
            let owner = thread::spawn({
                let client = client.clone();
                move || client.add().map(Handle::take)
            });
            ender.join().expect("no panic");
            let handle = owner.join().expect("no panic");
            client.settle();
            match handle {
                Some(handle) => invariant(handle.knows(Taken::Closed), "the end is reported"),
                None => reach("refused"),
            }
        });
}

/// Without a publication a handle does not become readable.
#[test]
fn m17_nothing_is_told_without_a_change() {
    Model::bounded("no change", 3, 4).reaching(&["still runs"]).needing(&[START]).check(|| {
        let client = Client::new(2);
        let owners = [(); 2].map(|()| {
            let client = client.clone();
            thread::spawn(move || client.add().expect("not closed"))
        });
        let handles = owners.map(|owner| owner.join().expect("no panic"));
        client.settle();
        let told = handles.iter().filter(|handle| handle.bell.is_readable()).count();
        invariant(told == 0, "nothing has changed");
    });
}
