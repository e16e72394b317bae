//! Sessions of this process with the servers, and logins that must wait.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::random::dice;
use crate::tend::login::{
    AuthMode, Credentials, LoginError, Request, Session, authenticate, login,
};

/// A session is renewed so long before it ends; one that is not much longer,
/// at half of its life.
const MARGIN: Duration = Duration::from_secs(60);
/// After the first refused login the next is held back for so long, then for
/// twice as long, and again …
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// … up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How a connection proves whose it is.
pub(super) enum Proof {
    /// By a login, which gives a session.
    Login(Request),
    /// By the token of the session that there is.
    Token(Request),
}

/// Who logs in, and with which servers it has a session.
pub(super) struct Logins {
    credentials: Credentials,
    sessions: BTreeMap<SocketAddr, Live>,
    refused: BTreeMap<SocketAddr, Refused>,
}

struct Live {
    session: Session,
    /// When it is to be renewed.
    due: Option<Instant>,
}

struct Refused {
    error: LoginError,
    times: u32,
    until: Instant,
}

impl Logins {
    pub(super) fn new(credentials: Credentials) -> Logins {
        Logins { credentials, sessions: BTreeMap::new(), refused: BTreeMap::new() }
    }

    /// Others from now on: what was refused may not be any more. The sessions
    /// stay, where they are the same user's.
    pub(super) fn replace(&mut self, credentials: Credentials) {
        if credentials.user() != self.credentials.user()
            || credentials.mode() != self.credentials.mode()
        {
            self.sessions.clear();
        }
        self.credentials = credentials;
        self.refused.clear();
    }

    /// Does what takes long, once, before any deadline is set.
    pub(super) fn prepare(&self) {
        if self.credentials.mode() != AuthMode::Pki {
            self.credentials.hash();
        }
    }

    /// How to begin a connection to that server.
    ///
    /// # Errors
    /// The login would be refused as it just was: it is not tried again yet.
    pub(super) fn proof(&self, server: SocketAddr, now: Instant) -> Result<Proof, LoginError> {
        if let Some(live) = self.sessions.get(&server).filter(|live| !live.is_due(now)) {
            return Ok(Proof::Token(authenticate(&self.credentials, &live.session)));
        }
        self.login(server, now)
    }

    /// The login to be made on an open connection before the next request,
    /// where the session is to be renewed.
    ///
    /// # Errors
    /// As [`proof`](Self::proof).
    pub(super) fn renewal(
        &self,
        server: SocketAddr,
        now: Instant,
    ) -> Result<Option<Proof>, LoginError> {
        match self.sessions.get(&server) {
            Some(live) if live.is_due(now) => self.login(server, now).map(Some),
            _ => Ok(None),
        }
    }

    fn login(&self, server: SocketAddr, now: Instant) -> Result<Proof, LoginError> {
        let own = self.refused.get(&server);
        // Credentials are the cluster's: where nobody takes them, one refusal
        // counts for all, so that a wrong password locks no account.
        let others = self.refused.values().filter(|_| self.sessions.is_empty());
        match own.into_iter().chain(others).find(|refused| now < refused.until) {
            Some(refused) => Err(refused.error.clone()),
            None => Ok(Proof::Login(login(&self.credentials))),
        }
    }

    /// A server took the login.
    pub(super) fn accepted(&mut self, server: SocketAddr, session: Option<Session>, now: Instant) {
        self.refused.remove(&server);
        match session {
            Some(session) => {
                let life = session.lifetime();
                let due = life.map(|life| now + life.saturating_sub(MARGIN.min(life / 2)));
                self.sessions.insert(server, Live { session, due });
            }
            None => drop(self.sessions.remove(&server)),
        }
    }

    /// A server refused the login, or its answer was none; how long the next
    /// one is held back.
    pub(super) fn refused(
        &mut self,
        server: SocketAddr,
        error: LoginError,
        now: Instant,
    ) -> Duration {
        self.sessions.remove(&server);
        let times = self.refused.get(&server).map_or(0, |refused| refused.times);
        let wait = FIRST_WAIT.saturating_mul(1 << times.min(6)).min(LONGEST_WAIT);
        // Processes that were refused together must not come back together.
        let wait = wait.mul_f64(0.75 + dice().f64() / 2.0);
        let times = times.saturating_add(1);
        self.refused.insert(server, Refused { error, times, until: now + wait });
        wait
    }

    /// The session is not good any more.
    pub(super) fn forget(&mut self, server: SocketAddr) {
        self.sessions.remove(&server);
    }

    /// Forgets servers other than these, but refusals that still hold.
    pub(super) fn keep(&mut self, wanted: impl Fn(&SocketAddr) -> bool, now: Instant) {
        self.sessions.retain(|server, _| wanted(server));
        self.refused.retain(|server, refused| wanted(server) || now < refused.until);
    }

    /// Forgets every session.
    pub(super) fn clear(&mut self) {
        self.sessions.clear();
    }
}

impl Live {
    fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| now >= due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRONG: LoginError = LoginError::Refused { code: 62 };

    fn logins() -> Logins {
        Logins::new(Credentials::new(AuthMode::Pki, "", "".into()).unwrap())
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn session(seconds: u64) -> Option<Session> {
        Some(Session::new(b"t".to_vec(), Some(Duration::from_secs(seconds))))
    }

    fn is_token(logins: &Logins, server: SocketAddr, now: Instant) -> bool {
        matches!(logins.proof(server, now), Ok(Proof::Token(_)))
    }

    #[test]
    fn a_session_is_renewed_a_minute_before_it_ends_a_short_one_at_half() {
        let (mut logins, now) = (logins(), Instant::now());
        let second = Duration::from_secs(1);
        for (life, good) in [(3600, 3539), (130, 69), (10, 4), (0, 0)] {
            logins.accepted(at(1), session(life), now);
            assert!(life == 0 || is_token(&logins, at(1), now + second * good), "{life}");
            let due = now + second * (good + 1);
            assert!(matches!(logins.renewal(at(1), due), Ok(Some(Proof::Login(_)))), "{life}");
            assert!(!is_token(&logins, at(1), due), "{life}");
        }
        logins.accepted(at(1), Some(Session::new(b"t".to_vec(), None)), now);
        assert!(is_token(&logins, at(1), now + second * 1_000_000), "without a lifetime");
        logins.forget(at(1));
        assert!(!is_token(&logins, at(1), now));
    }

    #[test]
    fn refused_logins_are_tried_ever_less_often() {
        let (mut logins, mut now) = (logins(), Instant::now());
        for wait in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] {
            logins.refused(at(1), WRONG, now);
            let (early, late) = (wait * 0.74, wait * 1.26);
            assert!(logins.proof(at(1), now + Duration::from_secs_f64(early)).is_err(), "{wait}");
            now += Duration::from_secs_f64(late);
            assert!(logins.proof(at(1), now).is_ok(), "{wait}");
        }
        logins.accepted(at(1), None, now);
        logins.refused(at(1), WRONG, now);
        assert!(logins.proof(at(1), now + Duration::from_secs(2)).is_ok(), "begins anew");
    }

    #[test]
    fn a_refusal_counts_for_all_servers_until_one_takes_the_login() {
        let (mut logins, now) = (logins(), Instant::now());
        logins.refused(at(1), WRONG, now);
        assert_eq!(logins.proof(at(2), now).err(), Some(WRONG));
        logins.accepted(at(3), session(3600), now);
        assert!(logins.proof(at(2), now).is_ok());
        assert_eq!(logins.proof(at(1), now).err(), Some(WRONG), "its own still counts");
    }
}
