#!/usr/bin/python3
"""Holds the man pages: each is built, names itself rightly, and refers to pages that exist."""
import pathlib
import re
import sys

import tree

# Pages of other packages that ours may refer to.
FOREIGN = {'errno(3)', 'inetd(8)', 'nginx(8)', 'nice(2)', 'pipe(7)', 'pkg-config(1)', 'setrlimit(2)',
           'signal(7)', 'sshd(8)', 'strftime(3)', 'syslog(3)', 'systemd(1)', 'systemd.socket(5)', 'tcp(7)',
           'unix(7)', 'umask(2)', 'unlink(2)', 'xinetd(8)', 'tcpserver(1)', 'getsockname(2)', 'waitpid(2)',
           'ip(7)', 'ipv6(7)', 'listen(2)', 'accept(2)', 'ps(1)', 'gdb(1)', 'jq(1)', 'credentials(7)'}
CTL = 'dispatcher/ctl/'
_REFERENCE = re.compile(r'(?<![\w.-])([a-z][\w.-]*)\*?\(([1-8])\)')


def title(path):
    """dispatcher-log.5.scd -> dispatcher-log(5)"""
    name, _, section = pathlib.PurePath(path).stem.rpartition('.')
    return f'{name}({section})'


def check_verbs(files):
    """Each verb of dispatcherctl stands in its page."""
    verbs = re.findall(r'^\t\{"(\w+)", \w+, \d, show_', files.text(CTL + 'ctl.c'), re.MULTILINE)
    for verb in verbs or ['no verb found in ctl.c']:
        if not re.search(rf'^\*{verb}\*', files.text(CTL + 'dispatcherctl.8.scd'), re.MULTILINE):
            yield f'{CTL}dispatcherctl.8.scd: no verb {verb}'


def check_pages(files):
    pages = files.files(tree.FOLDERS, '.scd')
    ours = {title(page) for page in pages}
    for page in pages:
        text = files.text(page)
        if text.split('\n', maxsplit=1)[0].split(' ')[0] != title(page):
            yield f'{page}:1: must begin with {title(page)}'
        if f"'{pathlib.PurePath(page).name}'" not in files.text(f'{pathlib.PurePath(page).parent}/meson.build'):
            yield f'{page}: not in man_pages of its meson.build'
        for name, section in _REFERENCE.findall(text.replace('\\', '')):
            if f'{name}({section})' not in ours | FOREIGN:
                yield f'{page}: refers to {name}({section}), which is not there'


def check(files):
    yield from check_pages(files)
    yield from check_verbs(files)


if __name__ == '__main__':
    sys.exit(tree.main(check))
