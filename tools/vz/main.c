/* SPDX-License-Identifier: MIT */
/* vz: the command line of libvz. This file knows the subcommands; each has a file of its own. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vz/vz.h>

#include "cli.h"

static const char main_help[] =
    "Usage: vz COMMAND [OPTION]...\n"
    "       vz help [COMMAND]\n"
    "       vz version\n"
    "\n"
    "Run virtual machines. The CPUs are the host's where KVM works, and else software of our own,\n"
    "so this needs neither root nor hardware virtualization.\n"
    "\n"
    "Commands:\n"
    "  run      boot a kernel and connect its serial console to the terminal\n"
    "  doctor   say what this computer offers to machines, and what would mend what it does not\n"
    "  help     say more about a command: the same as 'vz COMMAND --help'\n"
    "  version  say which version this is: the same as 'vz --version' and 'vz -V'\n"
    "\n"
    "Example:\n"
    "  vz run --kernel vmlinuz --initrd initrd.img --cmdline console=ttyS0\n"
    "\n"
    "Exit status: 0 when all went well, 1 when something failed, 2 for wrong usage; each command's\n"
    "help says more.\n";

static const struct {
    const char *name;
    int (*main)(int argc, char **argv);
    void (*help)(FILE *to);
} commands[] = {
    {"run", run_main, run_help},
    {"doctor", doctor_main, doctor_help},
};

void cli_error(const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
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

/* The index of a command, or -1 after an error. */
static int find_command(const char *name)
{
    static const char *const words[] = {"run", "doctor", "help", "version", NULL};
    char buffer[CLI_SUGGESTION_MAX];

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (!strcmp(name, commands[i].name))
            return (int)i;
    }
    cli_error("unknown %s '%s'%s (see 'vz --help')", name[0] == '-' ? "option" : "command", name,
              name[0] == '-' ? "" : cli_suggestion("", name, words, buffer));
    return -1;
}

static int print(const char *text, void (*help)(FILE *to))
{
    if (text)
        fputs(text, stdout);
    if (help)
        help(stdout);
    if (fflush(stdout) < 0 || ferror(stdout)) {
        cli_error("standard output: %s", strerror(errno));
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

static int version_main(int argc, char **argv)
{
    char line[64];

    if (argc > 0) {
        cli_error("unexpected argument '%s' (see 'vz --help')", argv[0]);
        return EXIT_USAGE;
    }
    snprintf(line, sizeof(line), "vz %s\n", vz_version());
    return print(line, NULL);
}

static int help_main(int argc, char **argv)
{
    int i;

    if (argc > 1) {
        cli_error("help takes one command, not '%s' too", argv[1]);
        return EXIT_USAGE;
    }
    if (argc == 0 || !strcmp(argv[0], "help") || !strcmp(argv[0], "version"))
        return print(main_help, NULL);
    i = find_command(argv[0]);
    return i < 0 ? EXIT_USAGE : print(NULL, commands[i].help);
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

int main(int argc, char **argv)
{
    int i;

    if (!fill_standard_fds())
        return EXIT_FAILED;
    if (argc < 2) {
        cli_error("no command given (see 'vz --help')");
        return EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return print(main_help, NULL);
    if (!strcmp(argv[1], "help"))
        return help_main(argc - 2, argv + 2);
    if (!strcmp(argv[1], "version") || !strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
        return version_main(argc - 2, argv + 2);
    i = find_command(argv[1]);
    if (i < 0)
        return EXIT_USAGE;
    if (wants_help(argc - 2, argv + 2))
        return print(NULL, commands[i].help);
    return commands[i].main(argc - 2, argv + 2);
}
