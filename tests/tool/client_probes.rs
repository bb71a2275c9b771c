// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `check-config` concludes from the answers of a token endpoint to a made-up code, with the configured secret and with
//! one that is certainly wrong.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::check_config::{check, provider, scripted};
use crate::support::authorization_server::AuthorizationServer;
use crate::support::scripted_server::{Answer, OPENID_CONFIGURATION, Received, ScriptedServer, discovery};
use crate::support::temporary::Directory;
use crate::support::token::{TestKey, now};

const STORE_KEY: &str = "0123456789abcdef0123456789abcdef";
const SECRET: &str = "hush-hush-hush";

/// The finding about the client: status, message and fix.
fn told(issuer: &str, client: &str) -> (String, String, String) {
    told_with(issuer, client, &[])
}

fn told_with(issuer: &str, client: &str, more: &[&str]) -> (String, String, String) {
    let directory = Directory::new("client-probes");
    let store = [format!("store={}", directory.file("store").display()), format!("store_key={STORE_KEY}")];
    let line = provider(issuer, &format!(";client_id=sip-proxy;{client}"));
    let arguments = ["--provider", &line, "--set", &store[0], "--set", &store[1]];
    let findings = check(&[&arguments, more].concat());
    let found = |f: &&Value| f["check"] == "client" && !f["message"].as_str().is_some_and(|m| m.contains("S256"));
    let found: Vec<&Value> = findings.iter().filter(found).collect();
    let [found] = found.as_slice() else { panic!("{findings:?}") };
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    let all = format!("{findings:?}");
    assert!(!all.contains(SECRET) && !all.contains("does not work"), "{all}");
    (text("status"), text("message"), text("fix"))
}

/// The client's secret as it came, and how.
#[derive(Clone, Debug, PartialEq)]
enum Sent {
    Basic(String),
    Post(String),
    Nothing,
}

impl Sent {
    fn of(received: &Received) -> Sent {
        if let Some(basic) = received.header("authorization").and_then(|value| value.strip_prefix("Basic ")) {
            let pair = String::from_utf8(STANDARD.decode(basic).expect("base64")).expect("UTF-8");
            return Sent::Basic(pair.split_once(':').expect("a pair").1.to_owned());
        }
        let form: Vec<(String, String)> = form_urlencoded::parse(received.body.as_bytes()).into_owned().collect();
        let secret = form.into_iter().find(|(name, _)| name == "client_secret");
        secret.map_or(Sent::Nothing, |(_, secret)| Sent::Post(secret))
    }
}

fn error(status: u16, code: &str) -> Answer {
    Answer::Full(status, vec![], json!({"error": code}).to_string().into_bytes())
}

/// A server that answers so to the secret and to others; it takes the secret as it is, whoever encodes it.
fn server(
    right: Answer,
    wrong: Answer,
    is_right: impl Fn(&Sent, &Received) -> bool + Send + Sync + 'static,
) -> ScriptedServer {
    let server = scripted(&TestKey::p256("k"));
    server.set(
        "/token",
        Answer::computed(
            move |received| {
                if is_right(&Sent::of(received), received) { right.clone() } else { wrong.clone() }
            },
        ),
    );
    server
}

fn is_secret(sent: &Sent, _: &Received) -> bool {
    matches!(sent, Sent::Basic(secret) | Sent::Post(secret) if secret == SECRET)
}

