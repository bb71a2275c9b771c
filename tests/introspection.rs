// SPDX-License-Identifier: MIT OR Apache-2.0

//! Introspection: against the certified provider with every kind of client, and against servers that are broken or odd.

#[path = "support/mod.rs"]
mod support;

use serde_json::{Value, json};
use sipoauth::io_process::http::HttpClient;
use sipoauth_core::check::token_answer::{Asked, IntrospectionResult, KnownAnswers, TokenAnswer, TokenId};
use sipoauth_core::check::token_cache::TokenCache;
use sipoauth_core::check::token_check::{TokenUsage, check_token};
use sipoauth_core::check::{Decision, Knowledge};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::Source;
use sipoauth_core::jose::key_set::{KeySet, Origin};
use sipoauth_core::oauth::endpoints::{Endpoint, Endpoints};
use sipoauth_core::oauth::exchange::{CodeGrant, TokenServer, exchange, refresh};
use sipoauth_core::oauth::introspection::{Introspected, IntrospectionError, introspect};
use sipoauth_core::oauth::kept_keys::Refetched;
use sipoauth_core::oauth::key_fetch::{KeyPlan, fetch_keys};
use sipoauth_core::oauth::metadata::Announced;
use sipoauth_core::reason::Reason;
use sipoauth_core::text::form;
use std::cell::Cell;
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use support::authorization_server::{AuthorizationServer, Options, TokenRequest};
use support::certificates::{Authority, Certificate};
use support::knows_nothing::KNOWS_NOTHING;
use support::log_lines::Lines;
use support::scripted_server::{Answer, JWKS, OPENID_CONFIGURATION, ScriptedServer, discovery, key_set};
use support::token::{TestKey, encode, now};

const AUDIENCE: &str = "https://sip.example.test/opaque";
const INTROSPECTION: &str = "/introspect";
const SIGNED: &str = "application/token-introspection+jwt";
const RS: &str = "client_id=sip-rs;client_secret=rs-secret";

/// A proxy with one provider whose tokens are introspected.
struct Proxy {
    policy: Policy,
    http: HttpClient,
    endpoints: Endpoints,
    fetches: Cell<u32>,
}

impl Proxy {
    fn new(issuer: &str, client: &str) -> Proxy {
        Proxy::with(issuer, client, &[])
    }

    fn with(issuer: &str, client: &str, globals: &[(&str, &str)]) -> Proxy {
        let mut source = Source::default();
        for (key, value) in globals {
            source.set(key, value).expect("a good setting");
        }
        let tokens = if client.contains("tokens=") { "" } else { "tokens=opaque;" };
        let line = format!("name=as;issuer={issuer};audience={AUDIENCE};aor={{sip}};{tokens}{client}");
        source.add_provider(&line).expect("a good line");
        let policy = Policy::new(&source.load().expect("files of ours")).expect("a good policy");
        let http = HttpClient::new(&policy);
        Proxy { policy, http, endpoints: Endpoints::new(), fetches: Cell::new(0) }
    }

    fn endpoint(&self, which: Endpoint) -> Result<Announced, String> {
        self.endpoints.resolve(&self.http, &self.policy, 0, which, now()).map_err(|e| e.to_string())
    }

    fn fetch_keys(&self) -> Result<Refetched, String> {
        self.fetches.set(self.fetches.get() + 1);
        let issuer = self.policy.providers[0].issuer.clone();
        let discovery = vec![format!("{issuer}{OPENID_CONFIGURATION}")];
        let plan = KeyPlan { issuer, jwks_uri: None, discovery, allow_http: false };
        fetch_keys(&self.http, &plan).map(|fetched| fetched.keys.into()).map_err(|no_keys| no_keys.to_string())
    }

    fn ask(&self, token: &str) -> Result<Introspected, IntrospectionError> {
        self.ask_with(None, token)
    }

    fn ask_with(&self, keys: Option<&KeySet>, token: &str) -> Result<Introspected, IntrospectionError> {
        let endpoint = self.endpoint(Endpoint::Introspection).expect("metadata");
        introspect(&self.http, &endpoint, &self.policy.providers[0], keys, &|| self.fetch_keys(), token, now())
    }

