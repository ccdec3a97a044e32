//! Rules without effect.

use std::fmt::Display;

use crate::parse::settings::{FilesystemSettings, Settings};
use crate::policy::spot::Spot;

/// Entries of a list that another one covers; of those that are the same, the later.
pub(super) fn repeated<T>(
    key: &str,
    list: &[T],
    covers: impl Fn(&T, &T) -> bool,
    shown: impl Fn(&T) -> String,
) -> Vec<String> {
    let mut found = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let over = |(at, other): &(usize, &T)| {
            *at != index && covers(other, item) && (*at < index || !covers(item, other))
        };
        if let Some((at, other)) = list.iter().enumerate().find(over) {
            let (what, with) = (shown(item), shown(other));
            found.push(match covers(item, other) {
                true => format!("{key}[{index}]: {what} stands in [{at}] already: remove it"),
                false => format!(
                    "{key}[{index}]: {what} adds nothing to {with} in [{at}]: remove one of them"
                ),
            });
        }
    }
    found
}

/// Plain lists that name something twice.
pub(super) fn lists(settings: &Settings) -> Vec<String> {
    fn twice<T: PartialEq>(key: &str, list: &[T], shown: impl Fn(&T) -> String) -> Vec<String> {
        repeated(key, list, T::eq, shown)
    }
    fn plain(item: &impl Display) -> String {
        item.to_string()
    }
    let network = &settings.network;
    let withheld = &settings.environment.deny;
    [
        twice("network.allowHostPorts", &network.host_ports, plain),
        twice("network.publishPorts", &network.published_ports, plain),
        repeated(
            "environment.deny",
            withheld,
            |a, b| a.covers(b),
            |_| "this".into(),
        ),
        twice("require", &settings.require, plain),
    ]
    .concat()
}

/// The filesystem section.
pub(super) fn paths(files: &FilesystemSettings, home: Option<&[u8]>) -> Vec<String> {
    let [deny_read, allow_read, allow_write, deny_write] = [
        &files.deny_read,
        &files.allow_read,
        &files.allow_write,
        &files.deny_write,
    ]
    .map(|list| Spot::all(list, home));
    let mut found = Vec::new();
    for rule in &allow_read {
        if let Some(denial) = deny_read.iter().find(|denial| rule.is(denial)) {
            let text = "on the same path the denial decides";
            let (key, by) = (rule.key, denial.key);
            found.push(format!(
                "{key}: {:?} has no effect, for {by} is {:?}: {text}; name what is in it",
                rule.written, denial.written
            ));
        } else if !deny_read.iter().any(|denial| denial.may_cover(rule)) {
            found.push(format!(
                "{}: {:?} has no effect, for no denyRead hides it: remove it",
                rule.key, rule.written
            ));
        }
    }
    for rule in &allow_write {
        if let Some(denial) = deny_write.iter().find(|denial| denial.covers(rule)) {
            found.push(format!(
                "{}: {:?} allows nothing, for {} is {:?}: remove one of them",
                rule.key, rule.written, denial.key, denial.written
            ));
        }
    }
    for denial in &deny_write {
        if !allow_write.iter().any(|rule| rule.may_meet(denial)) {
            found.push(format!(
                "{}: {:?} has no effect, for no allowWrite lets it be written: remove it",
                denial.key, denial.written
            ));
        }
    }
    let written = |spot: &Spot| format!("{:?}", spot.written);
    // Another rule may stand between the two, and then both say something.
    let hides = |above: &Spot, spot: &Spot| {
        let between = |rule: &Spot| rule.may_cover(spot) && !rule.covers(above);
        above.hides_all_of(spot) && (above.is(spot) || !allow_read.iter().any(between))
    };
    let shows = |above: &Spot, spot: &Spot| {
        let between = |denial: &Spot| {
            let outside = denial.covers(above) && !above.is(denial);
            denial.may_cover(spot) && !outside
        };
        above.covers(spot) && (above.is(spot) || !deny_read.iter().any(between))
    };
    found.extend(repeated("filesystem.denyRead", &deny_read, hides, written));
    found.extend(repeated(
        "filesystem.allowRead",
        &allow_read,
        shows,
        written,
    ));
    // In each directory that it names, srt holds names like .bashrc as well.
    let same = |one: &Spot, other: &Spot| one.is(other);
    found.extend(repeated(
        "filesystem.allowWrite",
        &allow_write,
        same,
        written,
    ));
    let denies = |above: &Spot, spot: &Spot| above.covers(spot);
    found.extend(repeated(
        "filesystem.denyWrite",
        &deny_write,
        denies,
        written,
    ));
    found
}
