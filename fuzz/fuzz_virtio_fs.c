/* SPDX-License-Identifier: MIT */
/* A hostile guest of a shared directory: the input is a list of FUSE requests, each four bytes (operation,
 * node, handle, length) and the rest of it. They go through the device, in a directory that has a link out of
 * it; whatever happens, beside it nothing appears and nothing changes. */
#include <fcntl.h>
#include <ftw.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "no_check.h"

#include "fake_virtio_driver.h"
#include "fuzz.h"
#include "mem/mem_window.h"
#include "virtio/virtio_fs.h"

#define WINDOW (4 * MEM_WINDOW_PIECE)

struct rig {
    struct fv v;
    struct share *share;
    struct mem_window *window; /* the share's */
    char dir[64], inside[96], beside[96];
};

static void set_up(struct rig *r)
{
    struct share_directory d = {.path = r->inside};
    struct share_options o = {.directory = &d, .count = 1, .no_threads = true, .nodes_max = 100};
    struct virtio_fs_options fs = {.tag = "fuzz"};
    char path[128];

    memset(r, 0, sizeof(*r));
    /* fsync() of a disk is not what is looked for */
    strcpy(r->dir, access("/dev/shm", W_OK) ? "/tmp/vz-fuzz-fs.XXXXXX" : "/dev/shm/vz-fuzz-fs.XXXXXX");
    require(mkdtemp(r->dir) != NULL, "no directory");
    snprintf(r->inside, sizeof(r->inside), "%s/inside", r->dir);
    snprintf(r->beside, sizeof(r->beside), "%s/beside", r->dir);
    require(!mkdir(r->inside, 0755) && !mkdir(r->beside, 0755), "no directory");
    snprintf(path, sizeof(path), "%s/l", r->inside);
    require(!symlink("../beside", path), "no link");
    snprintf(path, sizeof(path), "%s/d", r->inside);
    require(!mkdir(path, 0755), "no directory");
    require(!share_open(&o, &r->share, NULL), "no share");
    fs.share = r->share;
    fv_create_machine(&r->v, WINDOW);
    require(!mem_window_create(r->v.mem, WINDOW, &r->window) && !share_set_window(r->share, r->window), "no window");
    fv_create_device(&r->v, &virtio_fs_ops, &fs, &(struct virtio_shared_memory){r->window->gpa, WINDOW});
    fv_start(&r->v, 0, 16);
}

