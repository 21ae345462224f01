/* SPDX-License-Identifier: MIT */
/* What the guest knows and has open, saved with a machine and found again after a restore.
 *
 * Nodes are saved as they are kept: by folder, name and identity. Nothing is opened for them when they are
 * loaded; when the guest comes back to one its identity says whether that name still leads to it, and else it is
 * ESTALE, at which the guest's kernel looks the name up anew. Open files are opened at once; one that is not
 * there any more is ESTALE, too, never another file.
 *
 * What the window shows (share_dax.c) is shown again before the guest goes on.
 *
 * Locks are taken again. Where somebody else has one by now, the files that were open are ESTALE: a program that
 * believes to have a lock reads and writes nothing without it.
 *
 * The bytes may come from anywhere. Each node follows the folder that it is in, so what is loaded is a tree. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "share/share_impl.h"

enum {
    RECORD_HANDLES = 1, RECORD_ROOT, RECORD_NODE, RECORD_HANDLE, RECORD_FLOCK,
    RECORD_LOCK, /* as it was saved at first: up to fh */
    RECORD_MAPPING, RECORD_LOCK_BY
};

enum { NODE_HAS_BIRTH = 1 }; /* and what belief_saved_locked() says */

/* Little-endian, as all that is saved; name_len bytes follow a node. */
struct saved_node {
    uint32_t kind, name_len;
    uint64_t id, parent, lookups, ino, mount;
    int64_t born_sec;
    uint32_t born_nsec, dev_major, dev_minor, type;
    uint32_t root; /* RECORD_ROOT: its index */
    uint32_t flags;
};

struct saved_handle {
    uint32_t kind, flags; /* RECORD_HANDLES: flags is the last generation; RECORD_FLOCK: LOCK_SH or LOCK_EX */
    uint64_t fh, node;
};

struct saved_lock {
    uint32_t kind, type;
    uint64_t node, owner, start, end;
    uint64_t fh;
    uint32_t pid, unused;
};

struct saved_mapping {
    uint32_t kind, writable;
    uint64_t node, offset;
    uint32_t piece, unused;
};

_Static_assert(sizeof(struct saved_node) == 80 && sizeof(struct saved_handle) == 24 &&
                   sizeof(struct saved_lock) == 56 && sizeof(struct saved_mapping) == 32,
               "no padding");

/* ---- Saving --------------------------------------------------------------------------------- */

/* What has no room any more, of what the guest knows and has not open, is looked up again. */
struct saver {
    struct share *s;
    struct state_blob *to;
    uint64_t room;
    struct node **chain; /* the way up from a node */
    size_t chain_room;
    bool full;
};

static void put(struct saver *w, const void *data, size_t len)
{
    struct state_blob *f = w->to;

    if (w->full || f->len + len > SHARE_FILES_MAX) {
        w->full = true;
        return;
    }
    if (f->len + len > w->room) {
        uint64_t room = MAX(w->room * 2, UINT64_C(65536));
        uint8_t *more = realloc(f->data, room);

        if (!more) {
            w->full = true;
            return;
        }
        f->data = more;
        w->room = room;
    }
    memcpy(f->data + f->len, data, len);
    f->len += len;
}

static uint32_t root_index(const struct share *s, const struct root *root)
{
    uint32_t i = 0;

    while (i < s->root_count && s->root[i] != root)
        i++;
    return i;
}

static void put_node(struct saver *w, struct node *n)
{
    const char *name = n->parent ? n->name : n->root->name ? n->root->name : "";
    const struct node_key *k = &n->key;
    const struct saved_node r = {
        .kind = n->parent ? RECORD_NODE : RECORD_ROOT, .name_len = (uint32_t)strlen(name), .id = n->id,
        .parent = n->parent ? n->parent->id : 0, .lookups = n->lookups, .ino = k->ino, .mount = k->mount,
        .born_sec = k->born_sec, .born_nsec = k->born_nsec, .dev_major = k->dev_major,
        .dev_minor = k->dev_minor, .type = n->type, .root = root_index(w->s, n->root),
        .flags = (n->has_birth ? NODE_HAS_BIRTH : 0) | belief_saved_locked(w->s, n)};

    put(w, &r, sizeof(r));
    put(w, name, r.name_len);
    n->saved = w->s->save_count;
}

