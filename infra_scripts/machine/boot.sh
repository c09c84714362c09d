#!/bin/bash
# Brings the machine to serving at each boot. Whatever is installed already is kept, so that stopped machines and
# machines with a baked image start quickly. What needs nothing of each other runs at the same time: `beside` begins a
# step, and `await` waits for it where it is needed. The watchdog and the hard limit do not wait for this script.
set -Eeuo pipefail
exec > >(tee -a /var/log/hearth-boot.log) 2>&1

set -a
# shellcheck source=/dev/null
. /etc/hearth/machine.env
set +a
export HOME=/root DEBIAN_FRONTEND=noninteractive
version=$HEARTH_OLLAMA_VERSION
model=$HEARTH_MODEL
ollama=/usr/local/bin/ollama
step=starting

machine() { python3 /opt/hearth/machine.py "$@"; }

begin() {
  step=$1
  echo "$(date -u +%FT%TZ) $step"
  machine tell "$step"
}

failed() {
  echo "$(date -u +%FT%TZ) failed: $step"
  machine tell "failed: $step"
  machine log /var/log/hearth-boot.log
  exit 1
}
trap failed ERR

# beside STEP COMMAND...: begin a step that the others do not wait for.
declare -A begun
beside() {
  local name=$1
  shift
  # It fails where it is awaited.
  (trap - ERR; "$@") &
  begun[$name]=$!
}

# await STEP: wait for a step that was begun; nothing if it was not.
await() {
  local job=${begun[$1]:-}
  [ -n "$job" ] || return 0
  if kill -0 "$job" 2>/dev/null; then begin "$1"; else step=$1; fi
  wait "$job"
}

# OLLAMA_HOST may name all addresses; the client needs one of them.
client() { OLLAMA_HOST=127.0.0.1:11434 "$ollama" "$@"; }

# A download with a wrong digest is never used, and the machine powers off.
refuse() {
  trap - ERR
  echo "$(date -u +%FT%TZ) refused: $1"
  machine tell "failed: $1"
  machine log /var/log/hearth-boot.log
  systemctl poweroff
  exit 1
}

fetch() { curl --fail --proto '=https' --location --silent --show-error --retry 5 --retry-delay 3 --retry-connrefused --max-time 900 "$@"; }

# One at a time, and after cloud-init has set up apt.
packages() (
  flock 9
  systemctl start cloud-config.service || true
  apt-get -o DPkg::Lock::Timeout=300 -q update
  apt-get -o DPkg::Lock::Timeout=300 -q install -y --no-install-recommends "$@"
) 9>/opt/hearth/packages.lock

# Download Ollama's archive, and compare it with the digest in the settings, or else with that of the release.
download() {
  local expected=${HEARTH_OLLAMA_SHA256:-} actual
  fetch --output /opt/hearth/ollama.tar "$release/$archive"
  if [ -z "$expected" ]; then
    fetch --output /opt/hearth/sha256sum.txt "$release/sha256sum.txt"
    expected=$(awk -v name="$archive" '{ sub(/\r$/, ""); sub(/^\*?(\.\/)?/, "", $2) } $2 == name { print tolower($1); exit }' /opt/hearth/sha256sum.txt)
    [[ $expected =~ ^[0-9a-f]{64}$ ]] || refuse "sha256sum.txt of Ollama $version names no digest of $archive"
  fi
  actual=$(sha256sum /opt/hearth/ollama.tar)
  if [ "${actual%% *}" != "$expected" ]; then
    rm -f /opt/hearth/ollama.tar
    refuse "$archive of Ollama $version has the digest ${actual%% *}, not $expected"
  fi
}

# Print the digest of the installed model.
digest() {
  curl --fail --silent --max-time 30 http://127.0.0.1:11434/api/tags | python3 -c '
import json, sys
wanted = sys.argv[1].lower()
if ":" not in wanted.rpartition("/")[2]:
    wanted += ":latest"
print(next((m["digest"] for m in json.load(sys.stdin)["models"] if m["name"].lower() == wanted), "none"))' "$model"
}

answers() {
  for _ in $(seq 600); do
    if curl --fail --silent --output /dev/null --max-time 5 http://127.0.0.1:11434/api/version; then
      return 0
    fi
    sleep 0.2
  done
  return 1
}

gpu() { timeout 180 bash -c 'until nvidia-smi; do sleep 1; done'; }

