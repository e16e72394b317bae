//! `docs/LAYOUT.md` is the layout of the code: every region, field, word, bit and formula.

use std::collections::BTreeMap;
use std::time::Duration;

use tendmap::internals::layout::{
    Geometry, Header, LAYOUT_VERSION, OwnerWord, TIMES_BUCKETS, TIMES_KINDS, TIMES_WORDS,
    WriteMapping, frame, notes,
};
use tendmap::internals::map::{Reason, Streak};
use tendmap::internals::protocol::{Head, Term, Word};
use tendmap::internals::segment::{RESERVE, STANDBY, Timed};
use tendmap::map::{Capacity, Condition};

use crate::formula::Formulas;
use crate::markdown::{blocks, read, table};

mod header;
mod image;

fn document() -> String {
    read("docs/LAYOUT.md")
}

fn number(text: &str) -> u64 {
    let text = text.replace(',', "");
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
        None => text.parse().unwrap_or_else(|_| panic!("{text:?} is not a number")),
    }
}

/// The mask of `7` or `0-15`.
fn mask(bits: &str) -> u64 {
    let (low, high) = bits.split_once('-').unwrap_or((bits, bits));
    let (low, high) = (number(low), number(high));
    (u64::MAX >> (63 - high)) & (u64::MAX << low)
}

fn formulas() -> Formulas {
    let mut formulas = Formulas::default();
    blocks(&document()).iter().for_each(|block| formulas.add(block));
    formulas
}

fn values(capacity: Capacity) -> BTreeMap<String, u64> {
    let Capacity { max_nodes, max_namespaces, max_replicas, partitions } = capacity;
    let values = [
        ("max_nodes", max_nodes),
        ("max_namespaces", max_namespaces),
        ("max_replicas", max_replicas),
        ("partitions", partitions),
    ];
    values.into_iter().map(|(name, value)| (name.to_owned(), value as u64)).collect()
}

fn capacities() -> Vec<Capacity> {
    let mut all = vec![Capacity::DEFAULT];
    for (max_nodes, max_namespaces, max_replicas, partitions) in
        [(1, 1, 1, 1), (5, 3, 2, 16), (37, 9, 4, 512), (256, 32, 5, 4096), (4096, 4, 255, 65_536)]
    {
        all.push(Capacity { max_nodes, max_namespaces, max_replicas, partitions });
    }
    all
}

/// The byte of a word of the mapping.
fn byte_of<T>(mapping: &WriteMapping, word: &T) -> u64 {
    let at = core::ptr::from_ref(word) as usize;
    (at - mapping.words().as_ptr() as usize) as u64
}

/// The text of a module or struct of a source file, up to its closing brace.
fn source<'a>(text: &'a str, start: &str) -> &'a str {
    let text = &text[text.find(start).unwrap_or_else(|| panic!("no {start}"))..];
    let indent = start.len() - start.trim_start().len();
    let end = format!("\n{}}}\n", " ".repeat(indent));
    &text[..text.find(&end).unwrap()]
}

/// The constants of a module, in order.
fn constants(module: &str) -> Vec<String> {
    let text = read("src/layout/geometry.rs");
    let names = source(&text, &format!("pub mod {module} {{")).split("pub const ").skip(1);
    names.map(|rest| rest.split(':').next().unwrap().to_owned()).collect()
}

#[test]
fn the_document_is_of_this_layout_version() {
    assert!(document().contains(&format!("for layout version {LAYOUT_VERSION}.")));
}

