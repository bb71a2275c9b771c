// SPDX-License-Identifier: MIT OR Apache-2.0

//! The example refer.cfg: users with tokens refer each other, to phones that know nothing of RFC 7614.

use crate::refer::{Subscriber, answer, answer_with, events_at};
use crate::stack::{Stack, configured, scripted_provider};
use crate::support::host::is_opensips;
use crate::support::kamailio::Builder;
use crate::support::patience::PATIENCE;
use crate::support::scripted_server::{self, ScriptedServer};
use crate::support::sip::{Client, Reply, Request};
use crate::support::token::{TestKey, claims};

const ALICE: &str = "sip:alice@example.test";
const BOB: &str = "sip:bob@example.test";

struct Place {
    stack: Stack,
    server: ScriptedServer,
    key: TestKey,
    alice: Client,
    bob: Client,
}

/// alice and bob are registered.
fn place(change: impl FnOnce(Builder) -> Builder) -> Place {
    place_with("", change)
}

/// The same with more in the provider's line.
fn place_with(more: &str, change: impl FnOnce(Builder) -> Builder) -> Place {
    let key = TestKey::p256("k1");
    let server = ScriptedServer::start(scripted_server::key_set(&[key.jwk()]));
    let provider = format!("{}{more}", scripted_provider(&server));
    let stack = Stack::new(change(configured("refer.cfg", &provider)));
    stack.wait_for_keys();
    let (alice, bob) = (stack.udp(), stack.udp());
    let mut place = Place { stack, server, key, alice, bob };
    for user in ["alice", "bob"] {
        let token = place.token(user);
        let client = if user == "alice" { &mut place.alice } else { &mut place.bob };
        let contact = format!("<sip:{user}@127.0.0.1:{}>", client.local_port());
        let register = Request::register(&format!("sip:{user}@example.test"));
        let register = register.with("Authorization", token).with("Contact", contact);
        assert_eq!(place.stack.request(client, &register).status, 200);
    }
    place
}

impl Place {
    fn token(&self, user: &str) -> String {
        self.token_with(user, "sip")
    }

    fn token_with(&self, user: &str, scope: &str) -> String {
        let mut claims = claims(&self.server.issuer(), "sip", user, 600);
        claims["scope"] = scope.into();
        claims["sip"] = format!("sip:{user}@example.test").into();
        let token = self.key.token("ES256", &claims);
        self.stack.secrets.keep(&token);
        format!("Bearer {token}")
    }

    /// A request of alice with her token.
    fn of_alice(&self, method: &str) -> Request {
        let request = Request::new(method, BOB, ALICE).with("Authorization", self.token("alice"));
        request.with("Contact", format!("<sip:alice@127.0.0.1:{}>", self.alice.local_port()))
    }

    /// A REFER of alice to bob, whose events she wants to subscribe to by herself.
    fn explicit_refer(&self) -> Request {
        self.of_alice("REFER").with("Refer-To", "<sip:carol@example.test>").with("Require", "explicitsub")
    }

    /// A call of alice to bob that was answered: a request of alice in it, without method.
    fn call(&mut self) -> Request {
        let invite = self.of_alice("INVITE");
        self.alice.send(&invite).expect("sent");
        let got = self.bob_gets();
        self.bob_answers(&got, "200 OK");
        let reply = self.alice_gets();
        assert_eq!(reply.status, 200);
        let mut route = reply.all("Record-Route");
        route.reverse();
        let mut inside = invite;
        inside.headers.retain(|(name, _)| name != "Max-Forwards");
        inside.set("To", reply.header("To").unwrap()).set("Route", route.join(", "));
        inside.uri = reply.header("Contact").unwrap().trim_matches(['<', '>']).to_owned();
        let ack = Request { method: "ACK".into(), ..inside.clone() }.with("CSeq", "1 ACK");
        self.alice.send(&ack).expect("sent");
        assert!(self.bob.receive_request(PATIENCE).expect("an ACK").starts_with(b"ACK "));
        inside
    }

