/* SPDX-License-Identifier: MIT */
/* `vz view MACHINE`: its display in a window; with --web and --vnc, where else it is to be seen. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command/machine_command.h"
#include "command/view_window.h"
#include "control/client.h"
#include "control/send_fd.h"
#include "failure.h"
#include "plain_text.h"

#define WHERE_MAX 65536 /* bytes */

static const struct opt view_options[] = {
    {"display", 0, OPT_ALWAYS, "N", "Window", "which display of the machine, from 0 (default 0)", NULL, 1},
    {"full-screen", 0, OPT_NEVER, NULL, "Window", "begin with all of the monitor", NULL, 0},
    {"web", 0, OPT_NEVER, NULL, "Elsewhere", "print the address of a page for a browser (the default without a desktop)", NULL, 0},
    {"vnc", 0, OPT_NEVER, NULL, "Elsewhere", "print address and password for a VNC client", NULL, 0},
    {"json", 'j', OPT_NEVER, NULL, "Elsewhere", "as JSON: address, password, url", NULL, 0},
    {.name = NULL}};

/* As people's terminals may have it: who said it reads what viewers send. For free(). */
static char *text(json_t *where, const char *name)
{
    const char *value = json_string_value(json_object_get(where, name));
    char *ret = strdup(value ? value : "");

    if (ret)
        plain_text(ret);
    return ret;
}

static bool failed(const struct bundle *b, const struct vz_error *err)
{
    cli_error("%s: %s", b->name, err->text);
    return false;
}

/* Of others the end may never come. */
static bool is_short(int fd)
{
    struct stat st;

    return fd_is_memory(fd) && fstat(fd, &st) == 0 && st.st_size <= WHERE_MAX;
}

/* Where, as the server itself says: it comes in a file. NULL and err. */
static json_t *ask_where(struct bundle *b, struct vz_error *err)
{
    int fd = -1;
    json_t *result = client_ask(b, "view", NULL, &fd, err), *where;

    if (!result)
        return NULL;
    json_decref(result);
    where = is_short(fd) && lseek(fd, 0, SEEK_SET) == 0 ? json_loadfd(fd, 0, NULL) : NULL;
    if (!where)
        fail(err, VZ_ERROR_INTERNAL, "the machine's process says no address");
    if (fd >= 0)
        close(fd);
    return where;
}

static bool view_elsewhere(struct bundle *b, const struct args *a)
{
    struct vz_error err = {.text = ""};
    json_t *where = ask_where(b, &err);
    bool vnc = args_flag(a, "vnc"), ok;
    char *address, *password;

    if (!where)
        return failed(b, &err);
    if (args_flag(a, "json"))
        return print_json(where) == EXIT_OK;
    address = text(where, vnc ? "address" : "url");
    password = text(where, "password");
    ok = address && password;
    if (ok && vnc)
        printf("%s password %s\n", address, password);
    else if (ok)
        puts(address);
    free(address);
    free(password);
    json_decref(where);
    return ok && cli_finish_output() == EXIT_OK;
}

/* vz-view takes our place, with the connection. */
static bool become_window(struct bundle *b, const struct args *a, const char *program, int fd)
{
    const char *display = args_value(a, "display");
    char number[16];
    const char *argv[] = {"vz-view", "--fd", number, "--name", b->name, "--display", display ? display : "0",
                          args_flag(a, "full-screen") ? "--full-screen" : NULL, NULL};

    snprintf(number, sizeof(number), "%d", fd);
    if (fcntl(fd, F_SETFD, 0) == 0)
        execv(program, (char *const *)(uintptr_t)argv);
    cli_error("%s: %s", program, strerror(errno));
    return false;
}

static bool view_in_window(struct bundle *b, const struct args *a)
{
    struct vz_error err = {.text = ""};
    struct control_client client;
    char *program;
    bool ok = false;

    if (client_open(b, &client, &err) < 0)
        return failed(b, &err);
    program = view_window_program(&err);
    if (program)
        ok = become_window(b, a, program, client.fd);
    else
        cli_error("%s; 'vz view --web' shows it in a browser", err.text);
    free(program);
    client_close(&client);
    return ok;
}

static bool view(struct bundle *b, const struct args *a)
{
    if (args_flag(a, "web") || args_flag(a, "vnc") || args_flag(a, "json") || !view_window_has_desktop())
        return view_elsewhere(b, a);
    return view_in_window(b, a);
}

static int view_main(int argc, char **argv)
{
    return machine_one(&view_command, argc, argv, 0, 1, view);
}

const struct command view_command = {
    "view", view_main, NULL, view_options, "show a running machine's display in a window, in a browser, or by VNC", NULL, "[MACHINE]",
    "The machine needs a --display. The window's menu pauses, saves and turns off the machine, and sends keys that the desktop would "
    "keep; Ctrl+Alt+F is the full screen, and back. Closing the window asks what is to become of the machine. For a browser an address "
    "on this host is printed: of the noVNC page (Debian: novnc), which is good for one browser, that which opens it first; each "
    "call prints another one. VNC clients use the same port, with a password."};
