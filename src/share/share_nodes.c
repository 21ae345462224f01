/* SPDX-License-Identifier: MIT */
/* Nodes: what the guest knows of, by identity and by number, and their descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/error.h"
#include "share/share_impl.h"

/* ---- The host's answers --------------------------------------------------------------------- */

int stat_in(int fd, const char *name, struct statx *ret)
{
    return statx(fd, name, AT_SYMLINK_NOFOLLOW, STATX_WANTED, ret) < 0 ? -errno : 0;
}

int stat_fd(int fd, struct statx *ret)
{
    return statx(fd, "", AT_EMPTY_PATH, STATX_WANTED, ret) < 0 ? -errno : 0;
}

void proc_path(char ret[PROC_PATH_MAX], int fd, const char *name)
{
    snprintf(ret, PROC_PATH_MAX, "/proc/self/fd/%d%s%s", fd, name ? "/" : "", name ? name : "");
}

/* One component below a folder; what is found is not followed, whatever it is. */
static int open_path(int fd, const char *name)
{
    const struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
                                            RESOLVE_NO_SYMLINKS};
    int ret = (int)syscall(SYS_openat2, fd, name, &how, sizeof(how));

    /* A filter of system calls may not know openat2(); a single component needs no more than this. */
    if (ret < 0 && (errno == ENOSYS || errno == EPERM))
        ret = openat(fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return ret < 0 ? -errno : ret;
}

static struct node_key key_of(const struct root *root, const struct statx *st)
{
    struct node_key k = {.root = root, .mount = st->stx_mask & STATX_MNT_ID ? st->stx_mnt_id : 0,
                         .ino = st->stx_ino, .dev_major = st->stx_dev_major,
                         .dev_minor = st->stx_dev_minor};

    if (st->stx_mask & STATX_BTIME) {
        k.born_sec = st->stx_btime.tv_sec;
        k.born_nsec = st->stx_btime.tv_nsec;
    }
    return k;
}

static bool same_key(const struct node_key *a, const struct node_key *b)
{
    return a->ino == b->ino && a->root == b->root && a->mount == b->mount &&
           a->born_sec == b->born_sec && a->born_nsec == b->born_nsec &&
           a->dev_major == b->dev_major && a->dev_minor == b->dev_minor;
}

bool node_is(const struct node *n, const struct statx *st)
{
    struct node_key k = key_of(n->root, st);

    return same_key(&n->key, &k) && (st->stx_mode & S_IFMT) == n->type;
}

/* ---- The tables ----------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= UINT64_C(0x9e3779b97f4a7c15);
    return x ^ x >> 29;
}

static struct node **key_slot(struct share *s, const struct node_key *k)
{
    return &s->by_key[mix(k->ino + ((uint64_t)k->dev_minor << 40) + k->born_nsec) & (s->buckets - 1)];
}

static struct node **id_slot(struct share *s, uint64_t id)
{
    return &s->by_id[mix(id) & (s->buckets - 1)];
}

static void insert_locked(struct share *s, struct node *n)
{
    struct node **by_id = id_slot(s, n->id), **by_key = key_slot(s, &n->key);

    n->next_by_id = *by_id;
    *by_id = n;
    n->next_by_key = *by_key;
    *by_key = n;
}

static void cut(struct node **at, size_t link, const struct node *n)
{
    while (*at && *at != n)
        at = (struct node **)((char *)*at + link);
    if (*at)
        *at = *(struct node **)((char *)*at + link);
}

/* Twice the buckets; without memory the chains get longer. */
static void grow_locked(struct share *s)
{
    size_t old = s->buckets, count = old * 2;
    struct node **by_id = s->by_id, **keys, **ids;

    if (s->node_count < old || !(ids = calloc(count, sizeof(*ids))))
        return;
    keys = calloc(count, sizeof(*keys));
    if (!keys) {
        free(ids);
        return;
    }
    free(s->by_key);
    s->by_key = keys;
    s->by_id = ids;
    s->buckets = count;
    for (size_t i = 0; i < old; i++) {
        for (struct node *n = by_id[i], *next; n; n = next) {
            next = n->next_by_id;
            insert_locked(s, n);
        }
    }
    free(by_id);
}

static struct node *find_key_locked(struct share *s, const struct node_key *k)
{
    struct node *n = *key_slot(s, k);

    while (n && (n->stale || !same_key(&n->key, k)))
        n = n->next_by_key;
    return n;
}

struct node *node_find_locked(struct share *s, uint64_t id)
{
    struct node *n = *id_slot(s, id);

