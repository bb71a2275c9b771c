// SPDX-License-Identifier: MIT OR Apache-2.0
//! The proxy's configuration, read by the proxy's own code: from the file of Kamailio or
//! OpenSIPS, a TOML file, or options.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use sipoauth_cli::script::{self, IncludedFiles, MAX_FILE, Parameter, Proxy};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::Source;

/// Where packages put the configuration of a proxy.
const USUAL: [(Proxy, &str); 2] =
    [(Proxy::Kamailio, "/etc/kamailio/kamailio.cfg"), (Proxy::OpenSips, "/etc/opensips/opensips.cfg")];

/// Which configuration to read. Without any of these it is the proxy's in /etc.
#[derive(Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigurationOptions {
    /// Kamailio's configuration: its modparam("auth_oauth", …) lines, with all that it includes
    /// [default: /etc/kamailio/kamailio.cfg, when no other option names a configuration]
    #[arg(long, value_name = "FILE.cfg")]
    pub kamailio: Option<PathBuf>,
    /// OpenSIPS's configuration, read in the same way [default: /etc/opensips/opensips.cfg, when there is none of Kamailio]
    #[arg(long, value_name = "FILE.cfg", conflicts_with = "kamailio")]
    pub opensips: Option<PathBuf>,
    /// A definition that Kamailio is started with (its option -A)
    #[arg(short = 'A', long = "define", value_name = "NAME[=VALUE]")]
    pub defines: Vec<String>,
    /// A TOML file, as config_file names it
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// One provider: name=…;issuer=…;audience=…;aor=…
    #[arg(long = "provider", value_name = "LINE")]
    pub providers: Vec<String>,
    /// One setting; wins over the files
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

/// A configuration that is not checked yet.
#[derive(Default)]
pub struct WrittenConfiguration {
    /// The settings of the files and the options.
    pub source: Source,
    /// Where the configuration came from, for messages.
    pub origin: String,
    /// The proxy whose file it was read from.
    pub proxy: Option<Proxy>,
    /// The files it was read from, as far as the tool knows them.
    pub files: Vec<PathBuf>,
    /// One sentence for each place that the proxy may read differently.
    pub notes: Vec<String>,
}

/// A valid configuration.
pub struct Configuration {
    /// Its parts, to be read again.
    pub written: WrittenConfiguration,
    /// The rules.
    pub policy: Policy,
}

impl ConfigurationOptions {
    /// Reads and checks the configuration. The error is the sentence with which the proxy would refuse to start.
    pub fn read(&self) -> Result<Configuration, String> {
        self.checked(self.written()?)
    }

    /// The same for commands that only judge tokens. It leaves out the store, because these commands do not need it and
    /// this user may not be able to read its key.
    pub fn read_for_tokens(&self) -> Result<Configuration, String> {
        let mut written = self.written()?;
        written.source.leave_out_store();
        self.checked(written)
    }

    /// The same for commands that only use the store. If the options describe the store completely, no file is read and
    /// none has to exist.
    pub fn read_for_store(&self) -> Result<Configuration, String> {
        let says = |key: &str| self.settings.iter().any(|setting| setting.starts_with(key));
        if self.is_named() || !says("store=") || !says("store_key=") && !says("store_key_file=") {
            return self.read();
        }
        let mut written = WrittenConfiguration::default();
        // A configuration needs a provider, but no request goes to this one.
        let nobody =
            "name=none;issuer=http://127.0.0.1;jwks_uri=http://127.0.0.1/;audience=none;clients=none;aor={sub}";
        written.source.add_provider(nobody).map_err(|e| e.0)?;
        self.add_settings(&mut written)?;
        self.checked(written)
    }

    fn checked(&self, written: WrittenConfiguration) -> Result<Configuration, String> {
        let bundle = written.source.load().map_err(|e| e.0)?;
        let policy = Policy::new(&bundle).map_err(|e| e.0)?;
        Ok(Configuration { written, policy })
    }

    /// Do the options name a configuration or a setting, or is there a file at the usual place?
    pub fn is_there(&self) -> bool {
        self.is_named() || !self.settings.is_empty() || usual().next().is_some()
    }

    fn is_named(&self) -> bool {
        self.kamailio.is_some() || self.opensips.is_some() || self.config.is_some() || !self.providers.is_empty()
    }

    /// Reads the configuration without checking it.
    pub fn written(&self) -> Result<WrittenConfiguration, String> {
        self.written_with(None)
    }

