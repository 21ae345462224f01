/* SPDX-License-Identifier: MIT */
#include "efi/efi_variables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/le.h"

#define VOLUME_HEADER_LEN_AT 48u /* PI 1.7, volume 3, 3.2.1 */
#define REGION_HEADER_LEN    28u /* GUID, size, format, state */
#define REGION_SIZE_AT       16u
#define REGION_FORMAT_AT     20u
#define REGION_FORMATTED     0x5a
#define REGION_HEALTHY       0xfe

enum { START_ID = 0x55aa };
/* Bits of a state are cleared: 0xff, header valid, added, being replaced, deleted. */
enum { HEADER_VALID = 0x7f, ADDED = 0x3f, BEING_REPLACED = 0x3e, NOT_DELETED_MASK = 0xfd };

/* Where things are in a variable's header, which has more in it where variables can be authenticated. */
struct layout {
    uint32_t header_len, name_len_at, data_len_at, guid_at;
};
#define STATE_AT      2u
#define ATTRIBUTES_AT 4u

static const struct layout plain = {32, 8, 12, 16}, authenticated = {60, 36, 40, 44};

static const uint8_t plain_guid[16] = {0x16, 0x36, 0xcf, 0xdd, 0x75, 0x32, 0x64, 0x41,
                                       0x98, 0xb6, 0xfe, 0x85, 0x70, 0x7f, 0xfe, 0x7d};
static const uint8_t authenticated_guid[16] = {0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43,
                                               0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92};

/* The part of the store that has variables: [first, end). */
struct region {
    const struct layout *layout;
    uint32_t first, end;
};

static int find_region(const struct efi_store *s, struct region *ret)
{
    uint32_t at = load_le16(s->data + VOLUME_HEADER_LEN_AT);
    const uint8_t *p = s->data + at;

    if (!range_fits(at, REGION_HEADER_LEN, s->len))
        return -EINVAL;
    ret->layout = !memcmp(p, authenticated_guid, 16) ? &authenticated
                  : !memcmp(p, plain_guid, 16)       ? &plain
                                                     : NULL;
    if (!ret->layout || p[REGION_FORMAT_AT] != REGION_FORMATTED ||
        p[REGION_FORMAT_AT + 1] != REGION_HEALTHY ||
        !range_fits(at, load_le32(p + REGION_SIZE_AT), s->len))
        return -EINVAL;
    ret->first = at + REGION_HEADER_LEN;
    ret->end = at + load_le32(p + REGION_SIZE_AT);
    return ret->first <= ret->end ? 0 : -EINVAL;
}

static uint32_t place_behind(uint32_t end)
{
    return (uint32_t)align_up(end, 4);
}

/* What is at v->at, of whatever state. 1; 0: nothing more was written; -EINVAL. */
static int look(const struct efi_store *s, const struct region *r, struct efi_variable *v,
                uint32_t *ret_end)
{
    const struct layout *l = r->layout;
    const uint8_t *p = s->data + v->at;
    uint64_t end;

    if (!range_fits(v->at, l->header_len, r->end) || load_le16(p) != START_ID)
        return 0;
    v->name_len = load_le32(p + l->name_len_at);
    v->len = load_le32(p + l->data_len_at);
    if (p[STATE_AT] == 0xff) /* nothing of it is there but room */
        v->name_len = v->len = 0;
    end = (uint64_t)v->at + l->header_len + v->name_len + v->len;
    if (end > r->end || v->name_len % 2)
        return -EINVAL;
    v->name = p + l->header_len;
    v->data = v->name + v->name_len;
    v->attributes = load_le32(p + ATTRIBUTES_AT);
    memcpy(v->guid.bytes, p + l->guid_at, 16);
    *ret_end = place_behind((uint32_t)end);
    return 1;
}

static bool is_there(const struct efi_store *s, const struct efi_variable *v)
{
    uint8_t state = s->data[v->at + STATE_AT];

    return (state == ADDED || state == BEING_REPLACED) && v->name_len >= 4;
}

static bool same_name(const struct efi_variable *a, const uint8_t *name, uint32_t name_len,
                      const struct efi_guid *guid)
{
    return a->name_len == name_len && !memcmp(a->name, name, name_len) &&
           !memcmp(&a->guid, guid, sizeof(*guid));
}

/* One that was being replaced is the variable unless its replacement has come, which may be in front of it
 * after firmware has made room. */
static bool was_replaced(const struct efi_store *s, const struct region *r,
                         const struct efi_variable *v)
{
    struct efi_variable other = {.at = r->first};
    uint32_t next;

    if (s->data[v->at + STATE_AT] != BEING_REPLACED)
        return false;
    while (look(s, r, &other, &next) > 0) {
        if (s->data[other.at + STATE_AT] == ADDED &&
            same_name(&other, v->name, v->name_len, &v->guid))
            return true;
        other.at = next;
    }
    return false;
}

