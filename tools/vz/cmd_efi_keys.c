/* SPDX-License-Identifier: MIT */
#include "cmd_efi_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cli.h"

static const char *const key_names[] = {
    [VZ_EFI_PK] = "PK", [VZ_EFI_KEK] = "KEK", [VZ_EFI_DB] = "db", [VZ_EFI_DBX] = "dbx"};
#define KEYS_COUNT (sizeof(key_names) / sizeof(key_names[0]))

/* ---- secure-boot ----------------------------------------------------------------------------- */

static int say(const char *store, struct vz_error *err)
{
    static const char *const words[] = {
        [VZ_EFI_SECURE_BOOT_SETUP_MODE] = "setup: no platform key, everything starts",
        [VZ_EFI_SECURE_BOOT_OFF] = "off: there are keys, everything starts",
        [VZ_EFI_SECURE_BOOT_ON] = "on: what is signed by a key of db starts"};
    enum vz_efi_secure_boot state;

    if (vz_efi_secure_boot_get(store, &state, err) < 0)
        return -1;
    puts(words[state]);
    return 0;
}

int efi_secure_boot(const char *store, const char *what, struct vz_error *err)
{
    if (!what)
        return say(store, err);
    if (!strcmp(what, "on") || !strcmp(what, "off"))
        return vz_efi_secure_boot_set(store, what[1] == 'n', err);
    if (!strcmp(what, "setup"))
        return vz_efi_secure_boot_reset(store, err);
    if (!strcmp(what, "default-keys"))
        return vz_efi_secure_boot_enroll_default(store, err);
    cli_error("vz efi secure-boot: '%s' is not on, off, setup or default-keys", what);
    return -1;
}

/* ---- keys ------------------------------------------------------------------------------------ */

struct listing {
    const char *keys;
    json_t *all; /* NULL: print */
};

/* The first bytes: enough to tell one from the other. */
static void put_hex(const struct vz_efi_signature *s, size_t most, char *to)
{
    size_t n = s->length < most ? s->length : most;

    to[0] = '\0';
    for (size_t i = 0; i < n; i++)
        sprintf(to + 2 * i, "%02x", ((const uint8_t *)s->data)[i]);
}

/* The common name of a certificate's subject: the last that it has (X.520, 2.5.4.3), which is good enough for people. */
static void put_subject(const struct vz_efi_signature *s, char *to, size_t room)
{
    static const uint8_t oid[] = {0x06, 0x03, 0x55, 0x04, 0x03};
    const uint8_t *p = s->data;

    to[0] = '\0';
    for (size_t i = 0; s->certificate && i + sizeof(oid) + 2 < s->length; i++) {
        size_t len = p[i + sizeof(oid) + 1], at = i + sizeof(oid) + 2;

        if (memcmp(p + i, oid, sizeof(oid)) != 0 || len > s->length - at || len >= room || len > 0x7f)
            continue;
        for (size_t k = 0; k < len; k++)
            to[k] = p[at + k] >= ' ' && p[at + k] < 0x7f ? (char)p[at + k] : '?';
        to[len] = '\0';
    }
}

static void show(void *arg, const struct vz_efi_signature *s)
{
    const struct listing *l = arg;
    char hex[2 * 32 + 1], subject[128];

    put_hex(s, 32, hex);
    put_subject(s, subject, sizeof(subject));
    printf("%-4s %-11s %-36s %s\n", l->keys, s->certificate ? "certificate" : "hash", s->owner,
           subject[0] ? subject : hex);
}

static void add(void *arg, const struct vz_efi_signature *s)
{
    const struct listing *l = arg;
    char *hex = malloc(2 * s->length + 1), subject[128];
    json_t *one;

    if (!hex)
        return;
    put_hex(s, s->length, hex);
    put_subject(s, subject, sizeof(subject));
    one = json_pack("{s:s, s:s, s:s, s:s}", "keys", l->keys, "type", s->certificate ? "certificate" : "hash",
                    "owner", s->owner, "data", hex);
    if (one && subject[0])
        json_object_set_new(one, "subject", json_string(subject));
    json_array_append_new(l->all, one);
    free(hex);
}

int efi_list_keys(const char *store, bool as_json, struct vz_error *err)
{
    struct listing l = {.all = as_json ? json_array() : NULL};
    int r = 0;

    if (!as_json)
        printf("%-4s %-11s %-36s %s\n", "KEYS", "TYPE", "OWNER", "SUBJECT OR HASH");
    for (unsigned i = 0; i < KEYS_COUNT && !r; i++) {
        l.keys = key_names[i];
        r = vz_efi_secure_boot_list(store, (enum vz_efi_keys)i, as_json ? add : show, &l, err);
    }
    if (as_json && !r) {
        json_dumpf(l.all, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(l.all);
    return r;
}

/* ---- enroll ---------------------------------------------------------------------------------- */

int efi_enroll(const char *store, const char *keys, const char *file, struct vz_error *err)
{
    unsigned which = 0;
    size_t len = 0;
    char *data;
    int r;

    while (which < KEYS_COUNT && strcmp(key_names[which], keys) != 0)
        which++;
    if (which == KEYS_COUNT) {
        cli_error("vz efi enroll: '%s' is not PK, KEK, db or dbx", keys);
        return -1;
    }
    data = cli_read_file(file, &len, err);
    if (!data)
        return -1;
    r = vz_efi_secure_boot_enroll(store, (enum vz_efi_keys)which, data, len, err);
    free(data);
    return r;
}
