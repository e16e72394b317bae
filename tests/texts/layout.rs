//! `docs/LAYOUT.md` is the layout of the code: every region, field, word, bit and formula.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use tendmap::internals::layout::{
    Geometry, Header, Identity, LAYOUT_HASH, LAYOUT_VERSION, OwnerWord, TIMES_BUCKETS, TIMES_KINDS,
    TIMES_WORDS, WriteMapping, frame, notes,
};
use tendmap::internals::map::{NodeHealth, Reason, Streak};
use tendmap::internals::protocol::{Head, Term, Word};
use tendmap::internals::segment::{CreateOutcome, Ownership, RESERVE, STANDBY, Timed, create};
use tendmap::map::{Build, Capacity, ClusterMap, Condition, Node, NodeId};
use tendmap::segment::{Backend, Place, remove};
use tendmap_testkit::directory;

use super::formula::Formulas;
use super::markdown::{blocks, read, table};

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
fn the_header_is_as_the_document_says() {
    let header = table(&document(), &["byte", "field", "type", "content"]);
    let text = read("src/layout/header.rs");
    let fields = source(&text, "pub struct Header {").lines().skip(1);
    let fields = fields.map(|line| line.trim().trim_end_matches(',').split_once(": ").unwrap());
    let size = |kind: &str| match kind {
        "u32" => 4,
        "u64" => 8,
        "[u8; 8]" => 8,
        "[u64; 6]" => 48,
        "[u64; 13]" => 104,
        other => panic!("the type {other}"),
    };
    let mut at = 0;
    let fields: Vec<(String, String, u64)> = fields
        .map(|(name, kind)| {
            at += size(kind);
            (name.to_owned(), kind.to_owned(), at - size(kind))
        })
        .collect();
    let (names, kinds) = (header.column("field"), header.column("type"));
    let bytes: Vec<u64> = header.column("byte").iter().map(|cell| number(cell)).collect();
    let found: Vec<_> =
        names.into_iter().zip(kinds).zip(bytes).map(|((n, k), b)| (n, k, b)).collect();
    assert_eq!(found, fields);
    assert_eq!(at as usize, size_of::<Header>());

    // A header is read at the bytes of the document.
    let capacity = Capacity { max_nodes: 11, max_namespaces: 7, max_replicas: 5, partitions: 64 };
    let geometry = Geometry::new(capacity).unwrap();
    let identity = Identity {
        key: 0xA700_0001,
        generation: 3,
        segment_id: 0x1234_5678_9abc_def0,
        created_ns: 77,
        creator_pid: 99,
        lock_directory: 55,
    };
    let header = Header::new(identity, &geometry);
    let raw = header.bytes();
    let (formulas, values) = (formulas(), values(capacity));
    let geometry_at = |index: u64| {
        found.iter().find(|f| f.0 == "geometry").unwrap().2 as usize + 8 * index as usize
    };
    let word = |at: usize| u64::from_ne_bytes(raw[at..at + 8].try_into().unwrap());
    for (name, kind, at) in &found {
        let at = *at as usize;
        let value = match &**kind {
            "u32" => u32::from_ne_bytes(raw[at..at + 4].try_into().unwrap()).into(),
            _ => word(at),
        };
        let wanted = match &**name {
            "magic" => u64::from_ne_bytes(*b"TENDMAP\n"),
            "layout_version" => LAYOUT_VERSION.into(),
            "endian_mark" => 0x0102_0304,
            "layout_hash" => LAYOUT_HASH,
            "total_len" => formulas.value("total_bytes", &values),
            "header_len" => 256,
            "key" => identity.key.into(),
            "generation" => identity.generation,
            "segment_id" => identity.segment_id,
            "created_ns" => identity.created_ns,
            "creator_pid" => identity.creator_pid.into(),
            "lock_directory" => identity.lock_directory,
            "reserved" | "padding" => 0,
            "geometry" => formulas.value("namespaces", &values),
            "checksum" => {
                let mut copy = raw.to_vec();
                copy[at..at + 8].fill(0);
                // FNV-1a, from its definition.
                copy.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                })
            }
            capacity => values[capacity],
        };
        // Of the bytes of a word, the checksum takes the least significant first.
        if name != "checksum" || cfg!(target_endian = "little") {
            assert_eq!(value, wanted, "{name}");
        }
    }
    let content = document();
    let row = content.lines().find(|line| line.contains("| `geometry` |")).unwrap();
    let listed: Vec<&str> = row.rsplit("| `[u64; 6]` |").next().unwrap().split('`').collect();
    for (index, name) in (0..).zip(listed.iter().skip(1).step_by(2)) {
        assert_eq!(word(geometry_at(index)), formulas.value(name, &values), "{name}");
    }
    assert_eq!(word(geometry_at(5)), formulas.value("8 * frame(0)", &values));
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

fn owner(place: &Place, capacity: Capacity) -> Ownership {
    match create(place, 1, capacity, None).unwrap() {
        CreateOutcome::Owner(ownership) => *ownership,
        CreateOutcome::Exists => panic!("{place:?} exists"),
    }
}

