# `current`: reverting with ln, and the temporary links that it makes.
. "$FACE/lib.sh"
host_file two.yaml < /dev/null
mount_tree
S=$MNT/web01/snapshots
V=$MNT/web01

current_is() { same current "$1" "$(quick readlink "$V/current")"; }
fill() { works mkdir "$S/a" && works mkdir "$S/b" && works mkdir "$S/c"; }

ln_sfn_reverts() {
    fill && current_is snapshots/c || return
    works ln -sfn snapshots/a "$V/current" && current_is snapshots/a
    quick tail -n 2 "$V/tree" | head -n 1 | grep -q '^│ ○ c' || fail "the tree: $(quick cat "$V/tree")"
    works ln -sfn "$S/b" "$V/current" && current_is snapshots/b
    works ln -sfn ../web01/snapshots/c/ "$V/current" && current_is snapshots/c
    works test "$V/current/id" -ef "$S/c/id"
    clean web01
}
ln_sfT_and_mv_T_revert() {
    fill || return
    works ln -sfT snapshots/a "$V/current" && current_is snapshots/a
    works ln -s snapshots/b "$V/x" && works mv -T "$V/x" "$V/current" && current_is snapshots/b
    absent "$V/x"
    same "ansible's way" ok "$(errno_of '[os.symlink("snapshots/c", mnt + "/web01/.8.1.tmp"), os.rename(mnt + "/web01/.8.1.tmp", mnt + "/web01/current")]')"
    current_is snapshots/c
    clean web01
}
what_ln_is_told_is_what_readlink_says_at_once() {
    local turn
    fill || return
    for turn in a b c a c b; do
        works ln -sfn "snapshots/$turn" "$V/current" && current_is "snapshots/$turn" || return
        works test "$V/current/created" -ef "$S/$turn/created" || return
    done
    clean web01
}
symlink_makes_current_when_there_is_none() {
    absent "$V/current"
    refuses "No such file" ln -s snapshots/none "$V/current"
    clean web01
}
a_revert_to_what_is_not_there_is_refused() {
    fill || return
    refuses "No such file" ln -sfn snapshots/none "$V/current"
    refuses "No such file" ln -sfn / "$V/current"
    current_is snapshots/c
    clean web01
}
a_running_vm_is_not_reverted() {
    works mkdir "$MNT/db01/snapshots/x" || return
    refuses "Device or resource busy" ln -sfn snapshots/x "$MNT/db01/current"
    [[ $(quick tail -n 1 "$MNT/db01/errors") == *EBUSY* ]] || fail "errors do not say EBUSY"
    clean db01
}
runs() { [[ $(quick cat "$V/state") == running ]]; }
with_policy_start_a_reverted_vm_is_started() {
    fill || return
    refuses "Invalid argument" bash -c 'echo 2 > "$1" || exit 1' - "$V/policy/start"
    quick bash -c 'echo 1 > "$1"' - "$V/policy/start" || fail "policy/start"
    works ln -sfn snapshots/a "$V/current"
    current_is snapshots/a
    wait_until "it runs" runs
    quick bash -c 'echo 0 > "$1"; echo off > "$2"' - "$V/policy/start" "$V/state"
    works ln -sfn snapshots/b "$V/current"
    same state shutoff "$(quick cat "$V/state")"
    clean web01
}
temporary_links_are_not_listed_and_go_away() {
    works ln -s nowhere "$V/CuABCDEF" || return
    same target nowhere "$(quick readlink "$V/CuABCDEF")"
    [[ $(quick ls -a "$V") != *CuABCDEF* ]] || fail "it is listed"
    works rm "$V/CuABCDEF" && absent "$V/CuABCDEF"
    works ln -s nowhere "$V/.dotted" && wait_until "it goes by itself" link_is_gone "$V/.dotted"
    works ln -s again "$V/.dotted" && works rm "$V/.dotted"
    refuses "File exists" ln -s nowhere "$V/uuid"
}
link_is_gone() { ! quick test -L "$1"; }
links_can_be_made_nowhere_else() {
    refuses "Operation not permitted" ln -s x "$MNT/x"
    refuses "Operation not permitted" ln -s x "$S/x"
    refuses "Operation not permitted" ln -s x "$V/policy/x"
}
busybox_ln_is_told_what_to_do() {
    need busybox || return
    fill || return
    refuses "" busybox ln -sfn snapshots/a "$V/current"
    current_is snapshots/c
    said web01 "ln -s NEW x && mv -T x current"
    clean web01
}

for name in symlink_makes_current_when_there_is_none ln_sfn_reverts ln_sfT_and_mv_T_revert \
    what_ln_is_told_is_what_readlink_says_at_once a_revert_to_what_is_not_there_is_refused a_running_vm_is_not_reverted \
    with_policy_start_a_reverted_vm_is_started temporary_links_are_not_listed_and_go_away links_can_be_made_nowhere_else busybox_ln_is_told_what_to_do; do
    test_case "$name"
done
