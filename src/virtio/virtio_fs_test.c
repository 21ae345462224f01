/* SPDX-License-Identifier: MIT */
#include "virtio/virtio_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/virtio_fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "fake_virtio_driver.h"
#include "mem/mem_window.h"
#include "unit.h"

struct rig {
    struct fv v;
    struct share *share;
    char dir[64];
};

/* Of r->dir. */
static void rig_open(struct rig *r, bool no_threads)
{
    struct share_directory d = {.path = r->dir};
    struct share_options o = {.directory = &d, .count = 1, .no_threads = no_threads};
    struct virtio_fs_options fs = {.tag = "the share"};

    ck_assert_int_eq(share_open(&o, &r->share, NULL), 0);
    fs.share = r->share;
    fv_create(&r->v, &virtio_fs_ops, &fs);
}

static void rig_create(struct rig *r, bool no_threads)
{
    strcpy(r->dir, "/tmp/vz-fs-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(r->dir));
    rig_open(r, no_threads);
}

static void rig_destroy(struct rig *r)
{
    fv_destroy(&r->v);
    share_close(r->share);
    rmdir(r->dir);
}

/* Ask by queue index, and wait. Returns the answer's header, with its body behind it. */
static struct fuse_out_header *ask(struct rig *r, unsigned index, uint32_t opcode, uint64_t node,
                                   const void *args, uint32_t len)
{
    struct fuse_in_header h = {.opcode = opcode, .nodeid = node, .unique = 5,
                               .len = (uint32_t)sizeof(h) + len};
    struct fv_buf buf[3] = {{fv_alloc(&r->v, sizeof(h)), sizeof(h), false},
                            {fv_alloc(&r->v, len + 1), len, false},
                            {fv_alloc(&r->v, 512), 512, true}};
    struct fuse_out_header *out = fv_at(&r->v, buf[2].gpa);
    struct vring_used_elem e;

    memcpy(fv_at(&r->v, buf[0].gpa), &h, sizeof(h));
    if (len)
        memcpy(fv_at(&r->v, buf[1].gpa), args, len);
    fv_add(&r->v, index, buf, 3);
    fv_kick(&r->v, index);
    for (unsigned i = 0; !fv_used(&r->v, index, &e); i++) {
        ck_assert_uint_lt(i, 5000);
        usleep(1000);
        fv_turn(&r->v);
    }
    ck_assert_uint_eq(e.len, out->len); /* for errors, too */
    ck_assert_uint_eq(out->unique, 5);
    return out;
}

static void mount_it(struct rig *r)
{
    struct fuse_init_in in = {.major = 7, .minor = 38};

    ck_assert_int_eq(ask(r, 1, FUSE_INIT, 0, &in, sizeof(in))->error, 0);
}

START_TEST(the_tag_and_the_queues_are_told)
{
    struct virtio_fs_config c;
    static struct rig r;

    rig_create(&r, true);
    for (unsigned i = 0; i < sizeof(c); i += 4)
        *(uint32_t *)((uint8_t *)&c + i) = (uint32_t)fake_read(&r.v.m, FV_CONFIG + i, 4);
    ck_assert_str_eq((char *)c.tag, "the share");
    ck_assert_uint_eq(c.num_request_queues, 1);
    rig_destroy(&r);
}
END_TEST

START_TEST(requests_are_served_by_threads)
{
    struct fuse_getattr_in in = {0};
    static struct rig r;

    rig_create(&r, false);
    fv_start(&r.v, 0, 16);
    ck_assert_int_eq(ask(&r, 1, FUSE_GETATTR, 1, &in, sizeof(in))->error, -EIO); /* not mounted */
    mount_it(&r);
    for (unsigned i = 0; i < 50; i++) {
        struct fuse_out_header *out = ask(&r, 1, FUSE_GETATTR, 1, &in, sizeof(in));

        ck_assert_int_eq(out->error, 0);
        ck_assert_uint_eq(out->len, sizeof(*out) + sizeof(struct fuse_attr_out));
    }
    rig_destroy(&r);
}
END_TEST

START_TEST(a_reset_ends_the_session)
{
    struct fuse_getattr_in in = {0};
    static struct rig r;

    rig_create(&r, true);
    fv_start(&r.v, 0, 16);
    mount_it(&r);
    fv_start(&r.v, 0, 16);
    ck_assert_int_eq(ask(&r, 1, FUSE_GETATTR, 1, &in, sizeof(in))->error, -EIO);
    rig_destroy(&r);
}
END_TEST

START_TEST(a_hostile_driver_breaks_only_its_device)
{
    static struct rig r;

    rig_create(&r, true);
    fv_hostile(&r.v, BIT(VIRTIO_RING_F_INDIRECT_DESC));
    rig_destroy(&r);
}
END_TEST

START_TEST(a_restored_session_goes_on_and_its_files_are_stale)
{
    struct fuse_getattr_in in = {0};
    static struct rig a, b;

    rig_create(&a, true);
    rig_create(&b, true);
    fv_start(&a.v, 0, 16);
    mount_it(&a);
    fv_move(&a.v, &b.v);
    fv_turn(&b.v);
    ck_assert_int_eq(ask(&b, 1, FUSE_GETATTR, 1, &in, sizeof(in))->error, 0);
    ck_assert_int_eq(ask(&b, 1, FUSE_GETATTR, 2, &in, sizeof(in))->error, -ESTALE);
    rig_destroy(&a);
    rig_destroy(&b);
}
END_TEST

/* Requests that nobody waits for. */
static void add_requests(struct rig *r, unsigned count)
{
    const struct {
        struct fuse_in_header h;
        struct fuse_getattr_in in;
    } ask_for = {.h = {.opcode = FUSE_GETATTR, .nodeid = 1, .unique = 7, .len = sizeof(ask_for)}};

    for (unsigned i = 0; i < count; i++) {
        struct fv_buf buf[2] = {{fv_alloc(&r->v, sizeof(ask_for)), sizeof(ask_for), false},
                                {fv_alloc(&r->v, 256), 256, true}};

        memcpy(fv_at(&r->v, buf[0].gpa), &ask_for, sizeof(ask_for));
        fv_add(&r->v, 1, buf, 2);
    }
}

static void wait_for_used(struct rig *r, unsigned count)
{
    struct vring_used_elem e;

    for (unsigned i = 0; count; i++) {
        ck_assert_uint_lt(i, 5000);
        if (fv_used(&r->v, 1, &e)) {
            ck_assert_uint_eq(e.len, sizeof(struct fuse_out_header) + sizeof(struct fuse_attr_out));
            count--;
            continue;
        }
        usleep(1000);
        fv_turn(&r->v);
    }
}

static void set_flag(void *arg)
{
    *(volatile bool *)arg = true;
}

/* Whenever that is: nothing is lost, nothing is answered twice, and a quiet device stays so. */
START_TEST(pauses_with_requests_under_way)
{
    static struct rig r;

    rig_create(&r, false);
    fv_start(&r.v, BIT(VIRTIO_RING_F_EVENT_IDX), 64);
    mount_it(&r);
    for (unsigned round = 0; round < 200; round++) {
        volatile bool quiet = false;
        uint16_t was;

        add_requests(&r, 12);
        fake_write(&r.v.m, FV_NOTIFY + 4, 2, 1);
        virtio_quiesce(r.v.dev, set_flag, (void *)&quiet);
        for (unsigned i = 0; !quiet; i++) {
            ck_assert_uint_lt(i, 5000);
            usleep(10);
            fv_turn(&r.v);
        }
        was = __atomic_load_n(&r.v.q[1].us->idx, __ATOMIC_ACQUIRE);
        fake_write(&r.v.m, FV_NOTIFY + 4, 2, 1);
        usleep(100);
        ck_assert_uint_eq(__atomic_load_n(&r.v.q[1].us->idx, __ATOMIC_ACQUIRE), was);
        virtio_resume(r.v.dev);
        wait_for_used(&r, 12);
    }
    rig_destroy(&r);
}
END_TEST

START_TEST(resets_with_requests_under_way)
{
    static struct rig r;

    rig_create(&r, false);
    for (unsigned round = 0; round < 100; round++) {
        uint64_t alloc = r.v.alloc;

        fv_start(&r.v, 0, 64);
        mount_it(&r);
        add_requests(&r, 12);
        fake_write(&r.v.m, FV_NOTIFY + 4, 2, 1);
        if (round % 2)
            usleep(50);
        fv_wr(&r.v, VIRTIO_PCI_COMMON_STATUS, 1, 0);
        for (unsigned i = 0; fv_status(&r.v); i++) {
            ck_assert_uint_lt(i, 5000);
            usleep(10);
            fv_turn(&r.v);
        }
        r.v.alloc = alloc;
    }
    rig_destroy(&r);
}
END_TEST

struct kicker {
    struct rig *r;
    atomic_bool over;
};

static void *kick_on(void *arg)
{
    struct kicker *k = arg;

    while (!atomic_load(&k->over))
        fake_write(&k->r->v.m, FV_NOTIFY + 4, 2, 1);
    return NULL;
}

/* While the loop's thread has the share take up what it had: neither waits for the other. */
START_TEST(a_restored_guest_may_kick_at_once)
{
    struct fuse_getattr_in in = {0};
    static struct rig a, b;
    struct kicker k = {.r = &b};
    pthread_t thread;

    for (unsigned round = 0; round < 50; round++) {
        rig_create(&a, false);
        rig_create(&b, false);
        fv_start(&a.v, 0, 16);
        mount_it(&a);
        fv_move(&a.v, &b.v);
        atomic_store(&k.over, false);
        ck_assert_int_eq(pthread_create(&thread, NULL, kick_on, &k), 0);
        fv_turn(&b.v);
        atomic_store(&k.over, true);
        pthread_join(thread, NULL);
        ck_assert_int_eq(ask(&b, 1, FUSE_GETATTR, 1, &in, sizeof(in))->error, 0);
        rig_destroy(&a);
        rig_destroy(&b);
    }
}
END_TEST

/* ---- The DAX window ------------------------------------------------------------------------- */

#define WINDOW (4 * MEM_WINDOW_PIECE)

static void rig_create_with_window(struct rig *r, struct mem_window **ret)
{
    struct share_directory d = {.path = r->dir};
    struct share_options o = {.directory = &d, .count = 1, .no_threads = true};
    struct virtio_fs_options fs = {.tag = "the share"};

    strcpy(r->dir, "/tmp/vz-fs-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(r->dir));
    ck_assert_int_eq(share_open(&o, &r->share, NULL), 0);
    fv_create_machine(&r->v, 2 * WINDOW);
    ck_assert_int_eq(mem_window_create(r->v.mem, WINDOW, ret), 0);
    ck_assert_int_eq(mem_window_create(r->v.mem, WINDOW, ret), 0); /* the second one */
    ck_assert_int_eq(share_set_window(r->share, *ret), 0);
    fs.share = r->share;
    fv_create_device(&r->v, &virtio_fs_ops, &fs, &(struct virtio_shared_memory){(*ret)->gpa, (*ret)->len});
}

static uint32_t config_word(struct rig *r, unsigned reg)
{
    fake_out(&r->v.m, 0xcf8, 4, 0x80000000u | FV_DEVFN << 8 | (reg & 0xfc));
    return fake_in(&r->v.m, 0xcfc, 4);
}

/* The capability of that identifier whose first word's upper byte is kind; ANY_KIND: whatever that is. */
#define ANY_KIND 256u
static unsigned find_capability(struct rig *r, unsigned id, unsigned kind)
{
    unsigned at = config_word(r, PCI_CFG_CAPABILITIES) & 0xff;

    while (at && ((config_word(r, at) & 0xff) != id || (kind != ANY_KIND && config_word(r, at) >> 24 != kind)))
        at = config_word(r, at) >> 8 & 0xff;
    return at;
}

START_TEST(the_window_is_told_by_capabilities)
{
    struct mem_window *w;
    static struct rig r;
    unsigned at;

    rig_create(&r, true);
    ck_assert_uint_eq(find_capability(&r, 9, VIRTIO_PCI_CAP_SHARED_MEMORY_CFG), 0);
    ck_assert_uint_eq(find_capability(&r, 0x14, ANY_KIND), 0);
    rig_destroy(&r);
    rig_create_with_window(&r, &w);
    ck_assert_uint_eq(w->gpa, FV_WINDOWS + WINDOW);
    at = find_capability(&r, 9, VIRTIO_PCI_CAP_SHARED_MEMORY_CFG);
    ck_assert_uint_ne(at, 0);
    ck_assert_uint_eq(config_word(&r, at) >> 16 & 0xff, 24); /* its length */
    ck_assert_uint_eq(config_word(&r, at + 4) & 0xffff, 4);  /* BAR 4, shared memory 0 */
    ck_assert_uint_eq(config_word(&r, at + 8), 0);
    ck_assert_uint_eq(config_word(&r, at + 12), WINDOW);
    ck_assert_uint_eq(config_word(&r, at + 16), 0);
    ck_assert_uint_eq(config_word(&r, at + 20), 0);
    at = find_capability(&r, 0x14, ANY_KIND);
    ck_assert_uint_ne(at, 0);
    ck_assert_uint_eq(config_word(&r, at) >> 16, 1);             /* entries, */
    ck_assert_uint_eq(config_word(&r, at + 4), 0x80ff0144);      /* enabled, prefetchable, for BAR 4, of five words */
    ck_assert_uint_eq(config_word(&r, at + 8), (uint32_t)w->gpa | 2);
    ck_assert_uint_eq(config_word(&r, at + 12), ((WINDOW - 1) & ~3ull) | 2);
    ck_assert_uint_eq(config_word(&r, at + 16), w->gpa >> 32);
    ck_assert_uint_eq(config_word(&r, at + 20), 0);
    ck_assert_uint_eq(config_word(&r, PCI_CFG_BAR0 + 16), 0); /* and the BAR has nothing */
    rig_destroy(&r);
}
END_TEST

static uint64_t make_file(struct rig *r, const char *name, uint64_t *ret_fh)
{
    struct {
        struct fuse_create_in in;
        char name[8];
    } args = {.in = {.flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0644}};
    const struct fuse_out_header *out;
    struct fuse_entry_out entry;

    strcpy(args.name, name);
    out = ask(r, 1, FUSE_CREATE, 1, &args, (uint32_t)(sizeof(args.in) + strlen(name) + 1));
    ck_assert_int_eq(out->error, 0);
    memcpy(&entry, out + 1, sizeof(entry));
    memcpy(ret_fh, (const uint8_t *)(out + 1) + sizeof(entry), sizeof(*ret_fh));
    return entry.nodeid;
}

/* One file's bytes, in the window, are written to another by a request. */
START_TEST(requests_may_lie_in_the_window)
{
    struct fuse_init_in init = {.major = 7, .minor = 38, .flags = FUSE_MAP_ALIGNMENT};
    struct fuse_setupmapping_in map = {.fh = UINT64_MAX, .len = MEM_WINDOW_PIECE,
                                       .flags = FUSE_SETUPMAPPING_FLAG_WRITE};
    struct fuse_write_in in = {.size = 8};
    struct fuse_in_header h = {.opcode = FUSE_WRITE, .unique = 5, .len = sizeof(h) + sizeof(in) + 8};
    struct fuse_out_header *out;
    static struct rig r;
    struct mem_window *w;
    uint64_t first, first_fh;
    char path[128], text[16] = "";
    struct fv_buf buf[4];
    int fd;

    rig_create_with_window(&r, &w);
    fv_start(&r.v, 0, 16);
    ck_assert_int_eq(ask(&r, 1, FUSE_INIT, 0, &init, sizeof(init))->error, 0);
    first = make_file(&r, "first", &first_fh);
    make_file(&r, "second", &in.fh);
    snprintf(path, sizeof(path), "%s/first", r.dir);
    ck_assert_int_eq(truncate(path, 100), 0);
    ck_assert_int_eq(ask(&r, 1, FUSE_SETUPMAPPING, first, &map, sizeof(map))->error, 0);
    memcpy(w->host, "from 1st", 8);
    buf[0] = (struct fv_buf){fv_alloc(&r.v, sizeof(h)), sizeof(h), false};
    buf[1] = (struct fv_buf){fv_alloc(&r.v, sizeof(in)), sizeof(in), false};
    buf[2] = (struct fv_buf){w->gpa, 8, false};
    buf[3] = (struct fv_buf){fv_alloc(&r.v, 64), 64, true};
    memcpy(fv_at(&r.v, buf[0].gpa), &h, sizeof(h));
    memcpy(fv_at(&r.v, buf[1].gpa), &in, sizeof(in));
    fv_request(&r.v, 1, buf, 4);
    out = fv_at(&r.v, buf[3].gpa);
    ck_assert_int_eq(out->error, 0);
    ck_assert_int_eq(truncate(path, 0), 0); /* and what is gone is zeros, or an error */
    fv_request(&r.v, 1, buf, 4);
    ck_assert(!out->error || out->error == -EFAULT);
    unlink(path);
    snprintf(path, sizeof(path), "%s/second", r.dir);
    fd = open(path, O_RDONLY);
    ck_assert_int_eq(read(fd, text, sizeof(text)), 8);
    ck_assert(!memcmp(text, "from 1st", 8) || !memcmp(text, "\0\0\0\0\0\0\0", 8));
    close(fd);
    unlink(path);
    fv_start(&r.v, 0, 16); /* a reset */
    ck_assert_int_eq(w->host[0], 0);
    ck_assert_ptr_null(w->piece[0].file);
    rig_destroy(&r);
}
END_TEST

/* ---- Who waits for a lock ------------------------------------------------------------------- */

static uint64_t open_file(struct rig *r, const char *name)
{
    const struct fuse_open_in in = {.flags = O_RDWR};
    const struct fuse_out_header *out = ask(r, 1, FUSE_LOOKUP, 1, name, (uint32_t)strlen(name) + 1);
    struct fuse_entry_out entry;
    struct fuse_open_out open;

    ck_assert_int_eq(out->error, 0);
    memcpy(&entry, out + 1, sizeof(entry));
    out = ask(r, 1, FUSE_OPEN, entry.nodeid, &in, sizeof(in));
    ck_assert_int_eq(out->error, 0);
    memcpy(&open, out + 1, sizeof(open));
    return open.fh;
}

static unsigned inflight(struct rig *r, unsigned index)
{
    unsigned count;

    virtio_lock_queues(r->v.dev);
    count = r->v.dev->queue[index].inflight;
    virtio_unlock_queues(r->v.dev);
    return count;
}

/* Ask for a lock of all of it, to wait for it as long as it takes, and see the share take that. Returns where its answer
 * will be. */
static uint64_t ask_for_lock_by(struct rig *r, unsigned index, uint64_t fh, uint32_t flags)
{
    const struct {
        struct fuse_in_header h;
        struct fuse_lk_in in;
    } ask_for = {.h = {.opcode = FUSE_SETLKW, .nodeid = 1, .unique = 7, .len = sizeof(ask_for)},
                 .in = {.fh = fh, .owner = 1, .lk = {.end = INT64_MAX, .type = F_WRLCK}, .lk_flags = flags}};
    struct fv_buf buf[2] = {{fv_alloc(&r->v, sizeof(ask_for)), sizeof(ask_for), false},
                            {fv_alloc(&r->v, 64), 64, true}};
    const unsigned were = inflight(r, index);

    memcpy(fv_at(&r->v, buf[0].gpa), &ask_for, sizeof(ask_for));
    fv_add(&r->v, index, buf, 2);
    fv_kick(&r->v, index);
    for (unsigned i = 0; inflight(r, index) == were; i++) {
        ck_assert_uint_lt(i, 10000);
        usleep(1000);
    }
    return buf[1].gpa;
}

static uint64_t ask_for_lock(struct rig *r, uint64_t fh, uint32_t flags)
{
    return ask_for_lock_by(r, 1, fh, flags);
}

static void granted_by(struct rig *r, unsigned index, unsigned count)
{
    struct vring_used_elem e;

    for (unsigned i = 0; count; i++) {
        ck_assert_uint_lt(i, 10000);
        if (fv_used(&r->v, index, &e)) {
            ck_assert_uint_eq(e.len, sizeof(struct fuse_out_header));
            count--;
            continue;
        }
        usleep(1000);
        fv_turn(&r->v);
    }
}

static void granted(struct rig *r, unsigned count)
{
    granted_by(r, 1, count);
}

static void comes_to_rest(struct rig *r)
{
    volatile bool quiet = false;

    virtio_quiesce(r->v.dev, set_flag, (void *)&quiet);
    for (unsigned i = 0; !quiet; i++) {
        ck_assert_uint_lt(i, 10000);
        usleep(1000);
        fv_turn(&r->v);
    }
}

static int make_locked(struct rig *r)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/file", r->dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(flock(fd, LOCK_EX), 0);
    ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &l), 0);
    return fd;
}

