//! The sessions of this process with the servers, and the delays between logins.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::random::rng;
use crate::wire::login::{AuthMode, Credentials, LoginError, Request, Session};

/// A session is renewed this long before it ends; a shorter session, at half of
/// its lifetime.
const MARGIN: Duration = Duration::from_secs(60);
/// After the first refused login the next one is delayed by this time, and the
/// delay doubles each time, …
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// … up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// After this number of logins to a server in a short time, the next one is
/// delayed by [`FIRST_WAIT`], and the delay doubles each time, up to
/// [`LONGEST_WAIT`]. This applies even if the server accepts each login, or
/// answers none: sessions that end at once, and tokens that no connection can
/// use, must not cause a login in every pass.
const IN_A_ROW: u32 = 3;
/// The time after which a login no longer counts towards [`IN_A_ROW`].
const FORGOTTEN: Duration = Duration::from_secs(15);
/// How many sessions with servers that are no longer asked are kept …
const MOST_IDLE: usize = 64;
/// … and for how long, in case a seed is asked again.
const LONGEST_IDLE: Duration = Duration::from_secs(300);

/// How a connection authenticates.
pub(super) enum Proof {
    /// By a login, which gives a session.
    Login(Request),
    /// By the token of an existing session.
    Token(Request),
}

/// The credentials, and the sessions with servers.
pub(super) struct Logins {
    credentials: Credentials,
    sessions: BTreeMap<SocketAddr, LiveSession>,
    refused: BTreeMap<SocketAddr, LoginRefusal>,
    /// Recent logins, whatever their result.
    sent: BTreeMap<SocketAddr, LoginAttempts>,
}

struct LiveSession {
    session: Session,
    /// When it must be renewed.
    due: Option<Instant>,
    /// When its server was last asked, if it is no longer used.
    idle: Option<Instant>,
}

struct LoginAttempts {
    times: u32,
    last: Instant,
}

impl LoginAttempts {
    /// The number of logins that still count.
    fn count(&self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.last).as_secs() / FORGOTTEN.as_secs();
        self.times.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX))
    }

    /// How long the next login must wait.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let over = self.count(now).checked_sub(IN_A_ROW)?;
        let wait = FIRST_WAIT.saturating_mul(1 << over.min(6)).min(LONGEST_WAIT);
        let left = wait.saturating_sub(now.saturating_duration_since(self.last));
        (!left.is_zero()).then_some(left)
    }
}

struct LoginRefusal {
    error: LoginError,
    times: u32,
    until: Instant,
}

impl Logins {
    pub(super) fn new(credentials: Credentials) -> Logins {
        let (sessions, refused) = (BTreeMap::new(), BTreeMap::new());
        Logins { credentials, sessions, refused, sent: BTreeMap::new() }
    }

    /// Replaces the credentials and forgets refusals, because the new ones may be
    /// accepted. Sessions are kept if the user is the same.
    pub(super) fn replace(&mut self, credentials: Credentials) {
        if credentials.user() != self.credentials.user()
            || credentials.mode() != self.credentials.mode()
        {
            self.sessions.clear();
        }
        self.credentials = credentials;
        self.refused.clear();
        self.sent.clear();
    }

    pub(super) fn mode(&self) -> AuthMode {
        self.credentials.mode()
    }

    /// Does the slow work once, before any deadline is set.
    pub(super) fn prepare(&self) {
        if self.credentials.mode() != AuthMode::Pki {
            self.credentials.hash();
        }
    }

    /// How to authenticate a connection to this server.
    ///
    /// # Errors
    /// If the login must wait, because earlier ones were refused or there were too many.
    pub(super) fn proof(&self, server: SocketAddr, now: Instant) -> Result<Proof, LoginError> {
        let live = self.sessions.get(&server);
        let token = |live: &LiveSession| Proof::Token(self.credentials.authenticate(&live.session));
        if let Some(live) = live.filter(|live| !live.is_due(now)) {
            return Ok(token(live));
        }
        // While a login must wait, the server may still accept the old token.
        self.login(server, now).or_else(|error| live.map(token).ok_or(error))
    }

