#!/bin/bash
# A machine that systemd runs, in namespaces of its own: it sees nothing of this one but what is bound into
# its root, all read-only, and one socket. Its root user is nobody here: no file of this machine is its own,
# no setting of the kernel, no device. It has only the units that it needs, so none that would clean up.
#
#   booted.sh STAGE CGROUP SOCKET PATH… -- COMMAND…     in a mount namespace of its own
#   STAGE    an empty directory              CGROUP   where its cgroups are, in the hierarchy of version 2
#   SOCKET   the engine's, as /run/docker.sock there     PATH    seen read-only, at the same place
#   COMMAND  is process 1. Its pid is printed; it is killed at the end of stdin.
set -euo pipefail
stage=$1 cgroup=$2 socket=$3; shift 3
nobody=700000 many=65536
units=usr/lib/systemd/system

mkdir -p "$cgroup"
mount -t tmpfs -o mode=755 tmpfs "$stage"
cd "$stage"
mkdir -p usr proc sys dev run tmp root srv old units generators var/{lib,cache,log,tmp} etc/{systemd/system,credstore,voltar}
for tmpfs in dev run; do mount -t tmpfs -o mode=755 tmpfs $tmpfs; done
mkdir dev/{pts,shm} && ln -s pts/ptmx dev/ptmx
chmod 1777 tmp var/tmp
ln -s usr/{bin,sbin,lib} .
[ ! -e /lib64 ] || ln -s usr/lib64 .
ln -s /run var/run
cp /etc/{passwd,group,nsswitch.conf,ld.so.cache} etc/
head -c 16 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >etc/machine-id
for name in {sysinit,basic,multi-user,timers,sockets,paths,slices,shutdown,network,network-online}.target \
  systemd-journald{.service,.socket,-dev-log.socket}; do cp -L "/$units/$name" units/; done
ln -s multi-user.target units/default.target
mkdir -p units/sockets.target.wants
ln -s ../systemd-journald{,-dev-log}.socket units/sockets.target.wants/
for device in null zero full random urandom tty; do : >dev/$device; done
: >run/docker.sock
while [ "$1" != -- ]; do mkdir -p "./$1"; seen+=("$1"); shift; done
shift
chown -R --no-dereference $nobody:$nobody .

bound() { mount --bind "$1" "./$2"; mount -o remount,bind,ro "./$2"; }
bound /usr usr
bound units $units
bound generators usr/lib/systemd/system-generators
for path in "${seen[@]}"; do bound "$path" "$path"; done
for device in null zero full random urandom tty; do mount --bind /dev/$device dev/$device; done
mount --bind "$socket" run/docker.sock
mount --rbind /proc proc    # its own are mounted over them: the kernel lets it only where it has seen others
mount -t sysfs sysfs sys
echo $$ >"$cgroup/cgroup.procs"
chown $nobody:$nobody "$cgroup" "$cgroup"/cgroup.{procs,threads,subtree_control}
mkfifo go
pivot_root . old
umount -l /old
rmdir /old

cat >boot <<'END'
set -e
rm go boot
mount --make-rshared /
mount -t proc proc /proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts /dev/pts
ip link set lo up
exec env -i container=voltar-test PATH=/usr/sbin:/usr/bin "$@"
END
become='read -r _ <go; exec setpriv --reuid 0 --regid 0 --clear-groups --inh-caps=-all --ambient-caps=-all bash boot "$@"'
here=$(readlink /proc/self/ns/user)
unshare --user --keep-caps --mount --pid --cgroup --ipc --uts --net --fork bash -c "$become" - "$@" </dev/null &
outer=$!
until [ "$(readlink /proc/$outer/ns/user)" != "$here" ]; do sleep 0.01; done
for map in uid_map gid_map; do echo "0 $nobody $many" >/proc/$outer/$map; done
chown $nobody:$nobody go boot
until first=$(cat /proc/$outer/task/$outer/children) && [ "$first" ]; do sleep 0.01; done; first=${first% }
echo "$first"
echo >go
cat >/dev/null
kill -KILL $(cat /proc/$outer/task/$outer/children) 2>/dev/null || true    # none, if it has ended
wait $outer || true
