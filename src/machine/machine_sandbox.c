/* SPDX-License-Identifier: MIT */
/* What a machine's threads may still do once all is open, by what it has: src/sandbox/ does it. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/nbd_uri.h"
#include "base/unix_socket.h"
#include "block/nbd_child.h"
#include "block/nbd_places.h"
#include "block/nbd_trust.h"
#include "config/foreign_binaries.h"
#include "hv/hv.h"
#include "machine/machine_impl.h"
#include "net/net_nat_child.h"
#include "sandbox/sandbox_calls.h"
#include "sandbox/sandbox_world.h"
#include "save/save_key.h"
#include "usbhost/usb_host.h"

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
    if ((unsigned)o->sandbox > VZ_SANDBOX_AUTOMATIC)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "there is no sandbox number %u", (unsigned)o->sandbox);
    m->sandbox_mode = o->sandbox;
    m->sandbox_uid = o->sandbox_uid;
    m->sandbox_gid = o->sandbox_gid;
    return copy_folders(m, o->sandbox_folders, err);
}

/* ---- Sockets that listen at a path ------------------------------------------------------------ */

/* Its thread made it, and cannot remove it any more: who frees the machine does. */
static void sweep(const char *path)
{
    if (unix_socket_is_stale(path))
        unlink(path);
}

static void sweep_serial(const struct vz_serial_attachment *a)
{
    if (a && a->kind == SERIAL_UNIX)
        sweep(a->path);
}

static void sweep_sockets(const struct vz_machine *m)
{
    const struct vz_config *c = m->config;

    for (unsigned i = 0; i < c->serial_ports.count; i++)
        sweep_serial(config_serial_port(c, i)->attachment);
    for (unsigned i = 0; i < c->console_devices.count; i++) {
        const struct vz_console_device *d = c->console_devices.item[i];

        for (unsigned n = 0; n < d->port_count; n++)
            sweep_serial(d->port[n].attachment);
    }
    for (unsigned i = 0; i < c->socket_devices.count; i++) {
        const struct vz_socket_device *d = c->socket_devices.item[i];

        for (unsigned n = 0; n < d->forward_count; n++)
            if (d->forward[n].to_guest)
                sweep(d->forward[n].path);
    }
    for (char **path = m->late_sockets; path && *path; path++)
        sweep(*path);
}

static int note_socket(struct vz_machine *m, const struct vz_serial_attachment *a)
{
    size_t count = 0;
    char **longer;

    if (a->kind != SERIAL_UNIX)
        return 0;
    while (m->late_sockets && m->late_sockets[count])
        count++;
    longer = realloc(m->late_sockets, (count + 2) * sizeof(*longer));
    if (!longer)
        return -ENOMEM;
    m->late_sockets = longer;
    longer[count] = strdup(a->path);
    longer[count + 1] = NULL;
    return longer[count] ? 0 : -ENOMEM;
}

