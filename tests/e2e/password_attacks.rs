// SPDX-License-Identifier: MIT OR Apache-2.0

//! password-tokens.cfg and mixed-fleet.cfg against those who do not know the password.

use crate::passwords::{hash, start, start_with, wish_of};
use crate::phones::{ALICE, FORM, aor, with_settings};
use crate::stack::Stack;
use crate::support::digest::Challenge;
use crate::support::scripted_server::{ScriptedServer, key_set};
use crate::support::sip::{Reply, Request};
use crate::support::temporary::Directory;
use crate::support::token::{TestKey, claims};
use sipoauth_core::sip::digest::{DigestAlgorithm, DigestInput, ha1};

const DOMAIN: &str = "sip:example.test";
const NOBODY: &str = "sip:nobody@example.test";

pub fn challenge(reply: &Reply) -> Challenge {
    assert_eq!(reply.status, 401, "{reply:?}");
    let found = reply.all("WWW-Authenticate").into_iter().find(|value| value.starts_with("Digest "));
    Challenge::parse(found.expect("a challenge"))
}

/// Credentials of somebody who knows this H(A1).
pub fn credentials(
    challenge: &Challenge,
    user: &str,
    hash: &str,
    request: &Request,
    auth: Option<(u32, &str)>,
) -> String {
    let Challenge { algorithm, realm, nonce, .. } = challenge;
    let (method, uri) = (request.method.as_str(), DOMAIN);
    DigestInput { algorithm: *algorithm, username: user, realm, nonce, opaque: None, method, uri, auth }
        .credentials(hash)
}

/// Asks for a challenge, and answers it.
pub fn sign(stack: &Stack, user: &str, hash: &str, request: Request, auth: Option<(u32, &str)>) -> Reply {
    sign_again(stack, user, hash, request, auth).1
}

/// The same; also the request that answered the challenge.
pub fn sign_again(
    stack: &Stack,
    user: &str,
    hash: &str,
    mut request: Request,
    auth: Option<(u32, &str)>,
) -> (Request, Reply) {
    let mut phone = stack.udp();
    let offered = challenge(&stack.request(&mut phone, &request));
    request.next();
    request.set("Authorization", credentials(&offered, user, hash, &request, auth));
    let reply = stack.request(&mut phone, &request);
    (request, reply)
}

#[test]
fn nobody_signs_in_as_a_user_who_does_not_exist() {
    let (_directory, stack) = start();
    let guesses = ["0".repeat(32), String::new(), ha1(DigestAlgorithm::Md5, "nobody", "example.test", "").to_string()];
    for guess in guesses.iter().map(String::as_str).chain(["<null>"]) {
        let auth = Some((1, "c"));
        let call = Request::new("MESSAGE", ALICE, NOBODY).with_body("text/plain", "Hello");
        let reply = sign(&stack, "nobody", guess, call, auth);
        challenge(&reply);
        let reply = sign(&stack, "nobody", guess, wish_of("nobody"), auth);
        assert!(!challenge(&reply).stale && reply.body.is_empty(), "{reply:?}");
        let reply = sign(&stack, "nobody", guess, Request::register(NOBODY), auth);
        challenge(&reply);
    }
    // Nobody can tell him from a user with another password either.
    let look = |user: &str| {
        let reply = sign(&stack, user, &hash("bob"), Request::register(&aor(user)), Some((1, "c")));
        let names: Vec<_> = reply.headers.iter().map(|(name, _)| name.clone()).collect();
        (reply.status, reply.reason.clone(), names, reply.header("WWW-Authenticate").map(str::len))
    };
    assert_eq!(look("alice"), look("nobody"));
    assert!(stack.rpc("ul.lookup", &["location", "nobody@example.test"]).is_err());
    assert_eq!(stack.counter("tokens_issued"), 0);
    stack.finish();
}

#[test]
fn digest_without_a_count_is_of_no_use() {
    let (_directory, stack) = start();
    let call = || Request::new("MESSAGE", NOBODY, ALICE).with_body("text/plain", "Hello");
    let reply = sign(&stack, "alice", &hash("alice"), call(), Some((1, "c")));
    assert_eq!(reply.status, 404, "accepted, nobody is there: {reply:?}");
    let (mut request, reply) = sign_again(&stack, "alice", &hash("alice"), call(), None);
    challenge(&reply);
    // Parameters that the response does not cover do not make up for it.
    let plain = request.header("Authorization").expect("credentials").to_owned();
    for more in ["cnonce=\"c\", nc=00000001", "x=\", qop=auth, y=\"", "qop=\"\"", "nc=00000002"] {
        request.set("Authorization", format!("{plain}, {more}"));
        request.next();
        let reply = stack.request(&mut stack.udp(), &request);
        assert!([400, 401].contains(&reply.status), "{more}: {reply:?}");
    }
    let reply = sign(&stack, "alice", &hash("alice"), wish_of("alice"), None);
    challenge(&reply);
    stack.finish();
}

