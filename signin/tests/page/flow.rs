// SPDX-License-Identifier: MIT OR Apache-2.0

//! What users do at the page, and what servers and stores do to them.

use serde_json::json;
use sipoauth::store::phones::PageSignIn;
use sipoauth::store::session_ends::Ending;
use sipoauth_core::config::settings::Settings;
use sipoauth_core::records::phone_use::{PhoneUse, call_id_name};
use sipoauth_core::records::session::SignIn;
use sipoauth_core::records::session_end::EndedBy;

use crate::browser::{Browser, absolute, parameter, value_of};
use crate::scripted::{self, Server, begin, come_back};
use crate::site::{Site, now};
use crate::support::authorization_server::{AuthorizationServer, Options};
use crate::support::certificates::Authority;
use crate::support::patience::{PATIENCE, until};
use crate::support::redis::Redis;
use crate::support::scripted_server::Answer;
use crate::support::temporary::Directory;
use crate::support::{http, ports};

const ALICE: &str = "sip:alice@example.test";

/// The texts of the values that are shown once.
pub fn values(page: &str) -> Vec<String> {
    let values = page.split("<code data-value").skip(1);
    values
        .map(|rest| rest.split_once('>').and_then(|(_, rest)| rest.split_once('<')).expect("a value").0.to_owned())
        .collect()
}

