"""Plugins by entry points: loaded only when named, one name for one thing, and what is wrong names the distribution."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from tests.coordinator.support import engine, plan_of
from tests.silo.small_app import spec_for, train_task

from septum.adapters.launch.inline import InlineLauncher
from septum.algorithms.rule import Rule
from septum.algorithms.strategy import proximal_mu, strategy_names, strategy_of_rule, strategy_settings
from septum.errors import ConfigError, PluginError, TensorError
from septum.plugins.found import Group, chosen, installed, problem
from septum.plugins.strategies import rule_of, strategy_for, strategy_of
from septum.ports.launcher import WorkerLimits
from septum.protocol.plan import Masking, StrategyRef
from septum.protocol.run_state import Resume
from septum.protocol.views import RunStatus

NUMBERS = itertools.count()
HEAD = "import numpy as np\nfrom septum.algorithms.rule import Rule, Setting\n"
STEP = "def step(settings, base, delta, state):\n    return base + delta / np.float32(2), {}\n"
HALF = HEAD + STEP + "RULE = Rule(name=NAME, step=step)\n"


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution on the path, as pip would: a module and its entry points. Its name, and that of the plugin."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def call(group, code, *, name="", version="1.2.3", target="RULE"):
        number = next(NUMBERS)
        distribution, module, name = f"septum-try-{number}", f"septum_try_{number}", name or f"try-{number}"
        (tmp_path / f"{module}.py").write_text(f"NAME = {name!r}\n{code}")
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{group.value}]\n{name} = {module}:{target}\n")
        return distribution, name

    return call


def test_a_plugins_rule_is_a_strategy_like_septums_own(install):
    _, name = install(Group.STRATEGIES, HALF)
    made = strategy_of(StrategyRef(name))
    model, _ = made.step(np.float32([1]), np.float32([4]), {})
    assert (made.name, model.tolist()) == (name, [3.0])


def test_septums_own_strategies_need_no_plugin():
    assert [strategy_of(StrategyRef(name)).name for name in strategy_names()] == list(strategy_names())


def test_only_the_plugin_that_is_named_is_imported(install):
    install(Group.STRATEGIES, "raise SystemExit('nobody asked for this')")
    _, name = install(Group.STRATEGIES, HALF)
    assert strategy_of(StrategyRef(name)).name == name
    assert strategy_of(StrategyRef("fedadam")).name == "fedadam"
    assert len(installed(Group.STRATEGIES)) >= 2


def test_an_unknown_name_names_the_nearest_of_own_and_plugins(install):
    install(Group.STRATEGIES, HALF, name="median-of-means")
    with pytest.raises(ConfigError, match="unknown strategy 'median-of-mean'") as unknown:
        strategy_of(StrategyRef("median-of-mean"))
    assert "did you mean 'median-of-means'?" in unknown.value.hint
    with pytest.raises(ConfigError) as unknown:
        strategy_of(StrategyRef("fedadan"))
    assert "did you mean 'fedadam'?" in unknown.value.hint


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("1/0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit('bye')", "SystemExit: bye"),
        ("pass", "has no attribute 'RULE'"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_plugin_that_does_not_load_is_named_with_distribution_version_and_cause(install, code, why):
    distribution, name = install(Group.STRATEGIES, code)
    with pytest.raises(PluginError) as broken:
        strategy_of(StrategyRef(name))
    assert broken.value.message.startswith(f"strategy {name!r} of {distribution} 1.2.3 cannot be loaded: ")
    assert why in broken.value.message
    assert broken.value.__cause__ is not None


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("RULE = 3", "is int, a septum.algorithms.rule.Rule is needed"),
        (HEAD + STEP + "RULE = Rule(name='other', step=step)", "calls itself 'other'"),
        (HEAD + STEP + "RULE = Rule(name=NAME, step=step, proximal_mu=lambda s: 1.0)", "has a proximal_mu of its own"),
    ],
)
def test_what_is_no_rule_is_refused_by_name(install, code, why):
    distribution, name = install(Group.STRATEGIES, code)
    with pytest.raises(PluginError) as refused:
        strategy_of(StrategyRef(name))
    assert f"{distribution} 1.2.3 {why}" in refused.value.message


@pytest.mark.processes
def test_a_plugin_with_the_name_of_septums_own_is_an_error_for_that_name(tmp_path, install):
    distribution, _ = install(Group.STRATEGIES, HALF, name="fedyogi")
    program = (
        "from septum.plugins.strategies import strategy_of\nfrom septum.protocol.plan import StrategyRef\n"
        "strategy_of(StrategyRef('fedavg'))\nstrategy_of(StrategyRef('fedyogi'))\n"
    )
    done = subprocess.run(  # in a process of its own: this one knows already that fedyogi is septum's
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{program}"],
        capture_output=True,
        text=True,
    )
    assert f"strategy 'fedyogi' of {distribution} 1.2.3 has the name of one of septum's own" in done.stderr


def test_one_name_in_two_distributions_is_an_error_that_names_both(install):
    one, _ = install(Group.STRATEGIES, HALF, name="twice")
    other, _ = install(Group.STRATEGIES, HALF, name="twice")
    with pytest.raises(PluginError) as refused:
        strategy_of(StrategyRef("twice"))
    assert f"is in {one} 1.2.3 and {other} 1.2.3" in refused.value.message


def test_what_a_plugins_rule_raises_names_the_plugin(install):
    code = HEAD + "def step(settings, base, delta, state):\n    raise KeyError('m')\nRULE = Rule(name=NAME, step=step)"
    distribution, name = install(Group.STRATEGIES, code)
    with pytest.raises(PluginError) as raised:
        strategy_of(StrategyRef(name)).step(np.float32([1]), np.float32([1]), {})
    assert f"of {distribution} 1.2.3 raised KeyError: 'm'" in raised.value.message


def test_settings_of_a_plugins_rule_are_checked_like_septums_own(install):
    code = HEAD + STEP + "RULE = Rule(name=NAME, step=step, settings=(Setting('lr', 0.5, above=0.0),))"
    _, name = install(Group.STRATEGIES, code)
    assert strategy_of(StrategyRef(name)).settings == {"lr": 0.5}
    for settings in ({"lr": 0.0}, {"rl": 1.0}):
        with pytest.raises(ConfigError):
            strategy_of(StrategyRef(name, settings))


COMBINE = "def combine(settings, block, weights):\n    return block[0] * np.float32(settings['lr'])\n"
FACTORS = "def factors(settings, gram, weights):\n    return np.eye(len(gram))[0] * settings['lr']\n"
SHAPES = "from septum.algorithms.rule import CoordinateWise, WeightGiving, Need\n"
LR = "settings=(Setting('lr', 0.5),)"


@pytest.mark.parametrize("shape", ["CoordinateWise(combine)", "WeightGiving(factors)"])
def test_a_plugins_rule_combines_in_either_shape_with_its_settings(install, shape):
    code = f"{HEAD}{SHAPES}{STEP}{COMBINE}{FACTORS}RULE = Rule(name=NAME, step=step, combine={shape}, {LR})"
    _, name = install(Group.STRATEGIES, code)
    made = strategy_of(StrategyRef(name))
    rows = [3, 1]
    weights = rows if made.weigh is None else made.weigh(np.eye(2), rows)
    assert made.combine(np.float32([[4, 8], [1, 1]]), weights).tolist() == [2.0, 4.0]
    assert made.sees_updates


@pytest.mark.parametrize("shape", ["CoordinateWise(combine)", "WeightGiving(factors)"])
def test_what_a_plugins_combination_raises_names_it(install, shape):
    raising = "def combine(settings, block, weights):\n    raise KeyError('m')\nfactors = combine\n"
    code = f"{HEAD}{SHAPES}{STEP}{raising}RULE = Rule(name=NAME, step=step, combine={shape})"
    distribution, name = install(Group.STRATEGIES, code)
    made = strategy_of(StrategyRef(name))
    with pytest.raises(PluginError, match=f"{distribution} 1.2.3 raised KeyError"):
        (made.weigh or made.combine)(np.eye(2, dtype=np.float64), [1, 1])


def test_a_plugin_that_leaves_the_mean_alone_does_not_see_the_updates(install):
    _, name = install(Group.STRATEGIES, HALF)
    assert not strategy_of(StrategyRef(name)).sees_updates


def test_a_plugin_whose_combine_has_neither_shape_cannot_be_loaded(install):
    _, name = install(Group.STRATEGIES, HEAD + STEP + COMBINE + "RULE = Rule(name=NAME, step=step, combine=combine)")
    with pytest.raises(PluginError, match=r"cannot be loaded: ConfigError: rule .*: combine is"):
        strategy_of(StrategyRef(name))


def test_a_plan_needs_as_many_silos_and_reports_as_its_strategy():
    five = replace(plan_of(), silos=tuple("abcde"), quorum=5, strategy=StrategyRef("krum", {"f": 1.0}))
    assert strategy_for(five).name == "krum"
    with pytest.raises(ConfigError, match=r"n >= 2f \+ 3 = 5 silos .*; there are 4$") as caught:
        strategy_for(replace(five, silos=tuple("abcd"), quorum=4))
    assert "5 tolerate 1, 4 none" in caught.value.hint
    with pytest.raises(ConfigError, match="there are 4 in a round that ends with its quorum") as caught:
        strategy_for(replace(five, quorum=4))
    assert caught.value.hint == "--quorum 5 or more"


@pytest.mark.parametrize("name", strategy_names())
def test_a_masked_plan_takes_strategies_of_the_mean_alone(name):
    open_plan = replace(plan_of(), silos=tuple("abcde"), quorum=5, strategy=StrategyRef(name))
    assert strategy_for(open_plan).name == name
    masked = replace(open_plan, masking=Masking())
    if strategy_for(open_plan).sees_updates:
        with pytest.raises(ConfigError, match=f"strategy '{name}' has to see each silo's update, and this run masks"):
            strategy_for(masked)
    else:
        assert strategy_for(masked).name == name


def test_a_plugin_can_need_silos_too(install):
    code = f"{HEAD}{SHAPES}{STEP}RULE = Rule(name=NAME, step=step, needs=lambda settings: Need(9))"
    _, name = install(Group.STRATEGIES, code)
    with pytest.raises(ConfigError, match=f"strategy '{name}' needs the updates of 9 silos; there are 1") as caught:
        strategy_for(replace(plan_of(), silos=("a",), quorum=1, strategy=StrategyRef(name)))
    assert caught.value.hint == "name 9 silos, or use another strategy"


def test_what_a_plugins_need_raises_names_it(install):
    code = f"{HEAD}{STEP}RULE = Rule(name=NAME, step=step, needs=lambda settings: settings['f'])"
    distribution, name = install(Group.STRATEGIES, code)
    with pytest.raises(PluginError, match=f"{distribution} 1.2.3 raised KeyError: 'f'"):
        strategy_of(StrategyRef(name))


@pytest.mark.anyio
async def test_a_plan_with_fewer_silos_than_its_strategy_needs_is_refused_when_it_is_submitted():
    async with engine() as e:
        plan = replace(plan_of(), strategy=StrategyRef("krum", {"f": 1.0}))
        assert len(plan.silos) < 5
        with pytest.raises(ConfigError, match="krum with f = 1 needs"):
            await e.service.submit(plan, "k")


def test_a_silo_learns_of_a_proximal_term_from_the_plan_alone(install):
    setting = "Setting('proximal_mu', 0.25, at_least=0.0)"
    _, name = install(Group.STRATEGIES, HEAD + STEP + f"RULE = Rule(name=NAME, step=step, settings=({setting},))")
    made = strategy_of(StrategyRef(name))
    assert made.proximal_mu == proximal_mu("a name that this silo does not know", made.settings) == 0.25
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError):
            proximal_mu("unknown", {"proximal_mu": wrong})


def test_a_silo_trains_by_a_strategy_that_is_installed_at_the_coordinator_alone(tmp_path):
    spec = spec_for(tmp_path)
    own, unknown = (
        InlineLauncher().start(replace(spec, strategy=StrategyRef(name)), WorkerLimits()).perform(train_task(spec), out)
        for name, out in (("fedavg", tmp_path / "a"), ("nowhere-installed", tmp_path / "b"))
    )
    assert own.payload == unknown.payload


@pytest.mark.anyio
async def test_a_rule_that_raises_pauses_the_run_until_it_is_mended(install, tmp_path):
    raising = f"    if not os.path.exists({str(tmp_path / 'mended')!r}):\n        raise KeyError('m')\n"
    step = f"def step(settings, base, delta, state):\n{raising}    return base + delta, {{}}\n"
    code = f"{HEAD}import os\n{step}RULE = Rule(name=NAME, step=step)"
    distribution, name = install(Group.STRATEGIES, code)
    async with engine() as e:
        plan = replace(plan_of(rounds=1), strategy=StrategyRef(name))
        run_id = (await e.service.submit(plan, "k")).id
        serving = [asyncio.ensure_future(e.serve(silo)) for silo in plan.silos]
        while (view := await e.service.run(run_id)).status is not RunStatus.PAUSED:
            await asyncio.sleep(0)
        assert f"{distribution} 1.2.3 raised KeyError: 'm'" in view.reason
        (tmp_path / "mended").touch()
        await e.service.command(run_id, Resume())
        await asyncio.gather(*serving)
        assert (await e.service.run(run_id)).status is RunStatus.FINISHED


@pytest.mark.anyio
async def test_a_plan_with_a_strategy_that_cannot_be_loaded_is_refused_when_it_is_submitted(install):
    _, name = install(Group.STRATEGIES, "import no_such_module_at_all")
    async with engine() as e:
        with pytest.raises(PluginError, match="cannot be loaded"):
            await e.service.submit(replace(plan_of(), strategy=StrategyRef(name)), "k")
        with pytest.raises(ConfigError, match="unknown strategy"):
            await e.service.submit(replace(plan_of(), strategy=StrategyRef("never-heard-of")), "k")


@pytest.mark.processes
def test_looking_for_plugins_loads_no_numpy():
    program = "import sys, septum.plugins.found as f; print(f.installed(f.Group.STRATEGIES), *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "numpy" not in done.stdout.split()


def test_septums_own_newer_rules_tell_older_silos_their_proximal_term():
    for name in strategy_names():
        made = strategy_of(StrategyRef(name))
        assert name == "fedprox" or proximal_mu("unknown", made.settings) == made.proximal_mu
        assert name == "fedprox" or "mu" not in {setting.name for setting in strategy_settings(name)}


@pytest.mark.parametrize("group", [Group.LAUNCHERS, Group.TRACKERS])
def test_a_maker_is_chosen_by_name_beside_septums_own(install, group):
    _, name = install(group, "def RULE():\n    return 'made'\n")
    assert chosen(group, name, {"own": lambda: "own"})() == "made"
    assert chosen(group, "own", {"own": lambda: "own"})() == "own"
    _, name = install(group, "RULE = 'no function'")
    with pytest.raises(PluginError, match="is str, a function that makes one is needed"):
        chosen(group, name, {})


def test_a_reader_is_a_kind_of_source(install):
    code = "from septum.ports.reader import ReaderKind\nRULE = ReaderKind((), lambda settings: settings)\n"
    _, name = install(Group.READERS, code)
    assert chosen(Group.READERS, name, {}).open({"a": "b"}) == {"a": "b"}
    _, name = install(Group.READERS, "RULE = dict")
    with pytest.raises(PluginError, match=r"a septum\.ports\.reader\.ReaderKind is needed"):
        chosen(Group.READERS, name, {})


def test_plugins_are_told_with_what_is_wrong_with_them(install):
    good, bad = install(Group.STRATEGIES, HALF)[1], install(Group.STRATEGIES, "1/0")[1]
    found = {plugin.name: problem(plugin, strategy_names(), rule_of) for plugin in installed(Group.STRATEGIES)}
    assert found[good] == ""
    assert "ZeroDivisionError" in found[bad]


def doubled(settings, base, delta, state):
    return np.float64(base + delta), {}


def shortened(settings, base, delta, state):
    return (base + delta)[:1], {}


def talkative(settings, base, delta, state):
    return base + delta, {"more": base}


@pytest.mark.parametrize(
    ("step", "why"),
    [(doubled, "is float64"), (shortened, r"of shape \(1,\)"), (talkative, r"its step gave \['more'\]")],
)
def test_a_step_that_gives_another_shape_or_type_is_refused_where_it_happens(step, why):
    with pytest.raises(TensorError, match=why):
        strategy_of_rule(Rule("x", step)).step(np.float32([1, 2]), np.float32([1, 2]), {})
