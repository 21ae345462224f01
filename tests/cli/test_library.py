# SPDX-License-Identifier: MIT
"""What the libraries show to the programs that are linked with them."""
import json
import pathlib
import re
import shutil
import subprocess

import pytest

from conftest import BUILD, ROOT

# Names that the library's files use among each other, and that a program may well have too.
CLASHING = """
#include <stdio.h>
#include <string.h>
#include <vz/vz.h>
int mem_create = 1, error_set = 2, loop_create = 3, object_new = 4;
int log_warn(void) { return 5; }
int main(void)
{
    struct vz_config *c = vz_config_new(NULL, NULL);
    struct vz_error err = {0};
    int sum = mem_create + error_set + loop_create + object_new + log_warn();

    if (sum != 15 || vz_config_validate(c, NULL, NULL, &err) == 0 || !strstr(err.text, "boot loader"))
        return 1;
    vz_config_unref(c);
    puts(vz_version());
    return 0;
}
"""


def names(*args):
    out = subprocess.run(["nm", "--defined-only", *args], check=True, stdout=subprocess.PIPE,
                         text=True).stdout
    lines = [line.split() for line in out.splitlines()]
    return {line[2].split("@")[0] for line in lines if len(line) == 3} - {"VZ_0"}


def test_libraries_show_only_their_functions():
    shared = names("-D", f"{BUILD}/src/libvz.so")
    assert shared and all(name.startswith("vz_") for name in shared), shared
    assert names("-g", f"{BUILD}/src/libvz.a") == shared


def build_option(name):
    with open(f"{BUILD}/meson-info/intro-buildoptions.json", encoding="utf-8") as f:
        return next(o["value"] for o in json.load(f) if o["name"] == name)


def test_a_program_may_use_the_names_inside_the_static_library(tmp_path):
    source, program = tmp_path / "clash.c", tmp_path / "clash"
    source.write_text(CLASHING)
    libs = subprocess.run(["pkg-config", "--libs", "--static", "vz"], check=True, text=True,
                          stdout=subprocess.PIPE,
                          env={"PATH": "/usr/bin:/bin", "PKG_CONFIG_PATH": f"{BUILD}/meson-private"})
    libs = [word for word in libs.stdout.split() if word != "-lvz" and not word.startswith("-L")]
    sanitize = build_option("b_sanitize")
    subprocess.run(["cc", f"-I{ROOT}/include", *([] if sanitize == "none" else [f"-fsanitize={sanitize}"]),
                    source, "-o", program, f"{BUILD}/src/libvz.a", *libs], check=True)
    out = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert out[0].isdigit()


HEADERS = sorted(p.name for p in pathlib.Path(ROOT, "include/vz").glob("*.h"))
STRICT = ["-Wall", "-Wextra", "-Werror", f"-I{ROOT}/include"]
DIALECTS = ([("c", compiler, std) for compiler in ("gcc", "clang") for std in ("c99", "c11", "gnu17")]
            + [("c++", compiler, std) for compiler in ("g++", "clang++")
               for std in ("c++11", "c++14", "c++17", "c++20")])


def initial_values():
    """(struct, macro) of every option struct."""
    return [found[:2] for found in option_structs()]


def option_structs():
    text = "".join(pathlib.Path(ROOT, "include/vz", name).read_text(encoding="utf-8") for name in HEADERS)
    return re.findall(r"struct (vz_\w+) \{ /\* start from (VZ_\w+_INIT) \*/(.*?)\n\};", text, re.S)


def members():
    """The names of the members of each, in the order of initial_values()."""
    for _, _, body in option_structs():
        body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
        yield [a or b for a, b in re.findall(r"\(\*(\w+)\)\(|(\w+)(?:\[\w*\])?;", body)]


def initializers(prefix):
    """A program's part with every initial value as a global, a local and a copy."""
    yield "".join(f"#include <vz/{name}>\n" for name in HEADERS)
    for n, (struct, macro) in enumerate(initial_values()):
        yield f"static struct {struct} v{n} = {macro};"
        yield f"const struct {struct} *{prefix}{n}(void);"
        yield f"const struct {struct} *{prefix}{n}(void) {{ struct {struct} o = {macro}; v{n} = o; return &v{n}; }}"


SAME = """
#include <cstring>
template <class T> static bool same(const T &a, const T &b) { return !memcmp(&a, &b, sizeof(a)); }
static inline bool same(const char *const &a, const char *const &b)
{
    return a == b || (a && b && !strcmp(a, b));
}
"""


def compile_with(tmp_path, language, compiler, std, text):
    source = tmp_path / ("program.cpp" if language == "c++" else "program.c")
    source.write_text(text)
    subprocess.run([compiler, f"-std={std}", *STRICT, "-c", source, "-o", source.with_suffix(source.suffix + ".o")],
                   check=True)
    return source.with_suffix(source.suffix + ".o")


@pytest.mark.parametrize("language, compiler, std", DIALECTS)
def test_headers_and_initial_values_compile_everywhere(tmp_path, language, compiler, std):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler} here")
    assert len(initial_values()) >= 15
    for name in HEADERS if std in ("c99", "c++11") else []:  # each by itself
        compile_with(tmp_path, language, compiler, std, f"#include <vz/{name}>\nextern int x; int x;\n")
    compile_with(tmp_path, language, compiler, std, "\n".join(initializers("f")) + "\n")


def test_initial_values_are_the_same_in_c_and_cxx(tmp_path):
    if not shutil.which("g++"):
        pytest.skip("no g++ here")
    compare = [SAME, *initializers("cxx")]
    for n, (struct, _) in enumerate(initial_values()):
        compare.append(f'extern "C" const struct {struct} *c{n}(void);')
    compare.append("int main() {")
    for n, names in enumerate(members()):
        assert names[0] == "size", names
        compare += [f"if (!same(cxx{n}()->{m}, c{n}()->{m})) return {n + 1};" for m in names]
        compare.append(f"if (c{n}()->size != sizeof(*c{n}())) return {n + 1};")
    compare.append("return 0; }")
    in_c = compile_with(tmp_path, "c", "gcc", "c11", "\n".join(initializers("c")) + "\n")
    in_cxx = compile_with(tmp_path, "c++", "g++", "c++11", "\n".join(compare))
    subprocess.run(["g++", in_c, in_cxx, "-o", tmp_path / "same"], check=True)
    subprocess.run([tmp_path / "same"], check=True)
