"""The figures are what their names say, worked out by hand, and every ratio is made from what was measured."""

import json
from pathlib import Path

import pytest
from benchmarks.federations import Finished
from benchmarks.floors import keystream, reading, transfer
from benchmarks.processes import Sample
from benchmarks.rounds_of import Round, first_opening, rounds_of
from benchmarks.suite import SUITE

from benchmarks import aggregate, page, payload, report, rounds, secagg, viewers
from septum.algorithms.strategy import strategy_names
from septum.protocol import facts
from septum.protocol.messages import Outcome, Stage
from septum.protocol.views import JournalView

ROOT = Path(__file__).parents[2]


def opened(at: float, stage: Stage, round_: int) -> tuple[float, facts.Fact]:
    return at, facts.StageOpened(stage, round_, 1, ("a", "b"))


def reported(at: float, silo: str, round_: int, **durations: float) -> tuple[float, facts.Fact]:
    return at, facts.SiloReported(silo, Stage.TRAIN, round_, 1, durations)


# Round 1 lasts 1.0 s, of which b trains 0.5 and measures 0.25; round 2 lasts 0.5 s, a trains 0.25.
JOURNAL = tuple(
    JournalView(number, at, fact)
    for number, (at, fact) in enumerate(
        [
            opened(9.5, Stage.PREPARE, 0),
            opened(10.0, Stage.TRAIN, 1),
            reported(11.0, "a", 1, train=0.5, evaluate=0.125, load=9.0),
            reported(11.0, "b", 1, train=0.5, evaluate=0.25, encode=0.125),
            opened(11.0, Stage.TRAIN, 2),
            reported(11.5, "a", 2, train=0.25),
            reported(11.5, "b", 2, train=0.125),
            opened(11.5, Stage.EVALUATE, 2),
            (12.0, facts.RunEnded(Outcome.FINISHED, "")),
        ],
        start=1,
    )
)
RUN = rounds.Measured(
    Finished(None, JOURNAL, submitted_at=9.0),
    tuple(rounds_of(JOURNAL)),
    {"coordinator": 5.0, "agents": 7.0, "workers": 6.0},
)


def test_a_round_lasts_to_the_next_opening_and_its_overhead_is_what_the_slowest_silo_did_not_use():
    first, second = rounds_of(JOURNAL)
    assert (first.number, first.opened_at, first.wall_s, first.training_s) == (1, 10.0, 1.0, 0.75)
    assert first.overhead_ms == 250.0
    assert second.overhead_ms == 250.0
    assert first_opening(JOURNAL, Stage.TRAIN) == 10.0


def test_loading_and_encoding_are_septums_own_and_no_training():
    assert rounds_of(JOURNAL)[0].steps_s["encode"] == 0.125
    assert rounds_of(JOURNAL)[0].training_s == 0.75  # not b's 0.125 of encoding, not a's 9 of loading


def test_the_figures_of_rounds_are_made_from_the_journal_and_the_floor():
    figures = rounds.figures_of([RUN], {"slow": [60.0, 50.0, 70.0], "fast": [20.0, 25.0, 900.0]})
    assert figures["overhead_ms"] == {"p50": 250.0, "p90": 250.0}
    assert figures["floor_ms"] == 25.0
    assert figures["floor_program"] == "fast"
    assert figures["floors_ms"] == {"slow": 60.0, "fast": 25.0}
    assert figures["ratio"] == 10.0
    assert figures["submit_to_first_round_s"] == {"median": 1.0, "best": 1.0}
    assert figures["submit_to_first_round_finished_s"] == {"median": 2.0, "best": 2.0}
    assert figures["submit_to_finished_s"] == {"median": 3.0, "best": 3.0}
    assert figures["rounds_wall_s"] == {"median": 1.5, "best": 1.5}


def side_of(*overheads_ms: float, cpu_ms: float = 4.0) -> rounds.Measured:
    """A run whose rounds, of 0.75 s of training each, took so much more."""
    made = [Round(n, 0.0, 0.75 + extra / 1000, 0.75, {}) for n, extra in enumerate(overheads_ms)]
    return rounds.Measured(RUN.finished, tuple(made), dict.fromkeys(rounds.ROLES, cpu_ms))


def test_what_audit_and_a_tracker_add_is_the_difference_of_the_medians_and_of_each_turn():
    recorded = [side_of(10, 11, 12, cpu_ms=5.5), side_of(14, 15, 16, cpu_ms=5.5)]
    figures = rounds.recorded_figures(recorded, [side_of(9, 10), side_of(12, 13)])
    assert figures["coordinator_cpu_added_ms"] == pytest.approx(1.5)
    assert figures["audit_and_tracking_added_ms"] == pytest.approx(13 - 11)
    assert figures["added_ms_by_turn"] == pytest.approx([11 - 9.5, 15 - 12.5])
    assert figures["bare_overhead_ms"]["p50"] == pytest.approx(11)


