// SPDX-License-Identifier: MIT OR Apache-2.0

//! REFER of JsSIP and SIP.js in a browser, over WebSocket and with tokens.

use serde_json::{Value, json};

use crate::refer::tell;
use crate::refer_phones::{STRICT, builder, trace};
use crate::stack::{Stack, provider};
use crate::support::authorization_server::AuthorizationServer;
use crate::support::browser::Script;
use crate::support::temporary::Directory;

const AORS: &str = "sip:alice@example.test sip:bob@example.test sip:carol@example.test";

fn start(settings: &str, gives_gruus: bool) -> (AuthorizationServer, Stack) {
    let (server, directory) = (AuthorizationServer::start(), Directory::new("refer-browsers"));
    let builder = builder(&directory, &provider(server.issuer()), settings).define("GRUU", u8::from(gives_gruus));
    let stack = Stack::new(builder);
    stack.wait_for_keys();
    (server, stack)
}

/// Tokens of these users.
fn tokens(server: &AuthorizationServer, stack: &Stack, users: &[&str]) -> String {
    let tokens: Vec<_> = users.iter().map(|user| stack.secrets.keep(server.token(user, "es256"))).collect();
    tokens.join(" ")
}

const JSSIP: &str = "jssip-transfer.mjs";
const SIPJS: &str = "sipjs-transfer.mjs";

/// alice calls bob, and refers him to carol: all of them are the same phone.
fn transfer(phone: &str, server: &AuthorizationServer, stack: &Stack, more: &[(&str, &str)]) -> Script {
    let environment: Vec<_> = [("AORS", AORS)].iter().chain(more).copied().collect();
    let tokens = || tokens(server, stack, &["alice", "bob", "carol"]);
    Script::start(phone, stack.kamailio.websocket_port(), &environment, tokens)
}

fn wait_for(script: &Script, who: &str, event: &str) -> Value {
    script.wait_for(&format!("{who} {event}"), |seen| seen["who"] == who && seen["event"] == event || is_error(seen))
}

fn is_error(seen: &Value) -> bool {
    seen["event"] == "error"
}

/// carol is called by bob, alice sees a 200 although bob answers 202, and is notified until the end.
fn is_transferred(phone: &str, settings: &str, gives_gruus: bool, more: &[(&str, &str)]) {
    let (server, stack) = start(settings, gives_gruus);
    let script = transfer(phone, &server, &stack, more);
    let answered = wait_for(&script, "alice", "answered");
    assert_eq!(
        (&answered["status"], &answered["phrase"]),
        (&json!(200), &json!("OK")),
        "{answered}\n{}",
        trace(&stack)
    );
    for who in ["bob", "carol"] {
        let seen = wait_for(&script, who, "confirmed");
        assert!(!is_error(&seen), "{seen}\n{}", trace(&stack));
    }
    let end = script.wait_for("the last NOTIFY", |seen| seen["event_is"] == "accepted" || is_error(seen));
    assert_eq!(end["status"], 200, "{end}");
    let called = wait_for(&script, "carol", "called");
    assert_eq!(called["by"], "bob");
    assert!(trace(&stack).contains("202 arrives for REFER"), "{}", trace(&stack));
    script.end();
    stack.finish();
}

/// alice sees a 403, and carol is not called.
fn is_refused(phone: &str, more: &[(&str, &str)]) {
    let (server, stack) = start(STRICT, true);
    let script = transfer(phone, &server, &stack, more);
    let answered = wait_for(&script, "alice", "answered");
    let trace = trace(&stack);
    assert_eq!((&answered["status"], &answered["phrase"]), (&json!(403), &json!("Forbidden")), "{answered}\n{trace}");
    let refer = trace.lines().find(|line| line.starts_with("REFER of alice to bob at <sip:bob@example.test;"));
    assert!(refer.is_some_and(|line| line.contains(";gr=urn:uuid:")), "{trace}");
    assert!(trace.contains("REFER of alice is refused, refer_in_dialog"), "{trace}");
    assert!(!trace.contains("INVITE of bob"), "{trace}");
    script.end();
    stack.finish();
}

