//! A simulated cluster for tests.

use std::mem::ManuallyDrop;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use magnus::typed_data::Obj;
use magnus::{DataTypeFunctions, Error, RModule, Ruby, TypedData, function, method, prelude::*};
use tendmap::internals::layout::Lineage;
use tendmap::sim::{Sim, SimConfig, SimError, SimNamespace};
use tendmap_bindings::{Failure, Kind};

use crate::failure::guard;

/// A cluster in a thread of this process.
#[derive(TypedData)]
#[magnus(class = "Tendmap::SimulatedCluster", free_immediately)]
pub struct Simulated {
    sim: Mutex<Option<ManuallyDrop<Sim>>>,
    lineage: Lineage,
}

impl DataTypeFunctions for Simulated {}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.close();
    }
}

impl Simulated {
    fn close(&self) {
        // A forked child does not have the thread.
        if self.lineage == Lineage::current() {
            let sim = self.sim.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(sim.map(ManuallyDrop::into_inner));
        }
    }

    fn ask<R>(&self, ruby: &Ruby, f: impl FnOnce(&Sim) -> Result<R, SimError>) -> Result<R, Error> {
        guard(ruby, || {
            if self.lineage != Lineage::current() {
                let text = "the simulated cluster runs in the parent process; ask it there";
                return Err(Failure::new(Kind::Closed, text));
            }
            match &*self.sim.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(sim) => {
                    f(sim).map_err(|error| Failure::new(Kind::Argument, error.to_string()))
                }
                None => Err(Failure::new(Kind::Closed, "the simulated cluster is closed")),
            }
        })
    }
}

fn start(
    ruby: &Ruby,
    nodes: usize,
    namespaces: Vec<(String, usize)>,
    cluster_name: String,
    enterprise: bool,
) -> Result<Simulated, Error> {
    guard(ruby, || {
        let mut config = SimConfig::new(nodes);
        config.enterprise = enterprise;
        config.cluster_name = Some(cluster_name).filter(|name| !name.is_empty());
        let namespace = |(name, factor): (String, usize)| SimNamespace::new(&name, factor);
        config.namespaces = namespaces.into_iter().map(namespace).collect();
        let failed = |error: SimError| Failure::new(Kind::Argument, error.to_string());
        let sim = Mutex::new(Some(ManuallyDrop::new(Sim::start(config).map_err(failed)?)));
        Ok(Simulated { sim, lineage: Lineage::current() })
    })
}

fn hosts(ruby: &Ruby, this: Obj<Simulated>) -> Result<Vec<String>, Error> {
    this.ask(ruby, |sim| Ok(sim.seeds().iter().map(ToString::to_string).collect()))
}

fn kill(ruby: &Ruby, this: Obj<Simulated>, number: usize) -> Result<(), Error> {
    this.ask(ruby, |sim| sim.kill(number))
}

fn stop(ruby: &Ruby, this: Obj<Simulated>, number: usize) -> Result<(), Error> {
    this.ask(ruby, |sim| sim.stop_clean(number))
}

fn restart(ruby: &Ruby, this: Obj<Simulated>, number: usize) -> Result<(), Error> {
    this.ask(ruby, |sim| sim.start_node(number))
}

fn freeze(ruby: &Ruby, this: Obj<Simulated>, number: usize) -> Result<(), Error> {
    this.ask(ruby, |sim| sim.freeze(number))
}

fn thaw(ruby: &Ruby, this: Obj<Simulated>, number: usize) -> Result<(), Error> {
    this.ask(ruby, |sim| sim.thaw(number))
}

fn add(ruby: &Ruby, this: Obj<Simulated>) -> Result<usize, Error> {
    this.ask(ruby, Sim::add)
}

fn set_rack(
    ruby: &Ruby,
    this: Obj<Simulated>,
    number: usize,
    namespace: String,
    rack: i32,
) -> Result<(), Error> {
    this.ask(ruby, |sim| sim.set_rack(number, &namespace, rack))
}

fn is_quiet(ruby: &Ruby, this: Obj<Simulated>) -> Result<bool, Error> {
    this.ask(ruby, |sim| Ok(sim.settle(Duration::ZERO)))
}

fn owners(ruby: &Ruby, this: Obj<Simulated>, namespace: String) -> Result<Vec<Vec<String>>, Error> {
    this.ask(ruby, |sim| {
        let names = |row: Vec<tendmap::map::NodeId>| row.iter().map(ToString::to_string).collect();
        Ok(sim.owners(&namespace)?.into_iter().map(names).collect())
    })
}

pub fn define(ruby: &Ruby, module: RModule) -> Result<(), Error> {
    let class = module.define_class("SimulatedCluster", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_singleton_method("_start", function!(start, 4))?;
    class.define_method("hosts", method!(hosts, 0))?;
    class.define_method("kill", method!(kill, 1))?;
    class.define_method("stop", method!(stop, 1))?;
    class.define_method("start", method!(restart, 1))?;
    class.define_method("freeze_node", method!(freeze, 1))?;
    class.define_method("thaw_node", method!(thaw, 1))?;
    class.define_method("add", method!(add, 0))?;
    class.define_method("set_rack", method!(set_rack, 3))?;
    class.define_method("quiet?", method!(is_quiet, 0))?;
    class.define_method("owners", method!(owners, 1))?;
    class.define_method("close", method!(Simulated::close, 0))
}
