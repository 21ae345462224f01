/* SPDX-License-Identifier: MIT */
/* The DAX window (VIRTIO 1.2, 5.11.6.5): parts of files that the guest has in its memory, in pieces of 2 MiB, so many
 * as the window has and none smaller: that bounds the mappings of this process.
 *
 * A file in it is opened for it, whatever handles the guest has: Linux names none, and closes files that it still has
 * mapped. What its directory does not let be written is never opened for writing, so nothing that the guest does to
 * the window can reach it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/checked.h"
#include "mem/mem_window.h"
#include "share/share_impl.h"

#define REMOVE_MAX 256u /* FUSE_REMOVEMAPPING_MAX_ENTRY, with pages of 4 KiB */

struct dax_file {
    struct mem_window_file shown;
    bool writable;   /* so it is open */
    unsigned pieces; /* that show it */
};

struct dax {
    struct mem_window *window;
    pthread_mutex_t lock;
    unsigned files, files_max; /* open */
    struct node *node[];       /* what each piece shows, with a reference; NULL: nothing */
};

/* ---- Files ---------------------------------------------------------------------------------- */

static struct dax_file *new_file(int fd, bool writable)
{
    struct dax_file *f = calloc(1, sizeof(*f));

    if (!f) {
        close(fd);
        return NULL;
    }
    f->shown.fd = fd;
    f->writable = writable;
    return f;
}

/* Have n open. */
static int open_locked(struct share *s, struct node *n, bool writable)
{
    struct dax *d = s->dax;
    int fd;

    if (n->dax && (n->dax->writable || !writable))
        return 0;
    if (!n->dax && d->files >= d->files_max)
        return -ENFILE;
    fd = file_open(s, n, writable ? O_RDWR : O_RDONLY);
    if (fd < 0)
        return fd;
    if (n->dax) {
        mem_window_reopen(&n->dax->shown, fd);
        n->dax->writable = true;
        return 0;
    }
    n->dax = new_file(fd, writable);
    d->files += n->dax != NULL;
    return n->dax ? 0 : -ENOMEM;
}

/* Nothing shows it, perhaps. */
static void close_unused_locked(struct share *s, struct node *n)
{
    if (!n->dax || n->dax->pieces)
        return;
    close(n->dax->shown.fd);
    free(n->dax);
    n->dax = NULL;
    s->dax->files--;
}

/* ---- Pieces --------------------------------------------------------------------------------- */

/* A piece does not show it any more. */
static void let_go_locked(struct share *s, struct node *n)
{
    if (!n)
        return;
    n->dax->pieces--;
    close_unused_locked(s, n);
    node_put(s, n);
}

static int show_locked(struct share *s, const struct dax_mapping *m)
{
    struct node *n = m->node, *before = s->dax->node[m->piece];
    int r = mem_window_show(s->dax->window, m->piece, &n->dax->shown, m->offset, m->writable);

    if (r < 0 && s->dax->window->piece[m->piece].file)
        return r; /* it shows what it did */
    if (!r) {
        n->dax->pieces++;
        node_ref(s, n);
    }
    s->dax->node[m->piece] = r ? NULL : n;
    let_go_locked(s, before);
    return r;
}

static int hide_locked(struct share *s, unsigned piece)
{
    struct node *before = s->dax->node[piece];
    int r = before ? mem_window_hide(s->dax->window, piece) : 0;

    if (!r) {
        s->dax->node[piece] = NULL;
        let_go_locked(s, before);
    }
    return r;
}

/* So many pieces from m's on. After a failure some show it. */
static int show_all(struct share *s, const struct dax_mapping *m, uint64_t count)
{
    struct dax_mapping one = *m;
    int r;

    pthread_mutex_lock(&s->dax->lock);
    r = open_locked(s, m->node, m->writable);
    for (uint64_t i = 0; !r && i < count; i++) {
        r = show_locked(s, &one);
        one.piece++;
        one.offset += MEM_WINDOW_PIECE;
    }
    close_unused_locked(s, m->node);
    pthread_mutex_unlock(&s->dax->lock);
    return r;
}

/* ---- Operations ----------------------------------------------------------------------------- */

static bool is_ready(const struct share *s)
{
    return s->dax && session_has(s, FUSE_MAP_ALIGNMENT);
}

/* Whole pieces inside the window. */
static bool fits(const struct share *s, uint64_t at, uint64_t len)
{
    return len && !(at % MEM_WINDOW_PIECE) && !(len % MEM_WINDOW_PIECE) && range_fits(at, len, s->dax->window->len);
}

/* A driver that names a handle has that very file open, and may do so much with it. Linux names none. */
static int check_handle(struct share *s, const struct fuse_setupmapping_in *in, const struct node *n)
{
    struct handle *h;
    int r = 0;

    if (in->fh == UINT64_MAX)
        return 0;
    h = handle_get_file(s, in->fh);
    if (!h)
        return handle_missing(s, in->fh);
    if (h->node != n || ((in->flags & FUSE_SETUPMAPPING_FLAG_WRITE) && (h->flags & O_ACCMODE) == O_RDONLY))
        r = -EBADF;
    handle_put(s, h);
    return r;
}

