/* SPDX-License-Identifier: MIT */
/* Objects by their tables: made, copied, let go of; and access to members. */
#include "config/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static int out_of_memory(struct vz_error *err)
{
    return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
}

/* ---- Members -------------------------------------------------------------------------------- */

uint64_t schema_get(const struct schema_field *f, const void *object)
{
    const void *p = schema_at(f, object);
    uint64_t v = 0;

    memcpy(&v, p, f->size); /* little endian, as everything we run on */
    if (f->kind == SCHEMA_NOT)
        return !v;
    return f->kind == SCHEMA_FD ? (uint64_t)(int64_t)(int32_t)v : v;
}

void schema_set(const struct schema_field *f, void *object, uint64_t value)
{
    if (f->kind == SCHEMA_NOT)
        value = !value;
    memcpy(schema_at(f, object), &value, f->size);
}

/* Pointers of any type are read and written as bytes, so that no rule about aliases minds. */
static void *get_pointer(const struct schema_field *f, const void *object)
{
    void *p;

    memcpy(&p, schema_at(f, object), sizeof(p));
    return p;
}

static void set_pointer(const struct schema_field *f, void *object, void *p)
{
    memcpy(schema_at(f, object), &p, sizeof(p));
}

char *schema_string(const struct schema_field *f, const void *object)
{
    return get_pointer(f, object);
}

void schema_set_string(const struct schema_field *f, void *object, char *text)
{
    free(schema_string(f, object));
    set_pointer(f, object, text);
}

void *schema_one(const struct schema_field *f, const void *object)
{
    return get_pointer(f, object);
}

void schema_set_one(const struct schema_field *f, void *object, void *one)
{
    object_unref(schema_one(f, object));
    set_pointer(f, object, one);
}

unsigned schema_count(const struct schema_field *f, const void *object)
{
    unsigned count;

    memcpy(&count, (const char *)object + f->count_at, sizeof(count));
    return count;
}

static void set_count(const struct schema_field *f, void *object, unsigned count)
{
    memcpy((char *)object + f->count_at, &count, sizeof(count));
}

void *schema_element(const struct schema_field *f, const void *object, unsigned i)
{
    return (char *)get_pointer(f, object) + (size_t)i * f->size;
}

void *schema_array_add(const struct schema_field *f, void *object)
{
    unsigned count = schema_count(f, object);
    char *all = reallocarray(get_pointer(f, object), (size_t)count + 1, f->size), *element;
    size_t size = f->size;

    if (!all)
        return NULL;
    set_pointer(f, object, all);
    set_count(f, object, count + 1);
    element = memset(all + (size_t)count * f->size, 0, f->size);
    if (f->element->sized)
        memcpy(element, &size, sizeof(size));
    return element;
}

uint64_t schema_uint_max(const struct schema_field *f)
{
    return UINT64_MAX >> (64 - 8 * f->size);
}

int object_list_add(struct object_list *list, void *object)
{
    void **item = reallocarray(list->item, (size_t)list->count + 1, sizeof(*item));

    if (!item)
        return -ENOMEM;
    list->item = item;
    item[list->count++] = object_ref(object);
    return 0;
}

bool schema_is_none(const struct schema_field *f, const void *object)
{
    switch (f->kind) {
    case SCHEMA_SIZE:
        return !f->initial && !schema_get(f, object);
    case SCHEMA_STRING:
    case SCHEMA_PATH:
    case SCHEMA_ONE:
        return !get_pointer(f, object);
    case SCHEMA_ARRAY:
        return f->rare && !schema_count(f, object);
    default:
        return false;
    }
}

/* ---- Words and names ------------------------------------------------------------------------ */

const char *schema_word(const struct schema_field *f, uint64_t value)
{
    for (unsigned i = 0; f->words[i]; i++) {
        if (value == f->first_word + i)
            return f->words[i];
    }
    return NULL;
}

bool schema_word_parse(const struct schema_field *f, const char *word, uint64_t *ret)
{
    for (unsigned i = 0; f->words[i]; i++) {
        if (!strcmp(f->words[i], word)) {
            *ret = f->first_word + i;
            return true;
        }
    }
    return false;
}

void schema_words(const struct schema_field *f, char *ret, size_t len)
{
    size_t used = 0;

    for (unsigned i = 0; f->words[i] && used < len; i++)
        used += (size_t)snprintf(ret + used, len - used, "%s%s",
                                 !i ? "" : f->words[i + 1] ? ", " : " or ", f->words[i]);
}

