/* SPDX-License-Identifier: MIT */
/* Facts from trees of files made for it, and what is said about them. */
#include "host/host_facts.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/host_judge.h"
#include "unit.h"

/* ---- A tree ---- */

static char root[64];

static void put(const char *path, const char *text)
{
    char full[512];
    FILE *f;

    snprintf(full, sizeof(full), "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0755);
        *slash = '/';
    }
    f = fopen(full, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static void tree(void)
{
    strcpy(root, "/tmp/vz-host-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void read_and_remove(struct host_facts *f)
{
    host_facts_read(f, root);
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- Facts ---- */

START_TEST(test_an_empty_tree)
{
    struct host_facts f;

    tree();
    read_and_remove(&f);
    ck_assert(!f.kvm.exists && !f.tun.exists && !f.vmx && !f.svm && !f.hypervisor);
    ck_assert_int_eq(f.io_uring_disabled, -1);
    ck_assert(f.cgroup_limit == HOST_UNLIMITED && f.address_space == HOST_UNLIMITED);
    ck_assert_str_eq(f.thp, "");
}
END_TEST

START_TEST(test_an_intel_laptop)
{
    struct host_facts f;

    tree();
    put("/proc/cpuinfo",
        "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: x svm\n"
        "flags\t\t: fpu vmx cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3 avx avx2 bmi1 bmi2 f16c fma abm "
        "movbe aes rdrand\nvmx flags\t: vnmi\n");
    put("/proc/self/status", "Name:\tx\nUid:\t0\t1000\t0\t0\nGid:\t1000\t1000\t1000\t1000\n"
                             "Groups:\t27 108 \nCapEff:\t00000000000010c0\nSeccomp:\t2\n");
    put("/etc/passwd", "root:x:0:0::/:/bin/sh\nada:x:1000:1000::/:/bin/sh\n");
    put("/etc/group", "root:x:0:\nkvm:x:108:bob,ada\n");
    put("/proc/sys/kernel/osrelease", "6.1.0-1\n");
    put("/lib/modules/6.1.0-1/kernel/arch/x86/kvm/kvm.ko", "");
    put("/sys/module/kvm/refcnt", "");
    put("/sys/module/kvm_intel/refcnt", "");
    put("/proc/sys/kernel/io_uring_disabled", "2\n");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    put("/proc/meminfo", "MemTotal:  2048 kB\nMemAvailable:  1024 kB\nHugePages_Total:  4\n"
                         "HugePages_Free:  3\nHugepagesize:  2048 kB\n");
    put("/proc/self/limits", "Limit  Soft Limit  Hard Limit  Units\n"
                             "Max locked memory         65536   65536   bytes\n"
                             "Max address space         unlimited   unlimited   bytes\n");
    put("/dev/kvm", "");
    read_and_remove(&f);
    ck_assert(f.intel && f.vmx && !f.svm && !f.hypervisor && !f.container);
    ck_assert_str_eq(f.crypto, "AES, RDRAND");
    ck_assert_str_eq(f.user, "ada");
    ck_assert(f.cap_net_admin && f.cap_setuid && f.seccomp && f.module_kvm && f.module_vendor && f.module_file);
    ck_assert_int_eq(f.io_uring_disabled, 2);
    ck_assert_str_eq(f.thp, "madvise");
    ck_assert_uint_eq(f.memory_total, 2 * MIB);
    ck_assert(f.huge_total == 4 && f.huge_free == 3 && f.huge_kib == 2048);
    ck_assert_uint_eq(f.locked, 65536);
    ck_assert_uint_eq(f.address_space, HOST_UNLIMITED);
    ck_assert(f.kvm.exists);
    ck_assert_uint_eq(f.kvm.gid, getegid());
}
END_TEST

START_TEST(test_the_group_of_a_node)
{
    struct host_facts f;
    char text[256];

    tree();
    put("/dev/kvm", "");
    snprintf(text, sizeof(text), "Uid:\t7\t7\nGid:\t1\t1\nGroups:\t9 1%u %u \n", (unsigned)getegid(),
             (unsigned)getegid());
    put("/proc/self/status", text);
    snprintf(text, sizeof(text), "other:x:9:\nkvm:x:%u:bob,eve\n", (unsigned)getegid());
    put("/etc/group", text);
    put("/etc/passwd", "eve:x:7:7::/:\n");
    put("/.dockerenv", "");
    read_and_remove(&f);
    ck_assert_str_eq(f.kvm.group, "kvm");
    ck_assert(f.kvm.in_group && f.kvm.enlisted && f.container);

    tree(); /* in neither; names that begin alike are others */
    put("/dev/kvm", "");
    snprintf(text, sizeof(text), "Uid:\t7\t7\nGid:\t1%u\t1\nGroups:\t\n", (unsigned)getegid());
    put("/proc/self/status", text);
    snprintf(text, sizeof(text), "kvm:x:%u:eve2\n", (unsigned)getegid());
    put("/etc/group", text);
    put("/etc/passwd", "eve:x:7:7::/:\n");
    read_and_remove(&f);
    ck_assert(!f.kvm.in_group && !f.kvm.enlisted);
}
END_TEST

START_TEST(test_control_groups)
{
    struct host_facts f;

    tree(); /* version 2: the tightest of the groups above */
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    put("/sys/fs/cgroup/a/memory.max", "1048576\n");
    put("/sys/fs/cgroup/a/memory.current", "4096\n");
    put("/sys/fs/cgroup/memory.max", "2097152\n");
    read_and_remove(&f);
    ck_assert_uint_eq(f.cgroup_limit, 1048576);
    ck_assert_uint_eq(f.cgroup_used, 4096);

    tree(); /* version 1, in a container: the path is the host's */
    put("/proc/self/cgroup", "9:memory:/docker/abc\n1:cpu:/docker/abc\n0::/\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "3145728\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n");
    read_and_remove(&f);
    ck_assert_uint_eq(f.cgroup_limit, 3145728);

    tree(); /* version 1's way to say none */
    put("/proc/self/cgroup", "9:cpu,memory:/\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    read_and_remove(&f);
    ck_assert_uint_eq(f.cgroup_limit, HOST_UNLIMITED);
}
END_TEST

START_TEST(test_kvm_that_is_built_in)
{
    struct host_facts f;

    tree();
    put("/proc/sys/kernel/osrelease", "6.1.0-1\n");
    put("/lib/modules/6.1.0-1/modules.builtin", "kernel/fs/ext4.ko\nkernel/arch/x86/kvm/kvm.ko\n");
    read_and_remove(&f);
    ck_assert(f.modules_known && f.module_file);

    tree();
    put("/proc/sys/kernel/osrelease", "6.1.0-1\n");
    put("/lib/modules/6.1.0-1/modules.builtin", "kernel/fs/ext4.ko\n");
    read_and_remove(&f);
    ck_assert(f.modules_known && !f.module_file);
}
END_TEST

START_TEST(test_this_computer)
{
    struct host_facts f;

    host_facts_read(&f, "");
    host_facts_try(&f);
    ck_assert_uint_gt(f.memory_total, 0);
    ck_assert(f.intel || f.amd || f.isa_level >= 1);
    ck_assert_int_eq(f.kvm.exists, access("/dev/kvm", F_OK) == 0);
    ck_assert_int_eq(f.uid, geteuid());
    if (!f.kvm.exists)
        ck_assert_int_eq(f.kvm.open_error, ENOENT);
}
END_TEST

/* ---- Findings ---- */

static const struct host_finding *find(const struct host_findings *r, const char *topic,
                                       const char *code)
{
    for (unsigned i = 0; i < r->count; i++) {
        if (!strcmp(r->item[i].topic, topic) && !strcmp(r->item[i].code, code))
            return &r->item[i];
    }
    return NULL;
}

/* A computer where all is well. */
static struct host_facts good(void)
{
    return (struct host_facts){
        .intel = true, .vmx = true, .isa_level = 3, .crypto = "AES", .direct_trap_ns = 9000, .landlock = 7, .namespaces = 63,
        .module_kvm = true,
        .module_vendor = true, .modules_known = true, .module_file = true, .user = "ada",
        .user_listed = true, .cap_net_admin = true, .cap_setuid = true, .automatic = "kvm",
        .thp = "madvise",
        .kvm = {.exists = true, .mode = 0660, .gid = 108, .group = "kvm"},
        .tun = {.exists = true, .mode = 0666}, .module_tun = true, .io_uring_disabled = 0,
        .memory_total = GIB, .memory_available = GIB / 2, .cgroup_limit = HOST_UNLIMITED,
        .address_space = HOST_UNLIMITED, .locked = HOST_UNLIMITED};
}

static struct host_findings judged;

/* The finding that these facts lead to, with every text a sentence. */
static const struct host_finding *judge(const struct host_facts *f, const char *topic,
                                        const char *code)
{
    const struct host_finding *found;

    host_judge(f, &judged);
    for (unsigned i = 0; i < judged.count; i++) {
        size_t len = strlen(judged.item[i].text);

        ck_assert_uint_gt(len, 10);
        ck_assert_uint_lt(len, sizeof(judged.item[i].text) - 1);
        ck_assert_int_eq(judged.item[i].text[len - 1], '.');
    }
    ck_assert_str_eq(judged.item[0].topic, "accelerator");
    found = find(&judged, topic, code);
    ck_assert_msg(found != NULL, "no %s/%s", topic, code);
    return found;
}

#define judge_kvm(f, code_) judge(f, "kvm", code_)

START_TEST(test_all_is_well)
{
    struct host_facts f = good();

    judge_kvm(&f, "works");
    for (unsigned i = 0; i < judged.count; i++) {
        ck_assert_int_eq(judged.item[i].level, VZ_HOST_GOOD);
        ck_assert_str_eq(judged.item[i].command, "");
    }
    ck_assert_uint_eq(judged.count, 13);
}
END_TEST

START_TEST(test_no_kvm_node)
{
    struct host_facts f = good();

    f.kvm = (struct host_node){.open_error = ENOENT};
    ck_assert_ptr_nonnull(strstr(judge_kvm(&f, "no-node")->command, "mknod"));
    f.container = true;
    ck_assert_ptr_nonnull(strstr(judge_kvm(&f, "not-in-container")->text, "--device /dev/kvm"));
    f.module_vendor = false;
    ck_assert_str_eq(judge_kvm(&f, "modules-missing")->command, "");
    f.container = false;
    ck_assert_str_eq(judge_kvm(&f, "modules-missing")->command, "sudo modprobe kvm_intel");
    f.vmx = f.intel = false;
    f.svm = f.amd = true;
    ck_assert_str_eq(judge_kvm(&f, "modules-missing")->command, "sudo modprobe kvm_amd");
    f.module_file = false;
    judge_kvm(&f, "no-module");
    f.modules_known = false; /* nobody knows: try it */
    judge_kvm(&f, "modules-missing");
}
END_TEST

START_TEST(test_no_virtualization)
{
    struct host_facts f = good();

    f.kvm = (struct host_node){.open_error = ENOENT};
    f.module_vendor = f.vmx = false;
    ck_assert_ptr_nonnull(strstr(judge_kvm(&f, "virtualization-off")->text, "firmware"));
    f.hypervisor = true;
    ck_assert_ptr_nonnull(strstr(judge_kvm(&f, "nested-off")->command, "kvm_intel nested=1"));
    f.intel = false;
    f.amd = true;
    ck_assert_ptr_nonnull(strstr(judge_kvm(&f, "nested-off")->command, "kvm_amd nested=1"));
}
END_TEST

START_TEST(test_no_permission)
{
    struct host_facts f = good();
    const struct host_finding *h;

    f.automatic[0] = 's';
    f.kvm.open_error = EACCES;
    h = judge_kvm(&f, "no-permission");
    ck_assert_str_eq(h->command, "sudo usermod -aG kvm ada");
    f.user_listed = false;
    f.uid = 4711;
    ck_assert_str_eq(judge_kvm(&f, "no-permission")->command, "sudo setfacl -m u:4711:rw /dev/kvm");
    f.user_listed = true;
    ck_assert_ptr_nonnull(strstr(h->text, "group kvm"));
    f.kvm.enlisted = true;
    ck_assert_str_eq(judge_kvm(&f, "log-in-again")->command, "newgrp kvm");
    f.kvm.in_group = true;
    judge_kvm(&f, "denied");
    f.kvm.mode = 0600;
    ck_assert_ptr_nonnull(strstr(judge_kvm(&f, "no-permission")->command, "chmod 660 /dev/kvm"));
    f.kvm.open_error = EPERM;
    judge_kvm(&f, "not-in-container");
    f.kvm.open_error = EIO;
    judge_kvm(&f, "cannot-open");
    f.kvm.open_error = ENODEV; /* as without the node */
    f.module_vendor = false;
    judge_kvm(&f, "modules-missing");
}
END_TEST

START_TEST(test_kvm_that_does_not_work)
{
    struct host_facts f = good();

    strcpy(f.automatic, "soft");
    f.probe_error = ENOTSUP;
    strcpy(f.probe_text, "/dev/kvm has no clock");
    ck_assert_ptr_nonnull(strstr(judge_kvm(&f, "broken")->text, "has no clock. "));
    ck_assert_int_eq(judge(&f, "accelerator", "soft")->level, VZ_HOST_NOTE);
    f.probe_error = EBUSY;
    judge_kvm(&f, "in-use");
    f.probe_error = ENOMEM;
    ck_assert_str_eq(judge_kvm(&f, "full")->command, "");
    f.probe_error = EMFILE;
    ck_assert_ptr_nonnull(strstr(judge_kvm(&f, "full")->command, "ulimit -n"));
    f.probe_error = EINVAL;
    judge_kvm(&f, "not-built");
    f.automatic[0] = '\0';
    ck_assert_int_eq(judge(&f, "accelerator", "none")->level, VZ_HOST_PROBLEM);
}
END_TEST

START_TEST(test_ping)
{
    struct host_facts f = good();

    judge(&f, "ping", "works");
    f.ping_error = EACCES;
    judge(&f, "ping", "works"); /* by a raw socket */
    f.raw_error = EPERM;
    ck_assert_ptr_nonnull(strstr(judge(&f, "ping", "no-permission")->command,
                                 "net.ipv4.ping_group_range"));
}
END_TEST

START_TEST(test_io_uring)
{
    struct host_facts f = good();

    judge(&f, "io_uring", "works");
    f.io_uring_error = EPERM;
    judge(&f, "io_uring", "refused");
    f.seccomp = true;
    judge(&f, "io_uring", "seccomp");
    f.io_uring_disabled = 2;
    ck_assert_str_eq(judge(&f, "io_uring", "disabled")->command,
                     "sudo sysctl kernel.io_uring_disabled=0");
    f.io_uring_disabled = -1;
    f.io_uring_error = ENOSYS;
    judge(&f, "io_uring", "seccomp");
    f.seccomp = false;
    judge(&f, "io_uring", "none");
}
END_TEST

START_TEST(test_huge_pages)
{
    struct host_facts f = good();

    judge(&f, "huge-pages", "on");
    f.huge_total = 8;
    judge(&f, "huge-pages", "reserved");
    strcpy(f.thp, "never");
    ck_assert_ptr_nonnull(strstr(judge(&f, "huge-pages", "off")->command, "echo madvise"));
    f.thp[0] = '\0';
    judge(&f, "huge-pages", "none");
}
END_TEST

START_TEST(test_memory)
{
    struct host_facts f = good();

    judge(&f, "memory", "free");
    f.locked = 8 * MIB;
    judge(&f, "memory", "locked");
    f.cgroup_limit = 256 * MIB;
    ck_assert_ptr_nonnull(strstr(judge(&f, "memory", "cgroup")->text, "256 MiB"));
    ck_assert_ptr_null(find(&judged, "memory", "free"));
    f.address_space = 512 * MIB;
    ck_assert_str_eq(judge(&f, "memory", "address-space")->command, "ulimit -v unlimited");
}
END_TEST

START_TEST(test_tap)
{
    struct host_facts f = good();

    judge(&f, "tap", "works");
    f.cap_net_admin = false;
    ck_assert_ptr_nonnull(strstr(judge(&f, "tap", "no-privilege")->command, "user ada"));
    f.tun.open_error = EACCES;
    judge(&f, "tap", "no-permission");
    f.tun.exists = false;
    ck_assert_str_eq(judge(&f, "tap", "no-node")->command, "sudo modprobe tun");
}
END_TEST

START_TEST(test_the_software_cpu)
{
    struct host_facts f = good();
    const struct host_finding *h;

    f.isa_level = 4;
    h = judge(&f, "software-cpu", "works");
    ck_assert_ptr_nonnull(strstr(h->text, "x86-64-v3 (to AVX2, FMA and BMI2), AES."));
    f.isa_level = 2;
    h = judge(&f, "software-cpu", "works");
    ck_assert(h->level == VZ_HOST_NOTE && strstr(h->text, "x86-64-v2 "));
    f.jit_error = EACCES;
    ck_assert_int_eq(judge(&f, "software-cpu", "no-code-memory")->level, VZ_HOST_PROBLEM);
}
END_TEST

START_TEST(test_levels_of_the_instruction_set)
{
    /* AMD's Zen 4, whose Linux may leave "abm" out of /proc/cpuinfo */
    struct host_cpuid c = {0xfef83203, 0xf1bf07a9, 0x75c237ff, 0xe7};

    ck_assert_int_eq(host_isa_level(&c), 4);
    c.xcr0 = 7; /* the kernel does not keep AVX-512's registers */
    ck_assert_int_eq(host_isa_level(&c), 3);
    c.ecx_80000001 &= ~UINT32_C(0x20);
    ck_assert_int_eq(host_isa_level(&c), 2);
    c.ecx_80000001 |= 0x20;
    c.xcr0 = 0;
    ck_assert_int_eq(host_isa_level(&c), 2);
    c.ecx_1 &= ~(UINT32_C(1) << 19);
    ck_assert_int_eq(host_isa_level(&c), 1);
}
END_TEST

START_TEST(test_direct_execution)
{
    struct host_facts f = good();
    const struct host_finding *h;

    f.direct_trap_ns = 8765;
    h = judge(&f, "direct", "works");
    ck_assert(h->level == VZ_HOST_GOOD && strstr(h->text, " 8.7 us more.") && strstr(h->text, " CPUID, "));
    f.direct_cpuid_faults = true;
    ck_assert_ptr_null(strstr(judge(&f, "direct", "works")->text, "CPUID"));
    f.direct_trap_ns = 123456;
    h = judge(&f, "direct", "slow");
    ck_assert(h->level == VZ_HOST_NOTE && strstr(h->text, " 123 us "));
    f.direct_trap_ns = 0;
    snprintf(f.direct_why, sizeof(f.direct_why), "user code cannot be interrupted");
    h = judge(&f, "direct", "refused");
    ck_assert(h->level == VZ_HOST_NOTE && strstr(h->text, ": user code cannot be interrupted."));
}
END_TEST

START_TEST(test_sandbox)
{
    struct host_facts f = good();
    const struct host_finding *h;

    f.landlock = 7;
    h = judge(&f, "sandbox", "works");
    ck_assert(h->level == VZ_HOST_GOOD && strstr(h->text, "(level 7)"));
    f.landlock = 3;
    ck_assert_ptr_nonnull(strstr(judge(&f, "sandbox", "old-landlock")->text, "3 does not refuse TCP"));
    f.landlock = 2;
    ck_assert_ptr_nonnull(strstr(judge(&f, "sandbox", "old-landlock")->text, "2 does not refuse to truncate"));
    f.landlock = 0;
    ck_assert_int_eq(judge(&f, "sandbox", "no-landlock")->level, VZ_HOST_NOTE);
    h = judge(&f, "sandbox", "namespaces");
    ck_assert(h->level == VZ_HOST_GOOD && strstr(h->text, "users, processes, files, IPC, host name, control groups."));
    f.namespaces = 4 | 8;
    ck_assert_ptr_nonnull(strstr(judge(&f, "sandbox", "namespaces")->text, "nothing: files, IPC."));
    f.namespaces = 0;
    h = judge(&f, "sandbox", "no-namespaces");
    ck_assert(h->level == VZ_HOST_NOTE && strstr(h->text, "(own namespaces: none)"));
    ck_assert(strstr(judge(&f, "sandbox", "processes")->text, "by filters; for NBD own namespaces: none."));
    f.landlock = 7;
    f.namespaces = 63;
    h = judge(&f, "sandbox", "processes");
    ck_assert(h->level == VZ_HOST_GOOD &&
              strstr(h->text, "by filters, files by Landlock; for NBD own namespaces: users, IPC, host name, control groups."));
    f.program_error = EACCES;
    h = judge(&f, "sandbox", "no-processes");
    ck_assert(h->level == VZ_HOST_NOTE && strstr(h->text, "(Permission denied)"));
    f.uid = 0;
    ck_assert_int_eq(judge(&f, "sandbox", "leaves-root")->level, VZ_HOST_GOOD);
    f.cap_setuid = false;
    ck_assert_int_eq(judge(&f, "sandbox", "stays-root")->level, VZ_HOST_NOTE);
    f.uid = 1000;
    host_judge(&f, &judged);
    ck_assert_ptr_null(find(&judged, "sandbox", "stays-root"));
    f.seccomp_error = EINVAL;
    ck_assert_int_eq(judge(&f, "sandbox", "no-filters")->level, VZ_HOST_PROBLEM);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, test_levels_of_the_instruction_set);
    UNIT_TEST(s, test_direct_execution);
    UNIT_TEST(s, test_sandbox);
    UNIT_TEST(s, test_an_empty_tree);
    UNIT_TEST(s, test_an_intel_laptop);
    UNIT_TEST(s, test_the_group_of_a_node);
    UNIT_TEST(s, test_control_groups);
    UNIT_TEST(s, test_kvm_that_is_built_in);
    UNIT_TEST(s, test_this_computer);
    UNIT_TEST(s, test_all_is_well);
    UNIT_TEST(s, test_no_kvm_node);
    UNIT_TEST(s, test_no_virtualization);
    UNIT_TEST(s, test_no_permission);
    UNIT_TEST(s, test_kvm_that_does_not_work);
    UNIT_TEST(s, test_ping);
    UNIT_TEST(s, test_io_uring);
    UNIT_TEST(s, test_huge_pages);
    UNIT_TEST(s, test_memory);
    UNIT_TEST(s, test_tap);
    UNIT_TEST(s, test_the_software_cpu);
}

UNIT_TEST_MAIN("host", add_tests)
