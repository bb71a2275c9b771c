// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a script, other modules, the caller and the callee notice of a request that has waited: nothing. And what is
//! written in docs/guide/waiting.md of those few cases in which they do.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::stack::{Stack, configured, scripted_provider};
use crate::support::certificates::Authority;
use crate::support::host::is_opensips;
use crate::support::kamailio::Builder;
use crate::support::kit;
use crate::support::opaque::{INTROSPECTION, active, provider, server};
use crate::support::patience::{self, PATIENCE, SILENCE};
use crate::support::scripted_server::{Answer, ScriptedServer, key_set};
use crate::support::sip::{Client, Reply, Request, unique};
use crate::support::temporary::Directory;
use crate::support::tls_tunnel::TlsTunnel;
use crate::support::token::{TestKey, claims};

const ALICE: &str = "sip:alice@example.test";
const BOB: &str = "sip:bob@example.test";
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// What a real rtpengine is asked to do with each call. It answers "ok" and another port.
struct RtpEngine {
    address: SocketAddr,
    commands: Arc<Mutex<Vec<(String, String)>>>,
}

impl RtpEngine {
    fn start() -> RtpEngine {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("bound");
        let commands = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&commands);
        // It ends with the test's process, and waits for nobody until then.
        thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let Some((cookie, asked)) = text.split_once(' ') else { continue };
                let command = value(asked, "7:command").unwrap_or_default();
                let answer = match &*command {
                    "ping" => "d6:result4:ponge".to_owned(),
                    _ => format!("d6:result2:ok3:sdp{}:{}e", SDP.len(), SDP.replace("4000", "5000")),
                };
                list.lock()
                    .expect("no panic while held")
                    .push((value(asked, "7:call-id").unwrap_or_default(), command));
                let _ = socket.send_to(format!("{cookie} {answer}").as_bytes(), from);
            }
        });
        RtpEngine { address, commands }
    }

    fn of_call(&self, call_id: &str) -> Vec<String> {
        let commands = self.commands.lock().expect("no panic while held");
        commands.iter().filter(|(call, _)| call == call_id).map(|(_, command)| command.clone()).collect()
    }
}

/// A string of a bencoded dictionary.
fn value(text: &str, key: &str) -> Option<String> {
    let (length, rest) = text.split_once(key)?.1.split_once(':')?;
    rest.get(..length.parse().ok()?).map(str::to_owned)
}

/// A proxy with the script of waiting.cfg, and all that it talks to.
struct Place {
    stack: Stack,
    server: ScriptedServer,
    callee: UdpSocket,
    tracer: UdpSocket,
    rtpengine: RtpEngine,
    _directory: Directory,
}

fn place(change: impl FnOnce(Builder, &Directory) -> Builder) -> Place {
    let (server, rtpengine, directory) = (server(), RtpEngine::start(), Directory::new("waiting"));
    let [callee, tracer] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a free port"));
    let uri = |socket: &UdpSocket| format!("sip:{}", socket.local_addr().expect("bound"));
    // At level 3 other lines break into those of acc: Kamailio 6 writes a line in pieces.
    let builder = configured("tests/e2e/waiting.cfg", &provider(&server))
        .define("DEBUG", 2)
        .define_string("RTPENGINE", &format!("udp:{}", rtpengine.address))
        .define_string("CALLEE", &uri(&callee))
        .define_string("TRACER", &uri(&tracer));
    let stack = Stack::new(change(builder, &directory));
    Place { stack, server, callee, tracer, rtpengine, _directory: directory }
}

/// What a call looks like to everybody but the proxy. Two calls that went alike are equal.
#[derive(Debug, PartialEq)]
struct Seen {
    forwarded: String,
    answered: String,
    ended: String,
    finals: Vec<u16>,
    accounted: Vec<String>,
    rtpengine: Vec<String>,
    dialogs: String,
    traced: usize,
}

impl Place {
    fn token(&self) -> String {
        self.stack.secrets.keep(unique("an-opaque-token-"))
    }

    fn invite(&self, token: &str, to: &str) -> Request {
        let authorization = format!("Bearer {token}");
        let mut invite = Request::new("INVITE", to, if token.contains("of-bob") { BOB } else { ALICE })
            .with("Authorization", authorization)
            .with_body("application/sdp", SDP);
        invite.set("Contact", "<sip:caller@127.0.0.1:9>");
        invite
    }

