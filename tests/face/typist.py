"""An interactive bash on a terminal of its own, for what happens between keys: completion, Ctrl-C, Ctrl-Z, a terminal that is closed."""
import os
import pty
import re
import select
import signal
import time

PATIENCE = 60


class Typist:
    """With `with`: the shell stands in DIRECTORY, and is gone at the end."""

    def __init__(self, directory):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.environ.update(PS1="ready> ", TERM="dumb", HISTFILE="/dev/null", INPUTRC="/dev/null", LC_ALL="C.UTF-8")
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        self.text = ""
        self.expect("ready> ")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)  # as a window that is closed: SIGHUP
        end = time.monotonic() + PATIENCE
        while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.02)

    def keys(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern):
        """Wait until it was written; returns all up to its end, and forgets that."""
        end = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.text)):
            if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
                raise SystemExit(f"no {pattern!r} within {PATIENCE} s in {self.text[-300:]!r}")
            self.text += os.read(self.fd, 4096).decode(errors="replace").replace("\r", "")
        said, self.text = self.text[:found.end()], self.text[found.end():]
        return said

    def line(self, text):
        """Type a whole line; returns what it wrote, and its status."""
        self.keys(text + "; echo =$?=\n")
        self.expect(r"echo =\$\?=\n")
        said = self.expect(r"=\d+=\nready> ")
        return said.rsplit("=", 2)[0], int(said.rsplit("=", 2)[1])

    def pressed(self, text, is_there, key="\x03"):
        """Type TEXT, press a key when IS_THERE() says so, and wait for the prompt; returns what was written."""
        self.keys(text + "\n")
        self.expect(r"\n")
        end = time.monotonic() + PATIENCE
        while not is_there():
            if time.monotonic() > end:
                raise SystemExit(f"{text!r} never came to wait")
            time.sleep(0.02)
        self.keys(key)
        return self.expect("ready> ")
