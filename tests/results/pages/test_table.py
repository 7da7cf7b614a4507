"""Tests of the results table and its place in a README."""

from dataclasses import fields, replace
from html import unescape
from typing import Any

import pytest

from results.pages.table import BEGIN, END, TableError, render_table, splice
from results.records.record import BestTrial
from tests import records
from tests.final_models import a_final
from trainables.config import CHOICES, RANGES, TrialConfig

TABLE = "| a | b |\n| --- | --- |\n| 1 | 2 |"


def a_record(score: float = 0.8, **changes: Any) -> BestTrial:
    """With something to say in every column."""
    record = records.a_record(
        date="2026-10-24T14:03:59.123+09:00",
        config=TrialConfig(backbone="resnet18", dropout=0.25, cutmix=0.3, lr=3.2e-4, weight_decay=0.05),
        report=records.a_report(score=score, seconds=2.5),
        task=records.a_task(image_size=64),
        weights="package resnet18 1.0",
        wall_seconds=333.4,
        device_seconds=4000,
        seed=11,
        commit="0123456789abcdef0123456789abcdef01234567+dirty",
    )
    return replace(record, **changes)


def rows(table: str) -> list[dict[str, str]]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n\n")[0].split("\n")]
    assert {len(row) for row in cells} == {len(cells[0])}, "every row has a cell for every column"
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def test_a_row_says_all_there_is_to_say() -> None:
    assert rows(render_table([a_record()])) == [
        {
            "date": "2026-10-24 14:03+09:00",
            "space": "toy",
            "backbone": "resnet18",
            "train loss": "0.5000",
            "val loss": "0.6000",
            "val macro-F1 (best)": "0.8000",
            "test macro-F1 [95%]": "–",
            "against the default": "–",
            "epoch (best/trained)": "3/4",
            "dropout": ".25",
            "augmentation": "flip .5, crop .2, cutmix .3",
            "other hyper-parameters": "adamw, lr 3.2e-4, wd .05, smoothing 0, warm-up .1, batch 64, 64 px",
            "pictures": "840",
            "trials (finished/stopped/failed)": "8 (3/4/1)",
            "wall / device time (h:mm:ss)": "0:05:33 / 1:06:40",
            "hardware": "2 CPU cores",
            "seed": "11",
            "weights": "package resnet18 1.0",
            "commit": "01234567+dirty",
        }
    ]


def test_a_row_shows_the_test_score_of_its_own_search_alone() -> None:
    (row,) = rows(render_table([a_record()], retrained=[a_final(), a_final(run="other", verdict="never")]))
    assert row["test macro-F1 [95%]"] == ".650 &#91;.550, .750&#93;"
    assert row["against the default"] == "better than the default by .050 &#91;.010, .100&#93;"
    (row,) = rows(render_table([a_record()], retrained=[a_final(run="other")]))
    assert row["test macro-F1 [95%]"] == "–"


def test_another_pick_than_the_best_trial_and_a_test_side_scored_again_are_said() -> None:
    score = {"value": 0.65, "low": None, "high": None}
    final = a_final(trial_id="default", times_scored=3, test={**a_final().test, "macro_f1": score})
    (row,) = rows(render_table([a_record()], retrained=[final]))
    assert row["test macro-F1 [95%]"] == ".650 &#91;?, ?&#93; by default, resnet18 (test side scored 3 times)"


def test_rows_are_sorted_by_space_and_then_by_descending_score() -> None:
    records = [a_record(0.1, space="b"), a_record(0.5, space="b"), a_record(0.2, space="a")]
    found = [(row["space"], row["val macro-F1 (best)"]) for row in rows(render_table(records))]
    assert found == [("a", "0.2000"), ("b", "0.5000"), ("b", "0.1000")]


def test_an_interrupted_search_says_how_many_trials_it_had_of_those_asked_for() -> None:
    counts = {"asked": 8, "finished": 1, "stopped": 0, "failed": 0, "total": 2}
    assert rows(render_table([a_record(trials=counts)]))[0]["trials (finished/stopped/failed)"] == "2 of 8 (1/0/0)"