    /// The same with the file of a proxy that shows itself which proxy it is for.
    pub fn written_with(&self, file: Option<&Path>) -> Result<WrittenConfiguration, String> {
        let mut written = WrittenConfiguration::default();
        let mut origins = Vec::new();
        if let Some((proxy, path)) = self.script(file)? {
            self.read_script(path, proxy, &mut written)?;
            origins.push(path.display().to_string());
        }
        if let Some(path) = &self.config {
            let text = path.to_str().ok_or_else(|| format!("--config {}: is not UTF-8", path.display()))?;
            written.source.set("config_file", text).map_err(|e| e.0)?;
            written.files.push(path.clone());
            origins.push(text.to_owned());
        }
        for line in &self.providers {
            written.source.add_provider(line).map_err(|e| format!("--provider: {e}"))?;
        }
        self.add_settings(&mut written)?;
        if !self.providers.is_empty() || !self.settings.is_empty() {
            origins.push("options".into());
        }
        written.origin = origins.join(", ");
        Ok(written)
    }

    fn add_settings(&self, written: &mut WrittenConfiguration) -> Result<(), String> {
        for setting in &self.settings {
            let Some((key, value)) = setting.split_once('=') else {
                return Err(format!("--set {setting}: write KEY=VALUE"));
            };
            written.source.set(key, value).map_err(|e| format!("--set: {e}"))?;
        }
        Ok(())
    }

    /// The file of a proxy that is to be read, and the proxy, if it is known.
    fn script<'a>(&'a self, file: Option<&'a Path>) -> Result<Option<(Option<Proxy>, &'a Path)>, String> {
        let named = [(Proxy::Kamailio, &self.kamailio), (Proxy::OpenSips, &self.opensips)];
        let named = named.into_iter().find_map(|(proxy, path)| Some((Some(proxy), path.as_deref()?)));
        let named = named.or(file.map(|path| (None, path)));
        if named.is_some() || self.is_named() {
            return Ok(named);
        }
        let found: Vec<(Proxy, &str)> = usual().collect();
        match found.as_slice() {
            [(proxy, path)] => Ok(Some((Some(*proxy), Path::new(*path)))),
            [] => Err(format!(
                "no configuration is named, and neither {} nor {} is there; write --kamailio FILE.cfg, --opensips FILE.cfg, --config FILE.toml or --provider LINE",
                USUAL[0].1, USUAL[1].1
            )),
            [(_, one), (_, other), ..] => Err(format!(
                "no configuration is named, and both {one} and {other} are there; write --kamailio {one} or --opensips {other}"
            )),
        }
    }

    fn read_script(&self, path: &Path, named: Option<Proxy>, written: &mut WrittenConfiguration) -> Result<(), String> {
        let script = script::read(path, named, &self.defines, &System).map_err(|e| e.0)?;
        written.proxy = Some(script.proxy);
        for parameter in &script.parameters {
            let file = parameter.place.rsplit_once(':').map_or("", |place| place.0);
            if !written.files.iter().any(|known| known == Path::new(file)) {
                written.files.push(file.into());
            }
            set_parameter(parameter, script.proxy, written)
                .map_err(|sentence| format!("{}: modparam: {sentence}", parameter.place))?;
        }
        for (key, value) in script.location {
            written.source.set(key, value).map_err(|e| e.0)?;
        }
        written.notes.extend(script.notes);
        Ok(())
    }
}

/// The configurations that are at their usual places.
fn usual() -> impl Iterator<Item = (Proxy, &'static str)> {
    USUAL.into_iter().filter(|(_, path)| Path::new(path).exists())
}

fn set_parameter(parameter: &Parameter, proxy: Proxy, written: &mut WrittenConfiguration) -> Result<(), String> {
    let (key, value) = (parameter.key.as_str(), parameter.value.as_str());
    let own = proxy.module_only();
    if own.contains(&key) {
        return Ok(());
    }
    if key == "provider" {
        return written.source.add_provider(value).map_err(|e| e.0);
    }
    if Proxy::Kamailio.module_only().contains(&key) {
        return Err(format!("{key}: {}'s module has no such parameter; remove this line", proxy.name()));
    }
    let near = own.iter().find(|known| strsim::damerau_levenshtein(key, known) <= 2);
    written
        .source
        .set(key, value)
        .map_err(|e| near.map_or(e.0, |near| format!("unknown key '{key}', did you mean '{near}'?")))?;
    if key == "config_file" {
        written.files.push(value.into());
    }
    Ok(())
}

struct System;

impl IncludedFiles for System {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        // The limit is for devices, which never end. The one octet beyond it shows that a file is too long.
        File::open(path)?.take(MAX_FILE as u64 + 1).read_to_end(&mut octets)?;
        Ok(octets)
    }

    fn environment(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}
