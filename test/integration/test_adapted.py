"""Unmodified servers as workers (ADAPTER=server): python3's http.server and a small one in C."""

import pytest

from harness import clients
from harness.daemon import service
from harness.load import Load


def adapted(stage, name, mode, *ports, **options):
    """A service of the C server (workers/server.c)."""
    where = " ".join(port[5:] if isinstance(port, str) else f"127.0.0.1:{port}" for port in ports)
    return service(name, *ports, ADAPTER="server", COMMAND=f"{stage.program('server')} {mode} {where}",
                   **options)


def counts(one):
    return one["accepted"], one["done"], one["lost"], one["connections"]


def wait_counts(daemon, *expected, name=None):
    """Exactly these: accepted, done, lost, open."""
    return daemon.wait_service(lambda one: counts(one) == expected, f"counts {expected}", name)


def test_a_server_that_knows_nothing_of_us_serves_and_is_counted(stage, run_daemon, port):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", "poll", number, MIN_PROCS=1, MAX_PROCS=1))
    clients.echo(number)
    wait_counts(daemon, 1, 1, 0, 0)


@pytest.mark.parametrize("mode", ["poll", "threads", "forks", "preforks"])
def test_every_connection_is_served_and_counted_while_workers_are_recycled(
        stage, run_daemon, port, rounds, mode):
    number, count = port(), rounds(1500)
    daemon = run_daemon(adapted(stage, "echo", mode, number, MIN_PROCS=2, MAX_PROCS=4,
                                MAX_LIFE_CONNS=100))
    with Load(number, 16, count) as load:
        result = load.wait()
    assert result["failed"] == {}, result
    wait_counts(daemon, count, count, 0, 0)
    assert len(daemon.events("worker.exit", "reason=spent", "lost=0")) >= count // 300
