#!/usr/bin/python3
"""Measures what an idle dispatcher takes, and what an idle connection costs supervisor and acceptor.

Memory is PSS: what is shared counts once, divided among those who share it.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import cpu
import servers

IDLE_FLOOR_MIB = 4.0  # everything, with four workers
CONNECTION_FLOOR_KIB = 0.1  # in supervisor and acceptor together


def pss_kib(pid):
    for line in pathlib.Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines():
        if line.startswith('Pss:'):
            return int(line.split()[1])
    return 0


def descriptors(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


def name_of(pid):
    return pathlib.Path(f'/proc/{pid}/cmdline').read_text().replace('\0', ' ').strip()


def keepers(server):
    """Supervisor and acceptor: the two whose cost must not grow with traffic."""
    return [server.processes[0].pid, server.status()['dispatcher']['acceptor_pid']]


def held(options, server, count):
    """Memory and descriptors of the keepers while count connections are held."""
    command = [options.build / 'test/bench/bench-load', '-m', 'hold', '-n', count, '-s', 4, '-H', 5,
               f"127.0.0.1:{server.ports['echo']}"]
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True) as load:
        line = load.stdout.readline().split()
        if line[:1] != ['held'] or int(line[1]) != count:
            sys.exit(f'{count} connections could not be held: {" ".join(line)}')
        found = [(pss_kib(pid), descriptors(pid)) for pid in keepers(server)]
        load.terminate()
    return found


def run(options, folder):
    server = servers.Ours(options.build, folder, None, ['echo'], 4)
    server.max_conns = options.count // 4 + 1
    try:
        server.start()
        total = 0
        for pid in cpu.descendants(server.processes[0].pid):
            total += pss_kib(pid)
            print(f'{pss_kib(pid):6} KiB  {name_of(pid)}')
        print(f'{total:6} KiB  all, idle (floor {IDLE_FLOOR_MIB * 1024:.0f})')
        held(options, server, options.count)  # grows what grows once
        servers.wait_until(lambda: not server.status()['services'][0]['connections'], 'the end of the first round')
        before = [(pss_kib(pid), descriptors(pid)) for pid in keepers(server)]
        during = held(options, server, options.count)
    finally:
        server.stop()
    each = sum(d[0] - b[0] for d, b in zip(during, before)) / options.count
    print(f'{each:6.3f} KiB  each of {options.count} held connections in supervisor and acceptor '
          f'(floor {CONNECTION_FLOOR_KIB}); descriptors {before[0][1]}+{before[1][1]} '
          f'before, {during[0][1]}+{during[1][1]} during')
    return total > IDLE_FLOOR_MIB * 1024 or each > CONNECTION_FLOOR_KIB


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--build', type=pathlib.Path, default=pathlib.Path('build'), help='build folder')
    parser.add_argument('--count', type=int, default=4000, help='connections to hold')
    options = parser.parse_args()
    options.build = options.build.resolve()
    with tempfile.TemporaryDirectory(prefix='dispatcher-bench-') as folder:
        os.chmod(folder, 0o755)
        return int(run(options, folder))


if __name__ == '__main__':
    sys.exit(main())
