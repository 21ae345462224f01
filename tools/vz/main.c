/* SPDX-License-Identifier: MIT */
/* vz: the command line of libvz. This file knows the subcommands; each has a file of its own. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <vz/vz.h>

#include "cli.h"
#include "plain_text.h"

#define DESCRIPTORS_MAX 262144u

const struct opt no_options[] = {{.name = NULL}};
static const struct opt help_options[] = {
    {"json", 'j', OPT_NEVER, NULL, "Options", "all commands, options and objects, for programs", NULL,
     0},
    {.name = NULL}};

static int help_main(int argc, char **argv);
static int version_main(int argc, char **argv);
static int completion_main(int argc, char **argv);
static void main_help(FILE *to, const struct opt *options);

static const struct command help_command = {
    "help", help_main, main_help, help_options,
    "say more about a command: the same as 'vz COMMAND --help'"};
static const struct opt version_options[] = {
    {"json", 'j', OPT_NEVER, NULL, "Options", "for programs: an object", NULL, 0}, {.name = NULL}};
static const struct command version_command = {
    "version", version_main, main_help, version_options,
    "say which version this is: the same as 'vz --version' and 'vz -V'"};
static const struct command completion_command = {
    "completion", completion_main, completion_help, no_options,
    "print a script that lets bash, zsh or fish complete what is typed"};

/* In the order of help. */
static const struct command *const commands[] = {
    &run_command,
    &create_command,
    &clone_command,
    &fork_command,
    &rename_command,
    &delete_command,
    &start_command,
    &stop_command,
    &restart_command,
    &pause_command,
    &resume_command,
    &save_command,
    &restore_command,
    &snapshot_command,
    &snapshots_command,
    &rewind_command,
    &list_command,
    &inspect_command,
    &screenshot_command,
    &clipboard_command,
    &view_command,
    &exec_command,
    &shell_command,
    &ssh_command,
    &cp_command,
    &console_command,
    &logs_command,
    &wait_command,
    &ip_command,
    &stats_command,
    &forward_command,
    &share_command,
    &set_command,
    &attach_command,
    &detach_command,
    &insert_command,
    &eject_command,
    &send_keys_command,
    &disk_command,
    &efi_command,
    &usb_command,
    &doctor_command,
    &help_command,
    &version_command,
    &completion_command,
    NULL,
};

static void main_help(FILE *to, const struct opt *options)
{
    fputs("Usage: vz COMMAND [OPTION]...\n"
          "       vz help [COMMAND | --json]\n"
          "       vz version [--json]\n"
          "\n"
          "Run virtual machines. The CPUs are the host's where KVM works, and else software of our own,\n"
          "so this needs neither root nor hardware virtualization.\n"
          "\n"
          "Commands:\n",
          to);
    for (unsigned i = 0; commands[i]; i++)
        fprintf(to, "  %-10s  %s\n", commands[i]->name, commands[i]->text);
    fputs("\n"
          "Example:\n"
          "  vz run --kernel vmlinuz --initrd initrd.img --cmdline console=ttyS0\n"
          "\n"
          "Exit status: 0 when all went well, 1 when something failed, 2 for wrong usage; each\n"
          "command's help says more.\n",
          to);
}

static bool is_first_of_heading(const struct opt *options, const struct opt *o)
{
    while (strcmp(options->heading, o->heading))
        options++;
    return options == o;
}

/* What the command's row says, where it has no words of its own. */
static void command_help(FILE *to, const struct command *c, const struct opt *options)
{
    bool has_options = options->name != NULL;

    if (c->help) {
        c->help(to, options);
        return;
    }
    fprintf(to, "Usage: vz %s%s%s%s\n\n", c->name, c->usage[0] ? " " : "", c->usage,
            has_options ? " [OPTION]..." : "");
    fprintf(to, "%c", toupper((unsigned char)c->text[0]));
    opts_wrap(to, c->text + 1, 0, 97);
    if (c->more)
        fputc('\n', to);
    if (c->more)
        opts_wrap(to, c->more, 0, 98);
    for (const struct opt *o = options; o->name; o++) {
        if (is_first_of_heading(options, o))
            opts_help(to, options, o->heading);
    }
}

