/* SPDX-License-Identifier: MIT */
/* What the guest believes without asking, and that no lock is granted while it is wrong. Without threads a lock that
 * would have to wait is refused. */
#include <sys/file.h>
#include <time.h>

#include "base/clock.h"
#include "share_fixture.h"

static void open_without_threads(struct fx *f)
{
    struct share_options o = {.ownership = SHARE_MINE, .no_threads = true};

    fx_dir(f);
    fx_open_with(f, &o);
    ck_assert_int_eq(fx_init(f, FX_FLAGS | FUSE_AUTO_INVAL_DATA), 0);
    f->s->root[0]->tick_ns = 30 * (int64_t)NS_PER_MS; /* as most hosts have it, whichever we are on */
}

static int lock_all(struct fx *f, uint64_t fh, uint32_t type)
{
    return fx_lock(f, fh, 1, type, 0, INT64_MAX, 0);
}

/* A file that the guest has open and was told of: an old one, whatever the host's clock of files is like. */
static uint64_t known_file(struct fx *f, const char *name, uint64_t *ret_fh)
{
    uint64_t node;

    fx_host_write(f, name, "");
    fx_host_age(f, name);
    node = fx_lookup(f, 1, name);
    ck_assert_int_eq(fx_fopen(f, node, O_RDWR, ret_fh), 0);
    return node;
}

/* The host's clock of files ticks: what is written now has another time of change. */
static void host_changes(const struct fx *f, const char *name)
{
    struct stat before, now;

    ck_assert_int_eq(stat(fx_path(f, name), &before), 0);
    do {
        fx_host_write(f, name, "other");
        ck_assert_int_eq(stat(fx_path(f, name), &now), 0);
    } while (now.st_mtim.tv_sec == before.st_mtim.tv_sec && now.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
}

/* What the host's programs find there. */
static int host_finds(const struct fx *f, const char *name, off_t at)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    int fd = open(fx_path(f, name), O_RDWR);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fcntl(fd, F_OFD_GETLK, &l), 0);
    close(fd);
    return l.l_type;
}

static void time_passes(struct fx *f, uint64_t node)
{
    struct node *n = node_get(f->s, node);

    n->believed_ns = n->told_ns = n->older_ns = 1;
    node_put(f->s, n);
}

/* For how long an answer with attributes may be believed. */
static uint64_t seconds_of(struct fx *f, uint32_t opcode, uint64_t node, const void *args, size_t len, const char *name)
{
    ck_assert_int_eq(fx_ask(f, opcode, node, args, len, name, NULL), 0);
    if (opcode == FUSE_GETATTR || opcode == FUSE_SETATTR)
        return ((struct fuse_attr_out *)fx_answer(f))->attr_valid;
    if (opcode == FUSE_STATX)
        return ((struct fuse_statx_out *)fx_answer(f))->attr_valid;
    ck_assert_uint_eq(((struct fuse_entry_out *)fx_answer(f))->entry_valid, ((struct fuse_entry_out *)fx_answer(f))->attr_valid);
    return ((struct fuse_entry_out *)fx_answer(f))->attr_valid;
}

/* The longest of those of all entries of the directory that is open as fh. */
static uint64_t seconds_listed(struct fx *f, uint64_t fh)
{
    struct fuse_read_in in = {.fh = fh, .size = 4096};
    uint64_t longest = 0;

    ck_assert_int_eq(fx_ask(f, FUSE_READDIRPLUS, 1, &in, sizeof(in), NULL, NULL), 0);
    for (size_t at = 0; at < f->got;) {
        const struct fuse_direntplus *d = (const void *)((const uint8_t *)fx_answer(f) + at);

        longest = MAX(longest, d->entry_out.attr_valid);
        at += FUSE_DIRENTPLUS_SIZE(d);
    }
    return longest;
}

static uint64_t open_root(struct fx *f)
{
    struct fuse_open_in in = {0};

    ck_assert_int_eq(fx_ask(f, FUSE_OPENDIR, 1, &in, sizeof(in), NULL, NULL), 0);
    return ((struct fuse_open_out *)fx_answer(f))->fh;
}