static bool push(struct saver *w, size_t at, struct node *n)
{
    if (at == w->chain_room) {
        size_t room = MAX(w->chain_room * 2, (size_t)64);
        struct node **more = realloc(w->chain, room * sizeof(*more));

        if (!more)
            return false;
        w->chain = more;
        w->chain_room = room;
    }
    w->chain[at] = n;
    return true;
}

/* A node, behind the folders that lead to it. */
static void save_node(struct saver *w, struct node *n)
{
    size_t count = 0;

    for (; n && n->root && !n->stale && n->saved != w->s->save_count; n = n->parent) {
        if (!push(w, count++, n)) {
            w->full = true;
            return;
        }
    }
    if (n && n->stale)
        return;
    while (count && !w->full)
        put_node(w, w->chain[--count]);
}

static void save_handle(struct saver *w, const struct handle *h)
{
    const struct saved_handle r = {.kind = RECORD_HANDLE, .flags = (uint32_t)h->flags, .fh = h->fh,
                                   .node = h->node->id};

    put(w, &r, sizeof(r));
}

static void save_flock(struct saver *w, const struct handle *h)
{
    const struct saved_handle r = {.kind = RECORD_FLOCK, .flags = (uint32_t)h->flock, .fh = h->fh, .node = h->node->id};

    if (h->flock)
        put(w, &r, sizeof(r));
}

static void save_lock(void *arg, const struct held_lock *l)
{
    struct saver *w = arg;
    const struct saved_lock r = {.kind = RECORD_LOCK_BY, .type = l->type, .node = l->node->id, .owner = l->owner,
                                 .start = l->start, .end = l->end, .fh = l->fh, .pid = l->pid};

    save_node(w, l->node);
    put(w, &r, sizeof(r));
}

static void save_mapping(void *arg, const struct dax_mapping *m)
{
    struct saver *w = arg;
    const struct saved_mapping r = {.kind = RECORD_MAPPING, .writable = m->writable, .node = m->node->id,
                                    .offset = m->offset, .piece = m->piece};

    save_node(w, m->node);
    put(w, &r, sizeof(r));
}

struct share_files *share_files(struct share *s)
{
    struct saver w = {.s = s, .to = &s->files.list};
    struct saved_handle first = {.kind = RECORD_HANDLES};

    free(s->files.list.data);
    s->files.list = (struct state_blob){NULL, 0};
    pthread_mutex_lock(&s->lock);
    s->save_count++;
    first.flags = s->handle_generation;
    put(&w, &first, sizeof(first));
    for (unsigned i = 0; i < s->root_count; i++)
        save_node(&w, s->root[i]->node);
    for (unsigned i = 0; i < s->handles_max; i++) {
        if (s->handle[i]) {
            save_node(&w, s->handle[i]->node);
            save_handle(&w, s->handle[i]);
        }
    }
    for (unsigned i = 0; i < s->handles_max; i++) {
        if (s->handle[i])
            save_flock(&w, s->handle[i]);
    }
    locks_each(s, save_lock, &w);
    dax_each(s, save_mapping, &w);
    for (size_t i = 0; i < s->buckets && !w.full; i++) {
        for (struct node *n = s->by_id[i]; n; n = n->next_by_id)
            save_node(&w, n);
    }
    pthread_mutex_unlock(&s->lock);
    free(w.chain);
    return &s->files;
}

/* ---- Loading -------------------------------------------------------------------------------- */

/* Where a directory was, in the host's numbers of then. */
struct saved_root {
    bool is;
    uint64_t mount;
    uint32_t dev_major, dev_minor;
};

struct loader {
    struct share *s;
    const uint8_t *p;
    uint64_t left;
    struct saved_root *root; /* of s->root_count */
    struct node **node;      /* all that were loaded, a reference each */
    size_t count, room;
};

static bool take(struct loader *l, void *ret, uint64_t len)
{
    if (len > l->left)
        return false;
    memcpy(ret, l->p, len);
    l->p += len;
    l->left -= len;
    return true;
}

