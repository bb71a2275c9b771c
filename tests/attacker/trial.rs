// SPDX-License-Identifier: MIT OR Apache-2.0

//! Plays each cell of the table: an honest phone, an attacker, and what becomes of both.

use crate::moves::{self, Before, Move};
use crate::phone::Sip;
use crate::stage::{Material, Stage};
use crate::support::patience::{self, PATIENCE};
use crate::table::{Rule, When, rule};
use crate::ways::{Way, carried};
use sipoauth_core::reason::Reason;
use std::fmt::Write as _;

/// From where a changed request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// As if it were the phone's own.
    Own,
    /// From the attacker's address, port and connection, in a transaction of his own.
    Foreign,
}

/// The whole row of a way to sign in.
pub fn of(way: Way) {
    let mut stage = Stage::new(way);
    let mut faults = String::new();
    let shows = std::env::var_os("ATTACKER_SHOWS").is_some();
    for when in When::ALL {
        for mv in Move::ALL {
            for path in [Path::Own, Path::Foreign] {
                if path == Path::Foreign && mv.keeps_octets() {
                    continue;
                }
                let expected = rule(way, *when, *mv);
                let Some(seen) = play(&mut stage, *when, *mv, path) else {
                    let fits = matches!(expected, Rule::Impossible) || *when == When::Confirmed;
                    assert!(fits, "{way:?} {when:?} {mv:?}: the move does nothing, and the table does not know it");
                    continue;
                };
                if shows {
                    println!("{way:?} {when:?} {mv:?} {path:?}: {} {:?}", seen.status, seen.reason);
                }
                if let Err(fault) = judge(way, *when, &expected, &seen, path) {
                    let Seen { status, reason, .. } = seen;
                    let _ = writeln!(faults, "{way:?} {when:?} {mv:?} {path:?}: {status} {reason:?}, {fault}");
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

struct Seen {
    status: u32,
    reason: Reason,
    /// The honest request, once more: 0 where nothing can be said of it.
    honest: u32,
}

/// None where the move does nothing to such a request.
fn play(stage: &mut Stage, when: When, mv: Move, path: Path) -> Option<Seen> {
    let way = stage.way;
    let (sip, own) = stage.prepare();
    let (_, others) = stage.prepare();
    let mut attempt = moves::apply(mv, way, &sip, &own, &others)?;
    if path == Path::Foreign {
        attempt.sip = moves::from_elsewhere(attempt.sip);
    }
    if when != When::First {
        let verdict = stage.ask(&sip, &own, false, 0);
        let got = (verdict.status, verdict.answer.carried);
        assert_eq!(
            got,
            (200, carried(way)),
            "{way:?} {mv:?}: {:?}\n{}",
            verdict.answer.reason(),
            stage.proxy.log.text()
        );
        if when == When::Confirmed {
            if verdict.ticket.is_empty() {
                return None;
            }
            stage.confirm(&sip, &verdict);
        }
    }
    match attempt.before {
        Before::Nothing => {}
        Before::Revocation => stage.revoke(&own.aor),
        Before::Reload => stage.reload(),
    }
    let verdict = stage.ask(&attempt.sip, &own, attempt.at_other_proxy, attempt.later);
    let honest = match attempt.before == Before::Nothing && attempt.later == 0 {
        true => stage.ask(&sip, &own, false, 0).status,
        false => 0,
    };
    Some(Seen { status: verdict.status, reason: verdict.answer.reason(), honest })
}

fn judge(way: Way, when: When, expected: &Rule, seen: &Seen, path: Path) -> Result<(), String> {
    let refusal = match expected {
        Rule::Refused(reasons) | Rule::Burnt(reasons, _) => Some(*reasons),
        Rule::Accepted(_) | Rule::NotCovered(_) | Rule::Impossible => None,
    };
    if let Rule::Burnt(_, why) | Rule::Accepted(why) | Rule::NotCovered(why) = expected {
        assert!(why.len() > 20, "{way:?}: a sentence says why");
    }
    if let Some(reasons) = refusal {
        return refused(reasons, matches!(expected, Rule::Refused(_)), seen, path);
    }
    match expected {
        Rule::Impossible => Err("though the table says that it cannot be done".into()),
        Rule::Accepted(why) | Rule::NotCovered(why) if path == Path::Own && seen.status != 200 => {
            Err(format!("though it must be accepted: {why}"))
        }
        // A move that the phone itself may make has, from elsewhere, the same result as the unchanged octets from there.
        Rule::Accepted(_) | Rule::NotCovered(_) if path == Path::Foreign => {
            let elsewhere = rule(way, when, Move::OtherAddress);
            match (&elsewhere, seen.status) {
                (Rule::Refused(_) | Rule::Burnt(..), 200) => Err("though it comes from elsewhere".into()),
                (Rule::Accepted(why) | Rule::NotCovered(why), status) if status != 200 => {
                    Err(format!("though it must be accepted: {why}"))
                }
                _ => Ok(()),
            }
        }
        Rule::Refused(_) | Rule::Burnt(..) | Rule::Accepted(_) | Rule::NotCovered(_) => Ok(()),
    }
}

/// `unharmed`: the phone's own request must be accepted afterwards.
fn refused(reasons: &[Reason], unharmed: bool, seen: &Seen, path: Path) -> Result<(), String> {
    if seen.status == 200 {
        return Err("though it must be refused".into());
    }
    if seen.status >= 500 && !reasons.contains(&seen.reason) {
        return Err("though no outage is there".into());
    }
    // From elsewhere there may be an earlier reason.
    if path == Path::Own && !reasons.contains(&seen.reason) {
        return Err(format!("expected {reasons:?}"));
    }
    if unharmed && seen.honest != 0 && seen.honest != 200 {
        return Err(format!("and the honest phone gets {} afterwards", seen.honest));
    }
    Ok(())
}

/// A proxy that hears of changes while it reads asks to come again.
fn ask_patiently(stage: &mut Stage, sip: &Sip, own: &Material, at_other_proxy: bool, later: i64) -> (u32, Reason) {
    let mut got = (0, Reason::Internal);
    patience::until(PATIENCE, || {
        let verdict = stage.ask(sip, own, at_other_proxy, later);
        got = (verdict.status, verdict.answer.reason());
        got.0 != 503
    });
    got
}

/// For 32 s the same message is a retransmission at the other proxy of the cluster, too, and later a replay.
fn the_same_message_elsewhere(stage: &mut Stage) {
    for (later, wanted) in [(20, (200, Reason::Ok)), (40, (403, Reason::PopReplayed))] {
        let (sip, own) = stage.prepare();
        assert_eq!(ask_patiently(stage, &sip, &own, false, 0), (200, Reason::Ok), "{:?}", stage.way);
        let got = ask_patiently(stage, &sip, &own, true, later);
        assert_eq!(got, wanted, "{:?}, {later} s later\n{}", stage.way, stage.other.log.text());
    }
}

/// Proofs and codes at two proxies with `replay_scope=cluster`.
pub fn of_cluster() {
    use crate::support::redis::{PASSWORD, Redis};
    use crate::support::temporary::Directory;
    let directory = Directory::new("attacker");
    let password = directory.write("password", PASSWORD);
    for way in [Way::ProofInBody, Way::ProofInHeader, Way::TokenAndProof, Way::Refresh, Way::KeyDerivation] {
        let redis = Redis::start(&[]);
        let settings = serde_json::json!({
            "store": format!("redis://127.0.0.1:{}/0", redis.port()),
            "store_password_file": password,
            "store_size": null,
            "replay_scope": "cluster",
            // What is read now is still known to a request that is judged later.
            "store_cache": 300,
        });
        let mut stage = Stage::with(way, &settings);
        for mv in [Move::OtherProxy, Move::OtherAddress, Move::OtherBranch] {
            let (sip, own) = stage.prepare();
            let mut attempt = moves::apply(mv, way, &sip, &own, &own).expect("octets that stay");
            attempt.at_other_proxy = true;
            if mv == Move::OtherProxy {
                attempt.sip = moves::from_elsewhere(attempt.sip);
            }
            let patiently =
                |stage: &mut Stage, sip: &Sip, at_other_proxy| ask_patiently(stage, sip, &own, at_other_proxy, 0);
            assert_eq!(patiently(&mut stage, &sip, false), (200, Reason::Ok), "{way:?}\n{}", stage.proxy.log.text());
            let got = patiently(&mut stage, &attempt.sip, true);
            assert_eq!(got, (403, Reason::PopReplayed), "{way:?} {mv:?}\n{}", stage.other.log.text());
            assert_eq!(patiently(&mut stage, &sip, false), (200, Reason::Ok), "{way:?}: the phone's retransmission");
        }
        the_same_message_elsewhere(&mut stage);
    }
}
