#!/usr/bin/env python3
"""load.py NAME PROGRAM URI MOUNTPOINT SCRATCH [-s SECONDS] [-r ROUNDS] [-w WORKERS] [--seed N] …: mounts, loads, looks on, unmounts.

A run has rounds. In each the tree is mounted, workers (work.py) do what they like (`umount` and `fusermount3 -u` are refused meanwhile), and it is
unmounted under their hands: by SIGTERM, `umount -l`, `fusermount3 -uz`; the last round ends in peace, and all that was left is looked at. Prints `ok`, `not ok` and one line of numbers; exit status 1 if something was wrong."""
import argparse
import collections
import glob
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time

import watch
import work

PATIENCE = 90
IN_PEACE = ("umount", "fusermount3 -u")
LAST_COMMAND = 150  # that a worker may wait for, and a little


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("name", "program", "uri", "mnt", "scratch"):
        parser.add_argument(name)
    parser.add_argument("-s", "--seconds", type=float, default=40)
    parser.add_argument("-w", "--workers", type=int, default=12)
    parser.add_argument("-r", "--rounds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--fixed", type=int, default=0, help="so many snapshots of one VM are there all the time, and are listed")
    parser.add_argument("--churn", help="that VM")
    parser.add_argument("--sanitizer", default="/nowhere/", help="what the names of its files begin with")
    parser.add_argument("--memory", help="heap.c as a library: what the heap holds, threads and open files have to stay what they are")
    parser.add_argument("--top", action="store_true", help="only renames VMs, and lists the top of the tree")
    return parser.parse_args()


class Failures(list):
    stood = ()  # where everybody stood when somebody did not come to an end

    def hung(self, why):
        self.append(why)
        self.stood = self.stood or watch.stands(os.getpid())

    def expect(self, good, why):
        if not good:
            self.append(why)
        return good


def read(path):
    with open(path) as file:
        return file.read()


