// SPDX-License-Identifier: MIT OR Apache-2.0
//! HTTP by ureq and rustls: TLS always verified, no redirects, bounded in time and size.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::http::{HeaderMap, Response, Uri};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::transport::{ConnectionDetails, Connector, DefaultConnector, Transport};
use ureq::{Agent, Body, Proxy, ProxyProtocol, RequestBuilder, ResponseExt as _, SendBody};
use zeroize::Zeroizing;

use super::certificate_problem;
use super::resolver::RememberingResolver;
use sipoauth_core::config::client_certificate::ClientCertificate;
use sipoauth_core::config::http_proxy::HttpProxy;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::ports::{Answered, Document, Fetch, FetchError, Form, Post, PostError};
use sipoauth_core::text::charset::to_utf8;

/// Largest response body in octets.
const MAX_BODY: u64 = 1024 * 1024;

/// Each thread keeps connections to at most this many servers.
const SERVERS: usize = 4;

/// A client with the limits of one configuration.
pub struct HttpClient {
    connections: Arc<Connections>,
    /// When all its requests must have ended; None if each may take as long as is configured.
    until: Option<Instant>,
}

struct Connections {
    plain: Agents,
    /// Agents with a client's certificate, by the certificate's id. Clients never share a connection.
    certified: HashMap<[u8; 32], Agents>,
    proxy: Option<HttpProxy>,
}

struct Agents {
    /// One agent for each thread, each with one connection to a server. To look for a free connection among those of
    /// all threads, while the other threads wait, takes longer than the rest of a request.
    pooled: Vec<Agent>,
    /// This agent never uses a connection twice. A server may close an idle connection at any time, and whoever
    /// posts on it then cannot know whether the server received the request.
    single: Agent,
}

impl HttpClient {
    /// Makes a client. Reads the system's certificate authorities when the configuration names none, so it is made
    /// in the I/O process only.
    pub fn new(policy: &Policy) -> HttpClient {
        let roots = match &policy.ca_pem {
            Some(pem) => {
                let own = CertificateDer::pem_slice_iter(pem.as_bytes()).flatten();
                let own: Vec<_> = own.map(|der| Certificate::from_der(&der).to_owned()).collect();
                RootCerts::new_with_certs(&own)
            }
            None => RootCerts::PlatformVerifier,
        };
        let tls = |certificate: Option<&ClientCertificate>| {
            TlsConfig::builder()
                .provider(TlsProvider::Rustls)
                .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .root_certs(roots.clone())
                .client_cert(certificate.map(client_cert))
                .build()
        };
        let settings = &policy.settings;
        let proxy = policy.http_proxy.as_ref().map(proxy);
        let seconds = |s: u32| Some(Duration::from_secs(u64::from(s)));
        let config = |idle_connections, tls: &TlsConfig| {
            Agent::config_builder()
                .tls_config(tls.clone())
                // The proxy of the environment is never used.
                .proxy(proxy.clone())
                .max_redirects(0)
                .http_status_as_error(false)
                .timeout_global(seconds(settings.http_timeout))
                .timeout_connect(seconds(settings.connect_timeout()))
                .max_response_header_size(32 * 1024)
                .max_idle_connections(idle_connections * SERVERS)
                .max_idle_connections_per_host(idle_connections)
                .max_idle_age(Duration::from_secs(30))
                .user_agent(concat!("sipoauth/", env!("CARGO_PKG_VERSION")))
                .build()
        };
        let certificates = policy.providers.iter().filter_map(|p| p.client.as_ref()?.auth.certificate());
        let resolver = RememberingResolver::default();
        let agents = |certificate| {
            // The authorities and the certificate are read once for all agents.
            let connector = SharedConnector(Arc::new(DefaultConnector::new()));
            let agent = |config| Agent::with_parts(config, connector.clone(), resolver.clone());
            let tls = tls(certificate);
            let (kept, single) = (config(1, &tls), config(0, &tls));
            let pooled = (0..settings.http_threads).map(|_| agent(kept.clone())).collect();
            Agents { pooled, single: agent(single) }
        };
        let connections = Connections {
            plain: agents(None),
            certified: certificates.map(|certificate| (certificate.id(), agents(Some(certificate)))).collect(),
            proxy: policy.http_proxy.clone(),
        };
        HttpClient { connections: Arc::new(connections), until: None }
    }

    /// The same client for requests that may together take so long; None: each as long as is configured.
    pub fn within(&self, time: Option<Duration>) -> HttpClient {
        HttpClient { connections: Arc::clone(&self.connections), until: time.map(|time| Instant::now() + time) }
    }

    fn limited<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        // A time-out of zero would mean none.
        let rest =
            self.until.map(|until| until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
        match rest {
            Some(rest) => request.config().timeout_global(Some(rest)).build(),
            None => request,
        }
    }

