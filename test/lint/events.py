#!/usr/bin/python3
"""Holds the log events together: the table in common/log.c, every call, and dispatcher-log(5).

With --print it prints the events section of the man page as the table would have it.
"""
import re
import sys

import tree

TABLE = 'common/log.c'
REASONS = 'dispatcher/policy/pool_names.c'
MAN = 'common/dispatcher-log.5.scd'
_STRINGS = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
_ROW = re.compile(r'\[(EV_\w+)\] = \{' + _STRINGS + r',\s*LOG_LEVEL_(\w+),\s*' + _STRINGS + r',\s*' + _STRINGS + r'\}')
_CALL = re.compile(r'\blog_event\(\s*')
_KEY = re.compile(r'(?:^| )([a-z_]+)=')


def joined(literals):
    """The text of adjacent string literals; what stands between them, as PRIu64, counts as nothing."""
    return ''.join(re.findall(r'"((?:[^"\\]|\\.)*)"', literals))


def table(files):
    """EV_X -> (name, level, keys with their *, meaning), in the order of the table."""
    return {row[1]: (joined(row[2]), row[3].lower(), joined(row[4]).split(), joined(row[5]))
            for row in _ROW.finditer(files.text(TABLE))}


def arguments(text, start):
    """The arguments of a call whose opening parenthesis is just before start, split at its commas."""
    depth, quoted, begin, found, at = 0, False, start, [], start
    while depth >= 0:
        char = text[at]
        if quoted:
            at += char == '\\'
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char in '([{':
            depth += 1
        elif char in ')]}':
            depth -= 1
        if not quoted and ((char == ',' and depth == 0) or depth < 0):
            found.append(text[begin:at].strip())
            begin = at + 1
        at += 1
    return found


def calls(files):
    """(where, event, format) of every call of log_event outside the logger itself."""
    for path in files.files(tree.PRODUCT, '.c', '.h'):
        if path.startswith('common/log.'):
            continue
        text = files.text(path)
        for match in _CALL.finditer(text):
            given = arguments(text, match.end())
            yield f"{path}:{text.count(chr(10), 0, match.start()) + 1}", given[0], given[1]


def keys_fit(keys, pattern):
    """The keys are those of the pattern in its order; one with a * may be absent."""
    left = list(keys)
    for key in pattern:
        if left and left[0] == key.rstrip('*'):
            left.pop(0)
        elif not key.endswith('*'):
            return False
    return not left


def check_calls(files, events):
    for where, event, literals in calls(files):
        if event not in events:
            yield f'{where}: {event} does not stand in the table'
        elif not literals.startswith('"'):
            yield f'{where}: the format of {event} must be a literal, so that its keys can be checked'
        else:
            keys, pattern = _KEY.findall(joined(literals)), events[event][2]
            if not keys_fit(keys, pattern):
                yield f"{where}: {event} says '{' '.join(keys)}', the table '{' '.join(pattern)}'"


def check_use(files, events):
    """An event that nobody logs is a promise that nobody keeps."""
    text = ''.join(files.text(path) for path in files.files(tree.PRODUCT, '.c'))
    for event in events:
        if len(re.findall(rf'\b{event}\b', text)) < 2:
            yield f'{TABLE}: nobody logs {event}'


def man_section(events):
    """The section EVENTS as scdoc source."""
    lines = ['# EVENTS', '']
    for name, level, keys, means in events.values():
        marked = ' '.join(f"[{key[:-1]}]" if key.endswith('*') else key for key in keys)
        lines += [f"*{name}* ({level})".replace('_', '\\_'), f'\t{marked}++'.replace('_', '\\_'),
                  f'{means}'.replace('_', '\\_'), '']
    return '\n'.join(lines)


def check_man(files, events):
    text = files.text(MAN)
    start = text.index('# EVENTS\n')
    written = text[start:text.index('\n# ', start) + 1]
    wanted = man_section(events)
    for key in sorted({key.rstrip('*') for event in events.values() for key in event[2]}):
        if f'*{key}*'.replace('_', '\\_') not in text:
            yield f'{MAN}: the key {key} is not explained'
    for line in sorted(set(wanted.splitlines()) ^ set(written.splitlines())):
        yield f"{MAN}: {'missing' if line in wanted.splitlines() else 'not in the table'}: {line.strip()}"
    if written.strip() != wanted.strip():
        yield f'{MAN}: EVENTS is not as the table in {TABLE} has it (events.py --print shows it)'


def check_reasons(files):
    """Why a worker retires: the words of the pool stand in the man page, too."""
    words = files.text(REASONS).partition('reasons[POOL_REASONS]')[2].partition('};')[0]
    for word in re.findall(r'"([^"]+)"', words):
        if f'*{word}*' not in files.text(MAN):
            yield f'{MAN}: the reason {word} is not explained'


def check(files):
    events = table(files)
    if len(events) != len(re.findall(r'^\t\[EV_\w+\] = ', files.text(TABLE), re.MULTILINE)):
        yield f'{TABLE}: a row of the table is not as this check reads it'
    yield from check_calls(files, events)
    yield from check_use(files, events)
    yield from check_man(files, events)
    yield from check_reasons(files)


if __name__ == '__main__':
    if '--print' in sys.argv:
        print(man_section(table(tree.Tree(sys.argv[2] if len(sys.argv) > 2 else '.'))))
    else:
        sys.exit(tree.main(check))
