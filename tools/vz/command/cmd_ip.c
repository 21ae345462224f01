/* SPDX-License-Identifier: MIT */
/* `vz ip MACHINE`: the guest's addresses, as its agent says, or else as its networks saw them. */
#include <stdlib.h>
#include <string.h>

#include "command/machine_command.h"
#include "control/client.h"
#include "guest/agent_link.h"

#define MOMENT_MS 1000

static const struct opt ip_options[] = {
    {"json", 'j', OPT_NEVER, NULL, "Options", "as JSON: interface, address, prefix", NULL, 0},
    {.name = NULL}};

/* "eth0 10.0.2.15/24" */
static void add_fact(void *arg, enum vz_agent_fact kind, const char *text)
{
    const char *address = strchr(text, ' '), *slash = strrchr(text, '/');
    json_t *list = arg;

    if (kind != VZ_AGENT_ADDRESS || !address || !slash || slash < address ||
        !strncmp(address + 1, "fe80:", 5)) /* good for nobody who does not know the link */
        return;
    json_array_append_new(list, json_pack("{s:s%, s:s%, s:i}", "interface", text, (size_t)(address - text),
                                          "address", address + 1, (size_t)(slash - address - 1),
                                          "prefix", atoi(slash + 1)));
}

static bool by_agent(const struct bundle *b, json_t *list)
{
    struct vz_agent_status status = VZ_AGENT_STATUS_INIT;
    struct vz_error err;
    struct vz_agent *agent = agent_link(b, MOMENT_MS, NULL, &err);
    bool ok = agent && vz_agent_status(agent, &status, add_fact, list, &err) == 0;

    vz_agent_free(agent);
    return ok;
}

/* Of networks that look into packets. */
static bool by_networks(const struct bundle *b, json_t *list)
{
    static const char *const kinds[] = {"ipv4", "ipv6"};
    struct vz_error err = {.text = ""};
    json_t *info = client_ask(b, "info", NULL, NULL, &err), *network;
    size_t i;

    if (!info) {
        cli_error("%s: %s", b->name, err.text);
        return false;
    }
    json_array_foreach(json_object_get(info, "networks"), i, network) {
        for (unsigned k = 0; k < 2; k++) {
            json_t *address = json_object_get(network, kinds[k]);

            if (json_is_string(address))
                json_array_append_new(list, json_pack("{s:O}", "address", address));
        }
    }
    json_decref(info);
    return true;
}

static int print(const struct bundle *b, json_t *list, bool as_json)
{
    json_t *item;
    size_t i;

    if (as_json)
        return print_json(json_incref(list));
    json_array_foreach(list, i, item)
        puts(json_string_value(json_object_get(item, "address")));
    if (json_array_size(list))
        return cli_finish_output();
    cli_error("%s: its guest has no address yet, or has no agent and no NAT to tell it", b->name);
    return EXIT_FAILED;
}

static int ip_main(int argc, char **argv)
{
    json_t *list = json_array();
    int status = EXIT_USAGE;
    struct bundle b;
    struct args a;

    if (args_parse(&ip_command, argc, argv, 0, 1, &a)) {
        status = EXIT_FAILED;
        if (machine_open(a.count ? a.word[0] : NULL, &b)) {
            if (by_agent(&b, list) || by_networks(&b, list))
                status = print(&b, list, args_flag(&a, "json"));
            bundle_close(&b);
        }
    }
    json_decref(list);
    args_free(&a);
    return status;
}

const struct command ip_command = {
    "ip", ip_main, NULL, ip_options, "print the addresses of a machine's guest", NULL, "[MACHINE]",
    "One on a line: what the guest's agent says, or, without one, what the machine's NAT has seen. An address behind NAT is "
    "not reached from this host: see --forward."};