    /// What bob's phone gets.
    fn bob_gets(&mut self) -> Reply {
        let octets = self.bob.receive_request(PATIENCE).expect("a request");
        Reply::parse(&octets).expect("a request")
    }

    fn bob_answers(&mut self, request: &Reply, status: &str) -> String {
        let contact = format!("Contact: <sip:bob@127.0.0.1:{}>\r\n", self.bob.local_port());
        let octets = answer_with(request, status, &contact);
        self.bob.send_octets(&octets).expect("sent");
        Reply::parse(&octets).expect("our own").header("To").expect("required").to_owned()
    }

    /// He accepts a REFER with explicitsub. Returns the To of his answer and the URI at which alice may subscribe.
    fn bob_accepts(&mut self, refer: &Reply) -> (String, String) {
        let to = self.bob_answers(refer, "202 Accepted");
        let (uri, id) = events_at(&self.alice_gets());
        self.stack.secrets.keep(&id);
        (to, uri)
    }

    fn alice_gets(&mut self) -> Reply {
        loop {
            let reply = self.alice.receive().expect("an answer");
            if reply.status >= 200 {
                return reply;
            }
        }
    }
}

/// bob's phone tells how far it is, in the dialog of the REFER that it got. Returns the answer.
fn tells(bob: &mut Client, refer: &Reply, to: &str, cseq: u32, body: &str, state: &str) -> u16 {
    let mut notify = Request::new("NOTIFY", ALICE, BOB);
    notify.uri = refer.header("Contact").expect("required").trim_matches(['<', '>']).to_owned();
    notify.set("From", to).set("To", refer.header("From").expect("required"));
    notify.set("Call-ID", refer.header("Call-ID").expect("required")).set("CSeq", format!("{cseq} NOTIFY"));
    notify.set("Route", refer.all("Record-Route").join(", "));
    notify.set("Event", "refer").set("Subscription-State", state).set("Content-Type", "message/sipfrag");
    notify.body = body.into();
    bob.request(&notify).expect("an answer").status
}

const ENDED: &str = "terminated;reason=noresource";

#[test]
fn a_phone_that_knows_no_explicitsub_is_followed() {
    let mut place = place(|builder| builder);
    let refer = place.explicit_refer();
    place.alice.send(&refer).expect("sent");
    let got = place.bob_gets();
    assert_eq!((got.header("Require"), got.header("Authorization")), (None, None), "{got:?}");
    assert_eq!(got.header("Refer-To"), Some("<sip:carol@example.test>"));
    let (to, uri) = place.bob_accepts(&got);
    let mut subscriber = Subscriber::new(place.stack.udp(), &uri);
    assert_eq!((subscriber.ask().status, subscriber.notified().told().0), (200, 100));
    assert_eq!(tells(&mut place.bob, &got, &to, 1, "SIP/2.0 180 Ringing\r\n", "active;expires=60"), 200);
    assert_eq!(subscriber.notified().told().0, 180);
    // somebody who knows the dialog, but is not the phone that has accepted: alice's phone hears of it, and refuses
    let forged = std::thread::scope(|scope| {
        let (alice, mut other) = (&mut place.alice, place.stack.udp());
        let hears = scope.spawn(move || {
            let octets = alice.receive_request(PATIENCE).expect("a NOTIFY");
            alice.send_octets(&answer(&Reply::parse(&octets).expect("a request"), 481)).expect("sent");
        });
        let status = tells(&mut other, &got, "<sip:bob@example.test>;tag=other", 1, "SIP/2.0 603 Decline\r\n", ENDED);
        hears.join().expect("no panic");
        status
    });
    assert_eq!(forged, 481);
    subscriber.hears_nothing();
    assert_eq!(tells(&mut place.bob, &got, &to, 2, "SIP/2.0 200 OK\r\n", ENDED), 200);
    assert_eq!(subscriber.notified().told(), (200, ENDED.to_owned()));
    assert!(
        place.alice.receive_request(crate::refer::SILENCE).is_err(),
        "alice gets no NOTIFY in the dialog of her REFER"
    );
    place.stack.wait_until("the log has its end", || {
        place.stack.kamailio.log().contains("of sip:alice@example.test has ended with 200")
    });
    place.stack.finish();
}