START_TEST(of_a_file_that_was_locked_nothing_is_believed)
{
    struct fuse_create_in again = {.flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0644};
    uint64_t node, fh, root;
    struct fx f;

    open_without_threads(&f);
    node = known_file(&f, "a", &fh);
    root = open_root(&f);
    ck_assert_int_eq(lock_all(&f, fh, F_UNLCK), 0); /* as a close() does: that is no lock */
    for (uint64_t seconds = 1;; seconds--) {
        struct fuse_getattr_in get = {0};
        struct fuse_setattr_in set = {.valid = FATTR_MODE, .mode = 0600};
        struct fuse_statx_in statx = {0};
        struct fuse_link_in link = {.oldnodeid = node};

        ck_assert_uint_eq(seconds_of(&f, FUSE_LOOKUP, 1, NULL, 0, "a"), seconds);
        ck_assert_uint_eq(seconds_of(&f, FUSE_GETATTR, node, &get, sizeof(get), NULL), seconds);
        ck_assert_uint_eq(seconds_of(&f, FUSE_SETATTR, node, &set, sizeof(set), NULL), seconds);
        ck_assert_uint_eq(seconds_of(&f, FUSE_STATX, node, &statx, sizeof(statx), NULL), seconds);
        ck_assert_uint_eq(seconds_of(&f, FUSE_CREATE, 1, &again, sizeof(again), "a"), seconds);
        ck_assert_uint_eq(seconds_of(&f, FUSE_LINK, 1, &link, sizeof(link), seconds ? "b" : "c"), seconds);
        ck_assert_uint_eq(seconds_listed(&f, root), seconds);
        if (!seconds)
            break;
        ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), 0);
    }
    fx_close(&f);
}
END_TEST

START_TEST(a_lock_is_granted_when_what_the_guest_believes_is_so)
{
    const uint32_t flags[] = {0, FUSE_LK_FLOCK};
    uint64_t node, fh;
    struct fx f;
    int fd;

    open_without_threads(&f);
    for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
        const char *name = i ? "flock" : "posix";

        node = known_file(&f, name, &fh);
        host_changes(&f, name);
        ck_assert_int_eq(fx_lock(&f, fh, 1, F_WRLCK, 0, 9, flags[i]), -EAGAIN);
        ck_assert_int_eq(host_finds(&f, name, 5), F_UNLCK); /* others are not kept off */
        fd = open(fx_path(&f, name), O_RDWR);
        ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
        close(fd);
        ck_assert_int_eq(fx_lock(&f, fh, 1, F_UNLCK, 0, 9, flags[i]), 0); /* to give up is always right */
        time_passes(&f, node);
        ck_assert_int_eq(fx_lock(&f, fh, 1, F_RDLCK, 0, 9, 0), 0);
        host_changes(&f, name); /* as it may where it is not locked: the guest asks before it reads that */
        ck_assert_int_eq(fx_lock(&f, fh, 1, F_RDLCK, 20, 29, 0), 0);
    }
    fx_close(&f);
}
END_TEST

/* Two of its processes have asked: the answer that is taken over last may be the first one. */
START_TEST(what_was_told_before_may_still_be_believed)
{
    struct fuse_attr attr;
    uint64_t node, fh;
    struct fx f;

    open_without_threads(&f);
    node = known_file(&f, "a", &fh);
    host_changes(&f, "a");
    ck_assert_int_eq(fx_getattr(&f, node, &attr), 0);
    ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), -EAGAIN);
    ck_assert_int_eq(fx_getattr(&f, node, &attr), 0); /* from now on it is told what it may not believe: */
    ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), -EAGAIN);
    time_passes(&f, node);
    ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), 0);
    fx_close(&f);
}
END_TEST

/* Long after the first lock: an answer that somebody has just got would hide the next one. */
START_TEST(answers_are_given_time_to_arrive)
{
    struct fuse_attr attr;
    uint64_t node, fh;
    struct fx f;

    open_without_threads(&f);
    node = known_file(&f, "a", &fh);
    ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), 0);
    time_passes(&f, node);
    for (unsigned i = 0; i < 3; i++) {
        struct node *n = node_get(f.s, node);

        ck_assert_int_eq(lock_all(&f, fh, F_UNLCK), 0);
        ck_assert_int_eq(fx_getattr(&f, node, &attr), 0);
        host_changes(&f, "a");
        n->told_ns = clock_mono_ns() + NS_PER_SEC; /* just now, however slow we are */
        ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), -EAGAIN);
        ck_assert_int_eq(fx_getattr(&f, node, &attr), 0); /* also when the next one was told, too */
        ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), -EAGAIN);
        node_put(f.s, n);
        time_passes(&f, node);
        ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), 0);
    }
    fx_close(&f);
}
END_TEST

