/* SPDX-License-Identifier: MIT */
/* See host_judge.h. Each function says one thing, first match wins; texts name what is the matter
 * and what follows from it, commands can be pasted into a shell. */
#include "host/host_judge.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sandbox/sandbox_world.h"
#include "stub/stub.h"

static struct host_finding *add(struct host_findings *r, enum vz_host_level level,
                                const char *topic, const char *code, const char *fmt, ...)
    printf_like(5, 6);
static void mend(struct host_finding *h, const char *fmt, ...) printf_like(2, 3);

static struct host_finding *add(struct host_findings *r, enum vz_host_level level,
                                const char *topic, const char *code, const char *fmt, ...)
{
    struct host_finding *h = &r->item[MIN(r->count, HOST_FINDINGS_MAX - 1u)];
    va_list ap;

    r->count = MIN(r->count + 1, (unsigned)HOST_FINDINGS_MAX);
    *h = (struct host_finding){.level = level, .topic = topic, .code = code};
    va_start(ap, fmt);
    vsnprintf(h->text, sizeof(h->text), fmt, ap);
    va_end(ap);
    return h;
}

/* The command that helps. */
static void mend(struct host_finding *h, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(h->command, sizeof(h->command), fmt, ap);
    va_end(ap);
}

static const char *vendor_module(const struct host_facts *f)
{
    return f->svm || (f->amd && !f->vmx) ? "kvm_amd" : "kvm_intel";
}

static const char *extension(const struct host_facts *f)
{
    return f->svm || (f->amd && !f->vmx) ? "AMD-V" : "VT-x";
}

/* ---- KVM ------------------------------------------------------------------------------------ */

/* The CPU has no VT-x or AMD-V. */
static void no_extension(const struct host_facts *f, struct host_findings *r)
{
    const char *module = vendor_module(f);

    if (!f->hypervisor) {
        add(r, VZ_HOST_PROBLEM, "kvm", "virtualization-off",
            "The CPU offers no hardware virtualization (VT-x or AMD-V): it is switched off in the "
            "firmware's setup, where it is called Intel Virtualization Technology or SVM Mode, or "
            "the CPU has none.");
        return;
    }
    mend(add(r, VZ_HOST_PROBLEM, "kvm", "nested-off",
             "This is a virtual machine itself, and its host does not pass %s on to it: nested "
             "virtualization is off there, or this machine's CPU model leaves it out. The commands "
             "are for that host, with its machines shut down; then give this machine the host's own "
             "CPU (QEMU: -cpu host, libvirt: host-passthrough). At a cloud provider, choose a kind of "
             "machine with nested virtualization.", extension(f)),
         "sudo modprobe -r %s && sudo modprobe %s nested=1", module, module);
}

static void no_node(const struct host_facts *f, struct host_findings *r)
{
    const char *module = vendor_module(f);

    if (!f->vmx && !f->svm) {
        no_extension(f, r);
    } else if (f->module_vendor && f->container) {
        add(r, VZ_HOST_PROBLEM, "kvm", "not-in-container",
            "The kernel has KVM, but this container has no /dev/kvm. Start it with the device: "
            "docker run --device /dev/kvm, or the like.");
    } else if (f->module_vendor) {
        mend(add(r, VZ_HOST_PROBLEM, "kvm", "no-node",
                 "The kernel has KVM, but there is no /dev/kvm; udev makes it where it runs."),
             "sudo mknod -m 660 /dev/kvm c 10 232 && sudo chown root:kvm /dev/kvm");
    } else if (f->modules_known && !f->module_file) {
        add(r, VZ_HOST_PROBLEM, "kvm", "no-module",
            "The CPU has %s, but the running kernel was built without KVM. Boot another one; the "
            "kernels of Linux distributions have it.", extension(f));
    } else if (f->container) {
        add(r, VZ_HOST_PROBLEM, "kvm", "modules-missing",
            "The CPU has %s, but the KVM modules are not loaded. That is to be done outside of this "
            "container (sudo modprobe %s); then start it with the device: docker run --device "
            "/dev/kvm, or the like.", extension(f), module);
    } else {
        mend(add(r, VZ_HOST_PROBLEM, "kvm", "modules-missing",
                 "The CPU has %s, but the KVM modules are not loaded. If loading fails, the kernel's "
                 "log says why (sudo dmesg): %s may be switched off in the firmware's setup.",
                 extension(f), extension(f)),
             "sudo modprobe %s", module);
    }
}

