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
/* Lines that many need: what an option's value should have been; no memory. Both return false. */
bool cli_bad_value(const char *name, const char *value, const char *expected);
bool cli_no_memory(void);

/* A subcommand gets the arguments behind its name, and returns the exit status. */
int run_main(int argc, char **argv);
extern const char run_help[];
int doctor_main(int argc, char **argv);
extern const char doctor_help[];

/* opts.c ---------------------------------------------------------------------------------- */

/* OPT_MAYBE: what follows is its value unless it begins with a dash. */
enum opt_value { OPT_NEVER, OPT_ALWAYS, OPT_MAYBE };

struct opt {
    const char *name; /* without the dashes */
    enum opt_value has_value;
    char letter;      /* 0: none; "-x VALUE" means the same as "--name VALUE" */
    /* value is NULL when there is none. Returns whether it is fine, after cli_error(). */
    bool (*set)(void *arg, const char *name, const char *value);
};
#define OPT(name, has_value, letter, set)  {name, has_value, letter, set}

/* Parse "--name value", "--name=value", "--name", "-x value" and "-x"; anything else is an error.
 * The table ends with a NULL name. command ("vz run") is for the hint. Returns false after
 * cli_error(). */
bool opts_parse(int argc, char **argv, const struct opt *table, const char *command, void *arg);

/* The value of the option called name, the last time it is there, or NULL: for one that is wanted
 * before all others. What cannot be parsed ends the search, without an error. */
const char *opts_find(int argc, char **argv, const struct opt *table, const char *name);

/* A decimal count of bytes with an optional K, M or G (and nothing else behind). */
bool opts_size(const char *text, uint64_t *ret);
/* A decimal number. */
bool opts_unsigned(const char *text, unsigned *ret);

/* A list of comma-separated members: cut the first one off *list (changing it). Two commas are one
 * that belongs to the member. NULL: no more. */
char *opts_member(char **list);

/* The value of a member "key=...", or NULL. */
const char *opts_value_of(const char *member, const char *key);
/* "on" or "off". */
bool opts_switch(const char *text, bool *ret);

/* run_config.c ---------------------------------------------------------------------------- */

struct vz_config;

struct run_devices;
struct run_sockets;

#define CONSOLES_MAX 16u

/* What the command line of `vz run` says. */
struct run_options {
    struct vz_config *config; /* devices are added at once, the rest in the end */
    struct run_devices *devices; /* what cannot be added at once */
    struct run_sockets *sockets; /* likewise */
    const char *config_file;
    const char *kernel, *initrd, *cmdline, *accel, *jit, *uuid;
    char *boot_disk; /* NULL: none; owned */
    uint64_t memory_size; /* 0: not given, as the next */
    unsigned cpu_count;
    const char *serial; /* NULL: not given */
    const char *console[CONSOLES_MAX];
    unsigned console_count;
    bool no_reboot, debug_exit, stats, print_config;
    bool memory_preallocate, memory_huge_pages, host_cpu;
};

/* Parse the arguments and make the configuration. Returns false after cli_error(), with the exit
 * status in *ret_status. run_options_free() in any case. */
bool run_options_parse(int argc, char **argv, struct run_options *ret, int *ret_status);
void run_options_free(struct run_options *o);

/* run_devices.c --------------------------------------------------------------------------- */

/* Each takes an option's value, and returns false after cli_error(). */
struct run_devices *run_devices_new(void); /* NULL without memory */
void run_devices_free(struct run_devices *d);
bool run_devices_disk(struct vz_config *c, const char *name, const char *value, bool read_only);
bool run_devices_net(struct run_devices *d, const char *name, const char *value);
bool run_devices_mac(struct run_devices *d, const char *name, const char *value);
bool run_devices_forward(struct run_devices *d, const char *name, const char *value);
bool run_devices_rng(struct vz_config *c);
/* All options have been seen. */
bool run_devices_finish(struct run_devices *d, struct vz_config *c);

/* run_devices_guest.c --------------------------------------------------------------------- */

/* value may be NULL. */
bool run_devices_balloon(struct vz_config *c, const char *name, const char *value);
struct run_sockets *run_sockets_new(void); /* NULL without memory */
void run_sockets_free(struct run_sockets *s);
bool run_sockets_option(struct run_sockets *s, const char *name, const char *value);
bool run_sockets_finish(const struct run_sockets *s, struct vz_config *c);

/* terminal.c ------------------------------------------------------------------------------ */

/* Put the terminal on standard input into raw mode, until terminal_restore(), the end of the
 * process, or a signal that ends it: all of them restore it. SIGSTOP and SIGTSTP leave raw mode
 * while stopped (the former only re-enters it). Returns false when that fails. */
bool terminal_raw(void);
void terminal_restore(void);

/* ending.c -------------------------------------------------------------------------------- */

struct vz_machine;

/* From now on SIGHUP, SIGINT and SIGTERM do not end the process, but restore the terminal and are
 * remembered until ending_start(); a second one ends it. Before there are other threads. False: no
 * descriptors. */
bool ending_prepare(void);
/* Have a thread turn the machine off when such a signal comes, or has come. False: no thread. */
bool ending_start(struct vz_machine *machine);
/* Before the machine is freed. */
void ending_stop(void);
/* When all is tidy: end by the signal that came, if any. */
void ending_finish(void);

/* keys.c ---------------------------------------------------------------------------------- */

struct keys;

/* Watch standard input and output in a thread of its own, once keys_start() has been called. in_fd:
 * a terminal, whose keys are looked at for the escape keys and the rest offered at keys_fd(); -1:
 * none. out_fd: when its reader goes away the machine is stopped. Guests are told how large the
 * terminal is. Blocks SIGWINCH, so call it before there are other threads. */
struct keys *keys_new(int in_fd, int out_fd);
/* out_fd's reader went away. */
bool keys_abandoned(const struct keys *k);
int keys_fd(const struct keys *k);
bool keys_start(struct keys *k, struct vz_machine *machine);
void keys_free(struct keys *k); /* NULL is fine */

extern const char keys_help[];

#endif
