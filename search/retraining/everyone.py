"""After the honest score: the pick's recipe on all people, those of the test side too, as a submission wants it.

Nobody is left to score that model, so it has no score of its own: its description holds that of the model which had not
seen the test people, and says so.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from results.records.retrained import RetrainedModel
from results.records.run_folder import RunFolder
from results.statistics.bootstrap import Interval
from results.statistics.ranking import Ranked
from search.retraining.finals import save_final, train_jobs
from search.retraining.plan import Retraining, final_jobs
from search.retraining.replaced import EVERYONE
from search.stop import StopRequest
from search.terminal import say, say_result
from trainables.data.rows import SIDES


def train_everyone(
    retraining: Retraining, pick: Ranked, result: RetrainedModel, stop: StopRequest, console: Console
) -> bool:
    """Trains the pick on all sides for the epochs that were best, and saves it in the folder `everyone`.

    Args:
        retraining: What it started from.
        pick: The winner of the ranking.
        result: The honest score, of the pick trained without the test side.
        stop: Asked after every epoch.
        console: For the progress.

    Returns:
        Whether it is there; if not, a word to the user says why.
    """
    jobs = final_jobs(retraining, pick, SIDES, "everyone")
    if not train_jobs(retraining, jobs, f"all {result.units}, those of the test side too", stop, console):
        return False
    target = retraining.folder / EVERYONE
    shutil.rmtree(target, ignore_errors=True)
    save_final(retraining, jobs, target, _record(result, SIDES))
    seen = retraining.split.table.assign(split="train")  # evaluate.py then says that it has seen them
    replace(retraining.split, table=seen).save(RunFolder(target).split_csv)
    score = Interval.from_json(result.test["macro_f1"])
    say_result(
        console,
        f"Model of all {result.units}: {target}. It has no score of its own: {score} is that of the model in "
        f"{retraining.folder}, which had not seen the test {result.units}",
    )
    say(console, f"To classify pictures with it: python scripts/predict.py {_short(target)} --data DIR")
    return True


def _record(result: RetrainedModel, sides: Sequence[str]) -> dict[str, object]:
    """What the description says of how it was made, and whose the score is."""
    return {
        "run": result.run,
        "trial_id": result.trial_id,
        "epochs": result.epochs,
        "trained_on": list(sides),
        "score": None,
        "score_of_the_model_that_had_not_seen_the_test_people": {
            "weights_sha256": result.weights_sha256,
            "test": result.test,
        },
        "data": result.data,
        "split_hash": result.split_hash,
        "versions": result.versions,
    }


def _short(path: Path) -> str:
    """A path as it is typed from the current folder, where it lies below."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
