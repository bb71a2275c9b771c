// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who gets requests through the examples without having been let in: invented dialogs, routes that phones write
//! themselves, marks of other dialogs. And the calls that must go on beside that.

use std::net::UdpSocket;
use std::time::Duration;

use crate::phones::{ALICE, STORE_KEY, proxy_provider, run, stored};
use crate::stack::{Stack, configured, provider, scripted_provider};
use crate::support::authorization_server::AuthorizationServer;
use crate::support::host::is_opensips;
use crate::support::kamailio::Builder;
use crate::support::kit;
use crate::support::patience::{self, PATIENCE};
use crate::support::redis::{PASSWORD, Redis};
use crate::support::scripted_server::{self, ScriptedServer};
use crate::support::sip::{Client, Reply, Request, unique};
use crate::support::temporary::Directory;
use crate::support::token::{self, TestKey};

const BOB: &str = "sip:bob@example.test";
/// What phones send within a dialog without a token.
const GOING_ON: [&str; 6] = ["BYE", "PRACK", "UPDATE", "INFO", "NOTIFY", "ACK"];
const CHECKED: [&str; 6] = ["INVITE", "MESSAGE", "SUBSCRIBE", "OPTIONS", "PUBLISH", "REFER"];

/// Somebody whom nobody may reach through the proxy.
pub struct Elsewhere(UdpSocket);

impl Elsewhere {
    pub fn new() -> Elsewhere {
        Elsewhere(UdpSocket::bind("127.0.0.1:0").expect("a free port"))
    }

    pub fn address(&self) -> String {
        self.0.local_addr().expect("bound").to_string()
    }

    /// The next request that comes.
    pub fn hears(&self) -> String {
        String::from_utf8(patience::receive(&self.0, PATIENCE).expect("a request")).expect("text")
    }

    /// Sends something to the proxy at this port.
    pub fn answers(&self, octets: &[u8], port: u16) {
        self.0.send_to(octets, ("127.0.0.1", port)).expect("sent");
    }

    /// Nothing has come until now: what is sent here now is the first that arrives.
    pub fn has_heard_nothing(&self, what: &str) {
        let mark = unique("mark");
        self.0.send_to(mark.as_bytes(), self.0.local_addr().expect("bound")).expect("sent");
        let heard = patience::receive(&self.0, PATIENCE).expect("at least the mark");
        assert_eq!(String::from_utf8_lossy(&heard), mark, "{what}");
    }
}

/// A running example with what its users need.
struct Place {
    stack: Stack,
    server: AuthorizationServer,
    /// The next hop of proxy-407.cfg; elsewhere bob's phone.
    bob: Client,
    bob_contact: String,
    over_tcp: bool,
    forwards: bool,
    _directory: Directory,
    _redis: Option<Redis>,
}

fn place(name: &str, change: impl FnOnce(Builder) -> Builder) -> Place {
    let directory = Directory::new("dialogs");
    let server = AuthorizationServer::start();
    let mut builder = stored(name, &proxy_provider(&server), &directory)
        .define("WITH_TOKENS", 1)
        .define_string("DESK_USER", "desk")
        .define_string("DESK_PASSWORD", "a-password-of-a-desk-phone")
        .define_string("UNPROTECTED", "yes");
    if ["mixed-fleet.cfg", "mixed-websocket.cfg"].contains(&name) {
        let rules = kit::path("cfg-examples/kamailio/mixed-fleet.toml");
        builder = builder.define_string("CONFIG_FILE", rules.to_str().expect("UTF-8"));
    }
    if name == "sign-in-page.cfg" {
        let settings = directory.write("settings.toml", "typed_codes = true\n");
        builder = builder.define_string("CONFIG_FILE", settings.to_str().expect("UTF-8"));
    }
    if name == "password-tokens.cfg" {
        builder = builder.define_string("DESK_HA1", "0123456789abcdef0123456789abcdef");
    }
    let mut redis = None;
    if name == "cluster.cfg" {
        let password = directory.write("password", PASSWORD);
        let started = Redis::start(&[]);
        builder = builder
            .define_string("STORE", &format!("redis://127.0.0.1:{}/0", started.port()))
            .define_string("STORE_PASSWORD_FILE", password.to_str().expect("UTF-8"));
        redis = Some(started);
    }
    let udp = Client::udp(builder.port());
    let next_hop = format!("sip:127.0.0.1:{}", udp.local_port());
    let stack = run(change(builder.define_string("NEXT_HOP", &next_hop)));
    let over_tcp = name == "per-connection.cfg";
    let bob = if over_tcp { stack.tcp() } else { udp };
    let transport = if over_tcp { ";transport=tcp" } else { "" };
    let bob_contact = format!("sip:bob@127.0.0.1:{}{transport}", bob.local_port());
    let forwards = name == "proxy-407.cfg";
    Place { stack, server, bob, bob_contact, over_tcp, forwards, _directory: directory, _redis: redis }
}

