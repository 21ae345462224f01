/* SPDX-License-Identifier: MIT */
/* Options of the command line: which there are, and what they do to a configuration.
 *
 * An option sets a member of the whole, or of one of its objects that are not in a list ("memory",
 * "kernel"), or adds a device ("disk"). The value of the latter is members with commas between them,
 * NAME or NAME=VALUE, those of the device and of what is attached to it alike; the first one may do
 * without a name. A comma that belongs to a value is doubled. */
#ifndef VZ_CONFIG_SCHEMA_OPTION_H
#define VZ_CONFIG_SCHEMA_OPTION_H

#include "config/schema.h"

struct schema_option {
    const struct schema_field *place; /* of the whole: the member, or where the object is */
    const struct schema_type *type;   /* of the object, or of the device that is added; or the whole */
    const struct schema_field *field; /* what is set; NULL: a device is added */
    /* What the tables say of it. */
    const char *name;
    char letter;
    const char *heading, *text, *more;
};

/* Call fn for each option of the whole that is of type root, until it returns something else than 0,
 * which is returned. */
int schema_each_option(const struct schema_type *root,
                       int (*fn)(void *arg, const struct schema_option *o), void *arg);

/* False: there is none called name. */
bool schema_find_option(const struct schema_type *root, const char *name,
                        struct schema_option *ret);

/* Do to the whole what the option with that value says; value may be NULL where none is needed. 0,
 * or -errno with err, and the whole is as before. */
int schema_apply_option(const struct schema_option *o, void *whole, const char *value,
                        struct vz_error *err) must_check;

/* One more element of an array from its short form; word: which of the field's words. 0 or -errno. */
int schema_add_element(const struct schema_field *f, void *object, unsigned word, const char *text,
                       struct vz_error *err) must_check;

/* Cut the first member off *list, changing it: two commas are one that belongs to it. NULL: no more. */
char *schema_next_member(char **list);

/* What the value of an option, or of a member, looks like: "PATH[,ro][,id=NAME]", "SIZE"; empty:
 * there is none. */
void schema_option_synopsis(const struct schema_option *o, char *ret, size_t len);
void schema_value_synopsis(const struct schema_field *f, char *ret, size_t len);
#define SCHEMA_SYNOPSIS_MAX 512

/* What a member is called in the value of an option: its short name, or "read-only". */
const char *schema_member_name(const struct schema_field *f, char buffer[64]);

/* The member by which an object has its attachment; NULL: it has none. */
const struct schema_field *schema_attachment(const struct schema_type *type);
/* The member that stands in front of an option's first word: "TAG=PATH"; NULL: none does. */
const struct schema_field *schema_leading(const struct schema_type *type);
/* The member that is an option's word number index without a name, from 0; NULL: none is. */
const struct schema_field *schema_nameless(const struct schema_type *type, unsigned index);

#endif
