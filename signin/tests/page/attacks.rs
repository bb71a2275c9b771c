// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an attacker can try, a test for each.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::browser::{Browser, parameter, value_of};
use crate::scripted::{self, Server, begin, come_back};
use crate::site::{Site, now};
use crate::support::authorization_server::AuthorizationServer;
use crate::support::token::{TestKey, unsigned};
use crate::support::{http, ports};

const ALICE: &str = "sip:alice@example.test";

fn is_signed_out(browser: &mut Browser, site: &Site) -> bool {
    browser.get(&site.at("/")).body.contains("/sign-in/corp")
}

#[test]
fn login_csrf_signs_nobody_in() {
    let server = AuthorizationServer::start();
    let site = Site::start(server.issuer());
    let mut mallory = Browser::default();
    let callback = mallory.authorize(&site, &site.at("/sign-in/corp"), "mallory");
    // The victim has not begun anything.
    let mut victim = Browser::default();
    assert_eq!(victim.get(&callback).status, 400);
    assert!(is_signed_out(&mut victim, &site));
    // The victim has begun a sign-in of its own, which goes on afterwards.
    let own = begin(&mut victim, &site, "corp");
    assert_eq!(victim.get(&callback).status, 400);
    assert!(is_signed_out(&mut victim, &site));
    let answer = victim.authorize(&site, &own, "alice");
    assert_eq!(victim.get(&answer).status, 303);
    assert!(victim.get(&site.at("/")).body.contains("alice@example.test"));
    assert_eq!(site.counter("sign_ins_total{outcome=\"foreign\"}"), 2);
}

#[test]
fn an_injected_code_is_refused_by_the_verifier_and_by_the_nonce() {
    let server = AuthorizationServer::start();
    let site = Site::start(server.issuer());
    let (mut victim, mut mallory) = (Browser::default(), Browser::default());
    let stolen = victim.authorize(&site, &site.at("/sign-in/corp"), "alice");
    let code = parameter(&stolen, "code").unwrap();
    let state = parameter(&begin(&mut mallory, &site, "corp"), "state").unwrap();
    let answer = come_back(&mut mallory, &site, "corp", &format!("code={code}&state={state}&iss={}", server.issuer()));
    assert_eq!(answer.status, 403, "PKCE");
    assert!(is_signed_out(&mut mallory, &site));
    // A server that does not look at the verifier.
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let state = parameter(&begin(&mut mallory, &site, "corp"), "state").unwrap();
    for nonce in [json!("another nonce"), json!(null)] {
        let mut claims = server.claims("alice", "");
        claims["nonce"] = nonce.clone();
        server.grant(&claims);
        let mut mallory = mallory.clone();
        let state = parameter(&begin(&mut mallory, &site, "corp"), "state").unwrap();
        let answer = come_back(&mut mallory, &site, "corp", &format!("code=c&state={state}"));
        assert_eq!(answer.status, 403, "nonce {nonce}");
        assert!(is_signed_out(&mut mallory, &site));
    }
    // An ID token must be there.
    let plain = json!({ "access_token": "t", "token_type": "Bearer", "scope": "openid sip" });
    server.http.set("/token", crate::support::scripted_server::Answer::Json(plain));
    assert_eq!(come_back(&mut mallory, &site, "corp", &format!("code=c&state={state}")).status, 403);
}

