"""A run whose differential privacy the app attests, between real processes: refused, then let in by each steward."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.e2e.processes import files_under
from tests.e2e.runs import OPEN, Journal, client_of
from tests.faults.counting import UNCLOSED, until
from tests.silo.private_app import write_own_app, write_rows

from septum.cli.federation import Federation
from septum.protocol import facts
from septum.protocol.plan import AppRef, Masking, Plan
from septum.protocol.privacy import Privacy, Strength
from septum.protocol.views import RunStatus
from septum.sdk.package import digest_of
from septum.silo.ledger import FILE_NAME, read
from septum.silo.private_receipts import PrivateReceipts

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings(UNCLOSED)]
SILOS = ("east", "north", "south")


def allow(federation: Federation, silo: str) -> None:
    """The steward writes the rule, and starts the agent again."""
    config = federation.site(silo).folder / "state" / "silo.toml"
    federation.kill(silo)
    text = config.read_text()
    assert 'privacy_strength = "enforced"' in text
    config.write_text(text.replace('privacy_strength = "enforced"', 'privacy_strength = "attested"'))
    federation.start_agent(silo)
    federation.process(silo).wait_for_event("ready", 60)


def told(federation: Federation, silo: str, event: str) -> list[dict]:
    lines = federation.log(silo).read_text().splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in found if line["event"] == event]


def test_stewards_decide_whether_an_apps_word_is_enough_and_it_stays_with_them(tmp_path: Path) -> None:
    app = write_own_app(tmp_path / "app")
    records = {silo: write_rows(tmp_path / f"{silo}.csv") for silo in SILOS}
    (tmp_path / "federation").mkdir()
    with Federation(tmp_path / "federation", app, "small", records, sandbox=1, policy=OPEN) as federation:
        federation.start()
        states = {silo: federation.site(silo).folder / "state" for silo in SILOS}
        with client_of(federation) as client:

            def ended(name: str):
                privacy = Privacy(2.0, delta=1e-3, batch=16, strength=Strength.ATTESTED)
                ref = AppRef("small", "1.0.0", digest_of(app))
                plan = Plan(name, ref, {}, SILOS, rounds=2, masking=Masking(), privacy=privacy)
                run = client.submit(plan, key=name)
                journal = Journal(client, run)
                journal.until(facts.RunEnded)
                return client.run(run.id), journal.facts

            view, said = ended("refused")
            assert view.status is RunStatus.FAILED
            refused = [fact for fact in said if isinstance(fact, facts.SiloRefused)]
            assert {fact.rule for fact in refused} == {"policy.privacy_strength"}
            assert not any((folder / FILE_NAME).exists() for folder in states.values())

            for silo in SILOS:
                allow(federation, silo)
            view, said = ended("let in")
            assert (view.status, view.metrics) == (RunStatus.FINISHED, None)
            assert view.privacy is not None
            assert view.privacy.strength is Strength.ATTESTED
            assert all(not fact.metrics for fact in said if isinstance(fact, facts.ModelMeasured))

        for silo, folder in states.items():
            receipts = PrivateReceipts(folder)
            until(lambda receipts=receipts: list(receipts.all()), "the silo writes what the run cost")
            (receipt,) = receipts.all()
            assert (receipt.strength, receipt.steps) == ("attested", 2)
            assert 0 < receipt.epsilon <= 2.0
            purposes = [getattr(entry.event, "charge", None) for entry in read(folder).entries]
            assert any(charge is not None and "training, attested" in charge.purpose for charge in purposes)
            attested = told(federation, silo, "privacy_attested")
            assert [line["round"] for line in attested] == [1, 2]
            assert {line["noise_multiplier"] for line in attested} == {receipt.noise_multiplier}
            number = re.compile(rb"(?<![0-9.])%b(?![0-9])" % re.escape(str(receipt.noise_multiplier).encode()))
            kept = files_under(federation.operator_dir)
            assert not [
                path for path in kept if path.is_file() and number.search(path.read_bytes())
            ]  # it follows from the number of rows
