// SPDX-License-Identifier: MIT OR Apache-2.0

//! cfg-examples/kamailio/cluster.cfg twice with one Redis: what a phone does at one proxy counts at the other.

use std::time::{Duration, Instant};

use crate::phones::{
    ALICE, aor, key_of, prove, proxy_provider, registration_with_proof, run, sign_in, stored, strangers, with_code,
    with_code_of,
};
use crate::stack::Stack;
use crate::support::authorization_server::AuthorizationServer;
use crate::support::patience::{self, PATIENCE};
use crate::support::redis::{PASSWORD, Redis};
use crate::support::sip::{Reply, Request};
use crate::support::temporary::Directory;

/// Far more than store_timeout and pending_timeout together.
const BOUND: Duration = Duration::from_secs(25);
/// Time for the news from one proxy to the other; what is cached would serve for 30 seconds.
const TOLD: Duration = Duration::from_secs(15);

struct Cluster {
    redis: Redis,
    server: AuthorizationServer,
    a: Stack,
    b: Stack,
    _directory: Directory,
}

fn cluster() -> Cluster {
    let directory = Directory::new("cluster");
    let redis = Redis::start(&[]);
    let server = AuthorizationServer::start();
    let password = directory.write("password", PASSWORD);
    let proxy = || {
        let builder = stored("cluster.cfg", &proxy_provider(&server), &directory)
            .define_string("STORE", &format!("redis://127.0.0.1:{}/0", redis.port()))
            .define_string("STORE_PASSWORD_FILE", password.to_str().expect("UTF-8"));
        let stack = run(builder);
        stack.secrets.keep(PASSWORD);
        stack
    };
    let (a, b) = (proxy(), proxy());
    Cluster { redis, server, a, b, _directory: directory }
}

impl Cluster {
    fn finish(self) {
        self.a.finish();
        self.b.finish();
    }
}

/// Sends to both proxies before either has answered.
fn to_both(cluster: &Cluster, request: &Request) -> [Reply; 2] {
    let (mut one, mut two) = (cluster.a.udp(), cluster.b.udp());
    one.send(request).expect("sent");
    two.send(request).expect("sent");
    [(&cluster.a, &mut one), (&cluster.b, &mut two)].map(|(stack, phone)| {
        loop {
            let reply = phone.receive().unwrap_or_else(|e| panic!("{e}\n{}", stack.module_log()));
            if reply.status >= 200 {
                break stack.note(reply);
            }
        }
    })
}

#[test]
fn one_code_at_two_proxies_is_exchanged_once_and_known_to_both() {
    let cluster = cluster();
    let Cluster { a, b, server, .. } = &cluster;
    for (user, other) in [("alice", "mallory"), ("bob", "alice")] {
        server.clear();
        // Both requests are there before the code is redeemed.
        server.fault("/token", &[("delay", "1500")]);
        let login = sign_in(a, server, user);
        let request = with_code(&aor(user), &login);
        let answers = to_both(&cluster, &request);
        for (stack, answer) in [a, b].iter().zip(&answers) {
            assert_eq!(answer.status, 200, "{answer:?}\n{}", stack.module_log());
        }
        let stats = server.stats();
        assert_eq!(stats.get("/token"), Some(&1), "{stats:?}");
        for answer in &answers {
            let key = key_of(a, &login, &request, answer);
            for stack in [a, b] {
                let reply = registration_with_proof(stack, &aor(user), &key);
                assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
            }
        }
        for stack in [a, b] {
            let stolen = stack.request(&mut stack.udp(), &with_code(&aor(other), &login));
            assert_eq!(stolen.status, 401, "{stolen:?}\n{}", stack.module_log());
        }
        let stats = server.stats();
        assert_eq!(stats.get("/token"), Some(&1), "{stats:?}");
    }
    cluster.finish();
}

