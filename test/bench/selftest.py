#!/usr/bin/python3
"""The load client tells the truth: against the reference server, and where nobody listens."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import servers

BUILD = pathlib.Path(sys.argv.pop(1))


def load(*args):
    done = subprocess.run([str(BUILD / 'test/bench/bench-load'), '--json', *map(str, args)],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    lines = done.stdout.splitlines()
    return done.returncode, json.loads(lines[-1]) if lines else None, lines[:-1]


class LoadClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix='dispatcher-bench-')
        cls.direct = servers.Direct(BUILD, cls.folder.name, None, ['short', 'echo'])
        cls.direct.start()
        cls.at = {mode: f'127.0.0.1:{port}' for mode, port in cls.direct.ports.items()}

    @classmethod
    def tearDownClass(cls):
        cls.direct.stop()
        cls.folder.cleanup()

    def test_counts_every_short_connection(self):
        status, result, _ = load('-c', 16, '-n', 500, self.at['short'])
        self.assertEqual((status, result['done'], result['failed']), (0, 500, 0))

    def test_counts_every_echo_from_many_sources_ended_by_fin(self):
        status, result, _ = load('-m', 'echo', '-f', '-s', 4, '-b', 4096, '-n', 200, self.at['echo'])
        self.assertEqual((status, result['done'], result['failed']), (0, 200, 0))

    def test_rate_begins_connections_when_they_are_due(self):
        status, result, _ = load('-r', 1000, '-n', 200, self.at['short'])
        self.assertEqual((status, result['done']), (0, 200))
        self.assertGreater(result['seconds'], 0.198)

    def test_says_when_all_are_held(self):
        status, result, before = load('-m', 'hold', '-n', 4, '-H', 0.01, self.at['echo'])
        self.assertEqual((status, result['done'], before), (0, 4, ['held 4']))

    def test_a_client_that_nobody_serves_times_out(self):
        status, result, _ = load('-m', 'hold', '-n', 6, '-w', 0.3, '-H', 0.01, self.at['echo'])
        self.assertEqual((status, result['done'], result['timeout']), (1, 4, 2))

    def test_an_answer_that_is_no_echo_is_a_mismatch(self):
        status, result, _ = load('-m', 'echo', '-n', 20, '-c', 1, self.at['short'])
        self.assertEqual((status, result['mismatch'] + result['reset']), (1, 20))

    def test_refused_connections_fail(self):
        status, result, _ = load('-n', 10, f'127.0.0.1:{servers.free_port()}')
        self.assertEqual((status, result['refused']), (1, 10))

    def test_no_address_but_loopback_is_accepted(self):
        for address in ('192.0.2.1:25', '[2001:db8::1]:25', '127.0.0.1', 'localhost:25', '127.0.0.1:70000'):
            self.assertEqual(load('-n', 1, address)[0], 2, address)


if __name__ == '__main__':
    unittest.main()
