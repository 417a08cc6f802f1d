#!/usr/bin/python3
"""Compares what a connection costs: our pools against a direct accept loop and against nginx.

The yardstick is server CPU per connection (every process of the server) divided by the load client's
own CPU of the same run, relative to the direct server in the same round. The client does the same work
every time, so the drift of the machine cancels. All servers run all the time; the rounds visit them in
turn, each round beginning with another one; medians over the rounds are printed.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import servers

REFERENCE = 'direct'
SECOND = 'nginx'
ACCEPTOR_FLOOR_US = 10.0  # per connection, at a concurrency of 64
PACED = 0  # stands for a concurrency: connections begin at a fixed rate, and latency is what counts
PACED_P50_FLOOR_US = 25.0  # over the reference
PACED_P99_FLOOR_US = 1000.0


def floor(mode, concurrency):
    """The most that a pool of ours may cost, relative to the direct server; None: no promise."""
    if mode == 'echo':
        return 1.15 if concurrency >= 64 else None
    return {1: 1.45, 64: 1.25, 512: 1.30}.get(concurrency)


def settled_ns(server):
    """CPU time used, once the server has finished with the connections of the last run."""
    used = server.account.used_ns()
    for _ in range(50):
        time.sleep(0.01)
        before, used = used, server.account.used_ns()
        if used - before < 100_000:
            break
    return used


def measure(load, server, mode, concurrency, options, client_cpu):
    command = [load, '--json', '-m', mode, '-n', max(options.count, 8 * concurrency)]
    command += ['-c', concurrency] if concurrency else ['-c', 512, '-r', options.rate]
    if not options.rst:
        command.append('--fin')
    if client_cpu is not None:
        command += ['-C', client_cpu]
    acceptor, used = server.acceptor_ns(), settled_ns(server)
    done = subprocess.run([str(word) for word in command + [f'127.0.0.1:{server.ports[mode]}']],
                          stdout=subprocess.PIPE, text=True, check=False)
    used = settled_ns(server) - used
    result = json.loads(done.stdout)
    each = max(result['done'], 1) * 1000
    result.update(server=server.name, concurrency=concurrency, server_us=used / each, client_us=result['cpu_us_each'])
    result['yardstick'] = result['server_us'] / max(result['client_us'], 1e-9)
    if acceptor is not None:
        result['acceptor_us'] = (server.acceptor_ns() - acceptor) / each
    return result


def run_rounds(options, contenders, load, client_cpu):
    """All results; each has the ratio to the reference of its round."""
    results = []
    for number in range(options.rounds):
        for mode in options.modes:
            for concurrency in options.concurrency:
                able = [s for s in contenders if mode in s.ports]
                first = number % len(able)
                batch = [measure(load, server, mode, concurrency, options, client_cpu)
                         for server in able[first:] + able[:first]]
                reference = next(result for result in batch if result['server'] == REFERENCE)
                yardsticks = {result['server']: result['yardstick'] for result in batch}
                for result in batch:
                    result.update(round=number, ratio=result['yardstick'] / yardsticks[REFERENCE],
                                  p50_over_us=result['p50_us'] - reference['p50_us'])
                    if SECOND in yardsticks:
                        result['to_nginx'] = result['yardstick'] / yardsticks[SECOND]
                results += batch
        print(f'round {number + 1} of {options.rounds} done', file=sys.stderr)
    return results


def summarise(results):
    """Medians by mode, concurrency and server, in the order of appearance."""
    groups = {}
    for result in results:
        groups.setdefault((result['mode'], result['concurrency'], result['server']), []).append(result)
    rows = []
    for (mode, concurrency, server), group in groups.items():
        row = {'mode': mode, 'concurrency': concurrency, 'server': server,
               'failed': sum(r['failed'] for r in group),
               'ratio_min': min(r['ratio'] for r in group), 'ratio_max': max(r['ratio'] for r in group)}
        for key in ('ratio', 'to_nginx', 'p50_over_us', 'server_us', 'client_us', 'acceptor_us', 'per_second', 'p50_us', 'p99_us'):
            values = [r[key] for r in group if key in r]
            row[key] = statistics.median(values) if values else None
        row['floor'] = floor(mode, concurrency) if server.startswith('ours') else None
        rows.append(row)
    return sorted(rows, key=lambda r: (r['mode'] != 'short', r['concurrency'], r['server']))


def misses(rows):
    """What does not keep its floor, as sentences."""
    for row in rows:
        where = f"{row['server']} {row['mode']} c={row['concurrency'] or 'paced'}"
        if row['failed']:
            yield f"{where}: {row['failed']} connections failed"
        if row['floor'] and row['ratio'] > row['floor']:
            yield f"{where}: ratio {row['ratio']:.2f}, floor {row['floor']:.2f}"
        if row['concurrency'] == PACED and row['server'].startswith('ours'):
            if row['p50_over_us'] > PACED_P50_FLOOR_US:
                yield f"{where}: p50 {row['p50_over_us']:.0f} us over direct, floor {PACED_P50_FLOOR_US:.0f}"
            if row['p99_us'] > PACED_P99_FLOOR_US:
                yield f"{where}: p99 {row['p99_us']:.0f} us, floor {PACED_P99_FLOOR_US:.0f}"
        if row['concurrency'] == 64 and (row['acceptor_us'] or 0) > ACCEPTOR_FLOOR_US:
            yield f"{where}: acceptor {row['acceptor_us']:.1f} us, floor {ACCEPTOR_FLOOR_US:.1f}"


def print_table(rows):
    print('               CPU per connection relative to      us per connection of')
    print('mode     c server    direct (min-max)  floor nginx  server client acceptor  conn/s p50/us p99/us failed')
    for row in rows:
        limit, nginx, alone = (f'{row[key]:.2f}' if row[key] else '-' for key in ('floor', 'to_nginx', 'acceptor_us'))
        print(f"{row['mode']:5} {row['concurrency'] or 'pace':>4} {row['server']:9} {row['ratio']:5.2f} "
              f"({row['ratio_min']:.2f}-{row['ratio_max']:.2f}) {limit:>5} {nginx:>5} {row['server_us']:7.2f} "
              f"{row['client_us']:6.2f} {alone:>8} {row['per_second']:7.0f} {row['p50_us']:6.0f} "
              f"{row['p99_us']:6.0f} {row['failed']:6}")


def make_contenders(options, programs, folder, cpus):
    contenders = []
    if 'direct' in options.servers:
        contenders.append(servers.Direct(programs, folder, cpus, options.modes))
    if 'nginx' in options.servers and 'short' in options.modes:
        if servers.Nginx.is_installed():
            contenders.append(servers.Nginx(folder, cpus))
        else:
            print('nginx or its stream module is not installed: left out', file=sys.stderr)
    if 'ours' in options.servers:
        contenders += [servers.Ours(programs, folder, cpus, options.modes, n) for n in options.workers]
    return contenders


def places(pin):
    """CPUs of the servers and the CPU of the client: the same one has the least noise."""
    cpus = sorted(os.sched_getaffinity(0))
    if pin == 'none':
        return None, None
    return ({cpus[-1]}, cpus[-1]) if pin == 'one' or len(cpus) < 2 else (set(cpus[1:]), cpus[0])


def words(kind):
    return lambda text: [kind(word) for word in text.split(',')]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--build', type=pathlib.Path, default=pathlib.Path('build'), help='build folder')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--count', type=int, default=10000, help='connections in a run')
    parser.add_argument('--quick', action='store_true', help='3 rounds of 3000 connections')
    parser.add_argument('--workers', type=words(int), default=[4, 64, 256], help='pools of ours')
    parser.add_argument('--concurrency', type=words(int), default=[1, 64, 512, PACED],
                        help='0: begin connections at --rate, whatever is answered')
    parser.add_argument('--rate', type=int, default=3000, help='connections a second of concurrency 0')
    parser.add_argument('--rst', action='store_true',
                        help='the client ends with RST instead of FIN, so that nothing is left in TIME_WAIT')
    parser.add_argument('--modes', type=words(str), default=['short', 'echo'])
    parser.add_argument('--servers', type=words(str), default=['direct', 'ours', 'nginx'])
    parser.add_argument('--pin', choices=['one', 'two', 'none'], default='one',
                        help='client and servers on one CPU, apart, or anywhere')
    parser.add_argument('--json', type=pathlib.Path, help='write all results there')
    parser.add_argument('--check', action='store_true', help='exit status 1 when a floor is missed')
    options = parser.parse_args()
    if REFERENCE not in options.servers:
        parser.error(f'--servers needs {REFERENCE}: the others are measured against it')
    if options.quick:
        options.rounds, options.count = 3, 3000
    return options


def run(options, folder):
    programs = options.build.resolve()
    cpus, client_cpu = places(options.pin)
    contenders = make_contenders(options, programs, folder, cpus)
    try:
        for server in contenders:
            server.start()
        return run_rounds(options, contenders, programs / 'test/bench/bench-load', client_cpu)
    finally:
        for server in contenders:
            server.stop()


def main():
    options = parse()
    with tempfile.TemporaryDirectory(prefix='dispatcher-bench-') as folder:
        os.chmod(folder, 0o755)
        results = run(options, folder)
    rows = summarise(results)
    print_table(rows)
    missed = list(misses(rows))
    for sentence in missed:
        print(f'MISSED {sentence}')
    if options.json:
        options.json.write_text(json.dumps({
            'kernel': platform.release(), 'cpus': os.cpu_count(), 'pin': options.pin,
            'summary': rows, 'runs': results}, indent=1) + '\n')
    return 1 if missed and options.check else 0


if __name__ == '__main__':
    sys.exit(main())
