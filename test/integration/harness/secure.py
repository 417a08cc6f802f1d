"""TLS clients of the services, and what they have in memory."""

import contextlib
import re
import select
import socket
import ssl
import struct
import subprocess

from . import certificates, clients

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
LARGEST_MAPPING = 256 << 20  # a larger one is a sanitizer's own


def make_pair(directory, *names, **more):
    """Options of a service with a fresh certificate."""
    cert, key = certificates.make(*(names or ["localhost"]), **more)
    directory.mkdir(exist_ok=True)
    return {"TLS_CERT": certificates.write(directory / "cert.pem", cert),
            "TLS_KEY": certificates.write(directory / "key.pem", key)}


class Client:
    """One user agent: it remembers its last session and offers it."""

    def __init__(self, version):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.context.minimum_version = self.context.maximum_version = VERSIONS[version]
        self.session, self.visits, self.resumed = None, 0, 0

    def wrap(self, sock, name=None):
        return self.context.wrap_socket(sock, session=self.session, server_hostname=name)

    def open(self, port):
        """A connection on which one exchange was had; the caller closes it."""
        sock = clients.connect(port)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock = self.wrap(sock)
        clients.echo_on(sock)
        self.session = sock.session
        self.visits += 1
        self.resumed += sock.session_reused
        return sock

    def visit(self, port):
        """True: resumed."""
        with self.open(port) as sock:
            resumed = sock.session_reused
            say_goodbye(sock)
            return resumed


def echo(sock, data):
    """Sends data to an echo service and receives it meanwhile, in one thread, as Python's ssl wants it."""
    sock.setblocking(False)
    sent, got = 0, bytearray()
    while len(got) < len(data):
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent += sock.send(data[sent:sent + 65536]) if sent < len(data) else 0
        try:
            chunk = sock.recv(65536)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            ready = select.select([sock], [sock] if sent < len(data) else [], [], 10)
            assert ready[0] or ready[1], f"{len(got)} of {len(data)} bytes came"
        else:
            assert chunk, f"closed after {len(got)} of {len(data)} bytes"
            got += chunk
    return bytes(got)


def say_goodbye(sock):
    """Waits for the server's too."""
    try:
        sock.unwrap()
    except (ssl.SSLError, OSError):
        pass


def s_client(port, *options, text="hello\n"):
    """What `openssl s_client` says that sends a text, hears it back, and leaves."""
    with subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *map(str, options)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as one:
        one.stdin.write(text)
        one.stdin.flush()
        said = ""
        while text not in said[said.find("---\n") + 1:]:
            line = one.stdout.readline()
            assert line, said
            said += line
        one.stdin.write("Q\n")
        one.stdin.flush()
        said += one.stdout.read()
        one.wait(10)
    return said


def mappings(pid):
    """(path, bytes) of what can be read in the memory of a process; needs root."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            first, last, _, path = re.fullmatch(r"(\w+)-(\w+) (\S+) \S+ \S+ \S+ *(.*)\n", line).groups()
            first, last = int(first, 16), int(last, 16)
            if last - first > LARGEST_MAPPING or path in ("[vvar]", "[vsyscall]"):
                continue
            try:
                memory.seek(first)
                yield path, memory.read(last - first)
            except OSError:
                pass


def count_in_memory(pid, what):
    return sum(data.count(what) for _, data in mappings(pid))


def ticket_keys(pid):
    """The AES keys of session tickets that a worker has, the newest first."""
    for path, data in mappings(pid):
        if "memfd:" in path and data[:8] == struct.pack("=HHI", 1, 8, 0):
            return list(_facts(data[8:], 82))
    return []


def _facts(data, wanted):
    while len(data) >= 8:
        fact, _, length = struct.unpack("=HHI", data[:8])
        if not fact:
            return
        if fact == wanted:
            yield data[8 + 16:8 + 48]
        data = data[8 + length:]
