// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tests of REFER share: a proxy with its functions, and subscribers that take NOTIFY requests.

use std::time::Duration;

use crate::stack::{Stack, configured};
use crate::support::kamailio::Builder;
use crate::support::patience::PATIENCE;
use crate::support::sip::{Client, Reply, Request, unique};
use crate::support::temporary::Directory;

pub const ALICE: &str = "sip:alice@example.test";
/// In this time nothing comes that does not come at all.
pub const SILENCE: Duration = Duration::from_millis(400);

/// A proxy with the functions of REFER and these settings, one to a line.
pub fn builder(directory: &Directory, settings: &str) -> Builder {
    let file = directory.write("refer.toml", settings);
    configured("tests/e2e/refer.cfg", "name=test;issuer=http://127.0.0.1:9;audience=sip;aor={sip};domain=example.test")
        .define_string("CONFIG_FILE", file.to_str().expect("UTF-8"))
}

pub fn stack(settings: &str) -> (Stack, Directory) {
    let directory = Directory::new("refer");
    let stack = Stack::new(builder(&directory, settings));
    (stack, directory)
}

/// A REFER of alice to the proxy, which has a Refer-To and a Contact.
pub fn refer(stack: &Stack, client: &Client) -> Request {
    let uri = format!("sip:transfer@127.0.0.1:{}", stack.kamailio.port());
    let mut refer = Request::new("REFER", &uri, ALICE);
    refer.set("Refer-To", "<sip:carol@example.test>");
    refer.set("Contact", format!("<sip:alice@127.0.0.1:{}>", client.local_port()));
    refer
}

/// The URI of Refer-Events-At, and its user.
pub fn events_at(reply: &Reply) -> (String, String) {
    let values = reply.all("Refer-Events-At");
    assert_eq!((reply.status, values.len()), (200, 1), "{reply:?}");
    let uri = values[0].strip_prefix('<').and_then(|rest| rest.split_once('>')).expect("angle brackets").0;
    let (scheme, rest) = uri.split_once(':').expect("a URI");
    assert!(["sip", "sips"].contains(&scheme), "{uri}");
    let (user, _) = rest.split_once('@').expect("a user");
    assert!(user.len() == 40 && uri.ends_with(";gr"), "{uri}");
    (uri.to_owned(), user.to_owned())
}

/// A REFER with explicitsub that was accepted: where its events are told, and its name.
pub fn accepted(stack: &Stack, client: &mut Client) -> (String, String) {
    let refer = refer(stack, client).with("Require", "explicitsub");
    let reply = client.request(&refer).expect("an answer");
    let (uri, id) = events_at(&reply);
    stack.secrets.keep(&id);
    (uri, id)
}

/// Tells the state of a REFER as a script does.
pub fn tell(stack: &Stack, id: &str, status: &str) -> u16 {
    let uri = format!("sip:127.0.0.1:{}", stack.kamailio.port());
    let message = Request::new("MESSAGE", &uri, ALICE).with("X-Refer", id).with("X-Status", status);
    stack.udp().request(&message).expect("an answer").status
}

/// Shared memory of the proxy that is in use, in octets.
pub fn used_memory(stack: &Stack) -> u64 {
    let text = stack.rpc("core.shmmem", &[]).expect("the RPC exists");
    let line = text.lines().find_map(|line| line.trim().strip_prefix("real_used:").map(str::to_owned));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("no real_used in {text}"))
}

/// A NOTIFY as it came.
#[derive(Clone, Debug)]
pub struct Notify {
    pub message: Reply,
    pub target: String,
    pub cseq: u32,
}

impl Notify {
    /// The status in the body, and Subscription-State without its expires.
    pub fn told(&self) -> (u16, String) {
        let body = String::from_utf8_lossy(&self.message.body);
        let status = body.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)).expect("a status line");
        let state = self.message.header("Subscription-State").expect("required");
        let state = state.split_once(";expires=").map_or(state, |(before, _)| before);
        (status.parse().expect("a number"), state.to_owned())
    }

    pub fn header(&self, name: &str) -> &str {
        self.message.header(name).unwrap_or_default()
    }
}

