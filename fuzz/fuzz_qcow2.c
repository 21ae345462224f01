/* SPDX-License-Identifier: MIT */
/* qcow2 images: whatever is in the file, it is refused in a sentence or used, also written to, and
 * then no write of the guest's gets at the header, which could name a file of the host. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vz/error.h>

#include "base/be.h"
#include "block/disk_chain.h"
#include "fuzz.h"

#define FILE_MAX  (8 * MIB)
#define PIECE     8192u
#define HEAD_KEPT QCOW2_H_SIZE /* magic, version, backing file, clusters */

static uint8_t piece[PIECE];

/* Places where tables end, and the disk. */
static uint64_t place(uint64_t size, unsigned n)
{
    static const uint64_t places[] = {0, 65536, 1 * MIB, 3 * MIB + 512, 512 * MIB, UINT64_MAX};
    uint64_t at = places[n % ARRAY_SIZE(places)];

    return size <= PIECE ? 0 : (MIN(at, size - PIECE) & ~UINT64_C(511));
}

static void use(struct disk_chain *c)
{
    struct qcow2 *q = c->layer[0].q;
    uint64_t size = c->layer[0].size, len = MIN(size, (uint64_t)PIECE);
    struct iovec iov = {piece, len};

    for (unsigned n = 0; n < 6; n++) {
        (void)!layer_read(c->layer, place(size, n), len, &iov, 1);
        if (c->image[0].read_only)
            continue;
        memset(piece, 0x51, len);
        (void)!qcow2_write(q, place(size, n), len, &iov, 1);
        (void)!qcow2_zero(q, place(size, n + 1), len, n & 1);
        (void)!qcow2_discard(q, place(size, n + 2), len);
        (void)!qcow2_flush(q);
    }
}

static void run(int fd, bool read_only, enum qcow2_open_mode mode)
{
    const struct disk_chain_options o = {.fd = fd, .format = DISK_FORMAT_QCOW2,
                                         .read_only = read_only, .mode = mode,
                                         .sync = BLK_SYNC_NONE};
    struct vz_error err = {0};
    struct qcow2_check check = {0};
    uint8_t before[HEAD_KEPT], after[HEAD_KEPT];
    struct disk_chain *c;

    if (pread(fd, before, sizeof(before), 0) != sizeof(before))
        return;
    if (disk_chain_open(&o, &c, &err)) {
        if (!err.text[0] || !err.code)
            abort();
        return;
    }
    if (mode == QCOW2_INSPECT)
        (void)!qcow2_check(c->layer[0].q, !read_only, &check);
    use(c);
    (void)!disk_chain_close(c);
    if (pread(fd, after, sizeof(after), 0) != sizeof(after) || memcmp(before, after, sizeof(after)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        bool read_only;
        enum qcow2_open_mode mode;
    } ways[] = {{true, QCOW2_USE}, {false, QCOW2_USE}, {true, QCOW2_INSPECT}, {false, QCOW2_INSPECT}};

    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
        int fd = memfd_create("image", MFD_CLOEXEC);

        if (fd < 0 || write(fd, data, size) != (ssize_t)size)
            abort();
        run(fd, ways[i].read_only, ways[i].mode);
        close(fd);
    }
    return 0;
}

static const struct qcow2_create_options kinds[] = {
    {.size = 4 * MIB, .cluster_bits = 9},
    {.size = 4 * MIB, .cluster_bits = 12, .refcount_bits = 1},
    {.size = 4 * MIB, .cluster_bits = 12, .version = 2},
    {.size = GIB, .cluster_bits = 14, .extended_l2 = true},
    {.size = 4 * MIB, .cluster_bits = 12, .lazy_refcounts = true},
    {.size = 4 * MIB, .cluster_bits = 12, .backing = "/etc/passwd", .backing_format = "raw"},
};

/* The last ones are marked as not closed, and as having snapshots that they do not have. */
size_t fuzz_seed(unsigned index, uint8_t *ret, size_t max)
{
    struct disk_chain_options o = {.format = DISK_FORMAT_QCOW2, .sync = BLK_SYNC_NONE};
    unsigned kind = index % ARRAY_SIZE(kinds);
    struct disk_chain *c;
    ssize_t n;
    int fd;

    if (index >= ARRAY_SIZE(kinds) * 2)
        return 0;
    fd = memfd_create("seed", MFD_CLOEXEC);
    if (fd < 0 || qcow2_create(fd, &kinds[kind], NULL))
        abort();
    o.fd = fd;
    if (!disk_chain_open(&o, &c, NULL)) {
        use(c);
        (void)!disk_chain_close(c);
    }
    n = pread(fd, ret, max, 0);
    close(fd);
    if (index >= ARRAY_SIZE(kinds)) {
        ret[QCOW2_H_INCOMPATIBLE + 7] |= kinds[kind].version == 2 ? 0 : QCOW2_INCOMPAT_DIRTY;
        store_be32(ret + QCOW2_H_SNAPSHOTS, 2);
        store_be64(ret + QCOW2_H_SNAPSHOTS_OFFSET, 4096);
    }
    return n > 0 ? (size_t)n : 0;
}
