/* SPDX-License-Identifier: MIT */
#include "config/schema_option.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/closest.h"
#include "base/error.h"
#include "config/schema_text.h"
#include "config/validate.h"

static int out_of_memory(struct vz_error *err)
{
    return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
}

/* ---- Which there are ------------------------------------------------------------------------ */

static int offer_field(const struct schema_field *place, const struct schema_type *type,
                       const struct schema_field *f,
                       int (*fn)(void *arg, const struct schema_option *o), void *arg)
{
    struct schema_option o = {place, type, f, f->option, f->letter, f->heading, f->text, f->more};

    return f->heading ? fn(arg, &o) : 0;
}

static int offer_type(const struct schema_field *place, const struct schema_type *type,
                      int (*fn)(void *arg, const struct schema_option *o), void *arg)
{
    struct schema_option o = {place, type, NULL, type->option, type->letter, type->heading,
                              type->text, type->more};
    int r = 0;

    if (place->kind == SCHEMA_LIST)
        return type->heading ? fn(arg, &o) : 0;
    for (const struct schema_field *f = type->fields; !r && f->kind; f++)
        r = offer_field(place, type, f, fn, arg);
    return r;
}

int schema_each_option(const struct schema_type *root,
                       int (*fn)(void *arg, const struct schema_option *o), void *arg)
{
    int r = 0;

    for (const struct schema_field *f = root->fields; !r && f->kind; f++) {
        if (!f->class)
            r = offer_field(f, root, f, fn, arg);
        for (unsigned i = 0; !r && f->class && f->class->types[i]; i++)
            r = offer_type(f, f->class->types[i], fn, arg);
    }
    return r;
}

struct search {
    const char *name;
    struct schema_option *ret;
};

static int is_wanted(void *arg, const struct schema_option *o)
{
    const struct search *s = arg;

    if (strcmp(o->name, s->name))
        return 0;
    *s->ret = *o;
    return 1;
}

bool schema_find_option(const struct schema_type *root, const char *name,
                        struct schema_option *ret)
{
    struct search s = {name, ret};

    return schema_each_option(root, is_wanted, &s);
}

/* ---- Names of members ----------------------------------------------------------------------- */

/* "readOnly" as "read-only". */
static const char *dashed(const char *json, char buffer[64])
{
    size_t n = 0;

    for (; *json && n < 62; json++) {
        if (isupper((unsigned char)*json))
            buffer[n++] = '-';
        buffer[n++] = (char)tolower((unsigned char)*json);
    }
    buffer[n] = '\0';
    return buffer;
}

const char *schema_member_name(const struct schema_field *f, char buffer[64])
{
    return f->option && f->option[0] && f->option[0] != '=' ? f->option : dashed(f->json, buffer);
}

/* Is that what a member is called there, short or not? */
static bool member_is(const struct schema_field *f, const char *name)
{
    char buffer[64];

    return f->json && !f->class && !f->element &&
           ((f->option && f->option[0] && !strcmp(f->option, name)) ||
            !strcmp(dashed(f->json, buffer), name));
}

const struct schema_field *schema_attachment(const struct schema_type *type)
{
    for (const struct schema_field *f = type->fields; f->kind; f++) {
        if (f->kind == SCHEMA_ONE)
            return f;
    }
    return NULL;
}

const struct schema_field *schema_leading(const struct schema_type *type)
{
    for (const struct schema_field *f = type->fields; f->kind; f++) {
        if (f->option && !strcmp(f->option, "="))
            return f;
    }
    return NULL;
}

const struct schema_field *schema_nameless(const struct schema_type *type, unsigned index)
{
    for (const struct schema_field *f = type->fields; f->kind; f++) {
        if (f->option && !f->option[0] && !index--)
            return f;
    }
    return NULL;
}

/* ---- A device from an option's value -------------------------------------------------------- */

/* The device being made, and what is attached to it, if it is a device that takes something. */
struct builder {
    const struct schema_type *type[2];
    void *object[2];
    unsigned nameless; /* words without a name that have been taken */
    const char *synopsis;
    struct vz_error *err;
};

