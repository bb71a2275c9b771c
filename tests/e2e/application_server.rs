// SPDX-License-Identifier: MIT OR Apache-2.0

//! cfg-examples/kamailio/application-server.cfg: levels of service by scope, and the user's token for the server that
//! acts for the user. What the others get is looked at on the wire.

use std::net::UdpSocket;
use std::time::Duration;

use crate::phones::{ALICE, key_of, prove_in_header, proxy_provider, register, run, sign_in, stored, with_code};
use crate::stack::{Stack, configured, scripted_provider};
use crate::support::authorization_server::AuthorizationServer;
use crate::support::patience::{self, PATIENCE, SILENCE};
use crate::support::scripted_server::{self, ScriptedServer};
use crate::support::sip::{Reply, Request};
use crate::support::temporary::Directory;
use crate::support::token::{self, TestKey};

const BOB: &str = "sip:bob@example.test";
const CONFERENCE: &str = "sip:conference-7@example.test";
const NUMBER: &str = "sip:+4930123456@example.test";
const SCOPES: &str =
    "method_scopes=INVITE=sip.call,MESSAGE=sip.message;services=pstn=sip.pstn,conference=sip.conference";

/// A server behind the proxy that answers nothing: everything that reaches it.
struct Hop(UdpSocket);

impl Hop {
    fn new() -> Hop {
        Hop(UdpSocket::bind("127.0.0.1:0").expect("a free port"))
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("bound").port()
    }

    /// Of the requests that reach it, as the example compares it.
    fn address(&self) -> String {
        format!("^127[.]0[.]0[.]1:{}$", self.port())
    }

    fn uri(&self) -> String {
        format!("sip:127.0.0.1:{}", self.port())
    }

    /// Nothing comes, though a request that was on its way would have.
    fn gets_nothing(&self) {
        let heard = patience::receive(&self.0, SILENCE).map(|octets| String::from_utf8_lossy(&octets).into_owned());
        assert!(heard.is_err(), "{heard:?}");
    }

    /// The same but for ACKs, which only go on with what a server knows: it drops those of no dialog of its own.
    fn gets_nothing_but_acks(&self) {
        for heard in self.received_within(SILENCE) {
            assert!(heard.starts_with("ACK "), "{heard}");
        }
    }

    /// All requests that come until there is silence; there must be one.
    fn received(&self) -> Vec<String> {
        self.received_within(PATIENCE)
    }

    /// The same, but the first must come in this time.
    fn received_within(&self, time: Duration) -> Vec<String> {
        let mut all = Vec::new();
        let mut limit = time;
        while let Ok(octets) = patience::receive(&self.0, limit) {
            all.push(String::from_utf8(octets).expect("text"));
            limit = SILENCE;
        }
        all
    }
}

struct Plant {
    key: TestKey,
    server: ScriptedServer,
    application: Hop,
    gateway: Hop,
    stack: Stack,
}

impl Plant {
    fn start(cfg: &str, more: &str) -> Plant {
        Plant::with_provider(cfg, |server| format!("{};{more}", scripted_provider(server)))
    }

    fn with_provider(cfg: &str, provider: impl Fn(&ScriptedServer) -> String) -> Plant {
        let key = TestKey::p256("k");
        let server = ScriptedServer::start(scripted_server::key_set(&[key.jwk()]));
        let (application, gateway) = (Hop::new(), Hop::new());
        let builder = configured(cfg, &provider(&server))
            .define_string("APPLICATION_SERVER", &application.uri())
            .define_string("GATEWAY", &gateway.uri())
            .define_string("APPLICATION_SERVER_ADDRESS", &application.address())
            .define_string("GATEWAY_ADDRESS", &gateway.address())
            .define_string("GATEWAY_HOST", "127.0.0.1")
            .define_string("GATEWAY_PORT", &gateway.port().to_string());
        let stack = Stack::new(builder);
        stack.wait_for_keys();
        Plant { key, server, application, gateway, stack }
    }

