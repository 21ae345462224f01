/* SPDX-License-Identifier: MIT */
#include "efi/efi_keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uchar.h>

#include "base/checked.h"
#include "base/le.h"

/* NON_VOLATILE, BOOTSERVICE_ACCESS, RUNTIME_ACCESS, TIME_BASED_AUTHENTICATED_WRITE_ACCESS. */
#define ATTRIBUTES        0x27u
#define SWITCH_ATTRIBUTES 0x03u

#define GUID_LEN 16u
/* EFI_SIGNATURE_LIST: type, size of all, size of a header that nobody has, size of each; then each: owner, data. */
enum { LIST_LEN_AT = 16, LIST_HEADER_AT = 20, LIST_EACH_AT = 24, LIST_HEAD = 28 };

static const uint8_t x509_type[GUID_LEN] = {0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a,
                                            0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72};
static const uint8_t sha256_type[GUID_LEN] = {0x26, 0x16, 0xc4, 0xc1, 0x4c, 0x50, 0x92, 0x40,
                                              0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28};
#define SHA256_LEN 32u

/* Whose signatures are that were added here. */
static const uint8_t owner[GUID_LEN] = {0x3e, 0x6f, 0x1b, 0x7a, 0x52, 0x0c, 0x55, 0x4d,
                                        0x9d, 0x9f, 0x41, 0x8e, 0x6b, 0x2a, 0x70, 0xd1};

/* ---- Variables ------------------------------------------------------------------------------- */

static const struct efi_guid global_guid = {{0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11,
                                             0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c}};
static const struct efi_guid database_guid = {{0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45,
                                               0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f}};
/* edk2's switch (SecurityPkg, AuthenticatedVariableFormat.h). */
static const struct efi_guid switch_guid = {{0xc7, 0x0b, 0xa3, 0xf0, 0x08, 0xaf, 0x56, 0x45,
                                             0x99, 0xc4, 0x00, 0x10, 0x09, 0xc9, 0x3a, 0x44}};

struct name {
    const char16_t *text;
    uint32_t len; /* bytes, with the final 0 */
    const struct efi_guid *guid;
};
#define NAME(text, guid) {u"" text, sizeof(u"" text), guid}

static const struct name switch_name = NAME("SecureBootEnable", &switch_guid);
static const struct name key_names[EFI_KEYS_COUNT] = {
    [EFI_PK] = NAME("PK", &global_guid), [EFI_KEK] = NAME("KEK", &global_guid),
    [EFI_DB] = NAME("db", &database_guid), [EFI_DBX] = NAME("dbx", &database_guid)};

static int find(const struct efi_store *s, const struct name *name, struct efi_variable *ret)
{
    return efi_variable_find(s, (const uint8_t *)name->text, name->len, name->guid, ret);
}

static int set(struct efi_store *s, const struct name *name, uint32_t attributes, const uint8_t *data,
               uint32_t len)
{
    const struct efi_variable v = {.name = (const uint8_t *)name->text, .name_len = name->len,
                                   .guid = *name->guid, .attributes = attributes, .data = data, .len = len};

    return efi_variable_set(s, &v);
}

static int erase(struct efi_store *s, const struct name *name)
{
    struct efi_variable v;
    int r = find(s, name, &v);

    return r > 0 ? efi_variable_delete(s, &v) : r;
}

/* ---- The switch ------------------------------------------------------------------------------ */

int efi_secure_boot_state(const struct efi_store *s)
{
    struct efi_variable v;
    int r = find(s, &key_names[EFI_PK], &v);

    if (r < 0)
        return r;
    if (!r || !v.len)
        return EFI_SETUP_MODE;
    r = find(s, &switch_name, &v); /* firmware makes it, as 1, where it is not there */
    if (r < 0)
        return r;
    return r && v.len && !v.data[0] ? EFI_SWITCHED_OFF : EFI_IN_FORCE;
}

