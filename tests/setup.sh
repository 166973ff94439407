#!/bin/bash
# tests/setup.sh [build]: install what building, running and testing need (`build`: not what only the tests need), on Debian 12 or
# later, as root. Does nothing when all of it is there. Starts no service.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

packages=(
    # to build: cmocka, because meson.build describes the tests too
    build-essential meson ninja-build pkg-config
    libcmocka-dev libfuse3-dev libglib2.0-dev libjson-glib-dev libvirt-dev libxml2-dev libyaml-dev
    # to run: libvirt-daemon holds libvirtd, -driver-qemu the driver that qemu:///embed loads too, -system the user libvirt-qemu
    fuse3 libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu libvirt-daemon-system mount ovmf procps qemu-system-x86 qemu-utils
)
[[ ${1:-} == build ]] || packages+=(
    acl ansible-core attr "busybox|busybox-static" clang clang-format dash e2fsprogs file git groff-base libclang-rt-dev psmisc python3 python3-yaml rsync swtpm swtpm-tools systemd
    tree util-linux vim
)

installed() {
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null) == installed ]]
}

missing=()
for package in "${packages[@]}"; do # "one|another": either will do, the first is installed
    installed "${package%%|*}" || installed "${package##*|}" || missing+=("${package%%|*}")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

if [[ $(id -u) != 0 ]] || ! command -v apt-get > /dev/null; then
    echo "setup: run as root on Debian, or install what these packages hold: ${missing[*]}" >&2
    exit 1
fi

# What comes with them shall not start daemons on a machine that is only to build and test.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod 0755 $policy
    trap 'rm -f $policy' EXIT
fi

apt=(apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
dpkg --configure -a # of an installation that was interrupted
"${apt[@]}" update || echo "setup: apt-get update failed; trying with the lists that are there" >&2
"${apt[@]}" install --no-install-recommends "${missing[@]}"