void cli_error(const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    plain_text(line); /* names in images, answers of servers */
    fprintf(stderr, "vz: %s\n", line);
}

bool cli_no_memory(void)
{
    cli_error("out of memory");
    return false;
}

const char *cli_suggestion(const char *dashes, const char *word, const char *const *words,
                           char buffer[CLI_SUGGESTION_MAX])
{
    const char *like = vz_closest_word(word, words);

    if (!like)
        return "";
    snprintf(buffer, CLI_SUGGESTION_MAX, "; did you mean '%s%.60s'?", dashes, like);
    return buffer;
}

/* NULL after an error. */
static const struct command *find_command(const char *name)
{
    const char *words[sizeof(commands) / sizeof(commands[0])] = {NULL};
    char buffer[CLI_SUGGESTION_MAX];

    for (unsigned i = 0; commands[i]; i++) {
        if (!strcmp(name, commands[i]->name))
            return commands[i];
        words[i] = commands[i]->name;
    }
    cli_error("unknown %s '%s'%s (see 'vz --help')", name[0] == '-' ? "option" : "command", name,
              name[0] == '-' ? "" : cli_suggestion("", name, words, buffer));
    return NULL;
}

int cli_finish_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_OK;
    cli_error("standard output: %s", strerror(errno));
    return EXIT_FAILED;
}

/* What c's help says; c NULL: that of all commands, for programs. */
static int print_help(const struct command *c)
{
    struct opt *options = c ? command_opts_new(c) : NULL;
    bool ok = !c || options || cli_no_memory();

    if (!c)
        ok = help_json(stdout, commands);
    else if (ok)
        command_help(stdout, c, options);
    if (c)
        command_opts_free(c, options);
    return ok ? cli_finish_output() : EXIT_FAILED;
}

static int version_main(int argc, char **argv)
{
    bool json = argc == 1 && (!strcmp(argv[0], "--json") || !strcmp(argv[0], "-j"));

    if (argc > 0 && !json) {
        cli_error("unexpected argument '%s' (see 'vz --help')", argv[0]);
        return EXIT_USAGE;
    }
    printf(json ? "{\"version\": \"%s\"}\n" : "vz %s\n", vz_version());
    return cli_finish_output();
}

static int completion_main(int argc, char **argv)
{
    int status = completion_print(argc == 1 ? argv[0] : NULL, commands);

    return status == EXIT_OK ? cli_finish_output() : status;
}

static int help_main(int argc, char **argv)
{
    const struct command *c;

    if (argc > 1) {
        cli_error("help takes one command, not '%s' too", argv[1]);
        return EXIT_USAGE;
    }
    if (argc == 1 && (!strcmp(argv[0], "--json") || !strcmp(argv[0], "-j")))
        return print_help(NULL);
    c = find_command(argc ? argv[0] : "help");
    return c ? print_help(c) : EXIT_USAGE;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return true;
    }
    return false;
}

/* A file that we open must not become standard output by accident. */
static bool fill_standard_fds(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return false;
    }
    return true;
}

static void on_log(void *arg, enum vz_log_level level, const char *text)
{
    cli_error("%s", text);
}

/* Shared directories have files of the guest open. The soft limit is for programs that select(). */
static void raise_descriptor_limit(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max < DESCRIPTORS_MAX ? l.rlim_max : DESCRIPTORS_MAX;
        setrlimit(RLIMIT_NOFILE, &l);
    }
}

int main(int argc, char **argv)
{
    const struct command *c;

    if (!fill_standard_fds())
        return EXIT_FAILED;
    raise_descriptor_limit();
    vz_set_log(on_log, NULL, VZ_LOG_ENVIRONMENT);
    if (argc < 2) {
        cli_error("no command given (see 'vz --help')");
        return EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return help_main(0, NULL);
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
        return version_main(argc - 2, argv + 2);
    c = find_command(argv[1]);
    if (!c)
        return EXIT_USAGE;
    if (wants_help(argc - 2, argv + 2))
        return print_help(c);
    return c->main(argc - 2, argv + 2);
}