int efi_secure_boot_switch(struct efi_store *s, bool on)
{
    const uint8_t value = on;
    int r = efi_secure_boot_state(s);

    if (r < 0)
        return r;
    return r == EFI_SETUP_MODE ? -ENOKEY : set(s, &switch_name, SWITCH_ATTRIBUTES, &value, sizeof(value));
}

int efi_secure_boot_reset(struct efi_store *s)
{
    int r = erase(s, &key_names[EFI_PK]);

    return r < 0 ? r : erase(s, &switch_name);
}

/* ---- Lists of signatures --------------------------------------------------------------------- */

struct lists {
    const uint8_t *data;
    uint32_t len;
};

/* The list at the front of l, whose whole length is *ret_len. */
static bool first_list(const struct lists *l, uint32_t *ret_len, uint32_t *ret_each)
{
    uint32_t len, each;

    if (l->len < LIST_HEAD)
        return false;
    len = load_le32(l->data + LIST_LEN_AT);
    each = load_le32(l->data + LIST_EACH_AT);
    if (len < LIST_HEAD || len > l->len || load_le32(l->data + LIST_HEADER_AT) || each <= GUID_LEN ||
        (len - LIST_HEAD) % each)
        return false;
    *ret_len = len;
    *ret_each = each;
    return true;
}

typedef void signature_fn(void *arg, const uint8_t *type, const uint8_t *one, uint32_t len);

/* False: data has something else. */
static bool each_signature(struct lists l, signature_fn *fn, void *arg)
{
    uint32_t len, each;

    for (; l.len; l.data += len, l.len -= len) {
        if (!first_list(&l, &len, &each))
            return false;
        for (uint32_t at = LIST_HEAD; fn && at < len; at += each)
            fn(arg, l.data, l.data + at, each);
    }
    return true;
}

struct telling {
    void (*fn)(void *arg, const struct efi_signature *one);
    void *arg;
};

static void tell(void *arg, const uint8_t *type, const uint8_t *one, uint32_t len)
{
    const struct telling *t = arg;
    const struct efi_signature s = {.certificate = !memcmp(type, x509_type, GUID_LEN), .owner = one,
                                    .data = one + GUID_LEN, .len = len - GUID_LEN};

    t->fn(t->arg, &s);
}

int efi_keys_each(const struct efi_store *s, enum efi_keys keys,
                  void (*fn)(void *arg, const struct efi_signature *one), void *arg)
{
    struct telling telling = {fn, arg};
    struct efi_variable v;
    int r = find(s, &key_names[keys], &v);

    if (r <= 0)
        return r;
    return each_signature((struct lists){v.data, v.len}, tell, &telling) ? 0 : -EINVAL;
}

/* ---- Adding ---------------------------------------------------------------------------------- */

/* What a variable is to hold. */
struct growing {
    uint8_t *data;
    uint32_t len, room;
    bool certificates_only;
    int added; /* or -errno */
};

struct search {
    const uint8_t *type, *data;
    uint32_t len;
    bool found;
};

static void compare(void *arg, const uint8_t *type, const uint8_t *one, uint32_t len)
{
    struct search *s = arg;

    s->found |= len - GUID_LEN == s->len && !memcmp(type, s->type, GUID_LEN) &&
                !memcmp(one + GUID_LEN, s->data, s->len);
}

static bool has(const struct growing *g, const uint8_t *type, const uint8_t *data, uint32_t len)
{
    struct search s = {.type = type, .data = data, .len = len};

    return each_signature((struct lists){g->data, g->len}, compare, &s) && s.found;
}

/* A list of its own: that is how certificates are kept, which differ in length. */
static void append(struct growing *g, const uint8_t *type, const uint8_t *one, uint32_t len)
{
    uint8_t *p = g->data + g->len;

    if (g->room - g->len < LIST_HEAD + len) {
        g->added = -ENOSPC;
        return;
    }
    memcpy(p, type, GUID_LEN);
    store_le32(p + LIST_LEN_AT, LIST_HEAD + len);
    store_le32(p + LIST_HEADER_AT, 0);
    store_le32(p + LIST_EACH_AT, len);
    memcpy(p + LIST_HEAD, one, len);
    g->len += LIST_HEAD + len;
    g->added++;
}

