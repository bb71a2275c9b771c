// SPDX-License-Identifier: MIT OR Apache-2.0
//! Work that waits for a thread. Its senders take turns, so nobody waits behind all that one sender has sent.

use std::collections::{BTreeMap, HashMap, VecDeque};

/// The work of one destination, by sender. The work of one sender keeps its order.
struct Line<T> {
    /// Senders with waiting work, in the order of their turns.
    order: VecDeque<u32>,
    by_sender: HashMap<u32, VecDeque<T>>,
}

/// Work by destination: the name of a provider, or nothing for the store. The waiting room bounds how much there is,
/// because each piece has requests that wait.
pub struct Turns<T>(BTreeMap<String, Line<T>>);

impl<T> Default for Turns<T> {
    fn default() -> Turns<T> {
        Turns(BTreeMap::new())
    }
}

impl<T> Line<T> {
    fn push(&mut self, sender: u32, work: T) {
        if !self.by_sender.contains_key(&sender) {
            self.order.push_back(sender);
        }
        self.by_sender.entry(sender).or_default().push_back(work);
    }

    /// Senders who have nothing that may begin keep their place in the order.
    fn take(&mut self, may_begin: impl Fn(&T) -> bool) -> Option<(u32, T)> {
        let by_sender = &self.by_sender;
        let mut places = self.order.iter().enumerate();
        let (turn, place) =
            places.find_map(|(turn, sender)| Some((turn, by_sender.get(sender)?.iter().position(&may_begin)?)))?;
        let sender = self.order.remove(turn)?;
        let own = self.by_sender.get_mut(&sender)?;
        let work = own.remove(place)?;
        if own.is_empty() {
            self.by_sender.remove(&sender);
        } else {
            self.order.push_back(sender);
        }
        Some((sender, work))
    }

    fn put_back(&mut self, sender: u32, work: T) {
        self.order.retain(|other| *other != sender);
        self.order.push_front(sender);
        self.by_sender.entry(sender).or_default().push_front(work);
    }

    fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.by_sender.retain(|_, own| {
            own.retain(&keep);
            !own.is_empty()
        });
        let by_sender = &self.by_sender;
        self.order.retain(|sender| by_sender.contains_key(sender));
    }
}

impl<T> Turns<T> {
    /// More work of this sender.
    pub fn push(&mut self, destination: &str, sender: u32, work: T) {
        self.line(destination).push(sender, work);
    }

    /// The next work that may begin, and its sender, who has had his turn with it.
    pub fn take(&mut self, destination: &str, may_begin: impl Fn(&T) -> bool) -> Option<(u32, T)> {
        let line = self.0.get_mut(destination)?;
        let taken = line.take(may_begin);
        if line.order.is_empty() {
            self.0.remove(destination);
        }
        taken
    }

    /// Work that was taken could not begin. It is the next one again.
    pub fn put_back(&mut self, destination: &str, sender: u32, work: T) {
        self.line(destination).put_back(sender, work);
    }

    /// Drops all other work.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.0.retain(|_, line| {
            line.retain(&keep);
            !line.order.is_empty()
        });
    }

    /// Where work waits for.
    pub fn destinations(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// All waiting work.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.values().flat_map(|line| line.by_sender.values().flatten())
    }

    fn line(&mut self, destination: &str) -> &mut Line<T> {
        if !self.0.contains_key(destination) {
            let line = Line { order: VecDeque::new(), by_sender: HashMap::new() };
            self.0.insert(destination.to_owned(), line);
        }
        self.0.get_mut(destination).expect("it is there now")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(turns: &mut Turns<&'static str>, destination: &str) -> Vec<&'static str> {
        std::iter::from_fn(|| turns.take(destination, |_| true)).map(|(_, work)| work).collect()
    }

    #[test]
    fn senders_take_turns_and_each_keeps_its_order() {
        let mut turns = Turns::default();
        for work in ["a1", "a2", "a3", "a4"] {
            turns.push("corp", 1, work);
        }
        turns.push("corp", 2, "b1");
        turns.push("other", 1, "o1");
        assert_eq!(turns.take("corp", |_| true), Some((1, "a1")));
        turns.push("corp", 3, "c1");
        turns.push("corp", 2, "b2");
        assert_eq!(all(&mut turns, "corp"), ["b1", "a2", "c1", "b2", "a3", "a4"]);
        assert_eq!(turns.destinations().collect::<Vec<_>>(), ["other"]);
        assert_eq!(all(&mut turns, "other"), ["o1"]);
    }

    #[test]
    fn work_that_may_not_begin_holds_nobody_up_and_keeps_its_turn() {
        let mut turns = Turns::default();
        for (sender, work) in [(1, "a1"), (1, "a2"), (2, "b1"), (2, "b2")] {
            turns.push("corp", sender, work);
        }
        assert_eq!(turns.take("corp", |work| work.starts_with('b')), Some((2, "b1")));
        assert_eq!(turns.take("corp", |work| *work != "a1"), Some((1, "a2")));
        assert_eq!(turns.take("corp", |_| false), None);
        turns.put_back("corp", 1, "a2");
        assert_eq!(all(&mut turns, "corp"), ["a2", "b2", "a1"]);
    }

    #[test]
    fn what_nobody_waits_for_leaves_nothing_behind() {
        let mut turns = Turns::default();
        for (sender, work) in [(1, "a1"), (1, "a2"), (2, "b1")] {
            turns.push("corp", sender, work);
        }
        turns.retain(|work| *work == "a2");
        assert_eq!(turns.iter().collect::<Vec<_>>(), [&"a2"]);
        turns.retain(|_| false);
        assert!(turns.0.is_empty());
    }
}
