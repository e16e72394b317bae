//! Sets every option of every command from every source.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use tendmap::client::SETTINGS;
use tendmap::internals::client::SettingGroup;

use super::*;

/// Two valid values of an option, and further arguments that it needs.
fn samples(command: &str, arg: &Arg) -> ([&'static str; 2], &'static [&'static str]) {
    let long = arg.get_long().unwrap();
    let values = match (command, long) {
        ("sim", "namespace") => ["one:1", "two:2:strong"],
        ("sim", "user") => ["ann:secret", "bob:other"],
        ("metrics", "listen") => ["127.0.0.1:9400", "[::1]:9401"],
        (_, "hosts") => ["db1:3000", "db2:tls:3100"],
        (_, "ip-map") => ["10.0.0.1=db1", "10.0.0.2=db2"],
        (_, "auth-mode") => ["EXTERNAL_INSECURE", "PKI"],
        (_, "shm-backend") => ["sysv", "file"],
        (_, "shm-mode") => ["0640", "0644"],
        (_, "shm-key") => ["7", "0x8"],
        (_, "shm-owner") => ["1001", "1002"],
        (_, "log") => ["warn", "debug"],
        (_, "log-format") => ["json", "text"],
        (_, "use-shm") => ["false", "true"],
        (_, "hex") => ["00ff", "0a"],
        (_, "double") => ["0.5", "-2"],
        (_, "preferred-racks") => ["-7", "3"],
        (_, "c-client") => ["0xAC000000:7.6.1", "7:node-6.7"],
        (_, "c-client-mode") => ["0600", "0666"],
        (_, "c-client-on-exit") => ["release", "hold"],
        (_, "c-client-owner") => ["always", "pid"],
        (_, "digest") => {
            ["0123456789abcdef0123456789abcdef01234567", "00000000000000000000000000000000000000ff"]
        }
        (
            _,
            "connect-timeout"
            | "tend-interval"
            | "shm-takeover-threshold"
            | "kill-interval"
            | "interval"
            | "session-lifetime",
        ) => ["7", "900ms"],
        _ => ["5", "6"],
    };
    let beside: &[&str] = match (command, long) {
        ("tend" | "check" | "verify", "hosts") => &[],
        ("tend" | "check" | "verify", _) => &["--hosts=somewhere:3000"],
        ("route", "namespace") => &["--int=1"],
        ("route", "int" | "str" | "hex" | "double" | "digest") => &["--namespace=test"],
        ("route", _) => &["--namespace=test", "--int=1"],
        ("metrics", "interval") => &["--textfile=f"],
        ("c-client", _) => &["status"],
        ("completions", _) => &["bash"],
        ("sim", "tls-certfile") => &["--tls-keyfile=k"],
        ("sim", "tls-keyfile") => &["--tls-certfile=c"],
        ("sim", "tls-cafile" | "tls-name") => &["--tls-certfile=c", "--tls-keyfile=k"],
        _ => &[],
    };
    (values, beside)
}

struct Places<'a> {
    flags: &'a [String],
    variables: &'a [(String, String)],
    file: Option<&'a str>,
}

/// The value that an option gets.
fn raw(command: &str, arg: &Arg, places: Places) -> Result<Option<Vec<OsString>>, String> {
    let (_, beside) = samples(command, arg);
    let mut arguments: Vec<OsString> = vec!["tendmap".into(), command.into()];
    arguments.extend(beside.iter().map(OsString::from));
    arguments.extend(places.flags.iter().map(OsString::from));
    let mut folder = None;
    if let Some(text) = places.file {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(file.path(), mode).unwrap();
        arguments.extend([OsString::from("--config"), file.path().into()]);
        folder = Some(file);
    }
    let variables: BTreeMap<&str, &str> =
        places.variables.iter().map(|(name, value)| (&**name, &**value)).collect();
    let get = |name: &str| variables.get(name).map(OsString::from);
    let settings = resolve(arguments, &get).map_err(|error| error.to_string())?;
    drop(folder);
    let (_, matches) = settings.origins.matches.subcommand().unwrap();
    let id = arg.get_id().as_str();
    // The parser has a mark instead of a password.
    let value = |value: &OsStr| match (id, value.to_str()) {
        ("password", Some(mark)) => secret::password(mark).unwrap().expose_secret().into(),
        _ => value.into(),
    };
    Ok(matches.get_raw(id).map(|values| values.map(value).collect()))
}

/// Calls `check` for every visible option of every command.
fn each(mut check: impl FnMut(&str, &Arg)) {
    let command = definition();
    let mut count = 0;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        for arg in own_settings(sub) {
            assert!(arg.get_long().is_some(), "{arg:?} has no long flag");
            check(sub.get_name(), arg);
            count += 1;
        }
    }
    assert!(count > 100, "only {count} options");
}