#[test]
fn a_user_signs_in_adds_phones_sees_their_use_and_signs_them_out() {
    let server = AuthorizationServer::start();
    let site = Site::start(server.issuer());
    let mut alice = Browser::default();
    let first = alice.get(&site.at("/"));
    assert!(first.status == 200 && first.body.contains("href=\"/sign-in/corp\""), "{}", first.body);
    let page = alice.sign_in(&site, "alice");
    assert!(page.body.contains("<strong>alice@example.test</strong>"), "{}", page.body);
    assert!(page.body.contains("No phone is signed in yet"), "{}", page.body);

    let device = alice.wish(&site, "/phones/device", &[("name", "Desk <b>1</b>")]);
    assert_eq!(device.status, 200);
    assert!(device.body.contains("Desk &#60;b&#62;1&#60;/b&#62;"), "{}", device.body);
    let shown = values(&device.body);
    let [user, account, password, domain, ..] = shown.as_slice() else { panic!("{shown:?}") };
    assert_eq!((user.as_str(), domain.as_str(), password.len()), ("alice", "example.test", 21));
    let kept = site.store().device(account, now()).unwrap().expect("a device password");
    assert_eq!(kept.aor, ALICE);

    let provisioning = shown.iter().find(|value| value.contains("/provision/")).expect("an address");
    let phone = http::send("GET", provisioning, &[], "").unwrap();
    assert_eq!(phone.header("content-type"), Some("application/xml; charset=utf-8"));
    assert!(
        phone.body.contains(&format!("<entry name=\"passwd\" overwrite=\"true\">{password}</entry>")),
        "{}",
        phone.body
    );
    assert_eq!(http::send("GET", provisioning, &[], "").unwrap().status, 404, "once");

    let other = alice.wish(&site, "/phones/device", &[("name", "Kitchen")]);
    let shown = values(&other.body);
    let provisioning = shown.iter().find(|value| value.contains("/provision/")).expect("an address");
    assert_eq!(http::send("HEAD", provisioning, &[], "").unwrap().status, 405, "a look uses nothing up");
    let text = http::send("GET", &format!("{provisioning}?format=text"), &[], "").unwrap();
    assert!(text.body.starts_with("user = alice\nauthentication_user = alice-"), "{}", text.body);

    let code = alice.wish(&site, "/phones/code", &[("name", "Lobby")]);
    let digits = values(&code.body).remove(0);
    assert!(digits.len() == 11 && digits.replace(' ', "").bytes().all(|b| b.is_ascii_digit()), "{digits}");
    assert!(code.body.contains("It is good once, until"), "{}", code.body);

    let phones = site.store().phones(ALICE, now()).unwrap();
    let desk = phones.iter().find(|phone| phone.session.name.starts_with("Desk")).expect("a phone").session.id;
    let seen = PhoneUse::new(now() / 1000 - 130, "192.0.2.7", "Snom <D785>", call_id_name(b"c"));
    site.store().note_use(&desk, &seen, now() + 60_000, now()).unwrap();
    let page = alice.get(&site.at("/"));
    for words in ["2 min ago", "192.0.2.7", "Snom &#60;D785&#62;", "Kitchen", "not yet"] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }

    let id = sipoauth_core::records::session::id_text(&desk);
    let renamed = alice.wish(&site, "/phones/rename", &[("id", &id), ("name", "Room 12")]);
    assert_eq!(renamed.header("Location"), Some("/?done=renamed"));
    let page = alice.get(&site.at("/?done=renamed"));
    assert!(page.body.contains("<h2>Room 12</h2>") && page.body.contains("The name was saved."), "{}", page.body);
    let out = alice.wish(&site, "/phones/sign-out", &[("id", &id)]);
    assert_eq!(out.header("Location"), Some("/?done=signed-out"));
    assert!(site.store().device(account, now()).unwrap().is_none());

    let left = alice.wish(&site, "/logout", &[]);
    assert_eq!(left.header("Location"), Some("/?done=logged-out"));
    assert!(alice.get(&site.at("/")).body.contains("href=\"/sign-in/corp\""));
    assert_eq!(site.store().phones(ALICE, now()).unwrap().len(), 1, "phones go on");
    assert!(alice.sign_in(&site, "alice").body.contains("<h2>Kitchen</h2>"), "as before");
    let out = alice.wish(&site, "/phones/sign-out-all", &[]);
    assert_eq!(out.header("Location"), Some("/?done=all-signed-out"));
    assert!(site.store().phones(ALICE, now()).unwrap().is_empty());
    alice.wish(&site, "/phones/device", &[("name", "")]);
    let mut elsewhere = Browser { cookies: alice.cookies.clone(), ..Browser::default() };
    let out = alice.wish(&site, "/sign-out-everywhere", &[]);
    assert_eq!(out.header("Location"), Some("/?done=everywhere"));
    assert!(elsewhere.get(&site.at("/")).body.contains("href=\"/sign-in/corp\""), "in all browsers");
    assert!(site.store().phones(ALICE, now()).unwrap().is_empty());
    for (counter, value) in [
        ("sign_ins_total{outcome=\"signed_in\"}", 2),
        ("phones_added_total{kind=\"device\"}", 3),
        ("phones_added_total{kind=\"code\"}", 1),
        ("phones_signed_out_total", 3),
        ("provisioning_total{outcome=\"served\"}", 2),
    ] {
        assert_eq!(site.counter(counter), value, "{counter}");
    }
    assert_eq!((site.get("/health").status, site.get("/health").body.as_str()), (200, "ok\n"));
}

#[test]
fn log_out_ends_this_browser_and_no_phone_no_code_and_no_other_browser() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let (mut alice, mut other) = (Browser::default(), Browser::default());
    scripted::sign_in(&server, &mut alice, &site, "alice");
    scripted::sign_in(&server, &mut other, &site, "alice");
    // Nothing hangs on the sign-in yet but a code that nobody has typed and the other browser.
    assert_eq!(alice.wish(&site, "/phones/code", &[]).status, 200);
    let copy = alice.clone();
    assert_eq!(alice.wish(&site, "/logout", &[]).header("Location"), Some("/?done=logged-out"));
    assert!(alice.cookies.is_empty());
    assert!(copy.clone().get(&site.at("/")).body.contains("/sign-in/corp"));
    let account = site.store().account(ALICE, now()).unwrap().unwrap_or_default();
    assert!(account.sessions.iter().any(|session| session.sign_in == SignIn::Page), "the code hangs on it");
    assert_eq!(other.wish(&site, "/phones/device", &[]).status, 200);
    assert!(copy.clone().get(&site.at("/")).body.contains("/sign-in/corp"));
    assert_eq!(site.store().phones(ALICE, now()).unwrap().len(), 1);
    // Signing in again renews the same sign-in; what was copied before stays worthless.
    scripted::sign_in(&server, &mut alice, &site, "alice");
    assert!(alice.get(&site.at("/")).body.contains("alice@example.test"));
    assert!(copy.clone().get(&site.at("/")).body.contains("/sign-in/corp"));
}

