// SPDX-License-Identifier: MIT OR Apache-2.0

//! outbound-edge.cfg twice and outbound-registrar.cfg once (RFC 5626; sip-oauth section 6): a phone with two flows, each of
//! which its edge authenticates, and calls that reach it over whichever is there.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::phones::{ALICE, STORE_KEY, prove_beside_token, prove_in_header, proxy_provider, stored};
use crate::stack::{Stack, configured};
use crate::support::authorization_server::AuthorizationServer;
use crate::support::kamailio::Builder;
use crate::support::patience::{self, PATIENCE, SILENCE};
use crate::support::redis::{PASSWORD, Redis};
use crate::support::sip::{Client, Request};
use crate::support::temporary::Directory;
use crate::support::token::signing_key;
use crate::tool_phone::ToolPhone;
use sipoauth_core::keys::master_key::{Ha1Form, master_key};
use sipoauth_core::sip::digest::{DigestAlgorithm, ha1};

const VERIFIER: &str = "the-verifier-of-the-phone-0123456789-0123456789";
const OTHER_INSTANCE: &str = "urn:uuid:00000000-0000-1000-8000-000a95a0e129";
const INSTANCE: &str = "urn:uuid:00000000-0000-1000-8000-000a95a0e128";

/// Two edges and the registrar behind them.
pub struct Site {
    pub registrar: Stack,
    pub edges: [Stack; 2],
    pub builders: [Builder; 2],
    pub _directories: Vec<Directory>,
}

pub fn site(provider: &str, change: impl Fn(Builder) -> Builder) -> Site {
    let directories: Vec<Directory> = ["edge-a", "edge-b"].map(Directory::new).into();
    let registrar = configured("outbound-registrar.cfg", "name=unused;issuer=https://127.0.0.1:9;audience=x;aor={sip}");
    let address = format!("sip:127.0.0.1:{}", registrar.port());
    let edge = |directory: &Directory| {
        let builder = stored("outbound-edge.cfg", provider, directory).define_string("REPLAY_SCOPE", "proxy");
        change(builder).define_string("REGISTRAR", &address)
    };
    let edges = [edge(&directories[0]), edge(&directories[1])];
    let [a, b] = [&edges[0], &edges[1]].map(|edge| format!("127.0.0.1:{}", edge.port()));
    let registrar = Stack::new(registrar.define_string("EDGE_A", &a).define_string("EDGE_B", &b));
    let builders = edges.clone();
    let edges = edges.map(Stack::new);
    for secret in ["proxy-secret", STORE_KEY, PASSWORD, "alice-password"] {
        keep(&edges, secret);
    }
    // A proof must be younger than the proxy's memory of proofs, and a Date counts whole seconds.
    std::thread::sleep(Duration::from_millis(1100));
    Site { registrar, edges, builders, _directories: directories }
}

/// It must be seen at no edge.
pub fn keep(edges: &[Stack; 2], secret: &str) {
    for edge in edges {
        edge.secrets.keep(secret);
    }
}

impl Site {
    /// The tool signs in over both flows.
    fn sign_in(&self, phone: &ToolPhone, arguments: &[&str]) {
        for (i, edge) in self.edges.iter().enumerate() {
            let (reg_id, name) = ((i + 1).to_string(), i.to_string());
            let flow = ["--instance", INSTANCE, "--reg-id", &reg_id];
            let run = phone.accepted(edge, &name, &[arguments, &flow].concat());
            phone.keep_secrets(edge, &name);
            let headers = run.json["headers"].as_array().expect("a list");
            assert!(headers.iter().any(|h| h[0] == "Require" && h[1] == "outbound"), "{run:?}");
        }
    }

    /// Sockets of the test take the flows over, so that calls arrive there: each registers once more.
    pub fn flows(&self, credentials: impl Fn(usize, Request) -> Request) -> [Client; 2] {
        self.flows_over(Stack::udp, credentials)
    }

    /// The same over connections of this kind.
    pub fn flows_over(
        &self,
        connect: impl Fn(&Stack) -> Client,
        credentials: impl Fn(usize, Request) -> Request,
    ) -> [Client; 2] {
        // Kamailio ends all flows of a phone when one of them comes with another Call-ID, so it begins anew.
        self.registrar.rpc("ul.rm", &["location", "alice@example.test"]).expect("alice is known");
        let flows = [0, 1].map(|i| {
            let edge = &self.edges[i];
            let mut socket = connect(edge);
            let (port, reg_id) = (socket.local_port(), i + 1);
            let mut request = Request::register(ALICE).with("Supported", "path, outbound");
            let contact = format!("<sip:alice@127.0.0.1:{port}>;reg-id={reg_id};+sip.instance=\"<{INSTANCE}>\"");
            request.set("Contact", contact);
            let reply = edge.request(&mut socket, &credentials(i, request));
            assert_eq!(reply.status, 200, "{reply:?}\n{}", edge.module_log());
            socket
        });
        assert_eq!(self.known_flows(), 2);
        flows
    }

