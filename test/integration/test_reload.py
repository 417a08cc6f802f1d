"""reload: another configuration as one transaction, under load."""

import os
import shutil
import socket

import pytest

from harness import clients, processes
from harness.clients import Held
from harness.daemon import service
from harness.load import Load
from harness.processes import wait_until

pytestmark = pytest.mark.sanitized

HELD = 30


def echo(number, name="echo", **more):
    ports = number if isinstance(number, (list, tuple)) else [number]
    options = dict(IMAGE="dispatcher-echo", MIN_PROCS=2, MAX_PROCS=6, MIN_CONNS=20, MAX_CONNS=60,
                   MAX_LIFE_CONNS=0)
    return service(name, *ports, **{**options, **more})


def rewrite(daemon, *sections):
    daemon.write_config("", "", *sections)


def reload(daemon, *sections, **options):
    rewrite(daemon, *sections)
    return daemon.order("reload", **options)["text"]


def serials(daemon, name="echo", state="serving"):
    return {w["id"] for w in daemon.service(name)["workers"] if w["state"] == state}


def config_hash(daemon):
    return daemon.status()["dispatcher"]["config_hash"]


class Busy:
    """Continuous short connections and held ones; at the end nobody has noticed anything."""

    def __init__(self, port, held=HELD):
        self.load, self.held = Load(port, 4), Held()
        self.socks = [self.held.open(port) for _ in range(held)]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        result = self.load.stop()
        if kind is None:
            for sock in self.socks:
                clients.echo_on(sock, b"still there\n")
        self.held.close()
        assert kind or not result["failed"], result
        assert kind or result["ok"], result
        self.result = result


def test_new_limits_are_in_force_and_no_worker_is_touched(run_daemon, port):
    number = port()
    daemon = run_daemon(echo(number))
    with Busy(number):
        before = serials(daemon)
        text = reload(daemon, echo(number, MAX_PROCS=9, MIN_CONNS=25))
        assert "max_procs 6 -> 9, min_conns 20 -> 25, no worker is touched" in text, text
        one = daemon.service()
        assert (one["max_procs"], one["min_conns"]) == (9, 25)
        assert before <= serials(daemon)
    assert daemon.status()["dispatcher"]["last_reload"]["status"] == 0


def test_workers_of_a_changed_service_are_replaced_and_only_those(run_daemon, port):
    number, other = port(), port()
    daemon = run_daemon(echo(number), echo(other, "other"))
    with Busy(number), Busy(other, 3):
        before, untouched = serials(daemon), serials(daemon, "other")
        reload(daemon, echo(number, PARAMETER="COLOUR=blue"), echo(other, "other"))
        daemon.wait_service(lambda one: not before & {w["id"] for w in one["workers"]
                                                      if w["state"] == "serving"}, "all replaced",
                            "echo")
        assert untouched <= serials(daemon, "other")


def test_a_port_comes_and_goes_again(run_daemon, port):
    number, added = port(), port()
    daemon = run_daemon(echo(number))
    with Busy(number):
        before = serials(daemon)
        reload(daemon, echo([number, added]))
        clients.echo(added)
        assert before <= serials(daemon)
        with Held() as held:
            sock = held.open(added)
            reload(daemon, echo(number))
            wait_until(lambda: refuses(added), "the port is closed")
            clients.echo_on(sock, b"still there\n")
        assert [one["address"] for one in daemon.service()["listeners"]] == [f"127.0.0.1:{number}"]


def refuses(number):
    try:
        clients.connect(number, 0.2).close()
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        pass
    return False


def test_a_service_comes_and_goes_again(run_daemon, port):
    number, added = port(), port()
    daemon = run_daemon(echo(number))
    with Busy(number), Held() as held:
        reload(daemon, echo(added, "added"), echo(number))
        clients.echo(added)
        sock = held.open(added)
        reload(daemon, echo(number))
        wait_until(lambda: refuses(added), "the port is closed")
        assert daemon.service("added")["state"] == "closing"
        clients.echo_on(sock, b"the last one\n")
        held.close_one()
        daemon.wait(lambda status: [one["name"] for one in status["services"]] == ["echo"],
                    "the service is gone with its last connection")
