"""What does one FHIR R4 resource say? Patient, Observation and Condition; everything else is left alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from septum.errors import DataError
from septum.sdk.cells import Cell, Quantity

Resource = Mapping[str, object]
NOT_MEANT = ("entered-in-error", "cancelled")  # Observation.status
DENIED = ("refuted", "entered-in-error")  # Condition.verificationStatus


@dataclass(frozen=True, slots=True)
class Fact:
    """Something recorded of a patient: `day` is ISO text, empty if it was not said."""

    subject: str
    codes: tuple[str, ...]
    day: str
    value: Cell


def facts_of(resource: Resource, where: str) -> Iterator[Fact]:
    """What an Observation or a Condition says. Raises DataError naming the place."""
    if resource.get("resourceType") == "Condition":
        if not set(_codes(resource.get("verificationStatus"))) & set(DENIED):
            day = _text(resource.get("onsetDateTime")) or _text(resource.get("recordedDate"))
            yield Fact(_subject(resource, where), _needed_codes(resource, where), day, 1.0)
        return
    if resource.get("status") in NOT_MEANT:
        return
    subject, day = _subject(resource, where), _day(resource)
    yield Fact(subject, _needed_codes(resource, where), day, _value(resource, where))
    components = resource.get("component", [])
    if not isinstance(components, list):
        raise DataError(f"{where}: component is no list", hint="export the bundle again")
    for place, component in enumerate(components, 1):
        if not isinstance(component, dict):
            raise DataError(f"{where}: component {place} is no object", hint="export the bundle again")
        inner = f"{where}, component {place}"
        yield Fact(subject, _needed_codes(component, inner), day, _value(component, inner))


def _day(resource: Resource) -> str:
    period = resource.get("effectivePeriod")
    start = period.get("start") if isinstance(period, dict) else None
    return _text(resource.get("effectiveDateTime")) or _text(start) or _text(resource.get("effectiveInstant"))


def _value(resource: Resource, where: str) -> Cell:
    quantity = resource.get("valueQuantity")
    if quantity is not None:
        return _quantity(quantity, where)
    for key in ("valueInteger", "valueBoolean"):
        number = resource.get(key)
        if isinstance(number, int | float):
            return float(number)
    codes = _codes(resource.get("valueCodeableConcept"))
    return codes[0] if codes else _text(resource.get("valueString")) or None


def _quantity(quantity: object, where: str) -> Cell:
    if not isinstance(quantity, dict):
        raise DataError(f"{where}: valueQuantity is no object", hint="export the bundle again")
    value, unit = quantity.get("value"), _text(quantity.get("code")) or _text(quantity.get("unit"))
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{where}: valueQuantity.value is no number", hint="export the bundle again")
    comparator = _text(quantity.get("comparator"))
    if comparator:  # below or above what could be measured: no number, and the contract's report will say so
        return f"{comparator}{value:g}"
    return Quantity(float(value), unit) if unit else float(value)


def _subject(resource: Resource, where: str) -> str:
    subject = resource.get("subject")
    reference = _text(subject.get("reference")) if isinstance(subject, dict) else ""
    if not reference:
        raise DataError(f"{where}: no subject.reference", hint="export it with the patients' references")
    return reference


def _needed_codes(resource: Resource, where: str) -> tuple[str, ...]:
    codes = _codes(resource.get("code"))
    if not codes and not isinstance(resource.get("code"), dict):
        raise DataError(f"{where}: no code", hint="export the bundle again")
    return codes


def _codes(concept: object) -> tuple[str, ...]:
    """The codes of a CodeableConcept, in all systems."""
    codings = concept.get("coding", []) if isinstance(concept, dict) else []
    if not isinstance(codings, list):
        return ()
    found = (_text(coding.get("code")) for coding in codings if isinstance(coding, dict))
    return tuple(code for code in found if code)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
