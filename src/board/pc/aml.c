/* SPDX-License-Identifier: MIT */
#include "board/pc/aml.h"

#include <string.h>

#include "base/le.h"

enum { OP_ZERO = 0x00, OP_ONE = 0x01, OP_NAME = 0x08, OP_BYTE = 0x0a, OP_WORD = 0x0b,
       OP_DWORD = 0x0c, OP_STRING = 0x0d, OP_QWORD = 0x0e, OP_SCOPE = 0x10, OP_BUFFER = 0x11,
       OP_PACKAGE = 0x12, OP_METHOD = 0x14, OP_DUAL_NAME = 0x2e, OP_MULTI_NAME = 0x2f, OP_EXT = 0x5b,
       OP_EXT_DEVICE = 0x82, OP_NOTIFY = 0x86 };

void aml_bytes(struct aml *a, const void *data, size_t len)
{
    if (a->failed || len > a->capacity - a->len) {
        a->failed = true;
        return;
    }
    memcpy(a->data + a->len, data, len);
    a->len += len;
}

void aml_byte(struct aml *a, uint8_t v)
{
    aml_bytes(a, &v, 1);
}

static void put(struct aml *a, uint64_t v, size_t len)
{
    aml_bytes(a, &v, len); /* the host is little-endian, as AML is */
}

static void name_segment(struct aml *a, const char *s, size_t len)
{
    char segment[4] = {'_', '_', '_', '_'};

    memcpy(segment, s, MIN(len, sizeof(segment)));
    aml_bytes(a, segment, sizeof(segment));
}

/* 20.2.2 */
void aml_name_string(struct aml *a, const char *name)
{
    unsigned segments = 1;

    if (*name == '\\') {
        aml_byte(a, '\\');
        name++;
    }
    for (const char *p = name; *p; p++)
        segments += *p == '.';
    if (segments == 2)
        aml_byte(a, OP_DUAL_NAME);
    if (segments > 2) {
        aml_byte(a, OP_MULTI_NAME);
        aml_byte(a, (uint8_t)segments);
    }
    while (*name) {
        size_t len = strcspn(name, ".");

        name_segment(a, name, len);
        name += len + (name[len] == '.');
    }
}

void aml_int(struct aml *a, uint64_t v)
{
    if (v <= 1) {
        aml_byte(a, v ? OP_ONE : OP_ZERO);
    } else if (v <= 0xff) {
        aml_byte(a, OP_BYTE);
        put(a, v, 1);
    } else if (v <= 0xffff) {
        aml_byte(a, OP_WORD);
        put(a, v, 2);
    } else if (v <= 0xffffffff) {
        aml_byte(a, OP_DWORD);
        put(a, v, 4);
    } else {
        aml_byte(a, OP_QWORD);
        put(a, v, 8);
    }
}

void aml_string(struct aml *a, const char *s)
{
    aml_byte(a, OP_STRING);
    aml_bytes(a, s, strlen(s) + 1);
}

static unsigned hex_digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A' + 10);
}

/* 19.3.4: three letters of five bits, four hexadecimal digits, big-endian. */
void aml_eisa_id(struct aml *a, const char *id)
{
    uint32_t v = (uint32_t)(id[0] - '@') << 26 | (uint32_t)(id[1] - '@') << 21 |
                 (uint32_t)(id[2] - '@') << 16;

    for (unsigned i = 0; i < 4; i++)
        v |= hex_digit(id[3 + i]) << (12 - 4 * i);
    aml_byte(a, OP_DWORD);
    put(a, __builtin_bswap32(v), 4);
}

void aml_name(struct aml *a, const char *name)
{
    aml_byte(a, OP_NAME);
    aml_name_string(a, name);
}

void aml_name_int(struct aml *a, const char *name, uint64_t v)
{
    aml_name(a, name);
    aml_int(a, v);
}

/* 20.2.4: lengths are always written in their four-byte form, so that they can be filled in. */
static size_t begin(struct aml *a)
{
    size_t start = a->len;

    put(a, 0, 4);
    return start;
}