/* The host writes without a pause, and the guest looks without a pause. */
START_TEST(no_lock_waits_for_ever_for_answers_to_arrive)
{
    struct fuse_attr attr;
    uint64_t node, fh, since;
    struct node *n;
    struct fx f;

    open_without_threads(&f);
    node = known_file(&f, "a", &fh);
    ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), 0);
    time_passes(&f, node);
    ck_assert_int_eq(lock_all(&f, fh, F_UNLCK), 0);
    n = node_get(f.s, node);
    since = clock_mono_ns();
    do { /* the test has a limit */
        ck_assert_int_eq(fx_getattr(&f, node, &attr), 0);
        host_changes(&f, "a");
        n->told_ns = clock_mono_ns() + NS_PER_SEC; /* just now, however slow we are */
    } while (lock_all(&f, fh, F_WRLCK) == -EAGAIN);
    ck_assert_uint_ge(clock_mono_ns() - since, NS_PER_SEC);
    ck_assert_int_eq(host_finds(&f, "a", 9), F_WRLCK);
    node_put(f.s, n);
    fx_close(&f);
}
END_TEST

START_TEST(what_the_host_has_removed_is_not_opened)
{
    struct fuse_open_in in = {.flags = O_RDONLY}, cut = {.flags = O_WRONLY | O_TRUNC};
    struct fuse_setattr_in size = {.valid = FATTR_SIZE};
    uint64_t node, fh, second;
    struct stat st;
    struct fx f;
    int fd;

    open_without_threads(&f);
    node = known_file(&f, "a", &fh);
    fx_host_write(&f, "a", "text");
    fd = open(fx_path(&f, "a"), O_RDONLY); /* the host's program goes on to read it */
    ck_assert_int_eq(fx_fopen(&f, node, O_RDONLY, &second), 0); /* so there is a descriptor */
    ck_assert_int_eq(fx_release(&f, fh), 0);
    ck_assert_int_eq(fx_release(&f, second), 0);
    ck_assert_int_eq(unlink(fx_path(&f, "a")), 0);
    ck_assert_int_eq(fx_ask(&f, FUSE_OPEN, node, &in, sizeof(in), NULL, NULL), -ESTALE);
    ck_assert_int_eq(fx_ask(&f, FUSE_OPEN, node, &cut, sizeof(cut), NULL, NULL), -ESTALE);
    ck_assert_int_eq(fx_ask(&f, FUSE_SETATTR, node, &size, sizeof(size), NULL, NULL), -ESTALE); /* truncate() */
    ck_assert(!fstat(fd, &st) && st.st_size == 4);
    close(fd);

    node = known_file(&f, "b", &fh); /* the guest's own, by /proc/self/fd */
    ck_assert_int_eq(fx_ask(&f, FUSE_UNLINK, 1, NULL, 0, "b", NULL), 0);
    ck_assert_int_eq(fx_fopen(&f, node, O_RDONLY, &second), 0);
    fx_close(&f);
}
END_TEST

START_TEST(what_the_guest_wrote_itself_it_asks_for)
{
    uint64_t node, fh, second;
    struct fuse_write_in w;
    struct fx f;

    open_without_threads(&f);
    known_file(&f, "written", &fh);
    host_changes(&f, "written");
    ck_assert_int_eq(fx_write(&f, fh, 0, "x", 0), 0);
    ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), 0);

    node = known_file(&f, "cut", &fh);
    host_changes(&f, "cut");
    ck_assert_int_eq(fx_fopen(&f, node, O_RDWR | O_TRUNC, &second), 0);
    ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), 0);

    known_file(&f, "mapped", &fh);
    host_changes(&f, "mapped");
    ck_assert_int_eq(fx_write(&f, fh, 0, "x", FUSE_WRITE_CACHE), 0); /* by a kernel that does not ask then */
    ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), -EAGAIN);
    w = (struct fuse_write_in){.fh = fh};
    ck_assert_int_eq(fx_ask(&f, FUSE_WRITE, 0, &w, sizeof(w), "", NULL), 0); /* nothing */
    ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), -EAGAIN);
    fx_close(&f);
}
END_TEST