char *schema_next_member(char **list)
{
    char *start = *list, *to = start, *from = start;

    if (!start)
        return NULL;
    while (*from && (*from != ',' || from[1] == ',')) {
        from += *from == ',';
        *to++ = *from++;
    }
    *list = *from ? from + 1 : NULL;
    *to = '\0';
    return start;
}

static int set_value(const struct schema_field *f, void *object, const char *value,
                     struct vz_error *err)
{
    int r = schema_text_parse(f, object, value);

    if (r == -ENOMEM)
        return out_of_memory(err);
    return r < 0 ? schema_text_error(f, value, err) : 0;
}

static int set_member(const struct schema_field *f, void *object, const char *name,
                      const char *value, struct vz_error *err)
{
    bool flag = f->kind == SCHEMA_BOOL || f->kind == SCHEMA_NOT;
    int r;

    if (f->element)
        return schema_add_element(f, object, 0, value ? value : "", err);
    if (!value && flag) {
        schema_set(f, object, true);
        return 0;
    }
    r = value ? set_value(f, object, value, err) : schema_text_error(f, "", err);
    if (r < 0 && name[0])
        error_prefix(err, "%s", name);
    return r;
}

int schema_add_element(const struct schema_field *f, void *object, unsigned word, const char *text,
                       struct vz_error *err)
{
    char *copy = strdup(text);
    void *element = copy ? schema_array_add(f, object) : NULL;
    int r = 0;

    if (!element || schema_init(f->element, element, err) < 0)
        r = out_of_memory(err);
    else if (f->max && schema_count(f, object) > f->max)
        r = error_set(err, EINVAL, VZ_ERROR_INVALID, "there are %u already", (unsigned)f->max);
    if (!r) {
        if (f->words)
            schema_set(f->element->fields, element, word);
        if (!f->element->parse(copy, element))
            r = error_set(err, EINVAL, VZ_ERROR_INVALID, "expected %s", f->element->value);
        else
            r = schema_complete(f->element, element, err);
    }
    free(copy);
    return r;
}

/* Is name what an element of one of the type's arrays is called? Then *ret_word tells which. */
static const struct schema_field *find_array(const struct schema_type *type, const char *name,
                                             unsigned *ret_word)
{
    for (const struct schema_field *f = type->fields; f->kind; f++) {
        for (unsigned i = 0; f->element && f->words && f->words[i]; i++) {
            if (!strcmp(f->words[i], name)) {
                *ret_word = i;
                return f;
            }
        }
    }
    return NULL;
}

/* Is one of the names that a member has the best so far? Then *ret_name is how options write it. */
static void try_names(const struct schema_field *f, struct closest *like, char ret_name[64])
{
    const char *before = like->best;

    if (f->json && !f->class && !f->element)
        closest_try(like, f->json);
    if (f->option && f->option[0])
        closest_try(like, f->option);
    for (unsigned i = 0; f->element && f->words && f->words[i]; i++)
        closest_try(like, f->words[i]);
    if (like->best != before)
        dashed(like->best, ret_name);
}

static int refuse_member(const struct builder *b, const char *name)
{
    struct closest like = {.word = name};
    char best[64];

    for (unsigned i = 0; i < 2; i++) {
        for (const struct schema_field *f = b->type[i] ? b->type[i]->fields : NULL; f && f->kind;
             f++)
            try_names(f, &like, best);
    }
    return like.best ? error_set(b->err, EINVAL, VZ_ERROR_INVALID,
                                 "'%.40s' is not known here; did you mean '%s'?", name, best)
                     : error_set(b->err, EINVAL, VZ_ERROR_INVALID,
                                 "'%.40s' is not known here: expected %s", name, b->synopsis);
}

/* A word without a name, if there is still a member for one. */
static int apply_nameless(struct builder *b, const char *word)
{
    unsigned i = b->type[1] ? 1 : 0;
    const struct schema_field *f = schema_nameless(b->type[i], b->nameless);

    if (!f)
        return refuse_member(b, word);
    b->nameless++;
    return set_member(f, b->object[i], "", word, b->err);
}

