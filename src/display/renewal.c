/* SPDX-License-Identifier: MIT */
#include "display/renewal.h"

#include <string.h>

/* What was found to differ once is copied from there on: to look at it costs as much. */
static void put_piece(bool *differs, uint8_t *dst, const uint8_t *src, size_t count, enum pixel_order order)
{
    *differs = *differs || pixels_differ(dst, src, count, order);
    if (*differs)
        pixels_copy(dst, src, count, order);
}

void renewal_put(struct renewal *n, uint32_t x, uint8_t *dst, const uint8_t *src, uint64_t count,
                 enum pixel_order order)
{
    while (count) {
        uint32_t piece = (uint32_t)MIN(count, RENEWAL_TILE - x % RENEWAL_TILE);

        put_piece(&n->differs[x / RENEWAL_TILE], dst, src, piece, order);
        x += piece;
        dst += 4 * (size_t)piece;
        src += 4 * (size_t)piece;
        count -= piece;
    }
}

/* Tiles beside each other are one rectangle. */
void renewal_end(struct renewal *n, const struct display_rect *rect, struct damage *ret)
{
    const uint32_t end = rect->x + rect->width;
    uint32_t x, next;

    for (x = rect->x; x < end; x = next) {
        bool differs = n->differs[x / RENEWAL_TILE];

        for (next = x; next < end && n->differs[next / RENEWAL_TILE] == differs;)
            next = MIN(end, (next / RENEWAL_TILE + 1) * RENEWAL_TILE);
        if (differs)
            damage_add(ret, &(struct display_rect){x, rect->y, next - x, rect->height});
    }
    memset(n->differs, false, sizeof(n->differs));
}
