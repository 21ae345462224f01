/* SPDX-License-Identifier: MIT */
/* What the files of the command line tool share. */
#ifndef VZ_TOOLS_CLI_H
#define VZ_TOOLS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <vz/machine.h>
#include <vz/saved_state.h>

#include "bundle/bundle.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_GUEST = 3, EXIT_TIMEOUT = 124 };

/* One line "vz: ..." to standard error. */
void cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* It lacks memory. Returns false. */
bool cli_no_memory(void);
/* The whole file ("-": standard input), with a 0 behind it, for free(); or NULL and err. */
char *cli_read_file(const char *path, size_t *ret_len, struct vz_error *err);
#define CLI_SUGGESTION_MAX 128
/* "; did you mean '--memory'?", or nothing: which of words was probably meant by word. dashes stand
 * in front of it. */
const char *cli_suggestion(const char *dashes, const char *word, const char *const *words,
                           char buffer[CLI_SUGGESTION_MAX]);

/* opts.c ---------------------------------------------------------------------------------- */

/* OPT_MAYBE: what follows is its value unless it begins with a dash. */
enum opt_value { OPT_NEVER, OPT_ALWAYS, OPT_MAYBE };

struct opt {
    const char *name; /* without the dashes; "": it has a letter only */
    char letter;      /* 0: none; "-x VALUE" means the same as "--name VALUE" */
    enum opt_value has_value;
    const char *value;   /* what help calls it; NULL: there is none */
    const char *heading; /* under which help lists it */
    const char *text;    /* one sentence, without a full stop */
    const char *more;    /* whole sentences for the man page; may be NULL */
    unsigned max;        /* how many times at most; 0: any number */
};

/* An option that was given. */
struct given {
    const struct opt *opt; /* NULL: the list ends */
    const char *value;     /* NULL: none */
};

/* Parse "--name value", "--name=value", "--name", "-x value" and "-x"; anything else is an error.
 * The table ends with a NULL name; ret has room for argc + 1, in the order they were given. command
 * ("vz run") is for the hint. Returns false after cli_error(). */
bool opts_parse(int argc, char **argv, const struct opt *table, const char *command,
                struct given *ret);

/* The same where words may stand among the options: up to max of them into words, which has room for
 * one more, and how many into count. */
bool opts_parse_words(int argc, char **argv, const struct opt *table, const char *command,
                      struct given *ret, const char **words, unsigned max, unsigned *count);

/* The last time that the option called name was given; NULL: never. */
const struct given *opts_given(const struct given *list, const char *name);

/* What help says of the options under a heading; how the option is written. */
void opts_help(FILE *to, const struct opt *table, const char *heading);

/* Words in lines of at most width columns, which begin at column indent; the first one is there
 * already. Ends the last line. */
void opts_wrap(FILE *to, const char *text, int indent, int width);

/* main.c, cmd_*.c, command/ ---------------------------------------------------------------- */

/* A subcommand: one file, which has all of this, and one row in main.c. It gets the arguments behind its
 * name, and returns the exit status. */
struct command {
    const char *name;
    int (*main)(int argc, char **argv);
    /* What `vz help COMMAND` says, with the options of its table; NULL: what usage, text, more and the
     * options say. */
    void (*help)(FILE *to, const struct opt *options);
    const struct opt *options; /* its own */
    const char *text;          /* one sentence, without a full stop */
    const char *const *verbs;  /* the word behind it is one of these; NULL: none */
    const char *usage;         /* what stands behind its name, "MACHINE [--now]"; NULL: help() says it */
    const char *more;          /* whole sentences; NULL: there is no more to say */
    bool has_machine_options;  /* and all that the library has for a machine */
};

extern const struct opt no_options[];
extern const struct command run_command, disk_command, efi_command, doctor_command;
/* Each in the file of its name in command/. */
extern const struct command insert_command, eject_command, send_keys_command;
extern const struct command attach_command, clipboard_command, clone_command, console_command, cp_command,
    create_command, delete_command, detach_command, exec_command, fork_command, forward_command, inspect_command, ip_command,
    list_command, logs_command, pause_command, rename_command, restart_command, restore_command,
    resume_command, rewind_command, save_command, screenshot_command, set_command, share_command, shell_command, snapshot_command, snapshots_command, ssh_command, start_command,
    stats_command, stop_command, usb_command, view_command, wait_command;

