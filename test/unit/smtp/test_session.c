/* What a session answers, and what it makes of a client's bytes. */
#include "test/unit/common/check.h"
#include "test/unit/smtp/fake.h"

#include "common/base.h"

#include <stdio.h>
#include <string.h>

#define MAIL_TO_A "EHLO me\r\nMAIL FROM:<s@b.c>\r\nRCPT TO:<a@b.c>\r\n"

static void expect(struct fake *f, const char *say, const char *replies)
{
	fake_say(f, say);
	assert_string_equal(fake_replies(f), replies);
}

/* Only the last reply. */
static void expect_last(struct fake *f, const char *say, const char *reply)
{
	const char *all, *at;

	fake_say(f, say);
	all = fake_replies(f);
	for (at = all + strlen(all) - 2; at > all && at[-1] != '\n';)
		at--;
	if (strncmp(at, reply, strlen(reply)))
		fail_msg("%s: %s instead of %s", say, at, reply);
}

static void commands_sent_at_once_are_answered_in_their_order(void **state)
{
	struct fake *f = fake_new(false, false, false);

	expect(f, "HELO me\r\nMAIL FROM:<s@b.c>\r\nRCPT TO:<a@b.c>\r\nRCPT TO:<x@b.c>\r\nDATA\r\n",
		"250 mx.example.org\r\n250 2.1.0 Sender OK\r\n250 2.1.5 Recipient OK\r\n"
		"550 5.1.1 No such recipient\r\n"
		"354 Send the message, end it with . on a line of its own\r\n");
	expect(f, "Subject: x\r\n\r\n..two\r\n.\r\nQUIT\r\n",
		"250 2.0.0 Stored\r\n221 2.0.0 Bye\r\n");
	assert_string_equal(f->log, "s@b.c > a@b.c: Subject: x\n\n.two\n|");
	assert_int_equal(f->session.phase, SESSION_OVER);
	fake_free(f);
}

static void ehlo_lists_what_there_is(void **state)
{
	struct fake *f = fake_new(false, true, false);

	f->options.auth = true;
	expect(f, "ehlo [127.0.0.1]\r\n",
		"250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE 2000\r\n250-8BITMIME\r\n"
		"250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250-STARTTLS\r\n250 CHUNKING\r\n");
	expect(f, "STARTTLS\r\n", "220 2.0.0 Go ahead\r\n");
	session_secured(&f->session);
	expect(f, "EHLO me\r\n",
		"250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE 2000\r\n250-8BITMIME\r\n"
		"250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250-AUTH PLAIN LOGIN\r\n250 "
		"CHUNKING\r\n");
	fake_free(f);
}

static void commands_out_of_order_are_refused(void **state)
{
	static const char *const refused[][2] = {{"MAIL FROM:<>\r\n", "503 5.5.1 EHLO first"},
		{"EHLO\r\n", "501 "}, {"EHLO a b\r\nRCPT TO:<a@b.c>\r\n", "503 5.5.1 MAIL first"},
		{"DATA\r\n", "503 "}, {"BDAT 3 LAST\r\nxyz", "503 "}, {"LHLO me\r\n", "500 5.5.1"},
		{"MAIL FROM:<>\r\nMAIL FROM:<>\r\n", "503 "}, {"DATA\r\n", "503 5.5.1 No valid"},
		{"AUTH PLAIN\r\n", "503 "}, {"STARTTLS\r\n", "502 "}, {"EXPN x\r\n", "502 "},
		{"\r\n", "500 "}, {"DATA now\r\n", "501 "}, {"VRFY\r\n", "501 "}};
	struct fake *f = fake_new(false, false, false);

	for (unsigned i = 0; i < ARRAY_LEN(refused); i++)
		expect_last(f, refused[i][0], refused[i][1]);
	expect_last(f, "NOOP x\r\n", "250 ");
	expect_last(f, "VRFY x\r\n", "252 ");
	assert_string_equal(f->log, "");
	fake_free(f);
}

static void rset_and_ehlo_forget_the_transaction(void **state)
{
	struct fake *f = fake_new(false, false, false);

	expect_last(f, MAIL_TO_A "RSET\r\nRCPT TO:<a@b.c>\r\n", "503 ");
	expect_last(f, MAIL_TO_A "EHLO me\r\nDATA\r\n", "503 ");
	expect_last(f, MAIL_TO_A "BDAT 1\r\nxRSET\r\nBDAT 1 LAST\r\ny", "503 ");
	assert_string_equal(f->log, "");
	fake_free(f);
}