#[test]
fn a_mix_up_of_two_providers_sends_no_code_to_the_wrong_one() {
    let (honest, rogue) = (Server::start(), Server::start());
    let (corp, other) = (honest.http.issuer(), rogue.http.issuer());
    let providers = [("corp", corp.as_str(), "example.test"), ("other", other.as_str(), "other.test")];
    let site = Site::start_with(ports::free(), &providers, "");
    let mut browser = Browser::default();
    assert!(browser.get(&site.at("/")).body.contains("Sign in with other"));
    // The sign-in begins at the rogue server, which sends the browser on to the honest one; the code comes back to the
    // honest one's redirect URI.
    let state = parameter(&begin(&mut browser, &site, "other"), "state").unwrap();
    assert_eq!(come_back(&mut browser, &site, "corp", &format!("code=c&state={state}")).status, 400);
    // With the redirect URI of the rogue one, the honest server names itself.
    let answer = come_back(&mut browser, &site, "other", &format!("code=c&state={state}&iss={corp}"));
    assert!(answer.status == 400 && answer.body.contains("another server"), "{}", answer.body);
    assert_eq!((rogue.http.count("/token"), honest.http.count("/token")), (0, 0));
    assert_eq!(site.counter("sign_ins_total{outcome=\"mixed_up\"}"), 1);
    // An ID token of one server is none of the other.
    let url = begin(&mut browser, &site, "other");
    let mut claims = rogue.claims("alice", &parameter(&url, "nonce").unwrap());
    claims["iss"] = json!(corp);
    rogue.grant(&claims);
    let state = parameter(&url, "state").unwrap();
    assert_eq!(come_back(&mut browser, &site, "other", &format!("code=c&state={state}")).status, 403);
    // Nor does one server name the users of the other.
    let url = begin(&mut browser, &site, "other");
    rogue.grant(&rogue.claims("alice", &parameter(&url, "nonce").unwrap()));
    let state = parameter(&url, "state").unwrap();
    let answer = come_back(&mut browser, &site, "other", &format!("code=c&state={state}"));
    assert!(answer.status == 403 && answer.body.contains("no phone address"), "{}", answer.body);
    assert!(site.store().account(ALICE, now()).unwrap().is_none());
}

#[test]
fn a_server_that_promises_its_name_must_name_itself() {
    let server = AuthorizationServer::start();
    let site = Site::start(server.issuer());
    let mut browser = Browser::default();
    let callback = browser.authorize(&site, &site.at("/sign-in/corp"), "alice");
    assert_eq!(parameter(&callback, "iss").as_deref(), Some(server.issuer()));
    let (code, state) = (parameter(&callback, "code").unwrap(), parameter(&callback, "state").unwrap());
    assert_eq!(come_back(&mut browser, &site, "corp", &format!("code={code}&state={state}")).status, 400);
    assert!(is_signed_out(&mut browser, &site));
}

#[test]
fn a_replayed_state_sends_the_code_no_second_time() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let mut browser = Browser::default();
    let url = begin(&mut browser, &site, "corp");
    let mut thief = browser.clone();
    server.grant(&server.claims("alice", &parameter(&url, "nonce").unwrap()));
    let query = format!("code=c&state={}", parameter(&url, "state").unwrap());
    assert_eq!(come_back(&mut browser, &site, "corp", &query).status, 303);
    let sent = server.http.count("/token");
    let answer = come_back(&mut thief, &site, "corp", &query);
    assert!(answer.status == 400 && answer.body.contains("used already"), "{}", answer.body);
    assert_eq!(server.http.count("/token"), sent);
    // The browser itself has lost its cookie.
    assert_eq!(come_back(&mut browser, &site, "corp", &query).status, 400);
    assert_eq!(server.http.count("/token"), sent);
}

#[test]
fn a_cookie_of_another_user_or_another_key_opens_nothing() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let (mut alice, mut bob) = (Browser::default(), Browser::default());
    scripted::sign_in(&server, &mut alice, &site, "alice");
    scripted::sign_in(&server, &mut bob, &site, "bob");
    alice.wish(&site, "/phones/device", &[("name", "mine")]);
    let phones = || site.store().phones(ALICE, now()).unwrap();
    let id = sipoauth_core::records::session::id_text(&phones()[0].session.id);
    // The forms of one user are not those of another.
    let token = value_of(&bob.get(&site.at("/")).body, "token").unwrap();
    for path in [
        "/phones/device",
        "/phones/code",
        "/phones/rename",
        "/phones/sign-out",
        "/phones/sign-out-all",
        "/sign-out-everywhere",
        "/logout",
    ] {
        for token in ["", &token] {
            let answer = alice.post(&site.at(path), &[("token", token), ("id", &id)]);
            assert_eq!(answer.status, 403, "{path}");
        }
    }
    // A number of somebody else's phone names nothing.
    bob.wish(&site, "/phones/rename", &[("id", &id), ("name", "taken")]);
    bob.wish(&site, "/phones/sign-out", &[("id", &id)]);
    bob.wish(&site, "/sign-out-everywhere", &[]);
    assert!(phones().len() == 1 && phones()[0].session.name == "mine");
    // Cookies that were changed, swapped, or made elsewhere.
    let (name, value) = alice.cookies.iter().next().map(|(name, value)| (name.clone(), value.clone())).unwrap();
    assert!(name.starts_with("__Host-"));
    let mut changed = value.clone().into_bytes();
    changed[40] = if changed[40] == b'A' { b'B' } else { b'A' };
    let elsewhere = Site::start(&server.http.issuer());
    for forged in [String::from_utf8(changed).unwrap(), value[..value.len() - 2].to_owned(), "AAAA".into()] {
        let mut browser = Browser::default();
        browser.cookies.insert(name.clone(), forged);
        assert!(is_signed_out(&mut browser, &site));
    }
    assert!(is_signed_out(&mut alice.clone(), &elsewhere), "another store does not know the sign-in");
    assert!(!is_signed_out(&mut alice, &site));
}

