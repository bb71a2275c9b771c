// SPDX-License-Identifier: MIT OR Apache-2.0

//! Phones that sign in with an authorization code and then prove that they share a key with the proxy.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sipoauth_core::keys::pop::{make_pop, pop_to_text};
use sipoauth_core::keys::shared_key::{KeyOrder, shared_key};
use sipoauth_core::sip::digest_string::{DigestParts, digest_string};
use sipoauth_core::sip::sip_date;
use sipoauth_core::text::fingerprint::hex;
use sipoauth_core::text::form;

use crate::stack::{Stack, configured, provider};
use crate::support::authorization_server::AuthorizationServer;
use crate::support::code_server::{ACCESS_TOKENS, CLIENT_SECRET, CODES, CodeServer, REFRESH_TOKENS};
use crate::support::kamailio::Builder;
use crate::support::sip::{Client, Reply, Request};
use crate::support::temporary::Directory;

pub const ALICE: &str = "sip:alice@example.test";
pub const FORM: &str = "application/x-www-form-urlencoded";
pub const STORE_KEY: &str = "a secret of the tests, at least 32 octets";
const PROOF: &str = "grant_type=proof-of-possession";
const SCOPE: &str = "openid sip profile offline_access";
/// Settings of tests that sign in more phones than one address would.
const MANY: &str = "source_limit = 65535\nmax_pending = 1000\n";

fn text(path: PathBuf) -> String {
    path.to_str().expect("our own paths are UTF-8").to_owned()
}

/// An example whose sessions are kept in this directory.
pub fn stored(name: &str, provider: &str, directory: &Directory) -> Builder {
    configured(name, provider)
        .define_string("STORE", &text(directory.file("store")))
        .define_string("STORE_KEY_FILE", &text(directory.write("store.key", STORE_KEY)))
}

/// With further settings of the configuration file.
pub fn with_settings(builder: Builder, directory: &Directory, settings: &str) -> Builder {
    builder.define_string("CONFIG_FILE", &text(directory.write("settings.toml", settings)))
}

/// Without limits on codes from one address.
pub fn with_many_codes(builder: Builder, directory: &Directory) -> Builder {
    with_settings(builder, directory, MANY)
}

/// What a provider line says more when the proxy exchanges codes at the authorization server.
pub fn proxy_provider(server: &AuthorizationServer) -> String {
    format!("{};client_id=sip-proxy;client_secret=proxy-secret", provider(server.issuer()))
}

/// Starts a proxy that is ready for codes and proofs.
pub fn run(builder: Builder) -> Stack {
    let stack = Stack::new(builder);
    for secret in ["proxy-secret", STORE_KEY, CLIENT_SECRET, CODES, ACCESS_TOKENS, REFRESH_TOKENS] {
        stack.secrets.keep(secret);
    }
    stack.wait_for_keys();
    // A proof must be younger than the proxy's memory of proofs, and a Date counts whole seconds.
    std::thread::sleep(Duration::from_millis(1100));
    stack
}

/// An example with the real authorization server.
pub fn start(name: &str) -> (Directory, AuthorizationServer, Stack) {
    start_with(name, |builder| builder)
}

/// The same, changed.
pub fn start_with(name: &str, change: impl FnOnce(Builder) -> Builder) -> (Directory, AuthorizationServer, Stack) {
    let directory = Directory::new("sessions");
    let server = AuthorizationServer::start();
    let stack = run(change(stored(name, &proxy_provider(&server), &directory)));
    (directory, server, stack)
}

/// An example with the server that takes any code.
pub fn start_with_codes(change: impl FnOnce(Builder) -> Builder) -> (Directory, CodeServer, Stack) {
    let directory = Directory::new("sessions");
    let server = CodeServer::start();
    let builder = stored("public-ua.cfg", &server.provider(), &directory);
    let stack = run(change(with_many_codes(builder, &directory)));
    (directory, server, stack)
}

pub fn aor(user: &str) -> String {
    format!("sip:{user}@example.test")
}

pub fn tag(value: &str) -> &str {
    value.split(";tag=").nth(1).and_then(|rest| rest.split(';').next()).unwrap_or_default()
}

fn addr_spec(value: &str) -> &str {
    value.split(['<', '>']).nth(1).unwrap_or_default()
}

/// A user's sign-in in the browser: what the phone puts into its REGISTER.
pub fn sign_in(stack: &Stack, server: &AuthorizationServer, user: &str) -> Value {
    sign_in_for("sip-proxy", stack, server, user)
}

/// The same for another client.
pub fn sign_in_for(client: &str, stack: &Stack, server: &AuthorizationServer, user: &str) -> Value {
    let login = server.login_for_code_of(client, user, "es256", SCOPE);
    for secret in ["code", "code_verifier"] {
        stack.secrets.keep(login[secret].as_str().expect("a text"));
    }
    login
}

/// The registration of a user who has signed in.
pub fn with_code(aor: &str, login: &Value) -> Request {
    let mut body = String::new();
    form::push_pair(&mut body, "grant_type", "authorization_code");
    for name in ["code", "code_verifier", "redirect_uri"] {
        if let Some(value) = login[name].as_str() {
            form::push_pair(&mut body, name, value);
        }
    }
    Request::register(aor).with_body(FORM, body)
}

