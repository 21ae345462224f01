/* SPDX-License-Identifier: MIT */
/* vz_config_describe(): what the tables say, for help, documents and bindings; and single members
 * of a configuration as text. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/config_option.h"
#include "config/objects.h"
#include "config/schema_json.h"
#include "config/schema_text.h"

#define TYPES_MAX 128u

struct describe {
    vz_describe_fn *fn;
    void *arg;
    const struct schema_type *seen[TYPES_MAX];
    unsigned count;
};

static void tell(const struct describe *d, const struct vz_description *what)
{
    d->fn(d->arg, what);
}

/* ---- Objects and their members -------------------------------------------------------------- */

static const char *member_type(const struct schema_field *f)
{
    static const char *const names[] = {
        [SCHEMA_BOOL] = "boolean", [SCHEMA_NOT] = "boolean",  [SCHEMA_UINT] = "number",
        [SCHEMA_SIZE] = "size",    [SCHEMA_FD] = "descriptor", [SCHEMA_STRING] = "string",
        [SCHEMA_PATH] = "path",    [SCHEMA_ENUM] = "word",    [SCHEMA_MAC] = "mac",
        [SCHEMA_UUID] = "uuid",    [SCHEMA_ONE] = "object",   [SCHEMA_LIST] = "list",
        [SCHEMA_ARRAY] = "list"};

    return names[f->kind];
}

/* The default of a member, NULL: it has none that could be said. */
static const char *initial(const struct schema_field *f, char buffer[32])
{
    switch (f->kind) {
    case SCHEMA_BOOL:
    case SCHEMA_NOT:
        return f->initial ? "true" : "false";
    case SCHEMA_SIZE:
        snprintf(buffer, 32, "%llu%c", (unsigned long long)(f->initial / (f->initial % GIB ? MIB : GIB)),
                 f->initial % GIB ? 'M' : 'G');
        return f->initial ? buffer : NULL;
    case SCHEMA_UINT:
        snprintf(buffer, 32, "%llu", (unsigned long long)f->initial);
        return buffer;
    case SCHEMA_FD:
        return "-1";
    case SCHEMA_ENUM:
        return schema_word(f, f->initial);
    case SCHEMA_MAC:
    case SCHEMA_UUID:
        return "random";
    case SCHEMA_ONE:
        return f->class->otherwise ? f->class->otherwise->json : NULL;
    default:
        return f->initial_text && f->initial_text[0] ? f->initial_text : NULL;
    }
}

/* The names of what may stand in a member: "nat|fd_network|tap". */
static void names_of(const struct schema_field *f, char *ret, size_t len)
{
    size_t used = 0;

    ret[0] = '\0';
    if (f->element)
        snprintf(ret, len, "%s", f->element->name);
    for (unsigned i = 0; f->class && f->class->types[i] && used < len; i++)
        used += (size_t)snprintf(ret + used, len - used, "%s%s", i ? "|" : "",
                                 f->class->types[i]->name);
}

static void describe_member(struct describe *d, const struct schema_type *type,
                            const struct schema_field *f)
{
    char of[256], value[SCHEMA_SYNOPSIS_MAX], buffer[64], number[32];
    struct vz_description what = {.size = sizeof(what), .kind = VZ_DESCRIBES_MEMBER,
                                  .object = type->name, .name = f->json, .type = member_type(f),
                                  .text = f->text, .more = f->more};

    names_of(f, of, sizeof(of));
    what.of = of[0] ? of : NULL;
    if (!what.of) {
        schema_value_synopsis(f, value, sizeof(value));
        what.value = value;
    }
    what.required = f->required && !f->unless;
    if (!f->required)
        what.initial = initial(f, number);
    if (!f->heading && !f->class && !f->element)
        what.option = schema_member_name(f, buffer);
    tell(d, &what);
}