/* Is all of it on standard output? Then the exit status of success; else after cli_error(). */
int cli_finish_output(void);

/* cmd_completion.c: the script for a shell on standard output; shell may be NULL. Returns the exit
 * status, after cli_error(). */
void completion_help(FILE *to, const struct opt *options);
int completion_print(const char *shell, const struct command *const *commands);

/* help_json.c: all that help says, for programs: {"commands": [...], "configuration": ...}. commands
 * ends with NULL. False after cli_error(). */
bool help_json(FILE *to, const struct command *const *commands);

/* cmd_run_help.c */
void run_help(FILE *to, const struct opt *options);

/* run_opts.c ------------------------------------------------------------------------------ */

/* All options of a command. NULL without memory. */
struct opt *command_opts_new(const struct command *c);
void command_opts_free(const struct command *c, struct opt *table);

extern const struct opt run_options[];

/* run_life.c ------------------------------------------------------------------------------ */

/* What the command line says of this run, beside the machine. */
struct run_life {
    uint64_t timeout_ms; /* 0: none */
    uint64_t stop_ms;    /* how long a guest may take to shut down; 0: it is not asked */
    char prefix;         /* of the escape keys; 0: none */
    bool has_pass;       /* debug exit with pass ends with 0 */
    uint32_t pass;
};

/* Returns false after cli_error(). */
bool run_life_parse(const struct given *list, struct run_life *ret);
/* "90s", "5m", "1h", the value of an option; not 0. Returns false after cli_error(). */
bool run_life_time(const char *name, const char *value, uint64_t *ret_ms);
/* Is it one of its options? */
bool run_life_has(const char *name);

/* run_sandbox.c ----------------------------------------------------------------------------- */


/* value: of --sandbox; run_as: of --run-as; NULL: it was not given. path: where a state will be saved; NULL: nowhere. Fills in o, whose
 * list of folders is ret_folder's. Returns false after cli_error(). */
struct sandbox_folders {
    char own[4096];
    const char *list[2];
};
bool run_sandbox(const char *value, const char *run_as, const char *path, struct sandbox_folders *ret_folder, struct vz_machine_options *o);
/* What was chosen, for other processes of that machine; before that, and where it has no sandbox, none. */
struct run_sandbox_choice {
    enum vz_sandbox mode;
    uint32_t uid, gid; /* of its threads; 0: as the process */
};
struct run_sandbox_choice run_sandbox_chosen(void);
/* The calling thread gives up what its work for that machine does not need. Nothing in a process without one, or whose
 * machine has no sandbox. False after cli_error(): it must not go on. */
bool run_sandbox_lock(enum vz_thread_work work, const char *folder);

/* run_saved.c ------------------------------------------------------------------------------- */

struct vz_config;
struct vz_error;
struct vz_machine;

#define PASSPHRASE_MAX 256u /* bytes, with the 0 behind it */

/* What the command line says of saved states; the paths are its own. */
struct run_saved {
    const char *restore, *save; /* NULL: not */
    char passphrase[PASSPHRASE_MAX]; /* empty: the user's key, or it is read again when it is wanted */
    const char *passphrase_file;     /* NULL: none */
    bool compress, plain;
    bool copy; /* restore: others go on from the same file */
    vz_machine_progress_fn *progress, *restore_progress; /* of the saving, and before; NULL: nobody looks */
    void *progress_arg;
};

/* The first line of a file. False after cli_error(), which names --passphrase-file. */
bool run_saved_passphrase(const char *path, char ret[PASSPHRASE_MAX]);

