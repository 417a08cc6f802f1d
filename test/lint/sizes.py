#!/usr/bin/python3
"""Holds the sizes: short functions, and files that are one module each."""
import re
import statistics
import sys

import tree

FUNCTION_MAX = 80
FUNCTION_MEDIAN_BELOW = 16
FILE_MAX = 600


def functions(lines):
    """(name, first line, length) of each function: from its signature to its closing brace.

    By the layout that clang-format keeps, a body is what stands between a line that is an opening
    brace alone in the first column and the next line that is a closing one.
    """
    first = 0
    for number, line in enumerate(lines):
        if line == '{':
            first = number - 1
            while lines[first].startswith((' ', '\t')):
                first -= 1
        elif line == '}' and first:
            match = re.search(r'(\w+)\(', lines[first])
            yield match[1] if match else '?', first + 1, number - first + 1
            first = 0


def check_file(path, lines):
    if len(lines) > FILE_MAX:
        yield f'{path}: {len(lines)} lines, at most {FILE_MAX}'
    for name, first, length in functions(lines) if not path.endswith('.py') else ():
        if length > FUNCTION_MAX:
            yield f'{path}:{first}: {name} has {length} lines, at most {FUNCTION_MAX}'


def check_file_of(path):
    """The check of one file alone."""
    return lambda files: check_file(path, files.lines(path))


def check_median(files, folders):
    lengths = [length for path in files.files(folders, '.c', '.h')
               for _, _, length in functions(files.lines(path))]
    median = statistics.median(lengths) if lengths else 0
    print(f"{'/'.join(folders)}: {len(lengths)} functions, median {median}, longest {max(lengths, default=0)}")
    if median >= FUNCTION_MEDIAN_BELOW:
        yield f'the median function of {folders} has {median} lines, must be below {FUNCTION_MEDIAN_BELOW}'


def check(files):
    for path in files.files(tree.FOLDERS, '.c', '.h', '.py'):
        yield from check_file(path, files.lines(path))
    yield from check_median(files, tree.PRODUCT)
    yield from check_median(files, ('test',))


if __name__ == '__main__':
    sys.exit(tree.main(check))
