//! What `srt` says over the control descriptor, besides the [`line`](super::log::line) of
//! each violation: one JSON object a line, escaped as in the log.

use super::log::cut;
use crate::limits::{CONTROL_PROBLEM_BYTES, LOG_LINE_BYTES, SETTINGS_PROBLEMS};

/// The question whether `host` may be reached on `port`, which no rule decides; `id` counts
/// the questions of a run, from 1. At most [`LOG_LINE_BYTES`] long: no host is cut by that.
pub fn ask(id: u64, host: &str, port: u16, run: &str) -> String {
    format!(
        "{{\"event\":\"ask\",\"id\":{id},\"host\":{},\"port\":{port},\"run\":{}}}\n",
        cut(host, LOG_LINE_BYTES / 2),
        cut(run, 64)
    )
}

/// What became of new rules: without a problem they hold, and otherwise the line was dropped
/// and the old ones stay. Each problem is at most [`CONTROL_PROBLEM_BYTES`] long.
pub fn rules(problems: &[String]) -> String {
    if problems.is_empty() {
        return "{\"event\":\"rules\",\"ok\":true}\n".into();
    }
    let told = problems.iter().take(SETTINGS_PROBLEMS);
    let told: Vec<String> = told.map(|text| cut(text, CONTROL_PROBLEM_BYTES)).collect();
    let told = told.join(",");
    format!("{{\"event\":\"rules\",\"ok\":false,\"problems\":[{told}]}}\n")
}
