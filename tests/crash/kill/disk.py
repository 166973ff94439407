"""What disks hold: an own reader of raw and qcow2 chains, and the model of what a guest wrote."""
import os
import struct

SIZE = 2 << 20  # of each disk
UNIT = 4096  # what the guest writes at once, at least
UNITS = SIZE // UNIT
BLOCKS = [bytes([i]) * UNIT for i in range(256)]


class Broken(Exception):
    """A law does not hold; the sentence says which."""


def _table(file, offset, entries):
    file.seek(offset)
    return struct.unpack(">%dQ" % entries, file.read(8 * entries))


class Images:
    """The files of a moment: each layer is read once, what a chain shows is put together from its layers."""

    def __init__(self):
        self._seen = {}
        self.chains = {}  # path -> itself and all that is below it

    def content(self, path, form):
        if path not in self._seen:
            self._seen[path] = self._raw(path) if form == "raw" else self._qcow2(path)
        return self._seen[path]

    def _raw(self, path):
        self.chains[path] = [path]
        with open(path, "rb") as file:
            return file.read(SIZE).ljust(SIZE, b"\0")

    def _backing(self, file, path):
        """The file below and its format, by the header: (None, None) for a base."""
        offset, length = struct.unpack(">QI", self._header[8:20])
        if not offset:
            return None, None
        at, form = struct.unpack(">I", self._header[100:104])[0], None
        while True:
            file.seek(at)
            kind, size = struct.unpack(">II", file.read(8))
            if kind == 0:
                break
            if kind == 0xE2792ACA:
                form = file.read(size).decode()
            at += 8 + (size + 7) // 8 * 8
        file.seek(offset)
        return os.path.join(os.path.dirname(path), file.read(length).decode()), form

    def _qcow2(self, path):
        with open(path, "rb") as file:
            self._header = file.read(104)
            magic, version = struct.unpack(">4sI", self._header[:8])
            if magic != b"QFI\xfb" or version != 3:
                raise Broken(f"{path} is no qcow2 image of version 3")
            bits, size = struct.unpack(">IQ", self._header[20:32])
            length, offset = struct.unpack(">xxxxIQ", self._header[32:48])
            if struct.unpack(">Q", self._header[72:80])[0] & ~1 or size != SIZE:
                raise Broken(f"{path} is corrupt, by its header")
            below, form = self._backing(file, path)
            tables = _table(file, offset, length)
            data = bytearray(self.content(below, form) if below else SIZE)
            self.chains[path] = [path] + (self.chains[below] if below else [])
            for i, entry in enumerate(tables):
                if entry & 0x00FFFFFFFFFFFE00:
                    self._clusters(file, path, entry & 0x00FFFFFFFFFFFE00, bits, i << (2 * bits - 3), data)
        return bytes(data)

    @staticmethod
    def _clusters(file, path, table, bits, start, data):
        for entry in _table(file, table, 1 << (bits - 3)):
            if start >= SIZE:
                return
            if entry & (1 << 62):
                raise Broken(f"{path} has a compressed cluster")
            end = min(start + (1 << bits), SIZE)
            if entry & 1:
                data[start:end] = bytes(end - start)
            elif entry & 0x00FFFFFFFFFFFE00:
                file.seek(entry & 0x00FFFFFFFFFFFE00)
                data[start:end] = file.read(end - start).ljust(end - start, b"\0")
            start += 1 << bits


class Write:
    """One write of the guest, flushed; `known` once that was answered."""

    def __init__(self, target, first, units, pattern):
        self.target, self.first, self.units, self.pattern = target, first, units, pattern
        self.known = False

    def apply(self, state):
        state[self.target][self.first:self.first + self.units] = bytes([self.pattern]) * self.units

    @property
    def command(self):
        return f"write -q -P {self.pattern} {self.first * UNIT} {self.units * UNIT}"


def blank(targets):
    return {target: bytearray(UNITS) for target in targets}


def copy(state):
    return {target: bytearray(units) for target, units in state.items()}


def bytes_of(units):
    return b"".join([BLOCKS[unit] for unit in units])


def units_of(data):
    """What the model would have to say for `data`; None for a unit that is of no single write."""
    blocks = (data[i:i + UNIT] for i in range(0, SIZE, UNIT))
    return [block[0] if block == BLOCKS[block[0]] else None for block in blocks]
