/* SPDX-License-Identifier: MIT */
#include "efi/efi_store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vz/error.h>

#include "base/le.h"
#include "efi/efi_firmware.h"
#include "unit.h"

#define LEN 0x84000u

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[2][128];
    static unsigned turn;

    turn ^= 1;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
    return path[turn];
}

static void write_file(const char *path, const void *data, size_t len)
{
    FILE *f = fopen(path, "w");

    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, len, f), len);
    fclose(f);
}

/* The header of a volume of variables, and nothing in it. */
static void write_template(const char *path)
{
    static const uint8_t guid[16] = {0x8d, 0x2b, 0xf1, 0xff, 0x96, 0x76, 0x8b, 0x4c,
                                     0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50};
    uint8_t *data = malloc(LEN);

    ck_assert_ptr_nonnull(data);
    memset(data, 0xff, LEN);
    memcpy(data + 16, guid, 16);
    store_le64(data + 32, LEN);
    memcpy(data + 40, "_FVH", 4);
    write_file(path, data, LEN);
    free(data);
}

static void setup(void)
{
    strcpy(folder, "/tmp/vz-efi-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    write_template(in_folder("template"));
}

static void teardown(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(what_is_written_is_there_next_time)
{
    struct vz_error err = {.text = ""};
    struct efi_store s;

    ck_assert_int_eq(efi_store_create(in_folder("vars"), in_folder("template"), false, &err), 0);
    ck_assert_int_eq(efi_store_open(in_folder("vars"), in_folder("template"), &s, &err), 0);
    ck_assert_uint_eq(s.len, LEN);
    ck_assert_int_eq(efi_store_write(&s, 1000, (const uint8_t *)"abc", 3), 0);
    efi_store_sync(&s);
    efi_store_close(&s);
    ck_assert_int_eq(efi_store_open(in_folder("vars"), NULL, &s, &err), 0);
    ck_assert_int_eq(memcmp(s.data + 1000, "abc", 3), 0);
    efi_store_close(&s);
}
END_TEST

/* The file as a killed process leaves it that was about to replace all of it: with or without the word. */
static void leave_replacing(const char *path, uint8_t with, bool whole)
{
    int fd = open(path, O_WRONLY);
    uint8_t word[8], *bytes = malloc(LEN);

    ck_assert(fd >= 0 && bytes);
    memset(bytes, with, LEN);
    ck_assert_int_eq(ftruncate(fd, 2 * LEN + 64), 0);
    ck_assert_int_eq(pwrite(fd, bytes, LEN, LEN), LEN);
    store_le64(word, UINT64_C(0x77656e206c6c6120));
    if (whole)
        ck_assert_int_eq(pwrite(fd, word, 8, 2 * LEN), 8);
    close(fd);
    free(bytes);
}

static off_t size_of(const char *path)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    return st.st_size;
}

START_TEST(all_of_it_is_replaced_or_nothing)
{
    struct vz_error err = {.text = ""};
    uint8_t *other = malloc(LEN);
    struct efi_store s;

    ck_assert_int_eq(efi_store_create(in_folder("vars"), in_folder("template"), false, &err), 0);
    leave_replacing(in_folder("vars"), 0x5a, false);
    ck_assert_int_eq(efi_store_open(in_folder("vars"), NULL, &s, &err), 0);
    ck_assert_int_eq(size_of(in_folder("vars")), LEN);
    ck_assert_uint_eq(s.data[LEN - 1], 0xff);
    memcpy(other, s.data, LEN);
    memset(other + LEN / 2, 0x11, LEN / 2);
    ck_assert_int_eq(efi_store_write(&s, 0, other, LEN), 0);
    efi_store_close(&s);
    ck_assert_int_eq(size_of(in_folder("vars")), LEN);
    ck_assert_int_eq(efi_store_open(in_folder("vars"), NULL, &s, &err), 0);
    ck_assert_int_eq(memcmp(s.data, other, LEN), 0);
    efi_store_close(&s);
    leave_replacing(in_folder("vars"), 0x22, true); /* the new one it is: no store, but that is another matter */
    ck_assert_int_eq(efi_store_open(in_folder("vars"), NULL, &s, &err), -EINVAL);
    ck_assert_int_eq(size_of(in_folder("vars")), LEN);
    free(other);
}
END_TEST

/* Whenever it is killed. */
START_TEST(a_killed_process_leaves_the_old_or_the_new)
{
    struct vz_error err = {.text = ""};
    uint8_t *bytes;
    struct efi_store s;

    ck_assert_int_eq(efi_store_create(in_folder("vars"), in_folder("template"), false, &err), 0);
    for (unsigned n = 0; n < 30; n++) {
        struct timespec while_it_writes = {.tv_nsec = 1000 * 1000 * (long)(n % 10) + 100 * 1000};
        pid_t child = fork();
        int status;

        ck_assert_int_ge(child, 0);
        if (!child) {
            if (efi_store_open(in_folder("vars"), NULL, &s, &err) < 0)
                _exit(1);
            for (uint8_t with = 0;; with++) {
                memset(s.data + 1000, with, LEN - 1000);
                if (efi_store_write(&s, 0, s.data, LEN) < 0)
                    _exit(2);
            }
        }
        nanosleep(&while_it_writes, NULL);
        kill(child, SIGKILL);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status));
        ck_assert_int_eq(efi_store_open(in_folder("vars"), NULL, &s, &err), 0);
        ck_assert_uint_eq(s.len, LEN);
        bytes = s.data + 1000;
        ck_assert_int_eq(memcmp(bytes, bytes + 1, LEN - 1001), 0);
        efi_store_close(&s);
    }
}
END_TEST

