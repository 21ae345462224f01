/* SPDX-License-Identifier: MIT */
/* What the tables say, for people: how values of options look. */
#include "config/schema_option.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Text that is put together; what does not fit is cut off. */
struct text {
    char *to;
    size_t len, used;
};

static void printf_like(2, 3) add(struct text *t, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(t->to + t->used, t->len - t->used, fmt, args);
    va_end(args);
    if (n > 0)
        t->used = MIN(t->used + (size_t)n, t->len - 1);
}

static const char *kind_word(enum schema_kind kind)
{
    switch (kind) {
    case SCHEMA_UINT:
    case SCHEMA_FD:
        return "N";
    case SCHEMA_SIZE:
        return "SIZE";
    case SCHEMA_PATH:
        return "PATH";
    case SCHEMA_MAC:
        return "MAC";
    case SCHEMA_UUID:
        return "UUID";
    default:
        return "TEXT";
    }
}

static void add_value(struct text *t, const struct schema_field *f)
{
    if (f->value || f->element) {
        add(t, "%s", f->value ? f->value : f->element->value);
    } else if (f->words) {
        for (unsigned i = 0; f->words[i]; i++)
            add(t, "%s%s", i ? "|" : "", f->words[i]);
    } else if (f->kind == SCHEMA_BOOL || f->kind == SCHEMA_NOT) {
        add(t, "on|off");
    } else {
        add(t, "%s", kind_word(f->kind));
    }
}

void schema_value_synopsis(const struct schema_field *f, char *ret, size_t len)
{
    struct text t = {ret, len, 0};

    ret[0] = '\0';
    add_value(&t, f);
}

/* "[,ro]", "[,id=NAME]", "[,listen=PORT:unix:PATH]..."; comma: something stands before it. */
static void add_member(struct text *t, const struct schema_field *f, bool comma)
{
    char buffer[64];
    const char *name = schema_member_name(f, buffer);

    if (f->kind == SCHEMA_BOOL && !f->words) {
        add(t, "[%s%s]", comma ? "," : "", name);
    } else {
        add(t, "[%s%s=", comma ? "," : "", name);
        add_value(t, f);
        add(t, "]");
    }
}

static void add_array(struct text *t, const struct schema_field *f, bool *comma)
{
    for (unsigned i = 0; f->words && f->words[i]; i++) {
        add(t, "[%s%s=%s]...", *comma ? "," : "", f->words[i],
            f->value ? f->value : f->element->value);
        *comma = true;
    }
}

static void add_members(struct text *t, const struct schema_type *type, bool comma)
{
    const struct schema_field *next;

    for (unsigned i = 1; (next = schema_nameless(type, i)); i++) {
        add(t, "[,");
        add_value(t, next);
        add(t, "]");
    }
    for (const struct schema_field *f = type->fields; f->kind; f++) {
        if (!f->json || f->class || (f->option && (!f->option[0] || f->option[0] == '=')))
            continue;
        if (f->element) {
            add_array(t, f, &comma);
            continue;
        }
        add_member(t, f, comma);
        comma = true;
    }
}

/* "nat[,host]|fd=N[,mtu=N]|tap=NAME" */
static void add_class(struct text *t, const struct schema_class *class)
{
    bool first = true;

    for (unsigned i = 0; class->types[i]; i++) {
        const struct schema_type *type = class->types[i];
        const struct schema_field *f = schema_nameless(type, 0);

        if (!type->option && !f)
            continue; /* options do not make one */
        add(t, "%s%s", first ? "" : "|", type->option ? type->option : "");
        first = false;
        if (type->option && f)
            add(t, class->colon ? ":" : "=");
        if (f)
            add_value(t, f);
        if (!class->colon || !f)
            add_members(t, type, true);
    }
}

void schema_option_synopsis(const struct schema_option *o, char *ret, size_t len)
{
    struct text t = {ret, len, 0};
    const struct schema_field *first, *attached;

    ret[0] = '\0';
    if (o->field) {
        if (o->field->words || (o->field->kind != SCHEMA_BOOL && o->field->kind != SCHEMA_NOT))
            add_value(&t, o->field);
        return;
    }
    if (schema_leading(o->type)) {
        add_value(&t, schema_leading(o->type));
        add(&t, "=");
    }
    first = schema_nameless(o->type, 0);
    attached = schema_attachment(o->type);
    if (first) {
        add(&t, "%s", first->required ? "" : "[");
        add_value(&t, first);
        add(&t, "%s", first->required ? "" : "]");
    } else if (attached) {
        add_class(&t, attached->class);
    }
    add_members(&t, o->type, first || attached);
}
