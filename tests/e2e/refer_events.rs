// SPDX-License-Identifier: MIT OR Apache-2.0

//! The event server of REFER: who is told what, and when (RFC 3515 section 2.4, RFC 6665 section 4.2, RFC 7614 section 4).

use std::time::{Duration, Instant};

use crate::refer::{ALICE, SILENCE, Subscriber, accepted, answer, builder, events_at, refer, stack, tell, used_memory};
use crate::stack::{Stack, scripted_provider};
use crate::support::host::is_opensips;
use crate::support::patience::PATIENCE;
use crate::support::scripted_server::{self, ScriptedServer};
use crate::support::sip::{Client, Reply, Request, unique};
use crate::support::temporary::Directory;
use crate::support::token::{TestKey, claims};

fn told(status: u16, state: &str) -> (u16, String) {
    (status, state.to_owned())
}

const END: &str = "terminated;reason=noresource";
const TIMEOUT: &str = "terminated;reason=timeout";

#[test]
fn two_subscribers_see_trying_progress_and_the_end() {
    let (stack, _directory) = stack("");
    let (uri, id) = accepted(&stack, &mut stack.udp());
    let mut first = Subscriber::new(stack.udp(), &uri);
    let mut second = Subscriber::new(stack.tcp(), &uri);
    let reply = first.ask();
    assert_eq!((reply.status, reply.header("Expires")), (200, Some("180")));
    assert!(reply.header("Contact").is_some_and(|contact| contact.contains(&id)), "{reply:?}");
    let begun = Instant::now();
    let one = first.notified();
    assert_eq!((one.told(), one.target.contains("alice@127.0.0.1")), (told(100, "active"), true));
    assert!(one.header("Contact").contains(&id) && one.header("Max-Forwards") == "70", "{one:?}");
    assert_eq!((second.ask().status, second.notified().told()), (200, told(100, "active")));
    assert_eq!(tell(&stack, &id, "180 Ringing"), 200);
    assert_eq!(tell(&stack, &id, "SIP/2.0 183 Session Progress"), 200);
    let two = first.notified();
    assert!(begun.elapsed() >= Duration::from_millis(900), "at most one a second: {:?}", begun.elapsed());
    assert_eq!((two.told(), two.cseq > one.cseq), (told(183, "active"), true), "the second status overtook the first");
    assert_eq!(second.notified().told(), told(183, "active"));
    let end = Instant::now();
    assert_eq!(tell(&stack, &id, "200"), 200);
    let three = first.notified();
    assert!(end.elapsed() < Duration::from_millis(900), "the end does not wait: {:?}", end.elapsed());
    assert_eq!((three.told(), three.cseq > two.cseq), (told(200, END), true));
    assert_eq!(second.notified().told(), told(200, END));
    assert_eq!(tell(&stack, &id, "486"), 404, "the end stays");
    first.hears_nothing();
    second.hears_nothing();
    stack.wait_until("the event of the end", || stack.kamailio.log().contains("test: done 200 of"));
    assert_eq!(stack.counter("refer_notifies"), 6);
    stack.finish();
}

#[test]
fn a_subscription_right_behind_the_answer_is_served() {
    let (stack, _directory) = stack("refer_limit = 60000\nsource_limit = 60000\nmax_refers = 500");
    for _ in 0..200 {
        let (uri, id) = accepted(&stack, &mut stack.udp());
        let mut subscriber = Subscriber::new(stack.udp(), &uri);
        assert_eq!(subscriber.ask().status, 200);
        assert_eq!(subscriber.notified().told(), told(100, "active"));
        assert_eq!(tell(&stack, &id, "200"), 200);
        assert_eq!(subscriber.notified().told(), told(200, END));
    }
    stack.finish();
}