    fn token(&self, scope: &str) -> String {
        let mut claims = token::claims(&self.server.issuer(), "sip", "alice", 300);
        claims["scope"] = scope.into();
        self.stack.secrets.keep(self.key.token("ES256", &claims))
    }

    fn message(&self, method: &str, to: &str, token: &str) -> Request {
        Request::new(method, to, ALICE).with("Authorization", format!("Bearer {token}"))
    }

    /// A request that is refused.
    fn refused(&self, method: &str, to: &str, scope: &str) -> Reply {
        let reply = self.stack.request(&mut self.stack.udp(), &self.message(method, to, &self.token(scope)));
        assert_eq!(reply.status, 401, "{reply:?}\n{}", self.stack.module_log());
        reply
    }

    /// A request that goes on; no answer comes.
    fn sent(&self, to: &str, token: &str) {
        self.stack.udp().send(&self.message("MESSAGE", to, token)).expect("sent");
    }
}

/// The proxy's own, by which requests within the dialog come back over it.
fn record_route(request: &str) -> String {
    request.lines().find_map(|line| line.strip_prefix("Record-Route: ")).expect("a Record-Route").trim().to_owned()
}

fn challenge(reply: &Reply) -> &str {
    reply.header("WWW-Authenticate").expect("a challenge")
}

#[test]
fn an_invite_without_the_scope_for_calls_is_refused_with_invalid_scope() {
    let plant = Plant::start("application-server.cfg", &format!("{SCOPES};required_scopes=sip"));
    let reply = plant.refused("INVITE", BOB, "openid sip sip.message");
    let text = challenge(&reply);
    assert!(text.contains("error=\"invalid_scope\"") && text.contains("scope=\"sip sip.call\""), "{text}");
    let reply = plant.refused("INVITE", BOB, "sip.call");
    assert!(challenge(&reply).contains("scope=\"sip sip.call\""), "all that is needed: {reply:?}");
    // The same token, from the cache now, is good for other methods.
    let token = plant.token("openid sip sip.message");
    let mut phone = plant.stack.tcp();
    for (method, status) in [("MESSAGE", 404), ("INVITE", 401), ("SUBSCRIBE", 404), ("INVITE", 401)] {
        let reply = plant.stack.request(&mut phone, &plant.message(method, BOB, &token));
        assert_eq!(reply.status, status, "{method}: {reply:?}");
    }
    assert_eq!(plant.stack.counter("cache_hits"), 3);
    assert_eq!(plant.stack.counter("reason_insufficient_scope"), 4);
    // Who has no token yet is told at once what a call needs.
    let reply = plant.stack.request(&mut plant.stack.udp(), &Request::new("INVITE", BOB, ALICE));
    assert!(challenge(&reply).contains("scope=\"sip sip.call\"") && !challenge(&reply).contains("error"), "{reply:?}");
    let log = plant.stack.module_log();
    assert!(log.contains("401 insufficient_scope") && log.contains("needed_scope=sip sip.call"), "{log}");
    plant.stack.finish();
}

#[test]
fn the_status_of_a_missing_scope_is_a_setting() {
    let directory = Directory::new("scopes");
    let settings = directory.write("settings.toml", "scope_status = 403\n");
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(scripted_server::key_set(&[key.jwk()]));
    let builder = configured("registrar-sso.cfg", &format!("{};{SCOPES}", scripted_provider(&server)));
    let stack = Stack::new(builder.define_string("CONFIG_FILE", settings.to_str().expect("UTF-8")));
    stack.wait_for_keys();
    let token = stack.secrets.keep(key.token("ES256", &token::claims(&server.issuer(), "sip", "alice", 300)));
    let message = Request::new("MESSAGE", BOB, ALICE).with("Authorization", format!("Bearer {token}"));
    assert_eq!(stack.request(&mut stack.udp(), &message).status, 403);
    stack.finish();
}

