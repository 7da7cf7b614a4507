"""Tests of the export of records into a README, as a function and as a command."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import filelock
import pytest

from results import export
from results.export import (
    export_all,
    export_best,
    export_command,
    export_retrained,
    is_stale,
    keep_record,
    main,
)
from results.pages.cells import TableError
from results.pages.table import BEGIN, END
from results.records.record import load_record
from tests.final_models import a_final
from tests.records import a_record
from trainables.strict_json import RecordError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "results" / "export.py"


@pytest.fixture
def place(tmp_path: Path) -> dict[str, Any]:
    return {"records_dir": tmp_path / "results" / "best", "readme": tmp_path / "README.md"}


def test_what_re_training_found_is_shown_in_the_row_of_its_search(place: dict[str, Any]) -> None:
    export_best(a_record(), **place)
    said = export_retrained(a_final(), **place)
    assert said.endswith("toy.json holds the test score; the README shows it.")
    assert "better than the default" in place["readme"].read_text()
    assert not is_stale(**place)
    assert (place["records_dir"].parent / "retrained" / "toy.json").exists()


def test_what_re_training_found_for_an_older_search_is_kept_but_not_shown(place: dict[str, Any]) -> None:
    export_best(a_record(), **place)
    said = export_retrained(a_final(run="older"), **place)
    assert said.endswith("the table has another search of toy, or none, and leaves it out.")
    assert "better than the default" not in place["readme"].read_text()


def command(*arguments: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_an_export_writes_the_record_and_a_readme_that_was_missing(place: dict[str, Any]) -> None:
    said = export_best(a_record(), **place)
    assert "toy.json is new: macro-F1 0.8000 of run a." in said
    assert load_record(place["records_dir"] / "toy.json").report.val_macro_f1 == 0.8
    assert "| toy | pictures | resnet18 |" in place["readme"].read_text()
    assert not is_stale(**place)


def test_a_record_is_kept_where_its_page_cannot_be_written_and_the_command_names_what_is_not_usual(
    place: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    place["readme"].write_text(f"words\n{END}\n{BEGIN}\n")
    said = keep_record(a_record(), records_dir=place["records_dir"])
    assert "toy.json is new: macro-F1 0.8000 of run a." in said
    assert (place["records_dir"] / "toy.json").exists() and place["readme"].read_text().startswith("words")
    words = export_command(place["readme"], place["records_dir"], "Asia/Seoul").split()
    assert words[2:] == [
        *("--readme", str(place["readme"]), "--records", str(place["records_dir"]), "--timezone", "Asia/Seoul")
    ]
    monkeypatch.chdir(place["readme"].parent)
    assert "--" not in export_command(place["readme"], place["records_dir"], None)


def test_the_row_links_to_the_section_of_a_page_beside_the_records(place: dict[str, Any]) -> None:
    export_best(a_record(), **place)
    page = place["records_dir"].parent / "README.md"
    assert "](results/README.md#record-toy-pictures)" in place["readme"].read_text()
    assert '<a id="record-toy-pictures"></a>' in page.read_text()
    elsewhere = place["readme"].parent / "docs" / "table.md"
    elsewhere.parent.mkdir()
    export_all(records_dir=place["records_dir"], readme=elsewhere)
    assert "](../results/README.md#record-toy-pictures)" in elsewhere.read_text()


def test_the_page_of_records_keeps_what_stands_around_its_markers(place: dict[str, Any]) -> None:
    page = place["records_dir"].parent / "README.md"
    page.parent.mkdir()
    page.write_bytes(b"# Mine\r\ncaf\xe9\r\n")
    export_best(a_record(), **place)
    before = page.read_bytes()
    assert before.startswith(b"# Mine\r\ncaf\xe9\r\n\r\n## Every record in full\r\n")
    page.write_bytes(before + b"after\r\n")
    export_best(a_record(0.9, run="b"), **place)
    assert page.read_bytes().endswith(b"after\r\n")
    assert b"macro-F1 0.9000" in page.read_bytes()


def test_one_page_can_hold_the_table_and_the_records(place: dict[str, Any]) -> None:
    both = {"records_dir": place["records_dir"], "readme": place["records_dir"].parent / "README.md"}
    export_best(a_record(), **both)
    text = both["readme"].read_text()
    assert text.index("](README.md#record-toy-pictures)") < text.index('<a id="record-toy-pictures"></a>')
    assert not is_stale(**both)
    assert not export_all(**both)


@pytest.mark.parametrize("broken", ["README.md", "results/README.md"])
def test_broken_markers_in_either_page_leave_both_as_they_were(place: dict[str, Any], broken: str) -> None:
    export_best(a_record(), **place)
    pages = [place["readme"], place["records_dir"].parent / "README.md"]
    path = place["readme"].parent / broken
    path.write_text(path.read_text().replace(":end -->", ":end->"))
    before = [page.read_bytes() for page in pages]
    with pytest.raises(TableError, match=r"README\.md: the markers"):
        export_best(a_record(0.9, run="b"), **place)
    assert [page.read_bytes() for page in pages] == before


def test_check_names_the_page_that_is_stale(place: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    export_best(a_record(), **place)
    page = place["records_dir"].parent / "README.md"
    page.write_text(page.read_text().replace("resnet18", "resnet19"))
    assert main(readme=place["readme"], records=place["records_dir"], check=True) == 1
    assert capsys.readouterr().err.startswith(f"{page} is stale; run: python ")


def test_the_same_export_twice_changes_nothing(place: dict[str, Any]) -> None:
    export_best(a_record(), **place)
    before = place["readme"].read_bytes()
    export_best(a_record(), **place)
    assert place["readme"].read_bytes() == before
    assert not export_all(**place)


def test_a_higher_or_equal_score_on_the_same_split_takes_the_place(place: dict[str, Any]) -> None:
    export_best(a_record(), **place)
    assert "before it was 0.8000 of run a on the same split" in export_best(a_record(0.8, run="b"), **place)
    assert load_record(place["records_dir"] / "toy.json").run == "b"
    assert "0.9000" in export_best(a_record(0.9, run="c"), **place)
    assert "| 0.9000 |" in place["readme"].read_text()


def test_a_lower_score_on_the_same_split_does_not(place: dict[str, Any]) -> None:
    export_best(a_record(), **place)
    said = export_best(a_record(0.7, run="b"), **place)
    assert "keeps 0.8000 of run a, which is higher than macro-F1 0.7000 of run b on the same split" in said
    assert load_record(place["records_dir"] / "toy.json").run == "a"
    assert "| 0.8000 |" in place["readme"].read_text()


def test_a_lower_score_on_another_split_does(place: dict[str, Any]) -> None:
    export_best(a_record(), **place)
    assert "on another split" in export_best(a_record(0.7, run="b", split_hash="ba4"), **place)
    assert load_record(place["records_dir"] / "toy.json").run == "b"


def test_two_spaces_make_two_rows(place: dict[str, Any]) -> None:
    export_best(a_record(), **place)
    export_best(a_record(space="baseline"), **place)
    text = place["readme"].read_text()
    assert text.index("| baseline |") < text.index("| toy |")


def test_broken_markers_leave_the_readme_as_it_was_and_lose_no_record(place: dict[str, Any]) -> None:
    place["readme"].write_text(f"words\n{END}\n{BEGIN}\n")
    with pytest.raises(TableError, match=r"README\.md: the markers of the results are broken"):
        export_best(a_record(), **place)
    assert place["readme"].read_text() == f"words\n{END}\n{BEGIN}\n"
    assert (place["records_dir"] / "toy.json").exists()


def test_an_unknown_time_zone_is_found_before_anything_is_written(place: dict[str, Any]) -> None:
    with pytest.raises(TableError, match="no time zone"):
        export_best(a_record(), **place, timezone="Mars/Olympus")
    with pytest.raises(TableError, match=r"'Mars': a name looks like"):
        export_best(a_record(), **place, timezone="Mars")
    with pytest.raises(TableError, match=r"nearest is Europe/Paris"):
        export_best(a_record(), **place, timezone="Pariss")
    assert not place["readme"].exists()
    assert not place["records_dir"].exists()


def test_bytes_mode_and_link_of_the_readme_survive(place: dict[str, Any], tmp_path: Path) -> None:
    target = tmp_path / "docs" / "front.md"
    target.parent.mkdir()
    target.write_bytes(b"\xef\xbb\xbfcaf\xe9\r\n")
    target.chmod(0o640)
    place["readme"].symlink_to(target)
    export_best(a_record(), **place)
    assert place["readme"].is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    content = target.read_bytes()
    assert content.startswith(b"\xef\xbb\xbfcaf\xe9\r\n\r\n## Results\r\n")
    assert content.count(b"\n") == content.count(b"\r\n")


def test_a_record_in_the_file_of_another_space_is_refused(place: dict[str, Any]) -> None:
    export_best(a_record(), **place)
    (place["records_dir"] / "toy.json").rename(place["records_dir"] / "other.json")
    with pytest.raises(RecordError, match=r"other\.json: space is 'toy'"):
        export_all(**place)


def test_searches_that_export_at_once_all_land(place: dict[str, Any]) -> None:
    export_best(a_record(space="first"), **place)
    code = (
        "import sys, time; from dataclasses import replace; from pathlib import Path\n"
        "from results.export import export_best; from results.records.record import load_record\n"
        "records, readme = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "first = load_record(records / 'first.json')\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for number in range(10):\n"
        "    record = replace(first, space=f'{sys.argv[3]}-{number}')\n"
        "    export_best(record, records_dir=records, readme=readme)\n"
        "    time.sleep(0.01)  # lets another, which may have read the records before, write its table\n"
        "    assert f'| {record.space} |' in readme.read_text(), f'{record.space} was lost'\n"
    )
    spaces = ["second", "third", "fourth"]
    searches = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(place["records_dir"]), str(place["readme"]), space],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for space in spaces
    ]
    for search in searches:
        assert search.stdout is not None
        assert search.stdout.readline() == "ready\n"
    for search in searches:
        assert search.stdin is not None
        search.stdin.write("go\n")
        search.stdin.flush()
    for search in searches:
        search.communicate(timeout=60)
        assert search.returncode == 0
    text = place["readme"].read_text()
    assert all(f"| {space}-{number} |" in text for space in spaces for number in range(10))
    assert text.count(BEGIN) == 1
    assert not is_stale(**place)
    assert not list(place["readme"].parent.rglob("*.tmp-*"))


def test_an_export_waits_for_another_and_gives_up_without_writing(
    place: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "LOCK_SECONDS", 0.05)
    place["records_dir"].mkdir(parents=True)
    with filelock.FileLock(place["records_dir"] / ".lock"):
        with pytest.raises(TimeoutError):
            export_best(a_record(), **place)
        assert main(readme=place["readme"], records=place["records_dir"]) == 2
    assert "lock" in capsys.readouterr().err
    assert not place["readme"].exists()
    assert not list(place["records_dir"].glob("*.json"))


def test_check_exits_1_when_stale_and_the_command_it_names_mends_it(
    place: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    flags: dict[str, Any] = {
        "readme": place["readme"],
        "records": place["records_dir"],
        "timezone": "Asia/Seoul",
    }
    export_best(a_record(), **place)
    before = place["readme"].read_bytes()
    assert main(**flags, check=True) == 1
    assert place["readme"].read_bytes() == before
    words = capsys.readouterr().err.split("run: python ")[1].split()
    assert (Path.cwd() / words[0]).resolve() == SCRIPT
    assert command(*words[1:]).returncode == 0
    assert main(**flags, check=True) == 0


def test_check_of_a_missing_readme_is_stale(place: dict[str, Any]) -> None:
    assert main(readme=place["readme"], records=place["records_dir"], check=True) == 1
    assert not place["readme"].exists()


@pytest.mark.parametrize("check", [False, True])
def test_broken_files_exit_2_with_one_line(
    place: dict[str, Any], check: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    export_best(a_record(), **place)
    flags: dict[str, Any] = {"readme": place["readme"], "records": place["records_dir"], "check": check}
    broken = place["readme"].read_text().replace(END, "")
    place["readme"].write_text(broken)
    assert main(**flags) == 2
    said = capsys.readouterr().err
    assert "README.md: the markers" in said
    assert said.count("\n") == 1
    assert place["readme"].read_text() == broken

    (place["records_dir"] / "toy.json").write_text("{}")
    assert main(**flags) == 2
    said = capsys.readouterr().err
    assert "toy.json: missing key" in said
    assert said.count("\n") == 1
    assert place["readme"].read_text() == broken


def test_help_reads_well_from_another_folder_at_80_columns(tmp_path: Path) -> None:
    done = command("--help", cwd=tmp_path, COLUMNS="80")
    assert done.returncode == 0, done.stderr
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    for flag in ("--readme", "--records", "--timezone", "--check"):
        assert flag in done.stdout
    assert str(ROOT) not in done.stdout


def test_the_defaults_are_those_of_the_folder_one_stands_in(tmp_path: Path) -> None:
    there = command(cwd=tmp_path)
    assert there.returncode == 0, there.stderr
    assert (tmp_path / "README.md").is_file()
    assert (tmp_path / "results" / "README.md").is_file()
    assert command("--check", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("newer", [{"date": "2026-10-25T14:03:00+09:00"}, {"split_hash": "f01"}])
def test_a_search_does_not_have_the_test_score_of_an_older_one_of_its_name(
    place: dict[str, Any], newer: dict[str, str]
) -> None:
    export_best(a_record(), **place)
    export_retrained(a_final(), **place)
    export_best(a_record(), **place)
    assert "better than the default" in place["readme"].read_text(), "resumed: its date is when it began"
    export_best(a_record(0.9, **newer), **place)
    page = (place["records_dir"].parent / "README.md").read_text()
    assert "better than the default" not in place["readme"].read_text() + page
    later = a_final(verdict="as good as the default", **{"date": "2026-10-26T14:03:00+09:00", **newer_split(newer)})
    assert "the README shows it" in export_retrained(later, **place)
    assert "as good as the default" in place["readme"].read_text()


def newer_split(newer: dict[str, str]) -> dict[str, str]:
    return {"split_hash": newer["split_hash"]} if "split_hash" in newer else {}


def test_runs_of_one_name_on_two_data_sets_have_a_section_each(place: dict[str, Any]) -> None:
    for source, split_hash in (("/x/cats", "f00"), ("/x/dogs", "f01")):
        export_best(a_record(split_hash=split_hash, data={"pictures": 8, "source": source}), **place)
    readme = place["readme"].read_text()
    assert "#record-toy-cats" in readme and "#record-toy-dogs" in readme


def test_a_folder_of_records_that_is_not_there_empties_no_table(
    place: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    export_best(a_record(), **place)
    before = place["readme"].read_bytes()
    mistyped = place["records_dir"].with_name("bst")
    assert main(readme=place["readme"], records=mistyped) == 2
    assert "bst: there is no such folder of records" in capsys.readouterr().err
    assert place["readme"].read_bytes() == before and not mistyped.exists()
