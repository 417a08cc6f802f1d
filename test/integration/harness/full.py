"""A service that refuses when it is full, and its clients."""

import contextlib

from . import clients
from .daemon import service

TEXT = "421 4.3.2 too busy, try later"
ANSWER = TEXT.encode() + b"\r\n"


def full(number, **options):
    """One worker with two places; three more may wait."""
    return service("full", number, **{**dict(
        IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=1, MIN_CONNS=2, MAX_CONNS=2, MAX_LIFE_CONNS=0,
        WHEN_FULL="refuse", BACKLOG=64, QUEUE_SIZE=3, QUEUE_TIMEOUT="60s", REFUSE_TEXT=TEXT), **options})


def waiting(daemon, count, seconds=10.0):
    return daemon.wait_service(lambda one: one["queue"] and one["queue"]["now"] == count,
                               f"{count} wait in the queue", seconds=seconds)


def queue_up(daemon, held, number, count):
    """So many more clients, each in the queue before the next one comes."""
    before = daemon.service()["queue"]["now"]
    for i in range(count):
        held.open(number, served=False)
        waiting(daemon, before + i + 1)


def refusal(address, first=b"", seconds=10.0):
    """What a client reads until the server closes; ConnectionResetError if it is not closed cleanly."""
    with clients.connect(address, seconds) as sock:
        if first:
            sock.sendall(first)
        return clients.receive_all(sock)


@contextlib.contextmanager
def fill(number, count=2):
    with clients.Held() as held:
        for _ in range(count):
            held.open(number)
        yield held
