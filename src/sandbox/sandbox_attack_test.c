/* SPDX-License-Identifier: MIT */
/* An attacker in each kind of thread: code of his choice runs there, and tries what he would want. Each attempt is
 * a process with a sandbox as a machine has it, in which a thread of that kind makes the attempt. It fails, or ends
 * the process with a sentence. As root where the tests are, as a user without rights, and as root of a container, who
 * has fewer rights and no namespaces. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "sandbox/sandbox.h"
#include "sandbox/sandbox_calls.h"
#include "sandbox/sandbox_files.h"
#include "unit.h"

#define CALLS     470
#define SUCCEEDED 42 /* exit statuses of the process with the attacker */
#define FAILED    43
#define UNMADE    44
#define KILLED    (128 + SIGSYS)
#define NOBODY    65534
#define OWN       2053177344u /* as the command line has its machines */
#define SYS_uretprobe_ 335 /* end a process that has no such probe, by other signals */
#define SYS_uprobe_    336

/* What every attempt has been given before: a machine without network, sockets, KVM. */
static char folder[64], outside[64];
static int pages_fd;
/* Open to the whole process, as another thread's are: an attacker has their numbers. */
static int open_socket, open_process;

struct attempt {
    const char *name;
    long (*make)(void); /* below 0: it failed */
    uint32_t but;       /* kinds whose business it is */
    bool by_kernel;     /* it ends the process by itself, or faults where the host has no such entry */
};

static long try_exec(void)
{
    char *argv[] = {(char *)"true", NULL};

    return execve("/bin/true", argv, NULL);
}

static long try_fork(void)
{
    return syscall(SYS_fork);
}

static long try_clone(void)
{
    long r = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

    if (r == 0)
        _exit(0);
    return r;
}

static long try_ptrace(void)
{
    return syscall(SYS_ptrace, 16 /* PTRACE_ATTACH */, getppid(), 0, 0);
}

static long try_read_other(void)
{
    char byte;
    struct iovec to = {&byte, 1}, from = {(void *)folder, 1};

    return syscall(SYS_process_vm_readv, getppid(), &to, 1L, &from, 1L, 0L);
}

static long try_kill(void)
{
    return syscall(SYS_kill, getppid(), 0);
}

static long try_tgkill(void)
{
    return syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static long try_executable_page(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? -1 : 0;
}

static long try_executable_file(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, pages_fd, 0) == MAP_FAILED ? -1 : 0;
}

