# What can be put in the place of a file or a directory; sourced after canary.sh. Some lead to canaries: `secret`, the directory `etc`,
# `theirs` (which is not root's).
NOBODY=65534

# plant KIND PATH: put something in the place of what should be there; what was there is set aside.
plant() {
    [[ ! -e $2 && ! -L $2 ]] || mv -T "$2" "$2.aside"
    plant_there "$@" || { rm -f "$2" && plant_there "$@"; } # vmsnapfs looked meanwhile, and made a new one
}
plant_there() {
    case $1 in
    symlink) ln -s "$CANARIES/secret" "$2" ;;
    symlink-to-directory) ln -s "$CANARIES/etc" "$2" ;;
    dangling) ln -s "$CANARIES/none/new" "$2" ;;
    pipe) mkfifo "$2" ;;
    file) echo planted > "$2" ;;
    directory) mkdir -m 0700 "$2" && echo planted > "$2/planted" ;;
    theirs) echo planted > "$2" && chown $NOBODY "$2" ;;
    hardlink) ln "$CANARIES/theirs" "$2" ;;
    foreign) mkdir -m 0700 "$2" && chown $NOBODY "$2" ;;
    writable) mkdir "$2" && chmod 0770 "$2" ;;
    socket) python3 -c 'import os, socket, sys; os.chdir(os.path.dirname(sys.argv[1])); socket.socket(socket.AF_UNIX).bind(os.path.basename(sys.argv[1]))' "$2" ;;
    zeroes) mknod "$2" c 1 5 ;;
    giant) truncate -s 1G "$2" ;;
    bad) printf '\xff\x00%s' '{[&*' > "$2" ;;
    esac
}
uproot() { rm -rf "$1" && if [[ -e $1.aside ]]; then mv -T "$1.aside" "$1"; fi; }
