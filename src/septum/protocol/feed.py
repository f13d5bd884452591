"""What changes in a federation, and who may know it? Who came and went, which runs began and ended, who did it.

A `Change` lies somewhere, as the thing does that changed: a run in its project, a person in their organisation. Whoever
may see the thing may see the change, and nobody else (`Sight`). No secret is in one, and nothing about anybody's rows.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from septum.errors import ConfigError, did_you_mean
from septum.protocol import facts
from septum.protocol.messages import Outcome, Stage
from septum.protocol.rights import Right
from septum.protocol.run_state import Run


class Noun(Enum):
    """What has changed."""

    RUN = "run"
    MODEL = "model"
    SILO = "silo"
    APP = "app"
    GROUP = "group"
    PROJECT = "project"
    PERSON = "person"
    ORGANISATION = "organisation"
    TOKEN = "token"  # noqa: S105 - a kind of thing, none itself


class Kind(Enum):
    """What has happened, beginning with the noun."""

    RUN_SUBMITTED = "run.submitted"
    RUN_STARTED = "run.started"
    RUN_REFUSED = "run.refused"
    RUN_PAUSED = "run.paused"
    RUN_RESUMED = "run.resumed"
    RUN_ENDED = "run.ended"
    RUN_QUEUED = "run.queued"
    RUN_PRIORITISED = "run.prioritised"
    RUN_SHREDDED = "run.shredded"
    MODEL_REGISTERED = "model.registered"
    MODEL_APPROVED = "model.approved"
    MODEL_DEPLOYED = "model.deployed"
    MODEL_RETIRED = "model.retired"
    SILO_INVITED = "silo.invited"
    SILO_ENROLLED = "silo.enrolled"
    SILO_ONLINE = "silo.online"
    SILO_OFFLINE = "silo.offline"
    SILO_PAUSED = "silo.paused"
    SILO_RESUMED = "silo.resumed"
    SILO_BUDGET_LOW = "silo.budget_low"
    SILO_REVOKED = "silo.revoked"
    APP_PUSHED = "app.pushed"
    APP_SIGNED = "app.signed"
    APP_REMOVED = "app.removed"
    APP_PRESET_SET = "app.preset_set"
    APP_PRESET_REMOVED = "app.preset_removed"
    GROUP_ADDED = "group.added"
    GROUP_JOINED = "group.joined"
    GROUP_LEFT = "group.left"
    GROUP_REMOVED = "group.removed"
    PROJECT_ADDED = "project.added"
    PROJECT_CLOSED = "project.closed"
    PERSON_INVITED = "person.invited"
    PERSON_JOINED = "person.joined"
    PERSON_RESET = "person.reset"
    PERSON_SUSPENDED = "person.suspended"
    PERSON_RESTORED = "person.restored"
    PERSON_ROLES = "person.roles"
    ORGANISATION_ADDED = "organisation.added"
    ORGANISATION_REMOVED = "organisation.removed"
    TOKEN_MADE = "token.made"  # noqa: S105 - as above
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - as above

    @property
    def noun(self) -> Noun:
        """Of what it is."""
        return Noun(self.value.partition(".")[0])


SAYS: Mapping[Kind, str] = types.MappingProxyType(
    {
        Kind.RUN_SUBMITTED: "A run was submitted; its silos are invited.",
        Kind.RUN_STARTED: "Enough silos have joined, and the first work was handed out.",
        Kind.RUN_REFUSED: "A silo's own rules forbid a run, or its steward has withdrawn from it.",
        Kind.RUN_PAUSED: "A run hands out no new work: `by` wants it so, or there is a reason.",
        Kind.RUN_RESUMED: "A run goes on, after a pause or after its end.",
        Kind.RUN_ENDED: "A run is over; `outcome` says how.",
        Kind.RUN_QUEUED: "A run waits until its silos have room for it, or a coordinator is there that may drive it.",
        Kind.RUN_PRIORITISED: "A run is to begin sooner than others, or later.",
        Kind.RUN_SHREDDED: "A run's key and its files were deleted: its models, and all that silos had sent, for good.",
        Kind.MODEL_REGISTERED: "A run's model was given a name, and is a new version under it.",
        Kind.MODEL_APPROVED: "Somebody else has said that a version of a model may be used.",
        Kind.MODEL_DEPLOYED: "Silos are to use a version of a model.",
        Kind.MODEL_RETIRED: "No silo is to use a version of a model any more.",
        Kind.SILO_INVITED: "A silo may enrol, once.",
        Kind.SILO_ENROLLED: "A silo has enrolled with its key.",
        Kind.SILO_ONLINE: "A silo's agent is there.",
        Kind.SILO_OFFLINE: "A silo's agent has not been heard of for a minute.",
        Kind.SILO_PAUSED: "A silo's steward takes no runs for now.",
        Kind.SILO_RESUMED: "A silo takes runs again.",
        Kind.SILO_BUDGET_LOW: "A silo says of which datasets the privacy budget is nearly spent.",
        Kind.SILO_REVOKED: "A silo's key is refused from now on.",
        Kind.APP_PUSHED: "A package was pushed.",
        Kind.APP_SIGNED: "The signatures of a package were pushed.",
        Kind.APP_REMOVED: "A package was removed.",
        Kind.APP_PRESET_SET: "A package was given a preset, beside those in it.",
        Kind.APP_PRESET_REMOVED: "A preset that a package was given was taken back.",
        Kind.GROUP_ADDED: "A group of silos was made.",
        Kind.GROUP_JOINED: "A silo was taken into a group.",
        Kind.GROUP_LEFT: "A silo was taken out of a group.",
        Kind.GROUP_REMOVED: "A group of silos was removed.",
        Kind.PROJECT_ADDED: "A project was made.",
        Kind.PROJECT_CLOSED: "A project takes no new runs.",
        Kind.PERSON_INVITED: "A person was invited.",
        Kind.PERSON_JOINED: "A person has come in by an invitation, or from the identity provider.",
        Kind.PERSON_RESET: "What a person proved themselves by was forgotten, and they were invited again.",
        Kind.PERSON_SUSPENDED: "A person may no longer come in.",
        Kind.PERSON_RESTORED: "A person may come in again.",
        Kind.PERSON_ROLES: "A person has these roles from now on.",
        Kind.ORGANISATION_ADDED: "An organisation was added.",
        Kind.ORGANISATION_REMOVED: "An organisation was removed.",
        Kind.TOKEN_MADE: "A person has made a token for a program.",
        Kind.TOKEN_REVOKED: "A person has revoked a token.",
    }
)
"""Each kind in one sentence."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was done, or that happened. What does not apply is empty.

    by            who did it: a person's name, or `operator`; empty where nobody did
    run, silo, app, model, group, project, person, organisation, token
                  what it is about, by name or id; an app as NAME==VERSION, a model as its name and version, a project
                  that of the run, an organisation that of the silo or person
    preset        the name of an app's preset
    roles         what a person has now, as in `researcher@project:sepsis`
    outcome       how a run has ended
    reason        why, where there is something to say
    """

    kind: Kind
    by: str = ""
    run: str = ""
    silo: str = ""
    app: str = ""
    group: str = ""
    project: str = ""
    person: str = ""
    organisation: str = ""
    token: str = ""
    model: str = ""
    preset: str = ""
    roles: tuple[str, ...] = ()
    outcome: Outcome | None = None
    reason: str = ""

    @property
    def place(self) -> str:
        """Where it lies among the changes of its noun: whoever may see that may see this."""
        match self.kind.noun:
            case Noun.RUN | Noun.MODEL | Noun.PROJECT:
                return self.project
            case Noun.SILO:
                return self.silo
            case Noun.GROUP:
                return self.group
            case Noun.PERSON | Noun.TOKEN | Noun.ORGANISATION:
                return self.organisation
            case Noun.APP:
                return ""  # all members share them


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """An entry of the feed. `seq` grows; numbers of entries that were not kept are missing. `at`: Unix seconds."""

    seq: int
    at: float
    change: Change


RIGHT_TO_SEE: Mapping[Noun, Right] = types.MappingProxyType(
    {
        Noun.RUN: Right.RUN_READ,
        Noun.MODEL: Right.MODEL_READ,
        Noun.SILO: Right.SILO_READ,
        Noun.APP: Right.APP_READ,
        Noun.GROUP: Right.GROUP_READ,
        Noun.PROJECT: Right.PROJECT_READ,
        Noun.PERSON: Right.USER_READ,
        Noun.ORGANISATION: Right.ORG_READ,
        Noun.TOKEN: Right.USER_READ,
    }
)
"""By which right one sees the changes of a noun: that by which one sees the things in their list."""


@dataclass(frozen=True, slots=True)
class Sight:
    """Of which changes somebody may know.

    places  by noun, the places of which; None: all of them. Of a noun that is not there, none
    """

    places: Mapping[Noun, frozenset[str] | None]

    def sees(self, change: Change) -> bool:
        """Whether this is one of them.

        >>> Sight({Noun.SILO: frozenset({"basel"})}).sees(Change(Kind.SILO_OFFLINE, silo="basel"))
        True
        """
        noun = change.kind.noun
        if noun not in self.places:
            return False
        places = self.places[noun]
        return places is None or change.place in places


SEES_ALL = Sight(types.MappingProxyType(dict.fromkeys(Noun)))


@dataclass(frozen=True, slots=True)
class FeedFilter:
    """Which changes are looked for: those for which all of this holds. What is empty holds for all.

    kinds  of one of these kinds, or of all kinds of these nouns: `silo.offline`, `run`
    """

    project: str = ""
    run: str = ""
    silo: str = ""
    kinds: frozenset[Kind] = frozenset()

    def wants(self, change: Change) -> bool:
        """Whether this is one of them."""
        return (
            self.project in ("", change.project)
            and self.run in ("", change.run)
            and self.silo in ("", change.silo)
            and (not self.kinds or change.kind in self.kinds)
        )


def kinds_of(names: tuple[str, ...]) -> frozenset[Kind]:
    """The kinds that are named, one by one or by their nouns. Raises ConfigError.

    >>> sorted(kind.value for kind in kinds_of(("token", "run.ended")))
    ['run.ended', 'token.made', 'token.revoked']
    """
    by_name = {kind.value: [kind] for kind in Kind} | {
        noun.value: [kind for kind in Kind if kind.noun is noun] for noun in Noun
    }
    for name in names:
        if name not in by_name:
            raise ConfigError(f"there is no kind of change {name[:40]!r}; {did_you_mean(name, by_name)}")
    return frozenset(kind for name in names for kind in by_name[name])


def submitted(run: Run, project: str, by: str) -> Change:
    """That a run was made."""
    return Change(Kind.RUN_SUBMITTED, by, run.id, app=_app(run), project=project)


def change_of(run: Run, project: str, fact: facts.Fact, by: str = "") -> Change | None:
    """What the feed has of a fact: that a run's status has changed. Of what happens in its rounds it has nothing.

    by  who asked for it, if somebody did
    """
    match fact:
        case facts.StageOpened(Stage.PREPARE, attempt=1):
            return Change(Kind.RUN_STARTED, "", run.id, app=_app(run), project=project)
        case facts.SiloRefused(silo, rule, reason):
            why = f"by its rule {rule!r}: {reason}"
            return Change(Kind.RUN_REFUSED, "", run.id, silo, _app(run), project=project, reason=why)
        case facts.RunPaused(reason):
            return Change(Kind.RUN_PAUSED, by, run.id, app=_app(run), project=project, reason=reason)
        case facts.RunResumed():
            return Change(Kind.RUN_RESUMED, by, run.id, app=_app(run), project=project)
        case facts.RunQueued(why):
            return Change(Kind.RUN_QUEUED, "", run.id, app=_app(run), project=project, reason=why)
        case facts.RunPrioritised(priority):
            return Change(Kind.RUN_PRIORITISED, by, run.id, app=_app(run), project=project, reason=priority.value)
        case facts.RunEnded(outcome, reason):
            return Change(Kind.RUN_ENDED, by, run.id, app=_app(run), project=project, outcome=outcome, reason=reason)
        case _:
            return None


def _app(run: Run) -> str:
    return f"{run.plan.app.name}=={run.plan.app.version}"