static long try_become_executable(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? 0 : mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static long try_open_secret(void)
{
    return open("/etc/passwd", O_RDONLY);
}

static long try_open_memory(void)
{
    return open("/proc/self/mem", O_RDWR);
}

static long try_open_outside(void)
{
    return open(outside, O_RDWR);
}

static long try_make_file(void)
{
    char path[96];

    snprintf(path, sizeof(path), "%s.made", outside);
    return open(path, O_CREAT | O_WRONLY, 0600);
}

static long try_link(void)
{
    char path[96];

    snprintf(path, sizeof(path), "%s/link", folder);
    return linkat(AT_FDCWD, outside, AT_FDCWD, path, 0);
}

static long try_rename(void)
{
    char path[96];

    snprintf(path, sizeof(path), "%s/name", folder);
    return renameat(AT_FDCWD, outside, AT_FDCWD, path);
}

static long try_device_node(void)
{
    char path[96];

    snprintf(path, sizeof(path), "%s/node", folder);
    return mknodat(AT_FDCWD, path, S_IFCHR | 0600, 0x0103);
}

static long try_family(int family, int type)
{
    return socket(family, type, 0);
}

static long try_tcp(void)
{
    return try_family(AF_INET, SOCK_STREAM);
}

static long try_unix(void)
{
    return try_family(AF_UNIX, SOCK_STREAM);
}

static long try_netlink(void)
{
    return try_family(AF_NETLINK, SOCK_RAW);
}

static long try_packets(void)
{
    return try_family(AF_PACKET, SOCK_RAW);
}

static long try_vsock(void)
{
    return try_family(AF_VSOCK, SOCK_STREAM);
}

static long try_alg(void)
{
    return try_family(AF_ALG, SOCK_SEQPACKET);
}

/* By a socket that is there, to a port of the host's own. */
static const struct sockaddr_in somewhere = {.sin_family = AF_INET, .sin_port = 0x0900, .sin_addr = {0x0100007f}};

static long try_connect(void)
{
    return connect(open_socket, (const struct sockaddr *)&somewhere, sizeof(somewhere));
}

static long try_bind(void)
{
    return bind(open_socket, (const struct sockaddr *)&(struct sockaddr_in){.sin_family = AF_INET}, sizeof(somewhere));
}

static long try_listen(void)
{
    return listen(open_socket, 1);
}

static long try_accept(void)
{
    return syscall(SYS_accept4, open_socket, NULL, NULL, SOCK_NONBLOCK);
}

static long try_pidfd(void)
{
    return syscall(SYS_pidfd_open, getppid(), 0);
}

/* Another process' descriptors, by one of it that is there. */
static long try_others_descriptor(void)
{
    return syscall(SYS_pidfd_getfd, open_process, 0, 0);
}

static long try_signal_by_descriptor(void)
{
    return syscall(SYS_pidfd_send_signal, open_process, 0, NULL, 0);
}

static long try_queue_signal(void)
{
    siginfo_t info = {.si_code = SI_QUEUE};

    return syscall(SYS_rt_sigqueueinfo, getppid(), SIGURG, &info);
}

static long try_write_other(void)
{
    char byte = 0;
    struct iovec from = {&byte, 1}, to = {(void *)folder, 1};

    return syscall(SYS_process_vm_writev, getppid(), &from, 1L, &to, 1L, 0L);
}

static long try_open_other_memory(void)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/%d/mem", getppid());
    return open(path, O_RDWR);
}

static long try_exec_file(void)
{
    char *none[] = {NULL};

    return syscall(SYS_execveat, pages_fd, "", none, none, AT_EMPTY_PATH);
}

static long try_mount(void)
{
    return syscall(SYS_mount, "none", folder, "tmpfs", 0, NULL);
}

static long try_chroot(void)
{
    return syscall(SYS_chroot, folder);
}

static long try_filter_of_its_own(void)
{
    return syscall(SYS_bpf, 5 /* BPF_PROG_LOAD */, folder, 64);
}

static long try_shadow(void)
{
    return open("/etc/shadow", O_RDONLY);
}

static long try_disk(void)
{
    return open("/dev/vda", O_RDWR) < 0 && open("/dev/sda", O_RDWR) < 0 && open("/dev/mem", O_RDWR) < 0 ? -1 : 0;
}

static long try_kvm(void)
{
    return open("/dev/kvm", O_RDWR);
}

static long try_ring(void)
{
    struct io_uring_params p = {0};

    return syscall(SYS_io_uring_setup, 8, &p);
}

static long try_namespace(void)
{
    return unshare(CLONE_NEWUSER);
}

static long try_setuid(void)
{
    return syscall(SYS_setresuid, 0, 0, 0);
}

/* It was root's, whose files it would have back. */
static long try_setfsuid(void)
{
    syscall(SYS_setfsuid, 0);
    return open(outside, O_RDWR);
}

static long try_capabilities(void)
{
    return syscall(SYS_prctl, 23 /* PR_CAPBSET_READ */, 21, 0, 0, 0);
}

static long try_handler(void)
{
    return syscall(SYS_rt_sigaction, SIGSYS, NULL, NULL, 8);
}

static long try_tty(void)
{
    char byte = 'x';

    return syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, &byte);
}

static long try_int80(void)
{
    long r;

    __asm__ volatile("int $0x80" : "=a"(r) : "0"(20L /* getpid of i386 */) : "memory", "r8", "r9", "r10", "r11");
    return r;
}

