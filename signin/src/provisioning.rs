// SPDX-License-Identifier: MIT OR Apache-2.0
//! One-time addresses at which a phone fetches its settings: Linphone's remote provisioning, or plain text.
//!
//! The record lies sealed in the store under a hash of the address, so any instance can answer, and whoever reads the
//! store finds no address.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use qrcode::QrCode;
use qrcode::render::svg::Color;
use serde::{Deserialize, Serialize};
use sipoauth_core::ports::Level;
use sipoauth_core::ports::store::{StoreError, Write};
use zeroize::Zeroizing;

use crate::metrics::Counter;
use crate::random::{self, record_key};
use crate::site::Site;
use crate::source::Source;

/// How long an address is good, in milliseconds.
const GOOD: i64 = 600_000;
/// Characters of its random part: 160 bits in base64url.
const NAME: usize = 27;

/// What a phone needs to know.
#[derive(Clone, Deserialize, Serialize)]
pub struct Account {
    /// The user of the address.
    pub user: String,
    /// `username` of Digest.
    pub username: String,
    /// The password.
    pub password: String,
    /// The realm of the password.
    pub realm: String,
    /// The SIP domain.
    pub domain: String,
    /// The outbound proxy; may be empty.
    pub proxy: String,
    /// udp, tcp or tls.
    pub transport: String,
    /// The name of the phone; may be empty.
    pub name: String,
}

/// Keeps the settings of a phone for a while. Returns the address. The call blocks.
pub fn keep(site: &Site, account: &Account) -> Result<String, StoreError> {
    let name = random::text(&random::octets::<20>());
    let key = record_key("v:", &name);
    let plain = Zeroizing::new(postcard::to_allocvec(account).expect("a structure of texts"));
    let sealed = site.seal(&key, &plain);
    site.at_store(|store, _, now| {
        let write = Write { key: &key, value: &sealed, expires_at: now + GOOD, due_at: None };
        store.store().put(&write, None, now)
    })?;
    Ok(format!("{}/provision/{name}", site.page.base))
}

/// The address as a QR code: an SVG picture in a URL of the scheme `data`.
pub fn picture(address: &str) -> String {
    let code = QrCode::new(address).expect("an address is much shorter than the longest QR code");
    let svg = code.render::<Color<'_>>().min_dimensions(240, 240).build();
    format!("data:image/svg+xml;base64,{}", STANDARD.encode(svg))
}

/// How a phone wants its settings.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    format: String,
}

