"""The servers that are compared: each sends a line and closes (`short`) or echoes (`echo`)."""
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import time

import cpu

BANNER = '220 bench ready'
START_SECONDS = 60


def free_port():
    """Below the ephemeral ports: those are full of clients in TIME_WAIT, which keep a port from being bound."""
    while True:
        port = random.randrange(10000, 30000)
        with socket.socket() as sock:
            try:
                sock.bind(('127.0.0.1', port))
            except OSError:
                continue
            return port


def wait_until(claim, what, seconds=START_SECONDS):
    """Asks again until claim() is true; RuntimeError when it stays false."""
    end = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > end:
            raise RuntimeError(f'waited {seconds} s in vain: {what}')
        time.sleep(0.02)


def answers(port, request=b'x'):
    try:
        with socket.create_connection(('127.0.0.1', port), timeout=5) as sock:
            sock.sendall(request)
            return bool(sock.recv(1))
    except OSError:
        return False


class Server:
    """One contender: its processes, its ports by mode, and what they have cost."""

    def __init__(self, name, folder, cpus):
        self.name = name
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir(mode=0o755)
        self.cpus = cpus
        self.ports = {}
        self.processes = []
        self.account = cpu.account(name)

    def spawn(self, *command, **options):
        def prepare():
            self.account.join()
            if self.cpus:
                os.sched_setaffinity(0, self.cpus)

        with open(self.folder / 'log', 'ab') as log:
            process = subprocess.Popen(list(map(str, command)), preexec_fn=prepare, stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, **options)
        self.account.started(process.pid)
        self.processes.append(process)
        return process

    def acceptor_ns(self):
        return None

    def stop(self):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.account.remove()

    def log_tail(self):
        return (self.folder / 'log').read_text(errors='replace')[-2000:]


class Direct(Server):
    """Pre-forked processes in a blocking accept(): the reference."""

    WORKERS = 4

    def __init__(self, programs, folder, cpus, modes):
        super().__init__('direct', folder, cpus)
        self.program = programs / 'test/bench/bench-direct'
        self.modes = modes

    def start(self):
        for mode in self.modes:
            port = self.ports[mode] = free_port()
            banner = ['-b', BANNER] if mode == 'short' else []
            self.spawn(self.program, '-w', self.WORKERS, *banner, f'127.0.0.1:{port}')
            wait_until(lambda port=port: answers(port), f'direct on {port}')


class Nginx(Server):
    """nginx's stream module answering `return`: direct accept in an event loop; it has no echo."""

    MODULE = pathlib.Path('/usr/lib/nginx/modules/ngx_stream_module.so')
    PROGRAM = '/usr/sbin/nginx'

    def __init__(self, folder, cpus):
        super().__init__('nginx', folder, cpus)

    @classmethod
    def is_installed(cls):
        return cls.MODULE.exists() and os.path.exists(cls.PROGRAM)

    def start(self):
        port = self.ports['short'] = free_port()
        config = self.folder / 'nginx.conf'
        config.write_text(f'''load_module {self.MODULE};
daemon off;
worker_processes 4;
pid {self.folder}/pid;
error_log {self.folder}/error.log crit;
events {{ worker_connections 4096; }}
stream {{ server {{ listen 127.0.0.1:{port} backlog=4096; return "{BANNER}\\r\\n"; }} }}
''')
        self.spawn(self.PROGRAM, '-p', self.folder, '-e', self.folder / 'error.log', '-c', config)
        wait_until(lambda: answers(port), f'nginx on {port}')


class Ours(Server):
    """The dispatcher with a pool of a fixed size, or of `least` workers at first, no life limit in reach."""

    def __init__(self, programs, folder, cpus, modes, workers, least=None):
        super().__init__(f'ours-{least}-{workers}' if least else f'ours-{workers}', folder, cpus)
        self.program = programs / 'dispatcher/dispatcher'
        self.worker_dir = programs / 'worker'
        self.modes = modes
        self.workers, self.least = workers, least or workers
        self.max_conns = max(50, 2048 // workers)
        self.control = self.folder / 'run/control'

    @staticmethod
    def is_built(programs):
        return (programs / 'dispatcher/dispatcher').exists() and (programs / 'worker/dispatcher-echo').exists()

    def config(self):
        lines = [f'RUN_DIR={self.folder}/run', f'STATE_DIR={self.folder}/state', f'LOG_DIR={self.folder}',
                 f'CONTROL_SOCKET={self.control}', f'WORKER_DIR={self.worker_dir}',
                 f'MIN_PROCS={self.least}', f'MAX_PROCS={self.workers}',
                 f'MAX_CONNS={self.max_conns}',
                 'MAX_LIFE_CONNS=0', 'MAX_LIFE_TIME=0', 'MAX_IDLE_TIME=0']
        for mode in self.modes:
            self.ports[mode] = free_port()
            lines += [f'[SERVICE={mode}]', 'IMAGE=dispatcher-echo', f'PORT=127.0.0.1:{self.ports[mode]}']
            if mode == 'short':
                lines.append(f'PARAMETER=BANNER={BANNER}')
        return '\n'.join(lines) + '\n'

    def start(self):
        config = self.folder / 'dispatcher.cnf'
        for name in ('run', 'state'):
            (self.folder / name).mkdir()
        config.write_text(self.config())
        self.spawn(self.program, '-c', config)
        wait_until(self.is_ready, f'{self.name}: {self.log_tail()}')
        for port in self.ports.values():
            wait_until(lambda port=port: answers(port), f'{self.name} on {port}')

    def status(self):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(self.control))
            sock.sendall(b'{"verb":"status","args":[]}\n')
            with sock.makefile() as reply:
                json.loads(reply.readline())
                return json.load(reply)

    def is_ready(self):
        if self.processes[0].poll() is not None:
            raise RuntimeError(f'{self.name} has ended:\n{self.log_tail()}')
        try:
            services = self.status()['services']
        except (OSError, ValueError):
            return False
        return all(sum(w['state'] == 'serving' for w in s['workers']) == self.least for s in services)

    def acceptor_ns(self):
        return cpu.process_ns(self.status()['dispatcher']['acceptor_pid'])
