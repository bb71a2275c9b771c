// SPDX-License-Identifier: MIT OR Apache-2.0

//! A child process that cannot outlive its test: ended by `Drop`, and by the
//! kernel when this process dies in another way. Its output is kept in memory
//! and in a file.

use super::patience;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

const GRACE: Duration = Duration::from_secs(5);
/// How long a process must have printed nothing to count as quiet.
const QUIET: Duration = Duration::from_millis(250);
const POLL: Duration = Duration::from_millis(10);
/// Written into the pipes of a process by the test itself: what the process printed before comes out before it.
const MARK: &[u8] = b"\x01mark\x01\n";

/// A command whose process gets SIGTERM when the starting thread ends; see [`spawn`].
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// Copies a program that is to be run. Another process writes it: a file that this one has open for writing cannot be run
/// while any child that another test has just forked still has it open, too.
pub fn copy_program(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().expect("part of every system").success(), "{}", to.display());
}

#[derive(Default)]
struct Output {
    text: Mutex<String>,
    grown: Condvar,
    /// Pipes that may still bring something.
    open: AtomicUsize,
    /// Marks that have come out.
    marks: AtomicUsize,
}

impl Output {
    fn push(&self, line: &str) {
        self.text.lock().expect("no panic while held").push_str(line);
        self.grown.notify_all();
    }

    /// Waits until so many marks have come out, or nothing more can.
    fn wait_for_marks(&self, count: usize) {
        let deadline = Instant::now() + patience::PATIENCE;
        let mut text = self.text.lock().expect("no panic while held");
        while self.marks.load(Ordering::Acquire) < count && !self.is_complete() && Instant::now() < deadline {
            text = self.grown.wait_timeout(text, POLL).expect("no panic while held").0;
        }
    }

    fn is_complete(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }
}

pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    /// The ends of its pipes to which it writes; none once it has ended.
    writers: Mutex<Vec<PipeWriter>>,
    output: Arc<Output>,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts a command made by [`command`], in a process group of its own.
    /// Its output also goes to `<directory>/<name>.log`.
    pub fn start(name: &str, mut command: Command, directory: &Path) -> Self {
        let pipes: [(PipeReader, PipeWriter); 2] = std::array::from_fn(|_| pipe().expect("a pipe"));
        let end = |of: &PipeWriter| of.try_clone().expect("a descriptor");
        command.process_group(0).stdin(Stdio::piped()).stdout(end(&pipes[0].1)).stderr(end(&pipes[1].1));
        let mut child =
            spawn(command).unwrap_or_else(|error| panic!("{name} does not start: {error}; run tools/setup.sh"));
        let output = Arc::new(Output::default());
        let log = File::create(directory.join(format!("{name}.log"))).expect("a writable directory");
        let log = Arc::new(log);
        let mut writers = Vec::new();
        for (reader, writer) in pipes {
            collect(reader, &output, &log);
            writers.push(writer);
        }
        let stdin = child.stdin.take();
        Self { name: name.to_owned(), child, stdin, writers: Mutex::new(writers), output, status: None }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything printed so far, standard output and error together.
    pub fn output(&self) -> String {
        let writers = self.writers.lock().expect("no panic while held");
        let marks = self.output.marks.load(Ordering::Acquire) + writers.len();
        for mut writer in &*writers {
            writer.write_all(MARK).expect("its reader goes on until the end");
        }
        self.output.wait_for_marks(marks);
        drop(writers);
        self.output.text.lock().expect("no panic while held").clone()
    }

    /// Everything that the process printed. If it still runs, this waits until it has printed nothing for a while.
    pub fn settled_output(&mut self) -> String {
        loop {
            let before = self.output();
            let ended = self.poll().is_some();
            if patience::until(if ended { GRACE } else { QUIET }, || self.output.is_complete()) {
                return self.output();
            }
            // A process that outlived the first one may hold the pipes open.
            if self.output() == before {
                return before;
            }
        }
    }

    /// True when neither the process nor any of its children wants the processor.
    pub fn rests(&self) -> bool {
        let own = self.pid().to_string();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        let rests = |pid: &str| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The name in brackets may hold anything; the state follows it.
            stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('S'))
        };
        children.split_whitespace().chain([own.as_str()]).all(rests)
    }

    /// The last lines printed, for messages.
    pub fn tail(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// The first whole line that contains `needle`.
    pub fn wait_for(&mut self, needle: &str, timeout: Duration) -> Result<String, String> {
        let mut deadline = Instant::now() + timeout;
        let mut ended = false;
        loop {
            if !ended && self.poll().is_some() {
                // What it printed last may still be on its way through the pipes.
                ended = true;
                deadline = Instant::now() + GRACE;
            }
            let over = Instant::now() >= deadline || ended && self.output.is_complete();
            let text = self.output.text.lock().expect("no panic while held");
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            if let Some(line) = whole.lines().find(|line| line.contains(needle)) {
                return Ok(line.to_owned());
            }
            if over {
                let mut message = format!("{} never printed {needle:?}", self.name);
                if ended {
                    let _ = write!(message, "; it ended: {:?}", self.status);
                }
                drop(text);
                return Err(format!("{message}\n{}", self.tail()));
            }
            let _ = self.output.grown.wait_timeout(text, POLL * 5).expect("no panic while held");
        }
    }

    pub fn send_line(&mut self, line: &str) {
        if let Some(stdin) = &mut self.stdin {
            let _ = writeln!(stdin, "{line}");
        }
    }

    /// Its pipes end once nobody else holds them.
    fn has_ended(&mut self, status: ExitStatus) {
        self.status = Some(status);
        self.writers.lock().expect("no panic while held").clear();
    }

    /// The exit status, if the process has ended.
    pub fn poll(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            let status = self.child.try_wait().expect("our own child");
            if let Some(status) = status {
                self.has_ended(status);
            }
        }
        self.status
    }

    pub fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        while self.poll().is_none() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        self.status
    }

    /// Asks the process to end, then makes it; nothing of its group stays.
    pub fn stop(&mut self) -> ExitStatus {
        self.stdin = None;
        if self.poll().is_none() {
            signal("TERM", &self.pid().to_string());
            self.wait(GRACE);
        }
        signal("KILL", &format!("-{}", self.pid()));
        if self.status.is_none() {
            let _ = self.child.kill();
            let status = self.child.wait().expect("our own child");
            self.has_ended(status);
        }
        self.status.expect("ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Did the process end by a fault of its own?
pub fn crashed(status: ExitStatus) -> bool {
    const FAULTS: [i32; 5] = [libc::SIGSEGV, libc::SIGABRT, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];
    status.core_dumped() || status.signal().is_some_and(|signal| FAULTS.contains(&signal))
}

/// Sends a signal to a process id, or to a group when the number is negative.
pub fn signal(name: &str, target: &str) {
    let _ = Command::new("sh").args(["-c", "kill -s \"$0\" -- \"$1\"", name, target]).stderr(Stdio::null()).status();
}

/// Spawns from a thread that lives as long as this process. The kernel ties the
/// death signal to the thread that spawned, and test threads end early.
pub fn spawn(command: Command) -> io::Result<Child> {
    type Job = (Command, Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = channel::<Job>();
        thread::spawn(move || {
            for (mut command, reply) in queue {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(jobs)
    });
    let (reply, result) = channel();
    spawner
        .lock()
        .expect("no panic while held")
        .send((command, reply))
        .expect("the spawner lives as long as the process");
    result.recv().expect("the spawner answers every job")
}

fn collect(stream: impl Read + Send + 'static, output: &Arc<Output>, log: &Arc<File>) {
    let (output, log) = (Arc::clone(output), Arc::clone(log));
    output.open.fetch_add(1, Ordering::Relaxed);
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let marked = line.ends_with(MARK);
            if marked {
                line.truncate(line.len() - MARK.len());
            }
            let _ = (&*log).write_all(&line);
            output.push(&String::from_utf8_lossy(&line));
            if marked {
                output.marks.fetch_add(1, Ordering::Release);
                output.grown.notify_all();
            }
            line.clear();
        }
        output.open.fetch_sub(1, Ordering::Release);
        output.grown.notify_all();
    });
}
