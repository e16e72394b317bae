//! The flags of a client's settings, generated from the library's table.
//!
//! A flag has the name of its setting, and the table's text as its help. [`MORE`]
//! adds text that applies only to the command line.

use std::ffi::OsString;
use std::marker::PhantomData;

use clap::builder::{OsStringValueParser, PossibleValuesParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};
use tendmap::client::{Config, SETTINGS, Setting};
use tendmap::internals::client::{SettingGroup, SettingKind};
use tendmap::wire::login::SecretString;

use crate::settings::{of_file, password};

/// The help heading of the flags for the segment.
const MEMORY: &str = "Shared memory";
/// The help heading of the flags for logins and TLS.
pub const SECURITY: &str = "Security";
/// Heading of the settings of official clients' segments.
const OFFICIAL: &str = "Official Aerospike clients";

/// The settings that a command has.
pub trait Groups {
    /// The groups of these settings.
    const GROUPS: &'static [SettingGroup];
}

/// The settings of the connection to a cluster.
#[derive(Clone, Debug)]
pub struct Reached;
impl Groups for Reached {
    const GROUPS: &'static [SettingGroup] = &[SettingGroup::Cluster, SettingGroup::Security];
}

/// The settings of tending, and of new segments.
#[derive(Clone, Debug)]
pub struct Tended;
impl Groups for Tended {
    const GROUPS: &'static [SettingGroup] = &[SettingGroup::Tending, SettingGroup::Segment];
}

/// The settings of the tend interval.
#[derive(Clone, Debug)]
pub struct Polled;
impl Groups for Polled {
    const GROUPS: &'static [SettingGroup] = &[SettingGroup::Tending];
}

/// The settings of the C client's segments that are kept filled.
#[derive(Clone, Debug)]
pub struct Mirrored;
impl Groups for Mirrored {
    const GROUPS: &'static [SettingGroup] = &[SettingGroup::CClient];
}

/// The settings that select a segment.
#[derive(Clone, Debug)]
pub struct Which;
impl Groups for Which {
    const GROUPS: &'static [SettingGroup] = &[SettingGroup::Place];
}

/// The settings that select a replica.
#[derive(Clone, Debug)]
pub struct Preferred;
impl Groups for Preferred {
    const GROUPS: &'static [SettingGroup] = &[SettingGroup::Routing];
}

/// Earlier names of flags, from before each had the name of its setting.
const ALIASES: [(&str, &str); 3] =
    [("hosts", "host"), ("tls", "tls-enable"), ("preferred_racks", "prefer-rack")];

/// The settings that `-h` shows.
const SHOWN_SHORT: [&str; 11] = [
    "hosts",
    "cluster_name",
    "connect_timeout",
    "user",
    "tls",
    "use_services_alternate",
    "ip_map",
    "tend_interval",
    "shm_key",
    "preferred_racks",
    "c_client",
];

/// Text that `--help` adds.
const MORE: [(&str, &str); 14] = [
    ("hosts", "NAME:PORT. May be given several times, or with commas in between."),
    (
        "password",
        "Every user of the host can see flags (`ps`): prefer --password-file, TENDMAP_PASSWORD, or \
         a file that --config names.",
    ),
    (
        "tls",
        "The hosts are then NAME:PORT or NAME:TLS_NAME:PORT of their TLS ports. Any other TLS \
         flag implies it.",
    ),
    ("ip_map", "May be given several times."),
    ("preferred_racks", "May be given several times."),
    ("shm_backend", "`ls` shows segments of both kinds; `ipcs -m` lists those in sysv."),
    ("shm_owner", "Names or numbers, separated by commas; may be given several times."),
    (
        "shm_allow_group_write",
        "Every member of the group can truncate such a file, which kills all attached processes \
         with SIGBUS. Segments in sysv can't be truncated.",
    ),
    (
        "c_client",
        "VERSION is the version of the C client (7.6.1), or of the client that contains it \
         (python-19.3, node-6.7): it determines the layout, which the segment itself does not \
         show. The clients only set use_shm and this key. May be given several times.",
    ),
    (
        "c_client_max_nodes",
        "Clients with a smaller value crash if the cluster has more nodes than theirs; clients \
         with a larger one can't attach. Nodes beyond it are left out, and reported.",
    ),
    ("c_client_max_namespaces", "As --c-client-max-nodes."),
    (
        "c_client_on_exit",
        "hold: a tender that starts within 30 s goes on unnoticed, and a client takes over after \
         that. release: a client takes over at once.",
    ),
    (
        "c_client_owner",
        "pid: clients take over if this process is gone and has not tended for 30 s. always: they \
         never do.",
    ),
    ("shm_mode", "One with 0020 needs --shm-allow-group-write, or sysv."),
];

