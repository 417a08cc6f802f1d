#!/usr/bin/python3
"""Compares what a TLS connection costs: pools of ours with 8 workers and with up to 8, nginx (stream ssl)
with 8 workers, and hitch.

All have the same key, versions and ciphers and share their ticket keys over their workers. A connection is a
handshake (full, or resuming the session of the one before), one line, goodbye. The yardstick is server CPU per
connection, divided by the client's own CPU of the same run; rounds visit the servers in turn.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import compare
import servers

WORKERS = 8
CIPHERS = 'ECDHE+AESGCM:ECDHE+CHACHA20'
KINDS = {'ecdsa': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], 'rsa': ['-newkey', 'rsa:2048']}


def make_pair(folder, kind):
    cert, key = folder / 'cert.pem', folder / 'key.pem'
    subprocess.run(['openssl', 'req', '-x509', *KINDS[kind], '-nodes', '-keyout', key, '-out', cert, '-days', '2',
                    '-subj', '/CN=localhost'], check=True, stderr=subprocess.DEVNULL)
    (folder / 'both.pem').write_text(key.read_text() + cert.read_text())
    (folder / 'ticket.key').write_bytes(os.urandom(80))
    for path in folder.iterdir():
        path.chmod(0o600)
    return cert, key


class Ours(servers.Ours):
    def __init__(self, programs, folder, cpus, pair, least=None):
        super().__init__(programs, folder, cpus, [], WORKERS, least)
        self.pair, self.port = pair, servers.free_port()

    def config(self):
        return super().config() + '\n'.join([
            '[SERVICE=tls]', 'IMAGE=dispatcher-echo', f'PARAMETER=BANNER={servers.BANNER}',
            f'TLS_PORT=127.0.0.1:{self.port}', f'TLS_CERT={self.pair[0]}', f'TLS_KEY={self.pair[1]}',
            f'TLS_CIPHERS={CIPHERS}']) + '\n'

    def start(self):
        super().start()
        self.ports['short'] = self.port


class Nginx(servers.Nginx):
    def __init__(self, folder, cpus, pair):
        super().__init__(folder, cpus)
        self.pair = pair

    def start(self):
        port = self.ports['short'] = servers.free_port()
        config = self.folder / 'nginx.conf'
        config.write_text(f'''load_module {self.MODULE};
user root;
daemon off;
worker_processes {WORKERS};
pid {self.folder}/pid;
error_log {self.folder}/error.log crit;
events {{ worker_connections 4096; }}
stream {{ server {{ listen 127.0.0.1:{port} ssl backlog=4096; return "{servers.BANNER}\\r\\n";
  ssl_certificate {self.pair[0]}; ssl_certificate_key {self.pair[1]}; ssl_protocols TLSv1.2 TLSv1.3;
  ssl_ciphers {CIPHERS}; ssl_prefer_server_ciphers on; ssl_ecdh_curve X25519:P-256:P-384; ssl_session_cache off;
  ssl_session_tickets on; ssl_session_ticket_key {self.pair[0].parent}/ticket.key; }} }}
''')
        self.spawn(self.PROGRAM, '-p', self.folder, '-e', self.folder / 'error.log', '-c', config)
        servers.wait_until(lambda: listens(port), f'nginx on {port}')


class Hitch(servers.Server):
    """A TLS proxy: of the server behind it nothing is counted. It has one ticket key per process, which fork shares."""

    PROGRAM = '/usr/sbin/hitch'

    def __init__(self, programs, folder, cpus, pair):
        super().__init__('hitch', folder, cpus)
        (self.folder / 'behind').mkdir(mode=0o755)
        self.behind, self.pair = servers.Direct(programs, self.folder / 'behind', cpus, ['short']), pair

    @classmethod
    def is_installed(cls):
        return os.path.exists(cls.PROGRAM)

    def start(self):
        self.behind.start()
        port = self.ports['short'] = servers.free_port()
        config = self.folder / 'hitch.conf'
        config.write_text(f'''frontend = "[127.0.0.1]:{port}"
backend = "[127.0.0.1]:{self.behind.ports['short']}"
workers = {WORKERS}
backlog = 4096
daemon = off
quiet = on
ciphers = "{CIPHERS}"
prefer-server-ciphers = on
tls-protos = TLSv1.2 TLSv1.3
user = "nobody"
pem-file = "{self.pair[0].parent}/both.pem"
''')
        self.spawn(self.PROGRAM, f'--config={config}')
        servers.wait_until(lambda: listens(port), f'hitch on {port}')

    def stop(self):
        super().stop()
        self.behind.stop()


def listens(port):
    """Without a word to a proxy's log."""
    return f'127.0.0.1:{port} ' in subprocess.run(['ss', '-ltnH'], capture_output=True, text=True, check=True).stdout