#[test]
fn the_end_is_told_for_63_seconds_and_then_nothing_is_known() {
    let (stack, _directory) = stack("");
    let (uri, id) = accepted(&stack, &mut stack.udp());
    let begun = Instant::now();
    assert_eq!(tell(&stack, &id, "603"), 200);
    let mut early = Subscriber::new(stack.udp(), &uri);
    assert_eq!((early.ask().status, early.notified().told()), (200, told(603, END)));
    std::thread::sleep(Duration::from_secs(63).saturating_sub(begun.elapsed()));
    let mut late = Subscriber::new(stack.udp(), &uri);
    assert_eq!((late.ask().status, late.notified().told()), (200, told(603, END)));
    stack.wait_until("it is forgotten", || Subscriber::new(stack.udp(), &uri).ask().status == 404);
    assert_eq!(stack.counter("refers"), 0);
    stack.finish();
}

#[test]
fn a_subscription_is_refreshed_and_ended_by_its_subscriber() {
    let (stack, _directory) = stack("");
    let (uri, id) = accepted(&stack, &mut stack.udp());
    let mut subscriber = Subscriber::new(stack.udp(), &uri);
    subscriber.subscribe.set("Expires", "60");
    assert_eq!(subscriber.ask().header("Expires"), Some("60"));
    let first = subscriber.notified();
    assert!(first.header("Subscription-State").starts_with("active;expires="), "{first:?}");
    let reply = subscriber.again("90");
    assert_eq!((reply.status, reply.header("Expires")), (200, Some("90")));
    let second = subscriber.notified();
    assert_eq!((second.told(), second.cseq), (told(100, "active"), first.cseq + 1));
    assert_eq!(subscriber.again("99999").header("Expires").map(|e| e.parse::<u32>().unwrap() <= 180), Some(true));
    subscriber.notified();
    let reply = subscriber.again("0");
    assert_eq!((reply.status, reply.header("Expires")), (200, Some("0")));
    assert_eq!(subscriber.notified().told(), told(100, TIMEOUT));
    assert_eq!(subscriber.again("60").status, 481);
    assert_eq!(tell(&stack, &id, "180"), 200);
    subscriber.hears_nothing();
    stack.finish();
}

#[test]
fn a_refresh_from_elsewhere_moves_the_subscription() {
    let (stack, _directory) = stack("");
    let (uri, id) = accepted(&stack, &mut stack.udp());
    let mut subscriber = Subscriber::new(stack.tcp(), &uri);
    subscriber.ask();
    subscriber.notified();
    subscriber.client = stack.tcp();
    assert_eq!(subscriber.again("60").status, 200);
    assert_eq!(subscriber.notified().told(), told(100, "active"));
    assert_eq!(tell(&stack, &id, "200"), 200);
    assert_eq!(subscriber.notified().told(), told(200, END));
    stack.finish();
}

#[test]
fn whoever_asks_once_is_told_once_and_a_time_that_is_over_ends_a_subscription() {
    let (stack, _directory) = stack("");
    let (uri, id) = accepted(&stack, &mut stack.udp());
    let mut once = Subscriber::new(stack.udp(), &uri);
    once.subscribe.set("Expires", "0");
    assert_eq!((once.ask().status, once.notified().told()), (200, told(100, TIMEOUT)));
    let mut short = Subscriber::new(stack.udp(), &uri);
    short.subscribe.set("Expires", "1");
    assert_eq!((short.ask().status, short.notified().told()), (200, told(100, "active")));
    assert_eq!(short.notified().told(), told(100, TIMEOUT));
    assert_eq!(tell(&stack, &id, "200"), 200);
    once.hears_nothing();
    short.hears_nothing();
    stack.finish();
}

#[test]
fn a_refer_without_an_end_is_told_to_have_timed_out() {
    let (stack, _directory) = stack("refer_lifetime = 5");
    let (uri, id) = accepted(&stack, &mut stack.udp());
    let mut subscriber = Subscriber::new(stack.udp(), &uri);
    assert_eq!(subscriber.ask().header("Expires"), Some("5"));
    subscriber.notified();
    assert!(matches!(subscriber.notified().told(), (100 | 408, state) if state != "active"));
    stack.wait_until("it has ended", || tell(&stack, &id, "180") == 404);
    stack.wait_until("the event of the end", || stack.kamailio.log().contains("test: done 408 of"));
    stack.finish();
}

