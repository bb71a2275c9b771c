// SPDX-License-Identifier: MIT OR Apache-2.0

//! Floods from one source, at Kamailio's default of 64 MB of shared memory: the requests of another user come through,
//! each of them.

use crate::phones::{self, key_of, prove, register, with_code};
use crate::stack::{Stack, configured};
use crate::support::code_server::CodeServer;
use crate::support::load::{self, Report};
use crate::support::scripted_server::{Answer, Received, ScriptedServer, key_set};
use crate::support::sip::{Client, Reply, Request, unique};
use crate::support::temporary::Directory;
use crate::support::token::{TestKey, now};
use serde_json::json;
use sipoauth_core::text::form;
use std::thread;

const INTROSPECT: &str = "/introspect";
const GOOD: &str = "a-good-opaque-token-";
const FLOOD: &str = "127.0.0.2";
const HONEST: &str = "127.0.0.1";
/// His requests a second.
const RATE: u32 = 25;

/// A server that takes every token that begins well for bob's.
fn introspection() -> ScriptedServer {
    let server = ScriptedServer::start(key_set(&[&TestKey::p256("k")].map(TestKey::jwk)));
    let answer = |request: &Received| {
        let pairs = form::parse(request.body.as_bytes()).unwrap_or_default();
        let good = pairs.iter().any(|(name, value)| name == "token" && value.starts_with(GOOD));
        Answer::Json(json!({
            "active": good, "aud": "sip", "client_id": "phone", "exp": now() + 300, "scope": "sip", "sub": "1234",
            "preferred_username": "bob",
        }))
    };
    server.set(INTROSPECT, Answer::computed(answer));
    server
}

fn opaque_provider(server: &ScriptedServer, name: &str) -> String {
    format!(
        "[[provider]]\nname = \"{name}\"\nissuer = \"{}\"\naudience = \"sip\"\ntokens = \"opaque\"\n\
         aor = \"sip:{{preferred_username}}@{{domain}}\"\ndomain = \"{name}.test\"\ndomains = \"{name}.test\"\n\
         client_id = \"proxy\"\nclient_secret = \"secret-of-the-proxy\"\nintrospection_endpoint = \"{}\"\n\
         introspection_cache = 5\n",
        server.issuer(),
        server.url(INTROSPECT)
    )
}

fn with_token(aor: &str, token: &str) -> Request {
    Request::register(aor).with("Authorization", format!("Bearer {token}"))
}

fn only_200(_: &'static str, reply: &Reply) -> Option<String> {
    (reply.status != 200).then(|| format!("{} {}", reply.status, reply.reason))
}

fn refused(_: &'static str, reply: &Reply) -> Option<String> {
    (![401, 503].contains(&reply.status)).then(|| format!("{} {}", reply.status, reply.reason))
}

/// Both at once; the report of the flood.
fn beside(
    stack: &Stack,
    (rate, count): (u32, u32),
    flood: impl Fn(u32) -> Request + Send + Sync,
    seconds: u32,
    honest: impl Fn(u32) -> (&'static str, Request),
) -> Report {
    let port = stack.kamailio.port();
    let (flooded, served) = thread::scope(|scope| {
        let flooded = scope.spawn(|| load::run_from(FLOOD, port, rate, count, |n| ("flood", flood(n)), refused));
        let served = load::run_from(HONEST, port, RATE, RATE * seconds, honest, only_200);
        (flooded.join().expect("no panic"), served)
    });
    assert_eq!((&served.wrong, &served.lost), (&vec![], &vec![]), "{:?}\n{:?}", served.replies, flooded.replies);
    assert_eq!((&flooded.wrong, &flooded.lost), (&vec![], &vec![]), "{:?}", flooded.replies);
    // OpenSIPS says at the start how much it has.
    let log: String = stack.kamailio.log().lines().filter(|line| !line.contains("NOTICE")).collect();
    for word in ["shared memory", "no more shm", "could not allocate"] {
        assert!(!log.contains(word), "{word}");
    }
    flooded
}

/// Transactions that Kamailio has made since its start.
fn transactions(stack: &Stack) -> u64 {
    let stats = stack.rpc("tm.stats", &[]).expect("the RPC exists");
    let line = stats.lines().find_map(|line| line.trim().strip_prefix("total: "));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("no total in {stats}"))
}

