# SPDX-License-Identifier: MIT
"""PostgreSQL for scripts/bench: a server, one client over a Unix socket, and pgbench's transactions.

The database is made here, and copied anew for each run. What is printed are sums over its tables, the same wherever
it runs: pgbench's random numbers are seeded. Where PostgreSQL is not installed there is no such row."""
import glob
import os
import pwd
import subprocess
import tarfile
import tempfile

TRANSACTIONS = 500
USER = pwd.getpwnam("nobody").pw_uid  # a server does not run as root
OPTIONS = """listen_addresses = ''
fsync = off
shared_buffers = 16MB
dynamic_shared_memory_type = mmap
max_connections = 10
autovacuum = off
min_wal_size = 2MB
max_wal_size = 4MB
timezone = GMT
log_timezone = GMT
"""
# $1: where PostgreSQL's programs are.
SCRIPT = f"""PATH=$1:/usr/bin:/bin; export PATH; d=/tmp/vz-pg-$$; mkdir -m 755 $d && tar xf database.tar -C $d || exit 1
as=; [ "$(id -u)" = 0 ] && chown -R {USER} $d && as="setpriv --reuid={USER} --regid={USER} --clear-groups"
chmod 700 $d/data
$as postgres -D $d/data -k $d >$d/log 2>&1 & server=$!
until $as psql -h $d -U bench -Atc 'select 1' postgres >/dev/null 2>&1; do
    kill -0 $server 2>/dev/null || {{ cat $d/log; exit 1; }}
    sleep 0.05
done
$as pgbench -h $d -U bench -n -c 1 -t {TRANSACTIONS} --random-seed=7 postgres >$d/report 2>&1 || cat $d/report
$as psql -h $d -U bench -Atc "select count(*), sum(delta) from pgbench_history" \\
    -c "select sum(abalance), min(abalance) from pgbench_accounts" postgres
kill -INT $server; wait $server; rm -rf $d
"""
USES = ("/bin/dash", "/usr/bin/setpriv", "/usr/bin/id", "/bin/tar", "/bin/chown", "/bin/chmod", "/bin/mkdir", "/bin/sleep",
        "/bin/cat", "/bin/rm")


def folder():
    """Of the newest PostgreSQL's programs; None: there is none."""
    found = [path for path in glob.glob("/usr/lib/postgresql/*/bin") if os.path.exists(path + "/pgbench")]
    return max(found, key=lambda path: int(path.split("/")[-2]), default=None)


def _as_user(argv, **more):
    if os.getuid() == 0:
        argv = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *argv]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, **more)


def _make(bin_, to):
    with tempfile.TemporaryDirectory() as d:
        data = f"{d}/data"
        os.mkdir(data, 0o700)
        if os.getuid() == 0:
            os.chmod(d, 0o755)
            os.chown(d, USER, USER)
            os.chown(data, USER, USER)
        _as_user([f"{bin_}/initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync",
                  "--wal-segsize=1"], cwd=d)
        with open(f"{data}/postgresql.conf", "w", encoding="ascii") as f:
            f.write(OPTIONS)
        _as_user([f"{bin_}/pg_ctl", "-D", data, "-w", "-s", "-l", f"{d}/log", "-o", f"-k {d}", "start"], cwd=d)
        try:
            _as_user([f"{bin_}/pgbench", "-h", d, "-U", "bench", "-i", "-q", "postgres"], cwd=d,
                     stderr=subprocess.DEVNULL)
        finally:
            _as_user([f"{bin_}/pg_ctl", "-D", data, "-w", "-s", "stop"], cwd=d)
        with tarfile.open(to, "w") as tar:  # with its empty directories
            tar.add(data, "data")


def rows(directory):
    """{name: argv}; makes the files, as programs.rows()."""
    bin_ = folder()
    if not bin_:
        return {}
    if not os.path.exists(f"{directory}/database.tar"):
        _make(bin_, f"{directory}/database.tar")
    with open(f"{directory}/database.sh", "w", encoding="ascii") as f:
        f.write(SCRIPT)
    return {"pgbench": ["/bin/dash", "database.sh", bin_]}


def files():
    """What the server and its clients are and load besides their libraries."""
    bin_ = folder()
    if not bin_:
        return []
    version = bin_.split("/")[-2]
    found = [*USES, *(f"{bin_}/{name}" for name in ("postgres", "pgbench", "psql"))]
    for top in (f"/usr/share/postgresql/{version}/timezonesets", f"/usr/lib/postgresql/{version}/lib/plpgsql.so",
                "/etc/passwd"):
        found += glob.glob(f"{top}/*") if os.path.isdir(top) else [top]
    return found
