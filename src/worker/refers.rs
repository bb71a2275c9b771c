// SPDX-License-Identifier: MIT OR Apache-2.0
//! REFER and its events in a worker: judges, accepts, takes subscriptions and publications. NOTIFY requests leave from the
//! I/O process, see `io_process::refer_events`.

use super::Handling;
use super::replies::Reply;
use super::result::CheckResult;
use super::senders::{sender, sent_by};
use crate::process::context::{Context, PlacedPolicy};
use crate::process::job::{Asker, Job, NOBODY, Subscribe, Work};
use crate::shared::counters::Counter;
use crate::shared::refer_table::{Ended, MOST_OWNER, Place, Refer, ReferTable};
use crate::shared::waiting_room::{Party, Rules};
use sipoauth_core::check::Request;
use sipoauth_core::ports::Level;
use sipoauth_core::refer::dialog::{NotifyDialog, Side};
use sipoauth_core::refer::progress::Status;
use sipoauth_core::refer::publication::Publication;
use sipoauth_core::refer::reason::{ReferReason, Refusal};
use sipoauth_core::refer::reference::{Reference, Subscribing, TargetDialog, judge, judge_acceptable, judge_protected};
use sipoauth_core::refer::rules::{Protected, ReferRules, SCOPE, Subscribers};
use sipoauth_core::refer::state_id::{StateId, parse_publisher, publisher_text};
use sipoauth_core::refer::subscriber::ends_subscription;
use sipoauth_core::refer::subscription::{Subscription, cseq};
use sipoauth_core::rules::scope_rules::has_scopes;
use sipoauth_core::sip::message::MessageView;
use sipoauth_core::sip::sender::Sender;
use sipoauth_core::text::fingerprint::printable;

/// What the host says of the socket at which a request came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Socket<'a> {
    /// The host's own name for it.
    pub number: u64,
    /// `HOST:PORT`, as others reach it.
    pub address: &'a str,
}

/// A request about a REFER.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// Where it came from.
    pub handling: &'a Handling<'a>,
    /// Where it arrived.
    pub socket: Socket<'a>,
    /// The check that has accepted its sender, if one has.
    pub accepted: Option<&'a CheckResult>,
    /// The last CSeq of whoever the notifier speaks for in the dialog of a REFER.
    pub cseq: u32,
}

/// What becomes of a request about a REFER.
#[derive(Default)]
pub struct ReferAnswer {
    /// Why it is refused.
    pub reason: Option<ReferReason>,
    /// The answer; status 0: the request goes on.
    pub reply: Reply,
    /// What a REFER says. Empty for other requests.
    pub facts: ReferFacts,
    /// The name of the state; empty when there is none.
    pub id: String,
    /// The URI at which it may be seen by SUBSCRIBE; empty when there is none.
    pub events_uri: String,
    /// The URI at which the state may be changed by PUBLISH; empty when there is none.
    pub publish_uri: String,
    /// What the I/O process must do once the answer has left.
    begins: Option<Box<Subscribe>>,
}

/// What a REFER says.
#[derive(Default)]
pub struct ReferFacts {
    /// How its sender learns what becomes of it. None: the request is no REFER.
    pub subscribing: Option<Subscribing>,
    /// The URI of Refer-To.
    pub refer_to: String,
    /// Call-ID, local tag and remote tag of Target-Dialog; empty when there is none.
    pub target: [String; 3],
}

impl ReferFacts {
    fn new(reference: &Reference<'_>) -> ReferFacts {
        let target = reference
            .target
            .map_or([""; 3], |TargetDialog { call_id, local_tag, remote_tag }| [call_id, local_tag, remote_tag]);
        ReferFacts {
            subscribing: Some(reference.subscribing),
            refer_to: reference.refer_to.to_owned(),
            target: target.map(str::to_owned),
        }
    }
}

/// Handles the requests of one process.
pub struct Refers<'w> {
    pub(super) context: &'w Context,
    pub(super) placed: &'w PlacedPolicy,
    /// Unix milliseconds.
    pub(super) now: i64,
}

type Judged<T> = Result<T, Refusal>;

