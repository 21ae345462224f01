/* SPDX-License-Identifier: MIT */
/* KVM's System Management Mode: its SMIs, and what of a vCPU's state is the mode's. The memory that only the mode
 * sees is in another address space of KVM's (kvm_memory.c); an access that ends KVM_RUN says which one it was made in
 * (kvm_exit.c). */
#include <errno.h>

#include "arch/x86/cpu_state.h"
#include "base/error.h"
#include "hv/kvm/kvm.h"

/* IA32_SMBASE (SDM vol. 4), which KVM shows to us only. */
#define MSR_SMBASE 0x9eu

int kvm_check_smm(struct hv_vm *vm, struct vz_error *err)
{
    if (kvm_has(vm->fd, KVM_CAP_X86_SMM) && kvm_has(vm->fd, KVM_CAP_MULTI_ADDRESS_SPACE) >= 2)
        return 0;
    return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                     "this host's KVM has no System Management Mode, which this firmware wants (--accel soft has it)");
}

/* From another thread the ioctl would wait for the end of KVM_RUN. */
void kvm_smi(struct hv_vm *vm)
{
    for (unsigned n = 0; n < vm->vcpu_count; n++) {
        atomic_store(&vm->vcpu[n].smi, true);
        kvm_vcpu_kick(&vm->vcpu[n]);
    }
}

void kvm_take_smi(struct hv_vcpu *v)
{
    if (v->vm->smm && atomic_exchange(&v->smi, false))
        (void)kvm_ioctl_value(v->fd, KVM_SMI, 0);
}

/* Where the machine has none of it, KVM's own is nobody's business. */
int kvm_get_smm(struct hv_vcpu *v, const struct kvm_vcpu_events *e, struct x86_cpu_state *ret)
{
    uint64_t base = X86_SMBASE_RESET;
    int r = v->vm->smm ? kvm_get_msr(v, MSR_SMBASE, &base) : 0;

    ret->smbase = (uint32_t)base;
    ret->smm = v->vm->smm && e->smi.smm;
    ret->smi_pending = v->vm->smm && (e->smi.pending || atomic_load(&v->smi));
    ret->smm_inside_nmi = ret->smm && e->smi.smm_inside_nmi;
    ret->init_pending = ret->smm && e->smi.latched_init;
    return r;
}

int kvm_set_smm(struct hv_vcpu *v, struct kvm_vcpu_events *e, const struct x86_cpu_state *s)
{
    /* KVM keeps an INIT there in whatever mode, and hosts without the mode do so, too. */
    if (v->vm->smm || (s->init_pending && v->vm->irqchip)) {
        e->smi.latched_init = s->init_pending;
        e->flags |= KVM_VCPUEVENT_VALID_SMM;
    }
    if (!v->vm->smm)
        return 0;
    atomic_store(&v->smi, false);
    e->smi.smm = s->smm;
    e->smi.pending = s->smi_pending;
    e->smi.smm_inside_nmi = s->smm_inside_nmi;
    return kvm_set_msr(v, MSR_SMBASE, s->smbase);
}
