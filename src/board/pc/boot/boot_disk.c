/* SPDX-License-Identifier: MIT */
/* See boot_disk.h. Here: which partition, and which of its files. */
#include "board/pc/boot/boot_disk.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/le.h"
#include "base/log.h"
#include "block/disk_chain.h"
#include "board/pc/boot/ext_fs.h"
#include "board/pc/boot/ext_library.h"
#include "board/pc/boot/kernel_file.h"

#define SECTOR          512u
#define PARTITIONS_MAX  128u
#define VERSION_MAX     (EXT_FS_NAME_MAX - sizeof("vmlinuz-") + 1)

/* ---- Which kernel --------------------------------------------------------------------------- */

static const char *const initrd_formats[] = {"initrd.img-%s", "initramfs-%s.img", "initrd-%s"};

struct kernels {
    struct ext_fs *fs;
    const char *folder;                /* "/boot" or "" */
    char best[VERSION_MAX + 1];        /* "": none yet */
    char best_with_initrd[VERSION_MAX + 1];
};

/* It will stand in messages, and belongs to the guest. */
static bool is_version(const char *v)
{
    static const char *const leftovers[] = {".old", ".bak", ".dpkg-new", ".dpkg-tmp", ".rpmsave"};
    size_t len = strlen(v);

    if (!isdigit((unsigned char)v[0]) || len > VERSION_MAX)
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(leftovers); i++) {
        size_t n = strlen(leftovers[i]);

        if (len > n && !strcmp(v + len - n, leftovers[i]))
            return false;
    }
    return strspn(v, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.+-_~") == len;
}

static bool find_initrd(const struct kernels *k, const char *version, char *path, size_t size,
                        uint32_t *ret_file)
{
    const char *why;

    for (unsigned i = 0; i < ARRAY_SIZE(initrd_formats); i++) {
        int n = snprintf(path, size, "%s/", k->folder);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(path + n, size - (size_t)n, initrd_formats[i], version);
#pragma GCC diagnostic pop
        if (!ext_fs_find(k->fs, path, ret_file, &why))
            return true;
    }
    return false;
}

static void keep_newer(char *best, const char *version)
{
    if (!best[0] || strverscmp(version, best) > 0)
        strcpy(best, version);
}

/* ext_fs_name_fn */
static void look_at(void *arg, const char *name)
{
    struct kernels *k = arg;
    char path[2 * EXT_FS_NAME_MAX];
    uint32_t file;

    if (strncmp(name, "vmlinuz-", 8) || !is_version(name + 8))
        return;
    keep_newer(k->best, name + 8);
    /* Look-ups cost a walk through the folder: only for what may win. */
    if ((!k->best_with_initrd[0] || strverscmp(name + 8, k->best_with_initrd) > 0) &&
        find_initrd(k, name + 8, path, sizeof(path), &file))
        keep_newer(k->best_with_initrd, name + 8);
}

struct choice {
    char kernel[2 * EXT_FS_NAME_MAX], initrd[2 * EXT_FS_NAME_MAX]; /* paths in the file system */
    uint32_t kernel_file, initrd_file;
    bool has_initrd;
};

static bool choose_in(struct ext_fs *fs, const char *folder, struct choice *ret)
{
    struct kernels k = {.fs = fs, .folder = folder};
    const char *version, *why;
    uint32_t file;

    if (ext_fs_find(fs, folder[0] ? folder : "/", &file, &why) < 0 ||
        ext_fs_list(fs, file, look_at, &k, &why) < 0)
        return false;
    version = k.best_with_initrd[0] ? k.best_with_initrd : k.best;
    if (!version[0])
        return false;
    snprintf(ret->kernel, sizeof(ret->kernel), "%s/vmlinuz-%s", folder, version);
    ret->has_initrd = find_initrd(&k, version, ret->initrd, sizeof(ret->initrd), &ret->initrd_file);
    return ext_fs_find(fs, ret->kernel, &ret->kernel_file, &why) == 0;
}

