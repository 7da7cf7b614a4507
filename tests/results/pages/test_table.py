"""Tests of the results table and its place in a README."""

from dataclasses import replace
from html import unescape
from typing import Any

import pytest

from results.pages.cells import TableError
from results.pages.record_sections import render_records
from results.pages.table import BEGIN, END, render_table, splice
from results.records.record import BestTrial
from tests import records
from tests.final_models import a_final
from trainables.config import TrialConfig

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


def test_a_row_has_ten_columns_and_links_to_the_section_that_says_the_rest() -> None:
    assert rows(render_table([a_record()])) == [
        {
            "date": "[2026-10-24 14:03+09:00](results/README.md#record-toy-pictures)",
            "space": "toy",
            "data": "pictures",
            "backbone": "resnet18",
            "train loss": "0.5000",
            "val loss": "0.6000",
            "val macro-F1": "0.8000",
            "test macro-F1 [95%]": "–",
            "key settings": "dropout .25, flip .5, crop .2, cutmix .3, adamw, lr 3.2e-4, 64 px, 840 pictures",
            "trials and time": "8: 3 finished, 4 stopped, 1 failed; 0:05:33",
        }
    ]


def test_a_row_shows_the_test_score_and_verdict_of_its_own_search_alone() -> None:
    (row,) = rows(render_table([a_record()], retrained=[a_final(), a_final(run="other", verdict="never")]))
    assert unescape(row["test macro-F1 [95%]"]) == (".650 [.550, .750]: better than the default by .050 [.010, .100]")
    (row,) = rows(render_table([a_record()], retrained=[a_final(run="other")]))
    assert row["test macro-F1 [95%]"] == "–"


def test_another_pick_than_the_best_trial_and_a_test_side_scored_again_are_said() -> None:
    score = {"value": 0.65, "low": None, "high": None}
    final = a_final(trial_id="default", times_scored=3, verdict="", test={**a_final().test, "macro_f1": score})
    (row,) = rows(render_table([a_record()], retrained=[final]))
    assert unescape(row["test macro-F1 [95%]"]) == ".650 [?, ?] by default, resnet18 (test side scored 3 times)"
    (row,) = rows(render_table([a_record()], retrained=[a_final(networks=4, verdict="as good")]))
    assert unescape(row["test macro-F1 [95%]"]) == ".650 [.550, .750] of 4 networks together: as good"


def test_a_page_elsewhere_is_linked_as_a_browser_wants_it() -> None:
    (row,) = rows(render_table([a_record()], page="../my results/README.md"))
    assert row["date"].endswith("](../my%20results/README.md#record-toy-pictures)")


def test_rows_are_sorted_by_space_and_then_by_descending_score() -> None:
    records = [a_record(0.1, space="b"), a_record(0.5, space="b"), a_record(0.2, space="a")]
    found = [(row["space"], row["val macro-F1"]) for row in rows(render_table(records))]
    assert found == [("a", "0.2000"), ("b", "0.5000"), ("b", "0.1000")]


def test_an_interrupted_search_says_how_many_trials_it_had_of_those_asked_for() -> None:
    counts = {"asked": 8, "finished": 1, "stopped": 0, "failed": 0, "total": 2}
    (row,) = rows(render_table([a_record(trials=counts)]))
    assert row["trials and time"].startswith("2 of 8: 1 finished, 1 interrupted;")


def test_trials_that_the_time_ended_are_as_many_as_there_were() -> None:
    counts = {"asked": 2, "finished": 0, "stopped": 0, "failed": 0, "total": 2}
    (row,) = rows(render_table([a_record(trials=counts)]))
    assert row["trials and time"].startswith("2: 2 ended with the time;")


def test_random_weights_and_a_split_by_picture_are_loud_in_the_row() -> None:
    flattered = {"pictures": 840, "split": {"split_by": "picture"}}
    for record, words in (
        (a_record(weights="random (none to be had)"), "**random init**"),
        (a_record(data=flattered), "**split by picture: flattered**"),
    ):
        assert rows(render_table([record]))[0]["key settings"].endswith(words)
    assert "**" not in rows(render_table([a_record()]))[0]["key settings"]


def test_what_sets_the_sizes_of_classes_right_is_a_key_setting() -> None:
    config = replace(a_record().config, loss="focal", sampling="sqrt")
    (row,) = rows(render_table([a_record(config=config)]))
    assert "lr 3.2e-4, focal 2, sqrt sampling, 64 px" in row["key settings"]


def test_weights_that_were_missing_are_explained_once_below_the_table() -> None:
    why = "no pretrained weights here (hub.example is out of reach: [Errno -2] Name or service not known) for net2"
    records = [
        a_record(space="a", weights_note=f"{why}: left out of the search"),
        a_record(space="b"),
        a_record(space="c", weights_note=f"{why}: left out of the search"),
    ]
    assert render_table(records).split("\n\n")[1:] == [
        "No pretrained weights for net2: this machine reached no model hub. The search left them out."
    ]


def test_no_augmentation_is_said_as_such() -> None:
    config = TrialConfig(backbone="resnet18", flip=0, crop=0)
    assert "no augmentation" in rows(render_table([a_record(config=config)]))[0]["key settings"]


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
    record = a_record(config=TrialConfig(backbone=name), weights_note=name)
    table = render_table([record, a_record(space="z")])
    assert len(table.splitlines()) == 6  # head, rule, two rows, blank, note
    row = rows(table)[0]
    assert " ".join(name.split()) == unescape(row["backbone"].replace("<wbr>", ""))
    assert not set("<>`*[]\\") & set(row["backbone"].replace("<wbr>", ""))
    readme = splice("# Title\n", table)
    assert splice(readme, table) == readme
    assert readme.count(END) == 1


def test_an_ordinary_name_stays_readable_in_the_source() -> None:
    config = TrialConfig(backbone="tf_efficientnet_lite0.in1k")
    assert "| tf_<wbr>efficientnet_<wbr>lite0.in1k |" in render_table([a_record(config=config)])


def test_no_piece_of_a_name_is_wider_than_its_column() -> None:
    name = "the-data-set-of-the-year/" + "x" * 60
    config = TrialConfig(backbone="vit_base_patch16_clip_quickgelu_224.openai_ft_in12k_in1k")
    record = a_record(space="a" * 40, config=config, data={"name": name, "pictures": 9})
    (row,) = rows(render_table([record]))
    for column in ("space", "data", "backbone"):
        assert max(map(len, row[column].split("<wbr>"))) <= 9
    assert "…" in row["data"] and name in render_records([record])


def test_dates_move_to_the_time_zone_asked_for() -> None:
    assert "[2026-10-24 01:03-04:00]" in render_table([a_record()], "America/New_York")


def test_local_is_the_zone_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC-3")
        time.tzset()
        assert "[2026-10-24 08:03+03:00]" in render_table([a_record()], "local")
        assert "[2026-10-24 14:03+09:00]" in render_table([a_record()])
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