#[test]
fn a_thousand_wrong_codes_a_second_of_one_source_cost_another_user_nothing() {
    let (directory, codes, tokens) = (Directory::new("floods"), CodeServer::start(), introspection());
    let provider = format!("{};domains=example.test", codes.provider());
    let settings = format!("source_limit = 300\n{}", opaque_provider(&tokens, "opaque"));
    let builder = phones::with_settings(phones::stored("public-ua.cfg", &provider, &directory), &directory, &settings);
    let stack = phones::run(builder.define("DEBUG", 1));
    let login = codes.code("carol");
    let mut phone = stack.udp();
    let (request, reply) = register(&stack, &mut phone, with_code("sip:carol@example.test", &login));
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    let key = key_of(&stack, &login, &request, &reply);
    let before = transactions(&stack);
    let wrong =
        |_| with_code("sip:mallory@example.test", &json!({ "code": format!("wrong-{}", unique("code-of-nobody")) }));
    let flooded = beside(&stack, (1000, 18_000), wrong, 18, |number| match number % 3 {
        0 => ("code", with_code("sip:dave@example.test", &codes.code("dave"))),
        1 => ("proof", prove(&key, Request::register("sip:carol@example.test"))),
        _ => ("token", with_token("sip:bob@opaque.test", &format!("{GOOD}0123456789"))),
    });
    // Two minutes at most: what the limit lets through, and what is under way.
    assert!(flooded.replies[&("flood", 503)] > 16_000, "{:?}", flooded.replies);
    let made = transactions(&stack) - before;
    assert!(made < 2000, "{made} transactions: a request that is refused must make none");
    stack.kamailio.stop().unwrap_or_else(|fault| panic!("{fault}"));
}

#[test]
fn twelve_thousand_made_up_tokens_of_one_source_cost_another_user_nothing() {
    let (directory, tokens) = (Directory::new("floods"), introspection());
    let settings = directory.write("settings.toml", opaque_provider(&tokens, "opaque"));
    let fixed = "name=fixed;issuer=https://fixed.example.test;audience=sip;aor={sip};domains=example.test;\
                 secret=0123456789abcdef0123456789abcdef";
    let builder = configured("registrar-sso.cfg", fixed).define("DEBUG", 1);
    let stack = Stack::new(builder.define_string("CONFIG_FILE", settings.to_str().expect("UTF-8")));
    let good = format!("{GOOD}0123456789");
    assert_eq!(stack.register(&mut stack.udp(), "sip:bob@opaque.test", &good).status, 200, "{}", stack.module_log());
    let junk = |_| with_token("sip:bob@opaque.test", &unique("made-up-token-0123456789"));
    beside(&stack, (3000, 12_000), junk, 8, |number| {
        // Every other one must be asked about.
        let token = if number.is_multiple_of(2) { good.clone() } else { format!("{GOOD}{}", unique("n")) };
        ("token", with_token("sip:bob@opaque.test", &token))
    });
    stack.kamailio.stop().unwrap_or_else(|fault| panic!("{fault}"));
}