static bool choose(struct ext_fs *fs, struct choice *ret)
{
    const char *why;

    if (choose_in(fs, "/boot", ret) || choose_in(fs, "", ret))
        return true;
    strcpy(ret->kernel, "/vmlinuz");
    strcpy(ret->initrd, "/initrd.img");
    ret->has_initrd = ext_fs_find(fs, ret->initrd, &ret->initrd_file, &why) == 0;
    return ext_fs_find(fs, ret->kernel, &ret->kernel_file, &why) == 0;
}

/* ---- Which partition ------------------------------------------------------------------------ */

struct range {
    uint64_t base, end; /* bytes */
};

static bool read_at(struct disk_layer *disk, uint64_t off, void *buf, size_t len)
{
    struct iovec iov = {buf, len};

    return range_fits(off, len, disk->size) && !layer_read(disk, off, len, &iov, 1);
}

static void add_range(struct range *list, unsigned *count, uint64_t first, uint64_t sectors,
                      uint64_t size)
{
    if (*count < PARTITIONS_MAX + 1 && sectors && first && first < size / SECTOR)
        list[(*count)++] = (struct range){
            first * SECTOR, (first + MIN(sectors, size / SECTOR - first)) * SECTOR};
}

/* UEFI 2.10, 5.3: header in sector 1; entries of at least 128 bytes. */
static void gpt_ranges(struct disk_layer *disk, uint64_t size, struct range *list, unsigned *count)
{
    uint8_t header[SECTOR], entry[128];
    uint64_t at;
    uint32_t entries, stride;

    if (!read_at(disk, SECTOR, header, sizeof(header)) || memcmp(header, "EFI PART", 8))
        return;
    at = load_le64(header + 72);
    entries = load_le32(header + 80);
    stride = load_le32(header + 84);
    if (at > size / SECTOR || stride < sizeof(entry) || stride > 4096)
        return;
    for (uint32_t n = 0; n < MIN(entries, PARTITIONS_MAX); n++) {
        uint64_t first, last;

        if (!read_at(disk, at * SECTOR + (uint64_t)n * stride, entry, sizeof(entry)))
            return;
        first = load_le64(entry + 32);
        last = load_le64(entry + 40);
        if (last >= first && last < UINT64_MAX)
            add_range(list, count, first, last - first + 1, size);
    }
}

/* The whole disk, then its partitions. Returns their count. */
static unsigned find_ranges(struct disk_layer *disk, uint64_t size, struct range *list)
{
    uint8_t mbr[SECTOR];
    unsigned count = 0;

    list[count++] = (struct range){0, size};
    if (!read_at(disk, 0, mbr, sizeof(mbr)) || load_le16(mbr + 510) != 0xaa55)
        return count;
    for (const uint8_t *p = mbr + 446; p < mbr + 510; p += 16) {
        if (p[4] == 0xee)
            gpt_ranges(disk, size, list, &count);
        else if (p[4])
            add_range(list, &count, load_le32(p + 8), load_le32(p + 12), size);
    }
    return count;
}

/* ---- Reading -------------------------------------------------------------------------------- */

static int read_file(struct ext_fs *fs, const char *disk, const char *path, uint32_t file,
                     uint64_t max, struct boot_file *ret, struct vz_error *err)
{
    uint8_t *data;
    const char *why;
    uint64_t len = 0;
    int r = ext_fs_read(fs, file, max, &data, &len, &why);

    if (r == -EFBIG)
        return error_set(err, -r, VZ_ERROR_INVALID, "disk %s: %s is too large: %" PRIu64
                         " KiB do not fit in %" PRIu64 " KiB", disk, path, len / 1024, max / 1024);
    if (r < 0)
        return error_set(err, -r, r == -ENOMEM ? VZ_ERROR_NO_MEMORY : VZ_ERROR_INVALID,
                         "disk %s: %s: %s", disk, path, why);
    *ret = (struct boot_file){.name = disk, .data = data, .len = len};
    return 0;
}