    /// The next request that reaches the callee, a copy of the last one apart.
    fn hears(&self, method: &str) -> (String, SocketAddr) {
        loop {
            let heard = patience::receive_from(&self.callee, PATIENCE);
            let (octets, from) = heard.unwrap_or_else(|e| panic!("no {method}: {e}\n{}", self.stack.kamailio.log()));
            let text = String::from_utf8(octets).expect("text");
            if text.starts_with(&format!("{method} ")) {
                return (text, from);
            }
        }
    }

    fn answer(&self, (request, proxy): &(String, SocketAddr), status: &str, body: &str) {
        let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:", "Record-Route:"];
        let mut answer = format!("SIP/2.0 {status}\r\n");
        for line in request.split("\r\n").filter(|line| kept.iter().any(|name| line.starts_with(name))) {
            let tag = if line.starts_with("To:") && !line.contains("tag=") { ";tag=callee" } else { "" };
            answer.push_str(&format!("{line}{tag}\r\n"));
        }
        let address = self.callee.local_addr().expect("bound");
        answer.push_str(&format!("Contact: <sip:callee@{address}>\r\n"));
        if !body.is_empty() {
            answer.push_str("Content-Type: application/sdp\r\n");
        }
        answer.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        self.callee.send_to(answer.as_bytes(), proxy).expect("sent");
    }

    /// A whole call, and whether it had to wait.
    fn call(&self, phone: &mut Client, token: &str) -> (Seen, bool) {
        let invite = self.invite(token, BOB);
        let call_id = invite.header("Call-ID").expect("our own").to_owned();
        let suspended = self.stack.counter("suspended");
        let octets = phone.send(&invite).expect("sent");
        let heard = self.hears("INVITE");
        self.answer(&heard, "200 OK", &SDP.replace("4000", "4444"));
        let mut finals = Vec::new();
        let answer = loop {
            let reply = phone.receive().expect("a reply");
            if reply.status >= 200 {
                finals.push(reply.status);
                break reply;
            }
        };
        let mut further = invite.clone();
        further.body.clear();
        further.headers.retain(|(name, _)| !["Content-Type", "Authorization"].contains(&name.as_str()));
        further.uri = answer.header("Contact").expect("a Contact").trim_matches(['<', '>']).to_owned();
        further.set("To", answer.header("To").expect("a To"));
        for route in answer.all("Record-Route").iter().rev() {
            further.add("Route", *route);
        }
        further.method = "ACK".to_owned();
        phone.send(further.set("CSeq", "1 ACK")).expect("sent");
        self.hears("ACK");
        let dialogs = self.stack.rpc("dlg.stats_active", &[]).expect("the RPC exists");
        further.method = "BYE".to_owned();
        phone.send(further.set("CSeq", "2 BYE")).expect("sent");
        let bye = self.hears("BYE");
        self.answer(&bye, "200 OK", "");
        let reply = phone.receive().expect("a reply to the BYE");
        assert!(reply.header("CSeq").is_some_and(|cseq| cseq.contains("BYE")), "one answer to the INVITE: {reply:?}");
        finals.push(reply.status);
        let written = |log: &str| log.lines().filter(|l| l.contains("ACC: ") && l.contains(&call_id)).count() > 0;
        self.stack.wait_until("the call is accounted", || written(&self.stack.kamailio.log()));
        let own = |text: &str| normal(&text.replace(&call_id, "*"), &invite, &octets, phone.local_port());
        let log = self.stack.kamailio.log();
        let lines = log.lines().filter(|line| line.contains("ACC: ") && line.contains(&call_id));
        let record = |line: &str| own(line.split_once("method=").map_or(line, |(_, record)| record));
        let seen = Seen {
            forwarded: own(&heard.0),
            answered: own(&format!("{answer:?}")),
            ended: own(&bye.0),
            finals,
            accounted: lines.map(record).collect(),
            rtpengine: self.rtpengine.of_call(&call_id),
            dialogs,
            traced: self.traced(&call_id),
        };
        (seen, self.stack.counter("suspended") > suspended)
    }

