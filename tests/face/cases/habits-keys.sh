# What happens between keys, in an interactive bash on a terminal: completion, Ctrl-C, Ctrl-Z, a window that is closed, and kill -9 of who waits. Each
# ends soon, and with the tree as the command's answer says.
. "$FACE/lib.sh"
# Snapshots and definitions take a while, merges of running VMs stand still.
host_file two.yaml <<'Y'
slow_ms: {overlay: 250, snapshot: 250, define: 250}
job_blocks_per_look: 0
Y
mount_tree
export MNT WORK

# python: what follows, with the directories of both VMs in VM and DB, and what is there to ask.
typed() {
    local part
    part=$(cat)
    timeout -k 5 240 python3 - > "$WORK/said" 2>&1 <<P || fail "$(tail -n 1 "$WORK/said")"
import os, signal, subprocess, sys, time
sys.path.insert(0, "$FACE")
from typist import Typist
MNT = "$MNT"
VM, DB = MNT + "/web01", MNT + "/db01"
def read(path):
    with open(path) as file:
        return file.read()
def names(vm):
    return sorted(os.listdir(vm + "/snapshots"))
def waiting():
    return int(next(line.split()[1] for line in read(MNT + "/.vmsnapfs/stats").splitlines() if line.startswith("requests_waiting ")))
def until(what, condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)
def settled(vm, allowed):
    "Nobody waits any more, and the snapshots are one of the lists that are allowed, all ready."
    until("requests are answered", lambda: waiting() == 0)
    assert names(vm) in allowed, (names(vm), allowed)
    for name in names(vm):
        assert read(f"{vm}/snapshots/{name}/state") == "ready\n", name
def no_jobs(vm):
    for job in os.listdir(vm + "/jobs"):
        subprocess.run(["rmdir", f"{vm}/jobs/{job}"])
$part
P
}
picture() { quick cat "$MNT"/*/tree "$MNT"/*/snapshots/*/id; }
empty_both() {
    local job
    for job in $(quick ls "$MNT/db01/jobs"); do quick rmdir "$MNT/db01/jobs/$job"; done
    quick bash -c 'echo off > "$1"; echo running > "$2"' - "$MNT/web01/state" "$MNT/db01/state" 2> /dev/null
    clean web01
}

habits_completion_looks_and_changes_nothing() {
    works mkdir "$MNT/web01/snapshots/before upgrade" "$MNT/web01/snapshots/nightly-1" "$MNT/web01/snapshots/nightly-2" || return
    picture > "$WORK/before"
    typed <<'P'
with Typist(VM) as shell:
    assert shell.line("cat sna\tbef\tst\t")[0] == "ready\n" # the blank is quoted by bash
    assert shell.line("cat curr\t/i\td")[1] == 0
    shell.keys("rmdir snapshots/nightly-\t\t")
    assert "nightly-1" in (said := shell.expect(r"nightly-2[^\n]*\n")), said
    shell.keys("\x03")
    shell.expect("ready> ")
    assert shell.line("cat w\t/dev/null")[1] != 0 # wait and events are found by name only
    assert shell.line("cd ../w\tsnap\t && ls | wc -l")[0] == "3\n"
    shell.keys("ls ../../\t\t")
    shell.expect("web01/")
    shell.keys("\x03")
    shell.expect("ready> ")
P
    picture > "$WORK/after"
    cmp "$WORK/before" "$WORK/after" > /dev/null || fail "completion changed: $(diff "$WORK/before" "$WORK/after" | head -n 4)"
    clean web01
}

habits_ctrl_c_in_everything_that_waits() {
    works mkdir "$MNT/web01/snapshots/a" && works mkdir "$MNT/web01/snapshots/b" || return
    typed <<'P'
with Typist(VM) as shell:
    shell.pressed("mkdir snapshots/c", lambda: waiting() > 0)
    settled(VM, [["a", "b"]])
    shell.pressed("ln -sfn snapshots/a current", lambda: waiting() > 0)
    settled(VM, [["a", "b"]])
    assert os.readlink(VM + "/current") == "snapshots/b"
    shell.pressed("cat ../.vmsnapfs/events", lambda: "events" in subprocess.run(["pgrep", "-af", "cat ../.vmsnapfs/events"], capture_output=True, text=True).stdout)
    shell.pressed("tail -n 1 -f errors", lambda: shell.expect("EINTR: "))
    assert shell.line("mkdir snapshots/c && ln -sfn snapshots/a current && ln -sfn snapshots/c current && rmdir snapshots/c && cat wait > /dev/null")[1] == 0
    settled(VM, [["a", "b"]])
with Typist(DB) as shell:
    assert shell.line("mkdir snapshots/x")[1] == 0
    assert shell.line("rmdir snapshots/x")[1] == 0
    shell.pressed("cat wait", lambda: subprocess.run(["pgrep", "-f", "^cat wait"], capture_output=True).returncode == 0)
    assert os.listdir(DB + "/jobs"), "the job went with who waited for it"
    assert shell.line("for i in 1 2 3 4 5; do cat progress; done")[0].count("merge vda") == 5
    assert shell.line("echo off > state")[1] == 0 # the merge goes on without the VM
    assert shell.line("cat wait > /dev/null; ls snapshots")[0] == ""
P
    empty_both
}

habits_ctrl_z_and_a_closed_window() {
    typed <<'P'
shell = Typist(VM)
with shell:
    shell.pressed("mkdir snapshots/z", lambda: waiting() > 0, "\x1a") # stopped, not ended: the snapshot is taken
    shell.keys("fg\n")
    shell.expect("ready> ")
    settled(VM, [["z"]])
with Typist(VM) as shell: # and then its window is closed
    shell.keys("mkdir snapshots/hup\n")
    until("it waits", lambda: waiting() > 0)
settled(VM, [["z"], ["hup", "z"]])
P
    empty_both
}

habits_kill_9_of_who_waits() {
    works mkdir "$MNT/web01/snapshots/a" && works mkdir "$MNT/web01/snapshots/b" && works mkdir "$MNT/db01/snapshots/m" && works rmdir "$MNT/db01/snapshots/m" || return
    typed <<'P'
def killed(*command):
    client = subprocess.Popen(command)
    until(f"{command} waits", lambda: waiting() > 0)
    client.kill()
    client.wait()
for turn in range(3):
    killed("mkdir", VM + "/snapshots/c")
    settled(VM, [["a", "b"], ["a", "b", "c"]])
    if "c" in names(VM):
        subprocess.run(["rmdir", VM + "/snapshots/c"], check=True)
        subprocess.run(["cat", VM + "/wait"], check=True, capture_output=True)
killed("ln", "-sfn", "snapshots/a", VM + "/current")
settled(VM, [["a", "b"]])
assert os.readlink(VM + "/current") in ("snapshots/a", "snapshots/b")
reader = subprocess.Popen(["cat", DB + "/wait"], stdout=subprocess.DEVNULL)
until("it reads", lambda: os.path.exists(f"/proc/{reader.pid}/fd/3") and DB in os.readlink(f"/proc/{reader.pid}/fd/3"))
reader.kill()
reader.wait()
assert len(os.listdir(DB + "/jobs")) == 1
# The same again, and all the way.
for command in (["mkdir", VM + "/snapshots/c"], ["mv", VM + "/snapshots/c", VM + "/snapshots/d"], ["ln", "-sfn", "snapshots/a", VM + "/current"], ["rmdir", VM + "/snapshots/d"], ["cat", VM + "/wait"]):
    subprocess.run(command, check=True, capture_output=True)
settled(VM, [["a", "b"]])
P
    empty_both
}

for name in habits_completion_looks_and_changes_nothing habits_ctrl_c_in_everything_that_waits habits_ctrl_z_and_a_closed_window habits_kill_9_of_who_waits; do
    test_case "$name"
done