    while (n && n->id != id)
        n = n->next_by_id;
    return n;
}

/* ---- Descriptors ---------------------------------------------------------------------------- */

static void drop_fd_locked(struct share *s, struct node *n)
{
    if (n->fd < 0)
        return;
    if (!n->fd_users && !n->pinned)
        TAILQ_REMOVE(&s->lru, n, lru);
    close(n->fd);
    n->fd = -1;
    s->fd_count--;
}

static int take_fd_locked(struct share *s, struct node *n)
{
    if (!n->fd_users++ && !n->pinned)
        TAILQ_REMOVE(&s->lru, n, lru);
    return n->fd;
}

/* fd is the node's now, with one user; closed if it has one already. */
static int give_fd_locked(struct share *s, struct node *n, int fd)
{
    if (n->fd >= 0) {
        close(fd);
        return take_fd_locked(s, n);
    }
    while (s->fd_count >= s->fds_max && !TAILQ_EMPTY(&s->lru))
        drop_fd_locked(s, TAILQ_FIRST(&s->lru));
    n->fd = fd;
    n->fd_users = 1;
    s->fd_count++;
    return fd;
}

void node_fd_put(struct share *s, struct node *n)
{
    pthread_mutex_lock(&s->lock);
    if (!--n->fd_users && !n->pinned)
        TAILQ_INSERT_TAIL(&s->lru, n, lru);
    pthread_mutex_unlock(&s->lock);
}

void node_pin(struct share *s, struct node *n)
{
    int fd;

    if (node_fd(s, n, &fd) < 0)
        return; /* gone already: the guest finds that out */
    pthread_mutex_lock(&s->lock);
    n->pinned = true;
    n->fd_users--;
    pthread_mutex_unlock(&s->lock);
}

bool node_was_removed(struct share *s, const struct node *n, const struct statx *st)
{
    bool pinned;

    if (s->caching != SHARE_CACHE_AUTO || st->stx_nlink)
        return false;
    pthread_mutex_lock(&s->lock);
    pinned = n->pinned; /* as is what the guest removed itself, or never gave a name */
    pthread_mutex_unlock(&s->lock);
    return !pinned;
}

/* All that there may be are in use, or of files without a name. */
static bool is_full_locked(const struct share *s)
{
    return s->fd_count >= s->fds_max * 2 && TAILQ_EMPTY(&s->lru);
}

int node_adopt(struct share *s, struct node *n, int fd)
{
    bool full;

    pthread_mutex_lock(&s->lock);
    full = is_full_locked(s);
    if (full) {
        close(fd);
    } else {
        give_fd_locked(s, n, fd);
        n->pinned = true;
        n->fd_users--;
    }
    pthread_mutex_unlock(&s->lock);
    return full ? -ENFILE : 0;
}

/* A step of a way down: a reference, and its name, which may change. */
struct step {
    struct node *node;
    char *name;
};