#[test]
fn a_service_without_its_scope_is_refused_with_that_scope() {
    let plant = Plant::start("application-server.cfg", SCOPES);
    let reply = plant.refused("MESSAGE", NUMBER, "sip sip.message sip.conference");
    let text = challenge(&reply);
    assert!(text.contains("error=\"invalid_scope\"") && text.contains("scope=\"sip.pstn\""), "{text}");
    let reply = plant.refused("MESSAGE", CONFERENCE, "sip sip.message sip.pstn");
    assert!(challenge(&reply).contains("scope=\"sip.conference\""), "{reply:?}");
    plant.application.gets_nothing();
    plant.gateway.gets_nothing();
    plant.stack.finish();
}

#[test]
fn the_application_server_gets_the_token_and_nobody_else() {
    let plant = Plant::start("application-server.cfg", SCOPES);
    let token = plant.token("sip sip.message sip.pstn sip.conference");
    plant.sent(CONFERENCE, &token);
    let seen = plant.application.received();
    assert!(!seen.is_empty(), "{}", plant.stack.module_log());
    for message in &seen {
        assert!(message.starts_with("MESSAGE sip:conference-7@"), "{message}");
        assert_eq!(message.matches(&format!("Authorization: Bearer {token}\r\n")).count(), 1, "{message}");
        assert_eq!(message.matches("Bearer").count(), 1, "{message}");
    }
    assert!(plant.stack.counter("tokens_forwarded") == 1, "retransmissions are copies");

    plant.sent(NUMBER, &token);
    let seen = plant.gateway.received();
    assert!(!seen.is_empty() && seen.iter().all(|m| m.starts_with("MESSAGE sip:+4930123456@")), "{seen:?}");
    assert!(seen.iter().all(|m| !m.contains(&token) && !m.contains("Bearer")), "{seen:?}");

    // Nor another phone.
    let mut bob = plant.stack.udp();
    let claims = token::claims(&plant.server.issuer(), "sip", "bob", 300);
    let bobs = plant.stack.secrets.keep(plant.key.token("ES256", &claims));
    let mut request = Request::register(BOB).with("Authorization", format!("Bearer {bobs}"));
    request.set("Contact", format!("<sip:bob@127.0.0.1:{}>", bob.local_port()));
    assert_eq!(plant.stack.request(&mut bob, &request).status, 200);
    plant.sent(BOB, &token);
    let seen = String::from_utf8(bob.receive_request(PATIENCE).expect("a message")).expect("text");
    assert!(seen.starts_with("MESSAGE") && !seen.contains(&token) && !seen.contains("Bearer"), "{seen}");
    assert_eq!(plant.stack.counter("tokens_forwarded"), 1);
    plant.stack.finish();
}

#[test]
fn no_other_way_leads_the_token_to_somebody_else() {
    let plant = Plant::start("tests/e2e/forward.cfg", SCOPES);
    let token = plant.token("sip sip.message sip.pstn");
    for (way, application, gateway) in [
        ("serial", Some(true), true),
        ("parallel", Some(true), true),
        ("explicit", None, true),
        ("maddr", Some(false), false),
        ("uri", Some(false), false),
        ("refused", Some(false), false),
        ("asked", Some(true), false),
        ("other", None, true),
    ] {
        plant.sent(&format!("sip:{way}@example.test"), &token);
        if let Some(has_token) = application {
            let seen = plant.application.received();
            assert!(!seen.is_empty(), "{way}: {}", plant.stack.module_log());
            assert!(seen.iter().all(|m| m.contains(&token) == has_token), "{way}: {seen:?}");
            let identity = "X-Alice: sip:alice@example.test alice pstn";
            assert!(way != "asked" || seen.iter().all(|m| m.contains(identity)), "{way}: {seen:?}");
        }
        if gateway {
            let seen = plant.gateway.received();
            assert!(!seen.is_empty(), "{way}: {}", plant.stack.module_log());
            assert!(seen.iter().all(|m| !m.contains(&token) && !m.contains("Bearer")), "{way}: {seen:?}");
        }
        // Copies on the way are not the next message's, and no other than these.
        let late = [(&plant.application, application), (&plant.gateway, gateway.then_some(false))];
        for (hop, expected) in late {
            let seen = hop.received_within(SILENCE);
            assert!(seen.is_empty() || expected.is_some(), "{way}: {seen:?}");
            assert!(seen.iter().all(|m| m.contains(&token) == (expected == Some(true))), "{way}: {seen:?}");
        }
    }
    plant.stack.finish();
}

