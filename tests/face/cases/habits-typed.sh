# What people type without thinking, a line each: what it says, and that everything is as it was before, or just as it was meant. The whole tree is
# compared, to the last date. What tools do is in habits.sh, deleting in sweep.sh.
. "$FACE/lib.sh"
host_file two.yaml < /dev/null
mount_tree
V=$MNT/web01
S=$V/snapshots
export MNT WORK

# Two VMs with snapshots, one of them held and one hidden, with texts.
fill() {
    works mkdir "$S/one" "$S/a" && works ln -sfn snapshots/one "$V/current" && works mkdir "$S/b" "$S/a b" && works rmdir "$S/one" && works mkdir "$MNT/db01/snapshots/a" "$MNT/db01/snapshots/c" || return
    works chmod a-w "$S/b" && echo "as it was" > "$S/a/description" && works cat "$V/wait"
}
# All that can be seen, but for what tells of the looking, and the dates of what is no snapshot: those are of the last look.
picture() {
    (cd "$MNT" && quick find . \( -name errors -o -name stats -o -path ./.vmsnapfs/status -o -path ./.vmsnapfs/by-uuid \) -prune -o -printf '%p %y %m %U %G %s %l %i\n' | sort && quick find */snapshots -mindepth 1 -printf '%p %T@\n' | sort && quick cat */info.yaml */tree */status */policy/* */snapshots/*/description)
}
type_line() { (cd "$V" && quick bash -uc "$1" < /dev/null > "$WORK/said" 2>&1); }

# Each line: what it must say (nothing: it succeeds; a dash: it fails, however), a bar, what is typed in the directory of web01.
nothing_changes() {
    local text line status
    fill && all_lines_change_nothing
    clean web01
    clean db01
}
all_lines_change_nothing() {
    picture > "$WORK/before"
    while IFS='|' read -r text line; do
        [[ -n $line ]] || continue
        type_line "$line"
        status=$?
        if [[ -z $text ]]; then
            [[ $status == 0 ]] || fail "\"$line\" failed with $status: $(tail -n 1 "$WORK/said")"
        else
            [[ $status != 0 ]] || fail "\"$line\" said success"
            [[ $text == - ]] || grep -qF -- "$text" "$WORK/said" || fail "\"$line\" said <$(tail -n 2 "$WORK/said")>, not $text"
        fi
        picture > "$WORK/after"
        cmp -s "$WORK/before" "$WORK/after" || fail "\"$line\" changed: $(diff "$WORK/before" "$WORK/after" | head -n 4)"
        [[ -z $FAILED ]] || return
    done
}

habits_deleting_too_much() {
    nothing_changes <<'L'
Operation not permitted|rm -rf ../web01
Operation not permitted|rm -rf "$MNT"
Operation not permitted|rm -rf --no-preserve-root "$MNT"/
Operation not permitted|rm -rf *
Operation not permitted|rm -rf ./* ../*
Operation not permitted|rm -rf "$MNT"/{*,.[!.]*}
Operation not permitted|rm -rf snapshots
Operation not permitted|rm -rf snapshots/
Operation not permitted|rm -rf snapshots hidden jobs
-|rm -rf .
-|rm -rf ..
Operation not permitted|cd .. && rm -r web01/
Operation not permitted|rm current
Operation not permitted|rm -f current state
Operation not permitted|unlink uuid
|rm -rf current/ # the files in there say so, and rm -f minds no link
Operation not permitted|rmdir snapshots
Operation not permitted|rmdir ../web01
Operation not permitted|rmdir policy hidden/* hidden
Operation not permitted|rm -rf hidden/*
Device or resource busy|rmdir snapshots/b
Device or resource busy|rm -rf snapshots/b
-|unlink snapshots/a
-|rm snapshots/a
-|rm snapshots/*
No such file|rmdir snapshots/none
Operation not permitted|find . -delete
Operation not permitted|find "$MNT" -delete
Operation not permitted|find snapshots -mindepth 1 -delete
Operation not permitted|find . -type f -delete
-|find . -print0 | xargs -0 rm -rf
-|find . -type d -print0 | xargs -0 rmdir
-|mkdir -p "$WORK/empty" && rsync -a --delete "$WORK/empty/" ./
-|rsync -a --delete "$WORK/empty/" snapshots/
-|python3 -c 'import shutil; shutil.rmtree("../web01")'
-|git init .
-|git init snapshots
-|busybox rm -rf ../web01
L
}

habits_moving_to_where_it_cannot_go() {
    nothing_changes <<'L'
Operation not permitted|mv snapshots/a ../db01/snapshots/
Operation not permitted|mv snapshots/a ../db01/snapshots/other
Operation not permitted|mv snapshots/* ../db01/snapshots
Operation not permitted|mv -T snapshots/a ../db01/snapshots/c
Operation not permitted|mv snapshots/a snapshots/b
-|mv -T snapshots/a snapshots/b
-|mv -fT snapshots/a "snapshots/a b"
-|mv snapshots/a snapshots/a/b
-|mv snapshots/a snapshots/a
Operation not permitted|mv snapshots/a .
Operation not permitted|mv snapshots/a ..
Operation not permitted|mv snapshots old
Operation not permitted|mv hidden/* snapshots/back
Operation not permitted|mv state State
Operation not permitted|mv current snapshots/x
Operation not permitted|mv current x
Operation not permitted|mv ../web01 ../db01
-|mv -T ../web01 ../db01
Operation not permitted|mv ../README ../readme
Operation not permitted|mv snapshots/a snapshots/.a
Operation not permitted|mv snapshots/a snapshots/-a
Operation not permitted|mv snapshots/a $'snapshots/a\nb'
File name too long|mv snapshots/a snapshots/$(printf %0201d 1)
No such file|mv snapshots/none snapshots/x
Operation not permitted|rm -rf "$WORK/out"; mkdir "$WORK/out" && mv snapshots/a "$WORK/out/"
Operation not permitted|rm -rf "$WORK/out"; mv "$MNT/web01" "$WORK/out"
Operation not permitted|rm -rf "$WORK/out"; mv snapshots "$WORK/out"
L
}

habits_writing_where_nothing_is_written() {
    mkdir -p "$WORK/from" && echo x > "$WORK/from/file" && tar -C "$WORK/from" -cf "$WORK/from.tar" file
    nothing_changes <<'L'
Operation not permitted|touch new
Operation not permitted|touch snapshots/new
Operation not permitted|touch snapshots/a/.nfs000000000000000100000001
Operation not permitted|> snapshots/new
Is a directory|> snapshots/a
Operation not permitted|> snapshots/a/new
Permission denied|set -o noclobber; setpriv --reuid 65533 --clear-groups bash -c '> snapshots/a/description'
Operation not permitted|cp "$WORK/from/file" snapshots/
Operation not permitted|cp "$WORK/from/file" snapshots/a
-|cp "$WORK/from/file" snapshots/a/id
Operation not permitted|cp -T "$WORK/from/file" snapshots/new
Operation not permitted|cp "$WORK/from/file" .
Operation not permitted|tar xf "$WORK/from.tar"
-|rsync -a "$WORK/from/" ./
Operation not permitted|tee snapshots/a/new
Operation not permitted|sed -i s/as/AS/ snapshots/a/description
Operation not permitted|sed -i.bak s/as/AS/ snapshots/a/description
Operation not permitted|cp snapshots/a/description snapshots/a/description~
Operation not permitted|mkdir policy/x
Operation not permitted|mkdir new
Operation not permitted|mkdir ../new
Operation not permitted|mkdir snapshots/a/sub
Operation not permitted|mkdir -p snapshots/a/b/c
File exists|mkdir snapshots/a
File exists|mkdir snapshots/a/
Invalid argument|mkdir snapshots/.Trash-1000
Invalid argument|mkdir -p snapshots/.git/objects
Invalid argument|mkdir -- snapshots/-x
Invalid argument|mkdir $'snapshots/a\tb'
Invalid argument|mkdir $'snapshots/\xff'
-|install -d snapshots/.snap
|mkdir -p snapshots/a
|install -d snapshots/a/
|mkdir -p snapshots/a/ "snapshots/a b"
Operation not permitted|mkfifo snapshots/pipe
Operation not permitted|mknod snapshots/null c 1 3
Operation not permitted|truncate -s 0 snapshots/a/id
Operation not permitted|truncate -s 1G snapshots/a/description
-|fallocate -l 1M snapshots/a/description
Operation not permitted|chmod -R 777 policy disks state
Operation not permitted|chmod 000 snapshots
Operation not permitted|chown -R 65533 .
Operation not permitted|chown 65533 snapshots/a
|touch snapshots/a; touch -d yesterday snapshots/a/description snapshots state
-|setfacl -m u:65533:r state
-|setfattr -n user.x -v y state
-|git -C snapshots init -q
-|echo nonsense > state
-|echo nonsense > drift
-|dd if=/dev/zero of=snapshots/a/description bs=1M count=1
L
}

habits_linking_the_wrong_way() {
    nothing_changes <<'L'
Operation not permitted|ln -s snapshots/a current
Operation not permitted|ln -sf snapshots/a current
Operation not permitted|ln -s snapshots/a current/
Operation not permitted|ln snapshots/a/id id
Operation not permitted|ln -s ../a snapshots/alias
-|ln snapshots/a snapshots/alias
No such file|ln -sfn snapshots/none current
No such file|ln -sfn ../db01/snapshots/a current
No such file|ln -sfn "$MNT/db01/snapshots/a" current
No such file|ln -sfn /etc/a current
No such file|ln -sfn snapshots/a/id current
No such file|ln -sfn hidden/a current
No such file|ln -sfn snapshots current
No such file|ln -sfn . current
No such file|ln -sfn .. current
Device or resource busy|ln -sfn snapshots/a ../db01/current
L
}

habits_reading_all_of_it() {
    nothing_changes <<'L'
|ls -lR "$MNT"
|ls -la . snapshots/* current/
|ls -lt snapshots; ls -U snapshots
|du -sh . && du -ah --apparent-size .
|df -h . snapshots/a
|grep -r as . > "$WORK/greps" && grep -q description "$WORK/greps"
|grep -rn ready "$MNT" | wc -l
-|diff -r snapshots/a snapshots/b
|diff -r snapshots/a snapshots/a
|diff -r . ../web01
|find . -exec stat {} + && find . -type f -exec cat {} +
|for i in 1 2 3 4 5; do ls -l snapshots; cat progress tree; done
|less -FX tree; more tree
|timeout 2 tail -n 3 -f errors || [[ $? == 124 ]]
|tar cf "$WORK/all.tar" .
|rm -rf "$WORK/copy"; cp -a . "$WORK/copy" && diff -r --no-dereference snapshots "$WORK/copy/snapshots"
|rsync -a ./ "$WORK/synced/"
|cat */* snapshots/*/* > /dev/null 2>&1; true
|vim -es -u NONE -c q snapshots/a/description
|vim -es -u NONE -c q .
|stat -f . && sync -f . ; sync snapshots/a/description; true
|shopt -s globstar nullglob; echo ** .* > /dev/null
|cd snapshots/a && cd .. && cd - && pwd && cd -P ../../current && cd ..
|find . -samefile snapshots/a; find . -newer snapshots/a; find . -empty; find -L . -maxdepth 3
L
}

# ---- what is meant, and happens ----

# Each line: the snapshots of web01 afterwards, a bar, what is typed.
it_is_as_meant() {
    local names line
    while IFS='|' read -r names line; do
        [[ -n $line ]] || continue
        type_line "$line" || [[ $line == *'|| true' ]] || fail "\"$line\" failed: $(tail -n 1 "$WORK/said")"
        type_line 'cat wait'
        same "after \"$line\"" "$names" "$(cd "$S" && quick bash -c 'printf "%s," *')"
        ! quick bash -c 'cat "$1"/*/state' - "$S" 2> /dev/null | grep -v ready || fail "\"$line\": not all are ready"
        [[ -z $FAILED ]] || break
    done
    clean web01
    same "of the other VM" "" "$(names "$MNT/db01/snapshots")"
}
habits_lines_that_do_what_they_say() {
    it_is_as_meant <<'L'
t,|mkdir snapshots/t/
t,|mkdir -p snapshots/t/ && mkdir -p snapshots/t
*,|rmdir snapshots/t/
t,|install -d snapshots/t
*,|rmdir -p snapshots/t 2> /dev/null || true
t,u,|mkdir -pv snapshots/{t,u}
u,v,|mv snapshots/t snapshots/v
t,u,|mv snapshots/v snapshots/t
t,u,|cd snapshots && mv t x && mv u t && mv x u
u,v,|mv -n snapshots/t snapshots/v
u,v,|cd snapshots/v && pwd && mv ../v ../w && mv ../w ../v && cat id
u,|rm -rf snapshots/v
u,w,|mkdir snapshots/w
u,u~,|mv -bT snapshots/w snapshots/u
u,|rmdir snapshots/u~
*,|find snapshots/u -delete
a,b,c,d,|mkdir snapshots/{a,b,c,d}
*,|ls snapshots | xargs -P 4 -I{} rmdir snapshots/{}
a b,c d,|mkdir "snapshots/a b" 'snapshots/c d'
a b,c d,|ls snapshots | xargs rmdir 2> /dev/null || true
*,|printf '%s\0' snapshots/* | xargs -0 -P 2 -n 1 rmdir
a,b,|mkdir snapshots/a snapshots/b && rm -rf "$WORK/c" && cp -a snapshots/a "$WORK/c" && cd snapshots/a && cd .. && ls
a,b,|rm -r snapshots/a/description || true
b,|yes | rm -ri snapshots/a || rm -rf snapshots/a
b,|cd snapshots && rm -rf a*
*,|rm -rf snapshots/*
x,y,|mkdir snapshots/{x,y}
*,|exec rm -r snapshots/[xy]
1,2,3,|for i in 1 2 3; do mkdir snapshots/$i; done
3,|rmdir snapshots/[12]
3,x,|mkdir -m 700 snapshots/x
*,|cd snapshots && rmdir *
L
}

habits_names_of_every_kind() {
    local name i
    local -a all=("a b" "ä ö" "😀" "a'b" 'a"b' '$(id)' '`id`' '*' '?' '[ab]' '~' '#x' 'a\b' 'x;y' '!x' 'a&b' '(x)' '{a,b}' 'a=b' '%s' 'x-' '+' '..x..' 'CON' 'current' 'new~')
    for name in "${all[@]}"; do
        if [[ $name == .* ]]; then refuses "Invalid argument" mkdir "$S/$name"; else works mkdir "$S/$name"; fi
        [[ -z $FAILED ]] || return
    done
    same "as many as were made" $((${#all[@]} - 1)) "$(quick find "$S" -mindepth 1 -maxdepth 1 -printf x | wc -c)"
    (cd "$S" && for i in *; do [[ -s $i/id && $(cat "$i/state") == ready ]] && mv "$i" "$i 2" && mv "$i 2" "$i" || exit 1; done) || fail "a name does not stand for itself"
    (cd "$S" && quick rmdir -- *) || fail "rmdir of all"
    same left "" "$(names "$S")"
    clean web01
}

for name in deleting_too_much moving_to_where_it_cannot_go writing_where_nothing_is_written linking_the_wrong_way reading_all_of_it \
    lines_that_do_what_they_say names_of_every_kind; do
    test_case "habits_$name"
done
