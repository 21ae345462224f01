# SPDX-License-Identifier: MIT
"""Real programs for scripts/bench: the host's own gzip, sqlite3 and so on, with the libraries they
need, in an initramfs. Each does a fixed piece of work in /programs (natively: in a directory with
the same files) and writes its result to standard output, whose checksum is compared."""
import json
import os
import subprocess
import tempfile

import database
import project

SQL = """CREATE TABLE t(a INTEGER PRIMARY KEY, b INTEGER, c TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO t SELECT i, (i * 7919) % 10007, 'row ' || (i * 31 % 997) FROM n;
CREATE INDEX tb ON t(b);
SELECT count(*), sum(b), min(c), max(c) FROM t;
SELECT c, count(*), avg(b) FROM t GROUP BY c ORDER BY 2 DESC, 1 LIMIT 20;
SELECT sum(x.b + y.b) FROM t x JOIN t y ON x.b = y.a WHERE x.a < 30000;
"""

PYTHON = """words = {}
text = [chr(97 + i * 7 % 26) * (i % 5 + 1) for i in range(2000)]
for n in range(60):
    for w in text:
        words[w, n & 7] = words.get((w, n & 7), 0) + len(w)
primes = [p for p in range(2, 6000) if all(p % q for q in range(2, int(p ** 0.5) + 1))]
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
x = 0.0
for i in range(200000):
    x = x * 0.99 + i % 17
print(sorted(words.items())[:5], sum(primes), fib(21), round(x, 6))
"""

PERL = """my %words; my @text = map { chr(97 + $_ * 7 % 26) x ($_ % 5 + 1) } 0 .. 1999;
for my $n (0 .. 149) { $words{$_ . ($n & 7)} += length for @text }
my $s = join ' ', @text; my $count = 0;
$count++ while $s =~ /([aeiou])\\1+\\s\\w/g;
sub fib { my $n = shift; $n < 2 ? $n : fib($n - 1) + fib($n - 2) }
print join(',', map { "$_=$words{$_}" } (sort keys %words)[0 .. 4]), " $count ", fib(22), "\\n";
"""

NODE = """const words = new Map(), sizes = [];
for (let n = 0; n < 200; n++)
  for (let i = 0; i < 2000; i++) {
    const w = String.fromCharCode(97 + i * 7 % 26).repeat(i % 5 + 1) + (n & 7);
    words.set(w, (words.get(w) || 0) + w.length);
  }
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
let sum = 0, data = Float64Array.from({length: 100000}, (_, i) => (i * 7919) % 10007);
for (let n = 0; n < 10; n++) sum += data.sort((a, b) => (n & 1 ? a - b : b - a))[n];
console.log([...words].sort().slice(0, 5), fib(27), sum, JSON.stringify([...words]).length);
"""

# 2000 programs that do next to nothing, as scripts are made of.
SCRIPT = """PATH=/usr/bin; i=0
while [ $i -lt 250 ]; do
    i=$(expr $i + 1)
    b=$(basename /some/where/file$i.c .c)
    c=$(echo $b $i | sed 's/file/object /;s/$/.o/')
    d=$(echo $c | tr a-y b-z)
    e=$(echo $c:$d | cut -d: -f2)
    true && echo $i $b $c $d $e | cat
    echo $e | grep -c pckfdu
done
"""
SCRIPT_USES = ("expr", "basename", "sed", "tr", "cut", "true", "cat", "grep")

# A configure script of autoconf's: some hundred questions to the compiler, by a thousand small programs.
CONFIGURE_AC = """AC_INIT([bench], [1])
AC_CONFIG_HEADERS([config.h])
AC_PROG_CC
AC_CHECK_HEADERS([fcntl.h limits.h sys/mman.h sys/time.h poll.h no/such.h])
AC_C_INLINE
AC_TYPE_SIZE_T
AC_CHECK_FUNCS([getpagesize memmove strdup no_such_function poll])
AC_CHECK_SIZEOF([long])
AC_OUTPUT
"""
CONFIGURE = """PATH=/usr/bin; export PATH; CONFIG_SHELL=/bin/dash; export CONFIG_SHELL
d=/tmp/vz-configure-$$; mkdir -p $d && cp configure config.h.in $d && cd $d || exit 1
/bin/dash ./configure -q >log 2>&1 || cat log
cat config.h; cd /; rm -rf $d
"""
CONFIGURE_USES = """sed grep egrep expr cat rm mv cp ln mkdir rmdir chmod sort uniq tr awk basename dirname uname hostname
    ls true touch diff cmp head env gcc as ld wc date sleep""".split()
HEADERS = """stdio.h stdlib.h string.h inttypes.h stdint.h strings.h sys/types.h sys/stat.h unistd.h fcntl.h limits.h
    sys/mman.h sys/time.h poll.h stddef.h assert.h""".split()
