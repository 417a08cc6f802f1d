/* What a look at a program's file says of how it can be adapted. */
#include "test/unit/config/world.h"

#include "common/base.h"
#include "config/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>

#define OUR_LINKER "/lib64/ld-linux-x86-64.so.2"

/* A file in memory: head, two segments, texts, sections. */
struct file {
	size_t bytes;
	ElfW(Ehdr) head;
	ElfW(Phdr) segments[2];
	ElfW(Shdr) sections[2];
	char linker[40];
	char names[32];
	ElfW(Nhdr) note;
	char owner[4];
	char build_id[4];
};

static bool read_memory(void *arg, uint64_t at, void *ret_buf, size_t len)
{
	const struct file *f = arg;

	if (at > f->bytes || len > f->bytes - at)
		return false;
	memcpy(ret_buf, (const char *)&f->head + at, len);
	return true;
}

#define PLACE(member) (offsetof(struct file, member) - offsetof(struct file, head))

/* A program like the one that runs this test, linked statically. */
static struct file ordinary(void)
{
	struct file self = {.bytes = 0}, f = {.bytes = sizeof(f) - offsetof(struct file, head)};
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_int_equal(read(fd, &self.head, sizeof(self.head)), sizeof(self.head));
	close(fd);
	f.head = self.head;
	f.head.e_phoff = PLACE(segments);
	f.head.e_phnum = 1;
	f.head.e_shoff = PLACE(sections);
	f.head.e_shnum = f.head.e_shstrndx = 0;
	f.segments[0].p_type = PT_LOAD;
	return f;
}

static void link_with(struct file *f, const char *linker)
{
	snprintf(f->linker, sizeof(f->linker), "%s", linker);
	f->segments[0].p_type = PT_INTERP;
	f->segments[0].p_offset = PLACE(linker);
	f->segments[0].p_filesz = strlen(linker) + 1;
}

static void add_note(struct file *f, const char *owner, unsigned type)
{
	f->head.e_phnum = 2;
	f->segments[1].p_type = PT_NOTE;
	f->segments[1].p_offset = PLACE(note);
	f->segments[1].p_filesz = sizeof(f->note) + sizeof(f->owner) + sizeof(f->build_id);
	f->note = (ElfW(Nhdr)){.n_namesz = sizeof(f->owner), .n_descsz = 4, .n_type = type};
	memcpy(f->owner, owner, MIN(strlen(owner) + 1, sizeof(f->owner)));
}

static struct program judged(struct file f)
{
	struct program_bytes bytes = {read_memory, &f};
	struct program p;

	program_judge(&bytes, &p);
	return p;
}

static void a_program_with_our_linker_is_preloaded(void **state)
{
	struct file f = ordinary();
	struct program p;

	link_with(&f, OUR_LINKER);
	add_note(&f, "GNU", 4);
	p = judged(f);
	assert_int_equal(p.kind, PROGRAM_DYNAMIC);
	assert_string_equal(p.interpreter, OUR_LINKER);
	assert_int_equal(program_method(&p), METHOD_PRELOAD);
}

static void a_static_program_is_notified(void **state)
{
	struct program p = judged(ordinary());

	assert_int_equal(p.kind, PROGRAM_STATIC);
	assert_int_equal(program_method(&p), METHOD_NOTIFY);
	assert_non_null(strstr(program_objection(&p, METHOD_PRELOAD), "linked statically"));
	assert_null(program_objection(&p, METHOD_NOTIFY));
}

static void another_c_library_is_notified(void **state)
{
	struct file f = ordinary();
	struct program p;

	link_with(&f, "/lib/ld-musl-x86_64.so.1");
	p = judged(f);
	assert_int_equal(p.kind, PROGRAM_LIBC);
	assert_int_equal(program_method(&p), METHOD_NOTIFY);
}

static void a_go_program_is_known_by_its_note_however_it_is_linked(void **state)
{
	struct file f = ordinary();

	add_note(&f, "Go", 4);
	assert_int_equal(judged(f).kind, PROGRAM_GO);
	link_with(&f, OUR_LINKER);
	assert_int_equal(judged(f).kind, PROGRAM_GO);
	add_note(&f, "Go", 5);
	assert_int_equal(judged(f).kind, PROGRAM_DYNAMIC);
}

static void a_go_program_without_a_build_id_is_known_by_its_sections(void **state)
{
	struct file f = ordinary();

	link_with(&f, OUR_LINKER);
	snprintf(f.names, sizeof(f.names), ".gopclntab");
	f.head.e_shnum = 2;
	f.head.e_shentsize = sizeof(f.sections[0]);
	f.head.e_shstrndx = 0;
	f.sections[0].sh_offset = PLACE(names);
	f.sections[1].sh_name = 0;
	assert_int_equal(judged(f).kind, PROGRAM_GO);
	snprintf(f.names, sizeof(f.names), ".gopclntas");
	assert_int_equal(judged(f).kind, PROGRAM_DYNAMIC);
}

