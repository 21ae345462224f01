/* SPDX-License-Identifier: MIT */
/* The differences from Zydis that are meant, each with its reason. Part of oracle.c. */

/* Zydis decodes it and we must not: extensions that are not offered. */
static bool not_offered(const struct oracle *o)
{
    const char *set = ZydisISASetGetString(o->z.meta.isa_set);
    static const char *const sets[] = {
        "3DNOW", "AMD", "AMX", "AVX512", "AVX_VNNI", "CET", "CLZERO", "ENQCMD", "FMA4", "HRESET",
        "KEYLOCKER", "KNC", "LWP", "MCOMMIT", "MONITORX", "MOVDIR", "MPX", "PADLOCK", "PCONFIG",
        "PKU", "PT", "RDPRU", "RTM", "SERIALIZE", "SGX", "SMX", "SNP", "SSE4A", "SVM", "TBM",
        "TDX", "TSX", "UINTR", "VMFUNC", "VTX", "WAITPKG", "XOP", "XSAVES", "AMD_INVLPGB",
    };

    for (unsigned i = 0; i < ARRAY_SIZE(sets); i++)
        if (!strncmp(set, sets[i], strlen(sets[i])))
            return true;
    return false;
}

/* We decode it and Zydis does not. */
static bool only_ours(const struct oracle *o)
{
    return false;
}

/* Partial writes: what keeps some of the old destination reads it, as we see it. Zydis calls the
 * destination of these written only. CMOVcc, BSF, BSR, LAR and LSL may leave it as it was. */
static bool merges_destination(unsigned op)
{
    static const uint16_t ops[] = {
        X86_OP_CMOVCC, X86_OP_BSF, X86_OP_BSR, X86_OP_LAR, X86_OP_LSL, X86_OP_MOVLPS,
        X86_OP_MOVHPS, X86_OP_MOVLPD, X86_OP_MOVHPD, X86_OP_MOVHLPS, X86_OP_MOVLHPS,
        X86_OP_CVTPI2PS, X86_OP_MOVSS, X86_OP_MOVSD, X86_OP_ROUNDSS, X86_OP_ROUNDSD,
    };

    for (unsigned i = 0; i < ARRAY_SIZE(ops); i++)
        if (op == ops[i])
            return true;
    return false;
}

/* One of the two knows from fewer bytes that nothing valid can come: we, when the opcode is not
 * one of ours, before ModRM; Zydis, when a VEX map has no opcode at all with a prefix. That we do
 * not refuse the beginning of a valid instruction is checked in decode_test.c. */
static bool excused_truncation(const struct oracle *o, enum x86_decode_result us)
{
    return us == X86_DECODE_INVALID ||
           (us == X86_DECODE_MORE && !o->d.has_modrm && (o->d.opcode_off == 0 || o->d.map));
}

static bool excused_difference(const struct oracle *o)
{
    const char *what = o->ret->what;

    /* Zydis has ModRM.reg as a second operand of the NOPs of 0F 18 to 0F 1E, and the sizes of the
     * MPX instructions for those of 0F 1A and 0F 1B; nothing is read. */
    if (o->d.op == X86_OP_NOP && o->d.map == X86_MAP_0F &&
        (o->d.opcode == 0x0d || o->d.opcode >= 0x18) && strstr(what, "operand"))
        return true;

    /* SDM vol. 2, "MOVSXD": with 66 the source is 16 bits wide. Zydis reads 32 from memory, as
     * AMD's processors do. */
    if (o->d.op == X86_OP_MOVSXD && !strcmp(what, "operand 1: memory size 2, not 4"))
        return true;
    /* SDM vol. 2, table 2-3: SIB base 101b with mod 0 is no base, whatever REX.B; Zydis 4.0 takes
     * it for R13D without displacement when the address size is 32. */
    if (o->d.has_mem && o->mode == X86_CODE_64 && o->d.asize == 4 && o->d.mod == 0 &&
        (o->d.modrm & 7) == 4 && o->d.base == X86_NO_REG &&
        (strstr(what, "base 255") || strstr(what, "displacement")))
        return true;
    /* Without CET its RDSSP is what it was before, a NOP. */
    if (o->d.op == X86_OP_NOP && !strncmp(o->ret->mnemonic, "rdssp", 5))
        return !strcmp(what, "operation nop") || strstr(what, "operand");
    /* F3 90 with REX.B exchanges registers (seen on hardware). */
    if (o->d.op == X86_OP_XCHG && o->z.mnemonic == ZYDIS_MNEMONIC_PAUSE)
        return true;
    /* Prefix 3E is CET's NOTRACK for Zydis and so no segment override; to us it is DS. */
    if ((o->d.op == X86_OP_CALL_IND || o->d.op == X86_OP_JMP_IND) && o->d.seg == X86_DS &&
        strstr(what, "segment"))
        return true;
    /* The upper half is zero either way. */
    if ((o->d.op == X86_OP_MOVMSKPS || o->d.op == X86_OP_MOVMSKPD) && o->d.rex_w &&
        strstr(what, "size 4, not r"))
        return true;
    if (merges_destination(o->d.op) && !strcmp(what, "operand 0: access rw, not w"))
        return true;
    return false;
}
