"""The control socket: requests that are refused, and orders that have ids and results."""

import pytest

from harness import control
from harness.daemon import service

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
