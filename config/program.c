/* ELF as elf(5) has it. Nothing of the file is believed: every size has a bound of ours, every
 * place is read by program_bytes, which knows where the file ends. */
#include "config/program.h"
#include "config/settings.h"
#include "common/base.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define MAX_SEGMENTS 128u
#define MAX_SECTIONS 512u
#define NOTES_BYTES  4096u
#define NAME_BYTES   16u
#define SCRIPT_BYTES 256u /* as the kernel's BINPRM_BUF_SIZE */

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#elif defined(__riscv)
#define OUR_MACHINE EM_RISCV
#elif defined(__powerpc64__)
#define OUR_MACHINE EM_PPC64
#elif defined(__s390x__)
#define OUR_MACHINE EM_S390
#elif defined(__i386__)
#define OUR_MACHINE EM_386
#elif defined(__arm__)
#define OUR_MACHINE EM_ARM
#endif
#define OUR_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)
#define OUR_DATA  (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB)

typedef ElfW(Ehdr) file_head;
typedef ElfW(Phdr) segment;
typedef ElfW(Shdr) section;
typedef ElfW(Nhdr) note;

static bool get(const struct program_bytes *b, uint64_t at, void *ret_buf, size_t len)
{
	return b->read(b->arg, at, ret_buf, len);
}

static bool is_ours(const file_head *h)
{
	return h->e_ident[EI_CLASS] == OUR_CLASS && h->e_ident[EI_DATA] == OUR_DATA &&
	       h->e_machine == OUR_MACHINE;
}

/* The Go linker leaves its build id in a note of this owner and type. */
static bool note_is_of_go(const uint8_t *at, size_t left)
{
	static const char owner[4] = "Go";
	note n;

	if (left < sizeof(n) + sizeof(owner))
		return false;
	memcpy(&n, at, sizeof(n));
	return n.n_namesz == sizeof(owner) && n.n_type == 4 &&
	       !memcmp(at + sizeof(n), owner, sizeof(owner));
}

static size_t padded(uint64_t len, uint64_t align)
{
	return (size_t)((len + align - 1) / align * align);
}

static bool notes_are_of_go(const struct program_bytes *b, const segment *s)
{
	uint8_t notes[NOTES_BYTES];
	size_t len = MIN(s->p_filesz, sizeof(notes)), at = 0;
	uint64_t align = s->p_align == 8 ? 8 : 4;
	note n;

	if (!get(b, s->p_offset, notes, len))
		return false;
	while (len - at >= sizeof(n)) {
		size_t size;

		if (note_is_of_go(notes + at, len - at))
			return true;
		memcpy(&n, notes + at, sizeof(n));
		size = sizeof(n) + padded(n.n_namesz, align) + padded(n.n_descsz, align);
		if (size > len - at)
			break;
		at += size;
	}
	return false;
}

/* Without a build id (-buildid= makes builds reproducible) the sections tell. */
static bool sections_are_of_go(const struct program_bytes *b, const file_head *h)
{
	section names, s;

	if (h->e_shentsize != sizeof(s) || h->e_shstrndx >= h->e_shnum ||
		!get(b, h->e_shoff + (uint64_t)h->e_shstrndx * sizeof(s), &names, sizeof(names)))
		return false;
	for (unsigned i = 0; i < MIN(h->e_shnum, MAX_SECTIONS); i++) {
		char name[NAME_BYTES] = "";

		if (!get(b, h->e_shoff + (uint64_t)i * sizeof(s), &s, sizeof(s)))
			return false;
		if (get(b, names.sh_offset + s.sh_name, name, sizeof(name) - 1) &&
			(!strcmp(name, ".gopclntab") || !strcmp(name, ".go.buildinfo")))
			return true;
	}
	return false;
}

/* Reads up to max bytes as a text. */
static bool get_text(
	const struct program_bytes *b, uint64_t at, uint64_t len, char *ret_text, size_t max)
{
	if (!len || len >= max || !get(b, at, ret_text, (size_t)len)) {
		ret_text[0] = '\0';
		return false;
	}
	ret_text[len] = '\0';
	return true;
}

static bool linker_is_ours(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	return !strncmp(name, "ld-linux", 8) || !strncmp(name, "ld64.so", 7);
}

