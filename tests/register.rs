// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tool `sipoauth register` against a scripted proxy: it must say what a phone says, derive the key that the proxy
//! derives, and keep its secrets to itself.

#[path = "register/key_derivation.rs"]
mod key_derivation;
#[path = "register/password.rs"]
mod password;
#[path = "register/proxy.rs"]
mod proxy;
#[path = "register/sign_in.rs"]
mod sign_in;
mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use proxy::{Proxy, Seen, TO_TAG};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use sipoauth_core::keys::pop::{pop_from_text, pop_to_text};
use sipoauth_core::keys::shared_key::{KeyOrder, shared_key};
use support::certificates::Authority;
use support::temporary::Directory;
use support::tool::tool;

const AOR: &str = "sip:alice@example.test";
const CODE: &str = "SplxlOBeZQQYbYS6WxSbIA/with+more";
const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl";

struct Run {
    code: i32,
    out: String,
    err: String,
}

impl Proxy {
    /// Runs the tool against this proxy.
    fn register(&self, arguments: &[&str]) -> Run {
        let server = format!("127.0.0.1:{}", self.port);
        run(&[&["--server", &server, "--aor", AOR], arguments].concat(), "")
    }
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out))
    }
}

fn run(arguments: &[&str], input: &str) -> Run {
    let mut command = Command::new(tool());
    command.arg("register").args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("built");
    // The tool may have ended without reading.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("our own child");
    let text = |octets| String::from_utf8(octets).expect("UTF-8");
    let run = Run { code: status.code().expect("no signal ended it"), out: text(stdout), err: text(stderr) };
    assert!(!run.err.contains("panicked"), "{}", run.err);
    run
}

