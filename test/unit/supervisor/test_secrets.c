/* Certificates and ticket keys as the supervisor holds them, and how workers get them. Nothing here is a
 * real key: what passes is memory with a name. */
#include "common/base.h"
#include "common/chan.h"
#include "common/clock.h"
#include "common/tls.h"
#include "dispatcher/supervisor/keyrecords.h"
#include "dispatcher/supervisor/sealed.h"
#include "dispatcher/supervisor/secrets.h"
#include "dispatcher/supervisor/tickets.h"
#include "dispatcher/supervisor/worker.h"
#include "test/unit/supervisor/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define LIFE_MS 1000

/* --- ticket keys --- */

static struct tls_tickets read_tickets(int fd, void **ret_block)
{
	struct tls_tickets t;
	size_t bytes;

	assert_int_equal(sealed_map(fd, ret_block, &bytes), 0);
	assert_int_equal(tls_read_tickets(*ret_block, bytes, &t), 0);
	return t;
}

/* The newest key of the memory. */
static struct tls_ticket_key newest(const struct tickets *t)
{
	void *block;
	struct tls_tickets tickets = read_tickets(t->fd, &block);
	struct tls_ticket_key key = *tickets.keys[0];

	munmap(block, 1);
	return key;
}

static bool has_key(const struct tickets *t, const struct tls_ticket_key *key)
{
	void *block;
	struct tls_tickets tickets = read_tickets(t->fd, &block);
	bool found = false;

	for (unsigned i = 0; i < tickets.count; i++)
		found |= !memcmp(tickets.keys[i], key, sizeof(*key));
	munmap(block, 1);
	return found;
}

static void three_generations_are_kept_and_the_fourth_forgets_the_first(void **state)
{
	struct tickets t = {.fd = -1};
	struct tls_ticket_key first;

	for (unsigned i = 1; i <= 4; i++) {
		assert_int_equal(tickets_rotate(&t, LIFE_MS, i), 0);
		if (i == 1)
			first = newest(&t);
		assert_int_equal(t.generation, i);
		assert_int_equal(t.rotated_ms, i);
		assert_int_equal(has_key(&t, &first), i < 4);
	}
	close(t.fd);
}

static void no_two_keys_are_the_same_and_no_byte_is_left_out(void **state)
{
	static const uint8_t zeroes[8];
	struct tickets t = {.fd = -1};
	struct tls_ticket_key one, other;

	assert_int_equal(tickets_rotate(&t, LIFE_MS, 0), 0);
	one = newest(&t);
	assert_int_equal(tickets_rotate(&t, LIFE_MS, 0), 0);
	other = newest(&t);
	assert_memory_not_equal(one.name, other.name, sizeof(one.name));
	assert_memory_not_equal(one.aes, other.aes, sizeof(one.aes));
	assert_memory_not_equal(one.hmac, other.hmac, sizeof(one.hmac));
	for (size_t at = 0; at + sizeof(zeroes) <= sizeof(one); at += sizeof(zeroes))
		assert_memory_not_equal((uint8_t *)&one + at, zeroes, sizeof(zeroes));
	close(t.fd);
}

static void nobody_can_write_to_the_memory(void **state)
{
	struct tickets t = {.fd = -1};

	assert_int_equal(tickets_rotate(&t, LIFE_MS, 0), 0);
	assert_int_equal(pwrite(t.fd, "x", 1, 0), -1);
	assert_ptr_equal(mmap(NULL, 1, PROT_WRITE, MAP_SHARED, t.fd, 0), MAP_FAILED);
	close(t.fd);
}

static void each_generation_is_memory_of_its_own(void **state)
{
	struct tickets t = {.fd = -1};
	OWNS_FD int former = -1;
	struct tls_ticket_key first;
	void *block;

	assert_int_equal(tickets_rotate(&t, LIFE_MS, 0), 0);
	former = fcntl(t.fd, F_DUPFD_CLOEXEC, 3);
	first = newest(&t);
	assert_int_equal(tickets_rotate(&t, LIFE_MS, 0), 0);
	assert_int_equal(read_tickets(former, &block).count, 1);
	assert_memory_equal(read_tickets(former, &block).keys[0], &first, sizeof(first));
	close(t.fd);
}

