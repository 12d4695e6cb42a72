"""How golden files are written: a group a calculation, with its options as attributes, what it
takes as arrays, and what comes out of it under `truth`."""

import h5py
import numpy as np
import torch


def write_array(group, name, x):
    """In the object's header, which takes a fraction of the room that a data block does."""
    x = x.detach().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)
    file_type = h5py.h5t.py_create(x.dtype, logical=True)
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_obj_track_times(False)
    if 0 < x.nbytes < 60000:
        layout.set_layout(h5py.h5d.COMPACT)
    data = h5py.h5d.create(group.id, name.encode(), file_type, h5py.h5s.create_simple(x.shape),
                           layout)
    data.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(x), file_type)


def write_tree(group, tree):
    for name, value in tree.items():
        if isinstance(value, dict):
            if value:
                write_tree(group.require_group(name), value)
        else:
            write_array(group, name, value)


def write_options(group, options):
    for name, value in options.items():
        if isinstance(value, dict):
            write_options(group.require_group(name), value)
        else:
            group.attrs[name] = value


def create_group(file, name):
    """With any number of attributes in its header, where they take the least room."""
    layout = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    layout.set_attr_phase_change(64, 32)
    layout.set_obj_track_times(False)
    return h5py.Group(h5py.h5g.create(file.id, name.encode(), gcpl=layout))


def write_cases(path, cases):
    with h5py.File(path, "w", libver=("v108", "v110")) as file:
        for number, (case, stated, truth, confirmed) in enumerate(cases):
            group = create_group(file, f"case{number:03}")
            write_options(group, case | {"confirmed": confirmed})
            write_tree(group, stated | {"truth": truth})
    print(f"{path}: {len(cases)} cases, {sum(c[3] for c in cases)} confirmed by PyTorch")
