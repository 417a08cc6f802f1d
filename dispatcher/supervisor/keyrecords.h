/* What dispatcher-keys has said so far, checked as it comes: numbers in range, texts that end. */
#ifndef SUPERVISOR_KEYRECORDS_H
#define SUPERVISOR_KEYRECORDS_H

#include "dispatcher/keylink.h"
#include "dispatcher/supervisor/keyring.h"

struct keyrecords_message {
	uint32_t service;
	enum load_severity severity;
	bool is_dated;
	char *text;
};

struct keyrecords {
	struct keyring ring;
	struct keyrecords_message *messages;
	size_t message_count;
	bool ended;
};

int keyrecords_init(struct keyrecords *k, const struct settings *s); /* 0 or -ENOMEM */
void keyrecords_free(struct keyrecords *k);

/* Takes one record; owns fd (-1: none). 0, -EBADMSG or -ENOMEM. */
int keyrecords_add_consume(struct keyrecords *k, struct key_record *r, size_t len, int fd);

/* Passes the messages on. True: one of them was an error. */
bool keyrecords_tell(const struct keyrecords *k, const struct keyring_request *request);

struct keyring keyrecords_steal(struct keyrecords *k);

#endif
