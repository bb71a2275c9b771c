// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debian's baresip, Linphone and Twinkle as phones that call, and take calls at once, without sound devices. baresip and
//! Linphone transfer calls, too.

use super::patience::{self, PATIENCE};
use super::process::{Process, command};
use super::temporary::Directory;
use super::{kit, ports};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const LINPHONE_SETTINGS: &str = "linphonerc";
const LINPHONE_MESSAGES: &str = "messages.log";
/// Neither other tests nor the system take ports from here.
const SOUND_PORTS: &str = "31000-32700";
const FIRST_SOUND_PORT: u16 = 31_000;
const POLL: Duration = Duration::from_millis(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Baresip,
    Linphone,
    /// Over UDP and TCP only; it does not take calls.
    Twinkle,
    /// `tools/test-phones.sh` installs it; it does not take calls.
    Pjsip,
}

/// What a user enters into a phone.
pub struct Line<'a> {
    /// The user of the address `sip:user@example.test`.
    pub user: &'a str,
    /// The authentication user.
    pub username: &'a str,
    pub password: &'a str,
    /// The proxy's port for the transport.
    pub port: u16,
    /// `udp`, `tcp` or `tls`
    pub transport: &'static str,
    /// Whose certificates the phone trusts.
    pub ca_file: Option<&'a Path>,
}

/// A registered phone; it ends when it is dropped.
pub struct DeskPhone {
    pub kind: Kind,
    process: Process,
    home: Directory,
}

impl DeskPhone {
    /// The phone of `sip:user@example.test` at the proxy with this port, once it is registered. It has no password.
    pub fn start(kind: Kind, user: &str, port: u16) -> DeskPhone {
        let line = Line { user, username: user, password: "none", port, transport: "udp", ca_file: None };
        DeskPhone::with_line(kind, &line)
    }

    /// A phone with this line, once it is registered.
    pub fn with_line(kind: Kind, line: &Line<'_>) -> DeskPhone {
        let mut phone = DeskPhone::trying(kind, line);
        phone.register();
        phone
    }

    /// A phone that tries to register.
    pub fn trying(kind: Kind, line: &Line<'_>) -> DeskPhone {
        let home = Directory::new("desk-phone");
        let start = match kind {
            Kind::Baresip => baresip(line, &home),
            Kind::Linphone => linphone(&linphone_line(line), line.transport, line.ca_file, &home),
            Kind::Twinkle => twinkle(line, &home),
            Kind::Pjsip => pjsip(line),
        };
        DeskPhone { kind, process: Process::start("phone", start, home.path()), home }
    }

    /// A Linphone that fetches its settings from this address, once it is registered.
    pub fn provisioned(address: &str, transport: &str, ca_file: Option<&Path>) -> DeskPhone {
        let home = Directory::new("desk-phone");
        let start = linphone(&format!("[misc]\nconfig-uri={address}\n"), transport, ca_file, &home);
        DeskPhone::registered(start, home)
    }

    /// Ends a Linphone and starts it again, with the settings that it has kept.
    pub fn restart(mut self) -> DeskPhone {
        self.process.send_line("quit");
        assert!(self.process.wait(PATIENCE).is_some(), "{}", self.output());
        let start = linphone_in(&self.home);
        DeskPhone::registered(start, self.home)
    }

    fn registered(linphone: Command, home: Directory) -> DeskPhone {
        let process = Process::start("phone", linphone, home.path());
        let mut phone = DeskPhone { kind: Kind::Linphone, process, home };
        phone.register();
        phone
    }

    /// The settings of a Linphone, as it has written them.
    pub fn settings(&self) -> String {
        std::fs::read_to_string(self.home.file(LINPHONE_SETTINGS)).expect("a file")
    }