#[test]
fn jssip_transfers_a_call_by_default() {
    is_transferred(JSSIP, "", true, &[]);
}

/// Kamailio's registrar gives GRUUs by default, JsSIP has them in its Contact, and RFC 7647 section 4 forbids this REFER.
#[test]
fn jssip_with_a_gruu_is_not_transferred_under_the_strict_rule() {
    is_refused(JSSIP, &[]);
}

#[test]
fn jssip_without_a_gruu_is_transferred_under_the_strict_rule() {
    is_transferred(JSSIP, STRICT, false, &[]);
}

/// It asks for no GRUU by itself.
#[test]
fn sipjs_transfers_a_call_by_default() {
    is_transferred(SIPJS, "", true, &[]);
}

#[test]
fn sipjs_that_registers_with_reg_id_is_not_transferred_under_the_strict_rule() {
    is_refused(SIPJS, &[("REG_ID", "1")]);
}

/// The name of the state that an answer to REFER tells.
fn id_of(stack: &Stack, answered: &Value) -> String {
    assert_eq!(answered["status"], 200, "{answered}\n{}", trace(stack));
    let at = answered["at"].as_str().expect("Refer-Events-At");
    let (_, id) = at.split_once("sip:").expect("a URI");
    let (id, _) = id.split_once('@').expect("a user");
    stack.secrets.keep(id.to_owned())
}

/// Tells the state as it changes, and sees that alice is notified of each.
fn follow(stack: &Stack, script: &Script, id: &str) {
    let notified = |status: &str, state: &str| {
        script.wait_for(&format!("NOTIFY {status}"), |seen| {
            let text = |name: &str| seen[name].as_str().unwrap_or_default().to_owned();
            text("body").starts_with(status) && text("state").starts_with(state) || is_error(seen)
        })
    };
    assert!(!is_error(&notified("SIP/2.0 100 Trying\r\n", "active;expires=")));
    assert_eq!(tell(stack, id, "180"), 200);
    assert!(!is_error(&notified("SIP/2.0 180 Ringing\r\n", "active;expires=")));
    assert_eq!(tell(stack, id, "200"), 200);
    assert!(!is_error(&notified("SIP/2.0 200 OK\r\n", "terminated;reason=noresource")));
}

/// alice sends a REFER with explicitsub to carol, outside any dialog, and subscribes.
fn refer_outside_a_dialog(script: &str, owner: &str) {
    let (server, stack) = start(&format!("refer_subscriber = \"{owner}\"\n"), true);
    let environment = [("AOR", "sip:alice@example.test"), ("REFER_TO", "sip:carol@example.test")];
    let token = || tokens(&server, &stack, &["alice"]);
    let script = Script::start(script, stack.kamailio.websocket_port(), &environment, token);
    let id = id_of(&stack, &wait_for(&script, "alice", "answered"));
    follow(&stack, &script, &id);
    wait_for(&script, "alice", "terminated");
    script.end();
    stack.finish();
}

#[test]
fn sipjs_sends_a_refer_with_explicitsub_and_subscribes_to_its_events() {
    refer_outside_a_dialog("sipjs-refer.mjs", "owner");
}

#[test]
fn jssip_does_so_outside_a_dialog_too() {
    refer_outside_a_dialog("jssip-refer.mjs", "uri");
}

/// With a GRUU, too, because explicitsub is lifted from the rule. bob's phone does not know it, so the proxy answers.
#[test]
fn jssip_sends_a_refer_with_explicitsub_and_subscribes_to_its_events() {
    let (server, stack) = start("refer_subscriber = \"owner\"\n", true);
    let script = transfer(JSSIP, &server, &stack, &[("REQUIRE", "explicitsub")]);
    let id = id_of(&stack, &wait_for(&script, "alice", "answered"));
    follow(&stack, &script, &id);
    let end = wait_for(&script, "alice", "terminated");
    assert_eq!(end["reason"], "noresource", "{end}");
    assert!(!script.events().iter().any(|seen| seen["who"] == "bob"), "{:?}", script.events());
    script.end();
    stack.finish();
}
