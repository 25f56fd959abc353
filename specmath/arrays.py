"""The one file that knows numpy, torch and jax: namespaces, dtypes, and the check of laws at the edge.

Everything else is written against the array-API standard. torch and jax are never imported here: an array that comes
in brings its own library along.
"""

from __future__ import annotations

import math
import operator
import reprlib
import sys
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Any, NamedTuple, TypeVar

import array_api_compat
import numpy as np

Array = Any
"""An array of numpy, torch or jax."""

_Result = TypeVar("_Result")

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
"""Allowed |sum - 1| of a law, by dtype; half precision is refused."""


def as_array(name: str, value: Any) -> Array:
    """The value itself if it is an array of a known library, else a numpy array; ValueError for what is neither."""
    if array_api_compat.is_array_api_obj(value):
        return value
    try:
        converted = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {type(value).__name__} is not an array ({error})") from None
    if converted.dtype.kind not in "fiub":
        raise ValueError(f"{name}: dtype {converted.dtype} is not numeric; allowed are real numbers")
    return converted


def namespace(*arrays: Array) -> Any:
    """The array-API namespace that all arrays share; TypeError when libraries are mixed."""
    if len(arrays) == 1 and type(arrays[0]) is np.ndarray:
        return _numpy()  # the same answer, at once: every small step asks for it
    return array_api_compat.array_namespace(*arrays)


@cache
def _numpy() -> Any:
    return array_api_compat.array_namespace(np.empty(0))


def one_library(**arrays: Array) -> None:
    """ValueError that names each argument's library unless all are of one."""
    try:
        namespace(*arrays.values())
    except TypeError:
        found = [f"{name} of {namespace(array).__name__.rsplit('.', 1)[-1]}" for name, array in arrays.items()]
        raise ValueError(
            f"arrays of different libraries: {', '.join(found)}; allowed is one of numpy, torch and jax for all"
        ) from None


def check_count(name: str, value: Any) -> int:
    """The value as an int >= 1; ValueError for anything else.

    >>> check_count("n", 2.5)
    Traceback (most recent call last):
    ValueError: n is 2.5; allowed are whole numbers >= 1
    """
    try:
        found = operator.index(value)
    except TypeError:
        found = 0
    if found < 1 or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; allowed are whole numbers >= 1")
    return found


def check_number(name: str, value: Any, low: float, high: float, allowed: str) -> float:
    """The value as a float in [low, high]; ValueError saying what is allowed.

    >>> check_number("budget", -1, 0.0, 1.0, "numbers from 0 to 1")
    Traceback (most recent call last):
    ValueError: budget is -1; allowed are numbers from 0 to 1
    """
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError):  # the last: whole numbers above the largest float
        number = math.nan
    if not low <= number <= high:
        raise ValueError(f"{name} is {reprlib.repr(value)}; allowed are {allowed}")
    return number


def is_concrete(array: Array) -> bool:
    """Whether values can be looked at: False for jax tracers and for torch's fake or transformed tensors."""
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(array, jax.core.Tracer):
        return False
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        if torch.compiler.is_compiling() or array.is_meta or type(array).__name__ == "FakeTensor":
            return False
        return not torch._C._functorch.is_functorch_wrapped_tensor(array)
    return True


def on_host(array: Array) -> bool:
    """Whether looking at values costs no device synchronisation: concrete, and in host memory."""
    if not is_concrete(array):
        return False
    if array_api_compat.is_torch_array(array):
        return array.device.type == "cpu"
    if array_api_compat.is_jax_array(array):
        return all(device.platform == "cpu" for device in array.devices())
    return True


def to_numpy(array: Array) -> np.ndarray[Any, Any]:
    """A host copy for reports and reference computations; detaches torch gradients. ValueError for tracers."""
    if not is_concrete(array):
        raise ValueError(
            "this is computed on the host and cannot be traced (jit, vmap, torch.compile); call it outside"
        )
    if array_api_compat.is_torch_array(array):
        return array.detach().cpu().numpy()
    return np.asarray(array)


def as_numpy(result: _Result) -> _Result:
    """A dataclass whose torch arrays, also those of dataclasses inside, are numpy views of the same host memory."""
    changed: dict[str, Any] = {}
    for field in fields(result):  # type: ignore[arg-type]
        value = getattr(result, field.name)
        if is_dataclass(value):
            changed[field.name] = as_numpy(value)
        elif array_api_compat.is_torch_array(value):
            changed[field.name] = to_numpy(value)
    return replace(result, **changed)  # type: ignore[type-var]


def like(values: Array, template: Array) -> Array:
    """``values`` as an array of the template's library, on its device, in the dtype they have."""
    xp = namespace(template)
    if array_api_compat.is_torch_array(template):
        return xp.asarray(values, device=template.device)
    return xp.asarray(values)


def to_float64(array: Array) -> Array:
    """float64, or float32 for jax arrays while jax's x64 flag is off (the flag is never touched)."""
    xp = namespace(array)
    if array_api_compat.is_jax_array(array) and not sys.modules["jax"].config.jax_enable_x64:
        return xp.astype(array, xp.float32, copy=False)
    return xp.astype(array, xp.float64, copy=False)


def as_pytree(result: _Result, *, arrays: tuple[str, ...]) -> _Result:
    """The dataclass itself; if its arrays are jax's, its class is known to jax as a pytree from now on.

    Registered on the way out rather than at import, so that jax is not imported; a jitted function is traced before
    its result is flattened, hence in time.
    """
    kind = type(result)
    if array_api_compat.is_jax_array(getattr(result, arrays[0])) and kind not in _PYTREES:
        others = [field.name for field in fields(kind) if field.name not in arrays]  # type: ignore[arg-type]
        sys.modules["jax"].tree_util.register_dataclass(kind, data_fields=list(arrays), meta_fields=others)
        _PYTREES.add(kind)
    return result


