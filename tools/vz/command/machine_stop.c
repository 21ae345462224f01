/* SPDX-License-Identifier: MIT */
#include "command/machine_stop.h"

#include <unistd.h>

#include "control/client.h"

#define OFF_MS 40000 /* a disk that does not answer is given up after 30 s */

/* From the first second on, on a terminal. */
static bool wait_end(const struct bundle *b, int timeout_ms)
{
    if (client_wait_end(b, timeout_ms < 1000 ? timeout_ms : 1000))
        return true;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "vz: %s: waiting up to %d s for the guest to shut down\n", b->name,
                timeout_ms / 1000);
    return client_wait_end(b, timeout_ms - 1000);
}

bool machine_stop(struct bundle *b, bool now, int timeout_ms)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    json_t *result;

    if (!bundle_is_running(b))
        return true;
    result = client_ask(b, "stop", json_pack("{s:b}", "now", now), NULL, &err);
    json_decref(result);
    /* That its process ended instead of answering is an answer too. */
    if (!result && err.code != VZ_ERROR_NETWORK && bundle_is_running(b)) {
        cli_error("%s: %s%s", b->name, err.text, now ? "" : "; --now turns the machine off");
        return false;
    }
    if (now ? client_wait_end(b, OFF_MS) : wait_end(b, timeout_ms))
        return true;
    cli_error("%s: %s", b->name,
              now ? "its process does not end" : "the guest has not shut down; --now turns it off");
    return false;
}

bool machine_save(struct bundle *b, bool seal, bool compress)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    json_t *result = client_ask(b, "save", json_pack("{s:b, s:b}", "seal", seal, "compress", compress), NULL, &err);

    json_decref(result);
    if (!result) {
        cli_error("%s: %s", b->name, err.text);
        return false;
    }
    if (client_wait_end(b, OFF_MS))
        return true;
    cli_error("%s: it is saved, and its process does not end", b->name);
    return false;
}
