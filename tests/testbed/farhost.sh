# Process 1 of a far host: mounts its own accounts, then waits. It lives in mount and pid namespaces of
# its own, inside those of an engine or beside this machine's, so that its end is the end of every
# session and of all that sessions started, and no mount is seen by anybody else.
#
#   bash -c "$(cat farhost.sh)" - DIRECTORY        DIRECTORY has etc/{passwd,group,shadow} and srv
set -euo pipefail
directory=$1
mkdir -p -m 0755 /run/sshd    # sshd demands it, and its path is compiled in
for name in passwd group shadow; do
  [ -e "/etc/$name" ] || touch "/etc/$name"    # an unpacked release has none
  mount --bind "$directory/etc/$name" "/etc/$name"
done
mkdir -p /srv; mount --bind "$directory/srv" /srv
touch "$directory/ready"
sleep infinity & wait    # not exec: bash reaps what sessions leave