def test_missing_weights_are_loud_in_the_row_and_explained_below_it() -> None:
    records = [
        a_record(space="a", weights="random", weights_note="Nothing for a."),
        a_record(space="b"),
        a_record(space="c", weights_note="No weights for net2: left out."),
        a_record(space="d", weights="random"),
        a_record(space="e", weights="random", weights_note="Nothing for a."),
    ]
    table = render_table(records)
    assert [row["weights"] for row in rows(table)] == [
        "**random init** **(note 1)**",
        "package resnet18 1.0",
        "package resnet18 1.0 **(note 2)**",
        "**random init**",
        "**random init** **(note 1)**",
    ]
    assert table.split("\n\n")[1:] == [
        "**Note 1:** Nothing for a.",
        "**Note 2:** No weights for net2: left out.",
    ]


def test_no_augmentation_is_said_as_none() -> None:
    config = TrialConfig(backbone="resnet18", flip=0, crop=0)
    assert rows(render_table([a_record(config=config)]))[0]["augmentation"] == "none"


UNDER = {
    "effective_beta": {"loss": "effective_number"},
    "focal_gamma": {"loss": "focal"},
    "logit_tau": {"loss": "logit_adjusted"},
    "policy_magnitude": {"policy": "rand"},
}
"""What some knobs only matter under."""


@pytest.mark.parametrize("knob", [field.name for field in fields(TrialConfig)])
def test_a_row_tells_any_two_configurations_apart(knob: str) -> None:
    before = TrialConfig(backbone="resnet18", **UNDER.get(knob, {}))
    low, high = RANGES.get(knob, (0.1, 0.2))
    others = CHOICES.get(knob, ("resnet34",) if knob == "backbone" else (low, high))
    seen = {str(rows(render_table([a_record(config=replace(before, **{knob: value}))]))) for value in others}
    assert len(seen) == len(others)


def test_what_is_on_is_said_in_the_words_of_the_field() -> None:
    knobs = {"ema": 0.998, "drop_path": 0.1, "layer_decay": 0.75, "loss": "effective_number", "effective_beta": 0.9999}
    config = TrialConfig(backbone="resnet18", policy="rand", sampling="sqrt", formulation="heads", **knobs)
    (row,) = rows(render_table([a_record(config=config)]))
    assert row["augmentation"] == "flip .5, crop .2, RandAugment 9"
    assert (
        "drop path .1, layer decay .75, EMA .998, effective number .9999, sqrt sampling, heads, batch 64"
        in row["other hyper-parameters"]
    )


@pytest.mark.parametrize(
    "name",
    [
        "a|b",
        "a`b",
        "``a",
        "a\nb",
        "a\r\n\r\nb",
        END,
        BEGIN,
        "<b>",
        "a\\|b",
        "*a*",
        "__a__",
        "[a](b)",
        "a\u2028b",
        "&#124;",
    ],
)
def test_no_name_can_break_the_table(name: str) -> None:
    record = a_record(config=TrialConfig(backbone=name), hardware=name, weights=name, weights_note=name, commit=name)
    table = render_table([record, a_record(space="z")])
    assert len(table.splitlines()) == 6  # head, rule, two rows, blank, note
    row = rows(table)[0]
    assert " ".join(name.split()) == unescape(row["backbone"]) == unescape(row["hardware"])
    assert not set("<>`*[]\\") & set(row["backbone"])
    readme = splice("# Title\n", table)
    assert splice(readme, table) == readme
    assert readme.count(END) == 1


def test_an_ordinary_name_stays_readable_in_the_source() -> None:
    config = TrialConfig(backbone="tf_efficientnet_lite0.in1k")
    assert "| tf_efficientnet_lite0.in1k |" in render_table([a_record(config=config)])


def test_dates_move_to_the_time_zone_asked_for() -> None:
    assert rows(render_table([a_record()], "America/New_York"))[0]["date (America/New_York)"] == (
        "2026-10-24 01:03-04:00"
    )