impl Place {
    fn proxy(&self) -> String {
        format!("127.0.0.1:{}", self.stack.kamailio.port())
    }

    fn token(&self, user: &str) -> String {
        format!("Bearer {}", self.stack.secrets.keep(self.server.token(user, "es256")))
    }

    /// Binds bob's phone, where the example is the registrar.
    fn register_bob(&mut self) {
        if self.forwards {
            return;
        }
        let mut register = Request::register(BOB).with("Authorization", self.token("bob"));
        register.set("Contact", format!("<{}>", self.bob_contact));
        assert_eq!(self.stack.request(&mut self.bob, &register).status, 200, "{}", self.stack.module_log());
    }
}

/// It is refused as one of no dialog, and nobody hears of it. An ACK has no answer: once that to a request behind it on
/// the same connection is there, it has been dealt with.
fn leads_nowhere(place: &Place, phone: &mut Client, request: &Request, elsewhere: &Elsewhere) {
    phone.send(request).expect("sent");
    let mut expected = (481, request.header("Call-ID").expect("our own").to_owned());
    if request.method == "ACK" {
        let ping = Request::new("OPTIONS", &format!("sip:{}", place.proxy()), ALICE);
        phone.send(&ping).expect("sent");
        expected = (200, ping.header("Call-ID").expect("our own").to_owned());
    }
    let reply = phone.receive();
    elsewhere.has_heard_nothing(&format!("{request:?}"));
    let reply = reply.unwrap_or_else(|e| panic!("{request:?}: {e}"));
    let got = (reply.status, reply.header("Call-ID").unwrap_or_default().to_owned());
    assert_eq!(got, expected, "{request:?}");
}

/// Ways into a dialog that does not exist: Request-URI and Route header fields.
fn invented(proxy: &str, elsewhere: &str, connection: u16) -> Vec<(String, Vec<String>)> {
    let target = format!("sip:x@{elsewhere}");
    let own = format!("<sip:{proxy};lr>");
    let foreign = format!("<sip:{elsewhere};lr>");
    let mark = "0123456789abcdef0123456789abcdef0123";
    let to_target = |routes: &[String]| (target.clone(), routes.to_vec());
    let mut ways = vec![
        to_target(&[]),
        to_target(std::slice::from_ref(&own)),
        to_target(std::slice::from_ref(&foreign)),
        to_target(&[own.clone(), foreign.clone()]),
        to_target(&[own.clone(), own.clone()]),
        to_target(&[format!("{own}, {own}, {foreign}")]),
        to_target(&[format!("<sip:{proxy}>")]),
        to_target(&["<sip:example.test;lr>".to_owned()]),
        to_target(&[format!("<sip:{proxy};lr;r2=on>"), format!("<sip:{proxy};transport=tcp;lr;r2=on>")]),
    ];
    for parameter in ["oauth", "oauth=", &*format!("oauth={mark}"), "oauth=0", "ftag=1;oauth=ffff"] {
        ways.push(to_target(&[format!("<sip:{proxy};lr;{parameter}>")]));
        ways.push(to_target(&[format!("<sip:{proxy};{parameter};lr>"), foreign.clone()]));
    }
    // As after a strict router, and to the proxy's own users and addresses.
    ways.push((format!("sip:{proxy};lr"), vec![format!("<{target}>")]));
    ways.push((format!("sip:{proxy};lr;oauth={mark}"), vec![foreign.clone(), format!("<{target}>")]));
    ways.push((
        format!("sip:bob@example.test;maddr={}", elsewhere.split(':').next().expect("a host")),
        vec![own.clone()],
    ));
    ways.push((format!("sip:x@y.invalid;alias={}~1", elsewhere.replace(':', "~")), vec![own.clone()]));
    ways.push((format!("sip:x@y.invalid;alias=127.0.0.1~{connection}~2"), vec![own]));
    ways
}

