"""The driver of tests/crash/kill/run: rounds of VMs that are changed, a kill, a new start of everything, and a look at all laws."""
import argparse
import collections
import concurrent.futures
import contextlib
import errno
import os
import random
import subprocess
import sys
import threading
import time

from disk import Broken
from host import MNT, PATIENCE, WORK, Daemon, Libvirtd, read, wait_for
from laws import Recovery
from vm import Vm

NAMES = ("vmsnapfs", "libvirtd", "QEMU")
KINDS = ("create", "revert", "remove live active", "remove live inner", "remove off-chain", "remove offline", "rename", "rename_vm", "adopt")
VICTIMS = {("vmsnapfs",): 5, ("libvirtd",): 3, ("QEMU",): 3, ("vmsnapfs", "libvirtd"): 2, ("vmsnapfs", "QEMU"): 2, ("libvirtd", "QEMU"): 1,
           ("vmsnapfs", "libvirtd", "QEMU"): 1}
LIMIT = 15  # minutes that a run may take, and a soak longer than it was asked to
LOSSES = {1: "lost track of a snapshot", 2: "lost track of a job", 3: "forgot a running VM", 4: "kept a layer that is merged",
          5: "forgot a node of QEMU", 6: "did not see the end of a pivot", 7: "and QEMU ended in a pivot"}


class Tally:
    """What was done, and what became of it."""

    def __init__(self):
        self.begun, self.cut, self.kills, self.lost, self.together = (collections.Counter() for _ in range(5))
        self.compared = self.rounds = 0
        self.usual = collections.defaultdict(lambda: 0.1)  # seconds that a thing takes
        self.aim, self.left, self.aimed = None, 0, threading.Event()  # at the VM, and the how maniest thing that is done to it
        self.hit = None  # the kind of that thing

    def enough(self, kills, victims):
        """That many processes were killed, each of `victims` together, and everything was done, often enough."""
        often = [*(self.begun[kind] for kind in KINDS), *(self.together[names] for names in victims)]
        return sum(self.kills.values()) >= kills and min(often) >= kills // 100

    @contextlib.contextmanager
    def timed(self, vm, kind):
        """One thing that is done to `vm`; who aims at that VM hears of it."""
        self.begun[kind] += 1
        if self.aim is vm:
            self.left -= 1
            if self.left == 0:
                self.hit = kind
                self.aimed.set()
        start = time.monotonic()
        try:
            yield
        except OSError as error:
            if error.errno == errno.EBUSY:
                self.begun[kind] -= 1
            else:
                self.cut[kind] += 1
            raise
        self.usual[kind] += (time.monotonic() - start - self.usual[kind]) / 8


