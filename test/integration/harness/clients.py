"""Clients of the services: one at a time, or many held open."""

import contextlib
import socket

LOOPBACK = "127.0.0.1"


def connect(address, seconds=10.0):
    """address: a port on 127.0.0.1, a (host, port) pair, or the path of a unix socket."""
    if isinstance(address, int):
        address = (LOOPBACK, address)
    if isinstance(address, tuple):
        return socket.create_connection(address, timeout=seconds)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(seconds)
    sock.connect(str(address))
    return sock


def receive_all(sock):
    """Everything until the server closes."""
    got = b""
    while chunk := sock.recv(65536):
        got += chunk
    return got


def receive_exactly(sock, count):
    got = b""
    while len(got) < count:
        chunk = sock.recv(count - len(got))
        if not chunk:
            raise ConnectionResetError(f"closed after {len(got)} of {count} bytes")
        got += chunk
    return got


def echo_on(sock, text=b"hello\n"):
    """One exchange over an open connection to an echo service."""
    sock.sendall(text)
    got = receive_exactly(sock, len(text))
    assert got == text, f"echoed {got!r} for {text!r}"


def echo(address, text=b"hello\n", seconds=10.0):
    """A whole short connection: connect, one exchange, close, and wait for the server's close."""
    with connect(address, seconds) as sock:
        echo_on(sock, text)
        sock.shutdown(socket.SHUT_WR)
        assert receive_all(sock) == b""


def is_served(sock, text=b"?\n", seconds=10.0):
    """True if an echo service answers on this connection within the time."""
    before = sock.gettimeout()
    sock.settimeout(seconds)
    try:
        echo_on(sock, text)
        return True
    except TimeoutError:
        return False
    finally:
        sock.settimeout(before)


class Held(contextlib.ExitStack):
    """Connections held open together; closes them all at its end."""

    def __init__(self):
        super().__init__()
        self.socks = []

    def open(self, address, served=True, seconds=10.0):
        """One more. served: it has been answered, so a worker has it."""
        sock = self.enter_context(connect(address, seconds))
        self.socks.append(sock)
        if served:
            echo_on(sock)
        return sock

    def close_one(self, index=0):
        self.socks.pop(index).close()