/* A program's own thread looks at files, or does what a user says. */
#define ORDERS SANDBOX_KIND(CONTROL)
#define READS  (SANDBOX_KIND(WATCH) | ORDERS)
static const struct attempt attempts[] = {
    {"exec", try_exec, 0}, {"fork", try_fork, 0}, {"clone", try_clone, 0}, {"ptrace", try_ptrace, 0},
    {"process_vm_readv", try_read_other, 0}, {"kill", try_kill, 0}, {"tgkill", try_tgkill, 0},
    {"executable page", try_executable_page, 0}, {"executable file", try_executable_file, 0},
    {"mprotect", try_become_executable, 0}, {"/etc/passwd", try_open_secret, READS},
    {"/proc/self/mem", try_open_memory, 0}, {"file outside", try_open_outside, ORDERS},
    {"file made outside", try_make_file, ORDERS}, {"link", try_link, ORDERS}, {"rename", try_rename, ORDERS},
    {"device node", try_device_node, 0}, {"TCP", try_tcp, ORDERS}, {"Unix", try_unix, READS}, {"netlink", try_netlink, ORDERS},
    {"packets", try_packets, 0}, {"vsock", try_vsock, 0}, {"AF_ALG", try_alg, 0}, {"io_uring", try_ring, 0},
    {"namespace", try_namespace, 0}, {"setuid", try_setuid, 0}, {"setfsuid", try_setfsuid, ORDERS},
    {"prctl", try_capabilities, 0},
    {"connect", try_connect, READS}, {"bind", try_bind, ORDERS}, {"listen", try_listen, ORDERS},
    {"accept", try_accept, SANDBOX_KIND(LOOP) | SANDBOX_KIND(VNC) | SANDBOX_KIND(SERVE) | ORDERS}, {"pidfd_open", try_pidfd, 0},
    {"pidfd_getfd", try_others_descriptor, 0}, {"pidfd_send_signal", try_signal_by_descriptor, 0},
    {"rt_sigqueueinfo", try_queue_signal, 0}, {"process_vm_writev", try_write_other, 0},
    {"/proc/PID/mem", try_open_other_memory, 0}, {"execveat", try_exec_file, 0}, {"mount", try_mount, 0},
    {"chroot", try_chroot, 0}, {"bpf", try_filter_of_its_own, 0}, {"/etc/shadow", try_shadow, READS},
    {"disks", try_disk, ORDERS}, {"/dev/kvm", try_kvm, READS},
    {"SIGSYS", try_handler, ORDERS}, {"TIOCSTI", try_tty, 0}, {"int 80h", try_int80, 0, .by_kernel = true}};

/* ---- The process with the attacker ---------------------------------------------------------- */

struct thread {
    long (*make)(void);
    void (*before)(void); /* by another thread, once the sandbox is entered; may be NULL */
};

static enum thread_kind attacked;
static uint32_t features; /* of its machine */
static atomic_bool locked, go; /* no call is made for them: some have none to wait by */
static struct sandbox sandbox;

static bool is_programs(enum thread_kind kind)
{
    return kind >= THREAD_TALK;
}

/* It locks itself. */
static bool is_process(enum thread_kind kind)
{
    return kind == THREAD_NAT || kind == THREAD_NAMES || kind == THREAD_VNC;
}

static void *attack(void *arg)
{
    const struct thread *t = arg;

    if (is_process(attacked))
        thread_set_policy(&sandbox.policy);
    if ((is_programs(attacked) && sandbox_lock_program(attacked, false, folder) < 0) ||
        (is_process(attacked) && thread_enter(attacked) < 0))
        _exit(UNMADE);
    atomic_store(&locked, true);
    while (!atomic_load(&go))
        __builtin_ia32_pause();

    _exit(t->make() < 0 ? FAILED : SUCCEEDED);
}

