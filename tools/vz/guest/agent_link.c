/* SPDX-License-Identifier: MIT */
#include "guest/agent_link.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "control/client.h"
#include "failure.h"

#define STEP_MS    100
#define HELLO_MS   10000 /* for an agent that took the connection */
#define YOUNG_S    120   /* a guest of that age may still be starting */
#define PATIENT_MS 60000
#define MOMENT_MS  3000

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Nobody listens there yet, or there is no driver yet; not that the machine has no such device, is
 * paused, or has ended. */
static bool is_early(const struct vz_error *err)
{
    return err->code == VZ_ERROR_NETWORK || err->code == VZ_ERROR_INVALID_STATE;
}

static void explain(struct vz_error *err, const char *name)
{
    char text[VZ_ERROR_TEXT_MAX];

    snprintf(text, sizeof(text), "%s", err->text);
    if (err->code == VZ_ERROR_DEVICE_NOT_FOUND)
        fail(err, err->code, "%s: it has no socket device, by which its guest's agent is reached "
             "(--vsock)", name);
    else if (err->code == VZ_ERROR_NETWORK)
        fail(err, err->code, "%s: no agent answers in the guest (%.100s); is vz-agent installed "
             "there?", name, text);
    else
        fail(err, err->code, "%s: %.180s", name, text);
}

struct vz_agent *agent_link_by(agent_connect_fn *connect_fd, void *arg, const char *name, int wait_ms,
                               bool *ret_late, struct vz_error *err)
{
    struct vz_agent_options o = VZ_AGENT_OPTIONS_INIT;
    uint64_t start = now_ms(), took = 0;
    bool told = false;
    struct vz_agent *a = NULL;

    o.timeout_ms = HELLO_MS;
    for (;;) {
        int fd = connect_fd(arg, err);

        a = fd < 0 ? NULL : vz_agent_new(fd, &o, err);
        took = now_ms() - start;
        if (a || !is_early(err) || (wait_ms != LINK_FOREVER && took >= (uint64_t)wait_ms))
            break;
        if (!told && took > 1000 && isatty(STDERR_FILENO)) {
            told = true;
            cli_error("%s: waiting for its guest's agent", name);
        }
        poll(NULL, 0, STEP_MS);
    }
    if (ret_late)
        *ret_late = !a && is_early(err);
    if (!a)
        explain(err, name);
    return a;
}

static int connect_by_control(void *arg, struct vz_error *err)
{
    const struct bundle *b = arg;
    json_t *params = json_pack("{s:i}", "port", (int)VZ_AGENT_PORT), *result;
    int fd = -1;

    result = client_ask(b, "connect", params, &fd, err);
    json_decref(result);
    if (result && fd < 0)
        return fail(err, VZ_ERROR_NETWORK, "the connection did not come along");
    if (!result && !bundle_is_running(b)) /* and will not be, however long one waits */
        return fail(err, VZ_ERROR_CANCELLED, "is not running; 'vz start' starts it");
    return result ? fd : -1;
}

/* How long to wait where nobody said. */
static int patience(const struct bundle *b)
{
    struct vz_error err;
    json_t *info = client_ask(b, "info", NULL, NULL, &err);
    double age = json_number_value(json_object_get(info, "uptime"));

    json_decref(info);
    return age < YOUNG_S ? PATIENT_MS : MOMENT_MS;
}

struct vz_agent *agent_link(const struct bundle *b, int wait_ms, bool *ret_late, struct vz_error *err)
{
    if (wait_ms == LINK_AUTOMATIC)
        wait_ms = patience(b);
    return agent_link_by(connect_by_control, (void *)b, b->name, wait_ms, ret_late, err);
}
