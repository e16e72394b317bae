//! Users, their sessions, and their permissions.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::config::SimUser;
use crate::wire::login::{AUTHENTICATE, AuthMode, Credentials, Fields, LOGIN, field};

/// The fixed part of a message after its header, in bytes.
const FIXED: usize = 16;

const OK: u8 = 0;
const NOT_ENABLED: u8 = 52;
const INVALID_COMMAND: u8 = 54;
const INVALID_FIELD: u8 = 55;
const INVALID_USER: u8 = 60;
const INVALID_CREDENTIAL: u8 = 65;
const EXPIRED_SESSION: u8 = 66;

/// The permissions of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// Everything.
    All,
    /// Nothing: the connection is not authenticated.
    Stranger,
    /// Nothing: the user has no role.
    None,
}

impl Right {
    /// The result code of a refused command.
    pub fn code(self) -> u8 {
        match self {
            Right::All => OK,
            Right::Stranger => 80,
            Right::None => 81,
        }
    }

    /// The value of a refused info command.
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Right::All => None,
            Right::Stranger => Some("ERROR:80:not authenticated"),
            Right::None => Some("ERROR:81:role violation"),
        }
    }
}

/// Fields of a reply: their ids and bytes.
type Told = Vec<(u8, Vec<u8>)>;

/// The number of logins at all nodes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LoginCounts {
    pub accepted: u64,
    pub refused: u64,
    pub authenticated: u64,
}

struct User {
    hash: String,
    config: SimUser,
}

struct SessionToken {
    user: String,
    /// The node and incarnation of the process that issued the token. Another
    /// process of the node does not know it.
    process: (u16, u32),
    ends: Option<Instant>,
}

/// The cluster's security.
pub(super) struct Security {
    pub enabled: bool,
    /// How long future sessions are valid; `None` = without limit.
    pub lifetime: Option<Duration>,
    pub counts: LoginCounts,
    users: BTreeMap<String, User>,
    tokens: HashMap<Vec<u8>, SessionToken>,
    rng: fastrand::Rng,
}

impl Security {
    pub fn new(enabled: bool, lifetime: Option<Duration>) -> Security {
        Security {
            enabled,
            lifetime,
            counts: LoginCounts::default(),
            users: BTreeMap::new(),
            tokens: HashMap::new(),
            rng: fastrand::Rng::new(),
        }
    }

    /// Adds a user, or changes its password and rights.
    pub fn set_user(&mut self, config: SimUser) {
        let password = config.password.clone();
        let hash = Credentials::new(AuthMode::Internal, &config.name, password)
            .map(|credentials| credentials.hash().to_owned())
            .unwrap_or_default();
        self.users.insert(config.name.clone(), User { hash, config });
    }

    pub fn remove_user(&mut self, name: &str) {
        self.users.remove(name);
        self.tokens.retain(|_, token| token.user != name);
    }

    /// Ends all sessions. Connections that are authenticated already remain so.
    pub fn expire(&mut self, now: Instant) {
        self.tokens.values_mut().for_each(|token| token.ends = Some(now));
    }

    pub fn right(&self, user: Option<&str>) -> Right {
        match user.map(|user| self.users.get(user)) {
            _ if !self.enabled => Right::All,
            Some(Some(user)) if user.config.rights => Right::All,
            Some(Some(_)) => Right::None,
            _ => Right::Stranger,
        }
    }

    /// The body of the reply of a node's process to a message of the admin
    /// protocol, and the user that it logs in. `certified` is the user in the
    /// client's certificate.
    pub fn answer(
        &mut self,
        process: (u16, u32),
        certified: Option<&str>,
        body: &[u8],
        now: Instant,
    ) -> (Vec<u8>, Option<String>) {
        match self.judge(process, certified, body, now) {
            Ok((user, fields)) => (reply(OK, &fields), Some(user)),
            Err(code) => {
                self.counts.refused += u64::from(code != NOT_ENABLED);
                (reply(code, &[]), None)
            }
        }
    }

    fn judge(
        &mut self,
        process: (u16, u32),
        certified: Option<&str>,
        body: &[u8],
        now: Instant,
    ) -> Result<(String, Told), u8> {
        if !self.enabled {
            return Err(NOT_ENABLED);
        }
        let (fixed, rest) = body.split_at_checked(FIXED).ok_or(INVALID_FIELD)?;
        let mut given = BTreeMap::new();
        let mut fields = Fields::new(rest);
        for _ in 0..fixed[3] {
            let (id, data) = fields.take().ok_or(INVALID_FIELD)?;
            given.insert(id, data);
        }
        let text = |id| given.get(&id).and_then(|data| core::str::from_utf8(data).ok());
        match fixed[2] {
            LOGIN => {
                let user = match (text(field::USER), certified) {
                    (Some(name), _) => self.check_password(
                        name,
                        text(field::CREDENTIAL),
                        text(field::CLEAR_PASSWORD),
                    )?,
                    (None, Some(name)) => name,
                    (None, None) => return Err(INVALID_FIELD),
                };
                let user = self.users.get_key_value(user).ok_or(INVALID_USER)?.0.clone();
                let token: Vec<u8> = (0..96).map(|_| self.rng.u8(..)).collect();
                let ends = self.lifetime.map(|lifetime| now + lifetime);
                self.tokens
                    .insert(token.clone(), SessionToken { user: user.clone(), process, ends });
                self.counts.accepted += 1;
                let mut fields = vec![(field::SESSION_TOKEN, token)];
                if let Some(lifetime) = self.lifetime {
                    let seconds = lifetime.as_secs() as u32;
                    fields.push((field::SESSION_TTL, seconds.to_be_bytes().to_vec()));
                }
                Ok((user, fields))
            }
            AUTHENTICATE => {
                let token = given.get(&field::SESSION_TOKEN).ok_or(INVALID_FIELD)?;
                let known = self.tokens.get(*token).ok_or(INVALID_CREDENTIAL)?;
                if text(field::USER).is_some_and(|name| name != known.user)
                    || known.process != process
                {
                    return Err(INVALID_CREDENTIAL);
                }
                if known.ends.is_some_and(|ends| now >= ends) {
                    return Err(EXPIRED_SESSION);
                }
                self.counts.authenticated += 1;
                Ok((known.user.clone(), Vec::new()))
            }
            _ => Err(INVALID_COMMAND),
        }
    }

    /// Checks the password: external users send it unhashed, others send its hash.
    fn check_password<'a>(
        &self,
        name: &'a str,
        hash: Option<&str>,
        clear: Option<&str>,
    ) -> Result<&'a str, u8> {
        let user = self.users.get(name).ok_or(INVALID_USER)?;
        let good = match user.config.external {
            true => clear == Some(user.config.password.expose_secret()),
            false => hash == Some(&user.hash),
        };
        if good { Ok(name) } else { Err(INVALID_CREDENTIAL) }
    }
}

fn reply(code: u8, fields: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![0; FIXED];
    (body[1], body[3]) = (code, fields.len() as u8);
    for (id, data) in fields {
        body.extend((data.len() as u32 + 1).to_be_bytes());
        body.push(*id);
        body.extend(data);
    }
    body
}
