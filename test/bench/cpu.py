"""What servers cost: CPU time of every process of a server, those that have died included.

A cgroup of its own is exact. Where none can be made (no root, no cgroups), the times in /proc of the
process tree are summed up; what a child has used then counts once its parent has waited for it, in
ticks of 10 ms.
"""
import os
import pathlib

TICK_NS = 10**9 // os.sysconf('SC_CLK_TCK')


def _cgroup_homes():
    """Folders in which a cgroup that counts CPU may be made, best first."""
    own = {}
    for line in pathlib.Path('/proc/self/cgroup').read_text().splitlines():
        _, controllers, path = line.split(':', 2)
        own.update((name, path) for name in controllers.split(','))
    for line in pathlib.Path('/proc/mounts').read_text().splitlines():
        _, mount, kind, options = line.split()[:4]
        if kind == 'cgroup' and 'cpuacct' in options.split(','):
            yield pathlib.Path(mount + own.get('cpuacct', '/'))
    for line in pathlib.Path('/proc/mounts').read_text().splitlines():
        _, mount, kind = line.split()[:3]
        if kind == 'cgroup2':
            yield pathlib.Path(mount + own.get('', '/'))


class Cgroup:
    """The CPU time of all that ever ran in one cgroup."""

    def __init__(self, folder):
        self.folder = folder

    def join(self):
        """Called in the child, before it becomes the server."""
        (self.folder / 'cgroup.procs').write_text(str(os.getpid()))

    def started(self, pid):
        pass

    def used_ns(self):
        try:
            return int((self.folder / 'cpuacct.usage').read_text())
        except FileNotFoundError:
            words = (self.folder / 'cpu.stat').read_text().split()
            return int(words[words.index('usage_usec') + 1]) * 1000

    def remove(self):
        for folder, _, _ in os.walk(self.folder, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                pass


class Tree:
    """The CPU time of a process and its descendants as /proc tells it."""

    def __init__(self):
        self.pid = None

    def join(self):
        pass

    def started(self, pid):
        self.pid = pid

    def used_ns(self):
        return sum(_stat_ns(pid) for pid in descendants(self.pid))

    def remove(self):
        pass


def account(name):
    """A cgroup of this name where one can be made, else the process tree."""
    for home in _cgroup_homes():
        folder = home / f'dispatcher-bench-{os.getpid()}-{name}'
        try:
            folder.mkdir()
        except OSError:
            continue
        found = Cgroup(folder)
        try:
            found.used_ns()
            return found
        except (OSError, ValueError):
            found.remove()
    return Tree()


def _stat_fields(pid):
    text = pathlib.Path(f'/proc/{pid}/stat').read_text()
    return text.rpartition(')')[2].split()


def _stat_ns(pid):
    try:
        return sum(map(int, _stat_fields(pid)[11:15])) * TICK_NS
    except OSError:
        return 0


def descendants(root):
    """root and every process below it."""
    children = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            children.setdefault(int(_stat_fields(pid)[1]), []).append(int(pid))
        except OSError:
            continue
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def process_ns(pid):
    """CPU time of one living process, all its threads, in nanoseconds."""
    total = 0
    for task in pathlib.Path(f'/proc/{pid}/task').iterdir():
        total += int((task / 'schedstat').read_text().split()[0])
    return total
