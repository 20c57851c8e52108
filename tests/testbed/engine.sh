#!/bin/bash
# Process 1 of a private engine: sets up its mounts, then runs dockerd, again whenever it is told to.
# It lives in mount, network and pid namespaces of its own, so that its end is the end of dockerd, containerd,
# shims and containers, and their mounts and bridges vanish with it. Propagation of the mounts is "slave":
# what the host mounts later is seen here, nothing that happens here is seen by the host.
#
#   engine.sh RUN ENGINE ROOT SHARED
#   RUN     directory of the test run         ENGINE  this engine's directory, below RUN; has daemon.json
#   ROOT    directory of an unpacked release, or - for the machine's own
#   SHARED  yes: RUN is visible to the engine at the same path; no: only ENGINE is
set -euo pipefail
run=$1 engine=$2 root=$3 shared=$4
export PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin HOME=/
[ "$shared" = yes ] || unset TMPDIR    # it is below RUN
ip link set lo up

if [ "$root" = - ]; then
  mkdir -p /run/containerd; mount -t tmpfs tmpfs /run/containerd    # shims keep their sockets there, whatever the engine
  if [ "$shared" = no ]; then
    cd "$engine"; mount -t tmpfs tmpfs "$run"; mkdir -p "$engine"
    mount --no-canonicalize --bind . "$engine"; cd /
  fi
else
  # "/" must be a mount point, or loading an image fails. What the engine writes into its root stays in memory.
  stage=${run%/runs/*}/stage
  mount -t tmpfs tmpfs "$stage"; mkdir "$stage"/{upper,work,root}
  mount -t overlay -o "lowerdir=$root,upperdir=$stage/upper,workdir=$stage/work" overlay "$stage/root"
  cd "$stage/root"
  mkdir -p proc sys dev run tmp old etc "./$run" "./$engine"
  for tables in iptables ip6tables; do ln -sf "$tables-nft" "usr/sbin/$tables"; done    # unpacked: no alternatives
  for tree in proc sys dev; do mount --rbind "/$tree" "$tree"; done
  mount -t tmpfs tmpfs run
  if [ "$shared" = yes ]; then mount --rbind "$run" "./$run"; else mount --bind "$engine" "./$engine"; fi
  pivot_root . old
  cd /; umount -l /old
fi

while :; do
  dockerd --config-file "$engine/daemon.json" </dev/null >>"$engine/log" 2>&1 && status=0 || status=$?
  echo "$status" >"$engine/ended"
  read -r _ <"$engine/again" || true    # blocks until somebody opens the FIFO: see daemon.Daemon.start
done