    fn register(&mut self) {
        match self.kind {
            Kind::Baresip => return self.wait_for("} 200 OK"),
            Kind::Twinkle => return self.wait_for("registration succeeded"),
            Kind::Pjsip => return self.wait_for("registration success"),
            Kind::Linphone => {}
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

    /// Puts a Linphone's call on hold.
    pub fn hold(&mut self) {
        self.process.send_line("pause");
        self.wait_for(" paused.");
    }

    /// Asks the other party of a Linphone's first call to take over its second one.
    pub fn transfer_to_second_call(&mut self) {
        self.process.send_line("transfer 1 --to-call 2");
    }

    /// Waits until a call with this user goes on, whoever has called.
    pub fn wait_for_call(&mut self, user: &str) {
        match self.kind {
            Kind::Baresip => self.wait_for(&format!("Call established: sip:{user}@")),
            // One that was transferred to another call shows the whole of Refer-To, in brackets.
            Kind::Linphone => {
                let shown = ["", "<"].map(|bracket| format!("Media streams established with {bracket}sip:{user}@"));
                let goes_on = || shown.iter().any(|text| self.process.output().contains(text));
                assert!(patience::until(PATIENCE, goes_on), "no call with {user}\n{}", self.process.output());
            }
            Kind::Twinkle => self.wait_for("far end answered call"),
            Kind::Pjsip => self.wait_for("SDP negotiation done: Success"),
        }
    }

    /// Waits until the phone says that a transfer has failed.
    pub fn wait_for_refusal(&mut self) {
        let text = match self.kind {
            Kind::Baresip => "transfer failed: 403 Forbidden",
            Kind::Linphone => "changed from [LinphoneCallOutgoingInit] to [LinphoneCallError]",
            Kind::Twinkle | Kind::Pjsip => unreachable!("no test transfers with it"),
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
        // baresip and PJSIP print the messages
        let log = if self.kind == Kind::Twinkle { ".twinkle/twinkle.log" } else { LINPHONE_MESSAGES };
        let log = std::fs::read(self.home.file(log)).unwrap_or_default();
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

fn baresip(line: &Line<'_>, home: &Directory) -> Command {
    let Line { user, username, password, port, transport, ca_file } = line;
    let local = ports::free();
    let trusted = ca_file.map(|file| format!("sip_cafile {}\n", file.display())).unwrap_or_default();
    home.write(
        "config",
        format!(
            "sip_listen 127.0.0.1:{local}\nnet_interface 127.0.0.1\nrtp_ports {SOUND_PORTS}\n{trusted}\
             audio_player aubridge,{user}\naudio_source aubridge,{user}\naudio_alert aubridge,{user}\n\
             module_path /usr/lib/baresip/modules\nmodule stdio.so\nmodule g711.so\nmodule aubridge.so\n\
             module_tmp uuid.so\nmodule_app account.so\nmodule_app menu.so\nstatmode_default off\n"
        ),
    );
    home.write(
        "accounts",
        format!(
            "<sip:{user}@example.test;transport={transport}>;auth_user={username};auth_pass={password};\
             answermode=auto;outbound=\"sip:127.0.0.1:{port};transport={transport}\";regint=60\n"
        ),
    );
    home.write("contacts", "");
    let mut start = command(kit::program("baresip"));
    start.args(["-4", "-s", "-f"]).arg(home.path()).env("HOME", home.path());
    start
}

fn linphone_line(line: &Line<'_>) -> String {
    let Line { user, username, password, port, transport, .. } = line;
    // Linphone 5.1 finds no IP address in a certificate.
    let host = if *transport == "tls" { "localhost" } else { "127.0.0.1" };
    format!(
        "[proxy_0]\nreg_proxy=<sip:{host}:{port};transport={transport}>\n\
         reg_route=<sip:{host}:{port};transport={transport};lr>\nreg_identity=sip:{user}@example.test\n\
         reg_expires=60\nreg_sendregister=1\npublish=0\n\
         [auth_info_0]\nusername={user}\nuserid={username}\npasswd={password}\nrealm=example.test\n"
    )
}

/// With these lines of settings, ports for this transport, and trust in this authority.
fn linphone(lines: &str, transport: &str, ca_file: Option<&Path>, home: &Directory) -> Command {
    let ports: String = [("sip_port", "udp"), ("sip_tcp_port", "tcp"), ("sip_tls_port", "tls")]
        .map(|(name, of)| format!("{name}={}\n", if of == transport { ports::free() } else { 0 }))
        .concat();
    let trusted = ca_file.map(|file| format!("root_ca={}\n", file.display())).unwrap_or_default();
    home.write(
        LINPHONE_SETTINGS,
        format!(
            "[sip]\n{ports}{trusted}bind_address=127.0.0.1\nguess_hostname=0\n\
             register_only_when_network_is_up=0\ndefault_proxy=0\n\
             [rtp]\naudio_rtp_port={SOUND_PORTS}\n[video]\ncapture=0\ndisplay=0\n{lines}"
        ),
    );
    std::fs::create_dir_all(home.file(".local/share/linphone")).expect("a writable directory");
    linphone_in(home)
}

fn linphone_in(home: &Directory) -> Command {
    let mut start = command(kit::program("linphonec"));
    start.args(["-d", "6", "-l"]).arg(home.file(LINPHONE_MESSAGES));
    start.arg("-c").arg(home.file(LINPHONE_SETTINGS)).env("HOME", home.path());
    start
}

fn twinkle(line: &Line<'_>, home: &Directory) -> Command {
    let Line { user, username, password, port, transport, .. } = line;
    // It listens at all addresses, and the number itself is taken at one of them (`ports`).
    let sip = ports::free() + 1;
    let sound = FIRST_SOUND_PORT + ports::free() % 1600;
    std::fs::create_dir_all(home.file(".twinkle")).expect("a writable directory");
    // It makes no call without a sound device; ALSA has one that does nothing.
    home.write(
        ".twinkle/twinkle.sys",
        format!(
            "sip_port={sip}\nrtp_port={sound}\ndev_ringtone=alsa:null\ndev_speaker=alsa:null\ndev_mic=alsa:null\n\
             log_show_sip=yes\n"
        ),
    );
    home.write(
        ".twinkle/line.cfg",
        format!(
            "user_name={user}\nuser_domain=example.test\nauth_realm=example.test\nauth_name={username}\n\
             auth_pass={password}\noutbound_proxy=127.0.0.1:{port}\nall_requests_to_proxy=yes\n\
             sip_transport={transport}\nregistration_time=60\nregister_at_startup=yes\npres_publish_startup=no\n"
        ),
    );
    let mut start = command(kit::program("twinkle-console"));
    start.arg("line.cfg").env("HOME", home.path());
    start
}

fn pjsip(line: &Line<'_>) -> Command {
    let Line { user, username, password, port, transport, ca_file } = line;
    let mut start = command("python3");
    start.arg(kit::path("tests/phones/pjsip.py")).args([user, "example.test", password, &port.to_string()]);
    start.args([transport, "PJSUA v2.15.1 Linux", username]).arg(ca_file.unwrap_or(Path::new("")));
    start.env("PYTHONPATH", kit::path("target/phones/pjsip"));
    start
}