#[test]
fn other_events_types_and_dialogs_are_refused() {
    let (stack, _directory) = stack("");
    let (uri, _) = accepted(&stack, &mut stack.udp());
    let asked = |change: &dyn Fn(&mut Request)| {
        let mut subscriber = Subscriber::new(stack.udp(), &uri);
        change(&mut subscriber.subscribe);
        subscriber.ask()
    };
    let other = asked(&|subscribe| _ = subscribe.set("Event", "presence"));
    assert_eq!((other.status, other.header("Allow-Events")), (489, Some("refer")));
    assert_eq!(asked(&|subscribe| subscribe.headers.retain(|(name, _)| name != "Event")).status, 489);
    assert_eq!(asked(&|subscribe| _ = subscribe.set("Accept", "application/pidf+xml")).status, 406);
    assert_eq!(asked(&|subscribe| _ = subscribe.set("To", "<sip:x@y>;tag=nobody")).status, 481);
    assert_eq!(asked(&|subscribe| _ = subscribe.set("Expires", "soon")).status, 400);
    let mut subscriber = Subscriber::new(stack.udp(), &uri);
    subscriber.subscribe.set("CSeq", "7 SUBSCRIBE");
    subscriber.ask();
    subscriber.notified();
    subscriber.subscribe.set("CSeq", "3 SUBSCRIBE");
    assert_eq!(subscriber.ask().status, 500);
    assert_eq!(stack.counter("reason_refer_event"), 2);
    stack.finish();
}

#[test]
fn a_copy_of_a_subscribe_is_answered_alike_and_told_nothing_more() {
    let (stack, _directory) = stack("");
    let (uri, _) = accepted(&stack, &mut stack.udp());
    let mut subscriber = Subscriber::new(stack.udp(), &uri);
    let octets = subscriber.client.send(&subscriber.subscribe).expect("sent");
    let first = subscriber.client.receive().expect("an answer");
    subscriber.notified();
    for _ in 0..3 {
        let again = subscriber.client.exchange(&octets).expect("an answer");
        assert_eq!((again.status, again.header("To")), (200, first.header("To")));
    }
    subscriber.hears_nothing();
    assert_eq!(stack.counter("refer_subscriptions"), 1);
    stack.finish();
}

#[test]
fn ten_thousand_guesses_leave_no_trace() {
    let (stack, _directory) = stack("");
    let (uri, id) = accepted(&stack, &mut stack.udp());
    let mut client = stack.udp();
    let mut guess = Subscriber::new(stack.udp(), &uri).subscribe;
    let mut asked = |number: usize| {
        let wrong = format!("{number:040x}");
        guess.uri = uri.replace(&id, &wrong);
        guess.set("To", format!("<{}>", guess.uri)).next();
        client.request(&guess).expect("an answer").status
    };
    // what the first requests take is there for all
    assert_eq!(asked(0), 404);
    let before = used_memory(&stack);
    for number in 1..10_000 {
        assert_eq!(asked(number), 404);
    }
    let grown = used_memory(&stack).saturating_sub(before);
    assert!(grown < 100_000, "{grown} octets");
    assert_eq!(stack.counter("refer_guesses"), 10_000);
    // whoever has guessed so often is not let in for a while, others are
    let mut other = Subscriber::new(Client::udp_from([127, 0, 0, 9], stack.kamailio.port()), &uri);
    assert_eq!(other.ask().status, 200);
    stack.finish();
}

/// A proxy that accepts tokens of a scripted server, and a token of a user with this scope.
fn with_tokens(settings: &str) -> (ScriptedServer, TestKey, Stack, Directory) {
    let key = TestKey::p256("k1");
    let server = ScriptedServer::start(scripted_server::key_set(&[key.jwk()]));
    let directory = Directory::new("refer");
    let stack = Stack::new(builder(&directory, settings).define_string("PROVIDER", &scripted_provider(&server)));
    stack.wait_for_keys();
    (server, key, stack, directory)
}

