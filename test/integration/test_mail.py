"""Mail filters as pools, behind a real Postfix: what it accepts is delivered and signed, whoever dies."""

import grp
import pathlib
import pwd
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def exists(table, name):
    try:
        table(name)
        return True
    except KeyError:
        return False


@pytest.mark.root
def test_the_shipped_pool_of_opendkims_can_be_started_on_debian(stage, directory):
    if not exists(pwd.getpwnam, "opendkim"):
        pytest.skip("opendkim is not installed")
    text = (ROOT / "config" / "opendkim.cnf").read_text()
    if not exists(grp.getgrnam, "postfix"):  # Postfix is not installed: any group will do
        text = text.replace("SOCKET_GROUP=postfix", "SOCKET_GROUP=mail")
    path = directory / "opendkim.cnf"
    path.write_text(f"WORKER_DIR={stage.bin}\n" + text)
    run = subprocess.run([stage.program("dispatcher"), "-t", "-c", path], capture_output=True, text=True,
                         timeout=20)
    assert run.returncode == 0 and not run.stderr, run.stderr
    for line in ("PORT=127.0.0.1:8891", "SOCKET_MODE=0660", "MIN_PROCS=2", "MAX_LIFE_CONNS=1000"):
        assert f"\n{line}\n" in run.stdout