const struct schema_field *schema_find(const struct schema_type *type, const char *name)
{
    for (const struct schema_field *f = type->fields; f->kind; f++) {
        if (f->json && !strcmp(f->json, name))
            return f;
    }
    return NULL;
}

/* ---- Letting go ----------------------------------------------------------------------------- */

static void fini_list(struct object_list *list)
{
    for (unsigned i = 0; i < list->count; i++)
        object_unref(list->item[i]);
    free(list->item);
    *list = (struct object_list){NULL};
}

static void fini_array(const struct schema_field *f, void *members)
{
    for (unsigned i = 0; i < schema_count(f, members); i++)
        schema_fini(f->element, schema_element(f, members, i));
    free(get_pointer(f, members));
    set_pointer(f, members, NULL);
    set_count(f, members, 0);
}

void schema_fini(const struct schema_type *type, void *members)
{
    for (const struct schema_field *f = type->fields; f->kind; f++) {
        switch (f->kind) {
        case SCHEMA_STRING:
        case SCHEMA_PATH:
            schema_set_string(f, members, NULL);
            break;
        case SCHEMA_ONE:
            schema_set_one(f, members, NULL);
            break;
        case SCHEMA_LIST:
            fini_list(schema_at(f, members));
            break;
        case SCHEMA_ARRAY:
            fini_array(f, members);
            break;
        default:
            break;
        }
    }
}

static void destroy(void *object)
{
    schema_fini(schema_type_of(object), object);
}

/* ---- Defaults ------------------------------------------------------------------------------- */

static bool set_text(const struct schema_field *f, void *members, const char *text)
{
    char *copy = text ? strdup(text) : NULL;

    set_pointer(f, members, copy);
    return copy || !text;
}

static bool init_field(const struct schema_field *f, void *members)
{
    switch (f->kind) {
    case SCHEMA_STRING:
    case SCHEMA_PATH:
        return set_text(f, members, f->initial_text);
    case SCHEMA_MAC:
        vz_mac_address_random(schema_at(f, members));
        return true;
    case SCHEMA_UUID:
        vz_machine_identifier_random(schema_at(f, members));
        return true;
    case SCHEMA_ONE:
    case SCHEMA_LIST:
    case SCHEMA_ARRAY:
        return true;
    default:
        schema_set(f, members, f->initial);
        return true;
    }
}

int schema_init(const struct schema_type *type, void *members, struct vz_error *err)
{
    bool ok = true;

    for (const struct schema_field *f = type->fields; f->kind; f++)
        ok = init_field(f, members) && ok;
    return ok ? 0 : out_of_memory(err);
}

static struct object *allocate(const struct schema_type *type, struct vz_error *err)
{
    struct object *o = object_new(type->size, destroy, err);

    if (o)
        o->type = type;
    return o;
}

void *schema_new(const struct schema_type *type, struct vz_error *err)
{
    struct object *o = allocate(type, err);

    if (o && schema_init(type, o, err) < 0) {
        object_unref(o);
        return NULL;
    }
    return o;
}

/* ---- Copies --------------------------------------------------------------------------------- */

/* What follows makes a copy of an object's bytes independent: what its members point to is still the
 * other one's, and becomes its own. After a failure no member points to anything borrowed. */

static int own_members(const struct schema_type *type, void *members, struct vz_error *err);

static int own_list(struct object_list *list, struct vz_error *err)
{
    const struct object_list borrowed = *list;

    *list = (struct object_list){NULL};
    for (unsigned i = 0; i < borrowed.count; i++) {
        if (object_list_add(list, borrowed.item[i]) < 0)
            return out_of_memory(err);
    }
    return 0;
}

static int add_copy(const struct schema_field *f, void *members, const void *element,
                    struct vz_error *err)
{
    void *copy = schema_array_add(f, members);
    int r = 0;

    if (!copy)
        return out_of_memory(err);
    if (f->element->sized)
        r = options_copy(copy, f->size, element, err);
    else
        memcpy(copy, element, f->size);
    if (!r)
        r = own_members(f->element, copy, err);
    return r ? r : schema_complete(f->element, copy, err);
}

