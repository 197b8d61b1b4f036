"""The streaming protocol: state is a value that is passed, and five laws hold (tests/test_laws.py).

1. Any chunking equals the whole. 2. The future never changes the past. 3. Two interleaved streams
never touch. 4. State shapes never change. 5. Ten minutes of anything stay bounded.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

Input = TypeVar("Input", contravariant=True)
Output = TypeVar("Output", covariant=True)
State = TypeVar("State")


class Stateful(Protocol[Input, Output, State]):
    """A causal part of the line: `y, state = part(x, state)`; the old state stays valid.

    State is a NamedTuple of arrays and child states whose shapes never change.
    """

    def initial_state(self, batch: int = 1) -> State: ...

    def __call__(self, x: Input, state: State) -> tuple[Output, State]: ...


def flatten(state: Any, prefix: str = "state") -> dict[str, Any]:
    """Name every leaf of a nested state by its path: `state.memory.h`."""
    if not hasattr(state, "_fields"):
        return {prefix: state}
    leaves: dict[str, Any] = {}
    for name in state._fields:
        leaves |= flatten(getattr(state, name), f"{prefix}.{name}")
    return leaves
