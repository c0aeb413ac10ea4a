"""Caffe2's pickles: what numpy writes is read, and everything else is refused: without a call, a crash, or memory.

The attacks and the mutations run in a process of their own, so that a crash is a failure of one test.
"""

import pickle
import random
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from nlvideo.checkpoint import numpy_pickle
from nlvideo.checkpoint.numpy_pickle import loads

NUM_MUTATIONS = 2000
ARRAY = np.array([[1.5, -2.0], [3e-7, 1e4]], np.float32)


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize(
    "array",
    [
        ARRAY,
        ARRAY.T,
        ARRAY.astype(">f8"),
        ARRAY.astype(np.float16),
        np.arange(6).reshape(1, 2, 3),
        np.array([True, False]),
        np.array(7, np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_arrays_and_plain_values_of_every_protocol(array, protocol):
    plain = {"none": None, "true": True, "text": "ü€", "bytes": "a\x8f", "whole": [-1, 300, 2**40, 2**70], "float": 0.1}
    content = {"a": array, "twice": [array, (array,)], 1: plain, "lr": np.float64(0.1)}
    read = loads(pickle.dumps(content, protocol=protocol))
    assert read.keys() == content.keys() and read[1] == plain and read["lr"] == 0.1
    for each in (read["a"], read["twice"][0], read["twice"][1][0]):
        np.testing.assert_array_equal(each, array)
        assert each.dtype == array.dtype.newbyteorder("=") and each.flags.writeable


def test_bytes_that_python_2_wrote_as_text():
    """Opcode U, which pickle of Python 3 never writes."""
    start = b"}U\x01xcnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01bt"
    of_dtype = b"cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
    data = b"U" + bytes([ARRAY.nbytes]) + ARRAY.tobytes()
    read = loads(b"\x80\x02" + start + b"R(K\x01K\x02K\x02\x86" + of_dtype + b"\x89" + data + b"tbs.")
    np.testing.assert_array_equal(read["x"], ARRAY)


class Call:
    """Pickles as a call of a function: what a malicious file does."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def dtype(code: str, byteorder: str = "<", more: bytes = b"NNN") -> bytes:
    state = b"(K\x03" + text(byteorder) + more + b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return b"cnumpy\ndtype\n(" + text(code) + b"K\x00K\x01tR" + state


def whole(value: int) -> bytes:
    encoded = pickle.encode_long(value)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def array(shape=(2,), of: bytes = dtype("f4"), data: bytes = b"C\x08" + b"\0" * 8, start: bytes | None = None) -> bytes:
    """A pickled array, each of whose parts an attack can choose."""
    start = start or b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
    sides = b"(" + b"".join(map(whole, shape)) + b"t"
    return start + b"(K\x01" + sides + of + b"\x89" + data + b"tb"


def named(value: bytes) -> bytes:
    return b"\x80\x04}" + text("x") + value + b"s."


def call(module: str, name: str, arguments: bytes = b")") -> bytes:
    return f"c{module}\n{name}\n".encode() + arguments + b"R"


PADDING = b"B" + struct.pack("<I", 1 << 20) + b"\0" * (1 << 20) + b"0"  # a megabyte that is thrown away
ATTACKS = {
    "os.system": pickle.dumps(Call(__import__("os").system, "touch written"), protocol=2),
    "eval": pickle.dumps(Call(eval, "open('written', 'w')"), protocol=2),
    "numpy.load": pickle.dumps(Call(np.load, "x"), protocol=2),
    "numpy.fromfile": pickle.dumps(Call(np.fromfile, "x"), protocol=2),
    "getattr": named(call("__builtin__", "getattr", b"(" + text("") + text("format") + b"t")),
    "object dtype": named(array(of=dtype("O8"), data=b"C\x10" + b"A" * 16)),
    "object dtype with a list": named(array(of=dtype("O8"), data=b"]")),
    "object dtype set later": named(array(of=dtype("f8") + b"(K\x03" + text("|") + b"NNNK\x08K\x08K\x3ftb")),
    "structured dtype": named(array(of=dtype("V8", "|", b"N" + text("a") + b"\x85}"))),
    "nested dtype": named(array(of=dtype("f4", "<", dtype("f4") + b"K\x02\x86NN"))),
    "string dtype": named(array(of=dtype("S8", "|"))),
    "datetime dtype": named(array(of=dtype("M8"))),
    "complex dtype": named(array(of=dtype("c8"))),
    "dtype by a comma list": named(array(of=dtype("f4,O"))),
    "huge shape": named(array((1 << 40,))),
    "huge product": named(array((1 << 32, 1 << 32))),
    "a product that overflows to the size": named(array((1 << 33, 1 << 31, 2))),
    "a shape of long numbers": named(array((1 << 2000,) * 200)),
    "negative shape": named(array((-2,))),
    "two negative sides": named(array((-1, -2))),
    "shape of an empty array": named(array((0, 1 << 62), data=b"C\x00")),
    "too few bytes": named(array((3,))),
    "many dimensions": named(array((1,) * 1000 + (2,))),
    "a shape of text": named(array(()).replace(b"(t", b"(" + text("2") + b"t")),
    "a subclass in _reconstruct": named(
        array(start=b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nmemmap\nK\x00\x85C\x01btR")
    ),
    "_reconstruct of a type": named(
        call("numpy.core.multiarray", "_reconstruct", b"(c__builtin__\nint\nK\x00\x85C\x01bt")
    ),
    "an array without its bytes": named(call("numpy.core.multiarray", "_reconstruct", b"(cnumpy\nndarray\n)C\x01bt")),
    "ndarray with an address": named(call("numpy", "ndarray", b"(K\x08\x85" + dtype("f4") + b"t")),
    "ndarray of objects over chosen bytes": named(
        call("numpy", "ndarray", b"(K\x02\x85" + dtype("O8") + b"C\x10" + b"A" * 16 + b"t")
    ),
    "_frombuffer of text": named(
        call("numpy.core.numeric", "_frombuffer", b"(" + text("ab") + dtype("f2") + b"K\x01\x85" + text("C") + b"t")
    ),
    "_frombuffer of an object": named(
        call("numpy.core.numeric", "_frombuffer", b"(C\x08" + b"A" * 8 + dtype("O8") + b"K\x01\x85" + text("C") + b"t")
    ),
    "scalar of an object": named(
        call("numpy.core.multiarray", "scalar", b"(" + dtype("O8") + b"C\x08" + b"A" * 8 + b"t")
    ),
    "BUILD of a list": named(b"]}" + text("append") + text("x") + b"sb"),
    "BUILD of a dict": named(b"}}" + text("update") + text("x") + b"sb"),
    "BUILD of the type": named(b"cnumpy\nndarray\n}" + text("__setstate__") + b"Nsb"),
    "BUILD twice": named(array() + b"(K\x01K\x02\x85" + dtype("f4") + b"\x89C\x08" + b"\0" * 8 + b"tb"),
    "EXT1": named(b"\x82\x01"),
    "EXT2": named(b"\x83\x01\x00"),
    "EXT4": named(b"\x84\x01\x00\x00\x00"),
    "PERSID": named(b"Pfile\n"),
    "BINPERSID": named(text("file") + b"Q"),
    "NEWOBJ": named(b"cnumpy\nndarray\n(K\x08t\x81"),
    "NEWOBJ_EX": named(b"cnumpy\nndarray\n)}\x92"),
    "INST": named(b"(ios\nsystem\n"),
    "OBJ": named(b"(cnumpy\nndarray\no"),
    "NEXT_BUFFER": named(b"\x97"),
    "STACK_GLOBAL": named(text("os") + text("system") + b"\x93" + text("touch written") + b"\x85R"),
    "STACK_GLOBAL of numbers": named(b"K\x01K\x02\x93"),
    "STACK_GLOBAL with a path": named(text("numpy") + text("core.multiarray.os.system") + b"\x93)R"),
    "REDUCE of text": named(text("os.system") + text("touch written") + b"\x85R"),
    "REDUCE of a list": named(b"cnumpy\ndtype\n]" + text("f4") + b"aR"),
    "REDUCE of an array": named(array() + b")R"),
    "encode with another codec": named(call("_codecs", "encode", b"(" + text("ab") + text("hex") + b"t")),
    "encode with zlib": named(call("_codecs", "encode", b"(C\x01a" + text("zlib") + b"t")),
    "encode with errors": named(call("_codecs", "encode", b"(" + text("a") + text("latin1") + text("x") + b"t")),
    "encode beyond latin1": named(call("_codecs", "encode", b"(" + text("€") + text("latin1") + b"t")),
    "decode": named(call("_codecs", "decode", b"(C\x02AB" + text("hex") + b"t")),
    "a memo of four billion": named(b"Nr\xff\xff\xff\xff"),
    "a memo in decimals": named(b"Np99999999999\n"),
    "a negative memo": named(b"Np-5\n"),
    "memo bomb": b"\x80\x04N" + b"\x94" * (1 << 17) + b".",
    "list bomb": b"\x80\x04" + b"]" * (1 << 17) + b".",
    "dict bomb": b"\x80\x04" + b"}" * (1 << 17) + b".",
    "mark bomb": b"\x80\x04" + b"(" * (1 << 17) + b".",
    "tuple bomb": b"\x80\x04N" + b"\x85" * (1 << 17) + b".",
    "text, encoded over and over": b"\x80\x04]" + text("a" * (1 << 20)) + b"\x940"
    + (call("_codecs", "encode", b"(h\x00" + text("latin1") + b"t") + b"a") * 1000 + b".",
    "an array, built over and over": b"\x80\x04]" + b"B" + struct.pack("<I", 1 << 20) + b"\0" * (1 << 20) + b"\x940"
    + (array((1 << 18,), data=b"h\x00") + b"a") * 1000 + b".",
    "a deep key": b"\x80\x04" + PADDING * 5 + b"}" + b"N" + b"\x85" * 200_000 + b"Ns.",
    "doubling": b"\x80\x04]\x94" + b"".join(b"](h%ch%ce\x94" % (i, i) for i in range(60)) + b".",
    "a list in itself": b"\x80\x04]\x94h\x00a" + b".",
    "a long frame": b"\x80\x04\x95" + b"\xff" * 8 + b"}.",
    "bytes of the largest size": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f}.",
    "a bytearray of a terabyte": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"}.",
    "text of a negative size": b"\x80\x02T\xff\xff\xff\xffabc.",
    "a number of many digits": b"I" + b"9" * 100_000 + b"\n.",
    "an empty stack": b"\x80\x02R.",
    "no STOP": b"\x80\x02}",
    "nothing": b"",
    "an unknown opcode": b"\xff.",
}  # fmt: skip

CHILD = textwrap.dedent("""
    import pickle, sys, tracemalloc
    sys.path.insert(0, sys.argv[1])
    from numpy_pickle import loads  # without torch, which takes seconds to import

    files = pickle.load(sys.stdin.buffer)
    tracemalloc.start()
    for name, data in files:
        print(name, end="\\t", flush=True)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        try:
            content = loads(data)
            outcome = "read"
        except ValueError:
            outcome = "refused"
        peak = tracemalloc.get_traced_memory()[1] - before
        content = None
        print(outcome, peak, len(data), sep="\\t", flush=True)
""")


def outcomes(files: list[tuple[str, bytes]], folder) -> dict[str, str]:
    """Read files in a process of its own: "read" or "refused" for each. Memory is checked here."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, Path(numpy_pickle.__file__).parent],
        input=pickle.dumps(files),
        capture_output=True,
        cwd=folder,
        timeout=300,
    )
    lines = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert done.returncode == 0, f"{lines[-1:]}: {done.stderr.decode()[-500:]}"
    assert len(lines) == len(files)
    for name, _, peak, size in lines:
        assert int(peak) < 10 * int(size) + (1 << 17), f"{name}: {peak} bytes for a file of {size}"
    assert not list(folder.iterdir())
    return {name: outcome for name, outcome, *_ in lines}


READ = {"doubling", "a list in itself", "a long frame"}  # harmless


def test_attacks(tmp_path):
    found = outcomes(list(ATTACKS.items()), tmp_path)
    assert {name for name, outcome in found.items() if outcome == "read"} == READ


def test_the_parts_of_the_attacks_are_those_of_an_array():
    """Or the attacks would be refused for their form alone."""
    np.testing.assert_array_equal(loads(named(array()))["x"], np.zeros(2, np.float32))
    np.testing.assert_array_equal(loads(named(array((1, 2), dtype("i4", ">"))))["x"], np.zeros((1, 2), np.int32))
    encoded = call("_codecs", "encode", b"(" + text("\0" * 8) + text("latin1") + b"t")
    np.testing.assert_array_equal(loads(named(array(data=encoded)))["x"], np.zeros(2, np.float32))


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change a few bytes: set, flip, drop, repeat, swap with another part, or cut."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        at, size = rng.randrange(len(data)), rng.choice([1, 1, 2, 4, 30])
        match rng.randrange(7):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                del data[at : at + size]
            case 3:
                data[at:at] = data[at : at + size]
            case 4:
                other = rng.randrange(len(data))
                data[at : at + size] = data[other : other + size]
            case 5:
                data[at : at + 4] = struct.pack("<i", rng.choice([0, -1, 2**31 - 1, 256, -(2**31)]))
            case 6:
                data[at:at] = rng.choice([b"R", b"b", b"\x93", b"\x81", b"(", b"t", b"0", b"\x94", b"\x85", b"s", b"2"])
        if not data:
            return b"."
    return bytes(data)


def test_mutations_of_a_valid_file(foreign_net, clip, tmp_path_factory):
    theirs = foreign_net("nln", at={3: (1,)})
    theirs(clip())
    valid = theirs.save(tmp_path_factory.mktemp("valid") / "x.pkl").read_bytes()
    some = dict(list(pickle.loads(valid)["blobs"].items())[::9])
    few = [pickle.dumps({"blobs": some}, protocol=protocol) for protocol in (2, 4, 5)]
    # Half of the mutations hit the opcodes of small arrays, which fill most of these files.
    small = [
        pickle.dumps({"blobs": {"a": ARRAY, "b": ARRAY[0], "lr": np.float64(1)}}, protocol=p) for p in (0, 2, 4, 5)
    ]
    rng = random.Random(0)
    files = [(str(i), mutate(rng.choice(few if i % 2 else small), rng)) for i in range(NUM_MUTATIONS)]
    found = outcomes([("valid", valid), *files], tmp_path_factory.mktemp("empty"))
    assert found["valid"] == "read"
    assert 100 < sum(outcome == "refused" for outcome in found.values()) < NUM_MUTATIONS - 100
