/* SPDX-License-Identifier: MIT */
/* Option parsing by table, and help from it. Names are spelled out: an abbreviation that works today
 * would stop working when an option is added. */
#include <string.h>

#include "cli.h"

#define COLUMN 20 /* where help's texts begin */
#define WIDTH  98

/* ---- Parsing -------------------------------------------------------------------------------- */

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

/* The option that text was probably meant to be: "; did you mean '--memory'?", or nothing. */
static const char *suggest(const struct opt *table, const char *text,
                           char buffer[CLI_SUGGESTION_MAX])
{
    const char *words[128];
    char name[64];
    size_t count = 0;

    for (const struct opt *o = table; o->name && count < 127; o++) {
        if (o->name[0])
            words[count++] = o->name;
    }
    words[count] = NULL;
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(text, "="), text);
    return strncmp(name, "--", 2) ? "" : cli_suggestion("--", name + 2, words, buffer);
}

static bool refuse(const struct opt *table, const char *text, const char *command)
{
    char buffer[CLI_SUGGESTION_MAX];
    bool option = text[0] == '-';

    cli_error("%s '%.*s'%s (see '%s --help')", option ? "unknown option" : "unexpected argument",
              (int)(option ? strcspn(text, "=") : strlen(text)), text,
              suggest(table, text, buffer), command);
    return false;
}

/* How a person would call it. */
static const char *spelling(const struct opt *o, char buffer[64])
{
    snprintf(buffer, 64, o->name[0] ? "--%s" : "-%.0s%c", o->name, o->letter);
    return buffer;
}

static bool check(const struct opt *o, const char *value, unsigned times, const char *command)
{
    char name[64];

    spelling(o, name);
    if (o->has_value == OPT_NEVER && value)
        cli_error("option '%s' takes no value (see '%s --help')", name, command);
    else if (o->has_value == OPT_ALWAYS && !value)
        cli_error("option '%s' needs a value (see '%s --help')", name, command);
    else if (o->max && times >= o->max)
        cli_error("%s '%s': there are %u already", name, value ? value : "", o->max);
    else
        return true;
    return false;
}

bool opts_parse(int argc, char **argv, const struct opt *table, const char *command,
                struct given *ret)
{
    return opts_parse_words(argc, argv, table, command, ret, NULL, 0, NULL);
}

bool opts_parse_words(int argc, char **argv, const struct opt *table, const char *command,
                      struct given *ret, const char **words, unsigned max, unsigned *word_count)
{
    unsigned count = 0;
    int took;

    for (; argc > 0; argc -= took, argv += took) {
        const char *value;
        const struct opt *o = look(argc, argv, table, &took, &value);
        unsigned times = 0;

        if (!o && max && *word_count < max && argv[0][0] != '-') {
            words[(*word_count)++] = argv[0];
            continue;
        }
        if (!o)
            return refuse(table, argv[0], command);
        for (unsigned i = 0; i < count; i++)
            times += ret[i].opt == o;
        if (!check(o, value, times, command))
            return false;
        ret[count++] = (struct given){o, value};
    }
    ret[count] = (struct given){NULL, NULL};
    return true;
}

const struct given *opts_given(const struct given *list, const char *name)
{
    const struct given *last = NULL;

    for (; list->opt; list++) {
        if (!strcmp(list->opt->name, name))
            last = list;
    }
    return last;
}

/* ---- Help ----------------------------------------------------------------------------------- */

void opts_wrap(FILE *to, const char *text, int indent, int width)
{
    int column = indent;

    while (*text) {
        int len = (int)strcspn(text, " ");

        if (column > indent && column + 1 + len > width) {
            fprintf(to, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            column += fprintf(to, " ");
        }
        column += fprintf(to, "%.*s", len, text);
        text += len;
        text += strspn(text, " ");
    }
    fprintf(to, "\n");
}

/* "  -k, --kernel FILE"; returns how many columns it takes. */
static int print_name(FILE *to, const struct opt *o)
{
    int n = fprintf(to, "  ");

    if (o->letter)
        n += fprintf(to, "-%c%s", o->letter, o->name[0] ? ", " : "");
    if (o->name[0])
        n += fprintf(to, "--%s", o->name);
    if (o->value)
        n += fprintf(to, o->has_value == OPT_MAYBE && o->value[0] != '[' ? " [%s]" : " %s",
                     o->value);
    return n;
}

void opts_help(FILE *to, const struct opt *table, const char *heading)
{
    fprintf(to, "\n%s:\n", heading);
    for (const struct opt *o = table; o->name; o++) {
        int n;

        if (strcmp(o->heading, heading))
            continue;
        n = print_name(to, o);
        if (n > COLUMN - 2)
            n = fprintf(to, "\n") - 1;
        fprintf(to, "%*s", COLUMN - n, "");
        opts_wrap(to, o->text, COLUMN, WIDTH);
    }
}