/// A REGISTER of Alice with this Contact.
fn bind_alice(plant: &Plant, contact: &str, token: &str) {
    let mut request = Request::register(ALICE).with("Authorization", format!("Bearer {token}"));
    request.set("Contact", format!("<{contact}>"));
    let reply = plant.stack.request(&mut plant.stack.udp(), &request);
    assert_eq!(reply.status, 200, "{reply:?}\n{}", plant.stack.module_log());
}

/// Toll fraud: a Contact is where calls go, and everybody writes his own.
#[test]
fn a_contact_at_the_gateway_gives_nobody_its_service() {
    let plant = Plant::start("application-server.cfg", SCOPES);
    let (gateway, application) = (plant.gateway.port(), plant.application.port());
    let token = plant.token("sip sip.call sip.message");
    // A name of which nobody can tell where it leads is as good as the address.
    for (hop, target) in [
        (&plant.gateway, format!("sip:+49900123@127.0.0.1:{gateway}")),
        (&plant.gateway, format!("sip:+49900123@localhost:{gateway}")),
        (&plant.gateway, format!("sip:+49900123@example.invalid:{gateway};maddr=127.0.0.1")),
        (&plant.application, format!("sip:conference-7@127.0.0.1:{application}")),
    ] {
        bind_alice(&plant, &target, &token);
        for method in ["INVITE", "MESSAGE"] {
            let reply = plant.stack.request(&mut plant.stack.udp(), &plant.message(method, ALICE, &token));
            assert!(reply.status >= 400, "{target}: {reply:?}");
            hop.gets_nothing();
        }
        let mut request = Request::register(ALICE).with("Authorization", format!("Bearer {token}"));
        request.set("Contact", "*").set("Expires", "0");
        assert_eq!(plant.stack.request(&mut plant.stack.udp(), &request).status, 200);
    }
    // Nor does somebody else's scope: a call to Alice is not one to the gateway.
    bind_alice(&plant, &format!("sip:+49900123@127.0.0.1:{gateway}"), &token);
    let mut claims = token::claims(&plant.server.issuer(), "sip", "bob", 300);
    claims["scope"] = "sip sip.message sip.pstn".into();
    let bobs = plant.stack.secrets.keep(plant.key.token("ES256", &claims));
    let message = Request::new("MESSAGE", ALICE, BOB).with("Authorization", format!("Bearer {bobs}"));
    assert!(plant.stack.request(&mut plant.stack.udp(), &message).status >= 400);
    plant.gateway.gets_nothing();
    plant.stack.finish();
}

