//! Manual pages and completions, judged by the programs that read them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::tool::{Answer, BINARY};

fn tendmap(args: &[&str]) -> Answer {
    Answer(Command::new(BINARY).args(args).output().unwrap())
}

/// Runs a program; `None` if it is not installed.
fn judge(program: &str, args: &[&str]) -> Option<Output> {
    match Command::new(program).args(args).env("LC_ALL", "C.UTF-8").output() {
        Ok(output) => Some(output),
        Err(_) => {
            tendmap_testkit::skipped(&format!("no {program} is installed here"));
            None
        }
    }
}

/// The commands that help shows.
fn commands() -> Vec<String> {
    let help = tendmap(&["-h"]).stdout();
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    let name = |line: &str| {
        let line = line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?;
        line.split_whitespace().next().map(str::to_owned)
    };
    let names: Vec<String> = lines.filter_map(name).filter(|name| name != "help").collect();
    assert!(names.len() > 10 && names.iter().any(|name| name == "tend"), "{names:?}");
    names
}

fn written() -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("man/man1");
    let answer = tendmap(&["man", "--json", "--dir", directory.to_str().unwrap()]);
    assert_eq!(answer.code(), 0, "{}", answer.stderr());
    let pages = answer.json()["pages"].as_array().unwrap().clone();
    (folder, pages.iter().map(|page| page.as_str().unwrap().to_owned()).collect())
}

#[test]
fn every_command_has_a_manual_page_that_readers_accept() {
    let (_folder, pages) = written();
    let names: Vec<String> = pages
        .iter()
        .map(|page| Path::new(page).file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    let wanted = commands().into_iter().map(|command| format!("tendmap-{command}.1"));
    assert_eq!(names, ["tendmap.1".to_owned()].into_iter().chain(wanted).collect::<Vec<_>>());
    for page in &pages {
        if let Some(output) = judge("man", &["-l", "--warnings", "-E", "UTF-8", "-Tutf8", page]) {
            let warnings = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && warnings.is_empty(), "{page}: {warnings}");
        }
    }
    let args = ["-T", "lint", "-W", "warning"].into_iter().chain(pages.iter().map(String::as_str));
    if let Some(output) = judge("mandoc", &args.collect::<Vec<_>>()) {
        let text = String::from_utf8_lossy(&output.stdout);
        // The version is in the page; a date would differ with every build.
        let found: Vec<_> = text.lines().filter(|line| !line.contains("missing date")).collect();
        assert_eq!(found, [] as [&str; 0]);
    }
}

#[test]
fn a_manual_page_has_every_option_the_exit_codes_and_nothing_hidden() {
    for command in commands() {
        let page = tendmap(&["man", &command]).stdout().replace("\\-", "-");
        let help = tendmap(&[&command, "--help"]).stdout();
        for flag in help.split_whitespace().filter(|word| word.starts_with("--")) {
            let flag = flag.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            assert!(page.contains(flag), "{command}: {flag}");
        }
        // Each option has a text.
        let lines: Vec<&str> = page.lines().collect();
        for at in lines.windows(3).filter(|lines| lines[0] == ".TP") {
            assert!(!at[2].starts_with('.') && !at[2].is_empty(), "{command}: {at:?}");
        }
        assert!(page.contains(&format!(".TH \"tendmap-{command}\" 1 \"\" \"tendmap ")), "{page}");
        for section in ["SYNOPSIS", "SETTINGS", "FILES", "EXIT STATUS", "SEE ALSO"] {
            assert!(page.contains(section), "{command} has no {section}");
        }
    }
    let (root, help) = (tendmap(&["man"]).stdout(), tendmap(&["--help"]).stdout());
    assert!(
        !root.contains("tendmap\\-worker") && root.contains("tendmap\\-c\\-client(1)"),
        "{root}"
    );
    let (_, codes) = help.split_once("Exit codes:").unwrap();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let codes = words(codes);
    let (_, status) = root.split_once(".SH \"EXIT STATUS\"").unwrap();
    let plain = status.replace(".TP 6", "").replace("\\fB", "").replace("\\fR", "");
    let status = words(&plain.replace("\\-", "-"));
    let same = codes.split_once(" With --json").unwrap().0;
    assert!(status.starts_with(same), "{status}\n{same}");
}

#[test]
fn a_page_that_does_not_exist_or_can_t_be_written_is_an_error() {
    for missing in ["nonsense", "worker", "tendmap"] {
        let answer = tendmap(&["man", missing, "--json"]);
        assert_eq!(answer.code(), 2);
        let error = answer.error()["message"].as_str().unwrap().to_owned();
        assert!(error.contains(missing) && error.contains("tend, status"), "{error}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let answer = tendmap(&["man", "--dir", file.path().to_str().unwrap()]);
    assert_eq!(answer.code(), 6);
    assert!(answer.stderr().contains(file.path().to_str().unwrap()), "{}", answer.stderr());
    assert_eq!(tendmap(&["man", "tend", "--dir", "x"]).code(), 2);
    assert_eq!(tendmap(&["completions", "tcsh"]).code(), 2);
}

/// What bash offers after these words, the last of which is being typed.
fn offered(script: &Path, words: &[&str]) -> Option<Vec<String>> {
    let run = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
               _tendmap tendmap \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\" 2>/dev/null; \
               printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut args = vec!["-c", run, "bash", script.to_str().unwrap(), "tendmap"];
    args.extend(words);
    let output = judge("bash", &args)?;
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(str::to_owned).collect())
}

#[test]
fn shells_complete_commands_flags_and_values() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, file) in [("bash", "tendmap"), ("zsh", "_tendmap"), ("fish", "tendmap.fish")] {
        let answer = tendmap(&["completions", shell]);
        assert_eq!(answer.code(), 0, "{}", answer.stderr());
        let script = folder.path().join(file);
        fs::write(&script, answer.stdout()).unwrap();
        let json = tendmap(&["completions", shell, "--json"]).json();
        assert_eq!((&json["shell"], &json["script"]), (&shell.into(), &answer.stdout().into()));
        // What help does not show is not completed.
        for hidden in ["subcmd__worker", "'worker:", "-a \"worker\""] {
            assert!(!answer.stdout().contains(hidden), "{shell} completes {hidden}");
        }
        if let Some(output) = judge(shell, &["-n", script.to_str().unwrap()]) {
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && error.is_empty(), "{shell}: {error}");
        }
    }
    let bash = folder.path().join("tendmap");
    let Some(found) = offered(&bash, &[""]) else { return };
    for command in commands() {
        assert!(found.contains(&command), "{command} is not in {found:?}");
    }
    let offered = |words: &[&str]| offered(&bash, words).unwrap();
    assert_eq!(offered(&["stat"]), ["status"]);
    assert_eq!(offered(&["tend", "--tend-i"]), ["--tend-interval"]);
    assert_eq!(offered(&["c-client", "rel"]), ["release"]);
    assert_eq!(offered(&["completions", ""]).iter().filter(|it| *it == "zsh").count(), 1);
    let config = format!("{}/_", folder.path().display());
    assert_eq!(offered(&["tend", "--config", &config]), [format!("{config}tendmap")]);
    // Flags without meaning for a command.
    let (sim, ls) = (offered(&["sim", "--shm"]), offered(&["ls", "--shm-b"]));
    assert_eq!((sim.join(""), ls.join("")), (String::new(), String::new()));
}
