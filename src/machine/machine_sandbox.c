/* SPDX-License-Identifier: MIT */
/* What a machine's threads may still do once all is open, by what it has: src/sandbox/ does it. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/foreign_binaries.h"
#include "hv/hv.h"
#include "machine/machine_impl.h"
#include "sandbox/sandbox_calls.h"
#include "save/save_key.h"

#define WRITERS (SANDBOX_KIND(LOOP) | SANDBOX_KIND(SAVE))

/* ---- Its options ---------------------------------------------------------------------------- */

static int no_memory(struct vz_error *err)
{
    return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
}

static int copy_folders(struct vz_machine *m, const char *const *folder, struct vz_error *err)
{
    size_t count = 0;

    while (folder && folder[count])
        count++;
    m->sandbox_folders = calloc(count + 1, sizeof(char *));
    if (!m->sandbox_folders)
        return no_memory(err);
    for (size_t i = 0; i < count; i++) {
        m->sandbox_folders[i] = strdup(folder[i]);
        if (!m->sandbox_folders[i])
            return no_memory(err);
    }
    return 0;
}

int machine_sandbox_options(struct vz_machine *m, const struct vz_machine_options *o, struct vz_error *err)
{
    if ((unsigned)o->sandbox > VZ_SANDBOX_LOG)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "there is no sandbox number %u", (unsigned)o->sandbox);
    m->sandbox_mode = o->sandbox;
    return copy_folders(m, o->sandbox_folders, err);
}

void machine_sandbox_free(struct vz_machine *m)
{
    for (char **folder = m->sandbox_folders; folder && *folder; folder++)
        free(*folder);
    free(m->sandbox_folders);
    m->sandbox_folders = NULL;
}

/* ---- What the machine has ------------------------------------------------------------------- */

static bool has_nat(const struct vz_config *c)
{
    for (unsigned i = 0; i < c->network_devices.count; i++) {
        const struct vz_network_device *d = c->network_devices.item[i];

        if (d->attachment && d->attachment->kind == NETWORK_NAT)
            return true;
    }
    return false;
}

static bool has_nbd(const struct vz_config *c)
{
    for (unsigned i = 0; i < c->storage_devices.count; i++) {
        const struct vz_storage_device *d = c->storage_devices.item[i];

        if (d->attachment->kind == STORAGE_NBD)
            return true;
    }
    return false;
}

/* Its library has a thread that none of our filters reaches, or dies in the loop's. */
static bool has_host_sound(const struct vz_config *c)
{
    for (unsigned i = 0; i < c->sound_devices.count; i++) {
        const struct vz_sound_device *d = c->sound_devices.item[i];

        for (unsigned n = 0; n < d->stream_count; n++)
            if (d->stream[n].attachment && d->stream[n].attachment->kind == SOUND_HOST)
                return true;
    }
    return false;
}

/* Which backend it is has not been chosen yet. */
static uint32_t features(const struct vz_machine *m)
{
    const struct vz_config *c = m->config;
    const char *accel = c->options.accel;
    bool kvm = !accel || strcmp(accel, "soft"), soft = !accel || strcmp(accel, "kvm");

    return (uint32_t)((has_nat(c) ? SANDBOX_NET : 0) | (has_nbd(c) ? SANDBOX_NET | SANDBOX_NBD : 0) |
                      (c->socket_devices.count ? SANDBOX_VSOCK : 0) | (kvm ? SANDBOX_KVM : 0) |
                      (soft && hv_soft_ops.memory_shared(c->options.jit) ? SANDBOX_STUBS : 0) |
                      (m->sandbox_folders[0] ? SANDBOX_FOLDERS : 0));
}

/* ---- Files ---------------------------------------------------------------------------------- */

static int allow_share(struct sandbox *s, const struct vz_directory_share *share)
{
    struct foreign_files f;
    int r = 0;

    if (share->kind == SHARE_OF_INTERPRETERS) {
        if (foreign_files_find(share, &f, NULL) < 0)
            return 0; /* its device does not open either, and says why */
        for (unsigned i = 0; !r && i < f.count; i++)
            r = sandbox_allow(s, SANDBOX_KIND(SHARE), f.file[i].path, false);
        foreign_files_fini(&f);
        return r;
    }
    if (share->kind == SHARE_OF_ONE)
        return sandbox_allow(s, SANDBOX_KIND(SHARE), share->path, !share->read_only);
    for (unsigned i = 0; !r && i < share->directory_count; i++)
        r = sandbox_allow(s, SANDBOX_KIND(SHARE), share->directory[i].path, !share->directory[i].read_only);
    return r;
}