pub fn routed(mut request: Request, routes: &[String]) -> Request {
    for route in routes {
        request.add("Route", route.as_str());
    }
    request
}

/// Nobody gets anywhere with a To tag that he has made up, with or without a token.
fn invented_dialogs_lead_nowhere(place: &mut Place, elsewhere: &Elsewhere) {
    // The victim is connected already, like the phones that ;alias= names.
    let mut victim = place.stack.tcp();
    let mut stranger = place.stack.tcp();
    let token = place.token("alice");
    for (uri, routes) in invented(&place.proxy(), &elsewhere.address(), victim.local_port()) {
        for method in GOING_ON.iter().chain(&CHECKED) {
            let request = Request::new(method, &uri, ALICE).with("To", format!("<{BOB}>;tag=invented"));
            let mut request = routed(request, &routes);
            if CHECKED.contains(method) {
                request.set("Authorization", &*token);
            }
            leads_nowhere(place, &mut stranger, &request, elsewhere);
        }
    }
    let ping = Request::new("OPTIONS", &format!("sip:{}", place.proxy()), ALICE);
    victim.send(&ping).expect("sent");
    assert_eq!(victim.receive().expect("an answer").status, 200, "nothing came before that");
}

/// A signed-in user's Route and Path are nobody's business behind the proxy.
fn preloaded_routes_are_removed(place: &mut Place, elsewhere: &Elsewhere) {
    let (proxy, foreign) = (place.proxy(), elsewhere.address());
    let own = format!("<sip:{proxy};lr>");
    let routes = [
        vec![format!("<sip:{foreign};lr>")],
        vec![own.clone(), format!("<sip:{foreign};lr>")],
        vec![format!("{own}, <sip:{foreign}>")],
    ];
    for routes in routes {
        // OpenSIPS does not read a message with an empty tag.
        let tags = if is_opensips() { &[""][..] } else { &["", ";tag="] };
        for to_tag in tags {
            let request = Request::new("MESSAGE", BOB, ALICE).with("Authorization", place.token("alice"));
            let request = routed(request.with("To", format!("<{BOB}>{to_tag}")), &routes);
            let mut phone = place.stack.tcp();
            // OpenSIPS' sipmsg_validate() refuses a Path there.
            let request = if is_opensips() { request } else { request.with("Path", format!("<sip:{foreign};lr>")) };
            phone.send(&request).expect("sent");
            let received = text(&mut place.bob);
            assert!(received.starts_with("MESSAGE "), "{received}");
            assert!(!received.contains("Route:") && !received.contains("Path:"), "{received}");
            place.bob.send_octets(answer(&received, 200, &place.bob_contact).as_bytes()).expect("sent");
            let reply = phone.receive().expect("an answer");
            assert_eq!(place.stack.note(reply).status, 200);
        }
    }
    // A Path steers nothing, and a To tag makes no dialog of a REGISTER.
    for to_tag in ["", ";tag=invented"] {
        let mut register = Request::register("sip:carol@example.test").with("Authorization", place.token("carol"));
        register.set("Path", format!("<sip:{foreign};lr>")).set("Route", format!("<sip:{foreign};lr>"));
        register.set("Supported", "path").set("To", format!("<sip:carol@example.test>{to_tag}"));
        if place.forwards {
            // The target may even be somebody other than the next hop.
            register.uri = format!("sip:{foreign}");
            let mut phone = place.stack.tcp();
            phone.send(&register).expect("sent");
            let received = text(&mut place.bob);
            assert!(received.starts_with("REGISTER "), "{received}");
            assert!(!received.contains("Route:") && !received.contains("Path:"), "{received}");
            place.bob.send_octets(answer(&received, 200, &place.bob_contact).as_bytes()).expect("sent");
            assert_eq!(phone.receive().expect("an answer").status, 200);
            continue;
        }
        let reply = place.stack.request(&mut place.stack.tcp(), &register);
        assert_eq!(reply.status, 200, "{reply:?}\n{}", place.stack.module_log());
        let known = place.stack.rpc("ul.lookup", &["location", "carol@example.test"]).expect("carol is known");
        assert!(!known.contains(&foreign), "{known}");
    }
    elsewhere.has_heard_nothing("a preloaded route");
}