#[test]
fn an_outage_is_no_refusal_and_a_refusal_no_outage() {
    let mut server = Server::start();
    let site = Site::start(&server.http.issuer());
    let outcome = |token: Answer, query: &str| {
        let mut browser = Browser::default();
        let url = begin(&mut browser, &site, "corp");
        server.http.set("/token", token);
        let state = parameter(&url, "state").unwrap();
        let answer = come_back(&mut browser, &site, "corp", &format!("{query}&state={state}"));
        (answer.status, answer.header("Retry-After").is_some())
    };
    let error = |status, error: &str| {
        Answer::Full(
            status,
            vec![("Content-Type", "application/json".into())],
            json!({ "error": error }).to_string().into(),
        )
    };
    let (outage, refusal) = ((503, true), (403, false));
    assert_eq!(outcome(Answer::Status(503), "code=a"), outage);
    assert_eq!(outcome(Answer::Hang, "code=b"), outage);
    assert_eq!(outcome(Answer::Reset, "code=c"), outage);
    assert_eq!(outcome(error(400, "invalid_grant"), "code=d"), refusal);
    assert_eq!(outcome(error(401, "invalid_client"), "code=e"), (500, false));
    assert_eq!(outcome(Answer::Status(500), "error=access_denied"), refusal);
    assert_eq!(outcome(Answer::Status(500), "error=login_required"), refusal);
    assert_eq!(outcome(Answer::Status(500), "error=temporarily_unavailable"), outage);
    assert_eq!(outcome(Answer::Status(500), "x=y"), refusal);
    let before = server.http.count("/token");
    assert_eq!(outcome(Answer::Status(500), "error=access_denied&code=f"), refusal);
    assert_eq!(server.http.count("/token"), before, "an error comes without a code");
    server.http.stop();
    let fresh = Site::start(&server.http.issuer());
    let answer = fresh.get("/sign-in/corp");
    assert_eq!((answer.status, answer.header("Retry-After").is_some()), outage);
}

#[test]
fn a_user_without_an_address_is_told_so() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    for sip in [json!(null), json!("sip:alice@elsewhere.test"), json!("alice")] {
        let mut browser = Browser::default();
        let url = begin(&mut browser, &site, "corp");
        let mut claims = server.claims("alice", &parameter(&url, "nonce").unwrap());
        claims["sip"] = sip.clone();
        server.grant(&claims);
        let state = parameter(&url, "state").unwrap();
        let answer = come_back(&mut browser, &site, "corp", &format!("code=c&state={state}"));
        assert!(answer.status == 403 && answer.body.contains("no phone address here"), "{sip}: {}", answer.body);
    }
    assert_eq!(site.counter("sign_ins_total{outcome=\"no_address\"}"), 3);
}

#[test]
fn whoever_ends_the_sign_in_signs_the_browser_out() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let mut alice = Browser::default();
    scripted::sign_in(&server, &mut alice, &site, "alice");
    alice.wish(&site, "/phones/device", &[("name", "")]);
    let token = value_of(&alice.get(&site.at("/")).body, "token").unwrap();
    site.store().end_sessions(ALICE, &Ending::new(EndedBy::Operator), now(), |_| true).unwrap();
    assert_eq!(alice.post(&site.at("/phones/device"), &[("token", &token)]).status, 403);
    let page = alice.get(&site.at("/"));
    assert!(page.body.contains("/sign-in/corp") && alice.cookies.is_empty(), "{}", page.body);
}