enum level { AS_USER, AS_ROOT, IN_CONTAINER, LEVELS };

/* What container engines leave to root: no namespaces, and of capabilities those of files, users and ports. */
static void enter_container(void)
{
    struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 2, 0),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mount, 1, 0),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)};
    struct sock_fprog program = {ARRAY_SIZE(code), code};
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &head, data) < 0)
        _exit(UNMADE);
    data[0].effective = data[0].permitted &= 0xa80425fb;
    data[1] = (struct __user_cap_data_struct){0};
    if (syscall(SYS_capset, &head, data) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
        _exit(UNMADE);
}

static void be_attacked(enum thread_kind kind, const struct thread *t, enum level level)
{
    const bool is_root = level != AS_USER && geteuid() == 0;
    const struct sandbox_options o = {.mode = SANDBOX_ON, .process = true, .features = features, .uid = is_root ? OWN : 0,
                                      .gid = is_root ? OWN : 0};
    struct sandbox *s = &sandbox;
    struct thread copy = *t;
    pthread_t thread;

    signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler makes calls of its own */
    if (level == AS_USER && geteuid() == 0 && (setgid(NOBODY) || setuid(NOBODY)))
        _exit(UNMADE);
    if (level == IN_CONTAINER)
        enter_container();
    alarm(20);
    if (sandbox_init(s, &o, NULL) < 0 || sandbox_allow(s, ~0u, folder, true) < 0)
        _exit(UNMADE);
    attacked = kind;
    thread_set_policy(is_programs(kind) || is_process(kind) ? NULL : &s->policy);
    if (thread_start(&thread, is_programs(kind) || is_process(kind) ? THREAD_FREE : kind, "vz-attacked", attack, &copy) < 0)
        _exit(UNMADE);
    while (!atomic_load(&locked))
        usleep(100);
    if (t->before)
        t->before();
    atomic_store(&go, true);
    pthread_join(thread, NULL);
    _exit(UNMADE);
}

