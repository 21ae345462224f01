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
#include <linux/sockios.h>
#include <linux/usbdevice_fs.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/pagemap_scan.h"

#define K(name) SANDBOX_KIND(name)

enum {
    PROGRAM = K(TALK) | K(VIEW) | K(SERVE) | K(WATCH) | K(CONTROL),
    EVERY = K(LOOP) | K(CPU) | K(DISK) | K(NBD) | K(SHARE) | K(STUBS) | K(SAVE) | K(USB) | K(NAT) | K(VNC) |
            K(SOUND) | PROGRAM, /* but for NAMES, which does one thing */
    ALL = EVERY & ~K(NAT), /* and who makes no threads, and never waits but for descriptors */
    /* What devices do in the middle of a guest's register write is done on a CPU's thread. */
    DEVICES = K(LOOP) | K(CPU),
    FILES = K(LOOP) | K(SAVE),
    THREADS = K(LOOP) | K(SAVE) | K(VIEW) | K(SERVE) | K(WATCH), /* make threads */
    SOCKETS = K(TALK) | K(VIEW) | K(SERVE) | K(WATCH),
};

#define CALL(call, kinds_, why_)  {.nr = SYS_##call, .name = #call, .kinds = kinds_, .why = why_}
#define RARE(call, kinds_, why_)  {.nr = SYS_##call, .name = #call, .kinds = kinds_, .why = why_, .rare = true}
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
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, uint64_t)
#endif

#define ARCH_CPUID_SET 0x1012 /* <asm/prctl.h>: libc's is another */

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
#define NAMESPACES                                                                                             \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

