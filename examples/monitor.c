/* SPDX-License-Identifier: MIT */
/* monitor PROGRAM [ACCELERATOR]: a tiny virtual machine monitor. Boots a Multiboot 1 program (ELF,
 * 32-bit) with 256 MiB of memory, interrupt controllers, and a serial port on standard output. The
 * program ends the machine by a write to port 0xf4, which is the exit status; a HLT without end or
 * a triple fault does too. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <vz/hypervisor.h>

#define RAM_LEN   (256u << 20)
#define INFO_AT   0x500 /* where the Multiboot information goes */
#define MB_MAGIC  0x1badb002
#define MB_SEARCH 8192

struct monitor {
    struct vz_hv_vm *vm;
    struct vz_hv_vcpu *vcpu;
    unsigned char *ram;
    uint8_t divisor_latch; /* the UART's LCR: bit 7 puts the divisor in front of the data register */
    int status;            /* -1: still running */
};

/* ---- loading ---- */

static unsigned char *read_file(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "rb");
    unsigned char *data = f ? malloc(RAM_LEN) : NULL;

    *ret_len = data ? fread(data, 1, RAM_LEN, f) : 0;
    if (f)
        fclose(f);
    return data;
}

static int has_multiboot_header(const unsigned char *file, size_t len)
{
    uint32_t h[3];

    for (size_t at = 0; at + sizeof(h) <= len && at < MB_SEARCH; at += 4) {
        memcpy(h, file + at, sizeof(h));
        if (h[0] == MB_MAGIC && h[0] + h[1] + h[2] == 0)
            return 1;
    }
    return 0;
}

/* Copy the ELF segments to where they belong. The entry point, or 0: not a program for us. */
static uint32_t load(unsigned char *ram, const unsigned char *file, size_t len)
{
    Elf32_Ehdr e;
    Elf32_Phdr p;

    if (len < sizeof(e) || !has_multiboot_header(file, len))
        return 0;
    memcpy(&e, file, sizeof(e));
    if (memcmp(e.e_ident, ELFMAG, SELFMAG) || e.e_ident[EI_CLASS] != ELFCLASS32)
        return 0;
    for (unsigned n = 0; n < e.e_phnum; n++) {
        uint64_t at = e.e_phoff + (uint64_t)n * sizeof(p);

        if (at + sizeof(p) > len)
            return 0;
        memcpy(&p, file + at, sizeof(p));
        if (p.p_type != PT_LOAD)
            continue;
        if ((uint64_t)p.p_offset + p.p_filesz > len || p.p_filesz > p.p_memsz ||
            (uint64_t)p.p_paddr + p.p_memsz > RAM_LEN)
            return 0;
        memcpy(ram + p.p_paddr, file + p.p_offset, p.p_filesz);
    }
    return e.e_entry;
}

/* The state in which Multiboot 1 programs start: 32-bit protected mode, no paging, EAX and EBX. */
static int set_registers(const struct monitor *m, uint32_t entry)
{
    const uint32_t info[3] = {1, 640, RAM_LEN / 1024 - 1024}; /* memory below and above 1 MiB, KiB */
    int failed = 0;

    memcpy(m->ram + INFO_AT, info, sizeof(info));
    for (int n = VZ_HV_ES; n <= VZ_HV_GS; n++) {
        struct vz_hv_segment s = {0, 0xffffffff, n == VZ_HV_CS ? 0x08 : 0x10,
                                  n == VZ_HV_CS ? 0xc09b : 0xc093};

        failed |= vz_hv_vcpu_set_segment(m->vcpu, (enum vz_hv_segment_reg)n, &s);
    }
    failed |= vz_hv_vcpu_set_reg(m->vcpu, VZ_HV_REG_CR0, 0x11);
    failed |= vz_hv_vcpu_set_reg(m->vcpu, VZ_HV_REG_RAX, 0x2badb002);
    failed |= vz_hv_vcpu_set_reg(m->vcpu, VZ_HV_REG_RBX, INFO_AT);
    failed |= vz_hv_vcpu_set_reg(m->vcpu, VZ_HV_REG_RIP, entry);
    return failed;
}

/* ---- devices ---- */

static void port_write(struct monitor *m, const struct vz_hv_exit *e)
{
    switch (e->address) {
    case 0x3f8:
        if (!(m->divisor_latch & 0x80))
            putchar((int)e->value & 0xff);
        break;
    case 0x3fb: m->divisor_latch = (uint8_t)e->value; break;
    case 0xf4: m->status = (int)e->value; break;
    }
}

static uint64_t port_read(const struct vz_hv_exit *e)
{
    return e->address == 0x3fd ? 0x60 : e->address >> 3 == 0x7f ? 0 : UINT64_MAX; /* LSR: empty */
}

/* ---- running ---- */

static void run(struct monitor *m)
{
    struct vz_hv_exit e;
    enum vz_hv_result r = VZ_HV_SUCCESS;

    while (m->status < 0 && (r = vz_hv_vcpu_run(m->vcpu, &e)) == VZ_HV_SUCCESS) {
        switch (e.reason) {
        case VZ_HV_EXIT_PORT_WRITE: port_write(m, &e); break;
        case VZ_HV_EXIT_PORT_READ: vz_hv_vcpu_answer(m->vcpu, port_read(&e)); break;
        case VZ_HV_EXIT_MMIO_READ: case VZ_HV_EXIT_MMIO_WRITE: break; /* nothing is there */
        default:
            fprintf(stderr, "monitor: exit %d: %s\n", e.reason, e.text);
            m->status = 255;
        }
    }
    if (r)
        fprintf(stderr, "monitor: %s\n", vz_hv_result_text(r));
}

static int start(struct monitor *m, const char *path, const char *accelerator)
{
    struct vz_hv_vm_options options = VZ_HV_VM_OPTIONS_INIT;
    struct vz_error err = {.text = ""};
    size_t len;
    unsigned char *file = read_file(path, &len);
    uint32_t entry = file ? load(m->ram, file, len) : 0;

    free(file);
    if (!entry) {
        fprintf(stderr, "monitor: %s is no Multiboot program\n", path);
        return -1;
    }
    options.accelerator = accelerator;
    options.flags = VZ_HV_VM_IRQCHIP;
    if (vz_hv_vm_create(&options, &m->vm, &err)) {
        fprintf(stderr, "monitor: %s\n", err.text);
        return -1;
    }
    return vz_hv_vm_map(m->vm, m->ram, 0, RAM_LEN,
                        VZ_HV_MEMORY_READ | VZ_HV_MEMORY_WRITE | VZ_HV_MEMORY_EXEC) ||
           vz_hv_vcpu_create(m->vm, 0, &m->vcpu) || set_registers(m, entry) ? -1 : 0;
}

int main(int argc, char **argv)
{
    struct monitor m = {.status = -1};

    if (argc < 2) {
        fprintf(stderr, "usage: monitor PROGRAM [ACCELERATOR]\n");
        return 2;
    }
    m.ram = mmap(NULL, RAM_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
    if (m.ram == MAP_FAILED)
        return 2;
    if (start(&m, argv[1], argc > 2 ? argv[2] : NULL) == 0)
        run(&m);
    vz_hv_vcpu_destroy(m.vcpu);
    vz_hv_vm_destroy(m.vm);
    munmap(m.ram, RAM_LEN);
    return m.status < 0 ? 2 : m.status;
}
