//! MCP servers over stdio under the real program, driven by the official SDK's client
//! (`examples/mcp_client.mjs`): the filesystem server with the configuration and the policy
//! that README.md has, and one of the test's own that fetches.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use sandbox_runtime::parse::json::{Node, Value, document};
use support::{
    Lab, Scratch, Who, assert_status, assert_unchanged, everyone, finish, is_alive, is_recorded,
    outside, program, skip, snapshot, text,
};

/// The server that README.md installs brings it along; here it is held to one version.
const SDK: &str = "@modelcontextprotocol/sdk@1.32.2";

/// Longest that the installation may take, in seconds.
const INSTALLATION: &str = "100";

/// README.md's section: what is installed, the client's configuration, the policy.
fn section() -> (String, String, String) {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = readme.split("### An MCP server\n").nth(1).unwrap();
    let section = section.split("\n##").next().unwrap();
    let package = section
        .split_whitespace()
        .find(|word| word.starts_with("@modelcontextprotocol/"));
    let mut blocks = section.split("```json\n").skip(1);
    let mut block = || blocks.next().unwrap().split("```").next().unwrap().into();
    let (configuration, policy) = (block(), block());
    assert_eq!(blocks.next(), None, "a third block");
    (package.unwrap().to_owned(), configuration, policy)
}

/// The directory in which the server and the SDK are installed, outside any sandbox and once
/// for all runs of the tests. `None`, said loudly, where npm cannot.
fn packages(test: &str) -> Option<&'static Path> {
    static INSTALLED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match INSTALLED.get_or_init(|| install(&section().0)) {
        Ok(path) => Some(path),
        Err(why) => {
            skip(test, why);
            None
        }
    }
}

fn install(server: &str) -> Result<PathBuf, String> {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("mcp");
    let version = |package: &str| package.rsplit('@').next().unwrap().to_owned();
    let path = all.join(format!("{}-{}", version(server), version(SDK)));
    if path.exists() {
        return Ok(path);
    }
    // What is interrupted never has the name that is looked for.
    let fresh = all.join(std::process::id().to_string());
    fs::create_dir_all(&fresh).unwrap();
    let mut npm = Command::new("timeout");
    npm.args([INSTALLATION, "npm", "install", "--prefix"])
        .arg(&fresh)
        .args([
            "--no-fund",
            "--no-audit",
            "--ignore-scripts",
            "--fetch-retries=1",
            "--fetch-retry-mintimeout=1000",
        ])
        .args([server, SDK]);
    let out = finish(npm);
    if !out.status.success() {
        fs::remove_dir_all(&fresh).unwrap();
        let why = text(&out.stderr);
        let (status, why) = (out.status, why.trim());
        return Err(format!(
            "npm install: {status} (124: {INSTALLATION} s): {why}"
        ));
    }
    // Unless another run of the tests was faster.
    if fs::rename(&fresh, &path).is_err() {
        fs::remove_dir_all(&fresh).unwrap();
        assert!(path.exists());
    }
    Ok(path)
}

/// The home directory of README.md's example, in `scratch`.
fn home(scratch: &Scratch, packages: &Path) -> PathBuf {
    let home = scratch.dir("home");
    let mcp = scratch.path("home/mcp");
    let copied = Command::new("cp").arg("-r").args([packages, &mcp]).status();
    assert!(copied.unwrap().success());
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples/mcp_client.mjs");
    fs::copy(client, mcp.join("mcp_client.mjs")).unwrap();
    let readable = Command::new("chmod")
        .args(["-R", "a+rX"])
        .arg(&mcp)
        .status();
    assert!(readable.unwrap().success());
    home
}

/// A directory with nothing but an `srt` in it, which a client finds first.
fn starter(scratch: &Scratch, name: &str, script: &str) -> String {
    let script = script.replace("SRT", program().to_str().unwrap());
    let script = script.replace("DIR/", scratch.path("").to_str().unwrap());
    scratch.file(&format!("{name}/srt"), &format!("#!/bin/sh\n{script}\n"));
    scratch.path(name).to_str().unwrap().to_owned()
}

/// The real one, and how it ended. (The client would end by SIGTERM what does not end by
/// itself within two seconds: that is not passed on.)
const PLAIN: &str = "trap : TERM\nTMPDIR=DIR/tmp SRT \"$@\"\necho $? > DIR/status";

/// The same, and what it writes to standard output.
const RECORDED: &str =
    "trap : TERM\n{ TMPDIR=DIR/tmp SRT \"$@\"; echo $? > DIR/status; } | tee DIR/stdout";

/// The command that would be in the sandbox, without one: `srt -s POLICY COMMAND...`.
const NONE: &str = "shift 2\nexec \"$@\"";