static int read_choice(struct ext_fs *fs, const char *disk, const struct choice *c,
                       uint64_t kernel_max, uint64_t initrd_max, struct boot_file *kernel,
                       struct boot_file *initrd, struct vz_error *err)
{
    int r = read_file(fs, disk, c->kernel, c->kernel_file, kernel_max, kernel, err);

    if (!r && c->has_initrd)
        r = read_file(fs, disk, c->initrd, c->initrd_file, initrd_max, initrd, err);
    if (!r && ext_fs_needs_recovery(fs))
        log_info("disk %s: not unmounted; %s is read as its journal's last checkpoint left it", disk,
                 c->kernel);
    return r;
}

/* A boot partition has neither: what its root is, nothing on it says for certain. */
static void find_root(struct ext_fs *fs, bool has_initrd, bool whole_disk,
                      char root[BOOT_DISK_ROOT_MAX])
{
    char uuid[EXT_FS_UUID_LEN + 1];
    const char *why;
    uint32_t file;

    root[0] = '\0';
    if (ext_fs_find(fs, "/etc/fstab", &file, &why) < 0 &&
        ext_fs_find(fs, "/sbin/init", &file, &why) < 0)
        return;
    ext_fs_uuid(fs, uuid);
    if (has_initrd)
        snprintf(root, BOOT_DISK_ROOT_MAX, "root=UUID=%s", uuid);
    else if (whole_disk)
        strcpy(root, "root=/dev/vda");
}

static int read_disk(struct disk_layer *disk, const char *path, uint64_t kernel_max, uint64_t initrd_max,
                     struct boot_file *kernel, struct boot_file *initrd,
                     char root[BOOT_DISK_ROOT_MAX], struct vz_error *err)
{
    struct range range[PARTITIONS_MAX + 1];
    unsigned count = find_ranges(disk, disk->size, range);
    const char *damage = NULL;
    bool any = false;

    for (unsigned n = 0; n < count; n++) {
        struct choice choice = {0};
        struct ext_fs *fs;
        const char *why;
        int r = ext_fs_open(disk, range[n].base, range[n].end, &fs, &why);

        if (r == -ENOMEM)
            return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "disk %s: no memory", path);
        if (r < 0) {
            damage = r == -ENODATA ? damage : why;
            continue;
        }
        any = true;
        if (choose(fs, &choice)) {
            r = read_choice(fs, path, &choice, kernel_max, initrd_max, kernel, initrd, err);
            find_root(fs, choice.has_initrd, n == 0, root);
            ext_fs_close(fs);
            return r;
        }
        ext_fs_close(fs);
    }
    if (any)
        return error_set(err, ENOENT, VZ_ERROR_INVALID, "disk %s: no kernel in /boot", path);
    return error_set(err, EINVAL, VZ_ERROR_INVALID, "disk %s: %s%s", path,
                     damage ? "its file system cannot be read: "
                            : "no ext2, ext3 or ext4 file system", damage ? damage : "");
}

int boot_disk_read(struct disk_chain *disk, const char *path, uint64_t kernel_max, uint64_t initrd_max,
                   struct boot_file *kernel, struct boot_file *initrd,
                   char root[BOOT_DISK_ROOT_MAX], struct vz_error *err)
{
    struct boot_file k = {0}, i = {0};
    int r = ext_library_load(err);

    root[0] = '\0';
    if (!r)
        r = disk_chain_reload(disk, err);
    if (!r)
        r = read_disk(&disk->layer[0], path, kernel_max, initrd_max, &k, &i, root, err);
    if (r) {
        kernel_file_free(&k);
        kernel_file_free(&i);
        return r;
    }
    *kernel = k;
    *initrd = i;
    return 0;
}
