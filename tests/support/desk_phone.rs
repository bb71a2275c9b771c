// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debian's baresip and Linphone as phones that call, take calls at once, and transfer them, all over UDP and without
//! sound devices. They have no password.

use super::patience::{self, PATIENCE};
use super::process::{Process, command};
use super::temporary::Directory;
use super::{kit, ports};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Neither other tests nor the system take ports from here.
const SOUND_PORTS: &str = "31000-32700";
const POLL: Duration = Duration::from_millis(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Baresip,
    Linphone,
}

/// A registered phone; it ends when it is dropped.
pub struct DeskPhone {
    pub kind: Kind,
    process: Process,
    home: Directory,
}

impl DeskPhone {
    /// The phone of `sip:user@example.test` at the proxy with this port, once it is registered.
    pub fn start(kind: Kind, user: &str, port: u16) -> DeskPhone {
        let home = Directory::new("desk-phone");
        let start = match kind {
            Kind::Baresip => baresip(user, port, &home),
            Kind::Linphone => linphone(user, port, &home),
        };
        let process = Process::start(user, start, home.path());
        let mut phone = DeskPhone { kind, process, home };
        phone.register();
        phone
    }

    fn register(&mut self) {
        if self.kind == Kind::Baresip {
            self.wait_for("} 200 OK");
            return;
        }
        self.process.send_line("soundcard use files");
        self.process.send_line("autoanswer enable");
        let deadline = Instant::now() + PATIENCE;
        while !self.process.output().contains("registered, identity=") {
            assert!(Instant::now() < deadline && self.process.poll().is_none(), "{}", self.output());
            self.process.send_line("status register");
            thread::sleep(POLL);
        }
    }

    /// Calls this user, until both hear each other.
    pub fn call(&mut self, user: &str) {
        let command = if self.kind == Kind::Baresip { "/dial" } else { "call" };
        self.process.send_line(&format!("{command} sip:{user}@example.test"));
        self.wait_for_call(user);
    }

    /// Asks the other party of the call to call this user instead.
    pub fn transfer(&mut self, user: &str) {
        let command = if self.kind == Kind::Baresip { "/transfer" } else { "transfer" };
        self.process.send_line(&format!("{command} sip:{user}@example.test"));
    }

    /// Waits until a call with this user goes on, whoever has called.
    pub fn wait_for_call(&mut self, user: &str) {
        match self.kind {
            Kind::Baresip => self.wait_for(&format!("Call established: sip:{user}@")),
            Kind::Linphone => self.wait_for(&format!("Media streams established with sip:{user}@")),
        }
    }

    /// Waits until the phone says that a transfer has failed.
    pub fn wait_for_refusal(&mut self) {
        let text = match self.kind {
            Kind::Baresip => "transfer failed: 403 Forbidden",
            Kind::Linphone => "changed from [LinphoneCallOutgoingInit] to [LinphoneCallError]",
        };
        assert!(patience::until(PATIENCE, || self.output().contains(text)), "no refusal\n{}", self.output());
    }

    fn wait_for(&mut self, text: &str) {
        self.process.wait_for(text, PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Waits until the phone has got a NOTIFY with this status.
    pub fn wait_for_notify(&mut self, status: u16) {
        assert!(patience::until(PATIENCE, || self.notified().contains(&status)), "no NOTIFY\n{}", self.output());
    }

    /// What it printed, and the SIP messages that it has sent and got.
    pub fn output(&self) -> String {
        // baresip prints the messages
        let log = std::fs::read(self.home.file("messages.log")).unwrap_or_default();
        self.process.output() + &String::from_utf8_lossy(&log)
    }

    /// The statuses of all responses for a method, in order.
    pub fn statuses(&self, method: &str) -> Vec<u16> {
        let is_of = |line: &StartLine| line.method.as_deref() == Some(method);
        start_lines(&self.output()).iter().filter(|line| is_of(line)).filter_map(StartLine::status).collect()
    }

    /// The statuses in the bodies of all NOTIFY requests, in order.
    pub fn notified(&self) -> Vec<u16> {
        let lines = start_lines(&self.output());
        let notifies = lines.windows(2).filter(|pair| pair[0].text.starts_with("NOTIFY ") && pair[1].method.is_none());
        notifies.filter_map(|pair| pair[1].status()).collect()
    }
}

/// The first line of a message, or of the body of a NOTIFY, which has no CSeq.
struct StartLine {
    text: String,
    /// That of CSeq.
    method: Option<String>,
}

impl StartLine {
    fn status(&self) -> Option<u16> {
        self.text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }
}

fn start_lines(text: &str) -> Vec<StartLine> {
    let mut found: Vec<StartLine> = Vec::new();
    for line in text.lines() {
        if line.starts_with("SIP/2.0 ") || line.ends_with(" SIP/2.0") {
            found.push(StartLine { text: line.to_owned(), method: None });
        } else if let (Some(value), Some(last)) = (line.strip_prefix("CSeq: "), found.last_mut()) {
            last.method = value.split(' ').nth(1).map(str::to_owned);
        }
    }
    found
}

fn baresip(user: &str, port: u16, home: &Directory) -> Command {
    let local = ports::free();
    home.write(
        "config",
        format!(
            "sip_listen 127.0.0.1:{local}\nnet_interface 127.0.0.1\nrtp_ports {SOUND_PORTS}\n\
             audio_player aubridge,{user}\naudio_source aubridge,{user}\naudio_alert aubridge,{user}\n\
             module_path /usr/lib/baresip/modules\nmodule stdio.so\nmodule g711.so\nmodule aubridge.so\n\
             module_tmp uuid.so\nmodule_app account.so\nmodule_app menu.so\nstatmode_default off\n"
        ),
    );
    home.write(
        "accounts",
        format!(
            "<sip:{user}@example.test;transport=udp>;auth_user={user};auth_pass=none;answermode=auto;\
             outbound=\"sip:127.0.0.1:{port};transport=udp\";regint=60\n"
        ),
    );
    home.write("contacts", "");
    let mut start = command(kit::program("baresip"));
    start.args(["-4", "-s", "-f"]).arg(home.path()).env("HOME", home.path());
    start
}

fn linphone(user: &str, port: u16, home: &Directory) -> Command {
    let local = ports::free();
    let settings = home.write(
        "linphonerc",
        format!(
            "[sip]\nsip_port={local}\nsip_tcp_port=0\nbind_address=127.0.0.1\nguess_hostname=0\n\
             register_only_when_network_is_up=0\ndefault_proxy=0\n\
             [rtp]\naudio_rtp_port={SOUND_PORTS}\n[video]\ncapture=0\ndisplay=0\n\
             [proxy_0]\nreg_proxy=<sip:127.0.0.1:{port};transport=udp>\n\
             reg_route=<sip:127.0.0.1:{port};transport=udp;lr>\nreg_identity=sip:{user}@example.test\n\
             reg_expires=60\nreg_sendregister=1\npublish=0\n"
        ),
    );
    std::fs::create_dir_all(home.file(".local/share/linphone")).expect("a writable directory");
    let mut start = command(kit::program("linphonec"));
    start.args(["-d", "6", "-l"]).arg(home.file("messages.log")).arg("-c").arg(settings).env("HOME", home.path());
    start
}
