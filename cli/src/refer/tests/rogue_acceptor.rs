// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sending side against an accepting side that breaks the rules.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};

use super::{PATIENCE, at_once, refer, told};
use crate::message::Response;
use crate::received_request::ReceivedRequest;
use crate::refer::dialog::Dialog;
use crate::transport::Transport;

const TRYING: (&str, &str) = ("active;expires=60", "SIP/2.0 100 Trying\r\n");
const LAST: (&str, &str) = ("terminated;reason=noresource", "SIP/2.0 200 OK\r\n");
const EVENTS: &str = "Refer-Events-At: <sip:e@127.0.0.1>";

/// The accepting side of one test.
struct Rogue {
    socket: UdpSocket,
    peer: SocketAddr,
    /// The status lines of the answers to its NOTIFYs.
    answers: Vec<String>,
}

impl Rogue {
    /// The next request; answers on the way are kept.
    fn next(&mut self) -> ReceivedRequest {
        loop {
            let octets = self.receive().expect("a request comes");
            match ReceivedRequest::parse(&octets) {
                Ok(request) => return request,
                Err(_) => self.answers.push(Response::parse(&octets).expect("a message").status_line()),
            }
        }
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65536];
        let (count, peer) = self.socket.recv_from(&mut buffer).ok()?;
        self.peer = peer;
        buffer.truncate(count);
        Some(buffer)
    }

    fn answer(&self, request: &ReceivedRequest, status: &str, more: &str) {
        let headers: Vec<_> = more.split('\n').filter_map(|line| line.split_once(": ")).collect();
        let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        self.socket.send_to(&request.answer(status, "rogue", &headers, self.peer), self.peer).unwrap();
    }

    /// Sends a NOTIFY as often as `copies` says, and waits for as many answers.
    fn notify(&mut self, dialog: &mut Dialog, (state, body): (&str, &str), copies: usize) {
        let mut request = dialog.request("NOTIFY", self.socket.local_addr().unwrap(), Transport::Udp).unwrap();
        request.headers.extend([
            ("Event", "refer".to_owned()),
            ("Subscription-State", state.to_owned()),
            ("Content-Type", "message/sipfrag".to_owned()),
        ]);
        request.body = body.into();
        for _ in 0..copies {
            self.socket.send_to(&request.to_octets(), self.peer).unwrap();
            let answer = self.receive().expect("an answer comes");
            let answer = Response::parse(&answer).expect("an answer");
            assert!(request.is_answered_by(&answer));
            self.answers.push(answer.status_line());
        }
    }
}

/// Plays a course with the sending side, and returns what that finds and what it has answered.
fn play(
    arguments: &[&str],
    course: impl FnOnce(&mut Rogue) + Send + 'static,
) -> (u8, String, serde_json::Value, Vec<String>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let server = socket.local_addr().unwrap();
    let (sender, answers): (_, Receiver<Vec<String>>) = channel();
    let thread = std::thread::spawn(move || {
        let mut rogue = Rogue { socket, peer: server, answers: Vec::new() };
        course(&mut rogue);
        sender.send(rogue.answers).unwrap();
    });
    let (code, sentence, object) = refer(server, arguments);
    thread.join().expect("the course ends as planned");
    (code, sentence, object, answers.recv().unwrap())
}

/// Accepts the REFER and its SUBSCRIBE, and returns the subscription's dialog.
fn subscribed(rogue: &mut Rogue, status: &str) -> Dialog {
    let refer = rogue.next();
    rogue.answer(&refer, status, EVENTS);
    let subscribe = rogue.next();
    assert_eq!(subscribe.uri, "sip:e@127.0.0.1");
    assert_ne!(subscribe.text("Call-ID"), refer.text("Call-ID"));
    rogue.answer(&subscribe, "200 OK", "Expires: 60");
    Dialog::accepted(&subscribe, "rogue", "e").unwrap()
}

#[test]
fn an_answer_without_one_good_uri_breaks_a_rule() {
    let table = [
        ("", "no Refer-Events-At"),
        ("Refer-Events-At: sip:e@127.0.0.1", "angle brackets"),
        ("Refer-Events-At: <tel:+1>", "sip or sips"),
        ("Refer-Events-At: <sip:a@x>\nRefer-Events-At: <sip:b@x>", "2 values"),
    ];
    at_once(&table, |(headers, why)| {
        let (code, sentence, ..) = play(&[], move |rogue| {
            let request = rogue.next();
            rogue.answer(&request, "200 OK", headers);
        });
        assert_eq!(code, 7, "{headers}");
        assert!(sentence.contains(why), "{headers}: {sentence}");
    });
}

#[test]
fn a_202_counts_as_200_and_a_copy_is_answered_but_not_counted() {
    let (code, sentence, object, answers) = play(&[], |rogue| {
        let mut dialog = subscribed(rogue, "202 Accepted");
        rogue.notify(&mut dialog, TRYING, 3);
        rogue.notify(&mut dialog, LAST, 2);
    });
    assert_eq!(code, 0, "{sentence}");
    assert_eq!((told(&object, 0).len(), answers), (2, vec!["200 OK".to_owned(); 5]));
}

