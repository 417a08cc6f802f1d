#!/usr/bin/python3
"""Each check complains of what it is there for, and of nothing else."""
import pathlib
import tempfile
import unittest

import events
import layering
import manuals
import sizes
import tree
import words

LOG = '''/* table */
\t[EV_A] = {"a.one", LOG_LEVEL_INFO, "x y* z",
\t\t"Means " "this."},
'''


class Case(unittest.TestCase):
    def complaints(self, check, **texts):
        """What a check says of a tree with these files; __ in a name stands for /, _ before the suffix for a dot."""
        with tempfile.TemporaryDirectory() as root:
            for folder in tree.FOLDERS:
                (pathlib.Path(root) / folder).mkdir()
            for name, text in texts.items():
                path = pathlib.Path(root) / '.'.join(name.replace('__', '/').rsplit('_', 1))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return list(check(tree.Tree(root)))


class Layering(Case):
    def test_config_may_include_common(self):
        self.assertEqual(self.complaints(layering.check, config__a_c='#include "common/b.h"\n', common__b_h=''), [])

    def test_common_may_not_include_config(self):
        said = self.complaints(layering.check, common__a_c='#include "config/b.h"\n', config__b_h='')
        self.assertEqual(said, ['common/a.c:1: must not include config/b.h'])

    def test_worker_may_not_include_dispatcher(self):
        said = self.complaints(layering.check, worker__a_c='#include "dispatcher/b.h"\n', dispatcher__b_h='')
        self.assertEqual(said, ['worker/a.c:1: must not include dispatcher/b.h'])

    def test_policy_may_not_include_the_clock(self):
        said = self.complaints(layering.check, dispatcher__policy__a_c='#include "common/clock.h"\n', common__clock_h='')
        self.assertEqual(said, ['dispatcher/policy/a.c:1: must not include common/clock.h'])

    def test_stock_worker_may_include_the_public_header_only(self):
        said = self.complaints(layering.check, worker__worker_h='', worker__inside_h='',
                               worker__stock__a_c='#include "worker/worker.h"\n#include "worker/inside.h"\n')
        self.assertEqual(said, ['worker/stock/a.c:2: must not include worker/inside.h'])

    def test_libuv_is_not_for_common(self):
        said = self.complaints(layering.check, common__a_c='#include <uv.h>\n')
        self.assertEqual(said, ['common/a.c:1: libuv has no place here'])

    def test_header_with_uv_must_embed_a_handle(self):
        texts = {'dispatcher__a_h': '#include <uv.h>\nstruct a {\n\tuv_poll_t *poll;\n};\n',
                 'dispatcher__b_h': '#include <uv.h>\nstruct b {\n\tuv_poll_t poll;\n};\n'}
        said = self.complaints(layering.check, **texts)
        self.assertEqual(said, ['dispatcher/a.h:1: a header that embeds no handle must not pull in uv.h'])

    def test_circle_of_headers_is_found(self):
        said = self.complaints(layering.check, common__a_h='#include "common/b.h"\n',
                               common__b_h='#include "common/c.h"\n', common__c_h='#include "common/a.h"\n')
        self.assertEqual(said, ['circle: common/a.h -> common/b.h -> common/c.h -> common/a.h'])


class Sizes(Case):
    @staticmethod
    def function(length):
        return '/* */\nstatic int\n\tx(void)\n{\n' + '\ty();\n' * (length - 4) + '}\n'

    def test_function_of_80_lines_passes(self):
        self.assertEqual(self.complaints(sizes.check_file_of('common/a.c'), common__a_c=self.function(80)), [])

    def test_function_of_81_lines_does_not(self):
        self.assertEqual(len(self.complaints(sizes.check_file_of('common/a.c'), common__a_c=self.function(81))), 1)

    def test_initialiser_is_no_function(self):
        text = '/* */\nint x[] = {\n' + '\t1,\n' * 90 + '};\n'
        self.assertEqual(self.complaints(sizes.check_file_of('common/a.c'), common__a_c=text), [])

    def test_file_of_601_lines_is_too_long(self):
        said = self.complaints(sizes.check_file_of('test/a.py'), test__a_py='x\n' * 601)
        self.assertEqual(said, ['test/a.py: 601 lines, at most 600'])

    def test_median_of_16_is_too_long(self):
        said = self.complaints(sizes.check, common__a_c=self.function(16))
        self.assertEqual(len(said), 1)


class Words(Case):
    def test_file_without_opening_comment(self):
        said = self.complaints(words.check, common__a_c='int a;\n')
        self.assertEqual(said, ['common/a.c:1: must open with a comment that says its job'])

    def test_unfinished_work(self):
        said = self.complaints(words.check, common__a_c='/* x */\n/* TO' 'DO: more */\n')
        self.assertEqual(len(said), 1)

    def test_stranger_at_the_top(self):
        self.assertEqual(self.complaints(words.check, tools__a_txt='x\n'),
                         ['tools: must not stand at the top of the tree'])


class Events(Case):
    def said_of(self, call):
        return self.complaints(lambda files: events.check_calls(files, events.table(files)),
                               common__log_c=LOG, common__a_c=f'void f(void)\n{{\n\t{call};\n}}\n')

    def test_keys_of_the_table_pass_with_and_without_the_optional_one(self):
        self.assertEqual(self.said_of('log_event(EV_A, "x=%d y=%s" " z=%" PRIu64, g(1, ","), s, 2)'), [])
        self.assertEqual(self.said_of('log_event(EV_A, "x=%d z=%d", 1, 2)'), [])

    def test_missing_wrong_or_swapped_keys_do_not(self):
        for keys in ('x=%d', 'x=%d z=%d more=1', 'z=%d x=%d', 'x=%d y=%s zz=%d'):
            self.assertEqual(len(self.said_of(f'log_event(EV_A, "{keys}", 1, 2)')), 1, keys)

    def test_unknown_event_and_computed_format_do_not(self):
        self.assertEqual(len(self.said_of('log_event(EV_B, "x=1")')), 1)
        self.assertEqual(len(self.said_of('log_event(EV_A, format)')), 1)

    def test_man_page_must_be_as_the_table(self):
        def check(files):
            return events.check_man(files, events.table(files))

        section = events.man_section({'EV_A': ('a.one', 'info', ['x', 'y*', 'z'], 'Means this.')})
        keys = '\n# KEYS\n\n*x* *y* *z*\n'
        name = 'common__dispatcher-log.5_scd'
        self.assertEqual(self.complaints(check, common__log_c=LOG, **{name: section + keys}), [])
        self.assertNotEqual(self.complaints(check, common__log_c=LOG, **{name: section.replace('this', 'that') + keys}), [])
        self.assertNotEqual(self.complaints(check, common__log_c=LOG, **{name: section + keys.replace('*y*', '')}), [])


class Manuals(Case):
    def test_page_must_be_built_and_name_itself(self):
        said = self.complaints(manuals.check_pages, common__meson_build='', **{'common__a.5_scd': 'b(5)\n'})
        self.assertEqual(said, ['common/a.5.scd:1: must begin with a(5)',
                                'common/a.5.scd: not in man_pages of its meson.build'])

    def test_reference_into_the_void(self):
        said = self.complaints(manuals.check_pages, common__meson_build="'a.5.scd'",
                               **{'common__a.5_scd': 'a(5)\nSee *a*(5), signal(7) and dispatchernobody(8).\n'})
        self.assertEqual(said, ['common/a.5.scd: refers to dispatchernobody(8), which is not there'])


if __name__ == '__main__':
    unittest.main()