#[test]
fn a_user_has_no_more_phones_than_allowed() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let mut alice = Browser::default();
    scripted::sign_in(&server, &mut alice, &site, "alice");
    let open_page = alice.get(&site.at("/")).body;
    let [token, form] = ["token", "form"].map(|name| value_of(&open_page, name).unwrap());
    let old = [("token", &*token), ("form", &form)];
    for _ in 0..Settings::default().max_devices {
        assert_eq!(alice.wish(&site, "/phones/device", &[("name", "one")]).status, 200);
    }
    for path in ["/phones/device", "/phones/code"] {
        let answer = alice.post(&site.at(path), &old);
        assert!(answer.status == 409 && answer.body.contains("as many phones as you may have"), "{path}");
    }
    let page = alice.get(&site.at("/"));
    assert!(page.body.contains("as many phones as you may have") && !page.body.contains("/phones/device"));
    // What was refused may be sent again.
    let id = value_of(&page.body, "id").unwrap();
    alice.wish(&site, "/phones/sign-out", &[("id", &id)]);
    assert_eq!(alice.post(&site.at("/phones/device"), &old).status, 200);
}

#[test]
fn an_answer_that_is_loaded_again_adds_no_second_phone() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let mut alice = Browser::default();
    scripted::sign_in(&server, &mut alice, &site, "alice");
    let phones = || site.store().phones(ALICE, now()).unwrap().len();
    let page = alice.get(&site.at("/")).body;
    let [token, form] = ["token", "form"].map(|name| value_of(&page, name).unwrap());
    let fields = [("token", &*token), ("form", &form)];
    for path in ["/phones/device", "/phones/code"] {
        assert_eq!(alice.post(&site.at(path), &fields[..1]).status, 400, "{path}");
    }
    // A user who clicks twice sends two at once.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let clicks = [(); 8].map(|()| {
            let (mut alice, target) = (alice.clone(), site.at("/phones/device"));
            scope.spawn(move || alice.post(&target, &fields).status)
        });
        clicks.map(|click| click.join().unwrap()).into()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "{statuses:?}");
    let again = alice.post(&site.at("/phones/device"), &fields);
    assert!(again.status == 409 && again.body.contains("added already"), "{}", again.body);
    assert_eq!((phones(), alice.wish(&site, "/phones/device", &[]).status, phones()), (1, 200, 2));
    // A form of one browser is another's first.
    let mut other = Browser::default();
    scripted::sign_in(&server, &mut other, &site, "alice");
    let token = value_of(&other.get(&site.at("/")).body, "token").unwrap();
    assert_eq!(other.post(&site.at("/phones/code"), &[("token", &token), ("form", &form)]).status, 200);
}

#[test]
fn where_proxies_take_no_typed_codes_the_page_makes_none() {
    let server = Server::start();
    let site = Site::start_without_codes(&server.http.issuer());
    let mut alice = Browser::default();
    scripted::sign_in(&server, &mut alice, &site, "alice");
    let page = alice.get(&site.at("/")).body;
    assert!(
        page.contains("/phones/device") && !page.contains("/phones/code") && !page.contains("Get a code"),
        "{page}"
    );
    let answer = alice.wish(&site, "/phones/code", &[]);
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("Codes of nine digits are not in use here."), "{}", answer.body);
    assert_eq!(site.counter("phones_added_total{kind=\"code\"}"), 0);
    let note = "typed codes are off, so the page offers device passwords only; typed_codes = true turns them on";
    assert!(site.log().contains(note), "{}", site.log());
}

