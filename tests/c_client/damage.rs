//! What others stored into the segment.

use proptest::prelude::*;
use tendmap::internals::c_client::{
    Kinship, Planner, Shape, ShapeError, Value, free_take_over_lock, header, repair,
};

use crate::world::{World, shape, spec, u32_at, wanted};

/// Whether a mirror leaves a byte as it is.
fn left_alone(shape: Shape, world: &World, at: usize) -> bool {
    let in_slot = |offset: usize| (offset..offset + 4).contains(&at);
    let slots = 0..shape.capacity.max_nodes();
    at < header::NODES_SIZE
        || (header::TAKE_OVER_LOCK..header::READY).contains(&at)
        || (header::READY + 1..header::REBALANCE_GEN).contains(&at)
        || slots
            .clone()
            .any(|slot| in_slot(shape.slot_lock(slot)) || in_slot(shape.rebalance_generation(slot)))
        || (shape.node(world.nodes_size())..shape.table(0)).contains(&at)
        || at >= shape.table(world.tables_size())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_others_store_into_the_segment_is_put_right_and_counted(
        shape in shape(),
        map in spec(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 0..20),
        in_front in any::<bool>(),
    ) {
        let map = wanted(&map, shape.layout);
        let (world, mut planner) = World::create(shape, &map, &[]);
        let mut image = world.image.clone();
        let reach = if in_front { shape.table(0) } else { image.len() };
        for (at, bits) in &damage {
            let at = at.index(reach);
            image[at] ^= bits;
        }
        let differs = |at: usize| image[at] != world.image[at] && !left_alone(shape, &world, at);
        let words: std::collections::BTreeSet<_> =
            (0..image.len()).filter(|&at| differs(at)).map(|at| at / 4).collect();
        let mended = planner.mend(&image);
        prop_assert_eq!(mended.words, words.len());
        let generation = u32_at(&image, header::NODES_GEN);
        for store in &mended.stores {
            store.put(&mut image);
        }
        for at in (0..image.len()).filter(|&at| !left_alone(shape, &world, at)) {
            if !(header::NODES_GEN..header::NODES_GEN + 4).contains(&at) {
                prop_assert_eq!(image[at], world.image[at], "byte {}", at);
            }
        }
        if words.iter().any(|&word| word * 4 < shape.node(world.nodes_size()) && word * 4 >= 56) {
            prop_assert_ne!(u32_at(&image, header::NODES_GEN), generation, "nodes are read again");
        }
        prop_assert_eq!(planner.mend(&image).words, 0);
    }

    /// Any bytes can be in a segment of the right shape.
    #[test]
    fn any_segment_of_the_right_shape_becomes_what_is_wanted(
        shape in shape(),
        map in spec(),
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..200),
        in_front in any::<bool>(),
    ) {
        let map = wanted(&map, shape.layout);
        let (mut world, _) = World::create(shape, &map, &[]);
        let reach = if in_front { shape.table(0) } else { world.image.len() };
        for (at, byte) in noise {
            let at = at.index(reach);
            world.image[at] = byte;
        }
        let _ = Planner::kinship(shape, &world.image, &map);
        match Planner::adopt(shape, &world.image) {
            Err(error) => prop_assert!(!error.to_string().is_empty()),
            Ok(mut planner) => {
                for _ in 0..8 {
                    let pass = planner.pass(&map, world.now);
                    for store in &pass.stores {
                        store.put(&mut world.image);
                        prop_assert!(world.nodes_size() <= shape.capacity.max_nodes());
                    }
                    world.now += 1600;
                }
                world.check_names();
            }
        }
    }
}

impl World {
    /// Each entry names nothing or an active slot.
    fn check_names(&self) {
        for table in 0..self.tables_size() {
            for partition in 0..tendmap::internals::c_client::PARTITIONS {
                for replica in 0..self.shape.layout.replicas() {
                    let at = self.shape.holder(table, partition, replica);
                    let holder = u32_at(&self.image, at) as usize;
                    assert!(holder == 0 || self.active(holder - 1), "entry {partition}: {holder}");
                }
            }
        }
    }
}

#[test]
fn only_the_bits_of_a_dead_writer_are_cleared_and_only_by_a_repair() {
    use tendmap::internals::c_client::{Capacity, Layout};
    let shape = Shape::new(Layout::E, Capacity::new(3, 1).unwrap());
    let mut image = vec![0; shape.bytes()];
    for (slot, lock) in [(0, 0x8000_0003_u32), (1, 7), (2, 0x4000_0000)] {
        let at = shape.slot_lock(slot);
        image[at..at + 4].copy_from_slice(&lock.to_ne_bytes());
    }
    let stores = repair(shape, &image);
    assert!(stores.iter().all(|store| store.value == Value::Clear(0xc000_0000)));
    for store in &stores {
        store.put(&mut image);
    }
    let locks = [0, 1, 2].map(|slot| u32_at(&image, shape.slot_lock(slot)));
    assert_eq!(locks, [3, 7, 0], "readers are counted as before");
    assert_eq!(free_take_over_lock().offset, header::TAKE_OVER_LOCK);
}

#[test]
fn a_segment_of_another_cluster_has_strangers_only() {
    use tendmap::internals::c_client::{Capacity, Layout};
    let shape = Shape::new(Layout::F, Capacity::new(4, 1).unwrap());
    let node = |there: bool| there.then_some((0, 0, 0));
    let map = |there: [bool; 6]| {
        wanted(&(there.map(node).to_vec(), vec![None, None, None]), shape.layout)
    };
    let ours = map([true, true, false, false, false, false]);
    let (world, _) = World::create(shape, &ours, &[]);
    let all = Planner::kinship(shape, &world.image, &ours);
    assert_eq!(all, Ok(Kinship { known: 2, strangers: Vec::new() }));
    let half =
        Planner::kinship(shape, &world.image, &map([false, true, true, false, false, false]));
    assert_eq!(half, Ok(Kinship { known: 1, strangers: vec!["N0".into()] }));
    let larger = Shape::new(Layout::F, Capacity::new(5, 1).unwrap());
    let error = Planner::adopt(larger, &world.image).unwrap_err();
    assert!(matches!(error, ShapeError::Size { .. }), "{error}");
}
