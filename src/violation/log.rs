//! The log: one JSON object a line, in ASCII. Whatever came from inside is a JSON string
//! with every control, bidirectional and other character past ASCII escaped, so that no
//! target can forge a line, a field or a terminal's escape.

use std::fmt::Write;

use super::{Outcome, Violation};
use crate::limits::LOG_LINE_BYTES;

/// What the log begins with.
#[derive(Clone, Debug)]
pub struct Head<'a> {
    /// Of this program.
    pub version: &'a str,
    /// SHA-256 of the settings file; `None` without one.
    pub policy: Option<&'a str>,
    /// Guarantees by name, and what gives each; nothing if it is not given.
    pub guarantees: Vec<(&'a str, Vec<&'a str>)>,
}

/// `text` as a JSON string in ASCII.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // A shell that is led to read the log as its own runs nothing.
            '$' | '`' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            ' '..='~' => out.push(c),
            _ => {
                let mut units = [0u16; 2];
                for unit in c.encode_utf16(&mut units) {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
    out
}

/// The same, cut so that it takes no more than `room` bytes; a cut one ends in `...`.
pub(super) fn cut(text: &str, room: usize) -> String {
    let whole = quoted(text);
    if whole.len() <= room {
        return whole;
    }
    let mut kept = String::new();
    let mut used = 8usize;
    for c in text.chars() {
        used = used.saturating_add(quoted(c.encode_utf8(&mut [0; 4])).len().saturating_sub(2));
        if used > room {
            break;
        }
        kept.push(c);
    }
    quoted(&(kept + "..."))
}

/// RFC 3339, in UTC, of milliseconds since 1970.
pub fn time(millis: u64) -> String {
    let (days, rest) = (millis / 86_400_000, millis % 86_400_000);
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    let (seconds, millis) = (rest / 1000 % 60, rest % 1000);
    let (mut year, mut day) = (1970u64, days);
    let leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = |year: u64| if leap(year) { 366 } else { 365 };
    while day >= length(year) && year < 9999 {
        day = day.saturating_sub(length(year));
        year = year.saturating_add(1);
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1u64;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < days {
            break;
        }
        day = day.saturating_sub(days);
        month = month.saturating_add(1);
    }
    let day = day.saturating_add(1);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

/// The first line.
pub fn head(head: &Head<'_>, run: &str, at: u64) -> String {
    let list = |items: &[&str]| {
        let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
        format!("[{}]", items.join(","))
    };
    let guarantees: Vec<String> = head
        .guarantees
        .iter()
        .map(|(name, layers)| format!("{}:{}", quoted(name), list(layers)))
        .collect();
    let policy = head
        .policy
        .map_or("built-in".into(), |digest| format!("sha256:{digest}"));
    format!(
        "{{\"event\":\"run\",\"time\":{},\"run\":{},\"version\":{},\"policy\":{},\"guarantees\":{{{}}}}}\n",
        quoted(&time(at)),
        quoted(run),
        quoted(head.version),
        quoted(&policy),
        guarantees.join(",")
    )
}

/// The line of a violation, at most [`LOG_LINE_BYTES`] long.
pub fn line(violation: &Violation, run: &str, at: u64) -> String {
    // What is left for the texts, of which the target is the longest.
    const SHORT: usize = LOG_LINE_BYTES / 8;
    const LONG: usize = LOG_LINE_BYTES / 2;
    let outcome = match violation.outcome {
        Outcome::Denied => "denied",
        Outcome::Learned => "learned",
    };
    let (pid, program) = match &violation.process {
        Some(process) => (process.pid.to_string(), cut(&process.program, SHORT)),
        None => ("null".into(), "null".into()),
    };
    format!(
        "{{\"event\":\"violation\",\"time\":{},\"run\":{},\"kind\":\"{}\",\"outcome\":\"{outcome}\",\"action\":{},\
         \"target\":{},\"rule\":{},\"reason\":{},\"pid\":{pid},\"program\":{program},\"count\":{}}}\n",
        quoted(&time(at)),
        cut(run, 64),
        violation.kind.name(),
        cut(&violation.action, 64),
        cut(&violation.target, LONG),
        cut(&violation.rule, SHORT),
        cut(&violation.reason, SHORT),
        violation.count
    )
}

/// The last line: how many different violations there were, and how many were lost.
pub fn end(violations: u64, lost: u64, run: &str, at: u64) -> String {
    format!(
        "{{\"event\":\"end\",\"time\":{},\"run\":{},\"violations\":{violations},\"lost\":{lost}}}\n",
        quoted(&time(at)),
        quoted(run)
    )
}