static int check_mapping(struct share *s, const struct fuse_setupmapping_in *in, const struct node *n)
{
    if (!n)
        return -ESTALE;
    if (!fits(s, in->moffset, in->len) || in->foffset % MEM_WINDOW_PIECE ||
        !range_fits(in->foffset, in->len, INT64_MAX & ~(MEM_WINDOW_PIECE - 1)))
        return -EINVAL;
    return check_handle(s, in, n);
}

int op_setupmapping(struct call *c)
{
    struct fuse_setupmapping_in in;
    struct dax_mapping m;
    int r = call_args(c, &in, sizeof(in), sizeof(in));

    if (!is_ready(c->s))
        return -ENOSYS;
    if (r < 0)
        return r;
    m = (struct dax_mapping){.node = node_get(c->s, c->h.nodeid), .offset = in.foffset,
                             .writable = in.flags & FUSE_SETUPMAPPING_FLAG_WRITE};
    r = check_mapping(c->s, &in, m.node);
    if (!r) {
        m.piece = (unsigned)(in.moffset / MEM_WINDOW_PIECE);
        r = show_all(c->s, &m, in.len / MEM_WINDOW_PIECE);
    }
    node_put(c->s, m.node);
    return r;
}

static int remove_one(struct share *s, const struct fuse_removemapping_one *one)
{
    unsigned first = (unsigned)(one->moffset / MEM_WINDOW_PIECE), count = (unsigned)(one->len / MEM_WINDOW_PIECE);
    int r = 0;

    if (!fits(s, one->moffset, one->len))
        return -EINVAL;
    pthread_mutex_lock(&s->dax->lock);
    for (unsigned i = 0; !r && i < count; i++)
        r = hide_locked(s, first + i);
    pthread_mutex_unlock(&s->dax->lock);
    return r;
}

int op_removemapping(struct call *c)
{
    struct fuse_removemapping_one one[REMOVE_MAX];
    struct fuse_removemapping_in in;
    int r = call_args(c, &in, sizeof(in), sizeof(in));
    size_t len;

    if (!is_ready(c->s))
        return -ENOSYS;
    if (r < 0)
        return r;
    len = in.count * sizeof(one[0]);
    if (in.count > REMOVE_MAX || c->out_len - HEADER_LEN - sizeof(in) < len)
        return -EINVAL;
    iov_read(c->r->out, c->r->out_count, HEADER_LEN + sizeof(in), one, len);
    for (uint32_t i = 0; !r && i < in.count; i++)
        r = remove_one(c->s, &one[i]);
    return r;
}

/* ---- What others ask of it ------------------------------------------------------------------ */

void dax_clear(struct share *s)
{
    if (!s->dax)
        return;
    pthread_mutex_lock(&s->dax->lock);
    for (unsigned i = 0; i < s->dax->window->count; i++)
        if (hide_locked(s, i) < 0)
            break; /* the guest that comes next has it, until it wants something else there */
    pthread_mutex_unlock(&s->dax->lock);
}

void dax_regain(struct share *s)
{
    if (!s->dax || !atomic_load(&s->dax->window->mended))
        return;
    pthread_mutex_lock(&s->dax->lock);
    mem_window_regain(s->dax->window);
    pthread_mutex_unlock(&s->dax->lock);
}

void dax_opened(struct share *s, struct node *n)
{
    if (!s->dax)
        return;
    pthread_mutex_lock(&s->dax->lock);
    if (n->dax)
        mem_window_written(s->dax->window, &n->dax->shown);
    pthread_mutex_unlock(&s->dax->lock);
}

bool dax_lost(struct share *s, struct node *n)
{
    bool lost;

    if (!s->dax)
        return false;
    pthread_mutex_lock(&s->dax->lock);
    lost = n->dax && atomic_exchange(&n->dax->shown.lost, false);
    pthread_mutex_unlock(&s->dax->lock);
    return lost;
}

void dax_each(struct share *s, void (*fn)(void *arg, const struct dax_mapping *m), void *arg)
{
    for (unsigned i = 0; s->dax && i < s->dax->window->count; i++) {
        const struct mem_window_piece *p = &s->dax->window->piece[i];

        if (s->dax->node[i])
            fn(arg, &(struct dax_mapping){s->dax->node[i], i, p->writable, p->offset});
    }
}

void dax_again(struct share *s, const struct dax_mapping *m)
{
    if (s->dax && m->piece < s->dax->window->count && !(m->offset % MEM_WINDOW_PIECE) && m->offset <= INT64_MAX / 2)
        show_all(s, m, 1);
}

/* ---- Life ----------------------------------------------------------------------------------- */

void share_drop_window(struct share *s)
{
    struct dax *d = s->dax;
    unsigned count = d ? d->window->count : 0;

    if (!d)
        return;
    dax_clear(s);
    mem_window_destroy(d->window);
    for (unsigned i = 0; i < count; i++)
        let_go_locked(s, d->node[i]); /* what could not be hidden */
    pthread_mutex_destroy(&d->lock);
    free(d);
    s->dax = NULL;
}

int share_set_window(struct share *s, struct mem_window *w)
{
    struct dax *d = calloc(1, sizeof(*d) + w->count * sizeof(d->node[0]));

    if (!d)
        return -ENOMEM;
    d->window = w;
    d->files_max = s->fds_max;
    pthread_mutex_init(&d->lock, NULL);
    s->dax = d;
    return 0;
}
