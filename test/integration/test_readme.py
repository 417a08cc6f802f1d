"""The README tells the truth where a test can see it."""

import pathlib
import re
import subprocess

from harness import certificates, servers

TREE = pathlib.Path(__file__).resolve().parents[2]
README = (TREE / "README.md").read_text()


def test_its_workers_are_the_examples_that_are_built_and_run():
    blocks = re.findall(r"```c\n(.*?)```", README, re.S)
    examples = [(TREE / "worker" / "examples" / name).read_text() for name in ("redirect.c", "greylist.c")]
    assert blocks == examples
    assert all(block.count("\n") < 45 for block in blocks)


def test_its_configuration_passes_the_check(stage, directory):
    text = re.search(r"( {4}! /etc/dispatcher/dispatcher.cnf\n.*?)\n\n`", README, re.S)[1]
    path = directory / "readme.cnf"
    path.write_text(f"RUN_DIR={directory}\nSTATE_DIR={directory}\nWORKER_DIR={stage.bin}\n"
                    + re.sub(r"^ {4}", "", text, flags=re.M))
    run = subprocess.run([stage.program("dispatcher"), "-t", "-c", path], capture_output=True, text=True)
    assert run.returncode == 0, run


def test_every_event_and_manual_that_it_names_exists():
    events = (TREE / "common" / "log.c").read_text()
    for event in re.findall(r"^ {4}([a-z]+\.[a-z_]+) {2,}", README, re.M):
        assert f'"{event}"' in events, event
    for name, section in re.findall(r"([a-z.-]+)\((\d)\)", README):
        assert list(TREE.glob(f"*/**/{name}.{section}.scd")), f"{name}({section})"


def test_its_table_names_every_program_that_is_tested_as_a_pool():
    table = "".join(line for line in README.splitlines() if line.startswith("|")).lower()
    for kind in servers.ALL:
        assert kind.name.partition("-")[0] in table, kind.name


def test_the_shipped_example_passes_the_check(stage, directory):
    path = directory / "try.cnf"
    path.write_text(f"RUN_DIR={directory}\nSTATE_DIR={directory}\nLOG_DIR={directory}\n"
                    f"WORKER_DIR={stage.bin}\n<{TREE}/config/dispatcher.cnf\n")
    run = subprocess.run([stage.program("dispatcher"), "-t", "-c", path], capture_output=True, text=True)
    assert run.returncode == 0, run


def test_the_shipped_example_passes_the_check_with_tls_as_well(stage, directory):
    example = re.sub(r"^! (TLS_\w+=)", r"\1", (TREE / "config" / "dispatcher.cnf").read_text(), flags=re.M)
    certificates.write(directory / "pair.pem", *certificates.make("mail.example.org"))
    path = directory / "try.cnf"
    path.write_text(f"RUN_DIR={directory}\nSTATE_DIR={directory}\nLOG_DIR={directory}\nWORKER_DIR={stage.bin}\n"
                    + example.replace("/etc/dispatcher/mail.pem", str(directory / "pair.pem")))
    run = subprocess.run([stage.program("dispatcher"), "-t", "-c", path], capture_output=True, text=True)
    assert run.returncode == 0 and ":2465" in run.stdout, run
