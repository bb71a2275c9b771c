// SPDX-License-Identifier: MIT OR Apache-2.0

//! REFER between real phones: what they do today goes on, and what RFC 7614 adds reaches them.
//!
//! Each phone of today sends REFER within the call, and expects that this creates a subscription. Kamailio's registrar
//! gives GRUUs to all who support them. Linphone and JsSIP then have a GRUU in their Contact, and so a REFER that is sent to
//! them within a call is what RFC 7647 section 4 forbids.

use crate::refer::tell;
use crate::stack::{Stack, configured};
use crate::support::desk_phone::{DeskPhone, Kind};
use crate::support::kamailio::Builder;
use crate::support::sipp;
use crate::support::temporary::Directory;

const NO_PROVIDER: &str = "name=test;issuer=http://127.0.0.1:9;audience=sip;aor={sip};domain=example.test";

/// A proxy between phones, with these settings.
pub fn builder(directory: &Directory, provider: &str, settings: &str) -> Builder {
    let file = directory.write("refer.toml", settings);
    configured("tests/e2e/refer_phones.cfg", provider).define_string("CONFIG_FILE", file.to_str().expect("UTF-8"))
}

/// A proxy for phones without tokens, whose registrar gives GRUUs or does not.
fn start(settings: &str, gives_gruus: bool) -> Stack {
    let directory = Directory::new("refer-phones");
    let builder = builder(&directory, NO_PROVIDER, settings).define("GRUU", u8::from(gives_gruus));
    // One worker keeps the order of what passes. Linphone answers 491 to a request that overtakes the ACK before it.
    Stack::new(builder.workers(1))
}

/// What the script has written about requests and answers.
pub fn trace(stack: &Stack) -> String {
    let log = stack.kamailio.log();
    let lines = log.lines().filter_map(|line| line.split_once(" trace: "));
    lines.map(|(_, line)| format!("{line}\n")).collect()
}

/// alice calls bob, and asks him to call carol instead.
struct Transfer {
    alice: DeskPhone,
    bob: DeskPhone,
    carol: DeskPhone,
}

impl Transfer {
    fn ask(stack: &Stack, alice: Kind, bob: Kind) -> Transfer {
        let phone = |kind, user| DeskPhone::start(kind, user, stack.kamailio.port());
        let (mut alice, mut bob, carol) = (phone(alice, "alice"), phone(bob, "bob"), phone(Kind::Baresip, "carol"));
        alice.call("bob");
        bob.wait_for_call("alice");
        alice.transfer("carol");
        Transfer { alice, bob, carol }
    }

    /// carol is called, alice sees a 200 and never a 202, and is notified until the end.
    fn succeeds(mut self, stack: Stack) {
        self.carol.wait_for_call("bob");
        self.bob.wait_for_call("carol");
        self.alice.wait_for_notify(200);
        let (answers, notified) = (self.alice.statuses("REFER"), self.alice.notified());
        let trace = trace(&stack);
        assert!(!answers.is_empty() && answers.iter().all(|status| *status == 200), "{answers:?}\n{trace}");
        assert!(notified.iter().all(|status| [100, 180, 183, 200].contains(status)), "{notified:?}\n{trace}");
        // Without this the answer of the phone could have been a 200 already.
        assert!(trace.contains("202 arrives for REFER"), "{trace}");
        drop((self.alice, self.bob, self.carol));
        stack.finish();
    }

    /// alice sees a 403, and carol is not called.
    fn ends_refused(mut self, stack: Stack) {
        self.alice.wait_for_refusal();
        let (trace, answers) = (trace(&stack), self.alice.statuses("REFER"));
        assert!(answers.iter().all(|status| *status == 403), "{answers:?}\n{trace}");
        assert!(trace.contains("REFER of alice is refused, refer_in_dialog"), "{trace}");
        assert!(!trace.contains("INVITE of bob"), "{trace}");
        assert!(self.alice.notified().is_empty(), "{trace}");
        assert!(!self.carol.output().contains("INVITE "), "{}", self.carol.output());
        drop((self.alice, self.bob, self.carol));
        stack.finish();
    }
}