/// A phone that subscribes.
pub struct Subscriber {
    pub client: Client,
    /// The SUBSCRIBE, with a To tag once there is one.
    pub subscribe: Request,
    /// How the last NOTIFY was answered: its CSeq, and the answer.
    answered: (u32, u16),
}

impl Subscriber {
    /// A phone whose request is the subscription.
    pub fn by(client: Client, subscribe: Request) -> Subscriber {
        Subscriber { client, subscribe, answered: (0, 0) }
    }

    pub fn new(client: Client, uri: &str) -> Subscriber {
        let mut subscribe = Request::new("SUBSCRIBE", uri, ALICE);
        subscribe.set("Contact", format!("<sip:alice@127.0.0.1:{}>", client.local_port()));
        subscribe.set("Event", "refer").set("Accept", "message/sipfrag");
        Subscriber::by(client, subscribe)
    }

    /// Sends the SUBSCRIBE.
    pub fn ask(&mut self) -> Reply {
        let reply = self.client.request(&self.subscribe).expect("an answer");
        if reply.status == 200 {
            let to = reply.header("To").expect("required").to_owned();
            self.subscribe.set("To", to);
        }
        reply
    }

    /// The same in the dialog, with another Expires.
    pub fn again(&mut self, expires: &str) -> Reply {
        self.subscribe.next();
        self.subscribe.set("Expires", expires);
        self.ask()
    }

    /// The next NOTIFY, which is answered with this status.
    pub fn notified_with(&mut self, status: u16) -> Notify {
        self.next(PATIENCE, status).expect("a NOTIFY")
    }

    /// A copy of the last one, whose answer has come late, is answered again.
    fn next(&mut self, timeout: Duration, status: u16) -> std::io::Result<Notify> {
        loop {
            let octets = self.client.receive_request(timeout)?;
            let notify = self.read(&octets);
            let (last, before) = self.answered;
            let status = if notify.cseq == last { before } else { status };
            self.client.send_octets(&answer(&notify.message, status))?;
            self.answered = (notify.cseq, status);
            if notify.cseq != last {
                return Ok(notify);
            }
        }
    }

    pub fn notified(&mut self) -> Notify {
        self.notified_with(200)
    }

    /// Nothing comes.
    pub fn hears_nothing(&mut self) {
        if let Ok(notify) = self.next(SILENCE, 200) {
            panic!("{notify:?}");
        }
    }

    fn read(&self, octets: &[u8]) -> Notify {
        let message = Reply::parse(octets).expect("a message");
        let text = String::from_utf8_lossy(octets);
        let first: Vec<_> = text.lines().next().expect("a line").split(' ').collect();
        assert_eq!(first[0], "NOTIFY", "{text}");
        let own = |name: &str| self.subscribe.header(name).unwrap_or_default().split(";tag=").nth(1).map(str::to_owned);
        let its = |name: &str| message.header(name).and_then(|value| value.split(";tag=").nth(1)).map(str::to_owned);
        assert_eq!((its("To"), message.header("Call-ID")), (own("From"), self.subscribe.header("Call-ID")), "{text}");
        if own("To").is_some() {
            assert_eq!(its("From"), own("To"), "{text}");
        }
        assert!(message.header("Event").is_some_and(|event| event.starts_with("refer")), "{text}");
        assert_eq!(message.header("Content-Type"), Some("message/sipfrag;version=2.0"), "{text}");
        let cseq = message.header("CSeq").and_then(|cseq| cseq.split(' ').next()?.parse().ok()).expect("a number");
        Notify { target: first[1].to_owned(), cseq, message }
    }
}

/// An answer to a request.
pub fn answer(request: &Reply, status: u16) -> Vec<u8> {
    answer_with(request, &format!("{status} Answer"), "")
}

/// An answer with these header lines.
pub fn answer_with(request: &Reply, status: &str, lines: &str) -> Vec<u8> {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for (name, value) in &request.headers {
        let to_tag =
            if name.eq_ignore_ascii_case("To") && !value.contains(";tag=") { unique(";tag=") } else { String::new() };
        if ["via", "record-route", "from", "to", "call-id", "cseq"].contains(&&*name.to_lowercase()) {
            text.push_str(&format!("{name}: {value}{to_tag}\r\n"));
        }
    }
    text.push_str(&format!("{lines}Content-Length: 0\r\n\r\n"));
    text.into_bytes()
}