/// A segment's file, read as the document says.
struct Image {
    words: Vec<u64>,
    formulas: Formulas,
    values: BTreeMap<String, u64>,
    /// The masks of payloads' fields.
    fields: BTreeMap<(String, String), u64>,
    /// The places in records.
    records: BTreeMap<String, u64>,
    frame: u64,
}

impl Image {
    fn of(bytes: &[u8], capacity: Capacity) -> Image {
        let text = document();
        let words = bytes.chunks(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap()));
        let mut fields = BTreeMap::new();
        for header in [["payload", "field", "bits", "content"], ["at", "field", "bits", "content"]]
        {
            let table = table(&text, &header);
            let named = table.column(header[0]).into_iter().zip(table.column("field"));
            fields.extend(named.zip(table.column("bits").iter().map(|bits| mask(bits))));
        }
        let records = table(&text, &["record", "word", "name", "words", "content"]);
        let places = records.column("word").into_iter().map(|cell| number(&cell));
        let records = records.column("name").into_iter().zip(places).collect();
        let (formulas, values) = (formulas(), values(capacity));
        let mut image =
            Image { words: words.collect(), formulas, values, fields, records, frame: 0 };
        let regions = table(&text, &["region", "from byte", "bytes", "content"]);
        let head = image.words[number(&regions.rows[1][1]) as usize / 8];
        let forms = table(&text, &["word", "field", "bits", "content"]);
        let sequence = head & mask(&forms.rows[2][2]);
        assert_eq!(sequence, 1);
        image.frame = image.at(&format!("frame({})", sequence % 2));
        image
    }

    fn at(&self, expression: &str) -> u64 {
        self.formulas.value(expression, &self.values)
    }

    /// The payload of a word.
    fn payload(&self, at: u64) -> u64 {
        self.words[at as usize] & mask("0-47")
    }

    /// A field of a word.
    fn field(&self, at: u64, word: &str, field: &str) -> u64 {
        let mask = self.fields[&(word.to_owned(), field.to_owned())];
        (self.payload(at) & mask) >> mask.trailing_zeros()
    }

    fn bytes(&self, at: u64, len: u64) -> Vec<u8> {
        let bytes = (at..).flat_map(|at| self.payload(at).to_le_bytes().into_iter().take(6));
        bytes.take(len as usize).collect()
    }

    fn text(&self, at: u64, len: u64) -> String {
        String::from_utf8(self.bytes(at, len)).unwrap()
    }
}