#[test]
fn what_is_said_of_a_secret_is_what_the_answers_tell() {
    let tokens = || Answer::Json(json!({"access_token": "a", "token_type": "Bearer"}));
    let grant = || error(400, "invalid_grant");
    let client = || error(401, "invalid_client");
    let html = || Answer::Full(500, vec![], b"<html>oops".to_vec());
    for (name, right, wrong, with_right, with_wrong) in [
        // The usual server, with other words and statuses.
        ("usual", grant(), client(), ("ok", "knows the proxy's client"), ("failed", "refuses the proxy's client")),
        (
            "glewlwyd",
            error(403, "invalid_code"),
            error(403, "unauthorized_client"),
            ("ok", "knows the proxy's client"),
            ("warning", "does not say whether"),
        ),
        (
            "no error word",
            grant(),
            Answer::Full(401, vec![], vec![]),
            ("ok", "knows the proxy's client"),
            ("failed", "refuses the proxy's client"),
        ),
        (
            "Auth0",
            error(403, "invalid_grant"),
            error(401, "access_denied"),
            ("ok", "knows the proxy's client"),
            ("failed", "refuses the proxy's client"),
        ),
        // It looks at the code first.
        (
            "code first",
            grant(),
            grant(),
            ("warning", "does not say whether the secret is right"),
            ("warning", "does not say whether the secret is right"),
        ),
        // It looks at the request first, but at the client before that.
        (
            "request",
            error(400, "invalid_request"),
            client(),
            ("ok", "knows the proxy's client"),
            ("failed", "refuses the proxy's client"),
        ),
        (
            "request first",
            error(400, "invalid_request"),
            error(400, "invalid_request"),
            ("warning", "does not say whether the secret is right"),
            ("warning", "does not say whether the secret is right"),
        ),
        // A test server.
        (
            "mock",
            tokens(),
            tokens(),
            ("warning", "gives tokens for a code that was made up"),
            ("warning", "gives tokens for a code that was made up"),
        ),
        (
            "mock that knows its client",
            tokens(),
            client(),
            ("warning", "gives tokens for a code that was made up"),
            ("failed", "refuses the proxy's client"),
        ),
        // The client may not do this.
        (
            "not allowed",
            error(400, "unauthorized_client"),
            client(),
            ("warning", "knows the proxy's client, but"),
            ("failed", "refuses the proxy's client"),
        ),
        (
            "no such grant",
            error(400, "unsupported_grant_type"),
            client(),
            ("failed", "unsupported_grant_type"),
            ("failed", "refuses the proxy's client"),
        ),
        // Trouble.
        (
            "broken",
            html(),
            html(),
            ("failed", "answers with an error of its own"),
            ("failed", "answers with an error of its own"),
        ),
        (
            "busy",
            error(429, "slow_down"),
            error(429, "slow_down"),
            ("warning", "cannot answer now"),
            ("warning", "cannot answer now"),
        ),
        (
            "busy at once",
            grant(),
            error(429, "slow_down"),
            ("warning", "does not say whether the secret is right"),
            ("warning", "cannot answer now"),
        ),
    ] {
        let server = server(right, wrong, is_secret);
        for (secret, (status, words)) in [(SECRET, with_right), ("a-wrong-secret", with_wrong)] {
            for method in ["client_secret_basic", "client_secret_post"] {
                let told = told(&server.issuer(), &format!("client_secret={secret};client_auth={method}"));
                assert!(told.0 == status && told.1.contains(words), "{name}, {secret}, {method}: {told:?}");
                assert_eq!(told.2.is_empty(), status == "ok", "{name}: {told:?}");
            }
        }
    }
}

/// A server that says another thing to a redirect_uri that it does not know, or to none, than to a code.
#[test]
fn a_missing_redirect_uri_is_not_taken_for_a_wrong_secret() {
    let uri_of = |received: &Received| {
        let form: Vec<(String, String)> = form_urlencoded::parse(received.body.as_bytes()).into_owned().collect();
        form.into_iter().find(|(name, _)| name == "redirect_uri").map(|(_, uri)| uri)
    };
    for (status, code) in [
        (400, "invalid_request"),
        (400, "invalid_client"),
        (403, "unauthorized_client"),
        (401, "invalid_client"),
        (400, "invalid_redirect_uri"),
    ] {
        for wants_one in [true, false] {
            let server = scripted(&TestKey::p256("k"));
            server.set(
                "/token",
                Answer::computed(move |received| {
                    let known = match uri_of(received) {
                        Some(uri) => uri == "app:/callback",
                        None => !wants_one,
                    };
                    match (is_secret(&Sent::of(received), received), known) {
                        (false, _) => Answer::Full(
                            401,
                            vec![],
                            br#"{"error":"invalid_client","error_description":"secret"}"#.to_vec(),
                        ),
                        (true, false) => Answer::Full(
                            status,
                            vec![],
                            json!({"error": code, "error_description": "redirect"}).to_string().into_bytes(),
                        ),
                        (true, true) => error(400, "invalid_grant"),
                    }
                }),
            );
            let issuer = server.issuer();
            let configured = told(&issuer, &format!("client_secret={SECRET};redirect_uri=app:/callback"));
            assert!(
                configured.0 == "ok" && configured.1.contains("knows the proxy's client"),
                "{code}: {configured:?}"
            );
            let missing = told(&issuer, &format!("client_secret={SECRET}"));
            assert_ne!(missing.0, "failed", "{status} {code} {wants_one}: {missing:?}");
            for more in ["", ";redirect_uri=app:/callback"] {
                let wrong = told(&issuer, &format!("client_secret=a-wrong-secret{more}"));
                assert!(
                    wrong.0 == "failed" && wrong.1.contains("refuses the proxy's client"),
                    "{code}{more}: {wrong:?}"
                );
            }
        }
    }
}