static void a_rotation_is_due_after_each_life_and_none_without_keys(void **state)
{
	struct tickets t = {.fd = 3, .rotated_ms = 10000}, none = {.fd = -1};

	assert_int_equal(tickets_due(&none, LIFE_MS, 99999), 0);
	assert_int_equal(tickets_due(&t, LIFE_MS, 10999), 0);
	assert_int_equal(tickets_due(&t, LIFE_MS, 11000), 1);
	assert_int_equal(tickets_due(&t, LIFE_MS, 12500), 2);
	assert_int_equal(tickets_due(&t, LIFE_MS, 9), 0);
	assert_int_equal(tickets_due(&t, LIFE_MS, UINT64_MAX), TLS_MAX_TICKETS);
}

static void another_lifetime_keeps_the_keys(void **state)
{
	struct tickets t = {.fd = -1};
	struct tls_ticket_key first;
	void *block;

	assert_int_equal(tickets_rotate(&t, LIFE_MS, 5), 0);
	first = newest(&t);
	assert_int_equal(tickets_set_lifetime(&t, 7777), 0);
	assert_int_equal(read_tickets(t.fd, &block).lifetime_ms, 7777);
	assert_true(has_key(&t, &first));
	assert_int_equal(t.generation, 1);
	assert_int_equal(t.rotated_ms, 5);
	close(t.fd);
}

/* --- what is held --- */

/* Settings with services of these names; nothing else of them is read. */
static struct settings *settings_with(const char *const *names, uint32_t count)
{
	char *block = calloc(1, 65536);
	struct settings *s = (struct settings *)block;
	uint32_t at = sizeof(*s);

	s->services = (struct settings_list){.at = at, .count = count};
	at += count * (uint32_t)sizeof(struct service_settings);
	for (uint32_t i = 0; i < count; i++) {
		struct service_settings *svc = (struct service_settings *)(block + s->services.at) + i;

		strcpy(block + at, names[i]);
		svc->name = at;
		svc->tls_ticket_ms = LIFE_MS;
		at += (uint32_t)strlen(names[i]) + 1;
	}
	return s;
}

/* digest 0: no TLS. */
static struct keyring ring_with(const struct settings *s, const uint64_t *digests)
{
	struct keyrecords k;
	struct keyring ring;

	assert_int_equal(keyrecords_init(&k, s), 0);
	ring = keyrecords_steal(&k);
	keyrecords_free(&k);
	for (uint32_t i = 0; i < ring.count; i++) {
		if (!digests[i])
			continue;
		ring.services[i].bundle_fd = sealed_memory("tls");
		assert_int_equal(sealed_fill(ring.services[i].bundle_fd, "bundle", 6), 0);
		ring.services[i].digest = digests[i];
	}
	return ring;
}

static void put(struct secrets *s, const struct settings *settings, const uint64_t *digests)
{
	struct keyring ring = ring_with(settings, digests);

	assert_int_equal(secrets_prepare_consume(s, &ring, settings), 0);
}

static void what_is_prepared_is_in_force_only_once_it_is_committed(void **state)
{
	static const char *const names[] = {"smtp"};
	OWNS_MEM struct settings *settings = settings_with(names, 1);
	OWNS_MEM char *changes = NULL;
	struct secrets *s;

	assert_int_equal(secrets_new(&s), 0);
	put(s, settings, (uint64_t[]){7});
	assert_int_equal(secrets_gift(s, "smtp", false).bundle_fd, -1);
	assert_true(secrets_gift(s, "smtp", true).bundle_fd >= 0);
	assert_true(secrets_gift(s, "smtp", true).tickets_fd >= 0);
	changes = secrets_changes(s);
	assert_string_equal(changes, "smtp");
	assert_false(secrets_is_in_force(s, "smtp", 7));
	secrets_commit(s, settings);
	assert_true(secrets_gift(s, "smtp", false).bundle_fd >= 0);
	assert_true(secrets_is_in_force(s, "smtp", 7));
	assert_false(secrets_is_in_force(s, "smtp", 8));
	secrets_free(s);
}

