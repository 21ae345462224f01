/* SPDX-License-Identifier: MIT */
/* A copy of a machine becomes another one: random numbers, name, machine-id, host keys of ssh, addresses.
 * In this order, since keys are made of random numbers, and DHCP clients take their identity from
 * machine-id. What a system does not have is passed over. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "job.h"

struct identity {
    const struct request *q;
    uint64_t flags;
    char path[4096];
    int err;      /* the first failure, and... */
    char what[256];
};

static const char *path_of(struct identity *d, const char *path)
{
    snprintf(d->path, sizeof(d->path), "%s%s", d->q->root, path);
    return d->path;
}

static void note(struct identity *d, int r, const char *what)
{
    if (r >= 0 || d->err)
        return;
    d->err = -r;
    snprintf(d->what, sizeof(d->what), "%s: %s", what, strerror(-r));
}

static bool has_system(const struct identity *d)
{
    return !*d->q->root;
}

/* Writing to /dev/urandom does not change what it gives at once: RNDRESEEDCRNG does. */
static void seed(struct identity *d)
{
    struct {
        struct rand_pool_info info;
        uint8_t bytes[256];
    } pool = {.info = {.entropy_count = 0}};
    struct agent_field f;
    size_t at = 0;
    int fd = has_system(d) ? open("/dev/urandom", O_WRONLY | O_CLOEXEC) : -1;

    while (fd >= 0 && agent_field_next(d->q->data, d->q->len, &at, &f)) {
        if (f.key != AGENT_F_SEED || f.len > sizeof(pool.bytes))
            continue;
        pool.info.entropy_count = (int)f.len * 8;
        pool.info.buf_size = (int)f.len;
        memcpy(pool.info.buf, f.data, f.len);
        if (ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
            note(d, -errno, "random numbers");
    }
    if (fd >= 0)
        close(fd);
    unlink(path_of(d, "/var/lib/systemd/random-seed"));
}

static bool is_hostname(const char *name)
{
    size_t len = strlen(name);

    return len && len <= 64 && name[0] != '-' && name[0] != '.' && name[len - 1] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == len;
}

static bool is_name_byte(char c)
{
    return c && !strchr(" \t\n#", c);
}

/* The old name in /etc/hosts, wherever it stands as a whole word. */
static void replace_in_hosts(struct identity *d, const char *old, const char *name)
{
    static char text[65536], out[2 * 65536];
    size_t old_len = strlen(old), len = 0;

    if (!*old || work_read_file(path_of(d, "/etc/hosts"), text, sizeof(text)))
        return;
    for (const char *p = text; *p && len < sizeof(out) - 128;) {
        bool whole = !strncmp(p, old, old_len) && !is_name_byte(p[old_len]) &&
                     (p == text || !is_name_byte(p[-1]));

        if (whole) {
            len += (size_t)snprintf(out + len, 128, "%s", name);
            p += old_len;
        } else {
            out[len++] = *p++;
        }
    }
    out[len] = '\0';
    note(d, work_write_file(path_of(d, "/etc/hosts"), out, 0644), "/etc/hosts");
}

static void rename_host(struct identity *d)
{
    char *name = agent_get_text(d->q->data, d->q->len, AGENT_F_HOSTNAME);
    char old[128] = "", line[80];

    if (!name)
        return;
    if (!is_hostname(name)) {
        note(d, -EINVAL, "the host's name");
        free(name);
        return;
    }
    work_read_file(path_of(d, "/etc/hostname"), old, sizeof(old));
    old[strcspn(old, "\n")] = '\0';
    snprintf(line, sizeof(line), "%s\n", name);
    note(d, work_write_file(path_of(d, "/etc/hostname"), line, 0644), "/etc/hostname");
    replace_in_hosts(d, old, name);
    if (has_system(d) && sethostname(name, strlen(name)) < 0)
        note(d, -errno, "the host's name");
    free(name);
}

static void change_machine_id(struct identity *d)
{
    uint8_t id[16];
    char line[34];
    struct stat st;

    if (access(path_of(d, "/etc/machine-id"), F_OK) < 0)
        return;
    if (getrandom(id, sizeof(id), 0) != sizeof(id)) {
        note(d, -EIO, "random numbers");
        return;
    }
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40); /* as a UUID, version 4: systemd's rule */
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    for (unsigned i = 0; i < 16; i++)
        snprintf(line + 2 * i, 3, "%02x", id[i]);
    strcpy(line + 32, "\n");
    note(d, work_write_file(path_of(d, "/etc/machine-id"), line, 0444), "/etc/machine-id");
    if (lstat(path_of(d, "/var/lib/dbus/machine-id"), &st) == 0 && S_ISREG(st.st_mode))
        note(d, work_write_file(path_of(d, "/var/lib/dbus/machine-id"), line, 0644),
             "/var/lib/dbus/machine-id");
}

