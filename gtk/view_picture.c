/* SPDX-License-Identifier: MIT */
#include "view_picture.h"

#include <string.h>

#define TILE 256u

/* Blue, green, red and 255, whatever the guest has there. */
#define FORMAT GDK_MEMORY_B8G8R8A8_PREMULTIPLIED

void view_picture_clear(struct view_picture *p)
{
    for (unsigned i = 0; i < p->columns * p->rows; i++)
        g_clear_object(&p->tile[i]);
    g_free(p->tile);
    g_clear_object(&p->whole);
    *p = (struct view_picture){.width = 0};
}

static void set_size(struct view_picture *p, uint32_t width, uint32_t height)
{
    if (p->width == width && p->height == height)
        return;
    view_picture_clear(p);
    p->width = width;
    p->height = height;
    p->columns = (width + TILE - 1) / TILE;
    p->rows = (height + TILE - 1) / TILE;
    p->tile = g_new0(GdkTexture *, (gsize)p->columns * p->rows);
}

static uint32_t side(uint32_t whole, unsigned index)
{
    return MIN(whole - index * TILE, TILE);
}

static void make_tile(struct view_picture *p, unsigned column, unsigned row, uint32_t stride, const uint8_t *pixels)
{
    uint32_t width = side(p->width, column), height = side(p->height, row);
    uint32_t *to = g_malloc((gsize)width * height * 4);
    GBytes *bytes = g_bytes_new_take(to, (gsize)width * height * 4);
    GdkTexture **tile = &p->tile[row * p->columns + column];

    for (uint32_t y = 0; y < height; y++) {
        const void *line = pixels + (gsize)(row * TILE + y) * stride;
        const uint32_t *from = (const uint32_t *)line + column * TILE;

        for (uint32_t x = 0; x < width; x++)
            to[(gsize)y * width + x] = from[x] | GUINT32_TO_LE(0xff000000u);
    }
    g_clear_object(tile);
    *tile = gdk_memory_texture_new((int)width, (int)height, FORMAT, bytes, (gsize)width * 4);
    g_bytes_unref(bytes);
}

/* Is the tile in any of the rectangles? */
static gboolean is_damaged(const struct vz_channel_update *u, uint32_t x, uint32_t y)
{
    for (uint32_t i = 0; i < u->damage_count; i++) {
        const struct vz_display_rect *r = &u->damage[i];

        if (r->x < x + TILE && x < r->x + r->width && r->y < y + TILE && y < r->y + r->height)
            return TRUE;
    }
    return FALSE;
}

void view_picture_update(struct view_picture *p, const struct vz_channel_update *u, const uint8_t *pixels)
{
    set_size(p, u->width, u->height);
    for (unsigned row = 0; row < p->rows; row++) {
        for (unsigned column = 0; column < p->columns; column++) {
            if (!pixels)
                g_clear_object(&p->tile[row * p->columns + column]);
            else if (is_damaged(u, column * TILE, row * TILE))
                make_tile(p, column, row, u->stride, pixels);
        }
    }
    if (u->damage_count || !pixels)
        g_clear_object(&p->whole);
}

/* A texture has no part to be written, so this is all of the pixels again. */
static GdkTexture *join_tiles(const struct view_picture *p)
{
    gsize stride = (gsize)p->width * 4;
    guchar *to = g_malloc(stride * p->height);
    GBytes *bytes = g_bytes_new_take(to, stride * p->height);
    GdkTexture *whole;

    memset(to, 0, stride * p->height);
    for (unsigned i = 0; i < p->columns * p->rows; i++) {
        unsigned column = i % p->columns, row = i / p->columns;

        if (p->tile[i])
            gdk_texture_download(p->tile[i], to + (gsize)row * TILE * stride + (gsize)column * TILE * 4, stride);
    }
    for (gsize i = 3; i < stride * p->height; i += 4)
        to[i] = 0xff;
    whole = gdk_memory_texture_new((int)p->width, (int)p->height, FORMAT, bytes, stride);
    g_bytes_unref(bytes);
    return whole;
}

GdkTexture *view_picture_whole(struct view_picture *p)
{
    if (!p->whole && p->width)
        p->whole = join_tiles(p);
    return p->whole;
}

/* Where pixels are pixels, tiles fit without a seam. Elsewhere their edges would be seen. */
void view_picture_draw(struct view_picture *p, GtkSnapshot *snapshot, const struct view_place *place)
{
    const float scale = (float)place->scale;

    if (!place->exact) {
        gtk_snapshot_append_texture(snapshot, view_picture_whole(p),
                                    &GRAPHENE_RECT_INIT((float)place->x, (float)place->y, (float)p->width * scale,
                                                        (float)p->height * scale));
        return;
    }
    for (unsigned i = 0; i < p->columns * p->rows; i++) {
        unsigned column = i % p->columns, row = i / p->columns;

        if (p->tile[i])
            gtk_snapshot_append_texture(snapshot, p->tile[i],
                                        &GRAPHENE_RECT_INIT((float)place->x + (float)(column * TILE) * scale,
                                                            (float)place->y + (float)(row * TILE) * scale,
                                                            (float)side(p->width, column) * scale,
                                                            (float)side(p->height, row) * scale));
    }
}