/* Its exit status, or 128 and the signal's number; and what it said. */
static int run(enum thread_kind kind, const struct thread *t, enum level level, char said[256])
{
    int fd[2], status;
    ssize_t n = 0, len = 0;
    pid_t pid;

    ck_assert_int_eq(pipe(fd), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        dup2(fd[1], STDERR_FILENO);
        close(fd[0]);
        close(fd[1]);
        be_attacked(kind, t, level);
    }
    close(fd[1]);
    while (len < 255 && (n = read(fd[0], said + len, (size_t)(255 - len))) > 0)
        len += n;
    said[len] = '\0';
    close(fd[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void make_places(void)
{
    int fd;

    snprintf(folder, sizeof(folder), "/tmp/vz-sandbox.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    chmod(folder, 0777);
    snprintf(outside, sizeof(outside), "/tmp/vz-outside.XXXXXX");
    fd = mkstemp(outside);
    ck_assert_int_ge(fd, 0);
    fchmod(fd, 0666);
    close(fd);
    pages_fd = memfd_create("vz-pages", 0);
    ck_assert_int_eq(ftruncate(pages_fd, 4096), 0);
    open_socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    open_process = (int)syscall(SYS_pidfd_open, getpid(), 0);
}

static void remove_places(void)
{
    rmdir(folder);
    unlink(outside);
    close(pages_fd);
    close(open_socket);
    close(open_process);
}

static const char *const level_name[] = {"user", "root", "container"};

static void try_all(enum thread_kind kind, enum level level)
{
    char said[256];

    make_places();
    for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
        const struct thread t = {.make = attempts[i].make};
        int status = run(kind, &t, level, said);

        if (attempts[i].but & BIT(kind))
            continue;
        if (attempts[i].by_kernel && (status == KILLED || status == 128 + SIGSEGV))
            continue;
        if (status == KILLED)
            ck_assert_msg(strstr(said, "vz: sandbox: thread vz-attacked made") != NULL, "%s: '%s'",
                          attempts[i].name, said);
        else if (status != FAILED)
            ck_abort_msg("%s: %s, %s: status %d, '%s'", level_name[level], sandbox_kind_name(kind),
                         attempts[i].name, status, said);
    }
    remove_places();
}

START_TEST(attempts_fail)
{
    try_all((enum thread_kind)_i, AS_ROOT);
}
END_TEST

START_TEST(attempts_in_a_container_fail)
{
    if (geteuid() == 0)
        try_all((enum thread_kind)_i, IN_CONTAINER);
}
END_TEST

/* The processes of networks and of NBD servers make connections, and nothing else that a thread without a network does
 * not. */
static bool is_networks(enum thread_kind kind, long (*make)(void))
{
    bool nbd = kind == THREAD_NBD;

    return make == try_tcp || make == try_bind || (nbd && make == try_netlink) ||
           (!nbd && (make == try_listen || make == try_accept));
}

START_TEST(attempts_of_who_has_the_network_fail)
{
    const enum thread_kind kind = _i / LEVELS ? THREAD_NBD : THREAD_NAT;
    const enum level level = _i % LEVELS;
    char said[256];

    if (level == IN_CONTAINER && geteuid() != 0)
        return;
    features = SANDBOX_NET | (kind == THREAD_NBD ? SANDBOX_NBD : 0u);
    make_places();
    for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
        const struct thread t = {.make = attempts[i].make};
        int status = run(kind, &t, level, said);

        if (is_networks(kind, attempts[i].make) ? status == SUCCEEDED || status == FAILED
                                                : status == FAILED || status == KILLED)
            continue;
        if (attempts[i].by_kernel && status == 128 + SIGSEGV)
            continue;
        ck_abort_msg("%s, %s, %s: status %d, '%s'", level_name[level], sandbox_kind_name(kind), attempts[i].name, status, said);
    }
    remove_places();
}
END_TEST

/* It looks for a file of libslirp's, and is told that it may not, as old programs are. */
static long look_for_files(void)
{
    struct stat st;

    return stat("/etc/resolv.conf", &st) < 0 && errno == EACCES && open("/etc/resolv.conf", O_RDONLY) < 0 && errno == EACCES
               ? 0
               : -1;
}

START_TEST(who_has_the_network_has_no_files)
{
    const struct thread t = {.make = look_for_files};
    char said[256];

    features = SANDBOX_NET;
    make_places();
    ck_assert_msg(run(THREAD_NAT, &t, AS_ROOT, said) == SUCCEEDED, "%s", said);
    ck_assert_msg(run(THREAD_NAT, &t, AS_USER, said) == SUCCEEDED, "%s", said);
    remove_places();
}
END_TEST

/* What LibVNCServer asks of a client that comes by a link-local address (of lo, here), and where the vDSO has no clock. */
static long greet_neighbour(void)
{
    const struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = {{{0xfe, 0x80, [15] = 1}}}, .sin6_scope_id = 1};
    char host[64];
    struct timeval t;

    return getnameinfo((const struct sockaddr *)&a, sizeof(a), host, sizeof(host), NULL, 0, NI_NUMERICHOST) == 0 &&
                   !strncmp(host, "fe80::1%", 8) && syscall(SYS_gettimeofday, &t, NULL) == 0
               ? 0
               : -1;
}

START_TEST(a_viewer_from_a_link_ends_nothing)
{
    const struct thread t = {.make = greet_neighbour};
    char said[256];

    make_places();
    ck_assert_msg(run(THREAD_VNC, &t, AS_ROOT, said) == SUCCEEDED, "%s", said);
    ck_assert_msg(run(THREAD_VNC, &t, AS_USER, said) == SUCCEEDED, "%s", said);
    remove_places();
}
END_TEST

START_TEST(attempts_of_a_user_fail)
{
    try_all((enum thread_kind)_i, AS_USER);
}
END_TEST

static bool in_table(enum thread_kind kind, int nr)
{
    unsigned count;
    const struct sandbox_row *row = sandbox_rows(&count);

    for (unsigned i = 0; i < count; i++)
        if (row[i].nr == nr && row[i].kinds & sandbox_kinds_of(kind) && (!row[i].needs || is_programs(kind)))
            return true;
    return false;
}

static volatile sig_atomic_t trapped;

/* In place of the sandbox's handler: note it and go on, so that one process tries all numbers. */
static void on_trap(int sig, siginfo_t *info, void *context)
{
    trapped = info->si_syscall;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = -ENOSYS;
}

static void watch_traps(void)
{
    struct sigaction sa = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

    sigaction(SIGSYS, &sa, NULL);
}

/* Every number that the kernel may know, with arguments that are plausible for many. */
static long try_numbers(void)
{
    static char buffer[4096];
    char text[64];

    for (int nr = 0; nr < CALLS; nr++) {
        if (in_table(attacked, nr) || nr == SYS_uretprobe_ || nr == SYS_uprobe_)
            continue;
        trapped = -1;
        if (syscall(nr, (long)buffer, (long)buffer, 64L, (long)buffer, 0L, 0L) < 0 &&
            (trapped == nr || errno == EACCES || errno == EPERM || errno == ENOSYS))
            continue;
        snprintf(text, sizeof(text), "call %d was made\n", nr);
        (void)!write(STDERR_FILENO, text, strlen(text));
        return 0;
    }
    return -1;
}

START_TEST(every_other_call_is_trapped)
{
    const struct thread t = {.make = try_numbers, .before = watch_traps};
    char said[256];

    make_places();
    if (run((enum thread_kind)_i, &t, AS_ROOT, said) != FAILED)
        ck_abort_msg("%s: '%s'", sandbox_kind_name((enum thread_kind)_i), said);
    remove_places();
}
END_TEST

/* A thread that shares a folder has that, and nothing beside it. */
static long use_folder(void)
{
    char path[96], other[96];
    int fd;

    snprintf(path, sizeof(path), "%s/file", folder);
    snprintf(other, sizeof(other), "%s/other", folder);
    fd = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600);
    return fd < 0 || write(fd, "x", 1) != 1 || ftruncate(fd, 0) || renameat(AT_FDCWD, path, AT_FDCWD, other) ||
                   unlinkat(AT_FDCWD, other, 0)
               ? -1
               : 0;
}

