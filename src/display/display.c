/* SPDX-License-Identifier: MIT */
/* What a display shows: told by its device, passed on to viewers. See display.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "display/display_impl.h"

static void lock(struct display *d)
{
    pthread_mutex_lock(&d->lock);
}

static void unlock(struct display *d)
{
    pthread_mutex_unlock(&d->lock);
}

/* ---- Life ----------------------------------------------------------------------------------- */

int display_new(const struct display_options *options, struct display **ret, struct vz_error *err)
{
    struct display *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    atomic_init(&d->refs, 1);
    d->options = *options;
    pthread_mutex_init(&d->lock, NULL);
    for (unsigned i = 0; i < options->scanouts; i++)
        d->scanout[i].wish = options->size[i];
    r = display_memory_new(options->memory_max, &d->memory, err);
    if (r < 0)
        display_unref(d);
    else
        *ret = d;
    return r;
}

struct display *display_ref(struct display *d)
{
    atomic_fetch_add(&d->refs, 1);
    return d;
}

void display_unref(struct display *d)
{
    if (!d || atomic_fetch_sub(&d->refs, 1) != 1)
        return;
    for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++)
        display_image_unref(d->scanout[i].image);
    display_memory_unref(d->memory);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

/* ---- What there is to know ------------------------------------------------------------------ */

unsigned display_scanouts(const struct display *d)
{
    return d->options.scanouts;
}

struct display_size display_scanout_size_locked(const struct display_scanout *s)
{
    return s->image ? (struct display_size){s->rect.width, s->rect.height} : s->wish;
}

struct display_size display_wish(struct display *d, unsigned scanout)
{
    struct display_size size;

    lock(d);
    size = d->scanout[scanout].wish;
    unlock(d);
    return size;
}

bool display_shown(struct display *d, unsigned scanout, struct display_size *ret)
{
    bool shown;

    lock(d);
    shown = d->scanout[scanout].image != NULL;
    *ret = display_scanout_size_locked(&d->scanout[scanout]);
    unlock(d);
    return shown;
}

bool display_is_watched(struct display *d, unsigned scanout)
{
    bool watched;

    lock(d);
    watched = !LIST_EMPTY(&d->scanout[scanout].views);
    unlock(d);
    return watched;
}

bool display_is_awaited(struct display *d, unsigned scanout)
{
    struct display_scanout *s = &d->scanout[scanout];
    struct display_view *v;
    bool awaited = false;

    lock(d);
    LIST_FOREACH(v, &s->views, link)
        awaited = awaited || !v->pending.damage.count;
    s->late = !awaited;
    unlock(d);
    return awaited;
}

void display_call_when_taken(struct display *d, void (*fn)(void *arg, unsigned scanout), void *arg)
{
    lock(d);
    d->taken = fn;
    d->taken_arg = arg;
    unlock(d);
}

/* ---- Viewers are told ----------------------------------------------------------------------- */

static void damage_locked(struct display_scanout *s, const struct display_rect *rect)
{
    struct display_view *v;

    LIST_FOREACH(v, &s->views, link) {
        damage_add(&v->pending.damage, rect);
        display_view_tell_locked(v);
    }
}

static void image_changed_locked(struct display_scanout *s)
{
    struct display_size size = display_scanout_size_locked(s);
    const struct display_rect all = {0, 0, size.width, size.height};
    struct display_view *v;

    LIST_FOREACH(v, &s->views, link) {
        v->pending.image = true;
        v->pending.damage.count = 0;
    }
    damage_locked(s, &all);
}

void display_damage(struct display *d, unsigned scanout, const struct display_rect *rect)
{
    struct display_scanout *s = &d->scanout[scanout];
    struct display_rect seen, all;

    lock(d);
    all = (struct display_rect){0, 0, s->rect.width, s->rect.height};
    if (s->image && display_rect_intersect(rect, &all, &seen))
        damage_locked(s, &seen);
    unlock(d);
}

