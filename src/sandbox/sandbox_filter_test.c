/* SPDX-License-Identifier: MIT */
/* The table and what is made of it: for each kind of thread all calls, and the arguments that matter. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/kvm.h>
#include <linux/usbdevice_fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "bpf.h"
#include "sandbox/sandbox_calls.h"
#include "sandbox/sandbox_filter.h"

#define CALLS 600
#define ALL   (~0u)
#define SELF  4711u
#define GATE  UINT64_C(0x7f0012345678)

static struct sock_filter code[SANDBOX_FILTER_MAX];
static unsigned count;

static void make(enum thread_kind kind, uint32_t features)
{
    const struct sandbox_filter_options o = {.kind = kind, .features = features, .self = SELF};

    count = sandbox_filter(code, ARRAY_SIZE(code), &o);
    ck_assert_uint_gt(count, 0);
}

static uint32_t verdict(int nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
    const struct seccomp_data d = {.nr = nr, .arch = AUDIT_ARCH_X86_64, .args = {a0, a1, a2}};

    return bpf_run(code, count, &d);
}

static bool allows(int nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
    return verdict(nr, a0, a1, a2) == SECCOMP_RET_ALLOW;
}

static bool in_table(enum thread_kind kind, int nr)
{
    unsigned rows;
    const struct sandbox_row *row = sandbox_rows(&rows);

    for (unsigned i = 0; i < rows; i++)
        if (row[i].nr == nr && row[i].kinds & sandbox_kinds_of(kind))
            return true;
    return false;
}

/* Who no guest talks to goes on. */
static uint32_t refused(enum thread_kind kind)
{
    return kind >= THREAD_SERVE || kind == THREAD_VNC ? SECCOMP_RET_ERRNO | EPERM : SECCOMP_RET_TRAP;
}

/* What is in no row is refused, whatever its arguments. */
START_TEST(what_is_in_no_row_is_trapped)
{
    for (unsigned kind = THREAD_FREE + 1; kind < THREAD_KINDS; kind++) {
        make(kind, ALL);
        for (int nr = -2; nr < CALLS; nr++) {
            if (!in_table(kind, nr) && verdict(nr, 0, 0, 0) != refused(kind))
                ck_abort_msg("%s: call %d", sandbox_kind_name(kind), nr);
            if (nr >= 0 && verdict(nr | 0x40000000, 0, 0, 0) != refused(kind))
                ck_abort_msg("%s: call %d of x32", sandbox_kind_name(kind), nr);
        }
    }
}
END_TEST

/* Of a program's own threads: what the guest's watchers are told, and how a process ends by a signal. */
static bool is_programs(enum thread_kind kind, int nr)
{
    return (kind == THREAD_WATCH && (nr == SYS_name_to_handle_at || nr == SYS_prlimit64)) ||
           (kind == THREAD_CONTROL && (nr == SYS_name_to_handle_at || nr == SYS_prlimit64 || nr == SYS_rt_sigaction ||
                                       nr == SYS_kill));
}

/* By these a thread would get rights, other processes' memory, or the kernel's rarely used parts. */
START_TEST(no_thread_ever_makes_these)
{
    static const int never[] = {
        SYS_execve, SYS_execveat, SYS_fork, SYS_vfork, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
        SYS_kill, SYS_tkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_pidfd_open, SYS_pidfd_getfd,
        SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_setns, SYS_bpf, SYS_userfaultfd,
        SYS_perf_event_open, SYS_keyctl, SYS_add_key, SYS_request_key, SYS_init_module, SYS_finit_module,
        SYS_delete_module, SYS_kexec_load, SYS_reboot, SYS_swapon, SYS_open_by_handle_at, SYS_name_to_handle_at,
        SYS_personality, SYS_io_uring_register, SYS_setuid, SYS_setgid, SYS_setresuid, SYS_setgroups, SYS_sethostname,
        SYS_acct, SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_mknod, SYS_settimeofday, SYS_clock_settime,
        SYS_quotactl, SYS_syslog, SYS_rt_sigaction, SYS_prlimit64, SYS_memfd_secret, SYS_move_pages, SYS_shmget,
        SYS_msgget, SYS_remap_file_pages, SYS_pkey_mprotect, SYS_vmsplice, SYS_process_madvise};

    for (unsigned kind = THREAD_FREE + 1; kind < THREAD_KINDS; kind++)
        for (size_t i = 0; i < ARRAY_SIZE(never); i++)
            if (in_table(kind, never[i]) && !is_programs(kind, never[i]))
                ck_abort_msg("%s: call %d", sandbox_kind_name(kind), never[i]);
}
END_TEST

