"""Parameters of nodes: declared, described, range-checked and documented from one dataclass each."""

from __future__ import annotations

import dataclasses
import difflib
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterUninitializedException,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from hal_ros.core.errors import ConfigError
from hal_ros.ros.parameter_files import for_all_nodes
from hal_ros.ros.qos import PREFIX, override_faults
from hal_ros.ros.segmenter_parameters import constraint

Parameters = TypeVar("Parameters")

FROM_ROS = ("use_sim_time", "start_type_description_service", PREFIX)
"""Parameters that rclpy declares itself; the last one is a prefix, whose names are judged when topics are known."""


def declare(node: Node, kind: type, locked: Callable[[], str], later: tuple[str, ...] = ()) -> None:
    """Declare the fields of a parameter dataclass on a node.

    `locked` returns why parameters can't be set now, or ''; `later` are prefixes of parameters that are declared when
    their names are known. Raises ConfigError for a name that is not a parameter
    (from a YAML file or the command line), a wrong type, or a value out of range. A name that a file gives to all nodes
    alike may be another node's: of such there is only a warning.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    _refuse_unknown(node, list(fields), later)

    def check(parameters: list[Parameter[Any]]) -> SetParametersResult:
        for one in parameters:
            field = fields.get(one.name)
            if field is None:
                reason = locked() if later and one.name.startswith(later) else ""
            else:
                reason = locked() or _wrong_choice(field, one.value)
            if reason:
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(check)
    try:
        for field in fields.values():
            # Of an empty list ROS can't tell the type.
            default = Parameter.Type.STRING_ARRAY if field.default == () else field.default
            node.declare_parameter(field.name, default, _descriptor(field))
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        raise ConfigError(_one_line(error)) from error


def read(node: Node, kind: type[Parameters]) -> Parameters:
    """Return the declared parameters as they stand now."""
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    return kind(**{field.name: value_of(node, field.name, field.default) for field in fields})


def value_of(node: Node, name: str, default: Any) -> Any:
    """Return a parameter's value; an empty list, whose type ROS can't tell, is that of a list, or leaves the default.

    Raises ConfigError where there is none.
    """
    try:
        return node.get_parameter(name).value
    except ParameterUninitializedException as error:
        if isinstance(default, tuple):
            return ()
        raise ConfigError(f"parameter {name} is an empty list; expected one as {default!r}") from error


def full_name(node: Node) -> str:
    """Return the name of a node in diagnostics: with its namespace, so that two robots are told apart."""
    return str(node.get_fully_qualified_name()).lstrip("/")


def resolve_topic(node: Node, topic: str, source: str) -> str:
    """Return a topic's full name; raises ConfigError, with who named it, for one that ROS refuses."""
    try:
        return str(node.resolve_topic_name(topic))
    except (RuntimeError, ValueError) as error:  # what rclpy's errors have in common
        reason = " ".join(str(error).partition(", at ")[0].removeprefix("failed to resolve name: ").split())
        raise ConfigError(f"{source}: {topic!r} is no topic: {reason}") from error


def markdown_table(kind: type) -> str:
    """Return the README's table of parameters: name, type, default, meaning."""
    lines = ["| parameter | type | default | meaning |", "|---|---|---|---|"]
    for field in dataclasses.fields(kind):
        text = " ".join(filter(None, [field.metadata["description"], constraint(field)]))
        default = f'"{field.default}"' if isinstance(field.default, str) else str(field.default).lower()
        lines.append(f"| `{field.name}` | {type(field.default).__name__} | `{default}` | {text} |")
    return "\n".join(lines)


def given_values(node: Node) -> dict[str, Any]:
    """Return the parameters that files, command line and code gave to a node, declared or not."""
    # rclpy keeps them in one place, which has no public name.
    return {name: one.value for name, one in node._parameter_overrides.items()}


def refuse(node: Node, name: str, reason: str) -> None:
    """Raise ConfigError for a parameter that can't be, or warn where it may be meant for another node."""
    if name not in for_all_nodes(sys.argv):
        raise ConfigError(reason)
    node.get_logger().warning(f"{reason}; it is left aside, as its file gives it to all nodes")


def _refuse_unknown(node: Node, names: list[str], later: tuple[str, ...]) -> None:
    for given in given_values(node):
        if given in names or given.startswith((*FROM_ROS, *later)):
            continue
        near = difflib.get_close_matches(given, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(names)}"
        refuse(node, given, f"unknown parameter {given!r} for node {node.get_fully_qualified_name()}: {hint}")


def check_overrides(node: Node, topics: Mapping[str, Collection[str]]) -> None:
    """Refuse overrides of quality of service that don't exist; `topics` are the node's, full names by end."""
    for name, fault in override_faults(given_values(node), topics):
        refuse(node, name, f"parameter {name}: {fault}")


def _wrong_choice(field: dataclasses.Field[Any], value: Any) -> str:
    choices = field.metadata["choices"]
    if not choices or value in choices:
        return ""
    near = difflib.get_close_matches(str(value), choices, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"parameter {field.name} is {value!r}: expected one of {', '.join(choices)}{hint}"


def _descriptor(field: dataclasses.Field[Any]) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=field.metadata["description"])
    if choices := field.metadata["choices"]:
        descriptor.additional_constraints = f"one of {', '.join(choices)}"
    if limits := field.metadata["limits"]:
        low, high = limits
        if isinstance(field.default, int):
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
