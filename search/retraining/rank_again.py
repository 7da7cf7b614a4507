"""The first stage of a re-training: the best of the search are trained anew and ranked by their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory
from results.statistics.ranking import Ranked, rank, repeats_in_words
from search.retraining.durations import Durations
from search.retraining.pick import picked_first
from search.retraining.plan import Retraining, fold_path, ranking_jobs, run
from search.retraining.trainings import Job
from search.stop import StopRequest
from search.terminal import is_quiet, say, warn
from trainables.data.folds import split_into_folds


def rank_again(durations: Durations, stop: StopRequest, console: Console) -> tuple[Retraining, list[Ranked]] | None:
    """Trains every candidate with every seed, or in every fold, and ranks them by their mean.

    In a time budget it ends with the last seed after which there is time for the final trainings.

    Returns:
        The re-training with the seeds that it came to, and the ranking, the pick first. None, with a word to the user,
        if that was interrupted or nothing can be ranked.
    """
    retraining = durations.retraining
    listed, folds = retraining.candidates, retraining.folds
    names = ", ".join(f"{candidate.name} ({candidate.config.backbone})" for candidate in listed)
    how, epochs = repeats_in_words(retraining.seeds, folds), retraining.task.epochs
    say(console, f"Ranks {names} over {how}, {epochs} epochs each, in {retraining.folder}")
    if folds is not None:
        for number, fold in enumerate(split_into_folds(retraining.split, folds, retraining.seeds[0])):
            fold.save(fold_path(retraining, number))
    jobs = [ranking_jobs(retraining, candidate) for candidate in durations.long_first(listed)]
    rounds = list(zip(*jobs, strict=True))  # one of each, then the next
    done, num_rounds = _run_in_time(durations, rounds, stop, console)
    if stop.reason is not None:
        warn(console, f"{stop.reason}: the same command goes on where this ended")
        return None
    if num_rounds < len(rounds):
        say(console, f"The time budget has room for {num_rounds} of {how}")
        retraining = replace(retraining, seeds=retraining.seeds[:num_rounds])
    if (fitting := durations.final_seeds_in_time(done.values())) < retraining.final_seeds:
        say(console, f"The time budget has room for {fitting} of {retraining.final_seeds} final trainings")
        retraining = replace(retraining, final_seeds=fitting)
    trainings = {
        candidate.name: [done[job.name] for job in ranking_jobs(retraining, candidate) if job.name in done]
        for candidate in listed
    }
    ranking, failed = rank(listed, trainings)
    for name, reason in failed.items():
        warn(console, f"{name} is left out, a training of it failed: {reason}")
    if not ranking:
        warn(console, f"no candidate could be trained. What happened: {RunFolder(retraining.folder).events_jsonl}")
        return None
    if not is_quiet(console):
        console.print(_table(ranking, repeats_in_words(retraining.seeds, folds)))
    if retraining.pick is not None:
        ranking = picked_first(ranking, retraining.pick)
    return (retraining, ranking) if ranking else None


def _run_in_time(
    durations: Durations, rounds: Sequence[Sequence[Job]], stop: StopRequest, console: Console
) -> tuple[dict[str, TrialHistory], int]:
    """What became of the trainings, and how many rounds there was time for; all at once where there is no budget."""
    retraining = durations.retraining
    if not durations.have_end or retraining.folds is not None:  # folds answer for all people, or for none
        return run(retraining, [job for each in rounds for job in each], stop, console), len(rounds)
    done: dict[str, TrialHistory] = {}
    for number, jobs in enumerate(rounds):
        if number and not durations.have_time_for_round(done.values()):
            return done, number
        done |= run(retraining, jobs, stop, console)
        if stop.reason is not None:
            break
    return done, len(rounds)


def _table(ranking: Sequence[Ranked], how: str) -> Table:
    table = Table("trial", "backbone", "search", f"mean of {how}", "std", "epoch", box=None)
    for ranked in ranking:
        search = ranked.candidate.search_score
        table.add_row(
            ranked.candidate.name,
            ranked.candidate.config.backbone,
            "–" if search is None else f"{search:.4f}",
            f"{ranked.mean:.4f}",
            f"{ranked.std:.4f}",
            str(ranked.epoch),
        )
    return table
