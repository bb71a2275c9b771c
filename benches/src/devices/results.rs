// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the turns of the proxies come to.

use super::load::{Cost, Pace, Turn};
use super::site::Kind;
use crate::part::{Figure, Goal, Ratio};
use crate::rounds::Spread;

/// The turns of one proxy at one pace, round by round.
pub struct Turns {
    /// The proxy.
    pub kind: Kind,
    /// How it was loaded.
    pub pace: Pace,
    /// Its turns.
    pub turns: Vec<Turn>,
}

/// Everything that was measured.
pub struct Costs {
    /// All turns.
    pub all: Vec<Turns>,
    /// Phones.
    pub phones: usize,
    /// Registrations in one turn.
    pub count: usize,
    /// Copies of requests.
    pub repeated: u64,
    /// Of the registrations in the last turn of the proxy as in sign-in-page.cfg, how many the store knows of.
    pub noted: usize,
}

/// Requests in a second: half as many registrations, because each takes two.
pub const PACE: Pace = Pace::PerSecond(2000);

/// Microseconds out of a turn.
type Value = fn(&Turn) -> f64;

fn of(cost: Cost) -> f64 {
    cost.proxy
}

const REGISTRATION: Value = |turn| of(turn.challenge) + of(turn.answer);
const WITH_DATABASE: Value = |turn| REGISTRATION(turn) + turn.challenge.database + turn.answer.database;
const DATABASE: Value = |turn| turn.challenge.database + turn.answer.database;
/// A registration that is like the one before, so that the store need not be told.
const COMES_AGAIN: Value = |turn| of(turn.challenge) + of(turn.again);
const NONCE_AGAIN: Value = |turn| of(turn.noted);

impl Costs {
    fn values(&self, kind: Kind, pace: Pace, value: Value) -> Vec<f64> {
        let turns = self.all.iter().find(|turns| turns.kind == kind && turns.pace == pace);
        turns.map_or(Vec::new(), |turns| turns.turns.iter().map(value).collect())
    }

    fn ratio(&self, pace: Pace, (above, below): (Kind, Kind), value: Value) -> Option<Spread> {
        let below = self.values(below, pace, value);
        (!below.is_empty()).then(|| Spread::of_ratios(&self.values(above, pace, value), &below))
    }

    /// The differences of the rounds.
    fn difference(&self, above: (Kind, Value), below: (Kind, Value)) -> Spread {
        let (above, below) = (self.values(above.0, PACE, above.1), self.values(below.0, PACE, below.1));
        let differences: Vec<f64> = above.iter().zip(&below).map(|(above, below)| above - below).collect();
        Spread::of(&differences)
    }
}

/// The ratio of this part.
pub fn ratios(costs: &Costs) -> Vec<Ratio> {
    let measured = costs.ratio(PACE, (Kind::AnyPhone, Kind::Sqlite), REGISTRATION);
    let note = match measured {
        None => "Kamailio's db_sqlite module or sqlite3 is not installed".to_owned(),
        Some(_) => format!(
            "{} phones, {} registrations in a turn; each is challenged once and answered with qop=auth. The store, or the \
             table, is in files of this machine, and what stores the use later is counted, too",
            costs.phones, costs.count
        ),
    };
    vec![
        Goal("22a", "registration with a device password ÷ with auth_db on SQLite, 1,000 a second, CPU", 1.15, 1.0)
            .at_most(measured, &note),
    ]
}

/// Plain figures.
pub fn figures(costs: &Costs) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut add = |group: &str, name: &str, value: Spread, unit: &str| {
        figures.push(Figure { group: group.into(), name: name.into(), value, unit: unit.into() });
    };
    let paces = [(PACE, "1,000 registrations a second"), (Pace::Full, "at full speed")];
    for (pace, at) in paces {
        let rows: [(&str, Value); 6] = [
            ("both requests", REGISTRATION),
            ("both requests of a phone that registers every few minutes", COMES_AGAIN),
            ("the one without credentials", |turn| of(turn.challenge)),
            ("the one with them", |turn| of(turn.answer)),
            ("one request with a nonce used before", NONCE_AGAIN),
            ("the same, and the use is known already", |turn| of(turn.again)),
        ];
        for (what, value) in rows {
            let group = format!("CPU of the proxy per registration by Digest, {at}: {what}");
            for kind in Kind::ALL {
                let values = costs.values(kind, pace, value);
                if !values.is_empty() {
                    add(&group, kind.name(), Spread::of(&values), "µs");
                }
            }
        }
        let group = format!("Device passwords as in sign-in-page.cfg ÷ auth_db, CPU, {at}");
        for (name, below, value) in [
            ("÷ SQLite, both requests", Kind::Sqlite, REGISTRATION),
            ("÷ SQLite, both requests of a phone that registers every few minutes", Kind::Sqlite, COMES_AGAIN),
            ("÷ SQLite, one request with a nonce used before", Kind::Sqlite, NONCE_AGAIN),
            ("÷ PostgreSQL, both requests, without the database server", Kind::Postgres, REGISTRATION),
            ("÷ PostgreSQL, both requests, with the database server", Kind::Postgres, WITH_DATABASE),
            ("÷ PostgreSQL, one request with a nonce used before, without the server", Kind::Postgres, NONCE_AGAIN),
        ] {
            if let Some(ratio) = costs.ratio(pace, (Kind::AnyPhone, below), value) {
                add(&group, name, ratio, "×");
            }
        }
        for (name, value) in [
            ("÷ SQLite, both requests, without oauth_check", REGISTRATION),
            ("÷ SQLite, both requests of a phone that registers every few minutes, without oauth_check", COMES_AGAIN),
        ] {
            if let Some(ratio) = costs.ratio(pace, (Kind::Devices, Kind::Sqlite), value) {
                add(&group, name, ratio, "×");
            }
        }
        let server = costs.values(Kind::Postgres, pace, DATABASE);
        if !server.is_empty() {
            add(&format!("CPU of PostgreSQL per registration, {at}"), "all its processes", Spread::of(&server), "µs");
        }
    }
    let group = "Of a registration with a device password, 1,000 a second, CPU";
    let again: Value = |turn| of(turn.again);
    add(
        group,
        "oauth_check before it, both requests",
        costs.difference((Kind::AnyPhone, COMES_AGAIN), (Kind::Devices, COMES_AGAIN)),
        "µs",
    );
    add(
        group,
        "oauth_device_account, with credentials",
        costs.difference((Kind::AccountOnly, again), (Kind::Script, again)),
        "µs",
    );
    add(
        group,
        "oauth_device_account, without credentials",
        costs.difference((Kind::AccountOnly, |t| of(t.challenge)), (Kind::Script, |t| of(t.challenge))),
        "µs",
    );
    let accept = costs.difference((Kind::Devices, again), (Kind::AccountOnly, again));
    add(group, "oauth_device_accept, the use is known already", accept, "µs");
    let noting = costs.difference((Kind::AnyPhone, NONCE_AGAIN), (Kind::AnyPhone, again));
    add(group, "storing the use", noting, "µs");
    let group = "Uses and copies";
    add(group, &format!("last uses that the store knows, of {}", costs.count), Spread::exact(costs.noted as f64), "");
    add(group, "requests repeated, all proxies", Spread::exact(costs.repeated as f64), "");
    figures
}