static void describe_type(struct describe *d, const struct schema_type *type)
{
    struct vz_description what = {.size = sizeof(what), .kind = VZ_DESCRIBES_OBJECT,
                                  .object = type->name, .name = type->json,
                                  .option = type->heading ? NULL : type->option,
                                  .text = type->text, .more = type->more};

    for (unsigned i = 0; i < d->count; i++) {
        if (d->seen[i] == type)
            return;
    }
    if (d->count == TYPES_MAX)
        return;
    d->seen[d->count++] = type;
    tell(d, &what);
    for (const struct schema_field *f = type->fields; f->kind; f++) {
        if (f->json)
            describe_member(d, type, f);
    }
    for (const struct schema_field *f = type->fields; f->kind; f++) {
        for (unsigned i = 0; f->class && f->class->types[i]; i++)
            describe_type(d, f->class->types[i]);
        if (f->element)
            describe_type(d, f->element);
    }
}

/* ---- Options -------------------------------------------------------------------------------- */

static bool may_do_without(const struct schema_option *o)
{
    const struct schema_field *first;

    if (o->field)
        return false;
    first = schema_nameless(o->type, 0);
    return !schema_attachment(o->type) && !(first && first->required);
}

static int describe_option(void *arg, const struct schema_option *o)
{
    char value[SCHEMA_SYNOPSIS_MAX], number[32];
    struct vz_description what = {.size = sizeof(what), .kind = VZ_DESCRIBES_OPTION,
                                  .name = o->name, .letter = o->letter, .heading = o->heading,
                                  .object = o->field ? NULL : o->type->name,
                                  .text = o->text, .more = o->more};

    schema_option_synopsis(o, value, sizeof(value));
    what.value = value[0] ? value : NULL;
    what.optional = may_do_without(o);
    what.repeats = o->field ? o->field->element != NULL : !o->type->single;
    if (o->field && o->field->kind != SCHEMA_BOOL && !o->field->required)
        what.initial = initial(o->field, number);
    tell(arg, &what);
    return 0;
}

void vz_config_describe(vz_describe_fn *fn, void *arg)
{
    struct describe d = {.fn = fn, .arg = arg};

    if (!fn)
        return;
    describe_type(&d, &config_machine_type);
    schema_each_option(&config_machine_type, describe_option, &d);
    for (const struct config_shortcut *s = config_shortcuts; s->name; s++) {
        struct vz_description what = {.size = sizeof(what), .kind = VZ_DESCRIBES_OPTION,
                                      .name = s->name, .letter = s->letter, .value = s->value,
                                      .heading = s->heading, .optional = s->optional, .object = s->adds,
                                      .repeats = true, .text = s->text, .more = s->more};

        tell(&d, &what);
    }
}

/* ---- A member as text ----------------------------------------------------------------------- */

/* Go down one step of a path: "name" or "name[3]". NULL: there is no such thing. */
static const json_t *step(const json_t *v, const char **path)
{
    char name[64];
    size_t len = strcspn(*path, ".[");
    unsigned long index;
    char *end;

    snprintf(name, sizeof(name), "%.*s", (int)len, *path);
    *path += len;
    v = json_object_get(v, name);
    if (**path == '[') {
        index = strtoul(*path + 1, &end, 10);
        if (end == *path + 1 || *end != ']')
            return NULL;
        *path = end + 1;
        v = json_array_get(v, index);
    }
    if (**path == '.' && (*path)[1])
        (*path)++;
    else if (**path)
        return NULL;
    return v;
}

char *vz_config_get(const struct vz_config *config, const char *path, struct vz_error *err)
{
    const char *rest = path;
    const json_t *v;
    json_t *root;
    char *text = NULL;

    if (!options_given(config, "configuration", err) ||
        !options_given(path && path[0] ? path : NULL, "path", err))
        return NULL;
    root = schema_write(&config_machine_type, config);
    for (v = root; v && *rest;)
        v = step(v, &rest);
    if (v)
        text = json_is_string(v) ? strdup(json_string_value(v))
                                 : json_dumps(v, JSON_ENCODE_ANY | JSON_INDENT(2));
    if (!root || (v && !text))
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    else if (!v)
        error_set(err, ENOENT, VZ_ERROR_INVALID, "there is no %.80s", path);
    json_decref(root);
    return text;
}