START_TEST(who_is_too_early_keeps_the_locks_that_it_had)
{
    uint64_t fh;
    struct fx f;

    open_without_threads(&f);
    known_file(&f, "a", &fh);
    ck_assert_int_eq(fx_lock(&f, fh, 1, F_RDLCK, 10, 19, 0), 0);
    ck_assert_int_eq(fx_lock(&f, fh, 1, F_WRLCK, 40, 49, 0), 0);
    host_changes(&f, "a");
    ck_assert_int_eq(fx_lock(&f, fh, 1, F_WRLCK, 5, 60, 0), -EAGAIN);
    ck_assert_int_eq(host_finds(&f, "a", 5), F_UNLCK);
    ck_assert_int_eq(host_finds(&f, "a", 10), F_RDLCK);
    ck_assert_int_eq(host_finds(&f, "a", 19), F_RDLCK);
    ck_assert_int_eq(host_finds(&f, "a", 20), F_UNLCK);
    ck_assert_int_eq(host_finds(&f, "a", 40), F_WRLCK);
    ck_assert_int_eq(host_finds(&f, "a", 49), F_WRLCK);
    ck_assert_int_eq(host_finds(&f, "a", 60), F_UNLCK);
    ck_assert_uint_eq(f.s->lock_count, 2);
    ck_assert_int_eq(fx_lock(&f, fh, 1, F_RDLCK, 40, 60, 0), 0); /* what gives up something is not taken back */
    ck_assert_int_eq(host_finds(&f, "a", 60), F_RDLCK);
    fx_close(&f);
}
END_TEST

START_TEST(a_pause_is_no_time_for_the_guest)
{
    uint64_t node, fh;
    struct fx f;

    open_without_threads(&f);
    node = known_file(&f, "a", &fh);
    host_changes(&f, "a");
    time_passes(&f, node);
    share_resumes(f.s);
    ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), -EAGAIN);
    fx_close(&f);
}
END_TEST

START_TEST(only_who_shares_a_directory_waits)
{
    const enum share_caching modes[] = {SHARE_CACHE_NEVER, SHARE_CACHE_ALWAYS};
    struct fuse_getattr_in get = {0};

    for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
        struct share_options o = {.ownership = SHARE_MINE, .no_threads = true, .caching = modes[i]};
        uint64_t node, fh;
        struct fx f;

        fx_dir(&f);
        fx_open_with(&f, &o);
        node = known_file(&f, "a", &fh);
        host_changes(&f, "a");
        ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), 0);
        ck_assert_uint_eq(seconds_of(&f, FUSE_GETATTR, node, &get, sizeof(get), NULL), i ? 86400 : 0);
        fx_close(&f);
    }
}
END_TEST

/* The guest's kernel takes over what a change's answer says without a look at its pages. */
START_TEST(a_change_of_attributes_does_not_hide_what_the_host_wrote)
{
    struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = 0600};
    uint64_t node, fh;
    struct stat st;
    struct fx f;

    open_without_threads(&f);
    node = known_file(&f, "a", &fh);
    for (unsigned turn = 0; turn < 3; turn++) {
        const struct fuse_attr_out *out;
        struct fuse_attr attr;

        if (turn)
            host_changes(&f, "a");
        ck_assert_int_eq(fx_ask(&f, FUSE_SETATTR, node, &in, sizeof(in), NULL, NULL), 0);
        out = fx_answer(&f);
        ck_assert_int_eq(stat(fx_path(&f, "a"), &st), 0);
        ck_assert_uint_eq(out->attr_valid, turn ? 0 : 1);
        ck_assert((uint32_t)st.st_mtim.tv_nsec != out->attr.mtimensec || !turn);
        ck_assert_int_eq(fx_getattr(&f, node, &attr), 0);
        ck_assert_uint_eq((uint32_t)st.st_mtim.tv_nsec, attr.mtimensec);
    }
    fx_close(&f);
}
END_TEST

/* As a host does whose clock of files stands. */
static void host_changes_in_tick(const struct fx *f, const char *name)
{
    struct timespec t[2];
    struct stat st;

    ck_assert_int_eq(stat(fx_path(f, name), &st), 0);
    fx_host_write(f, name, "same!");
    t[0] = st.st_atim;
    t[1] = st.st_mtim;
    ck_assert_int_eq(utimensat(AT_FDCWD, fx_path(f, name), t, 0), 0);
}

static uint32_t told_earlier(struct fx *f, const char *name, uint64_t node)
{
    struct fuse_attr attr;
    struct stat st;

    ck_assert_int_eq(fx_getattr(f, node, &attr), 0);
    ck_assert_int_eq(stat(fx_path(f, name), &st), 0);
    return (uint32_t)((int64_t)st.st_mtim.tv_sec - (int64_t)attr.mtime) * (uint32_t)NS_PER_SEC + (uint32_t)st.st_mtim.tv_nsec -
           attr.mtimensec;
}

