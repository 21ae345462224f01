# SPDX-License-Identifier: MIT
"""What the libraries show to the programs that are linked with them."""
import json
import subprocess

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