#[test]
fn a_used_code_serves_its_own_phone_only_at_every_proxy() {
    let cluster = cluster();
    let Cluster { a, b, server, .. } = &cluster;
    let login = sign_in(a, server, "alice");
    let request = with_code_of(ALICE, &login, "1");
    let reply = a.request(&mut a.udp(), &request);
    assert_eq!(reply.status, 200, "{reply:?}\n{}", a.module_log());
    let key = key_of(a, &login, &request, &reply);
    for stack in [b, a] {
        for (i, (what, stolen)) in strangers(ALICE, &login).iter().enumerate() {
            let refused = stack.request(&mut stack.udp(), stolen);
            assert_eq!(refused.status, 401, "{what}: {refused:?}\n{}", stack.module_log());
            assert_eq!(stack.counter("code_attempts"), i as u64 + 1, "{what}\n{}", stack.module_log());
        }
        // Sent again by the phone, and by a second flow of it.
        let again = stack.request(&mut stack.udp(), &request);
        assert_eq!(again.status, 200, "{again:?}\n{}", stack.module_log());
        let second = with_code_of(ALICE, &login, "1");
        let reply = stack.request(&mut stack.udp(), &second);
        assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
        let key = key_of(stack, &login, &second, &reply);
        assert_eq!(registration_with_proof(a, ALICE, &key).status, 200, "{}", a.module_log());
    }
    assert_eq!(registration_with_proof(b, ALICE, &key).status, 401, "four newer keys of the phone's own");
    assert_eq!(server.stats().get("/token"), Some(&1));
    cluster.finish();
}

#[test]
fn what_is_revoked_or_used_at_one_proxy_is_so_at_the_other() {
    let cluster = cluster();
    let Cluster { a, b, server, .. } = &cluster;
    let login = sign_in(a, server, "alice");
    let request = with_code(ALICE, &login);
    let reply = a.request(&mut a.udp(), &request);
    assert_eq!(reply.status, 200, "{reply:?}\n{}", a.module_log());
    let key = key_of(a, &login, &request, &reply);

    for (first, second) in [(a, b), (b, a)] {
        let proof = prove(&key, Request::register(ALICE));
        let reply = first.request(&mut first.udp(), &proof);
        assert_eq!(reply.status, 200, "{reply:?}\n{}", first.module_log());
        let before = second.counter("reason_pop_replayed");
        let replayed = second.request(&mut second.udp(), &proof);
        assert_eq!(replayed.status, 403, "{replayed:?}\n{}", second.module_log());
        assert_eq!(second.counter("reason_pop_replayed"), before + 1);
    }

    // Both have the session in their caches now.
    let answer = a.rpc("auth_oauth.sessions_revoke", &[ALICE]).expect("revoked");
    assert!(answer.contains("revoked: 1"), "{answer}");
    for stack in [b, a] {
        let mut reply = None;
        patience::until(TOLD, || {
            reply = Some(registration_with_proof(stack, ALICE, &key));
            // On a busy machine Redis may be too slow once.
            reply.as_ref().is_some_and(|reply| ![200, 503].contains(&reply.status))
        });
        let reply = reply.expect("asked");
        assert_eq!(reply.status, 401, "{reply:?}\n{}", stack.module_log());
        assert!(reply.header("WWW-Authenticate").is_some(), "{reply:?}");
        let again = stack.request(&mut stack.udp(), &with_code(ALICE, &login));
        assert_eq!(again.status, 401, "its code does not bring it back: {again:?}");
    }
    assert_eq!(server.stats().get("/token"), Some(&1));
    cluster.finish();
}

/// While Redis is away: refused for now, in time; never told to sign in again.
fn refused_for_now(stack: &Stack, request: &Request) -> Duration {
    let start = Instant::now();
    let reply = stack.request(&mut stack.udp().timeout(BOUND), request);
    let time = start.elapsed();
    assert_eq!(reply.status, 503, "{reply:?}\n{}", stack.module_log());
    assert!(reply.header("Retry-After").is_some() && time < BOUND, "{time:?}: {reply:?}");
    let options = Request::new("OPTIONS", "sip:example.test", ALICE);
    assert_eq!(stack.request(&mut stack.udp(), &options).status, 200);
    time
}