#[test]
fn the_server_says_that_the_user_has_logged_out() {
    let port = ports::free();
    let logout = format!("http://127.0.0.1:{port}/back-channel-logout");
    let server = AuthorizationServer::start_with(Options { page_logout_uri: Some(logout), ..Options::default() });
    let site = Site::start_with(port, &[("corp", server.issuer(), "example.test")], "");
    let (mut alice, mut bob) = (Browser::default(), Browser::default());
    alice.sign_in(&site, "alice");
    bob.sign_in(&site, "bob");
    for browser in [&mut alice, &mut bob] {
        assert_eq!(browser.wish(&site, "/phones/device", &[("name", "")]).status, 200);
    }
    // The user logs out at the authorization server.
    let end = format!("{}/session/end", server.issuer());
    let page = alice.get(&end);
    let (xsrf, action) = (value_of(&page.body, "xsrf"), page.body.split_once("action=\"").map(|(_, rest)| rest));
    let action = action.and_then(|rest| rest.split_once('"')).expect("a form").0.to_owned();
    let answer = alice.post(&absolute(&end, &action), &[("xsrf", &xsrf.expect("a token")), ("logout", "yes")]);
    assert!(answer.status < 400, "{}", answer.body);
    let phones = |aor| site.store().phones(aor, now()).unwrap().len();
    assert!(until(PATIENCE, || phones(ALICE) == 0), "{}", site.log());
    assert!(alice.get(&site.at("/")).body.contains("/sign-in/corp"));
    assert_eq!(phones("sip:bob@example.test"), 1, "nobody else's");
    assert!(bob.get(&site.at("/")).body.contains("bob@example.test"));
    assert_eq!(site.counter("logout_tokens_total{outcome=\"accepted\"}"), 1);
}

#[test]
fn the_end_of_an_earlier_browser_session_signs_only_its_own_browser_out() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let sign_in = |sid: &str| {
        let mut browser = Browser::default();
        let url = begin(&mut browser, &site, "corp");
        let mut claims = server.claims("alice", &parameter(&url, "nonce").unwrap());
        claims["sid"] = json!(sid);
        server.grant(&claims);
        let state = parameter(&url, "state").unwrap();
        assert_eq!(come_back(&mut browser, &site, "corp", &format!("code=c&state={state}")).status, 303);
        browser
    };
    let (mut first, mut second) = (sign_in("one"), sign_in("two"));
    second.wish(&site, "/phones/device", &[("name", "")]);
    let token = server.logout_token("alice", "1", &json!({ "sid": "one" }));
    let answer = http::post_form(&site.at("/back-channel-logout"), &[], &[("logout_token", &token)]).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(first.get(&site.at("/")).body.contains("/sign-in/corp"));
    assert!(second.get(&site.at("/")).body.contains("alice@example.test"));
    assert_eq!(site.store().phones(ALICE, now()).unwrap().len(), 1);
}

#[test]
fn with_redis_it_is_the_same_and_its_outage_is_no_refusal() {
    let (server, mut redis) = (Server::start(), Redis::start(&[]));
    let site = Site::start_with_redis(&server.http.issuer(), &redis);
    let mut alice = Browser::default();
    scripted::sign_in(&server, &mut alice, &site, "alice");
    let device = alice.wish(&site, "/phones/device", &[("name", "Desk")]);
    let provisioning =
        values(&device.body).into_iter().find(|value| value.contains("/provision/")).expect("an address");
    assert_eq!(http::send("GET", &provisioning, &[], "").unwrap().status, 200);
    assert_eq!(http::send("GET", &provisioning, &[], "").unwrap().status, 404);
    assert_eq!(alice.wish(&site, "/phones/code", &[]).status, 200);
    assert!(alice.get(&site.at("/")).body.contains("<h2>Desk</h2>"));
    let (url, token) = (begin(&mut alice, &site, "corp"), value_of(&alice.get(&site.at("/")).body, "token").unwrap());
    redis.stop();
    for answer in [
        alice.get(&site.at("/")),
        alice.post(&site.at("/phones/code"), &[("token", &token)]),
        come_back(&mut alice, &site, "corp", &format!("code=c&state={}", parameter(&url, "state").unwrap())),
        http::send("GET", &site.at("/provision/AAAAAAAAAAAAAAAAAAAAAAAAAAA"), &[], "").unwrap(),
        site.get("/health"),
    ] {
        assert_eq!(answer.status, 503, "{}", answer.body);
    }
    redis.resume();
    assert!(until(PATIENCE, || site.get("/health").status == 200));
    // It has forgotten everything.
    assert!(alice.get(&site.at("/")).body.contains("/sign-in/corp"));
}