START_TEST(changes_within_a_tick_are_told_apart_where_a_lock_is_between_them)
{
    const int64_t tick = INT64_C(3600000000000); /* it is one all the time */
    struct fuse_getattr_in get = {0};
    uint64_t node, fh;
    struct fx f;

    open_without_threads(&f);
    node = known_file(&f, "a", &fh);
    f.s->root[0]->tick_ns = tick;
    for (uint32_t n = 0; n < 3; n++) {
        host_changes(&f, "a");
        for (uint32_t k = 0; k < 5; k++) {
            ck_assert_uint_eq(told_earlier(&f, "a", node), k);
            ck_assert_uint_eq(seconds_of(&f, FUSE_GETATTR, node, &get, sizeof(get), NULL), 0);
            host_changes_in_tick(&f, "a");
            time_passes(&f, node);
            if (k == 3) { /* the tick is over; told of again, too late to see a change */
                f.s->root[0]->tick_ns = 0;
                ck_assert_uint_eq(told_earlier(&f, "a", node), k);
                f.s->root[0]->tick_ns = tick;
            }
            ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), 0);
            ck_assert_int_eq(lock_all(&f, fh, F_UNLCK), 0);
            ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), 0); /* it was not told of it yet: once is enough */
        }
    }
    fx_close(&f);
}
END_TEST

START_TEST(times_of_hosts_without_ticks_are_told_as_they_are)
{
    struct timespec now[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
    uint64_t node, fh;
    struct fx f;

    ck_assert_int_gt(belief_tick_ns(0x6969), 0); /* NFS, and whatever is not known to have none */
    open_without_threads(&f);
    node = known_file(&f, "a", &fh);
    f.s->root[0]->tick_ns = 0;
    ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), 0);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(told_earlier(&f, "a", node), 0);
        ck_assert_int_eq(lock_all(&f, fh, F_RDLCK), 0);
    }
    now[1].tv_sec = time(NULL); /* its file system may have seconds only */
    ck_assert_int_eq(utimensat(AT_FDCWD, fx_path(&f, "a"), now, 0), 0);
    ck_assert_uint_eq(told_earlier(&f, "a", node), 0);
    time_passes(&f, node);
    ck_assert_int_eq(lock_all(&f, fh, F_RDLCK), 0);
    ck_assert_uint_eq(told_earlier(&f, "a", node), 1);
    fx_close(&f);
}
END_TEST

/* A thread looked at the file, and tells what it saw when others have written and a lock has been granted. */
START_TEST(what_was_seen_before_a_lock_was_granted_is_not_told_after)
{
    struct statx seen;
    uint64_t node, fh;
    struct node *n;
    struct fx f;

    open_without_threads(&f);
    node = known_file(&f, "a", &fh);
    ck_assert_int_eq(lock_all(&f, fh, F_RDLCK), 0);
    ck_assert_int_eq(lock_all(&f, fh, F_UNLCK), 0);
    n = node_get(f.s, node);
    ck_assert_int_eq(statx(AT_FDCWD, fx_path(&f, "a"), 0, STATX_BASIC_STATS, &seen), 0);
    host_changes(&f, "a");
    time_passes(&f, node);
    ck_assert_int_eq(lock_all(&f, fh, F_WRLCK), 0);
    ck_assert_uint_eq(belief_told(f.s, n, &seen), 0);
    ck_assert_uint_eq(seen.stx_size, strlen("other"));
    ck_assert_uint_eq(told_earlier(&f, "a", node), 0);
    node_put(f.s, n);
    fx_close(&f);
}
END_TEST