pub fn text(phone: &mut Client) -> String {
    let octets = phone.receive_request(PATIENCE).expect("a request");
    String::from_utf8(octets).expect("text")
}

pub fn values(message: &str, name: &str) -> Vec<String> {
    let prefix = format!("{name}: ");
    message.split("\r\n").filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect()
}

/// A reply with what it copies.
pub fn answer(request: &str, status: u16, contact: &str) -> String {
    let mut reply = format!("SIP/2.0 {status} Said\r\n");
    for name in ["Via", "From", "Call-ID", "CSeq", "Record-Route"] {
        values(request, name).iter().for_each(|value| reply += &format!("{name}: {value}\r\n"));
    }
    let to = values(request, "To").remove(0);
    let tag = if to.contains(";tag=") { "" } else { ";tag=callee" };
    reply + &format!("To: {to}{tag}\r\nContact: <{contact}>\r\nContent-Length: 0\r\n\r\n")
}

/// One party's side of a dialog.
#[derive(Clone)]
pub struct Side {
    pub local: String,
    pub remote: String,
    pub call_id: String,
    pub target: String,
    pub routes: Vec<String>,
    pub number: u32,
}

impl Side {
    /// That of the party which this INVITE reached, and answers with the tag "callee".
    pub fn callee(invite: &str) -> Side {
        let header = |name: &str| values(invite, name).remove(0);
        Side {
            local: format!("{};tag=callee", header("To")),
            remote: header("From"),
            call_id: header("Call-ID"),
            target: uri(&header("Contact")),
            routes: values(invite, "Record-Route"),
            number: 0,
        }
    }

    /// That of the party which sent it, after this answer.
    pub fn caller(invite: &Request, answer: &Reply) -> Side {
        let header = |name: &str| invite.header(name).expect("our own").to_owned();
        Side {
            local: header("From"),
            remote: answer.header("To").expect("a To").to_owned(),
            call_id: header("Call-ID"),
            target: uri(answer.header("Contact").expect("a Contact")),
            routes: answer.all("Record-Route").iter().rev().map(|route| (*route).to_owned()).collect(),
            number: 1,
        }
    }

    pub fn request(&mut self, method: &str) -> Request {
        // An ACK has the number of its INVITE.
        self.number += u32::from(method != "ACK");
        let mut request = Request::new(method, &self.target, "sip:x@example.test");
        request.set("From", &*self.local).set("To", &*self.remote).set("Call-ID", &*self.call_id);
        request.set("CSeq", format!("{} {method}", self.number));
        routed(request, &self.routes)
    }
}

