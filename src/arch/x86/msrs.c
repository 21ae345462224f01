/* SPDX-License-Identifier: MIT */
/* Values that MSRs may hold. Compiled as policy.c is. */
#include "arch/x86/msrs.h"

#include "arch/x86/cpu_state.h"
#include "arch/x86/policy.h"

/* Memory types, SDM vol. 3, table 11-8: UC, WC, WT, WP, WB; PAT also knows UC-. */
static bool type_valid(uint64_t type)
{
    return type == 0 || type == 1 || (type >= 4 && type <= 6);
}

static bool types_valid(uint64_t value, bool is_pat)
{
    for (unsigned n = 0; n < 8; n++) {
        uint64_t type = value >> (8 * n) & 0xff;

        if (!type_valid(type) && !(is_pat && type == 7))
            return false;
    }
    return true;
}

bool x86_msr_valid(enum x86_msr_rule rule, uint64_t value)
{
    switch (rule) {
    case X86_MSR_ANY: return true;
    case X86_MSR_LOW: return !(value >> 32);
    case X86_MSR_CANONICAL: return x86_is_canonical(value);
    case X86_MSR_PAT: return types_valid(value, true);
    case X86_MSR_DEF_TYPE: return !(value & ~UINT64_C(0xcff)) && type_valid(value & 0xff);
    case X86_MSR_FIXED: return types_valid(value, false);
    case X86_MSR_RANGE_BASE:
        return !(value >> X86_PHYS_BITS) && !(value & 0xf00) && type_valid(value & 0xff);
    case X86_MSR_RANGE_MASK: return !(value >> X86_PHYS_BITS) && !(value & 0x7ff);
    case X86_MSR_DEBUG: return !(value & ~(uint64_t)X86_DEBUGCTL_KNOWN);
    case X86_MSR_EOI_FLAG: return !(value & 2); /* 4 bytes, aligned; bit 0: in use */
    case X86_MSR_OWN: break;
    }
    return true;
}

bool x86_msrs_valid(const struct x86_cpu_state *s)
{
#define VALID(msr, member, rule) && x86_msr_valid(X86_MSR_##rule, s->member)
    return true X86_MSRS(VALID);
#undef VALID
}