static void remove_file(struct rig *r)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/file", r->dir);
    ck_assert_int_eq(unlink(path), 0);
}

START_TEST(who_waits_for_a_lock_waits_on_after_pauses)
{
    static struct rig r;
    uint64_t fh, answer[2];
    int fd;

    rig_create(&r, false);
    fd = make_locked(&r);
    fv_start(&r.v, BIT(VIRTIO_RING_F_EVENT_IDX), 64);
    mount_it(&r);
    fh = open_file(&r, "file");
    answer[0] = ask_for_lock(&r, fh, 0);
    answer[1] = ask_for_lock(&r, fh, FUSE_LK_FLOCK);
    for (unsigned round = 0; round < 20; round++) {
        uint16_t was = r.v.q[1].us->idx;

        comes_to_rest(&r);
        ck_assert_uint_eq(r.v.q[1].us->idx, was);
        virtio_resume(r.v.dev);
        if (round % 2) /* else it may come to rest again before it has gone on */
            fv_turn(&r.v);
    }
    fv_turn(&r.v);
    ask(&r, 1, FUSE_STATFS, 1, NULL, 0); /* others are served meanwhile */
    close(fd);
    granted(&r, 2);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(((struct fuse_out_header *)fv_at(&r.v, answer[i]))->error, 0);
    remove_file(&r);
    rig_destroy(&r);
}
END_TEST