#[test]
fn six_hundred_tokens_that_name_a_hung_provider_cost_the_users_of_another_nothing() {
    let (directory, hung, well) = (Directory::new("floods"), introspection(), introspection());
    hung.set(INTROSPECT, Answer::Hang);
    let settings = format!("{}{}", opaque_provider(&hung, "hung"), opaque_provider(&well, "well"));
    let settings = directory.write("settings.toml", settings);
    let fixed = "name=fixed;issuer=https://fixed.example.test;audience=sip;aor={sip};domains=example.test;\
                 secret=0123456789abcdef0123456789abcdef";
    let builder = configured("registrar-sso.cfg", fixed).define("DEBUG", 1);
    let stack = Stack::new(builder.define_string("CONFIG_FILE", settings.to_str().expect("UTF-8")));
    let junk = |_| with_token("sip:bob@hung.test", &unique("made-up-token-0123456789"));
    let flooded = beside(&stack, (600, 600), junk, 8, |_| {
        ("token", with_token("sip:bob@well.test", &format!("{GOOD}{}", unique("n"))))
    });
    assert_eq!(flooded.replies.keys().collect::<Vec<_>>(), [&("flood", 503)]);
    stack.kamailio.stop().unwrap_or_else(|fault| panic!("{fault}"));
}

/// Octets of shared memory that are in use.
fn used(stack: &Stack) -> i64 {
    let text = stack.rpc("core.shmmem", &[]).expect("the RPC exists");
    let line = text.lines().find_map(|line| line.trim().strip_prefix("real_used: "));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("no real_used in {text}"))
}

/// The other line of that table.
#[test]
fn a_websocket_connection_takes_so_much_shared_memory() {
    let (_directory, _server, stack) = phones::start_with_codes(|b| b.define("DEBUG", 1));
    let port = stack.kamailio.websocket_port();
    let first = Client::ws(port);
    let before = used(&stack);
    let connections: Vec<_> = (0..40).map(|_| Client::ws(port)).collect();
    let each = (used(&stack) - before) / 40;
    println!("{each} octets for each WebSocket connection");
    // Kamailio's websocket module has a buffer of 65,535 octets for fragments beside that of the connection.
    assert!((131_072..140_000).contains(&each), "{each}");
    drop((first, connections));
    stack.kamailio.stop().unwrap_or_else(|fault| panic!("{fault}"));
}

/// What the table of docs/guide/limits.md on `-m` says.
#[test]
fn a_waiting_request_takes_so_much_shared_memory() {
    let (directory, hung) = (Directory::new("floods"), introspection());
    hung.set(INTROSPECT, Answer::Hang);
    let settings = format!("max_pending = 400\npending_timeout = 30\n{}", opaque_provider(&hung, "hung"));
    let settings = directory.write("settings.toml", settings);
    let fixed = "name=fixed;issuer=https://fixed.example.test;audience=sip;aor={sip};domains=example.test;\
                 secret=0123456789abcdef0123456789abcdef";
    let builder = configured("registrar-sso.cfg", fixed).define("DEBUG", 1);
    let stack = Stack::new(builder.define_string("CONFIG_FILE", settings.to_str().expect("UTF-8")));
    let used = || used(&stack);
    let wait = |phone: &mut Client, count: u64| {
        let token = format!("{}{}", unique("made-up-token-"), "x".repeat(1000));
        phone.send(&with_token("sip:bob@hung.test", &token)).expect("sent");
        stack.wait_until("it waits", || stack.counter("suspended") == count);
    };
    let mut phone = stack.udp();
    wait(&mut phone, 1);
    let before = used();
    (2..=41).for_each(|count| wait(&mut phone, count));
    let each = (used() - before) / 40;
    println!("{each} octets for each request that waits");
    assert!((1_500..3_000).contains(&each), "{each}");
    let before = used();
    let connections: Vec<_> = (0..40).map(|_| stack.tcp()).collect();
    stack.wait_until("they are there", || {
        let text = stack.rpc("core.tcp_info", &[]).unwrap_or_default();
        text.lines().filter_map(|l| l.trim().strip_prefix("opened_connections: ")).any(|n| n.trim() == "40")
    });
    let each = (used() - before) / 40;
    println!("{each} octets for each TCP connection");
    // The examples leave tcp_rd_buf_size at 65,536.
    assert!((65_536..70_000).contains(&each), "{each}");
    drop(connections);
    stack.kamailio.stop().unwrap_or_else(|fault| panic!("{fault}"));
}
