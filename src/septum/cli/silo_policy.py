"""Which commands are there about a silo's own rules, and about what it let run?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer, Json, Table
from septum.cli.silo_dir import SiloDir

app = noun("policy", "The rules by which this silo takes part in runs; nobody else can change them.")
receipts_app = noun("receipt", "What this silo let run: one receipt a run. They stay here.")


@command(app, "show")
def show(call: Invocation, directory: SiloDir) -> Answer:
    """Show every rule and limit as it holds now, with the defaults of those that silo.toml does not name."""
    del call
    from septum.silo import deploy_rules
    from septum.silo.config import CONFIG_NAME, Limits, read_config  # protocol: blake3, which `--help` does not load
    from septum.silo.deploy_rules import DeployRules, deploy_json
    from septum.silo.policy import Policy, explained

    config = read_config(directory / CONFIG_NAME)
    policy, limits = config.policy, config.limits
    data: dict[str, Json] = {"policy": policy.as_json(), "digest": policy.digest, "limits": asdict(limits)}
    data["deploy"] = deploy_json(config.deploy)
    return Answer(
        data,
        (
            _told("RULE", "policy", explained(policy), explained(Policy())),
            f"digest {policy.digest}",
            _told("LIMIT", "limits", limits.explained(), Limits().explained()),
            _told(
                "DEPLOYED MODELS",
                "deploy",
                deploy_rules.explained(config.deploy),
                deploy_rules.explained(DeployRules()),
            ),
        ),
    )


def _told(title: str, section: str, now: Mapping[str, str], off: Mapping[str, str]) -> Table:
    """What holds now, and what of it silo.toml says."""
    rows = tuple((name, text, "" if text == off[name] else f"[{section}] {name}") for name, text in now.items())
    return Table((title, "MEANS", "SET BY"), rows)


@command(app, "check")
def check(call: Invocation, directory: SiloDir) -> Answer:
    """Say of each app of this silo whether the rules let it run, and which rule does not. Runs can break more rules."""
    del call
    from septum.adapters.launch.sandbox import detect, lacking
    from septum.silo.config import CONFIG_NAME, read_config  # protocol: blake3, which `--help` does not load
    from septum.silo.verdicts import verdicts

    config = read_config(directory / CONFIG_NAME)
    found = verdicts(directory, config)
    rows = tuple((one.app, one.kind, "may run" if not one.rule else "may not run", one.rule, one.why) for one in found)
    table = Table(("APP", "KIND", "VERDICT", "RULE", "WHY"), rows, "no apps: septum silo app fetch NAME")
    level = int(detect())
    note = f"sandbox level {level}" + (f": {lacking()}" if lacking() else "")
    if level < config.policy.min_sandbox:
        note += f"; policy.min_sandbox asks for {config.policy.min_sandbox}, so nothing runs"
    hosts = [config.coordinator.removeprefix("https://"), *config.policy.egress_hosts]
    data: dict[str, Json] = {
        "hosts": list(hosts),
        "tracking_hosts": list(config.policy.tracking_hosts) if config.tracking else [],
        "apps": [{"app": one.app, "kind": one.kind, "rule": one.rule, "why": one.why} for one in found],
        "sandbox": level,
        "min_sandbox": config.policy.min_sandbox,
    }
    dialled = f"asks {hosts[0]} and no other host"
    if config.policy.egress_hosts:
        dialled = f"asks {hosts[0]}; gets a blob from {' or '.join(hosts[1:])} when it is sent there, unsigned"
    if config.policy.tracking_hosts and config.tracking:
        dialled += f"; its own trackers may reach {' and '.join(config.policy.tracking_hosts)}"
    return Answer(data, (table, note, dialled))


@command(receipts_app, "list")
def receipts(call: Invocation, directory: SiloDir) -> Answer:
    """List what ran here: which app, on which rows, under which rules, in which sandbox. Newest first."""
    del call
    from septum.cli.views import when  # protocol: blake3, which `--help` does not load
    from septum.protocol.codec import to_json
    from septum.silo.receipts import Receipts

    found = list(Receipts(directory).all())[::-1]
    rows = tuple(
        (when(one.at), one.run, one.app, str(one.rows), one.dataset[:19], str(one.sandbox), one.app_digest)
        for one in found
    )
    table = Table(("AT", "RUN", "APP", "ROWS", "DATASET", "SANDBOX", "APP DIGEST"), rows, "nothing has run here yet")
    return Answer({"receipts": [to_json(one) for one in found]}, (table,))