    /// What happened on the way to this URL.
    fn describe(&self, url: &str, error: &ureq::Error) -> String {
        self.on_the_way(url, describe(error))
    }

    fn on_the_way(&self, url: &str, text: String) -> String {
        let host = url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
        match self.connections.proxy.as_ref().filter(|proxy| proxy.is_way_to(&host)) {
            Some(HttpProxy { host, port, .. }) => format!("{text} (through the HTTP proxy {host}:{port})"),
            None => text,
        }
    }

    fn told(&self, url: &str, error: PostError) -> PostError {
        match error {
            PostError::NotSent(text) => PostError::NotSent(self.on_the_way(url, text)),
            PostError::InDoubt(text) => PostError::InDoubt(self.on_the_way(url, text)),
            unreadable => unreadable,
        }
    }

    fn agents(&self, certificate: Option<&ClientCertificate>) -> Result<&Agents, PostError> {
        let Some(certificate) = certificate else { return Ok(&self.connections.plain) };
        // Nothing must be sent without the certificate, because the server would answer with a refusal of the client.
        let missing = || PostError::NotSent("the client's certificate belongs to another configuration".into());
        self.connections.certified.get(&certificate.id()).ok_or_else(missing)
    }
}

impl Agents {
    /// The agent of this thread.
    fn pooled(&self) -> &Agent {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static NUMBER: usize = THREADS.fetch_add(1, Relaxed));
        &self.pooled[NUMBER.with(|number| number % self.pooled.len())]
    }
}

/// One connector for several agents.
#[derive(Clone, Debug)]
struct SharedConnector(Arc<DefaultConnector>);

impl Connector for SharedConnector {
    type Out = Box<dyn Transport>;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Self::Out>, ureq::Error> {
        self.0.connect(details, None)
    }
}

fn proxy(settings: &HttpProxy) -> Proxy {
    let mut proxy = Proxy::builder(ProxyProtocol::Http).host(&settings.host).port(settings.port);
    if let Some((user, password)) = &settings.credentials {
        proxy = proxy.username(user).password(password);
    }
    for host in settings.direct() {
        proxy = proxy.no_proxy(host);
    }
    proxy.build().expect("a host and a port make a proxy")
}

fn client_cert(certificate: &ClientCertificate) -> ClientCert {
    let chain: Vec<_> = certificate.chain().iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    let key = PrivateKey::from_pem(certificate.expose_key_pem().as_bytes()).expect("a key that was read before");
    ClientCert::new_with_certs(&chain, key)
}

/// What an answer says about the server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerTime {
    /// When the server wrote the answer, to the second, by its own clock (RFC 9110 section 6.6.1).
    pub date: SystemTime,
    /// True when a cache has kept the answer for a while (RFC 9111 section 5.1), so that `date` lies in the past.
    pub is_old: bool,
}

impl HttpClient {
    /// The server's clock as its answer to a GET tells it; None when it does not tell. The error is a sentence.
    pub fn server_time(&self, url: &str) -> Result<Option<ServerTime>, String> {
        let response = self.connections.plain.pooled().get(url).call().map_err(|e| self.describe(url, &e))?;
        Ok(server_time(response.headers()))
    }
}

/// An Age that cannot be read comes from a cache all the same. Its value is not added to Date, because a cache may
/// compute it from Date and its own clock. The sum would then be the time of the cache.
fn server_time(headers: &HeaderMap) -> Option<ServerTime> {
    let date = httpdate::parse_http_date(headers.get("date")?.to_str().ok()?).ok()?;
    let is_old = headers.get_all("age").iter().any(|age| age.as_bytes() != b"0");
    Some(ServerTime { date, is_old })
}

impl Fetch for HttpClient {
    fn get(&self, url: &str, accept: &str) -> Result<Document, FetchError> {
        let failed = |e: ureq::Error| match e {
            ureq::Error::BodyExceedsLimit(_) | ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => {
                FetchError::Unreadable(describe(&e))
            }
            _ => FetchError::Failed(self.describe(url, &e)),
        };
        let get = |agent: &Agent| self.limited(agent.get(url).header("accept", accept)).call();
        let mut response = repeated(&self.connections.plain, get).map_err(failed)?;
        let status = response.status().as_u16();
        // 206 brings a part of the document.
        if !(200..=299).contains(&status) || status == 206 {
            return Err(FetchError::Status(status));
        }
        debug_assert!(response.get_redirect_history().is_none_or(|h| h.len() <= 1));
        if let Some(problem) = compression(response.headers()) {
            return Err(FetchError::Unreadable(problem));
        }
        let cache_control = response.headers().get("cache-control").and_then(|v| v.to_str().ok()).map(max_age);
        let body = read_body(&mut response).map_err(failed)?;
        Ok(Document { body, max_age: cache_control.flatten() })
    }
}