#[test]
fn a_transfer_within_a_call_is_followed() {
    let mut place = place(|builder| builder);
    let mut refer = place.call();
    refer.method = "REFER".into();
    refer.set("CSeq", "2 REFER").set("Refer-To", "<sip:carol@example.test>").set("Require", "explicitsub");
    place.alice.send(&refer).expect("sent");
    let got = place.bob_gets();
    assert_eq!(got.header("Require"), None, "{got:?}");
    let (to, uri) = place.bob_accepts(&got);
    let mut subscriber = Subscriber::new(place.stack.udp(), &uri);
    subscriber.ask();
    subscriber.notified();
    // its NOTIFYs go along the route of the call
    let mut notify = got.clone();
    let route = refer.header("Route").expect("a route").to_owned();
    notify.headers.push(("Record-Route".into(), route));
    assert_eq!(tells(&mut place.bob, &notify, &to, 1, "SIP/2.0 486 Busy Here\r\n", ENDED), 200);
    assert_eq!(subscriber.notified().told(), (486, ENDED.to_owned()));
    place.stack.finish();
}

#[test]
fn a_phone_that_refuses_or_stops_to_tell_ends_the_transfer() {
    let mut place = place(|builder| builder);
    let refer = place.explicit_refer();
    place.alice.send(&refer).expect("sent");
    let got = place.bob_gets();
    place.bob_answers(&got, "603 Decline");
    let reply = place.alice_gets();
    assert_eq!((reply.status, reply.header("Refer-Events-At")), (603, None));
    place.stack.wait_until("it has ended", || place.stack.kamailio.log().contains("has ended with 603"));

    let refer = place.explicit_refer();
    place.alice.send(&refer).expect("sent");
    let got = place.bob_gets();
    let (to, uri) = place.bob_accepts(&got);
    assert_eq!(tells(&mut place.bob, &got, &to, 1, "SIP/2.0 100 Trying\r\n", "terminated;reason=timeout"), 200);
    let mut subscriber = Subscriber::new(place.stack.udp(), &uri);
    subscriber.ask();
    assert_eq!(subscriber.notified().told(), (503, ENDED.to_owned()));
    place.stack.finish();
}

#[test]
fn with_nosub_nobody_is_told_and_without_a_tag_the_phones_do_as_ever() {
    let mut place = place(|builder| builder);
    for (tag, notify_passes) in [("nosub", false), ("", true)] {
        let mut refer = place.of_alice("REFER").with("Refer-To", "<sip:carol@example.test>");
        if !tag.is_empty() {
            refer.set("Require", tag);
        }
        place.alice.send(&refer).expect("sent");
        let got = place.bob_gets();
        assert_eq!(got.header("Require"), None, "{got:?}");
        let to = place.bob_answers(&got, "202 Accepted");
        let reply = place.alice_gets();
        assert_eq!((reply.status, &*reply.reason, reply.header("Refer-Events-At")), (200, "OK", None));
        if notify_passes {
            let (alice, bob) = (&mut place.alice, &mut place.bob);
            let alice = std::thread::scope(|scope| {
                let hears = scope.spawn(move || {
                    let notify = alice.receive_request(PATIENCE).expect("a NOTIFY");
                    let notify = Reply::parse(&notify).expect("a request");
                    alice.send_octets(&answer(&notify, 200)).expect("sent");
                    notify
                });
                assert_eq!(tells(bob, &got, &to, 1, "SIP/2.0 100 Trying\r\n", "active;expires=60"), 200);
                hears.join().expect("no panic")
            });
            assert_eq!(alice.header("Event"), Some("refer"));
        } else {
            assert_eq!(tells(&mut place.bob, &got, &to, 1, "SIP/2.0 100 Trying\r\n", "active;expires=60"), 200);
            assert!(place.alice.receive_request(crate::refer::SILENCE).is_err());
        }
    }
    assert_eq!(place.stack.counter("refers"), 0);
    place.stack.finish();
}

