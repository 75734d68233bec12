"""What the export scripts share that needs no framework."""

import os
import sys
import time


def attempt(case, export):
    """Whether `export()` succeeded; says so. One case that fails does not keep the others from being written."""
    try:
        export()
    except Exception as error:
        print("FAILED", case, type(error).__name__, str(error)[:500], flush=True)
        return False
    print(case, flush=True)
    return True


class Queue:
    """Networks for networks_test.cc, which reads standard output, one at a time so that the disk does not fill.

    Each network is a folder of its own, FOLDER/NETWORK, with a file for each door, beside it input.npy (NHWC) and expected.npy. A line says
    `library TAB network TAB door=FILE TAB door!REASON ...`; the reader removes the folder when it has compared. Networks that
    stand in the file LOG, in its first two columns, are left out.
    """

    def __init__(self, folder, log, wanted):
        self.folder, self.wanted, self.waiting, self.parent = folder, wanted, None, os.getppid()
        self.out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # Frameworks print too.
        self.done = {tuple(line.split("\t")[:2]) for line in open(log)} if os.path.exists(log) else set()

    def wants(self, library, name):
        return (library, name) not in self.done and (not self.wanted or name in self.wanted)

    def write(self, library, name, prepare):
        """`prepare(folder)` writes input and expected and gives {door: (file, function of the path that writes it)}."""
        while self.waiting and os.path.exists(self.waiting):
            if os.getppid() != self.parent:
                sys.exit("nobody reads")
            time.sleep(0.05)
        folder = os.path.join(self.folder, name)
        os.makedirs(folder)
        line = [library, name]
        try:
            for door, (file, export) in prepare(folder).items():
                try:
                    export(os.path.join(folder, file))
                    line.append(f"{door}={file}")
                except Exception as error:
                    line.append(f"{door}!{first_line(error)}")
        except Exception as error:
            line.append(f"framework!{first_line(error)}")
        self.waiting = folder
        print("\t".join(line), file=self.out, flush=True)


def first_line(error):
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
