// SPDX-License-Identifier: MIT OR Apache-2.0

//! A thousand registrations with codes while processes of the proxy, or all of it, are killed: whoever has got a 200
//! stays signed in, and nothing is left half done.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::phones::{aor, prove, run, shared, stored, with_code_of, with_many_codes};
use crate::stack::Stack;
use crate::support::code_server::CodeServer;
use crate::support::patience::{self, PATIENCE};
use crate::support::process::signal;
use crate::support::sip::{Client, Request};
use crate::support::temporary::Directory;

const VERIFIER: &str = "the-verifier-of-each-phone-0123456789-0123456789";
const PHONES: usize = 1000;
const KILLS: usize = 12;
const LINES: usize = 4;
/// Tries with one code before the user signs in again.
const TRIES: u32 = 2;

#[derive(Clone, Copy, Debug)]
enum Victim {
    Worker,
    Io,
    /// The main process alone, as an administrator does who does not know better.
    Main,
    /// All processes at once, as an out-of-memory killer or a container does.
    All,
}

/// xorshift; what it is started with is printed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A phone whose user has a code, and how often it was sent.
struct Waiting {
    user: String,
    login: Value,
    tries: u32,
}

/// Stops the lines, also when the test has failed.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// All phones.
struct Fleet {
    waiting: Mutex<Vec<Waiting>>,
    /// Keys of those that have got their 200, by user.
    registered: Mutex<BTreeMap<String, Vec<u8>>>,
    refused: Mutex<Vec<String>>,
    later: AtomicUsize,
    unanswered: AtomicUsize,
    stop: AtomicBool,
}

impl Fleet {
    fn new(server: &CodeServer) -> Fleet {
        let phone = |number| {
            let user = format!("phone{number}");
            Waiting { login: server.code(&user), user, tries: 0 }
        };
        Fleet {
            waiting: Mutex::new((0..PHONES).map(phone).collect()),
            registered: Mutex::default(),
            refused: Mutex::default(),
            later: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        }
    }

    fn count(&self) -> usize {
        self.registered.lock().expect("no panic while held").len()
    }

    /// One line registers one phone after the other until it is stopped.
    fn register(&self, port: u16, server: &CodeServer) {
        let mut client = Client::udp(port).timeout(Duration::from_millis(1500));
        while !self.stop.load(Relaxed) {
            let Some(mut phone) = self.waiting.lock().expect("no panic while held").pop() else { return };
            // It may have been confirmed without ever getting its 200: its verifier and instance show that it is the same.
            phone.login["code_verifier"] = json!(VERIFIER);
            let request = with_code_of(&aor(&phone.user), &phone.login, &phone.user);
            phone.tries += 1;
            match client.request(&request) {
                Ok(reply) if reply.status == 200 => {
                    let key = shared(&phone.login, &request, &reply);
                    self.registered.lock().expect("no panic while held").insert(phone.user, key);
                    continue;
                }
                Ok(reply) if reply.status == 503 => self.later.fetch_add(1, Relaxed),
                // What became of its code has died with a process: its user signs in anew.
                Ok(reply) if reply.status == 401 && phone.tries > 1 => self.later.fetch_add(1, Relaxed),
                Ok(reply) => {
                    let line = format!("{}: {} {}", phone.user, reply.status, reply.reason);
                    self.refused.lock().expect("no panic while held").push(line);
                    continue;
                }
                Err(_) => {
                    // Nobody listens, until the proxy is started again.
                    std::thread::sleep(Duration::from_millis(100));
                    self.unanswered.fetch_add(1, Relaxed)
                }
            };
            // Whoever was not answered asks again with the same code, then with a new one.
            if phone.tries >= TRIES {
                phone = Waiting { login: server.code(&phone.user), user: phone.user, tries: 0 };
            }
            self.waiting.lock().expect("no panic while held").insert(0, phone);
        }
    }

    /// Proofs of these phones; each must be accepted.
    fn prove(&self, stack: &Stack, users: &[String]) {
        let mut client = stack.udp();
        for user in users {
            let key = self.registered.lock().expect("no panic while held")[user].clone();
            let reply = stack.request(&mut client, &prove(&key, Request::register(&aor(user))));
            assert_eq!(reply.status, 200, "{user} has got its 200 before: {reply:?}\n{}", stack.module_log());
        }
    }

    fn some(&self, random: &mut Random, count: usize) -> Vec<String> {
        let registered = self.registered.lock().expect("no panic while held");
        let users: Vec<&String> = registered.keys().collect();
        (0..count.min(users.len())).map(|_| users[random.below(users.len() as u64) as usize].clone()).collect()
    }
}

/// Runs, and is no more than its entry in the list of processes.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    Path::new(&format!("/proc/{pid}")).exists() && stat.contains("(kamailio)") && !matches!(state, Some('Z' | 'X'))
}

fn gone(pids: &[u32], limit: Duration) -> bool {
    patience::until(limit, || !pids.iter().any(|pid| runs(*pid)))
}