    /// The flows that the registrar knows.
    pub fn known_flows(&self) -> usize {
        let dump = self.registrar.rpc("ul.lookup", &["location", "alice@example.test"]).unwrap_or_default();
        (1..=2).filter(|n| dump.contains(&format!("Reg-Id: {n}"))).count()
    }

    pub fn finish(self) {
        self.registrar.finish();
        self.edges.into_iter().for_each(Stack::finish);
    }
}

/// Sends a request to alice and looks on which of her flows it arrives; what arrives there is answered with 200.
pub fn reaches(site: &Site, edge: usize, request: &Request, flows: &mut [Client; 2]) -> Vec<usize> {
    reaches_and_gets(site, edge, request, flows, 200)
}

/// The same with another answer, which is the sender's, too.
pub fn reaches_and_gets(
    site: &Site,
    edge: usize,
    request: &Request,
    flows: &mut [Client; 2],
    status: u16,
) -> Vec<usize> {
    let mut sender = site.edges[edge].udp();
    sender.send(request).expect("sent");
    let mut reached = Vec::new();
    let mut reply = None;
    // Until the sender has its answer, and the flows are silent.
    let mut silent = 0;
    let answered = patience::until(PATIENCE, || {
        if reply.is_none() {
            reply = sender.receive_for(SILENCE / 10).ok().filter(|reply| reply.status >= 200);
        }
        let before = reached.len();
        for (i, flow) in flows.iter_mut().enumerate() {
            let Ok(octets) = flow.receive_octets(SILENCE / 10) else { continue };
            let text = String::from_utf8(octets).expect("text");
            // The answer to a REGISTER that a slow machine had the phone send twice.
            if text.starts_with("SIP/2.0 ") {
                continue;
            }
            assert!(text.starts_with("MESSAGE ") && !text.contains("Authorization"), "{text}");
            reached.push(i);
            let head: Vec<&str> = text.split("\r\n").collect();
            let copied = head
                .iter()
                .filter(|line| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)));
            let copied: Vec<&str> = copied.copied().collect();
            let answer = format!("SIP/2.0 {status} Said\r\n{}\r\nContent-Length: 0\r\n\r\n", copied.join("\r\n"));
            flow.send_octets(answer.as_bytes()).expect("sent");
        }
        silent = if reached.len() == before { silent + 1 } else { 0 };
        reply.is_some() && silent > 5
    });
    assert!(answered, "no answer\n{}", site.edges[edge].module_log());
    let reply = site.edges[edge].note(reply.expect("an answer"));
    assert_eq!(reply.status, status, "{reply:?}\n{}", site.edges[edge].module_log());
    reached
}

#[test]
fn one_code_and_one_master_key_serve_both_flows() {
    let redis = Redis::start(&[]);
    let server = AuthorizationServer::start();
    let line = format!("{};require_master_key=yes", proxy_provider(&server));
    let shared = Directory::new("outbound");
    let password = shared.write("password", PASSWORD);
    let site = site(&line, |builder| {
        builder
            .define_string("STORE", &format!("redis://127.0.0.1:{}/0", redis.port()))
            .define_string("REPLAY_SCOPE", "cluster")
            .define_string("STORE_PASSWORD_FILE", password.to_str().expect("UTF-8"))
    });
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let login = server.digest_sign_in_with("alice", "alice-password", &challenge).expect("alice signs in");
    keep(&site.edges, &login.code);
    keep(&site.edges, VERIFIER);
    let phone = ToolPhone::new("alice");
    let code = ["--code", login.code.as_str(), "--redirect-uri", "http://127.0.0.1/cb"];
    site.sign_in(&phone, &[&code[..], &["--code-verifier", VERIFIER]].concat());
    // Knowing only the code, or another phone's instance, gives nothing at either edge.
    for (i, edge) in site.edges.iter().enumerate() {
        let own = ["--instance", INSTANCE, "--reg-id", "1"];
        let other = ["--instance", OTHER_INSTANCE, "--reg-id", "1", "--code-verifier", VERIFIER];
        for (name, more) in [("no-verifier", &own[..]), ("other-phone", &other[..])] {
            let stranger = ToolPhone::new("alice");
            let run = stranger.run(edge, &format!("{name}-{i}"), &[&code[..], more].concat());
            assert_eq!(run.status(), 401, "{name} at {i}: {run:?}");
        }
        assert_eq!(edge.counter("code_attempts"), 2, "{}", edge.module_log());
    }
    let stats = server.stats();
    assert_eq!(stats.get("/token authorization_code"), Some(&1), "one code, one exchange: {stats:?}");
    assert_eq!(site.known_flows(), 2);
    let sessions = site.edges[1].rpc("auth_oauth.sessions_list", &[]).expect("sessions");
    assert_eq!(sessions.matches("aor:").count(), 1, "{sessions}");

    // The key came to both edges, and the phone has come to it by itself.
    let key = master_key(Ha1Form::Hex, &login.ha1, login.realm.as_bytes(), login.nonce.as_bytes()).expect("H(A1)");
    let mut flows = site.flows(|_, request| prove_in_header(&*key, request));
    for edge in 0..2 {
        let request = prove_in_header(&*key, Request::new("MESSAGE", ALICE, ALICE).with_body("text/plain", "Hello"));
        let reached = reaches(&site, edge, &request, &mut flows);
        assert_eq!(reached.len(), 1, "one flow of the phone: {}", site.registrar.kamailio.log());
    }
    let request = prove_in_header(&*key, Request::new("MESSAGE", ALICE, ALICE).with_body("text/plain", "Once"));
    assert_eq!(reaches(&site, 0, &request, &mut flows).len(), 1);
    for edge in &site.edges {
        assert_eq!(edge.request(&mut edge.udp(), &request).status, 403, "a replay");
    }
    let wrong = prove_in_header(&[7; 32], Request::new("MESSAGE", ALICE, ALICE));
    assert_eq!(site.edges[0].request(&mut site.edges[0].udp(), &wrong).status, 401);
    // Nobody gets past the edges.
    let mut stranger = site.registrar.udp();
    assert_eq!(site.registrar.request(&mut stranger, &Request::register(ALICE)).status, 403);

    // An edge that has gone takes its flow along; the other is tried.
    let Site { registrar, edges: [a, b], _directories, .. } = site;
    a.finish();
    let mut sender = b.udp();
    let request = prove_in_header(&*key, Request::new("MESSAGE", ALICE, ALICE).with_body("text/plain", "Still there?"));
    sender.send(&request).expect("sent");
    let octets = flows[1].receive_request(PATIENCE).unwrap_or_else(|e| panic!("{e}\n{}", registrar.kamailio.log()));
    assert!(octets.starts_with(b"MESSAGE "));
    b.finish();
    drop(registrar.bury());
}