_PYTREES: set[type] = set()


def to_index(array: Array) -> Array:
    """Integers in the library's default integer type: signed (-1 is the padding), and what it can index with."""
    xp = namespace(array)
    return xp.astype(array, xp.arange(1).dtype)


def dtype_name(array: Array) -> str:
    """'float64', 'bfloat16', ...: the dtype's name, whatever the library."""
    return str(array.dtype).rsplit(".", 1)[-1]


@dataclass(frozen=True)
class CheckedLaw:
    """A law in float64, scaled once to sum to one, and ``correction``, the largest |sum - 1| before that.

    ``correction`` is None where values could not be looked at (under jit, vmap or torch.compile).
    """

    values: Array
    correction: float | None


def check_law(name: str, law: Any) -> CheckedLaw:
    """Check a probability array (..., V) once, at the edge.

    Non-negative, finite, and sum over the last axis within `TOLERANCE` of one (1e-9 for float64, 1e-4 for float32);
    then converted to float64 and scaled once. Raises ValueError naming ``name``, the first offending index and what is
    allowed; half-precision laws are refused, because their rounding is far above any tolerance (hand in logits).
    Tracers are scaled but cannot be checked.

    >>> check_law("target", [0.25, 0.75]).correction
    0.0
    >>> check_law("target", [0.25, 0.25])
    Traceback (most recent call last):
    ValueError: target: sums to 0.5; allowed is 1 within 1e-09 (float64)
    """
    array = as_array(name, law)
    if array.ndim < 1 or array.shape[-1] < 1:
        raise ValueError(f"{name}: shape {tuple(array.shape)}; the last axis must hold at least one token")
    kind = dtype_name(array)
    if kind.startswith(("int", "uint", "bool")):
        array, kind = namespace(array).astype(array, namespace(array).float64), "float64"
    if kind not in TOLERANCE:
        raise ValueError(f"{name}: dtype {kind}; allowed are float64 and float32 (for half precision hand in logits)")
    values = to_float64(array)
    xp = namespace(values)
    total = xp.sum(values, axis=-1, keepdims=True)
    correction = None
    if is_concrete(array):
        # Two passes: a sum is finite only if every entry is, and the smallest entry is NaN if one is. jax's arrays are
        # looked at on the host: inside jax.jit even what is computed from a concrete array is a tracer.
        seen = to_numpy(array).astype(np.float64, copy=False) if not _on_cuda(values) else values
        low = to_numpy(namespace(seen).min(seen, axis=-1))
        off = np.abs(to_numpy(namespace(seen).sum(seen, axis=-1)) - 1.0)
        if not ((low >= 0).all() and (off <= TOLERANCE[kind]).all()):
            _check_values(name, to_numpy(seen), TOLERANCE[kind], kind)
        correction = float(np.max(off, initial=0.0))
    return CheckedLaw(values / total, correction)


def _on_cuda(array: Array) -> bool:
    return array_api_compat.is_torch_array(array) and array.device.type != "cpu"


def _check_values(name: str, values: np.ndarray[Any, Any], tolerance: float, kind: str) -> None:
    wrong = ~(values >= 0) | ~np.isfinite(values)
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        hint = "; for logits see specmath.law_from_logits" if values[where] < 0 else ""
        raise ValueError(f"{name}: entry {list(where)} is {values[where]}; allowed are finite numbers >= 0{hint}")
    total = values.sum(axis=-1, dtype=np.float64)
    off = np.abs(total - 1.0) > tolerance
    if off.any():
        where = tuple(int(i) for i in np.argwhere(off)[0])
        place = f"row {list(where)} " if where else ""
        rounded = kind == "float64" and np.abs(total - 1.0).max() <= TOLERANCE["float32"]
        hint = "; if it was computed in float32, hand it in as float32 (within 0.0001)" if rounded else ""
        raise ValueError(
            f"{name}: {place}sums to {total[where]:.10g}; allowed is 1 within {tolerance:g} ({kind}){hint}"
        )


class CheckedPair(NamedTuple):
    """Target and draft in float64, scaled once, of one shape, and their largest |sum - 1| (None under a tracer)."""

    target: Array
    draft: Array
    correction: float | None


def check_pair(target: Any, draft: Any) -> CheckedPair:
    """`check_law` on both, one library, one vocabulary, leading axes that broadcast; ValueError naming what differs."""
    target, draft = as_array("target", target), as_array("draft", draft)
    # First the vocabularies: a law that was cut to the wrong size does not sum to one either.
    if target.ndim and draft.ndim and target.shape[-1] != draft.shape[-1]:
        raise ValueError(
            f"target has {target.shape[-1]} tokens and draft {draft.shape[-1]}; both laws must be over one vocabulary"
        )
    p, q = check_law("target", target), check_law("draft", draft)
    one_library(target=p.values, draft=q.values)
    leading = p.values.shape[:-1], q.values.shape[:-1]
    try:
        np.broadcast_shapes(*leading)
    except ValueError:
        raise ValueError(
            f"target has leading axes {tuple(leading[0])} and draft {tuple(leading[1])}; they must broadcast"
        ) from None
    known = None if p.correction is None or q.correction is None else max(p.correction, q.correction)
    target, draft = namespace(p.values, q.values).broadcast_arrays(p.values, q.values)
    return CheckedPair(target, draft, known)
