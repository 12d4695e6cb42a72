"""Checkpoints and safetensors in other programs' hands: h5dump, h5py, safetensors, PyTorch.
interop.py INTEROP_PROGRAM; what is not installed is left out, without h5py the test is skipped."""
import json
import math
import shutil
import struct
import subprocess
import sys
import tempfile

SKIP = 77
try:
    import h5py
    import numpy as np
except ImportError:
    print("h5py is not installed")
    sys.exit(SKIP)


def optional(name):
    try:
        return __import__(name, fromlist=["x"])
    except ImportError:
        print(f"{name} is not installed: left out")
        return None


def check(condition, what):
    if not condition:
        sys.exit(f"wrong: {what}")
    print("right:", what)


def expect_types(values, source):
    x = np.array([[1, -0.5], [65504, 2.0 ** -14]])
    for name in "f32", "f64", "f16":
        check(values[name].dtype == np.dtype("f" + str(int(name[1:]) // 8)), f"{source}: dtype of {name}")
        check((values[name] == x).all(), f"{source}: values of {name}")
    check((values["i64"] == [1, -2 ** 63]).all() and values["i64"].dtype == np.int64, f"{source}: i64")
    check((values["bool"] == [True, False]).all() and values["bool"].dtype == bool, f"{source}: bool")
    check(values["none"].shape == (0, 3), f"{source}: a tensor without elements")


def bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def with_h5py(folder):
    with h5py.File(folder + "/types.h5") as file:
        check(file.userblock_size == 512, "h5py sees the header as a user block")
        check(file.attrs["format"] == b"gradus checkpoint" and file.attrs["step"] == 42, "root attributes")
        model = {name: value[()] for name, value in file["model"].items()}
        check(list(model) == ["f32", "f64", "f16", "bf16", "i64", "bool", "none"], "order of creation")
        expect_types(model, "h5py")
        check(file["model/bf16"].attrs["dtype"] == b"bfloat16", "bf16 is marked")
        check(bf16(model["bf16"])[1, 1] == 2.0 ** -14, "bf16's bits")
    with h5py.File(folder + "/model.h5") as file:
        check(json.loads(file["config"][()]) == {"lr": 0.001}, "config")
        check(json.loads(file["architecture"][()])["embed_dim"] == 16, "architecture")
        check(file["tokenizer/characters"][()].decode() == "dgrsuä", "tokenizer")
        check(file["optimizer"].attrs["algorithm"] == b"adamw", "optimizer")
        check(set(file["optimizer/m"]) == set(file["model"]) == set(file["optimizer/v"]), "moments")


def with_h5dump(folder):
    if not shutil.which("h5dump"):
        print("h5dump is not installed: left out")
        return
    done = subprocess.run(["h5dump", "-d", "/model/i64", folder + "/types.h5"], capture_output=True, text=True)
    check(done.returncode == 0 and "(0): 1, -9223372036854775808" in done.stdout, "h5dump")


def with_safetensors(folder):
    module = optional("safetensors.numpy")
    with open(folder + "/types.safetensors", "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    check(header["bf16"]["dtype"] == "BF16" and header["none"]["shape"] == [0, 3], "safetensors' header")
    if module:
        torch = optional("safetensors.torch")
        if torch:
            values = torch.load_file(folder + "/types.safetensors")
            expect_types({name: value.float().numpy() if name == "bf16" else value.numpy()
                          for name, value in values.items()}, "safetensors")
            check(values["bf16"].float()[1, 1] == 2.0 ** -14, "safetensors: bf16")


def encoder(torch):
    """The same transformer in PyTorch, under the same names."""
    class Transformer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            layer = dict(d_model=16, nhead=4, dim_feedforward=24, dropout=0.0, activation="gelu", batch_first=True)
            self.token_embedding = torch.nn.Embedding(13, 16)
            self.position_embedding = torch.nn.Embedding(7, 16)
            self.blocks = torch.nn.ModuleList(torch.nn.TransformerEncoderLayer(**layer) for _ in range(2))
            self.norm = torch.nn.LayerNorm(16)
            self.head = torch.nn.Linear(16, 13, bias=False)

        def forward(self, tokens):
            x = self.token_embedding(tokens) + self.position_embedding.weight
            mask = torch.full((7, 7), -math.inf).triu(1)
            for block in self.blocks:
                x = block(x, src_mask=mask)
            return self.head(self.norm(x))

    torch.manual_seed(0)
    return Transformer().train()  # without dropout; eval would take the fused path


def expect_logits(torch, model, folder, what):
    with h5py.File(folder + "/logits.h5") as file:
        wanted = torch.from_numpy(file["logits"][()])
        with torch.no_grad():
            found = model(torch.from_numpy(file["tokens"][()]))
    check((found - wanted).abs().max() < 1e-5, f"{what}: the same logits, to {(found - wanted).abs().max():.1e}")


def with_torch(program, folder):
    torch = optional("torch")
    if not torch:
        return
    model = encoder(torch)
    with h5py.File(folder + "/model.h5") as file:
        model.load_state_dict({name: torch.from_numpy(value[()]) for name, value in file["model"].items()},
                              strict=True)
    expect_logits(torch, model, folder, "PyTorch from HDF5")
    safetensors = optional("safetensors.torch")
    if safetensors:
        model = encoder(torch)
        model.load_state_dict(safetensors.load_file(folder + "/model.safetensors"), strict=True)
        expect_logits(torch, model, folder, "PyTorch from safetensors")
        model = encoder(torch)
        safetensors.save_file(model.state_dict(), folder + "/torch.safetensors")
        subprocess.run([program, "read", folder], check=True)
        expect_logits(torch, model, folder, "Gradus from PyTorch's safetensors")


with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.argv[1], "write", folder], check=True)
    with_h5py(folder)
    with_h5dump(folder)
    with_safetensors(folder)
    with_torch(sys.argv[1], folder)
