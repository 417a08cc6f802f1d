#!/usr/bin/python3
"""Compares what a received message costs: dispatcher-smtp against Postfix's own smtpd.

Both have a message on stable storage before they answer: the one in a Maildir, the other in its queue,
from which it then discards it ("postfix") or where it is left on hold ("postfix-hold": receiving alone).
smtp-source sends to each in turn; medians of messages a second and of server CPU per message (every
process of the server) are printed, and both relative to postfix in the same round. Needs root and
test/unpack-postfix.
"""
import argparse
import os
import pathlib
import pwd
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import servers

REFERENCE = 'postfix'
QUEUES = ('active', 'bounce', 'corrupt', 'defer', 'deferred', 'flush', 'hold', 'incoming', 'maildrop', 'private',
          'public', 'saved', 'trace')
OWNER = 'games'  # any user without processes: those of Postfix exist only where it is installed
SETTLE_SECONDS = 60


def greets(port):
    try:
        with servers.socket.create_connection(('127.0.0.1', port), timeout=5) as sock:
            return sock.recv(100).startswith(b'220')
    except OSError:
        return False


class Smtp(servers.Ours):
    """A pool of dispatcher-smtp and one Maildir."""

    def __init__(self, programs, folder, workers, sessions):
        super().__init__(programs, folder, None, [], workers)
        self.name = 'dispatcher-smtp'
        self.max_conns = max(50, sessions)
        self.box = self.folder / 'box'
        for part in ('new', 'cur', 'tmp'):
            (self.box / part).mkdir(parents=True)
            (self.box / part).chmod(0o777)
        self.box.chmod(0o777)

    def config(self):
        self.ports['mail'] = servers.free_port()
        return super().config() + '\n'.join([
            '[SERVICE=mail]', 'IMAGE=dispatcher-smtp', f'PORT=127.0.0.1:{self.ports["mail"]}', 'USER=nobody',
            f'LOGFILE={self.folder}/mail.log', f'PARAMETER=MAILDIR={self.box}',
            'PARAMETER=DOMAINS=example.org', 'PARAMETER=HOSTNAME=mx.example.org']) + '\n'

    def is_idle(self):
        return True

    def clear(self):
        """How many messages there were."""
        files = list((self.box / 'new').iterdir())
        for path in files:
            path.unlink()
        return len(files)


class Postfix(servers.Server):
    """A whole Postfix, unpacked and not installed."""

    def __init__(self, root, folder, name, sessions):
        super().__init__(name, folder, None)
        self.root, self.hold, self.sessions = root, name == 'postfix-hold', sessions
        self.queue = self.folder / 'queue'
        owner = pwd.getpwnam(OWNER).pw_uid
        for part in ('', 'pid', *QUEUES):
            (self.queue / part).mkdir(mode=0o700 if part in QUEUES else 0o755, parents=True)
            if part in QUEUES:
                os.chown(self.queue / part, owner, -1)
        (self.queue / 'public').chmod(0o755)
        (self.folder / 'data').mkdir(mode=0o700)
        os.chown(self.folder / 'data', owner, -1)

    def main(self):
        return {
            'compatibility_level': '3.6', 'queue_directory': self.queue, 'data_directory': self.folder / 'data',
            'command_directory': f'{self.root}/usr/sbin', 'daemon_directory': f'{self.root}/usr/lib/postfix/sbin',
            'shlib_directory': f'{self.root}/usr/lib/postfix', 'meta_directory': self.folder,
            'mail_owner': OWNER, 'setgid_group': 'tty', 'default_privs': 'nobody',
            'import_environment': f'LD_LIBRARY_PATH={self.root}/usr/lib/postfix MAIL_CONFIG={self.folder}',
            'export_environment': 'LD_LIBRARY_PATH', 'inet_interfaces': '127.0.0.1', 'inet_protocols': 'ipv4',
            'myhostname': 'mx.example.org', 'mydestination': '', 'mynetworks': '127.0.0.0/8', 'alias_maps': '',
            'alias_database': '', 'local_recipient_maps': '', 'default_transport': 'discard:',
            'maillog_file': self.folder / 'maillog', 'maillog_file_prefixes': self.folder,
            'smtpd_peername_lookup': 'no', 'default_process_limit': str(self.sessions + 20),
            'smtpd_client_connection_count_limit': '0', 'in_flow_delay': '0',
            'smtpd_recipient_restrictions': ('static:HOLD, ' if self.hold else '') + 'permit_mynetworks, reject'}

    def start(self):
        port = self.ports['mail'] = servers.free_port()
        (self.folder / 'main.cf').write_text(''.join(f'{key} = {value}\n' for key, value in self.main().items()))
        lines = [f'127.0.0.1:{port} inet n - n - - smtpd', 'postlog unix-dgram n - n - 1 postlogd',
                 'qmgr unix n - n 300 1 qmgr', 'cleanup unix n - n - 0 cleanup', 'flush unix n - n 1000? 0 flush',
                 'showq unix n - n - - showq', 'rewrite unix - - n - - trivial-rewrite',
                 'discard unix - - n - - discard', 'anvil unix - - n - 1 anvil', 'error unix - - n - - error',
                 'retry unix - - n - - error', 'proxymap unix - - n - - proxymap']
        lines += [f'{name} unix - - n - 0 bounce' for name in ('bounce', 'defer', 'trace')]
        (self.folder / 'master.cf').write_text('\n'.join(lines) + '\n')
        for name in ('main.cf', 'master.cf'):
            (self.folder / name).chmod(0o644)
        self.spawn(f'{self.root}/usr/lib/postfix/sbin/master', '-c', self.folder, '-d', start_new_session=True,
                   env=dict(os.environ, LD_LIBRARY_PATH=f'{self.root}/usr/lib/postfix', MAIL_CONFIG=self.folder))
        servers.wait_until(lambda: greets(port), f'Postfix on {port}')

    def files(self, *queues):
        return [path for name in queues for path in (self.queue / name).rglob('*') if path.is_file()]

    def is_idle(self):
        return not self.files('incoming', 'active', 'deferred', 'maildrop')

    def clear(self):
        held = self.files('hold')
        for path in held:
            path.unlink()
        return len(held)


