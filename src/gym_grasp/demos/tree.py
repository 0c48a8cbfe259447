"""What an HDF5 file holds: its groups, arrays and attributes, walked and read with h5py alone.

The HDF5 library loops for ever over some damaged files, crashes over others, and allocates what
they declare. So files are read by this module run as a program of its own, see `demos.guard`: in
little memory, for little processor time, and only what a dataset of ours can hold.

As a program it is asked for files on the socket that is its standard input, and forks a process
for each. That writes the tree as a line of JSON to the socket that came with the file's name, then
the arrays whose names come in lines of JSON. A `+` stands before each answer, or a `-` before an
error, in JSON, with which it ends.
"""

import hashlib
import json
import os
import resource
import signal
import socket
from collections.abc import Callable
from math import prod
from typing import Any, BinaryIO

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5s, h5t, h5z

FREE_BYTES, LARGEST_RATIO = 64 << 20, 100
"""What a file may declare: so much, and so many times its own size. Recordings compress 3:1."""
SPARE_BYTES = 256 << 20
"""Memory that reading needs beside what is read."""
FREE_SECONDS, WALK_SPEED, READ_SPEED = 0.5, 4e6, 25e6
"""Processor time: so much, and a second for so many bytes of the file that is walked, or of an
array that is read. A tenth is enough."""
LEAST_CHUNK = 4096
"""Bytes of a chunk, where there are several; ours have from half a MiB on."""
NUMBERS = ("/data/", "/episode/")
"""Where datasets hold numbers: in a file of demonstrations, and in that of an episode alone."""
FILTERS = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE}

Node = tuple[dict[str, Any], Any, str, Any]
"""Attributes; shape, None of a group; type of the values; texts, which stand outside `NUMBERS`."""
Count = Callable[[int], None]
"""Called with a number of bytes before so many are read; raises ValueError for too many."""


def walk(file: h5py.File, count: Count = lambda size: None) -> tuple[dict[str, Node], str]:
    """Return every group and dataset by its path, and the SHA-256, in hex, of the structure.

    The structure is the name, attributes, shape and type of each of them, and the content of the
    datasets outside `NUMBERS`. The attribute `structure` itself does not count.

    Raises:
        ValueError: it holds what no dataset of ours does.
    """
    nodes: dict[str, Node] = {}
    digest = hashlib.sha256()
    seen = {h5o.get_info(file.id).addr}
    # HDF5's own interface: h5py's takes twice the time over thousands of small objects.
    rest = [("", h5g.open(file.id, b"/"))]
    while rest:
        name, item = rest.pop()
        attributes = _attributes(name, item, count)
        line: list[Any] = [name]
        if isinstance(item, h5g.GroupID):
            links: list[tuple[bytes, int, Any]] = []
            # An append would hold on to the one object that every call gets.
            item.links.iterate(lambda key, link: links.append((key, link.type, link.u)), info=True)  # noqa: B023
            links.sort()
            line += [key.decode() for key, *_ in links]
            for key, kind, address in links:
                path = f"{name}/{key.decode()}"
                if kind != h5l.TYPE_HARD or address in seen:
                    raise ValueError(f"'{path}' is a link to something else")
                seen.add(address)
                rest.append((path, h5o.open(item, key)))
            nodes[name or "/"] = attributes, None, "", None
        elif isinstance(item, h5d.DatasetID):
            count(_size(name, item))
            line += [item.shape, item.dtype.str]
            texts = None
            if not name.startswith(NUMBERS):
                found = file[name][()]
                found = found.tolist() if item.shape else found
                line.append(str(found))
                texts = [one.decode() for one in found] if item.shape else found.decode()
                count(len(line[-1]))
            nodes[name] = attributes, item.shape, item.dtype.str, texts
        else:
            raise ValueError(f"'{name}' is neither a group nor a dataset")
        if attributes:
            kept = {key: value for key, value in attributes.items() if key != "structure"}
            line.append(sorted((key, str(value)) for key, value in kept.items()))
        digest.update(json.dumps(line).encode())
    return nodes, digest.hexdigest()