    /// What the proxy says of a token: the check asks for the server's answer, gets it, and goes on.
    fn judge(&self, token: &str) -> Result<Vec<String>, Reason> {
        let check = |answers: &dyn KnownAnswers| {
            let known = Knowledge { answers, ..KNOWS_NOTHING };
            check_token(&self.policy, known, &mut TokenCache::new(0), token, TokenUsage::default(), now())
        };
        let Decision::NeedIntrospection(_, question) = check(KNOWS_NOTHING.answers) else {
            panic!("nobody is asked about this token");
        };
        let said = match self.ask(token).expect("an answer") {
            Introspected::Active(claims) => IntrospectionResult::Active(claims),
            Introspected::Inactive => IntrospectionResult::Inactive,
        };
        match check(&Answered(question.id, TokenAnswer { said, asked_at: now() })) {
            Decision::Done(answer) if answer.reason() == Reason::Ok => {
                let token = answer.token.expect("an accepted one");
                Ok(token.aors.iter().map(|aor| aor.as_str().to_owned()).collect())
            }
            Decision::Done(answer) => Err(answer.reason()),
            _ => panic!("the answer is there"),
        }
    }
}

/// The one answer that is known, as the I/O service would have stored it.
struct Answered(TokenId, TokenAnswer);

impl KnownAnswers for Answered {
    fn answer(&self, id: &TokenId) -> Option<TokenAnswer> {
        (*id == self.0).then(|| self.1.clone())
    }

    fn asked(&self) -> Asked {
        Asked::Yes
    }

    fn longest_wait(&self) -> i64 {
        60
    }
}