LINKED = """crt1.o Scrt1.o crti.o crtn.o crtbegin.o crtbeginS.o crtend.o crtendS.o libgcc.a libgcc_s.so libgcc_s.so.1
    libc.so libc_nonshared.a libc.so.6 ld-linux-x86-64.so.2 liblto_plugin.so""".split()

IMPORTED = "import sys; print(*(m.__file__ for m in sys.modules.values() if getattr(m, '__file__', 0)))"


def _output(*argv):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def libraries(program):
    found = (line.split() for line in _output("ldd", program).splitlines())
    return [word for words in found for word in words if word.startswith("/")]


def _libraries_of_any(program):
    """None for scripts and what is linked statically."""
    p = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return [word for word in p.stdout.split() if word.startswith("/")] if not p.returncode else []


def _json():
    """Some megabyte of it, always the same."""
    return json.dumps([{"id": n, "name": f"row {n * 31 % 997}", "values": [n * k % 101 for k in range(8)],
                        "nested": {"even": n % 2 == 0, "half": n / 2}} for n in range(6000)])


def program_of_gcc(name):
    return _output("gcc", f"-print-prog-name={name}").strip()


def _configure():
    """{name: content} of what autoconf makes of CONFIGURE_AC."""
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, "configure.ac"), "w", encoding="ascii") as f:
            f.write(CONFIGURE_AC)
        for tool in ("autoconf", "autoheader"):
            subprocess.run([tool], check=True, cwd=d, stderr=subprocess.DEVNULL)
        made = {}
        for name in ("configure", "config.h.in"):
            with open(os.path.join(d, name), "rb") as f:
                made[name] = f.read()
        return made


def _compiler():
    """What gcc -O2 needs to compile and link a small program."""
    found = [_output("gcc", f"-print-file-name={name}").strip() for name in LINKED]
    found += [_output("gcc", f"-print-prog-name={name}").strip() for name in ("cc1", "collect2", "lto-wrapper")]
    made = subprocess.run(["gcc", "-M", "-O2", "-xc", "-"], check=True, stdout=subprocess.PIPE, text=True,
                          input="".join(f"#include <{name}>\n" for name in HEADERS)).stdout
    found += [word for word in made.split() if word.startswith("/")]
    return {os.path.normpath(path) for path in found if path.startswith("/")}


def _small_programs():
    names = {f"/usr/bin/{name}" for name in (*SCRIPT_USES, *CONFIGURE_USES)} | {"/bin/dash", *project.USES} | _compiler()
    libraries = {path for name in names if os.access(name, os.X_OK) for path in _libraries_of_any(name)}
    return names | libraries


def rows(directory):
    """{name: argv}; makes the files they work on."""
    os.makedirs(directory, exist_ok=True)
    with open("/usr/bin/python3", "rb") as f:
        data = f.read(3 << 20)
    for name, content in (("data", data), ("work.sql", SQL.encode()), ("work.py", PYTHON.encode()),
                          ("work.pl", PERL.encode()), ("work.js", NODE.encode()),
                          ("work.json", _json().encode()), ("work.sh", SCRIPT.encode()),
                          ("configure.sh", CONFIGURE.encode()), *_configure().items()):
        with open(os.path.join(directory, name), "wb") as f:
            f.write(content)
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guest.c")
    subprocess.run(["gcc", "-E", "-P", "-o", os.path.join(directory, "work.i"), source], check=True)
    return {
        "gzip": ["/usr/bin/gzip", "-9nc", "data"],
        "sha256sum": ["/usr/bin/sha256sum"] + ["data"] * 20,
        "openssl": ["/usr/bin/openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-iter", "100000", "-S",
                    "0102030405060708", "-k", "x", "-in", "data"],
        "sqlite3": ["/usr/bin/sqlite3", ":memory:", ".read work.sql"],
        "python3": ["/usr/bin/python3", "-S", "-E", "-B", "work.py"],
        "gcc": [program_of_gcc("cc1"), "-quiet", "-fpreprocessed", "-O2", "work.i", "-o", "-"],
        "perl": ["/usr/bin/perl", "work.pl"],
        "node": ["/usr/bin/node", "work.js"],
        "gron": ["/usr/bin/gron", "work.json"],  # Go
        "ripgrep": ["/usr/bin/rg", "-j1", "-aoN", "[A-Z][a-z_]+[0-9]+|(__[a-z]+__)", "data"],  # Rust
        "script": ["/bin/dash", "work.sh"],
        "configure": ["/bin/dash", "configure.sh"],
        **database.rows(directory),
    }


def files(directory, programs):
    """What the initramfs needs: [(path here, path there)]."""
    here = [(os.path.join(directory, name), "/programs/" + name) for name in os.listdir(directory)]
    paths = set()
    for argv in programs.values():
        paths.update([argv[0], *libraries(argv[0])])
    paths.update(_small_programs())
    for path in database.files():
        paths.update([path, *_libraries_of_any(path)])
    paths.update(_output("/usr/bin/python3", "-S", "-E", "-c", IMPORTED).split())
    return here + [(path, path) for path in sorted(paths)]
