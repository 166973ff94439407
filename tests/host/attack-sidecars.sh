# What snapshots keep of UEFI variables and vTPM state, with something else planted in its place, as by a restored backup or a slip of
# root's: through a real mount, on real files. What is planted is neither read, followed nor shown, a revert refuses before anything is
# changed, and a removal takes away what has the name, and nothing that it leads to. The VM goes on, and can be snapshotted meanwhile.
. "$(dirname "$0")/lib.sh"
. "$HERE/canary.sh"
. "$HERE/plant.sh"
. "$HERE/firmware.sh"
VM=kept
S=$MNT/$VM/snapshots

place_of() { # PLACE: where it is kept with s1
    case $1 in
    vars) vars_of $VM s1 ;;
    tpm) tpm_of $VM s1 ;;
    inner) echo "$(tpm_of $VM s1)/tpm2-00.permall" ;;
    vars-directory) dirname "$(vars_of $VM s1)" ;;
    tpm-directory) dirname "$(tpm_of $VM s1)" ;;
    esac
}
shown_as() { [[ $1 == vars* ]] && echo vars.fd || echo tpm/tpm2-00.permall; }
own_state() { sha256sum "$(store $VM)" "$(tpm_state $VM)"/tpm2-*; }
said_of_it() { tail -n 1 "$MNT/$VM/errors" | grep -q "VM $VM was not reverted to s1, nothing was changed: .*$(uuid_of $VM)" || fail "errors: $(tail -n 1 "$MNT/$VM/errors")"; }
# Something that is removed by its name is changed, if that was not its only one.
unharmed() { if [[ $1 == hardlink ]]; then [[ $(cat "$CANARIES/theirs") == "canary theirs" ]]; else untouched; fi; }

# What was there is no part of what is found there now.
set_aside() { [[ $1 == *-directory ]] || rm -rf "$2.aside"; }
take() { snap $VM s1 && own_state > "$WORK/own"; }
spared() { own_state | diff "$WORK/own" - > "$WORK/diff" || fail "its own state was changed: $(cat "$WORK/diff")"; }
planted_as() { # PLACE KIND
    local at
    take && at=$(place_of "$1") && plant "$2" "$at" && set_aside "$1" "$at" && attack "" cat "$S/s1/$(shown_as "$1")" && attack "" ln -sfn snapshots/s1 "$MNT/$VM/current" && said_of_it && spared || return
    if [[ $1 == *-directory ]]; then
        attack "Permission denied" mkdir "$S/x" && uproot "$at" && drop $VM s1 || return
    else
        harmless snap $VM x && harmless drop $VM x && harmless mv "$S/s1" "$S/s2" || return
        mv "$WORK/expect/$VM/snapshots/s1.vda" "$WORK/expect/$VM/snapshots/s2.vda" && planted && drop $VM s2 && unharmed "$2" || return
        ATTACKS=$((ATTACKS + 1)) REFUSED=$((REFUSED + 1))
        [[ ! -e $at && ! -L $at ]] || grep -q "sidecar.* could not be removed.*$at" "$MNT/$VM/errors" || { fail "it is still there, and nobody says so"; return 1; }
        rm -rf "$at"
    fi
    [[ $1 != inner ]] || rm -rf "$(dirname "$at")"
    spared && listed $VM "" && check $VM
}
planted_in() { # PLACE KIND…
    local kind
    for kind in "${@:2}"; do planted_as "$1" "$kind" || { FAILED+=" ($kind as $1)"; return 1; }; done
}
all_is_well() {
    count_kept $VM vars 0 && count_kept $VM tpm 0 && take && revert $VM s1 && start $VM && stop $VM && revert $VM s1 && drop $VM s1 && check $VM
}

FIRMWARE=uefi TPM=1 vm_make $VM 1
trap 'canaries_end; end' EXIT
canaries_begin secret etc/passwd theirs && chown $NOBODY "$CANARIES/theirs" && mount_tree && start $VM && stop $VM || exit 1
case_run "attack: something else in the place of kept variables" planted_in vars symlink dangling pipe directory socket zeroes giant bad hardlink theirs
case_run "attack: something else in the place of kept vTPM state" planted_in tpm symlink-to-directory pipe file foreign
case_run "attack: something else in the place of a file of kept vTPM state" planted_in inner symlink pipe zeroes giant hardlink theirs directory
case_run "attack: something else in the place of the directory of kept variables" planted_in vars-directory symlink-to-directory foreign writable file
case_run "attack: something else in the place of the directory of kept vTPM state" planted_in tpm-directory symlink-to-directory foreign writable file
case_run "attack: after what was planted as a copy all is what it was" all_is_well
canaries_end
attacks_end 120
