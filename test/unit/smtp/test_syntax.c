/* Addresses and parameters: what is one, and what is made of it. */
#include "test/unit/common/check.h"

#include "worker/smtp/syntax.h"
#include "worker/smtp/trace.h"

#include "common/base.h"

#include <string.h>

static const char *rcpt(const char *args, struct address *ret)
{
	char line[700];

	strcpy(line, args);
	return syntax_rcpt(line, ret);
}

static const char *mail(const char *args, struct mail_options *ret)
{
	char line[700];
	struct address from;

	strcpy(line, args);
	return syntax_mail(line, &from, ret);
}

static void good_addresses_are_taken_apart(void **state)
{
	static const struct {
		const char *args, *local, *domain;
	} good[] = {{"TO:<a@b.c>", "a", "b.c"}, {"to: <A.b+c@EXAMPLE.org>", "A.b+c", "example.org"},
		{"TO:<@x,@y.z:a@b>", "a", "b"}, {"TO:<\"a b\"@c>", "a b", "c"},
		{"TO:<\"..\\\"/>\"@c>", "..\"/>", "c"}, {"TO:<Postmaster>", "Postmaster", ""},
		{"TO:<a@[127.0.0.1]>", "a", "[127.0.0.1]"}, {"TO:<a/b=c@d>", "a/b=c", "d"},
		{"TO:<\303\244@\303\266.de>", "\303\244", "\303\266.de"}};
	struct address to;

	for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
		assert_null(rcpt(good[i].args, &to));
		assert_string_equal(to.local, good[i].local);
		assert_string_equal(to.domain, good[i].domain);
	}
	assert_true(to.utf8);
}

static void bad_addresses_are_refused(void **state)
{
	static const char *const bad[] = {"TO:a@b", "TO:<a@b", "TO:<>", "TO:<a>", "TO:<@b>",
		"TO:<a@>", "TO:<.a@b>", "TO:<a.@b>", "TO:<a..b@c>", "TO:<a b@c>", "TO:<a@b c>",
		"TO:<a@b..c>", "TO:<a@b>x", "TO:<\"a@b>", "TO:<\"a\tb\"@c>", "TO:<a@[b>",
		"TO:<a@[b/c]>", "TO:<a@b/c>", "TO:<\377@b>", "TO:<\300\200@b>",
		"TO:<\355\240\200@b>", "TO:<a@b> X=1", "TO:<a@.b>", "TO:<a@-b>", "TO:<\"\\",
		"FROM:<a@b>", "TO:<@a:@b:c@d>", "TO:<<a@b>>"};
	struct address to;

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		if (!rcpt(bad[i], &to))
			fail_msg("%s is taken", bad[i]);
}

static void addresses_that_are_too_long_are_refused(void **state)
{
	struct address to;
	char args[700] = "TO:<";

	memset(args + 4, 'a', 319);
	strcpy(args + 4 + 319 - 2, "@b>");
	assert_null(rcpt(args, &to));
	memset(args + 4, 'a', 400);
	strcpy(args + 4 + 400, "@b>");
	assert_non_null(rcpt(args, &to));
	strcpy(args + 4, "a@");
	memset(args + 6, 'b', 260);
	strcpy(args + 266, ">");
	assert_non_null(rcpt(args, &to));
}

static void parameters_of_mail_are_read(void **state)
{
	struct mail_options o;

	assert_null(mail("FROM:<a@b> SIZE=123 BODY=8bitmime SMTPUTF8", &o));
	assert_int_equal(o.size, 123);
	assert_true(o.eight_bit && o.utf8 && !o.auth);
	assert_null(mail("FROM:<>", &o));
	assert_null(mail("FROM:<\303\244@b> SMTPUTF8", &o));
	assert_memory_equal(mail("FROM:<\303\244@b>", &o), "553", 3);
	assert_memory_equal(mail("FROM:<a@b> SIZE=x", &o), "501", 3);
	assert_memory_equal(mail("FROM:<a@b> SIZE", &o), "501", 3);
	assert_memory_equal(mail("FROM:<a@b> BODY=BINARYMIME", &o), "501", 3);
	assert_memory_equal(mail("FROM:<a@b> RET=FULL", &o), "555", 3);
	assert_memory_equal(mail("FROM:<postmaster>", &o), "501", 3);
}

static void chunks_have_a_size(void **state)
{
	char good[] = "12 LAST", more[] = "0", minus[] = "-1", huge[] = "99999999999999999999",
	     word[] = "1 L";
	uint64_t octets;
	bool last;

	assert_null(syntax_bdat(good, &octets, &last));
	assert_true(octets == 12 && last);
	assert_null(syntax_bdat(more, &octets, &last));
	assert_true(!octets && !last);
	assert_non_null(syntax_bdat(minus, &octets, &last));
	assert_non_null(syntax_bdat(huge, &octets, &last));
	assert_non_null(syntax_bdat(word, &octets, &last));
}

static void a_trace_names_all_that_the_standard_asks_for(void **state)
{
	static const struct session_options o = {.hostname = "mx.example.org"};
	static struct session s = {.options = &o, .tls = true, .authenticated = true};
	struct address to = {.text = "a@b.c"};
	struct trace t = {.client = "192.0.2.1", .id = "77", .tls = "TLSv1.3", .is_last = true};
	char text[TRACE_BYTES];

	s.envelope = (struct envelope){
		.helo = "me", .extended = true, .to = &to, .count = 1, .from = {.text = "s@b.c"}};
	trace_write(&t, &s, text);
	assert_memory_equal(text,
		"Return-Path: <s@b.c>\nReceived: from me ([192.0.2.1])\n\tby mx.example.org with "
		"ESMTPSA id 77\n\t(TLSv1.3)\n\tfor <a@b.c>; Thu, 01 Jan 1970 ",
		133);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_addresses_are_taken_apart),
		cmocka_unit_test(bad_addresses_are_refused),
		cmocka_unit_test(addresses_that_are_too_long_are_refused),
		cmocka_unit_test(parameters_of_mail_are_read),
		cmocka_unit_test(chunks_have_a_size),
		cmocka_unit_test(a_trace_names_all_that_the_standard_asks_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
