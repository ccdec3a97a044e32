//! Replays every fuzz corpus and regression on the stable toolchain.

#[path = "../fuzz/properties.rs"]
mod properties;

use std::fs;
use std::path::Path;

fn replay(target: &str, property: fn(&[u8])) {
    let mut count = 0;
    for folder in ["corpus", "regressions"] {
        let at = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz")
            .join(folder)
            .join(target);
        for entry in fs::read_dir(&at).unwrap_or_else(|e| panic!("{}: {e}", at.display())) {
            property(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
    }
    assert!(count > 2, "{target} has no corpus");
}

#[test]
fn every_corpus_holds_its_properties() {
    replay("settings", properties::settings);
    replay("host", properties::host);
    replay("http", properties::http);
    replay("socks", properties::socks);
    replay("conversation", properties::conversation);
    replay("args", properties::args);
    replay("tls", properties::tls);
    replay("dns", properties::dns);
    replay("hosts", properties::hosts);
    replay("response", properties::response);
    replay("proxy_url", properties::proxy_url);
    replay("glob", properties::glob);
    replay("records", properties::records);
    replay("gitlink", properties::gitlink);
    replay("violation", properties::violation);
    replay("observer", properties::observer);
    replay("unified_log", properties::unified_log);
    replay("sandbox", properties::sandbox);
    replay("control", properties::control);
}