static int own_array(const struct schema_field *f, void *members, struct vz_error *err)
{
    unsigned count = schema_count(f, members);
    const char *element = get_pointer(f, members);
    size_t stride = f->size;
    int r = 0;

    set_pointer(f, members, NULL);
    set_count(f, members, 0);
    if (f->max && count > f->max)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "%u %s are more than %u", count, f->noun,
                         (unsigned)f->max);
    if (count && !element)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "no %s given", f->noun);
    if (count && f->element->sized)
        memcpy(&stride, element, sizeof(stride)); /* they are as long as their maker knows them */
    for (unsigned i = 0; !r && i < count; i++, element += stride)
        r = add_copy(f, members, element, err);
    return r;
}

static void forget(const struct schema_field *f, void *members)
{
    switch (f->kind) {
    case SCHEMA_STRING:
    case SCHEMA_PATH:
    case SCHEMA_ONE:
        set_pointer(f, members, NULL);
        break;
    case SCHEMA_LIST:
        *(struct object_list *)schema_at(f, members) = (struct object_list){NULL};
        break;
    case SCHEMA_ARRAY:
        set_pointer(f, members, NULL);
        set_count(f, members, 0);
        break;
    default:
        break;
    }
}

static int own_field(const struct schema_field *f, void *members, struct vz_error *err)
{
    switch (f->kind) {
    case SCHEMA_CONST:
        schema_set(f, members, f->initial);
        return 0;
    case SCHEMA_STRING:
    case SCHEMA_PATH:
        return set_text(f, members, schema_string(f, members)) ? 0 : out_of_memory(err);
    case SCHEMA_ONE:
        object_ref(schema_one(f, members));
        return 0;
    case SCHEMA_LIST:
        return own_list(schema_at(f, members), err);
    case SCHEMA_ARRAY:
        return own_array(f, members, err);
    default:
        return 0;
    }
}

static int own_members(const struct schema_type *type, void *members, struct vz_error *err)
{
    int r = 0;

    for (const struct schema_field *f = type->fields; f->kind; f++) {
        if (r)
            forget(f, members);
        else
            r = own_field(f, members, err);
    }
    return r;
}

void *schema_copy(const struct schema_type *type, const void *from, struct vz_error *err)
{
    struct object *o = allocate(type, err);

    if (!o)
        return NULL;
    memcpy((char *)o + sizeof(*o), (const char *)from + sizeof(*o), type->size - sizeof(*o));
    if (own_members(type, o, err) < 0) {
        object_unref(o);
        return NULL;
    }
    return o;
}

void *schema_make(const struct schema_type *type, const void *from, struct vz_error *err)
{
    void *o = schema_copy(type, from, err);

    if (o && schema_complete(type, o, err) < 0) {
        object_unref(o);
        return NULL;
    }
    return o;
}

/* ---- Completeness --------------------------------------------------------------------------- */

/* Is f there, as far as memory can tell, and not an empty path? */
static bool is_given(const struct schema_field *f, const void *members)
{
    switch (f->kind) {
    case SCHEMA_STRING:
        return schema_string(f, members) && (schema_string(f, members)[0] || !f->required);
    case SCHEMA_PATH:
        return schema_string(f, members) && schema_string(f, members)[0];
    case SCHEMA_ONE:
        return schema_one(f, members);
    default:
        return true;
    }
}

static bool is_required(const struct schema_type *type, const struct schema_field *f,
                        const void *members)
{
    return f->required && !(f->unless && is_given(schema_find(type, f->unless), members));
}

static int complete_field(const struct schema_type *type, const struct schema_field *f,
                          void *members, struct vz_error *err)
{
    if (f->initial_text && !schema_string(f, members) && !set_text(f, members, f->initial_text))
        return out_of_memory(err);
    if (f->kind == SCHEMA_ONE && f->class->otherwise && !schema_one(f, members)) {
        set_pointer(f, members, schema_new(f->class->otherwise, err));
        return schema_one(f, members) ? 0 : -ENOMEM;
    }
    if (is_given(f, members) || (schema_is_none(f, members) && !is_required(type, f, members)))
        return 0;
    return error_set(err, EINVAL, VZ_ERROR_INVALID, "no %s given", f->noun ? f->noun : f->json);
}

int schema_complete(const struct schema_type *type, void *object, struct vz_error *err)
{
    int r = 0;

    for (const struct schema_field *f = type->fields; !r && f->kind; f++)
        r = complete_field(type, f, object, err);
    return r || !type->complete ? r : type->complete(object, err);
}
