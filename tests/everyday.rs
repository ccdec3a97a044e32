//! Everyday programs under the real one: each reaches the host that is allowed, and is
//! told of the one that is not.

mod support;

use support::{Host, Lab, Who, assert_status, everyone, text};

const POLICY: &str =
    r#"{"network": {"allowedDomains": ["allowed.test"]}, "filesystem": {"allowWrite": ["@"]}}"#;

/// Runs `script` with HOST as the allowed and then as the denied host: it must print
/// `expected` with the one, and fail with the other, as everybody.
fn works(lab: &Lab, script: &str, expected: &str) {
    for who in everyone() {
        let run = |host: &str| lab.shell(who, POLICY, &script.replace("HOST", host));
        let out = run("allowed.test");
        assert_status(&out, 0);
        assert_eq!(text(&out.stdout).trim(), expected, "{}", text(&out.stderr));
        let out = run("denied.test");
        assert!(!out.status.success(), "{}", text(&out.stdout));
        lab.shell(who, POLICY, "rm -rf project cache target");
    }
}

#[test]
fn wget_fetches() {
    let Some(lab) = Lab::new("wget") else { return };
    works(
        &lab,
        "wget -q -O - http://HOST/ | sed s/allowed.test/it/ | grep 'page of it'",
        "the page of it",
    );
    works(
        &lab,
        "wget -q -O - --ca-certificate cert.pem https://HOST/ | grep -c 'page of'",
        "1",
    );
}

#[test]
fn python_fetches_with_its_own_library() {
    let Some(lab) = Lab::new("urllib") else {
        return;
    };
    works(
        &lab,
        "python3 -c \"import urllib.request as r; print(r.urlopen('http://HOST/').read().decode())\"",
        "the page of allowed.test",
    );
    works(
        &lab,
        "python3 -c \"import ssl, urllib.request as r; c = ssl.create_default_context(cafile='cert.pem')\n\
         print(r.urlopen('https://HOST/', context=c).read().decode())\"",
        "the page of allowed.test",
    );
}

#[test]
fn pip_installs_from_an_index() {
    let Some(lab) = Lab::new("pip") else { return };
    let make = r#"
import os, zipfile
os.makedirs("www/simple/hello-world", exist_ok=True)
wheel = "hello_world-1.0-py3-none-any.whl"
with zipfile.ZipFile("www/simple/hello-world/" + wheel, "w") as z:
    z.writestr("hello_world.py", "print('hello from a wheel')\n")
    info = "hello_world-1.0.dist-info/"
    z.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: hello-world\nVersion: 1.0\n")
    z.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    z.writestr(info + "RECORD", "hello_world.py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n")
open("www/simple/hello-world/index.html", "w").write(f"<a href='{wheel}'>{wheel}</a>")
"#;
    let made = lab.on_server(&["python3", "-c", make]);
    assert_status(&made, 0);
    works(
        &lab,
        "rm -rf target; $(python3 -c 'import sys; print(sys.executable)') -m pip install -q --no-cache-dir --disable-pip-version-check --root-user-action ignore \
         --retries 0 --index-url http://HOST/simple --trusted-host HOST --target target hello-world && python3 target/hello_world.py && rm -rf target",
        "hello from a wheel",
    );
}

#[test]
fn npm_installs_from_a_registry() {
    let Some(lab) = Lab::new("npm") else { return };
    let make = r#"
import base64, hashlib, io, json, os, tarfile
os.makedirs("www/npm/hello-world/-", exist_ok=True)
buffer = io.BytesIO()
with tarfile.open(fileobj=buffer, mode="w:gz") as t:
    for name, text in [("package.json", json.dumps({"name": "hello-world", "version": "1.0.0", "main": "index.js"})), ("index.js", "console.log('hello from a package')")]:
        entry = tarfile.TarInfo("package/" + name); entry.size = len(text)
        t.addfile(entry, io.BytesIO(text.encode()))
data = buffer.getvalue()
open("www/npm/hello-world/-/hello-world-1.0.0.tgz", "wb").write(data)
integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
document = {"name": "hello-world", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {"name": "hello-world", "version": "1.0.0",
    "dist": {"tarball": "http://allowed.test/npm/hello-world/-/hello-world-1.0.0.tgz", "integrity": integrity}}}}
open("www/npm/hello-world/index.html", "w").write(json.dumps(document))
"#;
    let made = lab.on_server(&["python3", "-c", make]);
    assert_status(&made, 0);
    works(
        &lab,
        "rm -rf project cache; mkdir project; cd project; echo '{}' > package.json; \
         npm install --silent --no-audit --no-fund --fetch-retries 0 --cache ../cache --registry http://HOST/npm/ hello-world >&2 && \
         node -e 'require(\"hello-world\")' && cd .. && rm -rf project cache",
        "hello from a package",
    );
}