impl Post for HttpClient {
    fn post(&self, form: &Form<'_>) -> Result<Answered, PostError> {
        let agents = self.agents(form.certificate)?;
        if form.repeatable {
            match self.send(agents.pooled(), form, "keep-alive") {
                Err((_, e)) if is_stale(&e) => {}
                Ok(answered) if answered.status == GIVEN_UP => {}
                other => return other.map_err(|(error, _)| self.told(form.url, error)),
            }
        }
        self.send(&agents.single, form, "close").map_err(|(error, _)| self.told(form.url, error))
    }

    fn user_info(
        &self,
        url: &str,
        token: &str,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Answered, PostError> {
        let authorization = Zeroizing::new(format!("Bearer {token}"));
        let get = |agent: &Agent| {
            let request = agent.get(url).header("accept", "application/json");
            self.limited(request.header("authorization", authorization.as_str())).call()
        };
        let answered = repeated(self.agents(certificate)?, get);
        let answered = answered.map_err(|e| PostError::InDoubt(self.describe(url, &e)))?;
        read_answer(answered).map_err(|e| e.0)
    }
}

/// The status with which a server ends a kept connection that it no longer waits for a request on (RFC 9110 section
/// 15.5.9). A request that crosses it may be repeated on a new connection, like one whose connection ends without a
/// word.
const GIVEN_UP: u16 = 408;

/// Sends a request that may be repeated, on a kept connection first.
fn repeated(
    agents: &Agents,
    send: impl Fn(&Agent) -> Result<Response<Body>, ureq::Error>,
) -> Result<Response<Body>, ureq::Error> {
    match send(agents.pooled()) {
        Err(e) if is_stale(&e) => send(&agents.single),
        Ok(response) if response.status().as_u16() == GIVEN_UP => send(&agents.single),
        other => other,
    }
}

/// True when the connection ended before the first octet of the answer. It may be a kept connection that the server
/// has closed just before, without a word (RFC 9112 section 9.3.1). A request that may be repeated deserves one more
/// try on a fresh connection.
fn is_stale(error: &ureq::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof, WriteZero};
    match error {
        ureq::Error::Protocol(_) => true,
        ureq::Error::Io(e) => {
            [BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof, WriteZero].contains(&e.kind())
        }
        _ => false,
    }
}

impl HttpClient {
    /// Sends one request. The error says whether it may have been received, and what happened.
    fn send(&self, agent: &Agent, form: &Form<'_>, connection: &str) -> Result<Answered, (PostError, ureq::Error)> {
        let mut body = WatchedBody { rest: form.body.as_bytes(), asked_for: false };
        let mut request = agent
            .post(form.url)
            .header("accept", form.accept)
            .header("connection", connection)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("content-length", form.body.len());
        if let Some(authorization) = form.authorization {
            request = request.header("authorization", authorization);
        }
        let sent = self.limited(request).send(SendBody::from_reader(&mut body));
        read_answer(sent.map_err(|e| match body.asked_for {
            true => (PostError::InDoubt(describe(&e)), e),
            false => (PostError::NotSent(describe(&e)), e),
        })?)
    }
}

/// Reads an answer of any status.
fn read_answer(mut response: Response<Body>) -> Result<Answered, (PostError, ureq::Error)> {
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type").and_then(|v| v.to_str().ok());
    let content_type = content_type.map(media_type).unwrap_or_default();
    if let Some(problem) = compression(response.headers()) {
        return Err((PostError::Unreadable(problem), ureq::Error::StatusCode(status)));
    }
    let body = read_body(&mut response).map_err(|e| match e {
        ureq::Error::BodyExceedsLimit(_) => (PostError::Unreadable(describe(&e)), e),
        _ => (PostError::InDoubt(describe(&e)), e),
    })?;
    Ok(Answered { status, content_type, body })
}

/// The body of a request. Until it is asked for, nothing of it can have left: name resolution, connection, TLS
/// handshake and the header fields come first.
struct WatchedBody<'a> {
    rest: &'a [u8],
    asked_for: bool,
}

impl Read for WatchedBody<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.asked_for = true;
        self.rest.read(buffer)
    }
}

/// The content codings that change the octets of a body (RFC 9110 section 8.4.1, RFC 7932, RFC 8878). Servers write
/// other things there, such as a character set, with a plain body.
const COMPRESSIONS: [&str; 7] = ["gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd"];

