/* SPDX-License-Identifier: MIT */
/* What is in no row is in no thread. A row is here because some thread makes the call (tests run with --sandbox log,
 * which names every call that has none), and a new one says why. */
#include "sandbox/sandbox_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define K(name) SANDBOX_KIND(name)

enum {
    EVERY = K(LOOP) | K(CPU) | K(DISK) | K(NBD) | K(SHARE) | K(STUBS) | K(SAVE),
    /* What devices do in the middle of a guest's register write is done on a CPU's thread. */
    DEVICES = K(LOOP) | K(CPU),
    FILES = K(LOOP) | K(SAVE),
    THREADS = K(LOOP) | K(SAVE), /* make threads */
};

#define CALL(call, kinds_, why_)  {.nr = SYS_##call, .name = #call, .kinds = kinds_, .why = why_}
#define CALL_IF(call, kinds_, error_, why_, ...)                                                               \
    {.nr = SYS_##call, .name = #call, .kinds = kinds_, .check = {__VA_ARGS__}, .error = error_, .why = why_}
#define NEEDS(feature, call, kinds_, error_, why_, ...)                                                        \
    {.nr = SYS_##call, .name = #call, .kinds = kinds_, .needs = feature, .check = {__VA_ARGS__}, .error = error_, \
     .why = why_}
#define IOCTL(feature, kinds_, number, why_) NEEDS(feature, ioctl, kinds_, 0, why_, IS(1, number))
#define REFUSE(call, kinds_, error_, why_)                                                                     \
    {.nr = SYS_##call, .name = #call, .kinds = kinds_, .error = error_, .why = why_}
#define IS(n, v)     {SANDBOX_IS, n, (uint32_t)(v)}
#define SELF(n)      {SANDBOX_SELF, n, 0}
#define WITHOUT(n, v) {SANDBOX_NONE, n, (uint32_t)(v)}
#define WITH(n, v)   {SANDBOX_ALL, n, (uint32_t)(v)}

#ifndef SYS_landlock_restrict_self
#define SYS_landlock_restrict_self 446
#endif

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, uint64_t)
#endif

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
#define NAMESPACES                                                                                             \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

static const struct sandbox_row rows[] = {
    /* ---- Every thread: to go on, to wait, to end ---- */
    CALL(read, EVERY, "files, eventfds, sockets that are open"),
    CALL(write, EVERY, "the same; log lines; eventfds"),
    CALL(readv, EVERY, "the same"),
    CALL(writev, EVERY, "the same"),
    CALL(close, EVERY, "what it opened"),
    CALL(futex, EVERY, "locks"),
    CALL(sched_yield, EVERY, "short waits"),
    CALL(clock_gettime, EVERY, "where the vDSO has no clock"),
    CALL(clock_nanosleep, EVERY, "waits"),
    CALL(nanosleep, EVERY, "waits"),
    CALL(restart_syscall, EVERY, "a wait that a signal interrupted"),
    CALL(gettid, EVERY, "who holds a lock"),
    CALL(getpid, EVERY, "to signal its own threads"),
    CALL(getrandom, EVERY, "identifiers, keys"),
    CALL(rt_sigprocmask, EVERY, "signals around calls"),
    CALL(rt_sigreturn, EVERY, "the end of a signal's handler"),
    CALL(sigaltstack, EVERY, "a thread's end"),
    CALL_IF(tgkill, EVERY, 0, "CPUs are kicked, abort()", SELF(0)),
    CALL_IF(prctl, EVERY, 0, "a thread's name", IS(0, PR_GET_NAME)),
    CALL_IF(prctl, EVERY, 0, "a thread's name", IS(0, PR_SET_NAME)),
    CALL_IF(prctl, THREADS, 0, "a thread's beginning", IS(0, PR_GET_NO_NEW_PRIVS)),
    CALL(rseq, EVERY, "a thread's beginning"),
    CALL(set_robust_list, EVERY, "a thread's beginning"),
    CALL(exit, EVERY, "a thread's end"),
    CALL(exit_group, EVERY, "the process' end"),
    /* ---- Memory: never executable. The translator's was mapped before ---- */
    CALL(brk, EVERY, "malloc()"),
    CALL_IF(mmap, EVERY, EACCES, "malloc(); never executable", WITHOUT(2, PROT_EXEC)),
    CALL_IF(mprotect, EVERY, EACCES, "malloc(); write faults that count dirty pages", WITHOUT(2, PROT_EXEC)),
    CALL(munmap, EVERY, "free()"),
    CALL(mremap, EVERY, "realloc()"),
    CALL(mincore, K(LOOP) | K(SAVE), "which pages there are to save"),
    CALL(madvise, EVERY, "free(); memory given back by a guest"),
    /* ---- Waiting for descriptors ---- */
    CALL(poll, EVERY, "waits"),
    CALL(ppoll, EVERY, "waits"),
    CALL(epoll_wait, K(LOOP), "the event loop"),
    CALL(epoll_pwait, K(LOOP), "the event loop"),
    CALL(epoll_pwait2, K(LOOP), "the event loop"),
    CALL(epoll_ctl, DEVICES, "what the loop watches"),
    CALL(timerfd_settime, DEVICES, "device timers"),
    CALL(pipe2, K(LOOP), "the child that writes memory says that it has nothing else open"),
    CALL(eventfd2, K(LOOP) | K(NBD), "a pause, a save, a connection"),
    CALL(timerfd_create, K(LOOP), "a device timer"),
    CALL(fcntl, EVERY & ~K(CPU), "flags and locks of open files"),
    CALL(fstat, EVERY & ~K(CPU), "sizes of open files"),
    CALL(lseek, FILES | K(DISK) | K(SHARE), "holes"),
    CALL(dup, K(LOOP) | K(SHARE), "descriptors handed on"),
    /* ---- Threads and processes ---- */
    REFUSE(clone3, EVERY, ENOSYS, "its flags cannot be looked at: the C library takes clone() then"),
    CALL_IF(clone, THREADS, 0, "threads of this process", WITH(0, THREAD_FLAGS), WITHOUT(0, NAMESPACES | CLONE_PTRACE)),
    CALL_IF(clone, K(LOOP), 0, "a child that writes guest memory to a saved state", IS(0, 0)),
    CALL_IF(seccomp, THREADS, 0, "the beginning of a thread that may do less", IS(0, SECCOMP_SET_MODE_FILTER),
            IS(1, SECCOMP_FILTER_FLAG_SPEC_ALLOW)),
    CALL(landlock_restrict_self, THREADS, "the same"),
    CALL(capget, THREADS, "the same"),
    CALL(capset, THREADS, "the same: none comes back"),
    CALL(close_range, K(LOOP), "that child has nothing else open"),
    CALL(wait4, K(LOOP) | K(SAVE) | K(STUBS), "its end"),
    CALL(sched_getaffinity, K(LOOP) | K(SAVE) | K(SHARE), "how many threads something takes; malloc() of many"),
    /* ---- Disks ---- */
    CALL(pread64, K(LOOP) | K(DISK) | K(SAVE) | K(SHARE), "disks, saved states"),
    CALL(pwrite64, K(LOOP) | K(DISK) | K(SAVE) | K(SHARE), "the same"),
    CALL(preadv, K(LOOP) | K(DISK) | K(SHARE), "disks"),
    CALL(pwritev, K(LOOP) | K(DISK) | K(SAVE) | K(SHARE), "disks"),
    CALL(preadv2, K(LOOP) | K(DISK) | K(SHARE), "disks"),
    CALL(pwritev2, K(LOOP) | K(DISK) | K(SHARE), "disks"),
    CALL(fsync, K(LOOP) | K(DISK) | K(SAVE) | K(SHARE), "a guest's flush"),
    CALL(fdatasync, K(LOOP) | K(DISK) | K(SAVE) | K(SHARE), "a guest's flush"),
    CALL(fallocate, K(LOOP) | K(DISK) | K(SAVE) | K(SHARE), "discard, zeros, space"),
    CALL(ftruncate, K(LOOP) | K(DISK) | K(SAVE) | K(SHARE), "a disk made longer"),
    NEEDS(SANDBOX_STUBS, ftruncate, K(STUBS), 0, "a stub's memory", {0}),
    CALL(sync_file_range, K(LOOP) | K(SAVE) | K(DISK), "a saved state written as it grows"),
    CALL(flock, K(LOOP) | K(SHARE), "locks of images"),
    CALL(io_uring_enter, DEVICES, "disks: only reads, writes and flushes of files that the ring was given"),
    REFUSE(io_uring_setup, K(LOOP), EPERM, "a ring can do what no filter sees: disks that come later have threads"),
    /* ---- Sockets ---- */
    CALL(recvfrom, K(LOOP) | K(NBD) | K(STUBS), "open sockets"),
    CALL(recvmsg, K(LOOP) | K(NBD) | K(STUBS), "open sockets"),
    CALL(recvmmsg, K(LOOP), "packets"),
    CALL(sendto, DEVICES | K(NBD) | K(STUBS), "open sockets"),
    CALL(sendmsg, DEVICES | K(NBD) | K(STUBS), "open sockets"),
    CALL(sendmmsg, DEVICES, "packets"),
    CALL(accept, K(LOOP), "the same"),
    CALL(accept4, K(LOOP), "serial lines, forwards, socket devices"),
    CALL_IF(socketpair, K(LOOP), 0, "the program's end of a guest's connection", IS(0, AF_UNIX)),
    CALL(shutdown, K(LOOP) | K(NBD), "open sockets"),
    CALL(getsockopt, K(LOOP) | K(NBD), "what became of a connection"),
    CALL(setsockopt, K(LOOP) | K(NBD), "buffers, delays"),
    CALL(getsockname, K(LOOP) | K(NBD), "addresses"),
    CALL(getpeername, K(LOOP) | K(NBD), "addresses"),
    NEEDS(SANDBOX_NET, socket, K(LOOP) | K(NBD), EACCES, "a guest's connections; an NBD server's", IS(0, AF_INET)),
    NEEDS(SANDBOX_NET, socket, K(LOOP) | K(NBD), EACCES, "the same", IS(0, AF_INET6)),
    NEEDS(SANDBOX_VSOCK, socket, K(LOOP), EACCES, "what a guest's connections by the socket device go on to", IS(0, AF_UNIX)),
    NEEDS(SANDBOX_NBD, socket, K(LOOP) | K(NBD), EACCES, "an NBD server's; names", IS(0, AF_UNIX)),
    NEEDS(SANDBOX_NBD, socket, K(LOOP) | K(NBD), EACCES, "addresses of this host, for names", IS(0, AF_NETLINK)),
    NEEDS(SANDBOX_NET | SANDBOX_VSOCK, connect, K(LOOP) | K(NBD), 0, "connections", {0}),
    NEEDS(SANDBOX_NET, bind, K(LOOP) | K(NBD), 0, "a guest's UDP, forwards", {0}),
    NEEDS(SANDBOX_NET, listen, K(LOOP), 0, "forwards", {0}),
    /* ---- Files, by name: Landlock says which ---- */
    CALL(openat, FILES | K(NBD) | K(SHARE), "what Landlock allows"),
    CALL(newfstatat, FILES | K(NBD) | K(SHARE), "what is there"),
    CALL(statx, FILES | K(SHARE) | K(DISK), "what is there"),
    CALL(readlink, FILES, "where an image lies, when its disk gets a layer"),
    CALL(getcwd, FILES, "the same"),
    CALL(access, K(LOOP) | K(NBD), "the C library, for names"),
    CALL(lstat, FILES, "what is there"),
    CALL(stat, FILES, "what is there"),
    CALL(open, FILES, "what Landlock allows"),
    CALL(unlink, FILES, "sockets that it made; a save that failed"),
    CALL(unlinkat, FILES | K(SHARE), "the same"),
    CALL(rename, FILES, "a saved state gets its name"),
    CALL(renameat, FILES | K(SHARE), "the same"),
    CALL(renameat2, FILES | K(SHARE), "the same"),
    CALL(linkat, FILES | K(SHARE), "the same"),
    CALL(link, FILES, "the same"),
    CALL(fchmod, FILES | K(SHARE), "its mode"),
    /* ---- Shared directories ---- */
    CALL_IF(unshare, K(SHARE), 0, "a umask of its own", IS(0, CLONE_FS)),
    CALL(umask, K(SHARE), "files have the mode that the guest says"),
    CALL(openat2, K(SHARE), "what does not leave the directory"),
    CALL(getdents64, K(SHARE), "lists"),
    CALL(readlinkat, K(SHARE), "links"),
    CALL(symlinkat, K(SHARE), "links"),
    CALL(mkdirat, K(SHARE), "folders"),
    CALL(mknodat, K(SHARE), "pipes and sockets"),
    CALL(chmod, K(SHARE), "modes"),
    CALL(fchmodat, K(SHARE), "modes"),
    CALL(chown, K(SHARE), "owners"),
    CALL(fchown, K(SHARE), "owners"),
    CALL(fchownat, K(SHARE), "owners"),
    CALL(utimensat, K(SHARE), "times"),
    CALL(getxattr, K(SHARE), "attributes"),
    CALL(lgetxattr, K(SHARE), "attributes"),
    CALL(fgetxattr, K(SHARE), "attributes"),
    CALL(setxattr, K(SHARE), "attributes"),
    CALL(lsetxattr, K(SHARE), "attributes"),
    CALL(fsetxattr, K(SHARE), "attributes"),
    CALL(listxattr, K(SHARE), "attributes"),
    CALL(llistxattr, K(SHARE), "attributes"),
    CALL(flistxattr, K(SHARE), "attributes"),
    CALL(removexattr, K(SHARE), "attributes"),
    CALL(lremovexattr, K(SHARE), "attributes"),
    CALL(fremovexattr, K(SHARE), "attributes"),
    CALL(statfs, K(SHARE), "room"),
    CALL(fstatfs, K(SHARE), "room"),
    CALL(syncfs, K(SHARE), "a guest's sync"),
    CALL(copy_file_range, K(SHARE), "copies"),
    CALL(uname, EVERY & ~K(CPU), "the C library"),
    CALL(getegid, FILES | K(SHARE) | K(NBD), "whose a file is"),
    CALL(geteuid, FILES | K(SHARE) | K(NBD), "whose a file is"),
    CALL(getuid, FILES | K(SHARE) | K(NBD), "the same"),
    /* ---- ioctl(), by number ---- */
    IOCTL(SANDBOX_KVM, DEVICES, KVM_RUN, "the CPU"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_GET_REGS, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SET_REGS, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_GET_SREGS, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SET_SREGS, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_GET_MSRS, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SET_MSRS, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_GET_XSAVE, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SET_XSAVE, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_GET_XCRS, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SET_XCRS, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_GET_LAPIC, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SET_LAPIC, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_GET_MP_STATE, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SET_MP_STATE, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_GET_VCPU_EVENTS, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SET_VCPU_EVENTS, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_GET_DEBUGREGS, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SET_DEBUGREGS, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SET_SIGNAL_MASK, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_TRANSLATE, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_KVMCLOCK_CTRL, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_GET_DEVICE_ATTR, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SET_DEVICE_ATTR, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SET_CPUID2, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_GET_TSC_KHZ, "a CPU's state: faults, pauses, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_IRQ_LINE, "the machine's: interrupts, memory slots, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SIGNAL_MSI, "the machine's: interrupts, memory slots, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SET_GSI_ROUTING, "the machine's: interrupts, memory slots, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_IRQFD, "the machine's: interrupts, memory slots, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_IOEVENTFD, "the machine's: interrupts, memory slots, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_GET_IRQCHIP, "the machine's: interrupts, memory slots, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SET_IRQCHIP, "the machine's: interrupts, memory slots, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_GET_PIT2, "the machine's: interrupts, memory slots, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SET_PIT2, "the machine's: interrupts, memory slots, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_GET_CLOCK, "the machine's: interrupts, memory slots, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SET_CLOCK, "the machine's: interrupts, memory slots, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_REINJECT_CONTROL, "the machine's: interrupts, memory slots, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SET_USER_MEMORY_REGION, "the machine's: interrupts, memory slots, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_GET_DIRTY_LOG, "the machine's: interrupts, memory slots, saves"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_REGISTER_COALESCED_MMIO, "the machine's: interrupts, memory slots, saves"),
    IOCTL(SANDBOX_STUBS, K(STUBS) | DEVICES, SECCOMP_IOCTL_NOTIF_RECV, "a stub's events"),
    IOCTL(SANDBOX_STUBS, K(STUBS) | DEVICES, SECCOMP_IOCTL_NOTIF_SEND, "the same"),
    IOCTL(SANDBOX_STUBS, K(STUBS), SECCOMP_IOCTL_NOTIF_SET_FLAGS, "the same"),
    IOCTL(0, K(LOOP), TUNSETOFFLOAD, "what a tap's guest takes"),
    IOCTL(0, K(LOOP), TUNSETVNETHDRSZ, "the same"),
    IOCTL(0, K(LOOP) | K(DISK), BLKDISCARD, "a guest's discard on a block device"),
    IOCTL(0, K(LOOP) | K(DISK), BLKGETSIZE64, "its size"),
    IOCTL(0, K(LOOP) | K(DISK), BLKSSZGET, "its blocks"),
    IOCTL(0, K(LOOP) | K(DISK), BLKPBSZGET, "its blocks"),
    IOCTL(SANDBOX_NET, K(LOOP), FIONREAD, "how much a guest's UDP socket has"),
    IOCTL(0, K(LOOP), TCGETS, "is it a terminal?"),
    IOCTL(0, K(LOOP), TIOCSWINSZ, "a pseudo-terminal's size"),
    /* ---- Direct execution ---- */
    NEEDS(SANDBOX_STUBS, memfd_create, K(STUBS), 0, "a stub's memory", {0}),
    NEEDS(SANDBOX_STUBS, pidfd_send_signal, K(STUBS) | DEVICES, 0, "its end: only processes that it has a descriptor of", {0}),
};

const struct sandbox_row *sandbox_rows(unsigned *ret_count)
{
    *ret_count = ARRAY_SIZE(rows);
    return rows;
}

const char *sandbox_call_name(int nr)
{
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].nr == nr)
            return rows[i].name;
    return NULL;
}

const char *sandbox_kind_name(enum thread_kind kind)
{
    static const char *const name[] = {"free", "loop", "cpu", "disk", "nbd", "share", "stubs", "save"};

    return kind < ARRAY_SIZE(name) ? name[kind] : "?";
}
