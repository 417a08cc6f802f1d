"""The control socket: requests that are refused, and orders that have ids and results."""

import os
import time

import pytest

from harness import clients, control
from harness.daemon import service
from harness.load import Load
from harness.storm import KINDS, Storm

pytestmark = pytest.mark.sanitized


@pytest.fixture
def daemon(run_daemon, port):
    return run_daemon(service("one", port(), IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=2))


def refusal(daemon, document):
    with pytest.raises(control.Refused) as refused:
        control.request(daemon.control_path, document)
    return str(refused.value)


def test_a_request_that_is_not_understood_whole_is_refused_whole(daemon):
    number = control.new_id()
    assert "unknown verb" in refusal(daemon, {"verb": "dance", "args": []})
    assert "unknown verb" in refusal(daemon, ["status"])
    assert "too many arguments" in refusal(daemon, {"verb": "status", "args": ["one", "two"]})
    assert "argument is missing" in refusal(daemon, {"verb": "restart", "id": number})
    assert "argument is missing" in refusal(daemon, {"verb": "start", "args": [7], "id": number})
    assert "id is missing" in refusal(daemon, {"verb": "restart", "args": ["one"]})
    assert "does not take" in refusal(daemon, {"verb": "status", "now": True})
    assert "does not take" in refusal(daemon, {"verb": "reopen", "id": number, "tls": True})
    for wrong in ("0" * 16, "12", 12, "g" * 16, "1" * 17):
        assert "id" in refusal(daemon, {"verb": "reopen", "id": wrong})
    for wrong in (-1, 1.5, "1s", 1 << 60):
        assert "drain_ms" in refusal(daemon, {"verb": "restart", "args": ["one"], "id": number,
                                              "drain_ms": wrong})
    assert not daemon.events("control.order")


def test_a_name_that_nobody_has_is_refused_with_the_name(daemon):
    assert "no service two" in refusal(daemon, {"verb": "status", "args": ["two"]})
    assert "no worker one/9" in refusal(daemon, {"verb": "connections", "args": ["one/9"]})
    number = control.new_id()
    for verb in ("restart", "start", "enable", "disable"):
        assert "no service two" in refusal(daemon, {"verb": verb, "args": ["two"], "id": number})
    assert "no worker one/9" in refusal(daemon, {"verb": "kill", "args": ["one/9"], "id": number})
    assert not daemon.events("control.order")


def test_an_order_is_carried_out_once_and_its_result_is_kept(daemon):
    number = control.new_id()
    assert daemon.result(number) is None
    for _ in range(3):
        assert daemon.order("reopen", id=number)["id"] == number
    ended = daemon.result(number)
    assert (ended["verb"], ended["status"]) == ("reopen", 0) and "open again" in ended["text"]
    assert len(daemon.events("control.order", number)) == 1


def test_the_last_sixteen_results_are_kept(daemon):
    numbers = [daemon.order("reopen")["id"] for _ in range(18)]
    known = [daemon.result(number) is not None for number in numbers]
    assert known == [False] * 2 + [True] * 16


# --- clients who mean no good ---

ADMIN_GID, STATUS_GID = 4711, 4712
HOSTILE_UID, POLITE_UID = 54321, 54322


