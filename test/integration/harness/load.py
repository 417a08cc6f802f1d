"""A load of short connections from a process of its own, so that the tests stay quick to look.

As a program: load.py ADDRESS CONCURRENCY COUNT, COUNT 0 = until its standard input ends. Prints one
JSON object: ok, failed {kind: number}, longest_ms, and the failures' texts (a few).
"""

import collections
import errno
import json
import os
import selectors
import socket
import subprocess
import sys
import time

LINE = b"the quick brown fox jumps over the lazy dog\n"
GIVE_UP_SECONDS = 30


class Load:
    """The handle of a running load; wait() or stop() gives its result."""

    def __init__(self, address, concurrency, count=0):
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(address), str(concurrency), str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)

    def wait(self, seconds=120):
        output, _ = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, "the load client itself failed"
        return json.loads(output)

    def stop(self, seconds=60):
        """No new connections; those that are open finish."""
        return self.wait(seconds)  # communicate() closes its standard input first

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Engine:
    def __init__(self, address, concurrency, count):
        self.address, self.concurrency = address, concurrency
        self.left = count or None
        self.selector = selectors.DefaultSelector()
        self.open = {}  # socket -> [started, bytes received]
        self.failed = collections.Counter()
        self.texts = []
        self.ok, self.longest = 0, 0.0

    def start_one(self):
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        error = sock.connect_ex(self.address)
        if error == errno.EAGAIN:  # a unix listener whose backlog is full: later
            sock.close()
            return False
        if self.left is not None:
            self.left -= 1
        if error not in (0, errno.EINPROGRESS):
            self.end(sock, os.strerror(error))
            return False
        self.open[sock] = [time.monotonic(), 0]
        self.selector.register(sock, selectors.EVENT_WRITE)
        return True

    def end(self, sock, failure=None):
        started, _ = self.open.pop(sock, (time.monotonic(), 0))
        if sock in self.selector.get_map():
            self.selector.unregister(sock)
        sock.close()
        took = time.monotonic() - started
        self.longest = max(self.longest, took)
        if failure is None:
            self.ok += 1
            return
        self.failed[failure] += 1
        if len(self.texts) < 10:
            self.texts.append(f"{failure} after {took * 1000:.0f} ms")

    def on_event(self, sock, mask):
        try:
            if mask & selectors.EVENT_WRITE:
                sock.send(LINE)
                self.selector.modify(sock, selectors.EVENT_READ)
                return
            got = len(sock.recv(4096))
        except OSError as error:
            return self.end(sock, error.strerror)
        if got == 0:
            return self.end(sock, "closed early")
        self.open[sock][1] += got
        if self.open[sock][1] == len(LINE):
            self.end(sock)

    def give_up_on_the_stuck(self):
        limit = time.monotonic() - GIVE_UP_SECONDS
        for sock in [s for s, (started, _) in self.open.items() if started < limit]:
            self.end(sock, "no answer")

    def run(self):
        stopping = False
        if self.left is None:
            self.selector.register(sys.stdin, selectors.EVENT_READ)
        while self.open or not stopping:
            while not stopping and self.left != 0 and len(self.open) < self.concurrency:
                if not self.start_one():
                    break
            if self.left == 0:
                stopping = True
            for key, mask in self.selector.select(0.1):
                if key.fileobj is sys.stdin:
                    stopping = True
                    self.selector.unregister(sys.stdin)
                else:
                    self.on_event(key.fileobj, mask)
            self.give_up_on_the_stuck()
        return dict(ok=self.ok, failed=dict(self.failed), texts=self.texts,
                    longest_ms=round(self.longest * 1000))


def main():
    where, concurrency, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    address = ("127.0.0.1", int(where)) if where.isdigit() else where
    print(json.dumps(Engine(address, concurrency, count).run()))


if __name__ == "__main__":
    main()
