#!/usr/bin/python3
"""Compares what a connection costs a program that is adapted, and the same program accepting by itself.

Both are one process of the program; what counts is the CPU time of that process per connection, divided
by the client's own of the same run, relative to the program alone in the same round. What acceptor and
supervisor add is shown beside it.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import cpu
import servers

FLOOR = 1.3  # the most that an adapted program may cost
HTTP = 'GET / HTTP/1.0\r\n\r\n'
PYTHON = """import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'hello')
    def log_message(self, *_):
        pass
http.server.HTTPServer.request_queue_size = 512
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
"""


def nginx(folder, port):
    (folder / 'nginx.conf').write_text(f'''daemon off;
master_process off;
pid {folder}/pid;
error_log /dev/null;
events {{ worker_connections 4096; }}
http {{ access_log off; server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 hello; }} }} }}
''')
    return ['/usr/sbin/nginx', '-e', '/dev/null', '-c', folder / 'nginx.conf']


def redis(folder, port):
    return ['/usr/bin/redis-server', '--port', port, '--bind', '127.0.0.1', '--dir', folder, '--loglevel', 'warning',
            '--logfile', '/dev/null', '--tcp-backlog', '4096']


def python(folder, port):
    (folder / 'server.py').write_text(PYTHON)
    return ['/usr/bin/python3', folder / 'server.py', port]


PROGRAMS = {'nginx': (nginx, HTTP, 10000), 'redis': (redis, 'PING\r\n', 10000), 'python': (python, HTTP, 3000)}


class Alone(servers.Server):
    """The program as anybody starts it."""

    KIND = 'alone'

    def __init__(self, name, folder, cpus):
        super().__init__(f'{name}-{self.KIND}', folder, cpus)
        self.make, self.request, self.count = PROGRAMS[name]
        self.port = servers.free_port()

    def command(self):
        return self.make(self.folder, self.port)

    def start(self):
        self.spawn(*self.command())
        servers.wait_until(self.answers, f'{self.name} on {self.port}: {self.log_tail()}')

    def answers(self):
        return servers.answers(self.port, self.request.encode())

    def program(self):
        return self.processes[0].pid

    def program_ns(self):
        return cpu.process_ns(self.program())


class Adapted(Alone):
    """The same program as the only worker of a dispatcher."""

    KIND = 'adapted'

    def __init__(self, name, folder, cpus, programs):
        super().__init__(name, folder, cpus)
        self.dispatcher, self.worker_dir = programs / 'dispatcher/dispatcher', programs / 'worker'

    def start(self):
        for name in ('run', 'state'):
            (self.folder / name).mkdir()
        config = self.folder / 'dispatcher.cnf'
        words = ' '.join(map(str, self.command()))
        config.write_text(f'''RUN_DIR={self.folder}/run
STATE_DIR={self.folder}/state
LOG_DIR={self.folder}
CONTROL_SOCKET={self.folder}/run/control
WORKER_DIR={self.worker_dir}
[SERVICE=PROGRAM]
PORT=127.0.0.1:{self.port}
ADAPTER=server
COMMAND={words}
USER={os.getuid() and os.environ.get('USER') or 'root'}
MIN_PROCS=1
MAX_PROCS=1
MAX_CONNS=1024
MAX_LIFE_CONNS=0
MAX_LIFE_TIME=0
MAX_IDLE_TIME=0
''')
        self.spawn(self.dispatcher, '-c', config)
        servers.wait_until(self.answers, f'{self.name} on {self.port}: {self.log_tail()}')

    def program(self):
        wanted = os.path.basename(str(self.command()[0]))
        for pid in cpu.descendants(self.processes[0].pid):
            if os.path.basename(os.readlink(f'/proc/{pid}/exe')).startswith(wanted[:6]):
                return pid
        raise RuntimeError(f'no {wanted} below the dispatcher:\n{self.log_tail()}')


def measure(load, server, concurrency, client_cpu):
    command = [load, '--json', '--fin', '-n', server.count, '-c', concurrency, '-q', server.request]
    if client_cpu is not None:
        command += ['-C', client_cpu]
    program, used = server.program_ns(), server.account.used_ns()
    done = subprocess.run([*map(str, command), f'127.0.0.1:{server.port}'], stdout=subprocess.PIPE, text=True,
                          check=True)
    result = json.loads(done.stdout)
    each = result['done'] * 1000
    program, used = (server.program_ns() - program) / each, (server.account.used_ns() - used) / each
    return {'program_us': program, 'all_us': used, 'client_us': result['cpu_us_each']}


def compare(name, options, folder, cpus, client_cpu):
    """Medians of one program: its cost alone, the ratio when it is adapted, and the dispatcher's share."""
    load = options.build / 'test/bench/bench-load'
    alone, adapted = Alone(name, folder, cpus), None
    rows = []
    try:
        alone.start()
        adapted = Adapted(name, folder, cpus, options.build)
        adapted.start()
        for number in range(options.rounds + 1):
            pair = [measure(load, server, options.concurrency, client_cpu) for server in (alone, adapted)]
            if number:  # the first one warms up
                rows.append(pair)
    finally:
        alone.stop()
        if adapted:
            adapted.stop()
    ratios = [(b['program_us'] / b['client_us']) / (a['program_us'] / a['client_us']) for a, b in rows]
    return {'alone_us': statistics.median(a['program_us'] for a, _ in rows),
            'adapted_us': statistics.median(b['program_us'] for _, b in rows),
            'rest_us': statistics.median(b['all_us'] - b['program_us'] for _, b in rows),
            'ratio': statistics.median(ratios), 'min': min(ratios), 'max': max(ratios)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--build', type=lambda text: pathlib.Path(text).resolve(), default='build')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--concurrency', type=int, default=64)
    parser.add_argument('--check', action='store_true', help=f'exit status 1 when a ratio is above {FLOOR}')
    parser.add_argument('programs', nargs='*', default=list(PROGRAMS))
    options = parser.parse_args()
    client_cpu = max(os.sched_getaffinity(0))
    cpus = {client_cpu}
    bad = False
    print('           CPU us per connection         adapted to')
    print('program    alone adapted + dispatcher    alone (min-max)')
    with tempfile.TemporaryDirectory(prefix='dispatcher-bench-') as folder:
        os.chmod(folder, 0o755)
        for name in options.programs:
            row = compare(name, options, pathlib.Path(folder), cpus, client_cpu)
            bad = bad or row['ratio'] > FLOOR
            print(f"{name:9} {row['alone_us']:6.1f} {row['adapted_us']:7.1f} + {row['rest_us']:10.1f}    "
                  f"{row['ratio']:.2f} ({row['min']:.2f}-{row['max']:.2f})", flush=True)
    return 1 if bad and options.check else 0


if __name__ == '__main__':
    sys.exit(main())