int efi_variable_next(const struct efi_store *s, struct efi_variable *v)
{
    struct region region;
    uint32_t next;
    int r = find_region(s, &region);

    if (r < 0)
        return r;
    if (v->at) {
        r = look(s, &region, v, &next);
        if (r <= 0)
            return r;
        v->at = next;
    } else {
        v->at = region.first;
    }
    while ((r = look(s, &region, v, &next)) > 0) {
        if (is_there(s, v) && !was_replaced(s, &region, v))
            return 1;
        v->at = next;
    }
    return r;
}

int efi_variable_find(const struct efi_store *s, const uint8_t *name, uint32_t name_len,
                      const struct efi_guid *guid, struct efi_variable *ret)
{
    const struct efi_guid wanted = *guid; /* which may be ret's */
    int r;

    *ret = (struct efi_variable){.at = 0};
    while ((r = efi_variable_next(s, ret)) > 0) {
        if (same_name(ret, name, name_len, &wanted))
            return 1;
    }
    return r;
}

/* ---- Changes --------------------------------------------------------------------------------- */

static int write_now(struct efi_store *s, uint32_t at, const void *bytes, uint32_t len)
{
    int r = efi_store_write(s, at, bytes, len);

    if (!r) {
        memcpy(s->data + at, bytes, len);
        efi_store_sync(s);
    }
    return r;
}

static int write_state(struct efi_store *s, uint32_t at, uint8_t state)
{
    return write_now(s, at + STATE_AT, &state, 1);
}

/* Where the next variable goes: behind the last that was begun, where everything is erased. */
static int find_room(const struct efi_store *s, const struct region *r, uint32_t len,
                     uint32_t *ret_at)
{
    struct efi_variable v = {.at = r->first};
    uint32_t next;
    int e;

    while ((e = look(s, r, &v, &next)) > 0)
        v.at = next;
    if (e < 0)
        return e;
    if (!range_fits(v.at, len, r->end))
        return -ENOSPC;
    for (uint32_t i = v.at; i < r->end; i++) { /* else what one of just that length ends at would be variables again */
        if (s->data[i] != 0xff)
            return -EINVAL;
    }
    *ret_at = v.at;
    return 0;
}

static int write_variable(struct efi_store *s, const struct layout *l, const struct efi_variable *v,
                          uint32_t at, uint32_t len)
{
    uint8_t *p = calloc(1, len);
    int r;

    if (!p)
        return -ENOMEM;
    store_le16(p, START_ID);
    p[STATE_AT] = HEADER_VALID;
    store_le32(p + ATTRIBUTES_AT, v->attributes);
    store_le32(p + l->name_len_at, v->name_len);
    store_le32(p + l->data_len_at, v->len);
    memcpy(p + l->guid_at, v->guid.bytes, 16);
    memcpy(p + l->header_len, v->name, v->name_len);
    if (v->len)
        memcpy(p + l->header_len + v->name_len, v->data, v->len);
    r = write_now(s, at, p, len);
    free(p);
    return r < 0 ? r : write_state(s, at, ADDED);
}

static int delete_in_state(struct efi_store *s, const struct region *region, const struct efi_variable *v, uint8_t state,
                           uint32_t but)
{
    struct efi_variable other = {.at = region->first};
    uint32_t next;
    int r = 0;

    for (; !r && look(s, region, &other, &next) > 0; other.at = next) {
        if (other.at != but && s->data[other.at + STATE_AT] == state &&
            same_name(&other, v->name, v->name_len, &v->guid))
            r = write_state(s, other.at, state & NOT_DELETED_MASK);
    }
    return r;
}

/* All records of that name but the one at `but`: a store that is damaged, or somebody else's, may have several, of which one
 * more would be the variable whenever another goes. Those that were being replaced first: where it ends in between, none
 * of them has come back. */
static int delete_records(struct efi_store *s, const struct region *region, const struct efi_variable *v, uint32_t but)
{
    int r = delete_in_state(s, region, v, BEING_REPLACED, but);

    return r < 0 ? r : delete_in_state(s, region, v, ADDED, but);
}

int efi_variable_set(struct efi_store *s, const struct efi_variable *v)
{
    struct efi_variable old;
    struct region region;
    uint32_t at, len;
    int r = find_region(s, &region), found;

    if (r < 0)
        return r;
    if (v->name_len > region.end || v->len > region.end)
        return -ENOSPC;
    found = efi_variable_find(s, v->name, v->name_len, &v->guid, &old);
    if (found < 0)
        return found;
    len = region.layout->header_len + v->name_len + v->len;
    r = find_room(s, &region, len, &at);
    if (!r && found)
        r = write_state(s, old.at, BEING_REPLACED);
    if (!r)
        r = write_variable(s, region.layout, v, at, len);
    return r < 0 || !found ? r : delete_records(s, &region, v, at);
}

int efi_variable_delete(struct efi_store *s, const struct efi_variable *v)
{
    struct region region;
    int r = find_region(s, &region);

    return r < 0 ? r : delete_records(s, &region, v, 0);
}