#[test]
fn a_lost_answer_brings_copies() {
    let (code, _, object, _) = play(&["--subscription", "none", "--wait", "0.2"], |rogue| {
        let (first, copy) = (rogue.next(), rogue.next());
        assert_eq!(first.copy_key(), copy.copy_key());
        rogue.answer(&copy, "200 OK", "");
    });
    assert_eq!(code, 0);
    assert!(object["retransmissions"].as_u64() >= Some(1), "{object}");
}

#[test]
fn a_notify_in_the_dialog_of_the_refer_breaks_a_rule() {
    for kind in ["explicit", "none"] {
        let (code, sentence, _, answers) = play(&["--subscription", kind, "--wait", "1"], |rogue| {
            let refer = rogue.next();
            let mut dialog = Dialog::accepted(&refer, "rogue", "e").unwrap();
            // It may even come before the answer.
            rogue.notify(&mut dialog, TRYING, 1);
            rogue.answer(&refer, "200 OK", EVENTS);
        });
        assert_eq!(code, 7, "{kind}");
        assert!(sentence.contains("within the dialog of the REFER"), "{sentence}");
        assert_eq!(answers[0], "481 Subscription Does Not Exist");
    }
}

#[test]
fn an_implicit_notify_may_come_before_the_answer() {
    let (code, sentence, object, answers) = play(&["--subscription", "implicit"], |rogue| {
        let refer = rogue.next();
        assert!(refer.header("Require").is_none());
        let mut dialog = Dialog::accepted(&refer, "rogue", "e").unwrap();
        rogue.notify(&mut dialog, TRYING, 1);
        rogue.answer(&refer, "200 OK", "");
        rogue.notify(&mut dialog, LAST, 1);
    });
    assert_eq!((code, told(&object, 0).len()), (0, 2), "{sentence}");
    assert_eq!(answers, ["200 OK", "200 OK"]);
}

#[test]
fn a_stranger_gets_481_and_breaks_nothing() {
    let (code, sentence, _, answers) = play(&[], |rogue| {
        let mut dialog = subscribed(rogue, "200 OK");
        let mut other = Dialog::opened("sip:b@x", "sip:a@x", "b").unwrap();
        rogue.notify(&mut other, LAST, 1);
        rogue.notify(&mut dialog, LAST, 1);
    });
    assert_eq!(code, 0, "{sentence}");
    assert_eq!(answers, ["481 Subscription Does Not Exist", "200 OK"]);
}

#[test]
fn nothing_more_or_nothing_at_all_is_noticed() {
    at_once(&[(Some(TRYING), "the last NOTIFY"), (None, "no NOTIFY came")], |(first, why)| {
        let (code, sentence, ..) = play(&["--wait", "3"], move |rogue| {
            let mut dialog = subscribed(rogue, "200 OK");
            if let Some(first) = first {
                rogue.notify(&mut dialog, first, 1);
            }
        });
        assert_eq!(code, 7, "{why}");
        assert!(sentence.contains(why), "{sentence}");
    });
}

#[test]
fn one_notify_too_many_is_noticed() {
    let (code, sentence, _, answers) = play(&[], |rogue| {
        let mut dialog = subscribed(rogue, "200 OK");
        rogue.notify(&mut dialog, LAST, 1);
        rogue.notify(&mut dialog, LAST, 1);
    });
    assert_eq!(code, 7, "{sentence}");
    assert_eq!(answers, ["200 OK", "481 Subscription Does Not Exist"]);
}

#[test]
fn a_subscribe_that_is_refused_has_the_code_of_its_answer() {
    at_once(&[("404 Not Found", 3), ("401 Unauthorized", 2), ("503 Busy", 4)], |(status, exit)| {
        let (code, sentence, ..) = play(&[], move |rogue| {
            let request = rogue.next();
            rogue.answer(&request, "200 OK", EVENTS);
            let request = rogue.next();
            rogue.answer(&request, status, "");
        });
        assert_eq!(code, exit, "{sentence}");
        assert!(sentence.contains("SUBSCRIBE got"), "{sentence}");
    });
}

#[test]
fn the_token_goes_with_both_requests_and_the_id_with_a_later_one() {
    let arguments = ["--token", "aaaabbbbccccdddd.eeee", "--unsubscribe-after", "0.2"];
    let (code, sentence, ..) = play(&arguments, |rogue| {
        let refer = rogue.next();
        rogue.answer(&refer, "200 OK", EVENTS);
        let subscribe = rogue.next();
        for request in [&refer, &subscribe] {
            assert_eq!(request.text("Authorization"), "Bearer aaaabbbbccccdddd.eeee");
        }
        assert_eq!(subscribe.text("Accept"), "message/sipfrag");
        rogue.answer(&subscribe, "200 OK", "Expires: 60");
        let mut dialog = Dialog::accepted(&subscribe, "rogue", "e").unwrap();
        rogue.notify(&mut dialog, TRYING, 1);
        let leaving = rogue.next();
        assert_eq!((leaving.text("Expires"), leaving.tag("To")), ("0".into(), Some("rogue".into())));
        assert_eq!((leaving.cseq, leaving.text("Call-ID")), (2, subscribe.text("Call-ID")));
        rogue.answer(&leaving, "200 OK", "Expires: 0");
        rogue.notify(&mut dialog, ("terminated;reason=timeout", ""), 1);
    });
    assert_eq!(code, 0, "{sentence}");
}