fn token(server: &ScriptedServer, key: &TestKey, stack: &Stack, user: &str, scope: &str) -> String {
    let mut claims = claims(&server.issuer(), "sip", user, 600);
    claims["sip"] = format!("sip:{user}@example.test").into();
    claims["scope"] = scope.into();
    let token = key.token("ES256", &claims);
    stack.secrets.keep(&token);
    format!("Bearer {token}")
}

fn subscribed_by(stack: &Stack, uri: &str, user: &str, token: Option<&str>) -> u16 {
    let mut subscriber = Subscriber::new(stack.udp(), uri);
    let tag = subscriber.subscribe.header("From").unwrap().split(";tag=").nth(1).unwrap().to_owned();
    subscriber.subscribe.set("From", format!("<sip:{user}@example.test>;tag={tag}"));
    if let Some(token) = token {
        subscriber.subscribe.set("Authorization", token).set("X-Check", "yes");
    }
    subscriber.ask().status
}

#[test]
fn a_subscriber_shows_the_uri_a_token_or_that_the_refer_was_its_own() {
    for (setting, expected) in
        [("uri", [200, 200, 200, 200]), ("token", [403, 200, 403, 403]), ("owner", [403, 403, 200, 403])]
    {
        let (server, key, stack, _directory) = with_tokens(&format!("refer_subscriber = \"{setting}\""));
        let token = |user, scope| token(&server, &key, &stack, user, scope);
        let mut client = stack.udp();
        let refer = refer(&stack, &client).with("Require", "explicitsub");
        let mine = refer.with("Authorization", token("alice", "sip")).with("X-Check", "yes");
        let (uri, id) = events_at(&client.request(&mine).expect("an answer"));
        stack.secrets.keep(&id);
        let statuses = [
            subscribed_by(&stack, &uri, "bob", None),
            subscribed_by(&stack, &uri, "bob", Some(&token("bob", "sip sip.refer"))),
            subscribed_by(&stack, &uri, "alice", Some(&token("alice", "sip"))),
            subscribed_by(&stack, &uri, "bob", Some(&token("bob", "sip"))),
        ];
        assert_eq!(statuses, expected, "{setting}");
        stack.finish();
    }
}

#[test]
fn where_only_the_owner_may_subscribe_somebody_must_be_known_as_such() {
    let (stack, _directory) = stack("refer_subscriber = \"owner\"");
    let mut client = stack.udp();
    let refer = refer(&stack, &client).with("Require", "explicitsub");
    assert_eq!(stack.request(&mut client, &refer).status, 403);
    assert_eq!(stack.counter("reason_refer_owner_unknown"), 1);
    stack.finish();
}

#[test]
fn a_flood_meets_limits_and_others_are_served() {
    let (stack, _directory) = stack("refer_limit = 5\nmax_refers = 8");
    let ask = |client: &mut Client, from: &str| {
        let mut refer = refer(&stack, client).with("Require", "explicitsub");
        refer.set("From", format!("<{from}>;tag={}", unique("f")));
        stack.request(client, &refer)
    };
    let mut client = stack.udp();
    let statuses: Vec<_> = (0..8).map(|_| ask(&mut client, ALICE).status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 503, 503, 503]);
    let mut others: Vec<_> = (0..5).map(|n| ask(&mut client, &format!("sip:u{n}@example.test"))).collect();
    let last = others.pop().expect("five");
    assert_eq!((last.status, last.header("Retry-After")), (503, Some("5")), "max_refers");
    assert_eq!((stack.counter("reason_refer_limited"), stack.counter("reason_refer_full")), (3, 2));
    // a call is served as ever
    let invite = Request::new("INVITE", "sip:bob@example.test", ALICE);
    assert_eq!(stack.request(&mut client, &invite).status, 200);
    stack.finish();
}