/* Who opens one file for others has what it needs, and makes no threads. */
static bool takes_memory(unsigned kind)
{
    return kind != THREAD_NAMES;
}

START_TEST(nothing_becomes_executable)
{
    for (unsigned kind = THREAD_FREE + 1; kind < THREAD_KINDS; kind++) {
        make(kind, ALL);
        for (uint64_t prot = 0; prot < 16; prot++) {
            ck_assert(allows(SYS_mmap, 0, 4096, prot) == (takes_memory(kind) && !(prot & PROT_EXEC)));
            ck_assert(allows(SYS_mprotect, 0, 4096, prot) == (takes_memory(kind) && !(prot & PROT_EXEC)));
        }
        /* The kernel looks at 64 bits of it, of which only lower ones mean something. */
        ck_assert(!allows(SYS_mprotect, 0, 4096, PROT_EXEC | UINT64_C(0x100000000)));
    }
}
END_TEST

START_TEST(children_are_threads)
{
    const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                            CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;

    for (unsigned kind = THREAD_FREE + 1; kind < THREAD_KINDS; kind++) {
        make(kind, ALL);
        ck_assert_uint_eq(verdict(SYS_clone3, 0, 0, 0),
                          takes_memory(kind) ? SECCOMP_RET_ERRNO | ENOSYS : SECCOMP_RET_TRAP);
        ck_assert(!allows(SYS_clone, 17 /* SIGCHLD */, 0, 0));
        ck_assert(!allows(SYS_clone, CLONE_VM | CLONE_VFORK | 17, 0, 0));
        ck_assert(!allows(SYS_clone, thread | CLONE_NEWUSER, 0, 0));
        ck_assert(allows(SYS_clone, thread, 0, 0) ==
                  (kind == THREAD_LOOP || kind == THREAD_SAVE || kind == THREAD_SHARE || kind == THREAD_NBD || kind == THREAD_VNC || kind == THREAD_VIEW ||
                   kind == THREAD_SERVE || kind == THREAD_WATCH || kind == THREAD_CONTROL));
    }
}
END_TEST

START_TEST(usb_devices_are_reached_by_two_threads_of_machines_that_have_some)
{
    static const unsigned long numbers[] = {USBDEVFS_SUBMITURB, USBDEVFS_REAPURBNDELAY, USBDEVFS_DISCARDURB, USBDEVFS_RESET,
                                            USBDEVFS_CLAIMINTERFACE, USBDEVFS_SETCONFIGURATION};

    for (unsigned kind = THREAD_FREE + 1; kind < THREAD_KINDS; kind++) {
        for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
            make(kind, ALL);
            ck_assert(allows(SYS_ioctl, 5, numbers[i], 0) ==
                      (kind == THREAD_LOOP || kind == THREAD_USB || kind == THREAD_CONTROL));
            make(kind, ALL & ~(uint32_t)SANDBOX_USB);
            ck_assert(!allows(SYS_ioctl, 5, numbers[i], 0));
        }
    }
    make(THREAD_LOOP, ALL);
    ck_assert(!allows(SYS_ioctl, 5, USBDEVFS_REAPURB, 0)); /* which would wait */
}
END_TEST

