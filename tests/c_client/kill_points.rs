//! A mirror that dies after each of its stores.

use tendmap::internals::c_client::{Planner, Store};

use crate::world::{Spec, World, wanted};

impl World {
    /// The mirror dies: before that store, or within it if it has many words.
    pub fn die_within(&mut self, store: &Store, torn: bool) {
        if let (true, tendmap::internals::c_client::Value::Body(bytes)) = (torn, &store.value) {
            let half = bytes.len() / 8 * 4;
            self.image[store.offset..store.offset + half].copy_from_slice(&bytes[..half]);
            self.check_all();
        }
    }

    /// The next mirror reads the segment.
    pub fn adopt(&self) -> Planner {
        Planner::adopt(self.shape, &self.image).unwrap()
    }

    /// What an entry names.
    pub fn entry(&self, table: usize, partition: usize) -> Vec<u32> {
        let replicas = 0..self.shape.layout.replicas();
        let at = replicas.map(|replica| self.shape.holder(table, partition, replica));
        at.map(|at| crate::world::u32_at(&self.image, at)).collect()
    }
}

/// A node moves, one leaves, one joins, a namespace is new, a rack and a factor change.
fn maps() -> (Spec, Spec) {
    let before = [Some((0, 1, 0)), Some((0, 1, 0)), Some((0, 1, 2)), None, None, None];
    let after = [Some((1, 1, 0)), None, Some((0, 1, -1)), Some((0, 2, -1)), None, None];
    let entry = |holders: [u8; 3]| holders.map(Some);
    let old = [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]].map(entry);
    let new = [[0, 3, 2], [3, 2, 0], [2, 0, 3], [0, 2, 3]].map(entry);
    let before = (before.to_vec(), vec![Some((3, false, old, 1)), None, None]);
    let after = (after.to_vec(), vec![Some((2, true, new, 2)), Some((2, false, new, 0)), None]);
    (before, after)
}

#[test]
fn each_store_of_a_change_can_be_the_last() {
    use tendmap::internals::c_client::{Capacity, Layout, Shape};
    for layout in Layout::ALL {
        let shape = Shape::new(layout, Capacity::new(4, 2).unwrap());
        let (before, after) = maps();
        let (before, after) = (wanted(&before, layout), wanted(&after, layout));
        // As many stores as all passes of the change make.
        let (mut world, mut planner) = World::create(shape, &before, &[1, 500]);
        world.settle(&mut planner, &before);
        let start = world.clone();
        world.settle(&mut planner, &after);
        let total = world.stores - start.stores;
        assert!(total > 30, "{total}");
        // Each store in one layout; of the others, which differ in offsets, some.
        let step = if layout == Layout::E { 1 } else { 7 };
        for doomed in (0..=total).step_by(step) {
            let (mut world, mut left) = (start.clone(), doomed);
            let mut planner = world.adopt();
            let mut pass = planner.pass(&after, world.now);
            while left >= pass.stores.len() {
                world.apply(&pass.stores, None);
                left -= pass.stores.len();
                let Some(due) = pass.due else { break };
                world.wait(due - world.now);
                pass = planner.pass(&after, world.now);
            }
            let made = left.min(pass.stores.len());
            world.apply(&pass.stores[..made], None);
            if let Some(next) = pass.stores.get(made) {
                world.die_within(next, true);
            }
            // It is noticed at once, or after a while.
            for pause in [0, 30_000] {
                let mut world = world.clone();
                world.wait(pause);
                let mut planner = world.adopt();
                world.settle(&mut planner, &after);
            }
        }
    }
}

#[test]
fn a_segment_that_was_never_ready_is_made_again_from_any_store_on() {
    use tendmap::internals::c_client::{Capacity, Layout, Shape, header};
    let shape = Shape::new(Layout::E, Capacity::new(3, 2).unwrap());
    let (before, after) = maps();
    let (_, pass) = Planner::create(shape, &wanted(&before, shape.layout), 1, 5, 5);
    for made in 0..pass.stores.len() {
        let mut image = vec![0xa5; shape.bytes()];
        image[header::READY] = 0;
        for store in &pass.stores[..made] {
            store.put(&mut image);
        }
        let (mut planner, pass) = Planner::create(shape, &wanted(&after, shape.layout), 2, 7, 7);
        for store in &pass.stores {
            assert_eq!(image[header::READY], 0);
            store.put(&mut image);
        }
        assert_eq!(image[header::READY], 1);
        let mended = planner.mend(&image);
        let padding = |store: &Store| {
            (0..3).any(|slot| store.offset == shape.active(slot)) || store.offset == 20
        };
        assert!(mended.stores.iter().all(padding), "only padding differs: {:?}", mended.stores);
    }
}