static void add_signature(void *arg, const uint8_t *type, const uint8_t *one, uint32_t len)
{
    struct growing *g = arg;

    if (g->added < 0 || has(g, type, one + GUID_LEN, len - GUID_LEN))
        return;
    if (g->certificates_only && memcmp(type, x509_type, GUID_LEN) != 0)
        g->added = -EMEDIUMTYPE;
    else
        append(g, type, one, len);
}

/* A SEQUENCE that is as long as it says (X.690, 8.1.3): what every certificate is. */
static bool is_der(const uint8_t *data, uint32_t len)
{
    uint32_t n = 0, digits = len > 2 && data[1] > 0x80 ? data[1] & 0x7fu : 0;

    if (len < 4 || data[0] != 0x30 || digits > 3 || len < 2 + digits)
        return false;
    for (uint32_t i = 0; i < digits; i++)
        n = n << 8 | data[2 + i];
    return 2 + digits + (digits ? n : data[1]) == len;
}

static void add_one(struct growing *g, const uint8_t *type, const uint8_t *data, uint32_t len)
{
    uint8_t *one = malloc(GUID_LEN + len);

    if (!one) {
        g->added = -ENOMEM;
        return;
    }
    memcpy(one, owner, GUID_LEN);
    memcpy(one + GUID_LEN, data, len);
    add_signature(g, type, one, GUID_LEN + len);
    free(one);
}

static int digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* 64 digits, and whatever line end follows. */
static bool from_digits(const uint8_t *data, uint32_t len, uint8_t ret[SHA256_LEN])
{
    while (len && (data[len - 1] == '\n' || data[len - 1] == '\r'))
        len--;
    for (uint32_t i = 0; len == 2 * SHA256_LEN && i < SHA256_LEN; i++) {
        int high = digit(data[2 * i]), low = digit(data[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return len == 2 * SHA256_LEN;
}

static void add_any(struct growing *g, const uint8_t *data, uint32_t len)
{
    const struct lists lists = {data, len};
    uint8_t hash[SHA256_LEN];

    if (is_der(data, len))
        add_one(g, x509_type, data, len);
    else if (len && each_signature(lists, NULL, NULL))
        (void)each_signature(lists, add_signature, g);
    else if (len == SHA256_LEN)
        add_one(g, sha256_type, data, len);
    else if (from_digits(data, len, hash))
        add_one(g, sha256_type, hash, sizeof(hash));
    else
        g->added = -EBADMSG;
}

int efi_keys_add(struct efi_store *s, enum efi_keys keys, const uint8_t *data, uint32_t len)
{
    struct efi_variable old;
    int r = find(s, &key_names[keys], &old);
    struct growing g = {.room = s->len, .certificates_only = keys == EFI_PK || keys == EFI_KEK};

    if (r < 0)
        return r;
    if (r > 0 && keys != EFI_PK && !each_signature((struct lists){old.data, old.len}, NULL, NULL))
        return -EINVAL; /* nothing would be found behind the damage */
    g.data = malloc(g.room);
    if (!g.data)
        return -ENOMEM;
    if (r > 0 && old.len && keys != EFI_PK) {
        memcpy(g.data, old.data, old.len);
        g.len = old.len;
    }
    add_any(&g, data, len);
    if (keys == EFI_PK && g.added > 1)
        g.added = -EBADMSG; /* there is one */
    r = g.added;
    if (r > 0)
        r = set(s, &key_names[keys], ATTRIBUTES, g.data, g.len);
    free(g.data);
    return r < 0 ? r : g.added;
}

int efi_keys_add_from(struct efi_store *s, enum efi_keys keys, const struct efi_store *from)
{
    struct efi_variable v;
    int r = find(from, &key_names[keys], &v);

    return r > 0 ? efi_keys_add(s, keys, v.data, v.len) : r;
}
