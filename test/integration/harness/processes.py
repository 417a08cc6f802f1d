"""Processes as /proc shows them. No psutil: it is not on a bare system."""

import ctypes
import os
import subprocess
import time

PR_SET_CHILD_SUBREAPER = 36


def become_subreaper():
    """Orphans below us become our children, so that no stray process escapes the tests."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def stat(pid):
    """(state, parent) of a process, or None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[1])


def alive(pid):
    seen = stat(pid)
    return seen is not None and seen[0] not in "ZX"


def all_parents():
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (seen := stat(int(name))):
            table[int(name)] = seen[1]
    return table


def descendants(pid):
    """Every process below pid, zombies included."""
    parents, found, wave = all_parents(), [], [pid]
    while wave:
        wave = [child for child, parent in parents.items() if parent in wave]
        found += wave
    return found


def zombies(pid):
    return [child for child in descendants(pid) if (seen := stat(child)) and seen[0] == "Z"]


def command(pid):
    """The command line, or the name in brackets for who has none."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
        with open(f"/proc/{pid}/comm") as file:
            return words or f"[{file.read().strip()}]"
    except (FileNotFoundError, ProcessLookupError):
        return "gone"


def descriptors(pid):
    """{number: what it refers to}."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            pass
    return found


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file:
            if line.startswith("Pss:"):
                return int(line.split()[1])
    raise ValueError("no Pss")


def cpu_seconds(pid):
    """User and system time that a process has used."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def identity(pid):
    """(user id, group id), as in force."""
    with open(f"/proc/{pid}/status") as file:
        words = dict(line.split(":", 1) for line in file)
    return tuple(int(words[key].split()[1]) for key in ("Uid", "Gid"))


def limit_descriptors(pid, soft):
    """Sets RLIMIT_NOFILE of another process as the user that it runs as: where root lacks
    CAP_SYS_RESOURCE, only that user may. Returns the soft limit that was."""
    code = ("import resource as r, sys; pid, soft = map(int, sys.argv[1:]); "
            "was = r.prlimit(pid, r.RLIMIT_NOFILE); r.prlimit(pid, r.RLIMIT_NOFILE, (soft, was[1])); "
            "print(was[0])")
    user, group = identity(pid)
    become = dict(user=user, group=group, extra_groups=[]) if os.getuid() == 0 else {}
    run = subprocess.run(["/usr/bin/python3", "-c", code, str(pid), str(soft)], check=True, text=True,
                         stdout=subprocess.PIPE, **become)
    return int(run.stdout)


def reap():
    """Collects our own dead children that nobody waits for."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def wait_until(claim, what, seconds=10.0, step=0.02):
    """Returns the first true value of claim(); fails with what() or what after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = claim()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(step)
