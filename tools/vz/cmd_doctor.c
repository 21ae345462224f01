/* SPDX-License-Identifier: MIT */
/* `vz doctor`: what this computer offers to machines, and what mends what it does not. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <vz/host.h>

#include "cli.h"
#include "create/helper_file.h"

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

/* What vz itself has, besides the library: a program that shows displays from afar. */
static struct vz_host_finding judge_vnc(void)
{
    char *program = helper_file(&helper_vnc, NULL);
    void *library = dlopen("libvncserver.so.1", RTLD_LAZY | RTLD_LOCAL);
    struct vz_host_finding f = {.level = VZ_HOST_NOTE, .topic = "vnc", .command = ""};

    if (!program) {
        f.code = "not-installed";
        f.text = "The program vz-vnc is not installed: displays cannot be shown to VNC clients and browsers (--vnc, vz view --web). "
                 "A vz that is built where LibVNCServer is has it.";
    } else if (!library) {
        f.code = "no-library";
        f.text = "Displays cannot be shown to VNC clients and browsers (--vnc, vz view --web): LibVNCServer is not installed.";
        f.command = "sudo apt install libvncserver1 novnc";
    } else if (access("/usr/share/novnc/vnc.html", R_OK) < 0) {
        f.code = "no-page";
        f.text = "Displays can be shown to VNC clients (--vnc), by a process of its own, locked like others; browsers want noVNC, which "
                 "is not installed.";
        f.command = "sudo apt install novnc";
    } else {
        f.level = VZ_HOST_GOOD;
        f.code = "works";
        f.text = "Displays can be shown to VNC clients and browsers (--vnc, vz view --web), by a process of its own (vz-vnc), which "
                 "has passwords and TLS, and is locked like others: a machine's has neither.";
    }
    if (library)
        dlclose(library);
    free(program);
    return f;
}

static const char *const words[] = {"good", "note", "problem"};

static void print_finding(const struct vz_host_finding *f)
{
    printf("%-*s", INDENT, words[f->level]);
    opts_wrap(stdout, f->text, INDENT, WIDTH);
    print_commands(f->command);
}

static void print_report(const struct vz_host *host)
{
    const struct vz_host_finding *f, vnc = judge_vnc();

    for (size_t i = 0; (f = vz_host_finding(host, i)); i++)
        print_finding(f);
    print_finding(&vnc);
}

/* The library's, with ours behind it. */
static char *make_json(const struct vz_host *host, struct vz_error *err)
{
    const struct vz_host_finding f = judge_vnc();
    char *text = vz_host_to_json(host, err), *all = NULL;
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;

    if (json_array_append_new(json_object_get(json, "findings"),
                              json_pack("{s:s, s:s, s:s, s:s, s:s*}", "level", words[f.level], "topic", f.topic, "code", f.code,
                                        "text", f.text, "command", f.command[0] ? f.command : NULL)) == 0)
        all = json_dumps(json, JSON_INDENT(2));
    if (text && !all)
        snprintf(err->text, sizeof(err->text), "out of memory");
    json_decref(json);
    free(text);
    return all;
}

static int print_json(const struct vz_host *host)
{
    struct vz_error err = {0};
    char *text = make_json(host, &err);

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