def test_local_is_the_zone_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC-3")
        time.tzset()
        assert rows(render_table([a_record()], "local"))[0]["date"] == "2026-10-24 08:03+03:00"
        assert rows(render_table([a_record()]))[0]["date"] == "2026-10-24 14:03+09:00"
    time.tzset()


@pytest.mark.parametrize(
    ("name", "nearest"), [("Asia/Soul", "Asia/Seoul"), ("berlin", "Europe/Berlin"), ("", ""), ("../UTC", "")]
)
def test_an_unknown_time_zone_is_an_error_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(TableError, match=f"no time zone {name!r}: .*{nearest}"):
        render_table([], name)


def test_a_readme_without_markers_gets_them_at_its_end() -> None:
    assert splice("# Title\n", TABLE) == f"# Title\n\n## Results\n\n{BEGIN}\n\n{TABLE}\n\n{END}\n"
    assert splice("# Title", TABLE) == splice("# Title\n", TABLE)
    assert splice("", TABLE) == f"## Results\n\n{BEGIN}\n\n{TABLE}\n\n{END}\n"


def test_a_readme_that_ends_in_the_heading_gets_no_second_one() -> None:
    assert splice("# Title\n\n## Results\n\nWords.\n", TABLE).count("## Results") == 1
    assert splice("## Results\n\n## License\n", TABLE).count("## Results") == 2


@pytest.mark.parametrize(
    "before",
    [
        "",
        "# Title",
        "# Title\n\ntrailing  \n\n\n",
        "# Title\r\n\r\nWords\r\n",
        "mixed\r\nline\nends\n",
        "\ufeff# Title\n",
        "form\x0cfeed\x85and\u2028more\n",
        f"In code `{BEGIN}` is text, and ``{END}`` too.\n",
        f"```md\n{BEGIN}\n```\n",
        f"~~~~\n```\n~~~\n{END}\n~~~~\n",
        f"    {BEGIN}\n",
    ],
)
@pytest.mark.parametrize("after", ["", "\n## License\r\nMIT", f"\n```\n{BEGIN}\n```\n", "\n```\nnever closed\n"])
def test_splice_twice_equals_once_and_leaves_all_else_untouched(before: str, after: str) -> None:
    readme = splice(before, TABLE) + after
    assert readme.startswith(before)
    assert splice(readme, TABLE) == readme
    other = splice(readme, "other")
    assert other != readme
    head, tail = readme.split(TABLE.split("\n")[0])[0], readme.split("| 1 | 2 |")[1]
    assert other == head + "other" + tail
    assert splice(other, TABLE).replace("\r\n", "\n") == readme.replace("\r\n", "\n")
    assert splice(other, TABLE) == readme


def test_crlf_line_ends_are_kept() -> None:
    readme = splice("# Title\r\n", TABLE)
    assert readme.count("\n") == readme.count("\r\n")
    readme = splice(f"unix\n{BEGIN}\r\nold\n{END}\nunix\n", TABLE)
    assert readme == f"unix\n{BEGIN}\r\n\r\n" + TABLE.replace("\n", "\r\n") + f"\r\n\r\n{END}\nunix\n"


@pytest.mark.parametrize(
    "readme",
    [
        f"{BEGIN}\n",
        f"{END}\n",
        f"{END}\n{BEGIN}\n",
        f"{BEGIN}\n{BEGIN}\n{END}\n",
        f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n",
        f"{BEGIN}\n{END}\n{END}\n",
        f"{BEGIN} {END}\n",
        f"words {BEGIN}\n{END}\n",
        f"{BEGIN}\n```\n{END}\n",
        f"{BEGIN}\n```\n{END}\n```\n",
        f"`` ` ``{BEGIN}`\n{END}\n",
        "```\nnever closed\n",
    ],
)
def test_broken_markers_are_refused_with_the_line_and_a_way_out(readme: str) -> None:
    with pytest.raises(TableError, match=r"line \d.*: (leave|give|close)"):
        splice(readme, TABLE)


def test_without_records_the_table_says_how_to_get_one() -> None:
    assert "python search/run.py" in render_table([])
