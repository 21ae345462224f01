/* SPDX-License-Identifier: MIT */
/* Writer and reader of state sections; the wire format is in docs/state-format.md.
 *
 * The writer walks a table and trusts it (tables are ours). The reader walks the bytes, which may
 * come from anywhere: every length is checked against what is left before it is used, the depth of
 * nesting is that of the table, and nothing is allocated but blobs, up to what the table says. */
#include "state/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/le.h"

#define SECTION_MAGIC  0x54535a56u /* "VZST" */
#define SECTION_HEADER 20          /* magic, body length, version, instance, name length */
#define FIELD_HEADER   8           /* kind, name length, element size, 0, data length */
#define NAME_MAX_LEN   64

/* ---- Writer --------------------------------------------------------------------------------- */

void state_writer_fini(struct state_writer *w)
{
    free(w->data);
    *w = (struct state_writer){0};
}

/* Room for len more bytes, or NULL. */
static uint8_t *grow(struct state_writer *w, size_t len)
{
    if (w->failed)
        return NULL;
    if (len > w->capacity - w->len) {
        size_t capacity = MAX(w->capacity * 2, w->len + len + 1024);
        uint8_t *data = realloc(w->data, capacity);

        if (!data) {
            w->failed = true;
            return NULL;
        }
        w->data = data;
        w->capacity = capacity;
    }
    w->len += len;
    return w->data + w->len - len;
}

static void put(struct state_writer *w, const void *p, size_t len)
{
    uint8_t *to = grow(w, len);

    if (to)
        memcpy(to, p, len);
}

static void put_u32(struct state_writer *w, uint32_t v)
{
    uint8_t le[4];

    store_le32(le, v);
    put(w, le, sizeof(le));
}

/* Write the length of all that follows offset at + 4 into the place kept for it. */
static void patch_len(struct state_writer *w, size_t at)
{
    if (!w->failed)
        store_le32(w->data + at, (uint32_t)(w->len - at - 4));
}

static void save_fields(struct state_writer *w, const struct state_field *fields,
                        const uint8_t *object);

static void save_structs(struct state_writer *w, const struct state_field *f, const uint8_t *p,
                         uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        size_t at = w->len;

        put_u32(w, 0);
        save_fields(w, f->fields, p + (size_t)i * f->size);
        patch_len(w, at);
    }
}

static void save_list(struct state_writer *w, const struct state_field *f, const uint8_t *object)
{
    uint32_t count;
    const uint8_t *list;

    memcpy(&count, object + f->count, sizeof(count));
    memcpy(&list, object + f->offset, sizeof(list));
    save_structs(w, f, list, count);
}

static void save_field(struct state_writer *w, const struct state_field *f, const uint8_t *object)
{
    const uint8_t *p = object + f->offset;
    uint8_t head[4] = {(uint8_t)f->kind, (uint8_t)strlen(f->name), 0, 0};
    size_t len_at, elem_at;

    if (f->kind == STATE_KIND_UINT || f->kind == STATE_KIND_ARRAY)
        head[2] = (uint8_t)f->size;
    put(w, head, sizeof(head));
    len_at = w->len;
    put_u32(w, 0);
    put(w, f->name, head[1]);
    elem_at = w->len;
    if (f->kind == STATE_KIND_STRUCT) {
        save_structs(w, f, p, f->count);
    } else if (f->kind == STATE_KIND_BLOB) {
        const struct state_blob *b = (const void *)p;

        if (b->len)
            put(w, b->data, b->len);
    } else if (f->kind == STATE_KIND_LIST) {
        save_list(w, f, object);
    } else if (f->kind == STATE_KIND_BOOL) {
        put(w, *p ? "\1" : "\0", 1);
    } else {
        put(w, p, (size_t)f->size * f->count); /* the host is little-endian */
    }
    if (!w->failed)
        store_le32(w->data + len_at, (uint32_t)(w->len - elem_at));
}

static void save_fields(struct state_writer *w, const struct state_field *fields,
                        const uint8_t *object)
{
    for (; fields->kind != STATE_KIND_END; fields++)
        save_field(w, fields, object);
}

int state_save(struct state_writer *w, const struct state_desc *desc, uint32_t instance,
               const void *object)
{
    uint32_t name_len = (uint32_t)strlen(desc->name);
    size_t len_at;

    put_u32(w, SECTION_MAGIC);
    len_at = w->len;
    put_u32(w, 0);
    put_u32(w, desc->version);
    put_u32(w, instance);
    put_u32(w, name_len);
    put(w, desc->name, name_len);
    save_fields(w, desc->fields, object);
    patch_len(w, len_at);
    return w->failed ? -ENOMEM : 0;
}