START_TEST(a_restored_guest_is_told_another_time_of_what_may_have_changed_in_a_tick)
{
    uint64_t node, fh;
    struct node *n;
    uint32_t saved;
    struct fx f;

    open_without_threads(&f);
    node = known_file(&f, "a", &fh);
    f.s->root[0]->tick_ns = INT64_C(3600000000000);
    n = node_get(f.s, node);
    ck_assert_uint_eq(belief_saved_locked(f.s, n) & BELIEF_IN_TICK, 0); /* it is old */
    host_changes(&f, "a");
    for (uint32_t k = 0; k < 3; k++) {
        ck_assert_uint_eq(told_earlier(&f, "a", node), k);
        saved = belief_saved_locked(f.s, n);
        ck_assert_uint_ne(saved & BELIEF_IN_TICK, 0);
        host_changes_in_tick(&f, "a");
        *n = (struct node){.id = n->id, .key = n->key, .has_birth = n->has_birth, .type = n->type, .root = n->root,
                           .next_by_key = n->next_by_key, .next_by_id = n->next_by_id, .lookups = n->lookups,
                           .refs = n->refs, .parent = n->parent, .name = n->name, .fd = n->fd, .lru = n->lru,
                           .handles = n->handles};
        belief_restored_locked(n, saved);
    }
    f.s->root[0]->tick_ns = 0;
    host_changes(&f, "a");
    ck_assert_uint_eq(told_earlier(&f, "a", node), 3); /* the first time that it hears of it: any other is as good */
    host_changes(&f, "a");
    ck_assert_uint_eq(told_earlier(&f, "a", node), 0);
    node_put(f.s, n);
    fx_close(&f);
}
END_TEST

/* For how long the guest may believe that there is that name, or, with -ENOENT, that there is none: not at all. */
static int64_t believes_in(struct fx *f, uint64_t folder, const char *name)
{
    int r = fx_ask(f, FUSE_LOOKUP, folder, NULL, 0, name, NULL);

    return r < 0 ? r : (int64_t)((struct fuse_entry_out *)fx_answer(f))->entry_valid;
}

START_TEST(beside_a_file_that_was_locked_no_name_is_believed)
{
    uint64_t dir, other, node, fh;
    struct fx f;

    open_without_threads(&f);
    ck_assert_int_eq(fx_mkdir(&f, 1, "dir", 0755, &dir), 0);
    ck_assert_int_eq(fx_mkdir(&f, 1, "other", 0755, &other), 0);
    ck_assert_int_eq(fx_create(&f, dir, "base", O_RDWR, 0644, &node, &fh), 0);
    fx_host_write(&f, "dir/beside", "");
    ck_assert_int_eq(believes_in(&f, dir, "beside"), 1);
    ck_assert_int_eq(believes_in(&f, dir, "journal"), 1); /* that there is none */
    ck_assert_int_eq(lock_all(&f, fh, F_UNLCK), 0);       /* as a close() does */
    ck_assert_int_eq(believes_in(&f, dir, "journal"), 1);
    ck_assert_int_eq(lock_all(&f, fh, F_RDLCK), 0);
    ck_assert_int_eq(believes_in(&f, dir, "beside"), 0);
    ck_assert_int_eq(believes_in(&f, dir, "journal"), -ENOENT);
    fx_host_write(&f, "dir/journal", "");
    ck_assert_int_eq(believes_in(&f, dir, "journal"), 0);
    ck_assert_int_eq(believes_in(&f, other, "journal"), 1);
    ck_assert_int_eq(believes_in(&f, 1, "dir"), 1);
    fx_close(&f);
}
END_TEST

/* ---- With threads --------------------------------------------------------------------------- */

struct asked {
    struct share_request r;
    struct { struct fuse_in_header h; struct fuse_lk_in in; } q;
    struct fuse_out_header answer;
    struct iovec out, in;
    uint64_t began_ns;
    _Atomic uint64_t took_ns; /* 0: it is not done */
};

static void on_done(struct share_request *r, size_t written)
{
    struct asked *a = container_of(r, struct asked, r);

    ck_assert_uint_eq(written, sizeof(a->answer));
    a->took_ns = clock_mono_ns() - a->began_ns;
}

static void ask_with(struct fx *f, struct asked *a, uint32_t opcode, uint64_t fh, uint32_t flags,
                     bool (*may_wait)(struct share_request *r))
{
    *a = (struct asked){.q = {{.opcode = opcode, .unique = ++f->unique, .len = sizeof(a->q)},
                              {.fh = fh, .owner = 1, .lk = {.type = F_WRLCK, .end = 9}, .lk_flags = flags}}};
    a->out = (struct iovec){&a->q, sizeof(a->q)};
    a->in = (struct iovec){&a->answer, sizeof(a->answer)};
    a->r = (struct share_request){.out = &a->out, .in = &a->in, .out_count = 1, .in_count = 1, .done = on_done,
                                  .may_wait = may_wait};
    a->began_ns = clock_mono_ns();
    share_submit(f->s, &a->r);
}

