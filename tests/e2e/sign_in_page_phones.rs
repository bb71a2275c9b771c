// SPDX-License-Identifier: MIT OR Apache-2.0

//! sign-in-page.cfg: phones that people have register and call with device passwords. Each password has a user name of its
//! own, which is not the user of the address.
//!
//! Of these phones Linphone and PJSIP know SHA-256 (RFC 8760), and sipp from 3.7 on. Twinkle has no TLS. The sipp of Debian 12 has
//! none either, so its messages take a tunnel.

use crate::sign_in_page::{SOON, Site, bindings, keep, soon, start_with};
use crate::support::certificates::Authority;
use crate::support::desk_phone::{DeskPhone, Kind, Line};
use crate::support::patience::{self, PATIENCE, SILENCE};
use crate::support::ports;
use crate::support::sipp::{self, Transport, User};
use crate::support::tls_tunnel::TlsTunnel;
use sipoauth::store::phones::{NewDevice, PageSignIn};

const MD5: Option<&str> = None;
const SHA_256: Option<&str> = Some("SHA-256");

/// A proxy at which alice has signed in, and bob's phone takes calls.
struct Place {
    site: Site,
    authority: Authority,
    tls_port: u16,
    alice: PageSignIn,
}

impl Place {
    fn start(algorithm: Option<&str>) -> Place {
        let (authority, tls_port) = (Authority::new(), ports::free());
        let certificate = authority.good();
        let site = start_with(|builder| {
            // One worker keeps the order of what passes. sipp fails if a 180 comes after the 200.
            let builder = builder
                .workers(1)
                .define("WITH_TLS", "yes")
                .define("TLS_PORT", tls_port)
                .define_string("TLS_CERTIFICATE", certificate.certificate.to_str().expect("UTF-8"))
                .define_string("TLS_KEY", certificate.key.to_str().expect("UTF-8"));
            match algorithm {
                Some(name) => builder.define_string("DIGEST_ALGORITHM", name),
                None => builder,
            }
        });
        let alice = site.page.sign_in("alice");
        Place { site, authority, tls_port, alice }
    }

    fn device(&self, signed_in: &PageSignIn, name: &str) -> NewDevice {
        let device = self.site.page.add_device(signed_in, name);
        assert!(!signed_in.aor.contains(&*device.username), "a name of its own: {}", device.username);
        keep(&self.site.stack, &device);
        device
    }

    fn port(&self, transport: &str) -> u16 {
        if transport == "tls" { self.tls_port } else { self.site.stack.kamailio.port() }
    }

    /// What the user enters.
    fn line<'a>(&'a self, user: &'a str, device: &'a NewDevice, transport: &'static str) -> Line<'a> {
        let (username, password) = (device.username.as_str(), device.password.as_str());
        let (port, ca_file) = (self.port(transport), Some(self.authority.ca_file()));
        Line { user, username, password, port, transport, ca_file }
    }

    /// bob's phone registers with the hash that it knows.
    fn bob(&self, kind: Kind) -> DeskPhone {
        let device = self.device(&self.site.page.sign_in("bob"), "Bob");
        DeskPhone::with_line(kind, &self.line("bob", &device, "udp"))
    }

    /// The proxy has seen this phone of alice register with its own password.
    fn is_in(&self, device: &NewDevice, transport: &str) {
        let Site { stack, page, .. } = &self.site;
        let last_use =
            || page.phones(&self.alice).into_iter().find(|phone| phone.session.id == device.session)?.last_use;
        soon("the page sees the phone", stack, SOON, || last_use().is_some());
        let dump = stack.rpc("ul.lookup", &["location", "alice@example.test"]).expect("a binding");
        assert!(dump.contains(&format!("Socket: {transport}:")), "{transport}: {dump}");
    }

    /// The user signs the phone out, and its binding goes.
    fn sign_out(&self, device: &NewDevice) {
        let Site { stack, page, .. } = &self.site;
        page.sign_out(&self.alice, &device.session);
        soon("the binding goes", stack, SOON, || bindings(stack, "alice") == 0);
    }
}