/* ---- Reader --------------------------------------------------------------------------------- */

/* What is left to read. */
struct reader {
    const uint8_t *p;
    size_t len;
};

/* The next len bytes, or NULL when they are not there. */
static const uint8_t *take(struct reader *r, size_t len)
{
    const uint8_t *p = r->p;

    if (len > r->len)
        return NULL;
    r->p += len;
    r->len -= len;
    return p;
}

static int damaged(struct vz_error *err, const char *what)
{
    return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s", what);
}

static uint64_t load_uint(const uint8_t *p, unsigned size)
{
    switch (size) {
    case 1: return *p;
    case 2: return load_le16(p);
    case 4: return load_le32(p);
    default: return load_le64(p);
    }
}

static void store_uint(uint8_t *p, unsigned size, uint64_t v)
{
    memcpy(p, &v, size);
}

/* count unsigned integers of wire_size bytes each into the field at p. */
static int load_uints(const struct state_field *f, struct reader *r, unsigned wire_size, uint8_t *p,
                      struct vz_error *err)
{
    uint64_t max = f->size < 8 ? MIN(f->max, BIT(8 * f->size) - 1) : f->max;

    if (!is_power_of_two(wire_size) || wire_size > 8 || r->len != (size_t)wire_size * f->count)
        return damaged(err, "wrong length");
    for (uint32_t i = 0; i < f->count; i++) {
        uint64_t v = load_uint(r->p + (size_t)i * wire_size, wire_size);

        if (v > max)
            return error_set(err, EINVAL, VZ_ERROR_INVALID, "value %#llx out of range",
                             (unsigned long long)v);
        store_uint(p + (size_t)i * f->size, f->size, v);
    }
    return 0;
}

static int load_fields(const struct state_field *fields, struct reader *r, uint8_t *object,
                       struct vz_error *err);

static int load_structs(const struct state_field *f, struct reader *r, uint8_t *p, uint32_t count,
                        struct vz_error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *len = take(r, 4);
        struct reader element;
        int ret;

        if (!len)
            return damaged(err, "too few elements");
        element.len = load_le32(len);
        element.p = take(r, element.len);
        if (!element.p)
            return damaged(err, "element is cut short");
        ret = load_fields(f->fields, &element, p + (size_t)i * f->size, err);
        if (ret < 0) {
            error_prefix(err, "[%u]", i);
            return ret;
        }
    }
    return r->len ? damaged(err, "too many elements") : 0;
}

static int load_blob(const struct state_field *f, const struct reader *r, struct state_blob *b,
                     struct vz_error *err)
{
    uint8_t *data;

    if (r->len > f->max)
        return damaged(err, "too long");
    data = malloc(r->len + 1);
    if (!data)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    memcpy(data, r->p, r->len);
    free(b->data);
    *b = (struct state_blob){data, r->len};
    return 0;
}

/* How many elements there are, as far as their lengths tell. */
static uint64_t count_structs(struct reader r)
{
    const uint8_t *len;
    uint64_t count = 0;

    while ((len = take(&r, 4)) && take(&r, load_le32(len)))
        count++;
    return count;
}

/* What is allocated is bounded by the table, and by what is there to be read. */
static int load_list(const struct state_field *f, struct reader *r, uint8_t *object,
                     struct vz_error *err)
{
    uint64_t n = count_structs(*r);
    uint32_t count;
    uint8_t *list;

    memcpy(&count, object + f->count, sizeof(count));
    if (count || n > MIN(f->max, (uint64_t)UINT32_MAX))
        return damaged(err, "too many elements");
    if (!r->len)
        return 0;
    list = calloc(n + 1, f->size);
    if (!list)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    count = (uint32_t)n;
    memcpy(object + f->count, &count, sizeof(count));
    memcpy(object + f->offset, &list, sizeof(list));
    return load_structs(f, r, list, count, err);
}

static int load_field(const struct state_field *f, const uint8_t *head, struct reader *r,
                      uint8_t *object, struct vz_error *err)
{
    uint8_t *p = object + f->offset;

    if (head[0] != f->kind)
        return damaged(err, "wrong kind");
    switch (f->kind) {
    case STATE_KIND_BOOL:
        if (r->len != 1 || *r->p > 1)
            return damaged(err, "not a boolean");
        *(bool *)p = *r->p;
        return 0;
    case STATE_KIND_UINT:
    case STATE_KIND_ARRAY:
        return load_uints(f, r, head[2], p, err);
    case STATE_KIND_BYTES:
        if (r->len != f->size)
            return damaged(err, "wrong length");
        memcpy(p, r->p, f->size);
        return 0;
    case STATE_KIND_STRUCT:
        return load_structs(f, r, p, f->count, err);
    case STATE_KIND_BLOB:
        return load_blob(f, r, (struct state_blob *)p, err);
    case STATE_KIND_LIST:
        return load_list(f, r, object, err);
    default:
        return damaged(err, "wrong kind");
    }
}