#[test]
fn an_invented_dialog_leads_nobody_to_the_gateway() {
    let plant = Plant::start("application-server.cfg", SCOPES);
    let poor = plant.token("sip sip.call sip.message");
    let proxy = format!("sip:127.0.0.1:{};lr", plant.stack.kamailio.port());
    let (gateway, application) = (plant.gateway.uri(), plant.application.uri());
    for (target, routes) in [
        (&gateway, vec![format!("<{proxy}>")]),
        (&gateway, vec![format!("<{proxy};service=conference>")]),
        (&application, vec![format!("<{proxy}>")]),
        (&ALICE.to_owned(), vec![format!("<{proxy}>"), format!("<{gateway};lr>")]),
    ] {
        for method in ["INVITE", "MESSAGE"] {
            let mut request = plant.message(method, target, &poor);
            request.set("To", "<sip:+49900123@example.test>;tag=invented");
            for route in &routes {
                request.add("Route", route.as_str());
            }
            let reply = plant.stack.request(&mut plant.stack.udp(), &request);
            assert!(reply.status >= 400, "{routes:?}: {reply:?}");
            plant.gateway.gets_nothing_but_acks();
            plant.application.gets_nothing_but_acks();
        }
    }
    // A dialog that names the service needs its scope in every request.
    let rich = plant.token("sip sip.call sip.pstn");
    let mut request = plant.message("INVITE", NUMBER, &rich);
    plant.stack.udp().send(&request).expect("sent");
    let route = record_route(&plant.gateway.received().remove(0));
    assert!(route.contains(";service=pstn"), "{route}");
    request.uri.clone_from(&gateway);
    request.set("To", format!("<{NUMBER}>;tag=real")).set("Route", &*route);
    request.next().set("Authorization", format!("Bearer {poor}"));
    let reply = plant.stack.request(&mut plant.stack.udp(), &request);
    assert!(reply.status == 401 && challenge(&reply).contains("scope=\"sip.pstn\""), "{reply:?}");
    request.next().set("Route", route.replace(";service=pstn", ""));
    let reply = plant.stack.request(&mut plant.stack.udp(), &request);
    assert!(reply.status >= 400, "{reply:?}");
    // The first INVITE, which nobody has answered, may come again.
    let again = |seen: &String| seen.starts_with("INVITE ") && seen.contains(";tag=real");
    let seen = plant.gateway.received_within(Duration::from_millis(700));
    assert!(!seen.iter().any(again), "{seen:?}");
    request.next().set("Authorization", format!("Bearer {rich}")).set("Route", route);
    plant.stack.udp().send(&request).expect("sent");
    assert!(plant.gateway.received().iter().any(again));
    plant.stack.finish();
}

/// Phones take the Request-URI of what follows from the server's Contact; the token goes where `$du` leads.
#[test]
fn within_its_dialog_the_application_server_gets_the_token_again() {
    let plant = Plant::start("application-server.cfg", SCOPES);
    let token = plant.token("sip sip.call sip.conference");
    let mut again = plant.message("INVITE", CONFERENCE, &token);
    plant.stack.udp().send(&again).expect("sent");
    let route = record_route(&plant.application.received().remove(0));
    again.uri = plant.application.uri();
    again.next().set("To", "<sip:conference-7@example.test>;tag=server").set("Route", route);
    plant.stack.udp().send(&again).expect("sent");
    let seen = plant.application.received();
    let again: Vec<_> = seen.iter().filter(|m| m.contains(";tag=server")).collect();
    assert!(!again.is_empty(), "{seen:?}\n{}", plant.stack.module_log());
    assert!(again.iter().all(|m| m.contains(&token)), "{again:?}");
    plant.stack.finish();
}

#[test]
fn a_number_that_a_user_has_registered_does_not_ring_at_the_gateway() {
    let plant = Plant::with_provider("application-server.cfg", |server| {
        let provider = scripted_provider(server).replace("aor={sip}", "aor=sip:{phone_number|e164}@{domain};e164=49");
        format!("{provider};{SCOPES}")
    });
    let mut claims = token::claims(&plant.server.issuer(), "sip", "bob", 300);
    claims["phone_number"] = "030 555-1".into();
    let bobs = plant.stack.secrets.keep(plant.key.token("ES256", &claims));
    let mut bob = plant.stack.udp();
    let mut request = Request::register("sip:0305551@example.test").with("Authorization", format!("Bearer {bobs}"));
    request.set("Contact", format!("<sip:bob@127.0.0.1:{}>", bob.local_port()));
    let reply = plant.stack.request(&mut bob, &request);
    assert_eq!(reply.status, 200, "{reply:?}\n{}", plant.stack.module_log());
    claims["phone_number"] = "+49 30 5552".into();
    claims["scope"] = "sip sip.message".into();
    let token = plant.stack.secrets.keep(plant.key.token("ES256", &claims));
    for number in ["+49305551", "0305551", "0049305551"] {
        let message = Request::new("MESSAGE", &format!("sip:{number}@example.test"), "sip:0305552@example.test")
            .with("Authorization", format!("Bearer {token}"));
        plant.stack.udp().send(&message).expect("sent");
        let seen = bob.receive_request(PATIENCE).unwrap_or_else(|e| {
            panic!("{number}: {e}\n{}", plant.stack.module_log());
        });
        let seen = String::from_utf8(seen).expect("text");
        assert!(seen.starts_with("MESSAGE sip:bob@"), "{seen}");
        while bob.receive_octets(Duration::from_millis(50)).is_ok() {}
    }
    plant.gateway.gets_nothing();
    plant.stack.finish();
}

