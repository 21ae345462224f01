/* SPDX-License-Identifier: MIT */
/* What the commands that take a machine have in common. */
#ifndef VZ_TOOLS_MACHINE_COMMAND_H
#define VZ_TOOLS_MACHINE_COMMAND_H

#include <jansson.h>

#include "bundle/bundle.h"
#include "cli.h"

#define ARGS_WORDS_MAX 64u

/* A command line, parsed by the command's table. */
struct args {
    struct given *given;
    const char *word[ARGS_WORDS_MAX + 1];
    unsigned count;
};

/* At least min words, at most max. False after cli_error(); args_free() in any case. */
bool args_parse(const struct command *c, int argc, char **argv, unsigned min, unsigned max,
                struct args *ret);
void args_free(struct args *a);
/* The value of an option; NULL: it was not given. */
const char *args_value(const struct args *a, const char *name);
bool args_flag(const struct args *a, const char *name);

/* Open a machine by name or path; NULL: the only one there is. False after cli_error(). */
bool machine_open(const char *machine, struct bundle *ret);

/* Commands that do one thing to each of the machines that are named: parse, open, call. Returns the exit
 * status; what fails with one does not keep it from the others. */
typedef bool machine_fn(struct bundle *b, const struct args *a);
int machine_each(const struct command *c, int argc, char **argv, machine_fn *fn);
/* The same, to remove them: also what a loss of power left of one. */
int machine_each_lost(const struct command *c, int argc, char **argv, machine_fn *fn);

/* Commands about one machine, which is the first of at least min and at most max words (0: it may be left
 * out): parse, open, call. Returns the exit status. */
int machine_one(const struct command *c, int argc, char **argv, unsigned min, unsigned max,
                machine_fn *fn);

/* The value of --timeout and its like, "90s"; text NULL: *ret stays. False after cli_error(). */
bool time_option(const char *option, const char *text, int *ret_ms);

/* Print it on standard output, and let go of the reference. Returns the exit status. */
int print_json(json_t *value);

#endif