START_TEST(who_waits_for_a_lock_waits_on_in_a_restored_machine)
{
    static struct rig a, b;
    const struct state_blob *from;
    struct state_blob *to;
    uint64_t answer;
    int fd;

    rig_create(&a, false);
    strcpy(b.dir, a.dir);
    rig_open(&b, false);
    fd = make_locked(&a);
    fv_start(&a.v, 0, 64);
    mount_it(&a);
    answer = ask_for_lock(&a, open_file(&a, "file"), 0);
    comes_to_rest(&a);
    from = &share_files(a.share)->list;
    to = &share_files(b.share)->list;
    free(to->data);
    *to = (struct state_blob){malloc(from->len), from->len};
    memcpy(to->data, from->data, from->len);
    fv_move(&a.v, &b.v);
    rig_destroy(&a);
    fv_turn(&b.v);
    comes_to_rest(&b);
    virtio_resume(b.v.dev);
    fv_turn(&b.v);
    ck_assert_uint_eq(((struct fuse_out_header *)fv_at(&b.v, answer))->unique, 0);
    close(fd);
    granted(&b, 1);
    ck_assert_uint_eq(((struct fuse_out_header *)fv_at(&b.v, answer))->unique, 7);
    ck_assert_int_eq(((struct fuse_out_header *)fv_at(&b.v, answer))->error, 0);
    remove_file(&b);
    rig_destroy(&b);
}
END_TEST