def measure(client, server, version, resume, options):
    used = compare.settled_ns(server)
    words = [client, '-v', version, '-n', options.count, '-c', options.concurrency] + ['-r'] * resume
    words += ['-C', options.cpu] if options.cpu is not None else []
    done = subprocess.run([str(word) for word in words + [f"127.0.0.1:{server.ports['short']}"]],
                          stdout=subprocess.PIPE, text=True, check=False)
    result = json.loads(done.stdout)
    server_us = (compare.settled_ns(server) - used) / 1000 / max(1, result['done'])
    return {**result, 'server': server.name, 'version': version, 'resume': resume, 'server_us': server_us,
            'yardstick': server_us / result['cpu_us_each']}


def run_rounds(client, contenders, options):
    results = []
    for number in range(options.rounds):
        for version in options.versions:
            for resume in (False, True):
                first = number % len(contenders)
                batch = [measure(client, server, version, resume, options)
                         for server in contenders[first:] + contenders[:first]]
                nginx = next(r['yardstick'] for r in batch if r['server'] == 'nginx')
                results += [{**r, 'ratio': r['yardstick'] / nginx} for r in batch]
        print(f'round {number + 1} of {options.rounds} done', file=sys.stderr)
    return results


def print_table(results, kind):
    groups = {}
    for r in results:
        groups.setdefault((r['version'], r['resume'], r['server']), []).append(r)
    print(f'{kind}: TLS         server    handshakes per   us per      CPU relative to nginx   resumed failed')
    print('                              CPU second   connection   median (min-max)')
    for (version, resume, server), group in groups.items():
        each = statistics.median(r['server_us'] for r in group)
        ratios = [r['ratio'] for r in group]
        done = sum(r['done'] for r in group)
        print(f"{kind:6} {version} {'resumed' if resume else 'full':8} {server:8} {1e6 / each:10.0f} {each:12.1f}"
              f"      {statistics.median(ratios):5.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
              f" {100 * sum(r['resumed'] for r in group) / max(1, done):11.1f}% {sum(r['failed'] for r in group):5}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--build', type=pathlib.Path, default=pathlib.Path('build'), help='build folder')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--count', type=int, default=2000, help='connections in a run')
    parser.add_argument('--concurrency', type=int, default=16)
    parser.add_argument('--kinds', type=compare.words(str), default=['ecdsa', 'rsa'], help='of keys')
    parser.add_argument('--versions', type=compare.words(str), default=['1.2', '1.3'])
    parser.add_argument('--pin', choices=['one', 'two', 'none'], default='one')
    parser.add_argument('--json', type=pathlib.Path, help='write all results there')
    return parser.parse_args()


def run(options, kind, folder):
    programs = options.build.resolve()
    cpus, options.cpu = compare.places(options.pin)
    pairs = folder / 'pair'
    pairs.mkdir()
    pair = make_pair(pairs, kind)
    contenders = [Ours(programs, folder, cpus, pair), Ours(programs, folder, cpus, pair, 1),
                  Nginx(folder, cpus, pair)]
    if Hitch.is_installed():
        contenders.append(Hitch(programs, folder, cpus, pair))
    try:
        for server in contenders:
            server.start()
        return run_rounds(programs / 'test/bench/bench-tls', contenders, options)
    finally:
        for server in contenders:
            server.stop()


def main():
    options = parse()
    if not servers.Nginx.is_installed() or not shutil.which('ss'):
        sys.exit('nginx with its stream module, and ss, are needed')
    everything = []
    for kind in options.kinds:
        with tempfile.TemporaryDirectory(prefix='dispatcher-bench-') as folder:
            os.chmod(folder, 0o755)
            results = run(options, kind, pathlib.Path(folder))
        print_table(results, kind)
        everything += [{**r, 'kind': kind} for r in results]
        time.sleep(0.1)
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1) + '\n')


if __name__ == '__main__':
    main()
