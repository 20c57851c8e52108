"""A configuration said in instructions; engines judge the quoting in the acceptance tests."""

import pytest

from backup.engine.instructions import instructions


def lines(**config):
    return list(instructions(config).lines)


def unsaid(**config):
    return list(instructions(config).unsaid)


def test_an_empty_configuration_says_nothing():
    said = instructions({"Env": None, "Labels": {}, "Cmd": None, "Entrypoint": [], "User": ""})

    assert (said.lines, said.unsaid, said.named) == ((), (), ())


def test_variables_and_quotes_stay_as_they_are():
    assert lines(Env=['A=$X "q" \\n'], User="$U") == ['ENV A="\\$X \\"q\\" \\\\n"', "USER \\$U"]


def test_an_entrypoint_comes_before_the_command_that_it_would_forget():
    assert lines(Cmd=["a b"], Entrypoint=["/e"]) == ['ENTRYPOINT ["/e"]', 'CMD ["a b"]']


def test_a_check_of_health_keeps_its_times():
    check = {"Test": ["CMD", "x"], "Interval": 7_000_000_000, "Timeout": 0, "Retries": 3}

    assert lines(Healthcheck=check) == ['HEALTHCHECK --interval=7000000000ns --retries=3 CMD ["x"]']
    assert lines(Healthcheck={"Test": ["NONE"]}) == ["HEALTHCHECK NONE"]
    assert lines(Healthcheck={"Test": []}) == []


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"Env": ["A=x\ny"]}, "ENV A"),
        ({"Env": ["A B=x"]}, "ENV A B"),
        ({"Labels": {"a=b": "c"}}, "LABEL a=b"),
        ({"Labels": {"a": "c\nd"}}, "LABEL a"),
        ({"WorkingDir": "/x\\"}, "WORKDIR"),
        ({"WorkingDir": "/x "}, "WORKDIR"),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "a\nb"]}}, "HEALTHCHECK"),
        ({"Healthcheck": {"Test": ["CMD-SHELL", '["a"]']}}, "HEALTHCHECK"),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "a \\"]}}, "HEALTHCHECK"),
        ({"OnBuild": ["RUN a\\"]}, "ONBUILD"),
        ({"Shell": ["/bin/bash", "-c"]}, "SHELL"),
        ({"Labels": {"com.docker.compose.project": "p"}}, "labels of its compose project"),
    ],
)
def test_what_no_line_can_say_is_named(config, what):
    assert unsaid(**config) == [what]
    assert lines(**config) == []


def test_names_are_told_and_values_are_not():
    said = instructions({"Env": ["A=secret", "B=secret"], "Cmd": ["secret"], "User": "u"})

    assert said.named == ("ENV A, B", "USER", "CMD")
