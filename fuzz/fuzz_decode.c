/* SPDX-License-Identifier: MIT */
/* Decoding and printing of arbitrary bytes: no access outside the input, and the same result for
 * the bytes of a valid instruction alone. The first byte selects the mode. */
#include "cpu/x86/decode/decode.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct x86_decoded d, again;
    enum x86_code_size mode;
    char text[128];

    if (size == 0)
        return 0;
    mode = data[0] % 3;
    if (x86_decode(data + 1, size - 1, mode, &d) != X86_DECODE_OK)
        return 0;
    require(d.len > 0 && d.len <= size - 1 && d.len <= X86_INSN_MAX, "length");
    require(d.operand_count <= ARRAY_SIZE(d.operand), "operands");
    require(x86_decode(data + 1, d.len, mode, &again) == X86_DECODE_OK && again.op == d.op,
            "depends on bytes behind it");
    require(x86_decode(data + 1, d.len - 1, mode, &again) == X86_DECODE_MORE,
            "needs not its last byte");
    x86_format(&d, 0, text, data[0] % sizeof(text));
    return 0;
}
