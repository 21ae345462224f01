/* SPDX-License-Identifier: MIT */
#include "guest/guest_care.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "bundle/config_json.h"
#include "bundle/identity.h"
#include "cli.h"
#include "guest/guest_mounts.h"
#include "guest/guest_watch.h"
#include "now_ms.h"
#include "quiet_thread.h"

#define FIRST_MS  200   /* until the next try of a guest that has no agent yet, and... */
#define LAST_MS   5000  /* ...at last */
#define PORTS_MS  2000  /* between looks at ports */
#define ALIVE_MS  10000 /* between looks whether a guest with mounts has started anew */
#define CLOCK_MS  60000 /* then a guest without an agent has none */
#define PORTS_MAX 256u  /* a guest may have as many as it likes */

struct guest_care {
    struct guest_care_options o;
    pthread_t thread;
    int wake_fd, clock_fd;
    atomic_bool ending, went_on, watch;
    /* The thread's own. */
    bool identity, clock;
    json_t *mounts; /* guest_mounts(); of a guest that the connection is kept to, mounted */
    uint64_t clock_until_ms;
    unsigned pause_ms;
    struct vz_agent *agent; /* while ports or folders are watched, or something is mounted */
    struct guest_watch *folders;
    unsigned folders_began; /* changes, when it did */
    bool has_folders;
    json_t *ports;
    /* Of any thread. */
    pthread_mutex_t lock;
    json_t *devices; /* of directories: under lock; another one when one changes */
    atomic_uint changes;
};

/* ---- What is done --------------------------------------------------------------------------- */

static void set_clock(struct guest_care *g, struct vz_agent *a)
{
    struct vz_error err;

    g->clock = false;
    if (vz_agent_has(a, "clock") && vz_agent_set_clock(a, &err) < 0)
        cli_error("%s: the guest's clock stays behind: %s", g->o.name, err.text);
}

/* False: the connection went, and it is tried again. What the guest could not do it could not do.
 */
static bool give_identity(struct guest_care *g, struct vz_agent *a)
{
    struct vz_agent_identity_options o = VZ_AGENT_IDENTITY_OPTIONS_INIT;
    struct identity id;
    struct vz_error err;

    if (!identity_load(g->o.bundle, &id)) {
        g->identity = false;
        return true;
    }
    o.hostname = id.hostname[0] ? id.hostname : NULL;
    o.machine_id = o.host_keys = id.all;
    o.mac_addresses = id.macs[0] ? id.macs : NULL;
    if (vz_agent_has(a, "identity") && vz_agent_new_identity(a, &o, &err) < 0) {
        if (err.code == VZ_ERROR_NETWORK)
            return false;
        cli_error("%s: its guest keeps something of the identity that it was copied with: %s",
                  g->o.name, err.text);
    }
    g->identity = false;
    if (g->o.keeps && (vz_agent_sync(a, &err) < 0 || identity_done(g->o.bundle, &err) < 0))
        cli_error("%s: %s", g->o.name, err.text);
    return true;
}

static bool stays_connected(const struct guest_care *g)
{
    return json_array_size(g->mounts) > 0 || g->has_folders;
}

/* Of what is shared now. */
static void watch_folders(struct guest_care *g)
{
    json_t *devices;

    if (!g->has_folders)
        return;
    guest_watch_free(g->folders);
    pthread_mutex_lock(&g->lock);
    devices = json_incref(g->devices);
    g->folders_began = g->changes;
    pthread_mutex_unlock(&g->lock);
    g->folders = guest_watch_new(g->agent, devices, &g->changes, g->o.name);
    json_decref(devices);
}

static void disconnect(struct guest_care *g)
{
    guest_watch_free(g->folders);
    g->folders = NULL;
    vz_agent_free(g->agent);
    g->agent = NULL;
}

static void add_port(void *arg, enum vz_agent_fact kind, const char *text)
{
    json_t *list = arg;
    const char *colon = strrchr(text, ':');
    long port = colon ? strtol(colon + 1, NULL, 10) : 0;

    /* What listens on the guest's loopback only cannot be reached from outside. */
    if (kind != VZ_AGENT_LISTENS || strncmp(text, "tcp ", 4) || !strncmp(text, "tcp 127.", 8) ||
        !strncmp(text, "tcp [::1]", 9) || port < 1 || port > 65535 ||
        json_array_size(list) >= PORTS_MAX)
        return;
    json_array_append_new(list, json_integer(port));
}

static bool look_at_ports(struct guest_care *g, struct vz_agent *a)
{
    struct vz_agent_status s = VZ_AGENT_STATUS_INIT;
    json_t *list = json_array();
    struct vz_error err;

    if (vz_agent_status(a, &s, add_port, list, &err) < 0) {
        json_decref(list);
        return false;
    }
    if (json_equal(list, g->ports)) {
        json_decref(list);
        return true;
    }
    json_decref(g->ports);
    g->ports = list;
    g->o.ports(g->o.arg, list);
    return true;
}

/* ---- When ----------------------------------------------------------------------------------- */

static bool has_work(const struct guest_care *g)
{
    return g->identity || g->clock || g->watch || stays_connected(g);
}

