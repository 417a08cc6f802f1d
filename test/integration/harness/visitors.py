"""Clients that visit a server of the matrix again and again, each with one connection at a time."""

import threading

from .processes import wait_until

REST_SECONDS = 0.005  # between two visits: the machine has other tests to run



class Visitors:
    """With 4 visitors, a worker that dies takes 4 connections with it at most."""

    def __init__(self, server, count):
        self.server, self.lock = server, threading.Lock()
        self.ok, self.failed, self.ended = 0, [], threading.Event()
        self.threads = [threading.Thread(target=self.visit, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def visit(self):
        while not self.ended.wait(REST_SECONDS):
            try:
                self.server.serve()
            except Exception as error:  # of each protocol its own
                with self.lock:
                    self.failed.append(repr(error)[:200])
            else:
                with self.lock:
                    self.ok += 1

    def wait(self, more, seconds=40):
        """Until so many more were served."""
        wanted = self.ok + more
        wait_until(lambda: self.ok >= wanted, lambda: f"{wanted} served, not {self.ok}; failed: "
                   f"{self.failed[-5:]}", seconds)

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"
        return self

    def made(self):
        return self.ok + len(self.failed)
