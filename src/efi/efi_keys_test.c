/* SPDX-License-Identifier: MIT */
#include "efi/efi_keys.h"

#include <errno.h>

#include "efi/efi_fixture.h"

/* SEQUENCEs, each as long as it says. */
static const uint8_t certificate[] = {0x30, 0x03, 1, 2, 3}, another[] = {0x30, 0x81, 0x02, 7, 8};

struct seen {
    unsigned certificates, hashes;
    uint8_t last[64];
    uint32_t last_len;
};

static void see(void *arg, const struct efi_signature *one)
{
    struct seen *s = arg;

    if (one->certificate)
        s->certificates++;
    else
        s->hashes++;
    ck_assert_uint_le(one->len, sizeof(s->last));
    memcpy(s->last, one->data, one->len);
    s->last_len = one->len;
}

static struct seen look(const struct efi_store *s, enum efi_keys keys)
{
    struct seen seen = {0};

    ck_assert_int_eq(efi_keys_each(s, keys, see, &seen), 0);
    return seen;
}

START_TEST(the_platform_key_puts_it_in_force)
{
    struct efi_store s = empty_store();

    ck_assert_int_eq(efi_secure_boot_state(&s), EFI_SETUP_MODE);
    ck_assert_int_eq(efi_secure_boot_switch(&s, true), -ENOKEY);
    ck_assert_int_eq(efi_keys_add(&s, EFI_PK, certificate, sizeof(certificate)), 1);
    ck_assert_int_eq(efi_secure_boot_state(&s), EFI_IN_FORCE);
    ck_assert_int_eq(efi_secure_boot_switch(&s, false), 0);
    ck_assert_int_eq(efi_secure_boot_state(&s), EFI_SWITCHED_OFF);
    ck_assert_int_eq(efi_secure_boot_switch(&s, true), 0);
    ck_assert_int_eq(efi_secure_boot_state(&s), EFI_IN_FORCE);
    ck_assert_int_eq(efi_keys_add(&s, EFI_PK, another, sizeof(another)), 1);
    ck_assert_uint_eq(look(&s, EFI_PK).certificates, 1); /* in place of the old one */
    ck_assert_int_eq(efi_keys_add(&s, EFI_DB, certificate, sizeof(certificate)), 1);
    ck_assert_int_eq(efi_secure_boot_reset(&s), 0);
    ck_assert_int_eq(efi_secure_boot_state(&s), EFI_SETUP_MODE);
    ck_assert_uint_eq(look(&s, EFI_DB).certificates, 1);
    free(s.data);
}
END_TEST

START_TEST(signatures_are_added_once)
{
    static const char digits[] = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F\n";
    struct efi_store s = empty_store(), other = empty_store();
    uint8_t hash[32];

    for (unsigned i = 0; i < sizeof(hash); i++)
        hash[i] = (uint8_t)i;
    ck_assert_int_eq(efi_keys_add(&s, EFI_DB, certificate, sizeof(certificate)), 1);
    ck_assert_int_eq(efi_keys_add(&s, EFI_DB, another, sizeof(another)), 1);
    ck_assert_int_eq(efi_keys_add(&s, EFI_DB, certificate, sizeof(certificate)), 0);
    ck_assert_int_eq(efi_keys_add(&s, EFI_DB, hash, sizeof(hash)), 1);
    ck_assert_int_eq(efi_keys_add(&s, EFI_DB, (const uint8_t *)digits, sizeof(digits) - 1), 0);
    ck_assert_uint_eq(look(&s, EFI_DB).certificates, 2);
    ck_assert_uint_eq(look(&s, EFI_DB).hashes, 1);
    ck_assert_mem_eq(look(&s, EFI_DB).last, hash, sizeof(hash));
    ck_assert_int_eq(efi_keys_add(&other, EFI_DB, another, sizeof(another)), 1);
    ck_assert_int_eq(efi_keys_add_from(&other, EFI_DB, &s), 2);
    ck_assert_int_eq(efi_keys_add_from(&other, EFI_DBX, &s), 0);
    ck_assert_uint_eq(look(&other, EFI_DB).certificates, 2);
    free(s.data);
    free(other.data);
}
END_TEST

START_TEST(what_is_no_signature_is_refused)
{
    static const uint8_t longer[] = {0x30, 0x04, 1, 2, 3}, text[] = "-----BEGIN CERTIFICATE-----";
    uint8_t list[28 + 17] = {0}, hash[32] = {0};
    struct efi_store s = empty_store();

    ck_assert_int_eq(efi_keys_add(&s, EFI_DB, longer, sizeof(longer)), -EBADMSG);
    ck_assert_int_eq(efi_keys_add(&s, EFI_DB, text, sizeof(text)), -EBADMSG);
    ck_assert_int_eq(efi_keys_add(&s, EFI_DB, text, 0), -EBADMSG);
    ck_assert_int_eq(efi_keys_add(&s, EFI_KEK, hash, sizeof(hash)), -EMEDIUMTYPE);
    ck_assert_int_eq(efi_keys_add(&s, EFI_PK, hash, sizeof(hash)), -EMEDIUMTYPE);
    store_le32(list + 16, sizeof(list));
    store_le32(list + 24, 16); /* no room for the owner and a byte */
    ck_assert_int_eq(efi_keys_add(&s, EFI_DB, list, sizeof(list)), -EBADMSG);
    store_le32(list + 24, 17);
    store_le32(list + 16, sizeof(list) + 1);
    ck_assert_int_eq(efi_keys_add(&s, EFI_DB, list, sizeof(list)), -EBADMSG);
    store_le32(list + 16, UINT32_MAX);
    ck_assert_int_eq(efi_keys_add(&s, EFI_DB, list, sizeof(list)), -EBADMSG);
    store_le32(list + 16, sizeof(list));
    ck_assert_int_eq(efi_keys_add(&s, EFI_DB, list, sizeof(list)), 1);
    free(s.data);
}
END_TEST

/* What would be put behind damage would not be found again. */
START_TEST(nothing_is_added_to_damaged_lists)
{
    static const struct efi_guid database = {{0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45,
                                              0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f}};
    const struct efi_variable damaged = {.name = (const uint8_t *)"d\0b\0\0", .name_len = 6, .guid = database,
                                         .attributes = 7, .data = (const uint8_t *)"damaged", .len = 7};
    struct efi_store s = empty_store();
    uint8_t hash[32] = {0};

    ck_assert_int_eq(efi_variable_set(&s, &damaged), 0);
    ck_assert_int_eq(efi_keys_add(&s, EFI_DB, hash, sizeof(hash)), -EINVAL);
    ck_assert_int_eq(efi_keys_add(&s, EFI_DBX, hash, sizeof(hash)), 1);
    free(s.data);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, the_platform_key_puts_it_in_force);
    UNIT_TEST(s, signatures_are_added_once);
    UNIT_TEST(s, what_is_no_signature_is_refused);
    UNIT_TEST(s, nothing_is_added_to_damaged_lists);
}

UNIT_TEST_MAIN("efi_keys", add_tests)
