"""Dockerfiles as people write them, and what is said of those that cannot be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.builder.dockerfile import KNOWN, DockerfileError, Instruction, parse


def instructions(text: str) -> list[Instruction]:
    return list(parse(f"FROM scratch\n{text}").stages[0].instructions)


def one(text: str) -> Instruction:
    (found,) = instructions(text)
    return found


def test_stages_with_names_and_numbers():
    found = parse("ARG V=1\nFROM a:${V} AS Build\nRUN x\nFROM b\nfrom build as last\n", "D")
    assert [(stage.base.text, stage.name) for stage in found.stages] == [
        ("a:${V}", "build"),
        ("b", ""),
        ("build", "last"),
    ]
    assert [each.text for each in found.arguments] == ["V=1"]
    assert found.stages[0].instructions[0].line == 3


def test_continued_lines_comments_and_empty_lines():
    found = one("RUN a \\\n\n# a comment\n    && b \\  \n  && c\n")
    assert found.text == "a     && b   && c"
    assert found.line == 2


def test_an_escaped_escape_does_not_continue():
    assert [each.text for each in instructions("RUN a \\\\\nRUN b")] == ["a \\\\", "b"]


def test_another_escape_character():
    found = parse("# escape=`\nFROM a\nRUN x `\n  y\nCOPY a\\ b c\\\nENV A=1\n").stages[0].instructions
    assert [each.text for each in found] == ["x   y", "a\\ b c\\", "A=1"]
    assert {each.escape for each in found} == {"`"}


def test_directives_count_only_at_the_top():
    assert parse("# syntax=docker/dockerfile:1\n# escape=`\nFROM a\n").stages[0].base.escape == "`"
    assert parse("# just=a comment\n# escape=`\nFROM a\n").stages[0].base.escape == "\\"


def test_windows_line_ends_and_a_byte_order_mark():
    assert [each.text for each in parse("\ufeffFROM a\r\nRUN x \\\r\n y\r\n").stages[0].instructions] == ["x  y"]


def test_the_json_form_and_what_only_looks_like_it():
    assert one('CMD ["a", "b c"]').words == ("a", "b c")
    assert one("CMD [ -f x ] && y").words is None
    assert one('CMD ["a", 1]').words is None
    assert one('ENV ["a"]').words is None


def test_flags():
    found = one("COPY --from=build --chown=1:2 --link a b")
    assert found.flags == (("from", "build"), ("chown", "1:2"), ("link", "true"))
    assert found.text == "a b"
    assert found.flag("chmod") == ""
    assert found.source == "COPY --from=build --chown=1:2 --link=true a b"
    assert one("RUN --mount=type=cache,target=/x pip --quiet").text == "pip --quiet"
    assert one("CMD --not-a-flag").text == "--not-a-flag"


def test_here_documents():
    found = instructions(
        'RUN <<EOF\necho $x\n\n# not a comment\nEOF\nCOPY <<-"A" <<B /d/\n\t\tone\n\tA\ntwo\nB\nRUN after'
    )
    assert [each.name for each in found] == ["RUN", "COPY", "RUN"]
    assert found[0].heredocs[0].content == "echo $x\n\n# not a comment\n"
    assert [(each.name, each.content, each.expand) for each in found[1].heredocs] == [
        ("A", "one\n", False),
        ("B", "two\n", True),
    ]


@pytest.mark.parametrize("text", ["RUN echo $((1<<2))", "RUN cat <<<word", "RUN a<<b", "RUN echo 1 << 2"])
def test_what_is_no_here_document(text):
    assert one(text).heredocs == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "D: no FROM; begin with FROM wherry.dev/host:v1 or another image"),
        ("# only a comment", "D: no FROM"),
        ("RUN x", "D:1: RUN before the first FROM: only ARG may stand there"),
        ("FROM a\nRUNN x", "D:2: unknown instruction: RUNN; known are ADD, ARG, CMD"),
        ("FROM a\n\n\nRUN", "D:4: RUN requires at least one argument"),
        ("FROM a\nRUN \\\n", "D:2: RUN requires at least one argument"),
        ("FROM a b", "D:1: FROM requires either one argument, or three"),
        ("FROM a AS 1x", "D:1: '1x' is not a stage name"),
        ("FROM a\nCOPY --form=b x y", "D:2: unknown flag --form for COPY; known are --chmod, --chown, --from, --link"),
        ("FROM a\nCOPY --parents x y", "D:2: unknown flag --parents"),
        ("FROM a\nONBUILD RUN x", "D:2: ONBUILD is not supported: write the instruction into"),
        ("FROM a\nMAINTAINER me", "D:2: MAINTAINER is not supported: it is deprecated"),
        ("FROM a\nRUN <<EOF\nx\n", "D:2: heredoc EOF begins here and does not end"),
        ("# escape=x\nFROM a", "D:1: escape=x: must be"),
    ],
)
def test_errors_have_file_and_line(text, message):
    with pytest.raises(DockerfileError) as caught:
        parse(text, "D")
    assert str(caught.value).startswith(message)


_lines = st.lists(
    st.one_of(
        st.builds(" ".join, st.tuples(st.sampled_from([*sorted(KNOWN), "run", "X"]), st.text(max_size=12))),
        st.sampled_from(["", "# c", "\\", "  && x \\", "RUN <<E", "E", "FROM a AS b", "# escape=`"]),
    ),
    max_size=8,
)


@given(_lines)
def test_any_text_is_read_or_refused_with_a_line(lines):
    text = "\n".join(lines)
    try:
        found = parse(text, "D")
    except DockerfileError as error:
        message = str(error)
    else:
        message = "D:"
        lines_named = [each.line for stage in found.stages for each in (stage.base, *stage.instructions)]
        assert lines_named == sorted(set(lines_named))
        assert all(1 <= line <= text.count("\n") + 1 for line in lines_named)
    assert message.startswith("D:")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["RUN", "ENV", "LABEL"]), st.from_regex(r"[a-z]=[a-z0-9 ]{1,8}[a-z]", fullmatch=True)
        ),
        max_size=6,
    )
)
def test_what_was_written_is_what_is_read(written):
    text = "FROM scratch\n" + "\n".join(f"{name} {rest}" for name, rest in written)
    found = parse(text).stages[0].instructions
    assert [(each.name, each.text) for each in found] == written
    assert [each.line for each in found] == list(range(2, len(written) + 2))