/* NAME or NAME=VALUE */
static int apply_member(struct builder *b, char *member)
{
    char *value = strchr(member, '=');
    unsigned word;

    if (value)
        *value++ = '\0';
    for (unsigned i = 0; i < 2; i++) {
        const struct schema_field *f = b->type[i] ? find_array(b->type[i], member, &word) : NULL;
        int r;

        if (f) {
            r = schema_add_element(f, b->object[i], word, value ? value : "", b->err);
            if (r < 0)
                error_prefix(b->err, "%s", member);
            return r;
        }
        for (f = b->type[i] ? b->type[i]->fields : NULL; f && f->kind; f++) {
            if (member_is(f, member))
                return set_member(f, b->object[i], member, value, b->err);
        }
    }
    return value ? refuse_member(b, member) : apply_nameless(b, member);
}

static bool is_member(const struct schema_type *type, const char *text)
{
    char name[64];

    snprintf(name, sizeof(name), "%.*s", (int)strcspn(text, "="), text);
    for (const struct schema_field *f = type->fields; f->kind; f++) {
        if (member_is(f, name) && (text[strlen(name)] || f->kind == SCHEMA_BOOL))
            return true;
    }
    return false;
}

/* The type that a first word stands for, and what of it is a value; NULL: it stands for none. */
static const struct schema_type *type_of_word(const struct schema_class *class, char *word,
                                              char **ret_value)
{
    const struct schema_type *plain = NULL;

    for (unsigned i = 0; class->types[i]; i++) {
        const char *name = class->types[i]->option;
        size_t len = name ? strlen(name) : 0;

        if (class->types[i]->claims && class->types[i]->claims(word)) {
            *ret_value = word;
            return class->types[i];
        }
        if (!name && !class->types[i]->claims && schema_nameless(class->types[i], 0))
            plain = class->types[i];
        if (!name || strncmp(word, name, len) || (word[len] && word[len] != '='))
            continue;
        *ret_value = word[len] ? word + len + 1 : NULL;
        return class->types[i];
    }
    *ret_value = word;
    return plain;
}

/* "file:PATH", where the rest is the path, whatever is in it. */
static const struct schema_type *type_before_colon(const struct schema_class *class, char *text,
                                                   char **ret_value)
{
    for (unsigned i = 0; class->colon && class->types[i]; i++) {
        const char *name = class->types[i]->option;
        size_t len = name ? strlen(name) : 0;

        if (name && !strncmp(text, name, len) && text[len] == ':') {
            *ret_value = text + len + 1;
            return class->types[i];
        }
    }
    return NULL;
}

/* Make what is attached: of which type, and its first value, says *rest, of which that is cut off. */
static int start_attachment(struct builder *b, const struct schema_class *class, char **rest)
{
    char *value = NULL;
    const struct schema_type *type = *rest ? type_before_colon(class, *rest, &value) : NULL;
    const struct schema_field *f;

    if (type)
        *rest = NULL;
    else if (*rest)
        type = type_of_word(class, schema_next_member(rest), &value);
    if (!type)
        return -EINVAL;
    b->type[1] = type;
    b->object[1] = schema_new(type, b->err);
    if (!b->object[1])
        return -ENOMEM;
    f = schema_nameless(type, 0);
    if (!f && value)
        return -EINVAL;
    b->nameless = f && value;
    return !f || (!value && !f->required) ? 0
                                          : set_member(f, b->object[1], "", value, b->err);
}

static int first_word(struct builder *b, char **rest)
{
    const struct schema_field *f = schema_nameless(b->type[0], 0);
    const struct schema_field *a = schema_attachment(b->type[0]);

    if (a)
        return start_attachment(b, a->class, rest);
    b->nameless = f && *rest && (f->required || !is_member(b->type[0], *rest));
    if (b->nameless)
        return set_member(f, b->object[0], "", schema_next_member(rest), b->err);
    return 0;
}