static bool is_component(const char *name, size_t len)
{
    return len && strlen(name) == len && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..");
}

/* Hold on to it until all are there. */
static bool hold(struct loader *l, struct node *n)
{
    if (l->count == l->room) {
        size_t room = MAX(l->room * 2, (size_t)64);
        struct node **more = realloc(l->node, room * sizeof(*more));

        if (!more)
            return false;
        l->node = more;
        l->room = room;
    }
    n->refs++;
    l->node[l->count++] = n;
    return true;
}

/* What shows that a file which is served by itself is still the one that was. */
static bool is_same_file(const struct saved_node *r, const struct node *n)
{
    return (r->flags & NODE_HAS_BIRTH) && n->has_birth && r->ino == n->key.ino && r->born_sec == n->key.born_sec &&
           r->born_nsec == n->key.born_nsec;
}

/* The directory is served under the same number as then, if it is there. */
static void load_root(struct loader *l, const struct saved_node *r, const char *name)
{
    struct share *s = l->s;
    struct node *n;

    if (r->root >= s->root_count || l->root[r->root].is ||
        strcmp(name, s->root[r->root]->name ? s->root[r->root]->name : "") != 0)
        return;
    n = s->root[r->root]->node;
    if (n->type != (r->type & S_IFMT) || (n->type == S_IFREG && !is_same_file(r, n)))
        return;
    node_renumber_locked(s, n, r->id);
    n->lookups = r->lookups;
    n->refs += n->lookups > 0;
    belief_restored_locked(n, r->flags);
    l->root[r->root] = (struct saved_root){true, r->mount, r->dev_major, r->dev_minor};
}

/* Its identity, if it is on the same file system as the shared directory: as that is numbered now. */
static struct node_key key_of_saved(const struct loader *l, const struct saved_node *r, const struct node *parent)
{
    struct node_key k = {.root = parent->root, .mount = r->mount, .ino = r->ino, .born_sec = r->born_sec,
                         .born_nsec = r->born_nsec, .dev_major = r->dev_major, .dev_minor = r->dev_minor};
    const struct saved_root *was = &l->root[root_index(l->s, parent->root)];
    const struct node_key *is = &parent->root->node->key;

    if (was->mount == k.mount && was->dev_major == k.dev_major && was->dev_minor == k.dev_minor) {
        k.mount = is->mount;
        k.dev_major = is->dev_major;
        k.dev_minor = is->dev_minor;
    }
    return k;
}

static void load_node(struct loader *l, const struct saved_node *r, const char *name)
{
    struct node *parent = node_find_locked(l->s, r->parent), *n;
    struct node_key k;

    if (!parent || !parent->root || parent->stale || parent->type != S_IFDIR || !(r->flags & NODE_HAS_BIRTH) ||
        !is_component(name, r->name_len) || l->s->node_count >= l->s->nodes_max)
        return;
    k = key_of_saved(l, r, parent);
    n = node_restore_locked(l->s, &k, r->type & S_IFMT, parent, name, r->id);
    if (!n)
        return;
    n->lookups = r->lookups;
    n->refs += n->lookups > 0;
    belief_restored_locked(n, r->flags);
    if (!hold(l, n)) {
        n->refs++;
        node_put_locked(l->s, n);
    }
}

static bool next_node(struct loader *l)
{
    char name[SHARE_NAME_MAX + 1] = "";
    struct saved_node r;

    if (!take(l, &r, sizeof(r)) || r.name_len > SHARE_NAME_MAX || !take(l, name, r.name_len))
        return false;
    if (r.id <= FUSE_ROOT_ID || r.id > SHARE_NODES_EVER || r.lookups > SHARE_NODES_EVER ||
        node_find_locked(l->s, r.id))
        return true; /* it cannot be: stale */
    if (r.kind == RECORD_ROOT)
        load_root(l, &r, name);
    else
        load_node(l, &r, name);
    return true;
}

static bool may_have(const struct node *n, int flags)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY;

    return n->type == S_IFDIR ? !writes : n->type == S_IFREG && n->root && !(writes && n->root->read_only);
}