#[test]
fn a_refer_has_four_subscriptions_and_one_that_ends_makes_room() {
    let (stack, _directory) = stack("");
    let (uri, _) = accepted(&stack, &mut stack.udp());
    let mut all: Vec<_> = (0..4).map(|_| Subscriber::new(stack.udp(), &uri)).collect();
    for one in &mut all {
        assert_eq!(one.ask().status, 200);
        one.notified();
    }
    let full = Subscriber::new(stack.udp(), &uri).ask();
    assert_eq!((full.status, full.header("Retry-After")), (503, Some("5")));
    all[2].again("0");
    all[2].notified();
    stack.wait_until("there is room", || Subscriber::new(stack.udp(), &uri).ask().status == 200);
    stack.finish();
}

#[test]
fn a_source_that_guesses_without_end_may_not_subscribe_for_a_while() {
    let (stack, _directory) = stack("source_limit = 2");
    let (uri, id) = accepted(&stack, &mut stack.udp());
    let mut client = stack.udp();
    let mut subscriber = Subscriber::new(stack.udp(), &uri).subscribe;
    let right = subscriber.clone();
    for number in 0..40 {
        subscriber.uri = uri.replace(&id, &format!("{number:040x}"));
        assert_eq!(client.request(&subscriber.next().clone()).expect("an answer").status, 404);
    }
    assert_eq!(client.request(&right).expect("an answer").status, 503);
    assert_eq!(Subscriber::new(stack.udp(), &uri).ask().status, 200, "another port");
    stack.finish();
}

#[test]
fn a_subscriber_who_refuses_or_has_gone_is_told_nothing_more() {
    let (stack, _directory) = stack("");
    for status in [481, 503, 404] {
        let (uri, id) = accepted(&stack, &mut stack.udp());
        let mut subscriber = Subscriber::new(stack.udp(), &uri);
        subscriber.ask();
        let before = stack.counter("refer_notify_errors");
        subscriber.notified_with(status);
        stack.wait_until("the answer is seen", || stack.counter("refer_notify_errors") > before);
        assert_eq!(tell(&stack, &id, "200"), 200);
        subscriber.hears_nothing();
        assert_eq!(subscriber.again("60").status, 481);
    }
    // an answer that has nothing to do with the subscription
    let (uri, id) = accepted(&stack, &mut stack.udp());
    let mut subscriber = Subscriber::new(stack.udp(), &uri);
    subscriber.ask();
    subscriber.notified_with(500);
    assert_eq!(tell(&stack, &id, "200"), 200);
    assert_eq!(subscriber.notified().told(), told(200, END));
    stack.finish();
}

#[test]
fn a_connection_that_was_closed_ends_its_subscription_only() {
    let (stack, _directory) = stack("");
    let (uri, id) = accepted(&stack, &mut stack.udp());
    let mut gone = Subscriber::new(stack.tcp(), &uri);
    let mut stays = Subscriber::new(stack.udp(), &uri);
    for one in [&mut gone, &mut stays] {
        one.ask();
        one.notified();
    }
    drop(gone);
    assert_eq!(tell(&stack, &id, "180"), 200);
    assert_eq!(stays.notified().told(), told(180, "active"));
    assert_eq!(tell(&stack, &id, "200"), 200);
    assert_eq!(stays.notified().told(), told(200, END));
    stack.finish();
}

#[test]
fn without_a_tag_the_refer_itself_is_the_subscription() {
    let (stack, _directory) = stack("");
    let client = stack.udp();
    let refer = refer(&stack, &client);
    let mut subscriber = Subscriber::by(client, refer);
    let reply = subscriber.client.request(&subscriber.subscribe).expect("an answer");
    assert_eq!((reply.status, reply.header("Refer-Events-At")), (200, None));
    subscriber.subscribe.set("To", reply.header("To").expect("required").to_owned());
    let contact = reply.header("Contact").expect("it begins a dialog").to_owned();
    let uri = contact.trim_matches(['<', '>']);
    let id = uri.split(['@', ':']).nth(1).expect("a user").to_owned();
    stack.secrets.keep(&id);
    let first = subscriber.notified();
    assert_eq!((first.told(), first.header("Event")), (told(100, "active"), "refer"));
    // it can be refreshed and ended as any other
    subscriber.subscribe.method = "SUBSCRIBE".into();
    subscriber.subscribe.uri = uri.to_owned();
    subscriber.subscribe.set("Event", "refer");
    subscriber.subscribe.set("CSeq", "1 SUBSCRIBE");
    assert_eq!((subscriber.again("60").status, subscriber.notified().told()), (200, told(100, "active")));
    assert_eq!(tell(&stack, &id, "486 Busy"), 200);
    assert_eq!(subscriber.notified().told(), told(486, END));
    stack.finish();
}