class Run:
    def __init__(self, seed, who):
        self.seed, self.rng = seed, random.Random(seed)
        self.victims_of = {kinds: weight for kinds, weight in VICTIMS.items() if set(kinds) <= set(who)}
        self.tally, self.since = Tally(), time.monotonic()
        self.libvirtd, self.daemon = Libvirtd(), Daemon()
        self.vms = [Vm(disks) for disks in (1, 2, 3, 4)]
        self.killed = []  # in this round
        self.pool = concurrent.futures.ThreadPoolExecutor(len(self.vms))

    def begin(self):
        self.libvirtd.up()
        wait_for("libvirtd", lambda: os.path.exists(os.path.join(WORK, "lv/run/libvirt-sock")))
        for vm in self.vms:
            vm.define()
        self.daemon.up()
        self.recover()
        for vm in self.vms:
            vm.power("running")

    # ---- a round ----

    def prepare(self, vm, rng):
        """Some are off, for what needs that; some have a snapshot that we do not know."""
        if vm.running and rng.random() < 0.1:
            vm.power("off")
        elif not vm.running and rng.random() < 0.4:
            vm.power("running")
        if not vm.running and rng.random() < 0.5:
            vm.write_offline(rng)
        if vm.snapshots and rng.random() < 0.06:
            vm.take_foreign()

    def victims(self):
        kinds = self.rng.choices(list(self.victims_of), list(self.victims_of.values()))[0]
        processes = [process for process in (self.daemon, self.libvirtd) if process.name in kinds]
        running = [vm.qemu for vm in self.vms if vm.running]
        if "QEMU" in kinds and running:
            processes += running if self.rng.random() < 0.1 else [self.rng.choice(running)]
        self.rng.shuffle(processes)
        return processes or [self.daemon]

    def wait_for_the_moment(self):
        """Somewhere in a thing that is done to one of the VMs, or a little after it, when its job runs."""
        tally = self.tally
        kind = tally.hit if tally.aimed.wait(0.5) else "create"
        usual = tally.usual[kind] + (0.1 if kind.startswith("remove") else 0.005)
        time.sleep(self.rng.random() * usual)

    def round(self):
        tally, until = self.tally, threading.Event()
        name = f"{self.seed}/{tally.rounds}"
        for done in [self.pool.submit(self.prepare, vm, random.Random(f"{name}/{vm.uuid}/prepare")) for vm in self.vms]:
            done.result()
        processes = self.victims()
        tally.aimed.clear()
        tally.aim, tally.left = self.rng.choice(self.vms), self.rng.randint(1, 3)
        threads = [thread for vm in self.vms for thread in vm.begin(f"{name}/{vm.uuid}", until, tally)]
        self.wait_for_the_moment()
        until.set()
        self.killed = []
        self.kill(processes)
        tally.together[tuple(name for name in NAMES if name in self.killed)] += 1
        dead = [process for process in processes if process in (self.daemon, self.libvirtd)]
        self.start_again(dead)
        if dead and self.rng.random() < 0.75: # and once more, while it recovers
            time.sleep(self.rng.random() * 0.2)
            again = [process for process in (self.daemon, self.libvirtd) if (process.name,) in self.victims_of]
            again = self.rng.sample(again, min(len(again), self.rng.choice((1, 2))))
            self.kill(again)
            tally.together["again"] += 1
            self.start_again(again)
        for thread in threads: # one may wait for a job that waits for libvirt
            thread.join()
        self.recover()
        tally.rounds += 1

    def kill(self, processes):
        for process in processes:
            process.kill()
            self.tally.kills[process.name] += 1
            self.killed.append(process.name)
            time.sleep(self.rng.choice((0, 0, 0.002, 0.01)))

    def start_again(self, dead):
        for process in dead:
            process.clear()
        for process in self.rng.sample(dead, len(dead)):
            process.up()

    def recover(self):
        wait_for("vmsnapfs sees libvirt", self.daemon.sees_libvirt)
        checks = [self.pool.submit(Recovery(vm, self.tally).check) for vm in self.vms]
        for check in checks:
            check.result()
        orphans = os.listdir(os.path.join(MNT, ".vmsnapfs/orphans"))
        if orphans:
            raise Broken(f"orphans: {orphans}")

    def end(self):
        """All start, and stop, and are what they were."""
        for vm in self.vms:
            if not vm.running:
                vm.power("running")
        self.recover()
        for vm in self.vms:
            vm.power("off")
        self.recover()


def show_all(run):
    """What is known of a difference."""
    for vm in run.vms:
        print(f"# --- {vm.name}: running {vm.running}, QEMU {vm.qemu.pid}, snapshots {list(vm.snapshots)}, writes {len(vm.log)}")
        for name in ("tree", "status", "drift", "errors"):
            with contextlib.suppress(OSError):
                print("\n".join(f"#   {line}" for line in read(vm.path(name)).splitlines()[-20:]))
    print("\n".join(f"# log: {line}" for line in read(os.path.join(WORK, "daemon.log")).splitlines()[-20:]))


