/* SPDX-License-Identifier: MIT */
#include "sandbox/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "sandbox/sandbox_calls.h"
#include "sandbox/sandbox_files.h"
#include "sandbox/sandbox_filter.h"
#include "sandbox/sandbox_impl.h"

#define CAP(name) BIT(CAP_##name)

/* What is left to threads of a process that runs as root. Guests' files have their owners (docs/shares.md). */
static const uint64_t capabilities[THREAD_KINDS] = {
    [THREAD_SHARE] = CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(DAC_READ_SEARCH) | CAP(FOWNER) | CAP(FSETID)};

static int drop_capabilities(enum thread_kind kind)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &head, data) < 0)
        return -errno;
    for (unsigned i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(capabilities[kind] >> 32 * i);
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

static int filter(const struct sandbox *s, enum thread_kind kind)
{
    struct sock_filter code[SANDBOX_FILTER_MAX];
    bool logs = s->options.mode == SANDBOX_LOG;
    const struct sandbox_filter_options o = {.kind = kind, .features = s->options.features,
                                             .self = (uint32_t)getpid(), .gate = logs ? sandbox_gate() : 0,
                                             .children = logs};
    struct sock_fprog program = {.filter = code};

    program.len = (unsigned short)sandbox_filter(code, ARRAY_SIZE(code), &o);
    if (!program.len)
        return -E2BIG;
    /* Without mitigations of speculation that old kernels bring with a filter: as for stubs (docs/decisions.md). */
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) < 0 ? -errno : 0;
}

/* A machine's stubs want /proc of their own while they begin, which a user who is not dumpable has not. */
static void close_process(const struct sandbox *s, enum thread_kind kind)
{
    const struct rlimit none = {0, 0};
    bool stubs = geteuid() != 0 && s->options.features & SANDBOX_STUBS;

    if (!s->options.process || kind != (stubs ? THREAD_STUBS : THREAD_LOOP))
        return;
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* A thread has it from its maker, which may not ask for it any more. */
static int no_new_privileges(void)
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : -errno;
}

static int enter(struct thread_policy *policy, enum thread_kind kind)
{
    struct sandbox *s = container_of(policy, struct sandbox, policy);
    int r;

    close_process(s, kind);
    r = no_new_privileges();
    if (!r && s->options.mode == SANDBOX_ON)
        r = drop_capabilities(kind);
    if (!r && s->options.mode == SANDBOX_ON && s->rules[kind] >= 0)
        r = sandbox_files_enter(s->rules[kind]);
    return r ? r : filter(s, kind);
}

static int make_rules(struct sandbox *s)
{
    for (unsigned i = THREAD_FREE + 1; i < THREAD_KINDS; i++) {
        int fd = sandbox_files_new(s->options.features & SANDBOX_NET);

        if (fd == -ENOSYS || fd == -EOPNOTSUPP)
            return 0;
        if (fd < 0)
            return fd;
        s->rules[i] = fd;
    }
    return 0;
}

int sandbox_init(struct sandbox *s, const struct sandbox_options *o, struct vz_error *err)
{
    uint32_t trap = SECCOMP_RET_TRAP;
    int r = 0;

    *s = (struct sandbox){.policy.enter = enter, .options = *o};
    for (unsigned i = 0; i < THREAD_KINDS; i++)
        s->rules[i] = -1;
    if (o->mode == SANDBOX_OFF)
        return 0;
    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &trap) < 0)
        return error_set(err, errno, VZ_ERROR_UNSUPPORTED, "this host's kernel has no seccomp filters, of which a "
                         "sandbox is made: %s", strerror(errno));
    r = make_rules(s);
    if (!r)
        r = sandbox_report_begin(o->mode);
    if (r < 0) {
        sandbox_fini(s);
        return error_set(err, -r, VZ_ERROR_INTERNAL, "cannot prepare the sandbox: %s", strerror(-r));
    }
    return 0;
}

void sandbox_fini(struct sandbox *s)
{
    for (unsigned i = 0; i < THREAD_KINDS; i++) {
        if (s->rules[i] >= 0 && s->policy.enter)
            close(s->rules[i]);
        s->rules[i] = -1;
    }
}

int sandbox_allow(struct sandbox *s, uint32_t kinds, const char *path, bool write)
{
    int r = 0;

    for (unsigned i = 0; !r && i < THREAD_KINDS; i++) {
        if (kinds & BIT(i) && s->rules[i] >= 0)
            r = sandbox_files_add(s->rules[i], path, write ? SANDBOX_WRITE : SANDBOX_READ);
    }
    return r;
}