def test_rounds_on_postgresql_are_set_against_those_of_the_same_turns():
    figures = rounds.postgresql_figures([side_of(10, 10), side_of(20)], [side_of(15, 15), side_of(20)])
    assert figures["postgresql_ratio"] == pytest.approx(1.5)
    assert figures["postgresql_ratio_by_turn"] == pytest.approx([1.5, 1.0])


def test_the_page_says_what_was_compared():
    shown = {"audit_and_tracking_added_ms": 1.25, "added_ms_by_turn": [1.0, 1.5], "tracker": "mlflow"}
    shown |= {
        "bare_overhead_ms": {"p50": 9.0, "p90": 9.5},
        "tracker_cpu_ms_a_round": 2.5,
        "coordinator_cpu_added_ms": 1.125,
    }
    shown |= {"postgresql_ratio": 1.375, "postgresql_ratio_by_turn": [1.375]}
    shown |= {"postgresql_overhead_ms": {"p50": 13.75, "p90": 14.0}}
    figures = rounds.figures_of([RUN], {"floor": [20.0]})
    whole = {"benchmark": "rounds", "rounds": 2, "silo_idle_rss_mb": 44, "coordinator_idle_rss_mb": 120, **figures}
    plain = page.figures({"rounds, 4 silos": {**whole, "machine": report.machine()}})
    assert "mlflow" not in plain
    assert "PostgreSQL" not in plain
    made = page.figures({"rounds, 4 silos": {**whole, **shown, "machine": report.machine()}})
    assert "| audit and mlflow add to it, ms: all, turn by turn | **1.25**; 1.0, 1.5 |" in made
    assert "| processor ms a round: added in the coordinator, the tracker's own process | 1.125, 2.5 |" in made
    assert "| the same, over SQLite: all, turn by turn | **1.375**; 1.375 |" in made


def test_processors_are_counted_between_samples_within_the_rounds_only():
    def sample(at: float, seconds: float) -> Sample:
        return Sample(at, dict.fromkeys(rounds.ROLES, seconds), dict.fromkeys(rounds.ROLES, 0))

    # the start-up's 100 s and what comes after round 2 has opened do not count
    measured = rounds.measured(RUN.finished, [sample(9, 100), sample(10, 100), sample(10.9, 100.2), sample(12, 300)])
    assert measured.cpu_ms == dict.fromkeys(rounds.ROLES, pytest.approx(200.0))
    assert rounds.measured(RUN.finished, [sample(9, 100)]).cpu_ms == {}


def test_payload_speed_is_all_bytes_over_the_round_without_training():
    done = [Round(1, 0.0, 3.0, 1.0, {"train": 1.0}), Round(2, 3.0, 2.0, 1.0, {"train": 1.0})]
    raw, kept = {"threads": [2.0, 4.0, 4.0], "processes": [1.0]}, {"threads": [1.0], "processes": [1.6, 1.6, 9.0]}
    figures = payload.speeds(done, 100_000_000, 4, {transfer.RAW: raw, transfer.KEPT: kept})
    assert figures["gb_per_s"] == 0.6  # 0.8 GB over 2 s and over 1 s: 0.4 and 0.8
    assert figures["raw_tls_gb_per_s"] == 4.0
    assert figures["floor_gb_per_s"] == 1.6
    assert figures["programs"] == {"raw_tls": "threads", "floor": "processes"}
    assert figures["ratio"] == 0.375
    assert figures["ratio_to_raw_tls"] == 0.15


def test_peaks_are_counted_above_the_idle_base_in_models():
    peaks = payload.Peaks(idle=100, run=700, rounds=300, agent_idle=40, agent=60)
    done = [Round(1, 10.0, 1.0, 0.0, {}), Round(2, 11.0, 1.0, 0.0, {})]
    samples = [Sample(at, {}, {"coordinator": held}) for at, held in ((9.9, 900), (10.5, 280), (11.5, 300), (13, 900))]
    figures = payload.memory(done, peaks, samples, size_bytes=200)
    assert figures["coordinator_peak_models"] == 3.0
    assert figures["coordinator_peak_models_in_rounds"] == 1.0
    assert figures["coordinator_models_round_by_round"] == [0.9, 1.0]
    assert figures["agent_peak_models"] == 0.1


def test_a_rule_counts_by_its_best_pass_and_its_worst_growth():
    passes = [aggregate.Taken(10**9, 0.5, 0.4, 2**20), aggregate.Taken(10**9, 0.25, 0.5, 3 * 2**20)]
    figures = aggregate.rule_figures(passes, passes[:1], floor=8.0)
    assert figures == {
        "gb_per_s": 4.0,
        "ratio": 0.5,
        "cpu_s_a_gb": 0.4,
        "growth_mib": 3.0,
        "stored_gb_per_s": 2.0,
        "stored_growth_mib": 1.0,
    }


@pytest.fixture(scope="module")
def aggregated():
    return aggregate.measure(silos=2, parameters=10_000, repeats=1)[0]


