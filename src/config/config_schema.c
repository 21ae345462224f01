/* SPDX-License-Identifier: MIT */
/* vz_config_schema(): what vz_config_describe() tells, as JSON. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/error.h"
#include "config/objects.h"

struct schema_text {
    json_t *objects, *options; /* arrays; of the former, the last one's members are being told */
    bool failed;
};

/* What is NULL or false is left out. */
static void set(json_t *to, const char *name, json_t *value)
{
    if (value)
        json_object_set_new(to, name, value);
}

static void set_text(json_t *to, const char *name, const char *text)
{
    set(to, name, text ? json_string(text) : NULL);
}

static void set_flag(json_t *to, const char *name, bool flag)
{
    set(to, name, flag ? json_true() : NULL);
}

/* "a|b|c" as an array. */
static void set_words(json_t *to, const char *name, const char *words)
{
    json_t *array = words ? json_array() : NULL;

    while (words && *words) {
        size_t len = strcspn(words, "|");

        json_array_append_new(array, json_stringn(words, len));
        words += len + (words[len] != '\0');
    }
    set(to, name, array);
}

static json_t *common(const struct vz_description *d)
{
    json_t *v = json_object();

    set_text(v, "text", d->text);
    set_text(v, "more", d->more);
    set_text(v, "default", d->initial);
    set_text(v, "option", d->option);
    return v;
}

static json_t *member(const struct vz_description *d)
{
    json_t *v = common(d);

    set_text(v, "name", d->name);
    set_text(v, "type", d->type);
    set_words(v, "of", d->of);
    if (!strcmp(d->type, "word"))
        set_words(v, "words", d->value);
    else
        set_text(v, "value", d->value);
    set_flag(v, "required", d->required);
    return v;
}

static json_t *object(const struct vz_description *d)
{
    json_t *v = common(d);

    set_text(v, "name", d->object);
    set_text(v, "type", d->name);
    set(v, "members", json_array());
    return v;
}

static json_t *option(const struct vz_description *d)
{
    json_t *v = common(d);

    set_text(v, "name", d->name);
    set(v, "letter", d->letter ? json_stringn(&d->letter, 1) : NULL);
    set_text(v, "heading", d->heading);
    set_text(v, "value", d->value);
    set_text(v, "adds", d->object);
    set_flag(v, "optional", d->optional);
    set_flag(v, "repeats", d->repeats);
    return v;
}

static void take(void *arg, const struct vz_description *d)
{
    struct schema_text *t = arg;
    json_t *last = json_array_get(t->objects, json_array_size(t->objects) - 1);
    int r = -1;

    switch (d->kind) {
    case VZ_DESCRIBES_OBJECT:
        r = json_array_append_new(t->objects, object(d));
        break;
    case VZ_DESCRIBES_MEMBER:
        r = json_array_append_new(json_object_get(last, "members"), member(d));
        break;
    case VZ_DESCRIBES_OPTION:
        r = json_array_append_new(t->options, option(d));
        break;
    }
    t->failed = t->failed || r < 0;
}

char *vz_config_schema(struct vz_error *err)
{
    struct schema_text t = {json_array(), json_array(), false};
    json_t *root;
    char *text = NULL;

    vz_config_describe(take, &t);
    root = json_pack("{s:o, s:o}", "objects", t.objects, "options", t.options);
    if (root && !t.failed)
        text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    if (!text)
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    return text;
}