/// The client's line of shell, with the first `srt` in `starter`.
fn client(starter: &str, mcp: &Path, server: &str, calls: &Path) -> String {
    let (mcp, calls) = (mcp.display(), calls.display());
    format!("PATH={starter}:$PATH exec node {mcp}/mcp_client.mjs {mcp}/mcp.json {server} < {calls}")
}

fn field<'a>(node: &'a Node, name: &str) -> Option<&'a Value> {
    let Value::Object(members) = &node.value else {
        panic!("no object: {node:?}");
    };
    let found = members.iter().find(|(key, _)| key.text == name);
    found.map(|(_, node)| &node.value)
}

/// Lines of JSON, all of them.
fn lines(output: &[u8]) -> Vec<Node> {
    let parse = |line: &str| document(line.as_bytes()).unwrap_or_else(|e| panic!("{line}: {e:?}"));
    text(output).lines().map(parse).collect()
}

/// What the client printed: the names of the tools, and for each call whether it succeeded,
/// and the answer.
#[track_caller]
fn answers(out: &Output) -> (Vec<String>, Vec<(bool, String)>) {
    assert_status(out, 0);
    let lines = lines(&out.stdout);
    let Some(Value::List(tools)) = field(&lines[0], "tools") else {
        panic!("{}", text(&out.stdout));
    };
    let name = |node: &Node| match &node.value {
        Value::Text(name) => name.clone(),
        other => panic!("{other:?}"),
    };
    let answer = |line: &Node| match (field(line, "ok"), field(line, "text")) {
        (Some(Value::Bool(ok)), Some(Value::Text(text))) => (*ok, text.clone()),
        _ => panic!("{line:?}"),
    };
    let tools = tools.iter().map(name).collect();
    (tools, lines[1..].iter().map(answer).collect())
}

/// A call of a tool of the filesystem server; what it comes to in the sandbox; and without.
/// `Ok` is what an answer has in it, `Err` what a failure has.
type Step = (&'static str, &'static str, Told, Told);
type Told = Result<&'static str, &'static str>;

const STEPS: [Step; 8] = [
    (
        "write_file",
        "project/new.txt",
        Ok("Success"),
        Ok("Success"),
    ),
    (
        "read_text_file",
        "project/new.txt",
        Ok("hello"),
        Ok("hello"),
    ),
    (
        "read_text_file",
        "project/.env",
        Err("EACCES"),
        Ok("secret"),
    ),
    (
        "write_file",
        "project/docs/new.md",
        Err("EROFS"),
        Ok("Success"),
    ),
    (
        "write_file",
        "project/docs/old.md",
        Err("EROFS"),
        Ok("Success"),
    ),
    ("read_text_file", "notes/old.md", Ok("a note"), Ok("a note")),
    ("write_file", "notes/new.md", Err("EROFS"), Ok("Success")),
    // What the server refuses by itself, it says otherwise.
    (
        "read_text_file",
        "other.txt",
        Err("Access denied"),
        Err("Access denied"),
    ),
];

#[track_caller]
fn assert_told(got: &[(bool, String)], want: impl Iterator<Item = Told>) {
    let want: Vec<Told> = want.collect();
    assert_eq!(got.len(), want.len(), "{got:?}");
    for ((ok, text), want) in got.iter().zip(want) {
        let part = want.unwrap_or_else(|part| part);
        assert_eq!(*ok, want.is_ok(), "{text}, instead of {want:?}");
        assert!(text.contains(part), "{text}, instead of {want:?}");
    }
}