    /// How many times the tracer was told of the INVITE.
    fn traced(&self, call_id: &str) -> usize {
        let mut count = 0;
        while let Ok(octets) = patience::receive(&self.tracer, Duration::ZERO) {
            let text = String::from_utf8_lossy(&octets);
            count += usize::from(text.contains("INVITE sip:") && text.contains(call_id));
        }
        count
    }

    /// A call whose token the proxy does not know, and another with the same token.
    fn compare(&self, phone: &mut Client) {
        let token = self.token();
        let (waited, has_waited) = self.call(phone, &token);
        let (known, has) = self.call(phone, &token);
        assert!(has_waited && !has, "{has_waited} {has}");
        assert_eq!(waited, known);
        assert_eq!((&*waited.finals, waited.accounted.len()), (&[200, 200][..], 1), "{waited:?}");
        assert!(waited.accounted[0].contains("user=alice;grant=token"), "{waited:?}");
        let asked = &waited.rtpengine[..2];
        assert_eq!(asked, ["offer", "answer"], "{waited:?}");
        assert!(waited.answered.contains("alice accepted for-alice yes"), "{waited:?}");
        for set in ["flag", "avp", "xavp", "du", "branch flag", "var"] {
            assert!(waited.forwarded.contains(&format!("X-Set: {set}\r\n")), "{set}: {}", waited.forwarded);
        }
        assert_eq!(waited.forwarded.matches("X-Before: yes").count(), 1, "{}", waited.forwarded);
        assert!(!waited.forwarded.contains("Bearer"), "{}", waited.forwarded);
    }
}

/// Without what differs from call to call: names that caller and proxy have invented.
fn normal(text: &str, invite: &Request, octets: &[u8], port: u16) -> String {
    let tag = invite.header("From").and_then(|from| from.split_once("tag=")).expect("our own tag").1;
    let sent = String::from_utf8_lossy(octets);
    let branch = sent.split_once("branch=").and_then(|(_, rest)| rest.split_once(';')).expect("our own Via").0;
    let text = text.replace(tag, "*").replace(branch, "*").replace(&format!(":{port}"), ":*");
    let ends = |c: char| ";<>,@ \r\n\"".contains(c);
    let made = ["branch=", "did=", "oauth=", "line=", "sip:atpsh-", "sip:btpsh-"];
    text.split_inclusive(ends)
        .map(|part| {
            let end = part.chars().last().filter(|c| ends(*c)).map_or(String::new(), |c| c.to_string());
            made.iter().find(|name| part.starts_with(**name)).map_or(part.to_owned(), |name| format!("{name}*{end}"))
        })
        .collect()
}

#[test]
fn a_call_over_udp_is_the_same_whether_it_had_to_wait_or_not() {
    let place = place(|builder, _| builder);
    place.compare(&mut place.stack.udp());
    place.stack.finish();
}

#[test]
fn a_call_over_tcp_is_the_same_whether_it_had_to_wait_or_not() {
    let place = place(|builder, _| builder);
    place.compare(&mut place.stack.tcp());
    place.stack.finish();
}

#[test]
fn a_call_over_tls_is_the_same_whether_it_had_to_wait_or_not() {
    let authority = Authority::new();
    let own = authority.good();
    let place = place(|builder, _| {
        builder
            .define("WITH_TLS", 1)
            .define_port("TLS_PORT")
            .define_string("TLS_CERTIFICATE", own.certificate.to_str().expect("UTF-8"))
            .define_string("TLS_KEY", own.key.to_str().expect("UTF-8"))
    });
    let port = place.stack.kamailio.defined("TLS_PORT").parse().expect("a port");
    let tunnel = TlsTunnel::open(port, None);
    place.compare(&mut Client::tcp(tunnel.port()));
    place.stack.finish();
}

#[test]
fn a_call_over_websocket_is_the_same_whether_it_had_to_wait_or_not() {
    let place = place(|builder, _| builder);
    place.compare(&mut place.stack.ws());
    place.stack.finish();
}

#[test]
fn topoh_and_siptrace_see_a_request_that_waited_once() {
    let place = place(|builder, _| builder.define("WITH_TOPOH", 1).define("WITH_SIPTRACE", 1));
    place.compare(&mut place.stack.udp());
    place.stack.finish();
}

