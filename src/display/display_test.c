/* SPDX-License-Identifier: MIT */
#include "display/display.h"

#include <poll.h>
#include <string.h>
#include <sys/mman.h>

#include "display/renewal.h"
#include "unit.h"

#define PAGE 4096u

static unsigned begun, done;

static void on_change(void *arg, unsigned scanout, bool is_done)
{
    *(is_done ? &done : &begun) += 1;
}

static struct display *make(uint64_t memory)
{
    const struct display_options o = {.scanouts = 2, .size = {{640, 480}, {800, 600}},
                                      .memory_max = memory, .reconfigured = on_change};
    struct display *d;

    begun = done = 0;
    ck_assert_int_eq(display_new(&o, &d, NULL), 0);
    return d;
}

static struct display_view *look(struct display *d, unsigned scanout)
{
    struct display_view *v;

    ck_assert_int_eq(display_view_new(d, scanout, &v, NULL), 0);
    return v;
}

static bool awake(const struct display_view *v)
{
    struct pollfd p = {.fd = display_view_fd(v), .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

/* ---- Damage --------------------------------------------------------------------------------- */

START_TEST(damage_is_never_less_than_what_changed)
{
    struct damage d = {0};
    uint32_t seed = 1;
    static bool wanted[64][64], got[64][64];

    for (unsigned n = 0; n < 500; n++) {
        struct display_rect r;

        seed = seed * 1103515245 + 12345;
        r = (struct display_rect){seed >> 8 & 31, seed >> 14 & 31, 1 + (seed >> 20 & 7), 1 + (seed >> 24 & 7)};
        damage_add(&d, &r);
        ck_assert_uint_le(d.count, DAMAGE_RECTS_MAX);
        for (unsigned y = 0; y < r.height; y++)
            memset(&wanted[r.y + y][r.x], true, r.width);
    }
    for (unsigned i = 0; i < d.count; i++) {
        for (unsigned y = 0; y < d.rect[i].height; y++)
            memset(&got[d.rect[i].y + y][d.rect[i].x], true, d.rect[i].width);
    }
    for (unsigned i = 0; i < sizeof(got); i++)
        ck_assert(!(&wanted[0][0])[i] || (&got[0][0])[i]);
}
END_TEST

START_TEST(damage_inside_other_damage_is_one)
{
    struct damage d = {0};

    damage_add(&d, &(struct display_rect){5, 5, 0, 9});
    ck_assert_uint_eq(d.count, 0);
    damage_add(&d, &(struct display_rect){5, 5, 2, 2});
    damage_add(&d, &(struct display_rect){100, 5, 2, 2});
    damage_add(&d, &(struct display_rect){5, 6, 1, 1});
    ck_assert_uint_eq(d.count, 2);
    damage_add(&d, &(struct display_rect){0, 0, 200, 50});
    ck_assert_uint_eq(d.count, 1);
}
END_TEST

START_TEST(damage_beside_other_damage_is_one)
{
    struct damage d = {0};

    damage_add(&d, &(struct display_rect){0, 0, 64, 64});
    damage_add(&d, &(struct display_rect){128, 0, 64, 64});
    damage_add(&d, &(struct display_rect){0, 64, 192, 64});
    ck_assert_uint_eq(d.count, 3);
    damage_add(&d, &(struct display_rect){64, 0, 64, 64}); /* by which all four are */
    ck_assert_uint_eq(d.count, 1);
    ck_assert_uint_eq(d.rect[0].width, 192);
    ck_assert_uint_eq(d.rect[0].height, 128);
}
END_TEST

/* ---- Pictures over others ------------------------------------------------------------------- */

#define RENEWED_WIDTH 300u

static bool in_damage(const struct damage *d, uint32_t x, uint32_t y)
{
    for (unsigned i = 0; i < d->count; i++) {
        const struct display_rect *r = &d->rect[i];

        if (x >= r->x && x < r->x + r->width && y >= r->y && y < r->y + r->height)
            return true;
    }
    return false;
}

/* Every byte of a pixel counts, wherever it lies, in every order, and whatever pieces it comes in. */
START_TEST(what_differs_is_exchanged_and_told)
{
    static uint32_t from[RENEWED_WIDTH], to[RENEWED_WIDTH], expected[RENEWED_WIDTH];

    for (enum pixel_order order = PIXEL_BGRA; order <= PIXEL_ABGR; order++) {
        for (uint32_t at = 0; at < RENEWED_WIDTH; at++) {
            const uint32_t x = at % 90, cut = at * 7 % RENEWED_WIDTH;
            struct renewal n = {0};
            struct damage d = {0};

            pixels_copy((uint8_t *)to, (const uint8_t *)from, RENEWED_WIDTH, order);
            from[at] ^= UINT32_C(1) << (at * 5 % 32);
            pixels_copy((uint8_t *)expected, (const uint8_t *)from, RENEWED_WIDTH, order);
            renewal_put(&n, x, (uint8_t *)to, (const uint8_t *)from, cut, order);
            renewal_put(&n, x + cut, (uint8_t *)(to + cut), (const uint8_t *)(from + cut), RENEWED_WIDTH - cut, order);
            ck_assert_mem_eq(to, expected, sizeof(to));
            renewal_end(&n, &(struct display_rect){x, 9, RENEWED_WIDTH, 1}, &d);
            ck_assert_uint_eq(d.count, 1);
            ck_assert(in_damage(&d, x + at, 9));
            ck_assert_uint_le(d.rect[0].width, RENEWAL_TILE);
            renewal_put(&n, x, (uint8_t *)to, (const uint8_t *)from, RENEWED_WIDTH, order);
            d.count = 0;
            renewal_end(&n, &(struct display_rect){x, 9, RENEWED_WIDTH, 1}, &d);
            ck_assert_uint_eq(d.count, 0);
        }
    }
}
END_TEST

START_TEST(rectangles_do_not_wrap)
{
    const struct display_rect end = {UINT32_MAX, 0, UINT32_MAX, 1}, begin = {0, 0, 10, 10};
    struct display_rect r;

    ck_assert(!display_rect_fits(&end, 100, 100));
    ck_assert(!display_rect_fits(&(struct display_rect){1, 1, 0, 1}, 100, 100));
    ck_assert(display_rect_fits(&begin, 10, 10));
    ck_assert(!display_rect_fits(&begin, 10, 9));
    ck_assert(!display_rect_intersect(&end, &begin, &r));
    ck_assert(display_rect_intersect(&(struct display_rect){5, 9, UINT32_MAX, UINT32_MAX}, &begin, &r));
    ck_assert_uint_eq(r.width, 5);
    ck_assert_uint_eq(r.height, 1);
}
END_TEST

/* ---- Pixels --------------------------------------------------------------------------------- */

START_TEST(pixels_of_every_order_become_ours)
{
    static const struct {
        enum pixel_order order;
        uint8_t bytes[4];
    } samples[] = {{PIXEL_BGRA, {1, 2, 3, 4}}, {PIXEL_ARGB, {4, 3, 2, 1}}, {PIXEL_RGBA, {3, 2, 1, 4}},
                   {PIXEL_ABGR, {4, 1, 2, 3}}};
    static const uint8_t ours[4] = {1, 2, 3, 4};
    uint8_t src[41], dst[41];

    for (unsigned i = 0; i < ARRAY_SIZE(samples); i++) {
        for (unsigned n = 0; n < 10; n++)
            memcpy(src + 1 + 4 * n, samples[i].bytes, 4);
        memset(dst, 0, sizeof(dst));
        pixels_copy(dst, src + 1, 10, samples[i].order);
        for (unsigned n = 0; n < 10; n++)
            ck_assert_mem_eq(dst + 4 * n, ours, 4);
        ck_assert_uint_eq(dst[40], 0);
    }
}
END_TEST

/* ---- Memory --------------------------------------------------------------------------------- */

START_TEST(memory_is_bounded_and_used_again)
{
    struct display *d = make(10 * PAGE);
    struct display_image *a = display_image_new(d, 1024, 4), *b = display_image_new(d, 1024, 4), *c;

    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_nonnull(b);
    ck_assert_ptr_null(display_image_new(d, 1024, 3));
    ck_assert_ptr_null(display_image_new(d, DISPLAY_SIDE_MAX, DISPLAY_SIDE_MAX));
    memset(display_image_pixels(a), 0xff, 4 * PAGE);
    display_image_unref(a);
    c = display_image_new(d, 1024, 3);
    ck_assert_ptr_nonnull(c);
    for (unsigned i = 0; i < 3 * PAGE; i++)
        ck_assert_uint_eq(display_image_pixels(c)[i], 0);
    a = display_image_new(d, 512, 2);
    ck_assert_ptr_nonnull(a);
    display_image_unref(c);
    display_image_unref(b);
    display_image_unref(a);
    display_unref(d);
}
END_TEST

START_TEST(others_can_map_but_not_change_the_memory)
{
    struct display *d = make(10 * PAGE);
    struct display_image *image = display_image_new(d, 16, 16);
    const struct display_rect rect = {4, 2, 8, 8};
    struct display_view *v = look(d, 0);
    struct display_update u;
    const uint8_t *map;
    uint64_t size;
    int fd = display_view_memory(v, &size);

    display_image_pixels(image)[2 * 64 + 16] = 77;
    display_show(d, 0, image, &rect);
    ck_assert(display_view_update(v, &u));
    ck_assert_ptr_eq(mmap(NULL, size, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(map, MAP_FAILED);
    ck_assert_uint_eq(map[u.offset], 77);
    ck_assert_uint_eq(u.pixels[0], 77);
    ck_assert_uint_eq(u.stride, 64);
    munmap((void *)(uintptr_t)map, size);
    display_view_free(v);
    display_image_unref(image);
    display_unref(d);
}
END_TEST

/* ---- Views ---------------------------------------------------------------------------------- */

START_TEST(a_view_hears_of_changes_once)
{
    struct display *d = make(MIB);
    struct display_image *image = display_image_new(d, 100, 50);
    struct display_view *v = look(d, 0), *other = look(d, 1);
    struct display_update u;

    ck_assert(awake(v));
    ck_assert(display_view_update(v, &u));
    ck_assert(!u.shown && !u.pixels && u.resized);
    ck_assert_uint_eq(u.size.width, 640);
    ck_assert(!awake(v));
    ck_assert(!display_view_update(v, &u));
    ck_assert(!u.resized);

    display_show(d, 0, image, &(struct display_rect){0, 0, 100, 50});
    ck_assert(awake(v));
    ck_assert(display_view_update(v, &u));
    ck_assert(u.shown && u.resized);
    ck_assert_uint_eq(u.damage.count, 1);
    ck_assert_uint_eq(u.damage.rect[0].width, 100);

    display_damage(d, 0, &(struct display_rect){90, 10, 100, 5});
    display_damage(d, 0, &(struct display_rect){1, 1, 1, 1});
    display_damage(d, 0, &(struct display_rect){100, 1, 1, 1}); /* outside */
    ck_assert(display_view_update(v, &u));
    ck_assert(!awake(v) && !u.resized);
    ck_assert_uint_eq(u.damage.count, 2);
    ck_assert_uint_eq(u.damage.rect[0].width, 10);
    display_show(d, 0, image, &(struct display_rect){0, 0, 100, 50}); /* the same: nothing */
    ck_assert(!awake(v));
    ck_assert(display_view_update(other, &u));
    ck_assert_uint_eq(u.size.width, 800);
    display_view_free(v);
    display_view_free(other);
    display_image_unref(image);
    display_unref(d);
}
END_TEST

static void on_taken(void *arg, unsigned scanout)
{
    *(unsigned *)arg += 1;
}

/* Only all viewers together let a change wait, and it is told once when that is over. */
START_TEST(a_device_hears_when_a_viewer_is_ready_for_more)
{
    struct display *d = make(MIB);
    struct display_image *image = display_image_new(d, 100, 50);
    const struct display_rect all = {0, 0, 100, 50};
    struct display_view *v = look(d, 0), *other = look(d, 0);
    struct display_update u;
    unsigned taken = 0;

    display_call_when_taken(d, on_taken, &taken);
    ck_assert(display_is_awaited(d, 0) && !display_is_awaited(d, 1));
    display_show(d, 0, image, &all);
    ck_assert(!display_is_awaited(d, 0));
    ck_assert(display_view_update(v, &u));
    ck_assert_uint_eq(taken, 1);
    ck_assert(display_is_awaited(d, 0));
    ck_assert(display_view_update(other, &u));
    ck_assert_uint_eq(taken, 1);
    display_damage(d, 0, &all);
    ck_assert(!display_is_awaited(d, 0));
    display_call_when_taken(d, NULL, NULL);
    ck_assert(display_view_update(v, &u));
    ck_assert_uint_eq(taken, 1);
    display_view_free(v);
    display_view_free(other);
    display_image_unref(image);
    display_unref(d);
}
END_TEST

START_TEST(pictures_live_as_long_as_they_are_looked_at)
{
    struct display *d = make(MIB);
    struct display_image *image = display_image_new(d, 8, 8);
    struct display_view *v = look(d, 0);
    struct display_update u;

    memset(display_image_pixels(image), 9, 256);
    display_show(d, 0, image, &(struct display_rect){0, 0, 8, 8});
    display_image_unref(image);
    ck_assert(display_view_update(v, &u));
    display_show(d, 0, NULL, NULL);
    display_end(d);
    display_unref(d);
    ck_assert_uint_eq(u.pixels[255], 9);
    ck_assert(display_view_update(v, &u));
    ck_assert(u.ended && !u.shown);
    ck_assert_ptr_null(u.pixels);
    display_view_free(v);
}
END_TEST

START_TEST(who_reads_while_it_is_drawn_can_know)
{
    struct display *d = make(MIB);
    struct display_image *image = display_image_new(d, 8, 8);
    struct display_view *v = look(d, 0);
    struct display_update u;

    display_show(d, 0, image, &(struct display_rect){0, 0, 8, 8});
    display_view_update(v, &u);
    ck_assert(display_view_is_whole(v));
    display_image_begin(image);
    ck_assert(!display_view_is_whole(v));
    display_view_update(v, &u);
    ck_assert(!display_view_is_whole(v));
    display_image_end(image);
    ck_assert(!display_view_is_whole(v));
    display_view_update(v, &u);
    ck_assert(display_view_is_whole(v));
    display_view_free(v);
    display_image_unref(image);
    display_unref(d);
}
END_TEST

START_TEST(cursors_are_seen)
{
    struct display *d = make(MIB);
    struct display_cursor c = {.visible = true, .x = -3, .y = 4, .width = 2, .height = 2, .hot_x = 1,
                               .pixels = {1, 2, 3, 4}}, got;
    struct display_view *v = look(d, 0);
    struct display_update u;

    display_view_update(v, &u);
    display_set_cursor(d, 0, &c);
    ck_assert(display_view_update(v, &u));
    ck_assert(u.cursor_changed && u.cursor_moved);
    display_view_cursor(v, &got);
    ck_assert_mem_eq(&got, &c, sizeof(c));
    display_set_cursor(d, 0, &c);
    ck_assert(display_view_update(v, &u));
    ck_assert(!u.cursor_changed && !u.cursor_moved);
    display_move_cursor(d, 0, 9, 9);
    display_view_update(v, &u);
    ck_assert(!u.cursor_changed && u.cursor_moved);
    display_view_cursor(v, &got);
    ck_assert_int_eq(got.x, 9);
    display_clear(d);
    display_view_update(v, &u);
    display_view_cursor(v, &got);
    ck_assert(u.cursor_changed && !got.visible);
    display_view_free(v);
    display_unref(d);
}
END_TEST

START_TEST(a_change_of_size_begins_and_ends)
{
    struct display *d = make(MIB);
    struct display_image *image = display_image_new(d, 100, 100);

    display_show(d, 0, image, &(struct display_rect){0, 0, 100, 50}); /* the guest's own */
    ck_assert_uint_eq(begun, 1);
    ck_assert_uint_eq(done, 1);
    display_set_wish(d, 0, (struct display_size){100, 100}, true);
    display_set_wish(d, 0, (struct display_size){100, 90}, true);
    ck_assert_uint_eq(begun, 2);
    ck_assert_uint_eq(done, 1);
    display_show(d, 0, NULL, NULL);
    ck_assert_uint_eq(done, 1);
    display_show(d, 0, image, &(struct display_rect){0, 0, 100, 90});
    ck_assert_uint_eq(begun, 2);
    ck_assert_uint_eq(done, 2);
    display_set_wish(d, 1, (struct display_size){1, 1}, false); /* nobody follows */
    ck_assert_uint_eq(done, 3);
    display_set_wish(d, 0, (struct display_size){7, 7}, true);
    display_clear(d); /* who was to follow is gone */
    ck_assert_uint_eq(begun, 4);
    ck_assert_uint_eq(done, 4);
    display_image_unref(image);
    display_unref(d);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, damage_is_never_less_than_what_changed);
    UNIT_TEST(s, damage_inside_other_damage_is_one);
    UNIT_TEST(s, damage_beside_other_damage_is_one);
    UNIT_TEST(s, what_differs_is_exchanged_and_told);
    UNIT_TEST(s, rectangles_do_not_wrap);
    UNIT_TEST(s, pixels_of_every_order_become_ours);
    UNIT_TEST(s, memory_is_bounded_and_used_again);
    UNIT_TEST(s, others_can_map_but_not_change_the_memory);
    UNIT_TEST(s, a_view_hears_of_changes_once);
    UNIT_TEST(s, a_device_hears_when_a_viewer_is_ready_for_more);
    UNIT_TEST(s, pictures_live_as_long_as_they_are_looked_at);
    UNIT_TEST(s, who_reads_while_it_is_drawn_can_know);
    UNIT_TEST(s, cursors_are_seen);
    UNIT_TEST(s, a_change_of_size_begins_and_ends);
}

UNIT_TEST_MAIN("display", add_tests)
