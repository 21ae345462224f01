/* SPDX-License-Identifier: MIT */
/* Kernels on disks: which one is taken, and what damaged file systems do. The images are made by
 * mkfs.ext4. */
#include "board/pc/boot/boot_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vz/error.h>

#include "base/le.h"
#include "block/disk_chain.h"
#include "board/pc/boot/kernel_file.h"
#include "unit.h"

#define MKFS "/sbin/mkfs.ext4"
#define IMAGE_KIB 2048

struct rig {
    char dir[64], image[96];
    struct vz_error err;
    struct boot_file kernel, initrd;
    char root[BOOT_DISK_ROOT_MAX];
};

static void command(const char *format, const char *a, const char *b)
{
    char text[512];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof(text), format, a, b);
#pragma GCC diagnostic pop
    ck_assert_int_eq(system(text), 0);
}

static void setup(struct rig *r)
{
    *r = (struct rig){.dir = "/tmp/vz-boot-disk-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(r->dir));
    snprintf(r->image, sizeof(r->image), "%s/image", r->dir);
    command("mkdir -p %s/root/boot", r->dir, "");
}

static void teardown(struct rig *r)
{
    command("rm -rf %s", r->dir, "");
}

static void put(const struct rig *r, const char *path, const char *text)
{
    char name[192];
    FILE *f;

    snprintf(name, sizeof(name), "%s/root/%s", r->dir, path);
    f = fopen(name, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static void make(const struct rig *r)
{
    command(MKFS " -q -F -d %s/root %s 2M 2>/dev/null", r->dir, r->image);
}

static int read_it(struct rig *r)
{
    const struct disk_chain_options o = {.path = r->image, .format = DISK_FORMAT_RAW,
                                         .read_only = true};
    struct disk_chain *disk;
    int result = disk_chain_open(&o, &disk, &r->err);

    if (result < 0)
        return result;
    result = boot_disk_read(disk, r->image, 1024, 1024, &r->kernel, &r->initrd, r->root, &r->err);
    ck_assert_int_eq(disk_chain_close(disk), 0);
    return result;
}

static void expect(struct rig *r, const char *kernel, const char *initrd)
{
    int got = read_it(r);

    ck_assert_msg(got == 0, "expected a kernel, saw %s", r->err.text);
    ck_assert_int_eq((int)r->kernel.len, (int)strlen(kernel));
    ck_assert_mem_eq(r->kernel.data, kernel, strlen(kernel));
    ck_assert_int_eq((int)r->initrd.len, (int)strlen(initrd));
    if (initrd[0])
        ck_assert_mem_eq(r->initrd.data, initrd, strlen(initrd));
    kernel_file_free(&r->kernel);
    kernel_file_free(&r->initrd);
}

static bool have_mkfs(void)
{
    if (access(MKFS, X_OK) == 0)
        return true;
    fprintf(stderr, "skipped: no " MKFS "\n");
    return false;
}

START_TEST(says_where_the_root_is)
{
    struct rig r;

    if (!have_mkfs())
        return;
    setup(&r);
    put(&r, "boot/vmlinuz-6.1.0-9-amd64", "nine");
    make(&r);
    expect(&r, "nine", "");
    ck_assert_str_eq(r.root, ""); /* it has no /etc/fstab, and no init */
    command("mkdir %s/root/etc", r.dir, "");
    put(&r, "etc/fstab", "");
    make(&r);
    expect(&r, "nine", "");
    ck_assert_str_eq(r.root, "root=/dev/vda");
    put(&r, "boot/initrd.img-6.1.0-9-amd64", "initrd");
    make(&r);
    command("/sbin/tune2fs -U 01234567-89ab-cdef-0123-456789abcdef %s >/dev/null", r.image, "");
    expect(&r, "nine", "initrd");
    ck_assert_str_eq(r.root, "root=UUID=01234567-89ab-cdef-0123-456789abcdef");
    teardown(&r);
}
END_TEST

START_TEST(takes_the_newest_with_an_initrd)
{
    struct rig r;

    if (!have_mkfs())
        return;
    setup(&r);
    put(&r, "boot/vmlinuz-6.1.0-9-amd64", "nine");
    put(&r, "boot/initrd.img-6.1.0-9-amd64", "initrd of nine");
    put(&r, "boot/vmlinuz-6.1.0-10-amd64", "ten");
    put(&r, "boot/vmlinuz-6.1.0-11-amd64.dpkg-new", "half");
    put(&r, "boot/vmlinuz-6.1.0-8-amd64", "eight");
    make(&r);
    expect(&r, "nine", "initrd of nine");
    put(&r, "boot/initrd.img-6.1.0-10-amd64", "initrd of ten");
    make(&r);
    expect(&r, "ten", "initrd of ten");
    teardown(&r);
}
END_TEST

START_TEST(falls_back_to_links_and_to_no_initrd)
{
    struct rig r;

    if (!have_mkfs())
        return;
    setup(&r);
    put(&r, "boot/image", "linked");
    command("ln -s boot/image %s/root/vmlinuz", r.dir, "");
    make(&r);
    expect(&r, "linked", "");
    put(&r, "vmlinuz-5.10", "boot partition");
    put(&r, "initramfs-5.10.img", "dracut");
    make(&r);
    expect(&r, "boot partition", "dracut");
    teardown(&r);
}
END_TEST

START_TEST(finds_partitions)
{
    uint8_t mbr[512] = {0};
    struct rig r;

    if (!have_mkfs())
        return;
    setup(&r);
    put(&r, "boot/vmlinuz-1", "in a partition");
    make(&r);
    mbr[446 + 16 + 4] = 0x83;
    store_le32(mbr + 446 + 16 + 8, 8);
    store_le32(mbr + 446 + 16 + 12, IMAGE_KIB * 2);
    store_le16(mbr + 510, 0xaa55);
    command("mv %s %s.part", r.image, r.image);
    {
        FILE *f = fopen(r.image, "w");

        ck_assert_ptr_nonnull(f);
        ck_assert_int_eq((int)fwrite(mbr, sizeof(mbr), 1, f), 1);
        fclose(f);
    }
    command("dd if=%s.part of=%s bs=4096 seek=1 conv=notrunc status=none", r.image, r.image);
    expect(&r, "in a partition", "");
    teardown(&r);
}
END_TEST

START_TEST(refuses_what_has_no_kernel)
{
    struct rig r;

    if (!have_mkfs())
        return;
    setup(&r);
    ck_assert_int_lt(read_it(&r), 0);
    ck_assert_int_eq(r.err.code, VZ_ERROR_IO);
    make(&r);
    ck_assert_int_lt(read_it(&r), 0);
    ck_assert_ptr_nonnull(strstr(r.err.text, "no kernel"));
    put(&r, "boot/vmlinuz-1", "");
    make(&r);
    ck_assert_int_lt(read_it(&r), 0);
    ck_assert_ptr_nonnull(strstr(r.err.text, "empty"));
    command("mkdir %s/root/boot/vmlinuz-2", r.dir, "");
    make(&r);
    ck_assert_int_lt(read_it(&r), 0);
    command("truncate -s 2M %s/root/boot/vmlinuz-3", r.dir, "");
    make(&r);
    ck_assert_int_lt(read_it(&r), 0);
    ck_assert_ptr_nonnull(strstr(r.err.text, "too large"));
    command("truncate -s 0 %s && truncate -s 1M %s", r.image, r.image);
    ck_assert_int_lt(read_it(&r), 0);
    ck_assert_ptr_nonnull(strstr(r.err.text, "no ext2"));
    teardown(&r);
}
END_TEST

/* What has been read of the kernel by then is given back. */
START_TEST(refuses_an_initrd_that_is_too_large)
{
    char text[2000];
    struct rig r;

    if (!have_mkfs())
        return;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    setup(&r);
    put(&r, "boot/vmlinuz-1", "kernel");
    put(&r, "boot/initrd.img-1", text);
    make(&r);
    ck_assert_int_lt(read_it(&r), 0);
    ck_assert_ptr_nonnull(strstr(r.err.text, "too large"));
    teardown(&r);
}
END_TEST

/* Random damage in and around the metadata: an answer, whichever, and no crash. */
START_TEST(survives_damage)
{
    static uint8_t sound[IMAGE_KIB * 1024], broken[IMAGE_KIB * 1024];
    uint64_t seed = 0x9e3779b97f4a7c15;
    unsigned refused = 0;
    struct rig r;
    int fd;

    if (!have_mkfs())
        return;
    setup(&r);
    put(&r, "boot/vmlinuz-1", "kernel");
    put(&r, "boot/initrd.img-1", "initrd");
    command("ln -s loop %s/root/loop; ln -s loop %s/root/vmlinuz", r.dir, r.dir);
    make(&r);
    fd = open(r.image, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq((int)pread(fd, sound, sizeof(sound), 0), (int)sizeof(sound));
    for (unsigned n = 0; n < 1500; n++) {
        memcpy(broken, sound, sizeof(sound));
        for (unsigned k = 0; k <= n % 24; k++) {
            uint64_t at;

            seed = seed * 6364136223846793005u + 1442695040888963407u;
            /* The superblock, or anything that is not zero. */
            at = n % 3 ? (seed >> 20) % sizeof(sound) : 1024 + (seed >> 20) % 1024;
            while (n % 3 && !sound[at])
                at = (at + 1) % sizeof(sound);
            broken[at] = (uint8_t)(seed >> 56);
        }
        ck_assert_int_eq((int)pwrite(fd, broken, sizeof(broken), 0), (int)sizeof(broken));
        if (read_it(&r) < 0) {
            ck_assert(r.err.text[0]);
            refused++;
        } else {
            kernel_file_free(&r.kernel);
            kernel_file_free(&r.initrd);
        }
    }
    close(fd);
    ck_assert_uint_gt(refused, 100);
    teardown(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, says_where_the_root_is);
    UNIT_TEST(s, takes_the_newest_with_an_initrd);
    UNIT_TEST(s, falls_back_to_links_and_to_no_initrd);
    UNIT_TEST(s, finds_partitions);
    UNIT_TEST(s, refuses_what_has_no_kernel);
    UNIT_TEST(s, refuses_an_initrd_that_is_too_large);
    UNIT_TEST(s, survives_damage);
}

UNIT_TEST_MAIN("boot_disk", add_tests)
