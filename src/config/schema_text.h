/* SPDX-License-Identifier: MIT */
/* Members as people write them: the values of options, and what messages say was expected. */
#ifndef VZ_CONFIG_SCHEMA_TEXT_H
#define VZ_CONFIG_SCHEMA_TEXT_H

#include "config/schema.h"

#define SCHEMA_TEXT_MAX 160 /* of what schema_expected() says; identities are shorter */

/* Set a member that is a plain value. 0, -EINVAL: text is not what is expected (*members is
 * untouched), or -ENOMEM. */
int schema_text_parse(const struct schema_field *f, void *members, const char *text) must_check;

/* "a number from 1 to 64", "full, fsync or none". */
void schema_expected(const struct schema_field *f, char *ret, size_t len);

/* Why text is not what is expected: "expected ...", or better. Returns -EINVAL. */
int schema_text_error(const struct schema_field *f, const char *text, struct vz_error *err);

/* MAC, UUID: as text. */
void schema_identity_format(const struct schema_field *f, const void *members,
                            char ret[SCHEMA_TEXT_MAX]);

/* Bytes, up to INT64_MAX: "512M", "1.5G", "1GiB", "1 TB", all of them powers of two, and plain numbers from 1 MiB on:
 * a smaller one is more likely to lack its unit. */
bool schema_parse_size(const char *text, uint64_t *ret);
/* Decimal digits and nothing else. */
bool schema_parse_number(const char *text, uint64_t *ret);

/* "uart or virtio". */
void schema_class_words(const struct schema_class *class, char *ret, size_t len);

/* The member that key was probably meant to be; NULL: none. */
const char *schema_closest(const struct schema_type *type, const char *key);

#endif