static void chunks_are_joined_and_each_is_answered(void **state)
{
	struct fake *f = fake_new(false, false, false);

	fake_say(f, MAIL_TO_A);
	fake_replies(f);
	expect(f, "BDAT 6\r\n.\r\nab\rBDAT 1\r\n\nBDAT 0 LAST\r\nNOOP\r\n",
		"250 2.0.0 5 octets so far\r\n250 2.0.0 7 octets so far\r\n"
		"250 2.0.0 Stored\r\n250 2.0.0 OK\r\n");
	assert_string_equal(f->log, "s@b.c > a@b.c: .\nab\n|");
	fake_free(f);
}

static void octets_of_a_refused_chunk_are_never_commands(void **state)
{
	struct fake *f = fake_new(false, false, false);

	expect_last(f, "EHLO me\r\nMAIL FROM:<>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "250 ");
	f->begin_reply = "452 4.3.1 Full";
	expect_last(f, "RCPT TO:<a@b.c>\r\nBDAT 6\r\nQUIT\r\n", "452 4.3.1 Full");
	expect_last(f, "BDAT 6 LAST\r\nQUIT\r\n", "503 ");
	expect_last(f, "BDAT x\r\n", "501 ");
	assert_int_equal(f->session.phase, SESSION_OVER);
	assert_string_equal(f->log, "");
	fake_free(f);
}

static void a_message_with_a_lone_cr_or_lf_is_refused(void **state)
{
	static const char *const bad[] = {"a\nb\r\n.\r\n", "a\rb\r\n.\r\n", "a\n.\n\r\n.\r\n",
		"a\r\n.\r\r\n\r\n.\r\n", "a\r\n.\nQUIT\r\n\r\n.\r\n", "\n.\r\n\r\n.\r\n",
		"a\r.\r\n\r\n.\r\n", ".\rQUIT\r\n.\r\n", "a\r\r\n.\r\n"};

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		struct fake *f = fake_new(false, false, false);

		fake_say(f, MAIL_TO_A "DATA\r\n");
		fake_replies(f);
		expect(f, bad[i], "550 5.6.0 The message has a CR or LF that stands alone\r\n");
		expect(f, "NOOP\r\n", "250 2.0.0 OK\r\n");
		assert_string_equal(f->log, "");
		fake_free(f);
	}
}

static void a_chunk_with_a_lone_cr_or_lf_is_refused(void **state)
{
	static const char *const bad[] = {
		"BDAT 2 LAST\r\na\n", "BDAT 2 LAST\r\na\r", "BDAT 1\r\n\rBDAT 1 LAST\r\na"};

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		struct fake *f = fake_new(false, false, false);

		fake_say(f, MAIL_TO_A);
		expect_last(f, bad[i], "550 5.6.0");
		assert_string_equal(f->log, "");
		fake_free(f);
	}
}

static void a_command_with_a_lone_cr_or_lf_ends_the_session(void **state)
{
	static const char *const bad[] = {
		"NOOP\nMAIL FROM:<>\r\n", "NOOP\rNOOP\r\n", "\n", "NOOP\r\r\n"};

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		struct fake *f = fake_new(false, false, false);

		expect(f, bad[i],
			"500 5.5.2 A line ends with CR LF, neither of them stands alone\r\n");
		assert_int_equal(f->session.phase, SESSION_OVER);
		fake_free(f);
	}
}

static void limits_have_their_replies(void **state)
{
	struct fake *f = fake_new(false, false, false);
	char line[3000];

	memset(line, 'a', sizeof(line));
	fake_feed(f, line, sizeof(line));
	expect_last(f, "\r\n", "500 5.5.2 The line is too long");
	expect_last(f, "EHLO me\r\nMAIL FROM:<> SIZE=2001\r\n", "552 5.3.4");
	expect_last(f, "MAIL FROM:<> SIZE=2000\r\n", "250 ");
	expect_last(f, "RCPT TO:<a@b>\r\nRCPT TO:<b@b>\r\nRCPT TO:<c@b>\r\nRCPT TO:<d@b>\r\n",
		"452 4.5.3");
	expect_last(f, "DATA\r\n", "354 ");
	fake_feed(f, line, 2001);
	expect_last(f, "\r\n.\r\n", "552 5.3.4");
	assert_string_equal(f->log, "");
	f->options.errors = f->session.errors + 2;
	expect_last(f, "what\r\n", "500 ");
	expect_last(f, "what\r\nNOOP\r\n", "421 4.7.0");
	assert_int_equal(f->session.phase, SESSION_OVER);
	fake_free(f);
}