#[test]
fn the_page_has_its_own_certificate_where_that_is_written() {
    let (server, authority) = (Server::start(), Authority::new());
    let certificate = authority.good();
    let files = format!(
        "certificate_file = \"{}\"\nkey_file = \"{}\"",
        certificate.certificate.display(),
        certificate.key.display()
    );
    let site = Site::start_with(ports::free(), &[("corp", &server.http.issuer(), "example.test")], &files);
    let directory = Directory::new("tls");
    let request = directory.write("request", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut openssl = crate::support::process::command("openssl");
    openssl.args(["s_client", "-quiet", "-verify_return_error", "-CAfile"]).arg(authority.ca_file());
    openssl.args(["-connect", site.url.trim_start_matches("https://")]);
    let output = openssl.stdin(std::fs::File::open(request).unwrap()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
    assert!(text.starts_with("http/1.1 200") && text.contains("\nstrict-transport-security: max-age="), "{text}");
    assert!(http::send("GET", &site.url.replace("https", "http"), &[], "").is_err(), "no HTTP there");
}

#[test]
fn the_refresh_token_is_kept_for_the_proxies() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let mut alice = Browser::default();
    scripted::sign_in(&server, &mut alice, &site, "alice");
    let account = site.store().account(ALICE, now()).unwrap().unwrap();
    let session = &account.sessions[0];
    assert!(session.sign_in == SignIn::Page && session.renewable);
    let page = PageSignIn { aor: ALICE.into(), id: session.id };
    assert!(site.store().page_session(&page, now()).unwrap().is_some());
}

/// Signs alice in with an access token for five minutes and these other members of the answer.
fn sign_in_with(server: &Server, site: &Site, browser: &mut Browser, more: &[(&str, &str)]) {
    let url = begin(browser, site, "corp");
    let claims = server.claims("alice", &parameter(&url, "nonce").unwrap());
    let mut grant = json!({
        "access_token": "opaque-access-token", "token_type": "Bearer", "expires_in": 300, "scope": "openid sip",
        "id_token": server.key.jws("EdDSA", &json!({ "alg": "EdDSA", "kid": "k" }), &claims),
    });
    more.iter().for_each(|(name, value)| grant[*name] = json!(value));
    server.http.set("/token", Answer::Json(grant));
    let state = parameter(&url, "state").unwrap();
    assert_eq!(come_back(browser, site, "corp", &format!("code=c&state={state}")).status, 303);
}

#[test]
fn without_a_refresh_token_the_page_says_how_long_phones_stay_in() {
    let server = Server::start();
    for (more, fix) in [("", "the page asks for offline_access"), ("offline_access = false", "offline_access = yes")] {
        let site = Site::start_with(ports::free(), &[("corp", &server.http.issuer(), "example.test")], more);
        let mut alice = Browser::default();
        sign_in_with(&server, &site, &mut alice, &[]);
        alice.wish(&site, "/phones/device", &[("name", "Desk")]);
        let page = alice.get(&site.at("/")).body;
        assert!(page.contains("Your phones stay signed in only until <time"), "{page}");
        // The end of the access token, once in the note and once at the phone.
        let until = site.store().phones(ALICE, now()).unwrap()[0].session.valid_until;
        assert!((1..=300).contains(&(until - now() / 1000)));
        let clock = format!("{:02}:{:02} UTC</time>", until.rem_euclid(86_400) / 3600, until / 60 % 60);
        assert_eq!(page.matches(&clock).count(), 2, "{clock}: {page}");
        alice.get(&site.at("/language/de"));
        let page = alice.get(&site.at("/")).body;
        assert!(page.contains("Ihre Telefone bleiben nur bis <time") && page.contains(&clock), "{page}");
        let warning = "warning: sip:alice@example.test: provider 'corp' has given no refresh token";
        let log = site.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(warning)).collect();
        assert!(lines.len() == 1 && lines[0].contains(fix), "{log}");
    }
}

