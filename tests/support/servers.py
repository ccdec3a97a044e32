"""Servers of the test network: HTTP on 80, HTTPS on 443, and on 7000 one that reads
to the end of input before it answers, on 7001 one that ends first and reads on, on 7002
the digest of what that one read. Ends with its standard input."""
import base64, hashlib, http.server, os, queue, socket, ssl, sys, threading

root = sys.argv[1]


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args):
        super().__init__(*args, directory=os.path.join(root, "www"))

    def log_message(self, *args):
        pass

    def send(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/":
            self.send(b"the page of " + self.headers["Host"].encode() + b"\n")
        elif self.path == "/log":
            self.send("\n".join(log).encode())
        elif self.path == "/questions":
            self.send(" ".join(questions).encode())
        elif self.path.startswith("/big/"):
            self.send(b"0123456789abcdef" * (int(self.path[5:]) // 16))
        else:
            super().do_GET()

    def do_POST(self):
        digest, left = hashlib.sha256(), int(self.headers["Content-Length"])
        while left:
            part = self.rfile.read(min(left, 65536))
            digest.update(part)
            left -= len(part)
        self.send(digest.hexdigest().encode())


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


def to_the_end(listener):
    while True:
        peer, _ = listener.accept()
        digest, length = hashlib.sha256(), 0
        while part := peer.recv(65536):
            digest.update(part)
            length += len(part)
        peer.sendall(f"{length} {digest.hexdigest()}\n".encode())
        peer.close()


def finish_first(listener):
    """Says all it has to say, closes its side, and reads on to the end."""
    while True:
        peer, _ = listener.accept()
        peer.sendall(b"bye")
        peer.shutdown(socket.SHUT_WR)
        digest = hashlib.sha256()
        while part := peer.recv(65536):
            digest.update(part)
        peer.close()
        heard.put(digest.hexdigest())


def tell_what_was_heard(listener):
    while True:
        peer, _ = listener.accept()
        peer.sendall(heard.get().encode())
        peer.close()


KNOWN = {"loop.known.test": "127.0.0.1", "meta.known.test": "169.254.169.254", "own.known.test": "10.77.0.1"}


def asked(resolver):
    """Takes DNS questions, and answers those about names below known.test only."""
    while True:
        question, asker = resolver.recvfrom(512)
        name, at = [], 12
        while length := question[at]:
            name.append(question[at + 1:at + 1 + length].decode())
            at += 1 + length
        name = ".".join(name)
        questions.append(name)
        if name.endswith("known.test"):
            behind, a = question[12:at + 5], question[at + 1:at + 3] == b"\0\1"
            answer = question[:2] + b"\x81\x80\0\1" + bytes([0, a]) + b"\0\0\0\0" + behind
            if a:
                answer += b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(KNOWN.get(name, "10.77.0.2"))
            resolver.sendto(answer, asker)


def proxy(listener):
    while True:
        peer, _ = listener.accept()
        serve(proxied, peer)


def proxied(peer):
    """An HTTP proxy that knows one server by whatever name, and writes down who asks."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and (part := peer.recv(1)):
        head += part
    lines = head.decode().split("\r\n")
    who = [line for line in lines if line.lower().startswith("proxy-authorization")]
    log.append(" ".join([lines[0]] + who))
    method, target, _ = lines[0].split(" ")
    if "refuse" in target:
        peer.sendall(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
        return peer.close()
    if method == "CONNECT":
        other = socket.create_connection(("10.77.0.2", int(target.split(":")[1])))
        peer.sendall(b"HTTP/1.1 200 Fine\r\nX-Proxy: test\r\n\r\n")
    else:
        other = socket.create_connection(("10.77.0.2", 80))
        path = "/" + target.split("/", 3)[3]
        other.sendall(head.replace(target.encode(), path.encode(), 1))
    serve(pump, peer, other)
    pump(other, peer)


def pump(a, b):
    try:
        while part := a.recv(65536):
            b.sendall(part)
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def never_read(listener):
    """Takes connections and reads none of them."""
    kept = []
    while True:
        kept.append(listener.accept()[0])


def websocket(listener):
    while True:
        peer, _ = listener.accept()
        serve(echo_frames, peer)


def echo_frames(peer):
    """Answers a WebSocket handshake, and sends short frames back (RFC 6455)."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and (part := peer.recv(1)):
        head += part
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if ": " in line)
    key = fields["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    peer.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    while frame := peer.recv(2, socket.MSG_WAITALL):
        length = frame[1] & 0x7f
        mask, data = peer.recv(4, socket.MSG_WAITALL), peer.recv(length, socket.MSG_WAITALL)
        peer.sendall(bytes([0x81, length]) + bytes(c ^ mask[i % 4] for i, c in enumerate(data)))


heard = queue.Queue()
log, questions = [], []


def serve(function, *args):
    threading.Thread(target=function, args=args, daemon=True).start()


plain = Server(("10.77.0.2", 80), Handler)
secure = Server(("10.77.0.2", 443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.path.join(root, "cert.pem"), os.path.join(root, "key.pem"))
secure.socket = context.wrap_socket(secure.socket, server_side=True)
serve(plain.serve_forever)
serve(Server(("10.77.0.200", 80), Handler).serve_forever)
serve(secure.serve_forever)
serve(to_the_end, socket.create_server(("10.77.0.2", 7000)))
serve(finish_first, socket.create_server(("10.77.0.2", 7001)))
serve(tell_what_was_heard, socket.create_server(("10.77.0.2", 7002)))
serve(proxy, socket.create_server(("10.77.0.2", 8888)))
serve(websocket, socket.create_server(("10.77.0.2", 7004)))
serve(never_read, socket.create_server(("10.77.0.2", 7003)))
at_socket = socket.socket(socket.AF_UNIX)
at_socket.bind(os.path.join(root, "mitm.sock"))
at_socket.listen()
os.chmod(os.path.join(root, "mitm.sock"), 0o777)
serve(proxy, at_socket)
resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
resolver.bind(("10.77.0.2", 53))
serve(asked, resolver)
print("ready", flush=True)
sys.stdin.read()
