# Canaries: files of others, whose contents, looks and names must stay what they are, and which nobody may open, however an attack
# leads there. A script sources this after lib.sh, calls canaries_begin, and for each attack plants it, calls `attack` and asks
# `untouched`. attacks_end prints how many there were.
CANARIES=$WORK/canaries
ATTACKS=0
REFUSED=0
TOUCHED=0

# canaries_begin FILE…: in $CANARIES (`x/y` in a directory of its own), with contents that are nobody's business.
canaries_begin() {
    local name
    for name in mark "$@"; do
        mkdir -p "$(dirname "$CANARIES/$name")"
        echo "canary $name" > "$CANARIES/$name"
        touch -d 2020-01-01 "$CANARIES/$name"
    done
    mapfile -t CANARY_FILES < <(find "$CANARIES" -mindepth 1 ! -name mark)
    : > "$WORK/canary.log"
    python3 "$(dirname "${BASH_SOURCE[0]}")/canary.py" "$WORK/canary.log" "$CANARIES/mark" "${CANARY_FILES[@]}" < /dev/null 2> "$WORK/canary.err" &
    CANARY=$!
    wait_for grep -q '^watching' "$WORK/canary.log"
}
canaries_end() {
    [[ -z ${CANARY:-} ]] || kill "$CANARY" 2> /dev/null
    CANARY=
}

looks_of_canaries() { stat -c '%n %i %h %a %u:%g %s %y %z' "${CANARY_FILES[@]}"; }
# What was seen up to now is in the log when its end is the mark's.
canaries_heard() {
    local before
    before=$(grep -c '/mark was' "$WORK/canary.log")
    chmod "$((600 + before % 2 * 40))" "$CANARIES/mark"
    wait_for eval "[[ \$(grep -c '/mark was' '$WORK/canary.log') != $before ]]"
}
# What was done to them until now was the planting.
planted() {
    canaries_heard && echo watching > "$WORK/canary.log" && looks_of_canaries > "$WORK/canary.looks"
}
untouched() {
    canaries_heard || return
    if grep -v '^watching\|/mark was' "$WORK/canary.log" > "$WORK/canary.seen" || ! diff <(looks_of_canaries) "$WORK/canary.looks" >> "$WORK/canary.seen"; then
        TOUCHED=$((TOUCHED + 1))
        fail "touched after $ATTACKS attacks: $(sort "$WORK/canary.seen" | uniq -c | head -n 5 | tr '\n' ';')"
    fi
}

# attack ERROR COMMAND…: it must be refused with ERROR (a part of strerror's text), at once, and touch nothing.
attack() {
    ATTACKS=$((ATTACKS + 1))
    planted && refused "$@" && REFUSED=$((REFUSED + 1)) && untouched
}
# harmless COMMAND…: it may do what it does, but touches nothing.
harmless() {
    ATTACKS=$((ATTACKS + 1))
    planted && "$@" && REFUSED=$((REFUSED + 1)) && untouched
}

# attacks_end LEAST: the line with the counts; fewer attacks than that mean that something did not run.
attacks_end() {
    echo "# attacks $ATTACKS, refused $REFUSED, touched $TOUCHED"
    [[ -n ${ONLY:-} || $ATTACKS -ge $1 ]] && return
    echo "not ok attacks - there were $ATTACKS, not $1"
    FAILURES=$((${FAILURES:-0} + 1))
}
