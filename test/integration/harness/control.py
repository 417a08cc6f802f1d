"""The control socket, spoken directly: what dispatcherctl speaks."""

import json
import secrets
import socket
import time


class Refused(Exception):
    """The dispatcher answered with a status that is not 0."""


def connect(sock, path, seconds):
    """With a time limit Python never waits for a place in the backlog: this does."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return sock.connect(str(path))
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def exchange(path, line, seconds):
    """Everything that is answered; nothing, if the process that took the connection has gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(seconds)
        connect(sock, path, seconds)
        answer = b""
        try:
            sock.sendall(line)
            while chunk := sock.recv(65536):
                answer += chunk
        except (BrokenPipeError, ConnectionResetError):
            pass
        return answer


def request(path, document, seconds=10.0):
    """Sends one request; returns head and body of the answer. As dispatcherctl does, it asks again
    when the acceptor was replaced before it answered."""
    deadline = time.monotonic() + seconds
    line = json.dumps(document).encode() + b"\n"
    while not (answer := exchange(path, line, seconds)):
        if time.monotonic() > deadline:
            raise ConnectionResetError("no acceptor stays long enough to answer")
        time.sleep(0.02)
    head, _, body = answer.partition(b"\n")
    result = json.loads(head)
    if result["status"] != 0:
        raise Refused(result["error"])
    return result, body


def ask(path, verb, *args, seconds=10.0, **options):
    """Sends one request; returns the JSON document of the answer, None if there is none."""
    _, body = request(path, dict(verb=verb, args=list(args), **options), seconds)
    return json.loads(body) if body.strip() else None


def new_id():
    return f"{secrets.randbits(64) or 1:016x}"


def begin(path, verb, *args, seconds=10.0, **options):
    """Orders something; returns its id. Refused if it cannot even begin."""
    number = options.pop("id", None) or new_id()
    request(path, dict(verb=verb, args=list(args), id=number, **options), seconds)
    return number


def result(path, number):
    """How the order with that id ended: id, verb, status, ended, text; None while nobody knows, or
    nobody is there to ask."""
    try:
        return ask(path, "result", number)
    except (OSError, ValueError):
        return None


def wait_result(path, number, seconds=30.0):
    """As result(), when it is there; asks whichever acceptor runs."""
    deadline = time.monotonic() + seconds
    while (known := result(path, number)) is None:
        if time.monotonic() > deadline:
            raise AssertionError(f"no result of {number} within {seconds} s")
        time.sleep(0.02)
    return known
