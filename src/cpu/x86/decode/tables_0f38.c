/* SPDX-License-Identifier: MIT */
/* The three-byte opcodes 0F 38 xx and 0F 3A xx without VEX, SDM vol. 2, tables. */
#include "cpu/x86/decode/tables.h"

#define INT_BOTH(op) PFX(U(op, Pq, Qq), U(op, Vo, Wo), NONE, NONE)
#define ABS(op) PFX(W(op, Pq, Qq), W(op, Vo, Wo), NONE, NONE)
#define XMM(op) P66(U(op, Vo, Wo))
#define XMM_W(op, w) P66(W(op, Vo, w))
#define IMM(op, w) P66(U(op, Vo, w, Iub))
#define IMM_W(op, w) P66(W(op, Vo, w, Iub))

const struct enc x86_map_0f38[256] = {
    [0x00] = INT_BOTH(PSHUFB), [0x01] = INT_BOTH(PHADDW), [0x02] = INT_BOTH(PHADDD),
    [0x03] = INT_BOTH(PHADDSW), [0x04] = INT_BOTH(PMADDUBSW), [0x05] = INT_BOTH(PHSUBW),
    [0x06] = INT_BOTH(PHSUBD), [0x07] = INT_BOTH(PHSUBSW), [0x08] = INT_BOTH(PSIGNB),
    [0x09] = INT_BOTH(PSIGNW), [0x0a] = INT_BOTH(PSIGND), [0x0b] = INT_BOTH(PMULHRSW),
    [0x10] = P66(U(PBLENDVB, Vo, Wo, X0)), [0x14] = P66(U(BLENDVPS, Vo, Wo, X0)),
    [0x15] = P66(U(BLENDVPD, Vo, Wo, X0)), [0x17] = P66(R(PTEST, Vo, Wo)),
    [0x1c] = ABS(PABSB), [0x1d] = ABS(PABSW), [0x1e] = ABS(PABSD),
    [0x20] = XMM_W(PMOVSXBW, Wq), [0x21] = XMM_W(PMOVSXBD, Wd), [0x22] = XMM_W(PMOVSXBQ, Ww),
    [0x23] = XMM_W(PMOVSXWD, Wq), [0x24] = XMM_W(PMOVSXWQ, Wd), [0x25] = XMM_W(PMOVSXDQ, Wq),
    [0x28] = XMM(PMULDQ), [0x29] = XMM(PCMPEQQ), [0x2a] = P66(W(MOVNTDQA, Vo, Mdq)),
    [0x2b] = XMM(PACKUSDW),
    [0x30] = XMM_W(PMOVZXBW, Wq), [0x31] = XMM_W(PMOVZXBD, Wd), [0x32] = XMM_W(PMOVZXBQ, Ww),
    [0x33] = XMM_W(PMOVZXWD, Wq), [0x34] = XMM_W(PMOVZXWQ, Wd), [0x35] = XMM_W(PMOVZXDQ, Wq),
    [0x37] = XMM(PCMPGTQ), [0x38] = XMM(PMINSB), [0x39] = XMM(PMINSD), [0x3a] = XMM(PMINUW),
    [0x3b] = XMM(PMINUD), [0x3c] = XMM(PMAXSB), [0x3d] = XMM(PMAXSD), [0x3e] = XMM(PMAXUW),
    [0x3f] = XMM(PMAXUD), [0x40] = XMM(PMULLD), [0x41] = XMM_W(PHMINPOSUW, Wo),
    [0x82] = P66(R(INVPCID, Gn, Mdq)),
    [0xc8] = PNP(U(SHA1NEXTE, Vo, Wo)), [0xc9] = PNP(U(SHA1MSG1, Vo, Wo)),
    [0xca] = PNP(U(SHA1MSG2, Vo, Wo)), [0xcb] = PNP(U(SHA256RNDS2, Vo, Wo, X0)),
    [0xcc] = PNP(U(SHA256MSG1, Vo, Wo)), [0xcd] = PNP(U(SHA256MSG2, Vo, Wo)),
    [0xcf] = XMM(GF2P8MULB), [0xdb] = XMM_W(AESIMC, Wo), [0xdc] = XMM(AESENC),
    [0xdd] = XMM(AESENCLAST), [0xde] = XMM(AESDEC), [0xdf] = XMM(AESDECLAST),
    [0xf0] = PFX(W(MOVBE, Gv, Mv), W(MOVBE, Gv, Mv), NONE, U(CRC32, Gy, Eb)),
    [0xf1] = PFX(W(MOVBE, Mv, Gv), W(MOVBE, Mv, Gv), NONE, U(CRC32, Gy, Ev)),
    [0xf6] = PFX(NONE, U(ADCX, Gy, Ey), U(ADOX, Gy, Ey), NONE),
};

const struct enc x86_map_0f3a[256] = {
    [0x08] = IMM_W(ROUNDPS, Wo), [0x09] = IMM_W(ROUNDPD, Wo), [0x0a] = IMM(ROUNDSS, Wd),
    [0x0b] = IMM(ROUNDSD, Wq), [0x0c] = IMM(BLENDPS, Wo), [0x0d] = IMM(BLENDPD, Wo),
    [0x0e] = IMM(PBLENDW, Wo),
    [0x0f] = PFX(U(PALIGNR, Pq, Qq, Iub), U(PALIGNR, Vo, Wo, Iub), NONE, NONE),
    [0x14] = P66(W(PEXTRB, EdMb, Vo, Iub)), [0x15] = P66(WF(F_FEATURE(SSE4_1), PEXTRW, EdMw, Vo,
                                                            Iub)),
    [0x16] = P66(W(PEXTRD, Ey, Vo, Iub)), [0x17] = P66(W(EXTRACTPS, Ed, Vo, Iub)),
    [0x20] = P66(U(PINSRB, Vo, EdMb, Iub)), [0x21] = IMM(INSERTPS, Wd),
    [0x22] = P66(U(PINSRD, Vo, Ey, Iub)),
    [0x40] = IMM(DPPS, Wo), [0x41] = IMM(DPPD, Wo), [0x42] = IMM(MPSADBW, Wo),
    [0x44] = IMM(PCLMULQDQ, Wo),
    [0x60] = P66(R(PCMPESTRM, Vo, Wo, Iub)), [0x61] = P66(R(PCMPESTRI, Vo, Wo, Iub)),
    [0x62] = P66(R(PCMPISTRM, Vo, Wo, Iub)), [0x63] = P66(R(PCMPISTRI, Vo, Wo, Iub)),
    [0xcc] = PNP(U(SHA1RNDS4, Vo, Wo, Iub)), [0xce] = IMM(GF2P8AFFINEQB, Wo),
    [0xcf] = IMM(GF2P8AFFINEINVQB, Wo), [0xdf] = IMM_W(AESKEYGENASSIST, Wo),
};