/* Opening the node gave EACCES. */
static void no_permission(const struct host_facts *f, struct host_findings *r)
{
    const struct host_node *n = &f->kvm;

    if (!f->user_listed && !n->in_group) {
        mend(add(r, VZ_HOST_PROBLEM, "kvm", "no-permission",
                 "/dev/kvm is there, but you may not use it: it is for the group %s (mode %03o), and "
                 "your user is not one of this computer's own (/etc/passwd), which could be made a "
                 "member. The command holds until the next boot.", n->group, (unsigned)n->mode),
             "sudo setfacl -m u:%u:rw /dev/kvm", (unsigned)f->uid);
    } else if ((n->mode & 060) != 060 || n->gid == 0) {
        mend(add(r, VZ_HOST_PROBLEM, "kvm", "no-permission",
                 "/dev/kvm is there, but only its owner may use it (mode %03o, group %s), and you are "
                 "%s. Usually it belongs to a group kvm, of which you would be a member.",
                 (unsigned)n->mode, n->group, f->user),
             "sudo groupadd -f -r kvm && sudo chown root:kvm /dev/kvm && sudo chmod 660 /dev/kvm\n"
             "sudo usermod -aG kvm %s", f->user);
    } else if (n->in_group) {
        add(r, VZ_HOST_PROBLEM, "kvm", "denied",
            "/dev/kvm is there and your group %s may use it, but opening it is denied: a security "
            "policy (SELinux, AppArmor) or an access control list forbids it.", n->group);
    } else if (n->enlisted) {
        mend(add(r, VZ_HOST_PROBLEM, "kvm", "log-in-again",
                 "/dev/kvm is for the group %s. You (%s) have been made a member of it, but this "
                 "session began before: log out and in again, or begin a new one with the command.",
                 n->group, f->user),
             "newgrp %s", n->group);
    } else {
        mend(add(r, VZ_HOST_PROBLEM, "kvm", "no-permission",
                 "/dev/kvm is there, but you (%s) may not use it: it is for the group %s, of which "
                 "you are no member. After the command, log in again.", f->user, n->group),
             "sudo usermod -aG %s %s", n->group, f->user);
    }
}

static void cannot_open(const struct host_facts *f, struct host_findings *r)
{
    switch (f->kvm.open_error) {
    case EACCES:
        no_permission(f, r);
        return;
    case EPERM:
        add(r, VZ_HOST_PROBLEM, "kvm", "not-in-container",
            "/dev/kvm is there, but this container's list of devices forbids it. Start the container "
            "with the device: docker run --device /dev/kvm, or the like.");
        return;
    case ENODEV:
    case ENXIO: /* a node without a driver behind it: as if it were not there */
        no_node(f, r);
        return;
    default:
        add(r, VZ_HOST_PROBLEM, "kvm", "cannot-open", "/dev/kvm is there, but cannot be opened: %s.",
            strerror(f->kvm.open_error));
    }
}

/* The host could run the test machine, were there room. */
static bool is_full(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == EAGAIN;
}

static void full(const struct host_facts *f, struct host_findings *r)
{
    struct host_finding *h =
        add(r, VZ_HOST_PROBLEM, "kvm", "full",
            "/dev/kvm opens, but there is no room for a test machine (%s). That is a limit of this %s, "
            "not of KVM.", f->probe_text, f->probe_error == EMFILE ? "process" : "computer");

    if (f->probe_error == EMFILE)
        mend(h, "ulimit -n $(ulimit -Hn)");
}

static void judge_kvm(const struct host_facts *f, struct host_findings *r)
{
    if (!f->kvm.exists)
        no_node(f, r);
    else if (f->kvm.open_error)
        cannot_open(f, r);
    else if (f->probe_error == EINVAL)
        add(r, VZ_HOST_NOTE, "kvm", "not-built",
            "/dev/kvm opens, but this build of vz has no KVM backend.");
    else if (f->probe_error == EBUSY)
        add(r, VZ_HOST_PROBLEM, "kvm", "in-use",
            "%s. Another hypervisor, such as VirtualBox or VMware, has the CPU's %s to itself: end its "
            "machines.", f->probe_text, extension(f));
    else if (is_full(f->probe_error))
        full(f, r);
    else if (f->probe_error)
        add(r, VZ_HOST_PROBLEM, "kvm", "broken",
            "%s. Some hosts that are virtual themselves offer such a /dev/kvm; nothing on this side "
            "mends it.", f->probe_text);
    else
        add(r, VZ_HOST_GOOD, "kvm", "works",
            "/dev/kvm works: a test machine ran on it as it should.");
}

