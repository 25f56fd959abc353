"""Importing one file of an engine: its own modules from a white list, everything else of it replaced by stubs.

A stub may be imported, named in annotations and used as a decorator or base class while the file is loaded. Afterwards
any use of it is an error that names it, so that code which needs something absent fails instead of computing nonsense.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import linecache
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from specmath.oracle.adapters.place import Missing
from specmath.oracle.adapters.sources import Files
from specmath.oracle.draws import UnsupportedRandomness


class Absent(UnsupportedRandomness):
    """Code under audit used what its stubs stand for; the message names it. That is no fault of the code's."""


class _State:
    """Whether the file is still being loaded."""

    loading = True


class Stub:
    """What stands for an object that is not there."""

    def __init__(self, name: str, state: _State) -> None:
        self.__dict__.update(_stub_name=name, _stub_state=state)

    def _stub_used(self, how: str) -> None:
        raise Absent(f"{self._stub_name} is not loaded by the adapter, and was {how}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        if not self._stub_state.loading:
            self._stub_used(f"asked for {name}")
        return Stub(f"{self._stub_name}.{name}", self._stub_state)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._stub_state.loading:
            self._stub_used("called")
        if len(args) == 1 and not kwargs and isinstance(args[0], types.FunctionType | type):
            return args[0]  # a decorator
        return Stub(f"{self._stub_name}()", self._stub_state)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return ()

    def __getitem__(self, key: Any) -> Any:
        if not self._stub_state.loading:
            self._stub_used("subscripted")
        return self

    def __or__(self, other: Any) -> Any:
        return self

    __ror__ = __or__

    def __bool__(self) -> bool:
        self._stub_used("asked whether it is true")
        return False

    def __repr__(self) -> str:
        return f"<stub of {self._stub_name}>"


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules under the given prefixes: made up, real, or stubs."""

    def __init__(
        self, files: Files, real: Sequence[str], given: Mapping[str, Any], prefixes: Sequence[str], state: _State
    ) -> None:
        self.files, self.real, self.given, self.prefixes, self.state = files, real, given, prefixes, state

    def mine(self, name: str) -> bool:
        return any(name == prefix or name.startswith(f"{prefix}.") for prefix in self.prefixes)

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if not self.mine(fullname):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: Any) -> Any:
        given = self.given.get(spec.name)
        return given if isinstance(given, types.ModuleType) else None

    def exec_module(self, module: types.ModuleType) -> None:
        name = module.__name__
        if name in self.given:
            if not isinstance(self.given[name], types.ModuleType):
                vars(module).update(self.given[name])
            return
        if name in self.real:
            found = self.files.text(name)
            if found is None:
                raise Missing(f"{self.files.path}: no module {name}, in this version")
            module.__file__ = found[0]
            # For tracebacks, and for whoever asks for a function's source.
            linecache.cache[found[0]] = (len(found[1]), None, found[1].splitlines(keepends=True), found[0])
            exec(compile(found[1], found[0], "exec"), vars(module))
            return
        state = self.state

        def absent(attribute: str) -> Any:
            if attribute.startswith("__"):
                raise AttributeError(attribute)
            return Stub(f"{name}.{attribute}", state)

        module.__getattr__ = absent  # type: ignore[method-assign]


@contextmanager
def _set_aside(finder: _Finder) -> Iterator[None]:
    """Modules of the same names are put away, and come back afterwards."""
    before = {name: module for name, module in sys.modules.items() if finder.mine(name)}
    for name in before:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if finder.mine(name)]:
            del sys.modules[name]
        sys.modules.update(before)


def load(
    files: Files,
    module: str,
    *,
    real: Sequence[str] = (),
    given: Mapping[str, Any] | None = None,
    stubbed: Sequence[str] = (),
) -> types.ModuleType:
    """The module of this dotted name, run from its source; nothing of it stays in `sys.modules`.

    Parameters
    ----------
    files : where the source is.
    module : dotted name.
    real : further modules of the engine that are run from their source.
    given : made-up modules by name: modules, or dicts of what they hold.
    stubbed : top-level names whose modules are stubs unless listed; that of ``module`` is among them.

    Raises
    ------
    Missing
        If a module that is needed is absent, or fails while it is loaded.
    """
    return load_all(files, (module, *real), given=given, stubbed=stubbed)[0]


def load_all(
    files: Files, modules: Sequence[str], *, given: Mapping[str, Any] | None = None, stubbed: Sequence[str] = ()
) -> tuple[types.ModuleType, ...]:
    """Several modules at once, which may import each other; see `load`."""
    given = {} if given is None else given
    state = _State()
    prefixes = {*stubbed, *(name.partition(".")[0] for name in (*modules, *given))}
    finder = _Finder(files, modules, given, sorted(prefixes), state)
    with _set_aside(finder):
        try:
            return tuple(importlib.import_module(name) for name in modules)
        except Missing:
            raise
        except Exception as error:
            what = f"{', '.join(modules)} of {files.path}"
            raise Missing(f"{what} cannot be loaded: {type(error).__name__}: {error}") from error
        finally:
            state.loading = False


def function(module: types.ModuleType, name: str) -> Callable[..., Any]:
    """A function of the module; `Missing` if this version has none of that name."""
    found = getattr(module, name, None)
    if not callable(found) or isinstance(found, Stub):
        raise Missing(f"{module.__file__}: no function {name}, in this version")
    return found
