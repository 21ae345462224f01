/* SPDX-License-Identifier: MIT */
#include "base/disk_format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit.h"

#define SIZE 65536

static int image_with(off_t off, const char *magic, size_t len)
{
    int fd = memfd_create("image", MFD_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, SIZE), 0);
    ck_assert_int_eq(pwrite(fd, magic, len, off), (ssize_t)len);
    return fd;
}

START_TEST(each_format_is_named)
{
    static const struct {
        off_t off;
        size_t len;
        const char *magic, *name;
    } image[] = {{0, 4, "QFI\xfb", "qcow2"},          {0, 4, "QED\0", "QED"},
                 {0, 4, "KDMV", "VMDK"},              {0, 4, "COWD", "VMDK"},
                 {0, 22, "# Disk DescriptorFile\n", "VMDK"}, {0, 8, "vhdxfile", "VHDX"},
                 {0, 8, "conectix", "VHD"},           {SIZE - 512, 8, "conectix", "VHD"},
                 {64, 4, "\x7f\x10\xda\xbe", "VDI"},  {SIZE - 512, 4, "koly", "DMG"},
                 {0, 16, "WithoutFreeSpace", "Parallels"}};
    char text[DISK_FORMAT_TEXT_MAX];

    for (unsigned i = 0; i < ARRAY_SIZE(image); i++) {
        int fd = image_with(image[i].off, image[i].magic, image[i].len);

        for (unsigned read_only = 0; read_only < 2; read_only++) {
            ck_assert(disk_format_problem(fd, read_only, text));
            ck_assert_msg(strstr(text, image[i].name) && strstr(text, "format=raw") &&
                          strstr(text, i ? "qemu-img convert" : "format=qcow2"), "%s", text);
        }
        close(fd);
        /* Elsewhere it is data like any other. */
        fd = image_with(image[i].off + 1, image[i].magic, image[i].len);
        ck_assert(!disk_format_problem(fd, false, text));
        close(fd);
    }
}
END_TEST

START_TEST(an_iso_image_may_be_read)
{
    char text[DISK_FORMAT_TEXT_MAX];
    int fd = image_with(0x8001, "CD001", 5);

    ck_assert(!disk_format_problem(fd, true, text));
    ck_assert(disk_format_problem(fd, false, text));
    ck_assert_msg(strstr(text, "ISO") && strstr(text, "ro"), "%s", text);
    close(fd);
}
END_TEST

START_TEST(short_and_unreadable_ones_are_no_problem)
{
    char text[DISK_FORMAT_TEXT_MAX];
    int fd = image_with(0, "", 0);

    ck_assert_int_eq(ftruncate(fd, 3), 0);
    ck_assert_int_eq(lseek(fd, 2, SEEK_SET), 2);
    ck_assert(!disk_format_problem(fd, false, text));
    ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), 2); /* where it was */
    close(fd);
    ck_assert(!disk_format_problem(-1, false, text));
}
END_TEST

/* A guest can give its raw disk any content, but no name. */
START_TEST(qcow2_is_what_looks_like_it_and_is_named_so)
{
    static const struct {
        const char *magic, *path;
        enum disk_format given, want;
        bool problem;
    } c[] = {{"QFI\xfb", "a.qcow2", DISK_FORMAT_AUTOMATIC, DISK_FORMAT_QCOW2, false},
             {"QFI\xfb", "a.QCOW2", DISK_FORMAT_AUTOMATIC, DISK_FORMAT_QCOW2, false},
             {"QFI\xfb", "a.img", DISK_FORMAT_AUTOMATIC, DISK_FORMAT_RAW, true},
             {"QFI\xfb", ".qcow2", DISK_FORMAT_AUTOMATIC, DISK_FORMAT_RAW, true},
             {"QFI\xfb", NULL, DISK_FORMAT_AUTOMATIC, DISK_FORMAT_RAW, true},
             {"QFI\xfb", "a.img", DISK_FORMAT_QCOW2, DISK_FORMAT_QCOW2, false},
             {"QFI\xfb", "a.qcow2", DISK_FORMAT_RAW, DISK_FORMAT_RAW, false},
             {"\0\0\0", "a.qcow2", DISK_FORMAT_AUTOMATIC, DISK_FORMAT_RAW, true},
             {"\0\0\0", "a.qcow2", DISK_FORMAT_RAW, DISK_FORMAT_RAW, false},
             {"\0\0\0", "a.img", DISK_FORMAT_AUTOMATIC, DISK_FORMAT_RAW, false},
             {"KDMV", "a.qcow2", DISK_FORMAT_AUTOMATIC, DISK_FORMAT_RAW, true}};
    char text[DISK_FORMAT_TEXT_MAX];

    for (unsigned i = 0; i < ARRAY_SIZE(c); i++) {
        int fd = image_with(0, c[i].magic, 4);
        enum disk_format format = c[i].given;

        ck_assert_int_eq(disk_format_choose(fd, c[i].path, true, &format, text), c[i].problem);
        ck_assert(c[i].problem || format == c[i].want);
        ck_assert(!c[i].problem || strstr(text, "format=raw"));
        close(fd);
    }
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, each_format_is_named);
    UNIT_TEST(s, an_iso_image_may_be_read);
    UNIT_TEST(s, qcow2_is_what_looks_like_it_and_is_named_so);
    UNIT_TEST(s, short_and_unreadable_ones_are_no_problem);
}

UNIT_TEST_MAIN("disk format", add_tests)
