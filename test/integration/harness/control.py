"""The control socket, spoken directly: what dispatcherctl speaks."""

import json
import socket


class Refused(Exception):
    """The dispatcher answered with a status that is not 0."""


def ask(path, verb, *args, seconds=10.0):
    """Sends one request; returns the JSON document of the answer, None if there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(seconds)
        sock.connect(str(path))
        sock.sendall(json.dumps({"verb": verb, "args": list(args)}).encode() + b"\n")
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
    head, _, body = answer.partition(b"\n")
    result = json.loads(head)
    if result["status"] != 0:
        raise Refused(result["error"])
    return json.loads(body) if body.strip() else None