/* A guest can use its window at any time, whatever it shows. */
static void use_window(struct rig *r)
{
    for (uint64_t at = 0; at < WINDOW; at += MEM_WINDOW_PIECE / 2) {
        volatile uint8_t *p = r->window->host + at;

        *p = (uint8_t)(*p + 1);
    }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void tear_down(struct rig *r)
{
    fv_destroy(&r->v);
    share_close(r->share);
    require(!rmdir(r->beside), "the guest made something beside its directory");
    nftw(r->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* One request; returns how many bytes it took. Handles are those that were given, or none. */
static size_t step(struct rig *r, const uint8_t *data, size_t size, uint64_t fh[4])
{
    size_t len = MIN(size - 4, (size_t)data[3]);
    struct fuse_in_header h = {.opcode = data[0] == 255 ? 4096 : data[0] % 54, .nodeid = data[1] % 16,
                               .unique = 1, .uid = data[1] >> 6, .len = (uint32_t)(sizeof(h) + len)};
    struct fv_buf buf[2] = {{FV_DATA, (uint32_t)(sizeof(h) + len), false}, {FV_DATA + 65536, 8192, true}};
    uint8_t *at = fv_at(&r->v, FV_DATA);
    struct fuse_out_header out;
    struct vring_used_elem e;

    if (data[2] & 0x80)
        h.len ^= data[2];
    memcpy(at, &h, sizeof(h));
    memcpy(at + sizeof(h), data + 4, len);
    if ((data[2] & 0x40) && len >= 8)
        memcpy(at + sizeof(h), &fh[data[2] & 3], 8);
    fv_add(&r->v, 1, buf, 2);
    fv_kick(&r->v, 1);
    use_window(r);
    while (fv_used(&r->v, 1, &e)) {
        memcpy(&out, fv_at(&r->v, FV_DATA + 65536), sizeof(out));
        if (!e.len || out.error)
            continue;
        if (h.opcode == FUSE_OPEN || h.opcode == FUSE_OPENDIR)
            memcpy(&fh[data[2] & 3], fv_at(&r->v, FV_DATA + 65536 + sizeof(out)), 8);
        if (h.opcode == FUSE_CREATE || h.opcode == FUSE_TMPFILE)
            memcpy(&fh[data[2] & 3], fv_at(&r->v, FV_DATA + 65536 + sizeof(out) + sizeof(struct fuse_entry_out)), 8);
    }
    return 4 + len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t init[20] = {FUSE_INIT, 0, 0, 16, 7, 0, 0, 0, 38, 0, 0, 0,
                                     [16] = 0, 0, 0, FUSE_MAP_ALIGNMENT >> 24};
    static struct rig r; /* large; made anew each time */
    uint64_t fh[4] = {0};
    size_t at = 0;

    set_up(&r);
    (void)step(&r, init, sizeof(init), fh);
    for (unsigned i = 0; i < 100 && at + 4 <= size; i++)
        at += step(&r, data + at, size - at, fh);
    tear_down(&r);
    return 0;
}

/* Requests with their sizes: the fixed part is zeros but for the bytes given. */
struct seed {
    uint8_t opcode, node, handle, fixed;
    uint8_t bytes[8], offset; /* at offset of the fixed part */
    const char *first, *second;
    uint8_t at, value; /* one more byte of it, if it is not 0 */
};

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    static const struct seed seeds[][8] = {
        {{FUSE_CREATE, 1, 0, sizeof(struct fuse_create_in), {0x42, 0, 0, 0, 0xa4, 0x81}, 0, "a", NULL, 0, 0},
         {FUSE_WRITE, 2, 0x40, sizeof(struct fuse_write_in), {4}, 16, "text", NULL, 0, 0},
         {FUSE_SETUPMAPPING, 2, 0x40, 40, {0x20, 0, 0, 0, 0, 0, 1, 0}, 18, NULL, NULL, 0, 0},
         {FUSE_SETUPMAPPING, 2, 0x40, 40, {0x20}, 18, NULL, NULL, 34, 0x20},
         {FUSE_SETATTR, 2, 0, sizeof(struct fuse_setattr_in), {FATTR_SIZE}, 0, NULL, NULL, 0, 0},
         {FUSE_WRITE, 2, 0x40, sizeof(struct fuse_write_in), {4}, 16, "more", NULL, 0, 0},
         {FUSE_UNLINK, 1, 0, 0, {0}, 0, "a", NULL, 0, 0},
         {FUSE_REMOVEMAPPING, 2, 0, 20, {1}, 0, NULL, NULL, 14, 0x20}},
        {{FUSE_CREATE, 1, 0, sizeof(struct fuse_create_in), {0x42, 0, 0, 0, 0xa4, 0x81}, 0, "a", NULL, 0, 0},
         {FUSE_WRITE, 2, 0x40, sizeof(struct fuse_write_in), {4}, 16, "text", NULL, 0, 0},
         {FUSE_READ, 2, 0x40, sizeof(struct fuse_read_in), {0, 16}, 16, NULL, NULL, 0, 0},
         {FUSE_LOOKUP, 1, 0, 0, {0}, 0, "l", NULL, 0, 0}, {FUSE_LOOKUP, 3, 0, 0, {0}, 0, "x", NULL, 0, 0},
         {FUSE_READLINK, 3, 0, 0, {0}, 0, NULL, NULL, 0, 0}, {FUSE_RELEASE, 2, 0x40, 24, {0}, 0, NULL, NULL, 0, 0}},
        {{FUSE_MKDIR, 1, 0, 8, {0xed, 1}, 0, "e", NULL, 0, 0}, {FUSE_LOOKUP, 1, 0, 0, {0}, 0, "d", NULL, 0, 0},
         {FUSE_RENAME2, 1, 0, 16, {2}, 0, "d", "f", 0, 0}, {FUSE_SYMLINK, 1, 0, 0, {0}, 0, "s", "../beside", 0, 0},
         {FUSE_RENAME2, 1, 0, 16, {1, 0, 0, 0, 0, 0, 0, 0}, 0, "s", "e", 0, 0},
         {FUSE_LOOKUP, 2, 0, 0, {0}, 0, "y", NULL, 0, 0},
         {FUSE_MKDIR, 3, 0, 8, {0xed, 1}, 0, "z", NULL, 0, 0}},
        {{FUSE_OPENDIR, 1, 0, 8, {0}, 0, NULL, NULL, 0, 0},
         {FUSE_READDIRPLUS, 1, 0x40, 40, {0, 16}, 16, NULL, NULL, 0, 0},
         {FUSE_READDIR, 1, 0x40, 40, {0, 16}, 16, NULL, NULL, 0, 0},
         {FUSE_SETXATTR, 1, 0, 8, {1}, 0, "user.x", "v", 0, 0},
         {FUSE_LISTXATTR, 1, 0, 8, {100}, 0, NULL, NULL, 0, 0}, {FUSE_LINK, 1, 0, 8, {2}, 0, "n", NULL, 0, 0},
         {FUSE_MKNOD, 1, 0, 16, {0xb6, 0x21, 0, 0, 3, 1}, 0, "dev", NULL, 0, 0},
         {FUSE_STATFS, 1, 0, 0, {0}, 0, NULL, NULL, 0, 0}}};
    size_t at = 0;

    if (index >= ARRAY_SIZE(seeds) || room < 4096)
        return 0;
    for (unsigned i = 0; i < 8 && seeds[index][i].opcode; i++) {
        const struct seed *s = &seeds[index][i];
        uint8_t *body = ret + at + 4;
        size_t len = s->fixed;

        memset(body, 0, 256);
        if (s->fixed)
            memcpy(body + s->offset, s->bytes, MIN((size_t)8, (size_t)(s->fixed - s->offset)));
        if (s->value)
            body[s->at] = s->value;
        for (unsigned k = 0; k < 2; k++) {
            const char *text = k ? s->second : s->first;

            if (text) {
                strcpy((char *)body + len, text);
                len += strlen(text) + 1;
            }
        }
        ret[at] = s->opcode;
        ret[at + 1] = s->node;
        ret[at + 2] = s->handle;
        ret[at + 3] = (uint8_t)len;
        at += 4 + len;
    }
    return at;
}