static void what_stays_the_same_keeps_its_serial_numbers(void **state)
{
	static const char *const names[] = {"smtp", "imap"};
	OWNS_MEM struct settings *settings = settings_with(names, 2);
	struct secrets_gift smtp, imap;
	OWNS_MEM char *changes = NULL;
	struct secrets *s;

	assert_int_equal(secrets_new(&s), 0);
	put(s, settings, (uint64_t[]){7, 8});
	secrets_commit(s, settings);
	smtp = secrets_gift(s, "smtp", false);
	imap = secrets_gift(s, "imap", false);
	put(s, settings, (uint64_t[]){7, 9});
	changes = secrets_changes(s);
	assert_string_equal(changes, "imap");
	secrets_commit(s, settings);
	assert_int_equal(secrets_gift(s, "smtp", false).bundle_serial, smtp.bundle_serial);
	assert_int_not_equal(secrets_gift(s, "imap", false).bundle_serial, imap.bundle_serial);
	assert_int_equal(secrets_gift(s, "imap", false).tickets_serial, imap.tickets_serial);
	secrets_free(s);
}

static void a_service_that_leaves_keeps_its_tickets_for_those_who_still_serve(void **state)
{
	static const char *const names[] = {"smtp", "imap"};
	OWNS_MEM struct settings *both = settings_with(names, 2), *one = settings_with(names, 1);
	struct secrets *s;
	uint64_t serial;

	assert_int_equal(secrets_new(&s), 0);
	put(s, both, (uint64_t[]){7, 8});
	secrets_commit(s, both);
	serial = secrets_gift(s, "imap", false).tickets_serial;
	put(s, one, (uint64_t[]){7});
	secrets_commit(s, both); /* the tables still have it */
	assert_int_equal(secrets_gift(s, "imap", false).bundle_fd, -1);
	assert_int_equal(secrets_gift(s, "imap", false).tickets_serial, serial);
	secrets_rotate(s, clock_mono_ms() + LIFE_MS);
	assert_int_not_equal(secrets_gift(s, "imap", false).tickets_serial, serial);
	put(s, one, (uint64_t[]){7});
	secrets_commit(s, one);
	assert_int_equal(secrets_gift(s, "imap", false).tickets_fd, -1);
	secrets_free(s);
}

static void what_was_prepared_can_be_given_up(void **state)
{
	static const char *const names[] = {"smtp"};
	OWNS_MEM struct settings *settings = settings_with(names, 1);
	struct secrets *s;

	assert_int_equal(secrets_new(&s), 0);
	put(s, settings, (uint64_t[]){7});
	secrets_discard(s);
	assert_int_equal(secrets_gift(s, "smtp", true).bundle_fd, -1);
	secrets_free(s);
}

static void all_of_it_outlives_an_exec(void **state)
{
	static const char *const names[] = {"smtp"};
	OWNS_MEM struct settings *settings = settings_with(names, 1);
	struct secrets *before, *after;
	struct secrets_gift was, is;
	json_t *root = json_object();

	assert_int_equal(secrets_new(&before), 0);
	assert_int_equal(secrets_new(&after), 0);
	put(before, settings, (uint64_t[]){0xfedcba9876543210u});
	secrets_commit(before, settings);
	secrets_rotate(before, clock_mono_ms() + LIFE_MS);
	was = secrets_gift(before, "smtp", false);
	secrets_save(before, root);
	assert_int_equal(secrets_restore(after, root), 0);
	is = secrets_gift(after, "smtp", false);
	assert_memory_equal(&was, &is, sizeof(is));
	assert_true(secrets_is_in_force(after, "smtp", 0xfedcba9876543210u));
	assert_int_equal(secrets_find(after, "smtp")->tickets.generation, 2);
	assert_int_equal(secrets_find(after, "smtp")->lifetime_ms, LIFE_MS);
	json_decref(root);
	secrets_free(after); /* it has closed them all */
	assert_int_equal(fcntl(was.bundle_fd, F_GETFD), -1);
	secrets_free(before);
}

/* --- how a worker gets it --- */

struct channel {
	struct worker *worker;
	int reader;
};

