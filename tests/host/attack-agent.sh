# A hostile guest agent: a real guest on a real libvirtd, in which a shell script answers instead of qemu-ga whatever it likes. Each
# mkdir is answered in time, with a snapshot or with a sentence; vmsnapfs stays small; a guest that may be frozen is never taken for
# thawed, and all goes on as soon as an agent answers as it should. What libvirt 9.0 makes of the answers stands in SECURITY.md.
. "$(dirname "$0")/lib.sh"
. "$HERE/guests.sh"
VM=prey
SECONDS_OF_AGENT=2

# ---- the agent, in the guest ----

# Reads questions from its port; /run/answers says what it answers to each. What it was asked last stands in /run/asked.
AGENT='port=$(for p in /sys/class/virtio-ports/*; do [ "$(cat $p/name)" = org.qemu.guest_agent.0 ] && echo /dev/${p##*/}; done)
exec 3<> $port
sync() { echo "{\"return\": $1}"; }
status() { echo "{\"return\": \"$(cat /run/state)\"}"; }
freeze() { echo frozen > /run/state; echo "{\"return\": 1}"; }
thaw() { echo thawed > /run/state; echo "{\"return\": 1}"; }
echo thawed > /run/state
while :; do
    read -r line <&3 || { usleep 50000; continue; }
    echo "$line" > /run/asked
    id=$(echo "$line" | sed -n "s/.*\"id\": *\([0-9]*\).*/\1/p")
    . /run/answers
    case $line in
    *guest-sync*) sync "$id" ;;
    *fsfreeze-status*) status ;;
    *fsfreeze-freeze*) freeze ;;
    *fsfreeze-thaw*) thaw ;;
    *) echo "{\"return\": {}}" ;;
    esac >&3
done'

put() { guest $VM "echo $(base64 -w 0 <<< "$2") | base64 -d > $1"; } # FILE-IN-THE-GUEST TEXT
disconnected() { ! connected $VM; }
agent() { # [ANSWERS]: a new one, whose answers are good but for these
    guest $VM 'kill -9 $(cat /run/agent.pid); killall -9 yes head' > "$WORK/said" 2>&1
    wait_for disconnected && put /run/answers "${1:-}" && guest $VM 'sh /run/agent > /run/agent.log 2>&1 & echo $! > /run/agent.pid' && wait_for connected $VM
}
# libvirt makes sure that it is understood when an agent is new, and then no more.
answer_so() { if [[ $1 == sync* ]]; then agent "$1"; else put /run/answers "$1"; fi; }
answers() { v qemu-agent-command $VM '{"execute":"guest-ping"}' --timeout 5 > /dev/null; }

# ---- what must hold ----

