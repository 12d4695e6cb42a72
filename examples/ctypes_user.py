"""The same library from Python, through ctypes alone: what a binding needs to know about it."""
import ctypes as c
import sys
from contextlib import contextmanager

lib = c.CDLL(sys.argv[1] if len(sys.argv) > 1 else "libgradus.so.0")
P, I, D = c.c_void_p, c.c_int64, c.c_double

class Shape(c.Structure):
    _fields_ = [("rank", I), ("size", I * 8)]

class MaybeInt(c.Structure):
    _fields_ = [("value", I), ("set", c.c_bool)]

class MaybeReal(c.Structure):
    _fields_ = [("value", D), ("set", c.c_bool)]

class Mask(c.Structure):
    _fields_ = [("causal", c.c_bool), ("window_left", MaybeInt), ("window_right", MaybeInt), ("align", c.c_int),
                ("offset", I), ("additive", P), ("attend", P), ("ignore", P), ("key_ignore", P), ("key_lengths", P)]

class MhaOptions(c.Structure):
    _fields_ = [("embed_dim", I), ("num_heads", I), ("layout", c.c_int), ("kdim", I), ("vdim", I), ("dropout", D),
                ("no_bias", c.c_bool), ("add_bias_kv", c.c_bool), ("add_zero_attn", c.c_bool)]

class MhaArgs(c.Structure):
    _fields_ = [("mask", Mask), ("weights", c.c_int), ("dropped_weights", c.c_bool), ("logsumexp", c.c_bool),
                ("strict", c.c_bool), ("composed", c.c_bool), ("cache", P), ("scale", MaybeReal), ("softcap", D)]

class Attention(c.Structure):
    _fields_ = [("output", P), ("weights", P), ("dropped_weights", P), ("logsumexp", P)]

def declare(name, result, *arguments):
    function = getattr(lib, name)
    function.restype, function.argtypes = result, arguments
    return function

sizeof = declare("grd_sizeof", c.c_size_t, c.c_char_p)
for name, mirror in {"grd_shape": Shape, "grd_mask": Mask, "grd_mha_options": MhaOptions, "grd_mha_args": MhaArgs,
                     "grd_attention": Attention}.items():
    assert sizeof(name.encode()) == c.sizeof(mirror), f"{name}: this binding is for another version"

scope_begin, scope_end = declare("grd_scope_begin", P), declare("grd_scope_end", c.c_int, P)
error_take, error_message = declare("grd_error_take", c.c_int), declare("grd_error_message", c.c_char_p)
rng_create = declare("grd_rng_create", P, c.c_uint64)
randn, sum_, item = declare("grd_randn", P, P, Shape), declare("grd_sum", P, P), declare("grd_item", D, P)
backward = declare("grd_backward", c.c_int, P)
mha_create = declare("grd_mha_create", P, P, c.POINTER(MhaOptions))
mha_forward = declare("grd_mha_forward", Attention, P, P, P, P, c.POINTER(MhaArgs))

def shape(*sizes):
    return Shape(len(sizes), (I * 8)(*sizes))

@contextmanager
def scope():
    """Frees what was made inside; the first error inside becomes an exception."""
    s = scope_begin()
    try:
        yield
    finally:
        scope_end(s)
    if error_take():
        raise RuntimeError(error_message().decode())

with scope():
    rng = rng_create(42)
    attention = mha_create(rng, c.byref(MhaOptions(embed_dim=64, num_heads=4, layout=1)))
    x = randn(rng, shape(8, 16, 64))
    a = mha_forward(attention, x, x, x, c.byref(MhaArgs(mask=Mask(causal=True), weights=2)))
    total = sum_(a.output)
    backward(total)
    print(item(total))
