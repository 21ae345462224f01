/* SPDX-License-Identifier: MIT */
/* `vz clipboard MACHINE [get|set [FILE]]`: the clipboard that is shared with a running machine's guest. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vz/clipboard.h>

#include "command/machine_command.h"
#include "control/client.h"
#include "control/clipboard_words.h"
#include "write_all.h"

static const struct opt clipboard_options[] = {
    {"type", 0, OPT_ALWAYS, "TYPE", "Options", "what kind of content: " CLIPBOARD_TYPES " (default text)", NULL, 1},
    {"primary", 0, OPT_NEVER, NULL, "Options", "the selection that X's middle button pastes, in place of the clipboard", NULL, 0},
    {"json", 'j', OPT_NEVER, NULL, "Options", "what is on offer, as JSON", NULL, 0},
    {.name = NULL}};

static const char *type_of(const struct args *a)
{
    const char *type = args_value(a, "type");

    return type ? type : "text";
}

static json_t *params_of(const struct args *a)
{
    return json_pack("{s:s, s:s}", "selection", args_flag(a, "primary") ? "primary" : "clipboard", "type", type_of(a));
}

/* ---- What is on offer ------------------------------------------------------------------------ */

static void print_offer(const char *name, json_t *offer)
{
    json_t *types = json_object_get(offer, "types"), *type;
    size_t i;

    printf("%s:", name);
    json_array_foreach(types, i, type)
        printf(" %s", json_string_value(type));
    printf("%s\n", !json_array_size(types) ? " nothing" : json_is_true(json_object_get(offer, "guest")) ? " (the guest's)"
                                                                                                      : " (the host's)");
}

static bool show(const struct bundle *b, const struct args *a)
{
    struct vz_error err = {.text = ""};
    json_t *result = client_ask(b, "clipboard", NULL, NULL, &err);

    if (!result) {
        cli_error("%s: %s", b->name, err.text);
        return false;
    }
    if (args_flag(a, "json"))
        return print_json(result) == EXIT_OK;
    printf("agent: %s\n", json_is_true(json_object_get(result, "agent")) ? "yes" : "no");
    print_offer("clipboard", json_object_get(result, "clipboard"));
    print_offer("primary", json_object_get(result, "primary"));
    json_decref(result);
    return cli_finish_output() == EXIT_OK;
}

/* ---- get ------------------------------------------------------------------------------------- */

static bool copy_out(const struct bundle *b, int from, int to, const char *path)
{
    static char buffer[65536];
    ssize_t n;

    while ((n = read(from, buffer, sizeof(buffer))) > 0) {
        if (!write_all(to, buffer, (size_t)n)) {
            cli_error("%s: %s", path, strerror(errno));
            return false;
        }
    }
    if (n < 0)
        cli_error("%s: what its process sent cannot be read", b->name);
    return n == 0;
}

static bool get(const struct bundle *b, const struct args *a)
{
    const char *path = a->count > 2 ? a->word[2] : "-";
    struct vz_error err = {.text = ""};
    int fd = -1, to;
    json_t *result = client_ask(b, "get-clipboard", params_of(a), &fd, &err);
    bool ok = false;

    if (!result || fd < 0) {
        cli_error("%s: %s", b->name, result ? "its process has sent no content" : err.text);
        json_decref(result);
        return false;
    }
    json_decref(result);
    to = strcmp(path, "-") ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : STDOUT_FILENO;
    if (to < 0)
        cli_error("%s: %s", path, strerror(errno));
    else
        ok = copy_out(b, fd, to, to == STDOUT_FILENO ? "standard output" : path);
    if (to >= 0 && to != STDOUT_FILENO && close(to) < 0 && ok) {
        cli_error("%s: %s", path, strerror(errno));
        ok = false;
    }
    close(fd);
    return ok;
}

/* ---- set ------------------------------------------------------------------------------------- */

/* Text is UTF-8, in which others expect it. */
static bool is_text(const char *data, size_t len)
{
    json_t *text = json_stringn(data, len);

    json_decref(text);
    return text;
}

/* A file in memory with all that comes from fd; -1 after cli_error(). */
static int content_file(int from, const char *path, bool text)
{
    int fd = memfd_create("vz-clipboard", MFD_CLOEXEC);
    static char buffer[65536];
    size_t len = 0;
    char *map;
    ssize_t n = fd;
    bool ok;

    while (n >= 0 && len <= VZ_CLIPBOARD_MAX && (n = read(from, buffer, sizeof(buffer))) > 0) {
        len += (size_t)n;
        if (!write_all(fd, buffer, (size_t)n))
            n = -1;
    }
    if (n < 0 || len > VZ_CLIPBOARD_MAX) {
        cli_error("%s: %s", path, n < 0 ? strerror(errno) : "more than the 32 MiB that a clipboard takes");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    map = len ? mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    ok = !text || map == MAP_FAILED || is_text(map, len);
    if (map != MAP_FAILED)
        munmap(map, len);
    if (ok)
        return fd;
    cli_error("%s: is no text in UTF-8; say --type png where it is a picture", path);
    close(fd);
    return -1;
}

static bool send_content(const struct bundle *b, const struct args *a, int fd)
{
    struct vz_error err = {.text = ""};
    struct control_client c;
    json_t *result = NULL;

    if (client_open(b, &c, &err) == 0) {
        c.send_fd = fd;
        result = client_call(&c, "set-clipboard", params_of(a), NULL, &err);
        client_close(&c);
    }
    if (!result)
        cli_error("%s: %s", b->name, err.text);
    else if (!json_is_true(json_object_get(result, "agent")))
        cli_error("%s: its guest has no agent (spice-vdagent) that runs; one that starts later is offered it", b->name);
    json_decref(result);
    return result;
}

static bool set(const struct bundle *b, const struct args *a)
{
    const char *path = a->count > 2 ? a->word[2] : "-";
    int from = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO, fd;
    bool ok;

    if (from < 0) {
        cli_error("%s: %s", path, strerror(errno));
        return false;
    }
    fd = content_file(from, from == STDIN_FILENO ? "standard input" : path, !strcmp(type_of(a), "text"));
    if (from != STDIN_FILENO)
        close(from);
    ok = fd >= 0 && send_content(b, a, fd);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool clipboard(struct bundle *b, const struct args *a)
{
    const char *verb = a->count > 1 ? a->word[1] : "";
    enum vz_clipboard_type type;

    if (!clipboard_type(type_of(a), &type)) {
        cli_error("--type '%s': expected " CLIPBOARD_TYPES, type_of(a));
        return false;
    }
    if (!strcmp(verb, "get"))
        return get(b, a);
    if (!strcmp(verb, "set"))
        return set(b, a);
    if (!verb[0])
        return show(b, a);
    cli_error("'%s': expected get or set", verb);
    return false;
}

static int clipboard_main(int argc, char **argv)
{
    return machine_one(&clipboard_command, argc, argv, 0, 3, clipboard);
}

const struct command clipboard_command = {
    "clipboard", clipboard_main, NULL, clipboard_options, "get or set the clipboard that is shared with a running machine's guest",
    NULL, "[MACHINE [get|set [FILE]]]",
    "Without get or set it says what is on offer. get writes what was copied last, in the guest or by set, to FILE or standard "
    "output; set has the guest paste FILE, or standard input. The machine needs --clipboard, and its guest an agent: in Debian "
    "spice-vdagent, in a session with a desktop. At most 32 MiB."};
