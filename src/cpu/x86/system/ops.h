/* SPDX-License-Identifier: MIT */
/* The functions of the system instructions, by file; bind_system.c picks among them. */
#ifndef VZ_CPU_X86_OPS_H
#define VZ_CPU_X86_OPS_H

#include "cpu/x86/insn.h"

/* op_transfer.c */
insn_fn op_jmp_far, op_jmp_far_ind, op_call_far, op_call_far_ind, op_ret_far, op_iret;
insn_fn op_int, op_int1, op_int3, op_into, op_syscall, op_sysret, op_sysenter, op_sysexit;

/* op_segment.c */
insn_fn op_mov_to_seg, op_mov_from_seg, op_push_seg, op_pop_seg, op_load_far;
insn_fn op_swapgs, op_rdbase, op_wrbase;

/* op_table.c */
insn_fn op_lgdt, op_lidt, op_sgdt, op_sidt, op_lldt, op_ltr, op_sldt, op_str;
insn_fn op_lar, op_lsl, op_verr, op_verw, op_arpl;

/* op_control.c */
insn_fn op_mov_to_cr, op_mov_from_cr, op_mov_to_dr, op_mov_from_dr, op_clts, op_lmsw, op_smsw;
insn_fn op_invlpg, op_invpcid, op_wbinvd, op_hlt, op_cli, op_sti, op_stac, op_clac;
insn_fn op_xgetbv, op_xsetbv;

/* op_misc.c */
insn_fn op_cpuid, op_rdtsc, op_rdtscp, op_rdpid, op_rdpmc, op_rdmsr, op_wrmsr, op_vmcall;

/* smm.c */
insn_fn op_rsm;

/* op_io.c */
insn_fn op_in, op_out, op_ins, op_outs;

#endif
