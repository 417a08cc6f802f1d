"""Files made from the table of options: what -t says of each, and what a reload does with it."""

import os
import random
import re
import subprocess

import pytest

from harness import certificates, clients
from harness.clients import Held
from harness.daemon import service
from harness.load import Load
from harness.mutations import Mutator, server
from harness.processes import wait_until

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
    adapted = port()
    certificates.write(directory / "tls.pem", *certificates.make("localhost", "*.example.org"))
    return {
        "": [f"RUN_DIR={directory}/run", f"STATE_DIR={directory}/state", f"LOG_DIR={directory}/log",
             f"CONTROL_SOCKET={directory}/run/control.sock", f"WORKER_DIR={stage.bin}", "MAX_PROCS=4",
             "LIMIT_NOFILE=1024"],
        "DISPATCHER": ["SHUTDOWN_TIMEOUT=10s"],
        "loaded": [f"PORT=127.0.0.1:{port()}", "IMAGE=dispatcher-echo"],
        "victim": [f"PORT={port()}", "INTERFACE_ADDRESS=127.0.0.1", "IMAGE=dispatcher-echo",
                   f"TLS_CERT={directory}/tls.pem", f"TLS_KEY={directory}/tls.pem",
                   f"TLS_CLIENT_CA={directory}/tls.pem",
                   # what holds who waits is there from then on, as is what watches over adapted servers
                   "WHEN_FULL=refuse", "QUEUE_SIZE=5"],
        "server": [f"PORT=127.0.0.1:{adapted}", server(directory, adapted)],
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


class Reloads:
    """A dispatcher that is given one file after the other."""

    def __init__(self, daemon, stage, free_port, seeded):
        self.daemon, self.stage, self.ports = daemon, stage, set()
        self.mutator = mutator_of(stage, daemon.directory, free_port, seeded)
        self.in_force = daemon.directory / "in-force.cnf"  # a copy of the last that was taken
        self.daemon.config_path.write_text(self.mutator.text())
        self.in_force.write_text(self.mutator.text())
        self.load_port = int(self.mutator.base["loaded"][0].rpartition(":")[2])
        self.counts = {True: 0, False: 0}

    def config(self):
        run = self.daemon.ctl("config")
        assert run.returncode == 0, run
        return self.in_order(run.stdout)

    def expected_config(self):
        run = subprocess.run([self.stage.program("dispatcher"), "-t", "-c", self.in_force], check=True,
                             capture_output=True, text=True)
        return self.in_order("".join(line for line in run.stdout.splitlines(True)
                                     if not line.startswith("! ")))

    @staticmethod
    def in_order(config):
        """The ports of a service in some order: one that stays keeps its place."""
        return re.sub(r"(?m)(^PORT=.*\n)+", lambda m: "".join(sorted(m[0].splitlines(True))), config)

    def listening(self, config):
        """The addresses of the services that are enabled, as clients name them."""
        found = set()
        for section in config.split("[SERVICE=")[1:]:
            if "\nENABLE=1\n" in section:
                found |= set(re.findall(r"^PORT=(.+)$", section, re.M))
        return found

    def check_ports(self, config):
        now = self.listening(config)
        for name in now:
            clients.echo(self.address(name))
        for name in self.ports - now:
            wait_until(lambda: self.is_closed(name), lambda: f"{name} is closed", 10)
        self.ports |= now

    @staticmethod
    def address(name):
        host, _, port = name.rpartition(":")
        return name.removeprefix("unix:") if host == "unix" else (host, int(port))

    def is_closed(self, name):
        try:
            clients.connect(self.address(name)).close()
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        return False

    def check_status(self, config):
        """Who accepts goes by the same limits."""
        for one in self.daemon.status()["services"]:
            section = config.partition(f"[SERVICE={one['name']}]\n")[2].partition("[SERVICE=")[0]
            for name in ("min_procs", "max_procs", "min_conns", "max_conns"):
                assert f"\n{name.upper()}={one[name]}\n" in "\n" + section, (one["name"], name)

    def reload(self, mutation):
        before = self.daemon.status()["dispatcher"]["config_hash"]
        self.daemon.config_path.write_text(mutation.file)
        text = self.daemon.order("reload", expect=0 if mutation.reloads else 1, seconds=60)["text"]
        if mutation.reloads:
            self.in_force.write_text(mutation.file)
        else:
            assert text, "it is not said why"
        config = self.config()
        assert config == self.expected_config()
        hash_now = self.daemon.status()["dispatcher"]["config_hash"]
        assert mutation.reloads or hash_now == before, "it was refused, and the hash is another"
        self.check_ports(config)
        self.check_status(config)
        self.counts[mutation.reloads] += 1


@pytest.mark.sanitized
def test_a_reload_of_any_file_is_in_force_as_a_whole_or_changes_nothing(make_daemon, stage, port, seeded,
                                                                       rounds):
    daemon = make_daemon(service("loaded", port()))
    made = Reloads(daemon, stage, port, seeded)
    mutator, count, held = made.mutator, rounds(20), Held()
    mutations = mutator.make(mutator.valid, count) + mutator.make(mutator.invalid, count)
    seeded.shuffle(mutations)
    daemon.expect_errors(r"config\.refused", r"worker\.spawn_failed")
    daemon.start()
    with Load(made.load_port, 4) as load:
        socks = [held.open(made.load_port) for _ in range(10)]
        for mutation in mutations:
            try:
                made.reload(mutation)
            except AssertionError as error:
                raise AssertionError(f"SEED={SEED} {mutation}: {error}\n{daemon.tail()}") from error
        result = load.stop()
    for sock in socks:
        clients.echo_on(sock, b"still there\n")
    held.close()
    assert not result["failed"] and result["ok"], (SEED, result)
    made.daemon.config_path.write_text(mutator.text())
    daemon.order("reload", seconds=60)
    print(f"reloads: {made.counts}, load: {result}")