/* False: there is nobody to do it with, at this time. */
static bool attend(struct guest_care *g)
{
    bool stays = g->watch || stays_connected(g), is_new = !g->agent, ok;
    struct vz_error err;

    if (!g->agent)
        g->agent = agent_link_by(g->o.connect, g->o.arg, g->o.name, 0, NULL, &err);
    if (!g->agent)
        return false;
    if (g->clock)
        set_clock(g, g->agent);
    ok = !g->identity || give_identity(g, g->agent);
    /* A guest that has started anew shows by a connection that ended. */
    ok = ok && (is_new ? guest_mount_all(g->mounts, g->agent, g->o.name) : vz_agent_ping(g->agent, &err) == 0);
    ok = ok && (!g->watch || look_at_ports(g, g->agent));
    if (ok && (is_new || g->folders_began != g->changes || guest_watch_is_over(g->folders)))
        watch_folders(g);
    if (!ok || !stays)
        disconnect(g);
    return ok;
}

/* A timer far away that says when the clock jumps: it is set, or the host wakes up. */
static void arm(const struct guest_care *g)
{
    struct itimerspec t = {.it_value.tv_sec = INT32_MAX};

    timerfd_settime(g->clock_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &t, NULL);
}

static void take_news(struct guest_care *g)
{
    uint64_t count;

    if (read(g->clock_fd, &count, sizeof(count)) < 0 && errno == ECANCELED)
        g->went_on = true;
    while (read(g->wake_fd, &count, sizeof(count)) > 0)
        ;
    if (!atomic_exchange(&g->went_on, false))
        return;
    g->clock = true;
    g->clock_until_ms = now_ms() + CLOCK_MS;
    g->pause_ms = FIRST_MS;
    arm(g);
}

static int pause_of(const struct guest_care *g, bool attended)
{
    if (!has_work(g))
        return -1;
    return !attended ? (int)g->pause_ms : g->watch ? PORTS_MS : ALIVE_MS;
}

/* Woken for its end, too. */
static void wait_turn(const struct guest_care *g)
{
    struct pollfd p[] = {{.fd = g->wake_fd, .events = POLLIN}, {.fd = g->o.after_fd, .events = POLLIN}};
    uint64_t count;

    while (g->o.after_fd > 0 && !g->ending && poll(p, 2, -1) >= 0 && !p[1].revents)
        (void)!read(g->wake_fd, &count, sizeof(count));
}

static void *care_main(void *arg)
{
    struct guest_care *g = arg;
    const struct bundle *b = g->o.bundle; /* of a run that is kept a draft, which is elsewhere */
    bool attended = false;

    if (!run_sandbox_lock(VZ_THREAD_WATCHES, b && b->draft ? b->draft : b ? b->path : NULL))
        return NULL;
    wait_turn(g);
    take_news(g);
    while (!g->ending) {
        struct pollfd p[] = {{.fd = g->wake_fd, .events = POLLIN},
                             {.fd = g->clock_fd, .events = POLLIN}};

        if (has_work(g)) {
            attended = attend(g);
            g->pause_ms = attended                        ? FIRST_MS
                          : g->pause_ms * 3 / 2 > LAST_MS ? LAST_MS
                                                          : g->pause_ms * 3 / 2;
            g->clock = g->clock && now_ms() < g->clock_until_ms;
        }
        poll(p, 2, pause_of(g, attended));
        take_news(g);
    }
    return NULL;
}

/* ---- The thread ----------------------------------------------------------------------------- */

static void release(struct guest_care *g)
{
    if (g->wake_fd >= 0)
        close(g->wake_fd);
    if (g->clock_fd >= 0)
        close(g->clock_fd);
    if (g->o.after_fd > 0)
        close(g->o.after_fd);
    disconnect(g);
    json_decref(g->ports);
    json_decref(g->mounts);
    json_decref(g->devices);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

bool guest_care_possible(const struct vz_config *config)
{
    json_t *json = config_json(config, NULL);
    bool is = json_array_size(json_object_get(json, "socketDevices")) > 0;

    json_decref(json);
    return is;
}

struct guest_care *guest_care_new(const struct guest_care_options *options)
{
    struct guest_care *g = calloc(1, sizeof(*g));

    if (!g)
        return NULL;
    g->o = *options;
    g->pause_ms = FIRST_MS;
    g->devices = guest_shares(g->o.config);
    g->mounts = guest_mounts(g->o.mounted ? NULL : g->devices);
    g->has_folders = guest_watch_possible(g->devices);
    pthread_mutex_init(&g->lock, NULL);
    g->identity = g->o.bundle && identity_load(g->o.bundle, NULL);
    g->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g->clock_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (g->clock_fd >= 0)
        arm(g);
    if (g->wake_fd >= 0 && g->clock_fd >= 0 && quiet_thread_start(&g->thread, care_main, g))
        return g;
    release(g);
    return NULL;
}

static void wake(struct guest_care *g)
{
    (void)!write(g->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
}

void guest_care_went_on(struct guest_care *g)
{
    if (!g)
        return;
    g->went_on = true;
    wake(g);
}

void guest_care_watch_ports(struct guest_care *g, bool watch)
{
    g->watch = watch && g->o.ports;
    wake(g);
}

void guest_care_share(struct guest_care *g, const char *tag, json_t *share)
{
    json_t *devices, *device;
    size_t i;

    if (!g)
        return;
    pthread_mutex_lock(&g->lock);
    devices = json_deep_copy(g->devices); /* NULL without memory: nothing is watched */
    json_array_foreach(devices, i, device) {
        if (!strcmp(json_string_value(json_object_get(device, "tag")), tag))
            json_object_set(device, "share", share ? share : json_null());
    }
    json_decref(g->devices);
    g->devices = devices;
    g->changes++;
    pthread_mutex_unlock(&g->lock);
    wake(g);
}

void guest_care_free(struct guest_care *g)
{
    if (!g)
        return;
    g->ending = true;
    wake(g);
    pthread_join(g->thread, NULL);
    release(g);
}