#[test]
fn topos_sees_a_request_that_waited_once() {
    let place = place(|builder, directory| {
        let schema = std::path::Path::new("/usr/share/kamailio/dbtext/kamailio");
        for table in ["version", "topos_d", "topos_t"] {
            let text = std::fs::read_to_string(schema.join(table)).expect("Kamailio's own schema");
            directory.write(table, &text);
        }
        let folder = directory.path().to_str().expect("UTF-8").to_owned();
        builder.define("WITH_TOPOS", 1).define_string("TOPOS_DB", &format!("text://{folder}"))
    });
    place.compare(&mut place.stack.udp());
    place.stack.finish();
}

#[test]
fn async_workers_run_the_script_where_there_are_any() {
    let place = place(|builder, _| builder.define("WITH_ASYNC_WORKERS", 1));
    let reply = place.stack.register(&mut place.stack.udp(), ALICE, &place.token());
    let process: u32 = reply.header("X-Process").and_then(|pid| pid.parse().ok()).expect("a process");
    let processes = place.stack.kamailio.processes();
    let (_, name) = processes.iter().find(|(pid, _)| *pid == process).expect("one of the proxy's");
    assert!(name.contains("Async Task Worker"), "{name}");
    place.compare(&mut place.stack.udp());
    place.stack.finish();
}

#[test]
fn async_workers_keep_the_order_of_requests_with_one_call_id() {
    let place = place(|builder, _| builder.define("WITH_ASYNC_WORKERS", 1));
    let mut phone = place.stack.tcp();
    for _ in 0..10 {
        let (token, call_id) = (place.token(), unique("one-call-id-"));
        for (cseq, expires) in [("1 REGISTER", "600"), ("2 REGISTER", "0")] {
            let mut request = Request::register(ALICE).with("Authorization", format!("Bearer {token}"));
            request.set("Call-ID", &call_id);
            request.set("CSeq", cseq);
            request.set("Expires", expires);
            phone.send(&request).expect("sent");
        }
        for cseq in ["1 REGISTER", "2 REGISTER"] {
            let reply = phone.receive().expect("an answer");
            assert_eq!((reply.status, reply.header("CSeq")), (200, Some(cseq)));
        }
    }
    place.stack.finish();
}

#[test]
fn a_refused_save_is_answered_once() {
    let place = place(|builder, _| builder.define("MAX_CONTACTS", 1));
    let token = place.token();
    for waits in [true, false] {
        let mut register = Request::register(ALICE).with("Authorization", format!("Bearer {token}"));
        register.add("Contact", "<sip:second@127.0.0.1:9>");
        let suspended = place.stack.counter("suspended");
        let mut phone = place.stack.udp();
        let reply = place.stack.request(&mut phone, &register);
        assert_eq!(reply.status, 503, "{reply:?}\n{}", place.stack.module_log());
        let second = phone.receive_for(SILENCE);
        assert!(second.is_err(), "{second:?}");
        assert_eq!(place.stack.counter("suspended") > suspended, waits);
    }
    place.stack.finish();
}

#[test]
fn copies_of_a_request_that_waits_are_absorbed_and_nothing_else_is() {
    let place = place(|builder, _| builder.workers(4));
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().expect("no panic while held");
    let at_gate = Arc::clone(&gate);
    place.server.set(
        INTROSPECTION,
        Answer::computed(move |_| {
            drop(at_gate.lock());
            active("alice", Duration::ZERO)
        }),
    );
    let token = place.token();
    let mut phone = place.stack.udp();
    let request = Request::register(ALICE).with("Authorization", format!("Bearer {token}"));
    let octets = phone.send(&request).expect("sent");
    // Some while the first one is being looked at, which the script itself notices (t_precheck_trans), and some later.
    for _ in 0..10 {
        phone.send_octets(&octets).expect("sent");
    }
    place.stack.wait_until("it waits", || place.stack.counter("pending") == 1);
    for _ in 0..10 {
        phone.send_octets(&octets).expect("sent");
    }
    // The same names from another port, another Call-ID, another branch, another number, another method.
    let mut other = place.stack.udp();
    let text = String::from_utf8(octets).expect("text");
    // t_precheck_trans() drops it as long as another worker's script is at work on a copy of the first one.
    place.stack.wait_until("another's request waits", || {
        other.send_octets(text.as_bytes()).expect("sent");
        place.stack.counter("pending") == 2
    });
    let branch = text.split_once("branch=").and_then(|(_, rest)| rest.split_once(';')).expect("our own").0;
    let call_id = request.header("Call-ID").expect("our own");
    let changed = [
        text.replace(call_id, &unique("c")),
        text.replace(branch, &unique("z9hG4bK")),
        text.replace("CSeq: 1 ", "CSeq: 2 "),
        text.replace("REGISTER sip:", "OPTIONS sip:bob@").replace("REGISTER", "OPTIONS"),
    ];
    for text in &changed {
        phone.send_octets(text.as_bytes()).expect("sent");
    }
    place.stack.wait_until("all wait", || place.stack.counter("pending") == 6);
    drop(closed);
    // The registrar refuses a lower CSeq of the same Call-ID, whichever comes first.
    let is_answered = |phone: &mut Client| [200, 400].contains(&phone.receive().expect("an answer").status);
    assert!((0..4).all(|_| is_answered(&mut phone)), "{}", place.stack.module_log());
    place.hears("OPTIONS");
    assert!(is_answered(&mut other));
    assert!(phone.receive_for(SILENCE).is_err() && other.receive_for(SILENCE).is_err(), "nobody is answered twice");
    assert_eq!((place.stack.counter("suspended"), place.stack.counter("resumed")), (6, 6));
    place.stack.finish();
}

