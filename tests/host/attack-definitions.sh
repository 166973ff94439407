# Definitions, on a real libvirtd, that name what is not the VM's: as its UEFI variables somebody's file, a copy that a snapshot keeps,
# what is no file, or another VM's; as a disk, a file below the mount point, which would have vmsnapfs wait for itself, as would
# symlinks and headers among the images that lead there. Nothing of others is read to anybody, replaced or removed, and nothing hangs.
. "$(dirname "$0")/lib.sh"
. "$HERE/canary.sh"
. "$HERE/plant.sh"
VM=one
STORES=$WORK/stores
OTHERS=$WORK/others # root's, and none of a VM's business

define() { vm_xml "$@" > "$WORK/def.xml" && v define "$WORK/def.xml"; }
store() { v dumpxml --inactive "$1" | sed -n 's#.*<nvram[^>]*>\(.*\)</nvram>.*#\1#p'; }
kept() { echo "$IMAGES/.vmsnapfs/$(uuid_of "$1")/vars/$(cat "$MNT/$1/snapshots/$2/id").fd"; }
name_store() { # VM PATH: its definition says so
    v dumpxml --inactive "$1" | sed "s#<nvram.*</nvram>#<nvram>$2</nvram>#" > "$WORK/def.xml" && v define "$WORK/def.xml" && echo rescan > "$MNT/$1/drift"
}
sentence() { tail -n 1 "$MNT/$1/errors" | grep -q "$2" || fail "no '$2' in: $(tail -n 1 "$MNT/$1/errors")"; }
looks_of_others() { find "$OTHERS" "$IMAGES" "$STORES" -type f ! -name lock ! -size +16M | sort | while read -r file; do echo "$file $(stat -c '%i %h %a %u %Y' "$file") $(sha256sum < "$file")"; done; }
spared() { looks_of_others | diff "$WORK/looks" - > "$WORK/diff" || fail "changed: $(head -n 5 "$WORK/diff" | tr '\n' ';')"; }