def _attributes(name: str, item: Any, count: Count) -> dict[str, Any]:
    values = {}
    for index in range(h5a.get_num_attrs(item)):
        one = h5a.open(item, index=index)
        key, dtype = one.name.decode(), one.dtype
        text = h5py.check_string_dtype(dtype)
        if one.shape != () or not (text or (dtype.kind in "fiub" and dtype.itemsize <= 8)):
            raise ValueError(f"the attribute '{key}' of '{name}' is neither a number nor a text")
        value: Any = np.empty((), dtype)
        count(dtype.itemsize)
        one.read(value, mtype=h5t.py_create(dtype))
        value = value.item()
        if isinstance(value, bytes):
            value = value.decode()
        values[key] = value
        count(len(value) if isinstance(value, str) else 0)
    return values


def _size(name: str, item: h5d.DatasetID) -> int:
    """Return the bytes that reading a dataset takes; raise ValueError where it is none of ours."""
    shape, dtype, plan = item.shape, item.dtype, item.get_create_plist()
    text = h5py.check_string_dtype(dtype)
    if name.startswith(NUMBERS):
        fits = dtype.kind in "fiub" and dtype.itemsize <= 8
    else:
        fits = text is not None and (text.length is not None or shape == ())
    if not fits:
        raise ValueError(f"'{name}' holds values of a type that it cannot: {dtype}")
    filters = [plan.get_filter(index)[0] for index in range(plan.get_nfilters())]
    chunked = plan.get_layout() == h5d.CHUNKED
    chunk = plan.get_chunk() if chunked else shape
    if (
        shape is None
        or not (chunked or plan.get_layout() in (h5d.COMPACT, h5d.CONTIGUOUS))
        or plan.get_external_count()
        or not (len(filters) == len(set(filters)) and FILTERS.issuperset(filters))
        or (prod(chunk) * dtype.itemsize < min(LEAST_CHUNK, prod(shape) * dtype.itemsize))
    ):
        raise ValueError(f"'{name}' is stored in a way that no dataset of ours is")
    return max(prod(shape), prod(chunk)) * dtype.itemsize


def limit(size: int) -> Count:
    """Return what counts the bytes that a file of this size declares, and refuses too many."""
    most = left = most_bytes(size)

    def count(more: int) -> None:
        nonlocal left
        left -= more
        if left < 0:
            raise ValueError(
                f"it declares more than {most / 1e6:,.0f} MB, which are {FREE_BYTES >> 20} MiB and "
                f"{LARGEST_RATIO} times its size"
            )

    return count


def most_bytes(size: int) -> int:
    """Return how much a file of this size may declare."""
    return FREE_BYTES + LARGEST_RATIO * size


def _give_time(seconds: float) -> None:
    """Let the system end this process after this processor time and FREE_SECONDS."""
    signal.setitimer(signal.ITIMER_PROF, FREE_SECONDS + seconds)


def answer(path: str, requests: BinaryIO, out: BinaryIO) -> None:
    """Answer what is asked about one file until the input ends."""
    size = os.path.getsize(path)
    with open("/proc/self/statm") as file:
        present = int(file.read().split()[0]) * resource.getpagesize()
    for kind, most in (
        (resource.RLIMIT_AS, present + SPARE_BYTES + 2 * most_bytes(size)),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    _give_time(size / WALK_SPEED)
    try:
        # Files are replaced as wholes, so no lock is needed, which some file systems lack.
        with h5py.File(path, "r", locking=False) as file:
            nodes, digest = walk(file, limit(size))
            out.write(b"+" + json.dumps([digest, nodes]).encode() + b"\n")
            out.flush()
            for line in requests:
                for name in json.loads(line):
                    item = h5d.open(file.id, name.encode())
                    values = np.empty(item.shape, item.dtype)
                    _give_time(values.nbytes / READ_SPEED)
                    item.read(h5s.ALL, h5s.ALL, values)
                    out.write(b"+" + values.tobytes())
                out.flush()
    except Exception as error:
        out.write(b"-" + json.dumps(str(error) or type(error).__name__).encode() + b"\n")
        out.flush()


def main() -> None:
    """Answer for one file after the other, each in a process that is forked for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks ends, and the sockets with it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    control = socket.socket(fileno=0)
    while True:
        path, own, *_ = socket.recv_fds(control, 1 << 16, 1)
        if not own:
            break
        if os.fork() == 0:
            control.close()
            with socket.socket(fileno=own[0]) as pipe:
                answer(os.fsdecode(path), pipe.makefile("rb"), pipe.makefile("wb"))
            os._exit(0)
        os.close(own[0])


if __name__ == "__main__":
    main()
