//! What `srt` says itself: lines on stderr, prefixed.

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

fn say_within(text: &str, patience: Duration) -> bool {
    text.lines().all(|line| {
        // What a peer, a file's name or another program has put into it stays text.
        let line: String = line.chars().map(legible).collect();
        sys::streams::speak(format!("srt: {line}\n").as_bytes(), patience).is_ok()
    })
}

/// A character that moves no cursor, and turns no text around.
fn legible(c: char) -> char {
    let turns = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    if c.is_control() || turns { '?' } else { c }
}
