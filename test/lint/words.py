#!/usr/bin/python3
"""Holds what a file must and must not say, and what may stand at the top of the tree."""
import re
import sys

import tree

TOP_LEVEL = {'dispatcher', 'worker', 'common', 'config', 'test', 'meson.build', 'README.md', 'LICENSE',
             'meson_options.txt'}
# Written so that this file does not find itself.
UNFINISHED = re.compile(r'\b(TO[D]O|FIX[M]E|XX[X]|HAC[K])\b|\b[f]or now\b|\b[n]ot (yet )?implemented\b')
SUFFIXES = ('.c', '.h', '.py', '.scd', '.build', '.cnf', '.md', '.in', '.service', '.sh', '.txt')


def check_opening(path, lines):
    if not lines or not lines[0].startswith('/*'):
        yield f'{path}:1: must open with a comment that says its job'
    guard = path.upper().replace('/', '_').replace('.', '_').replace('-', '_')
    if path.endswith('.h') and not any(re.match(r'#(ifndef \w+_H|pragma once)', line) for line in lines):
        yield f'{path}: no include guard, as {guard}'


def check(files):
    for name in files.top_level():
        if name not in TOP_LEVEL and not name.startswith('.'):
            yield f'{name}: must not stand at the top of the tree'
    for path in files.files(tree.FOLDERS, '.c', '.h'):
        yield from check_opening(path, files.lines(path))
    for path in files.files(tree.FOLDERS, *SUFFIXES):
        for number, line in enumerate(files.lines(path), 1):
            match = UNFINISHED.search(line)
            if match:
                yield f'{path}:{number}: {match[0]!r}: finish it or leave it out'
            if line != line.rstrip() or '\r' in line:
                yield f'{path}:{number}: white space at the end of the line'


if __name__ == '__main__':
    sys.exit(tree.main(check))