# In memory only: a baked image and a stopped machine's disk contain no secrets.
secrets=/run/hearth-proxy
proxy() {
  if ! command -v nginx >/dev/null; then
    # Hearth's own unit runs nginx with its own configuration.
    systemctl mask nginx.service
    packages nginx
  fi
  umask 077
  mkdir -p "$secrets"
  machine parameter "/hearth/$HEARTH_POOL/tls-certificate" >"$secrets/certificate.pem"
  machine parameter "/hearth/$HEARTH_POOL/tls-key" >"$secrets/key.pem"
  token=$(machine parameter "/hearth/$HEARTH_POOL/token")
  [[ $token =~ ^[A-Za-z0-9_-]{32,}$ ]]
  printf '"~^Bearer %s$" 1;\n' "$token" >"$secrets/token.map"
}

# Load the model with the options of the pages. A run's own request to load it waits for the same load.
load() {
  [ -s /etc/hearth/load.json ] || return 0
  curl --fail --silent --show-error --output /dev/null --max-time 1800 --data @/etc/hearth/load.json \
    http://127.0.0.1:11434/api/generate
}

if grep -qsi 0x10de /sys/bus/pci/devices/*/vendor; then beside "waiting for the GPU" gpu; fi
if [ "$HEARTH_ACCESS" = token ]; then beside "preparing the proxy" proxy; fi

# Whether the requested version is installed.
installed() {
  [ -x "$ollama" ] && [ "$(cat /opt/hearth/ollama.version 2>/dev/null)" = "$version" ] &&
    { [ -z "${HEARTH_OLLAMA_SHA256:-}" ] || [ "$(cat /opt/hearth/ollama.sha256 2>/dev/null)" = "$HEARTH_OLLAMA_SHA256" ]; }
}

if ! installed; then
  begin "installing Ollama $version"
  id ollama >/dev/null 2>&1 || useradd --system --shell /bin/false --user-group --create-home --home-dir /usr/share/ollama ollama
  for group in render video; do
    if getent group "$group" >/dev/null; then usermod --append --groups "$group" ollama; fi
  done
  release=https://github.com/ollama/ollama/releases/download/v$version
  rm -rf /usr/local/lib/ollama /opt/hearth/ollama.version
  # Later versions come as .tar.zst, earlier ones as .tgz.
  archive="ollama-linux-amd64.tar.zst"
  if fetch --head --output /dev/null "$release/$archive"; then
    command -v zstd >/dev/null || packages zstd
    download
    zstd --decompress --stdout /opt/hearth/ollama.tar | tar --extract --directory /usr/local
  else
    archive="ollama-linux-amd64.tgz"
    download
    tar --extract --gzip --file /opt/hearth/ollama.tar --directory /usr/local
  fi
  rm -f /opt/hearth/ollama.tar
  echo "${HEARTH_OLLAMA_SHA256:-}" >/opt/hearth/ollama.sha256
  echo "$version" >/opt/hearth/ollama.version
fi

if [ "${HEARTH_MODEL_DISK:-}" = instance_store ]; then
  begin "preparing the instance store"
  "$BASH" /opt/hearth/instance-store.sh /opt/hearth/models
fi

# Ollama started before the driver would silently run on the CPU.
await "waiting for the GPU"

begin "starting Ollama"
systemctl daemon-reload
systemctl start ollama.service
answers

if ! client show "$model" >/dev/null 2>&1; then
  begin "pulling $model"
  for try in 1 2 3; do
    if timeout 1800 "$BASH" -c "OLLAMA_HOST=127.0.0.1:11434 $ollama pull \"\$1\" 2>&1 | tail -n 5" pull "$model" &&
      client show "$model" >/dev/null 2>&1; then
      break
    fi
    [ "$try" != 3 ]
    sleep 10
  done
fi

if [ -n "${HEARTH_MODEL_DIGEST:-}" ]; then
  found=$(trap - ERR; digest)
  if [[ $found != "$HEARTH_MODEL_DIGEST"* ]]; then
    refuse "$model has the digest $found, not $HEARTH_MODEL_DIGEST"
  fi
fi

beside "loading $model" load

if [ "$HEARTH_ACCESS" = token ]; then
  await "preparing the proxy"
  begin "starting the proxy"
  systemctl restart hearth-proxy.service
fi

begin serving
machine log /var/log/hearth-boot.log
# A load is aborted when its request ends. If it fails, the run's own says why.
wait "${begun["loading $model"]}" || echo "$model was not loaded"
