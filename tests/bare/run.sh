#!/usr/bin/env bash
# Read a PDF and run the tests in bare Debian roots, whose Python the host need not have: trixie has 3.13, sid has 3.14.
#
#   make test-bare                       both roots
#   make test-bare ROOTS=sid TESTS=no    one root, `make read` alone
#   make test-bare FILES=tests/unit      some of the tests
#   make test-bare MIRROR=http://...     Debian packages from a mirror of your own
#
# Each root is made anew, gets a clone of what is committed here, and is removed at the end. Packages come from where the
# host's pip and mmdebstrap have them from. All that runs in a root has namespaces of its own for mounts and processes: they
# end with it, however it ends.
set -euo pipefail

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# Where the host's pip has packages from: variables, and the files and directories that they and its own files name.
pip_variables() {
  env | grep -E '^(PIP_(INDEX_URL|EXTRA_INDEX_URL|NO_INDEX|FIND_LINKS|CERT|CLIENT_CERT|PROXY|TRUSTED_HOST|TIMEOUT|DEFAULT_TIMEOUT|RETRIES|CONFIG_FILE)|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|(https?|no|all)_proxy|(HTTPS?|NO|ALL)_PROXY)=' || true
}

pip_files() {
  local files=(/etc/pip.conf /etc/xdg/pip/pip.conf "${HOME:-/root}/.config/pip/pip.conf" "${HOME:-/root}/.pip/pip.conf"
    "${PIP_CONFIG_FILE:-}") path
  # shellcheck disable=SC2086 # FIND_LINKS is a list
  for path in "${files[@]}" /etc/ssl/certs/ca-certificates.crt "${PIP_CERT:-}" "${PIP_CLIENT_CERT:-}" "${SSL_CERT_FILE:-}" \
    "${REQUESTS_CA_BUNDLE:-}" ${PIP_FIND_LINKS:-} \
    $(sed -nE 's/^[[:space:]]*(cert|client-cert|find-links)[[:space:]]*[=:]//p' "${files[@]}" 2>/dev/null); do
    if [[ $path == /* && -e $path ]]; then echo "$path"; fi
  done
}

# A /dev without the host's disks; a terminal and shared memory are needed.
mount_devices() {
  local root=$1 name
  mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
  mkdir "$root/dev/pts" "$root/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  for name in null zero full random urandom tty; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
  done
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  for name in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${name%%:*}" "$root/dev/${name#*:}"
  done
}

# Runs inside the namespaces.
use() {
  local root=$1 tests=$2 path target variables
  mount -t proc proc "$root/proc"
  mount_devices "$root"
  chroot "$root" useradd --create-home hearth
  for path in /etc/hosts /etc/resolv.conf $(pip_files | sort -u); do
    target=$root$path
    case $path in */.pip/pip.conf | */.config/pip/pip.conf) target=$root/home/hearth/.config/pip/pip.conf ;; esac
    if [[ -d $path ]]; then
      mkdir -p "$target"
      mount --bind -o ro "$path" "$target"
    else
      install -D --mode=0644 "$path" "$target"
    fi
  done
  git clone --quiet --depth 1 "file://$checkout" "$root/home/hearth/hearth"
  chroot "$root" chown --recursive hearth:hearth /home/hearth
  mapfile -t variables < <(pip_variables)
  local as=(chroot --userspec=hearth:hearth "$root" env --ignore-environment "${variables[@]}" HOME=/home/hearth
    USER=hearth LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin make --directory=/home/hearth/hearth)
  "${as[@]}" read
  if [[ $tests != no ]]; then "${as[@]}" test FILES="${FILES:-}" WORKERS="${WORKERS:-4}"; fi
}

if [[ ${1:-} == --use ]]; then
  use "$2" "$3"
  exit
fi

if [[ $(id -u) != 0 ]]; then
  echo "make test-bare needs root to make and enter a root directory of its own: sudo make test-bare." >&2
  exit 2
fi
if ! command -v mmdebstrap >/dev/null; then
  echo "make test-bare needs mmdebstrap: apt-get install mmdebstrap." >&2
  exit 2
fi
if [[ -n $(git -C "$checkout" status --porcelain --untracked-files=no) ]]; then
  echo "Note: what is not committed is not in the roots." >&2
fi

work=$(mktemp --directory --tmpdir="${TMPDIR:-/var/tmp}" hearth-bare.XXXXXX)
child=
# Nothing is mounted here: the mounts are in the child's namespace.
finish() {
  if [[ -n $child ]]; then
    kill -KILL "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  fi
  rm -rf --one-file-system -- "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# With job control a child does not ignore Ctrl-C; this script takes it and ends the child.
set -m
failed=()
for suite in ${ROOTS:-trixie sid}; do
  echo "== $suite: making the root"
  chmod 755 "$work" # apt fetches as a user of its own
  # A mirror that stands still will do, too.
  mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' \
    --include=python3,python3-venv,python3-dev,make,git,ca-certificates "$suite" "$work/$suite" ${MIRROR:+"$MIRROR"} &
  child=$!
  if wait "$child"; then
    chmod 700 "$work" # what the host's pip knows may be secret
    echo "== $suite: $(chroot "$work/$suite" python3 --version)"
    unshare --mount --propagation private --pid --fork --kill-child "${BASH_SOURCE[0]}" --use "$work/$suite" "${TESTS:-yes}" &
    child=$!
    wait "$child" || failed+=("$suite")
  else
    failed+=("$suite")
  fi
  child=
  rm -rf --one-file-system -- "${work:?}/$suite"
done
if ((${#failed[@]})); then
  echo "== failed: ${failed[*]}" >&2
  exit 1
fi
echo "== all is well in: ${ROOTS:-trixie sid}"
