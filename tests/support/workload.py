# The command of tests/faults_running.rs: uses all that srt serves, says how each went, then
# rests until it is told to end. Whatever fails is said, and the rest goes on.
import os, socket, struct, sys

OUTSIDE, PORTS = sys.argv[1], [int(port) for port in sys.argv[2:7]]
OPEN, ASKED, DENIED, HOST, PUBLISHED = PORTS
OWN = sys.argv[7]
PATIENCE = 4
kept = []


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def to(port, host="127.0.0.1"):
    one = socket.create_connection((host, port), PATIENCE)
    kept.append(one)
    return one


def echo(one):
    one.sendall(b"echo")
    answer = one.recv(99)
    assert answer == b"echo", answer


def connect(target):
    one = to(3128)
    one.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    answer = one.recv(999)
    assert answer.startswith(b"HTTP/1.1 "), answer
    return one, int(answer.split()[1])


def tunnel(target):
    one, status = connect(target)
    assert status == 200, status
    echo(one)


def plain():
    one = to(3128)
    target = f"127.0.0.1:{OPEN}"
    one.sendall(f"GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n".encode())
    answer = b""
    while part := one.recv(999):
        answer += part
    assert b"the page" in answer, answer


def socks(name):
    one = to(1080)
    one.sendall(b"\5\1\0")
    assert one.recv(2) == b"\5\0"
    one.sendall(b"\5\1\0\3" + bytes([len(name)]) + name + struct.pack(">H", OPEN))
    answer = one.recv(99)
    assert answer[:2] == b"\5\0", answer
    echo(one)


def question(name):
    labels = b"".join(bytes([len(label)]) + label for label in name.split(b"."))
    return struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def datagram(name, code):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.settimeout(1)
    one.connect(("127.0.0.1", 53))
    # As a resolver does: a datagram may be lost.
    for _ in range(PATIENCE):
        one.send(question(name))
        try:
            answer = one.recv(999)
            break
        except TimeoutError:
            answer = b"nothing"
    assert answer[3] & 15 == code, answer


def stream(name):
    one = to(53)
    one.sendall(struct.pack(">H", len(question(name))) + question(name))
    assert len(one.recv(999)) > 2


def denied(target):
    one, status = connect(target)
    if status == 200:
        say("REACHED", target)
    assert status == 403, status


def published():
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.settimeout(PATIENCE)
        listener.bind(("127.0.0.1", PUBLISHED))
        listener.listen()
        say("listening")
        one = listener.accept()[0]
        kept.append(one)
        one.settimeout(PATIENCE)
        one.sendall(one.recv(99))


def canaries():
    for what, flags in [("/o/new", os.O_CREAT | os.O_WRONLY), ("/h/secret", os.O_RDONLY), ("/w/.git/hooks/new", os.O_CREAT | os.O_WRONLY)]:
        try:
            os.open(OUTSIDE + what, flags)
            say("REACHED", what)
        except OSError:
            pass
    # Its own network has no such listener, and capture takes none that is denied.
    for host in ["127.0.0.1", OWN]:
        try:
            echo(to(DENIED, host))
            say("REACHED", host, DENIED)
        except (OSError, AssertionError):
            pass


STEPS = [
    ("canaries", canaries),
    ("tunnel", lambda: tunnel(f"127.0.0.1:{OPEN}")),
    ("plain", plain),
    ("socks", lambda: socks(b"localhost")),
    ("captured", lambda: echo(to(OPEN, OWN))),
    ("datagram", lambda: datagram(b"known.invalid", 0)),
    ("no name", lambda: datagram(b"denied.invalid", 3)),
    ("stream", lambda: stream(b"known.invalid")),
    ("denied", lambda: denied(f"127.0.0.1:{DENIED}")),
    # Somebody says yes, and the address is the host's own all the same.
    ("asked", lambda: denied(f"127.0.0.1:{ASKED}")),
    ("host port", lambda: echo(to(HOST))),
    ("published", published),
    ("again", lambda: socks(b"localhost")),
    ("canaries", canaries),
]
for name, step in STEPS:
    try:
        step()
        say("done", name)
    except TimeoutError:
        say("STALLED", name)
    except (OSError, AssertionError) as error:
        say("failed", name, repr(error))
say("resting")
os.read(0, 1)
canaries()
sys.exit(7)