static void judge_accelerator(const struct host_facts *f, struct host_findings *r)
{
    if (!strcmp(f->automatic, "kvm"))
        add(r, VZ_HOST_GOOD, "accelerator", "kvm",
            "Machines run on the CPU's hardware virtualization, by KVM.");
    else if (f->automatic[0])
        add(r, VZ_HOST_NOTE, "accelerator", f->automatic[0] == 's' ? "soft" : "other",
            "Machines run on the software CPU, which needs no privilege, but is several times slower "
            "than hardware virtualization.");
    else
        add(r, VZ_HOST_PROBLEM, "accelerator", "none", "Machines cannot run here.");
}

/* ---- The software CPU ----------------------------------------------------------------------- */

static void judge_software_cpu(const struct host_facts *f, struct host_findings *r)
{
    /* AVX-512 is not handed on. */
    int level = MIN(f->isa_level, 3);

    if (f->jit_error) {
        add(r, VZ_HOST_PROBLEM, "software-cpu", "no-code-memory",
            "The software CPU cannot make code to run (%s), which a security policy such as SELinux's "
            "execmem or a seccomp filter forbids; machines without KVM do not start.",
            strerror(f->jit_error));
        return;
    }
    add(r, level < 3 ? VZ_HOST_NOTE : VZ_HOST_GOOD, "software-cpu", "works",
        "The software CPU works and translates hot code. Its guests get what this computer's CPU has "
        "for them: x86-64-v%d%s%s%s.%s", level,
        level == 1 ? " (SSE2)" : level == 2 ? " (to SSE4.2)" : " (to AVX2, FMA and BMI2)",
        f->crypto[0] ? ", " : "", f->crypto,
        level < 3 ? " Guests built for x86-64-v3 do not run on it." : "");
}

static void judge_direct(const struct host_facts *f, struct host_findings *r)
{
    if (!f->direct_trap_ns)
        add(r, VZ_HOST_NOTE, "direct", "refused",
            "Guests' programs on the software CPU are translated, and do not run on this computer's processor "
            "itself: %s.", f->direct_why);
    else if (f->direct_trap_ns > STUB_WORST_TRAP_NS)
        add(r, VZ_HOST_NOTE, "direct", "slow",
            "Guests' programs on the software CPU are translated. They could run on this computer's processor "
            "itself, but it would take %llu us for each of their events.",
            (unsigned long long)(f->direct_trap_ns / 1000));
    else
        add(r, VZ_HOST_GOOD, "direct", "works",
            "Guests' programs on the software CPU can run on this computer's processor itself (--jit direct), "
            "which makes those that compute some three to eight times as fast. A system call of theirs, or "
            "another event, takes %llu.%llu us more.%s",
            (unsigned long long)(f->direct_trap_ns / 1000), (unsigned long long)(f->direct_trap_ns / 100 % 10),
            f->direct_cpuid_faults ? "" : " Where their code may have CPUID, which nothing traps here, it is "
                                          "translated all the same, or executed as a copy.");
}

/* ---- The rest ------------------------------------------------------------------------------- */

static void judge_io_uring(const struct host_facts *f, struct host_findings *r)
{
    static const char without[] = "disks use threads instead, with more time for each request";

    if (!f->io_uring_error) {
        add(r, VZ_HOST_GOOD, "io_uring", "works", "Disks use io_uring.");
    } else if (f->io_uring_error == ENOSYS && !f->seccomp) {
        add(r, VZ_HOST_NOTE, "io_uring", "none", "This kernel has no io_uring; %s.", without);
    } else if (f->io_uring_disabled > 0) {
        mend(add(r, VZ_HOST_NOTE, "io_uring", "disabled",
                 "io_uring is forbidden by the setting kernel.io_uring_disabled (it is %d); %s.",
                 f->io_uring_disabled, without),
             "sudo sysctl kernel.io_uring_disabled=0");
    } else if (f->seccomp) {
        add(r, VZ_HOST_NOTE, "io_uring", "seccomp",
            "io_uring is forbidden by a seccomp filter on this process, as containers have by "
            "default; %s. Start the container with a filter that allows io_uring_setup, "
            "io_uring_enter and io_uring_register.", without);
    } else {
        add(r, VZ_HOST_NOTE, "io_uring", "refused", "The kernel refuses io_uring (%s); %s.",
            strerror(f->io_uring_error), without);
    }
}

