// SPDX-License-Identifier: MIT OR Apache-2.0

//! Servers that are reached only through an HTTP proxy.

use crate::plant::Plant;
use crate::support::authorization_server::{AuthorizationServer, Options};
use crate::support::certificates::Authority;
use crate::support::connect_proxy::ConnectProxy;
use crate::support::temporary::Directory;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sipoauth_core::reason::Reason;

/// No resolver of this machine knows it.
const HOST: &str = "as.example.test";

struct Site {
    authority: Authority,
    server: AuthorizationServer,
}

impl Site {
    fn start() -> Site {
        let authority = Authority::new();
        let tls = Some(authority.server(HOST));
        Site { server: AuthorizationServer::start_with(Options { tls, ..Options::default() }), authority }
    }

    fn target(&self) -> String {
        let issuer = self.server.issuer();
        format!("{HOST}:{}", issuer.rsplit(':').next().expect("a port"))
    }

    /// The answer to a good token when the keys come from there; and what was logged.
    fn answer(&self, globals: Value) -> (Reason, String) {
        let provider = json!({
            "issuer": self.server.issuer(),
            "jwks_uri": format!("https://{}/jwks", self.target()),
            "audience": AuthorizationServer::resource("es256"),
            "aor": "sip:{sub}@{domain}",
        });
        let mut all = json!({ "ca_file": self.authority.ca_file() });
        all.as_object_mut().expect("an object").extend(globals.as_object().expect("an object").clone());
        let mut plant = Plant::new(&provider, &all).started();
        let reason = plant.reason(&self.server.token("alice", "es256"));
        (reason, plant.site.log.text())
    }
}

#[test]
fn keys_come_through_the_proxy() {
    let site = Site::start();
    let proxy = ConnectProxy::start(None);
    let (reason, log) = site.answer(json!({ "http_proxy": proxy.url() }));
    assert_eq!(reason, Reason::Ok, "{log}");
    assert_eq!(proxy.asked(), [site.target()]);

    // Directly nobody knows the way, whatever the environment says.
    let (reason, log) = site.answer(json!({}));
    assert_eq!(reason, Reason::ProviderUnreachable);
    assert!(log.contains("failed to lookup"), "{log}");
    for direct in [HOST, ".example.test", "AS.EXAMPLE.TEST"] {
        let (reason, log) = site.answer(json!({ "http_proxy": proxy.url(), "no_proxy": [direct] }));
        assert!(reason == Reason::ProviderUnreachable && log.contains("failed to lookup"), "{direct}: {log}");
    }
    assert_eq!(proxy.asked().len(), 1);
}

#[test]
fn a_proxy_may_want_a_password() {
    let site = Site::start();
    let directory = Directory::new("http-proxy");
    let proxy = ConnectProxy::start(Some(format!("Basic {}", STANDARD.encode("sip:p@ss:w/rd %"))));
    let file = |text: &str| directory.write("credentials", text).to_str().expect("UTF-8").to_owned();
    let with = |file: &str| json!({ "http_proxy": proxy.url(), "http_proxy_credentials_file": file });
    assert_eq!(site.answer(with(&file("sip:p@ss:w/rd %\n"))).0, Reason::Ok);
    for globals in [with(&file("sip:wrong-password")), json!({ "http_proxy": proxy.url() })] {
        let (reason, log) = site.answer(globals);
        assert_eq!(reason, Reason::ProviderUnreachable);
        assert!(log.contains("407") && log.contains("proxy") && !log.contains("wrong-password"), "{log}");
    }
}

#[test]
fn the_certificate_is_the_servers_behind_the_proxy() {
    let site = Site::start();
    let proxy = ConnectProxy::start(None);
    let other = Authority::new();
    let (reason, log) = site.answer(json!({ "http_proxy": proxy.url(), "ca_file": other.ca_file() }));
    assert!(reason == Reason::ProviderUnreachable && log.contains("certificate"), "{log}");
    let (reason, log) = site.answer(json!({ "http_proxy": "http://127.0.0.1:1" }));
    assert!(reason == Reason::ProviderUnreachable && log.contains("HTTP proxy"), "the proxy is away: {log}");
}