pub fn uri(contact: &str) -> String {
    contact.split(['<', '>']).nth(1).expect("a name-addr").to_owned()
}

/// Alice calls bob: what either knows after the 200.
fn call(place: &mut Place, alice: &mut Client) -> [Side; 2] {
    let contact = format!("<sip:alice@127.0.0.1:{};transport=tcp>", alice.local_port());
    let invite =
        Request::new("INVITE", BOB, ALICE).with("Authorization", place.token("alice")).with("Contact", contact);
    alice.send(&invite).expect("sent");
    let received = text(&mut place.bob);
    assert!(received.starts_with("INVITE "), "{received}");
    // Both ends know the dialog with the first provisional answer.
    place.bob.send_octets(answer(&received, 180, &place.bob_contact).as_bytes()).expect("sent");
    let ringing = until(alice, |reply| reply.status == 180);
    let mut sides = [Side::caller(&invite, &ringing), Side::callee(&received)];
    let prack = sides[0].request("PRACK");
    passes(&prack, alice, &mut place.bob);
    place.bob.send_octets(answer(&received, 200, &place.bob_contact).as_bytes()).expect("sent");
    until(alice, |reply| reply.status == 200);
    let ack = Side { number: 1, ..sides[0].clone() }.request("ACK");
    alice.send(&ack).expect("sent");
    assert!(next(&mut place.bob, "ACK").starts_with("ACK "));
    sides
}

/// The next request, a copy of the INVITE apart: the proxy sends it until it knows of an answer.
fn next(phone: &mut Client, method: &str) -> String {
    loop {
        let received = text(phone);
        if method == "INVITE" || !received.starts_with("INVITE ") {
            return received;
        }
    }
}

pub fn until(phone: &mut Client, wanted: impl Fn(&Reply) -> bool) -> Reply {
    loop {
        let reply = phone.receive().expect("an answer");
        if wanted(&reply) {
            return reply;
        }
    }
}

/// A request of one party reaches the other, whose answer comes back. What arrived.
fn passes(request: &Request, from: &mut Client, to: &mut Client) -> String {
    from.send(request).expect("sent");
    let received = next(to, &request.method);
    assert!(received.starts_with(&format!("{} ", request.method)), "{received}");
    assert!(!received.contains("\r\nRoute:") && !received.contains("Bearer"), "{received}");
    to.send_octets(answer(&received, 200, "sip:again@127.0.0.1:9").as_bytes()).expect("sent");
    let number = request.header("CSeq").expect("our own").to_owned();
    until(from, |reply| reply.status == 200 && reply.header("CSeq") == Some(&number));
    received
}

/// What phones send in a call passes, over UDP and TCP, from either side; and what another makes of it does not.
fn calls_go_on(place: &mut Place, elsewhere: &Elsewhere) {
    let mut alice = place.stack.tcp();
    if place.over_tcp {
        let register = Request::register(ALICE).with("Authorization", place.token("alice"));
        assert_eq!(place.stack.request(&mut alice, &register).status, 200);
    }
    let mut sides = call(place, &mut alice);
    for method in ["INFO", "UPDATE", "NOTIFY"] {
        passes(&sides[0].request(method), &mut alice, &mut place.bob);
        passes(&sides[1].request(method), &mut place.bob, &mut alice);
    }
    let tokens = ["alice", "bob"].map(|user| place.token(user));
    let [caller, callee] = &mut sides;
    let again = caller.request("INVITE").with("Authorization", &*tokens[0]).with("Contact", "<sip:a@127.0.0.1:9>");
    passes(&again, &mut alice, &mut place.bob);
    let again = callee.request("INVITE").with("Authorization", &*tokens[1]).with("Contact", "<sip:b@127.0.0.1:9>");
    passes(&again, &mut place.bob, &mut alice);
    marks_serve_their_dialog_only(place, &sides, elsewhere);
    passes(&sides[1].request("BYE"), &mut place.bob, &mut alice);
}

