# 100 random sequences of create, write, revert, remove, start and stop on real qcow2 files (E-42, W0): after every
# revert and removal all contents are as the model says, and no file is left behind. Every fifth sequence turns the power too
# (a stop of QEMU takes more than a second). The seed is fixed; SEED=n tries another one.
. "$(dirname "$0")/lib.sh"
RANDOM=${SEED:-20261}

pick() { local all=("$MNT/$1"/snapshots/*); [[ -e ${all[0]} ]] || return 1; basename "${all[RANDOM % ${#all[@]}]}"; }

step() {
    local vm=$1 name
    case $((RANDOM % 10)) in
    0 | 1 | 2) [[ $(ls "$MNT/$vm/snapshots" | wc -l) -ge 5 ]] || { COUNT=$((COUNT + 1)) && DONE+=" mkdir:s$COUNT" && snap "$vm" s$COUNT; } ;;
    3 | 4) DONE+=" write" && scribble "$vm" $((RANDOM % 250 + 1)) ;;
    5 | 6) ! name=$(pick "$vm") || { DONE+=" revert:$name" && revert_keeping "$vm" "$name" && check "$vm"; } ;;
    7 | 8) ! name=$(pick "$vm") || { DONE+=" rmdir:$name" && drop "$vm" "$name" && check "$vm"; } ;;
    9) if [[ $POWER == no ]]; then DONE+=" write" && scribble "$vm" $((RANDOM % 250 + 1)); elif is_state "$vm" shutoff; then DONE+=" start" && start "$vm"; else DONE+=" off" && stop "$vm"; fi ;;
    esac
}

sequence() { # VM NUMBER: eight steps, then everything is removed, compared each time, and one file a disk is left
    local vm=$1 i name
    COUNT=0 DONE= POWER=no
    [[ $(($2 % 5)) != 0 ]] || POWER=yes
    for ((i = 0; i < 8; i++)); do step "$vm" || { FAILED+=" after$DONE"; return 1; }; done
    [[ $POWER == no ]] || stop "$vm"
    check "$vm" || { FAILED+=" after$DONE"; return 1; }
    for name in $(ls "$MNT/$vm/snapshots"); do drop "$vm" "$name" && check "$vm" || { FAILED+=" after$DONE, then rmdir:$name"; return 1; }; done
    hidden "$vm" 0 && files "$vm" 2 || { FAILED+=" after$DONE"; return 1; }
}

vm_make dice 2
mount_tree || exit 1
for n in $(seq 100); do case_run "E-42 random sequence $n" sequence dice "$n"; done
stop dice