#[test]
fn regions_are_where_the_document_says() {
    let (text, formulas) = (document(), formulas());
    let regions = table(&text, &["region", "from byte", "bytes", "content"]);
    for capacity in [Capacity::DEFAULT, capacities()[2]] {
        let geometry = Geometry::new(capacity).unwrap();
        let mapping = WriteMapping::private(geometry).unwrap();
        let map = mapping.mapping();
        let frame_bytes = 8 * geometry.frame_words() as u64;
        let owner = OwnerWord::ALL.map(|word| map.owner(word));
        let health = 8 * (frame::HEALTH_WORDS * capacity.max_nodes) as u64;
        let times = 8 * (TIMES_KINDS * TIMES_WORDS) as u64;
        let wanted = [
            ("header", 0, size_of::<Header>() as u64),
            ("head", byte_of(&mapping, map.head()), 8),
            ("owner words", byte_of(&mapping, owner[0]), 8 * OwnerWord::COUNT as u64),
            ("event word", byte_of(&mapping, map.event()), 8),
            ("histograms", byte_of(&mapping, &map.times(0)[0]), times),
            ("frame 0", byte_of(&mapping, &map.frame(0)[0]), frame_bytes),
            ("frame 1", byte_of(&mapping, &map.frame(1)[0]), frame_bytes),
            ("node health", byte_of(&mapping, &map.node_health(0)[0]), health),
            ("notes", byte_of(&mapping, &map.conditions()[0]), 8 * notes::WORDS as u64),
        ];
        let values = values(capacity);
        let found: Vec<_> = regions
            .rows
            .iter()
            .map(|row| {
                let value = |cell: &str| formulas.value(&cell.replace(',', ""), &values);
                (&*row[0], value(&row[1]), value(&row[2]))
            })
            .collect();
        assert_eq!(found, wanted, "{capacity:?}");
        let ends = found.iter().map(|(_, start, bytes)| start + bytes);
        let starts = found.iter().skip(1).map(|(_, start, _)| *start);
        let total = geometry.total_bytes() as u64;
        assert!(ends.zip(starts.chain([total])).all(|(end, next)| end <= next), "{found:?}");
    }
}

#[test]
fn the_words_are_as_the_document_says() {
    let words = table(&document(), &["word", "field", "bits", "content"]);
    let last = Term::LAST;
    let term = Head::new(last, 0).bits();
    let wanted = [
        ("head", "`term`", term),
        ("head", "`retired`", Head::new(last, 0).to_retired().bits() ^ term),
        ("head", "`sequence`", Head::new(last, Head::LAST_SEQUENCE).bits() ^ term),
        ("any other", "`tag`", Word::new(last, 0).bits()),
        ("any other", "`payload`", Word::new(last, u64::MAX).bits() ^ term),
    ];
    let found: Vec<_> = words.rows.iter().map(|row| (&*row[0], &*row[1], mask(&row[2]))).collect();
    assert_eq!(found, wanted);
}

#[test]
fn the_owner_words_are_those_of_the_document() {
    let text = document();
    let words = table(&text, &["index", "word", "content"]);
    let found: Vec<_> = words.column("word");
    assert_eq!(found, OwnerWord::ALL.map(|word| format!("{word:?}")));
    let indexes: Vec<u64> = words.column("index").iter().map(|cell| number(cell)).collect();
    assert!(indexes.iter().copied().eq(0..OwnerWord::COUNT as u64));
    let block = table(&text, &["region", "from byte", "bytes", "content"]).rows[2][1].clone();
    assert!(text.contains(&format!("The index counts from byte {block}.")));
    let flags = table(&text, &["flag", "bits", "meaning"]);
    let bits: Vec<u64> = flags.column("bits").iter().map(|cell| mask(cell)).collect();
    let wanted = [
        ("ABDICATED", OwnerWord::ABDICATED),
        ("OFFERED", OwnerWord::OFFERED),
        ("RELEASED", OwnerWord::RELEASED),
        ("HOSTS", OwnerWord::HOSTS),
    ];
    assert_eq!(flags.column("flag"), wanted.map(|(name, _)| name));
    assert_eq!(bits, wanted.map(|(_, bits)| bits));
    // These are all that there are.
    let code = read("src/layout/words.rs");
    let constants = code.split("    pub const ").skip(1);
    let masks = constants.filter(|rest| rest.starts_with(char::is_uppercase)).count();
    assert_eq!(masks, wanted.len() + ["COUNT", "ALL", "HOSTS_SHIFT"].len());
}

