//! The filesystem section.

use super::Found;
use crate::parse::settings::{FilesystemSettings, GitConfig};
use crate::policy::spot::{Doubt, Spot};

pub(super) fn compare(
    old: &FilesystemSettings,
    new: &FilesystemSettings,
    home: Option<&[u8]>,
    found: &mut Found,
) {
    let FilesystemSettings {
        deny_read,
        allow_read,
        allow_write,
        deny_write,
        git_config,
    } = new;
    let [
        old_deny_read,
        old_allow_read,
        old_allow_write,
        old_deny_write,
    ] = [
        &old.deny_read,
        &old.allow_read,
        &old.allow_write,
        &old.deny_write,
    ]
    .map(|list| Spot::all(list, home));
    let [deny_read, allow_read, allow_write, deny_write] =
        [deny_read, allow_read, allow_write, deny_write].map(|list| Spot::all(list, home));
    // What OLD hides, NEW hides, if it hides what each of OLD's denials names, and shows
    // nothing again that OLD hides: between the two, nothing else changes what is hidden.
    for denial in &old_deny_read {
        let kept = deny_read.iter().any(|rule| rule.is(denial));
        if !kept && !denial.is_hidden(&deny_read, &allow_read, Doubt::Shows) {
            let text = format!("NEW hides not all of {:?}", denial.written);
            found.lost(denial.key, &text);
        }
    }
    for rule in &allow_read {
        let known = old_allow_read.iter().any(|other| other.is(rule));
        let vain = deny_read.iter().any(|denial| rule.is(denial));
        if !known && !vain && rule.is_hidden(&old_deny_read, &old_allow_read, Doubt::Hides) {
            found.gained(rule.key, &format!("OLD hides some of {:?}", rule.written));
        }
    }
    let covered = |by: &[Spot], spot: &Spot| by.iter().any(|rule| rule.covers(spot));
    let written = allow_write
        .iter()
        .filter(|rule| !covered(&deny_write, rule));
    let written: Vec<&Spot> = written.collect();
    for rule in &written {
        if !covered(&old_allow_write, rule) {
            let text = format!("OLD allows not all of {:?}", rule.written);
            found.gained(rule.key, &text);
        }
    }
    for denial in &old_deny_write {
        let met = written.iter().find(|rule| rule.may_meet(denial));
        if let (Some(rule), false) = (met, covered(&deny_write, denial)) {
            let (denial_is, rule_is) = (denial.written, rule.written);
            let text = format!("NEW denies not all of {denial_is:?}, and allows {rule_is:?}");
            found.lost(denial.key, &text);
        }
    }
    // Names like .bashrc are kept from being made in a directory that allowWrite names,
    // and looked for from there down. Where that hangs on the working directory, NEW is
    // given the benefit of the doubt: all it did was to drop a path.
    for root in &old_allow_write {
        let named = written.iter().any(|rule| rule.is(root));
        // What OLD does not allow is told already.
        let mut known = written
            .iter()
            .filter(|rule| covered(&old_allow_write, rule));
        let inside = known.find(|rule| !rule.is_apart(root) && rule.may_cover(root));
        if let (Some(rule), false) = (inside, named || covered(&deny_write, root)) {
            let text = format!(
                "NEW protects no names in {:?} itself, which lies in {:?}",
                root.written, rule.written
            );
            found.lost(root.key, &text);
        }
    }
    if *git_config == GitConfig::Writable && old.git_config == GitConfig::Protected {
        found.gained("filesystem.allowGitConfig", "is true, and is not in OLD");
    }
}
