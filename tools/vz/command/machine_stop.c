/* SPDX-License-Identifier: MIT */
#include "command/machine_stop.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "control/client.h"

#define OFF_MS    40000 /* a disk that does not answer is given up after 30 s */
#define ANSWER_MS 10000 /* its process never waits, so one that says nothing for so long hangs */
#define DEAD_MS   5000

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

/* Does its process answer at all? */
static bool answers(struct control_client *c)
{
    struct vz_error err;
    json_t *info;

    client_set_timeout(c, ANSWER_MS);
    info = client_call(c, "info", NULL, NULL, &err);
    json_decref(info);
    return info || err.code != VZ_ERROR_NETWORK;
}

/* Who made the socket, and no other process that has got its number: the lock was still held when we had a hold of
 * it. */
static bool kill_peer(const struct bundle *b, const struct control_client *c)
{
    struct ucred peer = {.pid = 0};
    socklen_t len = sizeof(peer);
    int fd = -1;
    bool killed;

    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 1)
        fd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
    killed = fd >= 0 && bundle_is_running(b) && syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
    if (fd >= 0)
        close(fd);
    return killed;
}

/* The plug is pulled whatever its process does. What the guest has written to its disks is there after this, too. */
static bool end_what_hangs(const struct bundle *b)
{
    struct control_client c;
    bool killed;

    if (client_open(b, &c, NULL) < 0)
        return false;
    killed = !answers(&c) && kill_peer(b, &c);
    client_close(&c);
    if (!killed)
        return false;
    cli_error("%s: its process did not answer, and was killed", b->name);
    return client_wait_end(b, DEAD_MS);
}

bool machine_stop(struct bundle *b, bool now, int timeout_ms)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    json_t *result;

    if (!bundle_is_running(b) || (now && end_what_hangs(b)))
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

bool machine_save(struct bundle *b, const struct saving_manner *how)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    json_t *params = json_pack("{s:b, s:b}", "seal", how->seal, "compress", how->compress), *result;

    if (how->passphrase)
        json_object_set_new(params, "passphrase", json_string(how->passphrase));
    result = client_ask(b, "save", params, NULL, &err);

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