/// A duration as the document writes it.
fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_once(' ').unwrap();
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "µs" => Duration::from_micros(1),
        "ns" => Duration::from_nanos(1),
        other => panic!("the unit {other}"),
    };
    unit * number.parse::<u32>().unwrap()
}

#[test]
fn the_histograms_are_those_of_the_document() {
    let text = document();
    let table = table(&text, &["index", "histogram", "unit of the bounds", "unit of the sum"]);
    let columns = [1, 2, 3].map(|at| table.rows.iter().map(move |row| row[at].replace('`', "")));
    let [names, bounds, sums] = columns;
    let wanted = Timed::ALL.iter().map(|what| format!("{what:?}"));
    assert!(names.eq(wanted), "{table:?}");
    for ((what, bound), sum) in Timed::ALL.into_iter().zip(bounds).zip(sums) {
        let (unit, factors) = (duration(&bound), [10, 25, 50]);
        let powers = [1, 10, 100, 1000];
        let grown = powers.iter().flat_map(|power| factors.map(|factor| factor * power));
        let ends: Vec<Duration> = grown.chain([100_000]).map(|tenths| unit * tenths / 10).collect();
        assert_eq!(what.bounds()[..], ends, "{what:?}");
        assert_eq!(what.units_of(duration(&sum) * 7), 7, "{what:?}");
    }
    let parts = format!("Each has {TIMES_WORDS} words: {TIMES_BUCKETS} counts, the sum");
    assert!(text.replace('\n', " ").contains(&parts), "{parts}");
    assert_eq!(Timed::SUM, TIMES_BUCKETS);
}

#[test]
fn the_formulas_are_those_of_the_code() {
    let formulas = formulas();
    for capacity in capacities() {
        let g = Geometry::new(capacity).unwrap();
        let values = values(capacity);
        let check = |expression: &str, wanted: usize| {
            let found = formulas.value(expression, &values);
            assert_eq!(found, wanted as u64, "{expression} for {capacity:?}");
        };
        check("planes", g.planes());
        check("tables", g.table_words());
        check("array_words", g.array_words());
        check("frame_words", g.frame_words());
        check("notes_words", notes::WORDS);
        check("total_bytes", g.total_bytes());
        check("frame(0)", g.frame_start(0));
        check("frame(1)", g.frame_start(1));
        for slot in [0, capacity.max_nodes - 1] {
            check(&format!("node_record({slot})"), g.node(slot));
            check(&format!("node_health({slot})"), g.node_health(slot));
            for n in [0, capacity.max_namespaces - 1] {
                check(&format!("rack({n}, {slot})"), g.rack(n, slot));
            }
        }
        for n in [0, capacity.max_namespaces - 1] {
            check(&format!("namespace_record({n})"), g.namespace(n));
            check(&format!("regimes({n})"), g.regimes(n));
            for plane in 0..g.planes() {
                check(&format!("routing({n}, {plane})"), g.routing(n, plane));
            }
        }
        check("conditions", g.notes());
    }
    let mapping = WriteMapping::private(Geometry::new(Capacity::DEFAULT).unwrap()).unwrap();
    let values = values(Capacity::DEFAULT);
    let at = |expression: &str| 8 * formulas.value(expression, &values);
    let map = mapping.mapping();
    for index in 0..notes::REASONS {
        let byte = byte_of(&mapping, &map.reason(index)[0]);
        assert_eq!(at(&format!("reason({index})")), byte);
    }
    for index in 0..notes::DEPARTURES {
        let byte = byte_of(&mapping, &map.departure(index)[0]);
        assert_eq!(at(&format!("departure({index})")), byte);
    }
}

