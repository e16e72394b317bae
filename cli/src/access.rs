//! Flags for clusters with security, TLS or several addresses a node.

use std::path::PathBuf;

use tendmap::client::Config;
use tendmap::tend::tls::TlsConfig;
use tendmap::wire::login::{AuthMode, SecretString};

use crate::args::SECURITY;

/// The login, and how the servers are reached.
#[derive(clap::Args, Clone, Debug)]
pub struct Access {
    /// The user that logs in; unset = no login.
    #[arg(long, help_heading = SECURITY, value_name = "NAME")]
    pub user: Option<String>,
    /// The user's password.
    ///
    /// Every user of the host can see flags (`ps`): prefer
    /// TENDMAP_PASSWORD, or in a file that --config names.
    #[arg(long, help_heading = SECURITY, value_name = "TEXT", hide_short_help = true,
        value_parser = crate::settings::password)]
    pub password: Option<SecretString>,
    /// How the user logs in: INTERNAL, EXTERNAL, EXTERNAL_INSECURE or PKI.
    #[arg(long, help_heading = SECURITY, value_name = "MODE", default_value_t = AuthMode::Internal,
        hide_short_help = true)]
    pub auth_mode: AuthMode,
    /// Speak TLS with the servers.
    ///
    /// The hosts are then NAME:PORT or NAME:TLS_NAME:PORT of their TLS ports.
    /// Any other TLS flag implies it.
    #[arg(long, help_heading = SECURITY)]
    pub tls_enable: bool,
    /// Certificates of the trusted authorities, PEM.
    ///
    /// [default: those of the system]
    #[arg(long, help_heading = SECURITY, value_name = "FILE", hide_short_help = true)]
    pub tls_cafile: Option<PathBuf>,
    /// The client's own certificate, PEM.
    #[arg(long, help_heading = SECURITY, value_name = "FILE", hide_short_help = true)]
    pub tls_certfile: Option<PathBuf>,
    /// The private key of the client's certificate, PEM.
    #[arg(long, help_heading = SECURITY, value_name = "FILE", hide_short_help = true)]
    pub tls_keyfile: Option<PathBuf>,
    /// Speak TLS for logins only.
    #[arg(long, help_heading = SECURITY, hide_short_help = true)]
    pub tls_for_login_only: bool,
    /// Use the alternate addresses that servers advertise.
    #[arg(long)]
    pub use_services_alternate: bool,
    /// Use another host than an address that servers advertise.
    ///
    /// May be given several times.
    #[arg(long, value_name = "TOLD=USED", value_parser = mapping)]
    pub ip_map: Vec<(String, String)>,
}

fn mapping(text: &str) -> Result<(String, String), String> {
    let (told, used) = text.split_once('=').ok_or("wanted TOLD=USED, such as 10.0.0.1=db1")?;
    Ok((told.to_owned(), used.to_owned()))
}

impl Access {
    /// Copies the settings into `config`.
    pub fn set(&self, config: &mut Config) {
        config.user.clone_from(&self.user);
        config.password.clone_from(&self.password);
        config.auth_mode = self.auth_mode;
        config.use_services_alternate = self.use_services_alternate;
        config.ip_map = self.ip_map.iter().cloned().collect();
        let mut tls = TlsConfig::default();
        tls.cafile.clone_from(&self.tls_cafile);
        tls.certfile.clone_from(&self.tls_certfile);
        tls.keyfile.clone_from(&self.tls_keyfile);
        tls.for_login_only = self.tls_for_login_only;
        if self.tls_enable || tls != TlsConfig::default() {
            config.tls = Some(tls);
        }
    }
}
