//! Controls a simulated cluster by lines of text, for scripts in any language.
//! Each line of input is a command, each line of output a JSON object.

use std::io::{self, BufRead, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::config::{SimError, SimNamespace, SimUser};
use super::handle::Sim;

/// The reply of [`Sim::console`] to `help`.
const HELP: &[&str] = &[
    "status",
    "kill N",
    "stop N",
    "freeze N",
    "thaw N",
    "isolate N",
    "heal N",
    "start N",
    "move N PORT (0 = any)",
    "add",
    "remove N",
    "settle [MILLISECONDS]",
    "owners NAMESPACE",
    "commands (and forgets them)",
    "namespace add NAME RF [strong]",
    "namespace remove NAME",
    "namespace rf NAME RF",
    "namespace strong NAME true|false",
    "namespace rebuild NAME",
    "build N BUILD (8.1.2.0)",
    "rack N NAMESPACE RACK (reported by the enterprise edition only)",
    "security on|off",
    "security expire (ends all sessions)",
    "security lifetime SECONDS (0 = no limit)",
    "user set NAME PASSWORD [external|powerless]",
    "user remove NAME",
    "disconnect N",
    "reply N COMMAND [TEXT] (without a text: the true reply again)",
    "help",
];

impl Sim {
    /// Drives the cluster by lines of text until the input ends, for scripts in any language.
    ///
    /// The first line of output gives the nodes' addresses:
    /// `{"seeds":["127.0.0.1:port",…],"cluster_name":…,"nodes":[{"number":1,"node":…,"address":…},…]}`.
    /// Then each line of input is a command (`help` lists them), answered by one line: an object,
    /// with `"ok":true` or with `"error"` and the reason. Empty lines are skipped.
    ///
    /// # Errors
    /// Those of the input and the output.
    pub fn console(&self, input: impl BufRead, mut output: impl Write) -> io::Result<()> {
        let mut say = |value: &Value| {
            writeln!(output, "{value}")?;
            output.flush()
        };
        say(&greeting(self).unwrap_or_else(|error| failure(&error)))?;
        for line in input.lines() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            say(&obey(self, line.trim()).unwrap_or_else(|error| failure(&error)))?;
        }
        Ok(())
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error(transparent)]
    Sim(#[from] SimError),
    #[error("cannot read {line:?}; wanted one of: {}", HELP.join(", "))]
    Unknown { line: String },
    #[error("cannot write it as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

fn failure(error: &LineError) -> Value {
    json!({ "ok": false, "error": error.to_string() })
}

fn greeting(sim: &Sim) -> Result<Value, LineError> {
    let status = sim.status()?;
    let seeds: Vec<String> = sim.seeds().iter().map(ToString::to_string).collect();
    let nodes = status
        .nodes
        .iter()
        .map(|node| json!({ "number": node.number, "node": node.node, "address": node.address }));
    let nodes: Vec<Value> = nodes.collect();
    Ok(json!({ "seeds": seeds, "cluster_name": status.cluster_name, "nodes": nodes }))
}

fn obey(sim: &Sim, line: &str) -> Result<Value, LineError> {
    let unknown = || LineError::Unknown { line: line.to_owned() };
    let number = |text: &str| text.parse::<usize>().map_err(|_| unknown());
    let words: Vec<&str> = line.split_whitespace().collect();
    let done = json!({ "ok": true });
    match words[..] {
        ["status"] => return Ok(with_ok(serde_json::to_value(sim.status()?)?)),
        ["help"] => return Ok(json!({ "ok": true, "commands": HELP })),
        ["kill", node] => sim.kill(number(node)?)?,
        ["stop", node] => sim.stop_clean(number(node)?)?,
        ["freeze", node] => sim.freeze(number(node)?)?,
        ["thaw", node] => sim.thaw(number(node)?)?,
        ["isolate", node] => sim.isolate(number(node)?)?,
        ["heal", node] => sim.heal(number(node)?)?,
        ["start", node] => sim.start_node(number(node)?)?,
        ["move", node, port] => {
            let port = sim.move_node(number(node)?, port.parse().map_err(|_| unknown())?)?;
            return Ok(json!({ "ok": true, "port": port }));
        }
        ["add"] => return Ok(json!({ "ok": true, "number": sim.add()? })),
        ["remove", node] => sim.remove(number(node)?)?,
        ["settle"] => {
            return Ok(json!({ "ok": true, "settled": sim.settle(Duration::from_secs(60)) }));
        }
        ["settle", ms] => {
            let settled = sim.settle(Duration::from_millis(number(ms)? as u64));
            return Ok(json!({ "ok": true, "settled": settled }));
        }
        ["owners", namespace] => {
            let owners = sim.owners(namespace)?;
            let owners: Vec<Vec<&str>> =
                owners.iter().map(|row| row.iter().map(AsRef::as_ref).collect()).collect();
            return Ok(json!({ "ok": true, "partitions": owners }));
        }
        ["commands"] => {
            let commands = serde_json::to_value(sim.take_commands()?)?;
            return Ok(json!({ "ok": true, "commands": commands }));
        }
        ["namespace", "add", name, rf] => {
            sim.add_namespace(SimNamespace::new(name, number(rf)?))?;
        }
        ["namespace", "add", name, rf, "strong"] => {
            sim.add_namespace(SimNamespace::strong(name, number(rf)?))?;
        }
        ["namespace", "remove", name] => sim.remove_namespace(name)?,
        ["namespace", "rf", name, rf] => sim.set_replication_factor(name, number(rf)?)?,
        ["namespace", "strong", name, strong] => {
            sim.set_strong_consistency(name, strong.parse().map_err(|_| unknown())?)?;
        }
        ["namespace", "rebuild", name] => sim.rebuild_namespace(name)?,
        ["build", node, build] => sim.set_node_build(number(node)?, build)?,
        ["rack", node, namespace, rack] => {
            sim.set_rack(number(node)?, namespace, rack.parse().map_err(|_| unknown())?)?;
        }
        ["security", "on"] => sim.set_security(true)?,
        ["security", "off"] => sim.set_security(false)?,
        ["security", "expire"] => sim.expire_sessions()?,
        ["security", "lifetime", seconds] => {
            let seconds = number(seconds)? as u64;
            sim.set_session_lifetime((seconds > 0).then(|| Duration::from_secs(seconds)))?;
        }
        ["user", "set", name, password] => sim.set_user(SimUser::new(name, password))?,
        ["user", "set", name, password, "external"] => {
            sim.set_user(SimUser { external: true, ..SimUser::new(name, password) })?;
        }
        ["user", "set", name, password, "powerless"] => {
            sim.set_user(SimUser { rights: false, ..SimUser::new(name, password) })?;
        }
        ["user", "remove", name] => sim.remove_user(name)?,
        ["disconnect", node] => sim.drop_connections(number(node)?)?,
        ["reply", node, command] => sim.set_reply(number(node)?, command, None)?,
        ["reply", node, command, ..] => {
            let text = line.splitn(4, char::is_whitespace).nth(3).unwrap_or_default();
            sim.set_reply(number(node)?, command, Some(text))?;
        }
        _ => return Err(unknown()),
    }
    Ok(done)
}

fn with_ok(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.insert("ok".into(), true.into());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimConfig;

    #[test]
    fn every_line_is_answered_by_a_line() {
        let sim = Sim::start(SimConfig::fast(2)).unwrap();
        let input = "status\n\nkill 2\nkill 2\nstart 2\nsettle\nadd\nremove 3\nnonsense\nkill x\n\
                     commands\nowners test\nreply 1 peers-clear-std a b\nbuild 2 8.1.3.0\nbuild 1 new\n\
                     status\n";
        let mut output = Vec::new();
        sim.console(input.as_bytes(), &mut output).unwrap();
        let lines: Vec<Value> = String::from_utf8(output)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 16);
        assert_eq!(lines[0]["seeds"].as_array().unwrap().len(), 2);
        let ok: Vec<bool> = lines[1..].iter().map(|line| line["ok"] == true).collect();
        let mut wanted = [true; 15];
        [2, 7, 8, 13].into_iter().for_each(|bad| wanted[bad] = false);
        assert_eq!(ok, wanted, "{lines:?}");
        let builds = lines[15]["nodes"].as_array().unwrap().iter().map(|node| &node["build"]);
        assert_eq!(builds.collect::<Vec<_>>(), ["8.1.2.0", "8.1.3.0"]);
        assert_eq!(lines[1]["nodes"][0]["state"], "running");
        assert_eq!(lines[11]["partitions"].as_array().unwrap().len(), 4096);
    }
}
