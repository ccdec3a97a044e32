//! What `srt` says itself: lines on stderr, prefixed.

use std::cell::RefCell;
use std::time::Duration;

use crate::limits::SAY;
use crate::sys;

/// Lines of ours on stderr, which may be closed, or full: nobody is waited for. Says whether
/// they were written.
pub fn say(text: &str) -> bool {
    say_within(text, Duration::ZERO)
}

/// The same where nothing else waits for us: before the command and after it.
pub fn say_patiently(text: &str) -> bool {
    say_within(text, SAY)
}

thread_local! {
    /// What is said while this thread has it heard by somebody.
    static HEARD: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Does something; what is said meanwhile goes into `notes`, and not to stderr.
pub fn heard<T>(notes: &mut Vec<String>, what: impl FnOnce() -> T) -> T {
    let before = HEARD.with(|heard| heard.replace(Some(Vec::new())));
    let done = what();
    let said = HEARD.with(|heard| heard.replace(before));
    notes.extend(said.into_iter().flatten());
    done
}

fn say_within(text: &str, patience: Duration) -> bool {
    text.lines().all(|line| {
        // What a peer, a file's name or another program has put into it stays text.
        let line: String = line.chars().map(legible).collect();
        let taken = HEARD.with(|heard| match &mut *heard.borrow_mut() {
            Some(lines) => {
                lines.push(line.clone());
                true
            }
            None => false,
        });
        if taken {
            return true;
        }
        sys::streams::speak(format!("srt: {line}\n").as_bytes(), patience).is_ok()
    })
}

/// A character that moves no cursor, and turns no text around.
fn legible(c: char) -> char {
    let turns = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    if c.is_control() || turns { '?' } else { c }
}