/// The phone's registration with its `+sip.instance`.
pub fn with_code_of(aor: &str, login: &Value, instance: &str) -> Request {
    let mut request = with_code(aor, login);
    request.set("Contact", format!("<{aor}>;+sip.instance=\"<urn:uuid:{instance}>\""));
    request
}

/// What a stranger would send who has most of a phone's registration, of instance 1: what is wrong in it, and the request.
pub fn strangers(aor: &str, login: &Value) -> Vec<(&'static str, Request)> {
    let with = |field: &str, value: Value| {
        let mut changed = login.clone();
        changed[field] = value;
        with_code_of(aor, &changed, "1")
    };
    vec![
        ("no verifier", with("code_verifier", Value::Null)),
        ("another verifier", with("code_verifier", json!("the-verifier-of-a-stranger-0123456789-0123456789"))),
        ("another redirect_uri", with("redirect_uri", json!("http://127.0.0.1/other"))),
        ("another instance", with_code_of(aor, login, "2")),
        ("no instance", with_code(aor, login)),
        ("another address", with_code_of("sip:mallory@example.test", login, "1")),
    ]
}

/// What phone and proxy share after this answer.
pub fn shared(login: &Value, request: &Request, reply: &Reply) -> Vec<u8> {
    let header = |name| request.header(name).expect("our own request has it");
    let to = tag(reply.header("To").expect("a To"));
    assert!(!to.is_empty(), "{reply:?}");
    let code = login["code"].as_str().expect("a code");
    let call_id = header("Call-ID");
    let from = tag(header("From"));
    shared_key(KeyOrder::Draft, code.as_bytes(), from.as_bytes(), to.as_bytes(), call_id.as_bytes()).to_vec()
}

/// The same; it must not be seen anywhere.
pub fn key_of(stack: &Stack, login: &Value, request: &Request, reply: &Reply) -> Vec<u8> {
    let key = shared(login, request, reply);
    for text in [hex(&key), STANDARD.encode(&key), URL_SAFE_NO_PAD.encode(&key)] {
        stack.secrets.keep(text);
    }
    key
}

pub fn date(offset: i64) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs() as i64;
    sip_date::from_unix_seconds(now + offset).expect("a date")
}

/// The digest-string of a request of which this is covered in the place of the body.
pub fn digest(request: &Request, covered: &[u8]) -> Vec<u8> {
    let header = |name| request.header(name).unwrap_or_default();
    let parts = DigestParts {
        from: addr_spec(header("From")).as_bytes(),
        to: addr_spec(header("To")).as_bytes(),
        call_id: header("Call-ID").as_bytes(),
        cseq: header("CSeq").as_bytes(),
        date: header("Date").as_bytes(),
        contact: match header("Contact") {
            "*" => b"*",
            contact => addr_spec(contact).as_bytes(),
        },
        body: covered,
    };
    digest_string(&parts).expect("complete")
}

fn proof(key: &[u8], request: &Request, covered: &[u8]) -> String {
    pop_to_text(&make_pop(key, &digest(request, covered)))
}

/// Adds a Date, if there is none, and a proof in the body.
pub fn prove(key: &[u8], mut request: Request) -> Request {
    if request.header("Date").is_none() {
        request.set("Date", date(0));
    }
    let pop = proof(key, &request, PROOF.as_bytes());
    request.with_body(FORM, format!("{PROOF}&pop={pop}"))
}

/// The same in the header, where the body may be anything.
pub fn prove_in_header(key: &[u8], mut request: Request) -> Request {
    request.set("Date", date(0));
    let pop = proof(key, &request, &request.body);
    request.with("Authorization", format!("Bearer pop={pop}"))
}

/// The same beside an access token (sip-oauth section 4.6).
pub fn prove_beside_token(key: &[u8], token: &str, request: Request) -> Request {
    let mut proved = prove_in_header(key, request);
    let pop = proved.header("Authorization").and_then(|value| value.split("pop=").nth(1)).expect("a proof").to_owned();
    proved.set("Authorization", format!("Bearer token=\"{token}\", pop=\"{pop}\""));
    proved
}

/// A registration with a proof from a connection of its own: the answer.
pub fn registration_with_proof(stack: &Stack, aor: &str, key: &[u8]) -> Reply {
    stack.request(&mut stack.udp(), &prove(key, Request::register(aor)))
}

/// Registers with a code; where the proxy cannot park the request, it asks to come again.
pub fn register(stack: &Stack, client: &mut Client, mut request: Request) -> (Request, Reply) {
    for _ in 0..240 {
        let reply = stack.request(client, &request);
        if reply.status != 503 {
            return (request, reply);
        }
        assert!(reply.header("Retry-After").is_some(), "{reply:?}");
        std::thread::sleep(Duration::from_millis(250));
        request.next();
    }
    panic!("not in time\n{}", stack.module_log());
}

/// A phone whose user has signed in registers over UDP: its key.
pub fn registered(stack: &Stack, aor: &str, login: &Value) -> Vec<u8> {
    registered_over(stack, &mut stack.udp(), aor, login)
}

/// The same over a connection that it keeps.
pub fn registered_over(stack: &Stack, client: &mut Client, aor: &str, login: &Value) -> Vec<u8> {
    let request = with_code(aor, login);
    let reply = stack.request(client, &request);
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    key_of(stack, login, &request, &reply)
}
