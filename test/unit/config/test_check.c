/* A block that is not whole is refused, so that nobody follows its offsets. */
#include "test/unit/config/world.h"

#include "common/base.h"

#include <errno.h>
#include <string.h>

static const char sample[] =
	SERVICE "PARAMETER=A=b\nENVIRONMENT=C=d\nEXEMPT_SOURCES=::1\nPORT=unix:/x\nREFUSE_TEXT=busy\n"
		"TLS_PORT=8\nTLS_CERT=/a\nTLS_KEY=/b\nTLS_SNI=x /c /d\nTLS_ALPN=e f\nTLS_CLIENT_CA=/g\n"
		"TLS_CLIENT_AUTH=optional\nTLS_CIPHERSUITES=h\n"
		"[SERVICE=B]\nPORT=7008\nADAPTER=server\nCOMMAND=/bin/true x\n";

static void a_block_that_was_cut_is_refused(void **state)
{
	struct world *w = world_load(state, sample);

	for (size_t cut = 0; cut < w->s->bytes; cut++)
		assert_int_equal(settings_check(w->s, cut), -EBADMSG);
	assert_int_equal(settings_check(w->s, w->s->bytes + 100), 0);
}

static void a_block_of_another_layout_is_refused(void **state)
{
	struct world *w = world_load(state, sample);

	w->s->magic++;
	assert_int_equal(settings_check(w->s, w->s->bytes), -EBADMSG);
}

/* Reads through every offset, so that a sanitizer sees what the check let pass. */
static size_t read_everything(const struct settings *s)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	settings_print(s, NULL, out);
	for (uint32_t i = 0; i < s->warnings.count; i++)
		fputs(settings_list_text(s, s->warnings, i), out);
	for (uint32_t i = 0; i < s->not_enforced.count; i++)
		fputs(settings_list_text(s, s->not_enforced, i), out);
	for (uint32_t i = 0; i < s->files.count; i++)
		fputs(settings_list_text(s, s->files, i), out);
	fclose(out);
	free(text);
	return size;
}

static void whatever_passes_the_check_can_be_read_safely(void **state)
{
	struct world *w = world_load(state, sample);
	size_t bytes = w->s->bytes;
	static const uint32_t values[] = {0, 1, 8, 0x7fffffff, UINT32_MAX, 4096};
	struct settings *copy = malloc(bytes);
	unsigned refused = 0;

	for (size_t at = 0; at + 4 <= bytes; at += 4) {
		for (unsigned i = 0; i < ARRAY_LEN(values); i++) {
			memcpy(copy, w->s, bytes);
			memcpy((char *)copy + at, &values[i], 4);
			if (settings_check(copy, bytes) == 0)
				assert_true(read_everything(copy) > 0);
			else
				refused++;
		}
	}
	assert_true(refused > 100);
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_block_that_was_cut_is_refused),
		world_test(a_block_of_another_layout_is_refused),
		world_test(whatever_passes_the_check_can_be_read_safely),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