#[test]
fn h103_every_option_of_every_command_is_set_by_flag_variable_and_file() {
    each(|command, arg| {
        let long = arg.get_long().unwrap();
        let switch = is_switch(arg);
        let ([one, two], _) = samples(command, arg);
        let (one, two) = if switch { ("true", "false") } else { (one, two) };
        let many = matches!(arg.get_action(), ArgAction::Append);
        let flag = |value: &str| match (switch, value) {
            (true, "true") => vec![format!("--{long}")],
            (true, _) => vec![],
            _ => vec![format!("--{long}={value}")],
        };
        let name = variable(long);
        let set = |value: &str| vec![(name.clone(), value.to_owned())];
        let line = |value: &str| format!("{long} = \"{value}\"\n");
        let wanted = |value: &str| Some(vec![OsString::from(value)]);
        let what = format!("{command} --{long}");
        let come = |flags: &[String], variables: &[(String, String)], file: Option<&str>| {
            raw(command, arg, Places { flags, variables, file })
        };

        let by_flag = come(&flag(one), &[], None).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(by_flag, wanted(one), "{what} by its flag");
        assert_eq!(come(&[], &set(one), None), Ok(wanted(one)), "{what} by its variable");
        assert_eq!(come(&[], &[], Some(&line(one))), Ok(wanted(one)), "{what} by the file");
        let section = format!("[{command}]\n{}", line(one));
        assert_eq!(come(&[], &[], Some(&section)), Ok(wanted(one)), "{what} by its section");

        // The source of higher precedence counts.
        assert_eq!(come(&flag(one), &set(two), Some(&line(two))), Ok(wanted(one)), "{what}");
        assert_eq!(come(&[], &set(one), Some(&line(two))), Ok(wanted(one)), "{what}");
        assert_eq!(come(&[], &set(two), Some(&line(one))), Ok(wanted(two)), "{what}");
        let both = format!("{}{}", line(two), section);
        assert_eq!(come(&[], &[], Some(&both)), Ok(wanted(one)), "{what}");
        // An empty variable counts as unset.
        assert_eq!(come(&[], &set(""), Some(&line(one))), Ok(wanted(one)), "{what}");

        if many {
            let list = Some([one, two].map(OsString::from).to_vec());
            let variable = set(&format!("{one},{two}"));
            assert_eq!(come(&[], &variable, None), Ok(list.clone()), "{what}");
            let file = format!("{long} = [\"{one}\", \"{two}\"]\n");
            assert_eq!(come(&[], &[], Some(&file)), Ok(list.clone()), "{what}");
            assert_eq!(come(&flag(two), &variable, Some(&file)), Ok(wanted(two)), "{what}");
        }
    });
}

