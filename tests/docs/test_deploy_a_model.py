"""The page about deployed models names every rule, every stage and state, and shows commands that exist."""

import re
import tomllib
from pathlib import Path

from septum.cli.reference import commands
from septum.protocol.deploying import DeployState
from septum.protocol.registered import ModelStage
from septum.silo.deploy_rules import Accept, DeployRules, deploy_json, read_deploy
from septum.silo.section import Section

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "deploy-a-model.md").read_text()


def test_every_command_on_the_page_exists():
    known = {path for path, _ in commands()}
    shown = re.findall(r"^\$ (septum [^\n]*)", PAGE, re.MULTILINE)
    missing = [line for line in shown if not any(line == path or line.startswith(f"{path} ") for path in known)]
    assert shown
    assert missing == []
    told = {
        path for path in known if path.startswith(("septum silo deploy ", "septum silo predict", "septum silo serve"))
    }
    assert {path for path in told if path not in PAGE} == set()


def test_every_rule_is_there_and_the_block_can_be_read():

    block = next(part for part in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "[deploy]" in part)
    rules = read_deploy(Section("page, [deploy]", tomllib.loads(block)["deploy"]))
    assert (rules.accept, rules.metric, rules.tell_metrics) == (Accept.STEWARD, DeployRules().metric, False)
    assert [name for name in deploy_json(rules) if name not in PAGE] == []


def test_every_stage_and_state_is_there():
    for stage in ModelStage:
        assert f"*{stage.value}*" in PAGE
    for state in DeployState:
        assert state.value in PAGE