#[test]
fn a_copied_cookie_is_worthless_after_log_out() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let mut alice = Browser::default();
    scripted::sign_in(&server, &mut alice, &site, "alice");
    alice.wish(&site, "/phones/device", &[("name", "mine")]);
    let token = value_of(&alice.get(&site.at("/")).body, "token").unwrap();
    let mut thief = alice.clone();
    assert_eq!(thief.post(&site.at("/phones/rename"), &[("token", &token)]).status, 303, "before");
    alice.wish(&site, "/logout", &[]);
    let stolen = thief.cookies.clone();
    for path in ["/phones/device", "/phones/code", "/phones/sign-out-all", "/sign-out-everywhere", "/logout"] {
        thief.cookies.clone_from(&stolen);
        assert_eq!(thief.post(&site.at(path), &[("token", &token)]).status, 403, "{path}");
    }
    assert!(is_signed_out(&mut thief, &site));
    assert_eq!(site.store().phones(ALICE, now()).unwrap().len(), 1, "phones go on");
}

#[test]
fn a_form_of_another_site_changes_nothing() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let mut alice = Browser::default();
    scripted::sign_in(&server, &mut alice, &site, "alice");
    let token = value_of(&alice.get(&site.at("/")).body, "token").unwrap();
    let cookies = alice.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    let post = |from: &str| {
        let headers = [("Cookie", cookies.as_str()), ("Sec-Fetch-Site", from)];
        http::post_form(&site.at("/phones/code"), &headers, &[("token", &token), ("form", "1")]).unwrap().status
    };
    assert_eq!((post("cross-site"), post("same-site"), post("same-origin")), (403, 403, 200));
    assert_eq!(site.counter("refused_requests_total{reason=\"csrf\"}"), 2);
}

#[test]
fn forged_and_replayed_logout_tokens_end_nothing() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let mut alice = Browser::default();
    let sign_in = |alice: &mut Browser| {
        scripted::sign_in(&server, alice, &site, "alice");
        alice.wish(&site, "/phones/device", &[("name", "")]);
    };
    sign_in(&mut alice);
    let phones = || site.store().phones(ALICE, now()).unwrap().len();
    let post =
        |token: &str| http::post_form(&site.at("/back-channel-logout"), &[], &[("logout_token", token)]).unwrap();
    let genuine = |jti| server.logout_token("alice", jti, &json!({}));
    let claims: Value = crate::support::token::unverified_claims(&genuine("f"));
    let header = json!({ "alg": "EdDSA", "kid": "k", "typ": "logout+jwt" });
    let stranger = TestKey::ed25519("k").jws("EdDSA", &header, &claims);
    let shared = TestKey::hmac("k", b"page-secret-page-secret-page-secret");
    let symmetric = shared.jws("HS256", &json!({ "alg": "HS256", "typ": "logout+jwt" }), &claims);
    let with = |change: Value| server.logout_token("alice", "f", &change);
    for (what, token) in [
        ("another key", stranger),
        ("a shared secret", symmetric),
        ("no signature", unsigned(&json!({ "alg": "none", "typ": "logout+jwt" }), &claims)),
        ("another issuer", with(json!({ "iss": "https://as.example" }))),
        ("another client", with(json!({ "aud": "sip-ua" }))),
        ("a nonce", with(json!({ "nonce": "n" }))),
        ("no event", with(json!({ "events": {} }))),
        ("the past", with(json!({ "iat": 1, "exp": 2 }))),
        ("an ID token", server.key.jws("EdDSA", &json!({ "alg": "EdDSA", "kid": "k" }), &server.claims("alice", "n"))),
        ("nothing", String::new()),
    ] {
        let answer = post(&token);
        assert_eq!(answer.status, 400, "{what}");
        assert!(answer.body.contains("\"error\":\"invalid_request\""), "{what}: {}", answer.body);
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
    }
    assert_eq!(http::post_form(&site.at("/back-channel-logout"), &[], &[("x", "y")]).unwrap().status, 400);
    assert_eq!(post(&server.logout_token("bob", "b", &json!({}))).status, 200, "who is not here has nothing to end");
    assert_eq!(post(&server.logout_token("alice", "s", &json!({ "sid": "another" }))).status, 200);
    assert_eq!(phones(), 1);
    let token = genuine("1");
    assert_eq!((post(&token).status, phones()), (200, 0));
    sign_in(&mut alice);
    assert_eq!((post(&token).status, phones()), (400, 1), "a replay");
    assert_eq!((post(&genuine("2")).status, phones()), (200, 0));
    assert_eq!(site.counter("logout_tokens_total{outcome=\"replayed\"}"), 1);
}