#[test]
fn h103_one_file_serves_all_commands() {
    // Every option of any command, with a value.
    let mut lines = BTreeMap::new();
    let mut longs = std::collections::BTreeSet::new();
    each(|command, arg| {
        let long = arg.get_long().unwrap().to_owned();
        let ([value, _], _) = samples(command, arg);
        let value = if is_switch(arg) { "true" } else { value };
        longs.insert(long.clone());
        lines.insert((command.to_owned(), long), value);
    });
    let mut text = String::new();
    for command in ["demo", "tend", "check", "route", "sim", "rm"] {
        text += &format!("[{command}]\n");
        for ((_, long), value) in lines.iter().filter(|((of, _), _)| of == command) {
            let exclusive = ["str", "hex", "double", "digest", "password-file", "leftovers"];
            let exclusive = exclusive.contains(&&**long);
            if !exclusive {
                text += &format!("{long} = \"{value}\"\n");
            }
        }
    }
    each(|command, arg| {
        if arg.get_long() != Some("json") {
            return;
        }
        let outcome = raw(command, arg, Places { flags: &[], variables: &[], file: Some(&text) });
        assert!(outcome.is_ok(), "{command}: {outcome:?}");
        // A key at the top may belong to another command.
        let top = "int = 5\nseconds = 9\nnodes = 1\nwait = true\nforce = true\n";
        let outcome = raw(command, arg, Places { flags: &[], variables: &[], file: Some(top) });
        assert!(outcome.is_ok() || command == "route", "{command}: {outcome:?}");
    });
}

#[test]
fn h103_a_flag_outdoes_what_excludes_it_elsewhere() {
    let command = definition();
    let route = command.find_subcommand("route").unwrap();
    let int = route.get_arguments().find(|arg| arg.get_long() == Some("int")).unwrap();
    let variables = [("TENDMAP_STR", "x"), ("TENDMAP_SET", "s")]
        .map(|(name, value)| (name.into(), value.into()));
    let flags = ["--int=3".to_owned()];
    let places = Places { flags: &flags, variables: &variables, file: Some("hex = \"00\"\n") };
    assert_eq!(raw("route", int, places), Ok(Some(vec!["3".into()])));
    let digest = route.get_arguments().find(|arg| arg.get_long() == Some("digest")).unwrap();
    let flags = ["--digest=0123456789abcdef0123456789abcdef01234567".to_owned()];
    let places = Places { flags: &flags, variables: &variables, file: None };
    assert!(raw("route", digest, places).is_ok());
    // From one source they exclude each other, and the error names the source.
    let both = [("TENDMAP_STR", "x"), ("TENDMAP_INT", "1")]
        .map(|(name, value)| (name.into(), value.into()));
    let places = Places { flags: &[], variables: &both, file: None };
    let error =
        resolve(["tendmap", "route", "--namespace=n"].map(OsString::from).to_vec(), &|name| {
            places.variables.iter().find(|(known, _)| known == name).map(|(_, v)| v.into())
        });
    let error = error.err().unwrap().to_string();
    assert!(error.contains("is set by TENDMAP_STR"), "{error}");
}

#[test]
fn h103_flags_before_the_command_count_as_behind_it() {
    for before in [&["--json"][..], &["--shm-key", "5"], &["--json", "--shm-key=5", "--force"]] {
        let mut arguments: Vec<OsString> = vec!["tendmap".into()];
        arguments.extend(before.iter().map(OsString::from));
        arguments.push("rm".into());
        assert!(resolve(arguments, &|_| None).is_ok(), "{before:?}");
    }
    for wrong in [["--shm-key", "rm"], ["--nonsense", "rm"]] {
        let arguments = ["tendmap", wrong[0], wrong[1]].map(OsString::from).to_vec();
        assert!(resolve(arguments, &|_| None).is_err(), "{wrong:?}");
    }
}