# Whatever would show, replace, remove or use it is refused by name.
no_store() { # PATH SENTENCE
    local command
    name_store $VM "$1" && looks_of_others > "$WORK/looks" && [[ $(store $VM) == "$1" ]] || { fail "the definition names $(store $VM)"; return 1; }
    for command in "ln -sfn snapshots/s1 $MNT/$VM/current" "cp $WORK/good.fd $MNT/$VM/nvram/vars.fd" "rm $MNT/$VM/nvram/vars.fd" "mkdir $MNT/$VM/snapshots/x" "cat $MNT/$VM/nvram/vars.fd" "echo running > $MNT/$VM/state"; do
        attack "" bash -c "$command" && sentence $VM "$2" || { FAILED+=" ($command)"; return 1; }
    done
    listed $VM "s1 " && is_state $VM shutoff && spared
}
no_stores() {
    local home=$WORK/nobody own
    own=$(store $VM) && snap $VM s1 && cp "$own" "$WORK/good.fd" && mkdir "$home" && chown $NOBODY "$home" || return
    ln -s "$CANARIES/secret" "$home/link" && ln -s "$CANARIES/etc" "$home/directory" && chown -h $NOBODY "$home"/* && mkfifo "$OTHERS/pipe" && mknod "$OTHERS/zeroes" c 1 5 && truncate -s 1G "$OTHERS/giant" || return
    no_store "$OTHERS/passwd" "something else than UEFI variables" && no_store "$IMAGES/plain-vda.img" "something else than UEFI variables\|has a qcow2 header" &&
        no_store "$OTHERS" "not a regular file" && no_store "$OTHERS/pipe" "not a regular file" && no_store "$OTHERS/zeroes" "not a regular file" && no_store "$OTHERS/giant" "too large" &&
        no_store "$home/link" "not a regular file" && no_store "$home/directory/passwd" "symlink" && no_store "$(kept $VM s1)" "belongs to a snapshot" && no_store "one.fd" "no absolute path" || return
    rm "$OTHERS"/{pipe,zeroes,giant} && name_store $VM "$own" && revert $VM s1 && cmp "$WORK/good.fd" "$(store $VM)" && [[ ! -e $own ]] && drop $VM s1 && check $VM
}
# Of two VMs that have one store neither may replace or remove it; a revert gives the one a store of its own, and leaves the other's.
shared_store() {
    local own
    own=$(store $VM) && snap $VM s1 && cp "$own" "$WORK/good.fd" && name_store two "$own" && looks_of_others > "$WORK/looks" || return
    attack "resource busy" cp "$WORK/good.fd" "$MNT/$VM/nvram/vars.fd" && sentence $VM "UEFI variables of VM two" && attack "resource busy" rm "$MNT/$VM/nvram/vars.fd" && spared || return
    harmless revert $VM s1 && [[ $(store $VM) != "$own" && $(store two) == "$own" ]] && cmp "$own" "$WORK/good.fd" && cmp "$(store $VM)" "$WORK/good.fd" || { fail "the stores are $(store $VM) and $(store two)"; return 1; }
    grep -q "$own.*VM two" "$MNT/$VM/snapshots/s1/warnings" || { fail "warnings: $(cat "$MNT/$VM/snapshots/s1/warnings")"; return 1; }
    drop $VM s1 && name_store two "$STORES/two.fd" && check $VM
}

# ---- the tree itself ----

# The first one of the list: df asks the storage of that.
in_the_tree() {
    local vm=aaa
    define $vm 1 qcow2 "$MNT/plain/snapshots/none" && wait_for listed_vm $vm && echo rescan > "$MNT/$vm/drift" || return
    ATTACKS=$((ATTACKS + 3))
    timeout 30 stat -f "$MNT" > "$WORK/said" && grep -q "has.040mounted" "$MNT/$vm/status" && timeout 30 cat "$MNT/$vm"/disks/vda/* > "$WORK/said" || { fail "$vm: $(cat "$MNT/$vm/status")"; return 1; }
    REFUSED=$((REFUSED + 3))
    attack "not supported" mkdir "$MNT/$vm/snapshots/x" && sentence $vm "has mounted" && attack "not supported" bash -c "echo running > $MNT/$vm/state" && sentence $vm "out of reach" && works_beside_it && v undefine $vm
}
works_beside_it() { snap plain s1 && snap plain s2 && harmless drop plain s1 && harmless revert plain s2 && harmless drop plain s2 && check plain; }
# rmdir keeps who looks into snapshots/ waiting, and itself looks at all that lies beside the images.
among_images() {
    ln -s "$MNT/plain/snapshots/none" "$IMAGES/link" && ln -s "$MNT/plain/wait" "$IMAGES/wait" && ln -s "$MNT/plain/snapshots" "$IMAGES/directory" && chown -h $NOBODY "$IMAGES/link" "$IMAGES/wait" && ln -s directory/none "$IMAGES/further" &&
        qemu-img create -q -f qcow2 -u -b "$MNT/plain/snapshots/none" -F qcow2 "$IMAGES/header" 16M && qemu-img create -q -f qcow2 -u -b directory/../snapshots/none -F raw "$IMAGES/relative" 16M || return
    works_beside_it && rm "$IMAGES"/{link,wait,directory,further,header,relative}
}
home_in_the_tree() {
    local vm=bbb
    define $vm 1 && v metadata $vm --config --uri https://vmsnapfs.org/xmlns/domain/1 --key v --set "<vmsnapfs home='$MNT/plain' generation='3'/>" && wait_for listed_vm $vm || return
    echo rescan > "$MNT/$vm/drift" 2> "$WORK/said"
    attack "Read-only file system" mkdir "$MNT/$vm/snapshots/x" && sentence $vm "has mounted" && works_beside_it && v undefine $vm
}

mkdir "$OTHERS" "$STORES" && printf 'root:x:0:0:root:/root:/bin/bash\n%2000s\n' "" > "$OTHERS/passwd"
libvirtd_begin && libvirtd_start || { echo "not ok attack-definitions: a private libvirtd - it does not start: $(tail -n 3 "$WORK/lv/out")"; exit 1; }
trap 'canaries_end; end' EXIT
canaries_begin secret etc/passwd || exit 1
vm_make $VM 1 && FIRMWARE=uefi NVRAM=$STORES/one.fd define $VM 1 && vm_make two 1 && FIRMWARE=uefi NVRAM=$STORES/two.fd define two 1 && vm_make plain 1 && define plain 1 && vm_make bbb 1 &&
    cp $OVMF/OVMF_VARS_4M.fd "$STORES/one.fd" && cp $OVMF/OVMF_VARS_4M.fd "$STORES/two.fd" && chmod 0600 "$STORES"/* && mount_tree && wait_for listed_vm plain || exit 1
case_run "attack: definitions that name somebody's file as UEFI variables" no_stores
case_run "attack: two VMs with one variable store" shared_store
case_run "attack: a disk below the mount point, defined later" in_the_tree
case_run "attack: symlinks and headers among images that lead into the tree" among_images
case_run "attack: a catalog that is said to be in the tree" home_in_the_tree
canaries_end
attacks_end 70
