"""Generated cohorts of brain scans and tables whose truth is known."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from skhyperfusion._typing import PathLike, Seed
from skhyperfusion.datasets import _age, _dementia, _diagnosis
from skhyperfusion.datasets._bunch import Cohort
from skhyperfusion.datasets._checks import check_cohort_parameters
from skhyperfusion.datasets._files import place, write_scans, write_tables
from skhyperfusion.datasets._phantom import N_WAVES, WHITE, Anatomy, draw_folds

SCANNERS = {"A": (1.0, 1.0), "B": (1.4, 1.25), "C": (0.7, 0.85)}  # gain, factor on the noise
WORLDS = {"diagnosis": _diagnosis, "age": _age, "survival": _dementia}
STREAMS = ("covariates", "latents", "labels", "markers", "gaps", "other", "anatomy", "pixels", "censoring")


def make_brain_cohort(
    n_subjects: int = 200,
    *,
    shape: Sequence[int] = (32, 32, 32),
    task: Literal["diagnosis", "age", "survival"] = "diagnosis",
    n_classes: Literal[2, 3] = 3,
    class_shares: Sequence[float] | None = None,
    missing_rate: float | Literal["paper"] | None = 0.1,
    interaction: float = 1.0,
    table_informative: bool = True,
    noise: float = 1.0,
    image_noise: float = 0.02,
    anatomy_variation: float = 1.0,
    random_state: Seed | np.random.Generator | np.random.SeedSequence = None,
    directory: PathLike | None = None,
) -> Cohort:
    """Generate T1-like brain scans and a table, of which the truth is known.

    The scans are NIfTI phantoms of a head: scalp, skull, folded cortex, white matter, nuclei, ventricles,
    hippocampi, cerebellum. What a picture says about the target depends on the table's row (the
    interaction), so that a model which adds the two falls short of one that lets the table change the
    reading of the picture. See Notes for the model; its effects are a device for testing methods, not
    claims about medicine.

    Parameters
    ----------
    n_subjects : int, default=200
        Number of subjects.
    shape : tuple of three int, default=(32, 32, 32)
        Voxels along x, y and z. They are cubes, of the size at which the head (about 150 x 190 mm and a
        little neck) fills the image: 6.1 mm at 32 x 32 x 32.
    task : {"diagnosis", "age", "survival"}, default="diagnosis"
        Classes CN, MCI, AD of elderly subjects, the age of healthy ones, or the time to dementia of elderly
        ones, about half of whom leave before or are still healthy when the study closes.
    n_classes : {2, 3}, default=3
        ``task="diagnosis"``: three classes, or CN and AD alone.
    class_shares : sequence of float or None, default=None
        ``task="diagnosis"``: how the subjects spread over the classes. They are met exactly, rounded to
        whole subjects, none of the classes empty. None: those of the HyperFusion paper (.35, .48, .17),
        or halves for two classes.
    missing_rate : float, "paper" or None, default=0.1
        Share that is missing, at random, of each of the table's columns but sex and scanner. "paper": the
        rates of the paper's table: the three CSF columns .515 (together), av45 .528, fdg .381,
        apoe4 .087, age .002; nothing for ``task="age"``, the last two for ``task="survival"``. None: nothing.
    interaction : float, default=1.0
        0: the picture means the same in every row, an additive model can be right. 1: strong
        interaction, up to 1.5.
    table_informative : bool, default=True
        False: the whole table is noise, independent of picture and target, and the picture means
        the same for all (`interaction` has no effect).
    noise : float, default=1.0
        Factor on the noise between the latent variables and the target, which bounds every model.
    image_noise : float, default=0.02
        Standard deviation of the scanner's noise, as a part of the brightest tissue's signal.
    anatomy_variation : float, default=1.0
        Factor on what varies from head to head and says nothing about the target: size, position,
        folding, receive field.
    random_state : int, RandomState, Generator, SeedSequence or None, default=None
        Same int, same files, bit for bit. None: fresh entropy. NumPy's global state is neither read
        nor changed. Each part has a stream of its own: another `shape` or `missing_rate` leaves the
        subjects and their targets the same.
    directory : str, path-like or None, default=None
        Folder to write to, as BIDS has it; new, empty, or of an earlier cohort, which is replaced.
        None: a temporary folder that is removed when the interpreter ends, not before: the
        table may outlive the Bunch.

    Returns
    -------
    cohort : Cohort
        A Bunch with

        - frame : DataFrame, `data` and the target; index `participant_id`.
        - data : DataFrame, the column "t1w" of paths (str) and the table, with gaps and categories, and,
          for the diagnosis, values such as "<80" at the limits of detection.
        - target : Series, named as the task; for the survival a structured array of "event" (bool, the
          dementia was seen) and "time" (years), the columns of `frame` too.
        - truth : DataFrame, what the scans were drawn from (latent variables, about standard normal) and
          the best that can be said given them and the table as shown: for the diagnosis the `severity`
          and the probabilities `p_CN`, `p_MCI`, `p_AD`; for the age `expected_age`, `median_age`,
          `sd_age`; for the survival `log_hazard` (of the complete table), `dementia_time` (years, seen or
          not) and `expected_time` (mean years without dementia out of the first 8).
        - complete : DataFrame, the table before gaps and limits of detection.
        - best_score : dict, the scores of the best prediction for these subjects, from `truth`: accuracy,
          balanced_accuracy, roc_auc (macro, one against the rest); or mean_absolute_error, r2; or
          concordance (Harrell's).
        - true_curves : DataFrame, for the survival alone: the probability to be free of dementia (rows:
          subjects) at the years in the columns, 0 to 8; given the picture and the table as shown, so that
          with ``missing_rate=None`` the times were drawn from it.
        - directory : str.
        - DESCR : str.

    See Also
    --------
    read_bids_table : Reads the folder back.

    Notes
    -----
    **Pictures.** Latent variables drive the picture: `ventricular_enlargement` v, radius of the ventricles
    ``* exp(.28 v)``; `hippocampal_atrophy` h, radius of the hippocampi ``* exp(-.28 h)``, the temporal horn
    holding what they leave, and of the lateral fissure ``* exp(.25 h)``; `cortical_atrophy` c, thickness of
    the cortex ``* exp(-.1 c)`` and width of the sulci ``* exp(.3 c)``; `white_matter_loss` w, signal of the
    white matter ``* (1 - .06 w)``. Heads differ as after a rough alignment: size by 1.5 %
    (standard deviation; women's are 2.4 % smaller), position by .8 mm, angles by 1 degree, besides the
    phases of the folding, which has the major sulci in common.

    **Diagnosis.** With a the age, standardised, s = 1 for women and -1 for men, k = 1 for carriers of
    an APOE4 allele and -1 for others, e the education, standardised:
    ``h = .4 a + .92 h'``, ``v = .4 a + .92 v'``, ``c = .6 a + .8 c'`` with h', v', c' standard normal: what
    goes beyond the age. Then ::

        t = 45 degrees * interaction
        severity = 2 / sqrt(2) * [cos t * (.92 h' + .92 v') + sin t * (k h + s v)]
                   + .65 * (.6 k + .5 a - .5 e + .37 s)
        liability = severity + .2 * noise * (standard logistic)

    The liability is cut into classes at the quantiles that give `class_shares`. The markers follow the
    class: their logarithms are normal, from CN to AD they shift by .4 or .45 standard deviations, half of
    it for MCI. At interaction = 1 a small hippocampus tells of the disease in carriers alone, and large
    ventricles in women alone. The variance of the picture's part hardly depends on `interaction`.

    The posterior is exact: missing causes are summed over, given the picture; missing markers are
    left out, censored ones count with their tail. The balanced accuracy takes the class with the largest
    posterior in relation to its share.

    **Age.** With t the age (uniform in 20 to 85 years), standardised, and s = 1 for men, -1 for women ::

        atrophy = (1 + .6 * interaction * s) * t + .8 * s
        v, c, w = atrophy + (.25, .30, .30) * noise * (standard normal)
        h       = .7 * atrophy + .30 * noise * (standard normal)

    each then divided by its standard deviation to drive the picture. At interaction = 1 the brains of men
    shrink four times as fast as women's: the same picture means another age in the other sex, and
    ``t = (atrophy - .8 s) / (1 + .6 s)``. Height and education fall by .1 cm and .03 years per year of age.
    The posterior is computed on a grid of ages.

    **Survival.** Subjects, pictures and k, a, h, h' are those of the diagnosis. The hazard of dementia after
    y years is that of a Weibull distribution, proportional to exp(log_hazard)::

        log_hazard = 2 * [cos t * .92 h' + sin t * k h] + .4 k + .4 a
        P(no dementia until y) = exp(-[(y / 6.5) ** 1.5 * exp(log_hazard)] ** (1 / noise))

    At interaction = 1 a small hippocampus tells of dementia to come in carriers alone. Subjects enter over
    3 years and the study closes after 8 (administrative censoring); before that they leave with a hazard of
    .06 per year. Times are rounded to .01 years. Missing causes are averaged over, given the picture.

    Handedness and scanner tell nothing; scanners differ in gain and noise.

    Examples
    --------
    >>> from skhyperfusion.datasets import make_brain_cohort
    >>> cohort = make_brain_cohort(6, shape=(8, 8, 8), random_state=0)
    >>> sorted(cohort.target)
    ['AD', 'CN', 'CN', 'MCI', 'MCI', 'MCI']
    """
    shape = tuple(shape) if np.iterable(shape) else shape
    check_cohort_parameters(locals())
    rng = _streams(random_state)
    world = WORLDS[task]
    settings: dict[str, Any] = {
        "interaction": float(interaction),
        "informative": bool(table_informative),
        "noise": float(noise),
    }
    if task == "diagnosis":
        settings |= {"n_classes": int(n_classes), "class_shares": class_shares}
    table, latents, target, model = world.draw(n_subjects, rng=rng, **settings)
    table = _add_irrelevant(table, rng("other"))
    gaps = _gaps(table, world.PAPER_RATES if missing_rate == "paper" else missing_rate, rng("gaps"))

    width = max(3, len(str(n_subjects)))
    index = pd.Index([f"sub-{i + 1:0{width}d}" for i in range(n_subjects)], name="participant_id")
    anatomies = _anatomies(
        latents,
        table,
        world.picture_scale(model),
        model["informative"],
        image_noise,
        anatomy_variation,
        rng("anatomy"),
    )
    folder = place(directory)
    paths = write_scans(folder, index, shape, anatomies, rng("pixels").spawn(n_subjects))
    data = world.present(table, gaps).set_axis(index, axis=0)
    data.insert(0, "t1w", paths)
    posterior = world.posterior(table, gaps, latents, model)
    if task == "survival":
        frame = data.assign(event=target["event"], time=target["time"])
        own = {"true_curves": pd.DataFrame(posterior, index=index, columns=world.TIMES)}
    else:
        target = pd.Series(target, index=index, name=task)
        frame = data.assign(**{task: target})
        own = {}
    truth, best_score = world.summarise(posterior, target, model)
    write_tables(folder, frame)
    return Cohort(
        frame=frame,
        data=data,
        target=target,
        truth=pd.concat([latents, truth], axis=1).set_axis(index, axis=0),
        complete=table.set_axis(index, axis=0),
        best_score=best_score,
        **own,
        directory=str(folder),
        DESCR=make_brain_cohort.__doc__,
    )


def _streams(random_state):
    """Give every part a stream of its own, so that one part's settings leave the others' draws alone."""
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31, size=4).tolist()
    elif isinstance(random_state, np.random.Generator):
        random_state = random_state.integers(2**31, size=4).tolist()
    try:
        seed = (
            np.random.SeedSequence(random_state.entropy, spawn_key=random_state.spawn_key)
            if isinstance(random_state, np.random.SeedSequence)
            else np.random.SeedSequence(random_state)
        )
    except (TypeError, ValueError) as error:
        raise ValueError(
            "The 'random_state' parameter of make_brain_cohort must be None, a non-negative integer, "
            f"a RandomState, a Generator or a SeedSequence. Got {random_state!r} instead."
        ) from error
    generators = {
        name: np.random.default_rng(child)
        for name, child in zip(STREAMS, seed.spawn(len(STREAMS)), strict=True)
    }
    return generators.__getitem__


def _add_irrelevant(table, rng):
    handedness = rng.choice(["right", "left", "both"], len(table), p=[0.88, 0.1, 0.02])
    return table.assign(handedness=handedness, scanner=rng.choice(list(SCANNERS), len(table)))


def _gaps(table, rates, rng):
    """Which cells of the table are missing; a group of columns named by a prefix is missing together."""
    # Drawn whether or not they are used: a rate changes where its own column has gaps, no more.
    draws = pd.DataFrame(rng.random(table.shape), columns=table.columns)
    gaps = pd.DataFrame(False, index=table.index, columns=table.columns)
    if rates is None:
        return gaps
    for column in table.columns.difference(["sex", "scanner"]):
        if isinstance(rates, dict):
            csf = column.startswith("csf_")
            gaps[column] = draws["csf_abeta" if csf else column] < rates.get("csf" if csf else column, 0.0)
        else:
            gaps[column] = draws[column] < rates
    return gaps


def _anatomies(latents, table, scale, informative, image_noise, variation, rng):
    """Turn latent variables into shapes and add what varies for no reason."""
    n = len(latents)
    z = {name: latents[name].to_numpy() / scale[name] for name in latents}
    zero = np.zeros(n)
    v, h, c = (z[k] for k in ("ventricular_enlargement", "hippocampal_atrophy", "cortical_atrophy"))
    w = z.get("white_matter_loss", zero)
    sex = np.where(table["sex"] == "M", 1.0, -1.0) if informative else zero
    overall = 0.012 * sex + variation * 0.015 * rng.standard_normal(n)
    size = np.exp(overall[:, None] + variation * 0.006 * rng.standard_normal((n, 3)))
    rotation = variation * 0.02 * rng.standard_normal((n, 3))
    shift = variation * 0.8 * rng.standard_normal((n, 3))
    bias = variation * 0.015 * rng.standard_normal((n, 6))
    folds = np.repeat(draw_folds(np.random.default_rng(4))[None], n, axis=0)  # major sulci are common to all
    folds[:, :, 3] += variation * 0.35 * rng.standard_normal((n, N_WAVES))
    gain, factor = np.array([SCANNERS[name] for name in table["scanner"]]).T
    return [
        Anatomy(
            size=size[i],
            rotation=rotation[i],
            shift=shift[i],
            ventricles=np.exp(0.28 * v[i]),
            hippocampi=np.exp(-0.28 * h[i]),
            sylvian=np.exp(0.25 * h[i]),
            thickness=3.4 * np.exp(-0.1 * c[i]),
            sulci=1.3 * np.exp(0.3 * c[i]),
            white=WHITE * (1 - 0.06 * w[i]),
            folds=folds[i],
            bias=bias[i],
            gain=gain[i],
            noise=image_noise * factor[i],
        )
        for i in range(n)
    ]
