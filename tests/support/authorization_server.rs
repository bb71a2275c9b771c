// SPDX-License-Identifier: MIT OR Apache-2.0

//! The certified OpenID provider of `tests/kit`, as a child process.

use super::certificates::Certificate;
use super::digest::Challenge;
use super::patience::PATIENCE;
use super::process::Process;
use super::temporary::Directory;
use super::{http, kit, ports};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How to start the server. `Default` is plain HTTP with keys that die with it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Serve the issuer over TLS.
    pub tls: Option<Certificate>,
    /// The authority that `login` is to trust then.
    pub ca_file: Option<PathBuf>,
    /// The authority of client certificates, for the client sip-proxy-tls.
    pub client_ca_file: Option<PathBuf>,
    /// The certificate of the client sip-proxy-self-signed, which exists only with it.
    pub client_cert_file: Option<PathBuf>,
    /// An issuer with a path, e.g. `/realms/sip`.
    pub issuer_path: String,
    /// Keep the signing keys over `restart`.
    pub keep_keys: bool,
    /// A folder with rsa.pub and ec.pub (PEM), for whom the tokens of the resources rs256-rsaoaep256 and es256-ecdh are
    /// encrypted; without it there are no such resources.
    pub recipient_keys: Option<PathBuf>,
    /// The public key (PEM or JWK Set) of the proxy's own tokens, for token exchange. It is read at each exchange.
    pub subject_keys_file: Option<PathBuf>,
    /// The issuer that these tokens must have; any when there is none.
    pub subject_issuer: Option<String>,
    /// Lifetime of access tokens in seconds; `None`: 300.
    pub access_token_ttl: Option<u32>,
    /// Where the client sip-page is told of logouts.
    pub page_logout_uri: Option<String>,
}

/// What a token shall say; see [`AuthorizationServer::issue`].
#[derive(Clone, Debug)]
pub struct TokenRequest<'a> {
    pub sub: &'a str,
    /// The last segment of the resource: rs256, es256, eddsa, hs256 or opaque; see also [`Options::recipient_keys`].
    pub resource: &'a str,
    pub scope: &'a str,
    /// Seconds; zero or less: expired from birth.
    pub ttl: i64,
    pub client: &'a str,
    /// More claims; they cannot replace `iss`, `aud`, `exp` and the like.
    pub claims: Value,
}

impl Default for TokenRequest<'_> {
    fn default() -> Self {
        Self { sub: "alice", resource: "rs256", scope: "openid sip", ttl: 300, client: "sip-ua", claims: Value::Null }
    }
}

/// What a phone has after it signed in with Digest; see [`AuthorizationServer::digest_sign_in`].
#[derive(Clone, Debug)]
pub struct SignIn {
    pub code: String,
    pub redirect_uri: String,
    pub realm: String,
    pub nonce: String,
    /// H(A1) in hex.
    pub ha1: String,
}

pub struct AuthorizationServer {
    process: Option<Process>,
    options: Options,
    directory: Directory,
    port: u16,
    control_port: u16,
    issuer: String,
}

