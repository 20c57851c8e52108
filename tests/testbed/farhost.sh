# Process 1 of a far host: mounts its own accounts, then waits. It lives in mount and pid namespaces of
# its own, inside those of an engine or beside this machine's, so that its end is the end of every
# session and of all that sessions started, and no mount is seen by anybody else.
#
#   bash -c "$(cat farhost.sh)" - DIRECTORY COMMAND…
#   DIRECTORY has etc/{passwd,group,shadow} and srv         COMMAND…  what is not to be found
set -euo pipefail
directory=$1; shift
mkdir -p -m 0755 /run/sshd    # sshd demands it, and its path is compiled in
for name in passwd group shadow; do
  [ -e "/etc/$name" ] || touch "/etc/$name"    # an unpacked release has none
  mount --bind "$directory/etc/$name" "/etc/$name"
done
mkdir -p /srv; mount --bind "$directory/srv" /srv
for place in /usr/local/bin /usr/bin; do
  present=(); for name in "$@"; do [ ! -e "$place/$name" ] || present+=("$name"); done
  if [ ${#present[@]} -gt 0 ]; then    # links to all the others take its place
    real=$directory/real$place shown=$directory/shown$place
    mkdir -p "$real" "$shown"
    mount --bind "$place" "$real"
    ln -s "$real"/* "$shown"; (cd "$shown"; rm "${present[@]}")
    mount --bind "$shown" "$place"
  fi
done
touch "$directory/ready"
sleep infinity & wait    # not exec: bash reaps what sessions leave