peak() { sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status"; }
frozen() { grep -qx "frozen $1" "$MNT/$VM/status"; }
thawing() { grep -qsx thaw "$MNT/$VM"/jobs/*/kind; }
# What our record says of the guest is what it is, or it says that it may be frozen, and a job is after it.
honest() {
    [[ $(guest $VM 'cat /run/state') == thawed ]] || frozen 1 || { fail "the guest is frozen, and nothing says so"; return 1; }
    frozen 0 || thawing || { fail "it may be frozen, and nothing thaws it"; return 1; }
}
well_again() { # by a new agent; what libvirt has heard from the old one is forgotten with it
    agent && wait_for answers && idle $VM && wait_for frozen 0 && [[ $(guest $VM 'cat /run/state') == thawed ]] && remove_all
}
good() {
    well_again && quiesce require 30 && mkdir "$MNT/$VM/snapshots/good" && [[ $(cat "$MNT/$VM/snapshots/good/consistency") == frozen ]] && remove_all || fail "it is not well: $(tail -n 1 "$MNT/$VM/errors")"
}
quiesce() { echo "$1" > "$MNT/$VM/policy/quiesce" && echo "$2" > "$MNT/$VM/policy/quiesce_timeout"; }
remove_all() {
    local name
    for name in $(ls "$MNT/$VM/snapshots"); do rmdir "$MNT/$VM/snapshots/$name" || return; done
    idle $VM && files $VM 1
}

# hostile ANSWERS POLICY…: a mkdir under each policy while the agent answers so.
hostile() {
    local policy begun took said before
    for policy in "${@:2}"; do
        is_state $VM running && answer_so "$1" && quiesce "$policy" $SECONDS_OF_AGENT || return
        ATTACKS=$((ATTACKS + 1))
        before=$(tail -n 1 "$MNT/$VM/errors") begun=$(date +%s%N)
        if said=$(timeout $PATIENCE mkdir "$MNT/$VM/snapshots/x" 2>&1); then
            log "$policy: a snapshot that is $(cat "$MNT/$VM/snapshots/x/consistency"): $(cat "$MNT/$VM/snapshots/x/warnings")"
            [[ $(wc -l < "$MNT/$VM/snapshots/x/warnings") -le 1 ]] && ! grep -q '[^[:print:]]' "$MNT/$VM/snapshots/x/warnings" || { fail "control characters are passed on"; return 1; }
            [[ $policy != require || $(cat "$MNT/$VM/snapshots/x/consistency") == frozen ]] || { fail "require, and it is $(cat "$MNT/$VM/snapshots/x/consistency")"; return 1; }
        else
            log "$policy: ${said##*: }: $(tail -n 1 "$MNT/$VM/errors" | cut -d' ' -f 7-)"
            [[ $(tail -n 1 "$MNT/$VM/errors") != "$before" ]] || { fail "$policy: nothing is said: $said"; return 1; }
            ! grep -q '[^[:print:]]' <<< "$(tail -n 1 "$MNT/$VM/errors")" || { fail "control characters are passed on"; return 1; }
        fi
        took=$((($(date +%s%N) - begun) / 1000000))
        ((took < SECONDS_OF_AGENT * 5000 + 5000)) || { fail "$policy took $took ms"; return 1; }
        honest || return
        REFUSED=$((REFUSED + 1))
        well_again || return
    done
}

small() {
    (($(peak "$DAEMON") < PEAK + 65536)) || fail "the daemon went from $PEAK kB to $(peak "$DAEMON") kB"
}

ATTACKS=0 REFUSED=0
guest_image || { echo "not ok attack-agent: a guest - it could not be made"; exit 1; }
libvirtd_begin && libvirtd_start || { echo "not ok attack-agent: a private libvirtd - $(cat "$WORK/lv/holder.log")"; exit 1; }
guest_disks $VM 1 && guest_xml $VM 1 agent=none > "$WORK/def.xml" && v define "$WORK/def.xml" && v start $VM || { echo "not ok attack-agent: a VM - it does not start"; exit 1; }
mount_tree && guest $VM true && put /run/agent "$AGENT" && agent && wait_for answers || { echo "not ok attack-agent: the agent - it does not answer"; exit 1; }
PEAK=$(peak "$DAEMON")
case_run "attack: an agent that is a script freezes and thaws" good
case_run "attack: an agent answers 100 MB without an end" hostile 'status() { yes "xxxxxxxxxxxxxxxx" | tr -d "\n" | head -c 104857600; }' require
case_run "attack: an agent answers with a word of 200 kB" hostile 'status() { echo "{\"return\": \"$(yes xxxxxxxxxxxxxxxx | tr -d "\n" | head -c 200000)\"}"; }' require
case_run "attack: an agent answers with wrong types" hostile 'status() { echo "{\"return\": [1, {\"a\": null}]}"; }
freeze() { echo "{\"return\": \"many\"}"; }' require try
case_run "attack: an agent answers half JSON, and no more" hostile 'status() { printf "{\"return\": \"fro"; }' require
case_run "attack: an agent answers to somebody else" hostile 'sync() { echo "{\"return\": $(($1 + 1))}"; }' require
case_run "attack: an agent freezes -1 file systems" hostile 'freeze() { echo frozen > /run/state; echo "{\"return\": -1}"; }' require
case_run "attack: an agent freezes 2^63 file systems" hostile 'freeze() { echo frozen > /run/state; echo "{\"return\": 9223372036854775808}"; }' try
case_run "attack: an agent freezes, and does not thaw" hostile 'thaw() { printf "%s\n" "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\\u001b[2J\\nEACCES: you have been had\"}}"; }' require
case_run "attack: an agent says thawed, and froze" hostile 'status() { echo "{\"return\": \"thawed\"}"; }' require
case_run "attack: an agent floods its port with answers" hostile 'sync() { yes "{\"return\": 1}" | head -n 100000; echo "{\"return\": $1}"; }' require
case_run "attack: an agent answers too late" hostile "freeze() { echo frozen > /run/state; sleep $((SECONDS_OF_AGENT + 1)); echo '{\"return\": 1}'; }" require
case_run "attack: after all these agents a good one is as good as ever" good
case_run "attack: the daemon stays small whatever agents answer" small
echo "# attacks $ATTACKS, refused $REFUSED, touched 0"
[[ -n ${ONLY:-} || $ATTACKS -ge 12 ]] || echo "not ok attacks - there were $ATTACKS, not 12"
