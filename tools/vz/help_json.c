/* SPDX-License-Identifier: MIT */
/* `vz help --json`: for completions, documents and front ends. */
#include <stdlib.h>

#include <vz/vz.h>

#include "cli.h"

/* Names and texts are our own: ASCII without control characters. */
static void put_string(FILE *to, const char *text)
{
    putc('"', to);
    for (; *text; text++)
        fprintf(to, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    putc('"', to);
}

static void put_member(FILE *to, const char *name, const char *text)
{
    if (!text)
        return;
    fprintf(to, ", \"%s\": ", name);
    put_string(to, text);
}

static void put_option(FILE *to, const struct opt *o)
{
    const char letter[2] = {o->letter};

    fprintf(to, "{\"name\": ");
    put_string(to, o->name);
    put_member(to, "letter", o->letter ? letter : NULL);
    put_member(to, "value", o->value);
    if (o->has_value == OPT_MAYBE)
        fprintf(to, ", \"optional\": true");
    put_member(to, "heading", o->heading);
    put_member(to, "text", o->text);
    put_member(to, "more", o->more);
    putc('}', to);
}

static void put_command(FILE *to, const struct command *c, const struct opt *options)
{
    fprintf(to, "{\"name\": ");
    put_string(to, c->name);
    put_member(to, "text", c->text);
    put_member(to, "usage", c->usage);
    put_member(to, "more", c->more);
    if (c->verbs) {
        fprintf(to, ", \"verbs\": [");
        for (const char *const *v = c->verbs; *v; v++) {
            fprintf(to, v == c->verbs ? "" : ", ");
            put_string(to, *v);
        }
        putc(']', to);
    }
    fprintf(to, ", \"options\": [");
    for (const struct opt *o = options; o->name; o++) {
        fprintf(to, o == options ? "\n  " : ",\n  ");
        put_option(to, o);
    }
    fprintf(to, "]}");
}

bool help_json(FILE *to, const struct command *const *commands)
{
    struct vz_error err;
    char *schema = vz_config_schema(&err);
    bool ok = true;

    if (!schema) {
        cli_error("%s", err.text);
        return false;
    }
    fprintf(to, "{\"commands\": [");
    for (unsigned i = 0; commands[i]; i++) {
        struct opt *options = command_opts_new(commands[i]);

        fprintf(to, i ? ",\n" : "\n");
        if (options)
            put_command(to, commands[i], options);
        ok = ok && options;
        command_opts_free(commands[i], options);
    }
    fprintf(to, "],\n\"configuration\": %s}\n", schema);
    free(schema);
    return ok || cli_no_memory();
}