#[test]
fn in_a_call_the_notifies_keep_its_contact_and_go_on_with_its_cseq() {
    let (stack, _directory) = stack("");
    let client = stack.udp();
    let mut refer = refer(&stack, &client);
    refer.uri = "sip:bob@192.0.2.7:5070".into();
    refer.set("To", "<sip:bob@example.test>;tag=b1").set("CSeq", "17 REFER").set("X-Cseq", "102");
    let mut subscriber = Subscriber::by(client, refer);
    let reply = subscriber.client.request(&subscriber.subscribe).expect("an answer");
    assert_eq!((reply.status, reply.header("Contact")), (200, Some("<sip:bob@192.0.2.7:5070>")));
    let first = subscriber.notified();
    assert_eq!((first.cseq, first.header("Event")), (103, "refer;id=17"));
    assert_eq!(first.header("Contact"), "<sip:bob@192.0.2.7:5070>");
    stack.finish();
}

#[test]
fn an_operator_lists_updates_and_ends_refers() {
    let (stack, _directory) = stack("");
    let (uri, id) = accepted(&stack, &mut stack.udp());
    let mut subscriber = Subscriber::new(stack.udp(), &uri);
    subscriber.ask();
    subscriber.notified();
    let listed = stack.rpc("auth_oauth.refer_list", &[]).expect("it answers");
    let begin = &id[..8];
    assert!(
        listed.contains(begin) && listed.contains("subscriptions: 1") && listed.contains("status: 100"),
        "{listed}"
    );
    // kamcmd takes digits for a number
    let named = if is_opensips() { begin.to_owned() } else { format!("s:{begin}") };
    assert!(stack.rpc("auth_oauth.refer_update", &[&named, "180"]).is_ok());
    assert_eq!(subscriber.notified().told(), told(180, "active"));
    assert!(stack.rpc("auth_oauth.refer_end", &[&named, "180"]).is_err(), "not final");
    assert!(stack.rpc("auth_oauth.refer_end", &["abcd", "487"]).is_err(), "too short");
    assert!(stack.rpc("auth_oauth.refer_end", &[&named]).is_ok());
    assert_eq!(subscriber.notified().told(), told(503, END));
    assert!(stack.rpc("auth_oauth.refer_update", &[&named, "180"]).is_err(), "it has ended");
    stack.finish();
}

/// The URI at which whoever acts on a REFER publishes; the proxy sends it to that one.
fn publisher(stack: &Stack) -> (String, String) {
    let (mut acting, mut client) = (stack.udp(), stack.udp());
    let mut refer = refer(stack, &client).with("Require", "explicitsub");
    refer.set("X-Publisher", format!("sip:acting@127.0.0.1:{}", acting.local_port()));
    let (uri, id) = events_at(&client.request(&refer).expect("an answer"));
    let message = Reply::parse(&acting.receive_request(PATIENCE).expect("the URI")).expect("a request");
    acting.send_octets(&answer(&message, 200)).expect("sent");
    let publish = String::from_utf8(message.body.clone()).expect("a URI");
    for secret in [&id, publish.split(['-', '@']).nth(1).expect("a key")] {
        stack.secrets.keep(secret);
    }
    (uri, publish)
}