def until(what, failures, condition):
    """Polls @condition; the failure says @what."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            failures.hung("waited %d s in vain until %s" % (PATIENCE, what))
            return False
        time.sleep(0.05)
    return True


# ---- the daemon ----

class Daemon:
    def __init__(self, args, failures):
        self.args, self.failures, self.samples = args, failures, []
        with open(args.scratch + "/config.yaml", "a"), open(args.scratch + "/daemon.log", "a") as log:
            self.process = subprocess.Popen([args.program, "-f", "-o", "config=" + args.scratch + "/config.yaml", args.uri, args.mnt],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=dict(os.environ, LD_PRELOAD=args.memory, HEAP=args.scratch + "/heap") if args.memory else None)
        until("the tree is mounted", failures, lambda: self.process.poll() is not None or os.path.exists(args.mnt + "/README"))
        failures.expect(self.process.poll() is None, "the daemon ended with %s at its start" % self.process.poll())

    def sample(self):
        """KiB, threads, open files, and KiB in the heap: now."""
        pid = self.process.pid
        try:
            status = read("/proc/%d/status" % pid)
            files = len(os.listdir("/proc/%d/fd" % pid))
        except OSError:
            return
        heap = read(self.args.scratch + "/heap").split("\n")[-2:-1] if self.args.memory else []
        number = lambda key: int(re.search(key + r":\s*(\d+)", status).group(1))
        self.samples.append((number("VmRSS"), number("Threads"), files, int(heap[0]) if heap else 0))

    def stats(self):
        return {line.split()[0]: int(line.split()[1]) for line in read(self.args.mnt + "/.vmsnapfs/stats").splitlines()}

    def end(self, how):
        """Unmounts; the daemon has to end by itself, with success."""
        if how == "SIGTERM":
            self.process.send_signal(signal.SIGTERM)
        else:
            until("%s succeeds" % how, self.failures, lambda: self.gone() or subprocess.run(
                how.split() + [self.args.mnt], stderr=subprocess.DEVNULL, check=False).returncode == 0)
        try:
            status = self.process.wait(PATIENCE)
            self.failures.expect(status == 0, "after %s the daemon ended with %d" % (how, status))
        except subprocess.TimeoutExpired:
            self.failures.hung("after %s the daemon did not end in %d s" % (how, PATIENCE))
            watch.cut(os.path.dirname(self.args.mnt))
            self.process.kill()
            self.process.wait()
        self.failures.expect(not os.path.ismount(self.args.mnt), "after %s the tree is still mounted" % how)

    def refuses(self, how):
        """While somebody stands in the tree, it stays."""
        here = os.open(self.args.mnt, os.O_RDONLY | os.O_DIRECTORY)
        try:
            said = subprocess.run(how.split() + [self.args.mnt], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
            self.failures.expect(said.returncode != 0 and b"busy" in said.stderr and not self.gone(), "%s of a tree in use: %s, %s" % (
                how, said.returncode, said.stderr))
        finally:
            os.close(here)

    def gone(self):
        return self.process.poll() is not None

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        subprocess.run(["umount", "-f", "-l", self.args.mnt], stderr=subprocess.DEVNULL, check=False)


# ---- a round ----

def names_of_vms(args):
    return sorted(name for name in os.listdir(args.mnt) if name != "README" and not name.startswith("."))


def start_workers(args, vms, seed, over, seconds, listing, results):
    options = {"move": 0 if args.name.startswith("real") else 1, "churn": args.churn, "fixed": fixed_names(args), "vms": vms}
    others = [vm for vm in vms if vm != args.churn]
    kinds = [(work.Worker, others)] * args.workers + ([(work.Lister, [])] * 2 + [(work.Churner, [])] * 2 if listing else [])
    if args.top:
        kinds = [(work.TopLister, vms)] * 3 + [(work.Mover, work.moving_ones(vms)[i::4]) for i in range(4)]
    processes = []
    for number, (kind, its) in enumerate(kinds):
        worker = kind(args.mnt, its, seed + number, options)
        processes.append(multiprocessing.Process(target=run_worker, args=(worker, over, seconds, results), daemon=True))
        processes[-1].start()
    return processes


def run_worker(worker, over, seconds, results):
    os.setpgid(0, 0)
    try:
        worker.run(over.is_set, seconds)
    except Exception as error:  # pylint: disable=broad-except
        worker.wrong.append("%s: %r" % (type(worker).__name__, error))
    results.put((worker.done, worker.refused, worker.late, worker.wrong, worker.slowest))


def fixed_names(args):
    return ["%03d-%s" % (i, "n" * 150) for i in range(args.fixed)]


def make_fixed(args, failures):
    """A long listing, in two branches, as a chain may have 200 images."""
    vm = "%s/%s" % (args.mnt, args.churn)
    names = fixed_names(args)
    with open(vm + "/policy/max_depth", "w") as file:
        file.write("200")
    for i, name in enumerate(names):
        if i == len(names) // 2:
            subprocess.run(["ln", "-sfn", "snapshots/" + names[0], vm + "/current"], check=True)
        os.mkdir("%s/snapshots/%s" % (vm, name))
    listed = sorted(os.listdir(vm + "/snapshots"))
    failures.expect(listed == names, "%d of %d are listed" % (len(listed), len(names)))


def look_on(args, daemon, seconds, failures):
    """While the workers work: samples, a reload now and then, and whoever asks is answered at once."""
    end, reload_at, longest = time.monotonic() + seconds, time.monotonic() + 2, 0
    while time.monotonic() < end and daemon.process.poll() is None:
        daemon.sample()
        daemon.refuses(random.choice(["umount", "fusermount3 -u"]))
        if time.monotonic() > reload_at:
            daemon.process.send_signal(signal.SIGHUP)
            reload_at = time.monotonic() + 2
        began = time.monotonic()
        os.listdir(args.mnt)
        daemon.stats()
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.2)
    failures.expect(longest < 10, "ls and stats took %.1f s" % longest)


def one_round(args, seed, how, seconds, totals, failures):
    random.seed(seed)
    in_peace = how in IN_PEACE
    daemon = Daemon(args, failures)
    try:
        if failures:
            return
        vms = names_of_vms(args)
        failures.expect(not args.name.startswith("fake") or len(vms) >= 50, "%d VMs are listed" % len(vms))
        if args.churn and in_peace and not failures:
            make_fixed(args, failures)
        over, results = multiprocessing.Event(), multiprocessing.Queue()
        # Where the end comes under load, they go on until they see it.
        processes = start_workers(args, vms, seed, over, seconds if in_peace else seconds + PATIENCE, in_peace and args.churn, results)
        look_on(args, daemon, seconds, failures)
        if not in_peace:
            over.set()
            daemon.end(how)
        collect(processes, results, totals, failures)
        if in_peace:
            settle(args, daemon, vms, failures)
            daemon.end(how)
        totals["samples"] = daemon.samples
    finally:
        daemon.kill()


def collect(processes, results, totals, failures):
    for _ in processes:
        try:
            done, refused, late, wrong, slowest = results.get(timeout=LAST_COMMAND)
        except Exception:  # pylint: disable=broad-except
            failures.hung("a worker never ended")
            break
        totals["done"].update(done)
        totals["refused"] += refused
        totals["late"] += late
        totals["slowest"] = max(totals["slowest"], slowest)
        failures += wrong
    for process in processes:
        process.join(5)
        if process.is_alive():
            process.kill()


# ---- peace ----

def settle(args, daemon, vms, failures):
    """Nobody asks any more: nothing waits, every VM comes to rest and is consistent, and then to nothing but itself."""
    until("nothing waits", failures, lambda: daemon.stats()["requests_waiting"] == 0)
    for vm in names_of_vms(args):
        subprocess.run(["timeout", str(PATIENCE), "cat", "%s/%s/wait" % (args.mnt, vm)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    stats = daemon.stats()
    failures.expect(stats["jobs_running"] == 0, "jobs run on")
    now = names_of_vms(args)
    failures.expect(len(now) == len(vms), "of %d VMs %d are left: %s" % (len(vms), len(now), now))
    for vm in now:
        consistent(args.mnt, vm, failures)
    failures.expect(not os.listdir(args.mnt + "/.vmsnapfs/orphans"), "orphans: %s" % os.listdir(args.mnt + "/.vmsnapfs/orphans"))


def consistent(mnt, vm, failures):
    path = "%s/%s" % (mnt, vm)
    if not failures.expect(os.path.isdir(path), "%s is gone" % vm):
        return
    status = dict(line.split(" ", 1) for line in read(path + "/status").splitlines() if " " in line)
    for key in ("read_only", "stale", "frozen", "jobs"):
        failures.expect(status[key].strip() == "0", "%s: %s is %s: %s" % (vm, key, status[key], status.get("problem")))
    failures.expect(not read(path + "/drift"), "%s drifts: %s" % (vm, read(path + "/drift")))
    listed = os.listdir(path + "/snapshots")
    hidden = os.listdir(path + "/hidden") if os.path.isdir(path + "/hidden") else []
    failures.expect(read(path + "/tree").count("○") == len(listed) + len(hidden), "%s: the tree and the listing differ" % vm)
    for name in listed:
        state = read("%s/snapshots/%s/state" % (path, name)).strip()
        failures.expect(state in ("ready", "failed"), "%s/snapshots/%s is %s" % (vm, name, state))


# ---- what came out ----

def reports(args):
    """What the sanitizers wrote, and what GLib had to say."""
    found = []
    for path in sorted(glob.glob(args.sanitizer + ".*")):
        found += re.findall(r"^(?:==\d+==)?\s*((?:ERROR|WARNING): \w+Sanitizer.*|.*runtime error:.*|SUMMARY: .*)", read(path), re.M)
    found += re.findall(r".*(?:CRITICAL|GLib|misuse|Sanitizer|runtime error).*", read(args.scratch + "/daemon.log"))
    return found


def show_reports(args):
    """The first ones whole: of a run elsewhere nothing else is seen."""
    lines = [line for path in sorted(glob.glob(args.sanitizer + ".*")) for line in read(path).splitlines()]
    for line in lines[:200]:
        print("# " + line)


def flat(samples, before, failures):
    """An earlier quarter (0 to 2) against the last: what is kept of what was (jobs, lines of errors, names that the kernel knows) has come to its number by then,
    or almost, in a run of seconds on a fast machine."""
    quarter = max(1, len(samples) // 4)
    parts = [samples[i * quarter:(i + 1) * quarter] for i in range(4)]
    shown = []
    for what, name, room in ((3, "KiB in the heap", 1536 if before > 1 else 3072), (0, "resident KiB", 8192), (1, "threads", 8), (2, "open files", 8)):
        means = [sum(sample[what] for sample in part) / len(part) for part in parts]
        shown.append("%s %s" % (name, " ".join("%d" % mean for mean in means)))
        failures.expect(means[0] > 0 and means[3] <= means[before] + room, "%s: from %d to %d" % (name, means[before], means[3]))
    return ", ".join(shown)


def main():
    args = arguments()
    totals = {"done": collections.Counter(), "refused": 0, "late": 0, "slowest": (0, ""), "samples": []}
    failures = Failures()
    hows = ["SIGTERM", "umount -l", "fusermount3 -uz"][:args.rounds - 1] + [IN_PEACE[args.seed % 2]]
    for number, how in enumerate(hows):
        one_round(args, args.seed + 1000 * number, how, args.seconds / len(hows), totals, failures)
        if failures:
            failures[0] = "seed %d, round %d (%s): %s" % (args.seed, number + 1, how, failures[0])
            break
    found = reports(args)
    if found:
        show_reports(args)
    failures.expect(not found, "%d reports, in %s: %s" % (len(found), args.scratch, found[:1]))
    count = sum(totals["done"].values())
    failures.expect(count >= args.seconds, "only %d operations" % count)
    # In a run of minutes, more comes before it is full: the kernel and the jobs take one or two.
    more = flat(totals["samples"], 1 if args.seconds < 60 else 2, failures) if args.memory and totals["samples"] else "rss %.1f MiB at most" % (max([s[0] for s in totals["samples"]] or [0]) / 1024)
    print("# load %s: %d operations (%s), %d refused, %d given up in time (ETIMEDOUT), slowest %.1f s (%s), ends %s, reports %d, %s" % (
        args.name, count, ", ".join("%s %d" % item for item in sorted(totals["done"].items())), totals["refused"], totals["late"], *totals["slowest"],
        ", ".join(hows), len(found), more))
    print("not ok load %s - %s" % (args.name, failures[0].replace("\n", " ")[:400]) if failures else "ok load %s" % args.name)
    watch.show(failures[:20])
    watch.show(failures.stood)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
