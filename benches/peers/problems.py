"""The problems of the comparison, each stated once.

A problem is written in expressions of Python over the names of its states; `emit.py` turns them into the language of
each peer. What twinc reads is not made from these: it is the shipped model in `models/`, or for the networks a text of
its own. Statements of the classical problems follow the reference files (see `references.py`); the sources stand in the
models.
"""

import math
import pathlib
import random
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclass
class Problem:
    """One initial value problem from time 0 to `end`."""

    name: str
    title: str
    end: float
    states: list  # names, in the order of the reference
    start: list  # start values
    rhs: list  # an expression for each state
    twin: str  # the text that twinc reads
    twin_states: list  # the names of the states there, in the same order
    model: str = None  # name of the model in the text; the last one where not given
    lets: list = field(default_factory=list)  # (name, expression), in order, used by rhs
    reactions: list = None  # ({reactant: n}, {product: n}, rate), where the problem is a network
    parameters: dict = field(default_factory=dict)  # values that change at the end of a segment
    segments: list = None  # (end, {parameter: value}); one to `end` where not given
    rtol: float = 1e-6
    atol: float = 1e-9
    is_stiff: bool = True
    reference: tuple = None  # ("file", name) | ("expm",) | ("tight",)
    bands: tuple = None  # half bandwidths below and above the diagonal, in the order of the states
    vector: object = None  # function (t, y, parameters) -> dy on arrays, where that is faster than the expressions
    jacobian: object = None  # the same for the sparse Jacobian
    diffsl: list = field(default_factory=list)  # (label, text, order of states): further forms in DiffSL
    is_heavy: bool = False  # diffsol takes more than 10 GB to load it
    invariant: object = None  # function y -> size of what should be zero

    def __post_init__(self):
        if self.segments is None:
            self.segments = [(self.end, dict(self.parameters))]

    @property
    def n(self):
        """The number of states."""
        return len(self.states)


def model_text(name):
    """The text of a shipped model."""
    return (ROOT / "models" / f"{name}.twin").read_text()


def numbered(name, n, first=1):
    return [f"{name}{i}" for i in range(first, first + n)]


def family(name, indices):
    return [f"{name}({i})" for i in indices]


