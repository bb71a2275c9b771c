#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The crate redis 1.8.1: a signal with a handler that comes while a connection with a read timeout waits for an answer ends
# that command with an error, with SA_RESTART too (Linux restarts no read of a socket with a timeout, signal(7)). The same
# crate waits on without a word where the connection has no timeout. The answer that comes later is thrown away, so whether a write
# was carried out cannot be learnt. Other readers of Rust's standard library (read_exact, BufRead) go on after such a signal.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cd "$work"
cat > Cargo.toml << END
package = { name = "interrupted", version = "1.0.0", edition = "2021" }
dependencies = { redis = { version = "=1.8.1", default-features = false }, libc = "=0.2.189" }
END
cat > src/main.rs << 'END'
use std::{io::{BufRead, BufReader, Write}, net::TcpListener, thread, time::Duration};
/// Answers every command with :1, and INCR after 300 ms with :42.
fn serve(listener: TcpListener) {
    for mut stream in listener.incoming().map(Result::unwrap) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        while let Some(head) = lines.next() {
            let words: Vec<String> = lines.by_ref().take(head[1..].parse::<usize>().unwrap() * 2).collect();
            let (pause, answer) = if words[1] == "INCR" { (300, ":42\r\n") } else { (0, ":1\r\n") };
            thread::sleep(Duration::from_millis(pause));
            let _ = stream.write_all(answer.as_bytes());
        }
    }
}
extern "C" fn handler(_: libc::c_int) {}
fn main() {
    unsafe { libc::signal(libc::SIGUSR1, handler as *const () as usize) }; // with SA_RESTART
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    thread::spawn(|| serve(listener));
    let this = unsafe { libc::pthread_self() };
    for (name, timeout) in [("none", None), ("5 s", Some(Duration::from_secs(5)))] {
        let mut connection = redis::Client::open(&*url).unwrap().get_connection().unwrap();
        connection.set_read_timeout(timeout).unwrap();
        let signal = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            unsafe { libc::pthread_kill(this, libc::SIGUSR1) };
        });
        let answer = redis::cmd("INCR").arg("n").query::<i64>(&mut connection);
        println!("timeout {name}: {:?}", answer.map_err(|e| (e.to_string(), e.is_timeout())));
        signal.join().unwrap();
        println!("next command: {:?}", redis::cmd("GET").arg("n").query::<i64>(&mut connection));
    }
}
END
cargo run --quiet > seen 2> log || { cat log; exit 1; }
cat seen
diff - seen << END
timeout none: Ok(42)
next command: Ok(1)
timeout 5 s: Err(("Interrupted system call (os error 4)", false))
next command: Ok(1)
END
