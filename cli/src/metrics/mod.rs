//! `tendmap metrics`: the state of the host's segments for Prometheus.

mod collect;
mod family;
mod http;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam::channel::{RecvTimeoutError, bounded};
use serde_json::json;
use tendmap::client::parse_duration;

use crate::args::Common;
use crate::failure::{Failure, warn};
use crate::output::Output;
use crate::replace::{self, Mode};
use crate::signals;

/// The flags of `metrics`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Serve the metrics over HTTP until SIGINT or SIGTERM, such as 127.0.0.1:9400.
    ///
    /// The paths are /metrics, /-/healthy, and / as an index. There is neither TLS nor
    /// a login: names and addresses of nodes can be read by everybody who reaches the
    /// address. An IPv6 address needs brackets: [::1]:9400.
    #[arg(long, value_name = "ADDR:PORT", value_parser = address, conflicts_with = "textfile")]
    pub listen: Option<SocketAddr>,
    /// Write the metrics to a file for the node exporter's textfile collector.
    ///
    /// Its name should end with .prom. The file is replaced as a whole, with mode 0644. A
    /// link stays a link; a device or a pipe is refused.
    #[arg(long, value_name = "FILE")]
    pub textfile: Option<PathBuf>,
    /// Write the file again at this interval, until SIGINT or SIGTERM.
    #[arg(long, value_name = "TIME", value_parser = interval, requires = "textfile")]
    pub interval: Option<Duration>,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "wanted an IP address and a port: 127.0.0.1:9400, 0.0.0.0:9400, [::1]:9400".to_owned()
    })
}

fn interval(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(time) if time < Duration::from_millis(100) => Err("wanted at least 100ms".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

/// Prints the metrics, serves them or writes them to a file.
///
/// # Errors
/// [`Failure`] if they can't be collected or written, or the address can't be used.
pub fn run(common: &Common, args: &Args, output: &Output) -> Result<(), Failure> {
    if let Some(address) = args.listen {
        return http::serve(common.clone(), address, output);
    }
    match (&args.textfile, args.interval) {
        (Some(path), None) => write(common, path),
        (Some(path), Some(interval)) => write_often(common, path, interval, output),
        (None, _) => {
            let families = collect::collect(common)?;
            let text = text(&families)?;
            output.answer(|| families.to_json(), |out| out.write_all(text.as_bytes()))?;
            Ok(())
        }
    }
}

fn text(families: &family::Families) -> Result<String, Failure> {
    families.to_text().map_err(|error| Failure::Failed(format!("can't show the metrics: {error}")))
}

fn write(common: &Common, path: &Path) -> Result<(), Failure> {
    let text = text(&collect::collect(common)?)?;
    let failed = |error: io::Error| {
        let (shown, told) = (path.display(), replace::explained(&error));
        Failure::Failed(format!("can't write {shown}: {told}; what was there is unchanged"))
    };
    replace::file(path, text.as_bytes(), Mode::Set(0o644)).map_err(failed)
}

/// Writes the file until a signal comes. A failure after the first time is reported
/// when it begins, and does not end the command.
fn write_often(
    common: &Common,
    path: &Path,
    interval: Duration,
    output: &Output,
) -> Result<(), Failure> {
    let (stop, stopped) = bounded(1);
    signals::on_stop(move || {
        // Full: it was asked before.
        let _ = stop.try_send(());
    })?;
    write(common, path)?;
    let shown = path.display().to_string();
    match output.is_json() {
        true => output.line(json!({ "event": "writing", "file": shown }))?,
        false => output.line(format_args!("writing {shown} every {interval:?}"))?,
    }
    let mut told = None;
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
        let error = write(common, path).err().map(|failure| failure.to_string());
        if let Some(error) = error.as_ref().filter(|_| told != error) {
            warn(error, output.is_json());
        }
        told = error;
    }
    Ok(())
}