#[test]
fn a_secret_that_basic_encodes_is_tried_both_ways() {
    for secret in ["a:b:c:d:e", "a%41b%42c", "plus+plus+", "two words", "base64/+==", "é-è-à-ü"] {
        // It compares what is in the header as it stands, and decodes the form as everybody does.
        let expected = secret.to_owned();
        let literal = server(
            error(400, "invalid_grant"),
            error(401, "invalid_client"),
            move |sent, _| matches!(sent, Sent::Basic(found) | Sent::Post(found) if *found == expected),
        );
        let basic = told(&literal.issuer(), &format!("client_secret={secret}"));
        assert!(basic.0 == "failed" && basic.1.contains("client_secret_post"), "{secret}: {basic:?}");
        assert!(basic.2.contains("client_auth=client_secret_post") && !basic.1.contains(secret), "{secret}: {basic:?}");
        let post = told(&literal.issuer(), &format!("client_secret={secret};client_auth=client_secret_post"));
        assert_eq!(post.0, "ok", "{secret}: {post:?}");
        // It decodes.
        let expected = secret.to_owned();
        let decoding = server(
            error(400, "invalid_grant"),
            error(401, "invalid_client"),
            move |sent, _| matches!(sent, Sent::Basic(found) if form_urlencoded::parse(format!("s={found}").as_bytes()).any(|pair| pair.1 == expected)),
        );
        let basic = told(&decoding.issuer(), &format!("client_secret={secret}"));
        assert_eq!(basic.0, "ok", "{secret}: {basic:?}");
        let post = told(&decoding.issuer(), &format!("client_secret={secret};client_auth=client_secret_post"));
        assert!(post.0 == "failed" && post.2.contains("client_auth=client_secret_basic"), "{secret}: {post:?}");
        // Neither way is right: nothing is claimed of the method.
        let never = server(error(400, "invalid_grant"), error(401, "invalid_client"), |_, _| false);
        let basic = told(&never.issuer(), &format!("client_secret={secret}"));
        assert!(basic.0 == "failed" && !basic.1.contains("accepts it"), "{secret}: {basic:?}");
        // Who is not asked hears of it all the same.
        let unasked = told_with(&never.issuer(), &format!("client_secret={secret}"), &["--no-probe"]);
        assert!(unasked.0 == "warning" && unasked.2.contains("client_secret_post"), "{secret}: {unasked:?}");
    }
    let plain = server(error(400, "invalid_grant"), error(401, "invalid_client"), is_secret);
    assert_eq!(told_with(&plain.issuer(), &format!("client_secret={SECRET}"), &["--no-probe"]).0, "ok");
}

/// At most a few made-up codes, each another one, and the configured secret is sent to the token endpoint only.
#[test]
fn probes_are_few_and_each_code_is_another() {
    let codes: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&codes);
    let server = scripted(&TestKey::p256("k"));
    server.set(
        "/token",
        Answer::computed(move |received| {
            let form: Vec<(String, String)> = form_urlencoded::parse(received.body.as_bytes()).into_owned().collect();
            let code = form.into_iter().find(|(name, _)| name == "code").expect("a code").1;
            seen.lock().expect("no panic while held").push(code);
            error(403, "unauthorized_client")
        }),
    );
    told(&server.issuer(), &format!("client_secret={SECRET}"));
    let mut codes = codes.lock().expect("no panic while held").clone();
    let count = codes.len();
    codes.sort();
    codes.dedup();
    assert!(codes.len() == count && count <= 6, "{codes:?}");
}