#[test]
fn whoever_is_not_let_in_refers_nobody() {
    let mut place = place(|builder| builder);
    let mut refer = place.explicit_refer();
    refer.headers.retain(|(name, _)| name != "Authorization");
    assert_eq!(place.stack.request(&mut place.alice, &refer).status, 401);
    assert_eq!(place.stack.counter("refers"), 0);
    let unknown = Request::new("SUBSCRIBE", &format!("sip:{}@example.test", "0".repeat(40)), ALICE);
    let unknown = unknown.with("Event", "refer").with("Contact", "<sip:alice@127.0.0.1:9>");
    assert_eq!(place.stack.request(&mut place.alice, &unknown).status, 404);
    place.stack.finish();
}

#[test]
fn a_b2bua_makes_the_call_and_publishes_how_far_it_is() {
    if is_opensips() {
        return;
    }
    let mut b2bua = Client::udp(9);
    let uri = format!("sip:b2bua@127.0.0.1:{}", b2bua.local_port());
    let mut place = place(|builder| builder.define_string("B2BUA", &uri));
    b2bua.connect(place.stack.kamailio.port());
    let mut refer = place.call();
    refer.method = "REFER".into();
    refer.set("CSeq", "2 REFER").set("Refer-To", "<sip:carol@example.test>");
    let (alice, other) = (std::mem::replace(&mut place.alice, place.stack.udp()), place.token("alice"));
    let mut subscriber = Subscriber::by(alice, refer.with("Authorization", other));
    let reply = subscriber.client.request(&subscriber.subscribe).expect("an answer");
    assert_eq!(reply.status, 200);
    let asked = Reply::parse(&b2bua.receive_request(PATIENCE).expect("a MESSAGE")).expect("a request");
    b2bua.send_octets(&answer(&asked, 200)).expect("sent");
    assert_eq!(asked.body, b"sip:carol@example.test\r\n");
    let publish = asked.header("X-Publish-At").expect("the URI").trim_matches(['<', '>']).to_owned();
    place.stack.secrets.keep(publish.split(['-', '@']).nth(1).expect("a key"));
    let first = subscriber.notified();
    assert_eq!((first.told().0, first.header("Event"), first.target.contains("alice@")), (100, "refer;id=2", true));
    let request = Request::new("PUBLISH", &publish, "sip:b2bua@example.test").with("Event", "refer");
    let request = request.with_body("message/sipfrag", "SIP/2.0 200 OK\r\n");
    assert_eq!(b2bua.request(&request).expect("an answer").status, 200);
    assert_eq!(subscriber.notified().told(), (200, ENDED.to_owned()));
    place.stack.finish();
}

#[test]
fn a_subscription_that_arrives_at_another_proxy_goes_on_to_its_own() {
    if is_opensips() {
        return;
    }
    let mut place = place(|builder| {
        let node = format!("127.0.0.1:{}", builder.port());
        builder.define_string("NODE", &node)
    });
    let other =
        configured("refer.cfg", &scripted_provider(&place.server)).define_string("NODES", "^127[.]0[.]0[.]1:[0-9]+$");
    let other = Stack::new(other);
    let refer = place.explicit_refer();
    place.alice.send(&refer).expect("sent");
    let got = place.bob_gets();
    let (to, uri) = place.bob_accepts(&got);
    let mut subscriber = Subscriber::new(other.udp(), &uri);
    assert_eq!((subscriber.ask().status, subscriber.notified().told().0), (200, 100));
    assert_eq!(tells(&mut place.bob, &got, &to, 1, "SIP/2.0 180 Ringing\r\n", "active;expires=60"), 200);
    assert_eq!(subscriber.notified().told().0, 180);
    assert_eq!((subscriber.again("30").status, subscriber.notified().told().0), (200, 180));
    assert_eq!(tells(&mut place.bob, &got, &to, 2, "SIP/2.0 200 OK\r\n", ENDED), 200);
    assert_eq!(subscriber.notified().told(), (200, ENDED.to_owned()));
    // somewhere else nobody is sent to
    let mut stranger = Subscriber::new(other.udp(), &uri.replace("127.0.0.1", "127.0.0.2"));
    assert_eq!(stranger.ask().status, 404);
    other.finish();
    place.stack.finish();
}