/// What a phone has kept.
fn kept(file: &Path) -> Value {
    let mode = fs::metadata(file).expect("saved").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    serde_json::from_slice(&fs::read(file).expect("saved")).expect("JSON")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A proxy that accepts everything, and the state file of a phone that has registered there with a code.
fn registered(arguments: &[&str]) -> (Proxy, Directory, Vec<u8>, Seen) {
    let proxy = Proxy::udp(|_, request| vec![request.ok()]);
    let directory = Directory::new("register");
    let file = directory.file("phone.json");
    let run = proxy.register(&[&["--code", CODE, "--state", text(&file)], arguments].concat());
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let state = kept(&file);
    let key = pop_from_text(state["shared_key"]["key"].as_str().expect("a key")).expect("32 octets");
    let request = proxy.next();
    (proxy, directory, key.to_vec(), request)
}

#[test]
fn a_code_gives_both_sides_the_same_key() {
    let (_proxy, directory, key, request) = registered(&["--code-verifier", "v~1", "--redirect-uri", "app:/x?y"]);
    assert_eq!(request.start, "REGISTER sip:example.test SIP/2.0");
    assert_eq!(
        request.body,
        "grant_type=authorization_code&code=SplxlOBeZQQYbYS6WxSbIA%2Fwith%2Bmore&code_verifier=v~1\
         &redirect_uri=app%3A%2Fx%3Fy"
    );
    assert_eq!(request.header("Content-Type"), "application/x-www-form-urlencoded");
    assert_eq!((request.uri("To"), request.header("Expires"), request.header("Authorization")), (AOR, "3600", ""));
    let parts = (request.tag_of_from().as_bytes(), TO_TAG.as_bytes(), request.header("Call-ID").as_bytes());
    assert_eq!(key, *shared_key(KeyOrder::Draft, CODE.as_bytes(), parts.0, parts.1, parts.2));
    let state = kept(&directory.file("phone.json"));
    assert!(
        request.header("Contact").contains(&format!("+sip.instance=\"<{}>\"", state["instance"].as_str().unwrap()))
    );

    let (_proxy, _directory, key, request) = registered(&["--key-order", "slides"]);
    let (from, call_id) = (request.tag_of_from().as_bytes(), request.header("Call-ID").as_bytes());
    assert_eq!(key, *shared_key(KeyOrder::Slides, CODE.as_bytes(), from, TO_TAG.as_bytes(), call_id));
}

#[test]
fn a_proof_verifies_in_the_body_and_in_a_header() {
    let (proxy, directory, key, first) = registered(&[]);
    let file = directory.file("phone.json");
    let state = ["--pop", "--state", text(&file)];
    let pop = |arguments: &[&str]| {
        let run = proxy.register(&[&state[..], arguments].concat());
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
        proxy.next()
    };
    let in_body = |request: &Seen| {
        let pop = request.body.strip_prefix("grant_type=proof-of-possession&pop=").expect("the form");
        assert_eq!(pop.len(), 43);
        pop.to_owned()
    };
    let in_header = |request: &Seen, header: &str| {
        let value = request.header(header).strip_prefix("Bearer pop=\"").expect("Bearer");
        value.strip_suffix('"').expect("quoted").to_owned()
    };

    let request = pop(&[]);
    assert!(request.proves(&key, &in_body(&request), "grant_type=proof-of-possession"));
    assert_ne!((first.header("Call-ID"), first.tag_of_from()), (request.header("Call-ID"), request.tag_of_from()));
    let instance = |seen: &Seen| seen.header("Contact").split_once(';').expect("parameters").1.to_owned();
    let instance = |seen: &Seen| instance(seen).rsplit_once("+sip.instance").expect("an instance").1.to_owned();
    assert_eq!(instance(&first), instance(&request));
    let request = pop(&["--pop-body", "empty"]);
    assert!(request.proves(&key, &in_body(&request), ""));
    let request = pop(&["--pop-in", "header", "--date", "Thu, 21 Feb 2002 13:02:03 GMT"]);
    assert!(request.proves(&key, &in_header(&request, "Authorization"), "") && request.header("Date").contains("2002"));
    let request = pop(&["--method", "MESSAGE", "--to", "sip:bob@example.test", "--body", "hi there"]);
    assert_eq!(request.start, "MESSAGE sip:bob@example.test SIP/2.0");
    assert_eq!((request.header("Contact"), request.header("Content-Type")), ("", "text/plain"));
    assert!(request.proves(&key, &in_header(&request, "Authorization"), "hi there"));
    let request = pop(&["--method", "OPTIONS", "--to", "sip:bob@example.test", "--proxy-authorization"]);
    assert!(request.proves(&key, &in_header(&request, "Proxy-Authorization"), ""));

    // Everything else that the phone needs is in its state file.
    assert_eq!(run(&state, "").code, 0);
    proxy.next();
    let wrong = proxy.register(&["--pop", "--state", text(&file), "--date", "yesterday"]);
    assert!(wrong.code == 1 && wrong.err.contains("--date"), "{}", wrong.err);
}

#[test]
fn a_token_goes_out_as_bearer() {
    let proxy = Proxy::udp(|_, request| vec![request.answer("100 Trying", ""), request.ok()]);
    let directory = Directory::new("register");
    let file = directory.write("token", format!("{TOKEN}\n"));
    for (arguments, input) in [(["--token", TOKEN], ""), (["--token", "-"], TOKEN), (["--token-file", text(&file)], "")]
    {
        let server = format!("127.0.0.1:{}", proxy.port);
        let run = run(&[&["--server", &server, "--aor", AOR], &arguments[..]].concat(), input);
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
        assert!(run.out.contains("← 100 Trying") && run.out.contains("\nregistered until "), "{}", run.out);
        assert!(run.out.contains("(600 s)") && run.out.contains("Bearer eyJh…") && !run.out.contains(TOKEN));
        assert_eq!(proxy.next().header("Authorization"), format!("Bearer {TOKEN}"));
    }
    let run = proxy.register(&["--token", TOKEN, "--expires", "0", "--quiet"]);
    assert_eq!((run.code, run.out.as_str(), proxy.next().header("Expires")), (0, "unregistered\n", "0"));
    let run = proxy.register(&["--token", "a\r\nX: y"]);
    assert!(run.code == 1 && run.err.contains("the token"), "{}", run.err);
}

#[test]
fn a_lost_datagram_is_sent_again_as_it_was() {
    let proxy = Proxy::udp(|count, request| if count == 0 { vec![] } else { vec![request.ok()] });
    let run = proxy.register(&["--code", CODE, "--json"]);
    assert_eq!((run.code, &run.json()["retransmissions"]), (0, &Value::from(1)));
    assert_eq!(proxy.next().octets, proxy.next().octets);
}

#[test]
fn a_challenge_is_shown() {
    const CHALLENGE: &str = "WWW-Authenticate: Bearer realm=\"example.test\",\r\n \
         authz_server=\"https://as.example/realms/a\", scope=\"sip\", error=\"invalid_token\"\r\n\
         Location: <https://as.example/realms/a>\r\n";
    let proxy = Proxy::udp(|_, request| vec![request.answer("401 Unauthorized", CHALLENGE)]);
    let run = proxy.register(&[]);
    assert_eq!(run.code, 2);
    for line in
        ["authz_server: https://as.example/realms/a", "realm: example.test", "scope: sip", "error: invalid_token"]
    {
        assert!(run.out.contains(line), "{line}: {}", run.out);
    }
    assert!(run.out.contains("location: https://as.example/realms/a\nsign-in needed: 401"), "{}", run.out);
    let json = proxy.register(&["--json"]).json();
    assert_eq!(json["challenges"][0]["params"]["authz_server"], "https://as.example/realms/a");
    assert_eq!(
        (&json["status"], &json["exit_code"], &json["result"]),
        (&401.into(), &2.into(), &"sign-in needed".into())
    );
    assert_eq!(json["location"], "https://as.example/realms/a");
}

#[test]
fn retry_waits_and_sends_the_code_again() {
    let unavailable = "503 Service Unavailable";
    let proxy = Proxy::udp(move |count, request| match count {
        0 | 2 => vec![request.answer(unavailable, "Retry-After: 1\r\n")],
        _ => vec![request.ok()],
    });
    let run = proxy.register(&["--code", CODE, "--retry"]);
    assert_eq!(run.code, 0, "{}", run.out);
    let (first, second) = (proxy.next(), proxy.next());
    assert_eq!((first.header("CSeq"), second.header("CSeq")), ("1 REGISTER", "2 REGISTER"));
    assert_eq!((&first.body, first.header("Call-ID")), (&second.body, second.header("Call-ID")));
    let run = proxy.register(&["--code", CODE]);
    assert!(run.code == 4 && run.out.contains("try again after 1 s"), "{}", run.out);
}

#[test]
fn a_repetition_shows_what_a_retransmission_gets() {
    let proxy = Proxy::udp(|count, request| match count {
        0 | 1 => vec![request.ok()],
        _ => vec![request.answer("403 Used Up", "")],
    });
    let run = proxy.register(&["--code", CODE, "--repeat", "2"]);
    assert_eq!(run.code, 3);
    assert!(run.out.contains("repetition 1: 200 OK, the same To tag\nrepetition 2: 403 Used Up"), "{}", run.out);
    let (first, second, third) = (proxy.next(), proxy.next(), proxy.next());
    assert!(first.octets == second.octets && second.octets == third.octets);
}

#[test]
fn secrets_stay_out_of_what_is_printed() {
    // This proxy sends back whatever it got.
    let proxy = Proxy::udp(|_, request| {
        let code = if request.body.contains("code=") { CODE } else { "" };
        let echo = format!("X-Echo: {} {code}\r\nX-Auth: {}\r\n", request.body, request.header("Authorization"));
        vec![request.answer(&format!("200 {code}"), &echo)]
    });
    let directory = Directory::new("register");
    let file = directory.file("phone.json");
    let arguments = |more: &[&'static str]| [&["--state", text(&file)], more].concat().to_vec();
    let mut printed = Vec::new();
    for more in
        [&["--code", CODE][..], &["--code", CODE, "--json"], &["--pop"], &["--pop", "--pop-in", "header", "--json"]]
    {
        let run = proxy.register(&arguments(more));
        assert_eq!(run.code, 0, "{}", run.err);
        printed.push(run.out);
        let request = proxy.next();
        let pop = request.body.split_once("pop=").map(|(_, pop)| pop.to_owned());
        let pop = pop.or_else(|| request.header("Authorization").split('"').nth(1).map(str::to_owned));
        let key = kept(&file)["shared_key"]["key"].as_str().expect("a key").to_owned();
        let secrets = [CODE.to_owned(), CODE.replace('/', "%2F").replace('+', "%2B"), key].into_iter().chain(pop);
        for secret in secrets {
            assert!(!printed.concat().contains(&secret), "{secret} in {}", printed.concat());
        }
    }
    assert!(printed[0].contains("code=Splx…") && printed[1].contains("key_fingerprint\":\""), "{printed:?}");
    let run = proxy.register(&arguments(&["--code", CODE, "--json", "--show-secrets"]));
    assert_eq!(pop_from_text(run.json()["key"].as_str().expect("shown")).map(|key| pop_to_text(&key).len()), Some(43));
    // From a short code everything could be guessed: nothing of it, and no fingerprint.
    let run = proxy.register(&["--code", "472913"]);
    assert!(
        run.out.contains("code=…\n") && !run.out.contains("4729") && !run.out.contains("fingerprint"),
        "{}",
        run.out
    );
}

#[test]
fn streams_are_framed() {
    let proxy = Proxy::stream(None, |count, request| {
        let (head, tail) = (request.ok(), request.ok());
        let half = head.len() / 2;
        match count {
            0 => vec![b"\r\n\r\n".to_vec(), request.answer("100 Trying", ""), head[..half].into(), tail[half..].into()],
            1 => vec![request.answer("503 Later", "Retry-After: 0\r\n")],
            2 => vec![request.ok()],
            _ => vec![],
        }
    });
    let run = proxy.register(&["--transport", "tcp", "--code", CODE]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let request = proxy.next();
    assert!(
        request.header("Via").starts_with("SIP/2.0/TCP 127.0.0.1:")
            && request.uri("Contact").ends_with(";transport=tcp")
    );
    assert_eq!(proxy.register(&["--transport", "tcp", "--code", CODE, "--retry"]).code, 0);
    let run = proxy.register(&["--transport", "tcp"]);
    assert!(run.code == 1 && run.err.contains("the server closed it"), "{}", run.err);
}

#[test]
fn tls_is_verified() {
    let authority = Authority::new();
    let good = authority.good();
    let chain = CertificateDer::pem_file_iter(&good.certificate).expect("PEM").map(|der| der.expect("PEM")).collect();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let key = PrivateKeyDer::from_pem_file(&good.key).expect("PEM");
    let config = config.with_no_client_auth().with_single_cert(chain, key).expect("they belong together");
    let proxy = Proxy::stream(Some(Arc::new(config)), |_, request| vec![request.ok()]);
    let run = proxy.register(&["--transport", "tls", "--ca-file", text(authority.ca_file()), "--token", TOKEN]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert!(proxy.next().header("Via").starts_with("SIP/2.0/TLS "));
    let other = Authority::new();
    let run = proxy.register(&["--transport", "tls", "--ca-file", text(other.ca_file()), "--token", TOKEN]);
    assert!(run.code == 1 && run.err.contains("--ca-file"), "{}", run.err);
    let run = proxy.register(&["--transport", "tls", "--ca-file", text(&good.key), "--token", TOKEN]);
    assert!(run.code == 1 && run.err.contains("no certificate"), "{}", run.err);
}

#[test]
fn garbage_is_survived() {
    let proxy = Proxy::udp(|_, request| {
        let other = String::from_utf8(request.ok()).expect("UTF-8").replace("branch=z9hG4bK", "branch=z9hG4bKx");
        vec![
            vec![],
            vec![0xff; 60000],
            b"SIP/2.0 200".to_vec(),
            other.into_bytes(),
            request.octets.clone(),
            request.ok(),
        ]
    });
    let run = proxy.register(&["--code", CODE]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert!(run.out.contains("it answers another request"), "{}", run.out);
    let silent = Proxy::udp(|_, _| vec![b"\x1b[2Jhello".to_vec()]);
    let run = silent.register(&["--timeout", "0.7"]);
    assert!(run.code == 1 && run.err.contains("did not answer within 0.7 s"), "{}", run.err);
    let escapes = Proxy::udp(|_, request| {
        vec![request.answer("603 \x1b[2J", "X-\u{1b}: y\r\n"), request.answer("603 \x1b]", "")]
    });
    let run = escapes.register(&[]);
    assert!(run.code == 3 && !run.out.contains('\x1b'), "{:?}", run.out);
    for answer in
        [&b"HTTP/1.1 400 Bad Request\r\nserver\r\n\r\n"[..], &[b'x'; 70000], b"SIP/2.0 200 OK\r\nl: 99999\r\n\r\n"]
    {
        let proxy = Proxy::stream(None, move |_, _| vec![answer.to_vec()]);
        let run = proxy.register(&["--transport", "tcp", "--json"]);
        assert!(run.code == 1 && run.err.contains("not a SIP message"), "{}", run.err);
        assert_eq!(run.json()["result"], "error");
    }
    let untagged = Proxy::udp(|_, request| {
        vec![String::from_utf8(request.ok()).expect("UTF-8").replace(&format!(";tag={TO_TAG}"), "").into_bytes()]
    });
    let run = untagged.register(&["--code", CODE]);
    assert!(run.code == 1 && run.err.contains("no To tag"), "{}", run.err);
}

#[test]
fn mistakes_get_a_sentence() {
    let (proxy, directory, _, _) = registered(&[]);
    let good = directory.file("phone.json");
    let broken = directory.write("broken.json", "{\"version\":");
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o600)).expect("our own file");
    let missing = directory.file("none.json");
    let nowhere = directory.file("none/phone.json");
    let keyless = directory.file("keyless.json");
    assert_eq!(proxy.register(&["--state", text(&keyless), "--token", TOKEN]).code, 0);
    for (arguments, part) in [
        (&["--pop", "--state", text(&broken)][..], "is broken (line 1"),
        (&["--pop", "--state", text(&missing)], "there is no state file"),
        (&["--pop", "--state", text(&keyless)], "has no shared key"),
        (&["--pop"], "--state"),
        (&["--code", CODE, "--state", text(&nowhere)], "cannot be written"),
        (&["--pop", "--state", text(&good), "--aor", "sip:bob@example.test"], "is of sip:alice@example.test"),
        (&["--code", CODE, "--token", TOKEN], "cannot be used with"),
        (&["--code", ""], "the code is empty"),
        (&["--aor", "alice"], "--aor"),
        (&["--aor", "sip:alice@example.test;a=<\r\nX: y>"], "--aor"),
        (&["--server", "host:port"], "--server"),
        (&["--server", "::1"], "--server"),
        (&["--server", "127.0.0.1:1", "--transport", "tcp"], "nothing listens there"),
        (&["--method", "INVITE"], "--method"),
        (&["--method", "MESSAGE"], "--to is missing"),
        (&["--method", "MESSAGE", "--to", "sip:b@x", "--code", CODE], "needs a REGISTER"),
        (&["--contact", "sip:a@b>\r\nX: y"], "--contact"),
        (&["--timeout", "0"], "seconds from"),
    ] {
        let port = format!("127.0.0.1:{}", proxy.port);
        let mut all = arguments.to_vec();
        for (name, value) in [("--server", port.as_str()), ("--aor", AOR)] {
            if !arguments.contains(&name) {
                all.extend([name, value]);
            }
        }
        let run = run(&all, "");
        assert_eq!(run.code, 1, "{arguments:?}: {}", run.out);
        assert!(run.err.contains(part), "{arguments:?}: {}", run.err);
        assert!(!run.err.contains(CODE) && !run.err.contains(TOKEN), "{}", run.err);
    }
    // A code is not spent when its key could not be kept.
    let starts: Vec<String> = std::iter::from_fn(|| proxy.seen.try_recv().ok()).map(|seen| seen.body).collect();
    assert!(starts.iter().all(String::is_empty), "{starts:?}");
    assert_eq!(run(&["--help"], "").code, 0);
}
