/* SPDX-License-Identifier: MIT */
#include "command/machine_command.h"

#include <stdlib.h>
#include <string.h>

/* ---- The command line ----------------------------------------------------------------------- */

bool args_parse(const struct command *c, int argc, char **argv, unsigned min, unsigned max,
                struct args *ret)
{
    char command[32];

    *ret = (struct args){.given = calloc((size_t)argc + 1, sizeof(struct given))};
    if (!ret->given)
        return cli_no_memory();
    snprintf(command, sizeof(command), "vz %s", c->name);
    if (!opts_parse_words(argc, argv, c->options, command, ret->given, ret->word, max, &ret->count))
        return false;
    if (ret->count >= min)
        return true;
    cli_error("%s: %s (usage: vz %s %s)", c->name,
              ret->count || !min ? "something is missing" : "which machine?", c->name, c->usage);
    return false;
}

void args_free(struct args *a)
{
    free(a->given);
}

const char *args_value(const struct args *a, const char *name)
{
    const struct given *g = opts_given(a->given, name);

    return g ? g->value : NULL;
}

bool args_flag(const struct args *a, const char *name)
{
    return opts_given(a->given, name);
}

/* ---- Machines ------------------------------------------------------------------------------- */

struct only {
    char *name; /* the first one's */
    unsigned count;
};

static bool count_machine(void *arg, const char *name)
{
    struct only *o = arg;

    if (!o->count++)
        o->name = strdup(name);
    return o->count < 2;
}

/* The name of the only machine, for free(); NULL after cli_error(). */
static char *only_machine(void)
{
    struct only o = {NULL, 0};
    struct vz_error err;

    if (home_list(count_machine, &o, &err) < 0)
        cli_error("%s", err.text);
    else if (o.count == 1 && o.name)
        return o.name;
    else
        cli_error(o.count ? "which machine? There are several ('vz list' shows them)"
                          : "there is no machine yet ('vz create' makes one)");
    free(o.name);
    return NULL;
}

typedef int open_fn(const char *machine, struct bundle *ret, struct vz_error *err);

static bool open_by(open_fn *open, const char *machine, struct bundle *ret)
{
    struct vz_error err;

    if (open(machine, ret, &err) == 0)
        return true;
    cli_error("%s", err.text);
    return false;
}

bool machine_open(const char *machine, struct bundle *ret)
{
    char *only = machine ? NULL : only_machine();
    bool ok = (machine || only) && open_by(bundle_open, machine ? machine : only, ret);

    free(only);
    return ok;
}

int machine_one(const struct command *c, int argc, char **argv, unsigned min, unsigned max,
                machine_fn *fn)
{
    int status = EXIT_FAILED;
    struct bundle b;
    struct args a;

    if (!args_parse(c, argc, argv, min, max, &a)) {
        status = EXIT_USAGE;
    } else if (machine_open(a.word[0], &b)) {
        if (fn(&b, &a))
            status = EXIT_OK;
        bundle_close(&b);
    }
    args_free(&a);
    return status;
}

static int each(const struct command *c, int argc, char **argv, open_fn *open, machine_fn *fn)
{
    int status = EXIT_OK;
    struct args a;

    if (!args_parse(c, argc, argv, 1, ARGS_WORDS_MAX, &a))
        status = EXIT_USAGE;
    for (unsigned i = 0; status != EXIT_USAGE && i < a.count; i++) {
        struct bundle b;
        bool ok = open_by(open, a.word[i], &b);

        if (ok) {
            ok = fn(&b, &a);
            bundle_close(&b);
        }
        if (!ok)
            status = EXIT_FAILED;
    }
    args_free(&a);
    return status;
}

int machine_each(const struct command *c, int argc, char **argv, machine_fn *fn)
{
    return each(c, argc, argv, bundle_open, fn);
}

int machine_each_lost(const struct command *c, int argc, char **argv, machine_fn *fn)
{
    return each(c, argc, argv, bundle_open_lost, fn);
}

/* ---- Values, output ------------------------------------------------------------------------- */

bool time_option(const char *option, const char *text, int *ret_ms)
{
    uint64_t ms;

    if (!text)
        return true;
    if (!run_life_time(option, text, &ms))
        return false;
    *ret_ms = ms > INT32_MAX ? INT32_MAX : (int)ms;
    return true;
}

int print_json(json_t *value)
{
    bool ok = value && json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY) == 0;

    json_decref(value);
    if (ok)
        putchar('\n');
    else
        cli_no_memory();
    return ok ? cli_finish_output() : EXIT_FAILED;
}
