/* SPDX-License-Identifier: MIT */
/* Checking a configuration by its tables: ranges and words here, and what else its objects' own
 * checks say. */
#include "config/validate.h"

#include "config/objects.h"
#include "config/report.h"

static void check_members(struct report *r, const struct schema_type *type, const void *members);

static void check_uint(struct report *r, const struct schema_field *f, const void *members)
{
    uint64_t v = schema_get(f, members);

    if (f->max && (v < f->min || v > f->max))
        report_problem(r, VZ_ERROR_INVALID, "%s %llu is not between %llu and %llu",
                       f->noun ? f->noun : f->json, (unsigned long long)v,
                       (unsigned long long)f->min, (unsigned long long)f->max);
}

static void check_word(struct report *r, const struct schema_field *f, const void *members)
{
    uint64_t v = schema_get(f, members);

    if (!schema_word(f, v))
        report_problem(r, VZ_ERROR_INVALID, "%s %d is unknown", f->noun ? f->noun : f->json,
                       (int)v);
}

/* How many of the items before it are of item i's type? */
static unsigned of_type_before(const struct object_list *list, unsigned i)
{
    unsigned count = 0;

    for (unsigned k = 0; k < i; k++)
        count += schema_type_of(list->item[k]) == schema_type_of(list->item[i]);
    return count;
}

static void check_list(struct report *r, const struct schema_field *f, const void *members)
{
    const struct object_list *list = schema_at(f, members);
    unsigned outer = r->index;

    for (unsigned i = 0; i < list->count; i++) {
        size_t back = report_enter(r, f->json, (int)i);

        r->index = i;
        if (schema_type_of(list->item[i])->single && of_type_before(list, i) == 1)
            report_problem(r, VZ_ERROR_INVALID, "a machine has at most 1 device of type %s",
                           schema_type_of(list->item[i])->json);
        check_members(r, schema_type_of(list->item[i]), list->item[i]);
        report_leave(r, back);
    }
    r->index = outer;
}

static void check_array(struct report *r, const struct schema_field *f, const void *members)
{
    for (unsigned i = 0; i < schema_count(f, members); i++) {
        size_t back = report_enter(r, f->json, (int)i);

        check_members(r, f->element, schema_element(f, members, i));
        report_leave(r, back);
    }
}

static void check_value(struct report *r, const struct schema_field *f, const void *members)
{
    if (f->kind == SCHEMA_UINT)
        check_uint(r, f, members);
    else if (f->kind == SCHEMA_ENUM)
        check_word(r, f, members);
    else if (f->kind == SCHEMA_ONE && schema_one(f, members))
        check_members(r, schema_type_of(schema_one(f, members)), schema_one(f, members));
    if (f->check)
        f->check(r, members);
}

static void check_field(struct report *r, const struct schema_field *f, const void *members)
{
    size_t back = report_enter(r, f->json, -1);

    check_value(r, f, members);
    report_leave(r, back);
}

static void check_members(struct report *r, const struct schema_type *type, const void *members)
{
    for (const struct schema_field *f = type->fields; f->kind; f++) {
        if (f->kind == SCHEMA_LIST)
            check_list(r, f, members);
        else if (f->kind == SCHEMA_ARRAY)
            check_array(r, f, members);
        else if (f->json)
            check_field(r, f, members);
    }
    if (type->check)
        type->check(r, members);
}

static int conclude(const struct report *r, struct vz_error *err)
{
    if (r->count && err)
        *err = r->first;
    return r->count ? -1 : 0;
}

int vz_config_validate(const struct vz_config *c, vz_problem_fn *fn, void *arg,
                       struct vz_error *err)
{
    struct report r = {.fn = fn, .arg = arg, .whole = c};

    if (c) {
        check_members(&r, &config_machine_type, c);
    } else { /* as one that could not be made, whose maker went on */
        report_enter(&r, "configuration", -1);
        report_problem(&r, VZ_ERROR_INVALID, "there is none");
    }
    return conclude(&r, err);
}

/* ---- Parts of it ---------------------------------------------------------------------------- */

int validate_device(const void *device, struct vz_error *err)
{
    struct report r = {.path = "device"};

    check_members(&r, schema_type_of(device), device);
    return conclude(&r, err);
}

int validate_attachment(const void *attachment, struct vz_error *err)
{
    struct report r = {.path = "attachment"}; /* who shares it is the program's business now */

    check_members(&r, schema_type_of(attachment), attachment);
    return conclude(&r, err);
}

int validate_value(const struct schema_field *f, const void *members, struct vz_error *err)
{
    struct report r = {.whole = NULL};

    if (f->kind == SCHEMA_UINT || f->kind == SCHEMA_SIZE)
        check_value(&r, f, members);
    return conclude(&r, err);
}