/// A phone that has a GRUU of the registrar has it as its Contact in calls.
#[test]
fn a_call_with_a_phone_that_has_a_gruu_goes_on_and_ends() {
    let mut place = place(|builder| builder);
    let instance = "<urn:uuid:00000000-0000-4000-8000-000000000001>";
    let register = Request::register(BOB).with("Authorization", place.token("bob")).with("Supported", "gruu");
    let all = register.clone().with("Contact", "*").with("Expires", "0");
    assert_eq!(place.bob.request(&all).expect("an answer").status, 200);
    let contact = format!("<sip:bob@127.0.0.1:{}>;+sip.instance=\"{instance}\"", place.bob.local_port());
    assert_eq!(place.bob.request(&register.with("Contact", contact)).expect("an answer").status, 200);
    let mut bye = place.call();
    bye.method = "BYE".into();
    bye.uri = format!("sip:bob@example.test;gr={}", &instance[1..instance.len() - 1]);
    bye.set("CSeq", "2 BYE");
    place.alice.send(&bye).expect("sent");
    let got = place.bob_gets();
    assert!(got.header("CSeq").is_some_and(|cseq| cseq == "2 BYE"), "{got:?}");
    place.bob_answers(&got, "200 OK");
    assert_eq!(place.alice_gets().status, 200);
    // one that is not registered
    bye.uri = "sip:bob@example.test;gr=urn:uuid:00000000-0000-4000-8000-000000000002".into();
    bye.set("CSeq", "3 BYE");
    assert_eq!(place.alice.request(&bye).expect("an answer").status, 404);
    place.stack.finish();
}

#[test]
fn who_may_refer_is_a_matter_of_scopes() {
    let mut place = place_with(";method_scopes=REFER=sip.refer", |builder| builder);
    let refer = place.explicit_refer();
    let refused = place.stack.request(&mut place.alice, &refer);
    let challenge = refused.header("WWW-Authenticate").unwrap_or_default();
    assert_eq!((refused.status, challenge.contains("sip.refer")), (401, true), "{refused:?}");
    let refer = refer.with("Authorization", place.token_with("alice", "sip sip.refer")).with("CSeq", "2 REFER");
    place.alice.send(&refer).expect("sent");
    let got = place.bob_gets();
    place.bob_answers(&got, "202 Accepted");
    let (_, id) = events_at(&place.alice_gets());
    place.stack.secrets.keep(&id);
    place.stack.finish();
}

/// bob has two phones. One refuses, the other accepts.
#[test]
fn a_refer_that_forks_has_the_end_of_the_phone_that_accepts() {
    let mut place = place(|builder| builder);
    let mut second = place.stack.udp();
    let contact = format!("<sip:second@127.0.0.1:{}>", second.local_port());
    let register = Request::register(BOB).with("Authorization", place.token("bob")).with("Contact", contact);
    assert_eq!(second.request(&register).expect("an answer").status, 200);
    let refer = place.explicit_refer();
    place.alice.send(&refer).expect("sent");
    let got = place.bob_gets();
    let refused = Reply::parse(&second.receive_request(PATIENCE).expect("a REFER")).expect("a request");
    second.send_octets(&answer(&refused, 486)).expect("sent");
    // the refusal is there before the acceptance
    std::thread::sleep(crate::refer::SILENCE);
    let (to, uri) = place.bob_accepts(&got);
    let mut subscriber = Subscriber::new(place.stack.udp(), &uri);
    assert_eq!((subscriber.ask().status, subscriber.notified().told().0), (200, 100));
    assert_eq!(tells(&mut place.bob, &got, &to, 1, "SIP/2.0 200 OK\r\n", ENDED), 200);
    assert_eq!(subscriber.notified().told(), (200, ENDED.to_owned()));
    place.stack.finish();
}