static int open_step(struct share *s, int parent_fd, struct step *step, int *ret)
{
    struct statx st;
    int fd = open_path(parent_fd, step->name), r;

    if (fd < 0)
        return fd == -ENOENT || fd == -ENOTDIR ? -ESTALE : fd;
    r = stat_fd(fd, &st);
    if (!r && !node_is(step->node, &st))
        r = -ESTALE;
    if (r < 0) {
        close(fd);
        return r;
    }
    pthread_mutex_lock(&s->lock);
    if (is_full_locked(s)) {
        close(fd);
        r = -ENFILE;
    } else {
        *ret = give_fd_locked(s, step->node, fd);
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* The way from n up to the first node that is open, of which *ret_fd is taken. */
static int climb(struct share *s, struct node *n, struct step **ret, unsigned *ret_count,
                 struct node **ret_top, int *ret_fd)
{
    struct step *steps = NULL;
    unsigned count = 0, room = 0;
    int r = 0;

    pthread_mutex_lock(&s->lock);
    for (; n->fd < 0; n = n->parent) {
        if (!n->parent || n->stale || count > s->node_count) {
            r = -ESTALE;
            break;
        }
        if (count == room) {
            struct step *more = realloc(steps, (room += 16) * sizeof(*steps));

            if (!more) {
                r = -ENOMEM;
                break;
            }
            steps = more;
        }
        steps[count] = (struct step){n, strdup(n->name)};
        if (!steps[count].name) {
            r = -ENOMEM;
            break;
        }
        n->refs++;
        count++;
    }
    if (!r) {
        n->refs++;
        *ret_top = n;
        *ret_fd = take_fd_locked(s, n);
    }
    pthread_mutex_unlock(&s->lock);
    *ret = steps;
    *ret_count = count;
    return r;
}

int node_fd(struct share *s, struct node *n, int *ret)
{
    struct step *steps;
    struct node *above = NULL;
    unsigned count;
    int fd = -1, r;

    pthread_mutex_lock(&s->lock);
    if (n->fd >= 0) {
        *ret = take_fd_locked(s, n);
        pthread_mutex_unlock(&s->lock);
        return 0;
    }
    pthread_mutex_unlock(&s->lock);
    r = climb(s, n, &steps, &count, &above, &fd);
    for (unsigned i = count; i-- > 0;) {
        int below = -1;

        if (!r) {
            r = open_step(s, fd, &steps[i], &below);
            node_fd_put(s, above);
            node_put(s, above);
            above = r ? NULL : steps[i].node; /* with its reference */
            fd = below;
        }
        if (r)
            node_put(s, steps[i].node);
        free(steps[i].name);
    }
    free(steps);
    if (r)
        return r;
    node_put(s, above); /* n itself, which the caller has */
    *ret = fd;
    return 0;
}

/* ---- References ----------------------------------------------------------------------------- */

/* Let go of one reference, and of the folders above that nothing else refers to. */
void node_put_locked(struct share *s, struct node *n)
{
    while (n && !--n->refs) {
        struct node *parent = n->parent;

        cut(id_slot(s, n->id), offsetof(struct node, next_by_id), n);
        cut(key_slot(s, &n->key), offsetof(struct node, next_by_key), n);
        drop_fd_locked(s, n);
        s->node_count--;
        free(n->name);
        free(n);
        n = parent;
    }
}

void node_ref(struct share *s, struct node *n)
{
    pthread_mutex_lock(&s->lock);
    n->refs++;
    pthread_mutex_unlock(&s->lock);
}

void node_put(struct share *s, struct node *n)
{
    if (!n)
        return;
    pthread_mutex_lock(&s->lock);
    node_put_locked(s, n);
    pthread_mutex_unlock(&s->lock);
}

struct node *node_get(struct share *s, uint64_t id)
{
    struct node *n;

    pthread_mutex_lock(&s->lock);
    if (id == FUSE_ROOT_ID)
        n = s->single ? s->root[0]->node : &s->synthetic;
    else
        n = node_find_locked(s, id);
    if (n && n->stale)
        n = NULL;
    if (n)
        n->refs++;
    pthread_mutex_unlock(&s->lock);
    return n;
}

struct node *node_parent(struct share *s, struct node *n)
{
    struct node *parent;

    pthread_mutex_lock(&s->lock);
    parent = n->parent;
    if (parent)
        parent->refs++;
    pthread_mutex_unlock(&s->lock);
    return parent;
}

static void forget_locked(struct share *s, struct node *n, uint64_t count)
{
    if (!n->lookups)
        return;
    n->lookups -= MIN(count, n->lookups);
    if (!n->lookups)
        node_put_locked(s, n);
}

struct node *node_place(struct share *s, struct node *n, char ret_name[SHARE_NAME_MAX + 1])
{
    struct node *parent;

    pthread_mutex_lock(&s->lock);
    parent = n->parent;
    if (parent) {
        parent->refs++;
        snprintf(ret_name, SHARE_NAME_MAX + 1, "%s", n->name);
    }
    pthread_mutex_unlock(&s->lock);
    return parent;
}

static void set_id_locked(struct share *s, struct node *n, uint64_t id)
{
    struct node **at = id_slot(s, id);

    n->id = id;
    n->next_by_id = *at;
    *at = n;
}

void node_renumber_locked(struct share *s, struct node *n, uint64_t id)
{
    cut(id_slot(s, n->id), offsetof(struct node, next_by_id), n);
    set_id_locked(s, n, id);
    s->next_node = MAX(s->next_node, id + 1);
}

/* The numbers change hands, and the lookups with them: whoever asks by the number has the new one. */
void node_take_over(struct share *s, struct node *n, struct node *old)
{
    uint64_t id, lookups;

    pthread_mutex_lock(&s->lock);
    id = n->id;
    lookups = n->lookups;
    cut(id_slot(s, n->id), offsetof(struct node, next_by_id), n);
    cut(id_slot(s, old->id), offsetof(struct node, next_by_id), old);
    set_id_locked(s, n, old->id);
    set_id_locked(s, old, id);
    n->lookups = old->lookups;
    old->lookups = lookups;
    n->refs = n->refs - (lookups > 0) + (n->lookups > 0);
    old->refs = old->refs - (n->lookups > 0) + (lookups > 0);
    forget_locked(s, old, 1); /* node_found()'s; another of n's came by a name that was looked up meanwhile */
    pthread_mutex_unlock(&s->lock);
}

void node_forget(struct share *s, uint64_t id, uint64_t count)
{
    struct node *n;

    if (id == FUSE_ROOT_ID)
        return;
    pthread_mutex_lock(&s->lock);
    n = node_find_locked(s, id);
    if (n)
        forget_locked(s, n, count);
    pthread_mutex_unlock(&s->lock);
}

/* The guest knows of none yet, so they are the roots. */
void nodes_renumber_locked(struct share *s)
{
    for (unsigned i = 0; i < s->root_count; i++) {
        struct node *n = s->root[i]->node;

        node_renumber_locked(s, n, s->next_node++);
    }
}

void nodes_forget_all(struct share *s)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->buckets; i++) {
        struct node *n = s->by_id[i];

        while (n) {
            struct node *next = n->next_by_id;

            if (!n->lookups) {
                n = next;
                continue;
            }
            forget_locked(s, n, n->lookups);
            n = s->by_id[i]; /* its folders may be gone with it, and next may be one */
        }
    }
    pthread_mutex_unlock(&s->lock);
}

