//! The invalid calls that every language answers in the same way, made through the C ABI.

use core::ffi::{CStr, c_char, c_int};
use core::ptr;
use std::ffi::CString;
use std::io::{Read as _, Write as _};

use serde_json::Value;
use tendmap::sim::{Sim, SimConfig, SimNamespace};
use tendmap_bindings::Kind;

use crate::batch::*;
use crate::changes::*;
use crate::client::*;
use crate::config::*;
use crate::error::*;
use crate::event::*;
use crate::handle::Shell;
use crate::live::*;
use crate::route::*;
use crate::router::*;

const CASES: &str = include_str!("../../glue/tests/invalid.json");

/// What a program has: a client and a reader, and a router of the client.
struct Program {
    hosts: String,
    directory: String,
    client: *mut Shell<Client>,
    reader: *mut Shell<Client>,
    router: *mut Shell<Router>,
}

/// A text for C. Half a character stands for what UTF-8 can't encode.
fn text(value: &Value) -> CString {
    let text = match value {
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Object(object) if object.contains_key("broken") => b"\xff".to_vec(),
        Value::Object(object) => number(&object["double"]).to_string().into_bytes(),
        Value::Array(items) => {
            items.iter().map(|item| item.to_string()).collect::<Vec<_>>().join(",").into_bytes()
        }
        other => other.to_string().into_bytes(),
    };
    CString::new(text).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

impl Program {
    fn configured(&self, settings: &Value) -> *mut Shell<Config> {
        // SAFETY: texts and handles of this library, here and below.
        unsafe {
            let hosts = settings.get("hosts").map(|hosts| match hosts.as_str() {
                Some("$HOSTS") => CString::new(self.hosts.as_str()).unwrap(),
                _ => text(hosts),
            });
            let hosts = hosts.as_ref().map_or(ptr::null(), |hosts| hosts.as_ptr());
            let config = tendmap_config_new(hosts);
            let mut settings = settings.as_object().unwrap().clone();
            settings.entry("shm_directory").or_insert(self.directory.as_str().into());
            settings.remove("hosts");
            for (name, value) in settings {
                let name = CString::new(name).unwrap();
                if !config.is_null()
                    && tendmap_config_set(config, name.as_ptr(), text(&value).as_ptr()) != 0
                {
                    return ptr::null_mut();
                }
            }
            config
        }
    }

    fn open(&self, settings: &Value, reads: bool) -> *mut Shell<Client> {
        let config = self.configured(settings);
        if config.is_null() {
            return ptr::null_mut();
        }
        // SAFETY: a handle of this library.
        unsafe { if reads { tendmap_reader_open(config) } else { tendmap_connect(config) } }
    }

    fn route(&self, namespace: &Value, set: &Value, key: &Value) -> c_int {
        let (namespace, set) = (text(namespace), (!set.is_null()).then(|| text(set)));
        let set = set.as_ref().map_or(ptr::null(), |set| set.as_ptr());
        let (mut handle, mut route) = (0, core::mem::MaybeUninit::uninit());
        // SAFETY: handles, texts and places of the right types.
        unsafe {
            let code = tendmap_router_namespace(self.router, namespace.as_ptr(), &mut handle);
            if code != 0 {
                return code;
            }
            let whole = key.get("integer").map(|number| number.as_str().unwrap().parse().unwrap());
            if let Some(number) = key.as_i64().or(whole) {
                return tendmap_route_integer(
                    self.router,
                    handle,
                    set,
                    number,
                    1,
                    route.as_mut_ptr(),
                );
            }
            let key = key.as_str().map_or(b"\xff".as_slice(), str::as_bytes);
            let (first, length) = (key.as_ptr().cast::<c_char>(), key.len());
            tendmap_route_string(self.router, handle, set, first, length, 1, route.as_mut_ptr())
        }
    }

    fn batch(&self, namespace: &Value, set: &Value, keys: &Value) -> c_int {
        let (namespace, set) = (text(namespace), text(set));
        let keys: Vec<_> = keys.as_array().unwrap().iter().map(text).collect();
        let keys: Vec<_> = keys.iter().map(|key| key.as_ptr()).collect();
        let (mut handle, mut nodes) = (0, vec![0; keys.len()]);
        // SAFETY: handles, texts and places of the right types.
        unsafe {
            match tendmap_router_namespace(self.router, namespace.as_ptr(), &mut handle) {
                0 => tendmap_route_batch_strings(
                    self.router,
                    handle,
                    set.as_ptr(),
                    keys.as_ptr(),
                    ptr::null(),
                    keys.len(),
                    1,
                    nodes.as_mut_ptr(),
                    ptr::null_mut(),
                ),
                code => code,
            }
        }
    }

    fn wait(&self, sequence: &Value, timeout: &Value) -> c_int {
        // More than 64 bits of milliseconds are as many as there can be.
        let seconds = timeout.as_f64().unwrap_or_else(|| {
            timeout.get("double").or(timeout.get("integer")).map(number).unwrap()
        });
        let (mut now, milliseconds) = (0, (seconds * 1000.0) as u64);
        // SAFETY: a handle and a place.
        unsafe {
            tendmap_wait_for_change(self.client, sequence.as_u64().unwrap(), milliseconds, &mut now)
        }
    }

    /// What a program can still ask a closed client; the code of the last call.
    fn ask(&self, client: *mut Shell<Client>, call: &str) -> c_int {
        let (mut count, mut now, mut event) = (0, 0, ptr::null_mut());
        // SAFETY: a handle that was closed a moment ago, and places.
        let refused = unsafe {
            match call {
                // A router reads on after its client was closed.
                "route" | "locate" | "retry" | "batch" => {
                    tendmap_router_new(client, None).is_null()
                }
                "nodes" => tendmap_client_nodes(client, ptr::null_mut(), 0, &mut count) != 0,
                "status" => tendmap_client_status_json(client).is_null(),
                "sequence" | "wait" => tendmap_wait_for_change(client, 0, 0, &mut now) != 0,
                "changes" => tendmap_changes_new(client).is_null(),
                "request_tend" => tendmap_client_request_tend(client) != 0,
                "racks" => tendmap_client_set_preferred_racks(client, [1].as_ptr(), 1) != 0,
                "role" => tendmap_client_role(client) == -1,
                "events" => tendmap_client_next_event(client, &mut event) != 0,
                "interval" => tendmap_client_set_tend_interval(client, 1000) != 0,
                "password" => tendmap_client_set_password(client, c"x".as_ptr()) != 0,
                other => panic!("no call {other:?}"),
            }
        };
        if refused { tendmap_last_error_code() } else { 0 }
    }

    fn call(&self, case: &Value) -> c_int {
        let with = case["with"].as_array().unwrap();
        let made = |made: *mut Shell<Client>| match made.is_null() {
            true => tendmap_last_error_code(),
            // SAFETY: a handle.
            false => unsafe { tendmap_close(made) },
        };
        // SAFETY: handles, texts and places of the right types.
        unsafe {
            match case["call"].as_str().unwrap() {
                "route" => self.route(&with[0], &with[1], &with[2]),
                "batch" => self.batch(&with[0], &with[1], &with[2]),
                "client" => made(self.open(&with[0], false)),
                "reader" => made(self.open(&with[0], true)),
                "wait" => self.wait(&with[0], &with[1]),
                "interval" => {
                    let seconds = number(&with[0]["double"]);
                    tendmap_client_set_tend_interval(self.client, (seconds * 1000.0) as u64)
                }
                "password" => tendmap_client_set_password(self.client, text(&with[0]).as_ptr()),
                "closed_client" | "closed_reader" => {
                    let reads = case["call"] == "closed_reader";
                    let closed = self.open(&serde_json::json!({ "hosts": "$HOSTS" }), reads);
                    assert_eq!(tendmap_close(closed), 0);
                    let ask = |call: &Value| self.ask(closed, call.as_str().unwrap());
                    let codes: Vec<_> = with.iter().map(ask).collect();
                    assert!(codes.iter().all(|&code| code == codes[0]), "{codes:?}");
                    codes[0]
                }
                "news_of_closed" => {
                    let reader = self.open(&serde_json::json!({}), true);
                    let changes = tendmap_changes_new(reader);
                    assert_eq!(tendmap_close(reader), 0);
                    let code = tendmap_changes_take(changes, ptr::null_mut());
                    assert_eq!(tendmap_changes_free(changes), 0);
                    code
                }
                "closed_changes" => {
                    let changes = tendmap_changes_new(self.client);
                    assert_eq!(tendmap_changes_free(changes), 0);
                    tendmap_changes_take(changes, ptr::null_mut())
                }
                other => panic!("no call {other:?}"),
            }
        }
    }

    /// The code and the text of a call in a forked child, which may become another user.
    fn in_child(&self, call: impl FnOnce() -> c_int) -> (c_int, String) {
        let (mut from, mut to) = std::io::pipe().unwrap();
        // SAFETY: the child calls the library, writes to the pipe and ends.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let code = call();
            let _ = to.write_all(format!("{code} {}", last_text(code)).as_bytes());
            // SAFETY: it always works.
            unsafe { libc::_exit(0) };
        }
        drop(to);
        let mut said = String::new();
        from.read_to_string(&mut said).unwrap();
        // SAFETY: the child of this process.
        unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
        let (code, text) = said.split_once(' ').expect("the child has answered");
        (code.parse().unwrap(), text.to_owned())
    }

    fn answer(&self, case: &Value) -> (c_int, String) {
        match case["call"].as_str().unwrap() {
            "forked" => {
                // SAFETY: handles and places of the right types.
                let changes = unsafe { tendmap_changes_new(self.client) };
                self.in_child(|| match case["with"][0].as_str().unwrap() {
                    // SAFETY: as above.
                    "changes" => unsafe { tendmap_changes_take(changes, ptr::null_mut()) },
                    "client" => self.route(&"test".into(), &"users".into(), &1.into()),
                    // SAFETY: as above.
                    "reader" => match unsafe { tendmap_client_status_json(self.reader) } {
                        status if status.is_null() => tendmap_last_error_code(),
                        _ => 0,
                    },
                    other => panic!("no handle {other:?}"),
                })
            }
            // The directory is that of the user who runs the test.
            "denied" => self.in_child(|| {
                // SAFETY: it changes this process alone.
                unsafe { libc::setuid(65534) };
                match self.open(&serde_json::json!({ "shm_key": 0xA700_0077_u32 }), true).is_null()
                {
                    true => tendmap_last_error_code(),
                    false => 0,
                }
            }),
            _ => {
                let code = self.call(case);
                (code, last_text(code))
            }
        }
    }
}