static const struct state_field *find_field(const struct state_field *fields, const uint8_t *name,
                                            size_t len)
{
    for (; fields->kind != STATE_KIND_END; fields++) {
        if (strlen(fields->name) == len && !memcmp(fields->name, name, len))
            return fields;
    }
    return NULL;
}

/* One field of the list in r. seen: bit per table entry, so that none is loaded twice. */
static int load_next(const struct state_field *fields, struct reader *r, uint64_t *seen,
                     uint8_t *object, struct vz_error *err)
{
    const struct state_field *f;
    const uint8_t *head = take(r, FIELD_HEADER), *name;
    struct reader data;
    size_t index;
    int ret;

    if (!head || !(name = take(r, head[1])))
        return damaged(err, "cut short");
    data.len = load_le32(head + 4);
    data.p = take(r, data.len);
    if (!data.p)
        return damaged(err, "cut short");
    f = find_field(fields, name, head[1]);
    if (!f)
        return damaged(err, "unknown field");
    index = (size_t)(f - fields);
    if (index < 64 && (*seen & BIT(index)))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s: given twice", f->name);
    *seen |= index < 64 ? BIT(index) : 0;
    ret = load_field(f, head, &data, object, err);
    if (ret < 0)
        error_prefix(err, "%s", f->name);
    return ret;
}

static int load_fields(const struct state_field *fields, struct reader *r, uint8_t *object,
                       struct vz_error *err)
{
    uint64_t seen = 0;

    while (r->len) {
        int ret = load_next(fields, r, &seen, object, err);

        if (ret < 0)
            return ret;
    }
    return 0;
}

struct section {
    uint32_t version, instance;
    const uint8_t *name;
    uint32_t name_len;
    struct reader body;
};

static int next_section(struct reader *r, struct section *ret, struct vz_error *err)
{
    const uint8_t *head = take(r, SECTION_HEADER);
    uint32_t body_len;

    if (!head || load_le32(head) != SECTION_MAGIC)
        return damaged(err, "saved state is damaged: no section header");
    body_len = load_le32(head + 4);
    ret->version = load_le32(head + 8);
    ret->instance = load_le32(head + 12);
    ret->name_len = load_le32(head + 16);
    if (body_len < SECTION_HEADER - 8)
        return damaged(err, "saved state is damaged: section too short");
    ret->body.len = body_len - (SECTION_HEADER - 8);
    ret->body.p = take(r, ret->body.len);
    if (!ret->body.p)
        return damaged(err, "saved state is damaged: cut short");
    ret->name = ret->name_len <= NAME_MAX_LEN ? take(&ret->body, ret->name_len) : NULL;
    return ret->name ? 0 : damaged(err, "saved state is damaged: bad section name");
}

static bool section_is(const struct section *s, const struct state_desc *desc, uint32_t instance)
{
    return s->instance == instance && s->name_len == strlen(desc->name) &&
           !memcmp(s->name, desc->name, s->name_len);
}

static int load_section(struct section *s, const struct state_desc *desc, void *object,
                        struct vz_error *err)
{
    int ret;

    if (s->version > desc->version)
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "saved by a newer version (%u, this is %u)", s->version, desc->version);
    ret = load_fields(desc->fields, &s->body, object, err);
    if (!ret && desc->loaded)
        ret = desc->loaded(object, err);
    return ret;
}

int state_append(struct state_writer *w, const void *sections, size_t len)
{
    put(w, sections, len);
    return w->failed ? -ENOMEM : 0;
}

int state_check(const void *data, size_t len, struct vz_error *err)
{
    struct reader r = {data, len};
    struct section s;
    int ret = 0;

    while (!ret && r.len)
        ret = next_section(&r, &s, err);
    return ret;
}

int state_load(const void *data, size_t len, const struct state_desc *desc, uint32_t instance,
               void *object, struct vz_error *err)
{
    struct reader r = {data, len};
    struct section s;
    int ret;

    while (r.len) {
        ret = next_section(&r, &s, err);
        if (ret < 0)
            return ret;
        if (!section_is(&s, desc, instance))
            continue;
        ret = load_section(&s, desc, object, err);
        if (ret < 0)
            error_prefix(err, "state of %s %u", desc->name, instance);
        return ret;
    }
    return error_set(err, ENOENT, VZ_ERROR_INVALID, "state of %s %u: not there", desc->name,
                     instance);
}
