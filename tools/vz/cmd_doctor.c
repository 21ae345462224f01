/* SPDX-License-Identifier: MIT */
/* `vz doctor`: what this computer offers to machines, and what mends what it does not. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vz/host.h>

#include "cli.h"

#define WIDTH  78
#define INDENT 10

static const struct opt doctor_options[] = {
    {"json", 'j', OPT_NEVER, NULL, "Options", "the same for programs", NULL, 0}, {.name = NULL}};

static void doctor_help(FILE *to, const struct opt *options)
{
    fputs("Usage: vz doctor [--json]\n"
          "\n"
          "Say what this computer offers to virtual machines, what is missing, and which commands mend\n"
          "it: hardware virtualization, the software CPU, io_uring, huge pages, memory limits, tap\n"
          "interfaces. Changes nothing. What needs mending is never needed to run machines, only to run\n"
          "them faster or with what needs it.\n",
          to);
    opts_help(to, options, "Options");
    fputs("\n"
          "Exit status:\n"
          "  0  machines can run here\n"
          "  1  they cannot, or something failed\n"
          "  2  wrong usage\n",
          to);
}

static void print_commands(const char *commands)
{
    while (*commands) {
        int len = (int)strcspn(commands, "\n");

        printf("%*s$ %.*s\n", INDENT, "", len, commands);
        commands += len;
        commands += *commands == '\n';
    }
}

static void print_report(const struct vz_host *host)
{
    static const char *const words[] = {"good", "note", "problem"};
    const struct vz_host_finding *f;

    for (size_t i = 0; (f = vz_host_finding(host, i)); i++) {
        printf("%-*s", INDENT, words[f->level]);
        opts_wrap(stdout, f->text, INDENT, WIDTH);
        print_commands(f->command);
    }
}

static int print_json(const struct vz_host *host)
{
    struct vz_error err = {0};
    char *text = vz_host_to_json(host, &err);

    if (!text) {
        cli_error("%s", err.text);
        return EXIT_FAILED;
    }
    puts(text);
    free(text);
    return EXIT_OK;
}

static int doctor_main(int argc, char **argv)
{
    struct given *given = calloc((size_t)argc + 1, sizeof(*given));
    struct vz_error err = {0};
    struct vz_host *host;
    bool json;
    int status = EXIT_OK;

    if (!given || !opts_parse(argc, argv, doctor_options, "vz doctor", given)) {
        free(given);
        return EXIT_USAGE;
    }
    json = opts_given(given, "json");
    free(given);
    host = vz_host_examine(&err);
    if (!host) {
        cli_error("%s", err.text);
        return EXIT_FAILED;
    }
    if (json)
        status = print_json(host);
    else
        print_report(host);
    if (vz_host_finding(host, 0)->level == VZ_HOST_PROBLEM)
        status = EXIT_FAILED;
    vz_host_free(host);
    if (fflush(stdout) < 0) {
        cli_error("standard output: %s", strerror(errno));
        return EXIT_FAILED;
    }
    return status;
}

const struct command doctor_command = {
    "doctor", doctor_main, doctor_help, doctor_options,
    "say what this computer offers to machines, and what would mend what it does not"};
