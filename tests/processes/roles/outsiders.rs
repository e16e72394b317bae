//! Workers that are not ordinary clients: they die while they create a segment, only
//! read, or meet a limit.

use std::sync::{Arc, Mutex};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use serde_json::json;
use tendmap::client::{Client, Event, Observer, Reader};
use tendmap::internals::layout::{Geometry, Shm, shm_create};
use tendmap::internals::segment::{CreateOutcome, create};
use tendmap::map::{Capacity, Slot};
use tendmap::segment::remove;

use super::say;
use crate::setup::Setup;
use tendmap_testkit::{Cluster, node, wait_until};

/// Makes and removes segments until it is killed.
pub fn churn(setup: &Setup) {
    let place = setup.place();
    say(json!({"event": "churning"}));
    loop {
        if let CreateOutcome::Owner(ownership) = create(&place, 1, Capacity::DEFAULT, None).unwrap()
        {
            drop(ownership);
        }
        let _ = remove(&place, true);
    }
}

/// Only reads, and looks again at each line of input after the segment was replaced.
pub fn look(setup: &Setup) {
    let reader = Reader::attach(&setup.place()).unwrap();
    let mut last = 0;
    loop {
        wait_until("a segment", || reader.segment().identity().generation > last);
        let segment = reader.segment();
        last = segment.identity().generation;
        let writer = match (segment.path(), segment.location().unwrap().shm_id()) {
            (_, Some(id)) => Shm::attach(id, true).is_ok(),
            (path, _) => std::fs::File::options().write(true).open(path.unwrap()).is_ok(),
        };
        let nodes = reader.map().unwrap().map.nodes.len();
        let attached = reader.status().unwrap().attached;
        say(json!({
            "event": "read", "nodes": nodes, "attached": attached, "generation": last,
            "writer": writer,
        }));
        if std::io::stdin().lines().next().is_none() {
            return;
        }
    }
}

/// A creator in progress: it holds the lock, and its segment has no magic yet.
pub fn half(setup: &Setup) {
    let path = setup.directory.join(format!("tendmap-{:08x}-v3-sysv.lock", setup.key));
    let lock = std::fs::File::options().write(true).create_new(true).open(path).unwrap();
    let mut byte = libc::flock { l_start: 0, l_len: 1, l_pid: 0, l_type: 0, l_whence: 0 };
    byte.l_type = libc::F_WRLCK as libc::c_short;
    fcntl(&lock, FcntlArg::F_OFD_SETLK(&byte)).unwrap();
    let bytes = Geometry::new(Capacity::DEFAULT).unwrap().total_bytes();
    let id = shm_create(setup.key, bytes, 0o600).unwrap();
    let memory = Shm::attach(id, true).unwrap();
    say(json!({"event": "half"}));
    let _ = std::io::stdin().lines().next();
    drop((memory, lock));
}

/// A client whose cluster outgrows a segment that can't be replaced by a larger
/// one.
pub fn outgrow(setup: &Setup) {
    let cluster = Cluster::new(2, 1);
    let told = Arc::new(Mutex::new(None));
    let heard = told.clone();
    let mut config = setup.config();
    config.observer = Some(Observer::new(move |event| {
        if let Event::NoRoom { error } = event {
            *heard.lock().unwrap() = Some(error.clone());
        }
    }));
    let client = Client::connect_with(config, cluster.source()).unwrap();
    let before = client.map().unwrap().sequence;
    // Enough nodes to need more pages.
    cluster.change(|map| {
        (2..16).for_each(|number| map.nodes.insert(node(number)).map(drop).unwrap());
    });
    wait_until("no room", || told.lock().unwrap().is_some());
    let status = client.status().unwrap();
    // A map that fits is published again.
    cluster.change(|map| {
        *map = tendmap::map::ClusterMap::new(Capacity::DEFAULT);
        (0..2).for_each(|number| map.nodes.insert(node(number)).map(drop).unwrap());
        tendmap_testkit::add_namespace(map, "test", 1);
        map.namespaces_mut()[0].partitions.set_holder(0, 0, Slot::new(1));
    });
    let sequence = client.wait_for_change(before, std::time::Duration::from_secs(30));
    let text = told.lock().unwrap().clone();
    say(json!({
        "event": "outgrown", "generation": status.generation, "retired": status.retired,
        "nodes": status.nodes, "text": text, "published": sequence > before,
    }));
    client.close();
}

/// Holds read locks on all files of the directory that it may open, until it ends.
pub fn lock_all(setup: &Setup) {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(&setup.directory).unwrap().map(|entry| entry.unwrap().path());
    for path in entries {
        let Ok(file) = std::fs::File::open(&path) else { continue };
        let mut all = libc::flock { l_start: 0, l_len: 0, l_pid: 0, l_type: 0, l_whence: 0 };
        all.l_type = libc::F_RDLCK as libc::c_short;
        fcntl(&file, FcntlArg::F_OFD_SETLK(&all)).unwrap();
        files.push((path, file));
    }
    let names: Vec<String> = files.iter().map(|(path, _)| path.display().to_string()).collect();
    say(json!({"event": "locked", "files": names}));
    let _ = std::io::stdin().lines().next();
}