static const struct sandbox_row rows[] = {
    /* ---- Every thread: to go on, to wait, to end ---- */
    CALL(read, EVERY, "files, eventfds, sockets that are open"),
    CALL(write, EVERY | K(NAMES), "the same; log lines; eventfds"),
    CALL(readv, ALL, "the same"),
    CALL(writev, EVERY, "the same"),
    CALL(close, EVERY | K(NAMES), "what it opened"),
    CALL(futex, EVERY, "locks"),
    CALL(sched_yield, EVERY, "short waits; who looks for work before it sleeps"),
    CALL(clock_gettime, EVERY, "where the vDSO has no clock"),
    CALL(gettimeofday, EVERY, "the same: LibVNCServer, GLib"),
    CALL(clock_nanosleep, ALL, "waits"),
    CALL(nanosleep, ALL, "waits"),
    CALL(restart_syscall, EVERY | K(NAMES), "a wait that a signal interrupted"),
    CALL(gettid, EVERY, "who holds a lock"),
    CALL(getpid, EVERY, "to signal its own threads"),
    CALL(getrandom, EVERY, "identifiers, keys"),
    CALL(rt_sigprocmask, EVERY, "signals around calls"),
    CALL(rt_sigreturn, EVERY | K(NAMES), "the end of a signal's handler"),
    CALL(sigaltstack, EVERY | K(NAMES), "a thread's end"),
    CALL_IF(tgkill, EVERY, 0, "CPUs are kicked, abort()", SELF(0)),
    NEEDS(SANDBOX_STUBS, tgkill, K(STUBS) | DEVICES | K(SHARE), 0,
          "stubs are kicked, also by who wrote what they execute; who else gets that signal ignores it",
          IS(2, SIGURG)),
    NEEDS(SANDBOX_STUBS, arch_prctl, K(STUBS) | DEVICES, 0, "no switch of CPUID's faulting on the way to a stub and back",
          IS(0, ARCH_CPUID_SET)),
    CALL_IF(prctl, EVERY | K(NAMES), 0, "a thread's name", IS(0, PR_GET_NAME)),
    CALL_IF(prctl, EVERY, 0, "a thread's name", IS(0, PR_SET_NAME)),
    CALL_IF(prctl, THREADS, 0, "a thread's beginning", IS(0, PR_GET_NO_NEW_PRIVS)),
    CALL(rseq, ALL, "a thread's beginning"),
    CALL(set_robust_list, ALL, "a thread's beginning"),
    CALL(exit, ALL, "a thread's end"),
    CALL(exit_group, EVERY | K(NAMES), "the process' end"),
    /* ---- Memory: never executable. The translator's was mapped before ---- */
    CALL(brk, EVERY, "malloc()"),
    CALL_IF(mmap, EVERY, EACCES, "malloc(); never executable", WITHOUT(2, PROT_EXEC)),
    CALL_IF(mprotect, EVERY, EACCES, "malloc(); write faults that count dirty pages", WITHOUT(2, PROT_EXEC)),
    CALL(munmap, EVERY, "free()"),
    CALL(mremap, EVERY, "realloc()"),
    CALL(mincore, K(LOOP) | K(SAVE), "which pages there are to save"),
    REFUSE(mlock, K(LOOP), EPERM, "PipeWire would have its buffers stay in memory, and goes on without"),
    CALL(madvise, EVERY, "free(); memory given back by a guest"),
    /* ---- Waiting for descriptors ---- */
    CALL(poll, EVERY | K(NAMES), "waits"),
    CALL(ppoll, ALL, "waits"),
    CALL(epoll_wait, K(LOOP) | K(NAT) | K(SOUND), "the event loop"),
    CALL(epoll_ctl, DEVICES | K(NAT) | K(SOUND), "what the loop watches"),
    CALL(epoll_create1, K(NAT) | K(CONTROL), "a network that comes later"),
    CALL(timerfd_settime, DEVICES | K(NAT) | K(SOUND) | K(WATCH), "device timers; those of TCP; when a sound server is late"),
    CALL(pipe2, K(LOOP) | K(SERVE) | K(WATCH), "the child that writes memory says that it has nothing else open"),
    CALL(eventfd2, K(LOOP) | SOCKETS, "a pause, a save, a connection"),
    NEEDS(SANDBOX_KVM, eventfd2, DEVICES | K(SHARE), 0, "a device's first message to KVM, from whichever thread it is", {0}),
    CALL(timerfd_create, K(LOOP) | K(NAT) | K(SOUND), "a device timer; a network's; a stream's"),
    CALL(fcntl, EVERY & ~K(CPU), "flags and locks of open files"),
    CALL(fstat, EVERY | K(NAMES), "sizes of open files; a CPU's fault in a file that was cut short (mem/mem_window.h)"),
    CALL(lseek, FILES | K(NAT) | K(DISK) | K(NBD) | K(SHARE) | K(SERVE) | K(WATCH), "holes; the C library, for names"),
    CALL(dup, K(LOOP) | K(SHARE) | SOCKETS, "descriptors handed on"),
    /* ---- Threads and processes ---- */
    REFUSE(clone3, EVERY, ENOSYS, "its flags cannot be looked at: the C library takes clone() then"),
    CALL_IF(clone, THREADS | K(SHARE) | K(NBD) | K(VNC), 0, "threads of this process", WITH(0, THREAD_FLAGS), WITHOUT(0, NAMESPACES | CLONE_PTRACE)),
    CALL_IF(clone, K(LOOP), 0, "a child that writes guest memory to a saved state", IS(0, 0)),
    CALL_IF(seccomp, THREADS, 0, "the beginning of a thread that may do less", IS(0, SECCOMP_SET_MODE_FILTER),
            IS(1, SECCOMP_FILTER_FLAG_SPEC_ALLOW)),
    CALL_IF(seccomp, K(SERVE) | K(WATCH), 0, "whether there is one", IS(0, SECCOMP_GET_ACTION_AVAIL)),
    CALL(landlock_create_ruleset, K(VIEW) | K(SERVE) | K(WATCH), "the same: which files it may open"),
    CALL(landlock_add_rule, K(SERVE) | K(WATCH), "the same"),
    CALL(landlock_restrict_self, THREADS, "the same"),
    CALL(capget, THREADS, "the same"),
    CALL(capset, THREADS, "the same: none comes back"),
    CALL(close_range, K(LOOP), "that child has nothing else open"),
    CALL(wait4, K(LOOP) | K(SAVE) | K(STUBS), "its end"),
    CALL_IF(waitid, K(LOOP) | K(STUBS), 0, "the end of a process of its own, by its descriptor", IS(0, 3 /* P_PIDFD */)),
    CALL(sched_getaffinity, ALL, "how many threads something takes; malloc() of many"),
    /* ---- Disks ---- */
    CALL(pread64, K(LOOP) | K(DISK) | K(SAVE) | K(SHARE) | K(VNC) | K(VIEW) | K(SERVE), "disks, saved states, what a viewer hands over"),
    CALL(pwrite64, DEVICES | K(DISK) | K(SAVE) | K(SHARE) | K(VIEW) | K(SERVE), "the same; firmware's variables; what a guest copied"),
    CALL(preadv, K(SHARE), "a guest's reads in shared directories"),
    CALL(preadv2, K(LOOP) | K(DISK), "disks"),
    CALL(pwritev2, K(LOOP) | K(DISK) | K(SHARE), "disks; a guest's writes in shared directories, each of which says whether it appends"),
    CALL(fsync, K(LOOP) | K(DISK) | K(SAVE) | K(SHARE) | K(WATCH), "a guest's flush; a file that is gone from a machine's folder"),
    CALL(fdatasync, DEVICES | K(DISK) | K(SAVE) | K(SHARE), "a guest's flush; firmware's variables"),
    CALL(fallocate, DEVICES | K(DISK) | K(SAVE) | K(SHARE) | K(VIEW) | K(SERVE), "discard, zeros, space; a picture's memory given back"),
    CALL(ftruncate, K(LOOP) | K(DISK) | K(SAVE) | K(SHARE), "a disk made longer"),
    NEEDS(SANDBOX_STUBS, ftruncate, K(STUBS), 0, "a stub's memory", {0}),
    CALL(sync_file_range, K(LOOP) | K(SAVE), "a saved state written as it grows"),
    CALL(flock, K(LOOP) | K(SHARE), "locks of images"),
    CALL(io_uring_enter, DEVICES, "disks: only reads, writes and flushes of files that the ring was given"),
    REFUSE(io_uring_setup, K(LOOP), EPERM, "a ring can do what no filter sees: disks that come later have threads"),
    /* ---- Sockets ---- */
    CALL(recvfrom, K(LOOP) | K(NBD) | K(STUBS) | K(NAT) | K(VNC) | K(NAMES) | SOCKETS, "open sockets"),
    CALL(recvmsg, K(LOOP) | K(NBD) | K(STUBS) | K(NAT) | K(VNC) | SOCKETS, "open sockets"),
    CALL(recvmmsg, K(LOOP) | K(NAT), "packets"),
    CALL(sendto, DEVICES | K(NBD) | K(STUBS) | K(NAT) | K(VNC) | SOCKETS, "open sockets"),
    CALL(sendmsg, DEVICES | K(NBD) | K(STUBS) | K(NAT) | K(VNC) | K(NAMES) | SOCKETS, "open sockets"),
    NEEDS(SANDBOX_NBD, sendmmsg, K(LOOP) | K(NBD), 0, "questions for names", {0}),
    NEEDS(SANDBOX_NET, accept, K(LOOP) | K(NAT), 0, "libslirp's forwards", {0}),
    CALL(accept4, K(LOOP) | K(NAT) | K(VNC) | K(SERVE), "serial lines, forwards, socket devices, viewers"),
    CALL_IF(socketpair, K(LOOP) | K(NBD) | K(VNC) | K(SERVE) | K(STUBS), 0,
            "a stub's descriptors; the program's end of a guest's connection, or of one in TLS; who answers an order", IS(0, AF_UNIX)),
    CALL(shutdown, K(LOOP) | K(NBD) | K(NAT) | K(VNC) | SOCKETS, "open sockets"),
    CALL(getsockopt, K(LOOP) | K(NBD) | K(NAT) | K(VNC) | SOCKETS, "what became of a connection"),
    CALL(setsockopt, K(LOOP) | K(NBD) | K(NAT) | K(VNC) | SOCKETS, "buffers, delays"),
    CALL(getsockname, K(LOOP) | K(NBD) | K(NAT) | SOCKETS, "addresses"),
    CALL(getpeername, K(NAT) | K(VNC) | SOCKETS, "addresses"),
    NEEDS(SANDBOX_NET, getpeername, K(LOOP) | K(NBD), 0,
          "an NBD server's address; libslirp's soread(), at the end of each connection, where NAT is in the machine's process", {0}),
    NEEDS(SANDBOX_NET, socket, K(LOOP) | K(NBD) | K(NAT), EACCES, "a guest's connections; an NBD server's", IS(0, AF_INET)),
    NEEDS(SANDBOX_NET, socket, K(LOOP) | K(NBD) | K(NAT), EACCES, "the same", IS(0, AF_INET6)),
    NEEDS(SANDBOX_VSOCK, socket, K(LOOP) | K(WATCH), EACCES,
          "what a guest's connections by the socket device go on to; a machine's control socket", IS(0, AF_UNIX)),
    NEEDS(SANDBOX_LOCAL, socket, K(LOOP) | K(NBD), EACCES, "an NBD server's on this host", IS(0, AF_UNIX)),
    NEEDS(SANDBOX_NBD, socket, K(LOOP) | K(NBD), EACCES, "addresses of this host, for names", IS(0, AF_NETLINK)),
    NEEDS(SANDBOX_NET | SANDBOX_VSOCK, connect, K(LOOP) | K(NBD) | K(NAT) | K(WATCH), 0, "connections", {0}),
    NEEDS(SANDBOX_NET, bind, K(LOOP) | K(NBD) | K(NAT), 0, "a guest's UDP, forwards", {0}),
    NEEDS(SANDBOX_NET, listen, K(LOOP) | K(NAT), 0, "forwards", {0}),
    /* ---- Files, by name: Landlock says which ---- */
    CALL(openat, FILES | K(NBD) | K(SHARE) | K(SERVE) | K(WATCH), "what Landlock allows"),
    CALL_IF(openat, K(NAMES) | K(VNC), 0, "resolv.conf, to read; the browser's page", WITHOUT(2, O_ACCMODE | O_CREAT | O_TRUNC)),
    REFUSE(openat, K(CPU) | K(NAT) | K(SOUND) | K(USB) | K(DISK) | K(STUBS) | K(TALK) | K(VIEW), EACCES,
           "malloc() asks whether memory may be promised"),
    CALL(newfstatat, FILES | K(NBD) | K(SHARE) | K(SERVE) | K(WATCH), "what is there"),
    REFUSE(newfstatat, K(NAT), EACCES, "libslirp looks for resolv.conf, which it does not get"),
    CALL_IF(newfstatat, (EVERY & ~K(CPU)) | K(NAMES), 0, "fstat() of glibc 2.33 to 2.38", WITH(3, AT_EMPTY_PATH)),
    CALL(statx, K(LOOP) | K(SHARE) | K(DISK), "what is there"),
    CALL(readlink, K(CONTROL), "where an image lies, when its disk gets a layer"),
    CALL(getcwd, K(CONTROL), "the same"),
    CALL(access, K(CONTROL), "what is there"),
    NEEDS(SANDBOX_NBD, access, K(LOOP) | K(NBD), 0, "the C library, for names", {0}),
    RARE(lstat, FILES, "what is there, by C libraries before glibc 2.33"),
    RARE(stat, FILES, "the same"),
    REFUSE(stat, K(NAT), EACCES, "as newfstatat, by older C libraries"),
    CALL(unlink, FILES, "sockets that it made; a save that failed"),
    CALL(unlinkat, FILES | K(SHARE) | K(WATCH), "the same"),
    CALL(rename, FILES, "a saved state gets its name"),
    CALL(renameat, FILES | K(SHARE), "the same"),
    CALL(renameat2, FILES | K(SHARE), "the same"),
    CALL(linkat, FILES | K(SHARE), "the same"),
    CALL(link, K(CONTROL), "the same"),
    CALL(fchmod, FILES | K(SHARE), "its mode"),
    /* ---- Shared directories ---- */
    CALL_IF(unshare, K(SHARE), 0, "a umask of its own", IS(0, CLONE_FS)),
    CALL(umask, K(SHARE), "files have the mode that the guest says"),
    CALL(openat2, K(SHARE) | K(WATCH), "what does not leave the directory"),
    CALL(getdents64, K(SHARE), "lists"),
    NEEDS(SANDBOX_NBD, getdents64, K(LOOP) | K(NBD), 0, "p11-kit's folders of certificates", {0}),
    CALL(readlinkat, K(SHARE), "links"),
    CALL(symlinkat, K(SHARE), "links"),
    CALL(mkdirat, K(SHARE), "folders"),
    CALL(mknodat, K(SHARE), "pipes and sockets"),
    CALL(chmod, K(SHARE), "modes"),
    CALL(chown, K(SHARE), "owners"),
    CALL(fchownat, K(SHARE), "owners"),
    CALL(utimensat, K(SHARE), "times"),
    CALL(getxattr, K(SHARE), "attributes"),
    CALL(lgetxattr, K(SHARE), "attributes"),
    CALL(setxattr, K(SHARE), "attributes"),
    CALL(listxattr, K(SHARE), "attributes"),
    CALL(removexattr, K(SHARE), "attributes"),
    CALL(fstatfs, K(LOOP) | K(SHARE) | K(WATCH), "room; which locks an image may have"),
    CALL(syncfs, K(SHARE), "a guest's sync"),
    CALL(copy_file_range, K(SHARE), "copies"),
    CALL(uname, ALL & ~K(CPU), "the C library"),
    CALL(getegid, FILES | K(SHARE) | K(NBD) | PROGRAM, "whose a file is"),
    CALL(geteuid, FILES | K(SHARE) | K(NBD) | PROGRAM, "whose a file is"),
    CALL(getuid, PROGRAM, "the same"),
    NEEDS(SANDBOX_NBD, getuid, K(LOOP) | K(NBD), 0, "whose name a server in TLS is told", {0}),
    /* ---- ioctl(), by number ---- */
    IOCTL(SANDBOX_KVM, DEVICES, KVM_CHECK_EXTENSION, "how interrupts and doorbells can be made"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_RUN, "the CPU"),
    IOCTL(SANDBOX_KVM, DEVICES, KVM_SMI, "firmware that lives in System Management Mode is called"),
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
    IOCTL(SANDBOX_KVM, DEVICES | K(SHARE), KVM_IRQ_LINE, "interrupts"),
    IOCTL(SANDBOX_KVM, DEVICES | K(SHARE), KVM_SIGNAL_MSI, "interrupts"),
    IOCTL(SANDBOX_KVM, DEVICES | K(SHARE), KVM_SET_GSI_ROUTING, "interrupts"),
    IOCTL(SANDBOX_KVM, DEVICES | K(SHARE), KVM_IRQFD, "interrupts"),
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
    IOCTL(SANDBOX_USB, K(LOOP) | K(USB), USBDEVFS_SUBMITURB, "a USB device of the host: a transfer begins"),
    IOCTL(SANDBOX_USB, K(LOOP) | K(USB), USBDEVFS_REAPURBNDELAY, "a USB device of the host: it has ended"),
    IOCTL(SANDBOX_USB, K(LOOP) | K(USB), USBDEVFS_DISCARDURB, "a USB device of the host: it is taken back"),
    IOCTL(SANDBOX_USB, K(LOOP) | K(USB), USBDEVFS_CONTROL, "a USB device of the host: in which configuration it is"),
    IOCTL(SANDBOX_USB, K(LOOP) | K(USB), USBDEVFS_GET_CAPABILITIES, "a USB device of the host: how transfers may be"),
    IOCTL(SANDBOX_USB, K(LOOP) | K(USB), USBDEVFS_CONNECTINFO, "a USB device of the host: where it is plugged in"),
    IOCTL(SANDBOX_USB, K(LOOP) | K(USB), USBDEVFS_GET_SPEED, "a USB device of the host: how fast it is"),
    IOCTL(SANDBOX_USB, K(LOOP) | K(USB), USBDEVFS_GETDRIVER, "a USB device of the host: whether a driver of the host has it"),
    IOCTL(SANDBOX_USB, K(LOOP) | K(USB), USBDEVFS_IOCTL, "a USB device of the host: that lets go of it, or has it again"),
    IOCTL(SANDBOX_USB, K(LOOP) | K(USB), USBDEVFS_CLAIMINTERFACE, "a USB device of the host: it is ours"),
    IOCTL(SANDBOX_USB, K(LOOP) | K(USB), USBDEVFS_DISCONNECT_CLAIM, "a USB device of the host: both in one"),
    IOCTL(SANDBOX_USB, K(LOOP) | K(USB), USBDEVFS_RELEASEINTERFACE, "a USB device of the host: it is not any more"),
    IOCTL(SANDBOX_USB, K(LOOP) | K(USB), USBDEVFS_SETCONFIGURATION, "a USB device of the host: what the guest chooses"),
    IOCTL(SANDBOX_USB, K(LOOP) | K(USB), USBDEVFS_SETINTERFACE, "a USB device of the host: the same"),
    IOCTL(SANDBOX_USB, K(LOOP) | K(USB), USBDEVFS_CLEAR_HALT, "a USB device of the host: what the guest asks for"),
    IOCTL(SANDBOX_USB, K(LOOP) | K(USB), USBDEVFS_RESET, "a USB device of the host: the same; and before it is given back"),
    IOCTL(0, K(LOOP), TUNSETOFFLOAD, "what a tap's guest takes"),
    IOCTL(0, K(LOOP), TUNSETVNETHDRSZ, "the same"),
    IOCTL(0, K(LOOP), PAGEMAP_LOOK, "which memory there is, before a child process writes it to a saved state"),
    IOCTL(0, K(LOOP) | K(DISK), BLKDISCARD, "a guest's discard on a block device"),
    IOCTL(0, K(LOOP) | K(DISK), BLKGETSIZE64, "its size"),
    IOCTL(0, K(LOOP) | K(DISK), BLKSSZGET, "its blocks"),
    IOCTL(0, K(LOOP) | K(DISK), BLKPBSZGET, "its blocks"),
    IOCTL(0, K(VNC) | K(VIEW) | K(SERVE), SIOCOUTQ, "how much a viewer, or the machine, has not read yet"),
    IOCTL(0, K(VNC), FIONREAD, "how much a viewer has said"),
    IOCTL(SANDBOX_NET, K(LOOP) | K(NBD) | K(NAT), FIONREAD, "how much a guest's UDP socket has; an answer for names"),
    IOCTL(SANDBOX_NET, K(LOOP) | K(NBD) | K(NAT), SIOCGIFINDEX, "which interface fe80::1%eth0 is behind, of a server or in resolv.conf"),
    IOCTL(0, K(LOOP) | K(NAT), TCGETS, "is it a terminal? GLib asks that of where a warning goes, too"),
    IOCTL(0, K(CONTROL), TIOCGWINSZ, "how large the terminal is"),
    IOCTL(0, K(CONTROL), TIOCGPTN, "a pseudo-terminal for a port"),
    IOCTL(0, K(CONTROL), TIOCSPTLCK, "the same"),
    IOCTL(0, K(CONTROL), TCSETS, "the terminal as it was"),
    IOCTL(0, K(CONTROL), TCSETSW, "the same"),
    IOCTL(0, K(CONTROL), TCSETSF, "the same"),
    IOCTL(0, K(CONTROL), TCFLSH, "the same"),
    IOCTL(0, K(CONTROL), FIONBIO, "a socket's flags"),
    IOCTL(0, K(CONTROL), TUNSETIFF, "a tap interface that comes later"),
    IOCTL(0, K(CONTROL), TUNGETFEATURES, "the same"),
    IOCTL(0, K(CONTROL), SIOCGIFMTU, "the same"),
    IOCTL(0, K(CONTROL), SIOCGIFFLAGS, "the same"),
    IOCTL(0, K(CONTROL), SIOCSIFFLAGS, "the same"),
    IOCTL(0, K(CONTROL), SIOCBRADDIF, "the same: its bridge"),
    IOCTL(0, K(LOOP), TIOCSWINSZ, "a pseudo-terminal's size"),
    /* ---- VNC ---- */
    CALL(dup3, K(VNC), "a descriptor where the library expects it"),
    CALL(sendfile, K(VNC), "the page with the viewer"),
    CALL(select, K(VNC), "the VNC library's waits"),
    CALL(pselect6, K(VNC), "the same"),
    /* ---- A program's own threads ---- */
    CALL(fanotify_init, K(WATCH), "what the host changes in shared directories"),
    CALL(fanotify_mark, K(WATCH), "the same"),
    CALL(name_to_handle_at, K(WATCH), "the same: which folder that is"),
    CALL(faccessat, K(WATCH), "what is there"),
    CALL_IF(prlimit64, K(WATCH), 0, "how many descriptors there may be", IS(0, 0), IS(2, 0)),
    CALL_IF(kill, K(CONTROL), EPERM, "it stops with its terminal", SELF(0)),
    CALL(rt_sigaction, K(CONTROL), "what a signal does that ends the process"),
    CALL(signalfd4, K(CONTROL), "signals"),
    CALL(rt_sigpending, K(CONTROL), "SIGPIPE, of a connection to the guest's agent, is taken back"),
    CALL(rt_sigtimedwait, K(CONTROL), "the same"),
    NEEDS(SANDBOX_KVM, rt_sigtimedwait, DEVICES, 0, "a kick that came between two runs", {0}),
    CALL(fchdir, K(CONTROL), "the machine's folder"),
    CALL(mkdir, K(CONTROL), "folders of machines"),
    REFUSE(mkdir, FILES, EACCES, "the user's key for saved states is gone, with its folder: the save fails"),
    CALL(rmdir, K(CONTROL), "the same"),
    CALL(faccessat2, K(CONTROL), "what is there"),
    CALL(getgid, PROGRAM, "the same"),
    CALL(sysinfo, EVERY, "how much memory there is: qsort(), before glibc 2.37"),
    /* ---- Direct execution ---- */
    CALL(memfd_create, K(LOOP) | K(VNC) | K(VIEW) | K(SERVE), "what a guest or a viewer copied: the loop where it delivers completions"),
    NEEDS(SANDBOX_STUBS, memfd_create, K(STUBS), 0, "a stub's memory", {0}),
    CALL_IF(pidfd_send_signal, K(LOOP), 0, "a process of its own that does not end by itself", IS(1, SIGKILL)),
    NEEDS(SANDBOX_STUBS, pidfd_send_signal, K(STUBS) | DEVICES, 0, "its end: only processes that it has a descriptor of", {0}),
};

const struct sandbox_row *sandbox_rows(unsigned *ret_count)
{
    *ret_count = ARRAY_SIZE(rows);
    return rows;
}

/* What makes a disk or a share for a machine that runs makes their threads, which may do no more than it. */
uint32_t sandbox_kinds_of(enum thread_kind kind)
{
    return kind == THREAD_CONTROL ? K(LOOP) | K(DISK) | K(SHARE) | K(SAVE) | K(USB) | PROGRAM : (uint32_t)BIT(kind);
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
    static const char *const name[] = {"free", "loop", "cpu", "disk", "nbd", "share", "stubs", "save", "usb", "nat", "names", "vnc", "sound", "talk", "view", "serve",
                                       "watch", "control"};

    return kind < ARRAY_SIZE(name) ? name[kind] : "?";
}