static void ask(struct fx *f, struct asked *a, uint32_t opcode, uint64_t fh, uint32_t flags)
{
    ask_with(f, a, opcode, fh, flags, NULL);
}

static int end_of(struct asked *a)
{
    while (!a->took_ns) /* the test has a limit */
        usleep(1000);
    return a->answer.error;
}

START_TEST(who_is_too_early_waits_until_the_guest_asks_again)
{
    static const struct { const char *name; uint32_t opcode, flags; } ways[] = {
        {"a", FUSE_SETLK, 0}, {"b", FUSE_SETLKW, 0}, {"c", FUSE_SETLK, FUSE_LK_FLOCK}, {"d", FUSE_SETLKW, FUSE_LK_FLOCK},
        {"taken", FUSE_SETLK, FUSE_LK_FLOCK}};
    struct asked a[ARRAY_SIZE(ways)];
    uint64_t fh, told_ns[ARRAY_SIZE(ways)];
    struct fx f;
    int fd;

    fx_open(&f);
    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
        told_ns[i] = clock_mono_ns();
        known_file(&f, ways[i].name, &fh);
        host_changes(&f, ways[i].name);
        ask(&f, &a[i], ways[i].opcode, fh, ways[i].flags);
    }
    fd = open(fx_path(&f, "taken"), O_RDWR);
    while (flock(fd, LOCK_EX | LOCK_NB) < 0)
        usleep(100); /* it has it for no longer than a look takes */
    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
        bool taken = !strcmp(ways[i].name, "taken"); /* maybe before it was asked for at all */

        ck_assert_int_eq(end_of(&a[i]), taken ? -EAGAIN : 0);
        ck_assert(taken || a[i].began_ns + a[i].took_ns >= told_ns[i] + NS_PER_SEC);
    }
    ck_assert_int_eq(host_finds(&f, "a", 9), F_WRLCK);
    ck_assert_int_eq(host_finds(&f, "b", 9), F_WRLCK);
    close(fd);
    fx_close(&f);
}
END_TEST

static bool may_not_wait(struct share_request *r)
{
    struct asked *a = container_of(r, struct asked, r);

    a->answer.error = -ECANCELED;
    a->took_ns = clock_mono_ns() - a->began_ns;
    return false;
}

START_TEST(who_is_too_early_is_asked_like_others)
{
    struct asked a;
    uint64_t fh;
    struct fx f;

    fx_open(&f);
    known_file(&f, "a", &fh);
    host_changes(&f, "a");
    ask_with(&f, &a, FUSE_SETLK, fh, 0, may_not_wait);
    ck_assert_int_eq(end_of(&a), -ECANCELED);
    ck_assert_int_eq(host_finds(&f, "a", 9), F_UNLCK);
    fx_close(&f);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, of_a_file_that_was_locked_nothing_is_believed);
    UNIT_TEST(s, a_lock_is_granted_when_what_the_guest_believes_is_so);
    UNIT_TEST(s, what_was_told_before_may_still_be_believed);
    UNIT_TEST(s, answers_are_given_time_to_arrive);
    UNIT_TEST(s, no_lock_waits_for_ever_for_answers_to_arrive);
    UNIT_TEST(s, what_the_host_has_removed_is_not_opened);
    UNIT_TEST(s, what_the_guest_wrote_itself_it_asks_for);
    UNIT_TEST(s, who_is_too_early_keeps_the_locks_that_it_had);
    UNIT_TEST(s, a_pause_is_no_time_for_the_guest);
    UNIT_TEST(s, only_who_shares_a_directory_waits);
    UNIT_TEST(s, a_change_of_attributes_does_not_hide_what_the_host_wrote);
    UNIT_TEST(s, changes_within_a_tick_are_told_apart_where_a_lock_is_between_them);
    UNIT_TEST(s, times_of_hosts_without_ticks_are_told_as_they_are);
    UNIT_TEST(s, what_was_seen_before_a_lock_was_granted_is_not_told_after);
    UNIT_TEST(s, a_restored_guest_is_told_another_time_of_what_may_have_changed_in_a_tick);
    UNIT_TEST(s, beside_a_file_that_was_locked_no_name_is_believed);
    UNIT_TEST(s, who_is_too_early_waits_until_the_guest_asks_again);
    UNIT_TEST(s, who_is_too_early_is_asked_like_others);
}

UNIT_TEST_MAIN("share_belief", add_tests)
