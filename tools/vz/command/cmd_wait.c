/* SPDX-License-Identifier: MIT */
/* `vz wait MACHINE --for WHAT`: until its guest has come to something, or it has ended. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "command/machine_command.h"
#include "control/client.h"
#include "control/last_run.h"
#include "failure.h"
#include "guest/agent_link.h"
#include "guest/ssh_port.h"
#include "now_ms.h"

#define STEP_MS 200

static const struct opt wait_options[] = {
    {"for", 0, OPT_ALWAYS, "boot|agent|network|ssh|stop", "Options",
     "until the guest's start is done (default), its agent answers, it has an address, its ssh server answers, or the "
     "machine has ended", NULL, 1},
    {"timeout", 0, OPT_ALWAYS, "TIME", "Options", "for so long at most (90s, 5m, 1h), with status 124", NULL, 1},
    {.name = NULL}};

static int wait_guest(const struct bundle *b, bool booted, int timeout_ms)
{
    uint64_t start = now_ms(), took;
    struct vz_error err = {.text = ""};
    bool late = false;
    struct vz_agent *agent = agent_link(b, timeout_ms < 0 ? LINK_FOREVER : timeout_ms, &late, &err);
    int status = EXIT_OK;

    if (!agent) {
        cli_error("%s", err.text);
        return late ? EXIT_TIMEOUT : EXIT_FAILED;
    }
    took = now_ms() - start;
    if (booted && timeout_ms >= 0 && took >= (uint64_t)timeout_ms)
        status = EXIT_TIMEOUT;
    else if (booted && vz_agent_wait_booted(agent, timeout_ms < 0 ? 0 : (uint64_t)timeout_ms - took, &err) < 0) {
        cli_error("%s: %s", b->name, err.text);
        status = err.code == VZ_ERROR_NETWORK && timeout_ms >= 0 && now_ms() - start >= (uint64_t)timeout_ms
                     ? EXIT_TIMEOUT : EXIT_FAILED;
    }
    vz_agent_free(agent);
    return status;
}

/* ---- The network ---------------------------------------------------------------------------- */

/* 1: it has come to that; 0: not yet; -1: it will not, with err. */
typedef int look_fn(const struct bundle *b, struct vz_error *err);

static int look_for_address(const struct bundle *b, struct vz_error *err)
{
    json_t *info = client_ask(b, "info", NULL, NULL, err), *network;
    bool nat = false, has = false;
    size_t i;

    if (!info)
        return -1;
    json_array_foreach(json_object_get(info, "networks"), i, network) {
        nat = nat || json_is_true(json_object_get(network, "nat"));
        has = has || json_object_get(network, "ipv4") || json_object_get(network, "ipv6");
    }
    json_decref(info);
    if (!nat)
        return fail(err, VZ_ERROR_DEVICE_NOT_FOUND, "it has no network behind NAT, and of others nothing is known");
    return has;
}

/* What answers there first says who it is: "SSH-2.0-...". */
static int look_for_ssh(const struct bundle *b, struct vz_error *err)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int port = ssh_port(b, err), fd;
    struct timeval t = {.tv_sec = 2};
    char said[4] = "";
    bool is;

    if (port < 0)
        return -1;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail_errno(err, "a socket");
    a.sin_port = htons((uint16_t)port);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
    is = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && recv(fd, said, sizeof(said), MSG_WAITALL) == sizeof(said) &&
         !memcmp(said, "SSH-", sizeof(said));
    close(fd);
    return is;
}

static int wait_look(const struct bundle *b, look_fn *look, int timeout_ms)
{
    uint64_t start = now_ms();
    struct vz_error err = {.text = ""};

    for (;;) {
        int r = look(b, &err);

        if (r > 0)
            return EXIT_OK;
        if (r < 0) {
            cli_error("%s: %s", b->name, err.text);
            return EXIT_FAILED;
        }
        if (timeout_ms >= 0 && now_ms() - start >= (uint64_t)timeout_ms) {
            cli_error("%s: not within that time", b->name);
            return EXIT_TIMEOUT;
        }
        poll(NULL, 0, STEP_MS);
    }
}

/* How it ended is the status, as that of vz run. */
static int wait_stop(const struct bundle *b, int timeout_ms)
{
    json_t *last, *text;
    int status = EXIT_OK;

    if (!client_wait_end(b, timeout_ms)) {
        cli_error("%s: it still runs", b->name);
        return EXIT_TIMEOUT;
    }
    last = last_run_load(b);
    text = json_object_get(last, "text");
    if (last && !json_object_get(last, "ended"))
        cli_error("%s: its process was killed", b->name);
    else if (text)
        cli_error("%s: %s", b->name, json_string_value(text));
    if (last)
        status = last_run_status(last);
    json_decref(last);
    return status;
}

static int wait_boot(const struct bundle *b, int timeout_ms)
{
    return wait_guest(b, true, timeout_ms);
}

static int wait_agent(const struct bundle *b, int timeout_ms)
{
    return wait_guest(b, false, timeout_ms);
}

static int wait_network(const struct bundle *b, int timeout_ms)
{
    return wait_look(b, look_for_address, timeout_ms);
}

static int wait_ssh(const struct bundle *b, int timeout_ms)
{
    return wait_look(b, look_for_ssh, timeout_ms);
}

static const struct aim {
    const char *name;
    int (*wait)(const struct bundle *b, int timeout_ms);
} aims[] = {{"boot", wait_boot}, {"agent", wait_agent}, {"network", wait_network}, {"ssh", wait_ssh}, {"stop", wait_stop}};

/* NULL after cli_error(). */
static const struct aim *aim_of(const char *name)
{
    for (size_t i = 0; i < sizeof(aims) / sizeof(aims[0]); i++) {
        if (!strcmp(aims[i].name, name))
            return &aims[i];
    }
    cli_error("--for '%s': expected boot, agent, network, ssh or stop", name);
    return NULL;
}

static int wait_main(int argc, char **argv)
{
    const char *what;
    const struct aim *aim;
    int status = EXIT_USAGE, timeout_ms = -1;
    struct bundle b;
    struct args a;

    if (args_parse(&wait_command, argc, argv, 0, 1, &a)) {
        what = args_value(&a, "for");
        aim = aim_of(what ? what : "boot");
        if (aim && time_option("timeout", args_value(&a, "timeout"), &timeout_ms)) {
            status = EXIT_FAILED;
            if (machine_open(a.count ? a.word[0] : NULL, &b)) {
                status = aim->wait(&b, timeout_ms);
                bundle_close(&b);
            }
        }
    }
    args_free(&a);
    return status;
}

const struct command wait_command = {
    "wait", wait_main, NULL, wait_options, "wait until a machine's guest has booted, or until it has ended",
    NULL, "[MACHINE]",
    "The status is 0 when it has come to that, 124 when the time was over, and 1 otherwise: a machine that does not run will not "
    "boot. For boot and agent the guest needs its agent, for network and ssh a network behind NAT. For stop it is 3 when the guest panicked, and 1 when "
    "an error ended it or its process was killed."};
