"""Files made from the table of options: what -t says of each, and what a reload does with it."""

import os
import random
import subprocess

import pytest

from harness.mutations import Mutator

SEED = int(os.environ.get("SEED", "0")) or random.randrange(1 << 32)
EX_CONFIG = 78


@pytest.fixture
def seeded():
    print(f"SEED={SEED}")
    return random.Random(SEED)


def base_of(stage, directory, port):
    """Services for every kind of worker; the one that is mutated has no load of its own."""
    for name in ("run", "state", "log"):
        (directory / name).mkdir(exist_ok=True)
    return {
        "": [f"RUN_DIR={directory}/run", f"STATE_DIR={directory}/state", f"LOG_DIR={directory}/log",
             f"CONTROL_SOCKET={directory}/run/control.sock", f"WORKER_DIR={stage.bin}", "MAX_PROCS=4",
             "LIMIT_NOFILE=1024"],
        "DISPATCHER": ["SHUTDOWN_TIMEOUT=10s"],
        "loaded": [f"PORT=127.0.0.1:{port()}", "IMAGE=dispatcher-echo"],
        "victim": [f"PORT={port()}", "INTERFACE_ADDRESS=127.0.0.1", "IMAGE=dispatcher-echo"],
        "exec": [f"PORT=127.0.0.1:{port()}", "COMMAND=/bin/cat", "MAX_CONNS=40"],
    }


def mutator_of(stage, directory, port, seeded):
    other = directory / "another-echo"
    other.write_bytes(stage.program("dispatcher-echo").read_bytes())
    other.chmod(0o755)
    return Mutator(stage, seeded, base_of(stage, directory, port), "victim", ["dispatcher-echo", other],
                   ["/bin/cat", "/bin/cat -u"], port, directory)


def test_t_takes_what_the_table_allows_and_refuses_what_it_does_not(stage, directory, port, seeded, rounds):
    mutator = mutator_of(stage, directory, port, seeded)
    path = directory / "dispatcher.cnf"
    count = rounds(100)
    for mutation in [*mutator.make(mutator.valid, count), *mutator.make(mutator.invalid, count)]:
        path.write_text(mutation.file)
        run = subprocess.run([stage.program("dispatcher"), "-t", "-c", path], capture_output=True,
                             text=True, timeout=20)
        expected = 0 if mutation.taken else EX_CONFIG
        assert run.returncode == expected, (SEED, mutation, run.stderr)
        if not mutation.taken:
            number = mutation.file.splitlines().index(mutation.line) + 1
            assert f"dispatcher.cnf:{number}: " in run.stderr, (SEED, mutation, run.stderr)