#[test]
fn whoever_acts_on_a_refer_publishes_how_far_it_has_come() {
    let (stack, _directory) = stack("");
    let (uri, publish) = publisher(&stack);
    let mut subscriber = Subscriber::new(stack.udp(), &uri);
    subscriber.ask();
    subscriber.notified();
    let ask = |uri: &str, body: &str, tag: &str| {
        let mut request = Request::new("PUBLISH", uri, "sip:bob@example.test");
        request.set("Event", "refer");
        if !tag.is_empty() {
            request.set("SIP-If-Match", tag);
        }
        let request = if body.is_empty() { request } else { request.with_body("message/sipfrag", body) };
        stack.udp().request(&request).expect("an answer")
    };
    let reply = ask(&publish, "SIP/2.0 180 Ringing\r\n", "");
    let tag = reply.header("SIP-ETag").expect("required").to_owned();
    assert_eq!(reply.status, 200);
    assert_eq!(subscriber.notified().told(), told(180, "active"));
    assert_eq!(ask(&publish, "", &tag).status, 200);
    assert_eq!(ask(&publish, "SIP/2.0 200 OK\r\n", "r99").status, 412);
    assert_eq!(ask(&publish, "BYE sip:a@b SIP/2.0\r\n", &tag).status, 400);
    assert_eq!(ask(&uri, "SIP/2.0 200 OK\r\n", "").status, 404, "a subscriber may not publish");
    let wrong = publish.replacen('-', "-0", 1);
    assert_eq!(ask(&wrong, "SIP/2.0 200 OK\r\n", "").status, 404);
    assert_eq!(ask(&publish, "SIP/2.0 200 OK\r\nWarning: 399 x y\r\n", &tag).status, 200);
    assert_eq!(subscriber.notified().told(), told(200, END));
    subscriber.hears_nothing();
    stack.finish();
}

#[test]
fn proxies_on_the_way_are_passed() {
    let (stack, _directory) = stack("");
    let (uri, id) = accepted(&stack, &mut stack.udp());
    let (mut proxy, client) = (stack.udp(), stack.udp());
    let mut subscriber = Subscriber::new(client, &uri);
    let route = format!("<sip:127.0.0.1:{};lr;ftag=x>", proxy.local_port());
    subscriber.subscribe.set("Record-Route", format!("{route}, <sip:edge.example.test;lr>"));
    subscriber.subscribe.set("Contact", "<sip:alice@phone.example.test>");
    assert_eq!(subscriber.ask().status, 200);
    let octets = proxy.receive_request(PATIENCE).expect("a NOTIFY");
    let text = String::from_utf8_lossy(&octets).into_owned();
    assert!(text.starts_with("NOTIFY sip:alice@phone.example.test SIP/2.0\r\n"), "{text}");
    assert!(text.contains(&format!("Route: {route}")) && text.contains("<sip:edge.example.test;lr>"), "{text}");
    proxy.send_octets(&answer(&Reply::parse(&octets).expect("a request"), 200)).expect("sent");
    // the Contact of whoever comes through a proxy that is not on the way back
    let mut far = Subscriber::new(stack.udp(), &uri);
    let mut phone = stack.udp();
    far.subscribe.set("Contact", format!("<sip:alice@127.0.0.1:{}>", phone.local_port()));
    let via = format!("SIP/2.0/UDP 127.0.0.1:{};branch={}", far.client.local_port(), unique("z9hG4bK"));
    far.subscribe.add("Via", via).add("Via", "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1");
    far.client.send(&far.subscribe).expect("sent");
    assert_eq!(far.client.receive().expect("an answer").status, 200);
    let octets = phone.receive_request(PATIENCE).expect("a NOTIFY");
    phone.send_octets(&answer(&Reply::parse(&octets).expect("a request"), 200)).expect("sent");
    // a name is never looked up: the request goes back to where the subscription came from
    let mut named = Subscriber::new(stack.udp(), &uri);
    named.subscribe.set("Record-Route", "<sip:edge.example.test;lr>");
    named.ask();
    assert_eq!(named.notified().told(), told(100, "active"));
    assert_eq!(tell(&stack, &id, "200"), 200);
    assert_eq!(named.notified().told(), told(200, END));
    assert!(proxy.receive_request(SILENCE).is_ok());
    stack.finish();
}
