/* SPDX-License-Identifier: MIT */
/* `vz view MACHINE --web|--vnc`: where its display is to be seen. */
#include "command/machine_command.h"
#include "control/client.h"

static const struct opt view_options[] = {
    {"web", 0, OPT_NEVER, NULL, "Options", "print the address of a page for a browser (the default)", NULL, 0},
    {"vnc", 0, OPT_NEVER, NULL, "Options", "print address and password for a VNC client", NULL, 0},
    {"json", 'j', OPT_NEVER, NULL, "Options", "as JSON: address, password, url", NULL, 0},
    {.name = NULL}};

static const char *text(json_t *result, const char *name)
{
    const char *value = json_string_value(json_object_get(result, name));

    return value ? value : "";
}

static bool view(struct bundle *b, const struct args *a)
{
    struct vz_error err = {.text = ""};
    json_t *result = client_ask(b, "view", NULL, NULL, &err);

    if (!result) {
        cli_error("%s: %s", b->name, err.text);
        return false;
    }
    if (args_flag(a, "json"))
        return print_json(result) == EXIT_OK;
    if (args_flag(a, "vnc"))
        printf("%s password %s\n", text(result, "address"), text(result, "password"));
    else
        printf("%s\n", text(result, "url"));
    json_decref(result);
    return cli_finish_output() == EXIT_OK;
}

static int view_main(int argc, char **argv)
{
    return machine_one(&view_command, argc, argv, 0, 1, view);
}

const struct command view_command = {
    "view", view_main, NULL, view_options, "have a running machine's display seen in a browser, or by VNC", NULL, "[MACHINE]",
    "Prints an address on this host: of the noVNC page (Debian: novnc), which is good for one browser, that which opens it first; each "
    "call prints another one. VNC clients use the same port, with a password. The machine needs a --display."};