#[test]
fn the_sizes_of_the_document_are_those_of_segments() {
    let sizes = table(&document(), &["nodes", "namespaces", "replicas", "partitions", "bytes"]);
    assert!(sizes.rows.len() > 2);
    for row in &sizes.rows {
        let [max_nodes, max_namespaces, max_replicas, partitions, bytes] =
            [0, 1, 2, 3, 4].map(|at| number(&row[at]) as usize);
        let capacity = Capacity { max_nodes, max_namespaces, max_replicas, partitions };
        assert_eq!(Geometry::new(capacity).unwrap().total_bytes(), bytes, "{row:?}");
    }
}

/// The names and values of constants.
macro_rules! values_of {
    ($module:ident: $($name:ident)*) => { [$((stringify!($name), $module::$name as u64),)*] };
}

#[test]
fn the_records_of_frames_are_those_of_the_document() {
    let records = table(&document(), &["record", "word", "name", "words", "content"]);
    let health = [("HEALTH_WORDS".to_owned(), frame::HEALTH_WORDS as u64)];
    let found = records.column("name").into_iter().zip(records.column("word"));
    let found: Vec<_> = found.map(|(name, at)| (name, number(&at))).chain(health).collect();
    let wanted = values_of!(frame: TABLE_GENERATION COUNTS CHECKSUM CLUSTER_NAME PREFIX
        NODE NODE_ID NODE_IP NODE_PORT NODE_BUILD NODE_TLS NODE_WORDS
        NAMESPACE NAMESPACE_NAME NAMESPACE_WORDS HEALTH_WORDS);
    let wanted = wanted.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(found, wanted);
    let names: Vec<String> = wanted.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, constants("frame"), "all constants of the code");
    // No part reaches into the next one.
    for pair in records.rows.windows(2).filter(|pair| pair[0][0] == pair[1][0]) {
        if !pair[0][3].is_empty() {
            let end = number(&pair[0][1]) + number(&pair[0][3]);
            assert!(end <= number(&pair[1][1]), "{pair:?}");
        }
    }

    let text = document();
    let constants_of = table(&text, &["constant", "value", "meaning"]);
    let found = constants_of.column("constant").into_iter().zip(constants_of.column("value"));
    let found: Vec<_> = found.map(|(name, value)| (name, number(&value))).collect();
    let notes = values_of!(notes: CONDITIONS REASONS REASON_WORDS DEPARTURES DEPARTURE_WORDS WORDS);
    let notes = notes.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(found[0].0, "HEALTH_WORDS");
    assert_eq!(found[0].1, frame::HEALTH_WORDS as u64);
    assert_eq!(found[1..], notes);
    let names: Vec<String> = notes.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, constants("notes"), "all constants of the code");
}

#[test]
fn the_conditions_are_those_of_the_document() {
    let text = document();
    let conditions = table(&text, &["index", "condition"]);
    assert_eq!(conditions.column("condition"), Condition::ALL.map(Condition::as_str));
    let indexes = conditions.column("index").into_iter().map(|cell| number(&cell));
    assert!(indexes.eq(0..Condition::COUNT as u64));
    assert!(text.contains(&format!("of which {} are in use", Condition::COUNT)));
    assert_eq!(Streak::new(u64::MAX, 0).payload(), mask("24-47"));
    assert_eq!(Streak::new(0, u64::MAX).payload(), mask("0-23"));
    assert_eq!((Reason::Pass as usize, Reason::Shortage as usize), (0, 1));
}

#[test]
fn the_lock_bytes_are_those_of_the_document() {
    let locks = table(&document(), &["file", "byte", "lock", "held by"]);
    let bytes = locks.column("byte");
    assert_eq!(bytes[1..3], [STANDBY.to_string(), RESERVE.to_string()]);
    let code = read("src/segment/lock/marks.rs");
    let (from, to) =
        bytes[3].strip_prefix("a random one from 2^").unwrap().split_once(" to 2^").unwrap();
    assert!(code.contains(&format!("pub const MARKS: u64 = 1 << {from};")));
    assert!(code.contains(&format!("pub const MARKS_END: u64 = 1 << {to};")));
}