/// Somebody else has seen the dialog's Record-Route header fields.
fn marks_serve_their_dialog_only(place: &Place, sides: &[Side; 2], elsewhere: &Elsewhere) {
    let target = format!("sip:x@{}", elsewhere.address());
    let mut stranger = place.stack.tcp();
    for side in sides {
        let side = Side { target: target.clone(), ..side.clone() };
        let top = &side.routes[0];
        let mark = top.split("oauth=").nth(1).expect("a mark").split([';', '>']).next().expect("split").to_owned();
        let own = format!("<sip:{};lr>", place.proxy());
        let flipped = if mark.ends_with('0') { "1" } else { "0" };
        let flipped = format!("{}{flipped}", &mark[..mark.len() - 1]);
        let mut tries: Vec<Side> = [
            vec![own.clone(), top.clone()],
            vec![format!("{own}, {top}")],
            vec![format!("<sip:{};lr;oauth={mark}>", elsewhere.address())],
            vec![top.replace(&mark, &flipped)],
            vec![top.replace(&mark, &mark[..mark.len() - 2])],
            vec![top.replace(&mark, &format!("{mark}00"))],
            vec![top.replace(";oauth=", ";oauth=0;oauth=")],
            vec![top.replace(&mark, &format!("{mark};oauth={mark}"))],
            vec![top.replace(";oauth=", ";xoauth=")],
        ]
        .map(|routes| Side { routes, ..side.clone() })
        .into();
        tries.push(Side { call_id: format!("{}x", side.call_id), ..side.clone() });
        tries.push(Side { call_id: side.call_id[1..].to_owned(), ..side.clone() });
        let tag = |value: &str| value.replace(";tag=", ";tag=x");
        tries.push(Side { local: tag(&side.local), remote: tag(&side.remote), ..side.clone() });
        for mut side in tries {
            for method in GOING_ON {
                let request = side.request(method);
                leads_nowhere(place, &mut stranger, &request, elsewhere);
            }
        }
    }
}

fn walk(name: &str) {
    let elsewhere = Elsewhere::new();
    let mut place = place(name, |builder| builder);
    place.register_bob();
    invented_dialogs_lead_nowhere(&mut place, &elsewhere);
    preloaded_routes_are_removed(&mut place, &elsewhere);
    calls_go_on(&mut place, &elsewhere);
    place.stack.finish();
}

/// Where the answer depends on the authorization server, a request waits with what was removed from it.
#[test]
fn a_route_stays_removed_while_a_request_waits() {
    let (old, new) = (TestKey::p256("old"), TestKey::p256("new"));
    let server = ScriptedServer::start(scripted_server::key_set(&[old.jwk()]));
    let (elsewhere, next) = (Elsewhere::new(), Elsewhere::new());
    let builder = configured("proxy-407.cfg", &scripted_provider(&server));
    let stack = Stack::new(builder.define_string("NEXT_HOP", &format!("sip:{}", next.address())));
    stack.wait_for_keys();
    server.set_keys(scripted_server::key_set(&[old.jwk(), new.jwk()]));
    let token = stack.secrets.keep(new.token("ES256", &token::claims(&server.issuer(), "sip", "alice", 300)));
    let mut message = Request::new("MESSAGE", BOB, ALICE).with("Proxy-Authorization", format!("Bearer {token}"));
    let foreign = format!("<sip:{};lr>", elsewhere.address());
    message.set("Route", &*foreign);
    // OpenSIPS' sipmsg_validate() refuses a Path there.
    if !is_opensips() {
        message.set("Path", foreign);
    }
    stack.udp().send(&message).expect("sent");
    let received = next.hears();
    assert!(
        received.starts_with("MESSAGE ") && !received.contains("Route:") && !received.contains("Path:"),
        "{received}"
    );
    assert_eq!(stack.counter("resumed"), 1);
    elsewhere.has_heard_nothing("a preloaded route");
    stack.finish();
}