#[test]
fn a_host_header_gets_into_no_address() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let mut alice = Browser::default();
    scripted::sign_in(&server, &mut alice, &site, "alice");
    let token = value_of(&alice.get(&site.at("/")).body, "token").unwrap();
    let cookies = alice.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    for (method, path, body) in [
        ("GET", "/", String::new()),
        ("GET", "/sign-in/corp", String::new()),
        ("GET", "/signed-in/corp?code=c&state=s", String::new()),
        ("GET", "/nothing", String::new()),
        ("POST", "/phones/device", format!("token={token}&form=1")),
        ("POST", "/logout", format!("token={token}")),
    ] {
        let mut stream = TcpStream::connect(site.url.trim_start_matches("http://")).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\n\
             Cookie: {cookies}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 ") && !answer.contains("evil"), "{path}: {answer}");
    }
}

#[test]
fn no_parameter_leads_to_another_site() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let mut alice = Browser::default();
    scripted::sign_in(&server, &mut alice, &site, "alice");
    let evil = "https://evil.example/";
    for query in ["next", "url", "return_to", "redirect_uri", "target", "done", "client_id", "state"] {
        for path in ["/", "/sign-in/corp", "/signed-in/corp", "/language/de", "/language/https://evil.example"] {
            let answer = alice.clone().get(&site.at(&format!("{path}?{query}={evil}")));
            let target = answer.header("Location").unwrap_or("/");
            assert!(target == "/" || target.starts_with(&server.http.url("/auth?")), "{path}: {target}");
            assert!(!target.contains("evil") && !answer.body.contains("evil"), "{path}: {}", answer.body);
        }
    }
    for path in ["//evil.example", "//evil.example/..", "/sign-in//evil.example", "/%2f%2fevil.example"] {
        let answer = alice.get(&site.at(path));
        assert!(answer.header("Location").is_none() && answer.status == 404, "{path}: {}", answer.status);
    }
    let answer = alice.wish(&site, "/phones/rename", &[("id", evil), ("next", evil)]);
    assert_eq!(answer.header("Location"), Some("/"));
}

#[test]
fn no_answer_can_be_framed_cached_or_guessed_at() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let mut alice = Browser::default();
    scripted::sign_in(&server, &mut alice, &site, "alice");
    let mut answers: Vec<_> =
        ["/", "/sign-in/corp", "/signed-in/corp", "/provision/x", "/nothing", "/health", "/metrics"]
            .map(|path| (path, alice.get(&site.at(path))))
            .into();
    answers.push(("/phones/code", alice.wish(&site, "/phones/code", &[])));
    answers.push(("/phones/device", alice.wish(&site, "/phones/device", &[])));
    answers.push(("/phones/device", alice.post(&site.at("/phones/device"), &[])));
    answers.push(("/logout", alice.wish(&site, "/logout", &[])));
    for (path, answer) in answers {
        let policy = answer.header("content-security-policy").unwrap_or_default();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}: {name}");
        }
        assert!(!answer.body.contains("<script>") && !answer.body.contains("style="), "{path}");
    }
}