fn registers_and_calls(kind: Kind, transports: &[&'static str], algorithm: Option<&str>) {
    let place = Place::start(algorithm);
    let mut bob = place.bob(if algorithm.is_none() { Kind::Baresip } else { Kind::Linphone });
    for transport in transports {
        let device = place.device(&place.alice, transport);
        let mut phone = DeskPhone::with_line(kind, &place.line("alice", &device, transport));
        place.is_in(&device, transport);
        phone.call("bob");
        bob.wait_for_call("alice");
        let statuses = phone.statuses("INVITE");
        assert!(statuses.starts_with(&[407]) && statuses.ends_with(&[200]), "{statuses:?}");
        let output = phone.output();
        let credentials: Vec<&str> = output.lines().filter(|line| line.starts_with("Proxy-Authorization:")).collect();
        let own = |line: &&str| line.contains(&format!("username=\"{}\"", device.username.as_str()));
        assert!(!credentials.is_empty() && credentials.iter().all(own), "{credentials:?}");
        let hash = |line: &&str| line.contains("algorithm=SHA-256") == algorithm.is_some();
        assert!(credentials.iter().all(hash), "{credentials:?}");
        drop(phone);
        place.sign_out(&device);
    }
    drop(bob);
    place.site.stack.finish();
}

#[test]
fn baresip() {
    registers_and_calls(Kind::Baresip, &["udp", "tcp", "tls"], MD5);
}

#[test]
fn linphone() {
    registers_and_calls(Kind::Linphone, &["udp", "tcp", "tls"], MD5);
}

#[test]
fn linphone_with_sha_256() {
    registers_and_calls(Kind::Linphone, &["udp", "tcp", "tls"], SHA_256);
}

#[test]
fn twinkle() {
    registers_and_calls(Kind::Twinkle, &["udp", "tcp"], MD5);
}

#[test]
#[ignore = "make test-phones brings it"]
fn pjsip() {
    registers_and_calls(Kind::Pjsip, &["udp", "tcp", "tls"], MD5);
}

#[test]
#[ignore = "make test-phones brings it"]
fn pjsip_with_sha_256() {
    registers_and_calls(Kind::Pjsip, &["udp", "tcp", "tls"], SHA_256);
}

/// The scenario knows that the call is challenged, and that bob takes it.
#[test]
fn sipp() {
    let place = Place::start(MD5);
    let bob = place.bob(Kind::Baresip);
    for transport in ["udp", "tcp", "tls"] {
        let device = place.device(&place.alice, transport);
        let user = [User::with_device("alice", &device.username, &device.password)];
        let tunnel = (transport == "tls").then(|| TlsTunnel::open(place.tls_port, None));
        let port = tunnel.as_ref().map_or(place.port(transport), TlsTunnel::port);
        let how = if transport == "udp" { Transport::Udp } else { Transport::Tcp };
        let outcome = sipp::run(sipp::PHONE, how, port, &user);
        assert!(outcome.all_succeeded(), "{transport}: {}\n{}", outcome.errors, place.site.stack.module_log());
        place.is_in(&device, transport);
        place.sign_out(&device);
    }
    drop(bob);
    place.site.stack.finish();
}

/// docs/guide/sign-in-page.md says who knows it.
#[test]
fn phones_that_do_not_know_sha_256_stay_out() {
    let place = Place::start(SHA_256);
    let device = place.device(&place.alice, "Desk");
    let phones =
        [Kind::Baresip, Kind::Twinkle].map(|kind| DeskPhone::trying(kind, &place.line("alice", &device, "udp")));
    for phone in &phones {
        assert!(patience::until(PATIENCE, || phone.statuses("REGISTER").contains(&401)), "{}", phone.output());
    }
    std::thread::sleep(SILENCE);
    for phone in &phones {
        assert!(!phone.output().contains("Authorization: Digest"), "{}", phone.output());
    }
    assert_eq!(bindings(&place.site.stack, "alice"), 0);
    drop(phones);
    // That of Debian 13 knows it.
    let user = [User::with_device("alice", &device.username, &device.password)];
    let outcome = sipp::run(sipp::DIGEST, Transport::Udp, place.port("udp"), &user);
    let is_too_old = outcome.errors.contains("authentication must use MD5 or AKAv1-MD5");
    assert!(outcome.all_succeeded() != is_too_old, "{}", outcome.errors);
    place.site.stack.finish();
}