/* Returns false after cli_error(). */
bool run_saved_parse(const struct given *list, struct run_saved *ret);
/* The configuration in the file to restore. NULL after cli_error(). */
struct vz_config *run_saved_config(const struct run_saved *s);
/* Start the machine, or restore and resume it. 0 or -1 with err. */
int run_saved_start(struct run_saved *s, struct vz_machine *machine, struct vz_error *err);
/* Pause and save it, and say so; or say why not, and it runs on: false. */
bool run_saved_save(const struct run_saved *s, struct vz_machine *machine);

/* run_warm.c -------------------------------------------------------------------------------- */

struct run_options;

/* Can the machine begin with a warm state (bundle/warm.h)? Where it is one command in a throw-away copy of a machine
 * that is otherwise as it was made. */
bool run_warm_suits(const struct run_options *o);
/* Have o begin with it, made before if need be, or leave it as it is. False, with the exit status: it was to
 * end meanwhile. After ending_prepare(). */
bool run_warm_prepare(struct run_options *o, int *ret_status);
/* It could not be restored: o as if there were none, and neither there is. */
bool run_warm_forget(struct run_options *o);

/* run_config.c ---------------------------------------------------------------------------- */

/* What the command line of `vz run` says. */
struct run_options {
    struct opt *table;
    struct given *given;
    struct vz_config *config;
    struct run_life life;
    struct bundle bundle; /* --from */
    bool has_bundle;
    bool is_image;        /* --from: not that of a machine */
    bool is_new;          /* it was made for this run (--keep), and goes again unless... */
    bool has_run;         /* ...it has run */
    bool has_program; /* set before parsing: a command of the guest's has our input and output */
    struct run_saved saved;
    struct vz_config *cold; /* what config was before it began with a warm state; NULL: it does not */
    char *warm;             /* the path of that */
};

/* Parse the arguments and make the configuration. Returns false after cli_error(), with the exit
 * status in *ret_status. run_options_free() in any case. */
bool run_options_parse(int argc, char **argv, struct run_options *ret, int *ret_status);
void run_options_free(struct run_options *o);

/* Was an option without a value given? */
bool run_options_flag(const struct run_options *o, const char *name);

/* terminal.c ------------------------------------------------------------------------------ */

/* Put the terminal on standard input into raw mode, until terminal_restore(), the end of the
 * process, or a signal that ends it: all of them restore it. SIGSTOP and SIGTSTP leave raw mode
 * while stopped (the former only re-enters it). Returns false when that fails. */
bool terminal_raw(void);
void terminal_restore(void);

/* ending.c -------------------------------------------------------------------------------- */

/* From now on SIGHUP, SIGINT and SIGTERM do not end the process, but are remembered until
 * ending_start(); a third one ends it. Before there are other threads. False: no descriptors. */
bool ending_prepare(void);
/* Have a thread end the machine (or save it first, where that is wanted) when such a signal comes, or has come, or the time is over. False:
 * no thread. */
bool ending_start(struct vz_machine *machine, const struct run_life *life,
                  const struct run_saved *saved);
/* Any thread. As a signal does: ask the guest, the second time turn it off. */
void ending_leave(void);
/* Any thread. Press the power button, and no more; turn the machine off at once. */
void ending_press(void);
void ending_turn_off(void);
bool ending_timed_out(void);
/* Has there been a signal? */
bool ending_came(void);
/* Before the machine is freed. */
void ending_stop(void);
/* When all is tidy: end by the signal that came, if any. */
void ending_finish(void);

/* keys.c ---------------------------------------------------------------------------------- */

struct keys;

/* Watch standard input and output in a thread of its own, once keys_start() has been called. in_fd:
 * a terminal, whose keys are looked at for the escape keys (prefix and another one; prefix 0: there
 * are none) and the rest offered at keys_fd(); -1: none. out_fd: when its reader goes away the machine
 * is stopped. Guests are told how large the terminal is. Blocks SIGWINCH, so call it before there are
 * other threads. */
struct keys *keys_new(int in_fd, int out_fd, char prefix);
/* out_fd's reader went away. */
bool keys_abandoned(const struct keys *k);
int keys_fd(const struct keys *k);
bool keys_start(struct keys *k, struct vz_machine *machine);
void keys_free(struct keys *k); /* NULL is fine */

#endif