/* A large qsort() asks how much memory there is: a balloon's pages are sorted. */
/* Of what arch_prctl() can do, bases of segments and more of the processor, nothing else; and who makes them. */
START_TEST(cpuid_faults_for_threads_that_run_stubs)
{
    enum { CPUID_SET = 0x1012 };
    const uint32_t who = SANDBOX_KIND(CPU) | SANDBOX_KIND(STUBS) | SANDBOX_KIND(LOOP);

    for (unsigned kind = THREAD_FREE + 1; kind < THREAD_KINDS; kind++) {
        make(kind, ALL);
        for (unsigned what = 0x1000; what < 0x6000; what++)
            ck_assert(allows(SYS_arch_prctl, what, 0, 0) ==
                      (what == CPUID_SET && sandbox_kinds_of(kind) & who));
        make(kind, ALL & ~SANDBOX_STUBS);
        ck_assert(!allows(SYS_arch_prctl, CPUID_SET, 0, 0));
    }
}
END_TEST

START_TEST(all_can_sort)
{
    for (unsigned kind = THREAD_FREE + 1; kind < THREAD_KINDS; kind++) {
        make(kind, 0);
        ck_assert(allows(SYS_sysinfo, 0, 0, 0) == takes_memory(kind));
    }
}
END_TEST

START_TEST(signals_go_to_this_process)
{
    for (unsigned kind = THREAD_FREE + 1; kind < THREAD_KINDS; kind++) {
        make(kind, ALL);
        ck_assert(allows(SYS_tgkill, SELF, 1, 2) == takes_memory(kind));
        for (unsigned bit = 0; bit < 32; bit++)
            ck_assert(!allows(SYS_tgkill, SELF ^ BIT(bit), 1, 2));
    }
}
END_TEST

/* The first message of a vector gets an eventfd with KVM: from a CPU's thread, or from a share's. */
START_TEST(interrupts_of_kvm_are_sent)
{
    static const enum thread_kind kind[] = {THREAD_LOOP, THREAD_CPU, THREAD_SHARE};

    for (size_t i = 0; i < ARRAY_SIZE(kind); i++) {
        make(kind[i], SANDBOX_KVM);
        ck_assert(allows(SYS_eventfd2, 0, 0, 0) && allows(SYS_ioctl, 0, KVM_SET_GSI_ROUTING, 0) &&
                  allows(SYS_ioctl, 0, KVM_IRQFD, 0) && allows(SYS_ioctl, 0, KVM_SIGNAL_MSI, 0));
    }
}
END_TEST

START_TEST(sockets_are_of_the_families_that_the_machine_has)
{
    for (unsigned family = 0; family < 64; family++) {
        make(THREAD_LOOP, 0);
        ck_assert(!allows(SYS_socket, family, SOCK_STREAM, 0));
        make(THREAD_LOOP, SANDBOX_NET);
        ck_assert(allows(SYS_socket, family, SOCK_STREAM, 0) == (family == AF_INET || family == AF_INET6));
        make(THREAD_LOOP, SANDBOX_NET | SANDBOX_NBD);
        ck_assert(allows(SYS_socket, family, SOCK_STREAM, 0) ==
                  (family == AF_INET || family == AF_INET6 || family == AF_NETLINK));
        make(THREAD_NBD, SANDBOX_NET | SANDBOX_NBD | SANDBOX_LOCAL);
        ck_assert(allows(SYS_socket, family, SOCK_STREAM, 0) ==
                  (family == AF_INET || family == AF_INET6 || family == AF_UNIX || family == AF_NETLINK));
        make(THREAD_LOOP, SANDBOX_VSOCK);
        ck_assert(allows(SYS_socket, family, SOCK_STREAM, 0) == (family == AF_UNIX));
        make(THREAD_CPU, ALL);
        ck_assert(!allows(SYS_socket, family, SOCK_STREAM, 0));
        make(THREAD_NAT, SANDBOX_NET);
        ck_assert(allows(SYS_socket, family, SOCK_STREAM, 0) == (family == AF_INET || family == AF_INET6));
        make(THREAD_NAMES, ALL);
        ck_assert(!allows(SYS_socket, family, SOCK_STREAM, 0));
    }
}
END_TEST

