/* SPDX-License-Identifier: MIT */
/* hypervisor [ACCELERATOR]: the whole life of a virtual CPU. Its guest has a dozen instructions of
 * real mode and says hello through port 0x3f8. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <vz/hypervisor.h>

#define RAM_LEN 0x10000
#define CODE_AT 0x1000

static const unsigned char guest[] = {
    0xbe, 0x14, 0x10,             /*       mov si, text */
    0xba, 0xf8, 0x03,             /*       mov dx, 0x3f8 */
    0xfc,                         /*       cld */
    0xac,                         /* next: lodsb */
    0x84, 0xc0,                   /*       test al, al */
    0x74, 0x03,                   /*       jz done */
    0xee,                         /*       out dx, al */
    0xeb, 0xf8,                   /*       jmp next */
    0xf4,                         /* done: hlt */
    0x90, 0x90, 0x90, 0x90,       /* text: at CODE_AT + 0x14 */
    'H', 'e', 'l', 'l', 'o', ' ', 'f', 'r', 'o', 'm', ' ', 't', 'h', 'e', ' ', 'g', 'u', 'e', 's',
    't', '\n', 0,
};

/* Real mode at CODE_AT: after power-up CS has its base at the top of memory. */
static int set_registers(struct vz_hv_vcpu *vcpu)
{
    const struct vz_hv_segment cs = {.base = 0, .limit = 0xffff, .selector = 0, .access = 0x9b};

    return vz_hv_vcpu_set_segment(vcpu, VZ_HV_CS, &cs) ||
           vz_hv_vcpu_set_reg(vcpu, VZ_HV_REG_RIP, CODE_AT);
}

/* Run until the guest halts. */
static int run(struct vz_hv_vcpu *vcpu)
{
    struct vz_hv_exit exit;

    while (vz_hv_vcpu_run(vcpu, &exit) == VZ_HV_SUCCESS) {
        switch (exit.reason) {
        case VZ_HV_EXIT_PORT_WRITE:
            if (exit.address == 0x3f8)
                putchar((int)exit.value);
            break;
        case VZ_HV_EXIT_HALT:
            return 0;
        default:
            fprintf(stderr, "hypervisor: exit %d: %s\n", exit.reason, exit.text);
            return 1;
        }
    }
    return 1;
}

int main(int argc, char **argv)
{
    struct vz_hv_vm_options options = VZ_HV_VM_OPTIONS_INIT;
    struct vz_error err = {.text = ""};
    struct vz_hv_vm *vm = NULL;
    struct vz_hv_vcpu *vcpu = NULL;
    int status = 1;
    void *ram = mmap(NULL, RAM_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (ram == MAP_FAILED)
        return 1;
    memcpy((char *)ram + CODE_AT, guest, sizeof(guest));
    options.accelerator = argc > 1 ? argv[1] : NULL;
    if (vz_hv_vm_create(&options, &vm, &err))
        fprintf(stderr, "hypervisor: %s\n", err.text);
    else if (!vz_hv_vm_map(vm, ram, 0, RAM_LEN,
                           VZ_HV_MEMORY_READ | VZ_HV_MEMORY_WRITE | VZ_HV_MEMORY_EXEC) &&
             !vz_hv_vcpu_create(vm, 0, &vcpu))
        status = set_registers(vcpu) || run(vcpu);
    vz_hv_vcpu_destroy(vcpu);
    vz_hv_vm_destroy(vm);
    munmap(ram, RAM_LEN);
    return status;
}