#[test]
fn each_flow_has_a_master_key_and_tokens_of_its_own_with_a_password() {
    let keys = Directory::new("outbound");
    let line = format!(
        "name=local;issuer=https://sip.example.test;audience=sip;domain=example.test;password_grant=issue;signing_key_files={}",
        keys.write("signing.pem", signing_key()).display()
    );
    let hash = ha1(DigestAlgorithm::Md5, "alice", "example.test", "alice-password").to_string();
    let site = site(&line, |builder| builder.define_string("DESK_USER", "alice").define_string("DESK_HA1", &hash));
    let phone = ToolPhone::new("alice");
    site.sign_in(&phone, &["--grant", "password", "--with-pop", "--password-file", "-"]);
    assert_eq!(site.known_flows(), 2);
    assert_ne!(phone.key("0"), phone.key("1"));
    for (edge, name) in ["0", "1"].iter().enumerate() {
        phone.accepted(&site.edges[edge], name, &["--token-pop", "--instance", INSTANCE]);
        phone.accepted(&site.edges[edge], name, &["--refresh", "--instance", INSTANCE]);
        phone.keep_secrets(&site.edges[edge], name);
    }
    // What one edge has given is nothing to the other.
    for (name, other, parts) in [("x", "1", ["shared_key"].as_slice()), ("y", "1", &["shared_key", "tokens"])] {
        let stolen: Vec<_> = parts.iter().map(|part| (*part, phone.memory(other)[*part].clone())).collect();
        phone.remember(name, &phone.memory("0"), &stolen);
        let run = phone.run(&site.edges[0], name, &["--token-pop", "--instance", INSTANCE]);
        let challenges = run.json["headers"].as_array().expect("a list").iter().filter(|h| h[0] == "WWW-Authenticate");
        let schemes: Vec<_> = challenges.filter_map(|h| h[1].as_str()?.split(' ').next()).collect();
        assert_eq!((run.status(), schemes), (401, vec!["Digest", "Bearer"]), "{name}");
    }
    // A call with token and proof comes over one flow.
    let prove = |i: usize, request| {
        let name = i.to_string();
        prove_beside_token(&phone.key(&name), &phone.token(&name), request)
    };
    let mut flows = site.flows(prove);
    for edge in 0..2 {
        let request = prove(edge, Request::new("MESSAGE", ALICE, ALICE).with_body("text/plain", "Hello"));
        assert_eq!(reaches(&site, edge, &request, &mut flows).len(), 1);
    }
    site.finish();
}

#[test]
fn a_token_from_elsewhere_registers_over_both_flows() {
    let server = AuthorizationServer::start();
    let site = site(&proxy_provider(&server), |builder| builder);
    site.edges.iter().for_each(Stack::wait_for_keys);
    let token = server.token("alice", "es256");
    keep(&site.edges, &token);
    let phone = ToolPhone::new("alice");
    site.sign_in(&phone, &["--token", &token]);
    assert_eq!(site.known_flows(), 2);
    let with_token = |_, request: Request| request.with("Authorization", format!("Bearer {token}"));
    let mut flows = site.flows(with_token);
    for edge in 0..2 {
        let request = with_token(edge, Request::new("MESSAGE", ALICE, ALICE).with_body("text/plain", "Hello"));
        assert_eq!(reaches(&site, edge, &request, &mut flows).len(), 1);
    }
    site.finish();
}