#[test]
fn the_real_server_with_and_without_redirect_uri() {
    let server = AuthorizationServer::start();
    for redirect in ["", ";redirect_uri=http://127.0.0.1/callback"] {
        let good = told(server.issuer(), &format!("client_secret=proxy-secret{redirect}"));
        assert!(good.0 == "ok" && good.1.contains("knows the proxy's client"), "{redirect}: {good:?}");
        let wrong = told(server.issuer(), &format!("client_secret=a-wrong-secret{redirect}"));
        assert!(wrong.0 == "failed" && wrong.1.contains("invalid_client"), "{redirect}: {wrong:?}");
    }
}

#[test]
fn what_is_said_of_a_secret_at_an_introspection_endpoint_is_what_the_answers_tell() {
    let inactive = || Answer::Json(json!({"active": false}));
    let client = || error(401, "invalid_client");
    let token = || error(401, "invalid_token");
    let knows = ("ok", "answers the proxy's client");
    let silent = ("warning", "it does not say whether the proxy's are right");
    let refuses = ("failed", "refuses to introspect for the proxy's client");
    for (name, right, wrong, with_right, with_wrong) in [
        ("usual", inactive(), client(), knows, refuses),
        ("anybody", inactive(), inactive(), silent, silent),
        ("token first", token(), token(), silent, silent),
        ("token first, 400", error(400, "invalid_token"), error(400, "invalid_token"), silent, silent),
        ("another word for a token", error(404, "token_not_found"), error(404, "token_not_found"), silent, silent),
        ("an error for the token, another for the client", token(), client(), knows, refuses),
        ("busy at once", inactive(), error(429, "slow_down"), silent, ("failed", "gives no usable answer")),
        ("broken for others", inactive(), error(500, "server_error"), silent, ("failed", "gives no usable answer")),
        (
            "request first",
            error(400, "invalid_request"),
            error(400, "invalid_request"),
            ("warning", "does not tell whether it knows the client"),
            ("warning", "does not tell whether it knows the client"),
        ),
        (
            "no word for the token",
            Answer::Full(400, vec![], Vec::new()),
            client(),
            ("warning", "the server knows the client, but"),
            refuses,
        ),
        (
            "a page for the token",
            Answer::Full(404, vec![], b"<html>".to_vec()),
            client(),
            ("warning", "the server knows the client, but"),
            refuses,
        ),
        (
            "a page for all",
            Answer::Full(404, vec![], b"<html>".to_vec()),
            Answer::Full(404, vec![], b"<html>".to_vec()),
            refuses,
            refuses,
        ),
        (
            "request after the client",
            error(400, "invalid_request"),
            client(),
            ("warning", "the server knows the client, but"),
            refuses,
        ),
    ] {
        let server = introspecting(right, wrong);
        for (secret, found) in [(SECRET, with_right), ("a-wrong-secret", with_wrong)] {
            let told = introspection(&server, secret);
            assert!(told.0 == found.0 && told.1.contains(found.1), "{name}, {secret}: {told:?}");
            assert_eq!(told.2.is_empty(), told.0 == "ok", "{name}, {secret}: {told:?}");
        }
    }
    let server = scripted(&TestKey::p256("k"));
    server.set(
        "/introspect",
        Answer::computed(move |received| match Sent::of(received) {
            Sent::Post(secret) if secret == "with+plus" => inactive(),
            _ => error(401, "invalid_client"),
        }),
    );
    let told = introspection(&server, "with+plus");
    assert!(told.0 == "failed" && told.2.contains("client_auth=client_secret_post"), "{told:?}");
    let told = introspection(&server, "another+plus");
    assert!(told.0 == "failed" && told.1.contains("refuses to introspect"), "{told:?}");
}