/// Reads a published map with nothing but the document.
#[test]
fn a_segment_is_read_by_the_document_alone() {
    let capacity = Capacity { max_nodes: 5, max_namespaces: 3, max_replicas: 4, partitions: 16 };
    let mut map = ClusterMap::new(capacity);
    map.cluster_name = Some("a cluster".parse().unwrap());
    let mut four =
        Node::new(NodeId::new("BB9000000003100").unwrap(), "192.0.2.7:3100".parse().unwrap());
    four.tls_name = Some("db.example".parse().unwrap());
    four.build = Some(Build { major: 8, minor: 1, patch: 2, build: 513 });
    let scoped = std::net::SocketAddrV6::new("fe80::9".parse().unwrap(), 4000, 0, 259);
    let six = Node::new(NodeId::new("D4").unwrap(), scoped.into());
    let gone = Node::new(NodeId::new("E5").unwrap(), "192.0.2.8:1".parse().unwrap());
    let nodes = [four, gone, six].map(|node| map.nodes.insert(node).unwrap());
    map.remove_node(nodes[1]);
    let namespace = map.namespace_entry("other".parse().unwrap()).unwrap();
    namespace.replication_factor = 1;
    let namespace = map.namespace_entry("test".parse().unwrap()).unwrap();
    (namespace.replication_factor, namespace.strong_consistency) = (201, true);
    namespace.set_rack(nodes[0], Some(-7));
    for (replica, slot) in [(0, nodes[2]), (1, nodes[0]), (3, nodes[2])] {
        namespace.partitions.set_holder(9, replica, Some(slot));
    }
    namespace.partitions.set_regime(9, 77);

    let directory = directory();
    let place = Place { directory: directory.path().into(), ..Place::of_key(0xA700_0001) };
    let mut ownership = owner(&place, capacity);
    ownership.publish(&map).unwrap();
    let health = NodeHealth::new(41, "no answer").at(1234);
    ownership.set_node_health(nodes[2], six.id, &health).unwrap();
    let image = Image::of(&fs::read(place.segment(1)).unwrap(), capacity);

    let place_of = |name: &str| image.records[name];
    let prefix = |name| image.frame + place_of(name);
    let counts = prefix("COUNTS");
    assert_eq!(image.field(counts, "TableCounts", "slots"), 3);
    assert_eq!(image.field(counts, "TableCounts", "namespaces"), 2);
    let name = prefix("CLUSTER_NAME");
    assert_eq!(image.text(name + 1, image.payload(name)), "a cluster");
    for (slot, node) in [(0, Some(four)), (1, None), (2, Some(six))] {
        let start = image.frame + image.at(&format!("node_record({slot})"));
        let at = |name| start + place_of(name);
        let id_len = image.field(at("NODE"), "NodeWord", "id_len");
        assert_eq!(image.field(at("NODE"), "NodeWord", "incarnation"), 1, "slot {slot}");
        let Some(node) = node else {
            assert_eq!(id_len, 0);
            continue;
        };
        assert_eq!(image.text(at("NODE_ID"), id_len), node.id.as_str());
        let family = image.field(at("NODE"), "NodeWord", "family");
        let ip = image.bytes(at("NODE_IP"), 20);
        match node.address {
            std::net::SocketAddr::V4(v4) => {
                assert_eq!((family, &ip[..4]), (4, &v4.ip().octets()[..]));
            }
            std::net::SocketAddr::V6(v6) => {
                assert_eq!((family, &ip[..16]), (6, &v6.ip().octets()[..]));
                assert_eq!(ip[16..], v6.scope_id().to_le_bytes());
            }
        }
        let port = image.field(at("NODE_PORT"), "PortWord", "port");
        assert_eq!(port, u64::from(node.address.port()));
        let tls = image.text(at("NODE_TLS"), image.field(at("NODE_PORT"), "PortWord", "tls_len"));
        assert_eq!(tls, node.tls_name.map_or(String::new(), |name| name.to_string()));
        let build = at("NODE_BUILD");
        let present = image.field(build, "BuildWords 0", "present") == 1;
        let numbers = [
            image.field(build, "BuildWords 0", "major"),
            image.field(build, "BuildWords 0", "minor"),
            image.field(build + 1, "BuildWords 1", "patch"),
            image.field(build + 1, "BuildWords 1", "build"),
        ];
        assert_eq!(present, node.build.is_some());
        assert_eq!(numbers, if present { [8, 1, 2, 513] } else { [0; 4] });
    }
    for (index, name, rf, strong) in [(0, "other", 1, 0), (1, "test", 201, 1)] {
        let start = image.frame + image.at(&format!("namespace_record({index})"));
        let word = start + place_of("NAMESPACE");
        let len = image.field(word, "NamespaceWord", "name_len");
        assert_eq!(image.text(start + place_of("NAMESPACE_NAME"), len), name);
        assert_eq!(image.field(word, "NamespaceWord", "replication_factor"), rf);
        assert_eq!(image.field(word, "NamespaceWord", "strong_consistency"), strong);
    }
    let rack = image.frame + image.at("rack(1, 0)");
    assert_eq!(image.field(rack, "RackWord", "present"), 1);
    assert_eq!(image.field(rack, "RackWord", "rack") as u32 as i32, -7);
    assert_eq!(image.field(image.frame + image.at("rack(1, 2)"), "RackWord", "present"), 0);
    let nobody = 0xffff;
    for (plane, holders) in [(0, [2, 0, nobody]), (1, [2, nobody, nobody])] {
        let word = image.frame + image.at(&format!("routing(1, {plane})")) + 9;
        let found = [0, 1, 2]
            .map(|replica| image.field(word, "RoutingWord", &format!("replica {replica}")));
        assert_eq!(found, holders, "plane {plane}");
    }
    assert_eq!(image.payload(image.frame + image.at("regimes(1)") + 9), 77);
    let record = image.at("node_health(2)");
    assert_eq!(image.field(record, "0", "number"), 41);
    assert_eq!(image.field(record + 2, "2", "at_ms"), 1234);
    assert_eq!(image.text(record + 3, image.field(record, "0", "text_len")), "no answer");

    // Every field of the code's records is in the document.
    let code = read("src/map/records.rs");
    for part in code.split("pub struct ").skip(1) {
        let name: String = part.chars().take_while(|c| c.is_alphanumeric()).collect();
        let known = image.fields.keys().any(|(word, _)| word.starts_with(&name));
        assert!(known, "docs/LAYOUT.md does not have {name}");
    }
}

#[test]
fn names_are_those_of_the_document() {
    let names = table(&document(), &["name", "of"]).column("name");
    let capacity = Capacity { partitions: 16, ..Capacity::DEFAULT };
    let key = 0xA700_0000 | u32::from(std::process::id() as u16) << 8 | 0x17;
    let mut found = Vec::new();
    for backend in Backend::ALL {
        let directory = directory();
        let place = Place { backend, directory: directory.path().into(), ..Place::of_key(key) };
        let ownership = owner(&place, capacity);
        let segment = ownership.segment();
        let attached = segment.hold().unwrap();
        let id = format!("{:016x}", segment.identity().segment_id);
        for entry in fs::read_dir(directory.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let name = name.replace(&format!("{key:08x}"), "KEY").replace(&id, "ID");
            found.push(name.replace("-g1", "-gN"));
        }
        drop(attached);
        drop(ownership);
        remove(&place, true).unwrap();
    }
    found.sort();
    let mut names = names;
    names.sort();
    // The lock of the creation is gone when a segment exists.
    names.retain(|name| name != "tendmap-KEY-v3-sysv.lock" || found.contains(name));
    assert_eq!(found, names);
}
