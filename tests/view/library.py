"""The library as another program calls it, for tests of what it writes: $GRADUS_LIBRARY names it."""
import ctypes as c
import os

import numpy as np

P, I, D = c.c_void_p, c.c_int64, c.c_double
Texts = c.POINTER(c.c_char_p)


class Shape(c.Structure):
    """grd_shape"""
    _fields_ = [("rank", I), ("size", I * 8)]


class Options(c.Structure):
    """grd_matrix_options"""
    _fields_ = [("title", c.c_char_p), ("rows", c.c_char_p), ("columns", c.c_char_p), ("row_labels", Texts),
                ("column_labels", Texts), ("captions", Texts), ("attend", P), ("low", D), ("high", D),
                ("two_sided", c.c_bool), ("dark", c.c_bool), ("cell", I), ("width", I), ("colour", c.c_bool)]


# A sanitized library cannot be loaded into a plain Python.
SANITIZED = b"__asan_init" in open(os.environ["GRADUS_LIBRARY"], "rb").read()
if not SANITIZED:
    library = c.CDLL(os.environ["GRADUS_LIBRARY"])
    library.grd_sizeof.restype = c.c_size_t
    assert library.grd_sizeof(b"grd_matrix_options") == c.sizeof(Options)
    assert library.grd_sizeof(b"grd_shape") == c.sizeof(Shape)

# How an array's type is taken over: the function, and what it reads.
MAKERS = {"float64": "grd_from_f64", "float32": "grd_from_f32", "int64": "grd_from_i64", "bool": "grd_from_bool"}


def call(name, result, *arguments):
    function = getattr(library, name)
    function.restype = result
    return function(*arguments)


def tensor(array):
    """An array as a tensor of the open scope."""
    array = np.ascontiguousarray(array)
    shape = Shape(array.ndim, (I * 8)(*array.shape))
    return P(call(MAKERS[array.dtype.name], P, P(array.ctypes.data), I(array.size), shape))


def encoded(text):
    return text if isinstance(text, bytes) else text.encode()


def view_matrix(path, array, attend=None, **options):
    """grd_view_matrix; texts are str or bytes, and lists of them."""
    for name in ("title", "rows", "columns"):
        if name in options:
            options[name] = encoded(options[name])
    for name in ("row_labels", "column_labels", "captions"):
        if name in options:
            texts = [encoded(text) for text in options[name]]
            options[name] = (c.c_char_p * len(texts))(*texts)
    scope = P(call("grd_scope_begin", P))
    taken = Options(attend=None if attend is None else tensor(attend), **options)
    call("grd_view_matrix", c.c_int, str(path).encode(), tensor(array), c.byref(taken))
    if call("grd_scope_end", c.c_int, scope) != 0:
        call("grd_error_take", c.c_int)
        raise RuntimeError(call("grd_error_message", c.c_char_p).decode())