fn last_text(code: c_int) -> String {
    // SAFETY: a text of this thread.
    let text = unsafe { CStr::from_ptr(tendmap_last_error()) };
    if code == 0 { String::new() } else { text.to_str().unwrap().to_owned() }
}

/// Whether a text is as expected; `…` stands for any words.
fn is_like(text: &str, expected: &str) -> bool {
    let parts: Vec<&str> = expected.split('…').collect();
    let (first, last) = (parts[0], parts[parts.len() - 1]);
    if parts.len() == 1 {
        return text == expected;
    }
    let Some(mut rest) = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    for part in &parts[1..parts.len() - 1] {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    true
}

#[test]
fn invalid_calls_give_the_errors_of_every_language() {
    let mut config = SimConfig::new(3);
    config.cluster_name = Some("lab".into());
    config.namespaces = vec![SimNamespace::new("test", 2)];
    let sim = Sim::start(config).unwrap();
    let hosts: Vec<String> = sim.seeds().iter().map(ToString::to_string).collect();
    let directory = tempfile::Builder::new().prefix("tendmap-c-").tempdir_in("/dev/shm").unwrap();
    let only_own = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(directory.path(), only_own).unwrap();
    let mut program = Program {
        hosts: hosts.join(","),
        directory: directory.path().to_str().unwrap().into(),
        client: ptr::null_mut(),
        reader: ptr::null_mut(),
        router: ptr::null_mut(),
    };
    program.client = program.open(&serde_json::json!({ "hosts": "$HOSTS" }), false);
    program.reader = program.open(&serde_json::json!({}), true);
    // SAFETY: a handle.
    program.router = unsafe { tendmap_router_new(program.client, None) };

    let cases: Value = serde_json::from_str(CASES).unwrap();
    let mut made = 0;
    let mut wrong = Vec::new();
    for case in cases["cases"].as_array().unwrap() {
        let except = case["except"].as_array().is_some_and(|all| all.contains(&"c".into()));
        if except || case["typed"] == true || case["nul"] == true {
            continue;
        }
        // SAFETY: it only asks.
        if case["call"] == "denied" && unsafe { libc::getuid() } != 0 {
            tendmap_testkit::skipped("only root can become another user");
            continue;
        }
        made += 1;
        let (code, text) = program.answer(case);
        let kind = Kind::of(code).map_or(Value::Null, |kind| kind.name().into());
        if kind != case["kind"] || !is_like(&text, case["text"].as_str().unwrap_or_default()) {
            wrong.push(format!("{}: {kind} {text:?}", case["what"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(made > 50, "{made}");
    // SAFETY: handles.
    unsafe {
        assert_eq!(tendmap_router_free(program.router), 0);
        assert_eq!(tendmap_close(program.reader), 0);
        assert_eq!(tendmap_close(program.client), 0);
    }
}
