/* SPDX-License-Identifier: MIT */
/* What files say about this computer; see host_facts.h. */
#include "host/host_facts.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CAP_NET_ADMIN_BIT 12 /* <linux/capability.h> */
#define CAP_SET_IDS_BITS ((uint64_t)(BIT(6) | BIT(7))) /* CAP_SETGID, CAP_SETUID */
#define NO_LIMIT          (UINT64_C(1) << 60) /* cgroup v1 says "none" with a number beyond this */

/* The beginning of a text file, or "" */
struct text {
    char s[32768];
};

static const char *read_text(struct text *t, const char *root, const char *path)
{
    char full[PATH_MAX];
    size_t len = 0;
    int fd;

    snprintf(full, sizeof(full), "%s%s", root, path);
    fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        for (ssize_t n = 1; n > 0 && len < sizeof(t->s) - 1; len += n > 0 ? (size_t)n : 0)
            n = read(fd, t->s + len, sizeof(t->s) - 1 - len);
        close(fd);
    }
    t->s[len] = '\0';
    return t->s;
}

static bool exists(const char *root, const char *path)
{
    char full[PATH_MAX];

    snprintf(full, sizeof(full), "%s%s", root, path);
    return access(full, F_OK) == 0;
}

/* What stands behind "key" at the beginning of a line; NULL: no such line. */
static const char *find_line(const char *text, const char *key)
{
    size_t len = strlen(key);

    while (text && strncmp(text, key, len)) {
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return text ? text + len : NULL;
}

static void copy_word(char *ret, size_t size, const char *from, const char *end_chars)
{
    size_t len = strcspn(from, end_chars);

    snprintf(ret, size, "%.*s", (int)MIN(len, size - 1), from);
}

/* Is word one of those in the line, between blanks or commas? */
static bool has_word(const char *line, const char *word)
{
    size_t len = strlen(word);

    for (const char *p = line; p && *p && *p != '\n'; p += strcspn(p, " \t,\n")) {
        p += strspn(p, " \t,:");
        if (!strncmp(p, word, len) && strchr(" \t,\n", p[len]))
            return true;
    }
    return false;
}

/* ---- The CPU -------------------------------------------------------------------------------- */

#define SET(n) (UINT32_C(1) << (n))

int host_isa_level(const struct host_cpuid *c)
{
    /* CMPXCHG16B POPCNT SSE4.1 SSE4.2 SSSE3; LAHF */
    const uint32_t v2 = SET(13) | SET(23) | SET(19) | SET(20) | SET(9), v2_extended = SET(0);
    /* AVX F16C FMA MOVBE; AVX2 BMI1 BMI2; LZCNT */
    const uint32_t v3 = SET(28) | SET(29) | SET(12) | SET(22), v3_7 = SET(5) | SET(3) | SET(8),
                   v3_extended = SET(5);
    const uint32_t v4_7 = SET(16) | SET(17) | SET(28) | SET(30) | SET(31); /* AVX512 F DQ CD BW VL */

    if ((c->ecx_1 & v2) != v2 || !(c->ecx_80000001 & v2_extended))
        return 1;
    if ((c->ecx_1 & v3) != v3 || (c->ebx_7 & v3_7) != v3_7 || !(c->ecx_80000001 & v3_extended) ||
        (c->xcr0 & 0x6) != 0x6)
        return 2;
    return (c->ebx_7 & v4_7) == v4_7 && (c->xcr0 & 0xe6) == 0xe6 ? 4 : 3;
}

static void list_crypto(struct host_facts *f, const char *flags)
{
    static const struct {
        const char *flag, *name;
    } known[] = {{"aes", "AES"}, {"pclmulqdq", "PCLMUL"}, {"sha_ni", "SHA"}, {"vaes", "VAES"},
                 {"gfni", "GFNI"}, {"rdrand", "RDRAND"}, {"rdseed", "RDSEED"}};

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        size_t len = strlen(f->crypto);

        if (has_word(flags, known[i].flag))
            snprintf(f->crypto + len, sizeof(f->crypto) - len, "%s%s", len ? ", " : "",
                     known[i].name);
    }
}

static void read_cpu(struct host_facts *f, struct text *t, const char *root)
{
    const char *cpuinfo = read_text(t, root, "/proc/cpuinfo");
    const char *vendor = find_line(cpuinfo, "vendor_id"), *flags = find_line(cpuinfo, "flags");

    f->intel = vendor && has_word(vendor, "GenuineIntel");
    f->amd = vendor && (has_word(vendor, "AuthenticAMD") || has_word(vendor, "HygonGenuine"));
    if (!flags)
        return;
    f->vmx = has_word(flags, "vmx");
    f->svm = has_word(flags, "svm");
    f->hypervisor = has_word(flags, "hypervisor");
    list_crypto(f, flags);
}

