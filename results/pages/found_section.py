"""The report's section on what the best score is worth, and on the model that the search left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from results.pages.cells import interval, three
from results.records.found import MODEL_OF_BEFORE, Found, is_model_of, load_found
from results.records.record import BestTrial
from results.records.run_folder import RunFolder
from results.statistics.ensemble import LEAST_GAIN
from trainables.saved.model_description import DESCRIPTION
from trainables.second_view import IN_WORDS
from trainables.strict_json import RecordError


def found_section(
    folder: RunFolder, units: str, best: BestTrial | None, *, is_being_saved: bool = False
) -> dict[str, Any]:
    """What `found.html.j2` shows; nothing for a run that found nothing, or from before this was kept.

    Args:
        folder: Of the run.
        units: `SearchRun.units`.
        best: The best trial by now: a search that went on may have been killed before it judged that.
        is_being_saved: Whether the model is saved meanwhile.
    """
    try:
        found = load_found(folder.found_json)
    except (RecordError, OSError) as error:
        return {"found": None, "found_words": [f"What the search found cannot be shown: {error}"]}
    if found is None:
        return {"found": None, "found_words": []}
    is_saved = not found.members or is_being_saved or is_model_of(found, folder)
    return {
        "found": found,
        "found_words": _worth(found, units, best),
        "found_members": [
            (each["trial_id"], each["backbone"], f"{each['share']:.0%}", f"{_own_score(each):.4f}")
            for each in found.members
            if is_saved
        ],
        "found_methods": _methods(found, is_saved=is_saved),
        "found_model": _model(found, units) if is_saved else [_other_model(folder)],
    }


def _own_score(member: Mapping[str, Any]) -> float:
    return member["val_score"] if "val_score" in member else member["val_macro_f1"]  # of before there were others


def _worth(found: Found, units: str, best: BestTrial | None) -> list[str]:
    is_best = best is not None and best.trial_id == found.trial_id
    earlier = f"trial {found.trial_id}, the best when the search last ended"
    if found.val_interval is None or found.val_corrected is None:
        whose = "the best trial" if is_best else f"{earlier},"
        return [f"The answers of {whose} were not kept, so what its score is worth is not known."]
    return [
        f"{'The' if is_best else f'Of {earlier}: the'} best validation score is {interval(found.val_interval)} (95% "
        f"interval over {found.people} {units} of the validation side). It was picked for being the "
        f"best of {found.epochs} epoch{'s' * (found.epochs > 1)} of {found.trials} trial{'s' * (found.trials > 1)}. "
        f"Picked on other {units} than those it is scored on, it comes to {interval(found.val_corrected)}: that is "
        f"what to expect of new {units}.",
    ]


def _methods(found: Found, *, is_saved: bool) -> list[tuple[str, str, str]]:
    """Each way of answering, its score on people who did not choose, and whether it is what the model does."""
    if found.selection is None:
        return []
    taken = found.selection["method"] if is_saved else None
    return [
        (name, interval(score), "in the model" if name == taken else "")
        for name, score in found.selection["crossfit"].items()
    ]


def _model(found: Found, units: str) -> list[str]:
    if not found.members:
        return ["No trial's weights were kept, so there is no model."]
    size = f"{found.model_bytes / 1e6:.1f} MB"
    if len(found.members) == 1:
        sentences = [f"The model in the folder model is the trial {found.members[0]['trial_id']} alone, {size}."]
    else:
        sentences = [f"The model in the folder model is made of {len(found.members)} trials, {size}."]
    if found.takes_longer:
        sentences.append(
            f"By their speed in training, it takes about {found.time_factor:.1f} times as long for a picture as the "
            "best trial alone with one view."
        )
    if found.second_view:
        sentences.append(
            f"It answers with the mean of two views: the middle of each picture and {IN_WORDS[found.second_view]}. The "
            f"scores here are for the middle alone{', the time counts both' * found.takes_longer}."
        )
    if found.refit_epochs:
        sentences.append(
            f"{found.refit_in_words}. The scores here are from before: no validation pictures are left to score it on."
        )
    if found.selection is not None:
        sentences += _judged(found, found.selection, units)
    return sentences


def _other_model(folder: RunFolder) -> str:
    """What is said in the place of the model that was found, where it is not there."""
    if (folder.model / DESCRIPTION).is_file():
        return f"The model in the folder model is {MODEL_OF_BEFORE}."
    return "The model that was found is not in the folder model."


def _judged(found: Found, selection: Mapping[str, Any], units: str) -> list[str]:
    sentences = []
    if len(selection["crossfit"]) > 1:
        sentences.append(
            f"On {units} not used to choose it, the most promising ensemble gains {_signed(selection['gain'])} over "
            "the best configuration alone (several trainings of it count as one). It is used only if this gain, pulled "
            f"towards what such ensembles gained elsewhere, is more than {three(LEAST_GAIN)}; the fewer {units}, the "
            "stronger the pull."
        )
    rule = f"{_signed(selection['rule_gain'])} on {units} not used to choose"
    if found.tau:
        sentences.append(f"Its answers are divided by the prior to the power of {found.tau:g}: {rule}.")
    else:
        sentences.append(f"Answers are not divided by a power of the prior: the gain was within the noise, {rule}.")
    return sentences


def _signed(score: Mapping[str, float | None]) -> str:
    """A difference with its interval."""
    value, low, high = (score[end] for end in ("value", "low", "high"))
    sign = "+" if value is not None and value >= 0 else ""
    return f"{sign}{three(value)} [{three(low)}, {three(high)}]"