/// These have the Route of their INVITE, which has no mark, and belong to its transaction.
#[test]
fn what_belongs_to_a_transaction_needs_no_mark() {
    let elsewhere = Elsewhere::new();
    let mut place = place("registrar-sso.cfg", |builder| builder);
    place.register_bob();
    let own = format!("<sip:{};lr>", place.proxy());
    let mut alice = place.stack.udp();
    let branch = |name: &str| format!("SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{name};rport");
    let invite = |to: &str, via: &str| {
        let invite = Request::new("INVITE", to, ALICE).with("Via", via).with("Route", &*own);
        invite.with("Contact", "<sip:a@127.0.0.1:9>")
    };
    // Bob is busy: the ACK for that ends the transaction.
    let refused = invite(BOB, &branch(&unique("r"))).with("Authorization", place.token("alice"));
    alice.send(&refused).expect("sent");
    let received = text(&mut place.bob);
    place.bob.send_octets(answer(&received, 486, &place.bob_contact).as_bytes()).expect("sent");
    let reply = until(&mut alice, |reply| reply.status == 486);
    assert!(next(&mut place.bob, "ACK").starts_with("ACK "));
    let mut ack = Request { method: "ACK".to_owned(), ..refused };
    ack.set("CSeq", "1 ACK").set("To", reply.header("To").expect("a To"));
    ack.add("Route", format!("<sip:{};lr>", elsewhere.address()));
    alice.send(&ack).expect("sent");
    place.stack.wait_until("the transaction has ended", || {
        let stats = place.stack.rpc("tm.stats", &[]).expect("tm has it");
        stats.lines().any(|line| line.trim().strip_prefix("waiting: ").is_some_and(|count| count != "0"))
    });
    elsewhere.has_heard_nothing("an ACK");
    // Alice hangs up while it rings.
    let ringing = invite(BOB, &branch(&unique("c"))).with("Authorization", place.token("alice"));
    alice.send(&ringing).expect("sent");
    let received = text(&mut place.bob);
    place.bob.send_octets(answer(&received, 180, &place.bob_contact).as_bytes()).expect("sent");
    until(&mut alice, |reply| reply.status == 180);
    let mut cancel = Request { method: "CANCEL".to_owned(), ..ringing };
    cancel.headers.retain(|(name, _)| !["Authorization", "Contact"].contains(&&**name));
    // A copy of it from elsewhere ends nothing.
    let mut stranger = place.stack.tcp();
    stranger
        .send(&cancel.clone().with("CSeq", "1 CANCEL").with("From", "<sip:nobody@nowhere.invalid>;tag=n"))
        .expect("sent");
    until(&mut stranger, |reply| reply.status == 481);
    assert!(place.bob.receive_octets(Duration::from_millis(500)).is_err());
    alice.send(&cancel.with("CSeq", "1 CANCEL")).expect("sent");
    assert!(next(&mut place.bob, "CANCEL").starts_with("CANCEL "));
    place.stack.finish();
}

/// The first INVITE of a call as bob has it, and the first party's side.
fn begun(place: &mut Place) -> (Client, [Side; 2]) {
    place.register_bob();
    let mut alice = place.stack.tcp();
    let sides = call(place, &mut alice);
    (alice, sides)
}

