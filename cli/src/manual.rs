//! `tendmap man`: manual pages, made from the definition of the command line.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use serde_json::json;
use tendmap::internals::text::Printable;

use crate::failure::{EXIT_CODES, Failure};
use crate::output::Output;
use crate::replace::{self, Mode};
use crate::settings::definition;

/// The flags of `tendmap man`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The command whose page is printed; without one, the page of tendmap itself.
    #[arg(value_name = "COMMAND")]
    page: Option<String>,
    /// Write all pages into this directory instead.
    ///
    /// The files are tendmap.1 and tendmap-COMMAND.1 of each command.
    #[arg(long, value_name = "DIR", conflicts_with = "page")]
    dir: Option<PathBuf>,
}

/// Prints a page, or writes all of them.
///
/// # Errors
/// [`Failure`] if there is no such page, or if it can't be written.
pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let pages = pages().map_err(|error| Failure::Failed(format!("can't make a page: {error}")))?;
    if let Some(directory) = &args.dir {
        let files = write_all(directory, &pages)?;
        let names: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
        let text = |out: &mut dyn io::Write| {
            names.iter().try_for_each(|name| writeln!(out, "{}", Printable(name)))
        };
        return Ok(output.answer(|| json!({ "pages": names }), text)?);
    }
    let wanted = args.page.as_ref().map_or("tendmap".to_owned(), |page| format!("tendmap-{page}"));
    let Some((name, text)) = pages.iter().find(|(name, _)| *name == wanted) else {
        let commands = pages.iter().filter_map(|(name, _)| name.strip_prefix("tendmap-"));
        return Err(Failure::Usage(format!(
            "there is no command {}; the commands are {}",
            Printable(args.page.as_deref().unwrap_or_default()),
            commands.collect::<Vec<_>>().join(", ")
        )));
    };
    Ok(output.verbatim(|| json!({ "page": name, "text": text }), text)?)
}

/// Writes the pages into a directory, which is created if it is missing.
fn write_all(directory: &Path, pages: &[(String, String)]) -> Result<Vec<PathBuf>, Failure> {
    let failed = |path: &Path, error| {
        let told = replace::explained(&error);
        Failure::Failed(format!("can't write {}: {told}", Printable(path.display())))
    };
    fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    let write = |(name, text): &(String, String)| {
        let path = directory.join(format!("{name}.1"));
        replace::file(&path, text.as_bytes(), Mode::Kept).map_err(|error| failed(&path, error))?;
        Ok(path)
    };
    pages.iter().map(write).collect()
}

/// The name and the text of each page: first tendmap's, then those of its commands.
fn pages() -> io::Result<Vec<(String, String)>> {
    let mut root = definition().disable_help_subcommand(true);
    root.build();
    let commands: Vec<&Command> = root.get_subcommands().filter(|sub| !sub.is_hide_set()).collect();
    let names: Vec<String> = commands.iter().map(|sub| sub.get_name().to_owned()).collect();
    let mut pages = vec![("tendmap".to_owned(), page(root.clone(), &names)?)];
    for sub in commands {
        pages.push((format!("tendmap-{}", sub.get_name()), page(sub.clone(), &names)?));
    }
    Ok(pages)
}

/// One page.
fn page(mut command: Command, commands: &[String]) -> io::Result<String> {
    let is_root = command.has_subcommands();
    let name = command.get_name().to_owned();
    let usage = command.render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage).to_owned();
    // The texts of commands are for --help. A flag that -h leaves out would have no text.
    let command = command
        .override_usage(usage)
        .subcommand_help_heading("COMMANDS")
        .mut_args(|arg| with_aliases(arg.hide_short_help(false)));
    let (man, mut text) = (Man::new(command), Vec::new());
    // The title of the crate leaves out an empty date, so that the version takes its place.
    let title = if is_root { name.clone() } else { format!("tendmap-{name}") };
    writeln!(
        text,
        r#".TH "{title}" 1 "" "tendmap {}" "User Commands""#,
        env!("CARGO_PKG_VERSION")
    )?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if is_root {
        man.render_subcommands_section(&mut text)?;
    }
    let mut more = Roff::new();
    settings(&mut more);
    files(&mut more);
    exit_status(&mut more);
    if let Some((_, example)) = EXAMPLES.iter().find(|(of, _)| *of == name) {
        more.control("SH", ["EXAMPLES"]);
        lines(&mut more, example);
    }
    see_also(&mut more, &name, is_root, commands);
    more.to_writer(&mut text)?;
    // The crate breaks a line twice before the values of an argument.
    Ok(String::from_utf8_lossy(&text).replace("\n.br\n\n.br\n", "\n.sp\n"))
}

/// A flag whose text names its other names, which the crate leaves out.
fn with_aliases(arg: Arg) -> Arg {
    let aliases = arg.get_visible_aliases().unwrap_or_default();
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string);
    match (help, aliases.is_empty()) {
        (Some(help), false) => {
            let names: Vec<_> = aliases.iter().map(|alias| format!("--{alias}")).collect();
            let help = format!("{help}\n\nAlso called {}.", names.join(", "));
            arg.long_help(help)
        }
        _ => arg,
    }
}