/// Tries until it is accepted; nothing but 503 may come before.
fn until_accepted(stack: &Stack, request: &dyn Fn() -> Request) -> (Duration, Request, Reply) {
    let start = Instant::now();
    loop {
        let request = request();
        let reply = stack.request(&mut stack.udp().timeout(BOUND), &request);
        if reply.status == 200 {
            return (start.elapsed(), request, reply);
        }
        assert_eq!(reply.status, 503, "{reply:?}\n{}", stack.module_log());
        assert!(start.elapsed() < PATIENCE, "not in time\n{}", stack.module_log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn without_redis_phones_come_back_later_and_nobody_signs_in_again() {
    let mut cluster = cluster();
    let login = sign_in(&cluster.a, &cluster.server, "alice");
    let request = with_code(ALICE, &login);
    let reply = cluster.a.request(&mut cluster.a.udp(), &request);
    assert_eq!(reply.status, 200, "{reply:?}\n{}", cluster.a.module_log());
    let key = key_of(&cluster.a, &login, &request, &reply);
    assert_eq!(registration_with_proof(&cluster.b, ALICE, &key).status, 200);
    let bob = sign_in(&cluster.a, &cluster.server, "bob");

    assert!(cluster.redis.cli(&["SAVE"]).contains("OK"));
    cluster.server.clear();
    cluster.redis.stop();
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        for stack in [&cluster.a, &cluster.b] {
            slowest = slowest.max(refused_for_now(stack, &with_code(&aor("bob"), &bob)));
            slowest = slowest.max(refused_for_now(stack, &prove(&key, Request::register(ALICE))));
        }
    }
    assert_eq!(cluster.server.stats().get("/token"), None, "no code leaves while its fate cannot be kept");
    cluster.redis.resume();

    let mut recovered = Duration::ZERO;
    for stack in [&cluster.a, &cluster.b] {
        let (time, ..) = until_accepted(stack, &|| prove(&key, Request::register(ALICE)));
        recovered = recovered.max(time);
    }
    let (_, request, reply) = until_accepted(&cluster.a, &|| with_code(&aor("bob"), &bob));
    let key = key_of(&cluster.a, &bob, &request, &reply);
    assert_eq!(registration_with_proof(&cluster.b, &aor("bob"), &key).status, 200);
    for stack in [&cluster.a, &cluster.b] {
        for reason in ["session_unknown", "session_ended", "pop_invalid", "code_refused", "code_spent"] {
            assert_eq!(stack.counter(&format!("reason_{reason}")), 0, "{reason}\n{}", stack.module_log());
        }
    }
    println!("without Redis: 503 after {slowest:?} at most; recovered after {recovered:?}");
    cluster.finish();
}

#[test]
fn a_silent_redis_keeps_nobody_waiting() {
    let cluster = cluster();
    let login = sign_in(&cluster.a, &cluster.server, "alice");
    let request = with_code(ALICE, &login);
    let reply = cluster.a.request(&mut cluster.a.udp(), &request);
    assert_eq!(reply.status, 200, "{reply:?}\n{}", cluster.a.module_log());
    let key = key_of(&cluster.a, &login, &request, &reply);

    let redis = cluster.redis.pid().to_string();
    crate::support::process::signal("STOP", &redis);
    let mut slowest = Duration::ZERO;
    for stack in [&cluster.a, &cluster.b, &cluster.a] {
        slowest = slowest.max(refused_for_now(stack, &prove(&key, Request::register(ALICE))));
    }
    crate::support::process::signal("CONT", &redis);
    for stack in [&cluster.a, &cluster.b] {
        let (time, ..) = until_accepted(stack, &|| prove(&key, Request::register(ALICE)));
        println!("Redis silent: 503 after {slowest:?} at most; recovered after {time:?}");
    }
    cluster.finish();
}
