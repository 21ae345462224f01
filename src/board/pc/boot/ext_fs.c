/* SPDX-License-Identifier: MIT */
/* libext2fs, with a floor of our own under it: all it reads goes through here, from a disk
 * that is open already, inside the bounds of one partition, and no more than a budget of it. So a
 * file system that leads in circles ends in an error like any other. */
#include "board/pc/boot/ext_fs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/pages.h"
#include "board/pc/boot/ext_library.h"
#include "block/disk_layer.h"

/* How much may be read of one file system: two files of the size that is allowed, and what leads to
 * them. */
#define BUDGET_BYTES (3 * GIB)
#define BUDGET_CALLS (2u * 1024 * 1024)

struct ext_fs {
    struct disk_layer *disk;
    uint64_t base, end; /* bytes of disk */
    uint64_t bytes, calls; /* that may still be read */
    ext2_filsys fs;
};

/* ---- The floor ------------------------------------------------------------------------------ */

static errcode_t floor_read_bytes(struct ext_fs *f, uint64_t off, size_t len, void *buf)
{
    struct iovec iov = {buf, len};

    if (!f->calls || f->bytes < len || !range_fits(off, len, f->end - f->base))
        return EXT2_ET_SHORT_READ;
    f->calls--;
    f->bytes -= len;
    if (!range_fits(f->base + off, len, f->disk->size))
        return EXT2_ET_SHORT_READ;
    return -layer_read(f->disk, f->base + off, len, &iov, 1);
}

/* A negative count is of bytes, another one of blocks. */
static errcode_t floor_read64(io_channel channel, unsigned long long block, int count, void *buf)
{
    uint64_t off, len = count < 0 ? -(uint64_t)count : (uint64_t)count * (uint64_t)channel->block_size;

    if (__builtin_mul_overflow(block, (uint64_t)channel->block_size, &off))
        return EXT2_ET_SHORT_READ;
    return floor_read_bytes(channel->private_data, off, len, buf);
}

static errcode_t floor_read(io_channel channel, unsigned long block, int count, void *buf)
{
    return floor_read64(channel, block, count, buf);
}

static errcode_t floor_write64(io_channel channel, unsigned long long block, int count,
                               const void *buf)
{
    return EROFS;
}

static errcode_t floor_write(io_channel channel, unsigned long block, int count, const void *buf)
{
    return EROFS;
}

static errcode_t floor_set_blksize(io_channel channel, int size)
{
    channel->block_size = size;
    return 0;
}

static errcode_t floor_flush(io_channel channel)
{
    return 0;
}

static errcode_t floor_set_option(io_channel channel, const char *option, const char *arg)
{
    return 0;
}

static errcode_t floor_close(io_channel channel)
{
    if (--channel->refcount > 0)
        return 0;
    free(channel->name);
    free(channel);
    return 0;
}

static errcode_t floor_open(const char *name, int flags, io_channel *ret);

static struct struct_io_manager floor_manager(void)
{
    return (struct struct_io_manager){
        .magic = EXT2_ET_MAGIC_IO_MANAGER,
        .name = "vz",
        .open = floor_open,
        .close = floor_close,
        .set_blksize = floor_set_blksize,
        .read_blk = floor_read,
        .write_blk = floor_write,
        .flush = floor_flush,
        .set_option = floor_set_option,
        .read_blk64 = floor_read64,
        .write_blk64 = floor_write64,
    };
}

/* One allocation with the manager in it, which libext2fs wants writable. */
struct floor {
    struct struct_io_channel channel;
    struct struct_io_manager manager;
};

/* The only thing that libext2fs hands from ext2fs_open2()'s caller to here is the name, so the name
 * says where our struct is. */
static errcode_t floor_open(const char *name, int flags, io_channel *ret)
{
    struct floor *floor = calloc(1, sizeof(*floor));
    void *fs = NULL;

    if (!floor || sscanf(name, "%p", &fs) != 1 || !(floor->channel.name = strdup(name))) {
        free(floor);
        return EXT2_ET_NO_MEMORY;
    }
    floor->manager = floor_manager();
    floor->channel.magic = EXT2_ET_MAGIC_IO_CHANNEL;
    floor->channel.manager = &floor->manager;
    floor->channel.block_size = 1024;
    floor->channel.refcount = 1;
    floor->channel.private_data = fs;
    *ret = &floor->channel;
    return 0;
}

/* ---- Above it ------------------------------------------------------------------------------- */

static int result(errcode_t e, const char **ret_why)
{
    if (!e)
        return 0;
    *ret_why = e == EXT2_ET_SHORT_READ       ? "it leads outside the disk or in circles"
             : e == EXT2_ET_UNSUPP_FEATURE   ? "it has a feature that libext2fs does not know"
             : e == EXT2_ET_FILE_NOT_FOUND   ? strerror(ENOENT)
             : e == EXT2_ET_NO_MEMORY        ? "no memory"
             : e > 0 && e < 256              ? strerror((int)e)
                                             : "it is damaged";
    return e == EXT2_ET_NO_MEMORY      ? -ENOMEM
           : e == EXT2_ET_FILE_NOT_FOUND ? -ENOENT
                                         : -EIO;
}