static void programs_of_other_machines_cannot_be_adapted(void **state)
{
	struct file f = ordinary();
	struct program p;

	f.head.e_machine ^= 1;
	p = judged(f);
	assert_int_equal(p.kind, PROGRAM_FOREIGN);
	assert_int_equal(program_method(&p), METHOD_NONE);
	assert_non_null(strstr(program_objection(&p, METHOD_NOTIFY), "another kind of machine"));
	f = ordinary();
	f.head.e_ident[EI_CLASS] = ELFCLASS32;
	assert_int_equal(judged(f).kind, PROGRAM_FOREIGN);
}

static void a_cut_file_is_judged_without_reading_beyond_it(void **state)
{
	struct file f = ordinary();

	link_with(&f, OUR_LINKER);
	add_note(&f, "Go", 4);
	for (size_t bytes = f.bytes; bytes--;) {
		f.bytes = bytes;
		assert_int_not_equal(judged(f).kind, PROGRAM_SCRIPT);
	}
	assert_int_equal(judged(f).kind, PROGRAM_UNKNOWN);
}

static void more_rights_forbid_preload_and_never_choose_notify_by_themselves(void **state)
{
	struct program p = {.kind = PROGRAM_DYNAMIC, .has_more_rights = true};

	assert_non_null(strstr(program_objection(&p, METHOD_PRELOAD), "file capabilities"));
	assert_int_equal(program_method(&p), METHOD_NONE);
	assert_null(program_objection(&p, METHOD_NOTIFY));
	p.kind = PROGRAM_GO;
	assert_int_equal(program_method(&p), METHOD_NOTIFY);
}

static void script(const char *text)
{
	world_write("script", text);
	assert_int_equal(chmod("script", 0755), 0);
}

static void of_a_script_the_interpreter_counts(void **state)
{
	struct program p;

	script("#!  /bin/sh -e\necho\n");
	assert_int_equal(program_look("script", &p), 0);
	assert_int_equal(p.kind, PROGRAM_DYNAMIC);
	script("#!/no/such\n");
	assert_int_equal(program_look("script", &p), -ENOENT);
}

static void a_script_of_a_script_is_not_followed(void **state)
{
	char text[200], dir[100];
	struct program p;

	assert_non_null(getcwd(dir, sizeof(dir)));
	script("#!/bin/sh\n");
	snprintf(text, sizeof(text), "#!%s/script", dir);
	world_write("outer", text);
	assert_int_equal(program_look("outer", &p), 0);
	assert_int_equal(program_method(&p), METHOD_NONE);
}

static void what_is_no_program_is_told(void **state)
{
	struct program p;

	world_write("text", "hello\n");
	assert_int_equal(program_look("text", &p), 0);
	assert_int_equal(p.kind, PROGRAM_UNKNOWN);
	assert_non_null(strstr(program_objection(&p, METHOD_PRELOAD), "neither"));
	assert_int_equal(program_look("/", &p), -EACCES);
	assert_int_equal(program_look("/no/such", &p), -ENOENT);
}

static void set_ids_are_seen(void **state)
{
	struct program p;

	script("\177ELF");
	assert_int_equal(program_look("script", &p), 0);
	assert_false(p.has_more_rights);
	assert_int_equal(chmod("script", 04755), 0);
	assert_int_equal(program_look("script", &p), 0);
	assert_true(p.has_more_rights);
	assert_int_equal(chmod("script", 02755), 0);
	assert_int_equal(program_look("script", &p), 0);
	assert_true(p.has_more_rights);
	assert_int_equal(chmod("script", 02644), 0); /* mandatory locking: no right */
	assert_int_equal(program_look("script", &p), 0);
	assert_false(p.has_more_rights);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_with_our_linker_is_preloaded),
		cmocka_unit_test(a_static_program_is_notified),
		cmocka_unit_test(another_c_library_is_notified),
		cmocka_unit_test(a_go_program_is_known_by_its_note_however_it_is_linked),
		cmocka_unit_test(a_go_program_without_a_build_id_is_known_by_its_sections),
		cmocka_unit_test(programs_of_other_machines_cannot_be_adapted),
		cmocka_unit_test(a_cut_file_is_judged_without_reading_beyond_it),
		cmocka_unit_test(more_rights_forbid_preload_and_never_choose_notify_by_themselves),
		world_test(of_a_script_the_interpreter_counts),
		world_test(a_script_of_a_script_is_not_followed),
		world_test(what_is_no_program_is_told),
		world_test(set_ids_are_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
