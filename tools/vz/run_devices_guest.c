/* SPDX-License-Identifier: MIT */
/* The options for what is shared with the guest: --balloon and --vsock. */
#include <stdlib.h>
#include <string.h>

#include <vz/vz.h>

#include "cli.h"

/* ---- Balloon -------------------------------------------------------------------------------- */

static bool balloon_member(struct vz_virtio_balloon_options *o, const char *member)
{
    const char *v;
    bool on;

    if ((v = opts_value_of(member, "min")))
        return opts_size(v, &o->minimum_size) && o->minimum_size;
    if ((v = opts_value_of(member, "reporting")) && opts_switch(v, &on)) {
        o->no_free_page_reporting = !on;
        return true;
    }
    if ((v = opts_value_of(member, "oom")) && opts_switch(v, &on)) {
        o->no_deflate_on_oom = !on;
        return true;
    }
    return opts_size(member, &o->target_size) && o->target_size;
}

static bool add_balloon(struct vz_config *c, const struct vz_virtio_balloon_options *o)
{
    struct vz_balloon_device *b = vz_virtio_balloon_device_new(o, NULL);
    int r = vz_config_add_balloon_device(c, b);

    vz_balloon_device_unref(b);
    return r == 0 || cli_no_memory();
}

bool run_devices_balloon(struct vz_config *c, const char *name, const char *value)
{
    struct vz_virtio_balloon_options o = VZ_VIRTIO_BALLOON_OPTIONS_INIT;
    char *text, *rest, *member;
    bool ok = true;

    if (!value)
        return add_balloon(c, &o);
    rest = text = strdup(value);
    if (!text)
        return cli_no_memory();
    while (ok && (member = opts_member(&rest)))
        ok = balloon_member(&o, member);
    free(text);
    if (!ok)
        return cli_bad_value(name, value,
                             "SIZE, min=SIZE, reporting=on|off, oom=on|off, with commas between");
    return add_balloon(c, &o);
}

/* ---- Sockets -------------------------------------------------------------------------------- */

/* One device, whatever the number of options. */
struct run_sockets {
    bool wanted;
    uint32_t cid; /* 0: not given */
    struct vz_socket_forward forward[VZ_SOCKET_FORWARDS_MAX];
    unsigned forward_count;
};

struct run_sockets *run_sockets_new(void)
{
    return calloc(1, sizeof(struct run_sockets));
}

void run_sockets_free(struct run_sockets *s)
{
    for (unsigned i = 0; s && i < s->forward_count; i++)
        free((char *)s->forward[i].path);
    free(s);
}

/* PORT:unix:PATH */
static bool add_forward(struct run_sockets *s, bool to_guest, const char *text)
{
    struct vz_socket_forward f = {.to_guest = to_guest};
    char port[16] = "";
    size_t len = strcspn(text, ":");
    unsigned number;

    if (len >= sizeof(port) || strncmp(text + len, ":unix:", 6) || !text[len + 6] ||
        s->forward_count == VZ_SOCKET_FORWARDS_MAX)
        return false;
    memcpy(port, text, len);
    if (!opts_unsigned(port, &number) || number == UINT32_MAX)
        return false;
    f.port = number;
    f.path = strdup(text + len + 6);
    s->forward[s->forward_count++] = f;
    return f.path != NULL;
}

static bool socket_member(struct run_sockets *s, const char *member)
{
    const char *v;
    unsigned cid;

    if ((v = opts_value_of(member, "cid"))) {
        if (!opts_unsigned(v, &cid) || cid < VZ_SOCKET_CID_MIN || cid > VZ_SOCKET_CID_MAX)
            return false;
        s->cid = cid;
        return true;
    }
    if ((v = opts_value_of(member, "listen")))
        return add_forward(s, false, v);
    v = opts_value_of(member, "connect");
    return v && add_forward(s, true, v);
}

bool run_sockets_option(struct run_sockets *s, const char *name, const char *value)
{
    char *text = strdup(value ? value : ""), *rest = value ? text : NULL, *member;
    bool ok = text != NULL;

    s->wanted = true;
    while (ok && (member = opts_member(&rest)))
        ok = socket_member(s, member);
    free(text);
    return ok || cli_bad_value(name, value,
                               "cid=N (3 or more), listen=PORT:unix:PATH, "
                               "connect=PORT:unix:PATH, with commas between");
}

bool run_sockets_finish(const struct run_sockets *s, struct vz_config *c)
{
    struct vz_virtio_socket_options o = VZ_VIRTIO_SOCKET_OPTIONS_INIT;
    struct vz_socket_device *d;
    int r;

    if (!s->wanted)
        return true;
    o.guest_cid = s->cid ? s->cid : o.guest_cid;
    o.forwards = s->forward;
    o.forward_count = s->forward_count;
    d = vz_virtio_socket_device_new(&o, NULL);
    r = vz_config_add_socket_device(c, d);
    vz_socket_device_unref(d);
    return r == 0 || cli_no_memory();
}