static void lmtp_answers_for_each_recipient(void **state)
{
	struct fake *f = fake_new(true, false, false);

	expect_last(f, "EHLO me\r\n", "500 ");
	fake_say(f,
		"LHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\nRCPT TO:<x@b>\r\nRCPT TO:<b@b>\r\n");
	expect_last(f, "DATA\r\n", "354 ");
	expect(f, "hi\r\n.\r\n", "250 2.0.0 Stored\r\n250 2.0.0 Stored\r\n");
	fake_say(f, "MAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\nRCPT TO:<b@b>\r\n");
	fake_replies(f);
	expect(f, "BDAT 1\r\nxBDAT 1 LAST\r\ny",
		"250 2.0.0 1 octets so far\r\n250 2.0.0 Stored\r\n250 2.0.0 Stored\r\n");
	fake_free(f);
}

static void what_stands_behind_starttls_is_never_run(void **state)
{
	struct fake *f = fake_new(false, true, false);

	expect(f, "STARTTLS\r\nEHLO me\r\n", "554 5.5.0 Commands behind STARTTLS are not run\r\n");
	assert_int_equal(f->session.phase, SESSION_OVER);
	fake_free(f);
}

static void tls_begins_a_new_session(void **state)
{
	struct fake *f = fake_new(false, true, false);

	expect_last(f, MAIL_TO_A "STARTTLS\r\n", "220 ");
	assert_int_equal(f->session.phase, SESSION_TLS);
	session_secured(&f->session);
	expect_last(f, "RCPT TO:<a@b.c>\r\n", "503 5.5.1 MAIL first");
	expect_last(f, "MAIL FROM:<>\r\n", "503 5.5.1 EHLO first");
	expect_last(f, "STARTTLS\r\n", "503 5.5.1 TLS is on");
	fake_free(f);
}

static void a_submission_server_wants_a_password_under_tls(void **state)
{
	struct fake *f = fake_new(false, true, false);

	f->options.auth = true;
	expect_last(f, "EHLO me\r\nMAIL FROM:<>\r\n", "530 5.7.0 STARTTLS first");
	expect_last(f, "AUTH PLAIN Z29vZA==\r\n", "538 5.7.11");
	expect_last(f, "STARTTLS\r\n", "220 ");
	session_secured(&f->session);
	expect_last(f, "EHLO me\r\nMAIL FROM:<>\r\n", "530 5.7.0 Authenticate");
	expect_last(f, "AUTH CRAM-MD5\r\n", "504 ");
	expect_last(f, "AUTH PLAIN a\tb\r\n", "501 ");
	expect_last(f, "AUTH PLAIN YmFk\r\n", "535 ");
	expect_last(f, "AUTH LOGIN\r\n", "334 ");
	expect_last(f, "*\r\n", "501 5.7.0 Cancelled");
	expect_last(f, "AUTH LOGIN\r\nMAIL FROM:<>\r\n", "501 ");
	expect_last(f, "AUTH PLAIN\r\nZ29vZA==\r\n", "235 ");
	expect_last(f, "AUTH PLAIN Z29vZA==\r\n", "503 ");
	expect_last(f, "MAIL FROM:<> AUTH=<>\r\n", "250 ");
	fake_free(f);
}

static void replies_that_fill_the_buffer_are_all_sent(void **state)
{
	struct fake *f = fake_new(false, false, false);

	for (unsigned i = 0; i < 1000; i++)
		session_feed(&f->session, "NOOP\r\n", 6);
	session_flush(&f->session);
	assert_int_equal(f->replies_len, 1000 * strlen("250 2.0.0 OK\r\n"));
	fake_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_sent_at_once_are_answered_in_their_order),
		cmocka_unit_test(ehlo_lists_what_there_is),
		cmocka_unit_test(commands_out_of_order_are_refused),
		cmocka_unit_test(rset_and_ehlo_forget_the_transaction),
		cmocka_unit_test(chunks_are_joined_and_each_is_answered),
		cmocka_unit_test(octets_of_a_refused_chunk_are_never_commands),
		cmocka_unit_test(a_message_with_a_lone_cr_or_lf_is_refused),
		cmocka_unit_test(a_chunk_with_a_lone_cr_or_lf_is_refused),
		cmocka_unit_test(a_command_with_a_lone_cr_or_lf_ends_the_session),
		cmocka_unit_test(limits_have_their_replies),
		cmocka_unit_test(lmtp_answers_for_each_recipient),
		cmocka_unit_test(what_stands_behind_starttls_is_never_run),
		cmocka_unit_test(tls_begins_a_new_session),
		cmocka_unit_test(a_submission_server_wants_a_password_under_tls),
		cmocka_unit_test(replies_that_fill_the_buffer_are_all_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