/* The kinds of which there is one, the quickest first: an RSA key may take a minute. */
static unsigned make_keys(struct identity *d)
{
    static const char *const kinds[] = {"ed25519", "ecdsa", "rsa", "dsa"};
    unsigned made = 0;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char key[sizeof(d->path)], public[sizeof(d->path) + 4];
        const char *const make[] = {"ssh-keygen", "-q", "-t", kinds[i], "-N", "", "-f", key, NULL};

        snprintf(key, sizeof(key), "%s/etc/ssh/ssh_host_%s_key", d->q->root, kinds[i]);
        snprintf(public, sizeof(public), "%s.pub", key);
        if (unlink(key) < 0)
            continue;
        unlink(public);
        made++;
        if (work_run(make))
            note(d, -EIO, "ssh-keygen");
    }
    return made;
}

/* Those that are there go, and others of the same kinds come; then the server, if it runs, takes them. */
static void change_host_keys(struct identity *d)
{
    const char *const restart[] = {"systemctl", "try-restart", "ssh.service", "sshd.service", NULL};

    if (make_keys(d) && has_system(d) && access("/run/systemd/system", F_OK) == 0)
        work_run(restart);
}

static bool read_mac(const char **at, uint8_t ret[6])
{
    unsigned byte[6];
    int end = 0;

    if (sscanf(*at, " %2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4], &byte[5], &end) != 6)
        return false;
    for (unsigned i = 0; i < 6; i++)
        ret[i] = (uint8_t)byte[i];
    *at += end;
    return true;
}

static void change_mac(struct identity *d, int fd, const struct if_nameindex *list, const uint8_t from[6], const uint8_t to[6])
{
    for (; list->if_name; list++) {
        struct ifreq r = {.ifr_ifindex = 0};

        snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", list->if_name);
        if (ioctl(fd, SIOCGIFHWADDR, &r) < 0 || r.ifr_hwaddr.sa_family != ARPHRD_ETHER ||
            memcmp(r.ifr_hwaddr.sa_data, from, 6) != 0)
            continue;
        memcpy(r.ifr_hwaddr.sa_data, to, 6);
        if (ioctl(fd, SIOCSIFHWADDR, &r) < 0)
            note(d, -errno, list->if_name);
        return;
    }
}

/* While the links are up: addresses and routes stay, and neighbours are told by the next question for theirs. */
static void change_macs(struct identity *d)
{
    char *text = agent_get_text(d->q->data, d->q->len, AGENT_F_MACS);
    struct if_nameindex *list = text && has_system(d) ? if_nameindex() : NULL;
    int fd = list ? socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    const char *at = text;
    uint8_t from[6], to[6];

    while (fd >= 0 && read_mac(&at, from) && read_mac(&at, to))
        change_mac(d, fd, list, from, to);
    if (fd >= 0)
        close(fd);
    if (list)
        if_freenameindex(list);
    free(text);
}

/* Whoever manages addresses here asks for them anew. */
static void renew_network(struct identity *d)
{
    const char *const managed[] = {"systemctl", "try-restart", "systemd-networkd.service",
                                   "NetworkManager.service", "networking.service", "dhcpcd.service", NULL};
    const char *const journal[] = {"systemctl", "try-restart", "systemd-journald.service", NULL};
    const char *const udhcpc_release[] = {"killall", "-USR2", "udhcpc", NULL};
    const char *const udhcpc_renew[] = {"killall", "-USR1", "udhcpc", NULL};

    if (!has_system(d))
        return;
    if (access("/run/systemd/system", F_OK) == 0) {
        if (d->flags & AGENT_MACHINE_ID)
            work_run(journal); /* its folder is called after the machine-id */
        work_run(managed);
    } else if (work_run(udhcpc_release) == 0) {
        usleep(200000);
        work_run(udhcpc_renew);
    }
}

/* The administrator's own: programs in this folder. */
static void run_hooks(struct identity *d)
{
    static const char folder[] = "/etc/vz-agent/identity.d";
    struct dirent **list;
    int count = scandir(path_of(d, folder), &list, NULL, alphasort);
    char path[4096];

    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%s%s/%s", d->q->root, folder, list[i]->d_name);
        if (list[i]->d_name[0] != '.' && access(path, X_OK) == 0) {
            const char *const argv[] = {path, NULL};

            if (work_run(argv))
                note(d, -EIO, path);
        }
        free(list[i]);
    }
    if (count >= 0)
        free(list);
}

void work_identity(const struct request *q, struct agent_fields *ret)
{
    struct identity d = {.q = q, .flags = agent_get_number(q->data, q->len, AGENT_F_FLAGS, 0)};

    if (geteuid() && !*q->root) {
        work_failed(ret, EPERM, "identity", NULL);
        return;
    }
    umask(022);
    seed(&d);
    rename_host(&d);
    if (d.flags & AGENT_MACHINE_ID)
        change_machine_id(&d);
    if (d.flags & AGENT_HOST_KEYS)
        change_host_keys(&d);
    change_macs(&d);
    run_hooks(&d);
    if (d.flags & AGENT_NETWORK)
        renew_network(&d);
    if (d.err)
        work_failed(ret, d.err, "identity", d.what);
}