/// The given settings of some groups.
#[derive(Clone, Debug)]
pub struct Flags<G> {
    texts: Vec<(&'static Setting, OsString)>,
    password: Option<SecretString>,
    /// Whether a file holds the password.
    password_file: bool,
    groups: PhantomData<G>,
}

impl<G: Groups> Flags<G> {
    fn settings() -> impl Iterator<Item = &'static Setting> {
        SETTINGS.iter().filter(|setting| G::GROUPS.contains(&setting.group()))
    }

    /// Applies the settings to a configuration.
    pub fn apply(&self, config: &mut Config) {
        for (setting, text) in &self.texts {
            // Each was checked when it was parsed.
            let _ = config.set(setting.name(), text);
        }
        if self.password.is_some() {
            config.password.clone_from(&self.password);
        }
        if self.password_file {
            config.password = of_file();
        }
    }

    /// A configuration with these settings.
    pub fn config(&self) -> Config {
        let mut config = Config::new(Vec::new());
        self.apply(&mut config);
        config
    }

    /// Whether a setting was given.
    pub fn has(&self, name: &str) -> bool {
        self.texts.iter().any(|(setting, _)| setting.name() == name)
    }
}

/// The default on the command line, which may differ from the library's.
fn default(setting: &Setting) -> String {
    match setting.name() {
        // The command exists to share a segment.
        "use_shm" => "true".to_owned(),
        _ => setting.default(),
    }
}

/// Whether a flag takes no value and turns a setting on.
fn is_switch(setting: &Setting) -> bool {
    setting.kind() == SettingKind::Switch && default(setting) == "false"
}

/// The flag of a setting.
fn flag(setting: &'static Setting) -> Arg {
    let (name, kind) = (setting.name(), setting.kind());
    let arg = Arg::new(name).long(name.replace('_', "-"));
    let arg = described(arg, setting);
    let heading = match setting.group() {
        SettingGroup::Security => Some(SECURITY),
        SettingGroup::Place | SettingGroup::Segment => Some(MEMORY),
        SettingGroup::CClient => Some(OFFICIAL),
        _ => None,
    };
    let arg = arg.help_heading(heading).hide_short_help(!SHOWN_SHORT.contains(&name));
    let arg = ALIASES
        .iter()
        .filter(|(known, _)| *known == name)
        .fold(arg, |arg, (_, alias)| arg.visible_alias(*alias));
    if is_switch(setting) {
        return arg.action(ArgAction::SetTrue);
    }
    let arg = arg.value_name(placeholder(setting));
    let arg = match kind.is_list() {
        true => arg.action(ArgAction::Append),
        false => arg.action(ArgAction::Set),
    };
    match kind {
        SettingKind::Secret => arg.value_parser(password),
        SettingKind::Switch => arg
            .value_parser(PossibleValuesParser::new(["true", "false"]))
            .num_args(0..=1)
            .default_missing_value("true"),
        // A path need not be UTF-8.
        SettingKind::File | SettingKind::Directory => arg.value_parser(OsStringValueParser::new()),
        SettingKind::Racks => arg.allow_negative_numbers(true).value_parser(parser(setting)),
        _ => arg.value_parser(parser(setting)),
    }
}

