"""Audits in tests: an assertion, and named checks as parameters with declared expected failures (needs pytest)."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from specmath.oracle import limit
from specmath.oracle.audit import audit
from specmath.oracle.checks import checks, statement
from specmath.oracle.generate import checks as generate_checks
from specmath.oracle.generate.audit import audit_generate
from specmath.oracle.sampled.audit import TOLERANCE
from specmath.oracle.sampled.fallback import audit_or_sample
from specmath.oracle.verdict import EXIT, CheckResult, Verdict, no_verdict, where

Functions = Sequence[Callable[..., Any]] | Mapping[str, Callable[..., Any]]
PLUGIN = "_specmath_pytest"
SAMPLED = {"exact_law": "sampled_law"}
"""Name of a check -> what it is called where runs were sampled."""


class CheckFailed(AssertionError):
    """A named check failed, or the verdict is not the expected one."""


class NoVerdict(AssertionError):
    """An audit that says nothing about a check: undecided, or not at its end in time."""


def judge(function: Callable[..., Any] | str, *, time_limit: float = 0.0, **options: Any) -> Verdict:
    """The verdict on a function or an adapter, by whichever audit the options are for; see `require`."""
    done = [0]
    given = options.pop("progress", None)

    def progress(now: int, todo: int) -> None:
        done[0] = now
        if given is not None:
            given(now, todo)

    name = function if isinstance(function, str) else getattr(function, "__qualname__", type(function).__name__)
    try:
        with limit.time_limit(time_limit):
            return _audit(function, {**options, "progress": progress})
    except limit.TimeUp:
        return no_verdict(name, options, f"no verdict within {time_limit:g} s; {where(done[0], options)}")


def _audit(function: Callable[..., Any] | str, options: dict[str, Any]) -> Verdict:
    known = {name: one for name, one in options.items() if name not in ("samples", "tolerance", "seed")}
    if isinstance(function, str):
        import pytest

        from specmath.oracle.adapters.registry import Missing, audit_adapter

        try:
            return audit_adapter(function, **known)
        except Missing as reason:
            pytest.skip(f"{function}: {reason}")
    _check_names(options)
    if options.get("samples") is not None:
        return audit_or_sample(function, **options)
    if options.get("kind") == "generate":
        return audit_generate(function, **{name: one for name, one in known.items() if name != "kind"})
    return audit(function, **known)


def _check_names(options: Mapping[str, Any]) -> None:
    """ValueError for an option that no audit of this kind has, and for a generate call without its target."""
    generate = options.get("kind") == "generate"
    own = dict.fromkeys(("kind", *list(inspect.signature(audit_generate if generate else audit).parameters)[1:]))
    allowed = (*own, "samples", "tolerance", "seed")
    for name in options:
        if name not in allowed:
            kind = "kind 'generate'" if generate else "functions"
            raise ValueError(f"{name} is no option of an audit of {kind}; allowed are {', '.join(allowed)}")
    if generate and "target" not in options:
        raise ValueError("target is missing; kind 'generate' needs target(text) -> law of the next token, shape (V,)")


def require(
    function: Callable[..., Any] | str, *, expect: str | None = None, time_limit: float = 0.0, **options: Any
) -> Verdict:
    """Audit, and raise `CheckFailed` with the verdict's table unless the verdict is the expected one.

    This is what the fixture ``specmath_audit`` calls.

    Parameters
    ----------
    function : as for `specmath.oracle.audit`, or the name of an adapter; a test is skipped if its package is absent.
    expect : the only status that passes; by default "lossless" and "lossy-as-declared" do, and, with ``samples``,
        samples that show no bias of ``tolerance`` or more.
    time_limit : seconds for the audit where the system can interrupt it (`specmath.oracle.limit`); 0 for none.
    options : of `audit`, with ``samples`` of `audit_or_sample`, with ``kind="generate"`` of `audit_generate`.

    Raises
    ------
    CheckFailed
        For another verdict.
    ValueError
        For an unknown ``expect``, and as the audits do.

    >>> def verify(target, draft, tokens, generator):
    ...     return generator.choice(len(target), p=target)
    >>> require(verify, kind="node", arrays="numpy").status
    'lossless'
    """
    __tracebackhide__ = True
    if expect is not None and expect not in EXIT:
        raise ValueError(f"expect is {expect!r}; allowed are {', '.join(map(repr, EXIT))}")
    verdict = judge(function, time_limit=time_limit, **options)
    if expect is not None:
        if verdict.status != expect:
            raise CheckFailed(f"expected {expect!r}\n{verdict}")
        return verdict
    if not (verdict.exit_code == 0 or _excluded(verdict, options)):
        raise CheckFailed(str(verdict))
    return verdict


def _excluded(verdict: Verdict, options: Mapping[str, Any]) -> bool:
    """Whether samples excluded a bias of the tolerance that was asked for."""
    asked = options.get("tolerance", TOLERANCE)
    return verdict.status == "undecided" and verdict.evidence == "sequential" and verdict.tolerance <= asked


class NamedCheck:
    """One named check as a parameter: ``check(function)`` passes, or raises `CheckFailed` or `NoVerdict`.

    The checks of one function share one audit, which the first of them runs.
    """

    audits_for_specmath = True

    def __init__(self, name: str, options: dict[str, Any], verdicts: dict[int, tuple[Any, Verdict]]) -> None:
        self.name, self._options, self._verdicts = name, options, verdicts

    def __repr__(self) -> str:
        return f"NamedCheck({self.name!r})"

    def __call__(self, function: Callable[..., Any]) -> None:
        """Run the check on a function."""
        __tracebackhide__ = True
        running = getattr(sys.modules.get(PLUGIN), "running", [])
        options = {**(running[-1] if running else {}), **self._options}
        if id(function) not in self._verdicts:
            self._verdicts[id(function)] = function, judge(function, **options)
        verdict = self._verdicts[id(function)][1]
        found = self._result(verdict)
        if found is not None and not found.passed:
            raise CheckFailed(f"{self.name}: {self._statement()}\n{verdict}")
        if verdict.evidence == "none" or (verdict.status == "undecided" and not _excluded(verdict, options)):
            raise NoVerdict(f"{self.name}: nothing can be said\n{verdict}")
        if found is None:
            import pytest

            shown = "samples do not show it" if verdict.evidence == "sequential" else "not made with these options"
            pytest.skip(f"{self.name}: {shown}")

    def _statement(self) -> str:
        generate = self._options.get("kind") == "generate"
        return generate_checks.STATEMENTS[self.name] if generate else statement(self.name)

    def _result(self, verdict: Verdict) -> CheckResult | None:
        name = SAMPLED.get(self.name, self.name) if verdict.evidence == "sequential" else self.name
        return next((one for one in verdict.checks if one.name == name), None)


def parametrize_with_checks(
    functions: Functions,
    *,
    kind: str = "chain",
    expected_failures: Mapping[str, Mapping[str, str]] | None = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: one test for each function and each named check of its kind, for a test of ``(function, check)``.

    A declared failure is a strict expected failure: the test fails if the check passes, or if nothing can be said.

    Parameters
    ----------
    functions : a sequence, or name -> function; names are in the ids of the tests, ``name-check``.
    kind : of the functions; the checks are `specmath.oracle.checks` (kind), and those of `generate_checks`.
    expected_failures : name of the function -> name of the check -> reason.
    options : of `require`.

    Raises
    ------
    ValueError
        For functions of one name, and for expected failures of functions and checks that there are not.

    >>> def verify(target, draft, tokens, generator):
    ...     return generator.choice(len(target), p=target)
    >>> @parametrize_with_checks([verify], kind="node", arrays="numpy")
    ... def test_verify(function, check):
    ...     check(function)
    """
    import pytest

    named = functions if isinstance(functions, Mapping) else _by_name(functions)
    known = tuple(generate_checks.STATEMENTS) if kind == "generate" else checks(kind)
    declared = dict(expected_failures or {})
    for name, reasons in declared.items():
        if name not in named:
            raise ValueError(f"expected_failures has {name!r}; allowed are {', '.join(map(repr, named))}")
        for check in reasons:
            if check not in known:
                raise ValueError(
                    f"expected_failures[{name!r}] has {check!r}; allowed are {', '.join(map(repr, known))}"
                )
    if "expect" in options:
        raise ValueError("expect is for the whole verdict; allowed here is expected_failures")
    cases = []
    for name, function in named.items():
        verdicts: dict[int, tuple[Any, Verdict]] = {}
        for check in known:
            reason = declared.get(name, {}).get(check)
            marks = () if reason is None else (pytest.mark.xfail(reason=reason, strict=True, raises=CheckFailed),)
            one = NamedCheck(check, {"kind": kind, **options}, verdicts)
            cases.append(pytest.param(function, one, id=f"{name}-{check}", marks=marks))
    return pytest.mark.parametrize(("function", "check"), cases)


def _by_name(functions: Sequence[Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    named: dict[str, Callable[..., Any]] = {}
    for function in functions:
        if not callable(function):
            raise ValueError(f"functions has {function!r}; allowed are functions, or a mapping of names to functions")
        name = getattr(function, "__name__", type(function).__name__)
        if name in named:
            raise ValueError(f"functions has two of the name {name!r}; allowed is a mapping that gives them names")
        named[name] = function
    return named
