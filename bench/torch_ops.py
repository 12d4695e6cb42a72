"""Single ops in PyTorch, under the names of bench/op_cases.def: op.forward.NAME.ROWS.COLUMNS, without
a graph, and op.backward.NAME.ROWS.COLUMNS, the walk alone; with .f64 behind it in f64."""
import re
import time

VOCAB, BEST, SMALL = 1000, 8, 1 << 16  # elements: several runs make a sample

# Each as a function of torch, its functional module and the inputs.
OPS = {
    "add": lambda torch, f, i: i.x + i.y,
    "sub": lambda torch, f, i: i.x - i.y,
    "mul": lambda torch, f, i: i.x * i.y,
    "div": lambda torch, f, i: i.x / i.positive,
    "maximum": lambda torch, f, i: torch.maximum(i.x, i.y),
    "pow": lambda torch, f, i: torch.pow(i.positive, i.y),
    "add_scalar": lambda torch, f, i: i.x + 0.7,
    "mul_scalar": lambda torch, f, i: i.x * 0.7,
    "pow_scalar": lambda torch, f, i: torch.pow(i.positive, 2.3),
    "clamp": lambda torch, f, i: torch.clamp(i.x, -0.5, 0.5),
    "where": lambda torch, f, i: torch.where(i.mask, i.x, i.y),
    "masked_fill": lambda torch, f, i: i.x.masked_fill(i.mask, 0.7),
    "abs": lambda torch, f, i: torch.abs(i.x),
    "square": lambda torch, f, i: torch.square(i.x),
    "exp": lambda torch, f, i: torch.exp(i.x),
    "log": lambda torch, f, i: torch.log(i.positive),
    "sqrt": lambda torch, f, i: torch.sqrt(i.positive),
    "rsqrt": lambda torch, f, i: torch.rsqrt(i.positive),
    "sin": lambda torch, f, i: torch.sin(i.x),
    "cos": lambda torch, f, i: torch.cos(i.x),
    "erf": lambda torch, f, i: torch.erf(i.x),
    "tanh": lambda torch, f, i: torch.tanh(i.x),
    "sigmoid": lambda torch, f, i: torch.sigmoid(i.x),
    "relu": lambda torch, f, i: torch.relu(i.x),
    "gelu": lambda torch, f, i: f.gelu(i.x),
    "gelu_tanh": lambda torch, f, i: f.gelu(i.x, approximate="tanh"),
    "silu": lambda torch, f, i: f.silu(i.x),
    "softmax": lambda torch, f, i: torch.softmax(i.x, 1),
    "log_softmax": lambda torch, f, i: torch.log_softmax(i.x, 1),
    "logsumexp": lambda torch, f, i: torch.logsumexp(i.x, 1),
    "layer_norm": lambda torch, f, i: f.layer_norm(i.x, i.weight.shape, i.weight, i.bias),
    "rms_norm": lambda torch, f, i: f.rms_norm(i.x, i.weight.shape, i.weight, 1e-5),
    "cross_entropy": lambda torch, f, i: f.cross_entropy(i.x, i.targets),
    "dropout": lambda torch, f, i: f.dropout(i.x, 0.1),
    "embedding": lambda torch, f, i: f.embedding(i.tokens, i.table),
    "sum": lambda torch, f, i: i.x.sum(),
    "sum_rows": lambda torch, f, i: i.x.sum(1),
    "sum_columns": lambda torch, f, i: i.x.sum(0),
    "mean": lambda torch, f, i: i.x.mean(),
    "var": lambda torch, f, i: i.x.var(),
    "var_rows": lambda torch, f, i: i.x.var(1),
    "max": lambda torch, f, i: i.x.amax(),
    "max_rows": lambda torch, f, i: i.x.amax(1),
    "cumsum": lambda torch, f, i: i.x.cumsum(1),
    "topk": lambda torch, f, i: torch.topk(i.x, BEST, 1).values,
    "cat": lambda torch, f, i: torch.cat([i.x, i.y], 1),
    "transpose": lambda torch, f, i: i.x.t().contiguous(),
    "to_f16": lambda torch, f, i: i.x.half(),
    "to_bf16": lambda torch, f, i: i.x.bfloat16(),
    "to_f64": lambda torch, f, i: i.x.double(),
}
WITHOUT_WALK = {
    "from_f16": lambda torch, f, i: i.half.float(),
    "from_bf16": lambda torch, f, i: i.brain.float(),
    "from_f64": lambda torch, f, i: i.twice.float(),
    "argmax": lambda torch, f, i: i.x.argmax(1),
    "uniform": lambda torch, f, i: torch.rand(i.x.shape),
    "normal": lambda torch, f, i: torch.randn(i.x.shape),
}
SHAPES = ((512, 64), (4096, 768))
NAMES = [f"op.{way}.{op}.{rows}.{columns}"
         for way, ops in (("forward", OPS | WITHOUT_WALK), ("backward", OPS))
         for op in ops for rows, columns in SHAPES]


class Inputs:
    def __init__(self, torch, rows, columns, dtype):
        def leaf(x):
            return x.to(dtype).requires_grad_()
        self.x, self.y = leaf(torch.randn(rows, columns)), leaf(torch.randn(rows, columns))
        self.positive = leaf(torch.rand(rows, columns) + 0.1)
        self.weight, self.bias = leaf(torch.randn(columns)), leaf(torch.randn(columns))
        self.table = leaf(torch.randn(VOCAB, columns))
        self.mask = torch.randn(rows, columns) > 0
        self.targets, self.tokens = torch.randint(columns, (rows,)), torch.randint(VOCAB, (rows,))
        values = self.x.detach()
        self.half, self.brain, self.twice = values.half(), values.bfloat16(), values.double()

    def drop_gradients(self):
        for leaf in (self.x, self.y, self.positive, self.weight, self.bias, self.table):
            leaf.grad = None


def forward(torch, op, inputs, runs):
    def sample():
        with torch.no_grad():
            start = time.perf_counter_ns()
            for _ in range(runs):
                op(inputs)
            return (time.perf_counter_ns() - start) / 1e3 / runs
    return sample


def backward(torch, op, inputs, runs):
    dy = torch.ones_like(op(inputs)).detach()

    def sample():
        ns = 0
        for _ in range(runs):
            y = op(inputs)
            start = time.perf_counter_ns()
            y.backward(dy)
            ns += time.perf_counter_ns() - start
            inputs.drop_gradients()
        return ns / 1e3 / runs
    return sample


def make(torch, name, wrap=lambda op: op):
    """The function that takes a sample of the case of that name; wrap may compile the op."""
    way, op, rows, columns, f64 = re.fullmatch(r"op\.(\w+)\.(\w+)\.(\d+)\.(\d+)(\.f64)?", name).groups()
    inputs = Inputs(torch, int(rows), int(columns), torch.float64 if f64 else torch.float32)
    runs = 10 if int(rows) * int(columns) <= SMALL else 1
    run = (OPS | WITHOUT_WALK)[op]
    wrapped = wrap(lambda inputs: run(torch, torch.nn.functional, inputs))
    return (forward if way == "forward" else backward)(torch, wrapped, inputs, runs)