def test_aggregate_measures_every_strategy_and_the_mean_beside_its_floor(aggregated):
    alone = {"weighted_mean", "gram_matrix"}
    assert aggregated["rules"].keys() == alone | {*strategy_names()} - {*aggregated["left_out"]}
    assert aggregated["left_out"] == ["trimmed-mean", "krum", "multi-krum"]  # two silos are too few for them
    assert aggregated["floors_gb_per_s"].keys() == reading.PROGRAMS.keys()
    assert aggregated["floor_gb_per_s"] == max(aggregated["floors_gb_per_s"].values())
    for name, found in aggregated["rules"].items():
        assert found["ratio"] == pytest.approx(found["gb_per_s"] / aggregated["floor_gb_per_s"], rel=2e-3), name
        assert ("stored_gb_per_s" in found) == (name not in alone)
    assert json.loads(json.dumps(aggregated)) == aggregated


@pytest.mark.parametrize("program", reading.PROGRAMS.values())
def test_a_reading_program_reads_every_byte(program, tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    for number, path in enumerate(paths):
        path.write_bytes(bytes(3000 + number))
    assert program(paths, 1000) == 6001


@pytest.mark.parametrize("program", keystream.PROGRAMS.values())
def test_a_keystream_program_makes_every_byte_of_every_stream(program):
    assert program(3, 2**20 + 5) == 3 * (2**20 + 5)


@pytest.mark.parametrize(("silos", "dropped"), [(3, 0), (4, 1)])
def test_secagg_measures_each_step_beside_the_bare_keystream(silos, dropped):
    found = secagg.measure(silos=silos, parameters=10_000, repeats=1)
    assert (found["silos"], found["parameters"], found["dropped"]) == (silos, 10_000, dropped)
    assert found["silo_s"] == pytest.approx(sum(found["silo_steps_s"].values()), rel=2e-3)
    assert found["server_s"] == pytest.approx(sum(found["server_steps_s"].values()), rel=2e-3)
    assert found["floors_s"].keys() == keystream.PROGRAMS.keys()
    assert found["keystream_floor_s"] == min(found["floors_s"].values())
    assert found["masking_ratio"] == pytest.approx(found["masking_s"] / found["keystream_floor_s"], rel=2e-3)
    assert 0 < found["masking_s"] <= found["silo_steps_s"]["mask"]
    assert json.loads(json.dumps(found)) == found


def test_the_faster_arrangement_is_the_one_with_the_higher_median():
    assert transfer.best({"a": [1.0, 1.0, 9.0], "b": [2.0, 2.0, 0.1]}) == ("b", 2.0)


def test_the_machine_is_described_without_a_name():
    facts_ = report.machine()
    assert set(facts_) == {
        "cores",
        "memory_gib",
        "processor",
        "system",
        "python",
        "septum",
        "date",
        "load_average",
    }


def test_the_page_gets_the_figures_of_what_was_measured_and_keeps_the_rest(aggregated):
    old = f"# Benchmarks\n\nprose\n{page.BEGIN}\nold figures\n{page.END}\nmore prose\n"
    new = page.replace_figures(old, {"aggregate, 4 silos": aggregated})
    assert "old figures" not in new
    assert new.startswith("# Benchmarks\n\nprose\n")
    assert new.endswith("more prose\n")
    assert f"| weighted_mean | {aggregated['rules']['weighted_mean']['gb_per_s']} |" in new
    assert "`python -m benchmarks.aggregate --silos 4" in new
    assert page.replace_figures(new, {"aggregate, 4 silos": aggregated}) == new


def test_a_benchmark_that_the_page_does_not_know_is_shown_figure_by_figure():
    machine = {**report.machine(), "load_average": [1.5, 1.0, 1.0]}
    result = {"benchmark": "other", "machine": machine, "idle": {"mb": 5.0}, "storms": [{"back_s": 2.5}]}
    shown = page.figures({"connections": result})
    assert "| idle, mb | 5.0 |" in shown
    assert "| storms 1, back_s | 2.5 |" in shown
    assert "load average before: 1.5" in shown


def test_every_benchmark_of_the_suite_is_a_program_that_the_readme_names():
    text = (ROOT / "benchmarks" / "README.md").read_text()
    for module, *_ in SUITE.values():
        assert (ROOT / "benchmarks" / f"{module}.py").exists(), module
        assert f"benchmarks.{module}" in text, module


def test_viewers_cost_what_the_coordinator_and_the_rounds_take_more_than_without_them():
    def cost(cpu_ms: float) -> dict[str, float]:
        return {**dict.fromkeys(rounds.ROLES, 0.0), "coordinator": cpu_ms}

    alone = rounds.Measured(RUN.finished, RUN.rounds, cost(5.0))
    slower = tuple(Round(1, 0.0, 1.0 + extra, 0.75, {}) for extra in (0.0, 0.001, 0.002))
    seen = rounds.Measured(RUN.finished, slower, cost(25.02))
    figures = viewers.figures_of([alone], [viewers.Watched(seen, complete=True)])
    assert figures["round_overhead_added_ms"] == pytest.approx(1.0)
    assert figures["viewers_cpu_percent"] == pytest.approx(2.0)  # 20.02 ms of each 1,001 ms
    assert figures["complete"] is True
    missed = viewers.figures_of([alone], [viewers.Watched(seen, complete=False)])
    assert missed["complete"] is False