/* Without the group descriptors, whose number the image chooses: they are read one by one when
 * needed. */
#define OPEN_FLAGS (EXT2_FLAG_64BITS | EXT2_FLAG_SUPER_ONLY | EXT2_FLAG_SKIP_MMP)

int ext_fs_open(struct disk_layer *disk, uint64_t base, uint64_t end, struct ext_fs **ret,
                const char **ret_why)
{
    struct struct_io_manager manager = floor_manager();
    struct ext_fs *f = calloc(1, sizeof(*f));
    char name[32];
    errcode_t e;

    *ret_why = "no memory";
    if (!f)
        return -ENOMEM;
    *f = (struct ext_fs){.disk = disk, .base = base, .end = end, .bytes = BUDGET_BYTES,
                         .calls = BUDGET_CALLS};
    snprintf(name, sizeof(name), "%p", (void *)f);
    e = libext2fs.open2(name, NULL, OPEN_FLAGS, 0, 0, &manager, &f->fs);
    if (e) {
        int r = e == EXT2_ET_BAD_MAGIC || e == EXT2_ET_SHORT_READ ? -ENODATA : 0;
        int why = result(e, ret_why);

        free(f);
        return r ? r : why;
    }
    *ret = f;
    return 0;
}

void ext_fs_close(struct ext_fs *f)
{
    if (!f)
        return;
    libext2fs.free(f->fs); /* not ext2fs_close(), which may write */
    free(f);
}

bool ext_fs_needs_recovery(const struct ext_fs *f)
{
    return ext2fs_has_feature_journal_needs_recovery(f->fs->super);
}

void ext_fs_uuid(const struct ext_fs *f, char ret[EXT_FS_UUID_LEN + 1])
{
    char *to = ret;

    for (unsigned i = 0; i < 16; i++)
        to += sprintf(to, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                      f->fs->super->s_uuid[i]);
}

int ext_fs_find(struct ext_fs *f, const char *path, uint32_t *ret_file, const char **ret_why)
{
    ext2_ino_t ino;
    int r = result(libext2fs.namei_follow(f->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &ino), ret_why);

    if (!r)
        *ret_file = ino;
    return r;
}

struct listing {
    ext_fs_name_fn *fn;
    void *arg;
};

static int list_one(struct ext2_dir_entry *entry, int offset, int block_size, char *buf, void *arg)
{
    const struct listing *l = arg;
    size_t len = (size_t)ext2fs_dirent_name_len(entry);
    char name[EXT_FS_NAME_MAX + 1];

    if (!len || len > EXT_FS_NAME_MAX || memchr(entry->name, 0, len) ||
        memchr(entry->name, '/', len))
        return 0;
    memcpy(name, entry->name, len);
    name[len] = 0;
    l->fn(l->arg, name);
    return 0;
}

int ext_fs_list(struct ext_fs *f, uint32_t folder, ext_fs_name_fn *fn, void *arg,
                const char **ret_why)
{
    struct listing l = {.fn = fn, .arg = arg};

    return result(libext2fs.dir_iterate(f->fs, folder, 0, NULL, list_one, &l), ret_why);
}

static int check_file(const struct ext2_inode *inode, uint64_t max_len, uint64_t *ret_len,
                      const char **ret_why)
{
    *ret_why = "not a regular file";
    if (!S_ISREG(inode->i_mode))
        return S_ISDIR(inode->i_mode) ? -EISDIR : -EINVAL;
    *ret_len = EXT2_I_SIZE(inode);
    *ret_why = *ret_len ? "too large" : "empty";
    return !*ret_len ? -ENOENT : *ret_len > max_len ? -EFBIG : 0;
}

static errcode_t read_all(ext2_file_t file, uint8_t *buf, uint64_t len)
{
    uint64_t done = 0;

    while (done < len) {
        unsigned n = 0, want = len - done < MIB ? (unsigned)(len - done) : (unsigned)MIB;
        errcode_t e = libext2fs.file_read(file, buf + done, want, &n);

        if (e)
            return e;
        if (!n)
            return EXT2_ET_SHORT_READ;
        done += n;
    }
    return 0;
}

int ext_fs_read(struct ext_fs *f, uint32_t number, uint64_t max_len, uint8_t **ret,
                uint64_t *ret_len, const char **ret_why)
{
    struct ext2_inode inode;
    ext2_file_t file;
    uint8_t *buf;
    uint64_t len = 0;
    int r = result(libext2fs.read_inode(f->fs, number, &inode), ret_why);

    if (!r)
        r = check_file(&inode, max_len, &len, ret_why);
    if (r == -EFBIG)
        *ret_len = len;
    if (r)
        return r;
    buf = pages_map(len);
    if (!buf) {
        *ret_why = "no memory";
        return -ENOMEM;
    }
    r = result(libext2fs.file_open(f->fs, number, 0, &file), ret_why);
    if (!r) {
        r = result(read_all(file, buf, len), ret_why);
        libext2fs.file_close(file);
    }
    if (r) {
        pages_unmap(buf, len);
        return r;
    }
    *ret = buf;
    *ret_len = len;
    return 0;
}