static void judge_huge_pages(const struct host_facts *f, struct host_findings *r)
{
    if (f->huge_total)
        add(r, VZ_HOST_GOOD, "huge-pages", "reserved",
            "%llu huge pages of %llu KiB are reserved (hugetlb), %llu of them free.",
            (unsigned long long)f->huge_total, (unsigned long long)f->huge_kib,
            (unsigned long long)f->huge_free);
    if (!f->thp[0])
        add(r, VZ_HOST_NOTE, "huge-pages", "none",
            "This kernel has no transparent huge pages; memory of guests is made of small pages.");
    else if (!strcmp(f->thp, "never"))
        mend(add(r, VZ_HOST_NOTE, "huge-pages", "off",
                 "Transparent huge pages are switched off (enabled is never). With them, machines with much "
                 "memory run faster on KVM; the software CPU does not ask for them."),
             "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled");
    else
        add(r, VZ_HOST_GOOD, "huge-pages", "on",
            "Memory of guests is made of transparent huge pages on KVM (enabled is %s).", f->thp);
}

static unsigned long long mib(uint64_t bytes)
{
    return bytes / MIB;
}

static void judge_memory(const struct host_facts *f, struct host_findings *r)
{
    if (f->address_space != HOST_UNLIMITED)
        mend(add(r, VZ_HOST_NOTE, "memory", "address-space",
                 "This process may have %llu MiB of address space (ulimit -v), which a guest's memory "
                 "must fit into several times over.", mib(f->address_space)), "ulimit -v unlimited");
    if (f->cgroup_limit < f->memory_total)
        add(r, VZ_HOST_NOTE, "memory", "cgroup",
            "The control group of this process may use %llu MiB of this computer's %llu MiB of memory, "
            "and %llu MiB are used. A guest that grows beyond it is killed.", mib(f->cgroup_limit),
            mib(f->memory_total), mib(f->cgroup_used));
    else
        add(r, VZ_HOST_GOOD, "memory", "free", "%llu MiB of %llu MiB of memory are available.",
            mib(f->memory_available), mib(f->memory_total));
    if (f->locked < f->memory_total / 2)
        add(r, VZ_HOST_GOOD, "memory", "locked",
            "%llu KiB of memory may be locked (ulimit -l). Machines need none.",
            (unsigned long long)(f->locked / KIB));
}

static void judge_tap(const struct host_facts *f, struct host_findings *r)
{
    static const char nat[] = "NAT (--net nat) works without";

    if (!f->tun.exists || f->tun.open_error == ENODEV || f->tun.open_error == ENXIO)
        mend(add(r, VZ_HOST_NOTE, "tap", "no-node",
                 "There is no /dev/net/tun%s, so no tap interfaces and no bridges; %s.",
                 f->module_tun ? " (though the module is loaded)" : "", nat), "sudo modprobe tun");
    else if (f->tun.open_error)
        add(r, VZ_HOST_NOTE, "tap", "no-permission",
            "/dev/net/tun cannot be opened (%s), so there are no tap interfaces and no bridges; %s.",
            strerror(f->tun.open_error), nat);
    else if (!f->cap_net_admin)
        mend(add(r, VZ_HOST_NOTE, "tap", "no-privilege",
                 "Tap interfaces work where somebody made one for you; making them needs "
                 "CAP_NET_ADMIN, which this process does not have. %s.", nat),
             "sudo ip tuntap add dev vz0 mode tap user %s && sudo ip link set vz0 up", f->user);
    else
        add(r, VZ_HOST_GOOD, "tap", "works", "Tap interfaces and bridges can be used.");
}

/* Guests behind NAT ping the world by a socket of this process. */
static void judge_ping(const struct host_facts *f, struct host_findings *r)
{
    if (!f->ping_error || !f->raw_error)
        add(r, VZ_HOST_GOOD, "ping", "works", "Guests behind NAT can ping the world.");
    else
        mend(add(r, VZ_HOST_NOTE, "ping", "no-permission",
                 "This process may not send pings (%s), so guests behind NAT get \"Packet filtered\" for "
                 "theirs. All else works.", strerror(f->ping_error)),
             "sudo sysctl net.ipv4.ping_group_range=\"0 2147483647\"");
}

