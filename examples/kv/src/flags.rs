//! The flags. Those for a secured cluster have the names that `tendmap` uses.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use tendmap::client::{Config, parse_duration};
use tendmap::route::Policy;
use tendmap::segment::parse_key;
use tendmap::tend::tls::TlsConfig;
use tendmap::wire::Host;
use tendmap::wire::login::{AuthMode, SecretString};

use crate::store::Settings;

/// Puts, reads and removes records, and checks every answer.
#[derive(Parser)]
pub struct Args {
    /// The first servers to ask, NAME:PORT; with TLS NAME:TLS_NAME:PORT if the
    /// certificate has another name.
    #[arg(required = true)]
    pub hosts: Vec<Host>,
    /// Key of the segment; every process with this key shares it.
    #[arg(long, default_value = "0xA7000000", value_parser = parse_key)]
    pub shm_key: u32,
    /// The name that the cluster must have.
    #[arg(long, value_name = "NAME")]
    pub cluster_name: Option<String>,
    /// The user that logs in; without it there is no login.
    #[arg(long, value_name = "NAME", env = "TENDMAP_USER")]
    pub user: Option<String>,
    /// The user's password. Other users of the host can see flags: use the
    /// environment or a file instead.
    #[arg(long, value_name = "TEXT", env = "TENDMAP_PASSWORD", hide_env_values = true)]
    pub password: Option<SecretString>,
    /// A file with the password; a line end at the end of the file is ignored.
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    pub password_file: Option<PathBuf>,
    /// How the user logs in: INTERNAL, EXTERNAL, EXTERNAL_INSECURE or PKI.
    #[arg(long, value_name = "MODE", default_value_t = AuthMode::Internal)]
    pub auth_mode: AuthMode,
    /// Speak TLS with the servers. Any other TLS flag implies it.
    #[arg(long, alias = "tls-enable")]
    pub tls: bool,
    /// Certificates of the trusted authorities, PEM [default: those of the system].
    #[arg(long, value_name = "FILE")]
    pub tls_cafile: Option<PathBuf>,
    /// The client's own certificate, PEM.
    #[arg(long, value_name = "FILE")]
    pub tls_certfile: Option<PathBuf>,
    /// The private key of that certificate, PEM.
    #[arg(long, value_name = "FILE")]
    pub tls_keyfile: Option<PathBuf>,
    #[arg(long, default_value = "test")]
    pub namespace: String,
    #[arg(long, default_value = "kv")]
    pub set: String,
    #[arg(long, default_value_t = 4)]
    pub threads: i64,
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// Read from any replica in turn, not from the master first.
    #[arg(long)]
    pub any_replica: bool,
    /// A rack to read from if it has a replica; may be given several times, the best
    /// first.
    #[arg(
        long,
        alias = "prefer-rack",
        value_name = "RACK",
        allow_negative_numbers = true,
        conflicts_with = "any_replica"
    )]
    pub preferred_racks: Vec<i32>,
    /// The limit for a whole operation.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    pub total_timeout: Duration,
    /// The limit for one try.
    #[arg(long, value_name = "TIME", default_value = "300ms", value_parser = parse_duration)]
    pub socket_timeout: Duration,
}

impl Args {
    /// The settings of the map's client, which also apply to the store's connections.
    pub fn config(&self) -> Result<Config, String> {
        let mut config = Config::shared(self.hosts.clone(), self.shm_key);
        config.cluster_name.clone_from(&self.cluster_name);
        config.user.clone_from(&self.user);
        config.password.clone_from(&self.password);
        if let Some(path) = &self.password_file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("--password-file {}: {error}", path.display()))?;
            config.password = Some(text.trim_end_matches(['\n', '\r']).into());
        }
        config.auth_mode = self.auth_mode;
        let mut tls = TlsConfig::default();
        tls.cafile.clone_from(&self.tls_cafile);
        tls.certfile.clone_from(&self.tls_certfile);
        tls.keyfile.clone_from(&self.tls_keyfile);
        if self.tls || tls != TlsConfig::default() {
            config.tls = Some(tls);
        }
        config.preferred_racks.clone_from(&self.preferred_racks);
        Ok(config)
    }

    /// The limits and the policy of commands.
    pub fn settings(&self) -> Settings {
        Settings {
            total_timeout: self.total_timeout,
            socket_timeout: self.socket_timeout,
            read_policy: match () {
                () if self.any_replica => Policy::Any,
                () if !self.preferred_racks.is_empty() => Policy::PreferRack,
                () => Policy::Sequence,
            },
        }
    }
}
