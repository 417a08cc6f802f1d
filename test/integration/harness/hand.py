"""The dispatcher's hand alone: one adapted server with its channel, page and bell, and real sockets to offer.

What an adapter does can so be seen without a pool around it, call for call.
"""

import array
import fcntl
import mmap
import os
import select
import signal
import socket
import struct
import subprocess

from .processes import wait_until

RING = 512
READY, LINE, DONE, TAKEN, RINGS = 8, 12, 192, 200, 256  # offsets of struct page
PAGE_BYTES = RINGS + 4 * RING + (1 << 20)  # and room for what the adapter keeps behind it


def fact(kind, value):
    return struct.pack("=HHI", kind, 0, len(value)) + value


def addr(where):
    host, port = where[:2]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return struct.pack("=BBHI16s", family, 0, port, 0, socket.inet_pton(family, host))


class Hand:
    """Listens on ports, runs a server that believes it does, and offers what it accepts."""

    def __init__(self, program, *words, listeners, style="silent", method=None, environment=None, **more):
        self.listeners = []
        for host, port in listeners:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self.listeners.append(socket.create_server((host, port), family=family, backlog=512))
        self.channel, worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.shutdown(socket.SHUT_RD)
        page, bell = os.memfd_create("page"), os.memfd_create("bell")
        os.ftruncate(page, PAGE_BYTES)
        os.ftruncate(bell, 64)
        self.page, self.bell = mmap.mmap(page, PAGE_BYTES), mmap.mmap(bell, 64)
        self.page[0:8] = struct.pack("=II", 1, RING)
        self.doorbell, ring = os.pipe()
        fds = [worker.fileno(), page, bell, ring]
        names = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in listeners]
        text = "\n".join([f"1 {' '.join(map(str, fds))} {RING} {style} {signal.SIGTERM:d}", *names])
        self.tag = 0
        self.kept = worker  # the supervisor keeps the worker's end
        self.process = subprocess.Popen(
            [program, *words], executable=method, pass_fds=fds, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env=dict(os.environ, DISPATCHER_WORKER="1", DISPATCHER_ADAPTER=text, **(environment or {})), **more)
        for fd in fds[1:]:
            os.close(fd)

    # --- what the page says ---

    def number(self, at):
        return struct.unpack_from("=Q", self.page, at)[0]

    @property
    def ready(self):
        return struct.unpack_from("=I", self.page, READY)[0]

    @property
    def taken(self):
        return self.number(TAKEN)

    @property
    def line(self):
        return self.page[LINE:LINE + 128].partition(b"\0")[0].decode()

    def wait_ready(self):
        wait_until(lambda: self.ready or self.process.poll() is not None, lambda: f"ready: {self.line}", 10)
        assert self.ready, self.process.stdout.read()
        return self

    # --- connections ---

    def connect(self, index=0, timeout=10):
        client = socket.create_connection(self.listeners[index].getsockname()[:2], timeout)
        return client

    def offer(self, index=0):
        """Accepts one that waits and offers it; its tag."""
        conn, peer = self.listeners[index].accept()
        conn.setblocking(False)
        tag, self.tag = self.tag, self.tag + 1
        record = struct.pack("=HHI", 1, 2, 0) + fact(32, struct.pack("=I", tag)) + fact(33, addr(peer)) + \
            fact(35, struct.pack("=I", index)) + fact(36, struct.pack("=Q", 0))
        self.channel.sendmsg([record], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [conn.fileno()]))])
        conn.close()
        return tag

    def client(self, index=0, **more):
        """A connection that was offered."""
        client = self.connect(index, **more)
        self.offer(index)
        return client

    @property
    def unread(self):
        """Bytes that the worker has not read: TIOCINQ of its end."""
        size = array.array("i", [0])
        fcntl.ioctl(self.kept, 0x541B, size)
        return size[0]

    def is_rung(self):
        return bool(select.select([self.doorbell], [], [], 0)[0])

    # --- the end ---

    def leave(self):
        """The dispatcher dies with all its descriptors."""
        self.channel.close()
        self.kept.close()
        os.close(self.doorbell)
        self.doorbell = -1

    def close(self):
        for listener in self.listeners:
            listener.close()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdout.close()
        self.channel.close()
        self.kept.close()
        if self.doorbell >= 0:
            os.close(self.doorbell)
