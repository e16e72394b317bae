//! Reused node slots, and the local state that a process keeps for each node.

use loom::thread;
use tendmap_loom::check::{Model, invariant, reach};
use tendmap_loom::protocol::{Word, begin_read, validate};
use tendmap_loom::segment::Segment;
use tendmap_loom::sync::step::{GENERATION, P1, P2, R1, R2, STAMP, UNDER};
use tendmap_loom::sync::{Ordering, Step};

use crate::router::Router;

/// Local state is kept only for the same incarnation of a slot.
const INCARNATION: Step = Step::new("INCARNATION");

/// The tenants of slot 0, by publication: node and incarnation. Node 1 leaves, node 2
/// takes the slot, node 1 returns.
const TENANTS: [(u64, u64); 3] = [(1, 1), (2, 2), (1, 3)];

/// The state that a process keeps for a slot (such as a connection pool) always
/// belongs to the tenant in the publication that it routes by.
#[test]
fn m14_h16_local_state_never_outlives_its_tenant() {
    Model::exhaustive_if_deep("slot reuse", 4)
        .reaching(&["tenant 1", "tenant 2", "tenant 3", "disturbed"])
        .needing(&[INCARNATION, GENERATION, UNDER, P1, P2, R1, R2])
        .check(|| {
            let segment = Segment::new(&[1, TENANTS[0].0, TENANTS[0].1]);
            let mut router = Router::new(&segment);
            let mut owner = segment.creator();
            thread::spawn(move || {
                for (generation, tenant) in (2..).zip(&TENANTS[1..]) {
                    let published = owner.publish(&[generation, tenant.0, tenant.1]);
                    invariant(published.is_ok(), "alone");
                }
            });
            thread::spawn(move || {
                // The tenant that the pool in slot 0 was created for.
                let mut pool = None;
                for _ in 0..2 {
                    let routed = router.lookup(
                        |router, frame| {
                            (router.word(frame, 1).payload(), router.word(frame, 2).payload())
                        },
                        |tenant| {
                            let same = pool.is_some_and(|(node, incarnation)| {
                                node == tenant.0 && INCARNATION.check(incarnation == tenant.1)
                            });
                            if !same {
                                pool = Some(tenant);
                            }
                        },
                        |_, _| (),
                    );
                    let Some((stamp, ())) = routed else {
                        reach("disturbed");
                        continue;
                    };
                    let at = stamp.sequence() as usize - 1;
                    invariant(pool == Some(TENANTS[at]), "a pool is used for its own tenant");
                    reach(["tenant 1", "tenant 2", "tenant 3"][at]);
                }
            });
        });
}

/// The content of the publications: a table generation, a number of nodes, and the
/// nodes. A word beyond this number is left unchanged.
const TABLES: [&[u64]; 3] = [&[1, 1, 0xa], &[2, 2, 0xa, 0xb], &[3, 1, 0xb]];

/// A reader takes the number of nodes from one word, then this number of records from
/// others, while the number grows and falls. Generation, count and records are of one
/// publication, in whatever order a weakly ordered machine performs the loads and
/// stores.
#[test]
fn m15_h19_a_count_its_generation_and_the_nodes_it_counts_belong_together() {
    Model::exhaustive("count and records")
        .reaching(&["one node", "two nodes", "one again", "disturbed"])
        .needing(&[P1, P2, R1, R2, STAMP])
        .check(|| {
            let segment = Segment::new(&[1, 1, 0xa, 0]);
            let mut owner = segment.creator();
            thread::spawn(move || {
                for table in &TABLES[1..] {
                    invariant(owner.publish(table).is_ok(), "alone");
                }
            });
            thread::spawn(move || {
                let stamp = begin_read(&segment.head);
                let frame = &segment.frames[stamp.frame()];
                let load = |at: usize| Word::from_bits(frame[at].load(Ordering::Relaxed)).payload();
                let (generation, count) = (load(0), load(1));
                // Like every count from shared memory it is checked before use.
                let nodes = (0..count.min(2)).map(|at| load(2 + at as usize));
                let found: Vec<u64> = [generation, count].into_iter().chain(nodes).collect();
                if !validate(&segment.head, stamp) {
                    return reach("disturbed");
                }
                let at = stamp.sequence() as usize - 1;
                reach(["one node", "two nodes", "one again"][at]);
                invariant(found == TABLES[at], "the records are those that were counted");
            });
        });
}
