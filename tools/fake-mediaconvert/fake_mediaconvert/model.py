"""Checks a request's JSON, as it is on the wire, against botocore's service model.

`botocore.validate` looks at parameters before they are serialised, and neither at enums nor patterns nor maxima.
"""

import re

import botocore.session

SERVICE = botocore.session.get_session().get_service_model("mediaconvert")


def check(operation, body):
    """What is wrong with this operation's request, a line for each; empty when nothing is."""
    errors = []
    _check(SERVICE.operation_model(operation).input_shape, body, "", errors)
    return errors


def _wire(member, name):
    return member.serialization.get("name", name)


def _check(shape, value, path, errors):
    kind = shape.type_name
    known = _KINDS.get(kind)
    if known:
        known(shape, value, path or "request", errors)
    elif kind in ("integer", "long", "float", "double"):
        _number(shape, value, path, errors)
    elif kind == "boolean" and not isinstance(value, bool):
        errors.append(f"{path}: is no boolean")
    elif kind == "timestamp" and not isinstance(value, (int, float)):
        errors.append(f"{path}: is no time")


def _structure(shape, value, path, errors):
    if not isinstance(value, dict):
        errors.append(f"{path}: is no object")
        return
    members = {_wire(member, name): member for name, member in shape.members.items()}
    for name in shape.required_members:
        wire = _wire(shape.members[name], name)
        if value.get(wire) is None:
            errors.append(f"{path}: {wire} is required")
    for name, inner in value.items():
        if name not in members:
            errors.append(f"{path}: {name} is unknown")
        elif inner is not None:
            _check(members[name], inner, f"{path}.{name}", errors)


def _list(shape, value, path, errors):
    if not isinstance(value, list):
        errors.append(f"{path}: is no list")
        return
    _range(shape, len(value), f"{path}: its length", errors)
    for place, inner in enumerate(value):
        _check(shape.member, inner, f"{path}[{place}]", errors)


def _map(shape, value, path, errors):
    if not isinstance(value, dict):
        errors.append(f"{path}: is no map")
        return
    for key, inner in value.items():
        _check(shape.value, inner, f"{path}[{key}]", errors)


def _string(shape, value, path, errors):
    if not isinstance(value, str):
        errors.append(f"{path}: is no string")
        return
    if shape.enum and value not in shape.enum:
        errors.append(f"{path}: {value!r} is none of {', '.join(shape.enum[:8])}")
    pattern = shape.metadata.get("pattern")
    if pattern and not re.search(pattern, value):
        errors.append(f"{path}: {value!r} does not match {pattern}")
    _range(shape, len(value), f"{path}: its length", errors)


def _number(shape, value, path, errors):
    whole = shape.type_name in ("integer", "long")
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        errors.append(f"{path}: is no {shape.type_name}")
        return
    _range(shape, value, f"{path}:", errors)


def _range(shape, value, what, errors):
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and value < low:
        errors.append(f"{what} {value} is under {low}")
    if high is not None and value > high:
        errors.append(f"{what} {value} is over {high}")


_KINDS = {"structure": _structure, "list": _list, "map": _map, "string": _string}
