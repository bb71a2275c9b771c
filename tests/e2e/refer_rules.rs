// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which REFER may go where, and what a proxy changes in the answers (RFC 3515, RFC 7614, RFC 7647).

use crate::dialogs::Elsewhere;
use crate::refer::{accepted, answer_with, builder, events_at, refer, stack};
use crate::stack::Stack;
use crate::support::sip::{Client, Reply, Request};
use crate::support::temporary::Directory;

/// The answer to a REFER that was changed.
fn answered(stack: &Stack, change: impl FnOnce(&mut Request)) -> Reply {
    let mut client = stack.udp();
    let mut refer = refer(stack, &client);
    change(&mut refer);
    stack.request(&mut client, &refer)
}

fn status(stack: &Stack, change: impl FnOnce(&mut Request)) -> u16 {
    answered(stack, change).status
}

#[test]
fn a_refer_without_or_with_two_refer_to_is_a_bad_request() {
    let (stack, _directory) = stack("");
    assert_eq!(status(&stack, |refer| refer.headers.retain(|(name, _)| name != "Refer-To")), 400);
    assert_eq!(status(&stack, |refer| _ = refer.add("r", "<sip:d@example.test>")), 400);
    assert_eq!(status(&stack, |refer| _ = refer.set("Refer-To", "<sip:c@x>, <sip:d@x>")), 400);
    assert_eq!(status(&stack, |refer| _ = refer.set("Require", "nosub")), 200);
    assert_eq!(stack.counter("reason_refer_to"), 3);
    stack.finish();
}

#[test]
fn within_a_dialog_a_gruu_takes_only_a_refer_that_creates_no_subscription() {
    let (stack, _directory) = stack("refer_in_dialog = \"gruu\"");
    let within = |tag: &str| {
        let reply = answered(&stack, |refer| {
            refer.uri.push_str(";gr=urn:uuid:1");
            refer.set("To", format!("<{}>;tag=b1", refer.uri));
            if !tag.is_empty() {
                refer.set("Require", tag);
            }
        });
        reply.status
    };
    assert_eq!((within(""), within("norefersub"), within("explicitsub"), within("nosub")), (403, 403, 200, 200));
    // the peer is an older implementation
    assert_eq!(status(&stack, |refer| _ = refer.set("To", "<sip:b@x>;tag=b1")), 200);
    assert_eq!(stack.counter("reason_refer_in_dialog"), 2);
    stack.finish();
}

#[test]
fn option_tags_are_taken_where_they_are_legal_and_turned_on() {
    let (off, _directory) = stack("refer_explicit = \"off\"");
    for tag in ["explicitsub", "nosub"] {
        let reply = answered(&off, |refer| _ = refer.set("Require", tag));
        assert_eq!((reply.status, reply.header("Unsupported")), (420, Some(tag)));
    }
    off.finish();

    let (required, _directory) = stack("refer_explicit = \"require\"");
    let reply = answered(&required, |refer| _ = refer.set("Supported", "gruu, explicitsub"));
    assert_eq!((reply.status, reply.header("Require")), (421, Some("explicitsub")));
    assert_eq!(status(&required, |_| ()), 403);
    assert_eq!(status(&required, |refer| _ = refer.set("Require", "explicitsub")), 200);
    let invite = Request::new("INVITE", "sip:bob@example.test", "sip:alice@example.test").with("Require", "nosub");
    let reply = required.request(&mut required.udp(), &invite);
    assert_eq!((reply.status, reply.header("Unsupported")), (420, Some("nosub")));
    required.finish();
}

#[test]
fn the_event_server_has_every_option_that_is_required() {
    let (stack, _directory) = stack("");
    let reply = answered(&stack, |refer| _ = refer.set("Require", "explicitsub, timer"));
    assert_eq!((reply.status, reply.header("Unsupported")), (420, Some("timer")));
    assert_eq!(status(&stack, |refer| _ = refer.set("Require", "explicitsub, nosub")), 400);
    stack.finish();
}

