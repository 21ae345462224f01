/* SPDX-License-Identifier: MIT */
/* Objects as JSON by their tables. */
#include "config/schema_json.h"

#include "config/schema_text.h"

/* jansson's functions take NULL for what could not be made and fail in turn. */

static json_t *write_identity(const struct schema_field *f, const void *members)
{
    char text[SCHEMA_TEXT_MAX];

    schema_identity_format(f, members, text);
    return json_string(text);
}

static json_t *write_list(const struct object_list *list)
{
    json_t *array = json_array();
    int r = 0;

    for (unsigned i = 0; !r && i < list->count; i++)
        r = json_array_append_new(array, schema_write(schema_type_of(list->item[i]),
                                                      list->item[i]));
    if (!r)
        return array;
    json_decref(array);
    return NULL;
}

static json_t *write_array(const struct schema_field *f, const void *members)
{
    json_t *array = json_array();
    int r = 0;

    for (unsigned i = 0; !r && i < schema_count(f, members); i++)
        r = json_array_append_new(array, schema_write(f->element, schema_element(f, members, i)));
    if (!r)
        return array;
    json_decref(array);
    return NULL;
}

static json_t *write_word(const struct schema_field *f, const void *members)
{
    const char *word = schema_word(f, schema_get(f, members));

    return json_string(word ? word : "unknown"); /* which does not validate either */
}

static json_t *write_field(const struct schema_field *f, const void *members)
{
    if (schema_is_none(f, members))
        return json_null();
    switch (f->kind) {
    case SCHEMA_BOOL:
    case SCHEMA_NOT:
        return json_boolean(schema_get(f, members));
    case SCHEMA_UINT:
    case SCHEMA_SIZE:
    case SCHEMA_FD:
        return json_integer((json_int_t)schema_get(f, members));
    case SCHEMA_STRING:
    case SCHEMA_PATH:
        return json_string(schema_string(f, members));
    case SCHEMA_ENUM:
        return write_word(f, members);
    case SCHEMA_MAC:
    case SCHEMA_UUID:
        return write_identity(f, members);
    case SCHEMA_ONE:
        return schema_write(schema_type_of(schema_one(f, members)), schema_one(f, members));
    case SCHEMA_LIST:
        return write_list(schema_at(f, members));
    case SCHEMA_ARRAY:
        return write_array(f, members);
    case SCHEMA_CONST:
    case SCHEMA_END:
        break;
    }
    return NULL;
}

json_t *schema_write(const struct schema_type *type, const void *members)
{
    json_t *v = json_object();
    int r = type->json ? json_object_set_new(v, "type", json_string(type->json)) : v ? 0 : -1;

    for (const struct schema_field *f = type->fields; !r && f->kind; f++) {
        if (f->json && !schema_is_none(f, members))
            r = json_object_set_new(v, f->json, write_field(f, members));
    }
    if (!r)
        return v;
    json_decref(v);
    return NULL;
}
