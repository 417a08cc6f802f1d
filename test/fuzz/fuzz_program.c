/* The look at a program's file: nothing is read beyond its end, and every judgement has a method or
 * a reason why there is none. */
#include "test/fuzz/target.h"

#include "common/base.h"
#include "config/program.h"
#include "config/settings.h"

#include <string.h>

struct input {
	const uint8_t *data;
	size_t size;
};

static bool read_input(void *arg, uint64_t at, void *ret_buf, size_t len)
{
	const struct input *in = arg;

	if (at > in->size || len > in->size - at)
		return false;
	memcpy(ret_buf, in->data + at, len);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct program_bytes bytes = {read_input, &in};
	struct program p;
	unsigned method;

	program_judge(&bytes, &p);
	ASSERT(memchr(p.interpreter, '\0', sizeof(p.interpreter)));
	ASSERT(p.kind != PROGRAM_SCRIPT || (size >= 2 && !memcmp(data, "#!", 2)));
	method = program_method(&p);
	if (method == METHOD_NONE)
		ASSERT(program_objection(&p, METHOD_NOTIFY));
	else
		ASSERT(!program_objection(&p, method));
	return 0;
}
