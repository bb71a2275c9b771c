// SPDX-License-Identifier: MIT OR Apache-2.0

//! sign-in-page.cfg: phones that their user has added at the sign-in page. The page itself has tests of its own; here its
//! place is taken by what it does with the store.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::phones::{ALICE, STORE_KEY, aor, key_of, prove, prove_in_header, with_code};
use crate::stack::{AUDIENCES, Stack};
use crate::support::authorization_server::{AuthorizationServer, Options};
use crate::support::digest::Challenge;
use crate::support::http;
use crate::support::kamailio::{Builder, Kamailio};
use crate::support::page::Page;
use crate::support::redis::{PASSWORD, Redis};
use crate::support::sip::{Client, Reply, Request};
use crate::support::temporary::Directory;
use crate::support::token::{TestKey, now};
use crate::support::tool::tool;
use sipoauth::store::phones::NewDevice;
use sipoauth_core::sip::digest::DigestAlgorithm;

/// Ends of sessions are told within this time.
pub const SOON: Duration = Duration::from_secs(1);
/// At other proxies within this.
const SOON_ELSEWHERE: Duration = Duration::from_secs(2);

pub struct Site {
    pub stack: Stack,
    pub page: Page,
    _server: AuthorizationServer,
    directory: Directory,
}

fn configuration(directory: &Directory, server: &AuthorizationServer, store: &str) -> std::path::PathBuf {
    directory.write("store.key", STORE_KEY);
    let (issuer, key) = (server.issuer(), directory.file("store.key"));
    let audiences: Vec<&str> = AUDIENCES.split(',').collect();
    directory.write(
        "sign-in-page.toml",
        format!(
            "{store}\nstore_key_file = \"{}\"\ntyped_codes = true\n\
             [[provider]]\nname = \"test\"\nissuer = \"{issuer}\"\naudience = {audiences:?}\naor = \"{{sip}}\"\n\
             domain = \"example.test\"\nclient_id = \"sip-proxy\"\nclient_secret = \"proxy-secret\"\n\
             [[offer]]\noffer = \"digest\"\n",
            key.display()
        ),
    )
}

fn example(configuration: &std::path::Path) -> Builder {
    Kamailio::with("cfg-examples/kamailio/sign-in-page.cfg")
        .define_string("CONFIG_FILE", configuration.to_str().expect("UTF-8"))
        .define("DEBUG", 3)
        .define("UNPROTECTED", "yes")
}

fn run(builder: Builder) -> Stack {
    let stack = Stack::new(builder);
    for secret in ["proxy-secret", STORE_KEY, PASSWORD] {
        stack.secrets.keep(secret);
    }
    stack.wait_for_keys();
    stack
}

/// The example with a page beside it; `change` adds definitions.
pub fn start_with(change: impl FnOnce(Builder) -> Builder) -> Site {
    let directory = Directory::new("sign-in-page");
    let server = AuthorizationServer::start();
    let store = format!("store = \"{}\"", directory.file("store").display());
    let configuration = configuration(&directory, &server, &store);
    let stack = run(change(example(&configuration)));
    Site { stack, page: Page::open(&configuration), _server: server, directory }
}

fn start() -> Site {
    start_with(|builder| builder)
}

fn challenge(reply: &Reply) -> Challenge {
    let (name, status) = if reply.status == 407 { ("Proxy-Authenticate", 407) } else { ("WWW-Authenticate", 401) };
    assert_eq!(reply.status, status, "{reply:?}");
    Challenge::parse(reply.header(name).expect("a challenge"))
}

/// Sends a request with Digest credentials: asks for a challenge and answers it.
fn sign(stack: &Stack, client: &mut Client, device: &NewDevice, mut request: Request) -> Reply {
    let first = stack.request(client, &request);
    let name = if first.status == 407 { "Proxy-Authorization" } else { "Authorization" };
    let offered = challenge(&first);
    request.next();
    let (method, uri) = (request.method.clone(), request.uri.clone());
    request.set(name, offered.answer(&device.username, &device.password, &method, &uri, 1));
    stack.request(client, &request)
}

