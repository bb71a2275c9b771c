// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections: how many there are at once, how slow they may be, and TLS.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sipoauth_core::ports::Level;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::metrics::Counter;
use crate::router::{Peer, router};
use crate::site::Site;
use crate::source::Source;

/// Longest header of a request, in octets, and most of its fields.
const MAX_HEADER: usize = 16 * 1024;
const MAX_FIELDS: usize = 64;
/// A request line and header fields must come within this time; an idle connection is closed after it, too.
const HEADER_TIME: Duration = Duration::from_secs(15);
/// Longest TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Longest life of a connection. Who reads slowly is cut off then.
const CONNECTION_TIME: Duration = Duration::from_secs(300);
/// How long requests may take to end when the server stops.
const LAST_TIME: Duration = Duration::from_secs(10);

/// Reads certificate and key. The error is a sentence.
pub fn tls_of(site: &Site) -> Result<Option<TlsAcceptor>, String> {
    let Some((certificate, key)) = &site.page.tls else { return Ok(None) };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|e| format!("sign_in_page: certificate_file: {certificate}: {e}"))?;
    if chain.is_empty() {
        return Err(format!("sign_in_page: certificate_file: {certificate}: there is no BEGIN CERTIFICATE in it"));
    }
    let wrong = |e: &dyn std::fmt::Display| format!("sign_in_page: key_file: {key}: {e}");
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong(&e))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|e| wrong(&e))?.with_no_client_auth().with_single_cert(chain, private);
    let mut config = config.map_err(|e| wrong(&e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

/// The connections of each source.
#[derive(Default)]
struct Crowd(Mutex<HashMap<Option<IpAddr>, usize>>);

/// A place of a source; it is free again when this is dropped.
struct Place {
    crowd: Arc<Crowd>,
    network: Option<IpAddr>,
}

impl Crowd {
    fn enter(self: &Arc<Crowd>, network: Option<IpAddr>, most: usize) -> Option<Place> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = all.entry(network).or_default();
        if *number >= most {
            return None;
        }
        *number += 1;
        Some(Place { crowd: Arc::clone(self), network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut number) = all.entry(self.network) {
            *number.get_mut() -= 1;
            if *number.get() == 0 {
                number.remove();
            }
        }
    }
}

/// Serves until `end` comes, and then lets requests end.
pub async fn serve(site: Arc<Site>, listener: TcpListener, tls: Option<TlsAcceptor>, end: impl Future<Output = ()>) {
    let pages = router(Arc::clone(&site));
    let most = site.page.settings.connections as usize;
    let (all, crowd) = (Arc::new(Semaphore::new(most)), Arc::new(Crowd::default()));
    let graceful = GracefulShutdown::new();
    let mut end = std::pin::pin!(end);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut end => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                rest(&site, &error).await;
                continue;
            }
        };
        let source = Source::of_peer(peer);
        let own = if source.is_among(&site.page.reverse_proxies) { most } else { (most / 8).max(1) };
        let places = Arc::clone(&all).try_acquire_owned().ok().zip(crowd.enter(source.network(), own));
        let Some(places) = places else {
            // Without an answer, because writing it would take what is lacking.
            site.metrics.count(Counter::OverConnections);
            continue;
        };
        let (pages, tls, watcher) = (pages.clone(), tls.clone(), graceful.watcher());
        tokio::spawn(async move { attend(stream, peer, pages, tls, watcher, places).await });
    }
    let _ = timeout(LAST_TIME, graceful.shutdown()).await;
}

/// An error of accept() may last, for example when there are too many open files.
async fn rest(site: &Site, error: &io::Error) {
    if ![io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset].contains(&error.kind()) {
        site.log(Level::Error, &format!("cannot accept connections: {error}"));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn attend(
    stream: TcpStream,
    peer: SocketAddr,
    pages: Router,
    tls: Option<TlsAcceptor>,
    watcher: Watcher,
    _places: (OwnedSemaphorePermit, Place),
) {
    let _ = stream.set_nodelay(true);
    match tls {
        None => converse(stream, peer, pages, watcher).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = timeout(HANDSHAKE_TIME, tls.accept(stream)).await {
                converse(stream, peer, pages, watcher).await;
            }
        }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    pages: Router,
    watcher: Watcher,
) {
    let pages = TowerToHyperService::new(pages);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        pages.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(MAX_HEADER)
        .max_headers(MAX_FIELDS)
        .serve_connection(TokioIo::new(stream), service);
    // How a connection ends is the browser's business.
    let _ = timeout(CONNECTION_TIME, watcher.watch(connection)).await;
}