#[test]
fn the_filesystem_server_of_the_readme_is_held_to_its_policy() {
    let Some(packages) = packages("the filesystem server of MCP") else {
        return;
    };
    let scratch = Scratch::new();
    let home = home(&scratch, packages);
    let (_, configuration, policy) = section();
    for (name, content) in [
        ("mcp/mcp.json", configuration.as_str()),
        ("mcp/policy.json", &policy),
        ("project/.env", "secret"),
        ("project/docs/old.md", "a document"),
        ("notes/old.md", "a note"),
        ("other.txt", "nobody's"),
    ] {
        let content = content.replace("/home/me", home.to_str().unwrap());
        scratch.file(&format!("home/{name}"), &content);
    }
    let call = |(tool, path, ..): &Step| {
        let path = home.join(path);
        let content = match *tool {
            "write_file" => r#","content":"hello""#,
            _ => "",
        };
        format!("{{\"name\":\"{tool}\",\"arguments\":{{\"path\":{path:?}{content}}}}}\n")
    };
    let calls = scratch.file("calls", &STEPS.iter().map(call).collect::<String>());
    let mcp = home.join("mcp");
    let (tmp, status) = (scratch.dir("tmp"), scratch.file("status", ""));
    let stdout = scratch.file("stdout", "");
    let before = snapshot(&home);
    let plain = starter(&scratch, "plain", PLAIN);
    let recorded = starter(&scratch, "recorded", RECORDED);
    for who in everyone() {
        for starter in [&plain, &recorded] {
            let run = client(starter, &mcp, "filesystem", &calls);
            let out = outside(who, &home, &run);
            let (tools, told) = answers(&out);
            for tool in ["read_text_file", "write_file", "list_directory"] {
                assert!(tools.iter().any(|t| t == tool), "{tool}: {tools:?}");
            }
            assert_told(&told, STEPS.iter().map(|step| step.2));
            // The server ended by itself, and nothing is left.
            assert_eq!(fs::read_to_string(&status).unwrap(), "0\n");
            fs::write(&status, "").unwrap();
            assert!(!is_alive(home.join("notes").to_str().unwrap()));
            assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
            assert!(!is_recorded(&home));
            fs::remove_file(home.join("project/new.txt")).unwrap();
            assert_unchanged(&home, &before, &format!("{who:?}"));
        }
        let lines = lines(&fs::read(&stdout).unwrap());
        let protocol = |line: &&Node| matches!(field(line, "jsonrpc"), Some(Value::Text(version)) if version == "2.0");
        assert_eq!(lines.iter().filter(protocol).count(), lines.len());
        // One for each call, and before them two: what the server is, and its tools.
        let answers = lines.iter().filter(|line| field(line, "id").is_some());
        assert_eq!(answers.count(), STEPS.len() + 2);
    }
    // The server would allow all that the policy denies.
    let none = starter(&scratch, "none", NONE);
    let run = client(&none, &mcp, "filesystem", &calls);
    let (_, told) = answers(&outside(Who::Me, &home, &run));
    assert_told(&told, STEPS.iter().map(|step| step.3));
}

/// A server with one tool.
const FETCH: &str = r#"
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";

const server = new McpServer({ name: "fetch", version: "1.0.0" });
server.registerTool("fetch", { inputSchema: { url: z.string() } }, async ({ url }) => {
  const answer = await fetch(url).catch((error) => { throw error.cause; });
  return { isError: !answer.ok, content: [{ type: "text", text: await answer.text() }] };
});
await server.connect(new StdioServerTransport());
"#;

#[test]
fn a_server_reaches_only_what_the_policy_lists() {
    let name = "the network of an MCP server";
    let Some(packages) = packages(name) else {
        return;
    };
    let Some(lab) = Lab::new(name) else { return };
    let scratch = &lab.scratch;
    let home = home(scratch, packages);
    let mcp = home.join("mcp");
    scratch.file("home/mcp/fetch.mjs", FETCH);
    let call =
        |host| format!("{{\"name\":\"fetch\",\"arguments\":{{\"url\":\"http://{host}/\"}}}}\n");
    let calls = call("web.known.test") + &call("denied.known.test");
    let calls = scratch.file("calls", &calls);
    let configuration = r#"{"mcpServers": {"fetch": {"command": "srt",
        "args": ["-s", "@/policy.json", "node", "@/fetch.mjs"]}}}"#;
    let configuration = configuration.replace('@', mcp.to_str().unwrap());
    scratch.file("home/mcp/mcp.json", &configuration);
    scratch.dir("tmp");
    let run = |starter: &str, policy: &str| {
        scratch.file("home/mcp/policy.json", policy);
        let run = client(starter, &mcp, "fetch", &calls);
        answers(&lab.on_client(&format!("HOME={} {run}", home.display()))).1
    };
    let refused = |(ok, text): &(bool, String)| {
        !ok && text.contains(".known.test")
            && (text.contains("ENOTFOUND")
                || text.contains("EAI_AGAIN")
                || text.contains("Connection blocked by network allowlist"))
    };
    let page = |host| (true, format!("the page of {host}\n"));

    let plain = starter(scratch, "plain", PLAIN);
    let listed = run(
        &plain,
        r#"{"network": {"allowedDomains": ["web.known.test"]}}"#,
    );
    assert_eq!(listed[0], page("web.known.test"));
    assert!(refused(&listed[1]), "{listed:?}");
    let nothing = run(&plain, &section().2);
    assert!(
        nothing.len() == 2 && nothing.iter().all(refused),
        "{nothing:?}"
    );
    // Without a sandbox, both.
    let all = run(&starter(scratch, "none", NONE), "{}");
    assert_eq!(all, [page("web.known.test"), page("denied.known.test")]);
}
