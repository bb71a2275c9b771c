// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sipoauth refer send` against the proxy's own events: the tool finds no rule broken, over each transport.

use crate::refer::{builder, tell};
use crate::stack::Stack;
use crate::support::certificates::Authority;
use crate::support::patience::{PATIENCE, until};
use crate::support::ports;
use crate::support::process::{Process, command};
use crate::support::temporary::Directory;
use crate::support::tool::tool;

/// Then comes `sip:`, or `sips:` over TLS.
const AT: &str = "Refer-Events-At: <sip";

fn hears_all(transport: &str) {
    let (directory, authority, tls_port) = (Directory::new("refer-tool"), Authority::new(), ports::free());
    let certificate = authority.good();
    let mut builder = builder(&directory, "");
    if transport == "tls" {
        builder = builder
            .define("WITH_TLS", "yes")
            .define("TLS_PORT", tls_port)
            .define_string("TLS_CERTIFICATE", certificate.certificate.to_str().expect("UTF-8"))
            .define_string("TLS_KEY", certificate.key.to_str().expect("UTF-8"));
    }
    let stack = Stack::new(builder);
    let port = if transport == "tls" { tls_port } else { stack.kamailio.port() };
    let mut send = command(tool());
    send.args(["refer", "send", "--server", &format!("127.0.0.1:{port}"), "--transport", transport]);
    send.args(["--from", "sip:alice@example.test", "--to", "sip:bob@example.test"]);
    send.args(["--refer-to", "sip:carol@example.test", "--subscribers", "2", "--show-secrets"]);
    send.arg("--ca-file").arg(authority.ca_file());
    let mut tool = Process::start("tool", send, directory.path());
    tool.wait_for("NOTIFY 1 of subscription 2: SIP/2.0 100 Trying", PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    let output = tool.output();
    let uri = output.split_once(AT).and_then(|(_, rest)| rest.split_once('@')).expect("a URI").0;
    let id = uri.split_once(':').expect("a scheme").1.to_owned();
    stack.secrets.keep(&id);
    assert_eq!(tell(&stack, &id, "180 Ringing"), 200);
    for subscription in ["1", "2"] {
        let line = format!("NOTIFY 2 of subscription {subscription}: SIP/2.0 180 Ringing");
        assert!(until(PATIENCE, || tool.output().contains(&line)), "{}", tool.output());
    }
    assert_eq!(tell(&stack, &id, "486 Busy Here"), 200);
    let status = tool.wait(PATIENCE).expect("it ends");
    let output = tool.output();
    assert_eq!(status.code(), Some(6), "the referred request has failed\n{output}");
    assert_eq!(output.matches("SIP/2.0 486 Busy Here; Subscription-State: terminated").count(), 2, "{output}");
    stack.finish();
}

#[test]
fn the_tool_hears_all_events_over_udp() {
    hears_all("udp");
}

#[test]
fn the_tool_hears_all_events_over_tcp() {
    hears_all("tcp");
}

#[test]
fn the_tool_hears_all_events_over_tls() {
    hears_all("tls");
}
