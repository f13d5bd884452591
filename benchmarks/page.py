"""How do the figures of a run of all benchmarks become the tables of docs/benchmarks.md?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks.suite import SUITE

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
DEAREST = 12  # rows of a profile's table; the rest is summed

Result = Mapping[str, Any]  # what a benchmark printed: its keys are its own contract, tested in tests/benchmarks


def replace_figures(page: str, results: Mapping[str, Any]) -> str:
    """The page with new figures between its marks; what was not measured is left out.

    >>> replace_figures(f"a {BEGIN} old {END} b", {}).split()[0], replace_figures(f"a {BEGIN} old {END} b", {})[-2:]
    ('a', ' b')
    """
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{figures(results)}\n{END}{tail}"


def figures(results: Mapping[str, Any]) -> str:
    """All sections."""
    sections = [_machine(next(iter(results.values()))["machine"])] if results else []
    for name, result in results.items():
        command = f"`python -m benchmarks.{' '.join(SUITE[name])}`"
        show = _SECTIONS.get(str(result["benchmark"]), _plain)
        load = f"load average before: {result['machine']['load_average'][0]}"
        sections.append(f"### {name[0].upper()}{name[1:]}\n\n{command} ({load})\n\n{show(result)}")
    return "\n".join(sections)


def _machine(machine: Result) -> str:
    return (
        f"{machine['cores']} cores of a shared {machine['processor']} server, {machine['memory_gib']} GiB, "
        f"{machine['system']}, Python {machine['python']}, septum {machine['septum']}, {machine['date']}.\n"
    )


def _table(*rows: tuple[object, ...]) -> str:
    """A Markdown table; the first row is its head."""
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]) + "\n"


def _rounds(result: Result) -> str:
    overhead, cpu = result["overhead_ms"], result["cpu_ms_a_round"]
    first, finished = result["submit_to_first_round_s"], result["submit_to_finished_s"]
    return _table(
        ("", "figure"),
        ("overhead of a round, ms: median, 9th decile", f"**{overhead['p50']}**, {overhead['p90']}"),
        ("floor: TLS, a signature a silo, one durable commit, ms", f"{result['floor_ms']} ({result['floor_program']})"),
        ("overhead over floor", result["ratio"]),
        ("the whole round, ms", f"{result['round_ms']['p50']}, {result['round_ms']['p90']}"),
        ("of it the slowest silo's own work, ms", f"{result['training_ms']['p50']}, {result['training_ms']['p90']}"),
        ("processor time of a round over the cores, ms", result["cpu_bound_ms"]),
        (
            "processor ms a round: coordinator, agents, workers",
            ", ".join(str(cpu.get(role)) for role in ("coordinator", "agents", "workers")),
        ),
        ("submit to first round, s: median, best", f"**{first['median']}**, {first['best']}"),
        (f"{result['rounds']} rounds, submit to finished, s", f"**{finished['median']}**, {finished['best']}"),
        ("idle silo, MB", result["silo_idle_rss_mb"]),
        ("idle coordinator, MB", result["coordinator_idle_rss_mb"]),
        *_recorded(result),
        *_on_postgresql(result),
    )


def _recorded(result: Result) -> Iterator[tuple[object, ...]]:
    """What audit and a tracker cost, where that was measured."""
    if "audit_and_tracking_added_ms" not in result:
        return
    turns = ", ".join(str(one) for one in result["added_ms_by_turn"])
    bare = result["bare_overhead_ms"]
    yield (
        f"audit and {result['tracker']} add to it, ms: all, turn by turn",
        (f"**{result['audit_and_tracking_added_ms']}**; {turns}"),
    )
    yield "overhead of a round without both, ms", f"{bare['p50']}, {bare['p90']}"
    yield (
        "processor ms a round: added in the coordinator, the tracker's own process",
        (f"{result['coordinator_cpu_added_ms']}, {result['tracker_cpu_ms_a_round']}"),
    )


def _on_postgresql(result: Result) -> Iterator[tuple[object, ...]]:
    """What rounds on PostgreSQL take, where that was measured."""
    if "postgresql_ratio" not in result:
        return
    turns = ", ".join(str(one) for one in result["postgresql_ratio_by_turn"])
    overhead = result["postgresql_overhead_ms"]
    yield "overhead of a round on PostgreSQL, ms", f"{overhead['p50']}, {overhead['p90']}"
    yield "the same, over SQLite: all, turn by turn", f"**{result['postgresql_ratio']}**; {turns}"


def _payload(result: Result) -> str:
    cpu = result["cpu_s_a_round"]
    return _table(
        ("", "figure"),
        ("GB/s, both ways together", f"**{result['gb_per_s']}**"),
        (
            "floor: raw TLS, the same digests and files, GB/s",
            f"{result['floor_gb_per_s']} ({_program(result, 'floor')})",
        ),
        ("raw TLS alone, GB/s", f"{result['raw_tls_gb_per_s']} ({_program(result, 'raw_tls')})"),
        ("ratio to the floor", f"**{result['ratio']}**"),
        ("coordinator's peak above idle, models: whole run", result["coordinator_peak_models"]),
        ("the same, in the rounds", f"**{result['coordinator_peak_models_in_rounds']}**"),
        ("round by round", ", ".join(str(one) for one in result["coordinator_models_round_by_round"])),
        ("largest agent's peak above idle, models", result["agent_peak_models"]),
        (
            "processor s a round: coordinator, agents, workers",
            ", ".join(str(cpu.get(role)) for role in ("coordinator", "agents", "workers")),
        ),
    )


def _program(result: Result, name: str) -> str:
    return str(result["programs"][name])


def _aggregate(result: Result) -> str:
    head = ("rule", "GB/s", "ratio to the floor", "stored, GB/s", "processor s a GB", "memory growth, MiB")
    rules = (
        (
            name,
            found["gb_per_s"],
            found["ratio"],
            found.get("stored_gb_per_s", ""),
            found["cpu_s_a_gb"],
            max(found["growth_mib"], found.get("stored_growth_mib", 0.0)),
        )
        for name, found in result["rules"].items()
    )
    floor = (f"floor: reading alone ({result['floor_program']})", result["floor_gb_per_s"], 1, "", "", "")
    return _table(head, floor, *rules) + f"\nThe new model's fsync, not in the figures: {result['fsync_s']} s.\n"


def _profile(result: Result) -> str:
    plain, spanned = result["round_ms"]["plain"], result["round_ms"]["with_spans"]
    parts = [f"A round took {plain} ms, and {spanned} ms with the spans that make this table.\n"]
    for role, found in result["roles"].items():
        labels = sorted(found, key=lambda label: -found[label]["cpu_us"])
        total = sum(found[label]["cpu_us"] for label in labels)
        rows = [
            (label, round(found[label]["calls"], 1), round(found[label]["cpu_us"]), round(found[label]["wall_us"]))
            for label in labels[:DEAREST]
        ]
        others = round(sum(found[label]["cpu_us"] for label in labels[DEAREST:]))
        parts.append(
            f"One {role}, {total:.0f} us of processor a round:\n\n"
            + _table((role, "calls", "us processor", "us wall"), *rows, ("everything else", "", others, ""))
        )
    return "\n".join(parts)


def _plain(result: Result) -> str:
    rows = ((key, value) for key, value in result.items() if key not in ("benchmark", "machine"))
    return _table(("", "figure"), *(flat for key, value in rows for flat in _flat(key, value)))


def _flat(name: str, value: object) -> Iterator[tuple[str, object]]:
    """A figure, or each of those inside it under a name of its own.

    >>> list(_flat("a", {"b": 1, "c": [2, 3]}))
    [('a, b', 1), ('a, c 1', 2), ('a, c 2', 3)]
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}, {key}", inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value, start=1):
            yield from _flat(f"{name} {number}", inner)
    else:
        yield name, value


_SECTIONS: Mapping[str, Callable[[Result], str]] = {
    "rounds": _rounds,
    "payload": _payload,
    "aggregate": _aggregate,
    "profile_round": _profile,
}
