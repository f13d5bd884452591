import io
from dataclasses import replace

from rich.console import Console
from tests.golden.samples import VIEW_SAMPLES

from septum.cli import views
from septum.cli.progress import Progress, advance, drawn, line
from septum.protocol import facts
from septum.protocol.facts import Metrics
from septum.protocol.messages import Outcome, Stage, blob_of
from septum.protocol.plan import Vote
from septum.protocol.views import RunView

METRICS = Metrics(rows=9, accuracy=0.5, log_loss=0.7, roc_auc=None)
HISTORY = (
    facts.SiloJoined("a"),
    facts.SiloRefused("b", "allowed_apps", "not approved"),
    facts.StageOpened(Stage.TRAIN, 1, 1, ("a", "c")),
    facts.SiloReported("a", Stage.TRAIN, 1, 1),
    facts.SiloFailed("c", Stage.TRAIN, 1, 1, "killed"),
    facts.ModelMade(1, blob_of(b"m")),
    facts.ModelMeasured(1, METRICS, {}),
)


def test_progress_is_what_the_facts_say():
    known = Progress(rounds=4)
    for fact in HISTORY:
        known = advance(known, fact)
    assert known.finished == 1
    assert known.metrics == METRICS
    assert known.silos == {
        "a": "reported",
        "b": "refused by its rule allowed_apps: not approved",
        "c": "failed: killed",
    }
    assert known.state == "training"


def test_pause_resume_and_end_show():
    known = Progress(rounds=4)
    for fact, state in [
        (facts.RunPaused("disk full"), "paused: disk full"),
        (facts.RunResumed(), "resumed"),
        (facts.RunEnded(Outcome.FAILED, "x"), "failed"),
    ]:
        known = advance(known, fact)
        assert known.state == state


def test_what_a_silo_says_cannot_pass_for_a_line_of_septums_own():
    forged = "gone\nsilo a joined\u2028silo b joined"
    for fact in (
        facts.SiloLeft("c", forged),
        facts.SiloRefused("c", forged, forged),
        facts.SiloFailed("c", Stage.TRAIN, 1, 1, forged, forged),
        facts.RunPaused(forged),
        facts.RunEnded(Outcome.FAILED, forged),
    ):
        first, *others = line(fact, 4).splitlines()
        assert "gone / silo a joined / silo b joined" in first
        assert all(other.startswith("    ") for other in others)


def test_lines_name_what_changed_and_leave_out_the_rest():
    told = [line(fact, 4) for fact in HISTORY]
    assert told == [
        "silo a joined",
        "silo b refused by its rule allowed_apps: not approved",
        "",
        "",
        "silo c failed in train, round 1, attempt 1: killed",
        "",
        "round 1/4: roc_auc undefined, accuracy 0.5000, log_loss 0.7000, 9 rows",
    ]


def test_the_display_shows_rounds_silos_and_metrics_without_the_silos_control_characters():
    screen = Console(file=io.StringIO(), width=120)
    screen.print(drawn(Progress(4, 1, {"boston": "failed: \x1b[2J[bold]x"}, METRICS, "training")))
    text = screen.file.getvalue()
    assert "round 1/4  training" in text
    assert "boston" in text
    assert "accuracy 0.5000" in text
    assert "\x1b[2J" not in text
    assert "[bold]x" in text


def test_a_model_that_was_voted_down_is_told_with_the_reason_and_its_metrics_are_not_shown_as_the_runs():
    fact = facts.ModelMeasured(3, Metrics(30, 0.5, 9.0, 0.5), {}, facts.Votes(1, 4, "1 of 4 silos accept it"))
    assert line(fact, 5).endswith("30 rows; voted down: 1 of 4 silos accept it")
    assert line(replace(fact, votes=facts.Votes(4, 4)), 5).endswith("30 rows")


def test_a_run_with_a_vote_shows_its_rule_and_how_many_were_voted_down():
    run = next(view for view in VIEW_SAMPLES if isinstance(view, RunView))
    assert "vote " not in str(views.run(run))
    shown = str(views.run(replace(run, vote=Vote(), burnt=2)))
    assert "log_loss may be 0.1 worse, 67% have to accept; the last 2 models were voted down, 3 end the run" in shown