#[test]
fn with_a_refresh_token_phones_stay_in_and_nobody_is_warned() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let mut alice = Browser::default();
    let refresh = ("refresh_token", "opaque-refresh-token");
    sign_in_with(&server, &site, &mut alice, &[refresh]);
    // The earlier refresh token goes on to serve.
    sign_in_with(&server, &site, &mut alice, &[]);
    alice.wish(&site, "/phones/device", &[("name", "Desk")]);
    let page = alice.get(&site.at("/")).body;
    assert!(page.contains("Signed in until") && !page.contains("only until") && !page.contains("UTC</time>"), "{page}");
    assert!(!site.log().contains("warning"), "{}", site.log());
}

#[test]
fn the_page_speaks_the_browsers_language_or_the_chosen_one() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let page = |headers: &[(&str, &str)]| http::send("GET", &site.at("/"), headers, "").unwrap().body;
    assert!(page(&[]).contains("<html lang=\"en\">"));
    let german = page(&[("Accept-Language", "de-DE,de;q=0.9,en;q=0.5")]);
    assert!(german.contains("<html lang=\"de\">") && german.contains("Anmelden mit corp"), "{german}");
    let mut browser = Browser::default();
    assert_eq!(browser.get(&site.at("/language/de")).header("Location"), Some("/"));
    assert!(browser.get(&site.at("/")).body.contains("<html lang=\"de\">"));
    assert!(browser.get(&site.at("/nothing")).body.contains("Diese Seite gibt es nicht"));
}

#[test]
fn a_wrong_or_missing_table_is_refused_with_what_to_write() {
    let directory = Directory::new("page");
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let (before, rest) = site.config().split_once("[sign_in_page]").unwrap();
    let (_, after) = rest.split_once("[[provider]]").unwrap();
    let with = |line: &str| site.config().replace("[sign_in_page]\n", &format!("[sign_in_page]\n{line}\n"));
    let check = |config: &str| {
        let file = directory.write("config.toml", config);
        let mut command = crate::support::process::command(env!("CARGO_BIN_EXE_sipoauth-signin"));
        command.args(["--check", "--config"]).arg(file).output().unwrap()
    };
    for (config, words) in [
        (format!("{before}[[provider]]{after}"), "write [sign_in_page] with url"),
        (
            site.config().replace("source_limit", "source_limits"),
            "unknown key 'source_limits', did you mean 'source_limit'?",
        ),
        (site.config().replace("client_id = \"sip-page\"\nclient_secret = \"page-secret\"\n", ""), "client_id"),
        (site.config().replace("url = \"http://127.0.0.1", "url = \"http://192.0.2.1"), "sign_in_page: url: "),
        (
            with("proxy = \"sip.example.com:5061;transport=tls\""),
            "sign_in_page: proxy: 'sip.example.com:5061;transport=tls' is no SIP URI; write sip:sip.example.com:5061;transport=tls",
        ),
        (with("proxy = \"sip.example com\""), "is no SIP URI; write one such as sip:sip.example.com;transport=tls"),
        (
            with("sip_domain = \"other.test\""),
            "sign_in_page: sip_domain: 'other.test' is no domain of a provider, so the proxies would refuse every phone; write \
             one that users have addresses of (example.test)",
        ),
    ] {
        let output = check(&config);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && text.contains(words), "{words}: {text}");
    }
    for config in [
        with("proxy = \"sip:sip.example.com;transport=tls;lr\"\nsip_domain = \"Example.test\""),
        with("proxy = \"SIPS:[2001:db8::1]:5061\""),
        with("sip_domain = \"other.test\"").replace("domains = \"example.test\"\n", ""),
    ] {
        let output = check(&config);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