#[test]
fn oversize_requests_are_refused_and_the_server_goes_on() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let large = "x".repeat(30_000);
    for path in ["/back-channel-logout", "/phones/device", "/logout"] {
        let answer = http::post_form(&site.at(path), &[], &[("logout_token", &large), ("token", &large)]);
        assert_eq!(answer.map(|answer| answer.status), Ok(413), "{path}");
    }
    let long = http::send("GET", &site.at("/"), &[("Cookie", &large)], "").unwrap();
    assert_eq!(long.status, 431);
    let many: Vec<(&str, &str)> = (0..200).map(|_| ("X", "y")).collect();
    assert_eq!(http::send("GET", &site.at("/"), &many, "").unwrap().status, 431);
    assert!(site.get("/signed-in/corp?state=s&state=t&code=c").status == 400);
    assert_eq!(site.get("/").status, 200);
    assert_eq!(site.counter("refused_requests_total{reason=\"size\"}"), 3);
}

#[test]
fn slow_clients_take_their_own_places_only() {
    let server = Server::start();
    let site = Site::start_with(
        ports::free(),
        &[("corp", &server.http.issuer(), "example.test")],
        "connections = 16\nreverse_proxies = \"10.9.9.9\"",
    );
    let address = site.url.trim_start_matches("http://").to_owned();
    // A source has an eighth of the places.
    let mut slow: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(&address).unwrap()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
    }
    let mut more = TcpStream::connect(&address).unwrap();
    let _ = more.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut nothing = Vec::new();
    let _ = more.read_to_end(&mut nothing);
    assert!(nothing.is_empty(), "the third connection of a source gets no answer");
    // They are cut off in the end.
    let begin = Instant::now();
    slow[0].set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let _ = slow[0].read_to_end(&mut nothing);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert!(crate::support::patience::until(Duration::from_secs(10), || http::request("GET", &site.at("/")).is_ok()));
}

#[test]
fn ten_thousand_unfinished_sign_ins_take_no_memory() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let begin = |times: usize| {
        for _ in 0..times {
            assert_eq!(site.get("/sign-in/corp").status, 303);
        }
    };
    begin(500);
    let records = || site.store().store().usage().unwrap().records;
    let (before, kept) = (site.memory(), records());
    thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(|| begin(2500))));
    });
    let grown = site.memory().saturating_sub(before);
    assert!(grown < 4096, "{grown} kB for 10,000 sign-ins");
    assert_eq!(records(), kept, "nothing is stored of them");
    assert_eq!(site.counter("sign_ins_total{outcome=\"begun\"}"), 10_500);
}

#[test]
fn a_source_beyond_its_limit_costs_nobody_else_anything() {
    let server = Server::start();
    let providers = [("corp", &*server.http.issuer(), "example.test")];
    let site = Site::start_with(ports::free(), &providers, "source_limit = 20");
    let guess = |from: &str, number: usize| {
        let url = site.at(&format!("/provision/{number:027}"));
        http::send("GET", &url, &[("X-Forwarded-For", from)], "").unwrap().status
    };
    let guesses: Vec<u16> = (0..60).map(|number| guess("192.0.2.1", number)).collect();
    // Two windows at most, if a minute has just begun.
    assert!(guesses.iter().filter(|status| **status == 404).count() <= 40, "{guesses:?}");
    assert_eq!(guesses.last(), Some(&429));
    assert_eq!(guess("1.1.1.1, 192.0.2.1", 0), 429, "what the source itself writes does not count");
    assert_eq!(guess("192.0.2.2", 0), 404);
}

#[test]
fn a_forwarded_address_that_cannot_be_read_has_no_rights_and_one_limit() {
    let server = Server::start();
    let providers = [("corp", &*server.http.issuer(), "example.test")];
    let site = Site::start_with(ports::free(), &providers, "source_limit = 20");
    let get =
        |path: &str, from: &str| http::send("GET", &site.at(path), &[("X-Forwarded-For", from)], "").unwrap().status;
    // A stranger writes the first octets; the reverse proxy adds his address.
    for from in ["\u{fc}", "127.0.0.1, \u{fc}", "unknown", "\u{fc}, 192.0.2.1"] {
        for path in ["/metrics", "/health"] {
            assert_eq!(get(path, from), 404, "{path} for {from}");
        }
    }
    assert_eq!((site.get("/metrics").status, get("/metrics", "127.0.0.1")), (200, 200), "a monitor");
    let guess = |from: &str| get("/provision/AAAAAAAAAAAAAAAAAAAAAAAAAAA", from);
    let unread: Vec<u16> = (0..60).map(|number| guess(&format!("\u{fc}{number}"))).collect();
    assert!(unread.iter().filter(|status| **status == 404).count() <= 40, "{unread:?}");
    assert_eq!((unread.last(), guess("unknown")), (Some(&429), 429));
    let hidden: Vec<u16> = (0..60).map(|number| guess(&format!("\u{fc}{number}, 192.0.2.1"))).collect();
    assert_eq!((hidden.first(), hidden.last()), (Some(&404), Some(&429)));
    assert_eq!((guess("192.0.2.2"), guess("127.0.0.1")), (404, 404), "nobody else's limit");
    assert!(site.log().contains("an unknown address has asked for settings"), "{}", site.log());
}