START_TEST(what_is_allowed_works)
{
    const struct thread t = {.make = use_folder};
    char said[256];

    make_places();
    ck_assert_int_eq(run(THREAD_SHARE, &t, AS_ROOT, said), SUCCEEDED);
    ck_assert_int_eq(run(THREAD_SHARE, &t, AS_USER, said), SUCCEEDED);
    ck_assert_int_eq(run(THREAD_LOOP, &t, AS_ROOT, said), SUCCEEDED);
    ck_assert_int_eq(run(THREAD_CPU, &t, AS_ROOT, said), FAILED);
    remove_places();
}
END_TEST

/* What a viewer hands over is looked at by its thread, and read by another one that it makes. */
static void *look_at_file(void *ret)
{
    struct stat st;
    int fd = memfd_create("vz-copied", MFD_CLOEXEC), queued;

    if (fd >= 0 && fstat(fd, &st) == 0 && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0 &&
        ioctl(fd, SIOCOUTQ, &queued) < 0 && errno == ENOTTY)
        *(int *)ret = 1;
    return NULL;
}

static long view_file(void)
{
    int own = 0, others = 0;
    pthread_t thread;

    look_at_file(&own);
    if (thread_start(&thread, THREAD_VIEW, "vz-file", look_at_file, &others) == 0)
        pthread_join(thread, NULL);
    return own && others ? 0 : -1;
}

