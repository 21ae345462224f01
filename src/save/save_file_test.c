/* SPDX-License-Identifier: MIT */
/* Saved states as files: what goes in comes out, and nothing else does. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vz/error.h>

#include "mem/mem.h"
#include "save/save_impl.h"
#include "save/save_reader.h"
#include "save/save_writer.h"

#define RAM (5 * MIB + 3 * 4096) /* its last frame is not whole */

struct fix {
    char folder[64];
    char path[96], other[96];
    struct mem *mem;
    bool plain, long_table, behind;
};

static void set_home(const struct fix *f, const char *name)
{
    char home[128];

    snprintf(home, sizeof(home), "%s/%s", f->folder, name);
    setenv("XDG_DATA_HOME", home, 1);
}

static struct mem *make_mem(bool shared)
{
    const struct mem_options o = {.capacity = RAM, .shared = shared, .strict = true};
    struct mem *mem;

    ck_assert_int_eq(mem_create_with(&o, &mem, NULL), 0);
    ck_assert_int_eq(mem_add(mem, 0, 2 * MIB, false), 0);
    ck_assert_int_eq(mem_add(mem, 16 * MIB, RAM - 2 * MIB, false), 0);
    return mem;
}

/* Pages of every kind: zeros, one byte, noise, text; more or less of a frame. */
static void fill(struct mem *mem)
{
    uint64_t x = 88172645463325252u;

    for (uint64_t page = 0; page < RAM / 4096; page += 1 + page % 3) {
        uint8_t *p = mem_ram(mem, page * 4096, 4096, MEM_WRITE);

        if (page % 5 == 1)
            p[page % 4096] = 1;
        for (unsigned i = 0; page % 5 == 2 && i < 4096; i += 8) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            memcpy(p + i, &x, 8);
        }
        for (unsigned i = 0; page % 5 == 3 && i < 4096; i++)
            p[i] = "the same again, "[i % 16];
    }
    *(uint8_t *)mem_ram(mem, RAM - 1, 1, MEM_WRITE) = 0xa5;
}

static void setup(struct fix *f)
{
    f->plain = f->long_table = f->behind = false;
    strcpy(f->folder, "/tmp/vz-save-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/machine.state", f->folder);
    snprintf(f->other, sizeof(f->other), "%s/other", f->folder);
    set_home(f, "home");
    f->mem = make_mem(false);
    fill(f->mem);
}

static void teardown(struct fix *f)
{
    char command[128];

    mem_destroy(f->mem);
    snprintf(command, sizeof(command), "rm -rf %s", f->folder);
    ck_assert_int_eq(system(command), 0);
}

static int write_memory(const struct fix *f, struct save_writer *w, struct mem *mem, struct vz_error *err)
{
    int r;

    if (!f->behind)
        return save_writer_memory(w, mem, NULL, err);
    r = save_writer_memory_begin(w, mem, err);
    return r ? r : save_writer_memory_end(w, err);
}

static int save_as(struct fix *f, struct mem *mem, const char *passphrase, bool compress,
                   const char *text, struct vz_error *err)
{
    const struct save_writer_options o = {.path = f->path, .passphrase = passphrase,
                                          .compress = compress, .plain = f->plain, .long_table = f->long_table};
    struct save_writer *w = NULL;
    int r = save_writer_new(&o, &w, err);

    if (!r)
        r = save_writer_part(w, SAVE_DESCRIPTION, text, strlen(text), err);
    if (!r)
        r = save_writer_part(w, SAVE_CONFIGURATION, "", 0, err);
    if (!r)
        r = save_writer_part(w, SAVE_DEVICES, "sections", 8, err);
    if (!r)
        r = save_writer_part(w, SAVE_CONTROLLERS, "sections", 8, err);
    if (!r)
        r = write_memory(f, w, mem, err);
    if (!r)
        r = save_writer_commit(w, err);
    save_writer_free(w);
    return r;
}

static void save(struct fix *f, const char *passphrase, bool compress)
{
    struct vz_error err = {0};

    ck_assert_msg(save_as(f, f->mem, passphrase, compress, "what it is", &err) == 0, "%s", err.text);
}