static struct channel open_channel(void)
{
	static const struct worker_world world;
	struct channel c;
	int ends[2];

	assert_int_equal(chan_pair(ends), 0);
	assert_int_equal(worker_new(&world, 0, WORKER_NO_SLOT, 1, &c.worker), 0);
	c.worker->parts.channel = ends[0];
	c.reader = ends[1];
	return c;
}

static void close_channel(struct channel *c)
{
	close(c->reader);
	parts_close(&c->worker->parts);
	free(c->worker);
}

/* The type of the next message, 0: none; it has brought one descriptor. */
static int next_type(const struct channel *c)
{
	uint8_t buf[64];
	struct msg_reader r;
	unsigned count = 0;
	size_t len;
	int fd, answer = chan_recv(c->reader, buf, sizeof(buf), &len, &fd, 1, &count);

	if (answer == CHAN_EMPTY)
		return 0;
	assert_int_equal(answer, 0);
	assert_int_equal(count, 1);
	close(fd);
	assert_int_equal(msg_open(&r, buf, len), 0);
	return (int)r.type;
}

static void a_worker_is_given_only_what_it_has_not(void **state)
{
	struct channel c = open_channel();
	OWNS_FD int memory = sealed_memory("gift");
	struct secrets_gift gift = {memory, memory, 1, 2};

	assert_true(worker_give(c.worker, &gift));
	assert_int_equal(next_type(&c), MSG_TLS);
	assert_int_equal(next_type(&c), MSG_TICKETS);
	assert_true(worker_give(c.worker, &gift));
	assert_int_equal(next_type(&c), 0);
	gift.tickets_serial = 3;
	assert_true(worker_give(c.worker, &gift));
	assert_int_equal(next_type(&c), MSG_TICKETS);
	assert_int_equal(next_type(&c), 0);
	worker_forget_gifts(c.worker);
	assert_true(worker_give(c.worker, &gift));
	assert_int_equal(next_type(&c), MSG_TLS);
	close_channel(&c);
}

static void a_full_channel_means_later_and_nothing_is_lost(void **state)
{
	struct channel c = open_channel();
	OWNS_FD int memory = sealed_memory("gift");
	struct secrets_gift gift = {memory, memory, 1, 2};
	unsigned sent = 0;

	while (!chan_send(c.worker->parts.channel, "filler", 6, &memory, 1))
		sent++;
	assert_true(sent > 0);
	assert_false(worker_give(c.worker, &gift));
	assert_int_equal(c.worker->bundle_serial, 0);
	while (sent--) {
		uint8_t buf[64];
		size_t len;
		unsigned count = 0;
		int fd;

		assert_int_equal(chan_recv(c.reader, buf, sizeof(buf), &len, &fd, 1, &count), 0);
		close(fd);
	}
	assert_true(worker_give(c.worker, &gift));
	assert_int_equal(next_type(&c), MSG_TLS);
	assert_int_equal(next_type(&c), MSG_TICKETS);
	close_channel(&c);
}

static void who_reads_no_more_is_not_tried_again(void **state)
{
	struct channel c = open_channel();
	OWNS_FD int memory = sealed_memory("gift");
	struct secrets_gift gift = {memory, memory, 1, 2};

	shutdown(c.reader, SHUT_RD);
	assert_true(worker_give(c.worker, &gift));
	close_channel(&c);
}

/* --- what dispatcher-keys says --- */

static struct keyrecords records;

static int begin_records(void **state)
{
	static const char *const names[] = {"smtp", "imap"};
	OWNS_MEM struct settings *settings = settings_with(names, 2);

	assert_int_equal(keyrecords_init(&records, settings), 0);
	return 0;
}

static int end_records(void **state)
{
	keyrecords_free(&records);
	return 0;
}

static int add(struct key_record r, int fd)
{
	r.version = KEYS_VERSION;
	return keyrecords_add_consume(&records, &r, sizeof(r), fd);
}