/* ---- Finding -------------------------------------------------------------------------------- */

static bool is_above_locked(const struct node *n, const struct node *below)
{
    while (below && below != n)
        below = below->parent;
    return below;
}

static void move_locked(struct share *s, struct node *n, struct node *parent, const char *name)
{
    char *copy;

    if (n->parent == parent && !strcmp(n->name, name))
        return;
    /* While the host moves folders about, what we remember may be no tree: leave it, and be stale. */
    if (!n->parent || is_above_locked(n, parent) || !(copy = strdup(name)))
        return;
    free(n->name);
    n->name = copy;
    parent->refs++;
    node_put_locked(s, n->parent);
    n->parent = parent;
}

void node_moved(struct share *s, struct node *n, struct node *parent, const char *name)
{
    pthread_mutex_lock(&s->lock);
    move_locked(s, n, parent, name);
    pthread_mutex_unlock(&s->lock);
}

static struct node *make_locked(struct share *s, const struct node_key *k, mode_t type, bool has_birth,
                                struct root *root, const char *name)
{
    struct node *n = calloc(1, sizeof(*n));

    if (!n || !(n->name = strdup(name))) {
        free(n);
        return NULL;
    }
    n->id = s->next_node++;
    n->key = *k;
    n->has_birth = has_birth;
    n->type = type;
    n->root = root;
    n->fd = -1;
    LIST_INIT(&n->handles);
    grow_locked(s);
    insert_locked(s, n);
    s->node_count++;
    return n;
}

struct node *node_restore_locked(struct share *s, const struct node_key *k, mode_t type, struct node *parent,
                                 const char *name, uint64_t id)
{
    struct node *n = make_locked(s, k, type, true, parent->root, name);

    if (!n)
        return NULL;
    node_renumber_locked(s, n, id);
    n->privileges = true; /* it may have */
    n->parent = parent;
    parent->refs++;
    return n;
}

struct node *node_known(struct share *s, const struct root *root, const struct statx *st)
{
    struct node_key k = key_of(root, st);
    struct node *n;

    pthread_mutex_lock(&s->lock);
    n = find_key_locked(s, &k);
    if (n)
        n->refs++;
    pthread_mutex_unlock(&s->lock);
    return n;
}

int node_found(struct share *s, struct node *parent, const char *name, const struct statx *st,
               struct node **ret)
{
    struct node_key k = key_of(parent->root, st);
    struct node *n;
    int r = 0;

    pthread_mutex_lock(&s->lock);
    n = find_key_locked(s, &k);
    if (parent->stale) {
        r = -ESTALE; /* other directories are served since the request began */
    } else if (n) {
        move_locked(s, n, parent, name);
    } else if (s->node_count >= s->nodes_max) {
        r = -ENOMEM;
    } else {
        n = make_locked(s, &k, st->stx_mode & S_IFMT, st->stx_mask & STATX_BTIME, parent->root, name);
        if (n) {
            n->parent = parent;
            parent->refs++;
        } else {
            r = -ENOMEM;
        }
    }
    if (!r) {
        if (!n->lookups++)
            n->refs++;
        n->refs++;
    }
    pthread_mutex_unlock(&s->lock);
    if (!r && !n->has_birth && !n->pinned)
        node_pin(s, n); /* else its number might become another file's */
    if (!r)
        *ret = n;
    return r;
}

