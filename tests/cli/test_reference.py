import re
from pathlib import Path

from septum.cli.reference import commands, first_line, help_of, page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"


def test_the_reference_page_is_up_to_date():
    assert PAGE.read_text() == page(), "run: python -m septum.cli.reference > docs/reference/commands.md"


def test_every_command_says_in_one_sentence_what_it_does():
    for path, command in commands():
        sentence = first_line(command)
        assert sentence.endswith("."), f"{path}: {sentence!r}"
        assert sentence[0].isupper(), path


def test_every_option_has_a_help_text():
    silent = [f"{path} {item.opts}" for path, command in commands() for item in command.params if not help_of(item)]
    assert silent == []


def test_every_command_takes_json_and_quiet():
    for path, command in commands():
        if not hasattr(command, "commands"):
            names = {name for item in command.params for name in item.opts}
            assert {"--json", "--quiet"} <= names, path


def test_no_help_text_has_what_the_terminal_would_take_for_markup():
    texts = [(path, command.help or "") for path, command in commands()]
    texts += [(path, help_of(item)) for path, command in commands() for item in command.params]
    assert [found for found in texts if re.search(r"\[[a-z/]", found[1])] == []