def cpu_at_rest(server):
    """CPU used, once all that was received has been dealt with."""
    servers.wait_until(server.is_idle, f'{server.name} is idle', SETTLE_SECONDS)
    used = server.account.used_ns()
    while True:
        time.sleep(0.05)
        before, used = used, server.account.used_ns()
        if used - before < 500_000:
            return used


def measure(server, options, source, environment):
    before = cpu_at_rest(server)
    words = [source, *(['-d'] if options.stay else []), '-s', options.sessions, '-m', options.count, '-l',
             options.size, '-f', 's@example.com', '-t', 'r@example.org', f'127.0.0.1:{server.ports["mail"]}']
    began = time.monotonic()
    subprocess.run([str(word) for word in words], env=environment, check=True)
    seconds = time.monotonic() - began
    used = cpu_at_rest(server) - before
    stored = server.clear()
    if server.name != REFERENCE and stored != options.count:
        raise RuntimeError(f'{server.name} has {stored} of {options.count} messages')
    return {'rate': options.count / seconds, 'us': used / options.count / 1000}


def show(results, names, options):
    kept = 'many messages a session' if options.stay else 'a session for each message'
    print(f'{options.count} messages of {options.size} bytes, {options.sessions} sessions at once, {kept}')
    print(f'{"":18}{"messages/s":>12}{"CPU us each":>13}{"rate, relative":>16}{"CPU, relative":>15}')
    for name in names:
        own, reference = results[name], results[REFERENCE]
        numbers = [statistics.median(one[key] for one in own) for key in ('rate', 'us')]
        ratios = [statistics.median(a[key] / b[key] for a, b in zip(own, reference)) for key in ('rate', 'us')]
        print(f'{name:18}{numbers[0]:12.0f}{numbers[1]:13.0f}{ratios[0]:16.2f}{ratios[1]:15.3f}', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--build', type=pathlib.Path, default=pathlib.Path('build'))
    parser.add_argument('--count', type=int, default=2000, help='messages in a run')
    parser.add_argument('--sessions', type=int, default=50)
    parser.add_argument('--size', type=int, default=3000, help='bytes of a message')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--workers', type=int, default=4, help='processes of our pool')
    parser.add_argument('--stay', action='store_true', help='many messages in a session, not one')
    options = parser.parse_args()
    build = options.build.resolve()
    root = build / 'postfix'
    if os.getuid() or not (root / 'usr/sbin/smtp-source').exists():
        print('needs root, and test/unpack-postfix', build)
        sys.exit(77)  # skipped
    environment = dict(os.environ, LD_LIBRARY_PATH=str(root / 'usr/lib/postfix'))
    with tempfile.TemporaryDirectory(prefix='dispatcher-mail-') as folder:
        os.chmod(folder, 0o755)
        contenders = [Smtp(build, folder, options.workers, options.sessions)]
        contenders += [Postfix(root, folder, name, options.sessions) for name in (REFERENCE, 'postfix-hold')]
        results = {one.name: [] for one in contenders}
        try:
            for one in contenders:
                one.start()
            for turn in range(options.rounds):
                for one in contenders[turn % 3:] + contenders[:turn % 3]:
                    results[one.name].append(measure(one, options, root / 'usr/sbin/smtp-source', environment))
        finally:
            for one in contenders:
                one.stop()
        show(results, list(results), options)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
main()
