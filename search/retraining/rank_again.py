"""The first stage of a re-training: the best of the search are trained anew and ranked by their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory
from results.statistics.ranking import Ranked, rank, repeats_in_words
from search.retraining.durations import Durations, Plan
from search.retraining.pick import picked_first
from search.retraining.plan import Retraining, fold_path, ranking_jobs, run
from search.retraining.replaced import say_replaced
from search.retraining.trainings import Job
from search.stop import StopRequest
from search.terminal import is_quiet, say, warn
from trainables.data.folds import split_into_folds


def rank_again(durations: Durations, stop: StopRequest, console: Console) -> tuple[Retraining, list[Ranked]] | None:
    """Trains every candidate with every seed, or in every fold, and ranks them by their mean.

    In a time budget it ends with the last seed after which there is time for the final trainings, and leaves of these
    as many as there is time for.

    Returns:
        The re-training with the seeds that it came to, and the ranking, the pick first. None, with a word to the user,
        if that was interrupted or nothing can be ranked.
    """
    retraining = durations.retraining
    listed, folds = retraining.candidates, retraining.folds
    names = ", ".join(f"{candidate.name} ({candidate.config.backbone})" for candidate in listed)
    planned = durations.planned or Plan(listed, len(retraining.seeds), retraining.final_seeds)
    how = asked = repeats_in_words(retraining.seeds, folds)
    if planned.num_rounds < len(retraining.seeds):
        how = f"{planned.num_rounds} of {asked}"
    say(console, f"Ranks {names} over {how}, {retraining.task.epochs} epochs each, in {retraining.folder}")
    picks = [retraining.pick] if retraining.pick is not None else [candidate.name for candidate in listed]
    is_said = durations.ranks_only or say_replaced(retraining.folder, picks, console)
    if folds is not None:
        for number, fold in enumerate(split_into_folds(retraining.split, folds, retraining.seeds[0])):
            fold.save(fold_path(retraining, number))
    jobs = [ranking_jobs(retraining, candidate) for candidate in durations.long_first(listed)]
    rounds = list(zip(*jobs, strict=True))  # one of each, then the next
    done, num_rounds = _run_in_time(durations, rounds, stop, console)
    if stop.reason is not None:
        warn(console, f"{stop.reason}: the same command goes on where this ended")
        return None
    if num_rounds != planned.num_rounds:
        say(console, _room(num_rounds, planned.num_rounds, asked))
    retraining = replace(retraining, seeds=retraining.seeds[:num_rounds])
    ranking, failed = _rank(retraining, done)
    for name, reason in failed.items():
        warn(console, f"{name} is left out, a training of it failed: {reason}")
    if not ranking:
        warn(console, f"no candidate could be trained. What happened: {RunFolder(retraining.folder).events_jsonl}")
        return None
    if not is_quiet(console):
        console.print(_table(ranking, repeats_in_words(retraining.seeds, folds)))
    ranking = _picked_first(retraining, ranking)
    if not ranking:
        return None
    if not is_said:
        say_replaced(retraining.folder, [ranking[0].candidate.name], console)
    fitting = durations.final_seeds_in_time(done.values(), ranking)
    if fitting != planned.final_seeds and not durations.ranks_only:
        say(console, _room(fitting, planned.final_seeds, f"{retraining.final_seeds} final trainings"))
    return replace(retraining, final_seeds=fitting), ranking


def _room(found: int, planned: int, asked: str) -> str:
    """For how many there is time, where others were planned."""
    return f"There is time for {found} of {asked}{' after all' * (found > planned)}"


def _rank(retraining: Retraining, done: Mapping[str, TrialHistory]) -> tuple[list[Ranked], dict[str, str]]:
    """`rank` of the trainings that are done."""
    trainings = {
        candidate.name: [done[job.name] for job in ranking_jobs(retraining, candidate) if job.name in done]
        for candidate in retraining.candidates
    }
    return rank(retraining.candidates, trainings)


def _picked_first(retraining: Retraining, ranking: list[Ranked]) -> list[Ranked]:
    """The ranking with what was picked before all others; empty if it could not be trained again."""
    return ranking if retraining.pick is None else picked_first(ranking, retraining.pick)


def _run_in_time(
    durations: Durations, rounds: Sequence[Sequence[Job]], stop: StopRequest, console: Console
) -> tuple[dict[str, TrialHistory], int]:
    """What became of the trainings, and how many rounds there was time for; all at once where there is no budget."""
    retraining = durations.retraining
    if not durations.has_rounds:
        return run(retraining, [job for each in rounds for job in each], stop, console), len(rounds)
    done: dict[str, TrialHistory] = {}
    for number, jobs in enumerate(rounds):
        if number:
            ranking = _picked_first(retraining, _rank(retraining, done)[0])
            if not durations.have_time_for_round(done.values(), ranking, number):
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
