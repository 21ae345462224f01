/* SPDX-License-Identifier: MIT */
/* What the files of the command line tool share. */
#ifndef VZ_TOOLS_CLI_H
#define VZ_TOOLS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* One line "vz: ..." to standard error. */
void cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A subcommand gets the arguments behind its name, and returns the exit status. */
int run_main(int argc, char **argv);
extern const char run_help[];

/* opts.c ---------------------------------------------------------------------------------- */

struct opt {
    const char *name; /* without the dashes */
    bool has_value;
    /* value is NULL for an option without one. Returns whether it is fine, after cli_error(). */
    bool (*set)(void *arg, const char *name, const char *value);
};

/* Parse "--name value", "--name=value" and "--name"; anything else is an error. The table ends
 * with a NULL name. command ("vz run") is for the hint. Returns false after cli_error(). */
bool opts_parse(int argc, char **argv, const struct opt *table, const char *command, void *arg);

/* A decimal count of bytes with an optional K, M or G (and nothing else behind). */
bool opts_size(const char *text, uint64_t *ret);
/* A decimal number. */
bool opts_unsigned(const char *text, unsigned *ret);

/* terminal.c ------------------------------------------------------------------------------ */

/* Put the terminal on standard input into raw mode, until terminal_restore(), the end of the
 * process, or a signal that ends it: all of them restore it. SIGSTOP and SIGTSTP leave raw mode
 * while stopped (the former only re-enters it). Returns false when that fails. */
bool terminal_raw(void);
void terminal_restore(void);

/* keys.c ---------------------------------------------------------------------------------- */

struct vz_machine;
struct keys;

/* Read the keyboard (descriptor in_fd) in a thread of its own, look for the escape keys, and
 * offer the rest at keys_fd(). Ctrl-A x stops the machine given to keys_start(). */
struct keys *keys_new(int in_fd);
int keys_fd(const struct keys *k);
bool keys_start(struct keys *k, struct vz_machine *machine);
void keys_free(struct keys *k); /* NULL is fine */

extern const char keys_help[];

#endif