#[test]
fn the_answer_with_explicitsub_has_exactly_one_refer_events_at() {
    let (stack, _directory) = stack("");
    let mut client = stack.udp();
    let (first, _) = accepted(&stack, &mut client);
    let (second, _) = accepted(&stack, &mut client);
    assert_ne!(first, second);
    assert!(
        first.starts_with("sip:") && first.contains(&format!("@127.0.0.1:{};gr", stack.kamailio.port())),
        "{first}"
    );
    let over_tcp = stack.tcp().request(&refer(&stack, &client).with("Require", "explicitsub")).expect("an answer");
    let over_tcp = events_at(&over_tcp).0;
    assert!(over_tcp.ends_with(";transport=tcp;gr"), "{over_tcp}");
    assert_eq!(stack.counter("refers"), 3);
    for (tag, name) in [("nosub", "Require"), ("explicitsub", "Supported")] {
        let reply = answered(&stack, |refer| _ = refer.set(name, tag));
        assert_eq!((reply.status, reply.header("Refer-Events-At")), (200, None), "{name}: {tag}");
    }
    stack.finish();
}

#[test]
fn the_uri_of_events_is_protected_as_configured() {
    let (stack, _directory) = stack("refer_protected = \"sips\"\nrefer_host = \"node1.example.test:5061\"");
    let reply = answered(&stack, |refer| {
        refer.set("Require", "explicitsub");
    });
    let contact = reply.header("Contact").unwrap_or_default().to_owned();
    assert_eq!((reply.status, contact.starts_with("<sips:transfer@")), (302, true), "{contact}");
    // nothing is told, so nothing must be protected
    assert_eq!(status(&stack, |refer| _ = refer.set("Require", "nosub")), 200);
    assert_eq!(stack.counter("refers"), 0);
    stack.finish();
}

#[test]
fn a_copy_of_a_refer_begins_nothing_anew() {
    // a copy is answered as the first, also if another REFER would be refused
    let (stack, _directory) = stack("refer_limit = 1");
    let mut client = stack.udp();
    let refer = refer(&stack, &client).with("Require", "explicitsub");
    let octets = client.send(&refer).expect("sent");
    let first = events_at(&client.receive().expect("an answer"));
    for _ in 0..3 {
        assert_eq!(events_at(&client.exchange(&octets).expect("an answer")), first);
    }
    assert_eq!((stack.counter("refers"), stack.counter("refers_accepted")), (1, 1));
    stack.finish();
}

#[test]
fn nosub_leaves_no_state() {
    let (stack, _directory) = stack("");
    for _ in 0..20 {
        assert_eq!(status(&stack, |refer| _ = refer.set("Require", "nosub")), 200);
    }
    assert_eq!((stack.counter("refers"), stack.counter("refers_accepted")), (0, 0));
    stack.finish();
}

/// A server behind the proxy that answers one REFER with this status and these lines. Returns what it got, and what the
/// phone then gets.
fn relayed(stack: &Stack, change: impl FnOnce(&mut Request), status: &str, lines: &str) -> (String, Reply) {
    let (server, mut client) = (Elsewhere::new(), stack.udp());
    let mut refer = refer(stack, &client);
    refer.set("X-To", format!("sip:{}", server.address()));
    change(&mut refer);
    client.send(&refer).expect("sent");
    let got = server.hears();
    let message = Reply::parse(got.as_bytes()).expect("a request");
    server.answers(&answer_with(&message, status, lines), stack.kamailio.port());
    let reply = loop {
        let reply = client.receive().expect("an answer");
        if reply.status >= 200 {
            break reply;
        }
    };
    (got, reply)
}