/// Gives the settings to whoever comes first.
pub async fn serve(
    State(site): State<Arc<Site>>,
    Extension(source): Extension<Source>,
    Path(name): Path<String>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let taken = match name.len() {
        NAME => site.on_thread(move |site| take(site, &name)).await.unwrap_or(Ok(None)),
        _ => Ok(None),
    };
    let account = match taken {
        Ok(Some(account)) => account,
        Ok(None) => {
            site.metrics.count(Counter::NotProvisioned);
            site.log(Level::Info, &format!("{source} has asked for settings at an address that is not good"));
            return (StatusCode::NOT_FOUND, "This address is not known, or was used before.\n").into_response();
        }
        Err(_) => {
            let retry = [(header::RETRY_AFTER, "10")];
            return (StatusCode::SERVICE_UNAVAILABLE, retry, "Please try again in a moment.\n").into_response();
        }
    };
    site.metrics.count(Counter::Provisioned);
    site.log(Level::Info, &format!("the phone of '{}' has fetched its settings from {source}", account.username));
    let is_plain = wanted.is_ok_and(|Query(wanted)| wanted.format == "text");
    let (kind, body) = match is_plain {
        true => ("text/plain; charset=utf-8", to_text(&account)),
        false => ("application/xml; charset=utf-8", to_xml(&account)),
    };
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

/// Takes the settings out of the store, so that nobody gets them twice. The call blocks.
fn take(site: &Site, name: &str) -> Result<Option<Account>, StoreError> {
    let key = record_key("v:", name);
    let sealed = site.at_store(|store, _, now| {
        let Some(sealed) = store.store().get(&key, now)? else { return Ok(None) };
        let is_first = store.store().remove(&key, Some(&sealed))?;
        Ok(is_first.then_some(sealed))
    })?;
    let plain = sealed.and_then(|sealed| site.open(&key, &sealed));
    Ok(plain.and_then(|plain| postcard::from_bytes(&plain).ok()))
}

fn to_text(account: &Account) -> String {
    let mut text = String::new();
    for (name, value) in [
        ("user", &account.user),
        ("authentication_user", &account.username),
        ("password", &account.password),
        ("realm", &account.realm),
        ("domain", &account.domain),
        ("outbound_proxy", &account.proxy),
        ("transport", &account.transport),
    ] {
        if !value.is_empty() {
            let _ = writeln!(text, "{name} = {value}");
        }
    }
    text
}

/// Settings as Linphone reads them (lpconfig).
fn to_xml(account: &Account) -> String {
    let Account { user, username, password, realm, domain, proxy, transport, .. } = account;
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<config xmlns=\"http://www.linphone.org/xsds/lpconfig.xsd\">\n",
    );
    let mut section = |name: &str, entries: &[(&str, &str)]| {
        let _ = writeln!(xml, "  <section name=\"{name}\">");
        for (name, value) in entries.iter().filter(|(_, value)| !value.is_empty()) {
            let _ = writeln!(xml, "    <entry name=\"{name}\" overwrite=\"true\">{}</entry>", escaped(value));
        }
        xml.push_str("  </section>\n");
    };
    // The address gives nothing a second time, so Linphone must forget it.
    section("misc", &[("transient_provisioning", "1")]);
    section("sip", &[("default_proxy", "0")]);
    // Linphone sends REGISTER to the first of these only, and all else to the second. The domain is that of the identity.
    let [server, route] = match proxy.as_str() {
        "" => [format!("<sip:{domain};transport={transport}>"), String::new()],
        proxy => [(); 2].map(|()| format!("<{proxy}>")),
    };
    section(
        "proxy_0",
        &[
            ("reg_proxy", &server),
            ("reg_route", &route),
            ("reg_identity", &format!("<sip:{user}@{domain}>")),
            ("reg_expires", "600"),
            ("reg_sendregister", "1"),
            ("publish", "0"),
        ],
    );
    section(
        "auth_info_0",
        &[("username", user), ("userid", username), ("passwd", password), ("realm", realm), ("domain", domain)],
    );
    xml.push_str("</config>\n");
    xml
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            user: "alice".into(),
            username: "alice-k3f9".into(),
            password: "secret&<>".into(),
            realm: "a.example".into(),
            domain: "a.example".into(),
            proxy: "sip:proxy.a.example;transport=tls".into(),
            transport: "tls".into(),
            name: String::new(),
        }
    }

    #[test]
    fn linphone_finds_its_sections() {
        let xml = to_xml(&account());
        for line in [
            "<config xmlns=\"http://www.linphone.org/xsds/lpconfig.xsd\">",
            "<section name=\"proxy_0\">",
            "<entry name=\"reg_proxy\" overwrite=\"true\">&lt;sip:proxy.a.example;transport=tls&gt;</entry>",
            "<entry name=\"reg_route\" overwrite=\"true\">&lt;sip:proxy.a.example;transport=tls&gt;</entry>",
            "<entry name=\"reg_identity\" overwrite=\"true\">&lt;sip:alice@a.example&gt;</entry>",
            "<section name=\"auth_info_0\">",
            "<entry name=\"userid\" overwrite=\"true\">alice-k3f9</entry>",
            "<entry name=\"passwd\" overwrite=\"true\">secret&amp;&lt;&gt;</entry>",
        ] {
            assert!(xml.contains(line), "{line} in {xml}");
        }
        let without = to_xml(&Account { proxy: String::new(), ..account() });
        assert!(without.contains("&lt;sip:a.example;transport=tls&gt;") && !without.contains("reg_route"), "{without}");
    }

    #[test]
    fn others_get_plain_text() {
        let text = to_text(&account());
        assert!(text.starts_with("user = alice\nauthentication_user = alice-k3f9\npassword = "), "{text}");
    }

    #[test]
    fn a_picture_of_the_address() {
        let picture = picture("https://phones.example.com/provision/AAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let svg = STANDARD.decode(picture.strip_prefix("data:image/svg+xml;base64,").unwrap()).unwrap();
        assert!(String::from_utf8(svg).unwrap().contains("<svg"));
        assert_eq!(random::text(&random::octets::<20>()).len(), NAME);
    }
}