def number(value):
    """The shortest text that reads back as the same number."""
    value = float(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def from_reactions(states, reactions):
    """Rates as named expressions, and the right-hand side as sums of them."""
    lets, terms = [], {s: [] for s in states}
    for k, (left, right, rate) in enumerate(reactions):
        lets.append((f"r{k}", rate))
        for s in sorted(set(left) | set(right)):
            change = right.get(s, 0) - left.get(s, 0)
            if change:
                sign = "+" if change > 0 else "-"
                factor = "" if abs(change) == 1 else f"{abs(change)}*"
                terms[s].append(f"{sign} {factor}r{k}")
    rhs = [" ".join(terms[s]).removeprefix("+ ") or "0*" + s for s in states]
    return lets, rhs


def robertson():
    states = numbered("y", 3)
    reactions = [
        ({"y1": 1}, {"y2": 1}, "0.04*y1"),
        ({"y2": 2}, {"y2": 1, "y3": 1}, "3e7*y2*y2"),
        ({"y2": 1, "y3": 1}, {"y1": 1, "y3": 1}, "1e4*y2*y3"),
    ]
    lets, rhs = from_reactions(states, reactions)
    return Problem(
        "robertson", "Robertson to 1e11", 1e11, states, [1, 0, 0], rhs, model_text("robertson"), states, lets=lets,
        reactions=reactions, reference=("file", "robertson"), invariant=lambda y: abs(sum(y) - 1),
    )


def hires():
    rhs = [
        "-1.71*y1 + 0.43*y2 + 8.32*y3 + 0.0007",
        "1.71*y1 - 8.75*y2",
        "-10.03*y3 + 0.43*y4 + 0.035*y5",
        "8.32*y2 + 1.71*y3 - 1.12*y4",
        "-1.745*y5 + 0.43*y6 + 0.43*y7",
        "-r + 0.69*y4 + 1.71*y5 - 0.43*y6 + 0.69*y7",
        "r - 1.81*y7",
        "-r + 1.81*y7",
    ]
    states = numbered("y", 8)
    return Problem(
        "hires", "HIRES", 321.8122, states, [1, 0, 0, 0, 0, 0, 0, 0.0057], rhs, model_text("hires"), states,
        lets=[("r", "280*y6*y8")], reference=("file", "hires"),
    )


def orego():
    states = numbered("y", 3)
    rhs = ["77.27*(y2 + y1*(1 - 8.375e-6*y1 - y2))", "(y3 - (1 + y1)*y2)/77.27", "0.161*(y1 - y3)"]
    return Problem(
        "orego", "OREGO", 360.0, states, [1, 2, 3], rhs, model_text("oregonator"), states, reference=("file", "orego"),
    )


def pollution():
    names = "NO2 NO O3P O3 HO2 OH HCHO CO ALD MEO2 C2O3 CO2 PAN CH3O HNO3 O1D SO2 SO4 NO3 N2O5".split()
    k = [0.35, 26.6, 1.23e4, 8.6e-4, 8.2e-4, 1.5e4, 1.3e-4, 2.4e4, 1.65e4, 9e3, 0.022, 1.2e4, 1.88, 1.63e4, 4.8e6,
         3.5e-4, 0.0175, 1e8, 4.44e11, 1240, 2.1, 5.78, 0.0474, 1780, 3.12]
    table = (
        "1>2+3 2+4>1 5+2>1+6 7>2*5+8 7>8 7+6>5+8 9>10+5+8 9+6>11 11+2>1+10+12 11+1>13 13>11+1 10+2>14+1 14>7+5 1+6>15 "
        "3>4 4>16 4>3 16>2*6 16>3 17+6>18+5 19>2 19>1+3 1+4>19 19+1>20 20>19+1"
    )
    reactions = []
    for rate, text in zip(k, table.split()):
        sides = []
        for side in text.split(">"):
            counts = {}
            for term in side.split("+"):
                n, _, s = term.rpartition("*")
                counts[f"y{s}"] = int(n or 1)
            sides.append(counts)
        reactions.append((sides[0], sides[1], "*".join([number(rate), *sides[0]])))
    states = numbered("y", 20)
    start = dict(y2=0.2, y4=0.04, y7=0.1, y8=0.3, y9=0.01, y17=0.007)
    lets, rhs = from_reactions(states, reactions)
    return Problem(
        "pollution", "Pollution", 60.0, states, [start.get(s, 0) for s in states], rhs, model_text("pollution"), names,
        lets=lets, reactions=reactions, reference=("file", "pollution"),
    )


def medical_akzo():
    import numpy as np
    import scipy.sparse as sp

    n, k, c = 200, 100.0, 4.0
    dz = 1 / n
    z = dz * np.arange(1, n)
    a, b = 2 * (z - 1) ** 3 / c**2 / (2 * dz), (z - 1) ** 4 / c**2 / dz**2
    states, rhs, lets = [], [], []
    for j in range(1, n + 1):
        states += [f"u{j}", f"v{j}"]
        lets.append((f"b{j}", f"{number(k)}*u{j}*v{j}"))
        if j < n:
            left = f"u{j - 1}" if j > 1 else "phi"
            move = f"{number(a[j - 1])}*(u{j + 1} - {left}) + {number(b[j - 1])}*({left} - 2*u{j} + u{j + 1})"
            rhs.append(f"{move} - b{j}")
        else:
            rhs.append(f"-b{j}")
        rhs.append(f"-b{j}")

    def vector(_t, y, parameters):
        u, v = y[0::2], y[1::2]
        w = np.concatenate(([parameters["phi"]], u))
        binding = k * u * v
        dy = np.empty_like(y)
        dy[1::2] = -binding
        dy[0::2] = -binding
        dy[0:-2:2] += a * (w[2:] - w[:-2]) + b * (w[:-2] - 2 * w[1:-1] + w[2:])
        return dy

    def jacobian(_t, y, _parameters):
        u, v = y[0::2], y[1::2]
        j = np.arange(n)
        rows = np.concatenate((2 * j, 2 * j, 2 * j + 1, 2 * j + 1, 2 * j[:-1], 2 * j[1:-1], 2 * j[:-1]))
        cols = np.concatenate((2 * j, 2 * j + 1, 2 * j, 2 * j + 1, 2 * j[1:], 2 * j[:-2], 2 * j[:-1]))
        values = np.concatenate((-k * v, -k * u, -k * v, -k * u, a + b, (b - a)[1:], -2 * b))
        return sp.csc_matrix((values, (rows, cols)), shape=(2 * n, 2 * n))

    entries = []
    for j in range(n - 1):
        if j > 0:
            entries.append(f"({j},{j - 1}): {number(b[j] - a[j])}")
        entries += [f"({j},{j}): {number(-2 * b[j])}", f"({j},{j + 1}): {number(a[j] + b[j])}"]
    # A sparse tensor of DiffSL has an entry in every row.
    entries.append(f"({n - 1},{n - 1}): 0.0")
    diffsl = f"""
in_i {{ phi = 2 }}
L_ij {{ {", ".join(entries)} }}
e_i {{ (0): {number(b[0] - a[0])}, (1:{n}): 0.0 }}
u_i {{ (0:{n}): free = 0.0, ({n}:{2 * n}): bound = 1.0 }}
m_i {{ L_ij * free_j }}
b_i {{ {number(k)} * free_i * bound_i }}
F_i {{ m_i + phi * e_i - b_i, -b_i }}
"""
    order = [k for j in range(n) for k in (j, n + j)]
    twin_states = [f"{s}({j})" for j in range(1, n + 1) for s in "uv"]
    return Problem(
        "medical_akzo", "Medical Akzo", 20.0, states, [0, 1] * n, rhs, model_text("medical_akzo"), twin_states,
        lets=lets, parameters={"phi": 2.0}, segments=[(5.0, {"phi": 2.0}), (20.0, {"phi": 0.0})],
        reference=("file", "medakzo"), bands=(2, 2), vector=vector, jacobian=jacobian,
        diffsl=[("tensor", diffsl, order)],
    )


def brusselator(n):
    import numpy as np
    import scipy.sparse as sp

    d = 0.02 * (n + 1) ** 2
    states, rhs, start, lets = [], [], [], []
    for i in range(1, n + 1):
        states += [f"u{i}", f"v{i}"]
        start += [1 + math.sin(2 * math.pi * i / (n + 1)), 3.0]
        side = lambda s, j, end: f"{s}{j}" if 1 <= j <= n else end
        spread = lambda s, end: f"{number(d)}*({side(s, i - 1, end)} - 2*{s}{i} + {side(s, i + 1, end)})"
        lets.append((f"w{i}", f"u{i}*u{i}*v{i}"))
        rhs.append(f"1 + w{i} - 4*u{i} + {spread('u', '1')}")
        rhs.append(f"3*u{i} - w{i} + {spread('v', '3')}")

    def vector(_t, y, _parameters):
        u, v = y[0::2], y[1::2]
        uu = np.concatenate(([1.0], u, [1.0]))
        vv = np.concatenate(([3.0], v, [3.0]))
        w = u * u * v
        dy = np.empty_like(y)
        dy[0::2] = 1 + w - 4 * u + d * (uu[:-2] - 2 * u + uu[2:])
        dy[1::2] = 3 * u - w + d * (vv[:-2] - 2 * v + vv[2:])
        return dy

    def jacobian(_t, y, _parameters):
        u, v = y[0::2], y[1::2]
        main = np.empty(2 * n)
        main[0::2] = 2 * u * v - 4 - 2 * d
        main[1::2] = -u * u - 2 * d
        up, down = np.zeros(2 * n - 1), np.zeros(2 * n - 1)
        up[0::2] = u * u
        down[0::2] = 3 - 2 * u * v
        far = np.full(2 * n - 2, d)
        return sp.diags([far, down, main, up, far], [-2, -1, 0, 1, 2], format="csc")

    entries = [f"({i},{j}): {-2.0 if i == j else 1.0}" for i in range(n) for j in (i - 1, i, i + 1) if 0 <= j < n]
    ends = "(0): 1.0, (1:%d): 0.0, (%d): 1.0" % (n - 1, n - 1)
    diffsl = f"""
D {{ {number(d)} }}
L_ij {{ {", ".join(entries)} }}
e_i {{ {ends} }}
sa_i {{ {", ".join(number(s) for s in start[0::2])} }}
u_i {{ (0:{n}): a = sa_i, ({n}:{2 * n}): c = 3.0 }}
ma_i {{ L_ij * a_j }}
mc_i {{ L_ij * c_j }}
w_i {{ a_i * a_i * c_i }}
F_i {{
  1.0 + w_i - 4.0 * a_i + D * (ma_i + e_i),
  3.0 * a_i - w_i + D * (mc_i + 3.0 * e_i)
}}
"""
    order = [k for i in range(n) for k in (i, n + i)]
    text = model_text("brusselator")
    if n != 20:
        text += f"\nmodel Brusselator_{n} = Brusselator(N = {n})\n"
        text = "\n".join(line for line in text.splitlines() if not line.startswith("  expect"))
    return Problem(
        f"brusselator_{n}", f"Brusselator, {n} cells", 10.0, states, start, rhs, text,
        [f"{s}({i})" for i in range(1, n + 1) for s in "uv"], lets=lets,
        reference=("file", f"brusselator_{n}") if n in (20, 200) else ("tight",), bands=(2, 2), vector=vector,
        jacobian=jacobian, diffsl=[("tensor", diffsl, order)],
    )


def chain(n):
    import numpy as np
    import scipy.sparse as sp

    forward = [1.0 + 10.0 * (i % 5) for i in range(n - 1)]
    backward = [0.5 + i % 3 for i in range(n - 1)]
    states = [f"S{i}" for i in range(n)]
    reactions = []
    for i in range(n - 1):
        a, b = {f"S{i}": 1}, {f"S{i + 1}": 1}
        reactions.append((a, b, f"{number(forward[i])}*S{i} - {number(backward[i])}*S{i + 1}"))
    lets, rhs = from_reactions(states, reactions)
    kf, kb = np.array(forward), np.array(backward)
    main = np.concatenate((-kf, [0])) + np.concatenate(([0], -kb))
    matrix = sp.diags([kf, main, kb], [-1, 0, 1], format="csc")

    def vector(_t, y, _parameters):
        r = kf * y[:-1] - kb * y[1:]
        dy = np.zeros_like(y)
        dy[:-1] -= r
        dy[1:] += r
        return dy

    coo = matrix.tocoo()
    order = np.lexsort((coo.col, coo.row))
    entries = ", ".join(f"({coo.row[k]},{coo.col[k]}): {number(coo.data[k])}" for k in order)
    diffsl = f"A_ij {{ {entries} }}\nu_i {{ (0): y = 1.0, (1:{n}): z = 0.0 }}\nF_i {{ A_ij * u_j }}\n"
    text = model_text("linear_chain")
    text += f"\nmodel LinearChain_{n} = LinearChain(N = {n})\n"
    text = "\n".join(line for line in text.splitlines() if not line.startswith("  expect"))
    return Problem(
        f"chain_{n}", f"Linear chain, {n}", 10.0, states, [1.0] + [0.0] * (n - 1), rhs, text, family("S", range(n)),
        lets=lets, reactions=reactions, reference=("expm",), bands=(1, 1), vector=vector,
        jacobian=lambda _t, _y, _p: matrix, diffsl=[("tensor", diffsl, None)],
        invariant=lambda y: abs(sum(y) - 1),
    )


def e5():
    states = numbered("y", 4)
    reactions = [
        ({"y1": 1}, {"y2": 1, "y3": 1}, "7.89e-10*y1"),
        ({"y1": 1, "y3": 1}, {"y4": 1}, "1.1e7*y1*y3"),
        ({"y2": 1, "y3": 1}, {}, "1.13e9*y2*y3"),
        ({"y4": 1}, {"y3": 1}, "1.13e3*y4"),
    ]
    lets, rhs = from_reactions(states, reactions)
    # Values at the end are 9e-23, so that the tolerance of the other problems would see nothing.
    return Problem(
        "e5", "E5 to 1e13 (atol 1e-26)", 1e13, states, [1.76e-3, 0, 0, 0], rhs, model_text("e5"), states, lets=lets,
        reactions=reactions, model="E5", atol=1e-26, reference=("file", "e5"),
        invariant=lambda y: abs(y[1] - y[2] - y[3]),
    )


def e5_reduced():
    states = ["y1", "y2", "y4"]
    lets = [("a", "7.89e-10*y1"), ("b", "1.1e7*y1*(y2 - y4)")]
    return Problem(
        "e5_reduced", "E5 to 1e13, y3 = y2 - y4", 1e13, states, [1.76e-3, 0, 0],
        ["-a - b", "a - 1.13e9*y2*(y2 - y4)", "b - 1.13e3*y4"], model_text("e5"), states, model="E5Reduced", lets=lets,
        atol=1e-26, reference=("file", "e5", (0, 1, 3)),
    )


def ring_modulator():
    v = dict(C=1.6e-8, Cs=2e-12, Cp=1e-8, R=25e3, Rp=50.0, Lh=4.45, Ls1=2e-3, Ls2=5e-4, Ls3=5e-4, Rg1=36.3, Rg2=17.3,
             Rg3=17.3, Ri=50.0, Rc=600.0, gamma=40.67286402e-9, delta=17.7493332, pi=math.pi)
    q = "{gamma}*(exp({delta}*(%s)) - 1)"
    lets = [
        ("V1", "0.5*sin(2000*{pi}*time)"), ("V2", "2*sin(20000*{pi}*time)"), ("D1", q % "y3 - y5 - y7 - V2"),
        ("D2", q % "-y4 + y6 - y7 - V2"), ("D3", q % "y4 + y5 + y7 + V2"), ("D4", q % "-y3 - y6 + y7 + V2"),
    ]
    rhs = [
        "(y8 - y10/2 + y11/2 + y14 - y1/{R})/{C}", "(y9 - y12/2 + y13/2 + y15 - y2/{R})/{C}", "(y10 - D1 + D4)/{Cs}",
        "(-y11 + D2 - D3)/{Cs}", "(y12 + D1 - D3)/{Cs}", "(-y13 - D2 + D4)/{Cs}", "(-y7/{Rp} + D1 + D2 - D3 - D4)/{Cp}",
        "-y1/{Lh}", "-y2/{Lh}", "(y1/2 - y3 - {Rg2}*y10)/{Ls2}", "(-y1/2 + y4 - {Rg3}*y11)/{Ls3}",
        "(y2/2 - y5 - {Rg2}*y12)/{Ls2}", "(-y2/2 + y6 - {Rg3}*y13)/{Ls3}", "(-y1 + V1 - ({Ri} + {Rg1})*y14)/{Ls1}",
        "(-y2 - ({Rc} + {Rg1})*y15)/{Ls1}",
    ]
    fill = lambda e: e.format(**{key: repr(value) for key, value in v.items()})
    return Problem(
        "ring_modulator", "Ring modulator", 1e-3, numbered("y", 15), [0.0] * 15, [fill(e) for e in rhs],
        model_text("ring_modulator"), family("y", range(1, 16)), lets=[(s, fill(e)) for s, e in lets],
        reference=("file", "ring_modulator"),
    )


def vdpol():
    return Problem(
        "vdpol", "Van der Pol, eps 1e-6", 2.0, ["y1", "y2"], [2, 0], ["y2", "((1 - y1*y1)*y2 - y1)/1e-6"],
        model_text("vdpol"), ["y1", "y2"], reference=("file", "vdpol"),
    )


def pleiades():
    start = [3, 3, -1, -3, 2, -2, 2, 3, -3, 2, 0, 0, -4, 4, 0, 0, 0, 0, 0, 1.75, -1.5, 0, 0, 0, -1.25, 1, 0, 0]
    states = [f"{s}{i}" for s in ("x", "y", "vx", "vy") for i in range(1, 8)]
    lets = []
    for i in range(1, 8):
        for j in range(i + 1, 8):
            lets.append((f"q{i}{j}", f"((x{i} - x{j})**2 + (y{i} - y{j})**2)**1.5"))
    rhs = [f"vx{i}" for i in range(1, 8)] + [f"vy{i}" for i in range(1, 8)]
    for s in "xy":
        for i in range(1, 8):
            rhs.append(" + ".join(f"{j}*({s}{j} - {s}{i})/q{min(i, j)}{max(i, j)}" for j in range(1, 8) if j != i))
    return Problem(
        "pleiades", "Pleiades", 3.0, states, start, rhs, model_text("pleiades"),
        [f"{s}({i})" for s in ("x", "y", "vx", "vy") for i in range(1, 8)], lets=lets, is_stiff=False,
        reference=("file", "pleiades"),
    )


def lotka_volterra():
    states = ["x", "y"]
    return Problem(
        "lotka_volterra", "Lotka-Volterra to 1000", 1000.0, states, [1, 1], ["1.5*x - m", "m - 3*y"],
        model_text("lotka_volterra"), ["prey", "predator"], lets=[("m", "x*y")], is_stiff=False, reference=("tight",),
        invariant=lambda y: abs(y[0] - 3 * math.log(y[0]) + y[1] - 1.5 * math.log(y[1]) - 2),
    )


def arenstorf():
    states = ["x", "y", "vx", "vy"]
    mu, mu1 = "0.012277471", repr(1 - 0.012277471)
    lets = [("D1", f"((x + {mu})**2 + y**2)**1.5"), ("D2", f"((x - {mu1})**2 + y**2)**1.5")]
    rhs = [
        "vx", "vy", f"x + 2*vy - {mu1}*(x + {mu})/D1 - {mu}*(x - {mu1})/D2", f"y - 2*vx - {mu1}*y/D1 - {mu}*y/D2",
    ]
    return Problem(
        "arenstorf", "Arenstorf, one period", 17.06521656015796, states, [0.994, 0, 0, -2.0015851063790824], rhs,
        model_text("arenstorf"), states, lets=lets, is_stiff=False, reference=("file", "arenstorf"),
    )


def network(n_reactions):
    """A random network of mass action: half as many species as reactions, each reaction with its reverse.

    Of 10 pairs 4 are A <-> B and 6 are A + B <-> C + D, so that the total is conserved and the solution bounded. A
    partner is drawn within 12 places on a ring, one in fifty from anywhere. Constants are log-uniform over 1e-2 .. 1e2,
    start values uniform over 0 .. 2. The generator is Python's Mersenne twister with a fixed seed.
    """
    import numpy as np
    import scipy.sparse as sp

    rng = random.Random(20 + n_reactions)
    n = max(n_reactions // 2, 6)
    start = [round(rng.uniform(0, 2), 6) for _ in range(n)]
    pairs = []
    for k in range(n_reactions // 2):
        first = k % n
        taken = [first]
        for _ in range(1 if rng.random() < 0.4 else 3):
            while True:
                partner = rng.randrange(n) if rng.random() < 0.02 else (first + rng.randint(-12, 12)) % n
                if partner not in taken:
                    taken.append(partner)
                    break
        half = len(taken) // 2
        constants = [float(f"{10 ** rng.uniform(-2, 2):.4g}") for _ in range(2)]
        pairs.append((taken[:half], taken[half:], constants[0]))
        pairs.append((taken[half:], taken[:half], constants[1]))
    states = [f"S{i}" for i in range(n)]
    reactions, lines = [], []
    for k, (left, right, constant) in enumerate(pairs):
        names = [[f"S{i}" for i in side] for side in (left, right)]
        reactions.append(
            ({s: 1 for s in names[0]}, {s: 1 for s in names[1]}, "*".join([number(constant), *names[0]]))
        )
        lines.append(f"    r{k}: {' + '.join(names[0])} -> {' + '.join(names[1])} @ k{k}")
    text = "model Network {\n  time [1]\n  species {\n"
    text += "".join(f"    S{i} [1] = {number(v)}\n" for i, v in enumerate(start)) + "  }\n  param {\n"
    text += "".join(f"    k{k} [1] = {number(c)}\n" for k, (_, _, c) in enumerate(pairs)) + "  }\n  reaction {\n"
    text += "\n".join(lines) + "\n  }\n}\n"
    lets, rhs = from_reactions(states, reactions)

    m = len(pairs)
    constants = np.array([c for *_, c in pairs])
    first = np.array([left[0] for left, *_ in pairs])
    # A reaction with one reactant reads a species that is always 1, at place n.
    second = np.array([left[1] if len(left) > 1 else n for left, *_ in pairs])
    rows, cols, values = [], [], []
    for k, (left, right, _) in enumerate(pairs):
        rows += left + right
        cols += [k] * (len(left) + len(right))
        values += [-1.0] * len(left) + [1.0] * len(right)
    stoichiometry = sp.csr_matrix((values, (rows, cols)), shape=(n, m))

    def vector(_t, y, _parameters):
        x = np.append(y, 1.0)
        return stoichiometry @ (constants * x[first] * x[second])

    def jacobian(_t, y, _parameters):
        x = np.append(y, 1.0)
        k = np.arange(m)
        both = second < n
        by = sp.csr_matrix((constants * x[second], (k, first)), shape=(m, n))
        by = by + sp.csr_matrix(((constants * x[first])[both], (k[both], second[both])), shape=(m, n))
        return (stoichiometry @ by).tocsc()

    by_row = sp.csr_matrix((values, (rows, cols)), shape=(n, m)).tocoo()
    order = np.lexsort((by_row.col, by_row.row))
    sto = ", ".join(f"({by_row.row[k]},{by_row.col[k]}): {number(by_row.data[k])}" for k in order)
    pick_first = ", ".join(f"({k},{i}): 1.0" for k, i in enumerate(first))
    pick_second = ", ".join(f"({k},{i}): 1.0" if i < n else f"({k},{n - 1}): 0.0" for k, i in enumerate(second))
    ones = ", ".join("0.0" if i < n else "1.0" for i in second)
    diffsl = f"""
k_i {{ {", ".join(number(c) for c in constants)} }}
S_ij {{ {sto} }}
A_ij {{ {pick_first} }}
B_ij {{ {pick_second} }}
o_i {{ {ones} }}
u_i {{ {", ".join(number(v) for v in start)} }}
a_i {{ A_ij * u_j }}
b_i {{ B_ij * u_j }}
r_i {{ k_i * a_i * (b_i + o_i) }}
F_i {{ S_ij * r_j }}
"""
    total = sum(start)
    return Problem(
        f"network_{n_reactions}", f"Random network, {n_reactions} reactions", 10.0, states, start, rhs, text, states,
        lets=lets, reactions=reactions, reference=("tight",), vector=vector if n > 100 else None, jacobian=jacobian,
        diffsl=[("tensor", diffsl, None)], is_heavy=n_reactions > 5000, invariant=lambda y: abs(sum(y) - total),
    )


PROBLEMS = {
    "robertson": robertson,
    "hires": hires,
    "orego": orego,
    "pollution": pollution,
    "medical_akzo": medical_akzo,
    "brusselator_20": lambda: brusselator(20),
    "brusselator_200": lambda: brusselator(200),
    "brusselator_2000": lambda: brusselator(2000),
    "chain_100": lambda: chain(100),
    "chain_1000": lambda: chain(1000),
    "chain_5000": lambda: chain(5000),
    "e5": e5,
    "e5_reduced": e5_reduced,
    "ring_modulator": ring_modulator,
    "vdpol": vdpol,
    "pleiades": pleiades,
    "network_20": lambda: network(20),
    "network_1000": lambda: network(1000),
    "network_10000": lambda: network(10000),
    "lotka_volterra": lotka_volterra,
    "arenstorf": arenstorf,
}
