#!/usr/bin/python3
"""Holds the layering: who may include whom, no circles, and where libuv may be seen.

    common <- config <- dispatcher       common <- worker       policy <- (base, list, limits) only
"""
import re
import sys

import tree

# For each part, longest prefix first, what of ours it may include, as patterns of whole paths.
MAY_INCLUDE = (
    ('common/', r'common/.+'),
    ('config/', r'(common|config)/.+'),
    ('dispatcher/policy/', r'common/(base|list|limits)\.h|dispatcher/policy/.+'),
    ('dispatcher/ctl/', r'common/.+|config/(host|verify)\.h|dispatcher/ctl/.+'),
    ('dispatcher/keys/', r'(common|config)/.+|dispatcher/keys/.+|dispatcher/keylink\.h'),
    ('dispatcher/acceptor/', r'(common|config)/.+|dispatcher/(policy|acceptor)/.+|dispatcher/[^/]+'),
    ('dispatcher/supervisor/', r'(common|config)/.+|dispatcher/(policy|supervisor)/.+|dispatcher/[^/]+'),
    ('dispatcher/', r'(common|config|dispatcher)/.+'),
    ('worker/stock/', r'(worker|dispatcher)/worker\.h|worker/stock/.+'),
    ('worker/smtp/', r'(worker|dispatcher)/worker\.h|worker/smtp/.+'),
    ('worker/', r'(common|worker)/.+|dispatcher/worker\.h'),
    ('test/', r'(common|config|dispatcher|worker|test)/.+'),
)
PUBLIC = 'dispatcher/worker.h'  # the installed name of worker/worker.h
NO_LIBUV = ('common/', 'dispatcher/policy/', 'config/')
EMBEDS_HANDLE = re.compile(r'^\s+uv_\w+_t \w+(\[\w+\])?;', re.MULTILINE)


def allowed_by(path):
    return next(pattern for prefix, pattern in MAY_INCLUDE if path.startswith(prefix))


def check_includes(files, path):
    for number, ours, what in files.includes(path):
        where = f'{path}:{number}: '
        if (ours or what == PUBLIC) and not re.fullmatch(allowed_by(path), what):
            yield f'{where}must not include {what}'
        if ours and what != PUBLIC and not (files.root / what).exists():
            yield f'{where}{what}: no such file from the top of the tree'
        if what == 'uv.h' and path.startswith(NO_LIBUV):
            yield f'{where}libuv has no place here'
        if what == 'uv.h' and path.endswith('.h') and not EMBEDS_HANDLE.search(files.text(path)):
            yield f'{where}a header that embeds no handle must not pull in uv.h'


def header_graph(files):
    """Which header includes which."""
    return {path: {what for _, ours, what in files.includes(path) if ours}
            for path in files.files(tree.FOLDERS, '.h')}


def module_graph(files):
    """A module is a pair of files, x.c and x.h; who includes whose header."""
    graph = {}
    for path in files.files(tree.PRODUCT, '.c', '.h'):
        module = path.rpartition('.')[0]
        used = graph.setdefault(module, set())
        used |= {what.rpartition('.')[0] for _, ours, what in files.includes(path) if ours} - {module}
    return graph


def circles(graph):
    """Every circle that a depth-first walk closes, once."""
    state, trail = {}, []

    def walk(module):
        state[module] = 'open'
        trail.append(module)
        for used in sorted(graph.get(module, ())):
            if state.get(used) == 'open':
                yield trail[trail.index(used):] + [used]
            elif used not in state:
                yield from walk(used)
        trail.pop()
        state[module] = 'done'

    for module in sorted(graph):
        if module not in state:
            yield from walk(module)


def check(files):
    for path in files.files(tree.FOLDERS, '.c', '.h'):
        yield from check_includes(files, path)
    for circle in circles(header_graph(files)):
        yield 'circle: ' + ' -> '.join(circle)
    for circle in circles(module_graph(files)):
        print('modules that need each other, worth a look: ' + ' -> '.join(circle))


if __name__ == '__main__':
    sys.exit(tree.main(check))