#[test]
fn a_user_who_is_called_like_a_number_does_not_register_as_it() {
    let plant = Plant::with_provider("application-server.cfg", |server| {
        let aor = "aor=sip:{preferred_username}@{domain},sip:{phone_number|verified|e164}@{domain};e164=49";
        format!("{};{SCOPES}", scripted_provider(server).replace("aor={sip}", aor))
    });
    let register = |changes: &[(&str, serde_json::Value)], user: &str| {
        let mut claims = token::claims(&plant.server.issuer(), "sip", "mallory", 300);
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        let token = plant.stack.secrets.keep(plant.key.token("ES256", &claims));
        let mut phone = plant.stack.udp();
        let mut request = Request::register(&format!("sip:{user}@example.test"));
        request = request.with("Authorization", format!("Bearer {token}"));
        request.set("Contact", format!("<sip:mallory@127.0.0.1:{}>", phone.local_port()));
        plant.stack.request(&mut phone, &request).status
    };
    for name in ["030-5551", "0049.30.5551", "0305551", "+49305551", "%2B49305551"] {
        let named = [("preferred_username", name.into())];
        for user in [name, "+49305551"] {
            assert_eq!(register(&named, user), 403, "{name} as {user}\n{}", plant.stack.module_log());
        }
    }
    let unverified = [("phone_number", "030 5551".into())];
    assert_eq!(register(&unverified, "0305551"), 403);
    let verified = [("phone_number", "030 5551".into()), ("phone_number_verified", true.into())];
    for user in ["0305551", "+49305551", "mallory"] {
        assert_eq!(register(&verified, user), 200, "{user}\n{}", plant.stack.module_log());
    }
    plant.stack.finish();
}

#[test]
fn a_session_has_the_token_that_the_proxy_holds() {
    let (directory, server, application) = (Directory::new("sessions"), AuthorizationServer::start(), Hop::new());
    let provider =
        format!("{};method_scopes=INVITE=sip.call;services=conference=sip,pstn=sip.pstn", proxy_provider(&server));
    let builder = stored("application-server.cfg", &provider, &directory);
    let stack = run(builder.define_string("APPLICATION_SERVER", &application.uri()));
    let login = sign_in(&stack, &server, "alice");
    let (request, reply) = register(&stack, &mut stack.tcp(), with_code(ALICE, &login));
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    let key = key_of(&stack, &login, &request, &reply);

    stack.udp().send(&prove_in_header(&key, Request::new("MESSAGE", CONFERENCE, ALICE))).expect("sent");
    let seen = application.received();
    assert!(!seen.is_empty(), "{}", stack.module_log());
    let credentials = seen[0].lines().find_map(|l| l.strip_prefix("Authorization: Bearer ")).expect("a token");
    stack.secrets.keep(credentials);
    assert!(!seen[0].contains("pop="), "{}", seen[0]);
    let claims = token::unverified_claims(credentials);
    assert_eq!((&claims["sub"], &claims["iss"]), (&"alice".into(), &server.issuer().into()), "{claims}");

    // Its stored scopes decide, too.
    let reply = stack.request(&mut stack.udp(), &prove_in_header(&key, Request::new("INVITE", BOB, ALICE)));
    assert_eq!(reply.status, 401, "{reply:?}");
    assert!(
        challenge(&reply).contains("error=\"invalid_scope\"") && challenge(&reply).contains("sip.call"),
        "{reply:?}"
    );
    let reply = stack.request(&mut stack.udp(), &prove_in_header(&key, Request::new("MESSAGE", NUMBER, ALICE)));
    assert!(reply.status == 401 && challenge(&reply).contains("scope=\"sip.pstn\""), "{reply:?}");
    stack.finish();
}
