// SPDX-License-Identifier: MIT OR Apache-2.0
//! The accepting side against requests that it must not take, and against their copies.

use std::net::{SocketAddr, UdpSocket};

use super::{PATIENCE, acceptor};
use crate::message::{Response, SipRequest};
use crate::received_request::ReceivedRequest;
use crate::refer::dialog::Dialog;
use crate::transport::Transport;

/// The sending side of one test.
struct Rogue {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Rogue {
    fn new(server: SocketAddr) -> Rogue {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Rogue { socket, server }
    }

    fn request(&self, dialog: &mut Dialog, method: &str, headers: &[(&'static str, &str)]) -> SipRequest {
        let mut request = dialog.request(method, self.socket.local_addr().unwrap(), Transport::Udp).unwrap();
        request.headers.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
        request
    }

    fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 65536];
        let count = self.socket.recv(&mut buffer).expect("a message comes");
        buffer.truncate(count);
        buffer
    }

    /// Sends a request and returns the next response. A NOTIFY that comes before is not answered.
    fn ask(&self, request: &SipRequest) -> Response {
        self.socket.send_to(&request.to_octets(), self.server).unwrap();
        loop {
            if let Ok(response) = Response::parse(&self.receive()) {
                return response;
            }
        }
    }

    fn new_dialog(&self, uri: &str) -> Dialog {
        Dialog::opened("sip:alice@example.test", uri, "alice").unwrap()
    }

    /// Sends a REFER that is accepted, and returns the URI of its events.
    fn refer(&self) -> String {
        let headers = [("Refer-To", "<sip:c@x>"), ("Require", "explicitsub")];
        let request = self.request(&mut self.new_dialog("sip:bob@example.test"), "REFER", &headers);
        let answer = self.ask(&request);
        assert_eq!(answer.status, 200);
        let uri = String::from_utf8_lossy(answer.header("Refer-Events-At").unwrap()).into_owned();
        // A copy gets the same URI, not one more referral.
        let again = self.ask(&request);
        assert_eq!(again.header("Refer-Events-At"), Some(uri.as_bytes()));
        assert_eq!(again.to_tag(), answer.to_tag());
        uri.trim_matches(['<', '>']).to_owned()
    }
}

#[test]
fn uris_are_known_to_those_who_got_them() {
    let (server, _) = acceptor(&["--step-ms", "60000"]);
    let rogue = Rogue::new(server);
    let uri = rogue.refer();
    assert_ne!(uri, rogue.refer());
    let user = uri.split_once(':').and_then(|(_, rest)| rest.split_once('@')).map_or("", |(user, _)| user);
    assert!(user.len() >= 32, "{uri}");
    let guess = uri.replacen(&user[..1], if user.starts_with('0') { "1" } else { "0" }, 1);
    let subscribe = |uri: &str, headers: &[(&'static str, &str)]| {
        rogue.ask(&rogue.request(&mut rogue.new_dialog(uri), "SUBSCRIBE", headers)).status_line()
    };
    assert_eq!(subscribe(&guess, &[("Event", "refer")]), "404 Not Found");
    assert_eq!(subscribe(&uri, &[("Event", "presence")]), "489 Bad Event");
    assert_eq!(subscribe(&uri, &[("Event", "refer"), ("Accept", "text/plain")]), "406 Not Acceptable");
    assert_eq!(subscribe(&uri, &[("Event", "refer"), ("Require", "explicitsub")]), "420 Bad Extension");
    let mut unknown = rogue.new_dialog(&uri);
    let answer = Response::parse(b"SIP/2.0 200 OK\r\nTo: <sip:b@x>;tag=nobody\r\n\r\n").unwrap();
    unknown.learn_from_answer(&answer);
    let refresh = rogue.request(&mut unknown, "SUBSCRIBE", &[("Event", "refer")]);
    assert_eq!(rogue.ask(&refresh).status_line(), "481 Subscription Does Not Exist");
}

#[test]
fn a_refer_within_a_call_and_other_methods_are_not_taken() {
    let (server, _) = acceptor(&[]);
    let rogue = Rogue::new(server);
    let mut call = rogue.new_dialog("sip:bob@example.test");
    let answer = Response::parse(b"SIP/2.0 200 OK\r\nTo: <sip:b@x>;tag=call\r\n\r\n").unwrap();
    call.learn_from_answer(&answer);
    let within = rogue.request(&mut call, "REFER", &[("Refer-To", "<sip:c@x>")]);
    assert_eq!(rogue.ask(&within).status, 481);
    for (method, headers, status) in [
        ("REFER", &[][..], 400),
        ("REFER", &[("Refer-To", "<sip:c@x>"), ("Refer-To", "<sip:d@x>")], 400),
        ("MESSAGE", &[], 405),
        ("OPTIONS", &[], 200),
    ] {
        let request = rogue.request(&mut rogue.new_dialog("sip:bob@example.test"), method, headers);
        assert_eq!(rogue.ask(&request).status, status, "{method} {headers:?}");
    }
}

#[test]
fn a_notify_is_sent_again_until_it_is_answered_and_481_ends_the_subscription() {
    let (server, thread) = acceptor(&["--once", "--step-ms", "0"]);
    let rogue = Rogue::new(server);
    let uri = rogue.refer();
    let subscribe =
        rogue.request(&mut rogue.new_dialog(&uri), "SUBSCRIBE", &[("Event", "refer;id=7"), ("Expires", "9")]);
    let answer = rogue.ask(&subscribe);
    assert_eq!((answer.status, answer.number("Expires")), (200, Some(9)));
    let (first, copy) =
        (ReceivedRequest::parse(&rogue.receive()).unwrap(), ReceivedRequest::parse(&rogue.receive()).unwrap());
    assert_eq!(first.copy_key(), copy.copy_key());
    assert_eq!(
        (first.text("Event"), first.text("Content-Type")),
        ("refer;id=7".into(), "message/sipfrag;version=2.0".into())
    );
    let octets = copy.answer("481 No", "", &[], rogue.server);
    rogue.socket.send_to(&octets, rogue.server).unwrap();
    assert_eq!(thread.join().unwrap(), 7);
}
