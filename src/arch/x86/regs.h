/* SPDX-License-Identifier: MIT */
/* Bits of the x86-64 control registers, flags, exceptions, page tables and the MSRs we know.
 * Transcribed from the Intel SDM vol. 3 and vol. 4; the names are the document's. */
#ifndef VZ_ARCH_X86_REGS_H
#define VZ_ARCH_X86_REGS_H

/* RFLAGS, SDM vol. 1, 3.4.3 */
#define X86_FLAG_CF   0x00000001u
#define X86_FLAG_1    0x00000002u /* always set */
#define X86_FLAG_PF   0x00000004u
#define X86_FLAG_AF   0x00000010u
#define X86_FLAG_ZF   0x00000040u
#define X86_FLAG_SF   0x00000080u
#define X86_FLAG_TF   0x00000100u
#define X86_FLAG_IF   0x00000200u
#define X86_FLAG_DF   0x00000400u
#define X86_FLAG_OF   0x00000800u
#define X86_FLAG_IOPL 0x00003000u
#define X86_FLAG_NT   0x00004000u
#define X86_FLAG_RF   0x00010000u
#define X86_FLAG_VM   0x00020000u
#define X86_FLAG_AC   0x00040000u
#define X86_FLAG_VIF  0x00080000u
#define X86_FLAG_VIP  0x00100000u
#define X86_FLAG_ID   0x00200000u
#define X86_FLAGS_ARITH 0x000008d5u /* OF SF ZF AF PF CF */

/* SDM vol. 3, 2.5 */
#define X86_CR0_PE 0x00000001u
#define X86_CR0_MP 0x00000002u
#define X86_CR0_EM 0x00000004u
#define X86_CR0_TS 0x00000008u
#define X86_CR0_ET 0x00000010u
#define X86_CR0_NE 0x00000020u
#define X86_CR0_WP 0x00010000u
#define X86_CR0_AM 0x00040000u
#define X86_CR0_NW 0x20000000u
#define X86_CR0_CD 0x40000000u
#define X86_CR0_PG 0x80000000u

#define X86_CR4_VME        0x00000001u
#define X86_CR4_PVI        0x00000002u
#define X86_CR4_TSD        0x00000004u
#define X86_CR4_DE         0x00000008u
#define X86_CR4_PSE        0x00000010u
#define X86_CR4_PAE        0x00000020u
#define X86_CR4_MCE        0x00000040u
#define X86_CR4_PGE        0x00000080u
#define X86_CR4_PCE        0x00000100u
#define X86_CR4_OSFXSR     0x00000200u
#define X86_CR4_OSXMMEXCPT 0x00000400u
#define X86_CR4_UMIP       0x00000800u
#define X86_CR4_LA57       0x00001000u
#define X86_CR4_FSGSBASE   0x00010000u
#define X86_CR4_PCIDE      0x00020000u
#define X86_CR4_OSXSAVE    0x00040000u
#define X86_CR4_SMEP       0x00100000u
#define X86_CR4_SMAP       0x00200000u
#define X86_CR4_PKE        0x00400000u

#define X86_CR3_PCID       UINT64_C(0xfff)
#define X86_CR3_NOFLUSH    BIT(63)

#define X86_EFER_SCE 0x001u
#define X86_EFER_LME 0x100u
#define X86_EFER_LMA 0x400u
#define X86_EFER_NXE 0x800u

/* IA32_MISC_ENABLE */
#define X86_MISC_LIMIT_CPUID (UINT64_C(1) << 22)
#define X86_MISC_NO_NX       (UINT64_C(1) << 34)

/* XCR0, SDM vol. 1, 13.3 */
#define X86_XCR0_X87    0x1u
#define X86_XCR0_SSE    0x2u
#define X86_XCR0_AVX    0x4u
#define X86_XCR0_AVX512 0xe0u

/* DR6, DR7, SDM vol. 3, 18.2 */
#define X86_DR6_FIXED 0xffff0ff0u
#define X86_DR6_BD    0x2000u
#define X86_DR6_BS    0x4000u
#define X86_DR6_BT    0x8000u
#define X86_DR7_FIXED 0x400u
#define X86_DR7_GD    0x2000u