/// Kills, and buries what is left; how long the proxy took to end by itself, if it did.
fn kill(mut stack: Stack, victim: Victim, random: &mut Random) -> Option<Duration> {
    let processes = stack.kamailio.processes();
    let pids: Vec<u32> = processes.iter().map(|(pid, _)| *pid).collect();
    let io = processes.iter().find(|(_, name)| name == "auth_oauth io").expect("the module's own process").0;
    let main = stack.kamailio.pid();
    let workers = stack.kamailio.udp_workers();
    let start = Instant::now();
    let kill = |pid: String| signal("KILL", &pid);
    match victim {
        Victim::Worker => kill(workers[random.below(workers.len() as u64) as usize].to_string()),
        Victim::Io => kill(io.to_string()),
        Victim::Main => kill(main.to_string()),
        Victim::All => kill(format!("-{main}")),
    }
    let ended = stack.kamailio.wait_for_end(PATIENCE).then(|| start.elapsed());
    if matches!(victim, Victim::Main) {
        assert!(gone(&[io], PATIENCE), "the module's process outlives its proxy");
    }
    let log = stack.bury();
    assert!(gone(&pids, PATIENCE), "processes are left over");
    assert_whole(&log);
    ended
}

fn assert_whole(log: &str) {
    for trouble in ["another store_key, or was changed", "cannot be read: ", "internal error", "damaged", "panick"] {
        assert!(!log.contains(trouble), "{trouble}\n{log}");
    }
}

/// Every session that is listed is whole; by user.
fn listed(stack: &Stack) -> HashMap<String, usize> {
    let mut users = HashMap::new();
    let mut from = None;
    loop {
        let arguments: Vec<&str> = from.as_deref().into_iter().collect();
        let page = stack.rpc("auth_oauth.sessions_list", &arguments).expect("a list");
        from = None;
        for entry in page.split('{').skip(1) {
            let fields: HashMap<&str, &str> =
                entry.lines().filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.trim(), v.trim())).collect();
            if let Some(next) = fields.get("next") {
                from = Some((*next).to_owned());
                continue;
            }
            let user = fields["subject"];
            assert_eq!(fields["aor"], aor(user), "{entry}");
            assert!(fields["id"].len() == 32 && fields["provider"] == "test", "{entry}");
            assert!(fields["keys"] != "0" && fields["renewable"] == "1", "{entry}");
            *users.entry(user.to_owned()).or_default() += 1;
        }
        if from.is_none() {
            return users;
        }
    }
}

#[test]
fn who_has_got_a_200_stays_signed_in_whatever_is_killed() {
    let seed = std::env::var("SESSION_KILLS_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) * 7919 + 1);
    println!("SESSION_KILLS_SEED={seed}");
    let mut random = Random(seed);
    let started = Instant::now();
    let directory = Directory::new("kills");
    let server = CodeServer::start();
    let builder = stored("public-ua.cfg", &server.provider(), &directory).define("DEBUG", 2).workers(4);
    let builder = with_many_codes(builder, &directory);
    let fleet = Fleet::new(&server);
    let victims = [Victim::Worker, Victim::Io, Victim::All, Victim::Main];
    for round in 0..=KILLS {
        let stack = run(builder.clone());
        let before = server.contacts();
        fleet.prove(&stack, &fleet.some(&mut random, 10));
        assert_eq!(server.contacts(), before, "a proof needs no authorization server");
        // Of the phones that are left, each kill gets about as many as the others.
        let left = PHONES - fleet.count();
        let share = left as u64 * 3 / 2 / (KILLS - round + 1) as u64;
        let goal = if round == KILLS { PHONES } else { fleet.count() + random.below(share.max(1)) as usize };
        fleet.stop.store(false, Relaxed);
        let port = stack.kamailio.port();
        std::thread::scope(|scope| {
            let _stop = Stop(&fleet.stop);
            for _ in 0..LINES {
                scope.spawn(|| fleet.register(port, &server));
            }
            while fleet.count() < goal && started.elapsed() < Duration::from_secs(900) {
                std::thread::sleep(Duration::from_millis(2));
            }
            if round == KILLS {
                return finish(stack, &fleet, &server);
            }
            std::thread::sleep(Duration::from_millis(random.below(30)));
            let victim = victims[(seed as usize + round) % victims.len()];
            let count = fleet.count();
            let ended = kill(stack, victim, &mut random);
            println!("kill {round}: {victim:?} after {count} registrations; ended by itself after {ended:?}");
        });
    }
    let (later, unanswered) = (fleet.later.load(Relaxed), fleet.unanswered.load(Relaxed));
    println!("{PHONES} phones, {KILLS} kills, {later} times 503, {unanswered} unanswered, {:?}", started.elapsed());
}

fn finish(stack: Stack, fleet: &Fleet, server: &CodeServer) {
    let refused = fleet.refused.lock().expect("no panic while held").clone();
    assert!(refused.is_empty(), "{refused:?}\n{}", stack.module_log());
    assert_eq!(fleet.count(), PHONES, "not all in time\n{}", stack.module_log());
    let contacts = server.contacts();
    let users: Vec<String> = fleet.registered.lock().expect("no panic while held").keys().cloned().collect();
    fleet.prove(&stack, &users);
    assert_eq!(server.contacts(), contacts, "a proof needs no authorization server");
    let asked = server.asked();
    let twice: Vec<_> = asked.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "no code is sent twice, whoever dies: {twice:?}\n{}", stack.module_log());
    let listed = listed(&stack);
    for user in &users {
        assert!(listed.contains_key(user), "{user} is not listed");
    }
    println!("{} codes, {} sessions listed", asked.len(), listed.values().sum::<usize>());
    assert_whole(&stack.module_log());
    stack.finish();
}
