"""From the expressions of `problems.py` to the language of each peer."""

import ast

from problems import number

FUNCTIONS = {"exp", "sin", "cos", "log", "sqrt"}


class Printer:
    """Prints an expression with every operation in brackets; languages differ in powers and in the name of time."""

    def __init__(self, power, time="time", prefix=""):
        self.power, self.time, self.prefix = power, time, prefix

    def text(self, source):
        return self.node(ast.parse(source.strip(), mode="eval").body)

    def node(self, e):
        match e:
            case ast.Constant():
                return number(e.value)
            case ast.Name():
                return self.time if e.id == "time" else self.prefix + e.id
            case ast.UnaryOp(op=ast.USub()):
                return f"(-{self.node(e.operand)})"
            case ast.UnaryOp(op=ast.UAdd()):
                return self.node(e.operand)
            case ast.BinOp(op=ast.Pow()):
                return self.power(self.node(e.left), e.right.value)
            case ast.BinOp():
                sign = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}[type(e.op)]
                return self.chain(e, sign)
            case ast.Call() if e.func.id in FUNCTIONS:
                return f"{e.func.id}({', '.join(self.node(a) for a in e.args)})"
        raise ValueError(ast.dump(e))

    def chain(self, e, sign):
        # Long sums lean to the left; without this each term would open one more bracket.
        parts = []
        kinds = {"+": (ast.Add, ast.Sub), "-": (ast.Add, ast.Sub), "*": (ast.Mult,), "/": (ast.Div,)}[sign]
        while isinstance(e, ast.BinOp) and isinstance(e.op, kinds):
            symbol = {ast.Add: " + ", ast.Sub: " - ", ast.Mult: "*", ast.Div: "/"}[type(e.op)]
            parts.append(symbol + self.node(e.right))
            e = e.left
        return "(" + self.node(e) + "".join(reversed(parts)) + ")"


def products(base, power):
    """A small whole power as products, others by a function."""
    return "(" + "*".join([base] * int(power)) + ")" if power in (2, 3) else f"pow({base}, {number(power)})"


def python(problem):
    """The source of `f(t, y, phi)`, which returns a list."""
    printer = Printer(lambda base, power: f"({base}**{power!r})", "t")
    lines = ["from math import exp, sin", f"def f(t, y{''.join(', ' + p for p in problem.parameters)}):"]
    lines.append("    " + ", ".join(problem.states) + (",)" if problem.n == 1 else "") + " = y")
    lines += [f"    {name} = {printer.text(e)}" for name, e in problem.lets]
    lines.append("    return [" + ", ".join(printer.text(e) for e in problem.rhs) + "]")
    return "\n".join(lines) + "\n"


def diffsl(problem):
    """An equation a state, named intermediate values as scalars, or as one vector where they are rates of a network."""
    printer = Printer(products, "t")
    lines = []
    if problem.parameters:
        inputs = ", ".join(f"{p} = {number(v)}" for p, v in problem.parameters.items())
        lines.append(f"in_i {{ {inputs} }}")
    lines.append("u_i {\n" + ",\n".join(f"{s} = {number(v)}" for s, v in zip(problem.states, problem.start)) + "\n}")
    names = {name for name, _ in problem.lets}
    free = all(not names & {n.id for n in ast.walk(ast.parse(e.strip())) if isinstance(n, ast.Name)}
               for _, e in problem.lets)
    if free and len(problem.lets) > 1:
        lines.append("lets_i {\n" + ",\n".join(f"{name} = {printer.text(e)}" for name, e in problem.lets) + "\n}")
    else:
        lines += [f"{name} {{ {printer.text(e)} }}" for name, e in problem.lets]
    lines.append("F_i {\n" + ",\n".join(printer.text(e) for e in problem.rhs) + "\n}")
    return "\n".join(lines) + "\n"


def antimony(problem):
    """Reactions where the problem is a network, rate rules otherwise."""
    printer = Printer(products)
    lines = ["model m"]
    if problem.reactions is not None:
        lines.append("compartment cell = 1;")
        for s, v in zip(problem.states, problem.start):
            lines.append(f"substanceOnly species {s} in cell; {s} = {number(v)};")
        for k, (left, right, rate) in enumerate(problem.reactions):
            side = lambda counts: " + ".join(f"{n if n > 1 else ''} {s}".strip() for s, n in counts.items())
            lines.append(f"r{k}: {side(left)} => {side(right)}; {printer.text(rate)};")
    else:
        lines += [f"{s} = {number(v)};" for s, v in zip(problem.states, problem.start)]
        lines += [f"{p} = {number(v)};" for p, v in problem.parameters.items()]
        lines += [f"{name} := {printer.text(e)};" for name, e in problem.lets]
        lines += [f"{s}' = {printer.text(e)};" for s, e in zip(problem.states, problem.rhs)]
    return "\n".join(lines + ["end"]) + "\n"


def c_source(problem):
    """`void rhs(double t, const double *y, double *dy)` in C."""
    printer = Printer(products, "t")
    lines = ["#include <math.h>", "void rhs(double t, const double *restrict y, double *restrict dy) {"]
    lines += [f"  const double {s} = y[{k}];" for k, s in enumerate(problem.states)]
    lines += [f"  const double {name} = {printer.text(e)};" for name, e in problem.lets]
    lines += [f"  dy[{k}] = {printer.text(e)};" for k, e in enumerate(problem.rhs)]
    return "\n".join(lines + ["}"]) + "\n"