void machine_sandbox_free(struct vz_machine *m)
{
    if (m->locked)
        sweep_sockets(m);
    for (char **path = m->late_sockets; path && *path; path++)
        free(*path);
    free(m->late_sockets);
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

/* One may come, too, where there is a controller for that. */
static bool has_host_usb(const struct vz_config *c)
{
    return c->usb_devices.count || c->usb_controllers.count;
}

/* Root without its capabilities makes no file in those. */
static bool has_others_folders(const struct vz_machine *m)
{
    struct stat st;
    bool has = false;

    for (char **folder = m->sandbox_folders; !has && *folder; folder++)
        has = stat(*folder, &st) == 0 && st.st_uid != 0;
    return has;
}

/* Which backend it is has not been chosen yet. */
static uint32_t features(const struct vz_machine *m)
{
    const struct vz_config *c = m->config;
    const char *accel = c->options.accel;
    bool kvm = !accel || strcmp(accel, "soft"), soft = !accel || strcmp(accel, "kvm");

    return (uint32_t)((has_nat(c) && !m->nat.pid ? SANDBOX_NET : 0) | (has_nbd(c) && !m->nbd_by ? SANDBOX_NET | SANDBOX_NBD | SANDBOX_LOCAL : 0) |
                      (c->socket_devices.count ? SANDBOX_VSOCK : 0) | (kvm ? SANDBOX_KVM : 0) |
                      (soft && hv_soft_ops.memory_shared(c->options.jit) ? SANDBOX_STUBS : 0) |
                      (has_host_usb(c) ? SANDBOX_USB : 0) | (m->sandbox_folders[0] ? SANDBOX_FOLDERS : 0));
}

/* What its threads see of the host besides, where the process may have it otherwise (root's; others' would have to become
 * another user's first, which no process with threads can). Who names files while the machine runs sees all files. */
static unsigned world(const struct vz_machine *m, uint32_t features)
{
    const uint32_t by_name = SANDBOX_FOLDERS | SANDBOX_VSOCK | SANDBOX_NBD | SANDBOX_NET;
    bool names = features & by_name || m->config->directory_sharing_devices.count;

    if (m->sandbox_mode != VZ_SANDBOX_PROCESS)
        return 0;
    return SANDBOX_OWN_IPC | SANDBOX_OWN_NAME | SANDBOX_OWN_CGROUP | (names ? 0 : SANDBOX_OWN_FILES) |
           (features & (SANDBOX_NET | SANDBOX_VSOCK | SANDBOX_NBD) ? 0 : SANDBOX_OWN_NETWORK);
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

/* What threads that connect read: those of the loop make them. */
static int allow_connecting(void *arg, const char *path)
{
    return sandbox_allow(arg, SANDBOX_KIND(LOOP) | SANDBOX_KIND(NBD), path, false);
}

static int allow_server(struct sandbox *s, const struct vz_storage_attachment *a)
{
    struct nbd_uri u;

    if (a->kind != STORAGE_NBD || nbd_uri_parse(a->uri, &u, NULL) < 0)
        return 0;
    nbd_trust_prepare(&u);
    return nbd_places_of_server(&u, allow_connecting, s);
}

static int allow_servers(struct vz_machine *m)
{
    const struct object_list *l = &m->config->storage_devices;
    int r = 0;

    for (unsigned i = 0; !r && !m->nbd_by && i < l->count; i++)
        r = allow_server(&m->sandbox, ((const struct vz_storage_device *)l->item[i])->attachment);
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

/* On this host, for this machine. */
static void choose(struct vz_machine *m)
{
    bool possible;

    if (m->sandbox_mode != VZ_SANDBOX_AUTOMATIC)
        return;
    possible = sandbox_is_possible();
    m->sandbox_mode = possible ? VZ_SANDBOX_PROCESS : VZ_SANDBOX_NONE;
    if (!possible)
        log_error("the machine has no sandbox: this host's kernel has no seccomp filters");
}

/* What becomes of a process that could not be started: its work is done in this one, which then has sockets; but without
 * descriptors it would not get far. */
static int do_without(int r, const char *what, const struct vz_error *err)
{
    if (r == -EMFILE || r == -ENFILE)
        return r;
    if (r < 0)
        log_warn("%s in the machine's process: %s", what, err->text);
    return 0;
}

/* Networks behind NAT get a process of their own: what the network says is no business of a process that has a guest's
 * memory. */
static int start_nat(struct vz_machine *m, struct vz_error *err)
{
    const struct net_nat_child_options o = {.locks = true, .logs = m->sandbox_mode == VZ_SANDBOX_LOG,
                                            .uid = geteuid() ? 0 : m->sandbox_uid, .gid = m->sandbox_gid};

    if (m->sandbox_mode == VZ_SANDBOX_THREADS || !has_nat(m->config))
        return 0;
    return do_without(net_nat_child_start(&m->nat, &o, err), "NAT stays", err);
}

static int prepare_nbd(struct vz_machine *m, struct vz_error *err)
{
    const struct nbd_child_options o = {.locks = true, .logs = m->sandbox_mode == VZ_SANDBOX_LOG,
                                        .uid = geteuid() ? 0 : m->sandbox_uid, .gid = m->sandbox_gid};
    const struct object_list *l = &m->config->storage_devices;
    int r = nbd_child_start(&m->nbd, &o, err);

    for (unsigned i = 0; !r && i < l->count; i++) {
        const struct vz_storage_attachment *a = ((const struct vz_storage_device *)l->item[i])->attachment;

        r = a->kind == STORAGE_NBD ? nbd_child_know(&m->nbd, a->uri, err) : 0;
    }
    return r ? r : nbd_child_lock(&m->nbd, err);
}

/* The same goes for what NBD servers say, but for their replies' headers. */
static int start_nbd(struct vz_machine *m, struct vz_error *err)
{
    int r;

    if (m->sandbox_mode == VZ_SANDBOX_THREADS || !has_nbd(m->config))
        return 0;
    r = prepare_nbd(m, err);
    if (!r)
        m->nbd_by = &m->nbd;
    else
        child_end(&m->nbd);
    return do_without(r, "connections to NBD servers are made", err);
}

int machine_sandbox_prepare(struct vz_machine *m, struct vz_error *err)
{
    struct sandbox_options o = {.uid = m->sandbox_uid, .gid = m->sandbox_gid,
                                .others_folders = has_others_folders(m)};
    int r;

    m->nat = m->nbd = (struct child)CHILD_NONE;
    m->nbd_by = NULL;
    choose(m);
    o.mode = m->sandbox_mode == VZ_SANDBOX_LOG ? SANDBOX_LOG : SANDBOX_ON;
    o.process = m->sandbox_mode == VZ_SANDBOX_PROCESS;
    if (m->sandbox_mode == VZ_SANDBOX_NONE)
        return 0;
    if (m->locked)
        return error_set(err, EINVAL, VZ_ERROR_INVALID_STATE, "a machine with a sandbox can be started once");
    r = start_nat(m, err);
    if (!r)
        r = start_nbd(m, err);
    if (r < 0)
        return r;
    o.features = features(m);
    o.world = world(m, o.features);
    r = sandbox_init(&m->sandbox, &o, err);
    if (r < 0)
        return r;
    r = allow_shares(m);
    if (!r)
        r = o.features & SANDBOX_NET ? nbd_places_of_names(allow_connecting, &m->sandbox) : 0;
    if (!r)
        r = allow_servers(m);
    if (!r)
        r = allow_folders(m);
    if (r < 0) {
        sandbox_fini(&m->sandbox);
        return error_set(err, -r, VZ_ERROR_INTERNAL, "cannot prepare the sandbox: %s", strerror(-r));
    }
    if (o.features & SANDBOX_USB)
        usb_host_prepare();
    thread_set_policy(&m->sandbox.policy);
    return 0;
}

int machine_sandbox_enter(struct vz_machine *m, struct vz_error *err)
{
    int r = m->nat.pid ? net_nat_child_lock(&m->nat, err) : 0;

    if (r < 0) {
        error_prefix(err, "NAT cannot enter the sandbox");
        return r;
    }
    r = thread_enter(THREAD_LOOP);
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_INTERNAL, "cannot enter the sandbox: %s", strerror(-r));
    m->locked = m->sandbox_mode != VZ_SANDBOX_NONE;
    return 0;
}

void machine_sandbox_release(struct vz_machine *m)
{
    child_end(&m->nat);
    child_end(&m->nbd);
    m->nbd_by = NULL;
    if (m->sandbox_mode == VZ_SANDBOX_NONE)
        return;
    thread_set_policy(NULL);
    sandbox_fini(&m->sandbox);
}

/* ---- Other attachments, while it runs ------------------------------------------------------- */

/* Can what comes now be opened by the machine's thread? */
static bool is_open(const struct vz_machine *m, const char *list, const void *attachment)
{
    const struct vz_network_attachment *net = attachment;
    const struct vz_serial_attachment *serial = attachment;

    if (!strcmp(list, "directorySharingDevices") || !strcmp(list, "usbDevices"))
        return false;
    if (!strcmp(list, "storageDevices"))
        return ((const struct vz_storage_attachment *)attachment)->kind == STORAGE_BLOCK_DEVICE ||
               ((const struct vz_storage_attachment *)attachment)->kind == STORAGE_EMPTY;
    if (!strcmp(list, "networkDevices"))
        return net->kind == NETWORK_FD ||
               (net->kind == NETWORK_NAT && (m->nat.pid || m->sandbox.options.features & SANDBOX_NET));
    return serial->kind != SERIAL_FILE && serial->kind != SERIAL_PTY && serial->kind != SERIAL_UNIX;
}

/* NBD's process has what it was told of before it was locked. NULL: that is enough for this server, too; or what it
 * has not. */
static const char *out_of_nbds_reach(const struct vz_machine *m, const struct vz_storage_attachment *a)
{
    const struct object_list *l = &m->config->storage_devices;
    bool local = false, keys = false;
    struct nbd_uri u, known;

    if (nbd_uri_parse(a->uri, &u, NULL) < 0)
        return NULL;
    for (unsigned i = 0; i < l->count; i++) {
        const struct vz_storage_attachment *has = ((const struct vz_storage_device *)l->item[i])->attachment;

        if (has->kind != STORAGE_NBD || nbd_uri_parse(has->uri, &known, NULL) < 0)
            continue;
        local |= known.socket[0];
        keys |= known.tls && !strcmp(known.certificates, u.certificates) && !strcmp(known.psk_file, u.psk_file);
    }
    return u.socket[0] && !local ? "NBD servers on this host" : u.tls && !keys ? "these keys for an NBD server" : NULL;
}

static const char *disk_out_of_reach(const struct vz_machine *m, const struct vz_storage_attachment *a)
{
    if (a->kind != STORAGE_NBD)
        return NULL;
    if (m->nbd_by)
        return out_of_nbds_reach(m, a);
    return m->sandbox.options.features & SANDBOX_NBD ? NULL : "NBD servers";
}

/* Which calls its threads have left was decided when they were locked. NULL: enough for this; or what they have no way to. */
static const char *out_of_reach(const struct vz_machine *m, const char *list, const void *attachment)
{
    const struct vz_network_attachment *net = attachment;
    uint32_t has = m->sandbox.options.features;

    if (!strcmp(list, "networkDevices"))
        return net->kind == NETWORK_NAT && !m->nat.pid && !(has & SANDBOX_NET) ? "the network" : NULL;
    if (!strcmp(list, "storageDevices"))
        return disk_out_of_reach(m, attachment);
    if (!strcmp(list, "usbDevices"))
        return has & SANDBOX_USB ? NULL : "USB devices of the host";
    return NULL;
}

/* Threads of the share that comes may open what it leads to, and nothing of the one that goes. */
static int admit_share(struct vz_machine *m, const struct vz_directory_share *share, struct vz_error *err)
{
    int r = sandbox_forget(&m->sandbox, SANDBOX_KIND(SHARE));

    if (!r)
        r = allow_share(&m->sandbox, share);
    return r < 0 ? error_set(err, -r, VZ_ERROR_INTERNAL, "the share cannot be let into the sandbox: %s", strerror(-r)) : 0;
}

static int admit_server(struct vz_machine *m, const struct vz_storage_attachment *a, struct vz_error *err)
{
    int r = m->nbd_by ? 0 : allow_server(&m->sandbox, a);

    return r < 0 ? error_set(err, -r, VZ_ERROR_INTERNAL, "the server cannot be let into the sandbox: %s", strerror(-r)) : 0;
}

int machine_sandbox_admit(struct vz_machine *m, const char *list, const void *attachment, struct vz_error *err)
{
    const char *beyond;

    if (!m->locked || !attachment)
        return 0;
    if (m->sandbox_mode != VZ_SANDBOX_LOG && (beyond = out_of_reach(m, list, attachment)))
        return error_set(err, EPERM, VZ_ERROR_UNSUPPORTED,
                         "the machine's sandbox is closed, and has no way to %s: start the machine with such a device, or "
                         "without a sandbox", beyond);
    if (m->sandbox_mode != VZ_SANDBOX_LOG && machine_is_current(m) && !is_open(m, list, attachment))
        return error_set(err, EPERM, VZ_ERROR_UNSUPPORTED,
                         "the machine's own thread is in its sandbox, and can open nothing: change it from another thread");
    if ((!strcmp(list, "serialPorts") || !strcmp(list, "consoleDevices")) && note_socket(m, attachment) < 0)
        return no_memory(err);
    if (!strcmp(list, "usbDevices"))
        return 0;
    if (!strcmp(list, "storageDevices"))
        return admit_server(m, attachment, err);
    return strcmp(list, "directorySharingDevices") ? 0 : admit_share(m, attachment, err);
}