#[test]
fn h104_help_has_at_most_80_columns_its_own_options_first_and_none_without_meaning() {
    let command = definition();
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let name = sub.get_name();
        let show = |flag: &str| {
            let arguments = ["tendmap", name, flag].map(OsString::from).to_vec();
            resolve(arguments, &|_| None).err().unwrap().to_string()
        };
        let (short, long) = (show("-h"), show("--help"));
        assert!(short.lines().count() < 40, "{name} -h has {} lines", short.lines().count());
        assert!(short.len() < long.len(), "{name}");
        for line in short.lines().chain(long.lines()) {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
        let at = |heading: &str| long.lines().position(|line| line.trim_end() == heading);
        let options = at("Options:").unwrap();
        for heading in ["Security:", "Shared memory:", "Output and settings:"] {
            assert!(at(heading).is_none_or(|line| line > options), "{name}: {heading}");
        }
        let no_segment = ["sim", "check", "completions", "man"].contains(&name);
        assert_eq!(at("Shared memory:").is_none(), no_segment, "{name}");
        assert!(!long.contains("--shm-owner") || name != "demo");
        let words = long.split_whitespace().collect::<Vec<_>>().join(" ");
        for arg in own_settings(sub) {
            let flag = format!("--{}", arg.get_long().unwrap());
            assert!(long.contains(&flag), "{name} --help has no {flag}");
            let variable = format!("[env: {}]", variable(arg.get_long().unwrap()));
            assert!(words.contains(&variable), "{name} --help has no {variable}");
        }
    }
}

#[test]
fn every_setting_of_the_table_has_a_flag_with_its_help_and_default() {
    let command = definition();
    let tend = command.find_subcommand("tend").unwrap();
    let route = command.find_subcommand("route").unwrap();
    for setting in SETTINGS {
        let sub = if setting.group() == SettingGroup::Routing { route } else { tend };
        let long = setting.name().replace('_', "-");
        let arg = own_settings(sub).find(|arg| arg.get_long() == Some(&long));
        let arg = arg.unwrap_or_else(|| panic!("no flag --{long}"));
        let help = arg.get_help().unwrap().to_string();
        assert!(help.starts_with(setting.help()), "--{long}: {help}");
        let default = match setting.name() {
            "use_shm" => "true".to_owned(),
            _ => setting.default(),
        };
        let shown = help.strip_suffix(']').and_then(|help| Some(help.rsplit_once("[default: ")?.1));
        assert!(is_switch(arg) || shown.unwrap_or_default() == default, "--{long}: {help}");
        assert_eq!(variable(&long), format!("TENDMAP_{}", setting.name().to_uppercase()));
        // In other commands it has the same name, or the name means another flag.
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "sim") {
            let other = sub.get_arguments().find(|other| is_called(other, &long));
            assert!(other.is_none_or(|other| other.get_help() == arg.get_help()), "--{long}");
        }
    }
}

#[test]
fn an_earlier_name_of_a_flag_still_counts_in_every_place() {
    let command = definition();
    for (name, other, alias, value) in [
        ("tend", "hosts", "host", "db1:3000"),
        ("check", "tls", "tls-enable", "true"),
        ("route", "preferred-racks", "prefer-rack", "7"),
    ] {
        let sub = command.find_subcommand(name).unwrap();
        let arg = own_settings(sub).find(|arg| arg.get_long() == Some(other)).unwrap();
        let flag = if is_switch(arg) { format!("--{alias}") } else { format!("--{alias}={value}") };
        let wanted = Ok(Some(vec![OsString::from(value)]));
        let by = |flags: &[String], variables: &[(String, String)], file: Option<&str>| {
            raw(name, arg, Places { flags, variables, file })
        };
        assert_eq!(by(&[flag], &[], None), wanted, "{alias}");
        assert_eq!(by(&[], &[(variable(alias), value.to_owned())], None), wanted, "{alias}");
        assert_eq!(by(&[], &[], Some(&format!("{alias} = \"{value}\"\n"))), wanted, "{alias}");
        let both = format!("{other} = \"{value}\"\n{alias} = \"{value}\"\n");
        let error = by(&[], &[], Some(&both)).unwrap_err();
        let wanted = format!(":2: {alias} is set in line 1 already, as {other}; remove one");
        assert!(error.contains(&wanted), "{error}");
    }
}