fn hello(to: &str) -> Request {
    Request::new("MESSAGE", to, ALICE).with_body("text/plain", "Hello")
}

/// Watches for this password in logs.
pub fn keep(stack: &Stack, device: &NewDevice) {
    stack.secrets.keep(device.password.as_str());
}

pub fn bindings(stack: &Stack, user: &str) -> usize {
    let dump = stack.rpc("ul.lookup", &["location", &format!("{user}@example.test")]).unwrap_or_default();
    dump.matches("Address:").count()
}

pub fn soon(what: &str, stack: &Stack, limit: Duration, condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        // A loaded machine may take longer to look than the proxy to act.
        assert!(since.elapsed() < limit * 5, "{what}: not in time\n{}", stack.module_log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// alice has a desk phone: it registers, calls, and is seen at the page.
fn a_desk_phone_lives(site: &Site, mut client: Client) {
    let Site { stack, page, .. } = site;
    let signed_in = page.sign_in("alice");
    let device = page.add_device(&signed_in, "Desk");
    keep(stack, &device);
    let register = Request::register(ALICE).with("User-Agent", "Desk Phone 3.1");
    let reply = sign(stack, &mut client, &device, register.clone());
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    let granted = reply.header("Contact").expect("a binding").split("expires=").nth(1).expect("an expiry").to_owned();
    assert_eq!(granted, "600");
    let reply = sign(stack, &mut client, &device, hello("sip:nobody@example.test"));
    assert_eq!(reply.status, 404, "it may call, and nobody is there: {reply:?}");
    let last_use = || page.phones(&signed_in)[0].last_use.clone();
    soon("the last use", stack, SOON, || last_use().is_some());
    let seen = last_use().expect("a use");
    assert_eq!((seen.source.as_str(), seen.user_agent.as_str()), ("127.0.0.1", "Desk Phone 3.1"));
    page.sign_out(&signed_in, &device.session);
    soon("the binding goes", stack, SOON, || bindings(stack, "alice") == 0);
    challenge(&sign(stack, &mut client, &device, register));
    challenge(&sign(stack, &mut client, &device, hello("sip:nobody@example.test")));
}

#[test]
fn a_phone_with_a_device_password_registers_and_calls_until_it_is_signed_out() {
    let site = start();
    for client in [site.stack.udp(), site.stack.tcp()] {
        a_desk_phone_lives(&site, client);
    }
    site.stack.finish();
}

#[test]
fn device_passwords_serve_phones_with_sha_256() {
    let site = start_with(|builder| builder.define_string("DIGEST_ALGORITHM", "SHA-256"));
    let offered = challenge(&site.stack.request(&mut site.stack.udp(), &Request::register(ALICE)));
    assert_eq!(offered.algorithm, DigestAlgorithm::Sha256);
    a_desk_phone_lives(&site, site.stack.udp());
    site.stack.finish();
}

#[test]
fn a_device_password_is_for_its_own_address() {
    let site = start();
    let Site { stack, page, .. } = &site;
    let device = page.add_device(&page.sign_in("alice"), "Desk");
    keep(stack, &device);
    let mut client = stack.udp();
    let reply = sign(stack, &mut client, &device, Request::register("sip:bob@example.test"));
    assert_eq!(reply.status, 403, "{reply:?}");
    let call = Request::new("MESSAGE", ALICE, "sip:bob@example.test").with_body("text/plain", "Hello");
    assert_eq!(sign(stack, &mut client, &device, call).status, 403);
    assert_eq!((bindings(stack, "alice"), bindings(stack, "bob")), (0, 0));
    assert_eq!(stack.counter("reason_aor_mismatch"), 2);
    site.stack.finish();
}

/// What is answered does not tell whether a user name exists.
#[test]
fn nobody_can_tell_user_names_of_devices_from_others() {
    let site = start();
    let Site { stack, page, .. } = &site;
    let signed_in = page.sign_in("alice");
    let device = page.add_device(&signed_in, "Desk");
    let gone = page.add_device(&signed_in, "Old");
    page.sign_out(&signed_in, &gone.session);
    keep(stack, &device);
    keep(stack, &gone);
    let mut client = stack.udp();
    let mut look = |username: &str, password: &str| {
        let known = NewDevice { username: username.into(), password: password.to_owned().into(), session: [0; 16] };
        let reply = sign(stack, &mut client, &known, Request::register(ALICE));
        let names: Vec<_> = reply.headers.iter().map(|(name, _)| name.clone()).collect();
        let value = reply.header("WWW-Authenticate").map(|value| (value.len(), value.contains("stale")));
        (reply.status, reply.reason, names, value)
    };
    let wrong = look(&device.username, "guess");
    assert_eq!(wrong.0, 401);
    for (username, password) in [
        (gone.username.as_str(), gone.password.as_str()),
        (gone.username.as_str(), "guess"),
        ("alice-zzzz", "guess"),
        ("alice", ""),
        (&"a".repeat(300), "guess"),
    ] {
        assert_eq!(look(username, password), wrong, "{username}");
    }
    assert_eq!(look(&device.username, &device.password).0, 200);
    // The operator can.
    let log = stack.module_log();
    let lines = |why: &str| log.lines().filter(|l| l.contains("401 digest_mismatch") && l.contains(why)).count();
    assert_eq!((lines("the password is another one"), lines("no phone with this user name")), (1, 5), "{log}");
    assert!(log.contains("source=127.0.0.1"));
    assert_eq!(stack.counter("reason_digest_mismatch"), 6);
    site.stack.finish();
}

#[test]
fn signing_one_phone_out_leaves_the_others_alone() {
    let site = start();
    let Site { stack, page, .. } = &site;
    let (alice, bob) = (page.sign_in("alice"), page.sign_in("bob"));
    let devices = [page.add_device(&alice, "Desk"), page.add_device(&alice, "Kitchen"), page.add_device(&bob, "Desk")];
    let mut clients = [stack.udp(), stack.tcp(), stack.udp()];
    for ((device, client), user) in devices.iter().zip(&mut clients).zip(["alice", "alice", "bob"]) {
        keep(stack, device);
        assert_eq!(sign(stack, client, device, Request::register(&aor(user))).status, 200);
    }
    // The proxy knows which binding is whose as soon as it has noted the registrations.
    let noted = || page.phones(&alice).iter().chain(&page.phones(&bob)).all(|phone| phone.last_use.is_some());
    soon("registrations are noted", stack, SOON, noted);
    assert_eq!((bindings(stack, "alice"), bindings(stack, "bob")), (2, 1));
    page.sign_out(&alice, &devices[0].session);
    soon("one binding goes", stack, SOON, || bindings(stack, "alice") == 1);
    assert_eq!(sign(stack, &mut clients[1], &devices[1], Request::register(ALICE)).status, 200);
    assert_eq!(sign(stack, &mut clients[2], &devices[2], Request::register(&aor("bob"))).status, 200);
    challenge(&sign(stack, &mut clients[0], &devices[0], Request::register(ALICE)));
    // The operator ends the rest of alice's phones.
    let answer = stack.rpc("auth_oauth.sessions_revoke", &["alice@example.test"]).expect("an answer");
    assert!(answer.contains("revoked: 2"), "the phone and the sign-in: {answer}");
    soon("all of alice's go", stack, SOON, || bindings(stack, "alice") == 0);
    assert_eq!(bindings(stack, "bob"), 2, "each registration of the test has a Contact of its own");
    site.stack.finish();
}

/// The store hears of a registration a moment later, and of the end of its phone before, after, or in the middle of that.
#[test]
fn a_phone_that_is_signed_out_as_it_registers_keeps_no_binding() {
    let site = start();
    let Site { stack, page, .. } = &site;
    let alice = page.sign_in("alice");
    let kitchen = page.add_device(&alice, "Kitchen");
    keep(stack, &kitchen);
    assert_eq!(sign(stack, &mut stack.udp(), &kitchen, Request::register(ALICE)).status, 200);
    for milliseconds in (0..=300).step_by(15) {
        let desk = page.add_device(&alice, "Desk");
        keep(stack, &desk);
        assert_eq!(sign(stack, &mut stack.udp(), &desk, Request::register(ALICE)).status, 200);
        std::thread::sleep(Duration::from_millis(milliseconds));
        page.sign_out(&alice, &desk.session);
        soon("its binding goes", stack, SOON, || bindings(stack, "alice") == 1);
    }
    assert_eq!(page.phones(&alice).len(), 1);
    site.stack.finish();
}

fn typed(code: &str) -> serde_json::Value {
    json!({ "code": code })
}

#[test]
fn a_typed_code_registers_one_phone_of_its_user_once() {
    let site = start();
    let Site { stack, page, .. } = &site;
    let signed_in = page.sign_in("alice");
    let old = page.add_typed_code(&signed_in);
    let code = page.add_typed_code(&signed_in);
    stack.secrets.keep(&code);
    std::thread::sleep(Duration::from_millis(1100));
    let mut client = stack.udp();
    // A mistyped digit is found out without a try.
    let last = (code.as_bytes()[8] - b'0' + 1) % 10;
    for _ in 0..20 {
        let reply = stack.request(&mut client, &with_code(ALICE, &typed(&format!("{}{last}", &code[..8]))));
        assert_eq!(reply.status, 401, "{reply:?}");
    }
    let refused = stack.request(&mut client, &with_code(ALICE, &typed(&old)));
    assert_eq!(refused.status, 401, "only the last one is good: {refused:?}");
    let others = stack.request(&mut client, &with_code("sip:bob@example.test", &typed(&code)));
    assert_eq!(others.status, 401, "it is alice's: {others:?}");
    let spaced = format!("{} {} {}", &code[..4], &code[4..8], &code[8..]);
    let request = with_code(ALICE, &typed(&spaced));
    let reply = stack.request(&mut client, &request);
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    // The phone makes its key of what it sends.
    let key = key_of(stack, &typed(&spaced), &request, &reply);
    let again = stack.request(&mut stack.tcp(), &with_code(ALICE, &typed(&code)));
    assert_eq!(again.status, 401, "once: {again:?}");
    let proved = stack.request(&mut client, &prove(&key, Request::register(ALICE)));
    assert_eq!(proved.status, 200, "{proved:?}\n{}", stack.module_log());
    let message = hello("sip:nobody@example.test");
    let proved = prove_in_header(&key, message);
    let value = proved.header("Authorization").expect("a proof").to_owned();
    let reply = stack.request(&mut client, &proved.with("Proxy-Authorization", value));
    assert_eq!(reply.status, 404, "{reply:?}");
    let phones = page.phones(&signed_in);
    assert_eq!((phones.len(), phones[0].session.name.as_str()), (1, "typed"));
    page.sign_out(&signed_in, &phones[0].session.id);
    soon("its binding goes", stack, SOON, || bindings(stack, "alice") == 0);
    assert_eq!(stack.request(&mut client, &prove(&key, Request::register(ALICE))).status, 401);
    site.stack.finish();
}

/// Right or wrong, so many tries of an address have an answer.
#[test]
fn typed_codes_cannot_be_guessed() {
    let site = start();
    let Site { stack, page, .. } = &site;
    let code = page.add_typed_code(&page.sign_in("alice"));
    let guess = |number: u32| sipoauth_core::oauth::typed_code::make(number);
    let mut client = stack.tcp();
    let mut statuses = Vec::new();
    for number in 0..8 {
        statuses.push(stack.request(&mut client, &with_code(ALICE, &typed(&guess(number)))).status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 403, 403, 403], "{}", stack.module_log());
    let right = stack.request(&mut client, &with_code(ALICE, &typed(&code)));
    assert_eq!(right.status, 403, "not even the right one counts now: {right:?}");
    assert_eq!(stack.counter("exchanges"), 0, "no server has seen a code");
    site.stack.finish();
}

struct Cluster {
    _redis: Redis,
    _server: AuthorizationServer,
    _directory: Directory,
    page: Page,
    proxies: [Stack; 2],
}

fn cluster() -> Cluster {
    let directory = Directory::new("sign-in-page");
    let redis = Redis::start(&[]);
    let server = AuthorizationServer::start();
    let password = directory.write("password", PASSWORD);
    let store =
        format!("store = \"redis://127.0.0.1:{}/0\"\nstore_password_file = \"{}\"", redis.port(), password.display());
    let configuration = configuration(&directory, &server, &store);
    let proxies = [(); 2].map(|()| run(example(&configuration)));
    Cluster { page: Page::open(&configuration), proxies, _redis: redis, _server: server, _directory: directory }
}

#[test]
fn what_ends_at_the_page_ends_at_every_proxy_of_a_cluster() {
    let Cluster { page, proxies, .. } = &cluster();
    let signed_in = page.sign_in("alice");
    let [desk, kitchen] = ["Desk", "Kitchen"].map(|name| page.add_device(&signed_in, name));
    for (stack, device) in proxies.iter().zip([&desk, &kitchen]) {
        keep(stack, &desk);
        keep(stack, &kitchen);
        let reply = sign(stack, &mut stack.udp(), device, Request::register(ALICE));
        assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    }
    soon("registrations are noted", &proxies[0], SOON, || {
        page.phones(&signed_in).iter().all(|phone| phone.last_use.is_some())
    });
    page.sign_out(&signed_in, &desk.session);
    soon("the desk phone's binding goes", &proxies[0], SOON_ELSEWHERE, || bindings(&proxies[0], "alice") == 0);
    for stack in proxies {
        challenge(&sign(stack, &mut stack.udp(), &desk, Request::register(ALICE)));
        assert_eq!(sign(stack, &mut stack.udp(), &kitchen, Request::register(ALICE)).status, 200);
    }
    // An operator at one proxy ends what is registered at the other.
    proxies[0].rpc("auth_oauth.sessions_revoke", &["alice@example.test"]).expect("an answer");
    for stack in proxies {
        soon("all bindings go", stack, SOON_ELSEWHERE, || bindings(stack, "alice") == 0);
        challenge(&sign(stack, &mut stack.udp(), &kitchen, Request::register(ALICE)));
    }
}

#[test]
fn a_typed_code_serves_at_every_proxy_of_a_cluster() {
    let Cluster { page, proxies, .. } = &cluster();
    let signed_in = page.sign_in("alice");
    std::thread::sleep(Duration::from_millis(1100));
    for (here, there) in [(0, 1), (1, 0)] {
        let code = page.add_typed_code(&signed_in);
        let (here, there) = (&proxies[here], &proxies[there]);
        let request = with_code(ALICE, &typed(&code));
        let reply = here.request(&mut here.udp(), &request);
        assert_eq!(reply.status, 200, "{reply:?}\n{}", here.module_log());
        let key = key_of(here, &typed(&code), &request, &reply);
        assert_eq!(there.request(&mut there.udp(), &prove(&key, Request::register(ALICE))).status, 200);
        let again = there.request(&mut there.udp(), &with_code(ALICE, &typed(&code)));
        assert_eq!(again.status, 401, "{again:?}");
    }
}

/// A script that forgets the Digest check: whoever does not know the password is refused all the same.
#[test]
fn without_the_digest_check_a_password_is_still_needed() {
    let directory = Directory::new("sign-in-page");
    let server = AuthorizationServer::start();
    let store = format!("store = \"{}\"", directory.file("store").display());
    let configuration = configuration(&directory, &server, &store);
    let builder = Kamailio::with("tests/e2e/unchecked_device.cfg")
        .define_string("CONFIG_FILE", configuration.to_str().expect("UTF-8"))
        .define("DEBUG", 3);
    let stack = run(builder);
    let page = Page::open(&configuration);
    let device = page.add_device(&page.sign_in("alice"), "Desk");
    keep(&stack, &device);
    let forged = Challenge {
        realm: "example.test".into(),
        nonce: "of my own".into(),
        algorithm: DigestAlgorithm::Md5,
        stale: false,
        qop: true,
    };
    let try_with = |username: &str, password: &str| {
        let mut request = Request::register(ALICE);
        let credentials = forged.answer(username, password, "REGISTER", &request.uri, 1);
        request.set("Authorization", credentials);
        stack.request(&mut stack.udp(), &request).status
    };
    assert_eq!(try_with(&device.username, "guess"), 403);
    assert_eq!(try_with("alice-zzzz", "guess"), 403);
    assert_eq!(try_with(&device.username, &device.password), 200, "the nonce is the script's affair");
    stack.finish();
}

/// What an operator sees and ends with the tool, beside a running proxy.
#[test]
fn an_operator_sees_the_phones_and_signs_them_out() {
    let site = start();
    let Site { stack, page, .. } = &site;
    let signed_in = page.sign_in("alice");
    let [desk, kitchen] = ["Desk", "Kitchen"].map(|name| page.add_device(&signed_in, name));
    for device in [&desk, &kitchen] {
        keep(stack, device);
        let register = Request::register(ALICE).with("User-Agent", "Desk Phone 3.1");
        assert_eq!(sign(stack, &mut stack.udp(), device, register).status, 200);
    }
    let registered =
        || stack.rpc("auth_oauth.devices_list", &[]).is_ok_and(|text| text.matches("Desk Phone").count() == 2);
    soon("both are seen", stack, SOON, registered);
    let file = site.directory.file("sign-in-page.toml");
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(tool());
        let output = command.arg("devices").args(arguments).arg("--config").arg(&file).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    let (code, shown) = run(&["show", "alice@example.test"]);
    assert_eq!(code, Some(0), "{shown}");
    for words in ["Kitchen", desk.username.as_str(), "Desk Phone 3.1", "127.0.0.1", "2 phone(s)"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let (code, text) = run(&["revoke", "alice@example.test", &desk.username]);
    assert_eq!(code, Some(0), "{text}");
    soon("its binding goes", stack, SOON, || bindings(stack, "alice") == 1);
    let (code, text) = run(&["revoke", "alice@example.test"]);
    assert!(code == Some(0) && text.contains("2 session(s) ended"), "the other, and the sign-in: {text}");
    soon("all go", stack, SOON, || bindings(stack, "alice") == 0);
    assert_eq!(run(&["show", "alice@example.test"]).0, Some(3));
    assert!(page.store.page_session(&signed_in, i64::MAX / 2).expect("the store").is_none());
    site.stack.finish();
}

/// Logout tokens that Kamailio's own HTTP server takes: alice's phones go, bob's do not.
#[test]
fn a_logout_token_signs_the_phones_of_its_user_out() {
    const ISSUER: &str = "https://as.example.test";
    let directory = Directory::new("sign-in-page");
    let key = TestKey::ed25519("k");
    let keys = directory.write("jwks.json", serde_json::json!({ "keys": [key.jwk()] }).to_string());
    directory.write("store.key", STORE_KEY);
    let configuration = directory.write(
        "sign-in-page.toml",
        format!(
            "store = \"{}\"\nstore_key_file = \"{}\"\ntyped_codes = true\nback_channel_logout = true\n\
             [[provider]]\nname = \"test\"\nissuer = \"{ISSUER}\"\naudience = \"sip\"\naor = \"{{sip}}\"\n\
             jwks_file = \"{}\"\ndomain = \"example.test\"\nclient_id = \"sip-proxy\"\nclient_secret = \"proxy-secret\"\n\
             token_endpoint = \"{ISSUER}/token\"\n[[offer]]\noffer = \"digest\"\n",
            directory.file("store").display(),
            directory.file("store.key").display(),
            keys.display()
        ),
    );
    let builder = Kamailio::with("tests/e2e/logout.cfg")
        .define_string("CONFIG_FILE", configuration.to_str().expect("UTF-8"))
        .define("DEBUG", 3)
        .define("UNPROTECTED", "yes");
    let stack = Stack::new(builder);
    let page = Page::open(&configuration);
    let (alice, bob) = (page.sign_in("alice"), page.sign_in("bob"));
    let devices = [(&alice, "alice"), (&bob, "bob")].map(|(signed_in, user)| {
        let device = page.add_device(signed_in, "Desk");
        keep(&stack, &device);
        assert_eq!(sign(&stack, &mut stack.udp(), &device, Request::register(&aor(user))).status, 200);
        device
    });
    // A phone that signed in with a typed code, as one with a server's code, is a session of its own kind.
    std::thread::sleep(Duration::from_millis(1100));
    let code = page.add_typed_code(&alice);
    assert_eq!(stack.request(&mut stack.tcp(), &with_code(ALICE, &typed(&code))).status, 200);
    soon("registrations are noted", &stack, SOON, || {
        page.phones(&alice).iter().chain(&page.phones(&bob)).all(|phone| phone.last_use.is_some())
    });
    assert_eq!((bindings(&stack, "alice"), bindings(&stack, "bob")), (2, 1));

    let logout_token = |change: serde_json::Value| {
        let mut claims = json!({
            "iss": ISSUER, "aud": "sip-proxy", "sub": "alice", "iat": now(), "exp": now() + 120, "jti": "1",
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        change.as_object().expect("an object").iter().for_each(|(name, value)| claims[name] = value.clone());
        key.jws("EdDSA", &json!({ "alg": "EdDSA", "kid": "k", "typ": "logout+jwt" }), &claims)
    };
    let url = format!("http://127.0.0.1:{}/back-channel-logout", stack.kamailio.port());
    let post = |token: &str| http::post_form(&url, &[], &[("logout_token", token)]).expect("an answer").status;
    for change in [
        json!({ "aud": "another" }),
        json!({ "nonce": "n" }),
        json!({ "events": {} }),
        json!({ "iat": 1, "exp": 2 }),
        json!({ "iss": "https://other.example.test" }),
    ] {
        assert_eq!(post(&logout_token(change.clone())), 400, "{change}");
    }
    assert_eq!(post("x"), 400);
    let stranger = TestKey::ed25519("k2");
    let forged = stranger.jws("EdDSA", &json!({ "alg": "EdDSA", "kid": "k2" }), &json!({ "iss": ISSUER }));
    assert_eq!(post(&forged), 400);
    assert_eq!(post(&logout_token(json!({ "sid": "another browser", "jti": "0" }))), 200, "and nobody is meant");
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!((bindings(&stack, "alice"), bindings(&stack, "bob")), (2, 1), "{}", stack.module_log());

    let token = logout_token(json!({ "sid": "browser of alice" }));
    assert_eq!(post(&token), 200);
    soon("alice's bindings go", &stack, SOON, || bindings(&stack, "alice") == 0);
    challenge(&sign(&stack, &mut stack.udp(), &devices[0], Request::register(ALICE)));
    assert_eq!(sign(&stack, &mut stack.udp(), &devices[1], Request::register(&aor("bob"))).status, 200);
    // Whoever has seen the token cannot end what began since.
    let device = page.add_device(&page.sign_in("alice"), "Desk");
    keep(&stack, &device);
    post(&token);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(sign(&stack, &mut stack.udp(), &device, Request::register(ALICE)).status, 200);
    stack.finish();
}

/// The tokens of the sign-in are refreshed, and when the server refuses that, the phones that hang on it are out. Whoever
/// is back by then signs in at the page, and the phone works again.
#[test]
fn a_refused_refresh_signs_the_phones_of_the_sign_in_out() {
    let directory = Directory::new("sign-in-page");
    let options = Options { access_token_ttl: Some(5), ..Options::default() };
    let server = AuthorizationServer::start_with(options);
    let store = format!("store = \"{}\"", directory.file("store").display());
    let configuration = configuration(&directory, &server, &store);
    let stack = run(example(&configuration));
    let page = Page::open(&configuration);
    let tokens = || {
        let login = server.login_for_code_of("sip-proxy", "alice", "es256", "openid sip offline_access");
        let text = |name: &str| login[name].as_str().expect("a text").to_owned();
        let (code, verifier, uri) = (text("code"), text("code_verifier"), text("redirect_uri"));
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("code_verifier", &verifier),
            ("redirect_uri", &uri),
        ];
        let (status, tokens) = server.token_request(&form);
        assert_eq!(status, 200, "{tokens}");
        stack.secrets.keep(tokens["refresh_token"].as_str().expect("a refresh token"))
    };
    let alice = page.sign_in_with("alice", Some(&tokens()), 5);
    let bob = page.sign_in("bob");
    let [desk, others] = [&alice, &bob].map(|signed_in| page.add_device(signed_in, "Desk"));
    keep(&stack, &desk);
    keep(&stack, &others);
    assert_eq!(sign(&stack, &mut stack.udp(), &others, Request::register(&aor("bob"))).status, 200);
    assert_eq!(sign(&stack, &mut stack.udp(), &desk, Request::register(ALICE)).status, 200);
    stack.wait_until("tokens are refreshed twice", || stack.counter("refreshes") >= 2);
    assert_eq!((bindings(&stack, "alice"), stack.counter("refreshes_refused")), (1, 0), "{}", stack.module_log());

    let refusal = r#"{"error":"invalid_grant","error_description":"the user is disabled"}"#;
    server.fault("/token", &[("status", "400"), ("body", refusal)]);
    stack.wait_until("the server refuses", || stack.counter("refreshes_refused") == 1);
    soon("the binding goes", &stack, SOON, || bindings(&stack, "alice") == 0);
    challenge(&sign(&stack, &mut stack.udp(), &desk, Request::register(ALICE)));
    assert_eq!(sign(&stack, &mut stack.udp(), &others, Request::register(&aor("bob"))).status, 200);
    assert!(page.store.page_session(&alice, now() * 1000).expect("the store").is_none(), "the browser is out, too");

    server.clear();
    let again = page.sign_in_with("alice", Some(&tokens()), 5);
    assert_eq!(again, alice, "the same sign-in");
    assert_eq!(sign(&stack, &mut stack.udp(), &desk, Request::register(ALICE)).status, 200);
    stack.finish();
}

/// While the server is away the user stays in until the tokens end, and then phones come back later.
#[test]
fn while_the_server_of_the_sign_in_is_away_phones_get_503() {
    let directory = Directory::new("sign-in-page");
    let mut server = AuthorizationServer::start();
    let store = format!("store = \"{}\"", directory.file("store").display());
    let configuration = configuration(&directory, &server, &store);
    let stack = run(example(&configuration));
    let page = Page::open(&configuration);
    server.stop();
    // The provider tolerates 30 seconds.
    let alice = page.sign_in_with("alice", Some("a refresh token"), -31);
    let device = page.add_device(&alice, "Desk");
    keep(&stack, &device);
    let reply = sign(&stack, &mut stack.udp(), &device, Request::register(ALICE));
    assert_eq!(reply.status, 503, "{reply:?}\n{}", stack.module_log());
    assert!(reply.header("Retry-After").is_some());
    let wrong = NewDevice { password: "guess".to_owned().into(), ..device };
    challenge(&sign(&stack, &mut stack.udp(), &wrong, Request::register(ALICE)));
    assert_eq!(stack.counter("reason_refresh_overdue"), 1);
    stack.finish();
}
