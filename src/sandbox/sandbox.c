/* SPDX-License-Identifier: MIT */
#include "sandbox/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
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
#include "sandbox/sandbox_rights.h"
#include "sandbox/sandbox_world.h"

#define CAP(name) BIT(CAP_##name)

/* What is left to threads of a process that runs as root. Guests' files have their owners (docs/shares.md). */
#define OF_FILES (CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(DAC_READ_SEARCH) | CAP(FOWNER) | CAP(FSETID))
static const uint64_t capabilities[THREAD_KINDS] = {
    [THREAD_SHARE] = OF_FILES,
    [THREAD_NAT] = CAP(NET_BIND_SERVICE), /* forwards that come later */
    [THREAD_WATCH] = CAP(DAC_READ_SEARCH),
    [THREAD_CONTROL] = OF_FILES | CAP(NET_BIND_SERVICE)}; /* it makes threads of shares, and forwards */

/* A folder for saved states may be another user's. Landlock keeps to it who may write in all. */
static uint64_t capabilities_of(const struct sandbox *s, enum thread_kind kind)
{
    bool writes = s->options.others_folders && s->rules[kind] >= 0 && (kind == THREAD_LOOP || kind == THREAD_SAVE);

    return capabilities[kind] | (writes ? CAP(DAC_OVERRIDE) : 0);
}

static int drop_capabilities(const struct sandbox *s, enum thread_kind kind)
{
    uint64_t left = capabilities_of(s, kind);

    return sandbox_rights_limit(left, left);
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

    if (!s->options.process || (!s->options.is_child && kind != (stubs ? THREAD_STUBS : THREAD_LOOP)))
        return;
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* Threads of shares are root's: their files have owners. So are all with stubs, which only who has their user may signal. */
static bool becomes(const struct sandbox *s, enum thread_kind kind)
{
    return s->options.uid && kind != THREAD_SHARE && !(s->options.features & SANDBOX_STUBS) && geteuid() == 0;
}

/* With root's files, by root's name: folders for saved states, sockets of the host's, an NBD server's certificates. */
static bool keeps_files(const struct sandbox *s, enum thread_kind kind)
{
    return (kind == THREAD_LOOP || kind == THREAD_SAVE || kind == THREAD_NBD) &&
           s->options.features & (SANDBOX_FOLDERS | SANDBOX_VSOCK | SANDBOX_NBD);
}

/* Back from the user's to root's files, for which capabilities are wanted once more. */
static int take_files(void)
{
    int r = sandbox_rights_limit(~UINT64_C(0), CAP(SETUID) | CAP(SETGID));

    if (!r) {
        syscall(SYS_setfsgid, 0);
        syscall(SYS_setfsuid, 0);
        r = syscall(SYS_setfsuid, -1) == 0 && syscall(SYS_setfsgid, -1) == 0 ? 0 : -EPERM;
    }
    return r;
}

/* libnbd asks by access() which certificates there are, and that looks at the real user: else root's own would be none, and
 * anybody trusted. */
static uid_t real_user(const struct sandbox *s, bool keeps)
{
    return keeps && s->options.features & SANDBOX_NBD ? 0 : s->options.uid;
}

/* By the kernel's calls, which change this thread; the C library's change all. A thread that is made by one that is locked,
 * for what comes later, is what that is: it has no such calls. */
static int become(const struct sandbox *s, enum thread_kind kind)
{
    uid_t uid = s->options.uid;
    gid_t gid = s->options.gid;
    bool keeps = keeps_files(s, kind);
    int dies_by = 0;

    if (!becomes(s, kind))
        return 0;
    if (syscall(SYS_setgroups, 0, NULL) < 0)
        return errno == EPERM ? 0 : -errno;
    prctl(PR_GET_PDEATHSIG, &dies_by, 0, 0, 0);
    if (((keeps || capabilities[kind]) && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) || syscall(SYS_setresgid, gid, gid, gid) < 0 ||
        syscall(SYS_setresuid, real_user(s, keeps), uid, uid) < 0)
        return -errno;
    prctl(PR_SET_PDEATHSIG, dies_by, 0, 0, 0); /* who becomes somebody else has lost it */
    return keeps ? take_files() : 0;
}

/* Can root's threads become somebody else? It may have been left without the right. */
static int check_user(const struct sandbox_options *o)
{
    return !o->uid || geteuid() != 0 || sandbox_rights_has(CAP(SETUID) | CAP(SETGID)) ? 0 : -EPERM;
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
    if (kind == THREAD_LOOP && s->options.mode == SANDBOX_ON)
        (void)sandbox_world_empty(s->options.world); /* what it does not get, the rest makes up for */
    r = no_new_privileges();
    if (!r && s->options.mode == SANDBOX_ON)
        r = become(s, kind);
    if (!r && s->options.mode == SANDBOX_ON)
        r = drop_capabilities(s, kind);
    if (!r && s->options.mode == SANDBOX_ON && s->rules[kind] >= 0)
        r = sandbox_files_enter(s->rules[kind]);
    return r ? r : filter(s, kind);
}

static int make_rules(struct sandbox *s)
{
    for (unsigned i = THREAD_FREE + 1; i < THREAD_TALK; i++) {
        int fd = sandbox_files_new(s->options.features & SANDBOX_NET);

        if (fd == -ENOSYS || fd == -EOPNOTSUPP)
            return 0;
        if (fd < 0)
            return fd;
        s->rules[i] = fd;
    }
    return 0;
}

bool sandbox_is_possible(void)
{
    uint32_t trap = SECCOMP_RET_TRAP;

    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &trap) == 0;
}

