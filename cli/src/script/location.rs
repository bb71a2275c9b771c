// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the registrar and the location service of the proxy treat addresses, as settings of the library. In the proxy
//! the module asks these modules itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{Proxy, names};

/// A parameter that is a setting of the library: the setting is "yes" while the parameter is 0.
struct Row {
    module: &'static str,
    parameter: &'static str,
    setting: &'static str,
    /// Not 0 if no modparam sets it.
    default: bool,
}

const FOLDS_CASE: &str = "location_folds_case";
const IGNORES_DOMAIN: &str = "location_ignores_domain";

const KAMAILIO: [Row; 2] = [
    Row { module: "registrar", parameter: "case_sensitive", setting: FOLDS_CASE, default: false },
    Row { module: "usrloc", parameter: "use_domain", setting: IGNORES_DOMAIN, default: false },
];

/// In OpenSIPS the default of use_domain depends on the version.
const OPENSIPS: [Row; 3] = [
    Row { module: "registrar", parameter: "case_sensitive", setting: FOLDS_CASE, default: true },
    Row { module: "mid_registrar", parameter: "case_sensitive", setting: FOLDS_CASE, default: true },
    Row { module: "usrloc", parameter: "use_domain", setting: IGNORES_DOMAIN, default: false },
];

/// What the modparams of the modules say.
pub(super) struct Location {
    proxy: Proxy,
    values: BTreeMap<(&'static str, &'static str), bool>,
    /// Without its prefix a domain is the same as another one.
    has_prefix: bool,
}

impl Location {
    pub fn new(proxy: Proxy) -> Location {
        Location { proxy, values: BTreeMap::new(), has_prefix: false }
    }

    fn rows(&self) -> &'static [Row] {
        match self.proxy {
            Proxy::Kamailio => &KAMAILIO,
            Proxy::OpenSips => &OPENSIPS,
        }
    }

    /// Remembers a modparam of any module.
    pub fn modparam(&mut self, modules: &str, key: &str, value: &str) {
        for row in self.rows().iter().filter(|row| names(modules, row.module)) {
            match key {
                "realm_prefix" if row.setting == FOLDS_CASE => self.has_prefix = !value.is_empty(),
                key if key == row.parameter => {
                    let is_set = value.parse().is_ok_and(|number: i64| number != 0);
                    self.values.insert((row.module, row.parameter), is_set);
                }
                _ => {}
            }
        }
    }

    /// The settings, as far as the modules are loaded.
    pub fn settings(&self, loaded: &BTreeSet<String>) -> Vec<(&'static str, &'static str)> {
        let setting = |row: &Row| {
            let value = self.values.get(&(row.module, row.parameter)).copied().unwrap_or(row.default);
            let is_set = value && !(self.has_prefix && row.setting == IGNORES_DOMAIN);
            (row.setting, if is_set { "no" } else { "yes" })
        };
        self.rows().iter().filter(|row| loaded.contains(row.module)).map(setting).collect()
    }

    /// A sentence and its remedy when a setting depends on the version of the proxy.
    pub fn doubt(&self, loaded: &BTreeSet<String>) -> Option<&'static str> {
        let is_open = self.proxy == Proxy::OpenSips && loaded.contains("usrloc");
        (is_open && !self.values.contains_key(&("usrloc", "use_domain"))).then_some(
            "usrloc has no use_domain, whose default is 0 up to OpenSIPS 3.6 and 1 from 4.0: this tool takes 0; write \
             modparam(\"usrloc\", \"use_domain\", 1), or 0 if users of one name are one user in every domain",
        )
    }
}