/* getaddrinfo(), of a server in /etc/hosts, and of one that DNS knows. */
START_TEST(names_of_servers_are_found)
{
    make(THREAD_NBD, SANDBOX_NET | SANDBOX_NBD);
    ck_assert(allows(SYS_openat, 0, 0, 0) && allows(SYS_newfstatat, 0, 0, 0) && allows(SYS_lseek, 0, 0, 0));
    ck_assert(allows(SYS_sendmmsg, 0, 0, 0) && allows(SYS_ioctl, 0, FIONREAD, 0) && allows(SYS_recvfrom, 0, 0, 0));
    ck_assert(allows(SYS_ioctl, 0, SIOCGIFINDEX, 0));
    make(THREAD_LOOP, SANDBOX_NET);
    ck_assert(allows(SYS_ioctl, 0, SIOCGIFINDEX, 0));
}
END_TEST

/* In a process of its own, or by the loop of a program's machine: what libslirp and GLib's warnings call by turns. */
START_TEST(connections_of_guests_end)
{
    static const enum thread_kind kind[] = {THREAD_LOOP, THREAD_NAT};
    static const int nr[] = {SYS_accept, SYS_accept4, SYS_getpeername, SYS_getsockname, SYS_getsockopt, SYS_setsockopt,
                             SYS_shutdown, SYS_recvfrom, SYS_sendto, SYS_connect, SYS_bind, SYS_listen};

    for (size_t i = 0; i < ARRAY_SIZE(kind); i++) {
        make(kind[i], SANDBOX_NET);
        for (size_t n = 0; n < ARRAY_SIZE(nr); n++)
            ck_assert_msg(allows(nr[n], 0, 0, 0), "%s: %s", sandbox_kind_name(kind[i]), sandbox_call_name(nr[n]));
    }
}
END_TEST

/* op_read() and op_write(), which every guest with a shared directory asks for. */
START_TEST(files_of_shares_are_read_and_written)
{
    make(THREAD_SHARE, 0);
    ck_assert(allows(SYS_preadv, 0, 0, 0) && allows(SYS_pwritev2, 0, 0, 0));
}
END_TEST

/* Somebody has taken away the user's key for saved states: then a save fails, or makes another, and the machine goes on. */
START_TEST(a_key_that_is_gone_ends_no_machine)
{
    static const enum thread_kind kind[] = {THREAD_LOOP, THREAD_SAVE};

    for (size_t i = 0; i < ARRAY_SIZE(kind); i++) {
        make(kind[i], 0);
        ck_assert_uint_eq(verdict(SYS_mkdir, 0, 0, 0), SECCOMP_RET_ERRNO | EACCES);
        ck_assert(allows(SYS_openat, 0, 0, 0) && allows(SYS_linkat, 0, 0, 0) && allows(SYS_unlink, 0, 0, 0));
    }
}
END_TEST

/* A thread has its maker's filter too. */
START_TEST(who_makes_a_thread_may_do_what_it_does)
{
    unsigned rows;
    const struct sandbox_row *row = sandbox_rows(&rows);

    for (unsigned i = 0; i < rows; i++) {
        bool refuses = row[i].error && row[i].check[0].kind == SANDBOX_ANY;
        bool made_later = row[i].kinds & (SANDBOX_KIND(CPU) | SANDBOX_KIND(DISK) | SANDBOX_KIND(SAVE) | SANDBOX_KIND(NBD));

        if (made_later && !refuses && !(row[i].kinds & SANDBOX_KIND(LOOP)))
            ck_abort_msg("%s", row[i].name);
    }
}
END_TEST

