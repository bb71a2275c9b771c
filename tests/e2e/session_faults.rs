// SPDX-License-Identifier: MIT OR Apache-2.0

//! Under load while the token endpoint misbehaves: other requests notice nothing, phones with codes are asked to come
//! back, and when the server is well so is the proxy.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::phones::{
    ALICE, aor, proxy_provider, registered, registration_with_proof, run, sign_in, stored, with_code, with_many_codes,
};
use crate::stack::Stack;
use crate::support::authorization_server::AuthorizationServer;
use crate::support::code_server::CODES;
use crate::support::fault_proxy::{FaultProxy, Mode};
use crate::support::patience::PATIENCE;
use crate::support::sip::{Client, Reply, Request, unique};
use crate::support::temporary::Directory;

const RATE: u32 = 50;
const SECONDS: u32 = 8;
/// pending_timeout, and what a machine with much else to do takes.
const ANSWERED: Duration = Duration::from_secs(20);
/// Much less than a worker that waited for the server would need. What is measured is printed.
const BRISK: Duration = Duration::from_secs(3);
const RECOVERY: Duration = Duration::from_secs(30);
const MEMORY: u64 = 64 << 20;

const MODES: [Mode; 5] = [Mode::Hang, Mode::Blackhole, Mode::Status(500), Mode::Garbage, Mode::SlowDrip(10)];

/// Answers and how long each took.
type Answers = Vec<(Duration, Reply)>;

/// Sends requests at an even pace and repeats what is not answered, as phones do; all final answers.
fn load(mut client: Client, next: impl Fn() -> Request) -> Answers {
    const AGAIN: Duration = Duration::from_secs(1);
    let pace = Duration::from_secs(1) / RATE;
    let start = Instant::now();
    let (mut sent, mut answers) = (0, Answers::new());
    let mut open: HashMap<String, (Instant, Instant, Vec<u8>)> = HashMap::new();
    while sent < RATE * SECONDS || !open.is_empty() {
        while sent < RATE * SECONDS && start.elapsed() >= pace * sent {
            let request = next();
            let octets = client.send(&request).expect("sent");
            let name = request.header("Call-ID").expect("our own request has it").to_owned();
            open.insert(name, (Instant::now(), Instant::now(), octets));
            sent += 1;
        }
        if let Ok(reply) = client.receive_for(Duration::from_millis(5)) {
            let name = reply.header("Call-ID").unwrap_or_default().to_owned();
            if reply.status >= 200
                && let Some((since, ..)) = open.remove(&name)
            {
                answers.push((since.elapsed(), reply));
            }
        }
        for (since, last, octets) in open.values_mut().filter(|(_, last, _)| last.elapsed() > AGAIN) {
            assert!(since.elapsed() < PATIENCE, "never answered: {}", String::from_utf8_lossy(octets));
            *last = Instant::now();
            client.send_octets(octets).expect("sent");
        }
    }
    answers
}

fn percentile(answers: &Answers, hundredth: usize) -> Duration {
    let mut times: Vec<Duration> = answers.iter().map(|(time, _)| *time).collect();
    times.sort();
    times[(times.len() - 1) * hundredth / 100]
}

/// Memory of all processes of the proxy; what they share counts once.
fn memory(stack: &Stack) -> u64 {
    let of = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("Pss:"));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).expect("the kernel tells") * 1024
    };
    stack.kamailio.processes().into_iter().map(|(pid, _)| of(pid)).sum()
}

fn load_under(stack: &Stack, mode: Mode) {
    let user = || unique("load");
    let register = || {
        let user = user();
        with_code(&aor(&user), &json!({ "code": format!("{CODES}{user}"), "redirect_uri": "http://127.0.0.1/cb" }))
    };
    let options = || Request::new("OPTIONS", "sip:example.test", ALICE);
    let (phones, others) = (stack.udp(), stack.udp());
    let (registrations, others) = std::thread::scope(|scope| {
        let phones = scope.spawn(move || load(phones, register));
        let others = scope.spawn(move || load(others, options));
        (phones.join().expect("registrations"), others.join().expect("other requests"))
    });
    let expected = (RATE * SECONDS) as usize;
    assert_eq!((registrations.len(), others.len()), (expected, expected));
    let (p50, p99) = (percentile(&others, 50), percentile(&others, 99));
    let (slow, slowest) = (percentile(&registrations, 50), percentile(&registrations, 100));
    println!("{mode:?}: OPTIONS p50 {p50:?}, p99 {p99:?}; REGISTER p50 {slow:?}, slowest {slowest:?}");
    assert!(others.iter().all(|(_, reply)| reply.status == 200));
    assert!(p99 < BRISK, "{mode:?}: {p99:?}");
    for (time, reply) in registrations {
        assert_eq!(reply.status, 503, "{mode:?}: {reply:?}\n{}", stack.module_log());
        assert!(reply.header("Retry-After").is_some() && time < ANSWERED, "{mode:?}: {time:?}: {reply:?}");
        stack.note(reply);
    }
}

/// A phone whose code is not lost asks until it is answered.
fn time_of_recovery(stack: &Stack, logins: &[serde_json::Value]) -> Duration {
    let start = Instant::now();
    let mut logins = logins.iter();
    let mut login = logins.next().expect("a code");
    loop {
        let reply = stack.request(&mut stack.udp(), &with_code(ALICE, login));
        if reply.status == 200 {
            return start.elapsed();
        }
        assert_eq!(reply.status, 503, "{reply:?}\n{}", stack.module_log());
        assert!(start.elapsed() < PATIENCE, "not in time\n{}", stack.module_log());
        if reply.reason.contains("doubt") {
            login = logins.next().expect("one more code");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_token_endpoint_that_misbehaves_disturbs_nobody_else() {
    let directory = Directory::new("faults");
    let server = AuthorizationServer::start();
    let port = server.issuer().rsplit(':').next().and_then(|port| port.parse().ok());
    let faults = FaultProxy::start(port.expect("the issuer has a port"));
    let endpoint = format!("http://127.0.0.1:{}/token", faults.port());
    let provider = format!("{};token_endpoint={endpoint}", proxy_provider(&server));
    let builder = stored("public-ua.cfg", &provider, &directory).define("DEBUG", 2).workers(4);
    let stack = run(with_many_codes(builder, &directory));
    let key = registered(&stack, ALICE, &sign_in(&stack, &server, "alice"));
    let before = memory(&stack);
    let mut most = before;
    for mode in MODES {
        let logins: Vec<_> = (0..2).map(|_| sign_in(&stack, &server, "alice")).collect();
        faults.set(mode);
        load_under(&stack, mode);
        assert_eq!(registration_with_proof(&stack, ALICE, &key).status, 200, "{mode:?}: proofs need no server");
        most = most.max(memory(&stack));
        faults.set(Mode::Pass);
        let time = time_of_recovery(&stack, &logins);
        println!("{mode:?}: recovered after {time:?}, {} MiB", memory(&stack) >> 20);
        assert!(time < RECOVERY, "{mode:?}: {time:?}");
    }
    println!("memory: {} MiB before, {} MiB at most, {} connections", before >> 20, most >> 20, faults.accepted());
    assert!(most < before + MEMORY, "{before} {most}");
    stack.finish();
}