    /// The login to send over an open connection before the next request, if the
    /// session must be renewed.
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
        // Credentials belong to the cluster: if no server has accepted them,
        // one refusal applies to all, so that a wrong password locks no
        // account.
        let is_in = self.sessions.values().any(|live| live.idle.is_none());
        let others = self.refused.values().filter(|_| !is_in);
        if let Some(refused) = own.into_iter().chain(others).find(|refused| now < refused.until) {
            return Err(refused.error.clone());
        }
        if let Some(sent) = self.sent.get(&server)
            && let Some(wait) = sent.wait(now)
        {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            return Err(LoginError::TooMany { count: sent.count(now), seconds });
        }
        Ok(Proof::Login(self.credentials.login()))
    }

    /// Records that the first bytes of a login were sent to a server.
    pub(super) fn sent(&mut self, server: SocketAddr, now: Instant) {
        let times = self.sent.get(&server).map_or(0, |sent| sent.count(now));
        self.sent.insert(server, LoginAttempts { times: times.saturating_add(1), last: now });
    }

    /// Records that a server accepted the login.
    pub(super) fn accepted(&mut self, server: SocketAddr, session: Option<Session>, now: Instant) {
        self.refused.remove(&server);
        match session {
            Some(session) => {
                // A lifetime of 0 means unknown: the session ends when the server
                // no longer accepts the token.
                let life = session.lifetime().filter(|life| !life.is_zero());
                let due = life.and_then(|life| now.checked_add(life - MARGIN.min(life / 2)));
                self.sessions.insert(server, LiveSession { session, due, idle: None });
            }
            None => drop(self.sessions.remove(&server)),
        }
    }

    /// Records that a server refused the login, or that its reply was invalid;
    /// returns how long the next login must wait.
    pub(super) fn refused(
        &mut self,
        server: SocketAddr,
        error: LoginError,
        now: Instant,
    ) -> Duration {
        self.sessions.remove(&server);
        let times = self.refused.get(&server).map_or(0, |refused| refused.times);
        let wait = FIRST_WAIT.saturating_mul(1 << times.min(6)).min(LONGEST_WAIT);
        // Random, so that processes that were refused together do not all try
        // again at the same time.
        let wait = wait.mul_f64(0.75 + rng().f64() / 2.0);
        let times = times.saturating_add(1);
        self.refused.insert(server, LoginRefusal { error, times, until: now + wait });
        wait
    }

    /// Forgets a session that is no longer valid.
    pub(super) fn forget(&mut self, server: SocketAddr) {
        self.sessions.remove(&server);
    }

    /// Forgets servers other than these, except what still delays logins.
    /// Sessions with others are kept for a while: a seed that is not useful yet
    /// is asked again, and must not be sent a login each time.
    pub(super) fn keep(&mut self, wanted: impl Fn(&SocketAddr) -> bool, now: Instant) {
        for (server, live) in &mut self.sessions {
            live.idle = if wanted(server) { None } else { live.idle.or(Some(now)) };
        }
        let idle: Vec<Instant> = self.sessions.values().filter_map(|live| live.idle).collect();
        let too_many = idle.len() > MOST_IDLE;
        self.sessions.retain(|_, live| match live.idle {
            None => true,
            Some(_) if too_many => false,
            Some(since) => now.saturating_duration_since(since) < LONGEST_IDLE,
        });
        self.refused.retain(|server, refused| wanted(server) || now < refused.until);
        self.sent.retain(|_, sent| sent.count(now) > 0);
    }

    /// Forgets every session.
    pub(super) fn clear(&mut self) {
        self.sessions.clear();
    }
}

