#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh MINUTES: what scripts/endurance runs as root inside the guest. Prints a line
# "ENDURANCE ok|FAIL STEP: SECONDS s" per step, and at the end "ENDURANCE END rounds=N failed=N".
minutes=$1
cd /root || exit 1
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
failed=0
rounds=0

step() { # NAME COMMAND...
    name=$1
    shift
    began=$(date +%s)
    if "$@" >/root/log 2>&1; then
        echo "ENDURANCE ok $name: $(($(date +%s) - began)) s"
    else
        echo "ENDURANCE FAIL $name: $(($(date +%s) - began)) s"
        tail -n 25 /root/log | sed 's/^/    | /'
        failed=$((failed + 1))
    fi
}

has_network() {
    for _ in $(seq 1 120); do
        ip route | grep -q default && return 0
        sleep 1
    done
    return 1
}

install() {
    apt-get update -q || return 1
    # Its name has Python's version in it.
    tests=$(apt-cache pkgnames libpython3 | grep -- '-testsuite$' | sort | tail -n 1)
    apt-get install -q -y --no-install-recommends gcc libc6-dev make \
        stress-ng python3 nodejs "$tests"
}

# The same objects as before, and as the host's compiler made if it is the same one.
compile() {
    rm -rf out && make -j2 -f /root/Makefile && find out -name '*.o' | sort | xargs sha256sum >sums &&
        { [ -f sums.first ] || cp sums sums.first; } && cmp sums sums.first || return 1
    if [ "$(gcc -v 2>&1 | tail -n 1)" = "$(cat host-gcc)" ]; then
        cmp sums host-sums || return 1
        echo "as on the host"
    fi
}

stress() { # OPTION...
    stress-ng --verify -t 15s "$@"
}

node_twice() {
    # V8 has renamed it.
    eager=$(node --v8-options | grep -oE -m 1 -- '--always-(turbofan|opt)\b') || return 1
    node --jitless program.js >plain && node program.js >jitted && cmp plain jitted &&
        node "$eager" program.js >turbo && cmp plain turbo
}

quiet_kernel() {
    ! dmesg | grep -E 'BUG|WARNING|Oops|Call Trace|lockup|rcu.*stall|segfault|invalid opcode|general prot|unstable'
}

# Remove and install again something with maintainer scripts.
reinstall() {
    apt-get purge -q -y stress-ng && apt-get install -q -y --no-install-recommends stress-ng &&
        apt-get install -q -y --reinstall --no-install-recommends python3-minimal && dpkg --audit
}

step "resize the file system" resize2fs /dev/vda
step "network" has_network
step "apt install" install
if [ "$failed" -gt 0 ]; then
    echo "ENDURANCE END rounds=0 failed=$failed"
    poweroff
    exit 1
fi
end=$(($(date +%s) + minutes * 60))
while [ "$(date +%s)" -lt "$end" ]; do
    rounds=$((rounds + 1))
    step "compile" compile
    step "stress cpu" stress --cpu 2 --cpu-method all
    step "stress vm" stress --vm 2 --vm-bytes 96M --vm-method all
    step "stress processes" stress --fork 2 --exec 2 --switch 2 --pipe 2
    step "python" python3 -m test -j2 test_json test_hashlib test_struct test_re test_dict \
        test_float test_threading test_zlib test_sort test_math test_bytes test_array
    step "stress code" stress --icache 2 --tlb-shootdown 2 --vecmath 1 --matrix 1
    step "stress locks" stress --futex 2 --mutex 2 --membarrier 2 --atomic 2
    step "node" node_twice
    step "stress strings" stress --str 1 --memcpy 1 --qsort 1 --hash 1 --crypt 1
    step "apt purge and install" reinstall
    step "kernel log" quiet_kernel
done
echo "ENDURANCE END rounds=$rounds failed=$failed"
poweroff
