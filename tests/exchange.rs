// SPDX-License-Identifier: MIT OR Apache-2.0

//! Exchanging codes and refresh tokens: against the certified provider, and against servers that are broken or odd.

#[path = "support/mod.rs"]
mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sipoauth::io_process::http::HttpClient;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::Source;
use sipoauth_core::jose::key_set::{KeySet, Origin};
use sipoauth_core::oauth::endpoints::{Endpoint, Endpoints};
use sipoauth_core::oauth::exchange::{CodeGrant, Granted, Refreshed, TokenError, TokenServer, exchange, refresh};
use sipoauth_core::oauth::kept_keys::Refetched;
use sipoauth_core::oauth::key_fetch::{KeyPlan, fetch_keys};
use sipoauth_core::oauth::metadata::MetadataError;
use sipoauth_core::reason::Reason;
use sipoauth_core::text::form;
use sipoauth_core::text::secret::SecretText;
use std::cell::Cell;
use support::authorization_server::{AuthorizationServer, Options};
use support::encryption::Recipient;
use support::log_lines::Lines;
use support::scripted_server::{
    Answer, OAUTH_METADATA, OPENID_CONFIGURATION, Received, ScriptedServer, discovery, key_set,
};
use support::temporary::Directory;
use support::token::{TestKey, claims, encode, now, unverified_claims};

const SCOPE: &str = "openid sip profile offline_access";
const AUDIENCE: &str = "https://sip.example.test/rs256";
const TOKEN: &str = "/token";

/// A proxy with one provider.
struct Proxy {
    policy: Policy,
    http: HttpClient,
    endpoints: Endpoints,
}

impl Proxy {
    fn new(issuer: &str, client: &str) -> Proxy {
        Proxy::with(issuer, client, &[])
    }

    fn with(issuer: &str, client: &str, globals: &[(&str, &str)]) -> Proxy {
        let mut source = Source::default();
        let store = [("store", "/nowhere"), ("store_key", "0123456789abcdef0123456789abcdef")];
        for (key, value) in store.iter().chain(globals) {
            source.set(key, value).expect("a good setting");
        }
        let line = format!("name=as;issuer={issuer};audience={AUDIENCE};aor={{sip}};{client}");
        source.add_provider(&line).expect("a good line");
        let policy = Policy::new(&source.load().expect("no files but ours")).expect("a good policy");
        let http = HttpClient::new(&policy);
        Proxy { policy, http, endpoints: Endpoints::new() }
    }

    fn endpoint(&self) -> Result<String, String> {
        self.endpoints
            .resolve(&self.http, &self.policy, 0, Endpoint::Token, now())
            .map(|found| found.address)
            .map_err(|e| e.to_string())
    }

    fn keys(&self) -> Result<Refetched, String> {
        let issuer = self.policy.providers[0].issuer.clone();
        let discovery = vec![format!("{issuer}{OPENID_CONFIGURATION}")];
        let plan = KeyPlan { issuer, jwks_uri: None, discovery, allow_http: false };
        fetch_keys(&self.http, &plan).map(|fetched| fetched.keys.into()).map_err(|no_keys| no_keys.to_string())
    }

    fn exchange(&self, grant: &CodeGrant) -> Result<Granted, TokenError> {
        let endpoint = self.endpoint().expect("metadata");
        self.exchange_at(&endpoint, None, &|| self.keys(), grant)
    }

    /// With these keys, and a way to fetch others.
    fn exchange_at(
        &self,
        endpoint: &str,
        keys: Option<&KeySet>,
        fetch_keys: &dyn Fn() -> Result<Refetched, String>,
        grant: &CodeGrant,
    ) -> Result<Granted, TokenError> {
        let (http, policy) = (&self.http, &self.policy);
        let resolve = &|which| self.endpoints.resolve(http, policy, 0, which, now());
        let log = &Lines::default();
        exchange(&TokenServer { http, log, endpoint, policy, provider: 0, keys, fetch_keys, resolve, now: &now }, grant)
    }

    fn refresh(&self, token: &SecretText) -> Result<Refreshed, TokenError> {
        let endpoint = self.endpoint().expect("metadata");
        refresh(&self.http, &Lines::default(), &endpoint, &self.policy, 0, &token.0, now())
    }
}