def memory_kib(pid):
    """What a process has of its own, in KiB."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon:"))


def keeps_what_is_freed(stage):
    """A sanitizer keeps freed memory back for a while."""
    return b"__asan_init" in stage.program("dispatcher").read_bytes()


def ask_as(daemon, uid, *words):
    """Seconds that a member of ADMIN_GROUP waits for the answer."""
    began = time.monotonic()
    run = daemon.ctl(*words, user=uid, group=ADMIN_GID, extra_groups=[])
    assert run.returncode == 0, (words, run.stdout, run.stderr)
    return time.monotonic() - began


def many_services(directory, count=300):
    """So many that their status does not fit into the buffer of a socket."""
    return [service(f"silent{i}", f"unix:{directory}/s{i}", IMAGE="dispatcher-echo", MIN_PROCS=0,
                    MAX_PROCS=1, MAX_CONNS=1, MIN_CONNS=1) for i in range(count)]


@pytest.mark.root
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_hostile_clients_delay_nobody(run_daemon, stage, port, rounds, directory, kind):
    number = port()
    more = many_services(directory) if kind == "slow_reader" else []
    daemon = run_daemon(service("one", number, IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=2),
                        *more, defaults=f"ADMIN_GROUP={ADMIN_GID}\n")
    acceptor, waits = daemon.acceptor_pid(), {0: [], POLITE_UID: []}
    patience = 15 if keeps_what_is_freed(stage) else 3  # sanitizers are slow
    before = memory_kib(acceptor)
    with Storm(daemon.control_path, kind, 1000, HOSTILE_UID, ADMIN_GID) as storm, \
            Load(number, 8) as load:
        for _ in range(rounds(15)):
            for uid, times in waits.items():
                times.append(ask_as(daemon, uid, "status"))
        grown = memory_kib(acceptor) - before
        result, figures = load.stop(), storm.stop()
    told = (f"{kind}: root and a member waited {max(waits[0]):.3f} and {max(waits[POLITE_UID]):.3f} s "
            f"at most, echo {result['longest_ms']} ms; {grown} KiB more; {figures}")
    print(told)
    assert result["failed"] == {} and result["ok"] > 0, result
    assert figures["opened"] >= 1000 and max(waits[0] + waits[POLITE_UID]) < patience, told
    assert grown < 16384 or keeps_what_is_freed(stage), told
    assert memory_kib(acceptor) > 0, "it still lives"


def test_who_does_not_finish_a_request_is_closed(daemon):
    with clients.connect(daemon.control_path) as sock:
        sock.sendall(b'{"verb":')
        began = time.monotonic()
        assert clients.receive_all(sock) == b""
        assert 0.9 < time.monotonic() - began < 8


@pytest.mark.root
def test_a_stranger_gets_no_answer(daemon):
    daemon.control_path.chmod(0o777)
    run = daemon.ctl("status", user=HOSTILE_UID, group=HOSTILE_UID, extra_groups=[])
    assert run.returncode == 1 and "ADMIN_GROUP" in run.stderr, run


@pytest.mark.root
def test_the_user_of_the_acceptor_is_a_stranger(run_daemon, port):
    """Where both groups are set everybody may knock, and other programs may have the same user."""
    daemon = run_daemon(service("one", port(), IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=2),
                        defaults=f"ADMIN_GROUP={ADMIN_GID}\nSTATUS_GROUP={STATUS_GID}\n")
    uid = os.stat(f"/proc/{daemon.acceptor_pid()}").st_uid
    assert uid != 0
    for words in (["status"], ["shutdown"]):
        run = daemon.ctl(*words, user=uid, group=POLITE_UID, extra_groups=[])
        assert run.returncode == 1 and "may ask" in run.stderr, run


@pytest.mark.root
@pytest.mark.parametrize("beside", ["", f"ADMIN_GROUP={ADMIN_GID}\n"])
def test_the_status_group_may_look_and_do_nothing(run_daemon, port, beside):
    daemon = run_daemon(service("one", port(), IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=2),
                        defaults=f"STATUS_GROUP={STATUS_GID}\n{beside}")
    who = dict(user=POLITE_UID, group=STATUS_GID, extra_groups=[])
    for verb in ("status", "version"):
        assert daemon.ctl(verb, **who).returncode == 0
    for words in (["shutdown"], ["restart", "one"], ["reopen"], ["config"], ["connections"]):
        run = daemon.ctl(*words, **who)
        assert run.returncode == 1 and "ADMIN_GROUP may" in run.stderr, run
    assert daemon.ctl("status", user=POLITE_UID, group=POLITE_UID, extra_groups=[]).returncode == 1
    if beside:
        run = daemon.ctl("reopen", user=POLITE_UID, group=ADMIN_GID, extra_groups=[])
        assert run.returncode == 0, run