/* Everything of it; memory into mem, or new memory. */
static int load(struct fix *f, const char *passphrase, struct mem *mem, struct vz_error *err)
{
    struct save_reader *r = NULL;
    struct mem *own = mem ? NULL : make_mem(false);
    int e = save_reader_new(f->path, passphrase, &r, err);

    if (!e)
        e = save_reader_memory(r, mem ? mem : own, NULL, err);
    save_reader_free(r);
    mem_destroy(own);
    return e;
}

static void same(struct mem *a, struct mem *b)
{
    for (uint64_t at = 0; at < RAM; at += 4096)
        ck_assert_msg(!memcmp(mem_ram(a, at, 4096, MEM_READ), mem_ram(b, at, 4096, MEM_READ), 4096),
                      "page %llu", (unsigned long long)at / 4096);
}

/* In all ways, into memory that holds something else. */
START_TEST(what_is_saved_comes_back)
{
    for (unsigned way = 0; way < 8; way++) {
        bool compress = way & 1, shared = way & 2;
        const char *passphrase = way & 4 ? "correct horse" : NULL;
        struct mem *from = make_mem(shared), *to = make_mem(shared);
        struct vz_error err = {0};
        struct save_reader *r;
        struct stat st;
        size_t len;
        struct fix f;

        setup(&f);
        fill(from);
        memset(mem_ram(to, 0, RAM, MEM_WRITE), 0x77, RAM);
        ck_assert_int_eq(save_as(&f, from, passphrase, compress, "what it is", &err), 0);
        ck_assert_msg(load(&f, passphrase, to, &err) == 0, "%s", err.text);
        same(from, to);
        ck_assert_int_eq(save_reader_new(f.path, passphrase, &r, &err), 0);
        ck_assert_int_eq(memcmp(save_reader_part(r, SAVE_DESCRIPTION, &len), "what it is", 10), 0);
        ck_assert_uint_eq(len, 10);
        (void)save_reader_part(r, SAVE_CONFIGURATION, &len);
        ck_assert_uint_eq(len, 0);
        save_reader_free(r);
        ck_assert_int_eq(stat(f.path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
        mem_destroy(from);
        mem_destroy(to);
        teardown(&f);
    }
}
END_TEST

START_TEST(zeros_cost_nothing)
{
    struct mem *zero = make_mem(true);
    struct vz_error err;
    struct stat st;
    struct fix f;

    setup(&f);
    ck_assert_int_eq(save_as(&f, zero, NULL, false, "", &err), 0);
    ck_assert_int_eq(stat(f.path, &st), 0);
    ck_assert_int_lt(st.st_size, 4096 + (long)(RAM / 16384 + 1) * 8 + 200);
    mem_destroy(zero);
    teardown(&f);
}
END_TEST

/* A memory file has no pages for what was never written, and saving makes none. */
START_TEST(saving_takes_no_memory_for_holes)
{
    struct mem *mem = make_mem(true);
    struct stat before, after;
    struct fix f;

    setup(&f);
    *(uint8_t *)mem_ram(mem, 3 * MIB, 1, MEM_WRITE) = 1;
    ck_assert_int_eq(fstat(mem->fd, &before), 0);
    ck_assert_int_eq(save_as(&f, mem, NULL, false, "", NULL), 0);
    ck_assert_int_eq(fstat(mem->fd, &after), 0);
    ck_assert_int_eq(before.st_blocks, after.st_blocks);
    mem_destroy(mem);
    teardown(&f);
}
END_TEST

/* Nothing of a guest's memory or state is in the file as it was. */
START_TEST(a_file_tells_nothing)
{
    struct fix f;
    char *data;
    struct stat st;
    int fd;

    setup(&f);
    save(&f, NULL, false);
    fd = open(f.path, O_RDONLY);
    ck_assert_int_eq(fstat(fd, &st), 0);
    data = malloc((size_t)st.st_size);
    ck_assert_int_eq(read(fd, data, (size_t)st.st_size), st.st_size);
    close(fd);
    ck_assert_ptr_null(memmem(data, (size_t)st.st_size, "the same again", 14));
    ck_assert_ptr_null(memmem(data, (size_t)st.st_size, "what it is", 10));
    ck_assert_ptr_null(memmem(data, (size_t)st.st_size, "sections", 8));
    free(data);
    teardown(&f);
}
END_TEST

static void flip(const char *path, off_t at)
{
    int fd = open(path, O_RDWR);
    uint8_t byte;

    ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static bool has(const struct vz_error *err, const char *text)
{
    return strstr(err->text, text) != NULL;
}

/* All of the header, and some of everywhere else: frames, table, parts, to the very last. Gaps between
 * frames are nobody's, and there are none that matter. */
START_TEST(damage_of_any_byte_is_seen)
{
    const struct mem_options o = {.capacity = 64 * KIB};
    struct vz_error err;
    struct stat st;
    struct mem *mem, *to;
    unsigned missed = 0;
    struct fix f;

    setup(&f);
    ck_assert_int_eq(mem_create_with(&o, &mem, NULL), 0);
    ck_assert_int_eq(mem_add(mem, 0, 64 * KIB, false), 0);
    ck_assert_int_eq(mem_create_with(&o, &to, NULL), 0);
    ck_assert_int_eq(mem_add(to, 0, 64 * KIB, false), 0);
    memset(mem_ram(mem, 4096, 8192, MEM_WRITE), 3, 8192);
    memset(mem_ram(mem, 32768, 4096, MEM_WRITE), 4, 4096);
    ck_assert_int_eq(save_as(&f, mem, NULL, true, "it", NULL), 0);
    ck_assert_int_eq(stat(f.path, &st), 0);
    ck_assert_int_lt(st.st_size, 6000);
    for (off_t at = 0; at < st.st_size; at++) {
        flip(f.path, at);
        if (load(&f, NULL, to, &err) == 0)
            missed++; /* between frames */
        else
            ck_assert_msg(err.code == VZ_ERROR_RESTORE &&
                              has(&err, at < 8 ? "not a saved state" : "damaged"),
                          "byte %ld: %s", (long)at, err.text);
        flip(f.path, at);
    }
    ck_assert_uint_lt(missed, 2 * SAVE_UNIT);
    ck_assert_int_eq(load(&f, NULL, to, &err), 0);
    mem_destroy(mem);
    mem_destroy(to);
    teardown(&f);
}
END_TEST

START_TEST(a_file_that_was_cut_off_is_refused)
{
    struct vz_error err;
    struct stat st;
    struct fix f;

    setup(&f);
    save(&f, NULL, false);
    ck_assert_int_eq(stat(f.path, &st), 0);
    for (off_t len = st.st_size - 1; len > 4096; len /= 2) {
        ck_assert_int_eq(truncate(f.path, len), 0);
        ck_assert_int_eq(load(&f, NULL, NULL, &err), -EINVAL);
        ck_assert_msg(has(&err, "cut off"), "%s", err.text);
    }
    ck_assert_int_eq(truncate(f.path, 4000), 0);
    ck_assert_int_eq(load(&f, NULL, NULL, &err), -EINVAL);
    ck_assert_msg(has(&err, "damaged"), "%s", err.text);
    ck_assert_int_eq(truncate(f.path, 0), 0);
    ck_assert_int_eq(load(&f, NULL, NULL, &err), -EINVAL);
    ck_assert_msg(has(&err, "not a saved state"), "%s", err.text);
    teardown(&f);
}
END_TEST

START_TEST(a_newer_format_is_told)
{
    uint8_t page[SAVE_HEADER_SIZE];
    struct save_header h = {.ram_size = 4096};
    struct save_key key = {{1}};
    struct vz_error err;

    save_header_write(&h, &key, page);
    page[8] = SAVE_VERSION + 1; /* the version; the checksum as a newer vz would write it */
    ck_assert_int_eq(save_header_read(page, sizeof(page), "f", &h, &err), -EINVAL);
    ck_assert_msg(has(&err, "damaged"), "%s", err.text);
    save_header_write_version(&h, &key, SAVE_VERSION + 1, page);
    ck_assert_int_eq(save_header_read(page, sizeof(page), "f", &h, &err), -ENOTSUP);
    ck_assert_msg(has(&err, "newer vz"), "%s", err.text);
}
END_TEST

START_TEST(keys_open_what_they_sealed)
{
    struct vz_error err;
    struct stat st;
    struct fix f;
    char key[160];

    setup(&f);
    save(&f, NULL, false);
    ck_assert_int_eq(load(&f, NULL, NULL, &err), 0);
    ck_assert_int_eq(load(&f, "no matter", NULL, &err), 0);
    snprintf(key, sizeof(key), "%s/home/vz/state.key", f.folder);
    ck_assert_int_eq(stat(key, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    set_home(&f, "elsewhere"); /* no key there */
    ck_assert_int_eq(load(&f, NULL, NULL, &err), -EACCES);
    ck_assert_msg(has(&err, "permission denied") && has(&err, "another key"), "%s", err.text);
    save(&f, "word", false); /* needs none, and makes none */
    snprintf(key, sizeof(key), "%s/elsewhere", f.folder);
    ck_assert_int_eq(stat(key, &st), -1);
    save(&f, NULL, false); /* this one does */
    set_home(&f, "home");
    ck_assert_int_eq(load(&f, NULL, NULL, &err), -EACCES);
    ck_assert_msg(has(&err, "another key"), "%s", err.text);
    teardown(&f);
}
END_TEST

START_TEST(a_passphrase_opens_everywhere)
{
    struct vz_error err;
    struct fix f;

    setup(&f);
    save(&f, "correct horse", true);
    set_home(&f, "elsewhere");
    ck_assert_int_eq(load(&f, "correct horse", NULL, &err), 0);
    ck_assert_int_eq(load(&f, "correct horsf", NULL, &err), -EACCES);
    ck_assert_msg(has(&err, "wrong passphrase"), "%s", err.text);
    ck_assert_int_eq(load(&f, NULL, NULL, &err), -EACCES);
    ck_assert_msg(has(&err, "none was given"), "%s", err.text);
    teardown(&f);
}
END_TEST

START_TEST(a_key_that_others_can_read_is_refused)
{
    struct vz_error err;
    struct fix f;
    char key[160];

    setup(&f);
    save(&f, NULL, false);
    snprintf(key, sizeof(key), "%s/home/vz/state.key", f.folder);
    ck_assert_int_eq(chmod(key, 0640), 0);
    ck_assert_int_eq(load(&f, NULL, NULL, &err), -EACCES);
    ck_assert_msg(has(&err, "chmod 600"), "%s", err.text);
    ck_assert_int_eq(chmod(key, 0600), 0);
    ck_assert_int_eq(truncate(key, 31), 0);
    ck_assert_int_eq(load(&f, NULL, NULL, &err), -EINVAL);
    ck_assert_msg(has(&err, "not a key"), "%s", err.text);
    teardown(&f);
}
END_TEST

static unsigned files_in(const char *folder)
{
    char command[128];
    FILE *p;
    unsigned n = 0;

    snprintf(command, sizeof(command), "ls -A %s | wc -l", folder);
    p = popen(command, "r");
    ck_assert_int_eq(fscanf(p, "%u", &n), 1);
    pclose(p);
    return n;
}

/* Full: the file may not grow beyond so much. At every size up to the whole. */
START_TEST(a_full_disk_keeps_the_older_state)
{
    const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    struct vz_error err;
    unsigned files;
    struct mem *other = make_mem(false);
    struct stat st;
    struct fix f;

    setup(&f);
    signal(SIGXFSZ, SIG_IGN);
    save(&f, NULL, false);
    ck_assert_int_eq(stat(f.path, &st), 0);
    files = files_in(f.folder);
    for (rlim_t limit = 0; limit < (rlim_t)st.st_size; limit += 300000) {
        struct rlimit l = {limit, RLIM_INFINITY};
        int r;

        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &l), 0);
        r = save_as(&f, f.mem, NULL, false, "another", &err);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
        ck_assert_int_lt(r, 0);
        ck_assert_msg(err.code == VZ_ERROR_OUT_OF_DISK_SPACE && has(&err, f.path), "%s", err.text);
        ck_assert_uint_eq(files_in(f.folder), files);
        ck_assert_msg(load(&f, NULL, other, &err) == 0, "%s", err.text);
        same(f.mem, other);
    }
    mem_destroy(other);
    teardown(&f);
}
END_TEST

START_TEST(nothing_but_a_state_is_overwritten)
{
    struct vz_error err;
    char text[8] = {0};
    struct fix f;
    int fd;

    setup(&f);
    fd = open(f.path, O_CREAT | O_RDWR, 0644);
    ck_assert_int_eq(write(fd, "my disk", 7), 7);
    ck_assert_int_eq(save_as(&f, f.mem, NULL, false, "", &err), -EEXIST);
    ck_assert_msg(has(&err, "not overwritten"), "%s", err.text);
    ck_assert_int_eq(pread(fd, text, 7, 0), 7);
    ck_assert_str_eq(text, "my disk");
    close(fd);
    unlink(f.path);
    ck_assert_int_eq(mkdir(f.path, 0700), 0);
    ck_assert_int_eq(save_as(&f, f.mem, NULL, false, "", &err), -EEXIST);
    rmdir(f.path);
    save(&f, NULL, false);
    save(&f, NULL, true);
    teardown(&f);
}
END_TEST

/* Mapped, read as it is used; what is written, discarded or cleared is never the file's again, and the file
 * stays what it was. A machine that was restored so can be saved like any other. */
static void map_plain_memory(bool long_table)
{
    struct mem *to = make_mem(false), *again = make_mem(false), *shared = make_mem(true);
    struct stat st;
    struct fix f;

    setup(&f);
    f.plain = true;
    f.long_table = long_table;
    save(&f, NULL, false);
    ck_assert_int_eq(stat(f.path, &st), 0);
    ck_assert_int_lt(st.st_blocks * 512, RAM / 2 + 300000); /* zeros are holes */
    memset(mem_ram(to, 0, RAM, MEM_WRITE), 0x77, RAM);
    ck_assert_int_eq(load(&f, NULL, to, NULL), 0);
    ck_assert(to->mapped);
    same(f.mem, to);
    ck_assert_int_eq(load(&f, NULL, shared, NULL), 0); /* which cannot be mapped */
    ck_assert(!shared->mapped);
    same(f.mem, shared);
    memset(mem_ram(to, 0, MIB, MEM_WRITE), 0x55, MIB);
    ck_assert_int_eq(mem_discard(to, mem_ram(to, 2 * MIB, 128 * KIB, MEM_WRITE), 128 * KIB), 0);
    ck_assert_int_eq(mem_discard(to, mem_ram(to, 3 * MIB, 4096, MEM_WRITE), 4096), 0);
    for (uint64_t i = 0; i < 128 * KIB; i++)
        ck_assert_uint_eq(*(uint8_t *)mem_ram(to, 2 * MIB + i, 1, MEM_READ), 0);
    for (uint64_t i = 0; i < 4096; i++)
        ck_assert_uint_eq(*(uint8_t *)mem_ram(to, 3 * MIB + i, 1, MEM_READ), 0);
    ck_assert_int_eq(load(&f, NULL, again, NULL), 0);
    same(f.mem, again);
    for (f.plain = false;; f.plain = true) { /* over its own source, too */
        ck_assert_int_eq(save_as(&f, to, NULL, false, "", NULL), 0);
        ck_assert_int_eq(load(&f, NULL, again, NULL), 0);
        same(to, again);
        if (f.plain)
            break;
    }
    ck_assert_int_eq(mem_clear(to), 0);
    ck_assert(!to->mapped);
    for (uint64_t i = 0; i < RAM; i += 512)
        ck_assert_uint_eq(*(uint8_t *)mem_ram(to, i, 1, MEM_READ), 0);
    ck_assert_int_eq(chmod(f.path, 0622), 0); /* anybody could change it: read at once */
    ck_assert_int_eq(load(&f, NULL, to, NULL), 0);
    ck_assert(!to->mapped);
    same(again, to);
    mem_destroy(to);
    mem_destroy(again);
    mem_destroy(shared);
    teardown(&f);
}

START_TEST(plain_memory_is_mapped)
{
    map_plain_memory(false);
}
END_TEST

START_TEST(plain_memory_of_version_1_is_mapped)
{
    map_plain_memory(true);
}
END_TEST

/* Again, before anybody has looked at it: what is not there of a mapped file is no hole; by a child process, too. */
START_TEST(mapped_memory_is_saved_unread)
{
    struct fix f;

    setup(&f);
    f.plain = true;
    for (unsigned n = 0; n < 4; n++) {
        struct mem *to = make_mem(false), *again = make_mem(false);

        f.behind = n & 1;
        save(&f, NULL, false);
        ck_assert_int_eq(load(&f, NULL, to, NULL), 0);
        ck_assert(to->mapped);
        f.behind = n & 2;
        ck_assert_int_eq(save_as(&f, to, NULL, false, "", NULL), 0);
        ck_assert_int_eq(load(&f, NULL, again, NULL), 0);
        same(f.mem, again);
        mem_destroy(to);
        mem_destroy(again);
    }
    teardown(&f);
}
END_TEST

static int stop_at_once(void *arg, uint64_t done, uint64_t total)
{
    ++*(unsigned *)arg;
    return -ECANCELED;
}

START_TEST(work_can_be_cancelled)
{
    unsigned ticks = 0;
    const struct save_progress p = {.tick = stop_at_once, .arg = &ticks};
    struct save_writer_options o;
    struct save_writer *w;
    struct vz_error err;
    struct save_reader *r;
    struct fix f;

    setup(&f);
    save(&f, NULL, false);
    o = (struct save_writer_options){.path = f.path};
    ck_assert_int_eq(save_writer_new(&o, &w, &err), 0);
    ck_assert_int_eq(save_writer_memory(w, f.mem, &p, &err), -ECANCELED);
    ck_assert_int_eq(err.code, VZ_ERROR_CANCELLED);
    save_writer_free(w);
    ck_assert_int_eq(save_reader_new(f.path, NULL, &r, &err), 0);
    ck_assert_int_eq(save_reader_memory(r, f.mem, &p, &err), -ECANCELED);
    ck_assert_int_eq(err.code, VZ_ERROR_CANCELLED);
    ck_assert_uint_ge(ticks, 2);
    save_reader_free(r);
    ck_assert_int_eq(load(&f, NULL, NULL, &err), 0);
    teardown(&f);
}
END_TEST

/* A restore that must not depend on the size of memory does not read a table that does. */
START_TEST(the_table_of_plain_memory_is_short)
{
    struct save_reader *r;
    uint64_t long_table;
    struct fix f;

    setup(&f);
    f.plain = f.long_table = true;
    save(&f, NULL, false);
    ck_assert_int_eq(save_reader_new(f.path, NULL, &r, NULL), 0);
    long_table = r->header.table_len;
    save_reader_free(r);
    ck_assert_int_eq(mem_clear(f.mem), 0);
    *(uint8_t *)mem_ram(f.mem, 0, 1, MEM_WRITE) = 1;
    *(uint8_t *)mem_ram(f.mem, RAM - 1, 1, MEM_WRITE) = 2;
    f.long_table = false;
    save(&f, NULL, false);
    ck_assert_int_eq(save_reader_new(f.path, NULL, &r, NULL), 0);
    ck_assert_uint_gt(long_table, 1000);
    ck_assert_uint_eq(r->header.table_len, 2 * SAVE_RUN_ENTRY + SAVE_TAG);
    save_reader_free(r);
    ck_assert_int_eq(load(&f, NULL, NULL, NULL), 0);
    ck_assert_int_eq(mem_clear(f.mem), 0); /* nothing in it at all */
    save(&f, NULL, false);
    ck_assert_int_eq(load(&f, NULL, NULL, NULL), 0);
    teardown(&f);
}
END_TEST

START_TEST(runs_stay_in_memory)
{
    const struct save_header h = {.ram_size = 10 * SAVE_FRAME - SAVE_PAGE};
    static const struct {
        struct save_run run;
        uint64_t before;
        int e;
    } cases[] = {{{0, 10}, 0, 0},        {{3, 4}, 3, 0},         {{3, 3}, 0, -EINVAL},          {{4, 3}, 0, -EINVAL},
                 {{2, 4}, 3, -EINVAL},   {{9, 11}, 0, -EINVAL},  {{1, UINT64_MAX}, 0, -EINVAL}, {{UINT64_MAX, 1}, 0, -EINVAL}};
    struct save_run got;
    uint8_t entry[SAVE_RUN_ENTRY];

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        save_run_write(&cases[i].run, entry);
        ck_assert_int_eq(save_run_read(entry, &h, cases[i].before, &got), cases[i].e);
    }
}
END_TEST

/* Entries that a hostile writer, who has the key, may make. */
START_TEST(frames_stay_in_the_file)
{
    const struct save_header h = {.data_offset = 4096, .data_len = 100000, .file_len = 200000};
    struct save_frame f = {.offset = 4096, .len = 4112, .pages = 1}, got;
    uint8_t entry[8];

    save_frame_write(&f, entry);
    ck_assert_int_eq(save_frame_read(entry, &h, &got), 0);
    ck_assert_uint_eq(got.offset, 4096);
    ck_assert_uint_eq(got.len, 4112);
    ck_assert_uint_eq(got.pages, 1);
    f.offset = 4080;
    save_frame_write(&f, entry);
    ck_assert_int_eq(save_frame_read(entry, &h, &got), -EINVAL);
    f = (struct save_frame){.offset = 104096 - 4096, .len = 4112, .pages = 1};
    save_frame_write(&f, entry);
    ck_assert_int_eq(save_frame_read(entry, &h, &got), -EINVAL);
    f = (struct save_frame){.offset = 4096, .len = 16, .pages = 1};
    save_frame_write(&f, entry);
    ck_assert_int_eq(save_frame_read(entry, &h, &got), -EINVAL);
    f = (struct save_frame){.offset = 4096, .len = 16401, .pages = 15};
    save_frame_write(&f, entry);
    ck_assert_int_eq(save_frame_read(entry, &h, &got), -EINVAL);
    f = (struct save_frame){.offset = 4096, .len = 100, .pages = 0};
    save_frame_write(&f, entry);
    ck_assert_int_eq(save_frame_read(entry, &h, &got), -EINVAL);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, what_is_saved_comes_back);
    UNIT_TEST(s, zeros_cost_nothing);
    UNIT_TEST(s, saving_takes_no_memory_for_holes);
    UNIT_TEST(s, a_file_tells_nothing);
    UNIT_TEST(s, damage_of_any_byte_is_seen);
    UNIT_TEST(s, a_file_that_was_cut_off_is_refused);
    UNIT_TEST(s, a_newer_format_is_told);
    UNIT_TEST(s, keys_open_what_they_sealed);
    UNIT_TEST(s, a_passphrase_opens_everywhere);
    UNIT_TEST(s, a_key_that_others_can_read_is_refused);
    UNIT_TEST(s, a_full_disk_keeps_the_older_state);
    UNIT_TEST(s, nothing_but_a_state_is_overwritten);
    UNIT_TEST(s, plain_memory_is_mapped);
    UNIT_TEST(s, mapped_memory_is_saved_unread);
    UNIT_TEST(s, plain_memory_of_version_1_is_mapped);
    UNIT_TEST(s, the_table_of_plain_memory_is_short);
    UNIT_TEST(s, runs_stay_in_memory);
    UNIT_TEST(s, work_can_be_cancelled);
    UNIT_TEST(s, frames_stay_in_the_file);
}

UNIT_TEST_MAIN("saved states as files", add_tests)