impl AuthorizationServer {
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    pub fn start_with(options: Options) -> Self {
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let port = ports::free();
        let mut server = Self {
            process: None,
            directory: Directory::new("authorization-server"),
            issuer: format!("{scheme}://127.0.0.1:{port}{}", options.issuer_path),
            port,
            control_port: ports::free(),
            options,
        };
        server.restart();
        server
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The full URI of a resource, which is also the audience of its tokens.
    pub fn resource(name: &str) -> String {
        format!("https://sip.example.test/{name}")
    }

    /// A token for this user and resource (rs256, es256, eddsa, hs256, opaque).
    pub fn token(&self, sub: &str, resource: &str) -> String {
        self.issue(&TokenRequest { sub, resource, ..TokenRequest::default() })
    }

    /// A token signed and recorded by the provider, without the login pages.
    pub fn issue(&self, request: &TokenRequest) -> String {
        let resource = Self::resource(request.resource);
        let ttl = request.ttl.to_string();
        let claims = request.claims.to_string();
        let mut query = vec![
            ("sub", request.sub),
            ("resource", &resource),
            ("scope", request.scope),
            ("ttl", &ttl),
            ("client", request.client),
        ];
        if !request.claims.is_null() {
            query.push(("claims", &claims));
        }
        let answer = self.control("GET", "token", &query);
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }

    /// Logs in through the real pages with PKCE; the whole token response.
    pub fn login(&self, user: &str, resource: &str) -> Value {
        self.run_login(&["--user", user, "--resource", &Self::resource(resource)])
    }

    /// The same up to the redirect: `code`, `code_verifier`, `redirect_uri`.
    pub fn login_for_code(&self, user: &str, resource: &str) -> Value {
        self.run_login(&["--user", user, "--resource", &Self::resource(resource), "--code-only"])
    }

    /// The same for another client (sip-proxy, sip-proxy-post, sip-proxy-jwt, sip-desk) and other scopes;
    /// `offline_access` among them makes the exchange give a refresh token.
    pub fn login_for_code_of(&self, client: &str, user: &str, resource: &str, scope: &str) -> Value {
        let resource = Self::resource(resource);
        self.run_login(&["--client", client, "--user", user, "--resource", &resource, "--scope", scope, "--code-only"])
    }

    /// Signs in at /sip/authorize with Digest (sip-oauth section 3.4) and gets a code for sip-proxy; the password of
    /// each user is USER-password. The error is the status. Plain HTTP only, as all that follows here.
    pub fn digest_sign_in(&self, user: &str, password: &str) -> Result<SignIn, u16> {
        self.digest_sign_in_with(user, password, "")
    }

    /// The same with the challenge that belongs to a PKCE verifier (S256), unless it is empty.
    pub fn digest_sign_in_with(&self, user: &str, password: &str, code_challenge: &str) -> Result<SignIn, u16> {
        let aor = format!("sip:{user}@example.test");
        let mut query = vec![("response_type", "code"), ("user_id", aor.as_str()), ("client_id", "sip-proxy")];
        if !code_challenge.is_empty() {
            query.push(("code_challenge", code_challenge));
        }
        let first = self.authorize(&query, None);
        let challenge = Challenge::parse(first.header("WWW-Authenticate").ok_or(first.status)?);
        let uri = self.authorize_uri(&query);
        let answer = self.authorize(&query, Some(&challenge.answer(user, password, "GET", &uri, 1)));
        if answer.status != 302 {
            return Err(answer.status);
        }
        let location = answer.header("Location").expect("a redirect says where");
        Ok(SignIn {
            code: answer.body.strip_prefix("grant_type=authorization_code&code=").expect("the form").to_owned(),
            redirect_uri: location.split_once('?').expect("a query").0.to_owned(),
            ha1: challenge.ha1(user, password),
            realm: challenge.realm,
            nonce: challenge.nonce,
        })
    }

    /// One request to /sip/authorize.
    pub fn authorize(&self, query: &[(&str, &str)], authorization: Option<&str>) -> http::Answer {
        let uri = self.authorize_uri(query);
        let headers: Vec<_> = authorization.map(|value| ("Authorization", value)).into_iter().collect();
        let url = format!("http://127.0.0.1:{}{uri}", self.port);
        http::send("GET", &url, &headers, "").unwrap_or_else(|error| panic!("{error}"))
    }

    /// The uri that Digest credentials for this query are made with.
    pub fn authorize_uri(&self, query: &[(&str, &str)]) -> String {
        format!("{}/sip/authorize{}", self.options.issuer_path, http::query(query))
    }

    /// A request of the client sip-proxy to the token endpoint: status and JSON.
    pub fn token_request(&self, form: &[(&str, &str)]) -> (u16, Value) {
        let basic = [("Authorization", "Basic c2lwLXByb3h5OnByb3h5LXNlY3JldA==")]; // sip-proxy:proxy-secret
        let url = format!("{}/token", self.issuer);
        let answer = http::post_form(&url, &basic, form).unwrap_or_else(|error| panic!("{error}"));
        let json = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.body));
        (answer.status, json)
    }

    /// How codes of Digest sign-ins give the master-key from now on: `base64url` (as at the start), `underscore`
    /// (named master_key), `hex`, `absent`, `garbage`, or `draft` (section 3.5 to the letter, without access_token).
    /// `clear` goes back to the first.
    pub fn master_key_form(&self, form: &str) {
        self.control("POST", "master-key", &[("form", form)]);
    }

    /// A token from elsewhere, good for `ttl` seconds, that only the grant urn:example:sip-token of this server can
    /// judge; `form` is `opaque` or `jwt` (of https://elsewhere.example, whose key is published nowhere).
    pub fn outside_token(&self, sub: &str, scope: &str, ttl: i64, form: &str) -> String {
        let query = [("sub", sub), ("scope", scope), ("ttl", &ttl.to_string()), ("form", form)];
        let answer = self.control("GET", "outside", &query);
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    /// Ends a token from elsewhere before its time.
    pub fn revoke_outside(&self, token: &str) {
        self.control("POST", "revoke-outside", &[("token", token)]);
    }

    /// The private key of the client sip-proxy-jwt (PEM); its id at the server is proxy-key.
    pub fn client_key_file(&self) -> PathBuf {
        self.directory.file("client-key.pem")
    }

    /// New signing keys; at most `keep` older generations stay published. The key ids, newest first.
    pub fn rotate(&self, keep: u32) -> Vec<String> {
        let answer = self.control("POST", "rotate", &[("keep", &keep.to_string())]);
        let kids = answer["kids"].as_array().expect("a list of key ids");
        kids.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Ends an opaque access token before its time.
    pub fn revoke(&self, token: &str) {
        self.control("POST", "revoke", &[("token", token)]);
    }

    /// Misbehave on a path (e.g. `/jwks`): see `tests/kit/faults.mjs` for the rules.
    pub fn fault(&self, path: &str, rule: &[(&str, &str)]) {
        let query: Vec<_> = [("path", path)].into_iter().chain(rule.iter().copied()).collect();
        self.control("POST", "fault", &query);
    }

    /// Forgets all faults and counters.
    pub fn clear(&self) {
        self.control("POST", "clear", &[]);
    }

    /// Requests per path since the start or the last `clear`; grants also as `/token refresh_token` and, when they
    /// are refused, as `/token refresh_token invalid_grant`.
    pub fn stats(&self) -> BTreeMap<String, u64> {
        let answer = self.control("GET", "stats", &[]);
        let paths = answer.as_object().expect("an object of counters");
        paths.iter().map(|(path, count)| (path.clone(), count.as_u64().unwrap_or(0))).collect()
    }

    /// The server goes away; its port then refuses connections.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts again on the same port, with other keys unless `keep_keys` is set.
    pub fn restart(&mut self) {
        self.stop();
        let mut command = kit::node("authorization-server.mjs");
        command
            .env("PORT", self.port.to_string())
            .env("CONTROL_PORT", self.control_port.to_string())
            .env("ISSUER_PATH", &self.options.issuer_path)
            .env("CLIENT_KEY_FILE", self.client_key_file())
            .env("EXIT_WITH_STDIN", "1");
        if let Some(seconds) = self.options.access_token_ttl {
            command.env("ACCESS_TOKEN_TTL", seconds.to_string());
        }
        if let Some(uri) = &self.options.page_logout_uri {
            command.env("PAGE_LOGOUT_URI", uri);
        }
        if let Some(file) = &self.options.subject_keys_file {
            command.env("SUBJECT_KEYS_FILE", file);
        }
        if let Some(issuer) = &self.options.subject_issuer {
            command.env("SUBJECT_ISSUER", issuer);
        }
        if let Some(folder) = &self.options.recipient_keys {
            command.env("RECIPIENT_KEYS", folder);
        }
        if let Some(tls) = &self.options.tls {
            command.env("TLS_CERT", &tls.certificate).env("TLS_KEY", &tls.key);
        }
        if let Some(file) = &self.options.client_ca_file {
            command.env("CLIENT_CA_FILE", file);
        }
        if let Some(file) = &self.options.client_cert_file {
            command.env("CLIENT_CERT_FILE", file);
        }
        if self.options.keep_keys {
            command.env("KEYS_FILE", self.directory.file("keys.json"));
        }
        let mut process = Process::start("authorization-server", command, self.directory.path());
        process.wait_for("READY ", PATIENCE).unwrap_or_else(|error| panic!("{error}"));
        self.process = Some(process);
    }

    /// What the server itself printed.
    pub fn output(&self) -> String {
        self.process.as_ref().map_or_else(String::new, Process::output)
    }

    fn run_login(&self, arguments: &[&str]) -> Value {
        let mut command = kit::node("login.mjs");
        command.args(["--issuer", &self.issuer]).args(arguments);
        if let Some(ca_file) = &self.options.ca_file {
            command.env("NODE_EXTRA_CA_CERTS", ca_file);
        }
        let mut process = Process::start("login", command, self.directory.path());
        let line = process.wait_for("{", PATIENCE).unwrap_or_else(|error| panic!("{error}"));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("login: {error}: {line}"))
    }

    fn control(&self, method: &str, verb: &str, query: &[(&str, &str)]) -> Value {
        let query = http::query(query);
        let url = format!("http://127.0.0.1:{}/__test/{verb}{query}", self.control_port);
        let (status, body) = http::request(method, &url).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(status, 200, "{verb}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{verb}: {error}: {body}"))
    }
}