impl LiveSession {
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
        Some(Session::new(b"t", Some(Duration::from_secs(seconds))))
    }

    fn is_token(logins: &Logins, server: SocketAddr, now: Instant) -> bool {
        matches!(logins.proof(server, now), Ok(Proof::Token(_)))
    }

    #[test]
    fn a_session_is_renewed_a_minute_before_it_ends_a_short_one_at_half() {
        let (mut logins, now) = (logins(), Instant::now());
        let second = Duration::from_secs(1);
        for (life, good) in [(3600, 3539), (130, 69), (10, 4), (1, 0)] {
            logins.accepted(at(1), session(life), now);
            assert!(life == 1 || is_token(&logins, at(1), now + second * good), "{life}");
            let due = now + second * (good + 1);
            assert!(matches!(logins.renewal(at(1), due), Ok(Some(Proof::Login(_)))), "{life}");
            assert!(!is_token(&logins, at(1), due), "{life}");
        }
        logins.accepted(at(1), Some(Session::new(b"t", None)), now);
        assert!(is_token(&logins, at(1), now + second * 1_000_000), "without a lifetime");
        logins.forget(at(1));
        assert!(!is_token(&logins, at(1), now));
    }

    #[test]
    fn h120_thousands_of_bad_passes_are_a_login_every_quarter_of_a_minute() {
        let (step, hour) = (Duration::from_millis(250), Duration::from_secs(3600));
        let begun = Instant::now();
        // The result of each login: a session that ends at once, one that the
        // server no longer knows the next time, and no reply at all.
        type Outcome = fn(&mut Logins, Instant);
        let outcomes: [Outcome; 4] = [
            |logins, now| logins.accepted(at(1), session(1), now),
            |logins, now| {
                logins.accepted(at(1), session(3600), now);
                logins.forget(at(1));
            },
            |logins, now| logins.accepted(at(1), None, now),
            |_, _| {},
        ];
        for outcome in outcomes {
            let (mut logins, mut sent, mut now) = (logins(), 0, begun);
            while now < begun + hour {
                if matches!(logins.proof(at(1), now), Ok(Proof::Login(_))) {
                    sent += 1;
                    logins.sent(at(1), now);
                    outcome(&mut logins, now);
                }
                // Servers that are not asked are forgotten, the delay is not.
                logins.keep(|_| false, now);
                now += step;
            }
            assert!(sent <= 3600 / 15 + 10, "{sent} logins in an hour");
            assert!(logins.sent.len() == 1 && logins.refused.len() <= 1);
            logins.keep(|_| false, now + hour);
            assert!(logins.sent.is_empty() && logins.sessions.is_empty());
        }
        // A new password is tried at once.
        let mut logins = logins();
        (0..10).for_each(|_| logins.sent(at(1), begun));
        assert!(matches!(logins.proof(at(1), begun), Err(LoginError::TooMany { .. })));
        assert!(logins.proof(at(2), begun).is_ok(), "each server by itself");
        logins.replace(logins.credentials.clone());
        assert!(logins.proof(at(1), begun).is_ok());
    }

    #[test]
    fn h120_sessions_with_servers_that_are_not_asked_do_not_pile_up() {
        let (mut logins, now) = (logins(), Instant::now());
        for port in 1..2000 {
            logins.accepted(at(port), session(3600), now);
            logins.keep(|_| false, now);
            assert!(logins.sessions.len() <= MOST_IDLE, "{port}");
        }
    }

    #[test]
    fn h120_a_lifetime_that_says_nothing_is_no_reason_to_renew() {
        let (mut logins, now) = (logins(), Instant::now());
        for life in [0, u64::from(u32::MAX), u64::MAX] {
            logins.accepted(at(1), session(life), now);
            assert!(is_token(&logins, at(1), now + Duration::from_secs(1_000_000)), "{life}");
        }
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
        assert!(logins.proof(at(1), now + Duration::from_secs(2)).is_ok(), "begins again");
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
