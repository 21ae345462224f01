# SPDX-License-Identifier: MIT
"""A C project for scripts/bench, which make builds two files at a time, on two CPUs: processes that come and go, beside
compilers that compute. What the program that comes of it prints is the row's result."""
import os

ROW = "make-j2"
CPUS = 2
MODULES = 10
SCRIPT = """PATH=/usr/bin; export PATH; d=/tmp/vz-build-$$; mkdir -p $d && cp build-* $d && cd $d || exit 1
make -s -j2 -f build-make >log 2>&1 || cat log
./program; cd /; rm -rf $d
"""
USES = ("/usr/bin/make",)
HEAD = """#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "build-all.h"
"""
# Some of what C files are made of: tables, text, loops that the compiler unrolls and turns into vectors.
FUNCTION = """
struct entry_{m}_{n} {{ char name[{size}]; uint32_t count; struct entry_{m}_{n} *next; }};

static struct entry_{m}_{n} *find_{m}_{n}(struct entry_{m}_{n} **list, const char *name)
{{
    struct entry_{m}_{n} *e;

    for (e = *list; e; e = e->next)
        if (!strcmp(e->name, name))
            return e;
    e = calloc(1, sizeof(*e));
    if (!e)
        abort();
    snprintf(e->name, sizeof(e->name), "%s", name);
    e->next = *list;
    return *list = e;
}}

static uint64_t work_{m}_{n}(uint64_t seed)
{{
    struct entry_{m}_{n} *list = NULL, *next;
    uint32_t table[{size}];
    uint64_t sum = 0;
    char name[16];

    for (unsigned i = 0; i < {size}; i++)
        table[i] = (uint32_t)(seed * (i + {n}) >> (i % 13));
    for (unsigned i = 1; i < {size}; i++)
        table[i] = table[i] * {odd}u + table[i - 1];
    for (unsigned i = 0; i < {size}; i++) {{
        snprintf(name, sizeof(name), "%" PRIx32, table[i] % 17);
        find_{m}_{n}(&list, name)->count += table[i] & 255;
    }}
    for (; list; list = next) {{
        switch (list->name[0] % 5) {{
        case 0: sum += list->count; break;
        case 1: sum ^= list->count << 3; break;
        case 2: sum = sum * 31 + list->count; break;
        case 3: sum -= list->count; break;
        default: sum = (sum << 7 | sum >> 57) + list->count;
        }}
        next = list->next;
        free(list);
    }}
    return sum;
}}
"""


def _module(m):
    text = HEAD + "".join(FUNCTION.format(m=m, n=n, size=24 + 8 * n, odd=2 * (m * 7 + n) + 1) for n in range(12))
    calls = "".join(f"    seed = seed * 33 + work_{m}_{n}(seed + {n});\n" for n in range(12))
    return f"{text}\nuint64_t module_{m}(uint64_t seed)\n{{\n{calls}    return seed;\n}}\n"


def row(directory):
    """Its argv; makes the files that it works on."""
    main = HEAD + "int main(void)\n{\n    uint64_t seed = 1;\n\n" + "".join(
        f"    seed = module_{m}(seed);\n" for m in range(MODULES)) + '    printf("%" PRIx64 "\\n", seed);\n    return 0;\n}\n'
    parts = " ".join(f"build-{m}.o" for m in [*range(MODULES), "main"])
    makefile = f"program: {parts}\n\tgcc -O2 -o $@ {parts}\n%.o: %.c build-all.h\n\tgcc -O2 -c -o $@ $<\n"
    made = {f"build-{m}.c": _module(m) for m in range(MODULES)}
    made |= {"build-main.c": main, "build-make": makefile, "make.sh": SCRIPT, "build-all.h": "#include <stdint.h>\n" + "".join(
        f"uint64_t module_{m}(uint64_t seed);\n" for m in range(MODULES))}
    for name, text in made.items():
        with open(os.path.join(directory, name), "w", encoding="ascii") as f:
            f.write(text)
    return ["/bin/dash", "make.sh"]
