/* SPDX-License-Identifier: MIT */
/* Facts about the computer we run on. Most are in files, which tests lay out as they like in a
 * folder of their own; the others come from trying (host_try()). What they mean is said in
 * host_judge.h. */
#ifndef VZ_HOST_HOST_FACTS_H
#define VZ_HOST_HOST_FACTS_H

#include <sys/types.h>

#include "base/compiler.h"

#define HOST_UNLIMITED UINT64_MAX

/* A device node. */
struct host_node {
    bool exists;
    uid_t uid;
    gid_t gid;
    mode_t mode;       /* permission bits */
    char group[64];    /* its group's name, or number */
    bool in_group;     /* this process is */
    bool enlisted;     /* /etc/group says that the user is */
    int open_error;    /* errno of opening it for reading and writing; 0: it opens */
};

struct host_facts {
    /* The CPU, from /proc/cpuinfo */
    bool intel, amd;   /* whose virtualization it would have */
    bool vmx, svm;     /* and has */
    bool hypervisor;   /* we are in a virtual machine ourselves */
    char crypto[128];  /* "AES, SHA, ..." */
    /* The kernel and where we are in it */
    bool container;
    bool module_kvm, module_vendor; /* kvm, and kvm_intel or kvm_amd */
    bool modules_known, module_file; /* /lib/modules has this kernel's, with KVM among them */
    char user[64];     /* the name; where /etc/passwd has none, the number */
    bool user_listed;  /* it has one: what usermod can change */
    uid_t uid;
    bool cap_net_admin;
    bool cap_setuid; /* and CAP_SETGID: it can become another user */
    bool seccomp;      /* a filter is on this process */
    /* Devices */
    struct host_node kvm, tun;
    bool module_tun;
    /* Settings */
    int io_uring_disabled;   /* the sysctl; -1: there is none */
    char thp[16]; /* "always", "madvise", "never"; "": the kernel has none */
    uint64_t huge_total, huge_free, huge_kib; /* hugetlb pages, and their size */
    /* Memory, in bytes; HOST_UNLIMITED */
    uint64_t memory_total, memory_available, cgroup_limit, cgroup_used, address_space, locked;
    /* Found out by trying */
    int probe_error;         /* errno of the backend's probe, after /dev/kvm opened; EINVAL: this build
                              * has no such backend; those of a host that is full or in use as they are */
    char probe_text[256];
    int io_uring_error, jit_error; /* errno */
    int isa_level;                 /* x86-64-vN: 1 to 4, by CPUID: kernels hide some of it */
    uint64_t direct_trap_ns;       /* an event of a program in a stub, and back; 0: there can be none, */
    char direct_why[160];          /* because of this */
    bool direct_cpuid_faults;
    int seccomp_error;             /* errno of asking for filters that tell; 0: there are such */
    int landlock;                  /* its level; 0: there is none */
    unsigned namespaces;           /* that processes of ours get: enum sandbox_world */
    int program_error;             /* errno of a program in a memory file, which processes of ours are; 0: it can be run */
    int ping_error, raw_error;     /* errno of a socket for pings, and of a raw one */
    char automatic[16];      /* the accelerator that "auto" chooses */
};

/* What CPUID says of instructions: leaf 1's ECX, leaf 7's EBX, 80000001h's ECX; and XCR0, 0 without XGETBV. */
struct host_cpuid {
    uint32_t ecx_1, ebx_7, ecx_80000001;
    uint64_t xcr0;
};

/* N of x86-64-vN. */
int host_isa_level(const struct host_cpuid *c);

/* Read what files say, below the folder root ("" for the real ones). Missing files are missing
 * things; nothing fails. */
void host_facts_read(struct host_facts *f, const char *root);

/* Try what can only be tried, apart from accelerators: open the device nodes, set up an io_uring,
 * map code, run code in a stub (which is a process, for some 50 ms). */
void host_facts_try(struct host_facts *f);

#endif