static void a_record_that_makes_no_sense_is_refused(void **state)
{
	struct key_record r = {.version = KEYS_VERSION, .type = KEYS_CERT};

	assert_int_equal(keyrecords_add_consume(&records, &r, sizeof(r) - 1, -1), -EBADMSG);
	r.version++;
	assert_int_equal(keyrecords_add_consume(&records, &r, sizeof(r), -1), -EBADMSG);
	assert_int_equal(add((struct key_record){.type = KEYS_CERT, .service = 2}, -1), -EBADMSG);
	assert_int_equal(add((struct key_record){.type = 99}, -1), -EBADMSG);
	assert_int_equal(add((struct key_record){.type = KEYS_MESSAGE, .severity = 99}, -1), -EBADMSG);
	assert_int_equal(add((struct key_record){.type = KEYS_BUNDLE}, -1), -EBADMSG);
	assert_int_equal(add((struct key_record){.type = KEYS_BUNDLE}, sealed_memory("a")), 0);
	assert_int_equal(add((struct key_record){.type = KEYS_BUNDLE}, sealed_memory("b")), -EBADMSG);
	assert_int_equal(add((struct key_record){.type = KEYS_END}, -1), 0);
	assert_int_equal(add((struct key_record){.type = KEYS_CERT}, -1), -EBADMSG);
}

static void a_text_without_an_end_ends_all_the_same(void **state)
{
	struct key_record r = {.version = KEYS_VERSION, .type = KEYS_CERT};

	memset(r.text, 'x', sizeof(r.text));
	memset(r.names, 'y', sizeof(r.names));
	assert_int_equal(keyrecords_add_consume(&records, &r, sizeof(r), -1), 0);
	assert_int_equal(strlen(records.ring.services[0].certs[0].file), sizeof(r.text) - 1);
	assert_int_equal(strlen(records.ring.services[0].certs[0].names), sizeof(r.names) - 1);
}

static void count_errors(void *user, enum load_severity severity, const char *text)
{
	*(unsigned *)user += severity == LOAD_ERROR;
}

static bool knows_7(void *user, const char *service, uint64_t digest)
{
	return digest == 7;
}

static void a_date_is_no_error_of_what_is_used_already(void **state)
{
	unsigned errors = 0;
	struct keyring_request request = {.tell = count_errors, .user = &errors};

	assert_int_equal(add((struct key_record){.type = KEYS_MESSAGE, .severity = LOAD_ERROR, .is_dated = 1,
				     .text = "ended"}, -1), 0);
	assert_int_equal(add((struct key_record){.type = KEYS_BUNDLE, .digest = 7}, sealed_memory("a")), 0);
	assert_false(keyrecords_tell(&records, &request)); /* a start */
	request.is_in_force = knows_7;
	assert_false(keyrecords_tell(&records, &request));
	records.ring.services[0].digest = 8;
	assert_true(keyrecords_tell(&records, &request));
	assert_int_equal(errors, 1);
}

#define record_test(f) cmocka_unit_test_setup_teardown(f, begin_records, end_records)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_generations_are_kept_and_the_fourth_forgets_the_first),
		cmocka_unit_test(no_two_keys_are_the_same_and_no_byte_is_left_out),
		cmocka_unit_test(nobody_can_write_to_the_memory),
		cmocka_unit_test(each_generation_is_memory_of_its_own),
		cmocka_unit_test(a_rotation_is_due_after_each_life_and_none_without_keys),
		cmocka_unit_test(another_lifetime_keeps_the_keys),
		cmocka_unit_test(what_is_prepared_is_in_force_only_once_it_is_committed),
		cmocka_unit_test(what_stays_the_same_keeps_its_serial_numbers),
		cmocka_unit_test(a_service_that_leaves_keeps_its_tickets_for_those_who_still_serve),
		cmocka_unit_test(what_was_prepared_can_be_given_up),
		cmocka_unit_test(all_of_it_outlives_an_exec),
		cmocka_unit_test(a_worker_is_given_only_what_it_has_not),
		cmocka_unit_test(a_full_channel_means_later_and_nothing_is_lost),
		cmocka_unit_test(who_reads_no_more_is_not_tried_again),
		record_test(a_record_that_makes_no_sense_is_refused),
		record_test(a_text_without_an_end_ends_all_the_same),
		record_test(a_date_is_no_error_of_what_is_used_already),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
