#!/bin/bash
# tests/host/guest.sh DIR TOOL: the smallest real Linux guest with a real guest agent, DIR/kernel and DIR/initrd, made from Debian's
# packages (fetched once into DIR/debs) and TOOL, a static program of ours. Nothing is installed. Does nothing when it is there already.
#
# It starts without or with UEFI firmware and mounts each ext4 disk vdX on /mnt/vdX, runs qemu-ga, and runs what it is told on its serial port: a line is a command; its output
# comes back, and after it a line with \001 and the exit status. guest.py is the other end. So it can be told things while its agent
# cannot: when it is stopped, or frozen.
set -euo pipefail
export LC_ALL=C
mkdir -p "$1"
dir=$(cd "$1" && pwd)
exec 9> "$dir/lock"
flock 9
tool=$2
[[ -e $dir/kernel && $dir/initrd -nt ${BASH_SOURCE[0]} && $dir/initrd -nt $tool ]] && exit 0
debs=$dir/debs root=$dir/root new=$dir/new
mkdir -p "$debs"
rm -rf "$root" "$new"

kernel_package() { apt-cache depends linux-image-cloud-amd64 2> /dev/null | awk '/Depends:/ && !found { print $2; found = 1 }'; }
fetch() { (cd "$debs" && apt-get -q -o Acquire::Retries=3 -o APT::Sandbox::User=root download "$@"); }
fetch_all() {
    local kernel
    kernel=$(kernel_package)
    [[ -n $kernel ]] && fetch "$kernel" qemu-guest-agent
}
if ! compgen -G "$debs/linux-image-*.deb" > /dev/null || ! compgen -G "$debs/qemu-guest-agent_*.deb" > /dev/null; then
    fetch_all > "$dir/log" 2>&1 || { apt-get -q update && fetch_all; } > "$dir/log" 2>&1 || { tail -n 5 "$dir/log" >&2; exit 1; }
fi
for deb in "$debs"/*.deb; do dpkg -x "$deb" "$root"; done

mkdir -p "$new"/{bin,dev,etc,mnt,proc,run,sys,tmp,usr/sbin,var,modules}
ln -s ../run "$new/var/run"
program() { # SOURCE PLACE: with the libraries that it needs
    cp -L "$1" "$new/$2"
    local needs
    needs=$(ldd "$1" 2> /dev/null) || return 0
    ! grep 'not found' <<< "$needs" || { echo "guest: $1 needs a library that is not installed" >&2; exit 1; }
    awk '/=> \// { print $3 } $1 ~ /^\// { print $1 }' <<< "$needs" | while read -r library; do
        mkdir -p "$new/$(dirname "$library")"
        cp -L "$library" "$new/$library"
    done
}
program "$(command -v busybox)" bin/busybox
program "$root/usr/sbin/qemu-ga" usr/sbin/qemu-ga
cp "$tool" "$new/bin/"

# Modules in the order in which they load. One that is not there is built in.
module() {
    local file need
    file=$(find "$root"/lib/modules -name "${1//_/[-_]}.ko" | head -n 1)
    [[ -n $file ]] && ! grep -qxF "$1" "$new/modules/order" || return 0
    for need in $(tr '\0' '\n' < "$file" | sed -n 's/^depends=//p' | tr ',-' ' _'); do module "$need"; done
    cp "$file" "$new/modules/$1.ko"
    echo "$1" >> "$new/modules/order"
}
touch "$new/modules/order"
for name in virtio_pci virtio_blk virtio_console ext4 efivarfs tpm_crb tpm_tis; do module $name; done

cat > "$new/init" <<'I'
#!/bin/busybox sh
/bin/busybox mkdir -p /sbin /usr/bin
/bin/busybox --install -s
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev && mount -t tmpfs run /run
while read -r name; do insmod /modules/$name.ko; done < /modules/order
[ ! -d /sys/firmware/efi ] || mount -t efivarfs efivarfs /sys/firmware/efi/efivars
for disk in /sys/class/block/vd?; do
    mkdir -p /mnt/${disk##*/} && mount -t ext4 /dev/${disk##*/} /mnt/${disk##*/} || rmdir /mnt/${disk##*/}
done
agent() {
    local port
    for port in /sys/class/virtio-ports/*; do
        [ "$(cat $port/name)" = org.qemu.guest_agent.0 ] && exec qemu-ga -m virtio-serial -p /dev/${port##*/} -t /run -f /run/qga.pid -v -l /run/qga.log
    done
}
[ "$(sed -n 's/.*agent=\([a-z]*\).*/\1/p' /proc/cmdline)" = none ] || (agent) &
stty -F /dev/ttyS0 raw -echo
exec < /dev/ttyS0 > /dev/ttyS0
while read -r line; do
    (eval "$line") 2>&1 < /dev/null
    printf '\001%s\n' $?
done
I
chmod 0755 "$new/init"
(cd "$new" && find . | busybox cpio -o -H newc 2> /dev/null) > "$dir/initrd.new"
cp "$root"/boot/vmlinuz-* "$dir/kernel"
mv "$dir/initrd.new" "$dir/initrd"
rm -rf "$root" "$new"