fn settings(roff: &mut Roff) {
    roff.control("SH", ["SETTINGS"]);
    roff.text([
        roman("Each option can also be given as an environment variable of the same name ("),
        bold("TENDMAP_TEND_INTERVAL"),
        roman(" for "),
        bold("--tend-interval"),
        roman(
            "; several values are separated by commas; an empty variable counts as unset), or as \
             a line of the TOML file that ",
        ),
        bold("--config"),
        roman(" or "),
        bold("TENDMAP_CONFIG"),
        roman(
            " names. The keys of the file are the options without their dashes. A flag takes \
             precedence over a variable, and a variable over the file. One file can serve all \
             commands: a command ignores the keys of others, and keys under [COMMAND] apply to \
             that command only. Programs that are set-user-id, set-group-id or have capabilities \
             use no variable.",
        ),
    ]);
    roff.control("PP", []);
    roff.text([bold("NO_COLOR"), roman(", if it is set and not empty, turns colours off.")]);
}

fn files(roff: &mut Roff) {
    roff.control("SH", ["FILES"]);
    for (name, text) in FILES {
        roff.control("TP", []);
        roff.text([bold(*name)]);
        roff.text([roman(*text)]);
    }
}

fn exit_status(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    for (code, text) in exit_codes() {
        roff.control("TP", ["6"]);
        roff.text([bold(code)]);
        roff.text([roman(text)]);
    }
    roff.control("PP", []);
    roff.text([
        roman("With "),
        bold("--json"),
        roman(
            " an error is one line of JSON on standard error: \
             {\"error\":{\"message\":…,\"code\":…,\"hint\":…}}, where code is the exit status.",
        ),
    ]);
}

/// The exit codes of all commands, as `tendmap --help` lists them.
fn exit_codes() -> Vec<(String, String)> {
    let mut codes: Vec<(String, String)> = Vec::new();
    for line in EXIT_CODES.lines().skip(1).take_while(|line| !line.is_empty()) {
        match (line.trim_start().split_once(' '), codes.last_mut()) {
            (Some((code, text)), _) if code.parse::<u8>().is_ok() => {
                codes.push((code.to_owned(), text.trim_start().to_owned()));
            }
            (_, Some((_, text))) => *text += &format!(" {}", line.trim_start()),
            (_, None) => {}
        }
    }
    codes
}

fn see_also(roff: &mut Roff, name: &str, is_root: bool, commands: &[String]) {
    roff.control("SH", ["SEE ALSO"]);
    let others = commands.iter().filter(|other| is_root || *other != name);
    let pages = others.map(|other| format!("tendmap-{other}"));
    let root = (!is_root).then(|| "tendmap".to_owned());
    let mut text = Vec::new();
    for page in root.into_iter().chain(pages) {
        text.extend([bold(page), roman("(1), ")]);
    }
    text.extend([bold("ipcs"), roman("(1), "), bold("shm_overview"), roman("(7)")]);
    roff.text(text);
}

/// Lines that are not filled.
fn lines(roff: &mut Roff, text: &str) {
    roff.control("nf", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
}

const FILES: &[(&str, &str)] = &[
    (
        "/etc/tendmap/NAME.toml",
        "Settings of the systemd service tendmap@NAME, which runs tendmap tend with this file.",
    ),
    (
        "/dev/shm/tendmap-KEY-v3-gN",
        "The segment of a key, in hexadecimal digits, with the version of its layout and its \
         generation. --shm-directory names another directory.",
    ),
    (
        "/dev/shm/tendmap-*.lock",
        "The lock file of a segment. Processes that may only read the segment do not need it.",
    ),
    (
        "/dev/shm/tendmap-*.marks",
        "Marks of a segment in System V memory, by which attached processes are counted.",
    ),
];

/// Examples of commands.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "tendmap",
        "tendmap check --hosts db1:3000\ntendmap tend --hosts db1:3000,db2:3000\ntendmap status\n\
         tendmap route --namespace test --set users --int 42",
    ),
    (
        "tend",
        "tendmap tend --hosts db1:3000,db2:3000 --cluster-name lab\n\
         tendmap tend --config /etc/tendmap/main.toml --wait",
    ),
    ("check", "tendmap check --hosts db1:3000"),
    ("status", "tendmap status || echo unhealthy\ntendmap status --json --shm-key 0xA7000001"),
    (
        "route",
        "tendmap route --namespace test --set users --int 42\n\
         tendmap route --namespace test --digest 0123456789abcdef0123456789abcdef01234567",
    ),
    ("map", "tendmap map --json"),
    ("ls", "tendmap ls"),
    ("metrics", "tendmap metrics --listen 127.0.0.1:9400"),
    ("verify", "tendmap verify --hosts db1:3000"),
    ("watch", "tendmap watch"),
    ("rm", "tendmap rm --shm-key 0xA7000000"),
    ("c-client", "tendmap c-client status\ntendmap c-client map 0xA9000000"),
    ("sim", "tendmap sim --nodes 3 --base-port 3000 --namespace test:2"),
    ("demo", "tendmap demo --seconds 10"),
    ("man", "tendmap man tend | man -l -\ntendmap man --dir ~/.local/share/man/man1"),
    ("completions", "source <(tendmap completions bash)"),
];
