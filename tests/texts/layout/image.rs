//! A segment, read with nothing but the document.

use std::collections::BTreeMap;
use std::fs;

use tendmap::internals::map::NodeHealth;
use tendmap::internals::segment::{CreateOutcome, Ownership, create};
use tendmap::map::{Build, Capacity, ClusterMap, Node, NodeId};
use tendmap::segment::{Backend, Place, remove};
use tendmap_testkit::directory;

use super::{document, formulas, mask, number, values};
use crate::formula::Formulas;
use crate::markdown::{read, table};

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
