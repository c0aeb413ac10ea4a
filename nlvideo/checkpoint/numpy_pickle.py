"""A reader for pickles of numpy arrays, as Caffe2 wrote them, in which nothing is called.

`pickle.load` calls whatever a file names. This reader goes through the opcodes itself: it knows containers, plain
values and the few names that numpy puts around an array, and it builds each array from its bytes, after dtype and
shape have been checked against them.
"""

import math
import pickletools
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

VALUES = {  # opcodes whose argument is the value
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

DTYPES = {"b1", "f2", "f4", "f8", *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8))}
MAX_DIMS = 32

# Bytes of memory that the objects of a file may take: a fixed number, and so many for each byte of the file. Without a
# limit a file of empty lists, one byte each, would take sixty times its size.
FREE_BYTES, BYTES_PER_BYTE = 1 << 16, 6
POINTER, CONTAINER, DICT_ENTRY = 16, 64, 100  # bytes of memory, with what lists and dicts allocate ahead


@dataclass(frozen=True)
class _Global:
    """One of the names that a pickled array refers to."""

    name: str


@dataclass
class _DType:
    code: str
    byteorder: str = "="


@dataclass
class _Array:
    """An array of which the file has not told dtype, shape and bytes yet."""

    value: np.ndarray | None = None


# numpy 2 renamed numpy.core to numpy._core.
GLOBALS = {
    "numpy ndarray": _Global("ndarray"),
    "numpy dtype": _Global("dtype"),
    "_codecs encode": _Global("encode"),  # how Python 3 writes bytes for Python 2
    **{
        f"numpy.{core}.{module} {name}": _Global(name)
        for core in ("core", "_core")
        for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
    },
}


def loads(data: bytes) -> Any:
    """Return the content of a pickle of protocol 2 or later: containers, strings, numbers and numeric numpy arrays.

    Raises:
        ValueError: the pickle is damaged, or asks for anything else.
    """
    machine = _Machine(len(data))
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.step(opcode.name, argument)
        return machine.stack.pop()
    except (IndexError, OverflowError) as error:  # an empty stack; a size beyond 64 bits
        raise ValueError(f"a damaged pickle: {error}") from error