#[test]
fn node_fetches_by_the_variables_where_it_knows_them() {
    let Some(lab) = Lab::new("node") else { return };
    // Its fetch looks at NODE_USE_ENV_PROXY from version 24 on, and 22.21: what is older
    // goes its own way, which leads nowhere where nothing is captured.
    let version = lab.shell(
        Who::Me,
        POLICY,
        "node -p 'process.versions.node.split(\".\").map(Number).join(\" \")'",
    );
    let version: Vec<u32> = text(&version.stdout)
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    let knows = version[0] >= 24 || version[0] == 22 && version[1] >= 21;
    let fetch = "node -e 'fetch(\"http://HOST/\").then(r => r.ok ? r.text() : Promise.reject(r.status)).then(console.log)'";
    if knows {
        works(&lab, fetch, "the page of allowed.test");
    } else {
        // (Their one address in the hosts file is refused if one of its names is.)
        let both = POLICY.replacen("\"allowed.test\"", "\"allowed.test\", \"denied.test\"", 1);
        let out = lab.shell(Who::Me, &both, &fetch.replace("HOST", "allowed.test"));
        assert_eq!(text(&out.stdout), "the page of allowed.test\n\n");
        let alone = POLICY.replacen(
            "\"allowedDomains\"",
            "\"capture\": false, \"allowedDomains\"",
            1,
        );
        let out = lab.shell(Who::Me, &alone, &fetch.replace("HOST", "allowed.test"));
        assert!(!out.status.success() && out.stdout.is_empty());
    }
}

const WEBSOCKET: &str = r#"
import base64, hashlib, socket, struct, sys
way, host = sys.argv[1:]
s = socket.create_connection(("127.0.0.1", 3128))
def head():
    said = b""
    while b"\r\n\r\n" not in said:
        part = s.recv(1)
        if not part: sys.exit(said.decode())
        said += part
    return said.decode()
if way == "connect":
    s.sendall(f"CONNECT {host}:7004 HTTP/1.1\r\n\r\n".encode())
    if " 200 " not in head(): sys.exit("refused")
    target = "/chat"
else:
    target = f"http://{host}:7004/chat"
s.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}:7004\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
answer = head()
if "101" not in answer or "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" not in answer: sys.exit(answer)
for word in b"hello", b"again":
    mask = b"abcd"
    s.sendall(bytes([0x81, 0x80 | len(word)]) + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(word)))
    kind, length = s.recv(2, socket.MSG_WAITALL)
    print(s.recv(length, socket.MSG_WAITALL).decode(), end=" ")
"#;

#[test]
fn websockets_open_by_connect_and_by_upgrade() {
    let Some(lab) = Lab::new("WebSocket") else {
        return;
    };
    lab.scratch.file("websocket.py", WEBSOCKET);
    for way in ["connect", "upgrade"] {
        works(
            &lab,
            &format!("python3 websocket.py {way} HOST"),
            "hello again",
        );
    }
}

#[test]
fn openssl_speaks_through_a_tunnel() {
    let Some(lab) = Lab::new("openssl") else {
        return;
    };
    works(
        &lab,
        "printf 'GET / HTTP/1.0\\r\\nHost: HOST\\r\\n\\r\\n' | openssl s_client -quiet -proxy 127.0.0.1:3128 -connect HOST:443 \
         -servername HOST -CAfile cert.pem -verify_return_error 2>/dev/null | grep 'page of'",
        "the page of allowed.test",
    );
}

#[test]
fn http_2_goes_through_a_tunnel() {
    let Some(lab) = Lab::new("HTTP/2") else {
        return;
    };
    let server = "const http2 = require('http2'), fs = require('fs');\n\
        http2.createSecureServer({ key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem') }, (q, r) => r.end('by ' + q.httpVersion + '\\n'))\n\
        .listen(8443, '10.77.0.2', () => console.log('ready'));\n";
    let _running = lab.host(Host::Server, "http2.js", server);
    works(
        &lab,
        "curl -sS --http2 --cacert cert.pem https://HOST:8443/",
        "by 2.0",
    );
}

#[test]
#[allow(clippy::print_stderr)]
fn a_jvm_finds_the_proxy_by_its_options() {
    let Some(lab) = Lab::new("the JVM") else {
        return;
    };
    if !lab
        .on_server(&["sh", "-c", "command -v java"])
        .status
        .success()
    {
        eprintln!("SKIP the JVM: there is none on this machine");
        return;
    }
    let program = "import java.net.*; public class Fetch { public static void main(String[] a) throws Exception {\n\
        System.out.print(new String(new URL(a[0]).openStream().readAllBytes())); } }\n";
    lab.scratch.file("Fetch.java", program);
    works(
        &lab,
        "java Fetch.java http://HOST/ 2>/dev/null",
        "the page of allowed.test",
    );
}