/// A server that introspects, and answers so to the secret and to others.
fn introspecting(right: Answer, wrong: Answer) -> ScriptedServer {
    let server = scripted(&TestKey::p256("k"));
    let answer = move |received: &Received| {
        if is_secret(&Sent::of(received), received) { right.clone() } else { wrong.clone() }
    };
    server.set("/introspect", Answer::computed(answer));
    server
}

/// Answers that are JWTs are read as well as plain ones.
#[test]
fn what_is_said_of_a_secret_is_what_signed_answers_tell() {
    let key = TestKey::p256("k");
    let server = scripted(&key);
    let claims =
        json!({"iss": server.issuer(), "aud": "proxy", "iat": now(), "token_introspection": {"active": false}});
    let signed = key.jws("ES256", &json!({"alg": "ES256", "kid": "k", "typ": "token-introspection+jwt"}), &claims);
    let signed = || {
        let of_type = vec![("Content-Type", "application/token-introspection+jwt".to_owned())];
        Answer::Full(200, of_type, signed.clone().into_bytes())
    };
    for (name, for_others, status) in
        [("anybody", None, "warning"), ("usual", Some(error(401, "invalid_client")), "ok")]
    {
        let (right, wrong) = (signed(), for_others.unwrap_or_else(signed));
        let answer = move |received: &Received| {
            let is_ours = is_secret(&Sent::of(received), received);
            let accepts = received.header("accept").is_some_and(|accept| accept.contains("token-introspection+jwt"));
            match (accepts, is_ours) {
                (false, _) => Answer::Status(406),
                (true, true) => right.clone(),
                (true, false) => wrong.clone(),
            }
        };
        server.set("/introspect", Answer::computed(answer));
        let told = introspection_with(&server, SECRET, ";introspection_signed=yes");
        assert!(told.0 == status, "{name}: {told:?}");
        assert_eq!(told.1.contains("wrong credentials, too: it does not say whether"), name == "anybody", "{told:?}");
    }
}

fn introspection(server: &ScriptedServer, secret: &str) -> (String, String, String) {
    introspection_with(server, secret, "")
}

fn introspection_with(server: &ScriptedServer, secret: &str, more: &str) -> (String, String, String) {
    let more = format!(
        ";client_id=proxy;client_secret={secret};tokens=opaque;introspection_endpoint={}/introspect{more}",
        server.issuer()
    );
    let findings = check(&["--provider", &provider(&server.issuer(), &more)]);
    let found = findings.iter().find(|f| f["check"] == "introspection").expect("looked at");
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    (text("status"), text("message"), text("fix"))
}

/// Metadata is read as everything else that servers send.
#[test]
fn metadata_with_a_byte_order_mark_is_read() {
    let server = scripted(&TestKey::p256("k"));
    let mut metadata = discovery(&server.issuer());
    metadata["scopes_supported"] = json!(["openid", null]);
    let body = [&b"\xEF\xBB\xBF"[..], metadata.to_string().as_bytes()].concat();
    server.set(OPENID_CONFIGURATION, Answer::Full(200, vec![], body));
    let findings = check(&["--provider", &provider(&server.issuer(), ";required_scopes=sip")]);
    let scopes = findings.iter().find(|f| f["check"] == "scopes").expect("looked at");
    assert!(scopes["message"].as_str().is_some_and(|m| m.contains("does not list sip")), "{scopes}");
    let slash = check(&["--provider", &provider(&format!("{}/", server.issuer()), "")]);
    assert!(format!("{slash:?}").contains("the final slash counts"), "{slash:?}");
}

#[test]
fn what_is_taken_for_an_id_token_is_told_where_the_audience_is_a_client() {
    let line = |more: &str| provider("https://as.example.test", more);
    let told = |line: &str| format!("{:?}", check(&["--offline", "--provider", line]));
    let client = line(";clients=sip-ua").replace("audience=sip;", "audience=sip-ua;");
    assert!(told(&client).contains("refused as id_token, for accept_id_tokens is not set"));
    assert!(told(&format!("{client};accept_id_tokens=yes")).contains("ID tokens count as access tokens"));
    assert!(!told(&line("")).contains("accept_id_tokens"));
}
