"""Choosing a sound device by what the user typed: a number, a name, part of a name."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from streaming.portaudio import Device
from streaming.ports import UserError


def choose(devices: Sequence[Device], name: str, scheme: str, what: str) -> Device:
    """The device of that number, of that name, or whose name begins with it or contains it.

    scheme: as the user spells it (mic, speaker). Raises UserError with the nearest name.
    """
    chosen = _by_number(devices, name) if name.isdecimal() else _by_name(devices, name)
    if chosen is not None:
        return chosen
    names = {device.name.lower(): device.name for device in devices}
    near = get_close_matches(name.lower(), list(names), 1, 0.4)
    hint = f"; did you mean {scheme}:{names[near[0]]}?" if near else ""
    listed = ", ".join(f"{device.index} {device.name}" for device in devices)
    raise UserError(f"no {what} {name}{hint} (there are: {listed})")


def _by_number(devices: Sequence[Device], number: str) -> Device | None:
    return next((device for device in devices if device.index == int(number)), None)


def _by_name(devices: Sequence[Device], name: str) -> Device | None:
    wanted = name.lower()
    for fits in (str.__eq__, str.startswith, str.__contains__):
        for device in devices:
            if fits(device.name.lower(), wanted):
                return device
    return None


def same_again(devices: Sequence[Device], device: Device) -> Device:
    """The device in a new list, where its number may have changed. Raises OSError if absent."""
    same = [
        other for other in devices if (other.name, other.driver) == (device.name, device.driver)
    ]
    if not same:
        raise OSError(f"{device.name} is not there")
    return min(same, key=lambda other: abs(other.index - device.index))
