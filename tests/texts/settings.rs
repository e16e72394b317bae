//! Compares documents and bindings with the table of settings: each names every
//! setting with its default, in the table's order where the document has one.

use std::path::Path;

use tendmap::client::{Config, SETTINGS, Setting};
use tendmap::internals::client::SettingKind;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn names() -> Vec<&'static str> {
    SETTINGS.iter().map(Setting::name).collect()
}

/// Whether a default, as a document writes it, is the setting's default.
fn is_default(setting: &Setting, written: &str) -> bool {
    let plain = written.trim().trim_matches(['`', '\'', '"']).to_lowercase();
    // Words for an unset value.
    let plain = match &*plain {
        "unset" | "none" | "empty" | "()" => String::new(),
        _ => plain,
    };
    let default = setting.default();
    if plain.is_empty() || default.is_empty() {
        return plain.is_empty() && (default.is_empty() || default == "false");
    }
    let mut config = Config::new(Vec::new());
    config.set(setting.name(), &plain).is_ok() && setting.get(&config) == default
}

/// In C and Python the map is shared unless that is switched off.
fn is_default_of_bindings(setting: &Setting, written: &str) -> bool {
    match setting.name() {
        "use_shm" => written.to_lowercase() == "true",
        _ => is_default(setting, written),
    }
}

#[test]
fn the_documented_table_has_every_setting_with_its_default() {
    let text = read("docs/SETTINGS.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split('|').collect()).collect();
    let documented: Vec<&str> = rows.iter().map(|row| row[0].trim().trim_matches('`')).collect();
    assert_eq!(&documented[..SETTINGS.len()], names(), "docs/SETTINGS.md");
    for (setting, row) in SETTINGS.iter().zip(&rows) {
        let name = setting.name();
        assert!(is_default(setting, row[1]), "{name}: {} is not {}", row[1], setting.default());
        if setting.kind() == SettingKind::Duration {
            let unit = row[1].trim().ends_with(['s', 'm', 'h']);
            assert!(unit, "{name}: {} has no unit", row[1]);
        }
        let live = if setting.is_live() { "yes" } else { "no" };
        assert_eq!(row[2].trim(), live, "{name} can change while a client runs");
    }
}

#[test]
fn the_c_header_lists_every_setting() {
    let text = read("bindings/c/include/tendmap.h");
    let start = text.find("// Sets the setting `name`").unwrap();
    let list = &text[start..start + text[start..].find("// Whether the values fit").unwrap()];
    let rows = list.lines().filter_map(|line| line.strip_prefix("//     "));
    let rows: Vec<&str> = rows.filter(|row| !row.starts_with(' ')).collect();
    let listed: Vec<&str> = rows.iter().filter_map(|row| row.split_whitespace().next()).collect();
    assert_eq!(listed, names());
    let introduction = list.lines().take(4).collect::<String>();
    for (setting, row) in SETTINGS.iter().zip(rows) {
        let name = setting.name();
        match setting.kind() {
            // The default of a duration has its unit.
            SettingKind::Duration => {
                assert!(row.contains("s]") && introduction.contains("means seconds"), "{row}");
            }
            kind => assert!(row.contains(kind.unit().unwrap_or("")), "{name}'s unit: {row}"),
        }
        let default = row.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        let default = default.map_or("unset", |(default, _)| default);
        assert!(is_default_of_bindings(setting, default), "{row}: wanted {}", setting.default());
    }
}

#[test]
fn python_has_every_setting_with_its_default() {
    // The arguments of a stub (`NAME: TYPE = DEFAULT`) and of a signature
    // (`NAME=DEFAULT`).
    let stub = read("bindings/python/python/tendmap/_tendmap.pyi");
    let start = stub.find("lazy: bool = False").unwrap();
    let stub = &stub[start..start + stub[start..].find(") -> Client").unwrap()];
    let stub: Vec<(&str, &str)> = stub
        .lines()
        .filter_map(|line| line.trim().trim_end_matches(',').split_once(": "))
        .map(|(name, rest)| (name, rest.rsplit_once(" = ").unwrap().1))
        .collect();
    let source = read("bindings/python/src/client.rs");
    let start = source.find("\"(hosts, *, lazy=False").unwrap();
    let signature = &source[start..start + source[start..].find(")\"").unwrap()];
    let signature: Vec<(&str, &str)> = signature
        .split(',')
        .filter_map(|part| part.trim_matches([' ', '\\', '\n']).split_once('='))
        .collect();
    for arguments in [stub, signature] {
        let (lazy, settings) = arguments.split_first().unwrap();
        assert_eq!(lazy.0, "lazy");
        let found: Vec<&str> = settings.iter().map(|(name, _)| *name).collect();
        // The hosts are the first argument.
        assert_eq!(found, &names()[1..]);
        for (setting, (name, default)) in SETTINGS[1..].iter().zip(settings) {
            let same = is_default_of_bindings(setting, default);
            assert!(same, "{name} = {default}, but {}", setting.default());
        }
    }
}

#[test]
fn errors_of_the_library_give_no_advice_for_the_command_line() {
    fn check(folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                check(&path);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                for line in code {
                    let advises = ["tendmap rm", "tendmap ls", "tendmap status", "--force"];
                    let advice = advises.iter().find(|words| line.contains(**words));
                    assert_eq!(advice, None, "{}: {line}", path.display());
                }
            }
        }
    }
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
}

#[test]
fn the_example_client_calls_its_flags_as_the_settings_are_called() {
    let text = read("examples/kv/src/flags.rs");
    for setting in ["shm_key", "cluster_name", "user", "password", "auth_mode", "tls"] {
        assert!(Setting::find(setting).is_some());
        assert!(text.contains(&format!("    pub {setting}: ")), "no flag {setting}");
    }
    for setting in ["tls_cafile", "tls_certfile", "tls_keyfile", "preferred_racks"] {
        assert!(text.contains(&format!("    pub {setting}: ")), "no flag {setting}");
    }
}