static void judge_elf(const struct program_bytes *b, const file_head *h, struct program *p)
{
	bool is_go = false;

	p->kind = PROGRAM_STATIC;
	for (unsigned i = 0; i < MIN(h->e_phnum, MAX_SEGMENTS); i++) {
		segment s;

		if (!get(b, h->e_phoff + (uint64_t)i * sizeof(s), &s, sizeof(s)))
			break;
		if (s.p_type == PT_INTERP && p->kind == PROGRAM_STATIC) {
			bool known = get_text(
				b, s.p_offset, s.p_filesz, p->interpreter, sizeof(p->interpreter));

			p->kind = known && linker_is_ours(p->interpreter) ? PROGRAM_DYNAMIC
									  : PROGRAM_LIBC;
		}
		is_go = is_go || (s.p_type == PT_NOTE && notes_are_of_go(b, &s));
	}
	if (is_go || sections_are_of_go(b, h))
		p->kind = PROGRAM_GO;
}

static void judge_script(const struct program_bytes *b, struct program *p)
{
	char line[SCRIPT_BYTES] = "";
	size_t len = 0, start;

	while (len < sizeof(line) - 1 && get(b, len, line + len, 1) && line[len] != '\n')
		len++;
	line[len] = '\0';
	start = 2 + strspn(line + 2, " \t");
	p->kind = PROGRAM_SCRIPT;
	snprintf(p->interpreter, sizeof(p->interpreter), "%.*s", (int)strcspn(line + start, " \t"),
		line + start);
}

void program_judge(const struct program_bytes *bytes, struct program *ret_program)
{
	char magic[SELFMAG];
	file_head h;

	*ret_program = (struct program){.kind = PROGRAM_UNKNOWN};
	if (get(bytes, 0, magic, 2) && !memcmp(magic, "#!", 2)) {
		judge_script(bytes, ret_program);
		return;
	}
	if (!get(bytes, 0, magic, SELFMAG) || memcmp(magic, ELFMAG, SELFMAG))
		return;
	ret_program->kind = PROGRAM_FOREIGN;
	if (get(bytes, 0, &h, sizeof(h)) && is_ours(&h) && h.e_phentsize == sizeof(segment))
		judge_elf(bytes, &h, ret_program);
}

static bool read_file(void *arg, uint64_t at, void *ret_buf, size_t len)
{
	if (at > INT64_MAX)
		return false;
	return pread(*(int *)arg, ret_buf, len, (off_t)at) == (ssize_t)len;
}

/* Of one file, a script or not. */
static int look_once(const char *path, struct program *ret_program)
{
	OWNS_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct program_bytes bytes = {read_file, &fd};
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	program_judge(&bytes, ret_program);
	ret_program->has_more_rights = st.st_mode & S_ISUID ||
				       (st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) ||
				       fgetxattr(fd, "security.capability", NULL, 0) > 0;
	return 0;
}

int program_look(const char *path, struct program *ret_program)
{
	struct program first, second;
	int bad = look_once(path, &first);

	if (bad)
		return bad;
	if (first.kind == PROGRAM_SCRIPT) {
		bad = look_once(first.interpreter, &second);
		if (bad)
			return bad;
		first = second;
		if (first.kind == PROGRAM_SCRIPT)
			first.kind = PROGRAM_UNKNOWN;
	}
	*ret_program = first;
	return 0;
}

unsigned program_method(const struct program *program)
{
	if (!program_objection(program, METHOD_PRELOAD))
		return METHOD_PRELOAD;
	if (program->kind == PROGRAM_DYNAMIC || program_objection(program, METHOD_NOTIFY))
		return METHOD_NONE;
	return METHOD_NOTIFY;
}

static const char *objection_to_preload(const struct program *program)
{
	switch (program->kind) {
	case PROGRAM_STATIC:
		return "is linked statically, so that no library can be preloaded";
	case PROGRAM_GO:
		return "is a Go program, which calls the kernel past every preloaded library";
	case PROGRAM_LIBC:
		return "is linked to another C library, which cannot preload ours";
	default:
		break;
	}
	return program->has_more_rights
		       ? "has set-user-ID, set-group-ID or file capabilities, with "
			 "which the system preloads nothing"
		       : NULL;
}

const char *program_objection(const struct program *program, unsigned method)
{
	if (program->kind == PROGRAM_UNKNOWN || program->kind == PROGRAM_SCRIPT)
		return "is neither a program of this machine nor a script whose interpreter is one";
	if (program->kind == PROGRAM_FOREIGN)
		return "is a program for another kind of machine";
	return method == METHOD_PRELOAD ? objection_to_preload(program) : NULL;
}