START_TEST(the_table_is_in_order)
{
    bool seen[CALLS] = {false};
    unsigned rows;
    const struct sandbox_row *row = sandbox_rows(&rows);

    for (unsigned i = 0; i < rows; i++) {
        bool follows = i && row[i - 1].nr == row[i].nr;

        ck_assert(row[i].nr >= 0 && row[i].nr < CALLS);
        ck_assert_msg(!seen[row[i].nr] || follows, "rows of %s are apart", row[i].name);
        seen[row[i].nr] = true;
        ck_assert_msg(row[i].kinds && row[i].why && *row[i].why, "%s", row[i].name);
        ck_assert_str_eq(sandbox_call_name(row[i].nr), row[i].name);
    }
    ck_assert_ptr_null(sandbox_call_name(SYS_ptrace));
}
END_TEST

START_TEST(other_architectures_end_the_process)
{
    make(THREAD_LOOP, ALL);
    for (unsigned bit = 0; bit < 32; bit++) {
        const struct seccomp_data d = {.nr = SYS_read, .arch = AUDIT_ARCH_X86_64 ^ (uint32_t)BIT(bit)};

        ck_assert_uint_eq(bpf_run(code, count, &d), SECCOMP_RET_KILL_PROCESS);
    }
}
END_TEST

/* Who only logs makes calls from one place. */
START_TEST(the_gate_is_one_address)
{
    const struct sandbox_filter_options o = {.kind = THREAD_CPU, .gate = GATE};
    struct seccomp_data d = {.nr = SYS_ptrace, .arch = AUDIT_ARCH_X86_64, .instruction_pointer = GATE};

    count = sandbox_filter(code, ARRAY_SIZE(code), &o);
    ck_assert_uint_eq(bpf_run(code, count, &d), SECCOMP_RET_ALLOW);
    for (unsigned bit = 0; bit < 64; bit++) {
        d.instruction_pointer = GATE ^ BIT(bit);
        ck_assert_uint_eq(bpf_run(code, count, &d), SECCOMP_RET_TRAP);
    }
}
END_TEST

START_TEST(without_room_there_is_no_filter)
{
    const struct sandbox_filter_options o = {.kind = THREAD_LOOP, .features = ALL};

    make(THREAD_LOOP, ALL);
    ck_assert_uint_eq(sandbox_filter(code, count - 1, &o), 0);
    ck_assert_uint_eq(sandbox_filter(code, count, &o), count);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, what_is_in_no_row_is_trapped);
    UNIT_TEST(s, no_thread_ever_makes_these);
    UNIT_TEST(s, nothing_becomes_executable);
    UNIT_TEST(s, children_are_threads);
    UNIT_TEST(s, cpuid_faults_for_threads_that_run_stubs);
    UNIT_TEST(s, all_can_sort);
    UNIT_TEST(s, signals_go_to_this_process);
    UNIT_TEST(s, interrupts_of_kvm_are_sent);
    UNIT_TEST(s, sockets_are_of_the_families_that_the_machine_has);
    UNIT_TEST(s, names_of_servers_are_found);
    UNIT_TEST(s, connections_of_guests_end);
    UNIT_TEST(s, files_of_shares_are_read_and_written);
    UNIT_TEST(s, a_key_that_is_gone_ends_no_machine);
    UNIT_TEST(s, who_makes_a_thread_may_do_what_it_does);
    UNIT_TEST(s, the_table_is_in_order);
    UNIT_TEST(s, other_architectures_end_the_process);
    UNIT_TEST(s, usb_devices_are_reached_by_two_threads_of_machines_that_have_some);
    UNIT_TEST(s, the_gate_is_one_address);
    UNIT_TEST(s, without_room_there_is_no_filter);
}

UNIT_TEST_MAIN("sandbox_filter", add_tests)
