"""Changes to files and their content, for fuzzing: the same generator makes the same ones."""

import json

import h5py
import numpy as np
import torch

ODD = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 0.5, -1e308, float("nan"), float("inf")),
    *(
        "",
        "x",
        "\x00",
        "é\n\x1b[31m",
        "1",
        "../..",
        "float64",
        "O",
        "<U9",
        "S900000000",
        "x" * 10_000,
    ),
    *([], [[]], [1, "a", None], {}, {"": []}, {"task": "open-drawer"}),
)


# Mutations ----------------------------------------------------------------------------------------


def change_bytes(rng, data):
    """Return some bytes changed: bits, runs, pieces lost, doubled or swapped."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8, 64))):
        if not data:
            break
        at, size = rng.randrange(len(data)), rng.choice((1, 4, 8, 100))
        match rng.randrange(7):
            case 0 | 1 | 2:
                data[at] ^= 1 << rng.randrange(8)
            case 3:
                data[at : at + size] = rng.choice((b"\x00", b"\xff", b"\x7f")) * size
            case 4:
                del data[at : at + rng.choice((size, len(data)))]
            case 5:
                data[at:at] = data[at : at + size]
            case 6:
                data[at : at + size] = rng.randbytes(size)
    return bytes(data)


def change_tree(rng, value, odd=ODD):
    """Return nested dictionaries and lists with one or a few values changed."""
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        value = change_value(rng, value, odd)
    return value


def change_value(rng, value, odd):
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value, key=str))
        fate = rng.random()
        rest = {k: v for k, v in value.items() if k != key}
        if fate < 0.1:
            return rest
        if fate < 0.15:
            return {**rest, rng.choice(("", "x", key + key if isinstance(key, str) else 0)): 1}
        return {**value, key: change_value(rng, value[key], odd)}
    if isinstance(value, list | tuple) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        changed = [*value[:at], change_value(rng, value[at], odd), *value[at + 1 :]]
        return changed if rng.random() < 0.8 else [*value, *value]
    if isinstance(value, torch.Tensor) and rng.random() < 0.8:
        return change_tensor(rng, value)
    if isinstance(value, int | float) and rng.random() < 0.3:
        return rng.choice((-value, value * 1000, value + 1, float(value), str(value)))
    return rng.choice(odd)


def change_tensor(rng, value):
    if not value.is_contiguous() or value.is_complex():
        return torch.zeros(2)

    def with_nan():
        changed = value.clone() if value.is_floating_point() else value.double()
        changed.view(-1)[:1] = float("nan")
        return changed

    return rng.choice(
        (
            lambda: value.double(),
            lambda: value.to(torch.int64),
            lambda: value[None],
            lambda: value.reshape(-1)[:-1].clone(),
            lambda: torch.zeros(0),
            with_nan,
            with_nan,
            lambda: torch.zeros(1).expand(rng.choice((1 << 40, 1 << 22))),
            lambda: value.to(torch.complex64),
            lambda: value.bool(),
        )
    )()


def change_json(rng, value):
    """Return the bytes of a JSON file: of another value, or of what is hardly JSON."""
    text = json.dumps(change_tree(rng, value))
    match rng.randrange(12):
        case 0:
            return change_bytes(rng, json.dumps(value).encode())
        case 1:
            return rng.choice(
                (
                    b"",
                    b"\xff\xfe",
                    "é".encode("latin-1"),
                    b"[" * 200_000,
                    b"9" * 9999,
                    b"\xef\xbb\xbf{}",
                )
            )
        case 2:
            return json.dumps(rng.choice(ODD)).encode()
    return text.encode()


def change_hdf5(rng, file):
    """Change an attribute, a name or an array of an HDF5 file."""
    paths = ["/"]
    file.visit(paths.append)
    path = rng.choice(paths)
    item = file[path]
    if rng.random() < 0.5 and len(item.attrs):
        name = rng.choice(sorted(item.attrs))
        value = item.attrs[name]
        if isinstance(value, str) and value[:1] == "{" and rng.random() < 0.8:
            item.attrs[name] = json.dumps(change_tree(rng, json.loads(value)))[:60_000]
        else:
            odd = rng.choice((b"\xff\xfe", 7, 2.5, "x", np.zeros(3), np.array([b"a"]), True, -1))
            item.attrs[name] = odd if rng.random() < 0.9 else h5py.Empty("f")
        return
    if path == "/":
        item.attrs[rng.choice(("x", "é", "a" * 1000))] = rng.choice(("y", 3.5, np.zeros((2, 2))))
        return
    match rng.randrange(9) if isinstance(item, h5py.Dataset) else rng.randrange(4):
        case 0:
            del file[path]
        case 1:
            target = f"{path}{rng.choice(('x', '/y', 'é'))}"
            if not target.startswith(f"{path}/"):
                file.move(path, target)
            elif isinstance(item, h5py.Group):
                file.create_dataset(target, data=np.zeros(3))
        case 2:
            link = rng.choice((h5py.SoftLink("/data"), h5py.ExternalLink("/etc/hostname", "/")))
            name = f"{rng.choice(('', 'data/'))}link{rng.randrange(99)}"
            target = link if rng.random() < 0.7 or "data" not in file else file["data"]
            if name not in file:
                file[name] = target
        case 3:
            file.copy(path, f"data/demo_{rng.randrange(5)}/x{rng.randrange(99)}")
        case 4:
            replace(file, path, shape=(10**12,), dtype="f4", chunks=(10**6,))
        case 5:
            replace(file, path, shape=(4, 10**8), dtype="f4", chunks=(1, 10**7), compression="gzip")
        case 6:
            kind = rng.choice(("f8", "i1", "S5", "c8", h5py.string_dtype(), h5py.ref_dtype))
            replace(file, path, shape=rng.choice(((), (0,), (4,), (4, 3), (5, 0))), dtype=kind)
        case 7 if item.size < 10**7:  # else cases 4 and 5 made it: 1.6 GB, or terabytes
            values = item[()]
            if isinstance(values, np.ndarray) and values.dtype.kind == "f":
                values.reshape(-1)[:1] = rng.choice((np.nan, np.inf, 1e30, -2))
                item[...] = values
        case 8:
            values = np.zeros((200, 1_000_000), np.uint8)[: rng.choice((1, 200))]
            replace(file, path, data=values, chunks=(1, 1_000_000), compression="gzip")


def replace(file, path, **arguments):
    del file[path]
    file.create_dataset(path, **arguments)
