/* SPDX-License-Identifier: MIT */
#include "display/damage.h"

static uint64_t right(const struct display_rect *r)
{
    return (uint64_t)r->x + r->width;
}

static uint64_t bottom(const struct display_rect *r)
{
    return (uint64_t)r->y + r->height;
}

static uint64_t area(const struct display_rect *r)
{
    return (uint64_t)r->width * r->height;
}

static struct display_rect joined(const struct display_rect *a, const struct display_rect *b)
{
    struct display_rect r = {.x = MIN(a->x, b->x), .y = MIN(a->y, b->y)};

    r.width = (uint32_t)(MAX(right(a), right(b)) - r.x);
    r.height = (uint32_t)(MAX(bottom(a), bottom(b)) - r.y);
    return r;
}

bool display_rect_intersect(const struct display_rect *a, const struct display_rect *b,
                            struct display_rect *ret)
{
    struct display_rect r = {.x = MAX(a->x, b->x), .y = MAX(a->y, b->y)};
    uint64_t x_end = MIN(right(a), right(b)), y_end = MIN(bottom(a), bottom(b));

    if (x_end <= r.x || y_end <= r.y)
        return false;
    r.width = (uint32_t)(x_end - r.x);
    r.height = (uint32_t)(y_end - r.y);
    *ret = r;
    return true;
}

bool display_rect_fits(const struct display_rect *r, uint32_t width, uint32_t height)
{
    return r->width && r->height && right(r) <= width && bottom(r) <= height;
}

/* Is the rectangle around both no more than they are, one by one? */
static bool are_one(const struct display_rect *a, const struct display_rect *b)
{
    struct display_rect j = joined(a, b);

    return area(&j) <= area(a) + area(b);
}

/* What is one with *r is taken into it. */
static void take_in(struct damage *d, struct display_rect *r)
{
    for (unsigned i = 0; i < d->count;) {
        if (!are_one(&d->rect[i], r)) {
            i++;
            continue;
        }
        *r = joined(&d->rect[i], r);
        d->rect[i] = d->rect[--d->count];
        i = 0;
    }
}

/* The one that grows least when rect is joined to it. */
static unsigned cheapest(const struct damage *d, const struct display_rect *rect)
{
    uint64_t least = UINT64_MAX;
    unsigned best = 0;

    for (unsigned i = 0; i < d->count; i++) {
        struct display_rect j = joined(&d->rect[i], rect);

        if (area(&j) - area(&d->rect[i]) < least) {
            least = area(&j) - area(&d->rect[i]);
            best = i;
        }
    }
    return best;
}

void damage_add(struct damage *d, const struct display_rect *rect)
{
    struct display_rect r = *rect;

    if (!r.width || !r.height)
        return;
    take_in(d, &r);
    if (d->count == DAMAGE_RECTS_MAX) {
        r = joined(&d->rect[cheapest(d, &r)], &r);
        take_in(d, &r);
    }
    d->rect[d->count++] = r;
}