#[test]
fn a_cancel_ends_an_invite_that_waits_at_once_and_only_its_callers() {
    let place = place(|builder, _| builder);
    place.server.set(INTROSPECTION, Answer::Hang);
    for (mut phone, mut stranger) in [(place.stack.udp(), place.stack.udp()), (place.stack.tcp(), place.stack.tcp())] {
        let invite = place.invite(&place.token(), BOB);
        let waiting = place.stack.counter("pending") + 1;
        let octets = phone.send(&invite).expect("sent");
        assert_eq!(phone.receive().expect("an answer").status, 100);
        place.stack.wait_until("it waits", || place.stack.counter("pending") == waiting);
        let cancel = cancel_of(&octets);
        stranger.send_octets(&cancel).expect("sent");
        let ping = Request::new("OPTIONS", "sip:example.test", ALICE);
        assert_eq!(stranger.request(&ping).expect("an answer").status, 200);
        assert!(phone.receive_for(SILENCE).is_err(), "a stranger ends nothing");
        assert_eq!(place.stack.counter("pending"), waiting);
        phone.send_octets(&cancel).expect("sent");
        // OpenSIPS' tm sends a 100 of its own.
        let mut last = || loop {
            let reply = phone.receive().expect("an answer");
            if reply.status >= 200 {
                break reply;
            }
        };
        let answers = [last(), last()];
        let find = |method: &str| {
            let of = |reply: &&Reply| reply.header("CSeq").is_some_and(|cseq| cseq.ends_with(method));
            answers.iter().find(of).unwrap_or_else(|| panic!("{method}: {answers:?}"))
        };
        assert_eq!((find("INVITE").status, find("CANCEL").status), (487, 200));
        // OpenSIPS makes the tags of the two by itself.
        if !is_opensips() {
            assert_eq!(find("INVITE").header("To"), find("CANCEL").header("To"), "one To tag (RFC 3261 section 9.2)");
        }
        assert_eq!(place.stack.counter("reason_wait_timeout"), 0, "nobody waits for the server here");
        let ack = ack_of(&octets, find("INVITE").header("To").expect("a To"));
        phone.send_octets(ack.as_bytes()).expect("sent");
    }
    place.server.set(INTROSPECTION, active("alice", Duration::ZERO));
    place.compare(&mut place.stack.udp());
    place.stack.finish();
}

#[test]
fn a_cancel_that_comes_while_the_call_goes_on_ends_the_call() {
    let place = place(|builder, _| builder);
    let mut phone = place.stack.udp();
    let octets = phone.send(&place.invite(&place.token(), "sip:slow@example.test")).expect("sent");
    place.stack.wait_until("it goes on", || place.stack.counter("accepted") == 1);
    phone.send_octets(&cancel_of(&octets)).expect("sent");
    let invite = place.hears("INVITE");
    let mut last = || loop {
        let reply = phone.receive().expect("an answer");
        if reply.status >= 200 {
            return reply.status;
        }
    };
    // Kamailio's tm loses a CANCEL if the first 1xx comes in the microseconds in which it looks at the branch.
    assert_eq!(last(), 200, "the CANCEL was worked on");
    place.answer(&invite, "180 Ringing", "");
    let cancel = place.hears("CANCEL");
    place.answer(&cancel, "200 OK", "");
    place.answer(&invite, "487 Request Terminated", "");
    assert_eq!(last(), 487);
    place.stack.finish();
}