void aml_end(struct aml *a, size_t start)
{
    size_t len = a->len - start; /* counts itself */

    if (a->failed)
        return;
    a->data[start] = (uint8_t)(0xc0 | (len & 15));
    a->data[start + 1] = (uint8_t)(len >> 4);
    a->data[start + 2] = (uint8_t)(len >> 12);
    a->data[start + 3] = (uint8_t)(len >> 20);
}

size_t aml_begin_scope(struct aml *a, const char *name)
{
    size_t start;

    aml_byte(a, OP_SCOPE);
    start = begin(a);
    aml_name_string(a, name);
    return start;
}

size_t aml_begin_device(struct aml *a, const char *name)
{
    size_t start;

    aml_byte(a, OP_EXT);
    aml_byte(a, OP_EXT_DEVICE);
    start = begin(a);
    aml_name_string(a, name);
    return start;
}

size_t aml_begin_package(struct aml *a, uint8_t count)
{
    size_t start;

    aml_byte(a, OP_PACKAGE);
    start = begin(a);
    aml_byte(a, count);
    return start;
}

/* 20.2.5.2 */
size_t aml_begin_method(struct aml *a, const char *name)
{
    size_t start;

    aml_byte(a, OP_METHOD);
    start = begin(a);
    aml_name_string(a, name);
    aml_byte(a, 0);
    return start;
}

void aml_notify(struct aml *a, const char *device, uint8_t value)
{
    aml_byte(a, OP_NOTIFY);
    aml_name_string(a, device);
    aml_byte(a, OP_BYTE);
    aml_byte(a, value);
}

struct aml_resources aml_begin_resources(struct aml *a)
{
    struct aml_resources r;

    aml_byte(a, OP_BUFFER);
    r.start = begin(a);
    aml_byte(a, OP_WORD);
    r.size_at = a->len;
    put(a, 0, 2);
    return r;
}

void aml_end_resources(struct aml *a, struct aml_resources r)
{
    aml_byte(a, 0x79); /* end tag, 6.4.2.9; a checksum of 0 is not checked */
    aml_byte(a, 0);
    if (!a->failed)
        store_le16(&a->data[r.size_at], (uint16_t)(a->len - r.size_at - 2));
    aml_end(a, r.start);
}

/* 6.4.2.5: decodes 16 bits */
void aml_io(struct aml *a, uint16_t base, uint8_t len)
{
    aml_byte(a, 0x47);
    aml_byte(a, 1);
    put(a, base, 2);
    put(a, base, 2);
    aml_byte(a, 1);
    aml_byte(a, len);
}

void aml_irq(struct aml *a, unsigned irq)
{
    aml_byte(a, 0x22); /* 6.4.2.1, without flags: edge, high */
    put(a, BIT(irq), 2);
}

void aml_memory32_fixed(struct aml *a, uint32_t base, uint32_t len)
{
    aml_byte(a, 0x86); /* 6.4.3.4 */
    put(a, 9, 2);
    aml_byte(a, 1); /* writable */
    put(a, base, 4);
    put(a, len, 4);
}

/* 6.4.3.5: address space descriptors of width bytes. Both ends are fixed. */
static void window(struct aml *a, unsigned width, uint8_t kind, uint8_t type_flags,
                   uint64_t first, uint64_t last)
{
    aml_byte(a, width == 2 ? 0x88 : width == 4 ? 0x87 : 0x8a);
    put(a, 3 + 5 * width, 2);
    aml_byte(a, kind);
    aml_byte(a, 0x0c);
    aml_byte(a, type_flags);
    put(a, 0, width); /* granularity */
    put(a, first, width);
    put(a, last, width);
    put(a, 0, width); /* translation */
    put(a, last - first + 1, width);
}

void aml_bus_numbers(struct aml *a, uint16_t first, uint16_t last)
{
    window(a, 2, 2, 0, first, last);
}

void aml_io_window(struct aml *a, uint16_t first, uint16_t last)
{
    window(a, 2, 1, 3, first, last);
}

void aml_memory32_window(struct aml *a, uint32_t first, uint32_t last)
{
    window(a, 4, 0, 1, first, last);
}

void aml_memory64_window(struct aml *a, uint64_t first, uint64_t last)
{
    window(a, 8, 0, 1, first, last);
}