/* ---- The kernel and this process ------------------------------------------------------------ */

static void read_modules(struct host_facts *f, struct text *t, const char *root)
{
    char release[128], folder[192], path[256];
    const char *vendor = f->svm || (f->amd && !f->vmx) ? "amd" : "intel";
    const char *list;

    snprintf(path, sizeof(path), "/sys/module/kvm_%s", vendor);
    f->module_kvm = exists(root, "/sys/module/kvm");
    f->module_vendor = exists(root, path);
    f->module_tun = exists(root, "/sys/module/tun");
    copy_word(release, sizeof(release), read_text(t, root, "/proc/sys/kernel/osrelease"), " \n");
    snprintf(folder, sizeof(folder), "/lib/modules/%s", release);
    snprintf(path, sizeof(path), "%s/kernel/arch/x86/kvm", folder);
    f->modules_known = release[0] && exists(root, folder);
    f->module_file = exists(root, path);
    if (f->module_file)
        return;
    snprintf(path, sizeof(path), "%s/modules.builtin", folder);
    list = read_text(t, root, path);
    f->module_file = strstr(list, "/kvm.ko") != NULL;
}

/* The user's name, from /etc/passwd; the number if it is not there. */
static void find_user(struct host_facts *f, struct text *t, const char *root)
{
    const char *line = read_text(t, root, "/etc/passwd");

    snprintf(f->user, sizeof(f->user), "%u", (unsigned)f->uid);
    for (; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        const char *colon = strchr(line, ':');

        colon = colon ? strchr(colon + 1, ':') : NULL;
        if (colon && strtoul(colon + 1, NULL, 10) == f->uid) {
            copy_word(f->user, sizeof(f->user), line, ":\n");
            f->user_listed = true;
            return;
        }
    }
}

static void read_process(struct host_facts *f, struct text *t, const char *root)
{
    const char *status = read_text(t, root, "/proc/self/status");
    const char *uid = find_line(status, "Uid:"), *caps = find_line(status, "CapEff:");
    const char *seccomp = find_line(status, "Seccomp:");

    if (uid)
        f->uid = (uid_t)strtoul(uid + strcspn(uid + 1, "\t ") + 1, NULL, 10); /* the effective one */
    f->cap_net_admin = caps && (strtoull(caps, NULL, 16) & BIT(CAP_NET_ADMIN_BIT));
    f->cap_setuid = caps && (strtoull(caps, NULL, 16) & CAP_SET_IDS_BITS) == CAP_SET_IDS_BITS;
    f->seccomp = seccomp && strtoul(seccomp, NULL, 10) == 2;
    f->container = exists(root, "/.dockerenv") || exists(root, "/run/.containerenv") ||
                   exists(root, "/run/systemd/container");
    find_user(f, t, root);
}

/* ---- Device nodes --------------------------------------------------------------------------- */

/* "name:x:gid:user,user" */
static void find_group(struct host_node *n, const struct host_facts *f, struct text *t,
                       const char *root)
{
    const char *line = read_text(t, root, "/etc/group");

    snprintf(n->group, sizeof(n->group), "%u", (unsigned)n->gid);
    for (; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        const char *gid = strchr(line, ':');
        char *users;

        gid = gid ? strchr(gid + 1, ':') : NULL;
        if (!gid || strtoul(gid + 1, &users, 10) != n->gid)
            continue;
        copy_word(n->group, sizeof(n->group), line, ":\n");
        n->enlisted = has_word(users, f->user);
        return;
    }
}

static bool is_in_group(gid_t gid, struct text *t, const char *root)
{
    const char *status = read_text(t, root, "/proc/self/status");
    const char *gids = find_line(status, "Gid:"), *groups = find_line(status, "Groups:");
    char word[16];

    snprintf(word, sizeof(word), "%u", (unsigned)gid);
    return (gids && has_word(gids, word)) || (groups && has_word(groups, word));
}

static void read_node(struct host_node *n, const struct host_facts *f, struct text *t,
                      const char *root, const char *path)
{
    char full[PATH_MAX];
    struct stat st;

    snprintf(full, sizeof(full), "%s%s", root, path);
    if (stat(full, &st) < 0)
        return;
    n->exists = true;
    n->uid = st.st_uid;
    n->gid = st.st_gid;
    n->mode = st.st_mode & 0777;
    n->in_group = is_in_group(st.st_gid, t, root);
    find_group(n, f, t, root);
}

/* ---- Settings and memory -------------------------------------------------------------------- */

/* The word in brackets of "always [madvise] never". */
static void read_choice(char *ret, size_t size, struct text *t, const char *root, const char *path)
{
    const char *bracket = strchr(read_text(t, root, path), '[');

    if (bracket)
        copy_word(ret, size, bracket + 1, "]\n");
}

