#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The crate aws-lc-rs 1.19.0 (aws-lc-sys 0.47.0), as it is built by default: the first random number that a process draws takes
# tens of milliseconds of CPU time, because AWS-LC gathers entropy from the processor's timing first. The next ones take
# microseconds. Each child pays anew, more than half of it if its parent has drawn some, so a server that forks its workers pays
# in each of them, at its first request. With AWS_LC_SYS_NO_JITTER_ENTROPY=1 set for the build it is gone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cd "$work"
cat > Cargo.toml << END
package = { name = "first", version = "1.0.0", edition = "2021" }
[dependencies]
aws-lc-rs = { version = "=1.19.0", default-features = false, features = ["aws-lc-sys"] }
aws-lc-sys = "=0.47.0"
libc = "=0.2.189"
END
cat > src/main.rs << 'END'
/// Microseconds of CPU time that one draw takes in this process.
fn draw() -> i64 {
    let now = || {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
        time.tv_sec * 1_000_000 + time.tv_nsec / 1000
    };
    let before = now();
    aws_lc_rs::rand::fill(&mut [0; 16]).unwrap();
    now() - before
}
fn show(what: &str) {
    let time = draw();
    eprintln!("{what}: {time} us");
    println!("{what}: {}", if time >= 5000 { "5 ms or more" } else { "less than 5 ms" });
}
/// Runs in a child, and waits for it.
fn child(run: impl FnOnce()) {
    let pid = unsafe { libc::fork() };
    if pid == 0 { run(); std::process::exit(0) }
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
}
fn main() {
    (0..2).for_each(|_| child(|| { show("worker, first"); show("worker, second") }));
    show("parent, first");
    child(|| show("child of a parent that has drawn one"));
}
END
cargo run --quiet > seen 2> log || { cat log; exit 1; }
grep ' us$' log
diff - seen << END
worker, first: 5 ms or more
worker, second: less than 5 ms
worker, first: 5 ms or more
worker, second: less than 5 ms
parent, first: 5 ms or more
child of a parent that has drawn one: 5 ms or more
END