START_TEST(viewers_files_are_read)
{
    const struct thread t = {.make = view_file};
    char said[256];

    make_places();
    if (run(THREAD_VIEW, &t, AS_ROOT, said) != SUCCEEDED || run(THREAD_VIEW, &t, AS_USER, said) != SUCCEEDED)
        ck_abort_msg("%s", said);
    remove_places();
}
END_TEST

/* In a process that only logs, all goes on. */
static void log_only(void)
{
    const struct sandbox_options o = {.mode = SANDBOX_LOG};
    struct sandbox s;

    if (sandbox_init(&s, &o, NULL) < 0 || s.policy.enter(&s.policy, THREAD_CPU) < 0)
        _exit(UNMADE);
    for (int i = 0; i < 3; i++)
        if (syscall(SYS_getppid) != getppid() || syscall(SYS_dup, 9999) != -1 || errno != EBADF)
            _exit(FAILED);
    _exit(SUCCEEDED);
}

START_TEST(who_logs_makes_the_call_and_tells_it_once)
{
    char said[256] = "";
    int fd[2], status;
    ssize_t n, len = 0;

    ck_assert_int_eq(pipe(fd), 0);
    if (fork() == 0) {
        dup2(fd[1], STDERR_FILENO);
        log_only();
    }
    close(fd[1]);
    while (len < 255 && (n = read(fd[0], said + len, (size_t)(255 - len))) > 0)
        len += n;
    wait(&status);
    ck_assert(WIFEXITED(status));
    ck_assert_msg(WEXITSTATUS(status) == SUCCEEDED, "%d: %s", WEXITSTATUS(status), said);
    ck_assert_ptr_nonnull(strstr(said, "system call 110"));
    ck_assert_ptr_null(strstr(strstr(said, "system call 110") + 1, "system call 110"));
    ck_assert_ptr_nonnull(strstr(said, "the system call dup(0x270f, "));
}
END_TEST

/* As threads that a program makes by itself mostly do. */
START_TEST(who_blocks_all_signals_goes_on_too)
{
    sigset_t all;
    int status;

    if (fork() == 0) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, NULL);
        if (sandbox_lock_program(THREAD_WATCH, true, NULL) < 0)
            _exit(UNMADE);
        _exit(syscall(SYS_getppid) == getppid() ? SUCCEEDED : FAILED);
    }
    wait(&status);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == SUCCEEDED);
}
END_TEST

static const char *obstacle(void)
{
    return sandbox_files_level() < 3 ? "this kernel's Landlock cannot refuse all that is tried" : NULL;
}

static void add_loop(Suite *s, const char *name, const TTest *fn)
{
    TCase *c = tcase_create(name);

    tcase_set_timeout(c, 110);
    tcase_add_loop_test(c, fn, THREAD_FREE + 1, THREAD_KINDS);
    suite_add_tcase(s, c);
}

static void add_tests(Suite *s)
{
    TCase *network;

    add_loop(s, "attempts", attempts_fail);
    add_loop(s, "attempts of a user", attempts_of_a_user_fail);
    add_loop(s, "attempts in a container", attempts_in_a_container_fail);
    add_loop(s, "every other call", every_other_call_is_trapped);
    network = tcase_create("attempts with the network");
    tcase_set_timeout(network, 110);
    tcase_add_loop_test(network, attempts_of_who_has_the_network_fail, 0, 2 * LEVELS);
    suite_add_tcase(s, network);
    UNIT_TEST(s, who_has_the_network_has_no_files);
    UNIT_TEST(s, a_viewer_from_a_link_ends_nothing);
    UNIT_TEST(s, what_is_allowed_works);
    UNIT_TEST(s, viewers_files_are_read);
    UNIT_TEST(s, who_logs_makes_the_call_and_tells_it_once);
    UNIT_TEST(s, who_blocks_all_signals_goes_on_too);
}

UNIT_TEST_MAIN_UNLESS("sandbox_attack", add_tests, obstacle())