/// Says that an answer is compressed (RFC 9110 section 8.4), which nobody has asked for; None if it is not.
fn compression(headers: &HeaderMap) -> Option<String> {
    let fields = headers.get_all("content-encoding").iter();
    let fields: Vec<_> = fields.map(|field| String::from_utf8_lossy(field.as_bytes())).collect();
    let mut codings = fields.iter().flat_map(|field| field.split(',')).map(|coding| coding.trim().to_ascii_lowercase());
    let coding = codings.find(|coding| COMPRESSIONS.contains(&coding.as_str()))?;
    Some(format!("the answer is compressed ({coding}), which was not asked for; switch that off at the server"))
}

/// The body of an answer, in UTF-8.
fn read_body(response: &mut Response<Body>) -> Result<Vec<u8>, ureq::Error> {
    let body = response.body_mut().with_config().limit(MAX_BODY).read_to_vec()?;
    let content_type = response.headers().get("content-type").and_then(|v| v.to_str().ok());
    Ok(to_utf8(body, content_type.unwrap_or_default()))
}

fn describe(error: &ureq::Error) -> String {
    if let Some(problem) = tls_problem(error) {
        return problem;
    }
    match error {
        ureq::Error::Timeout(_) => "no complete answer in time".into(),
        ureq::Error::BodyExceedsLimit(_) => "the answer is larger than 1 MiB".into(),
        ureq::Error::ConnectProxyFailed(reason) => {
            sipoauth_core::text::fingerprint::printable(&format!("the connection was not made: {reason}"), 200)
        }
        ureq::Error::LargeResponseHeader(..) => "the header of the answer is larger than 32 kB".into(),
        ureq::Error::Protocol(error) => {
            // More than 128 header fields are not read, nor header fields of an answer 100.
            sipoauth_core::text::fingerprint::printable(
                &format!("the answer is not HTTP that can be read: {error}"),
                200,
            )
        }
        ureq::Error::HostNotFound => "the host name cannot be resolved".into(),
        other => sipoauth_core::text::fingerprint::printable(&other.to_string(), 200),
    }
}

/// The media type of Content-Type (RFC 9110 section 8.3.1), without parameters.
fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// What is wrong with TLS or the server's certificate, and what to do; None when it is something else.
fn tls_problem(error: &ureq::Error) -> Option<String> {
    let error = match error {
        ureq::Error::Rustls(error) => error,
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref::<rustls::Error>()?,
        _ => return None,
    };
    match error {
        rustls::Error::InvalidCertificate(problem) => Some(certificate_problem::sentence(problem)),
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            Some("what answers there speaks no TLS: write http://, or the port that has https".into())
        }
        _ => None,
    }
}

/// max-age of Cache-Control; no-store and no-cache count as zero.
fn max_age(value: &str) -> Option<u64> {
    let mut age = None;
    for directive in value.split(',').map(str::trim) {
        let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return Some(0);
        }
        if name.eq_ignore_ascii_case("max-age") {
            age = argument.trim_matches('"').parse().ok();
        }
    }
    age
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_control() {
        for (value, age) in [
            ("max-age=60", Some(60)),
            ("public, Max-Age=\"5\"", Some(5)),
            ("no-store, max-age=60", Some(0)),
            ("private", None),
            ("max-age=x", None),
            ("", None),
        ] {
            assert_eq!(max_age(value), age, "{value}");
        }
    }

    #[test]
    fn only_compressions_are_compression() {
        let problem = |fields: &[&str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append("content-encoding", field.parse().expect("a field"));
            }
            compression(&headers)
        };
        for plain in
            [&[][..], &[""], &["identity"], &["UTF-8"], &["none"], &["8bit"], &["identity, identity"], &["a", "b"]]
        {
            assert_eq!(problem(plain), None, "{plain:?}");
        }
        for (fields, name) in [
            (&["gzip"][..], "gzip"),
            (&["X-GZip"], "x-gzip"),
            (&["deflate"], "deflate"),
            (&["compress"], "compress"),
            (&["x-compress"], "x-compress"),
            (&["identity,br"], "br"),
            (&["utf-8", " ZSTD "], "zstd"),
        ] {
            let text = problem(fields).expect("compressed");
            assert!(text.contains(&format!("({name})")), "{text}");
        }
    }

    #[test]
    fn an_answer_with_an_age_is_older_than_the_servers_clock() {
        let told = |fields: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, value.parse().expect("a field"));
            }
            server_time(&headers)
        };
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        let at = |is_old| Some(ServerTime { date: SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777), is_old });
        for (ages, is_old) in [
            (&[][..], false),
            (&["0"], false),
            (&["1500"], true),
            (&["x"], true),
            (&["0", "5"], true),
            (&["0, 5"], true),
        ] {
            let fields: Vec<_> = [date].into_iter().chain(ages.iter().map(|age| ("age", *age))).collect();
            assert_eq!(told(&fields), at(is_old), "{ages:?}");
        }
        assert_eq!((told(&[("age", "5")]), told(&[("date", "yesterday")])), (None, None));
    }
}