static int allow_shares(struct vz_machine *m)
{
    const struct object_list *l = &m->config->directory_sharing_devices;
    int r = 0;

    for (unsigned i = 0; !r && i < l->count; i++) {
        const struct vz_directory_sharing_device *d = l->item[i];

        r = allow_share(&m->sandbox, d->share);
    }
    return r;
}

/* What the C library reads for names, and libslirp for the address of their server. */
static int allow_names(struct vz_machine *m)
{
    static const char *const path[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf",
                                       "/etc/host.conf", "/etc/services", "/run/systemd/resolve",
                                       "/run/resolvconf", "/run/NetworkManager/resolv.conf"};
    int r = 0;

    for (size_t i = 0; !r && i < ARRAY_SIZE(path); i++)
        r = sandbox_allow(&m->sandbox, SANDBOX_KIND(LOOP) | SANDBOX_KIND(NBD), path[i], false);
    return r;
}

static int allow_folders(struct vz_machine *m)
{
    char key[PATH_MAX];
    int r = 0;

    for (char **folder = m->sandbox_folders; !r && *folder; folder++)
        r = sandbox_allow(&m->sandbox, WRITERS, *folder, true);
    if (!r && m->sandbox_folders[0] && save_key_prepare(key, sizeof(key)) == 0)
        r = sandbox_allow(&m->sandbox, WRITERS, key, false);
    return r;
}

/* ---- Its life ------------------------------------------------------------------------------- */

int machine_sandbox_prepare(struct vz_machine *m, struct vz_error *err)
{
    const struct sandbox_options o = {.mode = m->sandbox_mode == VZ_SANDBOX_LOG ? SANDBOX_LOG : SANDBOX_ON,
                                      .process = m->sandbox_mode == VZ_SANDBOX_PROCESS,
                                      .features = features(m)};
    int r;

    if (m->sandbox_mode == VZ_SANDBOX_NONE)
        return 0;
    if (m->locked)
        return error_set(err, EINVAL, VZ_ERROR_INVALID_STATE, "a machine with a sandbox can be started once");
    if (m->sandbox_mode != VZ_SANDBOX_LOG && has_host_sound(m->config))
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "a sandbox cannot hold the thread of the host's sound library (PipeWire): use a machine without "
                         "the host's sound, or without a sandbox");
    r = sandbox_init(&m->sandbox, &o, err);
    if (r < 0)
        return r;
    r = allow_shares(m);
    if (!r)
        r = o.features & SANDBOX_NET ? allow_names(m) : 0;
    if (!r)
        r = allow_folders(m);
    if (r < 0) {
        sandbox_fini(&m->sandbox);
        return error_set(err, -r, VZ_ERROR_INTERNAL, "cannot prepare the sandbox: %s", strerror(-r));
    }
    thread_set_policy(&m->sandbox.policy);
    return 0;
}

int machine_sandbox_enter(struct vz_machine *m, struct vz_error *err)
{
    int r = thread_enter(THREAD_LOOP);

    if (r < 0)
        return error_set(err, -r, VZ_ERROR_INTERNAL, "cannot enter the sandbox: %s", strerror(-r));
    m->locked = m->sandbox_mode != VZ_SANDBOX_NONE;
    return 0;
}

void machine_sandbox_release(struct vz_machine *m)
{
    if (m->sandbox_mode == VZ_SANDBOX_NONE)
        return;
    thread_set_policy(NULL);
    sandbox_fini(&m->sandbox);
}

/* ---- Other attachments, while it runs ------------------------------------------------------- */

/* Of what need nothing be opened that the loop's thread must not open any more? */
static bool is_open(const struct vz_machine *m, const char *list, const void *attachment)
{
    const struct vz_network_attachment *net = attachment;
    const struct vz_serial_attachment *serial = attachment;

    if (!strcmp(list, "directorySharingDevices"))
        return false;
    if (!strcmp(list, "storageDevices"))
        return ((const struct vz_storage_attachment *)attachment)->kind == STORAGE_BLOCK_DEVICE ||
               ((const struct vz_storage_attachment *)attachment)->kind == STORAGE_EMPTY;
    if (!strcmp(list, "networkDevices"))
        return net->kind == NETWORK_FD ||
               (net->kind == NETWORK_NAT && m->sandbox.options.features & SANDBOX_NET);
    return serial->kind != SERIAL_FILE && serial->kind != SERIAL_PTY && serial->kind != SERIAL_UNIX;
}

int machine_sandbox_may_change(const struct vz_machine *m, const char *list, const void *attachment,
                               struct vz_error *err)
{
    if (!m->locked || m->sandbox_mode == VZ_SANDBOX_LOG || !attachment || is_open(m, list, attachment))
        return 0;
    return error_set(err, EPERM, VZ_ERROR_UNSUPPORTED,
                     "the machine's sandbox is closed: what this needs cannot be opened any more; start the machine with "
                     "it, or without a sandbox");
}
