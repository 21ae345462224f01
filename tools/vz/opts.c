/* SPDX-License-Identifier: MIT */
/* Option parsing by table. Names are spelled out: an abbreviation that works today would stop
 * working when an option is added. One-letter options are a family of their own, see cli.h. */
#include <ctype.h>
#include <string.h>

#include "cli.h"

static const struct opt *find(const struct opt *table, const char *name, size_t len)
{
    for (const struct opt *o = table; o->name; o++) {
        if (len && strlen(o->name) == len && !memcmp(o->name, name, len))
            return o;
    }
    return NULL;
}

static const struct opt *find_letter(const struct opt *table, const char *text)
{
    for (const struct opt *o = table; o->name; o++) {
        if (o->letter && text[0] == '-' && text[1] == o->letter && !text[2])
            return o;
    }
    return NULL;
}

/* The option at argv[0], how many arguments it takes, and its value or NULL; NULL: there is none. */
static const struct opt *look(int argc, char **argv, const struct opt *table, int *ret_took,
                              const char **ret_value)
{
    const char *text = argv[0];
    size_t len = strcspn(text, "=");
    const struct opt *o;

    if (!strncmp(text, "--", 2) && len > 2)
        o = find(table, text + 2, len - 2);
    else
        o = find_letter(table, text);
    *ret_took = 1;
    *ret_value = o && text[len] ? text + len + 1 : NULL; /* none behind a letter */
    if (o && !*ret_value && argc > 1 &&
        (o->has_value == OPT_ALWAYS || (o->has_value == OPT_MAYBE && argv[1][0] != '-'))) {
        *ret_took = 2;
        *ret_value = argv[1];
    }
    return o;
}

/* Handle argv[0]; returns how many arguments it took, 0 after an error. */
static int parse_one(int argc, char **argv, const struct opt *table, const char *command,
                     void *arg)
{
    const char *text = argv[0], *value;
    int took;
    const struct opt *o = look(argc, argv, table, &took, &value);

    if (!o) {
        cli_error("%s '%.*s' (see '%s --help')",
                  text[0] == '-' ? "unknown option" : "unexpected argument",
                  (int)(text[0] == '-' ? strcspn(text, "=") : strlen(text)), text, command);
        return 0;
    }
    if (o->has_value == OPT_NEVER && value) {
        cli_error("option '--%s' takes no value (see '%s --help')", o->name, command);
        return 0;
    }
    if (o->has_value == OPT_ALWAYS && !value) {
        if (o->name[0])
            cli_error("option '--%s' needs a value (see '%s --help')", o->name, command);
        else
            cli_error("option '-%c' needs a value (see '%s --help')", o->letter, command);
        return 0;
    }
    return o->set(arg, o->name, value) ? took : 0;
}

bool opts_parse(int argc, char **argv, const struct opt *table, const char *command, void *arg)
{
    while (argc > 0) {
        int took = parse_one(argc, argv, table, command, arg);

        if (!took)
            return false;
        argc -= took;
        argv += took;
    }
    return true;
}

const char *opts_find(int argc, char **argv, const struct opt *table, const char *name)
{
    const char *found = NULL, *value;
    const struct opt *o;
    int took;

    for (; argc > 0 && (o = look(argc, argv, table, &took, &value)); argc -= took, argv += took) {
        if (!strcmp(o->name, name))
            found = value;
    }
    return found;
}

/* Decimal digits; *end is what follows them. */
static bool number(const char *text, uint64_t *ret, const char **end)
{
    uint64_t v = 0;

    if (!isdigit((unsigned char)*text))
        return false;
    for (; isdigit((unsigned char)*text); text++) {
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*text - '0'), &v))
            return false;
    }
    *ret = v;
    *end = text;
    return true;
}

bool opts_size(const char *text, uint64_t *ret)
{
    static const char units[] = "kmg";
    const char *end, *unit;
    uint64_t v;

    if (!number(text, &v, &end))
        return false;
    if (*end) {
        unit = strchr(units, tolower((unsigned char)*end));
        if (!unit || end[1] ||
            __builtin_mul_overflow(v, (uint64_t)1 << (10 * (unit - units + 1)), &v))
            return false;
    }
    *ret = v;
    return true;
}

bool opts_unsigned(const char *text, unsigned *ret)
{
    const char *end;
    uint64_t v;

    if (!number(text, &v, &end) || *end || v > UINT32_MAX)
        return false;
    *ret = (unsigned)v;
    return true;
}

char *opts_member(char **list)
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

const char *opts_value_of(const char *member, const char *key)
{
    size_t len = strlen(key);

    return !strncmp(member, key, len) && member[len] == '=' ? member + len + 1 : NULL;
}

bool opts_switch(const char *text, bool *ret)
{
    if (strcmp(text, "on") && strcmp(text, "off"))
        return false;
    *ret = text[1] == 'n';
    return true;
}