int sandbox_init(struct sandbox *s, const struct sandbox_options *o, struct vz_error *err)
{
    int r = 0;

    *s = (struct sandbox){.policy.enter = enter, .options = *o};
    for (unsigned i = 0; i < THREAD_KINDS; i++)
        s->rules[i] = -1;
    if (o->mode == SANDBOX_OFF)
        return 0;
    if (!sandbox_is_possible())
        return error_set(err, errno, VZ_ERROR_UNSUPPORTED, "this host's kernel has no seccomp filters, of which a "
                         "sandbox is made: %s", strerror(errno));
    if (o->process)
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* a machine that this process had before has closed it */
    r = check_user(o);
    if (!r)
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

int sandbox_forget(struct sandbox *s, uint32_t kinds)
{
    for (unsigned i = 0; i < THREAD_KINDS; i++) {
        int fd = kinds & BIT(i) && s->rules[i] >= 0 ? sandbox_files_new(s->options.features & SANDBOX_NET) : -1;

        if (fd < 0 && kinds & BIT(i) && s->rules[i] >= 0)
            return fd;
        if (fd >= 0) {
            close(s->rules[i]);
            s->rules[i] = fd;
        }
    }
    return 0;
}

/* ---- A program's own threads ---------------------------------------------------------------- */

/* Which kinds of theirs open files that a rule names, and what else they may. */
static int program_rules(enum thread_kind kind, const char *folder)
{
    static const char *const usb[] = {"/sys/bus/usb", "/sys/devices"}; /* which USB devices there are, to attach one */
    bool reads = kind == THREAD_WATCH, orders = kind == THREAD_CONTROL;
    int rules = sandbox_files_new(orders), r = 0;

    if (rules < 0)
        return rules;
    if (reads)
        r = sandbox_files_add(rules, "/", SANDBOX_READ);
    if (orders)
        r = sandbox_files_add_all(rules);
    for (size_t i = 0; orders && !r && i < ARRAY_SIZE(usb); i++)
        r = sandbox_files_add(rules, usb[i], SANDBOX_READ);
    if (!r && folder)
        r = sandbox_files_add(rules, folder, kind == THREAD_SERVE ? SANDBOX_READ : SANDBOX_WRITE);
    if (!r)
        return rules;
    close(rules);
    return r;
}

/* What comes from a filter ends the process without a word where it is blocked, as who makes threads by himself has all. */
static void hear_filter(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGSYS);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static int enter_program(struct thread_policy *policy, enum thread_kind kind);
/* It has nothing that changes: threads may be made by it as long as the process lives. */
static struct thread_policy program_policy = {.enter = enter_program}, logging_policy = {.enter = enter_program};

static int lock_program(struct thread_policy *policy, enum thread_kind kind, const char *folder)
{
    const struct sandbox s = {.options = {.mode = policy == &logging_policy ? SANDBOX_LOG : SANDBOX_ON,
                                          .features = SANDBOX_NET | SANDBOX_VSOCK | SANDBOX_KVM | SANDBOX_NBD | SANDBOX_USB}};
    int rules = s.options.mode == SANDBOX_ON ? program_rules(kind, folder) : -ENOSYS, r;

    if (rules < 0 && rules != -ENOSYS && rules != -EOPNOTSUPP)
        return rules;
    hear_filter();
    r = no_new_privileges();
    if (!r && s.options.mode == SANDBOX_ON)
        r = drop_capabilities(&s, kind);
    if (!r && rules >= 0)
        r = sandbox_files_enter(rules);
    if (rules >= 0)
        close(rules);
    return r ? r : filter(&s, kind);
}

static int enter_program(struct thread_policy *policy, enum thread_kind kind)
{
    return lock_program(policy, kind, NULL);
}

int sandbox_lock_program(enum thread_kind kind, bool logs, const char *folder)
{
    struct thread_policy *policy = logs ? &logging_policy : &program_policy;
    int r = sandbox_is_possible() ? sandbox_report_begin(logs ? SANDBOX_LOG : SANDBOX_ON) : 0;

    if (r < 0 || !sandbox_is_possible())
        return r;
    r = lock_program(policy, kind, folder);
    if (!r)
        thread_set_policy(policy);
    return r;
}
