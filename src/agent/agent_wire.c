/* SPDX-License-Identifier: MIT */
#include "agent/agent_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"

#define FIELD_HEADER 8u /* le16 key, le16 nothing, le32 length */

int agent_frame_next(const struct agent_bytes *in, struct agent_frame *ret)
{
    const uint8_t *p = agent_bytes_front(in);
    uint32_t len;

    if (in->len < AGENT_HEADER_SIZE)
        return 0;
    len = load_le32(p);
    if (len > AGENT_FRAME_MAX || p[5] >= AGENT_STREAMS || load_le16(p + 6))
        return -EPROTO;
    if (in->len - AGENT_HEADER_SIZE < len)
        return 0;
    *ret = (struct agent_frame){.type = p[4], .stream = p[5], .channel = load_le32(p + 8),
                                .data = p + AGENT_HEADER_SIZE, .len = len};
    return 1;
}

void agent_frame_drop(struct agent_bytes *in, const struct agent_frame *f)
{
    agent_bytes_drop(in, AGENT_HEADER_SIZE + f->len);
}

bool agent_frame_append(struct agent_bytes *out, uint8_t type, uint8_t stream, uint32_t channel,
                        const void *data, size_t len)
{
    uint8_t *p = len <= AGENT_FRAME_MAX ? agent_bytes_reserve(out, AGENT_HEADER_SIZE + len) : NULL;

    if (!p)
        return false;
    store_le32(p, (uint32_t)len);
    p[4] = type;
    p[5] = stream;
    store_le16(p + 6, 0);
    store_le32(p + 8, channel);
    if (len)
        memcpy(p + AGENT_HEADER_SIZE, data, len);
    agent_bytes_added(out, AGENT_HEADER_SIZE + len);
    return true;
}

bool agent_frame_append_credit(struct agent_bytes *out, uint8_t stream, uint32_t channel,
                               uint32_t bytes)
{
    uint8_t data[4];

    store_le32(data, bytes);
    return agent_frame_append(out, AGENT_CREDIT, stream, channel, data, sizeof(data));
}

/* ---- Fields --------------------------------------------------------------------------------- */

void agent_put(struct agent_fields *f, uint16_t key, const void *data, size_t len)
{
    uint8_t *p = f->failed || len > AGENT_FRAME_MAX
                     ? NULL : agent_bytes_reserve(&f->b, FIELD_HEADER + len);

    if (!p) {
        f->failed = true;
        return;
    }
    store_le16(p, key);
    store_le16(p + 2, 0);
    store_le32(p + 4, (uint32_t)len);
    if (len)
        memcpy(p + FIELD_HEADER, data, len);
    agent_bytes_added(&f->b, FIELD_HEADER + len);
}

void agent_put_text(struct agent_fields *f, uint16_t key, const char *text)
{
    if (text)
        agent_put(f, key, text, strlen(text));
}

void agent_put_number(struct agent_fields *f, uint16_t key, uint64_t value)
{
    uint8_t data[8];

    store_le64(data, value);
    agent_put(f, key, data, sizeof(data));
}

void agent_fields_fini(struct agent_fields *f)
{
    agent_bytes_fini(&f->b);
}

bool agent_field_next(const uint8_t *data, size_t len, size_t *at, struct agent_field *ret)
{
    const uint8_t *p = data + *at;

    if (len - *at < FIELD_HEADER || load_le32(p + 4) > len - *at - FIELD_HEADER)
        return false;
    *ret = (struct agent_field){load_le16(p), p + FIELD_HEADER, load_le32(p + 4)};
    *at += FIELD_HEADER + ret->len;
    return true;
}

bool agent_fields_sound(const uint8_t *data, size_t len)
{
    struct agent_field f;
    size_t at = 0;

    while (agent_field_next(data, len, &at, &f))
        continue;
    return at == len;
}

static bool find(const uint8_t *data, size_t len, uint16_t key, struct agent_field *ret)
{
    size_t at = 0;

    while (agent_field_next(data, len, &at, ret)) {
        if (ret->key == key)
            return true;
    }
    return false;
}

uint64_t agent_get_number(const uint8_t *data, size_t len, uint16_t key, uint64_t otherwise)
{
    struct agent_field f;

    return find(data, len, key, &f) && f.len == 8 ? load_le64(f.data) : otherwise;
}

char *agent_get_text(const uint8_t *data, size_t len, uint16_t key)
{
    struct agent_field f;

    if (!find(data, len, key, &f) || (f.len && memchr(f.data, 0, f.len)))
        return NULL;
    return strndup((const char *)f.data, f.len);
}

char **agent_get_texts(const uint8_t *data, size_t len, uint16_t key, size_t *ret_count)
{
    size_t at = 0, count = 0, bytes = 0;
    struct agent_field f;
    char **list, *text;

    while (agent_field_next(data, len, &at, &f)) {
        if (f.key != key)
            continue;
        if (f.len && memchr(f.data, 0, f.len))
            return NULL;
        count++;
        bytes += f.len + 1;
    }
    list = malloc((count + 1) * sizeof(*list) + bytes);
    if (!list)
        return NULL;
    text = (char *)&list[count + 1];
    at = 0;
    count = 0;
    while (agent_field_next(data, len, &at, &f)) {
        if (f.key != key)
            continue;
        list[count++] = text;
        memcpy(text, f.data, f.len);
        text[f.len] = '\0';
        text += f.len + 1;
    }
    list[count] = NULL;
    *ret_count = count;
    return list;
}