#[test]
fn forged_logout_tokens_are_limited_and_genuine_ones_are_not() {
    let server = Server::start();
    let providers = [("corp", &*server.http.issuer(), "example.test")];
    let site = Site::start_with(ports::free(), &providers, "source_limit = 20");
    let post = |from: &str, token: &str| {
        let headers = [("X-Forwarded-For", from)];
        http::post_form(&site.at("/back-channel-logout"), &headers, &[("logout_token", token)]).unwrap().status
    };
    for number in 0..60 {
        let token = server.logout_token("alice", &number.to_string(), &json!({}));
        assert_eq!(post("192.0.2.10", &token), 200, "all users log out at once");
    }
    let forged: Vec<u16> = (0..60).map(|_| post("192.0.2.11", "a.b.c")).collect();
    assert_eq!((forged.first(), forged.last()), (Some(&400), Some(&429)));
    assert_eq!(post("192.0.2.10", &server.logout_token("alice", "last", &json!({}))), 200);
}

#[test]
fn no_secret_is_in_a_log_an_address_or_a_redirect() {
    let server = Server::start();
    let site = Site::start(&server.http.issuer());
    let mut alice = Browser::default();
    let url = begin(&mut alice, &site, "corp");
    let mut secrets: Vec<String> = alice.cookies.values().cloned().collect();
    let (state, nonce) = (parameter(&url, "state").unwrap(), parameter(&url, "nonce").unwrap());
    server.grant(&server.claims("alice", &nonce));
    let answer = come_back(&mut alice, &site, "corp", &format!("code=secret-code&state={state}"));
    let location = answer.header("Location").unwrap().to_owned();
    let sent = server.http.last("/token").unwrap().body;
    let verifier = parameter(&format!("?{sent}"), "code_verifier").unwrap();
    assert!(verifier.len() >= 43 && !url.contains(&verifier), "{url}");
    secrets.extend(alice.cookies.values().cloned());
    let page = alice.get(&site.at("/"));
    secrets.push(value_of(&page.body, "token").unwrap());
    let device = alice.wish(&site, "/phones/device", &[("name", "x")]).body;
    let code = alice.wish(&site, "/phones/code", &[("name", "y")]).body;
    let shown = |page: &str| -> Vec<String> {
        let values = page.split("<code data-value").skip(1);
        values.map(|rest| rest.split_once('>').unwrap().1.split_once('<').unwrap().0.to_owned()).collect()
    };
    let device = shown(&device);
    let name = device.iter().find_map(|value| value.split_once("/provision/")).unwrap().1.to_owned();
    http::send("GET", &site.at(&format!("/provision/{name}")), &[], "").unwrap();
    secrets.extend([device[2].clone(), name, shown(&code)[0].clone(), shown(&code)[0].replace(' ', "")]);
    secrets.extend([
        verifier,
        "secret-code".into(),
        state,
        nonce,
        "opaque-access-token".into(),
        "opaque-refresh-token".into(),
    ]);
    secrets.push("page-secret".into());
    let log = site.log();
    assert!(log.contains("sip:alice@example.test has signed in at provider 'corp' from 127.0.0.1"), "{log}");
    assert!(
        log.contains("has added a phone") && log.contains("typed code") && log.contains("has fetched its settings")
    );
    for secret in &secrets {
        assert!(!secret.is_empty() && !log.contains(secret.as_str()), "{secret} in {log}");
        assert!(!location.contains(secret.as_str()), "{secret} in {location}");
        assert!(!site.get("/metrics").body.contains(secret.as_str()), "{secret}");
    }
    // What the browser asks for holds the answer of the server and nothing else that is secret.
    let own = alice.trail.iter().filter(|url| !url.contains("/signed-in/"));
    for url in own {
        assert!(!secrets.iter().any(|secret| url.contains(secret.as_str())), "{url}");
    }
}