class _Machine:
    """The stack machine of a pickle. Each opcode changes the stack; MARK puts the stack aside and begins a new one."""

    def __init__(self, size: int):
        self.stack: list[Any] = []
        self.outer_stacks: list[list[Any]] = []
        self.memo: list[Any] = []
        self.free_bytes = FREE_BYTES + BYTES_PER_BYTE * size

    def step(self, opcode: str, argument: Any) -> None:
        match opcode:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case _ if opcode in VALUES:
                self.push(argument, sys.getsizeof(argument))
            case _ if opcode in CONSTANTS:
                self.push(CONSTANTS[opcode])
            case _ if opcode in TUPLES:
                self.push_tuple([self.stack.pop() for _ in range(TUPLES[opcode])][::-1])
            case "TUPLE":
                self.push_tuple(self.pop_mark())
            case "EMPTY_LIST":
                self.push([], CONTAINER)
            case "APPEND" | "APPENDS":
                self.extend([self.stack.pop()] if opcode == "APPEND" else self.pop_mark())
            case "EMPTY_DICT":
                self.push({}, CONTAINER)
            case "SETITEM" | "SETITEMS":
                self.update([self.stack.pop(), self.stack.pop()][::-1] if opcode == "SETITEM" else self.pop_mark())
            case "MARK":
                self.charge(CONTAINER + POINTER)
                self.outer_stacks.append(self.stack)
                self.stack = []
            case "POP":
                self.stack.pop() if self.stack else self.pop_mark()
            case "POP_MARK":
                self.pop_mark()
            case "DUP":
                self.push(self.stack[-1])
            case "MEMOIZE":
                self.remember(len(self.memo))
            case "BINPUT" | "LONG_BINPUT":
                self.remember(argument)
            case "BINGET" | "LONG_BINGET":
                self.push(self.memo[argument])
            case "GLOBAL":
                self.push_global(argument)
            case "STACK_GLOBAL":
                name, module = self.stack.pop(), self.stack.pop()
                self.push_global(f"{module} {name}" if isinstance(module, str) and isinstance(name, str) else "?")
            case "REDUCE":
                arguments, function = self.stack.pop(), self.stack.pop()
                self.push(self.call(function, arguments), CONTAINER)
            case "BUILD":
                self.set_state(self.stack[-2], self.stack.pop())
            case _:
                raise ValueError(f"it uses the opcode {opcode}, which no array needs")

    def charge(self, size: int) -> None:
        self.free_bytes -= size
        if self.free_bytes < 0:
            raise ValueError("its objects take many times the memory of the file")

    def push(self, value: Any, size: int = 0) -> None:
        self.charge(POINTER + size)
        self.stack.append(value)

    def pop_mark(self) -> list[Any]:
        """Return what was pushed since the last MARK."""
        items, self.stack = self.stack, self.outer_stacks.pop()
        return items

    def remember(self, index: int) -> None:
        # Writers number from 0, Python 2's cPickle from 1; a list cannot be blown up by one large number.
        if index > len(self.memo) + 1:
            raise ValueError("a damaged pickle: a gap in the memo")
        self.charge(2 * POINTER)
        self.memo += [None] * (index + 1 - len(self.memo))
        self.memo[index] = self.stack[-1]

    def push_tuple(self, items: list[Any]) -> None:
        self.push(tuple(map(_finished, items)), CONTAINER + 8 * len(items))

    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError("a damaged pickle: items of no list")
        self.charge(POINTER * len(items))
        self.stack[-1].extend(map(_finished, items))

    def update(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not dict or len(items) % 2:
            raise ValueError("a damaged pickle: keys and values of no dict")
        self.charge(DICT_ENTRY * len(items))
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int):  # the hash of deep tuples overflows the C stack
                raise ValueError("a key that is neither text nor a whole number")
            self.stack[-1][key] = _finished(value)

    def push_global(self, name: str) -> None:
        if name not in GLOBALS:
            raise ValueError(f"it asks for {name.replace(' ', '.')[:100]!r}")
        self.push(GLOBALS[name])

    def call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            raise ValueError("it calls something that is no part of an array")
        match (function.name, *arguments):
            case ["_reconstruct", _Global("ndarray"), tuple(), str() | bytes()]:
                return _Array()
            case ["dtype", str(code), *_] if code in DTYPES:
                return _DType(code)
            case ["encode", str(text), "latin1"]:
                self.charge(len(text))
                return text.encode("latin1")
            case ["scalar", _DType() as dtype, str() | bytes() as data]:
                return self.array(dtype, (), data, "C").item()
            case ["_frombuffer", bytes() | bytearray() as data, _DType() as dtype, tuple(shape), "C" | "F" as order]:
                return self.array(dtype, shape, data, order)
        raise ValueError(f"it calls {function.name} with arguments that no array of numbers has")

    def set_state(self, target: Any, state: Any) -> None:
        match target, state:
            case _DType(), [int(), "<" | ">" | "|" | "=" as byteorder, None, None, None, *_]:
                target.byteorder = byteorder.replace("|", "=")
            case _Array(None), [int(), tuple(shape), _DType() as dtype, int(fortran), str() | bytes() as data]:
                target.value = self.array(dtype, shape, data, "F" if fortran else "C")
            case _:
                raise ValueError("it sets the state of something that is no array of numbers")

    def array(self, dtype: _DType, shape: tuple, data: str | bytes | bytearray, order: str) -> np.ndarray:
        if isinstance(data, str):  # Python 2 wrote bytes as text
            self.charge(len(data))
            data = data.encode("latin1")
        there = np.dtype(dtype.byteorder + dtype.code)
        sides = len(shape) <= MAX_DIMS and all(type(side) is int and 0 <= side <= len(data) for side in shape)
        if not sides or math.prod(shape) * there.itemsize != len(data):
            raise ValueError(f"an array whose shape and dtype do not fit its {len(data)} bytes")
        self.charge(len(data) + CONTAINER)
        flat = np.frombuffer(data, there) if data else np.empty(0, there)
        return flat.astype(there.newbyteorder("=")).reshape(shape, order=order)  # a copy, which can be written to


def _finished(value: Any) -> Any:
    if not isinstance(value, _Array):
        return value
    if value.value is None:
        raise ValueError("a damaged pickle: an array without its bytes")
    return value.value
