/* SPDX-License-Identifier: MIT */
#include "guest/agent_link.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vz/config.h>

#include "bundle/identity.h"
#include "cli.h"
#include "control/client.h"
#include "failure.h"
#include "guest/guest_care.h"
#include "now_ms.h"

#define STEP_MS    100
#define HELLO_MS   10000 /* for an agent that took the connection */
#define ANSWER_MS  10000 /* for a guest that takes or refuses it: one that hangs does neither */
#define YOUNG_S    120   /* a guest of that age may still be starting */
#define PATIENT_MS 60000
#define MOMENT_MS  3000
#define SETTLE_MS  15000 /* for a guest to become another one; one that makes keys for a minute may be used meanwhile */
#define LOOK_MS    5

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

int agent_link_connect(void *bundle, struct vz_error *err)
{
    const struct bundle *b = bundle;
    struct control_client c;
    json_t *result = NULL;
    int fd = -1;

    if (client_open(b, &c, err) == 0) {
        client_set_timeout(&c, ANSWER_MS);
        result = client_call(&c, "connect", json_pack("{s:i}", "port", (int)VZ_AGENT_PORT), &fd, err);
        client_close(&c);
    }
    json_decref(result);
    if (result && fd >= 0)
        return fd;
    if (result)
        return fail(err, VZ_ERROR_NETWORK, "the connection did not come along");
    if (!bundle_is_running(b)) /* and will not be, however long one waits */
        return fail(err, VZ_ERROR_CANCELLED, "is not running; 'vz start' starts it");
    if (err->code == VZ_ERROR_NETWORK && strstr(err->text, "process ended"))
        return fail(err, VZ_ERROR_NETWORK, "the guest takes no connection");
    return -1;
}

/* False with err: nothing in it can answer. ret_wait_ms: how long to wait where nobody said. */
static bool is_awake(const struct bundle *b, int *ret_wait_ms, struct vz_error *err)
{
    struct vz_error none;
    json_t *info = client_ask(b, "info", NULL, NULL, &none);
    const char *state = json_string_value(json_object_get(info, "state"));
    bool paused = state && !strcmp(state, "paused");
    double age = json_number_value(json_object_get(info, "uptime"));

    json_decref(info);
    *ret_wait_ms = age < YOUNG_S ? PATIENT_MS : MOMENT_MS;
    return !paused || fail_false(err, VZ_ERROR_INVALID_STATE, "%s: is paused; 'vz resume' lets it go on", b->name);
}

/* Without a socket device nobody ever tells the guest. */
static bool can_settle(const struct bundle *b)
{
    struct vz_error ignored;
    struct vz_config *config = identity_load(b, NULL) ? bundle_config(b, &ignored) : NULL;
    bool can = config && guest_care_possible(config);

    vz_config_unref(config);
    return can;
}

/* Its process sees to it. */
void agent_link_settle(const struct bundle *b, int wait_ms)
{
    int left = wait_ms < SETTLE_MS ? wait_ms : SETTLE_MS;

    if (!can_settle(b))
        return;
    for (; left > 0 && identity_load(b, NULL) && bundle_is_running(b); left -= LOOK_MS)
        poll(NULL, 0, LOOK_MS);
}

struct vz_agent *agent_link(const struct bundle *b, int wait_ms, bool *ret_late, struct vz_error *err)
{
    struct vz_agent *a;
    int automatic;

    if (ret_late)
        *ret_late = false;
    if (!is_awake(b, &automatic, err))
        return NULL;
    if (wait_ms == LINK_AUTOMATIC)
        wait_ms = automatic;
    a = agent_link_by(agent_link_connect, (void *)b, b->name, wait_ms, ret_late, err);
    if (a)
        agent_link_settle(b, wait_ms);
    return a;
}

void agent_link_set_clock(const struct bundle *b)
{
    struct vz_error err;
    struct vz_agent *a = agent_link(b, 0, NULL, &err);

    if (a && vz_agent_has(a, "clock") && vz_agent_set_clock(a, &err) < 0)
        cli_error("%s: the guest's clock stays behind: %s", b->name, err.text);
    vz_agent_free(a);
}
