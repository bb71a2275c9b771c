// SPDX-License-Identifier: MIT OR Apache-2.0

//! A real Linphone fetches its settings from the one-time address, and is a phone of its user at a real Kamailio.

use crate::browser::Browser;
use crate::flow::values;
use crate::scripted::{self, Server};
use crate::site::Site;
use crate::support::certificates::Authority;
use crate::support::desk_phone::{DeskPhone, Kind, Line};
use crate::support::http;
use crate::support::kamailio::Kamailio;
use crate::support::patience::{PATIENCE, until};
use crate::support::ports;

fn registers_and_calls(transport: &str) {
    let (server, authority) = (Server::start(), Authority::new());
    let (certificate, tls_port) = (authority.good(), ports::free());
    // One worker keeps the order of what passes: the 180 and the 200 of bob.
    let builder = Kamailio::with("cfg-examples/kamailio/sign-in-page.cfg").workers(1);
    let udp_port = builder.port();
    // Linphone 5.1 finds no IP address in a certificate.
    let proxy = match transport {
        "tls" => format!("sip:localhost:{tls_port}"),
        _ => format!("sip:127.0.0.1:{udp_port}"),
    };
    let more = format!(
        "proxy = \"{proxy};transport={transport}\"\ntransport = \"{transport}\"\n[[offer]]\noffer = \"digest\""
    );
    let site = Site::start_with(ports::free(), &[("corp", &server.http.issuer(), "example.test")], &more);
    let kamailio = builder
        .define_string("CONFIG_FILE", site.file().to_str().expect("UTF-8"))
        .define("WITH_TLS", "yes")
        .define("TLS_PORT", tls_port)
        .define_string("TLS_CERTIFICATE", certificate.certificate.to_str().expect("UTF-8"))
        .define_string("TLS_KEY", certificate.key.to_str().expect("UTF-8"))
        .start();

    let [(mut alice, alices), (_, bobs)] = ["alice", "bob"].map(|user| {
        let mut browser = Browser::default();
        scripted::sign_in(&server, &mut browser, &site, user);
        let shown = values(&browser.wish(&site, "/phones/device", &[]).body);
        (browser, shown)
    });
    let line =
        Line { user: "bob", username: &bobs[1], password: &bobs[2], port: udp_port, transport: "udp", ca_file: None };
    let mut bob = DeskPhone::with_line(Kind::Baresip, &line);

    let address = alices.iter().find(|value| value.contains("/provision/")).expect("an address");
    let phone = DeskPhone::provisioned(address, transport, Some(authority.ca_file()));
    assert_eq!(http::send("GET", address, &[], "").unwrap().status, 404, "once");
    // What it has kept is enough, and the address is forgotten.
    let mut phone = phone.restart();
    let settings = phone.settings();
    assert!(settings.contains(&format!("userid={}\n", alices[1])), "{settings}");
    assert!(!settings.contains("config-uri=") && !settings.contains(&alices[2]), "{settings}");
    phone.call("bob");
    bob.wait_for_call("alice");
    let statuses = phone.statuses("INVITE");
    assert!(statuses.starts_with(&[407]) && statuses.ends_with(&[200]), "{statuses:?}");
    let bindings = kamailio.rpc("ul.lookup", &["location", "alice@example.test"]).expect("a binding");
    assert!(bindings.contains(&format!("Socket: {transport}:")), "{bindings}");
    assert!(until(PATIENCE, || alice.get(&site.at("/")).body.contains("Linphonec/")), "the page knows the phone");
    drop((phone, bob));
    kamailio.stop().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn linphone_registers_and_calls_with_settings_of_the_page_over_udp() {
    registers_and_calls("udp");
}

#[test]
fn linphone_registers_and_calls_with_settings_of_the_page_over_tcp() {
    registers_and_calls("tcp");
}

#[test]
fn linphone_registers_and_calls_with_settings_of_the_page_over_tls() {
    registers_and_calls("tls");
}