/// Adds the help to a flag.
fn described(arg: Arg, setting: &Setting) -> Arg {
    let default = default(setting);
    let shown = match default.is_empty() || is_switch(setting) {
        true => String::new(),
        false => format!(" [default: {default}]"),
    };
    let help = format!("{}{shown}", setting.help());
    match MORE.iter().find(|(name, _)| *name == setting.name()) {
        Some((_, more)) => arg.long_help(format!("{help}\n\n{more}")).help(help),
        None => arg.help(help),
    }
}

fn placeholder(setting: &Setting) -> &'static str {
    match setting.kind() {
        SettingKind::Secret => "TEXT",
        SettingKind::File => "FILE",
        SettingKind::Directory => "DIR",
        SettingKind::Switch => "BOOL",
        SettingKind::Choice(_) if setting.name() == "auth_mode" => "MODE",
        SettingKind::Choice(_) if setting.group() == SettingGroup::CClient => "WORD",
        SettingKind::Choice(_) => "KIND",
        SettingKind::Number { .. } => "N",
        SettingKind::Key => "KEY",
        SettingKind::Mode => "MODE",
        SettingKind::Duration => "TIME",
        SettingKind::Hosts => "HOST",
        SettingKind::Pairs => "TOLD=USED",
        SettingKind::Users => "USERS",
        SettingKind::Racks => "RACK",
        SettingKind::Targets => "KEY:VERSION",
        _ => "NAME",
    }
}

/// The id of the flag for a file with the password.
const PASSWORD_FILE: &str = "password_file";

/// The flag for a file with the password. It is a flag only: a program reads its
/// files itself, and decides when it reads them again.
fn password_file() -> Arg {
    Arg::new(PASSWORD_FILE)
        .long("password-file")
        .value_name("FILE")
        .help("A file with the password, and nothing else but one newline at its end")
        .long_help(
            "A file with the password, and nothing else but one newline at its end.\n\n`tend` \
             reads it again when it has changed, and at SIGHUP. Other users should not be able to \
             read it. It may be a credential of systemd: $CREDENTIALS_DIRECTORY/NAME.",
        )
        .help_heading(SECURITY)
        .hide_short_help(true)
        .value_parser(OsStringValueParser::new())
        .conflicts_with("password")
}

/// A parser that checks a text and keeps it.
fn parser(
    setting: &'static Setting,
) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync + 'static {
    |text: &str| {
        let tried = Config::new(Vec::new()).set(setting.name(), text);
        tried.map(|()| text.to_owned()).map_err(|error| error.reason())
    }
}

impl<G: Groups + Clone> clap::Args for Flags<G> {
    fn augment_args(command: Command) -> Command {
        let flags = Flags::<G>::settings().map(|setting| {
            let flag = flag(setting);
            flag.required(setting.name() == "hosts")
        });
        let command = command.args(flags);
        match G::GROUPS.contains(&SettingGroup::Security) {
            true => command.arg(password_file()),
            false => command,
        }
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<G: Groups + Clone> clap::FromArgMatches for Flags<G> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags<G>, clap::Error> {
        let mut flags =
            Flags { texts: Vec::new(), password: None, password_file: false, groups: PhantomData };
        flags.password_file =
            matches.try_get_one::<OsString>(PASSWORD_FILE).is_ok_and(|path| path.is_some());
        let mut config = Config::new(Vec::new());
        for setting in Flags::<G>::settings() {
            let name = setting.name();
            let text = match setting.kind() {
                SettingKind::Secret => {
                    flags.password = matches.get_one::<SecretString>(name).cloned();
                    continue;
                }
                _ if is_switch(setting) => matches.get_flag(name).then(|| "true".into()),
                SettingKind::File | SettingKind::Directory => {
                    matches.get_one::<OsString>(name).cloned()
                }
                _ => matches
                    .get_many::<String>(name)
                    .map(|texts| texts.map(String::as_str).collect::<Vec<_>>().join(",").into()),
            };
            let Some(text) = text else { continue };
            // Each part is valid, but the whole may not be.
            config.set(name, &text).map_err(|error| {
                clap::Error::raw(ErrorKind::ValueValidation, format!("{error}\n"))
            })?;
            flags.texts.push((setting, text));
        }
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Flags::from_arg_matches(matches)?;
        Ok(())
    }
}