START_TEST(a_reset_forgets_who_waits_for_a_lock)
{
    static struct rig r;
    int fd;

    rig_create(&r, false);
    fd = make_locked(&r);
    for (unsigned round = 0; round < 4; round++) {
        uint64_t answer;

        fv_start(&r.v, 0, 64);
        mount_it(&r);
        answer = ask_for_lock(&r, open_file(&r, "file"), 0);
        if (round % 2) {
            comes_to_rest(&r);
            virtio_resume(r.v.dev);
        }
        fv_wr(&r.v, VIRTIO_PCI_COMMON_STATUS, 1, 0);
        for (unsigned i = 0; fv_status(&r.v); i++) {
            ck_assert_uint_lt(i, 10000);
            usleep(1000);
            fv_turn(&r.v);
        }
        ck_assert_int_eq(((struct fuse_out_header *)fv_at(&r.v, answer))->unique, 0);
    }
    close(fd);
    remove_file(&r);
    rig_destroy(&r);
}
END_TEST

START_TEST(a_queue_that_is_reset_gives_up_who_waits_in_it)
{
    const unsigned queue_reset = VIRTIO_PCI_COMMON_Q_USEDHI + 6;
    static struct rig r;
    uint64_t fh, given_up, other;
    int fd;

    rig_create(&r, false);
    fd = make_locked(&r);
    fv_start(&r.v, BIT(VIRTIO_F_RING_RESET), 64);
    mount_it(&r);
    fh = open_file(&r, "file");
    given_up = ask_for_lock(&r, fh, 0);
    other = ask_for_lock_by(&r, 0, fh, FUSE_LK_FLOCK);
    fv_wr(&r.v, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
    fv_wr(&r.v, queue_reset, 2, 1);
    for (unsigned i = 0; fv_rd(&r.v, queue_reset, 2); i++) {
        ck_assert_uint_lt(i, 10000);
        usleep(1000);
        fv_turn(&r.v);
    }
    fv_queue_setup(&r.v, 1, 64);
    comes_to_rest(&r);
    virtio_resume(r.v.dev);
    fv_turn(&r.v);
    ck_assert_uint_eq(((struct fuse_out_header *)fv_at(&r.v, other))->unique, 0); /* it waits on */
    close(fd);
    granted_by(&r, 0, 1);
    ck_assert_int_eq(((struct fuse_out_header *)fv_at(&r.v, other))->error, 0);
    ck_assert_uint_eq(((struct fuse_out_header *)fv_at(&r.v, given_up))->unique, 0);
    ck_assert_uint_eq(r.v.q[1].us->idx, 0);
    remove_file(&r);
    rig_destroy(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, the_tag_and_the_queues_are_told);
    UNIT_TEST(s, requests_are_served_by_threads);
    UNIT_TEST(s, a_reset_ends_the_session);
    UNIT_TEST(s, a_hostile_driver_breaks_only_its_device);
    UNIT_TEST(s, a_restored_session_goes_on_and_its_files_are_stale);
    UNIT_TEST(s, pauses_with_requests_under_way);
    UNIT_TEST(s, resets_with_requests_under_way);
    UNIT_TEST(s, a_restored_guest_may_kick_at_once);
    UNIT_TEST(s, who_waits_for_a_lock_waits_on_after_pauses);
    UNIT_TEST(s, who_waits_for_a_lock_waits_on_in_a_restored_machine);
    UNIT_TEST(s, a_reset_forgets_who_waits_for_a_lock);
    UNIT_TEST(s, a_queue_that_is_reset_gives_up_who_waits_in_it);
    UNIT_TEST(s, the_window_is_told_by_capabilities);
    UNIT_TEST(s, requests_may_lie_in_the_window);
}

UNIT_TEST_MAIN("virtio-fs", add_tests)