fn grant(login: &Value) -> CodeGrant<'_> {
    CodeGrant {
        code: login["code"].as_str().expect("a code"),
        code_verifier: login["code_verifier"].as_str(),
        redirect_uri: login["redirect_uri"].as_str(),
        nonce: None,
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, TokenError>) -> String {
    match result {
        Err(TokenError::Refused(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn nobody<T: std::fmt::Debug>(result: Result<T, TokenError>) -> String {
    match result {
        Err(TokenError::Unfit(Reason::IdentityMissing, text)) => text,
        other => panic!("{other:?}"),
    }
}

fn client_refused<T: std::fmt::Debug>(result: Result<T, TokenError>) -> String {
    match result {
        Err(TokenError::ClientRefused(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_client_authentication() {
    let server = AuthorizationServer::start();
    let key = server.client_key_file();
    let key = format!("client_id=sip-proxy-jwt;client_key_file={};client_key_id=proxy-key", key.display());
    for (client, line) in [
        ("sip-proxy", "client_id=sip-proxy;client_secret=proxy-secret"),
        ("sip-proxy-post", "client_id=sip-proxy-post;client_secret=proxy-secret;client_auth=client_secret_post"),
        ("sip-proxy-jwt", key.as_str()),
        ("sip-ua", "client_id=sip-ua"),
    ] {
        let login = server.login_for_code_of(client, "alice", "rs256", SCOPE);
        let granted = Proxy::new(server.issuer(), line).exchange(&grant(&login)).expect(client);
        assert_eq!(granted.identity.aors, ["sip:alice@example.test"], "{client}");
        assert_eq!((granted.identity.subject.as_str(), granted.identity.client_id.as_str()), ("alice", client));
        assert!(granted.identity.scope.split(' ').any(|scope| scope == "sip"), "{}", granted.identity.scope);
        assert!(granted.id_token.is_some() && granted.refresh_token.is_some(), "{client}");
        assert!((200..=300).contains(&(granted.expires_at - now())), "{}", granted.expires_at);
        assert!(!format!("{granted:?}").contains("eyJ"), "{granted:?}");
    }
    for line in [
        "client_id=sip-proxy;client_secret=wrong-secret",
        "client_id=sip-proxy-post;client_secret=wrong-secret;client_auth=client_secret_post",
        "client_id=nobody;client_secret=wrong-secret",
    ] {
        let login = server.login_for_code_of("sip-proxy", "alice", "rs256", SCOPE);
        let text = client_refused(Proxy::new(server.issuer(), line).exchange(&grant(&login)));
        assert!(text.contains("HTTP status 401, invalid_client") && !text.contains("wrong-secret"), "{text}");
    }
}

#[test]
fn a_code_is_good_once_and_for_its_owner_only() {
    let server = AuthorizationServer::start();
    let proxy = Proxy::new(server.issuer(), "client_id=sip-proxy;client_secret=proxy-secret");
    let login = || server.login_for_code_of("sip-proxy", "bob", "opaque", SCOPE);

    let first = login();
    let granted = proxy.exchange(&grant(&first)).expect("a good code");
    assert_eq!(granted.identity.aors, ["sip:bob@example.test"], "an opaque access token: the ID token tells");
    let text = refused(proxy.exchange(&grant(&first)));
    assert!(text.contains("invalid_grant") && !text.contains(grant(&first).code), "{text}");

    let second = login();
    refused(proxy.exchange(&CodeGrant { code_verifier: grant(&first).code_verifier, ..grant(&second) }));
    let third = login();
    refused(proxy.exchange(&CodeGrant { code_verifier: None, ..grant(&third) }));
    let fourth = login();
    refused(proxy.exchange(&CodeGrant { redirect_uri: Some("com.example.sip:/cb"), ..grant(&fourth) }));
    refused(proxy.exchange(&CodeGrant { code: "made-up-code-of-nobody", ..grant(&fourth) }));
    let other = Proxy::new(server.issuer(), "client_id=sip-desk;client_secret=desk-secret");
    refused(other.exchange(&grant(&login())));

    let configured = "client_id=sip-proxy;client_secret=proxy-secret;redirect_uri=http://127.0.0.1/cb";
    let configured = Proxy::new(server.issuer(), configured);
    assert!(configured.exchange(&CodeGrant { redirect_uri: None, ..grant(&login()) }).is_ok());
    assert_eq!(server.stats()["/token authorization_code"], 8);
    assert_eq!(server.stats()["/token authorization_code invalid_grant"], 6);
}

#[test]
fn codes_of_desk_phones_are_short() {
    let server = AuthorizationServer::start();
    let login = server.login_for_code_of("sip-desk", "carol", "rs256", SCOPE);
    let code = grant(&login).code;
    assert!(code.len() == 8 && code.bytes().all(|b| b.is_ascii_digit()), "{code}");
    let proxy = Proxy::new(server.issuer(), "client_id=sip-desk;client_secret=desk-secret");
    assert_eq!(proxy.exchange(&grant(&login)).expect("a good code").identity.subject, "carol");
}

#[test]
fn refresh_tokens_rotate() {
    let mut server = AuthorizationServer::start_with(Options { access_token_ttl: Some(3), ..Options::default() });
    let proxy = Proxy::new(server.issuer(), "client_id=sip-proxy;client_secret=proxy-secret;required_scopes=sip");
    let login = server.login_for_code_of("sip-proxy", "alice", "rs256", SCOPE);
    let granted = proxy.exchange(&grant(&login)).expect("a good code");
    assert!(granted.expires_at <= now() + 3, "the short lifetime of this server");
    let old = granted.refresh_token.expect("offline_access");
    let refreshed = proxy.refresh(&old).expect("a good refresh token");
    let new = refreshed.refresh_token.expect("a rotated one");
    assert_ne!(old, new);
    assert_ne!(refreshed.access_token, granted.access_token);
    assert_eq!(unverified_claims(&refreshed.access_token.0)["sub"], "alice");
    assert!(refreshed.scope.expect("scopes").contains("sip") && refreshed.expires_at > now());

    let text = refused(proxy.refresh(&old));
    assert!(!text.contains(&old.0), "{text}");
    refused(proxy.refresh(&new));
    let stats = server.stats();
    assert_eq!((stats["/token refresh_token"], stats["/token refresh_token invalid_grant"]), (3, 2));
    server.stop();
    assert!(matches!(proxy.refresh(&new), Err(TokenError::Unavailable(_))));
}

/// A server that answers as told, and a proxy that trusts it.
struct Bench {
    server: ScriptedServer,
    key: TestKey,
    proxy: Proxy,
}

const CODE: CodeGrant<'static> =
    CodeGrant { code: "a-code-of-alice", code_verifier: None, redirect_uri: None, nonce: None };

impl Bench {
    fn new(client: &str) -> Bench {
        Bench::with(client, &[("http_timeout", "10")])
    }

    /// For servers that do not answer.
    fn impatient(client: &str) -> Bench {
        Bench::with(client, &[("http_timeout", "2")])
    }

    fn with(client: &str, globals: &[(&str, &str)]) -> Bench {
        let key = TestKey::p256("k1");
        let server = ScriptedServer::start(key_set(&[key.jwk()]));
        let client = format!("client_id=proxy;{client}");
        let proxy = Proxy::with(&server.issuer(), &client, globals);
        Bench { server, key, proxy }
    }

    fn id_claims(&self) -> Value {
        let now = now();
        json!({"iss": self.server.issuer(), "sub": "alice", "aud": "proxy", "iat": now, "exp": now + 60,
            "sip": "sip:alice@example.test"})
    }

    fn sign(&self, claims: &Value) -> String {
        self.key.jws("ES256", &json!({"alg": "ES256", "kid": "k1"}), claims)
    }

    /// The tokens of alice, with these members instead.
    fn tokens(&self, members: Value) -> Value {
        let mut tokens = json!({"access_token": "opaque", "token_type": "Bearer", "expires_in": 60,
            "id_token": self.sign(&self.id_claims())});
        for (name, value) in members.as_object().expect("members") {
            tokens[name] = value.clone();
        }
        tokens
    }

    fn exchange(&self, members: Value) -> Result<Granted, TokenError> {
        self.answer(Answer::Json(self.tokens(members)))
    }

    fn answer(&self, answer: Answer) -> Result<Granted, TokenError> {
        self.server.set(TOKEN, answer);
        self.proxy.exchange(&CODE)
    }

    /// The outcome when one claim of the ID token is another.
    fn with_claim(&self, name: &str, value: Value) -> Result<Granted, TokenError> {
        let mut claims = self.id_claims();
        claims[name] = value;
        self.exchange(json!({"id_token": self.sign(&claims)}))
    }

    fn received(&self) -> (Received, Vec<(String, String)>) {
        let received = self.server.last(TOKEN).expect("a request");
        let pairs = form::parse(received.body.as_bytes()).expect("a form");
        let pairs = pairs.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        (received, pairs)
    }
}

fn denied(result: Result<Granted, TokenError>) -> Reason {
    match result {
        Err(TokenError::Denied(reason) | TokenError::Unfit(reason, _)) => reason,
        other => panic!("{other:?}"),
    }
}

/// The reason alone does not say which claim of which token the server has to mend.
#[test]
fn the_claim_and_its_token_are_named() {
    let bench = Bench::new("client_secret=hush");
    for (name, value, words) in [
        ("exp", json!("9999999999"), "exp of the ID token is a string"),
        ("aud", json!({"proxy": true}), "aud of the ID token is an object"),
        ("sub", json!(""), "sub of the ID token is missing"),
        ("iat", json!(null), "iat of the ID token is missing"),
        ("nbf", json!(true), "nbf of the ID token is a boolean"),
    ] {
        match bench.with_claim(name, value) {
            Err(TokenError::Unfit(_, text)) => assert_eq!(text, words),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn what_is_sent() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let basic = Bench::new("client_secret=s&cret:w rd");
    let full = CodeGrant { code: "c+d/e", code_verifier: Some("v"), redirect_uri: Some("app:/cb?x=1&y"), nonce: None };
    basic.server.set(TOKEN, Answer::Json(basic.tokens(json!({}))));
    basic.proxy.exchange(&full).expect("tokens");
    let (received, pairs) = basic.received();
    assert_eq!(
        received.header("authorization"),
        Some(format!("Basic {}", STANDARD.encode("proxy:s%26cret%3Aw%20rd")).as_str())
    );
    assert_eq!(received.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(received.header("accept"), Some("application/json"));
    assert_eq!(received.header("connection"), Some("close"));
    let code = [pair("grant_type", "authorization_code"), pair("code", "c+d/e")];
    let rest = [pair("redirect_uri", "app:/cb?x=1&y"), pair("code_verifier", "v")];
    assert_eq!(pairs, [code.as_slice(), &rest].concat());

    let public = Bench::new("redirect_uri=https://phone.example/cb");
    public.exchange(json!({})).expect("tokens");
    let (received, pairs) = public.received();
    assert_eq!(received.header("authorization"), None);
    assert_eq!(pairs[2..], [pair("redirect_uri", "https://phone.example/cb"), pair("client_id", "proxy")]);

    let post = Bench::new("client_secret=hush;client_auth=client_secret_post");
    post.server.set(TOKEN, Answer::Json(post.tokens(json!({}))));
    post.proxy.refresh(&SecretText("r".into())).expect("tokens");
    let refresh = [pair("grant_type", "refresh_token"), pair("refresh_token", "r")];
    let client = [pair("client_id", "proxy"), pair("client_secret", "hush")];
    assert_eq!(post.received().1, [refresh.as_slice(), &client].concat());
}

#[test]
fn servers_that_fail() {
    let bench = Bench::impatient("client_secret=hush");
    let tokens = bench.tokens(json!({}));
    let in_doubt = |answer: Answer| {
        let name = format!("{answer:?}").chars().take(60).collect::<String>();
        let result = bench.answer(answer);
        assert!(matches!(result, Err(TokenError::InDoubt(_))), "{name}: {result:?}");
    };
    in_doubt(Answer::Hang);
    in_doubt(Answer::Garbage);
    in_doubt(Answer::Html);
    in_doubt(Answer::Empty);
    in_doubt(Answer::Truncated(tokens.clone()));
    in_doubt(Answer::Huge(1024 * 1024 + 1));
    in_doubt(Answer::Status(204));
    in_doubt(Answer::SlowDrip(tokens, std::time::Duration::from_millis(50)));
    let unavailable = |status| {
        let result = bench.answer(Answer::Status(status));
        assert!(
            matches!(&result, Err(TokenError::Unavailable(trouble)) if trouble.why.contains("HTTP status")),
            "{result:?}"
        );
    };
    [429, 503].into_iter().for_each(unavailable);
    // Nobody knows whether the code was spent before these answers.
    [408, 500, 502, 504].into_iter().for_each(|status| in_doubt(Answer::Status(status)));
    let page = |status| bench.answer(Answer::Full(status, vec![], b"<html>".to_vec()));
    assert!(matches!(page(400), Err(TokenError::RequestRefused(_))));
    assert!(matches!(page(401), Err(TokenError::ClientRefused(_))));
    for status in [403, 404, 405, 410, 413, 415, 421, 426] {
        let result = page(status);
        assert!(matches!(result, Err(TokenError::Unexplained(_))), "{status}: {result:?}");
    }
    let elsewhere = bench.server.url("/elsewhere");
    let redirected = bench.answer(Answer::Redirect(elsewhere));
    let says = |text: &str| text.contains("redirects are not followed");
    assert!(matches!(&redirected, Err(TokenError::Unexplained(text)) if says(text)), "{redirected:?}");
    assert_eq!(bench.server.count("/elsewhere"), 0);
    assert!(bench.exchange(json!({})).is_ok(), "and all is well again");
}

#[test]
fn nothing_is_sent_twice_and_a_dead_server_is_no_doubt() {
    let mut bench = Bench::impatient("client_secret=hush");
    for answer in [Answer::Reset, Answer::Hang, Answer::Garbage] {
        let before = bench.server.count(TOKEN);
        assert!(bench.answer(answer).is_err());
        assert_eq!(bench.server.count(TOKEN), before + 1);
    }
    bench.exchange(json!({})).expect("tokens");
    bench.server.stop();
    for _ in 0..2 {
        let result = bench.proxy.exchange(&CODE);
        assert!(matches!(result, Err(TokenError::Unavailable(_))), "{result:?}");
    }
    bench.server.restart();
    assert!(bench.proxy.exchange(&CODE).is_ok());
    let tls = bench.server.issuer().replace("http:", "https:");
    let grant = CODE;
    let sent = bench.proxy.exchange_at(&format!("{tls}/token"), None, &|| Err("none".into()), &grant);
    assert!(matches!(sent, Err(TokenError::Unavailable(_))), "a failed TLS handshake: {sent:?}");
    let nowhere = "https://host.invalid/token";
    let sent = bench.proxy.exchange_at(nowhere, None, &|| Err("none".into()), &grant);
    assert!(matches!(sent, Err(TokenError::Unavailable(_))), "{sent:?}");
}

#[test]
fn an_echo_does_not_leak() {
    let bench = Bench::new("client_secret=hush-hush");
    let body =
        json!({"error": "invalid_grant", "error_description": "code a-code-of-alice of proxy:hush-hush is\r\nused"});
    let text = refused(bench.answer(Answer::Full(400, vec![], body.to_string().into_bytes())));
    assert!(text.ends_with("HTTP status 400, invalid_grant: code … of proxy:… is??used"), "{text}");
}

#[test]
fn an_id_token_that_is_not_good_is_never_passed_over() {
    let bench = Bench::new("client_secret=hush");
    let (now, with) = (now(), |name, value| denied(bench.with_claim(name, value)));
    assert!(bench.with_claim("aud", json!(["proxy"])).is_ok());
    assert_eq!(with("aud", json!("another")), Reason::AudienceMismatch);
    assert!(bench.with_claim("aud", json!(["proxy", "another"])).is_ok(), "errata 2: azp may be left out");
    assert_eq!(with("aud", json!(["other", "another"])), Reason::AudienceMismatch);
    assert_eq!(with("azp", json!("another")), Reason::ClientNotAllowed);
    assert_eq!(with("iss", json!("https://evil.example")), Reason::IssuerUnknown);
    assert_eq!(with("exp", json!(now - 31)), Reason::TokenExpired);
    assert_eq!(with("exp", json!("9999999999")), Reason::ClaimMalformed);
    assert_eq!(with("iat", json!(now + 60)), Reason::IssuedInFuture);
    assert_eq!(with("nbf", json!(now + 60)), Reason::TokenNotYetValid);
    assert_eq!(with("sub", json!("")), Reason::ClaimMissing);
    let mut both = bench.id_claims();
    both["aud"] = json!(["proxy", "another"]);
    both["azp"] = json!("proxy");
    assert!(bench.exchange(json!({"id_token": bench.sign(&both)})).is_ok());

    let token = |header: Value| bench.key.jws("ES256", &header, &bench.id_claims());
    let of = |token: String| denied(bench.exchange(json!({"id_token": token})));
    assert_eq!(of(token(json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}))), Reason::TypeNotAccepted);
    assert_eq!(of(token(json!({"alg": "none"}))), Reason::AlgorithmNotAllowed);
    assert_eq!(of("opaque".into()), Reason::TokenOpaque);
    let forged = TestKey::p256("k1").jws("ES256", &json!({"alg": "ES256", "kid": "k1"}), &bench.id_claims());
    assert_eq!(of(forged), Reason::SignatureInvalid);
}

#[test]
fn unknown_keys_are_fetched_once() {
    let bench = Bench::new("client_secret=hush");
    let endpoint = bench.proxy.endpoint().expect("metadata");
    let old = TestKey::p256("k0");
    let old = KeySet::from_jwks(key_set(&[old.jwk()]).to_string().as_bytes(), Origin::Fetched).expect("a key");
    let good = KeySet::from_jwks(key_set(&[bench.key.jwk()]).to_string().as_bytes(), Origin::Fetched).expect("a key");
    bench.server.set(TOKEN, Answer::Json(bench.tokens(json!({}))));
    let run = |known: &KeySet, fetched: &dyn Fn() -> Result<Refetched, String>| {
        let fetches = Cell::new(0);
        let fetch = || {
            fetches.set(fetches.get() + 1);
            fetched()
        };
        (bench.proxy.exchange_at(&endpoint, Some(known), &fetch, &CODE), fetches.get())
    };
    let (result, fetches) = run(&good, &|| Err("none".into()));
    assert!(result.is_ok() && fetches == 0, "{result:?}");
    let (result, fetches) = run(&old, &|| bench.proxy.keys());
    assert!(result.is_ok() && fetches == 1, "{result:?}");
    let (result, fetches) = run(&old, &|| Err("/jwks: HTTP status 404".into()));
    assert!(matches!(&result, Err(TokenError::InDoubt(_))) && fetches == 1, "{result:?}");
    assert!(format!("{result:?}").contains("/jwks: HTTP status 404"), "the true reason: {result:?}");
    // The server does not give its keys now, and those that it gave before say nothing of a new one.
    let before = || bench.proxy.keys().map(|found| found.keys);
    bench.server.set_keys(key_set(&[TestKey::p256("k0").jwk()]));
    let (result, _) = run(&old, &|| before().map(|keys| Refetched { keys, why_old: Some("away".into()) }));
    assert!(matches!(&result, Err(TokenError::InDoubt(trouble)) if trouble.answered), "{result:?}");
    bench.server.set_keys(key_set(&[bench.key.jwk()]));
    let (result, _) = run(&old, &|| before().map(|keys| Refetched { keys, why_old: Some("away".into()) }));
    assert!(result.is_ok(), "old keys serve where they fit: {result:?}");
    bench.server.set_keys(key_set(&[TestKey::p256("k0").jwk()]));
    let (result, fetches) = run(&old, &|| bench.proxy.keys());
    assert_eq!((denied(result), fetches), (Reason::KeyUnknown, 1));
}

#[test]
fn the_access_token_tells_when_the_id_token_does_not() {
    let bench = Bench::new("client_secret=hush");
    let issuer = bench.server.issuer();
    let access = |audience: &str| bench.key.token("ES256", &claims(&issuer, audience, "alice", 60));
    let granted = bench.exchange(json!({"id_token": null, "access_token": access(AUDIENCE)})).expect("a JWT");
    assert_eq!((granted.identity.aors.len(), granted.identity.scope.as_str()), (1, "openid sip"));
    let mut nameless = bench.id_claims();
    nameless["sip"] = Value::Null;
    let nameless = bench.sign(&nameless);
    assert!(bench.exchange(json!({"id_token": nameless, "access_token": access(AUDIENCE)})).is_ok());
    let text = nobody(bench.exchange(json!({"id_token": nameless})));
    assert!(text.contains("the ID token has: aud, exp, iat, iss, sub") && !text.contains("alice"), "{text}");
    let text = nobody(bench.exchange(json!({"id_token": null})));
    assert!(text.contains("the access token is not read: token_opaque"), "{text}");
    let other = bench.exchange(json!({"id_token": null, "access_token": access("another")}));
    assert_eq!(denied(other), Reason::AudienceMismatch);
}

#[test]
fn what_is_wrong_with_an_id_token_is_said_of_the_id_token() {
    let bench = Bench::new("client_secret=hush");
    let of = |header: Value| bench.exchange(json!({"id_token": bench.key.jws("ES256", &header, &bench.id_claims())}));
    for typ in ["JWT", "JOSE", "jose", "id_token+jwt", "application/id_token+jwt"] {
        assert!(of(json!({"alg": "ES256", "kid": "k1", "typ": typ})).is_ok(), "{typ}");
    }
    let secret = TestKey::hmac("h", b"the-client-secret-0123456789abcdef");
    let symmetric = secret.jws("HS256", &json!({"alg": "HS256"}), &bench.id_claims());
    for (result, reason, words) in [
        (of(json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"})), Reason::TypeNotAccepted, "its typ 'at+jwt'"),
        (bench.exchange(json!({"id_token": symmetric})), Reason::AlgorithmNotAllowed, "signed with the client secret"),
        (bench.with_claim("aud", json!("another")), Reason::AudienceMismatch, "ID token: audience_mismatch"),
    ] {
        match result {
            Err(TokenError::Unfit(why, text)) => {
                assert!(why == reason && text.starts_with("ID token: ") && text.contains(words), "{why:?} {text}");
            }
            other => panic!("{words}: {other:?}"),
        }
    }
}

/// Such an access token is for the server's own endpoints. It tells as little as an opaque one.
#[test]
fn an_access_token_that_only_its_server_can_read_does_not_end_the_search() {
    let (bench, _) = nameless_bench("client_secret=hush", &["userinfo_endpoint"]);
    let issuer = bench.server.issuer();
    let tells = json!({"sub": "alice", "sip": "sip:alice@example.test"});
    let access = |audience: &str, seconds| bench.key.token("ES256", &claims(&issuer, audience, "alice", seconds));
    let foreign = TestKey::p256("k9").token("ES256", &claims(&issuer, AUDIENCE, "alice", 60));
    let none =
        format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(claims(&issuer, AUDIENCE, "alice", 60).to_string()));
    for (token, reason) in [
        (access("https://as.example/userinfo", 60), Reason::AudienceMismatch),
        (foreign, Reason::KeyUnknown),
        (none, Reason::AlgorithmNotAllowed),
    ] {
        bench.server.set(USER_INFO, Answer::Json(tells.clone()));
        let granted = bench.exchange(json!({"id_token": null, "access_token": token})).expect("userinfo tells");
        assert_eq!(granted.identity.aors, ["sip:alice@example.test"], "{reason:?}");
        bench.server.set(USER_INFO, Answer::Json(json!({"sub": "alice"})));
        assert_eq!(denied(bench.exchange(json!({"id_token": null, "access_token": token}))), reason);
    }
    bench.server.set(USER_INFO, Answer::Json(tells));
    let forged = TestKey::p256("k1").token("ES256", &claims(&issuer, AUDIENCE, "alice", 60));
    for (token, reason) in [(forged, Reason::SignatureInvalid), (access(AUDIENCE, -120), Reason::TokenExpired)] {
        assert_eq!(denied(bench.exchange(json!({"id_token": null, "access_token": token}))), reason);
    }
}

const INTROSPECT: &str = "/introspect";
const USER_INFO: &str = "/me";

/// A server whose tokens do not name the user, with these endpoints.
fn nameless_bench(client: &str, members: &[&str]) -> (Bench, Value) {
    let bench = Bench::new(client);
    let mut metadata = discovery(&bench.server.issuer());
    for member in members {
        let path = if *member == "userinfo_endpoint" { USER_INFO } else { INTROSPECT };
        metadata[*member] = json!(bench.server.url(path));
    }
    bench.server.set(OPENID_CONFIGURATION, Answer::Json(metadata));
    let mut nameless = bench.id_claims();
    nameless["sip"] = Value::Null;
    let id_token = json!(bench.sign(&nameless));
    (bench, id_token)
}

const BOTH: [&str; 2] = ["introspection_endpoint", "userinfo_endpoint"];

#[test]
fn what_the_server_says_when_it_is_asked_tells_when_no_token_does() {
    for id_token in [true, false] {
        let (bench, nameless) = nameless_bench("client_secret=hush", &BOTH);
        let id_token = if id_token { nameless } else { Value::Null };
        let named = |more: Value| {
            let mut answer = json!({"sub": "alice", "sip": "sip:alice@example.test"});
            answer.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            Answer::Json(answer)
        };
        let exchange = || bench.exchange(json!({"id_token": id_token}));
        bench.server.set(INTROSPECT, named(json!({"active": true})));
        bench.server.set(USER_INFO, Answer::Json(json!({"sub": "alice", "sip": "sip:bob@example.test"})));
        let granted = exchange().expect("introspection tells");
        assert_eq!(granted.identity.aors, ["sip:alice@example.test"]);
        assert_eq!((bench.server.count(INTROSPECT), bench.server.count(USER_INFO)), (1, 0));

        // Active without a name, not active, ended, of another issuer, refused: the next one is asked.
        for said in [
            Answer::Json(json!({"active": true, "sub": "alice"})),
            Answer::Json(json!({"active": false})),
            named(json!({"active": true, "exp": now() - 120})),
            named(json!({"active": true, "iss": "https://evil.example"})),
            named(json!({"active": true, "scope": {"sip": true}})),
            Answer::Status(403),
            Answer::Html,
        ] {
            bench.server.set(INTROSPECT, said.clone());
            bench.server.set(USER_INFO, named(json!({})));
            assert_eq!(exchange().expect("userinfo tells").identity.subject, "alice", "{said:?}");
        }
        let asked = bench.server.last(USER_INFO).expect("a question");
        assert!(asked.head.starts_with("GET "), "{}", asked.head);
        assert_eq!(asked.header("authorization"), Some("Bearer opaque"));

        // A signed answer counts like the plain one, when its signature is good.
        let claims = json!({"sub": "alice", "sip": "sip:carol@example.test"});
        let signed = |key: &TestKey| {
            let body = key.jws("ES256", &json!({"alg": "ES256", "kid": "k1"}), &claims).into_bytes();
            bench.server.set(USER_INFO, Answer::Full(200, vec![("Content-Type", "application/jwt".into())], body));
            exchange()
        };
        let plain = claims.to_string();
        let jws = bench.key.jws("ES256", &json!({"alg": "ES256", "kid": "k1"}), &claims);
        for (status, content_type, body) in [
            (200, "application/jwt", format!("{jws}\n")),
            (200, "application/jwt", format!("\u{feff}{jws}")),
            (200, "application/json", jws.clone()),
            (200, "application/jwt, application/jwt", jws.clone()),
            (200, "", format!("{jws}\r\n")),
            (200, "application/jwt", plain.clone()),
            (200, "text/html", format!("\u{feff}{plain}\n")),
            (201, "application/json", plain.clone()),
            (203, "application/jwt", jws.clone()),
        ] {
            let answer = Answer::Full(status, vec![("Content-Type", content_type.into())], body.into_bytes());
            bench.server.set(USER_INFO, answer);
            let granted = exchange().unwrap_or_else(|error| panic!("{status} {content_type}: {error:?}"));
            assert_eq!(granted.identity.aors, ["sip:carol@example.test"], "{status} {content_type}");
        }
        assert_eq!(signed(&bench.key).expect("signed").identity.aors, ["sip:carol@example.test"]);
        let text = nobody(signed(&TestKey::p256("k1")));
        assert!(text.contains("userinfo: the signed answer cannot be used: signature_invalid"), "{text}");
    }
}

/// A signed answer may leave out its issuer and its audience. If it names them, they must be right.
#[test]
fn a_signed_answer_about_the_user_is_of_this_server_and_for_this_client() {
    let (bench, _) = nameless_bench("client_secret=hush", &["userinfo_endpoint"]);
    let ask = |more: Value| {
        let mut claims = json!({"sub": "alice", "sip": "sip:alice@example.test"});
        claims.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let body = bench.key.jws("ES256", &json!({"alg": "ES256", "kid": "k1"}), &claims).into_bytes();
        bench.server.set(USER_INFO, Answer::Full(200, vec![("Content-Type", "application/jwt".into())], body));
        bench.exchange(json!({"id_token": null}))
    };
    let (issuer, client) = (bench.server.issuer(), &bench.id_claims()["aud"]);
    for more in [
        json!({}),
        json!({"iss": issuer}),
        json!({"aud": client}),
        json!({"iss": issuer, "aud": [client, "other"]}),
        json!({"iss": null, "aud": null}),
    ] {
        assert!(ask(more.clone()).is_ok(), "{more}");
    }
    for (more, words) in [
        (json!({"iss": "https://evil.example"}), "issuer_unknown"),
        (json!({"iss": [issuer]}), "issuer_unknown"),
        (json!({"aud": "other"}), "audience_mismatch"),
        (json!({"iss": issuer, "aud": []}), "audience_mismatch"),
        (json!({"aud": {"a": client}}), "audience_mismatch"),
    ] {
        let text = nobody(ask(more.clone()));
        assert!(text.contains(words), "{more}: {text}");
    }
}

/// Without an ID token, nothing tells the user's tenant.
#[test]
fn where_tenants_are_told_apart_userinfo_does_not_tell_who_signed_in_alone() {
    let tenants = "accepted_issuers=https://login.example/{tenantid}/v2.0;tenants=t1";
    let (bench, id_token) = nameless_bench(&format!("client_secret=hush;{tenants}"), &["userinfo_endpoint"]);
    bench.server.set(USER_INFO, Answer::Json(json!({"sub": "alice", "sip": "sip:alice@example.test"})));
    nobody(bench.exchange(json!({"id_token": null})));
    assert_eq!(bench.server.count(USER_INFO), 0);
    assert!(bench.exchange(json!({"id_token": id_token})).is_ok());
}

#[test]
fn a_user_whom_the_server_numbers_is_the_same_one_in_every_answer() {
    for number in ["18446744073709551615", "123456789012345678901", "1001.0"] {
        let (bench, _) = nameless_bench("client_secret=hush", &BOTH);
        let mut nameless = bench.id_claims();
        nameless["sip"] = Value::Null;
        nameless["sub"] = json!("0");
        let payload = nameless.to_string().replace("\"0\"", number);
        let header = json!({"alg": "ES256", "kid": bench.key.kid}).to_string();
        let id_token = bench.key.jws_octets("ES256", header.as_bytes(), payload.as_bytes());
        bench.server.set(INTROSPECT, Answer::Json(json!({"active": false})));
        let said = format!("{{\"sub\":{number},\"sip\":\"sip:alice@example.test\"}}");
        bench.server.set(USER_INFO, Answer::Full(200, Vec::new(), said.into_bytes()));
        let granted = bench.exchange(json!({"id_token": id_token})).expect("userinfo tells");
        assert_eq!(granted.identity.subject, number.trim_end_matches(".0"));
    }
}

#[test]
fn whoever_cannot_tell_who_signed_in_is_no_outage_unless_it_is_one() {
    let (bench, id_token) = nameless_bench("client_secret=hush", &BOTH);
    let exchange = || bench.exchange(json!({"id_token": id_token}));
    let jwt =
        |text: &str| Answer::Full(200, vec![("Content-Type", "application/jwt".into())], text.as_bytes().to_vec());
    bench.server.set(INTROSPECT, Answer::Json(json!({"active": true, "username": "al"})));
    for (said, words) in [
        (Answer::Json(json!({"sub": "alice", "email": "al@example.test"})), "userinfo has: email, sub"),
        (Answer::Json(json!({"sub": "mallory", "sip": "sip:alice@example.test"})), "another 'sub'"),
        (Answer::Json(json!({"sip": "sip:alice@example.test"})), "another 'sub'"),
        (Answer::Json(json!(["alice"])), "not a JSON object"),
        (Answer::Html, "not a JSON object"),
        (Answer::Status(204), "HTTP status 204"),
        (jwt("no JWT"), "not a JSON object"),
        (Answer::Empty, "HTTP status 200"),
        (jwt("e30.e30.e30.e30.e30"), "cannot be used: token_encrypted"),
        (Answer::Status(401), "HTTP status 401"),
        (Answer::Status(403), "HTTP status 403"),
        (Answer::Status(404), "HTTP status 404"),
    ] {
        bench.server.set(USER_INFO, said);
        let text = nobody(exchange());
        assert!(text.contains("introspection has: active, username") && text.contains(words), "{text}");
        assert!(!text.contains("al@example.test"), "no values: {text}");
    }
    for said in [Answer::Status(503), Answer::Status(502), Answer::Status(429), Answer::Reset, Answer::Hang] {
        bench.server.set(USER_INFO, said.clone());
        let result = exchange();
        // It has just issued tokens: it need not be left alone.
        assert!(matches!(&result, Err(TokenError::InDoubt(trouble)) if trouble.answered), "{said:?}: {result:?}");
    }

    // A server without such an endpoint is not asked, and a public client does not prove who it is.
    let (bench, id_token) = nameless_bench("client_secret=hush", &[]);
    nobody(bench.exchange(json!({"id_token": id_token})));
    let (bench, id_token) = nameless_bench("", &BOTH);
    bench.server.set(USER_INFO, Answer::Status(403));
    nobody(bench.exchange(json!({"id_token": id_token})));
    assert_eq!((bench.server.count(INTROSPECT), bench.server.count(USER_INFO)), (0, 1));
}

/// The OpenID document names no such endpoint, and the other one cannot be had: the code is spent, and nothing is in
/// doubt about it.
#[test]
fn an_optional_endpoint_that_is_not_to_be_had_is_no_doubt_about_the_code() {
    for (said, words) in [
        (Answer::Status(404), "no claim that 'aor' asks for"),
        (Answer::Redirect("https://login.example/".into()), "no claim that 'aor' asks for"),
        (Answer::Status(500), "oauth-authorization-server: HTTP status 500"),
        (Answer::Status(503), "oauth-authorization-server: HTTP status 503"),
        (Answer::Reset, "oauth-authorization-server: "),
    ] {
        let (bench, id_token) = nameless_bench("client_secret=hush", &[]);
        bench.server.set(OAUTH_METADATA, said.clone());
        let text = nobody(bench.exchange(json!({"id_token": id_token})));
        assert!(text.contains(words) && text.contains("the ID token has: "), "{said:?}: {text}");
    }
}

#[test]
fn metadata_that_cannot_be_read_is_remembered_for_a_moment_where_a_server_may_lack_the_endpoint() {
    let (bench, _) = nameless_bench("client_secret=hush", &[]);
    bench.server.set(OAUTH_METADATA, Answer::Status(500));
    let at = now();
    let resolve = |which, now| bench.proxy.endpoints.resolve(&bench.proxy.http, &bench.proxy.policy, 0, which, now);
    for (after, asked) in [(0, 1), (1, 1), (2, 2), (3, 2)] {
        let found = resolve(Endpoint::UserInfo, at + after);
        assert!(matches!(found, Err(MetadataError::Incomplete(_))), "{found:?}");
        assert_eq!(bench.server.count(OAUTH_METADATA), asked, "after {after} s");
    }
    bench.server.set(
        OAUTH_METADATA,
        Answer::Json(json!({
            "issuer": bench.server.issuer(), "userinfo_endpoint": bench.server.url(USER_INFO)
        })),
    );
    assert!(resolve(Endpoint::UserInfo, at + 4).is_ok(), "the server is back");
}

/// Either document serves alone, whatever becomes of the other one.
#[test]
fn the_other_document_is_read_when_one_redirects_or_fails() {
    let bench = Bench::impatient("client_secret=hush");
    bench.server.set(OAUTH_METADATA, Answer::Json(discovery(&bench.server.issuer())));
    for said in [
        Answer::Redirect("https://login.example/".into()),
        Answer::Status(500),
        Answer::Status(501),
        Answer::Reset,
        Answer::Hang,
        Answer::Garbage,
        Answer::Huge(1024 * 1024 + 1),
        Answer::Full(200, vec![("Content-Encoding", "gzip".into())], b"gzip".to_vec()),
        Answer::Json(json!({"error": "not_found"})),
    ] {
        bench.server.set(OPENID_CONFIGURATION, said.clone());
        let fresh = Endpoints::new();
        let found = fresh.resolve(&bench.proxy.http, &bench.proxy.policy, 0, Endpoint::Token, now());
        assert_eq!(found.map(|found| found.address), Ok(bench.server.url(TOKEN)), "{said:?}");
    }
    // A redirect is an answer. The server need not be left alone for it.
    let redirect = || Answer::Redirect("https://login.example/".into());
    bench.server.set(OPENID_CONFIGURATION, redirect());
    bench.server.set(OAUTH_METADATA, redirect());
    let found = Endpoints::new().resolve(&bench.proxy.http, &bench.proxy.policy, 0, Endpoint::Token, now());
    let Err(error) = found else { panic!("{found:?}") };
    assert_eq!(error.to_string().matches("redirects are not followed").count(), 2, "{error}");
    let error = TokenError::from(error);
    assert!(matches!(&error, TokenError::Unavailable(trouble) if trouble.answered), "{error:?}");
}

#[test]
fn encrypted_tokens_tell_too() {
    let recipient = Recipient::curve("X25519");
    let directory = Directory::new("exchange");
    let file = directory.write("private.pem", &recipient.private);
    let decrypts = [("decryption_key_files", file.to_str().expect("UTF-8"))];
    let bench = Bench::with("client_secret=hush", &decrypts);
    let encrypt = |jws: &str| recipient.encrypt("ECDH-ES", "A128CBC-HS256", jws);
    let access = bench.key.token("ES256", &claims(&bench.server.issuer(), AUDIENCE, "alice", 77));
    let id_token = bench.sign(&bench.id_claims());
    // The ID token, then the access token alone: its claims say scope and lifetime.
    assert!(bench.exchange(json!({"id_token": encrypt(&id_token)})).is_ok());
    let answer = json!({"id_token": null, "access_token": encrypt(&access), "expires_in": null});
    let granted = bench.exchange(answer.clone()).expect("a JWT within");
    assert_eq!((granted.identity.aors.len(), granted.identity.scope.as_str()), (1, "openid sip"));
    assert!((70..=77).contains(&(granted.expires_at - now())), "{}", granted.expires_at);
    let nested = json!({"id_token": encrypt(&encrypt(&id_token))});
    assert_eq!(denied(bench.exchange(nested)), Reason::TokenMalformed);
    let foreign = Recipient::curve("X25519").encrypt("ECDH-ES", "A128GCM", &id_token);
    assert_eq!(denied(bench.exchange(json!({"id_token": foreign}))), Reason::DecryptionFailed);
    // Without a key they are opaque: an access token does not matter, an ID token does.
    let without = Bench::new("client_secret=hush");
    nobody(without.exchange(answer));
    assert_eq!(denied(without.exchange(json!({"id_token": encrypt(&id_token)}))), Reason::TokenEncrypted);
}

#[test]
fn scopes_and_lifetime() {
    let bench = Bench::new("client_secret=hush;required_scopes=sip");
    let access = bench.key.token("ES256", &claims(&bench.server.issuer(), "another", "alice", 77));
    let scope = |members| bench.exchange(members).map(|granted| granted.identity.scope);
    assert_eq!(scope(json!({"scope": "sip x"})), Ok("sip x".into()));
    assert_eq!(scope(json!({"access_token": access})), Ok("openid sip".into()));
    assert_eq!(denied(bench.exchange(json!({"scope": "x", "access_token": access}))), Reason::InsufficientScope);
    assert_eq!(denied(bench.exchange(json!({}))), Reason::InsufficientScope);

    // Many scopes are shortened. Those that the configuration names stay.
    let many = format!("{}sip", "scope-of-a-busy-user ".repeat(400));
    let kept = scope(json!({"scope": many})).expect("many");
    assert!(kept.starts_with("sip scope-of-a-busy-user") && kept.len() <= 4096, "{}", kept.len());

    let left = |members| bench.exchange(members).expect("tokens").expires_at - now();
    assert!((58..=60).contains(&left(json!({"scope": "sip"}))));
    assert!((75..=77).contains(&left(json!({"access_token": access, "expires_in": null}))));
    assert!((3598..=3600).contains(&left(json!({"scope": "sip", "expires_in": null}))));

    bench.server.set(TOKEN, Answer::Json(bench.tokens(json!({"scope": "x"}))));
    let old = SecretText("r".into());
    assert!(matches!(bench.proxy.refresh(&old), Err(TokenError::Denied(Reason::InsufficientScope))));
    // Nobody knows what these are, so the old ones do not stay.
    bench.server.set(TOKEN, Answer::Json(bench.tokens(json!({"scope": [7]}))));
    assert!(matches!(bench.proxy.refresh(&old), Err(TokenError::Denied(Reason::InsufficientScope))));
    bench.server.set(TOKEN, Answer::Json(bench.tokens(json!({}))));
    let refreshed = bench.proxy.refresh(&old).expect("the scopes are the old ones");
    assert_eq!((refreshed.scope, refreshed.refresh_token), (None, None));
}

#[test]
fn required_claims_are_those_of_the_token_that_tells() {
    let bench = Bench::new("client_secret=hush");
    let mut policy = Proxy::new(&bench.server.issuer(), "client_id=proxy;client_secret=hush");
    policy.policy.providers[0].rules.required_claims = vec![("groups".into(), vec!["phones".into()])];
    let mut id_token = bench.id_claims();
    let mut run = |groups: Value| {
        id_token["groups"] = groups;
        bench.server.set(TOKEN, Answer::Json(bench.tokens(json!({"id_token": bench.sign(&id_token)}))));
        policy.exchange(&CODE)
    };
    assert!(run(json!(["x", "phones"])).is_ok());
    assert_eq!(denied(run(json!(["x"]))), Reason::ClaimMismatch);
}

#[test]
fn the_token_endpoint_is_found_once_and_checked() {
    let mut bench = Bench::impatient("client_secret=hush");
    let find = |known: &Endpoints, bench: &Bench, now| {
        known.resolve(&bench.proxy.http, &bench.proxy.policy, 0, Endpoint::Token, now).map(|found| found.address)
    };
    let resolve = |bench: &Bench, now| find(&bench.proxy.endpoints, bench, now);
    let at = now();
    let endpoint = bench.server.url(TOKEN);
    let read_again = |bench: &Bench, now| {
        let Bench { proxy, .. } = bench;
        let due = proxy.endpoints.take_due();
        due.inspect(|(provider, which)| {
            proxy.endpoints.read_again(&proxy.http, &proxy.policy, *provider, *which, now);
        })
    };
    for after in [0, 1, 899] {
        assert_eq!(resolve(&bench, at + after), Ok(endpoint.clone()));
        assert_eq!(read_again(&bench, at + after), None);
    }
    bench.server.set(OPENID_CONFIGURATION, Answer::Hang);
    for _ in 0..3 {
        assert_eq!(resolve(&bench, at + 900), Ok(endpoint.clone()), "nobody waits");
    }
    assert_eq!(bench.server.count(OPENID_CONFIGURATION), 1);
    assert!(read_again(&bench, at + 900).is_some(), "again after 15 minutes");
    assert_eq!(bench.server.count(OPENID_CONFIGURATION), 2);
    assert_eq!((resolve(&bench, at + 901), read_again(&bench, at + 901)), (Ok(endpoint.clone()), None));
    bench.server.stop();
    for after in [910, 10_000] {
        assert_eq!(resolve(&bench, at + after), Ok(endpoint.clone()), "what is known serves meanwhile");
        assert!(read_again(&bench, at + after).is_some());
    }
    bench.server.restart();
    let moved = json!({"issuer": bench.server.issuer(), "token_endpoint": bench.server.url("/moved")});
    bench.server.set(OPENID_CONFIGURATION, Answer::Json(moved));
    assert_eq!(resolve(&bench, at + 20_000), Ok(endpoint));
    assert!(read_again(&bench, at + 20_000).is_some());
    assert_eq!(resolve(&bench, at + 20_000), Ok(bench.server.url("/moved")));
    for (metadata, words) in [
        (json!({"issuer": "https://evil.example"}), "calls itself issuer"),
        (json!({"issuer": bench.server.issuer()}), "no token_endpoint"),
        (json!({"issuer": bench.server.issuer(), "token_endpoint": "http://as.example/t"}), "not protected"),
    ] {
        bench.server.set(OPENID_CONFIGURATION, Answer::Json(metadata));
        let fresh = find(&Endpoints::new(), &bench, at).unwrap_err();
        assert!(fresh.to_string().contains(words), "{fresh}");
    }
}

#[test]
fn an_assertion_says_who_and_to_whom() {
    let files = support::temporary::Directory::new("client-key");
    let server = AuthorizationServer::start();
    let key = files.write("key.pem", std::fs::read(server.client_key_file()).expect("the kit writes it"));
    let bench = Bench::new(&format!("client_key_file={};client_key_id=k7", key.display()));
    let assertion = || {
        bench.exchange(json!({})).expect("tokens");
        let (_, pairs) = bench.received();
        let value = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.clone()).expect(name);
        assert_eq!(value("client_id"), "proxy");
        assert_eq!(value("client_assertion_type"), "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        value("client_assertion")
    };
    let (first, second) = (assertion(), assertion());
    assert!(first.starts_with(&encode(r#"{"alg":"ES256","kid":"k7","typ":"JWT"}"#)), "{first}");
    let said = unverified_claims(&first);
    assert_eq!(
        (&said["iss"], &said["sub"], &said["aud"]),
        (&json!("proxy"), &json!("proxy"), &json!(bench.server.url(TOKEN)))
    );
    assert_eq!(said["exp"].as_i64().zip(said["iat"].as_i64()).map(|(exp, iat)| exp - iat), Some(60));
    assert_ne!(said["jti"], unverified_claims(&second)["jti"]);
}