#[test]
fn refer_events_at_is_removed_where_it_means_nothing_and_the_rest_stays() {
    let (stack, _directory) = stack("");
    let lines = "X-Before: 1\r\nRefer-Events-At: <sip:v@192.0.2.1;gr>\r\nX-After: <a>;b\r\n";
    let explicit = |refer: &mut Request| _ = refer.set("Require", "explicitsub");
    let (_, reply) = relayed(&stack, explicit, "200 OK", lines);
    assert_eq!(reply.all("Refer-Events-At"), ["<sip:v@192.0.2.1;gr>"]);
    let cases: [(&str, &str, &str); 4] = [
        ("nosub", "200 OK", lines),
        ("explicitsub", "603 Decline", lines),
        ("", "200 OK", lines),
        ("explicitsub", "200 OK", "X-Before: 1\r\nREFER-EVENTS-AT: sip:v@192.0.2.1\r\nX-After: <a>;b\r\n"),
    ];
    for (tag, status, lines) in cases {
        let (_, reply) = relayed(
            &stack,
            |refer| {
                if !tag.is_empty() {
                    refer.set("Require", tag);
                }
            },
            status,
            lines,
        );
        assert_eq!(reply.status, status[..3].parse::<u16>().unwrap());
        assert_eq!((reply.header("Refer-Events-At"), reply.header("X-Before")), (None, Some("1")), "{tag} {status}");
        assert_eq!((reply.header("X-After"), reply.reason.as_str()), (Some("<a>;b"), &status[4..]), "{tag} {status}");
    }
    let (got, _) = relayed(&stack, |refer| _ = refer.set("Refer-Events-At", "<sip:v@x>"), "200 OK", "");
    assert!(!got.contains("Refer-Events-At") && got.contains("Refer-To: <sip:carol@example.test>"), "{got}");
    stack.finish();
}

#[test]
fn no_202_leaves() {
    let (stack, _directory) = stack("");
    let (_, reply) = relayed(&stack, |_| (), "202 Accepted", "X-After: 1\r\n");
    assert_eq!((reply.status, &*reply.reason, reply.header("X-After")), (200, "OK", Some("1")));
    let (_, reply) = relayed(&stack, |_| (), "202 ", "");
    assert_eq!(reply.status, 200);
    assert_eq!(answered(&stack, |_| ()).status, 200);
    stack.finish();
}

#[test]
fn a_script_sees_what_a_refer_asks_for() {
    let (stack, _directory) = stack("");
    let target = |refer: &mut Request| {
        refer.set("Require", "nosub, tdialog").set("Target-Dialog", "c1@h;remote-tag=r1;local-tag=l1");
    };
    let (got, _) = relayed(&stack, target, "200 OK", "");
    assert!(got.contains("X-Seen: none sip:carol@example.test c1@h l1 r1\r\n"), "{got}");
    assert_eq!(status(&stack, |refer| _ = refer.set("Target-Dialog", "c1@h;local-tag=l1")), 400);
    stack.finish();
}

#[test]
fn a_sender_of_referred_calls_may_have_to_show_a_gruu() {
    let (stack, _directory) = stack("refer_contact = \"gruu\"\nrefer_in_dialog = \"refuse\"");
    assert_eq!(status(&stack, |_| ()), 403);
    assert_eq!(status(&stack, |refer| _ = refer.set("Contact", "<sip:a@example.test;gr=1>")), 200);
    assert_eq!(status(&stack, |refer| _ = refer.set("Require", "explicitsub")), 200);
    let in_dialog = |refer: &mut Request| {
        refer.set("Contact", "<sip:a@example.test;gr=1>").set("To", "<sip:b@example.test>;tag=1");
    };
    assert_eq!(status(&stack, in_dialog), 403);
    stack.finish();
}

#[test]
fn requests_that_cannot_be_read_get_an_answer() {
    let (stack, _directory) = stack("");
    let contacts = ["<sip:a@h>, <sip:b@h>", "<tel:1>", "*"];
    for contact in contacts {
        assert_eq!(status(&stack, |refer| _ = refer.set("Contact", contact)), 400, "{contact}");
    }
    let mut client = Client::udp(stack.kamailio.port());
    let huge = refer(&stack, &client).with("Refer-To", format!("<sip:{}@x>", "c".repeat(8_000)));
    assert_eq!(stack.request(&mut client, &huge).status, 200, "it is long, but well-formed");
    stack.finish();
}

#[test]
fn a_host_that_is_none_stops_the_start() {
    for host in ["h>;x", "h x", "a@h", "h,i"] {
        let directory = Directory::new("refer");
        let log = builder(&directory, &format!("refer_host = \"{host}\"")).start_refused();
        assert!(log.contains("refer_host: '"), "{host}: {log}");
    }
}