impl<'w> Refers<'w> {
    fn table(&self) -> ReferTable<'w> {
        self.context.arena().refers()
    }

    fn rules(&self) -> ReferRules {
        ReferRules::new(&self.placed.policy.settings)
    }

    fn minute(&self) -> u64 {
        (self.now / 60_000).unsigned_abs()
    }

    /// Judges a request that passes, see [`judge`].
    pub fn check(&self, asked: &Asked<'_>) -> ReferAnswer {
        self.answer(asked, |message, answer| {
            let reference = judge(asked.request.method, message, &self.rules())?;
            answer.facts = reference.as_ref().map(ReferFacts::new).unwrap_or_default();
            Ok(())
        })
    }

    /// Accepts a REFER in the role of its event server: 200, with Refer-Events-At if its sender wants to subscribe.
    pub fn accept(&self, asked: &Asked<'_>) -> ReferAnswer {
        self.answer(asked, |message, answer| {
            let (rules, over_tls) = (self.rules(), is_over_tls(asked));
            let reference = read(asked, message, &rules)?;
            answer.facts = ReferFacts::new(&reference);
            judge_acceptable(&reference, message, &rules, over_tls)?;
            let own_target = reference.in_dialog.then(|| message.request_uri()).flatten();
            if reference.subscribing == Subscribing::None {
                let contact = own_target.map_or_else(|| self.uri(asked, ""), str::to_owned);
                answer.reply = Reply::new(200, "OK", format!("Contact: <{contact}>\r\n"));
                return Ok(());
            }
            if reference.subscribing == Subscribing::Implicit {
                // before a place is taken for it
                cseq(message)?;
                self.dialog(asked, message, "", "")?;
            }
            let (refer, id) = self.add(asked, &rules)?;
            self.name(asked, &id, answer);
            let contact = own_target.unwrap_or(&answer.events_uri).to_owned();
            let mut headers = format!("Contact: <{contact}>\r\n");
            if reference.subscribing == Subscribing::Explicit {
                headers.push_str(&format!("Refer-Events-At: <{}>\r\n", answer.events_uri));
            } else {
                headers.push_str("Allow-Events: refer\r\n");
                let begun = self.begin_implicit(asked, message, &reference, refer, &contact);
                answer.begins = Some(begun.inspect_err(|_| self.give_up(refer))?);
            }
            answer.reply = Reply::new(200, "OK", headers);
            self.count(Counter::RefersAccepted);
            Ok(())
        })
    }

    /// Whether a REFER would be accepted or followed. Nothing is counted or kept.
    pub fn look(&self, asked: &Asked<'_>) -> ReferAnswer {
        self.answer(asked, |message, _| {
            let rules = self.rules();
            let reference = read(asked, message, &rules)?;
            judge_protected(&reference, message, &rules, is_over_tls(asked))?;
            if reference.subscribing == Subscribing::None {
                return Ok(());
            }
            let (settings, shared, minute) =
                (&self.placed.policy.settings, self.context.arena().shared(), self.minute());
            let address = self.owner(asked, &rules)?;
            let has_room = shared.source_refers.has_room(&self.sender(asked), minute, settings.source_limit)
                && shared.address_refers.used(address, minute) < settings.refer_limit;
            match (has_room, self.table().has_room()) {
                (false, _) => Err(ReferReason::Limited.into()),
                (true, false) => Err(ReferReason::Full.into()),
                (true, true) => Ok(()),
            }
        })
    }

    /// Whose limit a REFER counts for: the user who sent it, or whoever it says that this was.
    fn owner<'a>(&self, asked: &Asked<'a>, rules: &ReferRules) -> Judged<&'a str> {
        match asked.accepted.map_or("", CheckResult::granted_aor) {
            "" if rules.subscribers == Subscribers::Owner => Err(ReferReason::OwnerUnknown.into()),
            "" => Ok(asked.request.from),
            owner if owner.len() > MOST_OWNER && rules.subscribers == Subscribers::Owner => {
                Err(ReferReason::OwnerUnknown.into())
            }
            owner => Ok(owner),
        }
    }

    /// Follows a REFER that goes on to a phone of before RFC 7614: whoever told its state later tells the subscribers. Its
    /// answer gets the URI of the events from the host.
    pub fn follow(&self, asked: &Asked<'_>) -> ReferAnswer {
        self.answer(asked, |message, answer| {
            let rules = self.rules();
            let reference = read(asked, message, &rules)?;
            answer.facts = ReferFacts::new(&reference);
            judge_protected(&reference, message, &rules, is_over_tls(asked))?;
            if reference.subscribing == Subscribing::Explicit {
                let (_, id) = self.add(asked, &rules)?;
                self.name(asked, &id, answer);
                self.count(Counter::RefersAccepted);
            }
            Ok(())
        })
    }

    /// Gives an answer the names of a state.
    fn name(&self, asked: &Asked<'_>, id: &StateId, answer: &mut ReferAnswer) {
        answer.id = id.text();
        answer.events_uri = self.uri(asked, &answer.id);
        answer.publish_uri = self.uri(asked, &publisher_text(id, &self.table().publisher_key(id)));
    }

    /// Adds a REFER to those that are followed.
    fn add(&self, asked: &Asked<'_>, rules: &ReferRules) -> Judged<(Refer<'w>, StateId)> {
        let (settings, shared) = (&self.placed.policy.settings, self.context.arena().shared());
        let address = self.owner(asked, rules)?;
        let owner = asked.accepted.map_or("", CheckResult::granted_aor);
        let sender = self.sender(asked);
        // the source comes first, so that a source beyond its limit takes nothing from an address
        let allowed = shared.source_refers.allow(&sender, self.minute(), settings.source_limit)
            && shared.address_refers.allow(address, self.minute(), settings.refer_limit);
        if !allowed {
            return Err(ReferReason::Limited.into());
        }
        let until = self.now + i64::from(settings.refer_lifetime) * 1000;
        Ok(self.table().add(owner, self.now, until).ok_or(ReferReason::Full)?)
    }

    /// The subscription that a REFER without an option tag creates in its own dialog.
    fn begin_implicit(
        &self,
        asked: &Asked<'_>,
        message: &MessageView<'_>,
        reference: &Reference<'_>,
        refer: Refer<'_>,
        contact: &str,
    ) -> Judged<Box<Subscribe>> {
        let number = cseq(message)?;
        // In a dialog there may have been a REFER before this one, so its events need a name (RFC 3515 section 2.4.6).
        let event_id = if reference.in_dialog { number.to_string() } else { String::new() };
        let (dialog, hash) = self.dialog(asked, message, contact, &event_id)?;
        self.look_for_room()?;
        let seat = refer.sit(hash, refer.until(), number).ok_or(ReferReason::SubscriptionsFull)?;
        self.count(Counter::ReferSubscriptions);
        Ok(Box::new(Subscribe {
            place: refer.place,
            seat,
            dialog,
            event_id,
            socket: asked.socket.number,
            cseq: asked.cseq,
        }))
    }

    /// Answers a SUBSCRIBE for the events of a REFER: a new one, a refresh, or the end of one.
    pub fn subscribe(&self, asked: &Asked<'_>) -> ReferAnswer {
        self.answer(asked, |message, answer| {
            let subscription = Subscription::read(message)?;
            let missing =
                if subscription.to_tag.is_some() { ReferReason::NoSubscription } else { ReferReason::Unknown };
            let (refer, id) = self.find(asked, subscription.user).ok_or(missing)?;
            answer.id = id.text();
            self.authorize(asked, refer)?;
            let contact = self.uri(asked, &answer.id);
            let seconds = self.granted(refer, subscription.expires);
            let until = self.now + i64::from(seconds) * 1000;
            let event_id = subscription.event_id;
            let (dialog, hash) = self.dialog(asked, message, &contact, event_id)?;
            let begins = match refer.seat_of(hash) {
                Some(seat) => self.refresh(asked, refer, seat, subscription.cseq, until)?,
                None if subscription.to_tag.is_some() => return Err(ReferReason::NoSubscription.into()),
                None => {
                    self.allow_subscription(asked)?;
                    self.look_for_room()?;
                    let seat = refer.sit(hash, until, subscription.cseq);
                    match seat {
                        Some(_) => self.count(Counter::ReferSubscriptions),
                        // a copy of the request has it
                        None if refer.seat_of(hash).is_some() => {}
                        None => return Err(ReferReason::SubscriptionsFull.into()),
                    }
                    seat
                }
            };
            answer.begins = begins.map(|seat| {
                let (place, socket) = (refer.place, asked.socket.number);
                Box::new(Subscribe { place, seat, dialog, event_id: event_id.to_owned(), socket, cseq: 0 })
            });
            let headers = format!("Expires: {seconds}\r\nContact: <{contact}>\r\nAllow-Events: refer\r\n");
            answer.reply = Reply::new(200, "OK", headers);
            Ok(())
        })
    }

    /// For how many seconds a subscription or publication is taken: as asked, but not for longer than the REFER lasts.
    fn granted(&self, refer: Refer<'_>, asked: Option<u32>) -> u32 {
        let left = seconds_up(refer.until() - self.now);
        asked.map_or(left, |asked| asked.min(left))
    }

    /// Takes a request within the dialog of a seat. Returns the seat if the subscriber is to be told where it is now.
    fn refresh(
        &self,
        asked: &Asked<'_>,
        refer: Refer<'_>,
        seat: usize,
        cseq: u32,
        until: i64,
    ) -> Judged<Option<usize>> {
        let seconds = until - self.now;
        let before = refer.next_cseq(seat, cseq);
        if cseq < before {
            return Err(ReferReason::OutOfOrder.into());
        }
        if cseq == before {
            return Ok(None); // a copy of the request before
        }
        if refer.status().is_final() || refer.seat_has_failed(seat) || self.now >= refer.seat_until(seat) {
            return Err(ReferReason::NoSubscription.into());
        }
        self.allow_subscription(asked)?;
        if seconds > 0 {
            self.look_for_room()?;
        }
        refer.extend(seat, until);
        if seconds == 0 {
            refer.note_change();
            self.context.jobs().wake();
        }
        Ok((seconds > 0).then_some(seat))
    }

    /// Takes what the user agent that acts on a REFER publishes about it.
    pub fn publish(&self, asked: &Asked<'_>) -> ReferAnswer {
        self.answer(asked, |message, answer| {
            let publication = Publication::read(message, asked.request.message.body)?;
            let named = parse_publisher(publication.user);
            let genuine = |(id, key): &(StateId, [u8; 16])| {
                let own = self.table().publisher_key(id);
                aws_lc_rs::constant_time::verify_slices_are_equal(&own, key).is_ok()
            };
            let found = named.filter(genuine).and_then(|(id, _)| Some((self.table().find(&id)?, id)));
            let (refer, id) = found.ok_or_else(|| self.guessed(asked))?;
            answer.id = id.text();
            if publication.changes.is_some_and(|tag| tag != entity_tag(refer)) {
                return Err(ReferReason::EntityTag.into());
            }
            if let Some(status) = publication.status {
                // Whatever comes after the end changes nothing; the publisher is told so by the entity-tag.
                let _ = self.tell(refer, status);
            }
            let seconds = self.granted(refer, publication.expires);
            let headers = format!("SIP-ETag: {}\r\nExpires: {seconds}\r\n", entity_tag(refer));
            answer.reply = Reply::new(200, "OK", headers);
            Ok(())
        })
    }

    /// Takes a status from a script or a command. None when there is no such REFER.
    pub fn update(&self, id: &StateId, status: Status) -> Option<Result<(), Ended>> {
        Some(self.tell(self.table().find(id)?, status))
    }

    fn tell(&self, refer: Refer<'_>, status: Status) -> Result<(), Ended> {
        refer.update(status, self.now)?;
        self.context.jobs().wake();
        Ok(())
    }

    /// Takes note that a NOTIFY was answered.
    pub fn notified(&self, subscription: u64, code: u32) {
        if !ends_subscription(code) {
            return;
        }
        let (place, seat) = Place::and_seat(subscription);
        if self.table().get(place).is_some_and(|refer| refer.fail(seat)) {
            self.context.jobs().wake();
            self.count(Counter::ReferNotifyErrors);
        }
    }

    /// Has the I/O process begin what an answer has promised, now that the answer has left.
    pub fn begin(&self, answer: &mut ReferAnswer) {
        let Some(work) = answer.begins.take() else { return };
        let (place, seat) = (work.place, work.seat);
        if self.submit(Work::Subscribe(work)).is_err() {
            // Between the look and now all places were taken. The subscriber hears nothing and comes again.
            self.context.log().log(Level::Warn, "a subscription was lost: the queue to the I/O process is full");
            if let Some(refer) = self.table().get(place) {
                refer.leave(seat);
            }
        }
    }

    fn submit(&self, work: Work) -> Result<(), ReferReason> {
        let waiting = &self.context.arena().shared().waiting;
        let deadline = self.now + i64::from(self.placed.policy.settings.pending_timeout) * 1000;
        let place = waiting.take(Party::default(), &self.room(), deadline).map_err(|_| ReferReason::Full)?;
        let job = Job { work, asker: Asker { deadline, cookies: NOBODY, place } };
        let sent = self.context.jobs().send(self.context.arena().job_slots(), &job);
        sent.map_err(|_| {
            waiting.give_back(&place);
            ReferReason::Full
        })
    }

    fn room(&self) -> Rules {
        Rules { all: self.placed.policy.settings.max_pending as usize, several: false, now: self.now }
    }

    /// An error when the I/O process could not take one more subscription.
    fn look_for_room(&self) -> Judged<()> {
        let shared = self.context.arena().shared();
        let is_deaf = shared.deaf.load(std::sync::atomic::Ordering::Relaxed) != 0;
        let has_room = !is_deaf && shared.waiting.look(Party::default(), &self.room()).is_ok();
        if has_room { Ok(()) } else { Err(ReferReason::Full.into()) }
    }

    /// Forgets a REFER to which its sender was never given a way.
    fn give_up(&self, refer: Refer<'_>) {
        let _ = refer.update(Status::UNAVAILABLE, self.now);
    }

    /// The REFER whose name is the user of a URI. A name that is none costs its sender a use.
    fn find(&self, asked: &Asked<'_>, user: &str) -> Option<(Refer<'w>, StateId)> {
        let id = StateId::parse(user);
        let found = id.and_then(|id| Some((self.table().find(&id)?, id)));
        if found.is_none() {
            self.guessed(asked);
        }
        found
    }

    fn guessed(&self, asked: &Asked<'_>) -> Refusal {
        self.count(Counter::ReferGuesses);
        let _ = self.allow_subscription(asked);
        ReferReason::Unknown.into()
    }

    /// Counts what a source begins, or guesses.
    fn allow_subscription(&self, asked: &Asked<'_>) -> Judged<()> {
        let limit = self.placed.policy.settings.source_limit.saturating_mul(10);
        let subscriptions = &self.context.arena().shared().source_subscriptions;
        let allowed = subscriptions.allow(&self.sender(asked), self.minute(), limit);
        if allowed { Ok(()) } else { Err(ReferReason::Limited.into()) }
    }

    fn authorize(&self, asked: &Asked<'_>, refer: Refer<'_>) -> Judged<()> {
        let accepted = asked.accepted.filter(|accepted| accepted.granted.is_some());
        let allowed = match self.rules().subscribers {
            Subscribers::Anybody => true,
            Subscribers::TokenHolders => {
                accepted.is_some_and(|accepted| has_scopes(accepted.granted_scope(), &[SCOPE.to_owned()]))
            }
            Subscribers::Owner => accepted
                .is_some_and(|accepted| !accepted.granted_aor().is_empty() && accepted.granted_aor() == refer.owner()),
        };
        if allowed { Ok(()) } else { Err(ReferReason::NotAllowed.into()) }
    }

    fn sender(&self, asked: &Asked<'_>) -> Sender {
        let handling = sent_by(&self.placed.policy, asked.request, asked.handling);
        sender(self.context, &handling, self.now)
    }

    /// The dialog that a request begins or belongs to, and its hash.
    fn dialog(
        &self,
        asked: &Asked<'_>,
        message: &MessageView<'_>,
        contact: &str,
        event_id: &str,
    ) -> Judged<(NotifyDialog, u64)> {
        let (address, port) = asked.request.source;
        let transport = asked.request.transport;
        let bracketed = if address.contains(':') && !address.starts_with('[') {
            format!("[{address}]")
        } else {
            address.to_owned()
        };
        let source = format!("sip:{bracketed}:{port};transport={transport}");
        let tag = std::str::from_utf8(asked.request.message.reply_to_tag).unwrap_or_default();
        let dialog = NotifyDialog::new(message, &Side { tag, contact, source: &source })?;
        let view = dialog.view();
        let named = (view.call_id, view.remote_tag, view.local_tag, event_id);
        let hash = self.context.arena().shared().places.hash(named).max(1);
        Ok((dialog, hash))
    }

    /// A URI of this event server with this user; empty: the server itself.
    fn uri(&self, asked: &Asked<'_>, user: &str) -> String {
        let transport = asked.request.transport;
        let sips = match self.rules().protected {
            Protected::Always => true,
            Protected::Preferred => is_over_tls(asked),
            Protected::Never => false,
        };
        let scheme = if sips { "sips" } else { "sip" };
        let (at, gr) = if user.is_empty() { ("", "") } else { ("@", ";gr") };
        let configured = &self.placed.policy.settings.refer_host;
        if !configured.is_empty() {
            return format!("{scheme}:{user}{at}{configured}{gr}");
        }
        // with sips the transport is TLS, whatever lies below
        let transport = match transport {
            "tcp" => ";transport=tcp",
            "ws" => ";transport=ws",
            "wss" if sips => ";transport=ws",
            "wss" => ";transport=wss",
            "tls" if !sips => ";transport=tls",
            "sctp" => ";transport=sctp",
            _ => "",
        };
        format!("{scheme}:{user}{at}{}{transport}{gr}", asked.socket.address)
    }

    /// Runs a judgement and makes the answer of a refusal.
    fn answer(
        &self,
        asked: &Asked<'_>,
        judge: impl FnOnce(&MessageView<'_>, &mut ReferAnswer) -> Judged<()>,
    ) -> ReferAnswer {
        let mut answer = ReferAnswer::default();
        let message = MessageView::new(asked.request.octets).ok_or(ReferReason::Malformed.into());
        if let Err(refusal) = message.and_then(|message| judge(&message, &mut answer)) {
            self.refuse(asked, &mut answer, refusal);
        }
        answer
    }

    fn refuse(&self, asked: &Asked<'_>, answer: &mut ReferAnswer, refusal: Refusal) {
        let Refusal { reason, mut headers } = refusal;
        let status = reason.status();
        if status == 503 {
            headers.push_str(&format!("Retry-After: {}\r\n", self.placed.policy.settings.retry_after));
        }
        self.context.arena().shared().counters.add_refer_reason(reason);
        let (source, method) = (asked.handling.source, printable(asked.request.method, 32));
        let from = printable(asked.request.from, 128);
        let line = format!("{status} {}: {} method={method} from={from} source={source}", reason.code(), reason.text());
        self.context.log().log(if status == 503 { Level::Warn } else { Level::Info }, &line);
        answer.reason = Some(reason);
        answer.reply = Reply::new(status, reason.phrase(), headers);
        answer.begins = None;
    }

    fn count(&self, counter: Counter) {
        self.context.arena().shared().counters.add(counter);
    }
}

/// A REFER that keeps the rules, see [`judge`].
fn read<'a>(asked: &Asked<'_>, message: &MessageView<'a>, rules: &ReferRules) -> Judged<Reference<'a>> {
    Ok(judge(asked.request.method, message, rules)?.ok_or(ReferReason::Malformed)?)
}

fn is_over_tls(asked: &Asked<'_>) -> bool {
    matches!(asked.request.transport, "tls" | "wss")
}

/// Names a state of publication (RFC 3903 section 4.1).
fn entity_tag(refer: Refer<'_>) -> String {
    format!("r{}", refer.changes())
}

/// Milliseconds in whole seconds, rounded up; 0 for a time that is over.
fn seconds_up(millis: i64) -> u32 {
    u32::try_from((millis.max(0) + 999) / 1000).unwrap_or(u32::MAX)
}