/* "TAG=" is cut off. */
static int leading_word(struct builder *b, char **rest)
{
    const struct schema_field *f = schema_leading(b->type[0]);
    char *end;

    if (!f)
        return 0;
    end = *rest ? strchr(*rest, '=') : NULL;
    if (!end || end == *rest)
        return -EINVAL;
    *end = '\0';
    if (set_member(f, b->object[0], "", *rest, b->err) < 0)
        return -EINVAL;
    *rest = end + 1;
    return 0;
}

static int build(struct builder *b, char *rest)
{
    const struct schema_field *a = schema_attachment(b->type[0]);
    char *member;
    int r = leading_word(b, &rest);

    if (!r)
        r = first_word(b, &rest);

    while (!r && (member = schema_next_member(&rest)))
        r = apply_member(b, member);
    if (!r && b->object[1]) {
        r = schema_complete(b->type[1], b->object[1], b->err);
        schema_set_one(a, b->object[0], object_ref(b->object[1]));
    }
    return r ? r : schema_complete(b->type[0], b->object[0], b->err);
}

/* ---- Doing it ------------------------------------------------------------------------------- */

/* The one of its type that is in the list already, or NULL. */
static void **find_single(const struct schema_option *o, const struct object_list *list)
{
    for (unsigned i = 0; o->type->single && i < list->count; i++) {
        if (schema_type_of(list->item[i]) == o->type)
            return &list->item[i];
    }
    return NULL;
}

static int put_device(const struct schema_option *o, void *whole, void *device,
                      struct vz_error *err)
{
    struct object_list *list = schema_at(o->place, whole);
    void **single = find_single(o, list);

    if (!single)
        return object_list_add(list, device) < 0 ? out_of_memory(err) : 0;
    object_unref(*single);
    *single = object_ref(device);
    return 0;
}

static int add_device(const struct schema_option *o, void *whole, const char *value,
                      struct vz_error *err)
{
    void **single = find_single(o, schema_at(o->place, whole));
    char *text = strdup(value ? value : ""), synopsis[SCHEMA_SYNOPSIS_MAX];
    struct vz_error why;
    struct builder b = {.type = {o->type}, .synopsis = synopsis, .err = &why};
    int r;

    schema_option_synopsis(o, synopsis, sizeof(synopsis));
    error_set(&why, 0, VZ_ERROR_INVALID, "expected %s", synopsis); /* unless better is known */
    b.object[0] = single ? schema_copy(o->type, *single, &why) : schema_new(o->type, &why);
    r = text && b.object[0] ? build(&b, value && value[0] ? text : NULL) : out_of_memory(&why);
    if (!r)
        r = put_device(o, whole, b.object[0], &why);
    if (r < 0 && err)
        *err = why;
    free(text);
    object_unref(b.object[0]);
    object_unref(b.object[1]);
    return r;
}

/* Objects do not change once made, and may be in other configurations: a copy takes its place. */
static int set_in_object(const struct schema_option *o, void *whole, const char *value,
                         struct vz_error *err)
{
    void *old = schema_one(o->place, whole);
    void *object = old && schema_type_of(old) == o->type ? schema_copy(o->type, old, err)
                                                         : schema_new(o->type, err);
    int r = object ? set_member(o->field, object, "", value, err) : -ENOMEM;

    if (!r)
        schema_set_one(o->place, whole, object);
    else
        object_unref(object);
    return r;
}

static int set_in_whole(const struct schema_option *o, void *whole, const char *value,
                        struct vz_error *err)
{
    bool number = o->field->kind == SCHEMA_UINT || o->field->kind == SCHEMA_SIZE;
    uint64_t old = number ? schema_get(o->field, whole) : 0;
    int r = set_member(o->field, whole, "", value, err);

    if (!r && validate_value(o->field, whole, err) < 0) {
        schema_set(o->field, whole, old);
        r = -EINVAL;
    }
    return r;
}

int schema_apply_option(const struct schema_option *o, void *whole, const char *value,
                        struct vz_error *err)
{
    if (!o->field)
        return add_device(o, whole, value, err);
    return o->place == o->field ? set_in_whole(o, whole, value, err)
                                : set_in_object(o, whole, value, err);
}