fn client_refused(result: Result<Introspected, IntrospectionError>) -> String {
    match result {
        Err(IntrospectionError::ClientRefused(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn unavailable(result: Result<Introspected, IntrospectionError>) -> String {
    match result {
        Err(error @ (IntrospectionError::Unavailable(_) | IntrospectionError::Unusable(_))) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

fn alice() -> Result<Vec<String>, Reason> {
    Ok(vec!["sip:alice@example.test".to_owned()])
}

#[test]
fn every_client_authentication_and_both_forms_of_answers() {
    let server = AuthorizationServer::start();
    let token = server.token("alice", "opaque");
    let key = format!(
        "client_id=sip-proxy-jwt;client_key_file={};client_key_id=proxy-key",
        server.client_key_file().display()
    );
    for (line, fetches) in [
        (RS, 0),
        ("client_id=sip-proxy-post;client_secret=proxy-secret;client_auth=client_secret_post", 0),
        (key.as_str(), 0),
        ("client_id=sip-rs-signed;client_secret=rs-secret", 1),
        ("client_id=sip-rs-es256;client_secret=rs-secret", 1),
    ] {
        let proxy = Proxy::new(server.issuer(), line);
        assert_eq!(proxy.judge(&token), alice(), "{line}");
        assert_eq!(proxy.fetches.get(), fetches, "only signed answers need keys: {line}");
        assert_eq!(proxy.ask("made-up-token-of-nobody"), Ok(Introspected::Inactive), "{line}");
        let refused =
            Proxy::new(server.issuer(), &line.replace("-secret", "-guess").replace("sip-proxy-jwt", "sip-proxy-post"));
        let text = client_refused(refused.ask(&token));
        assert!(text.contains("HTTP status 401, invalid_client"), "{text}");
        assert!(!text.contains("guess") && !text.contains(&token), "{text}");
    }
}

#[test]
fn what_a_token_is_good_for() {
    let server = AuthorizationServer::start();
    let proxy = Proxy::new(server.issuer(), RS);
    let token = server.token("alice", "opaque");
    assert_eq!(proxy.judge(&token), alice());
    server.revoke(&token);
    assert_eq!(proxy.judge(&token), Err(Reason::TokenInactive), "revoked");
    let request = |ttl, scope| TokenRequest { resource: "opaque", ttl, scope, ..TokenRequest::default() };
    assert_eq!(proxy.judge(&server.issue(&request(-1, "sip"))), Err(Reason::TokenInactive), "expired");
    // The server keeps no JWT: it says so, and it is no fault of the proxy's client.
    assert_eq!(proxy.judge(&server.token("alice", "rs256")), Err(Reason::TokenInactive));
    let both = Proxy::new(server.issuer(), &format!("tokens=jwt_and_introspection;{RS}"));
    let text = client_refused(both.ask(&server.token("alice", "rs256")));
    assert!(text.contains("unsupported_token_type") && text.contains("tokens = jwt"), "{text}");

    let token = server.issue(&request(300, "openid"));
    let judged = |more: &str| Proxy::new(server.issuer(), &format!("{RS};{more}")).judge(&token);
    assert_eq!(judged("clients=sip-ua"), alice());
    assert_eq!(judged("clients=another"), Err(Reason::ClientNotAllowed));
    assert_eq!(judged("required_scopes=sip"), Err(Reason::InsufficientScope));
    assert_eq!(judged("accepted_issuers=https://other.example"), alice());
    let other = Proxy::new(server.issuer(), RS);
    let mut elsewhere = Proxy::new(server.issuer(), RS);
    elsewhere.policy.providers[0].rules.audience = vec!["another".into()];
    assert_eq!((other.judge(&token), elsewhere.judge(&token)), (alice(), Err(Reason::AudienceMismatch)));
    for (wanted, judged) in [("alice", alice()), ("bob", Err(Reason::ClaimMismatch))] {
        let mut demanding = Proxy::new(server.issuer(), RS);
        demanding.policy.providers[0].rules.required_claims = vec![("sub".into(), vec![wanted.into()])];
        assert_eq!(demanding.judge(&token), judged, "{wanted}");
    }
}

/// A provider over TLS that knows both kinds of clients with certificates.
struct MutualTls {
    authority: Authority,
    self_signed: Certificate,
    server: AuthorizationServer,
}

impl MutualTls {
    fn start() -> MutualTls {
        let authority = Authority::new();
        let self_signed = authority.self_signed();
        let server = AuthorizationServer::start_with(Options {
            tls: Some(authority.good()),
            ca_file: Some(authority.ca_file().to_owned()),
            client_ca_file: Some(authority.ca_file().to_owned()),
            client_cert_file: Some(self_signed.certificate.clone()),
            ..Options::default()
        });
        MutualTls { authority, self_signed, server }
    }

    fn proxy(&self, client: &str, certificate: &Certificate) -> Proxy {
        let (cert, key) = (certificate.certificate.display(), certificate.key.display());
        self.proxy_of(
            self.server.issuer(),
            &format!("client_id={client};client_cert_file={cert};client_key_file={key}"),
        )
    }

    fn proxy_of(&self, issuer: &str, line: &str) -> Proxy {
        let ca = self.authority.ca_file().to_str().expect("our own paths are UTF-8");
        let store = [("store", "/nowhere"), ("store_key", "0123456789abcdef0123456789abcdef")];
        Proxy::with(issuer, line, &[[("ca_file", ca)].as_slice(), &store].concat())
    }
}

#[test]
fn a_certificate_says_who_the_proxy_is() {
    let world = MutualTls::start();
    let good = world.authority.client("sip-proxy-tls");
    let token = world.server.token("alice", "opaque");
    for (client, certificate) in [("sip-proxy-tls", &good), ("sip-proxy-self-signed", &world.self_signed)] {
        let proxy = world.proxy(client, certificate);
        assert_eq!(proxy.judge(&token), alice(), "{client}");

        let scope = "openid sip profile offline_access";
        let login = world.server.login_for_code_of(client, "alice", "opaque", scope);
        let endpoint = proxy.endpoint(Endpoint::Token).expect("metadata");
        let grant = CodeGrant {
            code: login["code"].as_str().expect("a code"),
            code_verifier: login["code_verifier"].as_str(),
            redirect_uri: login["redirect_uri"].as_str(),
            nonce: None,
        };
        let server = TokenServer {
            http: &proxy.http,
            log: &Lines::default(),
            endpoint: &endpoint.address,
            policy: &proxy.policy,
            provider: 0,
            keys: None,
            fetch_keys: &|| proxy.fetch_keys(),
            resolve: &|which| proxy.endpoints.resolve(&proxy.http, &proxy.policy, 0, which, now()),
            now: &now,
        };
        let granted = exchange(&server, &grant).expect(client);
        assert_eq!(granted.identity.aors, ["sip:alice@example.test"], "{client}");
        let old = granted.refresh_token.expect("offline_access").0.clone();
        assert!(
            refresh(&proxy.http, &Lines::default(), &endpoint.address, &proxy.policy, 0, &old, now()).is_ok(),
            "{client}"
        );
    }
    let other = world.authority.client("somebody-else");
    let stranger = Authority::new();
    let unknown = stranger.client("sip-proxy-tls");
    for (client, certificate) in [
        ("sip-proxy-tls", &other),
        ("sip-proxy-tls", &unknown),
        ("sip-proxy-tls", &world.self_signed),
        ("sip-proxy-self-signed", &good),
    ] {
        let text = client_refused(world.proxy(client, certificate).ask(&token));
        assert!(text.contains("invalid_client"), "{client}: {text}");
    }
}

#[test]
fn the_endpoint_for_certificates_goes_first() {
    let world = MutualTls::start();
    let certificate = world.authority.client("sip-proxy-tls");
    let token = world.server.token("alice", "opaque");
    let front = ScriptedServer::start(key_set(&[]));
    let mut metadata = discovery(&front.issuer());
    metadata["introspection_endpoint"] = json!(front.url(INTROSPECTION));
    let alias = format!("{}/token/introspection", world.server.issuer());
    metadata["mtls_endpoint_aliases"] = json!({ "introspection_endpoint": alias });
    front.set(OPENID_CONFIGURATION, Answer::Json(metadata.clone()));
    let (cert, key) = (certificate.certificate.display(), certificate.key.display());
    let line = format!("client_id=sip-proxy-tls;client_cert_file={cert};client_key_file={key}");

    let proxy = world.proxy_of(&front.issuer(), &line);
    let address = |proxy: &Proxy| proxy.endpoint(Endpoint::Introspection).map(|found| found.address);
    assert_eq!(address(&proxy), Ok(alias));
    assert!(matches!(proxy.ask(&token), Ok(Introspected::Active(_))));
    let text = proxy.endpoint(Endpoint::Token).unwrap_err();
    assert!(text.contains("is not https"), "no alias, and no TLS where it would be needed: {text}");
    let secret = world.proxy_of(&front.issuer(), "client_id=proxy;client_secret=hush");
    assert_eq!(address(&secret), Ok(front.url(INTROSPECTION)), "of no use without a certificate");

    metadata["mtls_endpoint_aliases"] = json!({ "introspection_endpoint": "http://as.example/i" });
    front.set(OPENID_CONFIGURATION, Answer::Json(metadata));
    let text = world.proxy_of(&front.issuer(), &line).endpoint(Endpoint::Introspection).unwrap_err();
    assert!(text.contains("not protected"), "{text}");
}

/// A server that answers as told, and a proxy that trusts it.
struct Bench {
    server: ScriptedServer,
    key: TestKey,
    proxy: Proxy,
}

const TOKEN: &str = "opaque-token-of-alice";

impl Bench {
    fn new(client: &str) -> Bench {
        Bench::with(client, "10")
    }

    /// For servers that do not answer.
    fn impatient(client: &str) -> Bench {
        Bench::with(client, "2")
    }

    fn with(client: &str, http_timeout: &str) -> Bench {
        let key = TestKey::p256("k1");
        let server = ScriptedServer::start(key_set(&[key.jwk()]));
        let mut metadata = discovery(&server.issuer());
        metadata["introspection_endpoint"] = json!(server.url(INTROSPECTION));
        server.set(OPENID_CONFIGURATION, Answer::Json(metadata));
        let client = format!("client_id=proxy;{client}");
        let proxy = Proxy::with(&server.issuer(), &client, &[("http_timeout", http_timeout)]);
        Bench { server, key, proxy }
    }

    fn answer(&self, answer: Answer) -> Result<Introspected, IntrospectionError> {
        self.server.set(INTROSPECTION, answer);
        self.proxy.ask(TOKEN)
    }

    fn json(&self, answer: Value) -> Result<Introspected, IntrospectionError> {
        self.answer(Answer::Json(answer))
    }

    fn typed(&self, content_type: &str, body: &str) -> Result<Introspected, IntrospectionError> {
        let fields = vec![("Content-Type", content_type.to_owned())];
        self.answer(Answer::Full(200, fields, body.as_bytes().to_vec()))
    }

    fn signed_claims(&self) -> Value {
        json!({"iss": self.server.issuer(), "aud": "proxy", "iat": now(),
            "token_introspection": {"active": true, "sub": "alice", "n": [1, 2.5, "ü"]}})
    }

    fn sign(&self, key: &TestKey, header: Value, claims: &Value) -> String {
        let mut full = json!({"alg": "ES256", "kid": "k1", "typ": "token-introspection+jwt"});
        for (name, value) in header.as_object().expect("members") {
            full[name] = value.clone();
        }
        key.jws("ES256", &full, claims)
    }
}

#[test]
fn what_is_sent() {
    let bench = Bench::new("client_secret=hush");
    let body = r#"{"active":true, "sub":"alice"}"#;
    assert_eq!(bench.typed("application/json; charset=utf-8", body), Ok(Introspected::Active(body.into())));
    let received = bench.server.last(INTROSPECTION).expect("a request");
    assert!(received.head.starts_with("POST "), "{}", received.head);
    assert_eq!(received.header("accept"), Some("application/json"));
    assert_eq!(received.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(received.header("authorization"), Some("Basic cHJveHk6aHVzaA=="));
    let pairs = form::parse(received.body.as_bytes()).expect("a form");
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(pairs, [("token", TOKEN), ("token_type_hint", "access_token")]);
    let signed = Bench::new("client_secret=hush;introspection_signed=yes");
    assert!(signed.json(json!({"active": false})) == Ok(Introspected::Inactive));
    let accept = signed.server.last(INTROSPECTION).and_then(|last| last.header("accept").map(str::to_owned));
    assert_eq!(accept.as_deref(), Some("application/token-introspection+jwt, application/json;q=0.5"));
    let configured = Bench::new("client_secret=hush;client_auth=client_secret_post");
    assert!(configured.json(json!({"active": false})) == Ok(Introspected::Inactive));
    let body = configured.server.last(INTROSPECTION).expect("a request").body;
    assert!(body.ends_with("&client_id=proxy&client_secret=hush"), "{body}");
}

#[test]
fn active_is_never_guessed() {
    let bench = Bench::new("client_secret=hush");
    assert_eq!(bench.json(json!({"active": false, "sub": "alice"})), Ok(Introspected::Inactive));
    for answer in [
        json!({}),
        json!({"sub": "alice"}),
        json!([true]),
        json!(true),
        json!("active"),
        json!(null),
        json!({"active": null, "sub": "alice"}),
    ] {
        let text = unavailable(bench.json(answer));
        assert!(text.contains("active") || text.contains("object"), "{text}");
    }
    for active in [json!("true"), json!(1), json!([true]), json!({})] {
        let text = unavailable(bench.json(json!({"active": active, "sub": "alice"})));
        assert!(text.contains("'active' is neither true nor false"), "{text}");
    }
    unavailable(bench.typed("application/json", r#"{"active":true,"active":false}"#));
}

#[test]
fn an_answer_may_have_as_many_members_as_the_user_has_roles() {
    let bench = Bench::new("client_secret=hush");
    for roles in [256, 257, 300, 20_000] {
        let names = (0..roles).map(|number| (format!("role-{number}"), json!(true)));
        let answer = json!({"active": true, "sub": "alice", "roles": names.collect::<serde_json::Map<_, _>>()});
        let said = bench.json(answer);
        assert!(matches!(said, Ok(Introspected::Active(_))), "{roles} roles: {said:?}");
    }
}

#[test]
fn the_content_type_tells_signed_answers_only() {
    let bench = Bench::new("client_secret=hush");
    for content_type in ["", "text/json", "text/html", "application/json, application/json", "application/jwt"] {
        for (mark, active) in [("", true), ("\u{feff}", true), ("", false)] {
            let told = bench.typed(content_type, &format!("{mark}{{\"active\":{active}}}"));
            assert_eq!(matches!(told, Ok(Introspected::Active(_))), active, "{content_type}: {told:?}");
        }
    }
    unavailable(bench.typed("application/token-introspection+jwt", r#"{"active":true}"#));
}

#[test]
fn an_outage_says_nothing_about_the_token() {
    let mut bench = Bench::impatient("client_secret=hush");
    let good = json!({"active": true});
    for answer in [
        Answer::Hang,
        Answer::Garbage,
        Answer::Html,
        Answer::Empty,
        Answer::Reset,
        Answer::NoKeys,
        Answer::Truncated(good.clone()),
        Answer::SlowDrip(good.clone(), Duration::from_millis(200)),
        Answer::Huge(1024 * 1024 + 1),
        Answer::Status(204),
        Answer::Status(408),
        Answer::Status(429),
        Answer::Status(500),
        Answer::Status(502),
        Answer::Status(503),
        Answer::Full(500, vec![], br#"{"active":false}"#.to_vec()),
        Answer::Full(400, vec![], br#"{"error":"temporarily_unavailable"}"#.to_vec()),
    ] {
        let name = format!("{answer:?}").chars().take(60).collect::<String>();
        let text = unavailable(bench.answer(answer));
        assert!(text.starts_with(&bench.server.url(INTROSPECTION)), "{name}: {text}");
    }
    for (content_type, body) in [
        ("text/html", "<p>active</p>"),
        ("application/json", "eyJhbGciOiJub25lIn0.e30."),
        ("application/json", r#"{"active":true} "#.repeat(2).as_str()),
    ] {
        let text = unavailable(bench.typed(content_type, body));
        assert!(text.contains(" answer "), "{content_type}: {text}");
    }
    let elsewhere = bench.server.url("/elsewhere");
    let Err(IntrospectionError::Unexplained(text)) = bench.answer(Answer::Redirect(elsewhere)) else {
        panic!("a redirect is no answer")
    };
    assert!(text.contains("redirects are not followed, write the final address in introspection_endpoint"), "{text}");
    assert_eq!(bench.server.count("/elsewhere"), 0);
    assert!(bench.json(good).is_ok(), "and all is well again");
    bench.server.stop();
    unavailable(bench.proxy.ask(TOKEN));
    bench.server.restart();
    assert!(bench.proxy.ask(TOKEN).is_ok());
}

/// Some servers refuse to answer about a token that is not good instead of calling it inactive.
#[test]
fn a_dead_token_that_is_refused_is_not_active() {
    let bench = Bench::new("client_secret=hush");
    for (status, word) in [
        (400, "invalid_token"),
        (401, "invalid_token"),
        (200, "invalid_token"),
        (400, "expired_token"),
        (404, "token_not_found"),
        (403, "invalid_grant"),
    ] {
        let body = json!({ "error": word }).to_string().into_bytes();
        assert_eq!(bench.answer(Answer::Full(status, vec![], body)), Ok(Introspected::Inactive), "{status} {word}");
    }
}

#[test]
fn a_refused_client_is_never_a_bad_token() {
    let bench = Bench::new("client_secret=hush-hush");
    for (status, body) in [
        (401, r#"{"error":"invalid_client"}"#),
        (400, r#"{"error":"invalid_client"}"#),
        (200, r#"{"error":"invalid_client"}"#),
        (500, r#"{"error":"invalid_client"}"#),
        (401, r#"{"active":false}"#),
        (401, ""),
        (401, "<html>"),
        (401, r#"{"error":"Unauthorized","message":"Bad credentials"}"#),
        (401, r#"{"ErrorCode":"invalid_client"}"#),
    ] {
        client_refused(bench.answer(Answer::Full(status, vec![], body.into())));
    }
    let latin =
        b"{\"error\":\"invalid_client\",\"error_description\":\"falsches Geheimnis f\xfcr diesen Client\"}".to_vec();
    client_refused(bench.answer(Answer::Full(400, vec![], latin)));
    // No word at all: a proxy in front of the server may say the same of every token.
    for (status, body) in [(403, r#"{"active":false}"#), (403, "<html>"), (404, ""), (302, "")] {
        let answer = bench.answer(Answer::Full(status, vec![], body.into()));
        assert!(matches!(answer, Err(IntrospectionError::Unexplained(_))), "{answer:?}");
    }
    // A word that is neither about the client nor about the token: the token's, where the client is served otherwise.
    for (status, body) in [(400, r#"{"error":"invalid_request"}"#), (403, r#"{"error":"access_denied"}"#)] {
        let answer = bench.answer(Answer::Full(status, vec![], body.into()));
        assert!(matches!(answer, Err(IntrospectionError::RequestRefused(_))), "{answer:?}");
    }
    let echo = json!({"error": "invalid_client", "error_description": format!("{TOKEN} of proxy:hush-hush")});
    let text = client_refused(bench.answer(Answer::Full(401, vec![], echo.to_string().into_bytes())));
    assert!(text.ends_with("HTTP status 401, invalid_client: … of proxy:…"), "{text}");
}

#[test]
fn a_signed_answer_must_be_signed_by_the_provider_for_this_client() {
    let bench = Bench::new("client_secret=hush;algorithms=ES256");
    let claims = bench.signed_claims();
    let signed = |token: &str| bench.typed(SIGNED, token);
    let good = bench.sign(&bench.key, json!({}), &claims);
    let Ok(Introspected::Active(text)) = signed(&good) else { panic!("a good answer") };
    assert_eq!(serde_json::from_slice::<Value>(&text).ok(), Some(claims["token_introspection"].clone()));
    for content_type in ["application/jwt", "application/json", "", &format!("{SIGNED}, {SIGNED}")] {
        for body in [good.clone(), format!("{good}\r\n"), format!("\u{feff}{good}")] {
            let told = bench.typed(content_type, &body);
            assert!(matches!(&told, Ok(Introspected::Active(said)) if *said == text), "{content_type}: {told:?}");
        }
        let stranger = TestKey::p256("k1");
        unavailable(bench.typed(content_type, &bench.sign(&stranger, json!({}), &claims)));
    }
    let mut inactive = claims.clone();
    inactive["token_introspection"] = json!({"active": false});
    assert_eq!(signed(&bench.sign(&bench.key, json!({}), &inactive)), Ok(Introspected::Inactive));

    let stranger = TestKey::p256("k1");
    let text = unavailable(signed(&bench.sign(&stranger, json!({}), &claims)));
    assert!(text.contains("signature_invalid"), "{text}");
    let text = unavailable(signed(&bench.sign(&stranger, json!({"kid": "k2"}), &claims)));
    assert!(text.contains("key_unknown"), "{text}");
    let none = |header: &str| format!("{}.{}.", encode(header), encode(claims.to_string()));
    let text = unavailable(signed(&none(r#"{"alg":"none","typ":"token-introspection+jwt"}"#)));
    assert!(text.contains("algorithm_not_allowed"), "{text}");
    let rsa = TestKey::rsa("r1").jws("RS256", &json!({"alg": "RS256", "typ": "token-introspection+jwt"}), &claims);
    assert!(unavailable(signed(&rsa)).contains("algorithm_not_allowed"));
    for typ in [json!("JWT"), json!("at+jwt"), json!("")] {
        let text = unavailable(signed(&bench.sign(&bench.key, json!({ "typ": typ }), &claims)));
        assert!(text.contains("typ"), "an access token is no answer: {text}");
    }
    for (name, value, words) in [
        ("iss", json!("https://evil.example"), "'iss'"),
        ("iss", Value::Null, "'iss'"),
        ("aud", json!("another"), "'aud'"),
        ("aud", Value::Null, "'aud'"),
        ("iat", json!(now() + 3600), "'iat'"),
        ("iat", Value::Null, "'iat'"),
        ("token_introspection", json!(true), "token_introspection"),
        ("token_introspection", json!({}), "no 'active'"),
        ("token_introspection", json!({"active": "true"}), "'active' is neither"),
    ] {
        let mut other = claims.clone();
        other[name] = value;
        let text = unavailable(signed(&bench.sign(&bench.key, json!({}), &other)));
        assert!(text.contains(words), "{name}: {text}");
    }
    for body in [r#"{"active":true}"#, "", "a.b.c", "a.b.c.d.e", "\u{fc}"] {
        unavailable(signed(body));
    }
    assert!(unavailable(signed("a.b.c.d.e")).contains("encrypted"));
    assert!(signed(&good).is_ok(), "and all is well again");
}

#[test]
fn keys_are_fetched_for_signed_answers_only_and_once() {
    let bench = Bench::new("client_secret=hush");
    assert!(bench.json(json!({"active": true})).is_ok());
    assert_eq!((bench.proxy.fetches.get(), bench.server.count(JWKS)), (0, 0));
    let known = |key: &TestKey| {
        KeySet::from_jwks(key_set(&[key.jwk()]).to_string().as_bytes(), Origin::Fetched).expect("a key")
    };
    let good = bench.sign(&bench.key, json!({}), &bench.signed_claims());
    bench.server.set(INTROSPECTION, Answer::Full(200, vec![("Content-Type", SIGNED.into())], good.into_bytes()));
    assert!(bench.proxy.ask_with(Some(&known(&bench.key)), TOKEN).is_ok());
    assert_eq!(bench.proxy.fetches.get(), 0, "they are known");
    assert!(bench.proxy.ask_with(Some(&known(&TestKey::p256("k0"))), TOKEN).is_ok());
    assert_eq!(bench.proxy.fetches.get(), 1, "they have changed");
    bench.server.set_keys(key_set(&[TestKey::p256("k0").jwk()]));
    assert!(unavailable(bench.proxy.ask(TOKEN)).contains("key_unknown"));
    assert_eq!(bench.proxy.fetches.get(), 2);
    bench.server.set(JWKS, Answer::Status(500));
    assert!(unavailable(bench.proxy.ask(TOKEN)).contains("/jwks: HTTP status 500"), "the true reason");
    bench.server.set_keys(json!({"keys": [{"kty": "RSA", "kid": "r1", "e": "AQAB"}]}));
    let text = unavailable(bench.proxy.ask(TOKEN));
    assert!(text.contains("key 'r1' is not used: n is missing"), "{text}");
}

#[test]
fn the_endpoint_is_found_or_said_to_be_missing() {
    let bench = Bench::new("client_secret=hush");
    let found = bench.server.url(INTROSPECTION);
    assert_eq!(bench.proxy.endpoint(Endpoint::Introspection).map(|found| found.address), Ok(found.clone()));
    assert_eq!(bench.proxy.endpoint(Endpoint::Introspection).map(|found| found.address), Ok(found));
    assert_eq!(bench.server.count(OPENID_CONFIGURATION), 1, "and remembered");
    bench.server.set(OPENID_CONFIGURATION, Answer::Json(discovery(&bench.server.issuer())));
    let fresh = Proxy::new(&bench.server.issuer(), "client_id=proxy;client_secret=hush");
    let text = fresh.endpoint(Endpoint::Introspection).unwrap_err();
    assert!(
        text.contains("no introspection_endpoint, ") && text.ends_with("; set introspection_endpoint yourself"),
        "{text}"
    );
    let url = bench.server.url("/here");
    let line = format!("client_id=proxy;client_secret=hush;introspection_endpoint={url}");
    let configured = Proxy::new(&bench.server.issuer(), &line);
    assert_eq!(configured.endpoint(Endpoint::Introspection).map(|found| found.address), Ok(url));
    let jwt = Proxy::with(
        &bench.server.issuer(),
        "tokens=jwt;client_id=proxy",
        &[("store", "/nowhere"), ("store_key", "0123456789abcdef0123456789abcdef")],
    );
    assert!(jwt.endpoint(Endpoint::Introspection).unwrap_err().contains("no introspection_endpoint"));
}

#[test]
fn connections_are_used_again_and_may_end_at_any_time() {
    const ANSWER: &str =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"active\":true}";
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/i", listener.local_addr().expect("an address"));
    let connections = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
            let mut stream = stream.expect("a connection");
            // Three answers, then the connection ends without a word.
            for _ in 0..3 {
                if support::scripted_server::read_request(&stream).head.is_empty() {
                    break;
                }
                stream.write_all(ANSWER.as_bytes()).expect("someone who reads");
            }
        }
    });
    let line = format!("client_id=proxy;client_secret=hush;introspection_endpoint={url}");
    let proxy = Proxy::with("http://127.0.0.1:1", &line, &[("http_timeout", "10")]);
    for i in 1..=3 {
        assert_eq!(proxy.ask(TOKEN), Ok(Introspected::Active(br#"{"active":true}"#.to_vec())));
        assert_eq!(connections.load(Ordering::SeqCst), 1, "request {i}");
    }
    for _ in 0..6 {
        assert!(matches!(proxy.ask(TOKEN), Ok(Introspected::Active(_))));
    }
    assert!(connections.load(Ordering::SeqCst) >= 3);
}

/// RFC 9110 section 15.5.9: the server says that it waits no longer while the next request is on its way.
#[test]
fn a_kept_connection_that_ends_with_408_costs_nothing() {
    const ANSWER: &str =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"active\":true}";
    const GIVEN_UP: &str = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/i", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            for answer in [ANSWER, GIVEN_UP] {
                if support::scripted_server::read_request(&stream).head.is_empty() {
                    break;
                }
                stream.write_all(answer.as_bytes()).expect("someone who reads");
            }
        }
    });
    let line = format!("client_id=proxy;client_secret=hush;introspection_endpoint={url}");
    let proxy = Proxy::with("http://127.0.0.1:1", &line, &[("http_timeout", "10")]);
    for request in 1..=6 {
        let said = proxy.ask(TOKEN);
        assert!(matches!(said, Ok(Introspected::Active(_))), "request {request}: {said:?}");
    }
}
