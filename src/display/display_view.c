/* SPDX-License-Identifier: MIT */
/* Who looks at a scanout. What has changed waits in the view until it is taken; the descriptor, an
 * eventfd, is written once for that. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "display/display_impl.h"

int display_view_new(struct display *d, unsigned scanout, struct display_view **ret,
                     struct vz_error *err)
{
    struct display_view *v = calloc(1, sizeof(*v));
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (!v || fd < 0) {
        int r = v ? errno : ENOMEM;

        if (fd >= 0)
            close(fd);
        free(v);
        return error_set(err, r, r == ENOMEM ? VZ_ERROR_NO_MEMORY : VZ_ERROR_IO, "eventfd: %s",
                         strerror(r));
    }
    v->display = display_ref(d);
    v->scanout = &d->scanout[scanout];
    v->fd = fd;
    pthread_mutex_lock(&d->lock);
    v->pending = (struct display_pending){.image = true, .cursor = true, .ended = d->ended_ns != 0};
    display_view_tell_locked(v);
    LIST_INSERT_HEAD(&v->scanout->views, v, link);
    pthread_mutex_unlock(&d->lock);
    *ret = v;
    return 0;
}

void display_view_free(struct display_view *v)
{
    if (!v)
        return;
    pthread_mutex_lock(&v->display->lock);
    LIST_REMOVE(v, link);
    pthread_mutex_unlock(&v->display->lock);
    close(v->fd);
    display_image_unref(v->image);
    display_unref(v->display);
    free(v);
}

int display_view_fd(const struct display_view *v)
{
    return v->fd;
}

int display_view_memory(const struct display_view *v, uint64_t *ret_size)
{
    *ret_size = v->display->memory->size;
    return v->display->memory->fd_ro;
}

/* Only the first of several changes is a system call. */
void display_view_tell_locked(struct display_view *v)
{
    uint64_t one = 1;

    if (!v->pending.any && write(v->fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        return;
    v->pending.any = true;
}

static bool same_look(const struct display_cursor *a, const struct display_cursor *b)
{
    return a->visible == b->visible &&
           (!a->visible || (a->width == b->width && a->height == b->height && a->hot_x == b->hot_x &&
                            a->hot_y == b->hot_y &&
                            !memcmp(a->pixels, b->pixels, 4 * (size_t)a->width * a->height)));
}

static void take_cursor_locked(struct display_view *v, const struct display_pending *p,
                               struct display_update *ret)
{
    const struct display_cursor *c = &v->scanout->cursor;

    if (!p->cursor && !p->moved)
        return;
    ret->cursor_moved = v->cursor.x != c->x || v->cursor.y != c->y;
    ret->cursor_changed = p->cursor && (!v->seen || !same_look(&v->cursor, c));
    if (ret->cursor_changed)
        v->cursor = *c;
    v->cursor.x = c->x;
    v->cursor.y = c->y;
}

static void take_picture_locked(struct display_view *v, const struct display_pending *p,
                                struct display_update *ret)
{
    const struct display_scanout *s = v->scanout;
    const struct display_rect all = {0, 0, ret->size.width, ret->size.height};

    ret->damage = p->damage;
    if (p->image) {
        v->image = display_image_ref(s->image);
        ret->damage.count = 0;
        damage_add(&ret->damage, &all);
    }
    ret->shown = s->image != NULL;
    if (!ret->shown)
        return;
    v->writes = atomic_load(&s->image->writes);
    ret->stride = s->image->width * 4;
    ret->offset = s->image->offset + (uint64_t)s->rect.y * ret->stride + (uint64_t)s->rect.x * 4;
    ret->pixels = s->image->memory->base + ret->offset;
}

bool display_view_update(struct display_view *v, struct display_update *ret)
{
    struct display *d = v->display;
    struct display_image *before = v->image;
    struct display_pending p;
    uint64_t count;

    memset(ret, 0, sizeof(*ret));
    pthread_mutex_lock(&d->lock);
    p = v->pending;
    memset(&v->pending, 0, sizeof(v->pending));
    if (p.any && read(v->fd, &count, sizeof(count)) < 0)
        count = 0; /* somebody else has read it */
    ret->size = display_scanout_size_locked(v->scanout);
    ret->ended = d->ended_ns != 0;
    take_picture_locked(v, &p, ret);
    take_cursor_locked(v, &p, ret);
    if (v->scanout->late && d->taken)
        d->taken(d->taken_arg, (unsigned)(v->scanout - d->scanout));
    v->scanout->late = false;
    pthread_mutex_unlock(&d->lock);
    if (p.image)
        display_image_unref(before);
    ret->resized = !v->seen || v->size.width != ret->size.width || v->size.height != ret->size.height;
    v->size = ret->size;
    v->seen = true;
    return p.any;
}

uint64_t display_view_ended_ns(const struct display_view *v)
{
    uint64_t ns;

    pthread_mutex_lock(&v->display->lock);
    ns = v->display->ended_ns;
    pthread_mutex_unlock(&v->display->lock);
    return ns;
}

bool display_view_is_whole(const struct display_view *v)
{
    atomic_thread_fence(memory_order_seq_cst);
    return !v->image || (!(v->writes & 1) && atomic_load(&v->image->writes) == v->writes);
}

void display_view_cursor(const struct display_view *v, struct display_cursor *ret)
{
    *ret = v->cursor;
}
