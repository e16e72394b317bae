//! The HTTP server: a few read-only paths, for clients that may be slow or hostile.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tendmap::internals::explain::explain;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Notify};
use tokio::task::{AbortHandle, JoinSet};

use super::collect::collect;
use crate::args::Common;
use crate::failure::{Failure, warn};
use crate::output::Output;
use crate::signals;

/// The most connections at a time. For another one the oldest is closed: a scrape
/// takes milliseconds, so an old one is of a client that does not read or write.
const CONNECTIONS: usize = 64;
/// How long a client may take to send its request.
const HEADER: Duration = Duration::from_secs(5);
/// How long a connection may last altogether; it serves one request.
const WHOLE: Duration = Duration::from_secs(20);
/// The most bytes of a request's headers.
const HEADER_BYTES: usize = 16 * 1024;
/// Answers that are at most this old serve several clients, so that many requests do
/// not cost more reads of the segments.
const FRESH: Duration = Duration::from_millis(200);

const INDEX: &str = "<!doctype html>\n<html lang=\"en\"><head><title>tendmap</title></head>\n\
<body><h1>tendmap</h1><p><a href=\"/metrics\">Metrics</a></p></body></html>\n";
const TEXT: &str = "text/plain; charset=utf-8";

/// Serves until a signal ends it.
///
/// # Errors
/// [`Failure::Failed`] if the address can't be used.
pub fn serve(common: Common, address: SocketAddr, output: &Output) -> Result<(), Failure> {
    let failed =
        |error: io::Error| Failure::Failed(format!("can't serve metrics: {}", explain(&error)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        // Segments are read outside of the loop that serves, by one thread.
        .max_blocking_threads(1)
        .build()
        .map_err(failed)?;
    let stop = Arc::new(Notify::new());
    let stops = stop.clone();
    signals::on_stop(move || stops.notify_one())?;
    let served = runtime.block_on(async {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            let told = explain(&error);
            Failure::Failed(format!("can't listen on {address}: {told}{}", advice(&error)))
        })?;
        let at = listener.local_addr().map_err(failed)?;
        match output.is_json() {
            true => output.line(json!({ "event": "listening", "address": at }))?,
            false => output.line(format_args!("listening on http://{at}/metrics"))?,
        }
        let exporter =
            Arc::new(Exporter { common, json: output.is_json(), last: Mutex::default() });
        let accepting = tokio::spawn(async move { accept(&listener, &exporter).await });
        stop.notified().await;
        accepting.abort();
        Ok(())
    });
    // Not waiting for clients, or for a read.
    runtime.shutdown_background();
    served
}

/// What to do about an address that can't be used.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; choose another port, or end the process that has it",
        io::ErrorKind::AddrNotAvailable => "; choose an address of this host (`ip address`)",
        io::ErrorKind::PermissionDenied => "; choose a port above 1023",
        _ => "",
    }
}

async fn accept(listener: &TcpListener, exporter: &Arc<Exporter>) {
    let mut tasks = JoinSet::new();
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // The client has gone, or this process has no descriptor for it at present.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        while tasks.try_join_next().is_some() {}
        open.retain(|task| !task.is_finished());
        if open.len() >= CONNECTIONS {
            open.pop_front().iter().for_each(AbortHandle::abort);
        }
        open.push_back(tasks.spawn(connection(stream, exporter.clone())));
    }
}

async fn connection(stream: TcpStream, exporter: Arc<Exporter>) {
    let answer = service_fn(move |request| {
        let exporter = exporter.clone();
        async move { Ok::<_, Infallible>(exporter.answer(&request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .max_buf_size(HEADER_BYTES)
        .keep_alive(false)
        // A client may close its sending side after the request, as `nc -N` does.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), answer);
    // What a client does wrong is of no interest to anybody else.
    let _ = tokio::time::timeout(WHOLE, serving).await;
}

/// What is served.
struct Exporter {
    common: Common,
    json: bool,
    last: Mutex<Last>,
}

/// The last answer.
#[derive(Default)]
struct Last {
    text: Option<(Instant, Bytes)>,
    /// The last failure that was reported.
    told: Option<String>,
}

impl Exporter {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response =
                respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "wanted GET or HEAD\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/" => respond(StatusCode::OK, "text/html; charset=utf-8", INDEX),
            "/-/healthy" => respond(StatusCode::OK, TEXT, "ok\n"),
            "/metrics" => match self.metrics().await {
                Ok(text) => respond(StatusCode::OK, prometheus::TEXT_FORMAT, text),
                Err(error) => respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{error}\n")),
            },
            _ => respond(StatusCode::NOT_FOUND, TEXT, "the metrics are at /metrics\n"),
        }
    }

    async fn metrics(&self) -> Result<Bytes, String> {
        let mut last = self.last.lock().await;
        if let Some((at, text)) = &last.text {
            if at.elapsed() <= FRESH {
                return Ok(text.clone());
            }
        }
        let common = self.common.clone();
        let read = move || {
            let families = collect(&common).map_err(Failure::from)?;
            super::text(&families)
        };
        let read = tokio::task::spawn_blocking(read).await;
        let result = match read {
            Ok(result) => result.map_err(|failure| failure.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let error = result.as_ref().err().cloned();
        if let Some(error) = error.as_ref().filter(|error| last.told.as_ref() != Some(error)) {
            warn(error, self.json);
        }
        last.told = error;
        let text = Bytes::from(result?);
        last.text = Some((Instant::now(), text.clone()));
        Ok(text)
    }
}

fn respond(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