def show_threads(name, pid):
    """Where each thread of a process stands."""
    for task in sorted(os.listdir(f"/proc/{pid}/task")):
        what = " ".join(read(f"/proc/{pid}/task/{task}/{key}").strip() for key in ("comm", "wchan", "syscall"))
        print(f"# {name} {pid}/{task}: {what}")
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(("gdb", "-p", str(pid), "-batch", "-ex", "thread apply all bt 16"), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        print("\n".join(f"# {name}: {line[:200]}" for line in done.stdout.splitlines() if line.startswith(("#", "Thread"))))


def give_up(run, why):
    """What hangs is shown, whether files of the mount are answered or not, and everything ends."""
    for process in (run.daemon, run.libvirtd):
        with contextlib.suppress(OSError):
            show_threads(process.name, process.process.pid)
    print("\n".join(f"# log: {line}" for line in read(os.path.join(WORK, "daemon.log")).splitlines()[-20:]))
    print(f"not ok kill - round {run.tally.rounds} of seed {run.seed}: {why}", flush=True)
    for process in (run.daemon, run.libvirtd, *(vm.qemu for vm in run.vms)):
        with contextlib.suppress(OSError):
            process.kill()
    os._exit(1)


def watch(run, alive, minutes):
    """A request that is never answered would keep us for ever."""
    seen, end = -1, time.monotonic() + 60 * minutes
    while not alive.wait(min(4 * PATIENCE, max(end - time.monotonic(), 0))):
        if time.monotonic() >= end:
            give_up(run, f"not done after {minutes:g} minutes")
        if run.tally.rounds == seen:
            give_up(run, f"takes longer than {4 * PATIENCE} s")
        seen = run.tally.rounds


def summary(run, differences):
    tally = run.tally
    tally.lost[5] = sum(vm.forgotten_nodes for vm in run.vms)
    kills = sum(tally.kills.values())
    who = ", ".join(f"{name} {tally.kills[name]}" for name in ("vmsnapfs", "QEMU", "libvirtd"))
    together = ", ".join(f"{' + '.join(names)} {tally.together[names]}" for names in run.victims_of)
    print(f"# struck: {together}, and once more in the recovery {tally.together['again']}")
    print("# begun (and cut by a kill): " + ", ".join(f"{kind} {tally.begun[kind]} ({tally.cut[kind]})" for kind in KINDS))
    print("# documented losses of libvirt: " + ", ".join(f"{LOSSES[i]} {tally.lost[i]}" for i in LOSSES))
    print(f"# kills {kills} ({who}) in {tally.rounds} rounds, recoveries {tally.rounds}, contents compared {tally.compared}, "
          f"differences {differences}, {int(time.monotonic() - run.since)} s", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", dest="kills", type=int, default=300)
    parser.add_argument("-t", dest="minutes", type=float)
    parser.add_argument("-s", dest="seed", default="20261122")
    parser.add_argument("-w", dest="who", default="vmsnapfs,libvirtd,QEMU")
    args = parser.parse_args()
    run, alive, why = Run(args.seed, args.who.split(",")), threading.Event(), None
    print(f"# seed {args.seed}", flush=True)
    threading.Thread(target=watch, args=(run, alive, (args.minutes or 0) + LIMIT), daemon=True).start()
    end = time.monotonic() + 60 * (args.minutes or 0)
    try:
        run.begin()
        while time.monotonic() < end if args.minutes else not run.tally.enough(args.kills, run.victims_of):
            run.round()
            if run.tally.rounds % 20 == 0:
                print(f"# {run.tally.rounds} rounds, {sum(run.tally.kills.values())} kills, {int(time.monotonic() - run.since)} s", flush=True)
        run.end()
    except (Broken, OSError) as error:
        why = f"round {run.tally.rounds} of seed {args.seed}, killed {', '.join(run.killed)}: {error}"
        show_all(run)
    summary(run, 1 if why else 0)
    print(f"not ok kill - {why}" if why else "ok kill (E-4, E-5, E-6, E-9, E-11, E-12)", flush=True)
    alive.set()
    for process in (run.daemon, run.libvirtd, *(vm.qemu for vm in run.vms)):
        process.kill()
    sys.exit(1 if why else 0)


if __name__ == "__main__":
    main()