fn cancel_of(invite: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(invite);
    let kept = ["Via:", "From:", "To:", "Call-ID:", "Max-Forwards:"];
    let lines = text.split("\r\n").filter(|line| kept.iter().any(|name| line.starts_with(name)));
    let head = format!("CANCEL {BOB} SIP/2.0\r\n");
    let head = if text.contains("sip:slow@") { head.replace("bob", "slow") } else { head };
    let lines = lines.fold(head, |text, line| text + line + "\r\n");
    format!("{lines}CSeq: 1 CANCEL\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

fn ack_of(invite: &[u8], to: &str) -> String {
    let cancel = String::from_utf8(cancel_of(invite)).expect("text").replace("CANCEL", "ACK");
    let plain = format!("To: <{BOB}>");
    cancel.replace(&plain, &format!("To: {to}"))
}

#[test]
fn the_outcome_is_there_for_replies_and_failures_of_its_own_transaction_only() {
    let place = place(|builder, _| builder);
    let tokens = ["of-alice-", "of-bob-"].map(|of| place.stack.secrets.keep(unique(&format!("a-token-{of}"))));
    let mut phones = [place.stack.udp(), place.stack.udp(), place.stack.udp()];
    let (mut calls, mut sent) = (Vec::new(), None);
    for (phone, token) in phones.iter_mut().zip(&tokens) {
        sent = phone.send(&place.invite(token, "sip:carol@example.test")).ok();
        calls.push(place.hears("INVITE"));
    }
    let mut open = place.invite("", "sip:open@example.test");
    open.headers.retain(|(name, _)| name != "Authorization");
    phones[2].send(&open).expect("sent");
    calls.push(place.hears("INVITE"));
    let expected = [
        ("alice accepted for-alice yes", "alice token ok"),
        ("bob accepted for-bob yes", "bob token ok"),
        ("<null> <null> <null> yes", "<null> <null> <null>"),
    ];
    // A stranger's request by the same names, for which the script looks up the transaction.
    let (mut stranger, text) = (place.stack.udp(), String::from_utf8(sent.expect("sent")).expect("text"));
    let text = text.lines().filter(|line| !line.starts_with("Authorization")).map(|line| format!("{line}\r\n"));
    let text = text.collect::<String>().replacen("Via:", "X-Lookup: yes\r\nVia:", 1);
    stranger.send_octets(text.as_bytes()).expect("sent");
    assert_eq!(stranger.receive().expect("a reply").reason, "seen by <null>");
    for call in calls.iter().rev() {
        place.answer(call, "180 Ringing", "");
    }
    let next = |phone: &mut Client, status: u16| loop {
        let reply = phone.receive().expect("a reply");
        if reply.status == status {
            return reply;
        }
        assert_eq!(reply.status, 100, "{reply:?}");
    };
    for (phone, (at_ringing, _)) in phones.iter_mut().zip(expected) {
        assert_eq!(next(phone, 180).header("X-Reply"), Some(at_ringing));
    }
    // Only now, because another worker may be faster with it than with the 180.
    for call in &calls {
        place.answer(call, "486 Busy Here", "");
    }
    for (phone, (_, at_failure)) in phones.iter_mut().zip(expected) {
        assert_eq!(next(phone, 480).header("X-Failure"), Some(at_failure));
    }
    place.stack.finish();
}

#[test]
fn branches_of_a_request_that_has_waited_are_not_those_of_the_next() {
    let place = place(|builder, _| builder);
    let message = |to: &str| {
        let authorization = format!("Bearer {}", place.token());
        Request::new("MESSAGE", to, ALICE).with("Authorization", authorization).with_body("text/plain", "Hello")
    };
    let moved = place.stack.request(&mut place.stack.udp(), &message("sip:moved@example.test"));
    assert_eq!(moved.status, 302);
    let mut phone = place.stack.udp();
    phone.send(&message("sip:later@example.test")).expect("sent");
    let heard = place.hears("MESSAGE");
    assert!(heard.0.starts_with("MESSAGE sip:later@"), "{}", heard.0);
    place.answer(&heard, "200 OK", "");
    let other = patience::receive_from(&place.callee, SILENCE);
    assert!(other.is_err(), "{}", String::from_utf8_lossy(&other.expect("a request").0));
    assert_eq!(place.stack.counter("resumed"), 2);
    place.stack.finish();
}

#[test]
fn a_kemi_script_need_not_tell_a_request_that_waits_from_a_refused_one() {
    let server = server();
    let stack = Stack::new(
        configured("tests/e2e/kemi.cfg", &provider(&server))
            .define("WITH_LUA", 1)
            .define_string("SCRIPT", kit::path("tests/e2e/waiting.lua").to_str().expect("UTF-8")),
    );
    let token = stack.secrets.keep(unique("an-opaque-token-"));
    let mut phone = stack.udp();
    for again in ["check", "nil"] {
        let reply = stack.register(&mut phone, ALICE, &token);
        assert_eq!((reply.status, reply.header("X-Again")), (200, Some(again)), "{reply:?}");
    }
    assert!(phone.receive_for(SILENCE).is_err(), "nothing else was sent");
    for (mode, status, resumed) in [("hasty", 403, 2), ("stateful", 480, 3)] {
        let request = Request::register(ALICE)
            .with("Authorization", format!("Bearer {}", stack.secrets.keep(unique("an-opaque-token-"))))
            .with("X-Mode", mode);
        let reply = stack.request(&mut phone, &request);
        assert_eq!((reply.status, &*reply.reason), (status, "pending"), "{reply:?}");
        stack.wait_until("the server has answered", || stack.counter("resumed") == resumed);
        assert!(phone.receive_for(SILENCE).is_err(), "a script that answers by itself has answered");
    }
    stack.finish();
}

#[test]
fn a_transaction_that_the_script_has_made_waits_in_its_route_or_not_at_all() {
    let (old, new) = (TestKey::p256("old"), TestKey::p256("new"));
    for with_route in [true, false] {
        let server = ScriptedServer::start(key_set(&[old.jwk()]));
        let mut builder = configured("tests/e2e/waiting_transaction.cfg", &scripted_provider(&server));
        if !with_route {
            builder = builder.define("WITHOUT_ROUTE", 1);
        }
        let stack = Stack::new(builder);
        stack.wait_for_keys();
        server.set_keys(key_set(&[old.jwk(), new.jwk()]));
        for (key, is_known) in [(&old, true), (&new, false)] {
            let token = key.token("ES256", &claims(&server.issuer(), "sip", "alice", 300));
            let reply = stack.register(&mut stack.udp(), ALICE, &token);
            let expected = if is_known || with_route { 200 } else { 503 };
            assert_eq!(reply.status, expected, "{reply:?}\n{}", stack.module_log());
            assert_eq!(stack.counter("suspended"), u64::from(!is_known && with_route));
            if expected != 200 {
                assert!(reply.header("Retry-After").is_some(), "{reply:?}");
                continue;
            }
            let found = reply.all("X-Set");
            for name in ["flag", "avp", "xavp", "du", "later"] {
                assert!(found.contains(&name), "{name} {is_known}: {found:?}");
            }
            // OpenSIPS keeps those of a transaction.
            assert_eq!(found.contains(&"branch flag"), is_known || is_opensips(), "{is_known}: {found:?}");
        }
        stack.finish();
    }
}

const SOURCES: u8 = 5;
const OF_ONE_SOURCE: usize = 4000;

#[test]
fn twenty_thousand_requests_wait_in_25_megabytes_and_each_is_answered_once() {
    let directory = Directory::new("waiting");
    let limits = directory.write("limits.toml", "max_pending = 20000\npending_timeout = 30\nhttp_timeout = 30\n");
    let server = server();
    server.set(INTROSPECTION, Answer::Hang);
    let stack = Stack::new(
        configured("registrar-sso.cfg", &provider(&server))
            .define("DEBUG", 2)
            .define_string("CONFIG_FILE", limits.to_str().expect("UTF-8")),
    );
    let (before, replies_before) = (shared_memory(&stack), replies(&stack));
    let port = stack.kamailio.port();
    let pace = Arc::new(Pace::default());
    let sources = (0..SOURCES).map(|source| {
        let pace = Arc::clone(&pace);
        thread::spawn(move || {
            let phone = Client::udp_from([127, 0, 1, source + 1], port);
            answered_again(phone, &pace)
        })
    });
    let sources: Vec<_> = sources.collect();
    let all = usize::from(SOURCES) * OF_ONE_SOURCE;
    let all_wait = patience::until(Duration::from_secs(25), || {
        pace.taken.store(stack.counter("suspended") as usize, Relaxed);
        stack.counter("pending") == all as u64
    });
    assert!(all_wait, "{:?} sent\n{}", pace.sent, stack.rpc("auth_oauth.stats", &[]).expect("the RPC exists"));
    let taken = shared_memory(&stack) - before;
    assert!(taken <= 25_000_000, "{taken} octets");
    // A few of so many may wait a second time. Each is decided once.
    let answered =
        patience::until(PATIENCE, || stack.counter("not_now") == all as u64 && stack.counter("pending") == 0);
    assert!(answered, "{}", stack.rpc("auth_oauth.stats", &[]).expect("the RPC exists"));
    // A slow machine may lose some of that many answers on their way, so the proxy counts them.
    stack.wait_until("the last answer is sent", || replies(&stack) - replies_before == all as i64);
    for source in sources {
        let twice = source.join().expect("no panic");
        assert_eq!(twice, 0, "nobody is answered twice");
    }
    assert_eq!(replies(&stack) - replies_before, all as i64);
    let [suspended, resumed, not_now] = ["suspended", "resumed", "not_now"].map(|name| stack.counter(name));
    assert_eq!((resumed, not_now), (suspended, all as u64));
    assert!((all as u64..all as u64 + 100).contains(&suspended), "{suspended}");
    println!("{taken} octets of shared memory for {all} requests that wait");
    let left = shared_memory(&stack) - before;
    assert!(left < 1_000_000, "{left} octets are not given back");
    stack.kamailio.stop().unwrap_or_else(|e| panic!("{e}"));
}

fn shared_memory(stack: &Stack) -> i64 {
    number(stack, "core.shmmem", "", "real_used:")
}

/// Answers without a transaction that the proxy has sent.
fn replies(stack: &Stack) -> i64 {
    number(stack, "stats.get_statistics", "sl:", "sl:sent_replies =")
}

fn number(stack: &Stack, method: &str, argument: &str, name: &str) -> i64 {
    let arguments = if argument.is_empty() { vec![] } else { vec![argument] };
    let text = stack.rpc(method, &arguments).expect("the RPC exists");
    let found = text.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap_or_else(|| panic!("{text}"));
    found.trim().parse().expect("a number")
}

/// So that no datagram is lost on a slow machine: few more are sent than the proxy has taken.
#[derive(Default)]
struct Pace {
    sent: AtomicUsize,
    taken: AtomicUsize,
}

impl Pace {
    const AHEAD: usize = 40;

    fn wait(&self) {
        let sent = self.sent.fetch_add(1, Relaxed);
        patience::until(PATIENCE, || sent < self.taken.load(Relaxed) + Pace::AHEAD);
    }
}

/// Sends requests, some of them more than once, and counts who is answered again.
fn answered_again(mut phone: Client, pace: &Pace) -> usize {
    let mut copies = Vec::new();
    for number in 0..OF_ONE_SOURCE {
        let authorization = format!("Bearer {}", unique("an-opaque-token-"));
        let request = Request::register(&format!("sip:user{number}@example.test")).with("Authorization", authorization);
        pace.wait();
        let octets = phone.send(&request).expect("sent");
        if number % 20 == 0 {
            copies.push(octets);
        }
    }
    for octets in &copies {
        phone.send_octets(octets).expect("sent");
        thread::sleep(Duration::from_millis(2));
    }
    let mut answered = HashSet::new();
    let mut twice = 0;
    // Nothing comes until the server has been asked for long enough.
    let mut patience = PATIENCE;
    while let Ok(reply) = phone.receive_for(patience) {
        assert!(reply.status == 503 && reply.header("Retry-After").is_some(), "{reply:?}");
        twice += usize::from(!answered.insert(reply.header("Call-ID").expect("a Call-ID").to_owned()));
        patience = SILENCE * 2;
    }
    twice
}