static void cursor_changed_locked(struct display_scanout *s)
{
    struct display_view *v;

    LIST_FOREACH(v, &s->views, link) {
        v->pending.cursor = true;
        display_view_tell_locked(v);
    }
}

void display_set_cursor(struct display *d, unsigned scanout, const struct display_cursor *cursor)
{
    struct display_scanout *s = &d->scanout[scanout];

    lock(d);
    s->cursor = *cursor;
    cursor_changed_locked(s);
    unlock(d);
}

void display_move_cursor(struct display *d, unsigned scanout, int32_t x, int32_t y)
{
    struct display_scanout *s = &d->scanout[scanout];
    struct display_view *v;

    lock(d);
    if (s->cursor.x != x || s->cursor.y != y) {
        s->cursor.x = x;
        s->cursor.y = y;
        LIST_FOREACH(v, &s->views, link) {
            v->pending.moved = true;
            display_view_tell_locked(v);
        }
    }
    unlock(d);
}

/* ---- Sizes ---------------------------------------------------------------------------------- */

static void tell(struct display *d, unsigned scanout, bool done)
{
    if (d->options.reconfigured)
        d->options.reconfigured(d->options.arg, scanout, done);
}

static bool same_size(struct display_size a, struct display_size b)
{
    return a.width == b.width && a.height == b.height;
}

static void begin_change(struct display *d, unsigned scanout)
{
    if (!d->scanout[scanout].changing)
        tell(d, scanout, false);
    d->scanout[scanout].changing = true;
}

static void end_change(struct display *d, unsigned scanout)
{
    if (d->scanout[scanout].changing)
        tell(d, scanout, true);
    d->scanout[scanout].changing = false;
}

static bool is_shown(const struct display_scanout *s, const struct display_image *image,
                     const struct display_rect *rect)
{
    return s->image == image && (!image || !memcmp(&s->rect, rect, sizeof(*rect)));
}

static void exchange(struct display *d, struct display_scanout *s, struct display_image *image,
                     const struct display_rect *rect)
{
    struct display_image *before = s->image;

    lock(d);
    s->image = display_image_ref(image);
    s->rect = image ? *rect : (struct display_rect){0};
    image_changed_locked(s);
    unlock(d);
    display_image_unref(before);
}

void display_show(struct display *d, unsigned scanout, struct display_image *image,
                  const struct display_rect *rect)
{
    struct display_scanout *s = &d->scanout[scanout];
    struct display_size before = {s->rect.width, s->rect.height};
    bool resized = image && !same_size(before, (struct display_size){rect->width, rect->height});

    if (is_shown(s, image, rect))
        return;
    if (resized)
        begin_change(d, scanout);
    exchange(d, s, image, rect);
    if (resized)
        end_change(d, scanout);
}

void display_set_wish(struct display *d, unsigned scanout, struct display_size size, bool followed)
{
    struct display_scanout *s = &d->scanout[scanout];

    if (same_size(s->wish, size))
        return;
    begin_change(d, scanout);
    lock(d);
    s->wish = size;
    if (!s->image)
        image_changed_locked(s);
    unlock(d);
    if (!followed || (s->image && same_size(size, display_scanout_size_locked(s))))
        end_change(d, scanout);
}

void display_clear(struct display *d)
{
    static const struct display_cursor none = {.visible = false};

    for (unsigned i = 0; i < d->options.scanouts; i++) {
        display_show(d, i, NULL, NULL);
        if (d->scanout[i].cursor.visible)
            display_set_cursor(d, i, &none);
        end_change(d, i);
    }
}

void display_end(struct display *d)
{
    struct display_view *v;

    lock(d);
    d->ended_ns = clock_mono_ns();
    d->options.reconfigured = NULL;
    for (unsigned i = 0; i < d->options.scanouts; i++) {
        LIST_FOREACH(v, &d->scanout[i].views, link) {
            v->pending.ended = true;
            display_view_tell_locked(v);
        }
    }
    unlock(d);
}

struct display_image *display_image_new(struct display *d, uint32_t width, uint32_t height)
{
    return display_memory_image(d->memory, width, height);
}