static uint64_t meminfo(const char *text, const char *key)
{
    const char *p = find_line(text, key);

    return p ? strtoull(p, NULL, 10) : 0;
}

static void read_settings(struct host_facts *f, struct text *t, const char *root)
{
    const char *s = read_text(t, root, "/proc/sys/kernel/io_uring_disabled");

    f->io_uring_disabled = *s ? atoi(s) : -1;
    read_choice(f->thp, sizeof(f->thp), t, root, "/sys/kernel/mm/transparent_hugepage/enabled");
    s = read_text(t, root, "/proc/meminfo");
    f->memory_total = meminfo(s, "MemTotal:") * KIB;
    f->memory_available = meminfo(s, "MemAvailable:") * KIB;
    f->huge_total = meminfo(s, "HugePages_Total:");
    f->huge_free = meminfo(s, "HugePages_Free:");
    f->huge_kib = meminfo(s, "Hugepagesize:");
}

static uint64_t limit_line(const char *limits, const char *key)
{
    const char *p = find_line(limits, key);
    char *end;
    uint64_t n;

    if (!p)
        return HOST_UNLIMITED;
    n = strtoull(p, &end, 10);
    return end == p || !strncmp(p + strspn(p, " "), "unlimited", 9) ? HOST_UNLIMITED : n;
}

/* Take the tighter limit; what is used, from the group that has it. */
static void tighten(struct host_facts *f, struct text *t, const char *root, const char *folder,
                    const char *limit, const char *used)
{
    char path[PATH_MAX];
    const char *s;
    char *end;
    uint64_t n;

    snprintf(path, sizeof(path), "%s/%s", folder, limit);
    s = read_text(t, root, path);
    n = strtoull(s, &end, 10); /* "max": no number */
    if (end == s || n >= NO_LIMIT || n >= f->cgroup_limit)
        return;
    f->cgroup_limit = n;
    snprintf(path, sizeof(path), "%s/%s", folder, used);
    f->cgroup_used = strtoull(read_text(t, root, path), NULL, 10);
}

/* A group's own limit and those of the groups around it, up to the mount. In a container the path
 * may be one of the host's, of which only the mount itself is to be seen. */
static void read_cgroup(struct host_facts *f, struct text *t, const char *root, const char *mount,
                        const char *group, bool v2)
{
    char folder[2048];
    size_t mount_len = strlen(mount);

    snprintf(folder, sizeof(folder), "%s%s", mount, strcmp(group, "/") ? group : "");
    for (;;) {
        tighten(f, t, root, folder, v2 ? "memory.max" : "memory.limit_in_bytes",
                v2 ? "memory.current" : "memory.usage_in_bytes");
        if (strlen(folder) <= mount_len)
            return;
        *strrchr(folder, '/') = '\0';
    }
}

static void read_memory_limits(struct host_facts *f, struct text *t, const char *root)
{
    const char *s = read_text(t, root, "/proc/self/limits"), *p;
    char v1[1024] = "", v2[1024] = "";

    f->address_space = limit_line(s, "Max address space");
    f->locked = limit_line(s, "Max locked memory");
    f->cgroup_limit = HOST_UNLIMITED;
    s = read_text(t, root, "/proc/self/cgroup"); /* "N:controller,controller:/path" */
    for (p = s; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
        const char *controllers = strchr(p, ':'), *path;

        path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path || path[1] != '/')
            continue;
        if (controllers[1] == ':')
            copy_word(v2, sizeof(v2), path + 1, "\n");
        else if (memmem(controllers, (size_t)(path - controllers), "memory", 6))
            copy_word(v1, sizeof(v1), path + 1, "\n");
    }
    if (v2[0])
        read_cgroup(f, t, root, "/sys/fs/cgroup", v2, true);
    if (v1[0])
        read_cgroup(f, t, root, "/sys/fs/cgroup/memory", v1, false);
}

void host_facts_read(struct host_facts *f, const char *root)
{
    struct text *t = malloc(sizeof(*t));

    *f = (struct host_facts){.io_uring_disabled = -1, .isa_level = 1,
                             .cgroup_limit = HOST_UNLIMITED, .address_space = HOST_UNLIMITED,
                             .locked = HOST_UNLIMITED};
    if (!t)
        return;
    read_cpu(f, t, root);
    read_modules(f, t, root);
    read_process(f, t, root);
    read_node(&f->kvm, f, t, root, "/dev/kvm");
    read_node(&f->tun, f, t, root, "/dev/net/tun");
    read_settings(f, t, root);
    read_memory_limits(f, t, root);
    free(t);
}