/* IA32_DEBUGCTL, SDM vol. 3, 18.4.1: branch records, of which there are none, and single steps from
 * branch to branch. */
#define X86_DEBUGCTL_LBR   0x1u
#define X86_DEBUGCTL_BTF   0x2u
#define X86_DEBUGCTL_KNOWN (X86_DEBUGCTL_LBR | X86_DEBUGCTL_BTF)

/* Exceptions, SDM vol. 3, 6.3.1 */
enum x86_vector {
    X86_DE = 0, X86_DB = 1, X86_NMI = 2, X86_BP = 3, X86_OF = 4, X86_BR = 5, X86_UD = 6,
    X86_NM = 7, X86_DF = 8, X86_TS = 10, X86_NP = 11, X86_SS_FAULT = 12, X86_GP = 13,
    X86_PF = 14, X86_MF = 16, X86_AC = 17, X86_MC = 18, X86_XM = 19,
};

/* Page-fault error code, SDM vol. 3, 4.7 */
#define X86_PF_P    0x01u
#define X86_PF_W    0x02u
#define X86_PF_U    0x04u
#define X86_PF_RSVD 0x08u
#define X86_PF_I    0x10u

/* Paging-structure entries, SDM vol. 3, 4.5 */
#define X86_PTE_P   BIT(0)
#define X86_PTE_W   BIT(1)
#define X86_PTE_U   BIT(2)
#define X86_PTE_PWT BIT(3)
#define X86_PTE_PCD BIT(4)
#define X86_PTE_A   BIT(5)
#define X86_PTE_D   BIT(6)
#define X86_PTE_PS  BIT(7)
#define X86_PTE_G   BIT(8)
#define X86_PTE_NX  BIT(63)

/* MSRs, SDM vol. 4 */
#define MSR_TSC            0x10u
#define MSR_PLATFORM_ID    0x17u
#define MSR_APIC_BASE      0x1bu
#define MSR_FEATURE_CONTROL 0x3au
#define MSR_TSC_ADJUST     0x3bu
#define MSR_SPEC_CTRL      0x48u
#define MSR_PRED_CMD       0x49u
#define MSR_BIOS_SIGN_ID   0x8bu
#define MSR_MTRRCAP        0xfeu
#define MSR_ARCH_CAPABILITIES 0x10au
#define MSR_FLUSH_CMD      0x10bu
#define MSR_SYSENTER_CS    0x174u
#define MSR_SYSENTER_ESP   0x175u
#define MSR_SYSENTER_EIP   0x176u
#define MSR_MCG_CAP        0x179u
#define MSR_MCG_STATUS     0x17au
#define MSR_MISC_ENABLE    0x1a0u
#define MSR_DEBUGCTL       0x1d9u
#define MSR_MTRR_PHYS_BASE0 0x200u
#define MSR_MTRR_FIX64K    0x250u
#define MSR_MTRR_FIX16K_80000 0x258u
#define MSR_MTRR_FIX16K_A0000 0x259u
#define MSR_MTRR_FIX4K_C0000 0x268u
#define MSR_PAT            0x277u
#define MSR_MTRR_DEF_TYPE  0x2ffu
#define MSR_TSC_DEADLINE   0x6e0u
#define MSR_X2APIC_FIRST   0x800u
#define MSR_X2APIC_LAST    0x8ffu
#define MSR_KVM_PV_EOI     0x4b564d04u /* Linux, Documentation/virt/kvm/x86/msr.rst */
#define MSR_EFER           0xc0000080u
#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_CSTAR          0xc0000083u
#define MSR_FMASK          0xc0000084u
#define MSR_FS_BASE        0xc0000100u
#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX        0xc0000103u

#define APIC_BASE_BSP      0x100u
#define APIC_BASE_X2APIC   0x400u
#define APIC_BASE_ENABLE   0x800u
#define APIC_DEFAULT_BASE  0xfee00000u

#endif