#[test]
fn a_proof_beside_digest_must_be_of_the_same_password() {
    let (_directory, stack) = start();
    let pop = "A".repeat(43);
    let proved = |date: i64| {
        let request = wish_of("alice").with("Date", crate::phones::date(date));
        request.with_body(FORM, format!("grant_type=password&pop={pop}"))
    };
    let reply = sign(&stack, "alice", &hash("alice"), proved(0), Some((1, "c")));
    challenge(&reply);
    assert!(reply.body.is_empty());
    let undated = || {
        let mut request = proved(0);
        request.headers.retain(|(name, _)| name != "Date");
        request
    };
    for request in [undated(), wish_of("alice").with_body(FORM, "grant_type=password&pop=neither-one-nor-the-other")] {
        let reply = sign(&stack, "alice", &hash("alice"), request, Some((1, "c")));
        assert_eq!(reply.status, 400, "{reply:?}");
    }
    assert_eq!((stack.counter("reason_pop_invalid"), stack.counter("tokens_issued")), (1, 0));
    stack.finish();
}

#[test]
fn a_call_signed_by_digest_cannot_be_sent_again() {
    let (_directory, stack) = start();
    let call = Request::new("MESSAGE", NOBODY, ALICE).with_body("text/plain", "Hello");
    let (request, reply) = sign_again(&stack, "alice", &hash("alice"), call, Some((1, "c")));
    assert_eq!(reply.status, 404);
    for count in ["00000001", "00000002"] {
        let mut again = request.clone();
        let credentials = request.header("Authorization").expect("credentials").replace("00000001", count);
        again.next().set("Authorization", credentials);
        challenge(&stack.request(&mut stack.tcp(), &again));
    }
    // A password is good for its own user.
    for from in ["sip:bob@example.test", "sip:alice@elsewhere.test"] {
        let reply = sign(&stack, "alice", &hash("alice"), Request::new("MESSAGE", ALICE, from), Some((1, "c")));
        assert_eq!(reply.status, 403, "{from}: {reply:?}");
    }
    let mut other = Request::register("sip:bob@example.test");
    other.set("From", format!("<{ALICE}>;tag=t"));
    let reply = sign(&stack, "alice", &hash("alice"), other, Some((1, "c")));
    assert_eq!(reply.status, 403, "{reply:?}");
    stack.finish();
}

/// `$oauth(again)` lets the script skip Digest where it was passed before the request had to wait. A stranger's request can
/// be made to wait, too, but by another check.
#[test]
fn what_waits_for_another_check_has_not_passed_digest() {
    let (known, unknown) = (TestKey::p256("known"), TestKey::p256("unknown"));
    let server = ScriptedServer::start(key_set(&[known.jwk()]));
    let settings = Directory::new("again");
    let other = format!(
        "[[provider]]\nname = \"other\"\nissuer = \"{}\"\naudience = \"sip\"\naor = \"{{sip}}\"\ndomain = \"other.test\"\n",
        server.issuer()
    );
    let (_directory, stack) = start_with(|builder| with_settings(builder, &settings, &other));
    let token = stack.secrets.keep(unknown.token("ES256", &claims(&server.issuer(), "sip", "alice", 300)));
    let offered = challenge(&stack.request(&mut stack.udp(), &Request::register(ALICE)));
    let mut request = wish_of("alice");
    let guess = credentials(&offered, "alice", &hash("bob"), &request, Some((1, "c")));
    for values in [[format!("Bearer {token}"), guess.clone()], [guess.clone(), format!("Bearer {token}")]] {
        request.headers.retain(|(name, _)| name != "Authorization");
        for value in values {
            request.add("Authorization", value);
        }
        let reply = stack.request(&mut stack.udp(), request.next());
        assert!([400, 401, 503].contains(&reply.status) && reply.body.is_empty(), "{reply:?}");
    }
    let mut alone = Request::register(ALICE);
    alone.set("Authorization", format!("Bearer {token}"));
    assert!([401, 503].contains(&stack.request(&mut stack.udp(), &alone).status));
    assert!(stack.counter("suspended") > 0, "one of them has waited");
    assert_eq!(stack.counter("tokens_issued"), 0);
    stack.finish();
}