/* Whose a machine's threads are that need nothing of root's (--run-as). */
static void judge_root(const struct host_facts *f, struct host_findings *r)
{
    if (f->uid || f->seccomp_error)
        return;
    if (f->cap_setuid)
        add(r, VZ_HOST_GOOD, "sandbox", "leaves-root",
            "Machines that root runs have threads of a user of their own, but for those that use files by name (--run-as).");
    else
        add(r, VZ_HOST_NOTE, "sandbox", "stays-root",
            "This root may not become another user (it lacks CAP_SETUID or CAP_SETGID): threads of its machines are root's, "
            "without root's capabilities.");
}

/* What --sandbox is made of; the levels of Landlock at which it learnt to refuse what matters here. */
static void judge_sandbox(const struct host_facts *f, struct host_findings *r)
{
    enum { TRUNCATE = 3, TCP = 4 };

    if (f->seccomp_error)
        add(r, VZ_HOST_PROBLEM, "sandbox", "no-filters",
            "Machines cannot be locked up (--sandbox): this kernel has no seccomp filters (%s).",
            strerror(f->seccomp_error));
    else if (!f->landlock)
        add(r, VZ_HOST_NOTE, "sandbox", "no-landlock",
            "Machines are locked up (--sandbox) by filters of system calls. This kernel has no Landlock, so threads "
            "that open files are not kept to those of the machine.");
    else if (f->landlock < TCP)
        add(r, VZ_HOST_NOTE, "sandbox", "old-landlock",
            "Machines are locked up (--sandbox): system calls by filters, and files by Landlock. Its level %d does not %s: "
            "that wants a newer kernel.", f->landlock,
            f->landlock < TRUNCATE ? "refuse to truncate files, nor TCP connections" : "refuse TCP connections");
    else
        add(r, VZ_HOST_GOOD, "sandbox", "works",
            "Machines are locked up (--sandbox): system calls by filters, files and TCP connections by Landlock "
            "(level %d).", f->landlock);
}

/* What the process that has a machine's networks sees of the host besides. */
static void judge_namespaces(const struct host_facts *f, struct host_findings *r)
{
    char text[80];

    if (f->seccomp_error)
        return;
    sandbox_world_text(f->namespaces, text);
    if (f->namespaces & SANDBOX_OWN_FILES)
        add(r, VZ_HOST_GOOD, "sandbox", "namespaces",
            "The process of a machine's networks (NAT) has namespaces of its own, in which there is nothing: %s.", text);
    else
        add(r, VZ_HOST_NOTE, "sandbox", "no-namespaces",
            "The process of a machine's networks (NAT) has no empty file system of its own, as in many containers (own "
            "namespaces: %s). Filters of system calls and Landlock hold it all the same.", text);
}

/* Who talks to the outside world for a machine. */
static void judge_processes(const struct host_facts *f, struct host_findings *r)
{
    const unsigned own = SANDBOX_OWN_USERS | SANDBOX_OWN_IPC | SANDBOX_OWN_NAME | SANDBOX_OWN_CGROUP;
    char text[80];

    if (f->seccomp_error)
        return;
    sandbox_world_text(f->namespaces & own, text);
    if (f->program_error)
        add(r, VZ_HOST_NOTE, "sandbox", "no-processes",
            "Machines' networks (NAT) and connections to NBD servers have threads in the machine's process, and no processes "
            "of their own (vz-nat, vz-nbd): no program can be run out of memory here (%s).", strerror(f->program_error));
    else
        add(r, VZ_HOST_GOOD, "sandbox", "processes",
            "Machines' networks (NAT) and connections to NBD servers have processes of their own, with nothing of a guest's "
            "memory (vz-nat, vz-nbd): system calls by filters%s; for NBD own namespaces: %s.",
            f->landlock ? ", files by Landlock" : "", text);
}

void host_judge(const struct host_facts *f, struct host_findings *ret)
{
    ret->count = 0;
    judge_accelerator(f, ret);
    judge_kvm(f, ret);
    judge_software_cpu(f, ret);
    judge_direct(f, ret);
    judge_sandbox(f, ret);
    judge_namespaces(f, ret);
    judge_processes(f, ret);
    judge_root(f, ret);
    judge_io_uring(f, ret);
    judge_huge_pages(f, ret);
    judge_memory(f, ret);
    judge_tap(f, ret);
    judge_ping(f, ret);
}