/* Not under the lock: it opens. */
static void load_handle(struct loader *l, const struct saved_handle *r)
{
    struct node *n = node_get(l->s, r->node);
    int flags = (int)r->flags & (O_ACCMODE | O_SYNC | O_DSYNC), fd;
    bool is_dir = n && n->type == S_IFDIR;

    if (n && may_have(n, flags)) {
        fd = n->root ? node_open(l->s, n, flags | (is_dir ? O_DIRECTORY : 0))
                     : open("/dev/null", O_PATH | O_CLOEXEC);
        if (fd == -EPERM && (r->flags & O_APPEND)) /* as it was opened */
            fd = node_open(l->s, n, flags |= O_APPEND);
        if (fd >= 0)
            handle_restore(l->s, n, fd, flags, is_dir, r->fh);
    }
    node_put(l->s, n);
}

static void load_flock(struct loader *l, const struct saved_handle *r)
{
    struct handle *h = handle_get_file(l->s, r->fh);
    int op = r->flags == LOCK_EX ? LOCK_EX : LOCK_SH;

    if (!h)
        return;
    if (flock(h->fd, op | LOCK_NB) == 0)
        h->flock = op;
    else
        handle_close(l->s, r->fh);
    handle_put(l->s, h);
}

/* One of a file that is not open any more would never be given up. */
static bool load_lock(struct loader *l, size_t len)
{
    struct saved_lock r = {.fh = 0};
    struct held_lock held;
    struct handle *h;

    if (!take(l, &r, len))
        return false;
    held = (struct held_lock){node_get(l->s, r.node), r.owner, r.start, r.end, r.type, r.pid, r.fh};
    h = held.node && held.node->type == S_IFREG ? handle_of(l->s, held.node) : NULL;
    if (h && lock_again(l->s, &held) < 0) {
        locks_drop(l->s, held.node, NULL);
        handles_lose(l->s, held.node);
    }
    handle_put(l->s, h);
    node_put(l->s, held.node);
    return true;
}

/* What is not there any more is zeros. */
static bool load_mapping(struct loader *l)
{
    struct saved_mapping r;
    struct dax_mapping m;

    if (!take(l, &r, sizeof(r)))
        return false;
    m = (struct dax_mapping){node_get(l->s, r.node), r.piece, r.writable, r.offset};
    if (m.node)
        dax_again(l->s, &m);
    node_put(l->s, m.node);
    return true;
}

/* False: that was the last one, or what follows is none. */
static bool next_record(struct loader *l)
{
    struct saved_handle h;
    uint32_t kind;
    bool ok;

    if (l->left < sizeof(kind))
        return false;
    memcpy(&kind, l->p, sizeof(kind));
    if (kind == RECORD_ROOT || kind == RECORD_NODE) {
        pthread_mutex_lock(&l->s->lock);
        ok = next_node(l);
        pthread_mutex_unlock(&l->s->lock);
        return ok;
    }
    if (kind == RECORD_LOCK || kind == RECORD_LOCK_BY)
        return load_lock(l, kind == RECORD_LOCK ? offsetof(struct saved_lock, fh) : sizeof(struct saved_lock));
    if (kind == RECORD_MAPPING)
        return load_mapping(l);
    if (!take(l, &h, sizeof(h)))
        return false;
    if (kind == RECORD_HANDLES)
        l->s->handle_generation = l->s->lost_generation = h.flags;
    else if (kind == RECORD_HANDLE)
        load_handle(l, &h);
    else if (kind == RECORD_FLOCK)
        load_flock(l, &h);
    return kind == RECORD_HANDLES || kind == RECORD_HANDLE || kind == RECORD_FLOCK;
}

void share_files_load(struct share *s)
{
    struct loader l = {.s = s, .p = s->files.list.data, .left = s->files.list.len};

    l.root = calloc(s->root_count + 1, sizeof(*l.root));
    while (l.root && next_record(&l))
        ;
    for (size_t i = 0; i < l.count; i++)
        node_put(s, l.node[i]); /* those that nothing else holds go */
    free(l.node);
    free(l.root);
    free(s->files.list.data);
    s->files.list = (struct state_blob){NULL, 0};
}