/// The rule of RFC 7647.
pub const STRICT: &str = "refer_in_dialog = \"gruu\"\n";
const REFUSE: &str = "refer_in_dialog = \"refuse\"\n";

#[test]
fn baresip_transfers_a_call_by_default() {
    let stack = start("", true);
    Transfer::ask(&stack, Kind::Baresip, Kind::Baresip).succeeds(stack);
}

#[test]
fn a_refused_transfer_is_reported_by_baresip() {
    let stack = start(REFUSE, true);
    Transfer::ask(&stack, Kind::Baresip, Kind::Baresip).ends_refused(stack);
}

#[test]
fn a_refused_transfer_is_reported_by_linphone() {
    let stack = start(REFUSE, true);
    Transfer::ask(&stack, Kind::Linphone, Kind::Baresip).ends_refused(stack);
}

#[test]
fn linphone_transfers_a_call_by_default() {
    let stack = start("", true);
    Transfer::ask(&stack, Kind::Linphone, Kind::Baresip).succeeds(stack);
}

/// alice has asked carol first. Refer-To names carol and, in Replaces, that call.
#[test]
fn linphone_transfers_a_call_to_its_other_call_by_default() {
    let stack = start("", true);
    let phone = |user| DeskPhone::start(Kind::Linphone, user, stack.kamailio.port());
    let [mut alice, mut bob, mut carol] = ["alice", "bob", "carol"].map(phone);
    alice.call("bob");
    bob.wait_for_call("alice");
    alice.hold();
    alice.call("carol");
    carol.wait_for_call("alice");
    alice.transfer_to_second_call();
    Transfer { alice, bob, carol }.succeeds(stack);
}

/// Kamailio's registrar gives GRUUs by default, and Linphone has them in its Contact.
#[test]
fn linphone_is_transferred_by_default() {
    let stack = start("", true);
    Transfer::ask(&stack, Kind::Baresip, Kind::Linphone).succeeds(stack);
}

#[test]
fn linphone_with_a_gruu_is_not_transferred_under_the_strict_rule() {
    let stack = start(STRICT, true);
    Transfer::ask(&stack, Kind::Baresip, Kind::Linphone).ends_refused(stack);
}

#[test]
fn linphone_without_a_gruu_is_transferred_under_the_strict_rule() {
    let stack = start(STRICT, false);
    Transfer::ask(&stack, Kind::Baresip, Kind::Linphone).succeeds(stack);
}

#[test]
fn sipp_follows_the_events_of_its_refer_through_a_record_routing_proxy() {
    let (stack, directory) = (start("", true), Directory::new("refer-phones"));
    let hop = Stack::new(builder(&directory, NO_PROVIDER, "").define("HOP", 1).workers(1));
    let mut refer = sipp::Call::start(sipp::REFER, stack.kamailio.port(), &[]);
    let uri = refer.logged("events at ");
    let outcome = refer.end();
    assert!(outcome.all_succeeded(), "{}", outcome.errors);
    let (_, rest) = uri.split_once(':').expect("a URI");
    let id = stack.secrets.keep(rest.split('@').next().expect("a user").to_owned());
    let mut events = sipp::Call::start(sipp::REFER_EVENTS, hop.kamailio.port(), &[("events", &uri)]);
    for status in ["100", "180", "200"] {
        if status != "100" {
            assert_eq!(tell(&stack, &id, status), 200);
        }
        events.logged(&format!("notified of {status}"));
    }
    let outcome = events.end();
    assert!(outcome.all_succeeded(), "{}", outcome.errors);
    let passed = trace(&hop);
    assert!(passed.lines().filter(|line| line.starts_with("NOTIFY passes")).count() >= 3, "{passed}");
    hop.finish();
    stack.finish();
}