START_TEST(without_a_file_nothing_is_kept)
{
    struct vz_error err = {.text = ""};
    struct efi_store s;

    ck_assert_int_eq(efi_store_open(NULL, in_folder("template"), &s, &err), 0);
    ck_assert_int_eq(efi_store_write(&s, 1000, (const uint8_t *)"abc", 3), 0);
    efi_store_sync(&s);
    efi_store_close(&s);
    ck_assert_int_eq(efi_store_open(NULL, in_folder("template"), &s, &err), 0);
    ck_assert_uint_eq(s.data[1000], 0xff);
    efi_store_close(&s);
}
END_TEST

START_TEST(one_that_is_there_is_replaced_only_when_asked_and_not_in_use)
{
    struct vz_error err = {.text = ""};
    struct efi_store s;

    ck_assert_int_eq(efi_store_create(in_folder("vars"), in_folder("template"), false, &err), 0);
    ck_assert_int_eq(efi_store_create(in_folder("vars"), in_folder("template"), false, &err), -EEXIST);
    ck_assert_int_eq(err.code, VZ_ERROR_IO);
    ck_assert_int_eq(efi_store_create(in_folder("vars"), in_folder("template"), true, &err), 0);
    ck_assert_int_eq(efi_store_open(in_folder("vars"), NULL, &s, &err), 0);
    ck_assert_int_eq(efi_store_create(in_folder("vars"), in_folder("template"), true, &err), -EBUSY);
    efi_store_close(&s);
}
END_TEST

START_TEST(one_machine_at_a_time)
{
    struct vz_error err = {.text = ""};
    struct efi_store s, t;

    ck_assert_int_eq(efi_store_create(in_folder("vars"), in_folder("template"), false, &err), 0);
    ck_assert_int_eq(efi_store_open(in_folder("vars"), NULL, &s, &err), 0);
    ck_assert_int_eq(efi_store_open(in_folder("vars"), NULL, &t, &err), -EBUSY);
    ck_assert_ptr_nonnull(strstr(err.text, "vars"));
    efi_store_close(&s);
}
END_TEST

START_TEST(other_files_are_refused)
{
    struct vz_error err = {.text = ""};
    struct efi_store s;
    uint8_t zeros[8192] = {0};

    write_file(in_folder("zeros"), zeros, sizeof(zeros));
    write_file(in_folder("short"), zeros, 100);
    ck_assert_int_eq(efi_store_open(in_folder("zeros"), NULL, &s, &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "zeros"));
    ck_assert_int_eq(efi_store_open(in_folder("short"), NULL, &s, &err), -EINVAL);
    ck_assert_int_eq(efi_store_open(in_folder("none"), NULL, &s, &err), -ENOENT);
    ck_assert_int_eq(efi_store_open(folder, NULL, &s, &err), -EISDIR);
    ck_assert_int_eq(efi_store_create(in_folder("no/where"), in_folder("template"), false, &err),
                     -ENOENT);
}
END_TEST

START_TEST(only_files_of_one_build_go_together)
{
    struct vz_error err = {.text = ""};
    struct efi_firmware f;
    char code[128];

    ck_assert(efi_sizes_fit(3653632, 540672));
    ck_assert(efi_sizes_fit(1966080, 131072));
    ck_assert(!efi_sizes_fit(3653632, 131072));
    ck_assert(!efi_sizes_fit(0, 131072));
    ck_assert(!efi_sizes_fit(131072, 0));
    snprintf(code, sizeof(code), "%s", in_folder("OVMF_CODE_4M.fd"));
    ck_assert_int_eq(efi_firmware_find(code, 0, false, &f, &err), -ENOENT);
    write_file(code, code, sizeof(code));
    ck_assert_int_eq(truncate(code, 3653632), 0);
    ck_assert_int_eq(efi_firmware_find(code, 0, false, &f, &err), -ENOENT); /* nothing is beside it */
    ck_assert_ptr_nonnull(strstr(err.text, "template"));
    ck_assert_int_eq(efi_firmware_find(code, 131072, false, &f, &err), -EINVAL);
    ck_assert_int_eq(efi_firmware_find(code, LEN, false, &f, &err), 0);
    ck_assert_ptr_nonnull(strstr(f.variables, "/OVMF_VARS_4M.fd"));
    ck_assert(!f.smm);
    efi_firmware_fini(&f);
    ck_assert_int_eq(efi_firmware_find(code, LEN, true, &f, &err), -ENOTSUP);
    snprintf(code, sizeof(code), "%s", in_folder("OVMF_CODE_4M.secboot.fd"));
    ck_assert_int_eq(efi_firmware_find(code, LEN, false, &f, &err), -ENOENT);
    write_file(code, code, sizeof(code));
    ck_assert_int_eq(truncate(code, 3653632), 0);
    ck_assert_int_eq(efi_firmware_find(code, LEN, true, &f, &err), 0);
    ck_assert(f.smm);
    efi_firmware_fini(&f);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST_BETWEEN(s, what_is_written_is_there_next_time, setup, teardown);
    UNIT_TEST_BETWEEN(s, all_of_it_is_replaced_or_nothing, setup, teardown);
    UNIT_TEST_BETWEEN(s, a_killed_process_leaves_the_old_or_the_new, setup, teardown);
    UNIT_TEST_BETWEEN(s, without_a_file_nothing_is_kept, setup, teardown);
    UNIT_TEST_BETWEEN(s, one_that_is_there_is_replaced_only_when_asked_and_not_in_use, setup, teardown);
    UNIT_TEST_BETWEEN(s, one_machine_at_a_time, setup, teardown);
    UNIT_TEST_BETWEEN(s, other_files_are_refused, setup, teardown);
    UNIT_TEST_BETWEEN(s, only_files_of_one_build_go_together, setup, teardown);
}

UNIT_TEST_MAIN("efi_store", add_tests)