/* ---- Roots ---------------------------------------------------------------------------------- */

static int no_tags(int fd)
{
    char path[PROC_PATH_MAX], value;

    proc_path(path, fd, NULL);
    return getxattr(path, TAG_NAME, &value, 0) < 0 && errno == EOPNOTSUPP;
}

/* A file that nobody can change, in memory. Returns -1 with errno. */
static int open_text(const char *text)
{
    size_t len = strlen(text);
    int fd = memfd_create("vz-share", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return -1;
    if (write(fd, text, len) == (ssize_t)len && fchmod(fd, 0444) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
        return fd;
    close(fd);
    return -1;
}

static int open_root(const struct share_directory *d)
{
    return d->text ? open_text(d->text)
                   : open(d->path, O_PATH | O_CLOEXEC | (d->is_file ? 0 : O_DIRECTORY));
}

int root_open(struct share *s, const struct share_directory *d, struct root **ret, struct vz_error *err)
{
    struct root *root = calloc(1, sizeof(*root));
    const char *what = d->text ? d->name : d->path;
    struct statfs fs;
    struct statx st;
    int fd = open_root(d), r = 0;
    struct node *n = NULL;

    if (fd < 0 || stat_fd(fd, &st) < 0)
        r = error_set(err, errno, VZ_ERROR_IO, "%s: %s", what, strerror(errno));
    else if (d->is_file && !S_ISREG(st.stx_mode))
        r = error_set(err, EINVAL, VZ_ERROR_INVALID, "%s: not a regular file", what);
    if (!r && root && (!d->name || (root->name = strdup(d->name)))) {
        struct node_key k = key_of(root, &st);

        root->read_only = d->read_only || d->is_file;
        root->is_text = d->text;
        root->no_tags = no_tags(fd);
        root->tick_ns = belief_tick_ns(fstatfs(fd, &fs) < 0 ? 0 : (uint64_t)fs.f_type);
        root->dev_major = st.stx_dev_major;
        root->dev_minor = st.stx_dev_minor;
        pthread_mutex_lock(&s->lock);
        n = make_locked(s, &k, st.stx_mode & S_IFMT, st.stx_mask & STATX_BTIME, root, d->name ? d->name : "");
        if (n) {
            n->refs = 1;
            n->stale = true; /* until roots_set(): a guest may guess its number */
            n->pinned = true;
            n->fd = fd;
            s->fd_count++;
        }
        pthread_mutex_unlock(&s->lock);
    }
    if (!r && !n)
        r = error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    if (r < 0) {
        if (fd >= 0)
            close(fd);
        free(root ? root->name : NULL);
        free(root);
        return r;
    }
    root->node = n;
    *ret = root;
    return 0;
}

void root_free(struct share *s, struct root *root)
{
    if (root->node)
        node_put(s, root->node);
    free(root->name);
    free(root);
}

int roots_set(struct share *s, struct root **root, unsigned count)
{
    struct root **old = realloc(s->old_root, (s->roots_ever + s->root_count + 1) * sizeof(*old));

    if (!old)
        return -ENOMEM;
    pthread_mutex_lock(&s->lock);
    s->old_root = old;
    for (unsigned i = 0; i < s->root_count; i++)
        s->old_root[s->roots_ever++] = s->root[i];
    for (size_t i = 0; i < s->buckets; i++) {
        for (struct node *n = s->by_id[i]; n; n = n->next_by_id) {
            n->stale = true;
            for (unsigned k = 0; k < count; k++)
                n->stale &= n->root != root[k];
        }
    }
    free(s->root);
    s->root = root;
    s->root_count = count;
    s->single = count == 1 && !root[0]->name;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

int nodes_init(struct share *s)
{
    s->buckets = 1024;
    s->by_key = calloc(s->buckets, sizeof(*s->by_key));
    s->by_id = calloc(s->buckets, sizeof(*s->by_id));
    TAILQ_INIT(&s->lru);
    s->synthetic = (struct node){.id = FUSE_ROOT_ID, .type = S_IFDIR, .fd = -1, .refs = 1};
    LIST_INIT(&s->synthetic.handles);
    s->next_node = FUSE_ROOT_ID + 1;
    return s->by_key && s->by_id ? 0 : -ENOMEM;
}

void nodes_fini(struct share *s)
{
    for (unsigned i = 0; i < s->root_count; i++)
        root_free(s, s->root[i]);
    for (unsigned i = 0; i < s->roots_ever; i++)
        root_free(s, s->old_root[i]);
    free(s->root);
    free(s->old_root);
    free(s->by_key);
    free(s->by_id);
}