/// With a secret of its own, which needs no store, a proxy knows its dialogs again; without it they end.
#[test]
fn dialogs_outlive_a_restart_with_a_key_only() {
    let directory = Directory::new("dialogs");
    let key = directory.write("key", "a secret of the tests, at least 32 octets");
    for kept in [true, false] {
        let server = AuthorizationServer::start();
        let mut builder = configured("registrar-sso.cfg", &provider(server.issuer()));
        if kept {
            builder = builder.define_string("STORE_KEY_FILE", key.to_str().expect("UTF-8"));
        }
        let bob = Client::udp(builder.port());
        let bob_contact = format!("sip:bob@127.0.0.1:{}", bob.local_port());
        let again = builder.clone();
        let stack = Stack::new(builder);
        stack.wait_for_keys();
        let (over_tcp, forwards, _directory) = (false, false, Directory::new("dialogs"));
        let mut place = Place { stack, server, bob, bob_contact, over_tcp, forwards, _directory, _redis: None };
        let (alice, mut sides) = begun(&mut place);
        drop(alice);
        place.stack.finish();
        place.stack = Stack::new(again);
        let mut alice = place.stack.tcp();
        let bye = sides[0].request("BYE");
        if kept {
            passes(&bye, &mut alice, &mut place.bob);
        } else {
            let reply = place.stack.request(&mut alice, &bye);
            assert_eq!(reply.status, 481);
        }
        place.stack.finish();
    }
}

/// cluster.cfg: who takes over the address of a proxy goes on with its dialogs.
#[test]
fn another_proxy_of_the_cluster_knows_the_dialog() {
    let mut one = place("cluster.cfg", |builder| builder);
    let (mut alice, mut sides) = begun(&mut one);
    let redis = one._redis.as_ref().expect("the cluster has one").port();
    let store = format!("redis://127.0.0.1:{redis}/0");
    let with_key = |name: &str, key: &str| {
        let port = one.stack.kamailio.port();
        place("cluster.cfg", |builder| {
            let file = one._directory.write(name, key);
            let builder = builder.define_string("STORE", &store).define("PEER", format!("127.0.0.1:{port}"));
            builder.define_string("STORE_KEY_FILE", file.to_str().expect("UTF-8"))
        })
    };
    let two = with_key("same", STORE_KEY);
    let target = Elsewhere::new();
    let info = Side { target: format!("sip:x@{}", target.address()), ..sides[0].clone() }.request("INFO");
    two.stack.tcp().send(&info).expect("sent");
    assert!(target.hears().starts_with("INFO "));
    two.stack.finish();
    let foreign = with_key("other", "another secret of the tests, 32 octets and more");
    assert_eq!(foreign.stack.request(&mut foreign.stack.tcp(), &info).status, 481);
    foreign.stack.finish();
    passes(&sides[0].request("BYE"), &mut alice, &mut one.bob);
    one.stack.finish();
}

macro_rules! walks_around {
    ($($test:ident = $name:literal,)*) => {
        $(
            #[test]
            fn $test() {
                walk($name);
            }
        )*

        /// No example is left out.
        #[test]
        fn every_example_is_walked_around() {
            let walked = [$($name,)* "common.cfg", "dialogs.cfg", "outbound-edge.cfg", "outbound-registrar.cfg"];
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/cfg-examples/kamailio");
            for entry in std::fs::read_dir(folder).expect("part of the project") {
                let name = entry.expect("readable").file_name().into_string().expect("UTF-8");
                assert!(!name.ends_with(".cfg") || walked.contains(&&*name), "{name}");
            }
        }
    };
}

walks_around! {
    application_server = "application-server.cfg",
    browser_websocket = "browser-websocket.cfg",
    cluster = "cluster.cfg",
    desk_phone_code = "desk-phone-code.cfg",
    foreign_tokens = "foreign-tokens.cfg",
    key_derivation = "key-derivation.cfg",
    master_key = "master-key.cfg",
    mixed_fleet = "mixed-fleet.cfg",
    mixed_websocket = "mixed-websocket.cfg",
    password_tokens = "password-tokens.cfg",
    per_connection = "per-connection.cfg",
    proxy_407 = "proxy-407.cfg",
    public_ua = "public-ua.cfg",
    refer = "refer.cfg",
    registrar_sso = "registrar-sso.cfg",
    sign_in_page = "sign-in-page.cfg",
}
