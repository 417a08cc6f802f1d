#!/usr/bin/python3
"""Holds the man pages: each is built, names itself rightly, and refers to pages of ours that exist."""
import pathlib
import re
import sys

import tree

CTL = 'dispatcher/ctl/'
_REFERENCE = re.compile(r'(?<![\w.-])([a-z][\w.-]*)\*?\(([1-8])\)')


def title(path):
    """dispatcher-log.5.scd -> dispatcher-log(5)"""
    name, _, section = pathlib.PurePath(path).stem.rpartition('.')
    return f'{name}({section})'


def check_verbs(files):
    """Each verb of dispatcherctl, with its synopsis, and each option stand in its page."""
    table, page = files.text(CTL + 'verbs.c'), files.text(CTL + 'dispatcherctl.8.scd')
    plain = re.sub(r'\\(.)', r'\1', re.sub(r'(?<!\\)[*_]', '', page))
    verbs = re.findall(r'^\t\{"(\w+)", (?:NULL|"\w+"), NAMES_\w+, [^"]*"([^"]*)"', table, re.MULTILINE)
    options = re.findall(r'^\t\{COMMAND_\w+, "([\w-]+)"', table, re.MULTILINE)
    where = f'{CTL}dispatcherctl.8.scd: '
    if not verbs or not options:
        yield f'{CTL}verbs.c: no verb or no option found'
    for verb, synopsis in verbs:
        line = f'{verb} {synopsis}'.strip()
        if not re.search(rf'^{re.escape(line)}(, \w+)?$', plain.replace(']...', '...]'), re.MULTILINE):
            yield f'{where}no verb "{line}"'
    for option in options:
        if f'*--{option}*' not in page:
            yield f'{where}no option --{option}'


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
            if 'dispatcher' in name and f'{name}({section})' not in ours:
                yield f'{page}: refers to {name}({section}), which is not there'


def check(files):
    yield from check_pages(files)
    yield from check_verbs(files)


if __name__ == '__main__':
    sys.exit(tree.main(check))
