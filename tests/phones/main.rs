// SPDX-License-Identifier: MIT OR Apache-2.0

//! Phones that are built on PJSIP, at cfg-examples/kamailio/mixed-fleet.cfg: they lose a 401 with a Bearer challenge,
//! whatever else is in it. `tools/test-phones.sh` installs them and runs this.

#[path = "../support/mod.rs"]
mod support;

// What the end-to-end tests have for proxies.
#[path = "../e2e/fleet.rs"]
mod fleet;
#[path = "../e2e/stack.rs"]
#[allow(dead_code)]
mod stack;

use fleet::{PASSWORD, rules, rules_with_both_for_others};
use std::process::Command;
use std::time::Duration;
use support::patience::{self, PATIENCE};
use support::process::{Process, command};
use support::temporary::Directory;
use support::{kit, ports};

/// The phones try for a shorter time.
const GIVEN_UP: Duration = Duration::from_secs(20);

/// A phone that is about to register `desk` at this port.
type Start<'a> = &'a dyn Fn(u16, &Directory) -> Command;

/// With the rules of the example, also where all whom they do not name are offered both.
fn registers(start: Start<'_>) {
    for rules in [rules(), rules_with_both_for_others()] {
        assert!(is_registered(&rules, start, PATIENCE), "{rules}");
    }
}

fn is_registered(rules: &str, start: Start<'_>, limit: Duration) -> bool {
    let (_server, stack) = fleet::start(rules, "example.test");
    let directory = Directory::new("phone");
    let phone = Process::start("phone", start(stack.kamailio.port(), &directory), directory.path());
    let is_bound = || stack.rpc("ul.dump", &[]).expect("the RPC exists").contains("AoR: desk");
    let registered = patience::until(limit, is_bound);
    assert!(registered || limit < PATIENCE, "{}", phone.output());
    drop(phone);
    stack.finish();
    registered
}

fn pjsip(transport: &'static str, agent: &'static str) -> impl Fn(u16, &Directory) -> Command {
    move |port, _| {
        let mut start = command("python3");
        start.arg(kit::path("tests/phones/pjsip.py")).args(["desk", "example.test", PASSWORD, &port.to_string()]);
        start.args([transport, agent]).env("PYTHONPATH", kit::path("target/phones/pjsip"));
        start
    }
}

fn asterisk(port: u16, home: &Directory) -> Command {
    let own = ports::free();
    let folder = home.path().display();
    let modules = "/usr/lib/x86_64-linux-gnu/asterisk/modules";
    let folders =
        ["etc", "varlib", "db", "key", "agi", "spool", "run", "log"].map(|kind| format!("ast{kind}dir={folder}\n"));
    let settings = home.write(
        "asterisk.conf",
        format!("[directories]\nastmoddir={modules}\nastdatadir=/usr/share/asterisk\n{}", folders.concat()),
    );
    let names = ["pjproject", "sorcery_config", "sorcery_memory", "sorcery_astdb", "pjsip"];
    let more = ["pjsip_outbound_authenticator_digest", "pjsip_outbound_registration"];
    let load: String = names.iter().chain(&more).map(|name| format!("load=res_{name}.so\n")).collect();
    home.write("modules.conf", format!("[modules]\nautoload=no\n{load}"));
    home.write("logger.conf", "[general]\n[logfiles]\nconsole=notice,warning,error\n");
    home.write(
        "pjsip.conf",
        format!(
            "[udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:{own}\n\
             [desk-auth]\ntype=auth\nauth_type=userpass\nusername=desk\npassword={PASSWORD}\n\
             [desk]\ntype=registration\ntransport=udp\noutbound_auth=desk-auth\nserver_uri=sip:127.0.0.1:{port}\n\
             client_uri=sip:desk@example.test\nretry_interval=2\nmax_random_initial_delay=0\n"
        ),
    );
    let mut start = command(kit::path("target/phones/asterisk/run"));
    start.args(["/usr/sbin/asterisk", "-f", "-C"]).arg(settings);
    start
}

#[test]
fn pjsip_over_udp() {
    registers(&pjsip("udp", "PJSUA v2.15.1 Linux"));
}

#[test]
fn pjsip_over_tcp() {
    registers(&pjsip("tcp", "PJSUA v2.15.1 Linux"));
}

#[test]
fn asterisk_as_a_phone() {
    registers(&asterisk);
}

/// If this fails, the guide docs/guide/phones.md says too little of PJSIP.
#[test]
fn one_that_no_rule_names_is_lost_where_both_are_offered() {
    let both = "[[offer]]\noffer = \"both\"\n";
    assert!(!is_registered(both, &pjsip("udp", "a phone of somebody"), GIVEN_UP));
    assert!(is_registered("[[offer]]\noffer = \"digest\"\n", &pjsip("udp", "a phone of somebody"), PATIENCE));
}
